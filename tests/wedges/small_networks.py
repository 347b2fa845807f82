"""Small networks in float64, and their dense derivatives by other means than the library's."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE
from tests.wedges.operators import normal

N = 53  # a size no batch divides


def inputs(*shape):
    """Random, and exact in float32, which a Keras input is even where everything else is float64."""
    return normal(0, N, *shape).astype(np.float32).astype(np.float64)


def with_ones(x):
    return np.pad(x, [(0, 0), (0, 1)], constant_values=1)


def linear(k, loss, y, **settings):
    """x [N, 4] float64 and the landscape of one Dense(k) on it; theta = [kernel, bias] row by row."""
    x = inputs(4)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(k, **settings)])
    return x, wedges.NetworkLandscape(model, x, y, loss, seed=0, evaluation_batch_size=20)


def one_by_one(made):
    """All of A by products with one vector at a time, which is the graph of a network soonest traced."""
    return np.array([made @ row for row in np.eye(made.shape[0], dtype=made.dtype)])


def assert_dense(made, expected, tolerance=1e-10):
    found = wedges.curvature.dense(made) if made.shape[0] < 10 else one_by_one(made)
    assert found.dtype == made.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# ---- networks, and another kind of differentiation ------------------------------------------------


CONV = lambda **kind: layers.Conv2D(2, 3, activation="tanh", **kind)

END = lambda: [layers.Flatten(), layers.Dense(3)]

NETWORKS = {
    "tanh": ((4,), lambda: [layers.Dense(5, activation="tanh"), layers.Dense(3)]),
    "relu": ((4,), lambda: [layers.Dense(6, activation="relu"), layers.Dense(3)]),
    "tiles": ((8, 8, 1), lambda: [CONV(), layers.MaxPooling2D(2), *END()]),
    "tiles, a row left": ((7, 7, 1), lambda: [CONV(), layers.MaxPooling2D(2), *END()]),
    "oblong tiles": ((8, 8, 1), lambda: [CONV(), layers.MaxPooling2D((2, 3)), *END()]),
    "pool 2, stride 1": ((5, 5, 1), lambda: [CONV(), layers.MaxPooling2D(2, 1), *END()]),
    "pool 3, stride 2": ((7, 7, 1), lambda: [CONV(), layers.MaxPooling2D(3, 2), *END()]),
    "same, odd": ((5, 5, 1), lambda: [CONV(), layers.MaxPooling2D(2, padding="same"), *END()]),
    "pools in a row": (
        (8, 8, 1),
        lambda: [CONV(padding="same"), layers.MaxPooling2D(2), CONV(), layers.MaxPooling2D(2), *END()],
    ),
    "one axis": ((8, 2), lambda: [layers.Conv1D(2, 3), layers.MaxPooling1D(2), *END()]),
    "batch norm": (
        (4,),
        lambda: [layers.Dense(4), layers.BatchNormalization(), layers.ReLU(), layers.Dense(3)],
    ),
}


def network(kind, **settings):
    """(landscape, theta, model, x, y) of a small network, its batch-norm statistics not 0 and 1."""
    shape, stack = NETWORKS[kind]
    x, y = inputs(*shape), np.random.default_rng(1).integers(0, 3, N)
    model = keras.Sequential([keras.Input(shape), *stack()])
    for i, v in enumerate(model.non_trainable_variables):
        v.assign(0.5 + np.abs(normal(i, *v.shape)))
    settings = {"loss": SPARSE, "seed": 0, "evaluation_batch_size": 20, **settings}
    landscape = wedges.NetworkLandscape(model, x, y, **settings)
    return landscape, 0.7 * normal(2, landscape.dimension), model, x, y


def logits(model, x):
    """theta -> the model's outputs, by Keras alone."""
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    sizes = [int(np.prod(s)) for s in shapes]
    fixed = [v.value for v in model.non_trainable_variables]

    def at(theta):
        parts = [tf.reshape(p, s) for p, s in zip(tf.split(theta, sizes), shapes, strict=True)]
        return model.stateless_call(parts, fixed, x, training=False)[0]

    return at


def cross_entropy(y, z):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))


def forward_over_reverse(loss, theta):
    """The dense Hessian of loss(theta [D])."""
    theta = tf.constant(theta)

    @tf.function
    def product(at, v):
        with tf.autodiff.ForwardAccumulator(at, v) as forward, tf.GradientTape() as tape:
            tape.watch(at)
            gradient = tape.gradient(loss(at), at)
        return forward.jvp(gradient)

    return np.array([product(theta, tf.constant(row)) for row in np.eye(len(theta))])


def jacobian(outputs, theta):
    """d outputs / d theta [N, C, D]."""
    theta = tf.constant(theta)

    @tf.function
    def of(at):
        with tf.GradientTape() as tape:
            tape.watch(at)
            z = outputs(at)
        return tape.jacobian(z, at)

    return of(theta).numpy()


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def by_hand(j, p):
    """(1/N) sum_i J_i^T (diag p_i - p_i p_i^T) J_i."""
    return sum(a.T @ (np.diag(q) - np.outer(q, q)) @ a for a, q in zip(j, p, strict=True)) / len(p)


def truth(model, x, y):
    """Loss and flat gradient from the model's own variables and one ordinary call."""
    with tf.GradientTape() as tape:
        loss = SPARSE(y, tf.cast(model(x, training=False), tf.float32))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return loss, np.concatenate([np.ravel(g) for g in gradients])
