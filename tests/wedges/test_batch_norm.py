"""Batch norm's statistics as a function of theta."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm
from tests.wedges.small_networks import truth


def test_reestimated_statistics_are_those_of_all_examples_whatever_the_batch():
    x = np.random.default_rng(0).normal(2.0, 3.0, (53, 5)).astype(np.float32)
    model = keras.Sequential([keras.Input((5,)), layers.BatchNormalization(), layers.Dense(1)])
    for batch in (7, 20, 53):
        landscape = wedges.NetworkLandscape(
            model, x, np.zeros(53), "mse", seed=0, batch_norm="reestimate", evaluation_batch_size=batch
        )
        landscape.write(landscape.space.read())
        np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0), rtol=1e-4)
        np.testing.assert_allclose(model.layers[0].moving_variance, x.var(0), rtol=1e-4)


def test_reestimated_loss_is_that_of_batch_statistics_over_all_examples(images):
    """With all examples in one batch, inference with its statistics is the training-mode call."""
    model, (x, y) = batch_norm(), images
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, batch_norm="reestimate")
    theta = np.random.default_rng(1).normal(size=landscape.dimension).astype(np.float32) * 0.3
    landscape.space.write(theta)
    np.testing.assert_allclose(landscape(theta), SPARSE(y, model(x, training=True)), rtol=1e-3)
    frozen_loss = landscape.on(x, y, batch_norm="frozen")(theta)
    assert abs(float(frozen_loss - landscape(theta))) > 0.01  # the policy matters


def test_statistics_of_a_test_set_come_from_the_training_inputs(images):
    model, (x, y) = batch_norm(), images
    train = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, batch_norm="reestimate")
    theta = train.space.read()
    test = train.on(x[:5] + 10.0, y[:5])
    train.write(theta)
    np.testing.assert_allclose(test(theta), truth(model, x[:5] + 10.0, y[:5])[0], rtol=1e-4)


@pytest.mark.parametrize("policy", ["frozen", "reestimate"])
def test_the_gradient_is_the_derivative_of_the_loss_also_through_the_statistics(policy):
    """Central differences in float64, along random directions, in more than one microbatch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 6)), rng.integers(0, 3, 13)
    keras.config.set_dtype_policy("float64")
    try:
        hidden = [layers.Dense(5), layers.BatchNormalization(), layers.Activation("tanh")]
        hidden += [layers.Dense(4), layers.BatchNormalization(), layers.Dense(3)]
        model = keras.Sequential([keras.Input((6,)), *hidden])
        landscape = wedges.NetworkLandscape(
            model, x, y, SPARSE, seed=0, batch_norm=policy, evaluation_batch_size=5
        )
        theta = rng.normal(size=landscape.dimension)
        assert landscape.dtype == tf.float64
        gradient = landscape.value_and_gradient(theta)[1]
        for _ in range(5):
            v = rng.normal(size=landscape.dimension)
            difference = (landscape(theta + 1e-5 * v) - landscape(theta - 1e-5 * v)) / 2e-5
            np.testing.assert_allclose(np.dot(gradient, v), difference, rtol=1e-5)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "norm"),
    [("frozen", False), ("frozen", True), ("reestimate", False), ("reestimate", True)],
)
def test_a_hessian_product_is_the_derivative_of_the_gradient(policy, norm):
    """Central differences in float64, in more than one microbatch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 4)), rng.integers(0, 3, 13)
    keras.config.set_dtype_policy("float64")
    try:
        normed = lambda: [layers.BatchNormalization()] if norm else []
        hidden = [layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)), *normed()]
        hidden += [layers.Activation("tanh"), layers.Dense(3), *normed(), layers.Dense(3)]
        model = keras.Sequential([keras.Input((4,)), *hidden])
        landscape = wedges.NetworkLandscape(
            model, x, y, SPARSE, seed=0, batch_norm=policy, evaluation_batch_size=5, regularize=True
        )
        theta, v = rng.normal(size=(2, 2, landscape.dimension))
        products = landscape.hessian_product(theta, v)
        assert products.shape == theta.shape and products.dtype == tf.float64
        gradient = lambda at: landscape.value_and_gradient(at)[1]
        difference = (gradient(theta + 1e-5 * v) - gradient(theta - 1e-5 * v)) / 2e-5
        np.testing.assert_allclose(products, difference, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(landscape.hessian_product(theta[1], v[1]), products[1], rtol=1e-9)
        there, back = np.sum(v[1] * products[0]), landscape.hessian_product(theta[0], v[1])
        np.testing.assert_allclose(there, np.sum(v[0] * back), rtol=1e-9)  # it is symmetric
        loss, slope, curvature = landscape.jet(theta, v)
        np.testing.assert_allclose(loss, landscape(theta), rtol=1e-9)
        np.testing.assert_allclose(slope, np.sum(gradient(theta) * v, axis=-1), rtol=1e-9)
        np.testing.assert_allclose(curvature, np.sum(products * v, axis=-1), rtol=1e-9)
        plane = wedges.normal_plane(theta[0], v)
        lift = plane.directions.lift(tf.eye(landscape.dimension, dtype="float64")).numpy()
        found = wedges.restrict(landscape, plane).hessian_product(0 * theta[0], theta[1])
        expected = landscape.hessian_product(theta[0], lift @ theta[1]).numpy() @ lift
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_batch_norm_layer_that_is_called_twice_has_the_average_of_both_inputs(images):
    image, norm = keras.Input((5,)), layers.BatchNormalization(momentum=0.9)
    model = keras.Model(image, layers.Dense(1)(layers.Add()([norm(image), norm(3.0 * image + 1.0)])))
    x = np.random.default_rng(0).normal(2.0, 1.0, (40, 5)).astype(np.float32)
    landscape = wedges.NetworkLandscape(model, x, np.zeros(40), "mse", seed=0, batch_norm="reestimate")
    landscape.write(landscape.space.read())
    first, second = x.mean(0), 3.0 * x.mean(0) + 1.0
    expected = (0.9 * first + second) / 1.9  # as Keras weights two updates in a row
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4)


@pytest.mark.parametrize("mean", [0.0, 1000.0, -5000.0])
@pytest.mark.parametrize("batch", [7, 53])
def test_the_variance_around_a_large_mean_is_not_lost_in_rounding(mean, batch):
    noise = np.random.default_rng(0).normal(size=(53, 3))
    x = (noise + mean).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(), layers.Dense(1)])
    landscape = wedges.NetworkLandscape(
        model, x, np.zeros(53), "mse", seed=0, batch_norm="reestimate", evaluation_batch_size=batch
    )
    landscape.write(landscape.space.read())
    exact = x.astype(np.float64)
    np.testing.assert_allclose(model.layers[0].moving_mean, exact.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.layers[0].moving_variance, exact.var(0), rtol=1e-3)


def far_away(x, y, dtype):
    """A landscape whose hidden units get biases of some thousands only after it was made."""
    keras.config.set_dtype_policy(dtype)
    try:
        hidden = [layers.Dense(3), layers.BatchNormalization(), layers.Activation("tanh")]
        model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])
        landscape = wedges.NetworkLandscape(
            model, x, y, "mse", seed=0, batch_norm="reestimate", evaluation_batch_size=5
        )
    finally:
        keras.config.set_dtype_policy("float32")
    theta = np.random.default_rng(1).normal(size=landscape.dimension)
    theta[12:15] = 1000.0, -3000.0, 5000.0  # after the kernel [4, 3]
    return landscape, theta


def test_around_a_large_mean_of_another_theta_derivatives_are_those_of_float64():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 4)), rng.normal(size=(13, 1))
    (found, theta), (exact, _) = (far_away(x, y, dtype) for dtype in ("float32", "float64"))
    assert found.dtype == tf.float32 and exact.dtype == tf.float64
    v = rng.normal(size=theta.shape)
    v[12:15] = 0
    for name, args in (("value_and_gradient", []), ("hessian_product", [v])):
        numbers = (tf.nest.flatten(getattr(a, name)(theta, *args)) for a in (found, exact))
        for a, b in zip(*numbers, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2 * np.abs(b).max())


# ---- masks ----------------------------------------------------------------------------------------

TOKENS = np.array([[3, 0, 0, 0], [1, 2, 3, 4], [4, 0, 0, 0], [2, 2, 1, 3], [0, 0, 0, 0]])


def masked(*after):
    """Sequences of 1, 4, 1, 4 tokens and none, 0 being no token, two numbers each."""
    embedding = layers.Embedding(5, 2, mask_zero=True)
    return keras.Sequential([keras.Input((4,)), embedding, *after, layers.Dense(2)]), embedding


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_statistics_under_a_mask_are_those_of_all_positions_that_count(batch):
    model, embedding = masked(layers.BatchNormalization())
    y = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
    landscape = wedges.NetworkLandscape(
        model, TOKENS, y, "mse", seed=0, batch_norm="reestimate", evaluation_batch_size=batch
    )
    theta = np.random.default_rng(1).normal(size=landscape.dimension).astype(np.float32)
    landscape.write(theta)
    rows = np.array(embedding.embeddings)[TOKENS[TOKENS > 0]]  # [10, 2]
    np.testing.assert_allclose(model.layers[1].moving_mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.layers[1].moving_variance, rows.var(0), rtol=1e-5)
    loss = np.sum(np.mean((np.array(model(TOKENS)) - y) ** 2, axis=-1)[TOKENS > 0]) / 10
    np.testing.assert_allclose(landscape(theta), loss, rtol=1e-5)
    whole = landscape.on(TOKENS, y, evaluation_batch_size=5)
    v = np.random.default_rng(2).normal(size=(2, landscape.dimension)).astype(np.float32)
    found, expected = (a.value_and_gradient(theta)[1] for a in (landscape, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(landscape.hessian_product(theta, v), whole.hessian_product(theta, v), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_layer_under_a_mask_that_is_called_twice_is_refused():
    norm = layers.BatchNormalization()
    model, _ = masked(norm, layers.Dense(2), norm)
    landscape = wedges.NetworkLandscape(
        model, TOKENS, np.zeros((5, 4, 2)), "mse", seed=0, batch_norm="reestimate"
    )
    with pytest.raises(ValueError, match="layer 'batch_normalization.*' must be called once where"):
        landscape(landscape.space.read())


@pytest.mark.skipif(
    "renorm" not in inspect.signature(layers.BatchNormalization).parameters,
    reason="Keras without renorm",
)
def test_batch_renormalisation_is_refused_where_statistics_are_found_anew_and_has_a_loss_where_not():
    model = keras.Sequential(
        [keras.Input((2,)), layers.BatchNormalization(renorm=True, name="norm"), layers.Dense(1)]
    )
    x, y = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]], np.float32), np.ones((3, 1), np.float32)
    model.layers[0].moving_mean.assign([2.0, 3.0])
    frozen = wedges.NetworkLandscape(model, x, y, "mse", seed=0)
    expected = np.mean((np.array(model(x)) - y) ** 2)
    np.testing.assert_allclose(frozen(frozen.space.read()), expected, rtol=1e-6)
    anew = wedges.NetworkLandscape(model, x, y, "mse", seed=0, batch_norm="reestimate")
    with pytest.raises(ValueError, match="layer 'norm' must have renorm=False where"):
        anew(anew.space.read())


# ---- statistics that training does not move -------------------------------------------------------


class InferenceNorm(keras.Model):
    """Has a batch-norm layer that it always calls in inference mode, and one that it never calls."""

    def __init__(self):
        super().__init__()
        self.norm, self.unused = layers.BatchNormalization(), layers.BatchNormalization()
        self.flat, self.out = layers.Flatten(), layers.Dense(3)

    def call(self, x):
        return self.out(self.flat(self.norm(x, training=False)))


def never_moves():
    norm = layers.BatchNormalization(momentum=1.0)
    return keras.Sequential([keras.Input((8, 8, 1)), norm, layers.Flatten(), layers.Dense(3)])


@pytest.mark.parametrize("build", [never_moves, InferenceNorm])
def test_statistics_that_training_never_moves_are_kept(build, images):
    model = build()
    outputs = model(images[0], training=False)
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    theta = landscape.space.read()
    np.testing.assert_allclose(landscape(theta), SPARSE(images[1], outputs), rtol=1e-5)
    assert np.isfinite(landscape.value_and_gradient(theta)[1]).all()
    before = [np.array(v) for v in model.non_trainable_variables]
    landscape.write(theta + 1)
    for v, old in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(v, old)
    # It has batch norm from first to last, and so has what is made of it later.
    assert landscape.network.has_batch_norm and landscape.on(*images).problem.reestimates


@pytest.mark.parametrize("momentum", [0.0, 0.99, 0.9999])
def test_statistics_are_exact_whatever_the_momentum_also_on_the_raw_input(momentum):
    x = np.random.default_rng(0).normal(2.0, 3.0, (53, 5)).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((5,)), layers.BatchNormalization(momentum=momentum), layers.Dense(1)]
    )
    landscape = wedges.NetworkLandscape(model, x, np.zeros(53), "mse", seed=0, batch_norm="reestimate")
    assert np.isfinite(landscape.value_and_gradient(landscape.space.read())[1]).all()
    landscape.write(landscape.space.read())
    np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.layers[0].moving_variance, x.var(0), rtol=1e-4)


def test_a_nan_on_empty_input_does_not_reach_the_statistics():
    x = np.random.default_rng(0).uniform(1.0, 2.0, (20, 4)).astype(np.float32)
    image = keras.Input((4,))
    logs = layers.Lambda(lambda t: keras.ops.log(t))(image)  # NaN or infinite at zero
    model = keras.Model(image, layers.Dense(1)(layers.BatchNormalization()(logs)))
    landscape = wedges.NetworkLandscape(model, x, np.zeros(20), "mse", seed=0, batch_norm="reestimate")
    assert np.isfinite(landscape(landscape.space.read()))


def test_a_frozen_batch_norm_layer_keeps_its_statistics(images):
    model = batch_norm()
    for layer in model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    theta = landscape.space.read()
    np.testing.assert_allclose(landscape(theta), truth(model, *images)[0], rtol=1e-5)
