"""How rough the loss looks from a point: the roughness index, and what it really sees.

    variation            total variation of a slice over its range, from 1 on
    turnings             how often a slice turns from falling to rising, or back
    quadratic_variation  the variation of g s + h s^2 / 2 for |s| <= l, in closed form
    index                deviation over mean of the variations of many slices
    roughness_index      all of it, along random directions of any landscape: a `Roughness`

A slice is s -> L(theta + s d) on [-l, l]. With ends a, b and the minimum c between them, a unimodal one
has the variation 1 + min(a - c, b - c) / max(a - c, b - c), which lies between 1 (monotone) and 2
(symmetric). So of unimodal slices the index is at most `UNIMODAL` = 1 / (2 sqrt 2), and it is 0 at the
centre of a bowl of any condition number, as it is on a slope: it tells how unequally far off their
minima the slices are. Roughness in the word's own sense, more than one minimum in a slice, is in
`Roughness.excess` and `Roughness.multimodal`.

Source: Wu, Jian, Du, Chen & Zhou 2021 (arXiv:2103.11069) and the code that its authors have published.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wedges import _checks, probe
from wedges._progress import bar
from wedges._repr import short

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.landscape import Landscape

UNIMODAL = 1 / (2 * np.sqrt(2))  # the largest deviation over mean of numbers between 1 and 2
PUBLISHED = ("grid", "biases")
# Differences of losses below so many units in the last place of the largest are rounding.
_ROUNDING = 8


class Roughness(NamedTuple):
    """How rough a landscape is around a point, by M slices of m + 1 points each.

    A slice on which the loss is the same everywhere has no variation: it is NaN there, and so are then
    the means over slices.
    """

    index: float  # type: ignore[assignment]  # deviation over mean of the variations
    mean: float  # of the variations; between 1 and 2 where all slices are unimodal
    excess: float  # mean of max(0, variation - 2): above 0 only where slices oscillate
    multimodal: float  # share of slices that turn more than once
    predicted: float  # the index of quadratic slices with the same slopes and curvatures at theta
    variations: np.ndarray  # of each slice [M]
    predicted_variations: np.ndarray  # [M]
    slopes: np.ndarray  # d . gradient at theta [M]
    curvatures: np.ndarray  # d . H d at theta [M]
    distances: np.ndarray  # s [m + 1]
    losses: np.ndarray  # [M, m + 1]

    def __repr__(self) -> str:
        return short(self)


# ---- of a slice -----------------------------------------------------------------------------------


def variation(losses: ArrayLike) -> np.ndarray:
    """The total variation of losses on a line over their range, sum |L_(k+1) - L_k| / (max - min).

    1 where they are monotone, at most 2 where they are unimodal, 2 k for k whole periods of a sine. No
    affine map of the losses and no unit of length changes it.

    >>> wedges.roughness.variation([[0.0, 1.0, 3.0], [1.0, 0.0, 1.0], [2.0, 0.0, 1.0]]).tolist()
    [1.0, 2.0, 1.5]

    Args:
      losses: [..., T], T at least 2, in the order of the line.

    Returns:
      [...], float64; NaN where all losses are the same, or one is not finite.
    """
    losses = _checks.on_a_line(losses).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.abs(np.diff(losses, axis=-1)).sum(axis=-1)
        span = losses.max(axis=-1) - losses.min(axis=-1)
        known = (span > 0) & np.isfinite(total)
        return np.where(known, total / np.where(known, span, 1.0), np.nan)


def turnings(losses: ArrayLike) -> np.ndarray:
    """How often losses on a line turn from falling to rising or back: at most once if unimodal.

    Steps that are rounding, less than 8 units in the last place of the largest loss, count as none.

    >>> wedges.roughness.turnings([[0.0, 1.0, 3.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]).tolist()
    [0, 1, 1]

    Args:
      losses: [..., T], T at least 2, in the order of the line.

    Returns:
      Whole numbers [...].
    """
    losses = _checks.on_a_line(losses)
    kind = losses.dtype if losses.dtype.kind == "f" else np.dtype(np.float64)
    wide = losses.astype(np.float64)
    with np.errstate(invalid="ignore"):
        steps = np.diff(wide, axis=-1)
        least = _ROUNDING * np.finfo(kind).eps * np.abs(wide).max(axis=-1, keepdims=True)
        sign = np.where(np.abs(steps) > least, np.sign(steps), 0.0)
    # A level step goes on as the one before it; the places of the last steps that were not level.
    places = np.where(sign != 0, np.arange(sign.shape[-1]), -1)
    last = np.maximum.accumulate(places, axis=-1)
    filled = np.where(last >= 0, np.take_along_axis(sign, np.maximum(last, 0), axis=-1), 0.0)
    return np.sum(filled[..., 1:] * filled[..., :-1] < 0, axis=-1)


def quadratic_variation(slopes: ArrayLike, curvatures: ArrayLike, distance: float) -> np.ndarray:
    """The variation of the slice g s + h s^2 / 2 for -l <= s <= l.

        1 + ((1 - rho) / (1 + rho))^2 for rho = |g| / (|h| l) < 1, else 1

    >>> wedges.roughness.quadratic_variation([0.0, 1.0, 3.0], [2.0, 2.0, 2.0], 1.0).round(4).tolist()
    [2.0, 1.1111, 1.0]

    Args:
      slopes, curvatures: g and h, [...].
      distance: l, above 0.

    Returns:
      [...], float64; NaN where the slice is level, g = h = 0.
    """
    _checks.positive("distance", distance)
    g, b = (
        np.abs(_checks.floats("slopes", slopes)),
        np.abs(_checks.floats("curvatures", curvatures)) * distance,
    )
    with np.errstate(invalid="ignore"):
        off = np.clip((b - g) / np.where(b + g > 0, b + g, np.nan), 0, None)
        return 1 + off**2


def index(variations: ArrayLike) -> float:
    """The roughness index of slices with these variations [M]: their deviation over their mean.

    >>> round(wedges.roughness.index([1.0, 1.0, 2.0]), 4)
    0.433

    The deviation is that of a sample (over M - 1). If all slices are unimodal, the index is at most
    sqrt(M / (M - 1)) / (2 sqrt 2); NaN if one variation is.

    Raises:
      ValueError: fewer than two slices.
    """
    variations = _checks.floats("variations", variations)
    if variations.ndim != 1 or len(variations) < 2:
        raise ValueError(
            f"variations must be those of at least 2 slices [M]; received shape {variations.shape}."
        )
    return float(variations.std(ddof=1) / variations.mean())


# ---- of a landscape -------------------------------------------------------------------------------


def roughness_index(
    landscape: Landscape,
    theta: ArrayLike,
    directions: int | ArrayLike = 100,
    distance: float = 0.1,
    steps: int = 20,
    *,
    seed: int | Sequence[int] | None = None,
    filters: ArrayLike | None = None,
    published: Collection[str] = (),
    predict: bool = True,
    jobs: int | None = None,
) -> Roughness:
    """The roughness index of a landscape at theta, and beside it what it sees: a `Roughness`.

        phi_j(s) = L(theta + s d_j)
        T_j = sum_k |phi_j(s_(k+1)) - phi_j(s_k)| / (max phi_j - min phi_j)
        index = deviation of T_1, ..., T_M over their mean

    >>> bowl = wedges.Quadratic([1.0, 100.0], dtype="float64")
    >>> found = wedges.roughness_index(bowl, [0.0, 0.0], 50, seed=0)  # at the centre, whatever its axes
    >>> round(found.index, 6), round(found.mean, 6)
    (0.0, 2.0)
    >>> found = wedges.roughness_index(bowl, [0.0, 0.02], 50, seed=0)  # off it, and no rougher
    >>> round(found.index, 2), round(found.predicted, 2), found.multimodal
    (0.12, 0.12, 0.0)

    The loss is taken as it is: of a landscape of minibatches it is that of all its examples, of a
    `Collocation` that of its own points, the same ones on every slice. Where l is small against theta,
    losses must be of float64.

    Args:
      landscape: any.
      theta: [D], finite.
      directions: how many random ones, at least 2: filter-normalised where the filters are known (those
        of a network's weights, or `filters`), with components of no filter 0; of any other landscape
        uniform, of length 1. Or the directions themselves [M, D], of any length but 0.
      distance: l, the largest |s|, in lengths of the directions.
      steps: m, at least 2, of each slice; its m + 1 points are even on [-l, l].
      seed: of random directions; mandatory for them.
      filters: the filter that each component of theta belongs to [D], -1 for none; those of
        `landscape.core.space` by default.
      published: errors of the published program to make again, for comparison only. "grid": its points
        go on beyond l by a step where rounding has it so (12 points on [-0.1, 0.12] for l = 0.1,
        m = 10), and it divides by the length of this grid: a centred bowl has 1.54 in place of 2.
        "biases": the components of no filter are theta's own in every direction.
      predict: also compute slopes and curvatures, by one gradient and M Hessian-vector products; NaN
        without it.
      jobs: as for `wedges.probe.plane`.

    Raises:
      ValueError: fewer than two directions or steps, a distance not above 0, random directions without a
        seed, filters or directions of another shape, directions that are normalised by filters of 0.

    Warns:
      UserWarning: slices on which the loss is the same everywhere, or not finite.

    Source: Wu et al. 2021 (arXiv:2103.11069), and their program; `predicted` is ours.
    """
    theta = np.asarray(_checks.one_point(landscape, theta))
    _checks.positive("distance", distance)
    steps = _checks.whole("steps", steps, 2)
    published = (published,) if isinstance(published, str) else published
    for name in published:
        _checks.choice("published", name, PUBLISHED)
    filters = _filters(landscape, filters)
    d = _directions(theta, directions, filters, seed)
    if "biases" in published and filters is not None:
        d[:, filters < 0] = theta[filters < 0]
    s = np.linspace(-distance, distance, steps + 1)
    if "grid" in published:
        step = 2 * distance / steps
        s = np.arange(-distance, distance + step, step)
    losses = probe.radial_profile(landscape, theta, d, s, jobs=jobs).losses.T  # [M, m + 1]
    variations = variation(losses) * (2 * distance / (s[-1] - s[0]))
    slopes = curvatures = predicted = np.full(len(d), np.nan)
    if predict:
        slopes, curvatures = _second_order(landscape, theta, d)
        predicted = quadratic_variation(slopes, curvatures, distance)
    if lost := int(np.isnan(variations).sum()):
        warnings.warn(
            f"{lost} of {len(d)} slices have one loss everywhere, or one that is not finite: their "
            "variations are NaN, and so is the index.",
            stacklevel=2,
        )
    return Roughness(
        index(variations),
        float(variations.mean()),
        float(np.maximum(variations - 2, 0).mean()),
        float((turnings(losses) > 1).mean()),
        index(predicted),
        variations,
        predicted,
        slopes,
        curvatures,
        s,
        losses,
    )


def _filters(landscape, filters):
    """The filter of each component [D]; None where there are none."""
    if filters is None:
        return probe.filters_of(landscape)
    filters = np.asarray(filters)
    if filters.shape != (landscape.dimension,) or filters.dtype.kind not in "iu":
        raise ValueError(
            f"filters must be whole numbers [{landscape.dimension}]; received {filters.dtype} "
            f"{filters.shape}."
        )
    return filters


def _directions(theta, directions, filters, seed):
    """Directions [M, D] of theta's dtype, drawn or as given."""
    if isinstance(directions, (list, tuple)) or np.ndim(directions):
        try:
            d = np.array(directions, theta.dtype)
        except (TypeError, ValueError):  # no numbers, or rows of different lengths
            d = np.empty(0)
        if d.ndim != 2 or len(d) < 2 or d.shape[1] != len(theta):
            raise ValueError(
                f"directions must be at least 2, [M, {len(theta)}], or their number; received {d.shape}."
            )
        if not (np.isfinite(d).all() and d.any(axis=1).all()):
            raise ValueError("directions must be finite and not 0; received one that is not.")
        return d
    count = _checks.whole("directions", directions, 2)
    if seed is None:
        raise ValueError("seed must be given for random directions; received None.")
    if filters is None:
        return probe.isotropic(len(theta), count, seed=seed, dtype=theta.dtype)
    d = probe.filter_normalized(theta, filters, count, seed=seed).astype(theta.dtype)
    if not d.any(axis=1).all():
        raise ValueError(
            "theta must have filters other than 0 for directions that are normalised by them; received "
            "only zeros. Give the directions themselves."
        )
    return d


def _second_order(landscape, theta, d):
    """Slopes d . g and curvatures d . H d at theta, [M] each, in float64."""
    from wedges.landscape import PRODUCTS_AT_ONCE

    gradient = np.asarray(landscape.value_and_gradient(theta)[1], np.float64)
    products = []
    with bar(total=len(d), desc="curvatures", unit="direction") as progress:
        for i in range(0, len(d), PRODUCTS_AT_ONCE):
            rows = d[i : i + PRODUCTS_AT_ONCE]
            products.append(np.asarray(landscape.hessian_product(theta, rows), np.float64))
            progress.update(len(rows))
    wide = d.astype(np.float64)
    return wide @ gradient, np.einsum("md,md->m", wide, np.concatenate(products))
