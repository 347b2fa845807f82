"""Examples some at a time: arrays as tensors, passes over them, minibatches in a random order.

Every batch has a static shape, which XLA needs, and only one is in memory at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# Orders of the examples are held in at most so many numbers, 64 MB; epochs beyond them repeat.
_ORDERS, _NUMBERS = 64, 2**24


def tensors(name: str, arrays: Any) -> Any:
    """Arrays in memory, or a dict or tuple of them, as tensors.

    Raises:
      ValueError: anything else; the message calls it `name`.
    """
    try:
        return tf.nest.map_structure(tf.convert_to_tensor, arrays)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be arrays in memory (or a dict or tuple of them); received "
            f"{type(arrays).__name__}. Stack a data set's examples into arrays first."
        ) from error


def leading_size(name: str, arrays: Any) -> int:
    """The number of examples that every tensor in `arrays` must share.

    Raises:
      ValueError: none, or of different sizes; the message calls them `name`.
    """
    sizes = {a.shape[0] if a.shape.rank else 0 for a in tf.nest.flatten(arrays)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"{name} must hold the same number of examples in every array, and at least one; "
            f"received {sorted(sizes)}."
        )
    return sizes.pop()


def share(batch: Any, total: int) -> float:
    """The batch's part of `total` examples."""
    return tf.nest.flatten(batch)[0].shape[0] / total


def fold(function: Callable[[Any, Any], Any], carry: Any, data: Any, batch_size: int) -> Any:
    """carry = function(batch, carry) over the batches of `data`, the last one maybe smaller.

    Args:
      function: of a batch of `data` and what was carried so far; returns the same structure.
      carry: tensors, or a structure of them, to begin with.
      data: tensors of one leading axis, or a structure of them.
      batch_size: examples in each batch but the last one.

    Returns:
      What the last call returned.
    """
    whole, rest = divmod(leading_size("data", data), batch_size)

    def rows(start, n):  # tf.slice, unlike t[start:start + n], keeps n in the static shape
        cut = lambda t: tf.slice(t, [start] + [0] * (t.shape.rank - 1), [n, *t.shape[1:]])
        # Nobody asks for a derivative by the data, whose second one XLA does not have.
        return tf.nest.map_structure(lambda t: tf.stop_gradient(cut(t)), data)

    if whole:
        _, carry = tf.while_loop(
            lambda i, _: i < whole,
            lambda i, c: (i + 1, function(rows(i * batch_size, batch_size), c)),
            (tf.constant(0), carry),
            parallel_iterations=1,
            maximum_iterations=whole,  # XLA must know how much a derivative of the loop has to keep
        )
    if rest:
        carry = function(rows(whole * batch_size, rest), carry)
    return carry


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
