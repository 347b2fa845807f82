"""Training on the very loss that is allocated: its gradients are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from wedges.landscape import Around, Landscape, Restricted, Squared, WithExamples
from wedges.optimize import Descent

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

# What a minibatch's loss is where there are no minibatches: the loss.
_PLAIN = (Landscape.sample, Around.sample, Restricted.sample, Squared.sample)


class FullBatch(Around):
    """A landscape whose every step sees the landscape itself: all its examples, and no dropout.

    A descent on it is gradient descent on L, with momentum or whatever the optimizer has. It takes one
    gradient over all the data a step, which an `Allocation` of the same landscape uses as well.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> full = wedges.allocation.FullBatch(bowl)
    >>> allocation = wedges.Allocation(bowl, rule="left")
    >>> descent = wedges.Descent(full, [2.0, 1.0], keras.optimizers.SGD(0.25))
    >>> losses = allocation.follow(descent, 10)
    >>> allocation.gradients, float(allocation.helped[0])
    (1, 1.0)

    Args:
      landscape: any.
    """

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        del step

        @tf.custom_gradient  # so that the loss and its gradient are of one pass
        def loss(theta):
            value, gradient = self.value_and_gradient(theta)
            return value, lambda up: up[..., None] * gradient

        return loss(self.point(theta))


class Recorded(FullBatch):
    """A landscape that keeps the last loss and gradient that it gave, of one theta [D]."""

    def __init__(self, landscape: Landscape) -> None:
        super().__init__(landscape)
        self._loss = tf.Variable(tf.zeros([], self.dtype), trainable=False)
        self._gradient = tf.Variable(tf.zeros([self.dimension], self.dtype), trainable=False)

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = self.landscape.value_and_gradient(theta)
        self._loss.assign(loss)
        self._gradient.assign(gradient)
        return loss, gradient

    def read(self) -> tuple[float, np.ndarray]:
        """The last loss and gradient [D]."""
        return float(self._loss.numpy()), self._gradient.numpy()


def sees_all(descent: Descent, landscape: Landscape) -> bool:
    """Whether each step of a descent sees the very loss of a landscape, as far as classes tell."""
    seen = descent.landscape
    if descent.subspace is not None:
        return False
    if isinstance(seen, FullBatch) and seen.landscape is landscape:
        return True
    return seen is landscape and _the_same_at_every_step(landscape)


def _the_same_at_every_step(landscape):
    for each in landscape.nested():
        if isinstance(each, FullBatch):
            return True
        if isinstance(each, WithExamples) or type(each).sample not in _PLAIN:
            return False
    return True


def twin(descent: Descent, landscape: Landscape) -> tuple[Descent, Recorded]:
    """A descent of the same steps, and what keeps the gradients that it takes.

    The descent itself has none to show. Its state goes over by `state`, to the twin and back.
    """
    record = Recorded(landscape)
    runs = Descent(
        record,
        descent.theta,
        descent.optimizer,
        tolerance=descent.tolerance,
        jit_compile=descent.jit_compile,
    )
    return runs, record
