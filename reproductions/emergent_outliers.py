"""Hessian outliers: logit gradients cluster, and some eigenvalues stand above the bulk, one a class?

Cosines between the logit gradients dz_k of different examples, by logit; the 2 C largest eigenvalues of
H, and of its Gauss-Newton part G, at the start, in the middle and at the end of a training, with the
density of all of H's. Outliers are counted twice. Against what the clusters leave: the edge is the
largest eigenvalue of

    H - G + (1/N) sum_i (J_i - c_i)^T (diag p_i - p_i p_i^T) (J_i - c_i),   c_i the mean J of i's class

And against the bulk itself, whose edge random-matrix theory finds in the density (`wedges.bulk_edge`);
once more so, for the first seed in the middle of training, with many more examples in H. In the simple
model: the first count, and outliers against noise, with the prediction of random-matrix theory.

    python -m reproductions.emergent_outliers --preset=quick     digits, two minutes
    python -m reproductions.emergent_outliers                    CIFAR-10 and Fashion-MNIST, 50 minutes
    python -m reproductions.emergent_outliers --examples=1000 --seeds=1
Source: Fort & Ganguli 2019, arXiv:1910.05929; Papyan 2019, arXiv:1901.08244, for the split by class;
Abi Younes, Ding & Trogdon 2025, arXiv:2504.03066, for the bulk's edge.
"""

import copy
import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import at_least, option
from reproductions.common import local, networks, pictures
from reproductions.common.arrays import named, stacked, under

THEORY = "random-matrix theory (Benaych-Georges & Nadakuditi 2012)"
NOISES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 17.0, 20.0)
_CLUSTERED = 20  # examples whose logit gradients are compared
_CLEAR = 1.02  # times the edge: it scatters by a percent
_LARGEST = 4  # eigenvalues that the reference guards
_MIDDLE = 1  # of three looks: the start, the middle (in log(1 + step / 30)), the end
_HALFWAY = 0.5  # through the model's training, where its spectrum is shown

_STARTS, _STEPS = 2, 80  # of Lanczos, whatever the number of examples
_AT_ONCE = 100  # of many examples: of 50 to 500 the fastest
_LEFT, _EDGE = "what clusters leave", "the bulk's edge"  # in the picture


@options.settings
class Config(local.Config):
    """Settings of the figure."""

    many: int = option(
        "examples in the Hessian whose bulk is looked at once more, as many as the data set has",
        at_least(10),
        paper=50_000,
        quick=1000,
        smoke=200,
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Per network "<row> name" [seeds, looks, ...] as `outliers` names them, "density <row> name" as
    `density` does, and "many <row> name" [1, 1, ...] as `many` does, of the first seed in the middle of
    training; to these two "edge", "clear" and "above", see `beyond`; "model name" [seeds, ...] as
    `outliers_of_model` does, and "noise name" [seeds, noises] as `outliers_in_noise` does."""
    which = [0, config.looks // 2, -1]
    looked = functools.partial(local.along, config, which=which)
    arrays = local.by_row(config, functools.partial(looked, outliers))
    spectra = local.by_row(config, functools.partial(looked, density))
    larger = dataclasses.replace(config, examples=config.many, seeds=1)
    again = local.by_row(larger, functools.partial(local.along, larger, many, which=[which[_MIDDLE]]))
    for row in map(str, range(len(config.rows))):
        dense, more = under(row, spectra), under(row, again)
        arrays |= named(f"density {row}", dense | beyond(dense, under(row, arrays)))
        arrays |= named(f"many {row}", more | beyond(more, more))
    models = [cache.cached(outliers_of_model, seed) for seed in config.repeats]
    noises = [
        stacked([cache.cached(outliers_in_noise, seed, noise) for noise in NOISES])
        for seed in config.repeats
    ]
    return arrays | named("model", stacked(models)) | named("noise", stacked(noises))


def outliers(network, theta):
    """ "hessian", with "residuals", and "gauss_newton" [2 C], largest eigenvalues; "sure" [], how many
    of H are above "edge" [] for certain; "cosines" [C, C], mean over pairs of examples; "residual" [],
    spectral norm of H - G."""
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
        "residuals": top.residuals,
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
    found = wedges.spectral_density(matrix, samples=_STARTS, order=_STEPS, seed=0)
    return {"values": found.values, "shares": found.shares}


def many(network, theta):
    """Of H on the first `network.examples` of the data set: "values" and "shares" [starts, steps] of its
    density; "hessian" and "residuals" [2 C], its largest eigenvalues, as the first start finds them;
    "examples" [], how many there were."""
    data = network.problem.source.load()
    some = (data.x_train[: network.examples], data.y_train[: network.examples])
    landscape = networks.landscape(network.problem).on(*some, evaluation_batch_size=_AT_ONCE)
    matrix = wedges.hessian(landscape, theta)
    starts = np.random.default_rng(0).standard_normal((_STARTS, landscape.dimension))
    with progress.bar("many examples", total=_STARTS * _STEPS, unit="product") as shown:
        steps = lambda start: wedges.curvature.lanczos(matrix, start, _STEPS, done=shown.update)
        found = [wedges.curvature.ritz(steps(start)) for start in starts]
    values, shares, residuals = np.stack(found, axis=1)
    last = -2 * data.classes - 1
    return {
        "values": values,
        "shares": shares,
        "hessian": values[0, :last:-1],
        "residuals": residuals[0, :last:-1],
        "examples": landscape.size,
    }


def beyond(spectrum, largest):
    """Of densities [seeds, looks, starts, steps] the bulk's "edge" and where outliers begin, "clear",
    both [seeds, looks]; "above", how many of the "hessian"'s largest [seeds, looks, 2 C] are beyond that
    for certain; NaN where there is no bulk."""
    found = []
    for where in np.ndindex(spectrum["values"].shape[:2]):
        values, shares = spectrum["values"][where], spectrum["shares"][where]
        bulk = wedges.bulk_edge(wedges.curvature.Density(values, shares, 0))
        above = certain(largest["hessian"][where], largest["residuals"][where], bulk.clear)
        found.append([bulk.upper, bulk.clear, above])
    edge, clear, above = np.reshape(found, (*spectrum["values"].shape[:2], 3)).transpose(2, 0, 1)
    return {"edge": edge, "clear": clear, "above": above}


def certain(values, residuals, floor):
    """How many eigenvalues [k], the largest first, are above a floor for certain; NaN if that is one.

    A number of the largest is certain with the residuals of these alone: what is not yet found further
    down does not matter.
    """
    if np.isnan(floor):
        return np.nan
    first = lambda k: wedges.curvature.Eigenpairs(values[:k], None, residuals[:k], 0)
    return max(wedges.curvature.certain(first(k), floor) for k in range(1, len(values) + 1))


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
    """{name: [seeds]} in the middle of training; of a network "count"s and "bulk"s at start and end,
    too; "many" of its first seed."""
    own = subject.own(arrays)
    found = {
        "clusters": separation(own["cosines"]),
        "count": own["sure"],
        "residual": own["residual"] / own["hessian"][..., 0],
    }
    if subject.is_model:
        return found
    found["bulk"] = _apart(subject, arrays)["above"]
    ends = {
        f"{name} at the {end}": found[name][:, look]
        for name in ("count", "bulk")
        for end, look in (("start", 0), ("end", -1))
    }
    middle = {name: values[:, _MIDDLE] for name, values in found.items()}
    return middle | ends | {"many": _apart(subject, arrays, "many")["above"][:, 0]}


def _behind(subject, arrays):
    """{name: [seeds]} what is behind a network's counts in the middle of training: the bulk's edge and
    the largest eigenvalues; with more examples, "many", of the first seed."""
    own, few, more = subject.own(arrays), _apart(subject, arrays), _apart(subject, arrays, "many")
    found = {"bulk's edge": few["edge"][:, _MIDDLE], "bulk's edge, many": more["edge"][:, 0]}
    for i in range(_LARGEST):
        found[f"eigenvalue {i + 1}"] = own["hessian"][:, _MIDDLE, i]
        found[f"eigenvalue {i + 1}, many"] = more["hessian"][:, 0, i]
    return found


def _apart(subject, arrays, kind="density"):
    """What is known of a network's bulk, see `measure`."""
    return under(f"{kind} {subject.prefix}", arrays)


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
        if not subject.is_model:
            for name in ("bulk", "many"):
                found[f"{subject.id}.{name}"] = abs(n[name] - classes(subject, arrays))
    return found | {f"model.{name}": off for name, off in _against_theory(arrays).items()}


CLUSTERS = "Logit gradients cluster, which a simple model turns into all four properties."
OUTLIERS = "Outlier eigenvalues stand above the Hessian's bulk, one for each class."


def claims(arrays, config):
    """Clusters; one outlier per class, by each count; in the model rank C - 1 and theory's numbers."""
    claim = Verdict("emergent.outliers", local.SOURCE, judged(arrays, config))
    clusters = "mean cosine of logit gradients of two examples, same logit minus different logits"
    above = "outliers of H above what the clusters leave"
    bulk = "outliers of H above its bulk, whose edge random-matrix theory finds in its density"
    residual = "spectral norm of H - G over the largest eigenvalue of H"
    for subject in config.subjects:
        own, count = claim.about(f"{subject.id}.*", subject.label), f"C = {classes(subject, arrays)}"
        own("clusters", clusters, ">=", 0.1, says=CLUSTERS)
        own("count", f"|{above}, minus {count}, mean over seeds|", "<=", 1.0, says=OUTLIERS)
        if not subject.is_model:
            own("bulk", f"|{bulk}, minus {count}, mean over seeds|", "<=", 1.0, says=OUTLIERS)
            more = f"with up to {config.many:,} examples, first seed"
            own("many", f"|{bulk}, {more}, minus {count}|", "<=", 1.0, says=OUTLIERS)
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


def _examples(subject, arrays):
    """How many there were in the larger Hessian."""
    return int(_apart(subject, arrays, "many")["examples"].flat[0])


def summary(arrays, config):
    """What the claims are about, edges, largest eigenvalues and the model's overlaps, by seed: what the
    reference guards."""
    found = {}
    for subject in config.subjects:
        own = _numbers(subject, arrays) | ({} if subject.is_model else _behind(subject, arrays))
        found |= {f"{subject.label}: {name}": np.asarray(v, float) for name, v in own.items()}
    found["model: rank"] = np.asarray(arrays["model rank"], float)
    overlap = arrays["noise overlap"]
    noise = named("noise", under("noise", arrays))
    seeds = [{k: v[i : i + 1] for k, v in noise.items()} for i in range(len(overlap))]
    found |= {f"model: {k}": v for k, v in stacked([_against_theory(one) for one in seeds]).items()}
    found |= {f"model, noise {x:g}: overlap": overlap[:, j] for j, x in enumerate(NOISES)}
    # Where there is no bulk there is no count.
    return {name: known for name, values in found.items() if len(known := values[np.isfinite(values)])}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Spectra of two networks, outliers along training, clusters; the simple model."""
    title = f"{_finding(arrays, config)}\n{_of_bulk(arrays, config)}\n{config.examples} examples, "
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
    number = _listed(found)
    each = pictures.listed(sorted({str(classes(s, arrays)) for s in networks}))
    if all(numbers[f"{s.id}.count"] <= 1 for s in networks):
        return (
            f"{words}, and above what they leave stand {number} outliers, one for each of {each} classes"
        )
    noun = "eigenvalue of H stands" if found == [1] else "eigenvalues of H stand"
    return f"{words}; above what they leave {number} {noun}, not one for each of {each} classes"


def _of_bulk(arrays, config):
    """How many outliers networks have above the bulk's edge, and with many examples."""
    networks = [s for s in config.subjects if not s.is_model]
    bulk, many = (
        _listed([_numbers(s, arrays)[name].mean() for s in networks]) for name in ("bulk", "many")
    )
    return f"Above the bulk's edge: {bulk}; with {_many(networks, arrays)} examples: {many}"


def _many(networks, arrays):
    """How many examples there were in the larger Hessians: "50,000"."""
    return pictures.listed(sorted({f"{_examples(subject, arrays):,}" for subject in networks}))


def _listed(numbers):
    """Mean counts: "3.7 and 1"."""
    return pictures.listed([f"{n:.1f}".removesuffix(".0") for n in numbers])


def _draw_spectrum(ax, subject, arrays, letter):
    """The density of eigenvalues, those above what clusters leave for certain marked, and both edges."""
    shown, found = _shown(subject, arrays), _apart(subject, arrays)
    above = shown["hessian"][: int(shown["sure"])]
    title = f"{letter} {local.heading(subject)}, step {shown['steps']:,}"
    values, shares, edge = (found[name][0, _MIDDLE] for name in ("values", "shares", "edge"))
    spectrum = wedges.curvature.Density(values, shares, 0)
    wedges.plots.density(spectrum, outliers=above, title=title, ax=ax)
    left = ax.get_xlim()[0]
    _draw_edge(ax.axvspan, left, shown["edge"])
    if np.isfinite(edge):
        ax.axvline(edge, color=wedges.plots.GREEN, linestyle="--", linewidth=1.3, label=_EDGE)
    ax.set_xlim(left=left)
    handles, names = ax.get_legend_handles_labels()
    names = [name if name in (_LEFT, _EDGE) else f"{len(above)} of H above" for name in names]
    ax.legend(handles, names, loc="upper right", fontsize=8.5)


def _draw_edge(span, low, edge):
    """Shade from the lowest value shown to what the clusters leave."""
    look = {"color": wedges.plots.GREY, "alpha": 0.13, "linewidth": 0}
    span(low, edge, label=_LEFT, **look)


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
    """How many eigenvalues of H are above either edge for certain, along training; with many examples a
    star."""
    plots = wedges.plots
    last, each = 0, max(classes(subject, arrays) for subject in networks)
    for subject, look in zip(networks, pictures.looks(), strict=False):
        own, bulk, more = subject.own(arrays), *(_apart(subject, arrays, k) for k in ("density", "many"))
        steps = own["steps"][0]
        last = max(last, steps[-1])
        plots.curve(ax, steps, own["sure"], label=local.heading(subject).partition(" on ")[0], **look)
        plots.curve(ax, steps, bulk["above"], label="_", style="--", **look)
        ax.plot(more["steps"][0], more["above"][0], "*", color=look["color"], markersize=13)
    for style, words in (("-", f"above {_LEFT}"), ("--", f"above {_EDGE}")):
        ax.plot([], [], style, color=plots.GREY, label=words)
    words = f"the same, {_many(networks, arrays)} examples"
    ax.plot([], [], "*", color=plots.GREY, markersize=9, label=words)
    ax.axhline(each, color="black", linewidth=1, linestyle=":", label=f"one for each of {each} classes")
    pictures.training_axis(ax, last)
    ax.set_ylim(bottom=0)
    words = f"{letter} How many stand above either edge"
    plots.label_axes(ax, title=words, x="step (logarithmic from 30 on)", y="outliers", legend=7)


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
