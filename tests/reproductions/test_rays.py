"""How radial a well is, on landscapes whose curvature is known; and the error of a variation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from reproductions.common import rays, toys, wells


def symmetric(dimension, seed=0):
    """A random symmetric matrix, indefinite, in float64."""
    matrix = np.random.default_rng(seed).standard_normal((dimension, dimension))
    return (matrix + matrix.T) / 2 + 0.5 * np.eye(dimension)


def dense(matrix, point):
    """Both curvatures from the matrix and a basis of the plane normal to the point, in float64."""
    basis = np.linalg.svd(point[None])[2]  # the point's direction first
    inside = basis @ matrix @ basis.T
    return inside[0, 0], np.mean(np.diag(inside)[1:])


# ---- curvatures -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 12), st.integers(0, 100), st.floats(0.1, 100))
def test_curvatures_are_those_of_the_dense_matrix(dimension, seed, norm):
    matrix = symmetric(dimension, seed)
    point = np.random.default_rng([seed, 1]).standard_normal(dimension)
    point *= norm / np.linalg.norm(point)
    found = rays.curvatures(wedges.Quadratic(matrix, dtype="float64"), point, 6, seed=0)
    along, across = dense(matrix, point)
    np.testing.assert_allclose([found["along"], found["across"]], [along, across], atol=1e-9)
    assert found["error"] == 0  # from as many products as dimensions


def test_the_mean_across_is_estimated_with_an_honest_error():
    """Over 12 seeds it is off by the standard error in the root mean square, by chance more or less."""
    dimension = 60
    matrix = symmetric(dimension) + np.diag([90.0, 60.0] + [0.0] * (dimension - 2))
    point = np.random.default_rng(5).standard_normal(dimension)
    bowl = wedges.Quadratic(matrix, dtype="float64")
    _, across = dense(matrix, point)
    found = [rays.curvatures(bowl, point, 30, seed=seed) for seed in range(12)]
    off = np.array([(f["across"] - across) / f["error"] for f in found])
    assert 0.6 < np.sqrt(np.mean(off**2)) < 1.6


def test_a_valley_along_the_ray_is_flat_along_it_alone():
    ray = np.array([0.6, 0.8, 0, 0, 0])
    valley = wedges.Quadratic(np.eye(5) - np.outer(ray, ray), dtype="float64")
    found = rays.curvatures(valley, 7 * ray, 6, seed=0)
    np.testing.assert_allclose([found["along"], found["across"]], [0, 1], atol=1e-12)


def test_above_a_wedge_the_toy_is_straight_along_the_ray_and_curved_across():
    """The loss is |c| times as large at c times the point; across it is the distance to a subspace, of
    s - 1 curvatures 1 / height: the short directions but the one to the point itself."""
    height, toy = 2.0, toys.Toy("finite", 40, 28, 4, seed=3)
    found = rays._above_wedges(toy, height, 2, 40, 0)
    np.testing.assert_allclose(found["along"], 0, atol=1e-6)
    np.testing.assert_allclose(found["across"], 11 / height / 39, rtol=1e-4)
    np.testing.assert_array_equal(found["error"], 0)


# ---- the error of a variation -----------------------------------------------------------------------


def test_the_jackknife_of_three_losses_by_hand():
    """Without one of 1, 2, 3 the variation is 0.28284, 0.70711, 0.47140."""
    error = wells.error_of_variation(np.array([[1.0, 2, 3], [3, 1, 2]]))
    np.testing.assert_allclose(error, [0.24546] * 2, atol=1e-5)


def test_the_error_is_how_much_variations_of_many_samples_scatter():
    n = 100
    losses = 1 + 0.15 * np.random.default_rng(0).standard_normal((400, n))
    scatter = wells.variation(losses).std()
    assert wells.error_of_variation(losses).mean() == pytest.approx(scatter, rel=0.1)
    assert scatter == pytest.approx(0.15 * np.sqrt(1 / (2 * n) + 0.15**2 / n), rel=0.1)


@given(st.integers(3, 30), st.floats(1e-3, 1e3), st.integers(0, 50))
def test_the_error_knows_no_unit(n, unit, seed):
    losses = np.random.default_rng(seed).uniform(1, 2, n)
    error = wells.error_of_variation(losses)
    assert wells.error_of_variation(unit * losses) == pytest.approx(error, rel=1e-9)
