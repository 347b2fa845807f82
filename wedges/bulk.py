"""Where the bulk of a spectrum ends, by random-matrix theory; what stands beyond it is an outlier.

>>> rows = np.random.default_rng(0).standard_normal((900, 600))  # a bulk that ends at (1 + sqrt(2/3))^2
>>> rows[:, :3] *= 4  # three spikes
>>> A = rows.T @ rows / len(rows)
>>> bulk = wedges.bulk_edge(wedges.spectral_density(A, samples=2, order=60, seed=0))
>>> bool(abs(bulk.upper / (1 + np.sqrt(600 / 900)) ** 2 - 1) < 0.03)
True
>>> int(np.sum(np.linalg.eigvalsh(A) > bulk.clear))
3
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wedges._checks import made
from wedges._repr import short
from wedges.curvature import Density, lanczos

# The steps whose coefficients are averaged. Before them is what a bulk's shape and outliers that have
# hardly left it do; after them single eigenvalues show, and the edge is found too low.
_FIRST, _LAST = 10, 30
# Of the bulk's half width: the edge's scatter and bias, on synthetic spectra.
_CLEAR = 0.05


class Bulk(NamedTuple):
    """Where a bulk begins and ends; all NaN where none was found."""

    lower: float
    upper: float
    clear: float  # upper and the error of the edges, 5% of half the width: what is above is an outlier

    def __repr__(self) -> str:
        return short(self)


def bulk_edge(density: Density) -> Bulk:
    """The edges of the bulk of a spectrum, from its quadratures: a `Bulk`.

    The recurrence coefficients of a measure, the diagonal a_j and side b_j of its Jacobi matrix, tend to
    constants a and b where its support is one interval and some single points, and the interval is

        [a - 2 b, a + 2 b]

    Bulks of random matrices (Wigner, Wishart, general populations) are such; a point outside decays from
    the coefficients exponentially. So do they here, on the mean of the quadratures: a and b are means
    over steps 10 to 29. As long as a value is beyond these edges by more than 5% of the half width 2 b,
    the farthest such value is left out as an outlier, and a and b are found anew.

    On spiked Wigner and Wishart matrices of at least 1,500 eigenvalues other than 0 the upper edge is
    within 4% of theory's, mostly below it; within 10% with 300 of them. It is too low, by up to 10%,
    where few eigenvalues are near the edge (a population with a heavy tail), and too high, by up to 5%,
    where several spikes have just left the bulk. A spectrum without an edge, such as a power law to its
    end, gets one that means nothing, and a bulk of several intervals one between.

    Args:
      density: quadratures with more than 30 values in all, 30 beside the outliers; as of
        `wedges.spectral_density` with 2 samples of order 60 or more. Steps should stay far below the
        number of eigenvalues.

    Returns:
      A `Bulk`, in units of curvature; NaN where no more than 30 values are left in it.

    Raises:
      ValueError: another kind of density, or one of 30 values or less.

    Source: Abi Younes, Ding & Trogdon 2025 (arXiv:2504.03066), the edge from the coefficients' limits;
    leaving out what is beyond, the steps and the 5% are this library's.
    """
    made("density", density, "shares", "what wedges.spectral_density returns")
    order = np.argsort(density.values, axis=None)
    values, shares = np.ravel(density.values)[order], np.ravel(density.shares)[order]
    values, shares = values[shares > 0], shares[shares > 0]
    if len(values) <= _LAST:
        raise ValueError(
            f"density must have more than {_LAST} values, of more samples or a higher order, to have a "
            f"bulk; received {len(values)}."
        )
    first, last = 0, len(values)
    while last - first > _LAST:
        lower, upper = _support(values[first:last], shares[first:last])
        error = _CLEAR * (upper - lower) / 2
        above, below = values[last - 1] - upper - error, lower - error - values[first]
        if above <= 0 and below <= 0:
            return Bulk(lower, upper, upper + error)
        first, last = (first, last - 1) if above >= below else (first + 1, last)
    return Bulk(np.nan, np.nan, np.nan)


def _support(values, shares):
    """The interval that the coefficients of a measure of these points tend to."""
    # Lanczos on the points, from the roots of their shares, gives the measure's Jacobi matrix again.
    found = lanczos(np.diag(values), np.sqrt(shares), _LAST)
    a, b = (np.mean(c[_FIRST:] if len(c) > _FIRST else c) for c in (found.diagonal, found.beside))
    return a - 2 * b, a + 2 * b
