"""Arrays -> matplotlib axes. The only module that imports matplotlib; it never sees a model."""

import numpy as np
from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def grid(rows, columns, *, title, panel=(4.2, 3.1)):
    """A figure and its axes [rows, columns]."""
    # A Figure of its own, not pyplot's: no display is needed, and no backend is changed.
    size = (panel[0] * columns, panel[1] * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained", dpi=95)
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(title, fontsize=12)
    return figure, axes


def curve(ax, x, values, *, color, label, marker="o", style="-"):
    """Mean over the first axis of values [seeds, len(x)] with a band of one standard deviation."""
    values = np.asarray(values)
    mean = values.mean(axis=0)
    ax.plot(x, mean, style, color=color, label=label, marker=marker, markersize=4, linewidth=1.6)
    if len(values) > 1:
        spread = values.std(axis=0, ddof=1)
        ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)


def label_axes(ax, *, title=None, x=None, y=None):
    """Titles and units, with a light grid."""
    if title:
        ax.set_title(title, fontsize=10)
    if x:
        ax.set_xlabel(x)
    if y:
        ax.set_ylabel(y)
    ax.grid(True, alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def footnote(figure, text):
    """One line under all panels: a verdict, a condition."""
    figure.supxlabel(text, fontsize=9)
