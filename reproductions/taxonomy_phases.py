"""Phases of loss landscapes: local sharpness beside global connectivity, over load and temperature.

Many networks are trained, a few seeds for each width (the load) and each batch size (the temperature: a
small batch is hot). Of each cell we measure, on training data alone, the loss, the Hessian's trace and
largest eigenvalue, the mode connectivity of pairs on a trained Bezier curve, and the similarity (CKA) of
the functions; and the test accuracy, which none of these has seen. Phases I and II have not converged,
III is converged and poorly connected, IV-A and IV-B are well connected, and in IV-B functions are alike.

    python -m reproductions.taxonomy_phases --preset=quick        MNIST-1D, minutes
    python -m reproductions.taxonomy_phases --jobs=2              CIFAR-10, hours; goes on where it was
    python -m reproductions.taxonomy_phases --source=released     the grids of others, seconds
    python -m reproductions.taxonomy_phases --axis=lr             the learning rate as temperature
Source: Yang et al. 2021, arXiv:2107.11228.
"""

import functools
import re

import numpy as np

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import at_least, but, one_of, option
from reproductions.common import cells, pictures, taxonomy, taxonomy_claims
from reproductions.common.arrays import log_of_mean, mean_and_error, mean_of_known, named, stacked, under

# The released slices that are shown: as many examples as ours, and all of them.
RELEASED = {
    "0, 5000": ("clean", 1),
    "0.1, 5000": ("noise", 1),
    "0, 50000": ("clean", 10),
    "0.1, 50000": ("noise", 10),
}


@options.settings
class Config(cells.GridConfig):
    """Settings of the figure; how the presets were chosen is told in reference/taxonomy_phases.md."""

    seed: int = but(paper=3, quick=0)  # 0 was the pilot's
    source: str = option("whose grid", one_of("trained", "released"), paper="trained")
    audits: int = option(
        "cells whose curves are trained 4 x as long, and from a random bend",
        at_least(0),
        paper=6,
        smoke=1,
    )

    @property
    def datasets(self):
        """None is needed for the released grids."""
        return () if self.source == "released" else super().datasets

    @property
    def audited(self):
        """The cells whose curves are audited, [(load, temperature)]: of the first grid all loads but the
        highest, which cost most, at the middle and the coldest temperature."""
        loads, cold = sorted(self.grids[0].loads)[:-1], self.temperatures
        at = dict.fromkeys([cells.middle(cold), cold[-1]])
        return [(load, t) for load in loads for t in at][: self.audits]


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Of each grid "<grid> <name>" [loads, temperatures, seeds or pairs, ...]; the released ones."""
    arrays = grid_arrays()
    if config.source == "released":
        return arrays
    found = cells.measured(config)
    for grid in config.grids:
        shape = len(grid.loads), len(config.temperatures)
        table = stacked([found[cell] for cell in config.cells(grid)])
        arrays |= named(grid.name, {n: a.reshape(*shape, *a.shape[1:]) for n, a in table.items()})
    audited = [config.cell(config.grids[0], *place) for place in config.audited]
    watched = progress.bar("audits", iterable=audited, unit="cell")
    rows = parallel.over(functools.partial(cells.audit, config.curve), watched) if audited else []
    return arrays | (named("audit", stacked(rows)) if rows else {})


def grid_arrays():
    """The released grids that are shown beside ours, "released <grid> <column>" [cells]: what is
    known of all cells."""
    arrays = {}
    for name, which in RELEASED.items():
        columns = taxonomy.released(*which)._asdict().items()
        known = {n: a for n, a in columns if a is not None and np.isfinite(a).all()}
        arrays |= named(f"released {name}", known)
    return arrays


# ---- what the numbers say ---------------------------------------------------------------------------


def own(arrays, config):
    """{name: `taxonomy.Grid`} of what was trained here; none where the grids of others are judged."""
    if config.source == "released":
        return {}
    return {grid.name: as_grid(under(grid.name, arrays), config, grid) for grid in config.grids}


def as_grid(own, config, grid):
    """The `taxonomy.Grid` of arrays [loads, temperatures, seeds or pairs]: means over these."""
    loads, temperatures = grid.loads, np.array(config.temperatures)
    cold = 1 / temperatures if config.axis in ("lr", "weight_decay") else temperatures
    width, bs = np.meshgrid(loads, cold, indexing="ij")
    mean = {n: mean_of_known(own[n]) for n in ("test_acc", "train_acc", "train_loss", "mc", "cka", "l2")}
    logs = {f"log_{n}": log_of_mean(own[n]) for n in ("top", "trace")}
    errors = {
        "mc_error": np.apply_along_axis(pairs_error, -1, own["mc"], config.seeds),
        "acc_error": mean_and_error(own["test_acc"])[1],
    }
    columns = {"width": width, "bs": bs, **mean, **logs, **errors}
    return taxonomy.Grid(**{n: np.ravel(column).astype(float) for n, column in columns.items()})


def pairs_error(values, seeds):
    """The standard error of the mean over a ring of pairs [pairs] of so many networks."""
    matrix = np.full((seeds, seeds), np.nan)
    for value, (i, j) in zip(values, cells.ring(seeds), strict=True):
        matrix[i, j] = matrix[j, i] = value
    return wedges.phases.jackknife(matrix)[1]


def released(arrays):
    """{name: `taxonomy.Grid`} of the released grids that are shown; NaN is what they do not have."""
    grids = {}
    for name in RELEASED:
        columns = under(f"released {name}", arrays)
        missing = dict.fromkeys(taxonomy.Grid._fields, np.full(len(columns["width"]), np.nan))
        grids[name] = taxonomy.Grid(**{**missing, **taxonomy.Grid._field_defaults, **columns})
    return grids


def first_grids(config):
    """The names of the grids of the first amount of data, one for each level of noise."""
    return [grid.name for grid in config.grids if grid.examples == config.grids[0].examples]


def measured(arrays, config):
    """{id: number} of all that R1 to R14 say of two grids, of clean and of noisy labels, and of those of
    more data; {} without the two."""
    names = first_grids(config)
    two = len(config.noise) == 2 and min(config.noise) == 0
    if config.source == "released" or config.axis == "data" or not two:
        return {}
    grids = own(arrays, config)
    more = [grids[grid.name] for grid in config.grids if grid.name not in names]
    return taxonomy_claims.judge_grids(*(grids[name] for name in names), *more)


# What only a whole grid can say: rank correlations, and shares of its widths or cells.
OF_A_WHOLE = r"R(2|3|4|6|9|10)\..*|R1\..*\.cka"


def judged(arrays, config):
    """{claim: number}: R1 to R14 of our grids, or C1 to C13 of the released ones.

    None on a grid of fewer widths or temperatures than the bounds were made for: of what a few cells
    cannot say, and of what none of its cells can."""
    if config.source == "released":
        return taxonomy_claims.agreement(taxonomy_claims.judge_released())
    numbers, _ = taxonomy_claims.claimed(measured(arrays, config), taxonomy_claims.STATEMENTS)
    if len(config.width) >= 4 and len(config.temperatures) >= 5:
        return numbers
    known = lambda id, value: np.isfinite(value) and not re.fullmatch(OF_A_WHOLE, id)
    return {id: value if known(id, value) else None for id, value in numbers.items()}


def claims(arrays, config):
    """Those of the paper about grids of networks, in words; what is only reported has no bound."""
    numbers = judged(arrays, config)
    claim = Verdict("taxonomy", taxonomy.SOURCE, numbers)
    said = taxonomy_claims.RELEASED if config.source == "released" else taxonomy_claims.STATEMENTS
    for s in said:
        if s.id in numbers:
            claim(s.id, worded(s.statement, config), s.relation, s.bound, source=s.source)
    return claim.claims


def worded(statement, config):
    """A statement about batch sizes, of the temperature that stands in their place."""
    if config.axis not in TEMPERATURE:
        return statement
    return statement.replace("batch size", f"1 / {TEMPERATURE[config.axis]}").replace(
        "batch", "temperature"
    )


def summary(arrays, config):
    """Means over temperatures at each load of each grid: what the reference guards."""
    if config.source == "released":
        return {id: np.array([value]) for id, value in taxonomy_claims.judge_released().items()}
    numbers = {}
    for grid in config.grids:
        found = under(grid.name, arrays)
        found["log_trace"] = np.log(np.maximum(found["trace"], 1e-30))
        for i, load in enumerate(grid.loads):
            for name in ("test_acc", "train_acc", "mc", "cka", "log_trace"):
                numbers[f"{grid.name}, load {load:g}: {name}"] = found[name][i].mean(axis=0)
    return numbers


# ---- the pictures -----------------------------------------------------------------------------------

PANELS = {
    # measure: (title, scale's label, its ends, colours)
    "mc": ("mode connectivity", "mc, points of training error", (-30, 30), "RdBu"),
    "cka": ("similarity of functions", "CKA", (0, 1), "viridis"),
    "test_acc": ("test accuracy", "%", (None, None), "viridis"),
}
SUPPORT = {
    "train_loss": ("training loss", "log10 of nats", (-3, 0.5), "viridis"),
    "log_trace": ("sharpness", "ln of the Hessian's trace", (1, 8), "viridis"),
}
TEMPERATURE = {"lr": "learning rate", "weight_decay": "weight decay"}


def plot(arrays, config):
    """Phase diagrams of our first grid above, and of a released one of as many examples below."""
    return diagrams(arrays, config, 0)


def more_pictures(arrays, config):
    """{name: picture}: what phases say that sharpness alone does not; loss and sharpness; the grid with
    noisy labels."""
    found = {"comparisons": comparisons(arrays, config)}
    found["support"] = diagrams(arrays, config, 0, SUPPORT)
    if len(config.noise) > 1 or config.source == "released":
        found["noise"] = diagrams(arrays, config, -1)
    return found


def shown_grids(arrays, config, level):
    """[(label, grid)]: the rows of a diagram at one level of noise; and that level."""
    rows, others = [], released(arrays)
    for name in first_grids(config)[level:][:1] if config.source == "trained" else []:
        model, data = pictures.named(config.model), pictures.named(config.dataset)
        label = f"ours: {model},\n{data}, {config.examples[0]:,} examples"
        rows.append((label, own(arrays, config)[name]))
    noise = (0.0, 0.1)[level] if config.source == "released" else sorted(config.noise)[level]
    ending = ("5000", "50000") if config.source == "released" else ("5000",)
    for name in [f"{'0.1' if noise else '0'}, {n}" for n in ending]:
        label = f"released: ResNet18,\nCIFAR-10, {int(name.split()[1]):,} examples"
        rows.append((label, others[name]))
    return rows, noise


def diagrams(arrays, config, level, measures=PANELS):
    """Phase diagrams at one level of noise, a row for each grid, a column for each measure."""
    plots, (rows, noise) = wedges.plots, shown_grids(arrays, config, level)
    best = [phase_of_best(grid) for _, grid in rows]
    best = [phase if phase == "no phase" else f"phase {phase}" for phase in best]
    where = f"{best[0]} above, {best[1]} below" if len(best) > 1 else best[0]
    if len(best) > 1 and best[0] == best[1]:
        where = f"{best[0]} above and below"
    t = wedges.phases.Thresholds()
    title = f"The best networks are in {where}\nPhases over load and temperature, {noise:.0%} of the "
    title += f"labels drawn anew. Converged (III, IV): error <= {t.error:g}%; barrier (I, III): mc < "
    title += f"{t.poor:g}; IV-B: CKA in the upper half of IV"
    figure, axes = plots.grid(len(rows), len(measures), title=title, panel=(4.3, 3.4))
    for row, (label, grid) in zip(axes, rows, strict=True):
        ours = label.startswith("ours")
        for ax, name in zip(row, measures, strict=True):
            heading, unit, (low, high), colors = measures[name]
            values = np.log10(grid.train_loss) if name == "train_loss" else getattr(grid, name)
            widths, cold, (values, names) = tables(grid, values, taxonomy.phases(grid))
            how = {"low": low, "high": high, "colors": colors, "label": unit}
            beside = config.temperatures if ours else [f"{bs:g}" for bs in cold]
            plots.phases(ax, values, names, rows=beside, columns=[f"{w:g}" for w in widths], **how)
            load = "examples" if ours and config.axis == "data" else "width"
            plots.label_axes(ax, title=heading, x=load, grid=False)
        hot = TEMPERATURE.get(config.axis, "batch size") if ours else "batch size"
        row[0].set_ylabel(f"{label}\n{hot}, hot to cold", fontsize=8.5)
    return figure


def phase_of_best(grid):
    """The phase of the cell of the highest test accuracy, in words."""
    best = taxonomy.best(grid)
    return (best is not None and taxonomy.phases(grid)[best]) or "no phase"


def tables(grid, *columns):
    """The widths and temperatures of a `taxonomy.Grid`, and columns of it [cells] as [T, W] tables."""
    widths, cold = np.unique(grid.width), np.unique(grid.bs)
    at = np.searchsorted(cold, grid.bs), np.searchsorted(widths, grid.width)
    found = []
    for column in columns:
        text = column.dtype.kind == "U"
        table = np.full((len(cold), len(widths)), "" if text else np.nan, dtype=column.dtype)
        table[at] = column
        found.append(table)
    return widths, cold, found


def comparisons(arrays, config):
    """At equal sharpness; ranks within widths; connectivity along width; curves' training."""
    plots, grids = wedges.plots, own(arrays, config)
    shown = {noise_words(n): grids[n] for n in first_grids(config)} if grids else {}
    others = {n: g for n, g in released(arrays).items() if n.endswith(" 5000")}
    shown |= {f"released, {noise_words(n)}": g for n, g in others.items()}
    pairs = {
        n: taxonomy.matched_sharpness(g, within=0.3, poor=-3.0, well=-1.0) for n, g in shown.items()
    }
    first = next(n for n, found in pairs.items() if len(found.gain) >= 5)
    title = f"At equal sharpness connected networks are better by {pairs[first].mean:.1f} points "
    title += f"({pairs[first].share:.0%} of {len(pairs[first].gain)} pairs; {first})"
    figure, axes = plots.grid(2, 2, title=title, panel=(5.4, 3.7))
    equal, ranked, wide, last = axes.flat
    draw_sharpness(equal, first, shown[first])
    draw_ranks(ranked, shown)
    draw_widths(wide, shown)
    if "audit mc" in arrays:
        draw_audits(last, arrays["audit mc"], config.audited)
    else:
        draw_worth(last, shown)
    return figure


def draw_sharpness(ax, name, grid):
    """Accuracy against sharpness of converged cells, with and without a barrier."""
    barrier, connected = pictures.looks()[1], pictures.looks()[0]
    for words, which, look in (
        ("barrier, mc < -3", grid.mc < -3, barrier),
        ("connected, mc > -1", grid.mc > -1, connected),
    ):
        part = grid.only(taxonomy.converged(grid) & which)
        ax.plot(part.log_trace, part.test_acc, linestyle="", label=words, **look)
    how = {"x": "ln of the Hessian's trace", "y": "test accuracy (%)", "legend": 8}
    wedges.plots.label_axes(ax, title=f"Converged networks, {name}", **how)


def draw_ranks(ax, shown):
    """Rank correlations with accuracy within widths, of the grids that have them."""
    words = {
        "cka": "CKA",
        "|mc|": "|mc|",
        "log_trace": "ln trace",
        "log_top": "ln largest\neigenvalue",
        "train_loss": "training\nloss",
    }
    for i, ((name, grid), look) in enumerate(zip(shown.items(), pictures.looks(), strict=False)):
        within = taxonomy.ranks_within_widths(grid)
        rho = np.array([within[n] for n in words])
        if np.isfinite(rho).any():
            ax.plot(np.arange(len(rho)) + 0.12 * (i - 1.5), rho, linestyle="", label=name, **look)
    pictures.level(ax, 0)
    how = {"ticks": dict(enumerate(words.values())), "y": "Spearman's rho", "legend": 8}
    wedges.plots.label_axes(ax, title="Rank correlation with test accuracy, mean over widths", **how)


def draw_widths(ax, shown):
    """mc of the converged networks against width, at the coldest temperature that has two."""
    for (name, grid), look in zip(shown.items(), pictures.looks(), strict=False):
        found = taxonomy.connection(grid)
        if len(found.width):
            ax.plot(found.width / found.width[0], found.mc, label=name, **look)
    pictures.level(ax, wedges.phases.Thresholds().poor, "barrier below this")
    how = {"x": "width over the narrowest that converged", "y": "mc, points of training error"}
    wedges.plots.label_axes(ax, title="Converged networks when cold", log="x", legend=8, **how)


def draw_audits(ax, mc, places):
    """mc of curves that were trained longer, and from elsewhere, [cells, 3]; where the cells are."""
    kinds = {0: "as measured", 1: "4 x the steps", 2: "4 x, from a\nrandom bend"}
    for k, (row, (load, t)) in enumerate(zip(mc, places, strict=False)):
        looks, style = pictures.looks(), ("-", "--", ":")
        how = {**looks[k % len(looks)], "linestyle": style[k // len(looks) % len(style)]}
        ax.plot(list(kinds), row, label=f"load {load:g}, temperature {t:g}", **how)
    moved = np.abs(mc - mc[:, :1]).max()
    title = f"Curves trained longer, and from elsewhere: mc moves by up to {moved:.1f}"
    how = {"ticks": kinds, "y": "mc, points of training error", "legend": 8}
    wedges.plots.label_axes(ax, title=title, **how)


def draw_worth(ax, shown):
    """What training to zero loss is worth at each width, against connectivity."""
    for (name, grid), look in zip(shown.items(), pictures.looks(), strict=False):
        worth = taxonomy.contrast(grid)
        ax.plot(worth.mc, worth.gain, linestyle="", label=name, **look)
    pictures.level(ax, 0)
    how = {"x": "mc of the best converged cell of a width, points", "legend": 8}
    how["y"] = "accuracy, points: best converged\nminus best other"
    wedges.plots.label_axes(ax, title="What training to zero loss is worth at each width", **how)


def noise_words(name):
    """A grid's name in words."""
    return f"{float(name.split(',')[0]):.0%} noise"


if __name__ == "__main__":
    runs.main(__name__)
