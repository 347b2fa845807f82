"""Positions on a simplex, and functions that blend points over it.

A position among m + 1 optima is w [m + 1], its barycentric coordinates: w_i >= 0, sum 1. A basis has
control points, at positions `points` [V, m + 1], the m + 1 corners first, and blends them:

    theta(w) = sum_v weights_v(w) theta_v,    weights(w) [..., m + 1] -> [..., V]

    Grid         piecewise linear over the edgewise subdivision, k pieces an edge
    Scattered    piecewise linear over a Delaunay triangulation of any points
    Bernstein    polynomial: Bezier curves (m = 1), triangles and simplices

In all of them the weights are at least 0 and sum to 1, a corner's own point is all of theta there, a
face's points are all of theta on that face, and sum_v weights_v(w) points_v = w.
"""

from __future__ import annotations

import itertools
import math
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linprog

from wedges import _checks

_LARGEST = math.log(np.finfo(np.float64).max)
_MOST = 5000  # points whose distances from one another stay below a gigabyte

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def centroid(m: int) -> np.ndarray:
    """The middle of the simplex of m + 1 corners, [1, m + 1]."""
    m = _checked_m(m)
    return np.full((1, m + 1), 1 / (m + 1))


def grid(m: int, pieces: int) -> np.ndarray:
    """All positions whose coordinates are multiples of 1 / pieces, [C(pieces + m, m), m + 1].

    The corners come first, in order; the others follow so that for m = 1 they lead from corner 0 to 1.

    >>> wedges.simplex.grid(1, 4)[:, 1].tolist()
    [0.0, 1.0, 0.25, 0.5, 0.75]
    """
    m, pieces = _checked_m(m), _checks.whole("pieces", pieces)
    return _compositions(m, pieces) / pieces


def dirichlet(m: int, count: int, *, seed: int, concentration: float = 1.0) -> np.ndarray:
    """`count` random positions [count, m + 1], uniform on the simplex.

    With a concentration above 1 they are nearer to its middle, with one below 1 to its faces.
    """
    _checks.positive("concentration", concentration)
    count = _checks.whole("count", count)
    rng = np.random.default_rng(_checks.seed(seed))
    return rng.dirichlet(np.full(_checked_m(m) + 1, concentration), count)


def faces(m: int, count: int, *, seed: int) -> np.ndarray:
    """`count` random positions [count, m + 1], each uniform on a random face.

    The face is of a random dimension from 1 to m: edges, triangles, ..., the whole simplex get equal
    parts, where `dirichlet` all but leaves out the edges.
    """
    m, count = _checked_m(m), _checks.whole("count", count)
    rng = np.random.default_rng(_checks.seed(seed))
    w = rng.dirichlet(np.ones(m + 1), count)
    rank = np.argsort(rng.random(w.shape), axis=1).argsort(axis=1)  # a random order of the corners
    # What is left of a uniform w is uniform on its face.
    w[rank > rng.integers(1, m + 1, (count, 1))] = 0
    return w / w.sum(axis=1, keepdims=True)


def positions(w: ArrayLike, m: int) -> np.ndarray:
    """w as float64 positions [..., m + 1]; ValueError if they are not barycentric coordinates."""
    w, m = _checks.floats("w", w), _checked_m(m)
    if w.ndim == 0 or w.shape[-1] != m + 1:
        raise ValueError(
            f"w must have shape [..., {m + 1}], a coordinate for each optimum; received {w.shape}."
        )
    if not np.all(w >= -1e-9) or not np.allclose(w.sum(axis=-1), 1, atol=1e-6):
        received = w if w.ndim == 1 else f"rows from {w.min():g} to {w.max():g}"
        raise ValueError(
            f"w must be barycentric coordinates, at least 0 and of sum 1; received {received}."
        )
    w = np.maximum(w, 0)
    total = w.sum(axis=-1, keepdims=True)
    # A sum of 1 but for rounding is left alone, so that positions of positions are the same bits.
    return w / np.where(np.abs(total - 1) < 1e-12, 1, total)


class Basis:
    """Control points on the simplex of m + 1 corners, and the weights that blend them.

    Subclasses define `weights`.

    Attributes:
      m: one less than the corners.
      points: where the control points stand, [V, m + 1], the corners first.
      config, arrays: what `restore` makes the same basis of: JSON values, and numbers.
    """

    m: int
    points: np.ndarray
    config: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def weights(self, w: ArrayLike) -> np.ndarray:
        """The share of each control point at positions w, [..., m + 1] -> [..., V]."""
        raise NotImplementedError


class Grid(Basis):
    """Piecewise linear over the edgewise subdivision: k^m simplices of equal volume, none listed.

    In the coordinates x_i = k (w_i + ... + w_m), i = 1 .. m, the simplex is k >= x_1 >= ... >= x_m >= 0,
    cut by the planes where an x_i or a difference x_i - x_j is a whole number (Freudenthal 1942). The
    corners of the piece with x: start at floor(x), then add 1 in the coordinates by falling fractional
    part f; their weights are the differences of 1 >= f_(1) >= ... >= f_(m) >= 0.

    With m = 1 it is a polygon of k segments: the paper's tunnel; k = 2 the "polygonal chain" of
    Garipov et al. 2018. Source: Edelsbrunner & Grayson 2000 (Discrete Comput. Geom. 24).

    Args:
      m: one less than the corners.
      pieces: k, of each edge. There are C(k + m, m) control points.

    >>> line = wedges.simplex.Grid(1, 2)  # its control points: both ends, and the middle
    >>> line.weights([0.75, 0.25]).tolist()
    [0.5, 0.0, 0.5]
    """

    def __init__(self, m: int, pieces: int) -> None:
        m, pieces = _checked_m(m), _checks.whole("pieces", pieces)
        whole = _compositions(m, pieces)  # [V, m + 1]
        self.config = {"m": m, "pieces": pieces}
        self.m, self.pieces, self.points = m, pieces, whole / pieces
        self.arrays = {}
        # The whole numbers x of a control point, as the digits of one number: exact for any m.
        self._digits = (pieces + 1) ** np.arange(m, dtype=object)
        self._number_of = {key: v for v, key in enumerate(_tails(whole) @ self._digits)}

    def weights(self, w: ArrayLike) -> np.ndarray:
        w = positions(w, self.m)
        flat = w.reshape(-1, self.m + 1)
        x = self.pieces * _tails(flat)  # [B, m]
        x = np.where(np.abs(x - np.round(x)) < 1e-9, np.round(x), x)
        corner = np.floor(x)
        fraction = x - corner
        order = np.argsort(-fraction, axis=-1, kind="stable")  # a tie goes by index, as x must fall
        falling = np.take_along_axis(fraction, order, axis=-1)
        ones, zeros = np.ones((len(flat), 1)), np.zeros((len(flat), 1))
        share = -np.diff(np.concatenate([ones, falling, zeros], axis=-1), axis=-1)  # [B, m + 1]
        weights = np.zeros((len(flat), len(self.points)))
        rows = np.arange(len(flat))
        for j in range(self.m + 1):
            if j:
                corner[rows, order[:, j - 1]] += 1
            used = share[:, j] > 0
            keys = corner[used].astype(int) @ self._digits
            weights[rows[used], [self._number_of[key] for key in keys]] += share[used, j]
        return weights.reshape(*w.shape[:-1], len(self.points))

    def neighbours(self) -> np.ndarray:
        """Pairs of control points that a segment of the subdivision joins, [E, 2]."""
        # Two vertices of one piece differ by 0 or 1 in every x, all of one sign.
        x = _tails(np.rint(self.points * self.pieces))  # [V, m]
        pairs = []
        for i, row in enumerate(x):
            step = x[i + 1 :] - row
            joined = np.all((step == 0) | (step == 1), axis=1) | np.all(
                (step == 0) | (step == -1), axis=1
            )
            pairs += [(i, i + 1 + j) for j in np.flatnonzero(joined)]
        return np.array(pairs)


class Scattered(Basis):
    """Piecewise linear over a Delaunay triangulation of the corners and any other positions.

    weights(w) = argmin sum_v c_v |points_v|^2  subject to c >= 0, sum_v c_v points_v = w

    This linear programme *is* the triangulation (the lower hull of the points lifted onto a paraboloid),
    so its simplices, whose number explodes with m, are never listed. The lifted points are moved by
    about 1e-6, so that the triangulation is unique where many points lie on one sphere.

    A face of the simplex on which no point lies stays flat: give points on the faces, too.

    Args:
      points: positions besides the corners, [P, m + 1], at least 1e-5 apart.
    """

    def __init__(self, points: ArrayLike) -> None:
        points = np.atleast_2d(_checks.floats("points", points))
        if points.ndim != 2 or points.shape[1] < 2:
            raise ValueError(f"points must have shape [P, m + 1], m >= 1; received {points.shape}.")
        self.m = points.shape[1] - 1
        points = positions(points, self.m)
        if len(points) + self.m >= _MOST:
            raise ValueError(
                f"points must be fewer than {_MOST} with the corners, whose distances are all compared; "
                f"received {len(points)}."
            )
        self.points = np.concatenate([np.eye(self.m + 1), points])  # [V, m + 1]
        distance = np.linalg.norm(self.points[:, None] - self.points, axis=-1)
        twins = np.argwhere(np.triu(distance < 1e-5, 1))
        if len(twins):
            raise ValueError(
                "points must differ from one another and from the corners, by 1e-5; received "
                f"{self.points[twins[0][1]]}, number {twins[0][1] - self.m - 1}, twice."
            )
        moved = 1e-6 * np.random.default_rng(len(self.points)).random(len(self.points))
        # A point at distance r from the others lies r^2 below all blends of theirs: that must be more
        # than it moves, or it would be passed over.
        closest = np.min(distance[np.triu_indices(len(distance), 1)])
        height = np.sum(self.points**2, axis=-1) * max(1, 1e-5 / closest**2) + moved
        self._height = 1e3 * height  # the solver calls two costs one below 1e-7
        self.config, self.arrays = {}, {"points": points}

    def weights(self, w: ArrayLike) -> np.ndarray:
        """w [..., m + 1] -> [..., V]. A linear programme for each position, about a millisecond."""
        w = positions(w, self.m)
        rows = [self._solve(row) for row in w.reshape(-1, self.m + 1)]
        return np.reshape(rows, (*w.shape[:-1], len(self.points)))

    def _solve(self, w):
        # Points off w's face can have no share; left in, rounding gives them one.
        on_face = ~np.any((self.points > 0) & (w == 0), axis=1)
        found = linprog(self._height[on_face], A_eq=self.points[on_face].T, b_eq=w, method="highs")
        if found.x is None:
            raise ValueError(f"no blend of the points gives w = {w}: {found.message}")
        weights = np.zeros(len(self.points))
        weights[on_face] = np.maximum(found.x, 0)
        return weights / weights.sum()

    def neighbours(self) -> np.ndarray:
        """Pairs of control points that the triangulation joins, [E, 2].

        They are those whose middle is a blend of the two alone.
        """
        pairs = itertools.combinations(range(len(self.points)), 2)
        middle = lambda i, j: self._solve((self.points[i] + self.points[j]) / 2)
        return np.array([(i, j) for i, j in pairs if middle(i, j)[[i, j]].sum() > 1 - 1e-6])


class Bernstein(Basis):
    """weights_a(w) = degree! / (a_0! ... a_m!) w_0^a_0 ... w_m^a_m, |a| = degree: a Bezier simplex.

    Smooth; it goes through the corners, not through the other control points. With m = 1 and degree 2 it
    is the quadratic Bezier curve of Garipov et al. 2018 (arXiv:1802.10026).

    Args:
      m: one less than the corners.
      degree: 1 is flat.
    """

    def __init__(self, m: int, degree: int) -> None:
        m, degree = _checked_m(m), _checks.whole("degree", degree)
        if degree > _LARGEST / math.log(m + 1):
            raise ValueError(
                f"degree must be lower: among {m + 1} optima the weights of degree {degree} are of "
                f"numbers up to {m + 1}^{degree}, which are no floats."
            )
        self._powers = _compositions(m, degree)  # [V, m + 1]
        self.config = {"m": m, "degree": degree}
        self.m, self.degree, self.points = m, degree, self._powers / degree
        self.arrays = {}
        ways = [math.factorial(degree) // math.prod(map(math.factorial, p)) for p in self._powers]
        self._coefficients = np.array(ways, np.float64)  # [V]

    def weights(self, w: ArrayLike) -> np.ndarray:
        w = positions(w, self.m)
        return self._coefficients * np.prod(w[..., None, :] ** self._powers, axis=-1)


_BASES: dict[str, type[Basis]] = {b.__name__: b for b in (Grid, Scattered, Bernstein)}
_TOTALS = {"Grid": "pieces", "Bernstein": "degree"}


def restore(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, m: int, points: int
) -> Basis:
    """The basis of a `config` with its "kind", and its `arrays`.

    Args:
      m, points: it must be one among m + 1 optima, with so many control points. What a file describes
        may be of any size, so this is compared before anything of that size is made.

    Raises ValueError where it is another, or none.
    """
    for name, value in (("config", config), ("arrays", arrays)):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be a dict; received {_checks.called(value)}.")
    m, points = _checks.whole("m", m, -1), _checks.whole("points", points, 0)
    kind = str(config.get("kind"))
    rest = {name: value for name, value in config.items() if name != "kind"}
    if kind in _TOTALS and set(rest) == {"m", _TOTALS[kind]} and not arrays:
        total = _checks.whole(_TOTALS[kind], rest[_TOTALS[kind]])
        described = (_checked_m(rest["m"]), _count(_checked_m(rest["m"]), total))
    elif kind == "Scattered" and not rest and _of_positions(arrays):
        inner, corners = arrays["points"].shape
        described = (corners - 1, corners + inner)
    else:
        raise ValueError(f"no basis of {', '.join(_BASES)} is described by {reprlib.repr(config)}.")
    if described != (m, points):
        raise ValueError(
            f"basis must be one among {m + 1} optima with {points} control points; the one described is "
            f"among {described[0] + 1}, with {_words(described[1])}."
        )
    return _BASES[kind](**rest, **arrays)


def _of_positions(arrays):
    points = arrays.get("points", np.zeros(0))
    return len(arrays) == 1 and points.ndim == 2 and points.dtype == np.float64


def _compositions(m, total):
    """All whole numbers >= 0 [V, m + 1] of sum `total`, the corners first."""
    count = _count(m, total)
    if count > 10**6:
        raise ValueError(
            f"a grid of {total} pieces an edge among {m + 1} optima has {_words(count)} points; use "
            "fewer pieces."
        )
    bars = itertools.combinations(range(total + m), m)  # stars and bars
    ends = np.array([(-1, *b, total + m) for b in bars])
    rows = np.diff(ends, axis=1) - 1  # [V, m + 1]
    rows = rows[::-1]  # from corner 0 on
    corner = rows.max(axis=1) == total
    return np.concatenate([total * np.eye(m + 1, dtype=int), rows[~corner]])


def _count(m, total):
    """C(total + m, m), or infinity where it is above 10^12, without ever making a large number."""
    few, many = sorted((m, total))
    count = 1
    for i in range(1, few + 1):
        count = count * (many + i) // i  # C(many + i, i)
        if count > 10**12:
            return math.inf
    return count


def _words(count):
    return "more than 10^12" if count == math.inf else count


def _tails(w):
    """w_i + ... + w_m for i = 1 .. m. [B, m + 1] -> [B, m]."""
    return np.cumsum(w[:, :0:-1], axis=1)[:, ::-1]


def _checked_m(m):
    return _checks.whole("m, one less than the optima,", m)
