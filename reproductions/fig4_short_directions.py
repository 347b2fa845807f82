"""Figure 4: how many directions are short, at optima, along a tunnel, in the middle of m-connectors?

The paper expects more short directions where low-loss wedges meet than on one of them, growing with the
number of optima joined. We count in two ways on the network, with error bars:

  cuts        the smallest random cut in which descent undoes 90% of a random displacement's rise
  eigenvalues the Hessian's eigenvalues above a floor, by stochastic Lanczos quadrature

and on the toy landscape, where the truth is known, in two more: the geometry itself, and the rank of the
gradients around the point. A loss is the distance to the *nearest* wedge, so the first two may see one
wedge where several cross; the toy shows by how much.

    python -m reproductions.fig4_short_directions --preset=quick    digits, a minute
    python -m reproductions.fig4_short_directions                   CIFAR-10, half an hour after training
    python -m reproductions.fig4_short_directions --m=1,3 --displacement=2 --floors=0.3,3
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 4.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import devices, runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima, toys

PAPER = "Fort & Jastrzebski 2019, Fig. 4"
positive = optima.positive
TOY = ("geometry", "gradients", "cuts", "eigenvalues")
TOY_RADIUS = 1e-2  # far above rounding, far below the size of the long components


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(optima.Config):
    """Settings of the figure."""

    m: tuple[int, ...] = runs.option(
        "m of the m-connectors whose middle is probed, from 2 on; e.g. 2,3,5,10",
        lambda v: 2 <= v <= 20,
        "from 2 to 20",
    )
    segments: int = runs.option(
        "segments of the tunnel whose vertices are probed, even; e.g. 4",
        lambda v: v >= 2 and v % 2 == 0,
        "even, at least 2",
    )
    steps: int = runs.option(
        "gradient steps that make each of these points low; e.g. 780", positive, "at least 1"
    )
    displacement: float = runs.option(
        "length of the random displacement that a cut has to undo; e.g. 5", positive, "above 0"
    )
    cuts: tuple[int, ...] = runs.option(
        "dimensions of the random cuts, rising; e.g. 100,300,1000", positive, "at least 1"
    )
    cut_samples: int = runs.option(
        "random displacements at each point; e.g. 2", lambda v: v > 1, "at least 2, for an error bar"
    )
    cut_steps: int = runs.option("gradient steps in each cut; e.g. 200", positive, "at least 1")
    cut_rate: float = runs.option(
        "Adam's learning rate in a cut, where it starts; e.g. 0.01", positive, "above 0"
    )
    left: float = runs.option(
        "share of a displacement's rise that may be left; e.g. 0.1",
        lambda v: 0 < v < 1,
        "between 0 and 1",
    )
    floors: tuple[float, ...] = runs.option(
        "eigenvalues above these are counted, nats per squared length; e.g. 1,10", positive, "above 0"
    )
    hessian_examples: int = runs.option(
        "training examples in the Hessian; e.g. 2000", positive, "at least 1"
    )
    lanczos: int = runs.option("Lanczos steps from each random vector; e.g. 20", positive, "at least 1")
    vectors: int = runs.option(
        "random vectors of the eigenvalue count; e.g. 2", lambda v: v > 1, "at least 2, for an error bar"
    )
    toy_dimension: int = runs.option(
        "D of the toy landscape; e.g. 500", lambda v: 3 < v <= 5000, "4..5000"
    )
    toy_short: int = runs.option("s, short directions of its wedges; e.g. 20", positive, "at least 1")


_PAPER = {
    **optima.BETWEEN,
    "dataset": "cifar10",
    "seed": 0,
    "m": (2, 3, 5, 10),
    "segments": 4,
    "steps": 780,
    "displacement": 5.0,
    "cuts": (30, 100, 300, 1000, 3000),
    "cut_samples": 2,
    "cut_steps": 200,
    "cut_rate": 0.01,
    "left": 0.1,
    "floors": (1.0, 10.0),
    "hessian_examples": 2000,
    "lanczos": 20,
    "vectors": 2,
    "toy_dimension": 500,
    "toy_short": 20,
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "epochs": 40,
    "batch_size": 32,
    "m": (2, 4),
    "steps": 200,
    "cuts": (10, 30, 100, 300, 1000),
    "cut_steps": 100,
    "floors": (0.1, 1.0),
    "hessian_examples": 500,
    "toy_dimension": 300,
}
_SMOKE = {
    **_QUICK,
    "epochs": 5,
    "m": (2,),
    "segments": 2,
    "steps": 20,
    "cuts": (30, 300),
    "cut_steps": 10,
    "hessian_examples": 100,
    "lanczos": 10,
    "examples": 300,
    "toy_dimension": 100,
    "toy_short": 8,
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """Of each place: "train loss", "left" [places, samples, cuts], "eigenvalues" [places, floors,
    vectors]; of the toy, "toy <estimator>" [m's, 2]: the optimised middle and the wedges' crossing."""
    from reproductions.bench import parallel
    from reproductions.bench.errors import UsageError
    from reproductions.common import data

    if list(config.cuts) != sorted(set(config.cuts)):
        raise UsageError(f"--cuts={','.join(map(str, config.cuts))}: must rise, e.g. 100,300,1000.")
    most = (max(config.m) + 1) * config.toy_short
    if most >= config.toy_dimension:
        raise UsageError(
            f"--toy_dimension={config.toy_dimension}: must be above (m + 1) s = {most}, the short "
            "directions where all wedges cross; use less of --toy_short or --m, or more dimensions."
        )
    dataset = data.load(config.dataset, run.data_dir)
    size = optima.network(config, dataset).descend.dimension
    if max(config.cuts) > size:
        raise UsageError(
            f"--cuts={max(config.cuts)}: the network has {size} weights, and no larger cut."
        )
    seeds = range(config.seed, config.seed + max(config.m) + 1)
    train = functools.partial(optima.trained, config, run, dataset)
    thetas = np.stack(parallel.over(run, train, seeds))  # [K, D]
    between = functools.partial(_between, config, run, dataset, thetas)
    places = np.concatenate([thetas[:2], *parallel.over(run, between, _middles(config))])  # [places, D]
    probe = functools.partial(_probe, config, run, dataset)
    found = parallel.over(run, probe, list(zip(places, names(config), strict=True)))
    arrays = {name: np.stack([f[name] for f in found]) for name in found[0]}
    key = {"figure": "fig4 toy", "m": _middles(config), "seed": config.seed}
    key |= {"D": config.toy_dimension, "s": config.toy_short}
    return arrays | run.cached(key, functools.partial(_toy, config))


def names(config):
    """The places that are probed, in words: two optima, the tunnel's vertices, the middles."""
    share = [i / config.segments for i in range(1, config.segments)]
    tunnel = [f"tunnel, {t:g}" for t in share]
    return ["optimum 1", "optimum 2", *tunnel, *(f"middle, m = {m}" for m in config.m)]


def _middles(config):
    """m of the middles: that of the tunnel is m = 1."""
    return [1, *config.m]


def _between(config, run, dataset, thetas, m):
    """The tunnel's inner vertices for m = 1, else the middle of the first m + 1 optima: [points, D]."""
    from reproductions.common import training
    from wedges import connect, simplex

    network, ends = optima.network(config, dataset), thetas[: m + 1]
    basis = simplex.Grid(1, config.segments) if m == 1 else simplex.Scattered(simplex.centroid(m))
    key = {**network.key, "rate": config.rate, "ends": store.fingerprint(ends)}
    label = "tunnel" if m == 1 else f"middle, m = {m}"
    points = len(basis.points) - m - 1
    with training.following(run, label, points * config.steps, key=key) as follow:
        found = connect.connector(
            network.descend,
            ends,
            basis,
            optima.adam(config, config.steps),
            config.steps,
            jit_compile=devices.compiled(run),
            follow=follow,
        )
    return found.vertices[m + 1 :]


def _probe(config, run, dataset, place):
    """Both estimators at one place (theta, name)."""
    import keras

    from reproductions.common import training
    from wedges import short

    (theta, name), network = place, optima.network(config, dataset)
    at = {**network.key, "theta": store.fingerprint(theta), "seed": config.seed}
    adam = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(config.cut_rate, config.cut_steps)
    )

    def cuts():
        total = config.cut_samples * len(config.cuts) * config.cut_steps
        with training.following(
            run, f"{name}, cuts", total, key={**at, "rate": config.cut_rate}
        ) as follow:
            found = short.smallest_cut(
                network.seen,
                theta,
                config.cuts,
                displacement=config.displacement,
                samples=config.cut_samples,
                optimizer=adam,
                steps=config.cut_steps,
                seed=config.seed,
                descend_on=network.descend,
                jit_compile=devices.compiled(run),
                follow=follow,
            )
        return {"left": found.left, "rises": found.rises}

    part = slice(config.hessian_examples)
    hessian = network.seen.on(
        network.seen.x[part], network.seen.y[part], batch_norm="frozen", evaluation_batch_size=250
    )

    def eigenvalues():
        counts = short.eigenvalue_count(
            hessian,
            theta,
            config.floors,
            samples=config.vectors,
            steps=config.lanczos,
            seed=config.seed,
        )
        return {"eigenvalues": np.stack([c.samples for c in counts])}

    how = {"cuts": config.cuts, "samples": config.cut_samples, "steps": config.cut_steps}
    how |= {"displacement": config.displacement, "rate": config.cut_rate}
    spectrum = {"floors": config.floors, "vectors": config.vectors, "lanczos": config.lanczos}
    spectrum |= {"examples": hessian.size}
    loss = run.cached({**at, "what": "loss"}, lambda: {"train loss": network.seen(theta).numpy()})
    return loss | run.cached({**at, **how}, cuts) | run.cached({**at, **spectrum}, eigenvalues)


def _toy(config):
    """{"toy <estimator>" [m's, 2]}: at the middle as the paper optimises it, and at the crossing of all
    m + 1 wedges; and the same of one optimum, "toy optimum <estimator>" []."""
    import wedges
    from reproductions.bench.progress import bar
    from wedges import connect, simplex

    s, dimension = config.toy_short, config.toy_dimension
    k = max(config.m) + 1
    landscape = toys.build("finite", dimension, dimension - s, k=k, seed=config.seed)
    squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
    points = toys.gaussian(config.seed, k, dimension)
    normals = landscape.normals.numpy()  # [K, s, D]
    # An optimum on each wedge: the nearest point of it.
    ends = np.stack([p - n.T @ (n @ p) for p, n in zip(points, normals, strict=True)])
    found = {f"toy {name}": [] for name in TOY}
    for m in bar(iterable=_middles(config), desc="toy", unit="m"):
        basis = simplex.Scattered(simplex.centroid(m))
        middle = connect.connector(squared, ends[: m + 1], basis, cg, 200, tolerance=1e-6)
        crossing = connect.connect(squared, ends[: m + 1], cg, 400, tolerance=1e-7).theta.numpy()
        counts = [_toy_counts(config, landscape, p, m) for p in (middle.vertices[-1], crossing)]
        for name in TOY:
            found[f"toy {name}"].append([c[name] for c in counts])
    one = _toy_counts(config, landscape, ends[0], 0)
    return {name: np.array(v) for name, v in found.items()} | {
        f"toy optimum {name}": np.array(v) for name, v in one.items()
    }


def _toy_counts(config, landscape, theta, m):
    """{estimator: count} at one point of the toy landscape."""
    import wedges
    from wedges import short

    squared, s = wedges.Squared(landscape), config.toy_short
    near = theta + TOY_RADIUS * _unit(config.seed, m, len(theta))
    dimensions = {round(f * s) for f in (0.5, 0.75, 1, 1.5)} | {(m + 1) * s // 2, (m + 1) * s}
    cuts = short.smallest_cut(
        squared,
        theta,
        sorted(dimensions),
        displacement=TOY_RADIUS,
        samples=config.cut_samples,
        optimizer=wedges.ConjugateGradients(),
        steps=100,
        seed=config.seed,
    )
    count = functools.partial(short.eigenvalue_count, squared, near, 0.5)
    return {
        "geometry": len(landscape.short_directions(theta, 1e-3)),
        "gradients": short.gradient_rank(
            landscape, theta, TOY_RADIUS, 6 * (m + 1) * s, seed=config.seed
        ),
        "cuts": short.recovered(cuts, config.left).mean / (1 - config.left),
        "eigenvalues": count(samples=8, steps=10, seed=config.seed).mean,
    }


def _unit(*seed_and_length):
    *seed, length = seed_and_length
    v = np.random.default_rng(seed).standard_normal(length)
    return (v / np.linalg.norm(v)).astype(np.float32)


def _counts(arrays, config):
    """{estimator: (mean [places], standard error [places])} on the network."""
    cuts = _cuts(arrays, config)
    found = {"cuts": (np.array([c.mean for c in cuts]), np.array([c.error for c in cuts]))}
    values = arrays["eigenvalues"]  # [places, floors, vectors]
    error = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    for i, floor in enumerate(config.floors):
        found[f"eigenvalues above {floor:g}"] = (values[:, i].mean(axis=-1), error[:, i])
    return found


def _cuts(arrays, config):
    """What the cuts say at each place: a `short.Count` each."""
    from wedges.short import Cuts, recovered

    pairs = zip(arrays["left"], arrays["rises"], strict=True)
    return [recovered(Cuts(left, np.array(config.cuts), r), config.left) for left, r in pairs]


def _by_m(counts, config):
    """m = 0 (mean of the two optima), 1 (the tunnel's middle), ...; and the counts there."""
    half = 2 + config.segments // 2 - 1
    middles = [counts[half], *counts[2 + config.segments - 1 :]]
    return np.array([0, *_middles(config)]), np.array([counts[:2].mean(), *middles])


def claims(arrays, config):
    """Every claim of fig4: each estimator, and the toy's truth."""
    from scipy.stats import spearmanr

    found = []
    for name, (mean, _) in _counts(arrays, config).items():
        m, by_m = _by_m(mean, config)
        id = name.replace("eigenvalues above ", "eigenvalues.")
        ranked = np.isfinite(by_m).all() and np.ptp(by_m) > 0  # else there is no rank
        rank = spearmanr(m, by_m).statistic if ranked else np.nan
        ratio = by_m[1] / by_m[0] if by_m[0] > 0 else np.nan
        found += [
            Claim(f"fig4.middle.{id}", f"{name}: tunnel's middle / optima", PAPER, ratio, ">", 1),
            Claim(f"fig4.rank.{id}", f"{name}: rank correlation with m", PAPER, rank, ">=", 0.8),
        ]
    expected = (np.array(_middles(config)) + 1) * config.toy_short
    for name in ("geometry", "gradients"):
        off = np.abs(arrays[f"toy {name}"][:, 1] / expected - 1).max()
        words = f"toy, crossing of m + 1 wedges: |{name} / (m + 1) s - 1|"
        found.append(Claim(f"fig4.toy.{name}", words, PAPER, off, "<=", 0.05))
    return found


def summary(arrays, config):
    """Each sample of every count on the network, and the toy's counts: what the reference guards."""
    middles, cuts = arrays["train loss"][2:], _cuts(arrays, config)
    found = {"optima: train loss": arrays["train loss"][:2], "between: train loss": middles}
    for i, place in enumerate(names(config)):
        found[f"{place}: cuts"] = cuts[i].samples
        for floor, values in zip(config.floors, arrays["eigenvalues"][i], strict=True):
            found[f"{place}: eigenvalues above {floor:g}"] = values
    for name in TOY:
        found[f"toy optimum: {name}"] = [arrays[f"toy optimum {name}"]]
        for i, m in enumerate(_middles(config)):
            found[f"toy middle, m {m}: {name}"] = [arrays[f"toy {name}"][i, 0]]
            found[f"toy crossing, m {m}: {name}"] = [arrays[f"toy {name}"][i, 1]]
    # A count that no cut reached is no number to compare.
    return {name: v for name, v in found.items() if np.isfinite(v).all()}


def plot(arrays, config):
    """Along the tunnel; by m; what cuts leave; the toy at both kinds of middle."""
    from wedges import plots

    figure, axes = plots.grid(
        2,
        3,
        title="Figure 4: how many directions are short?\n"
        f"{config.model} on {config.dataset}; error bars: standard error over {config.cut_samples} "
        f"displacements of length {config.displacement:g}, {config.vectors} Lanczos vectors; toy: "
        f"D = {config.toy_dimension}, s = {config.toy_short}",
        panel=(4.6, 3.4),
    )
    (along, by_m, left), (toy_middle, toy_crossing, loss) = axes
    colors = (plots.ORANGE, plots.BLUE, plots.GREEN, plots.GREY, "black")
    order = [0, *range(2, 2 + config.segments - 1), 1]
    t = np.linspace(0, 1, config.segments + 1)
    for (name, (mean, error)), color in zip(_counts(arrays, config).items(), colors, strict=False):
        style = {"color": color, "label": name}
        plots.errorbars(along, t, mean[order], error[order], **style)
        m, values = _by_m(mean, config)
        plots.errorbars(by_m, m, values, _by_m(error, config)[1], **style)
    for i, place in enumerate(names(config)):
        shade = plots.shade(i / max(1, len(names(config)) - 1))
        left.plot(
            config.cuts, arrays["left"][i].mean(axis=0), "o-", color=shade, label=place, markersize=3
        )
    left.axhline(config.left, color="black", linewidth=0.8, linestyle=":")
    left.set_xscale("log")
    left.legend(fontsize=6)
    for j, (ax, what) in enumerate(
        (
            (toy_middle, "the middle, minimised as in the paper"),
            (toy_crossing, "the crossing of all wedges"),
        )
    ):
        x = np.array([0, *_middles(config)])
        ax.plot(x, (x + 1) * config.toy_short, ":", color="black", label="(m + 1) s")
        for name, color, marker, size in zip(TOY, colors, "so^v", (9, 5, 6, 4), strict=False):
            y = [arrays[f"toy optimum {name}"], *arrays[f"toy {name}"][:, j]]
            ax.plot(x, y, marker=marker, color=color, label=name, markersize=size)
        plots.label_axes(ax, title=f"toy: {what}", x="m (0: one optimum)", y="short directions")
    toy_middle.legend(fontsize=7)
    m, values = _by_m(arrays["train loss"], config)
    loss.plot(m, values, "o-", color=plots.GREY)
    plots.label_axes(loss, title="network: training loss there", x="m", y="training loss (nats)")
    plots.label_axes(
        along, title="network, along the tunnel", x="from one optimum to the other", y="count"
    )
    plots.label_axes(by_m, title="network, middle of m-connectors", x="m (0: optima)", y="count")
    plots.label_axes(
        left, title="what descent in a cut leaves of the rise", x="dimension of the cut", y="share left"
    )
    for ax in (along, by_m):
        ax.set_yscale("log")
    for ax in (by_m, toy_middle, toy_crossing, loss):
        ax.set_xticks([0, *_middles(config)])
    along.legend(fontsize=7)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
