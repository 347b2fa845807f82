"""Networks on data sets as landscapes, each made from one frozen `Problem`: all that its loss depends
on."""

import dataclasses
import functools

import wedges
from reproductions.bench import options
from reproductions.bench.options import above, at_least, option
from reproductions.common import data, models


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network, the data it is trained on, and how minibatches are drawn.

    Attributes:
      source: the data set.
      model: the network.
      batch_size: examples a step.
      initial: seed of the initial weights.
      seed: of minibatches and dropout.
      examples: trained on the first so many of the training set; None is all.
    """

    source: data.Source
    model: models.Model
    batch_size: int
    initial: int
    seed: int
    examples: int | None = None


@functools.lru_cache(maxsize=4)  # a graph is traced once for all that look at one network in turn
def landscape(problem):
    """The network on its training examples, as it is trained: with penalties, dropout, minibatches."""
    dataset = problem.source.load()
    x, y, _, _ = dataset.tensors
    part = slice(problem.examples)
    return wedges.NetworkLandscape(
        models.build(problem.model, dataset.shape, dataset.classes, seed=problem.initial),
        x[part],
        y[part],
        models.loss(),
        seed=problem.seed,
        batch_size=problem.batch_size,
        regularize=True,
    )


def start(problem):
    """The initial weights [D]."""
    return landscape(problem).space.read().numpy()


def dimension(problem):
    """D, how many weights the network has."""
    return landscape(problem).dimension


@functools.lru_cache(maxsize=4)
def seen(problem, examples=None, statistics=None):
    """The loss that is reported: without penalty and dropout, batch norm's statistics made for each
    theta.

    examples: on the first so many training examples; statistics: of batch norm, over the first so many
    of those that it is trained on; None is all.
    """
    x, y, _, _ = problem.source.load().tensors
    how = {"regularize": False, "batch_norm": "reestimate"}
    if statistics is not None:
        how["statistics_x"] = x[:statistics]
    return landscape(problem).on(x[:examples], y[:examples], **how)


@functools.lru_cache(maxsize=4)
def unseen(problem, statistics=None):
    """The same on the test set."""
    _, _, x, y = problem.source.load().tensors
    return seen(problem, None, statistics).on(x, y)


@options.settings
class NetworkConfig(data.DataConfig):
    """Settings of a figure that trains one kind of network."""

    model: str = option("network", models.NAMES, paper="simple_cnn")
    width: float = option("multiplies the network's widths", above(0, at_most=1000), paper=1.0)
    depth: int | None = option("layers (blocks) of the network; None: its own", at_least(1), paper=None)
    activation: str = option("nonlinearity", models.ACTIVATIONS, paper="tanh")
    batch_size: int = option("examples a step", at_least(1), paper=128, quick=32)

    def problem(self, *, initial, seed, batch_size=None, **model):
        """The `Problem` of these settings. batch_size, and in `model` whatever `models.Model` has: other
        values than theirs."""
        own = {"name": self.model, "width": self.width, "depth": self.depth}
        network = models.Model(**{**own, "activation": self.activation, **model})
        size = self.batch_size if batch_size is None else batch_size
        return Problem(data.source(self.dataset), network, size, initial, seed)
