"""How alike are the functions that several thetas compute? CKA on mixed inputs, agreement, distance."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.spatial.distance
import tensorflow as tf

from wedges import _checks
from wedges._progress import bar
from wedges._repr import short
from wedges.compare import label_agreement, linear_cka
from wedges.landscape import Landscape, WithExamples

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike


class Similarity(NamedTuple):
    """How alike K models are. Means are over the pairs of different models that have a value."""

    mean: float  # of the CKA of pairs
    error: float  # its standard error, models deleted one by one; NaN for fewer than three
    mean_unbiased: float
    error_unbiased: float
    cka: np.ndarray  # [K, K], biased, as in the paper
    unbiased: np.ndarray  # [K, K]
    agreement: np.ndarray | None  # share of examples with the same label [K, K]; None without classes
    distance: np.ndarray  # |theta_i - theta_j| [K, K]
    failed: dict[int, str]  # models without a CKA, and why: their rows are NaN
    examples: int  # n, the inputs
    mixed: bool  # whether they were mixed

    def __repr__(self) -> str:
        return short(self)


def similarity(
    landscape: Landscape,
    thetas: TensorLike,
    *,
    seed: int,
    examples: int = 640,
    alpha: float | None = 16.0,
    batch: int = 128,
) -> Similarity:
    """CKA of the outputs of K models on mixed training inputs, all pairs: `Similarity`.

    Linear CKA (`wedges.linear_cka`) of class probabilities, of plain outputs where there are none. On
    training inputs themselves it is near 1 once the data are fitted, so each input is mixed with
    another one:

        x'_i = lambda x_i + (1 - lambda) x_pi(i),  lambda ~ Beta(alpha, alpha)

    lambda and the permutation pi drawn for each batch. Examples, lambda and pi depend on the seed and N
    alone, so that all models see the same inputs, and so do all settings of a grid. Compare only CKA of
    one `examples`: few of them raise the biased one. The standard error is the jackknife over models:

        s^2 = (K - 1) / K sum_i (mean without model i - mean)^2

    since pairs with a model in common are not independent.

    Args:
      landscape: one with examples, such as a `NetworkLandscape` of the training data.
      thetas: [K, D], K at least 2.
      seed: of the mixed inputs.
      examples: n, at least 4; all of them where there are fewer.
      alpha: of the Beta distribution; None leaves inputs as they are, e.g. tokens.
      batch: examples that are mixed with one another.

    Returns:
      A `Similarity`. A model of constant outputs has no CKA: its rows are NaN, and it is named.

    Raises:
      ValueError: one theta, a theta that is not finite or of another length; inputs that are no real
        numbers; a landscape without examples.

    Source: Yang et al. 2021 (arXiv:2107.11228), equation 3; mixup, Zhang et al. 2018 (arXiv:1710.09412).
    """
    points = points_of(landscape, thetas)
    if not isinstance(landscape, WithExamples):
        raise ValueError(
            "landscape must have examples, as a NetworkLandscape has, for its outputs to be compared; "
            f"received {type(landscape).__name__}."
        )
    if alpha is not None:
        _checks.positive("alpha", alpha)
    batch, examples = _checks.whole("batch", batch), _checks.whole("examples", examples, 4)
    total = getattr(landscape, "size", examples)
    x, y, _ = landscape.drawn(min(examples, total), seed=seed)
    mixed = x if alpha is None else _mixed(x, alpha, batch, seed)
    seen = landscape.on(mixed, given(y))
    outputs, labels = [], []
    for theta in bar(iterable=points, desc="outputs", unit="model"):
        found = seen.evaluate(theta)
        outputs.append(_rows(seen, found.outputs))
        labels.append(_labels(seen, found))
    failed = {i: why for i, rows in enumerate(outputs) if (why := _flaw(rows))}
    cka, unbiased = (_pairs(outputs, failed, unbiased=way) for way in (False, True))
    known = all(each is not None for each in labels)
    return Similarity(
        *jackknife(cka),
        *jackknife(unbiased),
        cka,
        unbiased,
        label_agreement(labels) if known else None,
        distances(points),
        failed,
        len(outputs[0]),
        alpha is not None,
    )


def jackknife(matrix: np.ndarray) -> tuple[float, float]:
    """Mean over the pairs of a symmetric matrix [K, K], and its standard error over deleted models.

    Models whose row is NaN are left out; the error of fewer than three is NaN, the mean of one as well.

    >>> mean, error = wedges.phases.jackknife(np.array([[1, 0.2, 0.4], [0.2, 1, 0.6], [0.4, 0.6, 1]]))
    >>> round(mean, 3), round(error, 3)
    (0.4, 0.231)
    """
    matrix = _checks.floats("matrix", matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must have shape [K, K]; received {matrix.shape}.")
    off = ~np.eye(len(matrix), dtype=bool)
    there = np.flatnonzero([np.isfinite(row[o]).any() for row, o in zip(matrix, off, strict=True)])
    mean_of = lambda some: _mean_of_pairs(matrix[np.ix_(some, some)])
    mean, k = mean_of(there), len(there)
    if k < 3:
        return mean, np.nan
    without = np.array([mean_of(np.delete(there, i)) for i in range(k)])
    return mean, float(np.sqrt((k - 1) / k * np.sum((without - mean) ** 2)))


def distances(points: np.ndarray) -> np.ndarray:
    """|theta_i - theta_j| of points [K, D], in float64: [K, K]."""
    return scipy.spatial.distance.cdist(*2 * [points.astype(np.float64)])


def given(part: Any) -> Any:
    """What a landscape has drawn of targets or weights; None where it has none, which is ()."""
    return None if isinstance(part, tuple) and not part else part


def mixable(landscape: Landscape) -> bool:
    """Whether a landscape's inputs are real numbers, so that two of them can be mixed."""
    if not isinstance(landscape, WithExamples):
        return False
    leaves = tf.nest.flatten(landscape.drawn(1, seed=0)[0])
    return all(_mixable(np.asarray(leaf)) for leaf in leaves)


def _mixable(values):
    return values.dtype.kind == "f" or values.dtype == np.uint8


def points_of(landscape: Landscape, thetas: TensorLike) -> np.ndarray:
    """Finite points [K, D] of a landscape, at least two.

    Raises:
      ValueError: in one line, one point, points of another length, NaN.
    """
    _checks.a_landscape(landscape)
    several = hasattr(thetas, "__iter__") and not isinstance(thetas, str)
    rows = [_checks.numbers("thetas", row, landscape.dtype) for row in (thetas if several else [thetas])]
    shapes = {tuple(row.shape) for row in rows}
    if len(rows) < 2 or () in shapes:
        raise ValueError("thetas must be at least two points [K, D]; received one, or none.")
    if shapes != {(landscape.dimension,)}:
        raise ValueError(
            f"thetas must all be points [{landscape.dimension}] of this landscape; received shapes "
            f"{', '.join(map(str, sorted(shapes)))}. Networks of different kinds have no common space."
        )
    points = np.stack([row.numpy() for row in rows])
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(f"thetas must be finite; received NaN or infinity in number {bad[0]} (from 0).")
    return points


# ---- inputs and outputs ---------------------------------------------------------------------------


def _mixed(x, alpha, batch, seed):
    """Each input of a structure of tensors [n, ...] mixed with another one of its batch."""
    n = len(tf.nest.flatten(x)[0])
    rng = np.random.default_rng([_MIXING, *np.atleast_1d(_checks.seed(seed)).tolist()])
    share, partner = np.empty(n), np.empty(n, int)
    for i in range(0, n, batch):
        rows = slice(i, min(i + batch, n))
        share[rows] = rng.beta(alpha, alpha)
        partner[rows] = i + rng.permutation(rows.stop - i)

    def mixed(leaf):
        values = np.asarray(leaf)
        if not _mixable(values):
            raise ValueError(
                f"x must be real numbers to be mixed; received {values.dtype}: alpha=None leaves inputs "
                "as they are."
            )
        part = share.reshape(-1, *[1] * (values.ndim - 1))
        found = part * values + (1 - part) * values[partner]
        found = np.rint(found) if values.dtype == np.uint8 else found
        return found.astype(values.dtype)

    return tf.nest.map_structure(mixed, x)


_MIXING = 20211  # keeps the draws of lambda apart from those of the examples


def _rows(landscape, outputs):
    """All outputs of a model side by side, probabilities where they are, [n, columns]."""
    of = getattr(landscape, "probabilities", lambda outputs: outputs)
    flat = [np.asarray(a, np.float64) for a in tf.nest.flatten(of(outputs))]
    return np.concatenate([a.reshape(len(a), -1) for a in flat], axis=1)


def _labels(landscape, found):
    """The classes that one model predicts, flat; None where its outputs tell none, or several do."""
    outputs = tf.nest.flatten(found.outputs)
    if len(outputs) > 1 or found.accuracy is None or not hasattr(landscape, "labels"):
        return None
    return np.asarray(landscape.labels(outputs[0])).ravel()


def _flaw(rows):
    """Why outputs [n, columns] have no CKA; None where they have one."""
    if not np.isfinite(rows).all():
        return "outputs that are not finite"
    return "constant outputs" if np.all(rows == rows[0]) else None


def _pairs(outputs: list[np.ndarray], failed: Any, *, unbiased: bool) -> np.ndarray:
    """CKA of all pairs, [K, K]."""
    matrix = np.full(2 * (len(outputs),), np.nan)
    for i, j in itertools.combinations_with_replacement(range(len(outputs)), 2):
        if i not in failed and j not in failed:
            matrix[i, j] = matrix[j, i] = linear_cka(outputs[i], outputs[j], unbiased=unbiased)
    return matrix


def _mean_of_pairs(matrix):
    """The mean of what is above the diagonal and known; NaN where nothing is."""
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if len(known) else np.nan
