"""Probes of a landscape against closed forms and direct evaluation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy import stats

import wedges
from tests.conftest import MODELS, SPARSE, batch_norm, half_precision, plain
from wedges import probe

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


class Formula(wedges.Landscape):
    """A numpy function [..., D] -> [...]; keeps the shapes it was called with."""

    def __init__(self, function, dimension, dtype="float64"):
        self.function, self.dimension, self.dtype = function, dimension, tf.as_dtype(dtype)
        self.shapes = []

    def __call__(self, theta):
        theta = self.point(theta)
        self.shapes.append(tuple(theta.shape))
        return tf.constant(self.function(theta.numpy()), self.dtype)


def waves(theta):
    """No symmetry in anything: every component counts, and differently."""
    return np.sum(np.sin(theta * np.arange(1, theta.shape[-1] + 1)) + 0.1 * theta**2, axis=-1)


def holes(theta):
    """NaN right of 1, infinity above 1, minus infinity below -1; else x + 10 y."""
    x, y = theta[..., 0], theta[..., 1]
    values = np.where(y > 1, np.inf, np.where(y < -1, -np.inf, x + 10 * y))
    return np.where(x > 1, np.nan, values)


# ---- a line ---------------------------------------------------------------------------------------


def test_line_and_barrier_between_the_minima_of_a_double_well():
    class DoubleWell(wedges.Landscape):
        """(x^2 - 1)^2 + y^2: minima at x = +-1, between them a barrier of 1."""

        dimension, dtype = 2, tf.float32

        def __call__(self, theta):
            theta = self.point(theta)
            return (theta[..., 0] ** 2 - 1) ** 2 + theta[..., 1] ** 2

    t, losses = probe.line(DoubleWell(), [-1.0, 0.0], [1.0, 0.0], points=9)
    np.testing.assert_allclose(losses, ((2 * t - 1) ** 2 - 1) ** 2, atol=1e-6)
    assert wedges.barrier(losses) == pytest.approx(1.0)


@pytest.mark.parametrize("points", [2, 11, 64, 65, 129, 200])
def test_a_line_of_any_number_of_points_is_the_loss_at_each_of_them(points):
    landscape, a, b = Formula(waves, 5), normal(0, 5), normal(1, 5)
    t, losses = probe.line(landscape, a, b, points)
    np.testing.assert_allclose(t, np.arange(points) / (points - 1), rtol=1e-15)
    direct = [waves(a + k / (points - 1) * (b - a)) for k in range(points)]
    np.testing.assert_allclose(losses, direct, rtol=1e-13)
    assert losses[0] == waves(a) and losses[-1] == waves(b)  # the ends themselves
    # All calls of one shape, which a compiled landscape knows; no more points than fill the last one.
    (shape,) = set(landscape.shapes)
    assert shape[0] <= 64 and shape[1] == 5
    assert points <= len(landscape.shapes) * shape[0] < points + len(landscape.shapes)


def test_a_line_in_many_dimensions_holds_few_points_at_once():
    dimension = 2**21
    landscape = Formula(lambda theta: theta[..., 7], dimension, "float32")
    b = np.zeros(dimension, np.float32)
    b[7] = 8.0
    _, losses = probe.line(landscape, np.zeros(dimension, np.float32), b, points=5)
    np.testing.assert_array_equal(losses, [0, 2, 4, 6, 8])
    assert landscape.shapes == [(2, dimension)] * 3


def test_a_line_keeps_nan_and_infinity_where_they_are():
    landscape = Formula(holes, 2)
    np.testing.assert_array_equal(
        probe.line(landscape, [0.0, 0.0], [2.0, 0.0], 5)[1], [0, 0.5, 1, np.nan, np.nan]
    )
    np.testing.assert_array_equal(
        probe.line(landscape, [0.0, -2.0], [0.0, 2.0], 5)[1], [-np.inf, -10, 0, 10, np.inf]
    )


def test_barrier_is_above_the_chord_never_negative_and_keeps_nan():
    np.testing.assert_allclose(wedges.barrier([0.0, 3.0, 2.0]), 2.0)  # chord 1 in the middle
    assert wedges.barrier([1.0, 0.0, 1.0]) == 0.0
    assert np.isnan(wedges.barrier([0.0, np.nan, 0.0]))
    np.testing.assert_allclose(wedges.barrier([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]), [1.0, 0.0])


def test_a_line_goes_into_barrier_as_it_is_and_cannot_go_in_the_wrong_order():
    hill = wedges.Quadratic([-1.0, 1.0])
    line = probe.line(hill, [-1.0, 0.0], [1.0, 0.0])
    t, losses = line
    assert wedges.barrier(line) == wedges.barrier(losses) == wedges.barrier(losses, t) == 0.5
    with pytest.raises(ValueError, match=r"^t must be 11 numbers that rise .*; is it the losses\?"):
        wedges.barrier(*line)
    path = wedges.connect.along(hill, [[-1.0, 0.0], [-0.9, 0.0], [1.0, 0.0]], 3)  # t uneven
    assert wedges.barrier(path) == wedges.barrier(path.losses, path.t) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match="is it the losses"):
        wedges.barrier(*path)


def test_losses_that_could_as_well_be_t_come_as_a_line():
    t, losses = np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.25, 1.0])
    for order in ((losses, t), (t, losses)):
        with pytest.raises(ValueError, match="^losses that rise from 0 to 1 as t does must come"):
            wedges.barrier(*order)
    assert wedges.barrier(probe.Line(t, losses)) == wedges.barrier(losses) == 0.0
    assert wedges.barrier(probe.Line(losses, t)) == 0.25
    assert wedges.barrier(t, t) == 0.0  # either way


@given(st.integers(2, 9), st.integers(0, 99), st.sampled_from([1e-30, 1.0, 1e30]))
@few
def test_a_barrier_is_the_largest_rise_above_the_chord(points, seed, scale):
    losses = (scale * normal(seed, 3, points)).astype(np.float32)
    t = np.r_[0.0, np.sort(np.random.default_rng(seed).uniform(0.01, 0.99, points - 2)), 1.0]
    for row, found in zip(losses, wedges.barrier(losses, t), strict=True):
        chord = np.interp(t, [0, 1], row[[0, -1]].astype(float))
        np.testing.assert_allclose(found / scale, max((row - chord) / scale), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0],), r"^losses must be numbers \[..., T\], T >= 2, or a line; received float64 \(1,\)"),
        ((1.0,), r"^losses must be numbers .*received float64 \(\)"),
        ((["a", "b"],), "^losses must be numbers"),
        (([0.0, 1.0, 5.0], [0.0, 1.0]), "^t must be 3 numbers that rise from 0 to 1; received"),
        (([0.0, 1.0, 5.0], [0.0, 0.5, 0.9]), r"^t must be 3 numbers .*; received \[0, 0.5, 0.9\]"),
        (([0.0, 1.0, 5.0], [0.0, 0.5, 0.5]), "^t must be 3 numbers"),
        (([0.0, 1.0, 5.0], [1.0, 0.5, 0.0]), "^t must be 3 numbers"),
        (([0.0, 1.0, 5.0], [0.0, np.nan, 1.0]), "^t must be 3 numbers"),
    ],
)
def test_what_has_no_barrier_is_named(arguments, words):
    with pytest.raises(ValueError, match=words) as caught:
        wedges.barrier(*arguments)
    assert "\n" not in str(caught.value)


def test_line_needs_its_ends():
    with pytest.raises(ValueError, match="points must be a whole number, at least 2; received 1"):
        probe.line(wedges.Quadratic([1.0]), [0.0], [1.0], points=1)
    with pytest.raises(ValueError, match=r"b must have .*received shape \(2,\)"):
        probe.line(wedges.Quadratic([1.0]), [0.0], [1.0, 2.0])


# ---- a plane --------------------------------------------------------------------------------------


def axes(subspace):
    """e_1 and e_2, [2, D] float64: orthonormal."""
    directions = np.array(subspace.directions.lift(tf.eye(2, dtype=subspace.dtype)), np.float64)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-6)
    return directions


def test_rows_of_a_plane_are_y_and_columns_x():
    # L = (2 x^2 + 4 y^2 + 9) / 2 at origin + x e_2 + y e_4.
    landscape = wedges.Quadratic([1.0, 2.0, 3.0, 4.0], dtype="float64")
    subspace = wedges.AffineSubspace(np.array([3.0, 0, 0, 0]), [[0.0, 1, 0, 0], [0, 0, 0, 1]])
    losses = probe.plane(landscape, subspace, [0.0, 1, -3], [0.0, 1, 2, 5])
    assert losses.shape == (4, 3)
    expected = [[4.5, 5.5, 13.5], [6.5, 7.5, 15.5], [12.5, 13.5, 21.5], [54.5, 55.5, 63.5]]
    np.testing.assert_allclose(losses, expected, rtol=1e-14)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (1, 7), (5, 3), (7, 11), (13, 10), (25, 25)])
@pytest.mark.parametrize("method", ["dense", "transform"])
def test_every_point_of_a_plane_is_a_direct_evaluation(columns, rows, method):
    landscape, origin = Formula(waves, 9), normal(0, 9)
    cut = wedges.random_cut(origin, 2, seed=1, method=method)
    x, y = np.linspace(-2, 3, columns), np.linspace(1, -4, rows) ** 3  # neither even nor sorted
    losses = probe.plane(landscape, cut, x, y)
    e = axes(cut)
    direct = [[waves(origin + a * e[0] + b * e[1]) for a in x] for b in y]
    np.testing.assert_allclose(losses, direct, rtol=1e-11, atol=1e-11)
    (shape,) = set(landscape.shapes)
    calls, count = len(landscape.shapes), rows * columns
    assert shape[0] <= 64 and count <= calls * shape[0] < count + calls


def test_three_points_stand_on_the_plane_through_them_where_geometry_says():
    landscape, (a, b, c) = Formula(waves, 6), normal(3, 3, 6)
    cut = wedges.through([a, b, c])
    base, side = np.linalg.norm(b - a), np.linalg.norm(c - a)
    along = (c - a) @ (b - a) / base
    height = np.sqrt(side**2 - along**2)
    corners = [[0, 0], [base, 0], [along, height]]
    np.testing.assert_allclose(cut.coordinates(np.stack([a, b, c])), corners, atol=1e-14)
    x, y = np.array(corners).T
    losses = probe.plane(landscape, cut, x, y)
    np.testing.assert_allclose(np.diag(losses), waves(np.stack([a, b, c])), rtol=1e-12)
    # Not their neighbours: on a fine grid too the ends stand at its ends.
    fine = probe.plane(landscape, cut, np.linspace(0, base, 8), np.linspace(0, height, 9))
    np.testing.assert_allclose(fine[0, [0, -1]], waves(np.stack([a, b])), rtol=1e-12)
    foot = a + along / base * (b - a)
    parallelogram = [a + c - foot, b + c - foot]
    np.testing.assert_allclose(fine[-1, [0, -1]], waves(np.stack(parallelogram)), rtol=1e-12)


def test_nan_and_infinity_stay_in_their_cells_of_a_plane():
    subspace = wedges.AffineSubspace(np.zeros(2), np.eye(2))
    x, y = np.linspace(-2, 2, 9), np.linspace(-1.5, 1.5, 11)
    losses = probe.plane(Formula(holes, 2), subspace, x, y)
    np.testing.assert_array_equal(np.isnan(losses), np.broadcast_to(x > 1, (11, 9)))
    left = losses[:, x <= 1]
    assert (left[y > 1] == np.inf).all() and (left[y < -1] == -np.inf).all()
    middle = np.abs(y) <= 1
    np.testing.assert_allclose(left[middle], x[x <= 1] + 10 * y[middle, None], atol=1e-12)


def test_a_plane_through_a_toy_wedge_shows_the_distance_to_it():
    # One short direction of three: L = min |theta_i|.
    landscape = wedges.AxisWedges(3, 2, "float64")
    subspace = wedges.AffineSubspace(np.array([0.0, 0, 5]), [[1.0, 0, 0], [0, 1, 0]])
    losses = probe.plane(landscape, subspace, [-1.0, 0, 2, 9], [0.0, 1, 3, -7])
    expected = [[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 2, 3], [1, 0, 2, 5]]
    np.testing.assert_allclose(losses, expected, atol=1e-14)


@pytest.mark.parametrize("build", MODELS, ids=[m.__name__ for m in MODELS])
def test_a_plane_of_a_network_shows_the_loss_of_the_model_put_there(build, images):
    model = build()
    landscape = wedges.NetworkLandscape(
        model, *images, SPARSE, seed=0, batch_norm="reestimate", evaluation_batch_size=53
    )
    origin = landscape.space.read().numpy()
    cut = wedges.random_cut(origin, 2, seed=0)
    x, y = [-3.0, 0.0, 2.0], [1.5, -0.5]
    losses = probe.plane(landscape, cut, x, y)
    e = axes(cut)
    direct = np.empty((2, 3))
    for i, j in np.ndindex(2, 3):
        landscape.write((origin + x[j] * e[0] + y[i] * e[1]).astype(np.float32))
        direct[i, j] = SPARSE(images[1], tf.cast(model(images[0], training=False), tf.float32))
    tolerance = 5e-3 if build is half_precision else 2e-5
    np.testing.assert_allclose(losses, direct, rtol=tolerance)
    assert direct.std() > 10 * tolerance * direct.mean()  # else any order of them would pass


BOWL = wedges.Quadratic(np.arange(1.0, 6), dtype="float64")
CUT = wedges.random_cut(np.zeros(5), 2, seed=0)


@pytest.mark.parametrize(
    ("subspace", "x", "words"),
    [
        (lambda: wedges.random_cut(np.zeros(5), 3, seed=0), [0.0], r"one plane.*\(3 of 5 dimensions"),
        (lambda: wedges.random_cut(np.zeros(5), 1, seed=0), [0.0], r"one plane.*\(1 of 5 dimensions"),
        (lambda: wedges.random_cut(np.zeros((2, 5)), 2, seed=[0, 1]), [0.0], "one plane"),
        (lambda: wedges.normal_plane(np.zeros(5), np.eye(5)[:3]), [0.0], "one plane.*Complement"),
        (lambda: wedges.random_cut(np.zeros(4), 2, seed=0), [0.0], "D = 5; received one of D = 4"),
        (lambda: wedges.random_cut(np.zeros(5, "f"), 2, seed=0), [0.0], "float64; received float32"),
        (lambda: CUT, [], r"x must be finite numbers .*received \[\]"),
        (lambda: CUT, [0.0, np.nan], r"x must be finite numbers .*received \[0.0, nan\]"),
        (lambda: CUT, [np.inf], r"x must be finite numbers .*received \[inf\]"),
        (lambda: CUT, [[0.0]], r"x must be finite numbers .*received \[\[0.0\]\]"),
        (lambda: CUT, 1.0, r"x must be finite numbers .*received 1.0"),
    ],
)  # fmt: skip
def test_what_is_no_plane_or_no_grid_is_named(subspace, x, words):
    with pytest.raises(ValueError, match=words):
        probe.plane(BOWL, subspace(), x, [0.0, 1.0])
    if subspace() is CUT:
        with pytest.raises(ValueError, match="y" + words[1:]):
            probe.plane(BOWL, CUT, [0.0, 1.0], x)


def test_y_is_as_x_and_x_is_asked_for():
    x = [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(probe.plane(BOWL, CUT, x), probe.plane(BOWL, CUT, x, x))
    with pytest.raises(ValueError, match="^x must be where along .* np.linspace.* received None.$") as e:
        probe.plane(BOWL, CUT)
    assert "\n" not in str(e.value)


def test_a_plane_of_filters_reaches_as_far_as_theta_by_itself():
    theta, filters = np.arange(1.0, 6), np.arange(5)
    found = wedges.filter_plane(BOWL, theta, seed=0, filters=filters)
    np.testing.assert_array_equal(found.x, np.linspace(-1, 1, 21))
    np.testing.assert_array_equal(found.y, found.x)
    whole = wedges.filter_plane(BOWL, theta, found.x, found.x, seed=0, filters=filters)
    np.testing.assert_array_equal(found.losses, whole.losses)


def test_many_planes_through_one_origin_are_named():
    with pytest.raises(ValueError, match="one plane"):
        probe.plane(BOWL, wedges.random_cut(np.zeros(5), 2, seed=[0, 1]), [1.0, 2.0], [1.0])


def test_a_normal_line_in_two_dimensions_is_no_plane():
    with pytest.raises(ValueError, match="one plane"):
        probe.plane(
            wedges.Quadratic([1.0, 2.0], dtype="float64"),
            wedges.normal_plane(np.zeros(2), [1.0, 0.0]),
            [1.0, 2.0],
            [1.0],
        )


# ---- random directions ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_isotropic_directions_are_unit_vectors_of_their_seed(dtype):
    found = wedges.isotropic(100, 40, seed=3, dtype=dtype)
    assert found.shape == (40, 100) and found.dtype == dtype
    near = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=near)
    np.testing.assert_array_equal(found, wedges.isotropic(100, 40, seed=3, dtype=dtype))
    other = wedges.isotropic(100, 40, seed=4, dtype=dtype)
    assert np.abs(found @ other.T).max() < 0.6 and np.abs(np.triu(found @ found.T, 1)).max() < 0.6
    with pytest.raises(ValueError, match="samples must be a whole number, at least 1; received 0"):
        wedges.isotropic(100, 0, seed=3)


def test_isotropic_directions_are_uniform_on_the_sphere():
    """A component along any axis is uniform on [-1, 1] in three dimensions (Archimedes); in D, its
    square is Beta(1/2, (D - 1)/2), and D S |mean|^2 is near chi^2 of D degrees of freedom."""
    v = wedges.isotropic(3, 40_000, seed=0, dtype="float64")
    for axis in ([0, 0, 1], [1, 1, 1], [1, -1, 0], [3, 2, 1]):
        along = v @ axis / np.linalg.norm(axis)
        assert stats.kstest(along, stats.uniform(-1, 2).cdf).pvalue > 1e-3, axis
    v = wedges.isotropic(20, 5000, seed=1, dtype="float64")
    axis = normal(2, 20)
    along = v @ axis / np.linalg.norm(axis)
    assert stats.kstest(along**2, stats.beta(0.5, 9.5).cdf).pvalue > 1e-3
    assert 20 * 5000 * np.sum(v.mean(axis=0) ** 2) < stats.chi2(20).ppf(1 - 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sphere_is_points_at_one_distance_of_the_landscapes_dtype(dtype):
    landscape, theta = wedges.Quadratic(np.ones(30), dtype=dtype), normal(0, 30)
    points = probe.sphere(landscape, theta, 0.5, 200, seed=3)
    assert points.shape == (200, 30) and points.dtype == dtype
    away = points - theta.astype(dtype)
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), 0.5, rtol=1e-5)
    # In uniformly random directions D S |mean|^2 is near chi^2 of D degrees of freedom.
    assert 30 * 200 * np.sum((away.mean(axis=0) / 0.5) ** 2) < stats.chi2(30).ppf(1 - 1e-4)
    np.testing.assert_array_equal(points, probe.sphere(landscape, theta, 0.5, 200, seed=3))
    rng = np.random.default_rng(3)
    parts = [probe.sphere(landscape, theta, 0.5, n, seed=rng) for n in (150, 50)]
    np.testing.assert_array_equal(points, np.concatenate(parts))  # a generator is drawn from


def test_a_sphere_around_no_point_or_of_no_radius_is_refused():
    bowl = wedges.Quadratic([1.0, 1.0])
    for radius in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"radius must be a finite number above 0; .* {radius}"):
            probe.sphere(bowl, [0.0, 0.0], radius, 1, seed=0)
    with pytest.raises(ValueError, match=r"theta must be one point \[2\]; received shape \(1, 2\)"):
        probe.sphere(bowl, [[0.0, 0.0]], 1.0, 1, seed=0)
    with pytest.raises(ValueError, match="samples must be a whole number, at least 1; received True"):
        probe.sphere(bowl, [0.0, 0.0], 1.0, True, seed=0)


def filters_of(space, v):
    """{weight: norms of v's filters in it}, the axes before the last one summed, for every kernel."""
    return {
        w.path: np.linalg.norm(np.array(a).reshape(-1, a.shape[-1]), axis=0)
        for w, a in zip(space.variables, space.unflatten(tf.constant(v)), strict=True)
        if len(a.shape) > 1
    }


def test_filter_normalised_directions_have_each_filters_length_and_leave_the_vectors_alone():
    space = wedges.WeightSpace(batch_norm())
    theta = normal(0, space.dimension).astype(np.float32)
    kernel = np.arange(27).reshape(3, 3, 1, 3)  # the first weight: filter 1 of three is zero
    theta[kernel[..., 1].ravel()] = 0
    own = filters_of(space, theta)
    assert [len(norms) for norms in own.values()] == [3, 4, 3]
    directions = wedges.filter_normalized(theta, space.filters, 5, seed=0)
    assert directions.shape == (5, space.dimension) and directions.dtype == np.float32
    for v in directions:
        for path, norms in filters_of(space, v).items():
            np.testing.assert_allclose(norms, own[path], rtol=1e-5, err_msg=path)
        assert (v[kernel[..., 1].ravel()] == 0).all()
        for w, a in zip(space.variables, space.unflatten(tf.constant(v)), strict=True):
            assert np.any(a) == (len(a.shape) > 1), w.path
    # Independent: of many numbers each, the directions are nearly normal to one another.
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.abs(np.triu(unit @ unit.T, 1)).max() < 0.4
    np.testing.assert_array_equal(wedges.filter_normalized(theta, space.filters, 5, seed=0), directions)
    assert (wedges.filter_normalized(theta, space.filters, 5, seed=1) != directions).any()


def test_filter_normalised_by_hand():
    theta, filters = np.array([3.0, 7.0, -2.0, 4.0, 0.0]), np.array([2, -1, 0, 2, 5])
    for v in wedges.filter_normalized(theta, filters, 20, seed=0):
        assert np.hypot(v[0], v[3]) == pytest.approx(5)
        assert abs(v[2]) == pytest.approx(2) and v[1] == v[4] == 0
    for v in wedges.filter_normalized(theta, np.full(5, -1), 2, seed=0):
        assert not v.any()


def test_within_a_filter_the_direction_is_uniform():
    theta, filters = np.array([2.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])
    v = wedges.filter_normalized(theta, filters, 5000, seed=0)
    for axis in ([0, 0, 1], [1, 1, 1]):
        along = v[:, :3] @ axis / np.linalg.norm(axis) / 2
        assert stats.kstest(along, stats.uniform(-1, 2).cdf).pvalue > 1e-3, axis
    assert abs(v[:, 3].mean()) < 4 / np.sqrt(5000)  # a filter of one number is as often turned as not


@few
@given(st.integers(0, 2), st.floats(1e-3, 1e3))
def test_a_filter_scaled_up_has_its_direction_scaled_up_and_no_other(number, factor):
    filters = np.array([0, 1, 2, -1, 1, 0, 2, 2])
    theta = normal(0, 8)
    scale = np.where(filters == number, factor, 1.0)
    found = wedges.filter_normalized(scale * theta, filters, 3, seed=5)
    np.testing.assert_allclose(
        found, scale * wedges.filter_normalized(theta, filters, 3, seed=5), rtol=1e-12
    )


def test_a_relu_network_looks_the_same_at_every_scale_of_its_layers(images):
    stack = (layers.Flatten(), layers.Dense(6, "relu", use_bias=False), layers.Dense(3, use_bias=False))
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0)
    theta = landscape.space.read().numpy()
    first = np.arange(len(theta)) < 64 * 6
    profiles = []
    for factor in (1.0, 8.0):
        here = theta * np.where(first, factor, 1 / factor).astype(np.float32)
        directions = wedges.filter_normalized(here, landscape.space.filters, 2, seed=0)
        profiles.append(wedges.radial_profile(landscape, here, directions, [-1.0, 0.0, 1.0]).losses)
    np.testing.assert_allclose(*profiles, rtol=1e-5)
    assert np.ptp(profiles[0]) > 0.1


@pytest.mark.parametrize(
    ("theta", "filters", "samples", "words"),
    [
        (np.ones(3), np.zeros(2, int), 1, r"filters int64 \(2,\) and theta \(3,\)"),
        (np.ones((1, 3)), np.zeros((1, 3), int), 1, r"and theta \(1, 3\)"),
        (np.ones(3), np.zeros(3), 1, r"filters float64 \(3,\)"),
        (np.ones(3), np.zeros(3, int), 0, "samples must be a whole number, at least 1; received 0"),
        (np.ones(3), np.zeros(3, int), 1.0, "samples must be a whole number, .* received 1.0"),
    ],
)
def test_filters_that_are_not_of_theta_are_named(theta, filters, samples, words):
    with pytest.raises(ValueError, match=words):
        wedges.filter_normalized(theta, filters, samples, seed=0)


def test_whole_numbers_in_theta_do_not_round_the_directions():
    v = wedges.filter_normalized([3, 4], [0, 0], 10, seed=0)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 5)


# ---- losses along directions ----------------------------------------------------------------------


def test_a_radial_profile_of_a_quadratic_is_its_closed_form():
    h, theta = np.array([1.0, -2.0, 5.0]), np.array([0.5, 1.0, -1.0])
    v = np.array([[1.0, 0, 0], [0, 3, 0], [1, 1, 1], [-2, 0.5, 0]])  # of any length
    a = np.array([-2.0, 0.0, 0.5, 7.0])  # on both sides
    found = wedges.radial_profile(wedges.Quadratic(h, dtype="float64"), theta, v, a)
    slope, curvature = v @ (h * theta), (v**2) @ h
    expected = 0.5 * h @ theta**2 + np.outer(a, slope) + np.outer(a**2, curvature) / 2
    assert found.losses.shape == (4, 4)
    np.testing.assert_array_equal(found.distances, a)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-13)
    mean = expected.sum(axis=1) / 4
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    squares = ((expected - mean[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.spread, np.sqrt(squares / 3), rtol=1e-12, atol=1e-12)


def test_a_profile_of_many_points_is_evaluated_in_blocks_of_one_shape():
    landscape, theta, v, a = Formula(waves, 4), normal(0, 4), normal(1, 7, 4), np.linspace(-1, 2, 31)
    found = wedges.radial_profile(landscape, theta, v, a)
    np.testing.assert_allclose(found.losses, waves(theta + a[:, None, None] * v), rtol=1e-12, atol=1e-12)
    (shape,) = set(landscape.shapes)
    assert shape[0] <= 64 and 217 <= len(landscape.shapes) * shape[0] < 217 + len(landscape.shapes)


def test_the_mean_of_a_profile_shows_a_nan_and_an_infinity_and_hides_neither():
    directions = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    with np.errstate(invalid="ignore"):
        found = wedges.radial_profile(Formula(holes, 2), np.zeros(2), directions, [1.0, 0.5, 2.0, -2.0])
    nan, inf = np.nan, np.inf
    losses = [[1, 10, -1], [0.5, 5, -0.5], [nan, inf, -2], [-2, -inf, nan]]
    np.testing.assert_array_equal(found.losses, losses)
    np.testing.assert_allclose(found.mean, [10 / 3, 5 / 3, nan, nan])
    assert np.isfinite(found.spread).tolist() == [True, True, False, False]
    with np.errstate(invalid="ignore"):
        found = wedges.radial_profile(Formula(holes, 2), np.zeros(2), directions[1:], [2.0])
    assert found.mean == inf


def test_one_direction_has_no_spread():
    found = wedges.radial_profile(BOWL, np.zeros(5), np.eye(5)[2:3], [0.0, 2.0])
    np.testing.assert_array_equal(found.mean, [0, 6])
    assert found.losses.shape == (2, 1) and np.isnan(found.spread).all()


@pytest.mark.parametrize("call", [wedges.radial_profile, wedges.tunnel_width])
@pytest.mark.parametrize(
    ("theta", "directions", "words"),
    [
        (np.zeros((2, 5)), np.eye(5), r"theta must be one point \[5\]; received shape \(2, 5\)"),
        (np.full(5, np.nan), np.eye(5), "theta must be finite; received NaN or infinity"),
        (np.zeros(4), np.eye(5), r"theta must have .*received shape \(4,\)"),
        (np.zeros(5), np.ones(5), r"directions must have shape \[S, 5\]; received \(5,\)"),
        (np.zeros(5), np.ones((2, 4)), r"directions must have shape \[S, 5\]; received \(2, 4\)"),
        (np.zeros(5), np.ones((0, 5)), r"directions must have shape \[S, 5\]; received \(0, 5\)"),
    ],
)
def test_a_theta_or_directions_of_another_shape_are_named(call, theta, directions, words):
    with pytest.raises(ValueError, match=words):
        call(BOWL, theta, directions, [1.0])


def test_distances_that_are_not_finite_are_named():
    for distances in ([np.nan], [], [[1.0]]):
        with pytest.raises(ValueError, match="distances must be finite numbers"):
            wedges.radial_profile(BOWL, np.zeros(5), np.eye(5), distances)


# ---- how far a threshold is -----------------------------------------------------------------------


def test_the_width_of_a_round_bowl_is_the_root_of_twice_threshold_over_curvature():
    h, center = 3.0, normal(0, 6)
    landscape = wedges.Quadratic(np.full(6, h), center, dtype="float64")
    directions = wedges.isotropic(6, 10, seed=0, dtype="float64")
    found = wedges.tunnel_width(landscape, center, directions, 0.7)
    expected = np.sqrt(2 * 0.7 / h)
    np.testing.assert_allclose(found.distances, expected, rtol=2e-4)
    assert found.mean == pytest.approx(expected, rel=2e-4) and found.threshold == 0.7
    angle = np.degrees(np.arctan(expected / np.linalg.norm(center)))
    assert found.angle == pytest.approx(angle, rel=2e-4)
    assert found.error < 1e-3 * expected and not found.censored.any()


def test_mean_angle_and_their_errors_by_hand():
    # From (3, 4, 0), 5 from zero, 8 is crossed at 4, 2 and 1 along the axes.
    landscape = wedges.Quadratic([1.0, 4.0, 16.0], [3.0, 4.0, 0.0], dtype="float64")
    found = wedges.tunnel_width(landscape, [3.0, 4.0, 0.0], np.eye(3), 8.0)
    np.testing.assert_allclose(found.distances, [4, 2, 1], rtol=2e-4)
    assert found.mean == pytest.approx(7 / 3, rel=2e-4)
    assert found.error == pytest.approx(np.sqrt(7) / 3, rel=1e-3)  # sqrt(42/9 / 2) / sqrt(3)
    angles = np.array([38.6598, 21.8014, 11.3099])  # arctan of 0.8, 0.4, 0.2
    assert found.angle == pytest.approx(23.9237, rel=2e-4)
    error = np.sqrt(((angles - angles.mean()) ** 2).sum() / 2 / 3)
    assert found.angle_error == pytest.approx(error, rel=1e-3)
    one = wedges.tunnel_width(landscape, [3.0, 4.0, 0.0], np.eye(3)[:1], 8.0)
    assert one.mean == one.distances[0] and np.isnan([one.error, one.angle_error]).all()


positive = st.floats(0.1, 10)


@few
@given(
    st.lists(positive, min_size=4, max_size=4),
    st.lists(positive, min_size=1, max_size=4, unique=True),
    st.integers(0, 99),
)
def test_widths_of_any_bowl_are_the_closed_form_in_each_direction_and_rise_with_the_threshold(
    h, thresholds, seed
):
    v = normal(seed, 5, 4)
    thresholds = sorted(thresholds)
    landscape = wedges.Quadratic(h, dtype="float64")
    found = wedges.tunnel_width(landscape, np.zeros(4), v, thresholds, first=0.05, limit=20)
    assert [w.threshold for w in found] == thresholds
    curvature = (v**2) @ np.array(h) / np.sum(v**2, axis=1)
    for width, threshold in zip(found, thresholds, strict=True):
        # A chord over a ratio r = 1.25^(1/8) between distances: at most (r - 1)^2 / 8 too short.
        np.testing.assert_allclose(width.distances, np.sqrt(2 * threshold / curvature), rtol=1.1e-4)
        assert not width.censored.any() and width.angle == 90
    distances = np.array([w.distances for w in found])
    assert (np.diff(distances, axis=0) >= 0).all()


@few
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_a_landscape_drawn_at_another_scale_has_its_widths_at_that_scale(scale, seed):
    theta, v = normal(seed, 4), normal(seed + 1, 3, 4)
    bowl = lambda h, c: wedges.Quadratic(h, c, dtype="float64")
    h, center = np.array([1.0, 2, 3, 4]), theta + 0.1 * v[0]
    at_one = wedges.tunnel_width(bowl(h, center), theta, v, 5.0)
    scaled = wedges.tunnel_width(bowl(h * scale**2, center / scale), theta / scale, v, 5.0)
    np.testing.assert_allclose(scaled.distances, at_one.distances / scale, rtol=1e-8)
    assert scaled.angle == pytest.approx(at_one.angle, rel=1e-8)


def test_a_start_that_is_no_minimum_has_the_root_of_its_own_parabola():
    landscape = wedges.Quadratic([2.0, 1.0], dtype="float64")
    # From (1, 1), loss 1.5: 1.5 + 2 a + a^2 = 3 and 1.5 - a + a^2/2 = 3, the first root above zero.
    found = wedges.tunnel_width(landscape, [1.0, 1.0], [[5.0, 0.0], [0.0, -5.0]], 3.0)
    np.testing.assert_allclose(found.distances, [np.sqrt(2.5) - 1, 1 + 2], rtol=5e-4)


def test_widths_of_a_linear_landscape_are_exact():
    slope = np.array([3.0, 4.0])
    landscape = Formula(lambda theta: theta @ slope, 2)
    directions = [[1.0, 0], [0, 1], [3, 4], [4, -3], [-3, -4]]
    for choice in ({}, {"refinements": 0}, {"growth": 3.0, "first": 0.9}):
        found = wedges.tunnel_width(landscape, [1.0, 1.0], directions, 9.0, **choice)
        np.testing.assert_allclose(found.distances[:3], [2 / 3, 1 / 2, 2 / 5], rtol=1e-12)
        # Level and falling: never crossed, so the limit, four times |theta|, and never dropped.
        limit = 4 * np.sqrt(2)
        assert found.censored.tolist() == [False, False, False, True, True]
        np.testing.assert_array_equal(found.distances[3:], limit)
        assert found.mean == pytest.approx((2 / 3 + 1 / 2 + 2 / 5 + 2 * limit) / 5)
        angles = np.degrees(np.arctan([np.sqrt(2) / 3, np.sqrt(2) / 4, np.sqrt(2) / 5, 4, 4]))
        assert found.angle == pytest.approx(angles.mean())


def test_a_limit_is_looked_at_itself_and_nothing_beyond_it():
    landscape = Formula(lambda theta: theta[..., 0], 1)
    beyond = wedges.tunnel_width(landscape, [1.0], [[1.0]], 3.01, limit=2.0)
    assert beyond.distances == 2.0 and beyond.censored.all()
    within = wedges.tunnel_width(landscape, [1.0], [[1.0]], 2.99, limit=2.0)
    assert within.distances == pytest.approx(1.99) and not within.censored.any()
    reached = []
    landscape = Formula(lambda theta: reached.append(theta.max()) or 0 * theta[..., 0], 1)
    wedges.tunnel_width(landscape, [1.0], [[1.0]], 1.0, limit=2.0)
    assert max(reached) == 3.0
    # Up to the default limit, a fiftieth to four times |theta|: 25 distances, and theta itself.
    landscape = Formula(lambda theta: 0 * theta[..., 0], 3)
    wedges.tunnel_width(landscape, np.ones(3), np.eye(3), 1.0, refinements=0)
    assert landscape.shapes == [(3,)] + [(3, 3)] * 25


def test_the_width_of_a_toy_wedge_is_threshold_over_the_slope_of_its_short_part():
    # Two short directions, 0 and 1, where theta is far from every other wedge.
    landscape = wedges.AxisWedges(6, 4, "float64")
    theta = np.array([0.0, 0, 3, -4, 5, 6])
    v = np.array([[1.0, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0], [0.6, 0, 0, 0, 0, 0.8], [0, 0, 1, 0, 1, 0]])
    found = wedges.tunnel_width(landscape, theta, v, 0.5)
    np.testing.assert_allclose(found.distances[:3], [0.5, 0.5, 0.5 / 0.6], rtol=1e-12)
    assert found.censored.tolist() == [False, False, False, True]
    assert found.distances[3] == pytest.approx(4 * np.sqrt(86))


def test_the_first_crossing_counts_not_a_later_one():
    # 1 - cos a: above 1 between pi/2 and 3 pi/2, a valley at 2 pi, and above again after 5 pi/2.
    landscape = Formula(lambda theta: 1 - np.cos(theta[..., 0]), 1)
    for limit in (4.0, 6.5, 12.0):
        found = wedges.tunnel_width(landscape, [0.0], [[1.0], [-1.0]], 1.0, limit=limit)
        np.testing.assert_allclose(found.distances, np.pi / 2, rtol=1e-3)
        assert not found.censored.any()
    # Along one direction a ridge, along the other none till later: each has its own.
    landscape = Formula(lambda theta: np.abs(np.where(theta > 0, np.sin(theta), theta / 4))[..., 0], 1)
    found = wedges.tunnel_width(landscape, [0.0], [[1.0], [-1.0]], [0.5, 0.9], limit=10.0)
    np.testing.assert_allclose(found[0].distances, [np.pi / 6, 2.0], rtol=1e-3)
    np.testing.assert_allclose(found[1].distances, [np.arcsin(0.9), 3.6], rtol=2e-3)


def test_several_thresholds_are_as_each_alone():
    landscape = wedges.Quadratic([1.0, 9.0, 0.0], dtype="float64")
    together = wedges.tunnel_width(landscape, np.zeros(3), np.eye(3), [2.0, 0.5, 50.0], limit=5.0)
    assert len(together) == 3
    for found, threshold in zip(together, [2.0, 0.5, 50.0], strict=True):
        alone = wedges.tunnel_width(landscape, np.zeros(3), np.eye(3), threshold, limit=5.0)
        np.testing.assert_allclose(found.distances, alone.distances, rtol=1e-12)
        np.testing.assert_array_equal(found.censored, alone.censored)
        expected = np.minimum([np.sqrt(2 * threshold), np.sqrt(2 * threshold) / 3, 5], 5)
        np.testing.assert_allclose(found.distances, expected, rtol=2e-4)
    assert together[2].censored.tolist() == [True, False, True]
    (only,) = wedges.tunnel_width(landscape, np.zeros(3), np.eye(3), [2.0], limit=5.0)
    np.testing.assert_array_equal(only.distances, together[0].distances)


def test_nan_before_the_crossing_is_nan_and_after_it_does_not_matter():
    landscape = Formula(lambda theta: np.where(theta > 2, np.nan, theta**2)[..., 0], 1)
    v = [[1.0], [-1.0]]  # NaN beyond 2 along the first, nowhere along the other
    early, late = wedges.tunnel_width(landscape, [0.0], v, [1.0, 9.0], limit=20.0)
    np.testing.assert_allclose(early.distances, 1, rtol=2e-4)
    assert early.mean == pytest.approx(1, rel=2e-4) and np.isfinite(early.error)
    assert np.isnan(late.distances[0]) and late.distances[1] == pytest.approx(3, rel=2e-4)
    assert np.isnan([late.mean, late.error, late.angle, late.angle_error]).all()
    assert not late.censored.any()
    everywhere = Formula(lambda theta: np.where(theta == 0, 0, np.nan)[..., 0], 1)
    assert np.isnan(wedges.tunnel_width(everywhere, [0.0], v, 1.0, limit=1.0).distances).all()
    assert len(everywhere.shapes) == 2 + 3  # theta, one distance and its refinements: no march on


@pytest.mark.parametrize("refinements", [0, 3, 6])
def test_infinity_is_above_any_threshold(refinements):
    cliff = Formula(lambda theta: np.where(theta > 2, np.inf, 0)[..., 0], 1)
    found = wedges.tunnel_width(cliff, [0.0], [[1.0]], 5.0, limit=9.0, refinements=refinements)
    assert 2 / 1.25 ** (0.5**refinements) <= found.distances[0] <= 2 and not found.censored.any()


def test_directions_of_any_length_lead_equally_far():
    landscape, theta = wedges.Quadratic(np.arange(1.0, 5), dtype="float64"), normal(0, 4)
    v = wedges.isotropic(4, 6, seed=0, dtype="float64")
    lengths = 10.0 ** np.array([-30, -3, 0, 1, 6, 30])[:, None]
    once, again = (wedges.tunnel_width(landscape, theta, d, 20.0) for d in (v, lengths * v))
    np.testing.assert_allclose(again.distances, once.distances, rtol=1e-12)


def test_a_crossing_before_the_first_distance_lies_before_it():
    landscape = Formula(lambda theta: np.abs(theta)[..., 0], 1)
    found = wedges.tunnel_width(landscape, [0.0], [[1.0]], 0.01, first=1.0, limit=5.0)
    assert found.distances == pytest.approx(0.01)
    at_once = wedges.tunnel_width(landscape, [0.0], [[1.0]], 0.0, limit=5.0)  # at the loss of theta
    assert at_once.distances == 0 and not at_once.censored.any()


def test_zero_refinements_leave_a_chord_over_the_whole_interval():
    # a^2 at 1, 2, 4: 9 is between 4 and 16, 5/12 of the way from 2 to 4.
    landscape = Formula(lambda theta: theta[..., 0] ** 2, 1)
    choice = {"first": 1.0, "growth": 2.0, "limit": 100.0}
    coarse = wedges.tunnel_width(landscape, [0.0], [[1.0]], 9.0, **choice, refinements=0)
    assert coarse.distances == pytest.approx(2 + 2 * 5 / 12)
    # Halved by ratio, at sqrt(8): 8, so between it and 4.
    finer = wedges.tunnel_width(landscape, [0.0], [[1.0]], 9.0, **choice, refinements=1)
    assert finer.distances == pytest.approx(np.sqrt(8) + (4 - np.sqrt(8)) / 8)


ONES = np.ones(5)  # loss 7.5, length 2.24


@pytest.mark.parametrize(
    ("theta", "directions", "threshold", "choice", "words"),
    [
        (ONES, np.eye(5), 7.0, {}, "threshold must be at least the loss at theta, 7.5; received 7.0"),
        (ONES, np.eye(5), [9.0, 7.0], {}, r"the loss at theta, 7.5; received \[9.0, 7.0\]"),
        (ONES, np.eye(5), np.nan, {}, "the loss at theta, 7.5; received nan"),
        (ONES, np.zeros((1, 5)), 9.0, {}, "directions must be finite and of a length above 0"),
        (ONES, np.full((1, 5), np.nan), 9.0, {}, "directions must be finite and of a length above 0"),
        (ONES, np.full((1, 5), np.inf), 9.0, {}, "directions must be finite and of a length above 0"),
        (0 * ONES, np.eye(5), 9.0, {}, "at theta = 0 a limit must be given.*limit=0.0"),
        (ONES, np.eye(5), 9.0, {"growth": 1.0}, "growth > 1 .*received .*growth=1.0"),
        (ONES, np.eye(5), 9.0, {"growth": 0.5}, "growth > 1 .*received .*growth=0.5"),
        (ONES, np.eye(5), 9.0, {"growth": np.nan}, "growth > 1 .*received .*growth=nan"),
        (ONES, np.eye(5), 9.0, {"first": 3.0, "limit": 2.0}, "first=3.0, limit=2.0"),
        (ONES, np.eye(5), 9.0, {"first": -1.0}, "first=-1.0"),
        (ONES, np.eye(5), 9.0, {"limit": np.inf}, "limit=inf"),
        (ONES, np.eye(5), 9.0, {"limit": -1.0}, "limit=-1.0"),
    ],
)
def test_a_width_without_a_range_or_a_threshold_is_refused(theta, directions, threshold, choice, words):
    with pytest.raises(ValueError, match=words):
        wedges.tunnel_width(BOWL, theta, directions, threshold, **choice)


def test_a_loss_of_nan_at_theta_is_named():
    with pytest.raises(ValueError, match="the loss at theta, nan; received 1.0"):
        wedges.tunnel_width(Formula(holes, 2), [2.0, 0.0], np.eye(2), 1.0)


# ---- a network stays as it is ---------------------------------------------------------------------

PROBES = {
    "line": lambda landscape, theta: probe.line(landscape, theta, theta + 1, 3),
    "plane": lambda landscape, theta: probe.plane(
        landscape, wedges.random_cut(theta, 2, seed=0), [0.0, 1.0], [1.0]
    ),
    "radial_profile": lambda landscape, theta: wedges.radial_profile(
        landscape,
        theta,
        wedges.filter_normalized(theta, landscape.space.filters, 2, seed=0),
        [0.5, 1.0],
    ),
    "tunnel_width": lambda landscape, theta: wedges.tunnel_width(
        landscape, theta, wedges.isotropic(len(theta), 2, seed=0), 1e3, growth=10.0, refinements=1
    ),
}


def test_no_probe_changes_the_model(images):
    model = batch_norm()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    before = [np.array(v) for v in model.variables]
    theta = landscape.space.read().numpy()
    given = theta.copy()
    for name, call in PROBES.items():
        call(landscape, theta)
        np.testing.assert_array_equal(theta, given, err_msg=name)
        for v, old in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(v, old, err_msg=f"{name}, {v.path}")


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_that_raises_changes_the_model(name, images):
    model = plain()

    def broken(y, outputs):
        if not tf.executing_eagerly():  # a landscape looks at a few examples when it is made
            raise RuntimeError("a user's loss")
        return tf.reduce_sum(outputs, axis=-1)

    landscape = wedges.NetworkLandscape(model, *images, broken, seed=0)
    before = [np.array(v) for v in model.variables]
    with pytest.raises(RuntimeError, match="a user's loss"):
        PROBES[name](landscape, landscape.space.read().numpy())
    for v, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v, old)
