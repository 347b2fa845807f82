"""Averages as Keras callbacks, for anyone who trains with plain `model.fit`.

    swa = wedges.SWA(start_epoch=10)
    model.fit(x, y, epochs=20, validation_data=(xv, yv), callbacks=[swa])   # validates the average
    model.evaluate(xv, yv, callbacks=[swa])                                 # evaluates the average

    snapshots = wedges.SnapshotEnsemble(every=5)
    model.fit(x, y, epochs=30, callbacks=[snapshots])
    snapshots.predict(xv)                                                   # mean of 6 predictions

The mathematics is `wedges.average`; this module only decides when.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges.average import RunningAverage
from wedges.network.examples import examples_of
from wedges.network.readout import output_probabilities
from wedges.network.stateless import StatelessModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class SWA(keras.callbacks.Callback):
    """Stochastic weight averaging: theta_SWA = mean of the weights at epoch ends.

    Validation, `evaluate` and `predict` that are given this callback use the average, and put back
    the weights they found when they end. Where one is interrupted by an error, the callback's next
    use, or `restore()`, puts them back. A second `fit` of the same model goes on with the average.

    Args:
      start_epoch: the first epoch, counted from 0, that may enter the average.
      every: epochs from one entry to the next. With a cyclical learning rate, the cycle's length:
        the first entry is then the end of the first cycle after `start_epoch`.
      x: training inputs, for batch norm's statistics at the average. Required for a model with
        batch norm, and not used otherwise. Each use of the average costs a pass over them.
      batch_size: examples at a time in that pass.
      apply_at_end: leave the average in the model when `fit` ends; `restore()` brings the trained
        weights back. If False, the model keeps the trained weights.

    Attributes:
      average: the `RunningAverage` of flat weights; `average.mean` is theta_SWA [D].

    Raises:
      ValueError: `every` or `batch_size` below 1, `start_epoch` below 0, a model with batch norm and
        no x, another model (or other trainable layers) than the average began with.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> swa = wedges.SWA(start_epoch=1)
    >>> history = model.fit(np.ones((8, 3)), np.ones(8), epochs=4, verbose=0, callbacks=[swa])
    >>> swa.average.count, swa.average.mean.shape  # the ends of the last three epochs
    (3, (4,))

    Source: Izmailov et al. 2018, arXiv:1803.05407.
    """

    def __init__(
        self,
        start_epoch: int = 0,
        every: int = 1,
        x: Any = None,
        batch_size: int = 500,
        apply_at_end: bool = True,
    ) -> None:
        super().__init__()
        self.start_epoch = _checks.whole("start_epoch", start_epoch, 0)
        self.every = _checks.whole("every", every)
        self.batch_size = _checks.whole("batch_size", batch_size)
        self.x = None if x is None else examples_of(x)
        self.apply_at_end = apply_at_end
        self.average = RunningAverage()
        self._network: StatelessModel | None = None
        self._found = None  # what an evaluation found in the model, while the average stands there
        self._trained = None  # the weights at the end of fit, while the average is left in the model
        self._epoch: int | None = None  # the epoch that has not been considered yet

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._put_back()
        self._epoch = None
        if not model.built:
            return  # fit will build it; _enter looks again
        if self._network is None:
            self._network = StatelessModel(model)
        known = [v.path for v in self._network.space.variables]
        now = [v.path for v in model.trainable_variables]
        if self._network.model is not model or known != now:
            raise ValueError(
                f"this SWA averages the weights {known} of model {self._network.model.name!r}; "
                f"received model {model.name!r} with {now}. Use a new SWA() for another model, and "
                "after freezing or thawing layers."
            )
        if self._network.has_batch_norm and self.x is None:
            raise ValueError(
                f"model {model.name!r} has batch norm, whose statistics must be estimated anew for "
                "an average of weights: pass the training inputs, SWA(x=x_train)."
            )

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._trained = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._put_back()
        self._epoch, self._batch = epoch, -1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._batch = batch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._enter()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._epoch = None
        if self.apply_at_end:
            self.apply()

    def on_test_begin(self, logs: dict | None = None) -> None:
        # Keras validates before on_epoch_end; the average must include the epoch that just ended.
        steps = (self.params or {}).get("steps")
        if self._epoch is not None and (steps is None or self._batch + 1 >= steps):
            self._enter()
        self._stand_in()

    def on_test_end(self, logs: dict | None = None) -> None:
        self._put_back()

    def on_predict_begin(self, logs: dict | None = None) -> None:
        self._stand_in()

    def on_predict_end(self, logs: dict | None = None) -> None:
        self._put_back()

    def apply(self) -> None:
        """Put the average into the model, with its batch-norm statistics.

        Does nothing before the first epoch has entered.
        """
        self._put_back()
        if not self.average.count:
            return
        if self._trained is not None and np.array_equal(self._network.space.read(), self.average.mean):
            return  # it stands there already, and the trained weights must not be lost
        self._trained = self.model.get_weights()
        self._write_average()

    def restore(self) -> None:
        """Put the trained weights back: those before `apply`, or before an interrupted evaluation.

        Does nothing where they are in place.
        """
        self._put_back()
        if self._trained is not None:
            self.model.set_weights(self._trained)
            self._trained = None

    def _stand_in(self):
        self._put_back()
        if self.average.count:
            self._found = self.model.get_weights()
            self._write_average()

    def _put_back(self):
        if self._found is not None:
            self._network.model.set_weights(self._found)
            self._found = None

    def _write_average(self):
        theta = tf.constant(self.average.mean)
        if self._network.has_batch_norm:
            norm = self._network.batch_norm
            norm.write(norm.state_of(self._moments(theta)))
        self._network.space.write(theta)

    def _enter(self):
        epoch, self._epoch = self._epoch, None
        if epoch is not None and _due(epoch - self.start_epoch, self.every):
            self.set_model(self.model)  # the network of a model that fit has built
            self.average.add(self._network.space.read())

    @tf.function(autograph=False)
    def _moments(self, theta):
        return self._network.batch_norm.moments(theta, self.x, self.batch_size)


class _Ensemble(keras.callbacks.Callback):
    """Collects members' weights; predicts with the mean of their predictions."""

    def __init__(self) -> None:
        super().__init__()
        self.members: list[
            list[np.ndarray]
        ] = []  # each as model.get_weights() returns it, batch-norm statistics included

    def predict(self, x: ArrayLike, **kwargs: Any) -> np.ndarray:
        """p(x) = (1/K) sum_k p_k(x), [N, C]. Keyword arguments go to `model.predict`.

        Where the model's compiled loss is a cross-entropy on logits, each member's outputs become
        probabilities first; other outputs are averaged as they are. The model's own weights are back
        in place afterwards, also when a prediction raises.
        """
        if not self.members:
            raise ValueError("the ensemble has no members yet: run model.fit with this callback.")
        with _weights_kept(self.model):
            return np.mean([self._member(w, x, **kwargs) for w in self.members], axis=0)

    def _member(self, weights, x, **kwargs):
        self.model.set_weights(weights)
        outputs = tf.convert_to_tensor(self.model.predict(x, **kwargs))
        return np.asarray(output_probabilities(self.model, outputs))

    def _add(self):
        weights = self.model.get_weights()
        shapes = [w.shape for w in weights]
        if self.members and shapes != [w.shape for w in self.members[0]]:
            raise ValueError(
                f"every member must have the architecture of the first; model {self.model.name!r} has "
                f"weights of other shapes: {shapes}."
            )
        self.members.append(weights)


class SnapshotEnsemble(_Ensemble):
    """Predicts with the mean over snapshots of one run, taken every `every` epochs.

    Give the optimizer a cyclical learning rate with cycles of that length, for example
    `keras.optimizers.schedules.CosineDecayRestarts(0.1, every * steps_per_epoch, m_mul=1.0, t_mul=1.0)`.

    Args:
      every: epochs in a cycle.

    Source: Huang et al. 2017, arXiv:1704.00109.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = _checks.whole("every", every)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if _due(epoch, self.every):
            self._add()


class IndependentEnsemble(_Ensemble):
    """Predicts with the mean over independent runs: one member for each `fit` it is given to.

    >>> ensemble, x = wedges.IndependentEnsemble(), np.ones((8, 3))
    >>> for seed in range(2):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])  # a start of its own
    ...     model.compile("sgd", "mse")
    ...     history = model.fit(x, np.ones(8), verbose=0, callbacks=[ensemble])
    >>> len(ensemble.members), ensemble.predict(x, verbose=0).shape
    (2, (8, 1))

    A member is what stands in the model when `fit` ends; beside an `SWA` callback, list this one
    first to collect the trained weights, last to collect the averages.

    Source: Lakshminarayanan et al. 2017, arXiv:1612.01474.
    """

    def on_train_end(self, logs: dict | None = None) -> None:
        self._add()


@contextlib.contextmanager
def _weights_kept(model):
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)


def _due(epoch, every):
    return epoch >= 0 and (epoch + 1) % every == 0
