"""Which Keras models have a loss landscape: what is refused, in words, before anything is computed."""

from __future__ import annotations

import keras
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import compiled


def check_supported(model: keras.Model) -> None:
    """A loss that is a function of theta, whose derivatives are those of its values, for any batch.

    Weights are float32 or float64. Layers may compute in half precision (the policies mixed_float16 and
    mixed_bfloat16): values, gradients and products are then right to about three and two digits.

    Raises:
      ValueError: a layer that is stateful, a layer that is quantized, weights of another dtype, or a
        model that takes only batches of one size.
    """
    for layer in _keras.flat_layers(model):
        if getattr(layer, "stateful", False):
            raise ValueError(
                "model must be a function of weights and inputs alone; received the stateful layer "
                f"{layer.name!r}, whose state goes from batch to batch. Make it with stateful=False."
            )
        if getattr(layer, "quantization_mode", None):
            raise ValueError(
                "model must have weights that can be moved; received the quantized layer "
                f"{layer.name!r} ({layer.quantization_mode}). Use the model as it was before quantize()."
            )
    for v in model.trainable_variables:
        if str(v.dtype) not in ("float32", "float64"):
            raise ValueError(
                f"model must have trainable weights of float32 or float64; received {v.path!r} of "
                f"{v.dtype}. For half precision use the policies mixed_float16 and mixed_bfloat16."
            )
    _check_batch_size(model)


def _check_batch_size(model):
    """Whether a model with a batch size in its inputs takes other ones, too."""
    sizes = {t.shape[0] for t in getattr(model, "inputs", None) or ()} - {None}
    if not sizes:  # or a model of another kind, which does not say
        return
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    one_more = lambda t: tf.TensorSpec((t.shape[0] + 1, *t.shape[1:]), t.dtype)
    try:
        traced = compiled(lambda x: model(x, training=False))
        traced.get_concrete_function(keras.tree.map_structure(one_more, inputs))
    except Exception as error:
        raise ValueError(
            f"model {model.name!r} must take batches of any size; received one that takes only "
            f"{sizes.pop()} examples at a time. Make it with keras.Input(shape) in place of batch_shape."
        ) from error
