"""Generality: which findings hold on other networks and data sets, and which are SimpleCNN's alone?

The paper says that all was checked on others. Here the core claims of Figures 2, 3, 5 (learning rate)
and 6, and of a connector of four optima, are measured on every setting of networks x nonlinearities x
data sets, by the functions and bounds of those figures. A finding is general if it holds in at least 80%
of the settings; where it cannot be measured, it does not hold. A setting is a job of a sweep. The
figures' own network is measured beside them in the same sizes: what fails there, too, says nothing of
the others.

    python -m reproductions.generality --preset=quick            MNIST-1D, two networks, two minutes
    python -m reproductions.generality --jobs=2                  42 settings, 3.5 hours on two cores
    python -m reproductions.generality --dataset=mnist,cifar100 --network=cnn_half,resnet --jobs=2
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4.1.
"""

import collections
import dataclasses
import itertools

import numpy as np

import wedges
from reproductions.bench import options, runs, sweep
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Texts, one_of, option
from reproductions.common import core_claims, data, models, pictures
from reproductions.common.arrays import stacked

GENERAL = 0.8  # share of the settings in which a general finding holds: ours, fixed beforehand
CONTROL = "cnn"  # the figures' own network, in no share
NETWORKS = {
    CONTROL: ("SimpleCNN", models.Model()),
    "cnn_half": ("SimpleCNN, half as wide", models.Model(width=0.5)),
    "cnn_double": ("SimpleCNN, twice as wide", models.Model(width=2.0)),
    "cnn_deep": ("SimpleCNN, 4 layers", models.Model(depth=4)),
    "fc2": ("fully connected, 2 layers", models.Model("fc", depth=2)),
    "fc3": ("fully connected, 3 layers", models.Model("fc", depth=3)),
    "resnet": ("ResNet, half as wide", models.Model("resnet", width=0.5)),
}
NONLINEAR = {"tanh": "tanh", "relu": "ReLU"}
IMAGES = ("cifar10", "fashion_mnist")


@options.settings
class Config(core_claims.Config):
    dataset: Texts = option(
        "data sets",
        one_of(*data.NAMES),
        needs=data.needs,
        paper=(*IMAGES, "mnist1d"),
        quick=("mnist1d",),
        smoke=("digits",),
    )
    network: Texts = option(
        "networks", one_of(*NETWORKS), paper=tuple(NETWORKS), quick=("cnn_half", "fc2")
    )
    activation: Texts = option(
        "nonlinearities", models.ACTIVATIONS, paper=("tanh", "relu"), smoke=("tanh",)
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays [settings, ...] of all that `core_claims.measure` finds in each setting."""
    wanted = settings(config)
    found = sweep.over(core_claims.measure, wanted, figure="generality").require()
    return stacked([found.arrays(name) for name in wanted])


def settings(config):
    """{name of a setting: `core_claims.Setting`} of this run, data set by data set."""
    found = {}
    for dataset, network, activation in combinations(config):
        model = dataclasses.replace(NETWORKS[network][1], activation=activation)
        found[f"{dataset}, {network}, {activation}"] = config.setting(dataset, model)
    return found


def combinations(config):
    """[(data set, network, activation)] of all settings, in order."""
    return list(itertools.product(config.dataset, config.network, config.activation))


# ---- what the numbers say ---------------------------------------------------------------------------

FIGURES = {
    # the part of an id before the claim's own name: what the paper says of it
    "fig2": "Along random directions an optimum looks like a circular well.",
    "fig3": "A tunnel of low loss joins two optima, and turns half-way.",
    "m-connector": "A low-loss surface joins four optima.",
    "fig5.lr": "A higher learning rate makes tunnels wider.",
    "fig6.low": "At a low rate the average of the weights does as well as the ensemble.",
    "fig6.high": "At a high rate the average of the weights does worse than a snapshot.",
}
WORDS = {
    # claim: (the finding in a few words, the number that it is about)
    "fig2.rises": ("loss rises with distance", "smallest step of the mean loss with distance"),
    "fig2.variation": ("alike in all directions", "variation over directions where it doubled"),
    "fig2.ring": ("alike around a ring", "variation around a ring where it doubled"),
    "fig2.hidden": ("random cut: high far off", "lowest loss far off on a random cut / optimum's"),
    "fig2.shown": ("optima's cut: low again", "lowest loss far off on the optima's cut / optimum's"),
    "fig3.barrier": ("barrier on the line", "line's barrier / loss of its ends"),
    "fig3.tunnel": ("the tunnel is low", "highest point of the tunnel / line's barrier"),
    "fig3.within": ("a direction for each half", "mean cosine of deviations within a half"),
    "fig3.across": ("which differ", "by how much that cosine is lower across halves"),
    "fig3.labels": ("halves predict alike (%)", "label agreement within a half less across"),
    "m-connector.points": ("points of the hull: low", "highest chosen point / flat hull's rise"),
    "m-connector.accuracy": ("and accurate (%)", "test accuracy: optima less the worst chosen point"),
    "m-connector.heldout": ("low between points", "highest held-out point / flat hull's rise"),
    "fig5.lr.convergence": ("equal training losses", "training losses, farthest from the target / it"),
    "fig5.lr.distance": (
        "wider by rate: distance, p (%)",
        "rate and distance: how often chance ranks so",
    ),
    "fig5.lr.angle": (
        "wider by rate: angle, p (%)",
        "rate and angle: how often chance ranks so",
    ),
    "fig6.low.swa_vs_snapshot": ("SWA - snapshot (%)", "test accuracy, SWA - snapshot"),
    "fig6.low.swa_vs_ensemble": ("|SWA - ensemble| (%)", "test accuracy, |SWA - ensemble|"),
    "fig6.low.no_barrier": ("no barrier", "rise of training loss between snapshots / loss"),
    "fig6.high.swa_vs_snapshot": ("SWA - snapshot (%)", "test accuracy, SWA - snapshot"),
    "fig6.high.ensemble_vs_snapshot": ("ensemble - snapshot (%)", "test accuracy, ensemble - snapshot"),
    "fig6.high.barrier": ("a barrier", "rise of training loss between snapshots / loss"),
    "fig6.high.less_alike": ("labels less alike (%)", "labels that snapshots share, high - low rate"),
}
OURS = ("fig2.hidden", "fig2.shown", "m-connector.heldout", "fig5.lr.convergence")  # in no paper


def part(id):
    """The part of `FIGURES` that a claim belongs to."""
    return next(p for p in FIGURES if id.startswith(f"{p}."))


def numbers(arrays, config):
    """What the figures' claims are about [settings, claims], in the order of `core_claims.BOUNDS`; NaN
    of what could not be measured."""
    count = len(combinations(config))
    rows = [core_claims.judged({name: a[i] for name, a in arrays.items()}) for i in range(count)]
    return np.array([[row[id] for id in core_claims.BOUNDS] for row in rows])


def held(found):
    """Whether each claim holds in each setting, [settings, claims] of `numbers`."""
    columns = zip(core_claims.BOUNDS, found.T, strict=True)
    return np.transpose([[core_claims.holds(id, n) for n in column] for id, column in columns])


def others(config):
    """Whether a setting is of another network than the figures', [settings]; of all where none is."""
    found = np.array([network != CONTROL for _, network, _ in combinations(config)])
    return found if found.any() else ~found


def judged(arrays, config):
    """{claim: share of the settings of other networks in which it holds}."""
    holds = held(numbers(arrays, config))[others(config)]
    return dict(zip(core_claims.BOUNDS, holds.mean(axis=0), strict=True))


def claims(arrays, config):
    """Each core claim holds in most of the settings."""
    source = "Fort & Jastrzebski 2019, section 4.1"
    claim = Verdict("generality", source, judged(arrays, config))
    for id, (relation, bound) in core_claims.BOUNDS.items():
        place = {"fig6.low": "low rate, ", "fig6.high": "high rate, "}.get(part(id), "")
        what = f"share of settings with {place}{WORDS[id][1]} {relation} {bound:g}"
        says = f"On other networks and data sets, too: {FIGURES[part(id)]}"
        own = {"source": "this project"} if id in OURS else {}
        claim(id, what, ">=", GENERAL, says=None if id in OURS else says, **own)
    return claim.claims


def summary(arrays, config):
    """Of each claim its numbers over settings, where it has any, and in each setting whether it holds:
    what the reference guards."""
    found = numbers(arrays, config)
    kept = {}
    for id, values, holds in zip(core_claims.BOUNDS, found.T, held(found).T, strict=True):
        kept |= {
            f"{id}: {name}": [float(each)]
            for name, each in zip(setting_names(config), holds, strict=True)
        }
        if len(known := values[np.isfinite(values)]):
            kept[id] = known
    for reading in ("train loss", "test accuracy"):
        kept[f"optima: {reading}"] = arrays[f"surface optima {reading}"].mean(axis=1)
    # What is said of averages says nothing where a rate has destroyed the network.
    for i, rate in enumerate(("low", "high")):
        kept[f"cycles, {rate} rate: accuracy"] = arrays["cycles snapshot_accuracy"][:, i, -1]
    return kept


def axes(config):
    """What the arrays run over: the columns of series/*.csv."""
    return {"*": {"setting": setting_names(config)}}


def setting_names(config):
    """What each setting is called, in the order of the arrays."""
    return [", ".join(each) for each in combinations(config)]


# ---- the picture ------------------------------------------------------------------------------------

HEADS = {
    "fig2": "Figure 2:\na round well",
    "fig3": "Figure 3:\na tunnel",
    "m-connector": "connector\nof four",
    "fig5.lr": "Figure 5:\nwidths",
    "fig6.low": "Figure 6:\nlow rate",
    "fig6.high": "Figure 6:\nhigh rate",
}


def kinds(held, config):
    """Of each claim: general, SimpleCNN's (general among its settings alone), or neither."""
    counted = others(config)
    ours = counted & np.array([network.startswith("cnn") for _, network, _ in combinations(config)])
    all_ = held[counted].mean(axis=0) >= GENERAL
    own = held[ours].mean(axis=0) >= GENERAL if ours.any() else False
    return np.where(all_, "general", np.where(own, "SimpleCNN's", "neither"))


def finding(held, config):
    """The picture's title: how many findings are general, and how many are not."""
    count = collections.Counter(kinds(held, config))
    total = sum(count.values())
    words = (
        f"{count['general']} of {pictures.counted(total, 'finding')} hold in at least {GENERAL:.0%} of"
    )
    words += f" {pictures.counted(int(others(config).sum()), 'setting')}"
    if more := count["SimpleCNN's"]:
        words += f"; {more} more in so many of SimpleCNN's"
    return words


def plot(arrays, config):
    """A table, setting x claim: the number of each, coloured by its verdict; below it the shares."""
    plots, found = wedges.plots, numbers(arrays, config)
    holds = held(found)
    shares = groups(holds, config)
    title = (
        f"{finding(holds, config)}\n{conditions(config)}; numbers as in the figures, (%) in percent; "
        "blue: holds; orange with a corner: does not; grey: no number; after a network its test accuracy"
    )
    height = 0.19 * (len(holds) + len(shares) + 2) + 2.3
    figure, ((ax,),) = plots.grid(1, 1, title=title, panel=(8.6, height))
    scale = np.array([100 if "(%)" in WORDS[id][0] else 1 for id in core_claims.BOUNDS])
    # Narrower columns, of a paper's page, have no room for numbers.
    texts = np.vectorize(short)(found * scale) if figure.get_figwidth() > 8 else None
    pictures.verdicts(ax, 1, np.where(np.isnan(found), np.nan, holds), texts)
    rates = np.array(list(shares.values()))
    percent = [[f"{100 * share:.0f}" for share in row] for row in rates]
    pictures.verdicts(ax, len(holds) + 2, rates >= GENERAL, percent)
    draw_frame(ax, config, list(shares), arrays["surface optima test accuracy"].mean(axis=1))
    if texts is not None:
        draw_bounds(ax, scale)
    return figure


def draw_bounds(ax, scale):
    """What is wanted of each number, over its column."""
    signs = {">=": "\u2265", "<=": "\u2264"}
    for j, (relation, bound) in enumerate(core_claims.BOUNDS.values()):
        say = signs.get(relation, relation) + short(scale[j] * bound)
        ax.text(j + 0.5, 0.53, say, ha="center", va="center", fontsize=8)
    ax.text(-1.1, 0.53, "wanted", ha="right", va="center", fontsize=8, clip_on=False)


def conditions(config):
    """What the settings are, in words."""
    count = len([network for network in config.network if network != CONTROL])
    words = [pictures.counted(count or 1, "network")]
    words.append(" and ".join(NONLINEAR[a] for a in config.activation))
    words.append(", ".join(map(pictures.named, config.dataset)))
    control = f"; {NETWORKS[CONTROL][0]}, the figures' own, is a control in no share"
    return " x ".join(words) + (control if count < len(config.network) and count else "")


def groups(held, config):
    """{words: shares [claims]} of all settings of `others`, and of some of them."""
    rows = combinations(config)
    wanted = {
        "all": lambda row: True,
        "SimpleCNN": lambda row: row[1].startswith("cnn"),
        "other networks": lambda row: not row[1].startswith("cnn"),
        "tanh": lambda row: row[2] == "tanh",
        "ReLU": lambda row: row[2] == "relu",
    }
    counted = others(config)
    chosen = {
        words: counted & np.array([is_one(row) for row in rows]) for words, is_one in wanted.items()
    }
    return {words: held[which].mean(axis=0) for words, which in chosen.items() if which.any()}


def short(number):
    """A number in two digits, and no more than three decimals: 0.123 is .12."""
    if np.isnan(number):
        return "-"
    if abs(number) >= 99.5:
        return f"{number:.0f}" if abs(number) < 999.5 else f"{number:.0e}".replace("e+0", "e")
    text = f"{float(f'{round(number, 3):.2g}') + 0.0:g}"  # not -0
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def draw_frame(ax, config, shares, accuracy):
    """What rows and columns are, with lines between their groups; accuracy [settings] of the optima."""
    ids, rows = list(core_claims.BOUNDS), combinations(config)
    names = [
        f"{NETWORKS[network][0]}, {NONLINEAR[activation]}: {right:.0%}"
        for (_, network, activation), right in zip(rows, accuracy, strict=True)
    ]
    names = ["", *names, "share of settings that hold, %:", *shares]
    ax.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    ax.set_xticks(np.arange(len(ids)) + 0.5, [WORDS[id][0] for id in ids], rotation=90, fontsize=8)
    ax.xaxis.tick_top()
    ax.set(xlim=(-0.9, len(ids)), ylim=(len(names), 0))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    line = {"color": "black", "linewidth": 0.9, "clip_on": False}
    for name, own in places_of(part(id) for id in ids).items():
        below = {"ha": "center", "va": "top", "fontsize": 8, "linespacing": 1.1}
        ax.text((own[0] + own[-1] + 1) / 2, len(names) + 0.2, HEADS[name], **below)
        ax.plot([own[0]] * 2, [0, len(names)], **line)
    for name, own in places_of(dataset for dataset, *_ in rows).items():
        along = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 8}
        ax.text(-0.45, (own[0] + own[-1] + 3) / 2, pictures.named(name), **along)
        ax.plot([-0.9, len(ids)], [own[0] + 1] * 2, **line)
    ax.plot([-0.9, len(ids)], [len(rows) + 1] * 2, **line)


def places_of(names):
    """{name: the places at which it stands}."""
    found = collections.defaultdict(list)
    for place, name in enumerate(names):
        found[name].append(place)
    return dict(found)


if __name__ == "__main__":
    runs.main(__name__)
