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


def gradient_rank(landscape, theta, radius, samples, *, seed, floor=1e-3):
    """How many directions the gradients around theta span: its short directions, as the loss shows them.

    Gradients at `samples` points theta + radius v_i, v_i random unit vectors, as the rows of a matrix;
    the count of its singular values above `floor` times the largest.

    theta [D] -> whole number, at most `samples`: take a few times as many samples as directions are
    expected. On one wedge of the toy landscapes it is s; where two wedges cross, either may be the
    nearest at theta + radius v_i, and it is the dimension of both wedges' normals together, which a
    single gradient or Hessian of the distance to the *nearest* wedge cannot show.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1; received {samples}.")
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((samples, landscape.dimension))
    v *= radius / np.linalg.norm(v, axis=1, keepdims=True)
    points = np.asarray(landscape.point(theta)) + v.astype(landscape.dtype.as_numpy_dtype)
    _, gradients = landscape.value_and_gradient(points)  # [samples, D]
    lengths = np.linalg.svd(np.asarray(gradients, np.float64), compute_uv=False)
    return int(np.sum(lengths > floor * lengths[0])) if lengths[0] > 0 else 0


def random_directions(landscape, theta, radii, samples, *, seed):
    """Losses L(theta + a v) along `samples` random unit directions v at each distance a.

    theta [D], radii [A] -> losses [A, samples]. The same directions serve all distances.
    """
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((samples, landscape.dimension))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    v = v.astype(landscape.dtype.as_numpy_dtype)
    theta = np.asarray(landscape.point(theta))
    return np.stack([np.asarray(landscape(theta + v.dtype.type(a) * v)) for a in radii])
