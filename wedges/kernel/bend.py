"""How far from linear a network is in its weights: the Hessian of one output, not of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from scipy.sparse.linalg import LinearOperator

from wedges import _checks
from wedges._tensorflow import compiled
from wedges.curvature import eigenpairs
from wedges.kernel.matrix import inputs_of, is_number, tangents_of
from wedges.landscape import PRODUCTS_AT_ONCE, Landscape
from wedges.network.second_order import exact_second_derivatives

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike


def output_hessian(
    landscape: Landscape, theta: TensorLike, example: Any = 0, output: int = 0
) -> LinearOperator:
    """d^2 f_k(x) / d theta^2 of one output of one example at theta: a symmetric operator [D, D].

    Statistics of batch norm are held at their values at theta.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)] * 1)
    >>> landscape = wedges.NetworkLandscape(model, [[1.0]], [[1.0]], "mse", seed=0)
    >>> wedges.kernel.output_hessian(landscape, [3.0]) @ np.ones(1, "float32")  # linear in its weight
    array([0.], dtype=float32)

    Args:
      landscape: a `NetworkLandscape`.
      theta: [D], finite.
      example: its number among the landscape's examples, or an input [1, ...].
      output: k, from 0.

    Raises:
      ValueError: as of `tangent_kernel`; an output that is not there; at a product, an operation without
        second derivatives.
    """
    tangents = tangents_of(landscape)
    own = tangents.landscape
    theta = _checks.one_point(landscape, theta)
    k = _checks.whole("output", output, 0, tangents.outputs - 1)
    if is_number(example):
        i = _checks.whole("example", example, 0, own.size - 1)
        x = tf.nest.map_structure(lambda t: t[i:], inputs_of(own, i + 1))
    else:
        x = inputs_of(own, example, "example")
        if (n := int(tf.nest.flatten(x)[0].shape[0])) != 1:
            raise ValueError(f"example must be one input [1, ...]; received {n} of them.")
    state = own.graphs.state_at(theta)

    @compiled
    def products(rows):
        with exact_second_derivatives(tangents.problem.network.model):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(theta)
                with tf.GradientTape() as inner:
                    inner.watch(theta)
                    value = tangents.flat(theta, state, x)[0, k]
                slope = inner.gradient(value, theta, unconnected_gradients="zero")
            along = [
                outer.gradient(slope, theta, v, unconnected_gradients="zero") for v in tf.unstack(rows)
            ]
        return tf.stack(along)

    dtype = theta.dtype.as_numpy_dtype

    def several(columns):
        rows = tf.constant(np.ascontiguousarray(np.asarray(columns).T, dtype))
        parts = range(0, rows.shape[0], PRODUCTS_AT_ONCE)
        found = np.concatenate([products(rows[i : i + PRODUCTS_AT_ONCE]) for i in parts])
        _checks.finite("theta", found)
        return found.T

    one = lambda v: several(np.reshape(v, [-1, 1])).ravel()
    shape = (landscape.dimension, landscape.dimension)
    return LinearOperator(shape, matvec=one, rmatvec=one, matmat=several, dtype=dtype)


def output_hessian_norm(
    landscape: Landscape,
    theta: TensorLike,
    example: Any = 0,
    output: int = 0,
    *,
    seed: int,
    tolerance: float = 1e-3,
) -> float:
    """|d^2 f_k(x) / d theta^2|_2, the largest absolute eigenvalue, by block Lanczos at both ends.

    Within a distance R of theta the derivatives of the output move by at most R |H|: where it is small,
    as in wide networks with a linear output, training stays nearly linear. Of two layers, f = sum_i v_i
    s(w_i . x) / sqrt(m), it is known:

        |H|_2 = max_i (c_i + sqrt(c_i^2 + 4 e_i^2)) / (2 sqrt(m)),
        c_i = |v_i s''(w_i . x)| |x|^2,    e_i = |s'(w_i . x)| |x|

    Args:
      landscape, theta, example, output: as of `output_hessian`.
      seed: of the starting vectors.
      tolerance: relative residual of the eigenvalues.

    Raises:
      ValueError: as `output_hessian`.

    Source: Liu, Zhu & Belkin 2020 (arXiv:2010.01092).
    """
    matrix = output_hessian(landscape, theta, example, output)
    ends = [
        eigenpairs(matrix, 1, seed=seed, end=end, tolerance=tolerance).values[0]
        for end in ("largest", "smallest")
    ]
    return float(np.abs(ends).max())
