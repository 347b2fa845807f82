"""Loss change allocation: what it must be exactly, and what is left over is told."""

import pickle
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm, plain
from tests.wedges.bowls import Interrupted, bits, network, normal
from wedges import archive
from wedges.allocation import FullBatch, NotFinite

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
fewer = settings(few, max_examples=6)  # where each traces a descent
SEEDS = st.integers(0, 10_000)
RULES = ("left", "trapezoid", "simpson", "adaptive")
SGD = keras.optimizers.SGD


class Formula(wedges.Landscape):
    """A function of TensorFlow's, float64."""

    def __init__(self, function, dimension):
        self.function, self.dimension, self.dtype = function, dimension, tf.float64

    def __call__(self, theta):
        return self.function(self.point(theta))


def waves(theta):
    """No symmetry in anything, and no polynomial."""
    numbers = tf.range(1.0, theta.shape[-1] + 1, dtype=tf.float64)
    return tf.reduce_sum(tf.sin(theta * numbers) + 0.1 * theta**2, axis=-1)


class TwoLayers(wedges.Landscape):
    """The mean over n examples of |W V x - y|^2: a polynomial of degree 4 along any line."""

    dtype = tf.float64

    def __init__(self, seed, inputs=3, hidden=4, outputs=2, dead=()):
        self.shape, self.dimension = (inputs, hidden, outputs), hidden * (inputs + outputs)
        self.x, self.y = normal(seed, 7, inputs), normal(seed + 1, 7, outputs)
        self.x[:, list(dead)] = 0

    def split(self, theta):
        inputs, hidden, outputs = self.shape
        v, w = theta[: inputs * hidden], theta[inputs * hidden :]
        return v.reshape(inputs, hidden), w.reshape(hidden, outputs)

    def __call__(self, theta):
        theta, (inputs, hidden, outputs) = self.point(theta), self.shape
        v = tf.reshape(theta[: inputs * hidden], (inputs, hidden))
        w = tf.reshape(theta[inputs * hidden :], (hidden, outputs))
        return tf.reduce_sum((self.x @ v @ w - self.y) ** 2) / 7

    def by_hand(self, theta):
        """Loss and gradient, without TensorFlow."""
        v, w = self.split(theta)
        off = self.x @ v @ w - self.y
        back = 2 * off / 7
        parts = self.x.T @ back @ w.T, (self.x @ v).T @ back
        return np.sum(off**2) / 7, np.concatenate([part.ravel() for part in parts])


def path(seed, steps, size, scale=1.0):
    """[steps + 1, size]."""
    return scale * normal(seed, steps + 1, size)


def allocated(landscape, thetas, **settings):
    allocation = wedges.Allocation(landscape, **settings)
    for theta in thetas:
        allocation.step(theta)
    return allocation


def close(a, b, tolerance=1e-12):
    """To so much of the largest number."""
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max()))


# ---- closed forms -----------------------------------------------------------------------------------


@few
@given(SEEDS, st.sampled_from([(3, 4, 2), (1, 1, 1), (5, 2, 3)]))
def test_simpsons_rule_is_exact_for_a_linear_network_of_two_layers(seed, shape):
    landscape = TwoLayers(seed, *shape)
    thetas = path(seed, 3, landscape.dimension, scale=1.5)
    found = allocated(landscape, thetas, rule="simpson")
    rule = list(zip(*np.polynomial.legendre.leggauss(8), strict=True))  # by hand, on [-1, 1]
    expected = [
        (b - a) * sum(w / 2 * landscape.by_hand(a + (x + 1) / 2 * (b - a))[1] for x, w in rule)
        for a, b in zip(thetas[:-1], thetas[1:], strict=True)
    ]
    scale = np.abs(expected).max()
    close(found.total / scale, np.sum(expected, axis=0) / scale)
    close(found.magnitude / scale, np.abs(expected).sum(axis=0) / scale)
    close(found.errors / scale, 0)
    close(found.losses / scale, [landscape.by_hand(theta)[0] / scale for theta in thetas])
    assert found.gradients == 1 + 2 * 3 and np.all(found.intervals == 2)
    crude = allocated(landscape, thetas, rule="trapezoid")
    assert np.abs(crude.errors).max() > 1e-3 * scale


@few
@given(SEEDS, st.sampled_from(["trapezoid", "simpson", "adaptive"]))
def test_a_separable_quadratic_has_its_closed_form(seed, rule):
    lam, thetas = normal(seed, 6), path(seed + 1, 4, 6)
    found = allocated(wedges.Quadratic(lam, dtype="float64"), thetas, rule=rule)
    expected = lam / 2 * np.diff(thetas**2, axis=0)
    close(found.total, expected.sum(axis=0))
    close(found.changes, expected.sum(axis=1))
    close(found.absolute, np.abs(expected).sum(axis=1))
    close(found.errors, 0)
    assert found.times_helped.tolist() == (expected < 0).sum(axis=0).tolist()
    assert found.times_hurt.tolist() == (expected > 0).sum(axis=0).tolist()
    turned = np.diff(np.sign(expected), axis=0) != 0
    assert found.sign_changes.tolist() == turned.sum(axis=0).tolist()
    close(found.oscillation, turned.mean())
    close(found.helped, (expected < 0).mean(axis=1))
    close(found.cancellation, np.abs(expected).sum() / abs(expected.sum()), 1e-9)
    assert found.gradients == (9 if rule == "simpson" else 5)


@fewer
@given(SEEDS, st.floats(0.05, 0.5))
def test_descent_helps_in_the_coordinates_that_it_does_not_overshoot_in(seed, eta):
    lam = np.random.default_rng(seed).uniform(0.1, 1.9, 8) * 2 / eta
    lam = lam[np.abs(1 - eta * lam) > 0.05]
    lam = lam[np.abs(np.abs(1 - eta * lam) - 1) > 0.05]
    bowl = wedges.Quadratic(lam, dtype="float64")
    found = wedges.Allocation(bowl)
    found.follow(wedges.Descent(bowl, np.ones(len(lam)), SGD(eta)), 3)
    helps = np.abs(1 - eta * lam) < 1
    assert found.times_helped.tolist() == np.where(helps, 3, 0).tolist()
    assert found.times_hurt.tolist() == np.where(helps, 0, 3).tolist()


@fewer
@given(SEEDS)
def test_full_batch_steps_help_in_every_parameter_by_the_left_rule(seed):
    matrix = normal(seed, 5, 5)
    matrix += matrix.T
    bowl, eta = wedges.Quadratic(matrix, dtype="float64"), 0.1
    found, theta = wedges.Allocation(bowl, rule="left"), normal(seed + 1, 5)
    found.follow(wedges.Descent(FullBatch(bowl), theta, SGD(eta)), 4)
    expected = np.zeros(5)
    for _ in range(4):
        gradient = matrix @ theta
        expected -= np.float64(np.float32(eta)) * gradient**2
        theta = theta - np.float64(np.float32(eta)) * gradient
    np.testing.assert_allclose(found.total, expected, rtol=1e-10)
    assert np.all(found.helped == 1) and np.all(found.helped_of_all == 1)
    assert found.gradients == 1  # at the last point, for its loss; the others are training's


@few
@given(SEEDS)
def test_inputs_that_are_always_0_get_exactly_0(seed):
    landscape = TwoLayers(seed, inputs=5, hidden=3, outputs=2, dead=(1, 4))
    found = allocated(landscape, path(seed, 3, landscape.dimension))
    dead, rest = found.total[:15].reshape(5, 3)[[1, 4]], landscape.dimension - 6
    assert np.all(dead == 0) and np.count_nonzero(found.total) == rest
    assert found.times_still.tolist() == np.where(found.total == 0, 3, 0).tolist()
    np.testing.assert_allclose(found.helped * rest, found.helped_of_all * landscape.dimension)


@few
@given(SEEDS)
def test_permuting_neurons_permutes_what_they_get(seed):
    landscape = TwoLayers(seed)
    inputs, hidden, outputs = landscape.shape
    order = np.random.default_rng(seed).permutation(hidden)
    v = np.arange(inputs * hidden).reshape(inputs, hidden)[:, order]
    w = inputs * hidden + np.arange(hidden * outputs).reshape(hidden, outputs)[order]
    permuted = np.concatenate([v.ravel(), w.ravel()])
    thetas = path(seed, 3, landscape.dimension)
    before, after = (allocated(landscape, t) for t in (thetas, thetas[:, permuted]))
    scale = before.magnitude.max()
    close(after.total / scale, before.total[permuted] / scale)


@few
@given(SEEDS)
def test_sums_are_of_any_partition_and_commute(seed):
    rng, landscape = np.random.default_rng(seed), Formula(waves, 9)
    labels = rng.integers(-1, 4, 9)
    labels[0] = 3
    thetas = path(seed, 5, 9, scale=0.03)
    found = allocated(landscape, thetas, groups=labels)
    assert found.names == ("0", "1", "2", "3") and found.layers.shape == (5, 4)
    each = [found.total[labels == k].sum() for k in range(4)]
    close(found.layers.sum(axis=0), each)
    close(found.over(labels), each)
    close(found.over({"rest": labels < 0})[0] + found.layers.sum(), found.changes.sum())
    named = {"b": np.flatnonzero(labels == 2), "a": labels == 0, "none": slice(0, 0)}
    other = allocated(landscape, thetas, groups=named)
    assert other.names == ("b", "a", "none")
    close(other.layers, np.stack([found.layers[:, 2], found.layers[:, 0], np.zeros(5)], axis=1))
    close(allocated(landscape, thetas).layers[:, 0], found.changes)


def test_radial_motion_of_what_is_normalised_gets_nothing():
    """The loss depends on the direction of the first 4 numbers alone."""

    def normalised(theta):
        return waves(tf.concat([theta[:4] / tf.norm(theta[:4]), theta[4:]], axis=0))

    landscape, theta = Formula(normalised, 6), 1 + np.abs(normal(0, 6))
    longer = theta * [1.3, 1.3, 1.3, 1.3, 1, 1]
    for rule in RULES:
        found = allocated(landscape, [theta, longer], rule=rule)
        assert found.magnitude.max() > 0.01  # single weights do get something
        close(found.changes, 0, 1e-14)


def test_radial_motion_before_batch_norm_gets_nothing_at_first_order(doubles):
    stack = [layers.Dense(4), layers.BatchNormalization(epsilon=1e-12), layers.ReLU(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((5,)), *stack])
    x, y = normal(0, 40, 5), np.arange(40) % 3
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, batch_norm="reestimate")
    groups = landscape.space.layers
    first, *rest = groups.values()
    theta = 0.7 * normal(1, landscape.dimension)
    longer = theta.copy()
    longer[first] *= 1.1
    found = allocated(landscape, [theta, longer], rule="left", groups=groups)
    assert found.magnitude[first].max() > 1e-3
    close(found.layers, 0, 1e-8)
    turned = theta.copy()
    turned[first] *= np.linspace(0.9, 1.1, len(first))
    assert abs(allocated(landscape, [theta, turned], rule="left").changes[0]) > 1e-4


# ---- what is left over is told ----------------------------------------------------------------------


@few
@given(SEEDS, st.sampled_from(RULES), st.sampled_from([1e-1, 1e-3, 1e-6]))
def test_what_is_allocated_and_the_errors_are_the_loss_change(seed, rule, tolerance):
    landscape, thetas = Formula(waves, 6), path(seed, 4, 6)
    found = allocated(landscape, thetas, rule=rule, tolerance=tolerance)
    numbers = np.arange(1, 7)
    losses = np.sum(np.sin(thetas * numbers) + 0.1 * thetas**2, axis=-1)
    close(found.losses, losses)
    close(found.changes + found.errors, np.diff(losses))
    close(found.total.sum(), found.changes.sum())
    close(found.relative_error(1, 3), abs(found.errors[1:3].sum() / (losses[3] - losses[1])), 1e-9)
    assert found.gradients == 1 + found.intervals.sum()
    if rule == "adaptive":
        assert np.all(found.intervals <= 32)
        assert np.all((np.abs(found.errors) <= tolerance) | (found.intervals > 5))
        finer = allocated(landscape, path(seed, 4, 6, scale=0.02), tolerance=tolerance)
        assert np.all(np.abs(finer.errors) <= tolerance + 1e-12) and np.all(finer.intervals < 32)
        nothing = allocated(landscape, thetas, rule=rule, tolerance=1e9)
        assert np.all(nothing.intervals == 1)
        bits(nothing.total, allocated(landscape, thetas, rule="trapezoid").total)
    else:
        assert np.all(found.intervals == (2 if rule == "simpson" else 1))


@pytest.mark.parametrize(("rule", "order"), [("left", 2), ("trapezoid", 3), ("simpson", 5)])
def test_errors_fall_with_the_step_as_the_rules_should(rule, order):
    landscape, start, direction = Formula(waves, 6), normal(0, 6), normal(1, 6)
    errors = [
        abs(allocated(landscape, [start, start + h * direction], rule=rule).errors[0])
        for h in (0.02, 0.01)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_each_parameter_is_refined_to_its_own_integral():
    landscape, (a, b) = Formula(waves, 6), path(3, 1, 6, scale=0.1)
    found = allocated(landscape, [a, b], tolerance=1e-6)
    numbers = np.arange(1, 7)
    expected = np.sin(b * numbers) - np.sin(a * numbers) + 0.1 * (b**2 - a**2)  # it is separable
    close(found.total, expected, 1e-5)
    assert 4 < found.intervals[0] < 32 and abs(found.errors[0]) < 1e-6


def test_a_kink_is_refined_as_far_as_it_goes_and_its_error_told():
    kink = Formula(lambda theta: tf.reduce_sum(tf.abs(theta), axis=-1), 1)
    found = allocated(kink, [[-1.0], [0.9]], tolerance=1e-9)
    assert 6 <= found.intervals[0] <= 10 and found.gradients == 1 + found.intervals[0]  # not all 32
    assert 1e-4 < abs(found.errors[0]) < 1.9 / 16
    close(found.changes + found.errors, -0.1)
    many = Formula(lambda theta: tf.reduce_sum(tf.abs(tf.sin(40 * theta)), axis=-1), 1)
    found = allocated(many, [[-1.0], [0.9]], tolerance=1e-9)
    assert found.intervals.tolist() == [32]


def test_what_rounding_makes_of_a_loss_is_not_refined():
    bowl = wedges.Quadratic([1.0, 3.0, 5.0])
    thetas = path(0, 20, 3).astype(np.float32) + 100
    found = allocated(bowl, thetas, tolerance=0)
    assert np.all(found.intervals == 1) and np.abs(found.errors).max() < 1e-5 * found.losses.max()
    assert found.total.dtype == np.float64 and found.losses.dtype == np.float64


def test_counts_go_on_beyond_a_byte_and_two():
    lam = np.array([2.0, -1.0, 0.0])
    thetas = np.cumsum(normal(0, 300, 3), axis=0)
    found = allocated(wedges.Quadratic(lam, dtype="float64"), thetas)
    expected = lam / 2 * np.diff(thetas**2, axis=0)
    assert found.times_helped.tolist() == (expected < 0).sum(axis=0).tolist()
    assert found.times_hurt.tolist() == (expected > 0).sum(axis=0).tolist()
    assert found.times_still.tolist() == [0, 0, 299] and found.times_helped.dtype == np.uint16
    found.sign_changes, found._rows = np.uint16([65535, 0, 0]), [found._rows[0]] * 65535
    for x in (0.0, 1.0):  # helps, hurts
        found.step([x, *found.theta[1:]])
    assert found.sign_changes[0] > 65535


def test_a_point_that_does_not_move_takes_no_gradient_and_gets_nothing():
    found = allocated(wedges.Quadratic([1.0, 2.0]), [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    assert found.gradients == 2 and found.intervals.tolist() == [0, 1]
    assert found.changes.tolist() == [0, -0.5] and np.isnan(found.helped[0]) and found.helped[1] == 1
    assert found.helped_of_all.tolist() == [0, 0.5] and found.table().helped_in_step == 1
    assert found.times_still.tolist() == [1, 2]


def test_a_move_outside_of_steps_is_credited_to_none():
    bowl = wedges.Quadratic([2.0], dtype="float64")
    found = allocated(bowl, [[3.0], [2.0]])  # 9, 4
    found.start([5.0])  # 25
    found.step([4.0])  # 16
    assert found.losses.tolist() == [9, 4, 16] and found.jumps.tolist() == [0, 21]
    assert found.changes.tolist() == [-5, -9] and found.total.tolist() == [-14]
    assert "outside of steps it changed by 21, which no weight is credited with" in str(found.table())
    found.start([3.0])  # 9, and no step after it
    assert found.jumps.tolist() == [0, 21] and found.jumped == 14
    assert "\nloss 9 to 9 in 2 steps" in str(found.table()) and "changed by 14," in str(found.table())


def test_a_held_out_loss_is_allocated_beside_it():
    train, test = Formula(waves, 4), wedges.Quadratic([1.0, 2.0, 3.0, 4.0], dtype="float64")
    thetas, groups = path(5, 3, 4), {"a": [0, 1], "b": [2, 3]}
    found = allocated(train, thetas, held_out=test, groups=groups)
    alone = allocated(test, thetas, groups=groups)
    bits(found.held_out.total, alone.total)
    bits(found.held_out.layers, alone.layers)
    assert found.held_out.gradients == 4 and found.held_out.names == ("a", "b")
    table = found.table()
    np.testing.assert_array_equal(table.held_out, alone.layers.sum(axis=0))
    assert "held out" in str(table)


# ---- a descent --------------------------------------------------------------------------------------


OPTIMIZERS = {
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "conjugate gradients": wedges.ConjugateGradients,
}
MATRIX = (lambda m: m @ m.T / 5)(normal(0, 5, 5))


class Numbered(wedges.Quadratic):
    """The same, but nobody can know that its steps see no minibatches."""

    def sample(self, theta, step):
        return self(theta)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_on_the_whole_is_followed_for_free_and_is_not_changed(name):
    bowl, make = wedges.Quadratic(MATRIX, dtype="float64"), OPTIMIZERS[name]
    alone = wedges.Descent(bowl, np.ones(5), make())
    losses = alone.run(9).losses
    free, descent = wedges.Allocation(bowl), wedges.Descent(bowl, np.ones(5), make())
    bits(np.concatenate([free.follow(descent, 5), free.follow(descent, 4)]), losses)
    for key, value in alone.state.items():
        bits(descent.state[key], value)
    assert free.gradients == 2 and free.steps == 9 and descent.step == 9  # one at the end of each call
    other = Numbered(MATRIX, dtype="float64")
    paid, descent = wedges.Allocation(other), wedges.Descent(other, np.ones(5), make())
    bits(paid.follow(descent, 9), losses)
    assert paid.gradients == 10
    for key in ("total", "magnitude", "times_helped", "rows", "last_sign"):
        np.testing.assert_allclose(free.state[key], paid.state[key], rtol=1e-12, atol=1e-15)


def test_only_the_very_landscape_is_free():
    bowl = wedges.Quadratic(MATRIX, dtype="float64")
    start, subspace = np.ones(5), wedges.random_cut(np.ones(5), 2, seed=0)
    for seen, mine, expected in (
        (wedges.Quadratic(MATRIX, dtype="float64"), bowl, 4),
        (wedges.Squared(bowl), bowl, 4),
        (FullBatch(bowl), bowl, 1),
        (bowl, bowl, 1),
    ):
        found = wedges.Allocation(mine)
        found.follow(wedges.Descent(seen, start, SGD(0.01)), 3)
        assert found.gradients == expected
    squared, found = wedges.Squared(bowl), wedges.Allocation(bowl)
    both = wedges.Allocation(squared)
    both.follow(wedges.Descent(squared, start, SGD(0.01)), 3)
    assert both.gradients == 1 + (both.intervals - 1).sum()
    found.follow(wedges.Descent(bowl, start, SGD(0.01), subspace=subspace), 3)
    assert found.gradients == 4 and abs(found.errors).max() < 1e-12


def test_a_network_trained_on_all_of_its_data_is_followed_for_free(images):
    landscape = network(images)
    start = landscape.space.read()
    found = wedges.Allocation(landscape, groups=landscape.space.layers, rule="left")
    losses = found.follow(wedges.Descent(FullBatch(landscape), start, SGD(0.1)), 6)
    assert found.gradients == 1 and np.all(found.helped == 1)
    np.testing.assert_allclose(losses, found.losses[:-1], rtol=1e-6)
    assert np.all(np.diff(losses) < 0) and found.layers.shape == (6, 2)
    by_batches = wedges.Allocation(landscape, rule="trapezoid")
    by_batches.follow(wedges.Descent(landscape, start, SGD(0.1)), 3)
    assert by_batches.gradients == 4 and np.all(by_batches.helped < 1)
    assert by_batches.relative_error() < 0.1


def test_a_descent_that_has_arrived_is_followed_no_further():
    for bowl in (wedges.Quadratic([1.0, 1.0]), Numbered([1.0, 1.0])):
        descent = wedges.Descent(bowl, [1.0, 2.0], wedges.ConjugateGradients(), tolerance=1e-6)
        found = wedges.Allocation(bowl)
        assert len(found.follow(descent, 10)) == found.steps == 1
        assert found.losses.tolist() == [2.5, 0]


def test_a_descent_that_gathers_gradients_is_followed_until_its_tolerance_is_met():
    for bowl in (wedges.Quadratic([1.0, 1.0]), Numbered([1.0, 1.0])):
        rule = SGD(0.5, gradient_accumulation_steps=2)
        descent = wedges.Descent(bowl, [3.0, 4.0], rule, tolerance=1.0)
        found = wedges.Allocation(bowl)
        # |theta| is 5, 5, 2.5, 2.5, 1.25, 1.25 and 0.625, where it stops.
        lengths = np.array([5, 5, 2.5, 2.5, 1.25, 1.25, 0.625])
        np.testing.assert_allclose(found.follow(descent, 10), lengths[:-1] ** 2 / 2, rtol=1e-6)
        np.testing.assert_allclose(found.losses, lengths**2 / 2, rtol=1e-6)
        assert descent.step == 7


def test_a_descent_that_went_on_alone_is_joined_where_it_stands():
    bowl = wedges.Quadratic([2.0], dtype="float64")
    descent, found = wedges.Descent(bowl, [1.0], SGD(0.25)), wedges.Allocation(bowl)
    found.follow(descent, 1)
    descent.run(2)
    found.follow(descent, 1)
    close(found.losses, [1, 0.25, 0.25**4])
    close(found.jumps, [0, 0.25**3 - 0.25])


def states(landscape, make, folder, budget=None):
    """Follow 12 steps, 3 at a time, both states on disk after each; killed when the budget is spent."""
    descent, allocation = make(), wedges.Allocation(landscape, groups=np.arange(landscape.dimension) % 3)
    file = folder / "state.npz"
    if file.exists():
        arrays = archive.read(file)
        part = lambda front: {k.removeprefix(front): v for k, v in arrays.items() if k.startswith(front)}
        descent.state, allocation.state = part("descent/"), part("allocation/")
    while descent.step < 12:
        if budget == 0:
            raise Interrupted
        budget = None if budget is None else budget - 1
        allocation.follow(descent, 3)
        both = {f"descent/{k}": v for k, v in descent.state.items()}
        both |= {f"allocation/{k}": v for k, v in allocation.state.items()}
        archive.write(file, both)
    return both


@pytest.mark.parametrize("kind", ["free", "minibatches"])
def test_an_allocation_that_is_killed_goes_on_bit_for_bit(tmp_path, images, kind):
    landscape = wedges.Quadratic(MATRIX, dtype="float64") if kind == "free" else network(images)
    start = 0.3 * normal(0, landscape.dimension)
    make = lambda: wedges.Descent(landscape, start, keras.optimizers.Adam(0.02))
    (tmp_path / "whole").mkdir()
    whole = states(landscape, make, tmp_path / "whole")
    for budget in (1, 2):
        with pytest.raises(Interrupted):
            states(landscape, make, tmp_path, budget)
    again = states(landscape, make, tmp_path)
    assert again.keys() == whole.keys() and len(whole["allocation/rows"]) == 12
    for name, array in whole.items():
        bits(again[name], array)


def test_it_pickles():
    bowl = wedges.Quadratic([1.0, 2.0])
    found = wedges.Allocation(bowl, held_out=wedges.Quadratic([2.0, 1.0]))
    found.follow(wedges.Descent(bowl, [1.0, 1.0], SGD(0.1)), 2)
    copy = pickle.loads(pickle.dumps(found))
    for each in (found, copy):
        each.step([3.0, 3.0])
    for name, array in found.state.items():
        bits(copy.state[name], array)


# ---- its size, its words, and what it refuses -------------------------------------------------------


def test_it_holds_a_few_numbers_of_each_parameter_however_long_the_path():
    size = 300_000
    landscape = wedges.Quadratic(np.ones(size, np.float32))
    rng = np.random.default_rng(0)
    vector = lambda: rng.standard_normal(size, np.float32)
    tracemalloc.start()
    found = wedges.Allocation(landscape, groups=np.arange(size) % 5, tolerance=1e9)
    found.step(vector())
    for _ in range(3):
        found.step(vector())
    held = sum(array.nbytes for array in found.state.values())
    tracemalloc.reset_peak()
    found.step(vector())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 40 * size and peak < 8 * 8 * size


def test_a_table_tells_which_groups_helped_and_which_hurt():
    bowl = wedges.Quadratic([1.0, 1.0, 2.0, 1.0], dtype="float64")
    found = allocated(
        bowl,
        [[2, 2, 0, 1], [1, 1, 1, 1], [0, 2, 0.5, 1]],
        groups={"up": [2], "down": [0, 1], "not": [3]},
    )
    table = found.table()
    assert table.names == ("up", "down", "not") and table.sizes.tolist() == [1, 2, 1]
    assert table.changes.tolist() == [0.25, -2, 0] and table.helped.tolist() == [0.5, 0.5, 0]
    text = """\
          weights  loss change  helped in
    up          1         0.25        50%  hurt
    down        2           -2        50%  helped
    not         1            0             did nothing
    loss 4.5 to 2.75 in 2 steps, 0.000% of it not allocated
    helped in a mean step: 66.7% of the weights that did anything, 50.0% of all; sum |A| / |sum A| = 3.86
    """
    assert [*str(table).split("\n"), ""] == [line[4:] for line in text.split("\n")]
    assert repr(found) == "Allocation(D = 4, 2 steps, loss 4.5 to 2.75, error 0.000%, hurt: up)"
    assert repr(wedges.Allocation(bowl)) == "Allocation(D = 4, 0 steps)"


def test_a_table_tells_what_is_in_no_group():
    bowl, twice = (wedges.Quadratic(c * np.array([1.0, 2.0, 4.0]), dtype="float64") for c in (1, 2))
    thetas = [[1, 1, 1], [0, 2, 1]]
    table = allocated(bowl, thetas, held_out=twice, groups={"a": [0]}).table()
    assert table.ungrouped == 2 and table.ungrouped_changes == (3, 6)
    assert table.changes.sum() + 3 == table.losses[1] - table.losses[0]
    rows = str(table).split("\n")
    assert rows[1].split() == ["a", "1", "-0.5", "-1", "100%", "helped"]
    assert rows[2].split() == ["in", "no", "group", "2", "3", "6", "hurt"]
    table = allocated(bowl, thetas, groups=[0, 1, 1]).table()
    assert table.ungrouped == 0 and "in no group" not in str(table)


def test_a_loss_that_is_nan_is_named_and_leaves_what_there_was():
    root = Formula(lambda theta: tf.reduce_sum(tf.sqrt(theta) + 0 * theta, axis=-1), 2)
    held_out = wedges.Quadratic([1.0, 1.0], dtype="float64")
    for first, second, name in ((held_out, root, "held_out"), (root, held_out, "landscape")):
        found = allocated(first, [[1.0, 1.0], [2.0, 3.0]], held_out=second)
        before = found.state
        words = f"^{name} must have a finite loss and gradient .*; received a loss of nan in step 2.$"
        with pytest.raises(NotFinite, match=words):
            found.step([-1.0, 1.0])
        for key, value in before.items():
            if key not in ("numbers", "held_out/numbers"):  # which count gradients
                bits(found.state[key], value)
        found.step([1.0, 2.0])
        assert found.steps == found.held_out.steps == 2 and np.isfinite(found.total).all()
    with pytest.raises(ValueError, match="received a gradient of NaN or infinity in step 1"):
        wedges.Allocation(root).step([0.0, 1.0])
    with pytest.raises(ValueError, match="theta must be finite; received NaN or infinity in step 1"):
        wedges.Allocation(held_out).step([np.nan, 1.0])


def test_a_descent_that_diverges_or_stands_still_is_named():
    for bowl in (wedges.Quadratic([1.0, 2.0]), Numbered([1.0, 2.0])):
        with pytest.raises(ValueError, match="descent must move; received one that stands still for 3"):
            wedges.Allocation(bowl).follow(wedges.Descent(bowl, [1.0, 1.0], SGD(0.0)), 3)
        found = wedges.Allocation(bowl)
        with pytest.raises(NotFinite, match="must .*be? finite|must have a finite"):
            found.follow(wedges.Descent(bowl, [1.0, 1.0], SGD(1e12)), 9)
        assert 0 < found.steps < 9 and np.isfinite(found.total).all()


def test_statistics_of_one_model_are_warned_of(images):
    with pytest.warns(UserWarning, match='make it with batch_norm="reestimate"'):
        wedges.Allocation(network(images, batch_norm))


BOWL = wedges.Quadratic([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: wedges.Allocation(plain()),
            "landscape must be a wedges.Landscape; received Sequential",
        ),
        (
            lambda: wedges.Allocation(BOWL, rule="rk4"),
            "rule must be 'adaptive', 'trapezoid', 'simpson' or",
        ),
        (lambda: wedges.Allocation(BOWL, tolerance=-1), "tolerance must be a finite number, at least 0"),
        (
            lambda: wedges.Allocation(BOWL, held_out=wedges.Quadratic([1.0, 2.0])),
            "held_out must be of the landscape's space, D = 3 of float32; received one of D = 2 of",
        ),
        (
            lambda: wedges.Allocation(BOWL, held_out=wedges.Quadratic([1.0] * 3, dtype="float64")),
            "received one of D = 3 of float64",
        ),
        (
            lambda: wedges.Allocation(BOWL, groups={"a": [0, 1], "b": [1]}),
            "groups must not overlap; .*'b'",
        ),
        (lambda: wedges.Allocation(BOWL, groups={"a": [3]}), "groups must be of the 3 parameters.*'a'"),
        (lambda: wedges.Allocation(BOWL, groups=[0, 1]), r"whole numbers \[3\], -1 for none; received"),
        (lambda: wedges.Allocation(BOWL, groups=[0.0, 1.0, 2.0]), r"whole numbers \[3\]"),
        (lambda: wedges.Allocation(BOWL, groups=[0, 1, -2]), r"whole numbers \[3\]"),
        (lambda: wedges.Allocation(BOWL).step([1.0, 2.0]), r"theta must have shape \[..., 3\]"),
        (lambda: wedges.Allocation(BOWL).step(np.ones((2, 3))), r"theta must be one point \[3\]"),
        (
            lambda: wedges.Allocation(BOWL).follow(BOWL, 3),
            "descent must be a wedges.Descent; received a l",
        ),
        (
            lambda: wedges.Allocation(BOWL).follow(wedges.Descent(BOWL, np.ones((2, 3)), SGD(0.1)), 1),
            r"theta must be one point \[3\]",
        ),
        (
            lambda: wedges.Allocation(BOWL).follow(
                wedges.Descent(wedges.Quadratic([1.0]), [1.0], SGD(0.1)), 1
            ),
            r"theta must have shape \[..., 3\]",
        ),
        (lambda: wedges.Allocation(BOWL).table(), "table must come after a step"),
        (lambda: setattr(wedges.Allocation(BOWL), "state", {}), "state must hold theta, .*; received"),
        (
            lambda: setattr(
                wedges.Allocation(BOWL), "state", wedges.Allocation(wedges.Quadratic([1.0])).state
            ),
            "state must be that of D = 3 and 1 groups",
        ),
    ],
)
def test_bad_input_is_named_in_a_line(make, words):
    with pytest.raises(ValueError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
