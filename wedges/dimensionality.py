"""In how many directions do gradients around a point vary, and what descent makes of them?

gradients               [samples, D], at random points of a sphere around theta
displacements           [samples, D], where descent leads from such points
gram                    their inner products, all that the numbers below need
spectrum                the eigenvalues of their covariance
participation_ratio     how many of them count, free of the bias of few samples
variance_count          how many of them hold 90% of the variance

On a quadratic of curvature H the gradients at theta + r v, v uniform on the unit sphere, vary by r H v
alone, wherever theta is: their covariance is r^2 H^2 / D, and their participation ratio
(tr H^2)^2 / tr H^4. Where several wedges cross, the nearest changes with v, and gradients vary in the
short directions of all of them, which a single Hessian cannot show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wedges import _checks
from wedges._progress import bar
from wedges._repr import short
from wedges.probe import sphere

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.connect import Follow
    from wedges.landscape import Landscape
    from wedges.optimize import Optimizer

# Columns of samples that are in float64 at a time.
_COLUMNS = 2**16


class Estimate(NamedTuple):
    """A number of directions."""

    value: float
    error: float  # its standard error, by the jackknife

    def __repr__(self) -> str:
        return short(self)


def gradients(
    landscape: Landscape, theta: ArrayLike, radius: float, samples: int, *, seed: int
) -> np.ndarray:
    """The gradients at `samples` random points of the sphere of this radius around theta: [samples, D].

    With one seed the directions are the same around every theta, so that places are compared on equal
    luck.

    >>> bowl = wedges.Quadratic([1.0, 2.0, 0.0])
    >>> wedges.dimensionality.gradients(bowl, np.zeros(3), 1.0, samples=5, seed=0).shape
    (5, 3)
    """
    points = sphere(landscape, theta, radius, samples, seed=seed)
    if landscape.takes_batches:
        return np.asarray(landscape.value_and_gradient(points)[1])
    each = bar(iterable=points, desc="gradients", unit="point")
    return np.stack([np.asarray(landscape.value_and_gradient(point)[1]) for point in each])


def displacements(
    landscape: Landscape,
    theta: ArrayLike,
    radius: float,
    samples: int,
    optimizer: Optimizer,
    steps: int,
    *,
    seed: int,
    jit_compile: bool = False,
    follow: Follow | None = None,
) -> np.ndarray:
    """How far and where to descent leads from the points that `gradients` looks at: [samples, D].

    On a quadratic, gradient descent of rate h covers f(H) (r v) of what is random in its start, f(l) =
    1 - (1 - h l)^steps: a direction counts in full once h l steps is well above 1, whatever its
    curvature, where gradients weigh it by its curvature.

    Args:
      landscape, theta, radius, samples, seed: as for `gradients`.
      optimizer, steps, jit_compile: of each descent, as for `minimize`. All see the same minibatches.
      follow: as for `connect.connector`; None shows a progress bar.

    >>> bowl = wedges.Quadratic([1.0, 2.0, 0.0])
    >>> cg, settings = wedges.ConjugateGradients(), {"samples": 3, "steps": 5, "seed": 0}
    >>> moved = wedges.dimensionality.displacements(bowl, np.zeros(3), 1.0, optimizer=cg, **settings)
    >>> bool(np.all(moved[:, 2] == 0))  # never along the flat direction
    True
    """
    from wedges.optimize import Descent, progress

    points = sphere(landscape, theta, radius, samples, seed=seed)
    follow = progress if follow is None else follow
    if landscape.takes_batches:
        descent = Descent(landscape, points, optimizer, jit_compile=jit_compile)
        follow(descent, steps, f"{samples} descents")
        return descent.theta.numpy() - points
    descent = Descent(landscape, points[0], optimizer, jit_compile=jit_compile)
    ends = []
    for i, point in enumerate(points):
        descent.restart(point)
        follow(descent, steps, f"descent {i + 1} of {samples}")
        ends.append(descent.theta.numpy())
    return np.stack(ends) - points


# ---- what samples say -------------------------------------------------------------------------------


def gram(samples: ArrayLike) -> np.ndarray:
    """The inner products of n vectors [n, D], about their mean, in float64: [n, n].

    Whatever is asked of a covariance's spectrum it answers, and of some of the samples alone by their
    rows and columns.

    >>> wedges.dimensionality.gram([[1.0, 5.0], [3.0, 5.0]])
    array([[ 1., -1.],
           [-1.,  1.]])

    Raises:
      ValueError: fewer than two vectors, numbers that are not finite.
    """
    samples = _checks.array("samples", samples)
    if samples.ndim != 2 or len(samples) < 2 or samples.dtype.kind not in "fiu":
        raise ValueError(
            f"samples must be at least two vectors, [n, D]; received {samples.dtype} {samples.shape}."
        )
    _checks.finite("samples", samples)
    total = np.zeros((len(samples), len(samples)))
    for first in range(0, samples.shape[1], _COLUMNS):
        part = samples[:, first : first + _COLUMNS].astype(np.float64)
        part -= part.mean(axis=0)
        total += part @ part.T
    return total


def spectrum(gram: ArrayLike) -> np.ndarray:
    """The n - 1 eigenvalues of the covariance of n samples, falling, of their Gram matrix [n, n].

    Divided by n - 1, so that their sum is an unbiased estimate of the trace; each of them is biased: few
    samples of equal variances show unequal ones.

    >>> samples = [[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    >>> wedges.dimensionality.spectrum(wedges.dimensionality.gram(samples)).round(3).tolist()
    [2.667, 0.667, 0.0]
    """
    inner = _centered(_checked(gram, 2))
    return np.maximum(np.linalg.eigvalsh(inner)[:0:-1], 0) / (len(inner) - 1)


def participation_ratio(gram: ArrayLike) -> Estimate:
    """(tr S)^2 / tr S^2 of the covariance S of what n >= 4 samples are drawn from: an `Estimate`.

    It is d for d equal variances, and less for unequal ones. The ratio of the samples' own eigenvalues
    is not above n - 1: of d equal Gaussian variances it is about n d / (n + d + 1). Here both traces are
    unbiased for samples of any distribution, means over disjoint samples:

        (tr S)^2   mean of |x_i - x_j|^2 |x_k - x_l|^2 / 4
        tr S^2     mean of ((x_i - x_j) . (x_k - x_l))^2 / 4,    i, j, k, l different

    so that it may find more directions than there are samples. NaN where nothing varies, or where noise
    takes the estimate of tr S^2 below 0; four samples have no error. Where all variances are equal the
    jackknife's error is about 1.5 times the spread; else it is the spread.

    >>> draws = np.random.default_rng(0).standard_normal((40, 100))  # 100 equal variances
    >>> found = wedges.dimensionality.participation_ratio(wedges.dimensionality.gram(draws))
    >>> bool(abs(found.value - 100) < 3 * found.error < 30)
    True

    Source: Chun, Canatar, Chung & Lee 2026, "Estimating Dimensionality of Neural Representations from
    Finite Samples" (ICLR, arXiv:2509.26560); tr S^2 by Chen, Zhang & Zhong 2010 (JASA 105).
    """
    return _jackknifed(_ratio, _checked(gram, 4))


def variance_count(gram: ArrayLike, share: float = 0.9) -> Estimate:
    """How many of the samples' largest eigenvalues hold this share of the variance: an `Estimate`.

    Between two whole numbers it is interpolated. It is of the samples, not of what they are drawn from:
    below n - 1, and too low until n is a few times as large, so compare it at equal n.

    >>> samples = np.concatenate([np.eye(4), -np.eye(4)])  # four equal variances
    >>> wedges.dimensionality.variance_count(wedges.dimensionality.gram(samples), 0.75).value
    3.0
    """
    _checks.share("share", share)
    return _jackknifed(lambda inner: _count(inner, share), _checked(gram, 3))


def _checked(gram, least):
    """A Gram matrix of `least` samples or more, in float64."""
    inner = _checks.floats("gram", gram)
    if inner.ndim != 2 or inner.shape[0] != inner.shape[1] or len(inner) < least:
        raise ValueError(
            f"gram must be the inner products [n, n] of at least {least} samples; received shape "
            f"{inner.shape}."
        )
    _checks.finite("gram", inner)
    return inner


def _jackknifed(number, inner):
    """number(inner), and its standard error from the n Gram matrices that lack one sample."""
    n = len(inner)
    value = number(inner)
    kept = ~np.eye(n, dtype=bool)
    without = np.array([number(inner[np.ix_(k, k)]) for k in kept])
    return Estimate(value, float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))))


def _centered(inner):
    """Inner products about the samples' mean."""
    rows = inner.mean(axis=0)
    return inner - rows - rows[:, None] + rows.mean()


def _ratio(inner):
    """The ratio of the two means over disjoint samples, in n^2 operations; NaN of fewer than four.

    A sum over different i, j, k, l is that over all, less what has an index twice.
    """
    n = len(inner)
    inner = _centered(inner)
    if n < 4 or not np.trace(inner) > 0:
        return np.nan
    own = np.diag(inner)
    apart = own + own[:, None] - 2 * inner  # |x_i - x_j|^2
    disjoint = lambda a: a.sum() ** 2 - 4 * np.sum(a.sum(axis=1) ** 2) + 2 * np.sum(a**2)
    traces = disjoint(apart) / 4
    # Chen, Zhang & Zhong: pairs, less paths of two pairs, and pairs of pairs.
    inner = inner - np.diag(own)
    pairs = np.sum(inner**2)
    paths = np.sum(inner.sum(axis=1) ** 2) - pairs
    squares = (n - 2) * (n - 3) * pairs - 2 * (n - 3) * paths + disjoint(inner)
    # Below that a number is rounding: of the terms whose difference it is, and of the other number.
    rounding = 1e-12 * apart.sum() ** 2
    return float(traces / squares) if traces > rounding and squares > 1e-9 * traces else np.nan


def _count(inner, share):
    """The place where the eigenvalues' running sum comes to this share of all of it."""
    values = np.maximum(np.linalg.eigvalsh(_centered(inner))[::-1], 0)
    if not values[0] > 0:
        return 0.0
    sums = np.concatenate([[0], np.cumsum(values)]) / values.sum()
    return float(np.interp(share, sums, np.arange(len(sums))))
