"""Between checkpoints: the straight line, their mean, and how alike they are."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

import wedges
from wedges import average, connect, phases, probe
from wedges.cards.budget import Cost, Cut, count
from wedges.cards.fit import hits, losses, one
from wedges.cards.subject import Subject
from wedges.phases.likeness import mixable

_POINTS = (25, 21, 17, 13, 11, 9, 7, 5)  # of a line
_PAIRS = 6  # lines at most
_ALIKE = 640  # inputs of the CKA
_RESAMPLED = 2000  # times, of the examples
# A mean that costs no more than this is worth its price to most: points of accuracy, share of the loss.
TOLERANCE, TOLERANCE_OF_LOSS = 0.01, 0.05


# ---- the straight line ------------------------------------------------------------------------------


def line_cost(subject: Subject, n: int) -> Cost:
    """On n examples."""
    pairs = min(_PAIRS, subject.count * (subject.count - 1) // 2)
    of = lambda points: (points + 2) * n * subject.moved + subject.rates.tracing / 2
    return Cost(of(_POINTS[-1]), of(pairs * _POINTS[0]))


def lines(subject: Subject, seconds: float) -> dict[str, Any]:
    """Loss and accuracy on the straight lines between checkpoints, and their barriers.

    Raises:
      Cut: a line of 5 points does not fit.
    """
    every = list(itertools.combinations(range(subject.count), 2))[:_PAIRS]
    begin = time.monotonic()
    each = subject.look()
    seconds = max(seconds - (time.monotonic() - begin), 1.0)
    points = next((p for p in _POINTS if p * len(every) * each <= seconds), _POINTS[-1])
    pairs = every[: count(seconds, points * each, 1, len(every), "straight line of 5 points")]
    return {
        "examples": subject.around.size,
        "left_out": subject.count * (subject.count - 1) // 2 - len(pairs),
        "lines": [_line(subject, i, j, points) for i, j in pairs],
    }


def _line(subject, i, j, points):
    a, b = subject.thetas[i], subject.thetas[j]
    t = np.linspace(0, 1, points)
    weights = t.astype(a.dtype)[:, None]
    found = connect.readings(subject.around, (1 - weights) * a + weights * b)
    accuracy = _known(found.accuracy)
    return {
        "between": [subject.names[i], subject.names[j]],
        "distance": float(np.linalg.norm((b - a).astype(np.float64))),
        "t": t,
        "loss": found.loss,
        "accuracy": accuracy,
        "barrier": float(probe.barrier(found.loss)),
        "error_barrier": None if accuracy is None else 100 * float(probe.barrier(1 - accuracy)),
    }


def _known(accuracy):
    plain = isinstance(accuracy, np.ndarray) and accuracy.ndim == 1 and accuracy.dtype.kind == "f"
    return accuracy.astype(np.float64) if plain else None


# ---- their mean -------------------------------------------------------------------------------------


def mean_cost(subject: Subject, n: int) -> Cost:
    """On n examples, or on those held out."""
    held_out = 0 if subject.held_out is None else subject.held_out.size
    again = n if held_out else 0
    passes = (2 * subject.count + 1) * ((held_out or n) * subject.moved + again * subject.rates.forward)
    return Cost(*2 * [passes + subject.rates.tracing * (1 if held_out else 0.5)])


def mean(subject: Subject, seconds: float) -> dict[str, Any]:
    """The mean of all checkpoints, their ensemble, the greedy soup, and whether to average.

    The verdict is about d, the mean's accuracy less the average of the models' accuracies, and its
    uncertainty is over examples: 95% of bootstrap samples of them. Without accuracies it is about the
    loss.

    Raises:
      Cut: the passes do not fit.

    Source: Wortsman et al. 2022 (arXiv:2203.05482), the greedy soup.
    """
    landscape, where = subject.judged
    each = landscape.size * subject.moved
    count(max(seconds, 1.0), each, subject.count + 1, 10**9, "passes over the data")
    found = [landscape.evaluate(theta) for theta in subject.thetas]
    total = average.RunningAverage()
    for theta in subject.thetas:
        total.add(theta)
    middle = landscape.evaluate(total.mean)
    right: list[Any] = [hits(landscape, f) for f in (*found, middle)]
    cost: list[Any] = [losses(landscape, f) for f in (*found, middle)]
    result: dict[str, Any] = {
        "where": where,
        "examples": landscape.size,
        "loss": [float(f.loss) for f in found],
        "accuracy": [one(f.accuracy) for f in found],
        "mean_loss": float(middle.loss),
        "mean_accuracy": one(middle.accuracy),
        "ensemble_accuracy": _ensemble(landscape, found),
    }
    known = all(r is not None for r in right)
    result["gain"] = _gain(np.stack(right[:-1]), right[-1], subject.seed) if known else None
    priced = all(c is not None for c in cost)
    result["loss_gain"] = _gain(-np.stack(cost[:-1]), -cost[-1], subject.seed) if priced else None
    result["verdict"] = verdict(result)
    result["soup"] = _soup(subject, landscape, result, where)
    return result


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
    return float(np.mean(labels == y.reshape(labels.shape)))


def _gain(models, middle, seed):
    """What the mean has more than the models' average [K, N], [N]: in the mean, and 95% of resamples."""
    d = middle - models.mean(axis=0)
    rng = np.random.default_rng([seed, 3])
    n = len(d)
    means = np.concatenate(
        [d[rng.integers(0, n, (min(100, _RESAMPLED), n))].mean(axis=1) for _ in range(_RESAMPLED // 100)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    best = models.mean(axis=1).max()
    return {"mean": d.mean(), "low": low, "high": high, "over_best": middle.mean() - best}


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """Whether the checkpoints may be averaged, from what `mean` found: "yes", "no" or "unclear".

    Yes where 95% of the resamples say that the mean loses no more than a point of accuracy against the
    average of the models (5% of the loss where there are no accuracies); no where they say that it loses
    more; else these examples are too few to say.

    >>> gain = {"mean": -0.3, "low": -0.32, "high": -0.28, "over_best": -0.3}
    >>> wedges.cards.between.verdict({"gain": gain, "loss_gain": None, "loss": [0.1, 0.1]})["answer"]
    'no'
    """
    gain, allowed = found["gain"], TOLERANCE
    unit = "accuracy"
    if gain is None:
        gain, unit = found["loss_gain"], "loss"
        allowed = TOLERANCE_OF_LOSS * float(np.mean(np.abs(found["loss"])))
    if gain is None or not np.isfinite([gain["low"], gain["high"]]).all():
        return {"answer": "unclear", "unit": unit, "allowed": allowed}
    answer = "yes" if gain["low"] >= -allowed else "no" if gain["high"] < -allowed else "unclear"
    return {"answer": answer, "unit": unit, "allowed": allowed}


def _soup(subject, judged, found, where):
    """The greedy soup: models from the best on, each kept where their mean is no worse with it."""
    choosing = subject.around
    if where == "held out":
        each = [choosing.evaluate(theta) for theta in subject.thetas]
        scores = [_score(f) for f in each]
    else:
        pairs = zip(found["accuracy"], found["loss"], strict=True)
        scores = [-loss if accuracy is None else accuracy for accuracy, loss in pairs]
    order = sorted(range(subject.count), key=lambda k: (-np.nan_to_num(scores[k], nan=-np.inf), k))
    chosen, best = [order[0]], scores[order[0]]
    for k in order[1:]:
        tried = subject.thetas[[*chosen, k]].astype(np.float64).mean(axis=0)
        score = _score(choosing.evaluate(tried.astype(subject.thetas.dtype)))
        if score >= best:
            chosen, best = [*chosen, k], score
    theta = subject.thetas[chosen].astype(np.float64).mean(axis=0).astype(subject.thetas.dtype)
    last = judged.evaluate(theta)
    return {
        "chosen": [subject.names[k] for k in chosen],
        "loss": float(last.loss),
        "accuracy": one(last.accuracy),
        "chosen_on": "the examples given",
    }


def _score(found):
    accuracy = one(found.accuracy)
    return -float(found.loss) if accuracy is None else accuracy


# ---- likeness ---------------------------------------------------------------------------------------


def alike_cost(subject: Subject, n: int) -> Cost:
    """On n examples."""
    passes = subject.count * min(_ALIKE, n) * subject.moved
    return Cost(*2 * [passes + subject.rates.tracing / 2])


def alike(subject: Subject, seconds: float) -> dict[str, Any]:
    """CKA of outputs on mixed inputs, shares of equal labels, and distances, of all pairs.

    Raises:
      Cut: the passes do not fit.
    """
    around = subject.around
    count(max(seconds, 1.0), around.size * subject.moved, subject.count, 10**9, "passes over the data")
    found = phases.similarity(
        around,
        subject.thetas,
        seed=subject.seed,
        examples=min(_ALIKE, around.size),
        alpha=16.0 if mixable(around) else None,
    )
    return {
        "examples": found.examples,
        "mixed": found.mixed,
        "cka": found.cka,
        "mean_cka": found.mean,
        "agreement": found.agreement,
        "distance": found.distance,
        "failed": {subject.names[k]: why for k, why in found.failed.items()},
    }


# ---- after permutations of units --------------------------------------------------------------------


def aligned_cost(subject: Subject, n: int) -> Cost:
    """On n examples, and a moment for the matching."""
    return Cost(*(2 * (points + 1) * n * subject.moved + 2.0 for points in (_POINTS[-1], _POINTS[0])))


def aligned(subject: Subject, seconds: float) -> dict[str, Any]:
    """The line between the first two checkpoints once the units of the second are in the first's order.

    Raises:
      Cut: a layer whose units are not understood, or points that do not fit.
    """
    around, (a, b) = subject.around, subject.thetas[:2]
    each = 2 * subject.look()
    points = next((p for p in _POINTS if p * each <= seconds), None)
    if points is None:
        raise Cut(f"two lines of 5 points would take {5 * each:.0f} s, and {seconds:.0f} s are for them")
    try:
        moved = _in_order(around, a, b, subject.seed)
    except ValueError as error:
        raise Cut(" ".join(str(error).split()).rstrip(".")) from None
    t = np.linspace(0, 1, points).astype(a.dtype)[:, None]
    before, after = (connect.readings(around, (1 - t) * a + t * end) for end in (b, moved))
    accuracy = _known(after.accuracy)
    return {
        "between": subject.names[:2],
        "examples": around.size,
        "t": t[:, 0],
        "loss": after.loss,
        "accuracy": accuracy,
        "barrier": float(probe.barrier(after.loss)),
        "barrier_before": float(probe.barrier(before.loss)),
        "mean_accuracy": None if accuracy is None else accuracy[points // 2],
    }


def _in_order(landscape, a, b, seed):
    """The second checkpoint with its units in the order of the first's."""
    align = getattr(wedges, "align")  # noqa: B009  (not every version has it)
    return np.asarray(align(landscape, a, b, seed=seed, points=None).theta)


def can_align() -> bool:
    """Whether this version of the library orders units."""
    return "align" in dir(wedges)
