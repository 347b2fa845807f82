"""A bar for what may take more than a few seconds, and a line where there is nothing to count."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

_DELAY = 2.0  # seconds before anything is shown
_SILENT: contextvars.ContextVar[bool] = contextvars.ContextVar("silent", default=False)


def bar(**settings: Any) -> tqdm:
    """A bar that shows after two seconds and goes when it is full; nothing where nobody watches."""
    return tqdm(leave=False, delay=_DELAY, disable=_SILENT.get() or None, **settings)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing is shown while it lasts: in one of several processes that have a terminal in common."""
    reset = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(reset)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A line that says what is computed, or compiled, and for how long; shown after two seconds.

    It is for one call that cannot say how far it is. Where nobody watches it costs nothing.
    """
    if _SILENT.get() or not sys.stderr.isatty():
        yield
        return
    with _WATCH.over(what):
        yield


class _Watch:
    """One thread for all calls: it looks twice a second at what is going on, and shows the innermost."""

    def __init__(self) -> None:
        self._going: list[tuple[str, float]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, what: str) -> Iterator[None]:
        entry = what, time.monotonic()
        with self._lock:
            self._going.append(entry)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._going.remove(entry)

    def _look(self) -> None:
        line: tqdm | None = None
        of: tuple[str, float] | None = None
        while True:
            time.sleep(0.5)
            with self._lock:
                entry = self._going[-1] if self._going else None
                if entry is None and line is None:
                    self._thread = None
                    return
            if line is not None and entry is not of:
                line.close()
                line = None
            if entry is not None and time.monotonic() - entry[1] > _DELAY:
                if line is None:
                    line, of = tqdm(desc=entry[0], bar_format="{desc}: {elapsed}", leave=False), entry
                    line.start_t = time.time() - (time.monotonic() - entry[1])
                line.refresh()


_WATCH = _Watch()
