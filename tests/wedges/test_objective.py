"""What a model minimises, beyond the zoo: models of one's own making, accuracy, what outputs are."""

import functools
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, losses

import wedges
from tests.conftest import SPARSE
from wedges.network.readout import meaning_of, output_probabilities

N = 40
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 4)).astype(np.float32), RNG.integers(0, 3, N)


class Own(keras.Model):
    """A subclass with one layer, to be given methods of its own."""

    def __init__(self, k=3):
        super().__init__()
        self.end = layers.Dense(k)
        self(X[:1])

    def call(self, x):
        return self.end(x)


def landscape_of(model, x=X, y=Y, **how):
    return wedges.NetworkLandscape(model, x, y, seed=0, evaluation_batch_size=15, **how)


def at(landscape):
    return landscape.evaluate(landscape.space.read())


# ---- models of one's own making ---------------------------------------------------------------------


def test_a_train_step_of_its_own_is_named_in_a_warning():
    class Other(Own):
        def train_step(self, data):
            return {"loss": tf.constant(0.0)}

    model = Other()
    model.compile("sgd", SPARSE)
    with pytest.warns(
        UserWarning, match=r"\(Other\) overrides train_step, .* its loss is the loss of comp"
    ):
        found = landscape_of(model)
    np.testing.assert_allclose(at(found).loss, SPARSE(Y, model(X)), rtol=1e-5)
    with pytest.warns(UserWarning, match="overrides train_step, which a Hyperplane cannot follow"):
        wedges.Hyperplane(model, wedges.random_cut(found.space.read(), 2, seed=0))


def test_a_loss_that_is_given_goes_before_the_models_own():
    class Other(Own):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return 7.0 + 0.0 * tf.reduce_sum(y_pred)

    model = Other()
    model.compile("sgd", SPARSE, loss_weights=3.0)
    assert float(at(landscape_of(model)).loss) == 7.0
    given = landscape_of(model, loss=SPARSE)
    np.testing.assert_allclose(at(given).loss, SPARSE(Y, model(X)), rtol=1e-5)


def test_other_examples_have_the_loss_of_when_the_landscape_was_made():
    x, y = np.array([[1.0], [2.0]], np.float32), np.array([[2.0], [5.0]], np.float32)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile(loss="mse", loss_weights=[2.0])
    train = wedges.NetworkLandscape(model, x, y, seed=0)
    model.compile(loss="mae")
    other = train.on(x[1:], y[1:])  # at theta = 1 the errors are 1 and 3
    assert float(train([1.0])) == 2 * (1 + 9) / 2 and float(other([1.0])) == 2 * 9
    assert float(other.on(x, y)([1.0])) == 10 and float(train.on(x, y, loss_weights=[1.0])([1.0])) == 5
    assert float(pickle.loads(pickle.dumps(other))([1.0])) == 18
    for landscape in (train, other):
        assert float(landscape.on(x, y, loss="mae")([1.0])) == 2
        assert float(landscape.on(x, y, loss=None)([1.0])) == 2


def test_a_compute_loss_without_an_argument_for_training():
    class Other(Own):
        def compute_loss(self, x, y, y_pred, sample_weight=None):
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight)

    model = Other()
    model.compile("sgd", SPARSE)
    np.testing.assert_allclose(at(landscape_of(model)).loss, 2 * SPARSE(Y, model(X)), rtol=1e-5)


def test_calls_of_several_arguments():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.end = layers.Dense(3)

        def call(self, a, b, training=None):
            return self.end(tf.concat([a, b], axis=-1))

    model = Pair()
    model(X[:1, :1], X[:1, 1:])
    expected = SPARSE(Y, model(X[:, :1], X[:, 1:]))
    for x in ((X[:, :1], X[:, 1:]), {"a": X[:, :1], "b": X[:, 1:]}):
        found = landscape_of(model, x, loss=SPARSE)
        np.testing.assert_allclose(at(found).loss, expected, rtol=1e-5)


def test_what_a_layer_adds_is_not_a_regulariser():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(tf.reduce_mean(x**2))
            return x

    ends = [layers.Dense(3, kernel_regularizer="l2"), Adds()]
    model = keras.Sequential([keras.Input((4,)), *ends])
    model.compile("sgd", SPARSE)
    z = model(X)
    with_added = SPARSE(Y, z) + tf.reduce_mean(z**2)
    np.testing.assert_allclose(at(landscape_of(model)).loss, with_added, rtol=1e-5)
    whole = at(landscape_of(model, regularize=True)).loss
    np.testing.assert_allclose(whole, with_added + 0.01 * tf.reduce_sum(ends[0].kernel ** 2), rtol=1e-5)


def test_a_variational_autoencoder():
    """Noise, a term that a layer adds, targets that are the inputs; `sample` draws noise of its own."""

    class Latent(layers.Layer):
        def __init__(self):
            super().__init__()
            self.noise = keras.random.SeedGenerator(0)

        def call(self, inputs, training=None):
            mean, log = inputs
            self.add_loss(-0.5 * tf.reduce_mean(1 + log - mean**2 - tf.exp(log)))
            return mean + tf.exp(0.5 * log) * keras.random.normal(
                tf.shape(mean), seed=self.noise
            ) * bool(training)

    i = keras.Input((4,))
    h = layers.Dense(3, "tanh")(i)
    model = keras.Model(i, layers.Dense(4)(Latent()([layers.Dense(2)(h), layers.Dense(2)(h)])))
    model.compile("sgd", "mse")
    found = landscape_of(model, X, X)
    theta = found.space.read()
    expected = model.evaluate(X, X, batch_size=N, verbose=0)
    np.testing.assert_allclose(found(theta), expected, rtol=1e-5)
    one, two = found.sample(theta, 0), found.sample(theta, 0)
    assert float(one) == float(two) != float(found.sample(theta, 1))


# ---- minibatches ------------------------------------------------------------------------------------


def test_training_flat_is_fit_with_masks_weights_and_two_outputs():
    """Gradient descent on `sample` with all examples in a batch is plain `fit`."""
    tokens = RNG.integers(0, 5, (N, 6))
    i = keras.Input((6,))
    h = layers.Embedding(5, 2, mask_zero=True)(i)
    model = keras.Model(i, [layers.Dense(3)(h), layers.Dense(2)(layers.LSTM(3)(h))])
    model.compile(keras.optimizers.SGD(0.1), [SPARSE, "mse"], loss_weights=[1.0, 0.5])
    y, w = [RNG.integers(0, 3, (N, 6)), RNG.normal(size=(N, 2))], [RNG.random((N, 6)), RNG.random(N)]
    found = wedges.NetworkLandscape(model, tokens, y, seed=0, sample_weight=w, batch_size=N)
    end = wedges.minimize(found, found.space.read(), keras.optimizers.SGD(0.1), steps=4)
    model.fit(tokens, y, sample_weight=w, batch_size=N, epochs=4, verbose=0, shuffle=False)
    np.testing.assert_allclose(end.theta, found.space.read(), rtol=1e-4, atol=1e-6)


# ---- accuracy ---------------------------------------------------------------------------------------


def test_accuracy_counts_what_the_loss_counts():
    tokens = RNG.integers(0, 5, (N, 6))
    y, w = RNG.integers(0, 5, (N, 6)), RNG.random((N, 6))
    y[RNG.random((N, 6)) > 0.7] = -1
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Embedding(5, 8, mask_zero=True), layers.Dense(5)]
    )
    model.compile("sgd", loss, weighted_metrics=["sparse_categorical_accuracy"])
    weighed = at(landscape_of(model, tokens, y, sample_weight=w))
    right = model.predict(tokens, verbose=0).argmax(-1) == y
    counted = w * (tokens > 0) * (y >= 0)
    np.testing.assert_allclose(weighed.accuracy, (right * counted).sum() / counted.sum(), rtol=1e-5)
    kept = (tokens > 0) & (y >= 0)
    np.testing.assert_allclose(
        at(landscape_of(model, tokens, y)).accuracy, right[kept].mean(), rtol=1e-5
    )
    # Keras' own weighted metric, where nothing is ignored.
    y = np.abs(y)
    known = model.evaluate(tokens, y, sample_weight=w, batch_size=N, verbose=0)[1]
    np.testing.assert_allclose(
        at(landscape_of(model, tokens, y, sample_weight=w)).accuracy, known, rtol=1e-5
    )


def test_of_several_outputs_each_has_an_accuracy():
    i = keras.Input((4,))
    outputs = {"c": layers.Dense(3)(i), "d": layers.Dense(2)(i), "p": layers.Dense(1, "sigmoid")(i)}
    model = keras.Model(i, outputs)
    model.compile("sgd", {"c": SPARSE, "d": "mse", "p": "binary_crossentropy"})
    y = {"c": Y, "d": X[:, :2], "p": Y == 1}
    landscape = landscape_of(model, X, y)
    found = at(landscape)
    z = {k: v.numpy() for k, v in model(X).items()}
    assert found.accuracy["d"] is None
    np.testing.assert_allclose(found.accuracy["c"], (z["c"].argmax(-1) == Y).mean(), rtol=1e-6)
    np.testing.assert_allclose(found.accuracy["p"], ((z["p"][:, 0] > 0.5) == (Y == 1)).mean(), rtol=1e-6)
    assert {k: v.shape for k, v in found.outputs.items()} == {"c": (N, 3), "d": (N, 2), "p": (N, 1)}
    p = landscape.probabilities(found.outputs)
    np.testing.assert_allclose(p["c"].numpy().sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(p["d"], found.outputs["d"])
    assert landscape.labels(found.outputs)["c"].shape == (N,)


# ---- what outputs are -------------------------------------------------------------------------------


class Focal(losses.SparseCategoricalCrossentropy):
    """Of another name, and still that class."""


@pytest.mark.parametrize(
    ("loss", "kind", "from_logits"),
    [
        (losses.SparseCategoricalCrossentropy(from_logits=True, name="binary"), "sparse", True),
        (losses.BinaryCrossentropy(from_logits=True, name="mine"), "binary", True),
        (losses.BinaryCrossentropy(), "binary", False),
        (losses.CategoricalFocalCrossentropy(from_logits=True), "one-hot", True),
        (Focal(from_logits=True, name="x"), "sparse", True),
        (losses.sparse_categorical_crossentropy, "sparse", False),
        (functools.partial(losses.sparse_categorical_crossentropy, from_logits=True), "sparse", True),
        (losses.get("binary_crossentropy"), "binary", False),
        (losses.MeanSquaredError(name="categorical_crossentropy"), None, False),
        (losses.Huber(name="binary_crossentropy"), None, False),
        (None, None, False),
    ],
)
def test_what_an_output_is_follows_from_the_class_and_settings_of_its_loss(loss, kind, from_logits):
    assert meaning_of(loss) == (kind, from_logits)


def test_names_change_no_number():
    def crossentropy_of_mine(y, z):
        return tf.reduce_mean((z - y) ** 2, axis=-1)

    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    for loss in (crossentropy_of_mine, losses.MeanSquaredError(name="sparse_categorical_crossentropy")):
        found = wedges.NetworkLandscape(model, X, X[:, :2], loss, seed=0)
        assert at(found).accuracy is None
        np.testing.assert_array_equal(found.probabilities(at(found).outputs), at(found).outputs)


@pytest.mark.parametrize("structure", [lambda a, b: [a, b], lambda a, b: {"c": a, "d": b}])
def test_probabilities_of_a_compiled_model(structure):
    i = keras.Input((4,))
    model = keras.Model(i, structure(layers.Dense(3, name="c")(i), layers.Dense(1, name="d")(i)))
    model.compile("sgd", structure(SPARSE, losses.BinaryCrossentropy(from_logits=True)))
    z = model(X)
    c, d = tf.nest.flatten(output_probabilities(model, z))
    np.testing.assert_allclose(c, tf.nn.softmax(tf.nest.flatten(z)[0]), rtol=1e-6)
    np.testing.assert_allclose(d, tf.sigmoid(tf.nest.flatten(z)[1]), rtol=1e-6)


# ---- inside a hyperplane ----------------------------------------------------------------------------


def inside(model, loss, **how):
    model.compile("sgd", loss, **how)
    cut = wedges.Hyperplane(model, wedges.random_cut(wedges.WeightSpace(model).read(), 3, seed=0))
    cut.compile("sgd", loss, **how)
    return cut


def test_a_hyperplane_has_the_loss_of_its_model():
    tokens, y = RNG.integers(0, 5, (N, 6)), RNG.integers(0, 3, (N, 6))
    masked = keras.Sequential(
        [keras.Input((6,)), layers.Embedding(5, 2, mask_zero=True), layers.Dense(3)]
    )
    i = keras.Input((4,))
    two = keras.Model(i, [layers.Dense(3, name="c")(i), layers.Dense(2, name="d")(i)])

    class Adds(Own):
        def call(self, x):
            self.add_loss(0.1 * tf.reduce_mean(x**2))
            return self.end(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean((y - y_pred) ** 4) + super().compute_loss(x, y, y_pred, sample_weight)

    for model, loss, data in (
        (masked, SPARSE, (tokens, y)),
        (two, {"c": SPARSE, "d": "mse"}, (X, [Y, X[:, :2]])),
        (Adds(2), "mse", (X, X[:, :2])),
    ):
        cut = inside(model, loss)
        known = model.evaluate(*data, batch_size=N, verbose=0)
        np.testing.assert_allclose(cut.evaluate(*data, batch_size=N, verbose=0), known, rtol=1e-5)
        cut.fit(*data, epochs=2, verbose=0)
        assert np.all(cut.evaluate(*data, batch_size=N, verbose=0) != known)
        np.testing.assert_allclose(model.evaluate(*data, batch_size=N, verbose=0), known, rtol=1e-6)
