"""Standard output that cannot be written to: nobody reads the pipe any more, or the disk is full."""

import contextlib
import errno
import os
import sys

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def is_full(error):
    """Whether `error` came of printing: what is written to a file of ours names that file."""
    return isinstance(error, OSError) and error.filename is None and error.errno in _FULL


def give_up():
    """Print nothing more, so that Python's own flush at the end does not fail once more."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
