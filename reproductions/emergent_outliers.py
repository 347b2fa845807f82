"""Hessian outliers: logit gradients cluster, and some eigenvalues stand above the bulk, one a class?

Cosines between the logit gradients dz_k of different examples, by logit; the 2 C largest eigenvalues of
H, and of its Gauss-Newton part G, at the start, in the middle and at the end of a training; in the
middle the density of all of H's. Outliers are counted against what the clusters leave: the edge is the
largest eigenvalue of

    H - G + (1/N) sum_i (J_i - c_i)^T (diag p_i - p_i p_i^T) (J_i - c_i),   c_i the mean J of i's class

In the simple model: the same, and outliers against noise, with the prediction of random-matrix theory.

    python -m reproductions.emergent_outliers --preset=quick     digits, two minutes
    python -m reproductions.emergent_outliers                    CIFAR-10 and Fashion-MNIST, half an hour
    python -m reproductions.emergent_outliers --examples=1000 --seeds=1
Source: Fort & Ganguli 2019, arXiv:1910.05929; Papyan 2019, arXiv:1901.08244, for the split by class.
"""

import copy
import functools

import numpy as np

import wedges
from reproductions.bench import cache, parallel, runs
from reproductions.bench.claims import Verdict
from reproductions.common import local, pictures
from reproductions.common.arrays import named, stacked, under

THEORY = "random-matrix theory (Benaych-Georges & Nadakuditi 2012)"
NOISES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0)
_CLUSTERED = 20  # examples whose logit gradients are compared
_CLEAR = 1.02  # times the edge: it scatters by a percent
_MIDDLE = 1  # of three looks: the start, the middle (in log(1 + step / 30)), the end
_HALFWAY = 0.5  # through the model's training, where its spectrum is shown

Config = local.Config


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Per network "<row> name" [seeds, looks, ...] as `outliers` names them, and "density <row> name"
    [1, ...] as `density` does, of the first seed in the middle of training; "model name" [seeds, ...] as
    `outliers_of_model` does, and "noise name" [seeds, noises] as `outliers_in_noise` does."""
    which = [0, config.looks // 2, -1]
    arrays = local.by_row(config, functools.partial(local.along, config, outliers, which=which))
    first = [(row, config.seed) for row in range(len(config.rows))]
    spectra = functools.partial(local.along, config, density, which=[which[_MIDDLE]])
    for row, found in enumerate(parallel.over(spectra, first)):
        arrays |= named(f"density {row}", found)
    models = [cache.cached(outliers_of_model, seed) for seed in config.repeats]
    noises = [
        stacked([cache.cached(outliers_in_noise, seed, noise) for noise in NOISES])
        for seed in config.repeats
    ]
    return arrays | named("model", stacked(models)) | named("noise", stacked(noises))


def outliers(network, theta):
    """ "hessian" and "gauss_newton" [2 C], largest eigenvalues; "sure" [], how many of H are above
    "edge" [] for certain; "cosines" [C, C], mean over pairs of examples; "residual" [], spectral norm of
    H - G."""
    landscape = network.seen
    matrix, inner = wedges.hessian(landscape, theta), wedges.gauss_newton(landscape, theta)
    rows = landscape.output_gradients(theta, min(_CLUSTERED, landscape.size)).numpy()  # [n, C, D]
    classes = rows.shape[1]
    largest = functools.partial(wedges.eigenpairs, seed=0, tolerance=0.01)
    top = largest(matrix, 2 * classes)
    rest = wedges.curvature.residual(landscape, theta)
    ends = [largest(rest, 1, end=e, tolerance=0.05).values[0] for e in ("largest", "smallest")]
    edge = largest(within(landscape, theta, network.labels), 1).values[0]
    return {
        "hessian": top.values,
        "gauss_newton": largest(inner, 2 * classes).values,
        "edge": edge,
        "sure": wedges.curvature.certain(top, edge),
        "cosines": cosines(rows),
        "residual": np.max(np.abs(ends)),
        "loss": landscape(theta),
    }


def density(network, theta):
    """ "values" and "shares" [starts, steps]: quadratures of the spectrum of H, see
    `wedges.spectral_density`."""
    matrix = wedges.hessian(network.seen, theta)
    found = wedges.spectral_density(matrix, samples=2, order=80, seed=0)
    return {"values": found.values, "shares": found.shares}


def within(landscape, theta, labels):
    """H with each class's mean logit gradients taken out of G, an operator.

        sum_i (J_i - c)^T B_i (J_i - c) / N = G - M^T c - c^T M + c^T B c

    c [C C, D] the means by class and logit, M = (1/N) sum of B_i J_i over a class: as many gradients as
    there are rows, then H and a matrix of low rank.
    """
    from scipy.sparse.linalg import LinearOperator

    matrix = wedges.hessian(landscape, theta)
    p = landscape.probabilities(landscape.evaluate(theta).outputs).numpy()
    n, classes = p.shape
    bends = p[:, :, None] * np.eye(classes) - p[:, :, None] * p[:, None]  # [N, C, C]
    means, mixed, sums = [], [], []
    for a in np.unique(labels):
        own = labels == a
        pull = functools.partial(_pulled, landscape, theta, own)
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


def _pulled(landscape, theta, own, weights):
    """sum_i weights_i^T J_i over the examples `own` [N] of a class; weights [N, C] or [1, C]: [D]."""
    weights = (own[:, None] * weights).astype(landscape.dtype.as_numpy_dtype)
    return landscape.output_pullback(theta, weights).numpy()


def cosines(rows):
    """rows [n, C, D] -> [C, C]: mean cosine of dz_k of one example and dz_l of another."""
    flat = rows.reshape(-1, rows.shape[-1])
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    n, classes, _ = rows.shape
    cosines = (unit @ unit.T).reshape(n, classes, n, classes)
    return np.einsum("ikjl,ij->kl", cosines, 1 - np.eye(n)) / (n * (n - 1))


def outliers_of_model(seed):
    """As `outliers`, of the simple model half-way through its training; "rank" of G without noise."""
    simple = local.model(seed)
    point = local.trained(simple, _HALFWAY)
    values, _ = local.spectrum(point)
    last = 2 * simple.classes
    edge = local.spectrum(local.trained(_without_centres(simple), _HALFWAY))[0][0]
    plain = _gauss_newton(local.trained(local.model(seed, noise=0.0), _HALFWAY))
    return {
        "hessian": values[:last],
        "gauss_newton": _gauss_newton(point)[:last],
        "edge": edge,
        "sure": np.sum(values > edge),
        "cosines": cosines(simple.directions[:_CLUSTERED]),
        "rank": np.sum(plain > 1e-10 * plain[0]),
        "residual": np.abs(np.linalg.eigvalsh(point.residual)).max(),
    }


def outliers_in_noise(seed, noise):
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


def separation(cosines):
    """Mean cosine of the same logit minus that of different ones: [..., C, C] -> [...]."""
    classes = cosines.shape[-1]
    same = np.trace(cosines, axis1=-2, axis2=-1) / classes
    return same - (cosines.sum(axis=(-2, -1)) - classes * same) / (classes * (classes - 1))


def _numbers(subject, arrays):
    """{name: [seeds]} in the middle of training; of a network "count"s at start and end, too."""
    own = subject.own(arrays)
    found = {
        "clusters": separation(own["cosines"]),
        "count": own["sure"],
        "residual": own["residual"] / own["hessian"][..., 0],
    }
    if subject.is_model:
        return found
    ends = {"count at the start": found["count"][:, 0], "count at the end": found["count"][:, -1]}
    return {name: values[:, _MIDDLE] for name, values in found.items()} | ends


def classes(subject, arrays):
    """C."""
    return subject.own(arrays)["cosines"].shape[-1]


def _shown(subject, arrays):
    """What is drawn of one subject: its first seed, a network's in the middle of training."""
    where = 0 if subject.is_model else (0, _MIDDLE)
    return {name: values[where] for name, values in subject.own(arrays).items()}


def _against_theory(arrays):
    """How far the model in noise is from theory: "position" of outliers, largest relative difference;
    "half", that of the noise at which their vectors are half in the centres' span; "threshold", largest
    difference in their number on either side of the noise that ends them."""
    noise = under("noise", arrays)
    predicted, edge = noise["predicted"][0], noise["predicted edge"][0]  # [noises]
    # The noise at which the predicted outliers are no more than clear of the edge.
    clear = np.interp(-_CLEAR, -predicted / edge, NOISES)
    below, above = np.array(NOISES) <= 0.9 * clear, np.array(NOISES) >= 1.1 * clear
    position = np.abs(noise["outlier"].mean(axis=0) / predicted - 1)[below]
    half = np.mean([_half(row) for row in noise["overlap"]]) / _half(noise["predicted overlap"][0])
    seen, last = noise["count"].mean(axis=0), local.MODEL["classes"] - 1
    wrong = np.concatenate([np.abs(seen[below] - last), seen[above]])
    return {"position": position.max(), "half": abs(half - 1), "threshold": wrong.max()}


def _half(overlap):
    """The noise at which the overlap [noises] falls through a half."""
    return wedges.compare.first_crossing(NOISES, overlap, 0.5, falling=True)


def judged(arrays, config):
    """{claim: number}, means over seeds."""
    found = {"model.rank": np.abs(arrays["model rank"] - (local.MODEL["classes"] - 1)).max()}
    for subject in config.subjects:
        n = {name: values.mean() for name, values in _numbers(subject, arrays).items()}
        found[f"{subject.id}.clusters"] = n["clusters"]
        found[f"{subject.id}.count"] = abs(n["count"] - classes(subject, arrays))
        found[f"{subject.id}.residual"] = n["residual"]
    return found | {f"model.{name}": off for name, off in _against_theory(arrays).items()}


CLUSTERS = "Logit gradients cluster, which a simple model turns into all four properties."
OUTLIERS = "Outlier eigenvalues stand above the Hessian's bulk, one for each class."


def claims(arrays, config):
    """Clusters; one outlier per class; in the model rank C - 1 and random-matrix theory's numbers."""
    claim = Verdict("emergent.outliers", local.SOURCE, judged(arrays, config))
    clusters = "mean cosine of logit gradients of two examples, same logit minus different logits"
    above = "outliers of H above what the clusters leave"
    residual = "spectral norm of H - G over the largest eigenvalue of H"
    for subject in config.subjects:
        own, count = claim.about(f"{subject.id}.*", subject.label), f"C = {classes(subject, arrays)}"
        own("clusters", clusters, ">=", 0.1, says=CLUSTERS)
        own("count", f"|{above}, minus {count}, mean over seeds|", "<=", 1.0, says=OUTLIERS)
        own("residual", residual, "<=", 0.5)
    claim("model.rank", "model without noise: |rank of G - (C - 1)|", "<=", 0.0)
    position = "model at equal probabilities: outliers' mean against the prediction, largest relative "
    position += "difference where there are some"
    half = "model: noise at which outliers' vectors are half in the centres' span, relative difference "
    half += "to prediction"
    threshold = f"model: outliers clear of the edge by {_CLEAR - 1:.0%}, C - 1 below 0.9 x the noise at "
    threshold += "which theory ends them and none above 1.1 x; largest difference, mean over seeds"
    claim("model.position", position, "<=", 0.03, source=THEORY)
    claim("model.half", half, "<=", 0.05, source=THEORY)
    claim("model.threshold", threshold, "<=", 1.0, source=THEORY)
    return claim.claims


def summary(arrays, config):
    """What the claims about networks are about, and the model's overlaps, by seed: what the reference
    guards."""
    found = {}
    for subject in config.subjects:
        own = _numbers(subject, arrays)
        found |= {f"{subject.label}: {name}": np.asarray(v, float) for name, v in own.items()}
    overlap = arrays["noise overlap"]
    return found | {f"model, noise {x:g}: overlap": overlap[:, j] for j, x in enumerate(NOISES)}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Spectra of two networks, outliers along training, clusters; the simple model."""
    title = f"{_finding(arrays, config)}\n{config.examples} examples, "
    title += (
        f"{pictures.counted(config.seeds, 'seed')}; spectra and cosines: the first, networks in the "
    )
    title += "middle of training"
    networks = [subject for subject in config.subjects if not subject.is_model]
    shown = networks[:2]
    figure, axes = pictures.panels(4 + len(shown), title=title, panel=(4.3, 2.9))
    letters = [f"({letter})" for letter in "abcdef"]
    for ax, letter, subject in zip(axes, letters, shown, strict=False):
        _draw_spectrum(ax, subject, arrays, letter)
    count, cosine, model, noise = axes[len(shown) :]
    of_count, of_cosine, of_model, of_noise = letters[len(shown) : len(axes)]
    _draw_count(count, networks, arrays, of_count)
    _draw_cosines(cosine, shown[0], arrays, of_cosine)
    _draw_model(model, config.subjects[-1], arrays, of_model)
    _draw_noise(noise, under("noise", arrays), of_noise)
    return figure


def _finding(arrays, config):
    """Whether logit gradients cluster, and how many outliers networks have, by the bounds of claims."""
    numbers, networks = judged(arrays, config), [s for s in config.subjects if not s.is_model]
    found = [_numbers(s, arrays)["count"].mean() for s in networks]
    cluster = all(numbers[f"{s.id}.clusters"] >= 0.1 for s in networks)
    words = f"Logit gradients {'cluster' if cluster else 'do not cluster'}"
    number = pictures.listed([f"{n:.1f}".removesuffix(".0") for n in found])
    each = pictures.listed(sorted({str(classes(s, arrays)) for s in networks}))
    if all(numbers[f"{s.id}.count"] <= 1 for s in networks):
        return (
            f"{words}, and above what they leave stand {number} outliers, one for each of {each} classes"
        )
    noun = "eigenvalue of H stands" if found == [1] else "eigenvalues of H stand"
    return f"{words}; above what they leave {number} {noun}, not one for each of {each} classes"


def _draw_spectrum(ax, subject, arrays, letter):
    """The density of eigenvalues, those above the edge for certain marked; the largest by their number
    where the density was not measured."""
    shown, found = _shown(subject, arrays), under(f"density {subject.prefix}", arrays)
    above = shown["hessian"][: int(shown["sure"])]
    title = f"{letter} {local.heading(subject)}, step {shown['steps']:,}"
    if not found:
        _draw_largest(ax, shown, title)
        return
    spectrum = wedges.curvature.Density(found["values"][0], found["shares"][0], 0)
    wedges.plots.density(spectrum, outliers=above, title=title, ax=ax)
    left = ax.get_xlim()[0]
    _draw_edge(ax.axvspan, left, shown["edge"])
    ax.set_xlim(left=left)
    handles, names = ax.get_legend_handles_labels()
    names = [name if "clusters" in name else f"{len(above)} of H above" for name in names]
    ax.legend(handles, names, loc="upper right", fontsize=8.5)


def _draw_edge(span, low, edge):
    """Shade from the lowest value shown to what the clusters leave."""
    look = {"color": wedges.plots.GREY, "alpha": 0.13, "linewidth": 0}
    span(low, edge, label="what clusters leave", **look)


def _draw_largest(ax, shown, title):
    """The largest eigenvalues of H and G by their number, and what the clusters leave."""
    plots, number = wedges.plots, np.arange(1, len(shown["hessian"]) + 1)
    ax.plot(number, shown["hessian"], "o", color=plots.BLUE, label="H")
    ax.plot(number, shown["gauss_newton"], "x", color=plots.ORANGE, label="G")
    low = 0.8 * min(
        shown["hessian"].min(), shown["gauss_newton"][: len(number) // 2].min(), shown["edge"]
    )
    if low > 0:
        ax.set_yscale("log")
    _draw_edge(ax.axhspan, low, shown["edge"])
    ax.set_ylim(bottom=low)
    plots.label_axes(ax, title=title, x="number, from the largest", y="eigenvalue", legend=8)


def _draw_count(ax, networks, arrays, letter):
    """How many eigenvalues of H are above the edge for certain, along training."""
    last, each = 0, max(classes(subject, arrays) for subject in networks)
    for subject, look in zip(networks, pictures.looks(), strict=False):
        own = subject.own(arrays)
        last = max(last, own["steps"][0][-1])
        label = local.heading(subject).partition(" on ")[0]
        wedges.plots.curve(ax, own["steps"][0], own["sure"], label=label, **look)
    ax.axhline(each, color="black", linewidth=1, linestyle="--", label=f"one for each of {each} classes")
    pictures.training_axis(ax, last)
    ax.set_ylim(bottom=0)
    words = f"{letter} How many stand above what clusters leave"
    wedges.plots.label_axes(ax, title=words, x="step (logarithmic from 30 on)", y="outliers", legend=8)


def _draw_cosines(ax, subject, arrays, letter):
    cosines = _shown(subject, arrays)["cosines"]
    high = max(0.1, np.abs(cosines).max())
    wedges.plots.matrix(ax, cosines, low=-high, high=high, label="mean cosine")
    name = local.heading(subject).partition(" on ")[0]
    words = f"{letter} {name}: cosines of logit gradients"
    wedges.plots.label_axes(ax, title=words, x="logit, another example", y="logit", grid=False)


def _draw_model(ax, subject, arrays, letter):
    shown = _shown(subject, arrays)
    words = f"{letter} The simple model half-way: {int(shown['sure'])} outliers"
    _draw_largest(ax, shown, words)


def _draw_noise(ax, noise, letter):
    """The model's outliers and their vectors against the noise; lines are what theory says."""
    plots = wedges.plots
    edge, threshold = noise["predicted edge"], noise["threshold"].flat[0]
    overlap, ratio = noise["predicted overlap"], edge / noise["predicted"]
    for values, theory, color, marker, label in (
        (noise["overlap"], overlap, plots.BLUE, "o", "vectors in the centres' span"),
        (edge / noise["outlier"], ratio, plots.ORANGE, "s", "bulk's edge / outliers"),
    ):
        plots.curve(ax, NOISES, values, color=color, label=label, marker=marker, style=" ")
        ax.plot(NOISES, theory[0], color=color, linewidth=1)
    ax.axvline(threshold, color="black", linestyle="--", linewidth=1, label="theory: none beyond")
    words = f"{letter} The simple model, and random-matrix theory (lines)"
    plots.label_axes(ax, title=words, x="noise / distance of centres", y="fraction", legend=8)


if __name__ == "__main__":
    runs.main(__name__)
