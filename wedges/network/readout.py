"""What the outputs of a network and its targets mean: classes, probabilities, or plain numbers.

Keras does not say what a loss is for, so that its *name* decides: targets of a cross-entropy are
classes, and so are whole numbers where there are several outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

Loss: TypeAlias = keras.losses.Loss | Callable  # a function of (y, outputs)


def probabilities(loss: Any, outputs: tf.Tensor) -> tf.Tensor:
    """Outputs [..., C] of a model trained on a Keras `loss` as class probabilities [..., C].

    Logits become probabilities; outputs of any other loss, or of None, are returned as they are.
    """
    if not (hasattr(loss, "get_config") and loss.get_config().get("from_logits")):
        return outputs
    return tf.sigmoid(outputs) if "binary" in _name(loss) else tf.nn.softmax(outputs)


class Readout:
    """What outputs for some examples say, beside their targets.

    Args:
      loss: the Keras loss of the model.
      y: the targets [N, ...].
      dtype: of probabilities and accuracies.
    """

    def __init__(self, loss: Loss, y: tf.Tensor, dtype: tf.DType) -> None:
        self.loss, self.y, self.dtype = loss, y, dtype

    def probabilities(self, outputs: tf.Tensor) -> tf.Tensor:
        """Outputs [N, C] as class probabilities [N, C]; [N, 1] stay those of class 1."""
        return probabilities(self.loss, tf.cast(outputs, self.dtype))

    def labels(self, outputs: tf.Tensor) -> tf.Tensor:
        """The predicted class of each example. outputs [N, ..., C] -> [N, ...] int64.

        With several outputs the largest; with one whether the probability of class 1 is above 1/2.
        """
        if outputs.shape[-1] == 1:
            return tf.cast(self.probabilities(outputs)[..., 0] > 0.5, tf.int64)
        return tf.argmax(outputs, axis=-1)

    def accuracy(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """Share of examples whose predicted class is the target, []; None for other targets."""
        classes = self.classes(outputs)
        if classes is None:
            return None
        return tf.reduce_mean(tf.cast(self.labels(outputs) == classes, self.dtype))

    def classes(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """The targets as classes, shaped as `labels(outputs)`; None where they are not classes."""
        y, columns = self.y, outputs.shape[-1]
        entropy = "crossentropy" in _name(self.loss)
        if columns > 1 and y.shape == outputs.shape:
            one_hot = entropy and "binary" not in _name(self.loss)
            return tf.argmax(y, axis=-1) if one_hot else None
        whole_numbers = y.dtype.is_integer or y.dtype.is_bool
        if not (entropy or (whole_numbers and columns > 1)):
            return None
        shape = outputs.shape[:-1]
        return tf.cast(tf.reshape(y, shape), tf.int64) if tf.size(y) == shape.num_elements() else None


def _name(loss):
    return getattr(loss, "name", getattr(loss, "__name__", "")).replace("_", "").lower()
