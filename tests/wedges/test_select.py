import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from wedges.select import smallest

D_LARGE = 200_000  # wide digits; a short row has narrow ones


def check(x, s):
    threshold, below = smallest(x, s)
    magnitudes = np.abs(x)
    expected = np.sort(magnitudes, axis=-1)[..., s - 1]
    assert threshold.dtype == x.dtype and below.dtype == tf.int32
    np.testing.assert_array_equal(threshold, expected)
    np.testing.assert_array_equal(below, (magnitudes < expected[..., None]).sum(-1))


def _orders(d, rng):
    x = rng.normal(size=d)
    yield "random", x
    yield "sorted", np.sort(np.abs(x))
    yield "reversed", np.sort(np.abs(x))[::-1]
    yield "periodic", np.where(np.arange(d) % 16 == 0, 1e-3, 1.0) * np.abs(x)
    yield "ties", rng.integers(0, 5, d)
    yield "constant", np.full(d, 0.1)
    yield "zeros", np.zeros(d)
    yield "mostly zeros", np.where(rng.random(d) < 0.7, 0, x)
    yield "signed zeros", np.where(rng.random(d) < 0.5, -0.0, 0.0)
    yield "every exponent", 10.0 ** rng.uniform(-37.9, 38.5, d)
    yield "one digit apart", 1 + np.arange(d) * 2.0**-23
    yield "infinities", np.where(rng.random(d) < 0.4, np.inf, x)
    yield "all infinite", np.full(d, -np.inf)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 1000, D_LARGE])
def test_agrees_with_sorting(d, dtype):
    for name, x in _orders(d, np.random.default_rng(0)):
        for s in sorted({1, max(1, d // 1000), (d + 1) // 2, max(1, d - 1), d}):
            try:
                check(x.astype(dtype), s)
            except AssertionError as e:
                raise AssertionError(f"{name}, s={s}: {e}") from None


# Few shapes: each is compiled.
@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([(7,), (3, 7), (2, 3, 7)]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 7),
    st.data(),
)
def test_any_numbers(shape, dtype, s, data):
    width = 8 * np.dtype(dtype).itemsize
    numbers = st.floats(width=width, allow_nan=False, allow_subnormal=False) | st.sampled_from(
        [0.0, 1.0]
    )
    n = int(np.prod(shape))
    check(np.array(data.draw(st.lists(numbers, min_size=n, max_size=n)), dtype).reshape(shape), s)


@pytest.mark.parametrize("shape", [(5, D_LARGE), (32, 1000), (2, 3, 100), (2, 1, 1)])
def test_batches(shape):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    check(x, (shape[-1] + 1) // 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 1000, D_LARGE])
def test_nan_propagates_wherever_it_is_and_to_its_row_only(d, dtype):
    bits = np.uint32 if dtype is np.float32 else np.uint64
    infinity = np.array(np.inf, dtype).view(bits)
    # the one that 0/0 makes, the one next to infinity, and one whose sign is set
    kinds = [np.array(np.nan), (infinity + bits(1)).view(dtype), -np.array(np.nan)]
    for nan in kinds:
        x = np.random.default_rng(2).normal(size=(2, d)).astype(dtype)
        x[0, -1], x[1, 0] = nan, np.inf
        for s in {1, d}:
            threshold, _ = smallest(x, s)
            assert np.isnan(threshold[0]) and not np.isnan(threshold[1])
            assert np.isnan(smallest(x[0], s)[0])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_inside_a_function_with_unknown_batch(jit_compile):
    @tf.function(input_signature=[tf.TensorSpec([None, 50])], jit_compile=jit_compile)
    def f(x):
        threshold, below = smallest(x, 20)
        assert threshold.shape.as_list() == below.shape.as_list() == [None]
        return threshold, below

    for rows in (1, 4):
        x = tf.random.stateless_normal([rows, 50], [0, rows])
        np.testing.assert_array_equal(f(x)[0], np.sort(np.abs(x), -1)[:, 19])


def test_inside_a_loop_and_under_a_tape():
    x = tf.Variable(tf.random.stateless_normal([3, 50], [0, 0]))

    @tf.function
    def descend():
        for _ in tf.range(5):
            with tf.GradientTape() as tape:
                threshold, _ = smallest(x, 20)
                y = tf.reduce_sum(tf.where(tf.abs(x) <= threshold[:, None], x**2, 0))
            x.assign_sub(0.1 * tape.gradient(y, x))
        return y

    expected = x.numpy()
    for _ in range(5):
        chosen = np.abs(expected) <= np.sort(np.abs(expected), -1)[:, 19:20]
        y, expected = np.sum(expected[chosen] ** 2), np.where(chosen, 0.8 * expected, expected)
    np.testing.assert_allclose(descend(), y, rtol=1e-4)


def test_refuses():
    with pytest.raises(TypeError, match="x must be float32 or float64; received int32"):
        smallest(tf.constant([1, 2]), 1)
    with pytest.raises(ValueError, match=r"x must have .* static size; received shape \(\)"):
        smallest(tf.constant(1.0), 1)
    for s in (0, 3, 1.0, True):
        with pytest.raises(ValueError, match=f"s must be a whole number from 1 to D = 2; received {s}"):
            smallest(tf.constant([1.0, 2.0]), s)
