"""A loss allocation that dies at a chosen place, and what has come of it once it has run to its end.

Run as a program, `python -m tests.wedges.interrupted_allocation KIND FOLDER [PLACE NUMBER]`, it is
killed by SIGKILL. KIND is fit or descent.
"""

import os
import pathlib
import signal
import sys

import wedges  # before TensorFlow

import keras  # isort: skip
import numpy as np

from tests.wedges.interrupted import Batches, deadly
from wedges import archive


def problem():
    """A model with batch norm, and its data."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)).astype("float32"), rng.integers(0, 3, 40)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    model = keras.Sequential([keras.Input((5,)), *layers, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(True)
    model.compile(keras.optimizers.SGD(0.3, momentum=0.9), loss, jit_compile=False)  # starts sooner
    return model, x, y


def fit(folder, die=None, place=None, number=0, **backup):
    """Six epochs of five batches, two a step, and what has been gathered: {name: array}."""
    model, x, y = problem()
    allocation = wedges.LossAllocation(x=x[:30], y=y[:30], held_out=(x[30:], y[30:]), every=2)
    keras_backup = keras.callbacks.BackupAndRestore(folder / "backup", **backup)
    beside = [Batches(die, place, number), keras_backup, allocation]
    with deadly(die, place, number):
        model.fit(x, y, batch_size=8, epochs=6, shuffle=False, verbose=0, callbacks=beside)
    if place == "after the end":
        die()
    found = {f"weight {i}": w for i, w in enumerate(model.get_weights())}
    found |= {"batches": allocation.batches, "epochs": allocation.epochs}
    return found | allocation.allocation.state


def descent(folder, die=None, place=None, number=0):
    """Twelve steps of minibatches, three at a time, dead after the chunk of that number."""
    model, x, y = problem()
    landscape = wedges.NetworkLandscape(model, x, y, seed=0, batch_size=8, batch_norm="reestimate")
    going = wedges.Descent(landscape, landscape.space.read(), keras.optimizers.Adam(0.02))
    allocation = wedges.Allocation(landscape, groups=landscape.space.layers)
    file, state = pathlib.Path(folder) / "state.npz", {}
    if file.exists():
        state = archive.read(file)
        part = lambda front: {k.removeprefix(front): v for k, v in state.items() if k.startswith(front)}
        going.state, allocation.state = part("descent/"), part("allocation/")
    while going.step < 12:
        allocation.follow(going, 3)
        state = {f"descent/{k}": v for k, v in going.state.items()}
        state |= {f"allocation/{k}": v for k, v in allocation.state.items()}
        archive.write(file, state)
        if place == "a chunk" and going.step == 3 * (number + 1):
            die()
    return state


if __name__ == "__main__":
    kind, folder, *rest = sys.argv[1:]
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    chosen = {"die": kill, "place": rest[0], "number": int(rest[1])} if rest else {}
    run = {"fit": fit, "descent": descent}[kind]
    np.savez(f"{folder}/result.npz", **run(pathlib.Path(folder), **chosen))
