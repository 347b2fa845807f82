"""Arrays in files, by reference: where the numbers of a memory map stand."""

from __future__ import annotations

import dataclasses
import os

import numpy as np


@dataclasses.dataclass(frozen=True)
class MappedFile:
    """An array in a file, as another process may open it."""

    path: str
    dtype: np.dtype
    offset: int  # of its first number, in bytes
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, array: np.memmap) -> MappedFile:
        """Where the numbers of a memory map stand, or of a part of one.

        Raises:
          ValueError: a map without a file, or one whose changes stay in this process (mode "c").
        """
        whole = array
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        if not isinstance(whole, np.memmap) or whole.filename is None or whole.mode == "c":
            name, mode = (getattr(whole, what, None) for what in ("filename", "mode"))
            raise ValueError(
                "a numpy.memmap must be one of a named file, in mode 'r' or 'r+', to be pickled or to "
                f"go to other processes; received {name} in mode {mode!r}."
            )
        if whole.mode != "r":
            whole.flush()
        offset = whole.offset + array.ctypes.data - whole.ctypes.data
        return cls(os.path.abspath(whole.filename), array.dtype, offset, array.shape, array.strides)

    def open(self) -> np.memmap:
        """The array, to be read only.

        Raises:
          ValueError: no such file, or a shorter one.
        """
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        below = sum(s for s in steps if s < 0)  # bytes before the first number, of reversed axes
        length = self.dtype.itemsize + sum(map(abs, steps))
        try:
            held = np.memmap(self.path, np.uint8, "r", self.offset + below, (length,))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.path} must be the file of {self.shape} numbers that it was; received: {error}."
            ) from error
        found = np.ndarray(self.shape, self.dtype, held, -below, self.strides)
        return found.view(np.memmap)
