"""A landscape: a function from a point theta in R^D to a scalar loss.

Everything else in the library takes a landscape and asks only for what is defined here. What is
true of a `Quadratic`, where every answer is known in closed form, is then also true of a network.
"""

import numpy as np
import tensorflow as tf


class Landscape:
    """The interface: a dimension, a dtype, and `landscape(theta) -> loss`.

    Subclasses define `__call__`; the rest follows from it. The function must be deterministic:
    two calls at one theta return one number.

    Attributes:
      dimension: D, the length of theta.
      dtype: the floating dtype of theta and of the loss.
      many: whether `sample` takes many points [R, D] at once; False for a network.
    """

    dimension: int
    dtype: tf.DType
    many = True

    def __call__(self, theta):
        """The loss at theta. theta [..., D] -> loss [...]."""
        raise NotImplementedError

    def sample(self, theta, step):
        """The loss that step number `step` of an optimiser sees. theta [D] -> loss [].

        A landscape with examples overrides this with a minibatch; it must depend on nothing but
        (theta, step), so that a descent can stop anywhere and continue exactly.
        """
        del step
        return self(theta)

    def value_and_gradient(self, theta):
        """L(theta) and dL/dtheta. theta [..., D] -> loss [...], gradient [..., D]."""
        theta = self.point(theta)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = self(theta)
        return loss, tape.gradient(loss, theta)

    def jet(self, theta, direction):
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

    def curvature(self, theta, direction):
        """p^T H(theta) p, the second derivative along p. theta, p [..., D] -> [...]."""
        return self.jet(theta, direction)[2]

    def hessian_product(self, theta, v):
        """H(theta) v, from two derivatives, H never held.

        theta, v [..., D] -> [..., D]; or several v [K, D] at one theta [D] -> [K, D].

        Source: Pearlmutter 1994, Fast exact multiplication by the Hessian (Neural Computation 6).
        """
        theta, v = self._pair(theta, v)
        theta = tf.broadcast_to(theta, v.shape)
        with tf.GradientTape() as outer:
            outer.watch(theta)
            with tf.GradientTape() as inner:
                inner.watch(theta)
                loss = self(theta)
            slope = tf.reduce_sum(inner.gradient(loss, theta) * v)  # []
        return outer.gradient(slope, theta, unconnected_gradients="zero")

    def length(self, step):
        """How far a step in theta leads, in the metric of the full space. [..., D] -> [...]."""
        return tf.norm(step, axis=-1)

    def _pair(self, theta, v):
        theta, v = self.point(theta), self.point(v)
        if theta.shape != v.shape and not (theta.shape.rank == 1 and v.shape.rank == 2):
            raise ValueError(
                f"v must have theta's shape {tuple(theta.shape)}, or [K, {self.dimension}] at one theta "
                f"[{self.dimension}]; received {tuple(v.shape)}."
            )
        return theta, v

    def point(self, theta):
        """theta as a tensor of this landscape's dtype, its last axis checked against D."""
        theta = tf.convert_to_tensor(theta, self.dtype)
        if theta.shape.rank == 0 or theta.shape[-1] != self.dimension:
            raise ValueError(
                f"theta must have shape [..., {self.dimension}] (D of this landscape); "
                f"received shape {tuple(theta.shape)}."
            )
        return theta


class Restricted(Landscape):
    """z -> L(subspace.embed(z)): a landscape seen from inside an affine subspace of its space.

    Its dimension is the number of the subspace's free coordinates, `subspace.parameters`. Make it
    with `restrict(landscape, subspace)`.
    """

    def __init__(self, landscape, subspace):
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
        self.landscape, self.subspace = landscape, subspace
        self.dimension, self.dtype = subspace.parameters, landscape.dtype
        self.many = landscape.many

    def __call__(self, z):
        return self.landscape(self.subspace.embed(z))

    def sample(self, z, step):
        return self.landscape.sample(self.subspace.embed(z), step)

    def value_and_gradient(self, z):
        loss, gradient = self.landscape.value_and_gradient(self.subspace.embed(z))
        return loss, self.subspace.directions.lower(gradient)  # the chain rule: lower = lift^T

    def jet(self, z, direction):
        step = self.subspace.directions.lift(self.point(direction))
        return self.landscape.jet(self.subspace.embed(z), step)

    def hessian_product(self, z, v):
        step = self.subspace.directions.lift(self.point(v))
        product = self.landscape.hessian_product(self.subspace.embed(z), step)
        return self.subspace.directions.lower(product)

    def gauss_newton_product(self, z, v):
        step = self.subspace.directions.lift(self.point(v))
        product = self.landscape.gauss_newton_product(self.subspace.embed(z), step)
        return self.subspace.directions.lower(product)

    def length(self, step):
        return self.subspace.length(step)


def restrict(landscape, subspace):
    """The landscape on an `AffineSubspace`, as a function of its coordinates: a `Restricted`.

    >>> cut = wedges.random_cut(theta, 10, seed=0)
    >>> inside = wedges.restrict(landscape, cut)  # inside(zeros(10)) == landscape(theta)
    """
    return Restricted(landscape, subspace)


class Squared(Landscape):
    """theta -> L(theta)^2 / 2. A distance L is a cone at its zeros; this is a bowl, with curvature.

    It has the zeros of a non-negative L, and is what to give a minimiser that wants curvature.
    """

    def __init__(self, landscape):
        self.landscape, self.many = landscape, landscape.many
        self.dimension, self.dtype = landscape.dimension, landscape.dtype

    def __call__(self, theta):
        return 0.5 * self.landscape(theta) ** 2

    def sample(self, theta, step):
        return 0.5 * self.landscape.sample(theta, step) ** 2

    def value_and_gradient(self, theta):
        loss, gradient = self.landscape.value_and_gradient(theta)
        return 0.5 * loss**2, loss[..., None] * gradient

    def jet(self, theta, direction):
        loss, slope, curvature = self.landscape.jet(theta, direction)
        return 0.5 * loss**2, loss * slope, slope**2 + loss * curvature

    def length(self, step):
        return self.landscape.length(step)


class Quadratic(Landscape):
    """L(theta) = 1/2 (theta - c)^T A (theta - c): the landscape whose answers are all known.

    Args:
      matrix: A, symmetric [D, D]; or its diagonal [D]. It may be indefinite.
      center: c [D], the stationary point; zero by default.
    """

    def __init__(self, matrix, center=None, dtype="float32"):
        self.dtype = tf.as_dtype(dtype)
        matrix = np.asarray(matrix, self.dtype.as_numpy_dtype)
        if matrix.ndim == 2 and not (
            matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, matrix.T)
        ):
            raise ValueError("matrix must be symmetric; received one that differs from its transpose.")
        if matrix.ndim not in (1, 2):
            raise ValueError(f"matrix must have shape [D] or [D, D]; received {matrix.shape}.")
        self.dimension = matrix.shape[0]
        self.matrix = tf.constant(matrix)
        self.center = self.point(np.zeros(self.dimension) if center is None else center)

    def __call__(self, theta):
        offset = self.point(theta) - self.center  # [..., D]
        if self.matrix.shape.rank == 1:
            curved = offset * self.matrix  # [..., D]
        else:
            curved = tf.tensordot(offset, self.matrix, 1)  # [..., D], A its own transpose
        return 0.5 * tf.reduce_sum(offset * curved, axis=-1)  # [...]
