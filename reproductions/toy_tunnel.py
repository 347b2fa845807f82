"""toy.tunnel and toy.connect: low-loss paths between two optima of the toy landscapes.

Two random starts are minimised to two optima. Between them: (1) the straight line; (2) a tunnel, S
segments whose vertices are minimised in the hyperplanes normal to the line; (3) a path with one
corner, moved until the whole path is low, which leads it through the two wedges' intersection.
Measured: loss along all three; cosines between the vertices' deviations from the line, which fall
into two aligned halves where the number of wedges is small; short directions at the crossing; and a
map over (D, n, K) of where the two halves are found.

    python -m reproductions.toy_tunnel --preset=quick     half a minute
    python -m reproductions.toy_tunnel                    two minutes on two cores
    python -m reproductions.toy_tunnel --dimension=300 --n=240 --k=5
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3; the path with a corner is ours.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import toys

PAPER = "Fort & Jastrzebski 2019, section 3"
OURS = "beyond the paper; wedges.connect"
WITHIN, ACROSS = 0.8, 0.2  # what counts as two halves
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.Config):
    """Settings of the figure."""

    dimension: int = runs.option(
        "D of the landscapes in detail; e.g. 1000", lambda v: 3 < v <= 5000, "4..5000"
    )
    n: int = runs.option("long directions of their wedges; e.g. 900", positive, "at least 1")
    k: int = runs.option("K, wedges of the finite variant; e.g. 10", lambda v: v > 1, "at least 2")
    pairs: int = runs.option("pairs of optima, in detail; e.g. 3", positive, "at least 1")
    segments: int = runs.option("S, segments of a tunnel; e.g. 20", lambda v: v >= 6, "at least 6")
    map_dimensions: tuple[int, ...] = runs.option(
        "D of the map; e.g. 30,100,300", lambda v: 3 < v <= 5000, "4..5000"
    )
    map_long: tuple[float, ...] = runs.option(
        "n / D of the map; e.g. 0.5,0.9", lambda v: 0 < v < 1, "between 0 and 1"
    )
    map_k: tuple[int, ...] = runs.option(
        "K of the map; 0 is all axis-aligned wedges; e.g. 3,10,0",
        lambda v: v == 0 or v > 1,
        "0 or at least 2",
    )
    map_pairs: int = runs.option(
        "pairs of optima for each cell of the map; e.g. 3", positive, "at least 1"
    )


_PAPER = {
    "seed": 0,
    "dimension": 1000,
    "n": 900,
    "k": 10,
    "pairs": 3,
    "segments": 20,
    "map_dimensions": (30, 100, 300, 1000),
    "map_long": (0.5, 0.7, 0.9, 0.95),
    "map_k": (3, 10, 0),
    "map_pairs": 2,
}
_QUICK = {
    **_PAPER,
    "dimension": 300,
    "n": 270,
    "pairs": 2,
    "map_dimensions": (100,),
    "map_long": (0.5, 0.9),
    "map_k": (3, 10, 0),
    "map_pairs": 1,
}
_SMOKE = {
    **_QUICK,
    "dimension": 60,
    "n": 48,
    "segments": 8,
    "pairs": 1,
    "map_dimensions": (40,),
    "map_long": (0.8,),
    "map_k": (3,),
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}
SAMPLES = 10  # of the loss on each segment


def measure(config, run):
    """In detail "<variant> <name>" [pairs, ...]; the map "map within", "map across" [D, n, K]."""
    from reproductions.bench import parallel, progress
    from reproductions.bench.errors import UsageError

    if config.n >= config.dimension:
        raise UsageError(
            f"--n={config.n}: must be below --dimension={config.dimension}, e.g. 900 of 1000."
        )
    details = [
        (variant, config.seed + pair) for variant in toys.VARIANTS for pair in range(config.pairs)
    ]
    found = parallel.over(
        run,
        functools.partial(_detail, config, run),
        progress.bar(iterable=details, desc="paths", unit="pair"),
    )
    arrays = {}
    for variant in toys.VARIANTS:
        rows = [f for (v, _), f in zip(details, found, strict=True) if v == variant]
        arrays |= {f"{variant} {name}": np.stack([r[name] for r in rows]) for name in rows[0]}
    cells = [(d, f, k) for d in config.map_dimensions for f in config.map_long for k in config.map_k]
    found = parallel.over(
        run,
        functools.partial(_cell, config, run),
        progress.bar(iterable=cells, desc="map", unit="cell"),
    )
    shape = (len(config.map_dimensions), len(config.map_long), len(config.map_k))
    for name in ("within", "across"):
        arrays[f"map {name}"] = np.array([f[name] for f in found]).reshape(shape)
    return arrays


def _detail(config, run, item):
    """All that is shown of one pair of optima of one variant."""
    variant, seed = item
    key = {"figure": "toy_tunnel", "variant": variant, "pair": seed, "segments": config.segments}
    key |= {"dimension": config.dimension, "n": config.n, "k": config.k}
    return run.cached(key, lambda: _paths(config, variant, seed))


def _paths(config, variant, seed):
    import tensorflow as tf

    import wedges
    from wedges import compare, connect, short

    landscape = toys.build(variant, config.dimension, config.n, k=config.k, seed=seed)
    squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
    start, ends = toys.two_optima(landscape, seed)  # [], [2, D]
    t, line = connect.along(landscape, ends, config.segments * SAMPLES)  # [T]
    tunnel = connect.tunnel(squared, *ends, config.segments, cg, 200, tolerance=1e-6)
    _, path = connect.along(landscape, tunnel.path, SAMPLES)
    corner = connect.connect(squared, ends, cg, 400, tolerance=1e-7).theta  # [D]
    bent, bend = connect.along(landscape, tf.stack([ends[0], corner, ends[1]]), len(t))
    # A displacement far above rounding and far below the size of the long components.
    radius = 1e-2
    rank = functools.partial(short.gradient_rank, landscape, radius=radius, seed=seed)
    samples = 6 * landscape.s
    return {
        "start": start,
        "t": t,
        "line": line,
        "tunnel": path,
        "vertices": landscape(tunnel.path).numpy(),
        "cosines": compare.cosine_matrix(tunnel.deviations),
        "bent": bent,
        "bend": bend,
        "end short": len(landscape.short_directions(ends[0], 1e-3)),
        "corner short": len(landscape.short_directions(corner, 1e-3)),
        "end rank": rank(ends[0], samples=samples),
        "corner rank": rank(corner, samples=samples),
    }


def _cell(config, run, item):
    """Mean cosine within and across halves, [], for one (D, n / D, K)."""
    dimension, share, k = item
    n = round(share * dimension)
    key = {"figure": "toy_tunnel map", "dimension": dimension, "n": n, "k": k, "seed": config.seed}
    key |= {"pairs": config.map_pairs, "segments": config.segments}
    return run.cached(key, lambda: _halves_at(config, dimension, n, k))


def _halves_at(config, dimension, n, k):
    import wedges
    from wedges import compare, connect

    rows = []
    for seed in range(config.seed, config.seed + config.map_pairs):
        landscape = toys.build("finite" if k else "axis", dimension, n, k=k, seed=seed)
        squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
        _, ends = toys.two_optima(landscape, seed)
        tunnel = connect.tunnel(squared, *ends, config.segments, cg, 100, tolerance=1e-5)
        rows.append(compare.halves(compare.cosine_matrix(tunnel.deviations)))
    within, across = np.mean(rows, axis=0)
    return {"within": within, "across": across}


def _numbers(arrays, config):
    """{variant: {name: [pairs]}} of what the claims are about."""
    from wedges.compare import halves, switch
    from wedges.probe import barrier

    found = {}
    for v in toys.VARIANTS:
        get = lambda name, v=v: arrays[f"{v} {name}"]
        rise = barrier(get("line"))  # [pairs]
        within, across = halves(get("cosines"))
        found[v] = {
            "barrier": rise / get("start"),
            "vertices": get("vertices").max(axis=-1) / rise,
            "between": get("tunnel").max(axis=-1) / rise,
            "within": within,
            "across": across,
            # vertex i stands at (i + 1) / S of the line
            "switch": (np.array([switch(c) for c in get("cosines")]) + 0.5) / config.segments,
            "bend": get("bend").max(axis=-1) / rise,
            "end short": get("end short"),
            "corner short": get("corner short"),
            "end rank": get("end rank"),
            "corner rank": get("corner rank"),
        }
    return found


def shared(config, variant):
    """Expected short directions where two wedges cross: 2s, less what axis-aligned ones share."""
    s = config.dimension - config.n
    if variant == "finite":
        return min(config.dimension, 2 * s)
    return config.dimension * (1 - (1 - s / config.dimension) ** 2)


def claims(arrays, config):
    """Every claim of toy.tunnel and toy.connect, on every variant."""
    numbers, found = _numbers(arrays, config), []

    def claim(id, statement, source, measured, relation, expected):
        found.append(Claim(f"toy.{id}", statement, source, measured, relation, expected))

    for v in toys.VARIANTS:
        name, at = toys.LABELS[v], numbers[v]
        say = lambda words, name=name: f"{name}: {words}"
        mean = {key: value.mean() for key, value in at.items()}
        claim(
            f"tunnel.barrier.{v}",
            say("line's barrier / loss at the start"),
            PAPER,
            at["barrier"].min(),
            ">",
            0.1,
        )
        claim(
            f"tunnel.vertices.{v}",
            say("highest vertex / line's barrier"),
            PAPER,
            at["vertices"].max(),
            "<",
            1e-3,
        )
        claim(
            f"tunnel.within.{v}", say("mean cosine within a half"), PAPER, mean["within"], ">=", WITHIN
        )
        claim(
            f"tunnel.across.{v}", say("mean cosine across halves"), PAPER, mean["across"], "<=", ACROSS
        )
        middle = np.abs(at["switch"] - 0.5).max()
        claim(
            f"tunnel.switch.{v}", say("halves switch this far from the middle"), PAPER, middle, "<=", 0.1
        )
        claim(
            f"connect.path.{v}",
            say("highest point of the bent path / barrier"),
            OURS,
            at["bend"].max(),
            "<=",
            0.05,
        )
        expected = shared(config, v)
        off = np.abs(at["corner short"] / expected - 1).max()
        claim(
            f"connect.short.{v}",
            say(f"|short directions at the crossing / {expected:.0f} - 1|"),
            OURS,
            off,
            "<=",
            0.1,
        )
    return found


def summary(arrays, config):
    """Every number of the claims [pairs], and the map: what the reference guards."""
    found = {
        f"{v}: {name}": values
        for v, at in _numbers(arrays, config).items()
        for name, values in at.items()
    }
    for index in np.ndindex(arrays["map within"].shape):
        cell = [
            a[i]
            for a, i in zip((config.map_dimensions, config.map_long, config.map_k), index, strict=True)
        ]
        for name in ("within", "across"):
            found["map D {}, n/D {}, K {}: ".format(*cell) + name] = [arrays[f"map {name}"][index]]
    return found


def plot(arrays, config):
    """Above: the three paths, a column a variant; cosines; below them the map, a panel for each K."""
    from wedges import plots

    numbers = _numbers(arrays, config)
    columns = max(3, len(config.map_k))
    figure, axes = plots.grid(
        3,
        columns,
        title=f"Paths between two optima of the toy landscape: D = {config.dimension}, n = {config.n}\n"
        f"{config.pairs} pair{'s' * (config.pairs > 1)} (first drawn), {config.segments} segments",
        panel=(4.0, 3.2),
    )
    for i, v in enumerate(toys.VARIANTS):
        top, middle = axes[0, i], axes[1, i]
        get = lambda name, v=v: arrays[f"{v} {name}"][0]
        floor = 1e-7 * max(get("line").max(), 1e-30)  # rounding: where a loss is 0 the axis ends
        top.plot(get("t"), np.maximum(get("line"), floor), color=plots.GREY, label="straight line")
        x = np.linspace(0, 1, len(get("tunnel")))
        top.plot(x, np.maximum(get("tunnel"), floor), color=plots.ORANGE, linewidth=1, label="tunnel")
        x = np.linspace(0, 1, len(get("vertices")))
        top.plot(
            x,
            np.maximum(get("vertices"), floor),
            "o",
            color=plots.ORANGE,
            markersize=3,
            label="its vertices",
        )
        top.plot(
            get("bent"),
            np.maximum(get("bend"), floor),
            color=plots.BLUE,
            label="through the intersection",
        )
        top.set_yscale("log")
        name = toys.LABELS[v].replace("K", f"K = {config.k}", 1)
        plots.label_axes(top, title=name, x="from one optimum (0) to the other (1)", y="loss")
        at = {key: value.mean() for key, value in numbers[v].items()}
        plots.matrix(middle, get("cosines"), low=-1, high=1, label="cosine")
        plots.label_axes(
            middle,
            title=f"deviations from the line: within {at['within']:.2f}, across {at['across']:.2f}\n"
            f"short directions: optimum {at['end short']:.0f}, crossing {at['corner short']:.0f}",
            x="vertex",
            y="vertex",
        )
    axes[0, 0].legend(fontsize=7)
    for ax in axes[:2, 3:].ravel():
        ax.set_visible(False)
    for j, k in enumerate(config.map_k):
        ax = axes[2, j]
        within, across = arrays["map within"][:, :, j], arrays["map across"][:, :, j]
        plots.table(
            ax,
            within - across,
            [
                [f"{w:.2f}\n{a:.2f}" for w, a in zip(*row, strict=True)]
                for row in zip(within, across, strict=True)
            ],
            marked=(within >= WITHIN) & (across <= ACROSS),
            rows=config.map_dimensions,
            columns=config.map_long,
        )
        title = f"K = {k}" if k else "all axis-aligned wedges"
        plots.label_axes(ax, title=f"{title}: within / across\n(boxed: two halves)", x="n / D", y="D")
        ax.grid(False)
    for ax in axes[2, len(config.map_k) :]:
        ax.set_visible(False)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
