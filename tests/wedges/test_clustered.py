"""The model of clustered logit gradients against slow sums, autodiff and random-matrix theory."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from wedges.clustered import ClusteredLogits

SMALL = dict(dimension=23, examples=11, classes=4, seed=0, noise=0.7)
FULL = SMALL | dict(mixing=0.5, bias=0.3, bend=2.0)


def logits(model, spread, margin):
    """z [N, C] as the module's text defines it."""
    z = spread * model.offsets.copy()
    for i, label in enumerate(model.labels):
        z[i, label] += spread * margin
    return z


def eigenvalues(point):
    """Of G = X^T X, falling."""
    return np.linalg.svd(point.factor, compute_uv=False) ** 2


@pytest.mark.parametrize("made", [SMALL, FULL])
def test_gradient_and_curvature_are_a_slow_sum_over_examples_and_logits(made):
    model = ClusteredLogits(**made)
    spread, length, margin = 1.3, 2.5, 0.8
    point = model.at(spread=spread, length=length, margin=margin)
    n, classes, d = model.directions.shape
    gradient, matrix = np.zeros(d), np.zeros((d, d))
    for i, z in enumerate(logits(model, spread, margin)):
        p = [np.exp(zk) / sum(np.exp(zl) for zl in z) for zk in z]
        np.testing.assert_allclose(point.probabilities[i], p, rtol=1e-12)
        rows = [length * model.directions[i, k] for k in range(classes)]
        for k in range(classes):
            gradient += (p[k] - (k == i % classes)) * rows[k] / n
            for j in range(classes):
                matrix += p[k] * ((k == j) - p[j]) * np.outer(rows[k], rows[j]) / n
    np.testing.assert_allclose(point.gradient, gradient, atol=1e-14)
    np.testing.assert_allclose(point.factor.T @ point.factor, matrix, atol=1e-13)


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_gradient_and_curvature_are_those_of_a_network_with_linear_logits(margin):
    model = ClusteredLogits(**FULL)
    point = model.at(spread=0.9, length=3.0, margin=margin)
    rows, z = tf.constant(3.0 * model.directions), tf.constant(logits(model, 0.9, margin))
    theta = tf.Variable(np.zeros(model.dimension))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                model.labels, z + tf.einsum("nkd,d->nk", rows, theta)
            )
            loss = tf.reduce_mean(losses)
        gradient = inner.gradient(loss, theta)
    hessian = outer.jacobian(gradient, theta)
    np.testing.assert_allclose(point.gradient, gradient, atol=1e-13)
    np.testing.assert_allclose(point.factor.T @ point.factor, hessian, atol=1e-12)


def test_logit_gradients_are_centres_class_parts_and_noise_of_their_lengths():
    quiet = ClusteredLogits(60, 12, 5, seed=1, noise=0.0)
    np.testing.assert_allclose(quiet.centres @ quiet.centres.T, np.eye(5), atol=1e-12)
    np.testing.assert_array_equal(quiet.directions, np.broadcast_to(quiet.centres, (12, 5, 60)))
    mixed = ClusteredLogits(60, 12, 5, seed=1, noise=0.0, mixing=0.5)
    own = mixed.directions - mixed.centres
    cosines = np.einsum("ikd,jld->ikjl", own, own) / 0.25
    for i, a in enumerate(mixed.labels):
        for j, b in enumerate(mixed.labels):
            np.testing.assert_allclose(cosines[i, :, j], (a == b) * np.eye(5), atol=1e-12)
    np.testing.assert_allclose(np.einsum("ikd,ld->ikl", own, mixed.centres), 0, atol=1e-12)
    noisy = ClusteredLogits(2000, 30, 5, seed=1, noise=3.0)
    lengths = np.linalg.norm(noisy.directions - noisy.centres, axis=-1)
    assert np.abs(lengths - 3).max() < 4 * 3 / np.sqrt(2 * 2000)


def test_offsets_share_their_bias_over_examples():
    model = ClusteredLogits(100, 200, 100, seed=0, noise=0.0, bias=2.0)
    np.testing.assert_allclose(model.offsets.mean(axis=0).std(), 2, rtol=0.15)
    np.testing.assert_allclose(model.offsets.std(axis=0, ddof=1).mean(), 1, rtol=0.02)
    assert np.bincount(model.labels).tolist() == [2] * 100


@settings(deadline=None, max_examples=30)
@given(
    st.integers(2, 6),
    st.integers(1, 3),
    st.floats(0, 1),
    st.floats(0, 2),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.integers(0, 2**32),
)
def test_without_noise_the_rank_is_classes_less_one_and_so_in_each_class_with_mixing(
    classes, each, spread, margin, mixing, seed
):
    model = ClusteredLogits(50, each * classes, classes, seed=seed, noise=0.0, mixing=mixing, bias=0.5)
    values = eigenvalues(model.at(spread=spread, length=7.0, margin=margin))
    rank = (classes - 1) * (classes if mixing else 1)
    assert values[rank - 1] > 1e-12 * values[0] and np.all(values[rank:] < 1e-24 * values[0])


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_at_equal_probabilities_without_noise_all_eigenvalues_are_equal(classes):
    model = ClusteredLogits(40, 15, classes, seed=3, noise=0.0, bias=1.0)
    point = model.at(spread=0.0, length=6.0, margin=2.0)
    np.testing.assert_allclose(point.probabilities, 1 / classes)
    np.testing.assert_allclose(eigenvalues(point)[: classes - 1], 36 / classes)
    spike = model.spike(6.0)
    assert spike[:3] == (pytest.approx(36 / classes), 0, 1)


def test_length_scales_gradient_and_residual_once_and_curvature_twice():
    model = ClusteredLogits(**FULL)
    one, three = (model.at(spread=0.5, length=a, margin=1.0) for a in (1.0, 3.0))
    np.testing.assert_array_equal(three.probabilities, one.probabilities)
    np.testing.assert_allclose(three.gradient, 3 * one.gradient)
    np.testing.assert_allclose(three.factor, 3 * one.factor)
    np.testing.assert_allclose(three.residual, 3 * one.residual)


def test_huge_logits_freeze_the_model_and_stay_finite():
    point = ClusteredLogits(**FULL).at(spread=1e4, length=1.0, margin=1e3)
    np.testing.assert_array_equal(point.probabilities.max(axis=1), 1)
    for part in point[1:]:
        np.testing.assert_array_equal(part, 0)


def test_the_residual_is_symmetric_with_the_spectrum_of_a_semicircle():
    bend, length = 3.0, 2.0
    model = ClusteredLogits(600, 40, 5, seed=0, noise=1.0, bend=bend)
    point = model.at(spread=1.0, length=length)
    np.testing.assert_array_equal(point.residual, point.residual.T)
    error = point.probabilities - np.eye(5)[np.arange(40) % 5]
    radius = 2 * bend * length * np.sqrt(np.sum(error**2)) / 40
    values = np.linalg.eigvalsh(point.residual)
    np.testing.assert_allclose(values[[0, -1]], [-radius, radius], rtol=0.03)
    np.testing.assert_allclose(values.std(), radius / 2, rtol=0.02)
    assert not ClusteredLogits(30, 10, 5, seed=0, noise=1.0).at(spread=1.0, length=1.0).residual.any()


# ---- the outliers of random-matrix theory ---------------------------------------------------------


def measured(model, length):
    """The C - 1 largest eigenvalues of G, the next, and the vectors' share in the centres' span."""
    x = model.at(spread=0.0, length=length).factor
    d, last = model.dimension, model.classes - 1
    values, vectors = scipy.linalg.eigh(x.T @ x, subset_by_index=(d - last - 1, d - 1))
    share = np.sum((model.centres @ vectors[:, 1:]) ** 2) / last
    return values[:0:-1], values[0], share


@pytest.mark.parametrize("classes", [3, 6])
def test_a_spike_is_where_outliers_edge_and_vectors_are_measured(classes):
    d, n, length = 800, 250, 5.0
    c = n * (classes - 1) / d
    assert (c < 1) == (classes == 3)
    threshold = np.sqrt(n) / c**0.25
    for share, seed in ((0.3, 0), (0.6, 1)):
        model = ClusteredLogits(d, n, classes, seed=seed, noise=share * threshold)
        outliers, edge, overlap = measured(model, length)
        spike = model.spike(length)
        assert spike.threshold == pytest.approx(threshold)
        np.testing.assert_allclose(outliers.mean(), spike.outlier, rtol=0.03)
        np.testing.assert_allclose(edge, spike.edge, rtol=0.04)
        np.testing.assert_allclose(overlap, spike.overlap, atol=0.03)
        assert outliers[-1] > 1.1 * edge
    model = ClusteredLogits(d, n, classes, seed=2, noise=2.5 * threshold)
    outliers, edge, overlap = measured(model, length)
    spike = model.spike(length)
    assert spike.outlier == spike.edge and spike.overlap == 0
    np.testing.assert_allclose(outliers[0], spike.edge, rtol=0.04)
    assert outliers[-1] > 0.98 * edge  # no gap
    assert overlap < 0.1


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(2, 60), st.integers(10, 90), st.floats(0.1, 9))
def test_at_its_threshold_a_spike_enters_the_edge_without_a_jump(classes, n, d, length):
    model = ClusteredLogits(d, n, classes, seed=0, noise=1.0)
    model.noise = model.spike().threshold * (1 - 1e-6)
    before = model.spike(length)
    assert before.outlier == pytest.approx(before.edge, rel=1e-9) and 0 <= before.overlap < 1e-4
    model.noise = before.threshold
    at = model.spike(length)
    assert at.outlier == at.edge == pytest.approx(before.edge, rel=1e-5) and at.overlap == 0
    model.noise = 0.5 * before.threshold
    inside = model.spike(length)
    assert inside.outlier > inside.edge and 0 < inside.overlap < 1
    model.noise = 1e-6
    assert model.spike(length).outlier == pytest.approx(length**2 / classes)
    model.noise = 0.0
    assert model.spike(length)[:3] == (pytest.approx(length**2 / classes), 0, 1)


# ---- input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dimension", (1, 0, -3, 23.0, None)),
        ("examples", (1, 11.5, np.nan)),
        ("classes", (1, 4.0, "4")),
        ("noise", (-0.1, np.nan, np.inf)),
        ("mixing", (-0.1, np.nan, np.inf)),
        ("bias", (-1, np.nan, -np.inf)),
        ("bend", (-1e-9, np.nan, np.inf)),
    ],
)
def test_a_bad_argument_is_named_with_its_value(name, values):
    for value in values:
        with pytest.raises(ValueError) as error:
            ClusteredLogits(**FULL | {name: value})
        text = str(error.value)
        assert text.startswith(f"{name} must be ") and f"received {value!r}" in text


@pytest.mark.parametrize(("mixing", "least"), [(0.0, 4), (0.5, 20)])
def test_there_is_a_dimension_for_each_centre(mixing, least):
    made = SMALL | dict(mixing=mixing)
    with pytest.raises(ValueError, match=f"dimension must be at least {least}, .*received {least - 1}"):
        ClusteredLogits(**made | dict(dimension=least - 1))
    assert ClusteredLogits(**made | dict(dimension=least)).directions.shape == (11, 4, least)


def test_the_same_seed_is_the_same_model_and_another_is_another():
    points = [
        ClusteredLogits(**FULL | dict(seed=seed)).at(spread=1.0, length=1.0, margin=1.0)
        for seed in (5, 5, 6)
    ]
    for first, again, other in zip(*points, strict=True):
        np.testing.assert_array_equal(first, again)
        assert np.all(first != other)
