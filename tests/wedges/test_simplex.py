"""Bases on a simplex: by hand, against numpy's and scipy's interpolation, and what holds for all."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from wedges import simplex
from wedges.simplex import Bernstein, Grid, Scattered

few = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SHAPES = [(1, 1), (1, 4), (2, 1), (2, 2), (2, 5), (3, 3), (4, 2), (5, 2), (10, 2)]


def made(kind, m, size, seed):
    if kind == "scattered":
        return Scattered(np.concatenate([simplex.centroid(m), simplex.dirichlet(m, size, seed=seed)]))
    return {"grid": Grid, "bernstein": Bernstein}[kind](m, size)


@st.composite
def bases(draw, kinds=("grid", "scattered", "bernstein")):
    kind = draw(st.sampled_from(kinds))
    if kind == "scattered":
        m, size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    else:
        m, size = draw(st.sampled_from(SHAPES))
    return made(kind, m, size, draw(st.integers(0, 9)))


def places(basis, data, count=4):
    """Positions [count, m + 1], many of them on faces and on the borders of pieces."""
    number = st.integers(0, 4) | st.floats(0.01, 4.0)
    row = st.lists(number, min_size=basis.m + 1, max_size=basis.m + 1).filter(any)
    w = np.array(data.draw(st.lists(row, min_size=count, max_size=count)), float)
    return w / w.sum(axis=1, keepdims=True)


# ---- what holds for every basis -------------------------------------------------------------------


@few
@given(bases(), st.data())
def test_weights_are_shares_whose_blend_of_the_points_is_the_position(basis, data):
    w = places(basis, data)
    weights = basis.weights(w)
    assert weights.shape == (4, len(basis.points)) and basis.points.shape[1] == basis.m + 1
    assert np.all(weights >= 0)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(weights @ basis.points, w, atol=1e-10)


@few
@given(bases(), st.data())
def test_a_corner_is_its_own_point_alone_and_a_face_its_own_points(basis, data):
    assert np.array_equal(basis.points[: basis.m + 1], np.eye(basis.m + 1))
    corners = basis.weights(np.eye(basis.m + 1))
    assert np.array_equal(corners, np.eye(basis.m + 1, len(basis.points)))
    w = places(basis, data)
    off = (w[:, None] == 0) & (basis.points > 0)  # [4, V, m + 1]
    assert np.all(basis.weights(w)[off.any(axis=-1)] == 0)


@few
@given(bases(("grid", "scattered")))
def test_a_piecewise_linear_surface_goes_through_its_points(basis):
    np.testing.assert_allclose(basis.weights(basis.points), np.eye(len(basis.points)), atol=1e-10)


@few
@given(bases(("grid", "scattered")), st.data())
def test_a_piecewise_linear_surface_blends_no_more_points_than_a_piece_has(basis, data):
    assert np.all(np.sum(basis.weights(places(basis, data)) > 1e-12, axis=-1) <= basis.m + 1)


@few
@given(bases(), st.integers(0, 9))
def test_one_position_is_as_among_many_and_none_are_none(basis, seed):
    w = simplex.dirichlet(basis.m, 6, seed=seed)
    many = basis.weights(w.reshape(2, 3, -1))
    assert many.shape == (2, 3, len(basis.points))
    assert np.array_equal(many[1, 0], basis.weights(w[3]))
    assert basis.weights(w[:0]).shape == (0, len(basis.points))


@few
@given(st.sampled_from(SHAPES), st.data(), st.integers(0, 99), st.sampled_from([1e-7, 1e-4, 0.1]))
def test_a_grid_is_continuous(shape, data, seed, near):
    # Within a piece a weight is a difference of two of the x_i, so it moves by at most k |dw|_1.
    basis = Grid(*shape)
    w = places(basis, data)
    v = w + near * (simplex.dirichlet(basis.m, 4, seed=seed) - w)
    moved = np.abs(basis.weights(w) - basis.weights(v)).max(axis=-1)
    assert np.all(moved <= basis.pieces * np.abs(w - v).sum(axis=-1) + 1e-8)


@few
@given(st.sampled_from([(1, 4), (2, 3), (3, 2)]), st.data(), st.integers(0, 99))
def test_scattered_points_are_blended_continuously(shape, data, seed):
    m = shape[0]
    basis = Scattered([*simplex.grid(*shape)[m + 1 :], *simplex.dirichlet(m, 3, seed=seed)])
    w = places(basis, data)
    v = w + 1e-6 * (simplex.dirichlet(basis.m, 4, seed=seed) - w)
    assert np.abs(basis.weights(w) - basis.weights(v)).max() < 1e-4


# ---- Grid -----------------------------------------------------------------------------------------


def test_a_grid_of_two_optima_is_numpys_interpolation():
    for pieces in (1, 2, 5):
        basis, t = Grid(1, pieces), np.linspace(0, 1, 41)
        values = np.random.default_rng(pieces).standard_normal(pieces + 1)
        order = np.argsort(basis.points[:, 1])
        found = basis.weights(np.stack([1 - t, t], axis=-1))[:, order] @ values
        np.testing.assert_allclose(
            found, np.interp(t, np.arange(pieces + 1) / pieces, values), atol=1e-12
        )


def test_a_grid_of_three_optima_in_two_pieces_is_by_hand():
    basis = Grid(2, 2)
    middles = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    assert np.array_equal(basis.points, [[1, 0, 0], [0, 1, 0], [0, 0, 1], *middles])
    by_hand = {
        (1 / 3, 1 / 3, 1 / 3): [0, 0, 0, 1 / 3, 1 / 3, 1 / 3],
        (0.6, 0.3, 0.1): [0.2, 0, 0, 0.6, 0.2, 0],  # the piece at the first corner
        (0.1, 0.7, 0.2): [0, 0.4, 0, 0.2, 0, 0.4],
        (0.1, 0.0, 0.9): [0, 0, 0.8, 0, 0.2, 0],
        (0.4, 0.4, 0.2): [0, 0, 0, 0.6, 0.2, 0.2],  # the piece in the middle
        (0.5, 0.25, 0.25): [0, 0, 0, 0.5, 0.5, 0],  # between the two
    }
    np.testing.assert_allclose(basis.weights(list(by_hand)), list(by_hand.values()), atol=1e-14)


@pytest.mark.parametrize(("m", "pieces"), [(1, 3), (2, 3), (3, 2)])
def test_a_grids_pieces_are_k_to_the_m_of_equal_volume(m, pieces):
    basis, count = Grid(m, pieces), 4000
    corners = basis.weights(simplex.dirichlet(m, count, seed=0)) > 0  # [count, V]
    kinds, found = np.unique(corners, axis=0, return_counts=True)
    share = 1 / pieces**m
    assert len(kinds) == pieces**m and np.all(kinds.sum(axis=1) == m + 1)
    assert np.all(np.abs(found / count - share) < 4 * np.sqrt(share * (1 - share) / count))
    # Their volumes relative to the whole, exactly.
    for kind in kinds:
        assert abs(np.linalg.det(basis.points[kind])) == pytest.approx(share)


# ---- Scattered ------------------------------------------------------------------------------------

# A triangle of equal sides: in it distances are those of the barycentric coordinates.
FLAT = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])


@pytest.mark.parametrize("seed", range(3))
def test_scattered_points_of_a_triangle_are_blended_as_by_scipys_triangulation(seed):
    basis = Scattered(simplex.dirichlet(2, 9, seed=seed))
    truth, w = Delaunay(basis.points @ FLAT), simplex.dirichlet(2, 25, seed=seed + 100)
    expected = np.zeros((25, len(basis.points)))
    for row, position in zip(expected, w, strict=True):
        piece = truth.simplices[truth.find_simplex(position @ FLAT)]
        row[piece] = np.linalg.solve(basis.points[piece].T, position)
    np.testing.assert_allclose(basis.weights(w), expected, atol=1e-10)
    edges = {tuple(sorted(e)) for piece in truth.simplices for e in itertools.combinations(piece, 2)}
    assert {tuple(e) for e in basis.neighbours()} == edges


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_scattered_points_of_two_optima_are_numpys_interpolation(order):
    t = np.array([0.1, 0.45, 0.5, 0.8])[order]
    basis, at = Scattered(np.stack([1 - t, t], axis=-1)), np.linspace(0, 1, 21)
    values = np.random.default_rng(0).standard_normal(6)
    found = basis.weights(np.stack([1 - at, at], axis=-1)) @ values
    where = np.argsort(basis.points[:, 1])
    np.testing.assert_allclose(found, np.interp(at, basis.points[where, 1], values[where]), atol=1e-10)


@pytest.mark.parametrize(("m", "pieces"), [(2, 4), (3, 3)])
def test_points_of_a_grid_all_on_common_spheres_have_one_triangulation(m, pieces):
    basis = Scattered(simplex.grid(m, pieces)[m + 1 :])
    w = simplex.dirichlet(m, 120, seed=5)
    weights = basis.weights(w)
    assert np.all(weights >= 0)
    np.testing.assert_allclose(weights @ basis.points, w, atol=1e-10)
    pieces = [p for p in np.unique(weights > 1e-9, axis=0) if p.sum() == m + 1]
    assert len(pieces) > 10
    # A position inside a piece, be it found by another one, has that piece's weights.
    for piece in pieces:
        expected = np.linalg.solve(basis.points[piece].T, w.T).T
        inside = np.all(expected > 1e-6, axis=1)
        assert inside.any()
        np.testing.assert_allclose(weights[inside][:, piece], expected[inside], atol=1e-9)


@pytest.mark.parametrize("near", [1e-2, 5e-4, 1e-4])
def test_no_point_is_passed_over_for_being_near_others(near):
    for seed in range(3):
        steps = simplex.grid(2, 2) + 0.2 * simplex.dirichlet(2, 6, seed=seed) - 1.2 / 3
        basis = Scattered(simplex.centroid(2) + near * steps)
        np.testing.assert_allclose(basis.weights(basis.points), np.eye(9), atol=1e-9)


# ---- Bernstein ------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 3, 6])
def test_a_bernstein_basis_of_two_optima_is_a_bezier_curve(degree):
    basis, rng = Bernstein(1, degree), np.random.default_rng(degree)
    order = np.argsort(basis.points[:, 1])
    assert np.array_equal(basis.points[order, 1], np.arange(degree + 1) / degree)
    for t in (0.0, 0.2, 0.5, 0.9):
        control = rng.standard_normal((degree + 1, 3))
        theta = basis.weights([1 - t, t])[order] @ control
        while len(control) > 1:  # de Casteljau
            control = (1 - t) * control[:-1] + t * control[1:]
        np.testing.assert_allclose(theta, control[0], atol=1e-13)


def test_a_bezier_triangle_is_by_hand():
    w = np.array([0.5, 0.3, 0.2])
    a, b, c = w
    expected = [a * a, b * b, c * c, 2 * a * b, 2 * a * c, 2 * b * c]  # the terms of (a + b + c)^2
    np.testing.assert_allclose(Bernstein(2, 2).weights(w), expected, atol=1e-15)
    middle = Bernstein(2, 3).weights([1 / 3] * 3)
    np.testing.assert_allclose(sorted(middle), sorted([1 / 27] * 3 + [3 / 27] * 6 + [6 / 27]))


# ---- neighbours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("basis", "pairs"),
    [
        (lambda: Grid(1, 1), [(0, 1)]),
        (lambda: Grid(1, 3), [(0, 2), (1, 3), (2, 3)]),  # 0, 1, 1/3, 2/3
        (
            lambda: Grid(2, 2),
            [(0, 3), (0, 4), (1, 3), (1, 5), (2, 4), (2, 5), (3, 4), (3, 5), (4, 5)],
        ),
        (lambda: Scattered([[0.5, 0.5], [0.9, 0.1]]), [(0, 3), (1, 2), (2, 3)]),
        (lambda: Scattered(simplex.centroid(2)), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        # A point on an edge parts its ends.
        (lambda: Scattered([[0.5, 0.5, 0]]), [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ],
)
def test_neighbours_are_joined_by_a_segment(basis, pairs):
    assert sorted(map(tuple, basis().neighbours())) == pairs


def test_neighbours_in_a_grid_are_those_of_a_common_piece():
    basis = Grid(3, 2)
    used = basis.weights(simplex.dirichlet(3, 600, seed=0)) > 0
    pairs = {p for row in used for p in itertools.combinations(map(int, np.flatnonzero(row)), 2)}
    assert {tuple(map(int, p)) for p in basis.neighbours()} == pairs


# ---- positions ------------------------------------------------------------------------------------


@few
@given(st.integers(1, 6), st.integers(1, 6))
def test_a_grid_of_positions_is_all_of_them_the_corners_first(m, pieces):
    found = simplex.grid(m, pieces)
    assert found.shape == (math.comb(pieces + m, m), m + 1)
    assert np.array_equal(found[: m + 1], np.eye(m + 1))
    whole = np.rint(found * pieces).astype(int)
    np.testing.assert_allclose(found, whole / pieces, atol=1e-15)
    assert len(np.unique(whole, axis=0)) == len(whole)
    assert np.all(whole >= 0) and np.all(whole.sum(axis=1) == pieces)


def test_positions_of_two_optima_lead_from_the_first_to_the_second():
    np.testing.assert_allclose(simplex.grid(1, 4)[:, 1], [0, 1, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("concentration", [0.3, 1.0, 5.0])
def test_random_positions_have_the_mean_and_variance_of_their_dirichlet(concentration):
    m, count = 3, 4000
    w = simplex.dirichlet(m, count, seed=0, concentration=concentration)
    assert w.shape == (count, 4) and np.all(w >= 0)
    np.testing.assert_allclose(w.sum(axis=1), 1)
    mean = 1 / (m + 1)
    variance = mean * (1 - mean) / (concentration * (m + 1) + 1)
    np.testing.assert_allclose(w.mean(axis=0), mean, atol=4 * np.sqrt(variance / count))
    np.testing.assert_allclose(w.var(axis=0), variance, rtol=0.15)


def test_a_seed_is_the_same_positions_and_another_is_others():
    draw = lambda seed: simplex.dirichlet(2, 5, seed=seed)
    assert np.array_equal(draw(1), draw(1)) and not np.array_equal(draw(1), draw(2))


def test_the_centroid_is_the_mean_of_the_corners():
    np.testing.assert_allclose(simplex.centroid(3), np.eye(4).mean(axis=0, keepdims=True))


def test_positions_are_made_to_sum_to_one_and_once_made_stay_the_same_bits():
    rough = np.array([[0.5, 0.5 + 1e-6, -1e-10], [0.2, 0.3, 0.5 - 5e-6]])
    once = simplex.positions(rough, 2)
    assert np.all(once >= 0) and once[0, 2] == 0
    np.testing.assert_allclose(once.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(once, rough, atol=1e-5)
    many = simplex.dirichlet(4, 500, seed=0)
    assert np.array_equal(simplex.positions(many, 4), many)
    assert np.array_equal(simplex.positions(once, 2), once)


# ---- to a file and back ---------------------------------------------------------------------------


@few
@given(bases())
def test_config_and_arrays_make_a_basis_again_bit_for_bit(basis):
    config = json.loads(json.dumps({"kind": type(basis).__name__, **basis.config}))
    again = simplex.restore(config, basis.arrays, m=basis.m, points=len(basis.points))
    assert type(again) is type(basis) and again.m == basis.m and again.config == basis.config
    assert np.array_equal(again.points, basis.points)
    w = simplex.dirichlet(basis.m, 3, seed=1)
    assert np.array_equal(again.weights(w), basis.weights(w))
    assert config["kind"] == type(basis).__name__  # the caller's own is left alone


@pytest.mark.parametrize(
    ("config", "arrays", "words"),
    [
        ({"kind": "Grid", "m": 2, "pieces": 3}, {}, "described is among 3, with 10"),
        ({"kind": "Grid", "m": 1, "pieces": 10**9}, {}, "described is among 2, with 1000000001"),
        ({"kind": "Grid", "m": 10**9, "pieces": 1}, {}, "among 1000000001, with 1000000001"),
        (
            {"kind": "Bernstein", "m": 10**9, "degree": 10**9},
            {},
            "among 1000000001, with more than 10.12",
        ),
        ({"kind": "Bernstein", "m": 2, "degree": 1}, {}, "described is among 3, with 3"),
        ({"kind": "Grid", "m": 2, "pieces": 2.0}, {}, "pieces must be a whole number"),
        ({"kind": "Grid", "m": True, "pieces": 2}, {}, "m, .* must be a whole number"),
        (
            {"kind": "Grid", "m": 2, "degree": 2},
            {},
            "no basis of Grid, Scattered, Bernstein is described",
        ),
        ({"kind": "Grid", "m": 2}, {}, "no basis"),
        ({"kind": "Grid", "m": 2, "pieces": 2}, {"points": np.eye(3)}, "no basis"),
        ({"kind": "Spline", "m": 2}, {}, "no basis"),
        ({"kind": ["Grid"], "m": 2, "pieces": 2}, {}, "no basis"),
        ({}, {}, "no basis"),
        ({"kind": "Scattered"}, {}, "no basis"),
        ({"kind": "Scattered"}, {"points": np.zeros(3)}, "no basis"),
        ({"kind": "Scattered"}, {"points": np.zeros((3, 3), np.float32)}, "no basis"),
        ({"kind": "Scattered"}, {"points": np.zeros((10**6, 3))}, "among 3, with 1000003"),
    ],
)
def test_a_basis_of_another_size_is_not_even_begun(config, arrays, words):
    with pytest.raises(ValueError, match=words):
        simplex.restore(config, arrays, m=2, points=6)


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Grid, Bernstein, simplex.grid])
@pytest.mark.parametrize(
    ("m", "total", "words"),
    [
        (0, 2, "m, .* must be a whole number, at least 1; received 0"),
        (-1, 2, "m, .* at least 1; received -1"),
        (1.0, 2, "m, .* whole number, at least 1; received 1.0"),
        (True, 2, "m, .* whole number, at least 1; received True"),
        (None, 2, "m, .* whole number, at least 1; received None"),
        (2, 0, r"(pieces|degree) must be a whole number, at least 1; received 0"),
        (2, 2.5, r"(pieces|degree) must be .*received 2.5"),
        (2, "2", r"(pieces|degree) must be .*received '2'"),
        (2, np.nan, r"(pieces|degree) must be .*received nan"),
        (2, True, r"(pieces|degree) must be .*received True"),
        (3, 200, "200 pieces an edge among 4 optima has 1373701 points; use fewer pieces"),
        (1, 10**9, "has 1000000001 points; use fewer|degree must be lower"),
        (10**9, 10**9, "has more than 10.12 points; use fewer|degree must be lower"),
        (10**300, 10**300, "has more than 10.12 points; use fewer|degree must be lower"),
        (2, 10**300, "has more than 10.12 points; use fewer|degree must be lower"),
    ],
)
def test_a_bad_grid_is_named(make, m, total, words):
    with pytest.raises(ValueError, match=words):
        make(m, total)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: simplex.centroid(0), "m, .* at least 1; received 0"),
        (lambda: simplex.dirichlet(0, 3, seed=0), "m, .* at least 1; received 0"),
        (lambda: simplex.dirichlet(2, 0, seed=0), "count must be a whole .*received 0"),
        (lambda: simplex.dirichlet(2, 3.5, seed=0), "count must be a whole .*received 3.5"),
        (lambda: simplex.faces(2, 0, seed=0), "count must be a whole .*received 0"),
        (lambda: simplex.dirichlet(2, 3, seed=0, concentration=0), "concentration .* 0; received 0"),
        (lambda: simplex.dirichlet(2, 3, seed=0, concentration=-1.0), "concentration .*received -1.0"),
        (lambda: simplex.dirichlet(2, 3, seed=0, concentration=np.nan), "concentration .*received nan"),
        (lambda: simplex.dirichlet(2, 3, seed=0, concentration=np.inf), "concentration .*received inf"),
        (lambda: simplex.positions([0.5, 0.5], 2), r"w must have shape \[..., 3\].*received \(2,\)"),
        (lambda: simplex.positions(1.0, 2), r"w must have shape \[..., 3\].*received \(\)"),
        (lambda: simplex.positions([0.5, 0.4, 0.2], 2), r"w must be bary.*received \[0.5 0.4 0.2\]"),
        (lambda: simplex.positions([0.7, 0.4, -0.1], 2), r"w must be bary.*received \[ 0.7  0.4 -0.1\]"),
        (lambda: simplex.positions([1.0, np.nan, 0.0], 2), r"w must be barycentric.*received \[ 1. nan"),
        (lambda: simplex.positions([[1, 0], [2, -1]], 1), "w must be bary.*received rows from -1 to 2"),
        (lambda: Grid(2, 2).weights([0.5, 0.5]), r"w must have .*received \(2,\)"),
        (lambda: Bernstein(2, 2).weights([1.0, 1.0, 0.0]), r"w must be bary.*received \[1. 1. 0.\]"),
        (lambda: Scattered([[0.2, 0.8]]).weights(np.ones((3, 3))), r"w must have .*received \(3, 3\)"),
        (lambda: Scattered([[0.2, 0.9]]), "w must be barycentric .*received rows from 0.2 to 0.9"),
        (lambda: Scattered([1.0]), r"points must have shape \[P, m \+ 1\].*received \(1, 1\)"),
        (lambda: Scattered(np.ones((2, 2, 3)) / 3), r"points must have shape .*received \(2, 2, 3\)"),
        (
            lambda: Scattered([[0.4, 0.6], [0.1, 0.9], [0.4, 0.6]]),
            r"points must differ .*received \[0.4 0.6\], number 2, twice",
        ),
        (lambda: Scattered(simplex.dirichlet(1, 5000, seed=0)), "points must be fewer than 5000 .*5000"),
        (lambda: Scattered([[0.4, 0.6], [1, 1e-8]]), "points must .*corners.*, number 1, twice"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
