"""How many short directions do the wedges of m + 1 optima have together?

Random starts are minimised to optima on different wedges. Where their wedges meet, the zero set has
the short directions of all of them: about (m + 1) s for s << D, and D [1 - (1 - s/D)^(m+1)] for
random axis-aligned wedges, which share some. Measured in four ways: the geometry of the optima
themselves; the geometry at a common point c that `wedges.connect.corner` finds from the loss alone;
the span of gradients around c; and, for two wedges, the smallest random cut that recovers the loss
from a displacement of c. The last sees only the *nearest* wedge and keeps saying s.

    python -m reproductions.toy_intersection --preset=quick     a minute
    python -m reproductions.toy_intersection                    three minutes on two cores
    python -m reproductions.toy_intersection --dimension=500 --short=10 --optima=2,4,8
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Ints, at_least, between, option
from reproductions.common import pictures, toys
from reproductions.common.arrays import under

OURS = {"source": "beyond the paper; wedges.connect", "says": "Not in the paper."}
CUTS = (0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0)  # d of the random cuts at the crossing, over s


@options.settings
class Config(options.Config):
    dimension: int = option("D", between(4, 5000), paper=1000, quick=600, smoke=60)
    short: Ints = option(
        "short directions s of one wedge", below="dimension", paper=(20, 50), quick=(30,), smoke=(6,)
    )
    optima: Ints = option(
        "how many optima, m + 1", at_least(2), paper=(2, 3, 5, 8, 11), quick=(2, 4, 8), smoke=(2,)
    )
    k: int = option("K, wedges of the finite variant; not below --optima", paper=40, quick=20, smoke=8)
    seeds: int = option("independent repetitions", paper=2, smoke=1)
    cuts: int = option("random cuts a point, at the crossing", paper=16, quick=8)

    def check(self):
        super().check()
        if self.k < max(self.optima):
            raise UsageError(f"--k={self.k}: must be at least the number of optima, {max(self.optima)}.")


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Counts "<variant> <way>" [seeds, s, optima], ways optima, common, gradients; the height of paths
    "<variant> loss" [seeds, s, optima]; success of cuts "<variant> cut" [seeds, s, d]."""
    places = [
        toys.Toy(variant, config.dimension, config.dimension - s, config.k, seed)
        for variant, seed, s in itertools.product(toys.VARIANTS, config.repeats, config.short)
    ]
    meetings = [Meeting(toy, count) for toy in places for count in config.optima]
    watched = progress.bar("intersections", iterable=meetings, unit="point")
    counts = parallel.over(functools.partial(cache.cached, counted), watched)
    arrays = toys.by_variant([meeting.toy for meeting in meetings], counts)
    watched = progress.bar("cuts", iterable=places, unit="point")
    cuts = parallel.over(functools.partial(cache.cached, recovered, config.cuts), watched)
    arrays |= toys.by_variant(places, cuts)
    return {name: a.reshape(config.seeds, len(config.short), -1) for name, a in arrays.items()}


@dataclasses.dataclass(frozen=True)
class Meeting:
    """Where the wedges of `count` optima of a toy meet."""

    toy: toys.Toy
    count: int


def counted(meeting):
    """Short directions where the wedges meet, in three ways, "optima", "common" and "gradients" [] each;
    and the height of the paths from there to the optima, "loss" []."""
    toy = meeting.toy
    ends = on_different_wedges(toy, meeting.count)
    normals = [toy.landscape.short_directions(end, toys.NEAR) for end in ends]
    center = toy.crossing(ends)
    expected = int(toys.together(toy.dimension, toy.s, meeting.count, toy.variant))
    samples = min(4 * expected, 3000)
    return {
        "optima": np.linalg.matrix_rank(np.concatenate(normals), tol=1e-3),
        "common": len(toy.landscape.short_directions(center, toys.NEAR)),
        "gradients": wedges.gradient_rank(toy.landscape, center, toys.RADIUS, samples, seed=toy.seed),
        "loss": _height(toy.landscape, center, ends),
    }


def on_different_wedges(toy, count):
    """`count` of the toy's optima, no two of them on one wedge: [count, D]."""
    found = toy.optima(toys.gaussian(toy.seed, 6 * count, toy.dimension))
    chosen, normals, rank = [], np.zeros((0, toy.dimension)), 0
    for theta in found:
        more = np.concatenate([normals, toy.landscape.short_directions(theta, toys.NEAR)])
        more_rank = np.linalg.matrix_rank(more, tol=1e-3)
        # Another wedge brings normals of its own, unless all directions are taken.
        if more_rank > rank or rank == toy.dimension:
            chosen, normals, rank = [*chosen, theta], more, more_rank
        if len(chosen) == count:
            return np.stack(chosen)
    few = f"{len(found)} random starts fell to {len(chosen)} wedges, not {count}"
    if toy.variant == "finite":
        raise UsageError(f"--k={toy.k}: {few}; take more, e.g. four times as many as optima.")
    raise UsageError(f"--optima={count}: {few}; take fewer, or another --seed.")


def _height(landscape, center, ends):
    """The highest loss on the straight paths from the center to the ends, over that on the line between
    two ends."""
    highest = lambda a, b: wedges.connect.along(landscape, np.stack([a, b]), 50)[1].max()
    return np.max([highest(end, center) for end in ends]) / highest(*ends[:2])


def recovered(cuts, toy):
    """Share of random cuts through a displaced crossing of two wedges that reach loss 0: "cut" [d]."""
    center = toy.crossing(on_different_wedges(toy, 2))
    away = toys.gaussian(toy.seed + 1, cuts, toy.dimension)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    # A tenth of the way back to the optima: the nearest wedges are still the two.
    starts = center + 0.1 * np.linalg.norm(center) * away  # [cuts, D]
    success = [_success(toy, starts, d) for d in dims(toy)]
    return {"cut": np.array(success)}


def dims(toy):
    """The dimensions of the cuts at a crossing, [d]."""
    return [min(toy.dimension, max(1, round(share * toy.s))) for share in CUTS]


def _success(toy, starts, d):
    """Share of random cuts of d dimensions, one through each start [R, D], that reach loss 0."""
    cut = wedges.random_cut(starts, d, seed=range(toy.seed, toy.seed + len(starts)))
    cg = wedges.ConjugateGradients()
    found = wedges.minimize(toy.squared, starts, cg, 6 * toy.s, subspace=cut, tolerance=1e-6)
    return (toy.landscape(found.theta).numpy() < 1e-3 * toy.landscape(starts).numpy()).mean()


# ---- what the numbers say ---------------------------------------------------------------------------

WAYS = {
    "optima": "normals of the optima",
    "common": "at the common point",
    "gradients": "gradients there",
}


def means(arrays, variant):
    """{name: [s, ...]} of a variant: counts, heights of paths, success of cuts, means over seeds."""
    return {name: values.mean(axis=0) for name, values in under(variant, arrays).items()}


def half(success):
    """The d / s at which half of the cuts first succeed, [s, d] -> [s]; NaN if never."""
    good = [np.flatnonzero(row >= 0.5) for row in success]
    return np.array([CUTS[g[0]] if len(g) else np.nan for g in good])


def judged(arrays, config):
    """{claim: number}: how far each way of counting is off the formulas, at most."""
    found, s, optima = {}, np.array(config.short)[:, None], np.array(config.optima)
    few = optima * s <= 0.2 * config.dimension
    for v in toys.VARIANTS:
        mean, expected = means(arrays, v), toys.together(config.dimension, s, optima, v)  # [s, optima]
        small = np.abs(mean["optima"] / (optima * s) - 1)[few]
        found |= {f"{way}.{v}": np.abs(mean[way] / expected - 1).max() for way in WAYS}
        found |= {
            f"small.{v}": small.max() if few.any() else None,
            f"paths.{v}": arrays[f"{v} loss"].max(),
            f"cut.{v}": half(mean["cut"]).max(),
        }
    return found


ADD_UP = "Where the wedges of m + 1 optima meet, about (m + 1) s directions are short, while s is small."


def claims(arrays, config):
    """The counts against the formulas on every variant, and what a loss-based cut says."""
    claim = Verdict("toy.intersection", "Fort & Jastrzebski 2019, section 3", judged(arrays, config))
    for v in toys.VARIANTS:
        own = claim.about(f"*.{v}", toys.LABELS[v])
        formula = "min(D, (m + 1) s)" if v == "finite" else "D [1 - (1 - s/D)^(m+1)]"
        own("optima", f"|normals of the optima / {formula} - 1|", "<=", 0.05, says=ADD_UP)
        few = "|count / ((m + 1) s) - 1| while (m + 1) s <= D/5"
        own("small", few, "<=", 0.12, says=ADD_UP)
        own("common", "|geometry at the common point / formula - 1|", "<=", 0.1, **OURS)
        own("gradients", "|span of gradients there / formula - 1|", "<=", 0.1, **OURS)
        own("paths", "highest loss from the common point to the optima / line's", "<=", 0.05, **OURS)
        own("cut", "random cuts recover the loss from d = this x s on, not 2 s", "<=", 1.3, **OURS)
    return claim.claims


def summary(arrays, config):
    """Every count [seeds]: what the reference guards."""
    found = {}
    for v, (i, s) in itertools.product(toys.VARIANTS, enumerate(config.short)):
        for j, m in enumerate(config.optima):
            found |= {f"{v} s {s}, {m} optima: {way}": arrays[f"{v} {way}"][:, i, j] for way in WAYS}
        for j, share in enumerate(CUTS):
            found[f"{v} s {s}: success of cuts at {share:g} s"] = arrays[f"{v} cut"][:, i, j]
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    places = {"seed": config.repeats, "s": config.short, "optima": config.optima}
    return dict.fromkeys(("* optima", "* common", "* gradients", "* loss"), places)


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The counts against m + 1, on all variants at once; random cuts at the crossing of two wedges."""
    found = claims(arrays, config)
    add_up = pictures.holds(found, "*.optima.*", "*.common.*", "*.gradients.*")
    title = "Short directions where the wedges of m + 1 optima meet"
    if add_up:
        title = "Where m + 1 wedges meet, their short directions add up"
        title += "; a random cut sees only one wedge's" if pictures.holds(found, "*.cut.*") else ""
    title += f"\nD = {config.dimension:,}; a wedge has s short directions; mean of "
    title += f"{pictures.counted(config.seeds, 'seed')}; {config.cuts} cuts a point and seed"
    figure, ((counts, cuts),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.6))
    _draw_counts(counts, arrays, config)
    _draw_cuts(cuts, arrays, config)
    return figure


def _draw_counts(ax, arrays, config):
    """What was counted for each s in every way, beside both formulas; what cuts say of two wedges."""
    x, lines = np.linspace(1, 1.03 * max(config.optima), 100), {}
    for i, (s, color) in enumerate(zip(config.short, pictures.colors(), strict=False)):
        for v, style, formula in (("finite", "-", "(m + 1) s"), ("axis", "--", "axis-aligned")):
            expected = toys.together(config.dimension, s, x, v)
            how = {"color": color, "linestyle": style, "linewidth": 1.2}
            (lines[f"s = {s}: {formula}"],) = ax.plot(x, expected, **how)
        for v in toys.VARIANTS:
            label = not i and v == toys.VARIANTS[0]
            _draw_ways(ax, means(arrays, v), i, config.optima, color, label)
        smallest = s * np.mean([half(means(arrays, v)["cut"])[i] for v in toys.VARIANTS])
        how = {"color": color, "markersize": 7, "linestyle": "", "label": None if i else "random cuts"}
        ax.plot(2, smallest, "^", **how)
    ax.set_ylim(bottom=0)
    how = {"x": "optima, m + 1", "y": "short directions", "ticks": (1, *config.optima)}
    wedges.plots.label_axes(ax, title="Counted in four ways", **how, legend=8)
    pictures.name_ends(ax, lines)


def _draw_ways(ax, mean, i, optima, color, label):
    looks = zip(WAYS.items(), (("o", 8), ("x", 5), ("+", 8)), strict=True)
    for (way, words), (marker, size) in looks:
        how = {"color": color, "markersize": size, "markerfacecolor": "none", "linestyle": ""}
        ax.plot(optima, mean[way][i], marker, label=words if label else None, **how)


def _draw_cuts(ax, arrays, config):
    """How many random cuts recover the loss from a displaced crossing of two wedges, mean over s."""
    for v, look in zip(toys.VARIANTS, pictures.looks(), strict=False):
        values = 100 * means(arrays, v)["cut"].mean(axis=0)
        ax.plot(CUTS, values, label=toys.label(v, config.k), **look, markersize=5, alpha=0.8)
    ax.set_xlim(right=2.15)
    places = (1, 0.5, "s: of one wedge", "left"), (2, 0.6, "2 s: of both wedges", "right")
    for x, y, words, side in places:
        pictures.here(ax, x)
        how = {"ha": side, "va": "center", "transform": ax.get_xaxis_transform()}
        ax.text(x + (0.02 if side == "left" else -0.02), y, words, **how)
    how = {"x": "dimension of the cut, d / s", "y": "cuts that recover the loss (%)"}
    title = "Random cuts at a crossing"
    wedges.plots.label_axes(ax, title=title, **how, legend=8)


if __name__ == "__main__":
    runs.main(__name__)
