"""In how many directions vectors vary: against sums over disjoint samples, closed forms on quadratics
and on wedges that cross, and draws whose covariance is known."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import wedges
from tests.wedges.bowls import CG, Interrupted, OneByOne, bits, keeping, network, normal
from wedges import dimensionality, probe
from wedges.dimensionality import (
    displacements,
    gradients,
    gram,
    participation_ratio,
    spectrum,
    variance_count,
)

# ---- the Gram matrix and its spectrum ---------------------------------------------------------------


def test_the_gram_matrix_is_that_of_vectors_about_their_mean(monkeypatch):
    samples = normal(0, 6, 9).astype(np.float32) + np.float32(1000)
    centered = samples.astype(np.float64) - samples.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(gram(samples), centered @ centered.T, atol=1e-9)
    monkeypatch.setattr(dimensionality, "_COLUMNS", 4)  # in three parts
    np.testing.assert_allclose(gram(samples), centered @ centered.T, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 20), (20, 5)])
def test_the_spectrum_is_that_of_the_covariance(shape):
    samples = normal(1, *shape)
    expected = np.linalg.eigvalsh(np.cov(samples.T))[::-1]
    found = spectrum(gram(samples))
    assert found.shape == (shape[0] - 1,)
    few = min(len(found), len(expected))
    np.testing.assert_allclose(found[:few], expected[:few], atol=1e-12)
    np.testing.assert_allclose(found[few:], 0, atol=1e-12)


# ---- the participation ratio ------------------------------------------------------------------------


def disjoint(samples):
    """The ratio by its definition: two means over four different samples."""
    x = np.asarray(samples, float)
    lengths, products = [], []
    for i, j, k, h in itertools.permutations(range(len(x)), 4):
        a, b = x[i] - x[j], x[k] - x[h]
        lengths.append(a @ a * (b @ b))
        products.append((a @ b) ** 2)
    return np.mean(lengths) / np.mean(products) if np.mean(products) > 0 else np.nan


ONE = [[0, 0, 0]] * 4 + [[0, 0, 1]]  # differs: no two disjoint pairs do


@settings(deadline=None, max_examples=30)
@example(ONE, 0.0)
@given(
    st.integers(4, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=n, max_size=n)
    ),
    st.floats(-100, 100),
)
def test_it_is_the_ratio_of_means_over_disjoint_samples(samples, shift):
    samples = np.array(samples, float)
    found, expected = participation_ratio(gram(samples + shift)), disjoint(samples)
    if np.ptp(samples, axis=0).max() == 0:  # what rounding leaves has any ratio
        return
    if np.isnan(expected):
        assert np.isnan(found.value)
    else:
        np.testing.assert_allclose(found.value, expected, rtol=1e-6)


def draws(seed, n, deviations, kind="normal"):
    """n samples [n, d] of independent components with these standard deviations."""
    rng, shape = np.random.default_rng(seed), (n, len(deviations))
    if kind == "normal":
        base = rng.standard_normal(shape)
    else:  # heavy tails, variance 1
        base = rng.standard_t(8, shape) * np.sqrt(6 / 8)
    return 3.0 + base * deviations


FLAT, STEEP = np.ones(60), np.r_[np.full(5, 3.0), np.full(50, 1.0)]


@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize("deviations", [FLAT, STEEP], ids=["flat", "steep"])
def test_few_samples_find_what_they_are_drawn_from_and_the_error_is_their_spread(deviations, kind):
    squares = deviations**2
    truth = squares.sum() ** 2 / np.sum(squares**2)
    found = [participation_ratio(gram(draws(seed, 30, deviations, kind))) for seed in range(150)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    assert abs(np.median(values) / truth - 1) < 0.05
    # Of equal variances the term of first order is 0, and a jackknife is high by sqrt(2) or more.
    high = 1.5 if deviations is FLAT else 1
    assert high * np.std(values) == pytest.approx(np.median(errors), rel=0.3)
    assert np.mean(np.abs(values - truth) < 2 * errors) > 0.85


def test_the_samples_own_ratio_is_too_low_as_the_docstring_says():
    """n d / (n + d + 1), n - 1 for the mean that is taken off."""
    n, d = 30, len(FLAT)
    plain = []
    for seed in range(100):
        values = spectrum(gram(draws(seed, n, FLAT)))
        plain.append(values.sum() ** 2 / np.sum(values**2))
    degrees = n - 1
    assert np.mean(plain) == pytest.approx(degrees * d / (degrees + d + 1), rel=0.01)
    assert np.mean(plain) < 0.35 * d


def test_one_direction_is_one_and_no_variance_is_no_number():
    samples = np.arange(8.0)[:, None] * np.ones(5)
    np.testing.assert_allclose(participation_ratio(gram(samples)).value, 1)
    assert np.isnan(participation_ratio(np.zeros((8, 8))).value)
    assert variance_count(np.zeros((8, 8))).value == 0
    assert np.isnan(participation_ratio(gram(normal(0, 4, 9))).error)


# ---- the count that holds a share -------------------------------------------------------------------


def test_the_count_is_where_the_running_sum_of_eigenvalues_comes_to_the_share():
    """Eigenvalues 8, 4, 2, 2 of 16: 0.75 after two of them, 0.8125 half-way through the third."""
    samples = np.sqrt([8.0, 4.0, 2.0, 2.0])[:, None] * np.eye(4)
    samples = np.concatenate([samples, -samples])
    for share, count in ((0.25, 0.5), (0.5, 1), (0.75, 2), (0.8125, 2.5), (0.875, 3), (0.9, 3.2)):
        np.testing.assert_allclose(variance_count(gram(samples), share).value, count)


def test_its_error_is_its_spread_over_draws():
    found = [variance_count(gram(draws(seed, 30, STEEP))) for seed in range(60)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    assert 0.5 < np.std(values) / np.median(errors) < 1.5
    assert np.all(values < 29)


# ---- around a point of a quadratic ------------------------------------------------------------------

CURVATURES = np.r_[np.full(12, 2.0), np.full(8, 1.0), np.zeros(40)]


def quadratic(kind=wedges.Quadratic):
    turn = np.linalg.qr(normal(3, 60, 60))[0]
    matrix = (turn * CURVATURES) @ turn.T
    return kind((matrix + matrix.T) / 2, dtype="float64"), turn


def test_gradients_vary_by_the_curvature_wherever_they_are_taken():
    bowl, _ = quadratic()
    truth = np.sum(CURVATURES**2) ** 2 / np.sum(CURVATURES**4)
    for theta in (np.zeros(60), 10 * normal(5, 60)):  # at the minimum and far from it
        found = gradients(bowl, theta, 0.5, 300, seed=1)
        away = probe.sphere(bowl, np.zeros(60), 0.5, 300, seed=1)
        expected = away @ bowl.matrix.numpy()
        vary = lambda rows: rows - rows.mean(axis=0)
        np.testing.assert_allclose(vary(found), vary(expected), atol=1e-9)
        ratio = participation_ratio(gram(found))
        assert abs(ratio.value - truth) < 3 * ratio.error < 0.2 * truth
        values = spectrum(gram(found))
        np.testing.assert_allclose(values[20:], 0, atol=1e-12)
        np.testing.assert_allclose(values.sum(), 0.25 * np.sum(CURVATURES**2) / 60, rtol=0.05)


def test_one_point_at_a_time_is_as_all_at_once():
    together, alone = quadratic()[0], quadratic(OneByOne)[0]
    how = dict(radius=0.5, samples=6, seed=1)
    theta = normal(5, 60)
    np.testing.assert_allclose(gradients(alone, theta, **how), gradients(together, theta, **how))
    sgd = keras.optimizers.SGD(0.1)
    moved = [displacements(q, theta, optimizer=sgd, steps=7, **how) for q in (alone, together)]
    np.testing.assert_allclose(*moved, atol=1e-9)


def test_displacements_count_a_direction_once_descent_has_had_time_for_it():
    """f(l) = 1 - (1 - h l)^steps: nearly all of 2, little of 0.01."""
    curvatures = np.r_[np.full(10, 2.0), np.full(10, 0.5), np.full(40, 0.01)]
    bowl, theta = wedges.Quadratic(curvatures, dtype="float64"), normal(5, 60)
    rate, steps = 0.3, 12
    found = displacements(bowl, theta, 0.5, 200, keras.optimizers.SGD(rate), steps, seed=1)
    covered = 1 - (1 - rate * curvatures) ** steps
    expected = -covered * probe.sphere(bowl, theta, 0.5, 200, seed=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    truth = np.sum(covered**2) ** 2 / np.sum(covered**4)
    weighed = np.sum(curvatures**2) ** 2 / np.sum(curvatures**4)
    assert truth > 18 > 13 > weighed
    ratio = participation_ratio(gram(found))
    assert abs(ratio.value - truth) < 3 * ratio.error < 0.2 * truth


# ---- where wedges cross -----------------------------------------------------------------------------

S = 6


@pytest.mark.parametrize("met", [1, 2, 4])
def test_where_axis_aligned_wedges_cross_gradients_vary_in_the_short_directions_of_all(met):
    """A gradient lies along the S smallest of met S numbers that are alike: all vary alike."""
    landscape = wedges.AxisWedges(80, 80 - S, "float64")
    theta = np.where(np.arange(80) < met * S, 0, 1 + np.abs(normal(0, 80)))
    found = gradients(landscape, theta, 1e-3, 240, seed=0)
    assert np.linalg.matrix_rank(found) == met * S
    ratio = participation_ratio(gram(found))
    assert abs(ratio.value - met * S) < 3 * ratio.error < 0.15 * met * S
    # What descent undoes is the distance to the nearest wedge, in the same directions.
    moved = displacements(wedges.Squared(landscape), theta, 1e-3, 240, CG, 20, seed=0)
    ratio = participation_ratio(gram(moved))
    assert abs(ratio.value - met * S) < 3 * ratio.error < 0.15 * met * S


@pytest.mark.parametrize("met", [1, 3])
def test_where_random_wedges_cross_it_is_their_sum_less_what_they_share(met):
    """The mean of met projections on S of D dimensions: tr = 1, tr of its square from the overlaps."""
    landscape = wedges.RandomWedges(80, 80 - S, 5, seed=0, dtype="float64")
    normals = landscape.normals.numpy()[:met]
    rows = normals.reshape(-1, 80)
    theta = normal(1, 80)
    theta = theta - np.linalg.pinv(rows) @ (rows @ theta)
    found = gradients(landscape, theta, 1e-3, 240, seed=0)
    assert np.linalg.matrix_rank(found, tol=1e-6) == met * S
    covariance = np.mean([n.T @ n for n in normals], axis=0) / S
    truth = 1 / np.sum(covariance**2)
    assert 0.8 * met * S < truth <= met * S * (1 + 1e-9)
    ratio = participation_ratio(gram(found))
    assert abs(ratio.value - truth) < 3 * ratio.error < 0.2 * truth


# ---- on a network -----------------------------------------------------------------------------------


def test_descents_of_a_network_go_on_bit_for_bit_and_see_the_same_minibatches(images):
    landscape = network(images)
    theta = landscape.space.read().numpy()
    sgd = keras.optimizers.SGD(0.05)
    run = lambda **how: displacements(landscape, theta, 0.3, 3, sgd, 6, seed=0, **how)
    whole = run()
    states = {}
    with pytest.raises(Interrupted):
        run(follow=keeping(states, 3))
    bits(run(follow=keeping(states, 99)), whole)
    start = probe.sphere(landscape, theta, 0.3, 3, seed=0)[1]
    alone = wedges.minimize(landscape, start, sgd, 6).theta - start
    np.testing.assert_allclose(whole[1], alone, atol=1e-6)
    each = [landscape.value_and_gradient(p)[1] for p in probe.sphere(landscape, theta, 0.3, 2, seed=4)]
    np.testing.assert_allclose(gradients(landscape, theta, 0.3, 2, seed=4), each, atol=1e-6)


# ---- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: gradients(q, [1, 1], 0.0, 3, seed=0), "radius must .*received 0"),
        (lambda q: gradients(q, [1, 1], 0.1, 0, seed=0), "samples must .*at least 1; received 0"),
        (lambda q: gradients(q, [1, 1, 1], 0.1, 3, seed=0), r"theta must .*received shape \(3,\)"),
        (lambda q: displacements(q, [1, 1], 0.1, 3, "down", 3, seed=0), "optimizer must .*down"),
        (lambda q: displacements(q, [1, 1], 0.1, 3, CG, -1, seed=0), "steps must .*received -1"),
        (lambda q: gram([1.0, 2.0]), r"samples must be .*received float64 \(2,\)"),
        (lambda q: gram([[1.0, 2.0]]), r"samples must be .*received float64 \(1, 2\)"),
        (lambda q: gram([["a"], ["b"]]), "samples must be numbers"),
        (lambda q: gram([[1.0], [np.nan]]), "samples must be finite"),
        (lambda q: spectrum(np.ones((3, 2))), r"gram must .*at least 2 .*received shape \(3, 2\)"),
        (lambda q: participation_ratio(np.eye(3)), r"gram must .*at least 4 .*received shape \(3, 3\)"),
        (lambda q: participation_ratio(np.full((5, 5), np.inf)), "gram must be finite"),
        (lambda q: variance_count(np.eye(5), 1.0), "share must be a share .*received 1.0"),
    ],
)  # fmt: skip
def test_bad_input_is_named_in_one_line(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build(wedges.Quadratic([1.0, 1.0]))
    assert "\n" not in str(error.value)
