"""A function of x with its first derivatives and its Laplacian, by reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges.network.second_order import derivatives_of_any_order

Function = Callable[[tf.Tensor], Any]  # of points x [N, d] -> [N]


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


def values_at(name: str, function: Function, x: tf.Tensor) -> tf.Tensor:
    """A function of points, of TensorFlow or NumPy, at x [N, d]: [N] of x's dtype.

    Raises:
      ValueError: neither a number for each point nor one for all of them, e.g. a column [N, 1].
    """
    try:
        found = tf.cast(function(x), x.dtype)
    except NotImplementedError:  # what NumPy makes of points that only a graph will know
        plain = lambda x: np.asarray(function(x), x.dtype)
        found = tf.ensure_shape(tf.numpy_function(plain, [x], x.dtype), x.shape[:1])
    if found.shape.rank == 0:
        return tf.fill(tf.shape(x)[:1], found)
    _check_numbers(name, found, x)
    return found


def differentiable_at(name: str, function: Function, x: tf.Tensor) -> tf.Tensor:
    """A function of points at x [N, d] that a tape can follow: [N] of x's dtype.

    Raises:
      ValueError: no tensor, as of a function that uses NumPy; no number for each point.
    """
    found = function(x)
    if not tf.is_tensor(found):
        raise ValueError(
            f"{name} must be made of operations of TensorFlow or Keras, to be differentiated; received "
            f"one that gives {_checks.called(found)}."
        )
    _check_numbers(name, found, x)
    return tf.cast(found, x.dtype)


def _check_numbers(name, found, x):
    if not (found.shape.rank == 1 and found.shape.is_compatible_with(x.shape[:1])):
        n, d = x.shape
        raise ValueError(
            f"{name} must give a number for each point, [N] of x [N, {d}]; received shape "
            f"{tuple(found.shape)} of {n} points."
        )


def differentiate(
    function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, *, laplacian: bool = True
) -> Field:
    """A function of single points, [N, d] -> [N], at x [N, d] with its derivatives: a `Field`.

    The Laplacian takes a reverse pass through the gradient for each of the d axes. Operations whose
    second derivatives TensorFlow has wrong have right ones (`wedges.network.second_order`).

    >>> u = lambda x: x[:, 0] ** 2 * x[:, 1]
    >>> found = wedges.collocation.differentiate(u, np.array([[3.0, 2.0]]))
    >>> found.gradient.numpy().tolist(), found.laplacian.numpy().tolist()
    ([[12.0, 9.0]], [4.0])

    Raises:
      ValueError: a function of NumPy, or one that gives no number for each point; an operation without
        second derivatives.
    """
    if not callable(function):
        raise ValueError(f"function must be a function of points; received {_checks.called(function)}.")
    x = x if tf.is_tensor(x) else tf.convert_to_tensor(_checks.array("x", x))
    with derivatives_of_any_order():
        return _by_tapes(lambda x: differentiable_at("function", function, x), x, laplacian)


def _by_tapes(function, x, laplacian):
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
