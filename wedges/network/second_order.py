"""Operations whose second derivatives TensorFlow lacks, has wrong or slow, and right ones for them.

    tf.nn.moments     holds the mean in the variance constant: its first derivative is right, its second
                      is not. Batch norm calls it.
    tf.nn.max_pool    its second derivatives go one number at a time, a quarter of a Hessian-vector
                      product of a small convolutional network on a CPU. Where windows do not overlap
                      they are a product with a mask and a mean. Where there are as many windows as
                      inputs, TensorFlow's are wrong in a graph.
    tf.nn.batch_normalization
                      its second derivatives spread [C] numbers over the shape of the activations.
    relu              TensorFlow's derivative of the gradient adds zeros of that shape.
    resizing          bilinear, nearest, bicubic and others: TensorFlow has no derivative of the
                      gradient; of the bilinear one it says that it is constant.
    softsign          TensorFlow has no derivative of the gradient; it is given this one for good, since
                      an optimizer's tape around a loss with a Laplacian sees no more than TensorFlow.

Every other operation of which TensorFlow does not know a derivative is refused in words. The numbers and
the first derivatives are those of TensorFlow. All of it is for reverse mode twice: forward mode
(`tf.autodiff.ForwardAccumulator`) does not see through the pooling.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import derivatives_from

_max_pool, _batch_normalization = tf.nn.max_pool, tf.nn.batch_normalization

# TensorFlow has no derivative of these because their output does not move with their input. It says the
# same of others that do move, such as ResizeBilinearGrad and PyFunc.
_CONSTANT = {"OnesLike", "StopGradient", "ZerosLike"}


class NoSecondDerivative(ValueError):
    """An operation that TensorFlow cannot differentiate twice; it says which, and in which layer."""


@contextlib.contextmanager
def exact_second_derivatives(model: keras.Model | None = None) -> Iterator[None]:
    """While it lasts, Keras layers that are called and gradients use the operations of this module.

    It puts them in the place of `tf.nn.moments`, `tf.nn.max_pool`, `tf.nn.batch_normalization` and of
    TensorFlow's derivatives, and puts TensorFlow's own back when it ends, also after an error. Trace a
    graph of second derivatives within it; what is traced keeps them.

    Args:
      model: whose layers an error names.

    Raises:
      NoSecondDerivative: within it, a derivative of an operation that TensorFlow cannot differentiate.
    """
    originals = tf.nn.moments, tf.nn.max_pool, tf.nn.batch_normalization
    tf.nn.moments, tf.nn.max_pool = moments, max_pool
    tf.nn.batch_normalization = batch_normalization
    try:
        with derivatives_from(_finder(model)):
            yield
    finally:
        tf.nn.moments, tf.nn.max_pool, tf.nn.batch_normalization = originals


@contextlib.contextmanager
def derivatives_of_any_order(model: keras.Model | None = None) -> Iterator[None]:
    """While it lasts, what is computed has right derivatives of any order, in whatever graph.

    As `exact_second_derivatives`, without functions that have their own gradient: where that holds
    tensors of one graph, TensorFlow cannot differentiate it again in another. So it is slower.

    Args:
      model: whose layers an error names.

    Raises:
      NoSecondDerivative: within it, a derivative of an operation that TensorFlow cannot differentiate.
    """
    original = tf.nn.moments
    tf.nn.moments = _plain_moments
    try:
        with derivatives_from(_finder(model)):
            yield
    finally:
        tf.nn.moments = original


def _plain_moments(x, axes, shift=None, keepdims=False, name=None):
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance


def _finder(model):
    """Where derivatives of operations come from: here, TensorFlow, or an error that names a layer."""

    def find(kind, known, listed):
        if kind in _DERIVATIVES:
            return _DERIVATIVES[kind]
        if kind in ("PartitionedCall", "StatefulPartitionedCall"):  # TensorFlow looks into these
            if not listed:
                raise LookupError(kind)
            return known
        if kind == "PreventGradient" or not (known or (listed and kind in _CONSTANT)):
            return lambda op, *_: _refuse(kind, op, model)
        return known

    return find


def _refuse(kind, op, model):
    """An error about an operation, but for one that only whole numbers go into: it is constant."""
    given = [t for t in op.inputs or () if t is not None]  # a tape keeps what TensorFlow uses
    if given and not any(t.dtype.is_floating or t.dtype.is_complex for t in given):
        return [None] * len(op.inputs)
    scopes = _scopes(kind, op)
    where = _layer(scopes, model) or "the loss"
    what = kind if hasattr(tf.raw_ops, kind) else scopes.split("/", 1)[-1]  # a function of any name
    raise NoSecondDerivative(
        f"{where} uses the operation {what}, which has no second derivative in TensorFlow; use another, "
        "or give it one with tf.custom_gradient."
    )


def _scopes(kind, op):
    """The name of an operation in its graph; without its outputs, of the first one of its type."""
    graph = tf.compat.v1.get_default_graph()
    found = [t.op.name for t in op.outputs or () if t is not None and hasattr(t, "graph")]
    while graph is not None and not found:
        found = [o.name for o in graph.get_operations() if o.type == kind]
        graph = getattr(graph, "outer_graph", None)
    return found[0] if found else ""


def _layer(scopes, model):
    """The innermost layer of `model` within whose scopes ("net/block/conv/BiasAdd") an operation is."""
    names = {layer.name for layer in _keras.flat_layers(model)} if model is not None else set()
    for scope in reversed(scopes.split("/")[:-1]):
        for name in (scope, re.sub(r"_\d+$", "", scope)):  # TensorFlow numbers scopes entered again
            if name in names:
                return f"layer {name!r}"
    return None


# ---- derivatives of operations: (operation, upstream) -> upstream of its inputs -----------------------


def _softsign_grad(op, up):
    """Of g / (1 + |x|)^2."""
    g, x = op.inputs
    slope = -2 * tf.sign(x) / (1 + tf.abs(x)) ** 3
    return tf.raw_ops.SoftsignGrad(gradients=up, features=x), up * g * slope


def _relu_grad(again):
    """Of g where x is above 0, and elsewhere 0: it moves with g alone.

    TensorFlow's own adds zeros in the shape of x, a pass over memory in each layer.
    """
    return lambda op, up: (again(gradients=up, features=op.inputs[1]), None)


def _leaky_relu_grad(op, up):
    alpha = op.get_attr("alpha")
    return tf.raw_ops.LeakyReluGrad(gradients=up, features=op.inputs[1], alpha=alpha), None


def _resize(forward, back):
    """Of a resizing, which is linear: its transpose, whose own derivative is the resizing itself."""

    def derivative(op, up):
        x = tf.stop_gradient(op.inputs[0])
        settings = {name: op.get_attr(name) for name in ("align_corners", "half_pixel_centers")}

        @tf.custom_gradient
        def transpose(y):
            return back(y, x, settings), lambda dx: forward(images=dx, size=tf.shape(y)[1:3], **settings)

        return transpose(up), None

    return derivative


def _resize_bilinear_transpose(y, x, settings):
    return tf.raw_ops.ResizeBilinearGrad(grads=y, original_image=x, **settings)


def _resize_bicubic_transpose(y, x, settings):
    return tf.raw_ops.ResizeBicubicGrad(grads=y, original_image=x, **settings)


def _resize_nearest_transpose(y, x, settings):
    return tf.raw_ops.ResizeNearestNeighborGrad(grads=y, size=tf.shape(x)[1:3], **settings)


def _max_pool_grad(kernel, layout):
    """Of the scattering of a max pool's gradient: the entry at each window's largest.

    TensorFlow's own kernels may write into the numbers that they read, where there are as many windows
    as inputs. With the padding written out there are fewer.
    """

    def derivative(op, up):
        x, y = op.inputs[:2]
        names = ("ksize", "strides", "padding", "data_format")
        settings = {n: _text(op.get_attr(n)) for n in names}
        dense = all(step == 1 for step in settings["strides"])
        if dense and settings["padding"] == "SAME" and settings["data_format"] == layout:
            around = [[(k - 1) // 2, k // 2] for k in settings["ksize"]]
            x, up = tf.pad(x, around, constant_values=x.dtype.min), tf.pad(up, around)
            settings["padding"] = "VALID"
        return None, None, kernel(orig_input=x, orig_output=y, grad=up, **settings)

    return derivative


def _scale_and_translate_grad(op, up):
    """Of the transpose of a resizing with other kernels, or one that smooths."""
    image, _, scale, translation = op.inputs
    settings = {n: _text(op.get_attr(n)) for n in ("kernel_type", "antialias")}
    resized = tf.raw_ops.ScaleAndTranslate(
        images=up, size=tf.shape(image)[1:3], scale=scale, translation=translation, **settings
    )
    return resized, None, None, None


def _text(setting):
    return setting.decode() if isinstance(setting, bytes) else setting


_DERIVATIVES = {
    "MaxPoolGrad": _max_pool_grad(tf.raw_ops.MaxPoolGradGrad, "NHWC"),
    "MaxPool3DGrad": _max_pool_grad(tf.raw_ops.MaxPool3DGradGrad, "NDHWC"),
    "ReluGrad": _relu_grad(tf.raw_ops.ReluGrad),
    "Relu6Grad": _relu_grad(tf.raw_ops.Relu6Grad),
    "LeakyReluGrad": _leaky_relu_grad,
    "SoftsignGrad": _softsign_grad,
    "ResizeBilinear": _resize(tf.raw_ops.ResizeBilinear, _resize_bilinear_transpose),
    "ResizeBicubic": _resize(tf.raw_ops.ResizeBicubic, _resize_bicubic_transpose),
    "ResizeNearestNeighbor": _resize(tf.raw_ops.ResizeNearestNeighbor, _resize_nearest_transpose),
    "ScaleAndTranslateGrad": _scale_and_translate_grad,
}


def _registered():
    """Tell TensorFlow the derivative that it lacks altogether. No number that it finds changes."""
    with contextlib.suppress(KeyError):  # where a version of it has one, or another library gave it one
        tf.RegisterGradient("SoftsignGrad")(_softsign_grad)
    return True


_REGISTERED = _registered()


# ---- operations in the place of TensorFlow's ----------------------------------------------------------


def moments(
    x: tf.Tensor, axes: Sequence[int], shift: Any = None, keepdims: bool = False, name: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of x over `axes`, as `tf.nn.moments`; `shift` and `name` are not used."""
    axes = sorted(a % x.shape.rank for a in axes)
    if not keepdims and axes == list(range(len(axes))):  # what is left broadcasts as it is
        return _moments(axes, keepdims=False)(x)
    mean, variance = _moments(axes, keepdims=True)(x)
    return (mean, variance) if keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))


def _moments(axes, keepdims):
    """Of x along `axes`: one function with its gradient, of few operations."""
    mean_of = lambda x: tf.reduce_mean(x, axes, keepdims=keepdims)
    sum_of = lambda x: tf.reduce_sum(x, axes, keepdims=keepdims)

    def share(x, mean):
        """1 / n of n numbers; a constant where it is known."""
        if x.shape.is_fully_defined():
            return mean.shape.num_elements() / x.shape.num_elements()
        return tf.cast(tf.size(mean) / tf.size(x), x.dtype)

    @tf.custom_gradient
    def moments(x):
        mean = mean_of(x)
        variance = mean_of(tf.math.squared_difference(x, mean))

        def gradient(dmean, dvariance):
            part = share(x, mean)
            return back(part * dmean, 2 * part * dvariance, x, mean)

        return (mean, variance), gradient

    @tf.custom_gradient
    def back(dmean, dvariance, x, mean):
        def derivative(up):
            # `mean` is that of x, by which this is the derivative; so it has none of its own.
            inner, outer = sum_of(up), sum_of(up * (x - mean))
            return inner, outer, dvariance * (up - share(x, mean) * inner), None

        return dmean + (x - mean) * dvariance, derivative

    return moments


def batch_normalization(
    x: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    offset: tf.Tensor | None,
    scale: tf.Tensor | None,
    variance_epsilon: float,
    name: str | None = None,
) -> tf.Tensor:
    """(x - mean) / sqrt(variance + epsilon), scaled and moved, as `tf.nn.batch_normalization`.

    x [..., C]; all else [C]. Of other shapes it is TensorFlow's own.
    """
    if mean.shape.rank != 1:
        return _batch_normalization(x, mean, variance, offset, scale, variance_epsilon, name)
    by = tf.math.rsqrt(variance + variance_epsilon)
    by = by if scale is None else by * scale
    plus = -mean * by if offset is None else offset - mean * by
    return _scaled(x, tf.cast(by, x.dtype), tf.cast(plus, x.dtype))


@tf.custom_gradient
def _scaled(x, by, plus):
    """X [..., C] times `by` [C] plus `plus` [C]."""
    return x * by + plus, lambda up: _scaled_back(up, x, by)


@tf.custom_gradient
def _scaled_back(up, x, by):
    """The gradients by x, `by` and `plus`; their own spread no [C] numbers over the shape of x."""
    axes = list(range(x.shape.rank - 1))

    def derivative(dx, dby, dplus):
        return dx * by + (x * dby + dplus), up * dby, tf.reduce_sum(up * dx, axes)

    return (up * by, tf.reduce_sum(up * x, axes), tf.reduce_sum(up, axes)), derivative


def max_pool(
    input: tf.Tensor,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    name: Any = None,
) -> tf.Tensor:
    """The largest of each window, as `tf.nn.max_pool`. input [B, H, W, C] -> [B, H', W', C].

    Where windows overlap or leave gaps, or the input has other axes, it is TensorFlow's own.
    """
    pooled = _max_pool(input, ksize, strides, padding, data_format, name)
    window, apart = _pair(ksize), _pair(strides)
    tiled = window is not None and window == apart and data_format in (None, "NHWC")
    if not (tiled and input.shape.rank == 4 and padding in ("VALID", "SAME")):
        return pooled
    height, width = window
    if padding == "SAME" and (input.shape[1] % height or input.shape[2] % width):
        return pooled
    # Which entry is the largest does not change with x, so nothing is differentiated through it.
    x, y = tf.stop_gradient(input), tf.stop_gradient(pooled)
    sizes = {"ksize": [1, height, width, 1], "strides": [1, height, width, 1], "padding": "VALID"}
    back = lambda dy: tf.raw_ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=dy, **sizes)

    @tf.custom_gradient
    def scatter(dy):  # [B, H', W', C] -> [B, H, W, C]: each number to where its window's largest is
        return back(dy), gather

    @tf.custom_gradient
    def gather(dx):  # [B, H, W, C] -> [B, H', W', C]: the number at each window's largest
        largest = back(tf.ones_like(y))  # 1 there and 0 elsewhere
        mean = tf.nn.avg_pool(dx * largest, [height, width], [height, width], "VALID")
        return height * width * mean, scatter

    @tf.custom_gradient
    def pool(_):
        return y, scatter

    return pool(input)


def _pair(size):
    """(height, width) of a window or stride in any form that TensorFlow takes.

    None for one of another rank or over channels.
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) == 4 and sizes[::3] != (1, 1):
        return None
    return {1: sizes * 2, 2: sizes, 4: sizes[1:3]}.get(len(sizes))
