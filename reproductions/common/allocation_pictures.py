"""Panels of the allocation figure. Blue helps and red hurts, everywhere."""

import numpy as np

import wedges
from reproductions.common import pictures

COLORS = "RdBu_r"  # below 0, where a weight helps, it is blue
LETTERS = 8.5


def sheet(layout, title):
    """A picture of panels by letter, "AA/BC/DE", and its axes {letter: axes}: 4.3 by 2.9 inches a cell.

    Rows are laid out by themselves, so that a wide panel's scale takes no room from those below it.
    """
    rows = layout.split("/")
    figure = wedges.plots.page(len(rows), len(rows[0]), title=title, panel=(4.3, 2.9))
    axes = {}
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axes |= part.subplot_mosaic([list(row)])
    return figure, axes


def _scale(ax, image, large, label, **how):
    """The scale of colours beside a panel: its ends and 0, in plain numbers."""
    bar = ax.figure.colorbar(image, ax=ax, **how)
    bar.set_label(label, fontsize=LETTERS)
    bar.set_ticks([-large, 0, large], labels=[f"{-large:.1g}", "0", f"{large:.1g}"])
    bar.ax.tick_params(labelsize=LETTERS)


def over_training(ax, units, of_units, names, marks, *, title):
    """A of units [T, units] as colours over steps, a bar at each of a layer's peaks, marks [layers, T].

    Layers have bands of one height, the first below, and their units are in them. Colours are linear up
    to the median |A|, and logarithmic beyond.
    """
    from matplotlib.colors import SymLogNorm

    sizes = np.bincount(of_units)
    inside = np.concatenate([np.arange(n) for n in sizes]) / sizes[of_units]
    edges = np.append(of_units + inside, len(sizes))
    usual, large = np.quantile(np.abs(units), [0.5, 0.999])
    norm = SymLogNorm(max(usual, 1e-12), vmin=-max(large, 1e-11), vmax=max(large, 1e-11))
    image = ax.pcolormesh(
        np.arange(len(units) + 1), edges, units.T, norm=norm, cmap=COLORS, rasterized=True
    )
    for layer in range(1, len(sizes)):
        ax.axhline(layer, color="black", linewidth=0.8)
    layers, steps = np.nonzero(marks)
    ax.plot(steps + 0.5, layers + 0.5, "|", color="black", markersize=7, markeredgewidth=1)
    ax.set_yticks(np.arange(len(sizes)) + 0.5, names)
    _scale(ax, image, large, "A of a unit (nats), blue helps", pad=0.01)
    wedges.plots.label_axes(ax, title=title, x="step", grid=False)


def dots(ax, columns, *, color=None):
    """{word: values [seeds]}: a column of dots each, a bar at the mean."""
    color = color or wedges.plots.BLUE
    for i, values in enumerate(columns.values()):
        ax.plot(i + np.linspace(-0.12, 0.12, len(values)), values, "o", color=color, markersize=4)
        ax.plot([i - 0.25, i + 0.25], [np.mean(values)] * 2, color=color, linewidth=1.6)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_xticks(range(len(columns)), list(columns))


def by_layer(ax, sums, names, *, title):
    """The sums of layers [seeds, layers]: dots, red where the mean hurts."""
    plots = wedges.plots
    for i, values in enumerate(sums.T):
        color = plots.ORANGE if values.mean() > 0 else plots.BLUE
        ax.plot(values, np.full(len(values), i), "o", color=color, markersize=4)
    pictures.here(ax, 0)
    ax.set_yticks(range(len(names)), names)
    ax.margins(x=0.1)
    # One layer falls far, others little: the part around 0 is linear.
    ax.set_xscale("symlog", linthresh=max(np.quantile(np.abs(sums.mean(axis=0)), 0.25), 1e-12))
    ax.xaxis.set_major_locator(_few(ax))
    wedges.plots.label_axes(ax, title=title, x="sum of A (nats): right of 0 hurts")


def _few(ax):
    from matplotlib.ticker import SymmetricalLogLocator

    scale = ax.xaxis.get_transform()
    locator = SymmetricalLogLocator(scale)
    locator.set_params(numticks=5)
    return locator


def shares(ax, sizes, series, *, title):
    """{label: values [batches, seeds]}: the share that helps against the batch size."""
    for (label, values), look in zip(series.items(), pictures.looks(), strict=False):
        ax.plot(sizes, 100 * values.mean(axis=1), label=label, **look)
        ax.plot(
            np.repeat(sizes, values.shape[1]), 100 * values.ravel(), ".", color=look["color"], alpha=0.4
        )
    pictures.level(ax, 50)
    names = {size: f"{size:,}" for size in sizes[:-1]} | {sizes[-1]: f"all {sizes[-1]:,}"}
    how = {"x": "examples in a minibatch", "y": "weights that help in a step (%)", "log": "x"}
    wedges.plots.label_axes(ax, title=title, ticks=names, legend=LETTERS, **how)


def along(ax, series, *, title):
    """{label: shares [seeds, T]} along training, means of ten steps over seeds."""
    for (label, values), look in zip(series.items(), pictures.looks(), strict=False):
        mean = 100 * values.mean(axis=0)
        width = max(1, min(10, len(mean) // 4))
        mean = mean[: len(mean) // width * width].reshape(-1, width).mean(axis=1)
        at = width * (np.arange(len(mean)) + 0.5)
        how = {"markersize": 4, "markevery": max(1, len(at) // 6), "linewidth": 1.6}
        ax.plot(at, mean, label=label, **how, **look)
    pictures.level(ax, 50)
    wedges.plots.label_axes(ax, title=title, x="step", y="weights that help (%)")
    wedges.plots.name_lines(ax)


def peaks(ax, columns, *, title):
    """{label: (counts [seeds], counts of shifts, and of short ones, [seeds, shifts] each)}: how often
    layers peak together, and two ranges of chance, from their 1st to their 99th hundredth."""
    plots = wedges.plots
    kinds = ("98% of all shifts", plots.GREY), ("of those by at most 10 steps", plots.GREEN)
    for i, (_, *chances) in enumerate(columns.values()):
        for side, chance, (label, color) in zip((-0.32, 0.02), chances, kinds, strict=True):
            low, high = np.quantile(chance, [0.01, 0.99])
            how = {"color": color, "alpha": 0.35, "linewidth": 0, "label": None if i else label}
            ax.fill_between([i + side, i + side + 0.3], low, high, **how)  # beside each other
    dots(ax, {label: counts for label, (counts, *_) in columns.items()})
    ax.set_yscale("symlog", linthresh=10)
    highest = max(np.max(counts) for counts, *_ in columns.values())
    ax.set_ylim(0, 2 * max(highest, ax.get_ylim()[1] / 2))
    wedges.plots.label_axes(ax, title=title, y="pairs of layers that peak in a step", legend=LETTERS)


def weights(ax, at, series, *, title):
    """{label: sums [seeds, rungs]}: what the most helpful weights add up to."""
    for (label, values), color, style in zip(
        series.items(), pictures.colors(), ("-", "--"), strict=False
    ):
        values = values / np.abs(values[:, -1:])  # the whole is -1, or 1
        for i, own in enumerate(values):
            how = {"color": color, "linewidth": 1.2, "label": None if i else label}
            ax.plot(100 * at, 100 * own, style, **how)
    pictures.level(ax, -100)
    how = {"x": "weights, the most helpful first (%)", "y": "% of the loss change"}
    wedges.plots.label_axes(ax, title=title, legend=LETTERS, **how)


def image(ax, values, *, title):
    """Values [H, W] as colours, the same to both sides of 0; NaN is left white. Those of signals, few
    or many in a row, fill the panel."""
    large = max(float(np.nanmax(np.abs(values))), 1e-12)
    aspect = "equal" if min(values.shape) > 4 else "auto"
    how = {"vmin": -large, "vmax": large, "interpolation": "nearest", "aspect": aspect}
    shown = ax.imshow(values, cmap=COLORS, **how)
    _scale(ax, shown, large, "sum of A (nats)", shrink=0.8)
    ax.set_axis_off()
    wedges.plots.label_axes(ax, title=title, grid=False)


def tiles(kernel):
    """A first kernel [H, W, 1, filters] as one picture of its filters, NaN between them; [L, 1, filters]
    of signals as columns."""
    if kernel.ndim == 3:
        return kernel[:, 0]
    height, width, _, count = kernel.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    found = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i in range(count):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        found[top : top + height, left : left + width] = kernel[:, :, 0, i]
    return found


def inputs(kernel):
    """A first kernel [inputs, units] summed over its units, as the image that it looks at; a row where
    that is no square."""
    sums = kernel.sum(axis=1)
    side = round(len(sums) ** 0.5)
    return sums.reshape(side, side) if side**2 == len(sums) else sums[None]


def formula(ax, at, wanted, found, *, title, **words):
    """{label: a formula's values at places `at`}, and of each [(places, what was measured there)]."""
    for (label, curve), (places, values), look in zip(
        wanted.items(), found, pictures.looks(), strict=False
    ):
        ax.plot(at, 100 * curve, color=look["color"], label=label)
        ax.plot(places, 100 * np.asarray(values), look["marker"], color=look["color"], markersize=4)
    pictures.level(ax, 50)
    wedges.plots.label_axes(ax, title=title, y="steps that help (%)", legend=LETTERS, **words)
