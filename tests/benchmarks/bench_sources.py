"""Data that are not in memory: speed against arrays, and memory as the data grow.

    python tests/benchmarks/bench_sources.py [--rounds=5] [--images=4000] [--quick]

SimpleCNN on random images of 32x32x3 in float32, in microbatches of 500, minibatches of 128. Each source
is asked for the same in turn: a loss, a gradient, twenty steps of a descent. The second part takes
a process for each size and source, whose files are four times as large the second time.

  arrays       in memory; the speed to compare with
  memory map   `numpy.memmap` of images and labels
  items        a source with len(source) and source[i], one example each
  PyDataset    `keras.utils.PyDataset`, batches of 500
  tf.data      `tf.data.Dataset.from_tensor_slices` of the arrays, batches of 500
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import wedges

import keras  # isort: skip
import harness
import numpy as np
import tensorflow as tf

from reproductions.common import models

GOAL = 0.8  # of the speed of arrays
BATCH = 500
NAMES = ("arrays", "memory map", "items", "PyDataset", "tf.data")


class Batches(keras.utils.PyDataset):
    """Batches of arrays, cut when they are asked for."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // BATCH)

    def __getitem__(self, i):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        return np.asarray(self.x[rows]), np.asarray(self.y[rows])


class Items:
    """Single examples."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def on_disk(folder, images):
    """Memory maps of random images and labels, written some at a time."""
    rng = np.random.default_rng(0)
    x = np.memmap(folder / "x", np.float32, "w+", shape=(images, 32, 32, 3))
    y = np.memmap(folder / "y", np.int64, "w+", shape=(images,))
    for i in range(0, images, 1000):
        part = slice(i, min(i + 1000, images))
        x[part] = rng.normal(size=x[part].shape)
        y[part] = rng.integers(0, 10, len(y[part]))
    x.flush(), y.flush()


def maps(folder, images):
    x = np.memmap(folder / "x", np.float32, "r", shape=(images, 32, 32, 3))
    return x, np.memmap(folder / "y", np.int64, "r", shape=(images,))


def source(name, x, y):
    """What a landscape takes as its examples."""
    if name == "arrays":
        return np.array(x), np.array(y)
    if name == "memory map":
        return x, y
    if name == "tf.data":
        held = tf.data.Dataset.from_tensor_slices((np.array(x), np.array(y)))
        return (held.batch(BATCH),)
    return ({"items": Items, "PyDataset": Batches}[name](x, y),)


def landscape(name, folder, images):
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    data = dict(zip("xy", source(name, *maps(folder, images)), strict=False))
    return wedges.NetworkLandscape(
        model, **data, loss=models.loss(), seed=0, evaluation_batch_size=BATCH
    )


def tasks(found, steps):
    theta = found.space.read()
    descent = wedges.Descent(found, theta, keras.optimizers.SGD(0.01))
    return {
        "a loss": lambda: float(found(theta)),
        "a gradient": lambda: found.value_and_gradient(theta)[1].numpy(),
        f"{steps} steps": lambda: descent.run(steps),
    }


def speed(folder, options):
    images, rounds = options.images, options.rounds
    on_disk(folder, images)
    made = {name: tasks(landscape(name, folder, images), options.steps) for name in NAMES}
    for each in made.values():
        for task in each.values():
            task()
    seconds = {}
    for _ in range(rounds):
        for name, each in made.items():
            for what, task in each.items():
                started = time.perf_counter()
                task()
                seconds.setdefault((name, what), []).append(time.perf_counter() - started)
    print(f"\nspeed, {images} images: that of arrays over it, median of {rounds} rounds (goal {GOAL})")
    for name in NAMES:
        ratios = {
            what: statistics.median(
                a / b for a, b in zip(seconds["arrays", what], seconds[name, what], strict=True)
            )
            for what in made[name]
        }
        # A minibatch of a PyDataset or of tf.data is one of its batches of 500, not of 128.
        print(f"| {name} | " + " | ".join(f"{r:.2f}" for r in ratios.values()) + " |")


def memory(folder, name, images):
    """Peak memory of a process that computes a gradient, in MB."""
    code = (
        f"import bench_sources as b, pathlib; b.peak(pathlib.Path({str(folder)!r}), {name!r}, {images})"
    )
    where = {
        "cwd": pathlib.Path(__file__).parent,
        "check": True,
        "stdout": subprocess.PIPE,
        "text": True,
    }
    return float(subprocess.run([sys.executable, "-c", code], **where).stdout.split()[-1])


def peak(folder, name, images):
    found = landscape(name, folder, images)
    found.value_and_gradient(found.space.read())
    found.sample(found.space.read(), 0)
    print(harness.peak() / 2**20)


def main(options):
    images = options.images
    with tempfile.TemporaryDirectory() as held:
        folder = pathlib.Path(held)
        speed(folder, options)
        sizes = [images * times for times in options.times]
        print(f"\npeak memory, MB, at {' and '.join(map(str, sizes))} images of 12 kB")
        found = {name: [] for name in options.processes}
        for size in sizes:
            on_disk(folder, size)
            for name, rows in found.items():
                rows.append(memory(folder, name, size))
        for name, rows in found.items():
            print(f"| {name} | " + " | ".join(f"{r:.0f}" for r in rows) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=20, help="of a descent")
    parser.add_argument("--times", nargs="+", type=int, default=[1, 4], help="images, for memory")
    parser.add_argument("--processes", nargs="+", choices=NAMES, default=NAMES[:4], help="for memory")
    few = {"images": 600, "steps": 1, "times": [1], "processes": ["memory map"]}
    main(harness.options(parser, rounds=1, **few))
