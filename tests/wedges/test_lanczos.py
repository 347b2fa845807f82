"""Lanczos, and the spectral density that its quadratures make."""

import tracemalloc

import numpy as np
import pytest
from scipy.integrate import trapezoid

import wedges
from tests.wedges.operators import normal, operator, turned
from wedges import curvature


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_lanczos_makes_the_matrix_tridiagonal(dtype, tolerance):
    matrix, m = turned(np.geomspace(1e-3, 10, 40) * (-1.0) ** np.arange(40)), 15
    made, landscape = operator(matrix, dtype)
    start, done = normal(1, 40), []
    found = curvature.lanczos(made, start, m, keep=True, done=lambda: done.append(1))
    q = found.basis
    assert q.shape == (m, 40) and q.dtype == dtype and landscape.asked == len(done) == m
    assert found.diagonal.shape == found.beside.shape == (m,) and found.beside.dtype == np.float64
    np.testing.assert_allclose(q[0], start / np.linalg.norm(start), rtol=1e-6)
    np.testing.assert_allclose(q @ q.T, np.eye(m), atol=tolerance)
    inside = np.diag(found.diagonal) + np.diag(found.beside[:-1], 1) + np.diag(found.beside[:-1], -1)
    off = q @ matrix - inside @ q
    np.testing.assert_allclose(off[:-1], 0, atol=20 * tolerance)
    np.testing.assert_allclose(np.linalg.norm(off[-1]), found.beside[-1], rtol=1e3 * tolerance)
    np.testing.assert_allclose(q @ off[-1], 0, atol=20 * tolerance)
    assert curvature.lanczos(made, start, 3).basis is None


def tridiagonal(found):
    side = found.beside[: len(found.diagonal) - 1]
    return np.diag(found.diagonal) + np.diag(side, 1) + np.diag(side, -1)


@pytest.mark.parametrize("order", [30, 99])
def test_lanczos_of_full_order_has_the_eigenvalues(order):
    values = np.linspace(-2, 5, 30)
    found = curvature.lanczos(operator(turned(values))[0], normal(1, 30), order)
    assert len(found.diagonal) == 30
    np.testing.assert_allclose(np.linalg.eigvalsh(tridiagonal(found)), values, atol=1e-11)


def test_lanczos_ends_where_the_space_of_the_start_is_exhausted():
    values = np.repeat([3.0, 2.0, 0.0, -1.0], 10)
    made, landscape = operator(values)
    found = curvature.lanczos(made, normal(1, 40), 20, keep=True)
    assert landscape.asked == len(found.diagonal) == len(found.beside) == len(found.basis) == 4
    np.testing.assert_allclose(np.linalg.eigvalsh(tridiagonal(found)), [-1, 0, 2, 3], atol=1e-12)
    own = curvature.lanczos(made, 7 * np.eye(40)[0], 20)
    np.testing.assert_allclose([*own.diagonal, *own.beside], [3, 0], atol=1e-12)
    flat = curvature.lanczos(operator(np.zeros(5))[0], np.ones(5), 3)
    np.testing.assert_array_equal([*flat.diagonal, *flat.beside], [0, 0])


@pytest.mark.parametrize("order", [1, 12, 40])
def test_ritz_values_have_the_residuals_and_shares_of_their_own_vectors(order):
    matrix = turned(np.geomspace(1e-3, 10, 40) * (-1.0) ** np.arange(40))
    steps = curvature.lanczos(operator(matrix)[0], normal(1, 40), order, keep=True)
    found = curvature.ritz(steps)
    inside = steps.basis @ matrix @ steps.basis.T
    expected, vectors = np.linalg.eigh((inside + inside.T) / 2)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    y = vectors.T @ steps.basis  # [m, D]
    left = np.linalg.norm(y @ matrix - expected[:, None] * y, axis=1)
    np.testing.assert_allclose(found.residuals, left, atol=1e-11)
    np.testing.assert_allclose(found.shares, (y @ steps.basis[0]) ** 2, atol=1e-12)
    assert (order == 40) == bool(np.all(found.residuals < 1e-9))


def peak(function):
    """The most memory that NumPy holds while function() runs, in bytes."""
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_order_and_four_vectors_are_held(dtype):
    d, m = 200_000, 20
    made, landscape = operator(np.linspace(0, 1, d), dtype)
    landscape.hessian_product = lambda theta, v: landscape.dense * v  # keeps none
    made, start = wedges.hessian(landscape, np.zeros(d)), normal(0, d).astype(dtype)
    vector = start.nbytes
    assert m <= peak(lambda: curvature.lanczos(made, start, m)) / vector <= m + 4.1
    many = lambda: wedges.spectral_density(made, samples=2, order=m, seed=0)
    assert m <= peak(many) / vector <= m + 4.1


# ---- the density ----------------------------------------------------------------------------------


def test_a_quadrature_has_the_moments_that_its_start_has():
    """sum_j tau_j^2 lambda_j^p = v^T A^p v to p = 2 order - 1, v the first vector of each run."""
    matrix, m = turned(np.r_[4.0, -2.0, np.linspace(-1, 1, 38)]), 5
    made, landscape = operator(matrix)
    found = wedges.spectral_density(made, samples=3, order=m, seed=0)
    assert found.values.shape == found.shares.shape == (3, m)
    assert found.products == landscape.asked == 3 * m
    np.testing.assert_allclose(found.shares.sum(1), 1, rtol=1e-12)
    assert np.all(found.shares >= 0)
    for v, values, shares in zip(landscape.seen[::m], found.values, found.shares, strict=True):
        for p in range(2 * m):
            expected = v @ np.linalg.matrix_power(matrix, p) @ v
            assert np.sum(shares * values**p) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    again = wedges.spectral_density(made, samples=3, order=m, seed=0)
    np.testing.assert_array_equal(again.values, found.values)


def test_the_density_has_the_mean_of_the_eigenvalues_within_its_scatter():
    values = np.r_[9.0, np.linspace(-1, 1, 99)]
    found = wedges.spectral_density(operator(turned(values))[0], samples=60, order=6, seed=0)
    for p in (1, 2):
        each = np.sum(found.shares * found.values**p, axis=1)
        assert abs(each.mean() - np.mean(values**p)) < 3 * each.std(ddof=1) / np.sqrt(60)


def test_a_quadrature_of_full_order_is_at_the_eigenvalues_and_one_of_few_is_padded():
    values = np.linspace(-1, 3, 12)
    found = wedges.spectral_density(operator(turned(values))[0], samples=2, order=50, seed=0)
    assert found.values.shape == (2, 12) and found.products == 24
    np.testing.assert_allclose(found.values, [values, values], atol=1e-10)
    few = wedges.spectral_density(operator(np.repeat([3.0, 1.0], 6))[0], samples=4, order=5, seed=0)
    assert few.products == 8 and few.values.shape == (4, 5)
    np.testing.assert_allclose(few.values[:, :2], [[1, 3]] * 4)
    np.testing.assert_array_equal(few.shares[:, 2:], 0)
    np.testing.assert_allclose(few.shares.sum(1), 1)


def test_smoothed_it_is_one_bell_for_each_eigenvalue_and_integrates_to_one():
    one = wedges.spectral_density(operator(np.full(9, 2.0))[0], samples=3, order=4, seed=0)
    at = np.linspace(-3, 7, 2001)
    for width in (0.1, 1.0):
        bell = np.exp(-0.5 * ((at - 2) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(curvature.smoothed(one, at, width), bell, atol=1e-9)
    widths = np.linspace(0.5, 1, len(at))
    bell = np.exp(-0.5 * ((at - 2) / widths) ** 2) / (widths * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(curvature.smoothed(one, at, widths), bell, atol=1e-9)
    made = operator(turned(np.linspace(-1, 3, 30)))[0]
    found = wedges.spectral_density(made, samples=5, order=8, seed=0)
    for width in (0.05, 0.4):
        assert trapezoid(curvature.smoothed(found, at, width), at) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_lanczos_of_numbers_of_any_size_in_float32(scale):
    matrix, start = turned(np.linspace(-2, 5, 30)), normal(1, 30)
    expected = curvature.lanczos(operator(matrix, "float32")[0], start, 10)
    made = operator(matrix * scale, "float32")[0]
    for length in (1e-30, 1e30):
        found = curvature.lanczos(made, start * length, 10)
        np.testing.assert_allclose(found.diagonal / scale, expected.diagonal, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found.beside / scale, expected.beside, rtol=1e-3)
    density = curvature.spectral_density(made, samples=2, order=np.int64(30), seed=0)
    np.testing.assert_allclose(density.values[0] / scale, np.linspace(-2, 5, 30), atol=1e-3)
