"""All points of a surface at once, on its mean loss: the normal equations of a quadratic."""

import keras
import numpy as np
import pytest

from tests.wedges.bowls import (
    CENTER,
    CG,
    MATRIX,
    D,
    bits,
    bowl,
    loss,
    network,
    normal,
    optima_of,
    recorded,
)
from wedges import connect, simplex
from wedges.connect import Connector, joint_connector
from wedges.simplex import Bernstein, Grid


@pytest.mark.parametrize("batch", [(), (3,)])
def test_the_expected_loss_is_the_mean_over_its_positions(batch):
    fixed, free = normal(0, *batch, 3, D), normal(1, *batch, 2, D)
    p, weights = normal(2, *batch, 2, D), normal(3, 7, 5)
    expected = connect.Expected(bowl(), fixed, weights)
    assert (expected.dimension, expected.dtype.name, expected.takes_batches) == (2 * D, "float64", True)
    points = weights @ np.concatenate([fixed, free], axis=-2)  # [..., 7, D]
    value = loss(points).mean(axis=-1)
    gradient = np.einsum("tf,...ti->...fi", weights[:, 3:], (points - CENTER) @ MATRIX) / 7
    moved = weights[:, 3:] @ p
    curved = np.einsum("...ti,ij,...tj->...", moved, MATRIX, moved) / 7
    theta, p = free.reshape(*batch, -1), p.reshape(*batch, -1)
    gradient = gradient.reshape(*batch, -1)
    np.testing.assert_allclose(expected(theta), value)
    for a, b in zip(expected.value_and_gradient(theta), (value, gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    for a, b in zip(expected.jet(theta, p), (value, np.sum(gradient * p, -1), curved), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    for step in (0, 5, 6, 7, 20):
        np.testing.assert_allclose(expected.sample(theta, step), loss(points)[..., step % 7])


def test_a_step_of_a_network_sees_one_position_and_its_own_minibatch(images):
    landscape = network(images)
    optima, basis = optima_of(landscape, 2), Grid(1, 3)
    inner = optima_of(landscape, 4)[2:]
    w = simplex.dirichlet(1, 5, seed=0)
    expected = connect.Expected(landscape, optima, basis.weights(w))
    surface = Connector(optima, basis, inner)
    assert expected.takes_batches is False
    for step in (0, 4, 5, 13):
        found = expected.sample(inner.reshape(-1), step)
        np.testing.assert_allclose(found, landscape.sample(surface(w[step % 5]), step), rtol=1e-5)


def dense_joint(optima, basis, w, kept_normal):
    """The free points [F, D] of the smallest mean loss over positions w, from the normal equations."""
    m, weights = len(optima) - 1, basis.weights(w)
    fixed, free = weights[:, : m + 1], weights[:, m + 1 :]
    if not kept_normal:  # any matrix has one and the same answer
        return np.linalg.lstsq(free, CENTER - fixed @ optima, rcond=None)[0]
    flat = basis.points[m + 1 :] @ optima
    across = np.linalg.svd(optima[1:] - optima[0])[2][m:]  # [D - m, D]
    offset = fixed @ optima + free @ flat - CENTER  # [T, D]
    left = np.kron(free.T @ free, across @ MATRIX @ across.T)
    z = np.linalg.solve(left, -(free.T @ offset @ MATRIX @ across.T).ravel())
    return flat + z.reshape(len(flat), -1) @ across


@pytest.mark.parametrize("kept_normal", [True, False])
@pytest.mark.parametrize("basis", [Grid(1, 3), Bernstein(1, 2), Grid(2, 2)])
def test_all_points_jointly_are_the_closed_form(basis, kept_normal):
    m = basis.m
    optima, calls = normal([m, 1], m + 1, D), []
    surface = joint_connector(
        bowl(), optima, basis, CG, 100, seed=5, normal=kept_normal, samples=40, follow=recorded(calls)
    )
    expected = dense_joint(optima, basis, simplex.dirichlet(m, 40, seed=5), kept_normal)
    np.testing.assert_allclose(surface.vertices[m + 1 :], expected, atol=1e-6)
    bits(surface.vertices[: m + 1], optima)
    across = surface.deviations @ (optima[1:] - optima[0]).T
    assert np.abs(across).max() < 1e-12 if kept_normal else np.abs(across).max() > 0.1
    assert [c[:2] for c in calls] == [(f"{len(expected)} points jointly", 100)]


@pytest.mark.parametrize("steps", [10, 80])
def test_by_default_there_is_a_position_for_each_step_and_at_least_64(steps):
    optima, basis = normal([1, 1], 2, D), Bernstein(1, 2)
    surface = joint_connector(bowl(), optima, basis, CG, steps, seed=3)
    expected = dense_joint(optima, basis, simplex.dirichlet(1, max(64, steps), seed=3), True)
    np.testing.assert_allclose(surface.vertices[2:], expected, atol=1e-7)


def test_joint_goes_on_from_another_connector():
    optima, basis, calls = normal(0, 2, D), Grid(1, 3), []
    run = lambda steps, **more: joint_connector(
        bowl(), optima, basis, CG, steps, seed=0, samples=30, **more
    )
    first = run(2)
    second = run(1, start=first, follow=recorded(calls))
    np.testing.assert_allclose(calls[0][2], first.vertices[2:].ravel(), atol=1e-13)
    bits(second.basis.points, basis.points)
    expected = dense_joint(optima, basis, simplex.dirichlet(1, 30, seed=0), True)
    far = lambda surface: np.linalg.norm(surface.vertices[2:] - expected)
    assert far(run(60, start=first)) < 1e-6 < far(first)
    # One that left the normal planes comes back to them.
    free = run(20, normal=False)
    back = run(0, start=free)
    assert np.abs(free.deviations @ (optima[1] - optima[0])).max() > 0.1
    assert np.abs(back.deviations @ (optima[1] - optima[0])).max() < 1e-12


def test_joint_lowers_the_mean_loss_of_a_network(images):
    landscape = network(images)
    optima, w = optima_of(landscape, 2), simplex.dirichlet(1, 8, seed=100)
    before = Connector(optima, Bernstein(1, 2)).evaluate(landscape, w).loss.mean()
    adam = keras.optimizers.Adam(0.02)
    surface = joint_connector(landscape, optima, Bernstein(1, 2), adam, 30, seed=0)
    assert surface.evaluate(landscape, w).loss.mean() < 0.7 * before
    unit = (optima[1] - optima[0]) / np.linalg.norm(optima[1] - optima[0])
    assert np.abs(surface.deviations @ unit).max() < 2e-6
