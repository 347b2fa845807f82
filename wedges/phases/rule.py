"""Phases I, II, III, IV-A and IV-B, from training error, mode connectivity and CKA.

          converged    not
poor        III         I       poor: mc < -1, a barrier parts the networks
connected   IV          II      IV-A: unlike functions, IV-B: like functions

The paper draws the boundaries by eye. The `Thresholds` here are our reading, stand in every result, and
are to be shown with every phase.

Source: Yang et al. 2021 (arXiv:2107.11228), section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wedges import _checks
from wedges._repr import short

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NAMES = ("I", "II", "III", "IV-A", "IV-B")
MEANINGS = {
    "I": "The networks' training error is above what counts as converged, and the path between them has "
    "a barrier.",
    "II": "The networks' training error is above what counts as converged, and a low path joins them, "
    "though the straight line may not be one.",
    "III": "The networks fit the training data, but the path between them has a barrier.",
    "IV-A": "The networks fit the training data and a low path joins them, but they compute unlike "
    "functions.",
    "IV-B": "The networks fit the training data, a low path joins them, and they compute like "
    "functions: where test accuracy was highest in the released grids.",
    "IV": "The networks fit the training data and a low path joins them; their CKA, which tells IV-A "
    "from IV-B, is not known.",
    "": "There is no phase: a measure is missing, or the networks fit the training data in the mean "
    "while a path is lower than its ends, one of which so is not converged.",
}
# What counts as one step towards a boundary, so that measures can be compared: a factor of two of the
# error and of mc, and about two deviations of the CKA between pairs of networks.
_CKA_STEP = 0.05
_ROUNDING = 1e-4  # of an error in percent that float32 has counted


class Thresholds(NamedTuple):
    """Where the boundaries are. A grid of one's own has its own CKA level, see `cka_level`."""

    error: float = 0.1  # training error in percent up to which networks have converged
    poor: float = -1.0  # mc, in points of error, below which they are poorly connected
    unconverged: float = 1.0  # mc above which the ends of the curve are not converged
    # From which IV-B begins: the median over the 582 cells of phase IV in the released clean grids
    # (ResNet18 on 5,000 to 50,000 images of CIFAR-10). It depends on data and classes.
    cka: float = 0.563
    # ln of the Hessian's trace above which it is sharp: what separates I and II from III and IV best on
    # the same 1,690 cells (right for 89%, the mean of both kinds). It decides nothing.
    log_trace: float = 5.3


DEFAULT = Thresholds()


class Phase(NamedTuple):
    """A phase, what it means, and how sure that is."""

    name: str  # one of NAMES; "IV" without a CKA, "" where there is none
    meaning: str
    boundary: str  # the nearest: "convergence", "connectivity" or "similarity"; "" where none is
    beyond: str  # the phase on its other side
    # To that boundary, in factors of two of error or mc, in steps of 0.05 of the CKA: near below 1.
    distance: float
    trace_agrees: bool | None  # sharp in I and II, flat in III and IV; None without a trace
    error: float  # as given
    mc: float
    cka: float
    log_trace: float
    thresholds: Thresholds

    def __repr__(self) -> str:
        return short(self)

    @property
    def nearest(self) -> str:
        """The nearest boundary in words.

        >>> wedges.phases.phase(0.0, -0.8, 0.7).nearest
        'mc -0.8 against -1, a factor of 1.2; beyond it III'
        """
        if not self.boundary:
            return "none"
        t = self.thresholds
        name, value, level = {
            "convergence": ("training error", self.error, t.error),
            "connectivity": ("mc", self.mc, t.poor),
            "similarity": ("CKA", self.cka, t.cka),
        }[self.boundary]
        factor = f"a factor of {float(f'{2**self.distance:.2g}'):,.7g}"
        away = f"{abs(value - level):.2g} away" if name == "CKA" else factor
        return f"{name} {value:.3g} against {level:.3g}, {away}; beyond it {self.beyond or 'none'}"


def classify(
    error: ArrayLike,
    mc: ArrayLike,
    cka: ArrayLike | None = None,
    *,
    thresholds: Thresholds = DEFAULT,
) -> np.ndarray:
    """The phase of each cell of a grid: an array of names.

    Not converged: "I" where mc is below `poor`, else "II". Converged: "III" where mc is below `poor`;
    else "IV-B" where the CKA is at least its level, "IV-A" where it is less, "IV" where it is not known.
    "" where error or mc are not known, and where mc says that ends are not converged while the error
    says that they are.

    >>> error, mc, cka = [40, 5, 0, 0, 0], [-9, 3, -9, 0, 0], [0.2, 0.3, 0.2, 0.4, 0.7]
    >>> wedges.phases.classify(error, mc, cka).tolist()
    ['I', 'II', 'III', 'IV-A', 'IV-B']

    Args:
      error: training errors in percent, of any shape.
      mc: in percentage points of training error, of the same shape.
      cka: the same, from 0 to 1; all unknown by default.
      thresholds: for a grid of one's own `Thresholds(cka=cka_level(error, mc, cka))`.

    Raises:
      ValueError: arrays of different shapes.
    """
    error, mc, cka = _cells(error, mc, cka)
    known = ~np.isnan(error) & ~np.isnan(mc)
    done, poor = error <= thresholds.error + _ROUNDING, mc < thresholds.poor - _ROUNDING
    connected = done & ~poor & (mc <= thresholds.unconverged + _ROUNDING)
    found = np.full(error.shape, "", dtype="<U4")
    found[~done & poor], found[~done & ~poor], found[done & poor] = "I", "II", "III"
    found[connected] = "IV"
    found[connected & (cka >= thresholds.cka)] = "IV-B"
    found[connected & (cka < thresholds.cka)] = "IV-A"
    found[~known] = ""
    return found


def cka_level(
    error: ArrayLike, mc: ArrayLike, cka: ArrayLike, *, thresholds: Thresholds = DEFAULT
) -> float:
    """The median CKA of a grid's cells in phase IV, from which on they are IV-B; NaN where none is.

    >>> wedges.phases.cka_level([0, 0, 0, 50], [0, 0, 0, -9], [0.2, 0.5, 0.6, 0.9])
    0.5

    Args:
      error, mc, cka, thresholds: as for `classify`; the CKA level among the thresholds is not used.
    """
    error, mc, cka = _cells(error, mc, _checks.floats("cka", cka))
    phases = classify(error, mc, thresholds=thresholds)
    inside = cka[(phases == "IV") & np.isfinite(cka)]
    return float(np.median(inside)) if len(inside) else np.nan


def phase(
    error: float,
    mc: float,
    cka: float = np.nan,
    log_trace: float = np.nan,
    *,
    thresholds: Thresholds = DEFAULT,
) -> Phase:
    """The phase of some networks of one setting, and how near its nearest boundary is: a `Phase`.

    >>> found = wedges.phases.phase(error=0.02, mc=-0.1, cka=0.7, log_trace=3.0)
    >>> found.name, found.trace_agrees
    ('IV-B', True)

    Args:
      error: training error in percent, mean of the networks.
      mc: their mode connectivity in percentage points of training error.
      cka: mean CKA of their pairs, if it is known.
      log_trace: natural logarithm of the Hessian's mean trace, if it is known. It decides nothing.
      thresholds: where the boundaries are.

    Raises:
      ValueError: an error outside of 0 to 100, an mc outside of -100 to 100, a CKA above 1.
    """
    given = {"error": (error, 0, 100), "mc": (mc, -100, 100), "cka": (cka, -np.inf, 1 + 1e-6)}
    for name, (value, low, high) in given.items():
        if not _checks.is_number(value) or value < low or value > high:
            said = f"from {low} to {high}" if name != "cka" else "at most 1"
            raise ValueError(f"{name} must be a number {said}; received {value!r}.")
    at = lambda **moved: str(
        classify(*({"error": error, "mc": mc, "cka": cka} | moved).values(), thresholds=thresholds)
    )
    name, t = at(), thresholds
    near: dict[str, tuple[float, str]] = {}
    if name:
        done, poor = error <= t.error + _ROUNDING, mc < t.poor - _ROUNDING
        # Ends that converge have no path much lower than they are.
        across = at(error=np.inf) if done else at(error=t.error, mc=min(mc, t.unconverged))
        near["convergence"] = _factors(error, t.error), across
        near["connectivity"] = _factors(-mc, -t.poor), at(mc=t.poor if poor else -np.inf)
    if name in ("IV-A", "IV-B"):
        across = "IV-A" if name == "IV-B" else "IV-B"
        near["similarity"] = abs(cka - t.cka) / _CKA_STEP, across
    boundary = min(near, key=lambda each: near[each][0], default="")
    distance, beyond = near.get(boundary, (np.nan, ""))
    agrees = None
    if name and np.isfinite(log_trace):
        agrees = bool((log_trace > t.log_trace) == (name in ("I", "II")))
    return Phase(
        name,
        MEANINGS[name],
        boundary,
        beyond,
        float(distance),
        agrees,
        float(error),
        float(mc),
        float(cka),
        float(log_trace),
        thresholds,
    )


def _factors(value, level):
    """How many factors of two a value is from a level above 0; infinitely many where it has no ratio."""
    return abs(np.log2(value / level)) if value > 0 and level > 0 else np.inf


def _cells(error, mc, cka):
    """Three arrays of one shape, float64."""
    error = _checks.floats("error", error)
    cka = np.full(error.shape, np.nan) if cka is None else cka
    found = error, _checks.floats("mc", mc), _checks.floats("cka", cka)
    if len({each.shape for each in found}) > 1:
        shapes = ", ".join(str(each.shape) for each in found)
        raise ValueError(f"error, mc and cka must have one shape; received {shapes}.")
    return found
