"""Arrays -> matplotlib axes. The only module that imports matplotlib; it never sees a model."""

import textwrap

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

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


def scatter(ax, x, values, *, color, label, marker="o", style="-"):
    """Every one of values [len(x), n] at its x, and a line through their means."""
    values = np.asarray(values)
    ax.plot(x, values.mean(axis=1), style, color=color, label=label, marker=marker, markersize=5)
    ax.plot(np.repeat(x, values.shape[1]), values.ravel(), ".", color=color, alpha=0.35, markersize=4)


def errorbars(ax, x, mean, error, *, color, label):
    """Means [len(x)] with bars of one standard error, joined by a line."""
    ax.errorbar(x, mean, yerr=error, fmt="o-", color=color, label=label, capsize=3, markersize=4)


def shade(share):
    """A colour from dark to light for a share from 0 to 1: many lines in an order."""
    return colormaps["viridis"](0.92 * share)


def triangle(ax, w, values, *, low, high, label):
    """Values [K] at barycentric positions w [K, 3] as colours over a triangle of corners 0, 1, 2."""
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    x, y = (np.asarray(w) @ corners).T
    image = ax.tripcolor(x, y, values, shading="gouraud", cmap="viridis", vmin=low, vmax=high)
    ax.plot(x, y, ".", color="white", markersize=1.5, alpha=0.6)
    for i, (cx, cy) in enumerate(corners):
        ax.annotate(f"optimum {i}", (cx, cy), ha="center", va="bottom" if i == 2 else "top", fontsize=8)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)


def contours(ax, x, y, values, *, low, high, lines, label):
    """Values [Y, X] on a grid as colours from `low` to `high`, and the contour at `lines`; NaN white."""
    levels = np.linspace(low, high, 25)
    image = ax.contourf(x, y, values, levels=levels, cmap="viridis", extend="max")
    if np.nanmin(values) < lines < np.nanmax(values):
        ax.contour(x, y, values, levels=[lines], colors=ORANGE, linewidths=1.2)
    ax.set_aspect("equal")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8, ticks=MaxNLocator(6))


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


def training_axis(ax, last):
    """Steps of a training from 0 to `last` along x, even in their logarithm beyond 30."""
    ax.set_xscale("symlog", linthresh=30)
    ticks = [0, *(t for k in range(7) for t in (10**k, 3 * 10**k) if 30 <= t <= last)]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks], fontsize=8)
    ax.set_xticks([], minor=True)
    ax.set_xlim(-2, 1.15 * last)


def space(views, *, title, panel=4.6):
    """A figure with `views` axes in three dimensions, and one flat panel beside them."""
    figure = Figure(figsize=(panel * (views + 1), panel + 0.5), layout="constrained", dpi=95)
    # Lines in front of surfaces: matplotlib would sort whole artists by their distance.
    solid = {"projection": "3d", "computed_zorder": False}
    axes = [figure.add_subplot(1, views + 1, i + 1, **solid) for i in range(views)]
    figure.suptitle(title, fontsize=12)
    return figure, axes, figure.add_subplot(1, views + 1, views + 1)


def surface(ax, vertices, faces, *, extent, color="cornflowerblue"):
    """A surface of triangles in a cube [-extent, extent]^3. vertices [V, 3], faces [F, 3]."""
    ax.plot_trisurf(*vertices.T, triangles=faces, color=color, alpha=0.22, linewidth=0, shade=True)
    for name in "xyz":
        getattr(ax, f"set_{name}lim")(-extent, extent)
        getattr(ax, f"set_{name}label")(f"$P_{'xyz'.index(name) + 1}$")
        getattr(ax, f"{name}axis").set_ticks([-1, 0, 1])
    ax.set_box_aspect((1, 1, 1))


def matrix(ax, values, *, low, high, label):
    """A square matrix [M, M] as colours from `low` to `high`, with its scale."""
    image = ax.imshow(
        values, cmap="RdBu_r", vmin=low, vmax=high, origin="lower", interpolation="nearest"
    )
    every = range(0, len(values), max(1, len(values) // 5))
    ax.set_xticks(every)
    ax.set_yticks(every)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)


def table(ax, values, texts, *, marked, rows, columns):
    """A coloured table: values [R, C] from 0 to 1 in shades, a text in each cell, some cells boxed."""
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for i, j in np.ndindex(values.shape):
        color = "white" if values[i, j] > 0.6 else "black"
        ax.text(j, i, texts[i][j], ha="center", va="center", fontsize=8, color=color)
        if marked[i, j]:
            corner = (j - 0.46, i - 0.46)
            ax.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=ORANGE, linewidth=2))
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)


def verdict(figure, claims):
    """Under all panels: how many of the claims (objects with `id` and `passed`) hold, and which fail."""
    failed = ", ".join(c.id for c in claims if not c.passed)
    held = f"{sum(c.passed for c in claims)} of {len(claims)} claims hold"
    footnote(figure, held + (f"; FAILED: {failed}" if failed else ""))


def footnote(figure, text):
    """Under all panels, in as many lines as it needs: a verdict, a condition."""
    letters = int(figure.get_figwidth() * 15)  # of 9 points, an inch
    figure.supxlabel("\n".join(textwrap.wrap(text, letters)), fontsize=9)
