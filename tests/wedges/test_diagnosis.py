"""The diagnosis against trees made by hand, sums by hand, and models whose fault is plain."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from wedges import diagnosis

NAN = float("nan")
FITTED = {"train_error": 0.0, "peak": -0.02, "mc": 0.0, "log_trace": 4.0, "cka": 0.5, "train_loss": 1e-3}
few = settings(max_examples=60, deadline=None, derandomize=True, database=None)

# ---- a tree, by hand --------------------------------------------------------------------------------

TREE = ["train_error", 1.0, 0.25, 0.9, ["peak", -10.0, 0.5, 0.6, ["cka", 0.4, 0.75, 0.0, 0.2]]]


@pytest.mark.parametrize(
    ("error", "peak", "cka", "share"),
    [
        (0.0, -50.0, 0.1, 0.9),
        (1.0, -50.0, 0.1, 0.9),  # at the threshold is below
        (1.1, -10.0, 0.1, 0.6),
        (1.1, -9.9, 0.4, 0.0),
        (1.1, -9.9, 0.5, 0.2),
        (1.1, -9.9, NAN, 0.75 * 0.0 + 0.25 * 0.2),
        (1.1, NAN, NAN, 0.5 * 0.6 + 0.5 * 0.05),
        (NAN, -10.0, 0.0, 0.25 * 0.9 + 0.75 * 0.6),
    ],
)
def test_a_tree_is_followed_and_a_missing_measure_is_averaged_over(error, peak, cka, share):
    found = diagnosis.votes([TREE], {"train_error": [error], "peak": [peak], "cka": [cka]})
    np.testing.assert_allclose(found, [share], atol=1e-15)


def test_a_forest_is_the_mean_of_its_trees():
    measures = {"train_error": [0.0, 2.0], "peak": [0.0, -20.0], "cka": [0.0, 0.0]}
    np.testing.assert_allclose(diagnosis.votes([TREE, 0.1, 0.2], measures), [1.2 / 3, 0.9 / 3])


@few
@given(st.floats(0, 1), st.floats(0.1, 3), st.floats(-2, 2))
def test_calibration_keeps_the_order_and_stays_between_none_and_all(share, slope, intercept):
    found = diagnosis.calibrated([share, min(share + 0.1, 1)], slope, intercept)
    assert 0 < found[0] <= found[1] < 1


def test_calibration_by_hand():
    # logit(0.75) = log 3; 2 log 3 - log 3 = log 3, whose inverse is 0.75 again; p = 0 counts as 0.01.
    assert diagnosis.calibrated(0.75, 2.0, -np.log(3)) == pytest.approx(0.75)
    assert diagnosis.calibrated(0.0, 1.0, 0.0) == pytest.approx(0.01)


def test_the_change_by_hand():
    yes = {
        "temperature": [0.2, 0.8, 0.9, 0.9, 0.2],
        "width": [0.5, 0.4, 0.6, 0.6, 0.1],
        "data": [0.5, 0.3, 0.55, 0.7, 0.51],
    }
    assert diagnosis.change(yes).tolist() == [0, 1, 2, 3, 3]


# ---- the trees that are carried ---------------------------------------------------------------------


def nodes(tree):
    if isinstance(tree, list):
        yield tree
        yield from (node for below in tree[3:] for node in nodes(below))


def test_the_rules_are_trees_that_can_be_followed():
    found = diagnosis.rules()
    assert json.loads(diagnosis.FILE.read_text()) == found and set(found["questions"]) == set(
        diagnosis.FINDINGS
    )
    for question, own in found["questions"].items():
        assert (own["no"], own["yes"]) == diagnosis.FINDINGS[question]
        assert 0.5 < own["held_out"]["accuracy"] < 1 and own["held_out"]["n"] > 1500
        for tree in own["trees"]:
            assert tree[0] == "train_error" and tree[4][0] == "peak"  # the fixed order
            for name, threshold, share, *below in nodes(tree):
                assert name in diagnosis.MEASURES and np.isfinite(threshold) and 0 <= share <= 1
                assert all(isinstance(b, list) or 0 <= b <= 1 for b in below)


def test_a_diagnosis_says_what_the_trees_of_the_file_say():
    found = wedges.diagnosis.diagnose(**FITTED)
    for question, answer in zip(diagnosis.FINDINGS, found[2:5], strict=True):
        own = diagnosis.rules()["questions"][question]
        one = {name: [FITTED.get(name, NAN)] for name in diagnosis.MEASURES}
        assert answer.votes == pytest.approx(diagnosis.votes(own["trees"], one)[0])
        yes = diagnosis.calibrated(answer.votes, *own["calibration"])
        assert answer.finding == own["yes" if yes > 0.5 else "no"]
        assert answer.confidence == pytest.approx(max(yes, 1 - yes)) and answer.confidence >= 0.5
        assert (answer.accuracy, answer.n) == tuple(own["held_out"].values())
    assert found.confidence in [answer.confidence for answer in found[2:5]]
    assert (found.accuracy, found.n) == tuple(diagnosis.rules()["change"].values())


def test_a_fitted_model_could_be_hotter_and_a_loose_one_on_a_low_curve_colder():
    assert diagnosis.diagnose(**FITTED).temperature.finding == "the temperature is too low"
    hot = diagnosis.diagnose(train_error=12.0, peak=-4.0, mc=6.0, log_trace=5.5, train_loss=0.35)
    assert hot.temperature.finding == "the temperature is too high"


def test_a_narrow_fitted_model_behind_a_barrier_wants_width():
    found = diagnosis.diagnose(train_error=0.1, peak=-45.0, mc=-44.0, log_trace=4.0, cka=0.2)
    assert found.width.finding == "the width is too small" and found.width.confidence > 0.9
    assert found.change in ("a larger width", "more training data")


def test_the_path_says_every_split_in_words_also_of_what_is_missing():
    found = diagnosis.diagnose(train_error=30.0, peak=-35.0)
    first, second, *rest = found.temperature.path
    assert first.startswith("the training error, 30%, is above ")
    assert second.startswith("the highest training error on the curve, 35%, is at least ")
    assert rest and all("is not known; most settings are" in s or ", 3" in s for s in rest)
    low, median, high = found.temperature.thresholds["train_error"]
    assert 0 <= low <= median <= high <= 1


def test_none_and_nan_are_the_same_and_integers_are_numbers():
    known = {"train_error": 3, "peak": -9, "mc": 0}
    none = diagnosis.diagnose(**known, cka=None)
    assert none == diagnosis.diagnose(**known, cka=NAN, log_top=NAN)
    assert none != diagnosis.diagnose(**{**known, "train_error": 0})
    assert "temperature=Answer(" in repr(none)


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"train_error": None},
            "train_error must be a number from 0 to 100, in percent; received None.",
        ),
        ({"train_error": NAN}, "train_error must be a number from 0 to 100, in percent; received nan."),
        ({"train_error": 101}, "train_error must be a number from 0 to 100, in percent; received 101."),
        (
            {"peak": None},
            "peak must be a number from -100 to 0, minus an error in percent; received None.",
        ),
        (
            {"peak": 5.0},
            "peak must be a number from -100 to 0, minus an error in percent; received 5.0.",
        ),
        ({"mc": -101}, "mc must be a number from -100 to 100, in percentage points, or None;"),
        ({"cka": 1.5}, "cka must be a number from 0 to 1, or None; received 1.5."),
        ({"cka": "high"}, "cka must be a number from 0 to 1, or None; received 'high'."),
        (
            {"train_loss": -0.1},
            "train_loss must be a number, at least 0, in nats, or None; received -0.1.",
        ),
        ({"log_trace": float("inf")}, "log_trace must be a number, a natural logarithm, or None;"),
        ({"log_top": True}, "log_top must be a number, a natural logarithm, or None; received True."),
        ({"log_top": [1, 2]}, "log_top must be a number, a natural logarithm, or None;"),
    ],
)
def test_bad_input_is_one_line(given, words):
    with pytest.raises(ValueError) as error:
        diagnosis.diagnose(**{**FITTED, **given})
    assert str(error.value).startswith(words) and "\n" not in str(error.value)
