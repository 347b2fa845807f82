"""Networks from their first weights to their last, and what they do on the straight line between.

`trained`, `line` and `bounds` take long, and are for `cached`: their keys hold nothing of a figure.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import devices
from reproductions.common import data, models, perceptron, training


@dataclasses.dataclass(frozen=True)
class Task:
    """A network and what it learns.

    Attributes:
      source: the data set.
      network: fully connected, or one of those that figures share.
      examples: the first so many of the training set are trained on, and are in every loss.
      batch_size: examples a step.
      initial: seed of the initial weights.
      seed: of minibatches.
      targets: None learns classes, by cross-entropy. A number s learns, by half the squared error, C
        outputs, s (1 - 1 / C) in the place of an example's class and -s / C in the others.
    """

    source: data.Source
    network: perceptron.Perceptron | models.Model
    examples: int
    batch_size: int
    initial: int
    seed: int
    targets: float | None = None

    @property
    def measured(self):
        """The task that its line is measured on: the same for all with this network and these data,
        whatever their seeds and batch size, so that graphs are traced once."""
        return dataclasses.replace(self, initial=0, seed=0, batch_size=1)


def half_squares(targets, outputs):
    """1/2 |z - y|^2 of each example. [B, C] and [B, C] -> [B]."""
    import tensorflow as tf

    return 0.5 * tf.reduce_sum(tf.square(outputs - targets), axis=-1)


def goals(task):
    """What the task learns: classes [N], or numbers [N, C]."""
    dataset = task.source.load()
    y = dataset.y_train[: task.examples]
    if task.targets is None:
        return y
    one_hot = np.eye(dataset.classes, dtype=np.float32)[y]
    return np.float32(task.targets) * (one_hot - np.float32(1 / dataset.classes))


def _model(task):
    dataset = task.source.load()
    build = perceptron.build if isinstance(task.network, perceptron.Perceptron) else models.build
    return build(task.network, dataset.shape, dataset.classes, seed=task.initial)


@functools.lru_cache(maxsize=2)  # landscapes share them
def _inputs(source, examples):
    import tensorflow as tf

    return tf.convert_to_tensor(source.load().x_train[:examples])


@functools.lru_cache(maxsize=4)  # a graph is traced once for all that are measured in turn
def landscape(task):
    """The network on its examples: what is trained, and every loss; batch norm's statistics are made
    anew for each theta."""
    loss = models.loss() if task.targets is None else half_squares
    how = {"seed": task.seed, "batch_size": task.batch_size, "batch_norm": "reestimate"}
    x = _inputs(task.source, task.examples)
    return wedges.NetworkLandscape(_model(task), x, goals(task), loss, **how)


def start(task):
    """The initial weights [D]."""
    return wedges.WeightSpace(_model(task)).read().numpy()


def trained(task, recipe, looks):
    """Train by a `training.Recipe`: "start" and "end" [D], and "training" [looks], the loss of all
    examples after so many epochs, the first of them 0; NaN once it is not finite."""
    trains, measured = devices.distributed(landscape(task)), landscape(task.measured)
    begin = start(task)
    losses = [float(measured(begin))]
    per_epoch = landscape(task).steps_per_epoch
    counts = [int(n) * per_epoch for n in np.diff(looks)]
    with devices.looping(trains), training.following(sum(counts)) as follow:
        how = {"jit_compile": devices.compiled(trains)}
        descent = wedges.Descent(trains, begin, recipe.build(per_epoch), **how)
        for epoch, count in zip(looks[1:], counts, strict=True):
            follow(descent, count, f"to epoch {epoch}")
            losses.append(float(measured(descent.theta)))
            if not np.isfinite(losses[-1]):
                break
    losses += [np.nan] * (len(looks) - len(losses))
    return {"start": begin, "end": descent.theta, "training": np.array(losses)}


# What is measured of a line, single numbers.
NUMBERS = ("draw_up", "plateau", "moved", "by_start", "by_end", "turning", "bent", "length")


def line(task, first, last, points):
    """What the network does on the line from weights `first` to `last`: "losses" [points], and of these
    and of the curves of outputs `NUMBERS`, [] each.

    draw_up, plateau; moved, by_start and by_end, distances; means over examples of turning, in radians,
    and of length; bent, the share of the examples that turn by more than a right angle.
    """
    found = wedges.interpolation.interpolation(landscape(task), first, last, points)
    return {
        "losses": found.losses,
        "draw_up": found.draw_up,
        "plateau": found.plateau,
        **found.distance._asdict(),
        "turning": found.turning.mean(),
        "bent": (found.turning > np.pi / 2).mean(),
        "length": found.arc_length.mean(),
    }


def no_line(points):
    """In the place of `line` where the weights have diverged."""
    return {"losses": np.full(points, np.nan), **dict.fromkeys(NUMBERS, np.nan)}


def bounds(task, first, last, points):
    """Of a regression's examples on the line, [N] each: "turns", the turning; "rises", the draw-up of
    the example's own loss; "holds", whether the bound holds; "limits", this, 0 where it does not."""
    outputs, of = [], landscape(task)
    for t in np.linspace(0, 1, points).astype(first.dtype):
        outputs.append(np.asarray(of.evaluate((1 - t) * first + t * last).outputs))
    outputs, y = np.array(outputs), goals(task)
    losses = 0.5 * np.sum((outputs.astype(np.float64) - y) ** 2, axis=-1)  # [points, N]
    bound = wedges.interpolation.rise_bound(outputs, y)
    return {
        "turns": wedges.interpolation.turning(outputs),
        "rises": wedges.interpolation.monotonicity(losses.T),
        "holds": bound.holds,
        "limits": np.where(bound.holds, bound.each, 0.0),
    }


def no_bounds(examples):
    """In the place of `bounds` where the weights have diverged."""
    lost, none = np.full(examples, np.nan), np.zeros(examples)
    return {"turns": lost, "rises": lost, "holds": none.astype(bool), "limits": none}
