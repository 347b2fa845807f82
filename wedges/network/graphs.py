"""The passes over a network's data as graphs, each traced once for a landscape and a shape."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from wedges._tensorflow import graph
from wedges.network import derivatives, passes
from wedges.network.problem import Problem
from wedges.network.readout import Readout


class Graphs:
    """`passes` and `derivatives` of one `Problem`, compiled by `tf.function`.

    Where batch-norm statistics are re-estimated they are a graph of their own, `moments`, but for
    second derivatives, whose first pass gathers them with the way they move.

    Args:
      problem: what to compute.
      readout: what its outputs mean.
    """

    def __init__(self, problem: Problem, readout: Readout) -> None:
        self.problem, self.readout = problem, readout

    @graph
    def loss(self, theta: tf.Tensor) -> tf.Tensor:
        """L(theta), []. theta [D]."""
        return passes.loss(self.problem, theta, self.state_at(theta))

    @functools.partial(graph, reduce_retracing=True)
    def losses(self, thetas: tf.Tensor) -> tf.Tensor:
        """L at each of thetas [R, D], [R]."""
        # Two at a time: each operation is too small to fill two cores (15% faster on two).
        return tf.map_fn(self.loss, thetas, parallel_iterations=2)

    @graph
    def evaluation(self, theta: tf.Tensor) -> tuple[tf.Tensor, list[tuple], Any]:
        """L(theta), [], (hits, counted) of each output, and the outputs of all examples, [N, ...]."""
        return passes.evaluation(self.problem, self.readout, theta, self.state_at(theta))

    @graph
    def loss_and_gradient(self, theta: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """L(theta), [], and its gradient [D]."""
        return passes.loss_and_gradient(self.problem, theta, self._moments_at(theta))

    @graph
    def hessian_products(self, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """H(theta) v for several v. theta [D], v [K, D] -> [K, D]."""
        return derivatives.hessian_products(self.problem, theta, v)

    @graph
    def gauss_newton_products(self, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """G(theta) v for several v. theta [D], v [K, D] -> [K, D]."""
        return derivatives.gauss_newton_products(self.problem, theta, v)

    @graph
    def output_gradients(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> tf.Tensor:
        """d outputs_ik / d theta of examples x [n, ...]: [n, outputs, D]."""
        return derivatives.output_gradients(self.problem, theta, state, x)

    @graph
    def output_pullback(self, theta: tf.Tensor, state: list[tf.Tensor], u: list[tf.Tensor]) -> tf.Tensor:
        """sum_i sum_k u_ik d outputs_ik / d theta. u [N, ...] of each output -> [D]."""
        return derivatives.output_pullback(self.problem, theta, state, u)

    @graph
    def moments(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """The moments of the batch-norm layers at theta; see `BatchNorm.moments`."""
        return self.problem.moments(theta)

    def state_at(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """The model's state at theta, its statistics re-estimated where they are to be."""
        return self.problem.state(self._moments_at(theta))

    def _moments_at(self, theta):
        return self.moments(theta) if self.problem.reestimates else []
