"""Products with the Hessian through every Keras layer, activation and loss, or words that refuse it.

The truth is central differences of the gradient, of fourth order, in float64. The operations that resize
images compute in float32 whatever they are given, and TensorFlow has 3D pooling in float32 only.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.wedges.operators import normal
from wedges.network import second_order

VECTOR, SERIES, IMAGE, VOLUME = (8,), (6, 4), (6, 6, 4), (4, 4, 4, 2)
AXES = {"1D": SERIES, "2D": IMAGE, "3D": VOLUME}
CONSTANT = {"PReLU": {}, "GroupNormalization": {"groups": 2}}


class Pair(layers.Layer):
    """A layer of two inputs, as one of one."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner([x, keras.ops.tanh(x[..., ::-1])])


class Self(layers.Layer):
    """Attention of a series to itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x, x)


class Beside(layers.Layer):
    """Layers side by side, and all that they make of x in one row."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.flat = inner, layers.Flatten()

    def call(self, x):
        return keras.ops.concatenate([self.flat(layer(x)) for layer in self.inner], axis=-1)


class Halves(layers.Layer):
    def call(self, x):
        return keras.activations.glu(x)


def activation(name):
    if name == "glu":
        return Halves()
    if name == "threshold":
        return layers.Activation(lambda x: keras.activations.threshold(x, 0.1, 0.0))
    return layers.Activation(name)


LAYERS = {
    f"activation {name}": (VECTOR, lambda name=name: activation(name))
    for name in dir(keras.activations)
    if name[0] != "_" and name not in ("get", "serialize", "deserialize")
}
for name in (
    "ELU",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Softmax",
    "UnitNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "BatchNormalization",
):
    if hasattr(layers, name):  # a younger Keras has more
        kind, settings = getattr(layers, name), CONSTANT.get(name, {})
        LAYERS[name] = IMAGE, lambda kind=kind, settings=settings: kind(**settings)
for axes, shape in AXES.items():
    made = {
        "MaxPooling{}": (2,),
        "AveragePooling{}": (2,),
        "GlobalMaxPooling{}": (),
        "GlobalAveragePooling{}": (),
        "AdaptiveAveragePooling{}": (2,),
        "AdaptiveMaxPooling{}": (2,),
        "UpSampling{}": (),
        "ZeroPadding{}": (),
        "Cropping{}": (),
        "SpatialDropout{}": (0.5,),
        "Conv{}": (3, 2),
        "Conv{}Transpose": (3, 2),
    }
    for name, arguments in made.items():
        if kind := getattr(layers, name.format(axes), None):
            LAYERS[name.format(axes)] = shape, lambda kind=kind, a=arguments: kind(*a)
    conv = getattr(layers, f"Conv{axes}")
    for name, settings in {
        "strided": {"kernel_size": 3, "strides": 2, "padding": "same"},
        "dilated": {"kernel_size": 2, "dilation_rate": 2},
        "in groups": {"kernel_size": 2, "groups": 2},
    }.items():
        LAYERS[f"Conv{axes} {name}"] = shape, lambda kind=conv, s=settings: kind(2, **s)
    for name in ("Max", "Average"):
        kind = getattr(layers, f"{name}Pooling{axes}")
        for padding, step in (("same", 1), ("valid", 1), ("same", 2)):
            made = lambda kind=kind, padding=padding, step=step: kind(3, step, padding=padding)
            LAYERS[f"{name}Pooling{axes} 3 {step} {padding}"] = shape, made
    inside = (2, 3, 3, 3, 2) if axes == "3D" else (3, *shape[:-1], 2)
    kind = getattr(layers, f"ConvLSTM{axes}")
    LAYERS[f"ConvLSTM{axes}"] = inside, lambda kind=kind: kind(2, 2)
for name, made in {
    "DepthwiseConv1D": (SERIES, lambda: layers.DepthwiseConv1D(3, activation="tanh")),
    "SeparableConv1D": (SERIES, lambda: layers.SeparableConv1D(2, 3, activation="tanh")),
    "DepthwiseConv2D": (IMAGE, lambda: layers.DepthwiseConv2D(3, activation="tanh")),
    "DepthwiseConv2D same": (IMAGE, lambda: layers.DepthwiseConv2D(3, padding="same")),
    "DepthwiseConv2D strided": (
        IMAGE,
        lambda: layers.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2),
    ),
    "DepthwiseConv2D strided, valid": (IMAGE, lambda: layers.DepthwiseConv2D(2, 2)),
    "DepthwiseConv2D dilated": (IMAGE, lambda: layers.DepthwiseConv2D(2, dilation_rate=2)),
    "SeparableConv2D": (IMAGE, lambda: layers.SeparableConv2D(2, 3, activation="tanh")),
    "CenterCrop": (IMAGE, lambda: layers.CenterCrop(3, 3)),
    "CenterCrop that resizes": (IMAGE, lambda: layers.CenterCrop(8, 8)),
    "Resizing, cropped": (IMAGE, lambda: layers.Resizing(4, 3, crop_to_aspect_ratio=True)),
    "Resizing, padded": (IMAGE, lambda: layers.Resizing(4, 3, pad_to_aspect_ratio=True)),
    "TimeDistributed": (SERIES, lambda: layers.TimeDistributed(layers.Dense(3, "softsign"))),
    "Attention": (SERIES, lambda: Pair(layers.Attention())),
    "Attention, concat": (
        SERIES,
        lambda: Pair(layers.Attention(use_scale=True, score_mode="concat")),
    ),
    "AdditiveAttention": (SERIES, lambda: Pair(layers.AdditiveAttention())),
    "MultiHeadAttention": (SERIES, lambda: Self(layers.MultiHeadAttention(2, 2))),
    "GroupQueryAttention": (SERIES, lambda: Self(layers.GroupQueryAttention(2, 4, 2))),
    "Add": (SERIES, lambda: Pair(layers.Add())),
    "Average": (SERIES, lambda: Pair(layers.Average())),
    "Maximum": (SERIES, lambda: Pair(layers.Maximum())),
    "Minimum": (SERIES, lambda: Pair(layers.Minimum())),
    "Multiply": (SERIES, lambda: Pair(layers.Multiply())),
    "Subtract": (SERIES, lambda: Pair(layers.Subtract())),
    "Concatenate": (SERIES, lambda: Pair(layers.Concatenate())),
    "Dot": (SERIES, lambda: Pair(layers.Dot(axes=2, normalize=True))),
    "EinsumDense": (SERIES, lambda: layers.EinsumDense("abc,cd->abd", (6, 3), bias_axes="d")),
    "SpectralNormalization": (VECTOR, lambda: layers.SpectralNormalization(layers.Dense(3))),
    "Masking": (SERIES, layers.Masking),
    "Permute": (SERIES, lambda: layers.Permute((2, 1))),
    "RepeatVector": (VECTOR, lambda: layers.RepeatVector(3)),
    "Normalization": (VECTOR, lambda: layers.Normalization(mean=1.0, variance=2.0)),
    "Rescaling": (VECTOR, lambda: layers.Rescaling(2.0)),
    "ActivityRegularization": (VECTOR, lambda: layers.ActivityRegularization(l2=0.1)),
    "GaussianNoise": (VECTOR, lambda: layers.GaussianNoise(1.0)),
    "GaussianDropout": (VECTOR, lambda: layers.GaussianDropout(0.5)),
    "Dropout": (VECTOR, lambda: layers.Dropout(0.5)),
    "RandomFlip": (IMAGE, layers.RandomFlip),
    "RandomZoom": (IMAGE, lambda: layers.RandomZoom(0.1)),
    "RNN of cells": (
        SERIES,
        lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(2), layers.SimpleRNNCell(2)]),
    ),
    "Bidirectional": (SERIES, lambda: layers.Bidirectional(layers.GRU(2, return_sequences=True))),
}.items():
    LAYERS[name] = made
for name in ("nearest", "bilinear", "bicubic"):
    LAYERS[f"UpSampling2D {name}"] = (
        IMAGE,
        lambda name=name: layers.UpSampling2D(2, interpolation=name),
    )
    LAYERS[f"Resizing {name}"] = IMAGE, lambda name=name: layers.Resizing(4, 9, interpolation=name)
for name in ("LSTM", "GRU", "SimpleRNN"):
    kind = getattr(layers, name)
    LAYERS[name] = SERIES, lambda kind=kind: kind(3, activation="softsign")
    LAYERS[f"{name} unrolled"] = SERIES, lambda kind=kind: kind(3, unroll=True)

# What is one operation, or few, stands side by side in one model for each shape of input: to make a
# model and its graphs takes most of the time. An error in one is far above rounding in the product.
LIGHT = ("activation ", "Global", "Adaptive", "AveragePooling", "UpSampling", "ZeroPadding", "Cropping")
LIGHT += ("Spatial", "Random", "Gaussian", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "UnitNorm")
LIGHT += (
    "RMSNorm",
    "Add",
    "Average",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "Concatenate",
    "Dot",
)
LIGHT += ("EinsumDense", "Masking", "Permute", "RepeatVector", "Rescaling")
LIGHT += ("ActivityRegularization", "Dropout")
ALONE = ("Adaptive", "AveragePooling")  # of volumes, which TensorFlow pools in float32 only
TOGETHER = {
    shape: [
        name
        for name, (own, _) in LAYERS.items()
        if own == shape
        and name.startswith(LIGHT)
        and not (shape == VOLUME and name.startswith(ALONE))
        and not name.endswith(("bilinear", "bicubic"))  # in float32
    ]
    for shape in (VECTOR, SERIES, IMAGE, VOLUME)
}

QUICK = {
    "UpSampling2D bilinear",
    "Resizing bilinear",
    "Resizing bicubic",
    "Resizing nearest",
    "MaxPooling2D 3 1 same",
    "MaxPooling1D 3 1 same",
    "LayerNormalization",
    "MultiHeadAttention",
    "DepthwiseConv2D strided",
    "DepthwiseConv2D same",
    "SimpleRNN",
}
ROUNDED = ("UpSampling2D b", "Resizing", "CenterCrop that")  # in float32
GROUPED = {name for names in TOGETHER.values() for name in names}
KINDS = [
    pytest.param(k, marks=() if k in QUICK else pytest.mark.slow) for k in LAYERS if k not in GROUPED
]


def assert_hessian(landscape, theta, h, tolerance):
    """A product with a random vector is the slope of the gradient along it."""
    v = normal(3, landscape.dimension)
    gradient = lambda t: landscape.value_and_gradient(theta + t * h * v)[1].numpy().astype(float)
    slope = (8 * (gradient(1) - gradient(-1)) - (gradient(2) - gradient(-2))) / (12 * h)
    assert np.any(slope)
    found = landscape.hessian_product(theta, v).numpy()
    np.testing.assert_allclose(found, slope, rtol=0, atol=tolerance * np.abs(slope).max())


def through(shape, *inner, **settings):
    """The landscape of Dense(tanh), some layers, Dense(2)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(shape), layers.Dense(shape[-1], "tanh"), *inner, layers.Flatten(), layers.Dense(2)]
    )
    x = normal(0, 5, *shape).astype(np.float32).astype(np.float64)
    settings = {"loss": "mse", "seed": 0, "regularize": True, **settings}
    landscape = wedges.NetworkLandscape(model, x, normal(1, 5, 2), **settings)
    return landscape, landscape.space.read().numpy() + 0.1 * normal(2, landscape.dimension)


@pytest.mark.parametrize("kind", KINDS)
def test_through_every_layer_a_product_is_the_slope_of_the_gradient(kind, float64):
    shape, make = LAYERS[kind]
    rounded = kind.startswith(ROUNDED)
    flat = len(shape) == 4 and "Pooling" in kind and "Global" not in kind
    if flat:  # TensorFlow pools volumes in float32 only
        keras.config.set_dtype_policy("float32")
    landscape, theta = through(shape, make())
    if flat and "Max" in kind:
        pytest.skip("differences in float32 cross its kinks; see test_second_order.py has it")
    assert_hessian(landscape, theta, *((1e-2, 1e-3) if rounded or flat else (1e-4, 1e-7)))


@pytest.mark.parametrize(
    "shape",
    [VECTOR, *(pytest.param(shape, marks=pytest.mark.slow) for shape in (SERIES, IMAGE, VOLUME))],
    ids=["vector", "series", "image", "volume"],
)
def test_through_light_layers_side_by_side_a_product_is_the_slope_of_the_gradient(shape, float64):
    names = TOGETHER[shape]
    assert len(names) > 5 and not QUICK & set(names)
    landscape, theta = through(shape, Beside([LAYERS[name][1]() for name in names]))
    assert_hessian(landscape, theta, 1e-4, 1e-7)


@pytest.mark.parametrize("name", ["lanczos3", "lanczos5", "bilinear"])
def test_resizing_by_other_kernels_and_smoothing(name):
    """In float32: TensorFlow has no first derivative of it in float64."""
    made = layers.Resizing(4, 9, interpolation=name, antialias=name == "bilinear")
    landscape, theta = through(IMAGE, made)
    assert_hessian(landscape, theta.astype(np.float32), 1e-2, 3e-4)


# ---- losses -----------------------------------------------------------------------------------------

ONE_HOT = np.eye(4)[np.arange(12) * 7 % 4]
ENDS = {  # targets, and the activation of the outputs
    "Binary": (ONE_HOT, "sigmoid"),
    "Sparse": (ONE_HOT.argmax(1), "softmax"),
    "CategoricalGeneralized": (ONE_HOT.argmax(1), "softmax"),
    "CategoricalHinge": (ONE_HOT, None),
    "Categorical": (ONE_HOT, "softmax"),
    "KLDivergence": (ONE_HOT, "softmax"),
    "Poisson": (ONE_HOT, "exponential"),
    "MeanSquaredLogarithmicError": (ONE_HOT, "exponential"),
    "Hinge": (2 * ONE_HOT - 1, None),
    "SquaredHinge": (2 * ONE_HOT - 1, None),
}
STRAIGHT = {"CategoricalHinge", "Hinge", "MeanAbsoluteError", "MeanAbsolutePercentageError"}
BATCHES = {"CTC", "Circle", "Dice", "Tversky", "Loss"}  # not sums over examples, or not over classes
LOSSES = sorted(
    n for n in dir(keras.losses) if inspect.isclass(getattr(keras.losses, n)) and n not in BATCHES
)


def with_loss(name, **settings):
    y, end = next((e for key, e in ENDS.items() if name.startswith(key)), (normal(5, 12, 4), None))
    end = None if settings else end
    stack = [layers.Dense(4, "tanh"), layers.Dense(4, end)]
    x = normal(0, 12, 5).astype(np.float32).astype(np.float64)
    model = keras.Sequential([keras.Input((5,)), *stack])
    loss = getattr(keras.losses, name)(**settings)
    landscape = wedges.NetworkLandscape(model, x, y, loss, seed=0)
    return landscape, 0.5 * normal(2, landscape.dimension)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_of_every_loss_a_product_is_the_slope_of_the_gradient_or_refused(name, float64):
    if name in STRAIGHT:
        landscape, theta = with_loss(name)
        with pytest.raises(ValueError, match="loss must be twice differentiable"):
            landscape.hessian_product(theta, theta)
        return
    assert_hessian(*with_loss(name), 1e-4, 1e-7)
    if "from_logits" in inspect.signature(getattr(keras.losses, name)).parameters:
        assert_hessian(*with_loss(name, from_logits=True), 1e-4, 1e-7)


def test_the_ctc_loss_is_refused_in_one_line():
    model = keras.Sequential([keras.Input((6, 3)), layers.Dense(4)])
    x, y = normal(0, 5, 6, 3), 1 + np.arange(10).reshape(5, 2) % 3
    landscape = wedges.NetworkLandscape(model, x, y, keras.losses.CTC(), seed=0)
    with pytest.raises(ValueError, match="the loss uses the operation .*no second derivative") as caught:
        landscape.hessian_product(np.zeros(16), np.ones(16))
    assert "\n" not in str(caught.value)


# ---- what TensorFlow cannot differentiate twice -----------------------------------------------------


class Through(layers.Layer):
    def __init__(self, function, name):
        super().__init__(name=name)
        self.function = function

    def call(self, x):
        return self.function(x)


def by_numpy(x):
    return tf.ensure_shape(tf.numpy_function(np.tanh, [x], x.dtype), x.shape)


@pytest.mark.parametrize("kind", ["hessian_product", "gauss_newton_product"])
@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda x: tf.image.resize(x, (3, 3), "area"), "ResizeArea"),
        (by_numpy, "PyFunc"),
        (lambda x: tf.nn.local_response_normalization(x), "LRNGrad"),
        (lambda x: tf.quantization.fake_quant_with_min_max_args(x), "FakeQuantWithMinMaxArgsGradient"),
    ],
)
def test_an_operation_without_second_derivative_is_named_with_its_layer(function, operation, kind):
    """Also where the layer is inside of others."""
    inner = keras.Sequential([Through(function, "odd_one"), layers.Activation("tanh")], name="inner")
    landscape, theta = through(IMAGE, keras.Sequential([inner], name="outer"))
    text = f"^layer 'odd_one' uses the operation {operation}, which has no second derivative .*"
    with pytest.raises(ValueError, match=text) as caught:
        getattr(landscape, kind)(theta, theta)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * tf.stop_gradient(tf.ones_like(x) + tf.zeros_like(x)),
        lambda x: x * tf.cast(x > 0, x.dtype) + tf.floor(x) + tf.sign(x),
        lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.tanh(x), lambda: x**2),
        tf.function(lambda x: tf.nn.softsign(x)),
    ],
)
def test_what_is_constant_or_a_function_is_not_refused(function, float64):
    assert_hessian(*through(VECTOR, Through(function, "fine")), 1e-4, 1e-7)


# ---- symmetry ---------------------------------------------------------------------------------------


@tf.custom_gradient
def turned(x):
    """A gradient that no function has."""
    return tf.tanh(x), lambda up: up * x[..., ::-1]


def assert_asymmetric(landscape, theta):
    with pytest.raises(ValueError, match="the Hessian must be symmetric; received .*off by") as caught:
        landscape.hessian_product(theta, theta)
    assert "\n" not in str(caught.value)


def test_a_gradient_of_no_function_is_refused_by_its_asymmetry():
    assert_asymmetric(*through(VECTOR, Through(turned, "odd"), layers.Dense(4, "tanh")))


def test_a_second_derivative_that_tensorflow_has_wrong_is_refused(monkeypatch):
    """As that of bilinear resizing would be, which TensorFlow takes for 0."""
    monkeypatch.delitem(second_order._DERIVATIVES, "ResizeBilinear")
    monkeypatch.setattr(second_order, "_CONSTANT", {*second_order._CONSTANT, "ResizeBilinearGrad"})
    assert_asymmetric(*through(IMAGE, layers.UpSampling2D(2, interpolation="bilinear")))


def test_a_loss_that_is_flat_to_rounding_is_not_taken_for_asymmetric():
    """A net that is as sure as float32 goes: its Hessian is nothing but rounding."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(3)])
    x, y = normal(0, 20, 4).astype(np.float32), np.arange(20) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    landscape = wedges.NetworkLandscape(model, x, y, loss, seed=0)
    theta = landscape.space.read().numpy()
    for scale in (1.0, 30.0, 1000.0):
        other = landscape.on(x, np.argmax(landscape.evaluate(scale * theta).outputs, axis=1))
        for product in (other.hessian_product, other.gauss_newton_product):
            assert np.all(np.isfinite(product(scale * theta, theta)))


def test_inside_a_users_graph_no_number_is_looked_at():
    landscape, theta = through(VECTOR, layers.Dense(3, "tanh"))
    expected = landscape.hessian_product(theta, theta)
    fresh, _ = through(VECTOR, layers.Dense(3, "tanh"))
    found = tf.function(lambda t: fresh.hessian_product(t, t))(tf.constant(theta, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("policy", "digits"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
def test_half_precision_activations_have_products_to_their_digits(policy, digits):
    made, theta = {}, None
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        try:
            stack = [layers.Dense(6, "softsign"), layers.LayerNormalization()]
            landscape, start = through(VECTOR, *stack)
        finally:
            keras.config.set_dtype_policy("float32")
        theta = start if theta is None else theta
        v = normal(3, 2, landscape.dimension)
        both = landscape.hessian_product, landscape.gauss_newton_product
        made[name] = np.array([product(theta, v) for product in both])
    true = made["float32"]
    assert np.linalg.norm(made[policy] - true) < 3 * digits * np.linalg.norm(true)
