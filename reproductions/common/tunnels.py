"""The tunnel between two optima: its vertices minimised in hyperplanes normal to the straight line.

Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 3.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.bench import cache
from reproductions.common import optima

LOW = 0.25  # of the line's barrier: what counts as low
# What is claimed of `judged`.
BOUNDS = {
    "barrier": (">", 0.1),
    "tunnel": ("<=", LOW),
    "within": (">=", 0.5),
    "across": (">=", 0.25),
    "labels": (">", 0),
}


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


def positions(segments):
    """Barycentric positions of a tunnel's vertices and the middles between, [2S + 1, 2]."""
    t = np.linspace(0, 1, 2 * segments + 1)
    return np.stack([1 - t, t], axis=1)


def between(network, ends, paths):
    """Line and tunnel between the optima `ends` [2, D] of an `optima.Network`.

    Returns "<path> <reading>" [2S + 1] of line and tunnel, at vertices and middles; of the vertices
    "labels" [S + 1, S + 1], the share that two predict alike, "cosines" [S - 1, S - 1] between the
    deviations from the line, and their lengths, "deviation" [S - 1]; "distance" [] between the ends;
    "ends disagree" [], the share of labels by which they differ, of those that one of them has wrong.
    """
    w = positions(paths.segments)  # [2S + 1, 2]
    line, tunnel = joined(network, ends, paths).values()
    found = optima.read(network, line(w), "line") | optima.read(network, tunnel(w), "tunnel")
    labels = optima.predicted(network, tunnel(w))  # [2S + 1, N]
    truth = network.problem.source.load().y_test
    return found | {
        "labels": wedges.label_agreement(labels[::2]),
        "ends disagree": wedges.disagreement(labels[[0, -1]], truth)[0, 1],
        "cosines": wedges.cosine_matrix(tunnel.deviations),
        "distance": np.linalg.norm(ends[1] - ends[0]),
        "deviation": np.linalg.norm(tunnel.deviations, axis=1),
    }


def joined(network, ends, paths):
    """{"line", "tunnel": a `wedges.Connector` of the ends [2, D]}."""
    how = optima.OneByOne(paths.rate, paths.steps, paths.start)
    tunnel = wedges.simplex.Grid(1, paths.segments)
    return {
        "line": wedges.Connector(ends, wedges.simplex.Grid(1, 1)),
        "tunnel": optima.surface(network, ends, tunnel, how, "tunnel"),
    }


def on_toy(segments, toy):
    """ "toy line" and "toy tunnel" [2S + 1], "toy cosines" on a toy landscape, K random wedges."""
    return cache.cached(_on_toy, segments, toy)


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


def numbers(arrays, segments):
    """{name: [pairs]} of several pairs, by arrays [pairs, ...] as `between` names them. Heights are
    above the ends' mean, over the barrier."""
    line = arrays["line train loss"]  # [pairs, 2S + 1]
    within, across = wedges.compare.halves(arrays["cosines"])
    same, other = wedges.compare.halves(arrays["labels"])
    # Row i of the cosines stands at vertex i + 1, row i of the labels at vertex i.
    turn = np.array([wedges.compare.switch(c) for c in arrays["cosines"]]) + 0.5
    labels_turn = np.array([wedges.compare.switch(a) for a in arrays["labels"]]) - 0.5
    return {
        "ends": (line[:, 0] + line[:, -1]) / 2,
        "barrier": wedges.barrier(line),
        "tunnel highest": height(arrays, "tunnel"),
        "vertices highest": height(arrays, "tunnel", slice(None, None, 2)),
        "within": within,
        "across": across,
        "turn": turn / segments,
        "labels within": same,
        "labels across": other,
        "labels turn": labels_turn / segments,
        "ends disagree": arrays["ends disagree"],
        "lowest accuracy": arrays["tunnel test accuracy"].min(axis=1),
        "end accuracy": arrays["tunnel test accuracy"][:, [0, -1]].mean(axis=1),
    }


def height(arrays, path, points=slice(None)):
    """The highest of these points of a path [pairs]: above the ends' mean, over the line's barrier."""
    line = arrays["line train loss"]
    ends = (line[:, 0] + line[:, -1]) / 2
    return (arrays[f"{path} train loss"][:, points].max(axis=1) - ends) / wedges.barrier(line)


def judged(n):
    """{claim: number} of the `numbers` of several pairs; the bounds are in `BOUNDS`."""
    return {
        "barrier": (n["barrier"] / n["ends"]).min(),
        "tunnel": n["tunnel highest"].max(),
        "within": n["within"].mean(),
        "across": n["within"].mean() - n["across"].mean(),
        "labels": (n["labels within"] - n["labels across"]).min(),
    }
