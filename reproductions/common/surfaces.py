"""Low-loss surfaces that join m + 1 optima: chosen points of their hull, and whole surfaces.

Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.bench import progress
from reproductions.common import optima, tunnels
from reproductions.common.arrays import stacked

LOW = tunnels.LOW  # of what the flat hull rises: what counts as low, as for the tunnel
SURFACES, PLACES = ("flat", "stitched", "joint"), ("held", "segments")
# What is claimed of `judged`.
BOUNDS = {"points": ("<=", LOW), "accuracy": ("<=", 0.1), "heldout": ("<=", LOW)}


@dataclasses.dataclass(frozen=True)
class Points:
    """The paper's chosen points of one m: `count` in each of `subsets` sets of optima, each made low in
    `steps` steps."""

    subsets: int
    count: int
    steps: int
    rate: float
    seed: int


def chosen(network, thetas, points, m):
    """Readings [subsets, points] on the flat hull and minimised, and how far apart these are."""
    how = optima.OneByOne(points.rate, points.steps)
    rng = np.random.default_rng([points.seed, m])
    rows = []
    for subset in range(points.subsets):
        # The first set is that of the first optima; the others are drawn.
        ends = thetas[rng.choice(len(thetas), m + 1, replace=False)] if subset else thetas[: m + 1]
        random = wedges.simplex.dirichlet(m, points.count - 1, seed=[points.seed, m, subset])
        w = np.concatenate([wedges.simplex.centroid(m), random])  # [points, m + 1]
        basis = wedges.simplex.Scattered(w)
        with progress.labelled(f"m = {m}, set {subset + 1}"):
            found = optima.surface(network, ends, basis, how, "points")
            rows.append(
                optima.read(network, found.vertices[m + 1 :], "points")
                | optima.read(network, found.flat(w), "points flat")
                | {"points deviation": np.linalg.norm(found.deviations, axis=1)}
            )
    return stacked(rows)


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """Continuous connectors over the edgewise subdivision with two pieces an edge.

    Attributes:
      steps: for each point, by itself or on average; fewer where more than `budget` would come together.
    """

    steps: int
    budget: int
    rate: float
    seed: int

    def among(self, network, ends, names=SURFACES):
        """{name: Connector} of the optima `ends` [m + 1, D], of these surfaces."""
        basis = wedges.simplex.Grid(len(ends) - 1, 2)
        count = len(basis.points) - len(ends)
        steps = max(1, min(self.steps, self.budget // count))  # for each point
        alone = optima.OneByOne(self.rate, steps)
        together = optima.Jointly(self.rate, count * steps, self.seed, positions="faces")
        how = {"stitched": alone, "joint": together}
        return {
            name: optima.surface(network, ends, basis, how[name], name)
            if name in how
            else wedges.Connector(ends, basis)
            for name in names
        }


def continuous(network, thetas, surfaces, held_out, m, names=SURFACES, places=PLACES):
    """Readings [held_out] of the surfaces of these names, at positions drawn from the whole simplex and
    at the middles of segments of the subdivision."""
    basis = wedges.simplex.Grid(m, 2)
    pairs = basis.neighbours()
    picked = np.random.default_rng([surfaces.seed, m]).choice(len(pairs), held_out)
    positions = {
        "held": wedges.simplex.dirichlet(m, held_out, seed=[surfaces.seed, m, 1000]),
        "segments": basis.points[pairs[picked]].mean(axis=1),
    }
    found = {}
    with progress.labelled(f"m = {m}"):
        for name, surface in surfaces.among(network, thetas[: m + 1], names).items():
            for place in places:
                found |= optima.read(network, surface(positions[place]), f"{place} {name}")
    return found


# ---- what the numbers say ---------------------------------------------------------------------------


def heights(arrays, names=SURFACES, places=PLACES):
    """{name: height}: how far the training loss is above the optima's mean, as a share of the flat
    hull's mean rise at the same positions. points [m's, subsets, points], others [m's, held_out]."""
    base = arrays["optima train loss"].mean()
    flat = lambda name, axis: (arrays[f"{name} train loss"] - base).mean(axis=axis, keepdims=True)
    found = {"points": (arrays["points train loss"] - base) / flat("points flat", (1, 2))}
    for where in places:
        for name in names:
            rise = arrays[f"{where} {name} train loss"] - base
            found[f"{where} {name}"] = rise / flat(f"{where} flat", 1)
    return found


def judged(arrays, h):
    """{claim: number} of arrays and their `heights`; the bounds are in `BOUNDS`."""
    accuracy = arrays["optima test accuracy"].mean()
    return {
        "points": h["points"].max(),
        "accuracy": accuracy - arrays["points test accuracy"].min(),
        "heldout": h["held joint"].max(),
    }
