"""Eigenvalues from the ends of known spectra, and how many of them are certain."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

import wedges
from tests.wedges.operators import operator, turned
from wedges import curvature

SPECTRA = {
    "spread": np.linspace(-1, 2, 60),
    "clustered": np.r_[5 + 1e-3 * np.arange(6), np.linspace(0.1, 1, 54)],
    "repeated": np.repeat([4.0, 3.0, 1.0, 0.5, -0.5, -3.0], 10),
    "indefinite": np.r_[-np.geomspace(0.1, 10, 30), np.geomspace(0.1, 7, 30)],
    "bulk": np.r_[3.0, 2.0, 1.5, 1.0, -2.0, -1.0, -0.7, -0.5, np.zeros(52)],
    "tiny": 1e-6 * np.linspace(-1, 2, 60),
    "identity": np.ones(60),
}


def assert_pairs(found, matrix, k, end, tolerance):
    values = np.linalg.eigvalsh(matrix)
    expected = values[::-1][:k] if end == "largest" else values[:k]
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, expected, atol=10 * tolerance * scale)
    assert found.vectors.shape == (k, len(matrix)) and found.values.shape == (k,)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(k), atol=1e-9)
    off = found.vectors @ matrix - found.values[:, None] * found.vectors
    np.testing.assert_allclose(found.residuals, np.linalg.norm(off, axis=1), atol=1e-12 * scale)
    assert np.all(found.residuals <= 1.01 * tolerance * np.abs(found.values) + 1e-12 * scale)


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("kind", SPECTRA)
def test_eigenpairs_of_a_known_spectrum(kind, end):
    matrix = turned(SPECTRA[kind])
    for k in (1, 4):  # as many copies are wanted as a block has vectors
        made, landscape = operator(matrix)
        found = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8, block_size=k)
        assert_pairs(found, matrix, k, end, 1e-8)
        assert found.products == landscape.asked > k
        again = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8, block_size=k)
        np.testing.assert_array_equal(again.vectors, found.vectors)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_smallest_eigenvalue_may_be_zero(seed):
    matrix = turned(np.r_[0.0, np.linspace(1, 2, 49)])
    found = wedges.eigenpairs(operator(matrix)[0], 1, seed=seed, end="smallest")
    assert abs(found.values[0]) < 1e-3


def test_eigenpairs_of_nothing_are_zero():
    found = wedges.eigenpairs(operator(np.zeros(60))[0], 2, seed=0)
    np.testing.assert_allclose(found.values, 0, atol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-8])
def test_an_eigenvalue_counts_as_often_as_it_repeats(tolerance):
    values = np.r_[np.repeat([4.0, 3.0, -3.0], 4), np.linspace(-1, 1, 48)]
    found = wedges.eigenpairs(operator(turned(values))[0], 4, seed=0, tolerance=tolerance, block_size=4)
    np.testing.assert_allclose(found.values, 4, rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2, 19, 21])
def test_eigenpairs_up_to_all_there_are(d):
    matrix = turned(np.linspace(-1, 2, d))
    for k in sorted({1, max(1, d // 2), d}):
        for end in ("largest", "smallest"):
            made, landscape = operator(matrix)
            found = wedges.eigenpairs(made, k, seed=0, end=end, tolerance=1e-8)
            assert_pairs(found, matrix, k, end, 1e-8)
            assert found.products == landscape.asked


def test_a_looser_tolerance_needs_fewer_products_and_any_basis_will_do():
    matrix, counts = turned(np.linspace(0, 1, 200)), []
    for tolerance, basis in ((1e-9, None), (1e-2, None), (1e-9, 8), (1e-9, 60), (1e-9, 999)):
        made, landscape = operator(matrix)
        found = wedges.eigenpairs(made, 4, seed=0, tolerance=tolerance, basis=basis)
        assert np.all(found.residuals <= tolerance * found.values)
        assert np.all(np.abs(found.values - np.linspace(0, 1, 200)[:-5:-1]) < 10 * tolerance)
        assert found.products == landscape.asked
        counts.append(landscape.asked)
    assert counts[1] < counts[0] < counts[2]


def test_eigenpairs_in_float32_are_as_exact_as_it_allows():
    matrix = turned(1 / np.arange(1.0, 101))
    made, _ = operator(matrix, "float32")
    found = wedges.eigenpairs(made, 3, seed=0, tolerance=1e-4)
    assert made.dtype == found.vectors.dtype == np.float32 and found.values.dtype == np.float64
    np.testing.assert_allclose(found.values, 1 / np.arange(1, 4), rtol=1e-6)
    assert np.all(found.residuals <= 1e-4 * found.values)
    assert np.linalg.norm(found.vectors @ found.vectors.T - np.eye(3)) < 1e-5


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=40, unique=True),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.sampled_from(["largest", "smallest"]),
    st.integers(1, 8),
)
def test_eigenpairs_whatever_the_spectrum(levels, seed, scale, end, k):
    matrix, k = turned(scale * np.array(levels, float), seed), min(k, len(levels))
    made, landscape = operator(matrix)
    found = wedges.eigenpairs(made, k, seed=seed, end=end, tolerance=1e-10)
    assert found.products == landscape.asked
    assert_pairs(found, matrix, k, end, 1e-10)


@settings(deadline=None, max_examples=50, derandomize=True)
@example([(0, 3), (1, 4), (-1, 4), (2, 5), (-2, 5)], 0, "largest", 5)
@given(
    st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 5)), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["largest", "smallest"]),
    st.integers(1, 8),
)
def test_eigenpairs_whatever_the_multiplicities(levels, seed, end, k):
    matrix = turned(np.concatenate([np.full(m, float(value)) for value, m in levels]), seed)
    k = min(k, len(matrix))
    found = wedges.eigenpairs(operator(matrix)[0], k, seed=seed, end=end, tolerance=1e-10, block_size=5)
    assert_pairs(found, matrix, k, end, 1e-10)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"k": 31}, "k must be a whole number from 1 to D = 30; received 31"),
        ({"k": 0}, "k must be a whole .*received 0"),
        ({"k": -1}, "k must be a whole .*received -1"),
        ({"k": 2.5}, "k must be a whole .*received 2.5"),
        ({"k": "2"}, "k must be a whole .*received '2'"),
        ({"end": "both"}, "end must be 'largest' or 'smallest'; received 'both'"),
        ({"tolerance": 0}, "tolerance must be .*received 0"),
        ({"tolerance": -1e-3}, "tolerance must be .*received -0.001"),
        ({"tolerance": np.nan}, "tolerance must be .*received nan"),
        ({"basis": 2}, "basis must hold at least .* = 6 vectors; received 2"),
        ({"basis": 5.5}, "basis must .*received 5.5"),
    ],
)
def test_eigenpairs_name_bad_settings(settings, text):
    with pytest.raises(ValueError, match=text) as caught:
        wedges.eigenpairs(operator(np.arange(30.0))[0], **{"k": 2, "seed": 0, **settings})
    assert "\n" not in str(caught.value)


def test_eigenpairs_end_at_the_limit():
    made, landscape = operator(turned(np.linspace(0, 1, 200)))
    with pytest.raises(RuntimeError, match="2 of relative residual 1e-09 were not found in 25 products"):
        wedges.eigenpairs(made, 2, seed=0, tolerance=1e-9, limit=25)
    assert 23 < landscape.asked <= 25


# ---- how many are certain -------------------------------------------------------------------------


def test_pairs_prove_as_many_eigenvalues_above_a_floor_as_there_are():
    values = np.r_[np.repeat([4.0, 3.0, 2.0], 3), np.linspace(-3, 1, 41)]
    found = wedges.eigenpairs(operator(turned(values))[0], 12, seed=0, tolerance=1e-9)
    for floor, count in [(3.5, 3), (2.5, 6), (1.5, 9), (4.0, 0), (5.0, 0)]:
        assert curvature.certain(found, floor) == count
    assert isinstance(curvature.certain(found, 3.5), int)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=20),
    st.integers(1, 20),
    st.floats(-6, 6),
    st.sampled_from([0, 1e-6, 1e-2, 0.3, 3.0]),
    st.integers(0, 2**32 - 1),
)
def test_no_pairs_prove_more_than_there_are(values, k, floor, off, seed):
    matrix, rng = turned(np.array(values, float), seed), np.random.default_rng(seed)
    k = min(k, len(matrix))
    own = np.linalg.eigh(matrix)[1][:, -k:] + off * rng.standard_normal((len(matrix), k))
    vectors = np.linalg.qr(own)[0].T
    quotients = np.einsum("kd,de,ke->k", vectors, matrix, vectors) + off * rng.standard_normal(k)
    residuals = np.linalg.norm(vectors @ matrix - quotients[:, None] * vectors, axis=1)
    pairs = curvature.Eigenpairs(quotients, vectors, residuals, 0)
    assert curvature.certain(pairs, floor) <= np.sum(np.linalg.eigvalsh(matrix) > floor - 1e-12)


def test_bogus_pairs_prove_nothing():
    vectors = np.eye(5)[:2]
    pairs = curvature.Eigenpairs(np.array([9.0, 8.0]), vectors, np.array([9.0, 8.0]), 2)  # of A = 0
    assert curvature.certain(pairs, 0.0) == 0
    nothing = curvature.Eigenpairs(np.full(2, np.nan), vectors, np.full(2, np.nan), 2)
    assert curvature.certain(nothing, 0.0) == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_eigenpairs_of_any_size_in_float32(scale):
    """The squares of such numbers are no float32."""
    matrix = turned(SPECTRA["bulk"])
    found = curvature.eigenpairs(operator(matrix * scale, "float32")[0], 3, seed=0)
    np.testing.assert_allclose(found.values / scale, [3.0, 2.0, 1.5], rtol=1e-5)
    off = found.vectors @ matrix - found.values[:, None] / scale * found.vectors
    np.testing.assert_allclose(found.residuals / scale, np.linalg.norm(off, axis=1), atol=1e-6)
    assert curvature.certain(found, 1.9 * scale) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 2.0}, "k must be a whole number from 1 to D = 9; received 2.0"),
        ({"k": 10}, "k must be a whole number from 1 to D = 9; received 10"),
        ({"limit": 0}, "limit must be a whole number, at least 1; received 0"),
        ({"block_size": True}, "block_size must be a whole number, at least 1; received True"),
        ({"basis": 2.5}, "basis must be a whole number, at least 1; received 2.5"),
        ({"seed": -1}, "seed must be a whole number, at least 0; received -1"),
    ],
)
def test_counts_that_are_none_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        curvature.eigenpairs(operator(np.arange(9.0))[0], **{"k": 2, "seed": 0, **change})


def test_whole_numbers_of_any_library_will_do():
    made = operator(np.arange(9.0))[0]
    expected = curvature.eigenpairs(made, 2, seed=0, limit=50).values
    for kind in (np.int64, np.uint8, np.array, tf.constant):
        found = curvature.eigenpairs(made, kind(2), seed=kind(0), limit=kind(50))
        np.testing.assert_array_equal(found.values, expected)
