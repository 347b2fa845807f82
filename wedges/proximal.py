"""Exact zeros while a model is fitted: `Proximal`.

sparse = wedges.Proximal(wedges.Compressibility(1e-3))
model.fit(x, y, epochs=20, callbacks=[sparse])
sparse.zeros                                        # the share of the kernels' weights that are 0
wedges.compressed_size(model, bits=8, coder="lzma")
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import compiled
from wedges.callbacks.places import FIRST, Placed
from wedges.callbacks.standing import trained_values
from wedges.regularizers import check_penalty, proximal_steps, undefined_at_zero


class Proximal(Placed):
    """After each step of the optimizer a proximal step of a penalty on the kernels, which makes zeros.

        w <- proximal_step(w, penalty, h),    h = learning rate / (1 - momentum)

    The penalty then is no part of the loss: neither momentum nor Adam's division by a gradient's size
    touches it. Under momentum a gradient moves a weight by h times itself in the long run, so that with
    this h a weight at rest has grad L + grad penalty = 0, as if the penalty were in the loss, up to a
    share of the order of h. Under Adam and the like, whose steps do not depend on the size of the
    gradient, it is a penalty apart from the loss, as AdamW's weight decay is: strengths are not
    comparable with those of SGD.

    The share of zeros is in the logs as "zeros", for `History`, `CSVLogger` and others. Where several
    steps run at once (`steps_per_execution`), so many are made up for in one. Constraints of the weights
    are applied once more afterwards.

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> sparse = wedges.Proximal(keras.regularizers.L1(0.1))
    >>> x, y = np.eye(8, dtype="float32"), np.diag([8.0] + 7 * [0.0])[:, :4].astype("float32")
    >>> history = model.fit(x, y, epochs=100, verbose=0, callbacks=[sparse]).history
    >>> history["zeros"][-1], sparse.zeros  # all 32 weights but one
    (0.96875, 0.96875)

    Args:
      penalty: `wedges.Compressibility`, `wedges.HoyerSquare`, or Keras' L1, L2 or L1L2.
      variables: what it is for; by default every trained weight of two or more axes: kernels and
        embeddings, not biases and normalisations.
      group: all of them are one vector, instead of each by itself.

    Raises:
      ValueError: another penalty; when `fit` begins, an optimizer without a learning rate, with a
        momentum of 1 or with `use_ema`, whose averages have no exact zeros, no weights of two axes,
        variables that are not floating, or are 0 under a penalty that is not defined there.

    Warns:
      UserWarning: a weight has become 0 as a whole.
    """

    place = FIRST  # before History looks at the logs

    def __init__(
        self, penalty: Any, variables: Sequence[keras.Variable] | None = None, *, group: bool = False
    ) -> None:
        super().__init__()
        check_penalty(penalty)
        self.penalty, self.group = penalty, bool(group)
        self._given = None if variables is None else list(variables)
        self._variables: list[keras.Variable] = []
        self._dead: set[str] = set()

    def __repr__(self) -> str:
        return f"Proximal({self.penalty!r}{', group=True' if self.group else ''})"

    @property
    def zeros(self) -> float:
        """The share of components that are 0, of all variables that it is for; NaN before a `fit`."""
        if not self._variables:
            return float("nan")
        values = trained_values(self.model, self._variables)
        return float(sum((v == 0).sum() for v in values) / sum(v.size for v in values))

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._variables, self._dead = [], set()
        if self.model.built or self._given is not None:
            self._variables = self._chosen()
        optimizer = self._optimizer()
        if getattr(optimizer, "use_ema", False):
            raise ValueError(
                "a proximal step needs an optimizer without use_ema, whose averages have no exact "
                f"zeros; received {type(optimizer).__name__} with use_ema=True."
            )
        if self._momentum() >= 1:
            raise ValueError(f"a proximal step needs a momentum below 1; received {self._momentum():g}.")
        self._take = compiled(self._move)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._before = self._taken(), _keras.batches_given(self.model)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._variables = self._variables or self._chosen()  # of a model that its first batch has built
        if rates := self._rates():
            self._take(tf.constant(rates / (1 - self._momentum()), tf.float64))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs["zeros"] = self.zeros
        for v in self._variables:
            if v.path not in self._dead and not np.any(v):
                self._dead.add(v.path)
                warnings.warn(
                    f"all of {v.path!r} is 0 now: nothing passes through it, and no gradient; use a "
                    "lower strength.",
                    stacklevel=2,
                )

    def _move(self, h):
        values = [v.value for v in self._variables]
        moved = proximal_steps(values, self.penalty, h, group=self.group)
        for v, value in zip(self._variables, moved, strict=True):
            v.assign(value if v.constraint is None else v.constraint(value))

    def _chosen(self):
        variables = self._given
        if variables is None:
            variables = [v for v in self.model.trainable_variables if len(v.shape) > 1]
        if not variables:
            raise ValueError(
                f"model {self.model.name!r} must have a trained weight of two or more axes, or "
                "variables must be given; received neither."
            )
        for v in variables:
            name, dtype = getattr(v, "path", repr(v)), getattr(v, "dtype", type(v).__name__)
            if not isinstance(v, keras.Variable) or not tf.as_dtype(dtype).is_floating:
                raise ValueError(
                    f"variables must be floating Keras variables; received {name}, {dtype}."
                )
        dead = [v.path for v in variables if not np.any(v)]
        undefined = len(dead) == len(variables) if self.group else bool(dead)
        if undefined and undefined_at_zero(self.penalty):
            raise ValueError(
                f"variables must have a component other than 0, or {self.penalty!r} is not defined; "
                f"received zeros in {dead[0]!r}."
            )
        return variables

    def _optimizer(self):
        optimizer = _keras.optimizer_of(self.model)
        if getattr(optimizer, "learning_rate", None) is None:
            raise ValueError(
                "a proximal step needs the learning rate of the model's optimizer; received "
                f"{type(optimizer).__name__}, which has none."
            )
        return optimizer

    def _rates(self):
        """The learning rates of the steps since the batch began, added up."""
        optimizer, (taken, given) = self._optimizer(), self._before
        schedule = _keras.learning_rate(optimizer)
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            # As it is now: a callback may have set it after this one had seen the batch begin.
            return (self._taken() - taken) * float(optimizer.learning_rate)
        every = optimizer.gradient_accumulation_steps or 1
        steps = range(given, _keras.batches_given(self.model))
        return sum(float(schedule(tf.constant(i))) for i in steps if (i + 1) % every == 0)

    def _momentum(self):
        return float(getattr(self._optimizer(), "momentum", 0.0) or 0.0)

    def _taken(self):
        """How many steps the optimizer has taken; several gradients may be gathered for one."""
        return int(self._optimizer().iterations)
