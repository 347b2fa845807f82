"""Larger models: products over gradients, a step over fit, a loss over evaluate, first calls, memory.

    python tests/benchmarks/bench_large.py [--models small mobilenet resnet] [--images 512]
                                           [--rounds=7] [--quick]

Each row is a process of its own, which is what its memory is the peak of. Images are random, 32x32x3.
A product is one Hessian-vector product (K = 1), a gradient is `value_and_gradient`; the two take turns,
and their ratio is the median over rounds. "first" is the first call: tracing and compiling, and for a
product the two more that look whether it is symmetric; "compile" is it without what these take later.
"step / fit" is a `Descent` over `model.fit`, both by SGD in the same minibatches' size and number, and
"loss / evaluate" the loss over `model.evaluate`, in the same batches.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

import harness

MODELS = ("small", "mobilenet", "resnet")
POLICIES = ("frozen", "reestimate")
CHECKED = 3  # products in the first call: the user's, and two for symmetry


def model(name):
    import keras
    from keras import layers

    settings = {"weights": None, "input_shape": (32, 32, 3), "classes": 10}
    if name == "mobilenet":
        return keras.applications.MobileNetV2(**settings), "sparse_categorical_crossentropy"
    if name == "resnet":
        return keras.applications.ResNet50(**settings), "sparse_categorical_crossentropy"
    norm = lambda: [layers.BatchNormalization(), layers.ReLU()]
    stack = [layers.Conv2D(16, 3), *norm(), layers.MaxPooling2D(2), layers.Conv2D(16, 3), *norm()]
    end = [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.Sequential([keras.Input((32, 32, 3)), *stack, *end]), loss


def measure(options):
    import wedges

    import keras  # isort: skip
    import numpy as np

    keras.utils.set_random_seed(0)
    network, loss = model(options.model)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.images, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, options.images)
    settings = {"batch_norm": options.policy, "evaluation_batch_size": options.batch}
    landscape = wedges.NetworkLandscape(network, x, y, loss, seed=0, **settings)
    theta = landscape.space.read()
    v = rng.standard_normal(landscape.dimension).astype(np.float32)

    def seconds(call):
        start = time.perf_counter()
        np.array(call())
        return time.perf_counter() - start

    gradient = lambda: landscape.value_and_gradient(theta)[1]
    product = lambda: landscape.hessian_product(theta, v)
    first, memory = {}, {}
    for name, call in (("gradient", gradient), ("product", product)):
        first[name] = seconds(call)
        memory[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    later = [(seconds(gradient), seconds(product)) for _ in range(options.rounds)]
    gradients, products = (statistics.median(column) for column in zip(*later, strict=True))
    trained, read = training(landscape, options)
    compiled = (first["product"] - CHECKED * products) / (first["gradient"] - gradients)
    print(
        json.dumps(
            {
                "dimension": landscape.dimension,
                "gradient": gradients,
                "product": products,
                "ratio": statistics.median(p / g for g, p in later),
                "first gradient": first["gradient"],
                "first product": first["product"],
                "compile": compiled,
                "step": trained,
                "loss": read,
                "GB gradient": memory["gradient"],
                "GB": memory["product"],
            }
        )
    )


def training(landscape, options):
    """A descent over `fit`, and a loss over `evaluate`: medians over rounds."""
    import keras

    import wedges

    network, data = landscape.network.model, (landscape.x, landscape.y)
    network.compile(keras.optimizers.SGD(1e-3), landscape.loss)
    theta, steps = landscape.space.read(), options.images // options.batch
    small = wedges.NetworkLandscape(
        network, *data, seed=0, batch_size=options.batch, evaluation_batch_size=options.batch
    )
    descent = wedges.Descent(small, theta, keras.optimizers.SGD(1e-3))
    how = {"batch_size": options.batch, "verbose": 0}
    calls = {
        "fit": lambda: network.fit(*data, epochs=1, **how),
        "descent": lambda: descent.run(steps),
        "evaluate": lambda: network.evaluate(*data, **how),
        "loss": lambda: float(small(theta)),
    }
    seconds = {name: [] for name in calls}
    for i in range(options.rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if i:  # the first one compiles
                seconds[name].append(time.perf_counter() - start)
    ratio = lambda a, b: statistics.median(x / y for x, y in zip(seconds[a], seconds[b], strict=True))
    return ratio("descent", "fit"), ratio("loss", "evaluate")


def main(options):
    cpu = pathlib.Path("/proc/cpuinfo")
    lines = cpu.read_text().split("\n") if cpu.exists() else []
    chip = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU unknown")
    versions = ", ".join(
        f"{n} {importlib.metadata.version(n)}" for n in ("numpy", "keras", "tensorflow")
    )
    print(f"{chip}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}")
    print(
        "| model | statistics | images, batch | gradient, s | product, s | product / gradient "
        "| step / fit | loss / evaluate | first gradient, s | first product, s "
        "| compile, product / gradient | peak GB, gradient / product |"
    )
    print("|---" * 12 + "|")
    failed = []
    for name in options.models:
        for policy in options.policies:
            for images in options.images:
                batch = min(options.batch, images)
                one = [f"--model={name}", f"--policy={policy}", f"--images={images}"]
                command = [sys.executable, __file__, *sys.argv[1:], *one, f"--batch={batch}"]
                ended = subprocess.run(command, text=True, capture_output=True)
                if ended.returncode:
                    print(f"| {name} | {policy} | {images}, {batch} | failed: {ended.stderr[-300:]}")
                    failed.append(ended.stderr)  # the other rows are worth having
                    continue
                f = json.loads(ended.stdout.strip().split("\n")[-1])
                print(
                    f"| {name} | {policy} | {images}, {batch} | {f['gradient']:.2f} | "
                    f"{f['product']:.2f} | {f['ratio']:.2f} | {f['step']:.2f} | {f['loss']:.2f} | "
                    f"{f['first gradient']:.1f} | {f['first product']:.1f} | "
                    f"{f['compile']:.1f} | {f['GB gradient']:.2f} / {f['GB']:.2f} |",
                    flush=True,
                )
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["small", "mobilenet"])
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--images", nargs="+", type=int, default=[64, 512])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--policy", help=argparse.SUPPRESS)
    few = {"models": ["small"], "policies": ["reestimate"], "images": [8], "batch": 4}
    options = harness.options(parser, rounds=1, **few)
    if options.model:
        options.images = options.images[0]
        measure(options)
    else:
        main(options)
