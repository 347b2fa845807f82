"""Panels that several figures draw alike, beside those of `wedges.plots`, and words of their titles."""

import fnmatch
import itertools

import numpy as np

import wedges


def holds(claims, *patterns):
    """Whether all claims whose ids match one of these patterns hold, and there is one: whether a title
    may say so."""
    found = [c.passed for c in claims if any(fnmatch.fnmatch(c.id, p) for p in patterns)]
    return bool(found) and all(found)


def listed(words):
    """ "a", "a and b", "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def triangles(axes, w, values, *, label):
    """Several times values [K] at barycentric positions w [K, 3] over a triangle of three optima, a
    panel each, on one scale of colours; `label`: of what. White where one is not finite."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    values = list(values)
    known = np.concatenate(values)
    known = known[np.isfinite(known)] if np.isfinite(known).any() else np.array([0.0, 1.0])
    low, high = known.min(), max(known.max(), known.min() + 1e-6)
    scale = ScalarMappable(Normalize(low, high), wedges.plots.planes.LOSS)
    for ax, each in zip(axes, values, strict=True):
        _triangle(ax, np.asarray(w), each, scale)
    how = {"label": label, "shrink": 0.8, "pad": 0.02, "ticks": MaxNLocator(6)}
    axes[0].figure.colorbar(scale, ax=axes, **how)


def _triangle(ax, w, values, scale):
    """One of them, with isolines and their numbers."""
    from matplotlib.ticker import MaxNLocator
    from matplotlib.tri import CubicTriInterpolator, Triangulation, UniformTriRefiner

    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    low, high = scale.get_clim()
    coarse, known = Triangulation(*(w @ corners).T), np.isfinite(values)
    hidden = ~known[coarse.triangles].all(axis=1)
    if not hidden.all():
        coarse.set_mask(hidden)
        values = np.where(known, values, low)
        least, most = values[known].min(), values[known].max()
        smooth = CubicTriInterpolator(coarse, values, kind="geom")
        fine, shown = UniformTriRefiner(coarse).refine_field(values, smooth, subdiv=4)
        shown = np.clip(shown, least, most)  # a cubic overshoots between positions
        edge = 1e-6 * (high - low)  # or the highest would be left white
        levels = np.linspace(low - edge, high + edge, 61)
        ax.tricontourf(fine, shown, levels=levels, cmap=scale.cmap, norm=scale.norm)
        inner = [v for v in MaxNLocator(7).tick_values(low, high) if least < v < most]
        if inner:
            lines = ax.tricontour(fine, shown, levels=inner, colors="black", linewidths=0.7, alpha=0.6)
            ax.clabel(lines, fmt="%g", fontsize=8, colors="black")
    ax.plot(*corners[[0, 1, 2, 0]].T, color="black", linewidth=0.7)
    for i, side in enumerate(("left", "right", "center")):
        at = {"ha": side, "va": "bottom" if i == 2 else "top", "textcoords": "offset points"}
        ax.annotate(f"optimum {i + 1}", corners[i], (0, 3 if i == 2 else -3), **at)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.1, 0.99), aspect="equal")
    ax.set_axis_off()


def training_axis(ax, last):
    """Steps of a training from 0 to `last` along x, even in their logarithm beyond 30."""
    ax.set_xscale("symlog", linthresh=30)
    narrow = ax.get_subplotspec().get_gridspec().ncols > 2 and last > 300
    each = (1,) if narrow else (1, 3)
    ticks = [0, *(t * 10**k for k in range(7) for t in each if 30 <= t * 10**k <= last)]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(-2, 1.15 * last)


def along_training(ax, x, *, steps):
    """The x axis of a curve along a training: the steps `x` of a network's, or shares of the simple
    model's."""
    if steps:
        training_axis(ax, x[-1])
    wedges.plots.label_axes(ax, x="step (logarithmic from 30 on)" if steps else "share of training")


def mosaic(layout, *, title, size, widths=None, heights=None, solid=""):
    """A figure, and its axes by the letters of `layout`, which has one word a row.

    A letter that stands in several places has them all; where words differ in length, each row is
    divided by itself. size: width and height in inches, less on a narrower page; widths, heights: of
    columns and rows, in shares; solid: letters of axes in three dimensions.
    """
    from matplotlib import rc_context

    figure = wedges.plots.page(1, 1, title=title, panel=size)
    ratios = {"width_ratios": widths, "height_ratios": heights}
    own = {letter: {"projection": "3d", "computed_zorder": False} for letter in solid}
    rows = [list(row) for row in layout]
    if len({len(row) for row in rows}) > 1:
        rows = [[[row]] for row in rows]
    with rc_context(figure.look.rc):
        axes = figure.subplot_mosaic(rows, per_subplot_kw=own, **ratios)
    return figure, axes


class Projected:
    """A plane for `wedges.plots.path_on_plane` whose points are [T, 3]: where they stand on it, and how
    far off it they are."""

    def coordinates(self, points):
        return np.asarray(points)[..., :2]

    def distance(self, points):
        return np.asarray(points)[..., 2]


def halves(ax, matrix, within, across, digits=2):
    """Over a matrix of likenesses [M, M] outlines of its two halves, and their means in words."""
    from matplotlib.patches import Rectangle

    size, half = len(matrix), len(matrix) // 2  # as `wedges.compare.halves` has them
    blocks = ((0, half), (size - half, size))
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    say = {"ha": "center", "va": "center", "fontsize": 8, "bbox": box}
    number = lambda mean: f"{np.round(mean, digits) + 0.0:.{digits}f}"  # 0.00, not -0.00
    for low, high in blocks:
        outline = {"fill": False, "edgecolor": "black", "linewidth": 1.8}
        ax.add_patch(Rectangle((low - 0.5, low - 0.5), high - low, high - low, **outline))
        ax.text((low + high - 1) / 2, (low + high - 1) / 2, f"within\n{number(within)}", **say)
    ax.text(size - (half + 1) / 2, (half - 1) / 2, f"across\n{number(across)}", **say)


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


HOLDS, FAILS, UNKNOWN = "#B4DDEF", "#F4B183", "#D9D9D9"  # told apart by the colour-blind, too


def verdicts(ax, top, held, texts=None):
    """Cells of a table of verdicts, rows from `top` downwards: held [R, C], 1 in blue, 0 in orange with
    a black corner, NaN in grey; with a text in each where there are some."""
    from matplotlib.patches import Polygon, Rectangle

    for (i, j), verdict in np.ndenumerate(held):
        color, y = UNKNOWN if np.isnan(verdict) else HOLDS if verdict else FAILS, top + i
        ax.add_patch(Rectangle((j, y), 1, 1, facecolor=color, edgecolor="white", linewidth=0.8))
        if verdict == 0:
            corner = [(j + 1, y), (j + 1, y + 0.32), (j + 0.78, y)]
            ax.add_patch(Polygon(corner, facecolor="black", linewidth=0))
        if texts is not None:
            ax.text(j + 0.5, y + 0.53, texts[i][j], ha="center", va="center", fontsize=8)


# Of as many phases: told apart also by the colour-blind, and dark letters can be read on them.
TINTS = ("#F2A98F", "#F7DF9A", "#CDB0DC", "#B5DCF5", "#6FC3A3")


def phases(ax, found, names, *, rows, columns):
    """A table of phases: the number of each cell's [R, C] as a colour, and the phase's name in the cell
    nearest to the middle of all that are in it."""
    from matplotlib.colors import to_rgb

    ax.imshow(np.array([to_rgb(c) for c in TINTS])[found], aspect="auto", origin="lower")
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    how = {"ha": "center", "va": "center", "fontsize": 9, "fontweight": "bold", "bbox": box, "zorder": 5}
    for number in np.unique(found):
        places = np.argwhere(found == number)
        i, j = places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()]
        ax.text(j, i, names[number], **how)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        some = range(0, len(values), -(-len(values) // 6))  # names of all would have no room
        axis.set_ticks(list(some), [f"{values[k]:g}" for k in some])
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))


def level(ax, y, label=None):
    """A dotted line across at `y`: what is asked of a curve, or compared with it."""
    ax.axhline(y, color="black", linewidth=0.8, linestyle=":", label=label)


def here(ax, x):
    """The same upright, at `x`."""
    ax.axvline(x, color="black", linewidth=0.8, linestyle=":")


def small_multiples(count, title):
    """A figure of so many panels, at most three side by side, and their axes."""
    columns = min(3, count)
    figure, axes = wedges.plots.grid(-(-count // columns), columns, title=title, panel=(4.3, 3.6))
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def share_y(panels, label, *, bottom=None):
    """One range of y for all panels; the first of each row says what of. `bottom`: where it begins."""
    limits = np.array([ax.get_ylim() for ax in panels])
    low, high = limits.min() if bottom is None else bottom, limits.max()
    for ax in panels:
        ax.set_ylim(low, high + 0.08 * (high - low))  # with room for a legend
        if ax.get_subplotspec().is_first_col():
            wedges.plots.label_axes(ax, y=label)
        else:
            ax.tick_params(labelleft=False)


def name_ends(ax, lines):
    """The names of {name: line} at the lines' ends, beside a legend of whatever else has a label; called
    last, as `wedges.plots.name_lines` is."""
    for handle in ax.get_legend_handles_labels()[0]:
        handle.set_label(f"_{handle.get_label()}")
    for name, line in lines.items():
        line.set_label(name)
    wedges.plots.name_lines(ax)


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
    "digits": "8x8 digits",
    "mnist1d": "MNIST-1D",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "adam": "Adam",
}


def named(name):
    """What people call the network, data set or optimizer of this name; a network of one's own is called
    as its function is."""
    return _NAMES.get(name, name.rpartition(":")[2])


def counted(number, noun):
    """ "1 seed", "3 seeds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def sentence(words):
    """Words with a capital letter in front."""
    return words[:1].upper() + words[1:]


def panels(count, *, title, panel):
    """A figure of so many panels in rows of two, or of three where two would leave one empty, and its
    axes."""
    columns = min(count, 3 if count % 2 else 2)
    figure, axes = wedges.plots.grid(-(-count // columns), columns, title=title, panel=panel)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, axes.flat[:count]
