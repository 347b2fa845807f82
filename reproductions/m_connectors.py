"""m-connectors: low-loss surfaces that join not two but m + 1 independently trained optima.

Three answers to "is there low loss between m + 1 optima", m = 1 .. 10, each beside the flat hull:

  points     the paper's: positions of the hull, each minimised in the plane normal to the hull
  stitched   a continuous connector: the middles of all edges, each minimised by itself in the same way,
             and the simplices between them
  joint      the same, its points trained jointly on the mean loss of the surface, in as many steps

A continuous connector is judged at held-out positions, drawn uniformly from the whole simplex, and along
the segments that join its points. A triangle of three optima is drawn in full.

    python -m reproductions.m_connectors --preset=quick        digits, a minute
    python -m reproductions.m_connectors                       CIFAR-10, 11 optima, an hour with training
    python -m reproductions.m_connectors --m=1,2,3 --subsets=3 --steps=780
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Ints, at_least, between, option
from reproductions.common import optima, pictures, surfaces
from reproductions.common.arrays import named, stacked
from reproductions.common.surfaces import BOUNDS, LOW, SURFACES
from reproductions.common.surfaces import heights as _heights

OURS = {
    "source": "beyond the paper; wedges.joint_connector",
    "says": "Not in the paper: points that are trained together make a lower surface.",
    "threshold": THEIRS,
}


@options.settings
class Config(optima.Config):
    m: Ints = option(
        "m of chosen points", between(1, 50), paper=tuple(range(1, 11)), quick=(1, 2, 4), smoke=(1, 2)
    )
    subsets: int = option("sets of m + 1 optima, drawn from all", paper=2, smoke=1)
    points: int = option("points of each set: the centre, then random ones", paper=2)
    continuous: Ints = option(
        "m of whole surfaces", between(1, 20), paper=(1, 2, 3, 5, 10), quick=(1, 2, 4), smoke=(1, 2)
    )
    steps: int = option(
        "gradient steps for each point, by itself or on average", paper=780, quick=100, smoke=20
    )
    budget: int = option("most gradient steps for one whole surface", paper=15_000)
    held_out: int = option("held-out positions, and segments, of each", paper=20, smoke=3)
    triangle: int = option(
        "positions on an edge of the triangle's picture", at_least(3), paper=13, quick=9, smoke=3
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Readings "<what> <reading>" [m's, ...] of points, corners, held-out positions and segments."""
    network, seed = config.network(), config.seed
    thetas = optima.trained(config, max(*config.m, *config.continuous, 2) + 1)  # [K, D]
    points = surfaces.Points(config.subsets, config.points, config.steps, config.rate, seed)
    whole = surfaces.Surfaces(config.steps, config.budget, config.rate, seed)
    chosen = functools.partial(surfaces.chosen, network, thetas, points)
    continuous = functools.partial(surfaces.continuous, network, thetas, whole, config.held_out)
    return {
        **stacked(parallel.over(chosen, config.m)),
        **stacked(parallel.over(continuous, config.continuous)),
        **optima.read(network, thetas, "optima"),
        **_triangle(network, thetas[:3], whole, config.triangle),
    }


def _triangle(network, ends, whole, edge):
    """Readings [positions] all over the triangle of three optima, and the positions."""
    w = wedges.simplex.grid(2, edge - 1)
    found = {"w": w}
    with progress.labelled("triangle"):
        for name, surface in whole.among(network, ends).items():
            found |= optima.read(network, surface(w), name)
    return named("triangle", found)


# ---- what the numbers say ---------------------------------------------------------------------------


def verified(heights, m):
    """The largest m up to which every continuous connector is low at all its positions; 0 if none is."""
    upto = 0
    for row, value in sorted(zip(heights.max(axis=1), m, strict=True), key=lambda p: p[1]):
        if not row <= LOW:
            break
        upto = value
    return upto


def judged(arrays, config):
    """{claim: the number it is about}."""
    h, top = _heights(arrays), config.continuous.index(max(config.continuous))
    return {
        **surfaces.judged(arrays, h),
        "segments": h["segments joint"].max(),
        "top": h["held joint"][top].mean(),
        "stitched": h["held stitched"].max(),
        "joint": h["held joint"].mean() - h["held stitched"].mean(),
    }


def claims(arrays, config):
    """Every claim about m-connectors."""
    claim = Verdict("m-connector", "Fort & Jastrzebski 2019, section 4", judged(arrays, config))
    top, above = max(config.continuous), "above the optima / the flat hull's rise"
    stitched = f"points found one by one: highest held-out point, all m, {above}"
    low = "Points of the hull of m + 1 optima, minimised in the plane normal to it, are low."
    claim("points", f"highest chosen point, all m, {above}", *BOUNDS["points"], says=low)
    worst = "test accuracy: optima less the worst chosen point"
    claim("accuracy", worst, *BOUNDS["accuracy"], says=low)
    surface = {"says": "A low-loss surface joins the optima; low between its points, we read."}
    held = f"joint: highest held-out point, all m, {above}"
    claim("heldout", held, *BOUNDS["heldout"], **surface)
    claim("segments", f"joint: highest middle of a segment, all m, {above}", "<=", LOW, **surface)
    claim("top", f"joint, m = {top}: mean held-out point {above}", "<=", LOW, **surface)
    claim("stitched", stitched, "<=", LOW, **surface)
    claim("joint", "held-out mean, joint less one by one, same cost", "<", 0, **OURS)
    return claim.claims


def summary(arrays, config):
    """Mean heights and accuracies of each m: what the reference guards."""
    found = {f"optima: {name}": arrays[f"optima {name}"] for name in ("train loss", "test accuracy")}
    h = _heights(arrays)
    for i, m in enumerate(config.m):
        found[f"m {m}, points: height"] = h["points"][i].ravel()
        for name in ("points: test accuracy", "points flat: train loss"):
            found[f"m {m}, {name}"] = arrays[name.replace(":", "")][i].ravel()
    for name in SURFACES[1:]:
        for i, m in enumerate(config.continuous):
            for where in ("held", "segments"):
                found[f"m {m}, {where} {name}: height"] = h[f"{where} {name}"][i]
            found[f"m {m}, held {name}: test accuracy"] = arrays[f"held {name} test accuracy"][i]
        found[f"verified up to m, {name}"] = [verified(h[f"held {name}"], config.continuous)]
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Above: the triangle of three optima, three times; below: accuracy and height against m."""
    figure = wedges.plots.page(2, 3, title=_title(arrays, config), panel=(4.3, 4.2))
    above, below = figure.subfigures(2, 1)
    _draw_triangles(above.subplots(1, 3), arrays)
    accuracy, height = below.subplots(1, 2)
    _draw_accuracy(accuracy, arrays, config)
    _draw_heights(height, arrays, config)
    return figure


def _title(arrays, config):
    """What was found at the largest m: of the paper's points, and of a surface trained jointly."""
    held, optima = judged(arrays, config), len(arrays["optima train loss"])
    m = max(config.continuous)
    joint, flat = (
        100 * arrays[f"held {name} test accuracy"][config.continuous.index(m)].mean()
        for name in ("joint", "flat")
    )
    title = f"How low the loss can be made between {optima} optima"
    if held["joint"] < 0 and joint > flat:
        title = f"A surface trained jointly between {m + 1} optima keeps {joint:.0f}% accuracy"
        if held["points"] <= LOW:
            title = f"Points between up to {max(config.m) + 1} optima can be made low; "
            title += f"a surface trained jointly keeps {joint:.0f}% accuracy"
        title += f", the flat hull {flat:.0f}%"
    title += f"\n{pictures.named(config.model)} on {pictures.named(config.dataset)}; {optima} optima; "
    title += f"{config.subsets * config.points} chosen points and {config.held_out} held-out positions "
    return title + f"for each m, their mean, lowest and highest; {config.steps} gradient steps a point"


def looks():
    """{what is looked at: how it is drawn}, alike in all panels."""
    plots = wedges.plots
    return {
        "points": {"color": plots.ORANGE, "marker": "o", "label": "chosen points, the paper's"},
        "joint": {"color": plots.BLUE, "marker": "^", "label": "surface, trained jointly"},
        "stitched": {
            "color": plots.GREEN,
            "marker": "v",
            "linestyle": "--",
            "label": "surface, point by point",
        },
        "points flat": {"color": plots.GREY, "marker": "s", "linestyle": ":", "label": "flat hull"},
    }


def _draw_triangles(axes, arrays):
    """The training loss all over the triangle of three optima."""
    words = {"flat": "Flat hull", "stitched": "Point by point", "joint": "Trained jointly"}
    shown = {name: arrays[f"triangle {name} train loss"] for name in words}
    pictures.triangles(axes, arrays["triangle w"], shown.values(), label="training loss (nats)")
    for letter, ax, (name, values) in zip("abc", axes, shown.items(), strict=True):
        title = f"({letter}) {words[name]}, max {values.max():.2f}"
        wedges.plots.label_axes(ax, title=title, grid=False)


def _bars(ax, x, values, look):
    """Values [m's, ...] against m: the mean, and a bar from the lowest to the highest."""
    values = values.reshape(len(x), -1)
    mean = values.mean(axis=1)
    if not np.isfinite(mean).any():  # nothing is drawn that could have a name
        return
    ends = np.abs(np.stack([values.min(axis=1), values.max(axis=1)]) - mean)
    ax.errorbar(x, mean, ends, capsize=2, markersize=5, linewidth=1.4, elinewidth=0.7, **look)


def _against_m(ax, config, **how):
    ticks = sorted({*config.m, *config.continuous})
    wedges.plots.label_axes(ax, x="m, of m + 1 optima", ticks=ticks, **how)
    ax.set_xlim(ticks[0] - 0.3, ticks[-1] + 0.3)
    wedges.plots.name_lines(ax)


def _levels(ax, config, levels):
    """Dotted lines across at {name: y}."""
    ends = sorted({*config.m, *config.continuous})[:: max(1, len({*config.m, *config.continuous}) - 1)]
    for name, y in levels.items():
        ax.plot(ends, [y] * len(ends), ":", color="black", linewidth=0.8, label=name)


def _draw_accuracy(ax, arrays, config):
    for name, look in looks().items():
        x, what = (config.m, name) if "points" in name else (config.continuous, f"held {name}")
        _bars(ax, x, 100 * arrays[f"{what} test accuracy"], look)
    _levels(ax, config, {"the optima": 100 * arrays["optima test accuracy"].mean()})
    _against_m(ax, config, title="(d) Test accuracy between the optima", y="test accuracy (%)")


def _draw_heights(ax, arrays, config):
    """How far above the optima the loss is, in percent of what the flat hull rises."""
    h, x = _heights(arrays), config.continuous
    for name, look in looks().items():
        if name != "points flat":
            own = (config.m, h["points"]) if name == "points" else (x, h[f"held {name}"])
            _bars(ax, own[0], 100 * own[1], {**look, "label": None})
    joint = {"color": wedges.plots.BLUE, "linestyle": "-.", "linewidth": 1}
    between = 100 * h["segments joint"].mean(axis=1)
    if np.isfinite(between).any():
        ax.plot(x, between, label="jointly, between two of its points", **joint)
    _levels(ax, config, {"counts as low": 100 * LOW, "as the flat hull": 100})
    y = "rise above the optima (% of the flat hull's)"
    _against_m(ax, config, title="(e) How high the loss is there", y=y)


if __name__ == "__main__":
    runs.main(__name__)
