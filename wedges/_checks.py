"""What the library asks of its arguments: each check once, in one wording.

A check that fails is a ValueError that names the argument, what would do and what was received. None
of them needs TensorFlow, so that what only looks at arrays does not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike

    from wedges.landscape import Landscape


def whole(name: str, value: Any, low: int = 1, high: int | None = None, *, limit: str = "") -> int:
    """The value as an `int`, where it is a whole number from `low` to `high` (None: without end).

    A float is none, also without decimals, and neither is True: both are slips. `limit` is what the
    upper end is called, e.g. "D".
    """
    known = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not known or value < low or (high is not None and value > high):
        called = f"{limit} = " if limit else ""
        allowed = f", at least {low}" if high is None else f" from {low} to {called}{high}"
        raise ValueError(f"{name} must be a whole number{allowed}; received {_shown(value)}.")
    return int(value)


def positive(name: str, value: Any) -> None:
    """A finite number above 0: a length, a rate, a width."""
    if not 0 < _number(value) < np.inf:
        raise ValueError(f"{name} must be a finite number above 0; received {_shown(value)}.")


def not_negative(name: str, value: Any) -> None:
    """A finite number, at least 0."""
    if not 0 <= _number(value) < np.inf:
        raise ValueError(f"{name} must be a finite number, at least 0; received {_shown(value)}.")


def share(name: str, value: Any) -> None:
    """A number between 0 and 1, neither of them."""
    if not 0 < _number(value) < 1:
        raise ValueError(f"{name} must be a share between 0 and 1; received {_shown(value)}.")


def choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of some words."""
    if not (isinstance(value, str) and value in choices):
        *first, last = map(repr, choices)
        known = f"{', '.join(first)} or {last}" if first else last
        raise ValueError(f"{name} must be {known}; received {_shown(value)}.")


def finite(name: str, values: ArrayLike) -> None:
    """Neither NaN nor infinity anywhere."""
    if not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"{name} must be finite; received NaN or infinity.")


def one_point(landscape: Landscape, theta: ArrayLike) -> tf.Tensor:
    """One finite point [D] of a landscape's space, as a tensor of its dtype."""
    point = landscape.point(theta)
    if point.shape.rank != 1:
        raise ValueError(
            f"theta must be one point [{landscape.dimension}]; received shape {tuple(point.shape)}."
        )
    finite("theta", point)
    return point


def standard_error(samples: ArrayLike) -> float:
    """The standard error of the mean of samples [S], their deviation over sqrt(S); NaN with one."""
    samples = np.asarray(samples)
    return np.std(samples, ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else np.nan


def _shown(value: Any) -> str:
    """What the caller wrote: 1.5, not np.float64(1.5)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _number(value: Any) -> float:
    """The value, if it is one number; NaN, which no range holds, if it is not."""
    if isinstance(value, str) or np.ndim(value):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
