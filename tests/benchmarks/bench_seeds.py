"""Does it pay to train the seeds of one cell together, in one graph?

    python tests/benchmarks/bench_seeds.py [--rounds=3] [--steps=400] [--quick]

Three networks SimpleCNN that differ in their seeds (5,000 random images of 32x32x3, SGD with momentum):
one after the other, together in one graph whose operations TensorFlow may run side by side, and two of
them at a time in two processes with half of the cores each. By turns; tracing is left out. The goal: at
width 1/4 together 1.5 times as fast as one after the other. Steps are the same to the last bit or
nearly: the largest difference is printed.
"""

import argparse
import multiprocessing
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

GOAL, SEEDS = 1.5, 3
SIZES = ((0.25, 16), (0.25, 128), (1.0, 64))  # width and batch


def landscapes(width, batch, images):
    """Networks of one kind on the same images, each with its seed."""
    import wedges
    from reproductions.common import models

    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, images)
    build = lambda seed: models.build(models.Model(width=width), (32, 32, 3), 10, seed=seed)
    how = {"batch_size": batch}
    return [wedges.NetworkLandscape(build(s), x, y, models.loss(), seed=s, **how) for s in range(SEEDS)]


def together(parts):
    """Their landscape as one: theta [R, D] -> losses [R]."""
    import tensorflow as tf

    import wedges

    class Together(wedges.Landscape):
        def __init__(self):
            self.dimension, self.dtype = parts[0].dimension, parts[0].dtype

        def __call__(self, theta):
            return tf.stack([part(row) for part, row in zip(parts, tf.unstack(theta), strict=True)])

        def sample(self, theta, step):
            rows = zip(parts, tf.unstack(theta), strict=True)
            return tf.stack([part.sample(row, step) for part, row in rows])

    return Together()


def descent(landscape, start):
    import keras

    import wedges

    found = wedges.Descent(landscape, start, keras.optimizers.SGD(0.01, momentum=0.9))
    found.run(5)
    return found


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def worker(width, batch, images, seeds, steps, ready, go, done):
    """Trains some of the networks with half of the cores, once it is told to."""
    import tensorflow as tf

    half = max(1, (os.cpu_count() or 2) // 2)
    tf.config.threading.set_intra_op_parallelism_threads(half)
    tf.config.threading.set_inter_op_parallelism_threads(half)
    parts = landscapes(width, batch, images)
    runs = [descent(parts[s], parts[s].space.read()) for s in seeds]
    ready.put(1)
    while go.get():
        for run in runs:
            run.run(steps)
        done.put(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="the first so many")
    options = harness.options(parser, rounds=1, steps=2, images=32, sizes=1)
    context = multiprocessing.get_context("spawn")
    for width, batch in SIZES[: options.sizes]:
        kind = width, batch, options.images
        queues = [[context.Queue() for _ in range(3)] for _ in range(2)]
        # Four networks in two processes are as much work a network as three would be.
        shares = ([0, 1], [2, 0])
        workers = [
            context.Process(target=worker, args=(*kind, share, options.steps, *q), daemon=True)
            for share, q in zip(shares, queues, strict=True)
        ]
        for process in workers:
            process.start()
        parts = landscapes(*kind)
        starts = np.stack([part.space.read() for part in parts])
        alone = [descent(part, start) for part, start in zip(parts, starts, strict=True)]
        one = descent(together(parts), starts)
        for ready, _, _ in queues:
            ready.get(timeout=300)  # a worker that has failed would be waited for for ever

        def side_by_side(queues=queues):
            for _, go, _ in queues:
                go.put(1)
            for _, _, done in queues:
                done.get()

        seconds = {"alone": [], "together": [], "processes": []}
        for _ in range(options.rounds):
            seconds["alone"].append(timed(lambda a=alone: [run.run(options.steps) for run in a]))
            seconds["together"].append(timed(lambda o=one: o.run(options.steps)))
            seconds["processes"].append(timed(side_by_side) * SEEDS / 4)
        off = np.abs(one.theta.numpy() - np.stack([run.theta for run in alone])).max()
        for _, go, _ in queues:
            go.put(0)
        for process in workers:
            process.join()
        median = {name: statistics.median(s) for name, s in seconds.items()}
        gain = {name: median["alone"] / median[name] for name in ("together", "processes")}
        print(
            f"width {width:g}, batch {batch}: {options.steps} steps of {SEEDS} networks one after the "
            f"other {median['alone']:.2f} s; together {gain['together']:.2f} times as fast "
            f"(goal {GOAL}), in two processes {gain['processes']:.2f}; largest difference {off:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
