"""The bulk's edge against closed forms of random-matrix theory, and outliers beyond it."""

import functools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import LinearOperator, eigsh

import wedges
from tests.wedges.operators import normal
from wedges import curvature


def quadrature(diagonal, beside):
    """The `Density` of one start whose Jacobi matrix is this."""
    values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside)
    return curvature.Density(values[None], vectors[:1] ** 2, len(values))


# ---- measures whose Jacobi matrix is known ----------------------------------------------------------


@pytest.mark.parametrize("order", [40, 80])
def test_the_semicircle_is_from_minus_to_plus_two_sigma(order):
    """Its Gaussian quadrature is that of Chebyshev's polynomials of the second kind."""
    angle = np.pi * np.arange(1, order + 1) / (order + 1)
    found = curvature.Density(2 * np.cos(angle)[None], (2 / (order + 1) * np.sin(angle) ** 2)[None], 0)
    np.testing.assert_allclose(wedges.bulk_edge(found), [-2, 2, 2.1], rtol=1e-9)


@pytest.mark.parametrize("c", [0.1, 1.0, 5.0])
def test_the_marchenko_pastur_law_ends_where_it_says(c):
    """Its coefficients: 1, then 1 + c; sqrt c. Above c = 1 it has an atom of 1 - 1 / c at 0."""
    order, root = 60, np.sqrt(c)
    found = wedges.bulk_edge(quadrature(np.r_[1, np.full(order - 1, 1 + c)], np.full(order - 1, root)))
    np.testing.assert_allclose(found[:2], [(1 - root) ** 2, (1 + root) ** 2], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found.clear - found.upper, 0.05 * 2 * root, rtol=1e-2)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.floats(1.5, 50), max_size=8),
    st.lists(st.floats(1.5, 50), max_size=4),
    st.floats(-3, 3),
    st.floats(1e-4, 1e4),
)
def test_points_beyond_the_semicircle_do_not_move_its_edges_nor_do_shift_and_scale(up, down, to, scale):
    angle = np.pi * np.arange(1, 61) / 61
    points = np.r_[np.cos(angle), up, -np.array(down)]
    shares = np.r_[2 / 61 * np.sin(angle) ** 2, np.full(len(up) + len(down), 1e-4)]
    shares /= shares.sum()
    density = curvature.Density(scale * (points + to)[None], shares[None], 0)
    lower, upper, clear = wedges.bulk_edge(density)
    np.testing.assert_allclose([lower / scale - to, upper / scale - to], [-1, 1], atol=0.04)
    np.testing.assert_allclose(clear - upper, 0.025 * (upper - lower), rtol=1e-6)


# ---- random matrices: (matrix, its edge in theory) -------------------------------------------------

_SIZE = 1500  # eigenvalues other than 0


def wigner(seed, spikes):
    noise = normal(seed, _SIZE, _SIZE)
    matrix = (noise + noise.T) / np.sqrt(2 * _SIZE)
    matrix[np.diag_indices(len(spikes))] += spikes
    return matrix, 2.0


def wishart(seed, spikes, c, population=None):
    """X^T X / N, X [N, D] of rows of this covariance [D], c = D / N; its first entries the spikes."""
    rows, columns = (round(_SIZE / c), _SIZE) if c <= 1 else (_SIZE, round(_SIZE * c))
    own = np.ones(columns) if population is None else population((np.arange(columns) + 0.5) / columns)
    edge = theory(own, columns / rows)
    own[: len(spikes)] = spikes
    x = normal(seed, rows, columns) * np.sqrt(own / rows)
    if c <= 1:
        return x.T @ x, edge
    return LinearOperator((columns,) * 2, lambda v: x.T @ (x @ v), dtype=float), edge


def theory(population, c):
    """The upper edge: the smallest value of -1 / m + c mean t / (1 + t m) over -1 / max t < m < 0.

    Source: Silverstein & Choi 1995 (J. Multivariate Anal. 54).
    """
    image = lambda m: -1 / m + c * np.mean(population / (1 + population * m))
    top = population.max()
    bounds = (-(1 - 1e-9) / top, -1e-6 / top)
    return minimize_scalar(image, bounds=bounds, method="bounded", options={"xatol": 1e-10 / top}).fun


@pytest.mark.parametrize("c", [0.1, 1.0, 5.0])
def test_theory_has_the_closed_form_of_equal_populations(c):
    assert theory(np.ones(10), c) == pytest.approx((1 + np.sqrt(c)) ** 2, rel=1e-6)
    assert theory(np.full(10, 3.0), c) == pytest.approx(3 * (1 + np.sqrt(c)) ** 2, rel=1e-6)


cube = lambda u: u**3  # a power law towards 0, where most of it is
halves = lambda u: np.where(u < 0.5, 1.0, 3.0)
CASES = {
    "wigner": (wigner, [2, 3, 5, 8, -3, -6], 4),  # an outlier of s > 1 is at s + 1 / s
    "wishart of as many examples": (functools.partial(wishart, c=1.0), [3.5, 4, 6, 9, 15, 40], 6),
    "wishart of more": (functools.partial(wishart, c=0.25), [2.2, 2.5, 3, 5, 9, 30, 30.5], 7),
    "wishart of fewer": (functools.partial(wishart, c=2.0), [4.5, 6, 12, 40, 100], 5),
    "none is left below the threshold": (functools.partial(wishart, c=1.0), [1.2, 1.4, 1.5], 0),
    "of a power law": (functools.partial(wishart, c=0.5, population=cube), [4, 6, 9, 20], 4),
    "of two populations": (functools.partial(wishart, c=0.5, population=halves), [12, 20, 40, 90], 4),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_the_edge_is_theorys_and_outliers_are_those_above_the_threshold(case, seed):
    """Spikes leave the bulk above 1 + sqrt c (Wishart), sigma (Wigner): Baik, Ben Arous, Peche 2005."""
    made, spikes, count = CASES[case]
    matrix, edge = made(seed, np.array(spikes, float))
    bulk = wedges.bulk_edge(wedges.spectral_density(matrix, samples=2, order=60, seed=seed))
    assert bulk.upper == pytest.approx(edge, rel=0.04)
    assert edge < bulk.clear * 1.01
    largest = eigsh(matrix, 12, which="LA", return_eigenvectors=False)
    assert np.sum(largest > bulk.clear) == count


def test_a_bulk_of_a_mean_of_starts_is_the_same_each_time():
    matrix, _ = wigner(3, [4.0])
    one, two = (
        wedges.bulk_edge(wedges.spectral_density(matrix, samples=2, order=60, seed=5)) for _ in range(2)
    )
    assert one == two


# ---- where there is none ----------------------------------------------------------------------------


def test_a_spectrum_of_a_few_values_is_refused():
    few = wedges.spectral_density(np.diag(np.repeat([1.0, 2.0, 3.0], 20)), samples=2, order=40, seed=0)
    with pytest.raises(ValueError, match="density must have more than 30 values.*received 6") as error:
        wedges.bulk_edge(few)
    assert "\n" not in str(error.value)


def test_where_too_little_is_left_of_a_bulk_its_edges_are_no_numbers():
    far = 10.0 ** np.arange(20)
    values, shares = np.r_[np.linspace(-1, 1, 25), far], np.r_[np.full(25, 1 / 25), np.full(20, 1e-7)]
    assert np.all(np.isnan(wedges.bulk_edge(curvature.Density(values[None], shares[None], 0))))
