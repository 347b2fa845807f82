"""The toy landscapes of the paper: distance to the nearest of many n-wedges.

An n-wedge is an n-dimensional linear subspace of R^D: n long directions, in which the loss stays
zero, and s = D - n short ones, in which it rises. The loss of a point P is its Euclidean distance
to the nearest wedge.

    AxisWedges      every axis-aligned n-tuple: sqrt(sum of the s smallest P_i^2); holds no wedge
    RotatedWedges   the same, turned by one random rotation
    RandomWedges    K subspaces, each in a random orientation of its own

Source: Fort & Jastrzebski 2019 (arXiv:1906.04724), section 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges.affine import generator, random_cut
from wedges.landscape import Landscape
from wedges.select import smallest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class Wedges(Landscape):
    """What the three have in common.

    Args:
      dimension: D.
      n: long directions of each wedge, from 0 (the wedge is the origin) to D (the loss is 0).

    Attributes:
      s: short directions of each wedge, D - n.
    """

    def __init__(self, dimension: int, n: int, dtype: DTypeLike) -> None:
        self.dtype = tf.as_dtype(dtype)
        if self.dtype not in (tf.float32, tf.float64):
            raise ValueError(f"dtype must be float32 or float64; received {self.dtype.name}.")
        self.dimension = _checks.whole("dimension", dimension)
        self.n = _checks.whole("n", n, 0, self.dimension, limit="D")
        self.s = self.dimension - self.n

    def short_directions(self, theta: ArrayLike, tolerance: float) -> np.ndarray:
        """The short directions at theta: normals of every wedge within `tolerance` of it, together.

        theta [D] -> orthonormal rows [k, D]: k = s on one wedge, about 2s where two meet, 0 off all
        of them. It asks the geometry, which a loss, the distance to the *nearest* wedge, does not
        show.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        of = f", {self.k:,} of them" if isinstance(self, RandomWedges) else ""
        return f"{type(self).__name__}(D = {self.dimension:,}, n = {self.n:,}{of}, {self.dtype.name})"


class AxisWedges(Wedges):
    """L(P) = sqrt(sum of the s smallest P_i^2), the distance to the nearest axis-aligned n-wedge.

    dL/dP_i = P_i / L on the s smallest components and 0 on the others: a gradient of length 1. Where
    several components tie for the last place each gets an equal share of it, which is the mean of the
    gradients of all choices; where L = 0 the gradient is 0. NaN in P gives NaN.

    Args:
      dimension, n: as for `Wedges`: D and the number of long directions.

    >>> toy = wedges.AxisWedges(5, n=3)  # two short directions of five
    >>> float(toy([3.0, -9.0, 4.0, 7.0, 8.0]))  # the nearest wedge has P_1 = P_3 = 0
    5.0
    """

    def __init__(self, dimension: int, n: int, dtype: DTypeLike = "float32") -> None:
        super().__init__(dimension, n, dtype)

    def __call__(self, theta: ArrayLike) -> tf.Tensor:
        theta = self.point(theta)  # [..., D]
        if self.s == 0:
            nan = tf.where(tf.math.is_nan(theta), theta, tf.zeros_like(theta))
            return tf.reduce_sum(nan, axis=-1)  # [...], NaN where theta is
        # Which components are the smallest is constant around theta, so the weights are constants.
        weights, unit = _weights(*self._threshold(tf.stop_gradient(theta)))  # [..., D], [..., 1]
        squares = tf.where(weights > 0, weights * (theta / unit) ** 2, tf.zeros_like(theta))
        return unit[..., 0] * _root(_sum(squares))

    def value_and_gradient(self, theta: ArrayLike) -> tuple[tf.Tensor, tf.Tensor]:
        theta = self.point(theta)
        if self.s == 0:
            return self(theta), tf.zeros_like(theta)
        return _value_and_gradient(*self._threshold(theta))

    def jet(self, theta: ArrayLike, direction: ArrayLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        theta, direction = self.point(theta), self.point(direction)
        if self.s == 0:
            return self(theta), tf.zeros_like(theta[..., 0]), tf.zeros_like(theta[..., 0])
        return _jet(*self._threshold(theta), direction)

    def _threshold(self, theta):
        """What decides which components are in the loss: theta and two numbers for each point.

        The largest magnitude in the loss [..., 1]; how many components of just that magnitude are in it
        [..., 1], NaN where theta has a NaN.
        """
        threshold, below = (t[..., None] for t in smallest(theta, self.s))
        last = tf.cast(self.s - below, self.dtype)
        return theta, threshold, tf.where(tf.math.is_nan(threshold), threshold, last)

    def short_directions(self, theta: ArrayLike, tolerance: float) -> np.ndarray:
        squares = np.asarray(self.point(theta), np.float64) ** 2
        if self.s == 0:
            return np.zeros((0, self.dimension))
        order = np.sort(squares)
        # To the nearest wedge that has component i among its short ones: it takes the s-th's place.
        nearest = order[: self.s - 1].sum() + np.maximum(squares, order[self.s - 1])
        (short,) = np.nonzero(np.sqrt(nearest) <= tolerance)
        rows = np.zeros((len(short), self.dimension))
        rows[np.arange(len(short)), short] = 1
        return rows


class RotatedWedges(Wedges):
    """L(P) = L_axis(R P), R a random rotation: the wedges know nothing of the coordinate axes.

    Args:
      dimension, n: as for `Wedges`.
      seed: of the rotation, a `random_cut` of all D dimensions: a dense matrix for D below about 2900,
        a `Transform` above.
    """

    def __init__(self, dimension: int, n: int, *, seed: int, dtype: DTypeLike = "float32") -> None:
        super().__init__(dimension, n, dtype)
        self.axis = AxisWedges(dimension, n, dtype)
        origin = np.zeros(dimension, self.dtype.as_numpy_dtype)
        self.rotation = random_cut(origin, dimension, seed=seed)

    def __call__(self, theta: ArrayLike) -> tf.Tensor:
        return self.axis(self.rotation.directions.lower(self.point(theta)))

    def value_and_gradient(self, theta: ArrayLike) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = self.axis.value_and_gradient(self.rotation.directions.lower(self.point(theta)))
        return loss, self.rotation.directions.lift(gradient)

    def jet(self, theta: ArrayLike, direction: ArrayLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        turn = self.rotation.directions.lower
        return self.axis.jet(turn(self.point(theta)), turn(self.point(direction)))

    def short_directions(self, theta: ArrayLike, tolerance: float) -> np.ndarray:
        rotated = self.rotation.coordinates(theta)
        rows = self.axis.short_directions(rotated, tolerance)  # [k, D]
        if not len(rows):
            return rows
        return np.asarray(self.rotation.directions.lift(tf.constant(rows, self.dtype)))


class RandomWedges(Wedges):
    """L(P) = min over k of |N_k P|, N_k [s, D] the orthonormal normals of wedge k of K.

    Args:
      dimension, n: as for `Wedges`.
      k: how many wedges, K. They are held: K s D numbers.
      seed: of their orientations, each uniform and independent.
    """

    def __init__(
        self, dimension: int, n: int, k: int, *, seed: int, dtype: DTypeLike = "float32"
    ) -> None:
        super().__init__(dimension, n, dtype)
        self.k = _checks.whole("k", k)
        rng, shape = generator(seed), (self.dimension, self.s)
        normals = [np.linalg.qr(rng.standard_normal(shape))[0].T for _ in range(self.k)]
        self.normals = tf.constant(np.array(normals), self.dtype)  # [K, s, D]
        self._rows = tf.reshape(self.normals, [-1, self.dimension])  # [K s, D]

    def components(self, theta: ArrayLike) -> tf.Tensor:
        """N_k P for every wedge. theta [..., D] -> [..., K, s]."""
        theta = self.point(theta)
        flat = tf.reshape(theta, [-1, self.dimension])  # [B, D]
        out = tf.matmul(flat, self._rows, transpose_b=True)  # [B, K s]
        return tf.reshape(out, tf.concat([tf.shape(theta)[:-1], [self.k, self.s]], axis=0))

    def distances(self, theta: ArrayLike) -> tf.Tensor:
        """The distance to each wedge. theta [..., D] -> [..., K]."""
        unit, _, squares = self._in_unit(theta)
        return unit * _root(squares)

    def __call__(self, theta: ArrayLike) -> tf.Tensor:
        unit, _, squares = self._in_unit(theta)
        # argmin and gather, not reduce_min: its gradient would be split between ties.
        nearest = tf.argmin(tf.stop_gradient(squares), axis=-1)
        return unit[..., 0] * _root(tf.gather(squares, nearest, batch_dims=squares.shape.rank - 1))

    def _in_unit(self, theta):
        """A unit [..., 1] in which no square over- or underflows, and what is measured in it.

        The components [..., K, s] and the squared distances [..., K].
        """
        theta = self.point(theta)
        unit = _unit(tf.reduce_max(tf.abs(tf.stop_gradient(theta)), axis=-1, keepdims=True))
        components = self.components(theta / unit)
        return unit, components, tf.reduce_sum(components**2, axis=-1)

    def value_and_gradient(self, theta: ArrayLike) -> tuple[tf.Tensor, tf.Tensor]:
        theta = self.point(theta)
        if self.s == 0:
            return self(theta), tf.zeros_like(theta)
        unit, components, squares = self._in_unit(theta)
        nearest = tf.one_hot(tf.argmin(squares, axis=-1), self.k, dtype=self.dtype)  # [..., K]
        chosen = nearest[..., None] * components  # [..., K, s], 0 but for one wedge
        length = _root(tf.reduce_sum(chosen**2, axis=(-2, -1)))[..., None]  # [..., 1]
        back = tf.matmul(tf.reshape(chosen, [-1, self.k * self.s]), self._rows)  # [B, D]
        gradient = tf.math.divide_no_nan(tf.reshape(back, tf.shape(theta)), length)
        return unit[..., 0] * length[..., 0], gradient

    def jet(self, theta: ArrayLike, direction: ArrayLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        theta, direction = self.point(theta), self.point(direction)
        unit, components, squares = self._in_unit(theta)
        nearest = tf.argmin(squares, axis=-1)  # [...]
        pick = lambda c: tf.gather(c, nearest, batch_dims=c.shape.rank - 2)  # [..., s]
        jet = _jet_of_length(pick(components), pick(self.components(direction / unit)))
        return tuple(unit[..., 0] * v for v in jet)

    def short_directions(self, theta: ArrayLike, tolerance: float) -> np.ndarray:
        near = np.asarray(self.distances(theta)) <= tolerance  # [K]
        rows = np.asarray(self.normals, np.float64)[near].reshape(-1, self.dimension)  # [m s, D]
        if not len(rows):
            return rows
        _, length, directions = np.linalg.svd(rows, full_matrices=False)
        return directions[length > 1e-6 * length[0]]


def _weights(theta, threshold, last):
    """Weights [..., D] of the components in the loss: 1, 0, or a share among ties; and a unit [..., 1].

    The unit is the threshold, or 1: in it no square over- or underflows.
    """
    size = tf.abs(theta)
    tied = size == threshold
    # Counted in whole numbers: a float32 sum of ones stops at 2^24.
    ties = tf.reduce_sum(tf.cast(tied, tf.int32), axis=-1, keepdims=True)
    share = last / tf.cast(tf.maximum(ties, 1), theta.dtype)
    one, zero = tf.ones_like(theta), tf.zeros_like(theta)
    weights = tf.where(size < threshold, one, tf.where(tied, share, zero))
    # NaN is below nothing and ties with nothing, and must not look like a loss of 0.
    weights = tf.where(tf.math.is_nan(last), last, weights)
    return weights, _unit(threshold)


def _unit(largest):
    """The largest number, or 1 where it is 0 or infinite: no unit to measure the others in."""
    none = (largest == 0) | tf.math.is_inf(largest)
    return tf.where(none, tf.ones_like(largest), largest)


# As one XLA program these are two passes over memory; op by op they would be ten.
@tf.function(jit_compile=True, autograph=False)
def _value_and_gradient(theta, threshold, last):
    weights, unit = _weights(theta, threshold, last)
    scaled = theta / unit
    length = tf.sqrt(_sum(tf.where(weights > 0, weights * scaled**2, weights)))[..., None]
    gradient = tf.where(weights > 0, weights * scaled, weights) / tf.where(
        length == 0, tf.ones_like(length), length
    )
    return (unit * length)[..., 0], gradient


@tf.function(jit_compile=True, autograph=False)
def _jet(theta, threshold, last, direction):
    weights, unit = _weights(theta, threshold, last)
    share = tf.where(weights > 0, tf.sqrt(weights), weights)  # NaN stays NaN
    selected = tf.where(weights > 0, share * (theta / unit), weights)
    loss, slope, curvature = _jet_of_length(selected, share * (direction / unit))
    unit = unit[..., 0]
    return unit * loss, unit * slope, unit * curvature


def _jet_of_length(r, step):
    """|r + t step| and its derivatives by t at 0, the second taken as 0 at r = 0: [..., s] -> 3 x [...].

    |r + t q|' = r.q / |r|,  |r + t q|'' = (q.q - (r.q / |r|)^2) / |r|
    """
    length = _root(_sum(r**2))
    slope = tf.math.divide_no_nan(_sum(r * step), length)
    curvature = tf.math.divide_no_nan(tf.maximum(_sum(step**2) - slope**2, 0), length)
    return length, slope, curvature


def _sum(x):
    """x [..., D] -> [...], in blocks.

    XLA adds one number after another, and joins sums of sums into one: 4e-6 off in float32 at
    D = 10^6. It leaves sums of blocks by matvec alone: 1e-7.
    """
    width = max(1, math.isqrt(x.shape[-1]))
    x = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, -x.shape[-1] % width]])
    blocks = tf.reshape(x, tf.concat([tf.shape(x)[:-1], [x.shape[-1] // width, width]], 0))
    return tf.reduce_sum(tf.linalg.matvec(blocks, tf.ones([width], x.dtype)), axis=-1)


def _root(squares):
    """sqrt with derivative 0, not infinity, at 0."""
    positive = tf.stop_gradient(squares) != 0  # NaN counts, and stays NaN
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1)), 0)
