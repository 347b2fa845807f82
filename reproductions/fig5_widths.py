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
    """The angle against each hyperparameter, and all rank correlations."""
    return _widths(arrays, config, "angle")


def more_pictures(arrays, config):
    """The distance in place of the angle; the losses of the networks."""
    return {"distances": _widths(arrays, config, "distance"), "losses": _losses(arrays, config)}


def words_of(name):
    """What a hyperparameter is called in a sentence."""
    known = {"l2": "L2", "dropout": "dropout", "width": "network width"}
    return known.get(name, TITLES[name].split(" (")[0])


def trend(arrays, config, name, measure):
    """What a larger value does to the width, by its rank correlation's interval, if there is one."""
    rho, low, high = rank(arrays, config, name, measure)
    if np.isnan(rho):
        return "not judged"
    return "wider" if low > 0 else "narrower" if high < 0 else "unclear"


def finding(arrays, config, measure):
    """What larger values of all hyperparameters do, in a sentence."""
    by = {}
    for name in varied(config):
        by.setdefault(trend(arrays, config, name, measure), []).append(words_of(name))
    ways = [f"{way} with {pictures.listed(by[way])}" for way in ("wider", "narrower") if way in by]
    if not ways:
        return "How wide a tunnel is, by how its network was trained"
    unclear = by.get("unclear")
    more = f"; {pictures.listed(unclear)}: no clear trend" if unclear else ""
    return f"Tunnels are {', '.join(ways)}{more}"


def shown(arrays, name, threshold):
    """At which values [values] a width is drawn: to a multiple of the optimum's own loss where all seeds
    reached the target, since that loss differs beyond; to a fixed loss where all start below it, since
    a width of 0 says nothing."""
    if threshold == "multiple":
        return in_range(arrays, name)
    return arrays[f"{name} fixed distances"].min(axis=(1, 2)) > 0


def _conditions(config):
    words = f"{pictures.named(config.model)} on {pictures.named(config.dataset)}; "
    words += f"{pictures.counted(config.seeds, 'seed')}, {config.directions} directions each; "
    return words + f"trained to a training loss of {config.target:g} nats; bars: standard errors"


def _widths(arrays, config, measure):
    """A panel for each hyperparameter, on one scale, and one of the rank correlations."""
    title = f"{finding(arrays, config, measure)}\n{_conditions(config)}; "
    title += "open: a loss that some seed did not reach; triangles: lower bounds"
    figure, (*panels, last) = pictures.small_multiples(len(varied(config)) + 1, title)
    for ax, name in zip(panels, varied(config), strict=True):
        _draw_width(ax, arrays, config, name, measure)
    units = {"distance": "distance in weight space (L2)", "angle": "angle (degrees)"}
    pictures.share_y(panels, f"width: {units[measure]}", bottom=0)
    wedges.plots.label_axes(panels[-min(3, len(panels))], legend=8)
    _draw_ranks(last, arrays, config, measure)
    return figure


def _draw_width(ax, arrays, config, name, measure):
    """The width against one hyperparameter, by both thresholds, where it says something."""
    plots, good = wedges.plots, in_range(arrays, name)
    places = np.flatnonzero(shown(arrays, name, "multiple") | shown(arrays, name, "fixed"))
    for threshold, look, label in (
        ("multiple", {"color": plots.BLUE, "marker": "o"}, f"to {config.multiple:g} x its own loss"),
        ("fixed", {"color": plots.ORANGE, "marker": "s"}, f"to {config.fixed:g} nats"),
    ):
        at = shown(arrays, name, threshold)[places]
        x, chosen = np.flatnonzero(at), places[at]
        mean, error = mean_and_error(widths(arrays, name, measure, threshold)[chosen])
        style = "-" if threshold == "multiple" else "--"
        ax.errorbar(x, mean, error, linestyle=style, capsize=3, markersize=5, label=label, **look)
        beyond, bound = ~good[chosen], arrays[f"{name} {threshold} censored"].any(axis=(1, 2))[chosen]
        ax.plot(x[beyond], mean[beyond], linestyle="", markerfacecolor="white", zorder=4, **look)
        ax.plot(x[bound], mean[bound], "^", color=look["color"], markersize=9)
    title = f"{words_of(name)[0].upper()}{words_of(name)[1:]}: {trend(arrays, config, name, measure)}"
    theirs = {1: "\n(the paper: wider)", -1: "\n(the paper: narrower)", 0: ""}[EXPECTED[name]]
    ticks = {i: f"{values(config, name)[j]:g}" for i, j in enumerate(places)}
    ax.set_xlim(-0.4, len(places) - 0.6)
    plots.label_axes(ax, title=title + theirs, x=TITLES[name], ticks=ticks)


def _draw_ranks(ax, arrays, config, measure):
    """The rank correlation of each value and the width, with its interval; the paper's sign."""
    plots, names = wedges.plots, varied(config)[::-1]
    for i, name in enumerate(names):
        ax.text(-1.35, i + 0.2, words_of(name), ha="left", va="bottom")
        rho, low, high = rank(arrays, config, name, measure)
        if np.isfinite(rho):
            ax.plot([low, high], [i, i], "-|", color=plots.BLUE, markersize=8)
            ax.plot(rho, i, "o", color=plots.BLUE, markersize=6)
        if EXPECTED[name]:
            side = ">" if EXPECTED[name] > 0 else "<"
            ax.plot(1.2 * EXPECTED[name], i, side, color=plots.GREEN, markersize=7)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-1.4, 1.4), ylim=(-0.6, len(names) - 0.3))
    ax.set_yticks([])
    x = "Spearman's rho, 95% interval; triangles: the paper's sign"
    plots.label_axes(ax, title="Rank correlations", x=x, ticks=(-1, -0.5, 0, 0.5, 1))


def _losses(arrays, config):
    """The losses of the networks whose widths are compared, a panel for each hyperparameter."""
    plots = wedges.plots
    equal = pictures.holds(claims(arrays, config), "*.convergence")
    title = "The losses that networks reached\n"
    if equal:
        title = "Widths are compared at equal training loss: filled points\n"
    title += _conditions(config)
    figure, (*panels, last) = pictures.small_multiples(len(varied(config)) + 1, title)
    for ax, name in zip(panels, varied(config), strict=True):
        x, good = np.arange(len(values(config, name))), in_range(arrays, name)
        for loss, look, style in (
            ("train", {"color": plots.BLUE, "marker": "o"}, "-"),
            ("test", {"color": plots.ORANGE, "marker": "s"}, "--"),
        ):
            mean, error = mean_and_error(arrays[f"{name} {loss} loss"])
            label = "training data" if loss == "train" else "test data"
            ax.errorbar(x, mean, error, linestyle=style, capsize=3, markersize=5, label=label, **look)
            ax.plot(x[~good], mean[~good], linestyle="", markerfacecolor="white", zorder=4, **look)
        pictures.level(ax, config.target, "training ends here")
        ticks = {i: f"{v:g}" for i, v in enumerate(values(config, name))}
        plots.label_axes(ax, title=TITLES[name].split(" (")[0].capitalize(), x=TITLES[name], ticks=ticks)
    pictures.share_y(panels, "loss (nats)")
    last.set_axis_off()
    open_ = "open: some seed stayed above that,\nand no trend is claimed there"
    last.legend(*panels[0].get_legend_handles_labels(), loc="center left", title=open_, frameon=False)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
