"""Passes over all the data of a network: its loss, its outputs, its gradient.

Each is a function of a `Problem` and of tensors, to be traced in a `tf.function`, and holds the
activations of one microbatch.
"""

from __future__ import annotations

import tensorflow as tf

from wedges.network.batches import fold, share
from wedges.network.problem import Problem


def loss(problem: Problem, theta: tf.Tensor, state: list[tf.Tensor]) -> tf.Tensor:
    """L(theta), []. theta [D]."""
    part = lambda batch: problem.part(theta, state, batch)[0]
    return problem.total(part, tf.zeros([], problem.dtype))


def loss_and_outputs(
    problem: Problem, theta: tf.Tensor, state: list[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """L(theta), [], and the outputs of all examples in their order, [N, ...]. theta [D]."""
    whole = problem.size // problem.evaluation_batch_size
    outputs, last = tf.TensorArray(problem.dtype, size=whole), []

    def add(batch, carry):
        total, i, outputs = carry
        loss, out = problem.part(theta, state, batch)
        out = tf.cast(out, problem.dtype)
        if share(batch, problem.evaluation_batch_size) < 1:  # the rest, its shape another one
            last.append(out)
            return total + loss, i, outputs
        return total + loss, i + 1, outputs.write(i, out)

    carry = (tf.zeros([], problem.dtype), tf.constant(0), outputs)
    data = problem.x, problem.y
    loss, _, outputs = fold(add, carry, data, problem.evaluation_batch_size)
    stacked = outputs.stack()  # [whole, B, ...]
    if whole:
        last.insert(0, tf.reshape(stacked, [-1, *stacked.shape[2:]]))
    return loss, tf.concat(last, axis=0)


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
    data = problem.x, problem.y
    loss, (gradient, *upstream) = fold(add, carry, data, problem.evaluation_batch_size)
    if upstream:
        gradient += problem.network.batch_norm.pullback(
            theta, problem.statistics_x, problem.evaluation_batch_size, upstream
        )
    return loss, gradient
