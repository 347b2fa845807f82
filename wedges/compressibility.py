"""How few numbers a vector could be: the ratio of its L1 and L2 norms, and what follows from it.

    C(w) = |w|_1 / |w|_2 = s / r,    1 <= C(w) <= sqrt(k),    k components other than 0

    ratio                C
    certificate          how many components other than 0 there are at least: k >= C^2
    critical_magnitude   r^2 / s: C pushes smaller magnitudes down and larger ones up
    ternarity            the share of the components other than 0 that lie near it
    NormRatio            C as a landscape

Where C is stationary every component is 0 or of magnitude r^2 / s, so that w is ternary, and there
C = sqrt(k). With k > 1 these points are saddles: on the k components the Hessian has the eigenvalue
-1 / (a^2 sqrt(k)) k - 1 times, a = r^2 / s, and 0 along w; off them C has a kink of slope
1 / (a sqrt(k)). The only minima have one component, C = 1.

Source: Aytekin, Cricri & Aksu 2019 (arXiv:1904.12638; its abstract speaks of a loss whose critical
points are ternary and have the value sqrt(k)); Yang, Wen & Li 2020 (arXiv:1908.09979), the same ratio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges.landscape import Landscape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_ROUNDING = 1e-12  # of C^2 in float64, relative; far above what sums of many terms lose


def ratio(w: ArrayLike) -> float:
    """C(w) = |w|_1 / |w|_2 of all components of an array, in float64.

    It does not depend on the scale of w, nor on signs and order.

    >>> wedges.compressibility.ratio([0.0, -2.0, 2.0, 2.0, 2.0])
    2.0

    Args:
      w: real numbers of any shape.

    Raises:
      ValueError: w without a component other than 0, where C is not defined; NaN or infinity.
    """
    sizes = _sizes(w)
    return float(sizes.sum() / np.sqrt(sizes @ sizes))


def certificate(w: ArrayLike) -> int:
    """How many components other than 0 w has at least, by its norms alone: the next whole number >= C^2.

    |w|_1 <= sqrt(k) |w|_2 (Cauchy and Schwarz), with equality where all k have one magnitude. The
    converse does not hold: a vector may have more than C^2.

    >>> wedges.compressibility.certificate([3.0, -3.0, 0.0, 1.0])  # C^2 = 49 / 19
    3

    Raises:
      ValueError: as for `ratio`.
    """
    return math.ceil(ratio(w) ** 2 * (1 - _ROUNDING))


def critical_magnitude(w: ArrayLike) -> float:
    """r^2 / s = |w|_2^2 / |w|_1, the magnitude that C neither shrinks nor grows.

        dC / dw_i = sign(w_i) (1 - |w_i| s / r^2) / r    where w_i is not 0

    >>> wedges.compressibility.critical_magnitude([2.0, -2.0, 0.0])
    2.0

    Raises:
      ValueError: as for `ratio`.
    """
    sizes = _sizes(w)
    return float(np.abs(np.asarray(w, np.float64)).max() * ((sizes @ sizes) / sizes.sum()))


def ternarity(w: ArrayLike, low: float = 0.5, high: float = 1.5) -> float:
    """The share of the components other than 0 with a magnitude in [low, high] r^2 / s.

    1 for a ternary vector; for a Gaussian one with the limits by default 0.47.

    >>> wedges.compressibility.ternarity([3.0, 1.0, 0.0])
    0.5

    Args:
      w: real numbers of any shape.
      low, high: limits, in units of the `critical_magnitude`, 0 < low < high.

    Raises:
      ValueError: as for `ratio`; limits that do not rise from above 0.
    """
    _checks.positive("low", low)
    _checks.positive("high", high)
    if low >= high:
        raise ValueError(f"low must be below high = {high}; received {low}.")
    sizes = _sizes(w)
    sizes = sizes[sizes > 0] * (sizes.sum() / (sizes @ sizes))  # in units of r^2 / s
    return float(np.mean((low <= sizes) & (sizes <= high)))


def _sizes(w):
    """|w| over its largest, flat and in float64: squares of these can be neither 0 nor infinite."""
    try:
        array = np.asarray(w)
        _checks.floating(array.dtype)
    except (TypeError, ValueError):
        raise ValueError(f"w must be real numbers; received {_checks.called(w)}.") from None
    _checks.finite("w", array)
    sizes = np.abs(array.astype(np.float64)).ravel()
    if not sizes.any():
        raise ValueError(
            f"w must have a component other than 0, or C is not defined; received zeros {array.shape}."
        )
    return sizes / sizes.max()


class NormRatio(Landscape):
    """C(theta) = |theta|_1 / |theta|_2 as a landscape; NaN at 0.

    Where a component is 0 it has a kink, and derivatives are those with the component held at 0.

    >>> C = wedges.compressibility.NormRatio(3)
    >>> round(float(C([1.0, -1.0, 0.0]) ** 2), 3)
    2.0

    Args:
      dimension: D.
      dtype: of theta and of C, a floating one.

    Raises:
      ValueError: no dimension, or another dtype.
    """

    def __init__(self, dimension: int, dtype: DTypeLike = "float64") -> None:
        self.dimension = _checks.whole("dimension", dimension)
        try:
            self.dtype = tf.as_dtype(dtype)
        except TypeError:
            self.dtype = tf.string  # which is none, either
        if not self.dtype.is_floating:
            raise ValueError(f"dtype must be a floating one; received {dtype!r}.")

    def __call__(self, theta: ArrayLike) -> tf.Tensor:
        theta = self.point(theta)  # [..., D]
        # C is the same of theta in any unit, so its derivatives with the unit held are the derivatives.
        unit = tf.stop_gradient(tf.reduce_max(tf.abs(theta), axis=-1, keepdims=True))
        u = theta / unit
        return tf.reduce_sum(tf.abs(u), axis=-1) / tf.sqrt(tf.reduce_sum(u * u, axis=-1))
