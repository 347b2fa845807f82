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
        return self.pullbacks(theta, examples, batch_size, tf.concat(upstream, axis=0)[None])[0]

    def pushforward(
        self, theta: tf.Tensor, examples: Examples, batch_size: int, v: tf.Tensor
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The moments at theta, and (d moments / d theta) v for several v, in the memory of one batch.

        theta [D], v [K, D] -> moments, each [channels], and how each moves, [K, channels].
        """
        sizes = self._sizes(examples)

        def add(batch, rows):
            none = tf.zeros([sum(sizes)], rows.dtype)
            with tf.GradientTape(persistent=True) as linear:
                linear.watch(none)
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    moments = tf.concat(self._batch_moments(theta, batch[0]), axis=0)
                # J^T u is linear in u, so its slope along v is J v.
                back = tape.gradient(moments, theta, none, unconnected_gradients="zero")
            along = lambda row: linear.gradient(back, none, row, unconnected_gradients="zero")
            new = tf.stack([moments, *(along(row) for row in tf.unstack(v))])
            return rows + share(batch[0], examples.size, rows.dtype) * new

        zeros = tf.zeros([1 + v.shape[0], sum(sizes)], theta.dtype)
        rows = examples.fold(add, zeros, batch_size)
        parts = tf.split(rows, sizes, axis=1)
        return [p[0] for p in parts], [p[1:] for p in parts]

    def pullbacks(
        self,
        theta: tf.Tensor,
        examples: Examples,
        batch_size: int,
        upstream: tf.Tensor,
        bend: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """(d moments / d theta)^T u for several u, in the memory of one batch; or with curvature, too.

            (d m / d theta)^T u_k + (d^2 (mu . m) / d theta^2) v_k        where `bend` is (mu, v)

        Args:
          theta: [D].
          examples: whose inputs.
          batch_size: examples in each pass.
          upstream: u, [K, channels of all moments in a row].
          bend: mu [channels of all moments] and v [K, D].

        Returns:
          [K, D].
        """

        def add(batch, rows):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(theta)
                with tf.GradientTape() as inner:
                    inner.watch(theta)
                    moments = tf.concat(self._batch_moments(theta, batch[0]), axis=0)
                if bend is None:
                    targets, along = [moments], [[u] for u in tf.unstack(upstream)]
                else:
                    mu, v = bend
                    slope = inner.gradient(moments, theta, mu, unconnected_gradients="zero")
                    pairs = zip(tf.unstack(upstream), tf.unstack(v), strict=True)
                    # Both in one call: they share the way back through the model.
                    targets, along = [moments, slope], [list(pair) for pair in pairs]
            back = lambda a: outer.gradient(targets, theta, a, unconnected_gradients="zero")
            return rows + share(batch[0], examples.size, rows.dtype) * tf.stack([back(a) for a in along])

        zeros = tf.zeros([upstream.shape[0], theta.shape[0]], theta.dtype)
        return examples.fold(add, zeros, batch_size)

    def state_of(self, moments: list[tf.Tensor]) -> list[tf.Tensor]:
        """The model's state with batch-norm statistics from `moments`."""
        state = list(self._network.state)
        for b, mean, second in zip(self._moving or [], moments[::2], moments[1::2], strict=True):
            state[b.mean] = mean
            state[b.variance] = tf.nn.relu(second - tf.square(mean))  # rounding may take it below zero
        return state

    def write(self, state: list[tf.Tensor]) -> None:
        """Assign the statistics of a `state_of` to the model; those that never move stay as they are."""
        for b in self._moving or []:
            b.layer.moving_mean.assign(state[b.mean])
            b.layer.moving_variance.assign(state[b.variance])

    def _sizes(self, x):
        """How many numbers each of the moments has."""
        state = self._network.state
        return [state[i].shape[0] for b in self._find_moving(x) for i in (b.mean, b.variance)]

    def _batch_moments(self, theta, x):
        # A training-mode call moves a statistic m to w m + (1 - w) batch. From m = 0 the batch's own
        # statistic is the result over 1 - w.
        moving = self._moving or []
        state = _filled(self._network.reseeded(0, 0), moving, 0.0)
        state = self._network(theta, state, x, training=True).state
        moments = []
        for b, divisor in zip(moving, self._divisors, strict=True):
            mean, variance = (state[i] * (1 / divisor) for i in (b.mean, b.variance))
            moments += [mean, variance + tf.square(mean)]
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
