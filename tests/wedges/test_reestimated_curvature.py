"""Second derivatives through re-estimated batch norm, by microbatches, against dense truth."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE
from tests.wedges.operators import normal
from tests.wedges.small_networks import (
    N,
    assert_dense,
    by_hand,
    cross_entropy,
    forward_over_reverse,
    inputs,
    jacobian,
    softmax,
)

Y = np.arange(N) % 3
SHAPES = [(4, 5), (5,), (5,), (5,), (5, 4), (4,), (4,), (4,), (4, 3), (3,)]
SIZES = [int(np.prod(s)) for s in SHAPES]


def model():
    norm = lambda: [layers.BatchNormalization(), layers.Activation("tanh")]
    stack = [layers.Dense(5), *norm(), layers.Dense(4), *norm(), layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *stack])


def written_out(theta, x, statistics_x, size):
    """Outputs of `model` in plain TensorFlow, with all examples and all microbatches at once."""
    parts = [tf.reshape(p, s) for p, s in zip(tf.split(theta, SIZES), SHAPES, strict=True)]
    stages = [parts[:4], parts[4:8]]

    def normalise(h, stage, mean, variance):
        _, _, gamma, beta = stage
        return tf.tanh(gamma * (h - mean) / tf.sqrt(variance + 1e-3) + beta)

    pooled = [[0.0, 0.0], [0.0, 0.0]]
    for i in range(0, N, size):  # a pass in training mode normalises within its microbatch
        h = statistics_x[i : i + size]
        share = len(h) / N
        for moments, stage in zip(pooled, stages, strict=True):
            h = h @ stage[0] + stage[1]
            mean = tf.reduce_sum(h, 0) / len(h)
            variance = tf.reduce_sum((h - mean) ** 2, 0) / len(h)
            moments[0] += share * mean
            moments[1] += share * (variance + mean**2)
            h = normalise(h, stage, mean, variance)
    h = x
    for (mean, second), stage in zip(pooled, stages, strict=True):
        h = normalise(h @ stage[0] + stage[1], stage, mean, second - mean**2)
    return h @ parts[8] + parts[9]


@pytest.mark.parametrize(
    ("size", "other"),
    [
        (20, False),
        pytest.param(53, False, marks=pytest.mark.slow),
        pytest.param(18, True, marks=pytest.mark.slow),
    ],
)
def test_of_two_batch_norms_in_a_row_they_are_those_of_the_function_written_out(size, other, float64):
    """Whatever the microbatches, and whatever the inputs that the statistics are gathered over."""
    x, theta = inputs(4), normal(1, sum(SIZES))
    over = -2 * inputs(4)[::-1] if other else x
    landscape = wedges.NetworkLandscape(
        model(),
        x,
        Y,
        SPARSE,
        seed=0,
        batch_norm="reestimate",
        evaluation_batch_size=size,
        statistics_x=over,
    )
    outputs = lambda at: written_out(at, x, over, size)
    np.testing.assert_allclose(landscape.evaluate(theta).outputs, outputs(theta), rtol=1e-9)
    expected = forward_over_reverse(lambda at: cross_entropy(Y, outputs(at)), theta)
    assert_dense(wedges.hessian(landscape, theta), expected)
    p = softmax(outputs(theta).numpy())
    assert_dense(wedges.gauss_newton(landscape, theta), by_hand(jacobian(outputs, theta), p))


def test_of_several_vectors_at_once_they_are_those_of_each_and_symmetric(float64):
    landscape = wedges.NetworkLandscape(
        model(), inputs(4), Y, SPARSE, seed=0, batch_norm="reestimate", evaluation_batch_size=20
    )
    theta, v = normal(1, sum(SIZES)), normal(2, 2, sum(SIZES))
    for product in (landscape.hessian_product, landscape.gauss_newton_product):
        found = product(theta, v).numpy()
        np.testing.assert_allclose(found[0], product(theta, v[0]), atol=1e-11)
        np.testing.assert_allclose(v @ found.T, found @ v.T, atol=1e-10)


def test_a_regulariser_and_pooling_are_in_them(float64):
    """Against central differences of the gradient."""
    stack = [
        layers.Conv2D(2, 3, kernel_regularizer=keras.regularizers.L2(0.1)),
        layers.BatchNormalization(gamma_regularizer=keras.regularizers.L2(0.2)),
        layers.MaxPooling2D(2),
        layers.Conv2D(2, 2),
        layers.BatchNormalization(),
        layers.Activation("tanh"),
        layers.Flatten(),
        layers.Dense(3),
    ]
    landscape = wedges.NetworkLandscape(
        keras.Sequential([keras.Input((8, 8, 1)), *stack]),
        inputs(8, 8, 1),
        Y,
        SPARSE,
        seed=0,
        batch_norm="reestimate",
        evaluation_batch_size=20,
        regularize=True,
    )
    d, h = landscape.dimension, 1e-6
    theta, v = 0.5 * normal(0, d), normal(1, d)
    gradient = lambda at: landscape.value_and_gradient(at)[1].numpy()
    expected = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
    found = landscape.hessian_product(theta, v)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_where_moments_do_not_move_with_theta_their_derivatives_are_0(float64):
    """A batch norm of the inputs: its statistics are re-estimated, and constants."""
    x, y = 2 * inputs(4), normal(3, N, 2)
    stack = [layers.BatchNormalization(center=False, scale=False), layers.Dense(2)]
    landscape = wedges.NetworkLandscape(
        keras.Sequential([keras.Input((4,)), *stack]), x, y, "mse", seed=0, batch_norm="reestimate"
    )
    z = np.pad((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), [(0, 0), (0, 1)], constant_values=1)
    expected = np.kron(z.T @ z / N, np.eye(2))  # 2 / k, as Keras averages over k = 2 outputs
    assert_dense(wedges.hessian(landscape, normal(1, 10)), expected)
    assert_dense(wedges.gauss_newton(landscape, normal(1, 10)), expected)
