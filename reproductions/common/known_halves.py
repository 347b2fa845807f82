"""What the halves of a tunnel on a toy landscape must be, as D grows: two cosines for each n / D.

Two starts are minimised to the optima A and B. At a point p(t) = (1 - t) A + t B of the line between
them, minimising in the hyperplane normal to d = B - A moves p by the part of -N p that is normal to d,
N the projection on the short directions of the wedge on which it ends. Two vertices then deviate alike
as far as their N p are alike.

For all axis-aligned wedges N p(t) is taken to be the s smallest components of p(t), so the wedge is the
one nearest to the line: a vertex may end on another, since moving changes which is nearest.
"""

import functools

import numpy as np

_LEVELS = 64  # of a component's size, where it is not 0: more change the third digit


def few_wedges(share):
    """The cosine across halves for few wedges in random orientations, [...] of n / D [...].

    The first half ends on the wedge of A, whose normals see B alone, and the other way round; within a
    half the cosine is 1. With sigma = s / D and |A| = |B|, u = N_A B and v = N_B A have u.u = v.v =
    u.d = -v.d = sigma |A|^2, u.v = 0 and d.d = 2 |A|^2. Less what is along d,

        cos = (sigma^2 / 2) / (sigma - sigma^2 / 2) = sigma / (2 - sigma)
    """
    sigma = 1 - np.asarray(share, float)
    return sigma / (2 - sigma)


@functools.cache
def all_wedges(share, segments):
    """Mean cosines within and across the halves for all axis-aligned wedges, [] each of n / D.

    An optimum keeps the n largest components of a Gaussian start, so its components are independent,
    each 0 with probability 1 - n / D. The inner products of N p(t), N p(t') and d are means over the
    distribution of a component of A and one of B, by quadrature.
    """
    from scipy.stats import norm

    from wedges import compare

    tail = norm.isf((np.arange(_LEVELS) + 0.5) / _LEVELS * share / 2)
    values = np.concatenate([-tail, [0.0], tail])
    weights = np.full(len(values), share / (2 * _LEVELS))
    weights[_LEVELS] = 1 - share
    a, b = (v.ravel() for v in np.meshgrid(values, values, indexing="ij"))
    w = np.outer(weights, weights).ravel()
    d, moved = b - a, []
    for t in np.arange(1, segments) / segments:
        p = (1 - t) * a + t * b
        moved.append(p * (1 - _largest(np.abs(p), w, share)))
    u = np.array(moved)  # [S - 1, components]
    u -= np.outer(u @ (w * d) / (w @ d**2), d)
    products = (u * w) @ u.T
    length = np.sqrt(np.diag(products))
    within, across = compare.halves(products / np.outer(length, length))
    return float(within), float(across)


def _largest(sizes, weights, share):
    """How much of each component is among the largest, which weigh `share` together: 0 to 1."""
    order = np.argsort(-sizes, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    kept = np.empty_like(sizes)
    kept[order] = np.clip((share - before) / weights[order], 0, 1)
    return kept
