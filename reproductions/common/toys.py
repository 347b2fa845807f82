"""The toy landscapes by name, and what the toy experiments do alike."""

import numpy as np

VARIANTS = ("axis", "rotated", "finite")
LABELS = {
    "axis": "all axis-aligned wedges",
    "rotated": "the same, rotated",
    "finite": "K random wedges",
    "fixed": "one fixed wedge",
}


def build(variant, dimension, n, *, k, seed):
    """The landscape called `variant`: axis, rotated, finite (K = k wedges), or fixed (K = 1)."""
    import wedges

    if variant == "axis":
        return wedges.AxisWedges(dimension, n)
    if variant == "rotated":
        return wedges.RotatedWedges(dimension, n, seed=seed)
    return wedges.RandomWedges(dimension, n, 1 if variant == "fixed" else k, seed=seed)


def gaussian(seed, *shape):
    """Independent standard normal numbers, float32, a function of (seed, shape)."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def optima(landscape, starts):
    """Where each start [R, D] ends when it is minimised: [R, D], on a wedge each."""
    import wedges

    squared = wedges.Squared(landscape)
    return wedges.minimize(squared, starts, wedges.ConjugateGradients(), 100, tolerance=1e-5).theta


def near(landscape, start, height):
    """A wedge's point [D] below `start` [1, D], and the point at `height` straight above it [D]."""
    wedge = optima(landscape, start).numpy()[0]
    up = start[0] - wedge  # minimising led straight down, so this is normal to the wedge
    return wedge, wedge + height * up / np.linalg.norm(up)


def two_optima(landscape, seed):
    """Loss at a random start; two optima [2, D] with a barrier between them.

    Two starts may fall to one wedge of a small number; then the next start is taken.
    """
    import tensorflow as tf

    from wedges import connect, probe

    starts = gaussian(seed, 12, landscape.dimension)
    found = optima(landscape, starts)  # [12, D]
    first = landscape(starts[:1]).numpy()[0]
    for other in found[1:]:
        ends = tf.stack([found[0], other])
        if probe.barrier(connect.along(landscape, ends, 50)[1]) > 1e-3 * first:
            return first, ends
    return first, ends  # all on one wedge: no barrier, and the claims say so


def sizes(text, flag="sizes"):
    """ "1000x900" -> (1000, 900): D and n. UsageError in one line if it is not that."""
    from reproductions.bench.errors import UsageError

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
