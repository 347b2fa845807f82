"""One function of many points, in as many processes as `joblib` is told to use.

joblib starts the processes, here or on a cluster (`joblib.parallel_config`), and hands out the chunks.
What is added: the landscape goes to each process once and stays there, so that its graphs are traced
once a process; and TensorFlow starts there with as many threads as joblib leaves it.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import multiprocessing
import os
import pickle
import sys
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cloudpickle
import joblib
import numpy as np

from wedges import _checks
from wedges._progress import silent
from wedges._quiet import held_back

_CHUNKS = 4  # for each process at least, where there are points enough: none waits for the last one long
_KEPT_OBJECTS = 2  # e.g. a landscape of training examples and one of test examples

_Self = TypeVar("_Self", bound="Workers")
_lock = threading.RLock()
_work: dict[str, tuple] = {}  # in a worker: the last (function, work) that came, by its token
_objects: OrderedDict[str, Any] = OrderedDict()  # in a worker: see `once`
_working: contextvars.ContextVar[bool] = contextvars.ContextVar("working", default=False)


class Workers:
    """function(work, chunk) for many chunks: here where one process is asked for, else in several.

    With one process nothing is pickled. Enter it as a context.

    Args:
      function: picklable, of (work, chunk).
      work: what every chunk needs, e.g. a landscape and directions.
      jobs: how many processes; -1 is one for each core; None follows `joblib.parallel_config`, and is
        one without it.

    Attributes:
      jobs: how many there are.

    Raises:
      ValueError: jobs that are no number of processes; on entering, work that cannot be pickled, or
        processes that are forks.
    """

    def __init__(self, function: Callable[[Any, Any], Any], work: Any, jobs: int | None) -> None:
        self._function, self._given = function, work
        self.jobs = joblib.effective_n_jobs(_checks.jobs(jobs))
        self._stack = contextlib.ExitStack()

    def __enter__(self: _Self) -> _Self:
        if self.jobs == 1:
            return self
        backend, _ = joblib.parallel.get_active_backend()
        if getattr(backend, "supports_sharedmem", False):  # threads of this process
            self._task = joblib.delayed(self._function)
            self._sent: tuple = (self._given,)
            self._buffers: list[np.ndarray] = []
        else:
            _refuse_forks(backend)
            data, self._buffers = packed((self._function, self._given))
            self._task = joblib.delayed(_in_worker)
            self._sent = (uuid.uuid4().hex, _threads(), data)
        self._stack.enter_context(warnings.catch_warnings())
        # joblib replaces a worker that has grown large; nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        live = getattr(backend, "supports_return_generator", False)
        how = "generator" if live else "list"
        parallel = joblib.Parallel(n_jobs=self.jobs, return_as=how, batch_size=1)
        self._parallel = self._stack.enter_context(parallel)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def rows(self, count: int, most: int) -> int:
        """How many of `count` points to put into a chunk, at most `most`."""
        return most if self.jobs == 1 else max(1, min(most, -(-count // (_CHUNKS * self.jobs))))

    def over(self, chunks: Iterable[Any]) -> Iterator[Any]:
        """function(work, chunk) for each of the chunks, in their order."""
        if self.jobs == 1:
            return (self._function(self._given, chunk) for chunk in chunks)
        return iter(self._parallel(self._task(*self._sent, chunk, *self._buffers) for chunk in chunks))


def _refuse_forks(backend):
    if type(backend) is not joblib.parallel.BACKENDS.get("multiprocessing"):
        return
    if (os.environ.get("JOBLIB_START_METHOD") or multiprocessing.get_start_method()) == "fork":
        raise ValueError(
            "joblib's backend must be one whose processes start afresh, such as 'loky', 'dask' or "
            "'ray', since TensorFlow stands still in a fork; received 'multiprocessing'."
        )


def packed(value: Any, pickler: type = cloudpickle.Pickler) -> tuple[bytes, list[np.ndarray]]:
    """A pickle, and the large arrays in it, which are not copied.

    Raises:
      ValueError: something that cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    try:
        pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    except ValueError:
        raise
    except Exception as error:  # whatever an object of the user's raises
        why = " ".join(str(error).split())
        raise ValueError(
            f"landscape must be one that pickles to go to other processes; received what does not: {why}"
        ) from error
    return file.getvalue(), [np.asarray(b.raw()) for b in buffers]


def unpacked(data: bytes, buffers: Iterable[np.ndarray]) -> Any:
    """What `packed` was given."""
    return pickle.loads(data, buffers=buffers)


def once(token: str, make: Callable[[], Any]) -> Any:
    """make(); in a worker what it has made of this token before, if that is not long ago."""
    if not _working.get():
        return make()
    if token not in _objects:
        _objects[token] = make()
    _objects.move_to_end(token)
    while len(_objects) > _KEPT_OBJECTS:
        _objects.popitem(last=False)
    return _objects[token]


def in_worker() -> bool:
    """Whether this is asked while a worker receives its work."""
    return _working.get()


# ---- in a worker ------------------------------------------------------------------------------------


def _in_worker(token, threads, data, chunk, *buffers):
    with silent():
        function, work = _received(token, threads, data, buffers)
        return function(work, chunk)


def _received(token, threads, data, buffers):
    """The function and the work, unpickled where they are not those of the chunk before."""
    with _lock:
        if token not in _work:
            _work.clear()
            _start_tensorflow(*threads)
            reset = _working.set(True)
            try:
                _work[token] = unpacked(data, buffers)
            finally:
                _working.reset(reset)
        return _work[token]


def _threads():
    """What TensorFlow was told here: {variable of the environment: threads}, and determinism."""
    tf = sys.modules.get("tensorflow")
    told = {}
    for kind in ("intra", "inter"):
        name = f"TF_NUM_{kind.upper()}OP_THREADS"
        number = getattr(tf.config.threading, f"get_{kind}_op_parallelism_threads")() if tf else 0
        if number or name in os.environ:
            told[name] = str(number or os.environ[name])
    if not tf:
        return told, False
    from wedges._tensorflow import deterministic  # which imports TensorFlow

    return told, deterministic()


def _start_tensorflow(told, deterministic):
    """Import TensorFlow with its share of the cores, and without its notices; make it as ours is.

    joblib, Dask and Ray leave each worker a number of threads, by a variable that TensorFlow does not
    read. It reads its own once, as it starts.
    """
    if "tensorflow" not in sys.modules:
        _import_tensorflow(told)
    from wedges._tensorflow import set_deterministic

    set_deterministic(deterministic)


def _import_tensorflow(told):
    share = os.environ.get("OMP_NUM_THREADS")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        if name in told or share:
            os.environ[name] = told.get(name, share)
    with held_back():
        import tensorflow as tf

        tf.constant(0)  # the first operation opens the devices
