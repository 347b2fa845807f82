"""Operations whose second derivatives TensorFlow has wrong, or slow, and right ones in their place.

    tf.nn.moments     holds the mean in the variance constant: its first derivative is right, its second
                      is not. Batch norm calls it.
    tf.nn.max_pool    its second derivatives go one number at a time, a quarter of a Hessian-vector
                      product of a small convolutional network on a CPU. Where windows do not overlap
                      they are a product with a mask and a mean.

The numbers and the first derivatives are those of TensorFlow. All of it is for reverse mode twice:
forward mode (`tf.autodiff.ForwardAccumulator`) does not see through the pooling.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

_max_pool = tf.nn.max_pool


@contextlib.contextmanager
def exact_second_derivatives() -> Iterator[None]:
    """While it lasts, Keras layers that are called use the operations of this module.

    It puts them in the place of `tf.nn.moments` and `tf.nn.max_pool`, and puts TensorFlow's own back
    when it ends, also after an error. Trace a graph of second derivatives within it; what is traced
    keeps them.
    """
    originals = tf.nn.moments, tf.nn.max_pool
    tf.nn.moments, tf.nn.max_pool = moments, max_pool
    try:
        yield
    finally:
        tf.nn.moments, tf.nn.max_pool = originals


def moments(
    x: tf.Tensor, axes: Sequence[int], shift: Any = None, keepdims: bool = False, name: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of x over `axes`, as `tf.nn.moments`; `shift` and `name` are not used."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance


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
