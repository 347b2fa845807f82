"""Hessians, Gauss-Newton matrices, their spectra and traces, against closed forms and dense truth."""

import tracemalloc

import keras
import numpy as np
import pytest
import scipy.fft
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm, nested, plain, shared, subclassed
from wedges import curvature, second_order

N = 53  # a size no batch divides


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def inputs(*shape):
    """Random, and exact in float32, which a Keras input is even where everything else is float64."""
    return normal(0, N, *shape).astype(np.float32).astype(np.float64)


def turned(eigenvalues, seed=0):
    """A dense matrix of these eigenvalues, its eigenvectors random."""
    u = np.linalg.qr(normal(seed, len(eigenvalues), len(eigenvalues)))[0]
    matrix = (u * eigenvalues) @ u.T
    return (matrix + matrix.T) / 2


class Plain(wedges.Quadratic):
    """A quadratic whose products are NumPy's, and whose vectors are kept."""

    def __init__(self, matrix, dtype="float64"):
        super().__init__(matrix, dtype=dtype)
        self.seen, self.dense = [], self.matrix.numpy()

    @property
    def asked(self):
        return sum(len(np.atleast_2d(v)) for v in self.seen)

    def hessian_product(self, theta, v):
        self.seen.append(np.array(v))
        return v * self.dense if self.dense.ndim == 1 else v @ self.dense


def operator(matrix, dtype="float64"):
    """The Hessian of a quadratic, and the quadratic."""
    landscape = Plain(matrix, dtype)
    return wedges.hessian(landscape, np.zeros(landscape.dimension)), landscape


# ---- closed forms -----------------------------------------------------------------------------------


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
    found = wedges.dense(made) if made.shape[0] < 10 else one_by_one(made)
    assert found.dtype == made.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
@pytest.mark.parametrize("k", [1, 3])
def test_of_linear_regression_it_is_the_inputs_second_moments_wherever_theta_is(k, dtype, tolerance):
    keras.config.set_dtype_policy(dtype)
    try:
        x, landscape = linear(k, "mse", normal(1, N, k))
    finally:
        keras.config.set_dtype_policy("float32")
    moments = with_ones(x).T @ with_ones(x) / N
    expected = 2 / k * np.kron(moments, np.eye(k))  # Keras averages the squares over the k outputs
    for theta in (np.zeros(5 * k), normal(2, 5 * k)):
        made = wedges.hessian(landscape, theta)
        assert made.dtype == dtype and made.shape == (5 * k, 5 * k)
        assert_dense(made, expected, tolerance)
        assert_dense(wedges.gauss_newton(landscape, theta), expected, tolerance)
        np.testing.assert_allclose(wedges.residual(landscape, theta) @ theta, 0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 5e-6)])
def test_of_softmax_regression_it_is_the_covariance_of_the_classes(dtype, tolerance):
    keras.config.set_dtype_policy(dtype)
    try:
        x, landscape = linear(3, SPARSE, np.arange(N) % 3)
    finally:
        keras.config.set_dtype_policy("float32")
    theta, rows = normal(1, 15), with_ones(x)
    p = np.exp(rows @ theta.reshape(5, 3))
    p /= p.sum(1, keepdims=True)
    expected = np.zeros((15, 15))
    for one, q in zip(rows, p, strict=True):
        expected += np.kron(np.outer(one, one), np.diag(q) - np.outer(q, q)) / N
    assert_dense(wedges.hessian(landscape, theta), expected, tolerance)
    assert_dense(wedges.gauss_newton(landscape, theta), expected, tolerance)
    np.testing.assert_allclose(wedges.residual(landscape, theta) @ theta, 0, atol=1e-6)
    values = np.linalg.eigvalsh(expected)
    assert np.sum(values > 1e-9) == 10  # one of the three classes is redundant
    top = wedges.eigenpairs(wedges.hessian(landscape, theta), 4, seed=0)
    np.testing.assert_allclose(top.values, values[::-1][:4], rtol=1e-5)


def test_of_logistic_regression_it_is_the_same_from_logits_and_through_a_sigmoid(float64):
    y = (np.arange(N) % 2).astype(float)[:, None]
    theta = 0.5 * normal(1, 5)
    for from_logits, activation in ((True, None), (False, "sigmoid")):
        loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
        x, landscape = linear(1, loss, y, activation=activation)
        p = 1 / (1 + np.exp(-with_ones(x) @ theta))
        expected = (with_ones(x).T * p * (1 - p)) @ with_ones(x) / N
        # Keras keeps probabilities from 0 by adding 1e-7.
        assert_dense(wedges.hessian(landscape, theta), expected, 1e-10 if from_logits else 1e-5)


# ---- networks, against another kind of differentiation -----------------------------------------------

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


@pytest.mark.parametrize("kind", NETWORKS)
def test_hessian_gauss_newton_and_output_gradients_of_a_network_are_the_dense_ones(kind, float64):
    landscape, theta, model, x, y = network(kind)
    outputs = logits(model, x)
    expected = forward_over_reverse(lambda at: cross_entropy(y, outputs(at)), theta)
    assert np.linalg.eigvalsh(expected)[0] < -1e-4  # no closed form would do
    assert_dense(wedges.hessian(landscape, theta), expected)
    j, z = jacobian(outputs, theta), outputs(tf.constant(theta)).numpy()
    np.testing.assert_allclose(landscape.output_gradients(theta), j, atol=1e-11)
    assert_dense(wedges.gauss_newton(landscape, theta), by_hand(j, softmax(z)))
    slopes = tf.constant((softmax(z) - np.eye(3)[y]) / N)
    rest = forward_over_reverse(lambda at: tf.reduce_sum(slopes * outputs(at)), theta)
    assert_dense(wedges.residual(landscape, theta), rest)


def test_regularisers_are_in_the_hessian_and_the_residual_and_not_in_gauss_newton(float64):
    penalty = keras.regularizers.L2(0.125)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=penalty)])
    x, y = inputs(4), np.arange(N) % 3
    make = lambda r: wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, regularize=r)
    theta = normal(1, 15)
    bare = wedges.dense(wedges.hessian(make(False), theta))
    own = np.diag(np.r_[np.full(12, 0.25), np.zeros(3)])
    assert_dense(wedges.hessian(make(True), theta), bare + own)
    assert_dense(wedges.gauss_newton(make(True), theta), bare)
    assert_dense(wedges.residual(make(True), theta), own)


def hand_made(theta, x):
    """Dense(4), batch norm over all of x, tanh, Dense(3), written out."""
    a, b, gamma, beta, c, d = tf.split(theta, [16, 4, 4, 4, 12, 3])
    h = x @ tf.reshape(a, (4, 4)) + b
    mean = tf.reduce_sum(h, 0) / N
    variance = tf.reduce_sum((h - mean) ** 2, 0) / N
    h = tf.tanh(gamma * (h - mean) / tf.sqrt(variance + 1e-3) + beta)
    return h @ tf.reshape(c, (4, 3)) + d


def test_where_statistics_of_batch_norm_move_with_theta_so_do_both_derivatives(float64):
    norm = [layers.BatchNormalization(), layers.Activation("tanh")]
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), *norm, layers.Dense(3)])
    x, y = inputs(4), np.arange(N) % 3
    theta, outputs = normal(1, 43), lambda at: hand_made(at, x)
    expected = forward_over_reverse(lambda at: cross_entropy(y, outputs(at)), theta)
    landscape = wedges.NetworkLandscape(
        model, x, y, SPARSE, seed=0, batch_norm="reestimate", evaluation_batch_size=20
    )
    np.testing.assert_allclose(landscape.evaluate(theta).outputs, outputs(theta), rtol=1e-9)
    assert_dense(wedges.hessian(landscape, theta), expected)
    p = softmax(outputs(theta).numpy())
    assert_dense(wedges.gauss_newton(landscape, theta), by_hand(jacobian(outputs, theta), p))


@pytest.mark.parametrize(
    ("policy", "pool", "size"),
    [("frozen", 2, 20), ("reestimate", 3, 20), ("reestimate", 2, 20), ("reestimate", 2, 53)],
)
def test_a_convolutional_network_with_batch_norm_has_the_slope_of_its_gradient(
    policy, pool, size, float64
):
    """Central differences, along directions: also where a training pass normalises within a batch."""
    stack = [
        layers.Conv2D(2, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(pool, 2),
    ]
    model = keras.Sequential([keras.Input((6, 6, 1)), *stack, *END()])
    before = [np.array(v) for v in model.variables]
    x, y = inputs(6, 6, 1), np.arange(N) % 3
    landscape = wedges.NetworkLandscape(
        model, x, y, SPARSE, seed=0, batch_norm=policy, evaluation_batch_size=size
    )
    d = landscape.dimension
    theta, v, h = 0.5 * normal(0, d), normal(1, 1, d), 1e-6
    gradient = lambda at: landscape.value_and_gradient(at)[1].numpy()
    expected = np.array([gradient(theta + h * w) - gradient(theta - h * w) for w in v]) / (2 * h)
    made = wedges.hessian(landscape, theta)
    found = [made @ w for w in v]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    for one, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(one, old, err_msg=one.path)


def test_output_gradients_are_of_probabilities_where_the_model_ends_with_a_softmax(float64):
    x, landscape = linear(3, "sparse_categorical_crossentropy", np.arange(N) % 3, activation="softmax")
    theta, rows = normal(1, 15), with_ones(x)
    p = softmax(rows @ theta.reshape(5, 3))
    curved = np.array([np.diag(q) - np.outer(q, q) for q in p])
    expected = np.einsum("ni,nab->naib", rows, curved).reshape(N, 3, 15)
    np.testing.assert_allclose(landscape.output_gradients(theta), expected, atol=1e-12)
    for n in (0, 54):
        with pytest.raises(ValueError, match=f"examples must be from 1 to 53.*received {n}"):
            landscape.output_gradients(theta, n)


# ---- batches, and several vectors at once ------------------------------------------------------------


def test_whatever_the_batches(float64):
    expected = None
    for size in (53, 1, 7, 20, 100):
        landscape, theta, *_ = network("batch norm", evaluation_batch_size=size)
        v = normal(3, landscape.dimension)
        made = landscape.hessian_product, landscape.gauss_newton_product
        found = [p(theta, v).numpy() for p in made] + [landscape.output_gradients(theta, 5).numpy()]
        expected = expected or found
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10 * np.abs(other).max())


@pytest.mark.parametrize("name", ["hessian_product", "gauss_newton_product"])
def test_however_many_vectors_at_once(name, float64):
    landscape, theta, *_ = network("relu")
    v, product = normal(3, 23, landscape.dimension), getattr(landscape, name)
    each = np.array([product(theta, row) for row in v])
    assert each.shape == v.shape
    for k in (1, 3, 10, 23):
        np.testing.assert_allclose(product(theta, v[:k]), each[:k], atol=1e-12)
    thetas = np.stack([theta, theta + 1])[:, None] + np.zeros((2, 2, 1))  # a theta for each
    found = product(thetas, v[:4].reshape(2, 2, -1))
    np.testing.assert_allclose(found[0], each[:2], atol=1e-12)
    np.testing.assert_allclose(found[1, 1], product(theta + 1, v[3]), atol=1e-12)


def test_data_said_twice_have_the_same_curvature(float64):
    """The mean over examples, so that neither their number nor that of the batches is a factor."""
    landscape, theta, _, x, y = network("tanh")
    top = wedges.eigenpairs(wedges.hessian(landscape, theta), 3, seed=0, tolerance=1e-10).values
    for size in (4, 53, 500):
        twice = landscape.on(np.r_[x, x], np.r_[y, y], evaluation_batch_size=size)
        found = wedges.eigenpairs(wedges.hessian(twice, theta), 3, seed=0, tolerance=1e-10)
        np.testing.assert_allclose(found.values, top, rtol=1e-9)


@pytest.mark.parametrize("matrix", [turned([3.0, -1.0, 2.0]), np.array([3.0, -1.0, 2.0])])
def test_several_vectors_at_one_theta_of_any_landscape(matrix):
    bowl, v = wedges.Quadratic(matrix, dtype="float64"), normal(0, 4, 3)
    whole = np.diag(matrix) if matrix.ndim == 1 else matrix
    np.testing.assert_allclose(bowl.hessian_product(np.ones(3), v), v @ whole, rtol=1e-12)
    np.testing.assert_allclose(bowl.hessian_product(np.ones(3), v[0]), v[0] @ whole, rtol=1e-12)
    np.testing.assert_allclose(bowl.hessian_product(np.ones((4, 3)), v), v @ whole, rtol=1e-12)
    made = wedges.hessian(bowl, np.ones(3))
    np.testing.assert_allclose(made @ v.T, whole @ v.T, rtol=1e-12)
    np.testing.assert_allclose(made @ v[0], whole @ v[0], rtol=1e-12)
    np.testing.assert_allclose(made.H @ v[0], whole @ v[0], rtol=1e-12)
    np.testing.assert_allclose((2 * made - made) @ v[0], whole @ v[0], rtol=1e-12)


def test_wrong_shapes_are_named(images):
    for landscape in (
        wedges.Quadratic(np.ones(3)),
        wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0),
    ):
        d = landscape.dimension
        for theta, v in [((2, d), (3, d)), ((2, d), (d,)), ((d,), (2, 2, d))]:
            with pytest.raises(ValueError, match=r"v must have theta's shape .*received"):
                landscape.hessian_product(np.zeros(theta), np.zeros(v))
        with pytest.raises(ValueError, match=rf"\[..., {d}\].*received shape \({d + 1},\)"):
            landscape.hessian_product(np.zeros(d), np.zeros(d + 1))
        with pytest.raises(
            ValueError, match=rf"theta must be one point \[{d}\]; received shape \(2, {d}"
        ):
            wedges.hessian(landscape, np.zeros((2, d)))
        with pytest.raises(ValueError, match="dimension mismatch"):
            wedges.hessian(landscape, np.zeros(d)) @ np.zeros(d + 1)


# ---- operations with second derivatives --------------------------------------------------------------


def derivatives(pool, x, a, b):
    """pool(x), a . pool's gradient, and the gradient of b . that gradient of a square of pool's."""
    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = pool(x)
            value = tf.reduce_sum(a * y**3)
        slope = inner.gradient(value, x)
        along = tf.reduce_sum(b * slope)
    return y.numpy(), slope.numpy(), outer.gradient(along, x).numpy()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(
    ("ksize", "strides"),
    [(2, 2), (3, 3), ([2], [2]), ((2, 3), (2, 3)), ([1, 2, 3, 1], [1, 2, 3, 1]), (3, 2), (2, 1), (1, 1),
     (2, [1, 2, 2, 1]), ((2, 3), (3, 2)), (2, 3)],
)  # fmt: skip
def test_max_pool_is_tensorflows_with_its_first_and_second_derivatives(ksize, strides, padding, ties):
    for shape in ((2, 6, 6, 2), (2, 7, 5, 1)):
        x = normal(0, *shape)
        x = np.round(x) if ties else x
        shape = tf.nn.max_pool(x, ksize, strides, padding).shape
        a, b = normal(1, *shape), normal(2, *x.shape)
        found, expected = (
            derivatives(lambda t, pool=pool: pool(t, ksize, strides, padding), x, a, b)
            for pool in (second_order.max_pool, tf.nn.max_pool)
        )
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 6, 4), ([2], [2], "VALID")),
        ((2, 6, 6, 4), (2, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])),
    ],
)
def test_max_pool_of_one_axis_and_of_explicit_padding_are_tensorflows(shape, settings):
    t = tf.constant(normal(0, *shape))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(t)
        found, expected = second_order.max_pool(t, *settings), tf.nn.max_pool(t, *settings)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(tape.gradient(found, t), tape.gradient(expected, t))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [[0], [0, 1], [0, 2]])
def test_moments_are_tensorflows_with_the_second_derivative_of_the_variance(axes, keepdims):
    x, v = normal(0, 4, 3, 2), normal(1, 4, 3, 2)
    found = second_order.moments(tf.constant(x), axes, keepdims=keepdims)
    for one, other in zip(found, tf.nn.moments(x, axes, keepdims=keepdims), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    var = lambda t: tf.reduce_sum(second_order.moments(t, axes, keepdims=keepdims)[1])
    _, slope, second = derivatives(lambda t: var(t) ** (1 / 3), x, 1.0, v)
    n = np.prod([x.shape[a] for a in axes])
    centered = lambda t: t - t.mean(tuple(axes), keepdims=True)
    np.testing.assert_allclose(slope, 2 / n * centered(x), rtol=1e-9)
    np.testing.assert_allclose(second, 2 / n * centered(v), rtol=1e-9)


def test_tensorflows_own_operations_are_back_afterwards_also_after_an_exception(images):
    originals = tf.nn.moments, tf.nn.max_pool
    with second_order.right():
        assert tf.nn.max_pool is second_order.max_pool and tf.nn.moments is second_order.moments
    assert (tf.nn.moments, tf.nn.max_pool) == originals
    with pytest.raises(KeyError), second_order.right():
        raise KeyError
    assert (tf.nn.moments, tf.nn.max_pool) == originals
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    landscape.hessian_product(landscape.space.read(), np.ones(landscape.dimension))

    def broken(y, z):
        if tf.nn.max_pool is second_order.max_pool:
            raise KeyError
        return SPARSE.call(y, z)

    landscape = wedges.NetworkLandscape(plain(), *images, broken, seed=0)
    with pytest.raises(KeyError):
        landscape.hessian_product(landscape.space.read(), np.ones(landscape.dimension))
    assert (tf.nn.moments, tf.nn.max_pool) == originals


# ---- eigenpairs --------------------------------------------------------------------------------------

SPECTRA = {
    "spread": np.linspace(-1, 2, 60),
    "clustered": np.r_[5 + 1e-3 * np.arange(6), np.linspace(0.1, 1, 54)],
    "repeated": np.repeat([4.0, 3.0, 1.0, 0.5, -0.5, -3.0], 10),
    "indefinite": np.r_[-np.geomspace(0.1, 10, 30), np.geomspace(0.1, 7, 30)],
    "bulk": np.r_[3.0, 2.0, 1.5, 1.0, -2.0, -1.0, -0.7, -0.5, np.zeros(52)],
    "tiny": 1e-6 * np.linspace(-1, 2, 60),
    "identity": np.ones(60),
}


def assert_pairs(found, matrix, k, end, tolerance):
    values = np.linalg.eigvalsh(matrix)
    expected = values[::-1][:k] if end == "largest" else values[:k]
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, expected, atol=10 * tolerance * scale)
    assert found.vectors.shape == (k, len(matrix)) and found.values.shape == (k,)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(k), atol=1e-9)
    off = found.vectors @ matrix - found.values[:, None] * found.vectors
    np.testing.assert_allclose(found.residuals, np.linalg.norm(off, axis=1), atol=1e-12 * scale)
    assert np.all(found.residuals <= 1.01 * tolerance * np.abs(found.values) + 1e-12 * scale)


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("kind", SPECTRA)
def test_eigenpairs_of_a_known_spectrum(kind, end):
    matrix = turned(SPECTRA[kind])
    for k in (1, 4):  # as many copies are wanted as a block has vectors
        made, landscape = operator(matrix)
        found = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8, block=k)
        assert_pairs(found, matrix, k, end, 1e-8)
        assert found.products == landscape.asked > k
        again = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8, block=k)
        np.testing.assert_array_equal(again.vectors, found.vectors)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_smallest_eigenvalue_may_be_zero(seed):
    matrix = turned(np.r_[0.0, np.linspace(1, 2, 49)])
    found = wedges.eigenpairs(operator(matrix)[0], 1, seed=seed, end="smallest")
    assert abs(found.values[0]) < 1e-3


def test_eigenpairs_of_nothing_are_zero():
    found = wedges.eigenpairs(operator(np.zeros(60))[0], 2, seed=0)
    np.testing.assert_allclose(found.values, 0, atol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-8])
def test_an_eigenvalue_counts_as_often_as_it_repeats(tolerance):
    values = np.r_[np.repeat([4.0, 3.0, -3.0], 4), np.linspace(-1, 1, 48)]
    found = wedges.eigenpairs(operator(turned(values))[0], 4, seed=0, tolerance=tolerance, block=4)
    np.testing.assert_allclose(found.values, 4, rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2, 19, 21])
def test_eigenpairs_up_to_all_there_are(d):
    matrix = turned(np.linspace(-1, 2, d))
    for k in sorted({1, max(1, d // 2), d}):
        for end in ("largest", "smallest"):
            made, landscape = operator(matrix)
            found = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8)
            assert_pairs(found, matrix, k, end, 1e-8)
            assert found.products == landscape.asked


def test_a_looser_tolerance_needs_fewer_products_and_any_basis_will_do():
    matrix, counts = turned(np.linspace(0, 1, 200)), []
    for tolerance, basis in ((1e-9, None), (1e-2, None), (1e-9, 8), (1e-9, 60), (1e-9, 999)):
        made, landscape = operator(matrix)
        found = wedges.eigenpairs(made, 4, seed=0, tolerance=tolerance, basis=basis)
        assert np.all(found.residuals <= tolerance * found.values)
        assert np.all(np.abs(found.values - np.linspace(0, 1, 200)[:-5:-1]) < 10 * tolerance)
        assert found.products == landscape.asked
        counts.append(landscape.asked)
    assert counts[1] < counts[0] < counts[2]


def test_eigenpairs_in_float32_are_as_exact_as_it_allows():
    matrix = turned(1 / np.arange(1.0, 101))
    made, _ = operator(matrix, "float32")
    found = wedges.eigenpairs(made, 3, seed=0, tolerance=1e-4)
    assert made.dtype == found.vectors.dtype == np.float32 and found.values.dtype == np.float64
    np.testing.assert_allclose(found.values, 1 / np.arange(1, 4), rtol=1e-6)
    assert np.all(found.residuals <= 1e-4 * found.values)
    assert np.linalg.norm(found.vectors @ found.vectors.T - np.eye(3)) < 1e-5


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=40, unique=True),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.sampled_from(["largest", "smallest"]),
    st.integers(1, 8),
)
def test_eigenpairs_whatever_the_spectrum(levels, seed, scale, end, k):
    matrix, k = turned(scale * np.array(levels, float), seed), min(k, len(levels))
    made, landscape = operator(matrix)
    found = wedges.eigenpairs(made, k, seed=seed, end=end, tolerance=1e-10)
    assert found.products == landscape.asked
    assert_pairs(found, matrix, k, end, 1e-10)


@settings(deadline=None, max_examples=50, derandomize=True)
@example([(0, 3), (1, 4), (-1, 4), (2, 5), (-2, 5)], 0, "largest", 5)
@given(
    st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 5)), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["largest", "smallest"]),
    st.integers(1, 8),
)
def test_eigenpairs_whatever_the_multiplicities(levels, seed, end, k):
    matrix = turned(np.concatenate([np.full(m, float(value)) for value, m in levels]), seed)
    k = min(k, len(matrix))
    found = wedges.eigenpairs(operator(matrix)[0], k, seed=seed, end=end, tolerance=1e-10, block=5)
    assert_pairs(found, matrix, k, end, 1e-10)


# ---- how many are certain ----------------------------------------------------------------------------


def test_pairs_prove_as_many_eigenvalues_above_a_floor_as_there_are():
    values = np.r_[np.repeat([4.0, 3.0, 2.0], 3), np.linspace(-3, 1, 41)]
    found = wedges.eigenpairs(operator(turned(values))[0], 12, seed=0, tolerance=1e-9)
    for floor, count in [(3.5, 3), (2.5, 6), (1.5, 9), (4.0, 0), (5.0, 0)]:
        assert curvature.certain(found, floor) == count
    assert isinstance(curvature.certain(found, 3.5), int)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=20),
    st.integers(1, 20),
    st.floats(-6, 6),
    st.sampled_from([0, 1e-6, 1e-2, 0.3, 3.0]),
    st.integers(0, 2**32 - 1),
)
def test_no_pairs_prove_more_than_there_are(values, k, floor, off, seed):
    matrix, rng = turned(np.array(values, float), seed), np.random.default_rng(seed)
    k = min(k, len(matrix))
    own = np.linalg.eigh(matrix)[1][:, -k:] + off * rng.standard_normal((len(matrix), k))
    vectors = np.linalg.qr(own)[0].T
    quotients = np.einsum("kd,de,ke->k", vectors, matrix, vectors) + off * rng.standard_normal(k)
    residuals = np.linalg.norm(vectors @ matrix - quotients[:, None] * vectors, axis=1)
    pairs = curvature.Eigenpairs(quotients, vectors, residuals, 0)
    assert curvature.certain(pairs, floor) <= np.sum(np.linalg.eigvalsh(matrix) > floor - 1e-12)


def test_bogus_pairs_prove_nothing():
    vectors = np.eye(5)[:2]
    pairs = curvature.Eigenpairs(np.array([9.0, 8.0]), vectors, np.array([9.0, 8.0]), 2)  # of A = 0
    assert curvature.certain(pairs, 0.0) == 0
    nothing = curvature.Eigenpairs(np.full(2, np.nan), vectors, np.full(2, np.nan), 2)
    assert curvature.certain(nothing, 0.0) == 0


# ---- trace -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "products"), [("hutchinson", 30), ("hutch++", 30), ("hutch++", 31)])
def test_the_trace_is_unbiased_and_its_error_honest(method, products):
    values = np.r_[10.0, -4.0, 3.0, np.linspace(-1, 2, 47)]
    matrix = turned(values)
    made, landscape = operator(matrix)
    found = [wedges.trace(made, products, seed=s, method=method) for s in range(200)]
    assert {t.products for t in found} == {products} and landscape.asked == 200 * products
    means, errors = np.array([t.mean for t in found]), np.array([t.error for t in found])
    spread = means.std(ddof=1)
    assert abs(means.mean() - values.sum()) < 4 * spread / np.sqrt(200)
    scores = (means - values.sum()) / errors
    assert 0.8 < np.sqrt(np.mean(scores**2)) < 1.3  # of few samples each: Student's t
    if method == "hutchinson":  # random signs: only what is off the diagonal scatters
        closed = np.sqrt(2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / products)
        assert spread == pytest.approx(closed, rel=0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_trace_is_exact_where_the_rank_is_below_a_third_of_the_products(dtype):
    values = np.r_[5.0, 3.0, 1.0, -2.0, np.zeros(36)]
    found = wedges.trace(operator(turned(values), dtype)[0], 12, seed=0)
    small = 1e-5 if dtype == "float32" else 1e-12
    assert abs(found.mean - 7) < 10 * small and 0 <= found.error < 10 * small and found.products == 12
    diagonal = wedges.trace(operator(values, dtype)[0], 2, seed=0, method="hutchinson")
    assert diagonal.mean == pytest.approx(7) and diagonal.error < small


def test_more_products_than_dimensions_and_the_fewest():
    made, landscape = operator(turned([3.0, 2.0, -1.0]))
    for products in (6, 9, 20):
        before = landscape.asked
        found = wedges.trace(made, products, seed=0)
        assert landscape.asked - before == found.products == products
    assert found.mean == pytest.approx(4) and found.error < 1e-12
    one = wedges.trace(made, 1, seed=0, method="hutchinson")
    assert np.isnan(one.error) and np.isfinite(one.mean) and one.products == 1


def test_hutch_plus_plus_needs_far_fewer_products_where_eigenvalues_decay():
    """For a standard error of 3%, with eigenvalues i^-2: more than three times fewer."""
    values, signs = np.arange(1.0, 1001) ** -2, np.sign(normal(0, 1000))
    bowl = Plain(values)
    there = lambda v: scipy.fft.dct(v * signs, norm="ortho")  # to eigenvectors that are long nowhere
    bowl.hessian_product = lambda theta, v: signs * scipy.fft.idct(there(v) * values, norm="ortho")
    made = wedges.hessian(bowl, np.zeros(1000))

    def error(method, products):
        found = [wedges.trace(made, products, seed=s, method=method) for s in range(40)]
        assert {t.products for t in found} == {products}
        return np.sqrt(np.mean([(t.mean / values.sum() - 1) ** 2 for t in found]))

    assert error("hutch++", 30) < 0.03 and error("hutch++", 60) < 0.01
    closed = np.sqrt(2 * np.sum(values**2) / 100) / values.sum()  # 8.9%, less what is on the diagonal
    assert error("hutchinson", 100) == pytest.approx(closed, rel=0.3)


# ---- Lanczos and the density -------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_lanczos_makes_the_matrix_tridiagonal(dtype, tolerance):
    matrix, m = turned(np.geomspace(1e-3, 10, 40) * (-1.0) ** np.arange(40)), 15
    made, landscape = operator(matrix, dtype)
    start, done = normal(1, 40), []
    found = curvature.lanczos(made, start, m, keep=True, done=lambda: done.append(1))
    q = found.basis
    assert q.shape == (m, 40) and q.dtype == dtype and landscape.asked == len(done) == m
    assert found.diagonal.shape == found.beside.shape == (m,) and found.beside.dtype == np.float64
    np.testing.assert_allclose(q[0], start / np.linalg.norm(start), rtol=1e-6)
    np.testing.assert_allclose(q @ q.T, np.eye(m), atol=tolerance)
    inside = np.diag(found.diagonal) + np.diag(found.beside[:-1], 1) + np.diag(found.beside[:-1], -1)
    off = q @ matrix - inside @ q
    np.testing.assert_allclose(off[:-1], 0, atol=20 * tolerance)
    np.testing.assert_allclose(np.linalg.norm(off[-1]), found.beside[-1], rtol=1e3 * tolerance)
    np.testing.assert_allclose(q @ off[-1], 0, atol=20 * tolerance)
    assert curvature.lanczos(made, start, 3).basis is None


def tridiagonal(found):
    side = found.beside[: len(found.diagonal) - 1]
    return np.diag(found.diagonal) + np.diag(side, 1) + np.diag(side, -1)


@pytest.mark.parametrize("order", [30, 99])
def test_lanczos_of_full_order_has_the_eigenvalues(order):
    values = np.linspace(-2, 5, 30)
    found = curvature.lanczos(operator(turned(values))[0], normal(1, 30), order)
    assert len(found.diagonal) == 30
    np.testing.assert_allclose(np.linalg.eigvalsh(tridiagonal(found)), values, atol=1e-11)


def test_lanczos_ends_where_the_space_of_the_start_is_exhausted():
    values = np.repeat([3.0, 2.0, 0.0, -1.0], 10)
    made, landscape = operator(values)
    found = curvature.lanczos(made, normal(1, 40), 20, keep=True)
    assert landscape.asked == len(found.diagonal) == len(found.beside) == len(found.basis) == 4
    np.testing.assert_allclose(np.linalg.eigvalsh(tridiagonal(found)), [-1, 0, 2, 3], atol=1e-12)
    own = curvature.lanczos(made, 7 * np.eye(40)[0], 20)
    np.testing.assert_allclose([*own.diagonal, *own.beside], [3, 0], atol=1e-12)
    flat = curvature.lanczos(operator(np.zeros(5))[0], np.ones(5), 3)
    np.testing.assert_array_equal([*flat.diagonal, *flat.beside], [0, 0])


def peak(function):
    """The most memory that NumPy holds while function() runs, in bytes."""
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_order_and_four_vectors_are_held(dtype):
    d, m = 200_000, 20
    made, landscape = operator(np.linspace(0, 1, d), dtype)
    landscape.hessian_product = lambda theta, v: landscape.dense * v  # keeps none
    made, start = wedges.hessian(landscape, np.zeros(d)), normal(0, d).astype(dtype)
    vector = start.nbytes
    assert m <= peak(lambda: curvature.lanczos(made, start, m)) / vector <= m + 4.1
    many = lambda: wedges.spectral_density(made, samples=2, order=m, seed=0)
    assert m <= peak(many) / vector <= m + 4.1


def test_a_quadrature_has_the_moments_that_its_start_has():
    """sum_j tau_j^2 lambda_j^p = v^T A^p v to p = 2 order - 1, v the first vector of each run."""
    matrix, m = turned(np.r_[4.0, -2.0, np.linspace(-1, 1, 38)]), 5
    made, landscape = operator(matrix)
    found = wedges.spectral_density(made, samples=3, order=m, seed=0)
    assert found.values.shape == found.shares.shape == (3, m)
    assert found.products == landscape.asked == 3 * m
    np.testing.assert_allclose(found.shares.sum(1), 1, rtol=1e-12)
    assert np.all(found.shares >= 0)
    for v, values, shares in zip(landscape.seen[::m], found.values, found.shares, strict=True):
        for p in range(2 * m):
            expected = v @ np.linalg.matrix_power(matrix, p) @ v
            assert np.sum(shares * values**p) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    again = wedges.spectral_density(made, samples=3, order=m, seed=0)
    np.testing.assert_array_equal(again.values, found.values)


def test_the_density_has_the_mean_of_the_eigenvalues_within_its_scatter():
    values = np.r_[9.0, np.linspace(-1, 1, 99)]
    found = wedges.spectral_density(operator(turned(values))[0], samples=60, order=6, seed=0)
    for p in (1, 2):
        each = np.sum(found.shares * found.values**p, axis=1)
        assert abs(each.mean() - np.mean(values**p)) < 3 * each.std(ddof=1) / np.sqrt(60)


def test_a_quadrature_of_full_order_is_at_the_eigenvalues_and_one_of_few_is_padded():
    values = np.linspace(-1, 3, 12)
    found = wedges.spectral_density(operator(turned(values))[0], samples=2, order=50, seed=0)
    assert found.values.shape == (2, 12) and found.products == 24
    np.testing.assert_allclose(found.values, [values, values], atol=1e-10)
    few = wedges.spectral_density(operator(np.repeat([3.0, 1.0], 6))[0], samples=4, order=5, seed=0)
    assert few.products == 8 and few.values.shape == (4, 5)
    np.testing.assert_allclose(few.values[:, :2], [[1, 3]] * 4)
    np.testing.assert_array_equal(few.shares[:, 2:], 0)
    np.testing.assert_allclose(few.shares.sum(1), 1)


def test_smoothed_it_is_one_bell_for_each_eigenvalue_and_integrates_to_one():
    one = wedges.spectral_density(operator(np.full(9, 2.0))[0], samples=3, order=4, seed=0)
    at = np.linspace(-3, 7, 2001)
    for width in (0.1, 1.0):
        bell = np.exp(-0.5 * ((at - 2) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(curvature.smoothed(one, at, width), bell, atol=1e-9)
    widths = np.linspace(0.5, 1, len(at))
    bell = np.exp(-0.5 * ((at - 2) / widths) ** 2) / (widths * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(curvature.smoothed(one, at, widths), bell, atol=1e-9)
    made = operator(turned(np.linspace(-1, 3, 30)))[0]
    found = wedges.spectral_density(made, samples=5, order=8, seed=0)
    for width in (0.05, 0.4):
        assert np.trapezoid(curvature.smoothed(found, at, width), at) == pytest.approx(1, abs=1e-6)


# ---- blocks and subspaces ----------------------------------------------------------------------------


def test_a_block_is_the_sub_matrix():
    matrix = turned(np.linspace(-1, 2, 25))
    made, _ = operator(matrix)
    for which in (slice(3, 9), slice(None, None, 4), [7, 2, 11], np.array([24]), np.arange(25) % 2 == 0):
        part = wedges.block(made, which)
        expected = matrix[which][:, which]
        np.testing.assert_allclose(wedges.dense(part), expected, atol=1e-12)
        v = normal(0, len(expected))
        np.testing.assert_allclose(part @ v, expected @ v, atol=1e-12)
    pairs = wedges.eigenpairs(wedges.block(made, slice(3, 9)), 2, seed=0)
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(matrix[3:9, 3:9])[::-1][:2])
    inner = wedges.block(wedges.block(made, slice(3, 9)), [0, 5])
    np.testing.assert_allclose(wedges.dense(inner), matrix[[3, 8]][:, [3, 8]], atol=1e-12)
    with pytest.raises(ValueError, match="which must name .*25"):
        wedges.block(made, [])


@pytest.mark.parametrize("which", [[1, 1], [0, 4], [-5]])
def test_a_block_of_coordinates_that_are_not_there_or_twice_is_refused(which):
    with pytest.raises(ValueError, match="which must"):
        wedges.block(operator(np.arange(1.0, 5))[0], which)


def test_layers_of_one_name_are_told_apart():
    parts = [
        keras.Sequential([keras.Input((n,)), layers.Dense(m, name="d")]) for n, m in ((3, 4), (4, 2))
    ]
    space = wedges.WeightSpace(keras.Sequential([keras.Input((3,)), *parts]))
    assert sorted(len(where) for where in space.layers.values()) == [10, 16]


@pytest.mark.parametrize("build", [plain, batch_norm, nested, shared, subclassed])
def test_layers_cover_theta_once(build):
    space = wedges.WeightSpace(build())
    covered = np.concatenate(list(space.layers.values()))
    np.testing.assert_array_equal(np.sort(covered), np.arange(space.dimension))
    for name, where in space.layers.items():
        own = [v for v in space.variables if v.path == f"{name}/{v.name}"]
        values = np.concatenate([np.ravel(v) for v in own])
        np.testing.assert_array_equal(space.read().numpy()[where], values)


def test_a_layers_block_is_that_of_the_networks_hessian(float64):
    landscape, theta, *_ = network("tanh")
    made = wedges.hessian(landscape, theta)
    whole, found = one_by_one(made), landscape.space.layers
    assert [len(w) for w in found.values()] == [25, 18]
    for which in found.values():
        np.testing.assert_allclose(
            one_by_one(wedges.block(made, which)), whole[which][:, which], atol=1e-12
        )


def test_on_a_subspace_it_is_the_hessian_between_the_directions(float64):
    landscape, theta, *_ = network("tanh")
    cut, z = wedges.random_cut(theta, 6, seed=0), 0.3 * normal(5, 6)
    lift = cut.directions.lift(np.eye(6)).numpy()  # [6, D]
    inside, there = wedges.restrict(landscape, cut), theta + z @ lift
    for make in (wedges.hessian, wedges.gauss_newton, wedges.residual):
        whole, small = one_by_one(make(landscape, there)), wedges.dense(make(inside, z))
        np.testing.assert_allclose(small, lift @ whole @ lift.T, atol=1e-11)


# ---- one graph ---------------------------------------------------------------------------------------


def test_a_networks_graph_is_traced_once(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, evaluation_batch_size=20)
    theta = landscape.space.read().numpy()
    for at in (theta, theta + 0.1):
        wedges.eigenpairs(wedges.hessian(landscape, at), 1, seed=0)
        assert landscape._hessian_products.experimental_get_tracing_count() == 1


def test_a_networks_graph_is_traced_once_for_one_vector_and_once_for_the_measured_pairs(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, evaluation_batch_size=20)
    theta = landscape.space.read().numpy()
    for at in (theta, theta + 0.1):
        wedges.eigenpairs(wedges.hessian(landscape, at), 3, seed=0)
        assert landscape._hessian_products.experimental_get_tracing_count() == 1


# ---- errors ------------------------------------------------------------------------------------------


def one_output(loss, y=None, activation=None, outputs=1):
    x = normal(0, 20, 3).astype(np.float32)
    y = np.arange(20) % 2 if y is None else y
    model = keras.Sequential([keras.Input((3,)), layers.Dense(outputs, activation=activation)])
    return wedges.NetworkLandscape(model, x, y, loss, seed=0)


def product(landscape, name="hessian_product"):
    theta = 0.3 * normal(1, landscape.dimension)
    return getattr(landscape, name)(theta, normal(2, landscape.dimension)).numpy()


@pytest.mark.parametrize("name", ["hessian_product", "gauss_newton_product"])
@pytest.mark.parametrize("loss", ["mean_absolute_error", "hinge", keras.losses.MeanAbsoluteError()])
def test_a_loss_without_second_derivatives_is_refused_in_one_line(loss, name):
    text = "loss must be twice differentiable .*; received (mean_?absolute_?error|hinge), whose"
    with pytest.raises(ValueError, match=text) as caught:
        product(one_output(loss), name)
    assert "\n" not in str(caught.value)


ONE_HOT = np.eye(3)[np.arange(20) % 3]


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("mse", {}),
        ("huber", {}),
        ("log_cosh", {}),
        ("huber", {"y": 5 + np.arange(20.0)}),
        (keras.losses.BinaryCrossentropy(from_logits=True), {}),
        ("binary_crossentropy", {"activation": "sigmoid"}),
        ("binary_crossentropy", {"activation": "sigmoid", "y": np.ones(20)}),
        ("binary_crossentropy", {"activation": "sigmoid", "y": ONE_HOT, "outputs": 3}),
        (SPARSE, {"outputs": 3}),
        ("sparse_categorical_crossentropy", {"activation": "softmax", "outputs": 3}),
        ("categorical_crossentropy", {"activation": "softmax", "outputs": 3, "y": ONE_HOT}),
        (keras.losses.CategoricalCrossentropy(from_logits=True), {"outputs": 3, "y": ONE_HOT}),
        ("kl_divergence", {"activation": "softmax", "outputs": 3, "y": ONE_HOT}),
        ("squared_hinge", {"y": 2 * (np.arange(20) % 2) - 1}),
        ("poisson", {"activation": "exponential"}),
    ],
)  # fmt: skip
def test_smooth_losses_have_curvature(loss, settings):
    found = product(one_output(loss, **settings))
    far = loss == "huber" and settings  # from all its targets, where it is straight
    assert np.all(np.isfinite(found)) and np.any(found) == (not far)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("binary_crossentropy", {"activation": "sigmoid", "y": ONE_HOT, "outputs": 3}),
        ("sparse_categorical_crossentropy", {"activation": "softmax", "outputs": 3}),
        ("categorical_crossentropy", {"activation": "softmax", "outputs": 3, "y": ONE_HOT}),
    ],
)
def test_losses_of_probabilities_have_a_gauss_newton_matrix(loss, settings):
    assert np.any(product(one_output(loss, **settings), "gauss_newton_product"))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_and_infinity_are_named(images):
    with pytest.raises(ValueError, match="theta must be finite; received NaN or infinity"):
        wedges.hessian(wedges.Quadratic(np.ones(2)), [0.0, np.nan])
    made, _ = operator([1.0, np.inf])
    for use in (
        lambda: made @ np.ones(2),
        lambda: wedges.dense(made),
        lambda: wedges.eigenpairs(made, 1, seed=0),
        lambda: wedges.trace(made, 6, seed=0),
        lambda: wedges.spectral_density(made, samples=1, order=1, seed=0),
    ):
        with pytest.raises(ValueError, match="theta must have a finite Hessian; received NaN"):
            use()
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    made = wedges.hessian(landscape, np.full(landscape.dimension, 3e38))
    with pytest.raises(ValueError, match="theta must have a finite Hessian"):
        made @ np.ones(landscape.dimension)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"k": 31}, "k must be a whole number from 1 to D = 30; received 31"),
        ({"k": 0}, "k must be a whole .*received 0"),
        ({"k": -1}, "k must be a whole .*received -1"),
        ({"k": 2.5}, "k must be a whole .*received 2.5"),
        ({"k": "2"}, "k must be a whole .*received '2'"),
        ({"end": "both"}, "end must be 'largest' or 'smallest'; received 'both'"),
        ({"tolerance": 0}, "tolerance must be .*received 0"),
        ({"tolerance": -1e-3}, "tolerance must be .*received -0.001"),
        ({"tolerance": np.nan}, "tolerance must be .*received nan"),
        ({"basis": 2}, "basis must hold at least .* = 6 vectors; received 2"),
        ({"basis": 5.5}, "basis must .*received 5.5"),
    ],
)
def test_eigenpairs_name_bad_settings(settings, text):
    with pytest.raises(ValueError, match=text) as caught:
        wedges.eigenpairs(operator(np.arange(30.0))[0], **{"k": 2, "seed": 0, **settings})
    assert "\n" not in str(caught.value)


def test_eigenpairs_end_at_the_limit():
    made, landscape = operator(turned(np.linspace(0, 1, 200)))
    with pytest.raises(RuntimeError, match="2 of relative residual 1e-09 were not found in 25 products"):
        wedges.eigenpairs(made, 2, seed=0, tolerance=1e-9, limit=25)
    assert 23 < landscape.asked <= 25


def test_other_bad_settings_are_named():
    made, bowl = operator(np.arange(9.0))
    density = lambda **s: wedges.spectral_density(made, **{"samples": 2, "order": 2, "seed": 0, **s})
    for use, text in [
        (lambda: wedges.trace(made, 6, seed=0, method="exact"), "method must be .*received 'exact'"),
        (lambda: wedges.trace(made, 0, seed=0, method="hutchinson"), "products must be .*received 0"),
        (lambda: wedges.trace(made, 6.5, seed=0), "products must be .*received 6.5"),
        (lambda: wedges.trace(made, 5, seed=0), "products must be at least 6 .*received 5"),
        (lambda: density(samples=0), "samples must be .*received 0"),
        (lambda: density(samples=1.5), "samples must be .*received 1.5"),
        (lambda: density(order=0), "order must be .*received 0"),
        (lambda: curvature.lanczos(made, np.ones(9), 2.5), "order must be .*received 2.5"),
        (lambda: curvature.lanczos(made, np.zeros(9), 2), r"start must be .*\[9\]"),
        (lambda: curvature.lanczos(made, np.full(9, np.nan), 2), "start must be a finite"),
        (lambda: curvature.lanczos(made, np.ones(8), 2), r"start must be .*received shape \(8,\)"),
        (lambda: wedges.block(made, 3), "which must name .*received 3"),
        (lambda: wedges.block(made, slice(9, 12)), "which must name some of the 9"),
        (lambda: wedges.gauss_newton(bowl, np.zeros(9)), "landscape must be a loss of .*received Plain"),
    ]:
        with pytest.raises(ValueError, match=text) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_gauss_newton_matrix_is_refused_where_there_are_no_outputs(images):
    bowl, cut = wedges.Quadratic(np.ones(3)), wedges.random_cut(np.zeros(3, "float32"), 2, seed=0)
    inside, line = wedges.restrict(bowl, cut), wedges.random_cut(np.zeros(2, "float32"), 1, seed=0)
    made = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    for landscape in (inside, wedges.Squared(bowl), wedges.restrict(inside, line), wedges.Squared(made)):
        with pytest.raises(ValueError, match="landscape must be a loss of a model's outputs"):
            wedges.gauss_newton(landscape, np.zeros(landscape.dimension))


def test_a_landscape_without_examples_is_refused():
    with pytest.raises(ValueError, match="x must hold .*at least one"):
        wedges.NetworkLandscape(plain(), np.zeros((0, 8, 8, 1)), np.zeros(0), SPARSE, seed=0)


def test_the_model_is_the_same_after_all_of_it():
    landscape, theta, model, *_ = network("batch norm")
    before = [np.array(v) for v in model.variables]
    made = wedges.hessian(landscape, theta)
    wedges.eigenpairs(made, 1, seed=0)
    curvature.lanczos(made, np.ones(len(theta)), 3)
    wedges.gauss_newton(landscape, theta) @ np.ones(len(theta))
    landscape.output_gradients(theta, 2)
    with pytest.raises(ValueError, match="finite Hessian"):
        wedges.hessian(landscape, np.full(len(theta), 3e38)) @ np.ones(len(theta))
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old, err_msg=v.path)
