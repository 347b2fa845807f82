"""Phase and diagnosis, from what the sections before found."""

from __future__ import annotations

from typing import Any

import numpy as np

from wedges import diagnosis, phases
from wedges.cards.budget import Cut
from wedges.cards.curve import LOW
from wedges.cards.subject import Subject
from wedges.cards.words import falls, number

WARNING = (
    "Phase and diagnosis are about training data and several seeds of one setting. The forest was grown "
    "on ResNet18s on CIFAR-10; on 60 settings of other, small networks it was right in about half, no "
    "better than one answer for all. Take what it says for a question, not for a finding."
)


def phase(subject: Subject, results: dict[str, Any]) -> dict[str, Any]:
    """The phase of Yang et al. of the first two checkpoints, and what the forest would change.

    Errors and losses are those of the curve's ends, which are of the same examples and the same
    batch-norm statistics as the curve; the Hessians are of the same two networks, see `Subject.at`.
    Connectivity is measured from the chord between the ends, which
    is their mean where they are equally good: of unequal ends, the mean's distance is no barrier.

    Raises:
      Cut: a measure that is needed is missing, or the curve was trained too little to tell.
    """
    curve = results.get("curve", {})
    if "mc" not in curve or curve.get("unit") != "error" or curve["mc"] is None:
        raise Cut("it needs the mode connectivity of a trained curve, in points of error")
    if not curve["converged"]:
        raise Cut(
            f"whether a low path joins them is not known: the curve was trained for {curve['steps']:,} "
            "steps, after which it still became lower"
        )
    ends = lambda name: np.array([curve[name][0], curve[name][-1]], np.float64)  # None is NaN
    mean = lambda name: float(np.mean(ends(name)))
    error = 100 * (1 - mean("accuracy"))
    known = [r for k in (1, 2) if "trace" in (r := results.get(f"curvature-{k}", {}))]
    log = lambda name: _log(np.mean([np.ravel(r[name])[0] for r in known])) if known else np.nan
    log_trace, log_top = log("trace"), log("top")
    alike = results.get("alike", {}).get("cka")
    cka = np.nan if alike is None or alike[0][1] is None else alike[0][1]
    found = phases.phase(error, curve["mc"], cka, log_trace)
    result: dict[str, Any] = {
        "phase": found.name,
        "meaning": meaning(found, curve, results.get("lines", {}).get("lines", [])),
        "nearest": nearest(found),
        "error": error,
        "mc": curve["mc"],
        "cka": cka,
        "log_trace": log_trace,
        "thresholds": found.thresholds._asdict(),
        "warning": WARNING,
    }
    if found.name:
        said = diagnosis.diagnose(
            train_error=error,
            peak=-curve["peak"],
            mc=curve["mc_from_mean"],
            log_trace=log_trace,
            log_top=log_top,
            cka=cka,
            train_loss=mean("loss"),
        )
        result["change"], result["confidence"] = said.change, said.confidence
        result["findings"] = [
            {"finding": a.finding, "confidence": a.confidence, "path": list(a.path)}
            for a in (said.temperature, said.width, said.data)
        ]
    return result


def meaning(found: phases.Phase, curve: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """What is behind a phase, from what was measured: neither a basin nor its floor was.

    >>> found = wedges.phases.phase(1.54, 0.271)
    >>> wedges.cards.phase.meaning(found, {"joined": True}, [])
    'Their training error, 1.54%, is above the 0.1% that count as fitted. A low curve joins them.'

    Args:
      found: the phase.
      curve: the section about the trained curve.
      lines: the straight lines, the first of them between the same two.
    """
    if not found.name:
        return found.meaning
    t = found.thresholds
    fitted = "above" if found.name in ("I", "II") else "within"
    error = f"Their training error, {number(found.error)}%, is {fitted} the {t.error:g}% that count as"
    return f"{error} fitted. {_joined(found, curve, lines)}{_alike(found)}."


def _joined(found, curve, lines):
    """How the two are joined, by a curve and by the straight line."""
    if curve["joined"]:
        first = "A low curve joins them"
    else:
        parts = "more" if found.name in ("I", "III") else "no more"
        first = (
            "No low path was found: where it is worst at five points the trained curve rises "
            f"{number(max(0.0, -found.mc))} points of error above the chord between its ends, {parts} "
            f"than the {-found.thresholds.poor:g} that counts as a barrier"
        )
    straight = lines[0] if lines else {"error_barrier": None}
    if not curve["joined"] or straight["error_barrier"] is None:
        return first
    if straight["error_barrier"] <= LOW:
        return f"{first}, and so does the straight line"
    if (said := falls(straight["accuracy"])).startswith("falls"):
        return f"{first}, though on the straight line the accuracy {said}"
    height = number(straight["error_barrier"])
    return f"{first}, though the straight line rises {height} points of error above its chord"


def _alike(found):
    cka = f"a CKA of {found.cka:.3g}, where {found.thresholds.cka:g} parts unlike from like"
    return {
        "IV-A": f". They compute unlike functions: {cka}",
        "IV-B": f". They compute like functions: {cka}",
        "IV": ". Their CKA, which tells IV-A from IV-B, is not known",
    }.get(found.name, "")


def nearest(found: phases.Phase) -> str:
    """The nearest boundary of a phase as a sentence says it; "none" where there is none.

    >>> wedges.cards.phase.nearest(wedges.phases.phase(0.0, -23.4, 0.7))
    'a mode connectivity of -1; here it is -23.4, 23 times as far from 0. Beyond it lies phase IV-B'
    """
    t = found.thresholds
    if not np.isfinite(found.distance):  # a measure of exactly 0, which has no ratio to any level
        return "none"
    times = number(float(f"{2**found.distance:.2g}"))
    beyond = f"Beyond it lies {'phase ' + found.beyond if found.beyond else 'no phase'}"
    if found.boundary == "connectivity":
        far = f"{times} times {'as far from' if found.mc < t.poor else 'nearer to'} 0"
        return f"a mode connectivity of {t.poor:g}; here it is {found.mc:.3g}, {far}. {beyond}"
    if found.boundary == "convergence":
        much = f"{times} times {'as much' if found.error > t.error else 'less'}"
        return f"a training error of {t.error:g}%; here it is {found.error:.3g}%, {much}. {beyond}"
    if found.boundary == "similarity":
        away = f"{abs(found.cka - t.cka):.2g} {'above' if found.cka > t.cka else 'below'}"
        return f"a CKA of {t.cka:g}; here it is {found.cka:.3g}, {away}. {beyond}"
    return "none"


def _log(value):
    return float(np.log(value)) if value > 0 else np.nan
