"""Arrays -> matplotlib axes. The only module that imports matplotlib; it never sees a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

# Okabe & Ito's palette: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def grid(
    rows: int, columns: int, *, title: str, panel: tuple[float, float] = (4.2, 3.1)
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes [rows, columns]; a panel's width and height in inches.

    >>> figure, axes = wedges.plots.grid(1, 2, title="Two panels")
    >>> axes.shape
    (1, 2)
    """
    # A Figure of its own, not pyplot's: no display is needed, and no backend is changed.
    size = (panel[0] * columns, panel[1] * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained", dpi=95)
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(title, fontsize=12)
    return figure, axes


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
    values = np.asarray(values)
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
    values = np.asarray(values)
    ax.plot(x, values.mean(axis=1), style, color=color, label=label, marker=marker, markersize=5)
    ax.plot(np.repeat(x, values.shape[1]), values.ravel(), ".", color=color, alpha=0.35, markersize=4)


def errorbars(
    ax: Axes, x: ArrayLike, mean: ArrayLike, error: ArrayLike, *, color: str, label: str
) -> None:
    """Means [len(x)] with bars of one standard error, joined by a line."""
    ax.errorbar(x, mean, yerr=error, fmt="o-", color=color, label=label, capsize=3, markersize=4)


def shade(share: float) -> tuple[float, float, float, float]:
    """A colour from dark to light for a share from 0 to 1: many lines in an order."""
    return colormaps["viridis"](0.92 * share)


def contours(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    low: float,
    high: float,
    lines: float,
    label: str,
) -> None:
    """Values [Y, X] on a grid as colours from `low` to `high`, and the contour at `lines`; NaN white."""
    levels = np.linspace(low, high, 25)
    image = ax.contourf(x, y, values, levels=levels, cmap="viridis", extend="max")
    if np.nanmin(values) < lines < np.nanmax(values):
        ax.contour(x, y, values, levels=[lines], colors=ORANGE, linewidths=1.2)
    ax.set_aspect("equal")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8, ticks=MaxNLocator(6))


def label_axes(
    ax: Axes,
    *,
    title: str | None = None,
    x: str | None = None,
    y: str | None = None,
    log: str = "",
    ticks: Mapping[float, str] | Iterable[float] | None = None,
    legend: float | None = None,
    grid: bool = True,
) -> None:
    """Titles and units, with a light grid.

    log: the logarithmic axes, "x", "y" or "xy"; ticks: along x at these places alone, by their numbers
    or by names {place: name}; legend: the size of its letters, where there is one.
    """
    ax.set(**{f"{name}scale": "log" for name in log})
    if ticks is not None:
        names = ticks if isinstance(ticks, Mapping) else {place: f"{place:g}" for place in ticks}
        ax.set_xticks(list(names), list(names.values()))
        ax.set_xticks([], minor=True)
    if title:
        ax.set_title(title, fontsize=10)
    if x:
        ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
    if legend is not None:
        ax.legend(fontsize=legend)
    if grid:
        ax.grid(True, alpha=0.25)
    else:
        ax.grid(False)
    ax.spines[["top", "right"]].set_visible(False)


def matrix(ax: Axes, values: np.ndarray, *, low: float, high: float, label: str) -> None:
    """A square matrix [M, M] as colours from `low` to `high`, with its scale."""
    image = ax.imshow(
        values, cmap="RdBu_r", vmin=low, vmax=high, origin="lower", interpolation="nearest"
    )
    every = range(0, len(values), max(1, len(values) // 5))
    ax.set_xticks(every)
    ax.set_yticks(every)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)


def phases(
    ax: Axes,
    values: ArrayLike,
    names: ArrayLike,
    *,
    rows: Iterable[object],
    columns: Iterable[object],
    low: float | None = None,
    high: float | None = None,
    colors: str = "viridis",
    label: str,
) -> None:
    """A measure over two settings as colours, its regions of one name outlined and named.

    >>> figure, ((ax,),) = wedges.plots.grid(1, 1, title="Two phases")
    >>> names = [["I", "II"], ["I", "II"]]
    >>> wedges.plots.phases(ax, [[1, 2], [3, 4]], names, rows="ab", columns="xy", label="loss")
    >>> sorted(text.get_text() for text in ax.texts)
    ['I', 'II']

    Args:
      values: [R, C], the first row on top; NaN is left white.
      names: of the region that each cell is in [R, C]; "" in none.
      rows, columns: what stands beside each.
      low, high: of the scale; by default those of the values.
      colors: one of matplotlib's colour maps.
      label: of the scale.
    """
    values, names = np.asarray(values, float), np.asarray(names, str)
    image = ax.imshow(values, cmap=colors, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9, pad=0.02)
    for axis, ticks in ((ax.xaxis, list(columns)), (ax.yaxis, list(rows))):
        every = range(0, len(ticks), -(-len(ticks) // 7))
        axis.set_ticks(list(every), [str(ticks[i]) for i in every], fontsize=8)
    line: dict[str, Any] = {"color": "black", "linewidth": 1.6, "solid_capstyle": "projecting"}
    for i, j in np.ndindex(names.shape):
        if j + 1 < names.shape[1] and names[i, j] != names[i, j + 1]:
            ax.plot([j + 0.5, j + 0.5], [i - 0.5, i + 0.5], **line)
        if i + 1 < names.shape[0] and names[i, j] != names[i + 1, j]:
            ax.plot([j - 0.5, j + 0.5], [i + 0.5, i + 0.5], **line)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    for name in sorted(set(names.ravel()) - {""}):
        # In the middle of its largest part, at the cell that is deepest inside.
        parts, count = ndimage.label(names == name)
        largest = parts == 1 + np.argmax([np.sum(parts == k + 1) for k in range(count)])
        inside = ndimage.distance_transform_cdt(np.pad(largest, 1), "taxicab")[1:-1, 1:-1]
        middle = np.argwhere(largest).mean(axis=0)
        far = np.abs(np.indices(names.shape) - middle[:, None, None]).sum(axis=0)
        i, j = np.unravel_index(np.argmax(np.where(largest, inside - far / names.size, -1)), names.shape)
        ax.text(float(j), float(i), name, ha="center", va="center", fontsize=8, bbox=box)
