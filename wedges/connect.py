"""Low-loss paths and surfaces between optima.

tunnel            the straight line's points, each minimised in the hyperplane normal to the line
connector         the same among m + 1 optima: points of their hull, minimised in the plane normal to it
joint_connector   all points of such a surface at once, on its mean loss; also Bezier curves, polygons
corner            a path with one corner, a -> c -> b, the corner moved until the *whole* path is low
along             the loss of a piecewise-linear path, between its vertices too

The first three return a `Connector`, a function from positions among the optima to theta.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from wedges import _jobs, archive, simplex
from wedges._checks import a_landscape, array, choice, made, numbers, several, whole
from wedges._progress import bar
from wedges._repr import short
from wedges.affine import AffineSubspace, Complement, Repeated
from wedges.landscape import Around, Landscape, WithExamples
from wedges.optimize import Descent, Minimum, Optimizer, minimize, progress
from wedges.probe import Line

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    Follow = Callable[[Descent, int, str], Any]

# Positions that a surface is trained on, where fewer steps would draw fewer.
_FEWEST_POSITIONS = 64


class Readings(NamedTuple):
    """What a landscape says at K positions."""

    loss: np.ndarray  # [K]
    accuracy: np.ndarray | None  # [K]; None where there is none

    def __repr__(self) -> str:
        return short(self)


class Connector:
    """theta(w) = sum_v weights_v(w) theta_v: a surface among m + 1 optima, its corners.

    >>> surface = wedges.Connector(np.eye(3, 4), wedges.simplex.Grid(2, 2))
    >>> surface([0.5, 0.5, 0.0])  # theta [D] half-way between the first two of three optima
    array([0.5, 0.5, 0. , 0. ])

    Args:
      optima: [m + 1, D].
      basis: how control points are blended, e.g. `simplex.Grid(m, 2)`.
      inner: the control points that are not corners [F, D], in the order of `basis.points[m + 1:]`; on
        the flat hull by default.

    Attributes:
      optima, basis: as given.
      m: one less than the optima.
      vertices: all control points [V, D], the optima first.

    Raises:
      ValueError: optima that are not in general position, a basis or points of another shape.
    """

    def __init__(self, optima: TensorLike, basis: simplex.Basis, inner: ArrayLike | None = None) -> None:
        self.optima, self.basis = _hull(optima), basis
        _a_basis(basis)
        self.m = len(self.optima) - 1
        if basis.m != self.m:
            raise ValueError(
                f"basis must be one among {self.m + 1} optima, m = {self.m}; received m = {basis.m}."
            )
        flat = self._flat(basis.points[self.m + 1 :])
        inner = flat if inner is None else np.asarray(inner, flat.dtype)
        if inner.shape != flat.shape:
            raise ValueError(
                f"inner must have shape {flat.shape}, a point for each of the basis; received "
                f"{inner.shape}."
            )
        self.vertices = np.concatenate([self.optima, inner])

    def __call__(self, w: ArrayLike) -> np.ndarray:
        """theta at barycentric coordinates w [..., m + 1] -> [..., D]."""
        return self.basis.weights(w).astype(self.vertices.dtype) @ self.vertices

    def flat(self, w: ArrayLike) -> np.ndarray:
        """The point of the flat hull at w, sum_i w_i theta_i. [..., m + 1] -> [..., D]."""
        return self._flat(simplex.positions(w, self.m))

    def _flat(self, w):
        return w.astype(self.optima.dtype) @ self.optima

    @property
    def deviations(self) -> np.ndarray:
        """How far the control points that are not corners lie off the flat hull, [F, D]."""
        inner = slice(self.m + 1, None)
        return self.vertices[inner] - self._flat(self.basis.points[inner])

    @property
    def path(self) -> np.ndarray:
        """The control points in order from the first optimum to the second, [V, D]; for m = 1.

        Raises:
          ValueError: more than two optima.
        """
        if self.m != 1:
            raise ValueError(f"only a connector of 2 optima is a path; this one has {self.m + 1}.")
        return self.vertices[np.argsort(self.basis.points[:, 1])]

    def evaluate(self, landscape: Landscape, w: ArrayLike) -> Readings:
        """Loss and accuracy on any landscape at positions w [K, m + 1].

        A network's batch-norm statistics are those of each point if the landscape re-estimates them.
        """
        return readings(landscape, self(np.atleast_2d(w)))

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one .npz file: whole, or not at all."""
        config = {"kind": type(self.basis).__name__, **self.basis.config}
        arrays = {f"basis/{name}": a for name, a in self.basis.arrays.items()}
        arrays |= {"optima": self.optima, "inner": self.vertices[self.m + 1 :]}
        archive.write(path, {**arrays, "basis": np.array(json.dumps(config))}, text=["basis"])

    @classmethod
    def load(cls, path: str | os.PathLike) -> Connector:
        """The connector that `save` wrote, bit for bit.

        Raises:
          ValueError: in one line, a file of something else, or a damaged one.
          OSError: one that cannot be read.
        """
        try:
            arrays = archive.read(path, text=["basis"])
            config = archive.parse_json(str(arrays.pop("basis")), path)
            optima, inner = (arrays.pop(name, np.zeros(0)) for name in ("optima", "inner"))
            rows = optima.ndim == inner.ndim == 2 and optima.dtype == inner.dtype
            if not rows or optima.dtype.kind != "f":
                raise ValueError("optima and inner points must be rows of floats of one dtype")
            arrays = {name.removeprefix("basis/"): a for name, a in arrays.items()}
            size = {"m": len(optima) - 1, "points": len(optima) + len(inner)}
            return cls(optima, simplex.restore(config, arrays, **size), inner)
        except ValueError as error:
            why = error.why if isinstance(error, archive.Damaged) else error
            line = " ".join(f"{path} is not a connector's file, or damaged: {why}".splitlines())
            raise ValueError(line) from None

    def __repr__(self) -> str:
        return (
            f"Connector({self.m + 1} optima, {type(self.basis).__name__}, "
            f"{len(self.vertices) - self.m - 1} points between)"
        )


def readings(landscape: Landscape, thetas: TensorLike, *, jobs: int | None = None) -> Readings:
    """Loss and, of a landscape `WithExamples`, accuracy at thetas [K, D]. NaN stays NaN.

    `jobs` as for `wedges.probe.plane`.

    >>> wedges.connect.readings(wedges.Quadratic([2.0, 8.0]), [[1.0, 0.0], [0.0, 1.0]]).loss
    array([1., 4.], dtype=float32)
    """
    a_landscape(landscape)
    thetas = np.asarray(landscape.point(thetas, "thetas"))
    if thetas.ndim != 2 or not len(thetas):
        raise ValueError(
            f"thetas must be points [K, {landscape.dimension}], K >= 1; received shape {thetas.shape}."
        )
    work = landscape, thetas
    with _jobs.Workers(_readings_at, work, jobs) as workers:
        count = len(thetas)
        rows = workers.rows(count, 1 if isinstance(landscape, WithExamples) else count)
        chunks = [np.arange(i, min(i + rows, count)) for i in range(0, count, rows)]
        watched = bar(iterable=workers.over(chunks), total=len(chunks), desc="readings", unit="point")
        found = list(watched)
    loss, accuracy = (list(itertools.chain.from_iterable(part)) for part in zip(*found, strict=True))
    return Readings(np.array(loss), None if accuracy[0] is None else np.array(accuracy))


def _readings_at(work, rows):
    """Losses and accuracies at some of the thetas; None for an accuracy that there is not."""
    landscape, thetas = work
    if not isinstance(landscape, WithExamples):
        return np.asarray(landscape(thetas[rows])), [None] * len(rows)
    found = [landscape.evaluate(thetas[i]) for i in rows]
    array = lambda a: None if a is None else np.asarray(a)
    arrays = lambda accuracy: tf.nest.map_structure(array, accuracy)
    return [np.asarray(f.loss) for f in found], [arrays(f.accuracy) for f in found]


def connector(
    landscape: Landscape,
    optima: TensorLike,
    basis: simplex.Basis,
    optimizer: Optimizer,
    steps: int,
    *,
    start: str = "flat",
    tolerance: float | None = None,
    jit_compile: bool = False,
    follow: Follow = progress,
) -> Connector:
    """m + 1 optima joined by points of their hull, each made low by itself: a `Connector`.

    v_j = argmin L over the (D - m)-dimensional plane through sum_i w_ji theta_i normal to the hull of
    the optima, w_j = basis.points_j. Between the points it is as low as it happens to be: look at
    held-out positions.

    >>> bowl = wedges.Quadratic([1.0, 1.0, 4.0], center=[0.0, 0.0, 3.0])
    >>> cg, middles = wedges.ConjugateGradients(), wedges.simplex.Grid(1, 2)
    >>> surface = wedges.connector(bowl, [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]], middles, cg, steps=9)
    >>> surface([0.5, 0.5]).round(3) + 0.0  # not the centre, but the lowest of the plane x = y
    array([0., 0., 3.], dtype=float32)

    Args:
      landscape: any; one that takes many points at once (`landscape.takes_batches`) gets all of them.
      optima: [m + 1, D], in general position.
      basis: where the points stand, and how they are blended between: `simplex.Grid(m, 2)`, or
        `simplex.Scattered(positions)` for any of your own.
      optimizer, steps, tolerance, jit_compile: as for `minimize`, for each point.
      start: "flat", each point from the hull, as in the paper; or "neighbour", from the hull displaced
        like the nearest point found before.
      follow: follow(descent, steps, name) takes the steps of each `Descent`: with a progress bar by
        default; pass one that saves `descent.state` as it goes to continue after an interruption.

    Raises:
      ValueError: optima of another space or not in general position, a basis among others.

    Source: Fort & Jastrzebski 2019 (arXiv:1906.04724), section 3.
    """
    choice("start", start, ("flat", "neighbour"))
    steps = whole("steps", steps, 0)
    blank = Connector(_points(landscape, optima), basis)
    free = slice(blank.m + 1, None)
    flat, w = blank.vertices[free], basis.points[free]  # [F, D], [F, m + 1]
    if not len(flat):
        return blank
    normals = Complement(blank.optima[1:] - blank.optima[0], dtype=landscape.dtype)
    settings: dict[str, Any] = {"tolerance": tolerance, "jit_compile": jit_compile}
    if landscape.takes_batches and start == "flat":
        planes = AffineSubspace(flat, normals)
        descent = Descent(landscape, flat, optimizer, subspace=planes, **settings)
        follow(descent, steps, f"{len(flat)} points")
        return Connector(blank.optima, basis, descent.theta)
    plane = AffineSubspace(flat[0], normals)
    descent = Descent(landscape, flat[0], optimizer, subspace=plane, **settings)
    found: list[np.ndarray] = []
    for i, origin in enumerate(flat):
        begin = origin
        if found and start == "neighbour":
            nearest = np.argmin(np.linalg.norm(w[:i] - w[i], axis=1))
            begin = origin + found[nearest] - flat[nearest]
        descent.restart(begin, origin)
        follow(descent, steps, f"point {i + 1} of {len(flat)}")
        found.append(descent.theta.numpy())
    return Connector(blank.optima, basis, found)


def tunnel(
    landscape: Landscape,
    a: TensorLike,
    b: TensorLike,
    segments: int,
    optimizer: Optimizer,
    steps: int,
    **settings: Any,
) -> Connector:
    """A path from a to b of `segments` straight pieces with low vertices: a `Connector` of two optima.

    v_i = argmin L over the hyperplane through a + (i/S)(b - a) normal to b - a, i = 1 .. S - 1.
    `tunnel.path` holds a, v_1, ..., b. Only the vertices are made low: look between them with `along`.

    Args:
      a, b: the ends [D], different points.
      segments: S, at least 2.
      settings: as for `connector`, as are the others.

    Raises:
      ValueError: fewer than two segments, ends that are one point.
    """
    segments = whole("segments", segments, 2)
    a_landscape(landscape)
    ends = np.stack([landscape.point(a, "a"), landscape.point(b, "b")])
    return connector(landscape, ends, simplex.Grid(1, segments), optimizer, steps, **settings)


def joint_connector(
    landscape: Landscape,
    optima: TensorLike,
    basis: simplex.Basis,
    optimizer: Optimizer,
    steps: int,
    *,
    seed: int,
    normal: bool = True,
    start: Connector | None = None,
    positions: Callable[..., np.ndarray] = simplex.dirichlet,
    samples: int | None = None,
    tolerance: float | None = None,
    jit_compile: bool = False,
    follow: Follow = progress,
) -> Connector:
    """m + 1 optima joined by a surface trained as a whole: a `Connector`.

    minimises E_w L(theta(w)), w uniform on the simplex, over all control points but the corners. With
    minibatches a step takes one new w, and so costs about what a step at one point does.

    >>> bowl, ends = wedges.Quadratic([1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0]]
    >>> cg, bezier = wedges.ConjugateGradients(), wedges.simplex.Bernstein(1, 2)
    >>> curve = wedges.joint_connector(bowl, ends, bezier, cg, steps=9, seed=0, normal=False)
    >>> bool(bowl(curve([0.5, 0.5])) < bowl(curve.flat([0.5, 0.5])))
    True

    Args:
      landscape, optima, basis, optimizer, follow: as for `connector`.
      steps: in all. `connector` takes as many for each point.
      seed: of the positions w.
      normal: keep each point in the plane normal to the hull, as `connector` does. False frees them, as
        for the curves of Garipov et al.
      start: a `Connector` of the same optima and basis to go on from; the flat hull by default.
      positions: positions(m, count, seed=seed) draws w: `simplex.dirichlet`, uniform on the simplex, or
        `simplex.faces`, on all its edges and faces alike, which matters from m = 3 on: few uniform w
        come near an edge.
      samples: positions drawn in advance; by default one for each step, at least 64. A landscape without
        minibatches sees all of them at every step.
      tolerance, jit_compile: as for `minimize`.

    Raises:
      ValueError: as for `connector`; a start of other optima or another basis, no point to train.

    Source: curves, Garipov et al. 2018 (arXiv:1802.10026); surfaces, Benton et al. 2021
    (arXiv:2102.13042). Staying in the normal planes is ours.
    """
    steps = whole("steps", steps, 0)
    _a_basis(basis)
    if start is not None:
        made("start", start, "deviations", "a wedges.Connector")
    blank = Connector(_points(landscape, optima), basis) if start is None else start
    if start is not None and not np.array_equal(start.optima, _points(landscape, optima)):
        raise ValueError("start must be a Connector of the same optima; received one of others.")
    if type(blank.basis) is not type(basis) or not np.array_equal(blank.basis.points, basis.points):
        raise ValueError(f"start must be a Connector of the same basis; received {start}.")
    if not len(blank.deviations):
        raise ValueError("basis must have a point besides the corners to train; received none.")
    count = max(steps, _FEWEST_POSITIONS) if samples is None else whole("samples", samples)
    m = blank.m
    w = positions(m, count, seed=seed)
    expected = Expected(landscape, blank.optima, basis.weights(w))
    inner = blank.vertices[m + 1 :]  # [F, D]
    subspace = None
    if normal:
        normals = Complement(blank.optima[1:] - blank.optima[0], dtype=landscape.dtype)
        flat = (inner - blank.deviations).reshape(-1)  # [F D]
        subspace = AffineSubspace(flat, Repeated(normals, len(inner)))
    descent = Descent(
        expected,
        inner.reshape(-1),
        optimizer,
        subspace=subspace,
        tolerance=tolerance,
        jit_compile=jit_compile,
    )
    follow(descent, steps, f"{len(inner)} points jointly")
    return Connector(blank.optima, basis, tf.reshape(descent.theta, inner.shape))


def refined(connector: Connector, basis: simplex.Basis) -> Connector:
    """The same surface with the control points of another basis, e.g. a `Grid` of twice as many pieces.

    Exact where the new basis can blend what the old one does: from a `Grid` to one of a multiple of its
    pieces, and from anything to a `Grid` at its points.

    >>> coarse = wedges.Connector([[0.0, 0.0], [4.0, 0.0]], wedges.simplex.Grid(1, 2), [[2.0, 2.0]])
    >>> wedges.connect.refined(coarse, wedges.simplex.Grid(1, 4)).path
    array([[0., 0.],
           [1., 1.],
           [2., 2.],
           [3., 1.],
           [4., 0.]])
    """
    made("connector", connector, "vertices", "a wedges.Connector")
    _a_basis(basis)
    inner = connector(basis.points[connector.m + 1 :])
    return Connector(connector.optima, basis, inner)


class Expected(Around):
    """The mean loss over positions of a surface, as a function of its free control points.

    L_E(P) = 1/T sum_t L(sum_e weights_te fixed_e + sum_f weights_tf P_f),  P = (P_1, ..., P_F) [F D]

    `sample` takes the position number `step` mod T alone, on that step's minibatch.

    Args:
      landscape: L.
      fixed: the control points that stay, [E, D]; [R, E, D] for R surfaces at once.
      weights: of all control points at the T positions, the fixed ones first, [T, E + F].

    Attributes:
      free: F.

    Raises:
      ValueError: fixed points of another shape.
    """

    def __init__(self, landscape: Landscape, fixed: TensorLike, weights: TensorLike) -> None:
        super().__init__(landscape)
        self.fixed = landscape.point(fixed, "fixed")  # [..., E, D]
        if self.fixed.shape.rank < 2:
            raise ValueError(f"fixed must have shape [..., E, D]; received {tuple(self.fixed.shape)}.")
        weights = tf.constant(array("weights", weights), self.dtype)  # [T, E + F]
        self._fixed, self._free = weights[:, : self.fixed.shape[-2]], weights[:, self.fixed.shape[-2] :]
        self.free = self._free.shape[1]
        self.dimension = self.free * landscape.dimension

    def _points(self, theta, fixed, free):
        """Points of the surface where the weights are `fixed` [T, E] and `free` [T, F]: [..., T, D]."""
        return tf.matmul(fixed, self.fixed) + self._moved(theta, free)

    def _moved(self, theta, free):
        theta = self.point(theta)
        rows = tf.reshape(theta, [*theta.shape[:-1], self.free, self.landscape.dimension])
        return tf.matmul(free, rows)  # [..., T, D]

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        points = self._points(theta, self._fixed, self._free)
        return tf.reduce_mean(self.landscape(points), axis=-1)  # [...]

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        row = tf.cast(step, tf.int32) % self._free.shape[0]
        fixed, free = (w[row][None] for w in (self._fixed, self._free))  # [1, E], [1, F]
        return self.landscape.sample(self._points(theta, fixed, free)[..., 0, :], step)

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        points = self._points(theta, self._fixed, self._free)
        losses, gradients = self.landscape.value_and_gradient(points)  # [..., T], [..., T, D]
        gradient = tf.matmul(self._free, gradients, transpose_a=True) / len(self._free)  # [..., F, D]
        return tf.reduce_mean(losses, axis=-1), tf.reshape(gradient, tf.shape(theta))

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        points = self._points(theta, self._fixed, self._free)
        step = tf.broadcast_to(self._moved(direction, self._free), tf.shape(points))
        loss, slope, curvature = self.landscape.jet(points, step)
        return tuple(tf.reduce_mean(v, axis=-1) for v in (loss, slope, curvature))

    hessian_product = Landscape.hessian_product
    length = Landscape.length


def corner(
    landscape: Landscape,
    ends: TensorLike,
    optimizer: Optimizer,
    steps: int,
    *,
    points: int = 8,
    reach: Sequence[float] = (0.01, 1.0),
    tolerance: float | None = None,
) -> Minimum:
    """The corner c of a low path between two ends (a star between more): a `Minimum`, theta = c.

    c = argmin of the mean loss over the rays from each end towards c, from the ends' mean; first over a
    short reach of them, then over all. Where the ends lie on different wedges a low path leads
    through the wedges' intersection, and c is found there. The path is low as a whole, not only at its
    vertices, since the loss is averaged along it.

    Args:
      landscape: one that takes many points at once; `Squared(landscape)` for a distance such as the
        toy's.
      ends: [E, D], or [R, E, D] for R of them at once.
      optimizer, steps, tolerance: as for `minimize`.
      points: samples on each ray; the ends are not among them.
      reach: how far along the rays to look in each stage, 1 is all the way. Near an end the nearest
        wedge is the end's own, so a short reach asks c to lie on every end's wedge; from the mean, the
        whole rays would settle for any wedge that happens to be near the middle.

    Raises:
      ValueError: ends of another shape, no points, a reach that is not above 0 and at most 1.

    Source: paths with one bend, Garipov et al. 2018 (arXiv:1802.10026); the stages are ours.
    """
    a_landscape(landscape)
    ends = landscape.point(ends, "ends")  # [..., E, D]
    if ends.shape.rank < 2:
        raise ValueError(f"ends must have shape [..., E, D]; received {tuple(ends.shape)}.")
    if not len(reach):
        raise ValueError("reach must hold at least one stage's reach, e.g. (0.1, 1.0); received none.")
    center = tf.reduce_mean(ends, axis=-2)  # [..., D]
    for stage in reach:
        star = Expected(landscape, ends, _rays(ends.shape[-2], points, stage))
        found = minimize(star, center, optimizer, steps, tolerance=tolerance)
        center = found.theta
    return found


def _rays(ends, points, reach):
    """Weights [E T, E + 1] of the ends and of c at (1 - u) end_e + u c, u = reach j / T, j = 1 .. T."""
    points = whole("points", points)
    if not 0 < reach <= 1:
        raise ValueError(f"reach must be above 0 and at most 1; received {reach}.")
    u = np.tile(reach * np.arange(1, points + 1) / points, ends)[:, None]  # [E T, 1]
    return np.concatenate([(1 - u) * np.repeat(np.eye(ends), points, axis=0), u], axis=1)


def along(landscape: Landscape, vertices: TensorLike, points: int = 10) -> Line:
    """The loss along the piecewise-linear path through vertices [V, D], vertices included.

    >>> bowl, path = wedges.Quadratic([2.0, 2.0]), [[0, 0], [1, 0], [1, 3]]
    >>> t, losses = wedges.connect.along(bowl, path, points=1)
    >>> t.tolist(), losses.tolist()
    ([0.0, 0.25, 1.0], [0.0, 1.0, 10.0])

    Args:
      landscape: any.
      vertices: [V, D].
      points: samples on each segment, its end not among them.

    Returns:
      A `Line`: how far along the path each sample is, t [T] from 0 to 1 in length, and its loss [T],
      T = (V - 1) points + 1.

    Raises:
      ValueError: fewer than two vertices, no points.
    """
    a_landscape(landscape)
    vertices = landscape.point(vertices, "vertices")
    if vertices.shape.rank != 2 or vertices.shape[0] < 2:
        raise ValueError(f"vertices must have shape [V, D], V >= 2; received {tuple(vertices.shape)}.")
    points = whole("points", points)
    share = tf.constant(np.arange(points)[:, None] / points, landscape.dtype)  # [T, 1]
    losses, t = [], []
    lengths = tf.norm(vertices[1:] - vertices[:-1], axis=-1).numpy()  # [V - 1]
    before = np.concatenate([[0], np.cumsum(lengths)])
    for i, (a, b) in enumerate(zip(vertices[:-1], vertices[1:], strict=True)):
        losses.append(landscape(a + share * (b - a)).numpy())  # [T]
        t.append(before[i] + np.arange(points) / points * lengths[i])
    losses.append(landscape(vertices[-1:]).numpy())
    t.append(before[-1:])
    length = max(before[-1], np.finfo(float).tiny)
    return Line(np.concatenate(t) / length, np.concatenate(losses))


def _points(landscape, optima):
    """Optima given as rows or as a list, [m + 1, D] of the landscape's dtype."""
    a_landscape(landscape)
    optima = several("optima", optima)
    shapes = {tuple(numbers("optima", o, landscape.dtype).shape) for o in optima}
    if len(shapes) > 1 or (shapes and shapes != {(landscape.dimension,)}):
        raise ValueError(
            f"optima must all be points of this landscape, shape ({landscape.dimension},); received "
            f"{_listed(shapes)}. Optima of different models have no common space."
        )
    return np.array([landscape.point(o) for o in optima])


def _a_basis(basis):
    made("basis", basis, "points", "a wedges.simplex.Basis, e.g. wedges.simplex.Bernstein(1, 2)")


def _listed(shapes):
    return ", ".join(map(str, sorted(shapes)))


def _hull(optima):
    """Optima [m + 1, D] in general position; ValueError if they are not."""
    several("optima", optima)
    shapes = {array("optima", o).shape for o in optima}
    if len(shapes) > 1:
        raise ValueError(f"optima must be points of one space; received {_listed(shapes)}.")
    optima = np.array(optima)
    if optima.dtype.kind not in "fiu":
        raise ValueError(f"optima must be real numbers [m + 1, D]; received {optima.dtype}.")
    if not np.issubdtype(optima.dtype, np.floating):
        optima = optima.astype(np.float32)
    if optima.ndim != 2 or len(optima) < 2:
        raise ValueError(
            f"optima must be at least two points, shape [m + 1, D]; received shape {optima.shape}."
        )
    m, dimension = len(optima) - 1, optima.shape[1]
    if m >= dimension:
        raise ValueError(
            f"optima must be at most D = {dimension} points, or nothing is left normal to their hull; "
            f"received {m + 1}."
        )
    if not np.isfinite(optima).all():
        raise ValueError("optima must be finite; received NaN or infinity in them.")
    edges = optima[1:].astype(np.float64) - optima[0]
    lengths = np.linalg.norm(edges, axis=1, keepdims=True)
    left = np.abs(np.diagonal(np.linalg.qr((edges / np.where(lengths > 0, lengths, 1)).T)[1]))
    if left.min() < 1e-6:
        raise ValueError(
            f"optima must be in general position; received {m + 1} of which optimum "
            f"{np.argmin(left) + 1} (from 0) repeats an earlier one, or lies in the plane of those "
            "before it."
        )
    return optima
