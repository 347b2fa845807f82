"""Whether a loss couples the examples of a batch: then it is no sum over batches, whatever is divided.

The loss of Dice is a ratio of sums over a batch; contrastive losses compare each example with all
others; a layer may subtract the batch's mean. None of this can be told from a class, so it is tried on
a few examples: all at once, and in two parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from wedges import _keras

_FIRST = 3  # rows in the first of two parts, which are not of one size


def couples(sums: Callable[[Any], list[tuple]], rows: Any, tolerance: float) -> bool:
    """Whether sums(rows), pairs of numbers, are not those of two parts of the rows added up.

    Args:
      sums: of rows, any number of them: (a sum over rows, what it is divided by) for each term.
      rows: tensors of one leading axis, or a structure of them.
      tolerance: relative, what rounding may do.
    """
    n = int(tf.nest.flatten(rows)[0].shape[0])
    first = min(_FIRST, n - 1)
    cut = lambda part: tf.nest.map_structure(lambda t: _keras.masked(t[part], _cut(t, part)), rows)
    whole, *parts = [
        np.array(sums(cut(p)), np.float64) for p in (slice(n), slice(first), slice(first, n))
    ]
    together = np.sum(parts, axis=0)
    scale = np.abs(whole).max(initial=1e-30)
    return not np.allclose(
        together, whole, rtol=tolerance, atol=1e-3 * tolerance * scale, equal_nan=True
    )


def _cut(tensor, part):
    mask = _keras.mask_of(tensor)
    return None if mask is None else mask[part]


def diverse(outputs: Any) -> Any:
    """Numbers between 0 and 1 in the shape of outputs, each example on a scale of its own.

    Examples that are alike hide how they are coupled: the mean of two equal ratios is the ratio of sums.
    """

    def made(k, z):
        noise = tf.random.stateless_uniform(tf.shape(z), [k, 0], dtype=tf.float32)
        scale = tf.reshape(
            2.0 ** -tf.range(z.shape[0], dtype=tf.float32), [-1] + [1] * (z.shape.rank - 1)
        )
        return _keras.masked(tf.cast(noise * scale, z.dtype), _keras.mask_of(z))

    flat = [made(k, z) for k, z in enumerate(tf.nest.flatten(outputs))]
    return tf.nest.pack_sequence_as(outputs, flat)
