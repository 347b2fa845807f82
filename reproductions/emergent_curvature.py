"""Curvature rises, then falls in training, as logit gradients grow and probabilities freeze.

Largest eigenvalue and trace of the Hessian along training; below them the two causes, the mean length of
logit gradients dz_k and the mean of sum_k p_k (1 - p_k). The same in the simple model of clustered logit
gradients, there also without growth of their length: then the largest eigenvalue only falls.

    python -m reproductions.emergent_curvature --preset=quick     digits, a minute or two
    python -m reproductions.emergent_curvature                    CIFAR-10 and Fashion-MNIST, half an
                                                                  hour, shared with emergent_gradient
    python -m reproductions.emergent_curvature --learning_rate=0.05 --networks=fc --dataset=digits
Source: Fort & Ganguli 2019, arXiv:1910.05929.
"""

import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import local

Config = local.Config
PRESETS = {"smoke": local.SMOKE, "quick": local.QUICK, "paper": local.PAPER}
_TIMES = np.linspace(0, 1, 11)  # of the model's training
_MODEL = ("top", "trace", "length", "left")


def measure(config, run):
    """Per row "<row> name" [seeds, looks, ...] as `emergent.curvature` names them; "model name" and
    "frozen name" (no growth) [seeds, T] at `_TIMES`."""
    from reproductions.bench import parallel

    look = functools.partial(local.along, config, run, compute=local.curvature)
    arrays = local.by_row(config, parallel.over(run, look, local.items(config)))
    models = local.models(config)
    for name, growth in (("model", True), ("frozen", False)):
        found = np.array(
            [[_model(local.trained(m, t, growth)) for t in _TIMES] for m in models]
        )  # [seeds, T, 4]
        arrays |= {f"{name} {k}": found[..., j] for j, k in enumerate(_MODEL)}
    return arrays


def _model(point):
    """Largest eigenvalue, trace, length and sum p (1 - p) of the model at one point."""
    values, _ = local.spectrum(point)
    p = point.probabilities
    left = np.mean(np.sum(p * (1 - p), axis=1))
    # |X|^2 = (1/N) sum_i sum_k p_k |dz_k - mean|^2 is about length^2 left, but for the noise.
    length = np.sqrt(np.sum(point.factor**2) / left)
    return values[0], values.sum(), length, left


def _curves(arrays, config):
    """{label: {"largest eigenvalue": [seeds, T], "trace": [seeds, T]}}."""
    found = {}
    for label, prefix in local.labels(config).items():
        top = arrays["model top"] if prefix == "model" else arrays[f"{prefix} eigenvalues"][..., 0]
        found[label] = {"largest eigenvalue": top, "trace": arrays[f"{prefix} trace"]}
    return found


def claims(arrays, config):
    """A rise to a peak and a fall from it, mean over seeds; none in the model without growth."""
    found = []
    for label, curves in _curves(arrays, config).items():
        id = label.split()[0]
        for name, values in curves.items():
            mean = values.mean(axis=0)
            short = "top" if name != "trace" else "trace"
            what = f"{label}: {name} of H, mean over seeds"
            own = f"emergent.curvature.{id}.{short}"
            peak = mean.max()
            found += [
                Claim(
                    f"{own}.rises",
                    f"{what}, peak over start",
                    local.SOURCE,
                    peak / mean[0],
                    ">=",
                    1.2,
                ),
                Claim(
                    f"{own}.falls", f"{what}, peak over end", local.SOURCE, peak / mean[-1], ">=", 1.5
                ),
            ]
    frozen = arrays["frozen top"].mean(axis=0)
    what = "model without growth of logit gradients: largest eigenvalue, peak over start"
    found.append(
        Claim(
            "emergent.curvature.model.frozen",
            what,
            local.SOURCE,
            frozen.max() / frozen[0],
            "<=",
            1.05,
        )
    )
    return found


def summary(arrays, config):
    """Start, peak and end of each curve by seed: what the reference guards, in logarithms, since
    eigenvalues of different runs differ by factors."""
    found = {}
    for label, curves in _curves(arrays, config).items():
        for name, values in curves.items():
            parts = {"start": values[:, 0], "peak": values.max(axis=1), "end": values[:, -1]}
            found |= {f"{label}: ln {name}, {part}": np.log(np.abs(v)) for part, v in parts.items()}
    return found


def plot(arrays, config):
    """Above curvature, below its two causes; a column for each network, one for the model."""
    from wedges import plots

    rows = local.rows(config)
    figure, axes = plots.grid(
        2,
        len(rows) + 1,
        title="Curvature rises, then falls: logit gradients grow, probabilities freeze\n"
        f"{local.how_trained(config)}",
        panel=(4.4, 3.0),
    )
    for j, (label, curves) in enumerate(_curves(arrays, config).items()):
        model = j == len(rows)
        x = _TIMES if model else arrays[f"{j} steps"][0]
        top, below = axes[0, j], axes[1, j]
        for (name, values), color in zip(curves.items(), (plots.BLUE, plots.ORANGE), strict=True):
            plots.curve(top, x, values, color=color, label=f"{name} of H")
        if model:
            plots.curve(
                top, x, arrays["frozen top"], color=plots.GREY, label="largest, no growth", style="--"
            )
        else:
            plots.curve(
                top, x, arrays[f"{j} gauss_newton"], color=plots.GREY, label="largest of G", style=":"
            )
        prefix = "model" if model else str(j)
        for name, label_of, color in (
            ("length", "mean |dz/dtheta|", plots.GREEN),
            ("left", "mean sum p (1 - p)", plots.GREY),
        ):
            plots.curve(below, x, arrays[f"{prefix} {name}"], color=color, label=label_of)
        if not model:
            plots.curve(
                below, x, arrays[f"{j} loss"], color=plots.ORANGE, label="loss (nats)", style="--"
            )
        for ax in (top, below):
            ax.set_yscale("log")
            if not model:
                plots.training_axis(ax, x[-1])
            ax.legend(fontsize=7)
        title = "the simple model" if model else label
        plots.label_axes(top, title=title, y="curvature")
        plots.label_axes(below, x="share of training" if model else "step", y="causes")
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
