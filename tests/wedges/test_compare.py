"""Likeness of thetas, labels and representations against hand counts and their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from wedges import compare

few = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- cosines --------------------------------------------------------------------------------------


def test_cosines_by_hand():
    found = wedges.cosine_matrix([[3.0, 0.0], [0.0, 0.1], [-2.0, -2.0], [1.0, np.sqrt(3.0)]])
    r, h, q = np.sqrt(0.5), np.sqrt(0.75), (1 + np.sqrt(3)) / np.sqrt(8)
    expected = [[1, 0, -r, 0.5], [0, 1, -r, h], [-r, -r, 1, -q], [0.5, h, -q, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_a_zero_vector_has_no_cosine_and_the_others_keep_theirs():
    found = wedges.cosine_matrix([[1, 1], [0, 0], [1, -1]])
    nan = np.isnan(found)
    np.testing.assert_array_equal(nan, [[False, True, False], [True] * 3, [False, True, False]])
    np.testing.assert_allclose(found[~nan], [1, 0, 0, 1], atol=1e-15)


def test_cosines_of_float32_vectors_are_added_up_in_float64():
    a, b = normal(0, 2, 100_000).astype(np.float32)
    expected = np.dot(a.astype(float), b) / np.sqrt(
        np.dot(a.astype(float), a) * np.dot(b.astype(float), b)
    )
    found = wedges.cosine_matrix(np.stack([1e30 * a, b]))  # whose squares are beyond float32
    np.testing.assert_allclose(found[0, 1], expected, atol=1e-8)


# ---- labels ---------------------------------------------------------------------------------------


def test_label_agreement_by_hand():
    found = wedges.label_agreement([[0, 1, 2, 2], [0, 1, 1, 2], [1, 0, 0, 0]])
    np.testing.assert_allclose(found, [[1, 0.75, 0], [0.75, 1, 0], [0, 0, 1]])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32))
def test_label_agreement_and_disagreement_are_their_counts_over_all_examples(k, n, classes, seed):
    rng = np.random.default_rng(seed)
    labels, targets = rng.integers(0, classes, (k, n)), rng.integers(0, classes, n)
    same = (labels[:, None, :] == labels[None, :, :]).sum(-1)  # [K, K]
    np.testing.assert_array_equal(wedges.label_agreement(labels), same / n)
    wrong = (labels != targets).sum(-1)
    found = wedges.disagreement(labels, targets)
    for i in range(k):
        for j in range(k):
            errors = wrong[i] + wrong[j]
            expected = 2 * (n - same[i, j]) / errors if errors else np.nan
            np.testing.assert_allclose(found[i, j], expected, atol=1e-13)


def test_disagreement_by_hand():
    targets = [0, 1, 2, 0]
    labels = [
        [0, 1, 2, 0],  # no error
        [0, 1, 2, 1],  # one, on the last
        [0, 1, 2, 2],  # another one on the last
        [1, 1, 2, 0],  # one, on the first
        [1, 0, 0, 1],  # all wrong
    ]
    found = wedges.disagreement(labels, targets)
    expected = [
        [np.nan, 2, 2, 2, 2],
        [2, 0, 1, 2, 6 / 5],
        [2, 1, 0, 2, 8 / 5],
        [2, 2, 2, 0, 6 / 5],
        [2, 6 / 5, 8 / 5, 6 / 5, 0],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert np.isnan(wedges.disagreement([targets, targets], targets)).all()


@pytest.mark.parametrize(("classes", "e"), [(2, 0.2), (2, 0.5), (5, 0.3)])
def test_disagreement_of_independent_errors(classes, e):
    """P(disagree) = 2 e (1 - e) + e^2 (1 - 1 / (C - 1)) of two models with uniform wrong labels."""
    rng, n, k = np.random.default_rng(0), 20_000, 4
    targets = rng.integers(0, classes, n)
    off = rng.integers(1, classes, (k, n)) * (rng.random((k, n)) < e)
    found = wedges.disagreement((targets + off) % classes, targets)
    expected = 2 * (1 - e) + e * (1 - 1 / (classes - 1))
    away = ~np.eye(k, dtype=bool)
    np.testing.assert_allclose(found[away], expected, atol=0.06)
    assert found[away].mean() == pytest.approx(expected, abs=0.02)
    np.testing.assert_array_equal(found[~away], 0)


# ---- representations ------------------------------------------------------------------------------


def kernel_cka(x, y):
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), HSIC(K, L) = tr(K H L H) / (N - 1)^2."""
    n = len(x)
    k, l_, h = x @ x.T, y @ y.T, np.eye(n) - 1 / n
    hsic = lambda a, b: np.trace(a @ h @ b @ h) / (n - 1) ** 2
    return hsic(k, l_) / np.sqrt(hsic(k, k) * hsic(l_, l_))


@pytest.mark.parametrize(
    "shape", [(12, 3, 4), (12, 11, 5), (12, 12, 12), (12, 40, 3), (12, 3, 40), (2, 1, 5)]
)
def test_linear_cka_is_its_definition_by_kernels_on_either_side_of_n(shape):
    n, p, q = shape
    x = normal([0, *shape], n, p) @ np.diag(np.arange(1, p + 1)) + 3
    y = normal([1, *shape], n, q) - 5 + x[:, :1]
    found = wedges.linear_cka(x, y)
    assert np.ndim(found) == 0
    np.testing.assert_allclose(found, kernel_cka(x, y), rtol=1e-12)
    # More columns of zeros change nothing, but take the other way to compute it.
    wide = np.pad(x, [(0, 0), (0, 30)])
    np.testing.assert_allclose(wedges.linear_cka(wide, y), found, rtol=1e-12)


def test_linear_cka_of_one_column_each_is_the_squared_correlation():
    x, y = normal(0, 30), normal(1, 30) + 0.5 * normal(0, 30)
    found = wedges.linear_cka(x[:, None], y[:, None])
    np.testing.assert_allclose(found, np.corrcoef(x, y)[0, 1] ** 2, rtol=1e-12)


# Wide and narrow: both ways of computing it.
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([(20, 4, 6), (6, 9, 3)]), st.floats(0.01, 100.0))
def test_linear_cka_forgets_rotations_one_scale_and_the_mean(seed, shape, scale):
    rng, (n, p, q) = np.random.default_rng(seed), shape
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    found = wedges.linear_cka(x, y)
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0]
    same = -scale * x @ turn + rng.standard_normal(p)
    assert 0 <= found <= 1 and wedges.linear_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert wedges.linear_cka(same, y) == pytest.approx(found, abs=1e-10)
    assert wedges.linear_cka(y, same) == pytest.approx(found, abs=1e-10)
    assert wedges.linear_cka(x, same) == pytest.approx(1, abs=1e-10)


def test_linear_cka_sees_any_other_linear_map():
    """By hand: X^T X = 2 I, the map diag(1, c), CKA = (1 + c^2) / sqrt(2 (1 + c^4))."""
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert wedges.linear_cka(x, x * [1, 3]) == pytest.approx(10 / np.sqrt(164))
    wide = np.pad(x, [(0, 0), (0, 3)])
    assert wedges.linear_cka(wide, wide * [1, 3, 1, 1, 1]) == pytest.approx(10 / np.sqrt(164))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])  # of 7 times 0.1 the mean is not 0.1
@pytest.mark.parametrize("p", [2, 20])
def test_a_constant_representation_is_like_nothing(p, value):
    constant, x = np.full((7, p), value), normal(0, 7, 3)
    assert np.isnan(wedges.linear_cka(constant, x)) and np.isnan(wedges.linear_cka(x, constant))
    assert np.isnan(wedges.linear_cka(constant, constant + 1))


def song(x, y):
    """Song et al.'s estimate of HSIC, word by word: kernels without their diagonals."""
    n = len(x)
    k, l_ = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l_, 0)
    one = np.ones(n)
    whole = (one @ k @ one) * (one @ l_ @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ l_) + whole - 2 / (n - 2) * (one @ k @ l_ @ one)) / (n * (n - 3))


@pytest.mark.parametrize("shape", [(12, 3, 4), (12, 40, 3), (12, 40, 30), (4, 2, 2)])
def test_the_unbiased_cka_is_its_definition_by_kernels(shape):
    n, p, q = shape
    x = normal([0, *shape], n, p) + 3
    y = normal([1, *shape], n, q) - 5 + x[:, :1]
    found = wedges.linear_cka(x, y, unbiased=True)
    np.testing.assert_allclose(found, song(x, y) / np.sqrt(song(x, x) * song(y, y)), rtol=1e-9)
    assert wedges.linear_cka(x, x, unbiased=True) == pytest.approx(1)


def test_independent_features_have_an_unbiased_cka_of_mean_zero():
    pairs = [(normal([0, i], 20, 5), normal([1, i], 20, 5)) for i in range(300)]
    unbiased, biased = (
        np.array([wedges.linear_cka(x, y, unbiased=way) for x, y in pairs]) for way in (True, False)
    )
    assert abs(unbiased.mean()) < 3 * unbiased.std() / np.sqrt(300) and unbiased.std() < 0.2
    assert biased.mean() > 0.15 and (unbiased < 0).mean() > 0.3


def test_the_unbiased_cka_of_a_constant_is_nan_and_needs_four_examples():
    assert np.isnan(wedges.linear_cka(np.full((7, 2), 0.1), normal(0, 7, 3), unbiased=True))
    with pytest.raises(ValueError, match=r"N >= 4 examples; received \(3, 2\) and \(3, 2\)"):
        wedges.linear_cka(np.ones((3, 2)), np.ones((3, 2)), unbiased=True)


def test_nan_in_a_representation_is_nan():
    x = normal(0, 7, 3)
    assert np.isnan(wedges.linear_cka(np.where(x > 1, np.nan, x), x, unbiased=True))
    assert np.isnan(wedges.linear_cka(np.where(np.arange(7)[:, None] == 2, np.nan, x), x))


# ---- where a curve first reaches a level ------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "expected", "logarithmic"),
    [
        ([0.0, 0.0, 1.0, 1.0], 3.0, 8**0.5),  # half-way from 2 to 4
        ([0.0, 0.4, 0.8, 1.0], 2.5, 2 * 2**0.25),
        ([0.0, 0.0, 0.5, 1.0], 4.0, 4.0),  # on a measured one
        ([0.5, 0.0, 0.0, 1.0], 1.0, 1.0),  # there from the start
        ([0.9, 0.9, 0.9, 0.9], 1.0, 1.0),
        ([0.0, 0.7, 0.0, 1.0], 1 + 5 / 7, 2 ** (5 / 7)),  # the first time, though not the last
        ([0.0, 0.1, 0.2, 0.49], np.nan, np.nan),
        ([np.nan, np.nan, np.nan, np.nan], np.nan, np.nan),
        ([np.nan, 0.0, 1.0, 1.0], 3.0, 8**0.5),
        ([0.0, np.nan, 1.0, 1.0], np.nan, np.nan),
        ([0.0, -np.inf, 1.0, 1.0], np.nan, np.nan),
        ([0.0, 0.0, np.inf, 1.0], np.nan, np.nan),
        ([-np.inf, 0.0, 1.0, np.nan], 3.0, 8**0.5),
    ],
)
def test_a_first_crossing_by_hand(y, expected, logarithmic):
    x = [1, 2, 4, 8]
    with np.errstate(all="raise"):
        found = compare.first_crossing(x, y, 0.5), compare.first_crossing(x, y, 0.5, log=True)
        fallen = compare.first_crossing(x, 1 - np.array(y), 0.5, falling=True)
    np.testing.assert_allclose(found, [expected, logarithmic], rtol=1e-14)
    np.testing.assert_allclose(fallen, expected, rtol=1e-14)
    assert all(type(f) is float or np.isnan(f) for f in found)


curves = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.1, 100), min_size=n, max_size=n, unique_by=lambda v: round(v, 3)),
        st.lists(st.floats(-3, 3), min_size=n, max_size=n),
        st.floats(-3, 3),
    )
)


@few
@given(curves, st.booleans())
def test_a_first_crossing_is_on_the_curve_and_nothing_before_it_is_there(curve, log):
    x, y, level = np.sort(curve[0]), np.array(curve[1]), curve[2]
    found = compare.first_crossing(x, y, level, log)
    if np.isnan(found):
        assert (y < level).all()
        return
    assert (y[x < found * (1 - 1e-12)] < level).all()
    scale = np.log if log else np.asarray
    on_the_curve = np.interp(scale(found), scale(x), y)  # between the measured, and the ends beyond
    # Where the curve is steep a rounding of x is much of y.
    steepest = np.max(np.abs(np.diff(y) / np.diff(scale(x))), initial=0)
    rounding = 1e-12 * (1 + steepest * 100)
    if found > x[0]:
        assert on_the_curve == pytest.approx(level, abs=rounding)
    else:
        assert found == x[0] and (y[0] >= level or on_the_curve == pytest.approx(level, abs=rounding))


@few
@given(curves)
def test_a_fall_is_the_rise_of_the_negative(curve):
    x, y, level = np.sort(curve[0]), np.array(curve[1]), curve[2]
    fallen = compare.first_crossing(x, y, level, falling=True)
    np.testing.assert_equal(fallen, compare.first_crossing(x, -y, -level))


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wedges.cosine_matrix([1.0, 2.0]), r"vectors must have shape \[K, D\].*received \(2,\)"),
        (lambda: wedges.cosine_matrix(np.ones((0, 3))), r"vectors must .*K >= 1; received \(0, 3\)"),
        (lambda: wedges.label_agreement([1, 2]), r"labels must have shape \[K, N\].*received \(2,\)"),
        (lambda: wedges.label_agreement(np.ones((2, 0))), r"labels must .*N >= 1; received \(2, 0\)"),
        (lambda: wedges.label_agreement(np.ones((2, 3, 4))), r"labels must .*received \(2, 3, 4\)"),
        (lambda: wedges.disagreement([1, 2], [1, 2]), r"labels must .*received \(2,\)"),
        (lambda: wedges.disagreement([[1, 2]], [1]), r"targets must have shape \(2,\).*received \(1,\)"),
        (lambda: wedges.disagreement([[1, 2]], [[1], [2]]), r"targets must .*received \(2, 1\)"),
        (lambda: wedges.disagreement([[1, 2]], 1), r"targets must .*received \(\)"),
        (lambda: wedges.linear_cka([1.0, 2.0], np.ones((2, 1))), r"received \(2,\) and \(2, 1\)"),
        (lambda: wedges.linear_cka(np.ones((2, 1)), 1.0), r"x and y must .*received \(2, 1\) and \(\)"),
        (lambda: wedges.linear_cka(np.ones((3, 2)), np.ones((4, 2))), r"received \(3, 2\) and \(4, 2\)"),
        (lambda: compare.first_crossing([], [], 0), r"x and y must .*received \(0,\) and \(0,\)"),
        (lambda: compare.first_crossing([1], [1, 2], 0), r"x and y .*received \(1,\) and \(2,\)"),
        (lambda: compare.first_crossing([[1]], [[1]], 0), r"x and y .*received \(1, 1\) and"),
        (lambda: compare.first_crossing([2, 1], [1, 2], 0), r"x must be .*rising; received \[2, 1\]"),
        (lambda: compare.first_crossing([1, 1], [1, 2], 0), r"x must be .*rising; received \[1, 1\]"),
        (lambda: compare.first_crossing([1, np.nan], [1, 2], 0), r"x must be .*received \[1.0, nan\]"),
        (lambda: compare.first_crossing([1, np.inf], [1, 2], 0), r"x must be finite .*\[1.0, inf\]"),
        (lambda: compare.first_crossing([0, 1], [1, 2], 0, log=True), r"above 0; received \[0, 1\]"),
        (lambda: compare.switch(np.eye(3)), "matrix must have 4 rows at least.*received 3"),
        (
            lambda: wedges.linear_cka(np.ones((1, 2)), np.ones((1, 2))),
            r"N >= 2 examples; received \(1, 2\)",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
