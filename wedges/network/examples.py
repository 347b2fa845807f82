"""The examples that a loss is a mean over, wherever they are: in memory, in files, in a pipeline.

    Arrays      in memory
    Sliced      arrays on disk, such as `numpy.memmap`: rows are read when they are needed
    Items       any source with `len(source)` and `source[i]`, one example each
    Batches     a `keras.utils.PyDataset`: batches that can be asked for in any order
    Stream      a `tf.data.Dataset`: batches that come in an order of their own

`examples_of(x, y, sample_weight)` makes the right one of what a user brings. Of all but the first only
a few batches are in memory at a time, read while the model computes.
"""

from __future__ import annotations

import abc
import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks, _progress
from wedges.network.batches import Minibatches, batch_size
from wedges.network.files import MappedFile

ENDED_EARLY = "x must have the same number of examples each time it is read; it ended early."
_AHEAD = 2  # batches that are read while the model computes
_LOOKED_AT = 8  # examples that tell what all are like


class Examples(abc.ABC):
    """N examples in an order that stays.

    Attributes:
      size: N.
      source: what they were made from.
      at_random: whether minibatches are a function of their number alone.
      own_batches: whether they come in batches that are not ours to choose.
    """

    size: int
    source: Any
    at_random: bool = True
    own_batches: bool = False

    @abc.abstractmethod
    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        """carry = function(batch, carry) over all examples in their order, `batch_size` at a time.

        Args:
          function: of a batch (x, y, w) and what was carried so far; returns the same structure.
          carry: tensors, or a structure of them, to begin with.
          batch_size: examples in each batch but the last one.

        Returns:
          What the last call returned.
        """

    @abc.abstractmethod
    def first(self, n: int) -> Any:
        """The first n examples, fewer where there are fewer, as one batch."""

    @property
    def at_hand(self) -> Any:
        """What can be looked at for next to nothing, as one batch: arrays in memory, else a few."""
        return self.first(_LOOKED_AT)

    @abc.abstractmethod
    def spread(self, n: int) -> Any:
        """About n examples from all over the data, as one batch: what lies first may be all alike."""

    def steps(self, size: int, seed: int) -> Minibatches:
        """Which minibatch is number `step`, in minibatches of `size` examples."""
        return Minibatches(self.size, size, seed)

    @abc.abstractmethod
    def minibatch(self, rows: tf.Tensor) -> Any:
        """The batch of these rows [B], of `steps(size, seed).rows(step)`."""

    def with_weights(self, function: Callable[[Any], Any]) -> Examples:
        """The same examples, the weights of each batch (x, y, w) being function(batch)."""
        return _Reweighted(self, function)


# ---- in memory --------------------------------------------------------------------------------------


class Arrays(Examples):
    """Examples in memory. Every batch has a static shape, which XLA needs.

    Args:
      batch: (x, y, w) as tensors of one leading axis.
    """

    def __init__(self, batch: Any) -> None:
        self.source = self.batch = batch
        self.size = leading_size(batch)

    @property
    def at_hand(self) -> Any:
        return self.batch

    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        whole, rest = divmod(self.size, batch_size)

        def rows(start, n):  # tf.slice, unlike t[start:start + n], keeps n in the static shape
            cut = lambda t: tf.slice(t, [start] + [0] * (t.shape.rank - 1), [n, *t.shape[1:]])
            return _constant(tf.nest.map_structure(cut, self.batch))

        if whole:
            _, carry = tf.while_loop(
                lambda i, _: i < whole,
                lambda i, c: (i + 1, function(rows(i * batch_size, batch_size), c)),
                (tf.constant(0), carry),
                parallel_iterations=1,
                maximum_iterations=whole,  # XLA must know how much a derivative of the loop has to keep
            )
        if rest:
            carry = function(rows(whole * batch_size, rest), carry)
        return carry

    def first(self, n: int) -> Any:
        return tf.nest.map_structure(lambda t: t[:n], self.batch)

    def spread(self, n: int) -> Any:
        return self.minibatch(tf.constant(_spread(self.size, n)))

    def minibatch(self, rows: tf.Tensor) -> Any:
        return tf.nest.map_structure(lambda t: tf.gather(t, rows), self.batch)

    def with_weights(self, function: Callable[[Any], Any]) -> Examples:
        return Arrays((*self.batch[:2], function(self.batch)))


# ---- read when they are needed, in any order --------------------------------------------------------


class _ReadByPython(Examples):
    """Examples that a function of Python's reads, within a graph as well; call `_describe` first."""

    def _describe(self, structure: Any, some: list[np.ndarray]) -> None:
        """Say what batches are like, by the leaves of one."""
        self._structure = structure
        self._dtypes = [tf.as_dtype(a.dtype) for a in some]
        self._shapes = [a.shape[1:] for a in some]

    def _flat(self, read: Callable[[np.ndarray], list[np.ndarray]], at: tf.Tensor, n: int | None) -> Any:
        """The leaves of the batch read(at), of n examples; None where only it knows how many."""
        arrays = tf.numpy_function(read, [at], self._dtypes)
        for array, shape in zip(arrays, self._shapes, strict=True):
            array.set_shape([n, *shape])
        return arrays

    def _pack(self, flat: Any) -> Any:
        return tf.nest.pack_sequence_as(self._structure, list(flat))


class _Read(_ReadByPython):
    """Examples that are read by their numbers. A subclass has `_read(rows) -> flat list of arrays`."""

    @abc.abstractmethod
    def _read(self, rows: np.ndarray) -> list[np.ndarray]:
        """Examples of these numbers, one array for each leaf of (x, y, w)."""

    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        whole, rest = divmod(self.size, batch_size)
        if whole:
            at = lambda i: tf.range(i * batch_size, (i + 1) * batch_size)
            leaves = lambda i: tuple(self._flat(self._read, at(i), batch_size))
            batches = tf.data.Dataset.range(whole).map(leaves)
            iterator = iter(batches.prefetch(_AHEAD))
            following = lambda: self._pack(iterator.get_next())
            carry = _loop(whole, following, function, carry)
        if rest:
            rows = tf.range(whole * batch_size, self.size)
            carry = function(_constant(self._pack(self._flat(self._read, rows, rest))), carry)
        return carry

    def first(self, n: int) -> Any:
        return self._now(np.arange(min(n, self.size)))

    def spread(self, n: int) -> Any:
        return self._now(_spread(self.size, n))

    def minibatch(self, rows: tf.Tensor) -> Any:
        return self._pack(self._flat(self._read, rows, rows.shape[0]))

    def _now(self, rows):
        return self._pack([tf.convert_to_tensor(a) for a in self._read(rows)])


class Sliced(_Read):
    """Rows of arrays, some of which are on disk.

    Args:
      arrays: (x, y, w), each leaf something with a shape and a dtype that slices give rows of.
    """

    def __init__(self, arrays: Any) -> None:
        self.source = arrays
        self._leaves = [a.numpy() if tf.is_tensor(a) else a for a in tf.nest.flatten(arrays)]
        self.size = leading_size(arrays)
        self._describe(arrays, [np.asarray(a[:1]) for a in self._leaves])

    def __reduce__(self) -> tuple:
        mapped = lambda a: MappedFile.of(a) if isinstance(a, np.memmap) else a
        return _sliced, (tf.nest.map_structure(mapped, self.source),)

    def _read(self, rows: np.ndarray) -> list[np.ndarray]:
        in_order = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all()
        if in_order:
            return [np.asarray(a[int(rows[0]) : int(rows[-1]) + 1]) for a in self._leaves]
        # Some kinds of files give rows in rising order only, and none is slower so.
        order = np.argsort(rows)
        back = np.argsort(order)
        return [np.asarray(a[rows[order]])[back] for a in self._leaves]


def _sliced(arrays):
    return Sliced(tf.nest.map_structure(lambda a: a.open() if isinstance(a, MappedFile) else a, arrays))


class Items(_Read):
    """Single examples from a source with `len(source)` and `source[i]`.

    Args:
      source: each of its items is an (x, y) or (x, y, w), or a dict of features where the source says
        which of them they are, as those of tensorflow-datasets do (`dataset_info.supervised_keys`).

    Raises:
      ValueError: no items, or items of another kind.
    """

    def __init__(self, source: Any) -> None:
        self.source, self.size = source, len(source)
        if not self.size:
            raise ValueError("x must hold at least one example; received an empty source.")
        info = getattr(source, "dataset_info", None)
        self._keys = getattr(info, "supervised_keys", None)
        few = [self._flattened(self._item(source[int(i)])) for i in _spread(self.size, _LOOKED_AT)]
        one = [np.asarray(leaf)[None] for leaf in few[0]]
        kinds = [np.result_type(*map(np.asarray, column)) for column in zip(*few, strict=True)]
        self._describe(self._item(source[0]), [a.astype(k) for a, k in zip(one, kinds, strict=True)])

    def _read(self, rows: np.ndarray) -> list[np.ndarray]:
        rows = rows.tolist()
        many = getattr(self.source, "__getitems__", None)
        items = many(rows) if many else [self.source[i] for i in rows]
        flat = [self._flattened(self._item(item)) for item in items]
        try:
            columns = [np.array(column) for column in zip(*flat, strict=True)]
            kinds = zip(columns, self._dtypes, self._shapes, strict=True)
            return [
                a.astype(d.as_numpy_dtype, casting="same_kind").reshape(len(rows), *s)
                for a, d, s in kinds
            ]
        except TypeError as error:
            raise ValueError(
                f"x must hold examples of one type; received {[d.name for d in self._dtypes]} and, "
                f"among numbers {rows[0]} to {rows[-1]}, {[a.dtype.name for a in columns]}."
            ) from error
        except ValueError as error:
            for row, leaves in zip(rows, flat, strict=True):
                found = [np.shape(leaf) for leaf in leaves]
                if found != self._shapes:
                    raise ValueError(
                        f"x must hold examples of one shape; received {self._shapes} and, as number "
                        f"{row}, {found}."
                    ) from error
            raise

    def _flattened(self, item):
        """The leaves of an item (x, y, w), in their order."""
        nested = [isinstance(part, (tuple, list, dict)) for part in item]
        plain = nested[:2] == [False, False] and isinstance(item[2], tuple) and not item[2]
        return item[:2] if plain else tf.nest.flatten(item)  # which is slow, item by item

    def _item(self, item):
        if isinstance(item, dict) and self._keys and all(isinstance(k, str) for k in self._keys):
            item = tuple(item[k] for k in self._keys)
        if not (isinstance(item, (tuple, list)) and 1 <= len(item) <= 3):
            kind = f"a dict of {sorted(item)}" if isinstance(item, dict) else type(item).__name__
            raise ValueError(
                f"x must be a source whose items are (x, y) or (x, y, sample_weight); received {kind}."
            )
        return _triple(item)


class Batches(_ReadByPython):
    """The batches of a `keras.utils.PyDataset`; any of them can be asked for.

    They are counted once, which reads all of them. A minibatch is one of them; a pass over all of them
    cuts them anew.

    Args:
      source: the data set.

    Raises:
      ValueError: no batches, an empty one, or endless ones.
    """

    own_batches = True

    def __init__(self, source: keras.utils.PyDataset) -> None:
        self.source, self._batches = source, source.num_batches
        if not self._batches:
            raise ValueError(
                f"x must be a PyDataset of a known number of batches; received {self._batches!r}."
            )
        batch = self._batch(0)
        self._describe(batch, tf.nest.flatten(batch))
        watched = _progress.bar(iterable=range(self._batches), desc="counting examples", unit="batch")
        self._sizes = [len(tf.nest.flatten(self._batch(i))[0]) for i in watched]
        if 0 in self._sizes:
            raise ValueError(
                "x must hold at least one example in every batch; received an empty one, number "
                f"{self._sizes.index(0)}."
            )
        self.size = sum(self._sizes)

    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        batches = tf.data.Dataset.range(self._batches).map(
            lambda i: tuple(self._flat(self._leaves, i, None))
        )
        batches, times = _cut_anew(batches, self._sizes, batch_size)
        iterator = iter(batches.prefetch(_AHEAD))
        return _loop(times, lambda: self._pack(iterator.get_next()), function, carry)

    def first(self, n: int) -> Any:
        batches, i = [self._batch(0)], 1
        while sum(self._sizes[:i]) < n and i < self._batches:
            batches.append(self._batch(i))
            i += 1
        return tf.nest.map_structure(lambda t: t[:n], _joined(batches))

    def steps(self, size: int, seed: int) -> Minibatches:
        return Minibatches(self._batches, 1, seed)

    def spread(self, n: int) -> Any:
        numbers = [int(i) for i in _spread(self._batches, n)]
        cut = lambda t: t[_spread(len(t), -(-n // len(numbers)))]
        rows = [tf.nest.map_structure(cut, self._batch(i)) for i in numbers]
        return _joined(rows)

    def minibatch(self, rows: tf.Tensor) -> Any:
        return self._pack(self._flat(self._leaves, rows[0], None))

    def _batch(self, i):
        return tf.nest.map_structure(np.asarray, _triple(self.source[int(i)]))

    def _leaves(self, i):
        return tf.nest.flatten(self._batch(i))


# ---- in an order of their own -----------------------------------------------------------------------


class Stream(Examples):
    """The batches of a `tf.data.Dataset`, in the order in which they come.

    They are counted once, which reads all of them. Minibatches are the data set's batches one after
    another, whatever their number: a descent that is interrupted goes on with others than it would have
    seen. A pass over all of them cuts them anew.

    Args:
      source: a data set of batches (x, y) or (x, y, w).

    Raises:
      ValueError: no batches, endless ones, or single examples.
    """

    at_random, own_batches = False, True

    def __init__(self, source: tf.data.Dataset) -> None:
        if int(source.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError("x must be a data set that ends; received one that repeats without end.")
        self.source = source
        self._batches = source.map(lambda *batch: _triple(batch))
        if any(s.shape.rank == 0 for s in tf.nest.flatten(self._batches.element_spec)):
            raise ValueError(
                "x must be a data set of batches; received one of single examples: add .batch(...)."
            )
        self._sizes: list[int] = []
        self._rows: list[Any] = []  # the first example of some batches
        every = 1  # of the batches, each so many-th
        for batch in _progress.bar(iterable=self._batches, desc="counting examples", unit="batch"):
            if len(self._sizes) % every == 0:
                self._rows.append(tf.nest.map_structure(lambda t: t[:1], batch))
            if len(self._rows) >= 2 * _LOOKED_AT:
                self._rows, every = self._rows[::2], 2 * every
            self._sizes.append(int(batch_size(batch)))
        self.size = sum(self._sizes)
        if not self.size:
            raise ValueError("x must hold at least one example; received an empty data set.")
        if not _same(self.first(_LOOKED_AT), self.first(_LOOKED_AT)):
            warnings.warn(
                "x gives other examples, or another order, each time it is read: L(theta) is one number "
                "only if every pass has the same examples, and outputs come in no order that stays. "
                "Leave out shuffle() and random maps.",
                stacklevel=5,
            )

    def __reduce__(self) -> tuple:
        raise ValueError(
            "examples must be arrays, or a source with len(x) and x[i], to be pickled or to go to other "
            f"processes; received {type(self.source).__name__}, a pipeline of this process."
        )

    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        batches, times = _cut_anew(self._batches, self._sizes, batch_size)
        iterator = iter(batches.prefetch(_AHEAD))
        counted = lambda batch, c: (function(batch, c[0]), c[1] + tf.shape(tf.nest.flatten(batch)[0])[0])
        carry, seen = _loop(times, iterator.get_next, counted, (carry, tf.constant(0)))
        tf.debugging.assert_equal(seen, self.size, ENDED_EARLY)
        return carry

    def spread(self, n: int) -> Any:
        rows = [self._rows[i] for i in _spread(len(self._rows), n)]
        return _joined(rows) if len(rows) >= min(n, self.size) else self.first(n)

    def first(self, n: int) -> Any:
        batches, found = [], 0
        for batch in self._batches:
            batches.append(batch)
            found += int(batch_size(batch))
            if found >= n:
                break
        return tf.nest.map_structure(lambda t: t[:n], _joined(batches))

    def steps(self, size: int, seed: int) -> Minibatches:
        return Minibatches(len(self._sizes), 1, seed)

    def minibatch(self, rows: tf.Tensor) -> Any:
        return self._endless.get_next()

    @functools.cached_property
    def _endless(self):
        warnings.warn(
            "minibatches of a tf.data.Dataset come in its own order, whatever their number, so that "
            "an interrupted descent does not go on exactly; arrays and sources with len() and [i] do.",
            stacklevel=2,
        )
        with tf.init_scope():
            return iter(self._batches.repeat().prefetch(_AHEAD))


class _Reweighted(Examples):
    """Other examples, their weights a function of the batch."""

    def __init__(self, examples: Examples, function: Callable[[Any], Any]) -> None:
        self._examples, self._function = examples, function
        self.size, self.source = examples.size, examples.source
        self.at_random, self.own_batches = examples.at_random, examples.own_batches

    def _weighted(self, batch):
        return batch[0], batch[1], self._function(batch)

    @property
    def at_hand(self) -> Any:
        return self._examples.at_hand

    def fold(self, function: Callable[[Any, Any], Any], carry: Any, batch_size: int) -> Any:
        return self._examples.fold(lambda b, c: function(self._weighted(b), c), carry, batch_size)

    def first(self, n: int) -> Any:
        return self._weighted(self._examples.first(n))

    def spread(self, n: int) -> Any:
        return self._weighted(self._examples.spread(n))

    def steps(self, size: int, seed: int) -> Minibatches:
        return self._examples.steps(size, seed)

    def minibatch(self, rows: tf.Tensor) -> Any:
        return self._weighted(self._examples.minibatch(rows))


# ---- what a user brings -----------------------------------------------------------------------------


def examples_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    names: tuple[str, ...] = ("x", "y", "sample_weight"),
) -> Examples:
    """Inputs, targets and weights, in any form that Keras takes, as `Examples`.

    Args:
      x: arrays, tensors, lists of numbers, pandas' frames, arrays on disk, or a structure of them; or,
        with y and sample_weight None, `Examples`, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
        source with `len(source)` and `source[i]`, which yield (x, y) or (x, y, sample_weight).
      y, sample_weight: as x, or None.
      names: what the three are called in messages.

    Raises:
      ValueError: something else, or arrays of different sizes.
    """
    if x is None:
        raise ValueError(f"{names[0]} must be examples; received None.")
    for name, value in zip(names, (x, y, sample_weight), strict=True):
        if isinstance(value, (str, bytes, os.PathLike)):
            raise ValueError(
                f"{name} must be arrays or a data set; received {_checks.called(value)}: load it first, "
                "e.g. by numpy.load."
            )
    kind = _source(x)
    if kind is None:
        values = [
            () if v is None else _leaves(n, v) for n, v in zip(names, (x, y, sample_weight), strict=True)
        ]
        _same_size(names, values)
        on_disk = any(not tf.is_tensor(leaf) for leaf in tf.nest.flatten(values))
        return Sliced(tuple(values)) if on_disk else Arrays(tuple(values))
    if y is not None or sample_weight is not None:
        raise ValueError(
            f"{names[1]} and {names[2]} must be None where {names[0]} yields them itself; received "
            f"{type(x).__name__} and others beside it."
        )
    return kind(x)


def not_finite(arrays: Any) -> np.ndarray:
    """The numbers of the examples of a structure of arrays that hold NaN or infinity."""
    leaves = list(map(tf.convert_to_tensor, tf.nest.flatten(arrays)))
    bad = np.zeros(leaves[0].shape[0] if leaves else 0, bool)
    for leaf in leaves:
        # Only finite numbers have a finite sum, which takes no memory; one that overflows tells nothing.
        if leaf.dtype.is_floating and not tf.math.is_finite(tf.reduce_sum(leaf)):
            finite = tf.reduce_all(tf.math.is_finite(leaf), axis=list(range(1, leaf.shape.rank)))
            bad |= ~finite.numpy()
    return np.flatnonzero(bad)


def leading_size(arrays: Any) -> int:
    """The number of examples in `arrays`: the length of the first one's first axis."""
    return int(tf.nest.flatten(arrays)[0].shape[0])


def _source(x):
    """The kind of `Examples` that x is the source of; None where x is arrays."""
    if isinstance(x, Examples):
        return lambda same: same
    if isinstance(x, tf.data.Dataset):
        return Stream
    if isinstance(x, keras.utils.PyDataset):
        return Batches
    arrays = (list, tuple, dict, str, bytes, np.ndarray, np.generic, int, float)
    is_array = isinstance(x, arrays) or tf.is_tensor(x) or hasattr(x, "shape") or hasattr(x, "to_numpy")
    return Items if not is_array and hasattr(x, "__len__") and hasattr(x, "__getitem__") else None


def _leaves(name, value):
    """Arrays, or a structure of them, each a tensor or something on disk."""
    if _numbers(value):
        value = _checks.array(name, value)
    elif isinstance(value, (dict, list, tuple)):
        if not value:
            raise ValueError(f"{name} must hold at least one example; received {value!r}.")
        if isinstance(value, dict):
            return {key: _leaves(name, part) for key, part in value.items()}
        return tuple(_leaves(name, part) for part in value)
    if _on_disk(value):
        return value
    try:
        tensor = tf.convert_to_tensor(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be arrays of numbers, a dict or tuple of them, or a data set; received "
            f"{type(value).__name__}."
        ) from error
    return tensor


def _on_disk(value):
    """Whether an array is one whose rows are read when they are asked for, as a memory map's are."""
    if isinstance(value, np.memmap):
        return True
    in_memory = (np.ndarray, np.generic, keras.Variable, tf.Variable)
    known = isinstance(value, in_memory) or tf.is_tensor(value) or hasattr(value, "to_numpy")
    return not known and all(hasattr(value, a) for a in ("shape", "dtype", "__getitem__"))


def _numbers(value):
    """Whether a value is a list of numbers, or of lists of numbers, which stands for an array."""
    if not isinstance(value, (list, tuple)) or not len(value):
        return False
    return all(isinstance(v, (int, float, np.generic)) or _numbers(v) for v in value)


def _same_size(names, values):
    sizes = {}
    for name, value in zip(names, values, strict=True):
        for leaf in tf.nest.flatten(value):
            sizes.setdefault(name, set()).add(int(leaf.shape[0]) if len(leaf.shape) else 0)
    for name, found in sizes.items():
        if len(found) > 1 or 0 in found:
            raise ValueError(
                f"{name} must hold the same number of examples in every array, and at least one; "
                f"received {sorted(found)}."
            )
    counts = {name: next(iter(found)) for name, found in sizes.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{n} of {name}" for name, n in counts.items())
        raise ValueError(f"{' and '.join(counts)} must have as many examples; received {shown}.")


def _triple(batch):
    """(x, y, w), () for what is missing."""
    x, y, w = (*batch, None, None)[:3]
    return x, () if y is None else y, () if w is None else w


def _spread(size, n):
    """The numbers of at most n of `size` things, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(n, size)).astype(np.int64))


def _joined(batches):
    """Batches one after another as one, of tensors."""
    return tf.nest.map_structure(lambda *t: tf.concat(t, axis=0), *batches)


def _same(one, other):
    """Whether two batches hold the same numbers."""
    pairs = zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    return all(a.shape == b.shape and np.array_equal(a, b, equal_nan=_real(a)) for a, b in pairs)


def _real(tensor):
    return tensor.dtype.is_floating


def _cut_anew(batches, sizes, batch_size):
    """A data set of batches of these sizes in batches of one size, and how many they are."""
    total = sum(sizes)
    asked = [min(batch_size, total - i) for i in range(0, total, batch_size)]
    if sizes == asked:
        return batches, len(sizes)
    return batches.rebatch(batch_size), len(asked)


def _constant(batch):
    # Nobody asks for a derivative by the data, whose second one XLA does not have.
    return tf.nest.map_structure(tf.stop_gradient, batch)


def _loop(times, following, function, carry):
    """carry = function(following(), carry), so many times."""
    return tf.while_loop(
        lambda i, _: i < times,
        lambda i, c: (i + 1, function(_constant(following()), c)),
        (tf.constant(0), carry),
        parallel_iterations=1,
    )[1]
