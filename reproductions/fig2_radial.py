"""Figure 2: from an optimum the landscape looks like a circular well, along random directions.

The training loss on a random 2-D cut through a trained optimum, and along many random directions from
it: it rises with distance, nearly the same way in every direction. The cut through three independently
trained optima, on the same scale, shows what random cuts hide: other optima, as low, not far away. The
same on the toy landscape, where the reason is known: a random direction has a share s / D of its length
across the wedge, whichever direction it is.

    python -m reproductions.fig2_radial --preset=quick       digits, a minute or two
    python -m reproductions.fig2_radial                      CIFAR-10, about a quarter of an hour
    python -m reproductions.fig2_radial --directions=200 --steps=41
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 2.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima, toys

PAPER = "Fort & Jastrzebski 2019, Fig. 2"
OURS = "this project: the contrast of the two cuts"
positive = optima.positive
CORNERS = 3  # optima of the second cut
_SEEN = 2.0  # the cuts' window, in distances between optima


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(optima.TrainedConfig):
    """Settings of the figure."""

    directions: int = runs.option(
        "random directions from each optimum; e.g. 50", lambda v: v > 1, "at least 2"
    )
    distances: int = runs.option(
        "distances along each direction, evenly up to that of the next optimum; e.g. 20",
        lambda v: v > 3,
        "at least 4",
    )
    steps: int = runs.option("points along each side of a cut; e.g. 25", lambda v: v > 4, "at least 5")
    toy: str = runs.option("toy landscape as DxN, D dimensions with n-wedges; e.g. 1000x900")
    toy_k: int = runs.option("K, the toy's wedges; e.g. 10", lambda v: v > 2, "at least 3")
    height: float = runs.option(
        "toy: distance of the point to its wedge, the loss there; e.g. 1", positive, "above 0"
    )


_PAPER = {
    **optima.TRAINING,
    "dataset": "cifar10",
    "seed": 0,
    "examples": 2000,
    "directions": 50,
    "distances": 20,
    "steps": 25,
    "toy": "1000x900",
    "toy_k": 10,
    "height": 1.0,
}
_QUICK = {**_PAPER, "dataset": "digits", "epochs": 40, "batch_size": 32, "examples": 1000, "steps": 21}
_SMOKE = {**_QUICK, "epochs": 6, "examples": 200, "directions": 10, "distances": 8, "steps": 9}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """Arrays "net <number>" and "toy <number>", as `_look` names them."""
    from reproductions.bench import parallel
    from reproductions.common import data

    toys.sizes(config.toy, "toy")
    dataset = data.load(config.dataset, run.data_dir)
    seeds = range(config.seed, config.seed + CORNERS)
    train = functools.partial(optima.trained, config, run, dataset)
    thetas = np.stack(parallel.over(run, train, seeds))  # [3, D]
    seen = optima.network(config, dataset).seen
    key = {"data": dataset.fingerprint, "config": dataclasses.asdict(config)}
    look = functools.partial(_look, config, seen, thetas, thetas)
    net = run.cached({**key, "thetas": store.fingerprint(thetas)}, look)
    return {
        **{f"net {k}": v for k, v in net.items()},
        **{f"toy {k}": v for k, v in _toy(config).items()},
    }


def _toy(config):
    """The same on the toy: three optima on its wedges, and a point above each."""
    dimension, n = toys.sizes(config.toy, "toy")
    landscape = toys.build("finite", dimension, n, k=config.toy_k, seed=config.seed)
    starts = [toys.gaussian(config.seed + i, 1, dimension) for i in range(CORNERS)]
    wedges, points = zip(*(toys.near(landscape, s, config.height) for s in starts), strict=True)
    return _look(config, landscape, np.stack(points), np.stack(wedges))


def _look(config, landscape, points, corners):
    """The landscape from each of points [3, D], and on the plane through corners [3, D].

    Returns "distances" [A], "losses" [3, A, directions]; "doubled" [3], the distance where their mean is
    twice the loss at the point, "there" [3, directions], losses at that distance, "ring" [3, directions]
    the same on a random 2-D cut; "side" [X], "random cut" and "optima cut" [X, X], "corners" [3, 2],
    where the corners stand on the latter; "start" [3], the losses at the points.
    """
    import tensorflow as tf

    import wedges

    points = np.asarray(points)
    gaps = [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    a = np.linspace(0, min(gaps), config.distances + 1)[1:]
    found = {"distances": a, "start": np.array([landscape(p) for p in points])}
    rows = []
    for i, point in enumerate(points):
        v = wedges.isotropic(len(point), config.directions, seed=[config.seed, i])
        losses = wedges.radial_profile(landscape, point, v, a).losses
        doubled = _crossing(a, losses.mean(axis=1), found["start"][i])
        cut = wedges.random_cut(point, 2, seed=config.seed + i)
        turn = 2 * np.pi * np.arange(config.directions) / config.directions
        ring = cut.embed(doubled * np.stack([np.cos(turn), np.sin(turn)], axis=1).astype("float32"))
        at = functools.partial(wedges.radial_profile, landscape, point)
        there = at(v, [doubled]).losses[0] if np.isfinite(doubled) else np.full(len(v), np.nan)
        around = at(ring - point, [1.0]).losses[0] if np.isfinite(doubled) else 0 * there
        rows.append({"losses": losses, "doubled": doubled, "there": there, "ring": around})
    found |= {k: np.stack([r[k] for r in rows]) for k in rows[0]}
    side = np.linspace(-_SEEN / 2, _SEEN / 2, config.steps) * np.mean(gaps)
    through = wedges.through(corners)
    middle = through.coordinates(corners.mean(axis=0, dtype=np.float64).astype(corners.dtype))
    shown = wedges.AffineSubspace(through.embed(middle), through.directions)  # the window's center
    return found | {
        "side": side,
        "random cut": wedges.plane(
            landscape, wedges.random_cut(points[0], 2, seed=config.seed), side, side
        ),
        "optima cut": wedges.plane(landscape, shown, side, side),
        "corners": shown.coordinates(tf.constant(corners)).numpy(),
    }


def _crossing(a, mean, start):
    """The distance at which the mean loss first reaches twice that at the start; NaN if it does not."""
    a, mean = np.concatenate([[0.0], a]), np.concatenate([[start], mean])
    above = np.flatnonzero(mean >= 2 * start)
    if not len(above) or not np.isfinite(mean[: above[0] + 1]).all():
        return np.nan
    j = above[0]
    return float(np.interp(2 * start, mean[j - 1 : j + 1], a[j - 1 : j + 1]))


# ---- what the numbers say ---------------------------------------------------------------------------


def _variation(losses):
    """Coefficient of variation over directions: [..., directions] -> [...]."""
    return losses.std(axis=-1, ddof=1) / losses.mean(axis=-1)


def _numbers(arrays, name):
    """The quantities that claims are about, [3] each, but for the two cuts' []."""
    losses = np.concatenate(
        [arrays[f"{name} start"][:, None], arrays[f"{name} losses"].mean(axis=-1)], axis=1
    )  # [3, A + 1]
    far = _far(arrays, name)
    low = arrays[f"{name} start"][0]
    return {
        "steepest fall": np.diff(losses, axis=1).min(axis=1) / arrays[f"{name} start"],
        "variation": _variation(arrays[f"{name} there"]),
        "ring": _variation(arrays[f"{name} ring"]),
        "doubled": arrays[f"{name} doubled"],
        "random cut": arrays[f"{name} random cut"][far["random cut"]].min() / low,
        "optima cut": arrays[f"{name} optima cut"][far["optima cut"]].min() / low,
    }


def _far(arrays, name):
    """Where a cut is farther from the (first) optimum than half of the way to the next: [X, X]."""
    x, y = np.meshgrid(arrays[f"{name} side"], arrays[f"{name} side"])
    corners = arrays[f"{name} corners"]
    half = np.linalg.norm(corners[1:] - corners[0], axis=1).min() / 2
    first = corners[0]
    return {
        "random cut": np.hypot(x, y) > half,
        "optima cut": np.hypot(x - first[0], y - first[1]) > half,
    }


def claims(arrays, config):
    """Circular wells along random directions; other optima on the cut through them."""
    found = []

    def claim(id, statement, measured, relation, expected, source=PAPER):
        found.append(Claim(f"fig2.{id}", statement, source, measured, relation, expected))

    for name, place in (("net", "network"), ("toy", "toy")):
        n = _numbers(arrays, name)
        rise = (
            f"{place}: mean loss over directions, smallest step from one distance to the next, over the"
        )
        claim(f"{name}.rises", f"{rise} loss at the optimum", n["steepest fall"].min(), ">", 0.0)
        at = "where the loss has doubled, largest of three optima"
        over = f"{place}: coefficient of variation of the loss over directions"
        claim(f"{name}.variation", f"{over}, {at}", n["variation"].max(), "<=", 0.15)
        ring = f"{place}: the same around a ring on a random 2-D cut, {at}"
        claim(f"{name}.ring", ring, n["ring"].max(), "<=", 0.15)
        far = "lowest loss beyond half of the way to the next optimum, over that at the optimum"
        claim(f"{name}.hidden", f"{place}, random cut: {far}", n["random cut"], ">=", 2.0, OURS)
        claim(f"{name}.shown", f"{place}, cut through optima: {far}", n["optima cut"], "<=", 1.5, OURS)
    return found


def summary(arrays, config):
    """What claims are about, by optimum: what the reference guards."""
    found = {}
    for name in ("net", "toy"):
        found |= {f"{name}: {k}": np.atleast_1d(v) for k, v in _numbers(arrays, name).items()}
        found[f"{name}: loss at the optimum"] = arrays[f"{name} start"]
    return found


def plot(arrays, config):
    """A row each for network and toy: both cuts, the radial profile, the variation over directions."""
    from wedges import plots

    figure, axes = plots.grid(
        2,
        4,
        title="Figure 2: random directions see a circular well, and hide the other optima\n"
        f"top: {config.model} on {config.dataset}; bottom: toy, {config.toy_k} random wedges, "
        f"D x n = {config.toy}; {config.directions} directions from each of {CORNERS} optima",
        panel=(3.6, 3.1),
    )
    for row, name in zip(axes, ("net", "toy"), strict=True):
        start, side = arrays[f"{name} start"][0], arrays[f"{name} side"]
        corners, cuts = arrays[f"{name} corners"], ("random cut", "optima cut")
        unit = "training loss (nats)" if name == "net" else "loss (distance to a wedge)"
        high = 6 * start if name == "net" else np.nanmax(arrays[f"{name} optima cut"])
        shown = (np.zeros((1, 2)), corners)
        titles = ("random 2-D cut", "cut through three optima")
        for ax, cut, marks, title in zip(row, cuts, shown, titles, strict=False):
            losses = arrays[f"{name} {cut}"]
            plots.contours(ax, side, side, losses, low=0, high=high, lines=2 * start, label=unit)
            ax.plot(*marks.T, "w*", markersize=10, markeredgecolor="black")
            plots.label_axes(ax, title=f"{title} (line: twice the loss)", x="distance", y="distance")
        a = np.concatenate([[0], arrays[f"{name} distances"]])
        at = np.broadcast_to(arrays[f"{name} start"][:, None, None], (CORNERS, 1, config.directions))
        losses = np.concatenate([at, arrays[f"{name} losses"]], axis=1)  # [3, A + 1, directions]
        row[2].plot(a, losses[0], color=plots.GREY, alpha=0.25, linewidth=0.6)
        plots.curve(row[2], a, losses[0].T, color=plots.BLUE, label="mean and deviation", marker=".")
        doubled = arrays[f"{name} doubled"]
        row[2].axvline(doubled[0], color=plots.ORANGE, linewidth=1, label="loss doubled")
        row[2].legend(fontsize=7)
        plots.label_axes(row[2], title="along random directions", x="distance", y=unit)
        for k in range(CORNERS):
            row[3].plot(a[1:], _variation(losses[k, 1:]), ".-", color=plots.shade(k / 2), linewidth=1)
            row[3].axvline(doubled[k], color=plots.ORANGE, linewidth=0.8)
        row[3].axhline(0.15, color="black", linewidth=0.8, linestyle=":")
        row[3].set_ylim(bottom=0)
        plots.label_axes(
            row[3], title="three optima", x="distance", y="deviation / mean over directions"
        )
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
