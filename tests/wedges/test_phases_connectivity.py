"""Mode connectivity against hand computation, closed forms and evaluations at single points."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from tests import conftest
from wedges import phases, simplex
from wedges.phases import connectivity, deviation, mode_connectivity

few = settings(max_examples=200, deadline=None, derandomize=True, database=None)
QUARTERS = [0, 0.25, 0.5, 0.75, 1]


class DoubleWell(wedges.Landscape):
    """h (x^2 - 1)^2 + |y|^2 / 2: wells at x = -1 and 1, and a pass of height h that any path crosses."""

    def __init__(self, height, dimension=1):
        self.dimension, self.dtype, self.height = dimension, tf.float64, height

    def __call__(self, theta):
        theta = self.point(theta)
        x, y = theta[..., 0], theta[..., 1:]
        return self.height * (x**2 - 1) ** 2 + 0.5 * tf.reduce_sum(y**2, axis=-1)


class Ring(wedges.Landscape):
    """(|theta|^2 - 1)^2 on two dimensions: a circle of minima, over a hill of height 1."""

    dimension, dtype = 2, tf.float64

    def __call__(self, theta):
        return (tf.reduce_sum(self.point(theta) ** 2, axis=-1) - 1) ** 2


def network(images, model=conftest.plain, **how):
    x, y = images
    return wedges.NetworkLandscape(model(), x, y, conftest.SPARSE, seed=0, batch_size=16, **how)


def two(landscape, scale=0.5, seed=0):
    start = landscape.space.read().numpy()
    away = np.random.default_rng(seed).normal(size=(2, len(start))).astype(np.float32)
    return start + scale * away


# ---- mc of known values ---------------------------------------------------------------------------


def test_the_largest_deviation_counts_whatever_its_sign_and_both_are_told():
    """+5 at 1/4 hides the barrier of 4 at 1/2."""
    found = deviation(QUARTERS, [6, 1, 10, 6, 6])
    assert found == (5, 0.25, 4, 5)
    assert deviation(QUARTERS, [6, 1, 12, 6, 6]) == (-6, 0.5, 6, 5)


def test_the_ends_count_as_positions_and_the_first_of_equals_wins():
    assert deviation(QUARTERS, [0, 5, 5, 5, 10]) == (5, 0, 5, 5)
    assert deviation(QUARTERS, [10, 5, 5, 5, 0]) == (-5, 0, 5, 5)
    assert deviation(QUARTERS, [4, 4, 7, 1, 4]) == (-3, 0.5, 3, 3)


def test_a_flat_path_has_no_deviation():
    assert deviation(QUARTERS, [3] * 5) == (0, 0, 0, 0)


@few
@given(st.lists(st.integers(0, 100), min_size=5, max_size=5))
def test_the_larger_of_barrier_and_dip_is_the_size_of_mc(values):
    found, m = deviation(QUARTERS, values), (values[0] + values[-1]) / 2
    assert found.barrier == max(v - m for v in values) and found.dip == max(m - v for v in values)
    assert abs(found.mc) == max(found.barrier, found.dip)
    assert found.mc == m - values[QUARTERS.index(found.t)]


@few
@given(st.lists(st.integers(0, 100), min_size=5, max_size=5), st.integers(-9, 9))
def test_a_constant_moves_nothing_and_a_reversal_only_t(values, c):
    found = deviation(QUARTERS, values)
    assert deviation(QUARTERS, np.add(values, c)) == found
    back = deviation(QUARTERS, values[::-1])
    assert (abs(back.mc), back.barrier, back.dip) == (abs(found.mc), found.barrier, found.dip)


def test_nan_makes_nan_of_all():
    assert np.isnan(deviation(QUARTERS, [0, 0, np.nan, 0, 0])).all()


@pytest.mark.parametrize(
    ("t", "values", "said"),
    [
        ([0, 1], [0], r"t and values must have one shape \[T\], T >= 2; received \(2,\) and \(1,\)"),
        ([0], [0], r"T >= 2; received \(1,\)"),
        ([0, 0.7, 0.5, 1], [0] * 4, "t must rise from 0 to 1; received"),
        ([0.1, 1], [0] * 2, "t must rise from 0 to 1"),
    ],
)
def test_what_is_no_path_is_refused(t, values, said):
    with pytest.raises(ValueError, match=said):
        deviation(t, values)


# ---- landscapes whose answer is known -------------------------------------------------------------


def test_a_flat_valley_connects():
    valley = wedges.Quadratic([0.0, 1.0, 4.0], dtype="float64")
    for curve in ("line", "bezier"):
        found = mode_connectivity(valley, [0, 0, 0], [3, 0, 0], unit="loss", curve=curve, steps=50)
        assert found[:4] == (0, 0, 0, 0) and found.fine == (0, 0, 0, 0) and found.peak == 0


@pytest.mark.parametrize("height", [0.25, 3.0])
def test_a_double_well_on_a_line_has_minus_its_height(height):
    found = mode_connectivity(DoubleWell(height), [-1], [1], unit="loss", curve="line")
    assert found.mc == pytest.approx(-height, rel=1e-12) and found.t == 0.5 and found.curve is None
    assert found.barrier == found.peak == pytest.approx(height, rel=1e-12) and found.dip == 0
    expected = height * ((2 * found.positions - 1) ** 2 - 1) ** 2
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_no_trained_curve_avoids_a_pass_that_all_paths_cross():
    """A curve from (-1, 0) to (1, 0) crosses x = 0 at some t, and be it quickly."""
    ends, how = ([-1, 0], [1, 0]), {"unit": "loss", "steps": 400, "points": 1001}
    found = mode_connectivity(DoubleWell(2.0, 2), *ends, **how)
    assert found.fine.barrier == pytest.approx(2, abs=1e-3) and found.fine.mc == -found.fine.barrier
    assert found.barrier < 1.95  # the five positions miss the pass


def test_a_trained_curve_goes_around_a_hill_that_the_line_crosses():
    ends, how = ([-1, 0], [0.6, 0.8]), {"unit": "loss", "decay": 0.0}
    line = mode_connectivity(Ring(), *ends, curve="line", **how)
    curve = mode_connectivity(Ring(), *ends, steps=2000, learning_rate=0.1, **how)
    assert line.mc == pytest.approx(-0.64)  # |middle|^2 = 1 - |b - a|^2 / 4 = 0.2
    assert -0.1 < curve.mc < 0 and curve.fine.barrier < 0.1


def test_ends_that_are_not_converged_have_a_positive_mc():
    bowl = wedges.Quadratic([1.0, 1.0], dtype="float64")
    found = mode_connectivity(bowl, [-2, 0], [2, 0], unit="loss", curve="line")
    assert (found.mc, found.t, found.barrier, found.dip) == (2, 0.5, 0, 2)


def test_a_narrow_barrier_shows_on_the_finer_positions_only():
    class Spike(DoubleWell):
        def __call__(self, theta):
            return tf.exp(-(((self.point(theta)[..., 0] - 0.4) / 0.02) ** 2))

    found = mode_connectivity(Spike(1), [0], [1], unit="loss", curve="line")
    assert abs(found.mc) < 1e-9 and found.fine.t == 0.4
    assert found.fine.mc == pytest.approx(-1) and found.fine.barrier == pytest.approx(1)


@pytest.mark.parametrize(("points", "count"), [(2, 5), (5, 5), (21, 21), (10, 13), (41, 41)])
def test_the_five_are_among_the_finer_positions(points, count):
    bowl = wedges.Quadratic([1.0], dtype="float64")
    found = mode_connectivity(bowl, [-1], [1], unit="loss", curve="line", points=points)
    assert len(found.positions) == count and set(QUARTERS) <= set(found.positions.tolist())


def test_a_single_point_in_the_middle_of_the_bezier_is_where_it_should_be():
    """mean over t of the loss is least for the bend that the normal equation of the quadratic gives."""
    bowl = wedges.Quadratic([1.0, 1.0], center=[0.0, 1.0], dtype="float64")
    found = mode_connectivity(
        bowl, [-1, 0], [1, 0], unit="loss", steps=4000, learning_rate=0.3, decay=0.0
    )
    # Bend (0, p): theta_y(t) = 2 t (1 - t) p, and E[2t(1-t)] / E[(2t(1-t))^2] = (1/3) / (2/15) = 5/2.
    np.testing.assert_allclose(found.curve.vertices[2], [0, 2.5], atol=0.1)


def test_the_decay_acts_on_the_points_of_the_curve():
    """A flat landscape: c/2 E|theta(t)|^2 is least where E[s^2] p = -E[s (1 - s)] (a + b) / 2."""
    flat = wedges.Quadratic([0.0, 0.0], dtype="float64")
    how = {"unit": "loss", "steps": 4000, "learning_rate": 0.3}
    moved = mode_connectivity(flat, [-1, 1], [1, 1], decay=1.0, **how)
    # theta_y = 1 - s + s p with s = 2 t (1 - t): p = 1 - E[s] / E[s^2] = -3/2.
    np.testing.assert_allclose(moved.curve.vertices[2], [0, -1.5], atol=0.1)
    np.testing.assert_array_equal(moved.values, 0)  # not in the numbers
    left = mode_connectivity(flat, [-1, 1], [1, 1], decay=0.0, **how)
    np.testing.assert_array_equal(left.curve.vertices[2], [0, 1])


def test_the_rate_is_that_of_garipov_et_al():
    rate = connectivity._Schedule(0.5, 100)
    for step, share in ((0, 1), (49, 1), (50, 1), (70, 1 - 0.99 / 2), (90, 0.01), (99, 0.01)):
        assert float(rate(step)) == pytest.approx(0.5 * share, rel=1e-4)


# ---- bends ----------------------------------------------------------------------------------------


def test_bends_before_any_step():
    a, b = np.zeros(50), np.full(50, 2.0)
    bowl = wedges.Quadratic(np.ones(50), dtype="float64")
    bend = lambda bend, seed=0: mode_connectivity(
        bowl, a, b, unit="loss", steps=0, bend=bend, seed=seed
    ).curve.vertices[2]
    np.testing.assert_array_equal(bend("linear"), np.ones(50))
    np.testing.assert_array_equal(bend(np.arange(50)), np.arange(50))
    away = bend("random") - 1
    assert np.linalg.norm(away) == pytest.approx(np.linalg.norm(b - a) / np.sqrt(2))
    np.testing.assert_array_equal(bend("random"), bend("random"))
    assert not np.array_equal(bend("random"), bend("random", seed=1))


def test_an_audit_trains_longer_and_from_elsewhere():
    names, ends = [], ([-1, 0], [0.6, 0.8])

    def follow(descent, steps, name):
        names.append((name, steps))
        descent.run(steps)

    how = {"unit": "loss", "steps": 30, "learning_rate": 0.05, "decay": 0.0}
    found = phases.audit(Ring(), *ends, follow=follow, **how)
    assert names == [
        ("curve", 30),
        ("curve, 4 times the steps", 120),
        ("curve, from a random bend", 120),
    ]
    assert [each.training.steps for each in found] == [30, 120, 120]
    assert [each.training.bend for each in found] == ["linear", "linear", "random"]
    assert found.longer.mc > found.original.mc  # what was trained too little looked like a barrier
    mcs = [each.mc for each in found]
    assert found.best == max(mcs) and found.spread == max(mcs) - min(mcs)
    again = phases.audit(Ring(), *ends, original=found.original, follow=follow, **how)
    assert again.original is found.original and len(names) == 5
    with pytest.raises(ValueError, match="settings must leave out curve and bend; received bend"):
        phases.audit(Ring(), *ends, bend="random", **how)


# ---- networks -------------------------------------------------------------------------------------


def test_errors_are_percent_and_every_position_is_a_single_evaluation(images):
    landscape = network(images)
    a, b = two(landscape)
    found = mode_connectivity(landscape, a, b, steps=20)
    assert found.unit == "error" and found.training == (20, 0.01, 0.9, 5e-4, "linear", 0)
    for i in (0, 7, 20):
        t = found.positions[i]
        point = (1 - t) ** 2 * a + 2 * t * (1 - t) * found.curve.vertices[2] + t**2 * b
        there = landscape.evaluate(point)
        assert found.errors[i] == pytest.approx(100 * (1 - there.accuracy), abs=1e-4)
        assert found.losses[i] == pytest.approx(there.loss, rel=1e-5)
    np.testing.assert_array_equal(found.values, found.errors)
    assert found.peak == found.errors[[5, 10, 15]].max()
    assert found[:4] == deviation(QUARTERS, found.errors[::5])
    assert found.fine == deviation(found.positions, found.errors)
    loss = mode_connectivity(landscape, a, b, unit="loss", curve=found.curve)
    np.testing.assert_array_equal(loss.values, found.losses)
    assert loss.training is None and loss.curve is found.curve
    np.testing.assert_array_equal(loss.errors, found.errors)


def test_batch_norm_is_that_of_each_position_and_the_ends_keep_their_own_numbers(images):
    landscape = network(images, conftest.batch_norm, batch_norm="reestimate")
    ends = two(landscape, 0.2)
    found = mode_connectivity(landscape, *ends, steps=5)
    for i, end in ((0, ends[0]), (-1, ends[1])):
        own = landscape.evaluate(end)
        assert found.losses[i] == own.loss and found.errors[i] == 100 * (1 - float(own.accuracy))
    middle = landscape.evaluate(found.curve([0.5, 0.5]))
    assert found.losses[10] == middle.loss


def test_the_training_of_a_curve_goes_on_where_it_was(images):
    landscape, kept = network(images), {}
    a, b = two(landscape)

    def stops(descent, steps, name):
        descent.run(7)
        kept.update(descent.state)
        raise KeyboardInterrupt

    def goes_on(descent, steps, name):
        descent.state = kept
        descent.run(steps - descent.step)

    whole = mode_connectivity(landscape, a, b, steps=20)
    with pytest.raises(KeyboardInterrupt):
        mode_connectivity(landscape, a, b, steps=20, follow=stops)
    resumed = mode_connectivity(landscape, a, b, steps=20, follow=goes_on)
    np.testing.assert_array_equal(resumed.curve.vertices, whole.curve.vertices)
    np.testing.assert_array_equal(resumed.values, whole.values)


def test_a_landscape_without_classes_has_a_loss_only(images):
    x, _ = images
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    target = x.mean(axis=(1, 2, 3))
    landscape = wedges.NetworkLandscape(model, x, target, "mean_squared_error", seed=0)
    a, b = two(landscape)
    for where, ends in ((landscape, (a, b)), (wedges.Quadratic([1.0, 1.0]), np.eye(2))):
        with pytest.raises(ValueError, match='unit must be "loss" on a landscape without one accuracy'):
            mode_connectivity(where, *ends)
        found = mode_connectivity(where, *ends, unit="loss", curve="line")
        assert found.errors is None and np.isfinite(found.mc)


# ---- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "how", "said"),
    [
        ([1, 0], [1, 0], {}, "b must be another point than a; received the same point twice."),
        ([1, 0], [1, 0, 0], {}, r"b must be a point \[2\] of this landscape; .* no common space."),
        ([1, np.nan], [1, 0], {}, "a must be finite; received NaN or infinity."),
        ("a.keras", [1, 0], {}, "a must be real numbers; received the text or path 'a.keras'."),
        ([1, 0], [0, 1], {"unit": "accuracy"}, "unit must be 'error' or 'loss'"),
        ([1, 0], [0, 1], {"curve": "spline"}, "curve must be 'bezier' or 'line'"),
        ([1, 0], [0, 1], {"curve": 3}, "curve must be 'bezier', 'line' or a wedges.Connector"),
        ([1, 0], [0, 1], {"points": 1}, "points must be a whole number, at least 2; received 1."),
        ([1, 0], [0, 1], {"steps": -1}, "steps must be a whole number, at least 0; received -1."),
        ([1, 0], [0, 1], {"decay": -1}, "decay must be a finite number, at least 0"),
        ([1, 0], [0, 1], {"learning_rate": 0}, "learning_rate must be a finite number above 0"),
        ([1, 0], [0, 1], {"bend": "curly"}, "bend must be 'linear' or 'random'"),
        ([1, 0], [0, 1], {"bend": [1]}, r"bend must be 'linear', 'random' or a point \[2\]"),
        ([1, 0], [0, 1], {"bend": [1, np.inf]}, "bend must be finite"),
        ([1, 0], [0, 1], {"seed": -1}, "seed must be a whole number, at least 0"),
    ],
)
def test_bad_input_is_one_line(a, b, how, said):
    with pytest.raises(ValueError, match=said) as raised:
        mode_connectivity(wedges.Quadratic([1.0, 1.0]), a, b, **{"unit": "loss", **how})
    assert len(str(raised.value).splitlines()) == 1


def test_a_curve_of_other_points_is_refused():
    bowl = wedges.Quadratic([1.0, 1.0])
    other = wedges.Connector([[1.0, 0.0], [0.0, 2.0]], simplex.Grid(1, 2))
    for curve in (other, wedges.Connector([[0.0, 1.0], [1.0, 0.0]], simplex.Grid(1, 2))):
        with pytest.raises(ValueError, match="curve must lead from a to b; received Connector"):
            mode_connectivity(bowl, [1, 0], [0, 1], unit="loss", curve=curve)


def test_one_dimension_has_a_line_only():
    with pytest.raises(ValueError, match="curve must be 'line' where D = 1"):
        mode_connectivity(DoubleWell(1), [-1], [1], unit="loss")
