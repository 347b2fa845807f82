"""What a section found, in a line for the terminal, and numbers as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

VERDICTS = {
    "yes": "Yes",
    "no": "No",
    "below": "Better not",
    "unclear": "Not clear",
    "same": "Nothing to average",
    "constant": "Not worth averaging yet",
}

_RANK = {"no": 0, "below": 1, "unclear": 1, "yes": 2, "same": 2}  # how far averaging is advised
# Saved batch-norm statistics that cost more are spoken of: of the accuracy, and share of the loss.
STATISTICS, STATISTICS_OF_LOSS = 0.01, 0.05


def number(value: Any) -> str:
    """Three digits, or what stands for none.

    >>> [wedges.cards.words.number(value) for value in (123456, 0.000123, None)]
    ['123,000', '0.000123', 'not finite']
    """
    if value is None:
        return "not finite"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if 1e6 > abs(rounded) >= 1000:
        return f"{rounded:,.0f}"
    return f"{rounded:.3g}"


def percent(accuracy: Any) -> str:
    """A share as a percentage with one digit more than half a point; "none" where there is none."""
    return "none" if accuracy is None else f"{100 * accuracy:.2f}%"


def points(share: Any) -> str:
    """A difference of shares in percentage points, with its sign."""
    return "not finite" if share is None else f"{100 * share:+.2f}"


def duration(seconds: float) -> str:
    """Minutes and seconds.

    >>> wedges.cards.words.duration(65.4)
    '1:05'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def wait(seconds: float) -> str:
    """How long something takes, with a digit after the point where it is short.

    >>> [wedges.cards.words.wait(seconds) for seconds in (0.01, 0.31, 12.4, 3700)]
    ['less than 0.1 s', '0.3 s', '12 s', '3,700 s']
    """
    if seconds < 0.1:
        return "less than 0.1 s"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:,.0f} s"


def model_name(name: str, kind: str) -> str:
    """The kind of a model, and its name where that is none that Keras made up.

    >>> [wedges.cards.words.model_name(n, "Sequential") for n in ("sequential_10", "small")]
    ['Sequential', 'Sequential, called small']
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    own = not re.fullmatch(rf"{re.escape(snake)}(_\d+)?", name)
    return f"{kind}, called {name}" if own else kind


def of_each(rows: Sequence[dict[str, Any]], values: Sequence[Any]) -> str:
    """What is true of each checkpoint: once where it is the same for all, else beside each name.

    >>> rows = [{"checkpoint": "a"}, {"checkpoint": "b"}]
    >>> [wedges.cards.words.of_each(rows, values) for values in ((2, 3), (2, 2))]
    ['2 (a) and 3 (b)', '2']

    Args:
      rows: what a section found, one for each checkpoint.
      values: of each of them.
    """
    if len({str(value) for value in values}) == 1:
        return str(values[0])
    return _joined([f"{v} ({row['checkpoint']})" for row, v in zip(rows, values, strict=True)])


def directions(risen: Sequence[dict[str, Any]]) -> str:
    """Over how many random directions distances are means."""
    return of_each(risen, [each["directions"] for each in risen])


def products(curved: Sequence[dict[str, Any]]) -> str:
    """How many products with the Hessian were taken."""
    return of_each(curved, [each["products"] for each in curved])


def sides(looks: Sequence[dict[str, Any]]) -> str:
    """How many points the grids of surfaces have.

    >>> wedges.cards.words.sides([{"checkpoint": "a", "x": [-1, 0, 1]}])
    '3 x 3'
    """
    return of_each(looks, [f"{len(each['x'])} x {len(each['x'])}" for each in looks])


def thresholds(risen: Sequence[dict[str, Any]]) -> list[str]:
    """The losses to which distances are given, of any of the checkpoints."""
    return list(dict.fromkeys(width["threshold"] for each in risen for width in each["widths"]))


def spread(values: Any) -> str:
    """A list of numbers, few of them one by one."""
    return ", ".join(map(number, values))


def verdict_line(
    found: dict[str, Any], names: Sequence[str] = (), aligned: dict[str, Any] | None = None
) -> str:
    """Whether to average, in one sentence with its uncertainty.

    Args:
      found: what `judging.judged` found of the models and their mean, and where.
      names: of the models.
      aligned: the section about the first two with their units in order, where there is one.
    """
    answer = found["verdict"]["answer"]
    if answer == "same":
        return f"{VERDICTS[answer]}: {_joined(names) or 'the models'} have the same weights."
    reason = _reason(found, names)
    if found["verdict"].get("constant"):
        return (
            f"{VERDICTS['constant']}: {_no_better(found['constant'], names)} As for their mean: {reason}"
        )
    ordered = None if aligned is None else aligned["judged"]
    if ordered is None or _RANK[ordered["verdict"]["answer"]] <= _RANK[answer]:
        return f"{VERDICTS[answer]}: {reason}"
    unit, then = ordered["verdict"]["unit"], VERDICTS[ordered["verdict"]["answer"]].lower()
    gain = ordered["gain"] if unit == "accuracy" else ordered["loss_gain"]
    if gain is None:
        return f"{VERDICTS[answer]}: {reason}"
    value = percent(ordered["mean_accuracy"]) if unit == "accuracy" else number(ordered["mean_loss"])
    two = len(names) > 2
    if then == VERDICTS["same"].lower():
        return f"{VERDICTS[answer]} as they are; with their units in order they have the same weights."
    which = f"the units of {_joined(aligned['between'])}" if two else "their units"  # type: ignore[index]
    return (
        f"{VERDICTS[answer]} as they are; with {which} in order: {then}, {value} "
        f"({_off(gain['over_best'], unit)} the best{' of the two' if two else ''}). As they are {reason}"
    )


def _no_better(found, names):
    """That no model is clearly better than one answer for all, in a sentence."""
    best = _called(names, found["best"])
    half = 1.96 * found["error"]
    if found["unit"] == "accuracy":
        of, what, shown = "an accuracy", "the most frequent class as the answer for all", percent
        gain = f"{points(found['difference'])} ± {100 * half:.2f} points"
    else:
        of, what, shown = "a loss", "the mean target as the answer for all", number
        gain = f"{-found['difference']:+.3g} ± {number(half)}"
    return (
        f"the best of the models, {best}, has {of} of {shown(found['of_best'])}, and {what} "
        f"{shown(found['of_constant'])} ({gain}, 95%), so that none is clearly better than that."
    )


def _called(names, k):
    return names[k] if len(names) > k else f"number {k + 1}"


def _off(d, unit):
    """How far a mean is above or below something, from what it gains."""
    if abs(d) <= 1e-9:
        return "exactly"
    if unit == "accuracy":
        return f"{100 * abs(d):.2f} points {'above' if d >= 0 else 'below'}"
    return f"{number(abs(d))} {'below' if d >= 0 else 'above'}"


def verdict_class(found: dict[str, Any], aligned: dict[str, Any] | None = None) -> str:
    """How the verdict looks: as yes, no, or unclear, which what needs a second look is as well."""
    answer = found["verdict"]["answer"]
    if found["verdict"].get("constant"):
        return "unclear"
    rescued = aligned is not None and aligned["judged"]["verdict"]["answer"] == "yes"
    return answer if answer == "yes" or (answer == "no" and not rescued) else "unclear"


def statistics_lines(found: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Of each model with batch norm, what its saved statistics cost or gain, where that is no chance.

    More than a point of accuracy (5% of the loss), and more than 1.96 standard errors of the difference
    of the same examples.

    Args:
      found: the section about the mean.
      names: of the models.
    """
    return [
        _statistics(name, each)
        for name, each in zip(names, found.get("statistics", []), strict=False)
        if each is not None and each["sure"] and abs(each["difference"]) > _noticed(each)
    ]


def _noticed(each):
    return STATISTICS if each["unit"] == "accuracy" else STATISTICS_OF_LOSS * abs(each["saved"])


def _statistics(name, each):
    better, half = each["difference"] > 0, 1.96 * each["error"]
    if each["unit"] == "accuracy":
        unit, saved, anew = "an accuracy", percent(each["saved"]), percent(each["anew"])
        change = f"{points(each['difference'])} ± {100 * half:.2f} points"
    else:
        unit, saved, anew, better = "a loss", number(each["saved"]), number(each["anew"]), not better
        change = f"{each['difference']:+.3g} ± {number(half)}"
    return (
        f"On the same {each['examples']:,} examples {name} has {unit} of {saved} with its batch-norm "
        f"statistics as saved, and of {anew} with statistics found anew ({change}, 95%): what it saved "
        f"{'does not fit its weights' if better else 'does better than these'}."
    )


def _reason(found, names):
    said, unit = found["verdict"], found["verdict"]["unit"]
    gain = found["gain"] if unit == "accuracy" else found["loss_gain"]
    if gain is None:
        return "these outputs and targets give no number for each example."
    where = (
        f"{found['examples']:,} examples {'held out' if found['where'] == 'held out' else ''}".strip()
    )
    if found.get("batch_norm"):
        where += ", batch-norm statistics found anew for all"
    if unit == "accuracy":
        interval = f"{points(gain['best_low'])} to {points(gain['best_high'])}"
        allowed = f"{100 * said['allowed']:g} point"
    else:
        interval = f"{number(-gain['best_high'])} to {number(-gain['best_low'])}"
        allowed = f"{number(said['allowed'])}, 5% of the models' mean loss"
    if not all(np.isfinite(v) for v in gain.values() if v is not None) or None in gain.values():
        return f"the {unit} of some is not finite ({where})."
    best = _called(names, gain["best"])
    but = "though" if (gain["mean"] >= 0) != (gain["over_best"] >= 0) else "and"
    what = (
        f"the mean's {unit} is {_off(gain['over_best'], unit)} that of {best}, the best of them (95%: "
        f"{interval}; {where}), {but} {_off(gain['mean'], unit)} their average"
    )
    ends = {
        "yes": f"it loses no more than {allowed}",
        "no": f"it loses more than {allowed}",
        "below": f"{best} alone is better",
        "unclear": f"whether it loses more than {allowed} these examples cannot tell",
    }
    return f"{what}; {ends[said['answer']]}."


def _joined(names):
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def rises(height: Any, unit: str) -> str:
    """How high a path rises above the chord between its ends: `wedges.barrier` of its values.

    The unit is "error", "loss", or "" where it is clear that the loss rises.

    >>> wedges.cards.words.rises(2.5, "error")
    'rises 2.5 points of error above the chord between its ends'
    """
    if height is None:
        return "is not finite everywhere"
    if height <= 1e-6:
        return "never rises above the chord between its ends"
    of = {"error": " points of error", "loss": " of loss", "": ""}[unit]
    return f"rises {number(height)}{of} above the chord between its ends"


def farthest(curve: dict[str, Any]) -> str:
    """Where a trained curve is farthest from the chord between its ends, of the points that count.

    >>> wedges.cards.words.farthest({"mc": 0.271, "unit": "error"})
    'is farthest from that chord where it is 0.271 points of error below it'
    """
    far, of = curve["mc"], " points of error" if curve["unit"] == "error" else ""
    if abs(far) <= 1e-6:
        return "is on that chord"
    side = "below" if far > 0 else "above"
    return f"is farthest from that chord where it is {number(abs(far))}{of} {side} it"


def falls(accuracy: Sequence[float | None]) -> str:
    """Where the accuracy inside a path is, relative to that of its ends.

    >>> [wedges.cards.words.falls(a) for a in ([0.9, 0.2, 0.8], [0.6, 0.7, 0.8], [0.6, 0.9, 0.7])]
    ['falls to 20.00%', 'stays between its ends', 'is never below its ends']
    """
    values = [a for a in accuracy if a is not None]
    if len(values) < len(accuracy):
        return "is not known everywhere"
    inner, (low, high) = values[1:-1], sorted((values[0], values[-1]))
    slack = 1e-6  # float32 counts
    if min(inner) < low - slack:
        return f"falls to {percent(min(inner))}"
    if max(inner) <= high + slack:
        return "stays between its ends"
    return f"is never below {'its ends' if min(inner) >= high - slack else 'the lower of its ends'}"


def curve_line(found: dict[str, Any]) -> str:
    """What is known of a trained curve, in one sentence: never that there is no low path."""
    height = rises(found["barrier"], found["unit"])
    steps = f"{found['steps']:,} steps"
    if found["joined"]:
        return f"a low path joins them: a curve of one bend, trained for {steps}, {height}"
    if found["converged"]:
        return (
            f"no low path was found: a curve of one bend, trained for {steps}, {height}, and the last "
            "three quarters of the steps lowered it no further"
        )
    after = f"{steps} ({number(found['seconds_of_training'])} s)"
    return (
        f"no low path was found in {after}; a longer --minutes may find one. The lowest curve so far "
        f"{height}"
    )


def line(name: str, found: dict[str, Any]) -> str:
    """What a section found, for the terminal."""
    if "cut" in found:
        return f"left out: {found['cut']}"
    return _LINES[name.partition("-")[0]](found)


def _about(found):
    layers = len(found["layers"])
    loss = f"{found['loss']} ({found['loss_origin']})"
    examples = f"{found['data']['examples']:,} examples"
    return f"{found['dimension']:,} weights in {layers} layers, {examples}; {loss}"


def _fit(found):
    accuracy = [percent(a) for a in found["accuracy"] if a is not None]
    said = f"loss {spread(found['loss'])}" + (f"; accuracy {', '.join(accuracy)}" if accuracy else "")
    if "held_out" in found:
        said += f"; held out: {_fit(found['held_out'])}"
    return said


def _curvature(found):
    trace = f"trace {number(found['trace'])} ± {number(found['trace_error'])}"
    return f"largest eigenvalue {number(found['top'][0])}, {trace}"


def _rise(found):
    said = [f"{w['threshold']} at {number(w['mean'])} ± {number(w['error'])}" for w in found["widths"]]
    left_out = [f"widths left out: {found['left_out']}"] if "left_out" in found else []
    return "; ".join([*said, f"epsilon-sharpness {number(found['epsilon_sharpness'])}", *left_out])


def _look(found):
    side = len(found["x"])
    known = np.array([v for row in found["losses"] for v in row if v is not None])
    high = number(known.max()) if len(known) else "not finite"
    return f"{side} x {side} points, loss {number(found['centre'])} in the middle and {high} at most"


def _lines(found):
    said = [
        f"{each['between'][0]} to {each['between'][1]} {number(each['barrier'])}"
        for each in found["lines"]
    ]
    return f"barrier of the loss: {'; '.join(said)}"


def _alike(found):
    agreement = found["agreement"]
    labels = "" if agreement is None else f"; equal labels {percent(agreement[0][1])}"
    return f"CKA {number(found['cka'][0][1])}{labels}"


def _curve(found):
    return curve_line(found)


def _aligned(found):
    rest = verdict_line(found["judged"], found["between"])
    heights = f"barrier {number(found['barrier'])}, before {number(found['barrier_before'])}"
    return f"{heights}; their mean: {rest}"


def _phase(found):
    change = f"; to change: {found['change']}" if "change" in found else ""
    return f"{found['phase'] or 'none'}{change}"


_LINES = {
    "about": _about,
    "fit": _fit,
    "curvature": _curvature,
    "rise": _rise,
    "look": _look,
    "lines": _lines,
    "mean": lambda found: verdict_line(found, found["names"]),
    "alike": _alike,
    "curve": _curve,
    "aligned": _aligned,
    "phase": _phase,
}
