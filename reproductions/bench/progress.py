"""Progress of what takes more than a few seconds."""

import sys

from tqdm import tqdm

_hidden = False


def bar(**settings):
    """A progress bar; where nobody is watching, a line every half minute instead."""
    interval = 0.2 if sys.stderr.isatty() else 30.0
    return tqdm(**{"mininterval": interval, "dynamic_ncols": True, "disable": _hidden, **settings})


def hide():
    """Show no bars from now on, in this process."""
    global _hidden
    _hidden = True
