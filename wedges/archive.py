"""Named arrays, and JSON, on disk: either whole and as they were written, or refused in one line.

    archive.write("x.npz", {"theta": theta, "about": "two words"}, text=["about"])
    archive.read("x.npz", text=["about"])       {"theta": ..., "about": ...}; `np.load` reads it, too

The file is a zip of uncompressed .npy members, as `np.savez` writes it, and ends with the SHA-256 of
all that stands before. A file that was cut short, or has one bit other than it was written with, is
refused before anything in it is acted on. What no accident makes but somebody can forge is refused
where it is read: sizes are compared with those that are there before memory is taken for them, and
nothing in a file is ever evaluated or unpickled.

NumPy alone is needed, no TensorFlow.
"""

import contextlib
import glob
import hashlib
import json
import math
import os
import pathlib
import platform
import re
import reprlib
import struct
import uuid
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

import numpy as np

from wedges import _checks

_DIGITS = 64  # of SHA-256 in hexadecimal, which are the zip's comment
_END = 22  # bytes of the zip's last record before its comment: its mark first, the comment's size last
# What is kept besides text: booleans and numbers whose layout is the same on every machine.
_NUMBERS = frozenset(
    ["b1", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)), "f2", "f4", "f8", "c8", "c16"]
)
# The header of a .npy file, version 1.0, as numpy writes it for these.
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([<>|])([biufcU])([1-9]\d{0,8})', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,18},|\d{1,18}(?:, \d{1,18}){1,63})?\), \} *\n"
)
# What zipfile raises on a zip that was made by hand; of the kinds of ValueError, any.
_NOT_A_ZIP = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
_LONGEST = 300  # digits of a whole number in JSON: all of them are finite as floats


class Damaged(ValueError):
    """A file is not as it was written, or not of the kind that was asked for.

    Attributes:
      path: the file.
      why: what is wrong with it, in words that go on from its name: "is not JSON".
    """

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = pathlib.Path(path), " ".join(why.splitlines())

    def __str__(self) -> str:
        return " ".join(f"{self.path} {self.why}".splitlines())


class _Wrong(Exception):
    """What is wrong, where it is found; `Damaged` adds the file."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new binary file, which takes the place of `path` once the block has ended well.

    All of it is on the disk by then. However the block ends, no other file stays; what a process of
    this machine left here when it was killed while it wrote the same file goes as well.

    Raises OSError where that cannot be written.
    """
    _checks.a_path(path)
    path = pathlib.Path(path)
    mine = f".{path.name}.{_MACHINE}-"
    temporary = path.with_name(f"{mine}{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            for left in path.parent.glob(f"{glob.escape(mine)}*.tmp"):
                if not _running(left.name.removeprefix(mine).partition("-")[0]):
                    left.unlink(missing_ok=True)


def clear(folder: str | os.PathLike[str]) -> None:
    """Delete the parts of files that processes of this machine left below `folder` when they were ended.

    What a process that runs is writing stays, and so does what another machine left.
    """
    _checks.a_path(folder, "folder")
    ours = re.compile(rf"\..+\.{_MACHINE}-(\d+)-[0-9a-f]{{8}}\.tmp")
    for path in pathlib.Path(folder).rglob(".*.tmp"):
        found = ours.fullmatch(path.name)
        if found and not _running(found[1]):
            with contextlib.suppress(OSError):
                path.unlink()


# Machines that share a folder have processes of the same numbers.
_MACHINE = hashlib.sha256(f"{platform.node()} {uuid.getnode()}".encode()).hexdigest()[:8]


def _running(process):
    """Whether a process of this number, in decimal digits, may be running on this machine."""
    if os.name != "posix":
        return True  # elsewhere, asking would end it
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # another user's, or no number of a process
        return True
    return True


# ---- arrays -----------------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], *, text: Collection[str] = ()
) -> None:
    """Write named arrays to one .npz file, whole or not at all. Equal arrays make equal bytes.

    Args:
      arrays: {name: array} of booleans or numbers, of any shape and memory order.
      text: the names of those that are text instead.

    Raises:
      ValueError: an array of another kind, or a name that a zip cannot keep.
      OSError: the file cannot be written; what was at `path` stays.
    """
    if not isinstance(arrays, Mapping):
        raise ValueError(f"arrays must be {{name: array}}; received {_checks.called(arrays)}.")
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    for name, array in arrays.items():
        _check_writable(name, array, name in text)
    if missing := sorted(set(text) - arrays.keys()):
        raise ValueError(f"text must name some of the arrays; received {missing[0]!r}.")
    with replacing(path) as file:
        with zipfile.ZipFile(file, "w") as zipped:
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
                with zipped.open(member, "w", force_zip64=array.nbytes >= 2**30) as opened:
                    np.lib.format.write_array(opened, array, version=(1, 0), allow_pickle=False)
            zipped.comment = b"0" * _DIGITS
        size = file.seek(0, os.SEEK_END)
        digest = _digest(file, size - _DIGITS)
        file.seek(size - _DIGITS)
        file.write(digest)


def read(path: str | os.PathLike[str], *, text: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays that `write` wrote, with the same names, dtypes, shapes and memory orders.

    Args:
      text: the names of those that are text. They must be there, and no other may be text.

    Raises:
      Damaged: the file is not one that `write` wrote with these names as text, bit for bit.
      OSError: it cannot be opened or read; FileNotFoundError where there is none.
    """
    _checks.a_path(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            _check_digest(file, size)
            return _arrays(file, size, frozenset(text))
        except _Wrong as error:
            raise Damaged(path, str(error)) from None


def _check_writable(name: str, array: np.ndarray, text: bool) -> None:
    if not isinstance(name, str) or "\0" in name or len(name.encode(errors="replace")) > 2**15:
        raise ValueError(f"names must be text without a zero character; received {reprlib.repr(name)}.")
    wanted = "text" if text else "booleans or numbers"
    if not (array.dtype.kind == "U" if text else array.dtype.str[1:] in _NUMBERS):
        raise ValueError(f"{name} must be {wanted}; received an array of dtype {array.dtype}.")
    try:
        name.encode()
        if text:
            "".join(array.ravel().tolist()).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{ascii(name)[:80]} must be Unicode text: {error.reason}.") from None


def _digest(file: IO[bytes], size: int) -> bytes:
    """The SHA-256 of the first `size` bytes, as hexadecimal digits."""
    file.seek(0)
    found = hashlib.sha256()
    while size > 0 and (part := file.read(min(size, 2**20))):
        found.update(part)
        size -= len(part)
    return found.hexdigest().encode()


def _check_digest(file: IO[bytes], size: int) -> None:
    if size < _END + _DIGITS:
        raise _Wrong("is too short for an archive of arrays")
    file.seek(size - _DIGITS - _END)
    end = file.read(_END + _DIGITS)
    if end[:4] != b"PK\5\6" or end[_END - 2 : _END] != _DIGITS.to_bytes(2, "little"):
        raise _Wrong("does not end as an archive of arrays")
    if _digest(file, size - _DIGITS) != end[_END:]:
        raise _Wrong("is not as it was written, by its SHA-256")


def _arrays(file: IO[bytes], size: int, text: frozenset[str]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(file) as zipped:
            members = zipped.infolist()
            _check_members(members, size)
            for member in members:
                with zipped.open(member) as opened:
                    data = opened.read()  # whole, so its CRC has been compared
                name = member.filename.removesuffix(".npy")
                arrays[name] = _array(name, data, name in text)
    except _NOT_A_ZIP as error:
        raise _Wrong(f"is not a zip of arrays ({type(error).__name__})") from None
    if missing := sorted(text - arrays.keys()):
        raise _Wrong(f"lacks {missing[0]}")
    return arrays


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Nothing is larger than the file says it is, nor all together than the file is."""
    for member in members:
        name = reprlib.repr(member.filename)
        if member.orig_filename != member.filename or not member.filename.endswith(".npy"):
            raise _Wrong(f"holds {name}, which is no array's name")
        # Of the flags only the one of a name in UTF-8.
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x800:
            raise _Wrong(f"holds {name} compressed or encrypted")
        if member.file_size != member.compress_size or member.header_offset < 0:
            raise _Wrong(f"declares {name} of two sizes, or before the file")
    if len({member.filename for member in members}) < len(members):
        raise _Wrong("holds two arrays of one name")
    declared = sum(member.file_size for member in members)
    if declared > size:
        raise _Wrong(f"declares {declared} bytes of arrays, and is of {size}")


def _array(name: str, data: bytes, text: bool) -> np.ndarray:
    """The array of a .npy file's bytes."""
    start = len(_MAGIC) + 2
    start += int.from_bytes(data[len(_MAGIC) : start], "little")
    header = _HEADER.fullmatch(data[len(_MAGIC) + 2 : start])
    if data[: len(_MAGIC)] != _MAGIC or header is None or start > len(data):
        raise _Wrong(f"holds {reprlib.repr(name)} that is no plain array")
    order, kind, width, fortran, dimensions = (part.decode() for part in header.groups(b""))
    if (kind == "U") != text or (not text and kind + width not in _NUMBERS):
        wanted = "text" if text else "booleans or numbers"
        raise _Wrong(f"holds {reprlib.repr(name)} of dtype {kind}{width}, not {wanted}")
    shape = tuple(int(n) for n in dimensions.rstrip(",").split(", ") if n)
    count = math.prod(shape) * int(width) * (4 if text else 1)  # of a character, 4 bytes
    if count != len(data) - start:
        many = count if count < 2**63 else "more than 2^63"
        raise _Wrong(f"declares {many} bytes of {reprlib.repr(name)}, and holds {len(data) - start}")
    try:
        dtype = np.dtype(order + kind + width)
        array = np.ndarray(shape, dtype, data, start, order="F" if fortran == "True" else "C").copy("K")
        if text:
            data[start:].decode("utf-32-be" if order == ">" else "utf-32-le")
    except (TypeError, ValueError, OverflowError):
        raise _Wrong(f"holds {reprlib.repr(name)} of a dtype or shape that cannot be") from None
    if dtype.str != order + kind + width or (kind == "b" and array.view(np.uint8).max(initial=0) > 1):
        raise _Wrong(f"holds {reprlib.repr(name)} that is not of its dtype")
    return array


# ---- JSON -------------------------------------------------------------------------------------------


def read_json(path: str | os.PathLike[str], wanted: Any = dict, *, limit: int = 2**24) -> Any:
    """The JSON value in a file, if it has the shape that is wanted.

    NaN and Infinity are read, as Python writes them; a number too large for a float is not.

    Args:
      wanted: what the value must be:
        str, bool, int, float     of that type; float stands for any number, int for a whole one
        None                      null
        range(1, 10)              a whole number in it
        dict, list                any object, any list
        {"name": wanted, ...}     an object that has these, and perhaps others; "name?" may be missing
        {str: wanted}             an object, each of its values as wanted
        [wanted]                  a list, likewise
        (wanted, wanted, ...)     one of these
      limit: bytes; a larger file is not read.

    Raises:
      Damaged: it is not JSON, or not as wanted; says which field is not, and what it has.
      OSError: it cannot be opened or read; FileNotFoundError where there is none.
    """
    _checks.a_path(path)
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Damaged(path, f"is larger than {limit} bytes")
    return parse_json(content, path, wanted)


def parse_json(content: str | bytes, path: str | os.PathLike[str], wanted: Any = dict) -> Any:
    """`read_json` of what has been read from `path` already."""
    if not isinstance(content, (str, bytes)):
        raise ValueError(f"content must be text or bytes; received {_checks.called(content)}.")
    try:
        if isinstance(content, bytes):
            content = content.decode()
        value = json.loads(content, parse_int=_whole, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()  # halves of a character can stand in "\ud800"
        _check_json(value, wanted, "")
    except _Wrong as error:
        raise Damaged(path, str(error)) from None
    except (ValueError, RecursionError):
        raise Damaged(path, "is not JSON") from None
    return value


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST:
        raise _Wrong(f"has a number of {len(digits.lstrip('-'))} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Wrong(f"has the number {digits[:40]}, which is too large")
    return value


def _check_json(value: Any, wanted: Any, at: str) -> None:
    if not _is(value, wanted):
        where = f"has {_shown(value)} at {at}" if at else f"holds {_shown(value)}"
        raise _Wrong(f"{where}, not {_words(wanted)}")
    if isinstance(wanted, tuple):
        wanted = next(w for w in wanted if _is(value, w))
    if isinstance(wanted, dict):
        inside = f"{at}." if at else ""
        for name, inner in value.items() if str in wanted else ():
            _check_json(inner, wanted[str], f"{inside}{name[:40]}")
        for field, inner in wanted.items() if str not in wanted else ():
            name = field.removesuffix("?")
            if name in value:
                _check_json(value[name], inner, f"{inside}{name}")
            elif name == field:
                raise _Wrong(f"lacks {inside}{name}")
    elif isinstance(wanted, list):
        for i, item in enumerate(value):
            _check_json(item, wanted[0], f"{at}[{i}]")


def _is(value: Any, wanted: Any) -> bool:
    """Whether a value is of the kind, its own parts aside."""
    if isinstance(wanted, tuple):
        return any(_is(value, w) for w in wanted)
    if wanted is None or isinstance(value, bool):
        return value is None if wanted is None else wanted is bool
    if isinstance(wanted, range):
        return isinstance(value, int) and value in wanted
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, wanted if isinstance(wanted, type) else type(wanted))


def _words(wanted: Any) -> str:
    if isinstance(wanted, tuple):
        return " or ".join(map(_words, wanted))
    if isinstance(wanted, range):
        return f"a whole number from {wanted[0]} to {wanted[-1]}"
    if wanted is None:
        return "null"
    kind = wanted if isinstance(wanted, type) else type(wanted)
    return {
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        dict: "an object",
        list: "a list",
    }[kind]


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return _words(type(value))
    return reprlib.repr(value) if isinstance(value, str) else json.dumps(value)[:40]
