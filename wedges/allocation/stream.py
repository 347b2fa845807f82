"""The allocation of a loss change along a path, as a stream."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._progress import bar
from wedges.allocation.full_batch import Recorded, sees_all, twin
from wedges.allocation.quadrature import RULES, End, NotFinite, Segment, finite, segment
from wedges.allocation.tables import Table, labelled, ratio, sums
from wedges.landscape import Landscape
from wedges.optimize import Descent

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    from wedges.allocation.tables import Groups

# What is kept of a step, before its groups.
_LOSS, _CHANGE, _ERROR, _ABSOLUTE, _HELPED, _MOVED, _INTERVALS, _JUMP = range(8)
_FIELDS = 8
# What is kept of a parameter, over all steps.
_PER_PARAMETER = ("total", "magnitude", "times_helped", "times_hurt", "sign_changes", "last_sign")


class Allocation:
    """Allocates the loss change along a path to the parameters, as a stream.

        A_ti = (theta_{t+1,i} - theta_{t,i}) * g_ti,    g_t the mean gradient over the segment, by `rule`

        left        the gradient at theta_t: first order
        trapezoid   half the sum of those at both ends
        simpson     those at the ends and in the middle by 1, 4 and 1 sixths: exact along a line on which
                    the loss is a polynomial of degree 4
        adaptive    the trapezoid, and where its sum misses the loss change by more than `tolerance`,
                    Simpson's rule; where that does, too, each half by itself, down to parts of 1/32

    The gradient at a segment's end is that of the next one's beginning, so that a step takes one new
    gradient, which brings its loss along, and n - 1 more where there are n intervals. What is reached is
    always told: `errors`. Sums are made in float64.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> allocation = wedges.Allocation(bowl, groups={"flat": [0], "steep": [1]})
    >>> descent = wedges.Descent(bowl, [2.0, 1.0], keras.optimizers.SGD(0.5))
    >>> losses = allocation.follow(descent, 2)  # on to [1, -1] and [0.5, 1]
    >>> allocation.total.tolist(), allocation.losses.tolist()
    ([-1.875, 0.0], [4.0, 2.5, 2.125])
    >>> allocation.layers.tolist()
    [[-1.5, 0.0], [-0.375, 0.0]]

    Held are theta, one gradient and six numbers a parameter, whatever T is: about 30 bytes, and for a
    moment another point and its gradient, and two sums of gradients where a segment is refined. A
    held-out landscape takes as much beside it.

    What the loss is, gradient and check must agree on, so it is one landscape: for a network the loss in
    inference, without dropout, with the weights' regularisers only where it was made with
    `regularize=True`. Batch norm's statistics must be functions of theta, `batch_norm="reestimate"`. A
    fixed part of the data, `landscape.on(x[:5000], y[:5000])`, is a loss of its own, which is allocated
    as exactly, at a part of the cost.

    Args:
      landscape: whose loss is allocated.
      held_out: another landscape of the same theta, e.g. on data that training does not see, whose loss
        is allocated beside it.
      groups: of parameters, whose sums are kept for each step: {name: indices or slice}, disjoint, such
        as `network.space.layers`; or a whole number [D] for each parameter, -1 for none. By default all
        are one group. What those in no group got, the table tells in a row of its own.
      rule: one of the four.
      tolerance: of "adaptive", in units of the loss, for a step. What rounding of the landscape's dtype
        makes of two losses is not refined.

    Attributes:
      landscape, rule, tolerance: as given.
      names: of the groups, G.
      held_out: None, or an `Allocation` of the held-out loss along the same path.
      gradients: how many have been computed here, those of the training excepted.
      total: sum of A over the steps [D].
      magnitude: sum of |A| over the steps [D].
      times_helped, times_hurt: in how many steps A < 0, and A > 0 [D].
      sign_changes: how often two A of a parameter that follow one another differ in sign, steps in which
        it is 0 left out [D].

    Raises:
      ValueError: a held-out landscape of another space; groups that overlap or are not parameters.
    """

    def __init__(
        self,
        landscape: Landscape,
        *,
        held_out: Landscape | None = None,
        groups: Groups | None = None,
        rule: str = "adaptive",
        tolerance: float = 1e-3,
    ) -> None:
        _checks.a_landscape(landscape)
        _checks.choice("rule", rule, RULES)
        _checks.not_negative("tolerance", tolerance)
        _checks.warn_of_statistics(landscape)
        self.landscape, self.rule, self.tolerance = landscape, rule, float(tolerance)
        self.names, self._labels = labelled(groups, landscape.dimension)
        self.held_out: Allocation | None = None
        self._name = "landscape"
        if held_out is not None:
            _checks.a_landscape(held_out, "held_out")
            if (held_out.dimension, held_out.dtype) != (landscape.dimension, landscape.dtype):
                raise ValueError(
                    f"held_out must be of the landscape's space, D = {landscape.dimension} of "
                    f"{landscape.dtype.name}; received one of D = {held_out.dimension} of "
                    f"{held_out.dtype.name}."
                )
            self.held_out = Allocation(held_out, rule=rule, tolerance=tolerance)
            self.held_out.names, self.held_out._labels = self.names, self._labels
            self.held_out._name = "held_out"
        size = landscape.dimension
        self.total, self.magnitude = np.zeros(size), np.zeros(size)
        # Counts are as wide as the number of steps needs; see `_book`.
        self.times_helped, self.times_hurt, self.sign_changes = np.zeros((3, size), np.uint8)
        self.last_sign = np.zeros(size, np.int8)
        self.gradients = 0
        self._here: End | None = None  # where the path ends
        self._first = np.nan  # the loss where it began
        self._jump = 0.0  # the loss change since the last step that is no step's
        self._rows: list[np.ndarray] = []
        self._twin: tuple[Any, Descent, Recorded] | None = None  # of the descent that is followed

    # ---- the path -------------------------------------------------------------------------------

    def step(self, theta: TensorLike) -> None:
        """Go on in a straight line to the next point of the path, theta [D]; the first is its start.

        Raises:
          ValueError: theta of another shape; a `NotFinite` where the loss is NaN or infinite.
        """
        self._to(self._point(theta))

    def start(self, theta: TensorLike) -> None:
        """Begin at theta [D]; or go on there without a step, where weights were set by other means.

        The loss change from where the path was to there is credited to no parameter; see `jumps`.

        Raises:
          ValueError: as for `step`.
        """
        self._begin(self._point(theta))

    def follow(self, descent: Descent, steps: int, name: str = "loss allocation") -> np.ndarray:
        """Take so many steps of a `Descent`, and allocate each; a progress bar of that name shows it.

        The descent does what it would do alone. Where its every step sees the very loss that is
        allocated (a `FullBatch` of the landscape, or the landscape itself where it has no minibatches),
        training's own gradients are used: only refinements and the last point take others.

        Returns:
          The training losses before each step [steps]; fewer where the descent's tolerance is met.

        Raises:
          ValueError: several starts at once, a descent of another D, or one that does not move; a
            `NotFinite` where the loss is NaN or infinite.
        """
        steps = _checks.whole("steps", steps, 0)
        if not isinstance(descent, Descent):
            raise ValueError(f"descent must be a wedges.Descent; received {_checks.called(descent)}.")
        here, before = self._point(descent.theta), self.steps
        free = sees_all(descent, self.landscape)
        moves = self._free(descent, here, steps) if free else self._paid(descent, here)
        losses: list[float] = []
        with bar(total=steps, desc=name, unit="step") as shown:
            while len(losses) < steps and (loss := next(moves, None)) is not None:
                losses.append(loss)
                shown.update()
        moves.close()
        if self.steps > before and not np.any(self._column(_INTERVALS)[before:]):
            raise ValueError(
                f"descent must move; received one that stands still for {self.steps - before} steps "
                "(a learning rate of 0?)."
            )
        return np.array(losses)

    # ---- what was allocated ---------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """How many steps have been allocated, T."""
        return len(self._rows)

    @property
    def theta(self) -> np.ndarray | None:
        """Where the path ends, [D]; None before its start."""
        return None if self._here is None else np.asarray(self._here.theta)

    @property
    def losses(self) -> np.ndarray:
        """L(theta_t) [T + 1], float64; empty before the start."""
        start = [] if self._here is None else [self._first]
        return np.concatenate([start, self._column(_LOSS)])

    @property
    def changes(self) -> np.ndarray:
        """sum_i A_ti [T]."""
        return self._column(_CHANGE)

    @property
    def errors(self) -> np.ndarray:
        """L(theta_{t+1}) - L(theta_t) - sum_i A_ti [T]."""
        return self._column(_ERROR)

    @property
    def jumps(self) -> np.ndarray:
        """The loss change just before each step that no step made, by `start` [T]; mostly 0."""
        return self._column(_JUMP)

    @property
    def jumped(self) -> float:
        """The loss change that no step made: the sum of `jumps`, and what came after the last step."""
        return float(self.jumps.sum()) + self._jump

    @property
    def layers(self) -> np.ndarray:
        """sum of A_ti over each group [T, G]."""
        return self._table[:, _FIELDS:]

    @property
    def absolute(self) -> np.ndarray:
        """sum_i |A_ti| [T]."""
        return self._column(_ABSOLUTE)

    @property
    def helped(self) -> np.ndarray:
        """The share with A_ti < 0, of the parameters with A_ti other than 0 [T]; NaN with none."""
        moved = self._column(_MOVED)
        return np.divide(self._column(_HELPED), moved, out=np.full(len(moved), np.nan), where=moved > 0)

    @property
    def helped_of_all(self) -> np.ndarray:
        """The share with A_ti < 0, of all D parameters, dead ones and all [T]."""
        return self._column(_HELPED) / self.landscape.dimension

    @property
    def intervals(self) -> np.ndarray:
        """Intervals that each segment was cut into [T], whole numbers: 0 where theta stood still."""
        return self._column(_INTERVALS).astype(int)

    @property
    def times_still(self) -> np.ndarray:
        """In how many steps A = 0 [D]."""
        return self.steps - self.times_helped.astype(int) - self.times_hurt

    @property
    def cancellation(self) -> float:
        """sum |A| / |sum A| over all steps and parameters, at least 1."""
        return ratio(self.absolute.sum(), abs(self.changes.sum()))

    @property
    def oscillation(self) -> float:
        """The share of pairs of successive A of a parameter, neither of them 0, that differ in sign."""
        pairs = np.maximum(self.times_helped.astype(int) + self.times_hurt - 1, 0)
        return ratio(self.sign_changes.sum(), pairs.sum())

    def relative_error(self, start: int = 0, stop: int | None = None) -> float:
        """|sum of errors| / |loss change| over the steps from `start` to before `stop`.

        NaN without a change. The tolerance is that of a step; this is what came of it in an epoch, say.
        """
        part = self._table[start:stop]
        errors = part[:, _ERROR].sum()
        return ratio(abs(errors), abs(errors + part[:, _CHANGE].sum()))

    def over(self, groups: Groups) -> np.ndarray:
        """The sum of `total` over each of any groups, given as those of the class: [G].

        >>> allocation = wedges.Allocation(wedges.Quadratic([2.0, 2.0, 2.0]))
        >>> for theta in ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]):
        ...     allocation.step(theta)
        >>> allocation.over([0, 1, 1]).tolist()
        [-1.0, -13.0]
        """
        names, labels = labelled(groups, self.landscape.dimension)
        return sums(self.total, labels, len(names))

    def table(self) -> Table:
        """Which groups helped and which hurt, over all steps.

        Raises:
          ValueError: nothing has been allocated yet.
        """
        if self._here is None or not self.steps:
            raise ValueError("table must come after a step; nothing has been allocated yet.")
        labels, count = self._labels, len(self.names)
        layers, moved = self.layers, np.maximum((self.layers != 0).sum(axis=0), 1)
        sizes = sums(np.ones(self.landscape.dimension), labels, count).astype(int)
        none = np.zeros(0, int) if labels is None else np.flatnonzero(labels == 0)
        of = lambda shares: float(np.nanmean(shares)) if np.isfinite(shares).any() else np.nan
        return Table(
            names=self.names,
            sizes=sizes,
            changes=layers.sum(axis=0),
            helped=(layers < 0).sum(axis=0) / moved,
            held_out=None if self.held_out is None else self.held_out.layers.sum(axis=0),
            losses=(self._first, self._here.loss),
            steps=self.steps,
            error=self.relative_error(),
            jumped=self.jumped,
            helped_in_step=of(self.helped),
            helped_of_all=of(self.helped_of_all),
            cancellation=self.cancellation,
            ungrouped=len(none),
            ungrouped_changes=tuple(float(each.total[none].sum()) for each in self._each()),
        )

    def __repr__(self) -> str:
        size = f"D = {self.landscape.dimension:,}, {self.steps:,} steps"
        if not self.steps:
            return f"Allocation({size})"
        table = self.table()
        hurt = [name for name, change in zip(table.names, table.changes, strict=True) if change > 0]
        told = f", hurt: {', '.join(hurt)}" if hurt else ""
        first, last = table.losses
        return f"Allocation({size}, loss {first:.4g} to {last:.4g}, error {table.error:.3%}{told})"

    # ---- what a killed run goes on from ---------------------------------------------------------

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Everything that it holds: {name: array}. Assign it to a new object to go on exactly."""
        here = self._here or End(tf.zeros(0), np.nan, np.zeros(0))
        mine = {
            "theta": here.theta,
            "gradient": here.gradient,
            "numbers": np.array([here.loss, self._first, self._jump, float(self.gradients)]),
            "rows": self._table,
            **{name: getattr(self, name) for name in _PER_PARAMETER},
        }
        mine = {name: np.array(a) for name, a in mine.items()}
        if self.held_out is not None:
            mine |= {f"held_out/{name}": a for name, a in self.held_out.state.items()}
        return mine

    @state.setter
    def state(self, arrays: Mapping[str, np.ndarray]) -> None:
        size, mine = self.landscape.dimension, self.state
        if arrays.keys() != mine.keys():
            raise ValueError(f"state must hold {', '.join(mine)}; received {', '.join(arrays)}.")
        begun = bool(len(arrays["theta"]))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_PARAMETER, (size,))
        shapes |= dict.fromkeys(("theta", "gradient"), (size if begun else 0,))
        shapes |= {"numbers": (4,), "rows": (len(arrays["rows"]), _FIELDS + len(self.names))}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(
                    f"state must be that of D = {size} and {len(self.names)} groups, {name} {shape}; "
                    f"received {arrays[name].shape}."
                )
        if self.held_out is not None:
            front = "held_out/"
            own = {n.removeprefix(front): a for n, a in arrays.items() if n.startswith(front)}
            self.held_out.state = own
        for name in _PER_PARAMETER:
            setattr(self, name, np.array(arrays[name]))
        loss, self._first, self._jump, gradients = map(float, arrays["numbers"])
        vector = lambda name: np.array(arrays[name], self.landscape.dtype.as_numpy_dtype)
        self._here = End(tf.constant(vector("theta")), loss, vector("gradient")) if begun else None
        self.gradients = int(gradients)
        self._rows = list(np.array(arrays["rows"], np.float64))

    # ---- one segment ----------------------------------------------------------------------------

    def _each(self):
        return [self] if self.held_out is None else [self, self.held_out]

    def _point(self, theta):
        theta = _checks.one_point(self.landscape, theta, infinite=True)
        if not finite(np.asarray(theta)):
            raise NotFinite(f"theta must be finite; received NaN or infinity in step {self.steps + 1}.")
        return theta

    def _stands_at(self, theta):
        return self._here is not None and np.array_equal(self._here.theta, theta)

    def _begin(self, theta, known=None):
        """Be at theta; `known` is the loss and the gradient there, where training has computed them."""
        ends = [each._end(theta, known if each is self else None) for each in self._each()]
        for each, end in zip(self._each(), ends, strict=True):
            if each._here is None:
                each._first = end.loss
            else:
                each._jump += end.loss - each._here.loss
            each._here = end

    def _to(self, theta, known=None):
        """Go to theta in a step."""
        if self._here is None:
            self._begin(theta, known)
            return
        # All are computed before any is booked: a loss that is NaN leaves them as they were.
        found = [each._segment(theta, known if each is self else None) for each in self._each()]
        for each, new in zip(self._each(), found, strict=True):
            each._book(new)

    def _end(self, theta, known=None):
        loss, gradient = known or self._computed(theta)
        if not (np.isfinite(loss) and finite(gradient)):
            what = f"a loss of {loss:g}" if not np.isfinite(loss) else "a gradient of NaN or infinity"
            raise NotFinite(
                f"{self._name} must have a finite loss and gradient along the path; received {what} in "
                f"step {self.steps + 1}."
            )
        return End(theta, loss, gradient)

    def _computed(self, theta):
        self.gradients += 1
        loss, gradient = self.landscape.value_and_gradient(theta)
        return float(loss), np.asarray(gradient)

    def _segment(self, theta, known):
        if self._stands_at(theta):
            return Segment(self._here, self._here, [], 0)
        return segment(self._here, self._end(theta, known), self._end, self.rule, self.tolerance)

    def _book(self, new):
        if self.steps == np.iinfo(self.times_helped.dtype).max:
            wider = np.dtype(f"u{2 * self.times_helped.itemsize}")
            for name in ("times_helped", "times_hurt", "sign_changes"):
                setattr(self, name, getattr(self, name).astype(wider))
        row = np.zeros(_FIELDS + len(self.names))
        for at, amounts in new.parts():
            sizes, sign = np.abs(amounts), np.sign(amounts).astype(np.int8)
            helped, hurt = sign < 0, sign > 0
            self.total[at] += amounts
            self.magnitude[at] += sizes
            self.times_helped[at] += helped
            self.times_hurt[at] += hurt
            self.sign_changes[at] += sign * self.last_sign[at] < 0
            self.last_sign[at] = np.where(sign == 0, self.last_sign[at], sign)
            row[[_CHANGE, _ABSOLUTE, _HELPED]] += amounts.sum(), sizes.sum(), helped.sum()
            row[_MOVED] += helped.sum() + hurt.sum()
            labels = None if self._labels is None else self._labels[at]
            row[_FIELDS:] += sums(amounts, labels, len(self.names))
        row[_LOSS], row[_INTERVALS], row[_JUMP] = new.end.loss, new.intervals, self._jump
        row[_ERROR] = new.gain - row[_CHANGE]
        self._rows.append(row)
        self._here, self._jump = new.end, 0.0

    @property
    def _table(self):
        return np.array(self._rows).reshape(-1, _FIELDS + len(self.names))

    def _column(self, i):
        return np.array([row[i] for row in self._rows])

    # ---- a descent ------------------------------------------------------------------------------

    def _paid(self, descent, here) -> Generator[float, None, None]:
        """Steps of a descent, one by one: their losses. The gradients are computed here."""
        if not self._stands_at(here):
            self._begin(here)
        while True:
            loss = float(descent.run(1).losses[0])
            theta = self._point(descent.theta)
            if descent.met:
                return
            self._to(theta)
            yield loss

    def _free(self, descent, here, steps) -> Generator[float, None, None]:
        """The same, with the gradients of training: that of a point is known one step later."""
        if self._twin is None or self._twin[0]() is not descent:
            self._twin = weakref.ref(descent), *twin(descent, self.landscape)
        _, runs, record = self._twin
        runs.state = descent.state
        try:
            for k in range(steps):
                loss = float(runs.run(1).losses[0])
                known, there = record.read(), self._point(runs.theta)
                if k:
                    self._to(here, known)
                elif not self._stands_at(here):
                    self._begin(here, known)
                if runs.met:
                    return
                if k == steps - 1:
                    self._to(there)
                here = there
                yield loss
        finally:
            descent.state = runs.state

    def __getstate__(self) -> dict[str, Any]:
        """All but the compiled loop of a descent that was followed."""
        return {**self.__dict__, "_twin": None}
