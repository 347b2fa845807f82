"""Products, eigenpairs, traces, memory: `wedges.curvature`, PyHessian 0.1, hessian-eigenthings 1.0.0a5.

    pip install torch && pip install --no-deps pyhessian hessian-eigenthings==1.0.0a5
    python tests/benchmarks/bench_curvature.py [--only=products|eigenpairs|trace|memory] [--rounds=9]
                                               [--quick]

SimpleCNN (D = 19,466) on images of 32x32x3, on an idle machine. Products and pairs are checked against
the same network in PyTorch, float64 (in a quick run without PyTorch: in Keras).

  products    on random images, in turn, at their best batches: one product, ten at once, and one by
              forward over reverse, which wedges does not use; all in units of one gradient
  eigenpairs  the largest ten at trained weights to a relative residual of 1e-3, wall time of the call,
              tracing included. Contenders take turns, each in a process of its own, at the best of
              some batches (the packages also of all cores or one), tried on one product before:
    wedges              `wedges.eigenpairs`
    pyhessian           `eigenvalues(top_n=10)` at its defaults, in batches
    pyhessian_graph     the same on all images as one batch, whose gradient's graph it keeps
    eigenthings         `lanczos(k=10)` at its default of 20 steps
    eigenthings_enough  the same at the fewest steps that reach the residual, found before
  trace       products for an rms error of 3%: hutchinson, hutch++; on the Quadratic of eigenvalues i^-2,
              D = 2000, in random axes (in its own axes random signs have no error at all)
  memory      the peak of Lanczos at D = 10^6, in vectors
"""

import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

PARTS = ("products", "eigenpairs", "trace", "memory")
TOLERANCE, STEPS = 1e-3, (20, 25, 30, 40, 60, 80, 100)
GOALS = {"one product": 2.5, "ten products": 18, "pyhessian": 5, "eigenthings_enough": 2}
CONTENDERS = ("wedges", "pyhessian", "pyhessian_graph", "eigenthings", "eigenthings_enough")
# Keras's weights; [rows, columns, in, out], the dense layer's with its input as an image
SHAPES = ((3, 3, 3, 16), 16, (3, 3, 16, 32), 32, (3, 3, 32, 32), 32, (4, 4, 32, 10), 10)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _data(images):
    rng = np.random.default_rng(0)
    return rng.normal(size=(images, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, images)


def _trained(folder):
    return [np.load(folder / f"{name}.npy") for name in ("x", "y", "theta")]


def _landscape(x, y, **settings):
    import wedges
    from reproductions.common import models

    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    return wedges.NetworkLandscape(model, x, y, models.loss(), seed=0, **settings)


def _fastest(call, ways):
    """The way whose call(way) is fastest; every way with its seconds."""
    seconds = {}
    for way in ways:
        call(way)  # traces, warms up
        seconds[way] = _timed(lambda way=way: call(way))[0]
    return min(seconds, key=seconds.get), ", ".join(f"{way} {s:.3f}" for way, s in seconds.items())


def _timed(function):
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


# ---- products -----------------------------------------------------------------------------------


def products(folder, options):
    x, y = _data(options.images)
    batches = options.batches
    landscapes = {batch: _landscape(x, y, evaluation_batch_size=batch) for batch in batches}
    theta = landscapes[batches[0]].space.read()
    v = np.random.default_rng(1).normal(size=(10, len(theta))).astype(np.float32)
    calls = {
        "gradient": lambda one: one.value_and_gradient(theta)[1].numpy(),
        "one product": lambda one: one.hessian_product(theta, v[0]).numpy(),
        "ten products": lambda one: one.hessian_product(theta, v).numpy(),
        "forward over reverse": lambda one: _forward(one, theta, v[0]).numpy(),
    }
    chosen = {}
    for name, call in calls.items():
        best, seconds = _fastest(lambda b, call=call: call(landscapes[b]), batches)
        chosen[name] = lambda best=best, call=call: call(landscapes[best])
        print(f"  {name}: batches of {best}; s: {seconds}", flush=True)
    seconds = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name, call in chosen.items():
            seconds[name].append(_timed(call)[0])
    for name, values in seconds.items():
        ratio = statistics.median(v / g for v, g in zip(values, seconds["gradient"], strict=True))
        goal = f" (goal {GOALS[name]})" if name in GOALS else ""
        print(f"{name}: {statistics.median(values):.3f} s, {ratio:.2f} gradients{goal}")
    found = np.concatenate([chosen["one product"]()[None], chosen["ten products"]()])
    off = np.linalg.norm(chosen["forward over reverse"]() - found[0]) / np.linalg.norm(found[0])
    print(f"forward over reverse differs from the product by {off:.1e} of it")
    if options.quick or importlib.util.find_spec("torch"):
        there = _exactly(theta.numpy(), x, y, v)
        off = np.linalg.norm(found - there[[0, *range(10)]], axis=1) / np.linalg.norm(there[0])
        print(f"largest difference of a product to float64, of its length: {off.max():.1e}")
        # In float32 the larger of two nearly equal inputs of a pooling may be the other one.
    assert off.max() < 1e-3, off


def _forward(landscape, theta, v):
    """H v as the derivative along v of each microbatch's gradient, with TensorFlow's own max pooling:
    through that of wedges.network.second_order, a custom gradient, forward mode is wrong."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def product(theta, v):
        def part(batch):
            with tf.autodiff.ForwardAccumulator(theta, v) as forward, tf.GradientTape() as tape:
                tape.watch(theta)
                loss, _ = landscape.problem.part(theta, landscape.network.state, batch)
                gradient = tape.gradient(loss, theta)
            return forward.jvp(gradient)

        return landscape.problem.total(part, tf.zeros_like(theta))

    landscape.forward = getattr(landscape, "forward", product)  # traced once
    return landscape.forward(theta, tf.constant(v))


# ---- eigenpairs ---------------------------------------------------------------------------------


def train(folder, options):
    """Weights to look at, on CIFAR-10 if it is there, else on random images around ten means."""
    import keras

    import wedges
    from reproductions.common import data

    cifar = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "")) / "cifar10"
    if cifar.is_dir() and not options.quick:
        found = data.load("cifar10")
        what, x, y = "CIFAR-10", found.x_train, found.y_train
    else:
        what, (x, y) = "random images", _data(max(options.train_images, options.eigen_images))
        x += 0.1 * np.random.default_rng(1).normal(size=(10, 32, 32, 3)).astype(np.float32)[y]
    landscape = _landscape(x, y, batch_size=128)
    adam = keras.optimizers.Adam(1e-3)
    theta = wedges.minimize(landscape, landscape.space.read(), adam, options.train_steps).theta
    x, y = x[: options.eigen_images], y[: options.eigen_images]
    reached = landscape.on(x, y).evaluate(theta)
    for name, array in {"theta": theta, "x": x, "y": y}.items():
        np.save(folder / f"{name}.npy", array)
    where = f"{options.train_steps} steps on {what}, loss {reached.loss:.3f}"
    print(f"trained for {where}, accuracy {reached.accuracy:.3f} on the {len(y)} images", flush=True)


def _torch(theta):
    """SimpleCNN in PyTorch, channels last, at theta, the flat weights of the Keras model."""
    import torch as t
    from torch import nn

    stack, channels = [], 3
    for width in (16, 32, 32):
        stack += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(2), nn.Tanh()]
        channels = width
    theta = t.tensor(theta[_order()])
    model = nn.Sequential(*stack, nn.Flatten(), nn.Linear(512, 10))
    model = model.to(theta.dtype, memory_format=t.channels_last)
    nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def _order():
    """Where each of PyTorch's flat weights stands in Keras's."""
    order, at = [], 0
    for shape in SHAPES:
        here = at + np.arange(np.prod(shape)).reshape(shape)
        order.append(here.transpose(3, 2, 0, 1).ravel() if here.ndim == 4 else here)
        at += here.size
    return np.concatenate(order)


class _Loader(list):
    """Batches of images [B, 3, 32, 32] and labels, all ready; counts how often it is gone through."""

    def __init__(self, x, y, batch):
        import torch as t

        x, y = t.tensor(x).permute(0, 3, 1, 2), t.tensor(y)  # a view: channels last
        super().__init__((x[i : i + batch], y[i : i + batch]) for i in range(0, len(y), batch))
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


def _exactly(theta, x, y, rows):
    """H times each row, [K, D] -> [K, D], in float64."""
    if importlib.util.find_spec("torch") is None:
        return _by_tapes(theta, x, y, rows)
    import torch as t
    from torch.nn.functional import cross_entropy

    order, model = _order(), _torch(theta.astype(np.float64))
    parameters, found = list(model.parameters()), np.zeros(rows.shape)
    rows = t.tensor(rows[:, order], dtype=t.float64)
    for images, labels in _Loader(x.astype(np.float64), y, 500):
        loss = cross_entropy(model(images), labels, reduction="sum") / len(y)
        gradient = t.autograd.grad(loss, parameters, create_graph=True)
        slope = t.cat([g.reshape(-1) for g in gradient])
        for to, row in zip(found, rows, strict=True):
            parts = t.autograd.grad(slope, parameters, row, retain_graph=True)
            to[order] += t.cat([p.reshape(-1) for p in parts]).numpy()
    return found


def _by_tapes(theta, x, y, rows):
    """As `_exactly`, in Keras, all images at once."""
    import tensorflow as tf

    model = harness.simple_cnn(theta)
    weights = [v.value for v in model.trainable_variables]
    flat = lambda tensors: tf.concat([tf.reshape(t, [-1]) for t in tensors], axis=0)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            logits = model(x.astype(np.float64))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        gradient = flat(inner.gradient(loss, weights))
        slopes = [tf.tensordot(gradient, row, 1) for row in rows.astype(np.float64)]
    return np.array([flat(outer.gradient(slope, weights)) for slope in slopes])


def wedges(folder, options):
    import wedges

    x, y, theta = _trained(folder)
    network = lambda batch: _landscape(x, y, evaluation_batch_size=batch)
    tried = {batch: network(batch) for batch in options.batches}
    product = lambda batch: tried[batch].hessian_product(theta, np.ones_like(theta)).numpy()
    batch, seconds = _fastest(product, options.batches)
    fresh = network(batch)  # so that its tracing counts
    find = lambda: wedges.eigenpairs(
        wedges.hessian(fresh, theta), options.pairs, seed=0, tolerance=TOLERANCE
    )
    took, pairs = _timed(find)
    _keep(folder, "wedges", pairs.values, pairs.vectors, pairs.products)
    print(f"{took:.3f} | batches of {batch}; s a product: {seconds}")


def converged(folder, options):
    import wedges

    x, y, theta = _trained(folder)
    pairs = wedges.eigenpairs(
        wedges.hessian(_landscape(x, y), theta), options.pairs, seed=1, tolerance=1e-5
    )
    _keep(folder, "converged", pairs.values, pairs.vectors, pairs.products)


def _keep(folder, name, values, vectors, products):
    """values [K], vectors [K, D] in Keras's order."""
    order = np.argsort(-np.asarray(values))
    arrays = {"values": np.asarray(values)[order], "vectors": np.asarray(vectors)[order]}
    np.savez(folder / f"{name}.npz", products=products, **arrays)


def _rival(folder, name, find, one=None):
    """Time find(model, loader) -> values, vectors in PyTorch's order, products; at the batch and threads
    where `one` product on the first 1000 images is fastest, else on all cores and images at once."""
    import torch as t

    x, y, theta = _trained(folder)
    model, batch, threads, how = _torch(theta), len(y), CORES, "all images at once"
    if one:
        batches = [b for b in (100, 200, 500, 1000) if len(y) % b == 0] or [len(y)]
        few = {b: _Loader(x[:1000], y[:1000], b) for b in batches}

        def trial(way):
            t.set_num_threads(way[1])
            one(model, few[way[0]])

        (batch, threads), seconds = _fastest(trial, [(b, c) for b in batches for c in {1, CORES}])
        how = f"batches of {batch}, {threads} threads; s a product on {len(y[:1000])}: {seconds}"
    t.set_num_threads(threads)
    t.manual_seed(0)
    loader = _Loader(x, y, batch)
    took, (values, vectors, products) = _timed(lambda: find(model, loader))
    found = np.empty((len(values), len(theta)))
    found[:, _order()] = vectors
    _keep(folder, name, values, found, products)
    return f"{took:.3f} | {how}"


def pyhessian(folder, options):
    import pyhessian
    from torch.nn.functional import cross_entropy

    graph = options.contender == "pyhessian_graph"
    warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
    module, counted = sys.modules["pyhessian.hessian"], []  # the name is also that of its class
    product = module.hessian_vector_product
    module.hessian_vector_product = lambda *given: counted.append(1) or product(*given)

    def whole(model, loader):
        data = {"data": next(iter(loader))} if graph else {"dataloader": loader}
        loader.passes = 0
        it = pyhessian.hessian(model, cross_entropy, cuda=False, **data)
        values, vectors = it.eigenvalues(top_n=options.pairs)
        flat = [np.concatenate([p.numpy().reshape(-1) for p in v]) for v in vectors]
        return values, np.array(flat), len(counted) + loader.passes

    def one(model, loader):
        it = pyhessian.hessian(model, cross_entropy, cuda=False, dataloader=loader)
        it.dataloader_hv_product([p.detach() for p in it.params])

    print(_rival(folder, options.contender, whole, None if graph else one))


def eigenthings(folder, options):
    enough = options.contender == "eigenthings_enough"
    steps = int((folder / "steps").read_text()) if enough else None
    print(_lanczos(folder, options.contender, steps, options.pairs))


def _lanczos(folder, name, steps, k):
    import torch as t
    from hessian_eigenthings import HessianOperator, lanczos
    from torch.nn.functional import cross_entropy

    loss = lambda model, batch: cross_entropy(model(batch[0]), batch[1])

    def whole(model, loader):
        # Its default above 50 steps is not to reorthogonalise: found eigenvalues then return as copies.
        it, settings = HessianOperator(model, loader, loss), {"which": "LA", "reorthogonalize": True}
        pairs = lanczos(it, k=k, max_iter=steps, tol=TOLERANCE, seed=0, **settings)
        return pairs.eigenvalues.numpy(), pairs.eigenvectors.numpy(), loader.passes

    def one(model, loader):
        it = HessianOperator(model, loader, loss)
        it.matvec(t.ones(it.size))

    return _rival(folder, name, whole, one)


def search(folder, options):
    """The fewest steps of Lanczos that are enough for hessian-eigenthings."""
    for steps in STEPS:
        _lanczos(folder, "search", steps, options.pairs)
        if (worst := _residuals(folder, "search").max()) <= TOLERANCE:
            break
    (folder / "steps").write_text(str(steps))
    print(f"  eigenthings_enough: {steps} steps, of {STEPS}; largest residual {worst:.1e}", flush=True)


def _residuals(folder, name):
    """|H v - value v| / |value| of unit vectors, [K], with H in float64."""
    x, y, theta = _trained(folder)
    found = np.load(folder / f"{name}.npz")
    vectors = found["vectors"] / np.linalg.norm(found["vectors"], axis=1, keepdims=True)
    off = _exactly(theta, x, y, vectors) - found["values"][:, None] * vectors
    return np.linalg.norm(off, axis=1) / np.abs(found["values"])


def check(folder, options):
    x, y, theta = _trained(folder)
    vectors = np.load(folder / "converged.npz")["vectors"].astype(np.float64)
    forms = np.sum(vectors * _exactly(theta, x, y, vectors), axis=1) / np.sum(vectors**2, axis=1)
    exact = np.sort(forms)[::-1]  # off by the square of the residual
    print(f"eigenvalues {exact[0]:.4g} to {exact[-1]:.4g}; largest relative residual, error of a value:")
    worst = {}
    for name in (*CONTENDERS, "converged"):
        if not (folder / f"{name}.npz").exists():  # it was killed
            continue
        found = np.load(folder / f"{name}.npz")
        values, worst[name] = found["values"], _residuals(folder, name).max()
        error = np.abs(values / exact - 1).max()
        signs = f"; {np.sum(values < 0)} values are negative" if (values < 0).any() else ""
        print(f"  {name}: {worst[name]:.1e}, {error:.1e}; {found['products']} products{signs}")
    assert worst["wedges"] < 1.1 * TOLERANCE, worst


# ---- trace, memory ------------------------------------------------------------------------------


def trace(folder, options):
    import scipy.sparse.linalg

    import wedges

    d, rng = options.trace_d, np.random.default_rng(0)
    values, axes = np.arange(1.0, d + 1) ** -2, np.linalg.qr(rng.normal(size=(d, d)))[0]
    # The Hessian of wedges.Quadratic(matrix); NumPy multiplies by ten vectors at once far faster.
    matrix = scipy.sparse.linalg.aslinearoperator(((axes * values) @ axes.T).astype(np.float32))

    estimates = {"hutchinson": wedges.curvature.hutchinson, "hutch++": wedges.curvature.hutch_plus_plus}

    def rms(method, products):
        found = [estimates[method](matrix, products, seed=s) for s in range(options.seeds)]
        return np.sqrt(np.mean((np.array([f.mean for f in found]) / values.sum() - 1) ** 2))

    def fewest(method):  # to 2%
        low, high = 6, 6
        while rms(method, high) > 0.03:
            low, high = high, 2 * high
        while high - low > max(1, high // 50):
            middle = (low + high) // 2
            low, high = (low, middle) if rms(method, middle) <= 0.03 else (middle, high)
        return high

    many, few = fewest("hutchinson"), fewest("hutch++")
    print(f"products for 3% (rms of {options.seeds} seeds): hutchinson {many}, hutch++ {few}")
    print(f"ratio of products {many / few:.1f} (goal 3)")
    x, y, theta = _trained(folder)
    hessian = wedges.hessian(_landscape(x[:500], y[:500]), theta)
    found = {method: estimate(hessian, 60, seed=0) for method, estimate in estimates.items()}
    each = ", ".join(f"{name} {t.mean:.1f} +- {t.error:.1f}" for name, t in found.items())
    print(f"SimpleCNN, {len(x[:500])} images, 60 products: {each}")


def memory(folder, options):
    import tracemalloc

    import scipy.sparse.linalg

    from wedges.curvature import lanczos

    dimension = options.lanczos_d
    diagonal = np.linspace(1, 2, dimension, dtype=np.float32)
    product = lambda v: diagonal * v
    matrix = scipy.sparse.linalg.LinearOperator((dimension,) * 2, product, dtype=np.float32)
    for order in (10, 30):
        start = np.random.default_rng(0).standard_normal(dimension)  # the caller's, not counted
        tracemalloc.start()
        lanczos(matrix, start, order)
        vectors = tracemalloc.get_traced_memory()[1] / diagonal.nbytes
        tracemalloc.stop()
        print(f"Lanczos of order {order}: {vectors:.2f} vectors at its peak (goal {order + 4})")


# ---- all ----------------------------------------------------------------------------------------


def main(options):
    wanted = PARTS if options.only is None else (options.only,)
    names = ("torch", "pyhessian", "hessian_eigenthings")
    if "eigenpairs" in wanted:
        options.rivals = harness.installed(*names, needed=not options.quick)
    cpu = pathlib.Path("/proc/cpuinfo")
    lines = cpu.read_text().split("\n") if cpu.exists() else []
    chip = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU unknown")
    packages = ("numpy", "scipy", "keras", "tensorflow", *filter(importlib.util.find_spec, names))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"{chip}, {CORES} cores; Python {platform.python_version()}, {versions}", flush=True)
    with tempfile.TemporaryDirectory() as folder:

        def run(name, **settings):
            if options.quick:
                found = harness.printed(contend, name, pathlib.Path(folder), options)
                return found if settings else print(found, end="", flush=True)
            command = [sys.executable, __file__, *sys.argv[1:], f"--contender={name}"]
            ended = subprocess.run([*command, f"--folder={folder}"], text=True, **settings)
            if ended.returncode < 0 and name == "pyhessian_graph":  # killed: out of memory
                return None
            return sys.exit(f"{name} has failed") if ended.returncode else ended.stdout

        if {"eigenpairs", "trace"} & {*wanted}:
            run("train")
        for part in wanted:
            print(f"--- {part}", flush=True)
            eigenpairs(options, run) if part == "eigenpairs" else run(part)


def contend(name, folder, options):
    options.contender = name
    globals()[name.removesuffix("_graph").removesuffix("_enough")](folder, options)


def eigenpairs(options, run):
    run("converged")
    if options.rivals:
        run("search")
    seconds = {name: [] for name in CONTENDERS if options.rivals or name == "wedges"}
    for _ in range(options.eigen_rounds):
        for name, values in seconds.items():
            found = run(name, stdout=subprocess.PIPE) or "nan | killed: all images need too much memory"
            took, how = found.split(" | ")
            values.append(float(took))
            print(f"  {name}: {values[-1]:.1f} s, {how.strip()}", flush=True)
    print(f"largest {options.pairs} eigenpairs, {options.eigen_images} images:")
    for name, values in seconds.items():
        ratio = statistics.median(v / w for v, w in zip(values, seconds["wedges"], strict=True))
        goal = f" (goal {GOALS[name]})" if name in GOALS else ""
        print(f"  {name}: {statistics.median(values):.1f} s, {ratio:.2f} times wedges{goal}", flush=True)
    run("check")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--images", type=int, default=1000, help="of products")
    parser.add_argument("--rounds", type=int, default=9, help="of products")
    parser.add_argument("--eigen_images", type=int, default=5000)
    parser.add_argument("--eigen_rounds", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--train_steps", type=int, default=2000)
    parser.add_argument("--train_images", type=int, default=10_000, help="where they are random")
    parser.add_argument("--batches", nargs="+", type=int, default=[50, 100, 200, 500])
    parser.add_argument("--seeds", type=int, default=50, help="of trace")
    parser.add_argument("--trace_d", type=int, default=2000)
    parser.add_argument("--lanczos_d", type=int, default=10**6)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    few = {"images": 20, "eigen_images": 20, "train_images": 100, "batches": [20], "train_steps": 5}
    few |= {"pairs": 2, "seeds": 2, "trace_d": 100, "lanczos_d": 10**4}
    options = harness.options(parser, rounds=1, **few)
    if options.contender:
        contend(options.contender, options.folder, options)
    else:
        main(options)
