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

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import at_least, between, but, one_of, option
from reproductions.common import optima, pictures, toys
from reproductions.common.arrays import stacked

OURS = {
    "source": "beyond the paper; wedges.joint_connector",
    "says": "Not in the paper: points that are trained together make a lower path.",
}
HALVES = "A tunnel's deviations from the line fall into two halves, each with a direction of its own."
PATHS = ("line", "tunnel", "joint", "bezier")
LOW = 0.25  # of the line's barrier: what counts as low


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
    paths = Paths(config.segments, config.steps, config.rate, config.start, config.seed)
    found = parallel.over(functools.partial(_pair, config.network(), paths), list(pairs))
    size = config.toy_dimension, config.toy_n, config.toy_k
    landscapes = [toys.Toy("finite", *size, config.seed + i) for i in range(config.pairs)]
    toy = parallel.over(functools.partial(cache.cached, _on_toy, config.segments), landscapes)
    return stacked(found) | stacked(toy)


@dataclasses.dataclass(frozen=True)
class Paths:
    """The tunnel between two optima, and what all paths there are trained by: see Config."""

    segments: int
    steps: int
    rate: float
    start: str
    seed: int

    @property
    def total(self):
        """Gradient steps of each path."""
        return (self.segments - 1) * self.steps


def _pair(network, paths, item):
    """All that is shown of one pair of trained optima, and their number from 1."""
    number, ends = item
    ends, w = np.stack(ends), positions(paths.segments)  # [2, D], [2S + 1, 2]
    with progress.labelled(f"pair {number}"):
        surfaces = {
            "line": wedges.Connector(ends, wedges.simplex.Grid(1, 1)),
            "tunnel": _tunnel(network, ends, paths),
            "joint": _joint(network, ends, paths),
            "bezier": _bezier(network, ends, paths),
        }
        found = {}
        for name, surface in surfaces.items():
            found |= optima.read(network, surface(w), name)
        labels = optima.predicted(network, surfaces["tunnel"](w))  # [2S + 1, N]
    truth = network.problem.source.load().y_test
    deviations = surfaces["tunnel"].deviations  # [S - 1, D]
    return found | {
        "labels": wedges.label_agreement(labels[::2]),  # [S + 1, S + 1], at the vertices
        "ends disagree": wedges.disagreement(labels[[0, -1]], truth)[0, 1],
        "cosines": wedges.cosine_matrix(deviations),
        "distance": np.linalg.norm(ends[1] - ends[0]),
        "deviation": np.linalg.norm(deviations, axis=1),
    }


def positions(segments):
    """Barycentric positions of a tunnel's vertices and the middles between, [2S + 1, 2]."""
    t = np.linspace(0, 1, 2 * segments + 1)
    return np.stack([1 - t, t], axis=1)


def _tunnel(network, ends, paths):
    how = optima.OneByOne(paths.rate, paths.steps, paths.start)
    return optima.surface(network, ends, wedges.simplex.Grid(1, paths.segments), how, "tunnel")


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


def _on_toy(segments, toy):
    """Line and tunnel on a toy landscape, K random wedges."""
    _, ends = toy.two_optima()
    line, tunnel = wedges.Connector(ends, wedges.simplex.Grid(1, 1)), toy.tunnel(ends, segments)
    w = positions(segments)
    return {
        "toy line": toy.landscape(line(w)),
        "toy tunnel": toy.landscape(tunnel(w)),
        "toy cosines": wedges.cosine_matrix(tunnel.deviations),
    }


# ---- what the numbers say ---------------------------------------------------------------------------


def _numbers(arrays, config):
    """{name: [pairs]}: what the claims are about. Heights are above the ends' mean, over the barrier."""
    line = arrays["line train loss"]  # [pairs, 2S + 1]
    ends = (line[:, 0] + line[:, -1]) / 2
    rise, toy_rise = wedges.barrier(line), wedges.barrier(arrays["toy line"])
    height = lambda losses: (losses.max(axis=1) - ends) / rise
    within, across = wedges.compare.halves(arrays["cosines"])
    same, other = wedges.compare.halves(arrays["labels"])
    toy_within, toy_across = wedges.compare.halves(arrays["toy cosines"])
    # Row i of the cosines stands at vertex i + 1, row i of the labels at vertex i.
    turn = np.array([wedges.compare.switch(c) for c in arrays["cosines"]]) + 0.5
    labels_turn = np.array([wedges.compare.switch(a) for a in arrays["labels"]]) - 0.5
    return {
        "ends": ends,
        "barrier": rise,
        **{f"{name} highest": height(arrays[f"{name} train loss"]) for name in PATHS[1:]},
        "vertices highest": height(arrays["tunnel train loss"][:, ::2]),
        "within": within,
        "across": across,
        "turn": turn / config.segments,
        "labels within": same,
        "labels across": other,
        "labels turn": labels_turn / config.segments,
        "ends disagree": arrays["ends disagree"],
        "lowest accuracy": arrays["tunnel test accuracy"].min(axis=1),
        "end accuracy": arrays["tunnel test accuracy"][:, [0, -1]].mean(axis=1),
        "toy vertices": arrays["toy tunnel"][:, ::2].max(axis=1) / toy_rise,
        "toy highest": arrays["toy tunnel"].max(axis=1) / toy_rise,
        "toy within": toy_within,
        "toy across": toy_across,
    }


def judged(arrays, config):
    """{claim: the number it is about}, over all pairs."""
    n = _numbers(arrays, config)
    mean = {name: values.mean() for name, values in n.items()}
    blocks = np.abs(n["turn"] - n["labels turn"]).max() * config.segments
    return {
        "barrier": (n["barrier"] / n["ends"]).min(),
        "tunnel": n["tunnel highest"].max(),
        "within": mean["within"],
        "across": mean["within"] - mean["across"],
        "labels": (n["labels within"] - n["labels across"]).min(),
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
    claim("barrier", "line's barrier / loss of its ends", ">", 0.1, says=line)
    tunnel = "Points minimised in the hyperplanes normal to the line form a tunnel of low loss."
    claim("tunnel", highest, "<=", LOW, says=tunnel)
    claim("within", "mean cosine of deviations within a half", ">=", 0.5, says=HALVES)
    claim("across", "by how much it is lower across halves", ">=", 0.25, says=HALVES)
    alike = {"says": "Networks of one half predict alike: labels agree in the same two blocks."}
    claim("labels", "label agreement within a half less across", ">", 0, threshold=THEIRS, **alike)
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
