"""The paper's core claims on one network and one data set, whichever these are.

What the figures measure on their own network is measured here by the same functions, in smaller sizes,
and judged by the same bounds: the wells of Figure 2, the tunnel of Figure 3, the widths of Figure 5 in a
sweep of the learning rate, the averages of Figure 6, and a connector of m + 1 = 4 optima.
"""

import dataclasses

import numpy as np

from reproductions.bench import cache, options, progress
from reproductions.bench.claims import Claim
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, at_least, between, option
from reproductions.common import (
    averaging,
    data,
    networks,
    optima,
    surfaces,
    training,
    tunnels,
    wells,
    widths,
)
from reproductions.common.arrays import named, stacked, under

M = 3  # of the connector
FACTORS = (0.5, 1.0, 2.0, 4.0)  # of the optima's learning rate, in its sweep
_MULTIPLE = 2.0  # of the optimum's loss, where a tunnel's width ends, as in Figure 5
_LOOKS = 6  # at the training loss, an epoch of the sweep
_WHOLE = {"names": ("flat", "joint"), "places": ("held",)}  # of the surfaces of `surfaces`


SIGNALS = ("mnist1d",)  # whose settings are the second of each pair
_PAIRS = (
    "lr",
    "epochs",
    "width_epochs",
    "start_epochs",
    "cycle_epochs",
    "cycle_batch_size",
    "low",
    "high",
)


@options.settings
class Config(data.DataConfig):
    """How much is measured of each setting. Of a pair the first number is for images, the second for the
    signals of MNIST-1D; both have the rates of Figure 6's own presets."""

    lr: Floats = option("Adam's constant rate in training, a pair", repeats=True, paper=(1e-3, 2e-3))
    epochs: Ints = option(
        "epochs of training each optimum, a pair",
        at_least(2),
        repeats=True,
        paper=(15, 60),
        quick=(10, 24),
        smoke=(10, 10),
    )
    width_epochs: Ints = option(
        "of these, until the loss at which widths are compared, a pair",
        repeats=True,
        paper=(5, 10),
        smoke=(5, 5),
    )
    start_epochs: Ints = option(
        "more of them before cycles start, a pair",
        at_least(0),
        repeats=True,
        paper=(25, 0),
        quick=(0, 0),
    )
    batch_size: int = option("examples a step", fits=data.holds_batch, paper=64, smoke=32)
    examples: int = option("training examples, the first of each data set", paper=10_000, smoke=600)
    shown: int = option("of these, in every reported loss", paper=2000, quick=1000, smoke=300)
    probed: int = option("of these, in wells and widths", paper=500, smoke=200)
    directions: int = option("directions from each optimum", at_least(2), paper=20, quick=10, smoke=6)
    distances: int = option("distances along each", at_least(4), paper=10, smoke=8)
    side: int = option("points along each side of a cut", at_least(5), paper=11, smoke=5)
    segments: int = option("S, segments of the tunnel", between(6, 1000), paper=8, smoke=6)
    steps: int = option("gradient steps a point between optima", paper=500, quick=100, smoke=20)
    rate: float = option(
        "Adam's rate there, where it starts; it falls to 0 by a cosine", flag="path_lr", paper=3e-3
    )
    held_out: int = option("held-out positions on the joint surface", paper=8, smoke=3)
    seeds: int = option("networks at each rate of the sweep", between(1, M + 1), paper=3, quick=2)
    width_directions: int = option("directions of a width", at_least(2), paper=6, smoke=3)
    cycles: int = option("cycles at each maximal rate", at_least(2), paper=5, quick=4, smoke=2)
    cycle_epochs: Ints = option("epochs of a cycle, a pair", repeats=True, paper=(3, 6), smoke=(1, 1))
    cycle_batch_size: Ints = option(
        "examples a step in cycles, a pair",
        fits=data.holds_batch,
        repeats=True,
        paper=(128, 64),
        smoke=(32, 32),
    )
    low: Floats = option("low maximal rate of cycles, a pair", repeats=True, paper=(0.03, 0.002))
    high: Floats = option("high maximal rate of cycles, a pair", repeats=True, paper=(0.1, 0.2))
    line_points: int = option("points between snapshots", at_least(3), paper=7, smoke=5)

    def check(self):
        super().check()
        for name in _PAIRS:
            if len(values := getattr(self, name)) != 2:
                raise UsageError(
                    f"--{name}={options.show(values)}: must be a pair, for images and for signals."
                )
        self._ordered("width_epochs", "must be at most", "epochs", np.less_equal)
        self._ordered("low", "must be below", "high", np.less)
        if self.examples < (largest := max(self.batch_size, *self.cycle_batch_size)):
            raise UsageError(
                f"--examples={self.examples}: must be at least the largest batch, {largest}."
            )

    def _ordered(self, name, must_be, other, ordered):
        """That each of one pair is below the same of another one; the line names both, one of which may
        be the preset's."""
        smaller, larger = getattr(self, name), getattr(self, other)
        if not np.all(ordered(smaller, larger)):
            of = f"--{other}={options.show(larger)}, each of them."
            raise UsageError(f"--{name}={options.show(smaller)}: {must_be} {of}")

    def setting(self, dataset, model):
        """The `Setting` of a network on a data set."""
        own = {name: getattr(self, name)[dataset in SIGNALS] for name in _PAIRS}
        cycles = self.cycles * own["cycle_epochs"], own["cycle_epochs"]
        return Setting(
            networks.Problem(
                data.source(dataset), model, self.batch_size, self.seed, self.seed, self.examples
            ),
            training.Recipe("adam", own["lr"], own["epochs"]),
            own["width_epochs"],
            own["start_epochs"],
            self.shown,
            self.probed,
            wells.View(self.directions, self.distances, self.side, self.seed),
            tunnels.Paths(self.segments, self.steps, self.rate, "flat", self.seed),
            surfaces.Points(2, self.steps, self.rate, self.seed),
            surfaces.Surfaces(self.steps * surfaces.free_points(M), self.rate, self.seed),
            self.held_out,
            self.seeds,
            self.width_directions,
            training.Recipe("momentum", own["low"], *cycles),
            training.Recipe("momentum", own["high"], *cycles),
            own["cycle_batch_size"],
            averaging.Segments(self.line_points, self.shown),
        )


@dataclasses.dataclass(frozen=True)
class Setting:
    """One network on one data set: all that its numbers depend on.

    Attributes:
      problem: the network, data and seed of the first optimum; the next ones have the next seeds.
      recipe: how each optimum is trained.
      width_epochs: of these, until the training loss at which widths are compared.
      start_epochs: more of them of the first optimum, before cycles start from there.
      shown, probed: training examples in every reported loss, and in wells and widths.
      view: what is looked at around optima.
      paths: how the tunnel is made.
      points, whole, held_out: chosen points of the hull; the joint surface, and positions on it.
      seeds, directions: of the widths at each learning rate.
      low, high: the recipes of cycles, from the first optimum on.
      batch: examples a step in these.
      segments: what is looked at between snapshots.
    """

    problem: networks.Problem
    recipe: training.Recipe
    width_epochs: int
    start_epochs: int
    shown: int
    probed: int
    view: wells.View
    paths: tunnels.Paths
    points: surfaces.Points
    whole: surfaces.Surfaces
    held_out: int
    seeds: int
    directions: int
    low: training.Recipe
    high: training.Recipe
    batch: int
    segments: averaging.Segments

    def numbered(self, i):
        """The problem of optimum number i, from 0."""
        seeds = {"initial": self.problem.initial + i, "seed": self.problem.seed + i}
        return dataclasses.replace(self.problem, **seeds)


def measure(setting):
    """Arrays "well ...", "tunnel ...", "surface ...", "lr ...", "cycles ..." as `judged` reads them."""
    thetas, early, start = _optima(setting)  # [4, D], [4, D], [D]
    network = optima.Network(setting.problem, setting.shown)
    near = optima.Network(setting.problem, setting.probed)
    found = named("well", wells.around(near, thetas[: wells.CORNERS], setting.view))
    found |= named("tunnel", tunnels.between(network, thetas[:2], setting.paths))
    found |= named("surface", _surface(network, thetas, setting))
    found |= _widths(setting, early)
    return found | named("cycles", _cycles(setting, start))


def _optima(setting):
    """m + 1 networks of as many seeds at the end of their training, [4, D]; the same when widths are
    compared, [4, D]; and where cycles start, [D]."""
    ends, early, starts = [], [], []
    for i in range(M + 1):
        problem, recipe = setting.numbered(i), setting.recipe
        more = 0 if i else setting.start_epochs
        epochs = (setting.width_epochs, recipe.epochs, recipe.epochs + more)
        each = list(dict.fromkeys(epochs))  # a mark once
        marks = tuple(n * networks.landscape(problem).steps_per_epoch for n in each)
        recipe = dataclasses.replace(recipe, epochs=epochs[-1])
        trained = training.train(problem, recipe, label=f"optimum {i + 1}", marks=marks)
        after = dict(zip(each, trained.snapshots, strict=True))
        early.append(after[epochs[0]])
        ends.append(after[epochs[1]])
        starts.append(after[epochs[2]])
    return np.stack(ends), np.stack(early), starts[0]


def _surface(network, thetas, setting):
    """Readings at the optima, at chosen points of their hull, on the flat hull and the joint surface."""
    points = surfaces.chosen(network, thetas, setting.points, M)
    whole = surfaces.continuous(network, thetas, setting.whole, setting.held_out, M, **_WHOLE)
    return points | whole | optima.read(network, thetas, "optima")


def _widths(setting, early):
    """ "lr <number>" [rates, seeds, ...]: tunnels' widths at equal training loss, by learning rate.

    That loss, "lr target" [], is the highest that a network of the optima's rate has after the
    `width_epochs`. So it is one that the network can reach, set by a rule and not by hand.
    """
    numbers = range(setting.seeds)
    of = lambda i: networks.seen(setting.numbered(i), setting.shown)
    target = max(float(of(i)(early[i])) for i in numbers)
    rows = [stacked([_at_rate(setting, factor, i, target) for i in numbers]) for factor in FACTORS]
    return named("lr", stacked(rows) | {"target": np.array(target)})


def _at_rate(setting, factor, i, target):
    """The width of a network that is trained at `factor` times the optima's rate until the target: for
    the `width_epochs` at most, which that rate needs, or as many more as the rate is lower."""
    problem, recipe = setting.numbered(i), setting.recipe
    rate, epochs = factor * recipe.learning_rate, round(setting.width_epochs * max(1, 1 / factor))
    recipe = dataclasses.replace(recipe, learning_rate=rate, epochs=epochs)
    every = max(1, networks.landscape(problem).steps_per_epoch // _LOOKS)
    until = training.Until(setting.shown, target, every)
    trained = training.train(problem, recipe, label=f"rate {rate:g}, seed {problem.seed}", until=until)
    own = target, setting.shown, setting.directions, _MULTIPLE
    how = widths.Setting(problem, recipe, *own, fixed=0.0)
    return cache.cached(_width, how, setting.probed, trained.theta)


def _width(how, probed, theta):
    """As `widths.measure_one` has it of a network that it trains; losses along directions are those of
    the first `probed` examples, of which batch norm's statistics are made, too. NaN if it diverged."""
    near = networks.seen(how.problem, probed, probed)
    start = float(near(theta)) if np.isfinite(theta).all() else np.nan
    if not np.isfinite(start):
        nothing = np.full(how.directions, np.nan)
        found = {"multiple distances": nothing, "multiple censored": np.isfinite(nothing)}
        return found | {"train loss": np.nan, "norm": np.nan, "reached": False}
    loss = float(networks.seen(how.problem, how.examples)(theta))
    found = widths.probe(near, theta, start, how)
    return {
        "multiple distances": found["multiple distances"],
        "multiple censored": found["multiple censored"],
        "train loss": networks.seen(how.problem).evaluate(theta).loss,
        "norm": np.linalg.norm(theta),
        "reached": loss <= how.target,
    }


def _cycles(setting, start):
    """Arrays [rates, ...] of cycles at a low and a high maximal rate, as `averaging.cycles` has them."""
    problem, rows = dataclasses.replace(setting.problem, batch_size=setting.batch), []
    for recipe in (setting.low, setting.high):
        with progress.labelled(f"rate {recipe.learning_rate:g}"):
            rows.append(averaging.cycles(problem, recipe, start, setting.segments))
    return stacked(rows)


# ---- what the numbers say ---------------------------------------------------------------------------


_PARTS = {
    "fig2": wells.BOUNDS,
    "fig3": tunnels.BOUNDS,
    "m-connector": surfaces.BOUNDS,
    "fig5.lr": widths.BOUNDS,
    "fig6": averaging.BOUNDS,
}
# {claim: (relation, number)}: the bounds of the figures.
BOUNDS = {f"{part}.{claim}": bound for part, own in _PARTS.items() for claim, bound in own.items()}


def judged(arrays):
    """{claim: number} of the arrays of one setting, as the figures judge their own."""
    once = lambda name: {k: a[None] for k, a in under(name, arrays).items()}  # of one pair, m, seed
    pair = tunnels.numbers(once("tunnel"), len(arrays["tunnel labels"]) - 1)
    rates = {m: widths.rank(arrays, FACTORS, "lr", m).rises for m in widths.MEASURES}
    rates["convergence"] = widths.unequal(arrays, arrays["lr target"], "lr")
    parts = {
        "fig2": wells.judged(under("well", arrays)),
        "fig3": tunnels.judged(pair),
        "m-connector": surfaces.judged([under("surface", arrays)]),
        "fig5.lr": rates,
        "fig6": _of_cycles(once("cycles")),
    }
    found = {
        f"{part}.{claim}": float(number) for part, own in parts.items() for claim, number in own.items()
    }
    return {id: found[id] for id in BOUNDS}


def _of_cycles(arrays):
    """As Figure 6 judges them; NaN of a rate at which training diverged, whose labels mean nothing."""
    found = averaging.judged(averaging.over_seeds(arrays), 0, 1)
    alive = np.isfinite(arrays["snapshot_train_loss"]).all(axis=(0, 2))  # [rates]
    needs = {"low": alive[0], "high": alive.all()}  # labels are compared with those at the low rate
    return {claim: n if needs[claim.split(".")[0]] else np.nan for claim, n in found.items()}


def holds(id, number):
    """Whether a core claim holds of its number; never of NaN."""
    return Claim(id, "", "", number, *BOUNDS[id]).passed
