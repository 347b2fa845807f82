"""Files that are whole and ours, or not used."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproductions.bench import store
from reproductions.bench.errors import UsageError
from wedges import archive

KEY = {"figure": "fig0", "lr": [0.1, 0.2], "seed": 0}
ARRAYS = {"a": np.arange(60.0).reshape(3, 20), "b": np.array(7, np.int32), "c": np.array(True)}


def test_what_is_saved_is_loaded_again(tmp_path, capfd):
    store.save(tmp_path / "deep" / "x.npz", ARRAYS, KEY)
    found = store.load(tmp_path / "deep" / "x.npz", KEY)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["x.npz"]
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_no_news(tmp_path, capfd):
    assert store.load(tmp_path / "x.npz", KEY) is None
    assert capfd.readouterr().err == ""


@pytest.fixture
def said(monkeypatch):
    """The lines that were said."""
    lines = []
    monkeypatch.setattr(store, "say", lines.append)
    return lines


def damaged(path, lines):
    """Not used, with one line that says so; returns it."""
    lines.clear()
    assert store.load(path, KEY) is None
    (line,) = lines
    assert line.startswith(f"not used: {path} is damaged or not one of ours (")
    assert len(line.splitlines()) == 1
    return line


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_never_used(share, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "x.npz"
    store.save(path, ARRAYS, KEY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert store.load(path, KEY) is None


def test_an_altered_array_is_never_used(tmp_path, capfd):
    path = tmp_path / "x.npz"
    store.save(path, ARRAYS, KEY)
    whole = bytearray(path.read_bytes())
    at = whole.index(np.float64(41.0).tobytes())
    whole[at] ^= 1
    path.write_bytes(bytes(whole))
    assert store.load(path, KEY) is None
    message = capfd.readouterr().err
    assert "x.npz is damaged or not one of ours" in message and message.count("\n") == 1


def test_a_flipped_bit_is_never_used_and_never_a_traceback(tmp_path, said):
    path = tmp_path / "x.npz"
    store.save(path, ARRAYS, KEY)
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(whole), 400, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        damaged(path, said)


@pytest.mark.slow
def test_each_single_flipped_bit_of_a_file_of_20_kB_is_refused(tmp_path, said):
    path = tmp_path / "x.npz"
    store.save(path, {"x": np.linspace(0, 1, 4800, dtype=np.float32), "n": np.arange(8)}, KEY)
    whole = path.read_bytes()
    assert 19_000 < len(whole) < 21_000
    with open(path, "r+b", buffering=0) as file:
        for at, byte in enumerate(whole):
            for wrong in (byte ^ 1 << bit for bit in range(8)):
                os.pwrite(file.fileno(), bytes([wrong]), at)
                damaged(path, said)
            os.pwrite(file.fileno(), bytes([byte]), at)
    assert store.load(path, KEY) is not None


def test_a_file_of_another_kind_is_never_used(tmp_path, said):
    np.save(tmp_path / "x.npy", np.ones(3))
    damaged(tmp_path / "x.npy", said)
    damaged(tmp_path / ("long" * 100), said)
    damaged(tmp_path, said)
    np.savez(tmp_path / "x.npz", **ARRAYS, __key__=store.canonical(KEY))
    damaged(tmp_path / "x.npz", said)


def test_strings_under_the_right_key_are_not_used(tmp_path, said):
    key = {"__key__": np.array(store.canonical(KEY))}
    words = {"a": np.array(["two", "words"])}
    archive.write(tmp_path / "x.npz", words | key, text=["a", "__key__"])
    assert "'a' of dtype U5, not booleans or numbers" in damaged(tmp_path / "x.npz", said)
    archive.write(tmp_path / "x.npz", ARRAYS)
    assert "lacks __key__" in damaged(tmp_path / "x.npz", said)
    with pytest.raises(ValueError, match="a must be booleans or numbers"):
        store.save(tmp_path / "new" / "y.npz", words, KEY)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_what_is_there_is_verified_for_any_key(tmp_path):
    path = tmp_path / "x.npz"
    store.save(path, ARRAYS, KEY)
    store.verify(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(archive.Damaged):
        store.verify(path)


@pytest.mark.parametrize("other", [{**KEY, "lr": [0.1, 0.3]}, {}, {**KEY, "more": 1}])
def test_a_file_of_another_key_is_not_used(other, tmp_path, capfd):
    store.save(tmp_path / "x.npz", ARRAYS, other)
    assert store.load(tmp_path / "x.npz", KEY) is None
    message = capfd.readouterr().err
    assert "made for other settings" in message and message.count("\n") == 1


class Trap:
    def __reduce__(self):
        return (open, ("/tmp/wedges-trap-sprung", "w"))


def test_nothing_that_is_loaded_is_executed(tmp_path, capfd):
    import pathlib

    np.savez(tmp_path / "object.npz", a=np.array([Trap()], dtype=object), __key__=store.canonical(KEY))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("object.npz", "raw.npz"):
        assert store.load(tmp_path / name, KEY) is None
        assert "not used" in capfd.readouterr().err
    assert not pathlib.Path("/tmp/wedges-trap-sprung").exists()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.npz"
    store.save(path, ARRAYS, KEY)
    before = path.read_bytes()

    def full_disk(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    for place in (path, tmp_path / "new" / "and" / "y.npz"):
        with pytest.raises(UsageError, match="No space left on device; point --out_dir"):
            store.write_bytes(place, full_disk)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_no_folder(error, tmp_path, monkeypatch):
    def fail(fd):
        raise error

    monkeypatch.setattr("os.fsync", fail)
    (tmp_path / "there").mkdir()
    for place in ("there", "there/new", "new/and/deep"):
        with pytest.raises((UsageError, KeyboardInterrupt)):
            store.save(tmp_path / place / "x.npz", ARRAYS, KEY)
        with pytest.raises((UsageError, KeyboardInterrupt)):
            store.write_json(tmp_path / place / "x.json", {})
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_tidy_leaves_what_was_there_and_what_is_held(tmp_path):
    (tmp_path / "old" / "empty").mkdir(parents=True)
    new = (tmp_path / "old" / "empty" / "a" / "b", tmp_path / "old" / "c")
    with pytest.raises(UsageError), store.tidy(*new):
        for folder in new:
            folder.mkdir(parents=True)
        (tmp_path / "old" / "c" / "file").touch()
        raise UsageError("no")
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert left == {"old", "old/empty", "old/c", "old/c/file"}
    with store.tidy(tmp_path / "fine"):
        (tmp_path / "fine").mkdir()
    assert (tmp_path / "fine").exists()


def test_digests_and_fingerprints_tell_apart():
    assert store.digest({"a": 1, "b": 2}) == store.digest({"b": 2, "a": 1}) != store.digest({"a": 1})
    a = np.arange(4.0)
    marks = {store.fingerprint(x) for x in (a, a.reshape(2, 2), a.astype("float32"), a + 1)}
    assert len(marks) == 4
