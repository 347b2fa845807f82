"""The ratio of norms: what is known of it exactly, on vectors drawn by hypothesis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import wedges
from wedges import compressibility as c
from wedges import curvature

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
# Components from 0.01 to 100 of either sign, and zeros.
magnitudes = st.floats(0.01, 100.0)
component = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda v: -v))
vectors = hnp.arrays(np.float64, st.integers(1, 12), elements=component).filter(np.any)
full = hnp.arrays(np.float64, st.integers(2, 12), elements=magnitudes)
signs = st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=9).map(np.array)


def gradient(w):
    """By the formula: sign(w) / r - s w / r^3."""
    s, r = np.abs(w).sum(), np.linalg.norm(w)
    return np.sign(w) / r - s * w / r**3


def measured(w):
    """The value and gradient of the landscape."""
    value, slopes = c.NormRatio(len(w)).value_and_gradient(w)
    return float(value), slopes.numpy()


# ---- the value --------------------------------------------------------------------------------------


@few
@given(vectors)
def test_it_lies_between_one_and_the_root_of_the_number_of_components(w):
    k = np.count_nonzero(w)
    assert 1 - 1e-12 <= c.ratio(w) <= np.sqrt(k) * (1 + 1e-12)
    assert c.ratio(w) == pytest.approx(np.abs(w).sum() / np.sqrt((w**2).sum()), rel=1e-12)


@few
@given(signs, st.floats(1e-200, 1e200), st.integers(0, 30))
def test_it_is_the_root_of_k_just_where_all_k_have_one_magnitude(sign, a, zeros):
    w = np.concatenate([a * sign, np.zeros(zeros)])
    assert c.ratio(w) == pytest.approx(np.sqrt(len(sign)), rel=1e-12)
    assert c.certificate(w) == len(sign)
    assert c.critical_magnitude(w) == pytest.approx(a, rel=1e-12)
    assert c.ternarity(w) == 1
    if len(sign) > 1:
        w[0] *= 1.5
        assert c.ratio(w) < np.sqrt(len(sign)) * (1 - 1e-4)


@few
@given(vectors)
def test_there_are_at_least_as_many_components_as_the_certificate_says(w):
    k = np.count_nonzero(w)
    assert k >= c.certificate(w) >= c.ratio(w) ** 2 * (1 - 1e-12)


def test_there_may_be_more_than_the_certificate_says():
    assert c.certificate([100.0, 1.0, 1.0, 1.0]) == 2


@few
@given(vectors, st.floats(1e-6, 1e6), st.randoms(use_true_random=False))
def test_scale_signs_order_and_shape_do_not_matter(w, scale, random):
    other = [scale * v * random.choice([-1, 1]) for v in w]
    random.shuffle(other)
    assert c.ratio(np.array(other)[:, None]) == pytest.approx(c.ratio(w), rel=1e-12)


def test_numbers_whose_squares_are_no_floats_have_a_ratio():
    for unit in (1e-300, 1e300):
        assert c.ratio([3 * unit, 4 * unit]) == pytest.approx(1.4)
        assert c.critical_magnitude([3 * unit, 4 * unit]) == pytest.approx(25 / 7 * unit)


def test_the_critical_magnitude_is_in_the_unit_of_w():
    for unit in (1e308, 1.0, 1e-308):
        assert c.critical_magnitude([unit, -unit, 0.0]) == pytest.approx(unit)


def test_ternarity_counts_by_hand():
    w = np.array([1.0, -2.0, 3.0, 0.0])  # r^2 / s = 14 / 6: 1 is below half of it, 2 and 3 are between
    assert c.ternarity(w) == pytest.approx(2 / 3)
    assert c.ternarity(w, 0.2, 1.2) == pytest.approx(2 / 3)  # 0.43, 0.86, 1.29
    assert c.ternarity(w, 0.9, 1.2) == 0


def test_ternarity_of_gaussian_numbers_is_known():
    from scipy import stats

    at = np.sqrt(np.pi / 2) * np.array([0.5, 1.5])  # r^2 / s of a standard Gaussian is sqrt(pi / 2)
    known = 2 * np.diff(stats.norm.cdf(at))[0]
    found = c.ternarity(np.random.default_rng(0).normal(size=200_000))
    assert found == pytest.approx(known, abs=0.005) and known == pytest.approx(0.47, abs=0.01)


# ---- the gradient, and where it is zero -------------------------------------------------------------


@few
@given(vectors)
def test_the_gradient_is_that_of_the_formula_and_at_right_angles_to_w(w):
    value, found = measured(w)
    r = np.linalg.norm(w)
    assert value == pytest.approx(c.ratio(w), rel=1e-12)
    np.testing.assert_allclose(found, gradient(w), atol=1e-11 * np.sqrt(len(w)) / r)
    assert abs(found @ w) <= 1e-11 * np.sqrt(len(w))


@few
@given(vectors, st.floats(1e-3, 10.0))
def test_a_plain_step_of_descent_makes_w_longer_by_what_pythagoras_says(w, rate):
    step = -rate * measured(w)[1]
    longer = (w + step) @ (w + step)
    assert longer == pytest.approx(w @ w + step @ step, rel=1e-9)


@few
@given(full)
def test_small_magnitudes_shrink_and_large_ones_grow(w):
    found, critical = measured(w)[1], c.critical_magnitude(w)
    clear = np.abs(w / critical - 1) > 1e-6
    np.testing.assert_array_equal((found > 0)[clear], (w < critical)[clear])


@few
@given(signs, st.floats(0.1, 10.0), st.integers(0, 5))
def test_ternary_points_are_critical_and_off_the_support_there_is_a_kink(sign, a, zeros):
    k, w = len(sign), np.concatenate([a * sign, np.zeros(zeros)])
    value, slopes = measured(w)
    np.testing.assert_allclose(slopes, 0, atol=1e-12 / a)
    slope, far = 1 / (a * np.sqrt(k)), 1e-6 * a
    for i in range(k, k + zeros):
        for side in (far, -far):
            beside = w.copy()
            beside[i] = side
            # Its second derivative there is of the order 1 / a^2.
            assert (c.ratio(beside) - value) / far == pytest.approx(slope, rel=1e-5)


@few
@given(full)
def test_no_other_point_is_critical(w):
    s, r = np.abs(w).sum(), np.linalg.norm(w)
    off = np.abs(w * s / r**2 - 1).max()  # from the critical magnitude
    assert np.abs(measured(w)[1]).max() == pytest.approx(off / r, rel=1e-6, abs=1e-11 / r)


@few
@given(signs, st.floats(0.1, 10.0))
def test_ternary_points_of_more_than_one_component_are_saddles(sign, a):
    k = len(sign)
    operator = curvature.hessian(c.NormRatio(k), a * sign)
    values = np.linalg.eigvalsh(curvature.dense(operator))  # rising
    known = np.append(np.full(k - 1, -1 / (a**2 * np.sqrt(k))), 0.0)
    np.testing.assert_allclose(values, known, atol=1e-11 / a**2)
    np.testing.assert_allclose(operator @ (a * sign), 0, atol=1e-11 / a)


@few
@given(hnp.arrays(np.float64, 5, elements=st.floats(-0.5, 0.5)).filter(lambda v: np.abs(v).max() > 0.01))
def test_one_component_alone_is_a_minimum(direction):
    w = np.zeros(6)
    w[2] = 1.0
    beside = w + np.insert(direction, 2, 0.0)
    assert c.ratio(w) == 1 and c.ratio(beside) > 1


def test_the_sum_over_tensors_and_the_whole_vector_have_other_critical_points():
    one, two = np.ones(3), 2 * np.ones(4)
    assert np.abs(measured(one)[1]).max() + np.abs(measured(two)[1]).max() < 1e-12
    whole = measured(np.concatenate([one, two]))[1]
    assert (whole[:3] > 0.01).all() and (whole[3:] < -0.001).all()  # the small tensor is cut down


def test_the_landscape_takes_many_points_at_once():
    points = np.random.default_rng(0).normal(size=(3, 2, 5))
    found = c.NormRatio(5)(points).numpy()
    np.testing.assert_allclose(found, [[c.ratio(w) for w in row] for row in points])


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [c.ratio, c.certificate, c.critical_magnitude, c.ternarity])
def test_bad_vectors_are_named(function):
    words = r"^w must have a component other than 0, or C is not defined; received zeros \(2, 3\)\.$"
    with pytest.raises(ValueError, match=words):
        function(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="^w must have a component other than 0"):
        function([])
    with pytest.raises(ValueError, match="^w must be finite; received NaN or infinity"):
        function([1.0, np.nan])
    with pytest.raises(ValueError, match="^w must be real numbers; received 'much'|text"):
        function("much")


def test_bad_limits_are_named():
    with pytest.raises(ValueError, match="^low must be below high = 0.5; received 0.5"):
        c.ternarity([1.0], 0.5, 0.5)
    with pytest.raises(ValueError, match="^low must be a finite number above 0; received -1"):
        c.ternarity([1.0], -1)
    with pytest.raises(ValueError, match="^dimension must be a whole number, at least 1"):
        c.NormRatio(0)
    for dtype in ("int32", "text", 3.0):
        with pytest.raises(ValueError, match="^dtype must be a floating one; received"):
            c.NormRatio(3, dtype)
    assert np.isnan(float(wedges.compressibility.NormRatio(2)([0.0, 0.0])))
