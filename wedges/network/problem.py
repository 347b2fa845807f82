"""A model, examples and a loss: what every pass over the data of a network is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from wedges.network.batches import fold, leading_size, share, tensors
from wedges.network.losses import example_losses
from wedges.network.readout import Loss
from wedges.network.stateless import StatelessModel

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike


class Problem:
    """The mean loss of a model over N examples, in microbatches.

    Args:
      network: the model.
      x, y: inputs and targets of N examples.
      loss: a Keras loss, by name, object or function; None takes the one the model was compiled with.
      regularize: add the model's regularisation losses.
      reestimate: batch-norm statistics are functions of theta, where the model has any.
      statistics_x: the inputs that they are gathered over; None takes x.
      evaluation_batch_size: examples in a microbatch.

    Attributes:
      size: N.
      dimension, dtype: of theta.
      reestimates: whether there are batch-norm statistics that are functions of theta.

    Raises:
      ValueError: x and y of different sizes, no examples, no loss.
    """

    def __init__(
        self,
        network: StatelessModel,
        x: Any,
        y: TensorLike,
        loss: str | Loss | None,
        *,
        regularize: bool,
        reestimate: bool,
        statistics_x: Any,
        evaluation_batch_size: int,
    ) -> None:
        loss = getattr(network.model, "loss", None) if loss is None else loss
        if loss is None or isinstance(loss, (dict, list, tuple)):
            raise ValueError(
                "loss must be one Keras loss: pass loss=..., or compile the model with it; "
                f"received {loss!r}."
            )
        self.network, self.loss = network, keras.losses.get(loss)
        self.dimension, self.dtype = network.space.dimension, network.space.dtype
        self.regularize = regularize
        self.x, self.y = tensors("x", x), tensors("y", y)
        self.size = leading_size("x", self.x)
        if self.y.shape.rank == 0 or self.y.shape[0] != self.size:
            raise ValueError(
                f"x and y must have as many examples; received {self.size} and {tuple(self.y.shape)}."
            )
        self.statistics_x = self.x if statistics_x is None else tensors("statistics_x", statistics_x)
        self.evaluation_batch_size = evaluation_batch_size
        self.reestimates = reestimate and network.has_batch_norm

    def outputs(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> tf.Tensor:
        """The model's outputs in inference, [B, ...] of theta's dtype."""
        return tf.cast(self.network(theta, state, x, training=False)[0], self.dtype)

    def losses(self, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """The loss of each example. y [B, ...], outputs [B, ...] -> [B]."""
        return example_losses(self.loss, y, outputs, self.dtype)

    def mean_loss(
        self, theta: tf.Tensor, state: list[tf.Tensor], batch: tuple, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean loss [] over a batch (x, y) of examples, penalties included, and its outputs."""
        x, y = batch
        outputs, _, penalties = self.network(theta, state, x, training=training)
        return tf.reduce_mean(self.losses(y, outputs)) + self._penalty(penalties), outputs

    def part(
        self, theta: tf.Tensor, state: list[tf.Tensor], batch: tuple
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A microbatch's part of the mean loss over all N examples, and its outputs."""
        loss, outputs = self.mean_loss(theta, state, batch, training=False)
        return share(batch[1], self.size) * loss, outputs

    def total(self, part: Callable[[tuple], tf.Tensor], zero: tf.Tensor) -> tf.Tensor:
        """part(microbatch) added up over all the data, to `zero`."""
        add = lambda batch, total: total + part(batch)
        return fold(add, zero, (self.x, self.y), self.evaluation_batch_size)

    def moments(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """The moments of the batch-norm layers at theta; see `BatchNorm.moments`."""
        return self.network.batch_norm.moments(theta, self.statistics_x, self.evaluation_batch_size)

    def state(self, moments: list[tf.Tensor]) -> list[tf.Tensor]:
        """The model's state, its batch-norm statistics from `moments` where they are re-estimated."""
        return self.network.batch_norm.state_of(moments) if self.reestimates else self.network.state

    def _penalty(self, penalties):
        if not (self.regularize and penalties):
            return tf.zeros([], self.dtype)
        return tf.add_n([tf.cast(p, self.dtype) for p in penalties])
