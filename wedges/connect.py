"""Low-loss paths between optima.

tunnel    the straight line's points, each minimised in the hyperplane normal to the line
connect   a path with one corner, a -> c -> b, the corner moved until the *whole* path is low
along     the loss of a piecewise-linear path, between its vertices too
"""

import collections

import numpy as np
import tensorflow as tf

from wedges.affine import normal_plane
from wedges.landscape import Landscape
from wedges.optimize import minimize

Tunnel = collections.namedtuple("Tunnel", ["vertices", "deviations", "losses"])
Tunnel.__doc__ = """vertices [S + 1, D], the two ends among them; deviations of the S - 1 inner ones from
the straight line [S - 1, D]; losses of all vertices [S + 1]."""


def tunnel(landscape, a, b, segments, optimizer, steps, *, tolerance=None):
    """A path from a to b of `segments` straight pieces with low vertices: a `Tunnel`.

    v_i = argmin L over the hyperplane through a + (i/S)(b - a) normal to b - a, i = 1 .. S - 1, all at
    once; v_0 = a, v_S = b. Only the vertices are made low: look between them with `along`.

    Args:
      landscape: one that takes many points at once.
      a, b: the ends [D], different points.
      segments: S, at least 2.
      optimizer, steps, tolerance: as for `minimize`.

    Source: Fort & Jastrzebski 2019 (arXiv:1906.04724), section 3.
    """
    if segments < 2:
        raise ValueError(f"segments must be at least 2, for one vertex between; received {segments}.")
    a, b = landscape.point(a), landscape.point(b)
    t = tf.cast(tf.linspace(0.0, 1.0, segments + 1)[1:-1, None], landscape.dtype)  # [S - 1, 1]
    line = (1 - t) * a + t * b  # [S - 1, D]
    planes = normal_plane(line, b - a)
    found = minimize(landscape, line, optimizer, steps, subspace=planes, tolerance=tolerance).theta
    vertices = tf.concat([a[None], found, b[None]], axis=0)  # [S + 1, D]
    return Tunnel(vertices, found - line, landscape(vertices))


class Star(Landscape):
    """c -> mean of L over straight paths from c to each of E ends: how low is the whole star?

    L*(c) = 1/(E T) sum_e sum_j L((1 - u_j) end_e + u_j c), u_j = reach j / T, j = 1 .. T

    With two ends and reach 1 it is the mean loss of the path a -> c -> b.

    Args:
      landscape: one that takes many points at once.
      ends: [E, D]; [R, E, D] for R stars at once.
      points: T, samples on each ray; the ends are not among them.
      reach: how far along the rays to look, from each end: all the way to c (1), or less.
    """

    def __init__(self, landscape, ends, points, reach=1.0):
        if points < 1:
            raise ValueError(f"points must be at least 1 on each ray; received {points}.")
        self.landscape = landscape
        self.dimension, self.dtype = landscape.dimension, landscape.dtype
        self.ends = landscape.point(ends)  # [..., E, D]
        if self.ends.shape.rank < 2:
            raise ValueError(f"ends must have shape [..., E, D]; received {tuple(self.ends.shape)}.")
        if not 0 < reach <= 1:
            raise ValueError(f"reach must be above 0 and at most 1; received {reach}.")
        share = reach * np.arange(1, points + 1) / points
        self._share = tf.constant(share[:, None], self.dtype)  # [T, 1]

    def _points(self, theta):
        center = self.point(theta)[..., None, None, :]  # [..., 1, 1, D]
        ends = self.ends[..., :, None, :]  # [..., E, 1, D]
        return ends + self._share * (center - ends)  # [..., E, T, D]

    def __call__(self, theta):
        return tf.reduce_mean(self.landscape(self._points(theta)), axis=(-2, -1))  # [...]

    def value_and_gradient(self, theta):
        losses, gradients = self.landscape.value_and_gradient(self._points(theta))
        gradient = tf.reduce_mean(self._share * gradients, axis=(-3, -2))  # [..., D]
        return tf.reduce_mean(losses, axis=(-2, -1)), gradient

    def jet(self, theta, direction):
        points = self._points(theta)  # [..., E, T, D], moved by share p as the center is by p
        step = self._share * self.point(direction)[..., None, None, :]  # [..., 1, T, D]
        jets = self.landscape.jet(points, tf.broadcast_to(step, tf.shape(points)))
        return tuple(tf.reduce_mean(v, axis=(-2, -1)) for v in jets)


def connect(landscape, ends, optimizer, steps, *, points=8, reach=(0.01, 1.0), tolerance=None):
    """The corner c of a low path between two ends (a star between more): a `Minimum`, theta = c.

    c = argmin of `Star`, from the ends' mean; first with a short reach, then with all of it. Where the
    ends lie on different wedges a low path leads through the wedges' intersection, and c is found
    there. The path is low as a whole, not only at its vertices, since the loss is averaged along it.

    Args:
      landscape: as for `Star`; give `Squared(landscape)` for a distance such as the toy's.
      ends: [E, D], or [R, E, D] for R of them at once.
      optimizer, steps, tolerance: as for `minimize`.
      points: samples on each ray.
      reach: of each stage. Near an end the nearest wedge is the end's own, so a short reach asks c to
        lie on every end's wedge; from the mean, the whole rays would settle for any wedge that happens
        to be near the middle.

    Source: paths with one bend, Garipov et al. 2018 (arXiv:1802.10026); the stages are ours.
    """
    ends = landscape.point(ends)  # [..., E, D]
    if ends.shape.rank < 2:
        raise ValueError(f"ends must have shape [..., E, D]; received {tuple(ends.shape)}.")
    if not len(reach):
        raise ValueError("reach must hold at least one stage's reach, e.g. (0.1, 1.0); received none.")
    center = tf.reduce_mean(ends, axis=-2)  # [..., D]
    for stage in reach:
        star = Star(landscape, ends, points, stage)
        found = minimize(star, center, optimizer, steps, tolerance=tolerance)
        center = found.theta
    return found


def along(landscape, vertices, points=10):
    """The loss along the piecewise-linear path through vertices [V, D], vertices included.

    Returns how far along the path each sample is, t [T] from 0 to 1 in length, and its loss [T],
    T = (V - 1) points + 1.
    """
    vertices = landscape.point(vertices)
    if vertices.shape.rank != 2 or vertices.shape[0] < 2:
        raise ValueError(f"vertices must have shape [V, D], V >= 2; received {tuple(vertices.shape)}.")
    if points < 1:
        raise ValueError(f"points must be at least 1 on each segment; received {points}.")
    share = tf.constant(np.arange(points)[:, None] / points, landscape.dtype)  # [T, 1]
    losses, t = [], []
    lengths = tf.norm(vertices[1:] - vertices[:-1], axis=-1).numpy()  # [V - 1]
    before = np.concatenate([[0], np.cumsum(lengths)])
    for i, (a, b) in enumerate(zip(vertices[:-1], vertices[1:], strict=True)):
        losses.append(landscape(a + share * (b - a)).numpy())  # [T]
        t.append(before[i] + np.arange(points) / points * lengths[i])
    losses.append(landscape(vertices[-1:]).numpy())
    t.append(before[-1:])
    return np.concatenate(t) / max(before[-1], np.finfo(float).tiny), np.concatenate(losses)
