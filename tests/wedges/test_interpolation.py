"""Curves of losses and of outputs on a line, against closed forms, hand computation and Keras itself."""

import itertools
import math
import threading
import warnings
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests import conftest
from tests.wedges.small_networks import linear, softmax
from wedges import _progress, probe
from wedges.interpolation import (
    Interpolation,
    arc_length,
    distance_moved,
    interpolation,
    monotonicity,
    plateau,
    rise_bound,
    turning,
)
from wedges.landscape import Evaluation, WithExamples

few = settings(max_examples=100, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 10**6)
curves = st.lists(st.integers(-50, 50), min_size=2, max_size=12)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def highest_rise(losses):
    """By its definition, over all pairs of points."""
    pairs = itertools.combinations(range(len(losses)), 2)
    return max(0, *(losses[j] - losses[i] for i, j in pairs))


# ---- the largest draw-up --------------------------------------------------------------------------


@given(curves)
@few
def test_the_draw_up_is_the_highest_rise_between_any_two_points(losses):
    found = monotonicity(losses)
    assert found == highest_rise(losses) and found.dtype == np.float64 and found.shape == ()
    assert (found == 0) == all(a >= b for a, b in itertools.pairwise(losses))


@given(curves, st.integers(-100, 100), st.sampled_from([0.25, 2, 1024]))
@few
def test_a_constant_does_not_change_a_draw_up_and_a_scale_scales_it(losses, c, scale):
    assert monotonicity(np.add(losses, c)) == monotonicity(losses)
    assert monotonicity(np.multiply(losses, scale)) == scale * monotonicity(losses)


@given(curves, seeds)
@few
def test_a_finer_grid_can_only_raise_a_draw_up(losses, seed):
    inner = np.random.default_rng(seed).random(len(losses) - 2) < 0.5
    coarse = np.array(losses)[np.r_[True, inner, True]]
    assert 0 <= monotonicity(coarse) <= monotonicity(losses)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3, 2, 1, 1.5], 0.5),  # begins at the last point but one
        ([3, 1, 2, 0, 1.5], 1.5),  # not the first rise
        ([1, 3, 0, 1], 2),
        ([5, 5], 0),
        ([np.inf, np.inf, 2, 1], 0),
        ([np.inf, 2, np.inf], np.inf),
        ([2, np.nan, 1], np.nan),
        ([2, 1, np.nan], np.nan),
        ([np.nan, 1, 0], np.nan),
    ],
)
def test_draw_ups_by_hand(losses, expected):
    np.testing.assert_equal(monotonicity(losses), expected)


def test_many_curves_at_once_and_whole_results():
    np.testing.assert_array_equal(monotonicity([[[1, 2, 0], [2, 1, 0]]]), [[1, 0]])
    well = probe.line(wedges.Quadratic([2.0]), [-1.0], [1.0], 3)  # losses 1, 0, 1
    assert monotonicity(well) == 1 and plateau(well, level=0.5) == 0.5
    uneven = probe.Line(np.array([0, 0.8, 1]), np.array([1.0, 0.5, 0.0]))
    assert plateau(uneven, level=0.5) == pytest.approx(0.8, rel=1e-12)
    rounded = monotonicity(np.array([1, 1 + 2**-23], np.float32))
    assert rounded == 2**-23 and rounded.dtype == np.float64


# ---- the plateau ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "level", "expected"),
    [
        ([4, 4, 0], 0.5, 0.75),
        ([4, 0], 0.9, 0.1),
        ([4, 3.9, 3.8], 0.9, 1),
        ([4, 0, 4], 0.75, 0.25),  # both ends of the line
        ([4, 2, 2], 0.5, 1),  # at the level is on the plateau
        ([4, 1, 2], 0.5, 1 / 3),
        ([4, np.inf, 0], 0.5, 1),
        ([4, 0, np.inf, np.inf], 0.5, 1 / 6 + 2 / 3),
        ([0, 1, 2], 0.5, np.nan),
        ([-4, -5, -1], 0.5, np.nan),
        ([np.inf, 1, 0], 0.5, np.nan),
        ([4, np.nan, 0], 0.5, np.nan),
    ],
)
def test_plateaus_by_hand(losses, level, expected):
    np.testing.assert_allclose(plateau(losses, level=level), expected, rtol=1e-14)


@given(st.lists(st.floats(0.1, 2), min_size=2, max_size=9), st.floats(0.1, 0.95), seeds)
@few
def test_a_plateau_is_the_share_of_a_fine_grid_that_is_on_it(losses, level, seed):
    between = np.sort(np.random.default_rng(seed).uniform(0.01, 0.99, len(losses) - 2))
    t = np.r_[0.0, between, 1.0]
    assume(np.diff(t).min() > 0)
    fine = (np.arange(100_000) + 0.5) / 100_000
    share = np.mean(np.interp(fine, t, losses) >= level * losses[0])
    assert plateau(losses, t, level=level) == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize(("k", "published"), [(1, 0.05), (2, 0.23), (3, 0.37), (4, 0.48)])
def test_the_plateau_of_a_homogeneous_network_in_closed_form(k, published):
    """L = (1 - t^k)^2 / 2, which is 0.9 / 2 where t^k = 1 - sqrt(0.9)."""
    t = np.linspace(0, 1, 20_001)
    found = plateau((1 - t**k) ** 2 / 2)
    assert found == pytest.approx((1 - math.sqrt(0.9)) ** (1 / k), abs=1e-8)
    assert found == pytest.approx(published, abs=0.006)


# ---- turning and length ---------------------------------------------------------------------------


@given(st.floats(0.01, 6), st.integers(3, 60), seeds)
@few
def test_an_arc_turns_by_its_angle(angle, points, seed):
    """A polygon of n equal chords has n - 1 corners of angle / n; in any plane of three dimensions."""
    a = np.linspace(0, angle, points)
    plane = np.linalg.qr(normal(seed, 3, 2))[0]
    z = np.stack([np.cos(a), np.sin(a)], axis=-1) @ plane.T
    n = points - 1
    assert turning(z) == pytest.approx(angle * (n - 1) / n, rel=1e-9)
    assert arc_length(z) == pytest.approx(2 * n * math.sin(angle / (2 * n)), rel=1e-12)


@given(st.floats(-20, 20), st.integers(3, 60))
@few
def test_a_parabola_turns_by_the_arctangent_of_its_last_slope(c, points):
    t = np.linspace(0, 1, points)
    h = t[1]  # the first chord has the slope c h, the last one c (2 - h)
    expected = abs(math.atan(c * (2 - h)) - math.atan(c * h))
    assert turning(np.stack([t, c * t**2], -1)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("c", [-20, -1, 0.5, 3])
def test_a_fine_parabola_turns_by_the_arctangent_of_2_c(c):
    t = np.linspace(0, 1, 4001)
    assert turning(np.stack([t, c * t**2], -1)) == pytest.approx(abs(math.atan(2 * c)), abs=0.006)


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-4, 1, math.pi / 2, 3, math.pi - 1e-6, math.pi])
def test_small_angles_and_large_ones_are_exact(angle):
    corner = [[0, 0], [1, 0], [1 + math.cos(angle), math.sin(angle)]]
    assert turning(corner) == pytest.approx(angle, rel=1e-7, abs=1e-15)


@given(st.integers(2, 12), st.integers(2, 5), seeds)
@few
def test_a_curve_turns_alike_however_it_is_moved_and_whatever_its_speed(points, columns, seed):
    rng = np.random.default_rng(seed)
    z = normal(seed, points, columns).cumsum(axis=0)
    turned, length = turning(z), arc_length(z)
    rotation = np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    scale = 10.0 ** rng.integers(-6, 7)
    moved = scale * z @ rotation + 10 * scale * rng.standard_normal(columns)
    assert turning(moved) == pytest.approx(turned, rel=1e-8, abs=1e-8)
    assert arc_length(moved) == pytest.approx(scale * length, rel=1e-9)
    # Other t: points between the corners, each any number of times; and backwards.
    where = np.sort(np.r_[np.arange(points), np.repeat(rng.uniform(0, points - 1, 5), 2)])
    retimed = np.stack([np.interp(where, np.arange(points), column) for column in z.T], axis=-1)
    for other in (retimed, z[::-1]):
        assert turning(other) == pytest.approx(turned, rel=1e-7, abs=1e-7)
        assert arc_length(other) == pytest.approx(length, rel=1e-9)


@given(st.integers(2, 12), st.integers(2, 4), seeds)
@few
def test_more_points_on_a_curve_can_only_raise_turning_and_length(points, columns, seed):
    z = normal(seed, points, columns)
    coarse = z[np.r_[True, np.random.default_rng(seed).random(points - 2) < 0.5, True]]
    assert turning(coarse) <= turning(z) + 1e-12
    assert arc_length(coarse) <= arc_length(z) + 1e-12


def test_points_that_stand_still_do_not_turn_and_nan_makes_nan_of_its_own_example():
    still = np.zeros((4, 1, 2))
    step = np.array([[0, 0], [1, 0], [1, 0], [1, 1]])[:, None]
    late = np.array([[0, 0], [0, 0], [1, 0], [1, 1]])[:, None]
    early = np.array([[0, 0], [1, 0], [1, 1], [1, 1]])[:, None]
    lost = np.array([[0, 0], [1, 0], [np.nan, 1], [1, 1]])[:, None]
    far = np.array([[0, 0], [1, 0], [np.inf, 1], [1, 1]])[:, None]
    z = np.concatenate([still, step, late, early, lost, far], axis=1)
    right = math.pi / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, length = turning(z), arc_length(z)
    np.testing.assert_allclose(found, [0, right, right, right, np.nan, np.nan], rtol=1e-15)
    np.testing.assert_array_equal(length[:5], [0, 2, 2, 2, np.nan])
    assert not np.isfinite(length[5])
    for at, value in itertools.product(range(4), (np.nan, np.inf)):
        still[at] = value
        assert np.isnan(turning(still)) and np.isnan(turning(still[[at, at - 1]]))
        still[at] = 0
    assert turning([[0, 0], [3, 4]]) == 0 and arc_length([[0, 0], [3, 4]]) == 5


def test_many_examples_of_many_columns_are_each_as_by_themselves():
    """More numbers than are looked at together."""
    z = normal(0, 4, 700, 90).astype(np.float32)
    z[2, 100] = z[1, 100]
    found, length = turning(z), arc_length(z)
    assert found.shape == length.shape == (700,) and found.dtype == length.dtype == np.float64
    for i in (0, 99, 100, 101, 364, 699):
        chords = [b - a for a, b in itertools.pairwise(z[:, i].astype(np.float64)) if np.any(a != b)]
        cosines = [a @ b / np.sqrt(a @ a * (b @ b)) for a, b in itertools.pairwise(chords)]
        assert found[i] == pytest.approx(np.arccos(cosines).sum(), rel=1e-12)
        assert length[i] == pytest.approx(sum(np.sqrt(c @ c) for c in chords), rel=1e-12)


# ---- the bound ------------------------------------------------------------------------------------


def bent(rng, columns, total, corners):
    """A polygon of random chords whose corners are random and add up to `total`."""
    u = rng.standard_normal(columns)
    u /= np.linalg.norm(u)
    z = [rng.standard_normal(columns)]
    for angle in [0, *total * rng.dirichlet(np.ones(corners))]:
        side = rng.standard_normal(columns)
        side -= side @ u * u
        u = math.cos(angle) * u + math.sin(angle) * side / np.linalg.norm(side)
        u /= np.linalg.norm(u)
        z.append(z[-1] + rng.uniform(0.1, 2) * u)
    return np.array(z)


def fine(z, each=40):
    """The polygon through z [T, C], `each` points on each chord."""
    t = np.arange(len(z))
    at = np.linspace(0, t[-1], each * t[-1] + 1)
    return np.stack([np.interp(at, t, column) for column in z.T], axis=-1)


@given(st.floats(0, math.pi / 2 - 1e-9), st.integers(2, 5), st.integers(1, 7), seeds)
@few
def test_no_curve_of_small_turning_rises_above_its_bound(angle, columns, corners, seed):
    rng = np.random.default_rng(seed)
    curves = [bent(rng, columns, angle, corners) for _ in range(6)]
    last = np.array([z[-1] for z in curves])
    y = last + 10.0 ** rng.uniform(-3, 1) * rng.standard_normal(last.shape)
    found, exact = (rise_bound(np.stack(curves, axis=1), targets) for targets in (y, last))
    np.testing.assert_allclose(turning(np.stack(curves, axis=1)), angle, atol=1e-9)
    losses, ended = (
        np.array([np.sum((fine(z) - b) ** 2, axis=-1) / 2 for z, b in zip(curves, targets, strict=True)])
        for targets in (y, last)
    )
    rounding = 1e-12 * losses.max()
    assert found.holds.all() and np.all(monotonicity(losses) <= found.each + rounding)
    assert monotonicity(losses.mean(axis=0)) <= found.bound + rounding
    assert exact.bound == 0 and np.all(monotonicity(ended) <= 1e-12 * ended.max())


def test_the_bound_by_hand_and_where_it_says_nothing():
    """The second of three goes past its target and back, the third is a right angle."""
    z = np.array([[[0, 0], [0, 0], [0, 0]], [[1, 1], [6, 0], [1, 0]], [[2, 2], [4, 0], [1, 2]]], float)
    y = np.array([[2, 1], [4, 0], [1, 1]])
    found = rise_bound(z, y)
    assert found.holds.tolist() == [True, False, True]
    np.testing.assert_allclose(found.each, [math.sqrt(8), np.inf, 3])
    assert found.bound == np.inf
    assert 3 < rise_bound(z[:, [0, 2]], y[[0, 2]]).bound * 2 == pytest.approx(math.sqrt(8) + 3)
    # Without the condition the number would be wrong: the second ends at its target, and rises.
    assert monotonicity([np.sum((p - y[1]) ** 2) / 2 for p in fine(z[:, 1], 60)]) == pytest.approx(2)
    assert rise_bound(z[:, 0], y[0]).each == pytest.approx([math.sqrt(8)])  # one example
    lost = z.copy()
    lost[1, 0] = np.nan
    assert not rise_bound(lost, y).holds[0] and rise_bound(lost, y).bound == np.inf
    with pytest.raises(ValueError, match="^targets must be finite; received NaN or infinity.$"):
        rise_bound(z, np.where(y == 4, np.nan, y))
    # A curve in one column may turn back, or not.
    back = rise_bound([[[0.0], [0.0]], [[1.0], [3.0]], [[2.0], [2.0]]], [[2.5], [2.5]])
    np.testing.assert_allclose(back.each, [1, np.inf])


# ---- a convex loss --------------------------------------------------------------------------------


@given(st.integers(1, 5), seeds)
@few
def test_a_quadratic_is_monotone_if_and_only_if_it_does_not_rise_at_the_end(dimension, seed):
    """Between the points it may: the vertex is told from the grid by half of a cell."""
    root, center, start, end = normal(seed, dimension, dimension), *normal(seed + 1, 3, dimension)
    end = center + 0.3 * (end - center)
    bowl = wedges.Quadratic(root @ root.T, center, "float64")
    found = interpolation(bowl, start, end, points=21)
    slope = (end - start) @ root @ root.T @ (end - center)
    bend = np.sum(((end - start) @ root) ** 2)
    loss = lambda theta: 0.5 * np.sum(((theta - center) @ root) ** 2)
    assert found.losses[[0, -1]] == pytest.approx([loss(start), loss(end)], rel=1e-9)
    if slope <= 0:
        assert found.draw_up <= 1e-12 * found.losses[0]
    elif slope / bend > 0.51 / 20:  # L(1) - L(1 - h) = h slope - h^2 bend / 2
        assert found.draw_up >= (slope - bend / 40) / 20 * (1 - 1e-6) > 0
    exact = 0.5 * slope**2 / bend if 0 < slope < bend else loss(end) - loss(start) if slope > 0 else 0
    assert found.draw_up <= exact + 1e-12 * found.losses.max()


def descended(curvatures, start, rate, steps):
    for _ in range(steps):
        start = start - rate * curvatures * start
    return start


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=6), st.floats(0.01, 0.999), seeds)
@few
def test_gradient_descent_that_does_not_overshoot_never_breaks_a_quadratic(curvatures, share, seed):
    curvatures, start = np.array(curvatures), normal(seed, len(curvatures))
    steps = int(np.random.default_rng(seed).integers(1, 40))
    end = descended(curvatures, start, share / curvatures.max(), steps)
    found = interpolation(wedges.Quadratic(curvatures, dtype="float64"), start, end)
    assert found.draw_up <= 1e-12 * found.losses[0]


@pytest.mark.parametrize(("steps", "broken"), [(7, True), (8, False)])
def test_gradient_descent_that_overshoots_breaks_it_after_an_odd_number_of_steps(steps, broken):
    """theta_T = (1 - 1.9)^T theta_0, and L = (1 - t (1 - theta_T))^2 / 2."""
    bowl = wedges.Quadratic([1.0], dtype="float64")
    theta = wedges.minimize(bowl, [1.0], keras.optimizers.SGD(1.9), steps).theta
    end = (-0.9) ** steps
    np.testing.assert_allclose(theta, [end], rtol=1e-6)
    found = interpolation(bowl, [1.0], theta, points=2001)
    assert found.draw_up == pytest.approx(end**2 / 2 if broken else 0, abs=1e-6)
    assert found.plateau == pytest.approx((1 - math.sqrt(0.9)) / (1 - end), abs=1e-6)
    assert found.distance == pytest.approx((1 - end, 1 - end, (1 - end) / abs(end)), rel=1e-6)


def test_softmax_regression_is_monotone_if_and_only_if_it_does_not_rise_at_the_end(doubles):
    y = np.random.default_rng(1).integers(0, 3, 53)
    x, landscape = linear(3, conftest.SPARSE, y)
    wide = np.c_[x, np.ones(len(x))]  # theta is the kernel, then the bias
    kinds = []
    for seed in range(16):
        start, end = normal(seed, 2, 5, 3) * [[[1]], [[0.05 * seed]]]
        error = softmax(wide @ end) - np.eye(3)[y]
        slope = np.sum((end - start) * (wide.T @ error)) / len(x)
        found = interpolation(landscape, start.ravel(), end.ravel(), points=101)
        kinds.append(found.draw_up > 0)
        assert kinds[-1] == (slope > 0)
        assert np.diff(found.losses, 2).min() > 0  # convex, indeed
        # A linear model: the logits move on straight lines.
        assert found.turning.max() < 1e-6
        np.testing.assert_allclose(found.arc_length, np.linalg.norm(wide @ (end - start), axis=1))
    assert 3 <= sum(kinds) <= 13  # both kinds


# ---- networks whose curves are known --------------------------------------------------------------


def network(widths, x, y=None, *, bias=False, activation="relu", **settings):
    """A landscape of dense layers in float64, on x [N, ...] and y by the mean squared error."""
    stack = [layers.Dense(n, activation, use_bias=bias) for n in widths[:-1]]
    end = layers.Dense(widths[-1], use_bias=bias)
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack, end])
    y = np.zeros((len(x), widths[-1])) if y is None else y
    settings = {"loss": "mean_squared_error", "seed": 0, "evaluation_batch_size": 8, **settings}
    return wedges.NetworkLandscape(model, x, y, **settings)


def test_a_two_layer_linear_network_moves_on_parabolas(doubles):
    x = normal(0, 20, 4).astype(np.float32).astype(np.float64)
    landscape = network([3, 2], x, activation="linear")
    for seed in range(5):
        start, end = normal(seed, 2, landscape.dimension)
        found = interpolation(landscape, start, end, points=400)
        first, second = (
            np.stack([e[:12].reshape(4, 3) for e in (start, end)]),
            np.stack([e[12:].reshape(3, 2) for e in (start, end)]),
        )
        middle = x @ (first[0] @ second[1] + first[1] @ second[0]) / 2
        ends = x @ first[0] @ second[0], x @ first[1] @ second[1]
        before, after = middle - ends[0], ends[1] - middle  # tangents at the ends of a Bezier curve
        u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (before, after))
        expected = np.arccos(np.sum(u * v, axis=1))
        # The polygon misses the turning within half of its first and last chord.
        assert np.all(found.turning <= expected + 1e-9) and found.turning.max() < math.pi
        np.testing.assert_allclose(found.turning, expected, atol=0.1)
        assert np.median(expected - found.turning) < 0.01
        np.testing.assert_allclose(found.outputs, ends[1])
        # The loss is a polynomial of degree 4.
        rest = np.polynomial.Polynomial.fit(found.t, found.losses, 4)(found.t) - found.losses
        assert np.abs(rest).max() < 1e-10 * found.losses.max()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_homogeneous_network_from_zero_does_not_turn_and_has_its_plateau(doubles, depth):
    x = normal(0, 12, 4).astype(np.float32).astype(np.float64)
    blank = network([6] * (depth - 1) + [2], x)
    end = 0.5 + np.abs(normal(1, blank.dimension))
    end[::3] *= -1
    landscape = network([6] * (depth - 1) + [2], x, blank.evaluate(end).outputs)
    found = interpolation(landscape, np.zeros_like(end), end, points=401)
    assert found.turning.max() < 1e-6 and found.draw_up == 0
    assert np.abs(found.losses / found.losses[0] - (1 - found.t**depth) ** 2).max() < 1e-12
    np.testing.assert_allclose(found.arc_length, np.linalg.norm(found.outputs, axis=1))
    assert found.plateau == pytest.approx((1 - math.sqrt(0.9)) ** (1 / depth), abs=1e-4)
    assert found.distance.by_start == np.inf and found.distance.by_end == 1
    bound = rise_bound(found, found.outputs)
    assert bound.holds.all() and bound.bound == 0


@pytest.mark.parametrize("points", [10, 11])
def test_a_kink_of_a_rectifier_is_seen(doubles, points):
    """The first layer's biases alone move: z = (max(t - 1/2, 0), t) turns by 45 degrees between lines.

    It does so at a point, or between two.
    """
    x = np.ones((3, 1))
    landscape = network([2, 2], x, bias=True)
    flat = lambda bias: np.r_[0, 0, bias, np.eye(2).ravel(), 0, 0]
    found = interpolation(landscape, flat([-0.5, 0]), flat([0.5, 1]), points)
    np.testing.assert_allclose(found.turning, math.pi / 4, rtol=1e-6)
    np.testing.assert_allclose(found.outputs, [[0.5, 1]] * 3)


# ---- against Keras --------------------------------------------------------------------------------


def two(landscape, scale=0.3, seed=0):
    start = landscape.space.read().numpy()
    return start, start + (scale * normal(seed, len(start))).astype(start.dtype)


@pytest.mark.parametrize("build", [conftest.plain, conftest.dropout, conftest.batch_norm])
def test_loss_accuracy_and_outputs_are_what_keras_says_of_the_model_at_three_points(build, images):
    x, y = images
    model = build()
    model.compile(loss=conftest.SPARSE, metrics=["accuracy"])
    landscape = wedges.NetworkLandscape(
        model, x, y, seed=0, batch_norm="reestimate", evaluation_batch_size=16
    )
    start, end = two(landscape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interpolation(landscape, start, end, 3)
    assert found.t.tolist() == [0, 0.5, 1]
    outputs = []
    for i, theta in enumerate([start, 0.5 * start + 0.5 * end, end]):
        landscape.write(theta)
        loss, accuracy = model.evaluate(x, y, batch_size=16, verbose=0)
        assert found.losses[i] == pytest.approx(loss, rel=1e-4)
        assert found.accuracies[i] == pytest.approx(accuracy, abs=1e-6)
        outputs.append(model.predict(x, batch_size=16, verbose=0).astype(np.float64))
    np.testing.assert_allclose(found.outputs, outputs[2], atol=1e-4)
    first, second = np.diff(outputs, axis=0)
    lengths = [np.linalg.norm(chord, axis=1) for chord in (first, second)]
    np.testing.assert_allclose(found.arc_length, sum(lengths), rtol=1e-3)
    cosine = np.sum(first * second, axis=1) / (lengths[0] * lengths[1])
    np.testing.assert_allclose(np.cos(found.turning), cosine, atol=1e-3)
    assert found.losses.dtype == found.turning.dtype == np.float64 and found.turning.shape == (53,)
    assert found.draw_up == pytest.approx(highest_rise(found.losses.tolist()))


def test_many_points_are_each_what_a_single_evaluation_says(images):
    landscape = wedges.NetworkLandscape(conftest.plain(), *images, conftest.SPARSE, seed=0)
    start, end = two(landscape)
    found = interpolation(landscape, start, end, 17)
    weights = found.t.astype(np.float32)
    singles = [landscape.evaluate((1 - w) * start + w * end) for w in weights]
    np.testing.assert_allclose(found.losses, [s.loss for s in singles], rtol=1e-5)
    np.testing.assert_array_equal(found.accuracies, [s.accuracy for s in singles])
    line = probe.line(landscape, start, end, 17)
    np.testing.assert_allclose(found.losses, line.losses, rtol=1e-5)
    np.testing.assert_allclose(found.turning, turning([s.outputs for s in singles]), atol=1e-3)
    np.testing.assert_allclose(found.arc_length, arc_length([s.outputs for s in singles]), rtol=1e-5)


def test_several_outputs_have_a_curve_each(images):
    x, y = images
    image = keras.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    ends = {"class": layers.Dense(3, name="class")(flat), "size": layers.Dense(1, name="size")(flat)}
    model = keras.Model(image, {**ends, "place": layers.Reshape((2, 2))(layers.Dense(4)(flat))})
    targets = {"class": y, "size": np.ones((53, 1)), "place": np.ones((53, 2, 2))}
    losses = {"class": conftest.SPARSE, "size": "mean_squared_error", "place": "mean_squared_error"}
    landscape = wedges.NetworkLandscape(model, x, targets, losses, seed=0)
    start, end = two(landscape)
    with pytest.warns(UserWarning, match=r"^outputs of shape \(53, 1\) have one column"):
        found = interpolation(landscape, start, end, 4)
    at = [landscape.evaluate((1 - w) * start + w * end) for w in found.t.astype(np.float32)]
    assert found.accuracies["class"] == pytest.approx([a.accuracy["class"] for a in at])
    assert found.accuracies["size"] is None and found.turning["size"] is None
    size = np.array([a.outputs["size"] for a in at])
    np.testing.assert_allclose(found.arc_length["size"], np.abs(np.diff(size, axis=0)).sum((0, 2)), 1e-4)
    place = np.array([a.outputs["place"] for a in at]).reshape(4, 53, 4)
    assert found.outputs["place"].shape == (53, 2, 2)
    lengths = np.linalg.norm(np.diff(place, axis=0), axis=-1).sum(axis=0)
    np.testing.assert_allclose(found.arc_length["place"], lengths, rtol=1e-4)
    assert found.turning["place"].shape == (53,) and found.turning["class"].shape == (53,)
    with pytest.raises(ValueError, match="^outputs must be an Interpolation of one output of at least"):
        rise_bound(found, targets["place"])
    with pytest.raises(ValueError, match=r"^[^\n]{,300}'class': \[53\] from[^\n]{,300}$"):
        rise_bound(found, targets["place"])
    for words in ("{'class': [0.", "'size': None", "'class': [53] from", "'place': [53, 2, 2] from"):
        assert words in repr(found)
    assert "\n" not in repr(found) and len(repr(found)) < 900
    listed = found._replace(outputs=list(found.outputs.values()))
    assert "outputs=[[53, 3] from" in repr(listed) and "\n" not in repr(listed)


# ---- one evaluation a point, and little kept ------------------------------------------------------


class Recorded(WithExamples):
    """Outputs theta times (1, i) of examples i; keeps where it was evaluated, and what is alive."""

    dimension, dtype = 2, tf.float64

    def __init__(self, accuracy=None, fails=None):
        self.accuracy, self.fails = accuracy, fails
        self.points, self.silent, self.alive, self.most = [], [], 0, 0
        self.lock = threading.Lock()

    def __call__(self, theta):
        return tf.reduce_sum(self.point(theta) ** 2, axis=-1)

    def evaluate(self, theta):
        with self.lock:
            self.points.append(tuple(theta))
            self.silent.append(_progress._SILENT.get())
            self.alive += 1
            self.most = max(self.most, self.alive)
        if self.fails is not None and theta[0] >= self.fails:
            raise ValueError("x could not be read.")
        outputs = np.arange(1, 9)[:, None] * theta
        weakref.finalize(outputs, self.gone)
        return Evaluation(float(self(theta)), self.accuracy, outputs)

    def gone(self):
        with self.lock:
            self.alive -= 1

    def on(self, x, y=None, **overrides):
        raise NotImplementedError

    minibatch = drawn = sample_of = on


def test_each_point_is_evaluated_once_and_few_outputs_are_kept():
    landscape = Recorded()
    with _progress.silent():
        found = interpolation(landscape, [0.0, 4.0], [3.0, 0.0], points=31)
    expected = np.stack([3 * found.t, 4 - 4 * found.t], axis=-1)
    np.testing.assert_allclose(sorted(landscape.points), expected, atol=1e-15)
    assert len(landscape.points) == 31 and landscape.most <= 6 and all(landscape.silent)
    np.testing.assert_allclose(found.losses, np.sum(expected**2, axis=-1))
    np.testing.assert_allclose(found.arc_length, 5 * np.arange(1, 9))
    assert found.accuracies is None and found.turning.max() < 1e-6
    np.testing.assert_array_equal(found.outputs, np.arange(1, 9)[:, None] * [3, 0])


def test_what_goes_wrong_at_a_point_is_told_as_it_is():
    landscape = Recorded(fails=1.0)
    with pytest.raises(ValueError, match=r"^x could not be read\.$"):
        interpolation(landscape, [0.0, 0.0], [3.0, 3.0], points=31)
    assert len(landscape.points) < 20


# ---- landscapes without examples ------------------------------------------------------------------


def test_a_toy_has_losses_alone():
    toy = wedges.AxisWedges(6, 2)
    start, end = normal(0, 2, 6).astype(np.float32)
    found = interpolation(toy, start, end, points=9)
    expected = [toy((1 - w) * start + w * end) for w in found.t.astype(np.float32)]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6)
    assert found.accuracies is found.turning is found.arc_length is found.outputs is None
    assert repr(found).startswith("Interpolation(t=[9] from 0 to 1, losses=[9] from")
    assert "distance=Distance(moved=" in repr(found) and "turning=None" in repr(found)


def test_a_restricted_network_has_losses_alone(images):
    network = wedges.NetworkLandscape(conftest.plain(), *images, conftest.SPARSE, seed=0)
    start, end = two(network)
    plane = wedges.through([start, end, start + 1])
    inside = wedges.restrict(network, plane)
    found = interpolation(inside, *plane.coordinates(np.stack([start, end])), points=5)
    np.testing.assert_allclose(found.losses, probe.line(network, start, end, 5).losses, rtol=1e-4)
    assert found.outputs is None and found.distance.moved == pytest.approx(np.linalg.norm(end - start))


# ---- how far it moved -----------------------------------------------------------------------------


def test_the_distance_by_hand_and_over_nothing():
    assert distance_moved([3, 4], [3, 0]) == (4, 0.8, 4 / 3)
    assert distance_moved([0, 0], [3, 4]) == (5, np.inf, 1)
    assert distance_moved([3, 4], [0, 0]) == (5, 1, np.inf)
    assert distance_moved([3, 4], [3, 4]) == (0, 0, 0)
    np.testing.assert_equal(distance_moved([0.0], [0.0]), (0, np.nan, np.nan))
    many = np.ones(10**6, np.float32)
    assert distance_moved(many, many * np.float32(2)) == (1000, 1, 0.5)


# ---- what is named --------------------------------------------------------------------------------

BOWL = wedges.Quadratic([1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((BOWL, [1.0, 0.0], [1.0, 0.0]), "^end must be another point than start; received the same"),
        ((BOWL, [1.0, 0.0], [1.0, 1e-300]), "^end must be another point than start"),
        (
            (BOWL, [1.0], [1.0, 0.0]),
            r"^start must be a point \[2\] of this landscape; received shape \(1,\)",
        ),
        ((BOWL, [1.0, 0.0], [[1.0, 0.0]]), r"^end must be a point \[2\] of this landscape"),
        ((BOWL, [1.0, np.nan], [1.0, 0.0]), "^start must be finite; received NaN or infinity"),
        ((BOWL, [1.0, 0.0], [np.inf, 0.0]), "^end must be finite"),
        ((BOWL, "start", [1.0, 0.0]), "^start must be real numbers"),
        ((BOWL, [1.0, 0.0], [0.0, 1.0], 1), "^points must be a whole number, at least 2; received 1"),
        ((3, [1.0, 0.0], [0.0, 1.0]), "^landscape must be a wedges.Landscape; received int"),
    ],
)
def test_ends_that_are_none_are_named(arguments, said):
    with pytest.raises(ValueError, match=said) as error:
        interpolation(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (
            monotonicity,
            ([1.0],),
            r"^losses must be numbers \[..., T\], T >= 2, or a line; received float64 \(1,\)",
        ),
        (monotonicity, (["a", "b"],), "^losses must be numbers"),
        (
            plateau,
            ([1.0, 2.0], [0.0, 0.5]),
            r"^t must be 2 numbers that rise from 0 to 1; received \[0, 0.5\]",
        ),
        (plateau, ([1.0, 2.0, 3.0], [0.0, 1.0, 1.0]), "^t must be 3 numbers"),
        (plateau, ([1.0, 2.0], [0.0, 0.5, 1.0]), "^t must be 2 numbers"),
        (
            turning,
            (np.ones((3, 5, 1)),),
            r"^outputs must have at least two columns.* received shape \(3, 5, 1\)",
        ),
        (
            turning,
            (np.ones(3),),
            r"^outputs must be numbers \[T, N, C\] or \[T, C\], T >= 2 points; received",
        ),
        (turning, (np.ones((1, 5, 2)),), "^outputs must be numbers"),
        (turning, (np.ones((2, 0, 2)),), "^outputs must be numbers"),
        (arc_length, (np.ones((2, 2, 2, 2)),), "^outputs must be numbers"),
        (arc_length, ([["a", "b"]] * 2,), "^outputs must be numbers"),
        (
            rise_bound,
            (np.ones((3, 5, 2)), np.ones((5, 3))),
            r"^targets must be numbers shaped .*, \(5, 2\); received float64 \(5, 3\)",
        ),
        (rise_bound, (np.ones((3, 5, 2)), np.zeros(5, int)), "^targets must be numbers shaped"),
        (rise_bound, (np.ones(3), np.ones(3)), "^outputs must be numbers"),
        (
            rise_bound,
            (interpolation(BOWL, [1, 0], [0, 1], 3), [0.0]),
            "^outputs must be an Interpolation .*turning is None",
        ),
        (
            distance_moved,
            ([1.0], [1.0, 2.0]),
            r"^start and end must be points of one shape \[D\]; received",
        ),
        (distance_moved, ([[1.0]], [[2.0]]), "^start and end must be points"),
        (distance_moved, (["a"], ["b"]), "^start must be numbers"),
    ],
)
def test_arrays_of_other_shapes_are_named(function, arguments, said):
    with pytest.raises(ValueError, match=said) as error:
        function(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, np.nan, "0.9"])
def test_a_level_that_is_no_share_is_named(level):
    with pytest.raises(ValueError, match="^level must be a share between 0 and 1; received"):
        plateau([1.0, 0.0], level=level)


class Cliff(wedges.Landscape):
    """NaN right of 1/2."""

    dimension, dtype = 1, tf.float64

    def __call__(self, theta):
        x = self.point(theta)[..., 0]
        return tf.where(x > 0.5, np.nan, 1 - x)


def test_losses_that_are_nan_are_named_and_kept():
    with pytest.warns(UserWarning, match="^2 of 5 losses on the line are NaN, and so are draw_up and"):
        found = interpolation(Cliff(), [0.0], [1.0], points=5)
    np.testing.assert_array_equal(found.losses, [1, 0.75, 0.5, np.nan, np.nan])
    assert np.isnan(found.draw_up) and np.isnan(found.plateau) and found.distance.moved == 1


def test_a_single_output_is_named(doubles):
    x = np.arange(1.0, 4)[:, None]
    with pytest.warns(UserWarning, match=r"^outputs of shape \(3, 1\) have one column.*turning is None"):
        found = interpolation(network([1], x), [1.0], [-1.0], points=5)
    assert found.turning is None and found.arc_length.tolist() == [2, 4, 6]


def test_frozen_batch_norm_is_named_and_reestimated_is_not(images):
    model = conftest.batch_norm()
    frozen = wedges.NetworkLandscape(model, *images, conftest.SPARSE, seed=0)
    with pytest.warns(UserWarning, match="batch norm has the statistics of one model") as told:
        found = interpolation(frozen, *two(frozen), points=3)
    assert [w.filename for w in told] == [__file__] and np.isfinite(found.losses).all()


def test_it_is_an_interpolation_and_its_fields_have_names(images):
    landscape = wedges.NetworkLandscape(conftest.plain(), *images, conftest.SPARSE, seed=0)
    found = interpolation(landscape, *two(landscape), points=3)
    assert isinstance(found, Interpolation) and len(repr(found)) < 500
    assert monotonicity(found) == found.draw_up and plateau(found) == found.plateau
    targets = np.eye(3)[images[1]]
    line = [landscape.evaluate(theta).outputs for theta in (two(landscape)[0], two(landscape)[1])]
    assert rise_bound(found, targets).each.shape == (53,) and np.shape(line) == (2, 53, 3)
