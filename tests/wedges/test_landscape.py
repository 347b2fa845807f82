import numpy as np
import pytest

import wedges

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
