"""Star centres of a network's optima, and in how many directions the loss falls around a place.

Everything here is kept by its own key, as what lies between optima is in `optima`.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.bench import cache, devices, options, progress
from reproductions.bench.errors import UsageError
from reproductions.bench.options import Floats, at_least, option
from reproductions.common import optima, training
from reproductions.common.arrays import named

READ_ON_LEGS = ("train loss", "test accuracy")
KINDS = ("middle", "star")  # the hull's minimised middle, and the star centre


@options.settings
class Config(optima.Config):
    """Settings of a figure that counts directions around places."""

    radius: float = option("distance from a place, of the claims and the descents", paper=2.0)
    radii: Floats = option("further distances of gradients", paper=(0.5, 8.0), smoke=(0.5,))
    samples: int = option("gradients at each distance", at_least(16), paper=80, quick=60, smoke=16)
    gradient_examples: int = option("examples in each gradient", paper=1000, quick=500, smoke=100)
    descents: int = option("descents around each place", at_least(16), paper=48, quick=32, smoke=16)
    descent_steps: int = option("steps of each descent", paper=60, quick=30, smoke=4)
    # Below 2 over the Hessian's largest eigenvalue, which is 240 to 290 around places on CIFAR-10: where
    # it is more, descents bounce.
    descent_rate: float = option(
        "SGD's learning rate in them", flag="descent_lr", paper=0.005, quick=0.01, smoke=0.01
    )

    def check(self):
        super().check()
        if self.radius in self.radii:
            own = f"must not hold --radius={self.radius:g}, which is looked at anyway."
            raise UsageError(f"--radii={options.show(self.radii)}: {own}")


@dataclasses.dataclass(frozen=True)
class Star:
    """How a star centre is found: see `wedges.star_center`.

    Attributes:
      rate: Adam's, where it starts; it falls to 0 by a cosine.
      steps: in each stage.
      seed: of the positions on the legs.
      reach: how much of each leg every stage looks at.
    """

    rate: float
    steps: int
    seed: int
    reach: tuple[float, ...] = (1.0,)


def center(network, ends, how, label):
    """The centre [D] of a star with the optima `ends` [m + 1, D] at its tips, as the `Star` says."""
    with progress.labelled(label):
        return cache.cached(_center, network, ends, how)["center"]


def _center(network, ends, how):
    with training.following(len(how.reach) * how.steps) as follow:
        found = wedges.star_center(
            network.descend,
            ends,
            training.cosine_adam(how.rate, how.steps),
            how.steps,
            seed=how.seed,
            reach=how.reach,
            jit_compile=devices.compiled(),
            follow=follow,
        )
    return {"center": found.vertices[-1]}


def on_legs(network, middle, ends, points, label):
    """{reading: [legs, points]} on the straight ways from each optimum of `ends` [legs, D] to a middle
    [D], the ends of the ways not among them."""
    u = (np.arange(1, points + 1) / (points + 1))[:, None].astype(middle.dtype)
    thetas = (1 - u) * ends[:, None] + u * middle  # [legs, points, D]
    found = optima.read(network, thetas.reshape(-1, len(middle)), label)
    return {reading: found[f"{label} {reading}"].reshape(len(ends), points) for reading in READ_ON_LEGS}


@dataclasses.dataclass(frozen=True)
class Search:
    """How a place between optima is found; `rate` is Adam's, where it starts, and `reach` a star's."""

    rate: float
    steps: int
    seed: int
    reach: tuple[float, ...]

    def between(self, network, ends, kind):
        """The place [D] of this kind between the optima `ends` [m + 1, D]."""
        label = f"{kind}, m = {len(ends) - 1}"
        if kind == "star":
            star = Star(self.rate, self.steps, self.seed, self.reach)
            return center(network, ends, star, label)
        middle = wedges.simplex.Scattered(wedges.simplex.centroid(len(ends) - 1))
        alone = optima.OneByOne(self.rate, self.steps)
        return optima.surface(network, ends, middle, alone, label).vertices[-1]


def beside(network, thetas, how, points, m):
    """Readings at the flat hull's middle, "flat ..." []; at both kinds of places, "<kind> ..." [], and
    on the ways from there to the optima: "<kind> legs ..." [points], the mean over legs, and "<kind>
    highest" []."""
    ends = thetas[: m + 1]
    middle = optima.read(network, ends.mean(axis=0, keepdims=True), f"flat, m = {m}")
    found = _first("flat", middle, f"flat, m = {m}")
    for kind in KINDS:
        place = how.between(network, ends, kind)
        found |= _ways(network, place, ends, points, kind, f"{kind}, m = {m}")
    return found


def _ways(network, place, ends, points, name, label):
    legs = on_legs(network, place, ends, points, f"{label}, legs")
    return {
        **_first(name, optima.read(network, place[None], label), label),
        **{f"{name} legs {reading}": found.mean(axis=0) for reading, found in legs.items()},
        f"{name} highest": legs["train loss"].max(),
    }


def _first(name, found, label):
    """Of readings of one point those that are reported, {"<name> <reading>" []}."""
    return {f"{name} {reading}": found[f"{label} {reading}"][0] for reading in READ_ON_LEGS}


def with_held_out(network, thetas, how, points, m):
    """The same of a star that is trained longer, and the way from it to an optimum that it was not made
    for, the last: "held out ..." [points]."""
    ends, label = thetas[: m + 1], f"longer star, m = {m}"
    place = how.between(network, ends, "star")
    held = on_legs(network, place, thetas[-1:], points, f"{label}, held out")
    return {
        **_ways(network, place, ends, points, "longer", label),
        **named("held out", {reading: found[0] for reading, found in held.items()}),
    }


def as_high(network, a, b, theta, label):
    """The place [D] on the straight way from a to b, up to its middle, whose training loss is that of
    theta; the middle where all of it is lower."""
    with progress.labelled(label):
        return cache.cached(_as_high, network, a, b, theta)["place"]


def _as_high(network, a, b, theta):
    loss, low, high = float(network.seen(theta)), 0.0, 0.5
    for _ in progress.bar("halvings", iterable=range(8), unit="halving"):
        u = (low + high) / 2
        low, high = (u, high) if float(network.seen((1 - u) * a + u * b)) < loss else (low, u)
    u = (low + high) / 2
    return {"place": (1 - u) * a + u * b}


# ---- directions around a place ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Gradients:
    """Gradients at random points around a place: see `wedges.dimensionality.gradients`.

    Attributes:
      radius: the points' distance from the place.
      samples: how many.
      examples: training examples that they are of, the first.
      seed: of the points' directions.
    """

    radius: float
    samples: int
    examples: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Descents:
    """Descents from random points around a place: see `wedges.dimensionality.displacements`. They are by
    SGD at this rate, on the same minibatches."""

    radius: float
    samples: int
    rate: float
    steps: int
    seed: int


def distances(config):
    """Those of gradients, rising."""
    return sorted({config.radius, *config.radii})


def probes(config):
    """`Gradients` at each distance, and `Descents`, of a `Config`."""
    gradients = [
        Gradients(radius, config.samples, config.gradient_examples, config.seed)
        for radius in distances(config)
    ]
    how = config.descents, config.descent_rate, config.descent_steps, config.seed
    return gradients, Descents(config.radius, *how)


def gram(network, theta, how, label):
    """The Gram matrix [n, n] of `Gradients` or of the displacements of `Descents` around theta [D]."""
    measured = {Gradients: _gradients, Descents: _displacements}[type(how)]
    with progress.labelled(label):
        return cache.cached(measured, network, theta, how)["gram"]


def _gradients(network, theta, how):
    seen, part = network.seen, slice(how.examples)
    seen = seen.on(seen.x[part], seen.y[part])
    points = wedges.probe.sphere(seen, theta, how.radius, how.samples, seed=how.seed)
    watched = progress.bar("gradients", iterable=points, unit="point")
    rows = [seen.value_and_gradient(point)[1].numpy() for point in watched]
    return {"gram": wedges.dimensionality.gram(np.stack(rows))}


def _displacements(network, theta, how):
    import keras

    with training.following(how.samples * how.steps) as follow:
        moved = wedges.dimensionality.displacements(
            network.descend,
            theta,
            how.radius,
            how.samples,
            keras.optimizers.SGD(how.rate),
            how.steps,
            seed=how.seed,
            jit_compile=devices.compiled(),
            follow=follow,
        )
    if not np.isfinite(moved).all():
        raise UsageError(f"--descent_lr={how.rate:g}: descents from around a place diverge; give less.")
    return {"gram": wedges.dimensionality.gram(moved)}


def dimensions(gram):
    """Of a Gram matrix [n, n]: the participation ratio and the count that holds 90% of the variance,
    "ratio" and "count" [2], each with its standard error; both of the first quarter, half and all of the
    samples, "by samples" [3, 2]; the eigenvalues' shares of the variance, "shares" [n - 1]."""
    ratio, count = _both(gram)
    rows = [[found.value for found in _both(gram[:k, :k])] for k in parts(len(gram))]
    values = wedges.dimensionality.spectrum(gram)
    return {
        "ratio": np.array(ratio),
        "count": np.array(count),
        "by samples": np.array(rows),
        "shares": values / values.sum(),
    }


def _both(gram):
    return wedges.dimensionality.participation_ratio(gram), wedges.dimensionality.variance_count(gram)


def parts(n):
    """A quarter, half and all of n samples."""
    return [n // 4, n // 2, n]
