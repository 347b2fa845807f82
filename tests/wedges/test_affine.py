"""Affine subspaces against dense projections in numpy, float64."""

import hashlib
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wedges
from wedges.affine import AffineSubspace, Complement, Repeated, Span, Transform

ROOT = pathlib.Path(__file__).parents[2]
D = 11
EXACT = {"float32": 2e-6, "float64": 1e-14}
few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
dtypes = pytest.mark.parametrize("dtype", EXACT)
KINDS = ["span", "spanned", "complement", "transform"]
kinds = pytest.mark.parametrize("kind", KINDS)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def make(kind, dtype="float64", d=4):
    """A subspace, its origin and a dense projector [D, D] on its directions, both in float64."""
    origin, vectors = normal(1, D).astype(dtype), normal(2, D - d if kind == "complement" else d, D)
    if kind == "span":
        subspace = wedges.random_cut(origin, d, seed=3, method="dense")
        vectors = np.array(subspace.directions.rows, np.float64)
    elif kind == "spanned":
        subspace = AffineSubspace(origin, vectors)
    elif kind == "complement":
        subspace = wedges.normal_plane(origin, vectors)
    else:
        subspace = wedges.random_cut(origin, d, seed=3, method="transform")
        vectors = columns(D, d, 3).T
    projector = np.linalg.pinv(vectors) @ vectors
    if kind == "complement":
        projector = np.eye(D) - projector
    return subspace, origin.astype(np.float64), projector


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 1.6e-2)])
def test_a_transform_of_half_precision_is_that_of_its_formula(dtype, tolerance):
    ambient, d = 31, 4
    cut = wedges.random_cut(tf.zeros([ambient], dtype), d, seed=3, method="transform")
    exact, z = columns(ambient, d, 3), normal(0, d)
    theta = cut.embed(z)
    assert theta.dtype == cut.dtype == tf.as_dtype(dtype)
    scale = tolerance * np.abs(z).max()
    np.testing.assert_allclose(np.array(theta, np.float64), exact @ z, atol=scale)
    np.testing.assert_allclose(np.array(cut.coordinates(theta), np.float64), z, atol=2 * scale)
    with tf.GradientTape() as tape:
        at = tf.cast(z, dtype)
        tape.watch(at)
        first = cut.embed(at)[0]
    np.testing.assert_allclose(np.array(tape.gradient(first, at), np.float64), exact[0], atol=tolerance)


def columns(ambient, d, seed):
    """The transform's directions as the columns [D, d] of a matrix, by the formula of a cosine
    transform."""
    transform = Transform(ambient, d, seed=seed, dtype="float64")
    before, after = np.array(transform.signs, float)
    k, place = np.arange(ambient)[:, None], np.arange(ambient)
    cosines = np.cos(np.pi * k * (2 * place + 1) / (2 * ambient)) * np.sqrt(2 / ambient)
    cosines[0] = ambient**-0.5
    tile = (place[:, None] % d == np.arange(d)).astype(float)  # [D, d]
    tile /= np.linalg.norm(tile, axis=0)
    return after[:, None] * (cosines @ (before[:, None] * tile))


@dtypes
@kinds
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_points_are_projected_as_by_a_dense_matrix(kind, dtype, batch):
    subspace, origin, projector = make(kind, dtype)
    theta = normal(4, *batch, D).astype(dtype)
    expected = origin + (theta - origin) @ projector
    near = {"rtol": 0, "atol": 5 * EXACT[dtype]}
    assert (subspace.ambient, subspace.dimension, subspace.dtype.name) == (D, 4, dtype)
    z = subspace.coordinates(theta)
    assert z.shape == (*batch, subspace.parameters)
    np.testing.assert_allclose(subspace.project(theta), expected, **near)
    np.testing.assert_allclose(subspace.embed(z), expected, **near)
    distance = np.linalg.norm(theta - expected, axis=-1)
    np.testing.assert_allclose(subspace.distance(theta), distance, **near)
    np.testing.assert_allclose(
        subspace.length(z), np.linalg.norm(expected - origin, axis=-1), rtol=20 * EXACT[dtype]
    )
    # Any coordinates lead to a point of it, as far from the origin as `length` says.
    z = normal(5, *batch, subspace.parameters).astype(dtype)
    step = np.array(subspace.embed(z), np.float64) - origin
    np.testing.assert_allclose(step @ projector, step, **near)
    np.testing.assert_allclose(subspace.length(z), np.linalg.norm(step, axis=-1), rtol=20 * EXACT[dtype])


@kinds
def test_lower_is_the_transpose_of_lift(kind):
    directions = make(kind)[0].directions
    lift = directions.lift(tf.eye(directions.parameters, dtype="float64"))
    np.testing.assert_allclose(
        directions.lower(tf.eye(D, dtype="float64")), tf.transpose(lift), atol=1e-15
    )


@kinds
def test_gradients_pass_through_both(kind):
    directions = make(kind)[0].directions
    matrix = directions.lift(tf.eye(directions.parameters, dtype="float64")).numpy()  # [p, D]
    for call, rows in ((directions.lift, matrix), (directions.lower, matrix.T)):
        x, up = tf.constant(normal(6, 3, rows.shape[0])), normal(7, 3, rows.shape[1])
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(call(x) ** 2 * up)
            gradient = tape.gradient(y, x)
            again = tf.reduce_sum(gradient * x)
        values = x.numpy() @ rows
        np.testing.assert_allclose(gradient, 2 * (values * up) @ rows.T, rtol=1e-10)
        np.testing.assert_allclose(outer.gradient(again, x), 4 * (values * up) @ rows.T, rtol=1e-10)


def test_many_cuts_at_once_are_as_each_alone():
    origins, theta, z = normal(0, 3, D), normal(1, 3, D), normal(2, 3, 4)
    together = wedges.random_cut(origins, 4, seed=[7, 8, 7])
    found = [f(x) for f, x in ((together.project, theta), (together.embed, z))]
    for i, seed in enumerate((7, 8, 7)):
        alone = wedges.random_cut(origins[i], 4, seed=seed)
        np.testing.assert_allclose(found[0][i], alone.project(theta[i]), atol=1e-14)
        np.testing.assert_allclose(found[1][i], alone.embed(z[i]), atol=1e-14)
        np.testing.assert_allclose(together.distance(theta)[i], alone.distance(theta[i]), atol=1e-14)
    rows = together.directions.rows.numpy()
    np.testing.assert_array_equal(rows[0], rows[2])
    # Two random planes of 4 among 11 dimensions share no direction.
    assert np.linalg.svd(rows[0] @ rows[1].T)[1].max() < 0.999
    parallel = wedges.normal_plane(origins, normal(3, 2, D))
    np.testing.assert_allclose(parallel.distance(parallel.project(theta)), 0, atol=1e-14)


@few
@given(st.integers(1, 40), st.data())
def test_every_transform_has_the_orthonormal_columns_of_its_formula(ambient, data):
    d, seed = data.draw(st.integers(1, ambient)), data.draw(st.integers(0, 10))
    transform = Transform(ambient, d, seed=seed, dtype="float64")
    lift = transform.lift(tf.eye(d, dtype="float64")).numpy()
    np.testing.assert_allclose(lift @ lift.T, np.eye(d), atol=1e-13)
    np.testing.assert_allclose(lift.T, columns(ambient, d, seed), atol=1e-13)


@pytest.mark.parametrize(
    ("ambient", "d"), [(97, 97), (101, 1), (1, 1), (2, 1), (10, 9), (1009, 127), (1000, 8)]
)
@dtypes
def test_awkward_transforms_have_orthonormal_columns(ambient, d, dtype):
    transform = Transform(ambient, d, seed=0, dtype=dtype)
    lift = transform.lift(tf.eye(d, dtype=dtype)).numpy().astype(np.float64)
    np.testing.assert_allclose(lift @ lift.T, np.eye(d), atol=5 * EXACT[dtype])


def vectors(ambient):
    """Unit vectors that a network's directions may be like, or that a transform may favour."""
    places = np.arange(ambient) / ambient
    named = {
        "coordinate": np.eye(ambient)[371 * ambient // 1000],
        "constant": np.ones(ambient),
        "smooth": np.exp(-((places - 0.5) ** 2) / 0.03),
        "wave": np.cos(6 * np.pi * places),
        "random": normal(0, ambient),
    }
    return {name: v / np.linalg.norm(v) for name, v in named.items()}


@pytest.mark.parametrize(
    ("method", "ambient", "d", "cuts"),
    [("dense", 200, 10, 300), ("transform", 1000, 50, 500), ("transform", 997, 50, 500)],
)
def test_a_fixed_vector_meets_random_cuts_as_a_random_vector_would(method, ambient, d, cuts):
    """|lower(v)|^2 is Beta(d/2, (D - d)/2): mean d/D, variance 2 d (D - d) / (D^2 (D + 2))."""
    names, v = zip(*vectors(ambient).items(), strict=True)
    v = tf.constant(np.stack(v))
    make = lambda seed: wedges.random_cut(np.zeros(ambient), d, seed=seed, method=method).directions
    shares = np.array([tf.reduce_sum(make(s).lower(v) ** 2, -1) for s in range(cuts)])
    variance = 2 * d * (ambient - d) / (ambient**2 * (ambient + 2))
    for name, mean, found in zip(names, shares.mean(0), shares.var(0, ddof=1), strict=True):
        # Four standard errors: of the mean, and of the variance of something near Gaussian.
        assert abs(mean - d / ambient) < 4 * np.sqrt(variance / cuts), name
        assert abs(found / variance - 1) < 4 * np.sqrt(2 / cuts) + 0.05, (name, found / variance)


def test_entries_of_a_transforms_directions_are_near_gaussian():
    ambient, d = 2000, 40  # each a sum over 50 places
    lift = Transform(ambient, d, seed=0, dtype="float64").lift(tf.eye(d, dtype="float64"))
    entries = np.sqrt(ambient) * lift.numpy()
    # d D entries, of which about D are independent for each direction.
    assert stats.kstest(entries.ravel(), "norm").statistic < 0.01
    assert abs(stats.kurtosis(entries.ravel())) < 0.15
    assert np.abs(entries).max() < 6
    z = normal(1, d)
    mixed = (
        np.sqrt(ambient) * Transform(ambient, d, seed=1, dtype="float64").lift(tf.constant(z)).numpy()
    )
    assert stats.kstest(mixed / np.linalg.norm(z), "norm").pvalue > 0.01


PRINT_HASH = """
import hashlib, numpy as np, wedges
for method in ("dense", "transform"):
    cut = wedges.random_cut(np.zeros(101), 7, seed=5, method=method)
    print(hashlib.sha256(np.array(cut.embed(np.eye(7)))).hexdigest())
"""


def test_a_seed_is_the_same_cut_in_another_process_and_another_seed_is_another():
    run = subprocess.run(
        [sys.executable, "-c", PRINT_HASH], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    hashes = run.stdout.split()
    assert len(hashes) == 2, run.stderr[-2000:]
    for method, expected in zip(("dense", "transform"), hashes, strict=True):
        cut = lambda seed: wedges.random_cut(np.zeros(101), 7, seed=seed, method=method)  # noqa: B023
        points = [np.array(cut(seed).embed(np.eye(7))) for seed in (5, np.int64(5), 6)]
        assert hashlib.sha256(points[0]).hexdigest() == expected
        np.testing.assert_array_equal(points[0], points[1])
        alike = np.linalg.svd(points[0] @ points[2].T)[1]  # cosines of the angles between the cuts
        assert alike.max() < 0.9


def test_a_cut_shares_no_numbers_with_the_users_own_generator():
    plane = wedges.random_cut(np.zeros(200), 3, seed=0, method="dense").directions.rows.numpy()
    for shape in ((200, 3), (3, 200)):
        drawn = np.random.default_rng(0).standard_normal(shape).reshape(shape)
        drawn = drawn if shape[0] == 3 else drawn.T
        # A unit vector of the user's would lie in the plane; by chance it is at sqrt(3/200) = 0.12.
        inside = np.linalg.norm(plane @ drawn.T, axis=0) / np.linalg.norm(drawn, axis=1)
        assert inside.max() < 0.35


def held(directions):
    values = vars(directions).values()
    return sum(np.array(v).nbytes for v in values if tf.is_tensor(v) or isinstance(v, np.ndarray))


def test_a_transform_holds_two_bytes_a_dimension_and_a_dense_cut_its_basis():
    ambient, d = 10**6, 10**3
    cut = wedges.random_cut(np.zeros(ambient, np.float32), d, seed=0)
    assert isinstance(cut.directions, Transform)
    assert held(cut.directions) <= 2 * ambient + 4 * d
    point = cut.embed(np.ones(d, np.float32))
    np.testing.assert_allclose(np.linalg.norm(point), np.sqrt(d), rtol=1e-5)
    small = wedges.random_cut(np.zeros(1000, np.float32), 100, seed=0)
    assert isinstance(small.directions, Span) and held(small.directions) == 4 * 1000 * 100
    plane = wedges.normal_plane(np.zeros(ambient, np.float32), normal(0, 2, ambient))
    assert held(plane.directions) == 2 * 4 * ambient


@few
@given(st.integers(1, 6), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_the_plane_through_points_contains_them(m, dtype, seed):
    points = normal(seed, m + 1, 7).astype(dtype)
    plane = wedges.through(points)
    assert plane.dimension == m and plane.dtype == dtype
    near = 10 * EXACT[np.dtype(dtype).name]
    np.testing.assert_allclose(plane.distance(points), 0, atol=near)
    weights = np.random.default_rng(seed).dirichlet(np.ones(m + 1)).astype(dtype)
    np.testing.assert_allclose(plane.distance(weights @ points), 0, atol=near)
    if m < 6:
        off = np.linalg.qr((points[1:] - points[0]).astype(np.float64).T, mode="complete")[0][:, m]
        np.testing.assert_allclose(plane.distance(points[0] + 2 * off.astype(dtype)), 2, rtol=near)


@few
@given(st.integers(1, 6), st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_axes_point_along_the_vectors_they_are_made_of(m, dtype, seed):
    """Each axis is its edge less the span of those before it, over its length: not its opposite."""
    points = normal(seed, m + 1, 7).astype(dtype)
    edges = (points[1:] - points[0]).astype(np.float64)
    near = 20 * EXACT[np.dtype(dtype).name]
    stand = wedges.through(points).coordinates(points).numpy()  # [m + 1, m]
    np.testing.assert_allclose(stand[0], 0, atol=near)
    np.testing.assert_allclose(np.triu(stand[1:], 1), 0, atol=near)  # in the span of the first axes
    squares = np.diag(np.linalg.qr(edges.T)[1]) ** 2  # of what is left of each edge
    np.testing.assert_allclose(np.diag(stand[1:]), np.sqrt(squares), rtol=near, atol=near)
    rows = wedges.AffineSubspace(points[0], edges).directions.rows.numpy()
    assert (np.sum(rows * edges, axis=1) > 0).all()


def test_axes_by_hand():
    plane = wedges.through([[1.0, 1, 1], [1, 1, -1], [4, 1, 5]])
    np.testing.assert_allclose(plane.directions.rows, [[0, 0, -1], [1, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(
        plane.coordinates([[1.0, 1, -1], [4, 1, 5]]), [[2, 0], [-4, 3]], atol=1e-6
    )
    many = Span([[[-2.0, 0], [1, -1]], [[0, 3], [-5, 0]]], dtype="float64")  # two spans at once
    np.testing.assert_allclose(many.rows, [[[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], atol=1e-15)


def test_the_axes_of_a_random_cut_point_either_way():
    """As a Gaussian's would: a fixed vector has a positive coordinate in half of the cuts."""
    v = normal(0, 20)
    cut = lambda seed: wedges.random_cut(np.zeros(20), 3, seed=seed, method="dense")
    positive = np.array([cut(s).coordinates(v) for s in range(300)]) > 0
    for count in positive.sum(axis=0):
        assert abs(count - 150) < 4 * np.sqrt(300) / 2


# ---- the plane of a trajectory --------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_trajectory_in_a_plane_is_recovered(d, dtype):
    axes = np.linalg.qr(normal(1, 30, d))[0].T  # [d, D]
    track = normal(2, 12, d) * 4.0 ** -np.arange(d)  # farther along the first axis than the others
    trajectory = (normal(3, 30) + track @ axes).astype(dtype)
    plane, explained = wedges.principal(trajectory, d)
    near = {"rtol": 0, "atol": 20 * EXACT[dtype]}
    assert (plane.dimension, plane.ambient, plane.dtype.name) == (d, 30, dtype)
    np.testing.assert_array_equal(plane.origin, trajectory[-1])
    np.testing.assert_allclose(plane.distance(trajectory), 0, **near)
    stand = plane.coordinates(trajectory).numpy()
    np.testing.assert_array_equal(stand[-1], 0)
    np.testing.assert_allclose(plane.embed(stand), trajectory, **near)
    squares = np.sum((track[:-1] - track[-1]) ** 2)
    np.testing.assert_allclose(explained.sum(), 1, rtol=1e-6)
    assert explained.shape == (d,) and (np.diff(explained) < 0).all()
    # Shares are of the squared distances from the last point, along each axis.
    np.testing.assert_allclose(np.sum(stand**2, axis=0) / squares, explained, rtol=1e-4)


def test_the_plane_of_a_trajectory_is_the_best_and_says_what_it_leaves_out():
    trajectory = normal(0, 8, 5) * [9.0, 5, 3, 2, 1]
    plane, explained = wedges.principal(trajectory)
    steps = trajectory - trajectory[-1]
    values, vectors = np.linalg.eigh(steps.T @ steps)  # ascending
    np.testing.assert_allclose(explained, values[:-3:-1] / values.sum(), rtol=1e-12)
    rows = plane.directions.rows.numpy()
    np.testing.assert_allclose(np.abs(rows @ vectors[:, :-3:-1]), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.sum(plane.distance(trajectory) ** 2), values[:3].sum(), rtol=1e-10)
    for seed in range(20):
        other = wedges.random_cut(trajectory[-1], 2, seed=seed)
        assert np.sum(other.distance(trajectory) ** 2) > values[:3].sum()


def test_a_trajectory_by_hand():
    trajectory = np.array([[4.0, 2, 1], [-2, 2, 1], [1, 3, 1], [1, 2, 1]])
    plane, explained = wedges.principal(trajectory)  # from the last: 3, -3 in x, 1 in y
    np.testing.assert_allclose(explained, [18 / 19, 1 / 19], rtol=1e-12)
    stand = np.abs(plane.coordinates(trajectory))
    np.testing.assert_allclose(stand, [[3, 0], [3, 0], [0, 1], [0, 0]], atol=1e-14)


def test_distance_from_a_normal_plane_is_along_its_normals():
    origin = np.arange(5.0)
    plane = wedges.normal_plane(origin, [0.0, 3.0, 4.0, 0.0, 0.0])  # a normal of length 5
    assert (plane.dimension, plane.parameters) == (4, 5)
    theta = origin + [7.0, 3.0, 4.0, -1.0, 2.0]
    assert plane.distance(theta).numpy() == pytest.approx(5.0)
    np.testing.assert_allclose(plane.project(theta), origin + [7.0, 0, 0, -1.0, 2.0], atol=1e-14)
    two = wedges.normal_plane(origin, [[1.0, 0, 0, 0, 0], [1.0, 1.0, 0, 0, 0]])
    assert two.distance(origin + [3.0, 4.0, 9.0, 9.0, 9.0]).numpy() == pytest.approx(5.0)


@dtypes
@kinds
def test_config_and_arrays_make_it_again_bit_for_bit(kind, dtype, tmp_path):
    import json

    subspace, *_ = make(kind, dtype)
    np.savez(tmp_path / "x.npz", **subspace.arrays)
    config = json.loads(json.dumps(subspace.config))
    again = AffineSubspace.restore(config, np.load(tmp_path / "x.npz"))
    assert type(again.directions) is type(subspace.directions) and again.config == subspace.config
    assert again.dtype == dtype
    z = normal(0, 3, subspace.parameters).astype(dtype)
    np.testing.assert_array_equal(again.embed(z), subspace.embed(z))
    np.testing.assert_array_equal(
        again.coordinates(again.origin + 1), subspace.coordinates(subspace.origin + 1)
    )


# ---- several points in a row ----------------------------------------------------------------------


@dtypes
@kinds
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_repeated_directions_are_a_matrix_of_equal_blocks(kind, dtype, batch):
    one, _, projector = make(kind, dtype)
    repeated = Repeated(one.directions, 3)
    lift = one.directions.lift(tf.eye(one.parameters, dtype=dtype)).numpy().astype(np.float64)
    blocks, projector = np.kron(np.eye(3), lift), np.kron(np.eye(3), projector)  # [3 p, 3 D], [3 D, 3 D]
    assert (repeated.ambient, repeated.dimension, repeated.parameters) == (33, 12, len(blocks))
    assert repeated.dtype == dtype
    near = {"rtol": 0, "atol": 5 * EXACT[dtype]}
    z, v = normal(8, *batch, len(blocks)).astype(dtype), normal(9, *batch, 33).astype(dtype)
    lifted, lowered = repeated.lift(tf.constant(z)), repeated.lower(tf.constant(v))
    assert lifted.shape == (*batch, 33) and lowered.shape == (*batch, len(blocks))
    np.testing.assert_allclose(lifted, z @ blocks, **near)
    np.testing.assert_allclose(lowered, v @ blocks.T, **near)
    np.testing.assert_allclose(
        repeated.length(tf.constant(z)), np.linalg.norm(z @ blocks, axis=-1), **near
    )
    origin = normal(1, 33).astype(dtype)
    subspace = AffineSubspace(origin, repeated)
    np.testing.assert_allclose(subspace.project(v), origin + (v - origin) @ projector, **near)
    distance = np.linalg.norm((v - origin) @ (np.eye(33) - projector), axis=-1)
    np.testing.assert_allclose(subspace.distance(v), distance, **near)


@kinds
def test_gradients_pass_through_repeated_directions(kind):
    repeated = Repeated(make(kind)[0].directions, 2)
    eye = tf.eye(repeated.parameters, dtype="float64")
    matrix, up = repeated.lift(eye).numpy(), normal(7, 3, 2 * D)  # [2 p, 2 D]
    z = tf.constant(normal(6, 3, repeated.parameters))

    @tf.function
    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = tf.reduce_sum(repeated.lift(z) ** 2 * up)
        return tape.gradient(y, z)

    np.testing.assert_allclose(gradient(z), 2 * (z.numpy() @ matrix * up) @ matrix.T, rtol=1e-10)
    np.testing.assert_allclose(
        repeated.lower(tf.eye(2 * D, dtype="float64")), tf.transpose(matrix), atol=1e-15
    )


@kinds
def test_repeated_directions_are_made_again_bit_for_bit(kind, tmp_path):
    import json

    for directions in (lambda one: Repeated(one, 3), lambda one: Repeated(Repeated(one, 2), 3)):
        made = directions(make(kind)[0].directions)
        subspace = AffineSubspace(normal(1, made.ambient), made)
        np.savez(tmp_path / "x.npz", **subspace.arrays)
        config = json.loads(json.dumps(subspace.config))
        again = AffineSubspace.restore(config, np.load(tmp_path / "x.npz"))
        assert type(again.directions) is Repeated and again.config == subspace.config == config
        z = normal(0, 2, subspace.parameters)
        np.testing.assert_array_equal(again.embed(z), subspace.embed(z))
        np.testing.assert_array_equal(
            again.coordinates(again.origin + 1), subspace.coordinates(again.origin + 1)
        )


def test_whole_numbers_become_float32():
    assert wedges.random_cut([1, 2, 3], 2, seed=0).dtype == tf.float32


ZEROS = np.zeros(5)
MODEL = keras.Sequential(name="mine")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: wedges.random_cut(ZEROS, 6, seed=0), "dimension .* from 1 to D = 5; received 6"),
        (lambda: wedges.random_cut(ZEROS, 0, seed=0), "dimension .* from 1 to D = 5; received 0"),
        (lambda: wedges.random_cut(ZEROS, 2.0, seed=0), "dimension .* whole .*received 2.0"),
        (lambda: wedges.random_cut(ZEROS, True, seed=0), "dimension .* whole .*received True"),
        (lambda: Transform(5, 6, seed=0), "dimension .* from 1 to D = 5; received 6"),
        (lambda: wedges.random_cut(0.0, 1, seed=0), r"origin must .*received shape \(\)"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=0, method="fast"), "method must be.*received 'fast'"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=[0, 1], method="transform"), "sequence of seeds"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=-1), "seed .* at least 0; received -1"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=1.5), "seed must be a whole .*received 1.5"),
        (lambda: wedges.random_cut(np.zeros((2, 5)), 2, seed=[0, 1, 2]), r"received 3 seeds.*\(2, 5\)"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=[]), "received 0 seeds"),
        (lambda: wedges.random_cut(ZEROS * np.nan, 2, seed=0), "origin must be finite; received NaN"),
        (lambda: wedges.normal_plane([0.0, np.inf], [1.0, 0.0]), "origin must be finite; received"),
        (lambda: wedges.normal_plane(ZEROS, np.eye(5)), "fewer than D = 5.*received 5"),
        (lambda: wedges.normal_plane(ZEROS, np.zeros((0, 5))), "at least one vector; received none"),
        (lambda: wedges.normal_plane(ZEROS, ZEROS), "independent .*number 0 is zero"),
        (lambda: wedges.normal_plane(ZEROS, [np.ones(5), ZEROS]), "independent .*number 1 is zero"),
        (
            lambda: wedges.normal_plane(np.zeros(4), [[1.0, 0, 0, 0], [0, 1, 0, 0], [1, -1, 0, 0]]),
            "independent vectors; received 3 of which number 2 is",
        ),
        (lambda: wedges.normal_plane(ZEROS, np.full(5, np.nan)), "directions must be finite; received"),
        (lambda: wedges.normal_plane(ZEROS, np.ones(4)), r"\[..., 4\].*received shape \(5,\)"),
        (lambda: wedges.normal_plane(ZEROS, normal(0, 2, 2, 5)), r"\[m, D\]; received \(2, 2, 5\)"),
        (lambda: AffineSubspace(ZEROS, normal(0, 6, 5)), "at most D = 5 vectors; received 6"),
        (lambda: wedges.through(np.ones(5)), r"points must have shape .*received \(5,\)"),
        (lambda: wedges.through(np.ones((1, 5))), r"points must have shape .*received \(1, 5\)"),
        (lambda: wedges.through(np.ones((3, 5))), "independent .*number 0 is zero"),
        (lambda: AffineSubspace(ZEROS, Transform(5, 2, seed=0)), "received float64 and float32"),
        (lambda: AffineSubspace(ZEROS, Complement(np.ones(5))), "received float64 and float32"),
        (lambda: wedges.principal(np.ones(5)), r"trajectory must .*T > 2; received \(5,\)"),
        (lambda: wedges.principal(normal(0, 2, 5)), r"trajectory must .*T > 2; received \(2, 5\)"),
        (lambda: wedges.principal(normal(0, 3, 5), 3), r"trajectory must .*T > 3; received \(3, 5\)"),
        (lambda: wedges.principal(np.full((4, 5), np.nan)), "trajectory must be finite; received NaN"),
        (lambda: wedges.principal(np.ones((4, 5))), "2 independent steps; .* span 0"),
        (lambda: wedges.principal(np.outer([4, 1, 0], np.eye(5)[1])), "2 independent .* span 1"),
        (lambda: make("span")[0].embed(np.zeros(3)), r"z must .*\[..., 4\].*received shape \(3,\)"),
        (lambda: make("complement")[0].embed(np.zeros(4)), r"\[..., 11\].*received shape \(4,\)"),
        (lambda: make("span")[0].project(np.zeros(4)), r"theta must have .*received shape \(4,\)"),
        (lambda: make("span")[0].distance(1.0), r"theta must have .*received shape \(\)"),
        (lambda: make("span")[0].embed("z.npy"), "z must be real numbers; received .* path 'z.npy'"),
        (lambda: make("span")[0].project([1j] * 11), "theta must be real numbers; received"),
        (lambda: wedges.random_cut("best.keras", 2, seed=0), "origin must be real .*path 'best.keras'"),
        (lambda: wedges.random_cut(MODEL, 2, seed=0), "origin must be real numbers; .* model 'mine'"),
        (lambda: wedges.random_cut(None, 2, seed=0), "origin must be real numbers; received None"),
        (lambda: wedges.random_cut([True, False], 2, seed=0), "origin must be real numbers; received"),
        (lambda: wedges.random_cut(ZEROS, 2, seed=True), "seed must be a whole .*received True"),
        (lambda: wedges.normal_plane(ZEROS, "ones"), "directions must be real numbers; .*path 'ones'"),
        (lambda: wedges.normal_plane(ZEROS, MODEL), "directions must be real numbers; .* model 'mine'"),
        (lambda: wedges.through([[0.0], [1.0, 2.0]]), "points must be real numbers; received"),
        (lambda: wedges.principal(np.ones((4, 5)), 2.0), "dimension must be a whole .*received 2.0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_points_of_any_type_are_alike():
    for dtype in EXACT:
        cut = wedges.random_cut(np.ones(5, dtype), 2, seed=0)
        for z in ([1.0, 2.0], (1, 2), *(np.array([1, 2], k) for k in ("f2", "f4", "f8", "i4", "u1"))):
            for same in (z, tf.constant(z), tf.Variable(z)):
                point = cut.embed(same)
                np.testing.assert_array_equal(point, cut.embed(np.array([1, 2], dtype)))
                assert point.dtype == cut.dtype == dtype
    points = [tf.constant([0.0, 0, 1], tf.float64), tf.constant([3.0, 0, 1], tf.float64)]
    assert wedges.through(points).dtype == tf.float64


def test_counts_and_seeds_of_any_library_are_alike():
    expected = wedges.random_cut(ZEROS, 2, seed=3).directions.rows
    for kind in (np.int8, np.uint64, np.array, tf.constant):
        found = wedges.random_cut(ZEROS, kind(2), seed=kind(3))
        np.testing.assert_array_equal(found.directions.rows, expected)
        assert type(found.dimension) is int
    many = wedges.random_cut(ZEROS, 2, seed=np.arange(2, 4)).directions.rows
    np.testing.assert_array_equal(many[1], expected)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("d", [1, 2, 7])
def test_a_large_basis_of_few_directions_is_orthonormal_and_spans_what_was_drawn(dtype, d, monkeypatch):
    """Made block by block in place, without ever being held in float64."""
    small = wedges.random_cut(np.zeros(3000, dtype), d, seed=5)
    monkeypatch.setattr(wedges.affine, "DENSE_NUMBERS", 0)
    monkeypatch.setattr(wedges.affine, "_BLOCK", 999)
    large = wedges.random_cut(np.zeros(3000, dtype), d, seed=5)
    rows, same = (np.array(cut.directions.rows, np.float64) for cut in (large, small))
    assert large.dtype == dtype
    np.testing.assert_allclose(rows @ rows.T, np.eye(d), atol=EXACT[dtype])
    np.testing.assert_allclose(rows.T @ rows, same.T @ same, atol=EXACT[dtype])


def test_a_cut_of_few_directions_is_dense_where_that_fits(monkeypatch):
    monkeypatch.setattr(wedges.affine, "DENSE_NUMBERS", 10)
    monkeypatch.setattr(wedges.affine, "_FEW_NUMBERS", 64 * 100)
    kind = lambda ambient, d: type(wedges.random_cut(np.zeros(ambient), d, seed=0).directions)
    assert kind(100, 64) is kind(3000, 2) is Span
    assert kind(100, 65) is kind(101, 64) is kind(3201, 2) is Transform


def test_subspaces_show_in_a_line():
    assert repr(wedges.random_cut(ZEROS, 2, seed=0)) == "AffineSubspace(2 of 5 dimensions, Span)"
    many = wedges.random_cut(np.zeros((3, 5)), 2, seed=range(3))
    assert repr(many) == "AffineSubspace(3 of 2 of 5 dimensions, Span)"
    assert repr(Transform(1000, 10, seed=0)) == "Transform(10 of 1000 dimensions)"
    found = wedges.principal([[4.0, 1.0, 9.0], [1.0, 1.0, 9.0], [0.0, 0.0, 9.0]], 1)
    assert (
        repr(found) == "Principal(subspace=AffineSubspace(1 of 3 dimensions, Span), explained=[0.9744])"
    )


def test_a_trajectory_on_a_slanted_line_has_no_plane():
    with pytest.raises(ValueError, match="independent|line"):
        wedges.principal(normal(0, 7) + np.outer(normal(1, 6), normal(2, 7)))


@pytest.mark.parametrize(("ambient", "dimension"), [(1, 2), (3, -1), (3, 4)])
def test_a_trajectorys_plane_has_the_dimensions_asked_for(ambient, dimension):
    with pytest.raises(ValueError, match="dimension"):
        wedges.principal(normal(0, 6, ambient), dimension)
