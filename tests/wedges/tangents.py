"""Models of every kind of layer, and their Jacobians by TensorFlow's own means."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import wedges

N = 5


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


class Own(layers.Dense):
    """A user's class, which does more than the one that it inherits from."""

    def call(self, x, training=None):
        return super().call(x) + tf.reduce_sum(self.kernel**2)


class Tied(layers.Layer):
    """Reads the table of an embedding once more."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def call(self, x):
        return tf.matmul(x, self.embedding.embeddings, transpose_b=True)


class Turned(layers.Layer):
    """Examples and positions change places."""

    def call(self, x):
        return tf.transpose(x, [1, 0, 2])


def tied():
    x = keras.Input((4,), dtype="int32")
    embedding = layers.Embedding(6, 3)
    return keras.Model(x, layers.GlobalAveragePooling1D()(Tied(embedding)(embedding(x))))


def shared():
    x = keras.Input((4,))
    square = layers.Dense(4, "tanh")
    return keras.Model(x, layers.Dense(2)(square(square(x) + x)))


def residual():
    x = keras.Input((6, 6, 2))
    h = layers.Conv2D(2, 3, padding="same", activation="tanh")(x)
    h = layers.BatchNormalization()(layers.Add()([h, x]))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.ReLU()(h))))


def attention():
    x = keras.Input((4, 3))
    h = layers.MultiHeadAttention(2, 3)(x, x)
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.LayerNormalization()(h))))


def turned():
    x = keras.Input((3, 4))
    h = Turned()(layers.Dense(4, "tanh")(Turned()(x)))
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(h)))


def two_inputs():
    a, b = keras.Input((3,)), keras.Input((2,))
    h = layers.Concatenate()([layers.Dense(3, "tanh")(a), b])
    return keras.Model([a, b], layers.Dense(2, "softmax")(h))


def stack(shape, *parts, dtype=None):
    return lambda: keras.Sequential([keras.Input(shape, dtype=dtype), *(part() for part in parts)])


END = (layers.Flatten, lambda: layers.Dense(2))
MODELS = {  # of every kind of layer; and whether it takes no example by itself
    "dense": (stack((4,), lambda: layers.Dense(5, "tanh"), lambda: layers.Dense(3)), True),
    "dense, no bias": (stack((4,), lambda: layers.Dense(2, "tanh", use_bias=False), END[1]), True),
    "dense on positions": (stack((3, 4), lambda: layers.Dense(5, "tanh"), *END), True),
    "one output": (stack((4,), lambda: layers.Dense(5, "relu"), lambda: layers.Dense(1)), True),
    "many outputs": (stack((4,), lambda: layers.Dense(3, "tanh"), lambda: layers.Dense(25)), True),
    "sequence out": (stack((3, 4), lambda: layers.Dense(2, "softmax")), True),
    "conv 1": (stack((9, 2), lambda: layers.Conv1D(3, 3, 2, "same", activation="tanh"), *END), True),
    "causal": (
        stack((7, 2), lambda: layers.Conv1D(3, 3, padding="causal", dilation_rate=2), *END),
        True,
    ),
    "conv 2": (
        stack((6, 5, 2), lambda: layers.Conv2D(3, (3, 2), (2, 1), activation="relu"), *END),
        True,
    ),
    "groups": (
        stack((5, 6, 4), lambda: layers.Conv2D(6, 3, groups=2, padding="same", activation="tanh"), *END),
        True,
    ),
    "few positions": (
        stack((2, 2, 8), lambda: layers.Conv2D(9, 3, padding="same", activation="tanh"), *END),
        True,
    ),
    "conv 3": (stack((4, 3, 4, 2), lambda: layers.Conv3D(2, 2, use_bias=False), *END), True),
    "depthwise": (
        stack((6, 6, 2), lambda: layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2), *END),
        True,
    ),
    "depthwise 1": (stack((6, 2), lambda: layers.DepthwiseConv1D(3, activation="tanh"), *END), True),
    "separable": (stack((6, 6, 2), lambda: layers.SeparableConv2D(3, 3), *END), False),
    "transposed": (stack((3, 3, 2), lambda: layers.Conv2DTranspose(2, 2), *END), False),
    "einsum": (
        stack((3, 4), lambda: layers.EinsumDense("abc,bcd->abd", (3, 5), bias_axes="bd"), *END),
        True,
    ),
    "einsum, bias on one axis": (
        stack((3, 4), lambda: layers.EinsumDense("abc,bcd->abd", (3, 5), bias_axes="d"), *END),
        False,
    ),
    "einsum, ellipsis": (
        stack((3, 4), lambda: layers.EinsumDense("...c,cd->...d", 5, bias_axes="d"), *END),
        True,
    ),
    "embedding": (
        stack(
            (4,),
            lambda: layers.Embedding(6, 3),
            lambda: layers.LayerNormalization(),
            *END,
            dtype="int32",
        ),
        True,
    ),
    "large embedding": (stack((4,), lambda: layers.Embedding(50, 3), *END, dtype="int32"), True),
    "batch norm": (
        stack((4,), lambda: layers.Dense(4), lambda: layers.BatchNormalization(), layers.ReLU, END[1]),
        True,
    ),
    "batch norm, no scale": (
        stack((3, 4), lambda: layers.BatchNormalization(axis=1, scale=False), *END),
        True,
    ),
    "layer norm, two axes": (stack((3, 4), lambda: layers.LayerNormalization(axis=(1, 2)), *END), True),
    "group norm": (stack((3, 3, 4), lambda: layers.GroupNormalization(2), *END), True),
    "rms norm": (stack((3, 4), lambda: layers.RMSNormalization(), *END), True),
    "recurrent": (stack((3, 2), lambda: layers.GRU(2), END[1]), False),
    "prelu": (stack((4,), lambda: layers.Dense(3), layers.PReLU, END[1]), False),
    "own": (stack((4,), lambda: Own(3), END[1]), False),
    "tied": (tied, False),
    "turned": (turned, False),
    "shared": (shared, True),
    "residual": (residual, True),
    "attention": (attention, True),
    "two inputs": (two_inputs, True),
}


def made(model, seed=0, n=N, **how):
    """A landscape of n random examples, and a theta, of a model with statistics that are not 0 and 1."""
    for i, v in enumerate(model.non_trainable_variables):
        if v.dtype != "uint32":
            v.assign(0.5 + np.abs(normal(i, *v.shape)))
    given = [
        np.random.default_rng(seed).integers(0, 6, (n, *t.shape[1:]))
        if "int" in str(t.dtype)
        else normal(seed + i, n, *t.shape[1:]).astype("float32").astype(t.dtype)
        for i, t in enumerate(model.inputs)
    ]
    x = given if len(given) > 1 else given[0]
    y = normal(9, n, *model.outputs[0].shape[1:])
    landscape = wedges.NetworkLandscape(model, x, y, "mean_squared_error", **{"seed": 0, **how})
    return landscape, 0.5 * normal(3, landscape.dimension), x


def jacobian(landscape, theta, x):
    """J [n O, D] by TensorFlow's own Jacobian of the model itself."""
    model = landscape.space.model
    landscape.space.write(theta)
    with tf.GradientTape(persistent=True) as tape:
        z = model(x, training=False)
        z = tf.reshape(tf.cast(z, landscape.dtype), [-1])
    parts = tape.jacobian(
        z,
        [v.value for v in landscape.space.variables],
        experimental_use_pfor=False,
        unconnected_gradients="zero",
    )
    return np.concatenate(
        [np.reshape(p, [len(p), -1]) for p in map(tf.convert_to_tensor, parts)], axis=1
    )


def assert_close(found, expected, tolerance=1e-12):
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
