"""Counts of short directions against closed forms and dense truth."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import SPARSE
from wedges import affine, short

# ---- around a point -------------------------------------------------------------------------------


def test_the_rank_of_gradients_counts_the_short_directions_of_all_wedges_that_meet():
    d, n, s = 40, 34, 6
    landscape = wedges.RandomWedges(d, n, 5, seed=0, dtype="float64")
    theta = np.random.default_rng(0).standard_normal(d)
    normals = landscape.normals.numpy()
    for met in ([2], [1, 3]):
        rows = normals[met].reshape(-1, d)
        on = theta - np.linalg.pinv(rows) @ (rows @ theta)
        rank = short.gradient_rank(landscape, on, radius=1e-3, samples=60, seed=0)
        assert rank == s * len(met) == len(landscape.short_directions(on, 1e-6))
    axis = wedges.AxisWedges(d, n, "float64")
    on = np.where(np.arange(d) < s, 0, theta)
    assert short.gradient_rank(axis, on, 1e-4, 60, seed=0) == s
    on = np.where(np.arange(d) < 2 * s, 0, theta)
    assert short.gradient_rank(axis, on, 1e-4, 60, seed=0) == 2 * s


def test_the_rank_on_a_quadratic_is_its_matrixs_and_zero_where_it_is_flat():
    bowl = wedges.Quadratic([1.0, 2.0, 0.0, 3.0, 0.0])
    assert short.gradient_rank(bowl, np.zeros(5), 0.1, 20, seed=0) == 3
    assert short.gradient_rank(bowl, np.zeros(5), 0.1, 2, seed=0) == 2
    assert short.gradient_rank(wedges.Quadratic(np.zeros(5)), np.ones(5), 0.1, 20, seed=0) == 0


def test_around_a_point_bad_input_is_named():
    bowl = wedges.Quadratic([1.0, 1.0])
    for samples in (0, 2.5):
        with pytest.raises(
            ValueError, match=f"samples must be a whole .*at least 1; received {samples}"
        ):
            short.gradient_rank(bowl, [1.0, 1.0], 0.1, samples, seed=0)
    with pytest.raises(ValueError, match=r"theta must have .*received shape \(3,\)"):
        short.gradient_rank(bowl, np.ones(3), 0.1, 3, seed=0)


# ---- eigenvalues above a floor --------------------------------------------------------------------


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


class Dense(wedges.Quadratic):
    """A quadratic whose products are plain, and kept: the first of each run of Lanczos is its start."""

    def __init__(self, matrix, dtype="float64"):
        super().__init__(matrix, dtype=dtype)
        self.seen, self._dense = [], self.matrix.numpy()

    def hessian_product(self, theta, v):
        self.seen.append(np.array(v))
        return self._dense * v if self._dense.ndim == 1 else self._dense @ v


def record_products(landscape, monkeypatch):
    """The vectors that any landscape's products are asked for from now on."""
    product, seen = landscape.hessian_product, []
    monkeypatch.setattr(landscape, "hessian_product", lambda t, v: seen.append(v) or product(t, v))
    return seen


def turned(eigenvalues, seed=0):
    """A dense matrix of these eigenvalues, and its eigenvectors as columns."""
    u = np.linalg.qr(normal(seed, len(eigenvalues), len(eigenvalues)))[0]
    matrix = (u * eigenvalues) @ u.T
    return (matrix + matrix.T) / 2, u


def seen_by(v, values, vectors, floor):
    """D sum_j (u_j . v)^2 [lambda_j > floor], what one unit vector v says."""
    return len(v) * np.sum((v @ vectors)[values > floor] ** 2)


# 20 of 200 between 1 and 3, 15 below 0, all others 0: 7 different ones.
MIXED = np.r_[np.repeat([1.0, 1.5, 2.0, 2.5, 3.0], 4), np.repeat(-2.0, 15), np.zeros(165)]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("steps", [7, 8, 30])
def test_with_a_step_for_each_different_eigenvalue_a_sample_is_its_vectors_share(dense, steps):
    landscape = Dense(turned(MIXED)[0] if dense else MIXED)
    floors = [-3.0, -1.0, 0.5, 1.75, 2.75, 4.0]
    found = wedges.eigenvalue_count(landscape, np.zeros(200), floors, samples=3, steps=steps, seed=0)
    assert len(landscape.seen) == 3 * 7  # one product a step, and none once all is seen
    values, vectors = (MIXED, np.eye(200)) if not dense else np.linalg.eigh(landscape._dense)
    for floor, count in zip(floors, found, strict=True):
        expected = [seen_by(v, values, vectors, floor) for v in landscape.seen[::7]]
        np.testing.assert_allclose(count.samples, expected, atol=1e-9)
        np.testing.assert_allclose(count.mean, np.mean(expected), atol=1e-9)
        np.testing.assert_allclose(count.error, np.std(expected, ddof=1) / np.sqrt(3), atol=1e-9)
    np.testing.assert_allclose(found[0].samples, 200)
    np.testing.assert_array_equal(found[-1].samples, 0)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=8),
    st.integers(0, 2**32),
    st.floats(-4.4, 4.4).filter(lambda f: abs(f - round(f)) > 0.01),
    st.sampled_from([1e-12, 1.0, 1e12]),
)
def test_whatever_the_eigenvalues_their_multiplicity_and_their_unit(eigenvalues, seed, floor, unit):
    values = unit * np.array(eigenvalues, float)
    landscape = Dense(turned(values, seed)[0])
    d = len(values)
    settings = dict(samples=1, steps=d, seed=seed)
    count = wedges.eigenvalue_count(landscape, np.zeros(d), unit * floor, **settings)
    expected = seen_by(landscape.seen[0], *np.linalg.eigh(landscape._dense), unit * floor)
    np.testing.assert_allclose(count.samples, [expected], atol=1e-6)
    assert np.isnan(count.error)


def test_lanczos_stays_exact_where_without_reorthogonalisation_eigenvalues_return_as_ghosts():
    eigenvalues = np.geomspace(1e-3, 1e3, 60)
    landscape = Dense(turned(eigenvalues)[0])
    floors = np.sqrt(eigenvalues[1:] * eigenvalues[:-1])[20:]
    found = wedges.eigenvalue_count(landscape, np.zeros(60), floors, samples=1, steps=60, seed=0)
    truth = np.linalg.eigh(landscape._dense)
    for floor, count in zip(floors, found, strict=True):
        np.testing.assert_allclose(count.mean, seen_by(landscape.seen[0], *truth, floor), atol=1e-6)


def test_the_count_is_unbiased_and_its_error_covers_the_truth():
    """(u . v)^2 summed over k directions is Beta(k/2, (D - k)/2): spread k sqrt(2 / k) for k << D."""
    landscape, d, k = Dense(MIXED), 200, 20
    counts = [
        wedges.eigenvalue_count(landscape, np.zeros(d), 0.5, samples=16, steps=7, seed=seed)
        for seed in range(60)
    ]
    samples = np.concatenate([c.samples for c in counts])
    spread = np.sqrt(2 * k * (d - k) / (d + 2))
    assert abs(samples.mean() - k) < 3 * spread / np.sqrt(len(samples))
    assert samples.std() == pytest.approx(spread, rel=0.1)
    assert samples.std() / k == pytest.approx(np.sqrt(2 / k), rel=0.15)
    covered = np.mean([abs(c.mean - k) < 2 * c.error for c in counts])
    assert 0.86 <= covered < 1  # Student's t with 15 degrees of freedom: 0.936


def test_all_distinct_eigenvalues_averaged_over_many_vectors_are_counted():
    eigenvalues = np.r_[np.linspace(1, 3, 10), np.linspace(-2, 0.2, 30)]
    landscape = Dense(turned(eigenvalues)[0])
    count = wedges.eigenvalue_count(landscape, np.zeros(40), 0.6, samples=60, steps=40, seed=0)
    assert count.samples.shape == (60,) and abs(count.mean - 10) < 2.5 * count.error < 2


def test_several_floors_are_as_each_alone_and_fall():
    matrix, floors = turned(np.linspace(-1, 3, 30))[0], np.linspace(-1.5, 3.5, 11)
    settings = dict(samples=3, steps=12, seed=5)  # fewer than there are eigenvalues
    together = wedges.eigenvalue_count(Dense(matrix), np.zeros(30), floors, **settings)
    for floor, count in zip(floors, together, strict=True):
        alone = wedges.eigenvalue_count(Dense(matrix), np.zeros(30), floor, **settings)
        np.testing.assert_array_equal(alone.samples, count.samples)
    assert isinstance(together, list) and isinstance(alone, short.Count)
    samples = np.array([c.samples for c in together])
    assert np.all(np.diff(samples, axis=0) <= 0)
    np.testing.assert_allclose(samples[0], 30)
    np.testing.assert_array_equal(samples[-1], 0)
    backwards = wedges.eigenvalue_count(Dense(matrix), np.zeros(30), floors[::-1], **settings)
    np.testing.assert_array_equal([c.samples for c in backwards], samples[::-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("diagonal", "above"), [(np.ones(30), 30), (np.zeros(30), 0), (-np.ones(30), 0), ([2.0], 1)]
)
def test_where_one_product_says_everything_it_ends(diagonal, above, dtype):
    landscape = Dense(diagonal, dtype)
    count = wedges.eigenvalue_count(landscape, np.ones(len(diagonal)), 0.5, samples=4, steps=9, seed=0)
    np.testing.assert_allclose(count.samples, above, rtol=1e-12)
    assert len(landscape.seen) == 4 and np.all(count.error < 1e-12)


def test_one_short_direction():
    landscape = Dense(np.r_[2.0, np.zeros(29)])
    count = wedges.eigenvalue_count(landscape, np.ones(30), 0.5, samples=200, steps=9, seed=0)
    np.testing.assert_allclose(count.samples, 30 * np.array(landscape.seen)[::2, 0] ** 2, rtol=1e-9)
    assert abs(count.mean - 1) < 2.5 * count.error < 0.4


def test_the_same_seed_counts_the_same_and_another_does_not():
    count = lambda seed: wedges.eigenvalue_count(
        wedges.Quadratic(MIXED), np.ones(200), 0.5, samples=2, steps=3, seed=seed
    )
    np.testing.assert_array_equal(count(1).samples, count(1).samples)
    assert np.all(count(1).samples != count(2).samples) and np.ptp(count(1).samples) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eigenvalues_of_a_squared_toy_landscape_count_its_short_directions(dtype, monkeypatch):
    d, s = 50, 8
    wedge = wedges.RandomWedges(d, d - s, 1, seed=0, dtype=dtype)
    landscape, rows, theta = wedges.Squared(wedge), wedge.normals.numpy()[0].astype(float), normal(0, d)
    theta += rows.T @ (1e-3 * normal(1, s) - rows @ theta)  # slightly off: on it, no second derivatives
    seen = record_products(landscape, monkeypatch)
    count = wedges.eigenvalue_count(landscape, theta, 0.5, samples=6, steps=2, seed=0)
    shares = np.sum((np.array(seen[::2]) @ rows.T) ** 2, axis=1)
    np.testing.assert_allclose(count.samples, d * shares, rtol=1e-3 if dtype == "float32" else 1e-9)
    assert abs(count.mean - s) < 2 * count.error < 5
    on = np.zeros(d)
    assert wedges.eigenvalue_count(landscape, on, 0.5, samples=1, steps=2, seed=0).mean == 0


def dense_hessian(kind, rng):
    """A small network's landscape, a theta, and its Hessian from a closed form or from differences."""
    x, y = rng.normal(size=(23, 4)), rng.integers(0, 3, 23)
    hidden = [layers.Dense(3, activation="tanh")] if kind == "tanh" else []
    model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(3)])
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, evaluation_batch_size=10)
    theta = rng.normal(size=landscape.dimension)
    if kind == "softmax":  # (1/N) sum_n (x; 1)(x; 1)^T (x) (diag p - p p^T)
        inputs = np.pad(x, [(0, 0), (0, 1)], constant_values=1)  # [N, 5]
        p = np.exp(inputs @ theta.reshape(5, 3))
        p /= p.sum(1, keepdims=True)
        curved = np.eye(3) * p[:, None] - p[:, None] * p[:, :, None]  # [N, 3, 3]
        return (
            landscape,
            theta,
            np.einsum("ni,nj,nab->iajb", inputs, inputs, curved).reshape(15, 15) / 23,
        )
    h, eye = 1e-5, np.eye(landscape.dimension)
    up, down = (landscape.value_and_gradient(theta + e * eye)[1].numpy() for e in (h, -h))
    return landscape, theta, (up - down + (up - down).T) / (4 * h)


@pytest.mark.parametrize(("kind", "policy"), [("softmax", "float32"), ("tanh", "float64")])
def test_eigenvalues_of_a_network_are_those_of_its_dense_hessian(kind, policy, monkeypatch):
    keras.config.set_dtype_policy(policy)
    try:
        landscape, theta, hessian = dense_hessian(kind, np.random.default_rng(0))
    finally:
        keras.config.set_dtype_policy("float32")
    d, seen = landscape.dimension, record_products(landscape, monkeypatch)
    values, vectors = np.linalg.eigh(hessian)
    assert landscape.dtype.name == policy and (values[0] < -0.01) == (kind == "tanh")
    gaps = np.diff(values)
    wide = np.sort(np.argsort(gaps)[-4:])  # floors in the middle of the widest gaps
    floors = values[wide] + gaps[wide] / 2
    found = wedges.eigenvalue_count(landscape, theta, floors, samples=1, steps=d, seed=0)
    for floor, count in zip(floors, found, strict=True):
        expected = seen_by(np.array(seen[0], float), values, vectors, floor)
        assert count.mean == pytest.approx(expected, abs=1e-2 if policy == "float32" else 1e-5)
    # Averaged over the start vectors it is the number itself.
    count = wedges.eigenvalue_count(landscape, theta, floors[0], samples=6, steps=d, seed=1)
    assert abs(count.mean - np.sum(values > floors[0])) < 2.5 * count.error


# ---- the smallest cut that undoes a displacement --------------------------------------------------


CG = wedges.ConjugateGradients()
EXACT = dict(displacement=1.0, optimizer=CG, steps=0)


def exact(matrix):
    """A `follow` that goes to the minimum of 1/2 x^T A x in the cut at once, by least squares."""

    def follow(descent, steps, name):
        rows, origin = descent.subspace.directions.rows.numpy(), descent.subspace.origin.numpy()
        inside = np.linalg.pinv(rows @ matrix @ np.swapaxes(rows, 1, 2), rcond=1e-10)  # [S, d, d]
        descent.variable.assign(-np.einsum("sij,sjk,kl,sl->si", inside, rows, matrix, origin))

    return follow


@pytest.mark.parametrize("many", [True, False])
def test_each_cuts_end_is_the_minimum_by_dense_linear_algebra(many):
    d, a, center, asked = 12, 0.7, normal(2, 12), []
    theta = center + 0.03 * normal(1, d)  # not quite the minimum
    matrix = turned(np.r_[np.geomspace(1, 9, 7), np.zeros(5)])[0]
    landscape = wedges.Quadratic(matrix, center, "float64")
    landscape.takes_batches = many  # all displacements at once, or one by one

    def follow(descent, steps, name):
        rows, start = descent.subspace.directions.rows.numpy(), descent.theta.numpy()
        assert steps == 30 and name == f"cut of d = {rows.shape[-2]}" and (start.ndim == 2) == many
        asked.extend(zip(rows, start, strict=True) if many else [(rows, start)])
        descent.run(steps)

    settings = dict(displacement=a, samples=2, optimizer=CG, steps=30, seed=3, follow=follow)
    found = wedges.smallest_cut(landscape, theta, [2, 5, 12], **settings)
    loss = lambda x: 0.5 * (x - center) @ matrix @ (x - center)
    assert len(asked) == 6
    for i, (rows, start) in enumerate(asked):
        j, sample = divmod(i, 2)
        np.testing.assert_allclose(rows @ rows.T, np.eye((2, 5, 12)[j]), atol=1e-12)
        np.testing.assert_allclose(start, asked[sample][1], rtol=1e-12)  # the same for all d's
        np.testing.assert_allclose(np.linalg.norm(start - theta), a)
        z = np.linalg.pinv(rows @ matrix @ rows.T, rcond=1e-10) @ rows @ matrix @ (center - start)
        left = (loss(start + z @ rows) - loss(theta)) / (loss(start) - loss(theta))
        np.testing.assert_allclose(found.left[sample, j], left, rtol=1e-6)
        np.testing.assert_allclose(found.rises[sample], loss(start) - loss(theta))
    assert np.all(found.left[:, -1] < 0) and np.abs(found.left[:, -1]).min() > 1e-3
    (first, start), (second, other) = asked[:2]
    assert abs((start - theta) @ (other - theta)) < 0.9 * a**2  # each sample its own
    assert np.abs(first - second).max() > 0.1
    inside = lambda rows, basis: np.linalg.norm(rows @ basis.T @ basis - rows)
    assert inside(first, asked[2][0]) > 0.1  # and each d
    np.testing.assert_array_equal(found.dimensions, [2, 5, 12])


def test_displacements_one_by_one_end_as_all_at_once():
    landscape = wedges.Quadratic(turned(np.r_[np.ones(6), np.zeros(4)])[0], dtype="float64")
    settings = dict(displacement=1.0, samples=3, optimizer=CG, steps=4, seed=0)
    together = wedges.smallest_cut(landscape, np.zeros(10), [3], **settings)
    landscape.takes_batches = False
    alone = wedges.smallest_cut(landscape, np.zeros(10), [3], **settings)
    np.testing.assert_allclose(alone.left, together.left, rtol=1e-9)
    np.testing.assert_allclose(alone.rises, together.rises, rtol=1e-9)


def test_what_is_left_averages_one_less_the_cuts_share_of_the_short_directions():
    """left(d) is Beta((s - d)/2, d/2): mean 1 - d/s, variance 2 d (s - d) / (s^2 (s + 2))."""
    s, matrix, dims = 24, 3.0 * np.diag(np.arange(32) < 24), np.array([6, 12, 18, 24])
    bowl = wedges.Quadratic(matrix, dtype="float64")
    cuts = wedges.smallest_cut(
        bowl, np.zeros(32), dims, samples=150, seed=0, follow=exact(matrix), **EXACT
    )
    spread = np.sqrt(2 * dims * np.maximum(s - dims, 0) / (s**2 * (s + 2)))
    assert np.all(np.abs(cuts.left.mean(0) - 1 + dims / s)[:3] < 2.5 * spread[:3] / np.sqrt(150))
    np.testing.assert_allclose(cuts.left.std(0)[:3], spread[:3], rtol=0.2)
    np.testing.assert_allclose(cuts.left[:, 3:], 0, atol=1e-9)
    # |v|^2 in the s directions is Beta(s/2, (D - s)/2).
    assert cuts.rises.mean() == pytest.approx(1.5 * s / 32, rel=0.03)


@pytest.mark.parametrize("kind", ["quadratic", "one wedge"])
def test_on_a_quadratic_and_one_wedge_the_smallest_cut_is_nine_tenths_of_the_short_directions(kind):
    d, s = 60, 40
    if kind == "quadratic":
        theta = np.ones(d)
        landscape = wedges.Quadratic(turned(2.0 * (np.arange(d) < s))[0], theta, "float64")
    else:
        wedge = wedges.RandomWedges(d, d - s, 1, seed=0, dtype="float64")
        landscape, rows, theta = wedges.Squared(wedge), wedge.normals.numpy()[0], normal(0, d)
        theta -= rows.T @ (rows @ theta)
    cuts = wedges.smallest_cut(
        landscape, theta, [20, 34, 40, 50], displacement=0.5, samples=24, optimizer=CG, steps=25, seed=1
    )
    left = cuts.left.mean(0)
    np.testing.assert_allclose(left[:2], [0.5, 0.15], atol=0.06)
    assert np.all(left[2:] < 1e-9)
    count = short.recovered(cuts, 0.1)
    assert 0 < count.error < 1 and abs(count.mean - 0.9 * s) < 2 * count.error


def test_where_two_wedges_cross_a_loss_shows_the_nearest_and_gradients_show_both():
    d, s = 48, 12
    wedge = wedges.RandomWedges(d, d - s, 2, seed=0, dtype="float64")
    landscape, rows = wedges.Squared(wedge), wedge.normals.numpy().reshape(-1, d)
    theta = normal(0, d)
    theta -= np.linalg.pinv(rows) @ (rows @ theta)
    assert np.all(wedge.distances(theta) < 1e-12)
    cuts = wedges.smallest_cut(
        landscape, theta, [6, 12, 24], displacement=0.5, samples=8, optimizer=CG, steps=25, seed=0
    )
    assert np.all(cuts.left[:, 0] > 0.1) and np.all(cuts.left[:, 1:] < 1e-9)
    assert 6 < short.recovered(cuts, 0.1).mean < s
    assert short.gradient_rank(landscape, theta, 0.1, 80, seed=0) == 2 * s
    assert len(wedge.short_directions(theta, 1e-6)) == 2 * s
    near = theta + 1e-3 * normal(1, d)
    count = wedges.eigenvalue_count(landscape, near, 0.5, samples=6, steps=2, seed=0)
    assert abs(count.mean - s) < 2 * count.error < 7


def test_it_descends_on_one_landscape_and_measures_on_the_other():
    """In a cut of all D dimensions it ends at the other's centre c: left = |c|^2 / a^2."""
    own, center = wedges.Quadratic(np.ones(3)), np.array([0.3, 0.0, 0.4], np.float32)
    other = wedges.Quadratic(np.ones(3), center)
    cuts = wedges.smallest_cut(
        own,
        np.zeros(3),
        [3],
        displacement=2.0,
        samples=2,
        optimizer=CG,
        steps=3,
        seed=0,
        descend_on=other,
    )
    np.testing.assert_allclose(cuts.left, 0.25 / 4, rtol=1e-4)
    np.testing.assert_allclose(cuts.rises, 2.0, rtol=1e-5)


def test_cuts_of_one_seed_are_the_same_and_of_another_are_not():
    matrix = np.diag(np.arange(8) < 6).astype(float)
    bowl = wedges.Quadratic(matrix, dtype="float64")
    draw = lambda seed: wedges.smallest_cut(
        bowl, np.zeros(8), [2, 4], samples=2, seed=seed, follow=exact(matrix), **EXACT
    )
    first, again, other = draw(0), draw(0), draw(1)
    np.testing.assert_array_equal(first.left, again.left)
    np.testing.assert_array_equal(first.rises, again.rises)
    assert np.all(first.left != other.left) and np.all(first.rises != other.rises)
    assert len(np.unique(first.left)) == 4
    fewer = wedges.smallest_cut(
        bowl, np.zeros(8), [2, 4], samples=1, seed=0, follow=exact(matrix), **EXACT
    )
    np.testing.assert_allclose(fewer.rises, first.rises[:1])


@pytest.mark.parametrize(
    ("curvature", "rise"), [(0.0, 0.0), (-1.0, -0.5), (np.inf, np.inf), (np.nan, np.nan)]
)
def test_a_displacement_that_does_not_raise_the_loss_has_no_share_and_costs_no_descent(curvature, rise):
    class Sphere(wedges.Landscape):
        dimension, dtype = 4, tf.float64

        def __call__(self, theta):
            square = tf.reduce_sum(self.point(theta) ** 2, axis=-1)
            return tf.where(square > 0, 0.5 * curvature * square, 0.0)

    refuse = lambda *_: pytest.fail("it descended")
    cuts = wedges.smallest_cut(Sphere(), np.zeros(4), [1, 2], samples=2, seed=0, follow=refuse, **EXACT)
    assert np.isnan(cuts.left).all() and cuts.left.shape == (2, 2)
    np.testing.assert_allclose(cuts.rises, rise)
    assert np.isnan(short.recovered(cuts, 0.1).samples).all()


def test_cuts_too_large_to_hold_together_are_taken_one_by_one_and_then_as_transforms(monkeypatch):
    bowl, asked = wedges.Quadratic(np.r_[np.ones(6), np.zeros(4)], dtype="float64"), []
    monkeypatch.setattr(affine, "DENSE_NUMBERS", 60)  # numbers; D = 10
    monkeypatch.setattr(affine, "_FEW_DIRECTIONS", 0)

    def follow(descent, steps, name):
        asked.append((descent.variable.shape, type(descent.subspace.directions).__name__))
        descent.run(steps)

    cuts = wedges.smallest_cut(
        bowl,
        np.zeros(10),
        [2, 3, 8],
        displacement=1.0,
        samples=3,
        optimizer=CG,
        steps=3,
        seed=0,
        follow=follow,
    )
    assert asked == [((3, 2), "Span")] + 3 * [((3,), "Span")] + 3 * [((8,), "Transform")]
    assert np.all(cuts.left[:, :2] > 0.01) and np.all(cuts.left[:, 2] < 1e-9)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_descents_are_compiled_as_asked(jit_compile):
    asked = lambda descent, *_: flags.append(descent.jit_compile)
    flags, settings = [], EXACT | {"jit_compile": jit_compile, "follow": asked}
    wedges.smallest_cut(wedges.Quadratic(np.ones(3)), np.zeros(3), [2], samples=1, seed=0, **settings)
    assert flags == [jit_compile]


@pytest.mark.parametrize("many", [True, False])
def test_only_displacements_that_rise_are_followed(many):
    class Slope(wedges.Landscape):
        """|x|^2 with the sign of x_1."""

        dimension, dtype = 3, tf.float64

        def __call__(self, theta):
            theta = self.point(theta)
            return tf.sign(theta[..., 0]) * tf.reduce_sum(theta**2, axis=-1)

    landscape, stay = Slope(), lambda *_: None
    landscape.takes_batches = many
    cuts = wedges.smallest_cut(landscape, np.zeros(3), [1, 2], samples=8, seed=0, follow=stay, **EXACT)
    rose = cuts.rises > 0
    assert 0 < rose.sum() < 8
    np.testing.assert_allclose(cuts.rises, np.where(rose, 1, -1))
    np.testing.assert_allclose(cuts.left, np.where(rose, 1, np.nan)[:, None].repeat(2, axis=1))


# ---- the count it comes to ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([0.9, 0.3, 0.1, 0.0], 8.0),  # on a dimension itself
        ([0.9, 0.2, 0.0, 0.0], 4 * 2**0.5),  # half-way, on the logarithmic scale
        ([0.9, 0.7, 0.05, 0.0], 4 * 2 ** (0.6 / 0.65)),
        ([0.9, 0.3, -0.3, 0.0], 4 * 2 ** (1 / 3)),
        ([1.2, 0.9, 0.8, 0.0], 8 * 4 ** (7 / 8)),
        ([0.05, 0.5, 0.0, 0.0], 2.0),  # the first is low already
        ([0.5, 0.05, 0.5, 0.0], 2 * 2 ** (0.4 / 0.45)),  # the first that is low, though not the next
        ([0.9, 0.5, 0.3, 0.1], 32.0),
        ([0.1, 0.5, 0.3, 0.2], 2.0),
        ([0.05, 0.5, 0.3, np.nan], 2.0),
        ([0.9, 0.5, 0.3, 0.2], np.nan),
        ([np.nan, np.nan, np.nan, np.nan], np.nan),
        ([0.9, np.nan, 0.3, 0.2], np.nan),
        ([np.nan, 0.9, 0.2, 0.0], 8 * 4**0.5),
        ([0.9, 0.2, np.nan, 0.0], np.nan),
        ([0.9, np.inf, 0.0, 0.0], np.nan),
        ([0.9, 0.2, 0.0, np.nan], 4 * 2**0.5),
    ],
)
def test_recovered_by_hand(left, expected):
    cuts = short.Cuts(np.array([left]), np.array([2, 4, 8, 32]), np.ones(1))
    with np.errstate(all="raise"):
        count = short.recovered(cuts, 0.1)
    np.testing.assert_allclose(count.samples, [expected], rtol=1e-12)
    np.testing.assert_allclose(count.mean, expected, rtol=1e-12)
    assert np.isnan(count.error)


def test_the_error_of_a_count_is_that_of_its_mean():
    left = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.0], [0.5, 0.1, 0.0], [0.5, 0.5, 0.1]])
    count = short.recovered(short.Cuts(left, np.array([1, 2, 5]), np.ones(4)), 0.1)
    np.testing.assert_allclose(count.samples, [1, 2, 2, 5])
    assert count.mean == pytest.approx(2.5) and count.error == pytest.approx(np.sqrt(9 / 3 / 4))
    lost = np.concatenate([left, np.ones((1, 3))])
    count = short.recovered(short.Cuts(lost, np.array([1, 2, 5]), np.ones(5)), 0.1)
    np.testing.assert_allclose(count.samples, [1, 2, 2, 5, np.nan])
    assert np.isnan(count.mean) and np.isnan(count.error)


# ---- bad input ------------------------------------------------------------------------------------


BOWL = wedges.Quadratic(np.ones(5))


def cut(**changes):
    settings = dict(theta=np.zeros(5), dimensions=[1, 2], samples=1, seed=0, **EXACT)
    settings |= {"follow": lambda *_: pytest.fail("it descended"), **changes}
    return wedges.smallest_cut(BOWL, settings.pop("theta"), settings.pop("dimensions"), **settings)


def eigenvalues(theta=(0.0,) * 5, floor=0.5, landscape=BOWL, **changes):
    return wedges.eigenvalue_count(landscape, theta, floor, **dict(samples=1, steps=1, seed=0) | changes)


class Kink(wedges.Landscape):
    """sum_i |x_i|^{3/2}: at 0 the second derivative is infinite."""

    dimension, dtype = 2, tf.float32

    def __call__(self, theta):
        return tf.reduce_sum(tf.abs(self.point(theta)) ** 1.5, axis=-1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cut(dimensions=[]), r"dimensions must .*from 1 to D = 5; received \[\]"),
        (lambda: cut(dimensions=3), "dimensions must be rising whole numbers .*received 3"),
        (lambda: cut(dimensions=[[1, 2]]), r"dimensions must .*received \[\[1, 2\]\]"),
        (lambda: cut(dimensions=[2, 1]), r"dimensions must be rising .*received \[2, 1\]"),
        (lambda: cut(dimensions=np.array([2, 1], np.uint8)), r"dimensions must .*received \[2, 1\]"),
        (lambda: cut(dimensions=[1, 1]), r"dimensions must be rising .*received \[1, 1\]"),
        (lambda: cut(dimensions=[1.5, 2.5]), r"dimensions must be .*whole .*received \[1.5, 2.5\]"),
        (lambda: cut(dimensions=[0, 1]), r"dimensions must be .*from 1 to .*received \[0, 1\]"),
        (lambda: cut(dimensions=[1, 6]), r"dimensions must be .*to D = 5; received \[1, 6\]"),
        (lambda: cut(displacement=0.0), "displacement must be a finite number above 0; received 0.0"),
        (lambda: cut(displacement=-1.0), "displacement must .*received -1.0"),
        (lambda: cut(displacement=np.inf), "displacement must .*received inf"),
        (lambda: cut(displacement=np.nan), "displacement must .*received nan"),
        (lambda: cut(samples=0), "samples must be a whole number, at least 1; received 0"),
        (lambda: cut(samples=1.5), "samples must be a whole number, at least 1; received 1.5"),
        (lambda: cut(seed=-1), "seed must be a whole number, at least 0; received -1"),
        (lambda: cut(theta=np.zeros(4)), r"theta must have .*5\].*received shape \(4,\)"),
        (lambda: cut(theta=np.zeros((2, 5))), r"theta must be one point \[5\]; received shape \(2, 5\)"),
        (lambda: cut(theta=[0, 0, np.nan, 0, 0]), "theta must be finite; received NaN or infinity"),
        (lambda: cut(optimizer="downhill"), "optimizer must be .*downhill"),
        (
            lambda: cut(descend_on=wedges.Quadratic(np.ones(4))),
            "descend_on must have the landscape's D = 5 .*float32; received D = 4 and float32",
        ),
        (
            lambda: cut(descend_on=wedges.Quadratic(np.ones(5), dtype="float64")),
            "descend_on must have .*dtype float32; received D = 5 and float64",
        ),
        (lambda: short.recovered(None, 0.0), "threshold must be a share .*received 0.0"),
        (lambda: short.recovered(None, 1.0), "threshold must be a share .*received 1.0"),
        (lambda: short.recovered(None, np.nan), "threshold must be a share .*received nan"),
        (lambda: eigenvalues(samples=0), "samples must be a whole number, at least 1; received 0"),
        (lambda: eigenvalues(samples=2.0), "samples must be a whole number, at least 1; received 2.0"),
        (lambda: eigenvalues(steps=0), "steps must be a whole number, at least 1; received 0"),
        (lambda: eigenvalues(steps=2.5), "steps must be a whole number, at least 1; received 2.5"),
        (lambda: eigenvalues(seed=-1), "seed must be a whole number, at least 0; received -1"),
        (lambda: eigenvalues(floor=np.nan), "floor must be a number or several .*received nan"),
        (
            lambda: eigenvalues(floor=[[1.0]]),
            r"floor must be a number or several .*received \[\[1.0\]\]",
        ),
        (lambda: eigenvalues(np.zeros(4)), r"theta must have .*5\].*received shape \(4,\)"),
        (lambda: eigenvalues(np.zeros((1, 5))), r"theta must be one point \[5\]; .*shape \(1, 5\)"),
        (lambda: eigenvalues([0, 0, np.inf, 0, 0]), "theta must be finite; received NaN or infinity"),
        (
            lambda: eigenvalues([0, 1], landscape=Kink()),
            "theta must have a finite Hessian; received NaN or infinity",
        ),
    ],
)
def test_what_cannot_be_probed_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
