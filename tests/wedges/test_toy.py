"""The toy landscapes against every wedge by brute force, in numpy float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
# Few shapes: each is compiled.
D, N = 6, 2
S = D - N
VARIANTS = {
    "axis": lambda n=N, dtype="float64": wedges.AxisWedges(D, n, dtype=dtype),
    "rotated": lambda n=N, dtype="float64": wedges.RotatedWedges(D, n, seed=1, dtype=dtype),
    "random": lambda n=N, dtype="float64": wedges.RandomWedges(D, n, 3, seed=2, dtype=dtype),
}
variants = pytest.mark.parametrize("variant", VARIANTS)
numbers = st.floats(-10, 10).map(lambda x: round(x, 3))
points = st.lists(numbers, min_size=D, max_size=D).map(np.array)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def every_wedge(landscape):
    """Bases of all its wedges: [(n, D) array, ...], orthonormal rows."""
    if isinstance(landscape, wedges.RandomWedges):
        normals = landscape.normals.numpy().astype(np.float64)  # [K, s, D]
        return [np.linalg.svd(rows)[2][len(rows) :] for rows in normals]
    turn = np.eye(landscape.dimension)
    if isinstance(landscape, wedges.RotatedWedges):
        turn = landscape.rotation.directions.rows.numpy().astype(np.float64)
    return [turn[list(kept)] for kept in itertools.combinations(range(landscape.dimension), landscape.n)]


def distances(landscape, theta):
    """From theta [..., D] to every wedge, by projection: [..., wedges]."""
    theta = np.asarray(theta, np.float64)
    off = [theta - theta @ rows.T @ rows for rows in every_wedge(landscape)]
    return np.linalg.norm(np.stack(off, axis=-2), axis=-1)


# ---- the value ------------------------------------------------------------------------------------


@variants
@pytest.mark.parametrize("n", range(D + 1))
def test_it_is_the_distance_to_the_nearest_of_all_wedges(variant, n):
    landscape, theta = VARIANTS[variant](n), normal(n, 20, D)
    found = distances(landscape, theta)
    np.testing.assert_allclose(landscape(theta), found.min(-1), rtol=1e-10, atol=1e-13)
    if variant == "random":
        np.testing.assert_allclose(landscape.distances(theta), found, rtol=1e-10, atol=1e-13)
        assert n in (0, D) or len(set(found.argmin(-1))) == 3  # each of them is nearest somewhere


@few
@given(points)
def test_any_point_is_as_far_as_its_smallest_components_say(p):
    expected = np.sqrt(np.sort(p**2)[:S].sum())
    np.testing.assert_allclose(VARIANTS["axis"]()(p), expected, rtol=1e-14)
    single = VARIANTS["axis"](dtype="float32")
    np.testing.assert_allclose(single(p.astype(np.float32)), expected, rtol=1e-6)


@variants
def test_a_scaled_point_has_a_scaled_loss(variant):
    landscape = VARIANTS[variant]()

    @few
    @given(points, st.sampled_from([-1e100, -3.0, 0.0, 1e-100, 7.0]))
    def check(p, c):
        np.testing.assert_allclose(landscape(c * p), abs(c) * landscape(p), rtol=1e-12)

    check()


@few
@given(st.lists(st.sampled_from([0.0, -0.0, 1e-300, 2.0, -5.0]), min_size=D, max_size=D))
def test_the_loss_is_zero_just_where_at_least_s_components_are(p):
    assert (VARIANTS["axis"]()(p).numpy() == 0) == (np.sum(np.array(p) == 0) >= S)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@variants
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_no_square_over_or_underflows(variant, scale, dtype):
    landscape, p = VARIANTS[variant](dtype=dtype), normal(0, D).astype(dtype)
    p = (p * scale).astype(dtype)
    expected = distances(landscape, p.astype(np.float64) / scale).min() * scale
    loss, gradient = landscape.value_and_gradient(p)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert loss.dtype == dtype
    np.testing.assert_allclose(landscape(p), expected, rtol=rtol)
    np.testing.assert_allclose(loss, expected, rtol=rtol)
    np.testing.assert_allclose(np.linalg.norm(gradient), 1, rtol=rtol)


def test_one_large_component_among_small_ones_is_left_out_exactly():
    p = np.array([1e30, 3e-30, -1e25, 4e-30, 0, 0], np.float32)
    np.testing.assert_allclose(wedges.AxisWedges(D, N)(p), 5e-30, rtol=1e-6)


def test_the_rotated_wedges_are_the_axis_aligned_ones_turned():
    rotated, axis, p = VARIANTS["rotated"](), VARIANTS["axis"](), normal(0, 20, D)
    turn = rotated.rotation.directions.rows.numpy()
    np.testing.assert_allclose(turn @ turn.T, np.eye(D), atol=1e-14)
    assert np.abs(turn).max() < 0.99  # and not a permutation
    np.testing.assert_allclose(rotated(p), axis(p @ turn.T), rtol=1e-12)
    # Its zeros are D-choose-n planes of n dimensions: points in them, and in no sum of two.
    planes = every_wedge(rotated)
    assert len(planes) == 15
    for rows in planes:
        np.testing.assert_allclose(rotated(normal(1, 20, N) @ rows), 0, atol=1e-13)
    assert rotated(normal(1, N) @ planes[0] + normal(2, N) @ planes[-1]) > 0.1


def test_random_wedges_are_random_and_follow_from_their_seed():
    first, again, other = (wedges.RandomWedges(200, 190, 4, seed=s).normals.numpy() for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    gram = np.einsum("asd,btd->abst", first, first)
    np.testing.assert_allclose(gram[range(4), range(4)], np.eye(10)[None].repeat(4, 0), atol=1e-6)
    # Of two random planes every cosine is about sqrt(1/D) = 0.07.
    for a, b in itertools.combinations(range(4), 2):
        assert np.abs(gram[a, b]).max() < 0.35
    assert np.abs(np.einsum("asd,btd->abst", first, other)).max() < 0.4
    assert abs(np.sqrt(200) * first.mean()) < 4 / np.sqrt(first.size)


# ---- gradient and curvature -----------------------------------------------------------------------


@variants
def test_the_gradient_is_the_tapes_and_the_difference_quotients_and_of_length_one(variant):
    landscape, theta = VARIANTS[variant](), normal(5, 20, D)
    loss, gradient = landscape.value_and_gradient(theta)
    np.testing.assert_allclose(loss, landscape(theta), rtol=1e-14)
    theta = tf.constant(theta)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        taped = landscape(theta)
    np.testing.assert_allclose(tape.gradient(taped, theta), gradient, atol=1e-13)
    h = 1e-6 * np.eye(D)
    quotients = (landscape(theta[:, None] + h) - landscape(theta[:, None] - h)) / 2e-6
    np.testing.assert_allclose(gradient, quotients, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=-1), 1, rtol=1e-12)


@few
@given(points)
def test_the_gradient_has_length_one_wherever_the_components_differ(p):
    size = np.sort(np.abs(p))
    loss, gradient = VARIANTS["axis"]().value_and_gradient(p)
    if loss > 0 and size[S - 1] < size[S]:
        np.testing.assert_allclose(np.linalg.norm(gradient), 1, rtol=1e-13)
    assert np.isfinite(gradient).all()


@variants
def test_the_gradient_is_zero_where_the_loss_is(variant):
    landscape = VARIANTS[variant]()
    for theta in np.zeros(D), (0 if variant == "random" else 1) * every_wedge(landscape)[0][0]:
        if variant == "rotated" and theta.any():
            continue  # zero there but for rounding
        loss, gradient = landscape.value_and_gradient(theta)
        np.testing.assert_array_equal([loss, *gradient], 0)
        variable = tf.constant(theta)
        with tf.GradientTape() as tape:
            tape.watch(variable)
            loss = landscape(variable)
        np.testing.assert_array_equal(tape.gradient(loss, variable), 0)
        for values in landscape.jet(theta, np.ones(D)):
            assert np.isfinite(values)


def test_ties_share_the_last_places_equally():
    landscape = wedges.AxisWedges(5, 2, "float64")  # s = 3: 1 and two of the three twos
    p = np.array([2.0, 1.0, -2.0, 7.0, 2.0])
    choices = [[0, 2], [0, 4], [2, 4]]
    mean = np.mean([np.where(np.isin(range(5), [1, *c]), p, 0) / 3 for c in choices], axis=0)
    with tf.GradientTape() as tape:
        theta = tf.constant(p)
        tape.watch(theta)
        loss = landscape(theta)
    assert loss == 3.0
    np.testing.assert_allclose(tape.gradient(loss, theta), mean, rtol=1e-14)
    value, gradient = landscape.value_and_gradient(p)
    assert value == 3.0
    np.testing.assert_allclose(gradient, mean, rtol=1e-14)


@variants
def test_curvature_is_that_of_the_nearest_wedge(variant):
    landscape, theta, p = VARIANTS[variant](), normal(6, 20, D), normal(7, 20, D)
    rows = [every_wedge(landscape)[i] for i in distances(landscape, theta).argmin(-1)]
    short = np.stack(
        [np.eye(D) - r.T @ r for r in rows]
    )  # projectors on the short directions [20, D, D]
    loss = np.sqrt(np.einsum("bi,bij,bj->b", theta, short, theta))
    slope = np.einsum("bi,bij,bj->b", theta, short, p) / loss
    bowl = np.einsum("bi,bij,bj->b", p, short, p)
    squared = wedges.Squared(landscape)
    for found, expected in (
        (squared.jet(theta, p)[2], bowl),
        (landscape.jet(theta, p)[2], (bowl - slope**2) / loss),
        (landscape.jet(theta, p)[0], loss),
        (landscape.jet(theta, p)[1], slope),
        (squared.jet(theta, p)[1], loss * slope),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    if variant == "axis":  # the sum of p_i^2 over the selected
        by_size = np.argsort(np.abs(theta), axis=-1)[:, :S]
        by_hand = np.sum(np.take_along_axis(p, by_size, -1) ** 2, -1)
        np.testing.assert_allclose(squared.jet(theta, p)[2], by_hand, rtol=1e-12)


@variants
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_curvature_of_the_square_does_not_depend_on_scale(variant, scale):
    landscape, theta, p = VARIANTS[variant](dtype="float32"), normal(6, D), normal(7, D)
    expected = wedges.Squared(VARIANTS[variant]()).jet(theta, p)[2]
    found = wedges.Squared(landscape).jet(scale * theta, p)[2]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


# ---- batches, extremes, errors --------------------------------------------------------------------


@variants
@pytest.mark.parametrize("batch", [(20,), (2, 3)])
def test_a_batch_is_its_rows(variant, batch):
    landscape, theta = VARIANTS[variant](), normal(8, *batch, D)
    p = normal(9, *batch, D)
    loss, gradient = landscape.value_and_gradient(theta)
    jet = landscape.jet(theta, p)
    assert loss.shape == batch and gradient.shape == (*batch, D)
    for i in np.ndindex(batch):
        alone = landscape.value_and_gradient(theta[i])
        np.testing.assert_allclose(landscape(theta)[i], alone[0], rtol=1e-13)
        np.testing.assert_allclose(loss[i], alone[0], rtol=1e-13)
        np.testing.assert_allclose(gradient[i], alone[1], atol=1e-13)
        np.testing.assert_allclose([v[i] for v in jet], landscape.jet(theta[i], p[i]), rtol=1e-10)


@variants
def test_without_long_directions_it_is_the_norm_and_with_all_zero(variant):
    p = normal(9, 20, D)
    norm, flat = VARIANTS[variant](0), VARIANTS[variant](D)
    np.testing.assert_allclose(norm(p), np.linalg.norm(p, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(
        norm.value_and_gradient(p)[1], p / np.linalg.norm(p, axis=-1, keepdims=True), rtol=1e-10
    )
    loss, gradient = flat.value_and_gradient(p)
    np.testing.assert_array_equal(flat(p), np.zeros(20))
    np.testing.assert_array_equal(loss, np.zeros(20))
    np.testing.assert_array_equal(gradient, np.zeros((20, D)))
    np.testing.assert_array_equal(flat.jet(p, p), np.zeros((3, 20)))


@variants
@pytest.mark.parametrize("n", [0, N, D])
def test_nan_gives_nan_in_its_row_only(variant, n):
    landscape, p = VARIANTS[variant](n), normal(0, 2, D)
    p[0, 3] = np.nan
    for loss in (landscape(p), landscape.value_and_gradient(p)[0]):
        assert np.isnan(loss[0]) and np.isfinite(loss[1])
    p[0, 1] = np.inf
    assert np.isnan(landscape(p)[0])
    if n < D:
        assert np.isnan(landscape.value_and_gradient(p)[1][0]).any()
        assert np.isnan(landscape.jet(p, np.ones_like(p))[0][0])


def test_infinities_count_among_the_largest():
    p = [1.0, -np.inf, 2.0, np.inf]
    assert wedges.AxisWedges(4, 2)(p) == np.float32(np.sqrt(5))
    for n, expected in ((0, np.inf), (1, np.inf), (4, 0.0)):
        assert wedges.AxisWedges(4, n)(p) == expected
        assert wedges.AxisWedges(4, n).value_and_gradient(p)[0] == expected


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: wedges.AxisWedges(4, -1), "n must be a whole number from 0 to D = 4; received -1"),
        (lambda: wedges.AxisWedges(4, 5), "n must be .* from 0 to D = 4; received 5"),
        (lambda: wedges.RotatedWedges(4, 2.0, seed=0), "n must be a whole .*received 2.0"),
        (lambda: wedges.RandomWedges(4, True, 1, seed=0), "n must be a whole .*received True"),
        (lambda: wedges.AxisWedges(0, 0), "dimension must be a whole number, at least 1; received 0"),
        (
            lambda: wedges.RandomWedges(4, 2, 0, seed=0),
            "k must be a whole number, at least 1; received 0",
        ),
        (lambda: wedges.RandomWedges(4, 2, 1.5, seed=0), "k must be a whole .*received 1.5"),
        (lambda: wedges.AxisWedges(4, 2, "float16"), "float32 or float64; received float16"),
        (lambda: wedges.RandomWedges(4, 2, 1, seed=-1), "seed must .*received -1"),
        (lambda: wedges.AxisWedges(4, 2)(np.zeros(3)), r"theta must have .*received shape \(3,\)"),
    ],
)
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()


# ---- short directions -----------------------------------------------------------------------------


@variants
def test_on_one_wedge_the_short_directions_are_its_normals(variant):
    landscape = VARIANTS[variant]()
    rows = every_wedge(landscape)[1]
    theta = [3.0, -2.0] @ rows
    short = landscape.short_directions(theta, 1e-6)
    assert short.shape == (S, D)
    np.testing.assert_allclose(short @ short.T, np.eye(S), atol=1e-12)
    np.testing.assert_allclose(short @ rows.T, 0, atol=1e-12)
    assert landscape.short_directions(theta + 1e-3 * normal(0, D), 1e-6).shape == (0, D)


def test_where_two_random_wedges_cross_there_are_twice_as_many():
    landscape = wedges.RandomWedges(40, 34, 5, seed=0, dtype="float64")
    normals = landscape.normals.numpy()[[1, 3]].reshape(12, 40)
    theta = normal(0, 40)
    theta -= np.linalg.pinv(normals) @ (normals @ theta)
    short = landscape.short_directions(theta, 1e-9)
    assert short.shape == (12, 40)
    np.testing.assert_allclose(short @ short.T, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(normals - normals @ short.T @ short, 0, atol=1e-12)
    assert landscape.short_directions(np.zeros(40), 1e-9).shape == (30, 40)


@variants
def test_they_are_the_normals_of_every_wedge_within_the_tolerance(variant):
    landscape = VARIANTS[variant]()
    theta = normal(3, D)
    for tolerance in sorted(distances(landscape, theta))[::2]:
        tolerance *= 1 + 1e-9
        near = [
            np.eye(D) - rows.T @ rows
            for rows, distance in zip(every_wedge(landscape), distances(landscape, theta), strict=True)
            if distance <= tolerance
        ]
        expected = np.linalg.matrix_rank(np.concatenate(near), tol=1e-9)
        short = landscape.short_directions(theta, tolerance)
        assert len(short) == expected
        np.testing.assert_allclose(np.concatenate(near) @ (np.eye(D) - short.T @ short), 0, atol=1e-9)


def test_small_components_make_no_wedge_near_that_is_not():
    landscape = wedges.AxisWedges(3, 1)
    assert len(landscape.short_directions([0.8, 0.8, 5.0], 1.0)) == 0  # 1.13 away
    assert len(landscape.short_directions([0.0, 0.9, 0.8], 1.0)) == 3


# ---- random displacements -------------------------------------------------------------------------


@variants
def test_a_random_displacement_adds_its_share_of_the_short_directions(variant):
    """E[L^2] = L0^2 + a^2 s / D while the selected set stays, scatter of the a^2 term sqrt(2 / s)."""
    dimension, n = 400, 300
    s, rng = dimension - n, np.random.default_rng(0)
    build = {
        "axis": lambda: wedges.AxisWedges(dimension, n, "float64"),
        "rotated": lambda: wedges.RotatedWedges(dimension, n, seed=0, dtype="float64"),
        "random": lambda: wedges.RandomWedges(dimension, n, 4, seed=0, dtype="float64"),
    }
    landscape = build[variant]()
    # Long components of 1, short ones of 0.001; a = 1 moves each by 0.05.
    if variant == "random":
        rows = landscape.normals.numpy()[2]
        theta = 20 * normal(1, dimension)
        theta -= theta @ rows.T @ rows - 1e-3 * normal(2, s) @ rows
    else:
        theta = np.where(np.arange(dimension) < s, 1e-3, 1.0) * rng.choice([-1, 1], dimension)
        if variant == "rotated":
            theta = theta @ landscape.rotation.directions.rows.numpy()
    v = rng.standard_normal((2000, dimension))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    first = landscape(theta).numpy() ** 2
    for a in (0.01, 1.0):
        squares = landscape(theta + a * v).numpy() ** 2
        error = squares.std(ddof=1) / np.sqrt(len(v))
        assert abs(squares.mean() - first - a**2 * s / dimension) < 4 * error
    grown = (squares - first) / (s / dimension)
    # Of a share of a unit vector: sqrt(2 / s) but for the long directions' part, sqrt((D - s) / D).
    assert grown.std() == pytest.approx(np.sqrt(2 / s * n / dimension), rel=0.1)
