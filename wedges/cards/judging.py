"""May these be averaged? What the mean of some weights has more than the models, and how sure that is.

Numbers of each example, a paired difference, its bootstrap over examples, and an answer.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.landscape import Evaluation
from wedges.network.landscape import NetworkLandscape

_RESAMPLED = 2000  # times, of the examples
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
        "ensemble_accuracy": _ensemble(landscape, models),
        "same": all(np.array_equal(thetas[0], theta) for theta in thetas[1:-1]),
        "gain": _gain([e["accuracy"] for e in each], 1.0, seed),
        "loss_gain": _gain([e["loss"] for e in each], -1.0, seed),
        "constant": constant(landscape, each[:-1]),
        "statistics": [changed(*pair) for pair in zip(saved or [], each[:-1], strict=False)],
    }
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


def _ensemble(landscape, found):
    """The accuracy of the mean prediction; None where there is no accuracy."""
    if any(one(f.accuracy) is None or not hasattr(f.outputs, "shape") for f in found):
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


def _gain(each, sign, seed):
    """What the mean has more than the models' average and than the best, and 95% of its resamples.

    None where some have no number for each example.
    """
    if any(e is None for e in each):
        return None
    values, w = sign * np.stack([e[0] for e in each]), each[0][1]
    models, middle = values[:-1], values[-1]
    best = int(np.argmax(np.average(models, axis=1, weights=w)))
    d = np.stack([middle - models.mean(axis=0), middle - models[best]])
    rng = np.random.default_rng([seed, 3])
    n, some = len(middle), min(100, _RESAMPLED)
    of = np.ones(n) if w is None else w
    means = np.concatenate(
        [_resampled(d, of, rng.integers(0, n, (some, n))) for _ in range(_RESAMPLED // some)], axis=1
    )
    (low, best_low), (high, best_high) = np.nanquantile(means, [0.025, 0.975], axis=1)
    mean, over_best = np.average(d, axis=1, weights=w)
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "best": best,
        "over_best": over_best,
        "best_low": best_low,
        "best_high": best_high,
    }


def _resampled(d, w, rows):
    """Weighted means of d [2, N] over resamples [R, N]: [2, R]."""
    return (d[:, rows] * w[rows]).sum(axis=-1) / w[rows].sum(axis=-1)


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """Whether models may be averaged, from what they and their mean gain: an answer and its allowance.

    "yes" where 95% of the resamples say that the mean loses no more than a point of accuracy against the
    best of the models (5% of the loss where there are no accuracies); "no" where they say that it loses
    more against the models' average; "below" where it loses more against the best alone, which then is
    what to take; "same" where the models have equal weights; else "unclear", these examples are too few.
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
