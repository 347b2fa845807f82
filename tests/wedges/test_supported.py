"""Models that have no landscape are refused in one line, before anything is computed."""

import keras
import numpy as np
import pytest
from keras import layers

import wedges

X, Y = np.zeros((40, 5, 3), np.float32), np.arange(40) % 3


def fixed(*stack):
    return keras.Sequential([keras.Input(batch_shape=(16, 5, 3)), *stack, layers.Dense(3)])


class Rows(layers.Layer):
    def call(self, x):
        return keras.ops.reshape(x, (16, -1))


def quantized():
    model = keras.Sequential([keras.Input((5, 3)), layers.Flatten(), layers.Dense(3)])
    model.quantize("int8")
    return model


def half(dtype):
    stack = [layers.Flatten(), layers.Dense(3, dtype=dtype)]
    return keras.Sequential([keras.Input((5, 3)), *stack])


def functional():
    a = keras.Input(batch_shape=(16, 5, 3))
    return keras.Model({"a": a}, layers.Dense(3)(Rows()(a)))


REFUSED = {
    "stateful": (lambda: fixed(layers.LSTM(2, stateful=True)), "received the stateful layer 'lstm"),
    "stateful inside": (
        lambda: fixed(keras.Sequential([layers.Bidirectional(layers.GRU(2, stateful=True))])),
        "received the stateful layer",
    ),
    "one size": (lambda: fixed(Rows()), "batches of any size; received one that takes only 16"),
    "one size, named": (functional, "batches of any size; received one that takes only 16"),
    "int8": (quantized, "weights that can be moved; received the quantized layer 'dense"),
    "float16": (lambda: half("float16"), "received 'sequential.*kernel' of float16"),
    "bfloat16": (lambda: half("bfloat16"), "received 'sequential.*kernel' of bfloat16"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_is_refused_in_one_line(kind):
    make, text = REFUSED[kind]
    with pytest.raises(ValueError, match=text) as caught:
        wedges.NetworkLandscape(make(), X, Y, "mse", seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inner", [layers.Flatten, lambda: layers.LSTM(2)])
def test_a_batch_size_that_no_layer_needs_is_no_matter(inner):
    model, loss = fixed(inner()), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    landscape = wedges.NetworkLandscape(model, X, Y, seed=0)
    theta = landscape.space.read()
    np.testing.assert_allclose(landscape(theta), model.evaluate(X, Y, verbose=0), rtol=1e-5)
    assert landscape.hessian_product(theta, theta).shape == theta.shape
