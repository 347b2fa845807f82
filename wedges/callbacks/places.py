"""Places in Keras' list of callbacks, so that nothing depends on where a user writes one of ours.

Keras calls the callbacks of a `fit` one after another, in the order of its list. What has to come
before all others (an average that ModelCheckpoint saves, a number that CSVLogger writes) or after them
(what stands in the model once EarlyStopping is done) goes to that end of the list.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from wedges import _keras

FIRST, ANYWHERE, LAST, AFTER_ALL = range(4)


class Placed(keras.callbacks.Callback):
    """A callback with a place in the list, called once where it is listed twice.

    Attributes:
      place: one of this module's four.
      beside: the callbacks of the list it was last given to, itself among them, in their order.
    """

    place = ANYWHERE

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[keras.callbacks.Callback] = [self]

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.beside = self._arranged()

    def _followers(self) -> list[Placed]:
        """Callbacks of its own that it adds to the list."""
        return []

    def _arranged(self):
        owner = _keras.callback_list(self)
        if owner is None:
            return [self]
        added = [c for c in self._followers() if c not in owner.callbacks]
        place = lambda c: c.place if isinstance(c, Placed) else ANYWHERE
        listed = [*owner.callbacks, *added]
        once = [c for i, c in enumerate(listed) if not (isinstance(c, Placed) and c in listed[:i])]
        # A new list: Keras is in the middle of a loop over the old one.
        owner.callbacks = sorted(once, key=place)
        return owner.callbacks


class AtTheEnd(Placed):
    """Calls a function when `fit` has ended and the callbacks before it are done with that.

    Args:
      function: without arguments.
    """

    place = LAST

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self._function = function

    def on_train_end(self, logs: dict | None = None) -> None:
        self._function()
