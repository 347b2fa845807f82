"""Value, gradient and Laplacian by x, carried forwards through a network's layers together.

    linear       (z, g, l)  ->  (W z + b, W g, W l)
    activation   (z, g, l)  ->  (s(z), s'(z) g, s'(z) l + s''(z) |g|^2)

z, g = dz/dx_1 ... dz/dx_d and l = Laplace z of every unit: d + 2 numbers in place of one, and one pass
for all of them. Nothing is taped, so a gradient by theta is one reverse pass over it, and many thetas
go through as stacked weights. Reverse mode takes d passes for the Laplacian through the tape of the
first, and a third one by theta through all these.

It knows models of dense layers, activations and what joins branches; `why_not` says what of a model it
does not know.

Source: Li et al. 2023, Forward Laplacian (arXiv:2307.08214), for this way of carrying it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.collocation.fields import Field
from wedges.network.second_order import NoSecondDerivative, derivatives_of_any_order

_JOINS = (keras.layers.Add, keras.layers.Subtract, keras.layers.Average, keras.layers.Multiply)


class Unknown(Exception):
    """A model or a layer that has no rule here; its text says which."""


class _Jet:
    """k functions of x at N points: value [..., N, k], gradient [..., d, N, k], laplacian [..., N, k].

    [...] is [], or [R] for R thetas; what is the same for all thetas, or at all points, may have the
    length 1 there or lack the axis. A laplacian of None is 0; a gradient never is.
    """

    def __init__(self, value, gradient, laplacian):
        self.value, self.gradient, self.laplacian = value, gradient, laplacian


class Slopes(NamedTuple):
    """An activation of z with its first two derivatives, at the same numbers."""

    value: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor | None


def field(model: keras.Model, weights: dict[int, tf.Tensor], x: tf.Tensor, laplacian: bool) -> Field:
    """The only output of a model at x [N, d], of one theta or of R: a `Field` [N, ...] or [R, N, ...].

    Args:
      model: one that `why_not` knows.
      weights: {id of a variable: its value, [...] or [R, ...]}.
      x: [N, d].
      laplacian: whether to carry it.

    Raises:
      Unknown: a layer without a rule.
    """
    d = x.shape[-1]
    start = _Jet(x, tf.eye(d, dtype=x.dtype)[:, None, :], None)
    call = functools.partial(_apply, weights, laplacian)
    jet = _through(model, start, call)
    if not isinstance(jet, _Jet):
        raise Unknown("several outputs")
    value = jet.value[..., 0]  # [..., N]
    # A linear model has the same gradient at all points.
    gradient = jet.gradient[..., 0] + tf.zeros_like(value)[..., None, :]  # [..., d, N]
    second = None
    if laplacian:
        second = tf.zeros_like(value)
        if jet.laplacian is not None:
            second += jet.laplacian[..., 0]
    return Field(value, tf.linalg.matrix_transpose(gradient), second)


def why_not(model: keras.Model, weights: dict[int, tf.Tensor], x: tf.Tensor, values: tf.Tensor) -> str:
    """Why a model is not carried forwards, in a few words; "" where it is.

    It is tried with weights that are not 0, and its values compared with those of the model's own call.
    """
    try:
        found = field(model, weights, x, laplacian=True).value
    except (Unknown, NoSecondDerivative) as unknown:
        return str(unknown)
    near = 1e-3 if x.dtype == tf.float32 else 1e-9
    if not np.allclose(found, values, rtol=near, atol=near):
        return f"a call of {type(model).__name__} that its layers do not make up"
    return ""


def _through(model, start, call):
    """What becomes of the jet of a model's input."""
    found = _keras.through_graph(model, start, lambda layer: functools.partial(call, layer))
    if found is None:
        raise Unknown(f"the call of {type(model).__name__}")
    return found


def _apply(weights, laplacian, layer, *args, **kwargs):
    """The jet after a layer."""
    name = f"the layer {layer.name!r}, {type(layer).__name__}"
    inputs = args[0] if len(args) == 1 else None
    several = isinstance(inputs, (list, tuple)) and all(isinstance(j, _Jet) for j in inputs)
    if kwargs.get("mask") is not None or not (several or isinstance(inputs, _Jet)):
        raise Unknown(name)
    if isinstance(layer, keras.Model):
        if several:
            raise Unknown(name)
        return _through(layer, inputs, functools.partial(_apply, weights, laplacian))
    if type(layer) is keras.layers.Dense and not several:
        return _dense(weights, laplacian, layer, inputs, name)
    if type(layer) in _JOINS and several:
        return _joined(layer, inputs, laplacian)
    if type(layer) is keras.layers.Concatenate and several and layer.axis in (-1, 1):
        return _concatenated(inputs)
    if not several and not getattr(layer, "weights", ()):  # dropout has a seed, and no weights
        function = layer
        if isinstance(layer, keras.layers.Layer):
            function = functools.partial(_at_inference, layer)
        if type(layer) is keras.layers.Activation:
            function = layer.activation
        return _activated(function, inputs, laplacian, name)
    raise Unknown(name)


def _at_inference(layer, z):
    knows = "training" in inspect.signature(layer.call).parameters
    return layer(z, training=False) if knows else layer(z)


# ---- rules ----------------------------------------------------------------------------------------


def _dense(weights, laplacian, layer, jet, name):
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        raise Unknown(name)
    if len(layer.kernel.shape) != 2 or layer.compute_dtype != jet.value.dtype.name:
        raise Unknown(name)
    kernel = weights[id(layer.kernel)]  # [..., k, m]
    value = _times(jet.value, kernel, 0)
    if layer.use_bias:
        value += weights[id(layer.bias)][..., None, :]
    second = None if jet.laplacian is None else _times(jet.laplacian, kernel, 0)
    found = _Jet(value, _times(jet.gradient, kernel, 1), second)
    return _activated(layer.activation, found, laplacian, name)


def _times(z, kernel, more):
    """z [..., N, k] times a kernel [k, m] or [R, k, m]; `more` axes of z between those of R and N."""
    k, m = kernel.shape[-2:]
    if kernel.shape.rank == 2:
        shape = tf.shape(z)
        flat = tf.reshape(z, [-1, k]) @ kernel
        return tf.ensure_shape(tf.reshape(flat, tf.concat([shape[:-1], [m]], 0)), [*z.shape[:-1], m])
    if z.shape.rank == 2 + more:  # the same for all thetas
        rows = tf.reshape(z, [-1, k])
        found = tf.matmul(rows, kernel)  # [R, rows, m]
        return tf.reshape(found, [-1, *z.shape[:-1], m])
    rows = tf.reshape(z, [tf.shape(z)[0], -1, k])
    return tf.reshape(tf.matmul(rows, kernel), [-1, *z.shape[1:-1], m])


def _activated(function, jet, laplacian, name):
    if function is None or function is keras.activations.linear:
        return jet
    if not _elementwise(function, jet.value.dtype):
        raise Unknown(name)
    at = _CLOSED.get(function, functools.partial(_slopes, function))(jet.value)
    first = at.first[..., None, :, :]
    gradient = first * jet.gradient
    if not laplacian:
        return _Jet(at.value, gradient, None)
    second = None if jet.laplacian is None else at.first * jet.laplacian
    if at.second is not None:
        bent = at.second * tf.reduce_sum(jet.gradient * jet.gradient, axis=-3)
        second = bent if second is None else second + bent
    return _Jet(at.value, gradient, second)


def _joined(layer, jets, laplacian):
    if type(layer) is keras.layers.Multiply:
        return functools.reduce(functools.partial(_product, laplacian), jets)
    signs = [1.0] + [-1.0 if type(layer) is keras.layers.Subtract else 1.0] * (len(jets) - 1)
    share = 1 / len(jets) if type(layer) is keras.layers.Average else 1.0

    def total(name):
        parts = [(share * s, getattr(j, name)) for s, j in zip(signs, jets, strict=True)]
        parts = [p if c == 1 else c * p for c, p in parts if p is not None]
        return functools.reduce(tf.add, parts) if parts else None

    return _Jet(total("value"), total("gradient"), total("laplacian"))


def _product(laplacian, a, b):
    """The product rule: Laplace (a b) = a Laplace b + 2 grad a . grad b + b Laplace a."""
    gradient = a.value[..., None, :, :] * b.gradient + b.value[..., None, :, :] * a.gradient
    if not laplacian:
        return _Jet(a.value * b.value, gradient, None)
    second = 2 * tf.reduce_sum(a.gradient * b.gradient, axis=-3)
    for u, v in ((a, b), (b, a)):
        if v.laplacian is not None:
            second += u.value * v.laplacian
    return _Jet(a.value * b.value, gradient, second)


def _concatenated(jets):
    seconds = [tf.zeros_like(j.value) if j.laplacian is None else j.laplacian for j in jets]
    none = all(j.laplacian is None for j in jets)
    join = lambda parts: tf.concat(_alike(parts), axis=-1)
    return _Jet(
        join([j.value for j in jets]),
        join([j.gradient for j in jets]),
        None if none else join(seconds),
    )


def _alike(parts):
    """The same tensors, alike in all axes but the last."""
    one = sum(tf.zeros_like(p[..., :1]) for p in parts)
    return [p + one for p in parts]


# ---- activations ----------------------------------------------------------------------------------


def _slopes(function: Callable[[tf.Tensor], tf.Tensor], z: tf.Tensor) -> Slopes:
    """Any function of single numbers."""
    with derivatives_of_any_order(), tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            value = function(z)
        first = inner.gradient(value, z, unconnected_gradients="zero")
        second = outer.gradient(first, z)  # None where it is linear by parts
    return Slopes(value, first, second)


def _tanh(z):
    t = tf.tanh(z)
    first = 1 - t * t
    return Slopes(t, first, -2 * t * first)


def _sigmoid(z):
    p = tf.sigmoid(z)
    first = p * (1 - p)
    return Slopes(p, first, first * (1 - 2 * p))


def _silu(z):
    p = tf.sigmoid(z)
    value, rest = z * p, 1 - p
    first = p + value * rest
    # s'' = p (1 - p) (2 + z (1 - 2 p)), with s = z p
    return Slopes(value, first, rest * (2 * p + value * (rest - p)))


def _softsign(z):  # TensorFlow has no derivative of its gradient
    by = 1 / (1 + tf.abs(z))
    first = by * by
    return Slopes(z * by, first, -2 * tf.sign(z) * first * by)


_CLOSED = {
    keras.activations.tanh: _tanh,
    keras.activations.sigmoid: _sigmoid,
    keras.activations.silu: _silu,
    keras.activations.softsign: _softsign,
}


def _elementwise(function: Any, dtype: tf.DType) -> bool:
    """Whether a function acts on each number by itself: alike on a row, a column and a block."""
    if function in _CLOSED:
        return True
    with tf.init_scope():  # numbers, also where a graph is being made
        z = tf.cast(np.linspace(-2.1, 1.9, 6), dtype)
        shapes: Sequence[tuple[int, int]] = ((1, 6), (6, 1), (2, 3))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Keras, of an axis of length 1
                found = [function(tf.reshape(z, shape)) for shape in shapes]
        except Exception:  # whatever a user's function raises
            return False
        if any(tuple(f.shape) != s for f, s in zip(found, shapes, strict=True)):
            return False
        rows = [np.ravel(f) for f in found]
    return all(np.allclose(rows[0], row, rtol=1e-5, atol=1e-6) for row in rows[1:])
