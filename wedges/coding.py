"""Weights as a stream of bytes, and how short one can be: quantised, then coded by a standard coder.

    compressed_size   bytes of a model's stream
    encode, decode    the stream, and the weights that come back from it
    quantize          whole numbers and a step in the place of an array
    entropy           bits a number that a coder needs at least, by how often each value occurs

The quantiser: each array w of two or more axes by itself, uniform and symmetric,

    step = max |w| / (2^(bits - 1) - 1),    codes = round(w / step),    w ~ step codes

so that zeros stay zeros. Arrays of fewer axes (biases, normalisations and their statistics, counters in
whole numbers) are kept as they are. The stream holds, little-endian throughout:

    4 bytes "wdg1", 1 byte number of the coder, 1 byte bits, 4 bytes number of arrays
    of each array 1 byte dtype, 1 byte axes, 4 bytes each length, and 8 bytes step if it is quantised
    8 bytes length of the codes, coded: of all arrays in turn, 1 byte each (2 above 8 bits), by the coder
    the numbers that are kept as they are, by the coder

All of that counts. Coders are those of Python's standard library at their strongest: "zlib" (level 9),
"bz2" (level 9), "lzma" (the xz format, preset 9, extreme).
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wedges import _checks
from wedges._repr import short

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike

CODERS = ("zlib", "bz2", "lzma")
_MAGIC = b"wdg1"
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_DTYPES = (*_FLOATS, *(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)))
_FEWEST_AXES = 2  # of what is quantised


class Quantized(NamedTuple):
    """Whole numbers and a step in the place of an array, step codes."""

    codes: np.ndarray  # int8, or int16 above 8 bits, of the array's shape
    step: float

    def __repr__(self) -> str:
        return short(self)


def quantize(w: ArrayLike, bits: int = 8) -> Quantized:
    """The nearest multiples of a step, which the largest magnitude decides: a `Quantized`.

        step = max |w| / (2^(bits - 1) - 1),    |w - step codes| <= step / 2

    >>> wedges.coding.quantize([[1.27, -0.634], [0.004, 0.0]])
    Quantized(codes=[2, 2] from -63 to 127, step=0.01)

    Args:
      w: finite numbers of any shape.
      bits: from 2, which leaves -1, 0 and 1, to 16.

    Raises:
      ValueError: bits out of range, numbers that are not floating or not finite.
    """
    bits = _checks.whole("bits", bits, 2, 16)
    w = _floating("w", w)
    levels = 2 ** (bits - 1) - 1
    largest = float(np.abs(w.astype(np.float64)).max(initial=0.0))
    step = largest / levels
    if largest and not 0 < step * levels < np.inf:  # at the ends of what float64 can hold
        step = float(np.nextafter(step, 0.0 if step else 1.0))
    codes = np.zeros(w.shape) if step == 0 else np.rint(w.astype(np.float64) / step)
    return Quantized(np.clip(codes, -levels, levels).astype(_kind(bits)), step)


def compressed_size(model: keras.Model | Sequence[ArrayLike], bits: int = 8, coder: str = "lzma") -> int:
    """How many bytes the weights of a model take, quantised and coded: the length of `encode`'s stream.

    >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(50, use_bias=False)])
    >>> dense = wedges.compressed_size(model)
    >>> model.set_weights([np.where(np.arange(50) < 5, w, 0) for w in model.get_weights()])
    >>> 4000 < dense < 5200, wedges.compressed_size(model) < dense / 4
    (True, True)

    Args:
      model: a built Keras model, all of its weights, trained or not; or a list of arrays.
      bits: of the quantiser, from 2 to 16.
      coder: "zlib", "bz2" or "lzma".

    Raises:
      ValueError: a model that is not built, weights of two or more axes that are not floating, weights
        that are no finite numbers, bits out of range, an unknown coder.
    """
    return len(encode(model, bits, coder))


def encode(model: keras.Model | Sequence[ArrayLike], bits: int = 8, coder: str = "lzma") -> bytes:
    """The weights of a model as a stream of bytes, from which `decode` makes the quantised ones again.

    Args:
      model, bits, coder: as for `compressed_size`.

    Raises:
      ValueError: as for `compressed_size`.
    """
    bits = _checks.whole("bits", bits, 2, 16)
    _checks.choice("coder", coder, CODERS)
    header = [_MAGIC, b""]
    codes, kept = [], []
    weights = _weights(model)
    for w in weights:
        header.append(struct.pack(f"<BB{w.ndim}I", _DTYPES.index(w.dtype.name), w.ndim, *w.shape))
        if w.ndim < _FEWEST_AXES:
            kept.append(_little(w).tobytes())
            continue
        found = quantize(w, bits)
        header.append(struct.pack("<d", found.step))
        codes.append(found.codes.tobytes())
    header[1] = struct.pack("<BBI", CODERS.index(coder), bits, len(weights))
    coded = _coded(b"".join(codes), coder)
    return b"".join([*header, struct.pack("<Q", len(coded)), coded, _coded(b"".join(kept), coder)])


def decode(stream: bytes) -> list[np.ndarray]:
    """The arrays of a stream, in order: for `model.set_weights`. Quantised ones are step codes.

    >>> weights = [np.float32([[1.27, -0.63], [0.0, 0.01]]), np.float32([0.5])]
    >>> [w.tolist() for w in wedges.coding.decode(wedges.coding.encode(weights))][1]
    [0.5]

    Raises:
      ValueError: bytes that are no such stream, or not all of one.
    """
    damages = (struct.error, zlib.error, lzma.LZMAError, OSError, EOFError, IndexError, TypeError)
    try:
        return _decoded(memoryview(stream))
    except (*damages, ValueError) as error:
        raise ValueError(
            f"stream must be one that encode has made, whole; received another ({error})."
        ) from None


def _decoded(stream):
    if bytes(stream[:4]) != _MAGIC:
        raise TypeError("it begins otherwise")
    number, bits, count = struct.unpack_from("<BBI", stream, 4)
    coder, at, arrays = CODERS[number], 10, []
    for _ in range(count):
        dtype, axes = struct.unpack_from("<BB", stream, at)
        shape = struct.unpack_from(f"<{axes}I", stream, at + 2)
        at += 2 + 4 * axes
        step = None
        if axes >= _FEWEST_AXES:
            (step,) = struct.unpack_from("<d", stream, at)
            at += 8
        arrays.append((_dtype(_DTYPES[dtype]), shape, step))
    (length,) = struct.unpack_from("<Q", stream, at)
    at += 8
    blocks = [stream[at : at + length], stream[at + length :]]
    codes, kept = (_read(bytes(block), coder) for block in blocks)
    wanted = sum(_count(s) * _kind(bits).itemsize for _, s, step in arrays if step is not None)
    more = sum(_count(s) * d.itemsize for d, s, step in arrays if step is None)
    if (len(codes), len(kept)) != (wanted, more):
        raise TypeError("its parts have other lengths")
    found, places = [], [0, 0]
    for dtype, shape, step in arrays:
        block, i = (kept, 1) if step is None else (codes, 0)
        stored = dtype.newbyteorder("<") if step is None and dtype.kind in "fiu" else dtype
        stored = stored if step is None else _kind(bits)
        values = np.frombuffer(block, stored, _count(shape), places[i])
        places[i] += values.nbytes
        values = values if step is None else values * step
        found.append(values.reshape(shape).astype(dtype))
    return found


def entropy(codes: ArrayLike) -> float:
    """-sum_v p_v log2 p_v, p_v how often the value v occurs among `codes`: bits a number.

    >>> wedges.coding.entropy([0, 0, 1, 2])
    1.5

    Raises:
      ValueError: no numbers at all.
    """
    codes = _checks.array("codes", codes).ravel()
    if not codes.size:
        raise ValueError("codes must be one number or more; received none.")
    counts = np.unique(codes, return_counts=True)[1]
    p = counts / codes.size
    return float(-np.sum(p * np.log2(p)) + 0.0)


def _weights(model):
    """The arrays of a model or of a list, checked."""
    if not hasattr(model, "get_weights"):
        if isinstance(model, (str, bytes, np.ndarray)) or not isinstance(model, Sequence):
            raise ValueError(
                f"model must be a keras.Model or a list of arrays; received {_checks.called(model)}."
            )
        return [_stored(f"weights[{i}]", w) for i, w in enumerate(model)]
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, so it has no weights yet; call "
            "model.build(input_shape), or the model once on an example."
        )
    return [_stored(f"weight {v.path!r}", v) for v in model.weights]


def _stored(name, w):
    """Floating numbers, or whole ones where they are not quantised."""
    if not isinstance(w, (list, tuple)):
        array = np.asarray(w)
        if array.ndim < _FEWEST_AXES and array.dtype.kind in "iu":
            return array
    return _floating(name, w)


def _floating(name, w):
    try:
        array = np.asarray(w)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.name not in _FLOATS:
        kind = array.dtype.name if array.dtype != object else type(w).__name__
        raise ValueError(f"{name} must be floating numbers, {', '.join(_FLOATS)}; received {kind}.")
    _checks.finite(name, array.astype(np.float64))
    return array


def _dtype(name):
    if name == "bfloat16":
        import ml_dtypes  # which TensorFlow brings

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _little(w):
    return w.astype(w.dtype.newbyteorder("<")) if w.dtype.kind in "fiu" else w


def _kind(bits):
    return np.dtype(np.int8 if bits <= 8 else "<i2")


def _count(shape):
    return int(np.prod(shape, dtype=np.int64))


def _coded(data, coder):
    if coder == "zlib":
        return zlib.compress(data, 9)
    if coder == "bz2":
        return bz2.compress(data, 9)
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _read(data, coder):
    kinds = {"zlib": zlib.decompressobj, "bz2": bz2.BZ2Decompressor, "lzma": lzma.LZMADecompressor}
    reader = kinds[coder]()
    found = reader.decompress(data)
    if not reader.eof or reader.unused_data:
        raise TypeError("a part of it is cut off, or longer than it says")
    return found
