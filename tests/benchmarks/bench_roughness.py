"""The roughness index of a differential equation's loss, and the derivatives by x that it is made of.

    python tests/benchmarks/bench_roughness.py [--rounds=5] [--directions=100] [--steps=20] [--quick]

The authors' 3-D network (three residual blocks of width 8, D = 473) and their losses at 1,000 points of
the ball, in float64. By turns in one process, everything traced before:

  published    as the published program does it, in PyTorch: for every direction and every point it reads
               the weights from disk, moves them and takes nested derivatives; timed on a few points
  one by one   a compiled loss of ours, called at one theta after another
  roughness    `wedges.roughness_index`, slices alone
  prediction   the same with the predicted index: one gradient, and a Hessian product a direction

The goal: roughness is at least 20 times faster than published. Without PyTorch (the extra `bench`) that
contender is left out. Losses are checked against each other.

Then a loss and its gradient by theta at 1,000 points, for the networks of one, three and ten dimensions:

  forward      value, gradient and Laplacian carried through the layers together
  reverse      nested tapes, d reverse passes through the tape of the first
  over         forward accumulators over one reverse pass, d of them
"""

import argparse
import functools
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import harness
import numpy as np

GOAL = 20


def landscape(name, residual, options, **how):
    """The loss of one of the figure's networks at 1,000 points of its domain."""
    import wedges
    from reproductions.common import equations

    task = equations.Task(name, residual, None, 0)
    kinds = {"galerkin": wedges.collocation.Galerkin, "ritz": wedges.collocation.Ritz}
    x = task.problem.domain.uniform(options.points, seed=0)
    model, f = equations.network(task), kinds[residual](task.problem.source)
    return wedges.Collocation(model, f, x, boundary=task.problem.domain, **how)


class Published:
    """One direction, one point, one load from disk at a time, in PyTorch."""

    def __init__(self, network, residual):
        import torch

        self.torch, self.residual = torch, residual
        self.x = torch.tensor(network.x.numpy(), requires_grad=True)
        self.shapes = network.space.shapes
        self.path = pathlib.Path(tempfile.mkdtemp()) / "weights.pt"
        theta = network.space.unflatten(network.space.read())
        torch.save([torch.tensor(w.numpy()) for w in theta], self.path)

    def loss(self, direction, s):
        """At s along a direction [D], the weights read anew."""
        torch, at = self.torch, 0
        weights = torch.load(self.path)
        for w in weights:
            w += s * torch.tensor(direction[at : at + w.numel()]).reshape(w.shape)
            at += w.numel()
        layers, x = iter(zip(weights[::2], weights[1::2], strict=True)), self.x
        act = torch.nn.functional.silu
        apply = lambda z: torch.addmm((layer := next(layers))[1], z, layer[0])
        y = apply(x)
        for _ in range((len(weights) - 4) // 4):
            y = y + act(apply(act(apply(y))))
        r2 = (x * x).sum(1)
        u = (1 - r2) * apply(y)[:, 0]
        r = r2.sqrt() * np.pi / 2
        f = np.pi**2 / 4 * (torch.cos(r) + 2 * torch.sin(r) / r)
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        if self.residual == "ritz":
            return float((0.5 * (gradient**2).sum(1) - f * u).mean())
        second = sum(
            torch.autograd.grad(gradient[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(3)
        )
        return float(((second + f) ** 2).mean())


def index(residual, options):
    """Prints the table of the roughness index of one loss."""
    import wedges

    network = landscape("ball", residual, options)
    theta = network.space.read().numpy()
    d = wedges.filter_normalized(theta, network.space.filters, options.directions, seed=0)
    s = np.linspace(-0.1, 0.1, options.steps + 1)
    points = [(i, j) for i in range(len(d)) for j in range(len(s))]
    how = (network, theta, d, 0.1, options.steps)
    few = points[:: max(1, len(points) // options.few)][: options.few]
    contenders = {
        "one by one": (few, lambda: [float(network(theta + s[j] * d[i])) for i, j in few]),
        "roughness": (points, lambda: wedges.roughness_index(*how, predict=False).losses.ravel()),
        "prediction": (points, lambda: wedges.roughness_index(*how).losses.ravel()),
    }
    if options.published:
        published = Published(network, residual)
        contenders["published"] = few, lambda: [published.loss(d[i], s[j]) for i, j in few]
    known = contenders["roughness"][1]().reshape(len(d), -1)
    for name, (which, function) in contenders.items():
        wanted = [known[i, j] for i, j in which]
        np.testing.assert_allclose(function(), wanted, rtol=1e-8, err_msg=name)
    seconds = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, (which, function) in contenders.items():
            before = time.perf_counter()
            function()
            seconds[name].append((time.perf_counter() - before) / len(which))
    print(f"\n{residual}, {len(points):,} points of slices, {network!r}")
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(each, seconds["roughness"], strict=True))
        ms = f"{1e3 * statistics.median(each):.3f} ({1e3 * min(each):.3f}..{1e3 * max(each):.3f})"
        whole = statistics.median(each) * len(points)
        print(f"{name:12} {ms:24} ms a point, {whole:7.1f} s in all, {ratio:6.1f} x roughness")
        if name == "published":
            met = "a quick run" if options.quick else "met" if ratio >= GOAL else "not met"
            print(f"published over roughness {ratio:.1f} (goal {GOAL}: {met})")


def over(network, theta):
    """The Galerkin loss by forward accumulators over one reverse pass, and its gradient by theta."""
    import tensorflow as tf

    x, model = network.x, network.network
    d = x.shape[1]
    with tf.GradientTape() as tape:
        tape.watch(theta)
        with model.at(theta, model.state) as scope:
            u = lambda x: model.call(x, scope, training=False).outputs[:, 0]
            second = 0.0
            for i in range(d):
                with tf.autodiff.ForwardAccumulator(
                    x, tf.one_hot([i] * len(x), d, dtype=x.dtype)
                ) as acc:
                    with tf.GradientTape() as inner:
                        inner.watch(x)
                        value = u(x)
                    gradient = inner.gradient(value, x)
                second += acc.jvp(gradient)[:, i]
        factor = network.boundary.factor(x)
        crossed = 2 * tf.reduce_sum(factor.gradient * gradient, axis=1)
        second = factor.value * second + crossed + factor.laplacian * value
        loss = tf.reduce_mean((second + network.residual.source(x)) ** 2)
    return loss, tape.gradient(loss, theta)


def derivatives(name, residual, options):
    """Prints what a loss with its gradient by theta takes, by way."""
    import tensorflow as tf

    make = lambda way: landscape(name, residual, options, derivatives=way)
    made = {way: make(way) for way in ("forward", "reverse")}
    theta = made["forward"].space.read()
    ways = {way: tf.function(found.value_and_gradient) for way, found in made.items()}
    if residual == "galerkin":
        ways["over"] = tf.function(functools.partial(over, made["reverse"]))
    values = {way: [np.asarray(a) for a in function(theta)] for way, function in ways.items()}
    for found in values.values():
        for a, b in zip(found, values["reverse"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)
    seconds = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, function in ways.items():
            before = time.perf_counter()
            for _ in range(options.repeats):
                found = function(theta)
            found[1].numpy()
            seconds[way].append((time.perf_counter() - before) / options.repeats)
    shown = ", ".join(
        f"{way} {1e3 * statistics.median(each):.2f} ms "
        f"({statistics.median(a / b for a, b in zip(each, seconds['forward'], strict=True)):.1f})"
        for way, each in seconds.items()
    )
    print(f"{name:7} {residual:9} {shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directions", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--few", type=int, default=100, help="points of those timed one by one")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--points", type=int, default=1000, help="x at which a loss is computed")
    parser.add_argument("--networks", nargs="+", default=["line", "ball", "cube10"])
    few = {"directions": 2, "steps": 2, "few": 2, "repeats": 1, "points": 20, "networks": ["line"]}
    given = harness.options(parser, rounds=1, **few)
    given.published = harness.installed("torch")
    for residual in ("galerkin", "ritz"):
        index(residual, given)
    print(f"\na loss and its gradient by theta, {given.points:,} points (over forward)")
    for name in given.networks:
        for residual in ("galerkin", "ritz"):
            derivatives(name, residual, given)
