"""What fits into a budget of time: one pass is measured, and everything else follows from counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wedges.cards.words import wait

# A product with the Hessian in gradients, until one was measured; tracing one in tracings of a gradient.
PRODUCT, TRACING = 3.0, 4.0
FEWEST = 64  # examples that a section works on, where there are as many
# What a section needs is measured with a margin, and it gets no more than this of what is left.
_MARGIN, _MOST = 1.3, 0.8
_SPARE = 0.85  # of what is left is planned; the rest is for what was not foreseen


class Cut(Exception):
    """A section does not fit, or cannot be: why, in words."""


def too_long(what: str, needed: float, left: float) -> Cut:
    """Why something was left out that would take more seconds than are left for it.

    >>> wedges.cards.budget.too_long("it", 0.31, 0.0)
    Cut('it would take 0.3 s, and none of the budget is left')
    """
    room = f"{wait(left)} of the budget are left for that" if left > 0 else "none of the budget is left"
    return Cut(f"{what} would take {wait(needed)}, and {room}")


class Rates(NamedTuple):
    """Seconds that an example takes in a pass, and that a graph takes to be traced."""

    forward: float  # loss and outputs
    gradient: float
    tracing: float  # of the gradient, once a landscape


class Cost(NamedTuple):
    """Seconds that a section takes."""

    least: float  # the fewest steps, points and directions that say something, and what comes before
    full: float


class Budget:
    """A time to be ready by.

    Args:
      seconds: how long everything may take.
      spent: seconds that were used before `started`.
      started: when it began, by `clock`.
      clock: tells the time in seconds; another one for tests.
    """

    def __init__(
        self,
        seconds: float,
        *,
        spent: float = 0.0,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.started = clock() if started is None else started
        self.seconds, self.spent = seconds, spent

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.started

    @property
    def left(self) -> float:
        """Seconds until it ends, at least 0."""
        return max(0.0, self.seconds - self.spent - self.elapsed)

    def share(self, cost: Cost, others: Sequence[Cost]) -> float:
        """Seconds that a section may take, where others follow.

        Where everything fits, all that the others leave. Else no section gets more than a level, at
        which together they take what is left: what costs little is done in full, and what costs much is
        made smaller. A section that would come to nothing at that level gets what it needs instead,
        if that leaves something for others.
        """
        left, full = _SPARE * self.left, [other.full for other in others]
        highest = level([cost.full, *full], left)
        fair = left - sum(full) if highest == float("inf") else highest
        return max(fair, min(_MARGIN * cost.least, _MOST * left))


def level(costs: Sequence[float], seconds: float) -> float:
    """The most that each may take, so that all together take these seconds; infinite where all fit.

        sum_i min(cost_i, level) = seconds

    >>> wedges.cards.budget.level([1.0, 4.0, 10.0], 9.0)
    4.0
    >>> wedges.cards.budget.level([1.0, 4.0], 9.0)
    inf
    """
    left, waiting = seconds, sorted(costs)
    while waiting:
        if waiting[0] > left / len(waiting):
            return left / len(waiting)
        left -= waiting.pop(0)
    return float("inf")


def examples_for(costs: Callable[[int], Sequence[Cost]], size: int, seconds: float) -> int:
    """On how many of `size` examples to work, so that sections, of costs(n) on n of them, have room.

    Halved until what each needs and 0.4 of what it would take at full size fit in the seconds: sections
    then shrink by less than that.

    >>> one = lambda n: [wedges.cards.budget.Cost(n / 100, n / 10)]
    >>> wedges.cards.budget.examples_for(one, 5000, 100.0)
    1250
    """
    n, fewest = size, min(size, FEWEST)
    need = lambda n: sum(max(_MARGIN * cost.least, 0.4 * cost.full) for cost in costs(n))
    while n > fewest and need(n) > _SPARE * seconds:
        n = max(fewest, n // 2)
    return n


def count(seconds: float, each: float, low: int, high: int, what: str) -> int:
    """How many things of `each` seconds fit, from low to high.

    Raises:
      Cut: fewer than `low`.
    """
    fits = high if each <= 0 else int(min(seconds / each, high))
    if fits < low:
        raise too_long(f"{low} {what}", low * each, seconds)
    return fits


def timed(function: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> tuple[Any, float]:
    """What a function returns, and the seconds it took."""
    begin = clock()
    found = function()
    return found, clock() - begin
