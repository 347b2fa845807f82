"""Intrinsic dimension: how well does a network train inside a random cut of d dimensions?

theta = theta_0 + P z, P a random orthonormal map from R^d, z trained from 0 by Adam. Accuracy rises with
d; the d at which it reaches 90% of the accuracy of training all D weights is the intrinsic
dimension d_int90. Measured: test and training accuracy and loss for each d and for all weights.

    python -m reproductions.intrinsic_dimension --preset=quick     digits, about a minute
    python -m reproductions.intrinsic_dimension                    CIFAR-10, LeNet, Li et al.'s numbers
                                                                   beside ours; half an hour
    python -m reproductions.intrinsic_dimension --dataset=fashion_mnist --model=fc
                                                                   784-200-200-10, half an hour
Source: Li et al. 2018, arXiv:1804.08838; Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim

LI = "Li et al. 2018, arXiv:1804.08838"
positive = lambda v: v > 0
# What Li et al. report: test accuracy of training all weights and of d, and d_int90.
PUBLISHED = {
    ("cifar10", "lenet"): {
        "dims": (250, 500, 1000, 2000, 5000),
        "accuracy": (0.318, 0.390, 0.462, 0.514, 0.566),
        "baseline": 0.584,
        "d90": 2900,
    },
    ("mnist", "fc"): {"dims": (750,), "accuracy": (0.90,), "baseline": None, "d90": 750},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.DataConfig):
    """Settings of the figure. Li et al.'s: Adam at 1e-3, batches of 128."""

    dims: tuple[int, ...] = runs.option(
        "dimensions d of the random cuts, e.g. --dims=250,1000,5000", positive, "at least 1"
    )
    seeds: int = runs.option(
        "independent repetitions (weights, cut, minibatches), with seeds seed, seed + 1, ...",
        positive,
        "at least 1",
    )
    method: str = runs.option(
        "how a cut is held: dense (d D numbers), transform (D numbers), or auto, dense up to 32 MB",
        choices=("auto", "dense", "transform"),
    )
    epochs: int = runs.option("epochs of training, for each d; e.g. 30", positive, "at least 1")
    lr: float = runs.option("Adam's constant learning rate", positive, "above 0, e.g. 0.001")
    batch_size: int = runs.option("examples a step; e.g. 128", positive, "at least 1")
    model: str = runs.option("network", choices=("simple_cnn", "fc", "lenet", "resnet"))
    width: float = runs.option(
        "multiplies the network's widths; e.g. 0.5", lambda v: 0 < v <= 1000, "above 0 and at most 1000"
    )
    activation: str = runs.option("nonlinearity", choices=("tanh", "relu"))


_PAPER = {
    "dataset": "cifar10",
    "seed": 0,
    "dims": (250, 500, 1000, 2000, 2900, 5000),
    "seeds": 1,
    "method": "auto",
    "epochs": 30,
    "lr": 1e-3,
    "batch_size": 128,
    "model": "lenet",
    "width": 1.0,
    "activation": "relu",
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "dims": (10, 20, 50, 100, 200, 400),
    "seeds": 2,
    "lr": 1e-2,
    "model": "simple_cnn",
    "activation": "tanh",
    "batch_size": 32,
}
_SMOKE = {**_QUICK, "dims": (20, 400), "seeds": 1, "epochs": 8}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}
MEASURED = ("test_accuracy", "train_accuracy", "test_loss", "train_loss")


def measure(config, run):
    """Arrays [seeds, 1 + dims]: all weights first, then each cut."""
    from reproductions.bench import parallel
    from reproductions.bench.errors import UsageError
    from reproductions.common import data

    dataset = data.load(config.dataset, run.data_dir)
    ambient = _landscape(config, dataset, config.seed)[0].dimension
    for d in config.dims:
        if d > ambient:
            raise UsageError(f"--dims={d}: at most as many as the network has weights, {ambient}.")
    items = [
        (seed, d)
        for seed in range(config.seed, config.seed + config.seeds)
        for d in (None, *config.dims)
    ]
    rows = parallel.over(run, functools.partial(_train, config, run, dataset), items)
    arrays = {name: np.array([r[name] for r in rows]).reshape(config.seeds, -1) for name in MEASURED}
    return arrays | {"dims": np.array(config.dims), "ambient": np.array(ambient)}


def _landscape(config, dataset, seed):
    """The training landscape of a freshly built network, and the key of what it depends on."""
    import wedges
    from reproductions.common import models

    recipe = models.Model(config.model, config.width, None, config.activation)
    network = models.build(recipe, dataset.shape, dataset.classes, seed=seed)
    landscape = wedges.NetworkLandscape(
        network,
        *dataset.tensors[:2],
        models.LOSS,
        seed=seed,
        batch_size=config.batch_size,
        batch_norm="reestimate",
    )
    key = {"data": dataset.fingerprint, "model": dataclasses.asdict(recipe), "initial": seed}
    return landscape, key


def _train(config, run, dataset, item):
    """One seed, one cut (None: all weights): train from the initial weights, then evaluate."""
    import wedges
    from reproductions.common import training

    seed, d = item
    train, key = _landscape(config, dataset, seed)
    start = train.space.read().numpy()
    subspace = None if d is None else wedges.random_cut(start, d, seed=seed, method=config.method)
    recipe = training.Recipe("adam", config.lr, config.epochs)
    label = f"seed {seed}, " + ("all weights" if d is None else f"d {d}")
    theta = training.train(train, start, recipe, key=key, run=run, label=label, subspace=subspace).theta
    seen, unseen = train.evaluate(theta), train.on(*dataset.tensors[2:]).evaluate(theta)
    found = (unseen.accuracy, seen.accuracy, unseen.loss, seen.loss)
    return dict(zip(MEASURED, map(float, found), strict=True))


def dimension_at(dims, accuracy, target):
    """The d at which accuracy first reaches `target`, log-linear between the measured; NaN if never."""
    order = np.argsort(dims)
    dims, accuracy = np.asarray(dims, float)[order], np.asarray(accuracy)[order]
    above = np.flatnonzero(accuracy >= target)
    if not len(above):
        return np.nan
    i = above[0]
    if i == 0:
        return dims[0]
    share = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return float(np.exp(np.log(dims[i - 1]) + share * np.log(dims[i] / dims[i - 1])))


def _d90(arrays):
    """d_int90 of each seed [seeds], and of the mean over seeds []."""
    accuracy = arrays["test_accuracy"]
    each = [dimension_at(arrays["dims"], row[1:], 0.9 * row[0]) for row in accuracy]
    mean = accuracy.mean(axis=0)
    return np.array(each), dimension_at(arrays["dims"], mean[1:], 0.9 * mean[0])


def claims(arrays, config):
    """Accuracy rises with d and comes near that of all weights; Li et al.'s numbers where known."""
    mean = arrays["test_accuracy"].mean(axis=0)
    order = np.argsort(arrays["dims"])
    cuts = mean[1:][order]
    found = []

    def claim(id, statement, source, measured, relation, expected):
        found.append(Claim(f"intrinsic.{id}", statement, source, measured, relation, expected))

    if len(cuts) > 1:
        claim(
            "rises",
            "test accuracy of the largest d minus that of the smallest",
            LI,
            cuts[-1] - cuts[0],
            ">",
            0.0,
        )
    _, d90 = _d90(arrays)
    claim(
        "d90",
        "d that reaches 90% of the accuracy of all weights, over D",
        LI,
        d90 / arrays["ambient"],
        "<=",
        0.1,
    )
    known = PUBLISHED.get((config.dataset, config.model))
    if known and config.width == 1 and known["baseline"]:
        ours = dict(zip(arrays["dims"].tolist(), mean[1:], strict=True))
        off = "test accuracy, |ours - Li et al.'s|"
        pairs = [
            (d, ours[d] - a) for d, a in zip(known["dims"], known["accuracy"], strict=True) if d in ours
        ]
        for d, difference in pairs:
            claim(f"li.{d}", f"d = {d}: {off}", LI, abs(difference), "<=", 0.03)
        claim("li.all", f"all weights: {off}", LI, abs(mean[0] - known["baseline"]), "<=", 0.03)
        claim(
            "li.d90",
            "|log2(our d_int90 / Li et al.'s)|",
            LI,
            abs(np.log2(d90 / known["d90"])),
            "<=",
            0.5,
        )
    return found


def summary(arrays, config):
    """{"d 250: test_accuracy": values [seeds], ...}: what the reference guards."""
    labels = ["all weights", *(f"d {d}" for d in arrays["dims"])]
    return {
        f"{label}: {name}": arrays[name][:, i]
        for i, label in enumerate(labels)
        for name in ("test_accuracy", "train_accuracy")
    }


def plot(arrays, config):
    """Accuracy, and loss, against d."""
    from wedges import plots

    figure, axes = plots.grid(
        1,
        2,
        title=f"Training inside a random cut of d of the D = {int(arrays['ambient']):,} weights\n"
        f"{config.model} on {config.dataset}, {config.seeds} seed{'s' * (config.seeds > 1)}, "
        f"Adam {config.lr:g}, {config.epochs} epochs",
        panel=(5.2, 3.8),
    )
    order = np.argsort(arrays["dims"])
    dims = arrays["dims"][order]
    each, d90 = _d90(arrays)
    for ax, quantity, unit, scale in (
        (axes[0, 0], "accuracy", "%", 100),
        (axes[0, 1], "loss", "nats", 1),
    ):
        for split, color, marker in (("test", plots.BLUE, "o"), ("train", plots.GREY, "s")):
            values = scale * arrays[f"{split}_{quantity}"]
            plots.curve(
                ax, dims, values[:, 1:][:, order], color=color, label=f"{split}, cut", marker=marker
            )
            ax.axhline(
                values[:, 0].mean(),
                color=color,
                linestyle="--",
                linewidth=1,
                label=f"{split}, all weights",
            )
        ax.set_xscale("log")
        ax.set_xticks(dims, [f"{d:g}" for d in dims])
        ax.set_xticks([], minor=True)
        plots.label_axes(ax, x="dimension d of the cut", y=f"{quantity} ({unit})")
    top = axes[0, 0]
    target = 90 * arrays["test_accuracy"][:, 0].mean()
    top.axhline(
        target, color=plots.ORANGE, linestyle=":", linewidth=1.2, label="90% of test, all weights"
    )
    if np.isfinite(d90):
        top.axvline(d90, color=plots.ORANGE, linestyle=":", linewidth=1.2)
        top.set_title(f"reaches 90% at d = {d90:,.0f}", fontsize=10)
    known = PUBLISHED.get((config.dataset, config.model))
    if known:
        top.plot(
            known["dims"],
            100 * np.array(known["accuracy"]),
            "x",
            color=plots.GREEN,
            markersize=8,
            label="Li et al. 2018, test",
        )
    plots.verdict(figure, claims(arrays, config))
    top.legend(fontsize=7, loc="upper left")
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
