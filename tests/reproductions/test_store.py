"""Files that are whole and ours, or not used."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproductions.bench import store
from reproductions.bench.errors import UsageError

KEY = {"figure": "fig0", "lr": [0.1, 0.2], "seed": 0}
ARRAYS = {"a": np.arange(60.0).reshape(3, 20), "b": np.array(7, np.int32), "c": np.array("words")}


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


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_never_used_and_never_a_traceback(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("flip") / "x.npz"
    store.save(path, ARRAYS, KEY)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    found = store.load(path, KEY)
    assert found is None or all(np.array_equal(found[n], a) for n, a in ARRAYS.items() if n in found)


def test_a_file_of_another_kind_is_never_used(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    assert store.load(tmp_path / "x.npz", KEY) is None
    assert store.load(tmp_path / ("long" * 100), KEY) is None


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

    with pytest.raises(UsageError, match="No space left on device; point --out_dir"):
        store.write_bytes(path, full_disk)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_cached_computes_once(tmp_path):
    calls = []
    for _ in range(2):
        found = store.cached(tmp_path / "x.npz", KEY, lambda: calls.append(1) or ARRAYS)
        np.testing.assert_array_equal(found["a"], ARRAYS["a"])
    assert len(calls) == 1


def test_digests_and_fingerprints_tell_apart():
    assert store.digest({"a": 1, "b": 2}) == store.digest({"b": 2, "a": 1}) != store.digest({"a": 1})
    a = np.arange(4.0)
    marks = {store.fingerprint(x) for x in (a, a.reshape(2, 2), a.astype("float32"), a + 1)}
    assert len(marks) == 4
