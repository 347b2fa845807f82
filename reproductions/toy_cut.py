"""How many dimensions must a random cut have to meet the low-loss set?

P = P0 + theta M, M a random map from R^d: minimise the toy loss over theta. n-wedges in R^D have
s = D - n short directions, and a cut of d dimensions meets a wedge iff d >= d_lim = s. Success means
final loss / initial loss < 1e-3. Below s, a fixed wedge leaves sqrt(1 - d/s) of the initial loss, and
the choice among many wedges leaves less. Measured for several (D, n), all variants, two kinds of P0.

    python -m reproductions.toy_cut --preset=quick     half a minute
    python -m reproductions.toy_cut                    under three minutes on two cores
    python -m reproductions.toy_cut --sizes=500x400 --seeds=100
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Floats, Texts, at_least, option
from reproductions.common import pictures, toys
from reproductions.common.arrays import mean_and_error

OFFSETS = ("normal", "uniform")
ALL = (*toys.VARIANTS, "fixed")
SUCCESS = 1e-3
SIZES = {"paper": ("100x80", "300x250", "1000x950", "1000x900"), "quick": ("100x80", "300x250")}


@options.settings
class Config(options.Config):
    sizes: Texts = option(
        "landscapes as DxN, D dimensions with n-wedges", check=toys.sizes, **SIZES, smoke=("30x20",)
    )
    fractions: Floats = option(
        "d of the cuts, as multiples of s; s - 1, s, s + 1 and s + 2 are added",
        paper=(0.3, 0.5, 0.7, 0.9, 1.2, 1.5),
        quick=(0.5, 0.9, 1.5),
        smoke=(0.5,),
    )
    seeds: int = option(
        "random cuts a point, of two kinds of offset in turn", at_least(4), paper=32, quick=16, smoke=8
    )
    k: int = option("K, wedges of the finite variant", paper=10)
    steps: int = option("most steps of conjugate gradients", paper=400)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Final / initial loss "<size> <variant>" [dims, seeds]; "<size> d" [dims]."""
    sizes = {size: dims(config, *toys.sizes(size)) for size in config.sizes}
    places = [(size, variant, d) for size in sizes for variant in ALL for d in sizes[size]]
    cuts = [
        Cuts(toys.Toy(variant, *toys.sizes(size), config.k, config.seed), d, config.seeds, config.steps)
        for size, variant, d in places
    ]
    watched = progress.bar("cuts", iterable=cuts, unit="point")
    found = parallel.over(functools.partial(cache.cached, minimised), watched)
    arrays = {}
    for size, ds in sizes.items():
        arrays[f"{size} d"] = np.array(ds)
        for variant in ALL:
            rows = [f["ratio"] for p, f in zip(places, found, strict=True) if p[:2] == (size, variant)]
            arrays[f"{size} {variant}"] = np.stack(rows)
    return arrays


def dims(config, dimension, n):
    """The dimensions of the cuts for one landscape, ascending."""
    s = dimension - n
    wanted = {round(f * s) for f in config.fractions} | {s - 1, s, s + 1, s + 2}
    return sorted(d for d in wanted if 1 <= d <= dimension)


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Random cuts through one landscape: so many of d dimensions, of the toy's seed and those after it,
    and the most steps of descent in each."""

    toy: toys.Toy
    dimension: int
    count: int
    steps: int


def minimised(cuts):
    """Final / initial loss in each cut, "ratio" [count]."""
    landscape = cuts.toy.landscape
    seeds = range(cuts.toy.seed, cuts.toy.seed + cuts.count)
    offsets = np.stack([_offset(seed, cuts.toy.dimension) for seed in seeds])  # [count, D]
    planes = wedges.random_cut(offsets, cuts.dimension, seed=seeds)
    cg = wedges.ConjugateGradients()
    descent = wedges.Descent(cuts.toy.squared, offsets, cg, subspace=planes)
    first = landscape(offsets).numpy()  # [count]
    ratio = np.ones_like(first)
    while descent.step < cuts.steps:
        losses = descent.run(min(50, cuts.steps - descent.step)).losses[-1]
        before, ratio = ratio, np.sqrt(2 * losses) / first
        # Well below success, or standing still: an open end would cost most of the time.
        if ((ratio < SUCCESS / 10) | (ratio > 0.999 * before)).all():
            break
    return {"ratio": landscape(descent.theta).numpy() / first}


def _offset(seed, dimension):
    """P0 [D] of a seed."""
    if kind(seed) == "normal":
        return toys.gaussian(seed, dimension)
    return np.random.default_rng([seed, dimension]).random(dimension, np.float32)


def kind(seed):
    """Which kind of offset P0 a seed gets."""
    return OFFSETS[seed % len(OFFSETS)]


# ---- what the numbers say ---------------------------------------------------------------------------


def numbers(arrays, config):
    """For each size and variant: d, success [dims], and by offset: success and mean ratio
    [dims, offsets], the d at which half of the cuts succeed [offsets]."""
    found = {}
    for size in config.sizes:
        d = arrays[f"{size} d"]
        for variant in ALL:
            ratio = arrays[f"{size} {variant}"]  # [dims, seeds]
            kinds = by_offset(config, ratio)
            success = [(r < SUCCESS).mean(axis=-1) for r in kinds]  # [dims] each
            found[size, variant] = {
                "d": d,
                "success": (ratio < SUCCESS).mean(axis=-1),
                "by offset": np.stack(success, axis=-1),
                "ratio": np.stack([r.mean(axis=-1) for r in kinds], axis=-1),
                "half": np.array([wedges.compare.first_crossing(d, column, 0.5) for column in success]),
            }
    return found


def by_offset(config, ratio):
    """[dims, seeds] -> a list of [dims, seeds of that kind]."""
    kinds = np.array([kind(seed) for seed in config.repeats])
    return [ratio[:, kinds == k] for k in OFFSETS]


def off_the_curve(arrays, size):
    """The fixed wedge's mean squared residual against 1 - d/s, in standard errors: [dims <= 0.9 s]."""
    s, d = _short(size), arrays[f"{size} d"]
    low = d <= 0.9 * s
    squares = arrays[f"{size} fixed"][low] ** 2  # [dims, seeds]
    mean, error = mean_and_error(squares)
    return np.abs(mean - (1 - d[low] / s)) / error


def _short(size):
    """s = D - n of a size "DxN"."""
    dimension, n = toys.sizes(size)
    return dimension - n


def judged(arrays, config):
    """{claim: number}. A very small or large s has no d that far above or below it, and no number."""
    at, short = numbers(arrays, config), {size: _short(size) for size in config.sizes}
    found = {}
    for v in ALL:
        rows = [(at[size, v]["d"], at[size, v]["success"], s) for size, s in short.items()]
        above = np.concatenate([success[d >= s + 2] for d, success, s in rows])
        below = np.concatenate([success[d <= 0.9 * s] for d, success, s in rows])
        found[f"success.{v}"] = above.min() if above.size else None
        found[f"failure.{v}"] = below.max() if below.size else None
    off = np.concatenate([off_the_curve(arrays, size) for size in config.sizes])
    # [variants, offsets] each, in units of s
    half = [np.array([at[size, v]["half"] for v in toys.VARIANTS]) / s for size, s in short.items()]
    return found | {
        "residual": off.max() if off.size else None,
        "variants": np.max([np.ptp(h, axis=0).max() for h in half]),
        "offsets": np.max([np.ptp(h, axis=1).max() for h in half]),
    }


LIMIT = "A random cut meets the low-loss set if and only if it has d >= D - n dimensions."
ALIKE = "What is found depends neither on the kind of wedges nor on where the cut lies."


def claims(arrays, config):
    """Success above and below d_lim for every variant; the fixed wedge's curve; what does not matter."""
    claim = Verdict("toy.cut", "Fort & Jastrzebski 2019, section 3", judged(arrays, config))
    for variant in ALL:
        own = claim.about(f"*.{variant}", toys.LABELS[variant], says=LIMIT)
        own("success", "lowest success rate at d >= s + 2", ">=", 0.95)
        own("failure", "highest success rate at d <= 0.9 s", "<=", 0.05)
    residual = "|mean squared residual - (1 - d/s)|, d <= 0.9 s, in standard errors"
    exact = "Not in its words: the closed form for one wedge."
    claim("residual", f"one fixed wedge: {residual}", "<=", 4.0, says=exact)
    half = "d of half success, over s: largest range over"
    claim("variants", f"{half} variants", "<=", 0.05, says=ALIKE)
    claim("offsets", f"{half} kinds of offset", "<=", 0.05, says=ALIKE)
    return claim.claims


def summary(arrays, config):
    """Success and mean residual of every point: what the reference guards."""
    return {
        f"{size} {variant} d {d}: {name}": values
        for size, variant in itertools.product(config.sizes, ALL)
        for d, row in zip(arrays[f"{size} d"], arrays[f"{size} {variant}"], strict=True)
        for name, values in (("success", row < SUCCESS), ("residual", row))
    }


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    found = {}
    for size in config.sizes:
        d = {"d": dims(config, *toys.sizes(size))}
        found |= {f"{size} d": d, f"{size} *": d | {"cut": config.seeds}}
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """All landscapes at once against d / s: how many cuts succeed, and how much of the loss is left."""
    found = claims(arrays, config)
    title = "How many dimensions a random cut must have to meet the low-loss set"
    if pictures.holds(found, "*.success.*", "*.failure.*"):
        title = "A random cut meets the low-loss set once it has s = D - n dimensions"
        title += ", whatever D and n" if len(config.sizes) > 1 else ""
    figure, ((success, rest),) = wedges.plots.grid(
        1, 2, title=f"{title}\n{_conditions(config)}", panel=(4.3, 3.6)
    )
    _draw_success(success, arrays, config)
    _draw_rest(rest, arrays, config)
    return figure


def _conditions(config):
    shown = [f"{d:,} × {n:,}" for d, n in map(toys.sizes, config.sizes)]
    words = f"D × n: {pictures.listed(shown)}{', a line each' if len(shown) > 1 else ''}; "
    return words + f"{config.seeds} cuts a point, from normal and from uniform starting points in turn"


def _draw_series(ax, arrays, config, draw):
    """draw(numbers, s, look) for each variant and size; a variant has one label."""
    at = numbers(arrays, config)
    for variant, look in zip(ALL, pictures.looks(), strict=True):
        label = toys.label(variant, config.k)
        for size in config.sizes:
            style = {"linewidth": 1, "linestyle": "-", "markersize": 4, "alpha": 0.8}
            draw(at[size, variant], _short(size), {**style, **look, "label": label})
            label = None


def _draw_success(ax, arrays, config):
    def draw(own, s, look):
        ax.plot(own["d"] / s, 100 * own["success"], **look)

    _draw_series(ax, arrays, config, draw)
    ax.axvline(1, color="black", linewidth=0.8, linestyle=":")
    how = {"ha": "left", "va": "bottom", "transform": ax.get_xaxis_transform()}
    ax.text(1.03, 0.04, "d = s", **how)
    ax.set_xlim(left=0)
    how = {"x": "dimension of the cut, d / s", "y": "cuts that reach the low-loss set (%)"}
    wedges.plots.label_axes(ax, title="How many cuts succeed", **how, legend=8)


def _draw_rest(ax, arrays, config):
    def draw(own, s, look):
        ax.plot(own["d"] / s, own["ratio"].mean(axis=-1), **look)  # of both kinds of starting point

    _draw_series(ax, arrays, config, draw)
    x = np.linspace(0, 1, 200)
    ax.plot(x, np.sqrt(1 - x), color="black", linestyle="--", linewidth=1.2)
    how = {"xytext": (4, 2), "textcoords": "offset points"}
    ax.annotate(r"theory of one fixed wedge: $\sqrt{1 - d/s}$", (0.2, np.sqrt(0.8)), **how)
    ax.set_xlim(left=0)
    how = {"x": "dimension of the cut, d / s", "y": "final loss / initial loss, mean"}
    wedges.plots.label_axes(ax, title="How much of the loss is left", **how)


if __name__ == "__main__":
    runs.main(__name__)
