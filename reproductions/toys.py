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


def sizes(text):
    """ "1000x900" -> (1000, 900): D and n. UsageError in one line if it is not that."""
    from reproductions.errors import UsageError

    try:
        dimension, n = map(int, text.split("x"))
    except ValueError:
        dimension, n = 0, 0
    if not 0 < n < dimension <= 20_000:
        raise UsageError(
            f"--sizes={text}: must be DxN with 0 < N < D <= 20000, e.g. 1000x900 (several with commas)."
        )
    return dimension, n
