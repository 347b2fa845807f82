"""Checkpoints as people have them: files, models, weights beside a function that builds the model."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from wedges import _checks, _keras, archive
from wedges.cards.given import named, unlike
from wedges.cards.reading import first_line, function_of, leaves, mapped


def models_of(
    given: Any, model: Any, x: Any, names: Sequence[str] | None = None
) -> list[tuple[str, keras.Model]]:
    """Names and built models of checkpoints.

    Args:
      given: one or several of: a .keras file, a .h5 file of a whole model, a file of weights
        (.weights.h5, or .npz with theta [D]) beside `model`; a `keras.Model`.
      model: "module:function", or a function, that returns a model of the checkpoints' kind; None.
      x: a few examples, to build a model that is not.
      names: of the checkpoints; by default those of `given.named`.

    Raises:
      ValueError: in one line, what cannot be loaded.
    """
    one = isinstance(given, (str, os.PathLike, keras.Model))
    several: Sequence[Any] = [given] if one else list(given)
    build = None
    if model is not None:
        build = function_of(model, "model") if isinstance(model, str) else model
        if not callable(build) or isinstance(build, keras.Model):
            raise ValueError(
                f"model must be a function that builds a model; received {_checks.called(build)}."
            )
    names = named(several) if names is None else names
    found = [
        each if isinstance(each, keras.Model) else _loaded(pathlib.Path(each), build, x)
        for each in several
    ]
    called = [
        name if isinstance(each, keras.Model) else pathlib.Path(each).name
        for name, each in zip(names, several, strict=True)
    ]
    _alike(called, found)  # those that are built; others once they have seen x
    for name, network in zip(called, found, strict=True):
        _build(network, x, name)
    _alike(called, found)
    return list(zip(names, found, strict=True))


def input_shapes(given: Any, model: Any) -> list[tuple[int | None, ...]] | None:
    """The shapes of one example's inputs to the first of some checkpoints, None for axes of any length.

    None where they are not known: of a model that was not built, or that cannot be loaded.

    Args:
      given, model: as `models_of` takes them.
    """
    first = given if isinstance(given, (str, os.PathLike, keras.Model)) else given[0]
    try:
        if not isinstance(first, keras.Model):
            build = function_of(model, "model") if isinstance(model, str) else model
            first = keras.saving.load_model(first) if build is None else build()
        return [tuple(tensor.shape[1:]) for tensor in first.inputs] or None
    except Exception:  # `models_of` says what is wrong
        return None


def _alike(names, models):
    """Raise ValueError where two models that are built differ in the shapes of their weights."""
    built = [(name, model) for name, model in zip(names, models, strict=True) if model.built]
    for name, model in built[1:]:
        first, network = built[0]
        difference = _difference(network, model)
        if difference is not None:
            raise ValueError(unlike(first, name, *difference))


def _difference(one, other):
    """The first weights in which two models differ, each in words; None where all shapes are alike."""
    for a, b in itertools.zip_longest(*map(_weights, (one, other))):
        if a is None or b is None or tuple(a.shape) != tuple(b.shape):
            return ["the end" if v is None else f"{v.path} {list(map(int, v.shape))}" for v in (a, b)]
    return None


def _weights(model):
    """What is trained and what is not, without the state of random numbers."""
    others = [v for v in model.non_trainable_variables if v.name != _keras.SEED_STATE]
    return [*model.trainable_variables, *others]


def _loaded(path: pathlib.Path, build: Callable[[], Any] | None, x: Any) -> keras.Model:
    if build is not None:
        model = _built(build, x)
        _read_weights(model, path)
        return model
    from wedges import hyperplane, regularizers  # noqa: F401  (Keras knows what is imported)

    try:
        loaded: keras.Model = keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(_why_not_loaded(path, error)) from error
    return loaded


def _why_not_loaded(path, error):
    text = " ".join(str(error).split())
    own = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
    unknown = re.search(r"Unknown \w+: '([^']+)'", text)
    if own or unknown:
        name = (own or unknown).group(1)  # type: ignore[union-attr]
        return (
            f"{path.name} must be loaded with your own {name!r}, which is not known here: give "
            "model=module:function, which builds the model; the file's weights are then read into it."
        )
    if "safe_mode" in text or "Lambda" in text:
        return (
            f"{path.name} holds a Lambda layer, whose code is not run from a file: give "
            "model=module:function, which builds the model; received a file alone."
        )
    return (
        f"{path.name} must be a model that Keras can load (a file of weights alone needs "
        f"model=module:function); received: {first_line(error)}."
    )


def _built(build, x):
    try:
        model = build()
    except Exception as error:
        raise ValueError(
            "model must be a function without arguments that returns a keras.Model; it raised "
            f"{type(error).__name__}: {first_line(error)}."
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model must be a function that returns a keras.Model; received {type(model).__name__}."
        )
    _build(model, x, "that model=module:function builds")
    return model


def _read_weights(model: keras.Model, path: pathlib.Path) -> None:
    try:
        if path.suffix == ".npz":
            theta = archive.read(path).get("theta")
            if theta is None:
                raise ValueError("an archive without theta")
            _write(model, theta)
        else:
            model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"{path.name} must hold the weights of the model that model=module:function builds, "
            f"{model.count_params():,} numbers; received: {first_line(error)}."
        ) from error


def _write(model, theta):
    from wedges.network.weights import WeightSpace

    WeightSpace(model).write(theta)


def _build(model: keras.Model, x: Any, called: str) -> None:
    """Call a model on two examples: it is built then, and x is known to fit."""
    few = mapped(lambda leaf: tf.convert_to_tensor(leaf[:2]), x)
    try:
        _check_inputs(model, x)
        model(few, training=False)
    except Exception as error:
        wanted = getattr(model, "input_shape", None)
        if isinstance(x, dict) and getattr(model, "inputs", None):
            wanted = {tensor.name: tensor.shape for tensor in model.inputs}
        takes = f", which takes {_shapes(wanted)}" if wanted is not None else ""
        because = "" if wanted is not None else f": {first_line(error)}"
        raise ValueError(
            f"x must fit the inputs of {called!r}{takes}; received {_received(x)}{because}."
        ) from error


def _check_inputs(model, x):
    """Raise ValueError where inputs are others than those of a graph of layers, which may still run."""
    wanted = getattr(model, "inputs", None) or []
    if isinstance(x, dict):
        missing = [t.name for t in wanted if t.name not in x]
        if len(wanted) > 1 and missing:
            raise ValueError(f"no {missing[0]}")
        pairs = [(t, x[t.name]) for t in wanted if t.name in x]
    else:
        pairs = list(zip(wanted, leaves(x), strict=bool(wanted)))
    for tensor, leaf in pairs:
        both = zip(tensor.shape[1:], leaf.shape[1:], strict=False)
        if len(tensor.shape) == leaf.ndim and any(n not in (None, m) for n, m in both):
            raise ValueError(f"{tensor.name} is of another shape")


def _received(x):
    """The shapes of inputs, those of a dict with their names."""
    if isinstance(x, dict):
        return ", ".join(f"{name} {_received(part)}" for name, part in x.items())
    return ", ".join(_shapes((None, *leaf.shape[1:])) for leaf in leaves(x))


def _shapes(shapes):
    """Shapes as Keras has them, of one input or of several, with N for the examples."""
    if isinstance(shapes, dict):
        return ", ".join(f"{name} {_shapes(shape)}" for name, shape in shapes.items())
    if isinstance(shapes, list):
        return ", ".join(map(_shapes, shapes))
    return str(shapes).replace("None", "N")
