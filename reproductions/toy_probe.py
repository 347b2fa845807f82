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
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import toys

PAPER = "Fort & Jastrzebski 2019, section 3"
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.Config):
    """Settings of the figure."""

    dimension: int = runs.option("D; e.g. 1000", lambda v: 3 < v <= 20_000, "from 4 to 20000")
    short: tuple[int, ...] = runs.option(
        "short directions s, one curve each; e.g. 20,50", positive, "at least 1"
    )
    k: int = runs.option("K, wedges of the finite variant; e.g. 10", positive, "at least 1")
    directions: int = runs.option(
        "random directions, each walked both ways; e.g. 1000", lambda v: v > 9, "at least 10"
    )
    height: float = runs.option("L0, the loss at the point; e.g. 0.05", positive, "above 0")
    radii: tuple[float, ...] = runs.option(
        "steps a along each direction (the start's components are 1 to 5 in size); e.g. 0.1,1",
        positive,
        "above 0",
    )


_PAPER = {
    "seed": 0,
    "dimension": 1000,
    "short": (20, 50, 100),
    "k": 10,
    "directions": 1000,
    "height": 0.05,
    "radii": (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
}
_QUICK = {**_PAPER, "dimension": 500, "short": (10, 50), "directions": 300}
_SMOKE = {**_QUICK, "dimension": 100, "short": (10,), "directions": 100}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """ "<variant> losses" [s, radii, 2, directions], both ways; "start" [s], the loss at
    the point; "same" [s, radii], the share of directions whose nearest wedge is still the same."""
    from reproductions.bench import parallel, progress
    from reproductions.bench.errors import UsageError

    if max(config.short) >= config.dimension:
        raise UsageError(f"--short={max(config.short)}: must be below --dimension={config.dimension}.")
    items = [(variant, s) for variant in toys.VARIANTS for s in config.short]
    found = parallel.over(
        run, functools.partial(_probe, config), progress.bar(iterable=items, desc="points", unit="point")
    )
    arrays = {}
    for variant in toys.VARIANTS:
        rows = [f for (v, _), f in zip(items, found, strict=True) if v == variant]
        arrays |= {f"{variant} {name}": np.stack([r[name] for r in rows]) for name in rows[0]}
    return arrays


def _probe(config, item):
    from wedges import probe

    variant, s = item
    landscape = toys.build(variant, config.dimension, config.dimension - s, k=config.k, seed=config.seed)
    # Components of at least 1: the wedge's long ones then stay clear of its short ones, which are 0.
    start = toys.gaussian(config.seed, 1, config.dimension)
    start += np.sign(start)
    if variant == "rotated":
        start = landscape.rotation.embed(start).numpy()
    wedge, point = toys.near(landscape, start, config.height)
    normals = landscape.short_directions(wedge, 1e-3)  # [s, D]
    radii = np.array(config.radii)
    v = probe.isotropic(config.dimension, config.directions, seed=config.seed)
    both = lambda walked: np.stack(
        [probe.radial_profile(walked, point, v, a).losses for a in (radii, -radii)], 1
    )
    losses = both(landscape)  # [A, 2, M]
    # The distance to the first wedge alone; where the loss is less, another is nearer by now.
    fixed = both(_Fixed(landscape, normals))
    return {
        "losses": losses,
        "start": landscape(point).numpy(),
        "same": (np.abs(losses - fixed) <= 1e-3 * fixed).mean(axis=(1, 2)),
    }


class _Fixed:
    """The distance to one wedge of given normals [s, D], as a landscape."""

    def __init__(self, landscape, normals):
        self.dimension, self.dtype, self.point = landscape.dimension, landscape.dtype, landscape.point
        self.normals = np.asarray(normals)

    def __call__(self, theta):
        return np.linalg.norm(theta @ self.normals.T, axis=-1)


def _numbers(arrays, config):
    """{variant: ...}: mean of L^2, its distance from the formula in standard errors, scatter of the
    a^2 term, spread of L over directions; each [s, radii], NaN where the nearest wedge has changed."""
    s = np.array(config.short)[:, None]  # [s, 1]
    a = np.array(config.radii)  # [radii]
    found = {}
    for v in toys.VARIANTS:
        squares = arrays[f"{v} losses"].astype(np.float64) ** 2  # [s, radii, 2, directions]
        start = arrays[f"{v} start"].astype(np.float64)[:, None] ** 2  # [s, 1]
        both = squares.mean(axis=2)  # [s, radii, directions]: the term linear in a cancels
        error = both.std(axis=-1, ddof=1) / np.sqrt(both.shape[-1])
        term = both - start[..., None]
        whole = np.where(arrays[f"{v} same"] == 1, 1.0, np.nan)
        losses = arrays[f"{v} losses"].reshape(*whole.shape, -1)
        found[v] = {
            "mean": both.mean(axis=-1),
            "off": whole * (both.mean(axis=-1) - start - a**2 * s / config.dimension) / error,
            "scatter": whole * term.std(axis=-1, ddof=1) / term.mean(axis=-1),
            "variation": whole * losses.std(axis=-1, ddof=1) / losses.mean(axis=-1),
        }
    return found


def _last(values):
    """The last value along the radii that is not NaN. [s, radii] -> [s]."""
    good = [row[np.isfinite(row)] for row in values]
    return np.array([row[-1] if len(row) else np.nan for row in good])


def claims(arrays, config):
    """The formula, its scatter, the rise and the roundness on every variant, as long as the nearest
    wedge stays the same."""
    numbers, found = _numbers(arrays, config), []
    s = np.array(config.short)

    def claim(id, statement, measured, relation, expected):
        found.append(Claim(f"toy.probe.{id}", statement, PAPER, measured, relation, expected))

    for v in toys.VARIANTS:
        at, name = numbers[v], toys.LABELS[v]
        same = arrays[f"{v} same"] == 1  # [s, radii]
        off = np.abs(at["off"][same]).max() if same.any(axis=1).all() else np.nan
        claim(
            f"formula.{v}", f"{name}: |mean L^2 - (L0^2 + a^2 s/D)| in standard errors", off, "<=", 3.0
        )
        ratio = np.abs(_last(at["scatter"]) / np.sqrt(2 / s) - 1).max()
        claim(f"scatter.{v}", f"{name}: |scatter of the a^2 term / sqrt(2/s) - 1|", ratio, "<=", 0.15)
        order = np.argsort(config.radii)
        same = same[:, order]
        rises = np.diff(np.sqrt(at["mean"][:, order]), axis=1)[same[:, 1:] & same[:, :-1]]
        rise = rises.min() if rises.size else np.nan
        if len(config.radii) > 1:
            claim(f"rises.{v}", f"{name}: smallest rise from one step to the next", rise, ">", 0.0)
        widest = int(np.argmax(s))
        claim(
            f"round.{v}",
            f"{name}: variation of L over directions, s = {s[widest]}",
            _last(at["variation"])[widest],
            "<=",
            0.15,
        )
    return found


def summary(arrays, config):
    """Scatter and root mean square loss of each variant and s: what the reference guards."""
    found = {}
    for v, at in _numbers(arrays, config).items():
        for i, s in enumerate(config.short):
            found[f"{v} s {s}: scatter"] = [_last(at["scatter"])[i]]
            for j, a in enumerate(config.radii):
                found[f"{v} s {s} a {a:g}: rms loss"] = [np.sqrt(at["mean"][i, j])]
    return found


def plot(arrays, config):
    """The rise for each variant, and the scatter against s."""
    from wedges import plots

    numbers = _numbers(arrays, config)
    figure, axes = plots.grid(
        1,
        4,
        title=f"Along random directions from a point near a wedge, D = {config.dimension}: "
        f"{config.directions} directions, both ways",
        panel=(3.6, 3.6),
    )
    a, s = np.array(config.radii), np.array(config.short)
    x = np.geomspace(a.min(), a.max(), 100)
    palette = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    for ax, v in zip(axes[0], toys.VARIANTS, strict=False):
        start, same = arrays[f"{v} start"], arrays[f"{v} same"]
        for i, short in enumerate(s):
            color = palette[i % len(palette)]
            losses = arrays[f"{v} losses"][i].reshape(len(a), -1)
            low, high = np.quantile(losses, (0.05, 0.95), axis=1)
            ax.fill_between(a, low, high, color=color, alpha=0.18, linewidth=0)
            ax.plot(
                x, np.sqrt(start[i] ** 2 + x**2 * short / config.dimension), color=color, linewidth=1
            )
            rms, whole = np.sqrt(numbers[v]["mean"][i]), same[i] == 1
            ax.plot(a[whole], rms[whole], "o", color=color, markersize=4, label=f"s = {short}")
            ax.plot(a[~whole], rms[~whole], "o", color=color, markersize=4, markerfacecolor="white")
        ax.set_xscale("log")
        ax.set_yscale("log")
        plots.label_axes(
            ax,
            title=toys.LABELS[v].replace("K", f"K = {config.k}", 1),
            x="step a",
            y="loss, root mean square",
        )
    axes[0, 0].legend(
        fontsize=8, title="line: sqrt(L0² + a² s/D)\nopen: another wedge is nearer", title_fontsize=7
    )
    ax = axes[0, 3]
    x = np.geomspace(s.min() / 1.5, s.max() * 1.5, 50)
    ax.plot(x, np.sqrt(2 / x), color="black", linestyle=":", label="sqrt(2/s)")
    for v, marker, color in zip(toys.VARIANTS, "osD", palette, strict=False):
        ax.plot(s, _last(numbers[v]["scatter"]), marker, color=color, label=toys.LABELS[v], alpha=0.8)
    ax.loglog()
    ax.set_xticks(s, [f"{n}" for n in s])
    ax.set_xticks([], minor=True)
    plots.label_axes(
        ax, title="scatter over directions", x="short directions s", y="deviation / mean of the a² term"
    )
    ax.legend(fontsize=7)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
