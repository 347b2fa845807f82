"""Training inside a Hyperplane against plain training, and what a cut of 10^7 weights costs.

    python tests/benchmarks/bench_hyperplane.py [--rounds=15] [--quick]

SimpleCNN (D = 19,466), batch 128, Adam, `model.fit`: contenders take turns, an epoch of 30 steps each,
and the ratio to plain fit is the median over rounds. Then what a descent's trajectory costs; and, in a
process of its own, a cut of d = 10^4 in D = 10^7: set-up, one embed and its gradient; seconds and
peak memory.
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
# The most a step may cost, in steps of plain fit.
GOALS = {"dense cut, d = 300": 1.15, "transform, d = 300": 1.15, "normal plane, m = 1": 1.10}
GOALS["normal plane, m = 10"] = 1.10


def data(images):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, 32, 32, 3)).astype(np.float32)
    return x, rng.integers(0, 10, images), rng


def training(options):
    import wedges
    from reproductions.common import models

    x, y, rng = data(options.images)
    build = lambda: models.build(models.Model(), (32, 32, 3), 10, seed=0)
    theta = wedges.WeightSpace(build()).read()
    cut = lambda method: wedges.random_cut(theta, 300, seed=0, method=method)
    plane = lambda m: wedges.normal_plane(theta, rng.normal(size=(m, len(theta))))
    contenders = {
        "fit": build(),
        "fit again": build(),
        "dense cut, d = 300": wedges.Hyperplane(build(), cut("dense")),
        "transform, d = 300": wedges.Hyperplane(build(), cut("transform")),
        "normal plane, m = 1": wedges.Hyperplane(build(), plane(1)),
        "normal plane, m = 10": wedges.Hyperplane(build(), plane(10)),
    }
    for model in contenders.values():
        model.compile("adam", models.loss())
        model.fit(x, y, batch_size=BATCH, verbose=0)
    seconds = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, model in contenders.items():
            started = time.perf_counter()
            model.fit(x, y, batch_size=BATCH, verbose=0)
            seconds[name].append(time.perf_counter() - started)
    print(f"{'':22} ms/step (min..max)       x fit")
    for name, values in seconds.items():
        ms = [1e3 * v * BATCH / options.images for v in values]
        ratio = statistics.median(v / f for v, f in zip(values, seconds["fit"], strict=True))
        goal = f"  (goal {GOALS[name]:.2f})" if name in GOALS else ""
        spread = f"({min(ms):.2f}..{max(ms):.2f})"
        print(f"{name:22} {statistics.median(ms):7.2f} {spread:16} {ratio:6.3f}{goal}", flush=True)


def trajectory(options):
    """Steps of `Descent`, which keeps losses and distances, against a loop that keeps nothing."""
    import keras
    import tensorflow as tf

    import wedges
    from reproductions.common import models

    x, y, _ = data(options.images)
    network = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    landscape = wedges.NetworkLandscape(network, x, y, models.loss(), seed=0, batch_size=BATCH)
    theta = landscape.space.read()
    descent = wedges.Descent(landscape, theta, keras.optimizers.Adam())
    adam, bare_variable = keras.optimizers.Adam(), keras.Variable(theta, name="theta")
    adam.build([bare_variable])

    @tf.function
    def bare(steps):
        for i in tf.range(steps):
            with tf.GradientTape() as tape:
                point = tf.convert_to_tensor(bare_variable.value)
                tape.watch(point)
                loss = landscape.sample(point, i)
            adam.apply([tape.gradient(loss, point)], [bare_variable])

    contenders = {
        "Descent": lambda: descent.run(options.steps),
        "bare loop": lambda: bare(tf.constant(options.steps)),
    }
    seconds = {name: [] for name in contenders}
    for i in range(options.rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            np.asarray(bare_variable), np.asarray(descent.variable)
            if i:  # the first round traces
                seconds[name].append(time.perf_counter() - started)
    ratio = statistics.median(
        a / b for a, b in zip(seconds["Descent"], seconds["bare loop"], strict=True)
    )
    print(f"Descent with losses and distances: {ratio:.3f} x a loop that keeps nothing")


def large(options):
    """Set up a cut of a thousandth of D dimensions, embed, differentiate; seconds and memory of it."""
    import tensorflow as tf

    import wedges

    theta = np.zeros(options.large, np.float32)
    tf.constant(0) + 1  # TensorFlow itself is up
    before, started = harness.peak(), time.perf_counter()
    d = options.large // 1000
    cut = wedges.random_cut(theta, d, seed=0)
    z = tf.random.stateless_normal([d], [0, 0])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = tf.reduce_sum(cut.embed(z) ** 4)
    gradient = tape.gradient(loss, z)
    np.asarray(gradient)
    seconds = time.perf_counter() - started
    after, before = harness.peak() / 2**30, before / 2**30
    print(f"{cut}: {seconds:.2f} s (goal 5), peak {after:.2f} GB (goal 2), {before:.2f} GB of it before")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--images", type=int, default=3840)
    parser.add_argument("--steps", type=int, default=60, help="of a descent's trajectory")
    parser.add_argument("--large", type=int, default=10**7, help="D of the cut of d = D / 1000")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = harness.options(parser, rounds=1, images=128, steps=1, large=10**5)
    if options.child:
        large(options)
    else:
        training(options)
        trajectory(options)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--child"], check=True)
