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
    """Above curvature, below its causes; a column for each network, one for the model."""
    title = f"{_finding(arrays, config)}\n{local.how_trained(config)}"
    count = len(config.subjects)
    figure, axes = wedges.plots.grid(2, count, title=title, panel=(4.4, 3.5))
    for row in axes:
        for ax in row[1:]:
            ax.sharey(row[0])
    for i, ((top, below), subject) in enumerate(zip(axes.T, config.subjects, strict=True)):
        _draw_curvature(top, subject, arrays, f"({'abcdef'[i]}) {local.heading(subject)}", i == 0)
        _draw_causes(below, subject, arrays, i == 0)
    for ax in axes.flat:  # when all limits of axes that are shared stand
        wedges.plots.name_lines(ax, room=0.8)
    return figure


def _finding(arrays, config):
    """What all networks do, by the bounds of the claims."""
    numbers, networks = judged(arrays, config), [s.id for s in config.subjects if not s.is_model]
    rises = [numbers[f"{id}.top.rises"] for id in networks]
    falls = [numbers[f"{id}.top.falls"] for id in networks]
    times = lambda values: pictures.listed([f"{value:.1f}" for value in values])
    if min(rises) >= 1.2 and min(falls) >= 1.5:
        return (
            f"Curvature rises, {times(rises)} times, while logit gradients grow, then falls, "
            f"{times(falls)} times, as probabilities freeze"
        )
    words = f"From start to peak the largest eigenvalue rises {times(rises)} times"
    return f"{words}, from there to the end of training it falls {times(falls)} times"


def _draw_curvature(ax, subject, arrays, title, first):
    """Largest eigenvalue and trace along training; the peak, and what comes before and after it."""
    plots, own, x = wedges.plots, subject.own(arrays), subject.times(arrays)
    largest, trace = curves(subject, arrays).values()
    lines = [
        (trace, plots.ORANGE, "s", "-", "tr $H$"),
        (largest, plots.BLUE, "o", "-", r"$\lambda_{\max}(H)$"),
    ]
    if subject.is_model:
        lines.append(
            (arrays["frozen top"], plots.GREY, "D", "--", r"$\lambda_{\max}$, $|\nabla z|$ fixed")
        )
    else:
        lines.append((own["gauss_newton"], plots.GREEN, "^", ":", r"$\lambda_{\max}(G)$"))
    _lines(ax, x, lines, subject)
    mean = largest.mean(axis=0)
    peak = int(mean.argmax())
    ax.plot(x[peak], mean[peak], "o", markersize=11, fillstyle="none", color="black")
    _phases(ax, x, peak, words=True)
    plots.label_axes(ax, title=title, y="curvature (nats)" if first else None)
    ax.set_xlabel("")  # it is that of the panel below


def _draw_causes(ax, subject, arrays, first):
    """Length of logit gradients, what is left of probability, and the loss; phases as above."""
    plots, own, x = wedges.plots, subject.own(arrays), subject.times(arrays)
    lines = [
        (own["length"], plots.GREEN, "^", "-", r"$|\nabla z_k|$"),
        (own["left"], plots.GREY, "D", "-", r"$\sum p_k(1-p_k)$"),
    ]
    if not subject.is_model:
        lines.append((own["loss"], plots.ORANGE, "s", "--", "loss"))
    _lines(ax, x, lines, subject)
    largest = curves(subject, arrays)["largest eigenvalue"].mean(axis=0)
    _phases(ax, x, int(largest.argmax()))
    plots.label_axes(ax, y="its causes, means over examples" if first else None)


def _lines(ax, x, lines, subject):
    for values, color, marker, style, label in lines:
        wedges.plots.curve(ax, x, values, color=color, label=label, marker=marker, style=style)
    ax.set_yscale("log")
    pictures.along_training(ax, x, steps=not subject.is_model)


def _phases(ax, x, peak, words=False):
    """What comes before the largest eigenvalue's peak, and what after it, in two shades."""
    low, high = ax.get_xlim()
    for ends, color, word in (
        ((low, x[peak]), wedges.plots.ORANGE, "growth"),
        ((x[peak], high), wedges.plots.BLUE, "freezing"),
    ):
        ax.axvspan(*ends, color=color, alpha=0.07, linewidth=0)
        to = ax.transData.transform([(end, 1) for end in ends])[:, 0]
        if words and to[1] - to[0] > 0.2 * ax.bbox.width:  # there is room for it
            how = {"ha": "center", "va": "bottom", "transform": ax.get_xaxis_transform()}
            middle = ax.transData.inverted().transform((to.mean(), 0))[0]
            ax.text(middle, 0.02, word, fontsize=8.5, color=color, **how)
    ax.set_xlim(low, high)


if __name__ == "__main__":
    runs.main(__name__)
