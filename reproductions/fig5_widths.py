"""Figure 5: learning rate, L2, dropout, batch size and network width change how wide a tunnel is.

Networks are trained with one of five hyperparameters at several values, several seeds each, until all
have the same training loss (or the epochs are over). From each optimum the loss is followed along random
directions until it crosses a threshold: twice the optimum's own loss, and a fixed one. The width of the
tunnel is that distance, or the angle arctan(distance / |theta|). The paper: wider with learning rate,
with L2 and with dropout until these get too strong, narrower with batch size.

    python -m reproductions.fig5_widths --preset=quick              digits, a minute or two
    python -m reproductions.fig5_widths --jobs=2                    CIFAR-10, 80 minutes on two cores
    python -m reproductions.fig5_widths --hyperparameter=lr         CIFAR-10, one of the five
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 5.
"""

import itertools

import numpy as np

import wedges
from reproductions.bench import options, runs, sweep
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Floats, Ints, Texts, above, at_least, but, one_of, option
from reproductions.common import data, networks, pictures, training
from reproductions.common import widths as tunnel_widths
from reproductions.common.arrays import mean_and_error, named, stacked
from reproductions.common.widths import MEASURES, THRESHOLDS, in_range, widths

# What the paper says of each: 1 wider with larger values, -1 narrower, 0 nothing that we know.
EXPECTED = {"lr": 1, "l2": 1, "dropout": 1, "batch_size": -1, "width": 0}
WHAT = one_of("all", *EXPECTED)
# The values to sweep.
LR = dict(paper=(3e-4, 5e-4, 1e-3, 2e-3, 4e-3), quick=(1e-3, 3e-3, 1e-2), smoke=(2e-3, 4e-3, 8e-3))
L2 = dict(paper=(0.0, 3e-4, 1e-3, 3e-3, 1e-2, 0.1), quick=(0.0, 1e-3, 1e-2), smoke=(0.0, 1e-3, 0.1))
DROPOUT = dict(paper=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7), quick=(0.0, 0.2, 0.5))


@options.settings
class Config(networks.NetworkConfig):
    """Settings of the figure: five that are varied, where those stay meanwhile, what is common."""

    hyperparameter: Texts = option(
        "what is varied, one column each", WHAT, paper=("all",), smoke=("lr", "l2")
    )
    lr: Floats = option("Adam's constant learning rates to sweep", **LR)
    l2: Floats = option("L2 coefficients c to sweep, penalty c sum(w^2) of kernels", at_least(0), **L2)
    dropout: Floats = option("dropout rates to sweep", at_least(0, below=1), **DROPOUT)
    batch_size: Ints = but(paper=(32, 64, 128, 256, 512), quick=(16, 64, 256))
    width: Floats = but(paper=(0.5, 0.75, 1.0, 1.5, 2.0), quick=(0.5, 1.0, 2.0))
    base_lr: float = option("lr where others vary", paper=1e-3, quick=3e-3, smoke=4e-3)
    base_batch_size: int = option(
        "batch size where others vary", fits=data.holds_batch, paper=128, quick=64
    )
    seeds: int = option("networks a value", paper=3, quick=2)
    target: float = option("training loss (nats) that ends training", paper=0.95, quick=0.1)
    epochs: int = option("most epochs of training", paper=14, quick=40, smoke=10)
    examples: int = option(
        "training examples in that loss and in widths", paper=2000, quick=1000, smoke=300
    )
    directions: int = option("directions from each optimum", at_least(2), paper=12, quick=8, smoke=4)
    multiple: float = option("first threshold, in multiples of the optimum's loss", above(1), paper=2.0)
    fixed: float = option("second threshold, in nats", paper=1.5, quick=1.0)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays "<hyperparameter> <number>" [values, seeds, ...] of everything the figure shows."""
    found = sweep.over(tunnel_widths.measure_one, settings(config), figure="fig5_widths").require()
    arrays = {}
    for name in varied(config):
        rows = [
            stacked([found.arrays(words(config, name, value, seed)) for seed in config.repeats])
            for value in values(config, name)
        ]
        arrays |= named(name, stacked(rows))
    return arrays


def varied(config):
    """The hyperparameters that this run varies."""
    chosen = config.hyperparameter
    return tuple(EXPECTED) if "all" in chosen else tuple(dict.fromkeys(chosen))


def values(config, name):
    """The values of a hyperparameter, ascending."""
    return sorted(set(getattr(config, name)))


def base(config):
    """The values of what is not varied."""
    common = {"lr": config.base_lr, "batch_size": config.base_batch_size}
    return {**common, "l2": 0.0, "dropout": 0.0, "width": 1.0}


def words(config, name, value, seed):
    """What is special about a setting: all that are at the base share one."""
    return f"{'base' if value == base(config)[name] else f'{name}={value}'}, seed {seed}"


def settings(config):
    """{what is special about it: Setting} of all values and seeds."""
    return {
        words(config, name, value, seed): _setting(config, seed, {**base(config), name: value})
        for name in varied(config)
        for value in values(config, name)
        for seed in config.repeats
    }


def _setting(config, seed, at):
    network = {name: at[name] for name in ("batch_size", "width", "dropout", "l2")}
    problem = config.problem(initial=seed, seed=seed, **network)
    recipe = training.Recipe("adam", at["lr"], config.epochs)
    own = ("target", "examples", "directions", "multiple", "fixed")
    return tunnel_widths.Setting(problem, recipe, **{name: getattr(config, name) for name in own})


# ---- what the numbers say ---------------------------------------------------------------------------


def rank(arrays, config, name, measure, threshold="multiple"):
    """As `widths.rank`, of the values of this run."""
    return tunnel_widths.rank(arrays, values(config, name), name, measure, threshold)


def reversal(arrays, name, measure):
    """How far the width at the strongest value is above the widest in range, in standard errors of that
    difference; at the fixed threshold, since beyond the range the optimum's own loss differs."""
    w, good = widths(arrays, name, measure, "fixed"), in_range(arrays, name)
    if good[-1] or not good.any() or w.shape[1] < 2:
        return np.nan
    mean, square = w.mean(axis=1), w.var(axis=1, ddof=1) / w.shape[1]
    best = np.flatnonzero(good)[mean[good].argmax()]
    return (mean[-1] - mean[best]) / np.sqrt(square[-1] + square[best])


TITLES = {
    "lr": "learning rate (Adam)",
    "l2": "L2 coefficient",
    "dropout": "dropout rate",
    "batch_size": "batch size",
    "width": "network width (x the paper's)",
}
REVERSES = ("l2", "dropout")  # when they get too strong
SAYS = {
    "lr": "A higher learning rate makes tunnels wider.",
    "l2": "L2 makes tunnels wider, until it gets too strong.",
    "dropout": "Dropout makes tunnels wider, until it gets too strong.",
    "batch_size": "Larger batches make tunnels narrower.",
}
COMPARABLE = "Not in the paper: only networks that are trained equally far are compared."


def judged(arrays, config):
    """{claim: number}: an interval's end nearest to no trend; of a reversal, where one is claimed."""
    found = {}
    for name in claimed(config):
        found[f"{name}.convergence"] = tunnel_widths.unequal(arrays, config.target, name)
        for measure in MEASURES:
            _, low, high = rank(arrays, config, name, measure)
            found[f"{name}.{measure}"] = low if EXPECTED[name] > 0 else high
            again = reversal(arrays, name, measure) if name in REVERSES else None
            found[f"{name}.reversal.{measure}"] = again
    return found


def claimed(config):
    """The hyperparameters of which something is claimed."""
    return [name for name in varied(config) if EXPECTED[name]]


def claims(arrays, config):
    """Equal convergence; the sign of each trend; the reversals."""
    claim = Verdict("fig5", "Fort & Jastrzebski 2019, Fig. 5", judged(arrays, config))
    ours = "this project: what makes widths comparable"
    worst = f"training losses in range, farthest from {config.target:g}, as a share of it"
    less = "at the strongest value less the widest in range, in standard errors"
    bounds = tunnel_widths.BOUNDS
    for name in claimed(config):
        own = claim.about(f"{name}.*", TITLES[name], says=SAYS[name])
        end, *bound = ("lower", *bounds["distance"]) if EXPECTED[name] > 0 else ("upper", "<", 0.0)
        own("convergence", worst, *bounds["convergence"], source=ours, says=COMPARABLE)
        for measure in MEASURES:
            trend = f"rank correlation with the width ({measure}), "
            trend += f"{rank(arrays, config, name, measure)[0]:.2f}; {end} end of its 95% interval"
            own(measure, trend, *bound, threshold=THEIRS)
        for measure in MEASURES:
            own(f"reversal.{measure}", f"width ({measure}) {less}", "<", -2.0)
    return claim.claims


def summary(arrays, config):
    """Losses and widths of every value, by seed: what the reference guards."""
    found = {}
    for name in varied(config):
        numbers = {loss: arrays[f"{name} {loss}"] for loss in ("train loss", "test loss")}
        numbers |= {f"{m}, {t}": widths(arrays, name, m, t) for m in MEASURES for t in THRESHOLDS}
        for i, value in enumerate(values(config, name)):
            found |= {f"{name} {value:g}: {what}": each[i] for what, each in numbers.items()}
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    return {f"{name} *": {name: values(config, name), "seed": config.repeats} for name in varied(config)}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """A column for each hyperparameter: distance, angle, and the losses that were reached."""
    plots, names = wedges.plots, varied(config)
    title = (
        "Figure 5: how wide a tunnel is, by how its network was trained\n"
        f"{config.model} on {config.dataset}, {pictures.counted(config.seeds, 'seed')}, "
        f"{config.directions} directions,\ntrained to a training loss of {config.target:g} "
        "(grey: not reached; triangles: lower bounds)"
    )
    figure, axes = plots.grid(3, len(names), title=title, panel=(3.6, 2.8))
    units = ("width, distance", "width, angle (degrees)")
    thresholds = (
        ("multiple", plots.BLUE, f"to {config.multiple:g} x the optimum's loss"),
        ("fixed", plots.ORANGE, f"to {config.fixed:g} nats"),
    )
    for column, name in zip(axes.T, names, strict=True):
        x = np.arange(len(values(config, name)))
        ticks = {i: f"{v:g}" for i, v in enumerate(values(config, name))}
        for ax, measure, unit in zip(column, MEASURES, units, strict=False):
            for threshold, color, label in thresholds:
                w = widths(arrays, name, measure, threshold)
                plots.errorbars(ax, x, *mean_and_error(w), color=color, label=label)
                bound = arrays[f"{name} {threshold} censored"].any(axis=(1, 2))
                ax.plot(x[bound], w.mean(axis=1)[bound], "^", color=color, markersize=9)
            rho, low, high = rank(arrays, config, name, measure)
            title = f"rank {rho:.2f} [{low:.2f}, {high:.2f}]"
            plots.label_axes(ax, title=title, y=unit, x=TITLES[name], ticks=ticks)
            ax.set_ylim(bottom=0)
        for loss, color in (("train loss", plots.GREEN), ("test loss", plots.GREY)):
            bars = mean_and_error(arrays[f"{name} {loss}"])
            plots.errorbars(column[2], x, *bars, color=color, label=loss)
        pictures.level(column[2], config.target)
        plots.label_axes(column[2], y="loss (nats)", x=TITLES[name], ticks=ticks)
        for ax, j in itertools.product(column, np.flatnonzero(~in_range(arrays, name))):
            ax.axvspan(j - 0.5, j + 0.5, color="black", alpha=0.08, linewidth=0)
    for ax in (axes[0, 0], axes[2, 0]):
        ax.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
