"""Training speed of SimpleCNN on CIFAR-10's shape, batch 128, Adam: images/s, and ratios in one run.

    pip install -e '.[bench]' && python tests/benchmarks/bench_training.py [--rounds=5] [--quick]

Contenders take turns, each in a process of its own, so that a machine whose speed drifts slows them
alike; the ratios are medians over rounds. The data are random: speed does not depend on them.

  wedges        NetworkLandscape and Descent, as the reproductions train
  torch         PyTorch on the CPU, channels last, as its users write it
  fit           model.fit, the network as its users write it, TensorFlow's defaults on this machine
  fit, oneDNN off / on     the same with that one default decided
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import harness

BATCH = 128
ROOT = pathlib.Path(__file__).parents[2]
CONTENDERS = ("wedges", "torch", "fit", "fit, oneDNN off", "fit, oneDNN on")
# (ratio, the least it should be)
TARGETS = {"torch": 1.4, "fit": 2.2}


def wedges(images):
    import keras

    import wedges
    from reproductions.common import models

    x, y = _data((images, 32, 32, 3))
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    landscape = wedges.NetworkLandscape(model, x, y, models.loss(), seed=0, batch_size=BATCH)
    descent = wedges.Descent(landscape, landscape.space.read(), keras.optimizers.Adam(1e-3))
    steps = images // BATCH
    return lambda: [descent.run(min(50, steps - i)) for i in range(0, steps, 50)]


def torch(images):
    import torch as t
    from torch import nn

    x, y = _data((images, 3, 32, 32))
    x, y = t.tensor(x).to(memory_format=t.channels_last), t.tensor(y)
    stack, channels = [], 3
    for width in (16, 32, 32):
        stack += [nn.Conv2d(channels, width, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*stack, nn.Flatten(), nn.Linear(512, 10)).to(memory_format=t.channels_last)
    optimizer, loss = t.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def epoch():
        order = t.randperm(images)
        for i in range(0, images, BATCH):
            rows = order[i : i + BATCH]
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def fit(images):
    import keras
    from keras import layers

    x, y = _data((images, 32, 32, 3))
    stack = []
    for width in (16, 32, 32):
        stack += [layers.Conv2D(width, 3, padding="same", activation="tanh"), layers.MaxPooling2D()]
    model = keras.Sequential([keras.Input((32, 32, 3)), *stack, layers.Flatten(), layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return lambda: model.fit(x, y, batch_size=BATCH, verbose=0)


def _data(shape):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32), rng.integers(0, 10, shape[0])


def _contend(options):
    """In a process of its own: the median epoch's images/s after one epoch of warm-up."""
    epoch = {"wedges": wedges, "torch": torch}.get(options.contend, fit)(options.images)
    epoch()
    seconds = []
    for _ in range(options.epochs):
        started = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - started)
    print(options.images / statistics.median(seconds))


def _measure(name):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    if "oneDNN" in name:
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1" if name.endswith("on") else "0"
    command = [sys.executable, __file__, *sys.argv[1:], f"--contend={name}"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{run.stderr}\n{name} did not run")
    return float(run.stdout.split()[-1])


def main(options):
    rounds, there = options.rounds, harness.installed("torch", needed=not options.quick)
    speeds = {name: [] for name in options.contenders if there or name != "torch"}
    for i in range(rounds):
        for name in speeds:
            speeds[name].append(_measure(name))
            print(f"round {i + 1}/{rounds}  {name:16} {speeds[name][-1]:8.0f} images/s", file=sys.stderr)
    print(f"SimpleCNN, 32x32x3, batch {BATCH}, Adam; {rounds} rounds in turn; {_machine()}")
    print(f"{'':16}  images/s (min..max)         wedges / it")
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(speeds["wedges"], values, strict=True))
        goal = f"  (goal {TARGETS[name]})" if name in TARGETS else ""
        spread = f"({min(values):.0f}..{max(values):.0f})"
        print(f"{name:16}  {statistics.median(values):8.0f} {spread:16}  {ratio:6.2f}{goal}")


def _machine():
    model = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(": ")[1] for x in lines if x.startswith("model name")), model)
        avx512 = any("avx512f" in x for x in lines if x.startswith("flags"))
        model += ", AVX-512" if avx512 else ", no AVX-512"
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    few = {"images": 256, "epochs": 1, "contenders": ("wedges", "torch", "fit, oneDNN off")}
    options = harness.options(parser, rounds=1, **few)
    if options.contend:
        _contend(options)
    else:
        main(options)
