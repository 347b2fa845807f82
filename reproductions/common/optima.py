"""Independently trained optima of one network, and what lies between them.

Everything here is kept by its own key, which holds nothing of the figure that asked: two figures with
the same settings train each optimum, and minimise each point between, once.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, devices, options, parallel, progress
from reproductions.bench.options import above, at_least, option
from reproductions.common import networks, training
from reproductions.common.arrays import named

READINGS = ("train loss", "train accuracy", "test loss", "test accuracy")


@options.settings
class TrainedConfig(networks.NetworkConfig):
    """Settings of a figure about trained optima."""

    epochs: int = option("epochs of training each optimum", at_least(1), paper=20, quick=40, smoke=5)
    learning_rate: float = option(
        "Adam's constant learning rate in training", above(0), flag="lr", paper=1e-3
    )
    examples: int = option(
        "training examples in every reported training loss", at_least(1), paper=10_000, smoke=300
    )

    def network(self):
        """The `Network` on which all optima of this figure are compared."""
        return Network(self.problem(initial=0, seed=self.seed), self.examples)


@options.settings
class Config(TrainedConfig):
    """The same for a figure that also descends between optima."""

    rate: float = option(
        "Adam's learning rate between optima, where it starts; it falls to 0 by a cosine",
        above(0),
        flag="path_lr",
        paper=3e-3,
    )


# ---- optima, and what is reported of a point ---------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Network:
    """One network on one data set, whatever weights it is given.

    Attributes:
      problem: what is minimised, in minibatches.
      examples: training examples of every reported loss, of which batch norm's statistics are made.
    """

    problem: networks.Problem
    examples: int

    @property
    def descend(self):
        """What is minimised: all training examples, shared by all devices."""
        return devices.shared(networks.landscape(self.problem))

    @property
    def seen(self):
        """The landscape of every reported training loss."""
        return networks.seen(self.problem, self.examples, self.examples)

    @property
    def unseen(self):
        """The same on the test set."""
        return networks.unseen(self.problem, self.examples)


def trained(config, count):
    """The optima [count, D] of as many seeds, which decide initial weights and the order of examples."""
    seeds = range(config.seed, config.seed + count)
    return np.stack(parallel.over(functools.partial(_trained, config), seeds))


def _trained(config, seed):
    problem = config.problem(initial=seed, seed=seed)
    recipe = training.Recipe("adam", config.learning_rate, config.epochs)
    return training.train(problem, recipe, label=f"optimum {seed}").theta


def read(network, thetas, name):
    """{"<name> <reading>" [K]} of thetas [K, D]: loss and accuracy on both sets."""
    with progress.labelled(name):
        found = cache.cached(_readings, network, thetas)
    return named(name, {reading: found[reading] for reading in READINGS})


def predicted(network, thetas):
    """The label that each of thetas [K, D] gives each test example, [K, N]."""
    return cache.cached(_readings, network, thetas)["labels"]


def _readings(network, thetas):
    rows = []
    for theta in progress.bar("evaluation", iterable=thetas, unit="point"):
        seen, unseen = network.seen.evaluate(theta), network.unseen.evaluate(theta)
        labels = network.unseen.labels(unseen.outputs).numpy().astype(np.uint8)
        rows.append((seen.loss, seen.accuracy, unseen.loss, unseen.accuracy, labels))
    columns = zip(*rows, strict=True)
    return {name: np.array(c) for name, c in zip((*READINGS, "labels"), columns, strict=True)}


# ---- surfaces between them ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class OneByOne:
    """A surface each of whose points is made low by itself: see `wedges.connector`.

    Attributes:
      rate: Adam's, where it starts; it falls to 0 by a cosine.
      steps: for each point.
      start: where a point starts: flat or neighbour.
    """

    rate: float
    steps: int
    start: str = "flat"


@dataclasses.dataclass(frozen=True)
class Jointly:
    """A surface whose points are trained together on its mean loss: see `wedges.joint_connector`.

    Attributes:
      rate: as of `OneByOne`.
      steps: in all.
      seed: of the positions on the surface.
      normal: keep each point in the plane normal to the hull.
      samples: positions drawn in advance; None is one for each step.
      positions: dirichlet, uniform on the simplex; or faces, on all its faces alike.
      begin: where the points start, [F, D]; None is the flat hull.
    """

    rate: float
    steps: int
    seed: int
    normal: bool = True
    samples: int | None = None
    positions: str = "dirichlet"
    begin: np.ndarray | None = None


def surface(network, ends, basis, how, label):
    """A `wedges.Connector` of the optima `ends` [m + 1, D].

    basis: how its points are blended, one of `wedges.simplex`; how: a `OneByOne` or a `Jointly`.
    """
    make = {OneByOne: _one_by_one, Jointly: _jointly}[type(how)]
    told = {"kind": type(basis).__name__, **basis.config}, basis.arrays, len(basis.points)
    with progress.labelled(label):
        found = cache.cached(make, network, ends, told, how)
    return wedges.Connector(ends, basis, found["inner"])


def _basis(ends, config, arrays, points):
    return wedges.simplex.restore(config, arrays, m=len(ends) - 1, points=points)


def _one_by_one(network, ends, told, how):
    basis = _basis(ends, *told)
    with training.following((len(basis.points) - len(ends)) * how.steps) as follow:
        found = wedges.connector(
            network.descend,
            ends,
            basis,
            training.cosine_adam(how.rate, how.steps),
            how.steps,
            start=how.start,
            jit_compile=devices.compiled(),
            follow=follow,
        )
    return {"inner": found.vertices[len(ends) :]}


def _jointly(network, ends, told, how):
    basis = _basis(ends, *told)
    draw = {"dirichlet": wedges.simplex.dirichlet, "faces": wedges.simplex.faces}[how.positions]
    with training.following(how.steps) as follow:
        found = wedges.joint_connector(
            network.descend,
            ends,
            basis,
            training.cosine_adam(how.rate, how.steps),
            how.steps,
            seed=how.seed,
            normal=how.normal,
            start=wedges.Connector(ends, basis, how.begin),
            positions=draw,
            samples=how.samples,
            jit_compile=devices.compiled(),
            follow=follow,
        )
    return {"inner": found.vertices[len(ends) :]}
