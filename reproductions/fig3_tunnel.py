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
import sys

import numpy as np

from reproductions.bench import devices, runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima, toys

PAPER = "Fort & Jastrzebski 2019, Fig. 3"
OURS = "beyond the paper; wedges.connect.joint"
positive = optima.positive
PATHS = ("line", "tunnel", "joint", "bezier")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(optima.Config):
    """Settings of the figure."""

    pairs: int = runs.option(
        "pairs of optima; pair i has the seeds seed + 2i, seed + 2i + 1; e.g. 3", positive, "at least 1"
    )
    segments: int = runs.option(
        "S, segments of the tunnel; e.g. 10", lambda v: 6 <= v <= 1000, "from 6 to 1000"
    )
    steps: int = runs.option(
        "gradient steps at each vertex; the other paths get (S - 1) times as many; e.g. 780",
        positive,
        "at least 1",
    )
    start: str = runs.option(
        "where a vertex starts: on the straight line (flat), or displaced like the vertex before it",
        choices=("flat", "neighbour"),
    )
    toy_dimension: int = runs.option(
        "D of the toy landscape; e.g. 1000", lambda v: 3 < v <= 5000, "4..5000"
    )
    toy_n: int = runs.option("long directions of its wedges; e.g. 900", positive, "at least 1")
    toy_k: int = runs.option("K, its wedges; e.g. 10", lambda v: v > 1, "at least 2")


_PAPER = {
    **optima.BETWEEN,
    "dataset": "cifar10",
    "seed": 0,
    "pairs": 3,
    "segments": 10,
    "steps": 780,
    "start": "flat",
    "toy_dimension": 1000,
    "toy_n": 900,
    "toy_k": 10,
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "epochs": 40,
    "batch_size": 32,
    "steps": 200,
    "pairs": 2,
    "toy_dimension": 300,
    "toy_n": 270,
}
_SMOKE = {
    **_QUICK,
    "epochs": 10,
    "steps": 60,
    "segments": 6,
    "examples": 500,
    "toy_dimension": 100,
    "toy_n": 90,
    "toy_k": 5,
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """ "<path> <reading>" [pairs, 2S + 1] at vertices and middles, "cosines", "labels"; "toy ..." """
    from reproductions.bench import parallel
    from reproductions.bench.errors import UsageError
    from reproductions.common import data

    if config.toy_n >= config.toy_dimension:
        raise UsageError(
            f"--toy_n={config.toy_n}: must be below --toy_dimension={config.toy_dimension}."
        )
    dataset = data.load(config.dataset, run.data_dir)
    pairs = range(config.pairs)
    networks = parallel.over(run, functools.partial(_network, config, run, dataset), pairs)
    landscapes = parallel.over(run, functools.partial(_toy, config, run), pairs)
    arrays = {name: np.stack([n[name] for n in networks]) for name in networks[0]}
    return arrays | {name: np.stack([t[name] for t in landscapes]) for name in landscapes[0]}


def _network(config, run, dataset, pair):
    """All that is shown of one pair of trained optima."""
    import wedges
    from wedges.compare import cosine_matrix, disagreement, label_agreement

    seeds = (config.seed + 2 * pair, config.seed + 2 * pair + 1)
    ends = np.stack([optima.trained(config, run, dataset, seed) for seed in seeds])  # [2, D]
    network = optima.network(config, dataset)
    line = wedges.Connector(ends, wedges.simplex.Grid(1, 1))
    surfaces = {"line": line, **_paths(config, run, network, ends, f"pair {pair + 1}")}
    w = _positions(config)  # [2S + 1, 2]
    found = {}
    for name, surface in surfaces.items():
        at = optima.read(run, network, surface(w), f"pair {pair + 1}, {name}")
        labels = at.pop("labels")  # [2S + 1, N]
        found |= {f"{name} {reading}": values for reading, values in at.items()}
        if name == "tunnel":
            found["labels"] = label_agreement(labels[::2])  # [S + 1, S + 1], at the vertices
            found["ends disagree"] = disagreement(labels[[0, -1]], dataset.y_test)[0, 1]
    deviations = surfaces["tunnel"].deviations
    return found | {
        "cosines": cosine_matrix(deviations),
        "distance": np.linalg.norm(ends[1] - ends[0]),
        "deviation": np.linalg.norm(deviations, axis=1),
    }


def _paths(config, run, network, ends, label):
    """{name: Connector} of the three trained paths, each by (S - 1) x steps gradient steps."""
    from reproductions.common import training
    from wedges import connect, simplex

    adam = functools.partial(optima.adam, config)
    compiled = devices.compiled(run)
    total = (config.segments - 1) * config.steps
    key = {**network.key, "rate": config.rate, "ends": store.fingerprint(ends)}
    follow = lambda name: training.following(run, f"{label}, {name}", total, key={**key, "path": name})
    seen = network.descend
    with follow(f"tunnel {config.start}") as each:
        tunnel = connect.tunnel(
            seen,
            *ends,
            config.segments,
            adam(config.steps),
            config.steps,
            start=config.start,
            jit_compile=compiled,
            follow=each,
        )
    random = {"seed": config.seed, "samples": total, "jit_compile": compiled}
    with follow("joint") as each:
        # Coarse first: with few points each is moved often; then the same path with twice as many.
        part, rest = total // 2, total - total // 2
        coarse = simplex.Grid(1, 2)
        half = connect.joint(seen, ends, coarse, adam(part), part, follow=each, **random)
        fine = connect.refined(half, simplex.Grid(1, 4))
        settings = {**random, "start": fine, "follow": each}
        joint = connect.joint(seen, ends, fine.basis, adam(rest), rest, **settings)
    with follow("bezier") as each:
        bend = simplex.Bernstein(1, 2)
        settings = {**random, "normal": False, "follow": each}
        bezier = connect.joint(seen, ends, bend, adam(total), total, **settings)
    return {"tunnel": tunnel, "joint": joint, "bezier": bezier}


def _positions(config):
    """Barycentric positions of the tunnel's vertices and the middles between, [2S + 1, 2]."""
    t = np.linspace(0, 1, 2 * config.segments + 1)
    return np.stack([1 - t, t], axis=1)


def _toy(config, run, pair):
    """The same on the toy landscape, K random wedges."""
    import wedges
    from wedges import compare, connect, simplex

    seed = config.seed + pair
    landscape = toys.build("finite", config.toy_dimension, config.toy_n, k=config.toy_k, seed=seed)
    squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
    _, ends = toys.two_optima(landscape, seed)
    ends = ends.numpy()
    w = _positions(config)
    tunnel = connect.tunnel(squared, *ends, config.segments, cg, 200, tolerance=1e-6)
    line = connect.Connector(ends, simplex.Grid(1, 1))
    return {
        "toy line": landscape(line(w)).numpy(),
        "toy tunnel": landscape(tunnel(w)).numpy(),
        "toy cosines": compare.cosine_matrix(tunnel.deviations),
    }


def _numbers(arrays, config):
    """{name: [pairs]}: what the claims are about. Heights are above the ends' mean, over the barrier."""
    from wedges.compare import halves, switch
    from wedges.probe import barrier

    line = arrays["line train loss"]  # [pairs, T]
    ends = (line[:, 0] + line[:, -1]) / 2
    rise = barrier(line)
    height = lambda name: (arrays[f"{name} train loss"].max(axis=1) - ends) / rise
    within, across = halves(arrays["cosines"])
    same, other = halves(arrays["labels"])
    # Row i of the cosines stands at vertex i + 1, row i of the labels at vertex i.
    turn = np.array([switch(c) for c in arrays["cosines"]]) + 0.5
    labels_turn = np.array([switch(a) for a in arrays["labels"]]) - 0.5
    toy_within, toy_across = halves(arrays["toy cosines"])
    toy_rise = barrier(arrays["toy line"])
    return {
        "ends": ends,
        "barrier": rise,
        **{f"{name} highest": height(name) for name in PATHS[1:]},
        "vertices highest": (arrays["tunnel train loss"][:, ::2].max(axis=1) - ends) / rise,
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


def claims(arrays, config):
    """Every claim of fig3."""
    n = _numbers(arrays, config)
    mean = {name: values.mean() for name, values in n.items()}
    gap = mean["within"] - mean["across"]
    labels = (n["labels within"] - n["labels across"]).min()
    blocks = np.abs(n["turn"] - n["labels turn"]).max() * config.segments
    toy_gap = mean["toy within"] - mean["toy across"]
    lower = mean["joint highest"] - mean["tunnel highest"]
    rows = [
        ("barrier", "line's barrier / loss of its ends", (n["barrier"] / n["ends"]).min(), ">", 0.1),
        (
            "tunnel",
            "highest vertex or middle of the tunnel above its ends / line's barrier",
            n["tunnel highest"].max(),
            "<=",
            0.25,
        ),
        ("within", "mean cosine of deviations within a half", mean["within"], ">=", 0.5),
        ("across", "by how much it is lower across halves", gap, ">=", 0.25),
        ("labels", "label agreement within a half less across", labels, ">", 0),
        (
            "blocks",
            "where labels and deviations change sides: vertices apart",
            np.round(blocks, 6),
            "<=",
            max(1, config.segments // 10),
        ),
        ("toy.vertices", "toy: highest vertex / line's barrier", n["toy vertices"].max(), "<", 1e-3),
        ("toy.within", "toy: mean cosine within a half", mean["toy within"], ">=", 0.5),
        ("toy.across", "toy: by how much it is lower across", toy_gap, ">=", 0.25),
    ]
    found = [Claim(f"fig3.{id}", words, PAPER, *rest) for id, words, *rest in rows]
    words = "highest point of the joint path less the tunnel's, at as many steps"
    return [*found, Claim("fig3.joint", words, OURS, lower, "<", 0)]


def summary(arrays, config):
    """Every number of the claims, [pairs]."""
    return _numbers(arrays, config)


def plot(arrays, config):
    """Above the toy, with the network's accuracy; below the network."""
    from wedges import plots

    n = {name: values.mean() for name, values in _numbers(arrays, config).items()}
    figure, axes = plots.grid(
        2,
        3,
        title="Figure 3: a tunnel between two optima\n"
        f"{config.model} on {config.dataset}, {config.pairs} pair{'s' * (config.pairs > 1)} "
        f"(mean and deviation; matrices: mean), {config.segments} segments; toy: "
        f"D = {config.toy_dimension}, n = {config.toy_n}, K = {config.toy_k}",
        panel=(4.6, 3.4),
    )
    t = np.linspace(0, 1, 2 * config.segments + 1)
    along = "from one optimum (0) to the other (1)"
    styles = (
        ("line", plots.GREY, "straight line", "s"),
        ("tunnel", plots.ORANGE, "tunnel (vertices and middles)", "o"),
        ("joint", plots.BLUE, "trained jointly, same cost", "^"),
        ("bezier", plots.GREEN, "Bezier curve, same cost", "."),
    )
    for name, color, label, marker in styles:
        style = {"color": color, "label": label, "marker": marker}
        plots.curve(axes[1, 0], t, arrays[f"{name} train loss"], **style)
        plots.curve(axes[0, 2], t, 100 * arrays[f"{name} test accuracy"], **style)
        if name in ("line", "tunnel"):
            plots.curve(axes[0, 0], t, arrays[f"toy {name}"], **style)
    limit = n["ends"] + 0.25 * n["barrier"]
    axes[1, 0].axhline(limit, color="black", linewidth=0.8, linestyle=":", label="ends + 25% barrier")
    axes[1, 0].legend(fontsize=7, loc="upper left")
    plots.label_axes(axes[0, 0], title="toy landscape", x=along, y="loss (distance to a wedge)")
    plots.label_axes(axes[0, 2], title="network, test accuracy", x=along, y="test accuracy (%)")
    plots.label_axes(
        axes[1, 0],
        title=f"network: highest point {100 * n['tunnel highest']:.0f}% of the barrier,\n"
        f"joint {100 * n['joint highest']:.0f}%, Bezier {100 * n['bezier highest']:.0f}%",
        x=along,
        y="training loss (nats)",
    )
    for ax, name, who in ((axes[0, 1], "toy ", "toy"), (axes[1, 1], "", "network")):
        plots.matrix(ax, arrays[f"{name}cosines"].mean(axis=0), low=-1, high=1, label="cosine")
        title = f"{who}: deviations, within {n[f'{name}within']:.2f}, across {n[f'{name}across']:.2f}"
        plots.label_axes(ax, title=title, x="inner vertex", y="inner vertex")
    agreement = arrays["labels"].mean(axis=0)
    plots.matrix(axes[1, 2], agreement, low=agreement.min(), high=1, label="share of labels equal")
    title = f"labels agree: within {n['labels within']:.2f}, across {n['labels across']:.2f}"
    plots.label_axes(axes[1, 2], title=title, x="vertex", y="vertex")
    for ax in (axes[0, 1], axes[1, 1], axes[1, 2]):
        ax.grid(False)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
