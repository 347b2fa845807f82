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

import itertools
import math

import numpy as np
from scipy.optimize import linprog


def centroid(m):
    """The middle of the simplex of m + 1 corners, [1, m + 1]."""
    return np.full((1, _checked_m(m) + 1), 1 / (m + 1))


def grid(m, pieces):
    """All positions whose coordinates are multiples of 1 / pieces, [C(pieces + m, m), m + 1].

    The corners come first, in order; the others follow so that for m = 1 they lead from corner 0 to 1.
    """
    return _compositions(m, pieces) / pieces


def dirichlet(m, count, *, seed, concentration=1.0):
    """`count` random positions [count, m + 1]: uniform on the simplex, nearer to its middle
    (concentration above 1) or to its faces (below)."""
    if not (np.isfinite(concentration) and concentration > 0):
        raise ValueError(f"concentration must be above 0; received {concentration!r}.")
    count = _whole("count", count)
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(_checked_m(m) + 1, concentration), count)


def faces(m, count, *, seed):
    """`count` random positions [count, m + 1], each uniform on a random face of a random dimension from
    1 to m: edges, triangles, ..., the whole simplex get equal parts, where `dirichlet` all but leaves
    out the edges."""
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.ones(_checked_m(m) + 1), count)
    rank = np.argsort(rng.random(w.shape), axis=1).argsort(axis=1)  # a random order of the corners
    # What is left of a uniform w is uniform on its face.
    w[rank > rng.integers(1, m + 1, (count, 1))] = 0
    return w / w.sum(axis=1, keepdims=True)


def positions(w, m):
    """w as float64 positions [..., m + 1]; ValueError if they are not barycentric coordinates."""
    w = np.asarray(w, np.float64)
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


class Grid:
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
    """

    def __init__(self, m, pieces):
        whole = _compositions(m, pieces)  # [V, m + 1]
        self.config = {"m": int(m), "pieces": int(pieces)}
        self.m, self.pieces, self.points = m, pieces, whole / pieces
        self.arrays = {}
        self._code = (pieces + 1) ** np.arange(m, dtype=object)  # exact for any m
        codes = _tails(whole) @ self._code
        self._place = {code: v for v, code in enumerate(codes)}

    def weights(self, w):
        """w [..., m + 1] -> [..., V]."""
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
            codes = corner[used].astype(int) @ self._code
            weights[rows[used], [self._place[c] for c in codes]] += share[used, j]
        return weights.reshape(*w.shape[:-1], len(self.points))

    def neighbours(self):
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


class Scattered:
    """Piecewise linear over a Delaunay triangulation of the corners and any other positions.

    weights(w) = argmin sum_v c_v |points_v|^2  subject to c >= 0, sum_v c_v points_v = w

    This linear programme *is* the triangulation (the lower hull of the points lifted onto a paraboloid),
    so its simplices, whose number explodes with m, are never listed. The lifted points are moved by
    about 1e-6, so that the triangulation is unique where many points lie on one sphere.

    A face of the simplex on which no point lies stays flat: give points on the faces, too.

    Args:
      points: positions besides the corners, [P, m + 1], at least 1e-5 apart.
    """

    def __init__(self, points):
        points = np.atleast_2d(np.asarray(points, np.float64))
        if points.ndim != 2 or points.shape[1] < 2:
            raise ValueError(f"points must have shape [P, m + 1], m >= 1; received {points.shape}.")
        self.m = points.shape[1] - 1
        points = positions(points, self.m)
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

    def weights(self, w):
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

    def neighbours(self):
        """Pairs of control points that the triangulation joins, [E, 2]: those whose middle is a blend of
        the two alone."""
        pairs = itertools.combinations(range(len(self.points)), 2)
        middle = lambda i, j: self._solve((self.points[i] + self.points[j]) / 2)
        return np.array([(i, j) for i, j in pairs if middle(i, j)[[i, j]].sum() > 1 - 1e-6])


class Bernstein:
    """weights_a(w) = degree! / (a_0! ... a_m!) w_0^a_0 ... w_m^a_m, |a| = degree: a Bezier simplex.

    Smooth; it goes through the corners, not through the other control points. With m = 1 and degree 2 it
    is the quadratic Bezier curve of Garipov et al. 2018 (arXiv:1802.10026).

    Args:
      m: one less than the corners.
      degree: 1 is flat.
    """

    def __init__(self, m, degree):
        self._powers = _compositions(m, degree)  # [V, m + 1]
        self.config = {"m": int(m), "degree": int(degree)}
        self.m, self.degree, self.points = m, degree, self._powers / degree
        self.arrays = {}
        ways = [math.factorial(degree) // math.prod(map(math.factorial, p)) for p in self._powers]
        self._ways = np.array(ways, np.float64)  # [V]

    def weights(self, w):
        """w [..., m + 1] -> [..., V]."""
        w = positions(w, self.m)
        return self._ways * np.prod(w[..., None, :] ** self._powers, axis=-1)


_BASES = {b.__name__: b for b in (Grid, Scattered, Bernstein)}


def restore(config, arrays):
    """The basis of a `config` with its "kind", and its `arrays`."""
    config = dict(config)
    return _BASES[config.pop("kind")](**config, **arrays)


def _compositions(m, total):
    """All whole numbers >= 0 [V, m + 1] of sum `total`, the corners first."""
    _checked_m(m)
    _whole("pieces (or degree)", total)
    count = math.comb(int(total) + m, m)
    if count > 10**6:
        raise ValueError(
            f"a grid of {total} pieces an edge among {m + 1} optima has {count} points; use fewer "
            "pieces."
        )
    bars = itertools.combinations(range(total + m), m)  # stars and bars
    ends = np.array([(-1, *b, total + m) for b in bars])
    rows = np.diff(ends, axis=1) - 1  # [V, m + 1]
    rows = rows[::-1]  # from corner 0 on
    corner = rows.max(axis=1) == total
    return np.concatenate([total * np.eye(m + 1, dtype=int), rows[~corner]])


def _tails(w):
    """w_i + ... + w_m for i = 1 .. m. [B, m + 1] -> [B, m]."""
    return np.cumsum(w[:, :0:-1], axis=1)[:, ::-1]


def _checked_m(m):
    return _whole("m, one less than the optima,", m)


def _whole(name, value):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; received {value!r}.")
    return value
