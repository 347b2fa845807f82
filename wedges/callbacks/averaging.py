"""Averages of weights: `SWA`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks, _keras
from wedges._tensorflow import graph
from wedges.average import RunningAverage
from wedges.callbacks.places import AtTheEnd
from wedges.callbacks.resuming import Resumed
from wedges.callbacks.standing import assign, put_back, read, same, stand_in, trained_values
from wedges.network.examples import examples_of
from wedges.network.stateless import StatelessModel


class SWA(Resumed):
    """Stochastic weight averaging: theta_SWA = mean of the weights at epoch ends.

    Validation, `evaluate` and `predict` that are given this callback use the average. An evaluation or
    a prediction of its own puts back the weights it found. After a validation within `fit` the average
    stays in the model until the next epoch begins, so that the other callbacks' `on_epoch_end` find
    there what was validated, wherever in the list they are:

    - `ModelCheckpoint` saves the average after an epoch that was validated with it, and the trained
      weights after an epoch without validation and in the middle of one (`save_freq=100`).
    - `EarlyStopping(restore_best_weights=True)` on a validation's number leaves the best weights that
      were validated, averages among them, and they stand at the end of `fit`; on a number of the
      training, which is not about averages, the average of all epochs stands there.
    - `BackupAndRestore` saves the trained weights. What has been averaged goes into its directory, too
      (twice 8 bytes a weight), and is resumed with them, bit for bit, also after a killed process.

    `SwapEMAWeights`, which puts another average into the model, cannot be in the same list. Where an
    error interrupts `fit` or an evaluation, the callback's next use, or `restore()`, puts the trained
    weights back. A second `fit` of the same model goes on with the average. An epoch that is cut short,
    or whose weights are not finite, does not enter. Of several in one list the first is validated and
    stands there at the end; the others only average.

    Args:
      start_epoch: the first epoch, counted from 0, that may enter the average.
      every: epochs from one entry to the next. With a cyclical learning rate, the cycle's length:
        the first entry is then the end of the first cycle after `start_epoch`.
      x: training inputs, for batch norm's statistics at the average: arrays, or a data set of any kind
        that a `NetworkLandscape` takes. Required for a model with batch norm, and not used otherwise.
        Each new average costs a pass over them.
      batch_size: examples at a time in that pass.
      apply_at_end: leave the average in the model when `fit` ends; `restore()` brings the trained
        weights back. If False, the model keeps the trained weights.

    Attributes:
      average: the `RunningAverage` of flat weights; `average.mean` is theta_SWA [D].

    Raises:
      ValueError: `every` or `batch_size` below 1, `start_epoch` below 0, a model with batch norm and
        no x, another model (or other trainable layers) than the average began with, a `SwapEMAWeights`
        beside it.

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
        self._end = AtTheEnd(self._leave)  # after EarlyStopping has restored what it restores
        self._known: keras.Model | None = None  # the model whose weights are averaged
        self._weights: list[keras.Variable] = []  # those in theta, in its order
        self._norms: list[keras.layers.BatchNormalization] = []  # those whose statistics follow
        self._network: StatelessModel | None = None  # which finds them
        self._values: tuple[int, list[np.ndarray]] | None = None  # all of it at an average of so many
        self._trained: list[np.ndarray] | None = None  # the same at the end of fit
        self._epoch: int | None = None  # the epoch that runs; None outside of fit
        self._entered = False  # whether that epoch has been considered
        self._batch, self._steps = -1, None  # the batch that runs, and how many there are
        self._validated: set[int] = set()  # the epochs of this fit that were validated with an average

    # ---- what Keras calls -----------------------------------------------------------------------

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        put_back(model)
        self._epoch = None
        if any(isinstance(c, keras.callbacks.SwapEMAWeights) for c in self.beside):
            raise ValueError(
                "SWA and SwapEMAWeights must not be in one list, since both put an average into the "
                f"model to validate it; received both for model {model.name!r}."
            )
        if model.built:  # fit will build another; _enter looks again
            self._know(model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._trained, self._validated = None, set()
        self._steps = (self.params or {}).get("steps")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        put_back(self.model)
        self._epoch, self._entered, self._batch = epoch, False, -1

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._batch = batch

    def on_test_begin(self, logs: dict | None = None) -> None:
        # Keras validates before on_epoch_end; the average must include the epoch that just ended.
        if self._epoch is not None:
            self._enter(self._epoch)
        self._stand_in()

    def on_test_end(self, logs: dict | None = None) -> None:
        if self._epoch is None:
            put_back(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._enter(epoch)

    def on_predict_begin(self, logs: dict | None = None) -> None:
        self._stand_in()

    def on_predict_end(self, logs: dict | None = None) -> None:
        put_back(self.model)

    def on_train_end(self, logs: dict | None = None) -> None:
        super().on_train_end(logs)
        self._put_back_at_the_end()
        self._warn_if_late()
        self._epoch = None
        if self._end not in self.beside:  # nothing known of other callbacks
            self._leave()

    # ---- what a user calls ----------------------------------------------------------------------

    def apply(self) -> None:
        """Put the average into the model, with its batch-norm statistics.

        Does nothing before the first epoch has entered.
        """
        put_back(self.model)
        if not self.average.count:
            return
        values = self._average_values()
        found = read(self._variables)
        if self._trained is None or not same(found, values):
            self._trained = found  # unless the average stands there already: they must not be lost
        assign(self._variables, values)

    def restore(self) -> None:
        """Put the trained weights back: those before `apply`, or before an interrupted evaluation.

        Does nothing where they are in place.
        """
        put_back(self.model)
        if self._trained is not None:
            assign(self._variables, self._trained)
            self._trained = None

    # ---- when -----------------------------------------------------------------------------------

    def _enter(self, epoch):
        if self._entered or not due(epoch - self.start_epoch, self.every) or self._cut_short():
            return
        self._entered = True
        self._know(self.model)
        theta = np.concatenate([v.ravel() for v in trained_values(self.model, self._weights)])
        if not np.isfinite(theta).all():
            warnings.warn(
                f"the weights at the end of epoch {epoch} (counted from 0) are not finite, and do not "
                "enter the average of SWA.",
                stacklevel=2,
            )
            return
        self.average.add(theta)

    def _cut_short(self):
        """Whether a callback stopped the training in the middle of the epoch."""
        # SWA comes first in the list, so that no on_epoch_end has asked to stop yet.
        last = self._batch + getattr(self.model, "steps_per_execution", 1)
        return self.model.stop_training and (self._steps is None or last < self._steps)

    def _stand_in(self):
        if not self._leads():
            return
        put_back(self.model)
        if self.average.count:
            self._know(self.model)
            values = self._average_values()
            stand_in(self.model, self._variables, values)
            if self._epoch is not None:
                self._validated.add(self._epoch)

    def _leads(self):
        """Whether it is the first SWA of the list: the others only average."""
        return next((c for c in self.beside if isinstance(c, SWA)), self) is self

    def _put_back_at_the_end(self):
        optimizer = getattr(self.model, "optimizer", None)
        if getattr(optimizer, "use_ema", False):
            # Keras has overwritten what stood in the model, an average or not, by the optimizer's own.
            put_back(self.model, tell=False)
            optimizer.finalize_variable_values(self.model.trainable_variables)
        put_back(self.model)
        self._trained = read(self._variables) if self.average.count and self._known else None

    def _leave(self):
        """Leave in the model, at the end of fit, what belongs there."""
        if self._trained is None or not self.apply_at_end or not self._leads():
            return
        restored = not same(read(self._variables), self._trained)
        best = [
            c
            for c in self.beside
            if isinstance(c, keras.callbacks.EarlyStopping)
            and c.restore_best_weights
            and c.best_weights is not None
        ]
        if restored and best and not best[-1].monitor.startswith("val_"):
            warnings.warn(
                f"EarlyStopping restored the weights of epoch {best[-1].best_epoch} (counted from 0) by "
                f"{best[-1].monitor!r}, which says nothing of an average; the average of SWA replaces "
                "them. Use SWA(apply_at_end=False) to keep them.",
                stacklevel=2,
            )
        elif restored:
            if not (best and best[-1].best_epoch in self._validated):
                who = "EarlyStopping" if best else "A callback"
                warnings.warn(
                    f"{who} put weights into model {self.model.name!r} at the end of fit that are no "
                    "average of SWA, and they stay there; apply() puts the average in their place.",
                    stacklevel=2,
                )
            return
        values = self._average_values()
        assign(self._variables, values)

    def _warn_if_late(self):
        if self._epoch is None or self._epoch >= self.start_epoch + self.every - 1:
            return
        if not self.average.count:
            warnings.warn(
                f"SWA(start_epoch={self.start_epoch}, every={self.every}) began no average: fit ended "
                f"after epoch {self._epoch}, and epochs are counted from 0.",
                stacklevel=2,
            )

    # ---- what -----------------------------------------------------------------------------------

    @property
    def _variables(self):
        """All that an average gives values to: theta's, and the statistics of batch norm."""
        return [*self._weights, *(v for b in self._norms for v in (b.moving_mean, b.moving_variance))]

    def _know(self, model):
        """Take down which weights are averaged, and see that they are those of before."""
        now = list(model.trainable_variables)
        if self._known is None:
            norms = [
                layer
                for layer in _keras.flat_layers(model)
                if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            ]
            if norms and self.x is None:
                raise ValueError(
                    f"model {model.name!r} has batch norm, whose statistics must be estimated anew for "
                    "an average of weights: pass the training inputs, SWA(x=x_train)."
                )
            if norms:
                self._network = StatelessModel(model)
            self._known, self._weights, self._norms = model, now, norms
        paths, known = [v.path for v in now], [v.path for v in self._weights]
        if self._known is not model or known != paths:
            raise ValueError(
                f"this SWA averages the weights {known} of model {self._known.name!r}; "
                f"received model {model.name!r} with {paths}. Use a new SWA() for another model, and "
                "after freezing or thawing layers."
            )

    def _average_values(self):
        """The values of `_variables` at the present average, found once."""
        if self._values is None or self._values[0] != self.average.count:
            shapes = [tuple(v.shape) for v in self._weights]
            parts = np.split(self.average.mean, np.cumsum([int(np.prod(s)) for s in shapes])[:-1])
            values = [p.reshape(s) for p, s in zip(parts, shapes, strict=True)]
            self._values = (self.average.count, values + self._statistics())
        return self._values[1]

    def _statistics(self):
        if self._network is None:
            return []
        norm, variables = self._network.batch_norm, self._variables[len(self._weights) :]
        moments = self._moments(tf.constant(self.average.mean))
        found = read(variables)
        norm.write(norm.state_of(moments))
        values = read(variables)
        assign(variables, found)
        return values

    @graph
    def _moments(self, theta):
        return self._network.batch_norm.moments(theta, self.x, self.batch_size)

    # ---- beside a BackupAndRestore, and other callbacks ------------------------------------------

    def _followers(self):
        return [self._end]

    def _state(self):
        return self.average.arrays()

    def _resume(self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]):
        self.average, self._values = RunningAverage.restore(state), None


def due(epoch: int, every: int) -> bool:
    """Whether an epoch, counted from 0, is the last one of a cycle."""
    return epoch >= 0 and (epoch + 1) % every == 0
