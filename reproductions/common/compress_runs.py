"""Which networks are trained under which penalties, and how.

Two networks: "fc", fully connected, inputs-100-50-classes; "cnn", SimpleCNN. Of each a grid of penalties
and strengths, the first without any.
"""

import dataclasses

from reproductions.bench import options
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, Ints, at_least, between, option
from reproductions.common import data, models, networks, small_networks
from reproductions.common.compressing import Network, Setting

NETWORKS = ("fc", "cnn")


@options.settings
class Config(data.DataConfig):
    """Settings of the runs."""

    seed: int = options.but(paper=10, quick=0)  # 0 was the pilot's
    dataset: str = options.but(paper="fashion_mnist", quick="digits")
    examples: int = option("trained on, the first", at_least(50), paper=20_000, quick=1100, smoke=300)
    validation: int = option("more of them, to choose strengths", paper=10_000, quick=330, smoke=100)
    batch_size: int = option("examples a step", fits=data.holds_batch, paper=128, quick=32)
    lr: float = option("rate of SGD with momentum 0.9", paper=0.05, quick=0.02)
    epochs: int = option("of training", paper=40, quick=60, smoke=4)
    l1: Floats = option(
        "strengths of L1",
        paper=(3e-5, 1e-4, 2e-4, 3e-4, 4e-4, 8e-4),
        quick=(1e-4, 3e-4, 1e-3, 2e-3),
        smoke=(3e-4, 3e-3),
    )
    l2: Floats = option("strengths of L2", paper=(1e-5, 1e-4, 1e-3), quick=(1e-3,))
    c: Floats = option(
        "strengths of C, each kernel",
        paper=(2e-3, 5e-3, 7e-3, 9e-3, 1.2e-2, 2e-2),
        quick=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        smoke=(3e-3, 3e-2),
    )
    hoyer: Floats = option(
        "strengths of C^2 / D",
        paper=(0.3, 1.0, 3.0, 4.5, 7.0, 15.0),
        quick=(0.1, 0.3, 1.0, 3.0),
        smoke=(1.0,),
    )
    one: Floats = option(
        "strengths of C, all kernels as one",
        paper=(5e-3, 1e-2, 1.5e-2, 2e-2),
        quick=(1e-2, 3e-2),
        smoke=(2e-2,),
    )
    seeds: int = option("initial weights and minibatches", paper=3, quick=2, smoke=1)
    bits: Ints = option(
        "of quantised weights, besides 8", between(2, 16), paper=(6, 5, 4, 3), smoke=(4,)
    )
    cnn_dataset: str = option(
        "of SimpleCNN",
        options.one_of(*data.NAMES),
        needs=data.needs,
        paper="mnist1d",
        quick="digits",
    )
    cnn_examples: int = option("it is trained on", at_least(50), paper=3000, quick=1100, smoke=300)
    cnn_validation: int = option("more of them", paper=1000, quick=330, smoke=100)
    cnn_epochs: int = option("its training", paper=60, quick=10, smoke=2)
    cnn_l1: Floats = option("its strengths of L1", paper=(1e-4, 3e-4, 1e-3), smoke=(1e-3,))
    cnn_c: Floats = option("its strengths of C", paper=(1e-3, 3e-3, 1e-2), smoke=(3e-3,))

    @property
    def datasets(self):
        return self.dataset, self.cnn_dataset

    def check(self):
        super().check()
        for name in ("", "cnn_"):
            given, needs = getattr(self, f"{name}dataset"), getattr(self, f"{name}examples")
            left = len(data.source(given).load().x_train) - needs
            if (wanted := getattr(self, f"{name}validation")) > left:
                raise UsageError(
                    f"--{name}validation={wanted}: {given} has {left} training examples besides the "
                    f"{needs} of --{name}examples."
                )


DENSE = Setting("none")


@dataclasses.dataclass(frozen=True)
class FullyConnected(models.Model):
    """inputs-100-50-classes, named by path; that its function stands here puts its code into the mark of
    every number that depends on it."""

    name: str = "reproductions.common.small_networks:fc"

    made_by = staticmethod(small_networks.fc)


def subjects(config):
    """{"fc", "cnn": `Network`}."""
    of = lambda name, model, n: networks.Problem(
        data.source(name), model, config.batch_size, config.seed, config.seed, n
    )
    one = of(config.dataset, FullyConnected(), config.examples)
    two = of(config.cnn_dataset, models.Model("simple_cnn"), config.cnn_examples)
    return {
        "fc": Network(one, config.lr, config.epochs, config.validation),
        "cnn": Network(two, config.lr, config.cnn_epochs, config.cnn_validation),
    }


def kinds(config, network):
    """The penalties of a network, none first."""
    return ("none", "l1", "c") if network == "cnn" else ("none", "l2", "l1", "c", "hoyer", "one")


def settings(config, network):
    """Its `Setting`s, by kind, from weak to strong."""
    prefix = "cnn_" if network == "cnn" else ""
    found = [DENSE]
    for kind in kinds(config, network)[1:]:
        found += [Setting(kind, s) for s in sorted(set(getattr(config, prefix + kind)))]
    return found


def bits(config):
    """8, and the others from many to few."""
    return (8, *sorted(set(config.bits) - {8}, reverse=True))
