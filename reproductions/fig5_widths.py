"""Figure 5: learning rate, L2, dropout, batch size and network width change how wide a tunnel is.

Networks are trained with one of five hyperparameters at several values, several seeds each, until all
have the same training loss (or the epochs are over). From each optimum the loss is followed along random
directions until it crosses a threshold: twice the optimum's own loss, and a fixed one. The width of the
tunnel is that distance, or the angle arctan(distance / |theta|). The paper: wider with learning rate,
with L2 and with dropout until these get too strong, narrower with batch size.

    python -m reproductions.fig5_widths --preset=quick              digits, a minute or two
    python -m reproductions.fig5_widths --hyperparameter=lr         CIFAR-10, one of the five
    python -m reproductions.fig5_widths --jobs=2                    all five, two settings at a time
    python -m reproductions.fig5_widths --backend=dask --address=tcp://10.0.0.1:8786
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 5.
"""

import dataclasses
import functools
import inspect
import sys

import numpy as np

from reproductions.bench import runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima

PAPER = "Fort & Jastrzebski 2019, Fig. 5"
positive = lambda v: v > 0
# What the paper says of each: 1 wider with larger values, -1 narrower, 0 nothing that we know.
EXPECTED = {"lr": 1, "l2": 1, "dropout": 1, "batch_size": -1, "width": 0}
REVERSES = ("l2", "dropout")
TITLES = {
    "lr": "learning rate (Adam)",
    "l2": "L2 coefficient",
    "dropout": "dropout rate",
    "batch_size": "batch size",
    "width": "network width (x the paper's)",
}
THRESHOLDS = ("multiple", "fixed")
MEASURES = ("distance", "angle")
_CHECKS = 5  # of the training loss, an epoch
_REPORTED = 10_000  # training examples in the training loss that is reported
# The code that decides what a width is, given the weights.
_PROBES = store.source_mark("wedges/probe.py", "wedges/network.py", "wedges/stateless.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.DataConfig):
    """Settings of the figure."""

    hyperparameter: tuple[str, ...] = runs.option(
        "what is varied, one column each; several with commas", choices=("all", *EXPECTED)
    )
    lr: tuple[float, ...] = runs.option(
        "Adam's constant learning rates to sweep; e.g. 0.0003,0.001,0.003", positive, "above 0"
    )
    l2: tuple[float, ...] = runs.option(
        "L2 coefficients c, penalty c * sum(w^2) of kernels, to sweep; e.g. 0,1e-4,1e-3",
        lambda v: v >= 0,
        "at least 0",
    )
    dropout: tuple[float, ...] = runs.option(
        "dropout rates to sweep; e.g. 0,0.1,0.3", lambda v: 0 <= v < 1, "from 0 to below 1"
    )
    batch_size: tuple[int, ...] = runs.option(
        "batch sizes to sweep; e.g. 32,128,512", positive, "at least 1"
    )
    width: tuple[float, ...] = runs.option(
        "factors on the network's channels to sweep; e.g. 0.5,1,2",
        lambda v: 0 < v <= 1000,
        "above 0 and at most 1000",
    )
    base_lr: float = runs.option("learning rate where another is varied", positive, "above 0")
    base_batch_size: int = runs.option("batch size where another is varied", positive, "at least 1")
    model: str = runs.option("network", choices=("simple_cnn", "fc", "lenet", "resnet"))
    depth: int | None = runs.option(
        "layers (blocks) of the network; None: its own", positive, "at least 1"
    )
    activation: str = runs.option("nonlinearity", choices=("tanh", "relu"))
    seeds: int = runs.option(
        "networks a value, with seeds seed, seed + 1, ...; e.g. 3", positive, "at least 1"
    )
    target: float = runs.option(
        "training loss (nats, without dropout or penalty) at which training ends; e.g. 0.95",
        positive,
        "above 0",
    )
    epochs: int = runs.option("most epochs of training; e.g. 20", positive, "at least 1")
    examples: int = runs.option(
        "training examples in the loss that ends training and along directions; e.g. 2000",
        positive,
        "at least 1",
    )
    directions: int = runs.option(
        "random directions from each optimum; e.g. 16", lambda v: v > 1, "at least 2"
    )
    multiple: float = runs.option(
        "first threshold, in multiples of the optimum's own loss; e.g. 2", lambda v: v > 1, "above 1"
    )
    fixed: float = runs.option("second threshold, in nats; e.g. 2", positive, "above 0")


_PAPER = {
    "dataset": "cifar10",
    "seed": 0,
    "seeds": 3,
    "hyperparameter": ("all",),
    "lr": (3e-4, 5e-4, 1e-3, 2e-3, 4e-3),
    "l2": (0.0, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1),
    "dropout": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7),
    "batch_size": (32, 64, 128, 256, 512),
    "width": (0.5, 0.75, 1.0, 1.5, 2.0),
    "base_lr": 1e-3,
    "base_batch_size": 128,
    "model": "simple_cnn",
    "depth": None,
    "activation": "tanh",
    "target": 0.95,
    "epochs": 14,
    "examples": 2000,
    "directions": 12,
    "multiple": 2.0,
    "fixed": 1.5,
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "lr": (1e-3, 3e-3, 1e-2),
    "l2": (0.0, 1e-3, 1e-2),
    "dropout": (0.0, 0.2, 0.5),
    "batch_size": (16, 64, 256),
    "width": (0.5, 1.0, 2.0),
    "seeds": 2,
    "base_lr": 3e-3,
    "base_batch_size": 64,
    "target": 0.1,
    "epochs": 40,
    "examples": 1000,
    "directions": 8,
    "fixed": 1.0,
}
_SMOKE = {
    **_QUICK,
    "hyperparameter": ("lr", "l2"),
    "lr": (2e-3, 4e-3, 8e-3),
    "l2": (0.0, 1e-3, 1e-1),
    "base_lr": 4e-3,
    "epochs": 10,
    "directions": 4,
    "examples": 300,
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One training and the width of its tunnel: all that the result depends on."""

    dataset: str
    model: str
    depth: int | None
    activation: str
    lr: float
    l2: float
    dropout: float
    batch_size: int
    width: float
    seed: int
    target: float
    epochs: int
    examples: int
    directions: int
    multiple: float
    fixed: float


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


def settings(config):
    """{(hyperparameter, value, seed): Setting}; all of them share what is at its base value."""
    own = {f.name for f in dataclasses.fields(Setting)} - {*base(config), "seed"}
    common = {**base(config), **{name: getattr(config, name) for name in own}}
    return {
        (name, value, seed): Setting(**{**common, name: value}, seed=seed)
        for name in varied(config)
        for value in values(config, name)
        for seed in range(config.seed, config.seed + config.seeds)
    }


def measure(config, run):
    """Arrays "<hyperparameter> <number>" [values, seeds, ...] of everything the figure shows."""
    from reproductions.bench import sweep

    wanted = {which: (_name(setting, config), setting) for which, setting in settings(config).items()}
    found = sweep.over(run, measure_one, dict(wanted.values()), figure="fig5_widths").require()
    seeds = range(config.seed, config.seed + config.seeds)
    arrays = {}
    for name in varied(config):
        at = {
            v: [found.arrays(wanted[name, v, seed][0]) for seed in seeds] for v in values(config, name)
        }
        names = at[values(config, name)[0]][0]
        arrays |= {f"{name} {k}": np.array([[r[k] for r in row] for row in at.values()]) for k in names}
    return arrays


def _name(setting, config):
    """What is special about a setting, in words."""
    own = {k: getattr(setting, k) for k, v in base(config).items() if getattr(setting, k) != v}
    return f"{', '.join(f'{k}={v:g}' for k, v in own.items()) or 'base'}, seed {setting.seed}"


@functools.lru_cache(maxsize=1)
def _data(name, data_dir):
    from reproductions.common import data

    return data.load(name, data_dir)


def measure_one(setting, run):
    """Train one network until the target, and find the widths of its tunnel."""
    from reproductions.bench import devices

    devices.start(run)  # in a worker in silence, before anything imports TensorFlow
    from reproductions.common import models, training

    recipe = models.Model(
        setting.model, setting.width, setting.depth, setting.activation, setting.dropout, setting.l2
    )
    dataset = _data(setting.dataset, run.data_dir)
    x_train, y_train, x_test, y_test = dataset.tensors
    how = {"initial": setting.seed, "seed": setting.seed, "batch_size": setting.batch_size}
    landscape, key = optima.landscape(recipe, dataset, **how)
    # What is reported is the loss without penalty and dropout, batch norm's statistics made anew.
    plain = {"regularize": False, "batch_norm": "reestimate"}
    part = landscape.on(x_train[: setting.examples], y_train[: setting.examples], **plain)
    until = training.Until(part, setting.target, max(1, landscape.steps_per_epoch // _CHECKS))
    trained = training.train(
        landscape,
        landscape.space.read().numpy(),
        training.Recipe("adam", setting.lr, setting.epochs),
        key={**key, "initial": setting.seed},
        run=run,
        label=f"seed {setting.seed}",
        until=until,
    )
    # Not all of this file: who edits a claim or the picture does not measure again.
    code = store.digest([_PROBES, inspect.getsource(_probe)])
    key |= {"theta": store.fingerprint(trained.theta), "examples": setting.examples, "code": code}
    key |= {k: getattr(setting, k) for k in ("seed", "directions", "multiple", "fixed")}
    key |= {"software": training.software()}
    more = landscape.on(x_train[:_REPORTED], y_train[:_REPORTED], **plain)
    reported = (more, landscape.on(x_test, y_test, **plain))
    probe = functools.partial(_probe, setting, part, reported, trained.theta)
    found = store.cached(run.checkpoints / f"{store.digest(key)}.npz", key, probe)
    epochs = len(trained.losses) / landscape.steps_per_epoch
    return found | {"epochs": np.array(epochs), "reached": found["loss"] <= setting.target}


def _probe(setting, seen, reported, theta):
    """Losses at theta, and how far both thresholds are along random directions."""
    import wedges

    here, there = (landscape.evaluate(theta) for landscape in reported)
    v = wedges.isotropic(len(theta), setting.directions, seed=setting.seed)
    loss = float(seen(theta))
    thresholds = [setting.multiple * loss, max(setting.fixed, loss)]
    found = {}
    for name, width in zip(THRESHOLDS, wedges.tunnel_width(seen, theta, v, thresholds), strict=True):
        if name == "fixed" and loss > setting.fixed:  # it is crossed where it begins
            width = width._replace(distances=0 * width.distances)
        found |= {f"{name} distances": width.distances, f"{name} censored": width.censored}
    return found | {
        "loss": np.array(loss),
        "train loss": np.array(here.loss),
        "train accuracy": np.array(here.accuracy),
        "test loss": np.array(there.loss),
        "test accuracy": np.array(there.accuracy),
        "norm": np.array(np.linalg.norm(theta)),
        "dimension": np.array(len(theta)),
    }


# ---- what the numbers say ---------------------------------------------------------------------------


def widths(arrays, name, measure, threshold):
    """A mean width over directions for each value and seed, [values, seeds]: distance, or degrees."""
    distances = arrays[f"{name} {threshold} distances"]  # [values, seeds, directions]
    if measure == "angle":
        distances = np.degrees(np.arctan2(distances, arrays[f"{name} norm"][..., None]))
    return distances.mean(axis=-1)


def in_range(arrays, name):
    """The values [values] at which every seed reached the target: where a trend is claimed."""
    return arrays[f"{name} reached"].all(axis=1)


def rank(arrays, config, name, measure, threshold="multiple"):
    """Spearman's rank correlation of value and width in range, and its 95% bootstrap interval.

    Every network is a point. The bootstrap draws the seeds of each value again, 2,000 times. NaN where
    fewer than three values are in range.
    """
    from scipy.stats import rankdata

    good = in_range(arrays, name)
    w = widths(arrays, name, measure, threshold)[good]  # [values in range, seeds]
    if len(w) < 3 or np.isnan(w).any():
        return np.nan, np.nan, np.nan
    x = np.broadcast_to(np.array(values(config, name))[good][:, None], w.shape)
    draws = np.random.default_rng(0).integers(w.shape[1], size=(2000, *w.shape))
    drawn = np.take_along_axis(w[None], draws, axis=2)  # [2000, values in range, seeds]
    every = np.concatenate([w[None], drawn]).reshape(-1, w.size)
    a, b = (rankdata(v, axis=-1) - (w.size + 1) / 2 for v in (x.reshape(1, -1), every))
    rho = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))  # all draws at once
    return rho[0], *np.quantile(rho[1:], [0.025, 0.975])


def reversal(arrays, name, measure):
    """How far the width at the strongest value is above the widest in range, in standard errors of that
    difference; at the fixed threshold, since beyond the range the optimum's own loss differs."""
    w, good = widths(arrays, name, measure, "fixed"), in_range(arrays, name)
    if good[-1] or not good.any() or w.shape[1] < 2:
        return np.nan
    mean, square = w.mean(axis=1), w.var(axis=1, ddof=1) / w.shape[1]
    best = np.flatnonzero(good)[mean[good].argmax()]
    return (mean[-1] - mean[best]) / np.sqrt(square[-1] + square[best])


def claims(arrays, config):
    """Equal convergence; the sign of each trend; the reversals."""
    found = []

    def claim(id, statement, measured, relation, expected, source=PAPER):
        found.append(Claim(f"fig5.{id}", statement, source, measured, relation, expected))

    for name in varied(config):
        sign, good, title = EXPECTED[name], in_range(arrays, name), TITLES[name]
        if not sign:
            continue
        off = np.abs(arrays[f"{name} train loss"][good] / config.target - 1)
        worst = f"{title}: training losses in range, farthest from {config.target:g}, as a share of it"
        comparable = ("<=", 0.1, "this project: what makes widths comparable")
        claim(f"{name}.convergence", worst, off.max() if off.size else np.nan, *comparable)
        for measure in MEASURES:
            rho, low, high = rank(arrays, config, name, measure)
            end, which, relation = (low, "lower", ">") if sign > 0 else (high, "upper", "<")
            statement = f"{title}: rank correlation with the width ({measure}), {rho:.2f}"
            statement += f"; {which} end of its 95% interval"
            claim(f"{name}.{measure}", statement, end, relation, 0.0)
        for measure in MEASURES if name in REVERSES else ():
            statement = f"{title}: width ({measure}) at the strongest value less the widest in range"
            statement += ", in standard errors"
            claim(f"{name}.reversal.{measure}", statement, reversal(arrays, name, measure), "<", -2.0)
    return found


def summary(arrays, config):
    """Losses and widths of every value, by seed: what the reference guards."""
    found = {}
    for name in varied(config):
        for i, value in enumerate(values(config, name)):
            at = f"{name} {value:g}"
            for loss in ("train loss", "test loss"):
                found[f"{at}: {loss}"] = arrays[f"{name} {loss}"][i]
            for measure in MEASURES:
                for threshold in THRESHOLDS:
                    found[f"{at}: {measure}, {threshold}"] = widths(arrays, name, measure, threshold)[i]
    return found


def plot(arrays, config):
    """A column for each hyperparameter: distance, angle, and the losses that were reached."""
    from wedges import plots

    names = varied(config)
    figure, axes = plots.grid(
        3,
        len(names),
        title="Figure 5: how wide a tunnel is, by how its network was trained\n"
        f"{config.model} on {config.dataset}, {config.seeds} seeds, {config.directions} directions,\n"
        f"trained to a training loss of {config.target:g} (grey: not reached; triangles: lower bounds)",
        panel=(3.6, 2.8),
    )
    labels = {
        "multiple": f"to {config.multiple:g} x the optimum's loss",
        "fixed": f"to {config.fixed:g} nats",
    }
    styles = dict(zip(THRESHOLDS, (plots.BLUE, plots.ORANGE), strict=True))
    units = {"distance": "distance", "angle": "angle (degrees)"}
    for i, name in enumerate(names):
        x, good = np.arange(len(values(config, name))), in_range(arrays, name)
        error = lambda w: w.std(axis=1, ddof=1) / np.sqrt(w.shape[1]) if w.shape[1] > 1 else None
        for ax, measure in zip(axes[:, i], MEASURES, strict=False):
            for threshold in THRESHOLDS:
                w = widths(arrays, name, measure, threshold)
                how = {"color": styles[threshold], "label": labels[threshold]}
                plots.errorbars(ax, x, w.mean(axis=1), error(w), **how)
                bound = arrays[f"{name} {threshold} censored"].any(axis=(1, 2))
                ax.plot(x[bound], w.mean(axis=1)[bound], "^", color=styles[threshold], markersize=9)
            rho, low, high = rank(arrays, config, name, measure)
            title = f"rank {rho:.2f} [{low:.2f}, {high:.2f}]"
            plots.label_axes(ax, title=title, y=f"width, {units[measure]}", x=TITLES[name])
            ax.set_ylim(bottom=0)
        bottom = axes[2, i]
        for loss, color in (("train loss", plots.GREEN), ("test loss", plots.GREY)):
            w = arrays[f"{name} {loss}"]
            plots.errorbars(bottom, x, w.mean(axis=1), error(w), color=color, label=loss)
        bottom.axhline(config.target, color="black", linewidth=0.8, linestyle=":")
        plots.label_axes(bottom, y="loss (nats)", x=TITLES[name])
        for ax in axes[:, i]:
            ax.set_xticks(x, [f"{v:g}" for v in values(config, name)])
            for j in np.flatnonzero(~good):
                ax.axvspan(j - 0.5, j + 0.5, color="black", alpha=0.08, linewidth=0)
    axes[0, 0].legend(fontsize=7)
    axes[2, 0].legend(fontsize=7)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
