"""Training speed of SimpleCNN on CIFAR-10's shape, batch 128, Adam: images/s, and ratios in one run.

    pip install -e '.[bench]' && python tests/benchmarks/bench_training.py [--rounds=5]

Contenders take turns, each in a process of its own, so that a machine whose speed drifts slows them
alike; the ratios are medians over rounds. The data are random: speed does not depend on them.

  wedges        NetworkLandscape and Descent, as the reproductions train
  torch         PyTorch on the CPU, channels last, as its users write it
  fit           model.fit, the network as its users write it, TensorFlow's defaults on this machine
  fit, oneDNN off / on     the same with that one default decided
"""

import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

N, BATCH, EPOCHS = 12_800, 128, 3
ROOT = pathlib.Path(__file__).parents[2]
CONTENDERS = ("wedges", "torch", "fit", "fit, oneDNN off", "fit, oneDNN on")
# (ratio, the least it should be)
TARGETS = {"torch": 1.4, "fit": 2.2}


def wedges():
    import keras

    import wedges
    from reproductions.common import models

    x, y = _data((N, 32, 32, 3))
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    landscape = wedges.NetworkLandscape(model, x, y, models.loss(), seed=0, batch_size=BATCH)
    descent = wedges.Descent(landscape, landscape.space.read(), keras.optimizers.Adam(1e-3))
    return lambda: [descent.run(50) for _ in range(N // BATCH // 50)]


def torch():
    import torch as t
    from torch import nn

    x, y = _data((N, 3, 32, 32))
    x, y = t.tensor(x).to(memory_format=t.channels_last), t.tensor(y)
    stack, channels = [], 3
    for width in (16, 32, 32):
        stack += [nn.Conv2d(channels, width, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*stack, nn.Flatten(), nn.Linear(512, 10)).to(memory_format=t.channels_last)
    optimizer, loss = t.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def epoch():
        order = t.randperm(N)
        for i in range(0, N, BATCH):
            rows = order[i : i + BATCH]
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def fit():
    import keras
    from keras import layers

    x, y = _data((N, 32, 32, 3))
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


def _contend(name):
    """In a process of its own: the median epoch's images/s after one epoch of warm-up."""
    epoch = {"wedges": wedges, "torch": torch}.get(name, fit)()
    epoch()
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - started)
    print(N / statistics.median(seconds))


def _measure(name):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    if "oneDNN" in name:
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1" if name.endswith("on") else "0"
    command = [sys.executable, __file__, f"--contend={name}"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1]
        sys.exit(f"{name} did not run: {last} (pip install -e '.[bench]')")
    return float(run.stdout.split()[-1])


def main(rounds):
    speeds = {name: [] for name in CONTENDERS}
    for i in range(rounds):
        for name in CONTENDERS:
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
    options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:])
    if "contend" in options:
        _contend(options["contend"])
    else:
        main(int(options.get("rounds", 5)))
