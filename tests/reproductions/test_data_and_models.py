import dataclasses
import json
import pathlib
import random
import shutil
import socket
import sys
import threading
import urllib.error
from importlib import metadata

import numpy as np
import pytest
import tensorflow as tf

from reproductions import fig6_swa
from reproductions.bench import cache, options, runs, store, workplace
from reproductions.bench.errors import UsageError
from reproductions.common import data, mnist1d, models, networks

SHAPES = {"digits": (8, 8, 1), "mnist1d": (40, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


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
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("WEDGES_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


# ---- MNIST-1D, made here ----------------------------------------------------------------------------


def random_states():
    """Of NumPy's and Python's generators that the whole process shares."""
    _, numbers, *place = np.random.get_state()  # noqa: NPY002
    return numbers.tolist(), place, random.getstate()


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    """MNIST-1D as it is first asked for: in an empty cache folder, and without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEDGES_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it asks the network"))
        before = random_states()
        found = data.load("mnist1d")
        assert random_states() == before
        patch.setattr(mnist1d, "generate", lambda: pytest.fail("generated twice"))
        again = data.load("mnist1d")
    assert again.fingerprint == found.fingerprint
    np.testing.assert_array_equal(again.x_test, found.x_test)
    return found


def test_signals_are_standardised_and_ten_classes_of_five_hundred(signals):
    assert signals.x_train.shape == (4000, 40, 1) and signals.x_test.shape == (1000, 40, 1)
    assert signals.shape == (40, 1) and signals.classes == 10
    assert signals.x_train.dtype == signals.x_test.dtype == np.float32
    assert signals.y_train.dtype == signals.y_test.dtype == np.int64
    assert abs(signals.x_train.mean()) < 1e-6 and signals.x_train.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(np.bincount(np.append(signals.y_train, signals.y_test)), 500)


def test_signals_are_the_same_on_every_machine(signals):
    """Found alike with NumPy 1.26 and SciPy 1.11, with NumPy 2.4 and SciPy 1.17, with and without vector
    instructions, and with both published versions of the package."""
    assert signals.fingerprint == "5244f0a7a241c203b6be07f95b5ae39bc9de5da04871e7d5ba0f1fa9fc9d01f3"


def test_signals_have_the_published_settings():
    from mnist1d import get_dataset_args

    published = get_dataset_args(as_dict=True)
    del published["url"]  # where a copy lies
    assert published == mnist1d.SETTINGS


def test_a_linear_model_is_as_good_on_signals_as_published(signals):
    """32% (Greydanus and Kobak 2020), plus or minus two deviations of a share of 1,000 examples."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(tol=0.01).fit(signals.x_train[..., 0], signals.y_train)
    assert linear.score(signals.x_test[..., 0], signals.y_test) == pytest.approx(0.32, abs=0.03)


def test_the_random_state_is_kept_where_generating_fails(monkeypatch):
    def fail(args):
        np.random.seed(args.seed)  # noqa: NPY002
        random.seed(args.seed)
        raise MemoryError

    monkeypatch.setattr("mnist1d.data.make_dataset", fail)
    before = random_states()
    with pytest.raises(MemoryError):
        mnist1d.generate()
    assert random_states() == before


def other_version(monkeypatch, found):
    """`found()` in place of the version of the package mnist1d."""
    version = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: found() if name == "mnist1d" else version(name)
    )


def test_signals_of_another_version_are_never_taken_for_these(kept, monkeypatch):
    made = {}
    for version in ("0.0.2", "0.0.3"):
        other_version(monkeypatch, lambda version=version: version)
        x = np.full((2, 40, 1), [[[0]], [[float(version[-1])]]], np.float32)
        arrays = {"x_train": x, "y_train": np.arange(2), "x_test": x, "y_test": np.arange(2)}
        monkeypatch.setattr(mnist1d, "generate", lambda arrays=arrays: arrays)
        made[version] = data.load("mnist1d").fingerprint
    assert made["0.0.2"] != made["0.0.3"] and len(list(kept.iterdir())) == 2


def test_without_the_package_one_clear_line_and_nothing_written(tmp_path, kept, monkeypatch, capsys):
    def missing():
        raise metadata.PackageNotFoundError("mnist1d")

    other_version(monkeypatch, missing)
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, ["--dataset=mnist1d", f"--out_dir={tmp_path / 'runs'}"])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("fig6_swa: --dataset=mnist1d: the package mnist1d is not installed; ")
    assert "pip install mnist1d" in printed.err and "--dataset=digits" in printed.err
    assert not (tmp_path / "runs").exists() and not kept.exists()


def test_a_package_that_cannot_be_imported_is_named(kept, monkeypatch):
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(UsageError, match="the package mnist1d cannot be imported .*; install it"):
        data.load("mnist1d")
    assert not list(kept.glob("*"))


def test_a_figure_runs_on_signals(tmp_path, monkeypatch, capsys):
    """From its flags to its picture, in a moment."""
    flags = [
        "--preset=smoke",
        "--dataset=mnist1d",
        "--seeds=1",
        "--cycles=2",
        "--lr=0.03",
        "--width=0.1",
    ]
    folders = [f"--out_dir={tmp_path}", "--pretrain_epochs=1", "--batch_size=128"]
    assert runs.run(fig6_swa, [*flags, *folders]) == 0
    folder = pathlib.Path(capsys.readouterr().out.splitlines()[-1])
    assert folder.name.startswith("smoke-mnist1d-") and (folder / "figure.png").exists()
    assert json.loads((folder / "config.json").read_text())["config"]["dataset"] == "mnist1d"


# ---- those of tensorflow-datasets -------------------------------------------------------------------


def test_a_prepared_set_is_decoded_once_and_kept(tmp_path, kept, monkeypatch, capfd):
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


def test_another_copy_of_a_data_set_is_never_taken_for_this_one(tmp_path, kept):
    prepared(tmp_path / "one")
    prepared(tmp_path / "two", count=31, seed=1)
    a, b = data.load("mnist", str(tmp_path / "one")), data.load("mnist", str(tmp_path / "two"))
    assert a.fingerprint != b.fingerprint and len(b.x_train) == 31


def test_a_damaged_decoded_copy_is_made_again(tmp_path, kept, capfd):
    prepared(tmp_path / "tfds")
    first = data.load("mnist", str(tmp_path / "tfds"))
    (copy,) = kept.iterdir()
    copy.write_bytes(copy.read_bytes()[:1000])
    again = data.load("mnist", str(tmp_path / "tfds"))
    assert "is damaged" in capfd.readouterr().err
    np.testing.assert_array_equal(first.x_train, again.x_train)


def test_a_damaged_prepared_copy_is_named(tmp_path, kept):
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


def test_without_a_network_one_clear_line_and_nothing_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "_reachable", lambda url: False)
    monkeypatch.setattr(data, "_download", lambda *_: pytest.fail("it would retry for minutes"))
    folders = [f"--data_dir={tmp_path}", f"--out_dir={tmp_path / 'runs'}"]
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, ["--dataset=mnist", *folders])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(
        f"fig6_swa: --dataset=mnist: not in {tmp_path}, and its site cannot be"
    )
    assert "--dataset=digits" in printed.err and "--data_dir" in printed.err
    assert not (tmp_path / "runs").exists()


def test_a_site_behind_a_proxy_that_refuses_is_not_reachable(monkeypatch):
    """As on a machine with no way out."""
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
    assert not any(data._reachable(url) for url in set(data._HOSTS.values()))


def test_a_site_that_says_nothing_is_not_waited_for(monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def silence(request, timeout):
        assert request.method == "HEAD" and timeout == data._SECONDS_TO_REACH
        asked.set()
        answer.wait()
        raise OSError

    monkeypatch.setattr(data, "_SECONDS_TO_REACH", 0.1)
    monkeypatch.setattr("urllib.request.urlopen", silence)
    try:
        assert data._reachable("https://somewhere") is False  # and it has come back, unanswered
        assert asked.wait(60) and not answer.is_set()
    finally:
        answer.set()


def test_any_answer_of_the_site_will_do(monkeypatch):
    class Page:
        __enter__ = __exit__ = lambda *_: None

    def not_found(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 404, "not found", {}, None)

    for urlopen in (lambda *_, **how: Page(), not_found):
        monkeypatch.setattr("urllib.request.urlopen", urlopen)
        assert data._reachable("https://somewhere") is True


# ---- data by content --------------------------------------------------------------------------------


def at(data_dir):
    return workplace.at(workplace.Workplace(data_dir / "checkpoints", str(data_dir)))


def key(source):
    """What a number that depends on the data is kept by."""
    problem = networks.Problem(source, models.Model(), 32, initial=0, seed=0)
    return store.digest(cache.key_of(networks.dimension, (problem,), {}))


def test_other_data_under_the_same_name_are_another_key_and_the_same_elsewhere_are_not(tmp_path, kept):
    one, two, copy = (tmp_path / name for name in ("one", "two", "copy"))
    prepared(one)
    prepared(two, seed=1)
    shutil.copytree(one, copy)
    found = {}
    for folder in (one, two, copy):
        with at(folder):
            source = found[folder] = data.source("mnist")
            assert source == data.Source("mnist", data.load("mnist", str(folder)).fingerprint)
            np.testing.assert_array_equal(source.load().y_train, data.load("mnist", str(folder)).y_train)
    assert found[one] == found[copy] != found[two]
    assert key(found[one]) == key(found[copy]) != key(found[two])


def test_a_run_on_other_data_in_the_same_folder_is_another_run(tmp_path, kept):
    """Its results are measured again: what the data are is in their key, where they lie is not."""
    prepared(tmp_path / "data")
    config = fig6_swa.Config(**{**options.preset(fig6_swa.Config, "smoke"), "dataset": "mnist"})
    with at(tmp_path / "data"):
        before = config.inputs()
        shutil.rmtree(tmp_path / "data")
        prepared(tmp_path / "data", seed=1)
        assert config.inputs() != before and set(before) == {"mnist"}


def test_the_content_is_noted_and_not_read_again(tmp_path, kept, monkeypatch):
    prepared(tmp_path / "data")
    with at(tmp_path / "data"):
        source = data.source("mnist")
        monkeypatch.setattr(data, "_read", lambda *_: pytest.fail("read again"))
        assert data.source("mnist") == source


def test_a_note_of_other_files_is_not_used(tmp_path, kept):
    folder = tmp_path / "data"
    prepared(folder)
    with at(folder):
        before = data.source("mnist")
        shutil.rmtree(folder / "mnist")
        prepared(folder, seed=1)
        after = data.source("mnist")
        assert after != before
        assert after.content == data.load("mnist", str(folder)).fingerprint
        with pytest.raises(UsageError, match="--dataset=mnist: its files have changed since this run"):
            before.load()
        assert data.source("mnist") == after


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"content": "0"}', "[" * 100_000],
    ids=["empty", "cut", "a list", "nothing", "no key", "deep"],
)
def test_a_damaged_note_is_made_anew(tmp_path, kept, damage):
    prepared(tmp_path / "data")
    with at(tmp_path / "data"):
        source = data.source("mnist")
        (note,) = kept.glob("*.json")
        whole = note.read_text()
        note.write_text(damage)
        assert data.source("mnist") == source
        assert note.read_text() == whole


def test_a_note_that_is_wrong_is_believed_once_at_most(tmp_path, kept):
    prepared(tmp_path / "data")
    with at(tmp_path / "data"):
        source = data.source("mnist")
        (note,) = kept.glob("*.json")
        note.write_text(json.dumps({**json.loads(note.read_text()), "content": "0" * 64}))
        with pytest.raises(UsageError, match="run the same command again"):
            data.source("mnist").load()
        assert data.source("mnist") == source
        source.load()


def test_without_a_place_for_notes_the_data_are_read_instead(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WEDGES_CACHE_DIR", str(tmp_path / "file"))
    prepared(tmp_path / "data")
    with at(tmp_path / "data"):
        assert data.source("mnist").content == data.load("mnist", str(tmp_path / "data")).fingerprint


# ---- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape", "parameters"),
    [
        (models.Model(), (32, 32, 3), 19_466),  # the paper's
        (models.Model(), (40, 1), (3 * 16 + 16) + (48 * 32 + 32) + (96 * 32 + 32) + (5 * 32 * 10 + 10)),
        (models.Model("fc"), (28, 28, 1), 199_210),  # Li et al. 2018
        (models.Model("fc"), (40, 1), (40 * 200 + 200) + (200 * 200 + 200) + 2010),
        (models.Model("lenet"), (32, 32, 3), 62_006),  # Li et al. 2018
        (
            models.Model("lenet"),
            (40, 1),
            (5 * 6 + 6) + (30 * 16 + 16) + (7 * 16 * 120 + 120) + 10_164 + 850,
        ),
        (models.Model("resnet"), (40, 1), 48 + 6 * 256 + 5_120 + 20_480 + 4 * 240 + 650),
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
            UsageError, match="--model=lenet: needs inputs that 2 convolutions of 5x5 fit"
        ):
            models.build(models.Model(name), shape, 10, seed=0)
        return
    recipe = models.Model(
        name, width=0.25, depth=5 if name == "simple_cnn" else None, dropout=0.1, l2=1e-4
    )
    model = models.build(recipe, shape, 10, seed=0)
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 10)
    assert model.losses  # L2 is there


def test_lenet_says_which_convolutions_do_not_fit_signals():
    with pytest.raises(UsageError, match="--model=lenet: needs inputs that 4 convolutions of 5 fit"):
        models.build(models.Model("lenet", depth=4), (40, 1), 10, seed=0)


@pytest.mark.parametrize("shape", [(32, 32, 3), (40, 1)], ids=["images", "signals"])
def test_pooling_first_is_the_papers_network(shape):
    """conv, tanh, pool in the paper's order, on the same weights, gives the same logits exactly."""
    import keras
    from keras import layers

    images = len(shape) == 3
    convolution, pooling = (
        (layers.Conv2D, layers.MaxPooling2D) if images else (layers.Conv1D, layers.MaxPooling1D)
    )
    ours = models.build(models.Model(), shape, 10, seed=0)
    stack = []
    for channels in (16, 32, 32):
        stack += [
            convolution(channels, 3, padding="same"),
            layers.Activation("tanh"),
            pooling(),
        ]
    paper = keras.Sequential([keras.Input(shape), *stack, layers.Flatten(), layers.Dense(10)])
    paper.set_weights(ours.get_weights())
    x = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
    np.testing.assert_allclose(ours(x), paper(x), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_weights():
    build = lambda seed: models.build(models.Model(), (8, 8, 1), 10, seed=seed).get_weights()
    for a, b in zip(build(1), build(1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(build(1)[0], build(2)[0])
    assert not np.array_equal(build(1)[2].ravel()[:100], build(1)[4].ravel()[:100])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"model": "vgg"}, "--model=vgg: choose from simple_cnn"),
        ({"width": "-1"}, "--width=-1: must be above 0"),
        ({"depth": "0"}, "--depth=0: must be at least 1"),
        ({"activation": "gelu"}, "--activation=gelu: choose from tanh, relu"),
        ({"batch_size": "0"}, "--batch_size=0: must be at least 1"),
    ],
)
def test_a_network_that_cannot_be_is_named_by_its_flag(flags, words):
    with pytest.raises(UsageError, match=words):
        options.make(networks.NetworkConfig, "smoke", flags)


# ---- networks as landscapes -------------------------------------------------------------------------


@pytest.fixture
def problem(tmp_path):
    with at(tmp_path):
        network = models.Model("fc", width=0.05, dropout=0.5, l2=1e-2)
        yield networks.Problem(data.source("digits"), network, 32, initial=0, seed=0, examples=320)


def test_what_is_reported_is_keras_own_loss_without_penalty_and_dropout(problem):
    digits, start = data.load("digits"), networks.start(problem)
    model = models.build(problem.model, digits.shape, 10, seed=0)
    np.testing.assert_array_equal(start, np.concatenate([w.ravel() for w in model.get_weights()]))
    loss = lambda x, y: float(models.loss()(y, model(x, training=False)))
    for landscape, x, y in (
        (networks.seen(problem), digits.x_train[:320], digits.y_train[:320]),  # what it is trained on
        (networks.seen(problem, 100), digits.x_train[:100], digits.y_train[:100]),
        (networks.unseen(problem), digits.x_test, digits.y_test),
    ):
        assert float(landscape(start)) == pytest.approx(loss(x, y), rel=1e-5)
    penalty = 1e-2 * sum((w**2).sum() for w in model.get_weights() if w.ndim == 2)
    part = loss(digits.x_train[:320], digits.y_train[:320])
    assert float(networks.landscape(problem)(start)) == pytest.approx(part + penalty, rel=1e-5)


def test_batch_norm_is_of_the_training_images_asked_for_also_on_the_test_set(problem):
    network = models.Model("resnet", width=0.2)
    problem = dataclasses.replace(problem, model=network)
    start = networks.start(problem)
    losses = [float(networks.unseen(problem, statistics)(start)) for statistics in (None, 320, 50)]
    assert losses[0] == losses[1] != losses[2]  # None: all that it is trained on


@pytest.mark.cifar10
def test_cifar10_is_what_it_should_be():
    cifar = data.load("cifar10")
    assert cifar.x_train.shape == (50_000, 32, 32, 3) and cifar.x_test.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(cifar.y_train), 5000)
    np.testing.assert_array_equal(np.bincount(cifar.y_test), 1000)
    np.testing.assert_allclose(cifar.x_train.mean((0, 1, 2), dtype=float), 0, atol=1e-3)
    np.testing.assert_allclose(cifar.x_train.std((0, 1, 2), dtype=float), 1, atol=1e-3)


# ---- a network of one's own -------------------------------------------------------------------------

OWN = """
import keras

def network(*, shape, classes, width, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(int(4 * width))]
    return keras.Sequential([*layers, keras.layers.Dense(classes)])

def two(*, shape, classes, width, seed):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)])

def narrow(*, shape, classes, seed):
    return network(shape=shape, classes=classes, width=1.0, seed=seed)

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module that is not of this project."""
    (tmp_path / "their_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "their_networks.py"
    sys.modules.pop("their_networks", None)


def test_a_network_is_named_by_where_it_is_imported_from(mine):
    name = "their_networks:network"
    made = models.build(models.Model(name, width=2.0), (8, 8, 1), 10, seed=0)
    assert made.count_params() == 64 * 8 + 8 + 8 * 10 + 10
    assert name in models.ANY and name not in models.NAMES and "simple_cnn" in models.ANY


def test_a_changed_module_is_another_network(mine):
    before = models.mark("their_networks:network")
    mine.write_text(OWN.replace("4 *", "5 *"))
    assert len(before) == 16 and models.mark("their_networks:network") != before
    assert models.mark("simple_cnn") == ""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nowhere_at_all:network", "no module nowhere_at_all can be imported; is its folder on"),
        ("their_networks:gone", "the module their_networks has no function gone"),
        ("their_networks:number", "the module their_networks has no function number"),
        ("their_networks:narrow", "is called as narrow.shape=, classes=, width=, seed=.; it has got an"),
        ("broken_networks:network", "importing broken_networks raised ZeroDivisionError: division by"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(name, wrong, mine):
    (mine.parent / "broken_networks.py").write_text("1 / 0")
    with pytest.raises(UsageError, match=f"^--model={name}: {wrong}") as error:
        models.mark(name)
    assert "\n" not in str(error.value)


def test_a_network_of_other_outputs_is_one_line(mine):
    with pytest.raises(UsageError, match="must return a Keras model of 10 logits; got .None, 2."):
        models.build(models.Model("their_networks:two"), (8, 8, 1), 10, seed=0)
