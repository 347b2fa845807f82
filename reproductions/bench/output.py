"""What cannot be written to: standard output, of which nobody reads the pipe any more; a full disk."""

import contextlib
import errno
import os
import sys

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL = (*_NO_ROOM, errno.EIO)


def is_full(error):
    """Whether `error` came of printing: what is written to a file of ours names that file."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _FULL


def elsewhere(error):
    """What would do where a file or a folder cannot be written to: room, or the right to."""
    of_room = isinstance(error, OSError) and error.errno in _NO_ROOM
    return "a folder with room" if of_room else "a folder that can be written to"


def told(error):
    """A UsageError's line. Whatever keeps a file from being written, `store` and `sweep` ask for room;
    they are in the mark of measured code, so what would do is said here."""
    line = str(error)
    of_room = any(os.strerror(number) in line for number in _NO_ROOM)
    return line if of_room else line.replace("a folder with room", elsewhere(error))


@contextlib.contextmanager
def unheard():
    """Within it nothing fails because standard error takes no more: what it says of a run is for a
    person, and the results do not depend on whether there is one."""
    if sys.stderr is None:  # closed from the start: what is opened next would get its number, and logs
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.set_inheritable(nowhere, True)
        sys.stderr = os.fdopen(nowhere, "w")
    stream = sys.stderr
    sys.stderr = mine = _Unheard(stream)
    try:
        yield
    finally:
        if sys.stderr is mine:
            sys.stderr = stream


class _Unheard:
    """A stream that writes, until it cannot; from then on to nowhere."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with self._or_nowhere():
            self._stream.write(text)
        return len(text)

    def flush(self):
        with self._or_nowhere():
            self._stream.flush()

    @contextlib.contextmanager
    def _or_nowhere(self):
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


def give_up():
    """Print nothing more, so that Python's own flush at the end does not fail once more."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
