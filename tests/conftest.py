"""Small models of every kind, and quiet, deterministic TensorFlow."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes share the cores
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // 2)))

import hypothesis

import wedges  # noqa: F401  (before TensorFlow, for its runtime defaults)

import keras  # isort: skip
import numpy as np
import pytest
from keras import layers

# The same examples in every run: what fails here fails everywhere.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("fixed")

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pytest_collection_modifyitems(items):
    """Tests on CIFAR-10 are skipped, by name, where it is not prepared."""
    folder = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if any(folder.glob("cifar10/*/dataset_info.json")):
        return
    for item in items:
        if item.get_closest_marker("cifar10"):
            reason = f"no cifar10 prepared in {folder}; set TFDS_DATA_DIR"
            item.add_marker(pytest.mark.skip(reason=reason))


_THREADS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_BEFORE = {name: os.environ.get(name) for name in _THREADS}


def pytest_runtest_setup(item):
    """Undo what Dask sets here for its workers, and what is in the key of figures' numbers."""
    for name, value in _BEFORE.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def _same_every_time():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def images():
    """x [53, 8, 8, 1] float32, y [53] of 3 classes: a size no batch divides."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(53, 8, 8, 1)).astype(np.float32), rng.integers(0, 3, 53)


def plain():
    return _model(layers.Flatten(), layers.Dense(6, activation="tanh"), layers.Dense(3))


def batch_norm():
    return _model(
        layers.Conv2D(3, 3),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("relu"),
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("tanh"),
        layers.Flatten(),
        layers.Dense(3),
    )


def dropout():
    return _model(layers.Flatten(), layers.Dense(6), layers.Dropout(0.5), layers.Dense(3))


def frozen():
    model = plain()
    model.layers[2].trainable = False
    return model


def shared():
    image = keras.Input((8, 8, 1))
    conv = layers.Conv2D(1, 3, padding="same", activation="tanh")
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(conv(conv(image)))))


def nested():
    return _model(
        keras.Sequential([layers.Flatten(), layers.Dense(5, activation="relu")]), layers.Dense(3)
    )


def half_precision():
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    return _model(layers.Flatten(), layers.Dense(6, dtype=policy), layers.Dense(3, dtype=policy))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.first, self.second = layers.Flatten(), layers.Dense(4), layers.Dense(3)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return self.second(keras.ops.tanh(self.first(self.flat(x)))) * self.scale


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 8, 8, 1), np.float32))
    return model


MODELS = [plain, batch_norm, dropout, frozen, shared, nested, half_precision, subclassed]


def _model(*stack):
    return keras.Sequential([keras.Input((8, 8, 1)), *stack])
