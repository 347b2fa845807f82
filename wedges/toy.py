"""The toy landscapes of the paper: distance to the nearest of many n-wedges.

An n-wedge is an n-dimensional linear subspace of R^D: n long directions, in which the loss stays
zero, and s = D - n short ones, in which it rises. The loss of a point P is its Euclidean distance
to the nearest wedge.

    AxisWedges      every axis-aligned n-tuple: sqrt(sum of the s smallest P_i^2); holds no wedge
    RotatedWedges   the same, turned by one random rotation
    RandomWedges    K subspaces, each in a random orientation of its own

Source: Fort & Jastrzebski 2019 (arXiv:1906.04724), section 3.
"""

import math

import numpy as np
import tensorflow as tf

from wedges.affine import generator, random_cut
from wedges.landscape import Landscape
from wedges.select import smallest


class Wedges(Landscape):
    """What the three have in common.

    Args:
      dimension: D.
      n: long directions of each wedge, from 0 (the wedge is the origin) to D (the loss is 0).

    Attributes:
      s: short directions of each wedge, D - n.
    """

    def __init__(self, dimension, n, dtype):
        self.dtype = tf.as_dtype(dtype)
        if self.dtype not in (tf.float32, tf.float64):
            raise ValueError(f"dtype must be float32 or float64; received {self.dtype.name}.")
        _check_whole("dimension", dimension, 1, None)
        _check_whole("n", n, 0, dimension)
        self.dimension, self.n, self.s = int(dimension), int(n), int(dimension - n)

    def short_directions(self, theta, tolerance):
        """The short directions at theta: normals of every wedge within `tolerance` of it, together.

        theta [D] -> orthonormal rows [k, D]: k = s on one wedge, about 2s where two meet, 0 off all
        of them. It asks the geometry, which a loss, the distance to the *nearest* wedge, does not
        show.
        """
        raise NotImplementedError


class AxisWedges(Wedges):
    """L(P) = sqrt(sum of the s smallest P_i^2), the distance to the nearest axis-aligned n-wedge.

    A positive component is kept or not, so dL/dP_i = P_i / L on the s smallest and 0 elsewhere: of
    length 1. Where several components tie for the last place each gets an equal share of it, which is
    the mean of the gradients of all choices; where L = 0 the gradient is 0. NaN in P gives NaN.

    Args:
      dimension, n: as for `Wedges`: D and the number of long directions.
    """

    def __init__(self, dimension, n, dtype="float32"):
        super().__init__(dimension, n, dtype)

    def __call__(self, theta):
        theta = self.point(theta)  # [..., D]
        if self.s == 0:
            return tf.reduce_sum(0 * theta, axis=-1)  # [...], NaN where theta is
        # Which components are the smallest is constant around theta, so the weights are constants.
        weights, unit = _weights(*self._threshold(tf.stop_gradient(theta)))  # [..., D], [..., 1]
        squares = tf.where(weights > 0, weights * (theta / unit) ** 2, tf.zeros_like(theta))
        return unit[..., 0] * _root(_sum(squares))

    def value_and_gradient(self, theta):
        theta = self.point(theta)
        if self.s == 0:
            return self(theta), tf.zeros_like(theta)
        return _value_and_gradient(*self._threshold(theta))

    def _threshold(self, theta):
        """theta; the largest magnitude in the loss [..., 1]; how many components of just that magnitude
        are in it [..., 1], NaN where theta has a NaN."""
        threshold, below = (t[..., None] for t in smallest(theta, self.s))
        last = tf.cast(self.s - below, self.dtype)
        return theta, threshold, tf.where(tf.math.is_nan(threshold), threshold, last)

    def short_directions(self, theta, tolerance):
        size = np.abs(np.asarray(self.point(theta)))
        rows = np.eye(self.dimension)[size <= tolerance]
        return rows if len(rows) >= self.s else rows[:0]


class RotatedWedges(Wedges):
    """L(P) = L_axis(R P), R a random rotation: the wedges know nothing of the coordinate axes.

    Args:
      dimension, n: as for `Wedges`.
      seed: of the rotation (a `random_cut` of all D dimensions).
    """

    def __init__(self, dimension, n, *, seed, dtype="float32"):
        super().__init__(dimension, n, dtype)
        self.axis = AxisWedges(dimension, n, dtype)
        origin = np.zeros(dimension, self.dtype.as_numpy_dtype)
        self.rotation = random_cut(origin, dimension, seed=seed)

    def __call__(self, theta):
        return self.axis(self.rotation.directions.lower(self.point(theta)))

    def short_directions(self, theta, tolerance):
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

    def __init__(self, dimension, n, k, *, seed, dtype="float32"):
        super().__init__(dimension, n, dtype)
        _check_whole("k", k, 1, None)
        self.k = int(k)
        rng, shape = generator(seed), (self.dimension, self.s)
        normals = [np.linalg.qr(rng.standard_normal(shape))[0].T for _ in range(self.k)]
        self.normals = tf.constant(np.array(normals), self.dtype)  # [K, s, D]

    def components(self, theta):
        """N_k P for every wedge. theta [..., D] -> [..., K, s]."""
        theta = self.point(theta)
        rows = tf.reshape(self.normals, [-1, self.dimension])  # [K s, D]
        flat = tf.reshape(theta, [-1, self.dimension])  # [B, D]
        out = tf.matmul(flat, rows, transpose_b=True)  # [B, K s]
        return tf.reshape(out, tf.concat([tf.shape(theta)[:-1], [self.k, self.s]], axis=0))

    def distances(self, theta):
        """The distance to each wedge. theta [..., D] -> [..., K]."""
        return _root(tf.reduce_sum(self.components(theta) ** 2, axis=-1))

    def __call__(self, theta):
        squares = tf.reduce_sum(self.components(theta) ** 2, axis=-1)  # [..., K]
        # argmin and gather, not reduce_min: its gradient would be split between ties.
        nearest = tf.argmin(tf.stop_gradient(squares), axis=-1)
        return _root(tf.gather(squares, nearest, batch_dims=squares.shape.rank - 1))

    def short_directions(self, theta, tolerance):
        near = np.asarray(self.distances(theta)) <= tolerance  # [K]
        rows = np.asarray(self.normals, np.float64)[near].reshape(-1, self.dimension)  # [m s, D]
        if not len(rows):
            return rows
        _, length, directions = np.linalg.svd(rows, full_matrices=False)
        return directions[length > 1e-6 * length[0]]


def _weights(theta, threshold, last):
    """Weights [..., D] of the components in the loss: 1, 0, or a share among ties; and a unit [..., 1],
    the threshold or 1, in which no square over- or underflows."""
    size = tf.abs(theta)
    tied = size == threshold
    # Counted in whole numbers: a float32 sum of ones stops at 2^24.
    ties = tf.reduce_sum(tf.cast(tied, tf.int32), axis=-1, keepdims=True)
    share = last / tf.cast(tf.maximum(ties, 1), theta.dtype)
    one, zero = tf.ones_like(theta), tf.zeros_like(theta)
    weights = tf.where(size < threshold, one, tf.where(tied, share, zero))
    # NaN is below nothing and ties with nothing, and must not look like a loss of 0.
    weights = tf.where(tf.math.is_nan(last), last, weights)
    return weights, tf.where(threshold == 0, tf.ones_like(threshold), threshold)


# As one XLA program these are two passes over memory; op by op they would be ten.
@tf.function(jit_compile=True, autograph=False)
def _value_and_gradient(theta, threshold, last):
    weights, unit = _weights(theta, threshold, last)
    scaled = theta / unit
    length = tf.sqrt(_sum(tf.where(weights > 0, weights * scaled**2, weights)))[..., None]
    gradient = tf.where(weights > 0, weights * scaled, weights) / tf.where(length == 0, 1.0, length)
    return (unit * length)[..., 0], gradient


def _sum(x):
    """x [..., D] -> [...], in blocks.

    XLA adds one number after another, and joins sums of sums into one: 4e-6 off in float32 at
    D = 10^6. It leaves sums of blocks by matvec alone: 1e-7.
    """
    width = math.isqrt(x.shape[-1])
    x = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, -x.shape[-1] % width]])
    blocks = tf.reshape(x, tf.concat([tf.shape(x)[:-1], [x.shape[-1] // width, width]], 0))
    return tf.reduce_sum(tf.linalg.matvec(blocks, tf.ones([width], x.dtype)), axis=-1)


def _root(squares):
    """sqrt with derivative 0, not infinity, at 0."""
    positive = tf.stop_gradient(squares) != 0  # NaN counts, and stays NaN
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1)), 0)


def _check_whole(name, value, low, high):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        upto = f" to {high}" if high is not None else " on"
        raise ValueError(f"{name} must be a whole number from {low}{upto}; received {value!r}.")
