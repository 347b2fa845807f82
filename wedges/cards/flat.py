"""Is it flat? Curvature at a checkpoint, layer by layer, and how far the loss rises around it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.linalg

from wedges import curvature, probe
from wedges.cards.budget import PRODUCT, TRACING, Cost, Cut, count, timed, too_long
from wedges.cards.judging import mean_target_loss
from wedges.cards.subject import Subject

_ORDER, _STARTS, _SIGNS = 60, 2, 30  # Lanczos steps and starts, and products for the trace, at full size
_FEWEST_STEPS, _FEWEST_SIGNS, _TOP = 8, 3, 5
_DIRECTIONS, _LOOKS = 12, 34  # of the widths, and losses along one of them
_FAR = 1.5  # times the seconds there are: what is expected to take longer is not tried
_BOX, _ASCENTS = 1e-3, 8  # Keskar et al.'s epsilon, and steps of ascent in their box
_RADIUS = 0.05  # Foret et al.'s rho
_SMALL = 1e-3  # nats, of which nobody asks where there is twice as much
_ROUNDING = 1e-8  # of a regression's loss, in shares of that of its mean target


# ---- curvature --------------------------------------------------------------------------------------


def curvature_cost(subject: Subject, n: int) -> Cost:
    """On n examples; a graph of the Hessian is traced once for all checkpoints, or for each."""
    fresh = 1 if subject.not_shared or subject.has_batch_norm else 1 / subject.count
    each, tracing = PRODUCT * n * subject.rates.gradient, fresh * TRACING * subject.rates.tracing
    least, full = _FEWEST_STEPS + _FEWEST_SIGNS + 4, _ORDER * _STARTS + _SIGNS + 4
    return Cost(1.2 * least * each + tracing, full * each + tracing)


def sharp(subject: Subject, k: int, seconds: float) -> dict[str, Any]:
    """Eigenvalues, trace, spectral density and layers of the Hessian at checkpoint k.

    Lanczos from a random start gives both ends of the spectrum with their residuals, |H v - value v|: an
    eigenvalue is that near for certain. The same numbers are a quadrature of the whole spectrum.
    Products with vectors g of random signs give the trace, the mean of g.Hg, and that of each layer's
    block, the mean of the layer's part of that sum.

    Raises:
      Cut: too few products fit, or the loss has no second derivatives.
    """
    begin = time.monotonic()
    least = curvature_cost(subject, subject.working).least
    if least > _FAR * max(seconds, 0.0):  # products are cheaper than was thought, but not by so much
        raise too_long("it", least, seconds)
    landscape, theta = subject.at(k), subject.thetas[k]
    rng = np.random.default_rng([subject.seed, 1])
    dimension = subject.dimension
    H = curvature.hessian(landscape, theta)
    start = lambda: rng.standard_normal(dimension).astype(H.dtype)
    try:
        H.matvec(start())
    except ValueError as error:
        raise Cut(" ".join(str(error).split())) from None
    _, each = timed(lambda: H.matvec(start()))
    left = seconds - (time.monotonic() - begin)
    signs = count(0.25 * left, each, _FEWEST_SIGNS, _SIGNS, "products for the trace")
    order = count(0.7 * left, each, min(_FEWEST_STEPS, dimension), _ORDER, "steps of Lanczos")
    starts = max(1, min(_STARTS, int(0.7 * left / (each * order)) if each > 0 else _STARTS))
    runs = [curvature.lanczos(H, start(), order, keep=i == 0) for i in range(starts)]
    (values, shares), ends = _quadratures(runs, order), _ends(runs[0])
    _, gradient = landscape.value_and_gradient(theta)
    gradient = np.asarray(gradient, np.float64)
    trace, layers = _layers(subject, H, theta, gradient, ends["vector"], signs)
    return {
        "checkpoint": subject.names[k],
        "examples": landscape.size,
        "products": sum(len(run.diagonal) for run in runs) + signs + 2,
        "top": ends["top"],
        "top_residuals": ends["top_residuals"],
        "lowest": ends["lowest"],
        "lowest_residual": ends["lowest_residual"],
        "trace": trace[0],
        "trace_error": trace[1],
        "gradient_norm": float(np.linalg.norm(gradient)),
        "density": {"values": values, "shares": shares},
        "layers": layers,
    }


def _ends(run):
    """Both ends of a spectrum, as Lanczos found them, and the vector of the largest value."""
    m = len(run.diagonal)
    values, vectors = scipy.linalg.eigh_tridiagonal(run.diagonal, run.beside[: m - 1])
    off = np.abs(run.beside[-1] * vectors[-1]) if m < run.basis.shape[1] else np.zeros(m)
    off = np.maximum(off, np.finfo(run.basis.dtype).eps * np.abs(values).max())  # rounding at least
    few = slice(None, -_TOP - 1, -1)
    return {
        "top": values[few],
        "top_residuals": off[few],
        "lowest": values[0],
        "lowest_residual": off[0],
        "vector": vectors[:, -1].astype(run.basis.dtype) @ run.basis,
    }


def _quadratures(runs, order):
    """Values and shares [S, m], padded with shares of 0."""
    values, shares = np.zeros((2, len(runs), order))
    for row, weights, run in zip(values, shares, runs, strict=True):
        m = len(run.diagonal)
        row[:m], vectors = scipy.linalg.eigh_tridiagonal(run.diagonal, run.beside[: m - 1])
        weights[:m] = vectors[0] ** 2
    return values, shares


def _layers(subject, H, theta, gradient, vector, signs):
    """The trace with its standard error, and of each layer what it has of everything."""
    # Draws of their own: a trace depends on the number of its products, and not on that of other ones.
    of, rng = subject.space.layers, np.random.default_rng([subject.seed, 4])
    sums = np.empty((signs, len(of)))
    for row in sums:
        g = rng.choice(np.array([-1, 1], H.dtype), subject.dimension)
        product = g.astype(np.float64) * H.matvec(g)
        row[:] = [product[where].sum() for where in of.values()]
    error = lambda samples: np.std(samples, axis=0, ddof=1) / np.sqrt(len(samples))
    total = sums.sum(axis=1)
    norm = lambda v, where: float(np.linalg.norm(v[where].astype(np.float64)))
    layers = [
        {
            "layer": path,
            "weights": len(where),
            "norm": norm(theta, where),
            "gradient": norm(gradient, where),
            "trace": mean,
            "trace_error": each,
            "share_of_top": norm(vector, where) ** 2,
        }
        for (path, where), mean, each in zip(of.items(), sums.mean(axis=0), error(sums), strict=True)
    ]
    return (total.mean(), error(total)), layers


# ---- how far it rises -------------------------------------------------------------------------------


def rise_cost(subject: Subject, n: int) -> Cost:
    """On n examples: gradients for sharpness, losses for widths."""
    gradients = (_ASCENTS + 2) * subject.rates.gradient
    fresh = subject.rates.tracing * (1.5 if subject.has_batch_norm else 0.5)
    widths = _DIRECTIONS * _LOOKS * subject.rates.forward
    return Cost(n * gradients + fresh, n * (gradients + widths) + fresh)


def rise(subject: Subject, k: int, seconds: float) -> dict[str, Any]:
    """Widths along random directions, and the sharpness of Keskar et al. and of Foret et al.

        phi = 100 (max L(theta + v) - L) / (1 + L),  |v_i| <= 0.001 (|theta_i| + 1)
        L(theta + rho g / |g|) - L,  rho = 0.05,  g the gradient

    The maximum is looked for by projected ascent along the gradient's signs; what is found is a lower
    bound of it.

    Widths are left out where fewer than two directions fit, or the loss is 0.

    Raises:
      Cut: the gradients do not fit.

    Source: Keskar et al. 2017 (arXiv:1609.04836); Foret et al. 2021 (arXiv:2010.01412).
    """
    begin = time.monotonic()
    gradients = rise_cost(subject, subject.working).least
    if gradients > max(seconds, 0.0):
        raise too_long("it", gradients, seconds)
    landscape, theta = subject.at(k), subject.thetas[k]
    loss, gradient = (np.asarray(a) for a in landscape.value_and_gradient(theta))
    found: dict[str, Any] = {
        "checkpoint": subject.names[k],
        "examples": landscape.size,
        "loss": float(loss),
        **_sharpness(landscape, theta, float(loss), gradient),
    }
    without = {**found, "directions": 0, "widths": []}
    if not np.isfinite(loss):
        return {**without, "left_out": "the loss is not finite"}
    thresholds = _thresholds(landscape, float(loss))
    if not thresholds:
        why = "the loss is not above 0, rounding aside, so that twice as much says nothing"
        return {**without, "left_out": why}
    left = seconds - (time.monotonic() - begin)
    try:
        each = _LOOKS * subject.look(left, k)
        left = seconds - (time.monotonic() - begin) - subject.tracing(landscape, "losses")
        directions = count(left, each, 2, _DIRECTIONS, "directions of a width")
        subject.ran(landscape, "losses")
    except Cut as cut:
        return {**without, "left_out": str(cut)}
    v = probe.isotropic(subject.dimension, directions, seed=[subject.seed, 2], dtype=theta.dtype)
    widths: Any = probe.tunnel_width(landscape, theta, v, list(thresholds.values()))
    found["directions"] = directions
    found["widths"] = [
        {
            "threshold": name,
            "level": width.threshold,
            "mean": width.mean,
            "error": width.error,
            "angle": width.angle,
            "never": int(width.censored.sum()),
        }
        for name, width in zip(thresholds, widths, strict=True)
    ]
    return found


def _thresholds(landscape, loss):
    """{what it is called: a loss that distances are measured to}; none of a loss of 0 but for rounding.

    Of classes 0.1 and 1 more, in nats. What is small depends on the units of a regression's targets,
    and is held against the loss of their mean as the answer for all.
    """
    classes = any(landscape.readout.counted)
    found = {f"{rise:g} more": loss + rise for rise in ((0.1, 1.0) if classes else ())}
    if loss > (_SMALL if classes else _ROUNDING * (mean_target_loss(landscape) or 0.0)):
        found["twice the loss"] = 2 * loss
    return found


def _sharpness(landscape, theta, loss, gradient):
    length = float(np.linalg.norm(gradient.astype(np.float64)))
    along = gradient / length if 0 < length < np.inf else gradient
    box = (_BOX * (np.abs(theta) + 1)).astype(theta.dtype)
    highest, v = loss, np.zeros_like(theta)
    slope = gradient
    for _ in range(_ASCENTS):
        v = np.clip(v + box / 4 * np.sign(slope), -box, box).astype(theta.dtype)
        value, slope = (np.asarray(a) for a in landscape.value_and_gradient(theta + v))
        highest = max(highest, float(value))
    there = float(landscape(theta + theta.dtype.type(_RADIUS) * along))
    return {
        "gradient_norm": length,
        "epsilon": _BOX,
        "epsilon_sharpness": 100 * (highest - loss) / (1 + loss),
        "rho": _RADIUS,
        "rho_sharpness": there - loss,
    }
