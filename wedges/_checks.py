"""What the library asks of its arguments: each check once, in one wording.

A check that fails is a ValueError that names the argument, what would do and what was received. None
of them needs TensorFlow but `numbers`, `one_point` and `two_points`, which make tensors: what only looks
at arrays does not wait for it.
"""

from __future__ import annotations

import contextlib
import operator
import os
import reprlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike

    from wedges.landscape import Landscape


_LONGEST = 200  # characters of what was received


def whole(name: str, value: Any, low: int = 1, high: int | None = None, *, limit: str = "") -> int:
    """The value as an `int`, where it is a whole number from `low` to `high` (None: without end).

    A float is none, also without decimals, and neither is True: both are slips. `limit` is what the
    upper end is called, e.g. "D".
    """
    number = _whole(value)
    if number is None or number < low or (high is not None and number > high):
        called = f"{limit} = " if limit else ""
        allowed = f", at least {low}" if high is None else f" from {low} to {called}{high}"
        raise ValueError(f"{name} must be a whole number{allowed}; received {_shown(value)}.")
    return number


def _whole(value: Any) -> int | None:
    """What stands for a whole number as an `int`, of any library's type; None for all else."""
    try:
        number = operator.index(value)
    except TypeError:
        return None
    dtype = getattr(value, "dtype", "")
    return None if isinstance(value, bool) or "bool" in str(dtype) or np.ndim(value) else number


def seed(value: Any) -> int | list[int]:
    """A seed for NumPy's generators: a whole number, at least 0, or a sequence of them."""
    several = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
    if several and _whole(value) is None:
        return [whole("seed", s, 0) for s in value]
    return whole("seed", value, 0)


def jobs(value: Any) -> int | None:
    """How many processes: a whole number but 0, as joblib counts them; or None."""
    number = None if value is None else _whole(value)
    if value is not None and not number:
        raise ValueError(
            f"jobs must be a number of processes, at least 1, or -1 for one on each core; received "
            f"{_shown(value)}."
        )
    return number


def positive(name: str, value: Any) -> None:
    """A finite number above 0: a length, a rate, a width."""
    if not 0 < _number(value) < np.inf:
        raise ValueError(f"{name} must be a finite number above 0; received {_shown(value)}.")


def not_negative(name: str, value: Any) -> None:
    """A finite number, at least 0."""
    if not 0 <= _number(value) < np.inf:
        raise ValueError(f"{name} must be a finite number, at least 0; received {_shown(value)}.")


def number(name: str, value: Any) -> None:
    """Any finite number."""
    if not np.isfinite(_number(value)):
        raise ValueError(f"{name} must be a finite number; received {_shown(value)}.")


def share(name: str, value: Any) -> None:
    """A number between 0 and 1, neither of them."""
    if not 0 < _number(value) < 1:
        raise ValueError(f"{name} must be a share between 0 and 1; received {_shown(value)}.")


def choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of some words."""
    if not (isinstance(value, str) and value in choices):
        *first, last = map(repr, choices)
        known = f"{', '.join(first)} or {last}" if first else last
        raise ValueError(f"{name} must be {known}; received {_shown(value)}.")


def finite(name: str, values: ArrayLike) -> None:
    """Neither NaN nor infinity anywhere."""
    if not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"{name} must be finite; received NaN or infinity.")


def floating(dtype: np.dtype) -> np.dtype:
    """A dtype of NumPy's that holds real numbers, whole ones too; TypeError for another."""
    if dtype.kind not in "fiu" and dtype.name != "bfloat16":
        raise TypeError(f"{dtype.name} holds no real numbers")
    return dtype


def array(name: str, value: Any, *, text: bool = False) -> np.ndarray:
    """Numbers as an array of their own dtype, or text where it may be; no lists of unequal lengths."""
    try:
        found = None if value is None else np.asarray(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.dtype.kind in ("O" if text else "OSU"):
        raise ValueError(f"{name} must be numbers; received {called(value)}.")
    return found


def floats(name: str, value: Any) -> np.ndarray:
    """Real numbers of any shape as an array of float64."""
    found = None
    if value is not None and not isinstance(value, (str, bytes)):
        with contextlib.suppress(TypeError, ValueError):
            found = np.asarray(value, np.float64)
    if found is None:
        raise ValueError(f"{name} must be real numbers; received {called(value)}.")
    return found


def several(name: str, value: Any) -> list[Any]:
    """What a list, or an array by its rows, holds."""
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, Mapping)):
        with contextlib.suppress(TypeError):  # of an array without axes
            return list(value)
    raise ValueError(f"{name} must be several, in a list or as rows; received {called(value)}.")


def numbers(name: str, value: Any, dtype: tf.DType) -> tf.Tensor:
    """Real numbers of any type as a tensor of a floating dtype: arrays, lists, tensors, variables."""
    import tensorflow as tf

    if tf.is_tensor(value) and value.dtype == dtype:
        return tf.convert_to_tensor(value)
    found = None
    try:
        # Not lists, which TensorFlow would round to float32.
        array = value if tf.is_tensor(value) else np.asarray(value)
        found = tf.convert_to_tensor(array) if array.dtype != object else None
    except NotImplementedError:  # a list of tensors in a graph
        found = tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        pass
    if found is None or not (found.dtype.is_floating or found.dtype.is_integer):
        raise ValueError(f"{name} must be real numbers; received {called(value)}.")
    return tf.cast(found, dtype)


def called(value: Any) -> str:
    """What was received in place of something else, in words: "a path", "the model 'sequential'"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, (str, os.PathLike)):
        return f"the text or path {str(value)!r}"
    if hasattr(value, "trainable_variables"):
        line = "its weights as a point are landscape.space.read(model)"
        return f"the model {getattr(value, 'name', '')!r} ({line})"
    if hasattr(value, "hessian_product"):
        return f"a landscape, {type(value).__name__}"
    if isinstance(value, (list, tuple)) and any(map(_is_object, value[:1])):
        return f"a list of which the first is {called(value[0])}"
    dtype = getattr(value, "dtype", None)
    kind = type(value).__name__
    if dtype is not None:
        return f"{kind} of {getattr(dtype, 'name', dtype)}"
    return " ".join(reprlib.repr(value).split())


def _is_object(value):
    """Whether a value is a model or a landscape, which are called by what they are."""
    return hasattr(value, "trainable_variables") or hasattr(value, "hessian_product")


def a_landscape(value: Any, name: str = "landscape") -> None:
    """Something that is a landscape, not a model or a theta."""
    if not hasattr(value, "hessian_product"):
        hint = ""
        if hasattr(value, "trainable_variables"):
            hint = " A model is made one by wedges.NetworkLandscape(model, x, y, seed=0)."
        raise ValueError(f"{name} must be a wedges.Landscape; received {type(value).__name__}.{hint}")


def a_subspace(value: Any, name: str = "subspace") -> None:
    """Something that is an affine subspace, not the vectors that span one."""
    if not hasattr(value, "embed"):
        raise ValueError(f"{name} must be a wedges.AffineSubspace; received {type(value).__name__}.")


def a_path(value: Any, name: str = "path") -> None:
    """The path of a file or folder, as text or a `pathlib.Path`."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} must be a path; received {called(value)}.")


def made(name: str, value: Any, attribute: str, what: str) -> None:
    """A thing that is known by an attribute, and is called `what`: "a wedges.Connector"."""
    if isinstance(value, type) or not hasattr(value, attribute):
        raise ValueError(f"{name} must be {what}; received {called(value)}.")


def one_point(
    landscape: Landscape, theta: ArrayLike, *, infinite: bool = False, name: str = "theta"
) -> tf.Tensor:
    """One point [D] of a landscape's space, as a tensor of its dtype; finite, unless it need not be."""
    a_landscape(landscape)
    point = landscape.point(theta, name)
    if point.shape.rank != 1:
        raise ValueError(
            f"{name} must be one point [{landscape.dimension}]; received shape {tuple(point.shape)}."
        )
    if not infinite:
        finite(name, point)
    return point


def two_points(landscape: Landscape, **ends: ArrayLike) -> np.ndarray:
    """Two different finite points of a landscape, by what they are called: [2, D] of its dtype."""
    a_landscape(landscape)
    found = []
    for name, end in ends.items():
        point = numbers(name, end, landscape.dtype)
        if point.shape != (landscape.dimension,):
            raise ValueError(
                f"{name} must be a point [{landscape.dimension}] of this landscape; received shape "
                f"{tuple(point.shape)}. Networks of different kinds have no common space."
            )
        finite(name, point)
        found.append(np.asarray(point))
    if np.array_equal(found[0], found[1]):
        first, second = ends
        raise ValueError(f"{second} must be another point than {first}; received the same point twice.")
    return np.stack(found)


def warn_of_statistics(landscape: Landscape) -> None:
    """Warn of batch norm whose statistics are one model's, whatever theta they are measured at.

    For functions that a user calls: the warning is of the line that called them.
    """
    core = landscape.core
    own = getattr(getattr(core, "network", None), "has_batch_norm", False)
    if own and getattr(core, "batch_norm", "") == "frozen":
        warnings.warn(
            "the landscape's batch norm has the statistics of one model, and all are measured with "
            'them: make it with batch_norm="reestimate".',
            stacklevel=3,
        )


def on_a_line(losses: ArrayLike) -> np.ndarray:
    """Losses on a line [..., T], T at least 2."""
    losses = array("losses", losses)
    if losses.ndim == 0 or losses.shape[-1] < 2 or losses.dtype.kind not in "fiu":
        raise ValueError(
            "losses must be numbers [..., T], T >= 2, or a line; received "
            f"{losses.dtype} {losses.shape}."
        )
    return losses


def rises(t: ArrayLike, count: int) -> bool:
    """Whether t is [count] numbers that rise from 0 to 1."""
    t = np.asarray(t)
    known = t.shape == (count,) and t.dtype.kind in "fiu"
    return bool(known and t[0] == 0 and t[-1] == 1 and np.all(t[1:] > t[:-1]))


def standard_error(samples: ArrayLike) -> float:
    """The standard error of the mean of samples [S], their deviation over sqrt(S); NaN with one."""
    samples = np.asarray(samples)
    return np.std(samples, ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else np.nan


def _shown(value: Any) -> str:
    """What the caller wrote, in one line: 1.5, not np.float64(1.5)."""
    line = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    return line if len(line) <= _LONGEST else called(value)


def is_number(value: Any) -> bool:
    """Whether the value is one number, NaN and infinity among them, and no text of one."""
    try:
        return not isinstance(value, (str, bytes)) and np.ndim(value) == 0 and float(value) is not None
    except (TypeError, ValueError):
        return False


def _number(value: Any) -> float:
    """The value, if it is one number; NaN, which no range holds, if it is not."""
    return float(value) if is_number(value) else np.nan
