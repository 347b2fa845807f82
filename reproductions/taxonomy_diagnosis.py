"""What would mend a model, guessed from its landscape without test data?

Zhou et al. 2024 released 1,690 settings of ResNet18 with clean labels and 1,690 with 10% random ones,
and for each which change helps more. Q1: is the temperature (a small batch is hot) too high or too low?
Q2: would a larger width help more than a better temperature? Trees learn from few clean settings, in
five cases, and answer on all noisy ones. Beside their tree, built anew, and ours stands what the sizes
alone know, and what validation data know. Nothing is trained but trees; nothing was chosen on noisy
settings.

    python -m reproductions.taxonomy_diagnosis --preset=smoke     seconds
    python -m reproductions.taxonomy_diagnosis                    a minute
Source: Zhou et al. 2024, "MD tree" (ICML 2024); released labels and measures of that paper.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.bench import options, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Even, Ints, at_least, option
from reproductions.common import diagnosing, pictures, released


@options.settings
class Config(options.Config):
    draws: Ints = option(
        "seeds of the draws; the release's own", at_least(0), paper=(42, 90, 38, 18, 72)
    )
    trees: int = option("trees of a forest of ours", Even(2), paper=40, smoke=6)

    def inputs(self):
        return {"grids": diagnosing.fingerprint()}


# ---- measuring --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """What is learned from, and whether each draw has its own settings; published percentages: MD tree,
    hyperparameters, validation metrics."""

    question: str
    learned_from: str
    random: bool
    published: tuple


CASES = (
    Case("temperature", "96 random settings", True, (87.70, 49.56, 72.82)),
    Case("temperature", "at most 5,000 images", False, (75.89, 64.74, 51.73)),
    Case("temperature", "at most 0.011 M parameters", False, (82.56, 60.12, 67.55)),
    Case("width", "167 random settings", True, (74.10, 53.54, 55.79)),
    Case("width", "at most 5,000 images", False, (78.16, 53.54, 63.61)),
)
METHODS = ("majority", "published sizes", "sizes", "sizes and batch", "validation", "free", "md", "ours")


def measure(config):
    """Percentages of right answers on noisy settings, one of METHODS [cases, draws], and what explains
    them: "brier" [cases, kinds of forest] on clean settings, "share" of "width" [releases, widths]."""
    clean, noise = released.taxonomy("clean"), released.taxonomy("noise")
    places = [(i, j) for i in range(len(CASES)) for j in range(len(config.draws))]
    shape = (len(CASES), len(config.draws))
    brier = np.zeros((*shape, len(KINDS)))
    for i, j in progress.bar("choosing", iterable=places, unit="draw"):
        again = j and not CASES[i].random
        brier[i, j] = brier[i, 0] if again else _validated(config, i, config.draws[j], clean)
    kind = KINDS[np.argmin(brier.mean(axis=(0, 1)))]
    found = {name: np.zeros(shape) for name in (*METHODS, "n", "tested")}
    for i, j in progress.bar("answering", iterable=places, unit="draw"):
        for name, value in _answered(config, kind, i, config.draws[j], clean, noise).items():
            found[name][i, j] = value
    found |= {"brier": brier.mean(axis=1), "chosen": np.array(KINDS.index(kind))}
    return found | _of_the_width(clean, noise) | _whole(config, clean, noise)


def drawn(number, seed, grid):
    """Which settings CASES[number] learns from, [settings] of bool, with the release's own draws."""
    chosen, _ = diagnosing.decided(grid, CASES[number].question)
    random = np.random.RandomState(seed)  # as the published draws
    data, widths = np.unique(grid["data"]), np.unique(grid["width"])
    if number == 0:  # all batch sizes of 8 pairs of data and width
        pairs = np.array([(d, w) for d in data for w in widths])
        pairs = pairs[random.choice(len(pairs), 8, replace=False)]
        one = (grid["data"][:, None] == pairs[:, 0]) & (grid["width"][:, None] == pairs[:, 1])
        return chosen & one.any(axis=1)
    if number == 2:
        return chosen & (grid["width"] <= 2)
    if number == 3:  # all settings of one amount of data
        return chosen & np.isin(grid["data"], random.choice(data, 1, replace=False))
    return chosen & (grid["data"] <= 1)


def _learned(number, seed, clean):
    """Question, settings, measures and answers that a case learns from."""
    question, chosen = CASES[number].question, drawn(number, seed, clean)
    yes = clean[diagnosing.QUESTIONS[question]][chosen] == diagnosing.YES[question]
    return question, chosen, diagnosing.measures(clean, chosen), yes


def _validated(config, number, seed, clean):
    """Brier's score of each of KINDS on settings of the case itself that it did not see: [kinds].

    What a case leaves out, validation leaves out, too: widths, or data where there is one width.
    """
    question, chosen, _, yes = _learned(number, seed, clean)
    by = "data" if number == 2 else "width"
    votes = [diagnosing.unseen_votes(question, clean, chosen, by, kind, config.trees) for kind in KINDS]
    return [np.nanmean((v - yes) ** 2) for v in votes]


def _answered(config, kind, number, seed, clean, noise):
    """One draw on the noisy settings: {method: percent}, and numbers of settings."""
    question, chosen, x, yes = _learned(number, seed, clean)
    there, truth = diagnosing.decided(noise, question)
    z = diagnosing.measures(noise, there)
    md = diagnosing.md_tree(question, x, yes)
    ours = diagnosing.forest(question, x, yes, kind, config.trees, seed)
    found = {
        "majority": _percent(np.full(len(truth), yes.mean()), truth),
        "md": _percent(wedges.diagnosis.votes([md], z), truth),
        "ours": _percent(wedges.diagnosis.votes(ours, z), truth),
        "n": chosen.sum(),
        "tested": there.sum(),
    }
    asked = {
        "published sizes": SIZES if question == "temperature" else ("data",),
        "sizes": SIZES,
        "sizes and batch": (*SIZES, "bs"),
        "validation": ("train_acc", "train_loss", "test_loss", "test_acc"),
        "free": tuple(diagnosing.MEASURES[1:]) + ("train_acc",),
    }
    for name, columns in asked.items():
        learner = _forest(config.trees, seed) if name == "free" else _tree(seed)
        table = lambda grid, rows, columns=columns: np.stack([grid[c][rows] for c in columns], axis=1)
        guess = learner.fit(table(clean, chosen), yes).predict(table(noise, there))
        found[name] = _percent(guess, truth)
    return found


KINDS = tuple(diagnosing.KINDS)
SIZES = ("data", "parameters")


def _tree(seed):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=4, random_state=seed)


def _forest(trees, seed):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, max_depth=4, min_samples_leaf=3, random_state=seed)


def _percent(votes, truth):
    return 100 * np.mean((np.asarray(votes) > 0.5) == truth)


def _of_the_width(clean, noise):
    """Of the settings of each width, the share that a larger width helps more, [releases, widths]; and
    how often one limit on the width, the best on all clean settings, is right on noisy ones."""
    widths, shares, limit = np.unique(clean["width"]), [], None
    for grid in (clean, noise):
        chosen, yes = diagnosing.decided(grid, "width")
        own = grid["width"][chosen]
        shares.append([yes[own == w].mean() for w in widths])
        right = [100 * np.mean((own <= w) == yes) for w in widths]
        limit = int(np.argmax(right)) if limit is None else limit
    return {
        "widths": widths,
        "share": np.array(shares),
        "limit": np.array(widths[limit]),
        "limit right": np.array(right[limit]),
    }


QUESTIONS = tuple(diagnosing.QUESTIONS)
BINS = np.linspace(0.5, 1, 6)


def _whole(config, clean, noise):
    """Forests that learn from all clean settings, as those of `wedges.diagnosis`, tested on noisy ones
    ("whole") and on our own grid where there is one ("own").

    "whole" [questions, 4]: percent right, that of the majority, n, that of the answer which is the most
    frequent on the tested settings themselves. "whole change" [3]: percent of settings in which the
    change named is the best of four, that of the most frequent best one, n.
    "reliability" [questions, 3, bins]; "<question> thresholds" [trees, 2 or 3].
    """
    own, found = diagnosing.own_grid(), {"whole": [], "own": [], "reliability": []}
    grown = {}
    for question in QUESTIONS:
        chosen, yes = diagnosing.decided(clean, question)
        kind, own_trees = diagnosing.KIND, config.trees
        trees = diagnosing.forest(question, diagnosing.measures(clean, chosen), yes, kind, own_trees)
        unseen = diagnosing.unseen_votes(question, clean, chosen, "width", kind, own_trees)
        how = diagnosing.calibration(unseen, yes)
        found["whole"].append((judged_on := answers(noise, question, trees, how, yes))["row"])
        found["reliability"].append(by_confidence(judged_on["confidence"], judged_on["right"]))
        grown[question] = {"trees": trees, "calibration": how}
        found[f"{question} thresholds"] = diagnosing.fixed(trees[: diagnosing.in_order(kind, own_trees)])
        if own is not None:
            found["own"].append(answers(own, question, trees, how, yes)["row"])
    for grid, name in ((noise, "whole"), (own, "own")):
        if grid is not None:
            right = diagnosing.mended(grown, grid)
            usual = diagnosing.helps_most(clean).mean(axis=1).argmax()
            always = diagnosing.helps_most(grid)[usual]
            found[f"{name} change"] = [100 * right.mean(), 100 * always.mean(), len(right)]
    return {name: np.array(rows) for name, rows in found.items() if len(rows)}


def answers(grid, question, trees, how, learned):
    """Calibrated answers on a grid: "row" (percent right; percent of the answer that is the majority
    among the `learned`; n; percent of the most frequent answer), "confidence" and "right" [settings]."""
    there, truth = diagnosing.decided(grid, question)
    share = wedges.diagnosis.votes(trees, diagnosing.measures(grid, there))
    probability = wedges.diagnosis.calibrated(share, *how)
    right = (probability > 0.5) == truth
    usual, own = (_percent(np.full(len(truth), yes.mean()), truth) for yes in (learned, truth))
    row = (100 * right.mean(), usual, len(truth), own)
    return {"row": row, "confidence": np.maximum(probability, 1 - probability), "right": right}


def by_confidence(confidence, right):
    """Mean confidence, share of right answers and n in each of BINS: [3, bins]; 0 in an empty one."""
    place = np.clip(np.digitize(confidence, BINS) - 1, 0, len(BINS) - 2)
    n = np.bincount(place, minlength=len(BINS) - 1)
    mean = lambda values: np.bincount(place, values, len(BINS) - 1) / np.maximum(n, 1)
    return np.stack([mean(confidence), mean(right), n])


# ---- what the numbers say ---------------------------------------------------------------------------

PUBLISHED = np.array([case.published[0] for case in CASES])


def gains(arrays):
    """By how many points ours is better than the MD tree, the published or the rebuilt, whichever is
    better: [cases]."""
    mark = np.maximum(PUBLISHED, arrays["md"].mean(axis=1))
    return arrays["ours"].mean(axis=1) - mark


def judged(arrays, config):
    """{claim: number}; those of our own grid are None where it was not measured."""
    gain, found = gains(arrays), {}
    for i, published in enumerate(PUBLISHED):
        found[f"mark.{i + 1}"] = abs(arrays["md"][i].mean() - published)
        found[f"ours.{i + 1}"] = gain[i]
    found["better"] = (gain > 0).sum()
    for i in (3, 4):
        found[f"sizes.{i + 1}"] = arrays["sizes"][i].mean() - PUBLISHED[i]
    own = arrays.get("own")
    for i, question in enumerate(QUESTIONS):
        found[f"transfer.{question}"] = None if own is None else own[i, 0] - own[i, 1]
        found[f"transfer.{question}.own"] = None if own is None else own[i, 0] - own[i, 3]
    return found


JUDGED_FROM = "quick"  # of the same settings as paper


def claims(arrays, config):
    """The published tree is rebuilt; ours is better; the size nearly answers Q2."""
    claim = Verdict("taxonomy.diagnosis", "Zhou et al. 2024, MD tree", judged(arrays, config))
    points = "percentage points of right answers"
    for i, case in enumerate(CASES, 1):
        own = claim.about(f"*.{i}", f"{case.question}, {case.learned_from}")
        own("mark", f"MD tree rebuilt against published, {points}", "<=", 2.0)
        own("ours", f"our forest above the MD tree, {points}", ">=", 0.0, source="ours")
    claim(
        "better", "cases of five in which our forest is better than the MD tree", ">=", 3, source="ours"
    )
    for i in (3, 4):
        about = claim.about(f"*.{i + 1}", f"width, {CASES[i].learned_from}")
        about(
            "sizes", f"a tree that knows data and parameters above MD, {points}", ">", 0.0, source="ours"
        )
    for question in QUESTIONS:
        words = f"{question}, our own grid: our forest above {{}}, {points}"
        claim(f"transfer.{question}", words.format("the majority"), ">", 0.0, source="ours")
        own = words.format("the most frequent answer there")
        claim(f"transfer.{question}.own", own, ">", 0.0, source="ours")
    return claim.claims


def summary(arrays, config):
    """{"case 1: ours": percentages [draws], ...}: what the reference guards."""
    found = {f"case {i + 1}: {m}": arrays[m][i] for m in METHODS for i in range(len(CASES))}
    for i, question in enumerate(QUESTIONS):
        found[f"whole: {question}"] = arrays["whole"][i, :1]
        if "own" in arrays:
            found[f"own: {question}"] = arrays["own"][i, :1]
            found[f"own: {question}, most frequent answer"] = arrays["own"][i, 3:]
    found |= {f"Brier: {kind}": arrays["brier"][:, k] for k, kind in enumerate(KINDS)}
    found["whole: change"] = arrays["whole change"][:1]
    return found | {"one limit on the width": arrays["limit right"].reshape(1)}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Accuracies of the cases, baselines, the fixed order, the width, confidence, other grids."""
    plots = wedges.plots
    gain = gains(arrays)
    better = pictures.counted(int((gain > 0).sum()), "case")
    title = f"A forest that keeps the MD tree's order beats it in {better} of {len(CASES)}\n"
    title += "Learned on clean settings, tested on those with 10% random labels; "
    title += f"{len(config.draws)} draws. Q1: is the temperature too low or too high? Q2: is a larger "
    title += "width worth more? Few images: at most 5,000; few weights: at most 0.011 million"
    figure, (marks, base, tree, width, sure, other) = pictures.panels(6, title=title, panel=(4.3, 2.8))
    shown = (("ours", "ours", plots.BLUE, "o", 0.2), ("md", "MD tree rebuilt", plots.ORANGE, "s", 0))
    place = np.arange(len(CASES))[::-1]
    marks.plot(PUBLISHED, place, "D", color="black", fillstyle="none", markersize=9, label="published")
    _dots(marks, arrays, (*shown, ("free", "random forest", plots.GREY, "^", -0.2)))
    behind = _worst_without_order(arrays)
    without = arrays["free"][behind].mean()
    title = f"(a) The order is worth most in case {behind + 1}: without it {without:.0f}%"
    plots.label_axes(marks, title=title, x="right answers (%)", legend=8)
    knows = (
        ("sizes and batch", "sizes and batch size", plots.GREEN, "s", 0.25),
        ("sizes", "sizes: data, parameters", plots.BLUE, "o", 0.08),
        ("validation", "validation metrics", plots.ORANGE, "^", -0.08),
        ("majority", "majority", plots.GREY, "D", -0.25),
    )
    _dots(base, arrays, knows)
    title = "(b) What is known without the landscape"
    plots.label_axes(base, title=title, x="right answers (%)", legend=8)
    _drawn_tree(tree, arrays["temperature thresholds"])
    _by_width(width, arrays)
    _confidence(sure, arrays)
    _elsewhere(other, arrays)
    return figure


def _worst_without_order(arrays):
    """The case in which a free forest is farthest behind ours."""
    return int((arrays["ours"].mean(axis=1) - arrays["free"].mean(axis=1)).argmax())


def _dots(ax, arrays, methods):
    place = np.arange(len(CASES))[::-1]
    for name, label, color, marker, shift in methods:
        mean, spread = arrays[name].mean(axis=1), arrays[name].std(axis=1)
        style = {"fmt": marker, "color": color, "label": label, "markersize": 5, "capsize": 2}
        ax.errorbar(mean, place + shift, xerr=spread, **style)
    asked = {"temperature": "Q1", "width": "Q2"}
    few = {"at most 5,000 images": "few images", "at most 0.011 M parameters": "few weights"}
    said = [few.get(c.learned_from, c.learned_from.replace(" random", "")) for c in CASES]
    names = [
        f"{i}: {asked[c.question]},\n{of}" for i, (c, of) in enumerate(zip(CASES, said, strict=True), 1)
    ]
    ax.set_yticks(place, names)
    ax.set_ylim(-0.6, len(CASES) - 0.4)
    ax.set_xlim(30, 100)


def _drawn_tree(ax, thresholds):
    """The order of Q1 as boxes, with the median and the range of the trees' thresholds."""
    ax.set_axis_off()
    ax.set(xlim=(-0.02, 1.06), ylim=(0, 1))
    wedges.plots.label_axes(ax, title="(c) Q1: two fixed questions, then a free branch", grid=False)
    limit = lambda v: f"{np.median(v):.2g}% ({v.min():.2g} to {v.max():.2g})"
    error, peak = thresholds[:, 0], -thresholds[:, 1]
    boxes = {
        (0.4, 0.9): f"training error at most\n{limit(error)}?",
        (0.12, 0.55): "temperature\ntoo low",
        (0.68, 0.55): f"highest error on the curve\nat least {limit(peak)}?",
        (0.4, 0.12): "up to 2 splits\non any measure",
        (0.88, 0.12): "temperature\ntoo high",
    }
    joined = (((0.4, 0.9), (0.12, 0.55), "yes"), ((0.4, 0.9), (0.68, 0.55), "no"))
    joined += (((0.68, 0.55), (0.4, 0.12), "yes"), ((0.68, 0.55), (0.88, 0.12), "no"))
    for (x0, y0), (x1, y1), word in joined:
        ax.plot([x0, x1], [y0 - 0.07, y1 + 0.07], color=wedges.plots.GREY, linewidth=1)
        ax.text(
            (x0 + x1) / 2,
            (y0 + y1) / 2,
            word,
            fontsize=8.5,
            ha="center",
            va="center",
            backgroundcolor="white",
        )
    for (x, y), text in boxes.items():
        frame = {"boxstyle": "round", "facecolor": "white", "edgecolor": wedges.plots.BLUE}
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=frame)


def _by_width(ax, arrays):
    plots, at = wedges.plots, np.arange(len(arrays["widths"]))
    for share, color, label in zip(
        arrays["share"], (plots.BLUE, plots.ORANGE), ("clean labels", "10% random labels"), strict=True
    ):
        marker = "o" if color == plots.BLUE else "s"
        ax.plot(at, 100 * share, marker, linestyle="-", color=color, label=label, markersize=4)
    limit = np.searchsorted(arrays["widths"], arrays["limit"])
    pictures.here(ax, limit + 0.5)
    words = f"one limit here:\n{arrays['limit right']:.0f}% right"
    ax.text(limit + 0.3, 3, words, fontsize=8.5, ha="right")
    title = "(d) Q2 against the width alone"
    if arrays["limit right"] >= 75:
        title = "(d) Q2 is nearly answered by the width alone"
    names = {i: f"{w:g}" for i, w in enumerate(arrays["widths"])}
    how = {"x": "width (channels)", "y": 'settings with "width" (%)', "ticks": names, "legend": 8}
    plots.label_axes(ax, title=title, **how)


def _confidence(ax, arrays):
    for (said, right, n), question, look in zip(
        arrays["reliability"], QUESTIONS, pictures.looks(), strict=False
    ):
        some = n > 0
        ax.plot(100 * said[some], 100 * right[some], label=question, **look)
    ax.plot([50, 100], [50, 100], ":", color="black", label="as said")
    title = "(e) How sure it is, and how often right"
    wedges.plots.label_axes(ax, title=title, x="mean confidence (%)", y="right answers (%)", legend=8)


def _elsewhere(ax, arrays):
    """Percent right, on noisy settings and on our own grid, and that of the answers that are the most
    frequent on all clean settings and there."""
    plots, grids = wedges.plots, [("10% random labels", arrays["whole"])]
    title = "(f) Grown on all clean settings, tested elsewhere"
    if "own" in arrays:
        grids.append(("our SimpleCNNs", arrays["own"]))
    at = np.arange(len(QUESTIONS))
    for i, (label, rows) in enumerate(grids):
        x, color = at + 0.4 * i - 0.2 * (len(grids) - 1), (plots.BLUE, plots.GREEN)[i]
        ax.bar(x, rows[:, 0], 0.35, color=color, label=f"{label} (n = {int(rows[0, 2])})")
        for j, place in enumerate(x):
            ax.text(place, rows[j, 0] + 1, f"{rows[j, 0]:.0f}", ha="center", fontsize=8)
        again = lambda words, i=i: words if i == 0 else None
        ax.plot(x, rows[:, 1], "_", color="black", markersize=22, label=again("majority, clean"))
        how = {"color": plots.ORANGE, "markersize": 5, "label": again("most frequent answer there")}
        ax.plot(x, rows[:, 3], "D", **how)
    if "own" in arrays:
        better = (arrays["own"][:, 0] > arrays["own"][:, 3]).sum()
        title = "(f) On our SimpleCNNs better than one answer for all in "
        title += f"{better} of {len(QUESTIONS)} questions"
    ax.set(ylim=(0, 110), yticks=range(0, 101, 20))
    names = dict(enumerate(QUESTIONS))
    plots.label_axes(ax, title=title, y="right answers (%)", ticks=names, legend=8)


if __name__ == "__main__":
    runs.main(__name__)
