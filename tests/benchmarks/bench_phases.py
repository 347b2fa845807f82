"""What the measures of `wedges.phases` cost, in units of training the networks that they are of.

    python tests/benchmarks/bench_phases.py [--rounds=3] [--quick]

One cell of a grid: three networks SimpleCNN at width 1 (D = 19,466) on 5,000 images of 32x32x3, trained
one after another for 45 epochs of SGD in minibatches of 64; then all that is measured of them: a Bezier
curve of 40 epochs and its 21 positions, largest eigenvalue and trace of the Hessian on 500 images, CKA,
distances, losses. All in one process, by turns; tracing included, as a sweep pays it for each cell. The
goal: measuring without the curve's own training takes at most 0.5 of the training of the three. The data
are random images around ten means, which the networks learn as they would others.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

GOAL = 0.5


def landscape(images, batch):
    """A fresh network on its images, so that its tracing counts."""
    import wedges
    from reproductions.common import models

    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, images)
    means = 0.3 * rng.normal(size=(10, 32, 32, 3))
    x = (means[y] + rng.normal(size=(images, 32, 32, 3))).astype(np.float32)
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    return wedges.NetworkLandscape(model, x, y, models.loss(), seed=0, batch_size=batch)


def starts(count):
    """Initial weights of so many seeds [count, D]."""
    import wedges
    from reproductions.common import models

    build = lambda seed: models.build(models.Model(), (32, 32, 3), 10, seed=seed)
    return [wedges.WeightSpace(build(seed)).read().numpy() for seed in range(count)]


def timed(seconds, name, function):
    """What function() returns; its seconds are kept by name."""
    started = time.perf_counter()
    found = function()
    seconds.setdefault(name, []).append(time.perf_counter() - started)
    return found


def cell(options, seconds):
    """One cell, trained and measured; seconds by part, and its card."""
    import keras

    import wedges

    network = landscape(options.images, options.batch)
    steps = options.epochs * network.steps_per_epoch
    sgd = keras.optimizers.SGD(0.02, momentum=0.9)
    train = lambda: [wedges.minimize(network, s, sgd, steps).theta for s in starts(3)]
    thetas = timed(seconds, "training of three", train)

    def follow(descent, count, name):
        timed(seconds, "curve's training", lambda: wedges.optimize.progress(descent, count, name))

    curve = options.curve_epochs * network.steps_per_epoch
    how = {"steps": curve, "curvature_examples": options.hessian, "follow": follow}
    return timed(seconds, "measures", lambda: wedges.phases.measure(network, thetas, **how))


def parts(options, seconds):
    """The single measures, each on a network that is new to it."""
    import wedges
    from wedges import phases

    network, thetas = landscape(options.images, options.batch), np.array(starts(3))
    line = lambda: phases.mode_connectivity(network, *thetas[:2], curve="line")
    timed(seconds, "21 positions", line)
    timed(seconds, "CKA", lambda: phases.similarity(network, thetas, seed=0))
    x, y, _ = network.drawn(options.hessian, seed=0)
    some = network.on(x, y)
    operators = [wedges.hessian(some, theta) for theta in thetas]
    top = lambda: [wedges.eigenpairs(h, 1, seed=0, tolerance=0.01) for h in operators]
    timed(seconds, "top eigenvalues of three", top)
    timed(seconds, "traces of three", lambda: [wedges.trace(h, 30, seed=0) for h in operators])


def main(options):
    """Rounds by turns, and the ratios."""
    seconds: dict[str, list[float]] = {}
    for i in range(options.rounds):
        card = cell(options, seconds)
        parts(options, seconds)
        print(f"round {i + 1}\n{card}", flush=True)
    measured = np.subtract(seconds.pop("measures"), seconds["curve's training"])
    trained = seconds["training of three"]
    seconds["measures without the curve's training"] = measured.tolist()
    print(f"\n{'':40} s, median (min..max)     of training")
    for name, values in seconds.items():
        ratio = statistics.median(v / t for v, t in zip(values, trained, strict=True))
        spread = f"({min(values):.1f}..{max(values):.1f})"
        print(f"{name:40} {statistics.median(values):7.1f} {spread:16} {ratio:6.2f}")
    ratio = statistics.median(m / t for m, t in zip(measured, trained, strict=True))
    met = "a quick run" if options.quick else "met" if ratio <= GOAL else "not met"
    print(f"measures over training: {ratio:.2f} (goal at most {GOAL}: {met})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--curve_epochs", type=int, default=40)
    parser.add_argument("--hessian", type=int, default=500)
    few = {"images": 100, "epochs": 1, "curve_epochs": 1, "hessian": 10}
    main(harness.options(parser, rounds=1, **few))
