"""A minibatch shared among devices; and what a TPU asks of every graph: that XLA can compile it."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.conftest import SPARSE, dropout, plain
from wedges.distribute import distributed_in

ROOT = pathlib.Path(__file__).parents[2]


def landscape(build, images, **settings):
    settings = {"seed": 3, "batch_size": 16, "evaluation_batch_size": 20, "loss": SPARSE, **settings}
    return wedges.NetworkLandscape(build(), *images, **settings)


def penalised():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def normed():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )


# ---- parts of a minibatch -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 16])
def test_the_parts_of_a_minibatch_are_all_of_it_in_order_and_add_up(n, images):
    whole = landscape(penalised, images, regularize=True)
    theta, step = whole.space.read(), 5  # of the second epoch: 3 steps each
    x, y, _ = whole.minibatch(step)
    parts = [whole.minibatch(step, (i, n)) for i in range(n)]
    np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), x)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), y)
    found = sum(whole.sample_of(theta, step, part, (i, n)) for i, part in enumerate(parts))
    np.testing.assert_allclose(found, whole.sample(theta, step), rtol=1e-6)


class Fourth(keras.Sequential):
    """Its loss is half of Keras' own, and a mean of fourth powers that Keras knows nothing of."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        own = tf.reduce_mean(tf.cast(y_pred, tf.float32) ** 4)
        return own + 0.5 * super().compute_loss(x, y, y_pred, sample_weight)


def fourth(images):
    """A landscape of `Fourth`, sixteen examples in a minibatch."""
    ends = [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = Fourth([keras.Input((8, 8, 1)), *ends])
    model.compile("sgd", SPARSE)
    return wedges.NetworkLandscape(model, *images, seed=3, batch_size=16)


def summed(reduction, images):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    weights = np.linspace(0.5, 2.0, 53, dtype=np.float32)
    return landscape(penalised, images, loss=loss, sample_weight=weights, regularize=True)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("kind", ["sum", "sum_over_batch_size", "own"])
def test_parts_add_up_to_keras_number_whatever_the_loss_divides_by(kind, n, images):
    whole = fourth(images) if kind == "own" else summed(kind, images)
    theta, model = whole.space.read(), whole.network.model
    x, y, w = whole.minibatch(0)
    model.compile(loss=whole.loss)
    expected = tf.reduce_mean(model.compute_loss(x, y, model(x), None if kind == "own" else w))
    parts = [whole.sample_of(theta, 0, whole.minibatch(0, (i, n)), (i, n)) for i in range(n)]
    np.testing.assert_allclose(sum(parts), expected, rtol=1e-6)


def masked():
    """A class for each of four tokens, 0 being none."""
    ends = [keras.layers.Embedding(5, 2, mask_zero=True), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *ends])


def test_a_loss_whose_parts_do_not_add_up_is_refused(images):
    class Summed(Fourth):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_sum(y_pred**2)

    ends = [keras.layers.Flatten(), keras.layers.Dense(3)]
    own = Summed([keras.Input((8, 8, 1)), *ends])
    own.compile("sgd", SPARSE)
    rng = np.random.default_rng(0)
    words = rng.integers(0, 5, (53, 4)), rng.integers(0, 3, (53, 4))
    one_hot = images[0], np.eye(3, dtype=np.float32)[images[1]]
    made = lambda model, data, loss: wedges.NetworkLandscape(model, *data, loss, seed=3, batch_size=16)
    for found, why in (
        (made(masked(), words, SPARSE), "divides by what a mask or weights of examples leave"),
        (summed("mean_with_sample_weight", images), "divides by what a mask or weights of examples"),
        (made(plain(), one_hot, "dice"), "received dice of model .*, which couples examples"),
        (made(own, images, None), r"received compute_loss\(\) of model .*, which couples examples"),
    ):
        assert np.isfinite(found.sample(found.space.read(), 0))
        with pytest.raises(ValueError, match=f"loss must be a plain mean or a sum .*{why}"):
            found.minibatch(0, (0, 2))


def test_each_part_draws_a_dropout_of_its_own(images):
    noisy = landscape(dropout, images)
    theta = noisy.space.read()
    part = noisy.minibatch(0, (0, 2))
    draws = [float(noisy.sample_of(theta, 0, part, (i, 2))) for i in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_a_batch_that_cannot_be_shared_is_refused(images):
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 3 devices .*received 16"):
        landscape(plain, images).minibatch(0, (0, 3))


def test_a_landscape_without_minibatches_is_refused():
    with pytest.raises(ValueError, match="must have minibatches in parts.*received Quadratic"):
        wedges.Distributed(wedges.Quadratic([1.0]), tf.distribute.get_strategy())


def test_one_device_is_the_landscape_itself(images):
    whole = landscape(plain, images)
    alone = wedges.Distributed(whole, tf.distribute.OneDeviceStrategy("CPU:0"))
    theta = whole.space.read()
    adam = keras.optimizers.Adam(0.01)
    one, same = (wedges.minimize(a, theta, adam, 10) for a in (whole, alone))
    np.testing.assert_array_equal(one.losses, same.losses)
    np.testing.assert_array_equal(one.theta, same.theta)
    for name in ("value_and_gradient", "evaluate"):
        for a, b in zip(getattr(whole, name)(theta), getattr(alone, name)(theta), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(alone(theta), whole(theta))
    assert alone.core is whole and distributed_in(wedges.Squared(alone)) is alone
    assert distributed_in(whole) is None
    v = np.ones(whole.dimension, np.float32)
    for make in (wedges.hessian, wedges.gauss_newton):
        np.testing.assert_array_equal(make(alone, theta) @ v, make(whole, theta) @ v)
    assert alone.on(*images).size == alone.size == 53 and alone.space is whole.space
    with pytest.raises(AttributeError, match="nothing"):
        alone.nothing  # noqa: B018


@pytest.mark.parametrize("jit", [False, True])
def test_a_scaled_loss_keeps_tiny_gradients_of_half_precision(jit):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        one = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), one])
    finally:
        keras.config.set_dtype_policy("float32")
    ones = np.ones((4, 1), np.float32)
    tiny = wedges.NetworkLandscape(model, ones, -ones, "mse", loss_weights=[1e-9], seed=0, batch_size=4)
    shared = wedges.Distributed(tiny, tf.distribute.OneDeviceStrategy("CPU:0"), jit_compile=jit)
    for rule in (
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e8)),
        keras.optimizers.SGD(1e8, loss_scale_factor=2.0**15),
    ):
        # theta = 0, and dL/dtheta = 1e-9 * 2 (theta + 1), which is no float16 but of 0.
        for landscape in (tiny, shared):
            found = wedges.minimize(landscape, [0.0], rule, 1)
            np.testing.assert_allclose(found.theta, [-0.2], rtol=1e-2)
            np.testing.assert_allclose(found.losses, [1e-9], rtol=1e-5)
    assert wedges.minimize(shared, [0.0], keras.optimizers.SGD(1e8), 1).theta == 0


MIRRORED = """
import wedges, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.conftest import batch_norm, dropout, plain
from tests.wedges.test_distribute import fourth, landscape, penalised, summed
from wedges import connect, simplex

rng = np.random.default_rng(0)
images = rng.normal(size=(53, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 53)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
adam = lambda: keras.optimizers.Adam(0.01)

def check(build, tolerance, jit=False, **settings):
    keras.utils.set_random_seed(0)
    one = landscape(build, images, regularize=True)
    two = wedges.Distributed(one, strategy, jit_compile=jit)
    assert two.replicas == 2
    theta = one.space.read()
    a, b = (wedges.minimize(L, theta, adam(), 30, **settings) for L in (one, two))
    np.testing.assert_allclose(a.losses, b.losses, rtol=tolerance)
    assert a.losses[-1] < a.losses[0] and b.losses[-1] < b.losses[0]
    return one, two, theta

one, two, theta = check(penalised, 1e-5)
check(penalised, 1e-5, jit=True)
check(plain, 1e-5, subspace=wedges.random_cut(np.zeros(411, "float32"), 20, seed=0))
check(batch_norm, 0.2)  # normalised within halves
check(dropout, np.inf)  # other noise
step = tf.constant(7)  # the gradient itself
grads = []
for L in (one, two):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = 3 * L.sample(theta, step)
    grads.append(tape.gradient(loss, theta))
np.testing.assert_allclose(*grads, atol=1e-6)
ends = np.stack([theta, theta + 0.1])
for one in (summed("sum", images), fourth(images)):
    two = wedges.Distributed(one, strategy)
    theta = one.space.read()
    a, b = (wedges.minimize(L, theta, keras.optimizers.SGD(1e-3), 30) for L in (one, two))
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)
one, two, theta = check(penalised, 1e-5)
found = [connect.tunnel(L, *ends, 3, adam(), 10).path for L in (one, two)]
np.testing.assert_allclose(*found, atol=1e-5)
joint = lambda L: connect.joint_connector(L, ends, simplex.Grid(1, 2), adam(), 10, seed=0)
found = [joint(L).path for L in (one, two)]
np.testing.assert_allclose(*found, atol=1e-5)
"""


@pytest.mark.slow
def test_two_devices_descend_as_one():
    """In a cut, on a path, compiled; the loop is TensorFlow's, not Python's."""
    run = subprocess.run([sys.executable, "-c", MIRRORED], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


# ---- XLA ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("build", "size"), [(plain, 53), (plain, 7), (dropout, 53), (normed, 53)])
def test_every_graph_of_a_network_compiles(build, size, images):
    """Sizes with a rest, and with nothing but a rest (evaluation_batch_size is 20)."""
    keras.utils.set_random_seed(0)
    x, y = (a[:size] for a in images)
    settings = {"batch_size": 6}
    if build is normed:
        # Not of whole-number targets: once ops are deterministic, as other tests make them, TensorFlow's
        # second derivative of that loss in a loop is beyond XLA.
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        y, settings = np.eye(3, dtype=np.float32)[y], {"batch_norm": "reestimate", "loss": loss}
    it = landscape(build, (x, y), **settings)
    theta = it.space.read()
    v = tf.random.stateless_normal(theta.shape, [0, 1])
    graphs = {
        "loss": (it, [theta]),
        "losses": (it, [tf.stack([theta, theta + 0.1 * v, v])]),
        "gradient": (it.value_and_gradient, [theta]),
        "curvature": (it.hessian_product, [theta, v]),
        "everything": (lambda t: it.graphs.evaluation(t), [theta]),
        "moments": (lambda t: it.graphs.moments(t), [theta]),
        "sample": (lambda t, step: _sampled(it, t, step), [theta, tf.constant(9)]),
    }
    for name, (graph, points) in graphs.items():
        compiled = tf.function(graph, jit_compile=True, autograph=False)
        found, wanted = tf.nest.flatten(compiled(*points)), tf.nest.flatten(graph(*points))
        assert len(found) == len(wanted), name
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape and np.isfinite(a).all()
            if not (build is dropout and name == "sample"):  # XLA draws other random numbers
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5, err_msg=name)


def _sampled(it, theta, step):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = it.sample(theta, step)
    return loss, tape.gradient(loss, theta)


@pytest.mark.parametrize("build", [plain, normed, dropout])
def test_a_compiled_descent_is_the_uncompiled_one(build, images):
    it = landscape(build, images)
    theta = it.space.read()
    runs = [
        wedges.minimize(it, theta, keras.optimizers.Adam(0.01), 8, jit_compile=jit)
        for jit in (False, True)
    ]
    assert np.isfinite(runs[1].losses).all()
    if build is not dropout:
        np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-4)


@pytest.mark.parametrize("size", [53, 40, 7])
def test_outputs_stand_in_the_order_of_the_examples(size, images):
    x, y = (a[:size] for a in images)
    model = plain()
    it = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0, evaluation_batch_size=20)
    np.testing.assert_allclose(it.evaluate(it.space.read()).outputs, model(x), atol=1e-6)
