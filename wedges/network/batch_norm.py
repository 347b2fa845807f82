"""Batch norm's statistics as a function of theta.

In inference a batch-norm layer normalises with a mean and a variance of its own. They belong to the
weights that they were gathered with, so that at another theta they must be gathered again:

    m(theta) = mean over all of x of each layer's input z and of (z - c)^2, in training mode

Mean and variance follow from these moments, and (dm / dtheta)^T gives a loss that depends on them its
exact gradient. c is a constant in all derivatives, the mean of z at the theta where they are taken: a
second moment about 0 would lose the variance in rounding where the mean is large. A layer that is given
a mask takes its means over the positions that count, and so each batch counts by their number.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import compiled
from wedges.network.batches import batch_size as size_of
from wedges.network.batches import share
from wedges.network.examples import Examples

if TYPE_CHECKING:
    from wedges.network.stateless import StatelessModel


_ONE_AT_A_TIME = threading.RLock()  # of the threads that look at what layers are given


class _Layer(NamedTuple):
    """A batch-norm layer."""

    mean: int  # where its moving mean stands in the state
    variance: int  # where its moving variance stands
    layer: keras.layers.BatchNormalization


class _Inputs(NamedTuple):
    """What is known of the examples that statistics are gathered over."""

    few: Any  # the inputs of the first two
    positions: list[Any]  # how many count in all, for each moving layer; None for one without a mask


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
        self._masked: list[bool] = []  # of each whether it is given a mask
        self._known: weakref.WeakKeyDictionary[Examples, _Inputs] = weakref.WeakKeyDictionary()

    @property
    def present(self) -> bool:
        """Whether the model has a batch-norm layer that is not frozen; the same at all times."""
        return bool(self._layers)

    def moments(self, theta: tf.Tensor, examples: Examples, batch_size: int) -> list[tf.Tensor]:
        """Mean and second moment about it of each batch-norm input over all of x, in training mode.

        Second moments about one number are pooled because their mean over batches is that of all
        examples, which is not so for variances. The number is near the mean: that of a few examples.

        Args:
          theta: [D].
          examples: whose inputs.
          batch_size: examples in each pass.

        Returns:
          [mean, second moment about it, mean, ...], each [channels]; of the layers that training moves.

        Raises:
          ValueError: a layer that is called several times, with a mask; one with renorm=True.
        """

        def add(batch, sums):
            found, x = [], batch[0]
            for s, m in zip(sums, self._batch_moments(theta, x, examples, near), strict=True):
                found.append(s + share(x, examples.size, m.dtype) * m)
            return found

        moving = self._find_moving(examples)
        if not moving:
            return []
        self._look_at(examples, batch_size)
        near, state = self._near(theta, examples), self._network.state
        zeros = [tf.zeros_like(state[i]) for b in moving for i in (b.mean, b.variance)]
        sums = examples.fold(add, zeros, batch_size)
        moments = []
        for c, mean, second in zip(near, sums[::2], sums[1::2], strict=True):
            moments += [c + mean, second - tf.square(mean)]
        return moments

    def pullback(
        self,
        theta: tf.Tensor,
        examples: Examples,
        batch_size: int,
        moments: list[tf.Tensor],
        upstream: list[tf.Tensor],
    ) -> tf.Tensor:
        """(d moments / d theta)^T upstream, [D], in the memory of one batch."""
        rows = tf.concat(upstream, axis=0)[None]
        return self.pullbacks(theta, examples, batch_size, moments, rows)[0]

    def pushforward(
        self, theta: tf.Tensor, examples: Examples, batch_size: int, v: tf.Tensor
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The moments at theta, and (d moments / d theta) v for several v, in the memory of one batch.

        theta [D], v [K, D] -> moments, each [channels], and how each moves, [K, channels].
        """
        sizes = self._sizes(examples)
        self._look_at(examples, batch_size)
        near = self._near(theta, examples)

        def add(batch, rows):
            zero = tf.zeros([sum(sizes)], rows.dtype)
            with tf.GradientTape(persistent=True) as linear:
                linear.watch(zero)
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    parts = self._batch_moments(theta, batch[0], examples, near)
                    moments = tf.concat(parts, axis=0)
                # J^T u is linear in u, so its slope along v is J v.
                back = tape.gradient(moments, theta, zero, unconnected_gradients="zero")
            along = lambda row: linear.gradient(back, zero, row, unconnected_gradients="zero")
            new = tf.stack([moments, *(along(row) for row in tf.unstack(v))])
            return rows + share(batch[0], examples.size, rows.dtype) * new

        zeros = tf.zeros([1 + v.shape[0], sum(sizes)], theta.dtype)
        rows = examples.fold(add, zeros, batch_size)
        parts = tf.split(rows, sizes, axis=1)
        moments, moved = [], []
        for c, mean, second in zip(near, parts[::2], parts[1::2], strict=True):
            moments += [c + mean[0], second[0] - tf.square(mean[0])]
            moved += [mean[1:], second[1:] - 2 * mean[0] * mean[1:]]  # about the mean, not about c
        return moments, moved

    def pullbacks(
        self,
        theta: tf.Tensor,
        examples: Examples,
        batch_size: int,
        moments: list[tf.Tensor],
        upstream: tf.Tensor,
        bend: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """(d moments / d theta)^T u for several u, in the memory of one batch; or with curvature, too.

            (d m / d theta)^T u_k + (d^2 (mu . m) / d theta^2) v_k        where `bend` is (mu, v)

        Args:
          theta: [D].
          examples: whose inputs.
          batch_size: examples in each pass.
          moments: at theta.
          upstream: u, [K, channels of all moments in a row].
          bend: mu [channels of all moments] and v [K, D].

        Returns:
          [K, D].
        """
        self._look_at(examples, batch_size)
        about = [tf.stop_gradient(mean) for mean in moments[::2]]

        def add(batch, rows):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(theta)
                with tf.GradientTape() as inner:
                    inner.watch(theta)
                    parts = self._batch_moments(theta, batch[0], examples, about)
                    moments = tf.concat(parts, axis=0)
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
            # The square is 0, but for its derivatives. Rounding may take the rest below zero.
            state[b.variance] = tf.nn.relu(second - tf.square(mean - tf.stop_gradient(mean)))
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

    def _batch_moments(self, theta, x, examples, about):
        """The moments of a batch, less `about` and about it, to count by its share of the examples.

        Those of masked layers are scaled to count by its share of their positions.
        """
        # A training-mode call moves a statistic m to w m + (1 - w) batch. From m = 0 the batch's own
        # statistic is the result over 1 - w.
        moving = self._moving or []
        state = _filled(self._network.reseeded(0, 0), moving, 0.0)
        with _masks(moving) as masks:
            state = self._network(theta, state, x, training=True).state
        totals = self._known[examples].positions
        moments = []
        for b, divisor, total, c in zip(moving, self._divisors, totals, about, strict=True):
            mean, variance = (state[i] * (1 / divisor) for i in (b.mean, b.variance))
            both = [mean - c, variance + tf.square(mean - c)]
            if total is not None:
                of_positions = _counted(masks[id(b.layer)]) / total  # float64
                of_examples = tf.cast(size_of(x), tf.float64) / examples.size
                both = [tf.cast(of_positions / of_examples, m.dtype) * m for m in both]
            moments += both
        return moments

    def _near(self, theta, examples):
        """A number near each layer's mean at theta, [channels]: that of a few examples, a constant."""
        moving, few = self._moving or [], self._known[examples].few
        state = _filled(self._network.reseeded(0, 0), moving, 0.0)
        state = self._network(theta, state, few, training=True).state
        found = [state[b.mean] * (1 / d) for b, d in zip(moving, self._divisors, strict=True)]
        return [tf.stop_gradient(tf.where(tf.math.is_finite(c), c, tf.zeros_like(c))) for c in found]

    def _look_at(self, examples, batch_size):
        """Find what is known of the examples, once: masks are the same at any theta."""
        if examples in self._known:
            return
        moving = self._find_moving(examples)
        totals: list[Any] = [None] * len(moving)
        masked = [i for i, known in enumerate(self._masked) if known]

        @compiled
        def count():
            def add(batch, sums):
                with _masks(moving) as masks:
                    self._network(self._initial, self._network.reseeded(0, 0), batch[0], training=True)
                return [
                    s + _counted(masks[id(moving[i].layer)]) for i, s in zip(masked, sums, strict=True)
                ]

            return examples.fold(add, [tf.zeros([], tf.float64)] * len(masked), batch_size)

        with tf.init_scope():
            few = examples.first(2)[0]
            if masked:
                for i, total in zip(masked, count(), strict=True):
                    totals[i] = total
        self._known[examples] = _Inputs(few, totals)

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
            with _masks(self._layers) as masks:
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
        self._masked = [any(m is not None for m in masks[id(b.layer)]) for b in moving]
        for b, masked in zip(moving, self._masked, strict=True):
            if masked and len(masks[id(b.layer)]) > 2:  # more than once in each of two calls
                raise ValueError(
                    f"layer {b.layer.name!r} must be called once where batch norm is re-estimated, "
                    "since it is given a mask; received a model that calls it several times."
                )
        for b in moving:
            if getattr(b.layer, "renorm", False):  # earlier releases of Keras 3 have none
                raise ValueError(
                    f"layer {b.layer.name!r} must have renorm=False where batch norm is re-estimated: "
                    "with renorm=True its training mode depends on the statistics saved before."
                )
        self._moving, self._divisors = moving, divisors
        return moving


@contextlib.contextmanager
def _masks(layers: list[_Layer]) -> Iterator[dict[int, list[tf.Tensor | None]]]:
    """While it lasts, the masks that each of the layers is given, one for each call: {id: masks}."""
    found: dict[int, list[tf.Tensor | None]] = {id(b.layer): [] for b in layers}

    def noting(layer):
        call = layer.call

        def called(*args, **how):  # inputs, training, mask
            found[id(layer)].append(how.get("mask", args[2] if len(args) > 2 else None))
            return call(*args, **how)

        return called

    with _ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        for b in layers:
            stack.enter_context(_keras.replaced(b.layer, "call", noting(b.layer)))
        yield found


def _counted(masks):
    """How many positions the mask of a layer's only call leaves, [] float64."""
    return tf.reduce_sum(tf.cast(masks[0], tf.float64))


def _filled(state, layers, value):
    """The state, every statistic of `layers` a constant."""
    for b in layers:
        for i in (b.mean, b.variance):
            state[i] = tf.fill(state[i].shape, tf.cast(value, state[i].dtype))
    return state
