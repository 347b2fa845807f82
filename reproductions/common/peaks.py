"""Peaks of several series along one time, and whether they coincide more often than by chance.

A peak of learning is where a layer's allocation is lowest: a local minimum below 0. Chance is what is
left when each series is shifted in time by a number of its own, round the end to the beginning: a shift
keeps a series as it is, and takes away only what it has in common with the others. It takes away a
common trend, too, say that every layer learns most at first. Shifts by a few steps keep the trend, and
so does a control in `common.allocating`.

Source: Lan et al. 2019, arXiv:1909.01440 (peaks that coincide); the test is ours.
"""

import typing

import numpy as np


class Synchrony(typing.NamedTuple):
    """How many pairs of peaks coincide, and how many after each of the shifts."""

    count: int
    shifted: np.ndarray  # [shifts]

    @property
    def above(self):
        """The share of the shifts with fewer coincidences."""
        return (self.shifted < self.count).mean()


def peaks(series, count):
    """Whether a series [T] peaks, [T]: its `count` lowest local minima below 0, fewer where there are
    fewer. The ends are none; of equal neighbours the first is one."""
    inner = series[1:-1]
    low = (inner < series[:-2]) & (inner <= series[2:]) & (inner < 0)
    (places,) = np.nonzero(low)
    deepest = places[np.argsort(inner[places], kind="stable")[:count]]
    found = np.zeros(len(series), bool)
    found[deepest + 1] = True
    return found


def coincidences(marks):
    """How many pairs of series peak at one time, over all times. marks [..., series, T] -> [...].

    Pairs are counted and not times, of which there would be fewer where many series peak all together.
    """
    at_once = marks.sum(axis=-2)
    return (at_once * (at_once - 1) // 2).sum(axis=-1)


def synchrony(layers, count, shifts, *, seed, reach=None):
    """The `Synchrony` of the `count` peaks of each of layers [T, series], over circular shifts.

    reach: how many steps a shift takes at most, to either side; None is any number of steps.
    """
    marks = np.stack([peaks(series, count) for series in layers.T])  # [series, T]
    kinds, times = marks.shape
    low, high = (0, times) if reach is None else (-reach, reach + 1)
    offsets = np.random.default_rng(seed).integers(low, high, size=(shifts, kinds, 1))
    at = (np.arange(times) - offsets) % times  # [shifts, series, T]
    shifted = np.take_along_axis(np.broadcast_to(marks, (shifts, kinds, times)), at, axis=-1)
    return Synchrony(int(coincidences(marks)), coincidences(shifted))
