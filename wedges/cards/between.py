"""Between checkpoints: the straight line, their mean, and how alike they are."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

import wedges
from wedges import average, connect, phases, probe
from wedges.cards.budget import Cost, Cut, count, too_long
from wedges.cards.judging import judged, numbers, one
from wedges.cards.judging import seconds as seconds_of
from wedges.cards.subject import Subject
from wedges.phases.likeness import mixable

_POINTS = (25, 21, 17, 13, 11, 9, 7, 5)  # of a line
_PAIRS = 6  # lines at most
_ALIKE = 640  # inputs of the CKA
_JUDGED = 3  # points that are judged: two models and their mean


# ---- the straight line ------------------------------------------------------------------------------


def line_cost(subject: Subject, n: int) -> Cost:
    """On n examples."""
    pairs = min(_PAIRS, subject.count * (subject.count - 1) // 2)
    of = lambda points: (points + 2) * n * subject.moved + _tracing(subject)
    return Cost(of(_POINTS[-1]), of(pairs * _POINTS[0]))


def _tracing(subject):
    """Seconds that the graph of an evaluation anywhere takes to be traced."""
    return subject.fresh(anew=subject.has_batch_norm)


def lines(subject: Subject, seconds: float) -> dict[str, Any]:
    """Loss and accuracy on the straight lines between checkpoints, and their barriers.

    Raises:
      Cut: a line of 5 points does not fit.
    """
    every = list(itertools.combinations(range(subject.count), 2))[:_PAIRS]
    each, room = _room(subject, seconds)
    points = next((p for p in _POINTS if p * len(every) * each <= room), _POINTS[-1])
    if points * each > room:
        raise too_long("a straight line of 5 points", points * each + max(seconds - room, 0.0), seconds)
    pairs = every[: count(room, points * each, 1, len(every), "straight line of 5 points")]
    subject.ran(subject.around, "evaluation")
    return {
        "examples": subject.around.size,
        "batch_norm": subject.has_batch_norm,
        "left_out": subject.count * (subject.count - 1) // 2 - len(pairs),
        "lines": [_line(subject, i, j, points) for i, j in pairs],
    }


def _room(subject, seconds):
    """Seconds that a point takes, and that are left for points once the graph is traced.

    Of a second at least, which small models need for it in no time at all.
    """
    begin = time.monotonic()
    each = subject.look(seconds, kind="evaluation")
    tracing = subject.tracing(subject.around, "evaluation")
    return each, max(seconds, 1.0) - (time.monotonic() - begin) - tracing


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
    # Of two models that judge on what they are chosen on, the soups were looked at before.
    looks = 3 if subject.count == 2 and not held_out else 2 * subject.count + 1
    passes = looks * ((held_out or n) * subject.moved + again * subject.rates.forward)
    tracing = _tracing(subject) * (2 if held_out else 1)
    return Cost(*2 * [passes + tracing + seconds_of(held_out or n)])


def mean(subject: Subject, seconds: float) -> dict[str, Any]:
    """The mean of all checkpoints, their ensemble, the greedy soup, and whether to average.

    What judges is what is held out, if there is any. The mean is compared with the best of the models,
    see `judging.verdict`; batch-norm statistics are found anew for all of them alike.

    Raises:
      Cut: the passes do not fit.

    Source: Wortsman et al. 2022 (arXiv:2203.05482), the greedy soup.
    """
    landscape, where = subject.judged
    each = landscape.size * subject.moved
    room = max(seconds, 1.0) - subject.tracing(landscape, "evaluation") - seconds_of(landscape.size)
    count(room, each, subject.count + 1, 10**9, "passes over the data")
    subject.ran(landscape, "evaluation")
    saved = _as_saved(subject, where, seconds - (subject.count + 1) * each)
    result = judged(landscape, [*subject.thetas, _mean_of(subject.thetas)], subject.seed, saved)
    pairs = itertools.combinations(range(subject.count), 2)
    equal = [pair for pair in pairs if np.array_equal(*(subject.thetas[k] for k in pair))]
    result["equal"] = [[subject.names[k] for k in pair] for pair in equal]
    result |= {"names": subject.names, "where": where, "batch_norm": subject.has_batch_norm}
    result["soup"] = _soup(subject, landscape, result, where)
    return result


def _as_saved(subject, where, seconds):
    """Numbers of each example with statistics as saved; None without batch norm, or without the time.

    Loss and accuracy have left them, but in a card that was stopped after these.
    """
    if not subject.has_batch_norm:
        return None
    if where not in subject.saved:
        n = subject.working if subject.held_out is None else subject.held_out.size
        if subject.count * (n * subject.rates.forward + subject.rates.tracing / 2) > seconds:
            return None
        own = [subject.own(k, subject.working) for k in range(subject.count)]
        if where == "held out":
            own = [subject.on_held_out(landscape, n) for landscape in own]
        pairs = zip(own, subject.thetas, strict=True)
        subject.saved[where] = [numbers(ls, ls.evaluate(theta)) for ls, theta in pairs]
    return subject.saved[where]


def _mean_of(thetas):
    total = average.RunningAverage()
    for theta in thetas:
        total.add(theta)
    return total.mean


def _soup(subject, landscape, found, where):
    """The greedy soup: models from the best on, each kept where their mean is no worse with it."""
    choosing = subject.around
    if where == "held out":
        each = [choosing.evaluate(theta) for theta in subject.thetas]
        scores = [_score(f) for f in each]
    else:
        pairs = zip(found["accuracy"], found["loss"], strict=True)
        scores = [-loss if accuracy is None else accuracy for accuracy, loss in pairs]
    # Of two models every soup is a model or the mean, which were looked at already.
    known = {tuple(range(subject.count)): (found["mean_loss"], found["mean_accuracy"])}
    known |= {(k,): pair for k, pair in enumerate(zip(found["loss"], found["accuracy"], strict=True))}
    order = sorted(range(subject.count), key=lambda k: (-np.nan_to_num(scores[k], nan=-np.inf), k))
    chosen, best = [order[0]], scores[order[0]]
    for k in order[1:]:
        members = tuple(sorted([*chosen, k]))
        if where == "held out" or members not in known:
            tried = choosing.evaluate(_soup_of(subject, members))
            score = _score(tried)
            if where != "held out":
                known[members] = float(tried.loss), one(tried.accuracy)
        else:
            loss, accuracy = known[members]
            score = -loss if accuracy is None else accuracy
        if score >= best:
            chosen, best = [*chosen, k], score
    members = tuple(sorted(chosen))
    if members not in known:
        last = landscape.evaluate(_soup_of(subject, members))
        known[members] = float(last.loss), one(last.accuracy)
    loss, accuracy = known[members]
    return {
        "chosen": [subject.names[k] for k in chosen],
        "loss": loss,
        "accuracy": accuracy,
        "chosen_on": "the examples given",
    }


def _soup_of(subject, members):
    return subject.thetas[list(members)].astype(np.float64).mean(axis=0).astype(subject.thetas.dtype)


def _score(found):
    accuracy = one(found.accuracy)
    return -float(found.loss) if accuracy is None else accuracy


# ---- likeness ---------------------------------------------------------------------------------------


def alike_cost(subject: Subject, n: int) -> Cost:
    """On n examples."""
    passes = subject.count * min(_ALIKE, n) * subject.moved
    return Cost(*2 * [passes + _tracing(subject)])


def alike(subject: Subject, seconds: float) -> dict[str, Any]:
    """CKA of outputs on mixed inputs, shares of equal labels, and distances, of all pairs.

    Raises:
      Cut: the passes do not fit.
    """
    around = subject.around
    needed = alike_cost(subject, around.size).full
    if needed > max(seconds, 1.0):
        raise too_long("passes over mixed inputs", needed, seconds)
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
    """On n examples, and a moment for the matching; three points are judged."""
    last = 3 * (n if subject.held_out is None else subject.held_out.size)
    rest = 2.0 + seconds_of(last // 3)
    of = lambda points: (2 * (points + 1) * n + last) * subject.moved + rest
    return Cost(of(_POINTS[-1]), of(_POINTS[0]))


def aligned(subject: Subject, seconds: float) -> dict[str, Any]:
    """The line between the first two checkpoints once the units of the second are in the first's order.

    Their mean is judged as that of the checkpoints as they are.

    Raises:
      Cut: a layer whose units are not understood, or points that do not fit.
    """
    around, (a, b) = subject.around, subject.thetas[:2]
    each, room = _room(subject, seconds)
    room -= seconds_of(subject.judged[0].size)
    looks = lambda points: (2 * points + _JUDGED) * each
    if looks(_POINTS[-1]) > room:
        needed = looks(_POINTS[-1]) + max(seconds - room, 0.0)
        raise too_long("two lines of 5 points", needed, seconds)
    subject.ran(around, "evaluation")
    begin = time.monotonic()
    try:
        moved = _in_order(around, a, b, subject.seed)
    except ValueError as error:
        raise Cut(" ".join(str(error).split()).rstrip(".")) from None
    room -= time.monotonic() - begin  # of a large model the matching takes its time
    points = next((p for p in _POINTS if looks(p) <= room), _POINTS[-1])
    t = np.linspace(0, 1, points).astype(a.dtype)[:, None]
    before, after = (connect.readings(around, (1 - t) * a + t * end) for end in (b, moved))
    accuracy, (landscape, where) = _known(after.accuracy), subject.judged
    found = judged(landscape, [a, moved, _mean_of([a, moved])], subject.seed)
    return {
        "between": subject.names[:2],
        "examples": around.size,
        "t": t[:, 0],
        "loss": after.loss,
        "accuracy": accuracy,
        "barrier": float(probe.barrier(after.loss)),
        "barrier_before": float(probe.barrier(before.loss)),
        "judged": {**found, "where": where, "batch_norm": subject.has_batch_norm},
    }


def _in_order(landscape, a, b, seed):
    """The second checkpoint with its units in the order of the first's."""
    align = getattr(wedges, "align")  # noqa: B009  (not every version has it)
    return np.asarray(align(landscape, a, b, seed=seed, points=None).theta)


def can_align() -> bool:
    """Whether this version of the library orders units."""
    return "align" in dir(wedges)
