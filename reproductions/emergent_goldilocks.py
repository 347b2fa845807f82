"""The Goldilocks zone: where the landscape is most convex, random planes train best.

At the initial weights times r, on random planes of d dimensions through them, the exact d x d Hessian:
its share of positive eigenvalues, and Tr H / |H|_F, at most sqrt(d). And, on all training examples, how
well the network trains inside such planes, against d and r. In the simple model the same Hessians, the
weights' scale acting as in a homogeneous network of four layers. Then two attempts of this project's own
where a claim failed: planes of few dimensions, in which the same trace and norm move the share further,
each through initial weights of its own; and the convexity of the shell that a training ends in, which
need not be the one it starts in.

    python -m reproductions.emergent_goldilocks --preset=quick     digits, three minutes
    python -m reproductions.emergent_goldilocks                    CIFAR-10 and Fashion-MNIST, 25 minutes
    python -m reproductions.emergent_goldilocks --radii=0.5,1,2 --dims=20,50,100
Source: Fort & Ganguli 2019, arXiv:1910.05929; Fort & Scherlis 2018, arXiv:1807.02581.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, at_least, between, option
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
    between: Floats = option(
        "further scales, used between those of --radii, at which the largest planes are trained in",
        paper=(0.16, 0.35, 0.7, 1.4),
        smoke=(0.5,),
    )
    small_plane: int = option("dimensions of small planes", PLANES, paper=10, smoke=5)
    small_planes: int = option(
        "small planes, each through initial weights of its own, for each seed",
        at_least(1),
        paper=20,
        smoke=3,
    )

    def __post_init__(self):
        for name in ("radii", "dims", "between"):  # rising, each once: claims look at the ends
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    @property
    def finer(self):
        """All radii, rising."""
        inside = {r for r in self.between if self.radii[0] < r < self.radii[-1]}
        return tuple(sorted({*self.radii, *inside}))


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Of each network and the model, as "<row> ..." and "model ...", at the initial weights times r:

    positive, ratio [seeds, radii]: on one plane, its share of positive eigenvalues and Tr H / |H|_F.
    small positive, small ratio [seeds, small planes, radii].

    Of the networks also:
    accuracy [seeds, dims, radii]: after training; length [seeds], of the initial weights.
    fine ratio, fine accuracy [seeds, finer radii]: the same, after training in the largest planes.
    fine end, fine end ratio [seeds, finer radii]: the r of the length that this training ended with, and
      the ratio at the initial weights times that r."""
    for row, name in enumerate(config.networks):
        weights = networks.dimension(config.network(row, config.seed).problem)
        sizes = {"plane": config.plane, "dims": max(config.dims), "small_plane": config.small_plane}
        for flag, d in sizes.items():
            if d > weights:
                raise UsageError(f"--{flag}={d}: at most as many as {name} has weights, {weights}.")
    arrays = local.by_row(config, functools.partial(_of_one_network, config))
    how = config.radii, config.plane
    models = [cache.cached(convexity_of_model, seed, *how) for seed in config.repeats]
    small = [_on_small_planes(config, seed, convexity_of_model) for seed in config.repeats]
    return arrays | named("model", stacked(models) | stacked(small))


def _of_one_network(config, item):
    """All of one network from one seed."""
    row, seed = item
    network, label = config.network(row, seed), f"{config.networks[row]}, seed {seed}"
    start = networks.start(network.problem)
    usual, fine = [], []
    for r in progress.bar(label, iterable=config.finer, unit="radius"):
        theta = (r * start).astype(start.dtype)
        found = cache.cached(convexity_on_a_plane, network, theta, config.plane, seed)
        is_usual = r in config.radii
        dims = config.dims if is_usual else config.dims[-1:]
        ends = [_trained_inside(config, network, theta, r, d, seed, label) for d in dims]
        accuracy = [cache.cached(unseen_accuracy, network.problem, end)["accuracy"] for end in ends]
        if is_usual:
            usual.append(found | {"accuracy": np.array(accuracy)})
        there = _where_it_ends(config, network, start, ends[-1], seed)
        fine.append({"fine ratio": found["ratio"], "fine accuracy": accuracy[-1], **there})
    small = _on_small_planes(config, seed, convexity_of_initial_weights, network)
    along = stacked(usual) | stacked(fine)
    arrays = {name: np.moveaxis(a, 0, -1) for name, a in along.items()}  # [..., radii]
    return arrays | small | {"length": np.linalg.norm(start)}


def _trained_inside(config, network, theta, r, d, seed, label):
    """The end of a training in a random plane of d dimensions through theta."""
    # A step moves a point as far, in units of its own length, at every radius.
    recipe = training.Recipe("adam", config.plane_rate * r, config.plane_epochs)
    how = {"label": f"{label}, r {r:g}, d {d}", "start": theta, "cut": training.Cut(d, seed)}
    return training.train(network.problem, recipe, **how).theta


def _where_it_ends(config, network, start, end, seed):
    """The radius at which a training ended, and the convexity there of initial weights: not of `end`
    itself, where training alone has made the loss convex."""
    r = np.linalg.norm(end) / np.linalg.norm(start)
    if not np.isfinite(r):
        return {"fine end": np.nan, "fine end ratio": np.nan}
    theta = (r * start).astype(start.dtype)
    found = cache.cached(convexity_on_a_plane, network, theta, config.plane, seed)
    return {"fine end": r, "fine end ratio": found["ratio"]}


def _on_small_planes(config, seed, function, *key):
    """The arrays "small ..." [small planes, radii] of function(*key, seed, radii, dimensions)."""
    # As many seeds as planes, since initial weights differ more than planes through the same ones do.
    seeds = np.random.SeedSequence(seed).generate_state(config.small_planes).tolist()
    how = config.radii, config.small_plane
    return named("small", stacked([cache.cached(function, *key, one, *how) for one in seeds]))


def convexity_on_a_plane(network, theta, d, seed):
    """The `convexity` of the Hessian on a random plane of d dimensions through theta."""
    inside = wedges.restrict(network.seen, wedges.random_cut(theta, d, seed=seed))
    return convexity(wedges.curvature.dense(wedges.hessian(inside, np.zeros(d, theta.dtype))))


def convexity_of_initial_weights(network, initial, radii, d):
    """The `convexity`, at all radii, of the Hessian on a random plane of d dimensions through r times
    the initial weights of seed `initial`: parallel planes."""
    start, found = networks.start(dataclasses.replace(network.problem, initial=initial)), []
    plane = wedges.random_cut(start, d, seed=initial)
    rows = plane.directions.lift(np.eye(d, dtype=start.dtype)).numpy()
    for r in radii:
        matrix = rows @ (wedges.hessian(network.seen, (r * start).astype(start.dtype)) @ rows.T)
        found.append(convexity((matrix + matrix.T) / 2))
    return stacked(found)


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
        found[f"{id}.positive_small"] = zone(own["small positive"].mean(axis=1))
        if not subject.is_model:
            largest = own["accuracy"][:, -1]  # d, [seeds, radii]
            found[f"{id}.success"] = zone(largest)
            found[f"{id}.agree"] = agreement(largest, own["ratio"])
            found[f"{id}.agree_end"] = agreement(own["fine accuracy"], own["fine end ratio"])
    return found


ZONE = "In a shell of initial weights, the Goldilocks zone, the landscape is unusually convex."
TRAINS = "Training in a random plane works where the plane meets that zone."


def claims(arrays, config):
    """A zone in the middle of the radii, and the best training in it; then this project's attempts at
    the same where it failed once, with the same thresholds."""
    claim = Verdict("emergent.goldilocks", local.SOURCE, judged(arrays, config))
    over = "largest over radii minus that at the better end, mean over seeds"
    success = f"test accuracy after training in planes of {max(config.dims)} dimensions"
    agree = "rank correlation over radii of that accuracy and Tr H / |H|_F, mean over seeds"
    small = f"{config.small_planes} planes of {config.small_plane} dimensions a seed, each through "
    small = f"this project's attempt: share of positive eigenvalues on {small}initial weights of its own"
    ends = f"this project's attempt: rank correlation over {len(config.finer)} radii of that accuracy "
    ends += "and Tr H / |H|_F of initial weights of the length that training ended with, mean over seeds"
    for subject in config.subjects:
        own = claim.about(f"{subject.id}.*", subject.label)
        own("convexity", f"Tr H / |H|_F over sqrt(d), {over}", ">=", 0.1, says=ZONE)
        own("positive", f"share of positive eigenvalues, {over}", ">=", 0.05, says=ZONE)
        own("positive_small", f"{small}, {over}", ">=", 0.05, says=ZONE)
        if not subject.is_model:
            own("success", f"{success}, {over}", ">=", 0.1, says=TRAINS)
            own("agree", agree, ">=", 0.5, says=TRAINS)
            own("agree_end", ends, ">=", 0.5, says=TRAINS)
    return claim.claims


def summary(arrays, config):
    """Convexity and accuracy at each radius, and how they agree, by seed: what the reference guards."""
    found = {}
    for subject in config.subjects:
        own, label = subject.own(arrays), subject.label
        for j, r in enumerate(config.radii):
            at = f"{label}, r {r:g}:"
            found[f"{at} positive"] = own["positive"][:, j]
            found[f"{at} positive, small planes"] = own["small positive"][:, :, j].mean(axis=1)
            found[f"{at} ratio"] = own["ratio"][:, j]
            if not subject.is_model:
                found[f"{at} accuracy"] = own["accuracy"][:, -1, j]
        if not subject.is_model:
            found |= _at_finer_radii(own, label, config) | _agreements(own, label)
    return found


def _at_finer_radii(own, label, config):
    """What else there is of a network at the finer radii, by seed."""
    found = {}
    for j, r in enumerate(config.finer):
        at = f"{label}, r {r:g}:"
        if r not in config.radii:
            found[f"{at} ratio"] = own["fine ratio"][:, j]
            found[f"{at} accuracy"] = own["fine accuracy"][:, j]
        found[f"{at} radius at the end"] = own["fine end"][:, j]
        found[f"{at} ratio at that radius"] = own["fine end ratio"][:, j]
    return found


def _agreements(own, label):
    """Of each seed by itself, rank correlations over radii of accuracy and convexity: as two claims have
    them, and at the finer radii as the older of these does."""
    pairs = {
        "the start's convexity": (own["accuracy"][:, -1], own["ratio"]),
        "the start's convexity, finer radii": (own["fine accuracy"], own["fine ratio"]),
        "convexity at the end's radius": (own["fine accuracy"], own["fine end ratio"]),
    }
    found = {}
    for name, (accuracy, ratio) in pairs.items():
        by_seed = [agreement(a[None], b[None]) for a, b in zip(accuracy, ratio, strict=True)]
        found[f"{label}: accuracy and {name}"] = np.array(by_seed)
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    seed, radius = {"seed": config.repeats}, {"radius": config.radii}
    return {
        "* fine *": seed | {"radius": config.finer},
        "* small *": seed | {"plane": config.small_planes} | radius,
        "* accuracy": seed | {"d": config.dims} | radius,
        "* length": seed,
        "*": seed | radius,
    }


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Against the radius three measures of convexity, that where trainings end, and the accuracy inside
    planes of each network."""
    title = f"{_finding(arrays, config)}\n{pictures.counted(config.seeds, 'seed')}; Hessians on random "
    title += f"planes of d = {config.plane} dimensions, {config.examples} examples; r: initial weights "
    title += "over the usual ones, shaded from 0.5 to 2"
    trained = [subject for subject in config.subjects if not subject.is_model]
    how = {"title": title, "panel": (4.3, 3.2)}
    figure, (ratio, positive, small, ends, *rest) = pictures.panels(4 + len(trained), **how)
    for ax in rest[1:]:
        ax.sharey(rest[0])
    small.sharey(positive)
    ends.sharey(ratio)
    scale, y = np.sqrt(config.plane), r"tr $H$ / ($|H|_F\sqrt{d}$)"
    curves = _curves(arrays, config, "ratio", model=True) | _curves(arrays, config, "fine ratio")
    _draw_convexity(ratio, curves, config, "(a) Convexity, at most 1", y, scale)
    share, words = "positive eigenvalues (%)", "Positive eigenvalues"
    curves = _curves(arrays, config, "positive", model=True)
    _draw_convexity(positive, curves, config, f"(b) {words}, d = {config.plane}", share, 0.01, True)
    curves = _curves(arrays, config, "small positive", model=True)
    curves = {prefix: (x, values.mean(axis=1)) for prefix, (x, values) in curves.items()}
    words = f"(c) {words}, d = {config.small_plane},\n{config.small_planes} initial weights a seed"
    _draw_convexity(small, curves, config, words, share, 0.01)
    curves = _curves(arrays, config, "fine end ratio")
    words = f"(d) Convexity in the shell where\ntraining in d = {config.dims[-1]} ends"
    _draw_convexity(ends, curves, config, words, y, scale, x="r at the start")
    for ax, letter, subject in zip(rest, "efgh", trained, strict=False):
        _draw_accuracy(ax, subject.own(arrays), config, f"({letter}) {local.heading(subject)}, trained")
    for ax in rest:  # when all limits of axes that are shared stand
        wedges.plots.name_lines(ax)
    return figure


def _curves(arrays, config, name, model=False):
    """{subject's prefix: (radii, values [seeds, ..., radii])} of the networks, and of the model."""
    radii = config.finer if name.startswith("fine") else config.radii
    subjects = [subject for subject in config.subjects if model or not subject.is_model]
    return {subject.prefix: (radii, subject.own(arrays)[name]) for subject in subjects}


def peaks(arrays, config):
    """The radii at which networks are most convex, and train best in the largest planes, by means over
    seeds."""
    owns = [subject.own(arrays) for subject in config.subjects if not subject.is_model]
    at = lambda values: config.finer[int(values.mean(axis=0).argmax())]
    return [at(own["fine ratio"]) for own in owns], [at(own["fine accuracy"]) for own in owns]


def _finding(arrays, config):
    """Where networks are most convex, and where they train best."""
    convex, trains = ([f"{r:g}" for r in sorted(set(radii))] for radii in peaks(arrays, config))
    words = "Initial weights of r times the usual size: the landscape is most convex at r = "
    words += pictures.listed(convex)
    if convex == trains:
        return f"{words}, and there random planes train best"
    return f"{words}, random planes train best at r = {pictures.listed(trains)}"


def _against_radius(ax, radii, title, y, legend, x="r"):
    """The axes of all panels, with the zone in which weights usually are."""
    ax.axvspan(0.5, 2, color=wedges.plots.GREEN, alpha=0.12, linewidth=0)
    ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if min(radii) <= t <= max(radii)]
    how = {"x": x, "log": "x", "ticks": ticks or radii, "legend": 8 if legend else None}
    wedges.plots.label_axes(ax, title=title, y=y, **how)


def _draw_convexity(ax, curves, config, title, y, unit, legend=False, x="r"):
    """{subject's prefix: (radii, values [seeds, radii])} in this unit against the radius."""
    for subject, look in zip(config.subjects, pictures.looks() * 2, strict=False):
        if subject.prefix in curves:
            radii, values = curves[subject.prefix]
            wedges.plots.curve(ax, radii, values / unit, label=local.heading(subject), **look)
    _against_radius(ax, config.radii, title, y, legend, x)


def _draw_accuracy(ax, own, config, title):
    """Test accuracy after training inside planes of each dimension, the largest at the finer radii."""
    for i, (d, marker) in enumerate(zip(config.dims, itertools.cycle("os^D"), strict=False)):
        look = {"color": wedges.plots.shade(i / max(1, len(config.dims) - 1)), "marker": marker}
        fine = d == config.dims[-1]
        radii = config.finer if fine else config.radii
        values = own["fine accuracy"] if fine else own["accuracy"][:, i]
        wedges.plots.curve(ax, radii, 100 * values, label=f"d = {d}", **look)
    _against_radius(ax, config.radii, f"{title} in random planes", "test accuracy (%)", False)


if __name__ == "__main__":
    runs.main(__name__)
