"""Results that show in a line what they hold, whatever the size of their arrays."""

from typing import Any

import numpy as np

_FEW = 6  # numbers that are shown one by one


def short(result: Any) -> str:
    """A NamedTuple in one line: single numbers and few as they are, of many the shape and the range.

    Other results in it show as they do by themselves.
    """
    fields = zip(result._fields, result, strict=True)
    return f"{type(result).__name__}({', '.join(f'{name}={shown(v)}' for name, v in fields)})"


def shown(value: Any) -> str:
    """One field: "0.25", "[1, 2]", "[9, 9] from 0.1 to 3.4"; what holds no numbers as its `repr`."""
    if isinstance(value, (tuple, dict)):  # results in a result: NumPy would make arrays of them, or fail
        return repr(value)
    try:
        array = None if isinstance(value, (str, bool)) or value is None else np.asarray(value)
    except NotImplementedError:  # a tensor of a graph that is being made
        return f"[{', '.join(map(str, value.shape))}]"
    if array is None or array.dtype.kind not in "biuf":
        return repr(value)
    if array.ndim == 0:
        return _number(array)
    if array.ndim == 1 and len(array) <= _FEW:
        return f"[{', '.join(map(_number, array))}]"
    shape = f"[{', '.join(map(str, array.shape))}]"
    known = array[~np.isnan(array)] if array.dtype.kind == "f" else array
    if not known.size:
        return shape + (" of NaN" if array.size else "")
    if array.dtype.kind == "b":
        return f"{shape}, {known.sum()} true"
    nan = f", {array.size - known.size} NaN" if known.size < array.size else ""
    return f"{shape} from {_number(known.min())} to {_number(known.max())}{nan}"


def _number(value):
    return f"{value:.4g}" if value.dtype.kind == "f" else str(value)
