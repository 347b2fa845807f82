"""Networks that solve -Laplace u = f by deep Ritz and deep Galerkin, and how rough their losses are.

`trained`, `along` and `at` take long, and are for `cached`: their keys hold nothing of a figure.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import devices
from reproductions.common import training

RESIDUALS = {"galerkin": "deep Galerkin", "ritz": "deep Ritz"}


@dataclasses.dataclass(frozen=True)
class Equation:
    """A problem, the network for it and the distance of its slices, as the authors have them.

    Attributes:
      label: what it is called.
      width, blocks: of the network, residual blocks of two layers between two linear ones.
      distance: l at the end of training.
      index, error: their roughness index and relative error, deep Galerkin's and deep Ritz's; recomputed
        from the variations that their notebooks have printed.
    """

    label: str
    width: int
    blocks: int
    distance: float
    index: tuple[float, float]
    error: tuple[float, float] | None = None


EQUATIONS = {
    "line": Equation("1-D", 4, 1, 0.02, (0.021, 0.089), (2.8e-4, 4e-3)),
    "ball": Equation("3-D ball", 8, 3, 0.1, (0.058, 0.143), (7e-4, 1.11e-2)),
    "cube10": Equation("10-D cube", 20, 3, 0.1, (0.186, 0.244)),
}


@dataclasses.dataclass(frozen=True)
class Task:
    """A network that learns to solve an equation.

    Attributes:
      equation: one of `EQUATIONS`.
      residual: one of `RESIDUALS`.
      points: drawn anew at each step; None takes the points that the loss is measured on, always.
      seed: of initial weights and points.
    """

    equation: str
    residual: str
    points: int | None
    seed: int

    @property
    def measured(self):
        """The task that is looked at: the same for all seeds, so that graphs are traced once."""
        return dataclasses.replace(self, points=None, seed=0)

    @property
    def problem(self):
        """The equation with its domain and solution, a `wedges.collocation.Poisson`."""
        make, dimension = {
            "line": (wedges.collocation.on_cube, 1),
            "ball": (wedges.collocation.on_ball, 3),
            "cube10": (wedges.collocation.on_cube, 10),
        }[self.equation]
        return make(dimension)

    @property
    def quadrature(self):
        """The points that losses and errors are measured on; random ones in ten dimensions."""
        domain = self.problem.domain
        if self.equation == "cube10":
            return domain.uniform(5000, seed=0)
        return domain.quadrature({"line": 200, "ball": 9}[self.equation])


@dataclasses.dataclass(frozen=True)
class Slices:
    """Random directions and the points along them, as `wedges.roughness_index` takes them."""

    directions: int
    distance: float
    steps: int
    seed: int
    published: tuple[str, ...] = ()

    def measure(self, landscape, theta):
        """The `Roughness` at a point."""
        return wedges.roughness_index(
            landscape,
            theta,
            self.directions,
            self.distance,
            self.steps,
            seed=self.seed,
            published=self.published,
        )


def network(task):
    """The authors' network, in float64: linear, blocks y + s(W s(W y)) with s(x) = x / (1 + exp(-x)),
    linear; Xavier's normal weights, no biases at the start."""
    import keras

    equation, layers = EQUATIONS[task.equation], keras.layers
    width, seeds = equation.width, iter(range(1000 * task.seed, 1000 * task.seed + 1000))

    def dense(units, activation=None):
        start = keras.initializers.GlorotNormal(seed=next(seeds))
        return layers.Dense(units, activation, kernel_initializer=start, dtype="float64")

    x = keras.Input((task.problem.domain.dimension,), dtype="float64")
    y = dense(width)(x)
    for _ in range(equation.blocks):
        inner = dense(width, "silu")(y)
        y = layers.Add(dtype="float64")([y, dense(width, "silu")(inner)])
    return keras.Model(x, dense(1)(y), name=task.equation)


@functools.lru_cache(maxsize=8)  # a graph is traced once for all that look at one task in turn
def landscape(task):
    """The loss of the network, u = 0 on the boundary by a factor."""
    problem, points = task.problem, task.quadrature
    if task.points is not None:
        points = wedges.collocation.Fresh(problem.domain, task.points, seed=task.seed, measured=points)
    kinds = {"galerkin": wedges.collocation.Galerkin, "ritz": wedges.collocation.Ritz}
    residual = kinds[task.residual](problem.source)
    return wedges.Collocation(network(task), residual, points, boundary=problem.domain)


def trained(task, rate, falls, looks):
    """Train by Adam at a rate, which falls to 0 by a cosine or does not: "thetas" [looks, D], the
    weights after so many steps, the first of them 0."""
    import keras

    trains, steps = landscape(task), looks[-1]
    optimizer = training.cosine_adam(rate, steps) if falls else keras.optimizers.Adam(rate)
    start = trains.space.read().numpy()
    thetas = [start]
    with training.following(steps) as follow:
        descent = wedges.Descent(trains, start, optimizer, jit_compile=devices.compiled())
        for before, look in zip(looks[:-1], looks[1:], strict=True):
            follow(descent, look - before, f"to step {look}")
            thetas.append(descent.theta.numpy())
    return {"thetas": np.array(thetas)}


NUMBERS = ("index", "mean", "excess", "multimodal", "predicted")


def along(task, thetas, slices):
    """At each of thetas [K, D] the measures of a `Roughness` in `NUMBERS`, the relative error "error",
    the loss "loss" and the length of its gradient "gradient"; [K] each."""
    loss, rows = landscape(task.measured), []
    for theta in thetas:
        found = slices.measure(loss, theta)
        value, gradient = loss.value_and_gradient(theta)
        row = {name: getattr(found, name) for name in NUMBERS}
        row["error"] = loss.relative_error(theta, task.problem.solution)
        rows.append(row | {"loss": float(value), "gradient": float(np.linalg.norm(gradient))})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def at(task, theta, slices):
    """The measures in `NUMBERS` at theta [D], [], and the "variations" [M] of its slices."""
    found = slices.measure(landscape(task.measured), theta)
    return {name: getattr(found, name) for name in NUMBERS} | {"variations": found.variations}
