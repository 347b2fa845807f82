"""Figure 4: how many directions are short, at optima, along a tunnel, in the middle of m-connectors?

The paper expects more short directions where low-loss wedges meet than on one of them, growing with the
number of optima joined. We count in two ways on the network, with error bars:

  cuts         the smallest random cut in which descent undoes 90% of a random displacement's rise
  eigenvalues  the Hessian's eigenvalues above a floor, by stochastic Lanczos quadrature

and on the toy landscape, where the truth is known, in two more: the geometry itself, and the rank of the
gradients around the point. A loss is the distance to the *nearest* wedge, so the first two may see one
wedge where several cross; the toy shows by how much. behind.png: what the counts are made of.

    python -m reproductions.fig4_short_directions --preset=quick    digits, a minute
    python -m reproductions.fig4_short_directions                   CIFAR-10, 12 minutes after training
    python -m reproductions.fig4_short_directions --m=1,3 --displacement=2 --floors=0.3,3
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 4.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, devices, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Even, Floats, Ints, at_least, between, inside, option
from reproductions.common import networks, optima, pictures, toys, training
from reproductions.common.arrays import mean_and_error, named, stacked

TOY = ("geometry", "gradients", "cuts", "eigenvalues")
_CUTS = {"paper": (30, 100, 300, 1000, 3000), "quick": (10, 30, 100, 300, 1000), "smoke": (30, 300)}


@options.settings
class Config(optima.Config):
    m: Ints = option("m of the middles", between(2, 20), paper=(2, 3, 5, 10), quick=(2, 4), smoke=(2,))
    segments: int = option("segments of the tunnel whose vertices are probed", Even(2), paper=4, smoke=2)
    steps: int = option("steps that make each point low", paper=780, quick=200, smoke=20)
    displacement: float = option("length of displacement that a cut has to undo", paper=5.0)
    cuts: Ints = option("dimensions of the random cuts, rising", **_CUTS)
    cut_samples: int = option("random displacements at each point", at_least(2), paper=2)
    cut_steps: int = option("gradient steps in each cut", paper=200, quick=100, smoke=10)
    cut_rate: float = option("Adam's learning rate in a cut, where it starts", flag="cut_lr", paper=0.01)
    left: float = option("share of a displacement's rise that may be left", inside(0, 1), paper=0.1)
    floors: Floats = option("floors of the count, nats / length^2", paper=(1.0, 10.0), quick=(0.1, 1.0))
    hessian_examples: int = option("Hessian's examples", paper=2000, quick=500, smoke=100)
    lanczos: int = option("Lanczos steps from each random vector", paper=20, smoke=10)
    vectors: int = option("random vectors of the eigenvalue count", at_least(2), paper=2)
    toy_dimension: int = option("D of the toy", between(4, 5000), paper=500, quick=300, smoke=100)
    toy_short: int = option("s, short directions of its wedges", paper=20, smoke=8)

    def check(self):
        super().check()
        if list(self.cuts) != sorted(set(self.cuts)):
            raise UsageError(f"--cuts={options.show(self.cuts)}: must rise, e.g. 100,300,1000.")
        toys.check_crossing(max(self.m), self.toy_short, self.toy_dimension)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Of each place: "train loss", "left" [places, samples, cuts], "eigenvalues" [places, floors,
    vectors]; of the toy, "toy <estimator>" [m's, 2]: the optimised middle and the wedges' crossing."""
    network, seed = config.network(), config.seed
    size = networks.dimension(network.problem)
    if max(config.cuts) > size:
        raise UsageError(f"--cuts={max(config.cuts)}: the network has {size} weights, no larger cut.")
    descent = config.cut_steps, config.cut_rate
    cuts = Cuts(config.cuts, config.displacement, config.cut_samples, *descent, seed)
    spectrum = Spectrum(config.floors, config.hessian_examples, config.vectors, config.lanczos, seed)
    probe = functools.partial(_probe, network, cuts, spectrum)
    found = parallel.over(probe, list(_places(config, network).items()))
    dimension, s, k = config.toy_dimension, config.toy_short, max(config.m) + 1
    toy = toys.Toy("finite", dimension, dimension - s, k, seed)
    counts = cache.cached(_toy, toy, middles(config), config.cut_samples, config.left)
    return stacked(found) | named("toy", counts)


def names(config):
    """The places that are probed, in words: two optima, the tunnel's vertices, the middles."""
    share = [i / config.segments for i in range(1, config.segments)]
    tunnel = [f"tunnel, {t:g}" for t in share]
    return ["optimum 1", "optimum 2", *tunnel, *(f"middle, m = {m}" for m in config.m)]


def middles(config):
    """m of the middles: that of the tunnel is m = 1."""
    return [1, *config.m]


def _places(config, network):
    """{name: theta [D]} of all places, each between optima made low by itself."""
    thetas = optima.trained(config, max(config.m) + 1)  # [K, D]
    how = optima.OneByOne(config.rate, config.steps)
    between = functools.partial(_between, network, thetas, config.segments, how)
    found = np.concatenate([thetas[:2], *parallel.over(between, middles(config))])
    return dict(zip(names(config), found, strict=True))


def _between(network, thetas, segments, how, m):
    """The tunnel's inner vertices for m = 1, else the middle of the first m + 1 optima: [points, D]."""
    basis, label = wedges.simplex.Grid(1, segments), "tunnel"
    if m > 1:
        basis, label = wedges.simplex.Scattered(wedges.simplex.centroid(m)), f"middle, m = {m}"
    return optima.surface(network, thetas[: m + 1], basis, how, label).vertices[m + 1 :]


def _probe(network, cuts, spectrum, place):
    """Both estimators at one place (name, theta)."""
    name, theta = place
    with progress.labelled(name):
        return {
            **cache.cached(_loss, network, theta),
            **cache.cached(_cuts, network, theta, cuts),
            **cache.cached(_eigenvalues, network, theta, spectrum),
        }


def _loss(network, theta):
    return {"train loss": network.seen(theta)}


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Random cuts in which descent is to undo a displacement: see `wedges.smallest_cut`. `rate`: Adam's,
    where it starts."""

    dimensions: tuple[int, ...]
    displacement: float
    samples: int
    steps: int
    rate: float
    seed: int


def _cuts(network, theta, cuts):
    total = cuts.samples * len(cuts.dimensions) * cuts.steps
    with progress.labelled("cuts"), training.following(total) as follow:
        found = wedges.smallest_cut(
            network.seen,
            theta,
            cuts.dimensions,
            displacement=cuts.displacement,
            samples=cuts.samples,
            optimizer=training.cosine_adam(cuts.rate, cuts.steps),
            steps=cuts.steps,
            seed=cuts.seed,
            descend_on=network.descend,
            jit_compile=devices.compiled(),
            follow=follow,
        )
    return {"left": found.left, "rises": found.rises}


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigenvalues above `floors` of the Hessian of so many examples: see `wedges.eigenvalue_count`."""

    floors: tuple[float, ...]
    examples: int
    vectors: int
    steps: int
    seed: int


def _eigenvalues(network, theta, spectrum):
    seen, part = network.seen, slice(spectrum.examples)
    how = {"batch_norm": "frozen", "evaluation_batch_size": 250}
    hessian = seen.on(seen.x[part], seen.y[part], **how)
    how = {"samples": spectrum.vectors, "steps": spectrum.steps, "seed": spectrum.seed}
    counts = wedges.eigenvalue_count(hessian, theta, spectrum.floors, **how)
    return {"eigenvalues": np.stack([c.samples for c in counts])}


def _toy(toy, middles, samples, left):
    """{estimator [m's, 2]}: at the middle as the paper optimises it, and at the crossing of all m + 1
    wedges; and the same of one optimum, "optimum <estimator>" []."""
    points = toys.gaussian(toy.seed, toy.k, toy.dimension)
    normals = toy.landscape.normals.numpy()  # [K, s, D]
    # An optimum on each wedge: the nearest point of it.
    ends = np.stack([p - n.T @ (n @ p) for p, n in zip(points, normals, strict=True)])
    count = functools.partial(_toy_counts, toy, samples, left)
    rows = []
    for m in progress.bar("toy", iterable=middles, unit="m"):
        mine = ends[: m + 1]
        rows.append(stacked([count(toy.middle(mine), m), count(toy.crossing(mine), m)]))
    return stacked(rows) | named("optimum", count(ends[0], 0))


def _toy_counts(toy, samples, left, theta, m):
    """{estimator: count} at one point of the toy landscape."""
    s, seed = toy.dimension - toy.n, toy.seed
    near = theta + toys.RADIUS * wedges.isotropic(toy.dimension, 1, seed=[seed, m])[0]
    dimensions = {round(f * s) for f in (0.5, 0.75, 1, 1.5)} | {(m + 1) * s // 2, (m + 1) * s}
    cuts = wedges.smallest_cut(
        toy.squared,
        theta,
        sorted(dimensions),
        displacement=toys.RADIUS,
        samples=samples,
        optimizer=wedges.ConjugateGradients(),
        steps=100,
        seed=seed,
    )
    gradients = 6 * (m + 1) * s
    eigenvalues = wedges.eigenvalue_count(toy.squared, near, 0.5, samples=8, steps=10, seed=seed)
    return {
        "geometry": len(toy.landscape.short_directions(theta, toys.NEAR)),
        "gradients": wedges.gradient_rank(toy.landscape, theta, toys.RADIUS, gradients, seed=seed),
        "cuts": wedges.short.recovered(cuts, left).mean / (1 - left),
        "eigenvalues": eigenvalues.mean,
    }


# ---- what the numbers say ---------------------------------------------------------------------------


def _counts(arrays, config):
    """{estimator: (mean [places], standard error [places])} on the network."""
    cuts = _recovered(arrays, config)
    found = {"cuts": (np.array([c.mean for c in cuts]), np.array([c.error for c in cuts]))}
    for i, floor in enumerate(config.floors):
        found[f"eigenvalues above {floor:g}"] = mean_and_error(arrays["eigenvalues"][:, i])
    return found


def _recovered(arrays, config):
    """What the cuts say at each place: a `wedges.short.Count` each."""
    pairs = zip(arrays["left"], arrays["rises"], strict=True)
    cuts = [wedges.short.Cuts(left, np.array(config.cuts), rises) for left, rises in pairs]
    return [wedges.short.recovered(c, config.left) for c in cuts]


def by_m(values, config):
    """{m: value}, of values [places]: m = 0 is the mean of the two optima, 1 the tunnel's middle."""
    at = dict(zip(names(config), values, strict=True))
    optima = (at["optimum 1"] + at["optimum 2"]) / 2
    return {0: optima, 1: at["tunnel, 0.5"], **{m: at[f"middle, m = {m}"] for m in config.m}}


def errors_by_m(errors, config):
    """{m: standard error}, from those of the places [places]; of the optima's mean, that of the mean."""
    squares = by_m(np.square(errors), config)
    return {m: np.sqrt(square / (1 if m else 2)) for m, square in squares.items()}


def rank(values):
    """Spearman's correlation of the values of {m: value} with m; NaN where they have no order."""
    from scipy.stats import spearmanr

    m, counts = np.array(list(values)), np.array(list(values.values()))
    ordered = np.isfinite(counts).all() and np.ptp(counts) > 0
    return spearmanr(m, counts).statistic if ordered else np.nan


def judged(arrays, config):
    """{claim: number}: each estimator on the network, and how far the toy's counts are off, at most."""
    found, expected = {}, (np.array(middles(config)) + 1) * config.toy_short
    for name, (mean, _) in _counts(arrays, config).items():
        at = by_m(mean, config)
        found[f"middle.{_id(name)}"] = at[1] / at[0] if at[0] > 0 else np.nan
        found[f"rank.{_id(name)}"] = rank(at)
    for name in ("geometry", "gradients"):
        found[f"toy.{name}"] = np.abs(arrays[f"toy {name}"][:, 1] / expected - 1).max()
    return found


def _id(estimator):
    """Its word in the ids of claims."""
    return estimator.replace("eigenvalues above ", "eigenvalues.")


MIDDLE = "More directions are short between optima than at them (there: about 300)."
GROWS = "In the middle of m-connectors their number grows with m."
ADD_UP = "Where m + 1 wedges meet, their short directions add up."


def claims(arrays, config):
    """Every claim of fig4: each estimator, and the toy's truth."""
    claim = Verdict("fig4", "Fort & Jastrzebski 2019, Fig. 4", judged(arrays, config))
    for name in _counts(arrays, config):
        own = claim.about(f"*.{_id(name)}", name)
        own("middle", "tunnel's middle / optima", ">", 1, says=MIDDLE, threshold=THEIRS)
        own("rank", "rank correlation with m", ">=", 0.8, says=GROWS)
    for name in ("geometry", "gradients"):
        words = f"toy, crossing of m + 1 wedges: |{name} / (m + 1) s - 1|"
        claim(f"toy.{name}", words, "<=", 0.05, says=ADD_UP)
    return claim.claims


def summary(arrays, config):
    """Each sample of every count on the network, and the toy's counts: what the reference guards."""
    loss, cuts = arrays["train loss"], _recovered(arrays, config)
    found = {"optima: train loss": loss[:2], "between: train loss": loss[2:]}
    for i, place in enumerate(names(config)):
        found[f"{place}: cuts"] = cuts[i].samples
        for floor, values in zip(config.floors, arrays["eigenvalues"][i], strict=True):
            found[f"{place}: eigenvalues above {floor:g}"] = values
    for name in TOY:
        found[f"toy optimum: {name}"] = [arrays[f"toy optimum {name}"]]
        for m, (middle, crossing) in zip(middles(config), arrays[f"toy {name}"], strict=True):
            found |= {f"toy middle, m {m}: {name}": [middle], f"toy crossing, m {m}: {name}": [crossing]}
    # A count that no cut reached is no number to compare.
    return {name: v for name, v in found.items() if np.isfinite(v).all()}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Counts against m: on the network, and on the toy landscape, where the truth is known."""
    title = f"{_finding(arrays, config)}\n{pictures.named(config.model)} on "
    title += f"{pictures.named(config.dataset)}, one set of optima; bars: standard error over "
    title += f"{config.cut_samples} displacements of length {config.displacement:g}, {config.vectors} "
    title += (
        f"Lanczos vectors; toy: D = {config.toy_dimension}, s = {config.toy_short} short directions "
    )
    title += "a wedge"
    figure, ((network, toy),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.9))
    _draw_network(network, arrays, config)
    _draw_toy(toy, arrays, config, 1, "(b) Toy: the crossing of m + 1 wedges")
    return figure


def more_pictures(arrays, config):
    """{name: picture}: what stands behind the counts."""
    low, *middle = by_m(arrays["train loss"], config).values()
    title = "What stands behind the counts of short directions"
    if min(middle) > low:
        title = f"In the middles the loss is {min(middle):.2g} nats or more, at the optima {low:.2g}"
    title += f"\n{pictures.named(config.model)} on {pictures.named(config.dataset)}"
    figure, axes = wedges.plots.grid(2, 2, title=title, panel=(4.3, 3.2))
    _draw_along(axes[0, 0], arrays, config)
    _draw_cuts(axes[0, 1], arrays, config)
    _draw_toy(axes[1, 0], arrays, config, 0, "(c) Toy: the middle, minimised as in the paper")
    loss, m = by_m(arrays["train loss"], config), [0, *middles(config)]
    axes[1, 1].plot(m, list(loss.values()), "o-", color=wedges.plots.GREY)
    how = {"title": "(d) Network: the loss at the middles", "y": "training loss (nats)"}
    wedges.plots.label_axes(axes[1, 1], x="m (0: the optima)", **how, ticks=m)
    return {"behind": figure}


def _finding(arrays, config):
    """A sentence that is true of these numbers."""
    found = {claim.id: claim.passed for claim in claims(arrays, config)}
    grow = [passed for name, passed in found.items() if name.startswith("fig4.rank")]
    if all(grow):
        return "The more optima are joined, the more directions are short in the middle"
    growth = "no estimator finds growth" if not any(grow) else "only some estimators find growth"
    toy = [arrays[f"toy {name}"][:, 1] for name in ("cuts", "eigenvalues")]
    nearest = all(np.max(counts) <= 1.5 * config.toy_short for counts in toy)
    known = found["fig4.toy.geometry"] and found["fig4.toy.gradients"]
    why = "; on the toy, where they add up, a loss shows only the nearest wedge's"
    return f"Short directions on the network: {growth} with m{why if nearest and known else ''}"


def looks(estimators):
    """{estimator: how it is drawn}, the same in all panels; of eigenvalues the first floor's first."""
    plots = wedges.plots
    own = {
        "cuts": {"marker": "s", "color": plots.ORANGE, "markersize": 5},
        "geometry": {"marker": "D", "color": plots.GREY, "markersize": 9},
        "gradients": {"marker": ".", "color": plots.GREEN, "markersize": 7},
    }
    floors = zip("o^vP", (plots.BLUE, plots.GREEN, "black", "tab:pink"), strict=True)
    floors = itertools.cycle({"marker": m, "color": c, "markersize": 5} for m, c in floors)
    return {name: own[name] if name in own else next(floors) for name in estimators}


def _draw_counts(ax, x, counts, config):
    """{estimator: (mean, error)} at x, on a logarithmic axis: 0, or what was not found, has no place."""
    for name, look in looks(counts).items():
        mean, error = (np.where(counts[name][0] > 0, v, np.nan) for v in counts[name])
        words = _long(name, config) + ("" if np.isfinite(mean).any() else " (none found)")
        ax.errorbar(x, mean, error, linewidth=1.4, capsize=3, label=words, **look)


def _draw_network(ax, arrays, config):
    m, at = [0, *middles(config)], lambda values: np.array(list(values.values()))
    counts = {
        name: (at(by_m(mean, config)), at(errors_by_m(error, config)))
        for name, (mean, error) in _counts(arrays, config).items()
    }
    _draw_counts(ax, m, counts, config)
    if (above := ~np.isfinite(counts["cuts"][0])).any():
        look = looks(counts)["cuts"] | {"marker": "^", "markersize": 8, "linestyle": ""}
        words = f"none of up to {max(config.cuts):,} does, for some displacement"
        ax.plot(np.array(m)[above], np.full(above.sum(), max(config.cuts)), label=words, **look)
    first = next(mean[0] for name, (mean, _) in counts.items() if name != "cuts")
    if first > 0:
        more = {"color": looks(counts)[list(counts)[1]]["color"], "label": "(m + 1) times the optima's"}
        ax.plot(m, (np.array(m) + 1) * first, ":", **more)
    if (config.model, config.dataset) == ("simple_cnn", "cifar10"):
        # What its text says of optima; the values of its figure are not known.
        ax.plot([0], [300], "x", color="black", markersize=8, markeredgewidth=2)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
        how = {"xytext": (8, 6), "textcoords": "offset points", "fontsize": 8.5, "bbox": box}
        ax.annotate("the paper: about 300", (0, 300), **how)
    how = {"x": "m (0: the optima)", "y": "short directions, by each estimator", "ticks": m}
    title = "(a) Network: the middle of m + 1 optima"
    wedges.plots.label_axes(ax, title=title, **how, log="y", legend=8)


def _long(name, config):
    """What an estimator counts, in words."""
    if name == "cuts":
        return f"smallest random cut that undoes {100 * (1 - config.left):g}%"
    return name.replace("eigenvalues", "Hessian's eigenvalues")


def _draw_toy(ax, arrays, config, kind, title):
    """kind: 0 is the middle that minimising finds, 1 the crossing of all wedges."""
    m = [0, *middles(config)]
    ax.plot(m, (np.array(m) + 1) * config.toy_short, ":", color="black", label="(m + 1) s, the truth")
    words = {"geometry": "geometry", "gradients": "rank of gradients", "cuts": "smallest random cut"}
    words["eigenvalues"] = "Hessian's eigenvalues"
    for name, look in looks(words).items():
        y = [arrays[f"toy optimum {name}"], *arrays[f"toy {name}"][:, kind]]
        ax.plot(m, y, label=words[name], linewidth=1.4, **look)
    ax.set_ylim(bottom=0)
    how = {"x": "m (0: an optimum)", "y": "short directions", "ticks": m}
    wedges.plots.label_axes(ax, title=title, **how, legend=8)


def _draw_along(ax, arrays, config):
    places = names(config)
    path = [0, *(i for i, place in enumerate(places) if place.startswith("tunnel")), 1]
    counts = {k: (mean[path], error[path]) for k, (mean, error) in _counts(arrays, config).items()}
    _draw_counts(ax, np.linspace(0, 1, config.segments + 1), counts, config)
    how = {"title": "(a) Network: along the tunnel", "x": "from one optimum (0) to the other (1)"}
    wedges.plots.label_axes(ax, **how, y="short directions", log="y", legend=8)


def _draw_cuts(ax, arrays, config):
    """One line for each number of optima that are joined; others of the tunnel are left out."""
    lines = {m: 100 * left for m, left in by_m(arrays["left"].mean(axis=1), config).items()}
    for i, (m, left) in enumerate(lines.items()):
        color = wedges.plots.shade(i / max(1, len(lines) - 1) * 0.85)
        name = f"m = {m}" if m else "optima"
        ax.plot(config.cuts, left, "o-", color=color, markersize=3, label=name)
    pictures.level(ax, 100 * config.left)
    how = {"title": "(b) Network: what descent in a cut leaves", "x": "dimension of the cut"}
    wedges.plots.label_axes(ax, **how, y="of the displacement's rise (%)", log="x")
    wedges.plots.name_lines(ax, room=0.8)


if __name__ == "__main__":
    runs.main(__name__)
