"""Averages, against hand computation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import wedges


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-1e3, 1e3)
    )
)
def test_the_running_average_is_the_mean(values):
    average = wedges.RunningAverage()
    for i, value in enumerate(values):
        np.testing.assert_allclose(average.add(value), values[: i + 1].mean(0), atol=1e-9)
    assert average.count == len(values)


def test_the_running_average_keeps_the_dtype_and_loses_no_digits():
    average = wedges.RunningAverage()
    for _ in range(10_000):
        average.add(np.float32([0.1, 16777217.0]))
    assert average.mean.dtype == np.float32
    np.testing.assert_array_equal(average.mean, np.float32([0.1, 16777217.0]))


def test_an_average_names_bad_input():
    average = wedges.RunningAverage()
    with pytest.raises(ValueError, match="nothing has been added"):
        average.mean  # noqa: B018
    average.add([1.0, 2.0])
    with pytest.raises(ValueError, match=r"\(2,\); received \(3,\)"):
        average.add([1.0, 2.0, 3.0])


def test_an_ensemble_averages_probabilities():
    members = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]]])
    np.testing.assert_allclose(wedges.ensemble_probabilities(members), [[0.6, 0.4], [0.3, 0.7]])
    with pytest.raises(ValueError, match="received logits"):
        wedges.ensemble_probabilities(np.log(members))
    with pytest.raises(ValueError, match="K >= 1; received"):
        wedges.ensemble_probabilities(members[0])


def test_an_average_is_restored_bit_for_bit():
    average, rng = wedges.RunningAverage(), np.random.default_rng(0)
    assert wedges.RunningAverage.restore(average.arrays()).count == 0
    for _ in range(3):
        average.add(rng.normal(size=5).astype("float32"))
    again = wedges.RunningAverage.restore({k: np.array(v) for k, v in average.arrays().items()})
    for one in (average, again):
        one.add(np.float32([1e-3, 1e3, 0, 1, 2]))
    assert again.count == 4 and again.mean.dtype == np.float32
    np.testing.assert_array_equal(again.arrays()["mean"], average.arrays()["mean"])


# ---- what may be averaged -------------------------------------------------------------------------


def test_probabilities_of_one_class_are_averaged_as_they_are():
    members = np.array([[[0.4], [1.0]], [[0.2], [0.0]]], np.float32)
    np.testing.assert_allclose(wedges.ensemble_probabilities(members), [[0.3], [0.5]], rtol=1e-6)
    np.testing.assert_allclose(
        wedges.ensemble_probabilities(np.full((3, 5, 1), 0.4)), np.full((5, 1), 0.4)
    )
    for logits in ([[[-2.0]]], [[[0.5], [3.0]]]):
        with pytest.raises(ValueError, match="^probabilities of one class must be from 0 to 1"):
            wedges.ensemble_probabilities(logits)


def test_probabilities_of_pixels_and_words_are_averaged_and_nan_stays():
    members = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 5, 6)).astype(np.float16)
    found = wedges.ensemble_probabilities(members)
    np.testing.assert_allclose(found, members.astype(float).mean(axis=0), atol=1e-3)
    members[0, 1, 2, 3] = np.nan
    assert np.isnan(wedges.ensemble_probabilities(members)).sum() == 3
    many = np.full((1, 2, 5000), 1 / 5000, np.float16)  # their sum in float16 would not be 1
    assert wedges.ensemble_probabilities(many).shape == (2, 5000)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[[0.5, 0.4]]], "must sum to 1 over the last axis; received logits"),
        ([[[2.0, -1.0]]], "must be from 0 to 1; received logits"),  # whose sum is 1
        ([[0.5, 0.5]], r"must have shape \[K, N, C\], K >= 1; received \(1, 2\)"),
        (np.zeros((0, 2, 3)), r"must have shape .*received \(0, 2, 3\)"),
        (np.zeros((2, 2, 0)), r"must have shape .*received \(2, 2, 0\)"),
        ("p.npy", "must be real numbers"),
        (None, "must be real numbers"),
        ([[[0.5, 0.5]], [[1.0]]], "must be real numbers"),
    ],
)
def test_what_are_no_probabilities_is_named(value, words):
    with pytest.raises(ValueError, match=f"^probabilities {words}") as caught:
        wedges.ensemble_probabilities(value)
    assert "\n" not in str(caught.value)


def test_an_average_of_whole_numbers_is_not_rounded():
    average = wedges.RunningAverage()
    for value in ([1, 2], [2, 2]):
        average.add(value)
    assert average.mean.tolist() == [1.5, 2.0]


@pytest.mark.parametrize("value", [None, "theta.npy", [1j], [True], [[1.0], [1.0, 2.0]]])
def test_what_are_no_numbers_is_not_averaged(value):
    average = wedges.RunningAverage()
    with pytest.raises(ValueError, match="^value must be real numbers; received") as caught:
        average.add(value)
    assert "\n" not in str(caught.value) and average.count == 0


def test_an_average_shows_in_a_line():
    average = wedges.RunningAverage()
    assert repr(average) == "RunningAverage(of nothing yet)"
    average.add(np.zeros((3, 2), np.float32))
    assert repr(average) == "RunningAverage(of 1, float32 [3, 2])"
