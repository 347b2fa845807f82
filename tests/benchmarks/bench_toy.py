"""Value and gradient of the toy landscape sqrt(sum of the s smallest P_i^2): ms, and ratios in one run.

    python tests/benchmarks/bench_toy.py [--rounds=15] [--dimension=1000000] [--quick]

Contenders take turns, so that a machine whose speed drifts slows them alike; the ratios are medians
over rounds. What is compiled is compiled beforehand.

  wedges      wedges.AxisWedges.value_and_gradient
  tf.sort     the formula as it is written plainly, by tf.GradientTape
  partition   np.partition of the magnitudes, then numpy
  pass        y = 2 P in TensorFlow: everything read and written once, the physical limit
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np
import tensorflow as tf

import wedges

SIZES = (100, 10_000, 500_000, 900_000)
# (ratio, the least it should be)
TARGETS = {"tf.sort": 20, "partition": 1}


def by_selection(s, dimension):
    return tf.function(wedges.AxisWedges(dimension, dimension - s).value_and_gradient)


def by_sorting(s):
    @tf.function
    def value_and_gradient(p):
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = tf.sqrt(tf.reduce_sum(tf.sort(p**2)[:s]))
        return value, tape.gradient(value, p)

    return value_and_gradient


def by_partition(s):
    def value_and_gradient(p):
        size = np.abs(p)
        smallest = np.partition(size, s - 1)[:s]
        value = np.sqrt(np.dot(smallest, smallest))
        return value, p * (size <= smallest[-1]) / value

    return value_and_gradient


@tf.function
def one_pass(p):
    return p[0], 2 * p


def main(rounds, dimension):
    tf_point = tf.random.stateless_normal([dimension], [0, 0])
    np_point = tf_point.numpy()
    print(f"value and gradient at D = {dimension}, float32; {rounds} rounds; {os.cpu_count()} cores")
    print(f"{'s':>7} {'':10} {'ms':>8} {'(min..max)':18} it / wedges")
    for s in (s for s in SIZES if s <= dimension):
        contenders = {
            "wedges": (by_selection(s, dimension), tf_point),
            "tf.sort": (by_sorting(s), tf_point),
            "partition": (by_partition(s), np_point),
            "pass": (one_pass, tf_point),
        }
        answers = {name: f(p) for name, (f, p) in contenders.items() if name != "pass"}
        for value, gradient in answers.values():
            np.testing.assert_allclose(value, answers["wedges"][0], rtol=1e-4)
            np.testing.assert_allclose(gradient, answers["wedges"][1], rtol=1e-4)
        times = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (f, p) in contenders.items():
                started = time.perf_counter()
                value, gradient = f(p)
                # What is still running ends before the clock is read.
                np.asarray(value), np.asarray(gradient)
                times[name].append(1e3 * (time.perf_counter() - started))
        for name, ms in times.items():
            ratio = statistics.median(a / b for a, b in zip(ms, times["wedges"], strict=True))
            goal = f"  (goal {TARGETS[name]})" if name in TARGETS else ""
            spread = f"({min(ms):.2f}..{max(ms):.2f})"
            print(
                f"{s:7} {name:10} {statistics.median(ms):8.2f} {spread:18} {ratio:8.2f}{goal}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dimension", type=int, default=1_000_000)
    options = harness.options(parser, rounds=1, dimension=10_000)
    main(options.rounds, options.dimension)
