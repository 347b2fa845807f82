"""Figure 3: a tunnel of low loss between two independently trained optima.

The straight line between two optima has a barrier. The paper's tunnel divides it into S segments and
minimises the training loss at each inner vertex within the hyperplane normal to the line. The
vertices' deviations from the line fall into two halves: within a half they point the same way, and the
networks there predict the same labels. Beside it, at the same number of gradient steps: a surface
whose points are trained jointly, and a quadratic Bezier curve. Above: the toy landscape, the same
functions of the library.

    python -m reproductions.fig3_tunnel --preset=quick     digits, about a minute
    python -m reproductions.fig3_tunnel                    CIFAR-10, three pairs, half an hour
    python -m reproductions.fig3_tunnel --pairs=1 --start=neighbour --segments=20
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 3; curves, Garipov et al. 2018.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import at_least, between, but, one_of, option
from reproductions.common import optima, pictures, toys, tunnels
from reproductions.common.arrays import stacked
from reproductions.common.tunnels import BOUNDS, LOW, positions

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
    """ "<path> <reading>" [pairs, 2S + 1] at vertices and middles, "cosines", "labels"; "toy ..." """
    ends = optima.trained(config, 2 * config.pairs)  # [2 pairs, D]
    pairs = enumerate(zip(ends[::2], ends[1::2], strict=True), 1)
    paths = tunnels.Paths(config.segments, config.steps, config.rate, config.start, config.seed)
    found = parallel.over(functools.partial(_pair, config.network(), paths), list(pairs))
    size = config.toy_dimension, config.toy_n, config.toy_k
    landscapes = [toys.Toy("finite", *size, config.seed + i) for i in range(config.pairs)]
    toy = parallel.over(functools.partial(tunnels.on_toy, config.segments), landscapes)
    return stacked(found) | stacked(toy)


def _pair(network, paths, item):
    """All that is shown of one pair of trained optima, and their number from 1."""
    number, ends = item
    ends, w = np.stack(ends), positions(paths.segments)  # [2, D], [2S + 1, 2]
    with progress.labelled(f"pair {number}"):
        found = tunnels.between(network, ends, paths)
        for name, path in (("joint", _joint), ("bezier", _bezier)):
            found |= optima.read(network, path(network, ends, paths)(w), name)
    return found


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
    return {"*": {"pair": config.pairs}}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Above the toy, with the network's accuracy; below the network."""
    plots, t = wedges.plots, positions(config.segments)[:, 1]
    n = {name: values.mean() for name, values in _numbers(arrays, config).items()}
    title = (
        "Figure 3: a tunnel between two optima\n"
        f"{config.model} on {config.dataset}, {pictures.counted(config.pairs, 'pair')} "
        f"(mean and deviation; matrices: mean), {config.segments} segments; toy: "
        f"D = {config.toy_dimension}, n = {config.toy_n}, K = {config.toy_k}"
    )
    figure, axes = plots.grid(2, 3, title=title, panel=(4.6, 3.4))
    (toy, toy_cosines, accuracy), (loss, cosines, labels) = axes
    for name, color, label, marker in (
        ("line", plots.GREY, "straight line", "s"),
        ("tunnel", plots.ORANGE, "tunnel (vertices and middles)", "o"),
        ("joint", plots.BLUE, "trained jointly, same cost", "^"),
        ("bezier", plots.GREEN, "Bezier curve, same cost", "."),
    ):
        style = {"color": color, "label": label, "marker": marker}
        plots.curve(loss, t, arrays[f"{name} train loss"], **style)
        plots.curve(accuracy, t, 100 * arrays[f"{name} test accuracy"], **style)
        if f"toy {name}" in arrays:
            plots.curve(toy, t, arrays[f"toy {name}"], **style)
    pictures.level(loss, n["ends"] + LOW * n["barrier"], "ends + 25% barrier")
    loss.legend(fontsize=8, loc="upper left")
    high, joint, bezier = (f"{100 * n[f'{name} highest']:.0f}%" for name in PATHS[1:])
    words = f"network: highest point {high} of the barrier,\njoint {joint}, Bezier {bezier}"
    for ax, title, y in (
        (toy, "toy landscape", "loss (distance to a wedge)"),
        (accuracy, "network, test accuracy", "test accuracy (%)"),
        (loss, words, "training loss (nats)"),
    ):
        plots.label_axes(ax, title=title, x="from one optimum (0) to the other (1)", y=y)
    cosine = {"low": -1, "high": 1, "label": "cosine"}
    share = {"low": arrays["labels"].mean(axis=0).min(), "high": 1, "label": "share of labels equal"}
    for ax, name, prefix, title, vertex, how in (
        (toy_cosines, "toy cosines", "toy ", "toy: deviations,", "inner vertex", cosine),
        (cosines, "cosines", "", "network: deviations,", "inner vertex", cosine),
        (labels, "labels", "labels ", "labels agree:", "vertex", share),
    ):
        plots.matrix(ax, arrays[name].mean(axis=0), **how)
        title += f" within {n[f'{prefix}within']:.2f}, across {n[f'{prefix}across']:.2f}"
        plots.label_axes(ax, title=title, x=vertex, y=vertex, grid=False)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
