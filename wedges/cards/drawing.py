"""What sections found, as pictures: PNG files' bytes, drawn by `wedges.plots`."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from wedges import curvature, plots
from wedges.cards.words import falls, number, rises

DPI = 192  # twice that of a page, on which an inch is 96 pixels
_MOST = 2  # panels in a row


def drawn(results: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    """{place: (what it shows, PNG)} of the sections that are there.

    Args:
      results: {section: what it found}, as JSON has it.
    """
    of = lambda kind: [
        r for n, r in sorted(results.items()) if n.startswith(f"{kind}-") and "cut" not in r
    ]
    found = {}
    if some := of("curvature"):
        found["density"] = _density(some)
    if some := [r for r in of("look") if np.isfinite(_array(r["losses"])).any()]:
        found["surface"] = _surfaces(some)
    there = lambda name: results.get(name) if "cut" not in results.get(name, {"cut": ""}) else None
    if (lines := there("lines")) and lines["lines"]:
        found["lines"] = _lines(lines, there("curve"), there("aligned"))
    return found


class Pictures:
    """The same, each drawn once for what it shows."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[str, bytes]]] = {}

    def of(self, results: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
        """{place: (what it shows, PNG)}."""
        found: dict[str, tuple[str, bytes]] = {}
        groups = (("curvature",), ("look",), ("lines", "curve", "aligned"))
        for group in groups:
            some = {n: r for n, r in results.items() if n.partition("-")[0] in group}
            key = json.dumps(some, sort_keys=True)
            if key not in self._known:
                self._known[key] = drawn(some)
            found |= self._known[key]
        return found


def _array(values):
    """What JSON holds, None being NaN."""
    return np.array(values, np.float64)


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _panels(count, title, panel):
    columns = min(count, _MOST)
    rows = -(-count // columns)
    figure, axes = plots.grid(rows, columns, title=title, panel=panel)
    for ax in axes.ravel()[count:]:
        ax.remove()
    return figure, axes.ravel()


def _density(some):
    tops = ", ".join(f"{number(r['top'][0])} of {r['checkpoint']}" for r in some)
    title = f"The largest eigenvalue is {tops}"
    figure, axes = _panels(len(some), title, (4.2, 2.9) if len(some) > 1 else (6.6, 3.0))
    for ax, r in zip(axes, some, strict=False):
        density = curvature.Density(_array(r["density"]["values"]), _array(r["density"]["shares"]), 0)
        low, high = min(r["lowest"], 0), max(r["top"][0], 0)
        span = (high - low) or 1.0
        at = np.linspace(low - 0.05 * span, high + 0.05 * span, 600)
        bells = curvature.smoothed(density, at, span / 100)
        # Below one eigenvalue of D, however narrow the bell, there is nothing to see.
        ax.plot(at, np.maximum(bells, 1e-9), color=plots.BLUE, linewidth=1.4)
        ax.plot(
            r["top"],
            np.full(len(r["top"]), 0.03),
            "|",
            color=plots.ORANGE,
            markersize=14,
            transform=ax.get_xaxis_transform(),
            label="largest eigenvalues",
        )
        ax.set_ylim(bottom=max(bells.max() * 1e-7, 1e-9))
        plots.label_axes(ax, title=r["checkpoint"], x="eigenvalue of the Hessian", y="density", log="y")
    axes[0].legend(fontsize=8, loc="upper right")
    return f"Spectral density of the Hessian. {title}", _png(figure)


def _surfaces(some):
    losses = [_array(r["losses"]) for r in some]
    known = np.concatenate([each[np.isfinite(each)] for each in losses])
    low, high = float(known.min()), cut_at([r["losses"] for r in some])
    title = "The loss around it, in lengths of its filters"
    columns = min(len(some), _MOST)
    figure, axes = plots.grid(
        -(-len(some) // columns), columns, title=title, panel=(4.4, 3.6), projection="3d"
    )
    # One scale for all, so that colours and heights of two panels can be compared.
    scale = {"low": low, "high": high if high > low else low + 1.0}
    for ax, r, each in zip(axes.ravel(), some, losses, strict=False):
        plots.surface(r["x"], r["y"], each, title=r["checkpoint"], ax=ax, **scale)
        _ground(ax, r["x"], r["y"])
    for ax in axes.ravel()[len(some) :]:
        ax.remove()  # one in three dimensions that is only hidden has no extent, which a layout asks for
    return "The loss over a plane of two random, filter-normalised directions.", _png(figure)


def cut_at(surfaces: Any) -> float:
    """The loss at which surfaces are cut off, so that a few high points do not flatten all others.

    >>> wedges.cards.drawing.cut_at([[[1.0, 2.0], [3.0, None]], [[4.0, 5.0], [None, 100.0]]])
    5.0

    Args:
      surfaces: the losses of each, None being NaN.
    """
    known = np.concatenate([_array(losses).ravel() for losses in surfaces])
    return float(np.quantile(known[np.isfinite(known)], 0.8))


def _ground(ax, x, y):
    """The frame of the ground, with numbers along one of its sides, which stand for both directions."""
    (left, *_, right), (near, *_, far), z = x, y, ax.get_zlim()[0]
    corners = np.array([[left, near], [right, near], [right, far], [left, far], [left, near]])
    frame = {"color": plots.GREY, "linewidth": 0.8, "zorder": 1, "clip_on": False}
    artists = ax.plot(*corners.T, [z] * 5, **frame)
    how = {"ha": "right", "va": "top", "fontsize": 8, "zorder": 11}
    for value in (-1, 0, 1):
        artists.append(ax.text(value, near, z, f"{value} ".replace("-", "\N{MINUS SIGN}"), **how))
    for artist in artists:
        artist.set_in_layout(False)  # it may stand in the margins, and takes none of the room


def to_turn(result: dict[str, Any]) -> str | None:
    """A surface as a page of its own to be turned by hand; None without the extra `html`."""
    if not hasattr(plots, "surface_html"):
        return None
    losses = _array(result["losses"])
    known = losses[np.isfinite(losses)]
    high = float(np.quantile(known, 0.9)) if len(known) else None
    try:
        return plots.surface_html(
            result["x"], result["y"], losses, title=f"The loss around {result['checkpoint']}", high=high
        )
    except (ImportError, ValueError):  # without plotly; or a surface that is flat
        return None


def _lines(lines, curve, aligned):
    first = lines["lines"][0]
    has_accuracy = first["accuracy"] is not None
    figure, axes = plots.grid(1, 1 + has_accuracy, title=_finding(lines, curve), panel=(4.4, 3.1))
    shown = [
        (each, *_look(i), f"straight line{_ends(each, lines)}") for i, each in enumerate(lines["lines"])
    ]
    if aligned:
        shown.append((aligned, plots.GREEN, "--", "straight line, units in order"))
    if curve:
        shown.append((curve, plots.BLUE, "-", "trained curve"))
    for ax, which, label in zip(axes[0], ("loss", "accuracy"), ("loss", "accuracy in %"), strict=False):
        for each, color, style, name in shown:
            if each[which] is not None:
                values = _array(each[which]) * (100 if which == "accuracy" else 1)
                ax.plot(each["t"], values, style, color=color, marker="o", markersize=3, label=name)
        anew = "\nbatch-norm statistics found anew" if lines["batch_norm"] else ""
        plots.label_axes(
            ax, x=f"from the first to the second{anew}", y=label, legend=8 if which == "loss" else None
        )
        ax.ticklabel_format(axis="y", useOffset=False)
        low, high = ax.get_ylim()
        if which == "accuracy" and high - low < 1:
            ax.set_ylim((low + high) / 2 - 0.5, (low + high) / 2 + 0.5)
    return "Loss and accuracy on the way from one checkpoint to another.", _png(figure)


def _look(i):
    """A colour and a style for line i of six that differ without any colour; curves have others."""
    styles = ("-", ":", "-.", (0, (7, 2)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))
    return (plots.ORANGE, plots.GREY, "black")[i % 3], styles[i]


def _ends(each, lines):
    """Which line it is, where there are several."""
    return f" from {' to '.join(each['between'])}" if len(lines["lines"]) > 1 else ""


def _finding(lines, curve):
    """What the inner points of the first line and of the curve say, relative to their ends."""
    first = lines["lines"][0]
    way = f"On the straight line{_ends(first, lines)}"
    if first["accuracy"] is None:
        title = f"{way} the loss {rises(first['barrier'], '')}"
        return title + (f",\non a trained curve it {rises(curve['barrier'], '')}" if curve else "")
    title = f"{way} the accuracy {falls(first['accuracy'])}"
    known = curve and curve["accuracy"]
    return title + (f", on a trained curve it {falls(curve['accuracy'])}" if known else "")
