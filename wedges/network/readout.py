"""What the outputs of a network and its targets mean: classes, probabilities, or plain numbers.

It follows from the loss of each output, from its class and settings and never from a name: targets of a
cross-entropy are classes, and so are whole numbers where an output has several columns and each example
one target.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from wedges import _keras
from wedges.network.examples import Arrays, Examples
from wedges.network.objective import Objective, Term

if TYPE_CHECKING:
    from wedges.network.problem import Problem

_BINARY = (keras.losses.binary_crossentropy, keras.losses.binary_focal_crossentropy)
_ONE_HOT = (
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.categorical_hinge,
)
_SPARSE = (keras.losses.sparse_categorical_crossentropy,)


class Meaning(NamedTuple):
    """What one output is.

    Attributes:
      kind: "binary", "one-hot", "sparse" as its targets are, or None, which no known loss tells.
      from_logits: whether it holds logits.
    """

    kind: str | None = None
    from_logits: bool = False

    def probabilities(self, output: tf.Tensor) -> tf.Tensor:
        """Logits as probabilities; other outputs as they are."""
        if not self.from_logits:
            return output
        one = self.kind == "binary" or (self.kind is None and output.shape[-1] == 1)
        return tf.sigmoid(output) if one else tf.nn.softmax(output)

    def labels(self, output: tf.Tensor) -> tf.Tensor:
        """The class of the largest column; of one column, whether it is above 1/2 as a probability."""
        if output.shape[-1] == 1:
            return tf.cast(self.probabilities(output)[..., 0] > 0.5, tf.int64)
        return tf.argmax(output, axis=-1)

    def classes(self, y: Any, output: tf.Tensor) -> tf.Tensor | None:
        """The targets as classes, shaped as `labels(output)`; None where they are no classes.

        Those of a binary cross-entropy are whole numbers here; see `Readout.leave_out_shares`.
        """
        if not tf.is_tensor(y):
            return None
        columns = output.shape[-1]
        if columns > 1 and y.shape.rank == output.shape.rank and y.shape[-1] == columns:
            return tf.argmax(y, axis=-1) if self.kind == "one-hot" else None
        whole_numbers = y.dtype.is_integer or y.dtype.is_bool
        if self.kind is None and not (whole_numbers and columns > 1):
            return None
        if self.kind == "binary" and columns > 1:
            return None
        labels = self.labels(output)
        aligned = _without(y.shape) == _without(labels.shape)
        return tf.reshape(tf.cast(y, tf.int64), tf.shape(labels)) if aligned else None


def meaning_of(loss: Any) -> Meaning:
    """What an output is whose loss is this one, a Keras loss object or function or None."""
    function, settings = _keras.loss_function(loss)
    function = loss if function is None else function
    while isinstance(function, functools.partial):
        settings, function = {**function.keywords, **settings}, function.func
    kinds = {"binary": _BINARY, "one-hot": _ONE_HOT, "sparse": _SPARSE}
    for kind, functions in kinds.items():
        if function in functions:
            return Meaning(kind, bool(settings.get("from_logits", False)))
    own = isinstance(loss, keras.losses.Loss) and _keras.loss_function(loss)[0] is None
    return Meaning(None, own and bool(getattr(loss, "from_logits", False)))


class Readout:
    """What the outputs of a model say, beside their targets.

    Args:
      objective: which loss is for which output.
      outputs: of the model, for a few examples.
      terms: of the loss of these.
      dtype: of probabilities and accuracies.
    """

    def __init__(self, objective: Objective, outputs: Any, terms: list[Term], dtype: tf.DType) -> None:
        self.objective, self.dtype = objective, dtype
        self._structure = outputs
        self.meanings = [meaning_of(loss) for loss in objective.losses_of(outputs)]
        found = self._classes(terms, outputs)
        self.counted = [classes is not None for classes, _ in found]

    def probabilities(self, outputs: Any) -> Any:
        """Outputs as class probabilities; one column stays that of class 1."""
        return self._each(lambda m, z: m.probabilities(tf.cast(z, self.dtype)), outputs)

    def labels(self, outputs: Any) -> Any:
        """The predicted class of each position. outputs [N, ..., C] -> [N, ...] int64.

        With several columns the largest; with one whether the probability of class 1 is above 1/2.
        """
        return self._each(lambda m, z: m.labels(z), outputs)

    def hits(self, terms: list[Term], outputs: Any) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """For each output: how many positions are labelled as their targets, and how many count.

        Each weighs what it weighs in the loss. 0 of 0 where targets are no classes.
        """
        pairs = []
        flat = tf.nest.flatten(outputs)
        found = self._classes(terms, outputs)
        rows = zip(self.meanings, flat, found, self.counted, strict=True)
        for meaning, output, (classes, weights), counted in rows:
            if classes is None or not counted:
                pairs.append((tf.zeros([], self.dtype), tf.zeros([], self.dtype)))
                continue
            right = tf.cast(meaning.labels(output) == classes, self.dtype)
            weight = (
                tf.ones_like(right) if weights is None else _spread(tf.cast(weights, self.dtype), right)
            )
            pairs.append((tf.reduce_sum(right * weight), tf.reduce_sum(weight)))
        return pairs

    def accuracy(self, counts: list[tuple[tf.Tensor, tf.Tensor]]) -> Any:
        """Shares of what counts, from the sums of `hits`: one, or as many as the model has outputs.

        None where targets are no classes.
        """
        shares = [h / n if known else None for (h, n), known in zip(counts, self.counted, strict=True)]
        return shares[0] if len(shares) == 1 else tf.nest.pack_sequence_as(self._structure, shares)

    def check(self, problem: Problem, examples: Examples) -> None:
        """Raise ValueError where classes in memory are none that the output has."""
        if not isinstance(examples, Arrays):  # others are not read to be looked at
            return
        outputs = tf.nest.flatten(problem.probed[1])
        rows = zip(self.meanings, outputs, _targets(problem, examples.batch[1]), strict=True)
        for meaning, output, (term, y) in rows:
            if meaning.kind == "sparse" and y is not None:
                ignored = _keras.loss_function(term.loss)[1].get("ignore_class")
                _in_range(y, output.shape[-1], ignored)

    def leave_out_shares(self, problem: Problem, examples: Examples) -> None:
        """Count no accuracy where binary targets are shares between the classes, and no classes.

        Of examples that are not in memory the first few are looked at.
        """
        binary = [k for k, meaning in enumerate(self.meanings) if meaning.kind == "binary"]
        found = _targets(problem, examples.at_hand[1]) if binary else []
        for k in binary:
            y = found[k][1]
            self.counted[k] &= y is None or _is_whole(y)

    def _classes(self, terms, outputs):
        """(classes, weights of the positions) of each output; (None, None) where there are none."""
        found = []
        for meaning, output in zip(self.meanings, tf.nest.flatten(outputs), strict=True):
            term = _term_of(output, terms)
            classes = None if term is None else meaning.classes(term.target, output)
            found.append((classes, None if term is None else term.weights))
        return found

    def _each(self, function, outputs):
        flat = [function(m, z) for m, z in zip(self.meanings, tf.nest.flatten(outputs), strict=True)]
        return tf.nest.pack_sequence_as(outputs, flat)


def output_probabilities(model: keras.Model, outputs: Any) -> Any:
    """Outputs of a compiled model, a tensor or a structure of them, with logits as probabilities.

    What follows no known loss stays as it is.
    """
    objective = Objective.compiled(model)
    losses = objective.losses_of(outputs)
    flat = [
        meaning_of(loss).probabilities(z)
        for loss, z in zip(losses, tf.nest.flatten(outputs), strict=True)
    ]
    return tf.nest.pack_sequence_as(outputs, flat)


def _term_of(output, terms):
    """The term of the loss that is of this output; None where it has none."""
    return next((term for term in terms if term.output is output), None)


def _targets(problem, y):
    """The term of the loss that is of each output, and its targets among these; None for none."""
    batch, outputs, terms = problem.probed
    places = {id(leaf): i for i, leaf in enumerate(tf.nest.flatten(batch[1]))}
    found = []
    for output in tf.nest.flatten(outputs):
        term = _term_of(output, terms)
        at = None if term is None else places.get(id(term.target))
        found.append((term, None if at is None else tf.nest.flatten(y)[at]))
    return found


def _is_whole(y):
    return y.dtype.is_integer or y.dtype.is_bool or bool(tf.reduce_all(y == tf.round(y)))


def _in_range(y, columns, ignored):
    """Raise ValueError where y holds a class outside of [0, columns) that is not ignored."""
    y = tf.cast(y, tf.int64)
    wrong = (y < 0) | (y >= columns)
    if ignored is not None:
        wrong &= y != int(ignored)
    found = tf.boolean_mask(y, wrong)
    if tf.size(found):
        raise ValueError(
            f"y must hold classes from 0 to {columns - 1}, the columns of the output; received "
            f"{int(found[0])}."
        )


def _without(shape):
    """A shape without its axes of length 1 after the first."""
    return [shape[0], *(n for n in shape[1:] if n != 1)]


def _spread(weights, positions):
    """Weights shaped as positions, those of an example being those of all its positions."""
    if weights.shape.rank == positions.shape.rank:
        return tf.broadcast_to(weights, tf.shape(positions))
    if weights.shape.rank < positions.shape.rank:
        more = [1] * (positions.shape.rank - weights.shape.rank)
        return tf.broadcast_to(
            tf.reshape(weights, [*tf.unstack(tf.shape(weights)), *more]), tf.shape(positions)
        )
    return tf.reshape(weights, tf.shape(positions))
