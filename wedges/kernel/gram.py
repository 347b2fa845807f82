"""The kernel between two blocks of examples, from their features, in float64.

On a CPU the products are NumPy's, whose library takes a third of TensorFlow's time in float64; else they
stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from tensorflow.experimental import numpy as tnp

from wedges.kernel.formulas import Outer

if TYPE_CHECKING:
    from wedges.kernel.features import Features

_AT_ONCE = 2**22  # numbers in a product of Gram matrices, of which there are a few at a time


def gram(one: Features, two: Features, *, traced: bool) -> np.ndarray:
    """The kernel between two blocks, [n O, m O] float64; traced over outputs, [n, m]."""
    first = one.outers[0].d if one.outers else one.rows[0]
    xp = np if "CPU" in first.device else tnp
    outers, rows = zip(one.outers, two.outers, strict=True), zip(one.rows, two.rows, strict=True)
    parts = [_of_outers(xp, a, b, traced) for a, b in outers]
    parts += [_of_rows(xp, a, b, traced) for a, b in rows]
    found = parts[0]
    for part in parts[1:]:
        found += part
    return np.asarray(found)


def _times(xp: Any, flat: Callable[[Any], Any], one: Any, two: Any) -> Any:
    """flat(one) flat(two)^T, of numbers [..., n, k]."""
    a = xp.asarray(flat(one), dtype=np.float64)
    # One and the same array tells NumPy that half of the product is enough.
    b = a if one is two else xp.asarray(flat(two), dtype=np.float64)
    return xp.matmul(a, xp.swapaxes(b, -1, -2))


def _of_rows(xp, a, b, traced):
    """Of derivatives [n, O, weights] themselves."""
    flat = lambda t: tf.reshape(t, [t.shape[0], -1] if traced else [-1, t.shape[-1]])
    columns = flat(a).shape[1]
    width = max(1, _AT_ONCE // max(flat(a).shape[0], flat(b).shape[0]))  # in float64 at once
    found = 0.0
    for i in range(0, columns, width):
        found += _times(xp, lambda t, i=i: flat(t)[:, i : i + width], a, b)
    return found


def _of_outers(xp, one, two, traced):
    """Of two `Outer`, some examples of each at a time."""
    (n, outputs, positions, groups, _), m = one.d.shape, two.d.shape[0]
    if positions == groups == 1:
        return _of_one_position(xp, one, two, traced)
    per_pair = groups * positions**2 * (1 if traced else outputs**2)
    side = max(1, int(np.sqrt(_AT_ONCE / per_pair)))
    left = list(_pieces(one, n, side))
    right = left if one is two else list(_pieces(two, m, side))
    rows = [xp.concatenate([_of_few(xp, a, b, traced) for b in right], axis=1) for a in left]
    return xp.concatenate(rows, axis=0)


def _pieces(outer: Outer, n: int, side: int) -> Iterator[Outer]:
    for i in range(0, n, side):
        yield Outer(outer.a[i : i + side], outer.d[i : i + side], outer.width)


def _of_one_position(xp, one, two, traced):
    n, outputs, m = one.d.shape[0], one.d.shape[1], two.d.shape[0]
    inputs = _inputs(xp, one, two)[0]  # [n, m]
    shape = [-1, outputs * one.d.shape[-1]] if traced else [-1, one.d.shape[-1]]
    slopes = _times(xp, lambda o: tf.reshape(o.d, shape), one, two)
    if traced:
        return inputs * slopes
    blocks = xp.reshape(slopes, [n, outputs, m, outputs])
    blocks *= inputs[:, None, :, None]
    return xp.reshape(blocks, [n * outputs, m * outputs])


def _inputs(xp, one, two):
    """Gram matrices of a, [G, n P, m P]; of one-hot vectors whether they are the same."""
    if not one.a.dtype.is_floating:
        a, b = (xp.asarray(tf.reshape(o.a, [-1])) for o in (one, two))
        return xp.asarray(a[:, None] == b[None], dtype=np.float64)[None]

    def flat(outer):
        a = tf.transpose(outer.a, [2, 0, 1, 3])  # [G, n, P, A]
        return tf.reshape(a, [a.shape[0], -1, a.shape[-1]])

    return _times(xp, flat, one, two)


def _of_few(xp, one, two, traced):
    (n, outputs, positions, groups, wide), m = one.d.shape, two.d.shape[0]
    inputs = _inputs(xp, one, two)
    order = [3, 0, 2, 1, 4] if traced else [3, 0, 1, 2, 4]  # outputs beside M, or beside examples

    def flat(outer):
        d = tf.transpose(outer.d, order)
        return tf.reshape(d, [groups, -1, outputs * wide if traced else wide])

    slopes = _times(xp, flat, one, two)
    if traced:
        slopes *= inputs
        return xp.sum(xp.reshape(slopes, [groups, n, positions, m, positions]), axis=(0, 2, 4))
    slopes = xp.reshape(slopes, [groups, n, outputs, positions, m, outputs, positions])
    slopes *= xp.reshape(inputs, [groups, n, 1, positions, m, 1, positions])
    return xp.reshape(xp.sum(slopes, axis=(0, 3, 6)), [n * outputs, m * outputs])
