"""Paths through weight space, on a plane: between optima (Garipov et al.), and of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.patheffects import withStroke

from wedges import _checks
from wedges.plots import inputs, looks, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

# Low losses pale, as a path that is lit, so that lines of every colour are seen there.
LOSS = ListedColormap(colormaps["YlGnBu"](np.linspace(0, 0.8, 256)), "loss")
# From early to late; dark at both ends enough to be seen on the palest losses.
TIME = ListedColormap(colormaps["plasma"](np.linspace(0, 0.8, 256)), "time")
_COLORS = (looks.ORANGE, looks.BLUE, looks.GREEN, looks.GREY)
_CASE = [withStroke(linewidth=4.5, foreground="white")]
_FINE = 201  # points along a side of what is drawn
# Off the plane by less than this share of its length, a path is drawn as one that lies in it.
_OFF = 1e-3


class Plane(Protocol):
    """What a plane must know of points [T, D], as `wedges.AffineSubspace` does."""

    def coordinates(self, theta: ArrayLike) -> Any:
        """Where they stand on it, [T, 2]."""

    def distance(self, theta: ArrayLike) -> Any:
        """How far from it they are, [T]."""


def window(
    plane: Plane, points: ArrayLike, *, steps: int = 41, margin: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """A grid of a plane that shows these points: x [X] and y [Y] for `wedges.probe.plane`.

    >>> ends = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [4.0, 4.0, 1.0]])
    >>> x, y = wedges.plots.window(wedges.through(ends), ends, steps=5, margin=0.5)
    >>> x.tolist(), y.tolist()
    ([-2.0, 0.0, 2.0, 4.0, 6.0], [-2.0, 0.0, 2.0, 4.0, 6.0])

    Args:
      plane: an `AffineSubspace` of two dimensions.
      points: [T, D], T at least 2.
      steps: along the longer side; the other has as many as keep the cells square.
      margin: on each side, in shares of the longer side of the points' box.

    Returns:
      x and y, even, in Euclidean length.
    """
    steps = _checks.whole("steps", steps, 2)
    _checks.not_negative("margin", margin)
    at = _coordinates(plane, inputs.rows("points", points))
    low, high = at.min(axis=0), at.max(axis=0)
    room = margin * np.max(high - low)
    if not np.max(high - low) > 0:
        raise ValueError("points must differ on the plane; received points that are one there.")
    low, high = low - room, high + room
    cell = np.max(high - low) / (steps - 1)
    if not np.all(high - low > 0):  # on a line along one of the axes, and without a margin
        raise ValueError("margin must be above 0 where the points lie on a line; received 0.")
    counts = np.maximum(2, np.round((high - low) / cell).astype(int) + 1)
    x, y = (np.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True))
    return x, y


def path_on_plane(
    plane: Plane,
    x: ArrayLike,
    y: ArrayLike,
    losses: ArrayLike,
    paths: Mapping[str, Any],
    points: Mapping[str, ArrayLike] | None = None,
    *,
    title: str | None = None,
    log: bool = True,
    high: float | None = None,
    levels: int = 10,
    label: str = "loss",
    ax: Axes | None = None,
) -> Figure:
    """Paths between optima on a plane, over labelled contours of the loss there.

    A point that is off the plane stands where the nearest point of the plane is; how far off the path
    is at most stands beside its name, and such a path is dashed: it does not have the losses that are
    drawn under it.

    >>> bowl = wedges.Quadratic([1.0, 4.0, 9.0])
    >>> ends = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], "float32")
    >>> curve = wedges.Connector(ends, wedges.simplex.Bernstein(1, 2), [[0.0, 2.0, 0.0]])
    >>> plane = wedges.through(curve.path)  # both ends, and the bend
    >>> x, y = wedges.plots.window(plane, curve.path, steps=21)
    >>> losses = wedges.probe.plane(bowl, plane, x, y)
    >>> figure = wedges.plots.path_on_plane(plane, x, y, losses, {"curve": curve, "line": ends})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['curve', 'line']

    Args:
      plane: an `AffineSubspace` of two dimensions, e.g. `wedges.through([a, bend, b])`.
      x, y: where the losses are [X] and [Y], in Euclidean length along the plane's axes.
      losses: [Y, X], as `wedges.probe.plane` returns them; what is not finite is left white.
      paths: by what each is called: points in order [T, D], or a `Connector` of two optima.
      points: [D] each, to be marked, by what each is called; by default the ends of the first path.
      title: over the picture; its first line is bold where the figure is its own.
      log: whether the contours are even in the logarithm of the loss.
      high: the loss from which on all is one colour; by default the highest.
      levels: of contours, about.
      label: what the contours are of.
      ax: where to draw; None makes a figure.

    Returns:
      The figure.

    Raises:
      ValueError: losses of another shape than the grid, none above 0 where `log`, paths of fewer than
        two points or of another space.

    Source: Garipov et al. 2018 (arXiv:1802.10026), Figure 1.
    """
    x, y, losses = inputs.on_grid(x, y, losses, "losses")
    if not paths:
        raise ValueError("paths must be at least one, by its name; received none.")
    thetas = {name: inputs.rows(f"paths[{name!r}]", _along(path)) for name, path in paths.items()}
    if points is None:
        first = next(iter(thetas.values()))
        points = {"A": first[0], "B": first[-1]}
    tracks = {name: _coordinates(plane, theta) for name, theta in thetas.items()}
    shape = float(np.clip(np.ptp(y) / np.ptp(x), 0.4, 1.1))
    ax = panels.place(ax, title, (6.2, 5.8 * shape + 0.5 + 0.17 * len(paths)))
    with looks.inside(ax) as look:
        marked = {name: _coordinates(plane, np.asarray(at)[None]) for name, at in points.items()}
        seen = np.concatenate([*tracks.values(), *marked.values()])
        _backdrop(ax, x, y, losses, seen, log=log, high=high, levels=levels)
        for i, (name, theta) in enumerate(thetas.items()):
            at, off = tracks[name], np.max(np.asarray(plane.distance(theta)))
            length = np.sum(np.linalg.norm(np.diff(theta.astype(np.float64), axis=0), axis=1))
            beside = bool(off > _OFF * length)
            said = f"{name} (up to {off:.2g} off the plane)" if beside else name
            line: dict[str, Any] = {
                "color": _COLORS[i % 4],
                "linewidth": 2.2,
                "zorder": 4 + i,
                "label": said,
            }
            ax.plot(*at.T, linestyle=(0, (3, 1.2)) if beside else "-", path_effects=_CASE, **line)
        for name, place in marked.items():
            _mark(ax, place[0], name, look)
        _finish(ax, x, y)
        # Above the picture, so that it hides nothing.
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.2, handlelength=2.4
        )
        kind = f"contours: {label}" + (", even in its logarithm" if log else "")
        panels.label_axes(ax, x=f"distance in weight space (L2); {kind}", span=0, grid=False)
    return looks.whole(ax)


def trajectory(
    snapshots: ArrayLike,
    *,
    steps: ArrayLike | None = None,
    principal: Any = None,
    plane: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str | None = None,
    log: bool = True,
    high: float | None = None,
    label: str = "step",
    ax: Axes | None = None,
) -> Figure:
    """A training in the plane in which it lies best, time as colour.

    The axes are the principal directions of the snapshots about the last one, each labelled with its
    share of the squared distances to it; see `wedges.principal`.

    >>> snapshots = np.array([[4.0, 1.0, 9.0], [1.0, 1.0, 9.0], [0.0, 0.0, 9.0]])
    >>> figure = wedges.plots.trajectory(snapshots)
    >>> figure.axes[0].get_xlabel()
    'direction 1 (97.4% of the variation)'

    Args:
      snapshots: [T, D] in order, T at least 3.
      steps: when each was taken [T], rising; 0 to T - 1 by default.
      principal: what `wedges.principal(snapshots)` returned, where it is known already.
      plane: x [X], y [Y] and losses [Y, X] of `wedges.probe.plane` on `principal.subspace`, to be drawn
        as contours under it; see `window`.
      title: over the picture; its first line is bold where the figure is its own.
      log: whether these contours are even in the logarithm of the loss.
      high: the loss from which on they are one colour; by default the highest.
      label: what `steps` counts.
      ax: where to draw; None makes a figure.

    Returns:
      The figure.

    Raises:
      ValueError: fewer than three snapshots, steps that do not rise, losses of another shape.

    Source: Li et al. 2018 (arXiv:1712.09913), section 7.
    """
    theta = inputs.rows("snapshots", snapshots, 3)
    steps = np.arange(len(theta)) if steps is None else np.asarray(steps)
    if steps.shape != (len(theta),) or not np.all(np.diff(steps) > 0):
        raise ValueError(
            f"steps must be {len(theta)} numbers that rise, one of each snapshot; received "
            f"shape {steps.shape}."
        )
    if plane is not None:
        plane = inputs.on_grid(*plane, "losses")
    if principal is None:
        from wedges.affine import principal as found  # TensorFlow, only where it is needed

        principal = found(theta)
    subspace, explained = principal
    at = _coordinates(subspace, theta)
    ax = panels.place(ax, title, (6.2, 4.6))
    with looks.inside(ax) as look:
        if plane is not None:
            x, y, losses = plane
            _backdrop(ax, x, y, losses, at, log=log, high=high, levels=10)
        segments = np.stack([at[:-1], at[1:]], axis=1)
        norm = Normalize(steps[0], steps[-1])
        how: dict[str, Any] = {"cmap": TIME, "norm": norm, "zorder": 4, "path_effects": _CASE}
        lines = LineCollection(list(segments), linewidths=2, **how)
        lines.set_array((steps[:-1] + steps[1:]) / 2)
        ax.add_collection(lines)
        size = max(6.0, min(22.0, 1500 / len(theta)))
        ax.scatter(at[:, 0], at[:, 1], c=steps, cmap=TIME, norm=norm, s=size, zorder=5, linewidths=0)
        _mark(ax, at[0], "start", look)
        _mark(ax, at[-1], "end", look)
        bar = ax.figure.colorbar(lines, ax=ax, label=label, shrink=0.8, pad=0.02)
        if steps.dtype.kind in "iu":
            bar.locator = panels.Calm(0, whole=True)
        panels.label_axes(
            ax,
            x=f"direction 1 ({100 * explained[0]:.3g}% of the variation)",
            y=f"direction 2 ({100 * explained[1]:.3g}% of the variation)",
            span=0,
            grid=plane is None,
        )
        if plane is not None:
            ax.set(xlim=(plane[0][0], plane[0][-1]), ylim=(plane[1][0], plane[1][-1]))
    return looks.whole(ax)


# ---- what they share --------------------------------------------------------------------------------


def _coordinates(plane, theta):
    """Where points [T, D] stand on a plane, [T, 2]."""
    if not hasattr(plane, "coordinates"):
        raise ValueError(f"plane must be a wedges.AffineSubspace; received {type(plane).__name__}.")
    at = np.asarray(plane.coordinates(theta), np.float64)
    if at.shape[-1] != 2:
        raise ValueError(f"plane must have two dimensions; received one of {at.shape[-1]}.")
    return at


def _along(path):
    """A path's points: those of a connector of two optima at 101 positions."""
    if not callable(path):
        return path
    t = np.linspace(0, 1, 101)
    return path(np.stack([1 - t, t], axis=1))


def _backdrop(ax, x, y, losses, avoid, *, log, high, levels):
    """The loss on a plane: contours over colours, each with its number, away from the points `avoid`."""
    low, high = inputs.heights(losses, "losses", log, high)
    if not high > low:
        high = low + max(abs(low), 1.0) * 1e-3
    finite = np.where(np.isfinite(losses), losses, np.nan)
    x, y, shown = inputs.fine(x, y, np.log(finite) if log else finite, _FINE)
    shown = np.ma.masked_invalid(np.exp(shown) if log else shown)
    spread, norm = (np.geomspace, LogNorm) if log else (np.linspace, Normalize)
    how = {"levels": spread(low, high, 97), "cmap": LOSS, "norm": norm(low, high)}
    ax.contourf(x, y, shown, extend="both", zorder=1, **how)
    inner = sorted({float(f"{v:.2g}") for v in spread(low, high, levels + 2)[1:-1]})
    inner = [v for v in inner if low < v < high]
    how = {"colors": "black", "alpha": 0.4, "linewidths": 0.7, "zorder": 2}
    lines = ax.contour(x, y, shown, levels=inner, **how)
    places = _places(lines, x, y, avoid)
    if places:
        halo = [withStroke(linewidth=1.8, foreground="white", alpha=0.7)]
        how = {"inline": True, "inline_spacing": 2, "colors": "black", "manual": places}
        for text in ax.clabel(lines, fmt=lambda v: f"{v:.2g}", **how):
            text.set(path_effects=halo, alpha=1, zorder=3)


def _places(lines, x, y, avoid):
    """Where the number of each contour stands: away from what is to be seen, and from one another."""
    corner = np.array([x[0], y[0]])
    size = np.array([x[-1], y[-1]]) - corner
    taken, found = list((np.asarray(avoid) - corner) / size), []
    for pieces in lines.allsegs:
        at = (np.concatenate(pieces) - corner) / size if len(pieces) else np.empty((0, 2))
        at = at[np.all((at > 0.07) & (at < 0.93), axis=1)][::3]
        if len(at):
            apart = np.linalg.norm(at[:, None] - np.stack(taken), axis=-1).min(axis=1)
            # Far from all is good, but beyond a fifth of the picture it is all the same.
            best = at[np.argmax(np.minimum(apart, 0.2) - 0.1 * np.abs(at - 0.5).sum(axis=1))]
            taken.append(best)
            found.append(tuple(corner + best * size))
    return found


def _mark(ax, at, name, look):
    """A point with its name, in a white halo."""
    ax.plot(*at, "o", color="black", markersize=6, markeredgecolor="white", zorder=20)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    ax.annotate(
        name,
        at,
        xytext=(6, 6),
        textcoords="offset points",
        fontsize=look.letters + 1,
        fontweight="bold",
        path_effects=halo,
        zorder=21,
    )


def _finish(ax, x, y):
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.set_aspect("equal")
