"""Which networks are trained for the straight line from their first weights to their last, and how.

Groups of runs: "grid", a perceptron over optimizer, learning rate and batch norm; "depth", one setting
of it over depth; "regression", a perceptron that learns numbers; "cnn", the convolutional network.
"""

import dataclasses
import functools
import itertools

import numpy as np

from reproductions.bench import cache, options, parallel, progress
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, at_least, between, one_of, option
from reproductions.common import data, lines, models, perceptron, training
from reproductions.common.arrays import stacked

OPTIMIZERS = {"momentum": "SGD", "adam": "Adam"}  # and what they are called
_APART = 1000  # seeds of fresh starts are so far from those of the runs


@options.settings
class Config(data.DataConfig):
    """Settings of the runs."""

    dataset: str = options.but(paper="fashion_mnist", quick="mnist1d")
    examples: int = option(
        "training examples, the first: trained on, and in every loss",
        at_least(10),
        paper=10_000,
        quick=1000,
        smoke=200,
    )
    width: int = option("units of a hidden layer", paper=128, smoke=16)
    depths: Ints = option(
        "hidden layers; the first is the grid's",
        between(1, 20),
        paper=(2, 3, 4, 5),
        quick=(2, 5),
        smoke=(2,),
    )
    lr: Floats = option(
        "rates of SGD with momentum 0.9 in the grid",
        paper=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        quick=(0.003, 0.01, 0.03, 0.1, 0.3),
        smoke=(0.03,),
    )
    adam_lr: Floats = option(
        "rates of Adam in the grid",
        paper=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
        quick=(1e-3, 3e-3, 1e-2, 3e-2),
        smoke=(1e-2,),
    )
    batch_size: int = option("examples a step", paper=128, quick=32)
    epochs: int = option("of training", paper=30, quick=120, smoke=3)
    seeds: int = option("networks of each setting", paper=3, quick=2, smoke=1)
    points: int = option("on a line, even, both ends included", at_least(3), paper=50, smoke=12)
    converged: float = option("a run whose training loss ends above is dropped", paper=0.1, smoke=3.0)
    fresh: int = option("random starts besides the own one, without batch norm", paper=2, quick=1)
    depth_lr: float = option("rate of SGD with momentum 0.9 for all depths", paper=0.03)
    regression_width: Ints = option(
        "units of the regressions' one hidden layer", paper=(128, 1024), quick=(1024,), smoke=(64,)
    )
    targets: Floats = option("size of a regression's targets", paper=(0.1, 3.0), quick=(0.1,))
    regression_lr: float = option("their rate of SGD with momentum 0.9", paper=0.002, quick=0.005)
    regression_adam_lr: float = option("their rate of Adam", paper=1e-3)
    regression_examples: int = option(
        "training examples of a regression, the first", at_least(10), paper=256, smoke=40
    )
    regression_epochs: int = option("of their training", paper=500, quick=800, smoke=10)
    cnn_dataset: str = option(
        "data set of SimpleCNN",
        one_of(*data.NAMES),
        needs=data.needs,
        paper="cifar10",
        quick="mnist1d",
    )
    cnn_examples: int = option("its training examples", at_least(10), paper=5000, quick=1000, smoke=100)
    cnn_epochs: int = option("of its training", paper=40, quick=20, smoke=2)
    cnn_lr: Floats = option("its rates of SGD with momentum", paper=(0.01, 0.1), quick=(0.1,))
    cnn_adam_lr: Floats = option("its rates of Adam", paper=(1e-3, 1e-2), quick=(1e-2,))
    cnn_converged: float = option("of its runs, as --converged", paper=1.0, smoke=3.0)

    @property
    def datasets(self):
        """The names of both data sets."""
        return tuple(dict.fromkeys((self.dataset, self.cnn_dataset)))

    def check(self):
        super().check()
        for name in ("depths", "lr", "adam_lr", "regression_width", "targets", "cnn_lr", "cnn_adam_lr"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise UsageError(f"--{name}={options.show(values)}: name each value once.")
        for name, of in (
            ("examples", self.dataset),
            ("regression_examples", self.dataset),
            ("cnn_examples", self.cnn_dataset),
        ):
            given = getattr(self, name)
            if self.batch_size > given:
                raise UsageError(f"--batch_size={self.batch_size}: must be at most --{name}={given}.")
            if given > (size := len(data.source(of).load().y_train)):
                raise UsageError(f"--{name}={given}: {of} has {size} training examples.")

    # ---- settings and runs ----

    @property
    def settings(self):
        """The `Setting`s of the grid."""
        rates = [*_settings("momentum", self.lr), *_settings("adam", self.adam_lr)]
        return [dataclasses.replace(s, batch_norm=norm) for norm in (False, True) for s in rates]

    @property
    def cnn_settings(self):
        """Those of SimpleCNN, which has no batch norm."""
        return [*_settings("momentum", self.cnn_lr), *_settings("adam", self.cnn_adam_lr)]

    @property
    def regressions(self):
        """[(width, targets, `Setting`)] of the regressions."""
        settings = [
            Setting("momentum", self.regression_lr),
            Setting("adam", self.regression_adam_lr),
        ]
        return list(itertools.product(self.regression_width, self.targets, settings))

    @property
    def groups(self):
        """{group: rows of `Run`s, a row for each setting and a run for each seed}."""
        plain = Setting("momentum", self.depth_lr)
        return {
            "grid": [self._row(setting, depth=self.depths[0]) for setting in self.settings],
            "depth": [self._row(plain, depth=depth) for depth in self.depths],
            "regression": [self._regressions(*which) for which in self.regressions],
            "cnn": [self._cnns(setting) for setting in self.cnn_settings],
        }

    def _row(self, setting, depth):
        network = perceptron.Perceptron(self.width, depth, setting.batch_norm)
        label = f"{setting.label}, {depth} layers"
        return self._runs(network, self.dataset, self.examples, self.epochs, setting, label)

    def _regressions(self, width, targets, setting):
        network, label = perceptron.Perceptron(width, 1), f"regression, width {width}, {setting.label}"
        of = self.dataset, self.regression_examples, self.regression_epochs
        return self._runs(network, *of, setting, f"{label}, targets {targets:g}", targets)

    def _cnns(self, setting):
        network, of = models.Model("simple_cnn"), (self.cnn_dataset, self.cnn_examples, self.cnn_epochs)
        return self._runs(network, *of, setting, f"SimpleCNN, {setting.label}")

    def _runs(self, network, dataset, examples, epochs, setting, label, targets=None):
        recipe, source = training.Recipe(setting.optimizer, setting.rate, epochs), data.source(dataset)
        tasks = [
            lines.Task(source, network, examples, self.batch_size, seed, seed, targets)
            for seed in self.repeats
        ]
        return [Run(task, recipe, self.points, f"{label}, seed {task.seed}") for task in tasks]


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a network of the grid is trained."""

    optimizer: str
    rate: float
    batch_norm: bool = False

    @property
    def kind(self):
        """Optimizer and batch norm, in words."""
        return OPTIMIZERS[self.optimizer] + ", batch norm" * self.batch_norm

    @property
    def label(self):
        """What it is called."""
        return f"{OPTIMIZERS[self.optimizer]} {self.rate:g}" + ", batch norm" * self.batch_norm


def _settings(optimizer, rates):
    return [Setting(optimizer, rate) for rate in sorted(rates)]


@dataclasses.dataclass(frozen=True)
class Run:
    """A network that is trained and whose line is measured.

    Attributes:
      task, recipe: what it learns, and how.
      points: on its line.
      label: what it is called.
    """

    task: lines.Task
    recipe: training.Recipe
    points: int
    label: str

    @property
    def looks(self):
        """The epochs after which the loss of all examples is looked at: 0, 1, 2, 4, ... and the last."""
        return looks(self.recipe.epochs)

    @property
    def ends(self):
        """Its training, as `lines.trained` says."""
        return cache.cached(lines.trained, self.task, self.recipe, self.looks)


def looks(epochs):
    """0, the powers of two below the number of epochs, and it.

    >>> looks(30)
    (0, 1, 2, 4, 8, 16, 30)
    """
    powers = itertools.takewhile(lambda n: n < epochs, (2**k for k in itertools.count()))
    return (0, *powers, epochs)


# ---- measuring --------------------------------------------------------------------------------------


def measured(config):
    """{group: {name: array [settings, seeds, ...]}} of all that is measured of the runs, the lines from
    other starts in the group "starts"."""
    groups = config.groups
    # The longest first, so that no process is left alone with them at the end.
    order = [
        run for name in ("cnn", "regression", "depth", "grid") for row in groups[name] for run in row
    ]
    runs = list(dict.fromkeys(order))
    watched = progress.bar("runs", iterable=runs, unit="run")
    found = dict(zip(runs, parallel.over(follow, watched), strict=True))
    arrays = {
        name: stacked([stacked([found[run] for run in row]) for row in rows])
        for name, rows in groups.items()
    }
    rows = [row for row, s in zip(groups["grid"], config.settings, strict=True) if not s.batch_norm]
    plain = [run for row in rows for run in row]
    watched = progress.bar("other starts", iterable=plain, unit="run")
    others = parallel.over(functools.partial(from_other_starts, config.fresh), watched)
    table = {name: a.reshape(len(rows), -1, *a.shape[1:]) for name, a in stacked(others).items()}
    return arrays | {"starts": table}


def ends_below(training, loss):
    """Whether a training [..., looks] ended at this loss or below; no if it diverged."""
    return np.asarray(training)[..., -1] <= loss


def follow(run):
    """A run's training [looks] and its line, as `lines.line` says, and, of a regression, as
    `lines.bounds` does; NaN of weights that diverged."""
    with progress.labelled(run.label):
        ends, measured = run.ends, run.task.measured
        found = {"training": ends["training"]}
        on_line = measured, ends["start"], ends["end"], run.points
        regression = run.task.targets is not None
        if not np.isfinite(ends["end"]).all():
            lost = lines.no_bounds(run.task.examples) if regression else {}
            return found | lines.no_line(run.points) | lost
        found |= cache.cached(lines.line, *on_line)
        return found | (cache.cached(lines.bounds, *on_line) if regression else {})


def from_other_starts(fresh, run):
    """The losses on lines to the end of a run from so many random starts, "random" [fresh, points], and
    from zero, "zero" [points]; NaN of weights that diverged."""
    end, measured = run.ends["end"], run.task.measured
    if not np.isfinite(end).all():
        shapes = {"random": (fresh, run.points), "zero": run.points}
        return {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    with progress.labelled(run.label):
        seeds = [run.task.seed + _APART * (k + 1) for k in range(fresh)]
        starts = [lines.start(dataclasses.replace(run.task, initial=seed)) for seed in seeds]
        each = [
            cache.cached(lines.line, measured, first, end, run.points)["losses"]
            for first in (*starts, np.zeros_like(end))
        ]
        return {"random": np.array(each[:-1]), "zero": each[-1]}
