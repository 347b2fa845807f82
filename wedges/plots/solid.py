"""The loss over a plane as a surface: in the style of Li et al. 2018, and to turn by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LightSource, LogNorm, Normalize
from matplotlib.patheffects import withStroke
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from scipy.interpolate import RegularGridInterpolator

from wedges import _checks
from wedges.plots import inputs, looks, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

_FINE = 121  # points along a side of what is drawn
_HEIGHT = 0.55  # of the box, its longest side 1


def surface(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    points: Mapping[str, ArrayLike] | None = None,
    title: str | None = None,
    log: bool = False,
    high: float | None = None,
    low: float | None = None,
    label: str = "loss",
    colors: str = "viridis",
    elevation: float = 40.0,
    turn: float = -55.0,
    ax: Axes | None = None,
) -> Figure:
    """Values on a grid as a surface in three dimensions, lit from the upper left.

    Between the grid's points it is drawn by a monotone cubic (PCHIP), which rises above no value and
    falls below none. Under it, on the ground, are its contours.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> side = np.linspace(-2, 2, 21)
    >>> cut = wedges.random_cut(np.zeros(2, "float32"), 2, seed=0)
    >>> losses = wedges.probe.plane(bowl, cut, side, side)
    >>> figure = wedges.plots.surface(side, side, losses, points={"optimum": (0, 0)}, title="A bowl")
    >>> figure.savefig("bowl.png")  # doctest: +SKIP

    Args:
      x, y: [X] and [Y], rising.
      values: [Y, X], as `wedges.probe.plane` returns them: row i is y_i. Where one is not finite the
        surface has a hole.
      points: (x, y) each, to be marked on the surface, by what each is called.
      title: over the picture; its first line is bold where the figure is its own.
      log: whether the height is the logarithm of the value.
      high: the value at which the surface is cut off; by default the highest.
      low: the value of the darkest colour and of no height, that several surfaces may share; by default
        the lowest.
      label: what the height is.
      colors: one of matplotlib's colour maps.
      elevation, turn: from where it is seen, in degrees.
      ax: axes in three dimensions, as `grid(..., projection="3d")` makes them; None makes a figure.

    Returns:
      The figure.

    Raises:
      ValueError: values of another shape than the grid, none above 0 where `log`, flat axes, a `low`
        that is not the lowest.

    Source: Li et al. 2018 (arXiv:1712.09913), Figure 1.
    """
    x, y, values = inputs.on_grid(x, y, values, "values")
    if ax is not None and not hasattr(ax, "plot_surface"):
        raise ValueError(
            'ax must be in three dimensions: grid(..., projection="3d"); received flat axes.'
        )
    form = _Form(x, y, values, log, high, low)
    scene: Any = panels.place(ax, title, (6.2, 4.4), "3d")
    with looks.inside(scene) as look:
        fine_x, fine_y, height = form.fine()
        map_of = colormaps[colors]
        ground = form.bottom - 0.25 * (form.top - form.bottom)
        _shadow(scene, fine_x, fine_y, height, map_of, form, ground)
        _sheet(scene, fine_x, fine_y, height, map_of, form)
        scene.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), zlim=(ground, form.top))
        box = (1, min(1.4, max(0.7, np.ptp(y) / np.ptp(x))), _HEIGHT)
        scene.set_box_aspect(box, zoom=1.08 if ax is scene else 1.16)
        scene.view_init(elevation, turn)
        for name, at in (points or {}).items():
            _pin(scene, name, at, form, ground, box, look)
        scene.set_axis_off()
        norm = (LogNorm if log else Normalize)(form.low, form.high)
        scale = ScalarMappable(norm, colors)
        # No arrow at its end, which would be the colour of what is above: nothing above is drawn.
        how = {"shrink": 0.62, "pad": 0.01, "aspect": 18}
        # A figure of its own is wider than the square of its axes: to the left, away from the scale.
        anchor = (0.5 if ax is scene else 0.45, 0.55)
        bar = scene.figure.colorbar(scale, ax=scene, label=label, panchor=anchor, **how)
        bar.outline.set_visible(False)
        panels.plain_numbers(bar.ax)
    return looks.whole(scene)


def surface_html(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    points: Mapping[str, ArrayLike] | None = None,
    title: str = "",
    log: bool = False,
    high: float | None = None,
    label: str = "loss",
    colors: str = "viridis",
) -> str:
    """The same surface as a page of HTML that needs nothing else, to be turned with the mouse.

    Write it with `pathlib.Path("surface.html").write_text(page)`. Arguments are those of `surface`; a
    pointer over the surface shows x, y and the value itself, also where the height is its logarithm.

    Raises:
      ValueError: as `surface`.
      ImportError: in one line, without the extra `html` (plotly).
    """
    x, y, values = inputs.on_grid(x, y, values, "values")
    form = _Form(x, y, values, log, high)
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise ImportError(
            "a surface to turn by hand needs plotly; pip install 'wedges[html]'."
        ) from None
    height = form.raised(form.clipped)
    ticks = form.ticks()
    scale = {"tickvals": form.raised(ticks), "ticktext": [f"{v:.3g}" for v in ticks]}
    sheet = go.Surface(
        x=x,
        y=y,
        z=height,
        customdata=values,
        surfacecolor=height,
        colorscale=_colorscale(colors),
        colorbar={"title": {"text": label}, "len": 0.6, "thickness": 14, **scale},
        hovertemplate=f"x %{{x:.3g}}<br>y %{{y:.3g}}<br>{label} %{{customdata:.4g}}<extra></extra>",
        contours={"z": {"show": True, "project": {"z": True}, "color": "rgba(0,0,0,0.25)", "width": 1}},
        lighting={"ambient": 0.62, "diffuse": 0.7, "specular": 0.12, "roughness": 0.6},
    )
    parts: list[Any] = [sheet]
    if points:
        parts += _turned_pins(go, form, points)
    page = go.Figure(parts)
    bare = {"showbackground": False, "title": {"text": ""}, "showgrid": False, "zeroline": False}
    page.update_layout(
        title={"text": title.replace("\n", "<br>"), "x": 0.02},
        margin={"l": 0, "r": 0, "t": 60 if title else 10, "b": 0},
        scene={
            "xaxis": bare,
            "yaxis": bare,
            "zaxis": {**bare, **scale},
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.62},
            "camera": {"eye": {"x": 0.8, "y": -1.15, "z": 0.85}},
        },
    )
    shown = {"displaylogo": False, "responsive": True}
    return page.to_html(include_plotlyjs=True, default_height="95vh", config=shown)


def _turned_pins(go, form, points):
    """Points on the surface and their names above it, for plotly."""
    names, pairs = list(points), [_pair(name, at) for name, at in points.items()]
    x, y = (list(v) for v in zip(*pairs, strict=True))
    foot = np.array([form.at(*pair) for pair in pairs])
    lift = 0.12 * (form.top - form.bottom)
    dot = {"color": looks.ORANGE, "size": 6, "line": {"color": "white", "width": 1}}
    both = {"x": x, "y": y, "hoverinfo": "text", "showlegend": False}
    letters, bold = {"size": 15, "color": "black"}, [f"<b>{name}</b>" for name in names]
    return [
        go.Scatter3d(z=foot + 0.1 * lift, mode="markers", marker=dot, hovertext=names, **both),
        go.Scatter3d(z=foot + lift, mode="text", text=bold, textfont=letters, **both),
    ]


class _Form:
    """Heights of a surface: values up to `high`, or their logarithms."""

    def __init__(self, x, y, values, log, high, low=None):
        self.x, self.y, self.log = x, y, log
        self.low, self.high = inputs.heights(values, "values", log, high)
        if low is not None:
            if not low <= self.low or (log and low <= 0):
                raise ValueError(
                    f"low must be at most the lowest of values, {self.low:g}"
                    f"{', and above 0 where log is True' if log else ''}; received {low!r}."
                )
            self.low = float(low)
        self.values = np.where(np.isfinite(values), values, np.nan)
        self.clipped = np.minimum(self.values, self.high)
        if not self.high > self.low:  # flat
            self.high = self.low + 1e-3 * max(abs(self.low), 1.0)
        self.bottom, self.top = (float(self.raised(v)) for v in (self.low, self.high))

    def raised(self, values):
        """Heights of values."""
        return np.log10(values) if self.log else np.asarray(values)

    def fine(self):
        """x, y and heights on a grid so fine that the surface looks smooth; not cut off."""
        return inputs.fine(self.x, self.y, self.raised(self.values), _FINE)

    def at(self, x, y):
        """The height above a point of the plane; NaN outside the grid or beside a hole."""
        height = self.raised(self.clipped)
        inside = {"bounds_error": False, "fill_value": np.nan}
        return float(RegularGridInterpolator((self.y, self.x), height, **inside)((y, x)))

    def ticks(self):
        """Some values from the lowest to the highest."""
        spread = np.geomspace if self.log else np.linspace
        return np.array(sorted({float(f"{v:.2g}") for v in spread(self.low, self.high, 7)}))


def _sheet(ax, x, y, height, map_of, form):
    """The surface itself: matt colours by height, lit; where it is cut off its rim is a line."""
    share = np.nan_to_num((height - form.bottom) / (form.top - form.bottom), nan=1.0)
    # Light wants the steepness that is seen: all three sides of the box in the same unit.
    steep = {"dx": 1 / (len(x) - 1), "dy": 1 / (len(y) - 1), "vmin": 0, "vmax": _HEIGHT}
    light = LightSource(azdeg=300, altdeg=50)
    lit = light.shade(np.minimum(share, 1) * _HEIGHT, map_of, blend_mode="soft", **steep)
    points = np.stack([*np.meshgrid(x, y), height], axis=-1)  # [Y, X, 3]
    cells = [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]]
    cells = np.stack(cells, axis=2).reshape(-1, 4, 3)
    shades = lit[:-1, :-1].reshape(-1, 4)
    whole = np.all(cells[..., 2] <= form.top, axis=1)  # not where one is NaN
    rim = ~whole & np.any(cells[..., 2] <= form.top, axis=1) & ~np.isnan(cells[..., 2]).any(axis=1)
    faces = _of_one_length([*cells[whole], *(_below(cell, form.top) for cell in cells[rim])])
    how = {"facecolors": np.concatenate([shades[whole], shades[rim]]), "zorder": 2}
    sheet = Poly3DCollection(faces, linewidths=0, antialiased=False, **how)
    ax.add_collection3d(sheet)
    _free(sheet)


def _free(artist):
    """Draw it also beyond the square of the axes, which is empty on both sides."""
    artist.set_clip_on(False)
    artist.set_in_layout(False)


def _below(cell, top):
    """The part of a polygon [P, 3] that is no higher than `top`."""
    found = []
    for a, b in zip(cell, np.roll(cell, -1, axis=0), strict=True):
        if a[2] <= top:
            found.append(a)
        if (a[2] <= top) != (b[2] <= top):
            found.append(a + (top - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(found)


def _of_one_length(faces):
    """Polygons as one array [F, P, 3], the last corner of those with fewer repeated.

    matplotlib fills polygons of different lengths up with memory as it finds it, and takes the limits
    of the axes from that, too.
    """
    most = max(map(len, faces), default=0)
    longer = [np.concatenate([face, np.repeat(face[-1:], most - len(face), axis=0)]) for face in faces]
    return np.array(longer).reshape(len(faces), most, 3)


def _shadow(ax, x, y, height, map_of, form, ground):
    """Contours on the ground below."""
    levels = np.linspace(form.bottom, form.top, 13)[1:-1]
    shown = np.ma.masked_invalid(height)
    if not form.bottom < np.nanmax(height):
        return
    how = {"cmap": map_of, "vmin": form.bottom, "vmax": form.top, "linewidths": 0.9, "alpha": 0.75}
    _free(ax.contour(x, y, shown, levels=levels, zdir="z", offset=ground, zorder=0, **how))


def _pin(ax, name, at, form, ground, box, look):
    """A point on the surface, with its name above and its foot on the ground; hollow if it is hidden."""
    x, y = _pair(name, at)
    z = form.at(x, y)
    if not np.isfinite(z):
        raise ValueError(
            f"points[{name!r}] must be on the surface; received ({x:g}, {y:g}), where there is none."
        )
    lift = 0.16 * (form.top - form.bottom)
    behind = _behind(ax, form, (x, y, z), ground, box)
    pin = {"color": "black", "linewidth": 0.9, "linestyle": ":" if behind else "-"}
    ax.plot([x, x], [y, y], [z, z + lift], zorder=9, **pin)
    face = {"color": "white", "markeredgecolor": looks.ORANGE, "markeredgewidth": 1.8}
    if not behind:
        face = {"color": looks.ORANGE, "markeredgecolor": "white"}
    ax.plot([x], [y], [z], "o", markersize=6.5, zorder=10, **face)
    ax.plot([x], [y], [ground], "o", color=looks.GREY, markersize=2.5, zorder=1)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    how = {"ha": "center", "va": "bottom", "fontweight": "bold", "path_effects": halo}
    ax.text(x, y, z + lift, name, fontsize=look.letters + 0.5, zorder=11, **how)


def _behind(ax, form, point, ground, box):
    """Whether the surface hides a point on it: whether it crosses the line of sight."""
    up, round_ = np.radians([ax.elev, ax.azim])
    sight = np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])
    sides = np.array([np.ptp(form.x), np.ptp(form.y), form.top - ground]) / box
    places = np.asarray(point) + np.linspace(0.02, 1.5, 150)[:, None] * sight * sides
    above = np.array([form.at(x, y) for x, y in places[:, :2]])  # NaN outside
    return bool(np.any(above > places[:, 2]))


def _pair(name, at):
    at = np.asarray(at, np.float64)
    if at.shape != (2,):
        raise ValueError(f"points[{name!r}] must be a pair (x, y); received shape {at.shape}.")
    _checks.finite(f"points[{name!r}]", at)
    return float(at[0]), float(at[1])


def _colorscale(colors):
    """One of matplotlib's colour maps as plotly takes it."""
    shades = (255 * colormaps[colors](np.linspace(0, 1, 33))[:, :3]).round().astype(int)
    return [[i / 32, f"rgb({r},{g},{b})"] for i, (r, g, b) in enumerate(shades)]
