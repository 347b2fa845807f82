"""Which loss a card is about: a given one, the model's own, or one that outputs and targets suggest."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.cards.given import unknown_loss
from wedges.cards.reading import Data, first_line, function_of

_LOOKED_AT = 16  # examples: of a large model the outputs of all layers are many numbers
_CROSS_ENTROPIES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
)


class Chosen(NamedTuple):
    """A loss, and how it was chosen.

    Attributes:
      loss: as `NetworkLandscape` takes it; None for what the model was compiled with.
      name: what it is called.
      origin: how it was chosen, in words.
    """

    loss: Any
    name: str
    origin: str


def loss_of(model: keras.Model, data: Data, given: Any) -> Chosen:
    """The loss of a model on examples.

    Args:
      model: built.
      data: its examples.
      given: a Keras loss by name or object, "module:function", or None.

    Raises:
      ValueError: an unknown loss, or none where nothing suggests one.
    """
    if isinstance(given, str) and ":" in given:
        return Chosen(function_of(given, "loss"), given, "as given")
    if isinstance(given, str):
        return _named(model, data, given)
    if given is not None:
        return Chosen(given, _called(given), "as given")
    if _keras.compiled_loss(model)[0] is not None or _keras.overrides(model, "compute_loss"):
        return Chosen(None, "", "that of the compiled model")
    return _guessed(model, data)


def _called(loss):
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", "loss"))


def _named(model, data, name):
    base = name.lower()
    if base in _CROSS_ENTROPIES:
        logits = _logits(model, data)
        return Chosen(_cross_entropy(base, logits), base, f"as given{_from(logits)}")
    try:
        return Chosen(keras.losses.get(name), name, "as given")
    except Exception:
        raise unknown_loss(name) from None


def _guessed(model, data):
    x, y = data.first(_LOOKED_AT)[0], data.y
    outputs = model(tf.nest.map_structure(tf.convert_to_tensor, x), training=False)
    if not tf.is_tensor(outputs) or not isinstance(y, np.ndarray):
        raise ValueError(
            "loss must be given for a model of several outputs that is not compiled; received None."
        )
    columns, kind = outputs.shape[-1], None
    classes = y.dtype.kind in "iub" or bool(np.all(y == np.round(y)))
    one_each = y.shape in ((len(y),), (len(y), 1)) and outputs.shape.rank == 2
    if classes and one_each and columns > 1:
        kind = "sparse_categorical_crossentropy"
    elif classes and one_each and columns == 1 and set(np.unique(y)) <= {0, 1}:
        kind = "binary_crossentropy"
    elif classes and columns > 1 and y.shape[1:] == outputs.shape[1:] and np.all(y.sum(axis=-1) == 1):
        kind = "categorical_crossentropy"
    if kind is not None:
        logits = _logits(model, data)
        return Chosen(_cross_entropy(kind, logits), kind, f"guessed from outputs and y{_from(logits)}")
    if y[:1].size == int(tf.size(outputs[:1])):
        return Chosen(
            keras.losses.MeanSquaredError(), "mean_squared_error", "guessed from outputs and y"
        )
    raise ValueError(
        "loss must be given where outputs and y suggest none; received None, outputs "
        f"{('N', *outputs.shape[1:])} and y {('N', *y.shape[1:])}."
    )


def _cross_entropy(name, logits):
    kinds = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
    }
    return kinds[name](from_logits=logits)


def _from(logits):
    return ", of logits" if logits else ", of probabilities"


def _logits(model, data):
    """Whether outputs are logits: they are, unless all that are looked at are probabilities."""
    x, _ = data.first(_LOOKED_AT)
    try:
        outputs = model(tf.nest.map_structure(tf.convert_to_tensor, x), training=False)
    except Exception as error:
        raise ValueError(f"x must fit the model; received {first_line(error)}.") from error
    z = np.asarray(tf.nest.flatten(outputs)[0], np.float64)
    between = np.all((z >= 0) & (z <= 1))
    return not (between and (z.shape[-1] == 1 or np.allclose(z.sum(axis=-1), 1, atol=1e-3)))
