"""The tangent kernel against J J^T of TensorFlow's own Jacobian, for every kind of layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from tests.wedges.tangents import MODELS, N, assert_close, jacobian, made, normal
from wedges.kernel.formulas import Outer, patches

pytestmark = pytest.mark.usefixtures("doubles")


@pytest.mark.parametrize("kind", MODELS)
def test_the_kernel_is_that_of_the_jacobian_for_every_kind_of_layer(kind):
    make, known = MODELS[kind]
    landscape, theta, x = made(make())
    before = [v.numpy() for v in landscape.space.model.variables]
    K = wedges.tangent_kernel(landscape, theta)
    for v, b in zip(landscape.space.model.variables, before, strict=True):
        np.testing.assert_array_equal(v, b)  # the model is never changed
    assert not any("call" in vars(layer) for layer in landscape.space.model._flatten_layers())
    J = jacobian(landscape, theta, x)
    assert_close(K, J @ J.T)
    np.testing.assert_array_equal(K, K.T)
    outputs = len(J) // N
    trace = np.einsum("ikjk->ij", (J @ J.T).reshape(N, outputs, N, outputs))
    assert_close(wedges.tangent_kernel(landscape, theta, outputs="trace"), trace)
    # Nothing takes the slow way that need not, and what must does.
    assert (not landscape._tangents._others) == known


# ---- blocks, traces, operators ------------------------------------------------------------------------


def test_blocks_of_examples_and_between_two_sets_are_parts_of_one_kernel(monkeypatch):
    landscape, theta, x = made(MODELS["few positions"][0](), n=11)
    whole = wedges.tangent_kernel(landscape, theta)
    few = wedges.tangent_kernel(landscape, theta, examples=4)
    assert_close(few, whole[:8, :8], 1e-14)
    between = wedges.tangent_kernel(landscape, theta, x[:3], x[4:9])
    assert_close(between, whole[:6, 8:18], 1e-14)
    monkeypatch.setattr(wedges.kernel.matrix, "_SIDE", 6)  # 3 examples a block, one of which is cut
    monkeypatch.setattr(wedges.kernel.matrix, "_HELD", 1)
    monkeypatch.setattr(wedges.kernel.gram, "_AT_ONCE", 100)
    assert_close(wedges.tangent_kernel(landscape, theta), whole, 1e-14)
    traced = wedges.tangent_kernel(landscape, theta, 4, x, outputs="trace")
    assert_close(traced, np.einsum("ikjk->ij", whole.reshape(11, 2, 11, 2))[:4], 1e-14)


@pytest.mark.parametrize("kind", ["conv 2", "residual"])
def test_products_with_the_operator_are_those_with_the_matrix(kind):
    landscape, theta, _ = made(MODELS[kind][0](), evaluation_batch_size=2)
    operator = wedges.kernel.kernel_operator(landscape, theta)
    V = normal(4, operator.shape[0], 3)
    K = wedges.tangent_kernel(landscape, theta)
    assert_close(operator @ V, K @ V)
    assert_close(operator.T @ V[:, 0], K @ V[:, 0])


def test_examples_of_several_inputs_of_other_lengths_can_be_given():
    landscape, theta, x = made(MODELS["two inputs"][0]())
    whole = wedges.tangent_kernel(landscape, theta)
    for of in (x, tuple(x)):
        assert_close(wedges.tangent_kernel(landscape, theta, of), whole, 1e-14)
    one = [a[1:2] for a in x]
    assert_close(wedges.tangent_kernel(landscape, theta, one), whole[2:4, 2:4], 1e-14)
    found, known = (wedges.kernel.output_hessian(landscape, theta, of) for of in (one, 1))
    v = normal(5, landscape.dimension)
    np.testing.assert_allclose(found @ v, known @ v, rtol=1e-12)
    plain, theta, _ = made(MODELS["dense"][0]())
    with pytest.raises(ValueError, match="^examples must be arrays; received "):
        wedges.tangent_kernel(plain, theta, [[1.0, 2.0, 3.0, 4.0], [1.0]])


def test_weights_of_the_model_that_are_no_numbers_cost_no_formula():
    model = MODELS["dense"][0]()
    model.set_weights([np.nan * w for w in model.get_weights()])
    landscape, theta, x = made(model)
    K = wedges.tangent_kernel(landscape, theta)
    J = jacobian(landscape, theta, x)
    assert_close(K, J @ J.T)
    assert not landscape._tangents._others


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_layer_alone_may_compute_in_half_precision(policy):
    keras.config.set_dtype_policy("float32")
    half = lambda size, act=None: keras.layers.Dense(size, act, dtype=policy)
    model = keras.Sequential([keras.Input((4,)), half(5, "tanh"), half(3)])
    landscape, theta, x = made(model)
    J = jacobian(landscape, theta, x).astype(np.float64)
    assert_close(wedges.tangent_kernel(landscape, theta), J @ J.T, 0.05)
    assert not landscape._tangents._others


def test_a_model_whose_examples_depend_on_one_another_is_refused():
    class Centred(keras.layers.Layer):
        def call(self, x):
            return x - tf.reduce_mean(x, axis=0, keepdims=True)

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), Centred(), keras.layers.Dense(2)]
    )
    landscape, theta, _ = made(model)
    words = "^model '.*' must give an example the same outputs alone as among others to have a tangent"
    for call in (wedges.tangent_kernel, wedges.kernel.kernel_operator, wedges.pl_ratio):
        with pytest.raises(ValueError, match=words):
            call(landscape, theta)


def test_statistics_that_follow_theta_are_held_in_a_kernel():
    landscape, theta, x = made(MODELS["batch norm"][0](), batch_norm="reestimate")
    landscape.write(theta)  # with its statistics
    J = jacobian(landscape, theta, x)
    assert_close(wedges.tangent_kernel(landscape, theta), J @ J.T)


def test_a_kernel_in_single_precision_is_that_of_its_derivatives(doubles):
    keras.config.set_dtype_policy("float32")
    landscape, theta, x = made(MODELS["dense"][0]())
    J = jacobian(landscape, theta, x).astype(np.float64)
    assert_close(wedges.tangent_kernel(landscape, theta), J @ J.T, 1e-5)


sizes = st.tuples(*[st.integers(3, 7)] * 2)


@settings(max_examples=30, deadline=None)
@given(
    sizes, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.sampled_from(["same", "valid"])
)
def test_patches_times_a_kernel_are_a_convolution(size, k, stride, rate, padding):
    if rate > 1 and (stride > 1 or padding == "valid" and (k - 1) * rate >= min(size)):
        return
    x, kernel = normal(0, 2, *size, 3), normal(1, k, k, 3, 4)
    expected = tf.nn.convolution(x, kernel, stride, padding.upper(), dilations=rate).numpy()
    found = patches(tf.constant(x), (k, k), (stride,) * 2, (rate,) * 2, padding)
    product = np.einsum("npkc,kcm->npm", found, kernel.reshape(-1, 3, 4))
    np.testing.assert_allclose(product.reshape(expected.shape), expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.booleans())
def test_gram_matrices_and_derivatives_give_one_kernel(outputs, positions, groups, traced, chosen):
    gram = wedges.kernel.gram.gram
    width, features = 4, []
    for n in (2, 3):
        a = normal(n, n, positions, groups, width)
        if chosen and groups == 1:
            a = np.random.default_rng(n).integers(0, width, (n, positions)).astype("int32")
        d = normal(n + 9, n, outputs, positions, groups, 5)
        features.append(Outer(tf.constant(a), tf.constant(d), width))
    pair = lambda make: [wedges.kernel.features.Features(*make(f)) for f in features]
    small = gram(*pair(lambda f: ([f], [])), traced=traced)
    plain = gram(*pair(lambda f: ([], [f.rows()])), traced=traced)
    np.testing.assert_allclose(small, plain, atol=1e-12)
