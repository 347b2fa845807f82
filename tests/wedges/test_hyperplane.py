"""A Hyperplane against the model it wraps: training steps, state, penalties, files, errors."""

import pathlib
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import MODELS, SPARSE, batch_norm, dropout, frozen, half_precision, plain
from wedges.affine import AffineSubspace, Span, normal_plane, random_cut
from wedges.hyperplane import Hyperplane

ROOT = pathlib.Path(__file__).parents[2]
KINDS = {
    "span": lambda theta: random_cut(theta, 10, seed=0, method="dense"),
    "transform": lambda theta: random_cut(theta, 10, seed=np.int64(0), method="transform"),
    "complement": lambda theta: normal_plane(theta, np.eye(3, len(theta)) + 1.0),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def wrapped(model, kind="span", **kwargs):
    return Hyperplane(model, KINDS[kind](wedges.WeightSpace(model).read()), **kwargs)


def arrays(variables):
    return [np.array(v) for v in variables]


def assert_equal(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 0, "atol": 0} | tolerance))


@keras.saving.register_keras_serializable(package="test")
class Scaled(keras.Model):
    """A user's model: its own weight, a counter that is not trained, add_loss, several layers."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flat, self.norm = layers.Flatten(), layers.BatchNormalization()
        self.first, self.second = layers.Dense(units), layers.Dense(3)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x, training=None):
        if training:
            self.calls.assign(self.calls + 1)
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(self.scale)))
        x = self.norm(keras.ops.tanh(self.first(self.flat(x))), training=training)
        return self.second(x) * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def scaled():
    model = Scaled()
    model(np.zeros((1, 8, 8, 1), np.float32))
    return model


class Noisy(layers.Layer):
    """Draws from Keras's global seed, which no layer owns."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


class Overwriting(layers.Dense):
    def call(self, x):
        self.kernel.assign(self.kernel * 0.5)
        return super().call(x)


def dense(*stack, **kwargs):
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), *stack, layers.Dense(3, **kwargs)]
    )


# ---- training -------------------------------------------------------------------------------------


@kinds
def test_a_step_of_sgd_on_z_is_the_projected_step_of_the_weights(kind, images):
    model, (x, y) = plain(), images
    start = wedges.WeightSpace(model).read() + 0.1
    with tf.GradientTape() as tape:
        wedges.WeightSpace(model).write(KINDS[kind](start).origin)
        loss = SPARSE(y, model(x))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    gradient = tf.concat([tf.reshape(g, [-1]) for g in gradients], 0)
    hyperplane = Hyperplane(model, KINDS[kind](start))
    hyperplane.compile(keras.optimizers.SGD(0.5), SPARSE)
    found = hyperplane.fit(x, y, batch_size=53, verbose=0).history["loss"]
    np.testing.assert_allclose(found, [loss], rtol=1e-5)
    directions = hyperplane.subspace.directions
    np.testing.assert_allclose(hyperplane.z, -0.5 * directions.lower(gradient), atol=1e-6)
    np.testing.assert_allclose(
        hyperplane.theta, start - 0.5 * directions.lift(directions.lower(gradient)), atol=1e-6
    )
    assert float(tf.norm(hyperplane.z)) > 1e-3


def test_training_every_dimension_is_training_the_model(images):
    """With rows that are the axes themselves, ten steps of Adam are those of the plain model."""
    model, (x, y) = plain(), images
    theta = wedges.WeightSpace(model).read()
    axes = Span(np.eye(len(theta)), orthonormal=True)
    hyperplane = Hyperplane(keras.models.clone_model(model), AffineSubspace(theta, axes))
    for m in (model, hyperplane):
        m.compile(keras.optimizers.Adam(0.01), SPARSE)
        m.fit(x, y, batch_size=20, epochs=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(hyperplane.theta, wedges.WeightSpace(model).read(), atol=2e-5)


@pytest.mark.parametrize("build", [*MODELS, scaled], ids=lambda b: b.__name__)
def test_fit_stays_on_the_plane_and_leaves_the_wrapped_weights(build, images):
    model, (x, y) = build(), images
    kind = list(KINDS)[[*MODELS, scaled].index(build) % 3]  # each kind with three of the nine
    fixed = [v for v in model.variables if not v.trainable and "seed" not in v.name]
    before, was_fixed = arrays(model.trainable_variables), arrays(fixed)
    expected = model.predict(x, verbose=0)
    hyperplane = wrapped(model, kind)
    np.testing.assert_allclose(hyperplane.predict(x, verbose=0), expected, atol=1e-6)
    hyperplane.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), SPARSE, metrics=["accuracy"])
    hyperplane.fit(x, y, batch_size=20, epochs=2, verbose=0)
    theta = hyperplane.theta
    assert float(hyperplane.subspace.distance(theta)) <= 1e-5 * float(tf.norm(theta))
    assert float(tf.norm(theta - hyperplane.subspace.origin)) > 0.01
    assert_equal(model.trainable_variables, before)
    if build is frozen:
        assert_equal(fixed, was_fixed)
    predicted = hyperplane.predict(x, verbose=0)
    assert np.abs(predicted - expected).max() > 1e-3
    assert hyperplane.plain_model() is model
    np.testing.assert_allclose(model.predict(x, verbose=0), predicted, atol=1e-6)
    np.testing.assert_array_equal(wedges.WeightSpace(model).read(), theta)


def test_it_starts_at_the_projection_of_start():
    model = plain()
    theta = wedges.WeightSpace(model).read()
    plane = normal_plane(tf.zeros_like(theta), np.ones(len(theta)))
    hyperplane = Hyperplane(model, plane, start=theta)
    np.testing.assert_allclose(hyperplane.theta, theta - tf.reduce_mean(theta), atol=1e-6)
    np.testing.assert_array_equal(Hyperplane(model, plane).z, np.zeros(len(theta)))


def test_z_alone_is_trained(capsys):
    model = batch_norm()
    hyperplane = wrapped(model)
    assert hyperplane.trainable_variables == hyperplane.trainable_weights == [hyperplane.z]
    others = [*hyperplane.non_trainable_variables]
    assert len(others) == len(model.variables) == len(hyperplane.variables) - 1
    assert len(hyperplane.weights) == len(hyperplane.non_trainable_weights) + 1
    assert all(layer.trainable for layer in model.layers)
    hyperplane.summary()
    assert "Trainable params: 10 " in capsys.readouterr().out
    hyperplane.trainable = False
    assert not hyperplane.trainable_variables and len(hyperplane.non_trainable_weights) == 14


# ---- state and penalties --------------------------------------------------------------------------


def test_batch_norm_moves_its_statistics_as_in_the_model(images):
    model = batch_norm()
    theta = wedges.WeightSpace(model).read()
    hyperplane = Hyperplane(keras.models.clone_model(model), KINDS["span"](theta))
    before = hyperplane.predict(images[0], verbose=0)
    for m in (model, hyperplane):
        m.compile(keras.optimizers.SGD(0.0), SPARSE)  # the weights stay, so all else must agree
        m.fit(*images, batch_size=20, epochs=2, shuffle=False, verbose=0)
    assert_equal(
        hyperplane.model.non_trainable_variables, model.non_trainable_variables, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        hyperplane.predict(images[0], verbose=0), model.predict(images[0], verbose=0), atol=1e-5
    )
    assert np.abs(hyperplane.predict(images[0], verbose=0) - before).max() > 1e-3


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_masks_and_noise_are_fresh_each_step(run_eagerly):
    x, y = np.ones((16, 8, 8, 1), np.float32), np.zeros(16)
    for build in (dropout, lambda: dense(Noisy())):
        hyperplane = wrapped(build())
        hyperplane.compile(keras.optimizers.SGD(0.0), SPARSE, run_eagerly=run_eagerly)
        losses = hyperplane.fit(x, y, batch_size=16, epochs=4, verbose=0).history["loss"]
        assert len(set(losses)) == 4


def test_penalties_are_those_at_theta_counted_once(images):
    x, y = images

    def shared_and_nested():
        image = keras.Input((8, 8, 1))
        shared = layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1")
        inner = keras.Sequential([layers.Dense(3, bias_regularizer="l2")])
        return keras.Model(image, inner(shared(shared(layers.Reshape((8, 8))(image)))[:, 0]))

    for build in (shared_and_nested, scaled):
        hyperplane = wrapped(build())
        hyperplane.z.assign(np.linspace(-2, 2, 10))
        hyperplane.compile("sgd", SPARSE)
        found = hyperplane.evaluate(x, y, batch_size=53, verbose=0)
        hyperplane(x)
        losses = [float(v) for v in hyperplane.losses]
        values = [v.value for v in hyperplane.trainable_variables]
        fixed = [v.value for v in hyperplane.non_trainable_variables]
        stateless = hyperplane.stateless_call(values, fixed, x, return_losses=True)[2]
        model = hyperplane.plain_model()
        model.compile("sgd", SPARSE)
        np.testing.assert_allclose(found, model.evaluate(x, y, batch_size=53, verbose=0), rtol=1e-5)
        model(x)
        assert sorted(losses) == pytest.approx(sorted(float(v) for v in model.losses), rel=1e-5)
        assert sorted(float(v) for v in stateless) == pytest.approx(sorted(losses), rel=1e-5)
        assert found - float(SPARSE(y, model(x))) > 0.01


def test_mixed_precision_keeps_z_and_penalties_in_float32_and_scales_the_loss(images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        hyperplane = wrapped(dense(layers.BatchNormalization(), kernel_regularizer="l2"))
        hyperplane.compile("adam", SPARSE)
        hyperplane.z.assign(np.full(10, 1e-5))  # float16 has no such steps
        hyperplane.fit(*images, batch_size=20, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(hyperplane.optimizer, keras.optimizers.LossScaleOptimizer)
    assert hyperplane.z.dtype == "float32" and hyperplane.compute_dtype == "float16"
    outputs = hyperplane(images[0])
    assert outputs.dtype == tf.float16
    kernel = hyperplane.space.unflatten(hyperplane.theta)[2]
    np.testing.assert_allclose(hyperplane.losses, [0.01 * tf.reduce_sum(kernel**2)], rtol=1e-6)
    assert hyperplane.losses[0].dtype == tf.float32


def test_several_inputs_and_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    hidden = layers.Dense(5, activation="tanh")(layers.Concatenate()([a, b]))
    outputs = {"p": layers.Dense(1, name="p")(hidden), "q": layers.Dense(2, name="q")(hidden)}
    model = keras.Model({"a": a, "b": b}, outputs)
    x, y = {"a": np.ones((6, 4)), "b": np.ones((6, 3))}, {"p": np.ones((6, 1)), "q": np.ones((6, 2))}
    expected = model.predict(x, verbose=0)
    hyperplane = wrapped(model)
    assert_equal(hyperplane.predict(x, verbose=0).values(), expected.values(), atol=1e-6)
    hyperplane.compile("adam", {"p": "mse", "q": "mae"})
    losses = hyperplane.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["transform"])  # its cosine transform is all that XLA might not know
def test_compiled_by_xla_it_is_the_same(kind, images):
    """Its loss and gradient; `compile(jit_compile=True)` is ignored by Keras under op determinism."""
    hyperplane = wrapped(plain(), kind)

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(hyperplane(x) ** 2)
        return loss, tape.gradient(loss, hyperplane.z.value)

    for found, expected in zip(
        tf.function(step, jit_compile=True)(images[0]), step(images[0]), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        assert np.abs(expected).max() > 0


# ---- as a model among models ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "kind"), [(batch_norm, "span"), (half_precision, "transform"), (scaled, "complement")]
)
def test_its_landscape_is_the_models_on_the_plane(build, kind, images):
    model = build()
    hyperplane = wrapped(model, kind)
    assert wedges.WeightSpace(hyperplane).dimension == hyperplane.subspace.parameters
    z = np.random.default_rng(0).normal(size=hyperplane.z.shape).astype(np.float32)
    settings = {"seed": 0, "regularize": True, "batch_norm": "reestimate"}
    full = wedges.NetworkLandscape(model, *images, SPARSE, **settings)
    flat = wedges.NetworkLandscape(hyperplane, *images, SPARSE, **settings)
    theta = hyperplane.subspace.embed(z)
    tolerance = {"rtol": 2e-2, "atol": 2e-3} if build is half_precision else {"rtol": 1e-4, "atol": 1e-5}
    before = arrays(hyperplane.variables)
    np.testing.assert_allclose(flat(z), full(theta), **tolerance)
    value, gradient = full.value_and_gradient(theta)
    np.testing.assert_allclose(
        flat.value_and_gradient(z)[1], hyperplane.subspace.directions.lower(gradient), **tolerance
    )
    wedges.minimize(flat, z, keras.optimizers.Adam(), steps=2)
    assert_equal(hyperplane.variables, before)


def test_a_cut_of_a_plane_is_a_cut(images):
    model, (x, y) = plain(), images
    outer = wrapped(model, "complement")
    inner = Hyperplane(outer, random_cut(tf.zeros(outer.z.shape), 5, seed=1))
    inner.compile("adam", SPARSE)
    inner.fit(x, y, verbose=0)
    assert inner.trainable_variables == [inner.z]
    np.testing.assert_array_equal(outer.z, np.zeros(outer.z.shape))
    found = inner.predict(x, verbose=0)
    np.testing.assert_allclose(inner.plain_model().plain_model().predict(x, verbose=0), found, atol=1e-6)


# ---- to a file and back ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "kind"), [(batch_norm, "span"), (frozen, "complement"), (scaled, "transform")]
)
def test_a_saved_one_resumes_where_it_was(build, kind, images, tmp_path):
    x, y = images
    hyperplane = wrapped(build(), kind)
    hyperplane.compile(keras.optimizers.Adam(0.03), SPARSE, metrics=["accuracy"])
    fit = {"batch_size": 20, "shuffle": False, "verbose": 0}
    hyperplane.fit(x, y, **fit)
    hyperplane.save(tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras")
    assert type(loaded) is Hyperplane and loaded.subspace.config == hyperplane.subspace.config
    for name, array in hyperplane.subspace.arrays.items():
        np.testing.assert_array_equal(loaded.subspace.arrays[name], array)
    np.testing.assert_array_equal(loaded.theta, hyperplane.theta)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), hyperplane.predict(x, verbose=0))
    assert float(tf.norm(loaded.z)) > 0.01
    for m in (loaded, hyperplane):
        m.fit(x, y, **fit)
    np.testing.assert_allclose(loaded.z, hyperplane.z, atol=1e-6)
    np.testing.assert_allclose(loaded.plain_model()(x), hyperplane(x), atol=1e-5)


@kinds
def test_loaded_weights_bring_their_subspace_also_to_a_traced_model(kind, images, tmp_path):
    x, y = images
    first, second = plain(), plain()  # of different weights, so of different planes
    source, target = wrapped(first, kind), wrapped(second, kind)
    source.compile("adam", SPARSE)
    source.fit(x, y, verbose=0)
    source.save_weights(tmp_path / "x.weights.h5")
    target.compile("adam", SPARSE)
    target.fit(x, y, verbose=0)
    target.predict(x, verbose=0)
    target.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(target.theta, source.theta)
    np.testing.assert_allclose(target.predict(x, verbose=0), source.predict(x, verbose=0), atol=1e-6)
    for m in (target, source):
        m.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_allclose(target.z, source.z, atol=1e-6)
    function = target.train_function
    target.save_weights(tmp_path / "y.weights.h5")
    target.load_weights(tmp_path / "y.weights.h5")
    assert target.train_function is function  # the same plane: nothing is traced again


def other_shapes():
    return dense(layers.Dense(5, activation="tanh"))


def with_statistics():  # the trained weights of plain()
    return dense(layers.Dense(6), layers.BatchNormalization(center=False, scale=False))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (plain, r"Span of dimension 10 for float32 weights .*received the weights of another kind"),
        (lambda: wrapped(plain(), "complement"), "Span of dimension 10.*one of a Complement of"),
        (lambda: wrapped(plain(), "transform"), "Span of dimension 10.*one of a Transform of"),
        (
            lambda: Hyperplane(plain(), random_cut(np.zeros(411, np.float32), 11, seed=0)),
            "Span of dimension 10 .*received one of a Span of dimension 11 ",
        ),
        (lambda: wrapped(other_shapes()), r"\(64, 6\).*received .*\(64, 5\)"),
        (
            lambda: wrapped(with_statistics()),
            r"received .* beside fixed weights of shapes \[\(6,\), \(6,\)\]",
        ),
    ],
)
def test_a_file_of_another_model_is_refused_and_changes_nothing(build, words, images, tmp_path):
    x, y = images
    source, target = build(), wrapped(plain())
    target.compile("adam", SPARSE)
    target.fit(x, y, verbose=0)
    held = [*target.variables, *target.optimizer.variables]
    before, subspace = arrays(held), target.subspace
    source.save(tmp_path / "x.keras")
    source.save_weights(tmp_path / "x.weights.h5")
    for name in ("x.keras", "x.weights.h5"):
        message = f"^the file must hold a Hyperplane .*{words}"
        with warnings.catch_warnings(record=True) as heard, pytest.raises(ValueError, match=message):
            target.load_weights(tmp_path / name)
        assert not heard  # one clear error, without Keras's warning for every layer
        assert_equal(held, before)
        assert target.subspace is subspace
    with pytest.raises(ValueError, match="skip_mismatch must be False"):
        target.load_weights(tmp_path / "x.keras", skip_mismatch=True)


def test_an_exported_one_serves_theta_and_leaves_the_wrapped_weights(images, tmp_path):
    model = plain()
    before = arrays(model.variables)
    hyperplane = wrapped(model)
    hyperplane.z.assign(np.linspace(-1, 1, 10))
    hyperplane.export(tmp_path / "artifact", verbose=False)
    artifact = tf.saved_model.load(tmp_path / "artifact")
    np.testing.assert_allclose(
        artifact.serve(images[0]), hyperplane.predict(images[0], verbose=0), atol=1e-6
    )
    assert_equal(model.variables, before)


# ---- errors ---------------------------------------------------------------------------------------


def unbuilt():
    return keras.Sequential([layers.Dense(3)])


def constrained():
    return dense(kernel_constraint="non_neg")


@pytest.mark.parametrize(
    ("build", "subspace", "words"),
    [
        (unbuilt, lambda: random_cut(np.zeros(9), 2, seed=0), "is not built"),
        (plain, lambda: np.zeros((2, 411)), "must be an AffineSubspace; received ndarray"),
        (plain, lambda: random_cut(np.zeros(9, "f4"), 2, seed=0), "the 411 trainable .* with D = 9"),
        (plain, lambda: random_cut(np.zeros(411), 2, seed=0), "dtype .* float32; received float64"),
        (plain, lambda: normal_plane(np.zeros((3, 411), "f4"), np.ones(411)), "one.*received 3 at once"),
        (
            plain,
            lambda: random_cut(np.zeros((2, 411), "f4"), 2, seed=[0, 1]),
            r"one, with origin \[411\]; received 2 at once, with origin \(2, 411\)",
        ),
        (constrained, lambda: random_cut(np.zeros(195, "f4"), 2, seed=0), "constraints on .*kernel"),
    ],
)  # fmt: skip
def test_what_cannot_be_wrapped_is_named(build, subspace, words):
    with pytest.raises(ValueError, match=words):
        Hyperplane(build(), subspace())


def test_a_start_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"theta must have shape \[..., 411\].*received shape \(7,\)"):
        wrapped(plain(), start=np.zeros(7))


def test_a_layer_that_assigns_to_its_weights_is_refused(images):
    hyperplane = wrapped(dense(Overwriting(4)))
    with pytest.raises(ValueError, match="assign to its own trainable weights .*kernel"):
        hyperplane(images[0])


# ---- several devices ------------------------------------------------------------------------------

MIRRORED = """
import contextlib, wedges, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.conftest import SPARSE
from tests.wedges.test_hyperplane import moving, penalised, wrapped

rng = np.random.default_rng(0)
x, y = rng.normal(size=(48, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 48)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2

def fit(build, kind, scope):
    keras.utils.set_random_seed(0)
    with scope:
        model = wrapped(build(), kind)
        model.compile(keras.optimizers.Adam(0.01), SPARSE)
    before = [np.array(v) for v in model.model.non_trainable_variables]
    losses = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history["loss"]
    theta = model.theta.numpy()
    assert float(model.subspace.distance(theta)) <= 1e-5 * np.linalg.norm(theta)
    assert np.abs(model.z).max() > 0.01
    for v, old in zip(model.model.non_trainable_variables, before):
        assert np.abs(np.array(v) - old).max() > 1e-4, v.path
    found = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.plain_model().predict(x, verbose=0), found, atol=1e-6)
    return theta, losses

for kind in ("span", "complement"):
    one, two = fit(penalised, kind, contextlib.nullcontext()), fit(penalised, kind, strategy.scope())
    np.testing.assert_allclose(one[0], two[0], atol=2e-6)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-5)
fit(moving, "transform", strategy.scope())
"""


def penalised():
    return dense(layers.Dense(6, "tanh", kernel_regularizer="l2", activity_regularizer="l2"))


def moving():
    return dense(layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.3))


@pytest.mark.slow
def test_two_devices_train_as_one():
    run = subprocess.run([sys.executable, "-c", MIRRORED], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
