"""What each kind of Keras' layers with weights does to units: which it reads, which it makes, where.

A rule takes a layer, the labels of what goes into it and a `Made`; it returns the labels of what comes
out, and for each weight by its name what units stand on its axes. Labels are those of all axes but the
first, which is that of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np

from wedges import _keras
from wedges.alignment.units import Labels, Units

if TYPE_CHECKING:
    from keras.layers import Layer


class Use(NamedTuple):
    """The units on the axes of a weight, or of a part of it."""

    labels: tuple[Labels, ...]
    view: tuple[int, ...] | None = None  # another shape of the same numbers
    part: tuple[int, int] | None = None  # of the last axis: from where to before where


class Made:
    """The units that layers make: the same ones whenever a layer is called again."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self._known: dict[tuple[int, str], np.ndarray] = {}

    def __call__(self, layer: Layer, name: str, *counts: int) -> np.ndarray:
        """The labels of an axis of new units; of several counts in groups of their own, side by side."""
        key = id(layer), name
        if key not in self._known:
            found = [self.units.new(count) for count in counts]
            self._known[key] = found[0] if len(found) == 1 else self.units.axis(np.concatenate(found))
        return self._known[key]


Uses = dict[str, list[Use]]
Rule = Callable[["Layer", Sequence[Labels], Made], tuple[tuple[Labels, ...], Uses]]


def weights(layer: Layer) -> dict[str, keras.Variable]:
    """A layer's variables by their names, but for counters of seeds."""
    return {v.name: v for v in layer.variables if v.name != _keras.SEED_STATE}


def rule(layer: Layer) -> Rule | None:
    """The rule of a layer of one of Keras' own classes, in the form that Keras gives it; else None."""
    changed = getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
    return None if changed else _RULES.get(type(layer).__name__ if _of_keras(layer) else "")


def _of_keras(layer):
    return getattr(keras.layers, type(layer).__name__, None) is type(layer)


def _shape(layer, name):
    return tuple(weights(layer)[name].shape)


# ---- layers that read units and make new ones -------------------------------------------------------


def _dense(layer, x, made):
    out = made(layer, "units", layer.units)
    return (*x[:-1], out), {"kernel": [Use((x[-1], out))], "bias": [Use((out,))]}


def _einsum_dense(layer, x, made):
    inputs, kernel, outputs = layer.equation.replace(" ", "").replace("->", ",").split(",")
    dots = range(len(x) + 1 - len(inputs.replace("...", "")))
    inputs, outputs = (s.replace("...", "".join(map(str, dots))) for s in (inputs, outputs))
    at = dict(zip(inputs, (None, *x), strict=True))
    size = dict(zip(kernel, _shape(layer, "kernel"), strict=True))
    at |= {letter: made(layer, letter, n) for letter, n in size.items() if letter not in at}
    out = tuple(at[letter] for letter in outputs[1:])
    uses = {"kernel": [Use(tuple(at[letter] for letter in kernel))]}
    if layer.bias is not None:
        uses["bias"] = [Use(_broadcast(_shape(layer, "bias"), out))]
    return out, uses


def _convolution(layer, x, made):
    shape, c = _shape(layer, "kernel"), _channels(layer)
    *space, inputs, filters = shape
    own, out = x[c], made(layer, "filters", filters)
    around, groups = (None,) * len(space), layer.groups
    kernel = [Use((*around, own, out))]
    if groups > 1:
        kernel = []
        for g in range(groups):
            part = g * filters // groups, (g + 1) * filters // groups
            block = (own, slice(g * inputs, (g + 1) * inputs)), (out, slice(*part))
            labels = [one if one is None else made.units.axis(one[at].copy()) for one, at in block]
            kernel.append(Use((*around, *labels), part=part))
    return _at(c, x, out, made), {"kernel": kernel, "bias": [Use((out,))]}


def _transposed(layer, x, made):
    *space, filters, _ = _shape(layer, "kernel")
    c, out = _channels(layer), made(layer, "filters", filters)
    kernel = [Use((*(None,) * len(space), out, x[c]))]
    return _at(c, x, out, made), {"kernel": kernel, "bias": [Use((out,))]}


def _depthwise(layer, x, made):
    name = "kernel" if "kernel" in weights(layer) else "depthwise_kernel"
    c = _channels(layer)
    out, use = _each_channel(layer, name, x[c], made)
    return _at(c, x, out, made), {name: [use], "bias": [Use((out,))]}


def _separable(layer, x, made):
    c = _channels(layer)
    between, use = _each_channel(layer, "depthwise_kernel", x[c], made)
    *space, _, filters = _shape(layer, "pointwise_kernel")
    out = made(layer, "filters", filters)
    pointwise = Use((*(None,) * len(space), between, out))
    uses = {"depthwise_kernel": [use], "pointwise_kernel": [pointwise], "bias": [Use((out,))]}
    return _at(c, x, out, made), uses


def _each_channel(layer, name, own, made):
    """The labels of what several filters make of each channel, and those of their kernel.

    They are the channel's own unit, or, where that is none, units of which those of one channel may
    change places.
    """
    *space, channels, several = _shape(layer, name)
    if own is not None:
        out = own if several == 1 else made.units.axis(np.repeat(own, several))
    else:
        out = None if several == 1 else made(layer, name, *[several] * channels)
    return out, Use((*(None,) * len(space), out), view=(*space, channels * several))


def _embedding(layer, x, made):
    out = made(layer, "units", layer.output_dim)
    return (*x, out), {"embeddings": [Use((None, out))]}


# ---- layers that hand on what they get --------------------------------------------------------------


def _normalised(layer, x, made):
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    own = tuple(x[k if k < 0 else k - 1] for k in axes)
    return tuple(x), {name: [Use(own)] for name in weights(layer)}


def _normalised_in_groups(layer, x, made):
    own = x[layer.axis if layer.axis < 0 else layer.axis - 1]
    if own is not None and 1 < layer.groups < len(own):
        for block in np.split(own, layer.groups):
            made.units.axis(block.copy())
    return tuple(x), {name: [Use((own,))] for name in weights(layer)}


def _standardised(layer, x, made):
    for labels in x:
        made.units.fix(labels)
    return (None,) * len(x), {n: [Use((None,) * len(v.shape))] for n, v in weights(layer).items()}


def _prelu(layer, x, made):
    return tuple(x), {"alpha": [Use(_broadcast(_shape(layer, "alpha"), x))]}


def _channels(layer):
    return 0 if layer.data_format == "channels_first" else -1


def _at(channel, x, out, made):
    """`out` on the axis of channels; units of other axes stay where they are, since they are mixed."""
    found = [None] * len(x)
    for i, labels in enumerate(x):
        if i != channel % len(x):
            made.units.fix(labels)
    found[channel] = out
    return tuple(found)


def _broadcast(shape, labels):
    """The labels of a weight that is spread over the last axes, where it has one position no units."""
    last = labels[len(labels) - len(shape) :]
    return tuple(None if n == 1 else one for n, one in zip(shape, last, strict=True))


_RULES: dict[str, Rule] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    **{f"Conv{d}D": _convolution for d in (1, 2, 3)},
    **{f"Conv{d}DTranspose": _transposed for d in (1, 2, 3)},
    **{f"DepthwiseConv{d}D": _depthwise for d in (1, 2)},
    **{f"SeparableConv{d}D": _separable for d in (1, 2)},
    "Embedding": _embedding,
    "BatchNormalization": _normalised,
    "LayerNormalization": _normalised,
    "RMSNormalization": _normalised,
    "GroupNormalization": _normalised_in_groups,
    "Normalization": _standardised,
    "PReLU": _prelu,
}
