"""Averages and their callbacks, against hand computation."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm, plain


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-1e3, 1e3)
    )
)
def test_the_running_average_is_the_mean(values):
    average = wedges.RunningAverage()
    for i, value in enumerate(values):
        np.testing.assert_allclose(average.add(value), values[: i + 1].mean(0), atol=1e-9)
    assert average.count == len(values)


def test_the_running_average_keeps_the_dtype_and_loses_no_digits():
    average = wedges.RunningAverage()
    for _ in range(10_000):
        average.add(np.float32([0.1, 16777217.0]))
    assert average.mean.dtype == np.float32
    np.testing.assert_array_equal(average.mean, np.float32([0.1, 16777217.0]))


def test_an_average_names_bad_input():
    average = wedges.RunningAverage()
    with pytest.raises(ValueError, match="nothing has been added"):
        average.mean  # noqa: B018
    average.add([1.0, 2.0])
    with pytest.raises(ValueError, match=r"\(2,\); received \(3,\)"):
        average.add([1.0, 2.0, 3.0])


def test_an_ensemble_averages_probabilities():
    members = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]]])
    np.testing.assert_allclose(wedges.ensemble_probabilities(members), [[0.6, 0.4], [0.3, 0.7]])
    with pytest.raises(ValueError, match="received logits"):
        wedges.ensemble_probabilities(np.log(members))
    with pytest.raises(ValueError, match="K >= 1; received"):
        wedges.ensemble_probabilities(members[0])


# ---- callbacks ------------------------------------------------------------------------------------


class Record(keras.callbacks.Callback):
    """The weights after each epoch, and while each validation runs."""

    def __init__(self):
        super().__init__()
        self.trained, self.validated = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.trained.append(self.model.get_weights())

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(self.model.get_weights())


def mean(weights):
    return [np.mean(w, axis=0) for w in zip(*weights, strict=True)]


def same(a, b, **tolerance):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p, q, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


def compiled(build):
    model = build()
    model.compile(keras.optimizers.SGD(0.5), SPARSE, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("start_epoch", "every", "entering"),
    [(0, 1, [0, 1, 2, 3, 4, 5]), (2, 1, [2, 3, 4, 5]), (1, 2, [2, 4])],
)
def test_swa_is_the_mean_of_the_epochs_that_enter(images, start_epoch, every, entering):
    model, record = compiled(plain), Record()
    swa = wedges.SWA(start_epoch, every)
    model.fit(*images, epochs=6, callbacks=[record, swa], verbose=0)
    assert swa.average.count == len(entering)
    same(model.get_weights(), mean([record.trained[e] for e in entering]))  # applied at the end
    swa.restore()
    same(model.get_weights(), record.trained[-1], rtol=0, atol=0)


def test_validation_sees_the_average_with_the_epoch_that_just_ended(images):
    model, record = compiled(plain), Record()
    model.fit(
        *images, epochs=3, validation_data=images, validation_batch_size=53,
        callbacks=[wedges.SWA(start_epoch=1), record], verbose=0,
    )  # fmt: skip
    same(record.validated[0], record.trained[0])  # nothing has entered yet
    same(record.validated[1], record.trained[1])
    same(record.validated[2], mean(record.trained[1:3]))


def test_training_is_what_it_is_without_the_callback(images):
    keras.utils.set_random_seed(1)
    alone, record = compiled(plain), Record()
    alone.fit(*images, epochs=4, validation_data=images, callbacks=[record], verbose=0)
    keras.utils.set_random_seed(1)
    model, watched = compiled(plain), Record()
    swa = wedges.SWA(apply_at_end=False)
    model.fit(*images, epochs=4, validation_data=images, callbacks=[swa, watched], verbose=0)
    same(watched.trained[-1], record.trained[-1], rtol=0, atol=0)
    same(model.get_weights(), record.trained[-1], rtol=0, atol=0)


def test_evaluate_and_predict_use_the_average_and_put_the_weights_back(images):
    model, (x, y) = compiled(plain), images
    swa = wedges.SWA(apply_at_end=False)
    model.fit(x, y, epochs=3, callbacks=[swa], verbose=0)
    trained = model.get_weights()
    loss = model.evaluate(x, y, callbacks=[swa], verbose=0, return_dict=True)["loss"]
    outputs = model.predict(x, callbacks=[swa], verbose=0)
    same(model.get_weights(), trained, rtol=0, atol=0)
    wedges.WeightSpace(model).write(swa.average.mean)
    same([outputs], [model.predict(x, verbose=0)])
    assert loss == pytest.approx(model.evaluate(x, y, verbose=0, return_dict=True)["loss"], rel=1e-5)


def test_weights_come_back_after_an_evaluation_that_raises(images):
    class Stop(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            raise RuntimeError("stopped in the middle")

    model = compiled(plain)
    swa = wedges.SWA(apply_at_end=False)
    model.fit(*images, epochs=2, callbacks=[swa], verbose=0)
    trained = model.get_weights()
    with pytest.raises(RuntimeError, match="in the middle"):
        model.evaluate(*images, callbacks=[swa, Stop()], verbose=0)
    swa.restore()
    same(model.get_weights(), trained, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="in the middle"):
        model.evaluate(*images, callbacks=[swa, Stop()], verbose=0)
    model.predict(images[0], callbacks=[swa], verbose=0)  # its next use mends it as well
    same(model.get_weights(), trained, rtol=0, atol=0)


def test_batch_norm_statistics_belong_to_the_average(images):
    model = compiled(batch_norm)
    swa = wedges.SWA(x=images[0], apply_at_end=False)
    model.fit(*images, epochs=3, callbacks=[swa], verbose=0)
    trained = model.get_weights()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    expected = landscape.evaluate(swa.average.mean).outputs
    same([model.predict(images[0], callbacks=[swa], verbose=0)], [expected], rtol=1e-3, atol=1e-4)
    same(model.get_weights(), trained, rtol=0, atol=0)


def test_swa_refuses_batch_norm_without_inputs_and_bad_settings(images):
    with pytest.raises(ValueError, match=r"SWA\(x=x_train\)"):
        compiled(batch_norm).fit(*images, callbacks=[wedges.SWA()], verbose=0)
    with pytest.raises(ValueError, match="start_epoch must be a whole number, at least 0; received -1"):
        wedges.SWA(start_epoch=-1)
    with pytest.raises(ValueError, match="every must be a whole number, at least 1; received 0"):
        wedges.SnapshotEnsemble(every=0)


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


def test_an_evaluation_puts_back_what_it_found_not_what_an_earlier_fit_left(images):
    model = compiled(plain)
    swa = wedges.SWA()
    model.fit(*images, epochs=2, callbacks=[swa], verbose=0)  # the average stands in the model
    average = model.get_weights()
    model.evaluate(*images, callbacks=[swa], verbose=0)
    same(model.get_weights(), average, rtol=0, atol=0)
    model.fit(*images, epochs=1, verbose=0)  # without the callback
    later = model.get_weights()
    model.predict(images[0], callbacks=[swa], verbose=0)
    same(model.get_weights(), later, rtol=0, atol=0)


def test_applying_twice_does_not_lose_the_trained_weights(images):
    model, record = compiled(plain), Record()
    swa = wedges.SWA()
    model.fit(*images, epochs=3, callbacks=[record, swa], verbose=0)  # applies the average at the end
    swa.apply()
    same(model.get_weights(), mean(record.trained))
    swa.restore()
    same(model.get_weights(), record.trained[-1], rtol=0, atol=0)


def test_one_swa_serves_one_model(images):
    first, second = compiled(plain), compiled(plain)
    swa = wedges.SWA()
    first.fit(*images, callbacks=[swa], verbose=0)
    before = second.get_weights()
    with pytest.raises(ValueError, match=r"Use a new SWA\(\) for another model"):
        second.fit(*images, callbacks=[swa], verbose=0)
    same(second.get_weights(), before, rtol=0, atol=0)
    first.layers[1].trainable = False
    with pytest.raises(ValueError, match="after freezing or thawing"):
        first.fit(*images, callbacks=[swa], verbose=0)


def test_an_interrupted_epoch_does_not_enter(images):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model, swa = compiled(plain), wedges.SWA()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*images, batch_size=8, callbacks=[swa, Stop()], verbose=0)
    model.evaluate(*images, callbacks=[swa], verbose=0)
    assert swa.average.count == 0


def test_a_model_that_fit_builds(images):
    model = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", SPARSE)
    swa = wedges.SWA()
    model.fit(*images, epochs=2, validation_data=images, callbacks=[swa], verbose=0)
    assert swa.average.count == 2


# ---- what may be averaged -------------------------------------------------------------------------


def test_probabilities_of_one_class_are_averaged_as_they_are():
    members = np.array([[[0.4], [1.0]], [[0.2], [0.0]]], np.float32)
    np.testing.assert_allclose(wedges.ensemble_probabilities(members), [[0.3], [0.5]], rtol=1e-6)
    np.testing.assert_allclose(
        wedges.ensemble_probabilities(np.full((3, 5, 1), 0.4)), np.full((5, 1), 0.4)
    )
    for logits in ([[[-2.0]]], [[[0.5], [3.0]]]):
        with pytest.raises(ValueError, match="^probabilities of one class must be from 0 to 1"):
            wedges.ensemble_probabilities(logits)


def test_probabilities_of_pixels_and_words_are_averaged_and_nan_stays():
    members = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 5, 6)).astype(np.float16)
    found = wedges.ensemble_probabilities(members)
    np.testing.assert_allclose(found, members.astype(float).mean(axis=0), atol=1e-3)
    members[0, 1, 2, 3] = np.nan
    assert np.isnan(wedges.ensemble_probabilities(members)).sum() == 3
    many = np.full((1, 2, 5000), 1 / 5000, np.float16)  # their sum in float16 would not be 1
    assert wedges.ensemble_probabilities(many).shape == (2, 5000)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[[0.5, 0.4]]], "must sum to 1 over the last axis; received logits"),
        ([[[2.0, -1.0]]], "must be from 0 to 1; received logits"),  # whose sum is 1
        ([[0.5, 0.5]], r"must have shape \[K, N, C\], K >= 1; received \(1, 2\)"),
        (np.zeros((0, 2, 3)), r"must have shape .*received \(0, 2, 3\)"),
        (np.zeros((2, 2, 0)), r"must have shape .*received \(2, 2, 0\)"),
        ("p.npy", "must be real numbers"),
        (None, "must be real numbers"),
        ([[[0.5, 0.5]], [[1.0]]], "must be real numbers"),
    ],
)
def test_what_are_no_probabilities_is_named(value, words):
    with pytest.raises(ValueError, match=f"^probabilities {words}") as caught:
        wedges.ensemble_probabilities(value)
    assert "\n" not in str(caught.value)


def test_an_average_of_whole_numbers_is_not_rounded():
    average = wedges.RunningAverage()
    for value in ([1, 2], [2, 2]):
        average.add(value)
    assert average.mean.tolist() == [1.5, 2.0]


@pytest.mark.parametrize("value", [None, "theta.npy", [1j], [True], [[1.0], [1.0, 2.0]]])
def test_what_are_no_numbers_is_not_averaged(value):
    average = wedges.RunningAverage()
    with pytest.raises(ValueError, match="^value must be real numbers; received") as caught:
        average.add(value)
    assert "\n" not in str(caught.value) and average.count == 0


def test_an_average_shows_in_a_line():
    average = wedges.RunningAverage()
    assert repr(average) == "RunningAverage(of nothing yet)"
    average.add(np.zeros((3, 2), np.float32))
    assert repr(average) == "RunningAverage(of 1, float32 [3, 2])"
