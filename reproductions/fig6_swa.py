"""Figure 6: when may the weights of one run be averaged?

A trained network goes on with a cyclical learning rate; at the end of each cycle we take a
snapshot and compare three predictors: the last snapshot, the ensemble (mean of the snapshots'
predictions), and the weight average (SWA: the network at the snapshots' mean weights).

With a low maximum rate the snapshots stay in one wide tunnel of low loss and the weight average is
as good as the ensemble. With a high one they move between tunnels: predictions still average well,
weights do not.

Examples:
    python -m reproductions.fig6_swa --preset=quick           digits, about a minute
    python -m reproductions.fig6_swa --lr=0.1                 CIFAR-10, one panel, minutes
    python -m reproductions.fig6_swa --seeds=3 --check        CIFAR-10, three seeds, status 1 on a
                                                              failed claim
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 6.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima

PAPER = "Fort & Jastrzebski 2019, Fig. 6"
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.DataConfig):
    """Settings of the figure; see BUILD_NOTES.md for how the presets were chosen."""

    lr: tuple[float, ...] = runs.option(
        "maximum learning rates of the cycle, one panel each, e.g. --lr=0.1 or --lr=0.01,0.1",
        positive,
        "above 0, e.g. 0.1 or 0.01,0.1",
    )
    low: float = runs.option(
        "rates up to this one are claimed to be in the low regime", positive, "above 0"
    )
    high: float = runs.option(
        "rates from this one on are claimed to be in the high regime", positive, "above 0"
    )
    seeds: int = runs.option(
        "independent repetitions, with seeds seed, seed + 1, ...; e.g. 3", positive, "at least 1"
    )
    cycles: int = runs.option("cycles after training; e.g. 8", lambda v: v > 1, "at least 2")
    cycle_epochs: int = runs.option("epochs in one cycle; e.g. 2", positive, "at least 1")
    optimizer: str = runs.option(
        "optimizer of the cycles (momentum: SGD, 0.9)", choices=("sgd", "momentum", "adam")
    )
    pretrain_epochs: int = runs.option(
        "epochs of training before the first cycle, by Adam", positive, "at least 1"
    )
    pretrain_lr: float = runs.option(
        "Adam's constant learning rate before the first cycle", positive, "above 0, e.g. 0.001"
    )
    batch_size: int = runs.option("examples a step; e.g. 128", positive, "at least 1")
    model: str = runs.option("network", choices=("simple_cnn", "fc", "lenet", "resnet"))
    width: float = runs.option(
        "multiplies the network's widths; e.g. 0.5", lambda v: 0 < v <= 1000, "above 0 and at most 1000"
    )
    depth: int | None = runs.option(
        "layers (blocks) of the network; None: its own", positive, "at least 1"
    )
    activation: str = runs.option("nonlinearity", choices=("tanh", "relu"))
    dropout: float = runs.option(
        "share of activations dropped in training; e.g. 0.1",
        lambda v: 0 <= v < 1,
        "from 0 to below 1",
    )
    l2: float = runs.option("L2 penalty's coefficient; e.g. 1e-4", lambda v: v >= 0, "at least 0")
    line_points: int = runs.option(
        "points on the segment between two snapshots, its ends included; e.g. 9",
        lambda v: v > 2,
        "at least 3",
    )
    line_examples: int = runs.option(
        "training examples in the loss on that segment; e.g. 10000", positive, "at least 1"
    )


_PAPER = {
    "dataset": "cifar10",
    "seed": 0,
    "seeds": 1,
    "lr": (0.03, 0.05, 0.1),
    "low": 0.03,
    "high": 0.1,
    "cycles": 5,
    "cycle_epochs": 2,
    "optimizer": "momentum",
    "pretrain_epochs": 30,
    "pretrain_lr": 1e-3,
    "batch_size": 128,
    "model": "simple_cnn",
    "width": 1.0,
    "depth": None,
    "activation": "tanh",
    "dropout": 0.0,
    "l2": 0.0,
    "line_points": 9,
    "line_examples": 10_000,
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "lr": (0.1, 0.2, 0.3),
    "low": 0.1,
    "high": 0.3,
    "cycles": 8,
    "cycle_epochs": 5,
    "pretrain_epochs": 40,
    "batch_size": 32,
}
_SMOKE = {
    **_QUICK,
    "lr": (0.03, 0.1),
    "cycles": 3,
    "cycle_epochs": 1,
    "pretrain_epochs": 10,
    "seeds": 2,
    "line_points": 5,
    "line_examples": 500,
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}

# One number for each seed, rate and cycle.
PER_CYCLE = (
    "snapshot_accuracy",
    "ensemble_accuracy",
    "swa_accuracy",
    "snapshot_test_loss",
    "ensemble_test_loss",
    "swa_test_loss",
    "snapshot_train_loss",
    "ensemble_train_loss",
    "swa_train_loss",
)


def measure(config, run):
    """Arrays [seeds, rates, ...] of everything the figure shows."""
    # Imported here and below, not above, so that --plot_only need not wait for TensorFlow.
    from reproductions.bench import parallel
    from reproductions.common import data

    dataset = data.load(config.dataset, run.data_dir)
    seeds = range(config.seed, config.seed + config.seeds)
    repeats = parallel.over(run, functools.partial(_train_and_follow, config, run, dataset), seeds)
    arrays = {name: np.stack([r[name] for r in repeats]) for name in repeats[0]}
    return arrays | {"lr": np.array(config.lr)}


def _train_and_follow(config, run, dataset, seed):
    """One seed: train, then cycles from there at each rate. Arrays [rates, ...]."""
    from reproductions.common import models, training

    recipe = models.Model(
        config.model, config.width, config.depth, config.activation, config.dropout, config.l2
    )
    x_train, y_train, x_test, y_test = dataset.tensors
    size = config.batch_size
    train, key = optima.landscape(recipe, dataset, initial=seed, seed=seed, batch_size=size)
    key |= {"initial": seed}
    descend = functools.partial(training.train, train, key=key, run=run)
    start = descend(
        train.space.read().numpy(),
        training.Recipe("adam", config.pretrain_lr, config.pretrain_epochs),
        label=f"seed {seed}, training",
    ).theta

    # What is reported is the loss without penalty, batch norm's statistics made for each theta.
    seen = train.on(x_train, y_train, regularize=False, batch_norm="reestimate")
    unseen = seen.on(x_test, y_test)
    part = seen.on(x_train[: config.line_examples], y_train[: config.line_examples])
    before = {"start_accuracy": unseen.evaluate(start).accuracy, "start_train_loss": seen(start)}
    rates = []
    for lr in config.lr:
        label = f"seed {seed}, lr {lr:g}"
        cycles = training.Recipe(
            config.optimizer, lr, config.cycles * config.cycle_epochs, config.cycle_epochs
        )
        snapshots = descend(start, cycles, label=f"{label}, cycles").snapshots  # [cycles, D]
        follow = functools.partial(_follow, seen, unseen, snapshots, label)
        between = functools.partial(_between, part, unseen, snapshots, config.line_points, label)
        at = {**key, "snapshots": store.fingerprint(snapshots)}
        on = {"examples": config.line_examples, "points": config.line_points}
        rates.append(before | run.cached(at, follow) | run.cached(at | on, between))
    return {name: np.stack([r[name] for r in rates]) for name in rates[0]}


def _follow(seen, unseen, snapshots, label):
    """Per cycle: snapshot, ensemble and weight average, on training and test data. [cycles] each."""
    import wedges
    from reproductions.bench import progress

    swa = wedges.RunningAverage()
    ensemble = {"train": wedges.RunningAverage(), "test": wedges.RunningAverage()}
    rows = []
    for theta in progress.bar(iterable=snapshots, desc=f"{label}, evaluating", unit="cycle"):
        swa.add(theta)
        row = {}
        for split, landscape in (("train", seen), ("test", unseen)):
            at = landscape.evaluate(theta)
            mean = landscape.evaluate(swa.mean)
            p = ensemble[split].add(landscape.probabilities(at.outputs))  # [N, C]
            truth = p[np.arange(len(p)), landscape.y.numpy()]  # [N] given to the true class
            row |= {
                f"snapshot_{split}_loss": at.loss,
                f"swa_{split}_loss": mean.loss,
                f"ensemble_{split}_loss": -np.log(np.maximum(truth, 1e-30)).mean(),
            }
            if split == "test":
                row |= {
                    "snapshot_accuracy": at.accuracy,
                    "swa_accuracy": mean.accuracy,
                    "ensemble_accuracy": (p.argmax(-1) == landscape.y.numpy()).mean(),
                }
        rows.append(row)
    return {name: np.array([float(r[name]) for r in rows]) for name in PER_CYCLE}


def _between(part, unseen, snapshots, points, label):
    """Between consecutive snapshots: distance, training loss on the segment; labels of all pairs."""
    import wedges
    from reproductions.bench import progress

    pairs = list(zip(snapshots[:-1], snapshots[1:], strict=True))
    labels = [unseen.labels(unseen.evaluate(s).outputs) for s in snapshots]
    return {
        "distance": np.array([np.linalg.norm(b - a) for a, b in pairs]),  # [cycles - 1]
        "norm": np.linalg.norm(snapshots, axis=1),  # [cycles]
        "line_loss": np.array(
            [
                wedges.line(part, a, b, points)[1]
                for a, b in progress.bar(iterable=pairs, desc=f"{label}, segments", unit="segment")
            ]
        ),  # [cycles - 1, points]
        "agreement": wedges.label_agreement(labels),  # [cycles, cycles]
    }


def _numbers(arrays):
    """The quantities that claims are about, [seeds, rates] each."""
    from wedges.probe import barrier

    last = {name: arrays[name][..., -1] for name in PER_CYCLE}
    ends = 0.5 * (arrays["line_loss"][..., 0] + arrays["line_loss"][..., -1])  # [.., cycles - 1]
    neighbours = np.diagonal(arrays["agreement"], offset=1, axis1=-2, axis2=-1)
    return last | {
        "barrier": barrier(arrays["line_loss"]).mean(-1),
        "relative_barrier": (barrier(arrays["line_loss"]) / ends).mean(-1),
        "agreement": neighbours.mean(-1),
        "distance": arrays["distance"].mean(-1),
    }


def regime(config, lr):
    """low, high, or between, where nothing is claimed."""
    return "low" if lr <= config.low else "high" if lr >= config.high else "between"


def claims(arrays, config):
    """The figure's claims, on means over seeds, for the lowest low and the highest high rate."""
    n = {name: values.mean(axis=0) for name, values in _numbers(arrays).items()}  # [rates]
    gain = n["swa_accuracy"] - n["snapshot_accuracy"]
    ensemble_gain = n["ensemble_accuracy"] - n["snapshot_accuracy"]
    lows = [i for i, lr in enumerate(config.lr) if regime(config, lr) == "low"]
    highs = [i for i, lr in enumerate(config.lr) if regime(config, lr) == "high"]
    at_end = "test accuracy after the last cycle"
    rise = "rise of training loss between consecutive snapshots, over the loss at its ends"
    found = []

    def claim(id, statement, measured, relation, expected):
        found.append(Claim(f"fig6.{id}", statement, PAPER, measured, relation, expected))

    if lows:
        low = min(lows, key=lambda i: config.lr[i])
        gap = abs(gain - ensemble_gain)[low]
        claim("low.swa_vs_snapshot", f"low rate: {at_end}, SWA - snapshot", gain[low], ">=", 0.0)
        claim("low.swa_vs_ensemble", f"low rate: {at_end}, |SWA - ensemble|", gap, "<=", 0.01)
        claim("low.no_barrier", f"low rate: {rise}", n["relative_barrier"][low], "<=", 0.01)
    if highs:
        high = max(highs, key=lambda i: config.lr[i])
        over = ensemble_gain[high]
        claim("high.swa_vs_snapshot", f"high rate: {at_end}, SWA - snapshot", gain[high], "<", 0.0)
        claim("high.ensemble_vs_snapshot", f"high rate: {at_end}, ensemble - snapshot", over, ">", 0.0)
        claim("high.barrier", f"high rate: {rise}", n["relative_barrier"][high], ">", 0.01)
    if lows and highs:
        less = n["agreement"][high] - n["agreement"][low]
        claim("high.less_alike", "labels that consecutive snapshots share, high - low", less, "<", 0.0)
    return found


def summary(arrays, config):
    """{"lr 0.1: swa_accuracy": values [seeds], ...}: what the reference guards."""
    names = (
        "snapshot_accuracy",
        "ensemble_accuracy",
        "swa_accuracy",
        "snapshot_train_loss",
        "ensemble_train_loss",
        "swa_train_loss",
        "barrier",
        "agreement",
        "distance",
    )
    numbers = _numbers(arrays)
    return {
        f"lr {lr:g}: {name}": numbers[name][:, i] for i, lr in enumerate(config.lr) for name in names
    }


def plot(arrays, config):
    """A column for each rate: accuracy per cycle, training loss, the segment between snapshots."""
    from wedges import plots

    figure, axes = plots.grid(
        3,
        len(config.lr),
        title="Figure 6: averaging the weights or the predictions of one run's snapshots\n"
        f"{config.model} on {config.dataset}, {config.seeds} seed{'s' * (config.seeds > 1)}, "
        f"cosine cycles of {config.cycle_epochs} epochs by {config.optimizer}",
    )
    cycle = np.arange(1, config.cycles + 1)
    t = np.linspace(0, 1, config.line_points)
    numbers = _numbers(arrays)
    lines = (
        ("snapshot", plots.GREY, "last snapshot", "s"),
        ("ensemble", plots.BLUE, "ensemble of predictions", "o"),
        ("swa", plots.ORANGE, "weight average (SWA)", "^"),
    )
    for i, lr in enumerate(config.lr):
        top, middle, bottom = axes[:, i]
        for name, color, label, marker in lines:
            style = {"color": color, "label": label, "marker": marker}
            plots.curve(top, cycle, 100 * arrays[f"{name}_accuracy"][:, i], **style)
            plots.curve(middle, cycle, arrays[f"{name}_train_loss"][:, i], **style)
        start = 100 * arrays["start_accuracy"][:, i].mean()
        top.axhline(start, color="black", linewidth=0.8, linestyle=":", label="before the cycles")
        plots.curve(
            bottom,
            t,
            arrays["line_loss"][:, i].mean(axis=1),
            color=plots.GREEN,
            label="loss",
            marker=".",
        )
        kind = {"low": "low", "high": "high", "between": "in between"}[regime(config, lr)]
        plots.label_axes(
            top, title=f"maximum learning rate {lr:g} ({kind})", x="cycle", y="test accuracy (%)"
        )
        plots.label_axes(middle, x="cycle", y="training loss (nats)")
        plots.label_axes(
            bottom,
            x="from one snapshot (0) to the next (1)",
            y="training loss (nats)",
            title=f"labels agree {100 * numbers['agreement'][:, i].mean():.0f}%, "
            f"distance {numbers['distance'][:, i].mean():.1f}, "
            f"barrier {numbers['barrier'][:, i].mean():.3f}",
        )
    axes[0, 0].legend(fontsize=8)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
