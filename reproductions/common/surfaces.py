"""Low-loss surfaces that join m + 1 optima: chosen points of their hull, and whole surfaces.

Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import dataclasses
import math

import numpy as np

import wedges
from reproductions.bench import progress
from reproductions.common import optima, tunnels

LOW = tunnels.LOW  # of what the flat hull rises: what counts as low, as for the tunnel
SURFACES, PLACES = ("flat", "stitched", "joint"), ("held", "segments")
PIECES = 2  # of each edge of a surface
# What is claimed of `judged`.
BOUNDS = {"points": ("<=", LOW), "accuracy": ("<=", 0.1), "heldout": ("<=", LOW)}
_OF_POINTS, _HELD_OUT = 0, 1000  # parts of seeds: positions where points are made, and where none is


@dataclasses.dataclass(frozen=True)
class Points:
    """The paper's chosen points of one m: the centre and `count` - 1 random ones, each made low in
    `steps` steps."""

    count: int
    steps: int
    rate: float
    seed: int


def chosen(network, thetas, points, m):
    """Readings [points] on the flat hull of the first m + 1 optima and minimised, and how far apart
    these are."""
    how = optima.OneByOne(points.rate, points.steps)
    random = wedges.simplex.dirichlet(m, points.count - 1, seed=[points.seed, m, _OF_POINTS])
    w = np.concatenate([wedges.simplex.centroid(m), random])  # [points, m + 1]
    basis = wedges.simplex.Scattered(w)
    with progress.labelled(f"m = {m}"):
        found = optima.surface(network, thetas[: m + 1], basis, how, "points")
        return {
            **optima.read(network, found.vertices[m + 1 :], "points"),
            **optima.read(network, found.flat(w), "points flat"),
            "points deviation": np.linalg.norm(found.deviations, axis=1),
        }


# ---- whole surfaces ---------------------------------------------------------------------------------


def free_points(m):
    """How many points of a surface among m + 1 optima are found: one on the middle of each edge."""
    return m * (m + 1) // 2


def steps_by_position(m, positions):
    """Gradient steps of joint training that draw as many positions as blend each point of the surface
    `positions` times, on the mean over its points.

        steps = positions  m (m + 1) / 2  /  mean over k = 1 .. m of (k + 1) (1 - 2^-k)

    A step draws one position, on a face of k dimensions, all k alike (`wedges.simplex.faces`). It lies
    in one of the 2^k pieces of that face, which are of one volume, and is blended of the piece's k + 1
    corners. An optimum is a corner of one piece of the face, so (k + 1) (1 - 2^-k) of the k + 1 are
    points that are found, on average. At m = 1 each position is blended of the only point.
    """
    k = np.arange(1, m + 1)
    blended = np.mean((k + 1) * (1 - 0.5**k))  # points that are found, in one position
    return math.ceil(positions * free_points(m) / blended)


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """Continuous connectors over the edgewise subdivision with two pieces an edge.

    Attributes:
      steps: gradient steps of a whole surface, trained jointly, or shared out evenly among its points.
    """

    steps: int
    rate: float
    seed: int

    def among(self, network, ends, names=SURFACES):
        """{name: Connector} of the optima `ends` [m + 1, D], of these surfaces."""
        m = len(ends) - 1
        basis = wedges.simplex.Grid(m, PIECES)
        alone = optima.OneByOne(self.rate, max(1, self.steps // free_points(m)))
        together = optima.Jointly(self.rate, self.steps, self.seed, positions="faces")
        how = {"stitched": alone, "joint": together}
        return {
            name: optima.surface(network, ends, basis, how[name], name)
            if name in how
            else wedges.Connector(ends, basis)
            for name in names
        }


def continuous(network, thetas, surfaces, held_out, m, names=SURFACES, places=PLACES):
    """Readings of the surfaces of these names among the first m + 1 optima: at `held_out` positions
    drawn from the whole simplex, and at the `middles` of as many segments."""
    positions = {
        "held": wedges.simplex.dirichlet(m, held_out, seed=[surfaces.seed, m, _HELD_OUT]),
        "segments": middles(m, held_out, seed=[surfaces.seed, m]),
    }
    found = {}
    with progress.labelled(f"m = {m}"):
        for name, surface in surfaces.among(network, thetas[: m + 1], names).items():
            for place in places:
                found |= optima.read(network, surface(positions[place]), f"{place} {name}")
    return found


def middles(m, count, *, seed):
    """The middles of `count` segments of the subdivision, no two alike, [count, m + 1]; of all of them
    where there are fewer."""
    basis = wedges.simplex.Grid(m, PIECES)
    pairs = basis.neighbours()
    picked = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return basis.points[pairs[picked]].mean(axis=1)


def drawn(m, surfaces, w):
    """How many positions of joint training are blended of all points that blend each of w [K, m + 1]:
    [K], counted in the very positions that training draws."""
    basis = wedges.simplex.Grid(m, PIECES)
    blend = lambda w: (basis.weights(w) > 0).astype(int)  # [..., V]
    own, all_ = blend(w), blend(wedges.simplex.faces(m, surfaces.steps, seed=surfaces.seed))
    return np.sum(all_ @ own.T == own.sum(axis=1), axis=0)


# ---- what the numbers say ---------------------------------------------------------------------------


def heights(arrays):
    """{name: height [..., positions]} of readings of one m: how far the training loss is above the mean
    of the optima, as a share of the flat hull's mean rise at the same positions.

    arrays: "<name> train loss" [..., positions] of what was measured, "optima train loss" [..., optima].
    """
    loss = lambda name: arrays[f"{name} train loss"]
    base = loss("optima").mean(axis=-1, keepdims=True)
    flat = {"points": "points flat"}
    flat |= {f"{place} {name}": f"{place} flat" for place in PLACES for name in SURFACES}
    return {
        name: (loss(name) - base) / (loss(below) - base).mean(axis=-1, keepdims=True)
        for name, below in flat.items()
        if f"{name} train loss" in arrays
    }


def highest(heights, name):
    """The highest of all that several `heights` have of this name."""
    return np.max([each[name].max() for each in heights if name in each])


def judged(arrays):
    """{claim: number} of [the arrays of an m, ...], the worst of all; the bounds are in `BOUNDS`."""
    found = [heights(each) for each in arrays]
    lost = [
        each["optima test accuracy"].mean(axis=-1, keepdims=True) - each["points test accuracy"]
        for each in arrays
        if "points test accuracy" in each
    ]
    return {
        "points": highest(found, "points"),
        "accuracy": np.max([each.max() for each in lost]),
        "heldout": highest(found, "held joint"),
    }
