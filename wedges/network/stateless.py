"""A Keras model as a pure function: (theta, state, x) -> outputs.

`theta` is what is trained; `state` is every other variable (batch-norm statistics, dropout's random
seeds, frozen weights), copied once. The model itself is never changed: each call goes through
`keras.Model.stateless_call`.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from wedges import _keras
from wedges.network.batch_norm import BatchNorm
from wedges.network.weights import WeightSpace


class StatelessModel:
    """Outputs of a built Keras model at any flat theta, without touching the model.

    Args:
      model: a built `keras.Model` with one output.

    Attributes:
      model: as given.
      space: the model's `WeightSpace`.
      variables: the model's variables that are not in theta.
      state: their values when this object was made, a list of tensors.
      batch_norm: the model's `BatchNorm`: its statistics as a function of theta.
    """

    def __init__(self, model: keras.Model) -> None:
        self.space = WeightSpace(model)
        self.model = model
        self._takes_training = "training" in inspect.signature(model.call).parameters  # as Keras asks
        trained = {id(v) for v in self.space.variables}
        self.variables = [v for v in model.variables if id(v) not in trained]
        self.state = [tf.identity(tf.convert_to_tensor(v.value)) for v in self.variables]
        self._random = [
            i
            for i, v in enumerate(self.variables)
            if v.name == _keras.SEED_STATE and tuple(v.shape) == (2,)
        ]
        self.batch_norm = BatchNorm(self)

    @property
    def has_batch_norm(self) -> bool:
        """Whether the model has batch norm that is not frozen: statistics that belong to a theta."""
        return self.batch_norm.present

    def __call__(
        self, theta: tf.Tensor, state: list[tf.Tensor], x: Any, *, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """One call of the model, its weights theta and its other variables `state`.

        Args:
          theta: [D].
          state: shaped as `self.state`.
          x: inputs, [B, ...] or a structure of them.
          training: call the layers as in training: dropout, and batch norm by the batch's statistics.

        Returns:
          Outputs [B, ...], the state after the call, the list of regularisation losses.

        Raises:
          ValueError: a model with several outputs, or one that has gained a trainable weight.
        """
        values = dict(zip(map(id, self.space.variables), self.space.unflatten(theta), strict=True))
        values.update(zip(map(id, self.variables), state, strict=True))
        # In the model's present order: it changes when a layer is frozen or thawed.
        trainable, fixed = self.model.trainable_variables, self.model.non_trainable_variables
        for v in trainable:
            if id(v) not in values:
                raise ValueError(
                    f"model {self.model.name!r} has gained the weight {v.path!r} since it was "
                    "captured; make the landscape again."
                )
        for v in fixed:  # what compile() or fit() has added since: counters, which change no output
            if id(v) not in values:
                with tf.init_scope():
                    values[id(v)] = tf.convert_to_tensor(v.value)
        outputs, fixed_values, penalties = self.model.stateless_call(
            [values[id(v)] for v in trainable],
            [values[id(v)] for v in fixed],
            x,
            return_losses=True,
            **({"training": training} if self._takes_training else {}),
        )
        if not tf.is_tensor(outputs):
            raise ValueError(
                f"a landscape needs a model with one output; {self.model.name!r} returned "
                f"{tf.nest.map_structure(lambda o: tuple(o.shape), outputs)}."
            )
        values.update(zip(map(id, fixed), fixed_values, strict=True))
        return outputs, [values[id(v)] for v in self.variables], penalties

    def reseeded(
        self, seed: int, step: int | tf.Tensor, part: tuple[int | tf.Tensor, int] = (0, 1)
    ) -> list[tf.Tensor]:
        """The state with every random seed in it made new, a function of (seed, step) alone.

        Also of i for part (i, n) of a minibatch, or the parts would all see one mask.

        Keras gives each dropout layer a counter; in a stateless call it stands still, and every
        step would see one mask.
        """
        state = list(self.state)
        for i in self._random:
            fresh = tf.random.experimental.stateless_fold_in(tf.constant([seed, i]), step)  # [2]
            if part[1] > 1:
                fresh = tf.random.experimental.stateless_fold_in(fresh, part[0])
            state[i] = tf.cast(fresh, state[i].dtype)
        return state
