"""Measurements of a landscape along straight lines."""

import numpy as np


def line(landscape, a, b, points=11):
    """Losses on the segment from a to b: L((1 - t) a + t b) at `points` even t, both ends included.

    a, b [D] -> t [points], losses [points]. Losses are returned as they are: NaN stays NaN.
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, the ends; received {points}.")
    a, b = landscape.point(a), landscape.point(b)
    t = np.linspace(0.0, 1.0, points)
    weights = t.astype(landscape.dtype.as_numpy_dtype)
    return t, np.array([landscape((1 - u) * a + u * b) for u in weights])


def barrier(losses, t=None):
    """How far the loss on a segment rises above the straight line between its ends' losses.

    B = max_t [L(t) - ((1 - t) L(0) + t L(1))] >= 0, losses [..., T] at even t -> [...], in the
    units of the loss (Frankle et al. 2020, arXiv:1912.05671, Draxler et al. 2018). Zero where the
    segment never rises above the chord; NaN if any loss is NaN.
    """
    losses = np.asarray(losses)
    t = np.linspace(0.0, 1.0, losses.shape[-1]) if t is None else np.asarray(t)
    chord = (1 - t) * losses[..., :1] + t * losses[..., -1:]
    return np.max(losses - chord, axis=-1)
