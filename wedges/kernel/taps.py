"""Hooks into the layers of a model: what goes into each of them, and where its weights have acted.

A tapped layer is called as ever. What is kept of a call is its input x and the signal z right after its
weights: before the activation, or what a normalisation or an embedding returns. The derivatives of an
output by z, with x, are then all that is needed for its derivatives by the layer's weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from wedges import _keras

if TYPE_CHECKING:
    from keras.layers import Layer

_kinds = lambda *names: tuple(getattr(keras.layers, n) for n in names if hasattr(keras.layers, n))

CONVOLUTIONS = _kinds("Conv1D", "Conv2D", "Conv3D")
DEPTHWISE = _kinds("DepthwiseConv1D", "DepthwiseConv2D")
NORMALISATIONS = _kinds(
    "BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"
)
ACTIVATED = (keras.layers.Dense, keras.layers.EinsumDense, *CONVOLUTIONS, *DEPTHWISE)


class Call(NamedTuple):
    """One call of a tapped layer."""

    x: tf.Tensor  # its input; of a normalisation the normalised input
    z: tf.Tensor  # the signal after its weights


def tappable(layer: Layer) -> bool:
    """Whether there is a formula for a layer: one of Keras' own, in the form that Keras gives it.

    A class of the user's that inherits from one may do something else, and has none.
    """
    kind = type(layer)
    if kind in NORMALISATIONS or kind is keras.layers.Embedding:
        return not getattr(layer, "lora_enabled", False)
    if kind not in ACTIVATED or getattr(layer, "lora_enabled", False):
        return False
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def weights(layer: Layer) -> list[Any]:
    """The variables of a tappable layer that its formula is about: (kernel, bias), (scale, shift)."""
    if type(layer) in NORMALISATIONS:
        scale, shift = _scale_and_shift(layer)
        return [v for v in (scale, shift) if v is not None]
    return list(layer.trainable_weights)


def _scale_and_shift(layer):
    own = lambda name: v if isinstance(v := getattr(layer, name, None), keras.Variable) else None
    scale = own("gamma")
    return (own("scale") if scale is None else scale), own("beta")


@contextlib.contextmanager
def tapped(layers: list[Layer], tape: tf.GradientTape) -> Iterator[dict[int, list[Call]]]:
    """While it lasts, calls of `layers` are kept, and `tape` watches their signals z.

    Args:
      layers: tappable ones.
      tape: that records.

    Yields:
      {id of the layer: its calls, one after another}.
    """
    calls: dict[int, list[Call]] = {id(layer): [] for layer in layers}
    with contextlib.ExitStack() as stack:
        for layer in layers:
            keep = _keeper(calls[id(layer)], tape)
            for name, function in _hooks(layer, keep).items():
                stack.enter_context(_keras.replaced(layer, name, function))
        yield calls


def _keeper(calls, tape):
    def keep(x, z):
        tape.watch(z)
        calls.append(Call(x, z))
        return z

    return keep


def _hooks(layer: Layer, keep: Callable[..., tf.Tensor]) -> dict[str, Callable]:
    """{name of an attribute: what stands in its place}."""
    call = layer.call
    if type(layer) in NORMALISATIONS:
        return {"call": lambda x, *args, **how: keep(*_affine(layer, call, x, args, how))}
    if type(layer) is keras.layers.Embedding:
        return {"call": lambda x: keep(x, call(x))}
    activation, given = layer.activation or keras.activations.linear, []

    def remembering(x, *args, **how):
        given.append(x)
        try:
            return call(x, *args, **how)
        finally:
            given.pop()

    return {"call": remembering, "activation": lambda z: activation(keep(given[-1], z))}


def _affine(layer, call, x, args, how):
    """The normalised input, and what the layer makes of it: times its scale, plus its shift."""
    scale, shift = _scale_and_shift(layer)
    own = [v for v in (scale, shift) if v is not None]
    values = [tf.convert_to_tensor(v.value) for v in own]
    neutral = [
        tf.ones_like(t) if v is scale else tf.zeros_like(t) for v, t in zip(own, values, strict=True)
    ]
    with _keras.ReadAs(own, neutral):
        normal = call(x, *args, **how)
    z, shape = normal, spread(layer, normal.shape.rank)
    for v, value in zip(own, values, strict=True):
        along = [1 if n is None else value.shape[n] for n in shape]
        value = tf.cast(tf.reshape(value, along), z.dtype)
        z = z * value if v is scale else z + value
    return normal, z


def spread(layer: Layer, rank: int) -> list[Any]:
    """For each axis of a normalisation's input, which axis of its scale lies along it; 1 long: None."""
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    place = {a % rank: i for i, a in enumerate(axes)}
    return [place.get(a) for a in range(rank)]
