"""May these be averaged? What the mean of some weights has more than the models, and how sure that is.

Numbers of each example, a paired difference, its interval, and an answer.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import scipy.special
import tensorflow as tf

from wedges import _keras
from wedges.landscape import Evaluation
from wedges.network.landscape import NetworkLandscape

_RESAMPLED = 2000  # times, of the examples
_NUMBERS = 2_000_000  # examples of resamples in memory at once
_MANY = 20_000  # examples: the mean of so many is as good as normal, and resamples take their time
_SECONDS = 6e-8  # that an example of a resample takes
# A mean that costs no more than this is worth its price to most: points of accuracy, share of the loss.
TOLERANCE, TOLERANCE_OF_LOSS = 0.01, 0.05

# Numbers of each example [N], and what each counts [N]; None where all count alike.
Each = tuple[np.ndarray, np.ndarray | None]


# ---- numbers of each example ------------------------------------------------------------------------


def one(accuracy: Any) -> float | None:
    """The accuracy, where a model has one."""
    several = isinstance(accuracy, (dict, list, tuple))  # one for each output
    return None if accuracy is None or several or np.ndim(accuracy) else float(accuracy)


def numbers(landscape: NetworkLandscape, found: Evaluation) -> dict[str, Each | None]:
    """What each example counts for accuracy and loss, by unit; None where it has no number."""
    return {"accuracy": hits(landscape, found), "loss": losses(landscape, found)}


def weights_of(landscape: NetworkLandscape) -> np.ndarray | None:
    """What each example counts, [N]; None where all count alike, or not each has one number."""
    w = landscape.sample_weight
    if w is None or not tf.is_tensor(w) or int(tf.size(w)) != landscape.size:
        return None
    return np.asarray(w, np.float64).reshape(landscape.size)


def hits(landscape: NetworkLandscape, found: Evaluation) -> Each | None:
    """Which examples are labelled as their targets are, 0 to 1; None where that is not the accuracy.

    As with masks, which count positions instead of examples.
    """
    accuracy = one(found.accuracy)
    if accuracy is None or not tf.is_tensor(landscape.y):
        return None
    labels, y = np.asarray(landscape.labels(found.outputs)), np.asarray(landscape.y)
    if y.ndim == labels.ndim + 1 and y.shape[-1] > 1:
        y = y.argmax(axis=-1)
    right = (labels == y.reshape(labels.shape)).astype(np.float64)
    each, w = right.reshape(len(right), -1).mean(axis=1), weights_of(landscape)
    return (each, w) if np.isclose(np.average(each, weights=w), accuracy, atol=1e-5) else None


def losses(landscape: NetworkLandscape, found: Evaluation) -> Each | None:
    """The loss of each example; None where their mean is not the loss, as with masks.

    Keras' mean of weighted losses is one over all examples, unless the loss says otherwise: each is then
    multiplied by its weight, and all count alike.
    """
    several, y, z = keras.tree.flatten(landscape.loss), landscape.y, found.outputs
    if len(several) != 1 or several[0] is None or not tf.is_tensor(y) or not hasattr(z, "shape"):
        return None
    try:
        z = tf.convert_to_tensor(z)
        values = _keras.resolved_loss(several[0], y, z).call(y, z)
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError):
        return None
    values = np.asarray(values, np.float64)
    if values.ndim == 0 or len(values) != landscape.size:
        return None
    each, w = values.reshape(len(values), -1).mean(axis=1), weights_of(landscape)
    ways: list[Each] = [(each, None)] if w is None else [(w * each, None), (each, w)]
    agrees = lambda e: np.isclose(
        np.average(e[0], weights=e[1]), float(found.loss), rtol=1e-3, atol=1e-6
    )
    return next(filter(agrees, ways), None)


# ---- differences, example by example ----------------------------------------------------------------


def paired(d: np.ndarray, w: np.ndarray | None, *, counted: bool) -> dict[str, Any]:
    """The mean of the differences of N examples [N], its standard error, and whether it is not chance.

    "sure": it is more than 1.96 standard errors from 0. A count moves in steps of one example, half a
    step to either side of what a normal distribution says: there one example has to be to spare.

    >>> change = [0.0] * 60 + [1.0] * 4  # 4 of 64 examples, all for the better: p = 1/8
    >>> wedges.cards.judging.paired(np.array(change), None, counted=True)["sure"]
    False
    """
    w = np.ones(len(d)) if w is None else w
    mean, n = float(np.average(d, weights=w)), int(np.count_nonzero(w))
    spread = float(np.sqrt(np.sum((w * (d - mean)) ** 2))) / float(np.sum(w))
    error = spread * np.sqrt(n / (n - 1)) if n > 1 else np.inf
    step = float(w.max() / w.sum()) if counted else 0.0
    return {"difference": mean, "error": error, "sure": bool(abs(mean) - step > 1.96 * error)}


def changed(saved: dict[str, Each | None], anew: dict[str, Each | None]) -> dict[str, Any] | None:
    """What statistics found anew change, on the examples that both have numbers of.

    Args:
      saved, anew: `numbers` of one model on examples in one order; one may have more of them.
    """
    for unit in ("accuracy", "loss"):
        before, after = saved[unit], anew[unit]
        if before is None or after is None or (before[1] is None) != (after[1] is None):
            continue
        n = min(len(before[0]), len(after[0]))
        w, values = None if after[1] is None else after[1][:n], [before[0][:n], after[0][:n]]
        means = dict(zip(("saved", "anew"), np.average(values, axis=1, weights=w), strict=True))
        apart = paired(values[1] - values[0], w, counted=unit == "accuracy")
        return {"unit": unit, "examples": n, **means, **apart}
    return None


# ---- the mean against the models --------------------------------------------------------------------


def judged(
    landscape: NetworkLandscape,
    thetas: Any,
    seed: int,
    saved: list[dict[str, Each | None]] | None = None,
) -> dict[str, Any]:
    """Loss and accuracy of models and their mean, what it gains, and the answer, on one landscape.

    Args:
      landscape: whose examples judge; batch-norm statistics are those of each theta alike.
      thetas: of the models [K, D], and last of their mean: [K + 1, D].
      seed: of the resamples.
      saved: `numbers` of the models with statistics as saved, on the same examples, if there are any.
    """
    found = [landscape.evaluate(theta) for theta in thetas]
    *models, middle = found
    each = [numbers(landscape, f) for f in found]
    result: dict[str, Any] = {
        "examples": landscape.size,
        "loss": [float(f.loss) for f in models],
        "accuracy": [one(f.accuracy) for f in models],
        "mean_loss": float(middle.loss),
        "mean_accuracy": one(middle.accuracy),
        "ensemble_accuracy": _ensemble(landscape, models, each[:-1]),
        "same": all(np.array_equal(thetas[0], theta) for theta in thetas[1:-1]),
        "gain": _gain([e["accuracy"] for e in each], "accuracy", seed),
        "loss_gain": _gain([e["loss"] for e in each], "loss", seed),
        "constant": constant(landscape, each[:-1]),
        "statistics": [changed(*pair) for pair in zip(saved or [], each[:-1], strict=False)],
    }
    counted = result["gain"] is not None
    result["interval"] = interval_in_words(landscape.size, counted=counted)
    return {**result, "verdict": verdict(result)}


def constant(landscape: NetworkLandscape, each: list[dict[str, Each | None]]) -> dict[str, Any] | None:
    """What the best of some models gains over one answer for all of the same examples.

    That is their most frequent class, where there is an accuracy; the mean of their targets in a
    regression. None where an answer for all is not known.

    Args:
      landscape: whose examples judge.
      each: `numbers` of the models.
    """
    unit = "loss" if any(e["accuracy"] is None for e in each) else "accuracy"
    known = [found for e in each if (found := e[unit]) is not None]
    values = _most_frequent(landscape) if unit == "accuracy" else _mean_target(landscape)
    if values is None or len(known) < len(each) or values.shape != known[0][0].shape:
        return None
    w, sign = known[0][1], 1.0 if unit == "accuracy" else -1.0
    weights = weights_of(landscape)
    if w is None and weights is not None:  # the numbers of the models are weighted themselves
        values = weights * values
    means = [float(np.average(numbers, weights=w)) for numbers, _ in known]
    best = int(np.argmax(sign * np.array(means)))
    if not np.isfinite(means[best]):
        return None
    gain = paired(sign * (known[best][0] - values), w, counted=unit == "accuracy")
    return {
        "unit": unit,
        "best": best,
        "of_best": means[best],
        "of_constant": float(np.average(values, weights=w)),
        **gain,
        "better": bool(gain["sure"] and gain["difference"] > 0),
    }


def _most_frequent(landscape):
    """Which examples are of the most frequent class, 0 to 1 [N]; None where targets are no classes."""
    if not tf.is_tensor(landscape.y):
        return None
    y, w = np.asarray(landscape.y), weights_of(landscape)
    if y.ndim > 1 and y.shape[-1] > 1 and landscape.readout.meanings[0].kind == "one-hot":
        y = y.argmax(axis=-1)
    y = np.round(y).astype(np.int64).reshape(len(y), -1)
    classes, at = np.unique(y, return_inverse=True)
    w = np.ones(len(y)) if w is None else w
    counts = np.bincount(at.ravel(), np.repeat(w, y.shape[1]), len(classes))
    return (y == classes[counts.argmax()]).mean(axis=1)


def mean_target_loss(landscape: NetworkLandscape) -> float | None:
    """The loss of a regression where the mean target is predicted; None of what is none."""
    each = _mean_target(landscape)
    return None if each is None else float(np.average(each, weights=weights_of(landscape)))


def _mean_target(landscape):
    """The loss of each example [N] where the mean target is predicted; None of what is no regression."""
    y, several = landscape.y, keras.tree.flatten(landscape.loss)
    meanings = landscape.readout.meanings
    if not tf.is_tensor(y) or len(several) != 1 or several[0] is None or meanings[0].kind is not None:
        return None
    w = weights_of(landscape)
    y = tf.cast(y, landscape.dtype)
    y = tf.reshape(y, [landscape.size, -1])
    mean = np.average(np.asarray(y, np.float64), axis=0, weights=w)
    z = tf.broadcast_to(tf.cast(mean, y.dtype), y.shape)
    try:
        values = np.asarray(_keras.resolved_loss(several[0], y, z).call(y, z), np.float64)
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError):
        return None
    return values.reshape(landscape.size, -1).mean(axis=1)


def _ensemble(landscape, found, each):
    """The accuracy of the mean prediction; None where it would be another quantity than the models'.

    That is where `hits` does not give their accuracies: where there is none, or with masks.
    """
    if any(e["accuracy"] is None for e in each):
        return None
    together = np.mean(
        [np.asarray(landscape.probabilities(f.outputs), np.float64) for f in found], axis=0
    )
    if together.shape[-1] == 1:
        labels = (together[..., 0] > 0.5).astype(int)
    else:
        labels = together.argmax(axis=-1)
    y = np.asarray(landscape.y)
    if y.ndim == labels.ndim + 1 and y.shape[-1] > 1:
        y = y.argmax(axis=-1)
    right = (labels == y.reshape(labels.shape)).astype(np.float64)
    each = right.reshape(len(right), -1).mean(axis=1)
    return float(np.average(each, weights=weights_of(landscape)))


def _gain(each, unit, seed):
    """What the mean has more than the models' average and than the best, with 95% intervals.

    None where some have no number for each example.
    """
    if any(e is None for e in each):
        return None
    sign = 1.0 if unit == "accuracy" else -1.0
    values, w = sign * np.stack([e[0] for e in each]), each[0][1]
    models, middle = values[:-1], values[-1]
    best = int(np.argmax(np.average(models, axis=1, weights=w)))
    d = np.stack([middle - models.mean(axis=0), middle - models[best]])
    low, high = interval(d, w, seed, counted=unit == "accuracy")
    mean, over_best = np.average(d, axis=1, weights=w)
    return {
        "mean": mean,
        "low": low[0],
        "high": high[0],
        "best": best,
        "over_best": over_best,
        "best_low": low[1],
        "best_high": high[1],
    }


def interval(
    d: np.ndarray, w: np.ndarray | None, seed: int, *, counted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """95% intervals [K] of the means of differences [K, N] of N examples: their lower and upper ends.

    From resamples of the examples; of very many examples from the standard error. Where labels are
    counted, rows without a change say nothing of the changes that so few examples did not show: an
    interval is no narrower than Clopper and Pearson's bounds on how many examples lose or gain.

    >>> same = np.zeros((1, 12))  # no label of 12 examples has changed: of 100 still up to 27 may
    >>> wedges.cards.judging.interval(same, None, 0, counted=True)[0].round(3)
    array([-0.265])
    """
    few = d.shape[1] <= _MANY
    w = np.ones(d.shape[1]) if w is None else w
    low, high = np.array(_resampled(d, w, seed) if few else [_normal(row, w) for row in d]).T
    if not counted:
        return low, high
    lost, gained = np.maximum(-d, 0), np.maximum(d, 0)
    mean = lambda rows: np.average(rows, axis=1, weights=w)
    least = mean(gained) - [_at_most(row, w) for row in lost]
    most = [_at_most(row, w) for row in gained] - mean(lost)
    return np.minimum(low, least), np.maximum(high, most)


def _resampled(d, w, seed):
    """Ends [K, 2] of what 95% of the resamples of the examples have as their mean."""
    rng, n = np.random.default_rng([seed, 3]), d.shape[1]
    some = max(1, _NUMBERS // n)
    counts = [min(some, _RESAMPLED - begin) for begin in range(0, _RESAMPLED, some)]
    means = [_weighted_means(d, w, rng.integers(0, n, (count, n))) for count in counts]
    return np.nanquantile(np.concatenate(means, axis=1), [0.025, 0.975], axis=1).T


def _weighted_means(d, w, rows):
    """Weighted means of d [K, N] over resamples [R, N]: [K, R]."""
    return (d[:, rows] * w[rows]).sum(axis=-1) / w[rows].sum(axis=-1)


def _normal(d, w):
    """Ends of the mean and 1.96 of its standard errors to either side."""
    found = paired(d, w, counted=False)
    half = 1.96 * found["error"]
    return found["difference"] - half, found["difference"] + half


def _at_most(lost, w):
    """An upper bound (97.5%) of what all examples lose, from what each of these does [N].

    That on the share of examples that lose anything, by Clopper and Pearson, times what those lose on
    average, a whole label where none does. Examples that weigh little count as fewer.
    """
    n, loses = np.sum(w) ** 2 / np.sum(w**2), lost > 1e-9
    share = np.average(loses, weights=w)
    size = np.average(lost, weights=w) / share if share > 0 else 1.0
    if np.isclose(share, 1):
        return size
    return size * scipy.special.betaincinv(n * share + 1, n * (1 - share), 0.975)


def interval_in_words(n: int, *, counted: bool) -> str:
    """How `interval` finds one of the differences of n examples."""
    how = "is the mean difference with 1.96 standard errors to either side"
    if n <= _MANY:
        how = f"holds 95% of {_RESAMPLED:,} bootstrap samples of them"
    exact = ", and is no narrower than Clopper and Pearson's bounds on how many labels change"
    return f"the interval {how}{exact if counted else ''}"


def seconds(n: int) -> float:
    """How long the resamples of the differences of n examples take, of accuracy and loss together."""
    return 2 * _SECONDS * _RESAMPLED * n if n <= _MANY else 0.0


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """Whether models may be averaged, from what they and their mean gain: an answer and its allowance.

    "yes" where the 95% interval says that the mean loses no more than a point of accuracy against the
    best of the models (5% of the loss where there are no accuracies); "no" where it says that the mean
    loses more against the models' average; "below" where it loses more against the best alone, which
    then is what to take; "same" where the models have equal weights; else "unclear", these examples are
    too few.
    "constant" says beside it that none of the models is clearly better than one answer for all.

    >>> gain = {"mean": -0.3, "low": -0.32, "high": -0.28, "best_low": -0.33, "best_high": -0.3}
    >>> wedges.cards.judging.verdict({"gain": gain, "loss_gain": None, "loss": [0.1, 0.1]})["answer"]
    'no'
    """
    gain, allowed = found["gain"], TOLERANCE
    unit = "accuracy"
    if gain is None:
        gain, unit = found["loss_gain"], "loss"
        allowed = TOLERANCE_OF_LOSS * float(np.mean(np.abs(found["loss"])))
    answer = "unclear"
    if found.get("same"):
        answer = "same"
    elif gain is not None and np.isfinite([gain["low"], gain["high"], gain["best_low"]]).all():
        if gain["best_low"] >= -allowed:
            answer = "yes"
        elif gain["high"] < -allowed:
            answer = "no"
        elif gain["best_high"] < -allowed:
            answer = "below"
    one_for_all = found.get("constant")
    pointless = one_for_all is not None and not one_for_all["better"] and answer != "same"
    return {"answer": answer, "unit": unit, "allowed": allowed, "constant": pointless}
