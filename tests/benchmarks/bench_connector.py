"""What connectors cost: a step inside one against plain training, and evaluating many points.

    pip install -e '.[bench]'
    python tests/benchmarks/bench_connector.py [--rounds=9] [--points=100] [--quick]

SimpleCNN (D = 19,466), 32x32x3, batch 128, Adam. Steps: contenders take turns in one process, 60 steps
each; the ratio to plain training is the median over rounds. Evaluation: the loss of `points` thetas on
10,000 images, in turn with the same loop in PyTorch (channels last, `functional_call`, inference mode),
each in a process of its own and at the best of four batch sizes. The data are random: speed does not
depend on them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

BATCH = 128
GOAL_STEP, GOAL_EVALUATION = 1.10, 2.5
BATCHES = (100, 250, 500, 1000)


def _network(images, **settings):
    import wedges
    from reproductions.common import models

    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, images)
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    return wedges.NetworkLandscape(model, x, y, models.loss(), seed=0, batch_size=BATCH, **settings)


def steps(options):
    import keras

    import wedges
    from wedges import connect, simplex

    network = _network(options.images)
    rng, adam = np.random.default_rng(1), keras.optimizers.Adam()
    theta = network.space.read().numpy()
    optima = theta + rng.normal(size=(11, len(theta))).astype(np.float32)
    plane = lambda m: wedges.normal_plane(optima[0], optima[1 : m + 1] - optima[0])
    contenders = {
        "plain": wedges.Descent(network, theta, adam),
        "plain again": wedges.Descent(network, theta, adam),
        "a point, m = 1": wedges.Descent(network, theta, adam, subspace=plane(1)),
        "a point, m = 10": wedges.Descent(network, theta, adam, subspace=plane(10)),
    }

    def joint(m, pieces):
        """The descent inside `connect.joint_connector`, caught as it starts."""
        caught = []
        keep = lambda descent, *_: caught.append(descent)
        basis = simplex.Grid(m, pieces)
        settings = {"seed": 0, "samples": 1000, "follow": keep}
        connect.joint_connector(network, optima[: m + 1], basis, adam, 1, **settings)
        return caught[0]

    contenders["joint, m = 1, 3 points"] = joint(1, 4)
    contenders["joint, m = 3, 6 points"] = joint(3, 2)
    contenders["joint, m = 10, 55 points"] = joint(10, 2)
    seconds = {name: [] for name in contenders}
    for i in range(options.rounds + 1):
        for name, descent in contenders.items():
            started = time.perf_counter()
            descent.run(options.steps)  # done when it returns: the losses are on the host
            if i:  # the first round traces
                seconds[name].append(time.perf_counter() - started)
    print(f"{'':26} ms/step (min..max)       x plain")
    for name, values in seconds.items():
        ms = [1e3 * v / options.steps for v in values]
        ratio = statistics.median(v / p for v, p in zip(values, seconds["plain"], strict=True))
        goal = f"  (goal {GOAL_STEP:.2f})" if name.startswith("a point") else ""
        spread = f"({min(ms):.2f}..{max(ms):.2f})"
        print(f"{name:26} {statistics.median(ms):7.2f} {spread:16} {ratio:6.3f}{goal}", flush=True)


def _best(loop, points, images):
    """Point-images a second of `loop(batch size)(thetas)` at its best batch size, and that size."""
    rates = {}
    for batch in BATCHES:
        run, thetas = loop(batch)
        run(thetas[:1])  # traces, warms up
        started = time.perf_counter()
        run(thetas[: max(1, points // 10)])
        rates[batch] = 1 / (time.perf_counter() - started)
    batch = max(rates, key=rates.get)
    run, thetas = loop(batch)
    run(thetas[:1])
    started = time.perf_counter()
    run(thetas)
    return points * images / (time.perf_counter() - started), batch


def wedges(points, images):
    rng = np.random.default_rng(1)

    def loop(batch):
        network = _network(images, evaluation_batch_size=batch)
        noise = rng.normal(size=(points, network.dimension)).astype(np.float32)
        return lambda thetas: network(thetas).numpy(), network.space.read().numpy() + 0.01 * noise

    return _best(loop, points, images)


def torch(points, images):
    import torch as t
    from torch import nn

    rng = np.random.default_rng(0)
    x = t.tensor(rng.normal(size=(images, 3, 32, 32)).astype(np.float32))
    x = x.to(memory_format=t.channels_last)
    y = t.tensor(rng.integers(0, 10, images))
    stack, channels = [], 3
    for width in (16, 32, 32):
        stack += [nn.Conv2d(channels, width, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*stack, nn.Flatten(), nn.Linear(512, 10)).to(memory_format=t.channels_last)
    start = dict(model.named_parameters())
    thetas = [{k: v.detach() + 0.01 * t.randn_like(v) for k, v in start.items()} for _ in range(points)]
    entropy = lambda z, y: nn.functional.cross_entropy(z, y, reduction="sum")
    at = t.func.functional_call

    def loop(batch):
        def run(thetas):
            with t.inference_mode():
                for theta in thetas:
                    rows = [slice(i, i + batch) for i in range(0, images, batch)]
                    sum(entropy(at(model, theta, (x[r],)), y[r]) for r in rows) / images

        return run, thetas

    return _best(loop, points, images)


def evaluation(options, names):
    rates = {name: [] for name in names}
    for _ in range(max(1, options.rounds // 3)):
        for name in rates:
            command = [sys.executable, __file__, *sys.argv[1:], f"--contender={name}"]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rate, batch = out.split()
            rates[name].append(float(rate))
            print(f"  {name}: {float(rate):,.0f} point-images/s, batches of {batch}", flush=True)
    both = ", ".join(f"{n} {statistics.median(v):,.0f}" for n, v in rates.items())
    print(f"evaluating {options.points} points on {options.images} images, point-images/s: {both}")
    if "torch" in rates:
        ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
        print(f"ratio {ratio:.2f} (goal {GOAL_EVALUATION})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--contender", choices=("wedges", "torch"), help=argparse.SUPPRESS)
    options = harness.options(parser, rounds=1, points=2, images=200, steps=1)
    if options.contender:
        contend = {"wedges": wedges, "torch": torch}[options.contender]
        print(*contend(options.points, options.images))
    else:
        there = harness.installed("torch", needed=not options.quick)
        steps(options)
        evaluation(options, ("wedges", "torch") if there else ("wedges",))
