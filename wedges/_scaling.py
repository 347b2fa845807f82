"""What an optimizer multiplies a loss by before its gradient is taken, for whoever takes it in parts.

In half precision a small gradient is 0 unless the loss is scaled first. A landscape that computes the
gradient of its `sample` by itself has to scale there, and to undo it.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_SCALE: contextvars.ContextVar[tf.Tensor | None] = contextvars.ContextVar("scale", default=None)


def loss_scale() -> tf.Tensor | None:
    """The scale of the loss that is being computed, []; None where it is not scaled."""
    return _SCALE.get()


@contextlib.contextmanager
def scaled_by(scale: tf.Tensor | None) -> Iterator[None]:
    """While it lasts, `loss_scale()` is this."""
    before = _SCALE.set(scale)
    try:
        yield
    finally:
        _SCALE.reset(before)
