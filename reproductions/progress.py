"""Progress of what takes more than a few seconds."""

import sys

from tqdm import tqdm


def bar(**settings):
    """A progress bar; where nobody is watching, a line every half minute instead."""
    return tqdm(mininterval=0.2 if sys.stderr.isatty() else 30.0, dynamic_ncols=True, **settings)
