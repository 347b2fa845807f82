"""Files that are whole, or refused: round trips, damage of every kind, and files forged by hand."""

import hashlib
import io
import itertools
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wedges import archive
from wedges.archive import Damaged

ROOT = pathlib.Path(__file__).parents[2]
DTYPES = ["?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">f4", ">i8"]
DTYPES += ["<c8", "<c16"]
ARRAYS = {
    "theta": np.linspace(-1, 1, 100, dtype=np.float32),
    "counts": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "a name/with é": np.array(True),
    "none": np.zeros((0, 3), np.float16),
    "about": np.array("two wörds"),
}


@pytest.fixture
def path(tmp_path):
    """A file with ARRAYS."""
    archive.write(tmp_path / "x.npz", ARRAYS, text=["about"])
    return tmp_path / "x.npz"


def same(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def refused(path, words=None, text=("about",)):
    """Refused in one line that names the file."""
    with pytest.raises(Damaged, match=words) as error:
        archive.read(path, text=text)
    line = str(error.value)
    assert line == f"{path} {error.value.why}" and len(line.splitlines()) == 1


# ---- there and back ---------------------------------------------------------------------------------


def numbers():
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    views = st.sampled_from(
        [lambda a: a, np.asfortranarray, np.transpose, lambda a: a[..., ::-1] if a.ndim else a]
        + [lambda a: a[::2] if a.ndim else a, lambda a: np.broadcast_to(a, (2, *a.shape))]
    )
    return st.builds(lambda view, array: view(array), views, hnp.arrays(st.sampled_from(DTYPES), shapes))


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@settings(max_examples=150, deadline=None)
@given(arrays=st.dictionaries(st.text(LETTERS, max_size=8), numbers(), max_size=4))
def test_any_numbers_come_back_bit_for_bit_and_numpy_reads_them_too(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "x.npz"
    archive.write(path, arrays)
    found = archive.read(path)
    same(found, arrays)
    with np.load(path, allow_pickle=False) as held:
        for name, array in found.items():
            own = held[name]
            assert own.tobytes() == array.tobytes() and own.dtype == array.dtype
            assert own.flags.f_contiguous == array.flags.f_contiguous
            assert own.flags.c_contiguous == array.flags.c_contiguous
            assert array.flags.writeable and array.flags.owndata
    assert [p.name for p in path.parent.iterdir()] == ["x.npz"]


@settings(max_examples=50, deadline=None)
@given(
    words=hnp.arrays(
        "U5", hnp.array_shapes(max_dims=2, max_side=3), elements=st.text(LETTERS, max_size=5)
    )
)
def test_any_text_comes_back(words, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "x.npz"
    archive.write(path, {"a": words, "b": np.ones(2)}, text=["a"])
    found = archive.read(path, text=["a"])
    assert found["a"].tolist() == words.tolist() and found["a"].dtype == words.dtype


def test_equal_arrays_make_equal_bytes_and_order_is_kept(path, tmp_path):
    archive.write(tmp_path / "again.npz", ARRAYS, text=["about"])
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    same(archive.read(path, text=["about"]), ARRAYS)


def test_it_ends_with_the_sha_256_of_what_stands_before(path):
    content = path.read_bytes()
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()
    with zipfile.ZipFile(path) as zipped:
        assert zipped.testzip() is None and zipped.comment == content[-64:]


def test_lists_numbers_and_tensors_are_arrays(tmp_path):
    import tensorflow as tf

    archive.write(tmp_path / "x.npz", {"a": [1, 2], "b": 0.5, "c": tf.ones([2, 2])})
    found = archive.read(tmp_path / "x.npz")
    assert found["a"].tolist() == [1, 2] and found["b"] == 0.5 and found["c"].shape == (2, 2)


def test_it_needs_numpy_alone():
    code = "import sys; from wedges import archive; print(sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert "'numpy'" in run.stdout
    assert not any(
        f"'{m}'" in run.stdout for m in ("tensorflow", "keras", "absl", "matplotlib", "scipy")
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("a", np.array([{}]), "a must be booleans or numbers; received an array of dtype object"),
        ("a", np.array("words"), "a must be booleans or numbers; .* <U5"),
        ("a", np.array(b"words"), "a must be booleans or numbers"),
        ("a", np.zeros(2, "f4,i4"), "a must be booleans or numbers"),
        ("a", np.zeros(2, "V3"), "a must be booleans or numbers"),
        ("a", np.zeros(2, "M8[s]"), "a must be booleans or numbers"),
        ("a", np.zeros(2, np.longdouble), "a must be booleans or numbers"),
        ("about", np.ones(2), "about must be text; received an array of dtype float64"),
        ("about", np.array("\ud800"), "'about' must be Unicode text: surrogates not allowed"),
        ("\ud800", np.ones(2), "must be Unicode text"),
        ("a\0b", np.ones(2), "names must be text without a zero character"),
        ("a" * 40_000, np.ones(2), "names must be text"),
        (3, np.ones(2), "names must be text"),
        ("b", np.ones(2), "text must name some of the arrays; received 'about'"),
    ],
)
def test_what_cannot_be_read_again_is_not_written(name, value, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        archive.write(tmp_path / "x.npz", {name: value}, text=["about"])
    assert list(tmp_path.iterdir()) == []


# ---- damage -----------------------------------------------------------------------------------------


def flips(content, count, seed=0):
    """`count` contents with one bit flipped, in every part of the file: the seed decides which."""
    rng = np.random.default_rng(seed)
    for bit in rng.choice(8 * len(content), count, replace=False):
        at = bit // 8
        yield content[:at] + bytes([content[at] ^ 1 << bit % 8]) + content[at + 1 :]


def test_a_flipped_bit_is_always_seen(path):
    for content in flips(path.read_bytes(), 600):
        path.write_bytes(content)
        refused(path)


def test_a_file_cut_anywhere_or_with_more_at_its_end_is_refused(path):
    content = path.read_bytes()
    marks = [i for i in range(len(content)) if content[i : i + 2] == b"PK"]
    near = {m + d for m in marks for d in (-1, 0, 1, 4, 22, 30, 46)}
    sample = np.random.default_rng(0).integers(0, len(content), 100).tolist()
    for n in sorted({0, 1, len(content) - 1, *sample, *near} & set(range(len(content)))):
        path.write_bytes(content[:n])
        refused(path)
    for more in (b"\0", b"\n", content):
        path.write_bytes(content + more)
        refused(path)
        path.write_bytes(more + content)
        refused(path)


def test_parts_in_another_order_or_under_another_name_are_refused(path):
    content = path.read_bytes()
    for wrong in (
        content.replace(b"theta.npy", b"thetb.npy"),  # in both places where the name stands
        content.replace(b"<f4", b">f4"),
        content[:200] + content[264:328] + content[200:264] + content[328:],
        content[:50] + bytes(64) + content[114:],
    ):
        assert wrong != content
        path.write_bytes(wrong)
        refused(path, "is not as it was written, by its SHA-256")


def of_numpy(path):
    np.savez(path, theta=np.ones(3), about="two words")


def of_numpy_compressed(path):
    np.savez_compressed(path, theta=np.zeros(10**6), about="two words")


def picture(path):
    from PIL import Image

    Image.new("RGB", (300, 200), "teal").save(path, format="png")


@pytest.mark.parametrize(
    "write",
    [
        of_numpy,
        of_numpy_compressed,
        picture,
        lambda p: np.save(p.open("wb"), np.ones(3)),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(pickle.dumps({"theta": np.ones(3)})),
        lambda p: p.write_text("a table, " * 100),
        lambda p: p.write_bytes(bytes(1000)),
    ],
)
def test_a_file_of_something_else_is_refused(write, tmp_path):
    write(tmp_path / "x.npz")
    refused(tmp_path / "x.npz")


def test_what_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.read(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        archive.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        archive.write(tmp_path / "none" / "x.npz", {})


def test_text_must_be_where_it_is_expected_and_nowhere_else(path):
    refused(path, r"holds 'about' of dtype U9, not booleans or numbers", text=())
    refused(path, r"holds 'counts' of dtype i8, not text", text=("about", "counts"))
    refused(path, "lacks key", text=("about", "key"))


# ---- forged: what no accident makes -----------------------------------------------------------------


def sealed(content):
    """The content with the digest that it should end with."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def zipped(*members, method=zipfile.ZIP_STORED):
    """A zip of (name, bytes) with right CRCs and the right digest."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as whole:
        for name, data in members:
            whole.writestr(zipfile.ZipInfo(name), data, method)
        whole.comment = b"0" * 64
    return sealed(file.getvalue())


def npy(header, data=b"", version=b"\1\0"):
    header = header if isinstance(header, bytes) else header.encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


def plain(descr="'<f4'", shape="(3,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def saved(array, **how):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **how)
    return file.getvalue()


def test_the_forger_makes_what_is_read(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(zipped(("a.npy", npy(plain(), np.ones(3, "f").tobytes()))))
    same(archive.read(path), {"a": np.ones(3, np.float32)})


THREE = np.ones(3, "f").tobytes()
TB = 2**40


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy(plain(shape=f"({TB},)", descr="'<f8'"), THREE), f"declares {8 * TB} bytes .* holds 12"),
        (npy(plain(shape=f"({10**17}, {10**17})"), THREE), "declares more than 2.63 bytes of 'a'"),
        (npy(plain(shape=f"({', '.join(['9' * 18] * 60)})"), THREE), "declares more than 2.63 bytes"),
        (npy(plain(shape="(2,)"), THREE), "declares 8 bytes of 'a', and holds 12"),
        (npy(plain(shape="(4,)"), THREE), "declares 16 bytes of 'a', and holds 12"),
        (npy(plain(shape="()"), THREE), "declares 4 bytes"),
        (npy(plain(shape=f"(0, {10**18 - 1}, {10**18 - 1})")), "a dtype or shape that cannot be"),
        (npy(plain(shape=f"({', '.join(['1'] * 65)})"), b"1234"), "no plain array"),
        (npy(plain(shape="(-1, -3)"), THREE), "no plain array"),
        (npy(plain(shape="(True, 3)"), THREE), "no plain array"),
        (npy(plain(shape="(3.0,)"), THREE), "no plain array"),
        (npy(plain(shape="[3]"), THREE), "no plain array"),
        (npy(plain(shape=f"({'9' * 5000},)"), THREE), "no plain array"),
        (npy(plain(shape="(" * 5000), THREE), "no plain array"),
        (npy("{'descr': '<f4', 'fortran_order': False}\n", THREE), "no plain array"),
        (npy("__import__('os').abort()\n", THREE), "no plain array"),
        (npy(b"\xff\xfe\n", THREE), "no plain array"),
        (npy(plain(), THREE, version=b"\2\0"), "no plain array"),
        (npy(plain(), THREE)[:40], "no plain array"),
        (npy(plain(), THREE)[:9], "no plain array"),
        (b"", "no plain array"),
        (npy(plain(descr="'|O'", shape="(1,)"), pickle.dumps({})), "no plain array"),
        (saved(np.array([{}], object)), "no plain array"),
        (saved(np.zeros(2, "f4,i4")), "no plain array"),
        (npy(plain(descr="'|V4'"), THREE), "no plain array"),
        (npy(plain(descr="'<M8[s]'"), THREE), "no plain array"),
        (npy(plain(descr="'|S4'"), THREE), "no plain array"),
        (npy(plain(descr="'<f3'"), b"123456789"), "dtype f3, not booleans or numbers"),
        (npy(plain(descr="'<f16'"), bytes(48)), "dtype f16, not booleans or numbers"),
        (npy(plain(descr="'<U4'"), bytes(48)), "dtype U4, not booleans or numbers"),
        (npy(plain(descr="'<b1'"), b"\0\1\1"), "not of its dtype"),
        (npy(plain(descr="'|b1'"), b"\0\1\2"), "not of its dtype"),
    ],
)
def test_an_array_that_lies_is_refused_before_memory_is_taken(member, words, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(zipped(("a.npy", member)))
    tracemalloc.start()
    try:
        refused(path, words, text=())
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy(plain(descr="'<U1'", shape="()"), b"\0\0\x11\0"), "dtype or shape that cannot be"),
        (npy(plain(descr="'<U1'", shape="()"), b"\0\xd8\0\0"), "dtype or shape that cannot be"),
        (npy(plain(descr="'<U999999999'", shape="(0,)")), "dtype or shape that cannot be"),
        (npy(plain(descr="'<U999999999'", shape="()"), b"1234"), "declares 3999999996 bytes"),
        (npy(plain(descr="'<U0'", shape="()")), "no plain array"),
        (npy(plain(descr="'<f4'"), THREE), "dtype f4, not text"),
    ],
)
def test_text_that_is_none_is_refused(member, words, tmp_path):
    (tmp_path / "x.npz").write_bytes(zipped(("about.npy", member)))
    refused(tmp_path / "x.npz", words)


GOOD = npy(plain(), THREE)


def patched(content, marks, offset, value):
    """The content with `value` at an offset from each of the marks (of zip records)."""
    content = bytearray(content)
    for mark in marks:
        at = content.index(mark) + offset
        content[at : at + len(value)] = value
    return sealed(bytes(content))


LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
HUGE = (10**9).to_bytes(4, "little")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: zipped(("a.npy", saved(np.zeros(10**6))), method=zipfile.ZIP_DEFLATED), "compressed"),
        (lambda: zipped(("a.npy", GOOD), ("a.npy", GOOD)), "two arrays of one name"),
        (lambda: zipped(("a.txt", GOOD)), "'a.txt', which is no array's name"),
        (lambda: zipped(("a.npy/", b"")), "which is no array's name"),
        (lambda: patched(zipped(("a.npy", GOOD)), [LOCAL, CENTRAL], 0, b"PK"), ""),  # as it was
        (
            lambda: patched(patched(zipped(("a.npy", GOOD)), [LOCAL], 6, b"\1"), [CENTRAL], 8, b"\1"),
            "encr",
        ),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 20, 2 * HUGE), "declares 1000000000 bytes"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 24, HUGE), "of two sizes"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 42, HUGE), "not a zip of arrays"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 16, b"\0\0\0\0"), "not a zip.*BadZipFile"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 46, b"b"), "not a zip of arrays"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 46, b"\0"), "which is no array's name"),
        (lambda: patched(zipped(("a.npy", GOOD)), [CENTRAL], 6, b"\xff"), "not a zip of arrays"),
        (lambda: patched(zipped(("a.npy", GOOD)), [END], 12, HUGE), "not a zip of arrays"),
        (lambda: patched(zipped(("a.npy", GOOD)), [END], 16, HUGE), "before the file"),
    ],
)
def test_a_zip_that_lies_is_refused(content, words, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(content())
    if not words:
        same(archive.read(path), {"a": np.ones(3, np.float32)})
        return
    tracemalloc.start()
    try:
        refused(path, words, text=())
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


def test_members_that_overlap_are_refused(tmp_path):
    """Each is within the file; together they are larger than it."""
    path = tmp_path / "x.npz"
    content = zipped(("a.npy", bytes(1000)), ("b.npy", bytes(1000)))
    first = content.index(CENTRAL)
    content = bytearray(content)
    for at in (first, content.index(CENTRAL, first + 1)):
        content[at + 20 : at + 28] = 2 * (1500).to_bytes(4, "little")
    path.write_bytes(sealed(bytes(content)))
    refused(path, "declares 3000 bytes of arrays, and is of", text=())


def test_a_flip_that_somebody_sealed_again_is_never_a_traceback(path):
    content, seen = path.read_bytes(), 0
    for wrong in flips(content[:-64], 1500):
        path.write_bytes(sealed(wrong + bytes(64)))
        try:
            archive.read(path, text=["about"])
        except Damaged:
            seen += 1
    assert seen > 1000


# ---- writing ----------------------------------------------------------------------------------------


class Full(OSError):
    pass


@pytest.mark.parametrize("error", [Full("no space left on device"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("where", ["os.fsync", "os.replace", "numpy.lib.format.write_array"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(error, where, path, monkeypatch):
    before = path.read_bytes()

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(type(error)):
            archive.write(path, {"theta": np.zeros(3)})
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["x.npz"]
    archive.write(path, {"theta": np.zeros(3)})
    same(archive.read(path), {"theta": np.zeros(3)})


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(OSError):
        archive.write(tmp_path / "x.npz", {"theta": np.zeros(3)})
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_the_new_file_is_on_the_disk_before_it_takes_the_place(path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("fsync") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("replace") or replace(a, b))
    archive.write(path, {"theta": np.zeros(3)})
    assert done == ["fsync", "replace"]


def test_the_error_goes_through_processes(tmp_path):
    again = pickle.loads(pickle.dumps(Damaged(tmp_path / "x", "is not JSON")))
    assert str(again) == f"{tmp_path / 'x'} is not JSON" and again.why == "is not JSON"


# ---- JSON -------------------------------------------------------------------------------------------


@pytest.fixture
def put(tmp_path):
    def write(content):
        path = tmp_path / "x.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS), inner, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(st.text(LETTERS), VALUES, max_size=4))
def test_what_python_writes_is_read(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_text(json.dumps(value))
    assert archive.read_json(path) == value


def test_nan_and_infinity_are_read_as_python_writes_them(put):
    found = archive.read_json(put('{"a": NaN, "b": -Infinity}'), {"a": float, "b": float})
    assert np.isnan(found["a"]) and found["b"] == -np.inf


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ('{"a": 1} more', "is not JSON"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b"\xff\xfe{\0}\0", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        ("[" * 10**5, "is not JSON"),
        ('{"a":' * 10**5, "is not JSON"),
        ('{"a": "\\ud800"}', "is not JSON"),
        ('{"\\udfff": 1}', "is not JSON"),
        (b"\x89PNG\r\n\x1a\n", "is not JSON"),
        ("[]", "holds a list, not an object"),
        ('"words"', "holds 'words', not an object"),
        ("null", "holds null, not an object"),
        ("NaN", "holds NaN, not an object"),
        (f'{{"a": {"1" * 400}}}', "has a number of 400 digits"),
        (f'{{"a": -{"1" * 5000}}}', "has a number of 5000 digits"),
        ('{"a": 1e400}', "has the number 1e400, which is too large"),
        ('{"a": "' + "x" * 2**24 + '"}', "is larger than 16777216 bytes"),
    ],
)
def test_json_that_cannot_be_used_is_one_line(content, words, put):
    path = put(content)
    with pytest.raises(Damaged) as error:
        archive.read_json(path)
    assert str(error.value) == f"{path} {words}"


def test_the_largest_numbers_that_are_read_are_floats_too(put):
    found = archive.read_json(put(f'{{"a": {"9" * 300}, "b": 1.7e308, "c": 1e-400}}'))
    assert float(found["a"]) == 1e300 and found["b"] == 1.7e308 and found["c"] == 0


SHAPE = {
    "name": str,
    "n": range(1, 10),
    "size": float,
    "whole": int,
    "spread": (float, None),
    "passed": bool,
    "note?": (str, [str], None),
    "numbers": {str: {"mean": float, "values": [float]}},
    "any": dict,
}
FITS = {
    "name": "x",
    "n": 9,
    "size": 3,
    "whole": -2,
    "spread": None,
    "passed": False,
    "numbers": {"a?": {"mean": 0.5, "values": [1, 2.5]}, "b": {"mean": 1, "values": []}},
    "any": {"more": []},
    "other": 7,
}


def test_what_has_the_shape_is_taken(put):
    for note in ({}, {"note": None}, {"note": "words"}, {"note": ["a", "b"]}):
        assert archive.read_json(put(json.dumps(FITS | note)), SHAPE) == FITS | note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": 3}, "has 3 at name, not text"),
        ({"name": None}, "has null at name, not text"),
        ({"n": 0}, "has 0 at n, not a whole number from 1 to 9"),
        ({"n": 2.0}, "has 2.0 at n, not a whole number from 1 to 9"),
        ({"n": True}, "has true at n, not a whole number from 1 to 9"),
        ({"size": "3"}, "has '3' at size, not a number"),
        ({"size": True}, "has true at size, not a number"),
        ({"whole": 1.5}, "has 1.5 at whole, not a whole number"),
        ({"whole": False}, "has false at whole, not a whole number"),
        ({"spread": []}, "has a list at spread, not a number or null"),
        ({"passed": "no"}, "has 'no' at passed, not true or false"),
        ({"passed": 1}, "has 1 at passed, not true or false"),
        ({"note": 3}, "has 3 at note, not text or a list or null"),
        ({"note": ["a", 3]}, "has 3 at note[1], not text"),
        ({"numbers": []}, "has a list at numbers, not an object"),
        ({"numbers": {"b": 1}}, "has 1 at numbers.b, not an object"),
        ({"numbers": {"b": {"values": []}}}, "lacks numbers.b.mean"),
        ({"numbers": {"b?": {"mean": "x"}}}, "has 'x' at numbers.b?.mean, not a number"),
        (
            {"numbers": {"b": {"mean": 1, "values": [1, {}]}}},
            "has an object at numbers.b.values[1], not a",
        ),
        ({"any": []}, "has a list at any, not an object"),
        ({"name": {"a\nb": 1}}, "has an object at name, not text"),
        ({"numbers": {"a\nb": 1}}, "has 1 at numbers.a b, not an object"),
    ],
)
def test_another_shape_names_the_field_in_one_line(change, words, put):
    path = put(json.dumps(FITS | change))
    with pytest.raises(Damaged) as error:
        archive.read_json(path, SHAPE)
    assert str(error.value).startswith(f"{path} {words}") and len(str(error.value).splitlines()) == 1


def test_a_field_that_is_missing_is_named(put):
    for name in FITS.keys() - {"other"}:
        with pytest.raises(Damaged, match=f"x.json lacks {name}$"):
            archive.read_json(put(json.dumps({k: v for k, v in FITS.items() if k != name})), SHAPE)


def test_json_cut_anywhere_or_with_a_bit_flipped_is_never_a_traceback(put):
    content = json.dumps(FITS | {"note": "wörds"}, ensure_ascii=False).encode()
    cut = (content[:n] for n in range(len(content)))
    for wrong in itertools.chain(cut, flips(content, 600)):
        try:
            archive.read_json(put(wrong), SHAPE)
        except Damaged as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert len(wrong) == len(content)  # a digit or a letter is another: JSON has no digest


def test_json_that_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        archive.read_json(tmp_path / "x.json")
    with pytest.raises(IsADirectoryError):
        archive.read_json(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no process can be asked whether it lives")
def test_what_a_killed_process_left_beside_a_file_goes_when_it_is_written_again(tmp_path):
    path = tmp_path / "x[1].npz"  # a name that a pattern would read otherwise
    script = (
        "import os, signal, sys\n"
        "from wedges import archive\n"
        "with archive.replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, path], check=False)
    (left,) = tmp_path.iterdir()
    assert killed.returncode == -signal.SIGKILL and left.suffix == ".tmp"
    with archive.replacing(path), archive.replacing(path):  # of a process that lives, one stays
        assert len(list(tmp_path.glob(".*.tmp"))) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_below_a_folder_is_cleared_and_nothing_else(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()  # its number is that of no process now
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    with archive.replacing(deep / "x.npz"):  # of this process, which runs
        (mine,) = deep.iterdir()
        lost = deep / mine.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
        another = deep / lost.name.replace(".npz.", ".npz.0")  # of a machine of another name
        kept = [mine, another, deep / "x.tmp", deep / ".x.tmp", deep / f".x-{ended.pid}-0.tmp"]
        for path in (lost, *kept[1:]):
            path.write_text("half")
        archive.clear(tmp_path)
        assert sorted(deep.iterdir()) == sorted(kept)
    archive.clear(tmp_path / "nowhere")
