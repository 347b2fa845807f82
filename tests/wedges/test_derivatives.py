"""Hessians, Gauss-Newton matrices and gradients of a network's outputs: closed forms, dense truth."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE, plain
from tests.wedges.operators import normal
from tests.wedges.small_networks import (
    END,
    NETWORKS,
    N,
    assert_dense,
    by_hand,
    cross_entropy,
    forward_over_reverse,
    inputs,
    jacobian,
    linear,
    logits,
    network,
    softmax,
    with_ones,
)

# ---- closed forms ---------------------------------------------------------------------------------


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
        np.testing.assert_allclose(wedges.curvature.residual(landscape, theta) @ theta, 0, atol=1e-5)


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
    np.testing.assert_allclose(wedges.curvature.residual(landscape, theta) @ theta, 0, atol=1e-6)
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


def test_output_gradients_are_of_probabilities_where_the_model_ends_with_a_softmax(float64):
    x, landscape = linear(3, "sparse_categorical_crossentropy", np.arange(N) % 3, activation="softmax")
    theta, rows = normal(1, 15), with_ones(x)
    p = softmax(rows @ theta.reshape(5, 3))
    curved = np.array([np.diag(q) - np.outer(q, q) for q in p])
    expected = np.einsum("ni,nab->naib", rows, curved).reshape(N, 3, 15)
    np.testing.assert_allclose(landscape.output_gradients(theta), expected, atol=1e-12)
    for n in (0, 54):
        with pytest.raises(ValueError, match=f"examples must be .* from 1 to N = 53; received {n}"):
            landscape.output_gradients(theta, n)


# ---- networks, against another kind of differentiation --------------------------------------------


POOLS = ("oblong tiles", "tiles, a row left", "one axis", "pool 3, stride 2", "same, odd")
KINDS = [pytest.param(k, marks=pytest.mark.slow) if k in POOLS else k for k in NETWORKS]


@pytest.mark.parametrize("kind", KINDS)
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
    assert_dense(wedges.curvature.residual(landscape, theta), rest)


def test_regularisers_are_in_the_hessian_and_the_residual_and_not_in_gauss_newton(float64):
    penalty = keras.regularizers.L2(0.125)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=penalty)])
    x, y = inputs(4), np.arange(N) % 3
    make = lambda r: wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, regularize=r)
    theta = normal(1, 15)
    bare = wedges.curvature.dense(wedges.hessian(make(False), theta))
    own = np.diag(np.r_[np.full(12, 0.25), np.zeros(3)])
    assert_dense(wedges.hessian(make(True), theta), bare + own)
    assert_dense(wedges.gauss_newton(make(True), theta), bare)
    assert_dense(wedges.curvature.residual(make(True), theta), own)


def hand_made(theta, x):
    """Dense(4), batch norm over all of x, tanh, Dense(3), written out."""
    a, b, gamma, beta, c, d = tf.split(theta, [16, 4, 4, 4, 12, 3])
    h = x @ tf.reshape(a, (4, 4)) + b
    mean = tf.reduce_sum(h, 0) / N
    variance = tf.reduce_sum((h - mean) ** 2, 0) / N
    h = tf.tanh(gamma * (h - mean) / tf.sqrt(variance + 1e-3) + beta)
    return h @ tf.reshape(c, (4, 3)) + d


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_an_output_pullback_is_the_jacobians_transpose(float64):
    """Of a linear model in closed form, and of any model by its dense Jacobian, whatever the batches."""
    x, landscape = linear(3, "mse", normal(1, N, 3))
    u = normal(4, N, 3)
    expected = (with_ones(x).T @ u).ravel()  # d z_ik / d theta_ab = x_ia [k = b]
    np.testing.assert_allclose(landscape.output_pullback(normal(2, 15), u), expected, rtol=1e-12)
    for kind in ("tanh", "batch norm", "tiles"):
        for size in (7, 60):
            landscape, theta, model, x, _ = network(kind, evaluation_batch_size=size)
            dense = np.einsum("nk,nkd->d", u, jacobian(logits(model, x), theta))
            found = landscape.output_pullback(theta, u)
            np.testing.assert_allclose(found, dense, atol=1e-11 * np.abs(dense).max())
    first = np.zeros((N, 3))
    first[0, 2] = 1.0  # one logit of one example
    row = jacobian(logits(model, x), theta)[0, 2]
    np.testing.assert_allclose(landscape.output_pullback(theta, first), row, atol=1e-12)


@pytest.mark.parametrize("kind", [list, dict])
def test_an_output_pullback_of_several_outputs_is_the_sum_over_them(kind, float64):
    x, two, one = inputs(4), normal(4, N, 2), normal(5, N, 1)
    start = keras.Input((4,))
    heads = {name: layers.Dense(n, use_bias=False, name=name)(start) for n, name in ((2, "c"), (1, "a"))}
    made = lambda c, a: [c, a] if kind is list else {"c": c, "a": a}
    model = keras.Model(start, made(heads["c"], heads["a"]))
    landscape = wedges.NetworkLandscape(
        model, x, made(0 * two, 0 * one), made("mse", "mse"), seed=0, evaluation_batch_size=20
    )
    expected = {"c": x.T @ two, "a": x.T @ one}  # d z_ik / d theta_ab = x_ia [k = b]
    expected = np.concatenate(
        [expected[v.path.split("/")[0]].ravel() for v in model.trainable_variables]
    )
    theta = landscape.space.read()
    for u in (made(two, one), made(two.tolist(), one[:, 0])):
        np.testing.assert_allclose(landscape.output_pullback(theta, u), expected, rtol=1e-10)
    for u in (made(one, two), made(two[1:], one[1:]), [two], {"c": two}, two, None):
        with pytest.raises(ValueError, match="u must be shaped as the model's outputs, .* received "):
            landscape.output_pullback(theta, u)


def test_an_output_pullback_holds_the_statistics_of_batch_norm(float64):
    """Where they are re-estimated it is that of a model whose statistics were frozen there."""
    norm = [layers.BatchNormalization(), layers.Activation("tanh")]
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), *norm, layers.Dense(3)])
    x, theta, u = inputs(4), normal(1, 43), normal(4, N, 3)
    landscape = wedges.NetworkLandscape(
        model, x, np.arange(N) % 3, SPARSE, seed=0, batch_norm="reestimate", evaluation_batch_size=20
    )
    found = landscape.output_pullback(theta, u)
    landscape.write(theta)  # now the model's own statistics are those at theta
    dense = np.einsum("nk,nkd->d", u, jacobian(logits(model, x), theta))
    np.testing.assert_allclose(found, dense, atol=1e-9 * np.abs(dense).max())


def test_what_has_no_row_for_each_example_cannot_be_pulled_back():
    landscape = linear(3, "mse", normal(1, N, 3))[1]
    for u in (np.ones((N - 1, 3)), 1.0, np.ones((N, 4)), np.ones((N, 1, 2))):
        with pytest.raises(ValueError, match="u must be shaped as .* each of 53 examples"):
            landscape.output_pullback(np.zeros(15), u)
    with pytest.raises(ValueError, match=r"theta must be one point \[D\]; received shape \(2, 15\)"):
        landscape.output_pullback(np.zeros((2, 15)), np.ones((N, 3)))


# ---- batches, and several vectors at once ---------------------------------------------------------


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


# ---- one graph ------------------------------------------------------------------------------------


def test_a_networks_graph_is_traced_once(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, evaluation_batch_size=20)
    theta = landscape.space.read().numpy()
    for at in (theta, theta + 0.1):
        wedges.eigenpairs(wedges.hessian(landscape, at), 1, seed=0)
        assert landscape.graphs.hessian_products.experimental_get_tracing_count() == 1


def test_a_networks_graph_is_traced_once_for_one_vector_and_once_for_the_measured_pairs(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, evaluation_batch_size=20)
    theta = landscape.space.read().numpy()
    for at in (theta, theta + 0.1):
        wedges.eigenpairs(wedges.hessian(landscape, at), 3, seed=0)
        assert landscape.graphs.hessian_products.experimental_get_tracing_count() == 1


# ---- losses with and without curvature ------------------------------------------------------------


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
