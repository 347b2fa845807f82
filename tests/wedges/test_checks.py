"""Checks of arguments: what passes, what does not, and what is said then."""

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from wedges import _checks

few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
NOT_WHOLE = [True, False, 1.0, "1", None, np.nan, [1], np.array([1, 2])]
NO_NUMBER = ["1", None, [1.0], np.ones(2), np.nan, np.inf, -np.inf]


def refused(words, check, *args, **more):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        check(*args, **more)


@given(value=st.integers(-9, 9), low=st.integers(-9, 9), width=st.none() | st.integers(0, 9))
@few
def test_a_whole_number_is_one_within_its_ends(value, low, width):
    high = None if width is None else low + width
    for number in (value, np.int8(value), np.int64(value)):
        if value >= low and (high is None or value <= high):
            found = _checks.whole("n", number, low, high)
            assert found == value and type(found) is int
        else:
            with pytest.raises(ValueError, match="^n must be a whole number"):
                _checks.whole("n", number, low, high)


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_true_a_float_and_a_list_are_no_whole_numbers(value):
    refused(f"n must be a whole number, at least 1; received {value!r}.", _checks.whole, "n", value)


def test_a_number_of_numpys_is_shown_as_a_user_writes_it():
    for value, shown in [(np.float64(2.5), "2.5"), (np.True_, "True"), (np.int64(0), "0")]:
        refused(f"n must be a whole number, at least 1; received {shown}.", _checks.whole, "n", value)
    words = "a must be a finite number above 0; received -1.0."
    refused(words, _checks.positive, "a", np.float32(-1))


def test_a_whole_numbers_range_is_told():
    refused("n must be a whole number, at least 2; received 1.", _checks.whole, "n", 1, 2)
    refused("n must be a whole number from 0 to 4; received 5.", _checks.whole, "n", 5, 0, 4)
    words = "d must be a whole number from 1 to D = 4; received 5."
    refused(words, _checks.whole, "d", 5, 1, 4, limit="D")


@pytest.mark.parametrize(
    ("check", "words", "good", "bad"),
    [
        (_checks.positive, "a finite number above 0", [1, 1e-99, tf.constant(3.0)], [0, -1]),
        (_checks.not_negative, "a finite number, at least 0", [0, 0.0, 7], [-1e-300, -1]),
        (_checks.share, "a share between 0 and 1", [1e-300, 0.5, np.float64(0.999)], [0, 1, 1.5, -0.1]),
    ],
)  # fmt: skip
def test_a_number_out_of_its_range_is_named(check, words, good, bad):
    for value in good:
        check("a", value)
    for value in [*bad, *NO_NUMBER]:
        refused(f"a must be {words}; received {value!r}.", check, "a", value)


def test_what_is_none_of_the_choices_is_named():
    _checks.choice("end", "left", ("left", "right"))
    for value in ("middle", "", None, 0, ["left"], np.array(["left", "right"])):
        words = f"end must be 'left' or 'right'; received {value!r}."
        refused(words, _checks.choice, "end", value, ("left", "right"))
    refused("w must be 'a', 'b' or 'c'; received 'ab'.", _checks.choice, "w", "ab", ("a", "b", "c"))
    refused("w must be 'a'; received 'b'.", _checks.choice, "w", "b", ("a",))


@pytest.mark.parametrize("wrap", [np.array, tf.constant, list])
def test_one_nan_or_infinity_is_enough(wrap):
    _checks.finite("v", wrap([0.0, -1e30]))
    for value in (np.nan, np.inf, -np.inf):
        refused("v must be finite; received NaN or infinity.", _checks.finite, "v", wrap([1.0, value]))


def test_one_point_is_a_finite_vector_of_the_landscapes_length_and_dtype():
    bowl = wedges.Quadratic([1.0, 2.0])
    point = _checks.one_point(bowl, [3, 4])
    assert point.dtype == tf.float32 and point.numpy().tolist() == [3, 4]
    refused("theta must be one point [2]; received shape (1, 2).", _checks.one_point, bowl, [[3.0, 4.0]])
    words = "theta must be finite; received NaN or infinity."
    refused(words, _checks.one_point, bowl, [3.0, np.nan])
    with pytest.raises(ValueError, match=r"theta must have shape \[..., 2\].*received shape \(3,\)"):
        _checks.one_point(bowl, [1.0, 2.0, 3.0])


def test_the_standard_error_by_hand():
    assert _checks.standard_error([1.0, 3.0]) == pytest.approx(1.0)  # deviation sqrt(2), over sqrt(2)
    assert _checks.standard_error(np.arange(9)) == pytest.approx(np.sqrt(7.5) / 3)
    assert np.isnan(_checks.standard_error([5.0])) and np.isnan(_checks.standard_error([1.0, np.nan]))
