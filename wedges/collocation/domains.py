"""Where an equation is to hold: the unit cube and the unit ball, of any dimension."""

from __future__ import annotations

import abc
import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np
import scipy.special
import tensorflow as tf

from wedges import _checks
from wedges.collocation.fields import Field
from wedges.collocation.points import Quadrature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_MOST = 2**22  # points of a quadrature


@dataclasses.dataclass(frozen=True)
class Domain(abc.ABC):
    """A domain in R^d: what is inside, points in it, and a function that vanishes on its boundary.

    Attributes:
      dimension: d.
    """

    dimension: int

    def __post_init__(self) -> None:
        _checks.whole("dimension", self.dimension)

    @abc.abstractmethod
    def contains(self, x: ArrayLike) -> np.ndarray:
        """Which points are inside or on the boundary. [N, d] -> [N]."""

    @abc.abstractmethod
    def factor(self, x: tf.Tensor) -> Field:
        """B(x), above 0 inside and 0 on the boundary, with its derivatives. x [N, d]."""

    @abc.abstractmethod
    def draw(self, n: int, seed: int, step: int | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """n points [n, d], independent and uniform, a function of (n, seed, step) alone."""

    @abc.abstractmethod
    def quadrature(self, n: int) -> Quadrature:
        """Points and weights whose sum is the mean over the domain, n points along each axis.

        Exact for polynomials of degree 2 n - 1.

        Raises:
          ValueError: more points than can be held, or a ball of more than three dimensions.
        """

    def uniform(self, n: int, *, seed: int) -> np.ndarray:
        """n points [n, d] in float64, independent and uniform."""
        n, seed = _checks.whole("n", n), _checks.whole("seed", seed, 0)
        return self._uniform(np.random.default_rng(seed), n)

    @abc.abstractmethod
    def _uniform(self, rng, n): ...

    @abc.abstractmethod
    def boundary(self, n: int, *, seed: int) -> np.ndarray:
        """n points [n, d] on the boundary, independent and uniform."""


@dataclasses.dataclass(frozen=True)
class Cube(Domain):
    """[0, 1]^d. Its factor is prod_i x_i (1 - x_i); its quadrature Gauss and Legendre's on each axis.

    >>> x, weights = wedges.collocation.Cube(2).quadrature(3)
    >>> x.shape, round(float(weights @ (x[:, 0] ** 5)), 12)  # the mean of x^5 is 1/6
    ((9, 2), 0.166666666667)
    """

    def contains(self, x: ArrayLike) -> np.ndarray:
        x, near = _with_rounding(x)
        return np.all((x >= -near) & (x <= 1 + near), axis=-1)

    def factor(self, x: tf.Tensor) -> Field:
        b = x * (1 - x)
        before = tf.math.cumprod(b, axis=-1, exclusive=True)
        others = before * tf.math.cumprod(b, axis=-1, exclusive=True, reverse=True)  # without x_i
        laplacian = -2 * tf.reduce_sum(others, axis=-1)
        return Field(before[..., -1] * b[..., -1], (1 - 2 * x) * others, laplacian)

    def draw(self, n: int, seed: int, step: int | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return tf.random.stateless_uniform([n, self.dimension], _key(seed, step), dtype=dtype)

    def quadrature(self, n: int) -> Quadrature:
        n = _checks.whole("n", n)
        _few(n**self.dimension, self)
        nodes, weights = np.polynomial.legendre.leggauss(n)
        x = np.array(list(itertools.product((nodes + 1) / 2, repeat=self.dimension)))
        w = np.array(list(itertools.product(weights / 2, repeat=self.dimension))).prod(axis=1)
        return Quadrature(x, w)

    def _uniform(self, rng, n):
        return rng.random((n, self.dimension))

    def boundary(self, n: int, *, seed: int) -> np.ndarray:
        n, rng = _checks.whole("n", n), np.random.default_rng(_checks.whole("seed", seed, 0))
        x = self._uniform(rng, n)
        x[np.arange(n), rng.integers(self.dimension, size=n)] = rng.integers(2, size=n)
        return x


@dataclasses.dataclass(frozen=True)
class Ball(Domain):
    """|x| <= 1 in R^d. Its factor is 1 - |x|^2.

    The quadrature is Gauss and Jacobi's along the radius times equal angles, in three dimensions times
    Gauss and Legendre's of the height.

    >>> x, weights = wedges.collocation.Ball(3).quadrature(2)
    >>> x.shape, round(float(weights @ (x**2).sum(axis=1)), 12)  # the mean of |x|^2 is 3/5
    ((16, 3), 0.6)
    """

    def contains(self, x: ArrayLike) -> np.ndarray:
        x, near = _with_rounding(x)
        return (x * x).sum(axis=-1) <= 1 + self.dimension * near

    def factor(self, x: tf.Tensor) -> Field:
        value = 1 - tf.reduce_sum(x * x, axis=-1)
        return Field(value, -2 * x, tf.fill(tf.shape(value), tf.cast(-2 * self.dimension, x.dtype)))

    def draw(self, n: int, seed: int, step: int | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        v = tf.random.stateless_normal([n, self.dimension], _key(seed, step), dtype=dtype)
        radius = tf.random.stateless_uniform([n, 1], _key(seed + 1, -1 - step), dtype=dtype)
        return v * radius ** (1 / self.dimension) / tf.norm(v, axis=-1, keepdims=True)

    def quadrature(self, n: int) -> Quadrature:
        n, d = _checks.whole("n", n), self.dimension
        if d > 3:
            raise ValueError(
                f"dimension must be at most 3 for a ball's quadrature; received {d}. Take its "
                "uniform(n, seed=0)."
            )
        _few(2 * n**d, self)
        # The mean over the radius has the weight d r^(d - 1).
        nodes, weights = scipy.special.roots_jacobi(n, 0, d - 1)
        r, w = (nodes + 1) / 2, weights / weights.sum()
        if d == 1:
            sides = np.array([[-1.0], [1.0]])
        else:
            angle = 2 * np.pi * (np.arange(2 * n) + 0.5) / (2 * n)
            sides = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # [2 n, 2]
        share = np.full(len(sides), 1 / len(sides))
        if d == 3:
            z, weights = np.polynomial.legendre.leggauss(n)
            flat = np.sqrt(1 - z * z)[:, None, None] * sides  # [n, 2 n, 2]
            high = np.broadcast_to(z[:, None, None], (*flat.shape[:2], 1))
            sides = np.concatenate([flat, high], axis=2).reshape(-1, 3)
            share = (weights[:, None] / 2 * share).ravel()
        x = (r[:, None, None] * sides).reshape(-1, d)
        return Quadrature(x, (w[:, None] * share).ravel())

    def _uniform(self, rng, n):
        radius = rng.random((n, 1)) ** (1 / self.dimension)
        return radius * _on_sphere(rng, n, self.dimension)

    def boundary(self, n: int, *, seed: int) -> np.ndarray:
        n, rng = _checks.whole("n", n), np.random.default_rng(_checks.whole("seed", seed, 0))
        return _on_sphere(rng, n, self.dimension)


def _with_rounding(x):
    """Points as floating numbers, and how far rounding may have moved one from the boundary."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    return x, 8 * np.finfo(x.dtype).eps


def _on_sphere(rng, n, d):
    v = rng.standard_normal((n, d))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def _key(seed, step):
    return tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])


def _few(count, domain):
    if count > _MOST:
        raise ValueError(
            f"n must leave at most {_MOST:,} points in all; received {count:,} in {domain}. "
            "Take its uniform(n, seed=0)."
        )
