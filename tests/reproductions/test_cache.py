"""Cached numbers: computed once for their key, never for another; resumed where they were cut off."""

import dataclasses
import functools
import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproductions.bench import cache, store, workplace

calls = []


@dataclasses.dataclass(frozen=True)
class Setting:
    x: float
    inner: object = None


@dataclasses.dataclass(frozen=True)
class Other:
    x: float
    inner: object = None


@dataclasses.dataclass
class Loose:
    x: float = 1.0


def work(*key):
    calls.append(key)
    return {"calls": len(calls), "row": np.arange(3.0)}


def more(*key):
    return work(*key)


@pytest.fixture(autouse=True)
def place(tmp_path):
    calls.clear()
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints", software={"version": 1})) as place:
        yield place


def files(place):
    return sorted(p.name for p in place.checkpoints.glob("*"))


def test_a_number_is_computed_once_and_comes_back_bit_for_bit(place):
    first = cache.cached(work, Setting(0.1), np.ones(2))
    again = cache.cached(work, Setting(0.1), np.ones(2))
    assert len(calls) == 1 and len(files(place)) == 1
    assert first.keys() == again.keys() and all(np.array_equal(first[k], again[k]) for k in first)
    assert all(isinstance(a, np.ndarray) and a.dtype == again[k].dtype for k, a in first.items())


DIFFERENT = {
    "a setting's field": (Setting(0.1), Setting(0.2)),
    "a field that is None": (Setting(0.1), Setting(0.1, 0)),
    "the class of settings": (Setting(0.1), Other(0.1)),
    "a nested setting": (Setting(0.1, Setting(1)), Setting(0.1, Setting(2))),
    "an array's content": (np.zeros(2), np.array([0.0, -0.0])),
    "its shape": (np.zeros((2, 1)), np.zeros((1, 2))),
    "its dtype": (np.zeros(2, "float32"), np.zeros(2, "int32")),
    "an array in a setting": (Setting(1, np.zeros(2)), Setting(1, np.ones(2))),
    "a number's last bit": (0.1 + 0.2, 0.3),
    "true and one": (True, 1),
    "a number and its text": (1, "1"),
    "a list and its items": ([1, 2], [[1], 2]),
    "a list and a tuple": ([0, 1], (0, 1)),
    "an array of one and a number": (np.array([3.0]), np.array(3.0)),
    "two kinds of float": (0.1, np.float64(0.1)),
    "the order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "an array and its fingerprint": (np.zeros(2), {"array": "0"}),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_keys_differ_by(name):
    a, b = DIFFERENT[name]
    cache.cached(work, a)
    cache.cached(work, b)
    assert len(calls) == 2
    cache.cached(work, a)
    cache.cached(work, b)
    assert len(calls) == 2


def test_keys_differ_by_function_and_by_software(place):
    cache.cached(work, 1)
    cache.cached(more, 1)  # which also calls `work`
    assert len(calls) == 2
    with workplace.at(dataclasses.replace(place, software={"version": 2})):
        cache.cached(work, 1)
    assert len(calls) == 3
    with workplace.at(dataclasses.replace(place, jobs=2, data_dir="elsewhere")):
        cache.cached(work, 1)  # where it is done is no part of what is done
    assert len(calls) == 3


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Setting, plain, inner)
    ),
    max_leaves=6,
)


def frozen(value):
    """A value that is equal exactly where the types and contents are, to the last bit."""
    if isinstance(value, Setting):
        return ("Setting", frozen(value.x), frozen(value.inner))
    if isinstance(value, list):
        return ("list", *map(frozen, value))
    if isinstance(value, dict):
        return ("dict", *((k, frozen(v)) for k, v in value.items()))
    return (type(value).__name__, repr(value))


@given(values, values)
def test_two_values_share_a_key_only_if_they_are_the_same(a, b):
    same = store.canonical(cache.key_of(work, (a,), {})) == store.canonical(cache.key_of(work, (b,), {}))
    assert same == (frozen(a) == frozen(b))


def test_what_is_no_key_is_refused():
    def inner():
        return {}

    named = typing.NamedTuple("named", [("x", int)])(1)
    for value in (work, object(), Loose(), np.random.default_rng(0), {1: 2}, {1, 2}, b"1", named):
        with pytest.raises(TypeError, match="work is kept by its key: frozen dataclasses, plain values"):
            cache.cached(work, value)
    for function in (inner, lambda: {}, functools.partial(work, 1)):
        with pytest.raises(ValueError, match="must be a function or class that stands in a module"):
            cache.cached(function)
    assert not calls


def test_an_array_of_objects_is_no_key():
    with pytest.raises(TypeError, match="array of objects"):
        cache.cached(work, np.array([object()]))


def test_a_damaged_entry_is_said_to_be_so_and_computed_again(place, capsys):
    cache.cached(work, 1)
    (path,) = place.checkpoints.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert cache.cached(work, 1)["calls"] == 2
    assert f"not used: {path} is damaged" in capsys.readouterr().err
    assert cache.cached(work, 1)["calls"] == 2


def test_a_process_that_does_not_write_leaves_nothing(place):
    with workplace.at(dataclasses.replace(place, writes=False)):
        assert cache.cached(long, 3)["sum"] == 3
    assert files(place) == []


# ---- parts ------------------------------------------------------------------------------------------

stop = []  # raise at this step
taken = []


def long(steps):
    """Sums ones in steps, keeping what it has after each."""
    total = _summed(steps)
    return {"sum": total, "twice": 2 * _summed(steps)}


def _summed(steps):
    part = cache.part(steps)
    saved = part.load()
    done = 0 if saved is None else int(saved["done"])
    for i in range(done, steps):
        if stop == [len(taken)]:
            raise KeyboardInterrupt
        taken.append(i)
        part.save({"done": np.array(i + 1)})
    return steps


def outer(steps):
    return {"inner": cache.cached(long, steps)["sum"]}


@pytest.fixture(autouse=True)
def _fresh():
    stop.clear()
    taken.clear()


@pytest.mark.parametrize("at", [0, 1, 4, 5, 7])
def test_a_function_that_is_cut_off_goes_on_from_its_parts(at, place):
    stop[:] = [at]
    with pytest.raises(KeyboardInterrupt):
        cache.cached(long, 4)
    stop.clear()
    assert cache.cached(long, 4)["twice"] == 8
    assert taken == [0, 1, 2, 3] * 2  # every step of both parts once
    assert len(files(place)) == 1  # and the parts are gone


def test_parts_of_calls_with_other_keys_are_told_apart(place):
    stop[:] = [2]
    with pytest.raises(KeyboardInterrupt):
        cache.cached(long, 4)
    stop.clear()
    cache.cached(long, 3)
    assert taken == [0, 1, *[0, 1, 2] * 2]


def test_a_cached_function_may_call_another(place):
    assert cache.cached(outer, 2)["inner"] == 2
    assert cache.cached(long, 2)["sum"] == 2 and len(taken) == 4  # kept by itself, too
    assert len(files(place)) == 2


def test_only_a_cached_function_has_parts():
    with pytest.raises(RuntimeError, match="only a function that `cached` runs has parts"):
        _summed(1)
