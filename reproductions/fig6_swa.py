"""Figure 6: when may the weights of one run be averaged?

A trained network goes on with a cyclical learning rate; at the end of each cycle we take a snapshot and
compare three predictors: the last snapshot, the ensemble (mean of the snapshots' predictions), and the
weight average (SWA: the network at the snapshots' mean weights). With a low maximum rate the snapshots
stay in one wide tunnel of low loss, and the weight average is as good as the ensemble. With a high one
they move between tunnels: predictions still average well, weights do not.

    python -m reproductions.fig6_swa --preset=quick           MNIST-1D, about a minute
    python -m reproductions.fig6_swa                          CIFAR-10, three seeds, half an hour
    python -m reproductions.fig6_swa --lr=0.1 --seeds=1       CIFAR-10, one panel, five minutes
    python -m reproductions.fig6_swa --check                  status 1 on a failed claim
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 6.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Floats, at_least, but, option
from reproductions.common import averaging, networks, pictures, training
from reproductions.common.arrays import stacked
from reproductions.common.averaging import BOUNDS, PREDICTORS, numbers, over_seeds


@options.settings
class Config(networks.NetworkConfig):
    """Settings of the figure; how the presets were chosen is told in reference/fig6_swa.md."""

    seed: int = but(paper=3, quick=0)  # unseen by the search for the preset
    dataset: str = but(quick="mnist1d", smoke="digits")
    batch_size: int = but(quick=64, smoke=32)
    lr: Floats = option(
        "maximum rates, a panel each", paper=(0.03, 0.05, 0.1), quick=(0.002, 0.2), smoke=(0.03, 0.1)
    )
    low: float = option(
        "rates up to this one are claimed to be low", below="high", paper=0.03, quick=0.002, smoke=0.1
    )
    high: float = option(
        "rates from this one on are claimed to be high", paper=0.1, quick=0.2, smoke=0.3
    )
    seeds: int = option("independent repetitions", paper=3, quick=2)
    cycles: int = option("cycles after training", at_least(2), paper=5, smoke=3)
    cycle_epochs: int = option("epochs in one cycle", paper=2, quick=6, smoke=1)
    optimizer: str = option("of the cycles (momentum: SGD, 0.9)", training.OPTIMIZERS, paper="momentum")
    pretrain_epochs: int = option("epochs of Adam before them", paper=30, quick=60, smoke=10)
    pretrain_lr: float = option(
        "Adam's constant learning rate before them", paper=1e-3, quick=2e-3, smoke=1e-3
    )
    dropout: float = option("share of activations dropped in training", at_least(0, below=1), paper=0.0)
    l2: float = option("L2 penalty's coefficient", at_least(0), paper=0.0)
    line_points: int = option(
        "points on the segment between two snapshots, its ends included", at_least(3), paper=9, smoke=5
    )
    line_examples: int = option("training examples in the loss on that segment", paper=10_000, smoke=500)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays [seeds, rates, ...] of everything the figure shows."""
    repeats = parallel.over(functools.partial(_train_and_follow, config), config.repeats)
    return stacked(repeats) | {"lr": np.array(config.lr)}


def _train_and_follow(config, seed):
    """One seed: train, then cycles from there at each rate. Arrays [rates, ...]."""
    problem = config.problem(initial=seed, seed=seed, dropout=config.dropout, l2=config.l2)
    recipe = training.Recipe("adam", config.pretrain_lr, config.pretrain_epochs)
    start = training.train(problem, recipe, label=f"seed {seed}, training").theta
    before = averaging.before(problem, start)
    rates = []
    for lr in config.lr:
        epochs = config.cycles * config.cycle_epochs
        recipe = training.Recipe(config.optimizer, lr, epochs, config.cycle_epochs)
        with progress.labelled(f"seed {seed}, lr {lr:g}"):
            segments = averaging.Segments(config.line_points, config.line_examples)
            rates.append(before | averaging.cycles(problem, recipe, start, segments))
    return stacked(rates)


# ---- what the numbers say ---------------------------------------------------------------------------


def regime(config, lr):
    """low, high, or in between, where nothing is claimed."""
    return averaging.regime(lr, config.low, config.high)


def extremes(config):
    """Where the lowest low and the highest high rate stand in `config.lr`; None where there is none."""
    rates = sorted(range(len(config.lr)), key=lambda i: config.lr[i])
    low = next((i for i in rates if regime(config, config.lr[i]) == "low"), None)
    high = next((i for i in reversed(rates) if regime(config, config.lr[i]) == "high"), None)
    return low, high


def judged(arrays, config):
    """{claim: number}, of the lowest low and the highest high rate; None where there is none."""
    return averaging.judged(over_seeds(arrays), *extremes(config))


JUDGED_FROM = "quick"  # whose data and rates were chosen for these claims
LOW = "At a low rate snapshots stay in one wide tunnel, and their average does as well as the ensemble."
HIGH = (
    "At a high rate snapshots move between tunnels: their average does worse than one of them, the "
    "ensemble better."
)


def claims(arrays, config):
    """What low rates and high ones do to averages."""
    claim = Verdict("fig6", "Fort & Jastrzebski 2019, Fig. 6", judged(arrays, config))
    low = claim.about("low.*", "low rate", says=LOW)
    high = claim.about("high.*", "high rate", says=HIGH)
    at_end = "test accuracy after the last cycle"
    rise = "rise of training loss between consecutive snapshots, over the loss at its ends"
    low("swa_vs_snapshot", f"{at_end}, SWA - snapshot", *BOUNDS["low.swa_vs_snapshot"], threshold=THEIRS)
    low("swa_vs_ensemble", f"{at_end}, |SWA - ensemble|", *BOUNDS["low.swa_vs_ensemble"])
    low("no_barrier", rise, *BOUNDS["low.no_barrier"])
    high(
        "swa_vs_snapshot", f"{at_end}, SWA - snapshot", *BOUNDS["high.swa_vs_snapshot"], threshold=THEIRS
    )
    high(
        "ensemble_vs_snapshot",
        f"{at_end}, ensemble - snapshot",
        *BOUNDS["high.ensemble_vs_snapshot"],
        threshold=THEIRS,
    )
    high("barrier", rise, *BOUNDS["high.barrier"])
    alike = "labels that consecutive snapshots share, high - low"
    claim("high.less_alike", alike, *BOUNDS["high.less_alike"], says=HIGH, threshold=THEIRS)
    return claim.claims


def summary(arrays, config):
    """{"lr 0.1: swa_accuracy": values [seeds], ...}: what the reference guards."""
    names = [f"{p}_{what}" for p in PREDICTORS for what in ("accuracy", "train_loss")]
    names += ["barrier", "agreement", "distance"]
    n = numbers(arrays)
    return {f"lr {lr:g}: {name}": n[name][:, i] for i, lr in enumerate(config.lr) for name in names}


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    both, cycles = {"seed": config.repeats, "lr": config.lr}, range(1, config.cycles + 1)
    pairs = both | {"pair": cycles[:-1]}
    return {
        "lr": {"lr": config.lr},
        "start_*": both,
        "distance": pairs,
        "line_loss": pairs | {"share_of_the_way": np.linspace(0, 1, config.line_points)},
        "agreement": both | {"cycle": cycles, "other_cycle": cycles},
        "*": both | {"cycle": cycles},
    }


# ---- the picture ------------------------------------------------------------------------------------


def looks():
    """{predictor: how it is drawn}."""
    plots = wedges.plots
    return {
        "snapshot": {"color": plots.GREY, "label": "last snapshot", "marker": "s"},
        "ensemble": {"color": plots.BLUE, "label": "ensemble of predictions", "marker": "o"},
        "swa": {"color": plots.ORANGE, "label": "weight average (SWA)", "marker": "^"},
    }


def plot(arrays, config):
    """Against the rate what averaging gains and how accurate it is; the segment; cycle by cycle."""
    n, (low, high) = over_seeds(arrays), extremes(config)
    title = "Averaging the weights or the predictions of one run's snapshots"
    if low is not None and high is not None and n["swa_gain"][high] < 0 < n["ensemble_gain"][high]:
        title = "Weights average well only while snapshots stay in one valley, predictions anywhere"
    name, data, optimizer = map(pictures.named, (config.model, config.dataset, config.optimizer))
    epochs = pictures.counted(config.cycle_epochs, "epoch")
    title += f"\n{name} on {data}, {pictures.counted(config.seeds, 'seed')}"
    title += " (bars: standard deviation)" if config.seeds > 1 else ""
    title += f", {config.cycles} cosine cycles of {epochs} by {optimizer}; a cycle moves the weights by "
    step = (arrays["distance"] / arrays["norm"][..., :-1]).mean(axis=(0, 2))  # [rates]
    moved = [f"{100 * by:.2g}% at rate {lr:g}" for by, lr in zip(step, config.lr, strict=True)]
    title += ", ".join(moved).replace("%", "% of their length", 1)
    figure, axes = wedges.plots.grid(2, 2, title=title, panel=(4.3, 3.3))
    _draw_gains(axes[0, 0], arrays, config)
    _draw_accuracy(axes[0, 1], arrays, config)
    _draw_segments(axes[1, 0], arrays, config)
    _draw_cycles(axes[1, 1], arrays, config)
    return figure


def _against_rates(ax, values, config, look):
    """Values [seeds, rates], a mean and a deviation for each rate, side by side."""
    x = np.arange(len(config.lr)) + {"s": -0.04, "o": 0.0, "^": 0.04}[look["marker"]]
    _with_bars(ax, x, values, look)


def _with_bars(ax, x, values, look):
    """A mean and a deviation of values [seeds, len(x)] at each x."""
    error = values.std(axis=0, ddof=1) if len(values) > 1 else None
    ax.errorbar(x, values.mean(axis=0), error, fmt="-", capsize=3, linewidth=1.3, **look)


def _ticks(config):
    return {i: f"{lr:g}\n{regime(config, lr)}" for i, lr in enumerate(config.lr)}


def _draw_gains(ax, arrays, config):
    n = numbers(arrays)
    for name in ("ensemble", "swa"):
        gain = 100 * (n[f"{name}_accuracy"] - n["snapshot_accuracy"])
        _against_rates(ax, gain, config, looks()[name])
    pictures.level(ax, 0, "last snapshot")
    ax.margins(x=0.15)
    title = "(a) What averaging gains over the last snapshot"
    how = {"x": "maximum rate of a cycle", "y": "test accuracy (points)", "ticks": _ticks(config)}
    wedges.plots.label_axes(ax, title=title, **how)
    wedges.plots.name_lines(ax, room=1.0)


def _draw_accuracy(ax, arrays, config):
    n = numbers(arrays)
    for name, look in looks().items():
        _against_rates(ax, 100 * n[f"{name}_accuracy"], config, look)
    pictures.level(ax, 100 * arrays["start_accuracy"].mean(), "before the cycles")
    ax.margins(x=0.15)
    title = "(b) How accurate each is after the last cycle" + _below_the_start(arrays, config)
    how = {"x": "maximum rate of a cycle", "y": "test accuracy (%)", "ticks": _ticks(config)}
    wedges.plots.label_axes(ax, title=title, **how)
    wedges.plots.name_lines(ax, room=1.0)


def _below_the_start(arrays, config):
    """That the highest rate ends below where the cycles began, where it does so for all predictors."""
    n, (_, high) = over_seeds(arrays), extremes(config)
    if high is None:
        return ""
    below = [100 * (arrays["start_accuracy"].mean() - n[f"{p}_accuracy"][high]) for p in PREDICTORS]
    if min(below) < 1:
        return ""
    return f"; at rate {config.lr[high]:g}, {min(below):.0f} to {max(below):.0f} points below the start"


def _draw_segments(ax, arrays, config):
    """The training loss from one snapshot to the next, each rate named beside its line."""
    along, n = np.linspace(0, 1, config.line_points), over_seeds(arrays)
    for i, lr in enumerate(config.lr):
        color = wedges.plots.shade(i / max(1, len(config.lr) - 1) * 0.85)
        segment = arrays["line_loss"][:, i].mean(axis=1)  # [seeds, points]
        wedges.plots.curve(ax, along, segment, color=color, label=f"rate {lr:g}", marker="")
        words = f"rate {lr:g}: {100 * n['agreement'][i]:.0f}% of labels agree"
        at = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        ax.annotate(words, (0.5, segment.mean(axis=0).max()), color=color, fontsize=8, **at)
    ax.margins(y=0.2)
    title = "(c) The training loss between two snapshots"
    x = "from one snapshot (0) to the next (1)"
    wedges.plots.label_axes(ax, title=title, x=x, y="training loss (nats)", log="y")


def _draw_cycles(ax, arrays, config):
    """The accuracies cycle by cycle, at the highest rate."""
    i, cycle = int(np.argmax(config.lr)), np.arange(1, config.cycles + 1)
    for name, look in looks().items():
        beside = {"s": -0.06, "o": 0.0, "^": 0.06}[look["marker"]]
        _with_bars(ax, cycle + beside, 100 * arrays[f"{name}_accuracy"][:, i], look)
    pictures.level(ax, 100 * arrays["start_accuracy"][:, i].mean(), "before the cycles")
    title = f"(d) Cycle by cycle, at the highest rate, {config.lr[i]:g}"
    wedges.plots.label_axes(ax, title=title, x="cycle", y="test accuracy (%)", ticks=cycle)
    wedges.plots.name_lines(ax, room=1.0)


if __name__ == "__main__":
    runs.main(__name__)
