"""Arrays on disk that are either whole and ours, or not used.

A file is written under another name, flushed to the disk and renamed, so a kill at any moment
leaves the old file or the new one. It carries the key it was made for: everything its content
depends on. A file of another key, or one that was cut short or altered (`wedges.archive` sees
every bit), is said to be so in one line and not used.
"""

import contextlib
import hashlib
import json
import pathlib

import numpy as np

from reproductions.bench.errors import UsageError, say
from wedges import archive

_KEY = "__key__"


def canonical(key):
    """A key, any nesting of dicts, lists, strings and numbers, as one string."""
    return json.dumps(key, sort_keys=True, default=str)


def digest(key):
    """16 hexadecimal digits that stand for a key."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()[:16]


def fingerprint(*arrays):
    """64 hexadecimal digits that stand for the content, shape and dtype of arrays."""
    h = hashlib.sha256()
    for a in (np.asarray(a, order="C") for a in arrays):
        h.update(f"{a.dtype}{a.shape}".encode())
        h.update(a.data if a.ndim else a.tobytes())
    return h.hexdigest()


@contextlib.contextmanager
def tidy(*folders):
    """Where the block raises, those of these folders and of the ones above them that were not there
    before, and hold nothing now, go again: what is refused leaves no trace."""
    paths = {path for folder in map(pathlib.Path, folders) for path in (folder, *folder.parents)}
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in sorted(new, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()  # only if it is empty
        raise


@contextlib.contextmanager
def _place(path):
    """Folders for a file that is written in the block; UsageError where it cannot be."""
    try:
        with tidy(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; point --out_dir at a folder with room."
        ) from None


def write_bytes(path, write):
    """Call `write(file)` so that `path` is afterwards what it was or complete."""
    path = pathlib.Path(path)
    with _place(path), archive.replacing(path) as file:
        write(file)


def remove(path):
    """Delete the file at `path`, if there is one."""
    pathlib.Path(path).unlink(missing_ok=True)


def write_json(path, value):
    """Write `value` as readable JSON, whole or not at all."""
    text = json.dumps(value, indent=2, allow_nan=True) + "\n"
    write_bytes(path, lambda file: file.write(text.encode()))


def save(path, arrays, key):
    """Write named arrays of numbers for `key`."""
    path = pathlib.Path(path)
    with _place(path):
        archive.write(path, {**arrays, _KEY: np.array(canonical(key))}, text=[_KEY])


def read(path):
    """The key and the arrays of the file at `path`; None, with a line that says why, if it is not whole.

    Returns (key, {name: array}), the key as JSON has it.
    """
    path = pathlib.Path(path)
    try:
        arrays = archive.read(path, text=[_KEY])
        key = archive.parse_json(str(arrays.pop(_KEY)), path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (archive.Damaged, OSError) as error:
        reason = error.why if isinstance(error, archive.Damaged) else error.strerror or error
        say(f"not used: {path} is damaged or not one of ours ({reason}).")
        return None
    return key, arrays


def load(path, key):
    """The arrays saved at `path` for `key`; None, with a line that says why, if there are none."""
    found = read(path)
    if found is None:
        return None
    if canonical(found[0]) != canonical(key):
        say(f"not used: {path} was made for other settings.")
        return None
    return found[1]


def verify(path):
    """Raise `archive.Damaged`, or OSError, unless `path` holds what was saved there for some key."""
    archive.read(path, text=[_KEY])
