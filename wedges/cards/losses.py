"""Which loss a card is about: a given one, the model's own, or one that outputs and targets suggest."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.cards.given import unknown_loss
from wedges.cards.reading import Data, first_line, function_of
from wedges.network.readout import meaning_of

_LOOKED_AT = 16  # examples: of a large model the outputs of all layers are many numbers
# Functions that take logits or probabilities, and their classes, which are told which of the two.
_CROSS_ENTROPIES = {
    keras.losses.sparse_categorical_crossentropy: keras.losses.SparseCategoricalCrossentropy,
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.categorical_focal_crossentropy: keras.losses.CategoricalFocalCrossentropy,
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.binary_focal_crossentropy: keras.losses.BinaryFocalCrossentropy,
}


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
    """The loss of a name, which may be that of a function or of a class, or short for it."""
    loss = _known(name)
    function = _keras.loss_function(loss)[0] or loss
    if function in _CROSS_ENTROPIES:
        return _cross_entropy(function, model, data, "as given")
    return Chosen(loss, name, "as given")


def _known(name):
    for each in (name, name.lower()):
        with contextlib.suppress(Exception):
            return keras.losses.get(each)
    raise unknown_loss(name)


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
        kind = keras.losses.sparse_categorical_crossentropy
    elif classes and one_each and columns == 1 and set(np.unique(y)) <= {0, 1}:
        kind = keras.losses.binary_crossentropy
    elif classes and columns > 1 and y.shape[1:] == outputs.shape[1:] and np.all(y.sum(axis=-1) == 1):
        kind = keras.losses.categorical_crossentropy
    if kind is not None:
        return _cross_entropy(kind, model, data, "guessed from outputs and y")
    if y[:1].size == int(tf.size(outputs[:1])):
        return Chosen(
            keras.losses.MeanSquaredError(), "mean_squared_error", "guessed from outputs and y"
        )
    raise ValueError(
        "loss must be given where outputs and y suggest none; received None, outputs "
        f"{('N', *outputs.shape[1:])} and y {('N', *y.shape[1:])}."
    )


def _cross_entropy(function, model, data, origin):
    """A cross-entropy of logits or of probabilities, as the model's outputs are."""
    logits = _are_logits(model, data, binary=meaning_of(function).kind == "binary")
    of = "logits" if logits else "probabilities"
    loss = _CROSS_ENTROPIES[function](from_logits=logits)
    return Chosen(loss, function.__name__, f"{origin}, of {of}")


def _are_logits(model, data, *, binary):
    """Whether outputs are logits: they are, unless all that are looked at are probabilities.

    Those of one class among others sum to 1; of a binary cross-entropy each column is one of its own.
    """
    x, _ = data.first(_LOOKED_AT)
    try:
        outputs = model(tf.nest.map_structure(tf.convert_to_tensor, x), training=False)
    except Exception as error:
        raise ValueError(f"x must fit the model; received {first_line(error)}.") from error
    z = np.asarray(tf.nest.flatten(outputs)[0], np.float64)
    between = np.all((z >= 0) & (z <= 1))
    sums = binary or z.shape[-1] == 1 or np.allclose(z.sum(axis=-1), 1, atol=1e-3)
    return not (between and sums)
