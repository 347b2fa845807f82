"""How many batches a `fit` takes, also where Keras takes several at once."""

from __future__ import annotations

import keras

from wedges import _keras


class BatchCounter:
    """Counts the batches of one call of the training function.

    With `steps_per_execution` above 1 Keras tells the number that it asked for, which is too high where
    the data end before; and it takes more than `steps_per_epoch` where they do not divide. The optimizer
    knows. Where that has counted none (a `train_step` without it), what Keras asked for is taken.
    """

    def __init__(self) -> None:
        self._before: int | None = None

    @staticmethod
    def at_once(model: keras.Model) -> int:
        """How many batches Keras asks for in one call."""
        asked = getattr(model, "steps_per_execution", 1)
        return asked if isinstance(asked, int) else 1

    def begin(self, model: keras.Model) -> None:
        """To be called before the batches."""
        if self.at_once(model) > 1:
            self._before = _keras.batches_given(model)

    def taken(self, model: keras.Model) -> int:
        """How many batches there were since `begin`."""
        asked = self.at_once(model)
        if asked == 1 or self._before is None:
            return asked
        return (_keras.batches_given(model) or 0) - self._before or asked
