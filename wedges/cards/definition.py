"""What losses, functions and classes compute, as text: a key that holds it changes where they do."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras

# Of what these packages define the name is enough: it is their users' code that changes.
_LIBRARIES = {"builtins", "functools", "keras", "math", "numpy", "tensorflow", "wedges"}
_ARRAYS = (np.ndarray, np.generic, tf.Tensor, tf.Variable, keras.Variable)
_SIMPLE = (bool, int, float, complex, str, bytes)
_PLAIN = (*_SIMPLE, types.FunctionType, *_ARRAYS)


def definition(value: Any) -> Any:
    """What a value is, in text and lists of text that are the same in every process.

    Of a function that is the text of its file, its byte code, and what it uses of the names around it;
    of an object its class and its attributes; of an array or a layer its numbers.

    >>> of = lambda delta: wedges.cards.definition.definition(keras.losses.Huber(delta))
    >>> of(1.0) == of(1.0), of(1.0) == of(50.0)
    (True, False)
    """
    return _Reader().read(value)


def code_of(model: keras.Model) -> Any:
    """What a model's layers compute that its weights do not say.

    Of the user's layers that is their classes and attributes, of Keras' own their settings, wherever
    they are held.
    """
    read = _Reader().read  # of all layers: what several of them share is read once
    return [_layer(layer, read) for layer in _keras.flat_layers(model)]


def _layer(layer, read):
    """Of a layer of Keras its settings, of another one its class and what it has set by itself."""
    if isinstance(layer, keras.Model) and _is_of_library(type(layer)):
        return type(layer).__name__  # its layers follow; its configuration has their names
    own = {} if _is_of_library(type(layer)) else vars(layer)
    held = {name: v for name, v in sorted(own.items()) if not _of_keras(name) and _counts(v)}
    return [read(type(layer)), read(held), _settings(layer)]


def _of_keras(name):
    """Whether Keras or TensorFlow writes an attribute, as every layer has or those that were used."""
    return name in _of_every_layer() or name.startswith(("_self_", "stop_", "_compiled_"))


@functools.cache
def _of_every_layer():
    return frozenset(vars(keras.layers.Layer())) | frozenset(vars(keras.Sequential()))


def _counts(value):
    """Whether a value that a layer holds says what it computes, and is in no other place of a key."""
    if value is None or isinstance(value, (keras.layers.Layer, keras.Variable, tf.Variable)):
        return False
    own = keras.losses.Loss, functools.partial, types.MethodType, list, tuple, Mapping, set, frozenset
    return isinstance(value, (*_PLAIN, *own)) or not _is_of_library(type(value))


def _settings(layer):
    """A layer's configuration without what differs from process to process: names and seeds."""
    try:
        return _without_names(layer.get_config())
    except Exception:  # a layer of one's own that tells no configuration
        return None


def _without_names(value):
    if isinstance(value, Mapping):
        kept = {k: _without_names(v) for k, v in value.items() if k not in ("name", "seed")}
        return sorted(kept.items(), key=str)
    if isinstance(value, (list, tuple)):
        return [_without_names(part) for part in value]
    return _Reader().read(value)


def loss_of(model: keras.Model, loss: Any) -> Any:
    """A loss, or with None the one that a model was compiled with or computes by itself."""
    own = type(model).compute_loss if _keras.overrides(model, "compute_loss") else None
    return definition([*_keras.compiled_loss(model), own] if loss is None else loss)


class _Reader:
    """Reads values that may hold one another: each is described where it is first met."""

    def __init__(self) -> None:
        # By id: the how manieth it was, and the value, so that no other one gets the same id.
        self._seen: dict[int, tuple[int, Any]] = {}

    def read(self, value: Any) -> Any:
        if value is None or isinstance(value, _SIMPLE):
            return repr(value)
        if id(value) in self._seen:
            return f"as number {self._seen[id(value)][0]}"
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, _ARRAYS):
            return _numbers(value)
        if isinstance(value, types.ModuleType):
            return [value.__name__, "" if _is_library(value.__name__) else _text(value)]
        if isinstance(value, Mapping):
            return [[self.read(k), self.read(v)] for k, v in value.items()]
        if isinstance(value, (set, frozenset)):
            return sorted(map(repr, value))
        if isinstance(value, (list, tuple)):
            return [self.read(part) for part in value]
        if isinstance(value, (type, types.FunctionType)):
            return self._defined(value)
        return self._object(value)

    def _defined(self, value):
        name = f"{value.__module__}.{value.__qualname__}"
        if _is_of_library(value):
            return name
        inside = self._class if isinstance(value, type) else self._function
        return [name, _text(inspect.getmodule(value)), inside(value)]

    def _function(self, function):
        around = [function.__defaults__, function.__kwdefaults__]
        with contextlib.suppress(ValueError):  # a name that has no value yet
            used = inspect.getclosurevars(function)
            around += [used.nonlocals, used.globals]
        return [_byte_code(function.__code__), *map(self.read, around)]

    def _class(self, kind):
        methods = {n: v for n, v in vars(kind).items() if isinstance(v, types.FunctionType)}
        return [[self.read(base) for base in kind.__bases__], self.read(methods)]

    def _object(self, value):
        if isinstance(value, functools.partial):
            return self.read([value.func, value.args, value.keywords])
        if isinstance(value, types.MethodType):
            return self.read([value.__func__, value.__self__])
        if isinstance(value, keras.layers.Layer):
            return [self.read(type(value)), *map(_numbers, value.weights)]
        held = getattr(value, "__dict__", {})
        if not isinstance(value, keras.losses.Loss):  # what others hold may lead anywhere
            held = {name: part for name, part in held.items() if isinstance(part, _PLAIN)}
        return [self.read(type(value)), self.read(held)]


def _is_library(module):
    return module.partition(".")[0] in _LIBRARIES


def _is_of_library(value):
    return _is_library(value.__module__ or "builtins")


def _text(module):
    """The text of a module's file; "" where it has none, as in a notebook."""
    path = getattr(module, "__file__", None)
    try:
        return pathlib.Path(path).read_text() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _byte_code(code):
    """The instructions of a function and of those within it."""
    within = [_byte_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), *code.co_names, *within]


def _numbers(array):
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(array.data if array.size else b"").hexdigest()
    return f"{array.dtype} {array.shape} {digest}"
