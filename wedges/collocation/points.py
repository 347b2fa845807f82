"""Which points a loss is the mean over: weighted ones, new ones at each step, some on the boundary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wedges import _checks
from wedges._repr import short

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.collocation.domains import Domain


class Quadrature(NamedTuple):
    """Points with weights: sum_i weights_i g(x_i) stands for the mean of g over a domain."""

    x: np.ndarray  # [N, d]
    weights: np.ndarray  # [N], their sum 1

    def __repr__(self) -> str:
        return short(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Fresh:
    """New points at each step of a descent, uniform in a domain, as deep Ritz and Galerkin draw them.

    The loss itself must be one function of theta. So it is taken over points of its own, the same at
    every call: `landscape(theta)` over these, `landscape.sample(theta, step)` over those of a step.

    Attributes:
      domain: a `Domain`.
      n: points a step.
      seed: of the steps' points; mandatory.
      measured: the points of the loss itself, [N, d] or a `Quadrature`; 10,000 uniform ones by default.
    """

    domain: Domain
    n: int
    seed: int
    measured: Any = None

    def __post_init__(self) -> None:
        if not hasattr(self.domain, "draw"):
            raise ValueError(
                "domain must be one of wedges.collocation, e.g. Ball(3); received "
                f"{_checks.called(self.domain)}."
            )
        _checks.whole("n", self.n)
        _checks.whole("seed", self.seed, 0, 2**31 - 2)
        if self.measured is None:
            object.__setattr__(self, "measured", self.domain.uniform(10_000, seed=self.seed))


@dataclasses.dataclass(frozen=True, eq=False)
class Penalty:
    """A boundary condition that is paid for: weight * mean over points of (u - g)^2, added to the loss.

    Attributes:
      x: points on the boundary [n, d], e.g. `domain.boundary(n, seed=0)`.
      weight: above 0.
      values: g, of points [n, d] -> [n]; 0 by default.
    """

    x: Any
    weight: float
    values: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", weighted("x", self.x).x)
        _checks.positive("weight", self.weight)


def weighted(name: str, points: ArrayLike | Quadrature) -> Quadrature:
    """Points as a `Quadrature` of finite float64 numbers; without weights all count alike.

    Raises:
      ValueError: points that are no numbers [N, d], or weights that are no finite numbers [N].
    """
    x, weights = points if isinstance(points, Quadrature) else (points, None)
    try:
        x = np.asarray(x, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers [N, d]; received {_checks.called(x)}.") from None
    if x.ndim != 2 or not x.size:
        raise ValueError(f"{name} must be points [N, d], at least one; received shape {x.shape}.")
    _checks.finite(name, x)
    if weights is None:
        return Quadrature(x, np.full(len(x), 1 / len(x)))
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(x),):
        raise ValueError(
            f"{name} must have a weight for each of {len(x)} points; received {weights.shape}."
        )
    _checks.finite(f"weights of {name}", weights)
    return Quadrature(x, weights)
