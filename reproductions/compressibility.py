"""Compressible weights: what a penalty on |w|_1 / |w|_2 makes of a network, beside L1 and others.

C(w) = |w|_1 / |w|_2 of each kernel is small where few weights of equal magnitude are left. A fully
connected network, inputs-100-50-classes, is trained under it, under L1, L2, the square C^2 / D and C of
all kernels as one vector, each at several strengths, by SGD and a proximal step, which makes exact
zeros. They are compared where each is as accurate as a network without penalty, up to a point: zeros,
entropy, bytes by a real coder, magnitudes, curvature, the straight line from dense to sparse. The same
of SimpleCNN. Beside them what is known exactly: C by itself, a quadratic under L1, the toy of wedges.

    python -m reproductions.compressibility --preset=quick      digits, two minutes
    python -m reproductions.compressibility --jobs=2            Fashion-MNIST, 25 minutes on two cores
    python -m reproductions.compressibility --dataset=mnist     where it can be downloaded
Source: Aytekin, Cricri & Aksu 2019, arXiv:1904.12638.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import at_least, option
from reproductions.common import compress_runs, compressing, known_compression, networks, pictures
from reproductions.common.arrays import named, stacked, under
from reproductions.common.compress_runs import DENSE, NETWORKS, bits, kinds, settings, subjects


@options.settings
class Config(compress_runs.Config):
    curved: int = option("examples in a Hessian", at_least(10), paper=2000, quick=500, smoke=100)
    products: int = option("with it, for the trace", at_least(6), paper=60, quick=30, smoke=6)
    points: int = option("on a line", at_least(3), paper=21, smoke=5)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """ "<network> <name>" [settings, seeds, ...] as `compressing.weighed`; "<network> picked" [kinds],
    places of the settings compared; of these "<network> local <name>", "balance", "line" and "own"
    [kinds, seeds, ...], lines from the dense network and from the first weights, and "fc scaled
    <name>", with all kernels as long as the dense ones; "known <name>" [seeds, ...]."""
    nets, arrays = subjects(config), {}
    items = [(n, s, seed) for n in nets for seed in config.repeats for s in settings(config, n)]
    watched = progress.bar("trainings", iterable=items, unit="run")
    rows = dict(
        zip(items, parallel.over(functools.partial(_one, nets, bits(config)), watched), strict=True)
    )
    for n in nets:
        of = [stacked([rows[n, s, seed] for seed in config.repeats]) for s in settings(config, n)]
        arrays |= named(n, stacked(of))
        arrays[f"{n} picked"] = np.array([pick(arrays, config, n, kind) for kind in kinds(config, n)])
    items = [(n, s, seed) for n in nets for s in compared(arrays, config, n) for seed in config.repeats]
    watched = progress.bar("compared", iterable=items, unit="network")
    around = functools.partial(_around, nets, config.curved, config.products, config.points)
    rows = dict(zip(items, parallel.over(around, watched), strict=True))
    for n in nets:
        of = [
            stacked([rows[n, s, seed] for seed in config.repeats]) for s in compared(arrays, config, n)
        ]
        arrays |= named(n, stacked(of))
    known = [cache.cached(known_compression.everything, seed) for seed in config.repeats]
    return arrays | named("known", stacked(known))


def compared(arrays, config, network):
    """The `compressing.Setting` of each kind that is compared."""
    own = settings(config, network)
    return [own[int(i)] for i in arrays[f"{network} picked"]]


def _one(nets, bits, item):
    name, setting, seed = item
    network = nets[name]
    with progress.labelled(f"{name}, {setting.label}, seed {seed}"):
        theta = network.theta(setting, seed)
        if not np.isfinite(theta).all():
            raise UsageError(f"{progress.label()}: training diverged; use a lower rate or strength.")
        return cache.cached(compressing.weighed, network.measured, theta, network.validation, bits)


def _around(nets, examples, products, points, item):
    name, setting, seed = item
    network, measured = nets[name], nets[name].measured
    with progress.labelled(f"{name}, {setting.label}, seed {seed}"):
        theta, dense = network.theta(setting, seed), network.theta(DENSE, seed)
        start = networks.start(network.of_seed(seed))
        spans = compressing.spans(measured)
        found = named(
            "local", cache.cached(compressing.local, measured, theta, spans, examples, products)
        )
        found |= named("own", cache.cached(compressing.line, measured, start, theta, points))
        found |= named("balance", cache.cached(compressing.balance, measured, theta, setting, spans))
        if name == "fc":  # of ReLU: SimpleCNN has other activations
            scaled = cache.cached(compressing.rescaled, measured, theta, dense, examples)
            found |= named("scaled", scaled)
        if setting == DENSE:  # a point is no line
            nowhere = {"losses": found["own losses"][-1:].repeat(points), "barrier": 0.0, "draw_up": 0.0}
            return found | named("line", nowhere)
        return found | named("line", cache.cached(compressing.line, measured, dense, theta, points))


# ---- what the numbers say ---------------------------------------------------------------------------

PAPER = "Aytekin et al. 2019, arXiv:1904.12638"
OURS = "our hypothesis"
LOST = 0.01  # accuracy, within which a network is as accurate as the dense one
NEAR = 0.03  # zeros, within which two networks have equally many


def places(config, network, kind):
    """The places of a kind's settings, from weak to strong."""
    return [i for i, s in enumerate(settings(config, network)) if s.kind == kind]


def means(arrays, network, name):
    """The mean over seeds of each setting: [settings, ...]."""
    return arrays[f"{network} {name}"].mean(axis=1)


def allowed(arrays, config, network, kind):
    """Of a kind's settings those that lose at most a point at 8 bits on the validation examples, in the
    mean over seeds, against the dense network; the most accurate one where none does."""
    found = means(arrays, network, "validation")[:, 0]
    own = places(config, network, kind)
    kept = [i for i in own if found[i] >= found[0] - LOST]
    return kept or [max(own, key=lambda i: found[i])]


def pick(arrays, config, network, kind):
    """The place of the setting that is compared: of those allowed the one of the fewest bytes."""
    size = xz(arrays, network)
    return min(allowed(arrays, config, network, kind), key=lambda i: size[i])


def xz(arrays, network):
    """Bytes at 8 bits by lzma, mean over seeds: [settings]."""
    return means(arrays, network, "sizes")[:, 0, wedges.coding.CODERS.index("lzma")]


def picked(arrays, config, network, kind):
    """The place of the setting of a kind that is compared."""
    return int(arrays[f"{network} picked"][kinds(config, network).index(kind)])


def as_sparse(arrays, config, name, zeros):
    """What L1 has of a quantity at so many zeros, between its two nearest settings; NaN beyond all."""
    own = places(config, "fc", "l1")
    x, y = means(arrays, "fc", "zeros")[own], means(arrays, "fc", name)[own]
    order = np.argsort(x)
    if not x.min() - NEAR <= zeros <= x.max() + NEAR:
        return np.nan
    return float(np.interp(zeros, x[order], y[order]))


def lost(arrays, config, network, kind):
    """Points of test accuracy at 8 bits below the dense network, of the setting that is compared."""
    found = 100 * means(arrays, network, "accuracy")[:, 0]
    return found[0] - found[picked(arrays, config, network, kind)]


def judged(arrays, config):
    """{claim: number}; of networks means over seeds, of what is exact the worst."""
    of, c = under("known", arrays), picked(arrays, config, "fc", "c")
    l1 = picked(arrays, config, "fc", "l1")
    zeros, size = means(arrays, "fc", "zeros"), xz(arrays, "fc")
    over_l1 = lambda name: means(arrays, "fc", name)[c] / as_sparse(arrays, config, name, zeros[c])
    return {
        **{f"E-1.{name}": of[name].max() for name in EXACT},
        "E-2": (of["flow"][:, -1] <= known_compression.ENDED).mean(),
        "E-3.accuracy": lost(arrays, config, "fc", "c"),
        "E-3.zeros": 100 * zeros[c],
        "E-3.against_l1": 100 * (zeros[c] - zeros[l1]),
        "E-4": over_l1("entropy"),
        "E-5.dense": size[c] / size[0],
        "E-5.against_l1": size[c] / size[l1],
        "E-6": over_l1("ternarity"),
        "known.lasso": of["lasso"].max(),
        "known.lasso_zeros": np.abs(of["lasso zeros"] - of["lasso known zeros"]).max(),
        "known.lasso_line": of["lasso line"].max(),
        "known.wedges_one": of["wedges sparse"].max(),
        "known.wedges_line": of["wedges loss"].max(),
        "known.wedges_trace": np.abs(of["wedges trace"] - 1).max(),
    }


EXACT = {
    "value": ("C off sqrt(k), relative", 1e-12),
    "gradient": ("largest slope of C, in units of 1 / a", 1e-12),
    "saddle": ("eigenvalues off -1 / (a^2 sqrt k), k - 1 times, and 0, in these units", 1e-10),
    "kink": ("slope off the support off 1 / (a sqrt k), relative", 1e-6),
    "radial": ("Gaussian w: |<w, dC/dw>|", 1e-12),
    "growth": ("Gaussian w, plain step: |w_new|^2 off |w|^2 + |step|^2, relative", 1e-12),
}


def claims(arrays, config):
    """What is exact, the paper's claims by our thresholds, and our hypothesis."""
    claim = Verdict("compress", PAPER, judged(arrays, config))
    exact = functools.partial(claim, source="closed form")
    for name, (words, bound) in EXACT.items():
        where = "" if words.startswith("Gaussian") else "ternary w: "
        exact(f"E-1.{name}", where + words, "<=", bound)
    words = "C alone, on the sphere from Gaussian w, D = 200: share of starts that end at C <= 1.05"
    claim("E-2", words, ">=", 0.95, source="closed form: other ternary points are saddles")
    of = "C, as accurate as dense up to a point"
    claim("E-3.accuracy", f"{of}, by validation: test accuracy lost at 8 bits, points", "<=", 1.0)
    claim("E-3.zeros", f"{of}: weights that are 0 (%)", ">=", 80.0)
    claim("E-3.against_l1", f"{of}: these less those of L1, as accurate (points)", ">=", -2.0)
    words = "entropy of the quantised weights other than 0 over that of L1 at equally many zeros"
    claim("E-4", words, "<=", 0.9)
    claim("E-5.dense", f"{of}: bytes by lzma at 8 bits over those of dense", "<=", 0.35)
    claim("E-5.against_l1", f"{of}: bytes by lzma at 8 bits over those of L1, as accurate", "<=", 1.0)
    words = (
        "share of the weights other than 0 within half of r^2 / s over that of L1 at equally many zeros"
    )
    claim("E-6", words, ">=", 1.3, source=OURS)
    words = "a quadratic under L1: largest distance of the end from its soft threshold"
    exact("known.lasso", words, "<=", 1e-6)
    exact("known.lasso_zeros", "a quadratic under L1: share of zeros off the known one", "<=", 0.0)
    words = "a quadratic, line from its minimum to there: loss off t^2 sum h d^2 / 2"
    exact("known.lasso_line", words, "<=", 1e-10)
    exact("known.wedges_one", "the toy of wedges under C: largest C at the end", "<=", 1 + 1e-9)
    words = "the toy of wedges: largest L^2 / 2 on the line from dense to sparse"
    exact("known.wedges_line", words, "<=", 1e-12)
    exact("known.wedges_trace", "the toy of wedges, dense end: trace off s, relative", "<=", 1e-6)
    return claim.claims


def summary(arrays, config):
    """By seed: accuracy, zeros, bytes, entropy, ternarity of every setting; curvature and barrier of
    those compared; the flow. What the reference guards."""
    found = {}
    for n in NETWORKS:
        for i, setting in enumerate(settings(config, n)):
            label = f"{n}, {setting.label}"
            for name in ("zeros", "entropy", "ternarity", "loss"):
                found[f"{label}: {name}"] = arrays[f"{n} {name}"][i]
            found[f"{label}: accuracy at 8 bits"] = arrays[f"{n} accuracy"][i, :, 0]
            size = arrays[f"{n} sizes"][:, :, 0, -1]
            found[f"{label}: bytes by lzma over dense"] = size[i] / size[0].mean()
        for j, kind in enumerate(kinds(config, n)):
            label = f"{n}, {compressing.KINDS[kind]}, compared"
            for name, words in LOCAL.items():
                value = np.abs(arrays[f"{n} local {name}"][j])
                found[f"{label}: log10 of the {words}"] = np.log10(np.maximum(value, 1e-9))
            if kind != "none":
                found[f"{label}: cosine of gradients"] = arrays[f"{n} balance cosine"][j]
            if n == "fc":
                value = np.log10(np.maximum(np.abs(arrays["fc scaled top"][j]), 1e-9))
                found[f"{label}: log10 of the largest eigenvalue, lengths of dense"] = value
            found[f"{label}: barrier from dense"] = arrays[f"{n} line barrier"][j]
            found[f"{label}: rise from the first weights"] = arrays[f"{n} own draw_up"][j]
    return found | {"flow: mean C at the end": under("known", arrays)["flow"][:, -1].mean(axis=1)}


LOCAL = {"top": "largest eigenvalue", "trace": "trace", "gradient": "gradient"}


# ---- the pictures -----------------------------------------------------------------------------------


def looks(config, network):
    """{kind: how its line looks}."""
    plots = wedges.plots
    found = {
        "none": {"color": "black", "marker": "*"},
        "l2": {"color": plots.GREY, "marker": "^"},
        "l1": {"color": plots.ORANGE, "marker": "s"},
        "c": {"color": plots.BLUE, "marker": "o"},
        "hoyer": {"color": plots.GREEN, "marker": "D"},
        "one": {"color": "#56B4E9", "marker": "v"},
    }
    return {kind: found[kind] for kind in kinds(config, network)}


def plot(arrays, config):
    """Accuracy and bytes; entropy and magnitudes against L1; the line to sparse; C by itself."""
    numbers = judged(arrays, config)
    words = {True: "fewer", False: "more"}[numbers["E-5.against_l1"] < 1]
    title = (
        f"As accurate as dense up to a point, C leaves {100 - numbers['E-3.zeros']:.0f}% of the weights "
        f"and takes {words} bytes than L1 ({numbers['E-5.against_l1']:.2f} times)\n{_conditions(config)}"
    )
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 2.9))
    _draw_accuracy(axes[0], arrays, config, "fc")
    _draw_bytes(axes[1], arrays, config)
    _draw_entropy(axes[2], arrays, config)
    _draw_magnitudes(axes[3], arrays, config)
    _draw_lines(axes[4], arrays, config, "fc")
    _draw_flow(axes[5], arrays)
    return figure


def more_pictures(arrays, config):
    """{name: picture}: curvature, layers and bits; SimpleCNN."""
    fc, cnn = (_ratio(arrays, config, n, "c", "local top") for n in ("fc", "cnn"))
    title = (
        f"The largest eigenvalue under C is {fc:.2g} times the dense one's, of SimpleCNN {cnn:.2g} times"
    )
    title = (
        f"{title}\n{_conditions(config)}. Filled: largest eigenvalue; open: trace; x: the eigenvalue "
    )
    title += "with each unit as long as the dense network's"
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 2.9))
    _draw_curvature(axes[0], arrays, config, "fc")
    _draw_curvature(axes[1], arrays, config, "cnn")
    _draw_layers(axes[2], arrays, config)
    _draw_bits(axes[3], arrays, config)
    _draw_accuracy(axes[4], arrays, config, "cnn")
    _draw_lines(axes[5], arrays, config, "cnn")
    return {"curvature": figure}


def _conditions(config):
    return (
        f"fully connected network, {pictures.named(config.dataset)}, {config.examples:,} examples, "
        f"{pictures.counted(config.seeds, 'seed')}; means, and one standard deviation"
    )


NAMES = {"fc": "Fully connected", "cnn": "SimpleCNN"}


def _ratio(arrays, config, network, kind, name):
    """A local quantity of a kind's compared networks over that of the dense ones, mean over seeds."""
    own = arrays[f"{network} {name}"]
    return float((own[kinds(config, network).index(kind)] / own[0]).mean())


def _over_zeros(ax, arrays, config, network, name, scale, skipped=("none", "l2")):
    """A quantity at 8 bits against zeros, a line for each kind; what is compared is filled."""
    zeros = 100 * means(arrays, network, "zeros")
    values = scale * arrays[f"{network} {name}"]
    values = values[..., 0] if values.ndim > 2 else values  # [settings, seeds]
    for kind, look in looks(config, network).items():
        if kind in skipped:
            continue
        own, chosen = places(config, network, kind), picked(arrays, config, network, kind)
        error = values[own].std(axis=1, ddof=1) if config.seeds > 1 else None
        how = {"fmt": "-", "capsize": 2, "markersize": 5, "linewidth": 1.3, "markerfacecolor": "white"}
        label = compressing.KINDS[kind]
        ax.errorbar(zeros[own], values[own].mean(axis=1), error, **how, **look, label=label)
        ax.plot(zeros[chosen], values[chosen].mean(), markersize=7, zorder=4, **look)


def _draw_accuracy(ax, arrays, config, network):
    """Test accuracy at 8 bits against zeros."""
    _over_zeros(ax, arrays, config, network, "accuracy", 100)
    dense = 100 * means(arrays, network, "accuracy")[0, 0]
    ax.axhline(dense, color="black", linewidth=1, label="dense")
    pictures.level(ax, dense - 100 * LOST, "a point below")
    ax.set_ylim(max(0, dense - 12), dense + 3)
    zeros = {
        k: 100 * means(arrays, network, "zeros")[picked(arrays, config, network, k)] for k in ("c", "l1")
    }
    title = (
        f"{NAMES[network]}, filled: up to a point as accurate\nas dense, C has {zeros['c']:.0f}% zeros"
    )
    title += f", L1 {zeros['l1']:.0f}%"
    y = "test accuracy at 8 bits (%)"
    wedges.plots.label_axes(ax, title=title, x="weights that are 0 (%)", y=y, legend=8)


# Behind words that a line would cross.
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def _draw_bytes(ax, arrays, config):
    """Bytes over the dense network's, of each kind where it is as accurate."""
    size = arrays["fc sizes"][:, :, 0, wedges.coding.CODERS.index("lzma")]
    size = size / size[0]
    rows = list(looks(config, "fc").items())
    for y, (kind, look) in enumerate(rows):
        own = size[picked(arrays, config, "fc", kind)]
        ax.barh(y, own.mean(), 0.6, color=look["color"], alpha=0.75)
        ax.plot(own, np.full(len(own), y), ".", color="black", markersize=5)
        more = np.round(-lost(arrays, config, "fc", kind), 1) + 0.0  # not -0.0
        words = f"{own.mean():.2f}" + (f" ({more:+.1f} points)" if kind != "none" else "")
        ax.text(own.max() + 0.03, y, words, va="center", fontsize=8.5, bbox=_PAPER)
    ax.set_yticks(range(len(rows)), _broken(kind for kind, _ in rows))
    ax.set_ylim(len(rows) - 0.4, -1)
    ax.set_xlim(0, 1.6)
    pictures.here(ax, 0.35)
    ax.text(0.37, -0.75, "0.35 is asked of C", va="center", fontsize=8.5)
    c = size[picked(arrays, config, "fc", "c")].mean()
    title = (
        f"By lzma at 8 bits C takes {c:.2f} of the dense bytes\n(dots: seeds; brackets: test accuracy)"
    )
    wedges.plots.label_axes(ax, title=title, x="bytes over those of dense")


def _draw_entropy(ax, arrays, config):
    _over_zeros(ax, arrays, config, "fc", "entropy", 1)
    over = judged(arrays, config)["E-4"]
    found = f"{over:.2f} times L1's" if np.isfinite(over) else "not to be compared with L1's"
    title = f"Entropy of weights other than 0: under C\n{found} at equally many zeros"
    how = {"x": "weights that are 0 (%)", "y": "bits a number, quantised to 8 bits", "legend": 8}
    wedges.plots.label_axes(ax, title=title, **how)


def _draw_magnitudes(ax, arrays, config):
    """How magnitudes lie around r^2 / s."""
    at = (compressing.BINS[1:] + compressing.BINS[:-1]) / 2
    for kind in ("none", "l1", "c"):
        look = looks(config, "fc")[kind]
        values = 100 * arrays["fc magnitudes"][picked(arrays, config, "fc", kind)]
        how = {"color": look["color"], "label": compressing.KINDS[kind], "marker": ""}
        wedges.plots.curve(ax, at[:-1], values[:, :-1], **how)
    ax.axvspan(0.5, 1.5, color="black", alpha=0.07, linewidth=0)
    over = judged(arrays, config)["E-6"]
    gather = "gather" if over >= 1.3 else "do not gather"
    found = f"({over:.2f} times L1's share); " if np.isfinite(over) else ""
    title = f"Magnitudes {gather} around r^2 / s under C\n{found}shaded: within half of it"
    how = {"x": "|w| in units of its kernel's r^2 / s", "y": "weights other than 0 (%)", "legend": 8}
    wedges.plots.label_axes(ax, title=title, **how)


def _draw_lines(ax, arrays, config, network):
    """The training loss from the dense network to the sparse ones of the same seed."""
    t = np.linspace(0, 1, config.points)
    for kind in ("l1", "c"):
        j, look = kinds(config, network).index(kind), looks(config, network)[kind]
        how = {"color": look["color"], "label": compressing.KINDS[kind], "marker": ""}
        wedges.plots.curve(ax, t, arrays[f"{network} line losses"][j], **how)
    j = kinds(config, network).index("c")
    barrier = arrays[f"{network} line barrier"][j].mean()
    above = f"rises\n{barrier:.2f} nats above" if barrier >= 0.005 else "never\nrises above"
    title = f"{NAMES[network]}: the line from dense to C {above} its chord"
    how = {"x": "t, from dense to compressed weights", "y": "training loss (nats)", "legend": 8}
    ax.set_ylim(bottom=0)
    wedges.plots.label_axes(ax, title=title, **how)


def _draw_flow(ax, arrays):
    """C of every start along its own descent."""
    of = under("known", arrays)
    times, flow = of["flow times"][0], of["flow"][0]
    last = times[flow.max(axis=1) > known_compression.ENDED].max()
    ax.plot(times, flow, color=wedges.plots.BLUE, linewidth=0.5, alpha=0.4)
    ax.set_xlim(-0.02 * last, 1.2 * last)
    for k in (2, 10, 100):
        pictures.level(ax, np.sqrt(k))
        ax.text(1.2 * last, np.sqrt(k), f"sqrt {k}", va="bottom", ha="right", fontsize=8.5)
    share = (of["flow"][:, -1] <= known_compression.ENDED).mean()
    title = (
        f"C alone ends with one component in {share:.0%}\nof starts: other ternary points are saddles"
    )
    wedges.plots.label_axes(ax, title=title, x="time of the flow on the sphere", y="C, D = 200", log="y")
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    ax.set_yticks([], minor=True)


def _draw_curvature(ax, arrays, config, network):
    """Largest eigenvalue and trace of what is compared, over the dense network's."""
    own, drawn = list(looks(config, network).items()), [1.0]
    rows = [("local top", -0.2, True), ("local trace", 0.2, False)]
    if f"{network} scaled top" in arrays:
        rows.append(("scaled top", 0.0, None))
    for name, shift, fill in rows:
        values = arrays[f"{network} {name}"]
        values = np.abs(values / values[0].mean())
        drawn.extend(values.ravel())
        for y, (_, look) in enumerate(own):
            how = {"linestyle": "", "markersize": 6, **look}
            how |= {"marker": "x"} if fill is None else {}
            how |= {"markerfacecolor": "white"} if fill is False else {}
            ax.plot(values[y], np.full(values.shape[1], y + shift), **how)
    ax.set_yticks(range(len(own)), _broken(kind for kind, _ in own))
    ax.invert_yaxis()
    pictures.here(ax, 1)
    top = _ratio(arrays, config, network, "c", "local top")
    title = f"{NAMES[network]}: C's largest eigenvalue {top:.2g} times dense"
    if len(rows) > 2:
        scaled = _ratio(arrays, config, network, "c", "scaled top")
        title += f", at the dense lengths {scaled:.2g}"
    how = {"x": "of the training loss's Hessian, over the dense mean", "log": "x"}
    wedges.plots.label_axes(ax, title=title, ticks=_ticks(np.array(drawn)), **how)


def _draw_layers(ax, arrays, config):
    """Zeros of each kernel, for C of each and of all as one."""
    zeros = 100 * arrays["fc layer zeros"]
    for shift, kind in zip((-0.25, 0.0, 0.25), ("l1", "c", "one"), strict=True):
        own, look = zeros[picked(arrays, config, "fc", kind)], looks(config, "fc")[kind]
        x = np.arange(own.shape[1])
        label = compressing.KINDS[kind]
        ax.bar(x + shift, own.mean(axis=0), 0.23, color=look["color"], alpha=0.75, label=label)
        ax.plot(np.tile(x + shift, len(own)), own.ravel(), ".", color="black", markersize=4)
    ax.set_xticks(x, ["first", "second", "last"][: len(x)])
    ax.set_ylim(0, 130)
    one = zeros[picked(arrays, config, "fc", "one")].mean(axis=0)
    title = f"Zeros by kernel: with C of all as one\n{', '.join(f'{z:.0f}%' for z in one)}"
    wedges.plots.label_axes(ax, title=title, x="kernel", y="weights that are 0 (%)", legend=8)


def _draw_bits(ax, arrays, config):
    """Accuracy against bytes at all numbers of bits."""
    best, drawn = [], []
    for kind in ("none", "l1", "c"):
        i, look = picked(arrays, config, "fc", kind), looks(config, "fc")[kind]
        size = arrays["fc sizes"][i, :, :, -1] / arrays["fc sizes"][0, :, :1, -1]
        drawn.extend(size.mean(axis=0))
        x, accuracy = size.mean(axis=0), 100 * arrays["fc accuracy"][i, :, :-1]
        label = compressing.KINDS[kind]
        wedges.plots.curve(ax, x, accuracy, color=look["color"], label=label, marker=look["marker"])
        dense = 100 * means(arrays, "fc", "accuracy")[0, -1]
        kept = [
            (b, s)
            for b, s, a in zip(bits(config), x, accuracy.mean(axis=0), strict=True)
            if a >= dense - 1
        ]
        best.append((kept or [(0, np.nan)])[-1])
    pictures.level(ax, dense - 1, "a point below dense")
    few, size = best[-1]
    found = (
        f"at {few} bits C is {size:.2f} of dense at 8" if few else "no number of bits keeps C's accuracy"
    )
    title = f"Bytes at {', '.join(map(str, bits(config)))} bits, right to left:\n{found}"
    how = {"x": "bytes by lzma over dense at 8 bits", "y": "test accuracy (%)", "legend": 8, "log": "x"}
    wedges.plots.label_axes(ax, title=title, ticks=_ticks(np.array(drawn)), **how)


def _broken(kinds):
    """Names of kinds in two lines, so that they leave room for what is drawn."""
    return [compressing.KINDS[kind].replace(", ", ",\n") for kind in kinds]


def _ticks(values):
    """1, 2 and 5 times powers of ten around the values, for a logarithmic axis."""
    low, high = 0.8 * values.min(), 1.25 * values.max()
    every = [m * 10.0**k for k in range(-4, 5) for m in (1, 2, 5)]
    found = [v for v in every if low <= v <= high]
    inside = [v for v in found if values.min() <= v <= values.max()]
    return found if len(inside) > 1 else [float(f"{v:.3g}") for v in (values.min(), values.max())]


if __name__ == "__main__":
    runs.main(__name__)
