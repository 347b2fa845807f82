"""Planes of losses: `wedges.probe.plane` against `loss_landscapes.planar_interpolation` (PyTorch).

    pip install -e '.[bench]'
    python tests/benchmarks/bench_plane.py [--rounds=1] [--steps=25] [--quick]

SimpleCNN (D = 19,466) on 10,000 random images of 32x32x3, the plane through the same three weights,
steps x steps points of it, wall time of the whole call. Contenders take turns, each in a process of its
own. Checked against the same network in PyTorch, float64, put at the points in question one by one (in
a quick run without PyTorch: in Keras).

  wedges    at the best of four batch sizes, tried on one point before
  package   at its best of ten ways, tried likewise: its `metrics.Loss` or a metric of ours, which goes
            through the images in one of four batch sizes; channels first or last
  readme    as its readme has it: `metrics.Loss` on all images, PyTorch's layout; on 16 points
  limit     the convolutions of the three layers by themselves, at the best of the four batch sizes
"""

import argparse
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

LENGTHS = (12.0, 9.0)  # of the plane's two edges; theta itself is about 16 long
GOAL, NEAR = 4.0, 1e-4
CHECKED = 8  # points of the grid


def _data(images):
    rng = np.random.default_rng(0)
    return rng.normal(size=(images, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, images)


def _fastest(evaluations):
    """The name of the fastest of {name: evaluation of one point}; every name with its seconds."""
    seconds = {}
    for name, evaluate in evaluations.items():
        evaluate()  # traces, warms up
        started = time.perf_counter()
        evaluate()
        seconds[name] = time.perf_counter() - started
    best = min(seconds, key=seconds.get)
    return best, ", ".join(f"{name} {value:.3f}" for name, value in seconds.items())


def corners(folder, options):
    """Three weights [3, D] for both sides, the edges from the first at a right angle."""
    import wedges
    from reproductions.common import models

    theta = wedges.WeightSpace(models.build(models.Model(), (32, 32, 3), 10, seed=0)).read().numpy()
    edges = np.linalg.qr(np.random.default_rng(1).normal(size=(len(theta), 2)))[0].T
    points = theta + np.concatenate([np.zeros((1, len(theta))), edges * np.array(LENGTHS)[:, None]])
    np.save(folder / "corners.npy", points.astype(np.float32))


def wedges(folder, options):
    import tensorflow as tf

    import wedges
    from reproductions.common import models

    tf.get_logger().setLevel("ERROR")  # it warns of the five landscapes
    (x, y), points, steps = _data(options.images), np.load(folder / "corners.npy"), options.steps
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    landscape = lambda batch: wedges.NetworkLandscape(
        model, x, y, models.loss(), seed=0, evaluation_batch_size=batch
    )
    one = lambda network: lambda: network(points[:1]).numpy()
    batch, seconds = _fastest({b: one(landscape(b)) for b in options.batches})
    network = landscape(batch)
    started = time.perf_counter()
    shares = np.arange(steps) / steps
    edges = [np.linalg.norm(p - points[0]) for p in points[1:]]
    cut = wedges.through(points)
    losses = wedges.probe.plane(
        network, cut, edges[0] * shares, edges[1] * shares
    )  # [second, first edge]
    print(f"{time.perf_counter() - started:.3f} | batches of {batch}; s a point: {seconds}")
    np.save(folder / "wedges.npy", losses.T)


def limit(folder, options):
    """Seconds of the convolutions alone, TensorFlow's own, which none that uses them can go below."""
    import tensorflow as tf

    convolve = tf.function(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "SAME"))
    shapes = ((32, 3, 16), (16, 16, 32), (8, 32, 32))  # side of the image, channels, filters
    kernels = [tf.random.normal((3, 3, *channels)) for _, *channels in shapes]
    random = lambda b: [tf.random.normal((b, side, side, c)) for side, c, _ in shapes]
    inputs = {b: random(b) for b in options.batches}

    def all_images(batch):
        for x, kernel in zip(inputs[batch], kernels, strict=True):
            for _ in range(options.images // batch):
                convolve(x, kernel)

    batch, seconds = _fastest({b: lambda b=b: all_images(b) for b in options.batches})
    started = time.perf_counter()
    for _ in range(10):
        all_images(batch)
    took = (time.perf_counter() - started) / 10
    each = f"{1e6 * took / options.images:.1f} us an image"
    print(f"{took * options.steps**2:.3f} | {each}; s a point: {seconds}")


def _torch(theta, channels_last=True):
    """SimpleCNN in PyTorch at theta, the flat weights of the Keras model."""
    import torch as t
    from torch import nn

    stack, channels = [], 3
    for width in (16, 32, 32):
        stack += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(2), nn.Tanh()]
        channels = width
    model = nn.Sequential(*stack, nn.Flatten(), nn.Linear(512, 10))
    if channels_last:
        model = model.to(memory_format=t.channels_last)
    model = model.to(t.float64 if theta.dtype == np.float64 else t.float32)
    theta = t.tensor(theta)
    with t.no_grad():
        for p in model.parameters():
            values, theta = theta[: p.numel()], theta[p.numel() :]
            if p.ndim == 4:  # [3, 3, in, out] in Keras
                values = values.reshape(*p.shape[2:], p.shape[1], p.shape[0]).permute(3, 2, 0, 1)
            elif p.ndim == 2:  # [rows, columns and channels of the image; out] in Keras
                values = values.reshape(4, 4, 32, 10).permute(3, 2, 0, 1).reshape(10, 512)
            p.copy_(values.reshape(p.shape))
    return model


def package(folder, options):
    """The package at its best: a metric of our own that goes through the images in batches."""
    import torch as t
    from loss_landscapes import metrics, point
    from torch.nn.functional import cross_entropy

    images, (x, y, points) = options.images, _tensors(folder, options)
    layouts = {"first": x.contiguous(), "last": x.contiguous(memory_format=t.channels_last)}

    class Batched(metrics.Metric):
        def __init__(self, x, batch):
            super().__init__()
            self.x, self.batch = x, batch

        def __call__(self, wrapper):
            rows = [slice(i, i + self.batch) for i in range(0, images, self.batch)]
            with t.inference_mode():
                parts = [cross_entropy(wrapper.forward(self.x[r]), y[r], reduction="sum") for r in rows]
                return (sum(parts) / images).item()

    chosen = {}
    for layout, images_so in layouts.items():
        chosen[f"Loss, channels {layout}"] = layout, metrics.Loss(cross_entropy, images_so, y)
        for batch in options.batches:
            chosen[f"{batch}, channels {layout}"] = layout, Batched(images_so, batch)
    starts = {layout: _torch(points[0], layout == "last") for layout in layouts}
    one = lambda layout, metric: lambda: point(starts[layout], metric)
    name, seconds = _fastest({name: one(*both) for name, both in chosen.items()})
    layout, metric = chosen[name]
    losses, took = _planar(folder, points, metric, options.steps, layout == "last")
    print(f"{took:.3f} | {name}; s a point: {seconds}")
    np.save(folder / "package.npy", losses)


def readme(folder, options):
    """The package as its readme uses it, on a smaller grid: seconds as if for all of it."""
    from loss_landscapes import metrics
    from torch.nn.functional import cross_entropy

    x, y, points = _tensors(folder, options)
    few = min(options.steps, 4)
    metric = metrics.Loss(cross_entropy, x.contiguous(), y)
    _, took = _planar(folder, points, metric, few, channels_last=False)
    print(f"{took * options.steps**2 / few**2:.3f} | from {few} x {few} points, all images at once")


def _tensors(folder, options):
    import torch as t

    x, y = _data(options.images)
    return t.tensor(x).permute(0, 3, 1, 2), t.tensor(y), np.load(folder / "corners.npy")


def _planar(folder, points, metric, steps, channels_last):
    """Losses [first edge, second edge] and seconds; how far the model given as start moves is kept."""
    import loss_landscapes

    ends = [_torch(p, channels_last) for p in points]
    before = [p.detach().clone() for p in ends[0].parameters()]
    started = time.perf_counter()
    losses = loss_landscapes.planar_interpolation(*ends, metric, steps=steps)
    took = time.perf_counter() - started
    after = [p.detach() for p in ends[0].parameters()]
    moved = sum((new - old).square().sum() for new, old in zip(after, before, strict=True))
    np.save(folder / "moved.npy", float(moved) ** 0.5)
    return losses, took


def direct(folder, options):
    """Float64 losses at some points of the grid, and at their next ones along the second edge."""
    points, steps = np.load(folder / "corners.npy").astype(np.float64), options.steps
    at = _in_torch if importlib.util.find_spec("torch") else _in_keras

    def loss(i, j):
        theta = points[0] + i / steps * (points[1] - points[0]) + j / steps * (points[2] - points[0])
        return at(theta, folder, options)

    rng = np.random.default_rng(2)
    grid = [(0, 0), (0, steps - 1), (steps - 1, 0), (steps - 1, steps - 1)]
    grid += [tuple(rng.integers(0, steps, 2)) for _ in range(CHECKED - len(grid))]
    found = [[i, j, loss(i, j), loss(i, j + 1)] for i, j in grid]
    np.save(folder / "direct.npy", found)


def _in_torch(theta, folder, options):
    import torch as t
    from torch.nn.functional import cross_entropy

    (x, y, _), model = _tensors(folder, options), _torch(theta)
    rows = [slice(i, i + 500) for i in range(0, len(y), 500)]
    with t.inference_mode():
        parts = [cross_entropy(model(x[r].double()), y[r], reduction="sum").item() for r in rows]
    return sum(parts) / len(y)


def _in_keras(theta, folder, options):
    import tensorflow as tf

    x, y = _data(options.images)
    logits = harness.simple_cnn(theta)(x.astype(np.float64))
    return np.mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))


def check(folder, options):
    *at, here, after = np.load(folder / "direct.npy").T
    i, j = np.array(at, int)
    off = np.abs(np.load(folder / "wedges.npy")[i, j] - here).max()
    losses = f"losses {here.min():.2f}..{here.max():.2f}"
    print(f"largest difference to float64 at {len(here)} points, {losses}:")
    print(f"  wedges {off:.1e}")
    assert off < NEAR, off
    if not options.package:
        return
    theirs = np.load(folder / "package.npy")[i, j]
    # Even rows are evaluated one step too far along the second edge.
    shifted = np.abs(theirs - np.where(i % 2, here, after)).max()
    print(f"  package {np.abs(theirs - here).max():.1e}; its even rows shifted by one, {shifted:.1e}")
    print(f"  package: the model given as start has moved by {np.load(folder / 'moved.npy'):.2f}")
    assert shifted < 10 * NEAR, shifted  # the two compute one function


def main(options):
    options.package = harness.installed("torch", "loss_landscapes", needed=not options.quick)
    rivals = ("package", "readme") if options.package else ()
    with tempfile.TemporaryDirectory() as held:
        folder = pathlib.Path(held)

        def run(name):
            if options.quick:
                return harness.printed(globals()[name], folder, options)
            command = [sys.executable, __file__, *sys.argv[1:], f"--contender={name}"]
            command += [f"--folder={folder}"]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

        run("corners")
        seconds = {name: [] for name in ("wedges", *rivals, "limit")}
        for _ in range(options.rounds):
            for name, values in seconds.items():
                took, how = run(name).split(" | ")
                values.append(float(took))
                print(f"  {name}: {values[-1]:.1f} s, {how.strip()}", flush=True)
        run("direct")
        each = ", ".join(f"{name} {statistics.median(v):.1f} s" for name, v in seconds.items())
        print(f"{options.steps} x {options.steps} points on {options.images} images: {each}")
        ratio = lambda name: statistics.median(
            b / a for a, b in zip(seconds["wedges"], seconds[name], strict=True)
        )
        if rivals:
            print(f"ratio to the package as its readme uses it {ratio('readme'):.2f} (goal {GOAL})")
            print(f"ratio to the package at its best, with our batches {ratio('package'):.2f}")
        print(f"the convolutions alone take {ratio('limit'):.2f} of the time")
        check(folder, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batches", nargs="+", type=int, default=[100, 250, 500, 1000])
    contenders = ("corners", "wedges", "package", "readme", "limit", "direct")
    parser.add_argument("--contender", choices=contenders, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    options = harness.options(parser, rounds=1, steps=2, images=20, batches=[20])
    if options.contender:
        globals()[options.contender](options.folder, options)
    else:
        main(options)
