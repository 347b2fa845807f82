"""Cells of a taxonomy grid: a few networks that differ in nothing but their seeds, trained and measured.

Everything that takes long is kept by its key, so that a killed grid goes on where it was, and grids with
cells in common share them.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress
from reproductions.bench.errors import UsageError, say
from reproductions.bench.options import Floats, Ints, at_least, between, one_of, option
from reproductions.common import data, networks, training
from reproductions.common.arrays import stacked

AXES = one_of("width", "data", "lr", "weight_decay")
CURVE_BATCH = 64  # examples a step of a curve's training


def ring(count):
    """[(i, j)]: each of so many with the next."""
    return list(wedges.phases.pairs_of("ring", count))


@options.settings
class GridConfig(networks.NetworkConfig):
    """Settings of a grid: a load-like setting against a temperature-like one."""

    dataset: str = options.but(quick="mnist1d")
    axis: str = option("width over batch size, or another axis for one of them", AXES, paper="width")
    width: Floats = option(
        "times the network's channels: the load; the middle one with --axis=data",
        paper=(0.25, 0.5, 1.0, 2.0),
        quick=(0.5, 4.0),
        smoke=(0.25, 0.5),
    )
    batch_size: Ints = option(
        "examples a step, small is hot; the middle one with --axis=lr or weight_decay",
        paper=(8, 16, 32, 64, 128),
        quick=(16, 64),
        smoke=(16,),
    )
    lr: Floats = option(
        "rate of SGD with momentum 0.9; one is taken x 4 to x 1/4 with --axis=lr",
        paper=(0.01,),
        quick=(0.05,),
    )
    weight_decay: Floats = option(
        "c in c |theta|^2 / 2; one is taken x 4 to x 1/4 with --axis=weight_decay",
        at_least(0),
        paper=(5e-4,),
    )
    decay: bool = option("let the rate fall to a tenth after 75% of the epochs", paper=False)
    examples: Ints = option(
        "of the training set, the first; one is taken x 1/4 to x 2 with --axis=data",
        paper=(5000,),
        quick=(1000,),
        smoke=(200,),
    )
    noise: Floats = option("share of the labels that are drawn anew", between(0, 1), paper=(0.0, 0.1))
    more_examples: int = option("a second amount of data; 0: none", at_least(0), paper=10_000, quick=0)
    more_width: Floats = option("widths at that amount", paper=(0.25, 0.5))
    seeds: int = option("networks a cell", at_least(2), paper=3, quick=2)
    epochs: int = option(
        "at most, or what --steps need; fewer once the loss has settled", paper=60, quick=40, smoke=4
    )
    steps: int = option(
        "that a cold network needs, whose epochs have few", paper=9000, quick=1800, smoke=20
    )
    curve_epochs: int = option("of a Bezier curve's training, batch 64", paper=40, quick=80, smoke=2)
    curve_lr: float = option(
        "its rate in the first half; it falls to a hundredth", paper=0.01, quick=0.05
    )
    hessian_examples: int = option(
        "training examples in the Hessian, the first", paper=500, quick=200, smoke=100
    )
    alike_examples: int = option("mixup inputs in the CKA", at_least(4), paper=640, smoke=100)

    def check(self):
        super().check()
        self._check_values()
        if not self.datasets:
            return
        amounts = [n for g in self.grids for n in (g.loads if self.axis == "data" else [g.examples])]
        most, least = max(amounts), min(amounts)
        largest = middle(self.batch_size) if self.axis in _RATES else max(self.batch_size)
        for name in self.datasets:
            if most > (size := len(data.source(name).load().y_train)):
                raise UsageError(
                    f"--examples={options.show(self.examples)}, --more_examples={self.more_examples}: "
                    f"the grid takes up to {most}, and {name} has {size} training examples."
                )
        if least < largest:
            raise UsageError(
                f"--batch_size={options.show(self.batch_size)}: must be at most the {least} examples of "
                "the smallest training set."
            )

    def _check_values(self):
        """Each value once; several only of what is an axis, above 0 where they are multiplied."""
        for name in ("width", "batch_size", "lr", "weight_decay", "examples", "noise", "more_width"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise UsageError(f"--{name}={options.show(values)}: name each value once.")
        for name, axis in (("lr", "lr"), ("weight_decay", "weight_decay"), ("examples", "data")):
            values = getattr(self, name)
            if len(values) > 1 and self.axis != axis:
                raise UsageError(f"--{name}={options.show(values)}: several only with --axis={axis}.")
        if self.axis == "weight_decay" and min(self.weight_decay) == 0:
            raise UsageError(
                f"--weight_decay={options.show(self.weight_decay)}: must be above 0 as an axis."
            )

    @property
    def curve(self):
        """How curves are trained."""
        return Curve(self.curve_epochs, self.curve_lr, self.seed)

    @property
    def grids(self):
        """The `Wanted` grids: one for each level of noise and amount of data."""
        loads = _several(self.examples, (0.25, 0.5, 1, 2)) if self.axis == "data" else self.width
        amounts = [(self.examples[0], loads)]
        if self.more_examples and self.axis != "data":
            amounts.append((self.more_examples, self.more_width))
        return [
            Wanted(noise, n, loads)
            for noise, (n, loads) in itertools.product(sorted(self.noise), amounts)
        ]

    @property
    def temperatures(self):
        """The values of the temperature-like setting, from hot to cold."""
        if self.axis in _RATES:
            return tuple(sorted(_several(getattr(self, self.axis), (4, 2, 1, 0.5, 0.25)), reverse=True))
        return tuple(sorted(self.batch_size))

    def cells(self, grid):
        """The `Cell`s of a `Wanted` grid, all temperatures of a load in turn."""
        return [self.cell(grid, load, t) for load in grid.loads for t in self.temperatures]

    def cell(self, grid, load, temperature):
        """The `Cell` of a `Wanted` grid."""
        at = {
            "width": middle(self.width),
            "batch_size": middle(self.batch_size),
            "examples": grid.examples,
        }
        at |= {"lr": self.lr[0], "weight_decay": self.weight_decay[0]}
        at["examples" if self.axis == "data" else "width"] = load
        at[self.axis if self.axis in _RATES else "batch_size"] = temperature
        problem = self.problem(initial=0, seed=0, batch_size=at["batch_size"], width=at["width"])
        problem = dataclasses.replace(problem, examples=int(at["examples"]), noise=grid.noise)
        epochs = max(self.epochs, -(-self.steps // max(1, problem.examples // problem.batch_size)))
        how = {"weight_decay": at["weight_decay"], "drop": 0.75 if self.decay else None}
        return Cell(problem, training.Recipe("momentum", at["lr"], epochs, **how), self.seed, self.seeds)


_RATES = ("lr", "weight_decay")


def _several(values, times):
    """The values; of a single one its multiples."""
    return values if len(values) > 1 else tuple(type(values[0])(values[0] * t) for t in times)


def middle(values):
    """The middle one."""
    return values[len(values) // 2]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A grid that is to be trained: at one level of noise, on one amount of data if that is no axis."""

    noise: float
    examples: int
    loads: tuple

    @property
    def name(self):
        """What its arrays are called by."""
        return f"{self.noise:g}, {self.examples}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """Networks that differ in nothing but their seeds.

    Attributes:
      problem: of any of them; the seeds in it count for nothing.
      recipe: how they are trained.
      first, seeds: the first of their seeds, and how many there are.
    """

    problem: networks.Problem
    recipe: training.Recipe
    first: int
    seeds: int

    @property
    def members(self):
        """The `Problem` of each of them."""
        seeds = range(self.first, self.first + self.seeds)
        return [dataclasses.replace(self.problem, initial=s, seed=s) for s in seeds]

    @property
    def seen(self):
        """The `Problem` that its networks are measured on: the same for all cells with this network and
        these data, whatever their seeds and batch size, so that its graphs are traced once."""
        return dataclasses.replace(self.problem, initial=0, seed=0, batch_size=CURVE_BATCH)

    @property
    def pairs(self):
        """The pairs of its networks that are compared, [(i, j)]: each with the next, in a ring."""
        return ring(self.seeds)

    @property
    def label(self):
        """What it is called where its progress is shown."""
        p, r = self.problem, self.recipe
        how = f"width {p.model.width:g}, batch {p.batch_size}, lr {r.learning_rate:g}"
        return f"noise {p.noise:g}, {p.examples} examples, {how}"


def measured(config):
    """{`Cell`: all that is measured of it} of all grids of a `GridConfig`."""
    # The largest first, so that no process is left alone with them at the end; those that are measured
    # on the same landscape in turn.
    wanted = dict.fromkeys(itertools.chain(*map(config.cells, config.grids)))
    order = sorted(wanted, key=lambda c: (-c.problem.model.width, c.problem.noise, c.problem.examples))
    members = [(cell, i) for cell in order for i in range(cell.seeds)]
    parallel.over(train, progress.bar("networks", iterable=members, unit="network"))
    looks = Looks(config.hessian_examples, config.alike_examples, config.curve)
    watched = progress.bar("cells", iterable=order, unit="cell")
    return dict(zip(order, parallel.over(functools.partial(look, looks), watched), strict=True))


# ---- training and measuring one ---------------------------------------------------------------------


def train(member):
    """A network of a cell: its weights [D], the losses of its steps, how many epochs it took."""
    cell, i = member
    # With a rate that falls, all of its epochs are run.
    until = training.Settled(least=cell.recipe.epochs + 1) if cell.recipe.drop else training.Settled()
    trained = training.train(cell.members[i], cell.recipe, label=f"{cell.label}, seed {i}", until=until)
    theta = trained.snapshots[-1] if len(trained.snapshots) else trained.theta
    each = cell.problem.examples // cell.problem.batch_size
    means = trained.losses.reshape(-1, each).mean(axis=1)
    return theta, {
        "steps": len(trained.losses),
        "settled": len(means) < cell.recipe.epochs,
        "running": means[-1],
    }


@dataclasses.dataclass(frozen=True)
class Looks:
    """How much is measured.

    Attributes:
      hessian_examples: training examples in the Hessian, the first.
      alike_examples: mixup inputs.
      curve: how the curve between two networks is trained.
    """

    hessian_examples: int
    alike_examples: int
    curve: "Curve"


def look(looks, cell):
    """All that is measured of a cell: arrays [seeds], and [pairs] of its pairs of networks. NaN of a
    network that diverged in its first epoch, and of its pairs."""
    thetas, how = zip(*[train((cell, i)) for i in range(cell.seeds)], strict=True)
    if lost := [i for i, theta in enumerate(thetas) if not np.isfinite(theta).all()]:
        say(f"{cell.label}: diverged at once, seeds {', '.join(str(cell.first + i) for i in lost)}.")
    with progress.labelled(cell.label):
        own = [cache.cached(local, cell.seen, theta, looks.hessian_examples) for theta in thetas]
        ends = [(thetas[i], thetas[j]) for i, j in cell.pairs]
        pairs = [cache.cached(between, cell.seen, *each, looks.curve) for each in ends]
        alike = cache.cached(together, cell.seen, np.stack(thetas), looks.alike_examples)
    at = tuple(np.transpose(cell.pairs))
    return stacked(how) | stacked(own) | stacked(pairs) | {name: a[at] for name, a in alike.items()}


# What is measured of a network, of a pair of them (single numbers, and along the curve), and of all.
LOCAL = ("train_loss", "train_acc", "test_loss", "test_acc", "top", "trace", "trace_error", "norm")
BETWEEN = ("mc", "mc_t", "peak", "mc_fine", "barrier", "dip")
ALONG = ("curve_error", "curve_loss")
TOGETHER = ("cka", "cka_unbiased", "agreement", "l2")


def local(problem, theta, examples):
    """Losses and errors at one network, and its Hessian on the first training examples."""
    if not np.isfinite(theta).all():
        return dict.fromkeys(LOCAL, np.nan)
    seen = networks.seen(problem)
    train, test = seen.evaluate(theta), networks.unseen(problem).evaluate(theta)
    hessian = wedges.hessian(networks.seen(problem, examples), theta)
    total = wedges.trace(hessian, 30, seed=0)
    return {
        "train_loss": train.loss,
        "train_acc": 100 * train.accuracy,
        "test_loss": test.loss,
        "test_acc": 100 * test.accuracy,
        "top": wedges.eigenpairs(hessian, 1, seed=0, tolerance=0.01).values[0],
        "trace": total.mean,
        "trace_error": total.error,
        "norm": np.linalg.norm(theta),
    }


@dataclasses.dataclass(frozen=True)
class Curve:
    """How the curve between two networks is trained: `wedges.phases.mode_connectivity`."""

    epochs: int
    learning_rate: float
    seed: int
    bend: str = "linear"


def between(problem, a, b, curve):
    """Mode connectivity of two networks: on five t, on 21, barrier and dip, errors in percent [21]."""
    if not np.isfinite([a, b]).all():
        return dict.fromkeys(BETWEEN, np.nan) | dict.fromkeys(ALONG, np.full(21, np.nan))
    seen = networks.seen(problem)
    steps = curve.epochs * seen.steps_per_epoch
    with training.following(steps) as follow:
        how = {"learning_rate": curve.learning_rate, "bend": curve.bend, "follow": follow}
        found = wedges.phases.mode_connectivity(seen, a, b, seed=curve.seed, steps=steps, **how)
    return {
        "mc": found.mc,
        "mc_t": found.t,
        "peak": -found.peak,
        "mc_fine": found.fine.mc,
        "barrier": found.fine.barrier,
        "dip": found.fine.dip,
        "curve_error": found.errors,
        "curve_loss": found.losses,
    }


def together(problem, thetas, examples):
    """Likenesses of the networks of a cell, [seeds, seeds] each."""
    alive = np.isfinite(thetas).all(axis=1)
    if alive.sum() < 2:
        return dict.fromkeys(TOGETHER, np.full(2 * alive.shape, np.nan))
    found = wedges.phases.similarity(networks.seen(problem), thetas[alive], seed=0, examples=examples)
    whole = {name: np.full(2 * alive.shape, np.nan) for name in TOGETHER}
    values = found.cka, found.unbiased, found.agreement, found.distance
    for own, value in zip(whole.values(), values, strict=True):
        own[np.ix_(alive, alive)] = value
    return whole


def audit(curve, cell):
    """mc of a cell's first pair: as it was measured, after 4 times the steps, and then from a random
    bend, [3]; also on 21 t."""
    (a, _), (b, _) = train((cell, 0)), train((cell, 1))
    longer = dataclasses.replace(curve, epochs=4 * curve.epochs)
    kinds = [curve, longer, dataclasses.replace(longer, bend="random")]
    with progress.labelled(f"audit, {cell.label}"):
        found = [cache.cached(between, cell.seen, a, b, kind) for kind in kinds]
    return {name: np.array([each[name] for each in found]) for name in ("mc", "mc_fine")}
