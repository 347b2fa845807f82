"""The roughness index against what is exact of unimodal slices, of quadratics and of sines."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from wedges import roughness
from wedges.roughness import index, quadratic_variation, turnings, variation

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda v: round(v, 6))
bounds = lambda count: np.sqrt(count / (count - 1)) * roughness.UNIMODAL


# ---- of a slice -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=9), st.lists(numbers, min_size=1, max_size=9))
def test_a_unimodal_slice_has_a_variation_from_one_to_two_by_its_three_heights(left, right):
    falls, rises = sorted(left, reverse=True), sorted(right)
    slice = np.array([*falls, *(v for v in rises if v >= falls[-1])])
    a, b, c = slice[0], slice[-1], slice.min()
    if len(slice) < 2 or max(a, b) == c:
        return
    expected = 1 + min(a - c, b - c) / max(a - c, b - c)
    for made in (slice, -slice):  # a hill is a valley upside down
        np.testing.assert_allclose(variation(made), expected, rtol=1e-9)
        assert 1 - 1e-9 <= variation(made) <= 2 + 1e-9 and turnings(made) <= 1


@settings(deadline=None)
@given(st.lists(st.floats(1, 2), min_size=2, max_size=60))
def test_the_index_of_unimodal_slices_is_at_most_one_over_two_root_two(variations):
    assert 0 <= index(variations) <= bounds(len(variations)) * (1 + 1e-9)


def test_the_bound_is_attained_by_two_monotone_slices_to_a_symmetric_one():
    thirds = [1.0] * 400 + [2.0] * 200
    np.testing.assert_allclose(index(thirds), bounds(600), rtol=1e-12)
    np.testing.assert_allclose(roughness.UNIMODAL, 0.35355339059327373, rtol=1e-15)


@settings(deadline=None)
@given(
    st.lists(st.integers(-1000, 1000), min_size=3, max_size=12).filter(lambda v: len(set(v)) > 1),
    st.floats(0.001, 1000),
    st.sampled_from([-1, 1]),
    st.floats(-1000, 1000),
)
def test_no_affine_map_of_the_losses_changes_a_variation(losses, scale, sign, shift):
    losses = np.array(losses, np.float64)
    np.testing.assert_allclose(variation(sign * scale * losses + shift), variation(losses), rtol=1e-6)


@pytest.mark.parametrize("periods", [1, 2, 5])
def test_whole_periods_of_a_sine_have_twice_their_number(periods):
    s = np.linspace(0, 1, 40 * periods + 1)  # extremes on the grid
    sine = np.sin(2 * np.pi * periods * s + 0.0)
    np.testing.assert_allclose(variation(sine), 2 * periods, rtol=1e-12)
    assert turnings(sine) == 2 * periods


@pytest.mark.parametrize("slope", [0.0, 0.3, -1.7, 2.0, 5.0])
@pytest.mark.parametrize("curvature", [4.0, -4.0, 0.01])
def test_the_variation_of_a_quadratic_is_that_of_a_fine_grid(slope, curvature):
    s = np.linspace(-0.7, 0.7, 200_001)
    found = quadratic_variation(slope, curvature, 0.7)
    np.testing.assert_allclose(found, variation(slope * s + curvature * s**2 / 2), rtol=1e-6)


def test_the_variation_of_a_quadratic_by_hand():
    # Minimum at s = -0.5 of [-1, 1]: falls by 1/8, rises by 9/8, so 1 + 1/9.
    found = quadratic_variation([0.5, 0.0, 1.0, 0.0], [1.0, -3.0, 1.0, 0.0], 1.0)
    np.testing.assert_allclose(found, [1 + 1 / 9, 2, 1, np.nan])


def test_what_is_not_finite_or_level_has_no_variation():
    losses = [[1.0, 1.0, 1.0], [0.0, np.nan, 1.0], [0.0, np.inf, 1.0], [0.0, 1.0, 0.5]]
    np.testing.assert_array_equal(variation(losses), [np.nan, np.nan, np.nan, 1.5])
    assert np.isnan(index(variation(losses)))


def test_level_steps_and_rounding_are_no_turnings():
    assert turnings([2.0, 1.0, 1.0, 0.0, 0.0, 3.0]) == 1
    assert turnings([0.0, 1.0, 0.0, 1.0]) == 2
    noise = np.float32(1) + np.float32(1e-7) * np.array([0, 1, 0, 1, 0], np.float32)
    assert turnings(noise) == 0 and turnings(noise.astype(np.float64)) == 3


# ---- of a landscape ---------------------------------------------------------------------------------


class Of(wedges.Landscape):
    """Any function of theta in D dimensions."""

    def __init__(self, dimension, function):
        self.dimension, self.dtype, self.function = dimension, tf.float64, function

    def __call__(self, theta):
        return self.function(self.point(theta))


def bowl(rng, dimension, center=None):
    a = rng.standard_normal((dimension, dimension))
    matrix = a @ a.T + np.diag(10.0 ** rng.uniform(-3, 3, dimension))
    return matrix, wedges.Quadratic(matrix, center, dtype="float64")


def test_the_centre_of_any_bowl_has_the_index_zero_whatever_its_condition_number():
    _, landscape = bowl(np.random.default_rng(0), 6)
    found = wedges.roughness_index(landscape, np.zeros(6), 20, 0.1, 10, seed=1)
    np.testing.assert_allclose(found.variations, 2, rtol=1e-9)
    assert found.index < 1e-9 and found.predicted < 1e-9 and found.excess < 1e-9
    assert found.multimodal == 0 and found.losses.shape == (20, 11)


def test_a_slope_has_the_index_zero():
    landscape = Of(4, lambda theta: tf.reduce_sum(theta * [1.0, -2.0, 0.5, 3.0], axis=-1))
    found = wedges.roughness_index(landscape, np.ones(4), 10, 0.5, 7, seed=0, predict=False)
    np.testing.assert_allclose(found.variations, 1, rtol=1e-9)
    assert found.index < 1e-9 and np.isnan(found.predicted) and np.isnan(found.slopes).all()


@pytest.mark.parametrize("seed", [0, 1, 4])  # whose minima are inside
def test_slopes_curvatures_and_the_prediction_of_a_quadratic_are_exact(seed):
    rng = np.random.default_rng(seed)
    center, theta = rng.standard_normal((2, 5))
    matrix, landscape = bowl(rng, 5, center)
    d = rng.standard_normal((13, 5))
    found = wedges.roughness_index(landscape, theta, d, 0.8, 500)
    np.testing.assert_allclose(found.slopes, d @ matrix @ (theta - center), rtol=1e-9)
    np.testing.assert_allclose(found.curvatures, np.diag(d @ matrix @ d.T), rtol=1e-9)
    np.testing.assert_allclose(found.variations, found.predicted_variations, atol=1e-3)
    assert abs(found.index - found.predicted) < 1e-3 and found.index > 0.05
    assert found.index <= bounds(13) and found.mean == found.variations.mean()


def test_neither_scale_nor_unit_of_length_changes_the_index():
    rng = np.random.default_rng(3)
    matrix, landscape = bowl(rng, 4)
    theta, d = rng.standard_normal(4), rng.standard_normal((9, 4))
    of = lambda landscape, d, far: wedges.roughness_index(landscape, theta, d, far, 11).index
    known = of(landscape, d, 0.6)
    np.testing.assert_allclose(of(wedges.Quadratic(-7 * matrix, dtype="float64"), d, 0.6), known)
    np.testing.assert_allclose(of(landscape, 0.3 * d, 2.0), known)


def test_a_rough_radial_function_has_the_index_zero_and_only_the_rest_tells():
    rings = Of(3, lambda theta: tf.cos(50 * tf.norm(theta, axis=-1)))
    found = wedges.roughness_index(rings, np.zeros(3), 15, 1.0, 400, seed=0, predict=False)
    assert found.index < 1e-6
    # 50 / pi half periods to either side, the last of them not whole.
    each = 2 * (15 + (1 - (-1) ** 15 * np.cos(50)) / 2)
    np.testing.assert_allclose(found.variations, each, rtol=1e-2)
    assert found.multimodal == 1 and found.excess > 28


def test_the_published_grid_goes_beyond_its_end_and_a_centred_bowl_has_not_two():
    landscape = wedges.Quadratic([1.0, 2.0], dtype="float64")
    of = lambda **how: wedges.roughness_index(landscape, [0.0, 0.0], 4, seed=0, **how)
    found = of(distance=0.1, steps=10, published="grid")
    assert len(found.distances) == 12 and np.isclose(found.distances[-1], 0.12)
    np.testing.assert_allclose(found.variations, (1 + (0.1 / 0.12) ** 2) * 0.2 / 0.22, rtol=1e-9)
    np.testing.assert_allclose(found.mean, 1.5404, atol=1e-4)
    assert len(of(distance=0.02, steps=100, published=["grid"]).distances) == 102
    assert len(of(distance=0.1, steps=20, published=["grid"]).distances) == 21  # not everywhere
    np.testing.assert_array_equal(of(distance=0.1, steps=10).distances, np.linspace(-0.1, 0.1, 11))


def test_the_published_biases_are_those_of_theta_in_every_direction():
    weights, theta = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0])
    landscape = Of(4, lambda theta: tf.tensordot(theta, weights, 1))
    filters, how = [0, 0, -1, -1], {"seed": 4, "distance": 1.0, "steps": 4}
    d = wedges.filter_normalized(theta, np.array(filters), 6, seed=4)
    plain = wedges.roughness_index(landscape, theta, 6, filters=filters, **how)
    np.testing.assert_allclose(plain.slopes, d @ weights)
    np.testing.assert_allclose(d[:, 2:], 0)
    copied = wedges.roughness_index(landscape, theta, 6, filters=filters, published=["biases"], **how)
    np.testing.assert_allclose(copied.slopes, d @ weights + 5 * 3 + 6 * 4)


def test_of_a_network_the_directions_are_filter_normalised():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "tanh"), keras.layers.Dense(1)])
    rng = np.random.default_rng(0)
    landscape = wedges.NetworkLandscape(
        model, rng.normal(size=(9, 3)), rng.normal(size=(9, 1)), "mse", seed=0
    )
    theta = landscape.space.read().numpy()
    found = wedges.roughness_index(landscape, theta, 4, 0.5, 6, seed=7)
    d = wedges.filter_normalized(theta, landscape.space.filters, 4, seed=7)
    gradient = landscape.value_and_gradient(theta)[1].numpy()
    np.testing.assert_allclose(found.slopes, d @ gradient, rtol=1e-4)
    np.testing.assert_allclose(found.losses[2, -1], landscape(theta + 0.5 * d[2]), rtol=1e-5)
    np.testing.assert_allclose(found.losses[1, 3], landscape(theta), rtol=1e-5)


def test_constant_slices_are_a_nan_that_is_named():
    landscape = Of(2, lambda theta: theta[..., 0] ** 2)
    with pytest.warns(UserWarning, match="^1 of 3 slices have one loss everywhere"):
        found = wedges.roughness_index(landscape, [0.1, 0.0], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(np.isnan(found.variations), [False, True, False])
    assert np.isnan([found.index, found.mean, found.predicted]).all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"directions": 1}, "directions must be a whole number, at least 2; received 1."),
        ({"directions": 2.5}, "directions must be a whole number, at least 2; received 2.5."),
        ({"steps": 1}, "steps must be a whole number, at least 2; received 1."),
        ({"distance": 0.0}, "distance must be a finite number above 0; received 0.0."),
        ({"seed": None}, "seed must be given for random directions; received None."),
        ({"seed": -1}, "seed must be a whole number, at least 0; received -1."),
        ({"directions": np.ones((1, 2))}, r"directions must be at least 2, \[M, 2\], or their number"),
        ({"directions": np.ones((3, 4))}, r"directions must be at least 2, \[M, 2\], or their number"),
        ({"directions": np.zeros((3, 2))}, "directions must be finite and not 0; received one that is"),
        ({"directions": [[1.0, 2.0], [1.0]]}, r"directions must be at least 2, \[M, 2\], or their num"),
        ({"filters": [0, 1, 2]}, r"filters must be whole numbers \[2\]; received int64 \(3,\)."),
        ({"published": ["grids"]}, "published must be 'grid' or 'biases'; received 'grids'."),
    ],
)
def test_bad_arguments_are_one_line(how, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        wedges.roughness_index(wedges.Quadratic([1.0, 2.0]), [1.0, 1.0], **{"seed": 0, **how})


def test_filters_of_0_give_no_direction():
    words = "^theta must have filters other than 0 for directions that are normalised by them"
    with pytest.raises(ValueError, match=words):
        wedges.roughness_index(wedges.Quadratic([1.0, 2.0]), [0.0, 0.0], 3, seed=0, filters=[0, 1])


def test_bad_slices_are_one_line():
    with pytest.raises(
        ValueError, match=r"^variations must be those of at least 2 slices \[M\]; received"
    ):
        index([1.5])
    with pytest.raises(ValueError, match="^losses must be numbers"):
        variation([1.0])
    with pytest.raises(ValueError, match="^distance must be a finite number above 0"):
        quadratic_variation(1.0, 1.0, 0.0)
