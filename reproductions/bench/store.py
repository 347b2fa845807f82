"""Arrays on disk that are either whole and ours, or not used.

A file is written under another name, flushed to the disk and renamed, so a kill at any moment
leaves the old file or the new one. It carries the key it was made for: everything its content
depends on. A file of another key, or one that was cut short or altered (every array has a CRC),
is said to be so in one line and not used. Nothing loaded can execute code: arrays only, no pickle.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import uuid
import zipfile
import zlib

import numpy as np

from reproductions.bench.errors import UsageError, say

_KEY = "__key__"
# Whether this process writes at all: of several workers of one run only the first does.
writing = True
# What numpy and zipfile raise on a file with any of its bits flipped, or cut anywhere, or of another
# kind: zip flags that were hit read as "encrypted" (RuntimeError) or as an unknown compression.
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)


def canonical(key):
    """A key, any nesting of dicts, lists, strings and numbers, as one string."""
    return json.dumps(key, sort_keys=True, default=str)


def digest(key):
    """16 hexadecimal digits that stand for a key."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()[:16]


def fingerprint(*arrays):
    """64 hexadecimal digits that stand for the content, shape and dtype of arrays."""
    h = hashlib.sha256()
    for a in map(np.ascontiguousarray, arrays):
        h.update(f"{a.dtype}{a.shape}".encode())
        h.update(a.data)
    return h.hexdigest()


def source_mark(*patterns):
    """16 hexadecimal digits that stand for this project's source files, e.g. of "wedges/*.py"."""
    root = pathlib.Path(__file__).parents[2]
    files = sorted({path for pattern in patterns for path in root.glob(pattern)})
    return digest({str(path.relative_to(root)): path.read_text() for path in files})


def write_bytes(path, write):
    """Call `write(file)` so that `path` is afterwards what it was or complete; not where `writing` is
    off."""
    if not writing:
        return
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; point --out_dir at a folder with room."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove(path):
    """Delete the file at `path`, if there is one; not where `writing` is off."""
    if writing:
        pathlib.Path(path).unlink(missing_ok=True)


def write_json(path, value):
    """Write `value` as readable JSON, whole or not at all."""
    text = json.dumps(value, indent=2, allow_nan=True) + "\n"
    write_bytes(path, lambda file: file.write(text.encode()))


def save(path, arrays, key):
    """Write named arrays for `key`."""
    arrays = {**arrays, _KEY: np.array(canonical(key))}
    write_bytes(path, lambda file: np.savez(file, **arrays))


def load(path, key):
    """The arrays saved at `path` for `key`; None, with a line that says why, if there are none."""
    path = pathlib.Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = str(arrays.pop(_KEY))
    except FileNotFoundError:
        return None
    except _DAMAGED as error:
        say(f"not used: {path} is damaged or not one of ours ({type(error).__name__}).")
        return None
    if found != canonical(key):
        say(f"not used: {path} was made for other settings.")
        return None
    return arrays


def cached(path, key, compute):
    """`compute()`'s arrays, from `path` where they were saved for `key` before."""
    arrays = load(path, key)
    if arrays is None:
        arrays = compute()
        save(path, arrays, key)
    return arrays
