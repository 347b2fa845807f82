"""Allocation where every number is known: quadratics by coordinates, and the toy landscape.

On L = sum_i lambda_i theta_i^2 / 2 each coordinate stands alone:

    A_ti = lambda_i / 2 (theta_{t+1,i}^2 - theta_ti^2)

so that a coordinate helps where it comes nearer to 0. When it does is known of three ways to move: plain
descent, descent with momentum, one step along a noisy gradient. They are what keeps a share of weights
that help below 1: steps that are too long, lag, noise.

Functions that measure return dicts of arrays, and get a seed and sizes; formulas are beside them.
Source: our own algebra.
"""

import numpy as np
import scipy.special

import wedges

MOMENTUM = 0.9
PRODUCTS = (0.01, 0.2, 1.0)  # rate times curvature, of the noisy steps
RATIOS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # |gradient| over the deviation of its noise
_LONG, _SHORT = 20, 10  # directions of each wedge of the toy


# ---- formulas ---------------------------------------------------------------------------------------


def share_under_noise(ratio, product):
    """How probably a coordinate helps in theta - eta (g + sigma xi), xi normal.

    It comes nearer to 0 where the step lies between 0 and twice the way there, 2 g / lambda:

        P = Phi(q) + Phi((2 / (eta lambda) - 1) q) - 1,    q = |g| / sigma
    """
    normal = scipy.special.ndtr
    return normal(ratio) + normal((2 / product - 1) * ratio) - 1


def share_under_momentum(product, momentum=MOMENTUM):
    """Of the steps of v <- m v - eta g, theta <- theta + v, the share that help, after many.

    With p = eta lambda between (1 - sqrt m)^2 and (1 + sqrt m)^2 theta swings as r^t cos(phi t + c),
    r = sqrt m, cos phi = (1 + m - p) / 2 r. The phase comes everywhere as often, and theta is nearer to
    0 after a step at

        (arctan((cos phi + 1/r) / sin phi) - arctan((cos phi - 1/r) / sin phi)) / pi

    of all phases. Below these p it comes straight down and always helps; 1 there.
    """
    r = np.sqrt(momentum)
    cosine = (1 + momentum - np.asarray(product, float)) / (2 * r)
    sine = np.sqrt(np.clip(1 - cosine**2, 1e-300, None))
    at = lambda tangent: np.arctan(tangent / sine)
    swings = (at(cosine + 1 / r) - at(cosine - 1 / r)) / np.pi
    return np.where(cosine >= 1, 1.0, swings)


# ---- what is measured -------------------------------------------------------------------------------


def descending(seed, steps):
    """Plain descent on a quadratic of 40 curvatures, rate 1: the largest deviation of A from its closed
    form, over a coordinate's sum of |A|; and how many coordinates help other than where |1 - p| < 1."""
    rng = np.random.default_rng([seed, 0])
    p, start = rng.uniform(0.05, 2.4, 40), rng.choice([-1.0, 1.0], 40)
    path = start * (1 - p) ** np.arange(steps + 1)[:, None]
    found = _by_coordinate(wedges.Quadratic(p, dtype="float64"), path, "trapezoid")
    known = p / 2 * start**2 * np.diff((1 - p) ** (2 * np.arange(steps + 1)[:, None]), axis=0)
    helps = (found < 0).all(axis=0)
    return {
        "deviation": (np.abs(found - known) / np.abs(known).sum(axis=0)).max(),
        "mistaken": np.sum(helps != (np.abs(1 - p) < 1)),
    }


def swinging(seed, steps):
    """Descent with momentum: rate times curvature "products" [40], and the "share" of the steps that
    help [40], over starts at 200 phases of the swing each.

    Starts of many phases, since a swing whose period is a few steps comes to a few phases alone.
    """
    rng = np.random.default_rng([seed, 1])
    p, r = rng.uniform(0.01, 3.6, 40), np.sqrt(MOMENTUM)
    phase = 2 * np.pi * (np.arange(200) + rng.random((40, 200))) / 200  # one in each of 200 parts
    turn = np.arccos((1 + MOMENTUM - p) / (2 * r))[:, None]
    theta = np.cos(phase)
    velocity, path = theta - np.cos(phase - turn) / r, [theta]
    for _ in range(steps):
        velocity = MOMENTUM * velocity - p[:, None] * theta
        theta = theta + velocity
        path.append(theta)
    bowl = wedges.Quadratic(np.repeat(p, 200), dtype="float64")
    allocation = wedges.Allocation(bowl, rule="trapezoid")
    for theta in path:
        allocation.step(np.ravel(theta))
    return {"products": p, "share": allocation.times_helped.reshape(40, 200).mean(axis=1) / steps}


COPIES = 4000  # coordinates of each kind


def noisy(seed):
    """One step along a noisy gradient, of `COPIES` coordinates each: the "share" that helps
    [products, ratios]."""
    rng = np.random.default_rng([seed, 2])
    shape = len(PRODUCTS), len(RATIOS), COPIES
    product = np.broadcast_to(np.array(PRODUCTS)[:, None, None], shape)  # the curvature, at rate 1
    gradient = np.broadcast_to(np.array(RATIOS)[None, :, None], shape)
    theta = gradient / product
    after = theta - gradient - rng.normal(size=shape)
    bowl = wedges.Quadratic(product.ravel(), dtype="float64")
    allocation = wedges.Allocation(bowl, rule="trapezoid")
    allocation.step(theta.ravel())
    allocation.step(after.ravel())
    return {"share": (allocation.total.reshape(shape) < 0).mean(axis=-1)}


def wandering(seed, steps):
    """A noisy descent on the toy, half the squared distance to the nearest of all axis-aligned wedges.

    Long directions move as much as short ones, and cost nothing. Of segments along which the nearest
    wedge stays the same: "deviation", the largest of A from its closed form, over the segment's sum of
    |A|; "long", the largest |A| of a long direction. Of the others: their "bent share", and how much of
    their summed |A| is "bent" away from the closed form.
    """
    rng, size = np.random.default_rng([seed, 3]), _LONG + _SHORT
    toy = wedges.Squared(wedges.AxisWedges(size, _LONG, dtype="float64"))
    path = [rng.normal(size=size)]
    for _ in range(steps):
        gradient = toy.value_and_gradient(path[-1])[1].numpy()
        path.append(path[-1] - 0.2 * gradient + 0.05 * rng.normal(size=size))
    found = _by_coordinate(toy, path, "adaptive")
    segments = list(zip(path[:-1], path[1:], strict=True))
    known = np.array([along_the_toy(a, b, _SHORT) for a, b in segments])
    same = np.array([len(wedges_along(a, b, _SHORT)) == 1 for a, b in segments])
    off, whole = np.abs(found - known), np.abs(known).sum(axis=1)
    long = np.array([~wedges_along(a, b, _SHORT)[0][2] for a, b in segments])
    return {
        "deviation": (off[same].max(axis=1) / whole[same]).max(initial=0.0),
        "long": np.abs(found[same][long[same]]).max(initial=0.0),
        "bent share": 1 - same.mean(),
        "bent": off[~same].sum() / max(whole[~same].sum(), 1e-300),
    }


def wedges_along(a, b, short):
    """The nearest axis-aligned wedge along the segment from a to b: [(from, to, its short directions
    [D])], a part of the segment each, from 0 to 1.

    It changes only where two components are of one size, and they are linear in the place.
    """
    change = b - a
    pairs = np.triu_indices(len(a), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = [-(a[i] + s * a[j]) / (change[i] + s * change[j]) for i, j in [pairs] for s in (-1, 1)]
    meet = np.concatenate(meet)
    ends = np.unique([0.0, 1.0, *meet[(meet > 0) & (meet < 1)]])
    parts = []
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        middle = np.abs(a + (low + high) / 2 * change)
        inside = np.zeros(len(a), bool)
        inside[np.argsort(middle)[:short]] = True
        if parts and (parts[-1][2] == inside).all():
            parts[-1] = parts[-1][0], high, inside
        else:
            parts.append((low, high, inside))
    return parts


def along_the_toy(a, b, short):
    """A of half the squared distance along the segment from a to b, [D]: what theta_i^2 / 2 gains in the
    parts in which direction i is short."""
    found = np.zeros(len(a))
    for low, high, inside in wedges_along(a, b, short):
        gain = ((a + high * (b - a)) ** 2 - (a + low * (b - a)) ** 2) / 2
        found += np.where(inside, gain, 0)
    return found


def _by_coordinate(landscape, path, rule):
    """A of each coordinate along a path [T + 1, D], [T, D]."""
    allocation = wedges.Allocation(landscape, groups=np.arange(landscape.dimension), rule=rule)
    for theta in path:
        allocation.step(theta)
    return allocation.layers
