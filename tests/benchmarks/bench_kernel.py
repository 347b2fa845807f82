"""What a tangent kernel costs: against the Jacobian, against neural-tangents, against plain gradients.

    python tests/benchmarks/bench_kernel.py [--rounds=3] [--quick]

Jacobian: K of all outputs of FC 784-1024-10 (D = 814,090, float32) at random inputs, `tangent_kernel`
against `tape.jacobian` and contraction, by turns in one process; both compiled before. The Jacobian of
500 examples has 16 GB, so that times are compared at 100 of them. The goal is at least 10 times as
fast. Memory: how much a process grows for K of 500 examples, K itself included, over the bytes of the
Jacobian; the goal is at most 1/20.

neural-tangents: the same K of 500 examples on JAX's CPU, by each of its implementations that ends
within a minute, where the packages of the extra `bench` are installed; the goal is at least twice as
fast as the best. It computes in float32, ours sums in float64. Its last version, 0.6.5, is older than
today's JAX and tf2jax: with 0.4.30 and 0.3.6 it can be imported, with JAX 0.10 it cannot.

SimpleCNN (D = 19,466) at 1,000 images of 32 x 32 x 3, all 10 outputs, against the gradients by theta of
each output's sum over the same images. The goal is at most 20 times their time.
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

GOALS = {"jacobian": 10, "memory": 1 / 20, "neural-tangents": 2, "gradients": 20}
WIDTH, OUTPUTS = 1024, 10


def dense(n):
    import wedges

    import keras  # isort: skip

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(WIDTH, "relu"), keras.layers.Dense(OUTPUTS)]
    model = keras.Sequential([keras.Input((784,)), *layers])
    x = np.random.default_rng(0).standard_normal((n, 784)).astype("float32")
    return wedges.NetworkLandscape(model, x, np.zeros((n, OUTPUTS)), "mse", seed=0), x


def simple_cnn(n):
    import wedges

    import keras  # isort: skip

    keras.utils.set_random_seed(0)
    parts = [keras.Input((32, 32, 3))]
    for channels in (16, 32, 32):
        parts += [
            keras.layers.Conv2D(channels, 3, padding="same"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Activation("tanh"),
        ]
    model = keras.Sequential([*parts, keras.layers.Flatten(), keras.layers.Dense(OUTPUTS)])
    x = np.random.default_rng(0).standard_normal((n, 32, 32, 3)).astype("float32")
    how = {"seed": 0, "evaluation_batch_size": 500}
    return wedges.NetworkLandscape(model, x, np.zeros((n, OUTPUTS)), "mse", **how)


def timed(seconds, name, function):
    started = time.perf_counter()
    found = function()
    seconds.setdefault(name, []).append(time.perf_counter() - started)
    return found


def best(seconds):
    return {name: min(values) for name, values in seconds.items()}


# ---- the Jacobian -----------------------------------------------------------------------------------


def jacobian(options):
    import wedges

    import tensorflow as tf  # isort: skip

    n = 2 if options.quick else 100
    landscape, x = dense(n)
    model, theta = landscape.space.model, landscape.space.read()

    @tf.function(autograph=False)
    def by_jacobian():
        with tf.GradientTape() as tape:
            outputs = tf.reshape(model(x), [-1])
        parts = tape.jacobian(outputs, [v.value for v in model.trainable_variables])
        kernel = tf.zeros([n * OUTPUTS] * 2)
        for part in parts:
            rows = tf.reshape(part, [n * OUTPUTS, -1])
            kernel += tf.matmul(rows, rows, transpose_b=True)
        return kernel

    seconds, ways = (
        {},
        {
            "tangent_kernel": lambda: wedges.tangent_kernel(landscape, theta),
            "jacobian": lambda: by_jacobian().numpy(),
        },
    )
    found = [way() for way in ways.values()]  # compiled
    off = np.abs(found[0] - found[1]).max() / np.abs(found[0]).max()
    assert off < 1e-5, off
    for _ in range(options.rounds):
        for name, way in ways.items():
            timed(seconds, name, way)
    at = best(seconds)
    ratio = at["jacobian"] / at["tangent_kernel"]
    print(
        f"FC 784-{WIDTH}-10, {n} examples, all outputs: tangent_kernel {at['tangent_kernel']:.3f} s, "
        f"jacobian {at['jacobian']:.3f} s, {ratio:.1f} times (goal: at least {GOALS['jacobian']})"
    )


def memory(options):
    n = 10 if options.quick else 500
    command = [sys.executable, __file__, f"--child={n}"]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    grown, seconds = map(float, found.stdout.split()[-2:])
    whole = n * OUTPUTS * (784 * WIDTH + WIDTH + WIDTH * OUTPUTS + OUTPUTS) * 4 / 2**20
    print(
        f"{n} examples: {seconds:.2f} s, grows by {grown:.0f} MiB, the Jacobian is {whole:.0f} MiB: "
        f"1/{whole / grown:.0f} (goal: at most 1/{1 / GOALS['memory']:.0f})"
    )


def child(n):
    """MiB by which the process grows for the kernel, and seconds of a second call."""
    import wedges

    landscape, _ = dense(n)
    theta = landscape.space.read()
    wedges.tangent_kernel(landscape, theta, examples=2)  # TensorFlow itself, and the first graph
    before = harness.peak()
    wedges.tangent_kernel(landscape, theta)
    grown = (harness.peak() - before) / 2**20
    seconds = {}
    for _ in range(3):
        timed(seconds, "kernel", lambda: wedges.tangent_kernel(landscape, theta))
    print(max(grown, 1.0), min(seconds["kernel"]))


# ---- neural-tangents --------------------------------------------------------------------------------


def neural_tangents(options):
    if not harness.installed("jax", "neural_tangents"):
        return
    try:
        import jax
        import neural_tangents as nt
    except ImportError as error:
        print(f"left out, since neural-tangents cannot be imported (first lines of this file): {error}")
        return
    import wedges

    n = 10 if options.quick else 500
    landscape, x = dense(n)
    theta = landscape.space.read()
    w1, b1, w2, b2 = (np.asarray(t) for t in landscape.space.unflatten(theta))

    def function(parameters, x):
        w1, b1, w2, b2 = parameters
        return jax.nn.relu(x @ w1 + b1) @ w2 + b2

    seconds = {}
    ours = wedges.tangent_kernel(landscape, theta)
    for _ in range(options.rounds):
        timed(seconds, "tangent_kernel", lambda: wedges.tangent_kernel(landscape, theta))
    for way in nt.NtkImplementation:
        if way.name in ("AUTO", "JACOBIAN_CONTRACTION"):  # a choice of the others; 16 GB
            continue
        kernel = jax.jit(nt.empirical_ntk_fn(function, trace_axes=(), vmap_axes=0, implementation=way))
        run = lambda kernel=kernel: np.asarray(kernel(x, None, (w1, b1, w2, b2)))
        started = time.perf_counter()
        try:
            theirs = run()  # compiles
        except (RuntimeError, AttributeError) as error:  # too much memory; a JAX that is too new for it
            print(f"neural-tangents, {way.name}: {str(error).splitlines()[0]}")
            continue
        if time.perf_counter() - started > 60:
            print(f"neural-tangents, {way.name}: more than a minute, compiling included")
            continue
        same = theirs.transpose(0, 2, 1, 3).reshape(ours.shape)
        off = np.abs(same - ours).max() / np.abs(ours).max()
        assert off < 1e-4, (way, off)
        for _ in range(options.rounds):
            timed(seconds, way.name, run)
    at = best(seconds)
    own = at.pop("tangent_kernel")
    words = ", ".join(f"{name} {value:.2f} s" for name, value in at.items())
    ratio = min(at.values(), default=np.nan) / own
    print(
        f"neural-tangents, {n} examples, all outputs: ours {own:.2f} s, {words}: {ratio:.1f} times "
        f"(goal: at least {GOALS['neural-tangents']})"
    )


# ---- plain gradients --------------------------------------------------------------------------------


def gradients(options):
    import wedges

    n = 20 if options.quick else 1000
    landscape = simple_cnn(n)
    theta = landscape.space.read()
    ups = [np.tile(np.eye(OUTPUTS, dtype="float32")[k], (n, 1)) for k in range(OUTPUTS)]
    ways = {
        "all": lambda: wedges.tangent_kernel(landscape, theta),
        "trace": lambda: wedges.tangent_kernel(landscape, theta, outputs="trace"),
        "gradients": lambda: [landscape.output_pullback(theta, up).numpy() for up in ups],
    }
    for way in ways.values():
        way()
    seconds = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            timed(seconds, name, way)
    at = {name: statistics.median(values) for name, values in seconds.items()}
    for name in ("all", "trace"):
        print(
            f"SimpleCNN, {n} images, {name} of 10 outputs: {at[name]:.1f} s, a gradient of each "
            f"{at['gradients']:.1f} s: {at[name] / at['gradients']:.1f} times "
            f"(goal: at most {GOALS['gradients']})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["jacobian", "memory", "neural_tangents", "gradients"])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = harness.options(parser, rounds=1)
    if options.child:
        child(options.child)
    else:
        for part in (jacobian, memory, neural_tangents, gradients):
            if options.only in (None, part.__name__):
                part(options)
