"""Traces from few products: unbiased, with an honest standard error."""

import numpy as np
import pytest
import scipy.fft

import wedges
from tests.wedges.operators import Plain, normal, operator, turned
from wedges.curvature import hutch_plus_plus, hutchinson, trace


@pytest.mark.parametrize(
    ("estimate", "products"), [(hutchinson, 30), (hutch_plus_plus, 30), (hutch_plus_plus, 31)]
)
def test_the_trace_is_unbiased_and_its_error_honest(estimate, products):
    values = np.r_[10.0, -4.0, 3.0, np.linspace(-1, 2, 47)]
    matrix = turned(values)
    made, landscape = operator(matrix)
    found = [estimate(made, products, seed=s) for s in range(200)]
    assert {t.products for t in found} == {products} and landscape.asked == 200 * products
    means, errors = np.array([t.mean for t in found]), np.array([t.error for t in found])
    spread = means.std(ddof=1)
    assert abs(means.mean() - values.sum()) < 4 * spread / np.sqrt(200)
    scores = (means - values.sum()) / errors
    assert 0.8 < np.sqrt(np.mean(scores**2)) < 1.3  # of few samples each: Student's t
    if estimate is hutchinson:  # random signs: only what is off the diagonal scatters
        closed = np.sqrt(2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / products)
        assert spread == pytest.approx(closed, rel=0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_trace_is_exact_where_the_rank_is_below_a_third_of_the_products(dtype):
    values = np.r_[5.0, 3.0, 1.0, -2.0, np.zeros(36)]
    found = hutch_plus_plus(operator(turned(values), dtype)[0], 12, seed=0)
    small = 1e-5 if dtype == "float32" else 1e-12
    assert abs(found.mean - 7) < 10 * small and 0 <= found.error < 10 * small and found.products == 12
    diagonal = hutchinson(operator(values, dtype)[0], 2, seed=0)
    assert diagonal.mean == pytest.approx(7) and diagonal.error < small


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 12, 20, 25])
@pytest.mark.parametrize("estimate", [trace, hutch_plus_plus, hutchinson])
def test_the_trace_of_a_small_matrix_is_exact_and_costs_one_product_a_dimension(estimate, dimension):
    """Also where few random signs would often be the same, and their standard error 0."""
    matrix = turned(normal(3, dimension)) if dimension > 1 else np.array([[2.5]])
    made, landscape = operator(matrix)
    for seed in range(3):
        for products in (6, 7, 30, 90):
            before = landscape.asked
            found = estimate(made, products, seed=seed)
            if dimension > max(products, 20):
                assert found.error > 0 and found.products == products
                continue
            assert landscape.asked - before == found.products == dimension
            assert found.mean == pytest.approx(np.trace(matrix)) and found.error == 0


@pytest.mark.parametrize("estimate", [hutch_plus_plus, hutchinson])
def test_no_standard_error_of_0_stands_beside_a_wrong_trace(estimate):
    for dimension in (21, 22, 24):
        matrix = turned(np.arange(1.0, dimension + 1))
        made, _ = operator(matrix)
        for seed in range(150):
            found = estimate(made, 6 if estimate is hutch_plus_plus else 2, seed=seed)
            assert found.error > 1e-9 or abs(found.mean - np.trace(matrix)) < 1e-9


def test_a_trace_takes_the_estimate_that_so_many_products_allow():
    made, _ = operator(turned(np.arange(1.0, 41)))
    for products, estimate in [
        (1, hutchinson),
        (5, hutchinson),
        (6, hutch_plus_plus),
        (39, hutch_plus_plus),
    ]:
        found, expected = trace(made, products, seed=3), estimate(made, products, seed=3)
        np.testing.assert_array_equal(found, expected)
    assert trace(made, 40, seed=3).error == 0 and wedges.trace is trace
    one = hutchinson(made, 1, seed=0)
    assert np.isnan(one.error) and np.isfinite(one.mean) and one.products == 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_trace_of_any_size_in_float32(scale):
    values = np.r_[9.0, 4.0, -2.0, np.linspace(-1, 1, 47)]
    made, plain = (operator(turned(values) * c, "float32")[0] for c in (scale, 1.0))
    for estimate in (hutchinson, hutch_plus_plus):
        found, expected = estimate(made, 30, seed=0), estimate(plain, 30, seed=0)
        np.testing.assert_allclose(np.divide(found[:2], scale), expected[:2], rtol=1e-3)


def test_hutch_plus_plus_needs_far_fewer_products_where_eigenvalues_decay():
    """For a standard error of 3%, with eigenvalues i^-2: more than three times fewer."""
    values, signs = np.arange(1.0, 1001) ** -2, np.sign(normal(0, 1000))
    bowl = Plain(values)
    there = lambda v: scipy.fft.dct(v * signs, norm="ortho")  # to eigenvectors that are long nowhere
    bowl.hessian_product = lambda theta, v: signs * scipy.fft.idct(there(v) * values, norm="ortho")
    made = wedges.hessian(bowl, np.zeros(1000))

    def error(estimate, products):
        found = [estimate(made, products, seed=s) for s in range(40)]
        assert {t.products for t in found} == {products}
        return np.sqrt(np.mean([(t.mean / values.sum() - 1) ** 2 for t in found]))

    assert error(hutch_plus_plus, 30) < 0.03 and error(hutch_plus_plus, 60) < 0.01
    closed = np.sqrt(2 * np.sum(values**2) / 100) / values.sum()  # 8.9%, less what is on the diagonal
    assert error(hutchinson, 100) == pytest.approx(closed, rel=0.3)


def rademacher(rng, count, dimension):
    """Random signs, drawn as the module draws them."""
    return rng.choice(np.array([-1.0, 1.0]), (count, dimension))


@pytest.mark.parametrize("products", [6, 31, 90])
def test_both_estimates_are_their_papers_formulas(products):
    """With the same signs, written out with dense matrices; more signs than are asked for at once."""
    matrix = turned(np.r_[8.0, -4.0, np.linspace(-1, 2, 98)])
    made, third = operator(matrix)[0], products // 3
    g = rademacher(np.random.default_rng(5), products, 100)
    forms = np.diag(g @ matrix @ g.T)
    found = hutchinson(made, products, seed=5)
    np.testing.assert_allclose(found, [forms.mean(), forms.std(ddof=1) / products**0.5, products])
    rng = np.random.default_rng(5)
    q = np.linalg.qr(matrix @ rademacher(rng, third, 100).T)[0]  # [100, third]
    rest = np.eye(100) - q @ q.T
    count = products - 2 * third
    g = rademacher(rng, count, 100) @ rest
    forms = np.diag(g @ matrix @ g.T)
    found = hutch_plus_plus(made, products, seed=5)
    exact = np.trace(q.T @ matrix @ q)
    np.testing.assert_allclose(
        found, [exact + forms.mean(), forms.std(ddof=1) / count**0.5, products], rtol=1e-9
    )


def test_too_few_products_are_named():
    made, _ = operator(np.arange(30.0))
    for use, text in [
        (lambda: hutchinson(made, 0, seed=0), "products must be .*received 0"),
        (lambda: hutchinson(made, True, seed=0), "products must be .*received True"),
        (lambda: hutch_plus_plus(made, 6.5, seed=0), "products must be .*received 6.5"),
        (lambda: hutch_plus_plus(made, 5, seed=0), "products must be .* at least 6; received 5"),
        (lambda: trace(made, 0, seed=0), "products must be .*received 0"),
        (lambda: trace(made, 9, seed=-1), "seed must be .*received -1"),
    ]:
        with pytest.raises(ValueError, match=text) as caught:
            use()
        assert "\n" not in str(caught.value)
