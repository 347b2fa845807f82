"""The loss of each example, and whether it has second derivatives."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from wedges.network.readout import Loss
from wedges.network.second_order import NoSecondDerivative, exact_second_derivatives


def example_losses(loss: Loss, y: tf.Tensor, outputs: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The loss of each example, aligned as Keras aligns targets and outputs.

    Args:
      loss: a Keras loss, whose reduction is ignored, or a function of (y, outputs).
      y: targets [B, ...].
      outputs: [B, ...].
      dtype: of the losses.

    Returns:
      [B].
    """
    outputs = tf.cast(outputs, dtype)  # float16 activations, float32 loss
    y = tf.cast(y, dtype)  # as Keras does before any loss
    batch = y.shape[0]
    if isinstance(loss, keras.losses.Loss):
        losses = loss.call(y, outputs)  # before its reduction, which may be a sum or nothing
    else:
        if outputs.shape[-1] == 1 and y.shape.rank == outputs.shape.rank - 1:
            y = y[..., None]  # else [B] against [B, 1] would broadcast to [B, B]
        losses = loss(y, outputs)
    losses = tf.cast(losses, dtype)
    if losses.shape.rank == 0:  # a user's function that has averaged already
        return tf.fill([batch], losses)
    return tf.reduce_mean(tf.reshape(losses, [batch, -1]), axis=1)


def why_not_curved(
    loss: Loss, y: tf.Tensor, shape: tf.TensorShape, dtype: tf.DType, *, seed: int
) -> str | None:
    """Why a loss has no curvature by the model's outputs, in one sentence; None if it has.

    Its second derivative is looked at for a few examples, at random outputs and at others near the
    targets: unknown to TensorFlow, as of the absolute error, or 0 at all of them, as of the hinge.

    Args:
      loss: a Keras loss, or a function of (y, outputs).
      y: a few targets [B, ...].
      shape: of the model's outputs for these examples, [B, ...].
      dtype: of the losses.
      seed: of the random outputs.
    """
    noise = tf.random.stateless_normal(shape, [0, seed], dtype=dtype)
    places = [tf.sigmoid(noise)]  # good as logits, probabilities or values
    if tf.size(y) == shape.num_elements():  # near the targets
        places.append(tf.reshape(tf.cast(y, dtype), shape) + noise / 2)
    try:
        if any(np.any(_second_derivative(loss, y, z, dtype)) for z in places):
            return None
        what = "is 0 wherever it exists"
    except NoSecondDerivative:
        what = "is not known to TensorFlow"
    name = getattr(loss, "name", None) or getattr(loss, "__name__", loss)
    return (
        "loss must be twice differentiable by the model's outputs to have curvature; received "
        f"{name}, whose second derivative {what}. Use a smooth "
        "loss, e.g. mean_squared_error, huber or a cross-entropy."
    )


def _second_derivative(loss, y, z, dtype):
    """Of each example's loss at outputs z [B, ...], along z: [B, ...]."""
    with exact_second_derivatives():
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                losses = example_losses(loss, y, z, dtype)
            slope = inner.gradient(losses, z, unconnected_gradients="zero")
        return outer.gradient(slope, z, z, unconnected_gradients="zero")
