"""-Laplace u = f: the residuals whose mean is minimised, and problems whose solution is known."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges.collocation.domains import Ball, Cube, Domain
from wedges.collocation.fields import Field, Function, values_at


@dataclasses.dataclass(frozen=True)
class _Residual(abc.ABC):
    """What is averaged over the domain, a number for each point.

    Attributes:
      source: f, of points x [N, d] -> [N], in TensorFlow or NumPy.
      second: whether it needs the Laplacian of u.
    """

    source: Function
    second: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not callable(self.source):
            raise ValueError(
                f"source must be a function of points x [N, d]; received {_checks.called(self.source)}."
            )

    @abc.abstractmethod
    def __call__(self, x: tf.Tensor, u: Field) -> tf.Tensor:
        """x [N, d], u a `Field` at these points -> [..., N]."""


@dataclasses.dataclass(frozen=True)
class Ritz(_Residual):
    """|grad u|^2 / 2 - f u, whose integral the solution of -Laplace u = f minimises (deep Ritz).

    Attributes:
      source: f, of points x [N, d] -> [N].
    """

    second: ClassVar[bool] = False

    def __call__(self, x: tf.Tensor, u: Field) -> tf.Tensor:
        steep = tf.reduce_sum(u.gradient * u.gradient, axis=-1)
        return 0.5 * steep - values_at("source", self.source, x) * u.value


@dataclasses.dataclass(frozen=True)
class Galerkin(_Residual):
    """(-Laplace u - f)^2, which the solution of -Laplace u = f makes 0 at every point (deep Galerkin).

    Attributes:
      source: f, of points x [N, d] -> [N].
    """

    def __call__(self, x: tf.Tensor, u: Field) -> tf.Tensor:
        assert u.laplacian is not None
        return (u.laplacian + values_at("source", self.source, x)) ** 2


@dataclasses.dataclass(frozen=True)
class Poisson:
    """-Laplace u = f in a domain, u = 0 on its boundary, with the solution.

    Attributes:
      domain: a `Domain`.
      source, solution: f and u, of points x [N, d] -> [N].
      energy: the mean over the domain of |grad u|^2 / 2 - f u at the solution, the least there is:
        -1/2 of the mean of |grad u|^2.
    """

    domain: Domain
    source: Function
    solution: Function
    energy: float


def on_cube(dimension: int) -> Poisson:
    """u = prod_i sin(pi x_i) on [0, 1]^d; f = d pi^2 u, and the least energy -d pi^2 / 2^(d + 1).

    >>> wedges.collocation.on_cube(1).energy
    -2.4674011002723395
    """
    dimension = _checks.whole("dimension", dimension)
    energy = -dimension * math.pi**2 / 2 ** (dimension + 1)
    return Poisson(Cube(dimension), _SineSource(dimension), _sines, energy)


def on_ball(dimension: int) -> Poisson:
    """u = sin(pi (1 - |x|) / 2) on the unit ball, which is cos(pi |x| / 2) and smooth.

    f = pi^2 / 4 cos(pi r / 2) + pi (d - 1) / (2 r) sin(pi r / 2), which is d pi^2 / 4 at r = 0. In three
    dimensions the least energy is -(3 pi^2 / 8) (1/6 + 1/pi^2).

    >>> round(wedges.collocation.on_ball(3).energy, 5)
    -0.99185
    """
    dimension = _checks.whole("dimension", dimension)
    # -1/2 of the mean of (pi / 2)^2 sin^2(pi r / 2), by 64 points along the radius.
    nodes, weights = np.polynomial.legendre.leggauss(64)
    r = (nodes + 1) / 2
    mean = (weights / 2) @ (dimension * r ** (dimension - 1) * np.sin(np.pi * r / 2) ** 2)
    return Poisson(Ball(dimension), _BallSource(dimension), _cosine, float(-(np.pi**2) / 8 * mean))


def _sines(x):
    return tf.reduce_prod(tf.sin(math.pi * x), axis=-1)


def _cosine(x):
    return tf.cos(math.pi / 2 * tf.norm(x, axis=-1))


@dataclasses.dataclass(frozen=True)
class _SineSource:
    dimension: int

    def __call__(self, x):
        return self.dimension * math.pi**2 * _sines(tf.convert_to_tensor(x))


@dataclasses.dataclass(frozen=True)
class _BallSource:
    dimension: int

    def __call__(self, x):
        z = math.pi / 2 * tf.norm(tf.convert_to_tensor(x), axis=-1)
        ratio = tf.where(z > 0, tf.sin(z) / tf.where(z > 0, z, 1), 1)  # sin(z) / z
        return math.pi**2 / 4 * (tf.cos(z) + (self.dimension - 1) * ratio)
