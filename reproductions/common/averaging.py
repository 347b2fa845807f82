"""One run's snapshots, averaged: the weights, or the predictions, against the last of them.

Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 6.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.bench import cache, progress
from reproductions.common import networks, training
from reproductions.common.arrays import stacked

# What is claimed of `judged`.
BOUNDS = {
    "low.swa_vs_snapshot": (">=", 0.0),
    "low.swa_vs_ensemble": ("<=", 0.01),
    "low.no_barrier": ("<=", 0.01),
    "high.swa_vs_snapshot": ("<", 0.0),
    "high.ensemble_vs_snapshot": (">", 0.0),
    "high.barrier": (">", 0.01),
    "high.less_alike": ("<", 0.0),
}


@dataclasses.dataclass(frozen=True)
class Segments:
    """Between consecutive snapshots: points on each segment, training examples in the loss there."""

    points: int
    examples: int


def before(problem, theta):
    """Of the weights theta [D] that cycles start from: "start_accuracy" and "start_train_loss"."""
    return cache.cached(_before, problem, theta)


def cycles(problem, recipe, start, segments):
    """Train from `start` [D] by a recipe of cycles: of each cycle its snapshot, the ensemble and the
    average of the weights so far, [cycles]; between consecutive snapshots what `_between` finds."""
    snapshots = training.train(problem, recipe, label="cycles", start=start).snapshots
    follow = cache.cached(_follow, problem, snapshots)
    return follow | cache.cached(_between, problem, snapshots, segments)


def _before(problem, theta):
    accuracy = networks.unseen(problem).evaluate(theta).accuracy
    return {"start_accuracy": accuracy, "start_train_loss": networks.seen(problem)(theta)}


def _follow(problem, snapshots):
    """Per cycle: snapshot, ensemble and weight average, on training and test data. [cycles] each."""
    swa = wedges.RunningAverage()
    ensemble = {"train": wedges.RunningAverage(), "test": wedges.RunningAverage()}
    landscapes = {"train": networks.seen(problem), "test": networks.unseen(problem)}
    rows = []
    for theta in progress.bar("evaluating", iterable=snapshots, unit="cycle"):
        swa.add(theta)
        row = {}
        for split, landscape in landscapes.items():
            at = landscape.evaluate(theta)
            mean = landscape.evaluate(swa.mean)
            p = ensemble[split].add(landscape.probabilities(at.outputs))  # [N, C]
            truth = p[np.arange(len(p)), landscape.y.numpy()]  # [N] given to the true class
            row |= {
                f"snapshot_{split}_loss": at.loss,
                f"swa_{split}_loss": mean.loss,
                f"ensemble_{split}_loss": -np.log(np.maximum(truth, 1e-30)).mean(),
            }
            if split == "test":
                row |= {
                    "snapshot_accuracy": at.accuracy,
                    "swa_accuracy": mean.accuracy,
                    "ensemble_accuracy": (p.argmax(-1) == landscape.y.numpy()).mean(),
                }
        rows.append({name: float(v) for name, v in row.items()})
    return stacked(rows)


def _between(problem, snapshots, segments):
    """Between consecutive snapshots: distance, training loss on the segment; labels of all pairs."""
    part, unseen = networks.seen(problem, segments.examples), networks.unseen(problem)
    pairs = list(zip(snapshots[:-1], snapshots[1:], strict=True))
    labels = [unseen.labels(unseen.evaluate(s).outputs) for s in snapshots]
    shown = progress.bar("segments", iterable=pairs, unit="segment")
    return {
        "distance": np.array([np.linalg.norm(b - a) for a, b in pairs]),  # [cycles - 1]
        "norm": np.linalg.norm(snapshots, axis=1),  # [cycles]
        "line_loss": np.array([wedges.probe.line(part, a, b, segments.points)[1] for a, b in shown]),
        "agreement": wedges.label_agreement(labels),  # [cycles, cycles]
    }


# ---- what the numbers say ---------------------------------------------------------------------------

PREDICTORS = ("snapshot", "ensemble", "swa")


def numbers(arrays):
    """The quantities that claims are about, [seeds, rates] each: predictors after the last cycle, and
    means over pairs of consecutive snapshots."""
    per_cycle = [f"{p}_{what}" for p in PREDICTORS for what in ("accuracy", "test_loss", "train_loss")]
    ends = 0.5 * (arrays["line_loss"][..., 0] + arrays["line_loss"][..., -1])  # [.., cycles - 1]
    neighbours = np.diagonal(arrays["agreement"], offset=1, axis1=-2, axis2=-1)
    # Accuracies come in two precisions: without rounding two that are the same would differ.
    exact = lambda name, x: np.round(x, 6) if name.endswith("accuracy") else x
    return {name: exact(name, arrays[name][..., -1]) for name in per_cycle} | {
        "barrier": wedges.barrier(arrays["line_loss"]).mean(-1),
        "relative_barrier": (wedges.barrier(arrays["line_loss"]) / ends).mean(-1),
        "agreement": neighbours.mean(-1),
        "distance": arrays["distance"].mean(-1),
    }


def over_seeds(arrays):
    """Their means over seeds, [rates] each, and by how much accuracy is above the last snapshot's."""
    mean = {name: values.mean(axis=0) for name, values in numbers(arrays).items()}
    gains = {f"{p}_gain": mean[f"{p}_accuracy"] - mean["snapshot_accuracy"] for p in PREDICTORS}
    return mean | gains


def regime(lr, low, high):
    """low, high, or in between, where nothing is claimed."""
    return "low" if lr <= low else "high" if lr >= high else "in between"


def judged(n, low, high):
    """{claim: number} of `over_seeds` at two of the rates, by their positions; None where there is none.
    The bounds are in `BOUNDS`."""
    at = lambda rate, values: None if rate is None else values[rate]
    both = low is not None and high is not None
    return {
        "low.swa_vs_snapshot": at(low, n["swa_gain"]),
        "low.swa_vs_ensemble": at(low, np.abs(n["swa_gain"] - n["ensemble_gain"])),
        "low.no_barrier": at(low, n["relative_barrier"]),
        "high.swa_vs_snapshot": at(high, n["swa_gain"]),
        "high.ensemble_vs_snapshot": at(high, n["ensemble_gain"]),
        "high.barrier": at(high, n["relative_barrier"]),
        "high.less_alike": n["agreement"][high] - n["agreement"][low] if both else None,
    }
