"""The line from start to end of training: all that is measured on it, over the losses alone.

    python tests/benchmarks/bench_interpolation.py [--rounds=7] [--models dense cnn] [--quick]

50 points, 10,000 random images, two networks: dense 784-128-128-10 and SimpleCNN (D = 19,466). By
turns in one process, everything traced before:

  one by one      landscape(theta) at each of the points
  line            `wedges.probe.line`: the same losses, two points at a time
  interpolation   losses, accuracies, turning and length of all outputs' curves
  curves alone    turning of outputs that are there already, without a network

The goal: interpolation takes at most 1.05 times what the losses take one by one. Wall time, and the
processor time of all threads. The numbers are checked: losses against `one by one`, turning and length
against the chords of all outputs at once.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

GOAL = 1.05
MODELS = ("dense", "cnn")


def landscape(name, images):
    """(landscape, start [D], end [D])."""
    import wedges

    import keras  # isort: skip
    from reproductions.common import models

    rng, shape = np.random.default_rng(0), (28, 28, 1) if name == "dense" else (32, 32, 3)
    if name == "dense":
        hidden = [keras.layers.Dense(128, "relu") for _ in range(2)]
        model = keras.Sequential(
            [keras.Input(shape), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)]
        )
    else:
        model = models.build(models.Model(), shape, 10, seed=0)
    x, y = rng.normal(size=(images, *shape)).astype(np.float32), rng.integers(0, 10, images)
    network = wedges.NetworkLandscape(model, x, y, models.loss(), seed=0)
    start = network.space.read().numpy()
    return network, start, start + (0.03 * rng.normal(size=start.shape)).astype(np.float32)


def check(network, thetas, found, losses):
    """The results against the losses, and against all outputs held at once."""
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    outputs = np.array([network.evaluate(theta).outputs for theta in thetas], np.float64)
    chords = np.diff(outputs, axis=0)
    lengths = np.linalg.norm(chords, axis=-1)
    unit = chords / lengths[..., None]
    angles = np.arccos(np.clip(np.sum(unit[1:] * unit[:-1], axis=-1), -1, 1)).sum(axis=0)
    np.testing.assert_allclose(found.turning, angles, rtol=0.02, atol=0.02)  # of float32 outputs
    np.testing.assert_allclose(found.arc_length, lengths.sum(axis=0), rtol=1e-3)
    return outputs.astype(np.float32)


def measure(name, options):
    """Prints the table of one network."""
    import wedges

    network, start, end = landscape(name, options.images)
    t = np.linspace(0, 1, options.points, dtype=np.float32)[:, None]
    thetas = (1 - t) * start + t * end
    whole = wedges.interpolation.interpolation
    found = whole(network, start, end, options.points)
    outputs = check(network, thetas, found, [float(network(theta)) for theta in thetas])
    contenders = {
        "one by one": lambda: [network(theta).numpy() for theta in thetas],
        "line": lambda: wedges.probe.line(network, start, end, options.points),
        "interpolation": lambda: whole(network, start, end, options.points),
        "curves alone": lambda: wedges.interpolation.turning(outputs),
    }
    for contender in contenders.values():  # traces, warms up
        contender()
    wall, processor = {c: [] for c in contenders}, {c: [] for c in contenders}
    for _ in range(options.rounds):
        for contender, function in contenders.items():
            before = time.perf_counter(), time.process_time()
            function()
            wall[contender].append((time.perf_counter() - before[0]) / options.points)
            processor[contender].append((time.process_time() - before[1]) / options.points)
    print(f"\n{name}, {network!r}\n{'':14} ms a point (min..max)    over one by one: wall, processor")
    over = lambda seconds, c, other: statistics.median(
        a / b for a, b in zip(seconds[c], seconds[other], strict=True)
    )
    for c, seconds in wall.items():
        ms = [1000 * s for s in seconds]
        spread = f"{statistics.median(ms):.2f} ({min(ms):.2f}..{max(ms):.2f})"
        ratios = [over(each, c, "one by one") for each in (wall, processor)]
        print(f"{c:14} {spread:26} {ratios[0]:.3f} {ratios[1]:.3f}")
    ratio, line = over(wall, "interpolation", "one by one"), over(wall, "interpolation", "line")
    met = "a quick run" if options.quick else "met" if ratio <= GOAL else "not met"
    print(f"interpolation over one by one {ratio:.3f} (goal {GOAL}: {met}), over line {line:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--images", type=int, default=10_000)
    given = harness.options(parser, rounds=1, points=5, images=100)
    for name in given.models:
        measure(name, given)
