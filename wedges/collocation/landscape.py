"""The loss of a differential equation as a landscape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._tensorflow import compiled
from wedges.collocation import forward
from wedges.collocation.domains import Domain
from wedges.collocation.fields import Field, differentiable_at, differentiate, values_at
from wedges.collocation.points import Fresh, Penalty, Quadrature, weighted
from wedges.landscape import Landscape
from wedges.network.second_order import derivatives_of_any_order
from wedges.network.stateless import StatelessModel
from wedges.network.supported import check_supported

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from tensorflow.types.experimental import TensorLike

DERIVATIVES = ("forward", "reverse")
_SHOWN = {"either": "reverse at one theta, forward at several"}
# Numbers of one layer, over points and thetas, that are computed at a time: what stays in the cache.
_NUMBERS = 2**17


class Collocation(Landscape):
    """L(theta) = mean over x of residual(x, u), u(x) = B(x) model(x; theta).

    The residual knows u, its gradient and its Laplacian by x at each point: `Ritz(f)`, `Galerkin(f)`,
    or a function (x [N, d], u) -> [..., N] of one's own, u a `Field`. The mean is that of a weighted sum
    over points. Dropout and the like are as at inference; state that is not trained is copied when the
    landscape is made, and the model is never changed.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> problem = wedges.collocation.on_cube(1)
    >>> energy = wedges.collocation.Ritz(problem.source)
    >>> quadrature = problem.domain.quadrature(20)
    >>> landscape = wedges.Collocation(model, energy, quadrature, boundary=problem.domain)
    >>> round(float(landscape([0.0, 4.0])), 3)  # of u = 4 x (1 - x): above -2.467, that of sin(pi x)
    -2.426

    Args:
      model: a built `keras.Model`, points [N, d] -> [N, 1].
      residual: a function (x, u) -> [..., N], picklable if the landscape is to be; with `second = False`
        as an attribute if it needs no Laplacian.
      points: where the mean is taken: points [N, d], a `Quadrature`, or `Fresh` ones a step.
      boundary: a `Domain`, whose factor B makes u vanish on its boundary, and in which all points must
        be; any function B of points x [N, d] -> [N]; a `Penalty`; or None, B = 1.
      derivatives: "forward" carries value, gradient and Laplacian through the layers together; "reverse"
        takes nested tapes, through any model. By default the faster one where the model allows both:
        forward, but for a residual without Laplacian (`second = False`, as deep Ritz) at one theta [D],
        where tapes are faster. Several thetas [R, D] in one call go forwards together as stacked
        weights. Both ways give the same numbers up to rounding.

    Attributes:
      network: the `StatelessModel`; space: its `WeightSpace`.
      residual, points, boundary: as given.
      derivatives: "forward" or "reverse", what is done; "either" where it is "reverse" for one theta and
        "forward" for several.
      x, weights: the points of the loss [N, d], and their weights [N].

    Raises:
      ValueError: a model that takes other points, has several outputs or couples points, points outside
        the domain, no residual, functions that give no number for each point or cannot be
        differentiated, derivatives="forward" for a model that it does not know.

    Source: E & Yu 2018 (arXiv:1710.00211); Sirignano & Spiliopoulos 2018 (arXiv:1708.07469).
    """

    def __init__(
        self,
        model: keras.Model,
        residual: Callable[[tf.Tensor, Field], tf.Tensor],
        points: ArrayLike | Quadrature | Fresh,
        *,
        boundary: Domain | Penalty | Callable[[tf.Tensor], tf.Tensor] | None = None,
        derivatives: str | None = None,
    ) -> None:
        if derivatives is not None:
            _checks.choice("derivatives", derivatives, DERIVATIVES)
        if not callable(residual):
            raise ValueError(
                "residual must be a function of points and u, e.g. wedges.collocation.Galerkin(f); "
                f"received {_checks.called(residual)}."
            )
        if not (boundary is None or isinstance(boundary, (Domain, Penalty)) or callable(boundary)):
            raise ValueError(
                "boundary must be a domain, a Penalty, a function of points or None; received "
                f"{_checks.called(boundary)}."
            )
        self._given = (model, residual, points, boundary, derivatives)
        self.network = StatelessModel(model)
        check_supported(model)
        self.space = self.network.space
        self.dimension, self.dtype = self.space.dimension, self.space.dtype
        self.residual, self.points, self.boundary = residual, points, boundary
        self._second = bool(getattr(residual, "second", True))
        looked_at = weighted("points", points.measured if isinstance(points, Fresh) else points)
        _check_model(model, looked_at.x.shape[1], self.dtype)
        _check_inside(looked_at.x, boundary, points)
        self.x, self.weights = (tf.constant(a, self.dtype) for a in looked_at)
        self._penalty = None
        if isinstance(boundary, Penalty):
            if boundary.x.shape[1] != self.x.shape[1]:
                raise ValueError(
                    f"boundary must have points of {self.x.shape[1]} dimensions; received "
                    f"{boundary.x.shape}."
                )
            at = tf.constant(boundary.x, self.dtype)
            given = boundary.values
            wanted = 0 * at[:, 0] if given is None else values_at("values of boundary", given, at)
            self._penalty = at, wanted, tf.constant(float(boundary.weight), self.dtype)
        self.derivatives = self._way(derivatives)
        self._factor = self._factor_at(self.x)
        self._check_residual()
        self._losses = compiled(self._blocks)
        self._fields = compiled(lambda theta, x: self._field(theta, x, self._factor_at(x), True))

    def __reduce__(self) -> tuple:
        return _made, self._given

    def __repr__(self) -> str:
        kind = getattr(self.residual, "__name__", type(self.residual).__name__)
        n, d = self.x.shape
        return (
            f"Collocation(model {self.network.model.name!r}, D = {self.dimension:,}, {kind} at {n:,} "
            f"points of R^{d}, {self.dtype.name}, {_SHOWN.get(self.derivatives, self.derivatives)})"
        )

    # ---- theta -> loss ------------------------------------------------------------------------------

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        theta = self.point(theta)
        return tf.reshape(self._losses(self._flat(theta)), tf.shape(theta)[:-1])

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        """The loss that step number `step` sees: over new points with `Fresh`, else the loss itself.

        The points are a function of (step, seed) alone, and the same for all of several thetas.
        """
        if not isinstance(self.points, Fresh):
            return self(theta)
        theta, n = self.point(theta), self.points.n
        x = self.points.domain.draw(n, self.points.seed, step, self.dtype)
        weights = tf.fill([n], tf.constant(1 / n, self.dtype))
        loss = self._loss(self._flat(theta), x, weights, self._factor_at(x))
        return tf.reshape(loss, tf.shape(theta)[:-1])

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        theta = self.point(theta)
        with derivatives_of_any_order(self.network.model):
            if self._forward_at(theta) or theta.shape.rank == 1 or theta.shape.num_elements() is None:
                return super().value_and_gradient(theta)
            # Tapes of tapes over a loop take many times what they take one by one.
            rows = tf.unstack(tf.reshape(theta, [-1, self.dimension]))
            losses, gradients = zip(*map(super().value_and_gradient, rows), strict=True)
        shape = theta.shape
        return tf.reshape(tf.stack(losses), shape[:-1]), tf.reshape(tf.stack(gradients), shape)

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        theta, v = self.point_and_directions(theta, v)
        with derivatives_of_any_order(self.network.model):
            if self._forward_at(v) or v.shape.rank == 1 or v.shape.num_elements() is None:
                return super().hessian_product(theta, v)
            flat = lambda a: tf.unstack(tf.reshape(tf.broadcast_to(a, v.shape), [-1, self.dimension]))
            products = list(map(super().hessian_product, flat(theta), flat(v)))
        return tf.reshape(tf.stack(products), v.shape)

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with derivatives_of_any_order(self.network.model):
            return super().jet(theta, direction)

    def field(self, theta: TensorLike, x: ArrayLike | None = None) -> Field:
        """u at theta [D] with its derivatives by x: a `Field`.

        Args:
          theta: one [D].
          x: points [N, d]; those of the loss by default.

        Raises:
          ValueError: more than one theta, points of another dimension.
        """
        theta = self.point(theta)
        if theta.shape.rank != 1:
            raise ValueError(f"theta must be one point [D]; received shape {tuple(theta.shape)}.")
        at = self.x if x is None else tf.constant(weighted("x", x).x, self.dtype)
        if at.shape[1] != self.x.shape[1]:
            raise ValueError(f"x must be points [N, {self.x.shape[1]}]; received {tuple(at.shape)}.")
        return self._fields(theta, at)

    def relative_error(self, theta: TensorLike, solution: Callable[[tf.Tensor], tf.Tensor]) -> float:
        """|u - solution| / |solution|, both the root of a mean square over the points of the loss.

        Args:
          theta: one [D].
          solution: of points x [N, d] -> [N], in TensorFlow or NumPy.

        Raises:
          ValueError: as `field`; a solution that is 0 everywhere, or gives no number for each point.
        """
        wanted = values_at("solution", solution, self.x)
        off = self.field(theta).value - wanted
        mean = lambda v: float(tf.reduce_sum(self.weights * v * v))
        if not mean(wanted):
            raise ValueError("solution must not be 0 at all points; received one that is.")
        return float(np.sqrt(mean(off) / mean(wanted)))

    def write(self, theta: TensorLike) -> None:
        """Make the model itself stand at theta [D]: the only method that changes it."""
        self.space.write(theta)

    # ---- how ----------------------------------------------------------------------------------------

    def _blocks(self, theta):
        """The loss of theta [D], or of each of thetas [R, D], some at a time."""
        where = self.x, self.weights, self._factor
        if theta.shape.rank == 1:
            return self._loss(theta, *where)
        rows = max(1, _NUMBERS // (self.x.shape[0] * _widest(self.network.model)))
        count = theta.shape[0]
        if count is None or count <= rows or not self._forward_at(theta):
            return self._loss(theta, *where)
        blocks = -(-count // rows)
        rows = -(-count // blocks)
        padded = tf.pad(theta, [[0, blocks * rows - count], [0, 0]])
        some = tf.reshape(padded, [blocks, rows, self.dimension])
        losses = tf.map_fn(lambda t: self._loss(t, *where), some, fn_output_signature=self.dtype)
        return tf.reshape(losses, [-1])[:count]

    def _loss(self, theta, x, weights, factor):
        """theta [D] or [R, D] -> [] or [R]."""
        u = self._field(theta, x, factor, self._second)
        loss = tf.linalg.matvec(tf.cast(self.residual(x, u), self.dtype)[..., None, :], weights)[..., 0]
        if self._penalty is None:
            return loss
        at, wanted, weight = self._penalty
        off = self._field(theta, at, None, False).value - wanted
        return loss + weight * tf.reduce_mean(off * off, axis=-1)

    def _field(self, theta, x, factor, laplacian):
        """u at x [N, d]: a `Field` [N, ...], or [R, N, ...] of thetas [R, D]."""
        if self._forward_at(theta, laplacian):
            found = forward.field(self.network.model, self._weights(theta), x, laplacian)
        elif theta.shape.rank == 1:
            found = self._taped(theta, x, laplacian)
        else:
            kinds = Field(self.dtype, self.dtype, self.dtype if laplacian else None)
            some = lambda t: [f for f in self._taped(t, x, laplacian) if f is not None]
            signature = [kind for kind in kinds if kind is not None]
            parts = tf.map_fn(some, theta, fn_output_signature=signature)
            found = Field(*parts, *[None] * (3 - len(parts)))
        return found if factor is None else factor.times(found)

    def _flat(self, theta):
        """theta [..., D] as one [D], or several [R, D]."""
        one = theta.shape.num_elements() == self.dimension
        return tf.reshape(theta, [self.dimension] if one else [-1, self.dimension])

    def _forward_at(self, theta, laplacian=False):
        """Whether derivatives by x are carried forwards at theta [D] or thetas [..., D]."""
        more = theta.shape.rank > 1 or laplacian
        return self.derivatives == "forward" or (self.derivatives == "either" and more)

    def _taped(self, theta, x, laplacian):
        model = self.network.model
        with derivatives_of_any_order(model), self.network.at(theta, self.network.state) as scope:
            one = lambda x: self.network.call(x, scope, training=False).outputs[:, 0]
            return differentiate(one, x, laplacian=laplacian)

    def _weights(self, theta):
        """{id of a variable: its value}, [...] for theta [D] and [R, ...] for thetas [R, D]."""
        parts = tf.split(theta, self.space.sizes, axis=-1)
        many = [-1] if theta.shape.rank == 2 else []
        shaped = [tf.reshape(p, [*many, *s]) for p, s in zip(parts, self.space.shapes, strict=True)]
        rest = zip(map(id, self.network.variables), self.network.state, strict=True)
        return dict(zip(map(id, self.space.variables), shaped, strict=True)) | dict(rest)

    def _factor_at(self, x):
        """B at x, a `Field`; None where it is 1."""
        if self.boundary is None or isinstance(self.boundary, Penalty):
            return None
        if isinstance(self.boundary, Domain):
            return self.boundary.factor(x)
        return differentiate(lambda x: differentiable_at("boundary", self.boundary, x), x)

    def _way(self, derivatives):
        theta, x = self.space.elsewhere(), self.x[:3]
        with self.network.at(theta, self.network.state) as scope:
            of = lambda x: self.network.call(x, scope, training=False).outputs[:, 0]
            values, alone = of(x), tf.concat([of(row[None]) for row in x], axis=0)
        if not np.allclose(values, alone, rtol=0, atol=0.05 * np.abs(alone).max()):
            raise ValueError(
                f"model {self.network.model.name!r} must give u at a point from this point alone; "
                "received one whose output also depends on the others."
            )
        if derivatives == "reverse":
            return derivatives
        why = forward.why_not(self.network.model, self._weights(theta), x, values)
        if derivatives == "forward" and why:
            raise ValueError(
                "derivatives must be 'reverse' or None for this model; received 'forward', which does "
                f"not know {why}."
            )
        if why:
            return "reverse"
        return "forward" if derivatives or self._second else "either"

    def _check_residual(self):
        x = self.x[:3]
        u = self._field(self.space.read(), x, self._factor_at(x), self._second)
        found = tf.convert_to_tensor(self.residual(x, u))
        if found.shape != u.value.shape:
            raise ValueError(
                f"residual must give a number for each point, [{len(x)}] of {len(x)}; received shape "
                f"{tuple(found.shape)}."
            )


def _made(model, residual, points, boundary, derivatives):
    return Collocation(model, residual, points, boundary=boundary, derivatives=derivatives)


def _widest(model):
    """The most numbers that a weight of a model makes of a point."""
    return max((v.shape[-1] for v in model.trainable_variables if len(v.shape)), default=1)


def _check_model(model, d, dtype):
    """One input [N, d] and one output [N, 1]."""
    several = [s for s in (getattr(model, "inputs", None), getattr(model, "outputs", None)) if s]
    if any(len(s) > 1 for s in several):
        raise ValueError(
            f"model must have one input and one output; received {model.name!r}, which has "
            f"{' and '.join(str(len(s)) for s in several)}."
        )
    shape = tuple(several[0][0].shape) if several else (None, d)
    if len(shape) != 2 or shape[1] not in (None, d):
        raise ValueError(
            f"model must take points of {d} dimensions, [N, {d}]; received {model.name!r}, which takes "
            f"{shape}."
        )
    found = model(tf.zeros([2, d], dtype), training=False)
    shape = tuple(getattr(found, "shape", ()))
    if shape != (2, 1):
        received = f"{len(found)}" if isinstance(found, (list, tuple, dict)) else f"shape {shape}"
        raise ValueError(
            f"model must have one output, [N, 1] of points [N, {d}]; received {model.name!r}, whose "
            f"output of 2 points has {received}."
        )


def _check_inside(x, boundary, points):
    """All points in the domain that is known, of its dimension."""
    domains = [boundary, getattr(points, "domain", None)]
    for domain in (each for each in domains if isinstance(each, Domain)):
        if domain.dimension != x.shape[1]:
            raise ValueError(
                f"points must have the {domain.dimension} dimensions of {domain}; received {x.shape}."
            )
        outside = ~domain.contains(np.float32(x))  # with the rounding of single precision
        if outside.any():
            raise ValueError(
                f"points must lie in {domain}; received {outside.sum()} of {len(x)} outside, the first "
                f"{x[outside.argmax()].tolist()}."
            )
