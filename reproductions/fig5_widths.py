"""Figure 5: learning rate, L2, dropout, batch size and network width change how wide a tunnel is.

Networks are trained with one of five hyperparameters at several values, several seeds each, until all
have the same training loss (or the epochs are over). From each optimum the loss is followed along random
directions until it crosses a threshold: twice the optimum's own loss, and a fixed one. The width of the
tunnel is that distance, or the angle arctan(distance / |theta|). The paper: wider with learning rate,
with L2 and with dropout until these get too strong, narrower with batch size. Dropout, whose effect is
no larger than the spread over seeds, is looked at twice more: with twice the seeds, and where each
network has come to rest, at a loss of its own.

    python -m reproductions.fig5_widths --preset=quick              digits, three minutes
    python -m reproductions.fig5_widths --jobs=2                    CIFAR-10, 1.5 hours on two cores
    python -m reproductions.fig5_widths --hyperparameter=lr         CIFAR-10, one of the five
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 5.
"""

import numpy as np

import wedges
from reproductions.bench import options, runs, sweep
from reproductions.bench.claims import Verdict
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
DROPOUT = dict(paper=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7), quick=(0.0, 0.1, 0.2, 0.5), smoke=(0.0, 0.3))
# Dropout looked at again: rates up to which the recorded run had all networks at the common loss, how
# many times the seeds, and in how many more epochs a network comes to rest.
MILD, TIMES, RESTING = 0.3, 2, 6
MORE, REST = "more dropout", "rest dropout"  # what its arrays are named by


@options.settings
class Config(networks.NetworkConfig):
    """Settings of the figure: five that are varied, where those stay meanwhile, what is common."""

    seed: int = but(paper=3, quick=0)  # 0 was the pilot's
    hyperparameter: Texts = option(
        "what is varied, one column each", WHAT, paper=("all",), smoke=("lr", "dropout")
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
    """Arrays "<hyperparameter> <number>" [values, seeds, ...] of everything the figure shows; of dropout
    "more dropout ..." and "rest dropout ..." [mild rates, twice the seeds, ...], too."""
    again = dropout_again(config)
    every = settings(config) | again
    found = sweep.over(tunnel_widths.measure_one, every, figure="fig5_widths").require()
    arrays = {}
    for name in varied(config):
        arrays |= named(name, _table(found, config, name, values(config, name), config.repeats))
    if again:
        at_rest = {name: tunnel_widths.Rest(setting, RESTING) for name, setting in again.items()}
        rested = sweep.over(tunnel_widths.measure_at_rest, at_rest, figure="fig5_widths").require()
        for name, done in ((MORE, found), (REST, rested)):
            arrays |= named(name, _table(done, config, "dropout", mild(config), more_repeats(config)))
    return arrays


def _table(found, config, name, among, seeds):
    """Arrays [values, seeds, ...] of what a sweep has found."""
    of = lambda value, seed: found.arrays(words(config, name, value, seed))
    return stacked([stacked([of(value, seed) for seed in seeds]) for value in among])


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


def mild(config):
    """The dropout rates that are looked at again."""
    return [rate for rate in values(config, "dropout") if rate <= MILD]


def more_repeats(config):
    """The seeds of these: the figure's, and as many after them."""
    return range(config.seed, config.seed + TIMES * config.seeds)


def looks_again(config):
    """Whether dropout is varied, and mild somewhere."""
    return "dropout" in varied(config) and bool(mild(config))


def dropout_again(config):
    """{what is special about it: Setting} of mild dropout with more seeds, if it is looked at again."""
    return {
        words(config, "dropout", rate, seed): _setting(config, seed, {**base(config), "dropout": rate})
        for rate in (mild(config) if looks_again(config) else ())
        for seed in more_repeats(config)
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
OURS = "this project: what makes widths comparable"
COMPARABLE = "Not in the paper: only networks that are trained equally far are compared."


def judged_again(arrays, config):
    """{claim: number} of dropout with more seeds, and at rest."""
    rank = lambda name, measure: tunnel_widths.rank(arrays, mild(config), name, measure)
    found = {"dropout.more.convergence": tunnel_widths.unequal(arrays, config.target, MORE)}
    found["dropout.rest.still"] = arrays[f"{REST} moves"].max()
    for name, what in ((MORE, "more"), (REST, "rest")):
        found |= {f"dropout.{what}.{measure}": rank(name, measure).rises for measure in MEASURES}
    return found


def judged(arrays, config):
    """{claim: number}: how often chance gives such a trend; of a reversal, where one is claimed."""
    found = {}
    for name in claimed(config):
        found[f"{name}.convergence"] = tunnel_widths.unequal(arrays, config.target, name)
        for measure in MEASURES:
            ranked = rank(arrays, config, name, measure)
            found[f"{name}.{measure}"] = ranked.rises if EXPECTED[name] > 0 else ranked.falls
            again = reversal(arrays, name, measure) if name in REVERSES else None
            found[f"{name}.reversal.{measure}"] = again
    return found | (judged_again(arrays, config) if looks_again(config) else {})


def claimed(config):
    """The hyperparameters of which something is claimed."""
    return [name for name in varied(config) if EXPECTED[name]]


def claims(arrays, config):
    """Equal convergence; the sign of each trend; the reversals."""
    claim = Verdict("fig5", "Fort & Jastrzebski 2019, Fig. 5", judged(arrays, config))
    less = "at the strongest value less the widest in range, in standard errors"
    bounds = tunnel_widths.BOUNDS
    for name in claimed(config):
        own = claim.about(f"{name}.*", TITLES[name], says=SAYS[name])
        _claim_equal(own, config)
        for measure in MEASURES:
            ranked = rank(arrays, config, name, measure)
            own(measure, _trend_in_words(measure, ranked, EXPECTED[name]), *bounds[measure])
        for measure in MEASURES:
            own(f"reversal.{measure}", f"width ({measure}) {less}", "<", -2.0)
    if looks_again(config):
        _claim_again(claim, arrays, config)
    return claim.claims


def _trend_in_words(measure, ranked, sign):
    """What is tested of a trend whose sign the paper states."""
    size = "large" if sign > 0 else "small"
    words = (
        f"rank correlation with the width ({measure}) within a seed, mean {ranked.rho:.2f}; how often"
    )
    return f"{words} chance gives one as {size}"


def _claim_equal(claim, config):
    """That the networks which are compared ended at one loss."""
    worst = f"training losses in range, farthest from {config.target:g}, as a share of it"
    bound = tunnel_widths.BOUNDS["convergence"]
    claim("convergence", worst, *bound, source=OURS, says=COMPARABLE)


AGAIN = {
    MORE: "dropout with twice the seeds",
    REST: "dropout with twice the seeds, where each network has come to rest",
}
RESTED = "Not in the paper: networks are compared where they have come to rest, at losses of their own."


def _claim_again(claim, arrays, config):
    """Of dropout with more seeds, and at rest: the same claims by the same bounds."""
    bounds = tunnel_widths.BOUNDS
    moves = (
        "the training loss of the last epoch against that of the one before, largest change, as a share"
    )
    for name, what in ((MORE, "more"), (REST, "rest")):
        own = claim.about(f"dropout.{what}.*", AGAIN[name], says=SAYS["dropout"])
        if name == MORE:
            _claim_equal(own, config)
        else:
            own("still", moves, *tunnel_widths.STILL, source=OURS, says=RESTED)
        for measure in MEASURES:
            ranked = tunnel_widths.rank(arrays, mild(config), name, measure)
            own(measure, _trend_in_words(measure, ranked, EXPECTED["dropout"]), *bounds[measure])


def summary(arrays, config):
    """Losses and widths of every value, by seed: what the reference guards."""
    found = {}
    for name in varied(config):
        numbers = {loss: arrays[f"{name} {loss}"] for loss in ("train loss", "test loss")}
        numbers |= {f"{m}, {t}": widths(arrays, name, m, t) for m in MEASURES for t in THRESHOLDS}
        for i, value in enumerate(values(config, name)):
            found |= {f"{name} {value:g}: {what}": each[i] for what, each in numbers.items()}
    for name in (MORE, REST) if looks_again(config) else ():
        numbers = {loss: arrays[f"{name} {loss}"] for loss in ("train loss", "test loss")}
        numbers |= {f"{m}, {t}": widths(arrays, name, m, t) for m in MEASURES for t in THRESHOLDS}
        for i, value in enumerate(mild(config)):
            found |= {f"{name} {value:g}: {what}": each[i] for what, each in numbers.items()}
    return found


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    found = {
        f"{name} *": {name: values(config, name), "seed": config.repeats} for name in varied(config)
    }
    if looks_again(config):
        along = {"dropout": mild(config), "seed": more_repeats(config)}
        found |= {f"{name} *": along for name in (MORE, REST)}
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The angle against each hyperparameter, and all rank correlations."""
    return _widths(arrays, config, "angle")


def more_pictures(arrays, config):
    """The distance in place of the angle; the losses of the networks; dropout looked at again."""
    found = {"distances": _widths(arrays, config, "distance"), "losses": _losses(arrays, config)}
    return found | ({"dropout": _again(arrays, config)} if looks_again(config) else {})


def words_of(name):
    """What a hyperparameter is called in a sentence."""
    known = {"l2": "L2", "dropout": "dropout", "width": "network width"}
    return known.get(name, TITLES[name].split(" (")[0])


def trend(arrays, config, name, measure):
    """What a larger value does to the width, by its rank correlation, if there is one."""
    return _way([rank(arrays, config, name, measure)], none="not judged", unclear="unclear")


def _way(ranks, none, unclear):
    """What all these correlations say that a larger value does to the width."""
    if any(np.isnan(found.rho) for found in ranks):
        return none
    if all(found.rises <= tunnel_widths.LEVEL for found in ranks):
        return "wider"
    return "narrower" if all(found.falls <= tunnel_widths.LEVEL for found in ranks) else unclear


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
    """The rank correlations of value and width, how large chance makes them, and the paper's sign."""
    plots, names = wedges.plots, varied(config)[::-1]
    for i, name in enumerate(names):
        ax.text(-1.35, i + 0.2, words_of(name), ha="left", va="bottom")
        _draw_rank(ax, rank(arrays, config, name, measure), i, color=plots.BLUE, markersize=6)
        if EXPECTED[name]:
            side = ">" if EXPECTED[name] > 0 else "<"
            ax.plot(1.2 * EXPECTED[name], i, side, color=plots.GREEN, markersize=7)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-1.4, 1.4), ylim=(-0.6, len(names) - 0.3))
    ax.set_yticks([])
    x = "Spearman's rho within a seed; grey: chance (95%)\ntriangles: the paper's sign"
    plots.label_axes(ax, title="Rank correlations", x=x, ticks=(-1, -0.5, 0, 0.5, 1))


def _draw_rank(ax, found, y, **look):
    """A rank correlation at a height, over the range in which chance leaves 95 of 100. One that is NaN
    has its name in the legend alone."""
    ends = [-found.chance, found.chance]  # the same to either side
    ax.plot(ends, [y, y], "-", color="0.8", linewidth=6, solid_capstyle="butt", zorder=1)
    ax.plot(found.rho, y, "o", zorder=2, **look)


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


def _again(arrays, config):
    """Dropout with more seeds: widths at equal loss and at rest, losses at rest, rank correlations."""
    plots, x = wedges.plots, np.arange(len(mild(config)))
    ticks = {i: f"{rate:g}" for i, rate in enumerate(mild(config))}
    seeds = pictures.counted(len(more_repeats(config)), "seed")
    title = f"{finding_again(arrays, config)}\n{pictures.named(config.model)} on "
    title += f"{pictures.named(config.dataset)}; {seeds}, {config.directions} directions each; "
    title += (
        f"means with standard errors, dots: seeds; at rest: after {RESTING} more epochs, in which the"
    )
    title += f" rate falls to 0; widths to {config.multiple:g} x the optimum's own loss"
    figure, (equal, rest, losses, ranks) = pictures.panels(4, title=title, panel=(4.3, 3.2))
    looks = {MORE: (plots.BLUE, "equal loss"), REST: (plots.ORANGE, "at rest")}
    for ax, (name, (color, where)) in zip((equal, rest), looks.items(), strict=True):
        _draw_seeds(ax, x, widths(arrays, name, "angle", "multiple"), color)
        plots.label_axes(ax, title=f"Width, {where}", x="dropout rate", ticks=ticks)
    pictures.share_y([equal, rest], "width: angle (degrees)")
    for name, (color, where) in looks.items():
        _draw_seeds(losses, x, arrays[f"{name} train loss"], color, label=where)
    how = {"x": "dropout rate", "y": "training loss (nats)", "ticks": ticks, "legend": 8}
    plots.label_axes(losses, title="The losses there", **how)
    _draw_again(ranks, arrays, config)
    return figure


def _draw_seeds(ax, x, values, color, label=None):
    """Every seed of values [rates, seeds] as a dot, and their mean with its standard error."""
    mean, error = mean_and_error(values)
    ax.plot(x, values, ".", color=color, alpha=0.35, markersize=5)
    ax.errorbar(x, mean, error, color=color, marker="o", markersize=4, capsize=3, label=label)


def _draw_again(ax, arrays, config):
    """Rank correlations of dropout with the width and their intervals: as before, with more seeds, at
    rest."""
    plots = wedges.plots
    rows = [("dropout", values(config, "dropout"), f"equal loss, {config.seeds} seeds")]
    for name, where in ((MORE, "equal loss"), (REST, "at rest")):
        rows.append((name, mild(config), f"{where}, {len(more_repeats(config))} seeds"))
    for i, (name, among, label) in enumerate(rows[::-1]):
        ax.text(-1.05, i + 0.25, label, ha="left", va="bottom")
        for measure, color, y in (("distance", plots.GREEN, i + 0.1), ("angle", plots.BLUE, i - 0.1)):
            found = tunnel_widths.rank(arrays, among, name, measure)
            label = measure if i == 0 else None
            _draw_rank(ax, found, y, color=color, markersize=5, label=label)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-1.1, 1.1), ylim=(-0.5, len(rows) - 0.2))
    ax.set_yticks([])
    x = "Spearman's rho within a seed; grey: chance (95%)"
    plots.label_axes(ax, title="Rank correlations", x=x, ticks=(-1, -0.5, 0, 0.5, 1), legend=8)


def finding_again(arrays, config):
    """What the second look at dropout says, in a sentence."""
    ways = {}
    for name, where in ((MORE, "at equal loss"), (REST, "at rest")):
        found = [tunnel_widths.rank(arrays, mild(config), name, m) for m in MEASURES]
        way = _way(found, none=None, unclear="no clear trend")
        if way is None:
            return "Dropout with twice the seeds, and where networks have come to rest"
        if way == "no clear trend":  # in both; there may be one in either
            alone = [
                (_way([each], none=None, unclear=""), m) for each, m in zip(found, MEASURES, strict=True)
            ]
            way = " and ".join(f"{one} by {m}" for one, m in alone if one) or way
        ways.setdefault(way, []).append(where)
    return "With dropout tunnels are: " + "; ".join(
        f"{way} {' and '.join(w)}" for way, w in ways.items()
    )


if __name__ == "__main__":
    runs.main(__name__)
