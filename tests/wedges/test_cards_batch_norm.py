"""Cards of models with batch norm: one kind of statistics in all sections but loss and accuracy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.conftest import SPARSE
from tests.wedges.subjects import subject_of
from wedges.cards import between, curve, fit, flat, judging, look, phase, words

N, AWAY = 200, 3.0  # examples, and how far their mean is from what moving statistics begin with


def examples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 5)).astype("float32")
    return AWAY + x, (x[:, :3] + 0.5 * rng.normal(size=(N, 3))).argmax(axis=1)


def net():
    some = [keras.Input((5,)), layers.Dense(4), layers.BatchNormalization(), layers.Activation("tanh")]
    return keras.Sequential([*some, layers.Dense(3)])


@pytest.fixture(scope="module")
def models():
    """Two whose moving statistics lag far behind their weights."""
    made = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        made.append(net())
        made[-1].compile(keras.optimizers.Adam(0.02), SPARSE, metrics=["accuracy"])
        made[-1].fit(*examples(), epochs=6, verbose=0)
    return made


@pytest.fixture(scope="module")
def subject(models):
    with pytest.warns(UserWarning, match="has other batch-norm statistics"):  # as the card expects
        return subject_of(models, examples())


def parts(theta):
    """Kernel, bias, scale, shift, kernel, bias."""
    of = tf.split(theta, [20, 4, 4, 4, 12, 3])
    return [tf.reshape(of[0], (5, 4)), *of[1:4], tf.reshape(of[4], (4, 3)), of[5]]


def moments(theta):
    """Mean and variance of what batch norm gets, in float64."""
    kernel, bias, *_ = parts(tf.constant(theta, tf.float64))
    before = examples()[0].astype(np.float64) @ kernel + bias
    return tf.reduce_mean(before, 0), tf.math.reduce_variance(before, 0)


def written_out(theta, mean, variance):
    """The loss in float64 with these statistics."""
    x, y = examples()
    kernel, bias, scale, shift, last, end = parts(theta)
    h = (x.astype(np.float64) @ kernel + bias - mean) / tf.sqrt(variance + 1e-3) * scale + shift
    z = tf.tanh(h) @ last + end
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))


def truth(theta):
    """Loss, gradient and dense Hessian, the statistics being those at theta, and held."""
    theta, statistics = tf.constant(theta, tf.float64), moments(theta)
    with tf.GradientTape() as outer:
        outer.watch(theta)
        with tf.GradientTape() as inner:
            inner.watch(theta)
            loss = written_out(theta, *statistics)
        slope = inner.gradient(loss, theta)
    return float(loss), slope.numpy(), outer.jacobian(slope, theta).numpy()


def test_curvature_widths_and_surface_are_of_one_function(subject):
    """That of the weights with statistics found anew, and not of what was saved."""
    saved = fit.fit(subject, 100.0)
    for k, theta in enumerate(subject.thetas):
        loss, slope, dense = truth(theta)
        values = np.linalg.eigvalsh(dense)
        assert abs(saved["loss"][k] - loss) > 0.1  # the other function would be seen
        curved, risen = (section(subject, k, 100.0) for section in (flat.sharp, flat.rise))
        np.testing.assert_allclose(curved["top"], values[:-6:-1], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(curved["lowest"], values[0], atol=1e-4)
        assert abs(curved["trace"] - np.trace(dense)) < 4 * curved["trace_error"] + 1e-6
        for found in (curved, risen):
            assert found["gradient_norm"] == pytest.approx(np.linalg.norm(slope), rel=1e-3)
        assert risen["loss"] == pytest.approx(loss, rel=1e-4)
        along = tf.constant(theta + 0.05 * slope / np.linalg.norm(slope), tf.float64)
        rise = float(written_out(along, *moments(theta))) - loss
        assert risen["rho_sharpness"] == pytest.approx(rise, rel=1e-2)
        assert look.surface(subject, k, 100.0)["centre"] == pytest.approx(loss, rel=1e-4)


def test_the_phase_and_the_forest_get_numbers_of_that_function(subject):
    trained = curve.curve(subject, 100.0)
    results = {f"curvature-{k + 1}": flat.sharp(subject, k, 100.0) for k in (0, 1)}
    results |= {"curve": trained | {"converged": True}, "alike": between.alike(subject, 100.0)}
    found = phase.phase(subject, results)
    there = [truth(theta) for theta in subject.thetas]
    assert trained["loss"][0] == pytest.approx(there[0][0], rel=1e-4)
    assert trained["loss"][-1] == pytest.approx(there[1][0], rel=1e-4)
    trace = np.mean([np.trace(dense) for _, _, dense in there])
    error = np.mean([results[f"curvature-{k}"]["trace_error"] for k in (1, 2)])
    assert np.exp(found["log_trace"]) == pytest.approx(trace, abs=4 * error)
    top = np.log(np.mean([np.linalg.eigvalsh(dense)[-1] for _, _, dense in there]))
    leaves = [s for a in found["findings"] for s in a["path"] if "largest eigenvalue" in s]
    for leaf in leaves:
        assert float(re.search(r"eigenvalue, (-?[\d.]+),", leaf)[1]) == pytest.approx(top, abs=0.01)


def test_what_else_is_not_trained_is_each_checkpoints_own():
    """A frozen layer that differs is one that a path between two cannot have: a warning says so."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(2):
        frozen, last = layers.Dense(4, "tanh", trainable=False, name="frozen"), layers.Dense(3)
        made.append(keras.Sequential([keras.Input((5,)), frozen, layers.BatchNormalization(), last]))
        made[-1].compile("adam", SPARSE)
        made[-1].layers[0].set_weights([rng.normal(size=(5, 4)), rng.normal(size=4)])
    with pytest.warns(UserWarning, match="differs from .* in weights that are not trained"):
        subject = subject_of(made, examples())
    assert [path.rpartition("/")[2] for path in subject.not_shared] == ["kernel", "bias"]
    twin = subject_of([made[1]], examples())
    apart = [flat.rise(s, k, 100.0)["loss"] for s, k in ((subject, 0), (subject, 1), (twin, 0))]
    assert apart[1] == pytest.approx(apart[2], rel=1e-6) != pytest.approx(apart[0], rel=1e-3)


def test_statistics_alone_are_no_other_weights(subject):
    assert subject.own_state and not subject.not_shared


# ---- as saved against found anew --------------------------------------------------------------------


def right(model, x, y, *, anew):
    """Which examples are right, in NumPy's float64."""
    kernel, bias, scale, shift, *saved, last, end = (w.astype(float) for w in model.get_weights())
    before = x @ kernel + bias
    mean, variance = (before.mean(axis=0), before.var(axis=0)) if anew else saved
    h = (before - mean) / np.sqrt(variance + 1e-3) * scale + shift
    return (np.tanh(h) @ last + end).argmax(axis=1) == y


def test_both_numbers_are_of_the_same_examples(models):
    """Also where sections work on some of them, and where a card was stopped in between."""
    x, y = examples()
    with pytest.warns(UserWarning, match="has other batch-norm statistics"):
        subject = subject_of(models, (x, y))
    subject.working = 90
    order = subject.data.x, subject.data.y
    fit.fit(subject, 100.0)
    found = between.mean(subject, 100.0)
    subject.saved.clear()
    assert between.mean(subject, 100.0)["statistics"] == found["statistics"]
    for k, (each, model) in enumerate(zip(found["statistics"], models, strict=True)):
        x, y = (part[:90] for part in order)
        before, after = (right(model, x.astype(np.float64), y, anew=a) for a in (False, True))
        d = after.astype(float) - before
        assert each["examples"] == 90 and each["anew"] == pytest.approx(found["accuracy"][k], abs=1e-6)
        assert each["saved"] == pytest.approx(before.mean()) != pytest.approx(each["anew"])
        assert each["difference"] == pytest.approx(d.mean())
        assert each["error"] == pytest.approx(d.std(ddof=1) / np.sqrt(90))


def line_of(better, worse, n=64):
    """What is said where so many examples of n are right only anew, and so many only as saved."""
    right = np.arange(n) < n // 2
    anew = right.astype(float)
    anew[:worse], anew[n - better :] = 0, 1
    numbers = [{"accuracy": (v.astype(float), None), "loss": None} for v in (right, anew)]
    return words.statistics_lines({"statistics": [judging.changed(*numbers)]}, ["a"])


def test_chance_is_no_finding():
    """Exact two-sided tests of 64 pairs: 4 to 0 p = 0.125, 5 to 0 0.06, 6 to 0 0.03, 12 to 6 0.24."""
    assert not any(map(line_of, (0, 4, 5, 12), (0, 0, 0, 6)))
    for better, worse, said in ((6, 0, "does not fit its weights."), (0, 6, "does better than these.")):
        (line,) = line_of(better, worse)
        assert line.startswith("On the same 64 examples a has an accuracy of 50.00% ")
        assert line.endswith(said) and "9.3" in line
    assert not line_of(9, 0, 1000)  # sure, but less than a point
