"""Before a program's own imports: is what figures need installed, and is there a program of this name?

`python -m reproductions.fig6_swa` imports the package `reproductions` before it looks for the program.
So what would else end in Python's own words, or in a traceback, is said here in one line.
"""

import importlib.util
import pathlib
import sys

from reproductions.bench import catalogue
from reproductions.bench.errors import UsageError, say

# What the extra brings, by the names under which it is imported; but mnist1d, which one data set needs,
# and which has a line of its own.
NEEDS = (
    "absl",
    "filelock",
    "importlib_resources",
    "markdown_it",
    "markupsafe",
    "PIL",
    "skimage",
    "sklearn",
    "tensorflow_datasets",
    "threadpoolctl",
)


def ready():
    """True where the program that is started can run. Where there is none of its name, or the extra is
    missing, a command ends with a line and status 2, and `import reproductions` raises ImportError."""
    program = _started()
    try:
        if program and importlib.util.find_spec(f"{_PACKAGE}.{program}") is None:
            catalogue.require(program)
        missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(
                f"{program or 'a figure'} needs the extra `reproductions`: pip install -e "
                f"'.[reproductions]' (missing: {', '.join(missing)})"
            )
    except UsageError as error:
        if program is None:
            raise ImportError(str(error)) from None
        say(f"reproductions: {error}")
        sys.exit(2)
    return True


def _started():
    """fig6_swa of `python -m reproductions.fig6_swa` and of `python reproductions/fig6_swa.py`, "" of
    `python -m reproductions`; None where this process is another program."""
    given = sys.argv[0] if sys.argv else ""
    if given == "-m":  # what stands there while Python looks for the module that it is to run
        words = sys.orig_argv
        asked = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
        package, _, name = asked.partition(".")
        return name.partition(".")[0] if package == _PACKAGE else None
    path = pathlib.Path(given)
    return path.stem if path.suffix == ".py" and path.parent.resolve() == _FOLDER else None


_FOLDER = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = _FOLDER.name
