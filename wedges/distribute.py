"""A minibatch shared among devices: each takes its part of the loss, and the parts are added.

L(theta, t) = sum_{i < n} L_i(theta, t),   dL/dtheta = sum_i dL_i/dtheta

Only a loss and a gradient [D] travel; theta and the optimizer's variables stay where one device would
have them, and several processes that begin alike stay alike, since all take the same steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from wedges._checks import a_landscape, made
from wedges._scaling import loss_scale
from wedges._tensorflow import compiled
from wedges.landscape import Around, Evaluation, Landscape, WithExamples, WithOutputs

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

__all__ = ["Distributed", "distributed_in"]


class Distributed(Around, WithExamples, WithOutputs):
    """A landscape whose `sample` is computed by all devices of a `tf.distribute` strategy.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> x, y = np.eye(2, dtype="float32"), np.ones(2, "float32")
    >>> landscape = wedges.NetworkLandscape(model, x, y, "mean_squared_error", seed=0)
    >>> strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    >>> shared = wedges.Distributed(landscape, strategy)
    >>> theta, losses, _ = wedges.minimize(shared, np.zeros(3), keras.optimizers.SGD(0.1), steps=5)
    >>> bool(losses[-1] < losses[0])
    True

    The global minibatch, and so the curve of losses, is that of `landscape` alone within rounding; with
    batch norm or dropout within their noise (see `NetworkLandscape.sample_of`). A loss whose parts do
    not add up is refused: a mean over what masks leave, or one that couples examples. All else (values,
    whole gradients, `evaluate`, `on`, and what only such a landscape has, e.g. `space`) is the
    landscape's own, on one device. Subspaces and paths go around it: `restrict(Distributed(landscape,
    strategy), subspace)`.

    Make it outside of `strategy.scope()`; each process of a `MultiWorkerMirroredStrategy` makes its own,
    of the same landscape, and runs the same descent.

    Args:
      landscape: one with examples and outputs, such as a `NetworkLandscape`.
      strategy: a `tf.distribute.Strategy` with n replicas; n must divide `landscape.batch_size`.
      jit_compile: compile each replica's part with XLA, for strategies that do not by themselves (TPU's
        does). The loop around, a `Descent`'s, cannot be: strategies talk between the parts.

    Attributes:
      landscape, strategy: as given.
      replicas: n.

    Raises:
      ValueError: a landscape without minibatches, a batch size that n does not divide, a loss that is
        neither a plain mean nor a sum over examples.
    """

    landscape: Any  # it has both examples and outputs

    def __init__(
        self, landscape: Landscape, strategy: tf.distribute.Strategy, *, jit_compile: bool = False
    ) -> None:
        if not (isinstance(landscape, WithExamples) and isinstance(landscape, WithOutputs)):
            raise ValueError(
                "landscape must have minibatches in parts, as a NetworkLandscape has; received "
                f"{type(landscape).__name__}."
            )
        made("strategy", strategy, "num_replicas_in_sync", "a tf.distribute.Strategy")
        super().__init__(landscape)
        self.strategy, self.replicas = strategy, strategy.num_replicas_in_sync
        landscape.minibatch(0, (0, self.replicas))  # raises where they cannot share one
        part = self._loss_and_gradient
        self._part = compiled(part, jit_compile=True) if jit_compile else part

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
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
            self.minibatch(step, (context.replica_id_in_sync_group, self.replicas)),
        )
        i, examples = self.strategy.experimental_distribute_values_from_function(deal)
        scale = loss_scale()
        parts = self.strategy.run(self._part, args=(theta, step, i, examples, scale))
        both = self.strategy.reduce("SUM", parts, axis=None)  # [1 + D]: one message, not two
        return both[0], both[1:] if scale is None else both[1:] / scale

    def _loss_and_gradient(self, theta, step, i, examples, scale):
        """A part's loss, and its gradient times `scale`, which may not be undone in half precision."""
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = self.sample_of(theta, step, examples, (i, self.replicas))
            target = loss if scale is None else scale * loss
        return tf.concat([loss[None], tape.gradient(target, theta)], axis=0)  # [1 + D]

    def __reduce__(self) -> tuple:
        raise ValueError(
            "a Distributed landscape must stay in its process, whose devices it uses; pickle its "
            "`landscape`, or pass that where there are jobs."
        )

    # ---- the landscape's own --------------------------------------------------------------------

    def evaluate(self, theta: TensorLike) -> Evaluation:
        return self.landscape.evaluate(theta)

    def on(self, x: Any, y: Any = None, **overrides: Any) -> WithExamples:
        """The landscape alone, not distributed, on other examples."""
        return self.landscape.on(x, y, **overrides)

    def minibatch(
        self, step: int | tf.Tensor, part: tuple[int | tf.Tensor, int] = (0, 1)
    ) -> tuple[Any, Any, Any]:
        return self.landscape.minibatch(step, part)

    def drawn(self, n: int, *, seed: int) -> tuple[Any, Any, Any]:
        return self.landscape.drawn(n, seed=seed)

    def sample_of(
        self,
        theta: TensorLike,
        step: int | tf.Tensor,
        examples: Any,
        part: tuple[int | tf.Tensor, int] = (0, 1),
    ) -> tf.Tensor:
        return self.landscape.sample_of(theta, step, examples, part)

    def gauss_newton_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        return self.landscape.gauss_newton_product(theta, v)

    def __getattr__(self, name: str) -> Any:  # what only the landscape itself has
        if name == "landscape":
            raise AttributeError(name)  # not made yet, e.g. while it is copied
        return getattr(self.landscape, name)


def distributed_in(landscape: Landscape) -> Distributed | None:
    """The `Distributed` that a landscape is, or is made of; None where there is none.

    >>> wedges.distribute.distributed_in(wedges.Squared(wedges.Quadratic([1.0]))) is None
    True
    """
    a_landscape(landscape)
    return next((each for each in landscape.nested() if isinstance(each, Distributed)), None)
