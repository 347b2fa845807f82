"""What drawing functions ask of their arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator

from wedges import _checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def on_grid(x: ArrayLike, y: ArrayLike, values: ArrayLike, name: str) -> tuple[np.ndarray, ...]:
    """x [X] and y [Y] that rise, and values [Y, X] of which some are finite, all float64."""
    x, y, values = _checks.floats("x", x), _checks.floats("y", y), _checks.floats(name, values)
    for called, side in (("x", x), ("y", y)):
        if side.ndim != 1 or len(side) < 2 or not np.all(np.diff(side) > 0):
            raise ValueError(f"{called} must be at least 2 numbers that rise; received {_said(side)}.")
    if values.shape != (len(y), len(x)):
        raise ValueError(
            f"{name} must have shape [{len(y)}, {len(x)}], rows along y; received {_said(values)}."
        )
    if not np.isfinite(values).any():
        raise ValueError(f"{name} must be finite somewhere; received none that is.")
    return x, y, values


def heights(values: np.ndarray, name: str, log: bool, high: float | None) -> tuple[float, float]:
    """The lowest of finite values, and `high`, by default the highest.

    Above 0 where they are drawn in their logarithm.
    """
    known = values[np.isfinite(values)]
    low = float(known.min())
    if log and low <= 0:
        raise ValueError(f"{name} must be above 0 where log is True; received {low:g} among them.")
    if high is None:
        return low, float(known.max())
    _checks.number("high", high)
    if high <= low:
        raise ValueError(f"high must be above the lowest of {name}, {low:g}; received {high!r}.")
    return low, float(high)


def fine(x: np.ndarray, y: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """x, y and values on a grid so fine that what is drawn looks smooth, `count` along a side.

    By PCHIP along one side, then along the other: smooth, above no value and below none. As they are
    where some are not finite.
    """
    if not np.isfinite(values).all() or min(values.shape) < 4:
        return x, y, values
    wide, high = (np.linspace(s[0], s[-1], max(count, len(s))) for s in (x, y))
    return wide, high, PchipInterpolator(x, PchipInterpolator(y, values)(high), axis=1)(wide)


def rows(name: str, points: ArrayLike, count: int = 2) -> np.ndarray:
    """Points [T, D], T at least `count`."""
    points = _checks.array(name, points)
    if points.ndim != 2 or len(points) < count or points.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be points [T, D], T at least {count}; received {_said(points)}.")
    return points


def _said(array):
    return f"shape {array.shape}" if array.ndim != 1 or len(array) > 6 else str(array.tolist())
