"""Units, the positions of axes that they stand at, and which of them may change places.

A unit is a number, and an axis of a tensor or of a weight is an array of them, its labels: of the output
of a dense layer each unit once, of flattened images each channel as often as there are pixels. `None` in
place of labels says that an axis has no units, and its positions stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Labels = np.ndarray | None


class Places(NamedTuple):
    """Where the units of one group stand on one axis."""

    group: int
    at: np.ndarray  # [units of the group, how often each is there], positions


class Units:
    """What is known of units while a graph is walked.

    Two units may change places where every axis has them equally often, and neither is fixed. That this
    is enough follows from how axes are made: by putting others one after another, by repeating one, by
    naming two units as one. Each treats all units of an axis alike, so that the k-th position of a unit
    goes with the k-th position of another.
    """

    def __init__(self) -> None:
        self._count = 0
        self._same: list[tuple[np.ndarray, np.ndarray]] = []
        self._fixed: list[np.ndarray] = []
        self._axes: dict[int, np.ndarray] = {}  # by identity: most layers hand on what they got

    def new(self, count: int) -> np.ndarray:
        """The labels of an axis of new units."""
        labels = np.arange(self._count, self._count + count)
        self._count += count
        return self.axis(labels)

    def axis(self, labels: np.ndarray) -> np.ndarray:
        """The labels, now known to be an axis: units that it has unequally often stay apart."""
        self._axes.setdefault(id(labels), labels)
        return labels

    def fix(self, labels: Labels) -> None:
        """Have units stay where they are."""
        if labels is not None:
            self._fixed.append(np.ravel(labels))

    def same(self, one: Labels, other: Labels) -> None:
        """Have the units at each position be one and the same; those beside no unit stay."""
        if one is None or other is None:
            self.fix(one)
            self.fix(other)
        elif one is not other:
            one, other = np.broadcast_arrays(one, other)
            self._same.append((one.ravel(), other.ravel()))

    def reshaped(
        self, labels: Sequence[Labels], shape: Sequence[int], new: Sequence[int]
    ) -> tuple[Labels, ...]:
        """The labels of a tensor whose numbers stay in their order under a new shape.

        An axis of units becomes part of one of the new axes, each unit there as often as there are
        positions beside it; or it is cut into several, and the units that differ only in the others
        than the last of these have one name.
        """
        found: list[Labels] = [None] * len(new)
        known = [(i, one) for i, one in enumerate(labels) if one is not None]
        if len(known) != 1:  # of several each would be part of the same axis
            for _, one in known:
                self.fix(one)
            return tuple(found)
        ((k, own),) = known
        left, right = math.prod(shape[:k]), math.prod(shape[k + 1 :])
        sides = [(i, math.prod(new[:i]), math.prod(new[i + 1 :])) for i in reversed(range(len(new)))]
        for i, before, after in sides:
            if left % before == 0 and right % after == 0:
                several = left != before or right != after
                grown = np.tile(np.repeat(own, right // after), left // before) if several else own
                found[i] = self.axis(grown)
                return tuple(found)
        for i, before, after in sides:
            if new[i] > 1 and before % left == 0 and after % right == 0:
                grid = own.reshape(before // left, new[i], after // right)
                found[i] = self.axis(np.ascontiguousarray(grid[0, :, 0]))
                self.same(grid, grid[:1, :, :1])
                return tuple(found)
        self.fix(own)
        return tuple(found)

    def groups(self) -> Groups:
        """Which units may change places, by all that has been said."""
        ends = [np.concatenate(side) for side in zip(*self._same, strict=True)] or [np.zeros(0, int)] * 2
        graph = coo_array((np.ones(len(ends[0])), tuple(ends)), shape=(self._count, self._count))
        one = connected_components(graph, directed=False)[1] if self._count else np.zeros(0, int)
        kind, fresh = np.zeros(self._count, int), 1  # of what is one unit; equal kinds may change places
        for labels in self._axes.values():
            there, often = np.unique(one[labels], return_counts=True)
            pairs = np.stack([kind[there], often])
            kind[there] = fresh + np.unique(pairs, axis=1, return_inverse=True)[1].ravel()
            fresh += len(there)
        fixed = np.zeros(self._count, bool)
        for labels in self._fixed:
            fixed[one[labels]] = True
        names, first = np.unique(one, return_index=True)
        names = names[np.argsort(first)]  # in the order of the graph
        members: dict[int, list[int]] = {}
        for name in names[~fixed[names]]:
            members.setdefault(int(kind[name]), []).append(int(name))
        several = [group for group in members.values() if len(group) > 1]
        group_of, slot = np.full((2, self._count), -1)
        for g, group in enumerate(several):
            group_of[group], slot[group] = g, np.arange(len(group))
        return Groups([len(group) for group in several], group_of[one], slot[one])


class Groups(NamedTuple):
    """Units that may change places, in groups; those that may not are in none."""

    sizes: list[int]  # of each group
    group: np.ndarray  # of each unit; -1 for none
    slot: np.ndarray  # of each unit, its number in the group

    def places(self, labels: Labels) -> tuple[Places, ...]:
        """Where on an axis the groups stand that it has."""
        if labels is None:
            return ()
        group, found = self.group[labels], []
        for g in np.unique(group[group >= 0]):
            at = np.flatnonzero(group == g)
            at = at[np.argsort(self.slot[labels[at]], kind="stable")]
            found.append(Places(int(g), at.reshape(self.sizes[g], -1)))
        return tuple(found)
