"""PL*: does the tangent kernel tell how fast gradient descent fits, and does a wide network keep it?

Fully connected networks of tanh, two and three layers of weights in NTK form, are fitted to points on a
sphere by gradient descent of all of them at once. Measured: the kernel K = J J^T along the path, between
whose smallest and largest eigenvalue |grad L|^2 / 2L lies; the rate of descent against the smallest; how
kernel, weights and the Hessian of the output change with the width m; whether the loss is convex near a
minimum; what fewer weights than points do. Beside it Keras' own parameterisation, a SimpleCNN along its
training and between two optima, and the toy landscapes.

    python -m reproductions.tangent_kernel --preset=quick           two minutes
    python -m reproductions.tangent_kernel --jobs=2                 four minutes on two cores
    python -m reproductions.tangent_kernel --seeds=3 --check        status 1 on a failed claim
Source: Liu, Zhu & Belkin 2022, arXiv:2003.00307 (PL*); 2020, arXiv:2010.01092 (Hessian of the output).
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Ints, at_least, but, inside, option
from reproductions.common import networks, pictures, toys, training, wide
from reproductions.common.arrays import named, stacked, under

TWO, THREE = (32, 64, 128, 256, 512, 1024, 2048, 4096), (32, 64, 128, 256, 512, 1024)


@options.settings
class Config(networks.NetworkConfig):
    seed: int = but(paper=10, quick=0)  # 0 to 2 were the pilot's
    two: Ints = option(
        "widths of two layers", at_least(8), paper=TWO, quick=(64, 256, 1024), smoke=(32, 128)
    )
    three: Ints = option(
        "widths of three layers", at_least(8), paper=THREE, quick=(64, 256), smoke=(32, 64)
    )
    own: Ints = option(
        "widths of Keras' own form", at_least(8), paper=(32, 256, 2048), quick=(64, 512), smoke=(32, 64)
    )
    points: int = option("n, points on the sphere", at_least(8), paper=64, smoke=40)
    dimension: int = option("d, coordinates of a point", at_least(2), paper=16)
    seeds: int = option("independent points and weights", paper=3, quick=1, smoke=2)
    steps: int = option("steps of descent at most", at_least(100), paper=3000, quick=1500, smoke=150)
    floor: float = option("descent ends at this share of its first loss", inside(0, 1), paper=1e-6)
    long: int = option(
        "steps with too few weights", at_least(100), paper=30_000, quick=10_000, smoke=200
    )
    draws: int = option("perturbations of a minimum", at_least(1), paper=50, quick=20, smoke=2)
    examples: int = option("examples that --model is trained on", at_least(100), paper=1000, smoke=200)
    seen: int = option("of these, how many in its kernel", at_least(4), paper=100, quick=40, smoke=10)
    epochs: int = option("epochs of its training by Adam", at_least(4), paper=60, smoke=5)

    def check(self):
        for name in ("two", "three", "own"):
            widths = getattr(self, name)
            if len(set(widths)) < max(2, len(widths)):
                given = ",".join(map(str, widths))
                raise UsageError(f"--{name}={given}: must be at least two different widths.")
        super().check()


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays [seeds, widths, ...] of each of `GROUPS`, as the functions below name them; those of the
    data set's network [seeds, ...]; "toy ratio" [seeds, variants, points]."""
    jobs = [(g, i, s) for g in GROUPS for i in range(len(nets(config, g))) for s in config.repeats]
    found = dict(zip(jobs, parallel.over(functools.partial(_job, config), jobs), strict=True))
    arrays = {}
    for g in GROUPS:
        row = lambda seed, g=g: [found[g, i, seed] for i in range(len(nets(config, g)))]
        arrays |= named(g, stacked([stacked(row(seed)) for seed in config.repeats]))
    trained = parallel.over(functools.partial(_network, config), config.repeats)
    toy = [[cache.cached(on_toy, toy)["ratio"] for toy in _toys(seed)] for seed in config.repeats]
    return arrays | named("network", stacked(trained)) | {"toy ratio": np.array(toy)}


GROUPS = ("two", "three", "tanh", "bottleneck", "own", "lecun", "minimum", "control")
CONTROL, MINIMUM = 2, 256  # widths: of too few weights, and where convexity is looked at


def nets(config, group, seed=0):
    """The networks of a group, one for each width."""
    points = wide.Points(config.points, config.dimension, seed)
    make = lambda layers, widths, **how: [wide.Net(layers, m, points, seed, **how) for m in widths]
    return {
        "two": make(2, config.two),
        "three": make(3, config.three),
        "tanh": make(2, config.two, head="tanh"),
        "bottleneck": make(2, config.two, head="bottleneck"),
        "own": make(2, config.own, form="glorot"),
        "lecun": make(2, config.own, form="lecun"),
        "minimum": make(2, [min(config.two, key=lambda m: abs(m - MINIMUM))]),
        "control": make(2, [CONTROL]),
    }[group]


def _job(config, job):
    group, i, seed = job
    net = nets(config, group, seed)[i]
    descent = wide.Descent(1.0, config.steps, config.floor)
    slow = dataclasses.replace(descent, rate=0.25)  # where K grows: at the other step L would oscillate
    with progress.labelled(f"{group}, width {net.width}, seed {seed}"):
        if group in ("tanh", "bottleneck"):
            return cache.cached(bend, net)
        if group == "lecun":
            return cache.cached(ends, net)
        if group == "minimum":
            return cache.cached(curved, net, config.draws)
        if group == "own":
            return cache.cached(fitted, net, slow)
        if group == "control":
            return cache.cached(fitted, net, dataclasses.replace(slow, steps=config.long))
        half = cache.cached(fitted, net, dataclasses.replace(descent, rate=0.5))
        full = cache.cached(fitted, net, descent)
        return full | named("half", half) | cache.cached(bend, net)


def fitted(net, how):
    """A descent: losses of its steps [steps + 1]; at its looks [looks] the ends of the spectrum of K,
    the ratio |grad L|^2 / 2L and the distance from the start; the relative change of K, the step, how
    many there were. Where it had ended, what was last."""
    landscape = wide.landscape(net)
    losses, thetas, _, eta = wide.descend(net, how, "descent")
    kernels = []
    rows = {name: [] for name in ("smallest", "largest", "ratio", "distance")}
    for theta in progress.bar("kernels", iterable=thetas, unit="kernel"):
        kernel = wedges.tangent_kernel(landscape, theta)
        values = np.linalg.eigvalsh(kernel)
        kernels = [*kernels[:1], kernel]  # the first and the last
        rows["smallest"].append(values[0])
        rows["largest"].append(values[-1])
        rows["ratio"].append(wedges.pl_ratio(landscape, theta, eigenvalues=False).ratio)
        rows["distance"].append(np.linalg.norm(theta - thetas[0]))
    padded = lambda values, n: np.pad(np.array(values), (0, n - len(values)), mode="edge")
    looks = -(-how.steps // wide.EVERY) + 1
    return {
        "losses": padded(losses, how.steps + 1),
        "steps": len(losses) - 1,
        **{name: padded(values, looks) for name, values in rows.items()},
        "change": np.linalg.norm(kernels[-1] - kernels[0]) / np.linalg.norm(kernels[0]),
        "eta": eta,
    }


def bend(net):
    """The norm of the Hessian of the output at the start, mean over two points."""
    where, theta = wide.landscape(net), net.start()
    norms = [wedges.kernel.output_hessian_norm(where, theta, i, seed=0) for i in range(2)]
    return {"bend": np.mean(norms)}


def ends(net):
    """The ends of the kernel's spectrum at the start."""
    values = np.linalg.eigvalsh(wedges.tangent_kernel(wide.landscape(net), net.start()))
    return {"smallest": values[0], "largest": values[-1]}


def curved(net, draws):
    """At a minimum, L <= 1e-8: the loss; at points of a relative distance of 0.01 around it a number
    that the smallest eigenvalue of the Hessian of L is surely below [draws]."""
    where = wide.landscape(net)
    first = float(where(net.start()))
    losses, thetas, _, _ = wide.descend(net, wide.Descent(1.0, 20_000, 1e-8 / first), "to a minimum")
    rng = np.random.default_rng([net.seed, 2])
    bounds = []
    for draw in progress.bar("Hessians", iterable=range(draws), unit="point"):
        away = rng.standard_normal(thetas.shape[1])
        away *= 0.01 * np.linalg.norm(thetas[-1]) / np.linalg.norm(away)
        matrix = wedges.hessian(where, thetas[-1] + away)
        lowest = wedges.eigenpairs(matrix, 1, seed=draw, end="smallest", tolerance=0.3)
        bounds.append(lowest.values[0] + lowest.residuals[0])
    return {"loss": losses[-1], "bounds": np.array(bounds)}


def _network(config, seed):
    """The data set's network from two starts: its ratio along one training, kernels between the ends."""
    problems = [
        dataclasses.replace(config.problem(initial=s, seed=s), examples=config.examples)
        for s in (seed, seed + OTHER)
    ]
    recipe = training.Recipe("adam", 1e-3, config.epochs)
    steps = networks.landscape(problems[0]).steps_per_epoch * config.epochs
    marks = tuple(int(m) for m in np.unique(np.geomspace(1, steps, LOOKS - 1).round()))
    paths = [
        training.train(p, recipe, label=f"seed {p.seed}, training", marks=marks).snapshots
        for p in problems
    ]
    thetas = np.concatenate([networks.start(problems[0])[None], paths[0]])
    both = np.stack([path[-1] for path in paths])
    along = cache.cached(on_path, problems[0], config.seen, thetas)
    between = cache.cached(on_line, problems[0], config.seen, both)
    return {"steps": np.array([0, *marks]), **along, **named("line", between)}


OTHER, LOOKS = 1000, 8
T = np.linspace(0, 1, 5)  # points of the segment


def on_path(problem, examples, thetas):
    """Of a cross-entropy at points of a training [looks]: the loss; its ratio; what the smallest and the
    largest eigenvalue of the kernel say that it is at least and at most; these eigenvalues."""
    where, found = networks.seen(problem, examples), []
    onehot = np.eye(where.evaluate(thetas[0]).outputs.shape[1])[where.y.numpy()]
    for theta in progress.bar("kernels", iterable=thetas, unit="point"):
        values = np.linalg.eigvalsh(wedges.tangent_kernel(where, theta))[[0, -1]]
        at = wedges.pl_ratio(where, theta, eigenvalues=False)
        residual = np.asarray(where.probabilities(where.evaluate(theta).outputs)) - onehot
        share = np.sum(np.square(residual)) / (2 * examples**2 * at.loss)
        found.append([at.loss, at.ratio, *share * values, *values])
    names = ("loss", "ratio", "low", "high", "smallest", "largest")
    return dict(zip(names, np.array(found, np.float64).T, strict=True))


def on_line(problem, examples, both):
    """On the segment between two optima [T]: the loss, the ends of the spectrum of the kernel's trace
    over outputs, and its cosine with that of each end, "cosines" [2, T]."""
    where = networks.seen(problem, examples)
    thetas = [(1 - t) * both[0] + t * both[1] for t in T]
    kernels = [wedges.tangent_kernel(where, theta, outputs="trace") for theta in thetas]
    values = np.array([np.linalg.eigvalsh(k)[[0, -1]] for k in kernels])
    cosine = lambda a, b: np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return {
        "loss": np.array([float(where(theta)) for theta in thetas]),
        "smallest": values[:, 0],
        "largest": values[:, 1],
        "cosines": np.array([[cosine(k, kernels[end]) for k in kernels] for end in (0, -1)]),
    }


def _toys(seed):
    return [toys.Toy(v, 200, 160, 10, seed) for v in toys.VARIANTS]


def on_toy(toy):
    """Of half the squared distance to the nearest wedge the "ratio" at random points [20]."""
    points = toys.gaussian(toy.seed, 20, toy.dimension)
    ratio = lambda at: wedges.pl_ratio(toy.squared, at, eigenvalues=False).ratio
    return {"ratio": np.array([ratio(at) for at in points])}


# ---- what the numbers say ---------------------------------------------------------------------------

HEADS = {"two": "two layers", "three": "three layers"}
WIDE = 256  # widths from this one on are bounded by theory


def slope(widths, values):
    """The power of the width m that values [seeds, widths] grow with: of their means."""
    return np.polyfit(np.log(widths), np.log(np.mean(values, axis=0)), 1)[0]


def outside(own):
    """At how many looks of descents the ratio is not between the eigenvalues, by 1e-6 of them."""
    low = own["ratio"] < own["smallest"] * (1 - 1e-6)
    return np.sum(low | (own["ratio"] > own["largest"] * (1 + 1e-6)))


def bounds(own, some):
    """The bound (1 - eta mu)^t L_0 of descents at half the step, and their losses, [seeds, some, t]."""
    losses = own["half losses"][:, some]
    mu = own["half smallest"][:, some].min(axis=-1)
    factor = 1 - own["half eta"][:, some] * mu
    return factor[..., None] ** np.arange(losses.shape[-1]) * losses[..., :1], losses


def above(own, some):
    """At how many steps a loss is above that bound, of what is left of it where a descent had ended."""
    bound, losses = bounds(own, some)
    going = np.arange(losses.shape[-1]) <= own["half steps"][:, some][..., None]
    return np.sum(going & (losses > bound * (1 + 1e-9)))


def rates(own):
    """Measured over predicted rate of the widest network [seeds]: slope of log L over the last half of
    the descent, and 2 log(1 - eta lambda_min) of the kernel at its end."""
    found = []
    for losses, steps, smallest, eta in zip(
        *(own[n][:, -1] for n in ("losses", "steps", "smallest", "eta")), strict=True
    ):
        half = np.arange(steps // 2, steps + 1)
        fit = np.polyfit(half, np.log(losses[half]), 1)[0]
        found.append(fit / (2 * np.log1p(-eta * smallest[-1])))
    return np.array(found)


def judged(arrays, config):
    """{claim: number}; None where the settings have no network that a claim is about."""
    at = {group: under(group, arrays) for group in GROUPS}
    numbers = {"sandwich": sum(outside(at[g]) for g in ("two", "three", "own", "control"))}
    some = {g: [i for i, m in enumerate(getattr(config, g)) if m >= WIDE] for g in HEADS}
    found = sum(above(at[g], some[g]) for g in HEADS)
    numbers["bound"] = found if any(some.values()) else None
    radius = []
    for g in HEADS:
        own, widths = at[g], getattr(config, g)
        lipschitz = np.sqrt(np.max(own["largest"], axis=-1))
        first = np.sqrt(2 * own["losses"][..., 0])
        mu = np.min(own["smallest"], axis=-1)
        radius.append(np.max(own["distance"], axis=-1) * mu / (2 * lipschitz * first))
        numbers |= {
            f"bend.{g}": abs(slope(widths, own["bend"]) + 0.5),
            f"kernel.{g}": abs(slope(widths, own["change"]) + 0.5),
            f"distance.{g}": abs(slope(widths, own["distance"][..., -1])),
            f"rate.{g}": abs(rates(own).mean() - 1),
        }
    for g in ("tanh", "bottleneck"):
        numbers[f"bend.{g}"] = abs(slope(config.two, at[g]["bend"]))
    control, few = at["control"], config.points > CONTROL * (config.dimension + 1)
    return numbers | {
        "radius": max(r.max() for r in radius),
        "convexity": np.mean(at["minimum"]["bounds"] < 0),
        "control.singular": np.max(control["smallest"] / control["largest"]) if few else None,
        "control.ratio": (control["ratio"][..., 0] / control["ratio"][..., -1]).min() if few else None,
        "toy": np.abs(arrays["toy ratio"] - 1).max(),
    }


def claims(arrays, config):
    """Every claim of plstar."""
    claim = Verdict("plstar", "Liu, Zhu & Belkin 2022, arXiv:2003.00307", judged(arrays, config))
    linear = "Liu, Zhu & Belkin 2020, arXiv:2010.01092"
    claim("sandwich", "looks at which |grad L|^2 / 2L is outside [lambda_min, lambda_max]", "<=", 0)
    claim("bound", f"steps above (1 - eta mu)^t L_0, widths >= {WIDE}, half the step", "<=", 0)
    claim("radius", "farthest way of a descent, over R = 2 L_F |r_0| / mu", "<=", 1)
    for g, label in HEADS.items():
        of = claim.about(f"*.{g}", label)
        of("bend", "output's Hessian as a power of m, off -1/2", "<=", 0.10, source=linear)
        of("kernel", "relative change of the kernel as a power of m, off -1/2", "<=", 0.15)
        of("distance", "|power of m| of the way of the weights", "<=", 0.12)
        of("rate", "measured rate of the widest over 2 log(1 - eta lambda_min), off 1", "<=", 0.20)
    claim("bend.tanh", "output tanh(3 f): |power of m| of its Hessian", "<=", 0.15, source=linear)
    narrow = f"a layer of {wide.BOTTLENECK}: |power of m| of the output's Hessian"
    claim("bend.bottleneck", narrow, "<=", 0.15, source=linear)
    claim("convexity", "share of points near a minimum where the loss is not convex", ">=", 0.95)
    few = "fewer weights than points"
    claim("control.singular", f"{few}: lambda_min over lambda_max, largest", "<=", 1e-12)
    claim("control.ratio", f"{few}: first ratio over last, smallest", ">=", 1e3)
    ours = "ours: a distance has a gradient of length 1"
    claim("toy", "toy landscape squared: largest |ratio - 1|", "<=", 1e-3, source=ours)
    return claim.claims


def summary(arrays, config):
    """What the reference guards: by width, of seeds."""
    found = {}
    for g in GROUPS:
        own = under(g, arrays)
        for i, net in enumerate(nets(config, g)):
            at = {n: own[n][:, i] for n in ("change", "bend") if n in own}
            if "ratio" in own:
                names = ("smallest", "largest", "distance", "ratio")
                at |= {n: own[n][:, i, -1] for n in names} | {"steps": own["steps"][:, i]}
                at["fall"] = own["losses"][:, i, -1] / own["losses"][:, i, 0]
            elif "smallest" in own:
                at |= {n: own[n][:, i] for n in ("smallest", "largest")}
            found |= {f"{g} {net.width}: {n}": values for n, values in at.items()}
    network = under("network", arrays)
    return found | {
        "minimum: not convex": np.mean(arrays["minimum bounds"][:, 0] < 0, axis=-1),
        **{f"network: first {n}": network[n][:, 0] for n in ("ratio", "largest")},
        **{f"network: last {n}": network[n][:, -1] for n in ("ratio", "largest")},
        "network: cosine of two ends": network["line cosines"][:, 0, -1],
        "network: cosine of an end and the middle": network["line cosines"][:, 0, 2],
    }


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Ratio and eigenvalues, loss and bound; powers of the width; Keras' own form; the network."""
    numbers = judged(arrays, config)
    when = "at every look" if numbers["sandwich"] == 0 else f"at all but {numbers['sandwich']} looks"
    title = f"The tangent kernel bounds the speed of descent {when}: {_kernel_says(arrays, config)}\n"
    title += f"{config.points} points in {config.dimension} dimensions, tanh networks in NTK form, "
    title += pictures.counted(config.seeds, "seed")
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 2.9))
    _draw_ratio(axes[0], arrays, config)
    _draw_loss(axes[1], arrays, config)
    _draw_bend(axes[2], arrays, config)
    _draw_change(axes[3], arrays, config)
    _draw_own(axes[4], arrays, config)
    _draw_network(axes[5], arrays, config)
    return figure


def _kernel_says(arrays, config):
    power = slope(config.two, arrays["two change"])
    return f"the change of K goes with the width as m$^{{{power:.2f}}}$"


def _draw_ratio(ax, arrays, config):
    """The widest network of two layers, first seed."""
    plots, own = wedges.plots, under("two", arrays)
    steps = own["steps"][0, -1]
    x = np.append(np.arange(0, steps, wide.EVERY), steps)
    for name, color, style, label in (
        ("largest", plots.GREY, "--", r"largest eigenvalue of $K$"),
        ("ratio", plots.BLUE, "-", r"$|\nabla L|^2 / 2L$"),
        ("smallest", plots.ORANGE, "--", "smallest eigenvalue"),
    ):
        ax.plot(x, own[name][0, -1, : len(x)], style, color=color, label=label)
    near = own["ratio"][0, -1, -1] < 4 * own["smallest"][0, -1, -1]
    title = "The ratio falls towards the smallest eigenvalue" if near else "The ratio lies in between"
    title += f"\n(two layers, width {config.two[-1]})"
    plots.label_axes(ax, title=title, x="step", y="eigenvalue, ratio", log="y", legend=8)


def _draw_loss(ax, arrays, config):
    """Loss at half the step and its bound, the widest of each depth, first seed."""
    plots = wedges.plots
    for g, color in zip(HEADS, (plots.BLUE, plots.GREEN), strict=True):
        own = under(g, arrays)
        for values, style, label in zip(
            bounds(own, [-1])[::-1], ("-", ":"), (HEADS[g], None), strict=True
        ):
            values = values[0, 0, : own["half steps"][0, -1] + 1]
            ax.plot(values / values[0], style, color=color, label=label)
    title = r"The loss stays below $(1-\eta\mu)^t$ (dotted)"
    if judged(arrays, config)["bound"]:
        title = r"The loss does not stay below $(1-\eta\mu)^t$ (dotted)"
    how = {"y": "loss over the first", "log": "y", "legend": 8}
    plots.label_axes(ax, title=title, x=r"step, $\eta$ = 0.5 / largest eigenvalue", **how)


def _at(widths):
    """How an axis of widths is labelled, and the size of a legend."""
    return {"ticks": widths[:: -(-len(widths) // 4)], "legend": 8}


def _draw_bend(ax, arrays, config):
    plots, lines = wedges.plots, []
    for g, label, color, marker in (
        ("two", "two layers", plots.BLUE, "o"),
        ("three", "three layers", plots.GREEN, "s"),
        ("tanh", "output tanh(3 f)", plots.ORANGE, "^"),
        ("bottleneck", f"a layer of {wide.BOTTLENECK}", plots.GREY, "D"),
    ):
        widths = config.three if g == "three" else config.two
        values = arrays[f"{g} bend"]
        power = slope(widths, values)
        lines.append(power)
        label = f"{label}: m$^{{{power:.2f}}}$"
        plots.curve(ax, widths, values, color=color, label=label, marker=marker)
    title = "The output's Hessian shrinks with width\nfastest where the output is linear"
    if min(lines[2:]) < max(lines[:2]):
        title = "The norm of the output's Hessian\nagainst the width"
    plots.label_axes(ax, title=title, x="width m", y=r"$|\nabla^2 f|_2$", log="xy", **_at(config.two))


def _draw_change(ax, arrays, config):
    plots = wedges.plots
    for g, color in zip(HEADS, (plots.BLUE, plots.GREEN), strict=True):
        own, widths = under(g, arrays), getattr(config, g)
        way, change = own["distance"][..., -1], own["change"]
        for values, style, marker, what in ((change, "-", "o", "kernel"), (way, "--", "s", "weights")):
            label = f"{what}, {HEADS[g]}: m$^{{{slope(widths, values):.2f}}}$"
            plots.curve(ax, widths, values, color=color, label=label, marker=marker, style=style)
    title = "How far kernel and weights have moved\nat the end, against the width"
    if arrays["two change"].mean(axis=0)[-1] < arrays["two change"].mean(axis=0)[0] / 4:
        title = "The wider, the less the kernel changes,\nfor weights that have moved this far"
    y = r"relative change of $K$, $|\theta-\theta_0|$"
    plots.label_axes(ax, title=title, x="width m", y=y, log="xy", **_at(config.two))


def _draw_own(ax, arrays, config):
    """The ends of the spectrum at the start, in three forms."""
    plots = wedges.plots
    for g, label, color in (
        ("two", "NTK form", plots.BLUE),
        ("lecun", "N(0, 1 / fan-in)", plots.GREEN),
        ("own", "Keras' default (Glorot)", plots.ORANGE),
    ):
        widths = config.two if g == "two" else config.own
        for name, style, marker in (("largest", "-", "o"), ("smallest", "--", "s")):
            values = arrays[f"{g} {name}"].reshape(config.seeds, len(widths), -1)[..., 0]
            shown = f"{label}: m$^{{{slope(widths, values):.2f}}}$" if style == "-" else None
            how = {"color": color, "label": shown, "marker": marker, "style": style}
            plots.curve(ax, widths, values, **how)
    power = slope(config.own, arrays["own smallest"][..., 0])
    title = "K at the start: by Keras' default the smallest\n"
    title += f"eigenvalue (dashed) goes as m$^{{{power:.2f}}}$"
    plots.label_axes(ax, title=title, x="width m", y="eigenvalue of K", log="xy", **_at(config.two))


def _draw_network(ax, arrays, config):
    plots, own = wedges.plots, under("network", arrays)
    x = np.maximum(own["steps"][0], 0.5)
    plots.curve(ax, x, own["ratio"], color=plots.BLUE, label=r"$|\nabla L|^2 / 2L$")
    for name, style, label in (("high", "--", "at most, by K"), ("low", ":", "at least, by K")):
        values = np.maximum(own[name], 1e-12).mean(axis=0)
        ax.plot(x, values, style, color=plots.GREY, label=label)
    cosine, middle = own["line cosines"][:, 0, -1].mean(), own["line cosines"][:, 0, 2].mean()
    title = f"{pictures.named(config.model)} on {pictures.named(config.dataset)}: cosine of $K$ at two "
    title += f"optima {cosine:.2f}, of one and the middle {middle:.2f}"
    plots.label_axes(ax, title=title, x="step of Adam", y="ratio", log="xy", legend=8)


if __name__ == "__main__":
    runs.main(__name__)
