"""Monotonic linear interpolation: does the loss fall all the way from the first weights to the last?

Networks are trained over optimizer, learning rate and batch norm, and the training loss is measured on
the straight line between their first weights and their last. Min Delta is how far it ever rises above
the lowest point before. Beside it: how far the weights moved, by how much the curve of each example's
logits turns, lines from other starts, how long the loss stays where it began by depth, a bound that
regressions must keep, a convolutional network, and descents where every number is known.

    python -m reproductions.monotonic_interpolation --preset=quick     MNIST-1D, two minutes
    python -m reproductions.monotonic_interpolation --jobs=2           Fashion-MNIST, 15 minutes
    python -m reproductions.monotonic_interpolation --lr=0.01,0.1,1 --adam_lr=0.001 --depths=2,8
Source: Lucas et al. 2021, arXiv:2104.11044; Goodfellow et al. 2015, arXiv:1412.6544.
"""

import numpy as np

import wedges
from reproductions.bench import cache, options, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import option
from reproductions.common import known_lines, line_runs, pictures
from reproductions.common.arrays import named, rank, under


@options.settings
class Config(line_runs.Config):
    """Settings of the figure; how the presets were chosen is told in
    reference/monotonic_interpolation.md."""

    quadratic_starts: int = option("starts on a random quadratic", paper=5, smoke=2)
    toy_dimension: int = option("D of the toy's wedges", paper=1000, smoke=200)
    toy_n: int = option("their long directions", below="toy_dimension", paper=900, smoke=180)
    toy_starts: int = option("starts on the toy", paper=5, smoke=2)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Of each group of runs "<group> <name>" [settings, seeds, ...], see `line_runs.follow`; of "starts"
    those without batch norm; "quadratic", "alone" and "toy" as in `known_lines`."""
    arrays = {}
    for group, found in line_runs.measured(config).items():
        arrays |= named(group, found)
    points, seed = config.points, config.seed
    known = {
        "quadratic": (known_lines.quadratic, 20, config.quadratic_starts, points, seed),
        "alone": (known_lines.alone, points),
        "toy": (known_lines.toy, config.toy_dimension, config.toy_n, config.toy_starts, points, seed),
    }
    for name, call in known.items():
        arrays |= named(name, cache.cached(*call))
    return arrays


# ---- what the numbers say ---------------------------------------------------------------------------

# All from before any run; the first two as in the authors' code.
RISES = 1e-3  # a line is not monotone from this min Delta on
ROUNDING = 1e-6  # nor is SimpleCNN's from this share of L(0) on
SMALL = 0.03  # rates of SGD up to this one are small
ENOUGH = 5  # runs that a cell must have where two are compared, and a rank correlation


def grid(arrays, config):
    """{name: array [settings, seeds]} of the grid, with "kept", which runs have converged, and "rises",
    which lines are not monotone."""
    own = under("grid", arrays)
    kept = line_runs.ends_below(own["training"], config.converged)
    return {**own, "kept": kept, "rises": ~(own["draw_up"] <= RISES)}  # what is NaN does not fall


def cells(config):
    """Which settings are small rates of SGD without batch norm [settings]; which are Adam or have batch
    norm, at the two highest rates of their optimizer [settings]."""
    plain = lambda s: s.optimizer == "momentum" and not s.batch_norm
    top = {"momentum": sorted(config.lr)[-2:], "adam": sorted(config.adam_lr)[-2:]}
    small = [plain(s) and s.rate <= SMALL for s in config.settings]
    large = [not plain(s) and s.rate in top[s.optimizer] for s in config.settings]
    return np.array(small), np.array(large)


def share(values, which, kept, least=1):
    """The share of `values` [settings, seeds] among the kept runs of some settings: None if they have
    not `least` runs, NaN if not so many were kept."""
    if values[which].size < least:
        return None
    chosen = values[which][kept[which]]
    return chosen.mean() if len(chosen) >= least else np.nan


def of_starts(arrays, config):
    """The share of monotone lines of converged networks without batch norm: from their own start, from
    random ones, from zero."""
    plain = np.array([not s.batch_norm for s in config.settings])
    found = grid(arrays, config)
    kept, others = found["kept"][plain], under("starts", arrays)
    if not kept.any():
        return dict.fromkeys(("own", "random", "zero"), np.nan)
    falls = lambda losses: wedges.interpolation.monotonicity(losses[kept]) <= RISES
    return {
        "own": 1 - found["rises"][plain][kept].mean(),
        "random": falls(others["random"]).mean(),
        "zero": falls(others["zero"]).mean(),
    }


def by_depth(arrays, config):
    """{depth: the mean length of the plateau of converged networks}; NaN where none has."""
    own, found = under("depth", arrays), {}
    for i, depth in enumerate(config.depths):
        kept = line_runs.ends_below(own["training"][i], config.converged)
        found[depth] = own["plateau"][i][kept].mean() if kept.any() else np.nan
    return found


def regressions(arrays):
    """Of the regressions: how many examples the bound holds for, and how many of them exceed it; which
    runs meet the theorem's conditions, and their min Delta over L(0)."""
    own = under("regression", arrays)
    held, over = own["holds"].astype(bool), own["rises"] > own["limits"] * (1 + 1e-9) + 1e-12
    first, last = own["losses"][..., 0], own["losses"][..., -1]
    straight = held.all(axis=-1) & (last <= 1e-4 * first)
    return {
        "held": held.sum(),
        "exceptions": (held & over).sum(),
        "straight": straight,
        "rises": own["draw_up"][straight] / first[straight],
    }


def judged(arrays, config):
    """{claim: number}: A-1 to A-7 on converged runs, and what is known exactly.

    None where the settings have nothing that a claim is about, NaN where too few runs have converged."""
    found, (small, large) = grid(arrays, config), cells(config)
    kept, rises = found["kept"], found["rises"]
    calm, calm_enough = (share(rises, small, kept, least) for least in (1, ENOUGH))
    wild, few = share(rises, large, kept, ENOUGH), kept.size < ENOUGH
    starts, depths, numbers = of_starts(arrays, config), by_depth(arrays, config), regressions(arrays)
    quadratic, alone, toy = (under(name, arrays) for name in ("quadratic", "alone", "toy"))
    fast = known_lines.ALONE.index(1.9)
    slow = np.array(known_lines.RATIOS) < 1
    off = [np.abs(known["draw_up"] - known["formula"]).max() for known in (quadratic, alone)]
    straight = np.linspace(1, 0, toy["own"].shape[-1])
    return {
        "A-1": calm,
        "A-2": None if None in (calm_enough, wild) else wild - calm_enough,
        "A-3": None if few else rank(np.log(found["by_start"][kept]), found["draw_up"][kept]),
        "A-4": None if few else rank(found["turning"][kept], found["draw_up"][kept]),
        "A-5.bound": numbers["exceptions"] if numbers["held"] else np.nan,
        "A-5.theorem": max(numbers["rises"], default=np.nan),
        "A-6.random": abs(starts["random"] - starts["own"]),
        "A-6.zero": abs(starts["zero"] - starts["own"]),
        "A-7": depths[5] - depths[2] if {2, 5} <= set(depths) else None,
        "quadratic.formula": max(off),
        "quadratic.slow": quadratic["draw_up"][slow].max(),
        "quadratic.odd": alone["draw_up"][fast, ::2].min(),
        "quadratic.even": alone["draw_up"][fast, 1::2].max(),
        "toy.own": np.abs(toy["own"] - straight).max(),
        "toy.other": wedges.interpolation.monotonicity(toy["other"]).mean(),
    }


OURS = "our threshold; the paper's tables are not known to us"


def claims(arrays, config):
    """Where lines are monotone, what goes with rises, what is exact."""
    claim = Verdict("mli", f"Lucas et al. 2021; {OURS}", judged(arrays, config))
    of = "of converged runs"
    claim("A-1", f"SGD up to {SMALL:g}, no batch norm: share {of} with min Delta > {RISES:g}", "<=", 0.1)
    words = f"that share at the two highest rates of Adam or with batch norm, less the first, {of}"
    claim("A-2", words, ">=", 0.3)
    words = f"rank correlation of min Delta and {{}}, {of}"
    far = "Moving far from the first weights breaks monotone lines."
    claim("A-3", words.format("|theta_T - theta_0| / |theta_0|"), ">=", 0.5, says=far)
    claim("A-4", words.format("the mean turning of the logits"), ">=", 0.4)
    words = "regressions: examples turning by at most 90 degrees that rise above |z - y| times length"
    claim("A-5.bound", words, "<=", 0, source="the bound is exact")
    words = "regressions, all examples so, final loss <= 1e-4 L(0): largest min Delta over L(0)"
    claim("A-5.theorem", words, "<=", 1e-3, source="Lucas et al. 2021, their sufficient condition")
    words = f"no batch norm, share of monotone lines {of}: from {{}} less from the own, absolute"
    tao = f"Tao et al. 2024; {OURS}"
    how = {"source": tao, "says": "From noise or zeros in place of the start lines are monotone, too."}
    claim("A-6.random", words.format("random starts"), "<=", 0.15, **how)
    claim("A-6.zero", words.format("zero"), "<=", 0.15, **how)
    words = "length of {t: L(t) >= 0.9 L(0)} at 5 hidden layers less at 2, converged runs"
    claim("A-7", words, ">=", 0.15, source=f"Wang et al. 2022; {OURS}")
    _exact(claim)
    return claim.claims


def _exact(claim):
    """What is known exactly, of a quadratic and of the toy."""
    own = claim.about("quadratic.*", "gradient descent on quadratics, min Delta over L(0)")
    exact, alone = {"source": "closed form"}, "one dimension, eta lambda = 1.9"
    own("formula", "off its closed form", "<=", 1e-10, **exact)
    own("slow", "largest at eta lambda_max < 1", "<=", 1e-12, **exact)
    own("odd", f"{alone}: least after an odd number of steps", ">", 0.0, **exact)
    own("even", f"{alone}: largest after an even number of steps", "<=", 1e-12, **exact)
    toy = claim.about("toy.*", "the toy")
    words = "largest distance of L / L(0) from 1 - t on the line of a descent"
    toy("own", words, "<=", 1e-9, **exact)
    words = "mean min Delta over L(0) on lines from other random starts to where it ended"
    toy("other", words, ">", 0.05, source="ours; wedges of others stand between")


def labels(config):
    """{group: what each of its settings is called}."""
    return {
        "grid": [s.label for s in config.settings],
        "depth": [f"{depth} layers" for depth in config.depths],
        "regression": [f"width {w}, targets {y:g}, {s.label}" for w, y, s in config.regressions],
        "cnn": [s.label for s in config.cnn_settings],
    }


def summary(arrays, config):
    """Of every setting min Delta, distance, turning, plateau and final loss of the seeds that did not
    diverge, which are kept, and the rest that claims are about: what the reference guards."""
    numbers, limits, held = {}, {"cnn": config.cnn_converged}, regressions(arrays)
    for group, names in labels(config).items():
        own = under(group, arrays)
        for i, label in enumerate(names):
            known = np.isfinite(own["draw_up"][i])
            kept = line_runs.ends_below(own["training"][i], limits.get(group, config.converged))
            kept = held["straight"][i] if group == "regression" else kept
            numbers[f"{group}, {label}: kept"] = kept.astype(float)
            for name in ("draw_up", "by_start", "turning", "plateau"):
                if known.any():
                    numbers[f"{group}, {label}: {name}"] = own[name][i][known]
            if known.any():
                numbers[f"{group}, {label}: loss"] = own["losses"][i][known][:, -1]
    numbers |= {f"monotone from {name}": [v] for name, v in of_starts(arrays, config).items()}
    numbers["regression: examples that the bound holds for"] = [held["held"]]
    toy = under("toy", arrays)
    return numbers | {"toy: other starts": wedges.interpolation.monotonicity(toy["other"])}


# ---- the pictures -----------------------------------------------------------------------------------


def plot(arrays, config):
    """Losses on the lines by setting; min Delta against distance and against turning."""
    found = grid(arrays, config)
    kept, rises = found["kept"], found["rises"]
    title = f"The training loss falls all the way, to {RISES:g} nats, in {(kept & ~rises).sum()} of "
    title += f"{kept.sum()} networks that trained"
    if not kept.all():
        title += f",\nand in {(~kept & ~rises).sum()} of {(~kept).sum()} that ended above a loss of "
        title += f"{config.converged:g}"
    depth = pictures.counted(config.depths[0], "hidden layer")
    title += f"\n{depth} of {config.width}, {config.examples:,} examples of "
    title += (
        f"{pictures.named(config.dataset)}, {pictures.counted(config.seeds, 'seed')}. Solid: on the "
    )
    title += (
        "line, the first seed, dashed where it ended above; dotted: in training, by share of its epochs"
    )
    figure, places = pictures.panels(6, title=title, panel=(4.3, 2.8))
    *places, far, turning = places
    for ax in places[1:]:
        ax.sharey(places[0])
    kinds = dict.fromkeys(s.kind for s in config.settings)
    for ax, kind in zip(places, kinds, strict=True):
        _draw_kind(ax, kind, found, config)
    words = "distance of the last weights from the first, over their length"
    _draw_against(far, "by_start", words, found, config)
    _draw_against(turning, "turning", "mean turning of the logits (radians)", found, config)
    return figure


def _draw_kind(ax, kind, found, config):
    """All rates of an optimizer, with batch norm or without: the losses on the first seed's line."""
    plots = wedges.plots
    rows = [i for i, s in enumerate(config.settings) if s.kind == kind]
    t = np.linspace(0, 1, config.points)
    looks = np.array(line_runs.looks(config.epochs)) / config.epochs
    for k, i in enumerate(rows):
        color = plots.shade(k / max(1, len(rows) - 1))
        kept, rises = found["kept"][i], found["rises"][i]
        words = f"{(rises & kept).sum()} of {kept.sum()} rise" if kept.any() else "none trained"
        label = f"{config.settings[i].rate:g}: {words}"
        line = "-" if kept[0] else "--"
        marked = {"marker": "os^Dv*"[k % 6], "markevery": (len(t) // 12, max(1, len(t) // 5))}
        how = {"color": color, "linewidth": 1.4, "markersize": 4, **marked}
        ax.plot(t, found["losses"][i, 0], line, label=label, **how)
        ax.plot(looks, found["training"][i, 0], ":", color=color, linewidth=1)
    kept, rises = found["kept"][rows], found["rises"][rows]
    title = f"{kind}: {(kept & rises).sum()} of {kept.sum()} lines rise"
    title += ", by rate:"
    how = {"x": "t, from the first weights to the last", "y": "training loss (nats)"}
    plots.label_axes(ax, title=title, log="y", legend=8, **how)


LEAST = 1e-5  # what is less than this is drawn there


def _draw_against(ax, name, words, found, config):
    """Min Delta of converged runs against what should go with it, by optimizer and batch norm."""
    kept = found["kept"]
    kinds = np.array([s.kind for s in config.settings])
    for kind, look in zip(dict.fromkeys(kinds), pictures.looks(), strict=False):
        rows = kinds == kind
        x, y = (found[n][rows][kept[rows]] for n in (name, "draw_up"))
        ax.plot(x, np.maximum(y, LEAST), linestyle="", markersize=5, alpha=0.8, label=kind, **look)
    pictures.level(ax, RISES)
    rho = rank(found[name][kept], found["draw_up"][kept])
    title, of = "No rank correlation can be told", {"by_start": "distance", "turning": "turning"}[name]
    if np.isfinite(rho):
        grows = "grows with" if rho >= 0.4 else "falls with" if rho <= -0.4 else "hardly goes with"
        rise = (found["draw_up"][kept] > LEAST).sum()
        title = f"Min Delta {grows} {of}: rank correlation\n{rho:.2f} over {kept.sum()} that trained, "
        title += f"{rise} of which rise at all"
    shown, how = found[name][kept], {"log": "y", "legend": 8}
    if len(shown) and shown.max() > 5 * shown.min():
        how |= {"log": "xy", "ticks": _ticks(shown)}
    y = f"rise on the line, min Delta (nats; from {LEAST:.5f})"
    wedges.plots.label_axes(ax, title=title, x=words, y=y, **how)


def _ticks(values):
    """1, 2 and 5 times powers of ten around the values; those between, where there are many."""
    if not len(values):
        return None
    low, high = (int(np.floor(np.log10(v))) for v in (values.min(), values.max()))
    each = (1, 2, 5) if high - low < 3 else (1,)
    found = [m * 10.0**k for k in range(low, high + 2) for m in each]
    inside = [v for v in found if values.min() / 2 <= v <= 2 * values.max()]
    return inside or found


def more_pictures(arrays, config):
    """{name: picture}: shares by setting, depth, other starts, the bound, SimpleCNN, quadratics."""
    found = of_starts(arrays, config)
    apart = max(abs(found[name] - found["own"]) for name in ("random", "zero"))
    start = "hardly matters" if apart <= 0.15 else "matters"
    title = f"Whether the loss rises on the way: which start {start}, as long as the end is the same"
    title = title if np.isfinite(apart) else "No network has trained"
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 2.9))
    _draw_shares(axes[0], grid(arrays, config), config)
    _draw_depths(axes[1], arrays, config)
    _draw_starts(axes[2], arrays, config)
    _draw_bound(axes[3], arrays)
    _draw_cnn(axes[4], arrays, config)
    _draw_quadratic(axes[5], arrays)
    return {"reasons": figure}


def _draw_shares(ax, found, config):
    """The share of rising lines in each cell; rows as in the papers, rates from low to high."""
    kinds = list(dict.fromkeys(s.kind for s in config.settings))
    count = max(len(config.lr), len(config.adam_lr))
    values, texts = np.full((len(kinds), count), np.nan), [[""] * count for _ in kinds]
    places = dict.fromkeys(kinds, 0)
    for i, s in enumerate(config.settings):
        row, column = kinds.index(s.kind), places[s.kind]
        places[s.kind] += 1
        kept, rises = found["kept"][i], found["rises"][i]
        values[row, column] = (kept & rises).sum() / kept.sum() if kept.any() else np.nan
        says = f"{(kept & rises).sum()} of {kept.sum()}" if kept.any() else "none"
        texts[row][column] = f"{s.rate:g}\n{says}"
    columns = ["low", *[""] * (count - 2), "high"][:count]
    pictures.table(ax, values, texts, marked=np.zeros(values.shape, bool), rows=kinds, columns=columns)
    title = "Lines that rise, of networks that trained, by rate\n(none: no network trained)"
    wedges.plots.label_axes(ax, title=title, x="learning rate", grid=False)
    ax.tick_params(axis="y", labelsize=8)


def _draw_depths(ax, arrays, config):
    """L over L(0) on the line, a curve for each depth, and the plateau."""
    plots, own = wedges.plots, under("depth", arrays)
    t = np.linspace(0, 1, config.points)
    known, shown = by_depth(arrays, config), []
    for i, depth in enumerate(config.depths):
        kept = line_runs.ends_below(own["training"][i], config.converged)
        if kept.any():
            losses = own["losses"][i][kept]
            color = plots.shade(i / max(1, len(config.depths) - 1))
            label = f"{depth} layers: {known[depth]:.2f} ({kept.sum()} of {len(kept)} trained)"
            style = ("-", "--", "-.", ":")[i % 4]
            how = {"color": color, "label": label, "marker": "", "style": style}
            plots.curve(ax, t, losses / losses[:, :1], **how)
            shown.append(depth)
    pictures.level(ax, 0.9)
    ax.text(0.99, 0.9, "a plateau until here", ha="right", va="bottom", fontsize=8.5)
    title = "No network of these depths has trained"
    if shown:
        first, last = shown[0], shown[-1]
        title = f"The plateau: {known[first]:.2f} with {pictures.counted(first, 'hidden layer')}"
        title += f", {known[last]:.2f} with {last}" * (last != first)
    plots.label_axes(ax, title=title, x="t", y="L(t) / L(0)", legend=8 if shown else None)


def _draw_starts(ax, arrays, config):
    """The share of monotone lines from the own start and from others."""
    found = of_starts(arrays, config)
    words = {"own": "own start", "random": "random start", "zero": "zero"}
    heights = [100 * found[name] for name in words]
    ax.bar(range(3), heights, 0.6, color=[look["color"] for look in pictures.looks()[:3]])
    for i, height in enumerate(heights):
        if np.isfinite(height):
            ax.text(i, height + 1, f"{height:.0f}%", ha="center", fontsize=9)
    toy = wedges.interpolation.monotonicity(under("toy", arrays)["other"]) > RISES
    title = "Monotone lines to the same ends, no batch norm\n"
    title += f"(on the toy: own start all, other starts {100 - 100 * toy.mean():.0f}%)"
    ax.set_ylim(0, 115)
    wedges.plots.label_axes(ax, title=title, y="converged networks (%)")
    ax.set_xticks(range(3), list(words.values()))


def _draw_bound(ax, arrays):
    """How far each example of the regressions rises, against what it can at most."""
    plots, own, found = wedges.plots, under("regression", arrays), regressions(arrays)
    held = own["holds"].astype(bool)
    rises, limits = (np.maximum(own[name][held], LEAST) for name in ("rises", "limits"))
    ax.plot(limits, rises, ".", color=plots.BLUE, markersize=2.5, alpha=0.5, rasterized=True)
    if len(limits):
        ends = np.array([limits.min(), limits.max()])
        ax.plot(ends, ends, color=plots.ORANGE, linewidth=1.2, label="the bound")
    title = f"Regressions: {found['exceptions']} of {found['held']:,} examples that turn by at most\n"
    title += f"90 degrees rise above the bound; {held.size - held.sum():,} turn further"
    how = {"x": "bound: final error times length of the curve", "ticks": _ticks(limits)}
    y = f"rise of the example's loss, at least {LEAST:.5f}"
    plots.label_axes(ax, title=title, y=y, log="xy", legend=8 if len(limits) else None, **how)


def _draw_cnn(ax, arrays, config):
    """The lines of the convolutional network."""
    plots, own = wedges.plots, under("cnn", arrays)
    t, total, risen = np.linspace(0, 1, config.points), 0, 0
    for look, i in zip(pictures.looks(), range(len(config.cnn_settings)), strict=False):
        kept = line_runs.ends_below(own["training"][i], config.cnn_converged)
        rises = kept & (own["draw_up"][i] > ROUNDING * own["losses"][i][:, 0])
        total, risen = total + kept.sum(), risen + rises.sum()
        words = f"{rises.sum()} of {kept.sum()} rise" if kept.any() else "none trained"
        label = f"{config.cnn_settings[i].label}: {words}"
        for k, losses in enumerate(own["losses"][i]):
            how = {"linewidth": 1.2, "markersize": 4, "markevery": max(1, len(t) // 6), **look}
            ax.plot(t, losses, "-" if kept[k] else "--", label=None if k else label, **how)
    title = f"SimpleCNN on {pictures.named(config.cnn_dataset)}: {risen} of {total} lines rise"
    plots.label_axes(ax, title=title, x="t", y="training loss (nats)", legend=8)


def _draw_quadratic(ax, arrays):
    """Min Delta over L(0) of gradient descent on a quadratic against the rate, measured and known."""
    own, x = under("alone", arrays), np.array(known_lines.ALONE)
    for step, look in zip((1, 3, 7, 2), pictures.looks(), strict=True):
        label = pictures.counted(step, "step")
        ax.plot(x, own["draw_up"][:, step - 1], linestyle="", markersize=5, label=label, **look)
        ax.plot(x, own["formula"][:, step - 1], color=look["color"], linewidth=1)
    pictures.here(ax, 1)
    title = "A quadratic: monotone up to eta lambda = 1,\nand after an even number of steps"
    y = "min Delta / L(0); lines: formula"
    wedges.plots.label_axes(ax, title=title, x="eta lambda", y=y, legend=8)


if __name__ == "__main__":
    runs.main(__name__)
