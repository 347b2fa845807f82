"""Averages of weights, and averages of predictions.

Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407) averages *where* the models
are, theta_SWA = (1/K) sum_k theta_k; an ensemble (Huang et al. 2017, arXiv:1704.00109, for the
snapshots of one run) averages *what they say*, p = (1/K) sum_k p_k. They agree while the theta_k
lie in one convex piece of the low-loss set, and part ways when they do not.

Batch-norm statistics belong to a theta and must not be averaged: evaluate an average on a
`NetworkLandscape(..., batch_norm="reestimate")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RunningAverage:
    """mean_k = mean_{k-1} + (value_k - mean_{k-1}) / k, in float64, holding only the mean.

    Attributes:
      count: how many values are in it.

    >>> swa = wedges.RunningAverage()
    >>> for snapshot in ([1.0, 5.0], [2.0, 5.0], [6.0, 5.0]):
    ...     mean = swa.add(snapshot)
    >>> swa.mean.tolist()
    [3.0, 5.0]
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: np.ndarray | None = None

    def add(self, value: ArrayLike) -> np.ndarray:
        """Take in one more array; all must have one shape. Returns the new mean."""
        value = np.asarray(value)
        if self._mean is None:
            self._mean, self._dtype = np.zeros(value.shape), value.dtype
        if value.shape != self._mean.shape:
            raise ValueError(
                f"value must have the shape of those before, {self._mean.shape}; received {value.shape}."
            )
        self.count += 1
        self._mean += (value - self._mean) / self.count
        return self.mean

    @property
    def mean(self) -> np.ndarray:
        """The average so far, in the dtype of what was added."""
        if self._mean is None:
            raise ValueError("nothing has been added to this average yet.")
        return self._mean.astype(self._dtype)


def ensemble_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """The prediction of an ensemble, p = (1/K) sum_k p_k. [K, N, C] -> [N, C].

    Probabilities are averaged, not logits. Raises ValueError if rows do not sum to one.

    >>> wedges.ensemble_probabilities([[[1.0, 0.0]], [[0.5, 0.5]]]).tolist()
    [[0.75, 0.25]]
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or not len(probabilities):
        raise ValueError(
            f"probabilities must have shape [K, N, C], K >= 1; received {probabilities.shape}."
        )
    if not np.allclose(probabilities.sum(axis=-1), 1.0, atol=1e-3, equal_nan=True):
        raise ValueError("probabilities must sum to 1 over the last axis; received logits?")
    return probabilities.mean(axis=0)
