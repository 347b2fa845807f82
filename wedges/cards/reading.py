"""Examples as people have them: files, functions of a module, data sets, arrays.

Only a `tf.data.Dataset` needs TensorFlow, so that a file is read, or refused, before that is started.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from wedges import _checks

PAIRS = (("x", "y"), ("x_train", "y_train"), ("images", "labels"))  # what arrays of a file are called
HELD_OUT = ("x_test", "y_test")
TARGETS = ("y", "y_train", "labels")  # beside several inputs
WEIGHTS = "sample_weight"  # beside any of these; "sample_weight_test" of what is held out
LIMIT = 50_000  # examples read of a tf.data.Dataset, where no larger number is asked for
_NO_INPUTS = {*TARGETS, *HELD_OUT, WEIGHTS, f"{WEIGHTS}_test"}
_AS_NUMBERS = "numpy.unique(names, return_inverse=True)[1] numbers classes by their names"


class Data(NamedTuple):
    """Examples in memory, in a random order, so that the first n are a sample.

    Attributes:
      name: what they are called: a file, or a function.
      x, y: inputs and targets, arrays or structures of them.
      size: N.
      total: how many there were to choose from; None where that is not known.
      weight: what each example counts [N], or a structure of them for the outputs; None for all alike.
    """

    name: str
    x: Any
    y: Any
    size: int
    total: int | None
    weight: Any = None

    def weights(self, n: int) -> Any:
        """What the first n examples count; None for all alike."""
        return None if self.weight is None else mapped(lambda w: w[:n], self.weight)

    def first(self, n: int) -> tuple[Any, Any]:
        """The first n examples, x and y."""
        cut = lambda leaf: leaf[:n]
        return mapped(cut, self.x), mapped(cut, self.y)


def leaves(structure: Any) -> Iterator[np.ndarray]:
    """The arrays of a structure of dicts and tuples, in the order of `tf.nest.flatten`.

    >>> list(wedges.cards.reading.leaves(({"b": 2, "a": 1}, 3)))
    [1, 2, 3]
    """
    if isinstance(structure, dict):
        structure = tuple(structure[key] for key in sorted(structure))
    if isinstance(structure, tuple):
        for part in structure:
            yield from leaves(part)
    else:
        yield structure


def mapped(function: Callable[[np.ndarray], Any], structure: Any) -> Any:
    """The same structure of function(array).

    >>> wedges.cards.reading.mapped(lambda n: 10 * n, {"a": 1, "b": (2, 3)})
    {'a': 10, 'b': (20, 30)}
    """
    if isinstance(structure, dict):
        return {key: mapped(function, part) for key, part in structure.items()}
    if isinstance(structure, tuple):
        return tuple(mapped(function, part) for part in structure)
    return function(structure)


# ---- examples ---------------------------------------------------------------------------------------


def data_of(
    given: Any,
    name: str,
    *,
    examples: int | None,
    seed: int,
    inputs: Callable[[], list[tuple[int | None, ...]] | None] = lambda: None,
) -> Data:
    """The examples that a file, a function of a module, a data set or a pair of arrays holds.

    Args:
      given: the path of a .npz file with the arrays x and y (or x_train and y_train, or images and
        labels; of several inputs y beside x0, x1, ..., or beside all of them by the model's names);
        "module:function", called without arguments; a `tf.data.Dataset` of (x, y), batched or not;
        (x, y), of which x may be a list, a tuple or a dict of arrays, as `fit` takes it.
      name: what the argument is called in messages.
      examples: at most so many, a random subset; None takes all. Of a data set the first 50,000 are
        read, or as many as are asked for, and a warning says so where there are more.
      seed: of the order.
      inputs: tells the shapes of one example's inputs to the model, where these are known; called for a
        data set whose own shapes do not say whether it is batched.

    Raises:
      ValueError: in one line, what is none of these, or has no y, or holds NaN.
    """
    said = str(given) if isinstance(given, (str, os.PathLike)) else "arrays"
    if isinstance(given, (str, os.PathLike)):
        given = _file(pathlib.Path(given), name) if not is_function(given) else _called(str(given), name)
    is_dataset, total = _is_dataset(given), None
    if is_dataset:
        said = said if said != "arrays" else "a data set"
        given, total = _read(given, name, examples, seed, inputs)
    elif isinstance(given, dict) and set(given) >= {"x", "y"}:
        given = given["x"], given["y"], *([given[WEIGHTS]] if given.get(WEIGHTS) is not None else [])
    if not (isinstance(given, (tuple, list)) and len(given) in (2, 3)):
        several = isinstance(given, (tuple, list))
        received = f"a {type(given).__name__} of {len(given)}" if several else _checks.called(given)
        raise ValueError(
            f"{name} must be (x, y) or (x, y, sample_weight), a file, or a tf.data.Dataset of them; "
            f"received {received}."
        )
    x, y, *w = (_arrays(part, each) for part, each in zip(("x", "y", WEIGHTS), given, strict=False))
    sizes = [len(leaf) for leaf in leaves((x, y))]
    if len(set(sizes)) > 1 or min(sizes, default=0) < 2:
        counts = " and ".join(map(str, sizes)) or "none"
        raise ValueError(f"{name} must hold as many x as y, at least two; received {counts}.")
    for part, structure in (("x", x), ("y", y), (WEIGHTS, tuple(w))):
        for leaf in leaves(structure):
            _check_finite(part, leaf)
    _check_weights(w, y)
    size = sizes[0] if examples is None else min(examples, sizes[0])
    order = np.random.default_rng(seed).permutation(sizes[0])[:size]
    shuffled = lambda leaf: leaf[order]
    x, y = (mapped(shuffled, part) for part in (x, y))
    weight = mapped(shuffled, w[0]) if w else None
    return Data(said, x, y, size, total if is_dataset else sizes[0], weight)


def _check_weights(w, y):
    """ValueError where weights are not one each, at least 0, and some above."""
    rows = len(next(leaves(y)))
    for leaf in leaves(tuple(w)):
        if len(leaf) != rows or leaf.min() < 0 or not leaf.any():
            raise ValueError(
                f"{WEIGHTS} must be as many as y, at least 0 and not all 0; received {len(leaf)} for "
                f"{rows}, from {leaf.min():g} to {leaf.max():g}."
            )


def held_out_in(given: Any) -> tuple[np.ndarray, ...] | None:
    """x_test and y_test, and sample_weight_test, of a .npz file that has them; None elsewhere."""
    if not isinstance(given, (str, os.PathLike)) or not os.path.isfile(given):
        return None
    path = pathlib.Path(given)
    arrays = _opened(path, "data")
    if not set(HELD_OUT) <= set(arrays):
        return None
    weighed = f"{WEIGHTS}_test"
    names = (*HELD_OUT, *([weighed] if weighed in arrays else []))
    return tuple(_member(arrays, name, path, "held_out") for name in names)


def is_function(given: Any) -> bool:
    """Whether a text is "module:function", and no file that is there."""
    text = str(given)
    return bool(re.fullmatch(r"[\w.]+:\w+", text)) and not pathlib.Path(text).exists()


def _is_dataset(given):
    """Whether this is a `tf.data.Dataset`, of which there are none before TensorFlow is there."""
    started = sys.modules.get("tensorflow")
    return started is not None and isinstance(given, started.data.Dataset)


def _file(path: pathlib.Path, name: str) -> tuple[Any, ...]:
    if not path.exists():
        raise ValueError(
            f"{name} must be a file that is there, or module:function; received {str(path)!r}."
        )
    arrays = _opened(path, name)
    member = lambda n: _member(arrays, n, path, name)
    weights = [WEIGHTS] if WEIGHTS in arrays else []
    for pair in PAIRS:
        if set(pair) <= set(arrays):
            return tuple(member(n) for n in (*pair, *weights))
    target = next((n for n in TARGETS if n in arrays), None)
    inputs = [n for n in arrays if n not in _NO_INPUTS]
    numbered = sorted((n for n in inputs if re.fullmatch(r"x\d+", n)), key=lambda n: int(n[1:]))
    if target is not None and numbered:
        return (tuple(map(member, numbered)), *map(member, (target, *weights)))
    if target is not None and len(inputs) > 1:
        return ({n: member(n) for n in inputs}, *map(member, (target, *weights)))
    wanted = ", ".join(f"{x} and {y}" for x, y in PAIRS)
    found = ", ".join(arrays) or "none"
    raise ValueError(
        f"{name} must hold arrays called {wanted} (of several inputs y beside x0, x1, ... or beside the "
        f"model's names of them); received {path.name} with {found}."
    )


def _opened(path, name):
    if path.is_dir():
        raise ValueError(f"{name} must be a .npz file; received {str(path)!r}, a folder.")
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
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{name} must be a .npz file of numbers; received {str(path)!r}, whose {member} holds "
                f"objects of Python's, not numbers ({_AS_NUMBERS})."
            ) from None
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


def _read(dataset, name, examples, seed, inputs):
    """A data set as arrays, of no more examples than are asked for, and how many it has."""
    import tensorflow as tf

    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        raise ValueError(f"{name} must yield (x, y); received a tf.data.Dataset of something else.")
    if _is_of_single_examples(spec, inputs):
        dataset = dataset.batch(256)
    limit = max(LIMIT, examples or 0)
    sample, found, whole = _Sample(examples or limit, seed), 0, True
    try:
        for batch in dataset:
            if found >= limit:
                whole = False
                break
            rows = tf.nest.map_structure(lambda t: t.numpy(), tuple(batch[:3]))
            size = len(tf.nest.flatten(rows)[0])
            whole = found + size <= limit
            sample.add(mapped(lambda leaf: leaf[: limit - found], rows))  # noqa: B023  (called at once)
            found += size
    except tf.errors.OpError as error:
        raise ValueError(f"{name} could not be read: {first_line(error)}.") from None
    if not found:
        raise ValueError(f"{name} must hold examples; received an empty tf.data.Dataset.")
    if not whole:
        warnings.warn(
            f"{name} is a data set of more than {limit:,} examples: the first {limit:,} were read.",
            stacklevel=4,
        )
    return sample.arrays(), found if whole else None


def _is_of_single_examples(spec, inputs):
    """Whether a data set yields examples one by one, and not in batches.

    It does where something has no axis, or first axes differ, which are as long as a batch in one of
    batches; and where x has the shape of one example that goes into the model.
    """
    import tensorflow as tf

    shapes = [s.shape for s in tf.nest.flatten(spec)]
    if any(shape.rank == 0 for shape in shapes):
        return True
    first = {None if shape.rank is None else shape[0] for shape in shapes}
    if len(first - {None}) > 1:
        return True
    wanted = None if first == {None} else inputs()
    x = [s.shape for s in tf.nest.flatten(spec[0])]
    return (
        wanted is not None
        and len(wanted) == len(x)
        and all(shape.is_compatible_with(one) for shape, one in zip(x, wanted, strict=True))
    )


class _Sample:
    """A random subset of rows that come batch by batch, in the memory of about two such subsets.

    Each row draws a number, and those of the smallest numbers are kept.

    Args:
      size: how many are kept.
      seed: of the numbers.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.rng = size, np.random.default_rng([seed, 5])
        self.parts: list[Any] = []
        self.held = 0

    def add(self, rows: tuple[Any, ...]) -> None:
        """Some more rows, (x, y) or (x, y, weight)."""
        count = len(next(leaves(rows)))
        self.parts.append((rows, self.rng.random(count)))
        self.held += count
        if self.held > 2 * self.size + 1000:
            self._keep()

    def arrays(self) -> Any:
        """The rows that are kept, in the order in which they came."""
        self._keep()
        return self.parts[0][0]

    def _keep(self):
        import tensorflow as tf

        whole = tf.nest.map_structure(lambda *part: np.concatenate(part), *self.parts)
        kept = np.sort(np.argsort(whole[1], kind="stable")[: self.size])
        self.parts, self.held = [mapped(lambda leaf: leaf[kept], whole)], len(kept)


def _arrays(name: str, values: Any) -> Any:
    """Numbers, or a structure of them: dicts and tuples of arrays, a list of arrays being a tuple."""
    if isinstance(values, dict):
        return {key: _arrays(name, part) for key, part in values.items()}
    if isinstance(values, tuple) or (isinstance(values, list) and _are_arrays(values)):
        return tuple(_arrays(name, part) for part in values)
    try:
        array = np.asarray(values)
    except ValueError:  # NumPy's own words are about its array
        raise ValueError(
            f"{name} must be arrays of numbers, a row each example; received a "
            f"{type(values).__name__} whose rows differ in length."
        ) from None
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise ValueError(
            f"{name} must be arrays of numbers, a row each example; received {_instead(array)}."
        )
    return array


def _are_arrays(values):
    """Whether a list holds arrays, as that of a model's inputs does, and not the numbers of one."""
    return bool(values) and all(
        getattr(part, "ndim", 0) > 0 or isinstance(part, dict) for part in values
    )


def _instead(array):
    """What was received in place of numbers, in words, and what to do about it."""
    if array.ndim == 0:
        return f"{array.item()!r} alone"
    if array.dtype.kind in "USO":
        what = "objects of Python's" if array.dtype.kind == "O" else "text"
        return (
            f"{what}, such as {array.reshape(-1)[:1].tolist()[0]!r} ({_AS_NUMBERS})"
            if array.size
            else what
        )
    return f"arrays of {array.dtype.name}"


def _check_finite(name, array):
    if array.dtype.kind != "f":
        return
    good = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        count = int((~good).sum())
        raise ValueError(
            f"{name} must be finite; received NaN or infinity in {count:,} of {len(array):,} "
            f"examples, number {bad} (from 0) the first."
        )


def first_line(error: BaseException) -> str:
    """What an error says, on one line, without the full stop."""
    text = str(error.args[-1] if isinstance(error, KeyError) and error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]
