"""Batches of examples: their sizes, and minibatches in a random order.

A batch is a triple (x, y, w) of inputs, targets and weights of the examples, each a tensor or a
structure of tensors with one leading axis; y and w are () where there are none.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

# Orders of the examples are held in at most so many numbers, 64 MB; epochs beyond them repeat.
_ORDERS, _NUMBERS = 64, 2**24


def batch_size(batch: Any) -> int | tf.Tensor:
    """How many examples a batch holds: a number where it is known before it runs, else a tensor []."""
    first = tf.nest.flatten(batch)[0]
    return tf.shape(first)[0] if first.shape[0] is None else first.shape[0]


def share(batch: Any, total: int, dtype: tf.DType) -> float | tf.Tensor:
    """The batch's part of `total` examples: a number, or a tensor [] of this dtype."""
    size = batch_size(batch)  # tf.cast(0.1, float64) would round to float32 first
    return size / total if isinstance(size, int) else tf.cast(size / total, dtype)


class Minibatches:
    """Which examples are in minibatch number `step`: a function of (step, seed) alone.

    Every epoch of N // B steps visits each example at most once, in an order of its own; the at most
    B - 1 examples left over differ from epoch to epoch. After 64 epochs (fewer for N above 2^18) the
    orders begin again with the first.

    Args:
      size: N.
      batch_size: B, at most N.
      seed: of the orders.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.steps_per_epoch = size // batch_size

    def rows(self, step: int | tf.Tensor) -> tf.Tensor:
        """The rows of minibatch number `step`, [B] int32."""
        epoch, position = step // self.steps_per_epoch, step % self.steps_per_epoch
        corner = [epoch % self._orders.shape[0], position * self.batch_size]
        return tf.slice(self._orders, corner, [1, self.batch_size])[0]

    @functools.cached_property
    def _orders(self):
        """Random orders of the examples, one for each epoch, [64, N] (fewer for N above 2^18)."""
        epochs = max(1, min(_ORDERS, _NUMBERS // self.size))
        orders = [np.random.default_rng([self.seed, e]).permutation(self.size) for e in range(epochs)]
        with tf.init_scope():  # a tensor of its own, also when first asked for inside a graph
            return tf.constant(np.array(orders, np.int32))
