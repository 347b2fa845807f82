"""toy.probe: how does the loss rise along random directions from a point near a wedge?

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
from reproductions.common.arrays import mean_and_error, under

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
    """The rise for each variant, and the scatter against s."""
    plots, at, s = wedges.plots, numbers(arrays, config), np.array(config.short)
    title = f"Along random directions from a point near a wedge, D = {config.dimension}: "
    title += f"{config.directions} directions, both ways"
    figure, axes = plots.grid(2, 2, title=title)
    *rises, scatter = axes.flat
    x = np.geomspace(s.min() / 1.5, s.max() * 1.5, 50)
    scatter.plot(x, np.sqrt(2 / x), color="black", linestyle=":", label="sqrt(2/s)")
    for ax, v, look in zip(rises, toys.VARIANTS, pictures.looks(), strict=False):
        _draw_rise(ax, under(v, arrays), config, np.sqrt(at[v]["mean"]))
        title = toys.label(v, config.k)
        plots.label_axes(ax, title=title, x="step a", y="loss, root mean square", log="xy")
        scatter.plot(s, last(at[v]["scatter"]), linestyle="", alpha=0.8, label=toys.LABELS[v], **look)
    words = "line: sqrt(L0² + a² s/D)\nopen: another wedge is nearer"
    rises[0].legend(fontsize=8, title=words, title_fontsize=8)
    title, y = "scatter over directions", "deviation / mean of the a² term"
    plots.label_axes(scatter, title=title, x="short directions s", y=y, log="xy", ticks=s, legend=7)
    return figure


def _draw_rise(ax, own, config, rms):
    """Root mean square loss against a for each s, its formula, and the band of 90% of directions."""
    a, x = np.array(config.radii), np.geomspace(min(config.radii), max(config.radii), 100)
    for i, (s, color) in enumerate(zip(config.short, pictures.colors(), strict=False)):
        low, high = np.quantile(own["losses"][i].reshape(len(a), -1), (0.05, 0.95), axis=1)
        ax.fill_between(a, low, high, color=color, alpha=0.18, linewidth=0)
        ax.plot(x, np.sqrt(own["start"][i] ** 2 + x**2 * s / config.dimension), color=color, linewidth=1)
        dots, whole = {"color": color, "markersize": 4}, own["same"][i] == 1
        ax.plot(a[whole], rms[i][whole], "o", label=f"s = {s}", **dots)
        ax.plot(a[~whole], rms[i][~whole], "o", markerfacecolor="white", **dots)


if __name__ == "__main__":
    runs.main(__name__)
