"""A figure of several panels, and what all axes have in common: labels, ticks, ranges."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.ticker import (
    AutoLocator,
    LogFormatterSciNotation,
    MaxNLocator,
    ScalarFormatter,
)
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression

from wedges.plots import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The shortest axis, in shares of the largest number on it: what differs by less than rounding in
# float32 does not look different. Percentages have one point.
_SHORTEST, _PERCENT = 1e-3, 1.0
_COVERED = 0.25  # of a panel, by its legend, at most
_COLUMN = 0.2  # of a panel's width: lines that end so near one another have their names in one column


def grid(
    rows: int,
    columns: int,
    *,
    title: str,
    panel: tuple[float, float] = (4.2, 3.1),
    projection: str | None = None,
) -> tuple[looks.Picture, np.ndarray]:
    """A figure and its axes [rows, columns].

    >>> figure, axes = wedges.plots.grid(1, 2, title="Two panels")
    >>> axes.shape
    (1, 2)

    Args:
      rows, columns: of panels.
      title: its first line, the finding, is bold; further ones say the conditions.
      panel: a panel's width and height in inches, or less: a figure is as wide as it is shown (see
        `style`), so that its letters are legible there.
      projection: of the axes: None, or "3d".
    """
    figure = page(rows, columns, title=title, panel=panel)
    with rc_context(figure.look.rc):
        how = {"projection": projection, "computed_zorder": False} if projection else {}
        axes = figure.subplots(rows, columns, squeeze=False, subplot_kw=how)
    return figure, axes


def page(
    rows: int, columns: int, *, title: str, panel: tuple[float, float] = (4.2, 3.1)
) -> looks.Picture:
    """A figure with room for so many panels, and none in it yet; arguments are those of `grid`."""
    look = looks.current()
    width, height = look.size(rows, columns, panel)
    lines = sum(map(len, looks.titled(title, width, look)))
    figure = looks.Picture(figsize=(width, height + 0.1 + 0.18 * lines))
    if title:
        figure.suptitle(title)
    return figure


def place(
    ax: Axes | None, title: str | None, size: tuple[float, float], projection: str | None = None
) -> Axes:
    """The axes to draw into: `ax`, with the title over it, or those of a figure of their own."""
    if ax is None:
        _, ((ax,),) = grid(1, 1, title=title or "", panel=size, projection=projection)
    elif title:
        label_axes(ax, title=title)
    return ax


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
    span: float | None = None,
) -> None:
    """Titles and units, with a light grid.

    Ticks are whole where all that is drawn has whole x, and show the numbers themselves, with no offset
    to be added. Where y is linear and is not limited, its range is never so short that rounding fills
    it: see `span`.

    Args:
      ax: the axes.
      title, x, y: over them, and along each.
      log: the logarithmic axes, "x", "y" or "xy".
      ticks: along x at these places alone, by their numbers or by names {place: name}.
      legend: the size of its letters, where there is one; never below the style's.
      grid: whether there is one.
      span: the shortest range of y, in its own units; None is 1 for percentages ("accuracy (%)"), else
        a thousandth of the largest number on the axis.
    """
    with looks.inside(ax) as look:
        ax.set(**{f"{name}scale": "log" for name in log})
        if ticks is not None:
            names = ticks if isinstance(ticks, Mapping) else {place: f"{place:g}" for place in ticks}
            ax.set_xticks(list(names), list(names.values()))
            ax.set_xticks([], minor=True)
        width, height = size(ax)
        if title:
            ax.set_title(looks.wrapped(title, width, look.letters + 1), fontsize=look.letters + 1)
        if x:
            ax.set_xlabel(looks.wrapped(x, width, look.letters), fontsize=look.letters)
        if y:
            ax.set_ylabel(looks.wrapped(y, height, look.letters), fontsize=look.letters)
        if span is None and "%" in ax.get_ylabel():
            span = _PERCENT
        plain_numbers(ax, Calm(0, whole=_whole(ax)), Calm(span))
        if legend is not None:
            _explain(ax, max(legend, look.letters), width, height)
        if grid:
            ax.grid(True, alpha=0.25, linewidth=0.6)
        else:
            ax.grid(False)
        ax.spines[["top", "right"]].set_visible(False)


def name_lines(ax: Axes, *, room: float = 1.4) -> None:
    """Every labelled line's name in its colour at its right end, in place of a legend.

    Names that would overlap move up or down, together by as little as they can (least squares). It is
    called last: what changes the axes' limits later moves the lines and not their names.

    >>> figure, ((ax,),) = wedges.plots.grid(1, 1, title="Two lines")
    >>> lines = ax.plot([0, 1], [0, 1], label="rises"), ax.plot([0, 1], [1, 0], label="falls")
    >>> wedges.plots.name_lines(ax)
    >>> [text.get_text() for text in ax.texts]
    ['rises', 'falls']

    Args:
      ax: the axes.
      room: for a name beside the panel, in inches; longer ones take several lines.
    """
    handles, names = ax.get_legend_handles_labels()
    lines = [getattr(handle, "lines", [handle])[0] for handle in handles]  # of error bars the line
    if not lines:
        return
    with looks.inside(ax) as look:
        names = [looks.wrapped(name, room, look.letters) for name in names]
        ends = np.array([(line.get_transform() - ax.transAxes).transform(_end(line)) for line in lines])
        last = ends[:, 0].max()  # names of lines that end near it stand in one column there
        ends[ends[:, 0] > last - _COLUMN, 0] = last
        high = np.array([1.25 * (name.count("\n") + 1) for name in names]) * look.letters / 72
        places = _apart(ends[:, 1], high / max(size(ax)[1], 0.5))
        for line, name, x, y in zip(lines, names, ends[:, 0], places, strict=True):
            at: dict[str, Any] = {"xycoords": "axes fraction"}
            at |= {"xytext": (6, 0), "textcoords": "offset points"}
            how: dict[str, Any] = {
                "ha": "left",
                "va": "center",
                "annotation_clip": False,
                "linespacing": 1.1,
            }
            ax.annotate(name, (x, y), color=line.get_color(), fontsize=look.letters, **at, **how)


def _end(line):
    """The last point of a line that is one."""
    x, y = (np.asarray(v, np.float64) for v in line.get_data(orig=False))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        raise ValueError(f"the line {line.get_label()!r} must have a finite point to be named at.")
    last = known[np.argmax(x[known])]
    return x[last], y[last]


def _apart(places, heights):
    """Places from 0 to 1 as near to the given ones as `heights` allow, none overlapping another.

    In their order, less what stands below each, they must not fall: an isotonic regression.
    """
    order = np.argsort(places, kind="stable")
    high = heights[order]
    below = np.cumsum(high) - high / 2  # from the bottom of the lowest to each one's middle
    free = isotonic_regression(places[order] - below).x
    found = np.empty(len(places))
    found[order] = np.clip(free, 0, max(0, 1 - high.sum())) + below
    return found


def _explain(ax, letters, width, height):
    """A legend where it covers no line and not much of the panel, else below; its size is in inches."""
    handles, names = ax.get_legend_handles_labels()
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    lines = sum(name.count("\n") + 1 for name in names)
    covered = (0.53 * longest + 4) * 1.35 * lines * (letters / 72) ** 2
    if covered <= _COVERED * width * height and not _covers(ax.legend(handles, names, fontsize=letters)):
        return
    # Under ticks and label, whose height is that of some lines.
    more = ax.get_xlabel().count("\n")
    more += max((text.get_text().count("\n") for text in ax.get_xticklabels()), default=0)
    below = ScaledTranslation(0, -(3.6 + 1.25 * more) * letters / 72, looks.whole(ax).dpi_scale_trans)
    where = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": ax.transAxes + below}
    where |= {"frameon": False, "borderaxespad": 0, "columnspacing": 1.2}
    # No wider than the panel, which would have to make way; the figure grows by its height.
    names = [looks.wrapped(name, width - 0.35, letters) for name in names]
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    columns = min(len(names), max(1, int(width / ((0.53 * longest + 3.8) * letters / 72))))
    deep = -(-len(names) // columns)
    where["ncols"] = columns = -(-len(names) // deep)
    rows = itertools.zip_longest(*np.array_split(names, columns), fillvalue="")
    lines = sum(max(name.count("\n") + 1 for name in row) for row in rows)
    if isinstance(figure := looks.whole(ax), looks.Picture):
        row = getattr(ax.get_subplotspec(), "rowspan", range(0)).stop
        figure.grow((id(ax.figure), row), (1.35 * lines + 1) * letters / 72)
    ax.legend(handles, names, fontsize=letters, **where)


def _covers(legend):
    """Whether a legend in its best place lies on a line, a band or a bar of its panel."""
    ax = legend.axes
    figure = looks.whole(ax)
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    # As large as the axes will be: the layout of the page makes room for labels when it is drawn.
    place, line = ax.get_position(original=True), looks.current().letters * 1.45 / 72
    words = [text for text in (ax.get_xlabel(), ax.get_title()) if text]
    wide, high = size(ax)
    high += 0.45 - line * (1 + sum(text.count("\n") + 1 for text in words))
    inches = np.maximum([wide, high], 0.1)
    width, height = np.minimum(inches / (ax.figure.bbox.size / figure.dpi), place.size)
    ax.set_position((place.x0, place.y0, width, height))
    ax.apply_aspect()
    try:
        box = legend.get_window_extent(figure.canvas.get_renderer())
        return _lies_on_lines(legend, box.padded(0.05 * figure.dpi))
    finally:
        ax.set_position(place)
        ax.set_in_layout(True)  # from which setting its position takes it


def _lies_on_lines(legend, box):
    ax = legend.axes
    moved = lambda artist: [artist.get_path().transformed(artist.get_transform())]
    bands = (c for c in ax.collections if isinstance(c, PolyCollection))
    bars = (p for p in ax.patches if p.get_data_transform() == ax.transData)  # not a shaded range
    lines = [path for line in ax.lines for path in moved(line)]
    areas = [path.transformed(band.get_transform()) for band in bands for path in band.get_paths()]
    areas += [path for bar in bars for path in moved(bar)]
    on_line = any(path.intersects_bbox(box, filled=False) for path in lines)
    return on_line or any(area.intersects_bbox(box, filled=True) for area in areas)


class Calm(AutoLocator):
    """Ticks of a linear axis whose range is at least `span`; None: a thousandth of what it shows."""

    def __init__(self, span: float | None, *, whole: bool = False) -> None:
        super().__init__()
        self.span = span
        if whole:
            self.set_params(integer=True, min_n_ticks=1)

    def view_limits(self, dmin: float, dmax: float) -> tuple[float, float]:
        """The range that what lies between dmin and dmax is drawn in; a limit that is set is kept."""
        low, high = super().view_limits(dmin, dmax)
        least = self._least(low, high)
        if np.isfinite([low, high]).all() and high - low < least:
            middle = (low + high) / 2
            return middle - least / 2, middle + least / 2
        return low, high

    def nonsingular(self, v0: float, v1: float) -> tuple[float, float]:
        """The range of one number alone, too, is no longer than it must be."""
        if v0 == v1 and np.isfinite(v0) and (least := self._least(v0, v1)) > 0:
            return v0 - least / 2, v1 + least / 2
        return super().nonsingular(v0, v1)

    def _least(self, low, high):
        return _SHORTEST * max(abs(low), abs(high)) if self.span is None else self.span


class _Plain(LogFormatterSciNotation):
    """0.3 and 20 in place of powers of ten, where a number is short."""

    def __call__(self, x, pos=None):
        text = super().__call__(x, pos)
        return f"{x:g}" if text and 1e-3 <= abs(x) < 1e4 else text


def plain_numbers(ax: Axes, x: MaxNLocator | None = None, y: MaxNLocator | None = None) -> None:
    """Numbers as they are along both axes, but not in the way of ticks that someone chose.

    x, y: what finds the places of ticks along each, where it is linear.
    """
    for axis, locator in ((ax.xaxis, x), (ax.yaxis, y)):
        if axis.get_scale() == "linear" and isinstance(axis.get_major_locator(), AutoLocator):
            if locator is not None:
                axis.set_major_locator(locator)
            if isinstance(formatter := axis.get_major_formatter(), ScalarFormatter):
                formatter.set_useOffset(False)
        if type(axis.get_major_formatter()) is LogFormatterSciNotation:
            axis.set_major_formatter(_Plain())
        if type(axis.get_minor_formatter()) is LogFormatterSciNotation:
            axis.set_minor_formatter(_Plain())
    ax.autoscale_view()


def _whole(ax):
    """Whether all lines drawn in the axes have whole numbers along x."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    kinds = {np.asarray(line.get_xdata(orig=True)).dtype.kind for line in lines}
    return bool(lines) and kinds <= set("iu")


def size(ax: Axes) -> tuple[float, float]:
    """About how wide and high the axes are, in inches: a panel without its numbers and labels."""
    width, height = np.asarray(ax.figure.bbox.size) / looks.whole(ax).dpi
    if (cell := ax.get_subplotspec()) is not None:
        grid = cell.get_gridspec()
        wide, high = (np.array(r) for r in (grid.get_width_ratios(), grid.get_height_ratios()))
        width *= wide[list(cell.colspan)].sum() / wide.sum()
        height *= 0.85 * high[list(cell.rowspan)].sum() / high.sum()
    return float(width) - 0.75, float(height) - 0.5
