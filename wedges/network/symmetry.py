"""Whether products with a matrix of second derivatives are those of a symmetric matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Of theta: smaller weights have smaller outputs, where a loss is less flat.
_SCALES = (1 / 2, 1 / 8, 1 / 64)


def check_symmetric(
    name: str,
    products: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    theta: tf.Tensor,
    known: tuple[tf.Tensor, tf.Tensor],
    k: int,
    seed: int,
) -> None:
    """Products with two random vectors and a known one: u . A v and v . A u must agree for each two.

    They differ by |A - A^T| or so, against which float rounding is small. Where it is not, products are
    not linear, or A is much smaller than at smaller weights: the loss is flat as far as its dtype goes.

    Args:
      name: of A, for the message.
      products: theta [D], v [K, D] -> [K, D].
      theta: [D].
      known: a vector v [D] and A v.
      k: K of the call, for which `products` is traced anyway.
      seed: of the vectors.

    Raises:
      ValueError: A is not symmetric.
    """
    vectors = tf.random.stateless_normal([2, theta.shape[0]], [1, seed], dtype=theta.dtype)
    vectors = tf.concat([vectors, [_as_long_as_random(known[0], known[0])]], axis=0)
    times = lambda rows: _times(products, theta, rows, k)
    last = _as_long_as_random(known[1], known[0]).numpy()
    off, size = _asymmetry(times, vectors, np.append(times(vectors[:2]), [last], axis=0))
    if not off:
        return
    for scale in _SCALES:
        times = lambda rows, at=theta * scale: _times(products, at, rows, k)
        other = _asymmetry(times, vectors, times(vectors))[1]
        if size < np.sqrt(np.finfo(theta.dtype.as_numpy_dtype).eps) * other:
            return
    raise ValueError(
        f"{name} must be symmetric; received products off by {off:.1g} of their size: a layer or loss "
        "has a gradient that no function has, or a second derivative that TensorFlow has wrong."
    )


def _as_long_as_random(a, v):
    """A times what makes v [D] as long as D standard normal numbers."""
    return tf.math.divide_no_nan(a * np.sqrt(v.shape[0]).astype(v.dtype.as_numpy_dtype), tf.norm(v))


def _asymmetry(times, vectors, found):
    """The largest |u . A v - v . A u| over the size of A, 0 where it is rounding; and the size."""
    forms = vectors.numpy().astype(np.float64) @ found.T  # u . A v of each two
    gap = np.abs(forms - forms.T).max()
    size = np.sqrt(np.mean(found**2) * found.shape[1])  # about the norm of A, as of its entries
    if not np.isfinite(gap) or gap <= 10 * np.sqrt(np.finfo(vectors.dtype.as_numpy_dtype).eps) * size:
        return 0.0, np.nan_to_num(size, posinf=0.0)  # no numbers where the loss has none, either
    sums = times(tf.reduce_sum(vectors, axis=0, keepdims=True))[0]
    rounding = np.linalg.norm(sums - found.sum(axis=0))
    return (gap / size if gap > 10 * rounding else 0.0), size


def _times(products, theta, rows, k):
    """products(theta, rows [n, D]), k of them at a time, as NumPy's float64."""
    n = rows.shape[0]
    rows = tf.pad(rows, [[0, -n % k], [0, 0]])
    parts = [products(theta, rows[i : i + k]).numpy() for i in range(0, rows.shape[0], k)]
    return np.concatenate(parts)[:n].astype(np.float64)
