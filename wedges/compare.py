"""How alike are several thetas, and the functions they compute? And where does a curve reach a level?

    cosine_matrix, halves, switch        directions, and two blocks in a matrix of likenesses
    label_agreement, disagreement        predicted classes
    linear_cka                           representations
    first_crossing                       where y(x) first reaches a level

All of it is NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wedges import _checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def cosine_matrix(vectors: ArrayLike) -> np.ndarray:
    """C_ij = v_i.v_j / (|v_i| |v_j|). vectors [K, D] -> [K, K]; NaN where a vector is zero.

    >>> wedges.cosine_matrix([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]).tolist()
    [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    vectors = _checks.floats("vectors", vectors)
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"vectors must have shape [K, D], K >= 1; received {vectors.shape}.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, np.nan)
    return unit @ unit.T


def label_agreement(labels: ArrayLike) -> np.ndarray:
    """Share of examples on which two models predict the same class.

    A_ij = (1/N) sum_n [labels_in = labels_jn]. labels [K, N] -> [K, K], ones on the diagonal.

    >>> wedges.label_agreement([[0, 1, 2, 2], [0, 1, 2, 0]]).tolist()
    [[1.0, 0.75], [0.75, 1.0]]
    """
    labels = _checks.array("labels", labels, text=True)
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"labels must have shape [K, N], N >= 1; received {labels.shape}.")
    return np.array([[np.mean(a == b) for b in labels] for a in labels])  # no [K, K, N] in memory


def disagreement(labels: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """How often two models disagree, in units of how often they are wrong.

    D_ij = (1 - A_ij) / ((e_i + e_j) / 2), A the label agreement, e_i the error rate of model i:
    0 for the same function, 2 where no example is wrong in both; 2 (1 - e) for two classes and
    independent errors of rate e. labels [K, N], targets [N] -> [K, K]. NaN where no one errs.

    Source: Fort, Hu & Lakshminarayanan 2019 (arXiv:1912.02757), who divide by one model's error.
    """
    agreement, targets = label_agreement(labels), _checks.array("targets", targets, text=True)
    if targets.shape != np.shape(labels)[1:]:
        raise ValueError(
            f"targets must have shape {np.shape(labels)[1:]}, one for each label; received "
            f"{targets.shape}."
        )
    error = np.mean(np.asarray(labels) != targets, axis=1)  # [K]
    mean = (error[:, None] + error) / 2
    return (1 - agreement) / np.where(mean > 0, mean, np.nan)


def linear_cka(x: ArrayLike, y: ArrayLike, *, unbiased: bool = False) -> float:
    """Linear centred kernel alignment of two representations of the same N examples, from 0 to 1.

        CKA = |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F), columns centred

    x [N, p], y [N, q] -> []; the same under rotations and one scale of either. NaN where a
    representation is constant. Independent features have a CKA above 0 from few examples, since each of
    the three terms is the biased estimate of HSIC, the squared norm of a covariance.

    Args:
      x, y: one row for each example.
      unbiased: take the unbiased estimates of HSIC instead, from N >= 4 examples. Independent features
        then have a CKA near 0, which may be below it; NaN where the estimate of a representation's own
        HSIC is not above 0.

    Raises:
      ValueError: arrays of other shapes, too few examples.

    Source: Kornblith et al. 2019 (arXiv:1905.00414), equation 4; unbiased, Song et al. 2012 (J. Machine
    Learning Research 13), equation 5, as Nguyen et al. 2021 (arXiv:2010.15327) use it.
    """
    x, y = _checks.floats("x", x), _checks.floats("y", y)
    least = 4 if unbiased else 2
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < least:
        raise ValueError(
            f"x and y must have shapes [N, p] and [N, q], N >= {least} examples; received "
            f"{x.shape} and {y.shape}."
        )
    x, y = x - x[0], y - y[0]  # first: a mean is rounded, and would leave a constant not quite 0
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    if unbiased:
        own = _unbiased_hsic(x, x), _unbiased_hsic(y, y)
        return _unbiased_hsic(x, y) / np.sqrt(own[0] * own[1]) if min(own) > 0 else np.nan
    if len(x) < max(x.shape[1], y.shape[1]):  # the same by the N x N kernels, when those are smaller
        x, y = x @ x.T, y @ y.T
        both, alone = np.sum(x * y), np.linalg.norm(x) * np.linalg.norm(y)
    else:
        both, alone = np.sum((y.T @ x) ** 2), np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return min(both / alone, 1.0) if alone > 0 else np.nan  # more only by rounding


def _unbiased_hsic(x, y):
    """Song et al.'s estimate of HSIC, times N (N - 3), of centred x [N, p] and y [N, q].

    With K = X X^T and L = Y Y^T and their diagonals k and l, the terms in the kernels without diagonals
    are sums of these, since the rows of K and of L add up to 0.
    """
    n = len(x)
    k, l_ = np.sum(x**2, axis=1), np.sum(y**2, axis=1)
    both = np.sum((x @ x.T) * (y @ y.T)) if n < max(x.shape[1], y.shape[1]) else np.sum((y.T @ x) ** 2)
    return both - n / (n - 2) * (k @ l_) + k.sum() * l_.sum() / ((n - 1) * (n - 2))


def halves(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of a matrix of likenesses within the first and the last half of its rows, and across them.

    [..., M, M] -> [...], [...]. The middle row of an odd number belongs to neither half; nothing is
    compared with itself. Two blocks show as a high first and a low second number.

    >>> two_blocks = np.kron(np.eye(2), np.ones((2, 2)))
    >>> [float(mean) for mean in wedges.compare.halves(two_blocks)]
    [1.0, 0.0]
    """
    matrix = _square(matrix)
    m = matrix.shape[-1]
    h = m // 2
    off = ~np.eye(h, dtype=bool)
    first, last = matrix[..., :h, :h][..., off], matrix[..., -h:, -h:][..., off]
    within = np.concatenate([first, last], axis=-1).mean(axis=-1)
    return within, matrix[..., :h, -h:].mean(axis=(-2, -1))


def switch(matrix: np.ndarray) -> float:
    """Before which row two blocks meet: the split [M, M] -> whole number that separates best.

    It maximises the mean within the blocks less the mean across; blocks have two rows at least, and
    nothing is compared with itself, which would favour the middle where there are no blocks. NaN in
    the matrix gives NaN.

    >>> wedges.compare.switch(np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], *3 * [[0, 0, 1, 1, 1]]]))
    2
    """
    matrix = _square(matrix)
    m = len(matrix)
    if m < 4:
        raise ValueError(f"matrix must have 4 rows at least, two for each block; received {m}.")
    if not np.isfinite(matrix).all():
        return np.nan

    def score(i):  # rows before i, and from i on
        blocks = [matrix[:i, :i], matrix[i:, i:]]
        pairs = sum(b.size - len(b) for b in blocks)
        return sum(b.sum() - np.trace(b) for b in blocks) / pairs - matrix[:i, i:].mean()

    return max(range(2, m - 1), key=score)


def _square(matrix):
    """Numbers [..., M, M]."""
    matrix = _checks.array("matrix", matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"matrix must have shape [..., M, M]; received {matrix.shape}.")
    return matrix


def first_crossing(
    x: ArrayLike, y: ArrayLike, level: float, log: bool = False, *, falling: bool = False
) -> float:
    """The first x at which y reaches a level from below, interpolated between the measured.

        min {x: y(x) >= level},    y(x) linear between neighbours (log: linear in log x)

    x[0] where y is there from the start; NaN where it never is, and where the y before the crossing or
    at its end is NaN or infinite, since nothing can be said of what lies between. NaN elsewhere counts
    as not there.

    Args:
      x: [A], rising; above 0 for log.
      y: [A].
      level: in units of y.
      log: x is a scale on which ratios count.
      falling: reach the level from above, y(x) <= level.

    >>> wedges.compare.first_crossing([1, 2, 4, 8], [0.0, 0.0, 1.0, 1.0], 0.5)
    3.0
    >>> wedges.compare.first_crossing([1, 2, 4, 8], [0.9, 0.7, 0.2, 0.0], 0.1, falling=True)
    6.0
    >>> wedges.compare.first_crossing([1, 2, 4, 8], [0.0, 0.1, 0.2, 0.3], 0.5)
    nan
    """
    x, y = _checks.array("x", x), _checks.floats("y", y)
    if not _checks.is_number(level):
        raise ValueError(f"level must be a number; received {_checks.called(level)}.")
    if x.ndim != 1 or not len(x) or y.shape != x.shape:
        raise ValueError(f"x and y must have one shape [A], A >= 1; received {x.shape} and {y.shape}.")
    if not np.all(x[1:] > x[:-1]) or not np.isfinite(x).all() or (log and x[0] <= 0):
        above = ", above 0" if log else ""
        raise ValueError(f"x must be finite and rising{above}; received {x.tolist()}.")
    if falling:
        y, level = -y, -level
    there = y >= level
    j = int(np.argmax(there))
    if not there[j]:
        return np.nan
    if j == 0:
        return float(x[0])
    if not np.isfinite(y[j - 1 : j + 1]).all():
        return np.nan
    if not log:
        return float(np.interp(level, y[j - 1 : j + 1], x[j - 1 : j + 1]))
    scale, share = np.log(x), (level - y[j - 1]) / (y[j] - y[j - 1])
    return float(np.exp(scale[j - 1] + share * (scale[j] - scale[j - 1])))
