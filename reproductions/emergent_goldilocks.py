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
    """Ratios and accuracies at each radius by seed: what the reference guards."""
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
    """Convexity against the radius, share of positive eigenvalues, accuracy inside planes."""
    plots = wedges.plots
    title = "The Goldilocks zone: where the landscape is most convex, random planes train best\n"
    title += f"mean and deviation of {pictures.counted(config.seeds, 'seed')}; Hessians on random "
    title += f"planes of {config.plane} dimensions, {config.examples} examples"
    figure, axes = plots.grid(2, len(config.subjects), title=title, panel=(4.4, 3.0))
    for (top, below), subject in zip(axes.T, config.subjects, strict=True):
        own, how = subject.own(arrays), {"x": "weights / initial weights", "log": "x", "legend": 7}
        share, words = own["ratio"] / np.sqrt(config.plane), "share of positive eigenvalues"
        plots.curve(top, config.radii, share, color=plots.BLUE, label="Tr H / (|H|_F sqrt d)")
        plots.curve(top, config.radii, own["positive"], color=plots.ORANGE, label=words)
        top.axvline(1, color=plots.GREY, linestyle=":", linewidth=1)
        plots.label_axes(top, title=subject.title, y="convexity", **how)
        if subject.is_model:
            below.set_axis_off()
            continue
        for i, d in enumerate(config.dims):
            look = {"color": plots.shade(i / max(1, len(config.dims) - 1)), "label": f"plane of d = {d}"}
            plots.curve(below, config.radii, 100 * own["accuracy"][:, i], **look)
        below.axvline(1, color=plots.GREY, linestyle=":", linewidth=1)
        plots.label_axes(below, y="test accuracy (%)", **how)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
