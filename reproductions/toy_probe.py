"""How does the loss rise along random directions from a point near a wedge?

At P, at distance L0 from its wedge, along a random unit direction v: while the nearest wedge stays
the same, L(P + a v)^2 = L0^2 + 2 a L0 (u.v) + a^2 |N v|^2, so E[L^2] = L0^2 + a^2 s/D, and the a^2 term,
taken from L(P + a v)^2 + L(P - a v)^2, scatters over directions by about sqrt(2/s) of its mean: with
many short directions the landscape looks like a round well. Measured on all variants, several s.

    python -m reproductions.toy_probe --preset=quick     a quarter of a minute
    python -m reproductions.toy_probe                    half a minute
    python -m reproductions.toy_probe --dimension=500 --short=10,25
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Floats, Ints, at_least, between, option
from reproductions.common import pictures, toys
from reproductions.common.arrays import mean_and_error

RADII = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)  # the start's components are 1 to 5 in size


@options.settings
class Config(options.Config):
    dimension: int = option("D", between(4, 20_000), paper=1000, quick=500, smoke=100)
    short: Ints = option(
        "short directions s", below="dimension", paper=(20, 50, 100), quick=(10, 50), smoke=(10,)
    )
    k: int = option("K, wedges of the finite variant", paper=10)
    directions: int = option(
        "random directions, each walked both ways", at_least(10), paper=1000, quick=300, smoke=100
    )
    height: float = option("L0, the loss at the point", paper=0.05)
    radii: Floats = option("steps a along each direction", paper=RADII)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """ "<variant> losses" [s, radii, 2, directions], both ways; "start" [s], the loss at
    the point; "same" [s, radii], the share of directions whose nearest wedge is still the same."""
    places = [
        toys.Toy(variant, config.dimension, config.dimension - s, config.k, config.seed)
        for variant in toys.VARIANTS
        for s in config.short
    ]
    walk = Walk(config.height, config.directions, config.radii)
    watched = progress.bar("points", iterable=places, unit="point")
    found = parallel.over(functools.partial(cache.cached, walked, walk), watched)
    return toys.by_variant(places, found)


@dataclasses.dataclass(frozen=True)
class Walk:
    """From a point at this height, this many random directions, steps a along each of them."""

    height: float
    directions: int
    radii: tuple[float, ...]


def walked(walk, toy):
    """The loss along the directions, "losses" [radii, 2, directions]; "start" []; "same" [radii]."""
    # Components of at least 1: the wedge's long ones then stay clear of its short ones, which are 0.
    start = toys.gaussian(toy.seed, 1, toy.dimension)
    start += np.sign(start)
    if toy.variant == "rotated":
        start = toy.landscape.rotation.embed(start).numpy()
    wedge, point = toy.near(start, walk.height)
    v = wedges.isotropic(toy.dimension, walk.directions, seed=toy.seed)
    losses = _both_ways(toy.landscape, point, v, walk.radii)
    # The distance to the first wedge alone; where the loss is less, another is nearer by now.
    normals = toy.landscape.short_directions(wedge, toys.NEAR)  # [s, D]
    away = lambda a: np.linalg.norm((point + a * v) @ np.asarray(normals).T, axis=-1)
    fixed = np.array([[away(a), away(-a)] for a in walk.radii])
    return {
        "losses": losses,
        "start": toy.landscape(point).numpy(),
        "same": (np.abs(losses - fixed) <= 1e-3 * fixed).mean(axis=(1, 2)),
    }


def _both_ways(landscape, point, v, radii):
    radii = np.array(radii)
    ways = [wedges.radial_profile(landscape, point, v, a).losses for a in (radii, -radii)]
    return np.stack(ways, axis=1)  # [radii, 2, directions]


# ---- what the numbers say ---------------------------------------------------------------------------


def numbers(arrays, config):
    """{variant: ...}: mean of L^2, its distance from the formula in standard errors, scatter of the
    a^2 term, spread of L over directions; each [s, radii], NaN where the nearest wedge has changed."""
    s = np.array(config.short)[:, None]  # [s, 1]
    a = np.array(config.radii)  # [radii]
    found = {}
    for v in toys.VARIANTS:
        squares = arrays[f"{v} losses"].astype(np.float64) ** 2  # [s, radii, 2, directions]
        start = arrays[f"{v} start"].astype(np.float64)[:, None] ** 2  # [s, 1]
        both = squares.mean(axis=2)  # [s, radii, directions]: the term linear in a cancels
        mean, error = mean_and_error(both)
        term = both - start[..., None]
        whole = np.where(arrays[f"{v} same"] == 1, 1.0, np.nan)
        losses = arrays[f"{v} losses"].reshape(*whole.shape, -1)
        found[v] = {
            "mean": mean,
            "off": whole * (mean - start - a**2 * s / config.dimension) / error,
            "scatter": whole * term.std(axis=-1, ddof=1) / term.mean(axis=-1),
            "variation": whole * losses.std(axis=-1, ddof=1) / losses.mean(axis=-1),
        }
    return found


def last(values):
    """The last value along the radii that is not NaN. [s, radii] -> [s]."""
    good = [row[np.isfinite(row)] for row in values]
    return np.array([row[-1] if len(row) else np.nan for row in good])


def _smallest_rise(mean, same, radii):
    """Of the root mean square loss from one radius to the next, where both are the wedge's own."""
    order = np.argsort(radii)
    mean, same = mean[:, order], same[:, order]
    rises = np.diff(np.sqrt(mean), axis=1)[same[:, 1:] & same[:, :-1]]
    return rises.min() if rises.size else np.nan


def judged(arrays, config):
    """{claim: number}, as long as the nearest wedge stays the same."""
    found, s = {}, np.array(config.short)
    for v, at in numbers(arrays, config).items():
        same = arrays[f"{v} same"] == 1  # [s, radii]
        rise = _smallest_rise(at["mean"], same, config.radii)
        found |= {
            f"formula.{v}": np.abs(at["off"][same]).max() if same.any(axis=1).all() else np.nan,
            f"scatter.{v}": np.abs(last(at["scatter"]) / np.sqrt(2 / s) - 1).max(),
            f"rises.{v}": rise if len(config.radii) > 1 else None,
            f"round.{v}": last(at["variation"])[np.argmax(s)],
        }
    return found


EXACT = "Not in its words: the closed form, while the nearest wedge stays the same."
WELL = "Along random directions the loss rises, nearly the same way in each."


def claims(arrays, config):
    """The formula, its scatter, the rise and the roundness on every variant."""
    claim = Verdict("toy.probe", "Fort & Jastrzebski 2019, section 3", judged(arrays, config))
    for v in toys.VARIANTS:
        own = claim.about(f"*.{v}", toys.LABELS[v])
        formula = "|mean L^2 - (L0^2 + a^2 s/D)| in standard errors"
        own("formula", formula, "<=", 3.0, says=EXACT)
        own("scatter", "|scatter of the a^2 term / sqrt(2/s) - 1|", "<=", 0.15, says=EXACT)
        rise = "smallest rise from one step to the next"
        own("rises", rise, ">", 0.0, says=WELL, threshold=THEIRS)
        own("round", f"variation of L over directions, s = {max(config.short)}", "<=", 0.15, says=WELL)
    return claim.claims


def summary(arrays, config):
    """Scatter and root mean square loss of each variant and s: what the reference guards."""
    found = {}
    for v, at in numbers(arrays, config).items():
        for s, scatter, squares in zip(config.short, last(at["scatter"]), at["mean"], strict=True):
            rms = zip(config.radii, np.sqrt(squares), strict=True)
            found[f"{v} s {s}: scatter"] = [scatter]
            found |= {f"{v} s {s} a {a:g}: rms loss": [value] for a, value in rms}
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    short, steps = {"s": config.short}, {"a": config.radii}
    both_ways = {"sign": (1, -1), "direction": config.directions}
    return {"* losses": short | steps | both_ways, "* same": short | steps, "* start": short}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The rise of the loss for each s, on all variants at once; its scatter over directions."""
    found, nearer = claims(arrays, config), any(arrays[f"{v} same"].min() < 1 for v in toys.VARIANTS)
    title = "The loss along random directions from a point near a wedge"
    if pictures.holds(found, "*.formula.*", "*.rises.*", "*.scatter.*"):
        title = "Near a wedge the loss rises alike in every random direction"
        title += ", until another wedge is nearer" if nearer else ""
    title += (
        f"\nD = {config.dimension:,}; {config.directions:,} directions, walked both ways from a loss "
    )
    title += f"of {config.height:g}; s short directions; bands: 90% of the directions"
    figure, ((rise, scatter),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.6))
    _draw_rise(rise, arrays, config)
    _draw_scatter(scatter, arrays, config)
    return figure


def _marks(config):
    """{variant: how its points are drawn}: several of them on one spot can be told apart."""
    markers = {"axis": ("o", 8), "rotated": ("+", 8), "finite": ("x", 5)}
    return {
        v: {
            "marker": marker,
            "markersize": size,
            "markerfacecolor": "none",
            "linestyle": "",
            "label": toys.label(v, config.k),
        }
        for v, (marker, size) in markers.items()
    }


def _draw_rise(ax, arrays, config):
    """Root mean square loss against a for each s, its formula, and the band of 90% of directions."""
    plots, at = wedges.plots, numbers(arrays, config)
    a, x = np.array(config.radii), np.geomspace(min(config.radii), max(config.radii), 100)
    lines = {}
    for i, (s, color) in enumerate(zip(config.short, pictures.colors(), strict=False)):
        start = arrays["axis start"][i]
        formula = np.sqrt(start**2 + x**2 * s / config.dimension)
        (lines[f"s = {s}"],) = ax.plot(x, formula, color=color, linewidth=1.2)
        for v, look in _marks(config).items():
            losses = arrays[f"{v} losses"][i].reshape(len(a), -1)
            ax.fill_between(a, *np.quantile(losses, (0.05, 0.95), axis=1), color=color, alpha=0.1, lw=0)
            known = look if not i else {**look, "label": None}
            ax.plot(a, np.sqrt(at[v]["mean"][i]), **known, color=color)
    _point_out(ax, arrays, config, at)
    how = {"x": "step a along a direction", "y": "loss, root mean square over directions", "log": "xy"}
    plots.label_axes(ax, title=r"The rise; lines: $\sqrt{L_0^2 + a^2 s / D}$", **how, legend=8)
    pictures.name_ends(ax, lines)


def _point_out(ax, arrays, config, at):
    """Where another wedge is nearer for some direction: the farthest such point, with its reason."""
    for v in toys.VARIANTS:
        i, j = 0, int(np.argmax(config.radii))
        if arrays[f"{v} same"][i, j] < 1:
            place = config.radii[j], np.sqrt(at[v]["mean"][i, j])
            how = {"xytext": (0.8, 0.08), "textcoords": "axes fraction", "ha": "right", "va": "center"}
            arrow = {"arrowstyle": "->", "color": wedges.plots.GREY, "shrinkB": 7}
            ax.annotate("another wedge is\nnearer by now", place, arrowprops=arrow, **how)
            return


def _draw_scatter(ax, arrays, config):
    """The scatter of the a^2 term over directions against s, and its formula."""
    at, s = numbers(arrays, config), np.array(config.short)
    x = np.geomspace(s.min() / 1.5, s.max() * 1.5, 50)
    ax.plot(x, np.sqrt(2 / x), color="black", linestyle="--", linewidth=1.2)
    for v, look in _marks(config).items():
        ax.plot(s, last(at[v]["scatter"]), **look, color=wedges.plots.BLUE)
    y = "standard deviation / mean of the a² term"
    how = {"x": "short directions s", "y": y, "log": "xy", "ticks": s}
    title = r"The scatter over directions; line: $\sqrt{2 / s}$"
    wedges.plots.label_axes(ax, title=title, **how)


if __name__ == "__main__":
    runs.main(__name__)
