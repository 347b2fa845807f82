"""The straight line from where training began to where it ended, and what the model does along it.

    interpolation       losses, accuracies, curves of the outputs: one pass over the data for each point
    monotonicity        how far a curve of losses ever rises, its largest draw-up
    plateau             for how much of the line the loss stays where it began
    turning             the angle by which the curve of each example's outputs turns
    arc_length          its length
    distance_moved      how far the ends are from each other
    rise_bound          how far a squared error can rise at most, by turning and length of the curves

Monotonic linear interpolation is the observation that along theta(t) = (1 - t) theta_0 + t theta_T the
training loss mostly never rises (Goodfellow et al. 2015, arXiv:1412.6544; Lucas et al. 2021,
arXiv:2104.11044).
"""

from __future__ import annotations

import collections
import contextvars
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wedges import _checks, probe
from wedges._progress import bar
from wedges._repr import short, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.landscape import Evaluation, Landscape, WithExamples

_RIGHT_ANGLE = np.pi / 2
_BLOCK = 2**15  # numbers of outputs that are looked at together, few enough for a core's own cache
_AT_ONCE = 2  # evaluations: the operations of one are too small to fill two cores (14 to 29% less time)


class Distance(NamedTuple):
    """How far a training moved, |theta_T - theta_0|."""

    moved: float  # Euclidean
    by_start: float  # over |theta_0|; infinite from zero
    by_end: float  # over |theta_T|

    def __repr__(self) -> str:
        return short(self)


class RiseBound(NamedTuple):
    """How far the squared error of N examples can rise along their curves, see `rise_bound`."""

    bound: float  # of the mean over all examples; infinite unless all of them hold
    holds: np.ndarray  # [N], whether the curve of the example turns by no more than a right angle
    each: np.ndarray  # [N], the bound of each example; infinite where it says nothing

    def __repr__(self) -> str:
        return short(self)


class Interpolation(NamedTuple):
    """What a model does on the straight line between two points.

    Of a model with several outputs accuracies, turning, arc_length and outputs are structures as the
    model's outputs are, with one for each.
    """

    t: np.ndarray  # [T], from 0 to 1
    losses: np.ndarray  # [T], float64
    accuracies: Any  # [T]; None where targets are not classes
    draw_up: float  # how far the loss ever rises, see `monotonicity`
    plateau: float  # for how much of the line the loss is at least 0.9 times what it was, see `plateau`
    distance: Distance
    turning: Any  # [N], radians; None without outputs, or of one column
    arc_length: Any  # [N], in the units of the outputs; None without outputs
    outputs: Any  # [N, ...] at the end of the line; None without outputs

    def __repr__(self) -> str:
        fields = zip(self._fields, self, strict=True)
        return f"Interpolation({', '.join(f'{name}={_in_words(value)}' for name, value in fields)})"


def _in_words(value):
    """A field, its arrays by shape and range also where they are one for each output of a model."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_in_words(part)}' for key, part in value.items())}}}"
    if isinstance(value, (list, tuple)) and not isinstance(value, Distance):
        return f"[{', '.join(map(_in_words, value))}]"
    return repr(value) if isinstance(value, Distance) else shown(value)


# ---- curves of losses -----------------------------------------------------------------------------


def monotonicity(losses: ArrayLike | probe.Line | Interpolation) -> np.ndarray:
    """The largest draw-up of a curve: how far it ever rises above the lowest point before.

        max_j (L_j - min_{i <= j} L_i) >= 0

    It is the least Delta for which L(t_2) - L(t_1) <= Delta for all t_1 < t_2, in the units of the loss,
    and 0 if and only if the curve never rises. A rise that begins at the last point but one counts, too.
    More points between the same ends can only raise it.

    >>> float(wedges.interpolation.monotonicity([3.0, 2.0, 1.0, 1.5]))
    0.5

    Args:
      losses: [..., T], T at least 2; or what `wedges.probe.line` or `interpolation` returned.

    Returns:
      The draw-up [...], float64. NaN if any loss is NaN; infinite if the loss becomes so.

    Raises:
      ValueError: fewer than two losses, or no numbers.

    Source: Lucas et al. 2021 (arXiv:2104.11044), whose "min Delta" it is.
    """
    losses, _ = _curve(losses, None)
    lowest = np.minimum.accumulate(losses, axis=-1)
    with np.errstate(invalid="ignore"):
        rises = losses - lowest
    # Infinity that was infinite before does not rise, and is no NaN.
    return np.where(losses == lowest, 0.0, rises).max(axis=-1)


def plateau(
    losses: ArrayLike | probe.Line | Interpolation, t: ArrayLike | None = None, *, level: float = 0.9
) -> np.ndarray:
    """For how much of the line the loss stays near its start: the length of {t: L(t) >= level L(0)}.

    L is linear between the points. The set need not be an interval that begins at 0.

    >>> float(wedges.interpolation.plateau([4.0, 4.0, 0.0], level=0.5))  # down to 2 at t = 3/4
    0.75

    Args:
      losses: [..., T], T at least 2; or what `wedges.probe.line` or `interpolation` returned, with its
        own t.
      t: where they are [T], rising from 0 to 1; even by default.
      level: a share between 0 and 1.

    Returns:
      The length [...], from 0 to 1. NaN if any loss is NaN, and where L(0) is not finite and above 0, of
      which a share is no level.

    Raises:
      ValueError: fewer than two losses, a t that does not rise from 0 to 1, a level that is no share.
    """
    _checks.share("level", level)
    losses, t = _curve(losses, t)
    threshold = level * losses[..., :1]
    low = np.minimum(losses[..., :-1], losses[..., 1:])
    high = np.maximum(losses[..., :-1], losses[..., 1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        # Measured from the lower end, the share of an infinite rise that is below is 0.
        crossed = (threshold - low) / (high - low)
    below = np.where(low >= threshold, 0.0, np.where(high < threshold, 1.0, crossed))
    length = np.sum((1 - below) * np.diff(t), axis=-1)
    first = losses[..., 0]
    known = (first > 0) & (first < np.inf) & ~np.isnan(losses).any(axis=-1)
    return np.where(known, length, np.nan)


# ---- curves of outputs ----------------------------------------------------------------------------


def turning(outputs: ArrayLike) -> np.ndarray:
    """The total angle by which each example's curve of outputs turns, in radians: its Gauss length.

        sum_k angle(z_{k+1} - z_k, z_{k+2} - z_{k+1}),    angle(u, v) = 2 atan2(|u - v|, |u + v|)

    u and v the unit vectors of two chords that follow each other; small angles and those near pi are
    exact, too. It is 0 on a straight line, whatever the speed, and does not change when outputs are
    rotated, shifted or scaled, or t runs at another speed. More points on a curve can only raise it, up
    to the curve's total curvature, kinks of rectifiers included, which derivatives do not see. Points
    that repeat the one before are skipped, since a chord of length 0 has no direction. Outputs that are
    rounded by delta turn a chord of length c by about delta / c.

    >>> corner = [[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]
    >>> float(wedges.interpolation.turning(corner) / np.pi)
    0.5

    Args:
      outputs: [T, N, C], T at least 2 points, N examples, C at least 2 numbers each; or [T, C].

    Returns:
      [N], or [] for [T, C]; float64. NaN for examples with outputs that are not finite.

    Raises:
      ValueError: another shape; one column, C = 1, whose curve can only turn by multiples of pi.

    Source: Lucas et al. 2021 (arXiv:2104.11044), who differentiate instead; the polygon's angles are
    those of Milnor 1950, On the total curvature of knots (Annals of Mathematics 52).
    """
    outputs = _outputs(outputs)
    if outputs.shape[-1] == 1:
        raise ValueError(
            "outputs must have at least two columns, since a curve in one can only turn by multiples of "
            f"pi; received shape {outputs.shape}."
        )
    return _followed(outputs).turning.reshape(outputs.shape[1:-1])


def arc_length(outputs: ArrayLike) -> np.ndarray:
    """The length of each example's curve of outputs, sum_k |z_{k+1} - z_k|, in their units.

    >>> float(wedges.interpolation.arc_length([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]))
    6.0

    Args:
      outputs: [T, N, C], T at least 2 points; or [T, C].

    Returns:
      [N], or [] for [T, C]; float64. NaN or infinite for examples with outputs that are not finite.

    Raises:
      ValueError: another shape.
    """
    outputs = _outputs(outputs)
    return _followed(outputs).length.reshape(outputs.shape[1:-1])


def rise_bound(outputs: ArrayLike | Interpolation, targets: ArrayLike) -> RiseBound:
    """How far L = 1/2 |z - y|^2 can rise along the line at most, as the curves of the outputs z tell.

        L(t_2) - L(t_1) <= |z(1) - y| len(z)    for all t_1 < t_2, if z turns by pi/2 or less

    With zero error at the end, the loss of an example whose curve does not turn by more than a right
    angle can therefore not rise at all. The mean of the bounds is one for the mean loss, so
    `monotonicity` of the losses of all examples is at most `bound`. The condition is sufficient, not
    necessary: of a curve that turns further it says nothing. In units of Keras' mean squared error, a
    mean over C columns, it is 2 / C times as much.

    >>> curve = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    >>> found = wedges.interpolation.rise_bound(curve, [2.0, 1.0])  # it ends at distance 1
    >>> round(found.bound, 3), found.holds.tolist()  # a length of sqrt(8)
    (2.828, [True])

    Args:
      outputs: [T, N, C], T at least 2 points, or [T, C] of one example; or an `Interpolation` of a model
        with one output.
      targets: y [N, C] or [C], as numbers: classes as vectors.

    Raises:
      ValueError: outputs of another shape, targets that are not finite numbers shaped as the outputs
        at a point.

    Source: Lucas et al. 2021 (arXiv:2104.11044), for zero error at the end. Else: where the angle of
    z'(t) with z'(s) is at most pi/2 for all s > t, z'(t).(z(1) - z(t)) >= 0, so that dL/dt = z'.(z - y)
    <= z'.(z(1) - y) <= |z'| |z(1) - y|, and the integral from t_1 to t_2 is what stands above.
    """
    if isinstance(outputs, Interpolation):
        curves, last = (outputs.turning, outputs.arc_length), outputs.outputs
        if not all(isinstance(part, np.ndarray) for part in (*curves, last)):
            raise ValueError(
                "outputs must be an Interpolation of one output of at least two columns, or arrays "
                f"[T, N, C]; received an Interpolation whose turning is {_in_words(outputs.turning)}."
            )
    else:
        outputs = _outputs(outputs)
        followed, last = _followed(outputs), outputs[-1]
        curves = followed.turning, followed.length
    y = _checks.array("targets", targets)
    if y.shape != last.shape or y.dtype.kind not in "fiub":
        raise ValueError(
            f"targets must be numbers shaped as the outputs at a point, {last.shape}; received "
            f"{y.dtype} {y.shape}."
        )
    _checks.finite("targets", y)
    off = np.subtract(last, y, dtype=np.float64).reshape(len(curves[0]), -1)
    each = np.linalg.norm(off, axis=1) * curves[1]
    # NaN does not hold. The rounding of a sum of angles does not unmake a right angle.
    holds = (curves[0] <= _RIGHT_ANGLE * (1 + 1e-12)) & np.isfinite(each)
    each = np.where(holds, each, np.inf)
    return RiseBound(float(each.mean()), holds, each)


# ---- between two points ---------------------------------------------------------------------------


def distance_moved(start: ArrayLike, end: ArrayLike) -> Distance:
    """How far a training moved: |end - start|, and in units of each end's own length.

    Published numbers are divided by either, and differ most where a network moved far.

    >>> wedges.interpolation.distance_moved([3.0, 4.0], [3.0, 0.0])
    Distance(moved=4, by_start=0.8, by_end=1.333)

    Args:
      start, end: [D].

    Returns:
      A `Distance`, of float64 sums. Over a length of 0 it is infinite, or NaN where nothing moved.

    Raises:
      ValueError: points of different shapes.
    """
    ends = _checks.array("start", start), _checks.array("end", end)
    if ends[0].ndim != 1 or ends[0].shape != ends[1].shape or {e.dtype.kind for e in ends} - set("fiu"):
        received = " and ".join(f"{e.dtype} {e.shape}" for e in ends)
        raise ValueError(f"start and end must be points of one shape [D]; received {received}.")
    a, b = (e.astype(np.float64) for e in ends)
    moved = np.linalg.norm(b - a)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Distance(*(float(moved / n) for n in (1.0, np.linalg.norm(a), np.linalg.norm(b))))


def interpolation(
    landscape: Landscape, start: ArrayLike, end: ArrayLike, points: int = 50
) -> Interpolation:
    """What a model does along theta(t) = (1 - t) start + t end: an `Interpolation`.

    Each point is one pass over the data, from which loss, accuracy and outputs come; of the outputs only
    those of the point before are kept, O(N C) numbers in memory whatever the number of points. On a
    landscape without examples, a toy or one restricted to a subspace, there are losses alone.

    Outputs are those of the model: logits, or probabilities if it ends with a softmax, whose curves are
    others. Batch norm's statistics are those of each t where the landscape re-estimates them
    (`batch_norm="reestimate"`); those of a trained model mean nothing elsewhere on the line.

    >>> bowl = wedges.Quadratic([1.0, 1.0])
    >>> found = wedges.interpolation.interpolation(bowl, [3.0, 0.0], [-1.0, 0.0], points=5)
    >>> found.losses.tolist(), found.draw_up
    ([4.5, 2.0, 0.5, 0.0, 0.5], 0.5)

    Args:
      landscape: any, of the training data. Of one with examples two points are evaluated at a time, in
        threads.
      start, end: theta before and after the training, two points [D].
      points: T, even, both ends included.

    Raises:
      ValueError: ends that are one point, or not finite, or not of this landscape; fewer than two
        points.

    Warns:
      UserWarning: losses that are NaN, whose draw-up and plateau then are; outputs of one column, whose
        turning is None; batch norm with the statistics of one model.

    Source: Goodfellow et al. 2015 (arXiv:1412.6544); Lucas et al. 2021 (arXiv:2104.11044), who take 50
    points.
    """
    from wedges.landscape import WithExamples

    points = _checks.whole("points", points, 2)
    ends = _checks.two_points(landscape, start=start, end=end)
    _checks.warn_of_statistics(landscape)
    t = np.linspace(0.0, 1.0, points)
    if isinstance(landscape, WithExamples):
        weights = t.astype(ends.dtype)
        theta = lambda i: (1 - weights[i]) * ends[0] + weights[i] * ends[1]
        losses, *models = _with_examples(landscape, theta, points)
    else:
        losses = probe.line(landscape, ends[0], ends[1], points).losses.astype(np.float64)
        models = [None] * 4
    accuracies, turns, lengths, outputs = models
    if lost := int(np.isnan(losses).sum()):
        warnings.warn(
            f"{lost} of {points} losses on the line are NaN, and so are draw_up and plateau.",
            stacklevel=2,
        )
    for shape in _flat(outputs, lambda z: z.shape if _columns(z) == 1 else None):
        warnings.warn(
            f"outputs of shape {shape} have one column, whose curve can only turn by multiples of pi: "
            "turning is None.",
            stacklevel=2,
        )
    return Interpolation(
        t,
        losses,
        accuracies,
        draw_up=float(monotonicity(losses)),
        plateau=float(plateau(losses, t)),
        distance=distance_moved(*ends),
        turning=turns,
        arc_length=lengths,
        outputs=outputs,
    )


def _with_examples(landscape, theta, points):
    """Losses [T], accuracies, turning, lengths and the last outputs, of evaluations at theta(0), ..."""
    import tensorflow as tf

    losses, accuracies, curves = [], [], None
    with bar(total=points, desc="interpolation", unit="point") as progress:
        for found in _evaluations(landscape, theta, points):
            losses.append(found.loss)
            accuracies.append(tf.nest.flatten(found.accuracy))
            outputs = tf.nest.map_structure(np.asarray, found.outputs)
            flat = tf.nest.flatten(outputs)
            curves = curves or [_Curves() for _ in flat]
            for curve, z in zip(curves, flat, strict=True):
                curve.add(z.reshape(len(z), -1))
            progress.update()
    pack = lambda leaves: tf.nest.pack_sequence_as(outputs, leaves)
    turns = [None if _columns(z) == 1 else c.turning for c, z in zip(curves, flat, strict=True)]
    shares = [None if a[0] is None else np.array(a, np.float64) for a in zip(*accuracies, strict=True)]
    known = tf.nest.pack_sequence_as(found.accuracy, shares)
    return np.array(losses, np.float64), known, pack(turns), pack([c.length for c in curves]), outputs


def _evaluations(
    landscape: WithExamples, theta: Callable[[int], np.ndarray], points: int
) -> Iterator[Evaluation]:
    """Evaluations at theta(0), theta(1), ... in their order, some of them computed at a time."""
    yield landscape.evaluate(theta(0))  # by itself, since it compiles
    ahead: collections.deque = collections.deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for i in range(1, points):
            # What the caller has set, a progress bar that is silent, holds in the threads as well.
            mine = contextvars.copy_context()
            ahead.append(pool.submit(mine.run, landscape.evaluate, theta(i)))
            if len(ahead) > _AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class _Curves:
    """N polygons in R^C, point after point: how long they are, and by how much they turn.

    Attributes:
      length, turning: [N], float64, of the points so far.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def add(self, z: np.ndarray) -> None:
        """The next point of each, [N, C]; it is kept, not copied."""
        if self._last is None:
            self.length, self.turning = np.zeros((2, len(z)))
            self._direction = np.zeros(z.shape)  # of the last chord that had one
            self._begun = np.zeros(len(z), bool)  # whether there was one
        else:
            rows = max(1, _BLOCK // max(1, z.shape[1]))
            for i in range(0, len(z), rows):
                self._add(slice(i, i + rows), z)
        self._last = z

    def _add(self, rows, z):
        before = self._direction[rows]
        with np.errstate(invalid="ignore", over="ignore"):
            chord = np.subtract(z[rows], self._last[rows], dtype=np.float64)
            length = np.sqrt(_squares(chord))
            moved = length != 0  # NaN has moved: it makes NaN of all
            chord *= (1 / np.where(moved, length, 1.0))[:, None]
            apart = _squares(chord - before)
            before += chord  # not changed by a chord of length 0
            angle = 2 * np.arctan2(np.sqrt(apart), np.sqrt(_squares(before)))
            none = 0.0 * length  # NaN where the outputs are not finite
        self.turning[rows] += np.where(moved & self._begun[rows], angle, none)
        self.length[rows] += length
        if moved.all():
            before[:] = chord
        else:
            np.copyto(before, chord, where=moved[:, None])
        self._begun[rows] |= moved


def _squares(v):
    """|v|^2 of each row. [N, C] -> [N]."""
    return np.einsum("nc,nc->n", v, v)


def _followed(outputs):
    """The `_Curves` of outputs [T, N, C] or [T, C]."""
    curves = _Curves()
    for z in outputs:
        curves.add(z.reshape(-1, z.shape[-1]))
    return curves


# ---- what is asked of arguments -------------------------------------------------------------------


def _curve(losses, t):
    """Losses [..., T] and t [T], float64, of arrays or of a result that has both."""
    if isinstance(losses, (probe.Line, Interpolation)):
        t, losses = losses.t if t is None else t, losses.losses
    losses = _checks.on_a_line(losses)
    count = losses.shape[-1]
    t = np.linspace(0.0, 1.0, count) if t is None else np.asarray(t)
    if not _checks.rises(t, count):
        raise ValueError(f"t must be {count} numbers that rise from 0 to 1; received {shown(t)}.")
    return losses.astype(np.float64), t.astype(np.float64)


def _outputs(outputs):
    """Outputs [T, N, C] or [T, C] as an array."""
    outputs = _checks.array("outputs", outputs)
    known = outputs.ndim in (2, 3) and outputs.dtype.kind in "fiu"
    if not known or len(outputs) < 2 or not outputs[0].size:
        raise ValueError(
            "outputs must be numbers [T, N, C] or [T, C], T >= 2 points; received "
            f"{outputs.dtype} {outputs.shape}."
        )
    return outputs


def _columns(z):
    """How many numbers an output has for each example, [N, ...]."""
    return z[0].size


def _flat(outputs, function):
    """function(output) of each output where it is not None."""
    import tensorflow as tf

    found = map(function, tf.nest.flatten(outputs)) if outputs is not None else ()
    return [value for value in found if value is not None]
