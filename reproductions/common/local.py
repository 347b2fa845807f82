"""What the four figures of local geometry share: networks, their training, curvature on the way, the
model.

A network and its measurements are kept for all four: a checkpoint's key holds nothing of the figure
that asked.
"""

import dataclasses
import functools

import numpy as np

from reproductions.bench import runs, store
from reproductions.bench.errors import UsageError
from reproductions.common import data, optima

SOURCE = "Fort & Ganguli 2019, arXiv:1910.05929"
positive = optima.positive
_CODE = store.source_mark(
    "wedges/curvature.py",
    "wedges/network.py",
    "wedges/probe.py",
    "wedges/second_order.py",
    "wedges/stateless.py",
    "reproductions/common/local.py",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.DataConfig):
    """Settings of the four figures."""

    dataset: tuple[str, ...] = runs.option(
        "data set, or one for each of --networks with commas: " + ", ".join(data.NAMES)
    )
    networks: tuple[str, ...] = runs.option(
        "networks, one row of the figure each, e.g. --networks=simple_cnn,fc",
        choices=("simple_cnn", "fc", "lenet", "resnet"),
    )
    activation: str = runs.option("nonlinearity", choices=("tanh", "relu"))
    seeds: int = runs.option(
        "independent repetitions (initial weights, minibatches), with seeds seed, seed + 1, ...",
        positive,
        "at least 1",
    )
    train_examples: int = runs.option(
        "training examples, the first of the set; few enough to be fitted; e.g. 5000",
        lambda v: v >= 10,
        "at least 10",
    )
    examples: int = runs.option(
        "of these, examples in every loss, gradient and curvature; e.g. 500",
        lambda v: v >= 10,
        "at least 10",
    )
    epochs: int = runs.option("epochs of training; e.g. 100", positive, "at least 1")
    learning_rate: float = runs.option(
        "constant rate of SGD with momentum 0.9", positive, "above 0, e.g. 0.01"
    )
    batch_size: int = runs.option("examples a step; e.g. 128", positive, "at least 1")
    looks: int = runs.option(
        "points of training that are looked at, the start and the end among them; e.g. 10",
        lambda v: v >= 4,
        "at least 4",
    )

    def __post_init__(self):
        rows(self)  # says what does not fit, before any work


PAPER = {
    "dataset": ("cifar10", "fashion_mnist"),
    "networks": ("simple_cnn", "fc"),
    "activation": "tanh",
    "seed": 0,
    "seeds": 3,
    "train_examples": 5000,
    "examples": 500,
    "epochs": 100,
    "learning_rate": 0.01,
    "batch_size": 128,
    "looks": 8,
}
QUICK = {
    **PAPER,
    "dataset": ("digits",),
    "seeds": 1,
    "train_examples": 1000,
    "examples": 200,
    "epochs": 80,
    "batch_size": 32,
}
SMOKE = {**QUICK, "networks": ("fc",), "epochs": 10, "examples": 100, "looks": 4}


def rows(config):
    """[(network, data set)]: the rows of a figure."""
    if len(set(config.networks)) < len(config.networks):
        raise UsageError(f"--networks={','.join(config.networks)}: name each network once.")
    sets = config.dataset * (len(config.networks) if len(config.dataset) == 1 else 1)
    if len(sets) != len(config.networks):
        raise UsageError(
            f"--dataset={','.join(config.dataset)}: name one, or one for each of the networks "
            f"{','.join(config.networks)}."
        )
    return list(zip(config.networks, sets, strict=True))


def labels(config):
    """{what a row is called: the name before its arrays}, the networks' and the model's."""
    networks = {f"{name} on {source}": str(i) for i, (name, source) in enumerate(rows(config))}
    return networks | {"model": "model"}


def how_trained(config):
    """The line of a title that says what its curves are of."""
    return (
        f"mean and deviation of {config.seeds} seed{'s' * (config.seeds > 1)}; SGD "
        f"{config.learning_rate:g} with momentum on {config.train_examples:,} examples"
    )


# One after the other, the seeds of a row read it once.
load = functools.lru_cache(maxsize=1)(data.load)


def items(config):
    """[(row, seed)]: what can be done side by side."""
    seeds = range(config.seed, config.seed + config.seeds)
    return [(i, seed) for i in range(len(rows(config))) for seed in seeds]


def by_row(config, found):
    """Results of `items`, dicts of arrays, as {"<row> name": [seeds, ...]}."""
    arrays = {}
    for i in range(len(rows(config))):
        own = [f for (row, _), f in zip(items(config), found, strict=True) if row == i]
        arrays |= {f"{i} {name}": np.stack([f[name] for f in own]) for name in own[0]}
    return arrays


def steps(config, dataset):
    """The steps of training that are looked at: 0, then evenly in log(1 + step / 30)."""
    each = min(config.train_examples, len(dataset.x_train))
    last = config.epochs * (each // min(config.batch_size, each))
    spaced = 30 * np.expm1(np.linspace(0, np.log1p(last / 30), config.looks))
    return np.unique(np.round(spaced).astype(int))


def network(config, dataset, name, seed):
    """All training examples of a figure, and those of its curvature, as landscapes of a fresh network;
    and the key of both. The landscape's `space.read()` is where it begins."""
    from reproductions.common import models

    recipe = models.Model(name, activation=config.activation)
    part = dataclasses.replace(
        dataset,
        x_train=dataset.x_train[: config.train_examples],
        y_train=dataset.y_train[: config.train_examples],
    )
    how = {"initial": seed, "seed": seed, "batch_size": config.batch_size}
    train, key = optima.landscape(recipe, part, **how)
    x, y, *_ = part.tensors
    seen = train.on(x[: config.examples], y[: config.examples], evaluation_batch_size=100)
    return train, seen, key | {"initial": seed, "train_examples": train.size}


def along(config, run, item, compute, which=None):
    """compute(landscape, theta [D], labels [N]) -> dict of arrays at each step of a training that is
    looked at, or at `which` of them; stacked over steps, with "steps". Kept for `compute`'s name and
    the source of its module."""
    from reproductions.bench.progress import bar
    from reproductions.common import training

    row, seed = item
    name, source = rows(config)[row]
    dataset = load(source, run.data_dir)
    train, seen, key = network(config, dataset, name, seed)
    marks = steps(config, dataset)
    start = train.space.read().numpy()
    how = training.Recipe("momentum", config.learning_rate, config.epochs)
    label = f"{name}, seed {seed}"
    trained = training.train(
        train, start, how, key=key, run=run, label=label, marks=tuple(int(m) for m in marks[1:])
    )
    thetas = np.concatenate([start[None], trained.snapshots])
    labels = dataset.y_train[: seen.size]
    own = store.source_mark(f"{compute.__module__.replace('.', '/')}.py")
    key = {**key, "examples": seen.size, "code": [_CODE, own], "software": training.software()}
    if which is not None:
        marks, thetas = marks[which], thetas[which]
    found = []
    for theta in bar(iterable=thetas, desc=f"{label}, {compute.__name__}", unit="point"):
        own = {
            **key,
            "theta": store.fingerprint(theta),
            "what": compute.__name__,
            "classes": dataset.classes,
        }
        work = lambda theta=theta: compute(seen, theta, labels)
        found.append(store.cached(run.checkpoints / f"{store.digest(own)}.npz", own, work))
    return {"steps": marks, **{k: np.stack([f[k] for f in found]) for k in found[0]}}


def curvature(landscape, theta, labels):
    """What figures about gradient and curvature show of one point.

    loss, accuracy []; eigenvalues [C], the largest of H; captured [C]: the share of |g|^2 in the span of
    the first 1, ..., C eigenvectors; trace and trace_error []; gauss_newton [], the largest eigenvalue
    of G; length [], mean |dz_k|; left [], mean of sum_k p_k (1 - p_k); spread [], of logits."""
    import wedges

    matrix = wedges.hessian(landscape, theta)
    seen = landscape.evaluate(theta)
    logits = seen.outputs.numpy()
    classes = logits.shape[1]
    p = landscape.probabilities(seen.outputs).numpy()
    gradient = landscape.value_and_gradient(theta)[1].numpy().astype(np.float64)
    top = wedges.eigenpairs(matrix, classes, seed=0, tolerance=0.01)
    trace = wedges.trace(matrix, 60, seed=0)
    inner = wedges.eigenpairs(wedges.gauss_newton(landscape, theta), 1, seed=0, tolerance=0.01)
    rows = landscape.output_gradients(theta, min(10, landscape.size)).numpy()
    return {
        "loss": np.array(seen.loss),
        "accuracy": np.array(seen.accuracy),
        "eigenvalues": top.values,
        "captured": np.cumsum((top.vectors @ gradient) ** 2) / (gradient @ gradient),
        "trace": np.array(trace.mean),
        "trace_error": np.array(trace.error),
        "gauss_newton": inner.values[0],
        "length": np.linalg.norm(rows, axis=-1).mean(),
        "left": np.mean(np.sum(p * (1 - p), axis=1)),
        "spread": logits.std(axis=0).mean(),
        "dimension": np.array(landscape.dimension),
    }


# ---- the simple model ------------------------------------------------------------------------------

# One set of parameters for all four properties. Chosen to be like the networks here: logits' spread and
# gradients' length grow 17 and 4 times from start to end, and eigenvalues of the residual are about as
# far below 0 as theirs at the start.
MODEL = {"dimension": 1000, "examples": 300, "classes": 10, "noise": 1.0, "bias": 0.2, "bend": 5.0}
_SPREAD, _LENGTH, _MARGIN = (0.3, 5.0), (10.0, 40.0), 3.0
_LAYERS = 4  # of a homogeneous network: what its weights' scale does


def model(seed, **changes):
    """The simple model with these parameters."""
    from wedges.emergent import ClusteredLogits

    return ClusteredLogits(seed=seed, **{**MODEL, **changes})


def models(config):
    """The model once for each seed of a figure."""
    return [model(config.seed + i) for i in range(config.seeds)]


def trained(simple, t, growth=True):
    """The model at a share t of its training, from 0 to 1; `growth` of the logit gradients' length."""
    grown = lambda ends, t: ends[0] * (ends[1] / ends[0]) ** t
    length = grown(_LENGTH, t if growth else 0)
    return simple.at(spread=grown(_SPREAD, t), length=length, margin=_MARGIN * t)


def at_radius(simple, r):
    """The model before training, all weights times r: logits of a homogeneous network of L layers grow
    like r^L, their gradients like r^(L - 1), second derivatives like r^(L - 2)."""
    point = simple.at(spread=_SPREAD[0] * r**_LAYERS, length=_LENGTH[0] * r ** (_LAYERS - 1))
    return point._replace(residual=point.residual / r)


def spectrum(point):
    """Eigenvalues [D], falling, and vectors [D, D] as rows, of G + R of a model's point."""
    values, vectors = np.linalg.eigh(point.factor.T @ point.factor + point.residual)
    return values[::-1], vectors.T[::-1]
