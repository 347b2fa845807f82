"""The toy landscapes by name, and what the toy experiments do alike."""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench.errors import UsageError
from reproductions.bench.options import one_of
from reproductions.common.arrays import named, stacked

VARIANTS = one_of("axis", "rotated", "finite")
LABELS = {
    "axis": "all axis-aligned wedges",
    "rotated": "the same, rotated",
    "finite": "K random wedges",
    "fixed": "one fixed wedge",
}
NEAR = 1e-3  # a wedge is near where its distance is below this
# A displacement far above rounding, and far below the size of the long components.
RADIUS = 1e-2


@dataclasses.dataclass(frozen=True)
class Toy:
    """A toy landscape: n-wedges in R^D.

    Attributes:
      variant: axis, rotated, finite (K = k wedges), or fixed (K = 1).
      dimension, n: D, and the long directions of each wedge.
      k: how many wedges the finite variant has; None for the others, which have a number of their own.
      seed: of the wedges' orientations, and of random starts.
    """

    variant: str
    dimension: int
    n: int
    k: int | None
    seed: int

    def __post_init__(self):
        if self.variant != "finite":  # or what is measured on it would depend on a k of no account
            object.__setattr__(self, "k", None)

    @functools.cached_property
    def landscape(self):
        """The landscape itself, a `wedges.toy`: the distance to the nearest wedge."""
        if self.variant == "axis":
            return wedges.AxisWedges(self.dimension, self.n)
        if self.variant == "rotated":
            return wedges.RotatedWedges(self.dimension, self.n, seed=self.seed)
        count = 1 if self.variant == "fixed" else self.k
        return wedges.RandomWedges(self.dimension, self.n, count, seed=self.seed)

    @functools.cached_property
    def squared(self):
        """Half its square, which a minimiser wants: a bowl around each wedge."""
        return wedges.Squared(self.landscape)

    @property
    def s(self):
        """The short directions of each wedge, D - n."""
        return self.dimension - self.n

    def optima(self, starts):
        """Where each start [R, D] ends when it is minimised: [R, D], on a wedge each."""
        found = wedges.minimize(self.squared, starts, wedges.ConjugateGradients(), 100, tolerance=1e-5)
        return found.theta

    def near(self, start, height):
        """A wedge's point [D] below `start` [1, D], and the point at `height` straight above it [D]."""
        wedge = self.optima(start)[0]
        up = start[0] - wedge  # minimising led straight down, so this is normal to the wedge
        return wedge, wedge + height * up / np.linalg.norm(up)

    def two_optima(self):
        """Loss at a random start; two optima [2, D] with a barrier between them.

        Two starts may fall to one wedge of a small number; then the next start is taken.
        """
        starts = gaussian(self.seed, 12, self.dimension)
        found = self.optima(starts)  # [12, D]
        first = self.landscape(starts[:1]).numpy()[0]
        for other in found[1:]:
            ends = np.stack([found[0], other])
            if wedges.barrier(wedges.connect.along(self.landscape, ends, 50)[1]) > NEAR * first:
                break
        return first, ends  # without a barrier if all are on one wedge, and the claims say so

    def tunnel(self, ends, segments, steps=200, tolerance=1e-6):
        """A tunnel between two optima [2, D]: a `wedges.Connector`."""
        cg = wedges.ConjugateGradients()
        return wedges.tunnel(self.squared, *ends, segments, cg, steps, tolerance=tolerance)

    def middle(self, ends):
        """The middle of the hull of m + 1 optima, minimised normal to it as in the paper: [D]."""
        basis = wedges.simplex.Scattered(wedges.simplex.centroid(len(ends) - 1))
        cg = wedges.ConjugateGradients()
        return wedges.connector(self.squared, ends, basis, cg, 200, tolerance=1e-6).vertices[-1]

    def crossing(self, ends, steps=400):
        """Where the wedges of all these optima [m + 1, D] cross: [D], found from the loss alone."""
        cg = wedges.ConjugateGradients()
        return wedges.connect.corner(self.squared, ends, cg, steps, tolerance=1e-7).theta


def label(variant, k):
    """What a picture calls a variant with K = k."""
    return LABELS[variant].replace("K", f"K = {k}", 1)


def together(dimension, s, count, variant):
    """Short directions that `count` wedges, s short ones each, have where they meet.

    (m + 1) s in random orientations. Axis-aligned wedges share some: D [1 - (1 - s/D)^(m+1)].
    """
    if variant == "finite":
        return np.minimum(dimension, np.asarray(count) * s)
    return dimension * (1 - (1 - s / dimension) ** np.asarray(count))


def by_variant(toys, rows):
    """Rows {name: array}, one measured on each of these toys, as {"<variant> <name>": array}: those of
    one variant stacked along a new first axis."""
    found = {}
    for variant in dict.fromkeys(toy.variant for toy in toys):
        own = [row for toy, row in zip(toys, rows, strict=True) if toy.variant == variant]
        found |= named(variant, stacked(own))
    return found


def gaussian(seed, *shape):
    """Independent standard normal numbers, float32, a function of (seed, shape)."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def check_crossing(m, short, dimension):
    """UsageError where m + 1 wedges of `short` short directions each cannot cross in all of `dimension`;
    the flags are --m, --toy_short and --toy_dimension."""
    most = (m + 1) * short
    if most >= dimension:
        less = f"must be above (m + 1) s = {most}; or give less of --toy_short or --m."
        raise UsageError(f"--toy_dimension={dimension}: {less}")


def sizes(text, flag="sizes"):
    """ "1000x900" -> (1000, 900): D and n. UsageError in one line if it is not that."""
    try:
        dimension, n = map(int, text.split("x"))
    except ValueError:
        dimension, n = 0, 0
    if not 0 < n < dimension <= 20_000:
        raise UsageError(
            f"--{flag}={text}: must be DxN with 0 < N < D <= 20000, e.g. 1000x900"
            f"{' (several with commas)' if flag == 'sizes' else ''}."
        )
    return dimension, n
