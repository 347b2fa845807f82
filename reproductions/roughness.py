"""Roughness index: is deep Galerkin's loss smoother than deep Ritz's, and what does the index see?

Small networks learn -Laplace u = f by deep Galerkin (squared residual) and by deep Ritz (energy). The
index is the deviation over the mean of the total variations, each over its own range, of the loss along
random directions. Beside it: how many slices have more than one minimum, and the index of quadratic
slices with the same slope and curvature. With new points at each step, as published, and with one
quadrature at all of them. Also at optima of the convolutional network, on the toy, on a rugged bowl.

    python -m reproductions.roughness --preset=quick      1-D, digits, two minutes
    python -m reproductions.roughness --jobs=2            1-D, 3-D, CIFAR-10, 20 minutes
    python -m reproductions.roughness --problems=line,ball,cube10 --steps=20000
Source: Wu, Jian, Du, Chen & Zhou 2021, arXiv:2103.11069.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Floats, Texts, at_least, one_of, option
from reproductions.common import equations, known_roughness, networks, pictures, training
from reproductions.common.arrays import named, stacked, under
from reproductions.common.equations import EQUATIONS, RESIDUALS


@options.settings
class Config(networks.NetworkConfig):
    """Settings of the figure; how the presets were chosen is told in reference/roughness.md."""

    problems: Texts = option(
        "problems to solve", one_of(*EQUATIONS), paper=("line", "ball"), quick=("line",)
    )
    seeds: int = option("networks of each kind", paper=3, quick=2, smoke=1)
    steps: int = option("of Adam, new points at each", at_least(10), paper=5000, quick=1500, smoke=40)
    points: int = option("of the domain, drawn at each step", paper=1000, quick=300, smoke=50)
    rate: float = option("Adam's constant rate", flag="lr", paper=1e-3, quick=3e-3)
    fixed_steps: int = option(
        "of Adam with one quadrature", at_least(10), paper=10_000, quick=2000, smoke=40
    )
    fixed_rate: float = option(
        "its rate, where it starts; it falls to 0 by a cosine", flag="fixed_lr", paper=3e-3
    )
    looks: int = option(
        "times that a training is looked at, after its start", at_least(2), paper=10, smoke=2
    )
    directions: int = option("of slices at the end", at_least(2), paper=100, quick=50, smoke=8)
    slice_steps: int = option("of a slice, m", at_least(2), paper=20, smoke=10)
    distances: Floats = option(
        "more distances l at the end", paper=(0.2, 0.3, 0.4, 0.5), quick=(0.1, 0.5), smoke=(0.5,)
    )
    look_directions: int = option("of slices along training", at_least(2), paper=50, quick=30, smoke=6)
    look_distance: float = option("their distance l, of 10 steps", paper=0.01)
    optima: int = option("optima of the convolutional network", paper=2, quick=1)
    epochs: int = option("of their training", paper=30, quick=40, smoke=2)
    examples: int = option("training examples in their loss", paper=2000, quick=1000, smoke=100)
    network_directions: int = option("of slices there", at_least(2), paper=20, quick=10, smoke=4)
    network_distance: float = option("their distance l", paper=0.5)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """ "<problem> <residual> <fresh or fixed> <name>" [seeds, ...], see `follow`; "cnn start <name>" and
    "cnn optimum <name>" [optima], as `equations.at`; what is known exactly "known <name>" []."""
    seeds = range(config.seed, config.seed + config.optima)
    arrays = named("cnn", stacked(parallel.over(functools.partial(of_network, config), seeds)))
    tasks = {key: [task(config, key, seed) for seed in config.repeats] for key in keys(config)}
    every = [each for own in tasks.values() for each in own]
    watched = progress.bar("trainings", iterable=every, unit="training")
    found = iter(parallel.over(functools.partial(follow, config), watched))
    for key, own in tasks.items():
        arrays |= named(" ".join(key), stacked([next(found) for _ in own]))
    return arrays | named("known", cache.cached(known_roughness.known, config.seed))


# What the loss is, and where it is taken in training: at new points at each step, or the same always.
KINDS = tuple(itertools.product(RESIDUALS, ("fresh", "fixed")))


def keys(config):
    """(problem, residual, points) of every kind of training."""
    return [(problem, *kind) for problem in config.problems for kind in KINDS]


def task(config, key, seed):
    """The `equations.Task` of such a training."""
    problem, residual, points = key
    return equations.Task(problem, residual, config.points if points == "fresh" else None, seed)


def looks(steps, count):
    """So many steps after the start, even, the last at the end, and 0.

    >>> looks(40, 2)
    (0, 20, 40)
    """
    return tuple(round(steps * i / count) for i in range(count + 1))


def far(config, problem):
    """The distances at the end: the authors', first, and more."""
    own = EQUATIONS[problem].distance
    return (own, *(d for d in config.distances if d != own))


def follow(config, each):
    """One training: `equations.along` under "along <name>" [looks]; at the end, at each distance,
    `equations.at` [distances] and its "variations" [distances, directions]; with the published errors
    "published <name>"; at the start with l = 1 "start <name>"."""
    fresh = each.points is not None
    steps, rate = (config.steps, config.rate) if fresh else (config.fixed_steps, config.fixed_rate)
    label = f"{EQUATIONS[each.equation].label}, {RESIDUALS[each.residual]}, seed {each.seed}"
    with progress.labelled(label + ", new points" * fresh):
        how = (rate, not fresh, looks(steps, config.looks))
        thetas = cache.cached(equations.trained, each, *how)["thetas"]
        near = equations.Slices(config.look_directions, config.look_distance, 10, each.seed)
        arrays = named("along", cache.cached(equations.along, each.measured, thetas, near))
        slices = functools.partial(
            equations.Slices, config.directions, steps=config.slice_steps, seed=each.seed
        )
        at = lambda theta, how: cache.cached(equations.at, each.measured, theta, how)
        ends = [at(thetas[-1], slices(distance=d)) for d in far(config, each.equation)]
        arrays |= stacked(ends)
        own = EQUATIONS[each.equation].distance
        wrong = slices(distance=own, steps=10, published=wedges.roughness.PUBLISHED)
        arrays |= named("published", at(thetas[-1], wrong))
        return arrays | named("start", at(thetas[0], slices(distance=1.0)))


def of_network(config, seed):
    """The convolutional network as it is before the cycles of Figure 6: "start" and "optimum"."""
    problem = config.problem(initial=seed, seed=seed)
    recipe = training.Recipe("adam", 1e-3, config.epochs)
    end = training.train(problem, recipe, label=f"convolutional network {seed}").theta
    slices = equations.Slices(config.network_directions, config.network_distance, 20, seed)
    measured = dataclasses.replace(problem, initial=0, seed=0)  # one graph for all
    places = {"start": networks.start(problem), "optimum": end}
    arrays = {}
    for name, theta in places.items():
        with progress.labelled(f"network {seed}, {name}"):
            found = cache.cached(_of_network, measured, config.examples, theta, slices)
        arrays |= named(name, found)
    return arrays


def _of_network(problem, examples, theta, slices):
    found = slices.measure(networks.seen(problem, examples, examples), theta)
    return {name: getattr(found, name) for name in equations.NUMBERS}


# ---- what the numbers say ---------------------------------------------------------------------------

TWO = 2.01  # above it, a slice has more than one minimum, whatever rounding does
NEAR = 0.1  # of slices up to this distance


def of(arrays, key):
    """What was measured of a kind of training, {name: array [seeds, ...]}."""
    return under(" ".join(key), arrays)


def ratios(arrays, config, name, points="fresh"):
    """Deep Ritz over deep Galerkin at the end, at the authors' distance: {problem: [seeds]}."""
    found = {}
    for problem in config.problems:
        ritz, galerkin = (of(arrays, (problem, r, points)) for r in ("ritz", "galerkin"))
        pick = (lambda a: a["along error"][:, -1]) if name == "error" else (lambda a: a[name][:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            found[problem] = pick(ritz) / pick(galerkin)
    return found


def pairs(arrays, config):
    """The index and the predicted one of every look at every training with new points, [n] each."""
    own = [of(arrays, key) for key in keys(config) if key[2] == "fresh"]
    return [np.concatenate([a[f"along {n}"].ravel() for a in own]) for n in ("index", "predicted")]


def correlation(x, y):
    """Pearson's; NaN where either is the same everywhere."""
    return np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def short_slices(arrays, config):
    """Of slices at the ends of all trainings, up to `NEAR` long: their variations [n], their indices."""
    variations, indices = [], []
    for key in keys(config):
        own = of(arrays, key)
        for i, distance in enumerate(far(config, key[0])):
            if distance <= NEAR:
                variations.append(own["variations"][:, i].ravel())
                indices.append(own["index"][:, i].ravel())
    return np.concatenate(variations), np.concatenate(indices)


def judged(arrays, config):
    """{claim: number}: B-1 to B-6, and what is known exactly. None where there is no 1-D problem."""
    share = lambda found: float(np.mean(np.concatenate(list(found.values()))))
    test = lambda name, holds, **how: share(
        {p: holds(r) for p, r in ratios(arrays, config, name, **how).items()}
    )
    found = {
        "B-1": test("index", lambda r: r >= 1.5),
        "B-2": test("error", lambda r: r >= 3),
        "B-3.rise": None,
        "B-3.fall": None,
        "B-4": correlation(*pairs(arrays, config)),
    }
    if "line" in config.problems:
        curve = of(arrays, ("line", "galerkin", "fresh"))["along index"].mean(axis=0)
        high = curve[: (len(curve) + 1) // 2].max()
        found |= {"B-3.rise": high / max(curve[0], 1e-12), "B-3.fall": high / max(curve[-1], 1e-12)}
    variations, indices = short_slices(arrays, config)
    known = under("known", arrays)
    return found | {
        "B-5.share": (variations > TWO).mean(),
        "B-5.index": indices.max(),
        "B-6": test("index", lambda r: r <= 1.5, points="fixed"),
        "known.bowl": known["bowl"],
        "known.grid": abs(known["grid"] - 1.5404),
        "known.predicted": known["predicted"],
        "known.energy": known["energy"],
        "known.rugged": known["rugged index"],
        "known.waves": known["rugged excess"],
        "known.toy": abs(known["toy mean"] - 2),
    }


OURS = "our threshold, fixed before any run"


def claims(arrays, config):
    """What deep Ritz and deep Galerkin do, what the index sees, and what is exact."""
    claim = Verdict("roughness", f"Wu et al. 2021; {OURS}", judged(arrays, config))
    of_pairs = "share of (problem, seed) pairs in which"
    claim("B-1", f"{of_pairs} deep Ritz has at least 1.5 times deep Galerkin's index", ">=", 5 / 6)
    claim("B-2", f"{of_pairs} deep Ritz has at least 3 times deep Galerkin's error", ">=", 5 / 6)
    words = "1-D, deep Galerkin: highest index in the first half of training over that at"
    claim("B-3.rise", f"{words} the start", ">=", 3.0)
    claim("B-3.fall", f"{words} the end", ">=", 3.0)
    ours = f"our reading of the index; {OURS}"
    words = "correlation of the index along training with that of quadratic slices"
    claim("B-4", words, ">=", 0.9, source=ours)
    words = f"at the ends, l <= {NEAR:g}:"
    claim("B-5.share", f"{words} share of slices that vary by more than {TWO}", "<=", 0.05, source=ours)
    claim("B-5.index", f"{words} the largest index", "<=", 0.36, source=ours)
    words = f"one quadrature at all steps: {of_pairs} deep Ritz has at most 1.5 times the index"
    claim("B-6", words, ">=", 2 / 3, source=f"our hypothesis; {OURS}")
    _exact(claim)
    return claim.claims


def _exact(claim):
    """What is known, of bowls, waves and the toy."""
    known, exact = claim.about("known.*", "known exactly"), {"source": "closed form"}
    known("bowl", "largest index at the centre of bowls, condition up to 1e6", "<=", 1e-9, **exact)
    known("grid", "|mean variation there on the published grid - 1.5404|", "<=", 1e-4, **exact)
    known("predicted", "off their centre, |index - that of slope and curvature|", "<=", 1e-3, **exact)
    words = "energy off the least one plus half the squared gradient of the error, relative"
    known("energy", words, "<=", 1e-6, **exact)
    known("rugged", "index of a rugged bowl in one dimension, which has waves", "<=", 1e-9, **exact)
    known("waves", "how far its slices vary beyond 2", ">", 1.0, **exact)
    known("toy", "|mean variation at a zero of the toy - 2|", "<=", 0.05, source="a cone; ours")


def summary(arrays, config):
    """Of every kind of training the measures at the end, errors, and the index along it; of networks and
    what is known all numbers: what the reference guards."""
    found = {}
    for key in keys(config):
        own, label = of(arrays, key), " ".join(key)
        for name in equations.NUMBERS:
            found[f"{label}: {name}"] = own[name][:, 0]
            found[f"{label}: published {name}"] = own[f"published {name}"]
        for name in ("error", "loss", "gradient"):
            found[f"{label}: {name}"] = own[f"along {name}"][:, -1]
        found[f"{label}: index at the start, l = 1"] = own["start index"]
        for i in range(config.looks + 1):
            found[f"{label}: index along, look {i}"] = own["along index"][:, i]
    found |= {f"cnn {name}": values for name, values in under("cnn", arrays).items()}
    return found | {f"known {name}": [float(v)] for name, v in under("known", arrays).items()}


# ---- the picture ------------------------------------------------------------------------------------

# The authors' index along the training of the 1-D networks at 11 looks, recomputed from what they print.
AUTHORS_ALONG = {
    "galerkin": (0.001, 0.186, 0.219, 0.180, 0.107, 0.079, 0.029, 0.029, 0.038, 0.029, 0.020),
    "ritz": (0.065, 0.018, 0.103, 0.002, 0.136, 0.196, 0.105, 0.159, 0.196, 0.208, 0.173),
}
# And of the 3-D ball at l = 0.1 to 0.5.
AUTHORS_FAR = {
    "galerkin": (0.068, 0.100, 0.124, 0.145, 0.152),
    "ritz": (0.126, 0.138, 0.116, 0.148, 0.164),
}


def colors():
    """{residual: its colour}."""
    return {"galerkin": wedges.plots.BLUE, "ritz": wedges.plots.ORANGE}


def plot(arrays, config):
    """The index at the end, along training, against its prediction; variations, lengths, quadrature."""
    numbers = judged(arrays, config)
    title = "The roughness index tells how far off their minima the slices of a loss are"
    title += ", hardly how rough they are" * bool(numbers["B-5.share"] <= 0.05) + "\n"
    title += f"Small networks for -Laplace u = f, {pictures.counted(config.seeds, 'seed')}; "
    title += f"{numbers['B-5.share']:.1%} of all slices up to l = {NEAR:g} have more than one minimum"
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 2.9))
    _draw_ends(axes[0], arrays, config)
    _draw_along(axes[1], arrays, config)
    _draw_predicted(axes[2], arrays, config)
    _draw_variations(axes[3], arrays, config)
    _draw_distances(axes[4], arrays, config)
    _draw_points(axes[5], arrays, config)
    return figure


def _draw_ends(ax, arrays, config):
    """The index at the end: each seed, the authors', the convolutional network and its bound."""
    ticks, x = {}, 0
    for problem, (i, residual) in itertools.product(config.problems, enumerate(RESIDUALS)):
        own = of(arrays, (problem, residual, "fresh"))["index"][:, 0]
        color = colors()[residual]
        ax.plot(np.full(len(own), x), own, "o", color=color, markersize=5)
        theirs = EQUATIONS[problem].index[i]
        ax.plot([x - 0.25, x + 0.25], [theirs] * 2, color="black", linewidth=1.6)
        ticks[x] = f"{EQUATIONS[problem].label}\n{RESIDUALS[residual].split()[1]}"
        x += 1
    for name in ("start", "optimum"):
        own = arrays[f"cnn {name} index"]
        ax.plot(np.full(len(own), x), own, "^", color=wedges.plots.GREEN, markersize=6)
        ticks[x] = f"CNN\n{name}"
        x += 1
    pictures.level(ax, wedges.roughness.UNIMODAL)
    how = {"ha": "left", "va": "bottom", "fontsize": 8.5}
    ax.text(-0.3, wedges.roughness.UNIMODAL, "the most of unimodal slices", **how)
    test = ratios(arrays, config, "index")
    held = sum(int((r >= 1.5).sum()) for r in test.values())
    title = f"Ritz has at least 1.5 times Galerkin's in {held} of {sum(map(len, test.values()))} pairs\n"
    title += "(bars: the authors')"
    wedges.plots.label_axes(ax, title=title, y="roughness index at the end", ticks=ticks)
    ax.set_ylim(0, max(0.4, ax.get_ylim()[1]))


def _draw_along(ax, arrays, config):
    """The index along training of the first problem, and the authors' where it is the same."""
    problem = config.problems[0]
    share = np.linspace(0, 1, config.looks + 1)
    for residual, color in colors().items():
        own = of(arrays, (problem, residual, "fresh"))["along index"]
        wedges.plots.curve(ax, share, own, color=color, label=RESIDUALS[residual])
        if problem == "line":
            theirs = AUTHORS_ALONG[residual]
            ax.plot(np.linspace(0, 1, len(theirs)), theirs, ":", color=color, linewidth=1.4)
    curve = of(arrays, (problem, "galerkin", "fresh"))["along index"].mean(axis=0)
    top = int(curve.argmax())
    title = f"{EQUATIONS[problem].label}: Galerkin's index is highest, {curve[top]:.2f}, "
    title += f"after {share[top]:.0%} of training,\nand {curve[-1]:.2f} at its end"
    title += " (dotted: the authors')" * (problem == "line")
    y = f"roughness index, l = {config.look_distance:g}"
    wedges.plots.label_axes(ax, title=title, x="share of training", y=y, legend=8)


def _draw_predicted(ax, arrays, config):
    """The index against that of quadratic slices, every look."""
    for residual, color in colors().items():
        for problem, marker in zip(config.problems, "os^", strict=False):
            own = of(arrays, (problem, residual, "fresh"))
            x, y = own["along predicted"].ravel(), own["along index"].ravel()
            label = f"{RESIDUALS[residual]}, {EQUATIONS[problem].label}"
            ax.plot(x, y, marker, color=color, markersize=4, alpha=0.6, label=label)
    top = max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([0, top], [0, top], color="black", linewidth=0.8)
    r = correlation(*pairs(arrays, config))
    title = "One gradient and Hessian products predict it" if r >= 0.9 else "Measured and predicted"
    title += f":\ncorrelation {r:.2f} over all looks" if np.isfinite(r) else ", too few to correlate"
    x = "index of quadratic slices"
    wedges.plots.label_axes(ax, title=title, x=x, y="roughness index measured", legend=8)


def _draw_variations(ax, arrays, config):
    """How the variations of slices are spread at the end, of the last problem."""
    problem = config.problems[-1]
    bins, beyond = np.linspace(1, 2.2, 25), []
    for residual, color in colors().items():
        own = of(arrays, (problem, residual, "fresh"))["variations"][:, 0].ravel()
        beyond.append(f"{(own > TWO).mean():.1%}")
        how = {"color": color, "alpha": 0.55, "label": RESIDUALS[residual]}
        ax.hist(np.minimum(own, bins[-1]), bins, weights=np.full(len(own), 1 / len(own)), **how)
    pictures.here(ax, 2)
    title = f"{EQUATIONS[problem].label}, l = {EQUATIONS[problem].distance:g}: from 1 (monotone) to 2 "
    title += f"(symmetric);\nbeyond 2: {beyond[0]} of Galerkin's slices, {beyond[1]} of Ritz's"
    x = "total variation of a slice over its range"
    wedges.plots.label_axes(ax, title=title, x=x, y="share of slices", legend=8)


def _draw_distances(ax, arrays, config):
    """The index against the slices' length, of the last problem."""
    problem = config.problems[-1]
    lengths = np.array(far(config, problem))
    order = np.argsort(lengths)
    for residual, color in colors().items():
        own = of(arrays, (problem, residual, "fresh"))["index"][:, order]
        wedges.plots.curve(ax, lengths[order], own, color=color, label=RESIDUALS[residual])
        if problem == "ball":
            ax.plot(np.arange(1, 6) / 10, AUTHORS_FAR[residual], ":", color=color, linewidth=1.4)
    title = f"{EQUATIONS[problem].label}: the index depends on how far one looks"
    title += "\n(dotted: the authors')" if problem == "ball" else ""
    wedges.plots.label_axes(ax, title=title, x="l, in lengths of filters", y="roughness index", legend=8)


def _draw_points(ax, arrays, config):
    """Ritz over Galerkin with new points at each step and with one quadrature."""
    names, held = {"fresh": "new points\nat each step", "fixed": "one quadrature"}, {}
    for problem, look in zip(config.problems, pictures.looks(), strict=False):
        for x, points in enumerate(names):
            own = ratios(arrays, config, "index", points)[problem]
            held[points] = held.get(points, 0) + int((own > 1.5).sum())
            shown = np.full(len(own), x) + 0.05 * np.arange(len(own))
            label = EQUATIONS[problem].label if x == 0 else None
            ax.plot(shown, own, look["marker"], color=look["color"], label=label)
    pictures.level(ax, 1.5, "1.5 times")
    count = config.seeds * len(config.problems)
    title = f"Ritz above 1.5 times Galerkin: {held['fresh']} of {count} pairs,\n"
    title += f"{held['fixed']} of {count} without sampling noise"
    y = "Ritz's index over Galerkin's"
    ticks = dict(enumerate(names.values()))
    wedges.plots.label_axes(ax, title=title, y=y, log="y", ticks=ticks, legend=8)
    ax.set_xlim(-0.5, 1.5)


if __name__ == "__main__":
    runs.main(__name__)
