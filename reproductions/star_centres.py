"""Star centres: is one point low on the way to every optimum, and how many directions count there?

Where m + 1 wedges of the toy cross, every straight way to an optimum is low, and the short directions
of all wedges are short. The hull's middle, minimised as for m-connectors, lies on one wedge. A star
centre, the point of the lowest mean loss over its legs to all optima, is the crossing.

On the network: how low are its legs, beside those of the hull's minimised middle? And in how many
directions do gradients vary at a fixed distance around such a place, and what descents from there undo,
beside a control as high as a star on the line between two optima? The ideas are this project's, and so
are the thresholds, fixed before the runs.

    python -m reproductions.star_centres --preset=quick     digits, two minutes
    python -m reproductions.star_centres                    CIFAR-10, 45 minutes on one core
    python -m reproductions.star_centres --m=1,3 --counted=1,3 --longer_m=1 --reach=0.1,1
Source: star domains, Sonthalia et al. 2025, arXiv:2403.07968; wedges, Fort & Jastrzebski 2019.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, above, at_least, between, option
from reproductions.common import optima, pictures, star_toys, stars, toys
from reproductions.common.arrays import named, rank, stacked

LOW = 0.25  # of what the flat hull's middle rises: what counts as low, as for the tunnel
OF_RATIO = 0.15  # of a participation ratio on the toy: how far from its formula
VARIANTS, KINDS = star_toys.VARIANTS, stars.KINDS
CONTROLS = {"control": "star", "longer control": "longer"}  # what a control is as high as
WAYS = ("gradients", "descents")
NUMBERS = ("ratio", "count")  # the participation ratio, and the count that holds 90% of the variance


@options.settings
class Config(stars.Config):
    m: Ints = option(
        "m of the stars", between(1, 20), paper=tuple(range(1, 11)), quick=(1, 2, 4), smoke=(1, 2, 3)
    )
    steps: int = option("gradient steps of each place", paper=780, quick=200, smoke=20)
    reach: Floats = option("share of each leg that a star's stages look at", above(0, 1), paper=(1.0,))
    longer: int = option("times as many steps of longer trained stars", at_least(2), paper=5, smoke=2)
    longer_m: Ints = option("m of these", between(1, 20), paper=(1, 3, 9), quick=(1, 2), smoke=(1,))
    points: int = option("points on each leg where the loss is read", paper=3, smoke=2)
    counted: Ints = option(
        "m where directions count", between(1, 20), paper=(1, 2, 3, 5, 10), quick=(1, 2, 4), smoke=(1, 3)
    )
    toy_dimension: int = option("D of the toy", between(4, 5000), paper=500, quick=300, smoke=60)
    toy_short: int = option("s, short directions of its wedges", paper=20, smoke=6)
    toy_samples: int = option("gradients around a place of the toy", at_least(16), paper=400, smoke=60)

    def check(self):
        super().check()
        if max(self.counted) > max(self.m):
            most = f"must be at most --m={max(self.m)}."
            raise UsageError(f"--counted={options.show(self.counted)}: {most}")
        if not set(self.longer_m) <= set(self.m):
            among = f"must be among --m={options.show(self.m)}."
            raise UsageError(f"--longer_m={options.show(self.longer_m)}: {among}")
        if max(self.longer_m) >= max(self.m):
            left = f"must be below --m={max(self.m)}, so that an optimum is left."
            raise UsageError(f"--longer_m={options.show(self.longer_m)}: {left}")
        toys.check_crossing(max(self.m), self.toy_short, self.toy_dimension)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Losses at middles and on the ways from there; of gradients and descents around each place how many
    directions count, "gradients ..." [places, distances, ...] and "descents ..." [places, ...]; "<toy>
    ..." [m's, kinds, ...]."""
    network = config.network()
    thetas = optima.trained(config, max(config.m) + 1)  # [K, D]
    how = stars.Search(config.rate, config.steps, config.seed, config.reach)
    longer = dataclasses.replace(how, steps=config.longer * config.steps)
    beside = functools.partial(stars.beside, network, thetas, how, config.points)
    with_held_out = functools.partial(stars.with_held_out, network, thetas, longer, config.points)
    searches = {"middle": how, "star": how, "longer": longer}
    around = functools.partial(_around, network, thetas, searches, stars.probes(config))
    where = [(variant, m) for variant in VARIANTS for m in (0, *config.m)]
    watched = progress.bar("toy", iterable=where, unit="place")
    toy = parallel.over(functools.partial(_on_toy, config), watched)
    line = stars.on_legs(network, thetas[0], thetas[-1:], config.points, "line")
    return {
        **optima.read(network, thetas, "optima"),
        **stacked(parallel.over(beside, config.m)),
        **stacked(parallel.over(with_held_out, config.longer_m)),
        **named("line", {reading: found[0] for reading, found in line.items()}),
        **stacked(parallel.over(around, places(config))),
        **{f"{v} {name}": a for v, rows in _split(toy) for name, a in stacked(rows).items()},
    }


def places(config):
    """Where directions are counted, (kind, number): two optima; both kinds of places by m; the longest
    trained star; and controls, as high as the star of the largest m and as that one, on the line
    between the two optima."""
    between = [(kind, m) for kind in KINDS for m in config.counted]
    most, longest = max(config.counted), max(config.longer_m)
    controls = [("control", most), ("longer control", longest)]
    return [("optimum", 0), ("optimum", 1), *between, ("longer", longest), *controls]


def _around(network, thetas, searches, probes, place):
    """How many directions count around a place (kind, number)."""
    kind, m = place
    label, (gradients, descents) = f"{kind}, m = {m}", probes
    theta = _theta(network, thetas, searches, kind, m, label)
    grams = [stars.gram(network, theta, g, f"{label}, at {g.radius:g}") for g in gradients]
    return {
        **named("gradients", stacked([stars.dimensions(gram) for gram in grams])),
        **named("descents", stars.dimensions(stars.gram(network, theta, descents, label))),
    }


def _theta(network, thetas, searches, kind, m, label):
    """The place itself, [D]."""
    if kind == "optimum":
        return thetas[m]
    of = CONTROLS.get(kind, kind)
    found = searches[of].between(network, thetas[: m + 1], "star" if of == "longer" else of)
    return stars.as_high(network, *thetas[:2], found, label) if kind in CONTROLS else found


def _split(rows):
    """[(variant, its rows)] of all rows, those of one variant after the other."""
    count = len(rows) // len(VARIANTS)
    return [(v, rows[i * count : (i + 1) * count]) for i, v in enumerate(VARIANTS)]


def _on_toy(config, where):
    """What is found on a toy (variant, m)."""
    variant, m = where
    most, dimension = max(config.m), config.toy_dimension
    toy = toys.Toy(variant, dimension, dimension - config.toy_short, most + 1, config.seed)
    return cache.cached(star_toys.counted, toy, most + 1, m, config.toy_samples)


# ---- what the numbers say ---------------------------------------------------------------------------


def heights(arrays, config):
    """{name: height}: how far a training loss is above the optima's mean, as a share of what the flat
    hull's middle rises at the same m; "<kind>", "<kind> legs" and "<kind> highest" [m's], "longer ..."
    [its m's]; and "held out" [its m's] over the highest of the straight line between two optima."""
    base = arrays["optima train loss"].mean()
    rise = arrays["flat train loss"] - base  # [m's]
    of_longer = rise[[config.m.index(m) for m in config.longer_m]]
    found = {}
    for name, flat in (("middle", rise), ("star", rise), ("longer", of_longer)):
        end = arrays[f"{name} train loss"]  # of a leg, which may be its highest point
        found |= {
            name: (end - base) / flat,
            f"{name} legs": (arrays[f"{name} legs train loss"].mean(axis=1) - base) / flat,
            f"{name} highest": (np.maximum(arrays[f"{name} highest"], end) - base) / flat,
        }
    line = arrays["line train loss"].max() - base
    way = np.maximum(arrays["held out train loss"].max(axis=1), arrays["longer train loss"])
    found["held out"] = (way - base) / line
    return found


def at(arrays, config, way, number, kind, m):
    """How many directions count at a place, at the distance of the claims: a number and its standard
    error, [2]."""
    return near(arrays, config, way, number)[places(config).index((kind, m))]


def near(arrays, config, way, name):
    """What is known of gradients or descents at the distance of the claims, [places, ...]."""
    found = arrays[f"{way} {name}"]
    return found[:, stars.distances(config).index(config.radius)] if way == "gradients" else found


def alone(config):
    """The places that are in no series over m: the longest trained star, and the controls."""
    return [place for place in places(config) if place[0] in ("longer", *CONTROLS)]


def by_m(arrays, config, way, number, kind):
    """The same by m = 0, the two optima's mean, and those that are counted: numbers and standard errors,
    [m's + 1] each."""
    first, second = (at(arrays, config, way, number, "optimum", i) for i in range(2))
    optimum = [(first[0] + second[0]) / 2, np.hypot(first[1], second[1]) / 2]
    return np.array([optimum, *(at(arrays, config, way, number, kind, m) for m in config.counted)]).T


def judged(arrays, config):
    """{claim: number}: the toy against its formulas; heights on the network, and counts by m."""
    h, m, found = heights(arrays, config), [0, *config.m], {}
    shape = config.toy_dimension, config.toy_short
    for v in VARIANTS:
        for way in ("geometry", *WAYS):
            truth = star_toys.expected(*shape, m, v, way)
            found[f"toy.{way}.{v}"] = np.abs(on_toy(arrays, v, way)[:, 1] / truth - 1).max()
        middles, crossings = on_toy(arrays, v, "gradients").T
        found |= {
            f"toy.legs.{v}": arrays[f"{v} highest"][1:, 1].max(),
            f"toy.grows.{v}": rising(m, crossings),
            f"toy.middle.{v}": middles[np.argmax(m)] / config.toy_short,
        }
    found |= {
        "centre": h["star"].max(),
        "legs": h["star highest"].max(),
        "cone": (h["star legs"] - h["middle legs"]).max(),
        "longer": h["longer highest"].max(),
        "heldout": h["held out"][np.argmax(config.longer_m)],
    }
    for way, number in itertools.product(WAYS, NUMBERS):
        own = f"{way}.{number}"
        for kind in KINDS:
            counts, _ = by_m(arrays, config, way, number, kind)
            found[f"more.{kind}.{own}"] = counts[1:].min() / counts[0]
            found[f"grows.{kind}.{own}"] = rising([0, *config.counted], counts)
        top = max(config.counted)
        star, control = (at(arrays, config, way, number, kind, top) for kind in ("star", "control"))
        found[f"control.{own}"] = star[0] / control[0]
    return found


def rising(m, counts):
    """Their rank correlation, without the rounding that takes 0.8 below 0.8."""
    return round(rank(m, counts), 9)


def on_toy(arrays, variant, way):
    """Counts [m's + 1, kinds] of the toy, without errors."""
    found = arrays[f"{variant} {way}"]
    return found if way == "geometry" else found[..., 0]


PLACES = {"middle": "the hull's minimised middle", "star": "the star centre"}
FORMULAS = {"finite": "K random wedges", "axis": "all axis-aligned wedges"}
AROUND = {"gradients": "gradients around", "descents": "what descents undo around"}
WORDS = {"ratio": "participation ratio", "count": "directions with 90% of the variance"}


def claims(arrays, config):
    """Star centres on the toy and the network; how many directions count there."""
    claim = Verdict("star", "this project", judged(arrays, config))
    for v in VARIANTS:
        own = claim.about(f"toy.*.{v}", FORMULAS[v])
        own("geometry", "|short directions at the star centre / formula - 1|", "<=", 0.1)
        own("gradients", "|participation ratio of gradients there / formula - 1|", "<=", OF_RATIO)
        own("descents", "|the same of what descents undo there / formula - 1|", "<=", OF_RATIO)
        own("legs", "highest loss on its legs / the straight line's", "<=", 0.05)
        own("grows", "rank correlation with m of that ratio of gradients", ">=", 0.8)
        own("middle", "it at the minimised middle, largest m, over s of one wedge", "<=", 1.3)
    above_flat = "above the optima / the flat middle's rise"
    claim("centre", f"highest star centre, all m, {above_flat}", "<=", LOW)
    claim("legs", f"highest point on its legs, all m, {above_flat}", "<=", LOW)
    claim("cone", "mean on its legs less that on the minimised middle's, worst m", "<", 0)
    times = f"{config.longer} times as many steps: highest point on its legs, {above_flat}"
    claim("longer", times, "<=", LOW)
    claim(
        "heldout",
        "its way to an optimum that it was not made for: highest / the straight line's between two",
        "<",
        1,
        source="Sonthalia et al. 2025, there up to permutations",
        says="The barrier from a star model to a held-out solution is below that between solutions.",
        threshold=THEIRS,
    )
    for way, number in itertools.product(WAYS, NUMBERS):
        name = f"{WORDS[number]} of {AROUND[way]}"
        for kind, place in PLACES.items():
            own = claim.about(f"*.{kind}.{way}.{number}", f"{name} {place}")
            own("more", "least over m, over the optima's", ">", 1)
            own("grows", "rank correlation with m", ">=", 0.8)
        words = f"{name} the star centre, largest m, over that of a place on a line as high"
        claim(f"control.{way}.{number}", words, ">", 1)
    return claim.claims


def summary(arrays, config):
    """Heights and counts, of each m by itself: what the reference guards."""
    found = {f"optima: {name}": arrays[f"optima {name}"] for name in stars.READ_ON_LEGS}
    of_each = lambda name, among, values: {
        f"{name}, m = {m}": [value] for m, value in zip(among, values, strict=True)
    }
    for name, values in heights(arrays, config).items():
        longer = name.startswith(("longer", "held out"))
        found |= of_each(f"{name}: height", config.longer_m if longer else config.m, values)
    for m, values in zip(config.m, arrays["star legs test accuracy"], strict=True):
        found[f"star legs: test accuracy, m = {m}"] = values
    for way, number in itertools.product(WAYS, NUMBERS):
        of = lambda kind, way=way, number=number: by_m(arrays, config, way, number, kind)[0]
        found[f"{way}, {number}: optima"] = of("star")[:1]
        for place in alone(config):
            found[f"{way}, {number}: {_name(place)}"] = at(arrays, config, way, number, *place)[:1]
        for kind in KINDS:
            found |= of_each(f"{way}, {number}: {kind}", config.counted, of(kind)[1:])
    for v, way in itertools.product(VARIANTS, ("geometry", *WAYS)):
        for kind, counts in zip(KINDS, on_toy(arrays, v, way).T, strict=True):
            found |= of_each(f"toy {v}, {kind}: {way}", [0, *config.m], counts)
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    place = {"place": [_name(place) for place in places(config)]}
    m, longer, toy = {"m": config.m}, {"longer_m": config.longer_m}, {"m": [0, *config.m]}
    return {
        "gradients *": place | {"distance": stars.distances(config)},
        "descents *": place,
        **dict.fromkeys((f"{v} *" for v in VARIANTS), toy | {"place": list(KINDS)}),
        **dict.fromkeys(("longer *", "held out *"), longer),
        **dict.fromkeys(("flat *", "middle *", "star *"), m),
    }


def _name(place):
    kind, m = place
    return f"{kind} {m + 1}" if kind == "optimum" else f"{kind}, m = {m}"


# ---- the pictures -----------------------------------------------------------------------------------


def looks():
    """{what: how it is drawn}."""
    plots = wedges.plots
    return {
        "middle": {"color": plots.ORANGE, "marker": "s"},
        "star": {"color": plots.BLUE, "marker": "o"},
        "longer": {"color": plots.GREEN, "marker": "^"},
        "optimum": {"color": plots.GREY, "marker": "D"},
        "control": {"color": "black", "marker": "x"},
    }


def finding(arrays, config):
    """The title's first line: what these numbers say of where and of how many."""
    n, h = judged(arrays, config), heights(arrays, config)
    most = int(np.argmax(config.longer_m))
    share, optima = 100 * h["longer highest"][most], config.longer_m[most] + 1
    upto = math.ceil(round(share, 6)) if np.isfinite(share) else "?"
    where = f"From one point all straight ways to {optima} optima rise by at most {upto}% of the hull's"
    if n["cone"] >= 0:
        worst = config.m[int(np.argmax(h["star legs"] - h["middle legs"]))]
        where = f"After equal steps a star's ways are no lower than the middle's (m = {worst})"
    grows = [way for way in WAYS if n[f"grows.star.{way}.ratio"] >= 0.8]
    falls = [way for way in WAYS if n[f"grows.star.{way}.ratio"] <= -0.8]
    how = "there, no more directions count with m"
    if falls:
        how = f"there, fewer directions count with m ({' and '.join(falls)})"
    if grows:
        how = f"there, more directions count with m ({' and '.join(grows)})"
        if min(n[f"control.{way}.ratio"] for way in grows) <= 1:
            how += ", but no more than where a line is as high"
    return f"{where}; {how}"


def plot(arrays, config):
    """Where: the toy, heights by m, losses along the ways. How many: by m, for gradients and descents,
    and by distance."""
    plots = wedges.plots
    title = (
        f"{finding(arrays, config)}\n{pictures.named(config.model)} on "
        f"{pictures.named(config.dataset)}, {config.steps} steps a place; toy: D = "
        f"{config.toy_dimension}, s = {config.toy_short}; bars: standard errors, of directions around "
        "one place"
    )
    figure, axes = plots.grid(3, 2, title=title, panel=(4.2, 3.0))
    _draw_toy(axes[0, 0], arrays, config)
    _draw_heights(axes[0, 1], arrays, config)
    _draw_ways(axes[1, 0], arrays, config)
    for ax, letter, way in zip((axes[1, 1], axes[2, 0]), "de", WAYS, strict=True):
        _draw_counts(ax, arrays, config, letter, way)
    _draw_distances(axes[2, 1], arrays, config)
    return figure


def _draw_toy(ax, arrays, config):
    """Of K random wedges: what gradients find at both kinds of places, and the geometry."""
    m, shape = [0, *config.m], (config.toy_dimension, config.toy_short)
    counts = arrays["finite gradients"]  # [m's, kinds, 2]
    for way, words in (("geometry", "(m + 1) s"), ("gradients", "less what the wedges share")):
        truth = star_toys.expected(*shape, m, "finite", way)
        ax.plot(m, truth, ":", color=wedges.plots.GREY, linewidth=1.2, label=words)
    ax.plot(m, arrays["finite geometry"][:, 1], "x", color=wedges.plots.GREEN)
    for i, (kind, words) in enumerate((("middle", "at the hull's middle"), ("star", "at the star"))):
        _errorbars(ax, m, *counts[:, i].T, kind, words)
    title = "(a) Toy: directions in which gradients vary, and short directions"
    if judged(arrays, config)["toy.gradients.finite"] <= OF_RATIO:
        title = "(a) Toy: at the star centre gradients find the short directions of all wedges"
    _label(ax, title, "m (0: an optimum)", "participation ratio (x: geometry)", m)


def _errorbars(ax, x, values, errors, kind, words, hollow=False):
    """A line of what has numbers; without any there is none."""
    if not np.isfinite(values).any():
        return
    style = {"fmt": "--" if hollow else "-", "capsize": 3, "markersize": 4, "linewidth": 1.4}
    style |= {"markerfacecolor": "white"} if hollow else {}
    ax.errorbar(x, values, errors, label=words, **looks()[kind], **style)


def _label(ax, title, x, y, ticks=None, log=""):
    wedges.plots.label_axes(ax, title=title, x=x, y=y, ticks=ticks, log=log)
    wedges.plots.name_lines(ax, room=1.1)


def _draw_heights(ax, arrays, config):
    h = heights(arrays, config)
    pictures.level(ax, 100 * LOW)
    for name, x, words in (
        ("middle", config.m, "hull's middle"),
        ("star", config.m, "star centre"),
        ("longer", config.longer_m, f"{config.longer} x the steps"),
    ):
        order = np.argsort(x)
        x, look = np.array(x)[order], looks()[name]
        legs, highest = (100 * h[f"{name} {what}"][order] for what in ("legs", "highest"))
        if not np.isfinite(highest).any():
            continue
        ax.plot(x, 100 * h[name][order], "--", markersize=4, linewidth=1, **look)
        ax.plot(x, legs, "-", markersize=4, label=f"{words}, legs", **look)
        ax.vlines(x, legs, highest, color=look["color"], linewidth=0.8)
    title = "(b) Losses: the places (dashed) and the ways from there (solid; bars up to the highest); "
    title += "dotted: low"
    _label(ax, title, "m (m + 1 optima)", "above the optima (% of the flat middle)", config.m)


def _draw_ways(ax, arrays, config):
    """The mean loss on the straight ways from the optima, at the largest m."""
    base, top = arrays["optima train loss"].mean(), config.m.index(max(config.m))
    long = int(np.argmax(config.longer_m))
    u = np.linspace(0, 1, config.points + 2)
    other = arrays["optima train loss"][-1]
    for name, row, words in (
        ("middle", top, f"to the hull's middle, m = {max(config.m)}"),
        ("star", top, f"to the star centre, m = {max(config.m)}"),
        ("longer", long, f"{config.longer} x the steps, m = {max(config.longer_m)}"),
    ):
        inner, end = arrays[f"{name} legs train loss"][row], arrays[f"{name} train loss"][row]
        ax.plot(u, [base, *inner, end], "-", markersize=4, label=words, **looks()[name])
    held = [other, *arrays["held out train loss"][long], arrays["longer train loss"][long]]
    look = {"color": wedges.plots.GREEN, "marker": "v", "markersize": 4}
    ax.plot(u, held, "--", label="from one that it was not made for", **look)
    line = [arrays["optima train loss"][-1], *arrays["line train loss"], arrays["optima train loss"][0]]
    ax.plot(u, line, ":", markersize=4, label="between two optima", **looks()["optimum"])
    title = "(c) The loss along the straight ways from the optima"
    _label(ax, title, "from an optimum (0) to the place (1)", "training loss (nats)", log="y")


def _draw_counts(ax, arrays, config, letter, way):
    """Both numbers by m, the count with hollow markers; and those of the longest trained star and of the
    controls, each as high as the star beside it. No count can be above the dotted line."""
    samples, top = {"gradients": config.samples, "descents": config.descents}[way], 0.0
    for kind, number in itertools.product(KINDS, NUMBERS):
        values, errors = by_m(arrays, config, way, number, kind)
        top = np.fmax.reduce([top, *values])
        name = {"ratio": "ratio", "count": "90%"}[number]
        _errorbars(ax, [0, *config.counted], values, errors, kind, f"{kind}, {name}", number == "count")
    for (kind, m), number in itertools.product(alone(config), NUMBERS):
        value, error = at(arrays, config, way, number, kind, m)
        words = {"longer": f"{config.longer} x the steps", "control": "on a line, as high"}.get(kind)
        label = words if number == "ratio" else None
        look = "longer" if kind == "longer" else "control"
        _errorbars(ax, [m], [value], [error], look, label, number == "count")
    if (ceiling := 0.9 * (samples - 1)) < 2 * top:  # else what there is to see would be small
        pictures.level(ax, ceiling)
    around = {"gradients": "Gradients", "descents": f"What {config.descent_steps} steps undo"}[way]
    title = f"({letter}) {around} at a distance of {config.radius:g}: participation ratio, 90% count"
    _label(ax, title, "m (0: an optimum)", "directions that count", [0, *config.counted])


def _shown(config):
    """[(kind, row, words)] of the places that are drawn alone."""
    top, names = max(config.counted), places(config)
    words = {"middle": f"hull's middle, m = {top}", "star": f"star centre, m = {top}"}
    words["control"] = "on a line, as high"
    at = [(kind, names.index((kind, top)), words[kind]) for kind in words]
    return [("optimum", 0, "an optimum"), *at]


def _draw_distances(ax, arrays, config):
    for kind, row, words in _shown(config):
        values, errors = arrays["gradients ratio"][row].T
        _errorbars(ax, stars.distances(config), values, errors, kind, words)
    title = "(f) Gradients at other distances"
    ticks = stars.distances(config)
    _label(ax, title, "distance in weight space (L2)", "participation ratio", ticks, log="x")


def more_pictures(arrays, config):
    """Spectra, and how numbers depend on that of samples."""
    plots = wedges.plots
    title = (
        "Spectra of gradients and of what descents undo, and what fewer samples would say\n"
        f"{pictures.named(config.model)} on {pictures.named(config.dataset)}, at a distance of "
        f"{config.radius:g}"
    )
    figure, axes = plots.grid(3, 2, title=title, panel=(4.2, 3.0))
    among = {
        "gradients": ("gradients", config.samples),
        "descents": ("what descents undo", config.descents),
    }
    for column, (way, (words, samples)) in zip(axes.T, among.items(), strict=True):
        every, by_samples = (near(arrays, config, way, name) for name in ("shares", "by samples"))
        for kind, row, label in _shown(config):
            look = {**looks()[kind], "linewidth": 1, "label": label}
            shares, counts = every[row], by_samples[row]  # [samples - 1], [parts, 2]
            ranks = np.arange(1, len(shares) + 1)
            column[0].plot(ranks, np.maximum(100 * shares, 1e-3), "-", markersize=2.5, **look)
            for ax, values in zip(column[1:], counts.T, strict=True):
                ax.plot(stars.parts(samples), values, "-", markersize=4, **look)
        how = {"x": "eigenvalue", "y": "share of the variance (%)", "log": "xy"}
        _label(column[0], f"Spectrum of {words}", **how)
        for ax, name in zip(column[1:], ("participation ratio", "count that holds 90%"), strict=True):
            _label(ax, f"{words.capitalize()}: by samples", way, name)
    return {"spectra": figure}


if __name__ == "__main__":
    runs.main(__name__)
