"""Straight lines from start to end of a descent where every number is known: a quadratic and the toy.

On a quadratic of eigenvalues lambda_i, T steps of gradient descent at the rate eta lead from
theta* + c to theta* + p c in the eigenvectors' coordinates, p_i = (1 - eta lambda_i)^T. On the line
the loss is 1/2 sum_i lambda_i c_i^2 (1 - t (1 - p_i))^2, a parabola. It rises before the end if and only
if its slope there, sum_i lambda_i c_i^2 p_i (p_i - 1), is positive. That wants a p_i below 0: a rate
above 1 / lambda_i, and an odd T.

The toy's loss is the distance to the nearest wedge. Descent goes straight to it, so that the loss falls
linearly.
"""

import numpy as np

import wedges

RATIOS = (0.5, 0.99, 1.5, 1.9)  # eta times the largest eigenvalue
ALONE = tuple(k / 10 for k in range(1, 20))  # the same of one dimension
STEPS = 8


def parabola(curvature, offset, p, t):
    """The loss on the line by its formula. curvature and p [D], offset c [..., D], t [points] ->
    [..., points]."""
    ways = 1 - t[:, None] * (1 - p)  # [points, D]
    return 0.5 * np.sum(curvature * offset[..., None, :] ** 2 * ways**2, axis=-1)


def quadratic(dimension, starts, points, seed):
    """Gradient descent on random quadratics at `RATIOS`, for 1 to `STEPS` steps: draw-up over L(0) as
    measured, "draw_up", and by the formula, "formula" [ratios, steps, starts]."""
    import keras

    rng, t = np.random.default_rng(seed), np.linspace(0, 1, points)
    curvature = np.sort(10.0 ** rng.uniform(-2, 0, dimension))
    curvature /= curvature[-1]
    center, begin = rng.standard_normal(dimension), rng.standard_normal((starts, dimension))
    bowl = wedges.Quadratic(curvature, center, dtype="float64")
    found = {"draw_up": [], "formula": []}
    for ratio in RATIOS:
        rate = float(np.float32(ratio))  # as Keras keeps it
        descent = wedges.Descent(bowl, begin, keras.optimizers.SGD(rate))
        rows = {name: [] for name in found}
        for step in range(1, STEPS + 1):
            descent.run(1)
            known = parabola(curvature, begin - center, (1 - rate * curvature) ** step, t)
            rows["draw_up"].append(_risen(bowl, begin, descent.theta.numpy(), points))
            rows["formula"].append(wedges.interpolation.monotonicity(known) / known[:, 0])
        for name, row in rows.items():
            found[name].append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def alone(points):
    """The same in one dimension at `ALONE`: "draw_up" and "formula" [ratios, steps]."""
    import keras

    curvature, one = np.array(ALONE), np.ones(len(ALONE))
    # One descent: no coordinate of a diagonal quadratic sees the others.
    whole = wedges.Quadratic(curvature, dtype="float64")
    descent, t = wedges.Descent(whole, one, keras.optimizers.SGD(1.0)), np.linspace(0, 1, points)
    bowls = [wedges.Quadratic([c], dtype="float64") for c in curvature]
    found = {"draw_up": [], "formula": []}
    for step in range(1, STEPS + 1):
        descent.run(1)
        each = zip(bowls, one[:, None, None], descent.theta.numpy()[:, None, None], strict=True)
        found["draw_up"].append([_risen(*on, points)[0] for on in each])
        known = np.array([parabola(c, one[:1], (1 - c) ** step, t) for c in curvature[:, None]])
        found["formula"].append(wedges.interpolation.monotonicity(known) / known[:, 0])
    return {name: np.array(rows).T for name, rows in found.items()}


def _risen(landscape, starts, ends, points):
    """Draw-up over L(0) on the line of each of starts and ends [R, D], [R]."""
    on = [
        wedges.interpolation.interpolation(landscape, *each, points)
        for each in zip(starts, ends, strict=True)
    ]
    return [found.draw_up / found.losses[0] for found in on]


def toy(dimension, n, starts, points, seed):
    """Descents on axis-aligned wedges: L over L(0) on the line to where each ended, "own" [starts,
    points], and to there from another random start, "other"."""
    import keras

    rng = np.random.default_rng(seed)
    landscape = wedges.AxisWedges(dimension, n, dtype="float64")
    begin, elsewhere = rng.standard_normal((2, starts, dimension))
    rate = keras.optimizers.SGD(0.5)  # half of the way that is left, a step
    end = wedges.minimize(wedges.Squared(landscape), begin, rate, steps=40).theta
    found = {"own": [], "other": []}
    for own, other, last in zip(begin, elsewhere, np.asarray(end), strict=True):
        for name, first in (("own", own), ("other", other)):
            losses = wedges.interpolation.interpolation(landscape, first, last, points).losses
            found[name].append(losses / losses[0])
    return {name: np.array(rows) for name, rows in found.items()}
