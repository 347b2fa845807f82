"""Curvature as an operator: of any landscape, in blocks and subspaces, and what is refused."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import tensorflow as tf
from scipy.sparse.linalg import aslinearoperator

import wedges
from tests.conftest import SPARSE, plain
from tests.wedges.operators import normal, operator, turned
from tests.wedges.small_networks import network, one_by_one
from wedges import curvature


@pytest.mark.parametrize("matrix", [turned([3.0, -1.0, 2.0]), np.array([3.0, -1.0, 2.0])])
def test_several_vectors_at_one_theta_of_any_landscape(matrix):
    bowl, v = wedges.Quadratic(matrix, dtype="float64"), normal(0, 4, 3)
    whole = np.diag(matrix) if matrix.ndim == 1 else matrix
    np.testing.assert_allclose(bowl.hessian_product(np.ones(3), v), v @ whole, rtol=1e-12)
    np.testing.assert_allclose(bowl.hessian_product(np.ones(3), v[0]), v[0] @ whole, rtol=1e-12)
    np.testing.assert_allclose(bowl.hessian_product(np.ones((4, 3)), v), v @ whole, rtol=1e-12)
    made = wedges.hessian(bowl, np.ones(3))
    np.testing.assert_allclose(made @ v.T, whole @ v.T, rtol=1e-12)
    np.testing.assert_allclose(made @ v[0], whole @ v[0], rtol=1e-12)
    np.testing.assert_allclose(made.H @ v[0], whole @ v[0], rtol=1e-12)
    np.testing.assert_allclose((2 * made - made) @ v[0], whole @ v[0], rtol=1e-12)


def test_wrong_shapes_are_named(images):
    for landscape in (
        wedges.Quadratic(np.ones(3)),
        wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0),
    ):
        d = landscape.dimension
        for theta, v in [((2, d), (3, d)), ((2, d), (d,)), ((d,), (2, 2, d))]:
            with pytest.raises(ValueError, match=r"v must have theta's shape .*received"):
                landscape.hessian_product(np.zeros(theta), np.zeros(v))
        with pytest.raises(ValueError, match=rf"\[..., {d}\].*received shape \({d + 1},\)"):
            landscape.hessian_product(np.zeros(d), np.zeros(d + 1))
        with pytest.raises(
            ValueError, match=rf"theta must be one point \[{d}\]; received shape \(2, {d}"
        ):
            wedges.hessian(landscape, np.zeros((2, d)))
        with pytest.raises(ValueError, match="dimension mismatch"):
            wedges.hessian(landscape, np.zeros(d)) @ np.zeros(d + 1)


# ---- blocks and subspaces -------------------------------------------------------------------------


def test_a_block_is_the_sub_matrix():
    matrix = turned(np.linspace(-1, 2, 25))
    made, _ = operator(matrix)
    for which in (slice(3, 9), slice(None, None, 4), [7, 2, 11], np.array([24]), np.arange(25) % 2 == 0):
        part = wedges.curvature.block(made, which)
        expected = matrix[which][:, which]
        np.testing.assert_allclose(wedges.curvature.dense(part), expected, atol=1e-12)
        v = normal(0, len(expected))
        np.testing.assert_allclose(part @ v, expected @ v, atol=1e-12)
    pairs = wedges.eigenpairs(wedges.curvature.block(made, slice(3, 9)), 2, seed=0)
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(matrix[3:9, 3:9])[::-1][:2])
    inner = wedges.curvature.block(wedges.curvature.block(made, slice(3, 9)), [0, 5])
    np.testing.assert_allclose(wedges.curvature.dense(inner), matrix[[3, 8]][:, [3, 8]], atol=1e-12)
    with pytest.raises(ValueError, match="which must name .*25"):
        wedges.curvature.block(made, [])


@pytest.mark.parametrize("which", [[1, 1], [0, 4], [-5]])
def test_a_block_of_coordinates_that_are_not_there_or_twice_is_refused(which):
    with pytest.raises(ValueError, match="which must"):
        wedges.curvature.block(operator(np.arange(1.0, 5))[0], which)


def test_a_layers_block_is_that_of_the_networks_hessian(float64):
    landscape, theta, *_ = network("tanh")
    made = wedges.hessian(landscape, theta)
    whole, found = one_by_one(made), landscape.space.layers
    assert [len(w) for w in found.values()] == [25, 18]
    for which in found.values():
        np.testing.assert_allclose(
            one_by_one(wedges.curvature.block(made, which)), whole[which][:, which], atol=1e-12
        )


def test_on_a_subspace_it_is_the_hessian_between_the_directions(float64):
    landscape, theta, *_ = network("tanh")
    cut, z = wedges.random_cut(theta, 6, seed=0), 0.3 * normal(5, 6)
    lift = cut.directions.lift(np.eye(6)).numpy()  # [6, D]
    inside, there = wedges.restrict(landscape, cut), theta + z @ lift
    for make in (wedges.hessian, wedges.gauss_newton, wedges.curvature.residual):
        whole, small = one_by_one(make(landscape, there)), wedges.curvature.dense(make(inside, z))
        np.testing.assert_allclose(small, lift @ whole @ lift.T, atol=1e-11)


# ---- any matrix -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        np.asarray, np.float32, np.int64, np.ndarray.tolist, tf.constant, scipy.sparse.csr_array,
        lambda a: aslinearoperator(a.astype(int)), lambda a: aslinearoperator(a.astype(np.uint8)),
    ],
)  # fmt: skip
def test_a_matrix_that_is_held_does_as_well_as_an_operator_and_so_does_one_of_whole_numbers(made):
    values = np.arange(1.0, 31.0)
    matrix = made(np.diag(values))
    np.testing.assert_array_equal(curvature.dense(matrix), np.diag(values))
    np.testing.assert_array_equal(curvature.dense(curvature.block(matrix, [4, 0])), np.diag([5.0, 1.0]))
    np.testing.assert_allclose(wedges.eigenpairs(matrix, 2, seed=0).values, [30, 29], rtol=1e-4)
    assert wedges.trace(matrix, 30, seed=0).mean == curvature.hutchinson(matrix, 9, seed=0).mean == 465
    density = wedges.spectral_density(matrix, samples=1, order=30, seed=0)
    np.testing.assert_allclose(np.sort(density.values[0]), values, rtol=1e-4)
    found = curvature.lanczos(matrix, np.ones(30), 30)
    rebuilt = scipy.linalg.eigvalsh_tridiagonal(found.diagonal, found.beside[:29])
    np.testing.assert_allclose(rebuilt, values, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\) of float64"), (np.ones(3), r"shape \(3,\) of float64"),
        (1j * np.eye(2), "of complex128"), (np.array([["a"]]), r"shape \(1, 1\)"),
        ([[1.0], [2.0, 3.0]], r"\[\[1.0\], "), (wedges.Quadratic(np.ones(2)), "a landscape, Quadratic"),
        (None, "None"), (np.ones((0, 0)), r"shape \(0, 0\)"),
    ],
)  # fmt: skip
def test_what_is_no_square_matrix_is_refused(wrong, received):
    for use in (
        curvature.dense,
        lambda a: curvature.block(a, [0]),
        lambda a: wedges.eigenpairs(a, 1, seed=0),
        lambda a: wedges.trace(a, 9, seed=0),
        lambda a: curvature.hutchinson(a, 9, seed=0),
        lambda a: curvature.lanczos(a, np.ones(2), 2),
        lambda a: wedges.spectral_density(a, samples=1, order=2, seed=0),
    ):
        with pytest.raises(ValueError, match=f"operator must be a matrix .*received.*{received}"):
            use(wrong)


@pytest.mark.parametrize("made", [np.asarray, np.float32, np.ndarray.tolist, scipy.sparse.csr_array])
def test_a_held_matrix_that_is_not_symmetric_has_no_spectrum_of_ours(made):
    upper = np.triu(np.arange(1.0, 10.0).reshape(3, 3))
    for use in (
        curvature.dense,
        lambda a: wedges.eigenpairs(a, 1, seed=0),
        lambda a: curvature.lanczos(a, np.ones(3), 3),
        lambda a: wedges.spectral_density(a, samples=1, order=3, seed=0),
    ):
        with pytest.raises(ValueError, match="operator must be symmetric.* differ by 6, .* up to 9;"):
            use(made(upper))
        use(made(upper + upper.T + 1e-5 * upper.astype(np.float32)))  # as rounding leaves it
    assert wedges.trace(made(upper), 9, seed=0).mean == pytest.approx(15)  # that of any matrix


@pytest.mark.parametrize("made", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_held_matrix_has_finite_entries(made, wrong):
    with pytest.raises(ValueError, match="operator must have finite entries"):
        wedges.eigenpairs(made(np.diag([1.0, wrong, 2.0])), 1, seed=0)


# ---- errors ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_and_infinity_are_named(images):
    with pytest.raises(ValueError, match="theta must be finite; received NaN or infinity"):
        wedges.hessian(wedges.Quadratic(np.ones(2)), [0.0, np.nan])
    made, _ = operator([1.0, np.inf])
    for use in (
        lambda: made @ np.ones(2),
        lambda: wedges.curvature.dense(made),
        lambda: wedges.eigenpairs(made, 1, seed=0),
        lambda: curvature.hutchinson(made, 6, seed=0),
        lambda: curvature.hutch_plus_plus(made, 6, seed=0),
        lambda: wedges.spectral_density(made, samples=1, order=1, seed=0),
    ):
        with pytest.raises(ValueError, match="theta must have a finite Hessian; received NaN"):
            use()
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    made = wedges.hessian(landscape, np.full(landscape.dimension, 3e38))
    with pytest.raises(ValueError, match="theta must have a finite Hessian"):
        made @ np.ones(landscape.dimension)


def test_other_bad_settings_are_named():
    made, bowl = operator(np.arange(9.0))
    density = lambda **s: wedges.spectral_density(made, **{"samples": 2, "order": 2, "seed": 0, **s})
    for use, text in [
        (lambda: density(samples=0), "samples must be .*received 0"),
        (lambda: density(samples=1.5), "samples must be .*received 1.5"),
        (lambda: density(order=0), "order must be .*received 0"),
        (lambda: curvature.lanczos(made, np.ones(9), 2.5), "order must be .*received 2.5"),
        (lambda: curvature.ritz(made), "tridiagonal must be what wedges.curvature.lanczos returns"),
        (lambda: curvature.lanczos(made, np.zeros(9), 2), r"start must be .*\[9\]"),
        (lambda: curvature.lanczos(made, np.full(9, np.nan), 2), "start must be a finite"),
        (lambda: curvature.lanczos(made, np.ones(8), 2), r"start must be .*received shape \(8,\)"),
        (lambda: wedges.curvature.block(made, 3), "which must name .*received 3"),
        (lambda: wedges.curvature.block(made, slice(9, 12)), "which must name some of the 9"),
        (lambda: wedges.gauss_newton(bowl, np.zeros(9)), "landscape must be a loss of .*received Plain"),
    ]:
        with pytest.raises(ValueError, match=text) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_gauss_newton_matrix_is_refused_where_there_are_no_outputs(images):
    bowl, cut = wedges.Quadratic(np.ones(3)), wedges.random_cut(np.zeros(3, "float32"), 2, seed=0)
    inside, line = wedges.restrict(bowl, cut), wedges.random_cut(np.zeros(2, "float32"), 1, seed=0)
    made = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    for landscape in (inside, wedges.Squared(bowl), wedges.restrict(inside, line), wedges.Squared(made)):
        with pytest.raises(ValueError, match="landscape must be a loss of a model's outputs"):
            wedges.gauss_newton(landscape, np.zeros(landscape.dimension))


def test_the_model_is_the_same_after_all_of_it():
    landscape, theta, model, *_ = network("batch norm")
    before = [np.array(v) for v in model.variables]
    made = wedges.hessian(landscape, theta)
    wedges.eigenpairs(made, 1, seed=0)
    curvature.lanczos(made, np.ones(len(theta)), 3)
    wedges.gauss_newton(landscape, theta) @ np.ones(len(theta))
    landscape.output_gradients(theta, 2)
    with pytest.raises(ValueError, match="finite Hessian"):
        wedges.hessian(landscape, np.full(len(theta), 3e38)) @ np.ones(len(theta))
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old, err_msg=v.path)
