"""Where the work of a run is done: folders, processes, devices, and the software that does it.

A figure's `measure` and whatever it calls find the workplace of their process by `current()`. Nothing of
it may decide a number by itself: what does (the software, threads, devices) is in `software`, and so in
the key of everything that is kept.
"""

import contextlib
import contextvars
import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Workplace:
    """Where a run keeps its work and does it.

    Attributes:
      checkpoints: folder of everything that is kept between runs.
      data_dir: folder of prepared data sets, or None for the usual one.
      software: what can change the bits of a result besides our own code and its settings.
      jobs, backend, address: how many processes, of which kind, where; see `parallel`.
      strategy, tpu: which devices train; see `devices`.
      writes: whether this process keeps results: of several workers of one run only the first does.
    """

    checkpoints: pathlib.Path
    data_dir: str | None = None
    software: dict = dataclasses.field(default_factory=dict)
    jobs: int = 1
    backend: str = "local"
    address: str | None = None
    strategy: str = "default"
    tpu: str | None = None
    writes: bool = True


_current = contextvars.ContextVar("workplace", default=None)


def current():
    """The workplace of this process, or thread."""
    if _current.get() is None:
        raise RuntimeError("there is no workplace: measure inside `with workplace.at(place):`.")
    return _current.get()


@contextlib.contextmanager
def at(place):
    """`current()` is `place` inside."""
    token = _current.set(place)
    try:
        yield place
    finally:
        _current.reset(token)
