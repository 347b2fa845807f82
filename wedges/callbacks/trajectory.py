"""The way of a training through weight space: `Trajectory`."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import DTypeLike

from wedges import _checks
from wedges.callbacks.counting import BatchCounter
from wedges.callbacks.resuming import Resumed
from wedges.callbacks.standing import trained_values

_HEADER = 256  # bytes before the first row of a file


class Trajectory(Resumed):
    """Keeps theta, all trainable weights as one vector, at chosen moments of a training.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> trajectory = wedges.Trajectory()
    >>> x, y = np.eye(3), np.arange(6.0).reshape(3, 2)
    >>> history = model.fit(x, y, epochs=4, batch_size=1, verbose=0, callbacks=[trajectory])
    >>> trajectory.thetas.shape, trajectory.steps.tolist()  # the start, and the end of each epoch
    ((5, 8), [0, 3, 6, 9, 12])
    >>> plane, explained = wedges.principal(trajectory.thetas)

    Epochs and steps are counted over all `fit`s that it is given to; 0 is the start of the first one,
    which a model without weights by then cannot have. Where several steps run at once
    (`steps_per_execution`), a chosen one is kept at the end of those. Beside an `SWA` it keeps the
    trained weights, which are those of the way.

    T points of D numbers take 4 T D bytes in float32: 1,000 of a model with 25 million weights 100 GB.
    In a file they take no memory. The file is a .npy file, `np.load(path, mmap_mode="r")`, of rows with
    the fields "step", "epoch" and "theta" [D]. Each point is complete in it before it counts, so that a
    killed process leaves a file that can be read. A later Trajectory of that path goes on behind the
    point at which the model stands when its first `fit` begins: that of the start, with a training that
    is begun again; it warns, and goes on behind the last one, where the model stands at none. Beside a
    `BackupAndRestore` it goes on behind the last point before the backup that is restored; without a
    path it has forgotten those before.

    Args:
      every: which moments are kept: every so many, those in a list, or those for which a function of
        their number is true.
      unit: what is counted, "epoch" or "step".
      path: a file to keep them in, whole or begun before; None keeps them in memory.
      dtype: of what is kept; by default that of the weights.
      limit: bytes that it may take in memory. More are refused before training, where the number of
        steps is known then, and left out with a warning where not.

    Attributes:
      thetas: [T, D]; of a file, a view into it that is read when it is looked at.
      steps, epochs: steps taken and epochs ended before each, [T]; a step that ends an epoch is in it.

    Raises:
      ValueError: more than `limit`, a file of another kind, size or dtype, another D than before.
    """

    def __init__(
        self,
        every: int | Collection[int] | Callable[[int], bool] = 1,
        unit: str = "epoch",
        path: str | os.PathLike[str] | None = None,
        *,
        dtype: DTypeLike | None = None,
        limit: int = 2**31,
    ) -> None:
        super().__init__()
        _checks.choice("unit", unit, ("epoch", "step"))
        self.every, self.unit, self.path = every, unit, path
        self.limit = _checks.whole("limit", limit)
        self._chosen = _choice(every)
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._rows: _Rows = _InMemory() if path is None else _InFile(pathlib.Path(path))
        self._step, self._epoch = self._rows.last()
        self._variables: list[keras.Variable] = []
        self._counter = BatchCounter()
        self._full, self._found = False, len(self._rows) > 0

    @property
    def thetas(self) -> np.ndarray:
        """What is kept, [T, D]."""
        return self._rows.field("theta")

    @property
    def steps(self) -> np.ndarray:
        """How many steps had been taken at each point, [T]."""
        return self._rows.field("step")

    @property
    def epochs(self) -> np.ndarray:
        """How many epochs had ended before each point, [T]."""
        return self._rows.field("epoch")

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._found and self.model.built:
            self._go_on()
        self._found = False
        if not self._begun:
            self._check_limit(epoch)
        self._begun = True
        if not (self._step or self._epoch or len(self._rows)) and self.model.built and self._chosen(0):
            self._keep()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._counter.begin(self.model)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        before, self._step = self._step, self._step + self._counter.taken(self.model)
        if self.unit == "step" and any(map(self._chosen, range(before + 1, self._step + 1))):
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch += 1
        if self.unit == "epoch" and self._chosen(self._epoch):
            self._keep()

    def _theta(self):
        self._variables = self._variables or list(self.model.trainable_variables)
        values = trained_values(self.model, self._variables)
        theta = np.concatenate([v.ravel() for v in values])
        return theta if self._dtype is None else theta.astype(self._dtype)

    def _go_on(self):
        """Forget the points behind the one at which the model stands."""
        theta, there = self._theta(), self.thetas
        if there.shape[1:] != theta.shape:
            return  # which is refused when it is to be kept
        alike = np.flatnonzero((there[:, :32] == theta[:32]).all(axis=1))  # a page of each, not all
        here = [i for i in alike if np.array_equal(there[i], theta)]
        if here:
            self._rows.cut(here[-1] + 1)
            self._step, self._epoch = self._rows.last()
        else:
            warnings.warn(
                f"model {self.model.name!r} stands at none of the {len(there)} points in {self.path}; "
                f"Trajectory goes on behind the last of them, step {self._step}.",
                stacklevel=2,
            )

    def _keep(self):
        if self._full:
            return
        theta = self._theta()
        size = (len(self._rows) + 1) * theta.nbytes
        if self.path is None and size > self.limit:
            self._full = True
            warnings.warn(
                f"Trajectory keeps no more than {len(self._rows)} points of {theta.nbytes} bytes, "
                f"limit={self.limit} bytes; give it a path, keep fewer, or raise the limit.",
                stacklevel=2,
            )
            return
        self._rows.append(self._step, self._epoch, theta)

    def _check_limit(self, epoch):
        params = self.params or {}
        epochs, steps = params.get("epochs"), params.get("steps")
        if self.path is not None or not self.model.built or not epochs:
            return
        count = (epochs - epoch) * (1 if self.unit == "epoch" else steps or 0)
        start = self._epoch if self.unit == "epoch" else self._step
        numbers = range(start + (start > 0), start + count + 1)  # the start of the first fit is one
        points = len(self._rows) + sum(map(self._chosen, numbers))
        values = self.model.trainable_variables
        size = sum(int(np.prod(v.shape)) for v in values)
        dtype = self._dtype or np.dtype(values[0].dtype if values else "float32")
        if (needed := points * size * dtype.itemsize) > self.limit:
            raise ValueError(
                f"limit must be at least {needed} bytes for {points} points of {size} weights; "
                f"received {self.limit}. Give Trajectory a path, or keep fewer."
            )

    def _state(self):
        return {"step": np.array(self._step), "epoch": np.array(self._epoch)}

    def _resume(self, state: Mapping[str, np.ndarray], pieces: Sequence[Mapping[str, np.ndarray]]):
        self._step, self._epoch = int(state["step"]), int(state["epoch"])
        self._rows.cut(int(np.sum(self.steps <= self._step)))
        self._found = False


def _choice(every):
    """Whether a number is chosen, as a function."""
    if callable(every):
        return lambda n: bool(every(n))
    if isinstance(every, Collection | np.ndarray) and not isinstance(every, str):
        numbers = {_checks.whole("every", n, 0) for n in every}
        return numbers.__contains__
    interval = _checks.whole("every", every)
    return lambda n: n % interval == 0


# ---- where points are kept ----------------------------------------------------------------------------


class _Rows:
    """Points in the order in which they were kept: rows of step, epoch and theta."""

    def __len__(self) -> int:
        raise NotImplementedError

    def append(self, step: int, epoch: int, theta: np.ndarray) -> None:
        raise NotImplementedError

    def field(self, name: str) -> np.ndarray:
        raise NotImplementedError

    def cut(self, count: int) -> None:
        """Forget all but the first `count`."""
        raise NotImplementedError

    def last(self) -> tuple[int, int]:
        """Step and epoch of the last one; 0, 0 where there is none."""
        return (int(self.field("step")[-1]), int(self.field("epoch")[-1])) if len(self) else (0, 0)


class _InMemory(_Rows):
    def __init__(self) -> None:
        self._rows: list[tuple[int, int, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, step: int, epoch: int, theta: np.ndarray) -> None:
        if self._rows and self._rows[0][2].shape != theta.shape:
            raise ValueError(_other("in memory", self._rows[0][2], theta))
        self._rows.append((step, epoch, theta))

    def field(self, name: str) -> np.ndarray:
        index = ("step", "epoch", "theta").index(name)
        found = [row[index] for row in self._rows]
        if name == "theta":
            return np.stack(found) if found else np.empty((0, 0), np.float32)
        return np.array(found, np.int64)

    def cut(self, count: int) -> None:
        del self._rows[count:]


class _InFile(_Rows):
    """A .npy file of a structured dtype that grows.

    A row is written behind the last one first, and then counted in the header, whose size never changes.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path, self._count = path, 0
        self._kind: Any = None  # the dtype of a row
        if path.exists():
            self._count, self._kind = self._known()

    def __len__(self) -> int:
        return self._count

    def append(self, step: int, epoch: int, theta: np.ndarray) -> None:
        kind = _kind(theta)
        if self._kind is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(_header(kind, 0))
            self._kind = kind
        elif self._kind != kind:
            there = np.empty(self._kind["theta"].shape, self._kind["theta"].base)
            raise ValueError(_other(self._path, there, theta))
        row = np.array([(step, epoch, theta)], kind)
        with open(self._path, "r+b") as file:
            file.seek(_HEADER + self._count * kind.itemsize)
            file.write(row.tobytes())
            file.flush()
            self._recount(file, self._count + 1)

    def field(self, name: str) -> np.ndarray:
        if not self._count:
            return np.empty((0, 0), np.float32) if name == "theta" else np.empty(0, np.int64)
        rows = np.memmap(self._path, self._kind, "r", _HEADER, (self._count,))
        return rows[name] if name == "theta" else np.array(rows[name])

    def cut(self, count: int) -> None:
        if self._kind is not None and count < self._count:
            with open(self._path, "r+b") as file:
                self._recount(file, count)

    def _recount(self, file, count):
        file.seek(0)
        file.write(_header(self._kind, count))
        file.flush()
        self._count = count

    def _known(self):
        """How many rows are in the file, and of which dtype."""
        try:
            rows = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"path must be a file of a Trajectory; received {self._path}.") from error
        if rows.dtype.names != ("step", "epoch", "theta") or getattr(rows, "offset", None) != _HEADER:
            raise ValueError(f"path must be a file of a Trajectory; received {self._path}.")
        return len(rows), rows.dtype


def _kind(theta):
    return np.dtype([("step", "<i8"), ("epoch", "<i8"), ("theta", theta.dtype.str, theta.shape)])


def _header(kind, count):
    """The start of a .npy file, version 1.0, always of one size."""
    text = f"{{'descr': {kind.descr!r}, 'fortran_order': False, 'shape': ({count},), }}"
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return start + text.encode().ljust(_HEADER - 11) + b"\n"


def _other(where, there, theta):
    return (
        f"theta must be like those kept before, {there.shape[0]} numbers of dtype {there.dtype} "
        f"({where}); received {theta.shape[0]} of {theta.dtype}."
    )
