"""Gradients live in the top Hessian subspace: their share in it, along training.

    captured(k) = sum_{i <= k} (v_i . g)^2 / |g|^2,   v_i eigenvectors of the largest eigenvalues of H

By chance a vector of R^D has a share k / D in any k directions. Measured for the first 1 to C
eigenvectors, C classes, at points of a training that emergent_curvature shares; on networks, and in the
simple model of clustered logit gradients.

    python -m reproductions.emergent_gradient --preset=quick   digits, a minute or two
    python -m reproductions.emergent_gradient                  CIFAR-10 and Fashion-MNIST, half an hour
    python -m reproductions.emergent_gradient --networks=resnet --dataset=cifar10 --activation=relu
Source: Fort & Ganguli 2019, arXiv:1910.05929; Gur-Ari, Roberts & Dyer 2018, arXiv:1812.04754.
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
    """Per network "<row> name" [seeds, looks, ...] as `local.curvature` names them; "model captured"
    [seeds, T, C] at `local.TIMES`."""
    arrays = local.by_row(config, functools.partial(local.along, config, local.curvature))
    model = [cache.cached(captured_of_model, seed) for seed in config.repeats]
    return arrays | named("model", stacked(model))


def captured_of_model(seed):
    """ "captured" [T, C] of the simple model along its training."""
    simple = local.model(seed)
    return {"captured": np.array([captured(local.trained(simple, t)) for t in local.TIMES])}


def captured(point):
    """captured(1), ..., captured(C) [C] at one point of the model, as `local.curvature` of a network."""
    _, vectors = local.spectrum(point)
    classes = point.probabilities.shape[1]
    return np.cumsum((vectors[:classes] @ point.gradient) ** 2) / np.sum(point.gradient**2)


# ---- what the numbers say ---------------------------------------------------------------------------


def begun(captured):
    """captured [seeds, looks, C] by all C eigenvectors, where training has begun: [seeds, looks - 1]."""
    return captured[:, 1:, -1]


def by_chance(subject, own):
    """C and D: any C directions hold C / D of a random vector."""
    dimension = local.MODEL["dimension"] if subject.is_model else own["dimension"].flat[0]
    return own["captured"].shape[-1], dimension


def judged(arrays, config):
    """{claim: number}: the share of |g|^2 in the top C eigenvectors, and how often that by chance."""
    found = {}
    for subject in config.subjects:
        own = subject.own(arrays)
        share, (classes, dimension) = begun(own["captured"]), by_chance(subject, own)
        found[f"{subject.id}.most"] = share.mean()
        found[f"{subject.id}.chance"] = (share.min(axis=1) / (classes / dimension)).mean()
    return found


SAYS = "Gradients are confined to the Hessian's top subspace."


def claims(arrays, config):
    """Far more of the gradient than by chance, and most of it."""
    claim = Verdict("emergent.gradient", local.SOURCE, judged(arrays, config))
    most = "share of |g|^2 in the top C eigenvectors of H"
    chance = f"{most}, over that of a random vector (C / D), lowest over training, mean over seeds"
    for subject in config.subjects:
        own = claim.about(f"{subject.id}.*", subject.label, says=SAYS)
        own("most", f"{most}, mean over training", ">=", 0.5)
        own("chance", chance, ">=", 10.0)
    return claim.claims


def summary(arrays, config):
    """What claims are about, by seed: what the reference guards."""
    shares = {s.label: begun(s.own(arrays)["captured"]) for s in config.subjects}
    return {f"{label}: captured": share.mean(axis=1) for label, share in shares.items()}


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    seed = {"seed": config.repeats}
    return {"model *": seed | {"share_of_training": local.TIMES}, "*": seed}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """A panel for each network and one for the model: the share against training."""
    plots = wedges.plots
    title = f"Gradients live in the top Hessian subspace\n{local.how_trained(config)}"
    figure, axes = plots.grid(1, len(config.subjects), title=title, panel=(4.4, 3.6))
    for ax, subject in zip(axes[0], config.subjects, strict=True):
        own, x = subject.own(arrays), subject.times(arrays)
        (classes, dimension), captured = by_chance(subject, own), own["captured"]
        plots.curve(ax, x, captured[..., -1], color=plots.BLUE, label=f"top {classes}")
        for k, color in ((classes - 1, plots.GREEN), (1, plots.ORANGE)):
            style = {"color": color, "label": f"top {k}, mean", "linewidth": 1.2}
            ax.plot(x, captured[..., k - 1].mean(axis=0), "--", **style)
        chance = f"chance, C/D = {classes}/{dimension:,}"
        ax.axhline(classes / dimension, color=plots.GREY, linestyle=":", label=chance)
        pictures.along_training([ax], x, steps=not subject.is_model)
        ax.set_ylim(top=1.3)
        ax.legend(fontsize=8, loc="lower right")
        plots.label_axes(ax, title=subject.title, y="share of the squared gradient")
    return figure


if __name__ == "__main__":
    runs.main(__name__)
