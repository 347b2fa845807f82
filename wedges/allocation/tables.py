"""Groups of parameters, and the table of what they got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from wedges import _checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    # {name: indices or slice}, or a whole number for each parameter.
    Groups: TypeAlias = Mapping[str, Any] | ArrayLike


class Table(NamedTuple):
    """Which groups of parameters helped, and which hurt. Printed, it is a text."""

    names: tuple[str, ...]  # of the G groups
    sizes: np.ndarray  # parameters of each [G]
    changes: np.ndarray  # what each got of the loss change, negative where it helped [G]
    helped: np.ndarray  # of the steps in which it got anything, the share in which it helped [G]
    held_out: np.ndarray | None  # what each got of the held-out loss's change [G]
    losses: tuple[float, float]  # where the path begins and where it ends
    steps: int
    error: float  # what is not allocated, over the loss change; at least 0
    jumped: float  # the loss change outside of steps
    helped_in_step: float  # the mean share that helped, of the parameters that got anything in a step
    helped_of_all: float  # of all parameters
    cancellation: float  # sum |A| / |sum A|
    ungrouped: int  # how many parameters are in no group
    ungrouped_changes: tuple[float, ...]  # what they got of the loss change, and of the held-out one's

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _lines(table) -> Iterator[str]:
    beside = table.held_out is not None
    head = ["", "weights", "loss change", *["held out"] * beside, "helped in", ""]
    rows = [head]

    def add(name, size, changes, share):
        word = "helped" if changes[0] < 0 else "hurt" if changes[0] > 0 else "did nothing"
        rows.append([name, f"{size:,}", *(f"{n:.4g}" for n in changes), share, word])

    for i, name in enumerate(table.names):
        changes = [table.changes[i], *([table.held_out[i]] if beside else [])]
        add(name, table.sizes[i], changes, f"{table.helped[i]:.0%}" if changes[0] else "")
    if table.ungrouped:
        add("in no group", table.ungrouped, table.ungrouped_changes, "")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *middle, last in rows:
        cells = [c.rjust(w) for c, w in zip(middle, widths[1:-1], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells, last]).rstrip()
    before, after = table.losses
    count = f"{table.steps:,} step{'s' * (table.steps != 1)}"
    yield f"loss {before:.4g} to {after:.4g} in {count}, {table.error:.3%} of it not allocated"
    if table.jumped:
        yield f"outside of steps it changed by {table.jumped:.4g}, which no weight is credited with"
    yield (
        f"helped in a mean step: {table.helped_in_step:.1%} of the weights that did anything, "
        f"{table.helped_of_all:.1%} of all; sum |A| / |sum A| = {table.cancellation:.3g}"
    )


def labelled(groups: Groups | None, size: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The names of groups, and the number of each parameter's [D], from 1; 0: none; None: all are one.

    Raises:
      ValueError: groups that overlap, or are not of so many parameters.
    """
    if groups is None:
        return ("all",), None
    if isinstance(groups, Mapping):
        labels = np.zeros(size, np.min_scalar_type(len(groups)))
        for number, (name, where) in enumerate(groups.items(), 1):
            try:
                indices = np.arange(size)[where]
            except IndexError:
                raise ValueError(
                    f"groups must be of the {size} parameters, each by its indices or a slice; received "
                    f"others for {name!r}."
                ) from None
            if np.any(labels[indices]):
                raise ValueError(f"groups must not overlap; received {name!r}, which overlaps another.")
            labels[indices] = number
        return tuple(map(str, groups)), labels
    labels = np.asarray(groups)
    if labels.shape != (size,) or labels.dtype.kind not in "iu" or labels.min() < -1:
        raise ValueError(
            f"groups must be {{name: indices}} or whole numbers [{size}], -1 for none; received "
            f"{_checks.called(groups)}."
        )
    count = int(labels.max()) + 1
    return tuple(map(str, range(count))), (labels.astype(np.int64) + 1).astype(np.min_scalar_type(count))


def sums(values: np.ndarray, labels: np.ndarray | None, count: int) -> np.ndarray:
    """The sum of values [D] over each of so many groups [G]."""
    if labels is None:
        return np.array([values.sum()])
    return np.bincount(labels, values, count + 1)[1:]


def ratio(a: float, b: float) -> float:
    """a / b; NaN at b = 0."""
    return float(a / b) if b else np.nan
