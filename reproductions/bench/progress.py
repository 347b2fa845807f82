"""Progress of what takes more than a few seconds."""

import contextlib
import sys

from tqdm import tqdm

_hidden = False
_labels = []


def bar(desc="", **settings):
    """A progress bar; where nobody is watching, a line every half minute instead. `desc` comes after
    what `labelled` says of the work around."""
    interval = 0.2 if sys.stderr.isatty() else 30.0
    how = {"mininterval": interval, "dynamic_ncols": True, "disable": _hidden, **settings}
    return tqdm(desc=label(desc), **how)


def label(words=""):
    """What `labelled` says of the work that is done now, and then these words."""
    return ", ".join(filter(None, [*_labels, words]))


@contextlib.contextmanager
def labelled(words):
    """Bars that are shown inside say of which work they are: "seed 3, d 50"."""
    _labels.append(words)
    try:
        yield
    finally:
        _labels.pop()


def hide():
    """Show no bars from now on, in this process."""
    global _hidden
    _hidden = True
    tqdm.desc = ""  # a hidden bar has none, and who names its work by it must not fail
