"""`SWA`, against hand computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm, plain
from tests.wedges.fits import Record, compiled, mean, same


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


def test_statistics_come_from_data_of_any_kind(images, tmp_path):
    x, y = images
    np.save(tmp_path / "x.npy", x)
    sources = [
        x,
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        tf.data.Dataset.from_tensor_slices((x, y)).batch(53),
    ]
    ends = []
    for source in sources:
        keras.utils.set_random_seed(0)
        model = compiled(batch_norm)
        model.fit(x, y, epochs=2, callbacks=[wedges.SWA(x=source, batch_size=53)], verbose=0)
        ends.append(model.get_weights())
    for end in ends[1:]:
        same(end, ends[0], rtol=1e-4)
