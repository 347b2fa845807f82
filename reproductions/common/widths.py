"""How wide a tunnel is: from a trained network to where the loss has risen, by how it was trained.

Arrays of one hyperparameter are named "<hyperparameter> <number>" [values, seeds, ...].
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 5.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

import wedges
from reproductions.common import networks, training

# What is claimed of a hyperparameter that widens the tunnel: how unequal the losses are at most, and how
# often chance may give a rank correlation as large.
LEVEL = 0.025  # in the direction that the paper states
BOUNDS = {"convergence": ("<=", 0.1), "distance": ("<=", LEVEL), "angle": ("<=", LEVEL)}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One training and the width of its tunnel: all that the result depends on.

    Attributes:
      problem, recipe: what is trained, and how.
      target: the loss of the first `examples` training examples at which training ends.
      directions: random ones, along which that loss is followed.
      multiple, fixed: the thresholds, in multiples of the optimum's own loss and in nats.
    """

    problem: networks.Problem
    recipe: training.Recipe
    target: float
    examples: int
    directions: int
    multiple: float
    fixed: float


THRESHOLDS = ("multiple", "fixed")
_CHECKS = 5  # of the training loss, an epoch
_REPORTED = 10_000  # training examples in the training loss that is reported


def measure_one(setting):
    """Train one network until the target, and find the widths of its tunnel."""
    problem, epoch = setting.problem, networks.landscape(setting.problem).steps_per_epoch
    until = training.Until(setting.examples, setting.target, max(1, epoch // _CHECKS))
    trained = training.train(problem, setting.recipe, label=f"seed {problem.seed}", until=until)
    theta, seen = trained.theta, networks.seen(problem, setting.examples)
    loss = float(seen(theta))
    here = networks.seen(problem, _REPORTED).evaluate(theta)
    there = networks.unseen(problem).evaluate(theta)
    numbers = {
        "loss": loss,
        "train loss": here.loss,
        "train accuracy": here.accuracy,
        "test loss": there.loss,
        "test accuracy": there.accuracy,
        "norm": np.linalg.norm(theta),
        "dimension": len(theta),
        "epochs": len(trained.losses) / epoch,
        "reached": loss <= setting.target,
    }
    return probe(seen, theta, loss, setting) | {name: np.array(v) for name, v in numbers.items()}


def probe(seen, theta, loss, setting):
    """How far both thresholds are along random directions from theta, where the loss is `loss`."""
    v = wedges.isotropic(len(theta), setting.directions, seed=setting.problem.seed)
    thresholds = [setting.multiple * loss, max(setting.fixed, loss)]
    found = {}
    for name, width in zip(THRESHOLDS, wedges.tunnel_width(seen, theta, v, thresholds), strict=True):
        if name == "fixed" and loss > setting.fixed:  # it is crossed where it begins
            width = width._replace(distances=0 * width.distances)
        found |= {f"{name} distances": width.distances, f"{name} censored": width.censored}
    return found


@dataclasses.dataclass(frozen=True)
class Rest:
    """A network that goes on from where its `Setting` ended, until it comes to rest.

    Attributes:
      setting: how it was trained until then, and how its width is measured.
      epochs: more of training by the same optimizer, two or more; the rate falls to 0 by a cosine.
    """

    setting: Setting
    epochs: int


def measure_at_rest(rest):
    """Let one network go on until it is at rest, and find the widths of its tunnel there.

    Besides the widths and losses of `measure_one`: "reached", whether it started at the common loss, and
    "moves", by which share the last epoch's mean training loss differs from that of the epoch before.
    """
    setting, problem = rest.setting, rest.setting.problem
    epoch = networks.landscape(problem).steps_per_epoch
    until = training.Until(setting.examples, setting.target, max(1, epoch // _CHECKS))
    label = f"seed {problem.seed}"
    start = training.train(problem, setting.recipe, label=label, until=until).theta
    falling = dataclasses.replace(setting.recipe, epochs=rest.epochs, cycle_epochs=rest.epochs)
    trained = training.train(problem, falling, label=f"{label}, to rest", start=start)
    theta, seen = trained.theta, networks.seen(problem, setting.examples)
    loss = float(seen(theta))
    means = trained.losses.reshape(rest.epochs, epoch).mean(axis=1, dtype=np.float64)
    numbers = {
        "loss": loss,
        "train loss": networks.seen(problem, _REPORTED).evaluate(theta).loss,
        "test loss": networks.unseen(problem).evaluate(theta).loss,
        "norm": np.linalg.norm(theta),
        "moves": abs(means[-1] / means[-2] - 1),
        "reached": float(seen(start)) <= setting.target,
    }
    return probe(seen, theta, loss, setting) | {name: np.array(v) for name, v in numbers.items()}


# ---- what the numbers say ---------------------------------------------------------------------------

STILL = ("<=", 0.02)  # what is claimed of "moves"
MEASURES = ("distance", "angle")
DRAWS, _TIE = 9999, 1e-9  # permutations; correlations that differ by less are the same


def widths(arrays, name, measure, threshold):
    """A mean width over directions for each value and seed, [values, seeds]: distance, or degrees."""
    distances = arrays[f"{name} {threshold} distances"]  # [values, seeds, directions]
    if measure == "angle":
        distances = np.degrees(np.arctan2(distances, arrays[f"{name} norm"][..., None]))
    return distances.mean(axis=-1)


def in_range(arrays, name):
    """The values [values] at which every seed reached the target: where a trend is claimed."""
    return arrays[f"{name} reached"].all(axis=1)


def unequal(arrays, target, name):
    """How far the training losses in range are from the target, at most, as a share of it."""
    off = np.abs(arrays[f"{name} train loss"][in_range(arrays, name)] / target - 1)
    return off.max() if off.size else np.nan


class Rank(NamedTuple):
    """Whether widths go with a hyperparameter; NaN where fewer than three values are in range."""

    rho: float  # Spearman's rank correlation of value and width, within each seed, mean over seeds
    rises: float  # how often chance alone gives a rho as large
    falls: float  # how often it gives one as small
    chance: float  # the rho that chance exceeds with probability `LEVEL`


def rank(arrays, values, name, measure, threshold="multiple"):
    """The rank correlation of value and width in range, and what chance would make of it: a `Rank`.

    values: those of the hyperparameter, ascending.

    Were the two unrelated, the widths of a seed could stand in any order. So they are permuted within
    each seed: a test of the level that it states with any number of seeds. (Networks of one seed share
    initial weights and directions, so they are not permuted across.)
    """
    from scipy.stats import rankdata

    good = in_range(arrays, name)
    w = widths(arrays, name, measure, threshold)[good]  # [values in range, seeds]
    if len(w) < 3 or np.isnan(w).any():
        return Rank(*[np.nan] * 4)
    x, y = (rankdata(v, axis=0) - (len(w) + 1) / 2 for v in (np.array(values)[good], w))
    mixed = np.random.default_rng(0).permuted(np.broadcast_to(y, (DRAWS, *y.shape)), axis=1)
    lengths = np.linalg.norm(x) * np.linalg.norm(y, axis=0)
    lengths[lengths == 0] = np.inf  # widths that are all the same go with nothing
    rho, drawn = (np.mean(x @ v / lengths, axis=-1) for v in (y, mixed))
    often = lambda found: (1 + found.sum()) / (1 + DRAWS)
    rises, falls = often(drawn >= rho - _TIE), often(drawn <= rho + _TIE)
    return Rank(rho, rises, falls, np.quantile(drawn, 1 - LEVEL))
