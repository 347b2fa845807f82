"""Numbers against a setting: means with bands, points with their mean, bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wedges import _checks
from wedges.plots import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def curve(
    ax: Axes,
    x: ArrayLike,
    values: ArrayLike,
    *,
    color: str,
    label: str,
    marker: str = "o",
    style: str = "-",
) -> None:
    """Mean over the first axis of values [seeds, len(x)] with a band of one standard deviation."""
    looks.check(ax)
    x, values = _checks.array("x", x, text=True), _rows(values)
    mean = values.mean(axis=0)
    ax.plot(x, mean, style, color=color, label=label, marker=marker, markersize=4, linewidth=1.6)
    if len(values) > 1:
        spread = values.std(axis=0, ddof=1)
        ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)


def scatter(
    ax: Axes,
    x: ArrayLike,
    values: ArrayLike,
    *,
    color: str,
    label: str,
    marker: str = "o",
    style: str = "-",
) -> None:
    """Every one of values [len(x), n] at its x, and a line through their means."""
    looks.check(ax)
    x, values = _checks.array("x", x, text=True), _rows(values)
    ax.plot(x, values.mean(axis=1), style, color=color, label=label, marker=marker, markersize=5)
    ax.plot(np.repeat(x, values.shape[1]), values.ravel(), ".", color=color, alpha=0.35, markersize=4)


def errorbars(
    ax: Axes, x: ArrayLike, mean: ArrayLike, error: ArrayLike, *, color: str, label: str
) -> None:
    """Means [len(x)] with bars of one standard error, joined by a line."""
    looks.check(ax)
    x, mean = _checks.array("x", x, text=True), _checks.floats("mean", mean)
    error = None if error is None else _checks.floats("error", error)
    ax.errorbar(x, mean, yerr=error, fmt="o-", color=color, label=label, capsize=3, markersize=4)


def _rows(values):
    """Numbers of two axes."""
    values = _checks.array("values", values)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must be numbers of two axes; received shape {values.shape}.")
    return values
