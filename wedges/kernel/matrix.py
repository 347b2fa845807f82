"""The tangent kernel of a network's examples: as a matrix, or as an operator where there are many."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from scipy.sparse.linalg import LinearOperator

from wedges import _checks
from wedges._progress import bar
from wedges.kernel.features import Features, Tangents
from wedges.kernel.gram import gram
from wedges.landscape import Landscape
from wedges.network import NetworkLandscape

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

_BLOCK = 2**28  # bytes that a block of examples takes while its features are computed
_HELD = 2**29  # bytes of features that are held for blocks to come
_SIDE = 1000  # rows of the kernel that a block makes at most


def tangent_kernel(
    landscape: Landscape,
    theta: TensorLike,
    examples: Any = None,
    others: Any = None,
    outputs: str = "all",
) -> np.ndarray:
    """K = J J^T at theta, J = d outputs / d theta of examples: exact, and J is never held.

        K[(i, k), (j, l)] = (d f_k(x_i) / d theta) . (d f_l(x_j) / d theta)

    The outputs are those of the model: logits, or probabilities if it ends with a softmax. A layer of
    Keras' own (dense, convolution, embedding, normalisation) adds the product of two small Gram
    matrices, of its inputs and of what is propagated back to it, or the Gram matrix of its derivatives,
    whichever is less work. Weights of other layers are differentiated one example at a time, so that any
    model has a kernel. Each formula is tried on a few examples first; where it does not hold, as for a
    weight that two layers share, the slow way is taken. Gram matrices are in float64, of inputs and
    signals in the model's dtype.

    Statistics of batch norm are held at their values at theta.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> landscape = wedges.NetworkLandscape(model, np.eye(2), np.eye(2), "mse", seed=0)
    >>> wedges.tangent_kernel(landscape, np.zeros(4), outputs="trace")  # 2 X X^T
    array([[2., 0.],
           [0., 2.]])

    Args:
      landscape: a `NetworkLandscape`.
      theta: [D], finite.
      examples: the first n of the landscape's, by their number n, or inputs [n, ...]; all of the
        landscape's by default.
      others: inputs [m, ...] for a block between two sets of examples; by default the examples.
      outputs: "all", or "trace" for the sum over k of K[(i, k), (j, k)].

    Returns:
      [n O, m O] float64, O the outputs of an example, whose rows are next to one another; of "trace"
      [n, m]. Without `others` symmetric to the bit.

    Raises:
      ValueError: a landscape that is no network's, a model of several outputs, inputs of another shape,
        a theta with NaN or infinity.

    Source: Jacot et al. 2018 (arXiv:1806.07572); the layers' products, Novak et al. 2022
    (arXiv:2206.08720).
    """
    tangents = tangents_of(landscape)
    _checks.choice("outputs", outputs, ("all", "trace"))
    theta = _checks.one_point(landscape, theta)
    x = inputs_of(tangents.landscape, examples)
    y = x if others is None else inputs_of(tangents.landscape, others, "others")
    traced = outputs == "trace"
    state = tangents.landscape.graphs.state_at(theta)
    rows, columns = (_Blocks(tangents, theta, state, of) for of in (x, y))
    if others is None:
        columns = rows
    each = 1 if traced else tangents.outputs
    kernel = np.empty((rows.size * each, columns.size * each))
    pairs = [
        (i, j)
        for i in range(rows.count)
        for j in _there_and_back(i, columns.count, i if others is None else 0)
    ]
    for i, j in bar(iterable=pairs, desc="tangent kernel", unit="block"):
        found = gram(rows[i], columns[j], traced=traced)
        at, to = (slice(each * s.start, each * s.stop) for s in (rows.at(i), columns.at(j)))
        kernel[at, to] = found
        if others is None:
            kernel[to, at] = found.T if i != j else (found + found.T) / 2
    return kernel


def kernel_operator(landscape: Landscape, theta: TensorLike, examples: Any = None) -> LinearOperator:
    """K v = J (J^T v) of many examples, K never held: two passes over the examples for each v.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> x = np.array([[1.0, 0.0], [3.0, 4.0]], "float32")
    >>> landscape = wedges.NetworkLandscape(model, x, x[:, :1], "mse", seed=0)
    >>> K = wedges.kernel.kernel_operator(landscape, [0.0, 0.0])
    >>> K @ np.array([0.0, 1.0])
    array([ 3., 25.], dtype=float32)

    Args:
      landscape, theta, examples: as of `tangent_kernel`.

    Returns:
      A symmetric SciPy operator [n O, n O] of the landscape's dtype, with rows as of `tangent_kernel`.

    Raises:
      ValueError: as `tangent_kernel`.
    """
    tangents = tangents_of(landscape)
    theta = _checks.one_point(landscape, theta)
    x = inputs_of(tangents.landscape, examples)
    state = tangents.landscape.graphs.state_at(theta)
    n, at_once = _size(x), tangents.landscape.evaluation_batch_size
    parts = [slice(i, min(i + at_once, n)) for i in range(0, n, at_once)]
    cut = [tf.nest.map_structure(lambda t, p=p: t[p], x) for p in parts]
    dtype = theta.dtype.as_numpy_dtype

    def product(v):
        v = tf.reshape(tf.constant(np.asarray(v), theta.dtype), [n, tangents.outputs])
        pulled = tf.add_n(
            [tangents.pullback(theta, state, some, v[p]) for p, some in zip(parts, cut, strict=True)]
        )
        pushed = [tangents.pushforward(theta, state, some, pulled) for some in cut]
        return tf.concat(pushed, axis=0).numpy().ravel()

    size = n * tangents.outputs
    return LinearOperator((size, size), matvec=product, rmatvec=product, dtype=dtype)


# ---- what both need -----------------------------------------------------------------------------------


def tangents_of(landscape: Landscape) -> Tangents:
    """The `Tangents` of a network's landscape, made once.

    Raises:
      ValueError: another landscape.
    """
    _checks.a_landscape(landscape)
    if not isinstance(landscape, NetworkLandscape):
        raise ValueError(
            "landscape must be a NetworkLandscape, the loss of a model's outputs, to have a tangent "
            f"kernel; received {type(landscape).__name__}."
        )
    known = vars(landscape)
    if "_tangents" not in known:
        known["_tangents"] = Tangents(landscape)
    return known["_tangents"]


def inputs_of(landscape: NetworkLandscape, examples: Any, name: str = "examples") -> Any:
    """Inputs [n, ...], or a structure of them: the landscape's own by their number, or as given.

    Raises:
      ValueError: more than there are, or of another shape than the landscape's.
    """
    own = landscape.examples
    if examples is None:
        return own.first(landscape.size)[0]
    if is_number(examples):
        return own.first(_checks.whole(name, examples, 1, landscape.size, limit="N"))[0]
    like = own.first(1)[0]
    leaves = tf.nest.flatten(like)
    several = tf.nest.flatten(examples) if tf.nest.is_nested(like) else [examples]
    try:
        found = [np.asarray(leaf) for leaf in several]
    except ValueError:  # rows of different lengths
        raise ValueError(f"{name} must be arrays; received {_checks.called(examples)}.") from None
    shapes = [leaf.shape[1:] for leaf in found]
    sizes = {len(leaf) if leaf.ndim else 0 for leaf in found}
    if shapes != [tuple(leaf.shape[1:]) for leaf in leaves] or len(sizes) > 1 or not min(sizes):
        wanted = ", ".join(str([*"n", *leaf.shape[1:]]).replace("'", "") for leaf in leaves)
        received = ", ".join(str(leaf.shape) for leaf in found)
        raise ValueError(
            f"{name} must be a number of the landscape's examples, or inputs {wanted}; received shape "
            f"{received}."
        )
    cast = [tf.cast(a, leaf.dtype) for a, leaf in zip(found, leaves, strict=True)]
    return tf.nest.pack_sequence_as(like, cast)


def is_number(examples: Any) -> bool:
    """Whether examples are given by a number, and not as inputs or a structure of them."""
    return not tf.nest.is_nested(examples) and np.ndim(examples) == 0


def _size(x):
    return int(tf.nest.flatten(x)[0].shape[0])


def _there_and_back(i, count, first):
    """Columns of a row of blocks; of every other row backwards, since its end is held already."""
    columns = range(first, count)
    return columns if i % 2 == 0 else reversed(columns)


class _Blocks:
    """The features of n examples, some at a time; a few blocks of them are held."""

    def __init__(self, tangents: Tangents, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> None:
        self._tangents, self._theta, self._state, self._x = tangents, theta, state, x
        self.size = _size(x)
        most = min(_BLOCK // tangents.bytes, _SIDE // tangents.outputs)
        self._length = math.ceil(self.size / math.ceil(self.size / max(1, most)))  # about equal ones
        self.count = math.ceil(self.size / self._length)
        self._held: OrderedDict[int, Features] = OrderedDict()

    def at(self, i: int) -> slice:
        """Which examples are in block i."""
        return slice(i * self._length, min((i + 1) * self._length, self.size))

    def __getitem__(self, i: int) -> Features:
        if i in self._held:
            self._held.move_to_end(i)
            return self._held[i]
        rows, n = self.at(i), self.at(i).stop - self.at(i).start
        # All blocks are of one length, so that one graph serves: the last example fills the last one.
        places = np.minimum(np.arange(rows.start, rows.start + self._length), self.size - 1)
        x = tf.nest.map_structure(lambda t: tf.gather(t, places), self._x)
        found = self._tangents.of(self._theta, self._state, x)
        self._held[i] = found if n == self._length else found.cut(n)
        while len(self._held) > 1 and sum(f.bytes for f in self._held.values()) > _HELD:
            self._held.popitem(last=False)
        return self._held[i]
