"""Batch norm's statistics as a function of theta.

In inference a batch-norm layer normalises with a mean and a variance of its own. They belong to the
weights that they were gathered with, so that at another theta they must be gathered again:

    m(theta) = mean over all of x of each layer's input and of its square, in training mode

Mean and variance follow from these moments, and (dm / dtheta)^T gives a loss that depends on them its
exact gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.network.batches import share
from wedges.network.examples import Examples

if TYPE_CHECKING:
    from wedges.network.stateless import StatelessModel


class _Layer(NamedTuple):
    """A batch-norm layer."""

    mean: int  # where its moving mean stands in the state
    variance: int  # where its moving variance stands
    layer: keras.layers.BatchNormalization


class BatchNorm:
    """The statistics of the batch-norm layers of a `StatelessModel`, at any theta.

    Args:
      network: the model.
    """

    def __init__(self, network: StatelessModel) -> None:
        place = {id(v): i for i, v in enumerate(network.variables)}
        # A frozen batch-norm layer keeps its statistics in training too, so it is left out.
        self._layers = [
            _Layer(place[id(b.moving_mean)], place[id(b.moving_variance)], b)
            for b in _keras.flat_layers(network.model)
            if isinstance(b, keras.layers.BatchNormalization)
            and b.trainable
            and id(b.moving_mean) in place
        ]
        self._network = network
        self._initial = network.space.read()
        # Of `_layers` those whose statistics a training-mode pass moves, and 1 - w of each; see
        # `_find_moving`, which needs examples.
        self._moving: list[_Layer] | None = None
        self._divisors: list[float] = []

    @property
    def present(self) -> bool:
        """Whether the model has a batch-norm layer that is not frozen; the same at all times."""
        return bool(self._layers)

    def moments(self, theta: tf.Tensor, examples: Examples, batch_size: int) -> list[tf.Tensor]:
        """Mean and second moment of each batch-norm input over all of x, in training-mode passes.

        Second moments are pooled because their mean over batches is that of all examples, which is
        not so for variances.

        Args:
          theta: [D].
          examples: whose inputs.
          batch_size: examples in each pass.

        Returns:
          [mean, second moment, mean, ...], each [channels]; of the layers that training moves.
        """

        def add(batch, sums):
            found, x = [], batch[0]
            for s, m in zip(sums, self._batch_moments(theta, x), strict=True):
                found.append(s + share(x, examples.size, m.dtype) * m)
            return found

        moving = self._find_moving(examples)
        if not moving:
            return []
        state = self._network.state
        zeros = [tf.zeros_like(state[i]) for b in moving for i in (b.mean, b.variance)]
        return examples.fold(add, zeros, batch_size)

    def pullback(
        self, theta: tf.Tensor, examples: Examples, batch_size: int, upstream: list[tf.Tensor]
    ) -> tf.Tensor:
        """(d moments / d theta)^T upstream, [D], in the memory of one batch."""

        def add(batch, gradient):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                moments = self._batch_moments(theta, batch[0])
            new = tape.gradient(moments, theta, upstream, unconnected_gradients="zero")
            return gradient + share(batch[0], examples.size, new.dtype) * new

        return examples.fold(add, tf.zeros_like(theta), batch_size)

    def state_of(self, moments: list[tf.Tensor]) -> list[tf.Tensor]:
        """The model's state with batch-norm statistics from `moments`."""
        state = list(self._network.state)
        for b, mean, second in zip(self._moving or [], moments[::2], moments[1::2], strict=True):
            state[b.mean] = mean
            state[b.variance] = tf.nn.relu(second - mean**2)  # rounding may take it below zero
        return state

    def write(self, state: list[tf.Tensor]) -> None:
        """Assign the statistics of a `state_of` to the model; those that never move stay as they are."""
        for b in self._moving or []:
            b.layer.moving_mean.assign(state[b.mean])
            b.layer.moving_variance.assign(state[b.variance])

    def _batch_moments(self, theta, x):
        # A training-mode call moves a statistic m to w m + (1 - w) batch. From m = 0 the batch's own
        # statistic is the result over 1 - w.
        moving = self._moving or []
        state = _filled(self._network.reseeded(0, 0), moving, 0.0)
        state = self._network(theta, state, x, training=True).state
        moments = []
        for b, divisor in zip(moving, self._divisors, strict=True):
            mean = state[b.mean] / divisor
            moments += [mean, state[b.variance] / divisor + mean**2]
        return moments

    def _find_moving(self, examples):
        """The layers whose statistics training moves; finds 1 - w of each of them as well.

        w = momentum^k for a layer that is called k times. k is found by two calls on two examples,
        once. A layer that never moves its statistics (called in inference mode, or not at all) keeps
        them.
        """
        if self._moving is not None:
            return self._moving
        with tf.init_scope():
            two = examples.first(2)[0]
            from_zero, from_one = (
                self._network(
                    self._initial,
                    _filled(self._network.reseeded(0, 0), self._layers, m),
                    two,
                    training=True,
                ).state
                for m in (0.0, 1.0)
            )
            left = [np.array(from_one[b.mean] - from_zero[b.mean]) for b in self._layers]
        moving, divisors = [], []
        for b, w in zip(self._layers, left, strict=True):
            w, momentum = float(np.mean(w)), b.layer.momentum
            if abs(w - 1) < 1e-9 or momentum >= 1:
                continue
            calls = round(np.log(w) / np.log(momentum)) if 0 < w < 1 and momentum > 0 else 1
            moving.append(b)
            divisors.append(1 - momentum ** max(calls, 1))
        self._moving, self._divisors = moving, divisors
        return moving


def _filled(state, layers, value):
    """The state, every statistic of `layers` a constant."""
    for b in layers:
        for i in (b.mean, b.variance):
            state[i] = tf.fill(state[i].shape, tf.cast(value, state[i].dtype))
    return state
