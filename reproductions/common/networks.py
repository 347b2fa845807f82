"""Networks on data sets as landscapes, each made from one frozen `Problem`: all that its loss depends
on."""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import options
from reproductions.bench.options import above, at_least, option
from reproductions.common import data, models

_SEED_OF_NOISE = 12345  # of labels that are drawn anew, as in the code of Yang et al. 2021


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
      noise: share of the training labels that are drawn anew, uniformly from all classes, so that a
        C-th of them stay right; the same ones for every seed. Test labels stay as they are.
    """

    source: data.Source
    model: models.Model
    batch_size: int
    initial: int
    seed: int
    examples: int | None = None
    noise: float = 0.0


def training_set(problem):
    """x [N, ...] and y [N] that it is trained on, as tensors, the noise in y."""
    return _training_set(problem.source, problem.examples, problem.noise)


@functools.lru_cache(maxsize=2)  # several landscapes share them
def _training_set(source, examples, noise):
    import tensorflow as tf

    dataset = source.load()
    y = dataset.y_train.copy()
    random = np.random.default_rng(_SEED_OF_NOISE)
    anew, drawn = random.random(len(y)) < noise, random.integers(dataset.classes, size=len(y))
    y[anew] = drawn[anew]
    return tuple(tf.convert_to_tensor(a[:examples]) for a in (dataset.x_train, y))


@functools.lru_cache(maxsize=2)
def test_set(source):
    """x and y of the test set, as tensors."""
    import tensorflow as tf

    dataset = source.load()
    return tuple(tf.convert_to_tensor(a) for a in (dataset.x_test, dataset.y_test))


@functools.lru_cache(maxsize=4)  # a graph is traced once for all that look at one network in turn
def landscape(problem):
    """The network on its training examples, as it is trained: with penalties, dropout, minibatches."""
    dataset = problem.source.load()
    return wedges.NetworkLandscape(
        models.build(problem.model, dataset.shape, dataset.classes, seed=problem.initial),
        *training_set(problem),
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

    examples: on the first so many of those that it is trained on; statistics: of batch norm, over the
    first so many of these; None is all.
    """
    x, y = training_set(problem)
    how = {"regularize": False, "batch_norm": "reestimate"}
    if statistics is not None:
        how["statistics_x"] = x[:statistics]
    return landscape(problem).on(x[:examples], y[:examples], **how)


@functools.lru_cache(maxsize=4)
def unseen(problem, statistics=None):
    """The same on the test set."""
    return seen(problem, None, statistics).on(*test_set(problem.source))


@options.settings
class NetworkConfig(data.DataConfig):
    """Settings of a figure that trains one kind of network."""

    model: str = option("network", models.ANY, paper="simple_cnn")
    width: float = option("multiplies the network's widths", above(0, at_most=1000), paper=1.0)
    depth: int | None = option("layers (blocks) of the network; None: its own", at_least(1), paper=None)
    activation: str = option("nonlinearity", models.ACTIVATIONS, paper="tanh")
    batch_size: int = option("examples a step", at_least(1), fits=data.holds_batch, paper=128, quick=32)

    def check(self):
        models.mark(self.model)
        super().check()

    def problem(self, *, initial, seed, batch_size=None, **model):
        """The `Problem` of these settings. batch_size, and in `model` whatever `models.Model` has: other
        values than theirs."""
        own = {"name": self.model, "width": self.width, "depth": self.depth}
        own["code"] = models.mark(self.model)
        network = models.Model(**{**own, "activation": self.activation, **model})
        size = self.batch_size if batch_size is None else batch_size
        return Problem(data.source(self.dataset), network, size, initial, seed)
