"""The ray from the origin through a point, against the directions across it: is a well radially long?

In a quadratic well the distance at which the loss has risen by a given amount goes with one over the
root of the curvature: a quarter of it makes a well twice as long.
"""

import numpy as np

import wedges
from reproductions.bench import cache, progress
from reproductions.common import toys
from reproductions.common.arrays import stacked


def of_optima(network, thetas, products, seed):
    """What `curvatures` finds at each of the optima thetas [K, D] of an `optima.Network`, [K]."""
    rows = []
    for i, theta in enumerate(thetas):
        with progress.labelled(f"ray {i + 1}"):
            rows.append(cache.cached(_of_optimum, network, theta, products, seed))
    return stacked(rows)


def above_wedges(toy, height, count, products, seed):
    """The same on the toy, at points at this height above the wedges of `count` optima."""
    return cache.cached(_above_wedges, toy, height, count, products, seed)


def _of_optimum(network, theta, products, seed):
    return curvatures(network.seen, theta, products, seed)


def _above_wedges(toy, height, count, products, seed):
    starts = [toys.gaussian(toy.seed + i, 1, toy.dimension) for i in range(count)]
    points = [toy.near(start, height)[1] for start in starts]
    return stacked([curvatures(toy.landscape, point, products, seed) for point in points])


def curvatures(landscape, point, products, seed):
    """Second derivatives of the loss by distance at a point theta [D] other than the origin.

        along  = theta^T H theta / |theta|^2
        across = mean of v^T H v over all unit v normal to theta = tr(P H P) / (D - 1)

    P projects along theta. "along" [] is exact; "across" [] is estimated from so many products with the
    Hessian H, and "error" [] is its standard error, 0 where D products are enough.
    """
    ray = point / np.linalg.norm(point)
    along = np.dot(ray.astype(np.float64), wedges.hessian(landscape, point) @ ray)
    plane = wedges.normal_plane(point, ray)
    inside = wedges.hessian(wedges.restrict(landscape, plane), np.zeros_like(point))
    trace, others = wedges.trace(inside, products, seed=seed), len(point) - 1
    return {"along": along, "across": trace.mean / others, "error": trace.error / others}
