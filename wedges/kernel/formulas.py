"""What each kind of layer adds to the tangent kernel, from its inputs and derivatives by its signals.

Of one example let d_o be the derivative of output o by a layer's signal z, and x the layer's input. All
that layers do to z with their weights is linear in these, so the derivative of output o by them is

    dense, convolution, embedding    sum_p a_p d_op^T     over positions p; a = x, a patch of x, one-hot
    normalisation                    sum_p x_p d_op, and sum_p d_op      x normalised

with a 1 behind a for a bias. What two examples have in common of the first, their part of the kernel,

    sum_pq (a_p . a'_q) (d_op . d'_o'q)

needs no derivative by a weight: it is a product of two Gram matrices (`Outer`). Where there are many
positions and few weights the derivatives themselves are cheaper (`Rows`): `cheaper` counts.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from wedges.kernel.taps import DEPTHWISE, NORMALISATIONS, Call, spread

if TYPE_CHECKING:
    from keras.layers import Layer


class Outer(NamedTuple):
    """Derivatives by weights in the form sum_p a_p d_p^T, for each of G groups of weights."""

    a: tf.Tensor  # [n, P, G, A]; or [n, P] whole numbers, which stand for one-hot vectors
    d: tf.Tensor  # [n, O, P, G, M]
    width: int  # A

    def rows(self) -> tf.Tensor:
        """The derivatives themselves, [n, O, G A M]."""
        a = self.a if self.a.dtype.is_floating else tf.one_hot(self.a, self.width, dtype=self.d.dtype)
        a = a if a.shape.rank == 4 else a[:, :, None]
        found = tf.einsum("npga,nopgm->nogam", a, self.d)
        return tf.reshape(found, [*self.d.shape[:2], math.prod(found.shape[2:])])

    def cheaper(self) -> bool:
        """Whether Gram matrices take no more multiplications than `rows`, of two examples."""
        _, outputs, positions, groups, wide = self.d.shape
        gram = positions**2 * groups * (self.width + outputs**2 * (wide + 1))
        return gram <= outputs**2 * groups * self.width * wide


def factors(
    layer: Layer, calls: Sequence[Call], slopes: Sequence[tf.Tensor]
) -> Outer | tf.Tensor | None:
    """What a layer's derivatives are made of: an `Outer`, or themselves [n, O, weights].

    Args:
      layer: a tappable one.
      calls: of the layer, one or more: their derivatives add up.
      slopes: the derivatives of the outputs by the signal of each call, [n, O, ...].

    Returns:
      None for a form of the layer without a formula.
    """
    if type(layer) in NORMALISATIONS:
        parts = [_scaled(layer, call, d) for call, d in zip(calls, slopes, strict=True)]
        return tf.add_n(parts)
    found = [_pair(layer, call, d) for call, d in zip(calls, slopes, strict=True)]
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < len(found):
        return None
    a = tf.concat([a for a, _ in pairs], axis=1)
    d = tf.concat([d for _, d in pairs], axis=2)
    return Outer(a, d, a.shape[-1] if a.dtype.is_floating else layer.input_dim)


def _pair(layer: Layer, call: Call, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor] | None:
    """A [n, P, G, A] or [n, P], and d [n, O, P, G, M], of one call."""
    x, n, outputs = call.x, d.shape[0], d.shape[1]
    if type(layer) is keras.layers.Embedding:
        tokens = tf.reshape(tf.cast(x, tf.int32), [n, -1])
        return tokens, tf.reshape(d, [n, outputs, tokens.shape[1], 1, d.shape[-1]])
    x = tf.cast(x, d.dtype)
    if type(layer) is keras.layers.Dense:
        a = tf.reshape(x, [n, -1, 1, x.shape[-1]])
        d = tf.reshape(d, [n, outputs, a.shape[1], 1, d.shape[-1]])
    elif type(layer) is keras.layers.EinsumDense:
        pair = _einsum(layer, x, d)
        if pair is None:
            return None
        a, d = pair
    else:
        a, d = _convolved(layer, x, d)
    if layer.bias is not None:
        a = tf.concat([a, tf.ones_like(a[..., :1])], axis=-1)
    return a, d


def _scaled(layer: Layer, call: Call, d: tf.Tensor) -> tf.Tensor:
    """The derivatives by scale and shift of a normalisation, [n, O, weights]; x is normalised."""
    x = tf.cast(call.x, d.dtype)[:, None]  # [n, 1, ...]
    along = spread(layer, call.x.shape.rank)
    over = [axis + 1 for axis, place in enumerate(along) if place is None and axis > 0]
    flat = lambda t: tf.reshape(tf.reduce_sum(t, axis=over), [*d.shape[:2], -1])
    names = [
        name
        for name in ("gamma", "scale", "beta")
        if isinstance(getattr(layer, name, None), keras.Variable)
    ]
    return tf.concat([flat(d if name == "beta" else d * x) for name in names], axis=-1)


def _convolved(layer: Layer, x: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Patches and slopes of a convolution, position by position and group by group."""
    found = patches(x, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    n, positions, size, channels = found.shape  # [n, P, K, C]
    depthwise = type(layer) in DEPTHWISE
    groups = channels if depthwise else layer.groups
    split = tf.reshape(found, [n, positions, size, groups, channels // groups])
    a = tf.reshape(tf.transpose(split, [0, 1, 3, 2, 4]), [n, positions, groups, -1])
    return a, tf.reshape(d, [n, d.shape[1], positions, groups, d.shape[-1] // groups])


def patches(
    x: tf.Tensor, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: str
) -> tf.Tensor:
    """What a kernel sees at each of its positions. x [n, ..., C] -> [n, P, K, C].

    Args:
      x: channels last, of any number of spatial axes.
      size, strides, dilation: of the kernel, along each of these axes.
      padding: "valid", "same" or "causal".
    """
    pads, counts = [[0, 0]], []
    for length, k, stride, rate in zip(x.shape[1:-1], size, strides, dilation, strict=True):
        reach = (k - 1) * rate
        if padding == "same":
            count = -(-length // stride)
            lacking = max((count - 1) * stride + reach + 1 - length, 0)
            pads.append([lacking // 2, lacking - lacking // 2])
        else:
            pads.append([reach if padding == "causal" else 0, 0])
            count = (length + pads[-1][0] - reach - 1) // stride + 1
        counts.append(count)
    x = tf.pad(x, [*pads, [0, 0]])
    seen = []
    for place in range(math.prod(size)):
        cut: list[slice] = []
        for k, stride, rate, count in reversed(list(zip(size, strides, dilation, counts, strict=True))):
            place, at = divmod(place, k)
            cut.insert(0, slice(at * rate, at * rate + (count - 1) * stride + 1, stride))
        where = (slice(None), *cut)
        seen.append(tf.reshape(x[where], [x.shape[0], math.prod(counts), x.shape[-1]]))
    return tf.stack(seen, axis=2)


def _einsum(layer: Layer, x: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor] | None:
    """A and d of an EinsumDense; None where its equation is no product of x and a kernel alone.

    An axis of the kernel that both x and z have counts groups; that only x has, the inputs; that only
    z has, the outputs. An axis that x and z have in common and the kernel has not counts positions.
    """
    terms = _letters(layer.equation, x.shape.rank)
    if terms is None:
        return None
    of_x, of_kernel, of_z = terms
    example, shared = of_x[0], [c for c in of_x[1:] if c in of_z]
    own = [c for c in of_kernel if (c in of_x) + (c in of_z) == 0]
    alone = [c for c in of_x if c not in of_kernel and c not in of_z]
    if example != of_z[0] or example in of_kernel or own or alone:
        return None
    groups = [c for c in shared if c in of_kernel]
    positions = [c for c in shared if c not in of_kernel]
    inputs = [c for c in of_kernel if c not in of_z]
    wide = [c for c in of_kernel if c not in of_x]
    size = dict(zip(of_x, x.shape, strict=True)) | dict(zip(of_z[1:], d.shape[2:], strict=True))
    if (
        layer.bias is not None
    ):  # one for each place of the kernel's own axes of z, or it is no 1 behind a
        lengths = dict(zip(reversed(of_z), reversed(layer.bias.shape), strict=False))
        if {c: k for c, k in lengths.items() if k > 1} != {
            c: size[c] for c in [*groups, *wide] if size[c] > 1
        }:
            return None
    count = lambda labels: math.prod(size[c] for c in labels)
    order = lambda labels, into: [labels.index(c) for c in into]
    sorted_x = [example, *positions, *groups, *inputs]
    a = tf.transpose(x, order(of_x, sorted_x))
    a = tf.reshape(a, [x.shape[0], count(positions), count(groups), count(inputs)])
    labels = [example, "output", *of_z[1:]]
    d = tf.transpose(d, order(labels, [example, "output", *positions, *groups, *wide]))
    return a, tf.reshape(d, [*d.shape[:2], count(positions), count(groups), count(wide)])


def _letters(equation: str, rank: int) -> tuple[list[str], list[str], list[str]] | None:
    """The axes of x, of the kernel and of z, by letters; None where some are summed twice."""
    given, of_z = equation.replace(" ", "").split("->")
    of_x, of_kernel = given.split(",")
    if "..." in given:
        free = [c for c in string.ascii_letters if c not in equation]
        more = "".join(free[: rank - len(of_x.replace("...", ""))])
        of_x, of_kernel, of_z = (t.replace("...", more) for t in (of_x, of_kernel, of_z))
    if any(len(set(t)) < len(t) for t in (of_x, of_kernel, of_z)):
        return None
    return list(of_x), list(of_kernel), list(of_z)
