"""The penalties and their proximal steps: against formulas, among Keras' layers, and from a file."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import layers

import wedges
from wedges import regularizers
from wedges.compressibility import critical_magnitude, ratio

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
magnitudes = st.floats(0.05, 20.0)
component = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda v: -v))
vectors = hnp.arrays(np.float64, st.integers(1, 9), elements=component).filter(np.any)
PENALTIES = [
    wedges.Compressibility(0.3),
    wedges.Compressibility(0.3, normalize=True),
    wedges.HoyerSquare(0.3),
    keras.regularizers.L1(0.3),
    keras.regularizers.L2(0.3),
    keras.regularizers.L1L2(0.2, 0.1),
]
named = pytest.mark.parametrize(
    "penalty", PENALTIES, ids=lambda p: f"{type(p).__name__} {p.get_config()}"
)


def by_autodiff(penalty, w):
    w = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(w)
        value = penalty(w)
    return float(value), tape.gradient(value, w).numpy()


# ---- values and forces ------------------------------------------------------------------------------


@few
@given(vectors)
def test_values_are_those_of_the_formulas(w):
    c, d = ratio(w), len(w)
    assert float(wedges.Compressibility(0.3)(w)) == pytest.approx(0.3 * c)
    assert float(wedges.Compressibility(0.3, normalize=True)(w)) == pytest.approx(0.3 * c / np.sqrt(d))
    assert float(wedges.HoyerSquare(0.3)(w)) == pytest.approx(0.3 * c**2 / d)


@named
@few
@given(w=vectors)
def test_forces_are_the_gradient_of_the_penalty(penalty, w):
    shrink, grow = (float(part) for part in regularizers.forces(penalty, w))
    np.testing.assert_allclose(shrink * np.sign(w) - grow * w, by_autodiff(penalty, w)[1], atol=1e-9)


def test_forces_by_hand():
    w = np.array([[3.0, -4.0], [0.0, 0.0]])  # s = 7, r = 5, D = 4
    found = regularizers.forces(wedges.Compressibility(2.0), w)
    np.testing.assert_allclose(found, [2 / 5, 2 * 7 / 125])
    np.testing.assert_allclose(regularizers.forces(wedges.HoyerSquare(2.0), w), [28 / 100, 196 / 2500])
    np.testing.assert_allclose(
        regularizers.forces(keras.regularizers.L1L2(0.1, 0.2), w), [0.1, -0.4], rtol=1e-6
    )


@named
def test_at_zero_there_is_neither_penalty_nor_force(penalty):
    value, gradient = by_autodiff(penalty, np.zeros((2, 2)))
    assert value == 0 and np.array_equal(gradient, np.zeros((2, 2)))
    assert np.isfinite(np.array(regularizers.forces(penalty, np.zeros(3)))).all()
    assert np.array_equal(regularizers.proximal_step(np.zeros(3), penalty, 0.1), np.zeros(3))


def test_weights_whose_squares_are_no_floats_have_a_penalty():
    w = np.array([3e-30, 4e-30], np.float32)
    value, gradient = by_autodiff(wedges.Compressibility(1.0), w)
    assert value == pytest.approx(1.4) and np.isfinite(gradient).all()


# ---- the proximal step ------------------------------------------------------------------------------


@named
@few
@given(w=vectors, step=st.floats(1e-6, 1e-3))
def test_a_small_step_off_zero_is_one_of_descent(penalty, w, step):
    found = np.asarray(regularizers.proximal_step(w, penalty, step))
    plain = w - step * by_autodiff(penalty, w)[1]
    # Both parts are below 0.3 * 9 / 0.05^2 here; they act one after the other.
    away = np.abs(w) > 2 * step * float(regularizers.forces(penalty, w).shrink)
    np.testing.assert_allclose(found[away], plain[away], rtol=1e-9, atol=1e-12)
    assert not found[w == 0].any()


@few
@given(vectors, st.floats(0.0, 100.0))
def test_under_c_the_largest_component_never_shrinks(w, step):
    for penalty in PENALTIES[:3]:
        found = np.abs(np.asarray(regularizers.proximal_step(w, penalty, step)))
        assert found.max() >= np.abs(w).max() * (1 - 1e-9)


@few
@given(vectors, st.floats(1e-3, 1.0))
def test_components_below_the_critical_magnitude_fall_and_ternary_ones_stay(w, step):
    penalty = wedges.Compressibility(0.3)
    found, critical = np.asarray(regularizers.proximal_step(w, penalty, step)), critical_magnitude(w)
    below = (np.abs(w) < critical * (1 - 1e-6)) & (w != 0)
    assert (np.abs(found)[below] < np.abs(w)[below]).all()
    ternary = np.sign(w)
    np.testing.assert_allclose(
        regularizers.proximal_step(ternary, penalty, step), ternary, rtol=1e-12, atol=0
    )


def test_zeros_are_exact_and_no_sign_changes():
    w = np.array([1.0, -0.1, 0.01, -0.001])
    found = regularizers.proximal_step(w, keras.regularizers.L1(1.0), 0.05)
    np.testing.assert_allclose(found, [0.95, -0.05, 0.0, 0.0])
    assert np.count_nonzero(found) == 2
    shrunk = regularizers.proximal_step(w, keras.regularizers.L2(1.0), 0.05)
    np.testing.assert_allclose(shrunk, 0.9 * w)


def test_alone_it_leads_to_one_component():
    w = tf.constant(np.random.default_rng(0).normal(size=50))
    largest = int(np.abs(w).argmax())
    for _ in range(400):
        w = regularizers.proximal_step(w, wedges.Compressibility(1.0), 1.5)
    assert np.flatnonzero(w).tolist() == [largest]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_in_half_precision_there_is_room_for_many_components(kind):
    """100,000 is no float16, neither as D nor as a sum; half of the components are 1, the others 0."""
    w = tf.cast(np.arange(100_000) % 2, kind)
    for penalty, known in (
        (wedges.Compressibility(1.0), np.sqrt(50_000)),
        (wedges.Compressibility(1.0, normalize=True), np.sqrt(0.5)),
        (wedges.HoyerSquare(1.0), 0.5),
    ):
        found = penalty(w)
        assert found.dtype == w.dtype and float(found) == pytest.approx(known, rel=2**-8)
        step = regularizers.proximal_step(w, penalty, 0.1)  # of a ternary vector: none
        assert step.dtype == w.dtype
        np.testing.assert_array_equal(step, w)
    few = tf.cast([1.0, 0.25], kind)
    shrink, grow = (float(part) for part in regularizers.forces(wedges.HoyerSquare(1.0), few))
    assert [shrink, grow] == pytest.approx([2 * 1.25 / (2 * 1.0625), 2 * 1.25**2 / (2 * 1.0625**2)])


def test_weights_of_several_dtypes_are_one_vector_too():
    weights = [tf.constant([3.0, 0.25]), tf.constant([[-1.0]], tf.float64), tf.cast([0.5], "bfloat16")]
    penalty = wedges.Compressibility(1.0)
    found = regularizers.proximal_steps(weights, penalty, 0.1, group=True)
    known = np.asarray(regularizers.proximal_step([3.0, 0.25, -1.0, 0.5], penalty, 0.1))
    assert [f.dtype for f in found] == [w.dtype for w in weights]
    flat = np.concatenate([np.ravel(tf.cast(f, tf.float64)) for f in found])
    np.testing.assert_allclose(flat, known, rtol=2**-8)
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(3, dtype="float64"), layers.Dense(1, dtype="float32")]
    )
    regularizers.together([layer.kernel for layer in model.layers], penalty)
    whole = np.concatenate([np.ravel(layer.kernel) for layer in model.layers])
    assert float(model.losses[0]) == pytest.approx(ratio(whole), rel=1e-6)


# ---- in Keras ---------------------------------------------------------------------------------------


def model_with(penalty):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, "tanh", kernel_regularizer=penalty),
            layers.Dense(3, kernel_regularizer=penalty),
        ]
    )


@pytest.mark.parametrize("penalty", PENALTIES[:3])
def test_it_is_saved_with_a_model_and_named_by_its_settings(penalty, tmp_path):
    model = model_with(penalty)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = loaded.layers[0].kernel_regularizer
    assert type(found) is type(penalty) and found.get_config() == penalty.get_config()
    np.testing.assert_allclose(sum(loaded.losses), sum(model.losses))
    again = keras.regularizers.deserialize(keras.regularizers.serialize(penalty))
    assert again.get_config() == penalty.get_config() and repr(again) == repr(penalty)
    assert ("normalize=True" in repr(penalty)) == penalty.get_config().get("normalize", False)


def test_a_landscape_adds_it_and_sees_its_curvature():
    penalty, rng = wedges.Compressibility(0.5), np.random.default_rng(0)
    x, y = rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with_it = wedges.NetworkLandscape(model_with(penalty), x, y, loss, seed=0, regularize=True)
    without = with_it.on(x, y, regularize=False)
    theta, v = with_it.space.read(), rng.normal(size=with_it.dimension).astype("float32")
    kernels = [w.numpy() for w in with_it.space.unflatten(theta) if len(w.shape) > 1]
    more = float(with_it(theta)) - float(without(theta))
    assert more == pytest.approx(0.5 * sum(ratio(w) for w in kernels), rel=1e-5)
    # Of the second derivative along v, by its formula: C has a kink at 0 only.
    second = 0.0
    for w, d in zip(with_it.space.unflatten(theta), with_it.space.unflatten(v), strict=True):
        if len(w.shape) > 1:
            w, d = w.numpy().ravel().astype(float), d.numpy().ravel().astype(float)
            s, r, along, slope = np.abs(w).sum(), np.linalg.norm(w), w @ d, np.sign(w) @ d
            second += 0.5 * (3 * s * along**2 / r**5 - 2 * slope * along / r**3 - s * (d @ d) / r**3)
    found = [float(tf.tensordot(of.hessian_product(theta, v), v, 1)) for of in (with_it, without)]
    assert found[0] - found[1] == pytest.approx(second, rel=1e-3)


def test_fitting_with_it_in_the_loss_lowers_it():
    model, rng = model_with(wedges.Compressibility(0.2)), np.random.default_rng(0)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = float(sum(model.losses))
    model.fit(rng.normal(size=(32, 6)), np.zeros((32, 3)), epochs=40, verbose=0)
    assert float(sum(model.losses)) < 0.8 * before


def test_several_weights_are_one_vector():
    model = model_with(None)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    regularizers.together(kernels, wedges.Compressibility(0.5))
    whole = np.concatenate([np.ravel(v) for v in kernels])
    (found,) = model.losses
    assert float(found) == pytest.approx(0.5 * ratio(whole), rel=1e-5)
    with tf.GradientTape() as tape:
        loss = sum(model.losses)
    gradients = tape.gradient(loss, [v.value for v in kernels])
    flat = np.concatenate([np.ravel(g) for g in gradients])
    s, r = np.abs(whole).sum(), np.linalg.norm(whole)
    np.testing.assert_allclose(flat, 0.5 * (np.sign(whole) / r - s * whole / r**3), atol=1e-6)
    # In a landscape, too, where the weights are a theta that stands nowhere in the model.
    x, y = np.ones((2, 6), "float32"), np.zeros(2, int)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    landscape = wedges.NetworkLandscape(model, x, y, loss, seed=0, regularize=True)
    theta = 3 * landscape.space.read() + 0.1
    parts = [w.numpy().ravel() for w in landscape.space.unflatten(theta) if len(w.shape) > 1]
    more = float(landscape(theta)) - float(landscape.on(x, y, regularize=False)(theta))
    assert more == pytest.approx(0.5 * ratio(np.concatenate(parts)), rel=1e-4)


# ---- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [wedges.Compressibility, wedges.HoyerSquare])
@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf"), "much"])
def test_a_bad_strength_is_named(kind, strength):
    with pytest.raises(ValueError, match="^strength must be a finite number, at least 0; received"):
        kind(strength)


def test_bad_arguments_are_named():
    words = (
        "^penalty must be wedges.Compressibility, wedges.HoyerSquare, or Keras' L1, L2 or L1L2; received"
    )
    for penalty in (None, "l1", keras.regularizers.OrthogonalRegularizer()):
        with pytest.raises(ValueError, match=words):
            regularizers.forces(penalty, np.ones(2))
    for whole in ([1, 2], np.array([1, 2]), "text"):
        with pytest.raises(ValueError, match="^w must be floating numbers; received"):
            regularizers.proximal_step(whole, wedges.Compressibility(), 0.1)
        with pytest.raises(ValueError, match="^w must be floating numbers; received"):
            regularizers.forces(wedges.Compressibility(), whole)
    for step in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="^step must be a finite number, at least 0; received"):
            regularizers.proximal_step([1.0, 2.0], wedges.Compressibility(), step)
    variable = keras.Variable(np.ones(2))
    for few in ([], [variable], [variable, np.ones(2)]):
        with pytest.raises(ValueError, match="^variables must be two or more Keras variables"):
            regularizers.together(few, wedges.Compressibility())
    with pytest.raises(ValueError, match="^penalty must be a Keras regularizer; received 3"):
        regularizers.together([variable, variable], 3)
