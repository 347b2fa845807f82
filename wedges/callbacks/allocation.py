"""Which layers of a network make the loss fall while it is fitted: `LossAllocation`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wedges import _checks
from wedges.allocation import Allocation, NotFinite, Table
from wedges.callbacks.resuming import Resumed
from wedges.callbacks.standing import trained_values
from wedges.landscape import Landscape, Quadratic, WithExamples
from wedges.network.landscape import NetworkLandscape
from wedges.network.weights import WeightSpace

if TYPE_CHECKING:
    from wedges.allocation.tables import Groups


class LossAllocation(Resumed):
    """Allocates the change of a loss to the weights, step by step of a `fit` with any optimizer.

        A_ti = (theta_{t+1,i} - theta_{t,i}) * mean of dL/dtheta_i over step t,    sum A = L_T - L_0

    A weight helps where A < 0 and hurts where A > 0. L is the loss over all of x, y in inference,
    whatever minibatches, dropout and regularisers the training sees; theta is all trainable weights.

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
    loss change is still all allocated, but to the line and not to the way between. So it is, with a
    warning, where Keras takes several batches at once (`steps_per_execution`). Batches that change no
    weight, because gradients are accumulated, are no steps.

    What moves the weights between two steps is credited to none, and told as `jumps`: weights set by
    hand, and the average of an optimizer with `use_ema`, which Keras puts into the model at the end of
    `fit`. Averages that stand in the model for a validation are not seen. A layer that is frozen later
    stands still; one that is thawed later is refused.

    Beside a `BackupAndRestore` it is resumed with the training, bit for bit. Where the loss is NaN or
    infinite it stops with a warning and keeps what it has; training goes on.

    Args:
      landscape: whose loss is allocated; its theta must be all trainable weights of the model. A
        `NetworkLandscape` with frozen batch norm warns: its statistics would not follow theta.
      x, y: instead of a landscape, examples: it is then a `NetworkLandscape` of the model with the loss
        that it is compiled with, batch norm's statistics re-estimated at each theta. Weights that are
        not trained, and all other state, are those of the first step.
      held_out: another landscape, or a pair (x, y), whose loss is allocated beside it.
      groups: of weights, whose sums are kept for each step: "layers", "neurons" (as `neurons` finds
        them), or as for `wedges.Allocation`.
      every: batches from one point of the path to the next. An epoch's end is always one.
      rule, tolerance: as for `wedges.Allocation`.

    Attributes:
      allocation: the `wedges.Allocation`, with all numbers; None before the first step.
      batches: how many batches had ended after each step [T].
      epochs: the epoch of each step [T], counted from 0 over all `fit`s that it is given to.

    Raises:
      ValueError: neither a landscape nor x and y; a landscape of another dimension; a model without
        trainable weights, or with others than at the first step.
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
        self.every = _checks.whole("every", every)
        self.allocation: Allocation | None = None
        self._given, self._data, self._held_out = landscape, (x, y), held_out
        self._groups = groups
        self._how: dict[str, Any] = {"rule": rule, "tolerance": tolerance}
        Allocation(Quadratic([1.0]), **self._how)  # what is wrong with these is told before training
        self._space: WeightSpace | None = None
        self._resumed: Mapping[str, np.ndarray] | None = None  # until there is an allocation
        self._steps: list[tuple[int, int]] = []  # batches and epoch of each
        self._batch, self._epoch, self._since = 0, 0, 0  # how many; of them since the last point
        self._stopped = False

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

        Raises:
          ValueError: no step has been allocated yet.
        """
        total, space = self._there().total, self._space
        assert space is not None
        parts = np.split(total, np.cumsum(space.sizes)[:-1])
        pairs = zip(space.variables, parts, space.shapes, strict=True)
        return {v.path: part.reshape(shape) for v, part, shape in pairs}

    def neurons(self) -> dict[str, np.ndarray]:
        """What each neuron or channel got of the loss change: {layer: [units]}; see `neurons`.

        Raises:
          ValueError: no step has been allocated yet.
        """
        total, space = self._there().total, self._space
        assert space is not None
        return {
            name.removeprefix(f"{self.model.name}/"): np.bincount(unit, total[where])
            for name, (where, unit) in _units(space).items()
        }

    def __repr__(self) -> str:
        return f"LossAllocation({'no step yet' if self.allocation is None else self.allocation})"

    # ---- what Keras calls -----------------------------------------------------------------------

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._begun_at = self._batch
        at_once = getattr(self.model, "steps_per_execution", 1)
        if isinstance(at_once, int) and at_once > 1:
            warnings.warn(
                f"model {self.model.name!r} takes {at_once} batches at once (steps_per_execution): "
                "LossAllocation credits their loss change to the straight line from first to last.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._seen = -1

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._since or self._stopped or not self.model.built:
            return
        theta, allocation = self._theta(), self._made()
        if allocation.theta is None or not np.array_equal(allocation.theta, theta):
            self._guarded(allocation.start, theta)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if (steps := (self.params or {}).get("steps")) is not None:
            batch = min(batch, steps - 1)  # Keras counts the last ones of an epoch as if they were full
        count, self._seen = batch - self._seen, batch
        self._batch += count
        self._since += count
        if self._since >= self.every:
            self._step()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._since:
            self._step()
        self._epoch += 1

    def on_train_end(self, logs: dict | None = None) -> None:
        super().on_train_end(logs)
        if not self._steps and not self._stopped and self._batch > self._begun_at:
            warnings.warn(
                f"the optimizer of model {self.model.name!r} must move its weights to have anything "
                f"allocated; none moved in {self._batch - self._begun_at} batches.",
                stacklevel=2,
            )

    # ---- the path -------------------------------------------------------------------------------

    def _step(self):
        self._since = 0
        if self._stopped:
            return
        theta, allocation = self._theta(), self._made()
        if allocation.theta is None:  # a model that its first batch has built
            self._guarded(allocation.start, theta)
        elif not np.array_equal(allocation.theta, theta) and self._guarded(allocation.step, theta):
            self._steps.append((self._batch, self._epoch))

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

    def _there(self):
        if self.allocation is None:
            raise ValueError("a LossAllocation must see a step of fit first; it has seen none.")
        return self.allocation

    def _made(self):
        if self.allocation is not None:
            return self.allocation
        space = self._space
        landscape, held_out = self._given, self._held_out
        if landscape is None:
            landscape = NetworkLandscape(self.model, *self._data, seed=0, batch_norm="reestimate")
        if landscape.dimension != space.dimension:
            raise ValueError(
                f"landscape must have a dimension for each of the {space.dimension} trainable weights "
                f"of model {self.model.name!r}; received one of {landscape.dimension}."
            )
        if isinstance(held_out, (tuple, list)):
            if not isinstance(landscape, WithExamples):
                raise ValueError(
                    f"held_out must be a landscape beside {type(landscape).__name__}, which has no "
                    "examples to replace; received a pair."
                )
            held_out = landscape.on(*held_out)
        groups = self._groups
        if isinstance(groups, str):
            found = space.layers if groups == "layers" else neurons(space)
            groups = {name.removeprefix(f"{self.model.name}/"): where for name, where in found.items()}
        self.allocation = Allocation(landscape, held_out=held_out, groups=groups, **self._how)
        if self._resumed is not None:
            self.allocation.state, self._resumed = self._resumed, None
        return self.allocation

    # ---- beside a backup ------------------------------------------------------------------------

    def _state(self):
        steps = np.array(self._steps, np.int64).reshape(-1, 2)
        counts = np.array([self._batch, self._epoch, self._since, self._stopped], np.int64)
        inner = {} if self.allocation is None else self.allocation.state
        return {"counts": counts, "ends": steps, **{f"allocation/{n}": a for n, a in inner.items()}}

    def _resume(self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]):
        self._batch, self._epoch, self._since, stopped = map(int, state["counts"])
        self._stopped, self._begun_at = bool(stopped), self._batch
        self._steps = [(int(batch), int(epoch)) for batch, epoch in state["ends"]]
        front = "allocation/"
        inner = {n.removeprefix(front): a for n, a in state.items() if n.startswith(front)}
        self.allocation, self._resumed = None, inner or None


def neurons(space: WeightSpace) -> dict[str, np.ndarray]:
    """Where the weights of each neuron or channel stand in theta: {"layer/unit": indices}.

    A unit is what one output of a kernel is made with, as `WeightSpace.filters` counts them, and the
    numbers of the layer's vectors that belong to it: its bias, or gamma and beta of a channel. In a
    layer whose weights count different units (a separable convolution) each has its own,
    "layer/weight/unit".

    >>> layers = [keras.Input((3,)), keras.layers.Dense(2, name="fc")]
    >>> space = wedges.WeightSpace(keras.Sequential(layers, name="net"))
    >>> {name: where.tolist() for name, where in wedges.callbacks.allocation.neurons(space).items()}
    {'net/fc/0': [0, 2, 4, 6], 'net/fc/1': [1, 3, 5, 7]}
    """
    found = {}
    for name, (where, unit) in _units(space).items():
        order = np.argsort(unit, kind="stable")
        parts = np.split(where[order], np.cumsum(np.bincount(unit))[:-1])
        found.update({f"{name}/{i}": part for i, part in enumerate(parts)})
    return found


def _units(space):
    """{layer: (indices in theta, the unit of each)}, weights that belong to no unit left out."""
    ends = np.cumsum([0, *space.sizes])
    layer = {int(i): name for name, where in space.layers.items() for i in np.intersect1d(where, ends)}
    parts: dict[str, list[tuple[str, np.ndarray, np.ndarray, int]]] = {}
    for v, start, end, shape in zip(space.variables, ends[:-1], ends[1:], space.shapes, strict=True):
        units = space.filters[start:end]
        if len(shape) == 1:
            units = np.arange(end - start)
        elif units[:1].tolist() in ([], [-1]):
            continue
        units = units - units.min()
        parts.setdefault(layer[start], []).append(
            (v.name, np.arange(start, end), units, units.max() + 1)
        )
    found = {}
    for name, own in parts.items():
        counts = {count for *_, count in own}
        for count in sorted(counts):
            these = [part for part in own if part[-1] == count]
            key = name if len(counts) == 1 else f"{name}/{these[0][0]}"
            found[key] = tuple(np.concatenate([part[i] for part in these]) for i in (1, 2))
    return found
