"""Numbers that are computed once, and cannot be stale.

    arrays = cached(function, setting, theta)     # function(setting, theta) -> {name: array}

A cached function receives its key and nothing else: frozen dataclasses of settings, plain values,
arrays. It stands in a module by itself, so it has no closure that could smuggle in anything; the key
holds every argument by content, the mark of all code that the function and the classes of its arguments
reach (see `marks`), and the software and threads that do the work (`Workplace.software`). What is the
same by all of these is the same number.

A function that takes long keeps what it has so far by `part()`: a killed run goes on from there.
"""

import contextvars
import dataclasses
import os
import pathlib
import time

import numpy as np

from reproductions.bench import marks, store, workers, workplace
from reproductions.bench.errors import UsageError

# Often in a test of kills; a save takes milliseconds for the networks here.
SECONDS_BETWEEN_SAVES = float(os.environ.get("WEDGES_SECONDS_BETWEEN_SAVES", 5))
# The cached functions that run now in this thread, the innermost last.
_calls = contextvars.ContextVar("calls", default=())


def cached(function, *key):
    """function(*key), a dict of arrays: computed, or as it was kept for this key.

    Args:
      function: of a module, by itself; its code, and all that it reaches, is part of the key.
      key: all that it depends on: frozen dataclasses, plain values, arrays, and nestings of these in
        tuples, lists and dicts.

    Raises TypeError for anything else, a landscape or a function, say.
    """
    place = workplace.current()
    whole = key_of(function, key, place.software)
    path = _path(place, whole)
    arrays = store.load(path, whole)
    workers.agree(whole, arrays)
    if arrays is None:
        call = _Call(whole)
        token = _calls.set((*_calls.get(), call))
        try:
            arrays = {name: np.asarray(a) for name, a in function(*key).items()}
        finally:
            _calls.reset(token)
        require_code(whole, function, key)
        if place.writes:
            store.save(path, arrays, whole)
            for part in call.parts:
                store.remove(part.path)
        workers.agree({**whole, "kept": True}, None)  # none looks for it before it is there
    return arrays


def require_code(whole, function, key):
    """UsageError if the code is no longer that of a key: then nobody knows which made the number."""
    if not marks.stands(whole["code"], function, *classes(key)):
        raise UsageError(
            f"the code that {function.__name__} reaches was changed while it ran, and its number is not "
            "kept; run the same command again."
        )


def _path(place, key):
    return place.checkpoints / f"{store.digest(key)}.npz"


def key_of(function, key, software):
    """The whole key of a cached function's result: code, arguments by content, software."""
    arguments = [_plain(function, argument) for argument in key]
    # What an argument does when asked, `toy.optima(...)`, is code that the function does not name.
    code = marks.of(function, *classes(key))
    return {"code": code, "arguments": arguments, "software": software}


def classes(value):
    """Every dataclass in an argument."""
    if dataclasses.is_dataclass(value):
        yield type(value)
        value = [getattr(value, f.name) for f in dataclasses.fields(value)]
    for inner in value.values() if isinstance(value, dict) else value:
        if dataclasses.is_dataclass(inner) or isinstance(inner, list | tuple | dict):
            yield from classes(inner)


def _plain(function, value):
    """An argument as JSON that stands for its content."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError(f"{function.__name__} is kept by its key; received an array of objects.")
        return {"array": store.fingerprint(np.asarray(value))}
    if type(value) is list:
        return [_plain(function, v) for v in value]
    if type(value) is tuple:  # it is another index than a list
        return {"tuple": [_plain(function, v) for v in value]}
    if type(value) is dict and all(type(k) is str for k in value):  # in order, which may matter
        return {"dict": [[k, _plain(function, v)] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and type(value).__dataclass_params__.frozen:
        fields = {f.name: _plain(function, getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {type(value).__name__: fields}
    raise TypeError(
        f"{function.__name__} is kept by its key: frozen dataclasses, plain values and arrays; received "
        f"{type(value).__name__}."
    )


# ---- what a long one has so far ---------------------------------------------------------------------


@dataclasses.dataclass
class _Call:
    """A cached function that runs: its key, and the parts it has asked for."""

    key: dict
    parts: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Part:
    """What the cached function that runs now has of one of its steps, on disk."""

    key: dict
    path: pathlib.Path
    writes: bool
    _since: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def due(self):
        """Whether it is long ago that the step began or was saved."""
        return time.monotonic() - self._since > SECONDS_BETWEEN_SAVES

    def load(self):
        """The arrays that were saved last, or None; the same on all workers."""
        arrays = store.load(self.path, self.key)
        workers.agree(self.key, arrays)
        return arrays

    def save(self, arrays):
        """Keep these arrays until the function has ended."""
        if self.writes:
            store.save(self.path, arrays, self.key)
        self._since = time.monotonic()


def part(*content):
    """The next `Part` of the cached function that runs now: it must ask for its parts in one order.

    content: whatever the step depends on that the function's key does not fix by itself, say a theta
      that an earlier step has found.
    """
    if not _calls.get():
        raise RuntimeError("only a function that `cached` runs has parts; none runs.")
    place, call = workplace.current(), _calls.get()[-1]
    key = {**call.key, "part": len(call.parts), "content": [_plain(part, c) for c in content]}
    call.parts.append(Part(key, _path(place, key), place.writes))
    return call.parts[-1]
