"""Curvature rises, then falls in training, as logit gradients grow and probabilities freeze.

Largest eigenvalue and trace of the Hessian along a training, that of emergent_gradient; below them the
two causes, the mean length of logit gradients dz_k and the mean of sum_k p_k (1 - p_k). The same in the
simple model of clustered logit gradients, there also without growth of their length: then the largest
eigenvalue only falls.

    python -m reproductions.emergent_curvature --preset=quick   digits, a minute or two
    python -m reproductions.emergent_curvature                  CIFAR-10 and Fashion-MNIST, half an hour
    python -m reproductions.emergent_curvature --lr=0.05 --networks=fc --dataset=digits
Source: Fort & Ganguli 2019, arXiv:1910.05929.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import cache, runs
from reproductions.bench.claims import Verdict
from reproductions.common import local, pictures
from reproductions.common.arrays import named, stacked

Config = local.Config


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Per network "<row> name" [seeds, looks, ...] as `local.curvature` names them; "model name" and
    "frozen name" (no growth) [seeds, T] as `curvature_of_model` does."""
    arrays = local.by_row(config, functools.partial(local.along, config, local.curvature))
    for name, growth in (("model", True), ("frozen", False)):
        found = [cache.cached(curvature_of_model, seed, growth) for seed in config.repeats]
        arrays |= named(name, stacked(found))
    return arrays


def curvature_of_model(seed, growth):
    """What `curvature_at` says of the simple model along its training, at `local.TIMES`: [T] each."""
    simple = local.model(seed)
    return stacked([curvature_at(local.trained(simple, t, growth)) for t in local.TIMES])


def curvature_at(point):
    """Of the model at one point: "top", its largest eigenvalue, and "trace"; their causes, the "length"
    of logit gradients, and what is "left" of probability, mean of sum_k p_k (1 - p_k)."""
    values, _ = local.spectrum(point)
    p = point.probabilities
    left = np.mean(np.sum(p * (1 - p), axis=1))
    # |X|^2 = (1/N) sum_i sum_k p_k |dz_k - mean|^2 is about length^2 left, but for the noise.
    length = np.sqrt(np.sum(point.factor**2) / left)
    return {"top": values[0], "trace": values.sum(), "length": length, "left": left}


# ---- what the numbers say ---------------------------------------------------------------------------


IDS = {"largest eigenvalue": "top", "trace": "trace"}  # in the ids of claims


def curves(subject, arrays):
    """{"largest eigenvalue": [seeds, T], "trace": [seeds, T]} of a network or the model."""
    own = subject.own(arrays)
    top = own["top"] if subject.is_model else own["eigenvalues"][..., 0]
    return {"largest eigenvalue": top, "trace": own["trace"]}


def rise_and_fall(values):
    """Of a curve's mean over seeds [seeds, T]: its peak over its start, and over its end."""
    mean = values.mean(axis=0)
    return mean.max() / mean[0], mean.max() / mean[-1]


def judged(arrays, config):
    """{claim: number}: peaks over starts and ends of the curves' means over seeds."""
    found = {"model.frozen": rise_and_fall(arrays["frozen top"])[0]}
    for subject in config.subjects:
        for name, values in curves(subject, arrays).items():
            id = f"{subject.id}.{IDS[name]}"
            found[f"{id}.rises"], found[f"{id}.falls"] = rise_and_fall(values)
    return found


SAYS = "Curvature rises transiently, then falls, in training."


def claims(arrays, config):
    """A rise to a peak and a fall from it, mean over seeds; none in the model without growth."""
    claim = Verdict("emergent.curvature", local.SOURCE, judged(arrays, config))
    for subject in config.subjects:
        for name, id in IDS.items():
            own = claim.about(f"{subject.id}.{id}.*", subject.label, says=SAYS)
            own("rises", f"{name} of H, mean over seeds, peak over start", ">=", 1.2)
            own("falls", f"{name} of H, mean over seeds, peak over end", ">=", 1.5)
    what = "model without growth of logit gradients: largest eigenvalue, peak over start"
    claim("model.frozen", what, "<=", 1.05)
    return claim.claims


def summary(arrays, config):
    """Start, peak and end of each curve by seed: what the reference guards, in logarithms, since
    eigenvalues of different runs differ by factors."""
    found = {}
    for subject in config.subjects:
        for name, values in curves(subject, arrays).items():
            parts = {"start": values[:, 0], "peak": values.max(axis=1), "end": values[:, -1]}
            label = f"{subject.label}: ln {name}"
            found |= {f"{label}, {part}": np.log(np.abs(v)) for part, v in parts.items()}
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    seed = {"seed": config.repeats}
    model = seed | {"share_of_training": local.TIMES}
    return {"model *": model, "frozen *": model, "*": seed}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Above curvature, below its two causes; a column for each network, one for the model."""
    plots, trained = wedges.plots, local.how_trained(config)
    title = f"Curvature rises, then falls: logit gradients grow, probabilities freeze\n{trained}"
    figure, axes = plots.grid(2, len(config.subjects), title=title, panel=(4.4, 3.0))
    for (top, below), subject in zip(axes.T, config.subjects, strict=True):
        own, x = subject.own(arrays), subject.times(arrays)
        largest, trace = curves(subject, arrays).values()
        lines = [
            (top, largest, plots.BLUE, "largest eigenvalue of H", "-"),
            (top, trace, plots.ORANGE, "trace of H", "-"),
            (below, own["length"], plots.GREEN, "mean |dz/dtheta|", "-"),
            (below, own["left"], plots.GREY, "mean sum p (1 - p)", "-"),
        ]
        if subject.is_model:
            lines.append((top, arrays["frozen top"], plots.GREY, "largest, no growth", "--"))
        else:
            lines.append((top, own["gauss_newton"], plots.GREY, "largest of G", ":"))
            lines.append((below, own["loss"], plots.ORANGE, "loss (nats)", "--"))
        for ax, values, color, label, style in lines:
            plots.curve(ax, x, values, color=color, label=label, style=style)
        pictures.along_training([top, below], x, steps=not subject.is_model)
        plots.label_axes(top, title=subject.title, y="curvature", legend=7)
        plots.label_axes(below, y="causes", legend=7)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
