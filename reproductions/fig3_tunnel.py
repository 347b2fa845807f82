"""Figure 3: a tunnel of low loss between two independently trained optima.

The straight line between two optima has a barrier. The paper's tunnel divides it into S segments and
minimises the training loss at each inner vertex within the hyperplane normal to the line. The
vertices' deviations from the line fall into two halves: within a half they point the same way, and the
networks there predict the same labels. Beside it, at the same number of gradient steps: a surface
whose points are trained jointly, and a quadratic Bezier curve; all of them on the plane of that curve,
as far as they lie on it. toy.png: the toy landscape, by the same functions of the library.

    python -m reproductions.fig3_tunnel --preset=quick     digits, about a minute
    python -m reproductions.fig3_tunnel                    CIFAR-10, three pairs, half an hour
    python -m reproductions.fig3_tunnel --pairs=1 --start=neighbour --segments=20
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 3; curves, Garipov et al. 2018.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import at_least, between, but, one_of, option
from reproductions.common import optima, pictures, toys, tunnels
from reproductions.common.arrays import named, stacked, under
from reproductions.common.tunnels import BOUNDS, positions

OURS = {
    "source": "beyond the paper; wedges.joint_connector",
    "says": "Not in the paper: points that are trained together make a lower path.",
}
HALVES = "A tunnel's deviations from the line fall into two halves, each with a direction of its own."
PATHS = ("line", "tunnel", "joint", "bezier")


@options.settings
class Config(optima.Config):
    epochs: int = but(smoke=10)
    examples: int = but(smoke=500)
    pairs: int = option("pairs of optima, i of seeds seed + 2i, seed + 2i + 1", paper=3, quick=2)
    segments: int = option("S, segments of the tunnel", between(6, 1000), paper=10, smoke=6)
    steps: int = option(
        "gradient steps a vertex; the other paths: (S - 1) times as many",
        paper=780,
        quick=200,
        smoke=60,
    )
    start: str = option(
        "where a vertex starts: on the straight line (flat), or displaced like the vertex before it",
        one_of("flat", "neighbour"),
        paper="flat",
    )
    toy_dimension: int = option("D of the toy", between(4, 5000), paper=1000, quick=300, smoke=100)
    toy_n: int = option(
        "long directions of its wedges", below="toy_dimension", paper=900, quick=270, smoke=90
    )
    toy_k: int = option("K, its wedges", at_least(2), paper=10, smoke=5)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """ "<path> <reading>" [pairs, 2S + 1] at vertices and middles, "cosines", "labels"; "plane ...", of
    the first pair; "toy ..." """
    ends = optima.trained(config, 2 * config.pairs)  # [2 pairs, D]
    pairs = enumerate(zip(ends[::2], ends[1::2], strict=True), 1)
    paths = tunnels.Paths(config.segments, config.steps, config.rate, config.start, config.seed)
    network = config.network()
    found = parallel.over(functools.partial(_pair, network, paths), list(pairs))
    plane = named("plane", _plane(network, paths, ends[:2]))
    size = config.toy_dimension, config.toy_n, config.toy_k
    landscapes = [toys.Toy("finite", *size, config.seed + i) for i in range(config.pairs)]
    toy = parallel.over(functools.partial(tunnels.on_toy, config.segments), landscapes)
    return stacked(found) | plane | stacked(toy)


def _pair(network, paths, item):
    """All that is shown of one pair of trained optima, and their number from 1."""
    number, ends = item
    ends, w = np.stack(ends), positions(paths.segments)  # [2, D], [2S + 1, 2]
    with progress.labelled(f"pair {number}"):
        found = tunnels.between(network, ends, paths)
        for name, path in (("joint", _joint), ("bezier", _bezier)):
            found |= optima.read(network, path(network, ends, paths)(w), name)
    return found


def _surfaces(network, ends, paths):
    """{path: a `wedges.Connector` of the ends [2, D]}."""
    others = {"joint": _joint(network, ends, paths), "bezier": _bezier(network, ends, paths)}
    return tunnels.joined(network, ends, paths) | others


def _joint(network, ends, paths):
    """A polygon of three points between. With one point it is moved often, so that comes first; then
    the same path with three."""
    coarse, fine = wedges.simplex.Grid(1, 2), wedges.simplex.Grid(1, 4)
    part, rest = paths.total // 2, paths.total - paths.total // 2
    how = optima.Jointly(paths.rate, part, paths.seed, samples=paths.total)
    half = optima.surface(network, ends, coarse, how, "joint")
    begin = half(fine.points[2:])  # [3, D]
    how = optima.Jointly(paths.rate, rest, paths.seed, samples=paths.total, begin=begin)
    return optima.surface(network, ends, fine, how, "joint")


def _bezier(network, ends, paths):
    bend = wedges.simplex.Bernstein(1, 2)
    how = optima.Jointly(paths.rate, paths.total, paths.seed, samples=paths.total, normal=False)
    return optima.surface(network, ends, bend, how, "bezier")


def _plane(network, paths, ends):
    """The plane through two ends [2, D] and the Bezier curve's bend: the loss there, and all paths."""
    with progress.labelled("plane"):
        surfaces = _surfaces(network, ends, paths)
        bend = surfaces["bezier"].vertices[2:]
        w = {name: positions(paths.segments if name == "tunnel" else 50) for name in surfaces}
        thetas = {name: surface(w[name]) for name, surface in surfaces.items()}
        points = 2 * paths.segments + 1
        return cache.cached(_on_plane, network, np.concatenate([ends, bend]), thetas, points)


def _on_plane(network, corners, paths, points):
    """On the plane through corners [3, D]: "loss" [points, points] at "x" and "y" [points], from fewer
    examples than other losses; where the corners and {path: thetas [T, D]} stand, [..., 3]."""
    plane = wedges.through(corners)
    _, far, bend = plane.coordinates(corners).numpy()
    # A square about the first two corners and the curve, which goes half as far as its bend.
    side = np.linspace(-0.5, 0.5, points) * max(1.5 * far[0], 0.8 * far[0] + bend[1] / 2)
    x, y = side + far[0] / 2, side + bend[1] / 4
    fewer = dataclasses.replace(network, examples=min(network.examples, 2000))
    places = {"corners": corners, **paths}
    for name, thetas in places.items():  # two coordinates, and how far off the plane
        places[name] = np.column_stack([plane.coordinates(thetas), plane.distance(thetas)])
    return {"x": x, "y": y, "loss": wedges.probe.plane(fewer.seen, plane, x, y), **places}


# ---- what the numbers say ---------------------------------------------------------------------------


def _numbers(arrays, config):
    """{name: [pairs]}: what the claims are about. Heights are above the ends' mean, over the barrier."""
    rise = wedges.barrier(arrays["toy line"])
    within, across = wedges.compare.halves(arrays["toy cosines"])
    others = {f"{name} highest": tunnels.height(arrays, name) for name in PATHS[2:]}
    return {
        **tunnels.numbers(arrays, config.segments),
        **others,
        "toy vertices": arrays["toy tunnel"][:, ::2].max(axis=1) / rise,
        "toy highest": arrays["toy tunnel"].max(axis=1) / rise,
        "toy within": within,
        "toy across": across,
    }


def judged(arrays, config):
    """{claim: the number it is about}, over all pairs."""
    n = _numbers(arrays, config)
    mean = {name: values.mean() for name, values in n.items()}
    blocks = np.abs(n["turn"] - n["labels turn"]).max() * config.segments
    return {
        **tunnels.judged(n),
        "blocks": np.round(blocks, 6),
        "toy.vertices": n["toy vertices"].max(),
        "toy.within": mean["toy within"],
        "toy.across": mean["toy within"] - mean["toy across"],
        "joint": mean["joint highest"] - mean["tunnel highest"],
    }


def claims(arrays, config):
    """Every claim of fig3."""
    claim = Verdict("fig3", "Fort & Jastrzebski 2019, Fig. 3", judged(arrays, config))
    near = max(1, config.segments // 10)
    highest = "highest vertex or middle of the tunnel above its ends / line's barrier"
    line = "The straight line between two optima has a barrier."
    claim("barrier", "line's barrier / loss of its ends", *BOUNDS["barrier"], says=line)
    tunnel = "Points minimised in the hyperplanes normal to the line form a tunnel of low loss."
    claim("tunnel", highest, *BOUNDS["tunnel"], says=tunnel)
    claim("within", "mean cosine of deviations within a half", *BOUNDS["within"], says=HALVES)
    claim("across", "by how much it is lower across halves", *BOUNDS["across"], says=HALVES)
    alike = {"says": "Networks of one half predict alike: labels agree in the same two blocks."}
    labels = "label agreement within a half less across"
    claim("labels", labels, *BOUNDS["labels"], threshold=THEIRS, **alike)
    claim("blocks", "where labels and deviations change sides: vertices apart", "<=", near, **alike)
    toy = claim.about("toy.*", "toy", says="The toy landscape shows the same.")
    toy("vertices", "highest vertex / line's barrier", "<", 1e-3)
    toy("within", "mean cosine within a half", ">=", 0.5)
    toy("across", "by how much it is lower across", ">=", 0.25)
    joint = "highest point of the joint path less the tunnel's, at as many steps"
    claim("joint", joint, "<", 0, **OURS)
    return claim.claims


def summary(arrays, config):
    """Every number of the claims, [pairs]."""
    return _numbers(arrays, config)


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    return {"plane *": {}, "*": {"pair": config.pairs}}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The plane of the first pair; accuracy and loss along the paths; both matrices of the tunnel."""
    n = {name: values.mean() for name, values in _numbers(arrays, config).items()}
    title = f"{_finding(arrays, config)}\n{pictures.named(config.model)} on "
    title += f"{pictures.named(config.dataset)}, {pictures.counted(config.pairs, 'pair')} of optima"
    title += " (mean and standard deviation; matrices: mean)" if config.pairs > 1 else ""
    title += f", tunnel of {config.segments} segments"
    planes = "plane loss" in arrays  # which earlier results have not
    layout = ("ab" if planes else "b", "cde")
    figure, axes = pictures.mosaic(layout, title=title, size=(8.6, 6.9), heights=(1.5, 1))
    if planes:
        _draw_plane(axes["a"], arrays, config)
    accuracy = {name: 100 * arrays[f"{name} test accuracy"] for name in PATHS}
    names = {k: f"{looks()[k][1]}: at least {v.mean(axis=0).min():.0f}%" for k, v in accuracy.items()}
    _draw_paths(axes["b"], config, accuracy, names)
    how = {"title": "(b) Test accuracy on the way", "y": "test accuracy (%)"}
    wedges.plots.label_axes(axes["b"], x="from A (0) to B (1)", **how, legend=8)
    _draw_paths(axes["c"], config, {name: arrays[f"{name} train loss"] for name in PATHS})
    high = 100 * _numbers(arrays, config)["tunnel highest"].max()
    words = f"(c) Training loss: tunnel up to {high:.0f}% of the barrier"
    how = {"title": words, "x": "from A (0) to B (1)", "y": "training loss (nats)"}
    wedges.plots.label_axes(axes["c"], **how)
    _draw_cosines(axes["d"], arrays["cosines"], n, "", "(d) Deviations from the line")
    _draw_labels(axes["e"], arrays, n)
    return figure


def more_pictures(arrays, config):
    """{name: picture}: line and tunnel on the toy landscape."""
    n = {name: values.mean() for name, values in _numbers(arrays, config).items()}
    title = "Line and tunnel on the toy landscape"
    if n["toy vertices"] < 1e-3 < n["toy highest"]:
        title = "Toy landscape: the tunnel's vertices lie on two wedges, the step between them does not"
    title += f"\nD = {config.toy_dimension}, {config.toy_k} wedges of n = {config.toy_n} in random "
    title += (
        f"orientation, {pictures.counted(config.pairs, 'pair')} of optima, {config.segments} segments"
    )
    figure, ((losses, cosines),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.1))
    _draw_paths(losses, config, {name: arrays[f"toy {name}"] for name in ("line", "tunnel")})
    how = {"title": "(a) The loss on the way", "y": "loss (distance to the nearest wedge)"}
    wedges.plots.label_axes(losses, x="from A (0) to B (1)", **how, legend=8)
    _draw_cosines(cosines, arrays["toy cosines"], n, "toy ", "(b) Deviations from the line")
    return {"toy": figure}


def looks():
    """{path: (colour, name, marker)}."""
    plots = wedges.plots
    return {
        "line": (plots.GREY, "straight line", "s"),
        "tunnel": (plots.ORANGE, "tunnel", "o"),
        "joint": (plots.BLUE, "path trained jointly", "^"),
        "bezier": (plots.GREEN, "Bezier curve", "."),
    }


def _finding(arrays, config):
    """A sentence that is true of these numbers."""
    found = {claim.id: claim.passed for claim in claims(arrays, config)}
    low = {p: 100 * arrays[f"{p} test accuracy"].mean(axis=0).min() for p in ("line", "tunnel")}
    high = 100 * _numbers(arrays, config)["tunnel highest"].max()
    if not found["fig3.barrier"]:
        return "The straight line between two optima has hardly a barrier"
    if not found["fig3.tunnel"]:
        return f"The tunnel between two optima is not low: it rises to {high:.0f}% of the line's barrier"
    return (
        f"Between two optima accuracy falls to {low['line']:.0f}% on the straight line; "
        f"in a tunnel it stays at {low['tunnel']:.0f}% or more"
    )


def _draw_plane(ax, arrays, config):
    """Colours go round in the order of the paths: as `looks` has them."""
    mine = under("plane", arrays)
    ways = {looks()[name][1]: mine[name] for name in ("tunnel", "joint", "bezier", "line")}
    points = dict(zip(("A", "B", "bend"), mine["corners"], strict=True))
    x, y = mine["x"], mine["y"]
    if not y[0] < points["bend"][1] < y[-1]:
        del points["bend"]
    # Beyond the line's own height all is one colour.
    between = np.interp(mine["line"][:, 0], x, mine["loss"][np.argmin(np.abs(y))])
    how = {"high": max(2.5 * between.max(), 1.1 * mine["loss"].min()), "levels": 9, "ax": ax}
    how |= {"label": "training loss (nats)"}
    wedges.plots.path_on_plane(pictures.Projected(), x, y, mine["loss"], ways, points, **how)
    title = "(a) The Bezier curve's plane" + (", first pair" if config.pairs > 1 else "")
    ax.set_title(title, pad=13.5 * len(ways) + 4, fontsize=9.5)


def _draw_paths(ax, config, series, names=None):
    """{path: values [pairs, 2S + 1]}; names: {path: its label}, if not its usual one."""
    t = positions(config.segments)[:, 1]
    for path, values in series.items():
        color, name, marker = looks()[path]
        label = names[path] if names else name
        wedges.plots.curve(ax, t, values, color=color, label=label, marker=marker)


def _draw_cosines(ax, cosines, n, prefix, title):
    mean = cosines.mean(axis=0)
    wedges.plots.matrix(ax, mean, low=-1, high=1, label="cosine")
    pictures.halves(ax, mean, n[f"{prefix}within"], n[f"{prefix}across"])
    every = range(0, len(mean), max(1, len(mean) // 4))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(list(every), [f"{i + 1}" for i in every])
    wedges.plots.label_axes(ax, title=title, x="inner vertex", y="inner vertex", grid=False)


def _draw_labels(ax, arrays, n):
    mean = arrays["labels"].mean(axis=0)
    how = {"low": mean.min(), "high": 1, "label": "fraction of labels equal", "colors": "viridis"}
    wedges.plots.matrix(ax, mean, **how)
    digits = 2 if n["labels across"] < 0.95 else 3
    pictures.halves(ax, mean, n["labels within"], n["labels across"], digits)
    title = "(e) Predicted labels"
    wedges.plots.label_axes(ax, title=title, x="vertex", y="vertex", grid=False)


if __name__ == "__main__":
    runs.main(__name__)
