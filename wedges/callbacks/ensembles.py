"""Averages of predictions: `SnapshotEnsemble` and `IndependentEnsemble`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from wedges import _checks
from wedges.callbacks.averaging import due
from wedges.callbacks.places import AFTER_ALL, Placed
from wedges.callbacks.resuming import Resumed
from wedges.callbacks.standing import trained_values
from wedges.network.readout import output_probabilities


class _Ensemble(Placed):
    """Collects members' weights; predicts with the mean of their predictions."""

    def __init__(self) -> None:
        super().__init__()
        # Each as model.get_weights() returns it, batch-norm statistics included.
        self.members: list[list[np.ndarray]] = []

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """p(x) = (1/K) sum_k p_k(x), [N, C]. Keyword arguments go to `model.predict`.

        A model with several outputs gives a list or dict of them, each averaged by itself. Where the
        loss of an output is a cross-entropy on logits, each member's outputs become probabilities
        first; others are averaged as they are. The model's own weights are back in place afterwards,
        also when a prediction raises.
        """
        if not self.members:
            raise ValueError("the ensemble has no members yet: run model.fit with this callback.")
        with _weights_kept(self.model):
            total = self._member(self.members[0], x, **kwargs)
            for weights in self.members[1:]:  # one prediction is held, however many members there are
                total = keras.tree.map_structure(np.add, total, self._member(weights, x, **kwargs))
        return keras.tree.map_structure(lambda t: t / len(self.members), total)

    def _member(self, weights, x, **kwargs):
        self.model.set_weights(weights)
        outputs = output_probabilities(self.model, self.model.predict(x, **kwargs))
        return keras.tree.map_structure(np.asarray, outputs)

    def _add(self, weights):
        shapes = [w.shape for w in weights]
        if self.members and shapes != [w.shape for w in self.members[0]]:
            raise ValueError(
                f"every member must have the architecture of the first; model {self.model.name!r} has "
                f"weights of other shapes: {shapes}."
            )
        self.members.append(weights)


class SnapshotEnsemble(_Ensemble, Resumed):
    """Predicts with the mean over snapshots of one run, taken every `every` epochs.

    Give the optimizer a cyclical learning rate with cycles of that length, for example
    `keras.optimizers.schedules.CosineDecayRestarts(0.1, every * steps_per_epoch, m_mul=1.0, t_mul=1.0)`.

    A member has the trained weights, also beside an `SWA`. Beside a `BackupAndRestore` its members are
    written into that one's directory, each once, and resumed with the training, bit for bit.

    Args:
      every: epochs in a cycle.

    Source: Huang et al. 2017, arXiv:1704.00109.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = _checks.whole("every", every)
        self._epoch: int | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._epoch = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        if due(epoch, self.every):
            self._add(trained_values(self.model, self.model.weights))

    def on_train_end(self, logs: dict | None = None) -> None:
        super().on_train_end(logs)
        if self._epoch is not None and not self.members:
            warnings.warn(
                f"SnapshotEnsemble(every={self.every}) took no snapshot: fit ended after epoch "
                f"{self._epoch}, and epochs are counted from 0.",
                stacklevel=2,
            )

    def _state(self):
        return {}

    def _pieces(self):
        return [{str(i): w for i, w in enumerate(member)} for member in self.members]

    def _resume(self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]):
        self.members = [[piece[str(i)] for i in range(len(piece))] for piece in pieces]


class IndependentEnsemble(_Ensemble):
    """Predicts with the mean over independent runs: one member for each `fit` it is given to.

    >>> ensemble, x = wedges.IndependentEnsemble(), np.ones((8, 3))
    >>> for seed in range(2):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])  # a start of its own
    ...     model.compile("sgd", "mse")
    ...     history = model.fit(x, np.ones(8), verbose=0, callbacks=[ensemble])
    >>> len(ensemble.members), ensemble.predict(x, verbose=0).shape
    (2, (8, 1))

    A member is what stands in the model when `fit` has ended and all other callbacks are done: beside an
    `SWA` the average (with `apply_at_end=False` the trained weights), after an
    `EarlyStopping(restore_best_weights=True)` the best weights.

    Source: Lakshminarayanan et al. 2017, arXiv:1612.01474.
    """

    place = AFTER_ALL

    def on_train_end(self, logs: dict | None = None) -> None:
        self._add(self.model.get_weights())


@contextlib.contextmanager
def _weights_kept(model):
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)
