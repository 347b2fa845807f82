"""Passes over all the data of a network: its loss, its outputs, its gradient.

Each is a function of a `Problem` and of tensors, to be traced in a `tf.function`, and holds the
activations of one microbatch.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from wedges.network.examples import Examples
from wedges.network.problem import Problem
from wedges.network.readout import Readout


def loss(problem: Problem, theta: tf.Tensor, state: list[tf.Tensor]) -> tf.Tensor:
    """L(theta), []. theta [D]."""
    part = lambda batch: problem.part(theta, state, batch)[0]
    return problem.total(part, tf.zeros([], problem.dtype))


def evaluation(
    problem: Problem, readout: Readout, theta: tf.Tensor, state: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]], Any]:
    """L(theta), [], what `readout` counts, and the outputs of all examples in their order.

    Args:
      problem: what to compute.
      readout: what its outputs mean.
      theta: [D].
      state: of the model at theta.

    Returns:
      The loss []; (hits, counted) of each output, [] each; the outputs, each [N, ...].
    """
    flat = tf.nest.flatten(problem.probed[1])
    kept = [_Rows(problem.examples, problem.microbatch, problem.dtype) for _ in flat]
    zero = tf.zeros([], problem.dtype)

    def add(batch, carry):
        total, counts, i, arrays = carry
        loss, outputs = problem.part(theta, state, batch)
        new = readout.hits(problem.terms(batch, outputs), outputs)
        counts = [(a + h, b + n) for (a, b), (h, n) in zip(counts, new, strict=True)]
        found = tf.nest.flatten(outputs)
        arrays = [k.write(a, i, z) for k, a, z in zip(kept, arrays, found, strict=True)]
        return total + loss, counts, i + 1, arrays

    carry = (zero, [(zero, zero)] * len(flat), tf.constant(0), [k.array for k in kept])
    loss, counts, _, arrays = problem.examples.fold(add, carry, problem.microbatch)
    joined = [k.joined(a) for k, a in zip(kept, arrays, strict=True)]
    return loss, counts, tf.nest.pack_sequence_as(problem.probed[1], joined)


class _Rows:
    """Rows of one output, batch after batch: `batch` at a time, where that is ours to choose."""

    def __init__(self, examples: Examples, batch: int, dtype: tf.DType) -> None:
        self._size, self._batch, self._own = examples.size, batch, examples.own_batches
        self._last: list[tf.Tensor] = []  # the rest, its shape another one
        whole = 0 if self._own else examples.size // batch
        self.array = tf.TensorArray(dtype, whole, dynamic_size=self._own, infer_shape=not self._own)

    def write(self, array: tf.TensorArray, i: tf.Tensor, rows: tf.Tensor) -> tf.TensorArray:
        self._shape = rows.shape[1:]
        if not self._own and rows.shape[0] < self._batch:
            self._last.append(rows)
            return array
        return array.write(i, rows)

    def joined(self, array: tf.TensorArray) -> tf.Tensor:
        if self._own:
            return tf.ensure_shape(array.concat(), [self._size, *self._shape])
        whole = []
        if self._size >= self._batch:
            whole = [tf.reshape(array.stack(), [-1, *self._shape])]
        return tf.concat([*whole, *self._last], axis=0)


def loss_and_gradient(
    problem: Problem, theta: tf.Tensor, moments: list[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """L(theta), [], and its gradient [D], also through the statistics of batch norm.

    With re-estimated statistics L(theta) = l(theta, m(theta)), m their moments, so dL/dtheta =
    dl/dtheta + (dm/dtheta)^T dl/dm: one pass for each term.

    Args:
      problem: what to differentiate.
      theta: [D].
      moments: m(theta); empty where statistics are not re-estimated.
    """

    def add(batch, carry):
        value, gradients = carry
        with tf.GradientTape() as tape:
            tape.watch([theta, *moments])
            loss, _ = problem.part(theta, problem.state(moments), batch)
        new = tape.gradient(loss, [theta, *moments], unconnected_gradients="zero")
        return value + loss, [g + n for g, n in zip(gradients, new, strict=True)]

    carry = (tf.zeros([], problem.dtype), [tf.zeros_like(t) for t in [theta, *moments]])
    loss, (gradient, *upstream) = problem.examples.fold(add, carry, problem.microbatch)
    if upstream:
        gradient += problem.network.batch_norm.pullback(
            theta, problem.statistics, problem.evaluation_batch_size, moments, upstream
        )
    return loss, gradient
