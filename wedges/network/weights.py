"""The trainable weights of a Keras model as one flat vector."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras

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

    def __init__(self, model: keras.Model) -> None:
        if not isinstance(model, keras.Model):
            raise ValueError(f"model must be a keras.Model; received {type(model).__name__}.")
        if not model.built:
            raise ValueError(
                f"model {model.name!r} is not built, so it has no weights yet; call "
                "model.build(input_shape), or the model once on an example."
            )
        variables = list(model.trainable_variables)
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

    def flatten(self, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """One array for each weight, in the order of `variables` -> theta [D]."""
        return tf.concat([tf.reshape(tf.cast(v, self.dtype), [-1]) for v in values], axis=0)

    def unflatten(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """theta [D] -> one tensor for each weight, in the order of `variables`."""
        # split rather than slices: its gradient is one concat, O(D), not one padded copy a weight.
        parts = tf.split(theta, self.sizes)
        return [tf.reshape(p, shape) for p, shape in zip(parts, self.shapes, strict=True)]

    @functools.cached_property
    def layers(self) -> dict[str, np.ndarray]:
        """Where each layer's weights stand in theta: {path of the layer: indices}, in theta's order.

        >>> end = keras.layers.Dense(1, name="end")
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="start"), end])
        >>> wedges.WeightSpace(model).layers["end"]
        array([6, 7, 8])
        """
        ends = np.cumsum([0, *self.sizes])
        found: dict[str, list[np.ndarray]] = {}
        for v, start, end in zip(self.variables, ends[:-1], ends[1:], strict=True):
            found.setdefault(v.path.rpartition("/")[0], []).append(np.arange(start, end))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    @functools.cached_property
    def filters(self) -> np.ndarray:
        """The filter of each component of theta, [D] whole numbers.

        -1 in vectors and scalars (biases, batch norm), which belong to none.

        The filter axis of a Keras kernel is its last one; of a transposed convolution's the last but
        one; of a depthwise kernel the last two.
        """
        # Leaves come after the models that hold them, so the last layer that has a weight owns it.
        owner = {id(v): layer for layer in _keras.flat_layers(self.model) for v in layer.variables}
        numbers, count = [], 0
        for v, shape in zip(self.variables, self.shapes, strict=True):
            number = np.full(shape, -1)
            if len(shape) > 1:
                axes = self._filter_axes(owner[id(v)], v)
                filters = int(np.prod([shape[a] for a in axes]))
                wide = [n if a - len(shape) in axes else 1 for a, n in enumerate(shape)]
                number = np.broadcast_to(count + np.arange(filters).reshape(wide), shape)
                count += filters
            numbers.append(number.ravel())
        return np.concatenate(numbers)

    @staticmethod
    def _filter_axes(layer: keras.layers.Layer, variable: keras.Variable) -> tuple[int, ...]:
        kinds = keras.layers
        if isinstance(layer, (kinds.Conv1DTranspose, kinds.Conv2DTranspose, kinds.Conv3DTranspose)):
            return (-2,)
        depthwise = isinstance(layer, (kinds.DepthwiseConv1D, kinds.DepthwiseConv2D))
        return (-2, -1) if depthwise or variable.name == "depthwise_kernel" else (-1,)

    def read(self, model: keras.Model | None = None) -> tf.Tensor:
        """The present weights of the model, or of another one of the same weights, theta [D].

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
        return other.read()

    def write(self, theta: TensorLike) -> None:
        """Assign theta [D] to the model's weights.

        Raises:
          ValueError: theta of another shape.
        """
        theta = tf.convert_to_tensor(theta, self.dtype)
        if theta.shape != (self.dimension,):
            raise ValueError(
                f"theta must have shape ({self.dimension},) for model {self.model.name!r}; "
                f"received {tuple(theta.shape)}."
            )
        for variable, value in zip(self.variables, self.unflatten(theta), strict=True):
            variable.assign(value)
