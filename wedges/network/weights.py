"""The trainable weights of a Keras model as one flat vector."""

from __future__ import annotations

import copy
import functools
import itertools
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from wedges import _checks, _keras
from wedges.landscape import Landscape
from wedges.network import filters

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"wedges needs Keras on TensorFlow; received {keras.backend.backend()!r} from Keras's settings. "
        "Set KERAS_BACKEND=tensorflow before importing keras."
    )


class WeightSpace:
    """The trainable weights of a built Keras model as one vector theta in R^D.

    The list of variables is taken once, here: freezing a layer later does not change D. A shared
    layer counts once; a layer frozen now is left out and keeps its present weights.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> space = wedges.WeightSpace(model)
    >>> space.dimension, space.shapes
    (8, [(3, 2), (2,)])
    >>> theta = space.read()
    >>> space.write(0 * theta)

    Args:
      model: any built `keras.Model`.
      variables: of the model, in theta's order; by default those that it trains now.

    Attributes:
      model: as given.
      dimension: D.
      dtype: of the weights and of theta.
      variables: the trainable Keras variables, in theta's order.
      shapes, sizes: of each of them.

    Raises:
      ValueError: the model is not built, has nothing to train, or mixes weight dtypes. (A
        mixed-precision *policy* is fine: its variables are all float32.)
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable] | None = None) -> None:
        if not isinstance(model, keras.Model):
            raise ValueError(f"model must be a keras.Model; received {_instead(model)}.")
        if not model.built:
            raise ValueError(
                f"model {model.name!r} is not built, so it has no weights yet; call "
                "model.build(input_shape), or the model once on an example."
            )
        variables = list(model.trainable_variables if variables is None else variables)
        if not variables:
            raise ValueError(f"model {model.name!r} has no trainable weights.")
        dtypes = {v.path: str(v.dtype) for v in variables}
        if len(set(dtypes.values())) > 1:
            raise ValueError(
                f"model {model.name!r} must keep its trainable weights in one dtype; received "
                f"{dtypes}. Give every layer one variable dtype."
            )
        self.model = model
        self.variables = variables
        self.shapes = [tuple(v.shape) for v in variables]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.dimension = sum(self.sizes)
        self.dtype = tf.as_dtype(variables[0].dtype)
        self._reestimates = False

    def flatten(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """One array for each weight, in the order of `variables` -> theta [D]."""
        return tf.concat([tf.reshape(tf.cast(v, self.dtype), [-1]) for v in values], axis=0)

    def unflatten(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """theta [D] -> one tensor for each weight, in the order of `variables`."""
        # split rather than slices: its gradient is one concat, O(D), not one padded copy a weight.
        parts = tf.split(_checks.numbers("theta", theta, self.dtype), self.sizes)
        return [tf.reshape(p, shape) for p, shape in zip(parts, self.shapes, strict=True)]

    def elsewhere(self) -> tf.Tensor:
        """A theta [D] near the model's own with no weight of 0 or NaN, so that all it does shows."""
        moved = []
        for k, value in enumerate(self.unflatten(self.read())):
            value = tf.where(tf.math.is_finite(value), value, tf.zeros_like(value))
            noise = tf.random.stateless_normal(value.shape, [k, 1], dtype=value.dtype)
            size = tf.sqrt(tf.reduce_mean(tf.square(value))) if tf.size(value) else 0.0
            moved.append(value + tf.maximum(tf.cast(0.3 * size, value.dtype), 0.05) * noise)
        return self.flatten(moved)

    @functools.cached_property
    def layers(self) -> dict[str, np.ndarray]:
        """Where each layer's weights stand in theta: {path of the layer: indices}, in theta's order.

        Layers of one path, as in two models with a layer of one name, are numbered on: "fc", "fc_1".

        >>> end = keras.layers.Dense(1, name="end")
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="start"), end])
        >>> wedges.WeightSpace(model).layers["end"]
        array([6, 7, 8])
        """
        ends = np.cumsum([0, *self.sizes])
        found: dict[int, list[np.ndarray]] = {}
        paths: dict[int, str] = {}
        for v, start, end in zip(self.variables, ends[:-1], ends[1:], strict=True):
            owner = self._owners.get(id(v), self.model)
            found.setdefault(id(owner), []).append(np.arange(start, end))
            paths.setdefault(id(owner), v.path.rpartition("/")[0] or owner.name)
        named: dict[str, np.ndarray] = {}
        for owner, parts in found.items():
            known = {*named, *paths.values()}
            fresh = (f"{paths[owner]}_{i}" for i in itertools.count(1))
            name = (
                paths[owner] if paths[owner] not in named else next(n for n in fresh if n not in known)
            )
            named[name] = np.concatenate(parts)
        return named

    @functools.cached_property
    def filters(self) -> np.ndarray:
        """The filter of each component of theta, [D] whole numbers; -1 for what belongs to none.

        What one output channel of a kernel is made with:

            Dense, all convolutions, separable ones twice   an output channel
            DepthwiseConv                                   an input channel and multiplier
            EinsumDense                                     an index of the output that the kernel has
            SimpleRNN, LSTM, GRU, ConvLSTM                  a unit in one gate, of either kernel
            MultiHeadAttention, GroupQueryAttention         a dimension of a head: a column of query, key
                                                            and value, a row of the output's kernel
            Embedding                                       a row
            low-rank updates (LoRA)                         one of the rank's, in both factors

        Biases, normalisations and PReLU's slopes are -1, as are all vectors and scalars. In layers of
        your own a filter is one place of a weight's last axis (the first axis, if the weight is called
        "embeddings"), unless it is called bias, gamma, beta or something_bias; where that is not what
        a filter is there, change the numbers before they go to `wedges.filter_normalized`.
        """
        heads = filters.outputs_of_heads(self.model)
        owned = [self._owners.get(id(v)) for v in self.variables]
        along = [
            filters.axes(layer, v.name, len(shape), reads_heads=id(layer) in heads)
            for layer, v, shape in zip(owned, self.variables, self.shapes, strict=True)
        ]
        return filters.numbered(self.shapes, along)

    @functools.cached_property
    def _owners(self):
        return filters.owners(self.model)

    def read(self, model: keras.Model | None = None) -> tf.Tensor:
        """The present weights of the model, or of another one of the same weights, theta [D].

        Only what is trained is in theta. Where another model differs in more, this says so in a
        warning: its batch-norm statistics, which a landscape with batch_norm="reestimate" finds anew at
        every theta and one with "frozen" takes from its own model, and weights that are not trained.

        Raises:
          ValueError: another model whose weights have other shapes, dtypes or order.
        """
        if model is None:
            return self.flatten([v.value for v in self.variables])
        other = WeightSpace(model)
        if other.shapes != self.shapes or other.dtype != self.dtype:
            pairs = itertools.zip_longest(self.shapes, other.shapes, fillvalue="none")
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
            first = lambda s: (s.variables[at].path, s.shapes[at]) if at < len(s.shapes) else "none"
            raise ValueError(
                f"model {model.name!r} must have the weights of {self.model.name!r} to be a point of "
                f"its landscape; weight number {at} is {first(other)} instead of {first(self)}, dtype "
                f"{other.dtype.name} and {self.dtype.name}."
            )
        self._warn_of_what_is_left(model)
        return other.read()

    def under(self, *, reestimates: bool) -> WeightSpace:
        """The same space, of a landscape that re-estimates batch-norm statistics or does not."""
        space = copy.copy(self)
        space._reestimates = reestimates
        return space

    def _warn_of_what_is_left(self, model):
        """Say what of another model is not in theta and not as in this model."""
        of = lambda m: [v for v in m.non_trainable_weights if v.dtype != "uint32"]  # without seeds
        normal = {
            id(v)
            for layer in _keras.flat_layers(model)
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            for v in (layer.moving_mean, layer.moving_variance)
        }
        differ = [
            theirs
            for ours, theirs in zip(of(self.model), of(model), strict=False)
            if not np.array_equal(ours, theirs)
        ]
        if any(id(v) in normal for v in differ) and not self._reestimates:
            warnings.warn(
                f"model {model.name!r} has other batch-norm statistics than {self.model.name!r}, which "
                'theta does not hold: a landscape with batch_norm="frozen" sees it with the wrong ones. '
                'Use batch_norm="reestimate", at the cost of one more pass over the data at each theta.',
                stacklevel=3,
            )
        if rest := [v.path for v in differ if id(v) not in normal]:
            warnings.warn(
                f"model {model.name!r} differs from {self.model.name!r} in weights that are not trained "
                f"and that theta does not hold: {', '.join(rest)}.",
                stacklevel=3,
            )

    def write(self, theta: TensorLike) -> None:
        """Assign theta [D] to the model's weights.

        Raises:
          ValueError: theta of another shape.
        """
        theta = _checks.numbers("theta", theta, self.dtype)
        if theta.shape != (self.dimension,):
            raise ValueError(
                f"theta must have shape ({self.dimension},) for model {self.model.name!r}; "
                f"received {tuple(theta.shape)}."
            )
        for variable, value in zip(self.variables, self.unflatten(theta), strict=True):
            variable.assign(value)

    def __repr__(self) -> str:
        count = len(self.variables)
        return (
            f"WeightSpace(model {self.model.name!r}, D = {self.dimension:,} in {count} "
            f"weight{'s' * (count != 1)} of {self.dtype.name})"
        )


def _instead(model):
    """What was received in place of a model, and what to do with it."""
    if isinstance(model, (str, os.PathLike)):
        return "a path: load it with keras.saving.load_model"
    if isinstance(model, Landscape):
        core = model.core
        hint = ": its model is landscape.space.model" if hasattr(core, "space") else ""
        return f"a landscape, {type(model).__name__}{hint}"
    if isinstance(model, WeightSpace):
        return "a WeightSpace: its model is space.model"
    if isinstance(model, keras.Layer):
        kind = type(model).__name__
        return f"a layer, {kind}: put it into a model, e.g. keras.Sequential([layer])"
    return type(model).__name__
