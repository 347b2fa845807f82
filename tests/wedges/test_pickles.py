"""Landscapes as pickles: the same function of theta afterwards, here and in another process."""

import os
import pickle
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import wedges
from tests.conftest import MODELS, SPARSE
from tests.wedges import zoo
from wedges.network.files import MappedFile

# What has something to lose on the way: masks, weights, several outputs, the user's own code, a state.
NAMES = [
    "a_frozen_layer",
    "a_function_of_each_example",
    "a_loss_by_names_of_outputs",
    "a_loss_class_named_as_another",
    "a_loss_that_a_layer_adds",
    "a_mask_that_a_layer_computes",
    "a_masked_subclass",
    "a_recurrent_cell",
    "a_regulariser_of_activity",
    "a_shared_layer",
    "a_void_label_and_weights",
    "an_overridden_compute_loss",
    "batch_norm",
    "class_weights",
    "dropout",
    "inputs_in_a_dict",
    "loss_crossentropy_by_shape",
    "masked_weighted_mean",
    "nothing_but_a_loss_that_a_layer_adds",
    "outputs_in_a_list_weighted",
    "regularisers",
    "weights_of_positions",
]


def again(thing):
    return pickle.loads(pickle.dumps(thing))


def numbers(landscape, theta):
    """Value, gradient, a minibatch's loss, accuracy and outputs."""
    evaluation = landscape.evaluate(theta)
    found = landscape.value_and_gradient(theta), landscape.sample(theta, 3), evaluation.outputs
    flat = [np.asarray(v) for v in tf.nest.flatten(found)]
    return [*flat, str(tf.nest.map_structure(lambda a: a and float(a), evaluation.accuracy))]


def assert_same(landscape, other, theta):
    for a, b in zip(numbers(landscape, theta), numbers(other, theta), strict=True):
        assert a == b if isinstance(a, str) else np.array_equal(a, b, equal_nan=True)


def in_zoo(name):
    case = zoo.CASES[name]()
    how = {"sample_weight": case.w, "regularize": True, "seed": 0, "evaluation_batch_size": 5}
    return wedges.NetworkLandscape(case.model, case.x, case.y, **{**how, **case.settings})


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_the_same_after_it(name, doubles):
    landscape = in_zoo(name)
    theta = landscape.space.read() + 0.1
    other = again(landscape)
    assert_same(landscape, other, theta)
    assert other.network.model is not landscape.network.model
    assert repr(other) == repr(landscape)


@pytest.mark.parametrize("make", [m for m in MODELS if m.__name__ in ("batch_norm", "half_precision")])
def test_with_statistics_that_are_re_estimated(make, images):
    x, y = images
    how = {"batch_norm": "reestimate", "evaluation_batch_size": 20, "seed": 0}
    landscape = wedges.NetworkLandscape(make(), x, y, SPARSE, **how)
    theta = landscape.space.read() + 0.1
    other = again(landscape)
    assert_same(landscape, other, theta)
    assert other.problem.statistics is other.examples
    test = landscape.on(x[:20], y[:20])
    other = again(test)
    assert other.problem.statistics is not other.examples
    assert_same(test, other, theta)
    assert_same(test, again(landscape).on(x[:20], y[:20]), theta)


def test_what_was_captured_counts_and_not_what_the_model_has_become(images):
    x, y = images
    model = MODELS[1]()
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0)
    theta = landscape.space.read()
    model.layers[1].moving_mean.assign(model.layers[1].moving_mean + 5)
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    other = again(landscape)
    assert_same(landscape, other, theta)
    assert other.dimension == landscape.dimension


def test_weights_of_classes_are_taken_along_and_remembered(images):
    x, y = images
    landscape = wedges.NetworkLandscape(MODELS[0](), x, y, SPARSE, seed=0, class_weight={1: 3.0})
    theta = landscape.space.read()
    other = again(landscape)
    assert_same(landscape, other, theta)
    assert_same(landscape.on(x[:9], y[:9]), other.on(x[:9], y[:9]), theta)


# ---- in another process -----------------------------------------------------------------------------

READ = """
import pickle, sys
import numpy as np
import wedges
landscape, theta = pickle.load(open(sys.argv[1], "rb"))
loss, gradient = landscape.value_and_gradient(theta)
np.savez(sys.argv[2], loss=loss, gradient=gradient, sample=landscape.sample(theta, 3))
"""


class Doubled(L.Layer):
    """Registered nowhere; its constructor does not take what Keras gives it."""

    def __init__(self):
        super().__init__()
        self.inner = L.Dense(4, activation="tanh")

    def call(self, x):
        return 2 * self.inner(x)


def own_model():
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), Doubled(), L.Dense(3)])
    model.compile("adam", lambda y, z: SPARSE(y, z) ** 2)
    return model


@pytest.mark.parametrize("make", [MODELS[1], own_model], ids=["batch_norm", "own"])
def test_a_new_process_reads_the_same(make, images, tmp_path):
    x, y = images
    model = make()
    if make is not own_model:
        model.compile("adam", SPARSE)
    landscape = wedges.NetworkLandscape(model, x, y, seed=0)
    theta = landscape.space.read() + 0.1
    (tmp_path / "pickle").write_bytes(pickle.dumps((landscape, theta)))
    places = [str(tmp_path / "pickle"), str(tmp_path / "found.npz")]
    subprocess.run([sys.executable, "-c", READ, *places], check=True, capture_output=True)
    found = np.load(tmp_path / "found.npz")
    loss, gradient = landscape.value_and_gradient(theta)
    np.testing.assert_array_equal(found["loss"], loss)
    np.testing.assert_allclose(found["gradient"], gradient, rtol=1e-5, atol=1e-7)  # by its threads
    np.testing.assert_array_equal(found["sample"], landscape.sample(theta, 3))


# ---- data -------------------------------------------------------------------------------------------


def dense(features=64):
    return keras.Sequential([keras.Input((features,)), L.Dense(3)])


def on(x, y=None, model=None, **how):
    return wedges.NetworkLandscape(model or dense(), x, y, SPARSE, seed=0, **how)


@pytest.fixture
def mapped(tmp_path):
    x = np.random.default_rng(0).normal(size=(20_000, 64)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    return np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(20_000) % 3


def test_a_memory_map_goes_by_reference(mapped):
    x, y = mapped
    landscape = on(x, y.astype("int8"))
    saved = pickle.dumps(landscape)
    assert len(saved) < 100_000 < x.nbytes
    other = pickle.loads(saved)
    theta = landscape.space.read()
    assert_same(landscape, other, theta)
    assert isinstance(other.examples.source[0], np.memmap)
    assert len(pickle.dumps(other)) < 100_000


@pytest.mark.parametrize(
    "part",
    [slice(None), slice(7, 900), slice(900, 7, -2), (slice(5, 50), slice(3, 20, 4)), 3],
    ids=str,
)
def test_so_does_a_part_of_one(mapped, part):
    view = mapped[0][part]
    place = pickle.loads(pickle.dumps(MappedFile.of(view)))
    np.testing.assert_array_equal(place.open(), view)
    assert not place.open().flags.writeable
    again = MappedFile.of(place.open())
    np.testing.assert_array_equal(again.open(), view)


def test_a_map_in_fortran_order_and_with_a_header(tmp_path):
    numbers = np.arange(24.0).reshape(4, 6)
    for order in "CF":
        held = np.memmap(tmp_path / order, "float64", "w+", offset=16, shape=(4, 6), order=order)
        held[:] = numbers
        np.testing.assert_array_equal(MappedFile.of(held).open(), numbers)  # flushed


def test_maps_that_no_other_process_sees_are_refused(mapped):
    x, y = mapped
    private = np.load(x.filename, mmap_mode="c")
    with pytest.raises(ValueError, match=r"memmap must be one of a named file.*mode 'c'"):
        pickle.dumps(on(private, y))
    place = MappedFile.of(x)
    os.truncate(x.filename, 1000)
    with pytest.raises(ValueError, match="must be the file of"):
        place.open()


class Squares:
    """A source of single examples."""

    def __len__(self):
        return 11

    def __getitem__(self, i):
        return np.full(64, i / 7, "float32"), i % 3


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return np.full((4 - i, 64), i / 7, "float32"), np.full(4 - i, i % 3)


@pytest.mark.parametrize("source", [Squares, Batches])
def test_sources_pickle_as_they_do_themselves(source):
    landscape = on(source())
    assert_same(landscape, again(landscape), landscape.space.read())


def test_a_pipeline_is_refused():
    data = tf.data.Dataset.from_tensor_slices((np.ones((4, 64), "float32"), np.zeros(4, "int64")))
    with pytest.raises(ValueError, match=r"examples must be arrays, or a source .*received .*Dataset"):
        pickle.dumps(on(data.batch(2)))


def test_a_source_that_does_not_pickle_is_refused_in_one_line():
    source = Squares()
    source.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"^landscape must be one that pickles .*lock.*$"):
        pickle.dumps(on(source))


# ---- models that Keras does not bring back ----------------------------------------------------------


class Unsaid(keras.Model):
    """What it does hangs on a number that Keras does not know of."""

    def __init__(self):
        super().__init__()
        self.end, self.factor = L.Dense(3), 1.0

    def call(self, x):
        return self.factor * self.end(x)


class Unsaved(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.many = [object()]

    def call(self, x):
        return self.layer(x)


def test_a_model_that_comes_back_as_another_is_refused():
    model = Unsaid()
    x = np.random.default_rng(0).normal(size=(5, 64)).astype("float32")
    model(x)
    assert again(on(x, np.arange(5) % 3, model)).dimension == 195
    model.factor = 3.0
    saved = pickle.dumps(on(x, np.arange(5) % 3, model))
    with pytest.raises(ValueError, match=r"model 'unsaid\w*' must be the same when Keras loads"):
        pickle.loads(saved)


def test_a_model_that_keras_cannot_load_is_refused_in_one_line():
    factor = 2.0
    end = L.Lambda(lambda z: tf.tanh(z) * factor)
    x = np.ones((5, 64), "float32")
    model = keras.Sequential([keras.Input((64,)), L.Dense(3), end])
    saved = pickle.dumps(on(x, np.arange(5) % 3, model))
    with pytest.raises(ValueError, match=r"^.*one that Keras can save and load.*Lambda\.$"):
        pickle.loads(saved)


def test_another_precision_than_it_was_made_in_is_refused(images):
    x, y = images
    saved = pickle.dumps(wedges.NetworkLandscape(MODELS[0](), x, y, SPARSE, seed=0))
    keras.config.set_floatx("float64")
    try:
        with pytest.raises(ValueError, match="keras.config must have floatx 'float32'"):
            pickle.loads(saved)
    finally:
        keras.config.set_floatx("float32")


# ---- all else ---------------------------------------------------------------------------------------


def landscapes(x, y):
    network = wedges.NetworkLandscape(MODELS[0](), x, y, SPARSE, seed=0)
    theta = network.space.read()
    bowl = wedges.Quadratic(np.diag([1.0, 2.0, 3.0]), [1.0, 0.0, 2.0])
    cuts = [
        wedges.random_cut(theta, 3, seed=0, method="dense"),
        wedges.random_cut(theta, 3, seed=0, method="transform"),
        wedges.normal_plane(theta, np.eye(2, network.dimension)),
    ]
    yield from (wedges.restrict(network, cut) for cut in cuts)
    yield from (bowl, wedges.Squared(bowl), wedges.Squared(network))
    yield wedges.connect.Expected(bowl, np.eye(2, 3), np.full((4, 3), 1 / 3))
    yield from (wedges.AxisWedges(6, 2), wedges.RotatedWedges(6, 2, seed=0))
    yield wedges.RandomWedges(6, 2, 4, seed=0)


def test_landscapes_made_of_others_and_formulas(images):
    for landscape in landscapes(*images):
        other = again(landscape)
        points = np.random.default_rng(0).normal(size=(2, landscape.dimension)).astype("float32")
        np.testing.assert_array_equal(landscape(points), other(points))
        for a, b in zip(landscape.jet(*points), other.jet(*points), strict=True):
            np.testing.assert_array_equal(a, b)
        assert repr(other) == repr(landscape)


def test_a_surface():
    surface = wedges.Connector(np.eye(3, 5), wedges.simplex.Grid(2, 2))
    w = wedges.simplex.dirichlet(2, 4, seed=0)
    np.testing.assert_array_equal(again(surface)(w), surface(w))


def test_a_distributed_one_stays_where_its_devices_are(images):
    x, y = images
    network = wedges.NetworkLandscape(MODELS[0](), x, y, SPARSE, seed=0)
    shared = wedges.Distributed(network, tf.distribute.MirroredStrategy(["CPU:0"]))
    with pytest.raises(ValueError, match="a Distributed landscape must stay in its process"):
        pickle.dumps(shared)


def test_nothing_is_said_twice(images):
    """Warnings belong to where a landscape is made."""

    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    x, y = images
    with pytest.warns(UserWarning, match="overrides train_step"):
        model = Own([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
        model.compile("sgd", SPARSE)
        landscape = wedges.NetworkLandscape(model, x, y, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again(landscape)
