"""Intrinsic dimension: how well does a network train inside a random cut of d dimensions?

theta = theta_0 + P z, P a random orthonormal map from R^d, z trained from 0 by Adam. Accuracy rises with
d; the d at which it reaches 90% of the accuracy of training all D weights is the intrinsic
dimension d_int90. Measured: test and training accuracy and loss for each d and for all weights, their
means over seeds and standard errors. Claims compare the means; d_int90 is that of the mean accuracy.

    python -m reproductions.intrinsic_dimension --preset=quick     digits, about a minute
    python -m reproductions.intrinsic_dimension                    CIFAR-10, LeNet, 75 minutes
    python -m reproductions.intrinsic_dimension --dataset=fashion_mnist --model=fc
Source: Li et al. 2018, arXiv:1804.08838; Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Ints, above, option
from reproductions.common import data, models, networks, pictures, training
from reproductions.common.arrays import mean_and_error, stacked

DIMS = {"paper": (250, 500, 1000, 2000, 2900, 5000), "quick": (10, 20, 50, 100, 200, 400)}
HELD = options.one_of("auto", "dense", "transform")


@options.settings
class Config(data.DataConfig):
    """Settings of the figure. Li et al.'s: Adam at 1e-3, batches of 128."""

    dims: Ints = option("dimensions d of the random cuts", **DIMS, smoke=(20, 400))
    seeds: int = option("repetitions (weights, cut, minibatches)", paper=3, quick=2, smoke=1)
    method: str = option(
        "a cut held dense (d D numbers), by a transform (D), or auto: dense to 32 MB", HELD, paper="auto"
    )
    epochs: int = option("epochs of training, for each d", paper=30, smoke=8)
    lr: float = option("Adam's constant learning rate", paper=1e-3, quick=1e-2)
    batch_size: int = option("examples a step", fits=data.holds_batch, paper=128, quick=32)
    model: str = option("network", models.NAMES, paper="lenet", quick="simple_cnn")
    width: float = option("multiplies the network's widths", above(0, at_most=1000), paper=1.0)
    activation: str = option("nonlinearity", models.ACTIVATIONS, paper="relu", quick="tanh")

    def problem(self, seed):
        """What is trained in the repetition of this seed."""
        model = models.Model(self.model, self.width, activation=self.activation)
        return networks.Problem(data.source(self.dataset), model, self.batch_size, seed, seed)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays [seeds, 1 + dims]: all weights first, then each cut."""
    ambient = networks.dimension(config.problem(config.seed))
    for d in config.dims:
        if d > ambient:
            raise UsageError(f"--dims={d}: at most as many as the network has weights, {ambient}.")
    cuts = [(seed, d) for seed in config.repeats for d in (None, *config.dims)]
    found = stacked(parallel.over(functools.partial(_train, config), cuts))
    arrays = {name: values.reshape(config.seeds, -1) for name, values in found.items()}
    return arrays | {"dims": np.array(config.dims), "ambient": np.array(ambient)}


def _train(config, which):
    """One seed, one d (None: all weights): train from the initial weights, then evaluate."""
    seed, d = which
    problem, recipe = config.problem(seed), training.Recipe("adam", config.lr, config.epochs)
    cut = None if d is None else training.Cut(d, seed, config.method)
    label = f"seed {seed}, {'all weights' if d is None else f'd {d}'}"
    return cache.cached(_evaluate, problem, training.train(problem, recipe, label=label, cut=cut).theta)


def _evaluate(problem, theta):
    seen, unseen = networks.seen(problem).evaluate(theta), networks.unseen(problem).evaluate(theta)
    return {
        "test_accuracy": float(unseen.accuracy),
        "train_accuracy": float(seen.accuracy),
        "test_loss": float(unseen.loss),
        "train_loss": float(seen.loss),
    }


# ---- what the numbers say ---------------------------------------------------------------------------


def d90(arrays):
    """d_int90 of each seed [seeds], and of the mean over seeds []."""
    accuracy = arrays["test_accuracy"]
    each = [_reaches(arrays["dims"], row) for row in accuracy]
    mean = accuracy.mean(axis=0)
    return np.array(each), _reaches(arrays["dims"], mean)


def _reaches(dims, accuracy):
    """The d at which `accuracy` [1 + dims], all weights first, reaches 90% of that of all weights."""
    d, first = np.unique(dims, return_index=True)
    return wedges.compare.first_crossing(d, accuracy[1:][first], 0.9 * accuracy[0], log=True)


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


def published(config):
    """What Li et al. report of this network on these data; None if nothing."""
    return PUBLISHED.get((config.dataset, config.model))


def compared(config):
    """The same where claims compare with it: all weights were trained too, of a network as wide."""
    known = published(config)
    return known if known and known["baseline"] and config.width == 1 else None


def judged(arrays, config):
    """{claim: number}, of means over seeds; those about Li et al.'s where they report this network on
    these data."""
    mean, (_, reached) = arrays["test_accuracy"].mean(axis=0), d90(arrays)
    cuts, known = mean[1:][np.argsort(arrays["dims"])], compared(config)
    found = {"rises": cuts[-1] - cuts[0] if len(cuts) > 1 else None, "d90": reached / arrays["ambient"]}
    if not known:
        return found
    ours = dict(zip(arrays["dims"].tolist(), mean[1:], strict=True))
    for d, theirs in zip(known["dims"], known["accuracy"], strict=True):
        found[f"li.{d}"] = abs(ours[d] - theirs) if d in ours else None
    octaves = abs(np.log2(reached / known["d90"]))
    return found | {"li.all": abs(mean[0] - known["baseline"]), "li.d90": octaves}


def claims(arrays, config):
    """Accuracy rises with d and comes near that of all weights; Li et al.'s numbers where known."""
    claim = Verdict("intrinsic", "Li et al. 2018, arXiv:1804.08838", judged(arrays, config))
    few = "Far fewer dimensions than weights suffice for 90% of the accuracy."
    mean = "mean over seeds" if config.seeds > 1 else "of one seed"
    rises = f"test accuracy ({mean}) of the largest d minus that of the smallest"
    claim("rises", rises, ">", 0.0, says="Accuracy rises with d.", threshold=THEIRS)
    reaches = f"d whose test accuracy ({mean}) reaches 90% of that of all weights, over D"
    claim("d90", reaches, "<=", 0.1, says=few)
    if known := compared(config):
        off = f"test accuracy, |ours ({mean}) - Li et al.'s|"
        for d, theirs in zip(known["dims"], known["accuracy"], strict=True):
            claim(f"li.{d}", f"d = {d}: {off}", "<=", 0.03, says=f"d = {d}: accuracy {theirs}.")
        says = f"All weights: accuracy {known['baseline']}."
        claim("li.all", f"all weights: {off}", "<=", 0.03, says=says)
        says = f"90% of that from d = {known['d90']:,} on."
        octaves = f"|log2(our d_int90 / Li et al.'s)|, ours by the test accuracy ({mean})"
        claim("li.d90", octaves, "<=", 0.5, says=says)
    return claim.claims


def summary(arrays, config):
    """{"d 250: test_accuracy": values [seeds], ...}, and d_int90 [seeds] as a share of D: what the
    reference guards, with its spread over seeds."""
    labels = ["all weights", *(f"d {d}" for d in arrays["dims"])]
    found = {
        f"{label}: {name}": arrays[name][:, i]
        for i, label in enumerate(labels)
        for name in ("test_accuracy", "train_accuracy")
    }
    each, _ = d90(arrays)
    return found | ({"d_int90 / D": each / arrays["ambient"]} if np.isfinite(each).all() else {})


def axes(config):
    """What the arrays run over: the columns of series/*.csv; d of all weights is "all"."""
    cuts = {"seed": config.repeats, "d": ("all", *config.dims)}
    return {"dims": {"d": config.dims}, "ambient": {}, "*": cuts}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Accuracy, and loss, against d, up to the D of all weights."""
    ambient, (each, reached) = int(arrays["ambient"]), d90(arrays)
    title = f"Training inside a random cut of d of the D = {ambient:,} weights"
    if np.isfinite(reached):
        title = f"{reached:,.0f} of {ambient:,} dimensions reach 90% of the accuracy of all weights"
    title += f"\n{pictures.named(config.model)} on {pictures.named(config.dataset)}, "
    title += f"{pictures.counted(config.seeds, 'seed')}; Adam at {config.lr:g}, {config.epochs} epochs"
    if config.seeds > 1:
        title += "; means over seeds, bars: standard errors"
    figure, ((accuracy, loss),) = wedges.plots.grid(1, 2, title=title, panel=(4.3, 3.6))
    _draw_accuracy(accuracy, arrays, config, each, reached)
    _draw_loss(loss, arrays)
    return figure


def _draw_curves(ax, arrays, quantity, scale):
    """Of training and test data against d, and dashed on to all weights: the test data's mean."""
    plots, order = wedges.plots, np.argsort(arrays["dims"])
    d = np.append(arrays["dims"][order], arrays["ambient"]).astype(float)
    for split, color, marker in (("test", plots.BLUE, "o"), ("training", plots.GREY, "s")):
        values = scale * arrays[f"{split.removesuffix('ing')}_{quantity}"]  # [seeds, 1 + dims]
        values = np.concatenate([values[:, 1:][:, order], values[:, :1]], axis=1)
        mean, error = mean_and_error(values.T)
        look = {"color": color, "marker": marker, "markersize": 4}
        ax.errorbar(d, mean, error, linestyle="", capsize=3, **look)
        ax.plot(d[:-1], mean[:-1], **look)
        ax.plot(d[-2:], mean[-2:], linestyle="--", **look, label=f"{split} data")


def _label(ax, arrays, **how):
    """Axes from the smallest d to D, whose ticks do not collide."""
    ambient, ticks = int(arrays["ambient"]), {}
    every = sorted({ambient, *arrays["dims"].tolist()}, reverse=True)
    apart = (ambient / every[-1]) ** 0.1  # a tenth of the axis
    for d in every:
        if all(other / d >= apart for other in ticks):
            ticks[d] = f"{d:,}" + "\nall weights" * (d == ambient)
    x = "dimension d of the cut"
    wedges.plots.label_axes(ax, x=x, log="x", ticks=ticks, **how)


def _draw_accuracy(ax, arrays, config, each, reached):
    _draw_curves(ax, arrays, "accuracy", 100)
    target = 90 * arrays["test_accuracy"][:, 0].mean()
    pictures.level(ax, target)
    if np.isfinite(target):
        how = {"ha": "left", "va": "center", "transform": ax.get_yaxis_transform()}
        ax.text(1.01, target, "90%\nof all", **how)  # beside the panel, where no curve is
    if np.isfinite(reached):
        point = {"color": wedges.plots.ORANGE, "markersize": 9, "zorder": 5}
        ax.plot([reached], [target], "*", **point)
        how = {"xytext": (6, -12), "textcoords": "offset points", "color": wedges.plots.ORANGE}
        _, error = mean_and_error(each)
        words = f"d = {reached:,.0f}"
        if error is not None and np.isfinite(error):
            ax.errorbar([reached], [target], xerr=error, capsize=3, color=wedges.plots.ORANGE)
            words += f" ± {error:,.0f}"
        ax.annotate(words, (reached, target), **how)
    if known := published(config):
        d, theirs = known["dims"], known["accuracy"]
        if compared(config):
            d, theirs = (*d, arrays["ambient"]), (*theirs, known["baseline"])
        look = {"color": wedges.plots.GREEN, "markersize": 8, "label": "Li et al. 2018, test data"}
        ax.plot(d, 100 * np.array(theirs), "x", markeredgewidth=1.6, **look)
    rises = pictures.holds(claims(arrays, config), "*.rises")
    title = "Accuracy rises with d" if rises else "Accuracy against d"
    _label(ax, arrays, title=title, y="accuracy (%)", legend=8)


def _draw_loss(ax, arrays):
    _draw_curves(ax, arrays, "loss", 1)
    order = np.argsort(arrays["dims"])
    over = {}
    for split in ("test", "train"):
        mean = arrays[f"{split}_loss"].mean(axis=0)
        over[split] = mean[0] - mean[1:][order]  # of all weights over each cut, in the order of d
    overfits = (over["test"] > 0) & (over["train"] < 0)
    title, on = "Loss against d", np.cumprod(overfits[::-1])[::-1].argmax()
    if overfits[-1]:
        d = arrays["dims"][order][on]
        title = f"All weights overfit: cuts of {d:,} dimensions or more have less test loss"
    _label(ax, arrays, title=title, y="loss (nats)")


if __name__ == "__main__":
    runs.main(__name__)
