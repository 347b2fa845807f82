"""How pictures look: their colours, the sizes of pages and letters, and how they are saved."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import io
import pathlib
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Annotation, Text
from matplotlib.textpath import text_to_path

from wedges import _checks

if TYPE_CHECKING:
    from matplotlib.artist import Artist

# Okabe & Ito's blue, vermillion and bluish green, and a grey so dark that the green is not taken for it
# by those who see no green: its distance from each is at least 25 (CIE 1976) in their eyes.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#444444"


@dataclasses.dataclass(frozen=True)
class Style:
    """A medium: what figures made for it have in common.

    Attributes:
      width: of a figure at most, in inches, while its panels keep `narrowest`.
      letters: the smallest letters, in points. Figures are as wide as they are shown, so this is their
        size for the reader.
      dpi: dots an inch of a PNG file, and of what a notebook shows.
      narrowest: a panel, in inches.
    """

    width: float
    letters: float
    dpi: int
    narrowest: float

    @property
    def rc(self) -> dict[Any, Any]:
        """matplotlib's settings."""
        small, title = self.letters, self.letters + 1
        return {
            "font.size": small,
            "axes.titlesize": title,
            "axes.labelsize": small,
            "xtick.labelsize": small,
            "ytick.labelsize": small,
            "legend.fontsize": small,
            "figure.titlesize": self.letters + 2,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "legend.framealpha": 0.85,
            "legend.handlelength": 1.6,
            "legend.labelspacing": 0.3,
            "legend.borderpad": 0.3,
            "axes.formatter.useoffset": False,
        }

    def size(self, rows: int, columns: int, panel: tuple[float, float]) -> tuple[float, float]:
        """Width and height in inches of so many panels, each of at most this width and height."""
        asked = panel[0] * columns
        width = min(asked, max(self.width, self.narrowest * columns))
        share = width / asked
        # Letters do not shrink with their panel, so its height shrinks by less.
        return width, rows * (share * panel[1] + (1 - share) * 0.8)


# A README is 830 pixels wide, 96 an inch; a paper's two columns 6.75 inches.
STYLES = {"screen": Style(8.6, 8.5, 150, 2.1), "paper": Style(6.75, 8, 300, 1.6)}
_current = contextvars.ContextVar("style", default=STYLES["screen"])
# Letters as letters in a PDF (journals refuse matplotlib's default kind), as outlines in an SVG, which
# then looks alike everywhere; and the same bytes for the same picture.
_SAVED: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "wedges"}
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


@contextlib.contextmanager
def style(name: str = "paper") -> Iterator[Style]:
    """What is drawn inside has the style of this name: "screen", which is the default, or "paper".

    paper: figures at most 6.75 inches wide (two columns), letters of at least 8 points, 300 dpi.

    >>> with wedges.plots.style("paper"):
    ...     figure, axes = wedges.plots.grid(1, 3, title="Three panels")
    >>> float(figure.get_figwidth()), figure.dpi
    (6.75, 300)

    Raises:
      ValueError: another name.
    """
    _checks.choice("name", name, tuple(STYLES))
    token = _current.set(STYLES[name])
    try:
        with rc_context(STYLES[name].rc):
            yield STYLES[name]
    finally:
        _current.reset(token)


def check(ax: Any) -> None:
    """Axes of matplotlib's, as all that draws into some asks for; ValueError for all else."""
    if not isinstance(ax, Axes):
        raise ValueError(
            f"ax must be axes of matplotlib's, e.g. of wedges.plots.grid; received {_checks.called(ax)}."
        )


def current() -> Style:
    """The style of what is drawn now."""
    return _current.get()


def whole(ax: Axes) -> Figure:
    """The figure that axes are in, also where they are in a part of it."""
    return cast(Figure, ax.figure.figure)


@contextlib.contextmanager
def inside(ax: Axes) -> Iterator[Style]:
    """The style of the figure that these axes are in, for what is added to it."""
    look = getattr(whole(ax), "look", None) or current()
    with rc_context(look.rc):
        yield look


class Picture(Figure):
    """A figure of matplotlib's that needs no display, and shows itself in a notebook.

    It is not pyplot's: no window opens, no backend is changed, and it is freed when it is forgotten.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.look = current()
        usual = {"dpi": self.look.dpi, "layout": _Inside(w_pad=0.07, h_pad=0.06)}
        super().__init__(*args, **{**usual, **kwargs})
        self._title, self._below = "", cast("Artist | None", None)
        self._grown: dict[Any, float] = {}

    def grow(self, row: Any, inches: float) -> None:
        """Make room below a row of panels; of several in one row the highest counts."""
        more = inches - self._grown.get(row, 0.0)
        if more > 0:
            self._grown[row] = inches
            self.set_figheight(self.get_figheight() + more)

    def suptitle(self, t: str, **kwargs: Any) -> Text:
        """The finding in bold, and in grey below it the conditions, which follow after a line's end."""
        finding, conditions = titled(t, self.get_figwidth(), self.look)
        # Empty lines keep the room of the conditions, which have letters of their own.
        text = "\n".join([*finding, *[" "] * len(conditions)])
        usual = {"x": 0.1 / self.get_figwidth(), "ha": "left", "fontweight": "bold"}
        above = super().suptitle(text, **{**usual, "fontsize": self.look.letters + 2, **kwargs})
        if self._below is not None:
            self._below.remove()
        place: dict[str, Any] = {
            "xycoords": above,
            "ha": "left",
            "va": "bottom",
            "annotation_clip": False,
        }
        how: dict[str, Any] = {"fontsize": self.look.letters, "color": GREY, "linespacing": 1.3}
        self._title = t
        self._below = self.add_artist(Annotation("\n".join(conditions), (0, 0), **how, **place))
        return above

    def get_suptitle(self) -> str:
        """The title as it was given."""
        return self._title

    def _repr_png_(self) -> bytes:
        """What IPython shows: the figure as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def savefig(self, fname: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Write the figure, as `matplotlib.figure.Figure.savefig` does; the same bytes every time."""
        named = kwargs.get("format") or pathlib.Path(str(fname)).suffix.removeprefix(".")
        undated = {"metadata": _UNDATED[named]} if named in _UNDATED else {}
        with rc_context(_SAVED):
            super().savefig(fname, **{**undated, **kwargs})


def shade(share: float) -> tuple[float, float, float, float]:
    """A colour from dark to light for a share from 0 to 1: many lines in an order."""
    if not _checks.is_number(share):
        raise ValueError(f"share must be a number from 0 to 1; received {_checks.called(share)}.")
    return colormaps["viridis"](0.92 * share)


def titled(text: str, width: float, look: Style) -> tuple[list[str], list[str]]:
    """The lines of a title's finding and those of its conditions, in a figure so many inches wide.

    The conditions begin in a new line, where that does not go on with the sentence: after a comma, or
    with "and".
    """
    finding, *conditions = re.split(r"(?<!,)\n(?!and )", text)
    bold = wrapped(finding, width - 0.2, look.letters + 2, bold=True)
    below = wrapped("\n".join(conditions), width - 0.2, look.letters)
    return (bold.split("\n") if bold else []), (below.split("\n") if below else [])


class _Inside(ConstrainedLayoutEngine):
    """matplotlib's layout, which makes no room beside an axes for a title that is wider than it is.

    A title over an axes that long labels have pushed aside moves back into the figure.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Of each title where it stands since it was moved, and where it was.
        self._moved: dict[Text, tuple[float, float]] = {}

    def execute(self, fig: Figure) -> None:  # type: ignore[override]
        super().execute(fig)
        for ax in fig.axes:
            title, room = ax.title, ax.get_window_extent().width
            if not (ax.get_title() and room > 0):
                continue
            x = title.get_position()[0]
            moved, own = self._moved.get(title, (x, x))
            if x != moved:  # somebody has set it since then
                own = x
            title.set_x(own)
            box = title.get_window_extent()
            right, left = max(0.0, box.x1 - fig.bbox.x1 + 2), max(0.0, fig.bbox.x0 + 2 - box.x0)
            title.set_x(own + (left - right) / room)
            self._moved[title] = title.get_position()[0], own


def wrapped(text: str, inches: float, points: float, *, bold: bool = False) -> str:
    """Text in lines that fit into so many inches in letters of so many points.

    Its own lines stay, unless one of them does not fit: then all of it is set anew.
    """
    # DejaVu Sans, matplotlib's own: a letter is on average so wide, in its height.
    fit = max(8, int(72 * inches / (points * (0.6 if bold else 0.53))))
    if all(len(_seen(line)) <= fit for line in text.split("\n")) and _fits(text, inches, points, bold):
        return text
    # No formula is broken, "m = 2" is not, either: spaces inside are none while lines are set.
    words = re.sub(r"\$.*?\$|\S{1,3} = \S{1,6}", lambda m: m[0].replace(" ", "\0"), text).split()
    set_in = functools.partial(_evenly, words, breaks="$" not in text)
    while fit > 8 and not _fits(set_in(fit), inches, points, bold):
        fit -= 1
    return set_in(fit)


def _evenly(words, fit, breaks):
    """Words in lines of at most so many letters, all of about one length."""
    how: Any = {"break_on_hyphens": False, "break_long_words": breaks}
    lines = lambda most: [
        line.replace("\0", " ") for line in textwrap.wrap(" ".join(words), most, **how)
    ]
    # The narrowest that take no more lines.
    count, narrow = len(lines(fit)), max([1, *map(len, words)])
    return "\n".join(next((lines(n) for n in range(narrow, fit) if len(lines(n)) == count), lines(fit)))


def _fits(text, inches, points, bold):
    """Whether the lines are so wide at most as they are drawn, those with a formula left out."""
    font = FontProperties(size=points, weight="bold" if bold else "normal")
    wide = lambda line: text_to_path.get_text_width_height_descent(line, font, False)[0]
    return all(wide(line) <= 72 * inches for line in text.split("\n") if "$" not in line)


def _seen(text: str) -> str:
    """A text with formulas about as long as it is drawn: a command is a letter, braces are none."""
    return re.sub(r"\$(.*?)\$", lambda m: re.sub(r"\\[a-zA-Z]+|[{}_^ ]", _drawn, m[1]), text)


def _drawn(part: re.Match[str]) -> str:
    name = part[0].removeprefix("\\")
    if name == part[0] or name in ("mathrm", "rm", "sqrt"):
        return ""
    return name if name in ("max", "min", "log", "exp") else "x"
