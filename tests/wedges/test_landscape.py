import numpy as np
import pytest

import wedges
from wedges.connect import Expected
from wedges.landscape import WithOutputs

A = np.array([[2.0, 0.5], [0.5, -1.0]], np.float32)  # indefinite


def test_quadratic_is_its_formula_at_every_point_of_a_batch():
    bowl = wedges.Quadratic(A, center=[1.0, 2.0])
    theta = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    offset = theta - [1.0, 2.0]
    expected = 0.5 * np.einsum("...i,ij,...j->...", offset, A, offset)
    loss, gradient = bowl.value_and_gradient(theta)
    np.testing.assert_allclose(bowl(theta), expected, rtol=1e-5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, offset @ A, rtol=1e-5)


def test_a_diagonal_stands_for_its_matrix():
    theta = [[1.0, 2.0, -1.0]]
    np.testing.assert_allclose(
        wedges.Quadratic([1.0, 2.0, 3.0])(theta), wedges.Quadratic(np.diag([1.0, 2.0, 3.0]))(theta)
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wedges.Quadratic([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: wedges.Quadratic(1.0), r"\[D\] or \[D, D\]"),
        (lambda: wedges.Quadratic([1.0, 1.0])([1.0, 2.0, 3.0]), r"received shape \(3,\)"),
        (lambda: wedges.Quadratic([1.0, 1.0])(1.0), r"received shape \(\)"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---- seen from inside, squared, along a line: a quadratic's answers in dense matrices ---------------


RNG = np.random.default_rng(1)
D = 6
DENSE = (lambda m: m + m.T)(RNG.standard_normal((D, D)))  # indefinite
CENTER, ORIGIN = RNG.standard_normal((2, D))
NORMALS = RNG.standard_normal((2, D))


def subspaces():
    """Subspaces with the matrix [p, D] of their lift."""
    span = wedges.random_cut(ORIGIN, 3, seed=0)
    yield span, span.directions.rows.numpy()
    yield wedges.normal_plane(ORIGIN, NORMALS), np.eye(D) - np.linalg.pinv(NORMALS) @ NORMALS
    mixed = wedges.random_cut(ORIGIN, 4, seed=0, method="transform")
    yield mixed, mixed.directions.lift(np.eye(4)).numpy()


@pytest.mark.parametrize("batch", [(), (5,)])
def test_from_inside_a_subspace_it_is_the_quadratic_of_its_coordinates(batch):
    bowl = wedges.Quadratic(DENSE, CENTER, "float64")
    for subspace, lift in subspaces():
        inside = wedges.restrict(bowl, subspace)
        z, p = RNG.standard_normal((2, *batch, len(lift)))
        offset = ORIGIN + z @ lift - CENTER
        value = 0.5 * np.einsum("...i,ij,...j->...", offset, DENSE, offset)
        gradient = offset @ DENSE @ lift.T
        curved = np.einsum("...i,ij,...j->...", p @ lift, DENSE, p @ lift)
        assert (inside.dimension, inside.dtype.name) == (len(lift), "float64")
        np.testing.assert_allclose(inside(z), value)
        np.testing.assert_allclose(inside.sample(z, 3), value)
        loss, found = inside.value_and_gradient(z)
        np.testing.assert_allclose(loss, value)
        np.testing.assert_allclose(found, gradient)
        np.testing.assert_allclose(inside.jet(z, p)[2], curved)
        slope = np.sum(gradient * p, -1)
        for a, b in zip(inside.jet(z, p), (value, slope, curved), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-13)
        np.testing.assert_allclose(inside.length(z), np.linalg.norm(z @ lift, axis=-1))
        # The square, of the inside and from the inside.
        for squared in (
            wedges.Squared(inside),
            wedges.restrict(wedges.Squared(bowl), subspace),
        ):
            loss, found = squared.value_and_gradient(z)
            np.testing.assert_allclose(squared(z), value**2 / 2)
            np.testing.assert_allclose(squared.sample(z, 3), value**2 / 2)
            np.testing.assert_allclose(loss, value**2 / 2)
            np.testing.assert_allclose(found, value[..., None] * gradient)
            np.testing.assert_allclose(squared.jet(z, p)[2], slope**2 + value * curved)
            np.testing.assert_allclose(squared.jet(z, p)[1], value * slope, atol=1e-12)
            np.testing.assert_allclose(squared.length(z), np.linalg.norm(z @ lift, axis=-1))


@pytest.mark.parametrize("matrix", [DENSE, np.arange(-2.0, 4.0)])
def test_the_curvature_of_a_quadratic_is_its_matrix_along_the_direction(matrix):
    bowl = wedges.Quadratic(matrix, CENTER, "float64")
    theta, p = RNG.standard_normal((2, 3, 4, D))
    dense = matrix if matrix.ndim == 2 else np.diag(matrix)
    np.testing.assert_allclose(bowl.jet(theta, p)[2], np.einsum("...i,ij,...j->...", p, dense, p))
    loss, slope, _ = bowl.jet(theta, p)
    np.testing.assert_allclose(loss, bowl(theta))
    np.testing.assert_allclose(slope, np.sum((theta - CENTER) @ dense * p, -1), atol=1e-12)


def test_curvature_is_the_second_derivative_of_what_is_no_quadratic():
    class Quartic(wedges.Landscape):
        dimension, dtype = 2, wedges.Quadratic([1.0]).dtype

        def __call__(self, theta):
            theta = self.point(theta)
            return theta[..., 0] ** 4 * theta[..., 1]

    # d^2/dt^2 (x + t)^4 (y + 2 t) = 12 x^2 y + 16 x^3
    np.testing.assert_allclose(Quartic().jet([3.0, 5.0], [1.0, 2.0])[2], 540.0 + 432.0)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_a_hessian_product_is_that_of_the_dense_matrix(batch):
    rng = np.random.default_rng(2)
    theta, v = rng.standard_normal((2, *batch, D))
    for matrix in (DENSE, np.arange(-2.0, 4.0)):
        bowl = wedges.Quadratic(matrix, CENTER, "float64")
        dense = matrix if matrix.ndim == 2 else np.diag(matrix)
        np.testing.assert_allclose(bowl.hessian_product(theta, v), v @ dense)
        # Of L^2 / 2 it is g g^T + L H.
        offset = theta - CENTER
        gradient = offset @ dense
        value = 0.5 * np.sum(offset * gradient, axis=-1, keepdims=True)
        expected = gradient * np.sum(gradient * v, -1, keepdims=True) + value * (v @ dense)
        np.testing.assert_allclose(wedges.Squared(bowl).hessian_product(theta, v), expected)
    bowl = wedges.Quadratic(DENSE, CENTER, "float64")
    for subspace, lift in subspaces():
        z, p = rng.standard_normal((2, *batch, len(lift)))
        inside = wedges.restrict(bowl, subspace)
        np.testing.assert_allclose(inside.hessian_product(z, p), p @ lift @ DENSE @ lift.T, atol=1e-13)
        theta = ORIGIN + z @ lift
        whole = wedges.Squared(bowl).hessian_product(theta, p @ lift).numpy()
        for squared in (wedges.Squared(inside), wedges.restrict(wedges.Squared(bowl), subspace)):
            np.testing.assert_allclose(squared.hessian_product(z, p), whole @ lift.T, atol=1e-11)


TOYS = {
    "axis": wedges.AxisWedges(9, 6, "float64"),
    "rotated": wedges.RotatedWedges(9, 6, seed=0, dtype="float64"),
    "random": wedges.RandomWedges(9, 6, 4, seed=0, dtype="float64"),
}


@pytest.mark.parametrize("kind", TOYS)
def test_the_hessian_of_a_toy_is_that_of_the_nearest_wedge(kind):
    toy, rng = TOYS[kind], np.random.default_rng(0)
    theta, v = rng.standard_normal((2, 5, 9))
    products, bowls = toy.hessian_product(theta, v), wedges.Squared(toy).hessian_product(theta, v)
    for i, (point, step) in enumerate(zip(theta, v, strict=True)):
        if kind == "random":
            normals = min(toy.normals.numpy(), key=lambda n, point=point: np.linalg.norm(n @ point))
        else:
            turn = np.eye(9) if kind == "axis" else toy.rotation.directions.rows.numpy()
            normals = turn[np.argsort(np.abs(turn @ point))[:3]]
        length = np.linalg.norm(normals @ point)
        np.testing.assert_allclose(toy(point), length)
        gradient, square = normals.T @ normals @ point / length, normals.T @ normals
        np.testing.assert_allclose(bowls[i], square @ step, atol=1e-13)
        hessian = (square - np.outer(gradient, gradient)) / length
        np.testing.assert_allclose(products[i], hessian @ step, atol=1e-12)


def test_a_hessian_product_of_what_is_no_quadratic_depends_on_the_point():
    class Quartic(wedges.Landscape):
        dimension, dtype = 2, wedges.Quadratic([1.0]).dtype

        def __call__(self, theta):
            theta = self.point(theta)
            return theta[..., 0] ** 4 * theta[..., 1]

    # [[12 x^2 y, 4 x^3], [4 x^3, 0]]
    found = Quartic().hessian_product([[3.0, 5.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, -1.0]])
    np.testing.assert_allclose(found, [[540.0 + 216.0, 108.0], [24.0 - 4.0, 4.0]])


def test_a_landscape_takes_many_points_at_once_unless_it_is_of_one_that_does_not():
    class One(wedges.Quadratic):
        takes_batches = False

    for make, many in ((wedges.Quadratic, True), (One, False)):
        landscape = make(DENSE, dtype="float64")
        plane = wedges.normal_plane(ORIGIN, NORMALS)
        assert landscape.takes_batches is wedges.Squared(landscape).takes_batches is many
        assert wedges.restrict(landscape, plane).takes_batches is many
        assert wedges.Squared(wedges.restrict(wedges.Squared(landscape), plane)).takes_batches is many
    assert wedges.Landscape.takes_batches is True and TOYS["random"].takes_batches is True


# ---- landscapes made of landscapes, and what only some have ------------------------------------------


def test_the_core_is_the_innermost_landscape():
    bowl = wedges.Quadratic(DENSE, CENTER, "float64")
    inside = wedges.restrict(wedges.Squared(bowl), wedges.random_cut(ORIGIN, 3, seed=0))
    path = Expected(inside, np.zeros((2, 3)), np.ones((5, 4)) / 4)
    assert list(path.nested()) == [path, inside, inside.landscape, bowl]
    assert all(made.core is bowl for made in path.nested())
    assert (path.dimension, inside.dimension, path.core.dimension) == (6, 3, 6)


class Outputs(wedges.Quadratic, WithOutputs):
    """L = |J theta|^2 / 2, J = diag(1, 2, ..., D): the loss of the outputs J theta, G = J^T J."""

    def __init__(self):
        super().__init__(np.arange(1.0, D + 1) ** 2, dtype="float64")

    def gauss_newton_product(self, theta, v):
        return self.point(v) * np.arange(1.0, D + 1) ** 2


def test_a_restriction_has_a_gauss_newton_matrix_where_the_landscape_has_one():
    for subspace, lift in subspaces():
        inside = wedges.restrict(Outputs(), subspace)
        assert isinstance(inside, WithOutputs) and isinstance(inside, wedges.Restricted)
        found = wedges.curvature.dense(wedges.gauss_newton(inside, np.zeros(len(lift))))
        expected = lift @ np.diag(np.arange(1.0, D + 1) ** 2) @ lift.T
        np.testing.assert_allclose(found, expected, atol=1e-12)
        for other in (wedges.Quadratic(DENSE, dtype="float64"), wedges.Squared(Outputs())):
            bare = wedges.restrict(other, subspace)
            assert not isinstance(bare, WithOutputs) and not hasattr(bare, "gauss_newton_product")


def test_a_landscape_without_a_value_cannot_be_made():
    with pytest.raises(TypeError, match="abstract method '?__call__"):
        wedges.Landscape()


def test_what_is_made_of_a_landscape_overrides_all_that_follows_from_its_value():
    """Else a wrapper of another value would take gradient or curvature from what it is around."""
    made = [wedges.Restricted, wedges.Squared, Expected]
    for kind in made:
        follow = {"__call__", "sample", "value_and_gradient", "jet", "hessian_product"}
        assert follow <= set(vars(kind)), kind
    assert "length" not in vars(wedges.Squared)  # a step of the same theta


@pytest.mark.parametrize(
    ("subspace", "words"),
    [
        (lambda: wedges.random_cut(np.zeros(3), 2, seed=0), "D = 2; received one of D = 3"),
        (lambda: wedges.random_cut(np.zeros(2), 2, seed=0), "dtype float32; received float64"),
    ],
)
def test_a_subspace_of_another_space_is_refused(subspace, words):
    with pytest.raises(ValueError, match=words):
        wedges.restrict(wedges.Quadratic([1.0, 1.0]), subspace())
    with pytest.raises(ValueError, match=words):
        wedges.minimize(
            wedges.Quadratic([1.0, 1.0]), [1.0, 1.0], wedges.ConjugateGradients(), 2, subspace=subspace()
        )
