"""Checkpoints and examples as people have them: files, functions of a module, models, arrays."""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks, archive

PAIRS = (("x", "y"), ("x_train", "y_train"), ("images", "labels"))  # what arrays of a file are called
HELD_OUT = ("x_test", "y_test")
LIMIT = 50_000  # examples read of a tf.data.Dataset where no number is given
_WEIGHTS = (".weights.h5", ".npz")  # files without the model they are of


class Data(NamedTuple):
    """Examples in memory, in a random order, so that the first n are a sample.

    Attributes:
      name: what they are called: a file, or a function.
      x, y: inputs and targets, arrays or structures of them.
      size: N.
      total: how many there were to choose from; None where that is not known.
    """

    name: str
    x: Any
    y: Any
    size: int
    total: int | None

    def first(self, n: int) -> tuple[Any, Any]:
        """The first n examples, x and y."""
        cut = lambda leaf: leaf[:n]
        return tf.nest.map_structure(cut, self.x), tf.nest.map_structure(cut, self.y)


# ---- examples ---------------------------------------------------------------------------------------


def data_of(given: Any, name: str, *, examples: int | None, seed: int) -> Data:
    """The examples that a file, a function of a module, a data set or a pair of arrays holds.

    Args:
      given: the path of a .npz file with the arrays x and y (or x_train and y_train, or images and
        labels); "module:function", called without arguments; a `tf.data.Dataset` of (x, y), batched or
        not; (x, y).
      name: what the argument is called in messages.
      examples: at most so many, a random subset; None takes all, and of a data set the first 50,000.
      seed: of the order.

    Raises:
      ValueError: in one line, what is none of these, or has no y, or holds NaN.
    """
    said = str(given) if isinstance(given, (str, os.PathLike)) else "arrays"
    if isinstance(given, (str, os.PathLike)):
        is_function = re.fullmatch(r"[\w.]+:\w+", str(given)) and not pathlib.Path(given).exists()
        given = _called(str(given), name) if is_function else _file(pathlib.Path(given), name)
    total = None
    if isinstance(given, tf.data.Dataset):
        said = said if said != "arrays" else "a data set"
        given = _read(given, name, examples or LIMIT)
    elif isinstance(given, dict) and set(given) >= {"x", "y"}:
        given = given["x"], given["y"]
    if not (isinstance(given, (tuple, list)) and len(given) == 2):
        received = _checks.called(given)
        raise ValueError(
            f"{name} must be (x, y), a file, or a tf.data.Dataset of them; received {received}."
        )
    x, y = (_arrays(part, values) for part, values in zip(("x", "y"), given, strict=True))
    sizes = {len(leaf) for leaf in tf.nest.flatten((x, y))}
    if len(sizes) > 1 or min(sizes) < 2:
        counts = f"{len(tf.nest.flatten(x)[0])} and {len(tf.nest.flatten(y)[0])}"
        raise ValueError(f"{name} must hold as many x as y, at least two; received {counts}.")
    total = total or sizes.pop()
    size = total if examples is None else min(examples, total)
    order = np.random.default_rng(seed).permutation(total)[:size]
    shuffled = lambda leaf: leaf[order]
    x, y = (tf.nest.map_structure(shuffled, part) for part in (x, y))
    return Data(said, x, y, size, total)


def held_out_in(given: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays x_test and y_test of a .npz file that has them beside others; None elsewhere."""
    if not isinstance(given, (str, os.PathLike)) or not os.path.isfile(given):
        return None
    arrays = _opened(pathlib.Path(given), "data")
    return tuple(arrays[n] for n in HELD_OUT) if set(HELD_OUT) <= set(arrays) else None  # type: ignore


def _file(path: pathlib.Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    if not path.exists():
        raise ValueError(
            f"{name} must be a file that is there, or module:function; received {str(path)!r}."
        )
    arrays = _opened(path, name)
    for pair in PAIRS:
        if set(pair) <= set(arrays):
            return tuple(_member(arrays, n, path, name) for n in pair)  # type: ignore
    wanted = ", ".join(f"{x} and {y}" for x, y in PAIRS)
    found = ", ".join(arrays) or "none"
    raise ValueError(f"{name} must hold arrays called {wanted}; received {path.name} with {found}.")


def _opened(path, name):
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{name} must be a .npz file, as numpy.savez writes it; received {str(path)!r}."
        )
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:
        raise ValueError(
            f"{name} must be a .npz file of arrays; received {str(path)!r}: {first_line(error)}."
        ) from None
    return found


def _member(arrays, member, path, name):
    try:
        return arrays[member]
    except Exception as error:
        raise ValueError(
            f"{name} must be a whole .npz file of numbers; received {str(path)!r}, whose {member} "
            f"cannot be read: {first_line(error)}."
        ) from None


def _called(text: str, name: str) -> Any:
    function = function_of(text, name)
    try:
        return function()
    except Exception as error:
        raise ValueError(
            f"{name} must be a function that returns (x, y) or a tf.data.Dataset; received {text!r}, "
            f"which raised {type(error).__name__}: {first_line(error)}."
        ) from error


def function_of(text: str, name: str) -> Callable[..., Any]:
    """The function that "module:function" names.

    Raises:
      ValueError: no such module or function.
    """
    module, _, attribute = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ValueError(
            f"{name} must be module:function, importable from here; received {text!r}: "
            f"{first_line(error)}."
        ) from error
    if not callable(found):
        raise ValueError(f"{name} must be a function; received {text!r}, a {type(found).__name__}.")
    return found


def _read(dataset: tf.data.Dataset, name: str, limit: int) -> tuple[Any, Any]:
    """The first examples of a data set, as arrays."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        raise ValueError(f"{name} must yield (x, y); received a tf.data.Dataset of something else.")
    if any(s.shape.rank == 0 for s in tf.nest.flatten(spec)):
        dataset = dataset.batch(256)
    parts, found = [], 0
    try:
        for batch in dataset:
            parts.append(tf.nest.map_structure(lambda t: t.numpy(), tuple(batch[:2])))
            found += len(tf.nest.flatten(parts[-1])[0])
            if found >= limit:
                break
    except tf.errors.OpError as error:
        raise ValueError(f"{name} could not be read: {first_line(error)}.") from None
    if not parts:
        raise ValueError(f"{name} must hold examples; received an empty tf.data.Dataset.")
    return tf.nest.map_structure(lambda *p: np.concatenate(p)[:limit], *parts)


def _arrays(name: str, values: Any) -> Any:
    """Finite numbers, or a structure of them."""
    if isinstance(values, dict):
        return {key: _arrays(name, part) for key, part in values.items()}
    if isinstance(values, tuple):
        return tuple(_arrays(name, part) for part in values)
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise ValueError(
            f"{name} must be arrays of numbers, a row each example; received {array.dtype}."
        )
    if array.dtype.kind == "f":
        good = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not good.all():
            bad = int(np.flatnonzero(~good)[0])
            count = int((~good).sum())
            raise ValueError(
                f"{name} must be finite; received NaN or infinity in {count:,} of {len(array):,} "
                f"examples, number {bad} (from 0) the first."
            )
    return array


# ---- checkpoints ------------------------------------------------------------------------------------


def models_of(given: Any, model: Any, x: Any) -> list[tuple[str, keras.Model]]:
    """Names and built models of checkpoints.

    Args:
      given: one or several of: a .keras file, a .h5 file of a whole model, a file of weights
        (.weights.h5, or .npz with theta [D]) beside `model`; a `keras.Model`.
      model: "module:function", or a function, that returns a model of the checkpoints' kind; None.
      x: a few examples, to build a model that is not.

    Raises:
      ValueError: in one line, what cannot be loaded.
    """
    one = isinstance(given, (str, os.PathLike, keras.Model))
    several: Sequence[Any] = [given] if one else list(given)
    if not several:
        raise ValueError("checkpoints must be at least one file or model; received none.")
    build = None
    if model is not None:
        build = function_of(model, "model") if isinstance(model, str) else model
        if not callable(build) or isinstance(build, keras.Model):
            raise ValueError(
                f"model must be a function that builds a model; received {_checks.called(build)}."
            )
    found = []
    for each in several:
        if isinstance(each, keras.Model):
            _build(each, x)
            found.append((each.name, each))
        elif isinstance(each, (str, os.PathLike)):
            path = pathlib.Path(each)
            found.append((_stem(path), _loaded(path, build, x)))
        else:
            raise ValueError(f"checkpoints must be files or models; received {_checks.called(each)}.")
    return list(zip(_apart([name for name, _ in found]), [m for _, m in found], strict=True))


def _stem(path):
    name = path.name
    for suffix in (".keras", *_WEIGHTS, ".h5", ".hdf5"):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name


def _apart(names):
    """The same names, numbered where several are alike."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def _loaded(path: pathlib.Path, build: Callable[[], Any] | None, x: Any) -> keras.Model:
    if not path.is_file():
        raise ValueError(f"checkpoints must be files that are there; received {str(path)!r}.")
    if build is not None:
        model = _built(build, x)
        _read_weights(model, path)
        return model
    if path.name.endswith(_WEIGHTS):
        raise ValueError(
            f"model must be module:function, which builds the model that {path.name} has the weights "
            "of; received None."
        )
    from wedges import hyperplane, regularizers  # noqa: F401  (Keras knows what is imported)

    try:
        model = keras.saving.load_model(path)
    except Exception as error:
        raise ValueError(_why_not_loaded(path, error)) from error
    _build(model, x)
    return model


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
    _build(model, x)
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


def _build(model: keras.Model, x: Any) -> None:
    """Call a model on two examples: it is built then, and x is known to fit."""
    few = tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf[:2]), x)
    try:
        model(few, training=False)
    except Exception as error:
        wanted = getattr(model, "input_shape", None)
        takes = f", which takes {_shape(wanted)}" if wanted is not None else ""
        received = ", ".join(
            str(("N", *leaf.shape[1:])).replace("'N'", "N") for leaf in tf.nest.flatten(x)
        )
        because = "" if wanted is not None else f": {first_line(error)}"
        raise ValueError(
            f"x must fit the inputs of model {model.name!r}{takes}; received {received}{because}."
        ) from error


def _shape(shape):
    return str(shape).replace("None", "N")


def first_line(error: BaseException) -> str:
    """What an error says, on one line, without the full stop."""
    text = str(error.args[-1] if isinstance(error, KeyError) and error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]
