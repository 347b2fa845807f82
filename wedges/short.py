"""How many directions around a point are short: three estimators, which need not agree.

A direction is short where the loss rises along it. Each has what it costs and what it says on a
quadratic:

    smallest_cut        the smallest random cut in which descent undoes a random displacement
    eigenvalue_count    the Hessian's eigenvalues above a floor
    gradient_rank       the span of the gradients around the point: also of several wedges that cross
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wedges import _checks
from wedges._repr import short
from wedges.compare import first_crossing
from wedges.probe import sphere

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.landscape import Landscape


class Count(NamedTuple):
    """A number of directions."""

    mean: float
    error: float  # the standard error of the mean; NaN with one sample
    samples: np.ndarray  # [S], what it is the mean of

    def __repr__(self) -> str:
        return short(self)


class Cuts(NamedTuple):
    """What descent in random cuts leaves of the rise that S random displacements bring."""

    left: np.ndarray  # [S, d's], the share of the rise that is left in a cut of each dimension
    dimensions: np.ndarray  # [d's], rising
    rises: np.ndarray  # [S]

    def __repr__(self) -> str:
        return short(self)


def gradient_rank(
    landscape: Landscape,
    theta: ArrayLike,
    radius: float,
    samples: int,
    *,
    seed: int,
    floor: float = 1e-3,
) -> int:
    """How many directions the gradients around theta span: its short directions, as the loss shows them.

    Gradients at `samples` points theta + radius v_i, v_i random unit vectors, as the rows of a matrix;
    the count of its singular values above `floor` times the largest.

    theta [D] -> whole number, at most `samples`: take a few times as many samples as directions are
    expected. On one wedge of the toy landscapes it is s; where two wedges cross, either may be the
    nearest at theta + radius v_i, and it is the dimension of both wedges' normals together, which a
    single gradient or Hessian of the distance to the *nearest* wedge cannot show.

    >>> bowl = wedges.Quadratic([1.0, 2.0, 0.0, 3.0, 0.0])
    >>> wedges.gradient_rank(bowl, np.zeros(5), 0.1, samples=20, seed=0)
    3
    """
    points = sphere(landscape, theta, radius, samples, seed=seed)
    _, gradients = landscape.value_and_gradient(points)  # [samples, D]
    lengths = np.linalg.svd(np.asarray(gradients, np.float64), compute_uv=False)
    return int(np.sum(lengths > floor * lengths[0])) if lengths[0] > 0 else 0


def smallest_cut(
    landscape: Landscape,
    theta: ArrayLike,
    dimensions: ArrayLike,
    *,
    displacement: float,
    samples: int,
    optimizer: Any,
    steps: int,
    seed: int,
    descend_on: Landscape | None = None,
    jit_compile: bool = False,
    follow: Callable | None = None,
) -> Cuts:
    """Descend in random cuts after a random displacement: what is left of its rise? `Cuts`.

        left(d) = (min over z of L(theta + a v + z M) - L(theta)) / (L(theta + a v) - L(theta))

    v a random unit vector, M a random d-dimensional cut, new for every sample and d. On a quadratic with
    s equal curvatures and D - s zeros, left averages 1 - d / s below d = s and is 0 from there on. Below
    0 where descent ends lower than theta; NaN where the displacement does not raise the loss, or raises
    it to infinity.

    `recovered(cuts, 0.1)` turns it into a count of directions, about 0.9 s there. Where wedges cross, it
    is of the one that descent finds, the nearest.

    Args:
      landscape: any.
      theta: [D], finite.
      dimensions: the d's, rising, each from 1 to D.
      displacement: a, the length of the displacement.
      samples: independent displacements.
      optimizer, steps, jit_compile: of each descent, as for `minimize`.
      seed: of displacements and cuts.
      descend_on: the landscape to descend on, e.g. all training examples in minibatches, where
        `landscape` is a part of them to measure on. The same by default.
      follow: as for `connect.connector`; None shows a progress bar.

    >>> bowl = wedges.Quadratic([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    >>> settings = {"optimizer": wedges.ConjugateGradients(), "steps": 5, "seed": 0}
    >>> cuts = wedges.smallest_cut(bowl, np.zeros(6), [1, 3], displacement=1.0, samples=4, **settings)
    >>> (cuts.left < 1e-3).tolist()  # three dimensions are enough for three short directions
    [[False, True], [False, True], [False, True], [False, True]]

    Source: Fort & Jastrzebski 2019, and Li et al. 2018 (arXiv:1804.08838), who start at random points.
    """
    # Not above: figures are drawn again by `barrier` and `recovered` without waiting for TensorFlow.
    from wedges.affine import DENSE_NUMBERS, generator, random_cut
    from wedges.optimize import Descent, progress

    theta, dimensions = _checks.one_point(landscape, theta), _checks.array("dimensions", dimensions)
    if not (
        (dimensions.ndim == 1 and len(dimensions) and dimensions.dtype.kind in "iu")
        and (np.all(dimensions[1:] > dimensions[:-1]) and dimensions[0] >= 1)
        and dimensions[-1] <= landscape.dimension
    ):
        raise ValueError(
            f"dimensions must be rising whole numbers from 1 to D = {landscape.dimension}; received "
            f"{dimensions.tolist()}."
        )
    _checks.positive("displacement", displacement)
    samples = _checks.whole("samples", samples)
    target = landscape if descend_on is None else descend_on
    if (target.dimension, target.dtype) != (landscape.dimension, landscape.dtype):
        raise ValueError(
            f"descend_on must have the landscape's D = {landscape.dimension} and dtype "
            f"{landscape.dtype.name}; received D = {target.dimension} and {target.dtype.name}."
        )
    base, rng = float(landscape(theta)), generator(seed)
    displaced = sphere(landscape, theta, displacement, samples, seed=rng)  # [S, D]
    rises = np.asarray(landscape(displaced), np.float64) - base  # [S]
    seeds = rng.integers(2**31, size=(len(dimensions), samples))
    left = np.full((samples, len(dimensions)), np.nan)
    rose = np.flatnonzero((rises > 0) & (rises < np.inf))  # nothing to undo where it did not
    for j, d in enumerate(map(int, dimensions)):
        # All displacements at once, unless their dense cuts are more than a single one may hold.
        together = target.takes_batches and 0 < len(rose) * d * landscape.dimension <= DENSE_NUMBERS
        for rows in [rose] if together else rose[:, None]:
            here, seed = displaced[rows], seeds[j, rows]  # [R, D], [R]
            if not together:
                here, seed = here[0], int(seed[0])
            subspace = random_cut(here, d, seed=seed)
            descent = Descent(target, here, optimizer, subspace=subspace, jit_compile=jit_compile)
            (follow or progress)(descent, steps, f"cut of d = {d}")
            left[rows, j] = (np.asarray(landscape(descent.theta)) - base) / rises[rows]
    return Cuts(left, dimensions, rises)


def recovered(cuts: Cuts, threshold: float) -> Count:
    """The smallest d at which at most `threshold` of a displacement's rise is left: a `Count`.

    Between two of the dimensions it is interpolated on a logarithmic scale. A sample that no cut
    recovers, or only one just after a NaN or infinity, counts as NaN, and so do mean and error then: no
    lower bound passes for a number. One that the first of them recovers counts as that d.

    The first lucky cut counts, so it is low, the more the finer the d's: with s equal curvatures and
    d = 1, 2, 3, ... it is 0.83 s at s = 20 and 0.88 s at s = 1000, not 0.9 s.
    """
    _checks.share("threshold", threshold)
    _checks.made("cuts", cuts, "left", "what wedges.smallest_cut returns")
    crossing = lambda left: first_crossing(cuts.dimensions, left, threshold, log=True, falling=True)
    return _count([crossing(left) for left in cuts.left])


def eigenvalue_count(
    landscape: Landscape,
    theta: ArrayLike,
    floor: float | Sequence[float],
    *,
    samples: int,
    steps: int,
    seed: int,
) -> Count | list[Count]:
    """How many eigenvalues of the Hessian at theta are above each `floor`: a list of `Count`, or one.

    count = D E_v sum_j tau_j^2 [lambda_j > floor], v random unit vectors, lambda_j and tau_j the
    eigenvalues and first components of the eigenvectors of the tridiagonal matrix that `steps` steps of
    Lanczos from v make (stochastic Lanczos quadrature). One Hessian-vector product a step. Of k
    eigenvalues above the floor one v sees k (1 +- sqrt(2 / k)); a floor inside a dense part of the
    spectrum adds the quadrature's own error, which falls with `steps`.

    theta [D], finite; floor a number or several [F], in units of the loss per squared length, clear of
    0 where eigenvalues are: rounding gives them either sign. Where wedges cross, the count is of the
    nearest; at a toy loss of exactly 0, a point without second derivatives, it is 0.

    >>> bowl = wedges.Quadratic([5.0, 5.0, 0.0, 0.0])
    >>> count = wedges.eigenvalue_count(bowl, np.zeros(4), 1.0, samples=200, steps=2, seed=0)
    >>> bool(abs(count.mean - 2) < 3 * count.error)
    True

    Source: Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Ubaru, Chen & Saad 2017.
    """
    from wedges.curvature import hessian, spectral_density

    floors = np.atleast_1d(_checks.floats("floor", floor))
    if floors.ndim > 1 or np.isnan(floors).any():
        raise ValueError(f"floor must be a number or several [F], none NaN; received {floor}.")
    steps = _checks.whole("steps", steps)
    found = spectral_density(hessian(landscape, theta), samples=samples, order=steps, seed=seed)
    above = [np.sum(found.shares * (found.values > f), axis=1) for f in floors]  # [S] each
    counts = [_count(landscape.dimension * share) for share in above]
    return counts if np.ndim(floor) else counts[0]


def _count(samples):
    samples = np.asarray(samples, np.float64)
    return Count(samples.mean(), _checks.standard_error(samples), samples)
