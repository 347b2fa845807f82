import numpy as np
import pytest
import tensorflow as tf

import wedges
from wedges import probe


def test_line_and_barrier_between_the_minima_of_a_double_well():
    class DoubleWell(wedges.Landscape):
        """(x^2 - 1)^2 + y^2: minima at x = +-1, between them a barrier of 1."""

        dimension, dtype = 2, tf.float32

        def __call__(self, theta):
            theta = self.point(theta)
            return (theta[..., 0] ** 2 - 1) ** 2 + theta[..., 1] ** 2

    t, losses = wedges.line(DoubleWell(), [-1.0, 0.0], [1.0, 0.0], points=9)
    np.testing.assert_allclose(losses, ((2 * t - 1) ** 2 - 1) ** 2, atol=1e-6)
    assert wedges.barrier(losses) == pytest.approx(1.0)


def test_barrier_is_above_the_chord_never_negative_and_keeps_nan():
    np.testing.assert_allclose(wedges.barrier([0.0, 3.0, 2.0]), 2.0)  # chord 1 in the middle
    assert wedges.barrier([1.0, 0.0, 1.0]) == 0.0
    assert np.isnan(wedges.barrier([0.0, np.nan, 0.0]))
    np.testing.assert_allclose(wedges.barrier([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]), [1.0, 0.0])


def test_line_needs_its_ends():
    with pytest.raises(ValueError, match="points must be at least 2"):
        wedges.line(wedges.Quadratic([1.0]), [0.0], [1.0], points=1)


def test_label_agreement_by_hand():
    found = wedges.label_agreement([[0, 1, 2, 2], [0, 1, 1, 2], [1, 0, 0, 0]])
    np.testing.assert_allclose(found, [[1, 0.75, 0], [0.75, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"received \(2,\)"):
        wedges.label_agreement([1, 2])


# ---- around a point ---------------------------------------------------------------------------------


def test_the_rank_of_gradients_counts_the_short_directions_of_all_wedges_that_meet():
    d, n, s = 40, 34, 6
    landscape = wedges.RandomWedges(d, n, 5, seed=0, dtype="float64")
    theta = np.random.default_rng(0).standard_normal(d)
    normals = landscape.normals.numpy()
    for met in ([2], [1, 3]):
        rows = normals[met].reshape(-1, d)
        on = theta - np.linalg.pinv(rows) @ (rows @ theta)
        rank = probe.gradient_rank(landscape, on, radius=1e-3, samples=60, seed=0)
        assert rank == s * len(met) == len(landscape.short_directions(on, 1e-6))
    axis = wedges.AxisWedges(d, n, "float64")
    on = np.where(np.arange(d) < s, 0, theta)
    assert probe.gradient_rank(axis, on, 1e-4, 60, seed=0) == s
    on = np.where(np.arange(d) < 2 * s, 0, theta)
    assert probe.gradient_rank(axis, on, 1e-4, 60, seed=0) == 2 * s


def test_the_rank_on_a_quadratic_is_its_matrixs_and_zero_where_it_is_flat():
    bowl = wedges.Quadratic([1.0, 2.0, 0.0, 3.0, 0.0])
    assert probe.gradient_rank(bowl, np.zeros(5), 0.1, 20, seed=0) == 3
    assert probe.gradient_rank(bowl, np.zeros(5), 0.1, 2, seed=0) == 2
    assert probe.gradient_rank(wedges.Quadratic(np.zeros(5)), np.ones(5), 0.1, 20, seed=0) == 0


def test_random_directions_are_unit_vectors_the_same_at_every_distance():
    radii, theta = [0.0, 0.5, 1.0, 2.0], np.array([1.0, 2.0, 3.0])
    sphere = wedges.Quadratic(np.ones(3), theta, "float64")
    found = probe.random_directions(sphere, theta, radii, 7, seed=0)
    np.testing.assert_allclose(found, np.tile(0.5 * np.square(radii)[:, None], 7), atol=1e-14)
    oval = wedges.Quadratic([1.0, 5.0, 25.0], theta, "float64")
    found = probe.random_directions(oval, theta, radii, 7, seed=0)
    assert found.shape == (4, 7)
    np.testing.assert_allclose(found[1:], found[2] * np.square(radii[1:])[:, None], rtol=1e-12)
    assert len(set(found[2].round(6))) == 7 and 0.5 < found[2].min() < found[2].max() < 12.5
    np.testing.assert_array_equal(probe.random_directions(oval, theta, radii, 7, seed=0), found)
    assert np.abs(probe.random_directions(oval, theta, radii, 7, seed=1) - found)[1:].min() > 1e-6


def test_around_a_point_bad_input_is_named():
    bowl = wedges.Quadratic([1.0, 1.0])
    with pytest.raises(ValueError, match="samples must be at least 1; received 0"):
        probe.gradient_rank(bowl, [1.0, 1.0], 0.1, 0, seed=0)
    for call in (probe.gradient_rank, probe.random_directions):
        with pytest.raises(ValueError, match=r"theta must have .*received shape \(3,\)"):
            call(bowl, np.ones(3), [0.1], 3, seed=0)
