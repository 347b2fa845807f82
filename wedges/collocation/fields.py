"""A function of x with its first derivatives and its Laplacian, by reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Field(NamedTuple):
    """A function u at N points of R^d, with its derivatives by x.

    Of many functions at once each has their axes in front, [...].
    """

    value: tf.Tensor  # [..., N]
    gradient: tf.Tensor  # [..., N, d]
    laplacian: tf.Tensor | None  # [..., N]; None where it was not asked for

    def times(self, other: Field) -> Field:
        """The product of the two functions, by the product rule.

        >>> x = wedges.collocation.differentiate(lambda x: x[:, 0], np.array([[3.0]]))
        >>> square = x.times(x)
        >>> square.value.numpy(), square.gradient.numpy(), square.laplacian.numpy()
        (array([9.]), array([[6.]]), array([2.]))
        """
        u, v = self, other
        gradient = u.value[..., None] * v.gradient + v.value[..., None] * u.gradient
        if u.laplacian is None or v.laplacian is None:
            return Field(u.value * v.value, gradient, None)
        crossed = 2 * tf.reduce_sum(u.gradient * v.gradient, axis=-1)
        laplacian = u.value * v.laplacian + crossed + v.value * u.laplacian
        return Field(u.value * v.value, gradient, laplacian)


def differentiate(
    function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, *, laplacian: bool = True
) -> Field:
    """A function of single points, [N, d] -> [N], at x [N, d] with its derivatives: a `Field`.

    The Laplacian takes a reverse pass through the gradient for each of the d axes.

    >>> u = lambda x: x[:, 0] ** 2 * x[:, 1]
    >>> found = wedges.collocation.differentiate(u, np.array([[3.0, 2.0]]))
    >>> found.gradient.numpy().tolist(), found.laplacian.numpy().tolist()
    ([[12.0, 9.0]], [4.0])
    """
    x = tf.convert_to_tensor(x)
    none = tf.UnconnectedGradients.ZERO
    if not laplacian:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return Field(value, tape.gradient(value, x, unconnected_gradients=none), None)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
        gradient = inner.gradient(value, x, unconnected_gradients=none)
        slopes = tf.unstack(gradient, axis=-1)  # d of [N]
    along = [
        outer.gradient(slope, x, unconnected_gradients=none)[:, i] for i, slope in enumerate(slopes)
    ]
    return Field(value, gradient, tf.add_n(along))
