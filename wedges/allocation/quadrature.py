"""The mean gradient over a straight segment of a path, and with it what each parameter gets.

By the trapezoid's or Simpson's rule the mean is a weighted sum of gradients, some of them sums of
gradients. It is never formed as a whole in float64, but some parameters at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

RULES = ("adaptive", "trapezoid", "simpson", "left")
# Intervals between neighbouring points of a segment, at most: 31 gradients besides those at its ends.
_MOST = 32
# Parameters that are looked at together: what is made of them in float64 stays in the cache.
_CHUNK = 1 << 15
# How far a loss, a sum over many examples, may be off, in units of its dtype's rounding.
_ROUNDINGS = 8


class NotFinite(ValueError):
    """The path, the loss on it or its gradient is NaN or infinite; what was allocated before stays."""


class End(NamedTuple):
    """An end of a segment."""

    theta: tf.Tensor  # [D]; a tensor, since landscapes would make another one of an array
    loss: float
    gradient: np.ndarray  # [D]


class Segment(NamedTuple):
    """A straight segment and the mean gradient over it."""

    start: End
    end: End
    mean: list[tuple[float, np.ndarray]]  # a weighted sum of vectors [D]; of none where nothing moves
    intervals: int  # between the points at which there are gradients; 0 where nothing moves

    @property
    def gain(self) -> float:
        """The loss change."""
        return self.end.loss - self.start.loss

    @property
    def total(self) -> float:
        """sum_i A_i."""
        return float(sum(amounts.sum() for _, amounts in self.parts()))

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """A_i in float64, of some parameters after others."""
        start, end = np.asarray(self.start.theta), np.asarray(self.end.theta)
        for at in slices(len(end)):
            step = end[at].astype(np.float64) - start[at]
            gradient = np.zeros(len(step))
            for weight, vector in self.mean:
                gradient += weight * vector[at].astype(np.float64)
            yield at, step * gradient


def segment(
    start: End,
    end: End,
    gradient: Callable[[tf.Tensor], np.ndarray],
    rule: str,
    tolerance: float,
) -> Segment:
    """The segment between two ends, by one of `RULES`.

    "adaptive" is done once sum_i A_i misses the loss change by no more than the tolerance, or than
    rounding explains.

    Args:
      start, end: different points.
      gradient: of the loss at a point theta [D].
      rule: one of `RULES`.
      tolerance: in units of the loss.
    """
    if rule == "left":
        return Segment(start, end, [(1.0, start.gradient)], 1)
    ends = [start.gradient, end.gradient]
    found = Segment(start, end, [(0.5, g) for g in ends], 1)
    if rule == "trapezoid":
        return found
    rounding = np.finfo(end.gradient.dtype).eps * max(abs(start.loss), abs(end.loss))
    enough = 0.0 if rule == "simpson" else max(tolerance, _ROUNDINGS * rounding)
    inner, n = None, 1  # the sum of the gradients between n intervals
    while rule == "simpson" or abs(found.gain - found.total) > enough:
        new = _middles(start.theta, end.theta, n, gradient)
        # (4 T_2n - T_n) / 3 of the trapezoid's means T on n and 2 n intervals: Simpson's rule on 2 n.
        mean = [*((1 / (6 * n), g) for g in ends), (2 / (3 * n), new)]
        mean += [] if inner is None else [(1 / (3 * n), inner)]
        found = Segment(start, end, mean, 2 * n)
        if rule == "simpson" or 2 * n == _MOST:
            break
        inner, n = new if inner is None else inner + new, 2 * n
    return found


def _middles(a, b, n, gradient):
    """The sum of the gradients in the middles of n intervals from a to b."""
    found = None
    for k in range(n):
        new = gradient(a + (2 * k + 1) / (2 * n) * (b - a))
        found = new if found is None else found + new
    return found


def slices(size: int) -> Iterator[slice]:
    """Parts of a vector of so many numbers, small ones."""
    for first in range(0, size, _CHUNK):
        yield slice(first, min(first + _CHUNK, size))


def finite(vector: np.ndarray) -> bool:
    """Whether all numbers of a vector are."""
    return all(np.isfinite(vector[at]).all() for at in slices(len(vector)))
