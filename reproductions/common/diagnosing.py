"""Which change would mend a setting: labels from test accuracies, trees that guess them from measures.

Of a grid, {column: [settings]} with `width`, `data`, `bs` and `test_acc`, `labelled` says of each
setting which change helps more (the definitions of Zhou et al. 2024, ICML 2024, who released them,
too). `md_tree` is the tree of that paper, `forest` is ours, and `rules` is what `wedges.diagnosis`
carries:

    python -c "from reproductions.common import diagnosing; diagnosing.write_rules()"

grows it anew from the released clean grid and writes wedges/diagnosis.json.

Our own grid of SimpleCNNs stands in reference/released/own_grid.csv.gz: a row for each setting, with
the columns `OWN`. `write_own_grid(run)` makes it of a finished run of reproductions.taxonomy_phases.
"""

import csv
import gzip
import io
import json
import pathlib

import numpy as np

import wedges
from reproductions.bench import store
from reproductions.bench.errors import UsageError
from reproductions.common import released
from reproductions.common.arrays import log_of_mean, mean_of_known

QUESTIONS = {"temperature": "bs_failure", "width": "width_vs_batch", "data": "data_vs_batch"}
YES = {"temperature": "small", "width": "width", "data": "data"}  # "small": the temperature is
MEASURES = ("train_error", "train_loss", "mc", "peak", "cka", "log_trace", "log_top")
OWN = ("noise", "width", "data", "bs", "test_acc", "train_acc", *MEASURES[1:])
OWN_FILE = pathlib.Path(released.__file__).parents[1] / "reference" / "released" / "own_grid.csv.gz"
_MEANS = ("test_acc", "train_acc", "train_loss", "mc", "peak", "cka")
# Zhou et al. search the thresholds in these ranges; ours are on grids in them.
GRIDS = {
    "train_error": np.round(np.linspace(0, 1, 21), 2),
    "peak": np.linspace(-30, 0, 61),
    "log_trace": np.round(np.linspace(4, 9, 51), 1),
}
ORDER = {
    "temperature": ("train_error", "peak", "log_trace"),
    "width": ("train_error", "peak", "peak"),
    "data": ("train_error", "peak", "peak"),
}
# Forests to choose from: splits below the fixed ones, and the share of trees that are free throughout.
KINDS = {"order": (0, 0.0), "order and branches": (2, 0.0), "half free": (2, 0.5), "free": (0, 1.0)}
# Of `rules`; the choice is that of reproductions.taxonomy_diagnosis.
KIND, TREES = "order and branches", 40
EVEN = 1e-9  # points of accuracy that are only rounding


# ---- labels -----------------------------------------------------------------------------------------


def rooms(grid):
    """Points of test accuracy that the best larger width, larger data, smaller batch (hotter) and larger
    batch (colder) gain, the setting itself included: {"rfi_width", ...: [settings]}, at least 0."""
    along = {
        "rfi_width": ("width", 1),
        "rfi_data": ("data", 1),
        "rfi_inc_temp": ("bs", -1),
        "rfi_dec_temp": ("bs", 1),
    }
    keys = [name for name in ("noise", "width", "data", "bs") if name in grid]
    found = {}
    for room, (axis, sign) in along.items():
        same = np.all([grid[k][:, None] == grid[k] for k in keys if k != axis], axis=0)
        further = same & (sign * grid[axis] >= sign * grid[axis][:, None])  # [settings, settings]
        best = np.where(further, grid["test_acc"], -np.inf).max(axis=1)
        found[room] = best - grid["test_acc"]
    return found


def labelled(grid):
    """The released labels, from test accuracies alone: {label: [settings]}; "optimal": both are even."""
    room = rooms(grid)
    hot, cold = room["rfi_inc_temp"], room["rfi_dec_temp"]
    pairs = {
        "bs_failure": ("small", hot, "large", cold),
        "width_vs_batch": ("width", room["rfi_width"], "batch", np.maximum(hot, cold)),
        "data_vs_batch": ("data", room["rfi_data"], "batch", np.maximum(hot, cold)),
    }
    return {
        label: np.where(a > b + EVEN, first, np.where(b > a + EVEN, second, "optimal"))
        for label, (first, a, second, b) in pairs.items()
    }


def measures(grid, chosen=slice(None)):
    """What a tree may ask of the chosen settings: {measure: [settings]}."""
    grid = {**grid, "train_error": 100 - grid["train_acc"]}
    return {name: grid[name][chosen] for name in MEASURES}


def own_grid():
    """Our own grid, {column: [settings]} of `OWN` and the labels; None where it was not measured yet."""
    if not OWN_FILE.exists():
        return None
    rows = released.rows_of(OWN_FILE)
    if missing := [name for name in OWN if not rows or name not in rows[0]]:
        raise UsageError(f"{OWN_FILE} lacks the columns {', '.join(missing)}; measure the grid anew.")
    grid = {name: released.column(name, rows) for name in OWN}
    return grid | labelled(grid)


def write_own_grid(run, path=OWN_FILE):
    """Write our own grid, of the directory that a run of taxonomy_phases over width and batch has left.

    Means over the networks of a setting, and over their pairs. A trace or an eigenvalue that is not
    above 0 has no logarithm, and is left empty.
    """
    run = pathlib.Path(run)
    setting = json.loads((run / "config.json").read_text())["config"]
    arrays = dict(np.load(run / "results.npz"))
    rows = []
    for name in sorted({key.rpartition(" ")[0] for key in arrays if key.endswith(" test_acc")}):
        if name.startswith("released"):
            continue
        noise, examples = map(float, name.split(","))
        loads = setting["width"] if examples == setting["examples"][0] else setting["more_width"]
        mean = {key: mean_of_known(arrays[f"{name} {key}"]) for key in _MEANS}
        mean |= {f"log_{key}": log_of_mean(arrays[f"{name} {key}"]) for key in ("top", "trace")}
        for i, width in enumerate(sorted(loads)):
            for j, bs in enumerate(sorted(setting["batch_size"])):
                row = {"noise": noise, "width": width, "data": examples, "bs": bs}
                row |= {key: values[i, j] for key, values in mean.items()}
                rows.append([f"{row[key]:.9g}" if np.isfinite(row[key]) else "" for key in OWN])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([OWN, *rows])
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(text.getvalue().encode())


def fingerprint():
    """64 hexadecimal digits of the content of all grids that are read here."""
    grids = [released.taxonomy("clean"), released.taxonomy("noise"), own_grid() or {}]
    return store.fingerprint(*(column for grid in grids for column in grid.values()))


# ---- the published tree -----------------------------------------------------------------------------


def md_tree(question, x, yes):
    """Zhou et al.'s tree, fitted: measures x {name: [N]}, answers yes [N] -> a tree for
    `wedges.diagnosis`.

    Their search: one threshold after the other by a bounded scalar minimiser of the training error, from
    the middle of the ranges, once. The error is a step function, so it need not be the best.
    """
    from scipy.optimize import minimize_scalar

    names = ORDER[question]
    middle = {"train_error": 0.5, "peak": -10.0, "log_trace": 7.0}
    thresholds = [middle[name] for name in names]
    for i, name in enumerate(names):

        def wrong(value, i=i):
            tree = ordered(question, [*thresholds[:i], value, *thresholds[i + 1 :]])
            return np.mean((wedges.diagnosis.votes([tree], x) > 0.5) != yes)

        ends = GRIDS[name][0], GRIDS[name][-1]
        thresholds[i] = minimize_scalar(wrong, bounds=ends, method="bounded").x
    return ordered(question, thresholds)


def ordered(question, thresholds, shares=(0.5, 0.5, 0.5), poor=None):
    """The tree of the fixed order with these three thresholds.

    temperature: fitted -> too low; else well connected -> too high; else a large trace -> too low.
    width, data: fitted or not, each with a threshold for the curve -> yes if it is poorly connected.
    `poor`: {leaf: tree} in place of its answer; leaves "fitted poor", "fitted well", "poor", "well".
    """
    poor = poor or {}
    t, s = [float(v) for v in thresholds], shares
    leaf = lambda name, answer: poor.get(name, answer)
    if question == "temperature":
        trace = leaf("poor", ["log_trace", t[2], s[2], 0.0, 1.0])
        return ["train_error", t[0], s[0], 1.0, ["peak", t[1], s[1], trace, 0.0]]
    fitted = ["peak", t[1], s[1], leaf("fitted poor", 1.0), leaf("fitted well", 0.0)]
    return [
        "train_error",
        t[0],
        s[0],
        fitted,
        ["peak", t[2], s[2], leaf("poor", 1.0), leaf("well", 0.0)],
    ]


# ---- ours -------------------------------------------------------------------------------------------


def forest(question, x, yes, kind=KIND, trees=TREES, seed=0):
    """A forest of one of KINDS, each tree from a bootstrap draw: those of the fixed order, then free
    ones.

    In the first, of each draw the three thresholds are the best of all on `GRIDS`, at once; among
    equally good ones one is drawn, so that what the data leave open stays open in the forest. Below,
    where the fixed order has least to say, a free branch of at most `depth` further splits is grown on
    all measures (a random part of them at each split): for the temperature where the curve is high, for
    width and data in all four leaves. A free tree is grown on all measures from the root, of at most
    four splits in a row.
    """
    rng = np.random.default_rng(seed)
    depth, _ = KINDS[kind]
    first = in_order(kind, trees)
    return [_drawn(question, x, yes, depth, i < first, rng) for i in range(trees)]


def _drawn(question, x, yes, depth, in_order, rng):
    """One tree, from a bootstrap draw."""
    draw = rng.integers(len(yes), size=len(yes))
    x, yes = {name: values[draw] for name, values in x.items()}, yes[draw]
    if in_order:
        return _tree(question, x, yes, depth, rng)
    free = _branch(x, yes, np.ones(len(yes), bool), 4, rng)
    return round(float(yes.mean()), 4) if free is None else free


def _tree(question, x, yes, depth, rng):
    best = np.argwhere((score := scores(question, x, yes)) == score.max())
    index = best[rng.integers(len(best))]
    names = ORDER[question]
    t = [GRIDS[name][i] for name, i in zip(names, index, strict=True)]
    fitted, low = x["train_error"] <= t[0], x["peak"] <= t[1]
    if question == "temperature":
        where = {"poor": ~fitted & low}
        shares = [_share(fitted), _share(low, ~fitted), _share(x["log_trace"] <= t[2], where["poor"])]
    else:
        below = x["peak"] <= t[2]
        where = {
            "fitted poor": fitted & low,
            "fitted well": fitted & ~low,
            "poor": ~fitted & below,
            "well": ~fitted & ~below,
        }
        shares = [_share(fitted), _share(low, fitted), _share(below, ~fitted)]
    free = {name: _branch(x, yes, part, depth, rng) for name, part in where.items()}
    return ordered(question, t, shares, {name: tree for name, tree in free.items() if tree is not None})


def scores(question, x, yes):
    """Right minus wrong "yes" answers of the fixed order at all thresholds: [21, 61, 51 or 61]."""
    names = ORDER[question]
    sign = np.where(yes, 1.0, -1.0)
    bins = [np.searchsorted(GRIDS[name], x[name]) for name in names]  # of the first threshold not below
    sizes = [len(GRIDS[name]) + 1 for name in names]
    if question == "temperature":
        counts = np.zeros(sizes)
        np.add.at(counts, tuple(bins), sign)
        fitted = counts.sum(axis=(1, 2)).cumsum()[:-1]
        low = counts.cumsum(axis=1)[:, :-1]  # curve at or below
        sharp = low.sum(axis=2, keepdims=True) - low.cumsum(axis=2)[..., :-1]  # trace above
        return fitted[:, None, None] + sharp.sum(axis=0) - sharp.cumsum(axis=0)[:-1]
    counts = np.zeros(sizes[:2])
    np.add.at(counts, tuple(bins[:2]), sign)
    low = counts.cumsum(axis=1)[:, :-1]
    fitted = low.cumsum(axis=0)[:-1]
    return fitted[:, :, None] + (low.sum(axis=0) - fitted)[:, None, :]


def _branch(x, yes, part, depth, rng):
    """A free tree on the settings of `part`; None where they are few or all the same."""
    from sklearn.tree import DecisionTreeClassifier

    state = int(rng.integers(2**31))
    if depth == 0 or part.sum() < 10 or len(set(yes[part])) == 1:
        return None
    table = np.stack([x[name][part] for name in MEASURES], axis=1)
    how = {"max_depth": depth, "min_samples_leaf": 3, "max_features": 0.6, "random_state": state}
    return _plain(DecisionTreeClassifier(**how).fit(table, yes[part]).tree_, 0)


def _plain(tree, node):
    """scikit-learn's tree below a node in the form of `wedges.diagnosis`."""
    left, right, weight = tree.children_left[node], tree.children_right[node], tree.n_node_samples
    if left < 0:
        return round(float(tree.value[node, 0, 1] / tree.value[node, 0].sum()), 4)
    threshold = float(f"{tree.threshold[node]:.6g}")
    share = round(float(weight[left] / weight[node]), 4)
    name = MEASURES[tree.feature[node]]
    return [name, threshold, share, _plain(tree, left), _plain(tree, right)]


def _share(of, among=None):
    """The share of settings, 0.5 where there are none."""
    of = of if among is None else of[among]
    return round(float(of.mean()), 4) if len(of) else 0.5


# ---- what wedges.diagnosis carries ------------------------------------------------------------------


def decided(grid, question):
    """The settings of a grid of which the question has an answer, [settings] of bool, and where it is
    yes among them."""
    label = grid[QUESTIONS[question]]
    chosen = label != "optimal"
    return chosen, label[chosen] == YES[question]


def unseen_votes(question, grid, chosen, by, kind=KIND, trees=TREES, parts=4):
    """Votes on each of the chosen settings by a forest that saw no setting of its part: the values of
    the column `by` in order, cut into `parts`. [chosen], NaN where the rest had one answer only."""
    yes, x = grid[QUESTIONS[question]][chosen] == YES[question], measures(grid, chosen)
    votes = np.full(len(yes), np.nan)
    for values in np.array_split(np.unique(grid[by][chosen]), parts):
        out = np.isin(grid[by][chosen], values)
        if len(set(yes[~out])) == 2:
            part = lambda rows: {name: v[rows] for name, v in x.items()}
            grown = forest(question, part(~out), yes[~out], kind, trees)
            votes[out] = wedges.diagnosis.votes(grown, part(out))
    return votes


def calibration(votes, yes):
    """(slope, intercept) of `wedges.diagnosis.calibrated` that fit best, to two decimals."""
    from sklearn.linear_model import LogisticRegression

    p = np.clip(votes, 0.01, 0.99)
    fit = LogisticRegression(C=1e6).fit(np.log(p / (1 - p))[:, None], yes)
    return round(float(fit.coef_[0, 0]), 2), round(float(fit.intercept_[0]), 2)


def rules():
    """What stands in wedges/diagnosis.json, grown from the released grids."""
    clean, noise = released.taxonomy("clean"), released.taxonomy("noise")
    questions = {question: _rules(question, clean, noise) for question in QUESTIONS}
    return {
        "source": "Zhou et al. 2024, MD tree (ICML 2024), github.com/YefanZhou/ModelDiagnosis, MIT",
        "trained_on": "ResNet18 on CIFAR-10, clean: 13 widths x 13 batch sizes x 10 amounts of data",
        "held_out": "the same with 10% random labels",
        "a tree": "a share, or [measure, threshold, share of settings at or below, tree there, above]",
        "written_by": "reproductions.common.diagnosing.write_rules()",
        "change": {"accuracy": round(float(mended(questions, noise).mean()), 4), "n": len(noise["bs"])},
        "questions": questions,
    }


def mended(questions, grid):
    """Whether the change that `wedges.diagnosis` names is one that helps most, [settings] of bool."""
    x = measures(grid)
    chance = {
        question: wedges.diagnosis.calibrated(
            wedges.diagnosis.votes(own["trees"], x), *own["calibration"]
        )
        for question, own in questions.items()
    }
    named = wedges.diagnosis.change(chance)
    return helps_most(grid)[named, np.arange(len(named))]


def helps_most(grid):
    """Whether each of `wedges.diagnosis.CHANGES` is one that helps most, [4, settings] of bool."""
    room = rooms(grid)
    gains = np.stack([room[r] for r in ("rfi_dec_temp", "rfi_inc_temp", "rfi_width", "rfi_data")])
    return gains >= gains.max(axis=0) - EVEN


def _rules(question, clean, noise):
    chosen, yes = decided(clean, question)
    unseen = unseen_votes(question, clean, chosen, "width")
    slope, intercept = calibration(unseen, yes)
    trees = forest(question, measures(clean, chosen), yes)
    there, truth = decided(noise, question)
    said = wedges.diagnosis.calibrated(
        wedges.diagnosis.votes(trees, measures(noise, there)), slope, intercept
    )
    right = (said > 0.5) == truth
    return {
        "yes": wedges.diagnosis.FINDINGS[question][1],
        "no": wedges.diagnosis.FINDINGS[question][0],
        "n": int(chosen.sum()),
        "held_out": {"accuracy": round(float(right.mean()), 4), "n": int(there.sum())},
        "calibration": [slope, intercept],
        "thresholds": thresholds(trees),
        "trees": trees,
    }


def in_order(kind=KIND, trees=TREES):
    """How many trees of a forest, its first ones, ask in the fixed order."""
    return trees - round(KINDS[kind][1] * trees)


def fixed(trees):
    """The thresholds of the splits whose order is fixed: training error and curve, [trees, 2 or 3]."""
    rows = []
    for _, error, _, fitted, rest in trees:
        rows.append([error, *([fitted[1]] if isinstance(fitted, list) else []), rest[1]])
    return np.array(rows)


def thresholds(trees):
    """{measure: [lowest, median, highest]} of the fixed splits over the trees."""
    rows = fixed(trees)
    of = {"train_error": rows[:, 0], "peak": rows[:, 1:]}
    return {name: [float(f(v)) for f in (np.min, np.median, np.max)] for name, v in of.items()}


def write_rules(path=wedges.diagnosis.FILE):
    """Grow the rules anew and write them, a line for each tree."""
    pathlib.Path(path).write_text(as_text(rules()))


def as_text(found):
    """Rules as JSON that can be read: a line for each entry, one for each tree."""
    text = json.dumps(found | {"questions": "QUESTIONS"}, indent=1)
    blocks = []
    for question, own in found["questions"].items():
        head = json.dumps({k: v for k, v in own.items() if k != "trees"})[:-1]
        lines = ",\n   ".join(map(json.dumps, own["trees"]))
        blocks.append(f'  "{question}": {head},\n   "trees": [\n   {lines}\n  ]}}')
    return text.replace('"QUESTIONS"', "{\n" + ",\n".join(blocks) + "\n }") + "\n"
