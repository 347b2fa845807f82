"""Ensembles of predictions, against hand computation."""

import keras
import numpy as np
import pytest
from keras import layers

import wedges
from tests.conftest import batch_norm, plain
from tests.wedges.fits import Record, compiled, same


def test_a_snapshot_ensemble_is_the_mean_prediction_at_cycle_ends(images):
    model, record, x = compiled(batch_norm), Record(), images[0]
    ensemble = wedges.SnapshotEnsemble(every=2)
    model.fit(*images, epochs=6, callbacks=[record, ensemble], verbose=0)
    trained = model.get_weights()
    found = ensemble.predict(x, verbose=0)
    same(model.get_weights(), trained, rtol=0, atol=0)
    expected = []
    for epoch in (1, 3, 5):
        model.set_weights(record.trained[epoch])
        expected.append(keras.ops.softmax(model.predict(x, verbose=0)))
    same([found], [np.mean(expected, axis=0)])


def test_an_ensemble_of_independent_networks(images):
    ensemble, expected = wedges.IndependentEnsemble(), []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = compiled(plain)
        model.fit(*images, epochs=2, callbacks=[ensemble], verbose=0)
        expected.append(keras.ops.softmax(model.predict(images[0], verbose=0)))
    same([ensemble.predict(images[0], verbose=0)], [np.mean(expected, axis=0)])
    with pytest.raises(ValueError, match="architecture of the first"):
        compiled(batch_norm).fit(*images, callbacks=[ensemble], verbose=0)


def test_an_ensemble_keeps_the_weights_when_a_prediction_raises(images):
    model, ensemble = compiled(plain), wedges.SnapshotEnsemble(every=1)
    with pytest.raises(ValueError, match="no members yet"):
        ensemble.predict(images[0])
    model.fit(*images, epochs=2, callbacks=[ensemble], verbose=0)
    trained = model.get_weights()
    with pytest.raises(Exception):  # noqa: B017  (whatever Keras raises on a wrong shape)
        ensemble.predict(np.zeros((2, 3, 3, 1), np.float32), verbose=0)
    same(model.get_weights(), trained, rtol=0, atol=0)


def test_binary_and_regression_outputs_keep_their_shape(images):
    x, y = images
    for loss, squash in (
        (keras.losses.BinaryCrossentropy(from_logits=True), keras.ops.sigmoid),
        ("mse", np.asarray),
    ):
        model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
        model.compile("sgd", loss)
        ensemble = wedges.SnapshotEnsemble(every=1)
        model.fit(x, (y > 0).astype("float32"), callbacks=[ensemble], verbose=0)
        expected = np.asarray(squash(model.predict(x, verbose=0)))
        same([ensemble.predict(x, verbose=0)], [expected])
