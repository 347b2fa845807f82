"""The spectrum of a Hessian: its density, and the eigenvalues that stand apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wedges import _checks
from wedges.plots import looks, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 800  # at which the density is drawn
_DECADES = 8  # of it that are shown
_NUMBERS = 2**21  # in memory at once
# Of a width: what Lanczos has found is an eigenvalue; elsewhere its values differ from start to start.
_ALIKE = 0.01


def density(
    spectrum: Any,
    *,
    outliers: Any = None,
    width: float | None = None,
    title: str | None = None,
    color: str = looks.BLUE,
    ax: Axes | None = None,
) -> Figure:
    """The density of eigenvalues on a logarithmic axis, those that stand apart marked.

    Each eigenvalue of the quadratures is a Gaussian, see `wedges.curvature.smoothed`: a lone one among
    D = 10^5 then has a height of 10^-5 of the bulk's, which only a logarithmic axis shows.

    >>> H = wedges.hessian(wedges.Quadratic([*np.linspace(0, 1, 98), 6.0, 9.0]), np.zeros(100))
    >>> found = wedges.spectral_density(H, samples=4, order=40, seed=0)
    >>> figure = wedges.plots.density(found)
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    '2 eigenvalues apart from the bulk: 9, 6'

    Args:
      spectrum: what `wedges.spectral_density` returned, a `Density`.
      outliers: eigenvalues to mark [k], or what `wedges.eigenpairs` returned; by default those beyond
        the bulk on which all starts of the quadrature agree to within a hundredth of `width`. The bulk
        is the largest part of the spectrum without a gap of 3 widths.
      width: the Gaussians' deviation, in units of curvature; by default 1/200 of the spectrum's range.
      title: over the picture; its first line is bold where the figure is its own.
      color: of the density.
      ax: where to draw; None makes a figure.

    Returns:
      The figure.

    Raises:
      ValueError: another kind of spectrum, a width that is not above 0.

    Source: Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Papyan 2018 (arXiv:1811.07062).
    """
    if not hasattr(spectrum, "shares"):
        raise ValueError(
            "spectrum must be a Density, of wedges.spectral_density; received "
            f"{type(spectrum).__name__}."
        )
    from wedges.curvature import smoothed  # TensorFlow, only where it is needed

    values, shares = np.asarray(spectrum.values), np.asarray(spectrum.shares)
    low, high = values[shares > 0].min(), values[shares > 0].max()
    if width is None:
        width = (high - low) / 200 or max(abs(high), 1.0) / 200
    _checks.positive("width", width)
    if outliers is None:
        marked = apart(values, shares, width)
    else:
        marked = np.sort(np.ravel(np.asarray(getattr(outliers, "values", outliers), np.float64)))[::-1]
        _checks.finite("outliers", marked)
        low, high = min([low, *marked]), max([high, *marked])
    room = max(5 * width, 0.04 * (high - low))
    at = np.linspace(low - room, high + room, _POINTS)
    # Peaks are narrower than the steps between so few points: theirs are added.
    peaks = np.unique(values[shares > 0])
    at = np.unique(np.concatenate([at, *(peaks + k * width for k in np.linspace(-3, 3, 9))]))
    few = max(1, _NUMBERS // values.size)  # of them at once
    pieces = [smoothed(spectrum, at[i : i + few], width) for i in range(0, len(at), few)]
    heights = np.concatenate(pieces)
    floor = heights.max() * 10.0**-_DECADES
    # Down to well below the lowest of what is marked.
    bottom = max(floor, min(smoothed(spectrum, marked, width)) / 200) if len(marked) else floor
    ax = panels.place(ax, title, (6.2, 3.4))
    with looks.inside(ax) as look:
        ax.fill_between(at, floor, np.maximum(heights, floor), color=color, alpha=0.22, linewidth=0)
        ax.plot(at, np.maximum(heights, floor), color=color, linewidth=1.3)
        if len(marked):
            tops = np.maximum(smoothed(spectrum, marked, width), floor) * 2.2
            said = _words(marked, "" if outliers is not None else " apart from the bulk")
            said = looks.wrapped(said, 4.0, look.letters)
            ax.plot(marked, tops, "v", color=looks.ORANGE, markersize=5, label=said, linestyle="")
            ax.legend(loc="upper right")
        ax.set_yscale("log")
        ax.set_ylim(bottom, 8 * heights.max())
        panels.label_axes(ax, x="eigenvalue", y="density of eigenvalues")
    return looks.whole(ax)


def apart(values: np.ndarray, shares: np.ndarray, width: float) -> np.ndarray:
    """Eigenvalues on either side of the bulk on which all starts agree, from the largest down.

    values, shares [S, m]. Values nearer than 3 widths to one another belong together; the bulk is what
    has the largest share together. Beyond it, the places in the order of the values, from either end,
    where the starts' values differ by at most a hundredth of `width`.
    """
    known = np.argsort(values[shares > 0])
    sorted_, share = values[shares > 0][known], shares[shares > 0][known]
    part = np.concatenate([[0], np.cumsum(np.diff(sorted_) > 3 * width)])
    bulk = sorted_[part == np.argmax(np.bincount(part, share))]
    found = []
    for sign, edge in ((1, bulk[-1]), (-1, -bulk[0])):
        # Those of no share are padding: behind all others.
        order = np.sort(np.where(shares > 0, sign * values, -np.inf), axis=1)[:, ::-1]  # [S, m]
        alike = order.min(axis=0) > edge
        alike[alike] = np.ptp(order[:, alike], axis=0) <= _ALIKE * width
        count = len(alike) if alike.all() else int(np.argmin(alike))
        found.append(sign * order[:, :count].mean(axis=0))
    return np.concatenate([found[0], found[1][::-1]])


def _words(marked, where):
    """How many, and which where they are few."""
    noun = "eigenvalue" if len(marked) == 1 else "eigenvalues"
    few = f": {', '.join(f'{v:.3g}' for v in marked)}" if len(marked) <= 6 else ""
    return f"{len(marked)} {noun}{where}{few}"
