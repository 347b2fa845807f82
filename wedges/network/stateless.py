"""A Keras model as a pure function: (theta, state, x) -> outputs.

`theta` is what is trained; `state` is every other variable (batch-norm statistics, dropout's random
seeds, frozen weights), copied once. The model itself is never changed: each call happens in a
`keras.StatelessScope`, where its variables have other values.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from wedges import _keras
from wedges.network.batch_norm import BatchNorm
from wedges.network.weights import WeightSpace


class Call(NamedTuple):
    """What a call of a model leaves.

    Attributes:
      outputs: as the model returns them, a tensor or a structure of tensors [B, ...].
      state: the state after the call.
      added: the losses that layers have added, by `add_loss` or for their activity.
      penalties: the losses of the weights' regularisers.
    """

    outputs: Any
    state: list[tf.Tensor]
    added: list[tf.Tensor]
    penalties: list[tf.Tensor]


class StatelessModel:
    """Outputs of a built Keras model at any flat theta, without touching the model.

    Args:
      model: a built `keras.Model`.
      space: its `WeightSpace`; by default that of what it trains now.
      state: values of its other variables, in their order; by default those that they have now.

    Attributes:
      model: as given.
      space: the model's `WeightSpace`.
      variables: the model's variables that are not in theta.
      state: their values when this object was made, a list of tensors.
      batch_norm: the model's `BatchNorm`: its statistics as a function of theta.
    """

    def __init__(
        self,
        model: keras.Model,
        space: WeightSpace | None = None,
        state: Sequence[tf.Tensor] | None = None,
    ) -> None:
        self.space = WeightSpace(model) if space is None else space
        self.model = model
        parameters = inspect.signature(model.call).parameters
        self._takes_training = "training" in parameters  # as Keras asks
        needed = [
            p for p in parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        self._inputs = len([p for p in needed if p.name not in ("training", "mask")])
        trained = {id(v) for v in self.space.variables}
        self.variables = [v for v in model.variables if id(v) not in trained]
        values = [v.value for v in self.variables] if state is None else state
        self.state = [tf.identity(tf.convert_to_tensor(v)) for v in values]
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

    @contextlib.contextmanager
    def at(self, theta: tf.Tensor, state: list[tf.Tensor]) -> Iterator[keras.StatelessScope]:
        """While it lasts, the model's weights are theta [D] and its other variables `state`.

        Raises:
          ValueError: the model has gained a trainable weight.
        """
        values = dict(zip(map(id, self.space.variables), self.space.unflatten(theta), strict=True))
        values.update(zip(map(id, self.variables), state, strict=True))
        for v in self.model.trainable_variables:
            if id(v) not in values:
                raise ValueError(
                    f"model {self.model.name!r} has gained the weight {v.path!r} since it was "
                    "captured; make the landscape again."
                )
        pairs = [(v, values[id(v)]) for v in self.space.variables + self.variables]
        for v in self.model.non_trainable_variables:
            if id(v) not in values:  # what compile() or fit() has added since: counters
                with tf.init_scope():
                    pairs.append((v, tf.convert_to_tensor(v.value)))
        with keras.StatelessScope(
            state_mapping=pairs, collect_losses=True, initialize_variables=False
        ) as scope:
            yield scope

    def call(self, x: Any, scope: keras.StatelessScope, *, training: bool) -> Call:
        """One call of the model within a scope that `at` gave.

        Args:
          x: inputs, [B, ...] or a structure of them; a tuple or dict of them goes to a `call` of several
            arguments one by one.
          scope: the scope.
          training: call the layers as in training: dropout, and batch norm by the batch's statistics.
        """
        how = {"training": training} if self._takes_training else {}
        if self._inputs > 1 and isinstance(x, (tuple, list)):
            outputs = self.model(*x, **how)
        elif self._inputs > 1 and isinstance(x, dict):
            outputs = self.model(**x, **how)
        else:
            outputs = self.model(x, **how)
        losses = self.model.losses
        regularized = sum(v.regularizer is not None for v in self.model.trainable_weights)
        added = len(losses) - regularized  # regularisers come last
        after = [scope.get_current_value(v) for v in self.variables]
        return Call(outputs, after, losses[:added], losses[added:])

    def __call__(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any, *, training: bool) -> Call:
        """One call of the model, its weights theta and its other variables `state`.

        Args:
          theta: [D].
          state: shaped as `self.state`.
          x: inputs, [B, ...] or a structure of them.
          training: call the layers as in training: dropout, and batch norm by the batch's statistics.

        Raises:
          ValueError: the model has gained a trainable weight.
        """
        with self.at(theta, state) as scope:
            return self.call(x, scope, training=training)

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
