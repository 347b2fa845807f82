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
    """The mean share over training, by seed: what the reference guards."""
    shares = {s.label: begun(s.own(arrays)["captured"]) for s in config.subjects}
    return {f"{label}: captured": share.mean(axis=1) for label, share in shares.items()}


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    seed = {"seed": config.repeats}
    return {"model *": seed | {"share_of_training": local.TIMES}, "*": seed}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """A panel for each network and one for the model: the share along training; all of them as bars."""
    title = f"{_finding(arrays, config)}\n{local.how_trained(config)}"
    count = len(config.subjects) + 1
    figure, (*axes, last) = pictures.panels(count, title=title, panel=(4.3, 3.0))
    for ax, letter, subject in zip(axes, "abcde", config.subjects, strict=False):
        _draw_share(ax, subject, arrays, f"({letter}) {local.heading(subject)}")
    _draw_bars(last, config.subjects, arrays, f"({'abcdef'[count - 1]}) Where the squared gradient lies")
    return figure


def _finding(arrays, config):
    """How much of the gradient lies in how many directions, of each network."""
    owns = [s.own(arrays) for s in config.subjects if not s.is_model]
    chances = [by_chance(s, s.own(arrays)) for s in config.subjects if not s.is_model]
    shares = pictures.listed([f"{begun(own['captured']).mean():.0%}" for own in owns])
    weights = pictures.listed([f"{dimension:,}" for _, dimension in chances])
    number = pictures.listed(sorted({str(classes) for classes, _ in chances}))
    verb = "lies" if len(owns) == 1 else "lie"
    words = f"Along the Hessian's top {number} of {weights} directions"
    return f"{words} {verb} {shares} of the squared gradient"


def _draw_share(ax, subject, arrays, title):
    """The share in all C and in the first eigenvector along training."""
    plots, own, x = wedges.plots, subject.own(arrays), subject.times(arrays)
    classes, dimension = by_chance(subject, own)
    for k, color, marker in ((classes, plots.BLUE, "o"), (1, plots.ORANGE, "s")):
        share = own["captured"][..., k - 1]
        plots.curve(ax, x, share, color=color, label=f"top {k}", marker=marker)
    ax.set_ylim(0, 1)
    pictures.along_training(ax, x, steps=not subject.is_model)
    chance = f"top {classes} by chance: {classes / dimension:.1g}"
    ax.text(0.02, 0.97, chance, va="top", fontsize=8.5, transform=ax.transAxes)
    plots.label_axes(ax, title=title, y="fraction of the squared gradient")
    plots.name_lines(ax)


def _draw_bars(ax, subjects, arrays, title):
    """Where the gradient lies, mean over training and seeds: in the first, the other top, all others."""
    plots = wedges.plots
    parts = [("first eigenvector", plots.ORANGE), ("others of the top C", plots.BLUE)]
    parts.append(("all other directions", "#DDDDDD"))
    for y, subject in enumerate(reversed(subjects)):
        means = subject.own(arrays)["captured"][:, 1:].mean(axis=(0, 1))  # [C], once training has begun
        widths = np.diff([0, means[0], means[-1], 1])
        for (label, color), width, left in zip(parts, widths, np.cumsum([0, *widths]), strict=False):
            ax.barh(y, width, 0.55, left, color=color, label=None if y else label)
            if width > 0.1:
                how = {"color": "black" if color == "#DDDDDD" else "white", "fontsize": 8.5}
                ax.text(left + width / 2, y, f"{width:.0%}", ha="center", va="center", **how)
    names = [local.heading(s).replace(" on ", "\non ") for s in reversed(subjects)]
    ax.set_yticks(range(len(subjects)), [n.replace("connected ", "connected\n") for n in names])
    ax.set_xlim(0, 1)
    plots.label_axes(ax, title=title, x="fraction, mean over training", legend=8, grid=False)


if __name__ == "__main__":
    runs.main(__name__)
