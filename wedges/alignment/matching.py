"""The permutations of groups of units under which the weights of b are nearest to those of a.

    |a - P b|^2 = |a|^2 + |b|^2 - 2 sum over weights of <A, P B>

The last sum is linear in the permutation of one group while the others stand still, unless a weight has
the group on two axes: a linear assignment, solved exactly. Groups are visited in a random order until
none of them moves any more (Ainsworth et al. 2022, arXiv:2209.04836, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from wedges._progress import bar
from wedges.alignment.units import Places

_ROUNDING = 1e-12  # of a sum of products in float64, relative

Orders = list[np.ndarray]  # of each group: unit i is what was unit order[i]
Axes = tuple[tuple[Places, ...], ...]


class Block(NamedTuple):
    """One weight, or a part of it, of both networks."""

    a: np.ndarray
    b: np.ndarray
    axes: Axes  # of each axis the groups that stand there


class Match(NamedTuple):
    """What a search found."""

    orders: Orders
    distances: np.ndarray  # squared, of the blocks: at the start of the descent, after each sweep


def index(places: Sequence[Places], orders: Orders, size: int) -> np.ndarray:
    """From which position of an axis each position gets what stands there, [size]."""
    found = np.arange(size)
    for group, at in places:
        found[at] = at[orders[group]]
    return found


def permuted(array: np.ndarray, axes: Axes, orders: Orders, but: int | None = None) -> np.ndarray:
    """The array with the units of all axes in another order; those of axis `but` stay."""
    for k, places in enumerate(axes):
        if places and k != but:
            array = np.take(array, index(places, orders, array.shape[k]), axis=k)
    return array


class _Use(NamedTuple):
    """An axis of a block on which a group stands."""

    block: Block
    axis: int
    at: np.ndarray  # its positions there
    others: set[int]  # the groups on the other axes


class Matching:
    """The search for the best orders of groups.

    Args:
      blocks: all weights that have units, in an order in which inputs come first.
      sizes: how many units are in each group.
    """

    def __init__(self, blocks: Sequence[Block], sizes: Sequence[int]) -> None:
        self._blocks, self._sizes = blocks, list(sizes)
        self._uses: list[list[_Use]] = [[] for _ in sizes]
        for block in blocks:
            for k, places in enumerate(block.axes):
                others = {p.group for i, more in enumerate(block.axes) if i != k for p in more}
                for group, at in places:
                    self._uses[group].append(_Use(block, k, at, others))

    def best(self, *, seed: int | list[int], starts: int, sweeps: int) -> Match:
        """The nearest of several descents; never farther than without any permutation.

        Args:
          seed: of the order in which groups are visited.
          starts: how many descents. The first begins where each group has been matched by what is known
            before it, from the inputs on; the second with no permutation; all others with random ones.
          sweeps: visits of all groups in one descent, at most.
        """
        rng = np.random.default_rng(seed)
        still = [np.arange(n) for n in self._sizes]
        found = Match(still, np.array([self.distance(still)]))
        for i in range(starts):
            begin = [self._from_the_inputs, lambda: list(still)][i] if i < 2 else None
            start = [rng.permutation(n) for n in self._sizes] if begin is None else begin()
            match = self._descent(start, rng, sweeps, f"align, start {i + 1} of {starts}")
            if match.distances[-1] < found.distances[-1]:
                found = match
        return found

    def distance(self, orders: Orders) -> float:
        """sum |A - P B|^2 over all blocks, in float64."""
        total = 0.0
        for block in self._blocks:
            moved = permuted(block.b, block.axes, orders)
            apart = np.subtract(block.a, moved, dtype=np.float64).ravel()
            total += float(apart @ apart)
        return total

    def _descent(self, orders, rng, sweeps, name):
        distances = [self.distance(orders)]
        for _ in range(sweeps):
            visits = rng.permutation(len(self._sizes))
            moved = [self._move(int(g), orders) for g in bar(iterable=visits, desc=name, unit="group")]
            distances.append(self.distance(orders))
            if not any(moved):
                break
        return Match(orders, np.array(distances))

    def _move(self, group, orders):
        """Whether the best order of one group, the others as they are, is better than its own."""
        gain = self._gain(group, orders)
        _, new = linear_sum_assignment(gain, maximize=True)
        rows, old = np.arange(len(new)), orders[group]
        rounding = _ROUNDING * np.abs(gain[rows, new]).sum()
        uses = self._uses[group]
        if any(group in use.others for use in uses):  # the sum is quadratic in the order of the group
            changed = [new if g == group else order for g, order in enumerate(orders)]
            blocks = list({id(use.block): use.block for use in uses}.values())
            better = _products(blocks, changed) - _products(blocks, orders) > rounding
        else:
            better = gain[rows, new].sum() - gain[rows, old].sum() > rounding
        if better:
            orders[group] = new
        return better

    def _from_the_inputs(self):
        """Each group matched by the weights between it and fixed units or groups matched before."""
        orders, left, known = [np.arange(n) for n in self._sizes], list(range(len(self._sizes))), set()
        while left:
            ready = (g for g in left if any(use.others <= known for use in self._uses[g]))
            group = next(ready, left[0])
            gain = self._gain(group, orders, known)
            orders[group] = linear_sum_assignment(gain, maximize=True)[1]
            left.remove(group)
            known.add(group)
        return orders

    def _gain(self, group, orders, known=None):
        """<A, P B> where unit i of a is matched with unit j of b, [units, units]; b's other axes moved.

        With `known` only of blocks whose other axes have no group but these.
        """
        total = np.zeros((self._sizes[group],) * 2)
        for block, k, at, others in self._uses[group]:
            if known is not None and not others <= known:
                continue
            a, b = block.a, permuted(block.b, block.axes, orders, but=k)
            a, b = (np.moveaxis(np.take(m, at, axis=k), (k, k + 1), (0, 1)) for m in (a, b))
            total += _rows(a) @ _rows(b).T
        return total


def _rows(array):
    return array.reshape(len(array), -1).astype(np.float64)


def _products(blocks, orders):
    """sum <A, P B>."""
    moved = ((block.a, permuted(block.b, block.axes, orders)) for block in blocks)
    return sum(np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in moved)
