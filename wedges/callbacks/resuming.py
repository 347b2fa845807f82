"""What a callback has gathered is backed up with the training, and resumed with it, bit for bit.

Keras' `BackupAndRestore` writes the weights and the state of the optimizer, then in a second file the
number of epochs done. What our callbacks have gathered goes into its directory, in files of their own:
complete before Keras writes anything, named by the number of epochs, and kept for the last two of its
backups. So there is one for whichever backup Keras restores, wherever a process was killed:

    before Keras' first file is written   the backup before, and ours of then
    between Keras' two files              Keras would repeat an epoch from its end; see `_torn`
    after them                            the last backup, and ours

While Keras' first file is written, it may be left damaged; it then restores the one before if it has
`double_checkpoint=True`, and raises otherwise.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np

from wedges import _keras, archive
from wedges.callbacks.places import FIRST, Placed
from wedges.callbacks.standing import trained

_GENERATIONS = 2


class Resumed(Placed):
    """A callback that goes on, beside a `BackupAndRestore`, with what it had gathered.

    Subclasses define `_state`, `_pieces` where there are any, and `_resume`.
    """

    place = FIRST

    def on_train_begin(self, logs: dict | None = None) -> None:
        companions = [c for c in self.beside if isinstance(c, Resumed)]
        for backup in self._backups():  # each companion would do the same
            beside = _Beside(backup, companions)
            _keras.accompany_backup(backup, beside.loading, beside.saving)

    def on_train_end(self, logs: dict | None = None) -> None:
        for backup in self._backups():
            _keras.leave_backup(backup)

    def _backups(self):
        return [c for c in self.beside if isinstance(c, keras.callbacks.BackupAndRestore)]

    def _state(self) -> dict[str, np.ndarray]:
        """What is written at every backup, with a number "pieces" of those that belong to it."""
        raise NotImplementedError

    def _pieces(self) -> Sequence[Mapping[str, np.ndarray]]:
        """What never changes once it is there, each written once."""
        return []

    def _resume(
        self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]
    ) -> None:
        """Be as when `_state` was written."""
        raise NotImplementedError


class _Beside:
    """Our callbacks beside one `BackupAndRestore`, for one `fit`."""

    def __init__(self, backup, companions):
        self._backup, self._companions = backup, companions
        self._folder = pathlib.Path(backup.backup_dir)
        if "://" in str(backup.backup_dir):
            raise ValueError(
                "BackupAndRestore's backup_dir must be a local directory beside callbacks of wedges; "
                f"received {backup.backup_dir!r}."
            )
        kinds = [type(c).__name__ for c in companions]
        self._names = [f"wedges.{k}.{kinds[:i].count(k)}" for i, k in enumerate(kinds)]
        self._saved: list[int] = []  # epochs of the generations there are, the last one last
        self._written = [0] * len(companions)  # pieces of each

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        there = any(os.path.exists(path) for path in _keras.backup_files(self._backup))
        yield
        if not there:  # a start from the beginning: what is left of another one does not count
            for path in [*self._folder.glob("wedges.*"), *self._folder.glob(".wedges.*")]:
                path.unlink()
            return
        model = self._backup.model
        epoch = _keras.initial_epoch(model)
        if self._torn(epoch):
            epoch += 1
            _keras.set_initial_epoch(model, epoch)
        for i, callback in enumerate(self._companions):
            path = self._state_file(i, epoch)
            if not path.exists():
                warnings.warn(
                    f"the backup in {self._folder} holds nothing of {type(callback).__name__} for "
                    f"{epoch} epochs done; it begins anew.",
                    stacklevel=2,
                )
                continue
            state = archive.read(path)
            self._written[i] = int(state["pieces"])
            pieces = [archive.read(self._piece_file(i, k)) for k in range(self._written[i])]
            callback._resume(state, pieces)
        found = self._folder.glob(f"{self._names[0]}.epoch-*.npz")
        epochs = {int(path.stem.rpartition("-")[2]) for path in found} - {epoch}
        self._saved = [*sorted(epochs), epoch]

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        epoch = _keras.backup_epoch(self._backup)
        with trained(self._backup.model):
            for i, callback in enumerate(self._companions):
                pieces = callback._pieces()
                for k in range(self._written[i], len(pieces)):
                    archive.write(self._piece_file(i, k), pieces[k])
                self._written[i] = len(pieces)
                state = {"pieces": len(pieces), "steps": self._steps(), **callback._state()}
                archive.write(self._state_file(i, epoch), state)
            yield
        self._saved = [*(e for e in self._saved if e != epoch), epoch]
        while len(self._saved) > _GENERATIONS:
            old = self._saved.pop(0)
            for i in range(len(self._companions)):
                self._state_file(i, old).unlink(missing_ok=True)

    def _torn(self, epoch):
        """Whether Keras' weights are those of an epoch later than the number it wrote beside them.

        It was then killed between the two. Ours of that epoch had been written before, and the number
        of batches in it is that of the weights.
        """
        steps = self._steps()
        for i in range(len(self._companions)):
            later, now = self._state_file(i, epoch + 1), self._state_file(i, epoch)
            if later.exists() and int(archive.read(later)["steps"]) == steps:
                return not now.exists() or int(archive.read(now)["steps"]) != steps
        return False

    def _steps(self):
        # Not the optimizer's own number of steps, which stands still while it accumulates gradients.
        given = _keras.batches_given(self._backup.model)
        return -1 if given is None else given

    def _state_file(self, i, epoch):
        return self._folder / f"{self._names[i]}.epoch-{epoch}.npz"

    def _piece_file(self, i, k):
        return self._folder / f"{self._names[i]}.piece-{k}.npz"
