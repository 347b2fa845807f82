"""A landscape: a function from a point theta in R^D to a scalar loss.

Everything else in the library takes a landscape and asks only for what is defined here. What is
true of a `Quadratic`, where every answer is known in closed form, is then also true of a network.

    Landscape       what every landscape has: a value, a gradient, curvature along a direction
    WithExamples    what one has besides that is a mean over examples: minibatches, an evaluation
    WithOutputs     what one has besides that is a loss of a model's outputs: Gauss-Newton products
    Around          a landscape made of another one; `landscape.core` is the innermost of them

What a landscape has is declared by its class: `isinstance(landscape, WithExamples)` asks for it.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._repr import short

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    from wedges.affine import AffineSubspace

# Hessian or Gauss-Newton products to ask for in one call. A network's share the pass over the data
# that gives the gradient; more of them would only make its graph longer.
PRODUCTS_AT_ONCE = 10


class Landscape(abc.ABC):
    """The interface: a dimension, a dtype, and `landscape(theta) -> loss`.

    Subclasses define `__call__`; the rest follows from it. The function must be deterministic:
    two calls at one theta return one number.

    Attributes:
      dimension: D, the length of theta.
      dtype: the floating dtype of theta and of the loss.
      takes_batches: whether `sample` takes many points [R, D] at once; False for a network.
    """

    dimension: int
    dtype: tf.DType
    takes_batches: bool = True

    @abc.abstractmethod
    def __call__(self, theta: TensorLike) -> tf.Tensor:
        """The loss at theta. theta [..., D] -> loss [...]."""

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        """The loss that step number `step` of an optimiser sees. theta [D] -> loss [].

        A landscape with examples overrides this with a minibatch; it must depend on nothing but
        (theta, step), so that a descent can stop anywhere and continue exactly.
        """
        del step
        return self(theta)

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        """L(theta) and dL/dtheta. theta [..., D] -> loss [...], gradient [..., D]."""
        theta = self.point(theta)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = self(theta)
        return loss, tape.gradient(loss, theta, unconnected_gradients="zero")

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """L(theta + t p) and its first and second derivative by t, at t = 0.

        theta, p [..., D] -> loss [...], slope g.p [...], curvature p^T H p [...].
        """
        theta, direction = self.point(theta), self.point(direction)
        t = tf.zeros_like(theta[..., 0])  # [...]
        with tf.GradientTape() as outer:
            outer.watch(t)
            with tf.GradientTape() as inner:
                inner.watch(t)
                loss = self(theta + t[..., None] * direction)  # [...]
            slope = inner.gradient(loss, t, unconnected_gradients="zero")  # [...]
        return loss, slope, outer.gradient(slope, t, unconnected_gradients="zero")

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        """H(theta) v, from two derivatives, H never held.

        theta, v [..., D] -> [..., D]; or several v [K, D] at one theta [D] -> [K, D].

        Raises:
          ValueError: v of another shape.

        Source: Pearlmutter 1994, Fast exact multiplication by the Hessian (Neural Computation 6).
        """
        theta, v = self.point_and_directions(theta, v)
        theta = tf.broadcast_to(theta, v.shape)
        with tf.GradientTape() as outer:
            outer.watch(theta)
            with tf.GradientTape() as inner:
                inner.watch(theta)
                loss = self(theta)
            slope = tf.reduce_sum(inner.gradient(loss, theta, unconnected_gradients="zero") * v)  # []
        return outer.gradient(slope, theta, unconnected_gradients="zero")

    def length(self, step: TensorLike) -> tf.Tensor:
        """How far a step in theta leads, in the metric of the full space. [..., D] -> [...]."""
        return tf.norm(step, axis=-1)

    def nested(self) -> Iterator[Landscape]:
        """This landscape, the one it is made of, and so on down to the `core`."""
        yield self

    def __getstate__(self) -> dict[str, Any]:
        """All but the compiled loops that `minimize` keeps."""
        return {name: value for name, value in self.__dict__.items() if name != "_descents"}

    @property
    def core(self) -> Landscape:
        """The innermost of `nested()`: the landscape itself, where it is made of no other."""
        *_, innermost = self.nested()
        return innermost

    def point(self, theta: TensorLike, name: str = "theta") -> tf.Tensor:
        """theta as a tensor of this landscape's dtype, its last axis checked against D.

        `name` is what it is called where it will not do.

        Raises:
          ValueError: theta of another length than D, or no real numbers.
        """
        theta = _checks.numbers(name, theta, self.dtype)
        if theta.shape.rank == 0 or theta.shape[-1] != self.dimension:
            raise ValueError(
                f"{name} must have shape [..., {self.dimension}] (D of this landscape); "
                f"received shape {tuple(theta.shape)}."
            )
        return theta

    def point_and_directions(self, theta: TensorLike, v: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        """theta and v as tensors for a product: of one shape, or several v [K, D] at one theta [D].

        Raises:
          ValueError: theta or v of another length than D, or of shapes that do not go together.
        """
        theta, v = self.point(theta), self.point(v)
        if theta.shape != v.shape and not (theta.shape.rank == 1 and v.shape.rank == 2):
            raise ValueError(
                f"v must have theta's shape {tuple(theta.shape)}, or [K, {self.dimension}] at one theta "
                f"[{self.dimension}]; received {tuple(v.shape)}."
            )
        return theta, v

    def __repr__(self) -> str:
        return f"{type(self).__name__}(D = {self.dimension:,}, {self.dtype.name})"


# ---- what only some landscapes have -----------------------------------------------------------------


class Evaluation(NamedTuple):
    """What a model does at one theta."""

    loss: Any  # []
    # []; None where the targets are not classes; of several outputs, one each
    accuracy: Any
    outputs: Any  # [N, ...] as the model returns them (logits or probabilities); of several, each

    def __repr__(self) -> str:
        return short(self)


class WithExamples(Landscape):
    """A landscape that is a mean over examples: it has minibatches, and is the same function of others.

    The n parts of a minibatch add up: sum_i sample_of(theta, step, minibatch(step, (i, n)), (i, n)) is
    `sample(theta, step)`. Where they would not, `minibatch` refuses to give parts.
    """

    @abc.abstractmethod
    def evaluate(self, theta: TensorLike) -> Evaluation:
        """Loss, accuracy and outputs at theta [D] in one pass over the examples."""

    @abc.abstractmethod
    def on(self, x: Any, y: Any = None, **overrides: Any) -> WithExamples:
        """The same landscape on other examples."""

    @abc.abstractmethod
    def minibatch(
        self, step: int | tf.Tensor, part: tuple[int | tf.Tensor, int] = (0, 1)
    ) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights of minibatch number `step`, or of part (i, n) of it."""

    @abc.abstractmethod
    def drawn(self, n: int, *, seed: int) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights of n examples drawn by the seed alone; () for what is not."""

    @abc.abstractmethod
    def sample_of(
        self,
        theta: TensorLike,
        step: int | tf.Tensor,
        examples: Any,
        part: tuple[int | tf.Tensor, int] = (0, 1),
    ) -> tf.Tensor:
        """What `examples`, the part (i, n) of minibatch number `step`, add to its loss, []."""


class WithOutputs(Landscape):
    """A landscape that is a loss of a model's outputs, and so has a Gauss-Newton matrix."""

    @abc.abstractmethod
    def gauss_newton_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        """G(theta) v, G the part of the Hessian that is there were the model linear in theta.

        Shapes as for `hessian_product`.
        """


# ---- landscapes made of another one -----------------------------------------------------------------


class Around(Landscape):
    """A landscape made of another one, here the very same function of theta.

    A subclass overrides each method whose answer differs: with `__call__` also `sample`,
    `value_and_gradient`, `jet` and `hessian_product`, where they should follow from the new value as
    `name = Landscape.name`.

    Attributes:
      landscape: the one it is made of.
    """

    def __init__(self, landscape: Landscape) -> None:
        _checks.a_landscape(landscape)
        self.landscape = landscape
        self.dimension, self.dtype = landscape.dimension, landscape.dtype
        self.takes_batches = landscape.takes_batches

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        return self.landscape(theta)

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        return self.landscape.sample(theta, step)

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        return self.landscape.value_and_gradient(theta)

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return self.landscape.jet(theta, direction)

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        return self.landscape.hessian_product(theta, v)

    def length(self, step: TensorLike) -> tf.Tensor:
        return self.landscape.length(step)

    def nested(self) -> Iterator[Landscape]:
        yield self
        yield from self.landscape.nested()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.landscape!r})"


class Restricted(Around):
    """z -> L(subspace.embed(z)): a landscape seen from inside an affine subspace of its space.

    Its dimension is the number of the subspace's free coordinates, `subspace.parameters`. Make it
    with `restrict(landscape, subspace)`.

    Attributes:
      landscape, subspace: as given.

    Raises:
      ValueError: a subspace of another space, or of another dtype.
    """

    def __init__(self, landscape: Landscape, subspace: AffineSubspace) -> None:
        _checks.a_landscape(landscape)
        _checks.a_subspace(subspace)
        if subspace.ambient != landscape.dimension:
            raise ValueError(
                f"subspace must lie in the landscape's space, D = {landscape.dimension}; received one "
                f"of D = {subspace.ambient}."
            )
        if subspace.dtype != landscape.dtype:
            raise ValueError(
                f"subspace must have the landscape's dtype {landscape.dtype.name}; received "
                f"{subspace.dtype.name}."
            )
        super().__init__(landscape)
        self.subspace, self.dimension = subspace, subspace.parameters

    def __call__(self, z: TensorLike) -> tf.Tensor:
        return self.landscape(self.subspace.embed(z))

    def sample(self, z: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        return self.landscape.sample(self.subspace.embed(z), step)

    def value_and_gradient(self, z: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = self.landscape.value_and_gradient(self.subspace.embed(z))
        return loss, self.subspace.directions.lower(gradient)  # the chain rule: lower = lift^T

    def jet(self, z: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        step = self.subspace.directions.lift(self.point(direction))
        return self.landscape.jet(self.subspace.embed(z), step)

    def hessian_product(self, z: TensorLike, v: TensorLike) -> tf.Tensor:
        step = self.subspace.directions.lift(self.point(v))
        product = self.landscape.hessian_product(self.subspace.embed(z), step)
        return self.subspace.directions.lower(product)

    def length(self, step: TensorLike) -> tf.Tensor:
        return self.subspace.length(step)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.landscape!r}, {self.subspace!r})"


class RestrictedOutputs(Restricted, WithOutputs):
    """A `Restricted` landscape `WithOutputs`, which is one as well."""

    landscape: WithOutputs

    def gauss_newton_product(self, z: TensorLike, v: TensorLike) -> tf.Tensor:
        step = self.subspace.directions.lift(self.point(v))
        product = self.landscape.gauss_newton_product(self.subspace.embed(z), step)
        return self.subspace.directions.lower(product)


def restrict(landscape: Landscape, subspace: AffineSubspace) -> Restricted:
    """The landscape on an `AffineSubspace`, as a function of its coordinates.

    >>> bowl = wedges.Quadratic([1.0, 4.0, 9.0])
    >>> cut = wedges.random_cut(np.ones(3, "float32"), 2, seed=0)
    >>> inside = wedges.restrict(bowl, cut)
    >>> float(inside(np.zeros(2))) == float(bowl(np.ones(3)))
    True

    Args:
      landscape: any.
      subspace: of the landscape's space and dtype.

    Returns:
      A `Restricted`; a `RestrictedOutputs` where the landscape is one `WithOutputs`.

    Raises:
      ValueError: a subspace of another space, or of another dtype.
    """
    kind = RestrictedOutputs if isinstance(landscape, WithOutputs) else Restricted
    return kind(landscape, subspace)


class Squared(Around):
    """theta -> L(theta)^2 / 2. A distance L is a cone at its zeros; this is a bowl, with curvature.

    It has the zeros of a non-negative L, and is what to give a minimiser that wants curvature.

    >>> bowl = wedges.Squared(wedges.Quadratic([2.0]))
    >>> float(bowl([3.0]))  # L = 9
    40.5
    """

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        return 0.5 * self.landscape(theta) ** 2

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        return 0.5 * self.landscape.sample(theta, step) ** 2

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = self.landscape.value_and_gradient(theta)
        return 0.5 * loss**2, loss[..., None] * gradient

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        loss, slope, curvature = self.landscape.jet(theta, direction)
        return 0.5 * loss**2, loss * slope, slope**2 + loss * curvature

    hessian_product = Landscape.hessian_product


# ---- the one whose answers are all known ------------------------------------------------------------


class Quadratic(Landscape):
    """L(theta) = 1/2 (theta - c)^T A (theta - c): the landscape whose answers are all known.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> float(bowl([2.0, 1.0]))
    4.0
    >>> bowl.hessian_product([2.0, 1.0], [1.0, 1.0]).numpy()
    array([1., 4.], dtype=float32)

    Args:
      matrix: A, symmetric [D, D]; or its diagonal [D]. It may be indefinite.
      center: c [D], the stationary point; zero by default.
      dtype: of theta and of the loss.

    Raises:
      ValueError: a matrix that is not symmetric, or of another shape.
    """

    def __init__(
        self, matrix: TensorLike, center: TensorLike | None = None, dtype: str = "float32"
    ) -> None:
        self.dtype = tf.as_dtype(dtype)
        matrix = np.asarray(_checks.numbers("matrix", matrix, self.dtype))
        if matrix.ndim not in (1, 2) or not matrix.size:
            raise ValueError(f"matrix must have shape [D] or [D, D]; received {matrix.shape}.")
        square = matrix.ndim == 1 or matrix.shape[0] == matrix.shape[1]
        near = 1e-5 * np.abs(matrix).max()
        if not square or (matrix.ndim == 2 and not np.abs(matrix - matrix.T).max() <= near):
            raise ValueError("matrix must be symmetric; received one that differs from its transpose.")
        self.dimension = matrix.shape[0]
        self.matrix = tf.constant(matrix)
        self.center = self.point(np.zeros(self.dimension) if center is None else center)

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        offset = self.point(theta) - self.center  # [..., D]
        if self.matrix.shape.rank == 1:
            curved = offset * self.matrix  # [..., D]
        else:
            curved = tf.tensordot(offset, self.matrix, 1)  # [..., D], A its own transpose
        return 0.5 * tf.reduce_sum(offset * curved, axis=-1)  # [...]
