"""Panels that several figures draw alike, beside those of `wedges.plots`, and words of their titles."""

import dataclasses
import itertools

import numpy as np

import wedges
from reproductions.bench.errors import UsageError


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


def training_axis(ax, last):
    """Steps of a training from 0 to `last` along x, even in their logarithm beyond 30."""
    ax.set_xscale("symlog", linthresh=30)
    ticks = [0, *(t for k in range(7) for t in (10**k, 3 * 10**k) if 30 <= t <= last)]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks], fontsize=8)
    ax.set_xticks([], minor=True)
    ax.set_xlim(-2, 1.15 * last)


def along_training(axes, x, *, steps):
    """The x axis of panels one below another whose curves run along a training: the steps `x` of a
    network's, or shares of the simple model's. Heights are logarithmic."""
    for ax in axes:
        ax.set_yscale("log")
        if steps:
            training_axis(ax, x[-1])
    axes[-1].set_xlabel("step" if steps else "share of training")


def space(views, *, title, panel=4.6):
    """A figure with `views` axes in three dimensions, and one flat panel beside them."""
    figure = wedges.plots.page(1, views + 1, title=title, panel=(panel, panel))
    # Lines in front of surfaces: matplotlib would sort whole artists by their distance.
    solid = {"projection": "3d", "computed_zorder": False}
    axes = [figure.add_subplot(1, views + 1, i + 1, **solid) for i in range(views)]
    return figure, axes, figure.add_subplot(1, views + 1, views + 1)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What stands in a cube [-extent, extent]^3: a surface of triangles, lines, and points.

    Attributes:
      vertices, faces: of the surface, [V, 3] and [F, 3].
      lines: {name: (color, points [T, 3], the loss at each [T])}.
      points: {name: points [P, 3]}.
    """

    extent: float
    vertices: np.ndarray
    faces: np.ndarray
    lines: dict
    points: dict

    def draw(self, ax, height, turn):
        """Into axes in three dimensions, seen from this height and turn, in degrees."""
        look = {"color": "cornflowerblue", "alpha": 0.22, "linewidth": 0, "shade": True}
        ax.plot_trisurf(*self.vertices.T, triangles=self.faces, **look)
        for i, name in enumerate("xyz", 1):
            ax.set(**{f"{name}lim": (-self.extent, self.extent), f"{name}label": f"$P_{i}$"})
            getattr(ax, f"{name}axis").set_ticks([-1, 0, 1])
        ax.set_box_aspect((1, 1, 1), zoom=0.87)  # with room for labels
        for name, (color, points, _) in self.lines.items():
            ax.plot(*points.T, color=color, label=name, linewidth=2.5, zorder=10)
        for name, points in self.points.items():
            ax.plot(*points.T, "o", color="black", markersize=7, zorder=11, label=name)
        ax.view_init(height, turn)

    def page(self, title, surface):
        """As a page that can be turned with the mouse; needs the extra `html` (plotly). `surface`: what
        the surface is called."""
        try:
            import plotly.graph_objects as go
        except ImportError:
            say = "a figure to turn by hand needs plotly; pip install 'wedges[html]'."
            raise UsageError(say) from None
        at = lambda points: dict(zip("xyz", points.T, strict=True))
        corners = dict(zip("ijk", self.faces.T, strict=True))
        look = {"color": "lightsteelblue", "opacity": 0.5, "name": surface, "showlegend": True}
        parts = [go.Mesh3d(**at(self.vertices), **corners, **look)]
        for name, (color, points, losses) in self.lines.items():
            style = {"mode": "lines", "line": {"color": color, "width": 8}, "name": name}
            text = [f"loss {loss:.3f}" for loss in losses]
            parts.append(go.Scatter3d(**at(points), **style, text=text))
        for name, points in self.points.items():
            style = {"mode": "markers", "marker": {"color": "black", "size": 6}, "name": name}
            parts.append(go.Scatter3d(**at(points), **style))
        page = go.Figure(parts)
        page.update_layout(title=f"{title} (drag to turn)", scene={"aspectmode": "cube"})
        return page.to_html(include_plotlyjs=True)


def table(ax, values, texts, *, marked, rows, columns):
    """A coloured table: values [R, C] from 0 to 1 in shades, a text in each cell, some cells boxed."""
    from matplotlib.patches import Rectangle

    ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for i, j in np.ndindex(values.shape):
        color = "white" if values[i, j] > 0.6 else "black"
        ax.text(j, i, texts[i][j], ha="center", va="center", fontsize=8, color=color)
        if marked[i, j]:
            corner = (j - 0.46, i - 0.46)
            ax.add_patch(
                Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=wedges.plots.ORANGE, linewidth=2)
            )
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)


# Of as many phases: told apart also by the colour-blind, and dark letters can be read on them.
TINTS = ("#F2A98F", "#F7DF9A", "#CDB0DC", "#B5DCF5", "#6FC3A3")


def phases(ax, found, names, *, rows, columns):
    """A table of phases: the number of each cell's [R, C] as a colour, and its name in the cell."""
    from matplotlib.colors import to_rgb

    ax.imshow(np.array([to_rgb(c) for c in TINTS])[found], aspect="auto", origin="lower")
    for (i, j), number in np.ndenumerate(found):
        ax.text(j, i, names[number], ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    ax.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))


def level(ax, y, label=None):
    """A dotted line across at `y`: what is asked of a curve, or compared with it."""
    ax.axhline(y, color="black", linewidth=0.8, linestyle=":", label=label)


def here(ax, x):
    """The same upright, at `x`."""
    ax.axvline(x, color="black", linewidth=0.8, linestyle=":")


def looks():
    """Marker and colour of the first, second, third and fourth of the kinds that a picture compares."""
    plots = wedges.plots
    colors = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    return [{"marker": m, "color": c} for m, c in zip("osD^", colors, strict=True)]


def colors():
    """The colours of `looks`, over and over."""
    return itertools.cycle(look["color"] for look in looks())


_NAMES = {
    "simple_cnn": "SimpleCNN",
    "fc": "fully connected network",
    "lenet": "LeNet",
    "resnet": "ResNet",
    "digits": "digits",
    "mnist1d": "MNIST-1D",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


def named(name):
    """What people call the network or data set of this name; a network of one's own is called as its
    function is."""
    return _NAMES.get(name, name.rpartition(":")[2])


def counted(number, noun):
    """ "1 seed", "3 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"
