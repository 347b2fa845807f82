"""How long a figure has measured in all, also where it was killed and continued.

    with elapsed.counted(directory / "elapsed.json", key) as total:
        measure()
    total()  ->  {"seconds": 1200.5, "parts": 3, "memory_mib": 2100}

While the block runs, a thread writes down every few seconds what there is so far. Of a part that is
killed no more than these few seconds are lost. A run with another key, so other settings, data, code or
software, begins at 0.
"""

import contextlib
import threading
import time

from reproductions.bench import provenance, store
from reproductions.bench.errors import UsageError
from wedges import archive

EVERY = 10.0  # seconds between two times that it is written down
_LAYOUT = {"key": str, "seconds": float, "parts": int, "memory_mib": float}


@contextlib.contextmanager
def counted(path, key, keeps=True):
    """Count what the block takes. Yields a function of what it and earlier parts of the run took.

    Args:
      path: where it is written down. The file goes when the block ends, and where it raises an error, if
        no earlier part had made it: what is refused leaves no trace. An interrupt leaves it.
      key: what tells one run from another; JSON.
      keeps: whether this process writes files.
    """
    key, started = store.digest(key), time.monotonic()
    before = _before(path, key)

    def total():
        memory = max(before["memory_mib"], provenance.memory().get("memory_mib", 0))
        return {
            "seconds": round(before["seconds"] + time.monotonic() - started, 1),
            "parts": before["parts"] + 1,
            "memory_mib": memory,
        }

    if not keeps:
        yield total
        return
    try:
        with _again_and_again(lambda: store.write_json(path, {**total(), "key": key})):
            yield total
    except Exception:
        if not before["parts"]:
            _remove(path)
        raise
    _remove(path)


@contextlib.contextmanager
def _again_and_again(write):
    """Call `write` every few seconds while the block runs."""
    ended = threading.Event()

    def run():
        while not ended.wait(EVERY):
            # A full disk ends the run elsewhere, in words.
            with contextlib.suppress(OSError, UsageError):
                write()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _remove(path):
    with contextlib.suppress(OSError):  # where it could not be written, there is none
        store.remove(path)


def _before(path, key):
    """What earlier parts of the same run wrote down."""
    with contextlib.suppress(OSError, archive.Damaged):
        found = archive.read_json(path, _LAYOUT)
        if found["key"] == key:
            return found
    return {"seconds": 0.0, "parts": 0, "memory_mib": 0}
