"""Averages of weights, and averages of predictions.

Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407) averages *where* the models
are, theta_SWA = (1/K) sum_k theta_k; an ensemble (Huang et al. 2017, arXiv:1704.00109, for the
snapshots of one run) averages *what they say*, p = (1/K) sum_k p_k. They agree while the theta_k
lie in one convex piece of the low-loss set, and part ways when they do not.

Batch-norm statistics belong to a theta and must not be averaged: evaluate an average on a
`NetworkLandscape(..., batch_norm="reestimate")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wedges import _checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


_ROUNDING = 1e-3  # of probabilities in float16


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
        """Take in one more array; all must have one shape. Returns the new mean.

        Raises:
          ValueError: an array of another shape, or of something else than real numbers.
        """
        try:
            array = np.asarray(value)
            kind = _checks.floating(array.dtype)
        except (TypeError, ValueError):
            raise ValueError(f"value must be real numbers; received {_checks.called(value)}.") from None
        value = array.astype(np.float64)
        if self._mean is None:
            self._mean = np.zeros(value.shape)
            self._dtype = np.dtype(np.float64) if array.dtype.kind in "iu" else kind
        if value.shape != self._mean.shape:
            raise ValueError(
                f"value must have the shape of those before, {self._mean.shape}; received {value.shape}."
            )
        self.count += 1
        self._mean += (value - self._mean) / self.count
        return self.mean

    @property
    def mean(self) -> np.ndarray:
        """The average so far, in the dtype of what was added; float64 of whole numbers."""
        if self._mean is None:
            raise ValueError("nothing has been added to this average yet.")
        return self._mean.astype(self._dtype)

    def __repr__(self) -> str:
        if self._mean is None:
            return "RunningAverage(of nothing yet)"
        return f"RunningAverage(of {self.count:,}, {self._dtype.name} {list(self._mean.shape)})"

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restore` makes the same average of, bit for bit."""
        if self._mean is None:
            return {"count": np.array(0)}
        return {"count": np.array(self.count), "mean": self._mean, "like": np.zeros(0, self._dtype)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> RunningAverage:
        """The average whose `arrays` these are."""
        average = cls()
        if count := int(arrays["count"]):
            average.count, average._mean = count, np.array(arrays["mean"])
            average._dtype = arrays["like"].dtype
        return average


def ensemble_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """The prediction of an ensemble, p = (1/K) sum_k p_k. [K, N, ..., C] -> [N, ..., C].

    Probabilities are averaged, not logits; those of one class, [K, N, 1], as a sigmoid gives them, too.

    >>> wedges.ensemble_probabilities([[[1.0, 0.0]], [[0.5, 0.5]]]).tolist()
    [[0.75, 0.25]]
    >>> wedges.ensemble_probabilities([[[1.0], [0.5]], [[0.5], [0.5]]]).tolist()
    [[0.75], [0.5]]

    Raises:
      ValueError: another shape, numbers that are not from 0 to 1 or, with C > 1, do not sum to 1.
    """
    try:
        probabilities = np.asarray(probabilities)
        _checks.floating(probabilities.dtype)
    except (TypeError, ValueError):
        raise ValueError("probabilities must be real numbers [K, N, C]; received others.") from None
    if probabilities.ndim < 3 or not len(probabilities) or not probabilities.shape[-1]:
        raise ValueError(
            f"probabilities must have shape [K, N, C], K >= 1; received {probabilities.shape}."
        )
    one = probabilities.shape[-1] == 1
    # Asked so that NaN passes, and stays.
    if np.any((probabilities < -_ROUNDING) | (probabilities > 1 + _ROUNDING)):
        of_one = " of one class" if one else ""
        raise ValueError(f"probabilities{of_one} must be from 0 to 1; received logits?")
    if not one and np.any(np.abs(probabilities.sum(axis=-1, dtype=np.float64) - 1) > _ROUNDING):
        raise ValueError("probabilities must sum to 1 over the last axis; received logits?")
    return probabilities.mean(axis=0)
