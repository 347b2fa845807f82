"""Numbers over two settings, as colours: contours on a plane, matrices, phase diagrams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from wedges.plots import looks, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


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
        ax.contour(x, y, values, levels=[lines], colors=looks.ORANGE, linewidths=1.2)
    ax.set_aspect("equal")
    with looks.inside(ax):
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8, ticks=MaxNLocator(6))


def matrix(
    ax: Axes, values: np.ndarray, *, low: float, high: float, label: str, colors: str = "RdBu_r"
) -> None:
    """A square matrix [M, M] as colours from `low` to `high`, with its scale.

    `colors` is one of matplotlib's maps; the default is for numbers on both sides of 0.
    """
    image = ax.imshow(values, cmap=colors, vmin=low, vmax=high, origin="lower", interpolation="nearest")
    every = range(0, len(values), max(1, len(values) // 5))
    ax.set_xticks(every)
    ax.set_yticks(every)
    with looks.inside(ax):
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
    with looks.inside(ax) as look:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9, pad=0.02)
    letters = look.letters
    wide = panels.size(ax)[0] - 0.8  # beside its scale
    for axis, ticks, room in ((ax.xaxis, list(columns), wide), (ax.yaxis, list(rows), 99.0)):
        longest = max(len(str(tick)) for tick in ticks)
        most = min(7, max(2, int(room / ((longest + 1.5) * 0.53 * letters / 72))))
        every = range(0, len(ticks), -(-len(ticks) // most))
        axis.set_ticks(list(every), [str(ticks[i]) for i in every], fontsize=letters)
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
        ax.text(float(j), float(i), name, ha="center", va="center", fontsize=letters, bbox=box)
