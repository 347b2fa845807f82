"""A figure's process that is started while the one before it still runs.

It imports what takes seconds, and waits until it is told to go on; so a series of short figures does not
spend a third of its time on imports, one after the other.
"""

import os
import sys

from reproductions.bench import quiet

GO = "WEDGES_GO"  # in the environment: the number of the pipe that it is told through


def wait():
    """Where this process was started ahead: import TensorFlow, and return once it is told to go on. It
    ends where whoever started it has gone. Elsewhere this does nothing."""
    given = os.environ.pop(GO, None)
    if given is None:
        return
    with quiet.stderr():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401  (its devices are opened later, as --strategy says)
    with os.fdopen(int(given), "rb") as told:
        if not told.read(1):
            sys.exit(130)
