"""Which layers of a network make the loss fall while it is fitted: `LossAllocation`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wedges import _checks, _keras
from wedges.allocation import Allocation, NotFinite, Table
from wedges.callbacks.counting import BatchCounter
from wedges.callbacks.places import AFTER_ALL, Placed
from wedges.callbacks.resuming import Resumed
from wedges.callbacks.standing import trained_values
from wedges.callbacks.units import named, neurons, of_layers, units
from wedges.callbacks.watching import build, check_held_out, landscapes
from wedges.landscape import Landscape, Quadratic
from wedges.network.weights import WeightSpace

if TYPE_CHECKING:
    from wedges.allocation.tables import Groups


class LossAllocation(Resumed):
    """Allocates the change of a loss to the weights, step by step of a `fit` with any optimizer.

        A_ti = (theta_{t+1,i} - theta_{t,i}) * mean of dL/dtheta_i over step t,    sum A = L_T - L_0

    A weight helps where A < 0 and hurts where A > 0. L is the loss over all of x, y in inference,
    whatever minibatches, dropout and regularisers the training sees; theta is all trainable weights.
    What `fit` gets as `class_weight` or `sample_weight` is not in L: weights of examples come with x, as
    a `tf.data.Dataset` of (x, y, w), or in a landscape of your own.

    >>> ones = {"use_bias": False, "kernel_initializer": "ones"}
    >>> start, end = (keras.layers.Dense(1, name=name, **ones) for name in ("start", "end"))
    >>> model = keras.Sequential([keras.Input((1,)), start, end])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")
    >>> x, y = np.ones((2, 1)), np.zeros(2)
    >>> allocation = wedges.LossAllocation(x=x, y=y)
    >>> history = model.fit(x, y, verbose=0, callbacks=[allocation])  # one step, from 1, 1 to 1/2, 1/2
    >>> print(allocation.table())
           weights  loss change  helped in
    start        1      -0.4688       100%  helped
    end          1      -0.4688       100%  helped
    loss 1 to 0.0625 in 1 step, 0.000% of it not allocated
    helped in a mean step: 100.0% of the weights that did anything, 100.0% of all; sum |A| / |sum A| = 1

    Each step costs a gradient over all of x, y, which with minibatches is many times what training
    costs: give it a part of the data, x[:5000] and y[:5000], whose loss is allocated as exactly. Or let
    `every` take several batches as one step: a straight line from the first to the last point, whose
    loss change is still all allocated, but to the line and not to the way between; what else moves the
    weights on that way is in it. So it is, with a warning, where Keras takes several batches at once
    (`steps_per_execution`). Batches that change no weight, because gradients are accumulated, are no
    steps.

    What moves the weights between two steps is credited to none, and told as `jumps`: weights set by
    hand, and batches after the last point when `fit` was interrupted. The table tells it with what other
    callbacks and Keras leave in the model at the end of `fit`: the best weights, the average of an
    optimizer with `use_ema`. Averages that stand in the model for a validation are not seen.

    A model that its first batch would build is built before it, on an example of x. A layer that is
    frozen later stands still; one that is thawed later is refused.

    Beside a `BackupAndRestore` it is resumed with the training, bit for bit. Where the loss is NaN or
    infinite it stops with a warning and keeps what it has; training goes on, and the next `fit` is
    allocated from where it begins.

    Args:
      landscape: whose loss is allocated; its theta must be all trainable weights of the model. A
        `NetworkLandscape` with frozen batch norm warns: its statistics would not follow theta.
      x, y: instead of a landscape, examples: it is then a `NetworkLandscape` of the model with the loss
        that it is compiled with, batch norm's statistics re-estimated at each theta. Weights that are
        not trained, and all other state, are those of the first step.
      held_out: another landscape, or a pair (x, y), whose loss is allocated beside it; y is None where
        x is a Dataset.
      groups: of weights, whose sums are kept for each step: "layers", "neurons" (as `neurons` finds
        them), or as for `wedges.Allocation`.
      every: batches from one point of the path to the next. An epoch's end is always one.
      rule, tolerance: as for `wedges.Allocation`.

    Attributes:
      allocation: the `wedges.Allocation`, with all numbers; None before the first step.
      batches: how many batches had ended after each step [T].
      epochs: the epoch of each step [T], counted from 0 over all `fit`s that it is given to, those that
        were interrupted too.

    Raises:
      ValueError: neither a landscape nor x and y; a landscape of another dimension, or of a model that
        is not built; x that the model does not take; a model without trainable weights, or with others
        than at the first step.
    """

    def __init__(
        self,
        landscape: Landscape | None = None,
        *,
        x: Any = None,
        y: Any = None,
        held_out: Landscape | tuple[Any, Any] | None = None,
        groups: str | Groups = "layers",
        every: int = 1,
        rule: str = "adaptive",
        tolerance: float = 1e-3,
    ) -> None:
        super().__init__()
        if landscape is not None:
            _checks.a_landscape(landscape)
        if (landscape is None) == (x is None):
            raise ValueError("landscape must be given, or x and y instead; received both or neither.")
        if isinstance(groups, str):
            _checks.choice("groups", groups, ("layers", "neurons"))
        check_held_out(held_out)
        self.every = _checks.whole("every", every)
        self.allocation: Allocation | None = None
        self._given, self._data, self._held_out = landscape, (x, y), held_out
        self._groups = groups
        self._how: dict[str, Any] = {"rule": rule, "tolerance": tolerance}
        Allocation(Quadratic([1.0]), **self._how)  # what is wrong with these is told before training
        self._space: WeightSpace | None = None
        self._resumed: Mapping[str, np.ndarray] | None = None  # until there is an allocation
        self._steps: list[tuple[int, int]] = []  # batches and epoch of each
        self._counter = BatchCounter()
        self._batch, self._epoch = 0, 0  # how many have ended
        self._begun_at = 0  # batches before this `fit`
        self._since, self._in_epoch = 0, 0  # batches since the last point, and in an epoch that goes on
        self._others: list[tuple[Any, np.ndarray]] = []  # variables that the optimizer may train, too
        self._stopped = False
        self._last = _AfterAll(self)

    @property
    def batches(self) -> np.ndarray:
        """How many batches had ended after each step [T]."""
        return np.array([batch for batch, _ in self._steps], int)

    @property
    def epochs(self) -> np.ndarray:
        """The epoch of each step [T], counted from 0."""
        return np.array([epoch for _, epoch in self._steps], int)

    def table(self) -> Table:
        """Which layers (or other groups) helped, and which hurt: print it.

        Raises:
          ValueError: no step has been allocated yet.
        """
        return self._there().table()

    def weights(self) -> dict[str, np.ndarray]:
        """What each weight got of the loss change: {path of a variable: array of its shape}.

        Weights of one path are told apart as `WeightSpace.layers` tells layers: "d/kernel",
        "d_1/kernel"; in one layer they are numbered on, "w", "w_1".

        Raises:
          ValueError: no step has been allocated yet.
        """
        total, space = self._there().total, self._space
        assert space is not None
        layer = {i: name for name, inside in of_layers(space).items() for i in inside}
        paths = [v.path for v in space.variables]
        parts = np.split(total, np.cumsum(space.sizes)[:-1])
        found = []
        for i, (v, part) in enumerate(zip(space.variables, parts, strict=True)):
            shared = paths.count(v.path) > 1 and i in layer
            found.append((f"{layer[i]}/{v.name}" if shared else v.path, part.reshape(space.shapes[i])))
        return named(found)

    def neurons(self) -> dict[str, np.ndarray]:
        """What each neuron or channel got of the loss change: {layer: [units]}; see `units.neurons`.

        Every weight is of one: together they got what the weights did.

        Raises:
          ValueError: no step has been allocated yet.
        """
        total, space = self._there().total, self._space
        assert space is not None
        return self._short(
            {name: np.bincount(unit, total[where]) for name, (where, unit) in units(space).items()}
        )

    def __repr__(self) -> str:
        return f"LossAllocation({'no step yet' if self.allocation is None else self.allocation})"

    # ---- what Keras calls -----------------------------------------------------------------------

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._begun_at, self._stopped, self._others = self._batch, False, []
        if self._in_epoch:  # the `fit` before was interrupted: what moved since its last point is open
            self._epoch += 1
            self._since, self._in_epoch = 0, 0
        if (at_once := self._counter.at_once(self.model)) > 1:
            warnings.warn(
                f"model {self.model.name!r} takes {at_once} batches at once (steps_per_execution): "
                "LossAllocation credits their loss change to the straight line from first to last.",
                stacklevel=2,
            )

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._counter.begin(self.model)
        if self._last not in self.beside:  # nothing known of other callbacks
            self._look()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        count = self._counter.taken(self.model)
        self._batch += count
        self._since += count
        self._in_epoch += count
        if self._since >= self.every:
            self._step()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._since:
            self._step()
        self._epoch += 1
        self._in_epoch = 0

    def on_train_end(self, logs: dict | None = None) -> None:
        super().on_train_end(logs)
        if self._since:  # called by hand, without epochs
            self._step()
        if not self._steps and not self._stopped and self._batch > self._begun_at:
            warnings.warn(
                f"the optimizer of model {self.model.name!r} must move its weights to have anything "
                f"allocated; none moved in {self._batch - self._begun_at} batches.",
                stacklevel=2,
            )
        if self._last not in self.beside:
            self._leave()

    # ---- the path -------------------------------------------------------------------------------

    def _look(self):
        """Begin the path, or go on with it where something else than a batch has moved the weights."""
        if self._since or self._stopped:
            return
        if not self.model.built:
            build(self.model, self._given, self._data)
        theta, allocation = self._theta(), self._made()
        if self._batch == self._begun_at:
            self._others = self._not_held()
        if allocation.theta is None or not np.array_equal(allocation.theta, theta):
            self._guarded(allocation.start, theta)

    def _leave(self):
        """See what is left in the model at the end of `fit`."""
        if self.allocation is not None:
            self._look()

    def _step(self):
        self._since = 0
        if self._stopped:
            return
        theta, allocation = self._theta(), self._made()
        if allocation.theta is None:  # a first batch of which nothing was told
            self._guarded(allocation.start, theta)
        elif not np.array_equal(allocation.theta, theta) and self._guarded(allocation.step, theta):
            self._steps.append((self._batch, self._epoch))
            self._warn_of_others()

    def _guarded(self, go, theta):
        """Whether the path went on; a loss that is NaN ends it."""
        try:
            go(theta)
        except NotFinite as error:
            self._stopped = True
            warnings.warn(f"LossAllocation stops at batch {self._batch}: {error}", stacklevel=2)
        return not self._stopped

    def _theta(self):
        if self._space is None:
            self._space = WeightSpace(self.model)
        space = self._space
        known = set(map(id, space.variables))
        if new := [v.path for v in self.model.trainable_variables if id(v) not in known]:
            raise ValueError(
                f"model {self.model.name!r} must train no other weights than at the first step of its "
                f"LossAllocation; received {', '.join(new)} besides."
            )
        return space.flatten(trained_values(self.model, space.variables))

    def _not_held(self):
        """What the optimizer has trained of the model that is not in theta, and its values."""
        known = set(map(id, self._space.variables))
        own = set(map(id, self.model.variables)) - known
        trained = _keras.trained_by_optimizer(self.model)
        return [(v, v.numpy()) for v in trained if id(v) in own]

    def _warn_of_others(self):
        moved = [v.path for v, before in self._others if not np.array_equal(v.numpy(), before)]
        self._others = []
        if moved:
            warnings.warn(
                f"model {self.model.name!r} still trains {', '.join(moved)}, frozen since it was "
                "compiled: the loss that LossAllocation allocates has them as they were at its first "
                "step. Compile the model again after freezing layers.",
                stacklevel=2,
            )

    def _short(self, found):
        """Without the name of the model before each."""
        return named((name.removeprefix(f"{self.model.name}/"), v) for name, v in found.items())

    def _there(self):
        if self.allocation is None:
            raise ValueError("a LossAllocation must see a step of fit first; it has seen none.")
        return self.allocation

    def _made(self):
        if self.allocation is not None:
            return self.allocation
        space = self._space
        landscape, held_out = landscapes(
            self.model, self._given, self._data, self._held_out, space.dimension
        )
        groups = self._groups
        if isinstance(groups, str):
            groups = self._short(space.layers if groups == "layers" else neurons(space))
        self.allocation = Allocation(landscape, held_out=held_out, groups=groups, **self._how)
        if self._resumed is not None:
            self.allocation.state, self._resumed = self._resumed, None
        return self.allocation

    # ---- beside a backup, and other callbacks -----------------------------------------------------

    def _followers(self):
        return [self._last]

    def _state(self):
        steps = np.array(self._steps, np.int64).reshape(-1, 2)
        counts = np.array([self._batch, self._epoch, self._since, self._stopped], np.int64)
        inner = {} if self.allocation is None else self.allocation.state
        return {"counts": counts, "ends": steps, **{f"allocation/{n}": a for n, a in inner.items()}}

    def _resume(self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]):
        self._batch, self._epoch, self._since, stopped = map(int, state["counts"])
        self._stopped, self._begun_at, self._in_epoch = bool(stopped), self._batch, 0
        self._steps = [(int(batch), int(epoch)) for batch, epoch in state["ends"]]
        front = "allocation/"
        inner = {n.removeprefix(front): a for n, a in state.items() if n.startswith(front)}
        self.allocation, self._resumed = None, inner or None


class _AfterAll(Placed):
    """Has a LossAllocation look once all other callbacks have done what they do."""

    place = AFTER_ALL

    def __init__(self, allocation: LossAllocation) -> None:
        super().__init__()
        self._allocation = allocation

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._allocation._look()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._allocation._leave()
