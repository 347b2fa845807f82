"""Paths with one corner, and stars: low as a whole, through the crossing of wedges."""

import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.wedges.bowls import CENTER, CG, MATRIX, D, bowl, loss
from tests.wedges.on_wedges import ends_of
from wedges import connect

RNG = np.random.default_rng(2)


# ---- stars ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_star_is_the_mean_loss_of_its_rays(batch):
    ends, center, p = (
        RNG.standard_normal((*batch, 4, D)),
        RNG.standard_normal((*batch, D)),
        RNG.standard_normal((*batch, D)),
    )
    star = connect.Expected(bowl(), ends, connect._rays(4, 3, 0.6))
    u = np.array([0.2, 0.4, 0.6])[:, None]
    points = (1 - u) * ends[..., None, :] + u * center[..., None, None, :]  # [..., E, T, D]
    value = loss(points).mean(axis=(-1, -2))
    gradient = (u * ((points - CENTER) @ MATRIX)).mean(axis=(-2, -3))
    curved = np.mean(u**2) * np.einsum("...i,ij,...j->...", p, MATRIX, p)
    np.testing.assert_allclose(star(center), value)
    for a, b in zip(star.value_and_gradient(center), (value, gradient), strict=True):
        np.testing.assert_allclose(a, b)
    for a, b in zip(star.jet(center, p), (value, np.sum(gradient * p, -1), curved), strict=True):
        np.testing.assert_allclose(a, b)
    np.testing.assert_allclose(star.jet(center, p)[2], curved)


def test_the_center_of_a_star_on_a_quadratic_is_the_closed_form():
    ends, u = RNG.standard_normal((2, 3, D)), np.arange(1, 6) / 5
    # The mean over u and ends of u A ((1 - u) e + u x - c) is 0.
    share = np.mean(u * (1 - u)) / np.mean(u**2)
    expected = CENTER * np.mean(u) / np.mean(u**2) - share * ends.mean(axis=1)
    found = connect.corner(bowl(), ends, CG, 30, points=5)
    np.testing.assert_allclose(found.theta, expected, atol=1e-9)
    assert found.losses.shape == (30, 2)


# ---- between wedges -------------------------------------------------------------------------------


TOYS = {
    "two random wedges": lambda: wedges.RandomWedges(60, 50, 2, seed=0, dtype="float64"),
    "all axis-aligned": lambda: wedges.AxisWedges(60, 50, "float64"),
}


def check_path(landscape, ends, corner):
    """The whole path is low, by way of a corner that is not the origin, on all wedges."""
    assert np.all(landscape(ends) < 1e-12)
    for a in ends[1:]:
        line = connect.along(landscape, [ends[0], a], 200)[1]
        barrier = wedges.barrier(line)
        assert barrier > 0.1
        path = connect.along(landscape, tf.stack([ends[0], corner, a]), 200)[1]
        assert path.max() <= 0.05 * barrier
    assert np.linalg.norm(corner) > 1


def corner_of(landscape, ends):
    return connect.corner(wedges.Squared(landscape), ends, CG, 300, tolerance=1e-7).theta


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_corner_joins_two_wedges_by_a_path_that_is_low_all_along(name, seed):
    landscape = TOYS[name]()
    ends, _ = ends_of(landscape, seed)
    corner = corner_of(landscape, ends)
    check_path(landscape, ends, corner)
    # It lies on wedges of both kinds: s = 10, and 20 where they share no direction.
    assert 17 <= len(landscape.short_directions(corner, 1e-3)) <= 20


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_corner_is_where_the_wedges_of_the_two_ends_cross(name, seed):
    # An axis-aligned end with a component near 0 is as good as on other wedges, too.
    landscape = TOYS[name]()
    ends, normals = ends_of(landscape, seed, gap=0.25 * (name == "all axis-aligned"))
    corner = corner_of(landscape, ends)
    assert np.abs(normals @ corner).max() < 1e-4
    rank = np.linalg.matrix_rank(normals.reshape(-1, 60))
    assert len(landscape.short_directions(corner, 1e-3)) == rank >= 18


def test_a_star_joins_more_ends():
    landscape = wedges.RandomWedges(60, 50, 3, seed=0, dtype="float64")
    ends, normals = ends_of(landscape, 0, count=3)
    corner = corner_of(landscape, ends)
    check_path(landscape, ends, corner)
    assert np.abs(normals @ corner).max() < 1e-4


def test_many_pairs_at_once_are_as_each_alone():
    landscape = TOYS["two random wedges"]()
    pairs = np.stack([ends_of(landscape, seed)[0] for seed in range(3)])  # [R, E, D]
    together = connect.corner(wedges.Squared(landscape), pairs, CG, 100).theta
    assert together.shape == (3, 60)
    for i, ends in enumerate(pairs):
        check_path(landscape, ends, together[i])
        alone = connect.corner(wedges.Squared(landscape), ends, CG, 100).theta
        np.testing.assert_allclose(together[i], alone, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: connect.Expected(q, [1, 2], [[1.0]]), r"fixed must have .*received \(2,\)"),
        (lambda q: connect.corner(q, [[1, 2]], CG, 3, points=0), "points must .* 1; received 0"),
        (lambda q: connect.corner(q, [[1, 2]], CG, 3, reach=[0]), "reach must be above 0 .*received 0"),
        (lambda q: connect.corner(q, [[1, 2]], CG, 3, reach=[1.1]), "at most 1; received 1.1"),
        (lambda q: connect.corner(q, [[1, 2]], CG, 3, reach=[np.nan]), "reach must .*received nan"),
        (lambda q: connect.corner(q, [1, 2], CG, 3), r"ends must have .*received \(2,\)"),
        (lambda q: connect.corner(q, [[1, 2], [2, 1]], CG, 3, reach=()), "reach .*received none"),
        (lambda q: connect.corner(q, [[1, 2], [np.nan, 1]], CG, 3), "must be finite; received NaN"),
        (lambda q: connect.corner(q, [[1, 2], [2, 1]], "downhill", 3), "optimizer must .*downhill"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build(wedges.Quadratic([1.0, 2.0]))
