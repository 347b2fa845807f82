"""The Goldilocks zone: where the landscape is most convex, random planes train best.

At the initial weights times r, on random planes of d dimensions through them, the exact d x d Hessian:

    its share of positive eigenvalues, and Tr H / |H|_F, at most sqrt(d)

And, on all training examples, how well the network trains inside such planes, against d and r. In the
simple model the same Hessians, the weights' scale acting as in a homogeneous network of four layers.

    python -m reproductions.emergent_goldilocks --preset=quick     digits, two minutes
    python -m reproductions.emergent_goldilocks                    CIFAR-10 and Fashion-MNIST,
                                                                   a quarter of an hour
    python -m reproductions.emergent_goldilocks --radii=0.5,1,2 --dims=20,50,100
Source: Fort & Ganguli 2019, arXiv:1910.05929; Fort & Scherlis 2018, arXiv:1807.02581.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.bench.errors import UsageError
from reproductions.common import local

positive = local.positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(local.Config):
    """Settings of the figure."""

    radii: tuple[float, ...] = runs.option(
        "scales r of the initial weights, e.g. --radii=0.3,1,3", positive, "above 0"
    )
    plane: int = runs.option(
        "dimensions of the planes whose Hessians are looked at; e.g. 50",
        lambda v: 2 <= v <= local.MODEL["dimension"],
        f"from 2 to {local.MODEL['dimension']}, the model's dimensions",
    )
    dims: tuple[int, ...] = runs.option(
        "dimensions d of the planes that are trained in, e.g. --dims=10,30,100", positive, "at least 1"
    )
    plane_epochs: int = runs.option("epochs of training inside a plane; e.g. 8", positive, "at least 1")
    plane_rate: float = runs.option(
        "Adam's rate inside a plane at r = 1; it is r times this elsewhere; e.g. 0.05",
        positive,
        "above 0, e.g. 0.05",
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("radii", "dims"):  # rising, each once: claims look at the ends
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


PAPER = {
    **local.PAPER,
    "radii": (0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    "plane": 50,
    "dims": (10, 30, 100),
    "plane_epochs": 6,
    "plane_rate": 0.05,
}
QUICK = {**PAPER, **local.QUICK, "plane": 20, "dims": (5, 20, 80)}
SMOKE = {
    **QUICK,
    **local.SMOKE,
    "radii": (0.25, 1.0, 4.0),
    "plane": 10,
    "dims": (5, 20),
    "plane_epochs": 2,
}
PRESETS = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}


def measure(config, run):
    """Per row "<row> positive", "<row> ratio" [seeds, radii] and "<row> accuracy" [seeds, dims, radii];
    "model positive", "model ratio" [seeds, radii]; "<row> length" [seeds], of the initial weights."""
    from reproductions.bench import parallel

    for name, source in local.rows(config):
        dataset = local.load(source, run.data_dir)
        dimension = local.network(config, dataset, name, config.seed)[0].dimension
        for flag, d in (("plane", config.plane), ("dims", max(config.dims))):
            if d > dimension:
                raise UsageError(f"--{flag}={d}: at most as many as {name} has weights, {dimension}.")
    found = parallel.over(run, functools.partial(_network, config, run), local.items(config))
    models = local.models(config)
    model = np.array([[_model(config, m, r) for r in config.radii] for m in models])  # [seeds, radii, 2]
    own = {"model positive": model[..., 0], "model ratio": model[..., 1]}
    return local.by_row(config, found) | own


def _network(config, run, item):
    """One network from one seed, at all radii."""
    import wedges
    from reproductions.bench import store
    from reproductions.bench.progress import bar
    from reproductions.common import training

    row, seed = item
    name, source = local.rows(config)[row]
    dataset = local.load(source, run.data_dir)
    train, seen, key = local.network(config, dataset, name, seed)
    start = train.space.read().numpy()
    unseen = train.on(*dataset.tensors[2:])
    shapes, accuracy = [], np.zeros((len(config.dims), len(config.radii)))
    for j, r in enumerate(bar(iterable=config.radii, desc=f"{name}, seed {seed}", unit="radius")):
        theta = (r * start).astype(start.dtype)
        own = {**key, "examples": seen.size, "radius": r, "plane": config.plane}
        look = lambda theta=theta: _shape(seen, theta, config.plane, seed)
        shapes.append(run.cached(own, look))
        for i, d in enumerate(config.dims):
            inside = wedges.random_cut(theta, d, seed=seed)
            # A step moves a point as far, in units of its own length, at every radius.
            how = training.Recipe("adam", config.plane_rate * r, config.plane_epochs)
            label = f"{name}, seed {seed}, r {r:g}, d {d}"
            end = training.train(train, theta, how, key=key, run=run, label=label, subspace=inside).theta
            read = lambda end=end: {"accuracy": np.array(unseen.evaluate(end).accuracy)}
            found = run.cached({**key, "theta": store.fingerprint(end), "what": "accuracy"}, read)
            accuracy[i, j] = found["accuracy"]
    return {
        "positive": np.array([s["positive"] for s in shapes]),
        "ratio": np.array([s["ratio"] for s in shapes]),
        "accuracy": accuracy,
        "length": np.linalg.norm(start),
    }


def _shape(landscape, theta, d, seed):
    """Share of positive eigenvalues, and Tr / |.|_F, of the Hessian on a random plane through theta."""
    import wedges

    inside = wedges.restrict(landscape, wedges.random_cut(theta, d, seed=seed))
    return _of(wedges.dense(wedges.hessian(inside, np.zeros(d, theta.dtype))))


def _of(matrix):
    values = np.linalg.eigvalsh(matrix.astype(np.float64))
    return {
        "positive": np.mean(values > 0),
        "ratio": values.sum() / np.linalg.norm(values),
    }


def _model(config, simple, r):
    """The same of the model, whose coordinates are random directions already: its first d."""
    point = local.at_radius(simple, r)
    d = config.plane
    inside = point.factor[:, :d]
    found = _of(inside.T @ inside + point.residual[:d, :d])
    return found["positive"], found["ratio"]


# ---- what the numbers say ---------------------------------------------------------------------------


def _zone(ratio):
    """Of the mean over seeds [radii]: the largest minus the larger of its two ends."""
    mean = ratio.mean(axis=0)
    return mean.max() - max(mean[0], mean[-1])


def claims(arrays, config):
    """A zone in the middle of the radii, and the best training in it."""
    from scipy.stats import spearmanr

    found = []

    def claim(id, statement, measured, relation, expected):
        statement = f"{statement}, mean over seeds"
        found.append(
            Claim(f"emergent.goldilocks.{id}", statement, local.SOURCE, measured, relation, expected)
        )

    for label, prefix in local.labels(config).items():
        id = label.split()[0]
        bound = np.sqrt(config.plane)
        over = "largest over radii minus that at the better end"
        zone = _zone(arrays[f"{prefix} ratio"])
        claim(f"{id}.convexity", f"{label}: Tr H / |H|_F over sqrt(d), {over}", zone / bound, ">=", 0.1)
        claim(
            f"{id}.positive",
            f"{label}: share of positive eigenvalues, {over}",
            _zone(arrays[f"{prefix} positive"]),
            ">=",
            0.05,
        )
        if prefix != "model":
            accuracy = arrays[f"{prefix} accuracy"].mean(axis=0)[-1]  # of the largest d, [radii]
            ends = max(accuracy[0], accuracy[-1])
            largest = f"test accuracy after training in planes of {max(config.dims)} dimensions"
            claim(f"{id}.success", f"{label}: {largest}, {over}", accuracy.max() - ends, ">=", 0.1)
            rank = spearmanr(accuracy, arrays[f"{prefix} ratio"].mean(axis=0)).statistic
            both = "rank correlation over radii of that accuracy and Tr H / |H|_F"
            claim(f"{id}.agree", f"{label}: {both}", rank, ">=", 0.5)
    return found


def summary(arrays, config):
    """Ratios and accuracies at each radius by seed: what the reference guards."""
    found = {}
    for label, prefix in local.labels(config).items():
        for j, r in enumerate(config.radii):
            found[f"{label}, r {r:g}: positive"] = arrays[f"{prefix} positive"][:, j]
            if prefix != "model":
                found[f"{label}, r {r:g}: accuracy"] = arrays[f"{prefix} accuracy"][:, -1, j]
    return found


def plot(arrays, config):
    """Convexity against the radius, share of positive eigenvalues, accuracy inside planes."""
    from wedges import plots

    labels = local.labels(config)
    figure, axes = plots.grid(
        2,
        len(labels),
        title="The Goldilocks zone: where the landscape is most convex, random planes train best\n"
        f"mean and deviation of {config.seeds} seed{'s' * (config.seeds > 1)}; Hessians on random "
        f"planes of {config.plane} dimensions, {config.examples} examples",
        panel=(4.4, 3.0),
    )
    for j, (label, prefix) in enumerate(labels.items()):
        top, below = axes[0, j], axes[1, j]
        ratio = arrays[f"{prefix} ratio"] / np.sqrt(config.plane)
        plots.curve(top, config.radii, ratio, color=plots.BLUE, label="Tr H / (|H|_F sqrt d)")
        share = arrays[f"{prefix} positive"]
        plots.curve(top, config.radii, share, color=plots.ORANGE, label="share of positive eigenvalues")
        if prefix == "model":
            below.set_axis_off()
        else:
            for i, d in enumerate(config.dims):
                color = plots.shade(i / max(1, len(config.dims) - 1))
                accuracy = 100 * arrays[f"{prefix} accuracy"][:, i]
                plots.curve(below, config.radii, accuracy, color=color, label=f"plane of d = {d}")
        for ax in (top, below) if prefix != "model" else (top,):
            ax.axvline(1, color=plots.GREY, linestyle=":", linewidth=1)
            ax.set_xscale("log")
            ax.legend(fontsize=7)
        title = "the simple model" if prefix == "model" else label
        plots.label_axes(top, title=title, x="weights / initial weights", y="convexity")
        if prefix != "model":
            plots.label_axes(below, x="weights / initial weights", y="test accuracy (%)")
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
