"""toy.intersection: how many short directions do the wedges of m + 1 optima have together?

Random starts are minimised to optima on different wedges. Where their wedges meet, the zero set has
the short directions of all of them: about (m + 1) s for s << D, and D [1 - (1 - s/D)^(m+1)] for
random axis-aligned wedges, which share some. Measured in four ways: the geometry of the optima
themselves; the geometry at a common point c that `wedges.connect.connect` finds from the loss alone;
the span of gradients around c; and, for two wedges, the smallest random cut that recovers the loss
from a displacement of c. The last sees only the *nearest* wedge and keeps saying s.

    python -m reproductions.toy_intersection --preset=quick     a minute
    python -m reproductions.toy_intersection                    three minutes on two cores
    python -m reproductions.toy_intersection --dimension=500 --short=10 --optima=2,4,8
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.bench.errors import UsageError
from reproductions.common import toys

PAPER = "Fort & Jastrzebski 2019, section 3"
OURS = "beyond the paper; wedges.connect"
WAYS = ("optima", "common", "gradients", "loss")
CUTS = (0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0)  # d of the random cuts at the crossing, over s
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.Config):
    """Settings of the figure."""

    dimension: int = runs.option("D; e.g. 1000", lambda v: 3 < v <= 5000, "from 4 to 5000")
    short: tuple[int, ...] = runs.option(
        "short directions s of one wedge; e.g. 20,50", positive, "at least 1"
    )
    optima: tuple[int, ...] = runs.option(
        "how many optima, m + 1; e.g. 2,3,5,8,11", lambda v: v > 1, "at least 2"
    )
    k: int = runs.option(
        "K, wedges of the finite variant; above the number of optima", positive, "at least 1"
    )
    seeds: int = runs.option("independent repetitions; e.g. 2", positive, "at least 1")
    cuts: int = runs.option("random cuts a point, at the crossing; e.g. 16", positive, "at least 1")


_PAPER = {
    "seed": 0,
    "dimension": 1000,
    "short": (20, 50),
    "optima": (2, 3, 5, 8, 11),
    "k": 40,
    "seeds": 2,
    "cuts": 16,
}
_QUICK = {
    **_PAPER,
    "dimension": 600,
    "short": (30,),
    "optima": (2, 4, 8),
    "k": 20,
    "cuts": 8,
}
_SMOKE = {**_QUICK, "seeds": 1, "dimension": 60, "short": (6,), "optima": (2,), "k": 8}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """Counts "<variant> <way>" [seeds, s, optima]; success of cuts at the crossing of two wedges
    "<variant> cut" [seeds, s, d]."""
    from reproductions.bench import parallel, progress

    if max(config.short) >= config.dimension:
        raise UsageError(f"--short={max(config.short)}: must be below --dimension={config.dimension}.")
    if config.k < max(config.optima):
        raise UsageError(f"--k={config.k}: must be at least the number of optima, {max(config.optima)}.")
    seeds = range(config.seed, config.seed + config.seeds)
    items = [
        (v, seed, s, m)
        for v in toys.VARIANTS
        for seed in seeds
        for s in config.short
        for m in config.optima
    ]
    found = parallel.over(
        run,
        functools.partial(_counts, config, run),
        progress.bar(iterable=items, desc="intersections", unit="point"),
    )
    shape = (config.seeds, len(config.short), len(config.optima))
    arrays = {}
    for v in toys.VARIANTS:
        rows = [f for item, f in zip(items, found, strict=True) if item[0] == v]
        for way in WAYS:
            arrays[f"{v} {way}"] = np.array([r[way] for r in rows]).reshape(shape)
    cells = [(v, seed, s) for v in toys.VARIANTS for seed in seeds for s in config.short]
    found = parallel.over(
        run,
        functools.partial(_cuts, config, run),
        progress.bar(iterable=cells, desc="cuts", unit="point"),
    )
    for v in toys.VARIANTS:
        rows = [f["success"] for item, f in zip(cells, found, strict=True) if item[0] == v]
        arrays[f"{v} cut"] = np.array(rows).reshape(*shape[:2], -1)
    return arrays


def _key(config, *parts):
    return {"figure": "toy_intersection", "at": parts, "dimension": config.dimension, "k": config.k}


def _counts(config, run, item):
    """Short directions where the wedges of m + 1 optima meet, in four ways; {way: count}."""
    return run.cached(_key(config, *item), lambda: _measure_counts(config, *item))


def _measure_counts(config, variant, seed, s, optima):
    from wedges import short

    landscape, ends = _optima(config, variant, seed, s, optima)
    normals = np.concatenate([landscape.short_directions(end, 1e-3) for end in ends])
    center, highest = _center(landscape, ends)
    expected = int(_expected(config.dimension, s, optima, variant))
    rank = short.gradient_rank(landscape, center, 1e-2, min(4 * expected, 3000), seed=seed)
    return {
        "optima": np.linalg.matrix_rank(normals, tol=1e-3),
        "common": len(landscape.short_directions(center, 1e-3)),
        "gradients": rank,
        "loss": highest,
    }


def _optima(config, variant, seed, s, optima):
    """The landscape, and `optima` of its optima on different wedges [m + 1, D]."""
    n = config.dimension - s
    landscape = toys.build(variant, config.dimension, n, k=config.k, seed=seed)
    starts = toys.gaussian(seed, 6 * optima, config.dimension)
    found = toys.optima(landscape, starts).numpy()
    chosen, normals, rank = [], np.zeros((0, config.dimension)), 0
    for theta in found:
        more = np.concatenate([normals, landscape.short_directions(theta, 1e-3)])
        more_rank = np.linalg.matrix_rank(more, tol=1e-3)
        # Another wedge brings normals of its own, unless all directions are taken.
        if more_rank > rank or rank == config.dimension:
            chosen, normals, rank = [*chosen, theta], more, more_rank
        if len(chosen) == optima:
            return landscape, np.stack(chosen)
    raise UsageError(
        f"--k={config.k}: {len(found)} random starts fell to {len(chosen)} wedges, not {optima}; "
        "take more, e.g. four times as many as optima."
    )


def _center(landscape, ends):
    """The common point c, and the highest loss on the straight paths from c to the ends, over that on
    the line between two ends."""
    import wedges
    from wedges import connect

    squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
    center = connect.connect(squared, ends, cg, 400, tolerance=1e-7).theta.numpy()
    rays = np.max([connect.along(landscape, np.stack([end, center]), 50)[1] for end in ends])
    return center, rays / connect.along(landscape, ends[:2], 50)[1].max()


def _cuts(config, run, item):
    key = {**_key(config, *item), "cuts": config.cuts, "d": CUTS}
    return run.cached(key, lambda: {"success": _recovered(config, *item)})


def _recovered(config, variant, seed, s):
    """Share of random cuts through a displaced crossing of two wedges that reach loss 0, [d]."""
    import wedges

    landscape, ends = _optima(config, variant, seed, s, 2)
    center, _ = _center(landscape, ends)
    away = toys.gaussian(seed + 1, config.cuts, config.dimension)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    # A tenth of the way back to the optima: the nearest wedges are still the two.
    starts = center + 0.1 * np.linalg.norm(center) * away  # [cuts, D]
    success = []
    for share in CUTS:
        d = min(config.dimension, max(1, round(share * s)))
        cut = wedges.random_cut(starts, d, seed=range(seed, seed + config.cuts))
        cg = wedges.ConjugateGradients()
        found = wedges.minimize(
            wedges.Squared(landscape), starts, cg, 6 * s, subspace=cut, tolerance=1e-6
        )
        success.append((landscape(found.theta).numpy() < 1e-3 * landscape(starts).numpy()).mean())
    return np.array(success)


def _expected(dimension, s, optima, variant):
    """Short directions of so many wedges together: random orientations, or axis-aligned ones."""
    if variant == "finite":
        return np.minimum(dimension, np.asarray(optima) * s)
    return dimension * (1 - (1 - s / dimension) ** np.asarray(optima))


def claims(arrays, config):
    """The counts against the formulas on every variant, and what a loss-based cut says."""
    found = []
    s, optima = np.array(config.short)[:, None], np.array(config.optima)

    def claim(id, statement, source, measured, relation, expected):
        found.append(Claim(f"toy.intersection.{id}", statement, source, measured, relation, expected))

    for v in toys.VARIANTS:
        name = toys.LABELS[v]
        expected = _expected(config.dimension, s, optima, v)  # [s, optima]
        formula = "min(D, (m + 1) s)" if v == "finite" else "D [1 - (1 - s/D)^(m+1)]"
        off = lambda way, v=v, expected=expected: np.abs(
            arrays[f"{v} {way}"].mean(axis=0) / expected - 1
        )
        claim(
            f"optima.{v}",
            f"{name}: |normals of the optima / {formula} - 1|",
            PAPER,
            off("optima").max(),
            "<=",
            0.05,
        )
        few = optima * s <= 0.2 * config.dimension
        ratio = np.abs(arrays[f"{v} optima"].mean(axis=0) / (optima * s) - 1)
        if few.any():
            claim(
                f"small.{v}",
                f"{name}: |count / ((m + 1) s) - 1| while (m + 1) s <= D/5",
                PAPER,
                ratio[few].max(),
                "<=",
                0.12,
            )
        claim(
            f"common.{v}",
            f"{name}: |geometry at the common point / formula - 1|",
            OURS,
            off("common").max(),
            "<=",
            0.1,
        )
        claim(
            f"gradients.{v}",
            f"{name}: |span of gradients there / formula - 1|",
            OURS,
            off("gradients").max(),
            "<=",
            0.1,
        )
        paths = arrays[f"{v} loss"].max()
        claim(
            f"paths.{v}",
            f"{name}: highest loss from the common point to the optima / line's",
            OURS,
            paths,
            "<=",
            0.05,
        )
        half = _half(arrays[f"{v} cut"].mean(axis=0))
        claim(
            f"cut.{v}",
            f"{name}: random cuts recover the loss from d = this x s on, not 2 s",
            OURS,
            half.max(),
            "<=",
            1.3,
        )
    return found


def _half(success):
    """The d / s at which half of the cuts first succeed, [s, d] -> [s]; NaN if never."""
    good = [np.flatnonzero(row >= 0.5) for row in success]
    return np.array([CUTS[g[0]] if len(g) else np.nan for g in good])


def summary(arrays, config):
    """Every count [seeds]: what the reference guards."""
    found = {}
    for v in toys.VARIANTS:
        for i, s in enumerate(config.short):
            for j, m in enumerate(config.optima):
                for way in WAYS[:3]:
                    found[f"{v} s {s}, {m} optima: {way}"] = arrays[f"{v} {way}"][:, i, j]
            for j, share in enumerate(CUTS):
                found[f"{v} s {s}: success of cuts at {share:g} s"] = arrays[f"{v} cut"][:, i, j]
    return found


def plot(arrays, config):
    """The counts against m + 1 for each variant, and the cuts at the crossing of two wedges."""
    from wedges import plots

    figure, axes = plots.grid(
        1,
        4,
        title=f"Short directions where the wedges of several optima meet, D = {config.dimension}",
        panel=(3.7, 3.7),
    )
    x = np.linspace(1, max(config.optima), 100)
    palette = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    markers = {
        "optima": ("o", "normals of the optima"),
        "common": ("x", "at the common point"),
        "gradients": ("+", "gradients there"),
    }
    for ax, v in zip(axes[0], toys.VARIANTS, strict=False):
        for i, s in enumerate(config.short):
            color = palette[i % len(palette)]
            ax.plot(x, _expected(config.dimension, s, x, v), color=color, linewidth=1)
            ax.plot(x, x * s, color=color, linewidth=0.8, linestyle=":")
            for way, (marker, label) in markers.items():
                counts = arrays[f"{v} {way}"].mean(axis=0)[i]
                shown = f"s = {s}: {label}"
                ax.plot(
                    config.optima,
                    counts,
                    marker,
                    color=color,
                    markersize=7,
                    markerfacecolor="none",
                    label=shown,
                )
        name = toys.LABELS[v].replace("K", f"K = {config.k}", 1)
        plots.label_axes(ax, title=name, x="optima, m + 1", y="short directions")
    axes[0, 0].legend(fontsize=6, title="lines: formula; dotted: (m + 1) s", title_fontsize=6)
    ax = axes[0, 3]
    for v, marker, color in zip(toys.VARIANTS, "osD", palette, strict=False):
        success = arrays[f"{v} cut"].mean(axis=(0, 1))
        ax.plot(CUTS, 100 * success, marker=marker, color=color, label=toys.LABELS[v])
    for position, text in ((1, "s"), (2, "2s")):
        ax.axvline(position, color="black", linewidth=0.8, linestyle=":")
        ax.text(position, 50, f" {text}", fontsize=9)
    plots.label_axes(
        ax,
        title="two wedges: random cuts that recover\nthe loss from a displaced crossing",
        x="dimension of the cut, d / s",
        y="cuts (%)",
    )
    ax.legend(fontsize=7)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
