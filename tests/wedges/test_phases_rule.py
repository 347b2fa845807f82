"""Phases at hand-made corners, on the released grids' own numbers, and how near boundaries are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproductions.common import released
from wedges.phases import MEANINGS, NAMES, Thresholds, cka_level, classify, phase

few = settings(max_examples=200, deadline=None, derandomize=True, database=None)
NAN = float("nan")

CORNERS = [  # error, mc, CKA: each side of each boundary
    (0.2, -1.1, 0.9, "I"),
    (100.0, -90.0, 0.0, "I"),
    (0.2, -0.9, 0.9, "II"),
    (0.2, 5.0, 0.1, "II"),
    (0.1, -1.1, 0.9, "III"),
    (0.0, -60.0, 0.1, "III"),
    (0.1, -1.0, 0.563, "IV-B"),
    (0.0, 0.0, 0.9, "IV-B"),
    (0.1, 1.0, 0.562, "IV-A"),
    (0.0, 0.0, -0.01, "IV-A"),
    (0.0, 0.0, NAN, "IV"),
    (0.0, 1.1, 0.9, ""),  # the error says converged, and mc that an end is not
    (NAN, 0.0, 0.9, ""),
    (0.0, NAN, 0.9, ""),
]


@pytest.mark.parametrize(("error", "mc", "cka", "name"), CORNERS)
def test_corners(error, mc, cka, name):
    found = phase(error, mc, cka)
    assert found.name == name and found.meaning == MEANINGS[name] and found.thresholds == Thresholds()


def test_a_grid_is_its_cells():
    error, mc, cka, names = zip(*CORNERS[:12], strict=True)
    grid = lambda a: np.reshape(a, (3, 4))
    np.testing.assert_array_equal(classify(grid(error), grid(mc), grid(cka)), grid(names))
    assert classify([0.0], [0.0]).tolist() == ["IV"]
    assert classify([], []).shape == (0,)


@few
@given(st.floats(0, 100), st.floats(-100, 100), st.floats(0, 1))
def test_every_measured_cell_is_in_one_phase_or_contradicts_itself(error, mc, cka):
    (name,) = classify([error], [mc], [cka])
    assert name in NAMES or (name == "" and error <= 0.1001 and mc > 1)
    assert (name in ("I", "III")) == (mc < -1.0001)
    assert phase(error, mc, cka).name == name


def test_float32_counts_at_a_boundary_are_not_across_it():
    accuracy = np.float32(0.999)
    assert phase(100 * (1 - float(accuracy)), -1.00001, 0.9).name == "IV-B"


# ---- the level of a grid's own CKA ----------------------------------------------------------------


def test_the_level_is_the_median_of_phase_iv_alone():
    error, mc, cka = [0, 0, 0, 0, 50, 0], [0, 0, 0, 0, 0, -9], [0.2, 0.4, 0.6, NAN, 0.9, 0.9]
    level = cka_level(error, mc, cka)
    assert level == 0.4
    found = classify(error, mc, cka, thresholds=Thresholds(cka=level))
    assert found.tolist() == ["IV-A", "IV-B", "IV-B", "IV", "II", "III"]
    assert np.isnan(cka_level([50], [0], [0.5]))


def test_thresholds_are_what_the_released_clean_grids_say():
    grid = released.taxonomy("clean")
    error, converged = 100 - grid["train_acc"], grid["train_acc"] >= 99.9
    four = converged & (grid["mc"] >= -1) & (grid["mc"] <= 1)
    assert four.sum() == 582 and len(error) == 1690
    assert np.median(grid["cka"][four]) == pytest.approx(Thresholds().cka, abs=5e-4)
    assert cka_level(error, grid["mc"], grid["cka"]) == np.median(grid["cka"][four])
    right = lambda level: (
        (np.mean(grid["log_trace"][~converged] > level) + np.mean(grid["log_trace"][converged] <= level))
        / 2
    )
    levels = np.arange(3, 8, 0.1).round(1)
    assert levels[np.argmax([right(level) for level in levels])] == Thresholds().log_trace
    assert right(Thresholds().log_trace) == pytest.approx(0.89, abs=0.005)


@pytest.mark.parametrize(
    ("name", "data", "accuracies"),  # as published in a table made of these numbers by other code
    [
        ("clean", 10, [67.9, 76.9, 77.8, 82.5, 85.6]),
        ("clean", 2, [52.4, 63.2, 53.1, 62.6, 69.5]),
        ("clean", 1, [44.9, 55.6, 46.2, 54.0, 60.4]),
        ("noise", 1, [39.0, 46.7, 41.4, 48.4, 54.0]),
        ("decay", 10, [70.4, 82.1, 80.5, 84.7, 88.0]),
    ],
)
def test_mean_accuracy_of_each_phase_on_released_grids(name, data, accuracies):
    grid = released.taxonomy(name)
    rows = (grid["data"] == data) & np.isfinite(grid["test_acc"])
    error, mc, cka, accuracy = (grid[k][rows] for k in ("train_acc", "mc", "cka", "test_acc"))
    level = Thresholds(cka=cka_level(100 - error, mc, cka))
    found = classify(100 - error, mc, cka, thresholds=level)
    means = [accuracy[found == each].mean() for each in NAMES]
    np.testing.assert_allclose(means, accuracies, atol=0.051)


# ---- how near -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "mc", "cka", "boundary", "distance", "beyond"),
    [
        (0.2, -8.0, 0.5, "convergence", 1, "III"),
        (0.4, 3.0, 0.9, "convergence", 2, "IV-B"),  # once converged, no path is lower than its ends
        (10.0, -2.0, 0.5, "connectivity", 1, "II"),
        (10.0, -0.5, 0.5, "connectivity", 1, "I"),
        (0.0, -2.0, 0.5, "connectivity", 1, "IV-A"),
        (0.0, -0.5, 0.9, "connectivity", 1, "III"),
        (0.05, 0.0, 0.9, "convergence", 1, "II"),
        (0.0, 0.0, 0.583, "similarity", 0.4, "IV-A"),
        (0.0, 0.0, 0.363, "similarity", 4, "IV-B"),
    ],
)
def test_the_nearest_boundary(error, mc, cka, boundary, distance, beyond):
    found = phase(error, mc, cka)
    assert (found.boundary, found.beyond) == (boundary, beyond)
    assert found.distance == pytest.approx(distance)
    assert f"beyond it {beyond}" in found.nearest


def test_boundaries_in_words():
    assert phase(0.2, -8.0).nearest == "training error 0.2 against 0.1, a factor of 2; beyond it III"
    assert phase(0, 0, 0.6).nearest == "CKA 0.6 against 0.563, 0.037 away; beyond it IV-A"
    assert ", a factor of 300; beyond it" in phase(30.0, 0.1).nearest  # not of 3e+02
    assert phase(NAN, 0).nearest == "none" and np.isnan(phase(NAN, 0).distance)


@pytest.mark.parametrize(
    ("error", "mc", "log_trace", "agrees"),
    [
        (50, 0, 6.0, True),
        (50, -9, 5.0, False),
        (0, 0, 5.0, True),
        (0, -9, 6.0, False),
        (0, 0, NAN, None),
    ],
)
def test_the_trace_decides_nothing_and_agrees_or_not(error, mc, log_trace, agrees):
    found = phase(error, mc, 0.9, log_trace)
    assert found.trace_agrees is agrees and found.name == phase(error, mc, 0.9).name


def test_other_thresholds_are_in_the_result():
    mine = Thresholds(error=1.0, poor=-5.0, cka=0.3)
    found = phase(0.9, -4.0, 0.4, thresholds=mine)
    assert found.name == "IV-B" and found.thresholds == mine
    assert found.nearest == "training error 0.9 against 1, a factor of 1.1; beyond it II"


# ---- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: phase(-1, 0), "error must be a number from 0 to 100; received -1."),
        (lambda: phase(101, 0), "error must be a number from 0 to 100; received 101."),
        (lambda: phase([1], 0), r"error must be a number from 0 to 100; received \[1\]."),
        (lambda: phase(1, -101), "mc must be a number from -100 to 100; received -101."),
        (lambda: phase(1, 0, 1.5), "cka must be a number at most 1; received 1.5."),
        (
            lambda: classify([1], [1, 2]),
            r"error, mc and cka must have one shape; received \(1,\), \(2,\)",
        ),
    ],
)
def test_bad_input_is_one_line(call, said):
    with pytest.raises(ValueError, match=said):
        call()
