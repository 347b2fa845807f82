"""A training that is killed goes on, beside Keras' BackupAndRestore, as if it had not been."""

import inspect
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import wedges
from tests.conftest import plain
from tests.wedges.fits import compiled, same
from tests.wedges.interrupted import PLACES, Killed, training

DOUBLE = "double_checkpoint" in inspect.signature(keras.callbacks.BackupAndRestore).parameters


def die():
    raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What comes of the training that nobody interrupts."""
    return training(tmp_path_factory.mktemp("whole"))


def assert_equal(found, whole):
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_training_gathers_what_it_should(whole):
    assert int(whole["count"]) == 5 and whole["thetas"].shape[0] == 8  # steps 0, 4, ..., 28
    assert len({name.split(",")[0] for name in whole if name.startswith("member")}) == 3


@pytest.mark.parametrize(
    "place", ["a batch", "after a file of ours", "after Keras' weights", "the end", "after the end"]
)
def test_wherever_it_dies_it_goes_on_bit_for_bit(tmp_path, whole, place):
    with pytest.raises(Killed):
        training(tmp_path, die, place, PLACES[place])
    assert_equal(training(tmp_path), whole)


@pytest.mark.parametrize(
    "place", ["before a file of ours", "after Keras' weights", "after Keras' number"]
)
def test_it_may_die_while_it_writes_its_first_backup(tmp_path, whole, place):
    with pytest.raises(Killed):
        training(tmp_path, die, place, 0)
    assert_equal(training(tmp_path), whole)


def test_it_may_die_again_and_again(tmp_path, whole):
    for place in ("after Keras' weights", "a batch", "before Keras' weights", "after Keras' weights"):
        with pytest.raises(Killed):
            training(tmp_path, die, place, 7 if place == "a batch" else 1)
    assert_equal(training(tmp_path), whole)


@pytest.mark.skipif(not DOUBLE, reason="this Keras keeps one backup")
def test_half_a_file_of_keras_is_no_loss_where_it_keeps_two(tmp_path, whole):
    with pytest.raises(Killed):
        training(tmp_path, die, "within Keras' weights", 3, double_checkpoint=True)
    assert_equal(training(tmp_path, double_checkpoint=True), whole)


def test_without_validation_too(tmp_path):
    whole = training(tmp_path / "whole", validate=False)
    with pytest.raises(Killed):
        training(tmp_path, die, "after Keras' weights", 3, validate=False)
    assert_equal(training(tmp_path, validate=False), whole)


def test_steps_of_more_batches_than_an_epoch_has(tmp_path):
    settings = {"gathered": 16, "validate": False}
    whole = training(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        training(tmp_path, die, "after Keras' weights", 2, **settings)  # 15 batches, no step yet
    assert_equal(training(tmp_path, **settings), whole)


def test_backups_in_the_middle_of_epochs_keep_what_keras_resumes(tmp_path):
    """Keras repeats the epoch from the weights of its middle; whole epochs are averaged once each."""
    with pytest.raises(Killed):
        training(tmp_path, die, "a batch", 18, save_freq=3)
    found = training(tmp_path, save_freq=3)
    assert int(found["count"]) == 5
    assert len({name.split(",")[0] for name in found if name.startswith("member")}) == 3


def test_what_is_kept_beside_the_backup_does_not_grow(tmp_path):
    with pytest.raises(Killed):
        training(tmp_path, die, "the end")
    names = sorted(p.name for p in (tmp_path / "backup").iterdir() if p.name.startswith("wedges."))
    assert [n for n in names if n.startswith("wedges.SWA")] == [
        "wedges.SWA.0.epoch-5.npz",
        "wedges.SWA.0.epoch-6.npz",
    ]
    assert sum("piece" in n for n in names) == 3


def test_a_second_fit_goes_on_with_the_average_of_the_first(images, tmp_path):
    model, swa = compiled(plain), wedges.SWA()
    for expected in (3, 6):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model.fit(*images, epochs=3, callbacks=[backup, swa], verbose=0)
        assert swa.average.count == expected
        assert not {"on_train_begin", "_save_model"} & vars(backup).keys()


def test_a_backup_without_an_average_is_told(images, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    model = compiled(plain)
    with pytest.raises(Killed):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model.fit(*images, epochs=4, callbacks=[backup, Stop()], verbose=0)
    model, swa = compiled(plain), wedges.SWA()
    with pytest.warns(UserWarning, match="holds nothing of SWA for 2 epochs done; it begins anew"):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model.fit(*images, epochs=4, callbacks=[backup, swa], verbose=0)
    assert swa.average.count == 2


def test_what_an_earlier_training_left_does_not_count(images, tmp_path):
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "wedges.SWA.0.epoch-1.npz").write_bytes(b"nonsense")
    model, swa = compiled(plain), wedges.SWA(apply_at_end=False)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    model.fit(*images, epochs=1, callbacks=[backup, swa], verbose=0)
    again, later = compiled(plain), wedges.SWA()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    again.fit(*images, epochs=1, callbacks=[backup, later], verbose=0)  # there is nothing left to train
    np.testing.assert_array_equal(later.average.mean, swa.average.mean)
    same(again.get_weights(), model.get_weights(), rtol=0, atol=0)


def test_a_directory_elsewhere_is_refused(images):
    backup = keras.callbacks.BackupAndRestore("gs://bucket/backup")
    with pytest.raises(ValueError, match="must be a local directory .* received 'gs://bucket/backup'"):
        compiled(plain).fit(*images, callbacks=[backup, wedges.SWA()], verbose=0)


def process(folder, *args):
    """A training in a process of its own: what other tests switched on in this one changes bits."""
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.wedges.interrupted", str(folder), *args]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def result(folder):
    with np.load(folder / "result.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = process(folder, "none", "0")
    assert ended.returncode == 0, ended.stderr
    return result(folder)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_killed_process(tmp_path, uninterrupted, place):
    double = ["--double"] if place.startswith("within") else []
    killed = process(tmp_path, place, str(PLACES[place]), *double)
    assert killed.returncode == -9, killed.stderr
    ended = process(tmp_path, "none", "0", *double)
    assert ended.returncode == 0, ended.stderr
    assert_equal(result(tmp_path), uninterrupted)
    assert not os.path.exists(tmp_path / "backup")
