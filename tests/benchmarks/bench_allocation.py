"""What allocating an epoch's loss change costs, in full gradients and in vectors of length D.

    python tests/benchmarks/bench_allocation.py [--rounds=3] [--quick]

Speed: `fit` of FC 784-100-50-10 (D = 84,060) with a `LossAllocation` over all 55,000 examples of
Fashion-MNIST, 220 batches of 250, against 220 gradients over the same examples at the points of a path,
by turns in one process; both compiled before. The goal is at most 1.25, training, bookkeeping and
refinements included; how many refinements there are depends on the data, so these are real. Beside it
training on the whole, `FullBatch`, followed and alone, whose gradients are shared.

Memory: four steps of `fit` of a wide network with and without it, each in a process of its own: the
peaks' difference in numbers of 8 bytes, which the sums are, for each of D parameters. The goal is at
most 8. It is measured with trapezoids alone, and where each segment is refined to quarters.
"""

import argparse
import ctypes
import gc
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

GOALS = {"speed": 1.25, "memory": 8}
CHILDREN = ("alone", "trapezoids", "refined")


def network(inputs, *widths, rate):
    import wedges  # noqa: F401  (before TensorFlow)

    import keras  # isort: skip

    keras.utils.set_random_seed(0)
    dense = lambda n, **how: keras.layers.Dense(n, kernel_initializer="he_normal", **how)
    hidden = [dense(n, activation="relu") for n in widths]
    model = keras.Sequential([keras.Input((inputs,)), *hidden, dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, jit_compile=False)
    return model


# ---- speed ------------------------------------------------------------------------------------------


def timed(seconds, name, function):
    started = time.perf_counter()
    found = function()
    seconds.setdefault(name, []).append(time.perf_counter() - started)
    return found


def speed(options):
    """Rounds by turns, and the ratios."""
    import keras

    import wedges
    from reproductions.common import data
    from wedges.allocation import FullBatch

    found = data.load(options.dataset)
    y = found.y_train[:55_000]
    x = found.x_train[: len(y)].reshape(len(y), -1)
    x = (x - x.min()) / np.ptp(x)
    model = network(x.shape[1], 100, 50, rate=options.rate)
    landscape = wedges.NetworkLandscape(model, x[: options.examples], y[: options.examples], seed=0)
    start, steps = landscape.space.read().numpy(), options.iterations
    direction = np.random.default_rng(1).standard_normal(len(start)).astype(np.float32)
    sgd = keras.optimizers.SGD(options.rate, momentum=0.9)
    alone = wedges.Descent(FullBatch(landscape), start, sgd)
    followed = wedges.Descent(FullBatch(landscape), start, sgd)
    stream = wedges.Allocation(landscape, groups=landscape.space.layers)

    def train(*watching, batches=steps):
        landscape.space.write(start)
        model.fit(
            x, y, batch_size=250, epochs=1, steps_per_epoch=batches, verbose=0, callbacks=list(watching)
        )

    def allocate(batches=steps):
        # One landscape for all rounds, so that it is compiled once.
        watching = wedges.LossAllocation(landscape, tolerance=options.tolerance)
        train(watching, batches=batches)
        return watching

    def gradients():
        for i in range(steps):
            np.asarray(landscape.value_and_gradient(start + 1e-4 * i * direction)[1])

    train(batches=2)
    allocate(batches=2)
    alone.run(1)
    stream.follow(followed, 1)
    seconds: dict[str, list[float]] = {}
    for i in range(options.rounds):
        timed(seconds, f"{steps} gradients over {options.examples:,} examples", gradients)
        timed(seconds, "fit alone", train)
        found = timed(seconds, "fit, allocated", allocate)
        timed(seconds, f"{steps} full-batch steps alone", lambda: alone.run(steps))
        timed(seconds, f"{steps} full-batch steps, allocated", lambda: stream.follow(followed, steps))
        count = found.allocation.gradients
        print(f"round {i + 1}: {count} gradients in {steps} batches\n{found.table()}", flush=True)
    first, *_ = seconds.values()
    print(f"\n{'':44} s, median (min..max)      of the gradients")
    for name, values in seconds.items():
        ratio = statistics.median(v / g for v, g in zip(values, first, strict=True))
        spread = f"({min(values):.1f}..{max(values):.1f})"
        print(f"{name:44} {statistics.median(values):7.1f} {spread:18} {ratio:6.2f}")
        if name == "fit, allocated":
            allocated = ratio
    told("speed", allocated, options)


# ---- memory -----------------------------------------------------------------------------------------


def wide(options):
    """One process: the peak of a fit in bytes, allocated or not."""
    import wedges
    from wedges.allocation import quadrature

    model = network(options.width, options.width, options.width, rate=1e-4)
    rng = np.random.default_rng(0)
    x, y = rng.random((64, options.width), np.float32), rng.integers(0, 10, 64)
    quadrature._MOST, quadrature._ROUNDINGS = 4, 0
    how = {"rule": "trapezoid"} if options.child == "trapezoids" else {"tolerance": 0}
    watching = [] if options.child == "alone" else [wedges.LossAllocation(x=x, y=y, **how)]
    train = lambda: model.fit(x, y, batch_size=16, verbose=0, callbacks=watching)
    train()  # making, compiling and tracing are not what is asked
    if watching:
        landscape = watching[0].allocation.landscape
        watching = [wedges.LossAllocation(landscape, **how)]
    forget_peak()
    train()
    print(model.count_params(), harness.peak())


def forget_peak():
    """Have the peak of this process be what it takes now; Linux alone."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def memory(options):
    """The peaks of processes, by turns."""
    more: dict[str, list[float]] = {name: [] for name in options.children}
    for _ in range(options.rounds):
        peaks = {}
        for child in options.children:
            command = [sys.executable, __file__, *sys.argv[1:], f"--child={child}"]
            size, peaks[child] = map(int, subprocess.check_output(command, text=True).split())
            more[child].append((peaks[child] - peaks["alone"]) / size)
        shown = ", ".join(f"{child} {peak / 2**20:,.0f} MB" for child, peak in peaks.items())
        print(f"D = {size:,}: {shown}", flush=True)
    for child in options.children[1:]:
        each = statistics.median(more[child])
        print(f"{child}: {each:.1f} bytes a parameter, {each / 4:.1f} vectors of float32")
        told("memory", each / 8, options)


def told(name, value, options):
    met = "a quick run" if options.quick else "met" if value <= GOALS[name] else "not met"
    print(f"{name}: {value:.2f} (goal at most {GOALS[name]}: {met})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=55_000)
    parser.add_argument("--iterations", type=int, default=220)
    parser.add_argument(
        "--width", type=int, default=3000, help="of the wide network: D is about twice its square"
    )
    parser.add_argument("--rate", type=float, default=0.05, help="of SGD with momentum 0.9")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.set_defaults(children=CHILDREN)
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--dataset", default="fashion_mnist")
    few = {"dataset": "digits", "examples": 50, "iterations": 3, "width": 100}
    few |= {"children": ("alone", "trapezoids")}
    given = harness.options(parser, rounds=1, **few)
    if given.child:
        wide(given)
    else:
        speed(given)
        memory(given)
