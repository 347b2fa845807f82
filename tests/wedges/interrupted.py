"""A training that dies at a chosen place, and what has come of it once it has been run to its end.

Run as a program, `python -m tests.wedges.interrupted FOLDER [PLACE NUMBER]`, it is killed by SIGKILL.
"""

import contextlib
import os
import pathlib
import signal
import sys
from unittest import mock

import wedges  # before TensorFlow

import keras  # isort: skip
import numpy as np

from wedges import archive

PLACES = {
    "a batch": 17,  # of 6 epochs of 5: the one of this number, counted from 0
    "before a file of ours": 7,
    "after a file of ours": 7,
    "before Keras' weights": 3,
    "within Keras' weights": 3,
    "after Keras' weights": 3,
    "after Keras' number": 3,
    "the end": 0,  # before Keras removes its backup
    "after the end": 0,
}


class Killed(BaseException):
    """Nobody catches it."""


def training(folder, die=None, place=None, number=0, validate=True, gathered=None, **backup):
    """Six epochs, killed by `die()` at a place, or else what has been gathered: {name: array}.

    A step of the optimizer is of one batch, or of so many as are `gathered`.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)).astype("float32"), rng.integers(0, 3, 40)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(True)
    rule = keras.optimizers.SGD(0.3, momentum=0.9, gradient_accumulation_steps=gathered)
    model.compile(rule, loss, jit_compile=False)  # starts sooner
    swa, snapshots = wedges.SWA(start_epoch=1), wedges.SnapshotEnsemble(2)
    trajectory = wedges.Trajectory(4, "step", folder / "trajectory.npy")
    keras_backup = keras.callbacks.BackupAndRestore(folder / "backup", **backup)
    beside = [snapshots, Batches(die, place, number), keras_backup, swa, trajectory]
    with deadly(die, place, number):
        model.fit(
            x, y, batch_size=8, epochs=6, shuffle=False, verbose=0, callbacks=beside,
            validation_data=(x[:10], y[:10]) if validate else None,
        )  # fmt: skip
    assert not (folder / "backup").exists()
    if place == "after the end":
        die()
    found = {"average": swa.average.arrays()["mean"], "count": np.array(swa.average.count)}
    swa.restore()
    found |= {f"weight {i}": w for i, w in enumerate(model.get_weights())}
    found |= {f"optimizer {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    for k, member in enumerate(snapshots.members):
        found |= {f"member {k}, {i}": w for i, w in enumerate(member)}
    return found | {"thetas": np.array(trajectory.thetas), "steps": trajectory.steps}


class Batches(keras.callbacks.Callback):
    """Dies after a batch, or at the end."""

    def __init__(self, die, place, number):
        super().__init__()
        self._die, self._place, self._number, self._seen = die, place, number, -1

    def on_train_batch_end(self, batch, logs=None):
        self._seen += 1
        if self._place == "a batch" and self._seen == self._number:
            self._die()

    def on_train_end(self, logs=None):
        if self._place == "the end":
            self._die()


@contextlib.contextmanager
def deadly(die, place, number):
    """Our archive and Keras' saving count their calls, and die at one of them."""
    ours, theirs, numbers = archive.write, keras.Model.save_weights, _keras_save()
    calls = {"ours": -1, "theirs": -1, "numbers": -1}

    def at(kind, *places):
        return place in places and calls[kind] == number

    def write(*args, **settings):
        calls["ours"] += 1
        if at("ours", "before a file of ours"):
            die()
        ours(*args, **settings)
        if at("ours", "after a file of ours"):
            die()

    def save_weights(model, filepath, **settings):
        calls["theirs"] += 1
        if at("theirs", "before Keras' weights"):
            die()
        theirs(model, filepath, **settings)
        if at("theirs", "within Keras' weights"):
            os.truncate(filepath, os.path.getsize(filepath) // 2)
        if at("theirs", "after Keras' weights", "within Keras' weights"):
            die()

    def save(backup):
        calls["numbers"] += 1
        numbers(backup)
        if at("numbers", "after Keras' number"):
            die()

    kind = keras.callbacks.BackupAndRestore
    with (
        mock.patch.object(archive, "write", write),
        mock.patch.object(keras.Model, "save_weights", save_weights),
        mock.patch.object(kind, "_save_model", save),
    ):
        yield


def _keras_save():
    return keras.callbacks.BackupAndRestore._save_model


if __name__ == "__main__":
    folder, *rest = sys.argv[1:]
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    chosen = {"die": kill, "place": rest[0], "number": int(rest[1])} if rest else {}
    double = {"double_checkpoint": True} if "--double" in rest else {}
    np.savez(f"{folder}/result.npz", **training(pathlib.Path(folder), **chosen, **double))
