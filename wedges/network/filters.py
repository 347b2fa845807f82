"""What a filter is in each of Keras' layers: the weights that make one channel, or one row of a table.

A filter is what can be scaled by a factor that another weight undoes: the numbers of a kernel that feed
one output channel; in attention, those that make, or read, one dimension of one head. Biases, the
scales and shifts of normalisations and PReLU's slopes belong to none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from wedges import _keras

if TYPE_CHECKING:
    from keras.layers import Layer

_kinds = lambda *names: tuple(getattr(keras.layers, n) for n in names if hasattr(keras.layers, n))

# Layers of which no weight belongs to a filter; some are younger than the oldest Keras that will do.
_WITHOUT = _kinds(
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "Normalization",
    "PReLU",
    "RMSNormalization",
)
_TRANSPOSED = _kinds("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_DEPTHWISE = _kinds("DepthwiseConv1D", "DepthwiseConv2D")
_ATTENTION = _kinds("MultiHeadAttention", "GroupQueryAttention")


def owners(model: keras.Model) -> dict[int, Layer]:
    """The layer that each of a model's variables belongs to, {id of the variable: layer}.

    The innermost that has it; of several that share it the one whose name its path has.
    """
    found: dict[int, Layer] = {}
    for layer in _keras.flat_layers(model):  # each before those that it holds
        for v in layer.variables:
            named = lambda one, v=v: v.path.split("/")[-2:-1] == [one.name]
            if id(v) not in found or named(layer) or not named(found[id(v)]):
                found[id(v)] = layer
    return found


def outputs_of_heads(model: keras.Model) -> set[int]:
    """The ids of the layers that bring the heads of an attention layer together."""
    attention = [a for a in _keras.flat_layers(model) if isinstance(a, _ATTENTION)]
    return {id(layer) for a in attention for layer in _keras.attention_outputs(a)}


def axes(layer: Layer | None, name: str, rank: int, reads_heads: bool = False) -> tuple[int, ...] | None:
    """Along which axes of a weight its filters are counted; None for a weight that belongs to none.

    Args:
      layer: what the weight belongs to, if anything.
      name: of the weight in it.
      rank: of the weight.
      reads_heads: whether the layer brings the heads of an attention layer together.
    """
    bias = name in ("bias", "beta", "gamma") or name.endswith("_bias")
    if rank < 2 or bias or isinstance(layer, _WITHOUT):
        return None
    if name.startswith("lora_"):  # a product of two, [..., rank] and [rank, ...]
        return (0,) if name.endswith("_b") else (rank - 1,)
    if name == "embeddings":
        return (0,)
    if name == "depthwise_kernel" or (name == "kernel" and isinstance(layer, _DEPTHWISE)):
        return (rank - 2, rank - 1)
    if name == "kernel" and isinstance(layer, _TRANSPOSED):
        return (rank - 2,)
    if name == "kernel" and isinstance(layer, keras.layers.EinsumDense):
        if reads_heads:
            return (0, 1)  # [heads, dimensions, ...]
        kernel, output = layer.equation.split(",")[1].split("->")
        return tuple(i for i, letter in enumerate(kernel.strip()) if letter in output)
    return (rank - 1,)


def numbered(shapes: Iterable[Sequence[int]], along: Iterable[tuple[int, ...] | None]) -> np.ndarray:
    """The filter of each number of weights of these shapes, one after another, whole numbers [D].

    >>> wedges.network.filters.numbered([(2, 3), (3,)], [(1,), None])
    array([ 0,  1,  2,  0,  1,  2, -1, -1, -1])
    """
    numbers, count = [], 0
    for shape, axes in zip(shapes, along, strict=True):
        number = np.full(shape, -1)
        if axes is not None:
            wide = [n if a in axes else 1 for a, n in enumerate(shape)]
            number = np.broadcast_to(count + np.arange(math.prod(wide)).reshape(wide), shape)
            count += math.prod(wide)
        numbers.append(number.ravel())
    return np.concatenate(numbers)
