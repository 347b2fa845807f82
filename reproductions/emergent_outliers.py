"""Hessian outliers: logit gradients cluster, and some eigenvalues stand above the bulk, one a class?

Cosines between the logit gradients dz_k of different examples, by logit; the 2 C largest eigenvalues of
H, and of its Gauss-Newton part G, at the start, in the middle and at the end of a training. Outliers are
counted against what the clusters leave: the edge is the largest eigenvalue of

    H - G + (1/N) sum_i (J_i - c_i)^T (diag p_i - p_i p_i^T) (J_i - c_i),   c_i the mean J of i's class

In the simple model: the same, and outliers against noise, with the prediction of random-matrix theory.

    python -m reproductions.emergent_outliers --preset=quick     digits, two minutes
    python -m reproductions.emergent_outliers                    CIFAR-10 and Fashion-MNIST, half an hour
    python -m reproductions.emergent_outliers --examples=1000 --seeds=1
Source: Fort & Ganguli 2019, arXiv:1910.05929; Papyan 2019, arXiv:1901.08244, for the split by class.
"""

import copy
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import local

Config = local.Config
PRESETS = {"smoke": local.SMOKE, "quick": local.QUICK, "paper": local.PAPER}
_MIDDLE = 1  # of three looks: the start, the middle (in log(1 + step / 30)), the end
_CLUSTERED = 20  # examples whose logit gradients are compared
_NOISES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0)
_CLEAR = 1.02  # times the edge: it scatters by a percent
_T = 0.5  # of the model's training, where its spectrum is shown


def measure(config, run):
    """Per row "<row> name" [seeds, looks, ...] as `outliers` names them; "model name" as `_model` does,
    and "noise name" [seeds, noises] as `_noise` does."""
    from reproductions.bench import parallel

    which = [0, config.looks // 2, -1]
    look = functools.partial(local.along, config, run, compute=outliers, which=which)
    arrays = local.by_row(config, parallel.over(run, look, local.items(config)))
    seeds = range(config.seed, config.seed + config.seeds)
    models = [_model(s) for s in seeds]
    noises = [[_noise(s, noise) for noise in _NOISES] for s in seeds]
    arrays |= {f"model {k}": np.stack([m[k] for m in models]) for k in models[0]}
    return arrays | {
        f"noise {k}": np.array([[n[k] for n in row] for row in noises]) for k in noises[0][0]
    }


def outliers(landscape, theta, labels):
    """ "hessian" and "gauss_newton" [2 C], largest eigenvalues; "sure" [], how many of H are above
    "edge" [] for certain; "cosines" [C, C], mean over pairs of examples; "residual" [], spectral norm of
    H - G."""
    import wedges

    matrix, inner = wedges.hessian(landscape, theta), wedges.gauss_newton(landscape, theta)
    rows = landscape.output_gradients(theta, min(_CLUSTERED, landscape.size)).numpy()  # [n, C, D]
    classes = rows.shape[1]
    largest = functools.partial(wedges.eigenpairs, seed=0, tolerance=0.01)
    top = largest(matrix, 2 * classes)
    ends = [
        largest(wedges.residual(landscape, theta), 1, end=end, tolerance=0.05).values[0]
        for end in ("largest", "smallest")
    ]
    edge = largest(within(landscape, theta, labels), 1).values[0]
    return {
        "hessian": top.values,
        "gauss_newton": largest(inner, 2 * classes).values,
        "edge": edge,
        "sure": np.array(wedges.curvature.certain(top, edge)),
        "cosines": _cosines(rows),
        "residual": np.max(np.abs(ends)),
        "loss": np.array(landscape(theta)),
    }


def within(landscape, theta, labels):
    """H with each class's mean logit gradients taken out of G, an operator.

        sum_i (J_i - c)^T B_i (J_i - c) / N = G - M^T c - c^T M + c^T B c

    c [C C, D] the means by class and logit, M = (1/N) sum of B_i J_i over a class: as many gradients as
    there are rows, then H and a matrix of low rank.
    """
    from scipy.sparse.linalg import LinearOperator

    import wedges

    matrix = wedges.hessian(landscape, theta)
    p = landscape.probabilities(landscape.evaluate(theta).outputs).numpy()
    n, classes = p.shape
    bends = p[:, :, None] * np.eye(classes) - p[:, :, None] * p[:, None]  # [N, C, C]
    means, mixed, sums = [], [], []
    for a in np.unique(labels):
        own = labels == a
        pull = lambda weights, own=own: landscape.output_pullback(
            theta, (own[:, None] * weights).astype(matrix.dtype)
        ).numpy()
        means += [pull(np.eye(classes)[None, k] / own.sum()) for k in range(classes)]
        mixed += [pull(bends[:, k] / n) for k in range(classes)]
        sums.append(bends[own].sum(axis=0) / n)
    means, mixed = np.stack(means), np.stack(mixed)  # [groups C, D]
    sums = np.stack(sums).astype(matrix.dtype)  # [groups, C, C]

    def product(v):
        v = np.ravel(v)
        along = means @ v  # [groups C]
        bent = np.einsum("gkl,gl->gk", sums, along.reshape(len(sums), -1)).ravel()
        return matrix.matvec(v) - mixed.T @ along + means.T @ (bent - mixed @ v)

    return LinearOperator(matrix.shape, product, dtype=matrix.dtype)


def _cosines(rows):
    """rows [n, C, D] -> [C, C]: mean cosine of dz_k of one example and dz_l of another."""
    flat = rows.reshape(-1, rows.shape[-1])
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    n, classes, _ = rows.shape
    cosines = (unit @ unit.T).reshape(n, classes, n, classes)
    return np.einsum("ikjl,ij->kl", cosines, 1 - np.eye(n)) / (n * (n - 1))


def _model(seed):
    """As `outliers`, of the simple model at `_T`; "rank" of G without noise."""
    simple = local.model(seed)
    point = local.trained(simple, _T)
    values, _ = local.spectrum(point)
    last = 2 * simple.classes
    edge = local.spectrum(local.trained(_without_centres(simple), _T))[0][0]
    plain = _gauss_newton(local.trained(local.model(seed, noise=0.0), _T))
    return {
        "hessian": values[:last],
        "gauss_newton": _gauss_newton(point)[:last],
        "edge": edge,
        "sure": np.array(np.sum(values > edge)),
        "cosines": _cosines(simple.directions[:_CLUSTERED]),
        "rank": np.array(np.sum(plain > 1e-10 * plain[0])),
        "residual": np.abs(np.linalg.eigvalsh(point.residual)).max(),
    }


def _noise(seed, noise):
    """The model at equal probabilities: mean of its C - 1 largest eigenvalues, the share of their
    vectors in the centres' span, how many are clear of the same noise alone, the theory's numbers."""
    simple = local.model(seed, noise=noise, bias=0.0, bend=0.0)
    at = {"spread": 0.0, "length": 10.0}
    values, vectors = local.spectrum(simple.at(**at))
    last = simple.classes - 1
    apart = simple.centres - simple.centres.mean(axis=0)
    span = np.linalg.svd(apart, full_matrices=False)[2][:last]  # [C - 1, D]
    theory = simple.spike(at["length"])
    edge = _gauss_newton(_without_centres(simple).at(**at))[0]
    return {
        "outlier": values[:last].mean(),
        "overlap": np.mean(np.sum((vectors[:last] @ span.T) ** 2, axis=1)),
        "count": np.sum(values > _CLEAR * edge),
        "edge": edge,
        "predicted": theory.outlier,
        "predicted edge": theory.edge,
        "predicted overlap": theory.overlap,
        "threshold": theory.threshold,
    }


def _without_centres(simple):
    """The same noise, logits and residual, and nothing that it could be noise of."""
    quiet = copy.copy(simple)
    quiet.directions = simple.directions - simple.centres
    return quiet


def _gauss_newton(point):
    """Eigenvalues of a model's G [D], falling."""
    return np.linalg.eigvalsh(point.factor.T @ point.factor)[::-1]


# ---- what the numbers say ---------------------------------------------------------------------------


def _half(overlap):
    """The noise at which the overlap [noises] falls through a half."""
    overlap = np.asarray(overlap)
    return float(np.interp(-0.5, -overlap, _NOISES)) if np.isfinite(overlap).all() else np.nan


def _separation(cosines):
    """Mean cosine of the same logit minus that of different ones: [..., C, C] -> [...]."""
    classes = cosines.shape[-1]
    same = np.trace(cosines, axis1=-2, axis2=-1) / classes
    return same - (cosines.sum(axis=(-2, -1)) - classes * same) / (classes * (classes - 1))


def _numbers(arrays, config):
    """{label: {name: [seeds]}} in the middle of training; "count"s at start and end, too."""
    found = {}
    for i, (name, source) in enumerate(local.rows(config)):
        get = lambda key, i=i: arrays[f"{i} {key}"]
        found[f"{name} on {source}"] = {
            "clusters": _separation(get("cosines"))[:, _MIDDLE],
            "count": get("sure")[:, _MIDDLE],
            "count at the start": get("sure")[:, 0],
            "count at the end": get("sure")[:, -1],
            "residual": (get("residual") / get("hessian")[..., 0])[:, _MIDDLE],
        }
    model = {
        "clusters": _separation(arrays["model cosines"]),
        "count": arrays["model sure"],
        "residual": arrays["model residual"] / arrays["model hessian"][:, 0],
    }
    return found | {"model": model}


def claims(arrays, config):
    """Clusters; one outlier per class; in the model rank C - 1 and random-matrix theory's numbers."""
    found = []

    def claim(id, statement, measured, relation, expected, source=local.SOURCE):
        found.append(Claim(f"emergent.outliers.{id}", statement, source, measured, relation, expected))

    for label, numbers in _numbers(arrays, config).items():
        id = label.split()[0]
        classes = arrays["model cosines" if id == "model" else "0 cosines"].shape[-1]
        cosine = "mean cosine of logit gradients of two examples, same logit minus different logits"
        claim(f"{id}.clusters", f"{label}: {cosine}", numbers["clusters"].mean(), ">=", 0.1)
        count = f"outliers of H above what the clusters leave, minus C = {classes}, mean over seeds"
        claim(f"{id}.count", f"{label}: |{count}|", abs(numbers["count"].mean() - classes), "<=", 1.0)
        small = "spectral norm of H - G over the largest eigenvalue of H"
        claim(f"{id}.residual", f"{label}: {small}", numbers["residual"].mean(), "<=", 0.5)
    claim(
        "model.rank",
        "model without noise: |rank of G - (C - 1)|",
        np.abs(arrays["model rank"] - (local.MODEL["classes"] - 1)).max(),
        "<=",
        0.0,
    )
    theory = "random-matrix theory (Benaych-Georges & Nadakuditi 2012)"
    noises = np.array(_NOISES)
    # The noise at which the predicted outliers are no more than clear of the edge.
    clear = np.interp(-_CLEAR, -arrays["noise predicted"][0] / arrays["noise predicted edge"][0], noises)
    below, above = noises <= 0.9 * clear, noises >= 1.1 * clear
    off = np.abs(arrays["noise outlier"].mean(axis=0) / arrays["noise predicted"][0] - 1)
    claim(
        "model.position",
        "model at equal probabilities: outliers' mean against the prediction, largest relative "
        "difference where there are some",
        off[below].max(),
        "<=",
        0.03,
        theory,
    )
    measured = np.mean([_half(row) for row in arrays["noise overlap"]])
    claim(
        "model.half",
        "model: noise at which outliers' vectors are half in the centres' span, relative difference "
        "to prediction",
        abs(measured / _half(arrays["noise predicted overlap"][0]) - 1),
        "<=",
        0.05,
        theory,
    )
    seen, last = arrays["noise count"].mean(axis=0), local.MODEL["classes"] - 1
    wrong = np.concatenate([np.abs(seen[below] - last), seen[above]])
    claim(
        "model.threshold",
        f"model: outliers clear of the edge by {_CLEAR - 1:.0%}, C - 1 below 0.9 x the noise at which "
        "theory ends them and none above 1.1 x; largest difference, mean over seeds",
        wrong.max(),
        "<=",
        1.0,
        theory,
    )
    return found


def summary(arrays, config):
    """What claims are about, by seed: what the reference guards."""
    found = {}
    for label, numbers in _numbers(arrays, config).items():
        found |= {f"{label}: {name}": np.asarray(v, float) for name, v in numbers.items()}
    for j, noise in enumerate(_NOISES):
        found[f"model, noise {noise:g}: overlap"] = arrays["noise overlap"][:, j]
    return found


def plot(arrays, config):
    """A row for each network, one for the model: cosines; spectra; what moves them."""
    from wedges import plots

    rows = local.rows(config)
    figure, axes = plots.grid(
        len(rows) + 1,
        3,
        title="Logit gradients cluster, and Hessian outliers stand above what the clusters leave\n"
        f"first seed of {config.seeds}, {config.examples} examples; networks in the middle of training",
        panel=(4.3, 3.2),
    )
    for i, (name, source) in enumerate(rows):
        steps, label = arrays[f"{i} steps"][0], f"{name} on {source}"
        get = lambda key, i=i: arrays[f"{i} {key}"][0]
        title = f"{label}, step {steps[_MIDDLE]}"
        _cosine_panel(plots, axes[i, 0], get("cosines")[_MIDDLE], title)
        shown = (get(key)[_MIDDLE] for key in ("hessian", "gauss_newton", "edge"))
        _spectrum_panel(plots, axes[i, 1], *shown)
        ax = axes[i, 2]
        plots.curve(ax, steps, arrays[f"{i} sure"], color=plots.BLUE, label="outliers of H, for certain")
        ax.axhline(get("cosines").shape[-1], color=plots.ORANGE, linestyle=":", label="C")
        plots.training_axis(ax, steps[-1])
        ax.legend(fontsize=7)
        plots.label_axes(ax, title="along training", x="step", y="number above the edge")
    _cosine_panel(plots, axes[-1, 0], arrays["model cosines"][0], "the simple model, half-way")
    _spectrum_panel(
        plots,
        axes[-1, 1],
        arrays["model hessian"][0],
        arrays["model gauss_newton"][0],
        arrays["model edge"][0],
    )
    ax, noises = axes[-1, 2], np.array(_NOISES)
    threshold = arrays["noise threshold"].flat[0]
    plots.curve(
        ax,
        noises,
        arrays["noise overlap"],
        color=plots.BLUE,
        label="share in the centres' span",
        style=" ",
    )
    ax.plot(
        noises, arrays["noise predicted overlap"][0], color=plots.BLUE, linewidth=1, label="predicted"
    )
    excess = arrays["noise outlier"] / arrays["noise predicted edge"]
    plots.curve(ax, noises, 1 / excess, color=plots.GREEN, label="bulk's edge / outliers", style=" ")
    predicted = arrays["noise predicted edge"][0] / arrays["noise predicted"][0]
    ax.plot(noises, predicted, color=plots.GREEN, linewidth=1, label="predicted")
    ax.axvline(threshold, color=plots.ORANGE, linestyle=":", label=f"threshold {threshold:.1f}")
    ax.legend(fontsize=7)
    plots.label_axes(ax, title="model at equal probabilities", x="noise / centre", y="share")
    plots.verdict(figure, claims(arrays, config))
    return figure


def _cosine_panel(plots, ax, cosines, title):
    high = max(0.1, np.abs(cosines).max())
    plots.matrix(ax, cosines, low=-high, high=high, label="mean cosine")
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("logit, another example")
    ax.set_ylabel("logit")


def _spectrum_panel(plots, ax, hessian, inner, edge):
    number = np.arange(1, len(hessian) + 1)
    ax.plot(number, hessian, "o", color=plots.BLUE, label="H")
    ax.plot(number, inner, "x", color=plots.GREEN, label="G")
    ax.axhline(edge, color=plots.GREY, linestyle="--", label="what clusters leave")
    ax.axvline(len(hessian) / 2 + 0.5, color=plots.ORANGE, linestyle=":", label="C")
    ax.set_yscale("log")
    ax.legend(fontsize=7)
    plots.label_axes(ax, title="largest eigenvalues", x="number", y="eigenvalue")


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
