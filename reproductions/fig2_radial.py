"""Figure 2: from an optimum the landscape looks like a circular well, along random directions.

The training loss on a random 2-D cut through a trained optimum, and along many random directions from
it: it rises with distance, nearly the same way in every direction. The cut through three independently
trained optima, on the same scale, shows what random cuts hide: other optima, as low, not far away. The
same on the toy landscape, where the reason is known: a random direction has a share s / D of its length
across the wedge, whichever direction it is.

    python -m reproductions.fig2_radial --preset=quick       digits, a minute or two
    python -m reproductions.fig2_radial                      CIFAR-10, ten minutes with training
    python -m reproductions.fig2_radial --directions=200 --steps=41
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 2.
"""

import numpy as np

import wedges
from reproductions.bench import options, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import at_least, but, option
from reproductions.common import optima, pictures, toys, wells
from reproductions.common.arrays import named, under
from reproductions.common.wells import BOUNDS, CORNERS
from reproductions.common.wells import numbers as _numbers
from reproductions.common.wells import variation as _variation

WELL = "Along random directions an optimum looks like a circular well."
OURS = {
    "source": "this project: the contrast of the two cuts",
    "says": "Not in the paper: what random cuts hide, a cut through the optima shows.",
}


@options.settings
class Config(optima.TrainedConfig):
    epochs: int = but(smoke=6)
    examples: int = but(paper=2000, quick=1000, smoke=200)
    directions: int = option("random directions from each optimum", at_least(2), paper=50, smoke=10)
    distances: int = option("distances along each, to the next optimum", at_least(4), paper=20, smoke=8)
    steps: int = option("points along each side of a cut", at_least(5), paper=25, quick=21, smoke=9)
    toy: str = option("toy as DxN, D dimensions with n-wedges", check=toys.sizes, paper="1000x900")
    toy_k: int = option("K, the toy's wedges", at_least(3), paper=10)
    height: float = option("toy: distance of a point to its wedge, the loss there", paper=1.0)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays "net <number>" and "toy <number>", as `wells` names them."""
    view = wells.View(config.directions, config.distances, config.steps, config.seed)
    toy = toys.Toy("finite", *toys.sizes(config.toy, "toy"), config.toy_k, config.seed)
    thetas = optima.trained(config, CORNERS)  # [3, D]
    net = wells.around(config.network(), thetas, view)
    return named("net", net) | named("toy", wells.above_wedges(toy, config.height, view))


# ---- what the numbers say ---------------------------------------------------------------------------


def judged(arrays, config):
    """{claim: number}, over the three optima."""
    found = {}
    for name in ("net", "toy"):
        mine = wells.judged(under(name, arrays))
        found |= {f"{name}.{claim}": number for claim, number in mine.items()}
    return found


def claims(arrays, config):
    """Circular wells along random directions; other optima on the cut through them."""
    claim = Verdict("fig2", "Fort & Jastrzebski 2019, Fig. 2", judged(arrays, config))
    rise = "mean loss over directions, smallest step from one distance to the next, over the loss"
    over = "coefficient of variation of the loss over directions, where the loss has doubled,"
    ring = "the same around a ring on a random 2-D cut, where the loss has doubled,"
    far = "lowest loss beyond half of the way to the next optimum, over that at the optimum"
    for name, place in (("net", "network"), ("toy", "toy")):
        own = claim.about(f"{name}.*", place, says=WELL)
        own("rises", f"{rise} at the optimum", *BOUNDS["rises"], threshold=THEIRS)
        own("variation", f"{over} largest of three optima", *BOUNDS["variation"])
        own("ring", f"{ring} largest of three optima", *BOUNDS["ring"])
        claim(f"{name}.hidden", f"{place}, random cut: {far}", *BOUNDS["hidden"], **OURS)
        claim(f"{name}.shown", f"{place}, cut through optima: {far}", *BOUNDS["shown"], **OURS)
    return claim.claims


def summary(arrays, config):
    """What claims are about, by optimum: what the reference guards."""
    found = {}
    for name in ("net", "toy"):
        mine = under(name, arrays)
        found |= {f"{name}: {k}": np.atleast_1d(v) for k, v in _numbers(mine).items()}
        found[f"{name}: loss at the optimum"] = mine["start"]
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """A row each for network and toy: both cuts, the radial profile, the variation over directions."""
    plots = wedges.plots
    title = (
        "Figure 2: random directions see a circular well, and hide the other optima\n"
        f"top: {config.model} on {config.dataset}; bottom: toy, {config.toy_k} random wedges, "
        f"D x n = {config.toy}; {config.directions} directions from each of {CORNERS} optima"
    )
    figure, axes = plots.grid(2, 4, title=title, panel=(3.6, 3.1))
    tops = 6 * arrays["net start"][0], np.nanmax(arrays["toy optima cut"])
    units = {"net": "training loss (nats)", "toy": "loss (distance to a wedge)"}
    for (random, through, profile, variation), top, name in zip(axes, tops, units, strict=True):
        mine, unit = under(name, arrays), units[name]
        start, side, a = mine["start"][0], mine["side"], mine["distances"]
        for ax, cut, marks, words in (
            (random, "random cut", np.zeros((1, 2)), "random 2-D cut"),
            (through, "optima cut", mine["corners"], "cut through three optima"),
        ):
            plots.contours(ax, side, side, mine[cut], low=0, high=top, lines=2 * start, label=unit)
            ax.plot(*marks.T, "w*", markersize=10, markeredgecolor="black")
            plots.label_axes(ax, title=f"{words} (line: twice the loss)", x="distance", y="distance")
        losses = np.insert(mine["losses"][0], 0, start, axis=0)  # [A + 1, directions]
        profile.plot([0, *a], losses, color=plots.GREY, alpha=0.25, linewidth=0.6)
        plots.curve(profile, [0, *a], losses.T, color=plots.BLUE, label="mean and deviation", marker=".")
        profile.axvline(mine["doubled"][0], color=plots.ORANGE, linewidth=1, label="loss doubled")
        plots.label_axes(profile, title="along random directions", x="distance", y=unit, legend=7)
        for i, (each, doubled) in enumerate(zip(mine["losses"], mine["doubled"], strict=True)):
            variation.plot(a, _variation(each), ".-", color=plots.shade(i / 2), linewidth=1)
            variation.axvline(doubled, color=plots.ORANGE, linewidth=0.8)
        pictures.level(variation, 0.15)
        variation.set_ylim(bottom=0)
        spread = "deviation / mean over directions"
        plots.label_axes(variation, title="three optima", x="distance", y=spread)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
