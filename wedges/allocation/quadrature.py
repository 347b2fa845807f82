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
# The shortest interval between points of a segment is this part of it: 31 gradients besides those at its
# ends, at most.
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
    at: Callable[[tf.Tensor], End],
    rule: str,
    tolerance: float,
) -> Segment:
    """The segment between two ends, by one of `RULES`.

    "adaptive" takes the trapezoid where it misses the loss change by no more than the tolerance, or
    than rounding explains; else Simpson's rule, by the same measure; else it looks at each half, whose
    loss change is known by then, with half the tolerance.

    Args:
      start, end: different points.
      at: loss and gradient at a point theta [D].
      rule: one of `RULES`.
      tolerance: in units of the loss.
    """
    if rule == "left":
        return Segment(start, end, [(1.0, start.gradient)], 1)
    if rule == "trapezoid":
        return Segment(start, end, [(0.5, start.gradient), (0.5, end.gradient)], 1)
    if rule == "simpson":
        middle = at(_between(start, end, 0.5)).gradient
        ends = [(1 / 6, start.gradient), (1 / 6, end.gradient)]
        return Segment(start, end, [*ends, (2 / 3, middle)], 2)
    return _adaptive(start, end, at, tolerance)


class _Point(NamedTuple):
    """A point of a segment."""

    t: float  # where, from 0 to 1
    loss: float
    slope: float  # of the loss by t
    gradient: np.ndarray  # [D]


def _adaptive(start, end, at, tolerance):
    def point(t, found):
        alone = Segment(start, end, [(1.0, found.gradient)], 1)
        return _Point(t, found.loss, alone.total, found.gradient)

    rounding = _ROUNDINGS * np.finfo(end.gradient.dtype).eps * max(abs(start.loss), abs(end.loss))
    weights = {0.0: 0.0, 1.0: 0.0}
    inner, intervals = None, 1  # the weighted sum of all gradients but those at the ends
    pieces = [(point(0.0, start), point(1.0, end))]  # what is left, the first piece last
    while pieces:
        a, b = pieces.pop()
        h, gain = b.t - a.t, b.loss - a.loss
        missed = lambda mean, h=h, gain=gain: abs(gain - h * mean) > max(tolerance * h, rounding)
        parts = [(a, h / 2), (b, h / 2)]
        if missed((a.slope + b.slope) / 2):
            t = a.t + h / 2
            middle, intervals = point(t, at(_between(start, end, t))), intervals + 1
            parts = [(a, h / 6), (middle, 2 * h / 3), (b, h / 6)]
            if missed((a.slope + 4 * middle.slope + b.slope) / 6) and h * _MOST > 2:
                pieces += [(middle, b), (a, middle)]
                continue
        for each, weight in parts:
            if each.t in weights:
                weights[each.t] += weight
            else:
                inner = weight * each.gradient + (0 if inner is None else inner)
    mean = [(weights[0.0], start.gradient), (weights[1.0], end.gradient)]
    return Segment(start, end, mean + ([] if inner is None else [(1.0, inner)]), intervals)


def _between(start, end, t):
    return start.theta + t * (end.theta - start.theta)


def slices(size: int) -> Iterator[slice]:
    """Parts of a vector of so many numbers, small ones."""
    for first in range(0, size, _CHUNK):
        yield slice(first, min(first + _CHUNK, size))


def finite(vector: np.ndarray) -> bool:
    """Whether all numbers of a vector are."""
    return all(np.isfinite(vector[at]).all() for at in slices(len(vector)))
