"""A minibatch shared among devices: each takes its part of the loss, and the parts are added.

L(theta, t) = sum_{i < n} L_i(theta, t),   dL/dtheta = sum_i dL_i/dtheta

Only a loss and a gradient [D] travel; theta and the optimizer's variables stay where one device would
have them, and several processes that begin alike stay alike, since all take the same steps.
"""

import tensorflow as tf

from wedges.landscape import Landscape

__all__ = ["Distributed"]


class Distributed(Landscape):
    """A landscape whose `sample` is computed by all devices of a `tf.distribute` strategy.

    >>> strategy = tf.distribute.MirroredStrategy()
    >>> wedges.minimize(wedges.Distributed(landscape, strategy), start, optimizer, steps=100)

    The global minibatch, and so the curve of losses, is that of `landscape` alone within rounding; with
    batch norm or dropout within their noise (see `NetworkLandscape.sample_of`). All else (values, whole
    gradients, `evaluate`, `on`, ...) is the landscape's own, on one device. Subspaces and paths go
    around it: `restrict(Distributed(landscape, strategy), subspace)`.

    Make it outside of `strategy.scope()`; each process of a `MultiWorkerMirroredStrategy` makes its own,
    of the same landscape, and runs the same descent.

    Args:
      landscape: one with minibatches in parts, such as a `NetworkLandscape`: `minibatch(step, (i, n))`
        and `sample_of(theta, step, examples, (i, n))`, whose sum over i is `sample(theta, step)`.
      strategy: a `tf.distribute.Strategy` with n replicas; n must divide `landscape.batch_size`.
      jit_compile: compile each replica's part with XLA, for strategies that do not by themselves (TPU's
        does). The loop around, a `Descent`'s, cannot be: strategies talk between the parts.

    Raises:
      ValueError: a landscape without minibatches, a batch size that n does not divide.
    """

    def __init__(self, landscape, strategy, *, jit_compile=False):
        if not hasattr(landscape, "sample_of"):
            raise ValueError(
                "landscape must have minibatches in parts, as a NetworkLandscape has; received "
                f"{type(landscape).__name__}."
            )
        self.replicas = strategy.num_replicas_in_sync
        landscape.minibatch(0, (0, self.replicas))  # raises where they cannot share one
        self.landscape, self.strategy = landscape, strategy
        self.dimension, self.dtype, self.many = landscape.dimension, landscape.dtype, landscape.many
        self._part = tf.function(self._loss_and_gradient, jit_compile=True) if jit_compile else None
        self._part = self._part or self._loss_and_gradient

    def sample(self, theta, step):
        """The landscape's own `sample`, each replica computing its part. theta [D] -> loss []."""

        @tf.custom_gradient  # so that only the sum of the replicas' gradients goes between devices
        def loss(theta):
            value, gradient = self._sum(theta, step)
            return value, lambda up: up * gradient

        return loss(self.point(theta))

    def _sum(self, theta, step):
        """Loss [] and gradient [D] of minibatch number `step`."""
        # Rows are gathered where the examples are, and only they go to the replicas.
        deal = lambda context: (
            tf.constant(context.replica_id_in_sync_group),
            self.landscape.minibatch(step, (context.replica_id_in_sync_group, self.replicas)),
        )
        i, examples = self.strategy.experimental_distribute_values_from_function(deal)
        parts = self.strategy.run(self._part, args=(theta, step, i, examples))
        both = self.strategy.reduce("SUM", parts, axis=None)  # [1 + D]: one message, not two
        return both[0], both[1:]

    def _loss_and_gradient(self, theta, step, i, examples):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = self.landscape.sample_of(theta, step, examples, (i, self.replicas))
        return tf.concat([loss[None], tape.gradient(loss, theta)], axis=0)  # [1 + D]

    def __call__(self, theta):
        return self.landscape(theta)

    def value_and_gradient(self, theta):
        return self.landscape.value_and_gradient(theta)

    def hessian_product(self, theta, v):
        return self.landscape.hessian_product(theta, v)

    def jet(self, theta, direction):
        return self.landscape.jet(theta, direction)

    def length(self, step):
        return self.landscape.length(step)

    def __getattr__(self, name):  # what only the landscape itself has
        if name == "landscape":
            raise AttributeError(name)  # not made yet, e.g. while it is copied
        return getattr(self.landscape, name)
