"""A trained curve between two checkpoints: as many steps as lower it, or as the budget has room for."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import connect, phases, probe, simplex
from wedges._progress import bar
from wedges.cards.budget import Cost, Cut, count
from wedges.cards.subject import Subject
from wedges.phases.connectivity import FIVE, errors_of

# Steps that others leave room for, and the fewest.
_PLANNED, _FEWEST = 1000, 50
# The steps of the first stage, when the curve is first looked at, and the most. A stage doubles the
# steps that were taken. All of it is by count: a clock decides how many steps there are, and not what
# they are, so that equal numbers of steps give equal curves.
_STAGE, _LOOKED, _MOST = 125, 500, 512_000
_CHUNK = 10  # steps between two looks at the clock
_ENOUGH = 4000  # steps that a curve takes before it is believed to get no lower
_RATE, _LAST = 3e-3, 0.01  # of Adam at the beginning of a stage, and its share in the last steps
_STALLED = 0.95  # of the height before: a stage that leaves more than this has not lowered the curve
_T = np.union1d(FIVE, np.arange(13) / 12)
# How high a low path may rise: points of error, half of what parts networks in `wedges.phases`; share of
# the ends' mean loss.
LOW, LOW_OF_LOSS = 0.5, 0.05


def cost(subject: Subject, n: int) -> Cost:
    """On n examples."""
    around = 2 * _look(subject, n) + 2 * subject.rates.tracing
    return Cost(*(steps * _step(subject) + around for steps in (_FEWEST, _PLANNED)))


def _look(subject, n):
    return len(_T) * n * subject.moved


def _step(subject):
    return 1.5 * subject.batch_size * subject.rates.gradient + 1e-3


def curve(subject: Subject, seconds: float) -> dict[str, Any]:
    """A Bezier curve between the first two checkpoints, its one bend trained until it is low.

    It is trained in stages by Adam, whose rate falls from 0.003 to a hundredth in each (a half cosine);
    each doubles the steps taken, from 125 on. It is looked at after 500 steps and each stage that
    follows, and where the time is up; the lowest is kept. Training ends where the curve is low,
    "joined": nowhere more than half a point of error above the chord between its ends (5% of their mean
    loss, where there are no accuracies). It has "converged" where it is low, or where after 4,000 steps
    two stages running, of as many steps as all before, lowered it by less than a twentieth; else the
    budget ended it, and whether a low path is there is not known.

    Raises:
      Cut: 50 steps do not fit, the checkpoints are one point, or the training diverged.

    Source: Garipov et al. 2018 (arXiv:1802.10026).
    """
    begin = time.monotonic()
    if np.array_equal(*subject.thetas[:2]):
        raise Cut("the first two checkpoints have the same weights")
    look = _look(subject, subject.around.size)
    room = seconds - 2 * look - 2 * subject.rates.tracing
    count(room, _step(subject), _FEWEST, _FEWEST, "steps of a curve's training")
    training = _Training(subject, begin + seconds)
    connect.joint_connector(
        subject.around,
        subject.thetas[:2],
        simplex.Bernstein(1, 2),
        keras.optimizers.Adam(_Falling()),
        _MOST,
        seed=subject.seed,
        normal=False,
        follow=training.follow,
    )
    best = training.best
    if best is None or not np.isfinite(best["barrier"]):
        raise Cut("the training of the curve diverged")
    five = np.isin(_T, FIVE)
    values = best.pop("values")
    above = values - _chord(values)
    return {
        "between": subject.names[:2],
        "examples": subject.around.size,
        "steps": training.steps,
        "seconds_of_training": time.monotonic() - begin,
        "joined": training.joined,
        "converged": training.converged,
        "stages": training.stages,
        "unit": training.unit,
        "mc": phases.deviation(FIVE, above[five]).mc,
        "mc_from_mean": phases.deviation(FIVE, values[five]).mc,
        "peak": float(values[five][1:-1].max()),
        "t": _T,
        **best,
    }


def _chord(values):
    return (1 - _T) * values[0] + _T * values[-1]


def stage_end(steps: int) -> int:
    """How many steps there will be at the end of the stage that begins, or goes on, after so many.

    >>> [wedges.cards.curve.stage_end(steps) for steps in (0, 124, 125, 250, 999, 1000)]
    [125, 125, 250, 500, 1000, 2000]
    """
    end = _STAGE
    while end <= steps:
        end *= 2
    return end


class _Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A half cosine from `_RATE` down in each stage: a function of the number of the step alone."""

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        ends = tf.constant([_STAGE * 2.0**i for i in range(14)])
        begin = tf.reduce_max(tf.where(ends <= step, ends, 0.0))
        done = (step - begin) / tf.maximum(begin, float(_STAGE))
        return _RATE * (_LAST + (1 - _LAST) * 0.5 * (1 + tf.cos(np.pi * done)))

    def get_config(self):
        return {}


class _Training:
    """The stages of a curve's training, and the lowest curve so far."""

    def __init__(self, subject, until):
        self.landscape, self.ends, self.until = subject.around, subject.thetas[:2], until
        self.pace = _step(subject)  # seconds a step, measured anew as steps are taken
        begin = time.monotonic()
        self.at_ends = connect.readings(self.landscape, self.ends)
        self.look = (len(_T) - 2) / 2 * (time.monotonic() - begin)  # seconds of a look at a curve
        self.unit = "loss" if errors_of(self.at_ends, "either", self.landscape) is None else "error"
        self.low = LOW
        if self.unit == "loss":
            self.low = LOW_OF_LOSS * float(np.mean(np.abs(self.at_ends.loss)))
        self.steps, self.stalled, self.best, self.stages = 0, 0, None, []
        self.joined = self.converged = False

    def follow(self, descent, most, _):
        """Stage after stage, until the curve is low, or gets no lower, or time is up."""
        with bar(desc="the curve", unit="step") as progress:
            while self.steps < most:
                end = min(stage_end(max(self.steps, _LOOKED - 1)), most)
                whole = self._taken(descent, end, progress)
                begin = time.monotonic()
                found = self._seen(descent.theta.numpy())
                self.look = time.monotonic() - begin
                lowered = self._kept(found)
                if not np.isfinite(found["barrier"]):
                    return
                self.joined = self.best["barrier"] <= self.low
                self.stalled = 0 if lowered else self.stalled + whole
                self.converged = self.joined or (self.steps >= _ENOUGH and self.stalled >= 2)
                if self.converged or not whole or self._fits() < _FEWEST:
                    return

    def _fits(self):
        return int((self.until - time.monotonic() - 1.5 * self.look) / self.pace)

    def _taken(self, descent, end, progress):
        """Take steps until there are so many, fewer where time is up: whether there are."""
        while self.steps < end and (self.steps < _CHUNK or self._fits() > 0):
            some = min(_CHUNK, end - self.steps)
            begin = time.monotonic()
            descent.run(some)
            if self.steps > 0:  # the first steps are slow: they trace
                self.pace = (time.monotonic() - begin) / some
            self.steps += some
            progress.update(some)
        return self.steps == end

    def _seen(self, bend):
        """Loss, accuracy and height of the curve with this bend."""
        w = np.stack([1 - _T, _T], axis=-1)[1:-1]
        path = connect.Connector(self.ends, simplex.Bernstein(1, 2), bend[None])
        inner = connect.readings(self.landscape, path(w))
        joined = lambda outer, between: np.concatenate([outer[:1], between, outer[1:]]).astype(
            np.float64
        )
        losses, errors = joined(self.at_ends.loss, inner.loss), None
        if self.unit == "error":
            errors = joined(*(errors_of(r, "error", self.landscape) for r in (self.at_ends, inner)))
        values = losses if errors is None else errors
        return {
            "values": values,
            "loss": losses,
            "accuracy": None if errors is None else 1 - errors / 100,
            "barrier": float(probe.barrier(values, _T)),
            "loss_barrier": float(probe.barrier(losses, _T)),
        }

    def _kept(self, found):
        """Keep the curve if it is the lowest; returns whether it is clearly lower than those before."""
        self.stages.append({"steps": self.steps, "barrier": found["barrier"]})
        if self.best is None:
            self.best = found
            return True
        # Of the error there may be none to see while the loss still falls.
        lower = any(found[k] < _STALLED * self.best[k] for k in ("barrier", "loss_barrier"))
        if (found["barrier"], found["loss_barrier"]) < (self.best["barrier"], self.best["loss_barrier"]):
            self.best = found
        return lower
