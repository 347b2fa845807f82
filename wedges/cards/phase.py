"""Phase and diagnosis, from what the sections before found."""

from __future__ import annotations

from typing import Any

import numpy as np

from wedges import diagnosis, phases
from wedges.cards.budget import Cut
from wedges.cards.subject import Subject

WARNING = (
    "Phase and diagnosis are about training data and several seeds of one setting. The forest was grown "
    "on ResNet18s on CIFAR-10; on 60 settings of other, small networks it was right in about half, no "
    "better than one answer for all. Take what it says for a question, not for a finding."
)


def phase(subject: Subject, results: dict[str, Any]) -> dict[str, Any]:
    """The phase of Yang et al. of the first two checkpoints, and what the forest would change.

    Raises:
      Cut: a measure that is needed is missing.
    """
    curve, fit = results.get("curve", {}), results.get("fit", {})
    if "mc" not in curve or curve.get("unit") != "error" or curve["mc"] is None:
        raise Cut("it needs the mode connectivity of a trained curve, in points of error")
    mean = lambda name: float(np.mean(np.array(fit[name][:2], np.float64)))  # None is NaN
    error = 100 * (1 - mean("accuracy"))
    known = [r for k in (1, 2) if "trace" in (r := results.get(f"curvature-{k}", {}))]
    log = lambda name: _log(np.mean([np.ravel(r[name])[0] for r in known])) if known else np.nan
    log_trace, log_top = log("trace"), log("top")
    alike = results.get("alike", {}).get("cka")
    cka = np.nan if alike is None or alike[0][1] is None else alike[0][1]
    found = phases.phase(error, curve["mc"], cka, log_trace)
    result: dict[str, Any] = {
        "phase": found.name,
        "meaning": found.meaning,
        "nearest": found.nearest,
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
            mc=curve["mc"],
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


def _log(value):
    return float(np.log(value)) if value > 0 else np.nan
