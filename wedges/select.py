"""The s-th smallest number along an axis, without sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from wedges import _checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_INTEGERS = {tf.float32: tf.int32, tf.float64: tf.int64}


def smallest(x: ArrayLike, s: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The s-th smallest magnitude along the last axis, exactly, and how many are strictly below it.

    Magnitudes order like the bits they are stored in, so the answer is read off digit by digit from
    the top: count every number's digit, find the digit at which the count passes s, go on among the
    numbers that share it. Two passes over float32 and four over float64, whatever the order and ties.

    Args:
      x: [..., D] float32 or float64, D static, at least one row. Signs are ignored; a row with a NaN in
        it gives NaN.
      s: a Python number from 1 to D.

    Returns:
      A threshold [...] of x's dtype and a count below it [...] int32, without gradients. Compiles with
      XLA: once per shape of x, not per s.

    >>> threshold, below = wedges.select.smallest([5.0, -1.0, 3.0, 3.0], 2)
    >>> float(threshold), int(below)
    (3.0, 1)
    """
    try:
        x = tf.convert_to_tensor(x)
    except (TypeError, ValueError):
        raise ValueError(f"x must be real numbers; received {_checks.called(x)}.") from None
    if x.dtype not in _INTEGERS:
        raise TypeError(f"x must be float32 or float64; received {x.dtype.name}.")
    if x.shape.rank is None or x.shape.rank == 0 or x.shape[-1] is None:
        raise ValueError(f"x must have a last axis of a static size; received shape {x.shape}.")
    s = _checks.whole("s", s, 1, x.shape[-1], limit="D")
    return _smallest(tf.stop_gradient(x), tf.constant(s, tf.int32))


# Fused by XLA a digit is made and counted in one pass; op by op it costs three times as much.
@tf.function(jit_compile=True, autograph=False)
def _smallest(x, s):
    if x.shape.rank == 1:
        return _smallest_of_row(x, s)
    rows = tf.reshape(x, [-1, x.shape[-1]])
    # Row by row the counts stay in cache, which pays more than counting all rows at once.
    out = tf.map_fn(lambda row: _smallest_of_row(row, s), rows, fn_output_signature=(x.dtype, tf.int32))
    return tuple(tf.ensure_shape(tf.reshape(o, tf.shape(x)[:-1]), x.shape[:-1]) for o in out)


def _smallest_of_row(x, s):
    """x [D], s [] -> threshold [], below []."""
    integer = _INTEGERS[x.dtype]
    left = 8 * x.dtype.size - 1
    bits = tf.bitcast(x, integer) & integer.max
    # Counts are 2^width numbers to clear and to search: more than a short row has itself.
    width = 16 if x.shape[0] >= 1 << 15 else 11
    threshold, rank = tf.zeros([], integer), s
    while left:
        width = min(width, left)
        left -= width
        # The digits above agree with the threshold's where they cancel; elsewhere what is left of them
        # makes the digit too large to be counted.
        digits = tf.bitwise.right_shift(bits ^ threshold, tf.cast(left, integer))
        counts = tf.raw_ops.DenseBincount(
            input=digits,
            size=tf.cast(1 << width, integer),
            weights=tf.zeros([0], tf.int32),
            binary_output=False,
        )
        digit, rank = _find(tf.reshape(counts, [-1, 1 << width // 2]), rank)
        threshold |= tf.bitwise.left_shift(tf.cast(digit, integer), tf.cast(left, integer))
    nan = tf.reduce_any(tf.math.is_nan(x))
    threshold = tf.bitcast(threshold, x.dtype)
    return tf.where(nan, tf.constant(float("nan"), x.dtype), threshold), s - rank


def _find(counts, rank):
    """Where in counts [n, m], row after row, the running sum reaches rank [], and the rest of rank."""
    row, rank = _find_in_row(tf.reduce_sum(counts, 1), rank)
    # counts[row] would have XLA's compiler try to work out the row, which takes it half a minute.
    column, rank = _find_in_row(tf.gather(counts, row), rank)
    return row * counts.shape[1] + column, rank


def _find_in_row(counts, rank):
    before = tf.cumsum(counts) < rank
    return tf.reduce_sum(tf.cast(before, tf.int32)), rank - tf.reduce_sum(tf.where(before, counts, 0))
