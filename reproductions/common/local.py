"""What the four figures of local geometry share: networks, their training, curvature on the way, the
model.

A network and its measurements are kept for all four: their keys hold nothing of the figure that asked.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress
from reproductions.bench.errors import UsageError
from reproductions.bench.options import above, at_least, but, one_of, option
from reproductions.common import data, models, networks, pictures, training
from reproductions.common.arrays import named, stacked, under

SOURCE = "Fort & Ganguli 2019, arXiv:1910.05929"


@options.settings
class Config(data.DataConfig):
    """Settings of the four figures."""

    seed: int = but(paper=3, quick=0)  # 0 was the pilot's
    dataset: tuple[str, ...] = option(
        "data set, or one for each of --networks",
        one_of(*data.NAMES),
        needs=data.needs,
        repeats=True,
        paper=("cifar10", "fashion_mnist"),
        quick=("digits",),
    )
    networks: tuple[str, ...] = option(
        "networks, one row of the figure each", models.NAMES, paper=("simple_cnn", "fc"), smoke=("fc",)
    )
    activation: str = option("nonlinearity", models.ACTIVATIONS, paper="tanh")
    seeds: int = option(
        "independent repetitions (initial weights, minibatches)", at_least(1), paper=3, quick=1
    )
    train_examples: int = option(
        "training examples, the first of the set; few enough to be fitted",
        at_least(10),
        paper=5000,
        quick=1000,
    )
    examples: int = option(
        "of the training examples, how many (the first) are in every loss, gradient and curvature",
        at_least(10),
        paper=500,
        quick=200,
        smoke=100,
    )
    epochs: int = option("epochs of training", at_least(1), paper=100, quick=80, smoke=10)
    learning_rate: float = option(
        "constant rate of SGD with momentum 0.9", above(0), flag="lr", paper=0.01
    )
    batch_size: int = option("examples a step", at_least(1), fits=data.holds_batch, paper=128, quick=32)
    looks: int = option(
        "points of training that are looked at, the start and the end among them",
        at_least(4),
        paper=8,
        smoke=4,
    )

    def check(self):
        names, sets = ",".join(self.networks), ",".join(self.dataset)
        if len(set(self.networks)) < len(self.networks):
            raise UsageError(f"--networks={names}: name each network once.")
        if len(self.dataset) not in (1, len(self.networks)):
            raise UsageError(f"--dataset={sets}: name one, or one for each of the networks {names}.")
        super().check()

    @property
    def rows(self):
        """[(network, data set)]: the rows of a figure."""
        sets = self.dataset * (len(self.networks) if len(self.dataset) == 1 else 1)
        return list(zip(self.networks, sets, strict=True))

    @property
    def subjects(self):
        """What a figure is about: a `Subject` for each of its rows, and the simple model."""
        rows = [Subject(str(i), f"{name} on {source}") for i, (name, source) in enumerate(self.rows)]
        return [*rows, Subject("model", "model")]

    def network(self, row, seed):
        """The `Network` of a row of the figure, fresh from a seed."""
        name, source = self.rows[row]
        model = models.Model(name, activation=self.activation)
        how = {"initial": seed, "seed": seed, "examples": self.train_examples}
        problem = networks.Problem(data.source(source), model, self.batch_size, **how)
        return Network(problem, self.examples)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network on a data set, or the simple model.

    Attributes:
      prefix: before the names of its arrays.
      label: what it is called.
    """

    prefix: str
    label: str

    @property
    def id(self):
        """Its word in the ids of claims."""
        return self.label.split()[0]

    @property
    def is_model(self):
        return self.prefix == "model"

    @property
    def title(self):
        return "the simple model" if self.is_model else self.label

    def own(self, arrays):
        """{name: array} of those of a figure's arrays that are about it, without the prefix."""
        return under(self.prefix, arrays)

    def times(self, arrays):
        """Where it was looked at along training: steps [looks], or the model's `TIMES`."""
        return TIMES if self.is_model else arrays[f"{self.prefix} steps"][0]


def how_trained(config):
    """The line of a title that says what its curves are of."""
    several = "mean and standard deviation of " if config.seeds > 1 else ""
    return (
        f"{several}{pictures.counted(config.seeds, 'seed')}; SGD with momentum, rate "
        f"{config.learning_rate:g}, {config.train_examples:,} training examples, "
        f"{config.examples:,} of them in each Hessian"
    )


def heading(subject):
    """What a subject is called over its panel: "SimpleCNN on CIFAR-10"."""
    network, _, source = subject.label.partition(" on ")
    if subject.is_model:
        return "The simple model"
    return pictures.sentence(f"{pictures.named(network)} on {pictures.named(source)}")


# ---- networks along their training -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to be trained, and the first `examples` of its training set, where it is looked at."""

    problem: networks.Problem
    examples: int

    @property
    def seen(self):
        """The landscape of these examples."""
        return _seen(self)

    @property
    def labels(self):
        """The classes of these examples, [N]."""
        return self.problem.source.load().y_train[: self.problem.examples][: self.examples]


@functools.lru_cache(maxsize=4)  # as `networks.landscape`
def _seen(network):
    train = networks.landscape(network.problem)
    part = slice(network.examples)
    return train.on(train.x[part], train.y[part], evaluation_batch_size=100)


def by_row(config, function):
    """function((row, seed)) of every network and seed, dicts of arrays, as {"<row> name": [seeds, ...]};
    side by side."""
    found = parallel.over(function, list(itertools.product(range(len(config.rows)), config.repeats)))
    arrays = {}
    for i in range(len(config.rows)):
        arrays |= named(str(i), stacked(found[i * config.seeds : (i + 1) * config.seeds]))
    return arrays


def along(config, measure, item, which=slice(None)):
    """measure(network, theta [D]) -> dict of arrays, at each step of a training that is looked at, or at
    `which` of them; stacked over steps, with "steps"."""
    row, seed = item
    network = config.network(row, seed)
    label = f"{config.networks[row]}, seed {seed}"
    steps = looks(config.epochs * networks.landscape(network.problem).steps_per_epoch, config.looks)
    recipe = training.Recipe("momentum", config.learning_rate, config.epochs)
    trained = training.train(network.problem, recipe, label=label, marks=steps[1:])
    thetas = np.concatenate([networks.start(network.problem)[None], trained.snapshots])
    with progress.labelled(label):
        shown = progress.bar(measure.__name__, iterable=thetas[which], unit="point")
        found = [cache.cached(measure, network, theta) for theta in shown]
    return {"steps": np.array(steps)[which], **stacked(found)}


def looks(last, count):
    """Up to `count` different steps of a training, from 0 to the `last`, even in log(1 + step / 30)."""
    spaced = 30 * np.expm1(np.linspace(0, np.log1p(last / 30), count))
    return tuple(int(step) for step in np.unique(np.round(spaced).astype(int)))


def curvature(network, theta):
    """What figures about gradient and curvature show of one point.

    loss, accuracy []; eigenvalues [C], the largest of H; captured [C]: the share of |g|^2 in the span of
    the first 1, ..., C eigenvectors; trace and trace_error []; gauss_newton [], the largest eigenvalue
    of G; length [], mean |dz_k|; left [], mean of sum_k p_k (1 - p_k); spread [], of logits."""
    landscape = network.seen
    matrix = wedges.hessian(landscape, theta)
    seen = landscape.evaluate(theta)
    logits = seen.outputs
    classes = logits.shape[1]
    p = landscape.probabilities(seen.outputs).numpy()
    gradient = landscape.value_and_gradient(theta)[1].numpy().astype(np.float64)
    top = wedges.eigenpairs(matrix, classes, seed=0, tolerance=0.01)
    trace = wedges.curvature.hutch_plus_plus(matrix, 60, seed=0)
    inner = wedges.eigenpairs(wedges.gauss_newton(landscape, theta), 1, seed=0, tolerance=0.01)
    rows = landscape.output_gradients(theta, min(10, landscape.size)).numpy()
    return {
        "loss": seen.loss,
        "accuracy": seen.accuracy,
        "eigenvalues": top.values,
        "captured": np.cumsum((top.vectors @ gradient) ** 2) / (gradient @ gradient),
        "trace": trace.mean,
        "trace_error": trace.error,
        "gauss_newton": inner.values[0],
        "length": np.linalg.norm(rows, axis=-1).mean(),
        "left": np.mean(np.sum(p * (1 - p), axis=1)),
        "spread": logits.std(axis=0).mean(),
        "dimension": landscape.dimension,
    }


# ---- the simple model ------------------------------------------------------------------------------

# One set of parameters for all four properties. Chosen to be like the networks here: logits' spread and
# gradients' length grow 17 and 4 times from start to end, and eigenvalues of the residual are about as
# far below 0 as theirs at the start.
MODEL = {"dimension": 1000, "examples": 300, "classes": 10, "noise": 1.0, "bias": 0.2, "bend": 5.0}
_SPREAD, _LENGTH, _MARGIN = (0.3, 5.0), (10.0, 40.0), 3.0
_LAYERS = 4  # of a homogeneous network: what its weights' scale does
TIMES = np.linspace(0, 1, 11)  # shares of its training at which it is looked at along it


def model(seed, **changes):
    """The simple model with these parameters."""
    return wedges.clustered.ClusteredLogits(seed=seed, **{**MODEL, **changes})


def trained(simple, t, growth=True):
    """The model at a share t of its training, from 0 to 1; `growth` of the logit gradients' length."""
    grown = lambda ends, t: ends[0] * (ends[1] / ends[0]) ** t
    length = grown(_LENGTH, t if growth else 0)
    return simple.at(spread=grown(_SPREAD, t), length=length, margin=_MARGIN * t)


def at_radius(simple, r):
    """The model before training, all weights times r: logits of a homogeneous network of L layers grow
    like r^L, their gradients like r^(L - 1), second derivatives like r^(L - 2)."""
    point = simple.at(spread=_SPREAD[0] * r**_LAYERS, length=_LENGTH[0] * r ** (_LAYERS - 1))
    return point._replace(residual=point.residual / r)


def spectrum(point):
    """Eigenvalues [D], falling, and vectors [D, D] as rows, of G + R of a model's point."""
    values, vectors = np.linalg.eigh(point.factor.T @ point.factor + point.residual)
    return values[::-1], vectors.T[::-1]
