"""Panels that several figures draw alike, beside those of `wedges.plots`, and words of their titles."""

import numpy as np

import wedges


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
    from matplotlib.figure import Figure

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


def level(ax, y, label=None):
    """A dotted line across at `y`: what is asked of a curve, or compared with it."""
    ax.axhline(y, color="black", linewidth=0.8, linestyle=":", label=label)


def looks():
    """Marker and colour of the first, second, third and fourth of the kinds that a picture compares."""
    plots = wedges.plots
    colors = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    return [{"marker": m, "color": c} for m, c in zip("osD^", colors, strict=True)]


def counted(number, noun):
    """ "1 seed", "3 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"
