import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from reproductions.bench.errors import UsageError
from reproductions.common import data, models

SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def test_digits_are_standardised_and_always_the_same():
    a, b = data.load("digits"), data.load("digits")
    assert a.x_train.shape == (1437, 8, 8, 1) and a.x_test.shape == (360, 8, 8, 1)
    assert a.classes == 10 and a.shape == (8, 8, 1) and a.x_train.dtype == np.float32
    assert abs(a.x_train.mean()) < 1e-5 and a.x_train.std() == pytest.approx(1, abs=1e-5)
    assert a.fingerprint == b.fingerprint
    np.testing.assert_array_equal(a.y_train, b.y_train)
    assert not {x.tobytes() for x in a.x_train} & {x.tobytes() for x in a.x_test[:50]}


def prepared(folder, count=30, seed=0):
    """A tiny `mnist` as tensorflow-datasets prepares it."""
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    labels = np.arange(count) % 10
    examples = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist", version="3.0.1", features=features, data_dir=folder,
        split_datasets={"train": examples.take(count), "test": examples.take(10)},
    )  # fmt: skip
    return images


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WEDGES_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_prepared_set_is_decoded_once_and_kept(tmp_path, cache, monkeypatch, capfd):
    images = prepared(tmp_path / "tfds")
    first = data.load("mnist", str(tmp_path / "tfds"))
    assert "decoding mnist" in capfd.readouterr().err
    # tensorflow-datasets stores the examples in an order of its own; the set of them is ours.
    scaled = (images.astype(np.float32) - images.mean()) / images.std()
    order = [np.argsort(a.sum(axis=(1, 2, 3))) for a in (first.x_train, scaled)]
    np.testing.assert_allclose(first.x_train[order[0]], scaled[order[1]], rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(data, "_decode", lambda folder: pytest.fail("decoded twice"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    second = data.load("mnist")  # found through the environment
    np.testing.assert_array_equal(first.x_train, second.x_train)
    assert first.fingerprint == second.fingerprint


def test_another_copy_of_a_data_set_is_never_taken_for_this_one(tmp_path, cache):
    prepared(tmp_path / "one")
    prepared(tmp_path / "two", count=31, seed=1)
    a, b = data.load("mnist", str(tmp_path / "one")), data.load("mnist", str(tmp_path / "two"))
    assert a.fingerprint != b.fingerprint and len(b.x_train) == 31


def test_a_damaged_decoded_copy_is_made_again(tmp_path, cache, capfd):
    prepared(tmp_path / "tfds")
    first = data.load("mnist", str(tmp_path / "tfds"))
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    again = data.load("mnist", str(tmp_path / "tfds"))
    assert "is damaged" in capfd.readouterr().err
    np.testing.assert_array_equal(first.x_train, again.x_train)


def test_a_damaged_prepared_copy_is_named(tmp_path, cache):
    prepared(tmp_path / "tfds")
    (record,) = (tmp_path / "tfds").glob("mnist/3.0.1/*train*.tfrecord*")
    record.write_bytes(record.read_bytes()[:500])
    with pytest.raises(UsageError, match="--dataset=mnist: the prepared copy in .* cannot be read"):
        data.load("mnist", str(tmp_path / "tfds"))
    (tmp_path / "tfds/mnist/3.0.1").rename(tmp_path / "tfds/mnist/3.0.1.incomplete_AB")
    assert data._prepared("mnist", str(tmp_path / "tfds")) is None


def test_an_unwritable_cache_costs_time_only(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WEDGES_CACHE_DIR", str(tmp_path / "file"))
    prepared(tmp_path / "tfds")
    assert len(data.load("mnist", str(tmp_path / "tfds")).x_train) == 30
    assert "no decoded copy kept" in capfd.readouterr().err


def test_an_unknown_data_set_is_named():
    with pytest.raises(UsageError, match="--dataset=imagenet: unknown data set; choose one of digits, "):
        data.load("imagenet")


def test_without_a_network_one_clear_line_in_ten_seconds(tmp_path):
    """Through a proxy that refuses, as on a machine with no way out."""
    dead = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--dataset=mnist",
               f"--data_dir={tmp_path}", f"--out_dir={tmp_path / 'runs'}"]  # fmt: skip
    started = time.monotonic()
    run = subprocess.run(command, env={**os.environ, **dead}, capture_output=True, text=True)
    assert time.monotonic() - started < 10
    assert run.returncode == 2
    lines = [line for line in run.stderr.splitlines() if line]
    assert len(lines) == 1 and "--dataset=digits" in lines[0] and "--data_dir" in lines[0]
    assert not (tmp_path / "runs").exists()


# ---- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape", "parameters"),
    [
        (models.Model(), (32, 32, 3), 19_466),  # the paper's
        (models.Model("fc"), (28, 28, 1), 199_210),  # Li et al. 2018
        (models.Model(width=0.5), (8, 8, 1), (9 * 8 + 8) + (72 * 16 + 16) + (144 * 16 + 16) + 170),
        (models.Model(depth=4), (32, 32, 3), 19_466 - 5130 + 9248 + 2 * 2 * 32 * 10 + 10),
    ],
)
def test_parameters_are_counted_by_hand(model, shape, parameters):
    assert models.build(model, shape, 10, seed=0).count_params() == parameters


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_takes_every_image_size(name, shape):
    if name == "lenet" and shape == SHAPES["digits"]:
        with pytest.raises(
            UsageError, match="--model=lenet: needs images that 2 convolutions of 5x5 fit"
        ):
            models.build(models.Model(name), shape, 10, seed=0)
        return
    recipe = models.Model(
        name, width=0.25, depth=5 if name == "simple_cnn" else None, dropout=0.1, l2=1e-4
    )
    model = models.build(recipe, shape, 10, seed=0)
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 10)
    assert model.losses  # L2 is there


def test_pooling_first_is_the_papers_network():
    """conv, tanh, pool in the paper's order, on the same weights, gives the same logits exactly."""
    import keras
    from keras import layers

    ours = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    stack = []
    for channels in (16, 32, 32):
        stack += [
            layers.Conv2D(channels, 3, padding="same"),
            layers.Activation("tanh"),
            layers.MaxPooling2D(),
        ]
    paper = keras.Sequential([keras.Input((32, 32, 3)), *stack, layers.Flatten(), layers.Dense(10)])
    paper.set_weights(ours.get_weights())
    x = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(x), paper(x), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_weights():
    build = lambda seed: models.build(models.Model(), (8, 8, 1), 10, seed=seed).get_weights()
    for a, b in zip(build(1), build(1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(build(1)[0], build(2)[0])
    assert not np.array_equal(build(1)[2].ravel()[:100], build(1)[4].ravel()[:100])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "vgg"}, "--model=vgg: must be one of simple_cnn"),
        ({"width": -1.0}, "--width=-1.0: must be above 0"),
        ({"depth": 0}, "--depth=0: must be at least 1"),
        ({"activation": "gelu"}, "--activation=gelu"),
        ({"dropout": 1.0}, "--dropout=1.0: must be at least 0 and below 1"),
        ({"l2": -0.1}, "--l2=-0.1"),
    ],
)
def test_bad_recipes_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        models.Model(**settings)


@pytest.mark.cifar10
def test_cifar10_is_what_it_should_be():
    cifar = data.load("cifar10")
    assert cifar.x_train.shape == (50_000, 32, 32, 3) and cifar.x_test.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(cifar.y_train), 5000)
    np.testing.assert_array_equal(np.bincount(cifar.y_test), 1000)
    np.testing.assert_allclose(cifar.x_train.mean((0, 1, 2), dtype=float), 0, atol=1e-3)
    np.testing.assert_allclose(cifar.x_train.std((0, 1, 2), dtype=float), 1, atol=1e-3)
