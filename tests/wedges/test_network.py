"""Flat theta against the Keras model itself: losses, gradients, statistics, training steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import MODELS, SPARSE, batch_norm, dropout, frozen, half_precision, plain


def names(models):
    return [m.__name__ for m in models]


def truth(model, x, y):
    """Loss and flat gradient from the model's own variables and one ordinary call."""
    with tf.GradientTape() as tape:
        loss = SPARSE(y, tf.cast(model(x, training=False), tf.float32))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return loss, np.concatenate([np.ravel(g) for g in gradients])


@pytest.mark.parametrize("build", MODELS, ids=names(MODELS))
def test_loss_gradient_and_accuracy_are_the_models(build, images):
    model, (x, y) = build(), images
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, evaluation_batch_size=20)
    theta = landscape.space.read()
    loss, gradient = truth(model, x, y)
    tolerance = {"rtol": 2e-2, "atol": 2e-3} if build is half_precision else {"rtol": 1e-4, "atol": 1e-6}
    found = landscape.value_and_gradient(theta)
    np.testing.assert_allclose(landscape(theta), loss, **tolerance)
    np.testing.assert_allclose(found[0], loss, **tolerance)
    np.testing.assert_allclose(found[1], gradient, **tolerance)
    evaluation = landscape.evaluate(theta)
    np.testing.assert_allclose(evaluation.loss, loss, **tolerance)
    outputs = model(x, training=False).numpy()
    np.testing.assert_allclose(evaluation.outputs, outputs, **tolerance)
    assert float(evaluation.accuracy) == pytest.approx((outputs.argmax(-1) == y).mean())


@pytest.mark.parametrize("build", MODELS, ids=names(MODELS))
def test_the_model_is_the_same_after_every_evaluation(build, images):
    model = build()
    before = [np.array(v) for v in model.variables]
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    theta = landscape.space.read() + 1.0
    landscape(theta)
    landscape.evaluate(theta)
    landscape.value_and_gradient(theta)
    wedges.minimize(landscape, theta, keras.optimizers.Adam(), steps=2)
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old, err_msg=v.path)


def test_the_model_is_the_same_after_an_evaluation_that_raises(images):
    model, (x, y) = batch_norm(), images
    before = [np.array(v) for v in model.variables]

    def broken(y, outputs):
        raise RuntimeError("a user's loss")

    landscape = wedges.NetworkLandscape(model, x, y, broken, seed=0, batch_norm="reestimate")
    for evaluate in (landscape, landscape.evaluate, landscape.value_and_gradient, landscape.network):
        with pytest.raises((RuntimeError, TypeError)):
            evaluate(landscape.space.read())
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old)


def test_points_of_a_batch_are_evaluated_one_by_one(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    theta = landscape.space.read() + np.random.default_rng(0).normal(size=(2, 3, landscape.dimension))
    losses, gradients = landscape.value_and_gradient(theta)
    assert losses.shape == (2, 3) and gradients.shape == theta.shape
    np.testing.assert_allclose(landscape(theta), losses, rtol=1e-6)
    np.testing.assert_allclose(losses[1, 2], landscape(theta[1, 2]), rtol=1e-6)
    np.testing.assert_allclose(gradients[1, 2], landscape.value_and_gradient(theta[1, 2])[1], rtol=1e-5)


def test_a_tape_over_the_loss_finds_the_gradient(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, evaluation_batch_size=10)
    theta = landscape.space.read()
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = 3.0 * landscape(theta)
    expected = 3.0 * landscape.value_and_gradient(theta)[1]
    np.testing.assert_allclose(tape.gradient(loss, theta), expected, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 60))
def test_results_do_not_depend_on_the_evaluation_batch(batch, images):
    model = plain()
    whole = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, evaluation_batch_size=53)
    parts = whole.on(*images, evaluation_batch_size=batch)
    theta = whole.space.read()
    np.testing.assert_allclose(parts(theta), whole(theta), rtol=1e-5)
    np.testing.assert_allclose(
        parts.value_and_gradient(theta)[1], whole.value_and_gradient(theta)[1], rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(
        parts.evaluate(theta).outputs, whole.evaluate(theta).outputs, rtol=1e-4, atol=1e-6
    )


# ---- weight space -----------------------------------------------------------------------------------


@pytest.mark.parametrize("build", MODELS, ids=names(MODELS))
def test_write_then_read_is_the_identity(build):
    space = wedges.WeightSpace(build())
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    space.write(theta)
    np.testing.assert_array_equal(space.read(), theta)
    np.testing.assert_array_equal(space.flatten(space.unflatten(tf.constant(theta))), theta)


@pytest.mark.parametrize("build", MODELS, ids=names(MODELS))
def test_another_model_of_the_same_weights_is_read_as_a_point_of_the_space(build):
    mine, other = build(), build()
    space = wedges.WeightSpace(mine)
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    before = space.read()
    wedges.WeightSpace(other).write(theta)
    np.testing.assert_array_equal(space.read(other), theta)
    np.testing.assert_array_equal(space.read(), before)
    np.testing.assert_array_equal(space.read(mine), before)


def dense(*widths, dtype=None):
    return keras.Sequential([keras.Input((4,)), *(layers.Dense(w, dtype=dtype) for w in widths)])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dense(5, 2), r"number 0 is \('.*/kernel', \(4, 5\)\) instead of \('.*', \(4, 3\)\)"),
        (lambda: dense(3, 5), r"number 2 is \('.*/kernel', \(3, 5\)\) instead of \('.*', \(3, 2\)\)"),
        (lambda: dense(1, 9), r"number 0 is \('.*/kernel', \(4, 1\)\) instead of"),  # D is 23 in both
        (lambda: dense(3), r"number 2 is none instead of \('.*/kernel', \(3, 2\)\)"),
        (lambda: dense(3, 2, 2), r"number 4 is \('.*/kernel', \(2, 2\)\) instead of none"),
        (lambda: dense(3, 2, dtype="float64"), r"dtype float64 and float32"),
        (lambda: keras.Sequential([layers.Dense(3)]), "is not built"),
        (lambda: np.zeros(23), "model must be a keras.Model; received ndarray"),
    ],
)
def test_a_model_of_other_weights_is_no_point_of_the_space(build, words):
    space, other = wedges.WeightSpace(dense(3, 2)), build()
    with pytest.raises(ValueError, match=words) as caught:
        space.read(other)
    if "instead" in words:
        assert f"model {other.name!r} must have the weights of {space.model.name!r}" in str(caught.value)


def test_a_shared_layer_counts_once_and_a_frozen_one_not_at_all():
    from tests.conftest import shared

    assert wedges.WeightSpace(shared()).dimension == (9 + 1) + (64 * 3 + 3)
    assert wedges.WeightSpace(frozen()).dimension == 64 * 6 + 6
    assert wedges.WeightSpace(plain()).dimension == 64 * 6 + 6 + 6 * 3 + 3


def test_freezing_a_layer_later_changes_nothing(images):
    model = plain()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0)
    theta = landscape.space.read()
    expected = truth(model, *images)
    model.layers[1].trainable = False  # before anything is traced
    np.testing.assert_allclose(landscape(theta), expected[0], rtol=1e-5)
    np.testing.assert_allclose(landscape.value_and_gradient(theta)[1], expected[1], rtol=1e-4, atol=1e-6)


def test_later_training_of_the_model_does_not_move_the_landscape(images):
    model = batch_norm()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0)
    theta = landscape.space.read()
    before = landscape(theta)
    model.compile("sgd", SPARSE)
    model.fit(*images, verbose=0)
    np.testing.assert_array_equal(landscape(theta), before)
    np.testing.assert_allclose(landscape.on(*images)(theta), before, rtol=1e-6)  # shares its state
    fresh = wedges.NetworkLandscape(model, *images, SPARSE, seed=0)  # made now: sees that of now
    assert abs(float(fresh(theta) - before)) > 1e-6


def test_compiling_and_fitting_the_model_before_the_first_call_is_no_hindrance(images):
    model = dropout()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0)
    theta, expected = landscape.space.read(), truth(model, *images)[0]
    model.compile("adam", SPARSE, metrics=["accuracy"])
    model.fit(*images, verbose=0)
    np.testing.assert_allclose(landscape(theta), expected, rtol=1e-5)


# ---- training mode ----------------------------------------------------------------------------------


def test_dropout_is_fresh_each_step_and_the_same_for_one_step(images):
    x, y = np.ones_like(images[0][:4]), np.zeros(4, int)  # equal examples: only the mask can differ
    landscape = wedges.NetworkLandscape(dropout(), x, y, SPARSE, seed=5, batch_size=4)
    theta = landscape.space.read()
    losses = [float(landscape.sample(theta, step)) for step in range(6)]
    assert len(set(losses)) == 6
    assert losses == [float(landscape.sample(theta, step)) for step in range(6)]
    other = landscape.on(x, y, seed=6)
    assert losses[0] != float(other.sample(theta, 0))


def test_sample_is_the_training_loss_of_its_minibatch(images):
    model, (x, y) = batch_norm(), images
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=1, batch_size=53)
    outputs, *_ = model.stateless_call(
        model.trainable_variables, model.non_trainable_variables, x, training=True
    )
    np.testing.assert_allclose(
        landscape.sample(landscape.space.read(), 0), SPARSE(y, outputs), rtol=1e-4
    )


@settings(max_examples=15, deadline=None)
@given(size=st.integers(2, 40), batch=st.integers(1, 45), seed=st.integers(0, 2**20))
def test_an_epoch_visits_each_example_at_most_once_and_orders_differ(size, batch, seed):
    x, y = np.zeros((size, 8, 8, 1), np.float32), np.zeros(size, int)
    landscape = wedges.NetworkLandscape(PLAIN, x, y, SPARSE, seed=seed, batch_size=batch)
    steps = landscape.steps_per_epoch
    rows = np.concatenate([landscape._minibatch(s) for s in range(steps)])
    assert len(rows) == steps * min(batch, size) > size - min(batch, size)
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(size))
    if size > 12:
        later = np.concatenate([landscape._minibatch(s) for s in range(steps, 2 * steps)])
        assert not np.array_equal(rows, later)


PLAIN = plain()


def test_training_flat_is_training_the_variables(images):
    """Ten steps of Adam on theta are ten steps of Adam on the model's own variables."""
    model, (x, y) = plain(), images
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, batch_size=53)
    theta, *_ = wedges.minimize(landscape, landscape.space.read(), keras.optimizers.Adam(0.01), 10)
    model.compile(keras.optimizers.Adam(0.01), SPARSE)
    model.fit(x, y, batch_size=53, epochs=10, shuffle=False, verbose=0)
    np.testing.assert_allclose(theta, wedges.WeightSpace(model).read(), atol=2e-5)


def test_regularisers_follow_theta_on_request(images):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
    )
    bare = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, evaluation_batch_size=20)
    full = bare.on(*images, regularize=True)
    theta = np.random.default_rng(0).normal(size=bare.dimension).astype(np.float32)
    kernel = theta[: 64 * 3]
    np.testing.assert_allclose(full(theta) - bare(theta), 0.1 * (kernel**2).sum(), rtol=1e-5)
    difference = full.value_and_gradient(theta)[1] - bare.value_and_gradient(theta)[1]
    np.testing.assert_allclose(difference[: 64 * 3], 0.2 * kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(difference[64 * 3 :], 0.0, atol=1e-6)


# ---- batch norm -------------------------------------------------------------------------------------


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


def test_a_network_takes_one_point_at_a_time_and_so_does_what_is_made_of_it(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    plane = wedges.normal_plane(landscape.space.read(), np.ones(landscape.dimension))
    for made in (landscape, wedges.Squared(landscape), wedges.restrict(landscape, plane)):
        assert made.many is False


def test_a_batch_norm_layer_that_is_called_twice_has_the_average_of_both_inputs(images):
    image, norm = keras.Input((5,)), layers.BatchNormalization(momentum=0.9)
    model = keras.Model(image, layers.Dense(1)(layers.Add()([norm(image), norm(3.0 * image + 1.0)])))
    x = np.random.default_rng(0).normal(2.0, 1.0, (40, 5)).astype(np.float32)
    landscape = wedges.NetworkLandscape(model, x, np.zeros(40), "mse", seed=0, batch_norm="reestimate")
    landscape.write(landscape.space.read())
    first, second = x.mean(0), 3.0 * x.mean(0) + 1.0
    expected = (0.9 * first + second) / 1.9  # as Keras weights two updates in a row
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4)


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


@pytest.mark.parametrize(
    "loss",
    ["mse", "mae", "huber", "poisson", "kl_divergence", "binary_crossentropy", "squared_hinge",
     lambda a, b: tf.reduce_mean(tf.square(a - b), axis=-1)],
)  # fmt: skip
def test_any_loss_is_what_model_evaluate_says(loss, images):
    """y of shape [N] against outputs [N, 1], integers against floats: as Keras aligns them."""
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("sgd", loss)
    y = (images[1] > 0).astype(int)
    landscape = wedges.NetworkLandscape(model, images[0], y, seed=0)
    expected = model.evaluate(images[0], y, batch_size=53, verbose=0)
    np.testing.assert_allclose(landscape(landscape.space.read()), expected, rtol=1e-4)


def test_accuracy_is_of_classes_only(images):
    x = images[0]
    build = lambda n: keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(n)])
    measured = lambda model, y, loss: wedges.NetworkLandscape(model, x, y, loss, seed=0)
    at = lambda landscape: landscape.evaluate(landscape.space.read())
    assert at(measured(build(2), np.ones((53, 2), np.float32), "mse")).accuracy is None
    assert at(measured(build(1), np.arange(53), "mse")).accuracy is None
    floats = at(measured(build(3), images[1].astype(np.float32), SPARSE))
    assert float(floats.accuracy) == pytest.approx(
        (floats.outputs.numpy().argmax(-1) == images[1]).mean()
    )
    tokens = keras.Sequential([keras.Input((8, 8, 1)), layers.Reshape((8, 8)), layers.Dense(3)])
    y = np.arange(53 * 8).reshape(53, 8) % 3
    found = at(measured(tokens, y, SPARSE))
    assert float(found.accuracy) == pytest.approx((found.outputs.numpy().argmax(-1) == y).mean())


def test_a_frozen_batch_norm_layer_keeps_its_statistics(images):
    model = batch_norm()
    for layer in model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    theta = landscape.space.read()
    np.testing.assert_allclose(landscape(theta), truth(model, *images)[0], rtol=1e-5)


# ---- inputs, targets, losses ------------------------------------------------------------------------


def test_several_inputs_as_a_dict(images):
    x, y = images
    a, b = keras.Input((8, 8, 1), name="a"), keras.Input((2,), name="b")
    joined = layers.Concatenate()([layers.Flatten()(a), b])
    model = keras.Model({"a": a, "b": b}, layers.Dense(3)(joined))
    inputs = {"a": x, "b": np.ones((53, 2), np.float32)}
    landscape = wedges.NetworkLandscape(model, inputs, y, SPARSE, seed=0, evaluation_batch_size=10)
    theta = landscape.space.read()
    np.testing.assert_allclose(landscape(theta), SPARSE(y, model(inputs)), rtol=1e-5)
    assert np.isfinite(landscape.sample(theta, 0))


@pytest.mark.parametrize("from_logits", [True, False])
def test_one_hot_and_binary_targets_have_accuracy_and_probabilities(images, from_logits):
    x, y = images
    end = None if from_logits else "softmax"
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation=end)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
    landscape = wedges.NetworkLandscape(model, x, np.eye(3, dtype="float32")[y], loss, seed=0)
    found = landscape.evaluate(landscape.space.read())
    assert float(found.accuracy) == pytest.approx((model(x).numpy().argmax(-1) == y).mean())
    np.testing.assert_allclose(landscape.probabilities(found.outputs).numpy().sum(-1), 1.0, rtol=1e-5)

    end = None if from_logits else "sigmoid"
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, activation=end)])
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    landscape = wedges.NetworkLandscape(model, x, (y > 0).astype("float32"), loss, seed=0)
    found = landscape.evaluate(landscape.space.read())
    positive = model(x).numpy()[:, 0] > (0.0 if from_logits else 0.5)
    assert float(found.accuracy) == pytest.approx((positive == (y > 0)).mean())
    np.testing.assert_allclose(found.loss, loss((y > 0)[:, None].astype("float32"), model(x)), rtol=1e-4)


def test_regression_has_a_loss_and_no_accuracy(images):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
    landscape = wedges.NetworkLandscape(model, images[0], np.ones(53, np.float32), "mse", seed=0)
    found = landscape.evaluate(landscape.space.read())
    assert found.accuracy is None
    np.testing.assert_allclose(found.loss, np.mean((model(images[0]).numpy()[:, 0] - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "none", "sum_over_batch_size"])
def test_a_landscape_is_the_mean_over_examples_whatever_the_losss_reduction(images, reduction):
    model = plain()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    landscape = wedges.NetworkLandscape(model, *images, loss, seed=0)
    np.testing.assert_allclose(landscape(landscape.space.read()), truth(model, *images)[0], rtol=1e-5)


def test_the_compiled_loss_is_the_default(images):
    model = plain()
    model.compile("adam", SPARSE)
    landscape = wedges.NetworkLandscape(model, *images, seed=0)
    np.testing.assert_allclose(landscape(landscape.space.read()), truth(model, *images)[0], rtol=1e-5)


def test_nan_stays_nan(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    assert np.isnan(landscape(np.full(landscape.dimension, np.nan)))


def test_training_compiles_under_xla(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, batch_size=16)
    start, sgd = landscape.space.read(), keras.optimizers.SGD(0.1)
    fast = wedges.minimize(landscape, start, sgd, 5, jit_compile=True)
    np.testing.assert_allclose(fast.losses, wedges.minimize(landscape, start, sgd, 5).losses, rtol=1e-4)


def mixed_dtypes():
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, dtype="float64"), layers.Dense(3)]
    )


def all_frozen():
    model = plain()
    model.trainable = False
    return model


def two_outputs():
    image = keras.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(3)(flat), layers.Dense(2)(flat)])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: keras.Sequential([layers.Dense(3)]), "is not built"),
        (mixed_dtypes, "in one dtype"),
        (all_frozen, "no trainable weights"),
        (lambda: "a model", "must be a keras.Model; received str"),
    ],
)
def test_a_model_that_cannot_be_flattened_is_refused(model, words, images):
    with pytest.raises(ValueError, match=words):
        wedges.NetworkLandscape(model(), *images, SPARSE, seed=0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"x": np.zeros((4, 8, 8, 1))}, "as many examples; received 4"),
        ({"x": np.zeros((0, 8, 8, 1)), "y": np.zeros(0)}, "at least one"),
        ({"x": tf.data.Dataset.range(4)}, "x must be arrays in memory .* received _RangeDataset"),
        ({"batch_norm": "moving"}, "received 'moving'"),
        ({"seed": None}, "seed must be a whole number from 0 .* received None"),
        ({"batch_size": 0}, "batch_size must be at least 1; received 0"),
        ({"loss": None}, "loss must be one Keras loss.*received None"),
    ],
)
def test_bad_settings_are_named(settings, words, images):
    given = {"x": images[0], "y": images[1], "loss": SPARSE, "seed": 0, **settings}
    with pytest.raises(ValueError, match=words):
        wedges.NetworkLandscape(plain(), **given)


def test_a_model_with_two_outputs_is_refused(images):
    landscape = wedges.NetworkLandscape(two_outputs(), *images, SPARSE, seed=0)
    with pytest.raises(ValueError, match="one output"):
        landscape(landscape.space.read())


def test_theta_of_another_model_is_refused(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    with pytest.raises(ValueError, match=r"theta must have shape .* received shape \(7,\)"):
        landscape(np.zeros(7))
    with pytest.raises(ValueError, match=r"received \(7,\)"):
        landscape.space.write(np.zeros(7))
    with pytest.raises(ValueError, match="one start at a time"):
        landscape.sample(tf.zeros([2, landscape.dimension]), 0)


# ---- the filters of a weight space ------------------------------------------------------------------


def test_filters_are_the_columns_of_every_kernel_and_vectors_have_none():
    space = wedges.WeightSpace(batch_norm())
    assert space.filters.shape == (space.dimension,) and space.filters.dtype.kind == "i"
    parts = np.split(space.filters, np.cumsum(space.sizes)[:-1])
    number = 0
    for path, shape, part in zip([v.path for v in space.variables], space.shapes, parts, strict=True):
        if len(shape) == 1:
            assert path.split("/")[-1] in ("bias", "gamma", "beta") and (part == -1).all()
            continue
        # Every number of output channel c is in one filter, and no filter is in two kernels.
        by_channel = part.reshape(shape).reshape(-1, shape[-1])
        np.testing.assert_array_equal(
            by_channel, np.tile(number + np.arange(shape[-1]), (len(by_channel), 1))
        )
        number += shape[-1]
    assert number == 3 + 4 + 3 == space.filters.max() + 1


def test_filters_by_hand():
    space = wedges.WeightSpace(dense(2, 1))  # kernels [4, 2] and [2, 1]
    np.testing.assert_array_equal(space.filters, [0, 1] * 4 + [-1, -1] + [2, 2] + [-1])


@pytest.mark.parametrize("build", MODELS, ids=names(MODELS))
def test_the_filter_of_a_kernel_moves_one_output_channel_alone(build):
    """All its numbers stand in one kernel at one place of its last axis, and no others stand there."""
    space = wedges.WeightSpace(build())
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    assert set(space.filters) == set(range(-1, space.filters.max() + 1))
    for number in range(space.filters.max() + 1):
        changed = np.where(space.filters == number, 2 * theta, theta)
        seen = []
        for old, new in zip(*(space.unflatten(tf.constant(t)) for t in (theta, changed)), strict=True):
            moved = np.argwhere(np.array(old) != np.array(new))
            if len(moved):
                channels = set(moved[:, -1])
                seen.append((len(moved), len(channels)))
                assert len(moved) == np.size(old) // old.shape[-1]
        assert len(seen) == 1 and seen[0][1] == 1


def convolutions(layer):
    return keras.Sequential([keras.Input((6, 6, 3)), layer])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(4, 3, use_bias=False),
        lambda: layers.Conv2D(6, 3, groups=3, use_bias=False),
        lambda: layers.EinsumDense("bxyc,cd->bxyd", output_shape=(6, 6, 4)),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        lambda: layers.Conv2DTranspose(4, 3, use_bias=False),
    ],
)
def test_a_filter_is_what_one_output_channel_is_made_with(layer):
    model = convolutions(layer())
    space = wedges.WeightSpace(model)
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32)
    space.write(theta)
    before = np.array(model(x))
    count = space.filters.max() + 1
    assert count == before.shape[-1]
    touched = []
    for number in range(count):
        space.write(np.where(space.filters == number, 3 * theta, theta))
        touched.append(np.abs(np.array(model(x)) - before).max(axis=(0, 1, 2)) > 1e-4)
    np.testing.assert_array_equal(np.sort(np.argmax(touched, axis=1)), np.arange(count))
    assert np.sum(touched) == count


def test_both_kernels_of_a_separable_convolution_have_a_filter_for_each_channel_they_make():
    model = convolutions(layers.SeparableConv2D(4, 3, depth_multiplier=2))
    space = wedges.WeightSpace(model)
    assert [v.name for v in space.variables] == ["depthwise_kernel", "pointwise_kernel", "bias"]
    depthwise, pointwise, bias = np.split(space.filters, np.cumsum(space.sizes)[:-1])
    np.testing.assert_array_equal(depthwise.reshape(9, 6), np.tile(np.arange(6), (9, 1)))
    np.testing.assert_array_equal(pointwise.reshape(6, 4), np.tile(6 + np.arange(4), (6, 1)))
    assert (bias == -1).all()
