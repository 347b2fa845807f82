"""The well around an optimum: the loss along random directions, and on two cuts through it.

A network's landscape and the toy's are looked at by the same functions.
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 2.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache
from reproductions.common import toys
from reproductions.common.arrays import stacked

CORNERS = 3  # optima that are looked at, and that the second cut goes through
_HALVINGS = 40  # at most: a loss of 0 has doubled at once
_CLOSE = 0.005  # of the distance where the loss has doubled: how well that is known
_WINDOW = 2.0  # of the cuts, in distances between optima
# What is claimed of one landscape's numbers, `judged`.
BOUNDS = {
    "rises": (">", 0.0),
    "variation": ("<=", 0.15),
    "ring": ("<=", 0.15),
    "hidden": (">=", 2.0),
    "shown": ("<=", 1.5),
}


@dataclasses.dataclass(frozen=True)
class View:
    """What is looked at from a point: random directions, distances along each, points along a cut."""

    directions: int
    distances: int
    steps: int
    seed: int


def around(network, thetas, view):
    """What `_look` finds around the optima thetas [3, D] of an `optima.Network`."""
    return cache.cached(_around_optima, network, thetas, view)


def above_wedges(toy, height, view):
    """The same on the toy: three optima on its wedges, and a point at this height above each."""
    return cache.cached(_above_wedges, toy, height, view)


def _around_optima(network, thetas, view):
    return _look(network.seen, thetas, thetas, view)


def _above_wedges(toy, height, view):
    """The same on the toy: three optima on its wedges, and a point above each."""
    starts = [toys.gaussian(toy.seed + i, 1, toy.dimension) for i in range(CORNERS)]
    corners, points = zip(*(toy.near(start, height) for start in starts), strict=True)
    return _look(toy.landscape, np.stack(points), np.stack(corners), view)


def _look(landscape, points, corners, view):
    """The landscape from each of points [3, D], and on the plane through corners [3, D].

    Returns what `_well` finds at each point, [3, ...]; "distances" [A]; "start" [3], the losses at the
    points; "side" [X], "random cut" and "optima cut" [X, X], "corners" [3, 2], where the corners stand
    on the latter.
    """
    gaps = [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    a = np.linspace(0, min(gaps), view.distances + 1)[1:]
    start = np.array([landscape(p) for p in points])
    wells = [_well(landscape, points[i], i, a, start[i], view) for i in range(len(points))]
    side = np.linspace(-_WINDOW / 2, _WINDOW / 2, view.steps) * np.mean(gaps)
    random = wedges.random_cut(points[0], 2, seed=view.seed)
    through = wedges.through(corners)
    middle = through.coordinates(corners.mean(axis=0, dtype=np.float64).astype(corners.dtype))
    shown = wedges.AffineSubspace(through.embed(middle), through.directions)  # the window's center
    return stacked(wells) | {
        "distances": a,
        "start": start,
        "side": side,
        "random cut": wedges.probe.plane(landscape, random, side, side),
        "optima cut": wedges.probe.plane(landscape, shown, side, side),
        "corners": shown.coordinates(corners).numpy(),
    }


def _well(landscape, point, i, a, start, view):
    """Of point number i: "losses" [A, directions]; "doubled" [], the distance where their mean is twice
    `start`, the loss at the point; "there" [directions], losses at that distance, "ring" [directions]
    the same on a random 2-D cut.
    """
    at = functools.partial(wedges.radial_profile, landscape, point)
    v = wedges.isotropic(len(point), view.directions, seed=[view.seed, i])
    losses = at(v, a).losses
    doubled = doubling(lambda distance: at(v, [distance]).losses.mean(), a, losses.mean(axis=1), start)
    there = around = np.full(len(v), np.nan)
    if np.isfinite(doubled):
        there = at(v, [doubled]).losses[0]
        turn = 2 * np.pi * np.arange(view.directions) / view.directions
        circle = doubled * np.stack([np.cos(turn), np.sin(turn)], axis=1).astype("float32")
        ring = wedges.random_cut(point, 2, seed=view.seed + i).embed(circle)
        around = at(ring - point, [1.0]).losses[0]
    return {"losses": losses, "doubled": doubled, "there": there, "ring": around}


def doubling(loss, a, losses, start):
    """The distance where a loss is twice `start`, its value at 0, known to `_CLOSE` of itself.

    Between two of the distances a loss is no line: where it is small at the point, it doubles close to
    the point, long before a line to the first distance says so. So it is looked for by halving.

    Args:
      loss: distance -> loss.
      a: [A], rising distances where the loss is known.
      losses: [A], its values there.
      start: its value at 0; of nothing it has doubled at once.

    NaN where it has doubled at none of them, and where the loss right before is no number.
    """
    found = wedges.compare.first_crossing([0.0, *a], np.array([start, *losses]), 2 * start)
    if not np.isfinite(found):
        return np.nan
    passed = np.searchsorted(a, found)  # the first distance at which it has doubled
    low, high = a[passed - 1] if passed else 0.0, a[passed]
    for _ in range(_HALVINGS):
        if high - low <= _CLOSE * high:
            break
        middle = (low + high) / 2
        low, high = (low, middle) if loss(middle) >= 2 * start else (middle, high)
    return (low + high) / 2


# ---- what the numbers say ---------------------------------------------------------------------------


def variation(losses):
    """Coefficient of variation over directions: [..., directions] -> [...]."""
    return losses.std(axis=-1, ddof=1) / losses.mean(axis=-1)


def numbers(mine):
    """What claims are about, of the arrays of network or toy: [3] each, but for the two cuts' []."""
    start = mine["start"]
    losses = np.insert(mine["losses"].mean(axis=-1), 0, start, axis=1)  # [3, A + 1]
    return {
        "steepest fall": np.diff(losses, axis=1).min(axis=1) / start,
        "variation": variation(mine["there"]),
        "ring": variation(mine["ring"]),
        "doubled": mine["doubled"],
        **{cut: mine[cut][far].min() / start[0] for cut, far in _far(mine).items()},
    }


def _far(mine):
    """Where a cut is farther from the (first) optimum than half of the way to the next: [X, X]."""
    x, y = np.meshgrid(mine["side"], mine["side"])
    first, *others = mine["corners"]
    half = np.linalg.norm(others - first, axis=1).min() / 2
    return {
        "random cut": np.hypot(x, y) > half,
        "optima cut": np.hypot(x - first[0], y - first[1]) > half,
    }


def judged(mine):
    """{claim: number} of one landscape, over its three optima; the bounds are in `BOUNDS`."""
    n = numbers(mine)
    return {
        "rises": n["steepest fall"].min(),
        "variation": n["variation"].max(),
        "ring": n["ring"].max(),
        "hidden": n["random cut"],
        "shown": n["optima cut"],
    }
