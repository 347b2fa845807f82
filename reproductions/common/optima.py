"""Independently trained optima of one network, which the connectors' figures share.

Two figures with the same settings train each optimum once: the checkpoint's key holds nothing of the
figure that asked.
"""

import dataclasses

from reproductions.bench import devices, runs, store

# The code that decides where descents between optima go, besides that of training.
_SURFACES = store.source_mark("wedges/connect.py", "wedges/simplex.py")
READINGS = ("train loss", "train accuracy", "test loss", "test accuracy")
positive = lambda v: v > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedConfig(runs.DataConfig):
    """Settings of a figure about trained optima: network and training."""

    model: str = runs.option("network", choices=("simple_cnn", "fc", "lenet", "resnet"))
    width: float = runs.option(
        "multiplies the network's widths; e.g. 0.5", lambda v: 0 < v <= 1000, "above 0 and at most 1000"
    )
    depth: int | None = runs.option(
        "layers (blocks) of the network; None: its own", positive, "at least 1"
    )
    activation: str = runs.option("nonlinearity", choices=("tanh", "relu"))
    epochs: int = runs.option("epochs of training each optimum; e.g. 20", positive, "at least 1")
    learning_rate: float = runs.option(
        "Adam's constant learning rate in training", positive, "above 0, e.g. 0.001"
    )
    batch_size: int = runs.option("examples a step; e.g. 128", positive, "at least 1")
    examples: int = runs.option(
        "training examples in every reported training loss; e.g. 10000", positive, "at least 1"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainedConfig):
    """The same for a figure that also descends between optima."""

    rate: float = runs.option(
        "Adam's learning rate between optima, where it starts; it falls to 0 by a cosine; e.g. 0.003",
        positive,
        "above 0, e.g. 0.003",
    )


TRAINING = {
    "model": "simple_cnn",
    "width": 1.0,
    "depth": None,
    "activation": "tanh",
    "epochs": 20,
    "learning_rate": 1e-3,
    "batch_size": 128,
    "examples": 10_000,
}
BETWEEN = {**TRAINING, "rate": 3e-3}


@dataclasses.dataclass(frozen=True)
class Network:
    """One network on one data set as landscapes, and what all of it depends on.

    Attributes:
      descend: all training examples, in minibatches: what is minimised, by all devices.
      seen: the training examples of every reported loss; batch-norm statistics re-estimated.
      unseen: the test set, likewise.
      key: for checkpoints.
    """

    descend: object
    seen: object
    unseen: object
    key: dict


def network(config, dataset):
    """The `Network` of a config on a `data.Dataset`."""
    x_train, y_train, x_test, y_test = dataset.tensors
    how = {"seed": config.seed, "batch_size": config.batch_size}
    descend, key = landscape(_recipe(config), dataset, initial=0, **how)
    part = slice(config.examples)
    seen = descend.on(x_train[part], y_train[part], batch_norm="reestimate", statistics_x=x_train[part])
    key |= {"batch_size": descend.batch_size, "seed": config.seed, "examples": seen.size}
    key |= {"surfaces": _SURFACES}
    return Network(devices.shared(descend), seen, seen.on(x_test, y_test), key)


def trained(config, run, dataset, seed):
    """The optimum [D] of one seed, which decides its initial weights and the order of its examples."""
    from reproductions.common import training

    recipe, size = _recipe(config), config.batch_size
    descend, key = landscape(recipe, dataset, initial=seed, seed=seed, batch_size=size)
    how = training.Recipe("adam", config.learning_rate, config.epochs)
    start = descend.space.read().numpy()
    key |= {"initial": seed}
    return training.train(descend, start, how, key=key, run=run, label=f"optimum {seed}").theta


def adam(config, steps):
    """The optimizer between optima, for a descent of `steps` steps."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(config.rate, steps))


def read(run, network, thetas, label):
    """The `readings` of thetas [K, D], kept."""
    key = {**network.key, "thetas": store.fingerprint(thetas)}
    return run.cached(key, lambda: readings(network, thetas, label))


def readings(network, thetas, label):
    """What is reported of each theta [K, D]: loss and accuracy on both sets [K], labels [K, N test]."""
    import numpy as np

    from reproductions.bench.progress import bar

    rows = []
    for theta in bar(iterable=thetas, desc=f"{label}, evaluation", unit="point"):
        seen, unseen = network.seen.evaluate(theta), network.unseen.evaluate(theta)
        labels = network.unseen.labels(unseen.outputs).numpy().astype(np.uint8)
        rows.append((seen.loss, seen.accuracy, unseen.loss, unseen.accuracy, labels))
    columns = zip(*rows, strict=True)
    return {name: np.array(c) for name, c in zip((*READINGS, "labels"), columns, strict=True)}


def landscape(recipe, dataset, *, initial, seed, batch_size):
    """A `models.Model` on a data set's training examples, as it is trained; and the key of both.

    initial: seed of the initial weights; seed: of minibatches and dropout.
    """
    import wedges
    from reproductions.common import models

    x_train, y_train, _, _ = dataset.tensors
    train = wedges.NetworkLandscape(
        models.build(recipe, dataset.shape, dataset.classes, seed=initial),
        x_train,
        y_train,
        models.LOSS,
        seed=seed,
        batch_size=batch_size,
        regularize=True,
    )
    return train, {"data": dataset.fingerprint, "model": dataclasses.asdict(recipe)}


def _recipe(config):
    from reproductions.common import models

    return models.Model(config.model, config.width, config.depth, config.activation)
