"""toy.cut: on how many dimensions must a random cut have to meet the low-loss set?

P = P0 + theta M, M a random map from R^d: minimise the toy loss over theta. n-wedges in R^D have
s = D - n short directions, and a cut of d dimensions meets a wedge iff d >= d_lim = s. Success means
final loss / initial loss < 1e-3. Below s, a fixed wedge leaves sqrt(1 - d/s) of the initial loss, and
the choice among many wedges leaves less. Measured for several (D, n), all variants of the landscape,
many cuts, two kinds of offset P0.

    python -m reproductions.toy_cut --preset=quick     half a minute
    python -m reproductions.toy_cut                    under three minutes on two cores
    python -m reproductions.toy_cut --sizes=500x400 --seeds=100
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import toys

PAPER = "Fort & Jastrzebski 2019, section 3"
OFFSETS = ("normal", "uniform")
ALL = (*toys.VARIANTS, "fixed")
SUCCESS = 1e-3
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.Config):
    """Settings of the figure."""

    sizes: tuple[str, ...] = runs.option(
        "landscapes as DxN, D dimensions with n-wedges; e.g. --sizes=1000x900,300x250"
    )
    fractions: tuple[float, ...] = runs.option(
        "dimensions of the cuts, as multiples of s; d = s - 1, s, s + 1 and s + 2 are added; e.g. 0.5",
        positive,
        "above 0",
    )
    seeds: int = runs.option(
        "random cuts a point, dealt to the two kinds of offset in turn; e.g. 32",
        lambda v: v > 3,
        "at least 4",
    )
    k: int = runs.option("K, wedges of the finite variant; e.g. 10", positive, "at least 1")
    steps: int = runs.option("most steps of conjugate gradients; e.g. 400", positive, "at least 1")


_PAPER = {
    "seed": 0,
    "sizes": ("100x80", "300x250", "1000x950", "1000x900"),
    "fractions": (0.3, 0.5, 0.7, 0.9, 1.2, 1.5),
    "seeds": 32,
    "k": 10,
    "steps": 400,
}
_QUICK = {**_PAPER, "sizes": ("100x80", "300x250"), "fractions": (0.5, 0.9, 1.5), "seeds": 16}
_SMOKE = {**_QUICK, "sizes": ("30x20",), "fractions": (0.5,), "seeds": 8}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def dims(config, dimension, n):
    """The dimensions of the cuts for one landscape, ascending."""
    s = dimension - n
    wanted = {round(f * s) for f in config.fractions} | {s - 1, s, s + 1, s + 2}
    return sorted(d for d in wanted if 1 <= d <= dimension)


def _short(size):
    """s = D - n of a size "DxN"."""
    dimension, n = toys.sizes(size)
    return dimension - n


def measure(config, run):
    """Arrays "<size> <variant>" [dims, seeds]; "<size> d" [dims]."""
    from reproductions.bench import parallel, progress

    points = [
        (size, variant, d)
        for size in dict.fromkeys(config.sizes)
        for variant in ALL
        for d in dims(config, *toys.sizes(size))
    ]
    watched = progress.bar(iterable=points, desc="cuts", unit="point")
    ratios = parallel.over(run, functools.partial(_point, config, run), watched)
    arrays = {}
    for size in config.sizes:
        ds = dims(config, *toys.sizes(size))
        arrays[f"{size} d"] = np.array(ds)
        for variant in ALL:
            rows = [r for p, r in zip(points, ratios, strict=True) if p[:2] == (size, variant)]
            arrays[f"{size} {variant}"] = np.stack(rows)
    return arrays


def _point(config, run, point):
    """One landscape, one d: final / initial loss [seeds], kept once measured."""
    size, variant, d = point
    key = {"figure": "toy_cut", "point": point, "seeds": config.seeds, "seed": config.seed}
    key |= {"steps": config.steps, "k": config.k}
    return run.cached(key, lambda: {"ratio": _minimise(config, *toys.sizes(size), variant, d)})["ratio"]


def _minimise(config, dimension, n, variant, d):
    import wedges

    landscape = toys.build(variant, dimension, n, k=config.k, seed=config.seed)
    seeds = range(config.seed, config.seed + config.seeds)
    draw = {
        "normal": lambda seed: toys.gaussian(seed, dimension),
        "uniform": lambda seed: np.random.default_rng([seed, dimension]).random(dimension, np.float32),
    }
    offsets = np.stack([draw[_offset(seed)](seed) for seed in seeds])  # [seeds, D]
    cuts = wedges.random_cut(offsets, d, seed=seeds)
    descent = wedges.Descent(
        wedges.Squared(landscape), offsets, wedges.ConjugateGradients(), subspace=cuts
    )
    first = landscape(offsets).numpy()  # [seeds]
    ratio = np.ones_like(first)
    while descent.step < config.steps:
        losses = descent.run(min(50, config.steps - descent.step)).losses[-1]
        before, ratio = ratio, np.sqrt(2 * losses) / first
        # Well below success, or standing still: an open end would cost most of the time.
        if ((ratio < SUCCESS / 10) | (ratio > 0.999 * before)).all():
            break
    return landscape(descent.theta).numpy() / first


def _offset(seed):
    """Which kind of offset P0 a seed gets."""
    return OFFSETS[seed % len(OFFSETS)]


def _by_offset(config, ratio):
    """[dims, seeds] -> a list of [dims, seeds of that kind]."""
    kinds = np.array([_offset(seed) for seed in range(config.seed, config.seed + config.seeds)])
    return [ratio[:, kinds == kind] for kind in OFFSETS]


def _numbers(arrays, config):
    """For each size and variant: d, success [dims], and by offset: success and mean ratio
    [dims, offsets], the d at which half of the cuts succeed [offsets]."""
    found = {}
    for size in config.sizes:
        d = arrays[f"{size} d"]
        for variant in ALL:
            ratio = arrays[f"{size} {variant}"]  # [dims, seeds]
            kinds = _by_offset(config, ratio)
            success = [(r < SUCCESS).mean(axis=-1) for r in kinds]  # [dims] each
            found[size, variant] = {
                "d": d,
                "success": (ratio < SUCCESS).mean(axis=-1),
                "by offset": np.stack(success, axis=-1),
                "ratio": np.stack([r.mean(axis=-1) for r in kinds], axis=-1),
                "half": np.array([_crossing(d, column) for column in success]),
            }
    return found


def _off_the_curve(arrays, size):
    """The fixed wedge's mean squared residual against 1 - d/s, in standard errors: [dims <= 0.9 s]."""
    s, d = _short(size), arrays[f"{size} d"]
    low = d <= 0.9 * s
    squares = arrays[f"{size} fixed"][low] ** 2  # [dims, seeds]
    error = squares.std(axis=-1, ddof=1) / np.sqrt(squares.shape[-1])
    return np.abs(squares.mean(axis=-1) - (1 - d[low] / s)) / error


def _crossing(d, success):
    """The d at which success first reaches one half, linear between the measured; NaN if never."""
    above = np.flatnonzero(success >= 0.5)
    if not len(above):
        return np.nan
    i = above[0]
    if i == 0:
        return float(d[0])
    return float(np.interp(0.5, success[i - 1 : i + 1], d[i - 1 : i + 1]))


def claims(arrays, config):
    """Success above and below d_lim for every variant; the fixed wedge's curve; what does not matter."""
    numbers = _numbers(arrays, config)
    found = []

    def claim(id, statement, measured, relation, expected):
        found.append(Claim(f"toy.cut.{id}", statement, PAPER, measured, relation, expected))

    # A very small or large s has no such d; a claim is made where there is one.
    for variant in ALL:
        rows = [
            (numbers[size, variant]["d"], numbers[size, variant]["success"], _short(size))
            for size in config.sizes
        ]
        above = np.concatenate([success[d >= s + 2] for d, success, s in rows])
        below = np.concatenate([success[d <= 0.9 * s] for d, success, s in rows])
        name = toys.LABELS[variant]
        if above.size:
            lowest = f"{name}: lowest success rate at d >= s + 2"
            claim(f"success.{variant}", lowest, above.min(), ">=", 0.95)
        if below.size:
            highest = f"{name}: highest success rate at d <= 0.9 s"
            claim(f"failure.{variant}", highest, below.max(), "<=", 0.05)
    off = np.concatenate([_off_the_curve(arrays, size) for size in config.sizes])
    statement = "one fixed wedge: |mean squared residual - (1 - d/s)|, d <= 0.9 s, in standard errors"
    if off.size:
        claim("residual", statement, off.max(), "<=", 4.0)
    half = {
        size: np.array([numbers[size, v]["half"] for v in toys.VARIANTS]) / _short(size)
        for size in config.sizes
    }  # [variants, offsets], in units of s
    spread = np.max([np.ptp(h, axis=0) for h in half.values()])
    claim("variants", "d of half success, over s: largest range over variants", spread, "<=", 0.05)
    spread = np.max([np.ptp(h, axis=1).max() for h in half.values()])
    claim("offsets", "d of half success, over s: largest range over kinds of offset", spread, "<=", 0.05)
    return found


def summary(arrays, config):
    """Success and mean residual of every point: what the reference guards."""
    found = {}
    for size in config.sizes:
        for variant in ALL:
            ratio = arrays[f"{size} {variant}"]
            for d, row in zip(arrays[f"{size} d"], ratio, strict=True):
                at = f"{size} {variant} d {d}"
                found[f"{at}: success"] = row < SUCCESS
                found[f"{at}: residual"] = row
    return found


def plot(arrays, config):
    """A column for each landscape: success above, residual below, against d / s."""
    from wedges import plots

    numbers = _numbers(arrays, config)
    figure, axes = plots.grid(
        2,
        len(config.sizes),
        title="A random cut of d dimensions meets the low-loss set once d reaches s = D - n\n"
        f"{config.seeds} cuts a point, half of each kind of offset (filled: normal, open: uniform)",
    )
    colors = dict(zip(ALL, (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY), strict=True))
    markers = dict(zip(ALL, "osD^", strict=True))
    for i, size in enumerate(config.sizes):
        dimension, n = toys.sizes(size)
        s = dimension - n
        top, bottom = axes[:, i]
        for variant in ALL:
            at = numbers[size, variant]
            for j in range(len(OFFSETS)):
                style = {
                    "color": colors[variant],
                    "marker": markers[variant],
                    "markerfacecolor": "white" if j else colors[variant],
                    "linestyle": "--" if j else "-",
                    "label": None if j else toys.LABELS[variant].replace("K", f"K = {config.k}", 1),
                    "markersize": 4,
                    "linewidth": 1.2,
                }
                top.plot(at["d"] / s, 100 * at["by offset"][:, j], **style)
                bottom.plot(at["d"] / s, at["ratio"][:, j], **style)
        x = np.linspace(0, 1, 200)
        bottom.plot(x, np.sqrt(1 - x), color="black", linestyle=":", label="sqrt(1 - d/s)")
        for ax in (top, bottom):
            ax.axvline(1, color="black", linewidth=0.8, linestyle=":")
        plots.label_axes(
            top,
            title=f"D = {dimension}, n = {n}: s = {s}",
            x="dimension of the cut, d / s",
            y="cuts that reach the low-loss set (%)",
        )
        plots.label_axes(bottom, x="dimension of the cut, d / s", y="final loss / initial loss")
    axes[1, 0].legend(fontsize=7)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
