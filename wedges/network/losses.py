"""Whether a loss has second derivatives by a model's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.network.second_order import NoSecondDerivative, exact_second_derivatives

if TYPE_CHECKING:
    from wedges.network.problem import Problem


def why_not_curved(problem: Problem, batch: Any, outputs: Any, *, seed: int) -> str | None:
    """Why a loss has no curvature by the model's outputs, in one sentence; None if it has.

    Its second derivative is looked at for a few examples, at random outputs and at others near the
    targets: unknown to TensorFlow, as of the absolute error, or 0 at all of them, as of the hinge.

    Args:
      problem: whose loss.
      batch: a few examples (x, y, w).
      outputs: of the model for them, [B, ...] each.
      seed: of the random outputs.
    """
    flat = tf.nest.flatten(outputs)
    terms = problem.terms(batch, outputs)
    counts = [t.weights is None or tf.reduce_any(t.weights != 0) for t in terms]
    if problem.objective.own or not any(counts):  # nothing that these examples could tell
        return None
    noise = [
        tf.random.stateless_normal(z.shape, [k, seed], dtype=problem.dtype) for k, z in enumerate(flat)
    ]
    places = [[tf.sigmoid(n) for n in noise]]  # good as logits, probabilities or values
    targets = {id(t.output): t.target for t in terms}
    near = [_near(targets.get(id(z)), z, n) for z, n in zip(flat, noise, strict=True)]
    places.append(near)
    try:
        for at in places:
            masked = [_keras.masked(z, _keras.mask_of(old)) for z, old in zip(at, flat, strict=True)]
            slopes = _second_derivative(problem, batch, tf.nest.pack_sequence_as(outputs, masked))
            if any(np.any(s) for s in slopes):
                return None
        what = "is 0 wherever it exists"
    except NoSecondDerivative:
        what = "is not known to TensorFlow"
    return (
        "loss must be twice differentiable by the model's outputs to have curvature; received "
        f"{problem.objective}, whose second derivative {what}. Use a smooth "
        "loss, e.g. mean_squared_error, huber or a cross-entropy."
    )


def _near(target, output, noise):
    """Outputs near the targets, where these are of their shape; else random ones."""
    if tf.is_tensor(target) and tf.size(target) == tf.size(output):
        return tf.reshape(tf.cast(target, noise.dtype), noise.shape) + noise / 2
    return tf.sigmoid(noise)


def _second_derivative(problem, batch, outputs):
    """Of the loss at outputs, along them: [B, ...] each."""
    flat = tf.nest.flatten(outputs)
    with exact_second_derivatives():
        with tf.GradientTape() as outer:
            outer.watch(flat)
            with tf.GradientTape() as inner:
                inner.watch(flat)
                loss = problem.part_of_outputs(batch, outputs)
            slopes = inner.gradient(loss, flat, unconnected_gradients="zero")
        return outer.gradient(slopes, flat, flat, unconnected_gradients="zero")
