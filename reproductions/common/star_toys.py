"""Star centres on the toy landscapes, and in how many directions gradients vary there: where the
answers are known."""

import numpy as np

import wedges
from reproductions.common import toys
from reproductions.common.arrays import stacked

VARIANTS = ("finite", "axis")


def counted(toy, optima, m, samples):
    """At the middle of the hull of m + 1 of so many optima, minimised, and at their star centre: short
    directions by the "geometry" [2]; the participation ratios of "gradients" and of "descents" around,
    each with its error [2, 2]; the "highest" loss on the straight ways to the optima, over that of the
    line between two [2]. With m = 0 both are the first optimum."""
    ends = on_wedges(toy, optima)
    line = wedges.connect.along(toy.landscape, ends[:2], 50)[1].max()
    return stacked([_at(toy, place, ends[: m + 1], line, samples) for place in _places(toy, ends, m)])


def on_wedges(toy, count):
    """Optima [count, D], each on a wedge of its own: of few wedges the nearest points of each, of all
    axis-aligned ones where random starts end."""
    starts = toys.gaussian(toy.seed, count, toy.dimension)
    if toy.variant != "finite":
        return toy.optima(starts)
    normals = toy.landscape.normals.numpy()[:count]  # [count, s, D]
    return np.stack([p - n.T @ (n @ p) for p, n in zip(starts, normals, strict=True)])


def _places(toy, ends, m):
    if m == 0:
        return [ends[0], ends[0]]
    how = {"seed": toy.seed, "reach": (0.01, 1.0), "samples": 8 * (m + 1), "tolerance": 1e-7}
    cg = wedges.ConjugateGradients()
    star = wedges.star_center(toy.squared, ends[: m + 1], cg, 400, follow=_silently, **how)
    return [toy.middle(ends[: m + 1]), star.vertices[-1]]


def _at(toy, place, ends, line, samples):
    where = place, toys.RADIUS, samples
    gradients = wedges.dimensionality.gradients(toy.landscape, *where, seed=toy.seed)
    how = wedges.ConjugateGradients(), 30
    moved = wedges.dimensionality.displacements(
        toy.squared, *where, *how, seed=toy.seed, follow=_silently
    )
    ways = [wedges.connect.along(toy.landscape, np.stack([end, place]), 50)[1] for end in ends]
    return {
        "geometry": np.array(len(toy.landscape.short_directions(place, toys.NEAR))),
        "gradients": _ratio(gradients),
        "descents": _ratio(moved),
        "highest": np.max(ways) / line,
    }


def _ratio(samples):
    gram = wedges.dimensionality.gram(samples)
    return np.array(wedges.dimensionality.participation_ratio(gram))


def _silently(descent, steps, name):
    """They take seconds at most, and the bars of a library would stand beside the figure's."""
    descent.run(steps)


def expected(dimension, short, m, variant, way):
    """What there is to find where the wedges of m + 1 optima cross, for m [M's].

    Of the geometry: the formulas of `toys.together`. Gradients vary alike in all of these directions;
    but those of random wedges overlap. The mean P of k random projections on s of D dimensions has
    tr P = s and tr P^2 = s (1 + (k - 1) s / D) / k, so a participation ratio of
    k s / (1 + (k - 1) s / D).
    """
    count = np.asarray(m) + 1
    if variant == "finite" and way != "geometry":
        return count * short / (1 + (count - 1) * short / dimension)
    return toys.together(dimension, short, count, variant)
