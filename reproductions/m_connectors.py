"""m-connectors: low-loss surfaces that join not two but m + 1 independently trained optima.

Three answers to "is there low loss between m + 1 optima", m = 1 .. 10, each beside the flat hull:

  points     the paper's: positions of the hull, each minimised in the plane normal to the hull
  stitched   a continuous connector: the middles of all edges, each minimised by itself in the same way,
             and the simplices between them
  joint      the same, its points trained jointly on the mean loss of the surface, in as many steps

A step of joint training draws a position of the surface; as many are drawn as blend its points
--positions times on average, whatever m. Each is judged at held-out positions, drawn uniformly from the
whole simplex, and along the segments that join its points, in three independent sets of optima.

    python -m reproductions.m_connectors --preset=quick        digits, a minute
    python -m reproductions.m_connectors                       CIFAR-10, 33 optima, 4 hours; --jobs=2: 2
    python -m reproductions.m_connectors --m=1,2,3 --continuous=1,2,3 --sets=1
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import dataclasses
import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Ints, at_least, between, option
from reproductions.common import optima, pictures, surfaces
from reproductions.common.arrays import named, rank, stacked, under
from reproductions.common.surfaces import BOUNDS, LOW, SURFACES, highest

_ASIDE = (-0.24, 0.0, -0.12, 0.0)  # of `looks`: how far from its m each is drawn, never over names
_RANKED = 20  # segments, at least, of a rank correlation
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
    sets: int = option("independent sets of optima", paper=3, quick=1)
    points: int = option("points of each m: the centre, then random ones", paper=2)
    continuous: Ints = option(
        "m of whole surfaces", between(1, 20), paper=(1, 2, 3, 5, 10), quick=(1, 2, 4), smoke=(1, 2)
    )
    steps: int = option("gradient steps for each chosen point", paper=780, quick=100, smoke=20)
    positions: int = option(
        "positions drawn, a gradient step each, that blend each point of a surface, on average",
        paper=4000,
        quick=200,
        smoke=20,
    )
    held_out: int = option(
        "held-out positions of each surface, and middles of segments, or all there are",
        paper=20,
        smoke=3,
    )
    triangle: int = option(
        "positions on an edge of the triangle's picture", at_least(3), paper=13, quick=9, smoke=3
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Readings "m <m> <what> <reading>" [sets, positions] at chosen points, held-out positions and
    middles of segments; "optima <reading>" [sets, optima]; "triangle ..." [positions] of set 1."""
    thetas = optima.trained(config, config.sets * size(config))
    thetas = thetas.reshape(config.sets, size(config), -1)  # [sets, K, D]
    return {
        **_by_m(_chosen, config, thetas, config.m),
        **_by_m(_continuous, config, thetas, config.continuous),
        **stacked([_optima(of_set(config, i), own) for i, own in enumerate(thetas)]),
        **_triangle(config, thetas[0]),
    }


def size(config):
    """The optima of a set."""
    return max(*config.m, *config.continuous, 2) + 1


def of_set(config, number):
    """The settings of one set: those of a run of its own, from the seed of the set's first optimum."""
    return dataclasses.replace(config, sets=1, seed=config.seed + number * size(config))


def whole(config, m):
    """How whole surfaces among m + 1 optima are made."""
    steps = surfaces.steps_by_position(m, config.positions)
    return surfaces.Surfaces(steps, config.rate, config.seed)


def _by_m(function, config, thetas, several):
    """What function(settings, optima, m) finds in each set, as "m <m> ..." [sets, ...]."""
    sets = range(config.sets)
    pieces = list(itertools.product(sorted(several, reverse=True), sets))  # the longest first
    rows = parallel.over(functools.partial(_piece, function, config, thetas), pieces)
    found = dict(zip(pieces, rows, strict=True))
    return {
        name: array
        for m in several
        for name, array in named(f"m {m}", stacked([found[m, i] for i in sets])).items()
    }


def _piece(function, config, thetas, piece):
    m, number = piece
    with progress.labelled(f"set {number + 1}"):
        return function(of_set(config, number), thetas[number], m)


def _chosen(config, thetas, m):
    points = surfaces.Points(config.points, config.steps, config.rate, config.seed)
    return surfaces.chosen(config.network(), thetas, points, m)


def _continuous(config, thetas, m):
    return surfaces.continuous(config.network(), thetas, whole(config, m), config.held_out, m)


def _optima(config, thetas):
    return optima.read(config.network(), thetas, "optima")


def _triangle(config, thetas):
    """Readings [positions] all over the triangle of three optima, and the positions."""
    network, w = config.network(), wedges.simplex.grid(2, config.triangle - 1)
    found = {"w": w}
    with progress.labelled("triangle"):
        for name, surface in whole(config, 2).among(network, thetas[:3]).items():
            found |= optima.read(network, surface(w), name)
    return named("triangle", found)


# ---- what the numbers say ---------------------------------------------------------------------------


def of_m(arrays, m):
    """The readings of one m, without "m <m>", and those of the optima."""
    return under(f"m {m}", arrays) | named("optima", under("optima", arrays))


def every_m(config):
    """The m of points and of surfaces, each once."""
    return sorted({*config.m, *config.continuous})


def heights(arrays, config):
    """{m: {name: height [sets, positions]}}: see `surfaces.heights`."""
    return {m: surfaces.heights(of_m(arrays, m)) for m in every_m(config)}


def verified(highest):
    """Of {m: the highest of a connector}: the largest m up to which all are low; 0 if none is."""
    upto = 0
    for m, height in sorted(highest.items()):
        if not height <= LOW:
            break
        upto = m
    return upto


def judged(arrays, config):
    """{claim: the number it is about}, over all sets."""
    h = heights(arrays, config)
    own = [h[m] for m in config.continuous]
    mean = lambda name: np.mean([each[f"held {name}"] for each in own])
    return {
        **surfaces.judged([of_m(arrays, m) for m in every_m(config)]),
        "segments": highest(own, "segments joint"),
        "top": h[max(config.continuous)]["held joint"].mean(),
        "stitched": highest(own, "held stitched"),
        "joint": mean("joint") - mean("stitched"),
    }


def claims(arrays, config):
    """Every claim about m-connectors."""
    claim = Verdict("m-connector", "Fort & Jastrzebski 2019, section 4", judged(arrays, config))
    top, above = max(config.continuous), "above the optima / the flat hull's mean rise"
    stitched = f"points found one by one: highest held-out point, all m and sets, {above}"
    low = "Points of the hull of m + 1 optima, minimised in the plane normal to it, are low."
    claim("points", f"highest chosen point, all m and sets, {above}", *BOUNDS["points"], says=low)
    worst = "test accuracy: optima less the worst chosen point, all m and sets"
    claim("accuracy", worst, *BOUNDS["accuracy"], says=low)
    surface = {"says": "A low-loss surface joins the optima; low between its points, we read."}
    held = f"joint: highest held-out point, all m and sets, {above}"
    claim("heldout", held, *BOUNDS["heldout"], **surface)
    claim(
        "segments", f"joint: highest middle of a segment, all m and sets, {above}", "<=", LOW, **surface
    )
    claim("top", f"joint, m = {top}: mean held-out point, all sets, {above}", "<=", LOW, **surface)
    claim("stitched", stitched, "<=", LOW, **surface)
    claim("joint", "held-out mean, joint less one by one, all m and sets, same cost", "<", 0, **OURS)
    return claim.claims


def summary(arrays, config):
    """Of each m and set the mean height, the highest and the mean accuracy, [sets]: what the reference
    guards."""
    readings = ("train loss", "test accuracy")
    found = {f"optima: {name}": arrays[f"optima {name}"].mean(axis=1) for name in readings}
    h = heights(arrays, config)
    for m in config.m:
        found |= _of_sets(f"m {m}, points", h[m]["points"])
        found[f"m {m}, centre over its own flat rise"] = _of_centre(of_m(arrays, m))
        for name in ("points: test accuracy", "points flat: train loss"):
            found[f"m {m}, {name}"] = arrays[f"m {m} {name.replace(':', '')}"].mean(axis=1)
    for name, m in itertools.product(SURFACES[1:], config.continuous):
        for where in surfaces.PLACES:
            found |= _of_sets(f"m {m}, {where} {name}", h[m][f"{where} {name}"])
        accuracy = arrays[f"m {m} held {name} test accuracy"]
        found[f"m {m}, held {name}: test accuracy"] = accuracy.mean(axis=1)
    for m in config.continuous:
        own = h[m]["segments joint"]
        found[f"m {m}, segments joint: share that is low"] = (own <= LOW).mean(axis=1)
        number = rank(own.ravel(), segments_drawn(config, m).ravel(), least=_RANKED)
        if np.isfinite(number):
            found[f"m {m}, segments joint: rank correlation of height and draws"] = [number]
    for name in SURFACES[1:]:
        tops = {m: h[m][f"held {name}"].max(axis=1) for m in config.continuous}
        each = [verified({m: top[i] for m, top in tops.items()}) for i in range(config.sets)]
        found[f"verified up to m, {name}"] = each
    return found


def segments_drawn(config, m):
    """How many positions of joint training blend both ends of each middle, [sets, segments]."""
    own = [of_set(config, i) for i in range(config.sets)]
    middles = [surfaces.middles(m, each.held_out, seed=[each.seed, m]) for each in own]
    return np.array([surfaces.drawn(m, whole(each, m), w) for each, w in zip(own, middles, strict=True)])


def _of_centre(arrays):
    """Of one m, how far the hull's centre is above the optima as a share of what the flat centre rises,
    [sets]; the other points' positions are no part of it."""
    base = arrays["optima train loss"].mean(axis=1)
    centre, flat = (arrays[f"{name} train loss"][:, 0] - base for name in ("points", "points flat"))
    return centre / flat


def _of_sets(name, heights):
    return {f"{name}: height": heights.mean(axis=1), f"{name}: highest": heights.max(axis=1)}


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    sets = {"set": list(range(1, config.sets + 1))}
    segments = {m: len(surfaces.middles(m, config.held_out, seed=0)) for m in config.continuous}
    return {
        "m * points *": sets | {"point": config.points},
        "m * held *": sets | {"position": config.held_out},
        **{f"m {m} segments *": sets | {"segment": count} for m, count in segments.items()},
        "optima *": sets | {"optimum": size(config)},
    }


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
    held, m = judged(arrays, config), max(config.continuous)
    joint, flat = (100 * arrays[f"m {m} held {name} test accuracy"].mean() for name in ("joint", "flat"))
    title = f"How low the loss can be made between {size(config)} optima"
    if held["joint"] < 0 and joint > flat:
        title = f"A surface trained jointly between {m + 1} optima keeps {joint:.0f}% accuracy"
        if held["points"] <= LOW:
            title = f"Points between up to {max(config.m) + 1} optima can be made low; "
            title += f"a surface trained jointly keeps {joint:.0f}% accuracy"
        title += f", the flat hull {flat:.0f}%"
        if not held["heldout"] <= LOW:
            title += f"; somewhere its loss rises {100 * held['heldout']:.0f}% as far as there"
    sets = pictures.counted(config.sets, "independent set")
    title += f"\n{pictures.named(config.model)} on {pictures.named(config.dataset)}; {sets} of "
    title += f"{size(config)} optima, each with {pictures.counted(config.points, 'chosen point')} and "
    title += f"{config.held_out} held-out positions for each m\nmean over sets"
    title += ", thick bars its standard deviation" if config.sets > 1 else ""
    return title + ", thin bars from the lowest to the highest of all positions"


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
        title = f"({letter}) {words[name]}, set 1, max {values.max():.2f}"
        wedges.plots.label_axes(ax, title=title, grid=False)


def _bars(ax, values, look, aside=0.0):
    """Values {m: [sets, positions]} against m: the mean, a thin bar from the lowest to the highest, and
    a thick one of a standard deviation over sets."""
    x, rows = list(values), list(values.values())
    means = np.array([row.mean(axis=1) for row in rows])  # [m's, sets]
    mean = means.mean(axis=1)
    if not np.isfinite(mean).any():  # nothing is drawn that could have a name
        return
    ends = np.abs(np.array([[row.min(), row.max()] for row in rows]).T - mean)
    x = np.array(x, float) + aside  # so that bars of several curves are told apart
    ax.errorbar(x, mean, ends, capsize=2, markersize=5, linewidth=1.4, elinewidth=0.7, **look)
    if means.shape[1] > 1:
        spread, thick = means.std(axis=1, ddof=1), {"fmt": "none", "elinewidth": 3.5, "alpha": 0.6}
        ax.errorbar(x, mean, spread, ecolor=look["color"], **thick)


def _against_m(ax, config, **how):
    ticks = every_m(config)
    wedges.plots.label_axes(ax, x="m, of m + 1 optima", ticks=ticks, **how)
    ax.set_xlim(ticks[0] - 0.3, ticks[-1] + 0.3)
    wedges.plots.name_lines(ax)


def _levels(ax, config, levels):
    """Dotted lines across at {name: y}."""
    ends = every_m(config)
    for name, y in levels.items():
        ax.plot(ends, [y] * len(ends), ":", color="black", linewidth=0.8, label=name)


def _draw_accuracy(ax, arrays, config):
    for (name, look), aside in zip(looks().items(), _ASIDE, strict=True):
        several, what = (config.m, name) if "points" in name else (config.continuous, f"held {name}")
        _bars(ax, {m: 100 * arrays[f"m {m} {what} test accuracy"] for m in several}, look, aside)
    _levels(ax, config, {"the optima": 100 * arrays["optima test accuracy"].mean()})
    _against_m(ax, config, title="(d) Test accuracy between the optima", y="test accuracy (%)")


def _draw_heights(ax, arrays, config):
    """How far above the optima the loss is, in percent of what the flat hull rises."""
    h = heights(arrays, config)
    for (name, look), aside in zip(looks().items(), _ASIDE, strict=True):
        if name != "points flat":
            several, what = (config.m, name) if name == "points" else (config.continuous, f"held {name}")
            _bars(ax, {m: 100 * h[m][what] for m in several}, {**look, "label": None}, aside)
    joint = {"color": wedges.plots.BLUE, "linestyle": "-.", "linewidth": 1}
    between = [100 * h[m]["segments joint"].mean() for m in config.continuous]
    if np.isfinite(between).any():
        ax.plot(config.continuous, between, label="jointly, between two of its points", **joint)
    _levels(ax, config, {"counts as low": 100 * LOW, "as the flat hull": 100})
    y = "rise above the optima (% of the flat hull's)"
    _against_m(ax, config, title="(e) How high the loss is there", y=y)


if __name__ == "__main__":
    runs.main(__name__)
