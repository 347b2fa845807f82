"""`Sharpness`: numbers against closed forms and dense truth, and a training that does not notice."""

import csv
import math

import keras
import numpy as np
import pytest
from keras import callbacks, layers

import wedges
from tests.conftest import SPARSE, plain
from tests.wedges.fits import Record, compiled, same

EXACT = {"rtol": 0, "atol": 0}


def linear_problem():
    """L = |x w - y|^2 / N has the Hessian 2 x^T x / N wherever w is."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 6)).astype("float32"), rng.normal(size=20).astype("float32")
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model, x, y, 2 * x.astype("float64").T @ x.astype("float64") / len(x)


def test_eigenvalues_and_trace_of_a_linear_model():
    model, x, y, hessian = linear_problem()
    sharpness = wedges.Sharpness(x=x, y=y, eigenvalues=3, trace=18, width=0, seed=0)
    found = model.fit(x, y, epochs=3, verbose=0, callbacks=[sharpness]).history
    values = np.linalg.eigvalsh(hessian)[::-1]
    for i in range(3):
        np.testing.assert_allclose(found[f"hessian_eigenvalue_{i + 1}"], [values[i]] * 3, rtol=2e-3)
    np.testing.assert_allclose(found["hessian_trace"], [np.trace(hessian)] * 3, rtol=1e-3)
    assert np.max(found["hessian_trace_error"]) < 1e-3  # a third of the products spans all of R^6
    assert "tunnel_width" not in found


def test_the_tunnel_width_of_a_linear_model():
    """Along v the loss is L + a v.g + a^2 v.H v / 2: the crossing is a root of a quadratic."""
    model, x, y, hessian = linear_problem()
    sharpness = wedges.Sharpness(x=x, y=y, eigenvalues=0, trace=0, width=40, threshold=9.0, seed=5)
    found = model.fit(x, y, epochs=2, verbose=0, callbacks=[sharpness, last := Last()]).history
    for w, width in zip(last.weights, found["tunnel_width"], strict=True):
        w = w.astype("float64")
        off = x @ w - y[:, None]
        loss, gradient = np.mean(off**2), 2 * x.T @ off[:, 0] / len(x)
        v = wedges.isotropic(6, 40, seed=5).astype("float64")
        b, a = v @ gradient, np.einsum("si,ij,sj->s", v, hessian, v) / 2
        roots = (-b + np.sqrt(b**2 + 4 * a * (9 - loss))) / (2 * a)
        assert width == pytest.approx(np.minimum(roots, 4 * np.linalg.norm(w)).mean(), rel=1e-2)


class Last(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights()[0])


def test_the_eigenvalue_of_a_network_is_that_of_its_dense_hessian(images):
    x, y = images
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.AveragePooling2D(4), layers.Flatten()])
    model.add(layers.Dense(3, "tanh"))
    model.add(layers.Dense(3))
    model.compile("adam", SPARSE)
    sharpness = wedges.Sharpness(x=x, y=y, width=0, trace=27, tolerance=1e-4, seed=0)
    found = model.fit(x, y, epochs=2, verbose=0, callbacks=[sharpness]).history
    dense = second_differences(model, x, y)
    assert found["hessian_eigenvalue"][-1] == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=2e-3)
    error = max(found["hessian_trace_error"][-1], 1e-3)
    assert found["hessian_trace"][-1] == pytest.approx(np.trace(dense), abs=4 * error)


def second_differences(model, x, y):
    """The Hessian by differences of float64 gradients, written out by hand."""
    weights = [w.astype("float64") for w in model.get_weights()]
    shapes = [w.shape for w in weights]
    inputs = np.array(x, "float64").reshape(len(x), 2, 4, 2, 4).mean((2, 4)).reshape(len(x), -1)

    def gradient(theta):
        w, b, u, c = (p.reshape(s) for p, s in zip(split(theta), shapes, strict=True))
        h = np.tanh(inputs @ w + b)
        z = h @ u + c
        p = np.exp(z - z.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = (p @ u.T) * (1 - h**2)
        parts = [inputs.T @ back, back.sum(0), h.T @ p, p.sum(0)]
        return np.concatenate([part.ravel() for part in parts])

    split = lambda theta: np.split(theta, np.cumsum([w.size for w in weights])[:-1])
    theta, step = np.concatenate([w.ravel() for w in weights]), 1e-5
    eye = step * np.eye(len(theta))
    rows = [(gradient(theta + e) - gradient(theta - e)) / (2 * step) for e in eye]
    return (np.array(rows) + np.array(rows).T) / 2


@pytest.mark.parametrize("first", [True, False])
def test_all_loggers_have_it_from_the_first_epoch_on(images, tmp_path, first):
    heard = []
    others = [
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: heard.append(dict(logs))),
        callbacks.EarlyStopping(monitor="hessian_eigenvalue", mode="min", patience=99),
    ]
    sharpness = wedges.Sharpness(x=images[0], y=images[1], every=2, trace=6, width=2, seed=0)
    order = [sharpness, *others] if first else [*others, sharpness]
    model = compiled(plain)
    found = model.fit(*images, epochs=4, validation_data=images, verbose=0, callbacks=order).history
    keys = ["hessian_eigenvalue", "hessian_trace", "hessian_trace_error", "tunnel_width"]
    assert sharpness.keys == keys
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    for key in keys:
        for epoch in range(4):
            value = found[key][epoch]
            assert math.isnan(value) == (epoch in (0, 2))
            for seen in (heard[epoch][key], float(rows[epoch][key])):
                assert seen == value or math.isnan(seen) and math.isnan(value)


def noisy():
    """Dropout and batch norm: random numbers and statistics that a measurement could disturb."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(6),
            layers.BatchNormalization(),
            layers.Activation("tanh"),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), SPARSE, metrics=["accuracy"])
    return model


def test_training_takes_the_same_steps(images):
    x, y = images
    runs = []
    for watched in (False, True):
        keras.utils.set_random_seed(2)
        record = Record()
        beside = [wedges.SWA(x=x), *[wedges.Sharpness(x=x, y=y, trace=6, width=2, seed=0)] * watched]
        model = noisy()
        found = model.fit(
            *images, epochs=3, validation_data=images, verbose=0, callbacks=[*beside, record]
        )
        optimizer = [v.numpy() for v in model.optimizer.variables]
        runs.append((record.trained, optimizer, found.history))
    for a, b in zip(runs[0][0], runs[1][0], strict=True):
        same(a, b, **EXACT)
    same(runs[0][1], runs[1][1], **EXACT)
    assert all(runs[1][2][key] == values for key, values in runs[0][2].items())
    assert all(math.isfinite(v) for v in runs[1][2]["hessian_eigenvalue"])


def test_beside_an_average_the_trained_weights_are_measured(images):
    x, y = images
    model, record = compiled(plain), Record()
    landscape = wedges.NetworkLandscape(model, x, y, seed=0)
    sharpness = wedges.Sharpness(landscape, trace=0, width=0, seed=0)
    order = [wedges.SWA(apply_at_end=False), record, sharpness]
    found = model.fit(x, y, epochs=3, validation_data=images, verbose=0, callbacks=order).history
    for weights, value in zip(record.trained, found["hessian_eigenvalue"], strict=True):
        theta = np.concatenate([w.ravel() for w in weights])
        H = wedges.hessian(landscape, theta)
        assert value == pytest.approx(
            wedges.eigenpairs(H, 1, seed=7, tolerance=1e-4).values[0], rel=2e-3
        )


def test_weights_that_are_not_finite_are_not_measured(images):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.set_weights([w * np.nan for w in self.model.get_weights()])

    sharpness = wedges.Sharpness(x=images[0], y=images[1], seed=0)
    found = compiled(plain).fit(*images, verbose=0, callbacks=[Spoil(), sharpness]).history
    assert all(math.isnan(found[key][0]) for key in sharpness.keys)


def test_an_eigenvalue_that_is_not_found_does_not_end_the_training(images, monkeypatch):
    def give_up(*args, **settings):
        raise RuntimeError("2000 products were not enough")

    monkeypatch.setattr("wedges.callbacks.sharpness.eigenpairs", give_up)
    sharpness = wedges.Sharpness(x=images[0], y=images[1], trace=0, width=0, seed=0)
    with pytest.warns(UserWarning, match="found no eigenvalue: 2000 products"):
        found = compiled(plain).fit(*images, verbose=0, callbacks=[sharpness]).history
    assert math.isnan(found["hessian_eigenvalue"][0])


def test_a_loss_below_no_threshold_has_no_tunnel(images):
    sharpness = wedges.Sharpness(
        x=images[0], y=images[1], eigenvalues=0, trace=0, threshold=1e-6, seed=0, name="train_"
    )
    found = compiled(plain).fit(*images, verbose=0, callbacks=[sharpness]).history
    assert math.isnan(found["train_tunnel_width"][0])


def test_bad_settings_are_refused_in_words(images):
    x, y = images
    with pytest.raises(ValueError, match="landscape must be given, or x and y instead"):
        wedges.Sharpness(seed=0)
    with pytest.raises(ValueError, match="eigenvalues, trace or width must be above 0"):
        wedges.Sharpness(x=x, y=y, eigenvalues=0, trace=0, width=0, seed=0)
    with pytest.raises(ValueError, match="landscape must be a Landscape; received ndarray"):
        wedges.Sharpness(x, seed=0)
    bowl = wedges.Quadratic([1.0, 2.0])
    with pytest.raises(ValueError, match="one of 2"):
        compiled(plain).fit(x, y, verbose=0, callbacks=[wedges.Sharpness(bowl, seed=0)])
