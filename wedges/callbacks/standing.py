"""Which weights stand in a model while it is fitted: the trained ones, or for a while others.

An average stands in the model from a validation until the next epoch begins. What asks for the trained
weights in the meantime (a snapshot, a backup, another average) asks here.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np


class _Others(NamedTuple):
    variables: list[keras.Variable]
    trained: list[np.ndarray]  # what they were before
    values: list[np.ndarray]  # what they are instead


_OTHERS: weakref.WeakKeyDictionary[keras.Model, _Others] = weakref.WeakKeyDictionary()


def read(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """The present values of Keras variables, one array each."""
    return [v.numpy() for v in variables]


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def same(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    """Whether two lists hold the same numbers; NaN is equal to NaN."""
    return len(a) == len(b) and all(
        np.array_equal(p, q, equal_nan=True) for p, q in zip(a, b, strict=True)
    )


def stand_in(
    model: keras.Model, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]
) -> None:
    """Let `values` stand in the model, instead of its trained weights, until `put_back`."""
    put_back(model)
    trained = read(variables)
    _OTHERS[model] = _Others(list(variables), trained, list(values))
    assign(variables, values)


def put_back(model: keras.Model, *, tell: bool = True) -> None:
    """Put the trained weights back; nothing where they are in place.

    Args:
      tell: warn where something has changed what stood there, which is lost.
    """
    others = _OTHERS.pop(model, None)
    if others is None:
        return
    if tell and not same(read(others.variables), others.values):
        warnings.warn(
            f"a callback changed the weights of model {model.name!r} while an average of SWA stood in "
            "it, after a validation; training goes on from the trained weights without that change.",
            stacklevel=2,
        )
    assign(others.variables, others.trained)


def trained_values(model: keras.Model, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """The trained values of some of a model's variables, whatever stands there."""
    others = _OTHERS.get(model)
    if others is None:
        return read(variables)
    kept = dict(zip(map(id, others.variables), others.trained, strict=True))
    return [kept[id(v)] if id(v) in kept else v.numpy() for v in variables]


@contextlib.contextmanager
def trained(model: keras.Model) -> Iterator[None]:
    """Within it the trained weights stand in the model; afterwards again what stood there before."""
    others = _OTHERS.get(model)
    if others is None:
        yield
        return
    assign(others.variables, others.trained)
    try:
        yield
    finally:
        assign(others.variables, others.values)
