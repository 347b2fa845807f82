"""The PL condition at a point: how large the gradient is against the loss, and against the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._repr import short
from wedges.kernel.matrix import inputs_of, tangent_kernel, tangents_of
from wedges.landscape import Landscape
from wedges.network import NetworkLandscape

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    from wedges.kernel.features import Tangents


class PLRatio(NamedTuple):
    """How large the gradient is against the loss at a point."""

    ratio: float  # |grad L|^2 / (2 (L - L*)); NaN where L = L*
    loss: float  # L
    gradient: float  # |grad L|
    # lambda_min(c K), at most the ratio, 0 where it is no more than rounding; None if not asked for
    smallest: float | None
    largest: float | None  # lambda_max(c K), at least the ratio where L* = 0
    scale: float | None  # c: the loss is (c / 2) |outputs - targets|^2

    def __repr__(self) -> str:
        return short(self)


def pl_ratio(
    landscape: Landscape, theta: TensorLike, *, minimum: float = 0.0, eigenvalues: bool = True
) -> PLRatio:
    """|grad L|^2 / (2 (L - L*)) at theta, beside the smallest and largest eigenvalue of the kernel.

    Where the ratio is at least mu in a ball that is large enough, L obeys the PL* condition there: the
    ball holds a solution, and gradient descent of a small step eta gets to it as (1 - eta mu)^t. Of a
    square loss L = (c/2) |r|^2, r the outputs minus targets, the gradient is c J^T r, so that at every
    theta, for any model,

        lambda_min(c K) <= |grad L|^2 / (2 L) <= lambda_max(c K),    K = J J^T

    Keras' mean squared error has c = 2 / (n O), of n examples with O outputs each. A smallest eigenvalue
    that is not above what rounding leaves of 0 is 0, as of outputs that end with a softmax, which add up
    to 1.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> wedges.pl_ratio(bowl, [0.0, 1.0], eigenvalues=False).ratio  # between 1 and 4
    4.0

    Args:
      landscape: a `NetworkLandscape` of a square loss; without `eigenvalues` any landscape.
      theta: [D], finite.
      minimum: L*, the lowest value that the loss can take.
      eigenvalues: whether to compute those of the kernel of all examples, too, [n O, n O].

    Returns:
      A `PLRatio`.

    Raises:
      ValueError: a loss below the minimum, or not finite. With `eigenvalues` also: a loss that is not
        square, or whose examples have different weights; n O > D, or the same input twice, where the
        smallest eigenvalue is 0; what layers or regularisers add; statistics of batch norm that are
        functions of theta; what `tangent_kernel` raises.

    Source: Liu, Zhu & Belkin 2022 (arXiv:2003.00307), with |grad L|^2 / 2 in place of |grad L|^2.
    """
    theta = _checks.one_point(landscape, theta)
    _checks.number("minimum", minimum)
    smallest = largest = scale = None
    if eigenvalues:
        if not isinstance(landscape, NetworkLandscape):
            raise ValueError(
                "landscape must be a NetworkLandscape for the eigenvalues of its kernel; received "
                f"{type(landscape).__name__}. eigenvalues=False gives the ratio alone."
            )
        tangents = tangents_of(landscape)
        scale = _scale(tangents.landscape)
        _distinct(tangents.landscape)
    loss, gradient = (np.asarray(a, np.float64) for a in landscape.value_and_gradient(theta))
    if not (np.isfinite(loss) and np.isfinite(gradient).all()):
        raise ValueError(f"theta must have a finite loss and gradient; received a loss of {loss:g}.")
    if eigenvalues:
        assert scale is not None
        _check_square(tangents, theta, scale)
        values = scale * np.linalg.eigvalsh(tangent_kernel(landscape, theta))
        largest = float(values[-1])
        # K is J J^T of a rounded J, whose rounding comes in as its square.
        rounding = max(np.finfo(np.float64).eps, tangents.rounding**2)
        smallest = float(values[0]) if values[0] > len(values) * rounding * largest else 0.0
    above = float(loss - minimum)
    if not above >= 0:
        raise ValueError(f"minimum must be at most the loss at theta, {loss:g}; received {minimum!r}.")
    squared = float(gradient @ gradient)
    ratio = squared / (2 * above) if above else np.nan
    return PLRatio(ratio, float(loss), float(np.sqrt(squared)), smallest, largest, scale)


def _scale(landscape: NetworkLandscape) -> float:
    """The c of a loss (c/2) |outputs - targets|^2, found from its derivatives by the outputs.

    Raises:
      ValueError: a loss of another form, or one that is not of the outputs alone.
    """
    problem, loss = landscape.problem, landscape.objective
    batch, outputs, _ = problem.probed
    (z,) = tf.nest.flatten(outputs)
    z, u = (
        tf.cast(a, problem.dtype)
        for a in (z, tf.random.stateless_normal(z.shape, [0, 2], dtype=z.dtype))
    )
    z = z + tf.reverse(u, [0])  # not at the targets
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            value = problem.part_of_outputs(batch, tf.nest.pack_sequence_as(outputs, [z]))
        slope = inner.gradient(value, z)
    known = None if slope is None else outer.gradient(slope, z, u)
    bend = tf.zeros_like(u) if known is None else known
    c = float(tf.reduce_sum(bend * u) / tf.reduce_sum(u * u))
    square = c > 0 and np.allclose(bend, c * u, rtol=1e-3, atol=1e-3 * c)
    if not (square and np.allclose(value, tf.reduce_sum(slope**2) / (2 * c), rtol=1e-3)):
        raise _not_square(f"received {loss}")
    if landscape.regularize and problem.network.model.losses:
        raise ValueError(
            "landscape must be without regularisers for its ratio to lie between eigenvalues; received "
            "regularize=True."
        )
    if problem.adds:
        raise ValueError(
            "landscape must be without losses that layers add for its ratio to lie between eigenvalues; "
            f"received model {problem.network.model.name!r}, which adds some. eigenvalues=False gives "
            "the ratio alone."
        )
    if problem.reestimates:
        raise ValueError(
            'landscape must be made with batch_norm="frozen" for its ratio to lie between eigenvalues; '
            'received "reestimate", whose gradient goes through the statistics as well.'
        )
    return c


def _check_square(tangents: Tangents, theta: tf.Tensor, c: float) -> None:
    """Raise ValueError where the loss at theta is not (c/2) |outputs - targets|^2 over all examples.

    A few examples gave c: later ones may have other weights, and farther from the targets a loss may
    have another form. If it is square, its gradient by the outputs is c r, so it is |c r|^2 / (2 c).
    """
    value, squared = np.asarray(tangents.of_outputs(theta, tangents.landscape.graphs.state_at(theta)))
    near = max(1e-3, 10 * tangents.rounding)
    if abs(value - squared / (2 * c)) > near * abs(value):
        raise _not_square(
            f"received {tangents.landscape.objective}, whose examples differ in weight, or which has "
            "another form far from its targets"
        )


def _not_square(received: str) -> ValueError:
    return ValueError(
        "loss must be a square loss, a multiple of |outputs - targets|^2, for its ratio to lie between "
        f"eigenvalues; {received}. eigenvalues=False gives the ratio alone."
    )


def _distinct(landscape: NetworkLandscape) -> None:
    """Raise ValueError where the kernel of all examples is singular for one of two plain reasons."""
    n, outputs = landscape.size, tangents_of(landscape).outputs
    if n * outputs > landscape.dimension:
        raise ValueError(
            f"landscape must have at most D = {landscape.dimension} outputs of all examples for the "
            f"smallest eigenvalue to be above 0; received {n * outputs}. eigenvalues=False gives the "
            "ratio alone."
        )
    leaves = [np.array(leaf) for leaf in tf.nest.flatten(inputs_of(landscape, None))]
    for leaf in leaves:
        leaf[leaf == 0] = 0  # -0.0 is the same input, of other bytes
    seen: dict[bytes, int] = {}
    for i in range(n):
        first = seen.setdefault(b"".join(leaf[i].tobytes() for leaf in leaves), i)
        if first != i:
            raise ValueError(
                "landscape must have different inputs for the smallest eigenvalue to be above 0; "
                f"received the same one as numbers {first} and {i}. eigenvalues=False gives the ratio "
                "alone."
            )
