"""What to change about a trained model, from measures of its landscape and without test data.

`diagnose` asks three questions of a small forest: is the temperature of training too high or too low;
would a larger width help more than a better temperature; would more data? The temperature is that of
stochastic gradients: a smaller batch or a higher learning rate is hotter.

The trees stand as plain numbers in `diagnosis.json`, so that nothing is trained or unpickled here. Each
asks in the order of Zhou et al. 2024: are the training data fitted, is the curve between two networks
low, and only then what the other measures say. They were grown on the 1,690 settings of ResNet18
on CIFAR-10 that these authors released, and judged on another 1,690 with 10% random labels. There the
temperature's answer was right in 92% (n = 1,560), the width's in 83% (n = 1,649) and the data's in 73%
(n = 1,651); the change named was the best of all four in 66% (n = 1,690).

It does not carry over to other networks by itself. On 60 settings of small tanh networks without batch
norm on 5,000 and 10,000 images (`reproductions.taxonomy_phases`), where nothing was tuned, it was right
in 54% (n = 48), 42% (n = 55) and 56% (n = 52), while the answers that are the most frequent there would
have been right in 92, 58 and 67%; the change named was the best in 43%. Confidences are those of the
release. So take an answer about another kind of network for a question, not for a finding.

Source: Zhou et al. 2024, "MD tree: a model-diagnostic tree grown on loss landscape" (ICML 2024);
measures of Yang et al. 2021 (arXiv:2107.11228). All of it is NumPy.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wedges import _checks, _repr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

FILE = pathlib.Path(__file__).with_name("diagnosis.json")
# What a tree may ask, and how a path says it: name and unit.
MEASURES = {
    "train_error": ("the training error", "%"),
    "peak": ("the highest training error on the curve", "%"),
    "mc": ("the mode connectivity", " points"),
    "log_trace": ("the logarithm of the Hessian's trace", ""),
    "log_top": ("the logarithm of the Hessian's largest eigenvalue", ""),
    "cka": ("the CKA similarity", ""),
    "train_loss": ("the training loss", " nats"),
}
# By question: what it means that the forest says no, and yes.
FINDINGS = {
    "temperature": ("the temperature is too high", "the temperature is too low"),
    "width": ("the temperature matters more than the width", "the width is too small"),
    "data": ("the temperature matters more than the data", "the data are too few"),
}
CHANGES = (
    "a lower temperature: a larger batch or a lower learning rate",
    "a higher temperature: a smaller batch or a higher learning rate",
    "a larger width",
    "more training data",
)


class Answer(NamedTuple):
    """What the forest says to one question.

    Attributes:
      finding: in words, one of `FINDINGS`.
      confidence: the calibrated probability of this finding, from 0.5 to 1, as it came out on released
        settings (ResNet18) of widths that the trees had not seen; other networks may be far from it.
      votes: the mean over trees of the share of "yes" in the leaf that is reached, from 0 to 1.
      path: the way through one tree, whose share is nearest to `votes`, a sentence for each split.
      thresholds: {measure: (lowest, median, highest)} over the trees, of the splits whose order is
        fixed.
      accuracy, n: how often the finding was right on the held-out release, and on how many settings.
    """

    finding: str
    confidence: float
    votes: float
    path: tuple[str, ...]
    thresholds: dict[str, tuple[float, float, float]]
    accuracy: float
    n: int

    def __repr__(self) -> str:
        return _repr.short(self)


class Diagnosis(NamedTuple):
    """What to change about a model, and the three answers behind it.

    Attributes:
      change: what would help most, one of `CHANGES`.
      confidence: that of the answer which decided it.
      temperature, width, data: the three answers.
      accuracy, n: how often the change was the best of the four on the held-out release, on how many
        settings.
    """

    change: str
    confidence: float
    temperature: Answer
    width: Answer
    data: Answer
    accuracy: float
    n: int


def diagnose(
    *,
    train_error: float,
    peak: float,
    mc: float | None = None,
    log_trace: float | None = None,
    cka: float | None = None,
    train_loss: float | None = None,
    log_top: float | None = None,
) -> Diagnosis:
    """What to change about a model: its temperature, its width or its data.

    The width is named where "a larger width helps more than a better temperature" is likelier than not,
    the data likewise; of both, the likelier. Else the temperature is, in the direction of its own
    answer.

    Args:
      train_error: share of wrong training examples, in percent, mean of the networks at hand.
      peak: minus the highest training error in percent on the inner points of a trained curve between
        two of them; near -train_error where they are well connected.
      mc: mode connectivity, in percentage points of training error (negative: a barrier).
      log_trace, log_top: natural logarithms of the Hessian's trace and largest eigenvalue.
      cka: similarity of the networks' outputs, from 0 to 1.
      train_loss: mean cross-entropy on the training data, in nats.

    A measure that is None or NaN is averaged over: both ways of a split on it count, by the share of the
    settings of the release that went there. Without the training error and the peak, which decide the
    way in every tree, there is no answer.

    >>> found = wedges.diagnosis.diagnose(train_error=0.0, peak=-0.01, mc=0.0, log_trace=5.0)
    >>> found.temperature.finding, found.temperature.path
    ('the temperature is too low', ('the training error, 0%, is at most 0.2%',))

    Raises:
      ValueError: a measure is no number, or out of its range; or one that is needed is missing.

    Source: after Zhou et al. 2024 (ICML 2024), "MD tree".
    """
    given = {
        "train_error": train_error,
        "peak": peak,
        "mc": mc,
        "log_trace": log_trace,
        "log_top": log_top,
        "cka": cka,
        "train_loss": train_loss,
    }
    measures = {name: _measure(name, value) for name, value in given.items()}
    for name in _NEEDED:
        if np.isnan(measures[name]):
            raise ValueError(f"{name} must be {_RANGES[name][2]}; received {given[name]!r}.")
    answers = {name: _answer(name, measures) for name in FINDINGS}
    yes = {name: a.confidence if _yes(a) else 1 - a.confidence for name, a in answers.items()}
    index = int(change(yes))
    decided = ("temperature", "temperature", "width", "data")[index]
    held_out, sure = rules()["change"], answers[decided].confidence
    return Diagnosis(
        CHANGES[index],
        sure,
        answers["temperature"],
        answers["width"],
        answers["data"],
        held_out["accuracy"],
        held_out["n"],
    )


def change(yes: Mapping[str, ArrayLike]) -> np.ndarray:
    """Which of `CHANGES`, by the probability of each "yes". {question: [N]} -> indices [N].

    >>> yes = {"temperature": [0.1, 0.9], "width": [0.2, 0.7], "data": [0.4, 0.6]}
    >>> wedges.diagnosis.change(yes).tolist()
    [0, 2]
    """
    if not (isinstance(yes, Mapping) and set(FINDINGS) <= set(yes)):
        raise ValueError(
            f"yes must be {{question: probabilities}} of {', '.join(FINDINGS)}; received "
            f"{_checks.called(yes)}."
        )
    temperature, width, data = (_checks.floats(f"yes[{name!r}]", yes[name]) for name in FINDINGS)
    load = np.where(width >= data, 2, 3)
    return np.where(np.maximum(width, data) > 0.5, load, (temperature > 0.5).astype(int))


def votes(trees: Sequence[Any], measures: Mapping[str, ArrayLike]) -> np.ndarray:
    """The mean over trees of the share in the leaf that is reached. measures {name: [N]} -> [N].

    A tree is a leaf, which is a share from 0 to 1, or [measure, threshold, share of the training
    settings at or below it, tree at or below it, tree above it]. Where a measure is NaN, both count by
    that share.

    >>> tree = ["mc", -1.0, 0.25, 1.0, 0.0]
    >>> wedges.diagnosis.votes([tree], {"mc": [-5.0, 0.0, float("nan")]}).tolist()
    [1.0, 0.0, 0.25]
    """
    if not isinstance(measures, Mapping) or not measures:
        raise ValueError(f"measures must be {{name: numbers}}; received {_checks.called(measures)}.")
    arrays = {name: _checks.floats(f"measures[{name!r}]", v) for name, v in measures.items()}
    trees = _checks.several("trees", trees)
    for tree in trees:
        _check_tree(tree, arrays)
    return np.mean([_reached(tree, arrays) for tree in trees], axis=0)


def calibrated(share: ArrayLike, slope: float, intercept: float) -> np.ndarray:
    """The probability that belongs to a share of votes p: 1 / (1 + exp(-(slope logit(p) + intercept))).

    p is kept between 0.01 and 0.99. The shape of `share` stays.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".

    >>> float(wedges.diagnosis.calibrated(0.75, 1.0, 0.0))
    0.75
    """
    for name, value in (("slope", slope), ("intercept", intercept)):
        _checks.number(name, value)
    p = np.clip(_checks.floats("share", share), 0.01, 0.99)
    return 1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + intercept)))


@functools.lru_cache(maxsize=1)
def rules() -> dict[str, Any]:
    """What `diagnosis.json` holds: where the trees come from, and for each question the trees."""
    return json.loads(FILE.read_text())


def _answer(question: str, measures: dict[str, float]) -> Answer:
    own = rules()["questions"][question]
    one = {name: np.array([value]) for name, value in measures.items()}
    by_tree = [float(_reached(tree, one)[0]) for tree in own["trees"]]
    share = float(np.mean(by_tree))
    yes = float(calibrated(share, *own["calibration"]))
    nearest = int(np.argmin(np.abs(np.array(by_tree) - share)))
    return Answer(
        FINDINGS[question][yes > 0.5],
        max(yes, 1 - yes),
        share,
        tuple(_told(own["trees"][nearest], measures)),
        {name: tuple(of) for name, of in own["thresholds"].items()},
        own["held_out"]["accuracy"],
        own["held_out"]["n"],
    )


def _yes(answer: Answer) -> bool:
    return answer.finding in [yes for _, yes in FINDINGS.values()]


def _check_tree(tree, measures):
    """A leaf, or a list of a measure that there is, three numbers and two trees."""
    split = isinstance(tree, list) and len(tree) == 5 and tree[0] in measures
    if split and all(map(_checks.is_number, tree[1:3])):
        for below in tree[3:]:
            _check_tree(below, measures)
    elif not _checks.is_number(tree):
        raise ValueError(
            "trees must be shares or [measure, threshold, share, tree, tree], each measure among "
            f"{', '.join(map(str, measures))}; received {_checks.called(tree)}."
        )


def _reached(tree, measures):
    if not isinstance(tree, list):
        return np.full(len(next(iter(measures.values()))), float(tree))
    name, threshold, share, below, above = tree
    value, below, above = measures[name], _reached(below, measures), _reached(above, measures)
    either = share * below + (1 - share) * above
    return np.where(np.isnan(value), either, np.where(value <= threshold, below, above))


def _told(tree, measures):
    """A sentence for each split on the way; a missing measure goes the way of most settings."""
    while isinstance(tree, list):
        name, threshold, share, below, above = tree
        called, unit = MEASURES[name]
        value, sign = measures[name], -1 if name == "peak" else 1  # a peak is told as the error it is
        missing = bool(np.isnan(value))
        lower = share >= 0.5 if missing else value <= threshold
        side = (("at most", "above") if sign == 1 else ("at least", "below"))[not lower]
        limit = f"{side} {sign * threshold:.4g}{unit}"
        known = f"{called}, {sign * value:.4g}{unit}, is {limit}"
        yield f"{called} is not known; most settings are {limit}" if missing else known
        tree = below if lower else above


_NEEDED = ("train_error", "peak")  # no tree can do without them
_RANGES = {
    "train_error": (0.0, 100.0, "a number from 0 to 100, in percent"),
    "peak": (-100.0, 0.0, "a number from -100 to 0, minus an error in percent"),
    "mc": (-100.0, 100.0, "a number from -100 to 100, in percentage points"),
    "cka": (-1e-6, 1 + 1e-6, "a number from 0 to 1"),  # rounding allowed for
    "train_loss": (0.0, np.inf, "a number, at least 0, in nats"),
    "log_trace": (-np.inf, np.inf, "a number, a natural logarithm"),
    "log_top": (-np.inf, np.inf, "a number, a natural logarithm"),
}


def _measure(name, value):
    """The measure as a float, NaN where it is missing."""
    low, high, what = _RANGES[name]
    try:
        number = np.nan if value is None else float(value)
    except (TypeError, ValueError):
        number = np.inf
    if isinstance(value, (str, bool)) or np.isinf(number) or number < low or number > high:
        missing = "" if name in _NEEDED else ", or None"
        raise ValueError(f"{name} must be {what}{missing}; received {value!r}.")
    return number
