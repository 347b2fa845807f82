"""Every model of the zoo, also once pickled: the loss of `evaluate`, the derivatives of Keras' loss."""

import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.wedges import zoo

NAMES = sorted(zoo.CASES)
# The loss of a few is looked at each time, that of all with their derivatives where there is time.
QUICK = [
    "a_loss_that_a_layer_adds",
    "a_masked_subclass",
    "a_void_label_and_weights",
    "an_overridden_compute_loss",
    "batch_norm",
    "class_weights",
    "everything_is_masked",
    "inputs_in_a_dict",
    "loss_binary_logits",
    "loss_targets_as_a_list",
    "masked_and_weighted",
    "masked_weighted_mean",
    "outputs_in_a_dict",
    "outputs_masked_differently",
    "reduction_None_weighted",
    "reduction_sum",
    "a_mask_that_a_layer_computes",
]


def made(name, **more):
    case = zoo.CASES[name]()
    how = {"sample_weight": case.w, "regularize": True, "seed": 0, **case.settings, **more}
    landscape = wedges.NetworkLandscape(case.model, case.x, case.y, **how)
    assert landscape.dtype == tf.float64 and landscape.dimension < 150
    return case, landscape


def evaluated(case):
    """What Keras says of all examples in one batch: its loss."""
    how = {"sample_weight": _given(case.w), "batch_size": zoo.N, "verbose": 0}
    found = case.model.evaluate(_given(case.x), _given(case.y), **how)
    return found[0] if isinstance(found, list) else found


def _given(value):
    """What Keras takes: a list of numbers is an array."""
    numbers = isinstance(value, list) and isinstance(value[0], int)
    return np.asarray(value) if numbers else value


def keras_loss(case, landscape):
    """theta -> Keras' own loss of all examples at once, by its public compute_loss."""
    model, space = case.model, landscape.space
    tensors = lambda a: None if a is None else tf.nest.map_structure(tf.convert_to_tensor, _given(a))
    x, y, w = (tensors(a) for a in (case.x, case.y, case.w))

    def loss(theta):
        values = zip(model.trainable_variables, space.unflatten(theta), strict=True)
        with keras.StatelessScope(list(values), collect_losses=True, initialize_variables=False):
            z = model(x, training=False)
            return tf.reduce_mean(model.compute_loss(x, y, z, w))

    return loss


def with_the_loss_of_keras(name):
    """A case and its landscape, whose loss is what `evaluate` says, whatever the microbatch."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case, landscape = made(name, evaluation_batch_size=7)
        found = float(landscape(landscape.space.read()))
    np.testing.assert_allclose(found, evaluated(case), rtol=1e-10, atol=1e-14)
    return case, landscape


@pytest.mark.parametrize("name", QUICK)
def test_the_loss_is_kerass_whatever_the_microbatch(name, doubles):
    with_the_loss_of_keras(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_derivatives_are_those_of_kerass_loss(name, doubles):
    case, landscape = with_the_loss_of_keras(name)
    noise = np.random.default_rng(3).standard_normal(landscape.dimension)
    theta = landscape.space.read() + 0.1 * noise
    loss = keras_loss(case, landscape)

    @tf.function
    def truth(theta):
        with tf.GradientTape() as outer:
            outer.watch(theta)
            with tf.GradientTape() as inner:
                inner.watch(theta)
                value = loss(theta)
            gradient = inner.gradient(value, theta)
        return value, gradient, outer.jacobian(gradient, theta, experimental_use_pfor=False)

    value, gradient, hessian = truth(theta)
    if name == "layers_normalised":  # TensorFlow's own second derivatives of moments are wrong
        steps = 1e-5 * np.eye(len(theta))
        hessian = [(truth(theta + e)[1] - truth(theta - e)[1]) / 2e-5 for e in steps]
    tolerance = 1e-9 if name != "layers_normalised" else 1e-7
    found = landscape.value_and_gradient(theta)
    again = pickle.loads(pickle.dumps(landscape)).value_and_gradient(theta)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, found, strict=True))
    np.testing.assert_allclose(found[0], value, rtol=1e-10, atol=1e-14)
    scale = np.abs(gradient).max() + 1e-12
    np.testing.assert_allclose(found[1], gradient, rtol=0, atol=1e-10 * scale)
    v = np.random.default_rng(0).standard_normal((3, landscape.dimension))
    products = landscape.hessian_product(theta, v)
    expected = v @ np.array(hessian)
    np.testing.assert_allclose(
        products, expected, rtol=0, atol=tolerance * (np.abs(expected).max() + 1e-12)
    )
