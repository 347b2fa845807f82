"""Low-loss paths between two optima of the toy landscapes.

Two random starts are minimised to two optima. Between them: (1) the straight line; (2) a tunnel, S
segments whose vertices are minimised in the hyperplanes normal to the line; (3) a path with one
corner, moved until the whole path is low, which leads it through the two wedges' intersection.
Measured: loss along all three; cosines between the vertices' deviations from the line, which fall
into two aligned halves where there are few wedges; short directions at the crossing; and a map over
(D, n, K) of where the two halves are found, for all axis-aligned wedges from small to large n / D.

    python -m reproductions.toy_tunnel --preset=quick     half a minute
    python -m reproductions.toy_tunnel                    four minutes on two cores
    python -m reproductions.toy_tunnel --optimizer=sgd    by gradient descent on L, as the paper says
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3; the path with a corner is ours.
"""

import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Floats, Ints, at_least, between, either, inside, one_of, option
from reproductions.common import descending, known_halves, pictures, toys
from reproductions.common.arrays import under

OURS = {
    "source": "beyond the paper; wedges.connect",
    "says": "Not in the paper: a path through the wedges' intersection is low throughout.",
}
WITHIN, ACROSS = 0.8, 0.2  # what counts as two halves
SAMPLES = 10  # of the loss on each segment
COUNTS = ("end short", "corner short", "end rank", "corner rank")
KINDS = {"cg": toys.Toy, "sgd": descending.Descended}  # by how optima and tunnels are minimised
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_D = between(4, 5000)


@options.settings
class Config(options.Config):
    dimension: int = option("D of the landscapes in detail", _D, paper=1000, quick=300, smoke=60)
    n: int = option("long directions of their wedges", below="dimension", paper=900, quick=270, smoke=48)
    k: int = option("K, wedges of the finite variant", at_least(2), paper=10)
    pairs: int = option("pairs of optima, in detail", paper=3, quick=2, smoke=1)
    segments: int = option("S, segments of a tunnel", at_least(6), paper=20, smoke=8)
    map_dimensions: Ints = option(
        "D of the map", _D, paper=(30, 100, 300, 1000), quick=(100,), smoke=(40,)
    )
    map_long: Floats = option(
        "n / D of the map", inside(0, 1), paper=(0.5, 0.7, 0.9, 0.95), quick=(0.5, 0.9), smoke=(0.8,)
    )
    map_k: Ints = option(
        "K of the map; 0: all axis-aligned wedges",
        either(0, at_least(2)),
        paper=(3, 10, 0),
        smoke=(3,),
    )
    map_all: Floats = option(
        "n / D of the longer map of all axis-aligned wedges",
        inside(0, 1),
        paper=SHARES,
        quick=(0.1, 0.5, 0.9),
        smoke=(0.2,),
    )
    map_pairs: int = option("pairs of optima for each cell of the maps", paper=2, quick=1)
    optimizer: str = option(
        "of optima and tunnels: conjugate gradients, or gradient descent", one_of(*KINDS), paper="cg"
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """In detail "<variant> <name>" [pairs, ...]; the map "map within", "map across" [D, n, K]; that of
    all axis-aligned wedges, "all within", "all across" [D, n]."""
    kind = KINDS[config.optimizer]
    pairs = [
        kind(variant, config.dimension, config.n, config.k, config.seed + pair)
        for variant in toys.VARIANTS
        for pair in range(config.pairs)
    ]
    watched = progress.bar("paths", iterable=pairs, unit="pair")
    found = parallel.over(functools.partial(cache.cached, paths, config.segments), watched)
    arrays = toys.by_variant(pairs, found)
    shape = (config.map_dimensions, config.map_long, config.map_k)
    arrays |= _mapped(config, "map", shape)
    longer = _mapped(config, "all", (config.map_dimensions, config.map_all, (0,)))
    return arrays | {name: values[..., 0] for name, values in longer.items()}


def _mapped(config, name, shape):
    """Mean cosines "<name> within", "<name> across" [D, n, K] over pairs of optima."""
    kind = KINDS[config.optimizer]
    cells = [
        kind("finite" if k else "axis", d, max(1, round(share * d)), k, config.seed + pair)
        for pair in range(config.map_pairs)
        for d, share, k in itertools.product(*shape)
    ]
    watched = progress.bar(f"map ({name})", iterable=cells, unit="pair")
    found = parallel.over(functools.partial(cache.cached, halves, config.segments), watched)
    each = {n: np.array([f[n] for f in found]) for n in ("within", "across")}
    sizes = (config.map_pairs, *map(len, shape))
    return {f"{name} {n}": values.reshape(sizes).mean(axis=0) for n, values in each.items()}


def paths(segments, toy):
    """All that is shown of a pair of optima: loss along the line between them, along a tunnel of so many
    segments, and along the path through the wedges' intersection; short directions at its corner."""
    landscape = toy.landscape
    start, ends = toy.two_optima()  # [], [2, D]
    t, line = wedges.connect.along(landscape, ends, segments * SAMPLES)  # [T]
    tunnel = toy.tunnel(ends, segments)
    _, path = wedges.connect.along(landscape, tunnel.path, SAMPLES)
    corner = toy.crossing(ends)  # [D]
    bent, bend = wedges.connect.along(landscape, np.stack([ends[0], corner, ends[1]]), len(t))
    return {
        "start": start,
        "t": t,
        "line": line,
        "tunnel": path,
        "vertices": landscape(tunnel.path).numpy(),
        "cosines": wedges.cosine_matrix(tunnel.deviations),
        "bent": bent,
        "bend": bend,
        **_short_directions(toy, "end", ends[0]),
        **_short_directions(toy, "corner", corner),
    }


def _short_directions(toy, name, theta):
    """How many there are at theta [D]: by the wedges near it, and by the span of gradients around."""
    rank = wedges.gradient_rank(toy.landscape, theta, toys.RADIUS, 6 * toy.s, seed=toy.seed)
    near = toy.landscape.short_directions(theta, toys.NEAR)
    return {f"{name} short": len(near), f"{name} rank": rank}


def halves(segments, toy):
    """Mean cosine within and across the halves of a tunnel between a pair of optima, [] each."""
    _, ends = toy.two_optima()
    tunnel = toy.tunnel(ends, segments, steps=100, tolerance=1e-5)
    within, across = wedges.compare.halves(wedges.cosine_matrix(tunnel.deviations))
    return {"within": within, "across": across}


# ---- what the numbers say ---------------------------------------------------------------------------


def numbers(arrays, config):
    """{variant: {name: [pairs]}} of what the claims are about."""
    found = {}
    for v in toys.VARIANTS:
        own = under(v, arrays)
        rise = wedges.barrier(own["line"])  # [pairs]
        within, across = wedges.compare.halves(own["cosines"])
        switches = [wedges.compare.switch(c) for c in own["cosines"]]
        found[v] = {
            "barrier": rise / own["start"],
            "vertices": own["vertices"].max(axis=-1) / rise,
            "between": own["tunnel"].max(axis=-1) / rise,
            "within": within,
            "across": across,
            # vertex i stands at (i + 1) / S of the line
            "switch": (np.array(switches) + 0.5) / config.segments,
            "bend": own["bend"].max(axis=-1) / rise,
            **{name: own[name] for name in COUNTS},
        }
    return found


def judged(arrays, config):
    """{claim: number}, over all pairs."""
    found = {}
    for v, at in numbers(arrays, config).items():
        found |= {
            f"tunnel.barrier.{v}": at["barrier"].min(),
            f"tunnel.vertices.{v}": at["vertices"].max(),
            f"tunnel.within.{v}": at["within"].mean(),
            f"tunnel.across.{v}": at["across"].mean(),
            f"tunnel.switch.{v}": np.abs(at["switch"] - 0.5).max(),
            f"connect.path.{v}": at["bend"].max(),
            f"connect.short.{v}": np.abs(at["corner short"] / crossing(config, v) - 1).max(),
        }
    return found


def crossing(config, variant):
    """How many short directions two wedges have where they meet."""
    return toys.together(config.dimension, config.dimension - config.n, 2, variant)


LINE = "The straight line between two optima has a barrier."
LOW = "Minimised in the hyperplanes normal to the line, points between two optima are low."
HALVES = "Their deviations from the line fall into two aligned halves that switch at the middle."


def claims(arrays, config):
    """Every claim of toy.tunnel and toy.connect, on every variant."""
    claim = Verdict("toy", "Fort & Jastrzebski 2019, section 3", judged(arrays, config))
    for v in toys.VARIANTS:
        own = claim.about(f"*.{v}", toys.LABELS[v])
        own("tunnel.barrier", "line's barrier / loss at the start", ">", 0.1, says=LINE)
        own("tunnel.vertices", "highest vertex / line's barrier", "<", 1e-3, says=LOW)
        own("tunnel.within", "mean cosine within a half", ">=", WITHIN, says=HALVES)
        own("tunnel.across", "mean cosine across halves", "<=", ACROSS, says=HALVES)
        own("tunnel.switch", "halves switch this far from the middle", "<=", 0.1, says=HALVES)
        own("connect.path", "highest point of the bent path / barrier", "<=", 0.05, **OURS)
        count = f"|short directions at the crossing / {crossing(config, v):.0f} - 1|"
        own("connect.short", count, "<=", 0.1, **OURS)
    return claim.claims


def summary(arrays, config):
    """Every number of the claims [pairs], and the map: what the reference guards."""
    found = {f"{v}: {name}": n for v, at in numbers(arrays, config).items() for name, n in at.items()}
    cells = itertools.product(config.map_dimensions, config.map_long, config.map_k)
    maps = {name: arrays[f"map {name}"].ravel() for name in ("within", "across")}
    found |= {
        f"map D {dimension}, n/D {share}, K {k}: {name}": [values[i]]
        for i, (dimension, share, k) in enumerate(cells)
        for name, values in maps.items()
    }
    return found | {
        f"all wedges, D {dimension}, n/D {share}: {name}": [arrays[f"all {name}"][i, j]]
        for i, dimension in enumerate(config.map_dimensions)
        for j, share in enumerate(config.map_all)
        for name in ("within", "across")
    }


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """A row for all axis-aligned wedges, one for K random ones: three paths; cosines of deviations."""
    found = claims(arrays, config)
    title = "Three paths between two optima of the toy landscape"
    if pictures.holds(found, "*.barrier.*", "*.vertices.*", "*.path.*"):
        title = "Low-loss paths join optima of every toy landscape"
        halves = {v: pictures.holds(found, f"*.within.{v}", f"*.across.{v}") for v in toys.VARIANTS}
        if halves["finite"]:
            title += "; tunnels have" if halves["axis"] else "; only few wedges make"
            title += " two aligned halves"
    return _pairs(arrays, config, ("axis", "finite"), title)


def more_pictures(arrays, config):
    """The same of rotated wedges; the map of where the two halves are found; that of all axis-aligned
    wedges over all n / D."""
    held = {v: [c.passed for c in claims(arrays, config) if c.id.endswith(v)] for v in toys.VARIANTS}
    title = "Three paths between two optima where the axis-aligned wedges are rotated"
    if held["rotated"] == held["axis"]:
        title = "Rotated wedges have such paths as axis-aligned ones have"
    pair = _pairs(arrays, config, ("rotated",), title)
    return {"rotated": pair, "map": _map(arrays, config), "all": _all(arrays, config)}


def _pairs(arrays, config, variants, title):
    """A row for each of these variants: the first pair's paths, and its cosines."""
    title += f"\nD = {config.dimension:,}, n = {config.n:,}; "
    more = f"the first of {config.pairs} pairs of optima, numbers are means"
    title += f"{more if config.pairs > 1 else 'one pair of optima'}; the tunnel's "
    title += f"{config.segments - 1} vertices are minimised in the hyperplanes normal to the line"
    title += ", by gradient descent" if config.optimizer == "sgd" else ""
    figure, axes = wedges.plots.grid(len(variants), 2, title=title, panel=(4.3, 3.2))
    for i, (v, (path, cosines)) in enumerate(zip(variants, axes, strict=True)):
        own = {name: values[0] for name, values in under(v, arrays).items()}
        _draw_paths(path, own, toys.label(v, config.k).capitalize(), legend=i == len(axes) - 1)
        _draw_cosines(cosines, own["cosines"], numbers(arrays, config)[v])
    return figure


def _draw_paths(ax, own, title, legend):
    """The loss along the three paths between a pair of optima, as a share of the line's barrier."""
    plots, even = wedges.plots, lambda values: np.linspace(0, 1, len(values))
    barrier = max(float(wedges.barrier(own["line"])), 1e-30)
    tunnel, bend = even(own["tunnel"]), {"linestyle": "--", "label": "through the wedges' intersection"}
    ax.plot(own["t"], own["line"] / barrier, color=plots.GREY, linewidth=2, label="straight line")
    ax.plot(
        tunnel, own["tunnel"] / barrier, color=plots.ORANGE, label="tunnel (dots: its vertices)", lw=1
    )
    ax.plot(even(own["vertices"]), own["vertices"] / barrier, "o", color=plots.ORANGE, markersize=4)
    ax.plot(own["bent"], own["bend"] / barrier, color=plots.BLUE, zorder=3, **bend)
    how = {"x": "from one optimum (0) to the other (1)", "y": "loss / the line's barrier"}
    plots.label_axes(ax, title=title, **how, legend=8 if legend else None)


def _draw_cosines(ax, cosines, own):
    """Cosines between the vertices' deviations from the line; the means within and across its halves."""
    wedges.plots.matrix(ax, cosines, low=-1, high=1, label="cosine")
    pictures.halves(ax, cosines, own["within"].mean(), own["across"].mean())
    how = {"x": "vertex of the tunnel", "y": "vertex of the tunnel", "grid": False}
    wedges.plots.label_axes(ax, title="Cosines between deviations from the line", **how)


def _near(number):
    """Two digits after the point, and no minus before 0.00."""
    return f"{round(float(number), 2) + 0.0:.2f}"


def _map(arrays, config):
    """Where two halves are found: a panel for each K, D against n / D."""
    found = (arrays["map within"] >= WITHIN) & (arrays["map across"] <= ACROSS)
    several = pictures.counted(found.size, "toy landscape")
    title = f"Two aligned halves are found in {found.sum()} of {several}"
    title += (
        f"\nupper number: mean cosine within a half, lower: across; boxed: at least {WITHIN:g} within, "
    )
    title += f"at most {ACROSS:g} across; {pictures.counted(config.map_pairs, 'pair')} of optima a cell"
    size = len(config.map_k)
    figure, ((axes),) = wedges.plots.grid(1, size, title=title, panel=(4.3, 3.6))
    for j, (ax, k) in enumerate(zip(axes, config.map_k, strict=True)):
        within, across = arrays["map within"][:, :, j], arrays["map across"][:, :, j]
        texts = [
            [f"{_near(a)}\n{_near(b)}" for a, b in zip(*rows, strict=True)]
            for rows in zip(within, across, strict=True)
        ]
        labels = {"rows": config.map_dimensions, "columns": config.map_long}
        pictures.table(ax, within - across, texts, marked=found[:, :, j], **labels)
        name = f"K = {k} random wedges" if k else "all axis-aligned wedges"
        wedges.plots.label_axes(ax, title=name, x="n / D", y=None if j else "D", grid=False)
    return figure


def _all(arrays, config):
    """Both cosines over n / D: of all axis-aligned wedges, which never leave both on the right side of
    their bounds where D is large, and of K random ones."""
    several = arrays["all within"].size
    aligned = arrays["all within"] >= WITHIN
    found = aligned & (arrays["all across"] <= ACROSS)
    title = f"All axis-aligned wedges: two aligned halves in {found.sum()} of {several} landscapes"
    if aligned.any() and not found.any():
        title += "; where halves are aligned within, they are alike"
    title += (
        f"\nmean cosines between deviations, {pictures.counted(config.map_pairs, 'pair')} of optima; "
    )
    title += (
        f"dotted: {WITHIN:g}, which within a half must reach, and {ACROSS:g}, which across must not "
    )
    title += "exceed; lines: what is expected for D without limit"
    figure, ((left, right),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.6))
    shares = np.linspace(0.02, 0.98, 25)
    expected = np.transpose([known_halves.all_wedges(x, config.segments) for x in shares])
    own = (config.map_all, arrays["all within"][..., None], arrays["all across"][..., None], [0])
    random = [j for j, k in enumerate(config.map_k) if k]
    pick = lambda name: arrays[f"map {name}"][:, :, random]
    few = (config.map_long, pick("within"), pick("across"), random)
    _draw_all(left, config, shares, expected, own, "all axis-aligned wedges")
    known = np.array([np.ones_like(shares), known_halves.few_wedges(shares)])
    values = [config.map_k[j] for j in random]
    name = (
        f"K = {pictures.listed(list(map(str, values)))} random wedges" if values else "few random wedges"
    )
    _draw_all(right, config, shares, known, few, name)
    wedges.plots.label_axes(left, y="cosine", legend=8)
    return figure


def _draw_all(ax, config, shares, expected, measured, title):
    """Expected and measured cosines within and across halves, a marker for each D."""
    long, within, across, each = measured
    colors = {"within": wedges.plots.BLUE, "across": wedges.plots.ORANGE}
    for (word, color), line in zip(colors.items(), expected, strict=True):
        ax.plot(shares, line, color=color, label=f"{word} {'a half' if word == 'within' else 'halves'}")
    markers = itertools.cycle("osD^v")
    for i, (dimension, marker) in enumerate(zip(config.map_dimensions, markers, strict=False)):
        for values, color in ((within, wedges.plots.BLUE), (across, wedges.plots.ORANGE)):
            for j in range(len(each)):
                ax.plot(long, values[i, :, j], marker, color=color, markersize=4, alpha=0.7)
        look = {"color": "black", "markersize": 4, "linestyle": ""}
        ax.plot([], [], marker=marker, label=f"D = {dimension:,}", **look)
    for bound in (WITHIN, ACROSS):
        pictures.level(ax, bound)
    ax.set(xlim=(0, 1), ylim=(-0.1, 1.05))
    wedges.plots.label_axes(ax, title=title, x="n / D")


if __name__ == "__main__":
    runs.main(__name__)
