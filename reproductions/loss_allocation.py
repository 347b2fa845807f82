"""Loss change allocation: which weights of a network make the training loss fall, and which raise it?

The change of the training loss is allocated to weights: A_ti, the way of weight i in step t times the
mean gradient along that way, negative where it helped. Over all weights and steps A sums up to the loss
change. Two networks: a fully connected one, inputs-100-50-classes, and a small residual one whose batch
norm has the statistics of fixed batches. Controls: larger batches, up to all examples; a minibatch for
each layer; a last layer that is frozen, slower, or without momentum. Beside them what is known
exactly: quadratics by coordinates, and the toy.

    python -m reproductions.loss_allocation --preset=quick      MNIST-1D, two minutes
    python -m reproductions.loss_allocation --jobs=2            Fashion-MNIST, half an hour on two cores
    python -m reproductions.loss_allocation --dataset=mnist     where it can be downloaded
Source: Lan et al. 2019, arXiv:1909.01440.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import at_least, inside, option
from reproductions.common import allocating, allocation_pictures, data, known_allocation, pictures
from reproductions.common.arrays import named, stacked, under
from reproductions.common.peaks import peaks, synchrony


@options.settings
class Config(data.DataConfig):
    dataset: str = options.but(paper="fashion_mnist", quick="mnist1d")
    seeds: int = option("initial weights and minibatches", at_least(2), paper=5, quick=3, smoke=2)
    batch_size: int = option(
        "examples a step; of larger batches ten times, and all", paper=250, quick=100
    )
    examples: int = option("of the fully connected net, trained and measured", paper=10_000, quick=2000)
    steps: int = option("its training", at_least(4), paper=220, quick=120, smoke=12)
    lr: float = option("its rate, with --momentum and without", paper=0.05)
    noise_lr: float = option("its rate without momentum at three batch sizes", paper=0.01)
    adam_lr: float = option("its rate of Adam", paper=1e-3)
    momentum: float = option("of SGD", inside(0, 1), paper=0.9)
    resnet_examples: int = option("of the residual net", paper=2000, quick=500, smoke=200)
    together: int = option("of these, normalised together in the loss", paper=500, quick=250, smoke=100)
    resnet_steps: int = option("its training", at_least(4), paper=400, quick=120, smoke=6)
    resnet_lr: float = option("its rate", paper=0.1)
    width: float = option("times its channels 16, 32, 64", paper=0.5)
    side: int = option("its images are averaged down to this side", at_least(4), paper=16)
    peaks: int = option("peaks of each layer", paper=20, quick=10, smoke=2)
    shifts: int = option("circular shifts that they are compared with", paper=1000)

    def check(self):
        super().check()
        if 10 * self.batch_size >= self.examples:
            raise UsageError(
                f"--batch_size={self.batch_size}: ten times it must be below --examples={self.examples}."
            )
        if self.resnet_examples % self.together:
            raise UsageError(
                f"--together={self.together}: must divide --resnet_examples={self.resnet_examples}."
            )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """ "<network> <recipe> <name>" [seeds, ...] of each of `recipes`, as `allocating.allocated` names
    them, of most only what claims need; "known <name>" [seeds, ...] as `known_allocation` does."""
    every = recipes(config)
    items = [(key, seed) for key in every for seed in config.repeats]
    watched = progress.bar("trainings", iterable=items, unit="run")
    found = parallel.over(functools.partial(_one, tasks(config), every), watched)
    arrays = {}
    for i, (network, name) in enumerate(every):
        rows = found[i * config.seeds : (i + 1) * config.seeds]
        arrays |= named(f"{network} {name}", stacked(rows))
    return arrays | named("known", stacked([cache.cached(known, seed) for seed in config.repeats]))


KEPT = ("layers", "losses", "helped", "helped of all", "absolute", "oscillation", "errors", "gradients")
OF_BASE = ("beside errors", "units", "of units", "weights", "kernel")
RUNGS = np.linspace(0, 1, 201)  # shares of all weights, the most helpful first


def tasks(config):
    """{network: `allocating.Task`}."""
    source = data.source(config.dataset)
    fc = allocating.Task(source, "fc", 1.0, config.examples, min(2500, config.examples))
    resnet = dataclasses.replace(fc, network="resnet", width=config.width, side=config.side)
    how = {"examples": config.resnet_examples, "together": config.together}
    return {"fc": fc, "resnet": dataclasses.replace(resnet, **how)}


def recipes(config):
    """{(network, name): `allocating.Recipe`}: base, and what differs from it."""
    m, size = config.momentum, config.batch_size
    base = allocating.Recipe("sgd", config.lr, size, config.steps, m)
    noise = dataclasses.replace(base, rate=config.noise_lr, momentum=0.0)
    fc = {
        "base": dataclasses.replace(base, rule="simpson", beside="trapezoid"),
        "large": dataclasses.replace(base, batch_size=10 * size),
        "full": dataclasses.replace(base, batch_size=config.examples),
        "plain": dataclasses.replace(base, momentum=0.0),
        "adam": dataclasses.replace(base, optimizer="adam", rate=config.adam_lr, momentum=0.0),
        "own": dataclasses.replace(base, own_minibatches=True),
        "noise": noise,
        "noise large": dataclasses.replace(noise, batch_size=10 * size),
        "noise full": dataclasses.replace(noise, batch_size=config.examples),
    }
    base = allocating.Recipe("sgd", config.resnet_lr, size, config.resnet_steps, m)
    resnet = {
        "base": base,
        "still": dataclasses.replace(base, last_momentum=0.0),
        "matched": dataclasses.replace(base, last_momentum=0.0, last_rate=1 / (1 - m)),
        "frozen": dataclasses.replace(base, last_rate=0.0, rule=""),
        "slower": dataclasses.replace(base, last_rate=0.1, rule=""),
    }
    both = {"fc": fc, "resnet": resnet}
    return {(network, name): r for network, own in both.items() for name, r in own.items()}


def _one(tasks, recipes, item):
    (network, name), seed = item
    recipe = recipes[network, name]
    with progress.labelled(f"{network}, {name}, seed {seed}"):
        try:
            run = cache.cached(allocating.allocated, tasks[network], recipe, seed)
        except wedges.allocation.NotFinite as error:
            raise UsageError(
                f"{progress.label()}: training diverged; use a lower rate ({error})"
            ) from None
    if not recipe.rule:
        return run
    found = {n: run[n] for n in KEPT + (OF_BASE if name == "base" else ()) if n in run}
    return found | {
        "rungs": rungs(run["total"]),
        "hurting": (run["total"] > 0).sum() / (run["total"] != 0).sum(),
    }


def rungs(total):
    """The sum of A over the most helpful 0%, 0.5%, ..., 100% of all weights: totals [D] -> [201]."""
    sums = np.concatenate([[0], np.cumsum(np.sort(total))])
    return sums[np.round(RUNGS * len(total)).astype(int)]


def known(seed):
    """What is measured where every number is known."""
    parts = {
        "quadratic": known_allocation.descending(seed, 30),
        "swings": known_allocation.swinging(seed, 50),
        "noise": known_allocation.noisy(seed),
        "toy": known_allocation.wandering(seed, 100),
    }
    return {f"{name} {n}": np.array(a) for name, part in parts.items() for n, a in part.items()}


# ---- what the numbers say ---------------------------------------------------------------------------

SKIPPED = 20  # steps before which the share that helps is not claimed about
PAPER = "Lan et al. 2019, arXiv:1909.01440"
EXACT, OURS = "closed form", "our control"


def late(values):
    """Mean over the steps after the first `SKIPPED`, or after half of few: [seeds, T] -> [seeds]."""
    return values[:, min(SKIPPED, values.shape[1] // 2) :].mean(axis=1)


def relative_errors(arrays, name):
    """What is not allocated over the whole run, over the loss change: [seeds]."""
    losses = arrays["fc base losses"]
    return np.abs(arrays[f"fc base {name}"].sum(axis=1) / (losses[:, -1] - losses[:, 0]))


def cancellation(arrays, run):
    """sum |A| / |sum A| over a run: [seeds]."""
    return arrays[f"{run} absolute"].sum(axis=1) / np.abs(arrays[f"{run} layers"].sum(axis=(1, 2)))


RULES = {"Simpson": "errors", "trapezoid": "beside errors"}  # of the base run, and where they leave


NEAR = 10  # steps that a short shift takes at most


def coincidences(arrays, config, run, reach=None):
    """The `peaks.Synchrony` of the layers of each seed."""
    how = config.peaks, config.shifts
    layers = arrays[f"{run} layers"]
    return [synchrony(own, *how, seed=i, reach=reach) for i, own in enumerate(layers)]


def last_layer(arrays, name):
    """What the last layer of the residual net adds to the loss, all steps together: [seeds]."""
    return arrays[f"resnet {name} layers"][..., -1].sum(axis=1)


def final(arrays, run):
    """The measured loss at the end: [seeds]."""
    return arrays[f"{run} losses"][:, -1]


BATCHES = {"base": ("base", "large", "full"), "noise": ("noise", "noise large", "noise full")}


def over_batches(arrays, series):
    """The mean share of weights that help after the first steps, at the three batch sizes: [3]."""
    return np.array([late(arrays[f"fc {name} helped"]).mean() for name in BATCHES[series]])


def judged(arrays, config):
    """{claim: number}; of several seeds the mean, the worst, or the share in which it holds."""
    shares, of = late(arrays["fc base helped"]), under("known", arrays)
    fc, own, resnet = (coincidences(arrays, config, run) for run in ("fc base", "fc own", "resnet base"))
    count = lambda found: np.mean([each.count for each in found])
    above = lambda found: np.mean([each.above >= 0.99 for each in found])
    noise, p = known_allocation.share_under_noise, of["noise share"]
    ratios, products = np.array(known_allocation.RATIOS), np.array(known_allocation.PRODUCTS)[:, None]
    wanted = noise(ratios, products)
    deviations = np.abs(p - wanted) / np.sqrt(wanted * (1 - wanted) / known_allocation.COPIES)
    swings = np.abs(of["swings share"] - known_allocation.share_under_momentum(of["swings products"]))
    return {
        "quadratic.exact": of["quadratic deviation"].max(),
        "quadratic.helps": of["quadratic mistaken"].max(),
        "quadratic.noise": deviations.max(),
        "quadratic.momentum": swings.max(),
        "toy.exact": of["toy deviation"].max(),
        "toy.long": of["toy long"].max(),
        "conservation.simpson": relative_errors(arrays, "errors").max(),
        "conservation.trapezoid": relative_errors(arrays, "beside errors").max(),
        "share.above": shares.mean(),
        "share.below": shares.mean(),
        "share.seeds": (shares > 0.5).mean(),
        "noise.rises": np.diff(over_batches(arrays, "base")).min(),
        "noise.rises_plain": np.diff(over_batches(arrays, "noise")).min(),
        "noise.full": over_batches(arrays, "noise")[-1],
        "cancellation": cancellation(arrays, "fc base").mean(),
        "oscillation": arrays["fc base oscillation"].mean(),
        "synchrony": above(fc),
        "synchrony.resnet": above(resnet),
        "synchrony.control": count(own) / count(fc) if count(fc) else np.nan,
        "last.hurts": (last_layer(arrays, "base") > 0).mean(),
        "last.frozen": (final(arrays, "resnet frozen") < final(arrays, "resnet base")).mean(),
        "last.slower": (final(arrays, "resnet slower") < final(arrays, "resnet base")).mean(),
        "lag": (last_layer(arrays, "still") < last_layer(arrays, "base")).mean(),
        "lag.matched": (last_layer(arrays, "matched") < last_layer(arrays, "base")).mean(),
    }


def claims(arrays, config):
    """What is exact; then the paper's findings, and our controls of them."""
    claim = Verdict("lca", PAPER, judged(arrays, config))
    exact = functools.partial(claim, source=EXACT)
    exact("quadratic.exact", "plain descent: A off its closed form, over sum |A|, worst", "<=", 1e-12)
    exact("quadratic.helps", "coordinates that help other than where |1 - eta lambda| < 1", "<=", 0)
    exact("quadratic.noise", "share that helps along a noisy gradient, off, standard errors", "<=", 5)
    exact("quadratic.momentum", "share that helps under momentum 0.9, off its formula", "<=", 0.02)
    exact("toy.exact", "toy, one wedge along a step: A off its closed form, over sum |A|", "<=", 1e-12)
    exact("toy.long", "the same: largest |A| of a long direction", "<=", 0)
    what = "|sum A - dL| over |dL|, the whole run, worst seed"
    says = "Allocations add up to the change of the loss."
    claim("conservation.simpson", f"Simpson's rule: {what}", "<=", 1e-3, says=says)
    claim("conservation.trapezoid", f"trapezoid, not refined: {what}", "<=", 2e-2, source=OURS)
    what = "mean share of weights that help in a step, of those with any change"
    says = "Barely over half of the weights help in an iteration."
    claim("share.above", f"momentum: {what}", ">", 0.5, says=says, threshold=THEIRS)
    claim("share.below", f"momentum: {what}", "<", 0.6, says=says)
    claim("share.seeds", "momentum: seeds in which it is above half", ">=", 0.8, says=says)
    rise = "smallest rise of that share from a batch to ten times it, to all"
    claim("noise.rises", f"momentum: {rise}", ">", 0.0, source=OURS)
    claim("noise.rises_plain", f"no momentum, lr {config.noise_lr:g}: {rise}", ">", 0.0, source=OURS)
    claim(
        "noise.full",
        f"all examples, no momentum, lr {config.noise_lr:g}: share",
        ">=",
        0.95,
        source=OURS,
    )
    claim("cancellation", "sum |A| / |sum A| over the run", ">=", 5.0)
    claim("oscillation", "share of successive A of a weight that differ in sign", ">=", 0.4)
    what = "seeds whose peaks coincide more often than 99% of shifts"
    says = "Layers learn in step: their peaks coincide."
    claim("synchrony", f"fully connected: {what}", ">=", 0.8, says=says)
    claim("synchrony.resnet", f"residual: {what}", ">=", 0.8, says=says)
    what = "coincidences with a minibatch for each layer, over those with one for all"
    claim("synchrony.control", f"fully connected: {what}", "<=", 0.7, source=OURS)
    of = "residual, last layer"
    says = "The last layer of a ResNet raises the loss, all in all."
    claim("last.hurts", f"{of}: seeds in which it raises the loss, all in all", ">=", 0.8, says=says)
    says = "With that layer frozen, or ten times slower, the loss gets lower."
    lower = "seeds with a lower last training loss"
    claim("last.frozen", f"{of} frozen: {lower}", ">=", 0.8, says=says)
    claim("last.slower", f"{of} ten times slower: {lower}", ">=", 0.8, says=says)
    what = "without momentum: seeds in which it raises the loss less, or lowers it more"
    says = "That a layer hurts may come from a phase lag in oscillating training."
    claim("lag", f"{of} {what}", ">=", 0.8, says=says)
    claim("lag.matched", f"{of} {what}, at the same lr / (1 - m)", ">=", 0.8, source=OURS)
    return claim.claims


def summary(arrays, config):
    """By seed, of each run: last losses, shares, and what layers add. What the reference guards."""
    found = {}
    for network, name in recipes(config):
        run = f"{network} {name}"
        found[f"{run}: last loss"] = final(arrays, run)
        if f"{run} layers" not in arrays:
            continue
        found[f"{run}: share that helps"] = late(arrays[f"{run} helped"])
        found[f"{run}: sign changes"] = arrays[f"{run} oscillation"]
        found[f"{run}: share that helps, of all"] = late(arrays[f"{run} helped of all"])
        found[f"{run}: cancellation"] = cancellation(arrays, run)
        found[f"{run}: weights that hurt"] = arrays[f"{run} hurting"]
        sums = arrays[f"{run} layers"].sum(axis=1)
        found[f"{run}: first layer"], found[f"{run}: last layer"] = sums[:, 0], sums[:, -1]
    for rule, name in RULES.items():
        found[f"fc base: left over by {rule}"] = relative_errors(arrays, name)
    for run in PEAKED if config.peaks >= 10 else ():  # counts of few differ by rounding alone
        for words, reach in (("", None), (f" by at most {NEAR}", NEAR)):
            each = coincidences(arrays, config, run, reach)
            found[f"{run}: common peaks"] = np.array([s.count for s in each])
            found[f"{run}: after shifts{words}"] = np.array([s.shifted.mean() for s in each])
    return found


# ---- the pictures -----------------------------------------------------------------------------------

LAYERS = {
    "fc": ("first", "second", "last"),
    "resnet": ("first", "1a", "1b", "2a", "2 past", "2b", "3a", "3 past", "3b", "last"),
}


def plot(arrays, config):
    """The residual net's layers over its training; which hurt; noise; peaks; the last layer."""
    draw, sums = allocation_pictures, arrays["resnet base layers"].sum(axis=1)
    shares = {
        s: np.stack([late(arrays[f"fc {n} helped"]) for n in names]) for s, names in BATCHES.items()
    }
    few, every, usual = shares["noise"][0].mean(), shares["noise"][-1].mean(), shares["base"][0].mean()
    title = f"Of the weights that move {few:.0%} help in a mean step with minibatches,\n"
    title += f"{every:.1%} with all examples; with momentum at lr {config.lr:g} {usual:.0%}"
    figure, axes = draw.sheet("AA/BC/DE", f"{title}\n{_conditions(config)}")
    hurt = [n for n, mean in zip(LAYERS["resnet"], sums.mean(axis=0), strict=True) if mean > 0]
    count = sum(each.above >= 0.99 for each in coincidences(arrays, config, "resnet base"))
    found = f"Residual net, one seed: layers peak (bars) together in {count} of {config.seeds} seeds"
    _draw_map(axes["A"], arrays, config, "resnet", found)
    found = f"Residual net, {pictures.counted(config.seeds, 'seed')}: layers that raise the loss in the "
    found += f"mean: {', '.join(hurt) or 'none'}"
    draw.by_layer(axes["B"], sums, LAYERS["resnet"], title=found)
    m, words = config.momentum, "no momentum"
    named_series = {f"momentum {m:g}, lr {config.lr:g}": shares["base"]}
    named_series[f"{words}, lr {config.noise_lr:g}"] = shares["noise"]
    sizes = [config.batch_size, 10 * config.batch_size, config.examples]
    found = f"Fully connected, {words}: {few:.0%} help; with all examples {every:.1%}"
    draw.shares(axes["C"], sizes, named_series, title=found)
    _draw_peaks(axes["D"], arrays, config)
    _draw_last(axes["E"], arrays, config)
    return figure


def more_pictures(arrays, config):
    """{name: picture}: weights of the fully connected net; what is known exactly."""
    return {"weights": weights(arrays, config), "known": exact(arrays, config)}


def _conditions(config):
    seeds = pictures.counted(config.seeds, "seed")
    size = f"{pictures.named(config.dataset)}, {seeds}; fully connected: {config.examples:,} examples, "
    return f"{size}lr {config.lr:g}; residual: {config.resnet_examples:,}, lr {config.resnet_lr:g}"


def _draw_map(ax, arrays, config, network, title):
    units, of_units, layers = (arrays[f"{network} base {n}"][0] for n in ("units", "of units", "layers"))
    marks = np.stack([peaks(own, config.peaks) for own in layers.T])
    names = LAYERS[network]
    allocation_pictures.over_training(ax, units, of_units, names, marks, title=title)


PEAKED = {"fc base": "one minibatch", "fc own": "one for\neach layer", "resnet base": "residual"}


def _draw_peaks(ax, arrays, config):
    columns = {}
    for run, label in PEAKED.items():
        every, near = (coincidences(arrays, config, run, reach) for reach in (None, NEAR))
        shifted = [np.stack([s.shifted for s in each]) for each in (every, near)]
        columns[label] = np.array([s.count for s in every]), *shifted
    shared, own = (columns[label][0].mean() for label in list(columns)[:2])
    title = f"Fully connected: {shared:.0f} common peaks, {own:.0f} if each layer has its own minibatch"
    allocation_pictures.peaks(ax, columns, title=title)


def _draw_last(ax, arrays, config):
    names = {"base": "as the\nrest", "still": "momentum\n0", "matched": "0, lr /\n(1 - m)"}
    columns = {label: last_layer(arrays, name) for name, label in names.items()}
    pictures.level(ax, 0)
    allocation_pictures.dots(ax, columns)
    count = int((last_layer(arrays, "still") < last_layer(arrays, "base")).sum())
    title = "Residual net, last layer: without momentum it lowers the loss more, or raises it less, in "
    title += f"{count} of {config.seeds} seeds"
    wedges.plots.label_axes(ax, title=title, y="sum of A, last layer (nats)")


def weights(arrays, config):
    """The fully connected net over its training; pixels; weights that help and hurt; filters."""
    draw = allocation_pictures
    hurting = arrays["fc base hurting"].mean()
    title = f"{hurting:.0%} of the weights raise the loss all in all, and others lower it by more"
    figure, axes = draw.sheet("AA/BC/DE", f"{title}\n{_conditions(config)}")
    times = cancellation(arrays, "fc base").mean()
    found = f"Fully connected, one seed: sum |A| is {times:.1f} times the loss change"
    _draw_map(axes["A"], arrays, config, "fc", found)
    kernel = arrays["fc base kernel"].mean(axis=0)
    found = f"Inputs whose weights help: {(kernel.sum(axis=1) < 0).mean():.0%} of all"
    draw.image(axes["B"], draw.inputs(kernel), title=found)
    series = {name: arrays[f"{network} base rungs"] for network, name in NAMES.items()}
    taken = [1 + (own / np.abs(own[:, -1:])).min(axis=1).mean() for own in series.values()]
    found = f"Weights that hurt take back {-taken[0]:.0%} of the change, residual {-taken[1]:.0%}"
    draw.weights(axes["C"], RUNGS, series, title=found)
    series = {label: arrays[f"fc {name} helped"] for name, label in OPTIMIZERS.items()}
    every = arrays["fc full helped"][:, -20:].mean()
    found = f"At the end {every:.0%} help with all examples and momentum"
    draw.along(axes["D"], series, title=found)
    kernel = arrays["resnet base kernel"][0]
    sums = kernel.sum(axis=tuple(range(kernel.ndim - 1)))
    found = f"Residual net, first layer, one seed: {(sums < 0).sum()} of {len(sums)} filters help"
    draw.image(axes["E"], draw.tiles(kernel), title=found)
    return figure


NAMES = {"fc": "fully connected", "resnet": "residual"}
OPTIMIZERS = {"base": "momentum", "plain": "no momentum", "adam": "Adam", "full": "all examples"}


def exact(arrays, config):
    """Quadratics: shares that help under momentum and noise; what each rule leaves over on the net."""
    draw, of = allocation_pictures, under("known", arrays)
    title = "On a quadratic lag and noise, each alone, bring the share of steps that help near one half"
    figure, axes = draw.sheet("ABC", title)
    p = np.linspace(0.01, 3.6, 400)
    measured = of["swings products"][0], of["swings share"][0]
    curve = known_allocation.share_under_momentum(p)
    how = {"title": "Lag: momentum 0.9, all examples", "x": "learning rate x curvature"}
    draw.formula(axes["A"], p, {"formula; dots measured": curve}, [measured], **how)
    q = np.geomspace(0.02, 2, 200)
    curves = {
        f"lr x curvature {c:g}": known_allocation.share_under_noise(q, c)
        for c in known_allocation.PRODUCTS
    }
    found = [(known_allocation.RATIOS, row) for row in of["noise share"].mean(axis=0)]
    how = {"title": "Noise: one step along g + sigma xi", "x": "|g| / sigma", "log": "x"}
    draw.formula(axes["B"], q, curves, found, **how)
    draw.dots(axes["C"], {word: relative_errors(arrays, name) for word, name in RULES.items()})
    simpson, trapezoid = (relative_errors(arrays, name).max() for name in RULES.values())
    how = {"y": "|sum A - dL| / |dL|", "log": "y"}
    found = f"Fully connected: Simpson leaves up to {simpson:.2%} over, the trapezoid {trapezoid:.1%}"
    wedges.plots.label_axes(axes["C"], title=found, **how)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
