"""What tests of callbacks share: a watcher of weights, means of weights, small compiled models."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tests.conftest import SPARSE


class Record(keras.callbacks.Callback):
    """Weights after each epoch: the trained ones, those that stood in the model, those validated."""

    def __init__(self):
        super().__init__()
        self.trained, self.found, self.validated, self.values = [], [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self._weights = self.model.get_weights()

    def on_test_batch_end(self, batch, logs=None):
        self._validated = self.model.get_weights()

    def on_test_end(self, logs=None):
        self.validated.append(self._validated)

    def on_epoch_end(self, epoch, logs=None):
        self.trained.append(self._weights)
        self.found.append(self.model.get_weights())
        self.values.append(logs.get("val_loss"))


class Points(keras.callbacks.Callback):
    """theta before the first batch, and after each."""

    def __init__(self):
        super().__init__()
        self.thetas = []

    def on_train_begin(self, logs=None):
        self.thetas.append(self._theta())

    def on_train_batch_end(self, batch, logs=None):
        self.thetas.append(self._theta())

    def _theta(self):
        return np.concatenate([np.ravel(v.numpy()) for v in self.model.trainable_variables])


def mean(weights):
    return [np.mean(w, axis=0) for w in zip(*weights, strict=True)]


def same(a, b, **tolerance):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p, q, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


def compiled(build):
    model = build()
    model.compile(keras.optimizers.SGD(0.5), SPARSE, metrics=["accuracy"])
    return model


# Three batches at once, where Keras tells the numbers that it asked for: (how, after which batches it
# stops). Of seven batches an epoch, whose number it does not know; and of data without end, of which it
# takes nine in an epoch of seven.
AT_ONCE = [
    ({}, [3, 6, 7, 10, 13, 14]),
    ({"steps_per_epoch": 7}, [3, 6, 9, 12, 15, 18]),
]


def fit_at_once(model, images, *watching, **settings):
    """Two epochs of seven batches, three at once, of data whose number Keras does not know."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(8).filter(lambda x, y: True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of several at once; that data ran out
        if settings:
            data = data.repeat()
        model.fit(data, epochs=2, verbose=0, callbacks=list(watching), **settings)
