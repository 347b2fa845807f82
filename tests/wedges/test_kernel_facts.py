"""What is known of tangent kernels and the PL ratio exactly, and what is refused."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.wedges.tangents import MODELS, N, assert_close, jacobian, made, normal

pytestmark = pytest.mark.usefixtures("doubles")


# ---- exact facts --------------------------------------------------------------------------------------


def two_layers(width, dimension, activation, n, last=1):
    """f = sum_i v_i s(w_i . x) / sqrt(m) on n points of the sphere: landscape, W [d, m], v [m], x."""
    model = keras.Sequential(
        [
            keras.Input((dimension,)),
            layers.Dense(width, activation, use_bias=False),
            layers.Rescaling(width**-0.5),
            layers.Dense(last, use_bias=False),
        ]
    )
    x = normal(0, n, dimension)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32").astype(float)
    landscape = wedges.NetworkLandscape(model, x, normal(1, n, last), "mean_squared_error", seed=0)
    return landscape, x


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-2, 1.0, 30.0]))
def test_the_pl_ratio_lies_between_the_ends_of_the_kernel_at_every_theta(seed, scale):
    landscape = SANDWICHED.setdefault("made", two_layers(20, 3, "tanh", 12)[0])
    found = wedges.pl_ratio(landscape, scale * normal(seed, landscape.dimension))
    assert found.scale == pytest.approx(2 / 12, rel=1e-12)
    assert found.smallest * (1 - 1e-9) <= found.ratio <= found.largest * (1 + 1e-9)
    assert found.ratio == pytest.approx(found.gradient**2 / (2 * found.loss), rel=1e-12)


SANDWICHED: dict = {}  # traced once for all examples of hypothesis


@settings(max_examples=15, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_product_of_two_weights(a, b):
    """L = (xy - 1)^2, of which K = x^2 + y^2 is all there is to know of the ratio."""
    if "product" not in SANDWICHED:
        dense = lambda: layers.Dense(1, use_bias=False)
        model = keras.Sequential([keras.Input((1,)), dense(), dense()])
        SANDWICHED["product"] = wedges.NetworkLandscape(model, [[1.0]], [[1.0]], "mse", seed=0)
    landscape = SANDWICHED["product"]
    assert wedges.tangent_kernel(landscape, [a, b]) == pytest.approx(a**2 + b**2, abs=1e-12)
    found = wedges.pl_ratio(landscape, [a, b])
    assert found.smallest == found.largest == pytest.approx(2 * (a**2 + b**2), abs=1e-12)
    if found.loss > 1e-6:
        assert found.ratio == pytest.approx(found.smallest, rel=1e-6, abs=1e-12)
    # Not convex near any minimum on the side xy > 1, though every point there has a large ratio.
    hessian = wedges.curvature.dense(wedges.hessian(landscape, [a, b]))
    expected = 4 * (1 - a * b) * (3 * a * b - 1)
    assert np.linalg.det(hessian) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_kernel_of_a_linear_model_is_constant_and_predicts_descent():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    landscape, theta, x = made(model)
    K = wedges.tangent_kernel(landscape, theta)
    ones = np.hstack([x, np.ones((N, 1))])
    assert_close(K, np.kron(ones @ ones.T, np.eye(2)))
    np.testing.assert_allclose(wedges.tangent_kernel(landscape, 3 * theta), K, atol=1e-12)
    found = wedges.pl_ratio(landscape, theta)
    values = np.linalg.eigvalsh(K)
    np.testing.assert_allclose([found.smallest, found.largest], 2 / (2 * N) * values[[0, -1]], rtol=1e-9)
    r = lambda at: (landscape.evaluate(at).outputs - landscape.y.numpy()).ravel()
    eta = 0.3 / found.largest
    step = theta - eta * landscape.value_and_gradient(theta)[1].numpy()
    np.testing.assert_allclose(r(step), r(theta) - eta * found.scale * K @ r(theta), atol=1e-12)


def test_weyls_bound_on_how_the_smallest_eigenvalue_moves():
    landscape, theta, x = made(MODELS["conv 2"][0]())
    near = theta + 0.1 * normal(5, len(theta))
    J = [jacobian(landscape, at, x) for at in (theta, near)]
    K = [wedges.tangent_kernel(landscape, at) for at in (theta, near)]
    norm = lambda a: np.linalg.norm(a, 2)
    moved = abs(np.subtract(*[np.linalg.eigvalsh(k)[0] for k in K]))
    assert 0 < moved <= norm(K[1] - K[0]) <= (norm(J[0]) + norm(J[1])) * norm(J[1] - J[0])


def test_the_kernel_of_rectifiers_nears_that_of_infinite_width_as_one_over_the_root():
    errors = {}
    for width in (64, 16384):
        landscape, x = two_layers(width, 3, "relu", 6)
        u = np.clip(x @ x.T, -1, 1)
        limit = (np.sqrt(1 - u**2) + 2 * u * (np.pi - np.arccos(u))) / (2 * np.pi)
        thetas = [normal([width, seed], landscape.dimension) for seed in range(6)]
        off = [wedges.tangent_kernel(landscape, theta) - limit for theta in thetas]
        errors[width] = np.sqrt(np.mean(np.square(off)))
    assert errors[16384] < 0.02
    slope = np.log(errors[16384] / errors[64]) / np.log(256)
    assert slope == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("width", [3, 40])
def test_the_norm_of_an_outputs_hessian_is_the_formula_of_two_layers(width):
    landscape, x = two_layers(width, 3, "tanh", 4, last=2)
    theta = normal(3, landscape.dimension)
    W, v = theta[: 3 * width].reshape(3, width), theta[3 * width :].reshape(width, 2)
    for example, output in ((0, 0), (2, 1)):
        z = x[example] @ W
        slope = 1 - np.tanh(z) ** 2
        length = np.linalg.norm(x[example])
        c, e = np.abs(v[:, output] * -2 * np.tanh(z) * slope) * length**2, slope * length
        expected = np.max(c + np.sqrt(c**2 + 4 * e**2)) / 2 / np.sqrt(width)
        found = wedges.kernel.output_hessian_norm(landscape, theta, example, output, seed=0)
        assert found == pytest.approx(expected, rel=2e-3)
    same = wedges.kernel.output_hessian_norm(landscape, theta, x[2:3], 1, seed=0)
    assert same == pytest.approx(found, rel=1e-9)


def test_the_hessian_of_an_output_is_that_of_central_differences():
    landscape, theta, x = made(MODELS["residual"][0]())
    operator = wedges.kernel.output_hessian(landscape, theta, 1, 0)
    v, h = normal(6, landscape.dimension), 1e-5
    row = lambda at: jacobian(landscape, at, x)[2]
    expected = (row(theta + h * v) - row(theta - h * v)) / (2 * h)
    np.testing.assert_allclose(operator @ v, expected, atol=1e-6 * np.abs(expected).max())


# ---- landscapes without a kernel, and bad input -------------------------------------------------------


def test_any_landscape_has_a_ratio():
    """Of a bowl it lies between its curvatures; of half a squared distance it is 1."""
    bowl = wedges.Quadratic(np.array([1.0, 4.0, 9.0]))
    ratio = lambda theta: wedges.pl_ratio(bowl, theta, eigenvalues=False).ratio
    np.testing.assert_allclose([ratio(row) for row in 2 * np.eye(3)], [1, 4, 9], rtol=1e-6)
    assert all(1 < ratio(normal(i, 3)) < 9 for i in range(20))
    assert ratio([1.0, 1.0, 0.0]) == pytest.approx(17 / 5, rel=1e-6)
    toy = wedges.Squared(wedges.AxisWedges(30, 20))
    assert wedges.pl_ratio(toy, normal(0, 30), eigenvalues=False).ratio == pytest.approx(1, rel=1e-5)
    at_minimum = wedges.pl_ratio(bowl, np.zeros(3), eigenvalues=False)
    assert np.isnan(at_minimum.ratio) and at_minimum.loss == 0


def refused(call, *words):
    with pytest.raises(ValueError) as error:
        call()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_bad_input_is_one_clear_line():
    landscape, theta, x = made(MODELS["dense"][0]())
    kernel, ratio = wedges.tangent_kernel, wedges.pl_ratio
    bowl = wedges.Quadratic([1.0, 2.0])
    refused(lambda: kernel(bowl, [0, 0]), "NetworkLandscape", "Quadratic")
    refused(
        lambda: kernel(wedges.restrict(landscape, wedges.random_cut(theta, 3, seed=0)), np.zeros(3)),
        "Restricted",
    )
    refused(lambda: kernel(landscape, theta[1:]), "theta")
    refused(lambda: kernel(landscape, theta * np.nan), "finite")
    refused(lambda: kernel(landscape, theta, N + 1), "examples", "N = 5")
    refused(lambda: kernel(landscape, theta, x[:, :3]), "examples", "[n, 4]", "(5, 3)")
    refused(lambda: kernel(landscape, theta, None, x[0]), "others", "(4,)")
    refused(lambda: kernel(landscape, theta, outputs="sum"), "'all' or 'trace'")
    refused(lambda: ratio(bowl, [0, 0]), "NetworkLandscape")
    refused(lambda: ratio(bowl, [1, 1], minimum=7, eigenvalues=False), "minimum", "7")
    hessian = wedges.kernel.output_hessian
    refused(lambda: hessian(landscape, theta, 5), "example", "4")
    refused(lambda: hessian(landscape, theta, x), "one input", "5")
    refused(lambda: hessian(landscape, theta, 0, 3), "output", "2")


def test_a_smallest_eigenvalue_that_must_be_0_is_refused_in_words():
    many, theta, _ = made(MODELS["dense"][0](), n=20)  # 60 outputs, 43 weights
    refused(lambda: wedges.pl_ratio(many, theta), "D = 43", "60", "eigenvalues=False")
    assert wedges.pl_ratio(many, theta, eigenvalues=False).smallest is None
    landscape, theta, x = made(MODELS["dense"][0]())
    twice = landscape.on(np.concatenate([x, x[1:2]]), normal(0, N + 1, 3))
    refused(lambda: wedges.pl_ratio(twice, theta), "numbers 1 and 5")
    weighted = landscape.on(x, normal(0, N, 3), sample_weight=np.arange(1.0, N + 1))
    refused(lambda: wedges.pl_ratio(weighted, theta), "square loss")


def test_other_losses_and_statistics_are_refused_where_eigenvalues_are_wanted():
    landscape, theta, x = made(MODELS["dense"][0]())
    y = np.eye(3)[np.arange(N) % 3]
    entropy = landscape.on(x, y, loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    refused(lambda: wedges.pl_ratio(entropy, theta), "square loss", "categorical_crossentropy")
    assert wedges.pl_ratio(entropy, theta, eigenvalues=False).ratio > 0
    absolute = landscape.on(x, y, loss="mean_absolute_error")
    refused(lambda: wedges.pl_ratio(absolute, theta), "square loss")
    moving, theta, _ = made(MODELS["batch norm"][0](), batch_norm="reestimate")
    refused(lambda: wedges.pl_ratio(moving, theta), "frozen")


def test_a_loss_that_is_square_on_a_few_examples_only_is_refused():
    """What is looked at are all examples, at the theta that is asked for."""
    n = 12
    landscape, theta, x = made(MODELS["one output"][0](), n=n)
    y = normal(1, n, 1)
    late = landscape.on(x, y, sample_weight=np.where(np.arange(n) < 8, 1.0, 50.0))
    refused(lambda: wedges.pl_ratio(late, theta), "square loss", "differ in weight")
    even = landscape.on(x, y, sample_weight=np.full(n, 50.0))
    found = wedges.pl_ratio(even, theta)
    assert found.smallest <= found.ratio <= found.largest
    huber = landscape.on(x, y, loss=keras.losses.Huber(delta=20.0))
    found = wedges.pl_ratio(huber, theta)
    assert found.scale == pytest.approx(1 / n) and found.smallest <= found.ratio <= found.largest
    refused(lambda: wedges.pl_ratio(huber, 300 * theta), "square loss", "far from its targets")


def test_losses_that_layers_add_are_refused_where_eigenvalues_are_wanted():
    class Adding(layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(x**2))
            return x

    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, "tanh"), Adding(), layers.Dense(1)])
    landscape, theta, _ = made(model)
    refused(lambda: wedges.pl_ratio(landscape, theta), "layers add", "eigenvalues=False")
    assert wedges.pl_ratio(landscape, theta, eigenvalues=False).ratio > 0


def test_a_smallest_eigenvalue_that_is_rounding_is_0():
    """Outputs of a softmax add up to 1, so that a direction of K is always 0."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(9, "tanh"), layers.Dense(2, "softmax")])
    landscape, theta, _ = made(model)
    found = wedges.pl_ratio(landscape, theta)
    assert found.smallest == 0 < found.ratio <= found.largest
    single, theta, _ = made(MODELS["one output"][0]())
    values = np.linalg.eigvalsh(wedges.tangent_kernel(single, theta))
    assert wedges.pl_ratio(single, theta).smallest == pytest.approx(2 / N * values[0], rel=1e-9)


def test_zeros_of_two_signs_are_one_input():
    landscape, theta, x = made(MODELS["one output"][0]())
    x[0], x[3] = 0.0, -0.0
    twice = landscape.on(x, normal(0, N, 1))
    refused(lambda: wedges.pl_ratio(twice, theta), "numbers 0 and 3")


def test_a_ratio_of_numbers_that_are_none_is_refused():
    landscape, theta, _ = made(MODELS["one output"][0]())
    for eigenvalues in (True, False):
        call = lambda e=eigenvalues: wedges.pl_ratio(landscape, 1e300 * theta, eigenvalues=e)
        refused(call, "finite loss and gradient")
        for minimum in ("0", None, np.nan):
            how = {"minimum": minimum, "eigenvalues": eigenvalues}
            refused(lambda how=how: wedges.pl_ratio(landscape, theta, **how), "minimum")
    refused(lambda: wedges.pl_ratio(wedges.Quadratic([1.0]), [1.0]), "eigenvalues=False")


def test_models_of_several_outputs_are_refused():
    x = keras.Input((3,))
    model = keras.Model(x, [layers.Dense(1)(x), layers.Dense(2)(x)])
    given = [normal(0, N, 1), normal(1, N, 2)]
    landscape = wedges.NetworkLandscape(model, normal(2, N, 3), given, ["mse", "mse"], seed=0)
    refused(lambda: wedges.tangent_kernel(landscape, np.zeros(12)), "one output", "2")
