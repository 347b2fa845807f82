"""What outputs and targets mean: losses as Keras aligns them, classes, probabilities, accuracy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE, plain
from tests.wedges.small_networks import truth


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
    assert float(floats.accuracy) == pytest.approx((floats.outputs.argmax(-1) == images[1]).mean())
    tokens = keras.Sequential([keras.Input((8, 8, 1)), layers.Reshape((8, 8)), layers.Dense(3)])
    y = np.arange(53 * 8).reshape(53, 8) % 3
    found = at(measured(tokens, y, SPARSE))
    assert float(found.accuracy) == pytest.approx((found.outputs.argmax(-1) == y).mean())


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


def test_shares_between_two_classes_have_no_accuracy(images):
    """Targets of 0.9 are no class, and not that of 0 either; whole ones of any type are classes."""
    x, y = images[0], (images[1] > 0).astype("float32")
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, "sigmoid")])
    late = np.where(np.arange(53) < 52, y, 0.9).astype("float32")
    stream = lambda y: tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    loss = "binary_crossentropy"
    accuracy_of = lambda *of: (
        (n := wedges.NetworkLandscape(model, *of, loss=loss, seed=0)).evaluate(n.space.read()).accuracy
    )
    for shares in (0.9 * y + 0.05, late, (0.9 * y)[:, None]):
        assert accuracy_of(x, shares) is None
    assert accuracy_of(stream(0.9 * y + 0.05)) is None
    expected = np.mean((model(x).numpy()[:, 0] > 0.5) == y)
    for whole in (y, y.astype(int), y.astype(bool), y[:, None]):
        assert float(accuracy_of(x, whole)) == pytest.approx(expected)
    assert float(accuracy_of(stream(y))) == pytest.approx(expected)


def test_regression_has_a_loss_and_no_accuracy(images):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
    landscape = wedges.NetworkLandscape(model, images[0], np.ones(53, np.float32), "mse", seed=0)
    found = landscape.evaluate(landscape.space.read())
    assert found.accuracy is None
    np.testing.assert_allclose(found.loss, np.mean((model(images[0]).numpy()[:, 0] - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "none", "sum_over_batch_size"])
def test_a_landscape_reduces_as_the_loss_says(images, reduction):
    model = plain()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    landscape = wedges.NetworkLandscape(model, *images, loss, seed=0, evaluation_batch_size=20)
    expected = truth(model, *images)[0] * (53 if reduction == "sum" else 1)
    np.testing.assert_allclose(landscape(landscape.space.read()), expected, rtol=1e-5)


def test_the_compiled_loss_is_the_default(images):
    model = plain()
    model.compile("adam", SPARSE)
    landscape = wedges.NetworkLandscape(model, *images, seed=0)
    np.testing.assert_allclose(landscape(landscape.space.read()), truth(model, *images)[0], rtol=1e-5)
