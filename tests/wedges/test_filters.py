"""What a filter is in each layer of Keras, and that equal functions have equal profiles."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges

N = None  # belongs to no filter
few = settings(max_examples=8, deadline=None, derandomize=True, database=None)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def model_of(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def attention_of(layer, shape=(5, 6)):
    x = keras.Input(shape)
    return keras.Model(x, layer(x, x) if isinstance(layer, HEADS) else layer([x, x]))


HEADS = (layers.MultiHeadAttention, layers.GroupQueryAttention)


class Own(keras.layers.Layer):
    def build(self, shape):
        width = shape[-1]
        for name, wide in {
            "table": (2, width),
            "bias": (2, 3),
            "out_bias": (2, 2),
            "gain": (1,),
        }.items():
            setattr(self, name, self.add_weight(shape=wide, name=name))
        self.embeddings = self.add_weight(shape=(4, 3), name="embeddings")

    def call(self, x):
        return x * self.gain


def lora(layer, shape):
    model = model_of(shape, layer)
    layer.enable_lora(2)
    return model


# {what: (a model, the axes along which the filters of each of its weights are counted)}
KINDS = {
    "dense": (lambda: model_of((4,), layers.Dense(3)), [(1,), N]),
    "convolution": (lambda: model_of((6, 6, 4), layers.Conv2D(6, 3, groups=2)), [(3,), N]),
    "one axis": (lambda: model_of((6, 2), layers.Conv1D(3, 2)), [(2,), N]),
    "three axes": (lambda: model_of((4, 4, 4, 2), layers.Conv3D(3, 2)), [(4,), N]),
    "transposed": (lambda: model_of((4, 4, 2), layers.Conv2DTranspose(3, 2)), [(2,), N]),
    "transposed, one axis": (lambda: model_of((4, 2), layers.Conv1DTranspose(3, 2)), [(1,), N]),
    "transposed, three": (lambda: model_of((4, 4, 4, 2), layers.Conv3DTranspose(3, 2)), [(3,), N]),
    "depthwise": (
        lambda: model_of((4, 4, 3), layers.DepthwiseConv2D(2, depth_multiplier=2)), [(2, 3), N],
    ),
    "separable": (lambda: model_of((6, 3), layers.SeparableConv1D(4, 2)), [(1, 2), (2,), N]),
    "einsum": (lambda: model_of((5, 4), layers.EinsumDense("abc,cd->abd", (5, 3))), [(1,)]),
    "einsum of two": (
        lambda: model_of((5, 4), layers.EinsumDense("...c,cde->...de", (5, 3, 2), bias_axes="de")),
        [(1, 2), N],
    ),
    "einsum, a channel by itself": (
        lambda: model_of((5, 4), layers.EinsumDense("abc,cbd->abd", (5, 3), bias_axes="bd")),
        [(1, 2), N],
    ),
    "simple recurrence": (lambda: model_of((5, 4), layers.SimpleRNN(3)), [(1,), (1,), N]),
    "LSTM": (lambda: model_of((5, 4), layers.LSTM(3)), [(1,), (1,), N]),
    "GRU": (lambda: model_of((5, 4), layers.GRU(3)), [(1,), (1,), N]),
    "both ways": (lambda: model_of((5, 4), layers.Bidirectional(layers.GRU(3))), 2 * [(1,), (1,), N]),
    "cells": (
        lambda: model_of((5, 4), layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])),
        2 * [(1,), (1,), N],
    ),
    "ConvLSTM": (lambda: model_of((3, 5, 5, 2), layers.ConvLSTM2D(3, 2)), [(3,), (3,), N]),
    "time distributed": (lambda: model_of((5, 4), layers.TimeDistributed(layers.Dense(3))), [(1,), N]),
    "spectral": (lambda: model_of((4,), layers.SpectralNormalization(layers.Dense(3))), [(1,), N]),
    "embedding": (lambda: model_of((5,), layers.Embedding(7, 3)), [(0,)]),
    "attention": (
        lambda: attention_of(layers.MultiHeadAttention(2, 3, value_dim=4)),
        [(1, 2), N, (1, 2), N, (1, 2), N, (0, 1), N],
    ),
    "attention over two axes": (
        lambda: attention_of(
            layers.MultiHeadAttention(2, 3, attention_axes=(1, 2), output_shape=(2, 5)), (3, 4, 6)
        ),
        [(1, 2), N, (1, 2), N, (1, 2), N, (0, 1), N],
    ),
    "grouped attention": (
        lambda: attention_of(layers.GroupQueryAttention(3, 4, 2)),
        [(1, 2), N, (1, 2), N, (1, 2), N, (0, 1), N],
    ),
    "weights of attention alone": (
        lambda: attention_of(layers.Attention(use_scale=True, score_mode="concat")), [N, N],
    ),
    "additive attention": (lambda: attention_of(layers.AdditiveAttention()), [N]),
    "normalisations": (
        lambda: model_of(
            (4, 6), layers.BatchNormalization(), layers.LayerNormalization(axis=(1, 2)),
            layers.GroupNormalization(2), layers.UnitNormalization(), layers.PReLU(),
        ),
        7 * [N],
    ),
    "of your own": (lambda: model_of((3,), Own()), [(1,), N, N, N, (0,)]),
    "low rank": (lambda: lora(layers.Dense(3, use_bias=False), (4,)), [(1,), (0,)]),
    "low-rank embedding": (lambda: lora(layers.Embedding(7, 3), (5,)), [(1,), (0,)]),
    "low-rank convolution": (lambda: lora(layers.Conv2D(3, 2), (4, 4, 2)), [N, (3,), (0,)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_filters_of_every_layer_are_counted_along_its_own_axes(kind):
    build, along = KINDS[kind]
    space = wedges.WeightSpace(build())
    assert len(space.shapes) == len(along)
    count, expected = 0, []
    for shape, axes in zip(space.shapes, along, strict=True):
        number = np.full(shape, -1)
        if axes is not None:
            for place in np.ndindex(*(shape[a] for a in axes)):
                where = [slice(None)] * len(shape)
                for axis, i in zip(axes, place, strict=True):
                    where[axis] = i
                number[tuple(where)] = count
                count += 1
        expected.append(number.ravel())
    np.testing.assert_array_equal(space.filters, np.concatenate(expected))


@pytest.mark.skipif(not hasattr(layers, "RMSNormalization"), reason="younger than this Keras")
def test_an_rms_normalisation_over_two_axes_has_no_filter():
    space = wedges.WeightSpace(model_of((4, 6), layers.RMSNormalization(axis=(1, 2))))
    assert (space.filters == -1).all()


def test_a_kernel_that_another_layer_uses_too_belongs_to_the_first():
    class Tied(keras.layers.Layer):
        def __init__(self, table):
            super().__init__()
            self.table = table

        def call(self, x):
            return x @ keras.ops.transpose(self.table.embeddings)

    table = layers.Embedding(7, 3)
    space = wedges.WeightSpace(model_of((5,), table, layers.Dense(3), Tied(table)))
    np.testing.assert_array_equal(space.filters[:21], np.repeat(np.arange(7), 3))
    assert list(space.layers) == [table.path, space.model.layers[1].path]


# ---- equal functions look alike ---------------------------------------------------------------------


def stacked(*stack, shape):
    """A model, and a scaling: weight number i times c[i], each c a factor for each of some axes."""
    return lambda: model_of(shape, *(make() for make in stack))


def everywhere(a, b, bias=None, sign=1):
    """Weight a times c, and its bias; weight b over c."""
    scale = {a: lambda c, w: c[0], b: lambda c, w: c[0] ** -sign}
    return scale if bias is None else scale | {bias: lambda c, w: c[0]}


def along(axis, power=1):
    """A factor for each place of an axis, or of two."""
    axes = np.atleast_1d(axis)

    def factors(c, w):
        wide = [n if i in axes else 1 for i, n in enumerate(w.shape)]
        return np.resize(c, np.prod(wide)).reshape(wide) ** power

    return factors


RELU = lambda *args, kind=layers.Dense, **more: lambda: kind(*args, activation="relu", **more)
MAKE = lambda kind, *args, **more: lambda: kind(*args, **more)

# {what: (a model, {number of a weight: what it is scaled with, a function of random factors})}
EQUAL = {
    "two dense layers": (
        stacked(RELU(5), MAKE(layers.Dense, 3), shape=(4,)), everywhere(0, 2, 1),
    ),
    "two convolutions": (
        stacked(RELU(3, 2, kind=layers.Conv2D), MAKE(layers.Conv2D, 2, 2), shape=(4, 4, 2)),
        everywhere(0, 2, 1),
    ),
    "a transposed convolution": (
        stacked(
            RELU(3, 2, kind=layers.Conv2DTranspose), MAKE(layers.Conv2DTranspose, 2, 2), shape=(3, 3, 2)
        ),
        everywhere(0, 2, 1),
    ),
    "channels of a depthwise convolution": (
        stacked(RELU(3, 2, kind=layers.Conv2D), MAKE(layers.DepthwiseConv2D, 2), shape=(4, 4, 2)),
        {0: along(3), 1: along(0), 2: along(2, -1)},
    ),
    "both kernels of a separable convolution": (
        stacked(MAKE(layers.SeparableConv2D, 3, 2), shape=(4, 4, 2)), everywhere(0, 1),
    ),
    "an embedding and what reads it": (
        stacked(MAKE(layers.Embedding, 7, 3), MAKE(layers.LSTM, 3), shape=(5,)), everywhere(0, 1),
    ),
    "a layer before a GRU": (
        stacked(RELU(3), MAKE(layers.GRU, 3), shape=(5, 4)), everywhere(0, 2, 1),
    ),
    "a layer before recurrence both ways": (
        stacked(RELU(3), lambda: layers.Bidirectional(layers.SimpleRNN(2)), shape=(5, 4)),
        {**everywhere(0, 2, 1), 5: lambda c, w: 1 / c[0]},
    ),
    "a layer before a convolutional recurrence": (
        stacked(RELU(3), MAKE(layers.ConvLSTM1D, 2, 2), shape=(3, 4, 2)), everywhere(0, 2, 1),
    ),
    "query and key of each head and dimension": (
        lambda: attention_of(layers.MultiHeadAttention(2, 3)),
        {0: along((1, 2)), 1: along((0, 1)), 2: along((1, 2), -1), 3: along((0, 1), -1)},
    ),
    "value and output of each head and dimension": (
        lambda: attention_of(layers.MultiHeadAttention(2, 3, value_dim=4)),
        {4: along((1, 2)), 5: along((0, 1)), 6: along((0, 1), -1)},
    ),
    "a head that several queries share": (
        lambda: attention_of(layers.GroupQueryAttention(3, 4, 2)),
        {  # keys and values have 2 heads, queries 4, two a head
            0: lambda c, w: np.repeat(c[:2], 2)[:, None], 1: lambda c, w: np.repeat(c[:2], 2)[:, None],
            2: lambda c, w: 1 / c[:2, None], 3: lambda c, w: 1 / c[:2, None],
            4: lambda c, w: c[2:4, None], 5: lambda c, w: c[2:4, None],
            6: lambda c, w: 1 / np.repeat(c[2:4], 2)[:, None, None],
        },
    ),
    "both factors of a low-rank update": (
        lambda: lora(layers.Dense(3, use_bias=False), (4,)), {0: along(1), 1: along(0, -1)},
    ),
}  # fmt: skip


@functools.cache
def landscape_of(kind):
    """A float64 model on random data."""
    keras.config.set_dtype_policy("float64")
    try:
        keras.utils.set_random_seed(0)
        model = EQUAL[kind][0]()
    finally:
        keras.config.set_dtype_policy("float32")
    words = isinstance(model.layers[0], layers.Embedding)
    shape = model.input_shape[1:]
    x = np.random.default_rng(1).integers(0, 7, (6, *shape)) if words else normal(1, 6, *shape)
    y = normal(2, 6, *model.output_shape[1:])
    return wedges.NetworkLandscape(model, x, y, "mean_squared_error", seed=0)


@pytest.mark.parametrize("kind", EQUAL)
@given(seed=st.integers(0, 99), size=st.floats(0.1, 3))
@few
def test_functions_that_are_equal_by_rescaling_have_equal_profiles(kind, seed, size):
    landscape, scales = landscape_of(kind), EQUAL[kind][1]
    space = landscape.space
    theta = 0.5 * normal(3, space.dimension)
    factors = np.exp(size * normal(seed, 40))
    parts = [np.array(w) for w in space.unflatten(theta)]
    for i, scale in scales.items():
        parts[i] = parts[i] * scale(factors, parts[i])
    other = np.array(space.flatten(parts))
    assert not np.allclose(theta, other)
    found = []
    for here in (theta, other):
        directions = wedges.filter_normalized(here, space.filters, 2, seed=0)
        found.append(wedges.radial_profile(landscape, here, directions, [-0.5, 0.0, 0.7]).losses)
    near = 1e-9 if landscape.dtype == tf.float64 else 1e-5  # Keras has low-rank updates in float32
    np.testing.assert_allclose(*found, rtol=near)
    assert np.ptp(found[0]) > 1e-3 * found[0].max()


# ---- layers ---------------------------------------------------------------------------------------


def test_layers_of_one_path_have_an_entry_each():
    def block(width):
        x = keras.Input((6,))
        return keras.Model(x, layers.Dense(width, "tanh", name="fc")(x))

    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(3, name="fc_1")(block(6)(block(6)(x))))
    space = wedges.WeightSpace(model)
    assert {name: len(where) for name, where in space.layers.items()} == {
        "fc": 42,
        "fc_2": 42,
        "fc_1": 21,
    }
    np.testing.assert_array_equal(np.concatenate(list(space.layers.values())), np.arange(105))


def test_a_layer_whose_weights_have_several_paths_has_one_entry():
    layer = layers.Dense(3, name="fc")
    model = keras.Sequential([keras.Input((4,)), layer], name="net")
    layer.enable_lora(2)
    space = wedges.WeightSpace(model)
    assert {name: len(where) for name, where in space.layers.items()} == {"net/fc": 3 + 8 + 6}


def test_weights_of_no_layer_are_the_models_own():
    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.loose = keras.Variable(np.ones((2, 2), "float32"), name="loose")
            self.own = self.add_weight(shape=(2,), name="own")
            self.end = layers.Dense(1, name="end")

        def call(self, x):
            return self.end(x @ self.loose + self.own)

    model = Net()
    model(np.ones((1, 2), np.float32))
    space = wedges.WeightSpace(model)
    assert {name: len(where) for name, where in space.layers.items()} == {"net": 6, "net/end": 3}
    np.testing.assert_array_equal(space.filters, [0, 1, 0, 1, -1, -1, 2, 2, -1])


# ---- the surface of Li et al. ---------------------------------------------------------------------


def test_a_filter_plane_is_the_loss_at_each_of_its_points():
    model = model_of((4,), layers.Dense(3, "tanh"), layers.Dense(2))
    x, y = normal(0, 9, 4).astype(np.float32), np.arange(9) % 2
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    landscape = wedges.NetworkLandscape(model, x, y, loss, seed=0)
    theta, space = landscape.space.read().numpy(), landscape.space
    a, b = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([1.5, -0.5])
    found = wedges.filter_plane(landscape, theta, a, b, seed=4)
    expected = wedges.filter_normalized(theta, space.filters, 2, seed=4)
    np.testing.assert_array_equal(found.directions, expected)
    assert abs(expected[0] @ expected[1]) > 1e-3  # as they are, not made normal to each other
    assert found.losses.shape == (2, 4) and found.losses.dtype == np.float32
    for i, j in np.ndindex(2, 4):
        space.write(theta + np.float32(a[j]) * expected[0] + np.float32(b[i]) * expected[1])
        np.testing.assert_allclose(found.losses[i, j], loss(y, model(x)), rtol=1e-5)
    np.testing.assert_array_equal(found.x, a)
    np.testing.assert_array_equal(found.y, b)
    # The same of what is made of it, in its space; not inside a subspace of it.
    squared = wedges.filter_plane(wedges.Squared(landscape), theta, a, b, seed=4)
    np.testing.assert_allclose(squared.losses, found.losses**2 / 2, rtol=1e-6)
    inside = wedges.restrict(landscape, wedges.random_cut(theta, 3, seed=0))
    with pytest.raises(ValueError, match="landscape must be a network's whole space.*Restricted"):
        wedges.filter_plane(inside, np.zeros(3), a, b, seed=4)


def test_a_filter_plane_is_drawn_as_it_is():
    bowl, grid = wedges.Quadratic([1.0, 2.0, 3.0]), np.linspace(-1, 1, 5)
    found = wedges.filter_plane(bowl, [1.0, 1.0, 1.0], grid, grid[:4], seed=0, filters=[0, 0, -1])
    figure, axes = wedges.plots.grid(1, 1, title="Li et al.'s")
    wedges.plots.contours(axes[0, 0], *found[:3], low=0, high=6, lines=2, label="loss")
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filters": None}, r"or filters must be given; received Quadratic\(D = 3"),
        ({"filters": [0, 1]}, r"filters must hold one whole number for each .* int64 \(2,\)"),
        ({"filters": [0.0, 1.0, 1.0]}, "filters must hold one whole number"),
        ({"theta": [1.0, 1.0]}, r"theta must have shape \[..., 3\]"),
        ({"theta": [1.0, 1.0, np.nan]}, "theta must be finite"),
        ({"x": []}, r"x must be finite numbers \[A\]; received \[\]"),
        ({"y": ["a"]}, r"y must be finite numbers \[A\]; received \['a'\]"),
        ({"seed": -1}, "seed must be a whole number, at least 0; received -1"),
        ({"seed": 1.5}, "seed must be a whole number, at least 0; received 1.5"),
        (
            {"landscape": keras.Sequential(name="mine")},
            "landscape must be a wedges.Landscape; received S",
        ),
    ],
)
def test_a_filter_plane_of_something_else_is_refused(change, words):
    given = {"landscape": wedges.Quadratic([1.0, 2, 3]), "theta": [1.0, 1, 1], "x": [0.0], "y": [0.0]}
    given |= {"seed": 0, "filters": [0, 1, 1], **change}
    with pytest.raises(ValueError, match=words) as caught:
        wedges.filter_plane(**given)
    assert "\n" not in str(caught.value)


def test_thetas_of_any_size_have_filters_of_their_length():
    for size in (1e-300, 1e-30, 1e30, 1e300):
        theta = size * np.array([3.0, 4.0, 0.0, 1.0])
        v = wedges.filter_normalized(theta, [0, 0, 1, 2], 3, seed=0)
        np.testing.assert_allclose(np.linalg.norm(v[:, :2] / size, axis=1), 5, rtol=1e-12)
        assert (v[:, 2] == 0).all()
    small = wedges.filter_normalized(np.array([3e-30, 4e-30], np.float32), [0, 0], 1, seed=0)
    np.testing.assert_allclose(np.linalg.norm(small.astype(float)), 5e-30, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32, list, tuple, tf.constant])
def test_a_theta_of_any_type_has_directions(kind):
    theta = kind([3.0, 4.0]) if kind in (list, tuple, tf.constant) else np.array([3, 4], kind)
    v = wedges.filter_normalized(theta, [0, 0], 3, seed=0)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 5, rtol=1e-6)
