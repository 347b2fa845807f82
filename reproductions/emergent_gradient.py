"""Gradients live in the top Hessian subspace: their share in it, along training.

    captured(k) = sum_{i <= k} (v_i . g)^2 / |g|^2,   v_i eigenvectors of the largest eigenvalues of H

By chance a vector of R^D has a share k / D in any k directions. Measured at points of a training, for
the first 1 to C eigenvectors, C classes; on networks, and in the simple model of clustered logit
gradients.

    python -m reproductions.emergent_gradient --preset=quick     digits, a minute or two
    python -m reproductions.emergent_gradient                    CIFAR-10 and Fashion-MNIST, half an
                                                                 hour, shared with emergent_curvature
    python -m reproductions.emergent_gradient --networks=resnet --dataset=cifar10 --activation=relu
Source: Fort & Ganguli 2019, arXiv:1910.05929; Gur-Ari, Roberts & Dyer 2018, arXiv:1812.04754.
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


def measure(config, run):
    """Per row "<row> name" [seeds, looks, ...] as `emergent.curvature` names them; "model captured"
    [seeds, T, C] at `_TIMES`."""
    from reproductions.bench import parallel

    look = functools.partial(local.along, config, run, compute=local.curvature)
    found = parallel.over(run, look, local.items(config))
    model = [[_model(local.trained(m, t)) for t in _TIMES] for m in local.models(config)]
    return local.by_row(config, found) | {"model captured": np.array(model)}


def _model(point):
    """captured [C] of the model at one point."""
    _, vectors = local.spectrum(point)
    classes = point.probabilities.shape[1]
    return np.cumsum((vectors[:classes] @ point.gradient) ** 2) / np.sum(point.gradient**2)


def _numbers(arrays, config):
    """{row's name: (captured by C [seeds, looks after the start], chance)}."""
    found = {}
    for label, prefix in local.labels(config).items():
        captured = arrays[f"{prefix} captured"][:, 1:]  # where training has begun
        found[label] = captured[..., -1], captured.shape[-1] / _dimension(arrays, prefix)
    return found


def _dimension(arrays, prefix):
    return local.MODEL["dimension"] if prefix == "model" else arrays[f"{prefix} dimension"].flat[0]


def claims(arrays, config):
    """Far more of the gradient than by chance, and most of it."""
    found = []
    for label, (captured, chance) in _numbers(arrays, config).items():
        id = f"emergent.gradient.{label.split()[0]}"
        share = f"{label}: share of |g|^2 in the top C eigenvectors of H"
        mean = captured.mean()
        found += [
            Claim(f"{id}.most", f"{share}, mean over training", local.SOURCE, mean, ">=", 0.5),
            Claim(
                f"{id}.chance",
                f"{share}, over that of a random vector (C / D), lowest over training, mean over seeds",
                local.SOURCE,
                (captured.min(axis=1) / chance).mean(),
                ">=",
                10.0,
            ),
        ]
    return found


def summary(arrays, config):
    """What claims are about, by seed: what the reference guards."""
    numbers = _numbers(arrays, config)
    return {f"{label}: captured": captured.mean(axis=1) for label, (captured, _) in numbers.items()}


def plot(arrays, config):
    """A panel for each network and one for the model: the share against training."""
    from wedges import plots

    labels = local.labels(config)
    figure, axes = plots.grid(
        1,
        len(labels),
        title=f"Gradients live in the top Hessian subspace\n{local.how_trained(config)}",
        panel=(4.4, 3.6),
    )
    for ax, (label, prefix) in zip(axes[0], labels.items(), strict=True):
        model, captured = prefix == "model", arrays[f"{prefix} captured"]
        x = _TIMES if model else arrays[f"{prefix} steps"][0]
        classes, dimension = captured.shape[-1], _dimension(arrays, prefix)
        plots.curve(ax, x, captured[..., -1], color=plots.BLUE, label=f"top {classes}")
        for k, color in ((classes - 1, plots.GREEN), (1, plots.ORANGE)):
            mean = captured[..., k - 1].mean(axis=0)
            ax.plot(x, mean, "--", color=color, label=f"top {k}, mean", linewidth=1.2)
        ax.axhline(
            classes / dimension,
            color=plots.GREY,
            linestyle=":",
            label=f"chance, C/D = {classes}/{dimension:,}",
        )
        ax.set_yscale("log")
        ax.set_ylim(top=1.3)
        if not model:
            plots.training_axis(ax, x[-1])
        plots.label_axes(
            ax,
            title="the simple model" if model else label,
            x="share of training" if model else "step",
            y="share of the squared gradient",
        )
        ax.legend(fontsize=7, loc="lower right")
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
