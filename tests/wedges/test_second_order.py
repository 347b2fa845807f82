"""Operations with exact second derivatives, against TensorFlow's own and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.conftest import SPARSE, plain
from tests.wedges.operators import normal
from wedges.network import second_order


def derivatives(pool, x, a, b):
    """pool(x), a . pool's gradient, and the gradient of b . that gradient of a square of pool's."""
    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = pool(x)
            value = tf.reduce_sum(a * y**3)
        slope = inner.gradient(value, x)
        along = tf.reduce_sum(b * slope)
    return y.numpy(), slope.numpy(), outer.gradient(along, x).numpy()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(
    ("ksize", "strides"),
    [(2, 2), (3, 3), ([2], [2]), ((2, 3), (2, 3)), ([1, 2, 3, 1], [1, 2, 3, 1]), (3, 2), (2, 1), (1, 1),
     (2, [1, 2, 2, 1]), ((2, 3), (3, 2)), (2, 3)],
)  # fmt: skip
def test_max_pool_is_tensorflows_with_its_first_and_second_derivatives(ksize, strides, padding, ties):
    for shape in ((2, 6, 6, 2), (2, 7, 5, 1)):
        x = normal(0, *shape)
        x = np.round(x) if ties else x
        shape = tf.nn.max_pool(x, ksize, strides, padding).shape
        a, b = normal(1, *shape), normal(2, *x.shape)
        found, expected = (
            derivatives(lambda t, pool=pool: pool(t, ksize, strides, padding), x, a, b)
            for pool in (second_order.max_pool, tf.nn.max_pool)
        )
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 6, 4), ([2], [2], "VALID")),
        ((2, 6, 6, 4), (2, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])),
    ],
)
def test_max_pool_of_one_axis_and_of_explicit_padding_are_tensorflows(shape, settings):
    t = tf.constant(normal(0, *shape))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(t)
        found, expected = second_order.max_pool(t, *settings), tf.nn.max_pool(t, *settings)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(tape.gradient(found, t), tape.gradient(expected, t))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [[0], [0, 1], [0, 2]])
def test_moments_are_tensorflows_with_the_second_derivative_of_the_variance(axes, keepdims):
    x, v = normal(0, 4, 3, 2), normal(1, 4, 3, 2)
    found = second_order.moments(tf.constant(x), axes, keepdims=keepdims)
    for one, other in zip(found, tf.nn.moments(x, axes, keepdims=keepdims), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    var = lambda t: tf.reduce_sum(second_order.moments(t, axes, keepdims=keepdims)[1])
    _, slope, second = derivatives(lambda t: var(t) ** (1 / 3), x, 1.0, v)
    n = np.prod([x.shape[a] for a in axes])
    centered = lambda t: t - t.mean(tuple(axes), keepdims=True)
    np.testing.assert_allclose(slope, 2 / n * centered(x), rtol=1e-9)
    np.testing.assert_allclose(second, 2 / n * centered(v), rtol=1e-9)


def test_tensorflows_own_operations_are_back_afterwards_also_after_an_exception(images):
    originals = tf.nn.moments, tf.nn.max_pool
    with second_order.exact_second_derivatives():
        assert tf.nn.max_pool is second_order.max_pool and tf.nn.moments is second_order.moments
    assert (tf.nn.moments, tf.nn.max_pool) == originals
    with pytest.raises(KeyError), second_order.exact_second_derivatives():
        raise KeyError
    assert (tf.nn.moments, tf.nn.max_pool) == originals
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0)
    landscape.hessian_product(landscape.space.read(), np.ones(landscape.dimension))

    def broken(y, z):
        if tf.nn.max_pool is second_order.max_pool:
            raise KeyError
        return SPARSE.call(y, z)

    landscape = wedges.NetworkLandscape(plain(), *images, broken, seed=0)
    with pytest.raises(KeyError):
        landscape.hessian_product(landscape.space.read(), np.ones(landscape.dimension))
    assert (tf.nn.moments, tf.nn.max_pool) == originals


@pytest.mark.parametrize(
    ("ksize", "shape"), [(3, (2, 6, 5, 2)), (2, (2, 5, 6, 2)), (3, (2, 4, 4, 4, 2))]
)
def test_overlapping_pools_have_second_derivatives_in_a_graph_too(ksize, shape):
    """Where there are as many windows as inputs, TensorFlow's kernel writes into what it reads."""
    x, b = normal(0, *shape).astype(np.float32), normal(1, *shape).astype(np.float32)
    a = normal(2, *shape).astype(np.float32)

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(a * tf.nn.max_pool(x, ksize, 1, "SAME") ** 2)
            slope = inner.gradient(value, x)
        return outer.gradient(slope, x, b * tf.ones_like(x))

    with second_order.exact_second_derivatives():
        found = tf.function(second)(tf.constant(x)).numpy()
    expected = np.zeros_like(x)  # 2 a b at each window's largest, window by window
    before, places = (ksize - 1) // 2, shape[1:-1]
    for n, c in np.ndindex(shape[0], shape[-1]):
        for at in np.ndindex(places):
            low = [max(0, p - before) for p in at]
            window = tuple(slice(i, p - before + ksize) for i, p in zip(low, at, strict=True))
            values = x[(n, *window, c)]
            top = np.add(low, np.unravel_index(values.argmax(), values.shape))
            expected[(n, *top, c)] += 2 * a[(n, *at, c)] * b[(n, *top, c)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
