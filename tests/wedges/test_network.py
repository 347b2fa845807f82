"""Flat theta against the Keras model itself: losses, gradients, training steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import MODELS, SPARSE, batch_norm, dropout, half_precision, plain
from tests.wedges.small_networks import truth


@pytest.mark.parametrize("build", MODELS, ids=lambda m: m.__name__)
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


@pytest.mark.parametrize("build", MODELS, ids=lambda m: m.__name__)
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
        if not tf.executing_eagerly():  # a landscape looks at a few examples when it is made
            raise RuntimeError("a user's loss")
        return tf.reduce_sum(outputs, axis=-1)

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


@pytest.mark.slow
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


def test_a_network_takes_one_point_at_a_time_and_so_does_what_is_made_of_it(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    plane = wedges.normal_plane(landscape.space.read(), np.ones(landscape.dimension))
    for made in (landscape, wedges.Squared(landscape), wedges.restrict(landscape, plane)):
        assert made.takes_batches is False


# ---- a model that changes later -------------------------------------------------------------------


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


# ---- training mode --------------------------------------------------------------------------------


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


PLAIN = plain()


@settings(max_examples=15, deadline=None)
@given(size=st.integers(2, 40), batch=st.integers(1, 45), seed=st.integers(0, 2**20))
def test_an_epoch_visits_each_example_at_most_once_and_orders_differ(size, batch, seed):
    x, y = np.zeros((size, 8, 8, 1), np.float32), np.zeros(size, int)
    landscape = wedges.NetworkLandscape(PLAIN, x, y, SPARSE, seed=seed, batch_size=batch)
    steps = landscape.steps_per_epoch
    rows = np.concatenate([landscape._minibatches.rows(s) for s in range(steps)])
    assert len(rows) == steps * min(batch, size) > size - min(batch, size)
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(size))
    if size > 12:
        later = np.concatenate([landscape._minibatches.rows(s) for s in range(steps, 2 * steps)])
        assert not np.array_equal(rows, later)


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


def test_training_compiles_under_xla(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, batch_size=16)
    start, sgd = landscape.space.read(), keras.optimizers.SGD(0.1)
    fast = wedges.minimize(landscape, start, sgd, 5, jit_compile=True)
    np.testing.assert_allclose(fast.losses, wedges.minimize(landscape, start, sgd, 5).losses, rtol=1e-4)


# ---- inputs, and what is refused ------------------------------------------------------------------


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


def test_nan_stays_nan(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    assert np.isnan(landscape(np.full(landscape.dimension, np.nan)))


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
        (lambda: "a model", "must be a keras.Model; received a path"),
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
        (
            {"x": tf.data.Dataset.range(4), "y": None},
            "x must be a data set of batches; received one of single examples",
        ),
        ({"batch_norm": "moving"}, "received 'moving'"),
        ({"seed": None}, "seed must be a whole number from 0 to 2147483647; received None"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1; received 0"),
        ({"x": tf.data.Dataset.range(4)}, "y and sample_weight must be None where x yields them"),
        ({"loss": None}, "loss must be a Keras loss.*received None"),
        ({"loss": "nonsense"}, "loss must be a Keras loss.*received 'nonsense'"),
        ({"loss": [SPARSE, SPARSE, None]}, "y and loss must fit the outputs of model"),
        ({"loss": {"a": SPARSE}}, "y and loss must fit the outputs of model"),
        ({"y": np.full(53, 3)}, "y and loss must fit the outputs"),
        ({"y": np.eye(53)[52] * 3}, "y must hold classes from 0 to 2, .* received 3"),
        ({"y": np.eye(53)[52] * -1}, "y must hold classes from 0 to 2, .* received -1"),
        ({"y": [1, 2, 3]}, "x and y must have as many examples; received 53 of x, 3 of y"),
        ({"y": "labels"}, "y must be arrays or a data set; received the text"),
        ({"y": object()}, "y must be arrays of numbers, .* received object"),
        ({"y": []}, "y must hold at least one example"),
        ({"y": {"a": np.zeros(53), "b": np.zeros(52)}}, "y must hold the same number of examples"),
        ({"x": None}, "x must be examples; received None"),
        ({"sample_weight": np.ones(7)}, "must have as many examples; received .* 7 of sample_weight"),
        ({"class_weight": {0: 1.0}, "sample_weight": np.ones(53)}, "class_weight must be None beside"),
        (
            {"class_weight": {0: 1.0}, "y": np.zeros((53, 8, 8))},
            "class_weight must be for targets of one",
        ),
    ],
)
def test_bad_settings_are_named(settings, words, images):
    given = {"x": images[0], "y": images[1], "loss": SPARSE, "seed": 0, **settings}
    with pytest.raises(ValueError, match=words):
        wedges.NetworkLandscape(plain(), **given)


def test_targets_of_another_structure_than_the_outputs_are_refused(images):
    with pytest.raises(ValueError, match="y and loss must fit the outputs of model"):
        wedges.NetworkLandscape(two_outputs(), *images, SPARSE, seed=0)


def test_theta_of_another_model_is_refused(images):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    with pytest.raises(ValueError, match=r"theta must have shape .* received shape \(7,\)"):
        landscape(np.zeros(7))
    with pytest.raises(ValueError, match=r"received \(7,\)"):
        landscape.space.write(np.zeros(7))
    with pytest.raises(ValueError, match="one start at a time"):
        landscape.sample(tf.zeros([2, landscape.dimension]), 0)


def test_a_landscape_without_examples_is_refused():
    with pytest.raises(ValueError, match="x must hold .*at least one"):
        wedges.NetworkLandscape(plain(), np.zeros((0, 8, 8, 1)), np.zeros(0), SPARSE, seed=0)


USES = {
    "loss": lambda landscape, theta: landscape(theta),
    "gradient": lambda landscape, theta: landscape.value_and_gradient(theta),
    "product": lambda landscape, theta: landscape.hessian_product(theta, theta),
    "step": lambda landscape, theta: landscape.sample(theta, 3),
    "outputs": lambda landscape, theta: landscape.evaluate(theta),
}


@pytest.mark.parametrize("batch_norm_is", ["frozen", "reestimate"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_function_that_tensorflow_transforms_is_warned_of_nothing(
    use, batch_norm_is, images, monkeypatch
):
    """AutoGraph goes into what a `tf.function` calls, and says where it cannot read that."""
    said, model = [], batch_norm()
    monkeypatch.setattr(tf.get_logger(), "warning", lambda line, *of: said.append(line % of))
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm=batch_norm_is)
    theta = landscape.space.read()
    found = tf.function(use)(landscape, theta)
    assert [line for line in said if "AutoGraph" in line] == []
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(use(landscape, theta)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
