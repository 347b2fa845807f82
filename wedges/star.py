"""Star centres: one point from which the straight way to every one of several optima is low.

A set is a star domain if it has a centre that sees all of it: each straight way, a *leg*, from the
centre to a point of the set stays in the set.

star_center     the point of the lowest mean loss over the legs to m + 1 optima, as a `Connector`
legs            positions on the legs, evenly spaced: where to read it
random_legs     positions on the legs at random: what it is trained on

Source: Sonthalia et al. 2025, "Do Deep Neural Network Solutions Form a Star Domain?" (ICLR,
arXiv:2403.07968), who conjecture one centre for all solutions up to permutations of units.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wedges import _checks, simplex
from wedges.connect import Connector, _points, joint_connector
from wedges.landscape import Landscape
from wedges.optimize import Descent, Optimizer, progress

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    from wedges.connect import Follow


def legs(m: int, points: int) -> np.ndarray:
    """Positions on the legs from the centre to m + 1 optima, evenly spaced: [m + 1, points, m + 1].

    w = (1 - u) e_i + u / (m + 1), u = 1 / (points + 1), ..., points / (points + 1): neither the optima,
    u = 0, nor the centre, u = 1, are among them.

    >>> wedges.star.legs(1, 1).tolist()  # half-way between each of two optima and the middle
    [[[0.75, 0.25]], [[0.25, 0.75]]]
    """
    points = _checks.whole("points", points)
    middle = simplex.centroid(m)  # [1, m + 1]
    u = (np.arange(1, points + 1) / (points + 1))[:, None]
    return (1 - u) * np.eye(m + 1)[:, None] + u * middle


def random_legs(m: int, count: int, *, seed: int, reach: float = 1.0) -> np.ndarray:
    """`count` random positions [count, m + 1], uniform on the legs from m + 1 optima to the centre.

    With a `reach` below 1 they are uniform on that share of each leg, from the optimum on.
    """
    middle, count = simplex.centroid(m), _checks.whole("count", count)
    _reaches([reach])
    rng = np.random.default_rng(_checks.seed(seed))
    ends = np.eye(m + 1)[rng.integers(m + 1, size=count)]
    u = reach * (1 - rng.random((count, 1)))  # above 0: an optimum says nothing of the centre
    return (1 - u) * ends + u * middle


def star_center(
    landscape: Landscape,
    optima: TensorLike,
    optimizer: Optimizer,
    steps: int,
    *,
    seed: int,
    reach: Sequence[float] = (1.0,),
    start: TensorLike | None = None,
    samples: int | None = None,
    tolerance: float | None = None,
    jit_compile: bool = False,
    follow: Follow = progress,
) -> Connector:
    """The centre of a star with m + 1 optima at its tips: a `Connector`, its last vertex the centre c.

        c = argmin E_{i, u} L((1 - u) theta_i + u c),  i uniform among the optima, u uniform in (0, 1)

    c is free in all of R^D. With minibatches a step takes one random position on one random leg, and so
    costs what a step at one point does; a landscape without them sees all positions at every step. The
    `Connector` is the cone over the optima with its apex at c: `legs` are positions on its edges, and
    elsewhere it is as low as it happens to be.

    >>> bowl, ends = wedges.Quadratic([1.0, 1.0]), [[3.0, 0.0], [0.0, 3.0]]
    >>> star = wedges.star_center(bowl, ends, wedges.ConjugateGradients(), steps=9, seed=0, samples=4000)
    >>> np.allclose(star.vertices[-1], -0.75, atol=0.05)  # beyond the minimum: -1/2 of the optima's mean
    True
    >>> star.evaluate(bowl, wedges.star.legs(1, 3).reshape(-1, 2)).loss.shape  # three points on each leg
    (6,)

    Args:
      landscape: any; `Squared(landscape)` for a distance such as the toy's.
      optima: [m + 1, D], in general position.
      optimizer, tolerance, jit_compile: as for `minimize`.
      steps: for each stage of `reach`.
      seed: of the positions on the legs.
      reach: how much of each leg the stages look at, from the optimum on; 1 is all of it. On a landscape
        of many wedges (0.01, 1.0) finds their crossing: near an optimum the nearest wedge is its own, so
        a short reach asks c to lie on every optimum's wedge, where whole legs would settle for any wedge
        that happens to be near the middle.
      start: where c starts [D]; the optima's mean by default.
      samples: positions drawn in advance; by default one for each step, at least 64.
      follow: as for `connector`: follow(descent, steps, name) takes the steps of each stage's `Descent`.

    Raises:
      ValueError: optima of another space or not in general position, no stage, a reach that is not above
        0 and at most 1, a start that is no finite point.

    Source: Sonthalia et al. 2025 (arXiv:2403.07968), algorithm 1. The stages are ours. For evenly spaced
    positions, and many stars at once: `connect.corner`.
    """
    _checks.a_landscape(landscape)
    stages = _reaches(reach)
    tips = _points(landscape, optima)
    basis = _Cone(len(tips) - 1)
    apex = None if start is None else np.asarray(_checks.one_point(landscape, start))[None]
    star = Connector(tips, basis, apex)
    for share in stages:
        star = joint_connector(
            landscape,
            tips,
            basis,
            optimizer,
            steps,
            seed=seed,
            normal=False,
            start=star,
            positions=functools.partial(random_legs, reach=share),
            samples=samples,
            tolerance=tolerance,
            jit_compile=jit_compile,
            follow=functools.partial(
                _followed, follow, "star" + f", {share:g} of each leg" * (share < 1)
            ),
        )
    # As the basis whose files can be read: the same cone.
    return Connector(tips, simplex.Scattered(simplex.centroid(basis.m)), star.vertices[-1:])


def _followed(follow: Follow, name: str, descent: Descent, steps: int, _: str) -> object:
    """`follow`, with a name for each stage, by which a caller may keep its state."""
    return follow(descent, steps, name)


def _reaches(reach):
    """The stages as a tuple of floats; ValueError if there is none, or one is no share of a leg."""
    stages = np.asarray(reach)
    if stages.ndim != 1 or stages.dtype.kind not in "fiu" or not len(stages):
        raise ValueError(f"reach must be stages, e.g. (0.01, 1.0); received {reach}.")
    for share in stages:
        if not 0 < share <= 1:
            raise ValueError(f"reach must be above 0 and at most 1; received {share:g}.")
    return tuple(float(share) for share in stages)


class _Cone(simplex.Scattered):
    """`Scattered(centroid(m))`, whose weights need no linear programme."""

    def __init__(self, m: int) -> None:
        super().__init__(simplex.centroid(m))

    def weights(self, w):
        w = simplex.positions(w, self.m)
        least = w.min(axis=-1, keepdims=True)
        return np.concatenate([w - least, (self.m + 1) * least], axis=-1)
