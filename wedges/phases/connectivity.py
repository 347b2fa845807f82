"""Mode connectivity: does a low path join two trained networks?

mode_connectivity   mc of a trained Bezier curve, of the straight line, or of a `Connector`
audit               the same after 4 times the steps, from a straight and from a random bend
deviation           mc, t*, barrier and dip of values that are known
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks, simplex
from wedges._repr import short
from wedges.connect import Connector, Readings, joint_connector, readings
from wedges.landscape import Around, Landscape
from wedges.optimize import progress

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from tensorflow.types.experimental import TensorLike

    from wedges.connect import Follow

FIVE = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # the paper's t
# How far a random bend is from the middle of the ends, in distances of these: the length of the curve
# over that distance is then 1.26, the median of the released curves, whose bends were random as well.
_AWAY = np.sqrt(0.5)


class Deviation(NamedTuple):
    """How far values on a path are from the mean of its ends' values."""

    mc: float  # the largest deviation, positive where the path is lower than its ends
    t: float  # where that is
    barrier: float  # how far the path rises above the mean of its ends, at least 0
    dip: float  # how far it falls below, at least 0

    def __repr__(self) -> str:
        return short(self)


class CurveTraining(NamedTuple):
    """How a curve was trained."""

    steps: int
    learning_rate: float  # of the first half of the steps
    momentum: float
    decay: float  # L2 of theta(t)
    bend: str  # from where the bend set out: "linear", "random" or "given"
    seed: int | list[int]  # of the positions t and of a random bend

    def __repr__(self) -> str:
        return short(self)


class ModeConnectivity(NamedTuple):
    """Mode connectivity of two points, in percentage points of error or in units of the loss."""

    mc: float  # on the paper's five t
    t: float  # t*, where the deviation is largest
    barrier: float  # on the five t, at least 0
    dip: float  # on the five t, at least 0
    fine: Deviation  # the same on all T positions
    peak: float  # the largest value at t = 1/4, 1/2, 3/4
    ends: np.ndarray  # the values at a and b [2]
    positions: np.ndarray  # t [T], from 0 to 1
    values: np.ndarray  # [T], what mc is about: errors or losses
    losses: np.ndarray  # [T]
    errors: np.ndarray | None  # in percent [T]; None where there are no accuracies
    unit: str  # "error", percentage points, or "loss"
    curve: Connector | None  # None for the line in one dimension
    training: CurveTraining | None  # None where nothing was trained here

    def __repr__(self) -> str:
        return short(self)


class Audit(NamedTuple):
    """Mode connectivity by curves that were trained longer, and from elsewhere."""

    original: ModeConnectivity
    longer: ModeConnectivity  # `factor` times the steps, from the straight line
    random: ModeConnectivity  # `factor` times the steps, from a random bend

    @property
    def best(self) -> float:
        """The mc nearest to 0 of the three: a barrier that one curve avoids is none."""
        return min((each.mc for each in self), key=abs)

    @property
    def spread(self) -> float:
        """The largest difference between two of the three mc."""
        return float(np.ptp([each.mc for each in self]))

    def __repr__(self) -> str:
        return short(self)


def deviation(t: ArrayLike, values: ArrayLike) -> Deviation:
    """mc of values on a path: the mean of its ends less the value that is farthest from that mean.

        mc = m - v(t*),  t* = argmax_t |m - v(t)|,  m = (v(0) + v(1)) / 2

    The ends count as positions, and of several largest deviations the first. Whatever its sign, mc hides
    the smaller of two deviations, so that the barrier max_t v(t) - m and the dip max_t m - v(t), each at
    least 0, stand beside it: |mc| is the larger of the two. NaN in the values makes NaN of all.

    >>> wedges.phases.deviation([0, 0.25, 0.5, 0.75, 1], [6, 1, 10, 6, 6])
    Deviation(mc=5, t=0.25, barrier=4, dip=5)

    Args:
      t: positions [T], rising from 0 to 1.
      values: [T], T at least 2.

    Raises:
      ValueError: t and values of different shapes, a t that does not rise from 0 to 1.

    Source: Yang et al. 2021 (arXiv:2107.11228), equation 4.
    """
    t, values = _checks.floats("t", t), _checks.floats("values", values)
    if t.ndim != 1 or len(t) < 2 or t.shape != values.shape:
        raise ValueError(
            f"t and values must have one shape [T], T >= 2; received {t.shape} and {values.shape}."
        )
    if t[0] != 0 or t[-1] != 1 or not np.all(t[1:] > t[:-1]):
        raise ValueError(f"t must rise from 0 to 1; received {t.tolist()}.")
    if np.isnan(values).any():
        return Deviation(np.nan, np.nan, np.nan, np.nan)
    off = (values[0] + values[-1]) / 2 - values
    at = int(np.argmax(np.abs(off)))
    barrier, dip = max(0.0, float(-off.min())), max(0.0, float(off.max()))
    return Deviation(float(off[at]), float(t[at]), barrier, dip)


def mode_connectivity(
    landscape: Landscape,
    a: TensorLike,
    b: TensorLike,
    *,
    seed: int = 0,
    unit: str = "error",
    curve: str | Connector = "bezier",
    steps: int = 3000,
    learning_rate: float = 0.01,
    decay: float = 5e-4,
    bend: str | TensorLike = "linear",
    points: int = 21,
    jobs: int | None = None,
    follow: Follow = progress,
) -> ModeConnectivity:
    """How much worse, or better, than its ends a path from a to b is: `ModeConnectivity`.

        mc = (L(a) + L(b)) / 2 - L(theta(t*)),  t* = argmax_t |(L(a) + L(b)) / 2 - L(theta(t))|

    L the training error in percent. mc < 0: the family of curves has no path without a barrier, or it
    was trained too little, see `audit`; about 0: a low path; mc > 0: a path that is lower than its ends,
    which so are not converged. It is taken at t = 0, 1/4, 1/2, 3/4, 1 as in the paper, and on more
    positions, where a narrow barrier shows. Batch norm's statistics are those of each t where the
    landscape re-estimates them (`batch_norm="reestimate"`), which these numbers want.

    >>> valley = wedges.Quadratic([0.0, 1.0])
    >>> found = wedges.phases.mode_connectivity(valley, [0, 0], [3, 0], unit="loss", curve="line")
    >>> found.mc, found.barrier, len(found.positions)
    (0.0, 0.0, 21)

    Args:
      landscape: of the training data; one whose `evaluate` tells accuracies, for the error.
      a, b: two points [D], e.g. two networks of one kind, trained from different seeds.
      seed: of the positions that the curve is trained at, and of a random bend.
      unit: "error", percentage points of training error, or "loss".
      curve: "bezier", a quadratic Bezier curve trained here, its one bend free; "line", the straight
        line, with nothing to train; or a `Connector` of a and b, in this order, that is trained already.
      steps: of stochastic gradient descent, each at one position on one minibatch; 19,500 in the paper.
      learning_rate: of the first half of the steps; it falls linearly to a hundredth at 90% of them.
        Momentum is 0.9.
      decay: c of c/2 |theta(t)|^2, which is added to the loss while the curve is trained, and to no
        number that is returned.
      bend: "linear", the middle of a and b; "random", |b - a| / sqrt(2) away from it in a random
        direction; or a point [D].
      points: even positions that are evaluated besides the five, both ends included.
      jobs: as for `wedges.probe.plane`, for the evaluations.
      follow: as for `wedges.joint_connector`: pass one that keeps `descent.state` to go on after an
        interruption.

    Raises:
      ValueError: ends that are one point, or not of this landscape, or not finite; a unit that it does
        not have; a curve between other points.

    Source: Yang et al. 2021 (arXiv:2107.11228); the curve, Garipov et al. 2018 (arXiv:1802.10026).
    """
    _checks.choice("unit", unit, ("error", "loss"))
    points = _checks.whole("points", points, 2)
    ends = _checks.two_points(landscape, a=a, b=b)
    _checks.warn_of_statistics(landscape)
    path = _path(curve, ends)
    at_ends = readings(landscape, ends)
    errors_of(at_ends, unit, landscape)  # raises before anything is trained
    training = None
    if isinstance(curve, str) and curve == "bezier":
        how = {"steps": steps, "learning_rate": learning_rate, "decay": decay}
        path, training = _trained(landscape, ends, bend, seed=seed, follow=follow, **how)
    t = np.union1d(FIVE, np.arange(points) / (points - 1))  # exactly 1/4 where it is 5/20
    inner = readings(landscape, _along(path, ends, t[1:-1]), jobs=jobs)
    losses = np.concatenate([at_ends.loss[:1], inner.loss, at_ends.loss[1:]]).astype(np.float64)
    errors = None
    if (outer := errors_of(at_ends, "either", landscape)) is not None:
        errors = np.concatenate([outer[:1], errors_of(inner, "error", landscape), outer[1:]])
    values = losses if unit == "loss" or errors is None else errors
    five = np.isin(t, FIVE)
    coarse = deviation(t[five], values[five])
    return ModeConnectivity(
        *coarse,
        fine=deviation(t, values),
        peak=float(values[five][1:-1].max()),
        ends=values[[0, -1]],
        positions=t,
        values=values,
        losses=losses,
        errors=errors,
        unit=unit,
        curve=path,
        training=training,
    )


def audit(
    landscape: Landscape,
    a: TensorLike,
    b: TensorLike,
    *,
    seed: int = 0,
    steps: int = 3000,
    factor: int = 4,
    original: ModeConnectivity | None = None,
    follow: Follow = progress,
    **settings: Any,
) -> Audit:
    """Whether mc is that of the landscape or of the curve's training: an `Audit`.

    A curve that is trained too little looks like a barrier. So it is trained again, `factor` times as
    long, from the straight line and from a random bend.

    Args:
      landscape, a, b, seed, steps, settings: as for `mode_connectivity`, all but curve and bend.
      factor: how many times the steps, at least 2.
      original: what `mode_connectivity` found already with these settings; measured here by default.
      follow: as for `mode_connectivity`; the names of the three are "curve", "curve, 4 times the
        steps" and "curve, from a random bend".

    Raises:
      ValueError: as for `mode_connectivity`; a curve or a bend among the settings.
    """
    factor = _checks.whole("factor", factor, 2)
    steps = _checks.whole("steps", steps, 1)
    taken = {"curve", "bend"} & set(settings)
    if taken:
        raise ValueError(f"settings must leave out curve and bend; received {', '.join(sorted(taken))}.")

    def named(name):
        return lambda descent, count, _: follow(descent, count, name)

    def measured(count, bend, name):
        how = {**settings, "seed": seed, "steps": count, "bend": bend, "follow": named(name)}
        return mode_connectivity(landscape, a, b, **how)

    if original is None:
        original = measured(steps, "linear", "curve")
    longer = measured(factor * steps, "linear", f"curve, {factor} times the steps")
    return Audit(original, longer, measured(factor * steps, "random", "curve, from a random bend"))


def errors_of(found: Readings, unit: str, landscape: Landscape) -> np.ndarray | None:
    """Errors in percent [K] of what a landscape said at K points; None where it knows no accuracy.

    Raises:
      ValueError: where it knows none and the unit is "error".
    """
    accuracy = found.accuracy
    known = isinstance(accuracy, np.ndarray) and accuracy.ndim == 1 and accuracy.dtype.kind == "f"
    if unit == "error" and not known:
        raise ValueError(
            'unit must be "loss" on a landscape without one accuracy (its targets are no classes, or it '
            f'has several outputs or no examples); received "error" and {type(landscape).__name__}.'
        )
    if not known:
        return None
    # Of outputs that are no numbers an accuracy is one, too: which class comes first.
    lost = np.isnan(np.asarray(found.loss, np.float64))
    return np.where(lost, np.nan, 100 * (1 - np.asarray(accuracy, np.float64)))


# ---- the ends, and the path between them ----------------------------------------------------------


def _path(curve, ends):
    """The curve that is known before any training: None for "bezier", and for a line with D = 1."""
    if isinstance(curve, Connector):
        if curve.m != 1 or not np.array_equal(curve.optima.astype(ends.dtype), ends):
            raise ValueError(f"curve must lead from a to b; received {curve} of other points.")
        return curve
    if not isinstance(curve, str):
        raise ValueError(
            f"curve must be 'bezier', 'line' or a wedges.Connector; received {_checks.called(curve)}."
        )
    _checks.choice("curve", curve, ("bezier", "line"))
    if ends.shape[1] > 1:
        return Connector(ends, simplex.Grid(1, 1)) if curve == "line" else None
    if curve == "bezier":
        raise ValueError("curve must be 'line' where D = 1, which has no other path; received 'bezier'.")
    return None


def _along(path, ends, t):
    """Points of the path at t [T], [T, D]."""
    w = np.stack([1 - t, t], axis=-1)
    return w.astype(ends.dtype) @ ends if path is None else path(w)


def _trained(landscape, ends, bend, *, steps, learning_rate, decay, seed, follow):
    """A Bezier curve between the ends, trained, and its `CurveTraining`."""
    steps = _checks.whole("steps", steps, 0)
    seed = _checks.seed(seed)
    _checks.positive("learning_rate", learning_rate)
    _checks.not_negative("decay", decay)
    start = _bent(ends, bend, seed)
    rate = _Schedule(learning_rate, max(steps, 1))
    curve = joint_connector(
        _Decayed(landscape, decay) if decay else landscape,
        ends,
        start.basis,
        keras.optimizers.SGD(rate, momentum=0.9),
        steps,
        seed=seed,
        normal=False,
        start=start,
        follow=lambda descent, count, _: follow(descent, count, "curve"),
    )
    kind = bend if isinstance(bend, str) else "given"
    return curve, CurveTraining(steps, learning_rate, 0.9, decay, kind, seed)


def _bent(ends, bend, seed):
    """The curve that training sets out from."""
    basis = simplex.Bernstein(1, 2)
    middle = (ends[0] + ends[1]) / 2
    if isinstance(bend, str):
        _checks.choice("bend", bend, ("linear", "random"))
        if bend == "linear":
            return Connector(ends, basis)
        away = np.random.default_rng(seed).standard_normal(len(middle))
        away *= _AWAY * np.linalg.norm((ends[1] - ends[0]).astype(np.float64)) / np.linalg.norm(away)
        return Connector(ends, basis, (middle + away)[None])
    bend = np.asarray(bend)
    if bend.shape != middle.shape or bend.dtype.kind not in "fiu":
        raise ValueError(
            f"bend must be 'linear', 'random' or a point [{len(middle)}]; received "
            f"{_checks.called(bend)}, shape {bend.shape}."
        )
    _checks.finite("bend", bend)
    return Connector(ends, basis, bend[None])


class _Decayed(Around):
    """L(theta) + c/2 |theta|^2: what the curve is trained on."""

    def __init__(self, landscape, decay):
        super().__init__(landscape)
        self._decay = decay

    def _added(self, theta):
        theta = self.point(theta)
        return 0.5 * tf.cast(self._decay, theta.dtype) * tf.reduce_sum(theta**2, axis=-1)

    def __call__(self, theta):
        return self.landscape(theta) + self._added(theta)

    def sample(self, theta, step):
        return self.landscape.sample(theta, step) + self._added(theta)

    value_and_gradient = Landscape.value_and_gradient
    jet = Landscape.jet
    hessian_product = Landscape.hessian_product


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Garipov et al.'s rate: constant for half of the steps, then linearly to 1% at 90% of them."""

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        done = tf.cast(step, tf.float32) / self.steps
        falling = 1.0 - 0.99 * (done - 0.5) / 0.4
        return self.rate * tf.clip_by_value(falling, 0.01, 1.0)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps}
