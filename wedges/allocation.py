"""Loss change allocation: which parameters made the loss fall, step by step of a training.

    L(theta_T) - L(theta_0) = sum_t sum_i A_ti + error
    A_ti = (theta_{t+1,i} - theta_{t,i}) * mean of dL/dtheta_i over the segment of step t

A parameter helps where A < 0 and hurts where A > 0. The sum is the integral of the gradient along the
path of straight segments, so that nothing is left over but the error of the quadrature, which is known.

    Allocation     follows a path, point by point, and holds O(D) numbers
    FullBatch      a landscape whose every step sees all examples: following its descent is free
    Table          which groups of parameters helped, and which hurt

Source: Lan, Liu, Zhou & Yosinski 2019, arXiv:1909.01440.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._progress import bar
from wedges.landscape import Around, Landscape, Restricted, Squared, WithExamples
from wedges.optimize import Descent
from wedges.phases.connectivity import warn_of_statistics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from tensorflow.types.experimental import TensorLike

    Groups = Mapping[str, Any] | ArrayLike

RULES = ("adaptive", "trapezoid", "simpson", "left")
# Intervals between neighbouring points of a segment, at most: 31 gradients besides those at its ends.
_MOST = 32
# Parameters that are booked at a time: what is computed in float64 meanwhile stays in the cache.
_CHUNK = 1 << 15
# Roundings of a loss that is a sum over many examples, in units of its dtype's own.
_ROUNDINGS = 8
# What is kept of a step, before its groups.
_LOSS, _CHANGE, _ERROR, _ABSOLUTE, _HELPED, _MOVED, _INTERVALS, _JUMP = range(8)
_FIELDS = 8


class NotFinite(ValueError):
    """The path, the loss on it or its gradient is NaN or infinite; what was allocated before stays."""


class Table(NamedTuple):
    """Which groups of parameters helped, and which hurt. Printed, it is a text."""

    names: tuple[str, ...]  # of the G groups
    sizes: np.ndarray  # parameters of each [G]
    changes: np.ndarray  # what each got of the loss change, negative where it helped [G]
    helped: np.ndarray  # of the steps in which it got anything, the share in which it helped [G]
    held_out: np.ndarray | None  # what each got of the held-out loss's change [G]
    losses: tuple[float, float]  # first and last
    steps: int
    allocated: float  # the sum over all parameters
    error: float  # what is not allocated, over the loss change; at least 0
    jumped: float  # the loss change outside of steps
    helped_in_step: float  # the mean share that helped, of the parameters that got anything in a step
    helped_of_all: float  # of all parameters
    cancellation: float  # sum |A| / |sum A|

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


class Allocation:
    """Allocates the loss change along a path to the parameters, as a stream.

        A_ti = (theta_{t+1,i} - theta_{t,i}) * g_ti,    g_t the mean gradient over the segment, by `rule`

        left        the gradient at theta_t: first order
        trapezoid   half the sum of those at both ends
        simpson     those at the ends and in the middle by 1, 4 and 1 sixths: exact along a line on which
                    the loss is a polynomial of degree 4
        adaptive    the trapezoid, and where its sum misses the loss change by more than `tolerance`,
                    Simpson's rule on 2, 4, ... intervals, 32 at most

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

    Held are theta, one gradient and six numbers a parameter, whatever T is: about 40 bytes, and up to 60
    for a moment. A held-out landscape takes as much beside it.

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
        are one group.
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
        warn_of_statistics(landscape)
        self.landscape, self.rule, self.tolerance = landscape, rule, float(tolerance)
        self.names, self._labels = _labelled(groups, landscape.dimension)
        self.held_out: Allocation | None = None
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
        size = landscape.dimension
        self.total, self.magnitude = np.zeros(size), np.zeros(size)
        counts = lambda kind: np.zeros(size, kind)
        self.times_helped, self.times_hurt = counts(np.uint32), counts(np.uint32)
        self.sign_changes, self.last_sign = counts(np.uint32), counts(np.int8)
        self.gradients = 0
        self._theta: np.ndarray | None = None  # where the path ends, [D]
        self._gradient = np.zeros(0)  # there, [D]
        self._loss = self._first = np.nan  # there, and where the path began
        self._jump = 0.0  # the loss change since the last step that is no step's
        self._rows: list[np.ndarray] = []
        self._twin: tuple[Any, Descent, _Recorded] | None = None  # of the descent that is followed

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
        moves = self._free(descent, here, steps) if self._is_free(descent) else self._paid(descent, here)
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
        return self._theta

    @property
    def losses(self) -> np.ndarray:
        """L(theta_t) [T + 1], float64; empty before the start."""
        start = [] if self._theta is None else [self._first]
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
        return float(_ratio(self.absolute.sum(), abs(self.changes.sum())))

    @property
    def oscillation(self) -> float:
        """The share of pairs of successive A of a parameter, neither of them 0, that differ in sign."""
        pairs = np.maximum(self.times_helped.astype(int) + self.times_hurt - 1, 0)
        return float(_ratio(self.sign_changes.sum(), pairs.sum()))

    def relative_error(self, start: int = 0, stop: int | None = None) -> float:
        """|sum of errors| / |loss change| over the steps from `start` to before `stop`.

        NaN without a change. The tolerance is that of a step; this is what came of it in an epoch, say.
        """
        part = self._table[start:stop]
        errors = part[:, _ERROR].sum()
        return float(_ratio(abs(errors), abs(errors + part[:, _CHANGE].sum())))

    def over(self, groups: Groups) -> np.ndarray:
        """The sum of `total` over each of any groups, given as those of the class: [G].

        >>> allocation = wedges.Allocation(wedges.Quadratic([2.0, 2.0, 2.0]))
        >>> for theta in ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]):
        ...     allocation.step(theta)
        >>> allocation.over([0, 1, 1]).tolist()
        [-1.0, -13.0]
        """
        names, labels = _labelled(groups, self.landscape.dimension)
        return _sums(self.total, labels, len(names))

    def table(self) -> Table:
        """Which groups helped and which hurt, over all steps.

        Raises:
          ValueError: nothing has been allocated yet.
        """
        if not self.steps:
            raise ValueError("table must come after a step; nothing has been allocated yet.")
        labels, count = self._labels, len(self.names)
        layers, moved = self.layers, np.maximum((self.layers != 0).sum(axis=0), 1)
        sizes = _sums(np.ones(self.landscape.dimension), labels, count).astype(int)
        of = lambda shares: float(np.nanmean(shares)) if np.isfinite(shares).any() else np.nan
        return Table(
            names=self.names,
            sizes=sizes,
            changes=layers.sum(axis=0),
            helped=(layers < 0).sum(axis=0) / moved,
            held_out=None if self.held_out is None else self.held_out.layers.sum(axis=0),
            losses=(self._first, float(self.losses[-1])),
            steps=self.steps,
            allocated=float(self.changes.sum()),
            error=self.relative_error(),
            jumped=float(self.jumps.sum()),
            helped_in_step=of(self.helped),
            helped_of_all=of(self.helped_of_all),
            cancellation=self.cancellation,
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
        none = self._theta is None
        mine = {
            "theta": np.zeros(0) if self._theta is None else self._theta,
            "gradient": np.zeros(0) if none else self._gradient,
            "numbers": np.array([self._loss, self._first, self._jump, float(self.gradients)]),
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
            setattr(self, name, np.array(arrays[name], getattr(self, name).dtype))
        dtype = self.landscape.dtype.as_numpy_dtype
        self._theta = np.array(arrays["theta"], dtype) if begun else None
        self._gradient = np.array(arrays["gradient"], dtype)
        self._loss, self._first, self._jump, gradients = map(float, arrays["numbers"])
        self.gradients = int(gradients)
        self._rows = list(np.array(arrays["rows"], np.float64))

    # ---- one segment ----------------------------------------------------------------------------

    def _each(self):
        return [self] if self.held_out is None else [self, self.held_out]

    def _point(self, theta):
        theta = np.asarray(_checks.one_point(self.landscape, theta, infinite=True))
        if not _finite(theta):
            raise NotFinite(f"theta must be finite; received NaN or infinity in step {self.steps + 1}.")
        return theta

    def _begin(self, theta, known=None):
        ends = [each._end(theta, known if each is self else None) for each in self._each()]
        for each, (loss, gradient) in zip(self._each(), ends, strict=True):
            if each._theta is None:
                each._first = loss
            else:
                each._jump += loss - each._loss
            each._theta, each._loss, each._gradient = theta, loss, gradient

    def _to(self, theta, known=None):
        """Book the segment to theta; `known` is the loss and the gradient there, if they are."""
        if self._theta is None:
            self._begin(theta, known)
            return
        ways = [each._way(theta, known if each is self else None) for each in self._each()]
        for each, way in zip(self._each(), ways, strict=True):
            each._book(theta, way)

    def _end(self, theta, known=None):
        """Loss and gradient at theta, both finite."""
        if known is None:
            self.gradients += 1
            loss, gradient = self.landscape.value_and_gradient(theta)
            known = float(loss), np.asarray(gradient)
        loss, gradient = known
        if not (np.isfinite(loss) and _finite(gradient)):
            what = f"a loss of {loss:g}" if not np.isfinite(loss) else "a gradient of NaN or infinity"
            raise NotFinite(
                f"landscape must have a finite loss and gradient along the path; received {what} in "
                f"step {self.steps + 1}."
            )
        return loss, gradient

    def _way(self, theta, known):
        """The segment to theta: where it ends, and its mean gradient as a weighted sum of vectors."""
        if np.array_equal(theta, self._theta):
            return _Way(self._loss, self._gradient, 0, [])
        loss, gradient = self._end(theta, known)
        if self.rule == "left":
            return _Way(loss, gradient, 1, [(1.0, self._gradient)])
        ends = [self._gradient, gradient]
        way = _Way(loss, gradient, 1, [(0.5, g) for g in ends])
        gain = loss - self._loss
        rounding = np.finfo(theta.dtype).eps * max(abs(loss), abs(self._loss))
        tolerance = max(self.tolerance, _ROUNDINGS * rounding)
        enough = lambda: (
            self.rule == "trapezoid"
            or (self.rule == "adaptive" and abs(gain - self._along(theta, way.mean)) <= tolerance)
        )
        inner, n = None, 1
        while n < _MOST and not enough():
            new = self._middles(theta, n)
            # Richardson's step from n to 2 n intervals of the trapezoid: Simpson's rule on 2 n.
            mean = [(1 / (6 * n), g) for g in ends] + [(2 / (3 * n), new)]
            mean += [] if inner is None else [(1 / (3 * n), inner)]
            way, inner, n = (
                _Way(loss, gradient, 2 * n, mean),
                new if inner is None else inner + new,
                2 * n,
            )
            if self.rule == "simpson":
                break
        return way

    def _middles(self, theta, n):
        """The sum of the gradients in the middle of each of n intervals."""
        found = None
        for k in range(n):
            t = theta.dtype.type((2 * k + 1) / (2 * n))
            gradient = self._end(self._theta + t * (theta - self._theta))[1]
            found = gradient if found is None else found + gradient
        return found

    def _along(self, theta, mean):
        """sum_i A_i of the segment to theta."""
        return sum(float(a.sum()) for _, a in self._amounts(theta, mean))

    def _amounts(self, theta, mean):
        """A, some parameters at a time."""
        for first in range(0, len(theta), _CHUNK):
            at = slice(first, first + _CHUNK)
            step = theta[at].astype(np.float64) - self._theta[at]
            gradient = np.zeros(len(step))
            for weight, vector in mean:
                gradient += weight * vector[at].astype(np.float64)
            yield at, step * gradient

    def _book(self, theta, way):
        row = np.zeros(_FIELDS + len(self.names))
        for at, amounts in self._amounts(theta, way.mean):
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
            row[_FIELDS:] += _sums(amounts, labels, len(self.names))
        row[_LOSS], row[_INTERVALS], row[_JUMP] = way.loss, way.intervals, self._jump
        row[_ERROR] = way.loss - self._loss - row[_CHANGE]
        self._rows.append(row)
        self._theta, self._loss, self._gradient, self._jump = theta, way.loss, way.gradient, 0.0

    @property
    def _table(self):
        return np.array(self._rows).reshape(-1, _FIELDS + len(self.names))

    def _column(self, i):
        return np.array([row[i] for row in self._rows])

    # ---- a descent ------------------------------------------------------------------------------

    def _is_free(self, descent):
        seen, mine = descent.landscape, self.landscape
        if descent.subspace is not None:
            return False
        full = isinstance(seen, FullBatch) and seen.landscape is mine
        return full or (seen is mine and _the_same_at_every_step(mine))

    def _paid(self, descent, here):
        """Steps of a descent, one by one: their losses. The gradients are computed here."""
        if self._theta is None or not np.array_equal(here, self._theta):
            self._begin(here)
        while True:
            loss = float(descent.run(1).losses[0])
            theta = self._point(descent.theta)
            if descent.tolerance is not None and np.array_equal(theta, self._theta):
                return
            self._to(theta)
            yield loss

    def _free(self, descent, here, steps):
        """The same, with the gradients of training: that of a point is known one step later."""
        twin, record = self._twin_of(descent)
        twin.state = descent.state
        try:
            for k in range(steps):
                loss = float(twin.run(1).losses[0])
                known, there = record.read(), self._point(twin.theta)
                if k:
                    self._to(here, known)
                elif self._theta is None or not np.array_equal(here, self._theta):
                    self._begin(here, known)
                if descent.tolerance is not None and np.array_equal(there, here):
                    return
                if k == steps - 1:
                    self._to(there)
                here = there
                yield loss
        finally:
            descent.state = twin.state

    def _twin_of(self, descent):
        """A descent that takes the same steps, and what keeps their gradients; traced once."""
        if self._twin is None or self._twin[0]() is not descent:
            record = _Recorded(self.landscape)
            how = {"tolerance": descent.tolerance, "jit_compile": descent._static}
            twin = Descent(record, descent.theta, descent.optimizer, **how)
            self._twin = weakref.ref(descent), twin, record
        return self._twin[1:]

    def __getstate__(self) -> dict[str, Any]:
        """All but the compiled loop of a descent that was followed."""
        return {**self.__dict__, "_twin": None}


_PER_PARAMETER = ("total", "magnitude", "times_helped", "times_hurt", "sign_changes", "last_sign")


class _Way(NamedTuple):
    """A segment that is to be booked."""

    loss: float  # at its end
    gradient: np.ndarray  # at its end [D]
    intervals: int
    mean: list[tuple[float, np.ndarray]]  # its mean gradient: weights of vectors [D]


# ---- training on the very loss that is allocated ----------------------------------------------------


class FullBatch(Around):
    """A landscape whose every step sees the landscape itself: all its examples, and no dropout.

    A descent on it is gradient descent on L, with momentum or whatever the optimizer has. It takes one
    gradient over all the data a step, which an `Allocation` of the same landscape uses as well.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> full = wedges.allocation.FullBatch(bowl)
    >>> allocation = wedges.Allocation(bowl, rule="left")
    >>> descent = wedges.Descent(full, [2.0, 1.0], keras.optimizers.SGD(0.25))
    >>> losses = allocation.follow(descent, 10)
    >>> allocation.gradients, float(allocation.helped[0])
    (1, 1.0)

    Args:
      landscape: any.
    """

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        del step

        @tf.custom_gradient  # so that the loss and its gradient are of one pass
        def loss(theta):
            value, gradient = self.value_and_gradient(theta)
            return value, lambda up: up[..., None] * gradient

        return loss(self.point(theta))


class _Recorded(FullBatch):
    """A landscape that keeps the last loss and gradient that it gave."""

    def __init__(self, landscape):
        super().__init__(landscape)
        self._loss = tf.Variable(tf.zeros([], self.dtype), trainable=False)
        self._gradient = tf.Variable(tf.zeros([self.dimension], self.dtype), trainable=False)

    def value_and_gradient(self, theta):
        loss, gradient = self.landscape.value_and_gradient(theta)
        self._loss.assign(loss)
        self._gradient.assign(gradient)
        return loss, gradient

    def read(self):
        return float(self._loss.numpy()), self._gradient.numpy()


_PLAIN = (Landscape.sample, Around.sample, Restricted.sample, Squared.sample)


def _the_same_at_every_step(landscape):
    """Whether each step of a descent sees the landscape itself, as far as its class tells."""
    for each in landscape.nested():
        if isinstance(each, FullBatch):
            return True
        if isinstance(each, WithExamples) or type(each).sample not in _PLAIN:
            return False
    return True


# ---- groups, sums and words -------------------------------------------------------------------------


def _labelled(groups, size):
    """The names of groups, and which is each parameter's, from 1, 0 for none; None where all are one."""
    if groups is None:
        return ("all",), None
    if isinstance(groups, Mapping):
        names, labels = tuple(map(str, groups)), np.zeros(size, np.min_scalar_type(len(groups)))
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
        return names, labels
    labels = np.asarray(groups)
    if labels.shape != (size,) or labels.dtype.kind not in "iu" or labels.min() < -1:
        raise ValueError(
            f"groups must be {{name: indices}} or whole numbers [{size}], -1 for none; received "
            f"{_checks.called(groups)}."
        )
    count = int(labels.max()) + 1
    return tuple(map(str, range(count))), (labels + 1).astype(np.min_scalar_type(count))


def _sums(values, labels, count):
    """The sum over each group [G]."""
    if labels is None:
        return np.array([values.sum()])
    return np.bincount(labels, values, count + 1)[1:]


def _ratio(a, b):
    return a / b if b else np.nan


def _finite(vector):
    parts = (vector[i : i + _CHUNK] for i in range(0, vector.size, _CHUNK))
    return all(np.isfinite(part).all() for part in parts)


def _lines(table):
    """A table's text."""
    rows = [
        (
            "",
            "weights",
            "loss change",
            *(["held out"] if table.held_out is not None else []),
            "helped in",
            "",
        )
    ]
    for i, name in enumerate(table.names):
        change = table.changes[i]
        word = "helped" if change < 0 else "hurt" if change > 0 else "did nothing"
        beside = [] if table.held_out is None else [f"{table.held_out[i]:.4g}"]
        rows.append(
            (name, f"{table.sizes[i]:,}", f"{change:.4g}", *beside, f"{table.helped[i]:.0%}", word)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *middle, last in rows:
        cells = [
            first.ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(middle, widths[1:-1], strict=True)),
        ]
        yield "  ".join([*cells, last]).rstrip()
    first, last = table.losses
    count = f"{table.steps:,} step{'s' * (table.steps != 1)}"
    yield f"loss {first:.4g} to {last:.4g} in {count}, {table.error:.3%} of it not allocated"
    if table.jumped:
        yield f"outside of steps it changed by {table.jumped:.4g}, which no weight is credited with"
    yield (
        f"helped in a mean step: {table.helped_in_step:.1%} of the weights that did anything, "
        f"{table.helped_of_all:.1%} of all; sum |A| / |sum A| = {table.cancellation:.3g}"
    )
