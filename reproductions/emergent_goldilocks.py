"""The Goldilocks zone: where the landscape is most convex, random planes train best.

At the initial weights times r, on random planes of d dimensions through them, the exact d x d Hessian:
its share of positive eigenvalues, and Tr H / |H|_F, at most sqrt(d). And, on all training examples, how
well the network trains inside such planes, against d and r. In the simple model the same Hessians, the
weights' scale acting as in a homogeneous network of four layers.

    python -m reproductions.emergent_goldilocks --preset=quick     digits, two minutes
    python -m reproductions.emergent_goldilocks                    CIFAR-10 and Fashion-MNIST, 15 minutes
    python -m reproductions.emergent_goldilocks --radii=0.5,1,2 --dims=20,50,100
Source: Fort & Ganguli 2019, arXiv:1910.05929; Fort & Scherlis 2018, arXiv:1807.02581.
"""

import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, between, option
from reproductions.common import local, networks, pictures, training
from reproductions.common.arrays import named, stacked

RADII = (0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
PLANES = between(2, local.MODEL["dimension"])  # at most those of the model


@options.settings
class Config(local.Config):
    radii: Floats = option("scales r of the initial weights", paper=RADII, smoke=(0.25, 1.0, 4.0))
    plane: int = option(
        "dimensions of the planes whose Hessians are looked at", PLANES, paper=50, quick=20, smoke=10
    )
    dims: Ints = option(
        "dimensions d of the planes trained in", paper=(10, 30, 100), quick=(5, 20, 80), smoke=(5, 20)
    )
    plane_epochs: int = option("epochs of training inside a plane", paper=6, smoke=2)
    plane_rate: float = option(
        "Adam's rate inside a plane at r = 1; r times this elsewhere", flag="plane_lr", paper=0.05
    )

    def __post_init__(self):
        for name in ("radii", "dims"):  # rising, each once: claims look at the ends
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Per network "<row> positive", "<row> ratio" [seeds, radii], "<row> accuracy" [seeds, dims, radii],
    "<row> length" [seeds], of the initial weights; "model positive", "model ratio" [seeds, radii]."""
    for row, name in enumerate(config.networks):
        weights = networks.dimension(config.network(row, config.seed).problem)
        for flag, d in (("plane", config.plane), ("dims", max(config.dims))):
            if d > weights:
                raise UsageError(f"--{flag}={d}: at most as many as {name} has weights, {weights}.")
    arrays = local.by_row(config, functools.partial(_at_all_radii, config))
    how = config.radii, config.plane
    models = [cache.cached(convexity_of_model, seed, *how) for seed in config.repeats]
    return arrays | named("model", stacked(models))


def _at_all_radii(config, item):
    """One network from one seed."""
    row, seed = item
    network, label = config.network(row, seed), f"{config.networks[row]}, seed {seed}"
    start = networks.start(network.problem)
    radii = []
    for r in progress.bar(label, iterable=config.radii, unit="radius"):
        theta = (r * start).astype(start.dtype)
        found = cache.cached(convexity_on_a_plane, network, theta, config.plane, seed)
        # A step moves a point as far, in units of its own length, at every radius.
        recipe = training.Recipe("adam", config.plane_rate * r, config.plane_epochs)
        accuracy = []
        for d in config.dims:
            how = {"label": f"{label}, r {r:g}, d {d}", "start": theta, "cut": training.Cut(d, seed)}
            end = training.train(network.problem, recipe, **how).theta
            accuracy.append(cache.cached(unseen_accuracy, network.problem, end)["accuracy"])
        radii.append(found | {"accuracy": np.array(accuracy)})
    arrays = {name: np.moveaxis(a, 0, -1) for name, a in stacked(radii).items()}  # [..., radii]
    return arrays | {"length": np.linalg.norm(start)}


def convexity_on_a_plane(network, theta, d, seed):
    """The `convexity` of the Hessian on a random plane of d dimensions through theta."""
    inside = wedges.restrict(network.seen, wedges.random_cut(theta, d, seed=seed))
    return convexity(wedges.curvature.dense(wedges.hessian(inside, np.zeros(d, theta.dtype))))


def unseen_accuracy(problem, theta):
    """On all test examples."""
    x, y = networks.test_set(problem.source)
    return {"accuracy": np.float64(networks.landscape(problem).on(x, y).evaluate(theta).accuracy)}


def convexity_of_model(seed, radii, d):
    """The `convexity` of the simple model's Hessian at all radii, on a plane of d dimensions: its first
    d, since its coordinates are random directions already."""
    simple, found = local.model(seed), []
    for r in radii:
        point = local.at_radius(simple, r)
        inside = point.factor[:, :d]
        found.append(convexity(inside.T @ inside + point.residual[:d, :d]))
    return stacked(found)


def convexity(matrix):
    """ "positive", the share of eigenvalues above 0, and "ratio", Tr / |.|_F, of a symmetric matrix."""
    values = np.linalg.eigvalsh(matrix.astype(np.float64))
    return {"positive": np.mean(values > 0), "ratio": values.sum() / np.linalg.norm(values)}


# ---- what the numbers say ---------------------------------------------------------------------------


def zone(values):
    """Of the mean over seeds of values [seeds, radii]: the largest less the larger of its two ends."""
    mean = values.mean(axis=0)
    return mean.max() - max(mean[0], mean[-1])


def agreement(accuracy, ratio):
    """Rank correlation over radii of two means over seeds, [seeds, radii] each."""
    from scipy.stats import spearmanr

    return spearmanr(accuracy.mean(axis=0), ratio.mean(axis=0)).statistic


def judged(arrays, config):
    """{claim: number}."""
    found = {}
    for subject in config.subjects:
        own, id = subject.own(arrays), subject.id
        found[f"{id}.convexity"] = zone(own["ratio"]) / np.sqrt(config.plane)
        found[f"{id}.positive"] = zone(own["positive"])
        if not subject.is_model:
            largest = own["accuracy"][:, -1]  # d, [seeds, radii]
            found[f"{id}.success"] = zone(largest)
            found[f"{id}.agree"] = agreement(largest, own["ratio"])
    return found


ZONE = "In a shell of initial weights, the Goldilocks zone, the landscape is unusually convex."
TRAINS = "Training in a random plane works where the plane meets that zone."


def claims(arrays, config):
    """A zone in the middle of the radii, and the best training in it."""
    claim = Verdict("emergent.goldilocks", local.SOURCE, judged(arrays, config))
    over = "largest over radii minus that at the better end, mean over seeds"
    success = f"test accuracy after training in planes of {max(config.dims)} dimensions"
    agree = "rank correlation over radii of that accuracy and Tr H / |H|_F, mean over seeds"
    for subject in config.subjects:
        own = claim.about(f"{subject.id}.*", subject.label)
        own("convexity", f"Tr H / |H|_F over sqrt(d), {over}", ">=", 0.1, says=ZONE)
        own("positive", f"share of positive eigenvalues, {over}", ">=", 0.05, says=ZONE)
        if not subject.is_model:
            own("success", f"{success}, {over}", ">=", 0.1, says=TRAINS)
            own("agree", agree, ">=", 0.5, says=TRAINS)
    return claim.claims


def summary(arrays, config):
    """Positive eigenvalues' share and accuracies at each radius, by seed: what the reference guards. The
    ratio of trace and norm, which other claims are about, is of the same eigenvalues."""
    found = {}
    for subject in config.subjects:
        own = subject.own(arrays)
        for j, r in enumerate(config.radii):
            found[f"{subject.label}, r {r:g}: positive"] = own["positive"][:, j]
            if not subject.is_model:
                found[f"{subject.label}, r {r:g}: accuracy"] = own["accuracy"][:, -1, j]
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    seed, radius = {"seed": config.repeats}, {"radius": config.radii}
    return {"* accuracy": seed | {"d": config.dims} | radius, "* length": seed, "*": seed | radius}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Against the radius two measures of convexity, and the accuracy inside planes of each network."""
    title = f"{_finding(arrays, config)}\n{pictures.counted(config.seeds, 'seed')}; Hessians on random "
    title += f"planes of d = {config.plane} dimensions, {config.examples} examples; r: initial weights "
    title += "over the usual ones, shaded from 0.5 to 2"
    trained = [subject for subject in config.subjects if not subject.is_model]
    figure, (ratio, positive, *rest) = pictures.panels(2 + len(trained), title=title, panel=(4.3, 3.2))
    for ax in rest[1:]:
        ax.sharey(rest[0])
    scaled = {s.prefix: s.own(arrays)["ratio"] / np.sqrt(config.plane) for s in config.subjects}
    y = r"tr $H$ / ($|H|_F\sqrt{d}$)"
    _draw_convexity(ratio, scaled, config, "(a) Convexity, at most 1", y)
    shares = {s.prefix: 100 * s.own(arrays)["positive"] for s in config.subjects}
    words, y = "(b) Eigenvalues that are positive", "positive eigenvalues (%)"
    _draw_convexity(positive, shares, config, words, y, legend=True)
    for ax, letter, subject in zip(rest, "cdef", trained, strict=False):
        _draw_accuracy(ax, subject.own(arrays), config, f"({letter}) {local.heading(subject)}, trained")
    for ax in rest:  # when all limits of axes that are shared stand
        wedges.plots.name_lines(ax)
    return figure


def peaks(arrays, config):
    """The radii at which networks are most convex, and train best in the largest planes, by means over
    seeds."""
    owns = [subject.own(arrays) for subject in config.subjects if not subject.is_model]
    at = lambda values: config.radii[int(values.mean(axis=0).argmax())]
    return [at(own["ratio"]) for own in owns], [at(own["accuracy"][:, -1]) for own in owns]


def _finding(arrays, config):
    """Where networks are most convex, and where they train best."""
    convex, trains = ([f"{r:g}" for r in sorted(set(radii))] for radii in peaks(arrays, config))
    words = "Initial weights of r times the usual size: the landscape is most convex at r = "
    words += pictures.listed(convex)
    if convex == trains:
        return f"{words}, and there random planes train best"
    return f"{words}, random planes train best at r = {pictures.listed(trains)}"


def _against_radius(ax, radii, title, y, legend):
    """The axes of all panels, with the zone in which weights usually are."""
    ax.axvspan(0.5, 2, color=wedges.plots.GREEN, alpha=0.12, linewidth=0)
    ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if min(radii) <= t <= max(radii)]
    how = {"x": "r", "log": "x", "ticks": ticks or radii, "legend": 8 if legend else None}
    wedges.plots.label_axes(ax, title=title, y=y, **how)


def _draw_convexity(ax, values, config, title, y, legend=False):
    """{subject's prefix: values [seeds, radii]} against the radius."""
    for subject, look in zip(config.subjects, pictures.looks() * 2, strict=False):
        label = local.heading(subject)
        wedges.plots.curve(ax, config.radii, values[subject.prefix], label=label, **look)
    _against_radius(ax, config.radii, title, y, legend)


def _draw_accuracy(ax, own, config, title):
    """Test accuracy after training inside planes of each dimension."""
    for i, (d, marker) in enumerate(zip(config.dims, itertools.cycle("os^D"), strict=False)):
        look = {"color": wedges.plots.shade(i / max(1, len(config.dims) - 1)), "marker": marker}
        values = 100 * own["accuracy"][:, i]
        wedges.plots.curve(ax, config.radii, values, label=f"d = {d}", **look)
    _against_radius(ax, config.radii, f"{title} in random planes", "test accuracy (%)", False)


if __name__ == "__main__":
    runs.main(__name__)
