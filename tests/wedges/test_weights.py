"""A model's weights as one vector: there and back, its layers, its filters."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import MODELS, SPARSE, batch_norm, frozen, nested, plain, shared, subclassed


@pytest.mark.parametrize("build", MODELS, ids=lambda m: m.__name__)
def test_write_then_read_is_the_identity(build):
    space = wedges.WeightSpace(build())
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    space.write(theta)
    np.testing.assert_array_equal(space.read(), theta)
    np.testing.assert_array_equal(space.flatten(space.unflatten(tf.constant(theta))), theta)


@pytest.mark.parametrize("build", MODELS, ids=lambda m: m.__name__)
def test_another_model_of_the_same_weights_is_read_as_a_point_of_the_space(build):
    mine, other = build(), build()
    space = wedges.WeightSpace(mine)
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    before = space.read()
    wedges.WeightSpace(other).write(theta)
    np.testing.assert_array_equal(space.read(other), theta)
    np.testing.assert_array_equal(space.read(), before)
    np.testing.assert_array_equal(space.read(mine), before)


def dense(*widths, dtype=None):
    return keras.Sequential([keras.Input((4,)), *(layers.Dense(w, dtype=dtype) for w in widths)])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dense(5, 2), r"number 0 is \('.*/kernel', \(4, 5\)\) instead of \('.*', \(4, 3\)\)"),
        (lambda: dense(3, 5), r"number 2 is \('.*/kernel', \(3, 5\)\) instead of \('.*', \(3, 2\)\)"),
        (lambda: dense(1, 9), r"number 0 is \('.*/kernel', \(4, 1\)\) instead of"),  # D is 23 in both
        (lambda: dense(3), r"number 2 is none instead of \('.*/kernel', \(3, 2\)\)"),
        (lambda: dense(3, 2, 2), r"number 4 is \('.*/kernel', \(2, 2\)\) instead of none"),
        (lambda: dense(3, 2, dtype="float64"), r"dtype float64 and float32"),
        (lambda: keras.Sequential([layers.Dense(3)]), "is not built"),
        (lambda: np.zeros(23), "model must be a keras.Model; received ndarray"),
    ],
)
def test_a_model_of_other_weights_is_no_point_of_the_space(build, words):
    space, other = wedges.WeightSpace(dense(3, 2)), build()
    with pytest.raises(ValueError, match=words) as caught:
        space.read(other)
    if "instead" in words:
        assert f"model {other.name!r} must have the weights of {space.model.name!r}" in str(caught.value)


def test_a_shared_layer_counts_once_and_a_frozen_one_not_at_all():
    assert wedges.WeightSpace(shared()).dimension == (9 + 1) + (64 * 3 + 3)
    assert wedges.WeightSpace(frozen()).dimension == 64 * 6 + 6
    assert wedges.WeightSpace(plain()).dimension == 64 * 6 + 6 + 6 * 3 + 3


# ---- layers ---------------------------------------------------------------------------------------


def test_layers_of_one_name_are_told_apart():
    parts = [
        keras.Sequential([keras.Input((n,)), layers.Dense(m, name="d")]) for n, m in ((3, 4), (4, 2))
    ]
    space = wedges.WeightSpace(keras.Sequential([keras.Input((3,)), *parts]))
    assert sorted(len(where) for where in space.layers.values()) == [10, 16]


@pytest.mark.parametrize("build", [plain, batch_norm, nested, shared, subclassed])
def test_layers_cover_theta_once(build):
    space = wedges.WeightSpace(build())
    covered = np.concatenate(list(space.layers.values()))
    np.testing.assert_array_equal(np.sort(covered), np.arange(space.dimension))
    for name, where in space.layers.items():
        own = [v for v in space.variables if v.path == f"{name}/{v.name}"]
        values = np.concatenate([np.ravel(v) for v in own])
        np.testing.assert_array_equal(space.read().numpy()[where], values)


# ---- filters --------------------------------------------------------------------------------------


def test_filters_are_the_columns_of_every_kernel_and_vectors_have_none():
    space = wedges.WeightSpace(batch_norm())
    assert space.filters.shape == (space.dimension,) and space.filters.dtype.kind == "i"
    parts = np.split(space.filters, np.cumsum(space.sizes)[:-1])
    number = 0
    for path, shape, part in zip([v.path for v in space.variables], space.shapes, parts, strict=True):
        if len(shape) == 1:
            assert path.split("/")[-1] in ("bias", "gamma", "beta") and (part == -1).all()
            continue
        # Every number of output channel c is in one filter, and no filter is in two kernels.
        by_channel = part.reshape(shape).reshape(-1, shape[-1])
        np.testing.assert_array_equal(
            by_channel, np.tile(number + np.arange(shape[-1]), (len(by_channel), 1))
        )
        number += shape[-1]
    assert number == 3 + 4 + 3 == space.filters.max() + 1


def test_filters_by_hand():
    space = wedges.WeightSpace(dense(2, 1))  # kernels [4, 2] and [2, 1]
    np.testing.assert_array_equal(space.filters, [0, 1] * 4 + [-1, -1] + [2, 2] + [-1])


@pytest.mark.parametrize("build", MODELS, ids=lambda m: m.__name__)
def test_the_filter_of_a_kernel_moves_one_output_channel_alone(build):
    """All its numbers stand in one kernel at one place of its last axis, and no others stand there."""
    space = wedges.WeightSpace(build())
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    assert set(space.filters) == set(range(-1, space.filters.max() + 1))
    for number in range(space.filters.max() + 1):
        changed = np.where(space.filters == number, 2 * theta, theta)
        seen = []
        for old, new in zip(*(space.unflatten(tf.constant(t)) for t in (theta, changed)), strict=True):
            moved = np.argwhere(np.array(old) != np.array(new))
            if len(moved):
                channels = set(moved[:, -1])
                seen.append((len(moved), len(channels)))
                assert len(moved) == np.size(old) // old.shape[-1]
        assert len(seen) == 1 and seen[0][1] == 1


def convolutions(layer):
    return keras.Sequential([keras.Input((6, 6, 3)), layer])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(4, 3, use_bias=False),
        lambda: layers.Conv2D(6, 3, groups=3, use_bias=False),
        lambda: layers.EinsumDense("bxyc,cd->bxyd", output_shape=(6, 6, 4)),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        lambda: layers.Conv2DTranspose(4, 3, use_bias=False),
    ],
)
def test_a_filter_is_what_one_output_channel_is_made_with(layer):
    model = convolutions(layer())
    space = wedges.WeightSpace(model)
    theta = np.random.default_rng(0).normal(size=space.dimension).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32)
    space.write(theta)
    before = np.array(model(x))
    count = space.filters.max() + 1
    assert count == before.shape[-1]
    touched = []
    for number in range(count):
        space.write(np.where(space.filters == number, 3 * theta, theta))
        touched.append(np.abs(np.array(model(x)) - before).max(axis=(0, 1, 2)) > 1e-4)
    np.testing.assert_array_equal(np.sort(np.argmax(touched, axis=1)), np.arange(count))
    assert np.sum(touched) == count


def test_both_kernels_of_a_separable_convolution_have_a_filter_for_each_channel_they_make():
    model = convolutions(layers.SeparableConv2D(4, 3, depth_multiplier=2))
    space = wedges.WeightSpace(model)
    assert [v.name for v in space.variables] == ["depthwise_kernel", "pointwise_kernel", "bias"]
    depthwise, pointwise, bias = np.split(space.filters, np.cumsum(space.sizes)[:-1])
    np.testing.assert_array_equal(depthwise.reshape(9, 6), np.tile(np.arange(6), (9, 1)))
    np.testing.assert_array_equal(pointwise.reshape(6, 4), np.tile(6 + np.arange(4), (6, 1)))
    assert (bias == -1).all()


# ---- what another model has besides -----------------------------------------------------------------


def other_statistics(build):
    one, two = build(), build()
    for v in two.non_trainable_weights:
        if "moving" in v.path:
            v.assign(v + 0.5)
    return one, two


def landscape(model, policy, images):
    return wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm=policy)


def test_other_batch_norm_statistics_than_the_landscapes_do_not_pass_without_a_word(images):
    one, two = other_statistics(batch_norm)
    with pytest.warns(UserWarning, match='other batch-norm statistics .* Use batch_norm="reestimate"'):
        landscape(one, "frozen", images).space.read(two)
    with pytest.warns(UserWarning, match="other batch-norm statistics"):
        wedges.WeightSpace(one).read(two)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = landscape(one, "reestimate", images)
        b = found.space.read(two)
        found.space.read(one)
        landscape(one, "frozen", images).space.read(batch_norm())  # of the same statistics
    alone = landscape(two, "reestimate", images)  # the right number for a second model
    np.testing.assert_allclose(found(b), alone(alone.space.read()), rtol=1e-6)


def test_other_weights_that_are_not_trained_are_named(images):
    one, two = frozen(), frozen()
    two.non_trainable_weights[0].assign_add(tf.ones_like(two.non_trainable_weights[0]))
    for policy in ("frozen", "reestimate"):
        with pytest.warns(UserWarning, match="differs .* in weights that are not trained .*kernel"):
            landscape(one, policy, images).space.read(two)
