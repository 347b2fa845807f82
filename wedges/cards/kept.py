"""Sections on disk: each a file of JSON, whole or measured again."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras, archive
from wedges.cards import definition


def plain(value: Any) -> Any:
    """Numbers and structures as JSON has them: NaN and infinity become None.

    >>> wedges.cards.kept.plain({"a": np.float32(0.5), "b": (1, np.array([2.0, np.nan]))})
    {'a': 0.5, 'b': [1, [2.0, None]]}
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def write_json(path: pathlib.Path, value: Any) -> None:
    """One file of JSON, whole or not at all."""
    with archive.replacing(path) as file:
        file.write((json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode())


class Kept:
    """The sections of one card in a folder, which is made with the first of them.

    Args:
      folder: where.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = pathlib.Path(folder)

    def get(self, name: str) -> dict[str, Any] | None:
        """A section that is done; None for one that is not, or whose file is damaged."""
        try:
            return archive.read_json(self._file(name), dict)
        except (OSError, archive.Damaged):
            return None

    def put(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Keep a section; returns it as it will be read."""
        self._file(name).parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file(name), result)
        return plain(result)

    def _file(self, name):
        return self.folder / "sections" / f"{name}.json"


def key_of(models: list[keras.Model], arrays: Any, settings: dict[str, Any]) -> str:
    """What a card depends on, by content: weights, own code, examples and settings, as a SHA-256.

    The state of random numbers is none of it: dropout without a seed has another one in each process.
    """
    found = hashlib.sha256()

    def add(array):
        array = np.ascontiguousarray(array)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.data if array.size else b"")

    for model in models:
        for variable in (v for v in model.variables if v.name != _keras.SEED_STATE):
            add(np.asarray(variable.value))
        found.update(_architecture(model).encode())
        found.update(json.dumps(definition.code_of(model)).encode())
    for leaf in tf.nest.flatten(arrays):
        add(leaf)
    found.update(json.dumps(plain(settings), sort_keys=True).encode())
    return found.hexdigest()


def _architecture(model):
    """What a model computes, as far as it can say; two with equal weights may differ in that."""
    try:
        config = model.to_json()
    except Exception:  # a model of one's own that tells no configuration
        return type(model).__name__
    return config
