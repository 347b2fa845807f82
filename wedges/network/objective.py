"""What a compiled Keras model minimises, in a form that adds up over batches of any size.

Keras' loss of a batch is

    sum_o c_o Loss_o(y_o, outputs_o, w_o) + what layers add [+ regularisers]

over the model's outputs o, c_o the `loss_weights`. Keras' own loss container says which loss is for
which output, each loss says what every position of its output costs, and masks and weights of examples
join as Keras joins them. What is done here is the last step alone, Keras' division: a masked mean over
all examples is the sum over all of them, divided by the number of all positions that count, and not a
mean over batches of such means.
"""

from __future__ import annotations

import contextvars
import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import as_one_replica
from wedges.network.batches import share


class Term(NamedTuple):
    """The loss of one output on a batch, before its `loss_weights`.

    Attributes:
      loss: the object that computed it.
      output: the output it is of.
      target: its targets.
      value: Keras' own number for the batch, [].
      divisor: what Keras divided a sum by, and what adds up over batches: [] or a number; None for a
        plain mean over the batch's examples, which counts by their number; 0 where nothing was divided,
        and values add up themselves.
      weights: what each position counted, shaped as the positions; None where all count alike.
    """

    loss: keras.losses.Loss
    output: tf.Tensor
    target: Any
    value: tf.Tensor
    divisor: tf.Tensor | int | None
    weights: tf.Tensor | None


# What is done with each term of the loss that is being computed.
_TAKE: contextvars.ContextVar[Callable[[Term], tf.Tensor]] = contextvars.ContextVar("take")


class Objective:
    """The loss of a model's outputs.

    Args:
      model: compiled, or anything where `loss` is given.
      loss: a Keras loss, by name, object or function, or a list or dict of them for the outputs; None
        takes what the model was compiled with, an overridden `compute_loss` included.
      loss_weights: of the outputs, as compile() takes them; None takes those of the model where the
        loss is the model's, too.
      dtype: of theta; losses are computed in it, but at least in Keras' `floatx`.
      warn: of steps of the model's own that a landscape cannot follow.

    Attributes:
      loss: what it was made of: a loss object or a structure of losses; None where layers add all.
      own: whether the model's overridden `compute_loss` decides.

    Raises:
      ValueError: nothing to minimise.
    """

    def __init__(
        self, model: keras.Model, loss: Any, loss_weights: Any, dtype: tf.DType, *, warn: bool = True
    ) -> None:
        given, compiled = loss, _keras.compiled_loss(model)
        if loss is None:
            loss, loss_weights = compiled[0], compiled[1] if loss_weights is None else loss_weights
        self.model = model
        self.own = given is None and _keras.overrides(model, "compute_loss")
        self.loss, self.loss_weights = _resolved(loss), loss_weights
        self.dtype = dtype if dtype == tf.float64 else tf.as_dtype(keras.config.floatx())
        if given is None and warn:
            self._warn_of_own_steps()

    @classmethod
    def compiled(cls, model: keras.Model) -> Objective:
        """What a model was compiled with, whatever else it does in its steps."""
        return cls(model, None, None, tf.float32, warn=False)

    def __str__(self) -> str:
        """What it is called: the losses' names."""
        if self.own:
            return "compute_loss()"
        names = [_name(loss) for loss in keras.tree.flatten(self.loss) if loss is not None]
        return ", ".join(dict.fromkeys(names)) or "losses that layers add"

    def terms(self, batch: Any, outputs: Any) -> list[Term]:
        """The losses of all outputs on a batch (x, y, w), one after another."""
        return self._combined(batch, outputs, lambda term: tf.zeros([], self.dtype))[1]

    def losses_of(self, outputs: Any) -> list[Any]:
        """The loss of each of the outputs, in their flat order; None for one without."""
        found: list[tuple[tf.Tensor, Any]] = []

        def take(loss, output):
            found.append((output, loss))
            return tf.zeros([], self.dtype)

        if self.loss is not None:
            wrap = lambda loss: None if loss is None else _Which(loss, take)
            # Targets of the same structure, which nobody reads.
            self._sum_of(wrap)(outputs, outputs, None)
        return [
            next((loss for output, loss in found if output is z), None) for z in tf.nest.flatten(outputs)
        ]

    def value(self, batch: Any, outputs: Any, *, training: bool, parts: int = 1) -> tf.Tensor:
        """Keras' number for a batch, [], without what layers add. Call it where the model was called.

        For one of several `parts` of a batch, all of one size, the number whose mean over the parts is
        that of the batch, a plain mean over examples or a sum.
        """
        if self.own:
            x, y, w = map(_none, batch)
            with as_one_replica():
                loss = _keras.own_loss(self.model, x, y, outputs, w, training)
            return tf.cast(loss, self.dtype)
        summed = lambda term: isinstance(term.divisor, int)  # nothing was divided
        number = lambda term: parts * term.value if parts > 1 and summed(term) else term.value
        return self._combined(batch, outputs, number)[0]

    def part(
        self, batch: Any, outputs: Any, totals: list[tf.Tensor | int | None], size: int
    ) -> tf.Tensor:
        """What a batch adds to the loss of all examples, [].

        Args:
          batch, outputs: (x, y, w), and what the model makes of x.
          totals: the divisors of all examples, one for each term.
          size: N, how many examples there are.
        """
        left = list(totals)
        of_batch = share(batch, size, self.dtype)

        def scaled(term):
            total = left.pop(0)
            if term.divisor is None:
                return of_batch * term.value
            if isinstance(term.divisor, int):  # nothing was divided
                return term.value
            return tf.math.divide_no_nan(term.value * term.divisor, total)

        return self._combined(batch, outputs, scaled)[0]

    def _combined(self, batch, outputs, number: Callable[[Term], tf.Tensor]):
        """Keras' combination of number(term) over the outputs, [], and the terms."""
        if self.loss is None:
            return tf.zeros([], self.dtype), []
        _, y, w = batch
        terms = list[Term]()  # an annotated name cannot be nonlocal, which AutoGraph makes it

        def take(term):
            terms.append(term)
            return number(term)

        reset = _TAKE.set(take)
        try:
            y, w = (_alone(_none(part), outputs) for part in (y, w))
            return self._sum(y, outputs, w), terms
        finally:
            _TAKE.reset(reset)

    @functools.cached_property
    def _sum(self):
        # One for all calls: it makes variables, in its first call, which a graph may not do twice.
        return self._sum_of(lambda loss: None if loss is None else _Read(loss, self.dtype))

    def _sum_of(self, wrap):
        losses = keras.tree.map_structure(wrap, self.loss)
        names = getattr(self.model, "output_names", None)
        return _keras.LossOfOutputs(losses, self.loss_weights, names, self.dtype.name)

    def _warn_of_own_steps(self):
        steps = _keras.own_steps(self.model)
        if not steps:
            return
        used = "the loss of compile()" if self.loss is not None else "what its layers add"
        model, own = self.model, " and ".join(steps)
        warnings.warn(
            f"model {model.name!r} ({type(model).__name__}) overrides {own}, which a landscape cannot "
            f"follow: its loss is {'that of its compute_loss()' if self.own else used}."
            + ("" if self.own else " Override compute_loss() instead."),
            stacklevel=5,
        )


class _Which(keras.losses.Loss):
    """A loss that tells which output it is of."""

    def __init__(self, loss: Any, take: Callable[[Any, tf.Tensor], tf.Tensor]) -> None:
        super().__init__(name=_name(loss))
        self._loss, self._take = loss, take

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        return self._take(_keras.resolved_loss(self._loss, y_true, y_pred), y_pred)


class _Read(keras.losses.Loss):
    """A loss that hands what it computes to `_TAKE`, and returns what comes back."""

    def __init__(self, loss: Any, dtype: tf.DType) -> None:
        super().__init__(name=_name(loss), dtype=dtype.name)
        self._loss, self._as = loss, dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        loss = _keras.resolved_loss(self._loss, y_true, y_pred)
        cast = lambda t: t if t.dtype == self._as else tf.cast(t, self._as)
        mask = _keras.mask_of(y_pred)
        y, z = (tf.nest.map_structure(cast, t) for t in (y_true, y_pred))
        opaque = type(loss).__call__ is not keras.losses.Loss.__call__
        losses = None if opaque else loss.call(y, z)
        if losses is None or losses.shape.rank == 0 or not _one_each(losses, z):
            with as_one_replica():
                value = tf.reduce_mean(cast(loss(y, _keras.masked(z, mask), sample_weight)))
            return _TAKE.get()(Term(loss, y_pred, y_true, value, None, None))
        masks = [m for m in (mask, _keras.mask_of(losses)) if m is not None]
        if len(masks) == 2:
            masks = [tf.cast(masks[0], tf.bool) & tf.cast(masks[1], tf.bool)]
        mask = cast(masks[0]) if masks else None
        weight = None if sample_weight is None else cast(sample_weight)
        term = self._reduced(loss, cast(losses), weight, mask)
        return _TAKE.get()(Term(loss, y_pred, y_true, *term))

    def _reduced(self, loss, losses, weight, mask):
        """Value, divisor and weights of the positions, as Keras reduces losses [B, ...]."""
        losses, weights = _keras.aligned_weights(losses, weight, mask)
        if weights is None:
            if loss.reduction == "sum":
                return tf.reduce_sum(losses), 0, None
            return tf.reduce_mean(losses), None, None
        weighed = losses * weights
        everywhere = tf.broadcast_to(weights, tf.shape(weighed))
        if loss.reduction == "sum":
            return tf.reduce_sum(weighed), 0, everywhere
        if loss.reduction == "mean_with_sample_weight":
            divisor = tf.reduce_sum(weights)
        elif mask is None or loss.reduction in (None, "none"):
            return tf.reduce_mean(weighed), None, everywhere
        else:  # as many as the mask leaves, in units of losses
            each = tf.cast(tf.size(weighed) / tf.size(mask), self._as)
            divisor = each * tf.reduce_sum(mask)
        return tf.math.divide_no_nan(tf.reduce_sum(weighed), divisor), divisor, everywhere


def class_weights(y: tf.Tensor, weights: dict[int, float], dtype: tf.DType) -> tf.Tensor:
    """The weight of each example, that of its class, as `fit(class_weight=...)` gives it; else 1.

    y [B], [B, 1] or one-hot [B, C] -> [B].

    Raises:
      ValueError: other targets, or weights that are no dict of numbers by class.
    """
    if not isinstance(weights, dict) or not all(isinstance(k, (int, np.integer)) for k in weights):
        raise ValueError(f"class_weight must be a dict {{class: weight}}; received {weights!r}.")
    if not tf.is_tensor(y) or y.shape.rank not in (1, 2):
        raise ValueError(
            "class_weight must be for targets of one class each, [N] or one-hot [N, C]; received "
            f"{f'shape {tuple(y.shape)}' if tf.is_tensor(y) else 'several'}. Use sample_weight."
        )
    if y.shape.rank == 2:
        y = tf.squeeze(y, -1) if y.shape[-1] == 1 else tf.argmax(y, axis=-1)
    y = tf.cast(tf.round(tf.cast(y, tf.float64)), tf.int64)
    found = tf.ones(tf.shape(y), dtype)
    for label, weight in weights.items():
        found = tf.where(y == int(label), tf.cast(weight, dtype), found)
    return found


def _alone(part, outputs):
    """What a list or tuple of one holds, where the model has one output that is in none."""
    one = isinstance(part, (list, tuple)) and len(part) == 1 and tf.is_tensor(outputs)
    return part[0] if one else part


def _none(part):
    """None for what a batch does not have."""
    return None if isinstance(part, tuple) and not part else part


def _resolved(loss):
    """Names as loss objects, but for "crossentropy", which depends on the outputs."""
    later = lambda name: isinstance(name, str) and name.lower() in ("crossentropy", "ce")

    def get(given):
        if given is None or later(given):
            return given
        try:
            return keras.losses.get(given)
        except ValueError as error:
            raise ValueError(
                "loss must be a Keras loss, by name, object or function, or a list or dict of them; "
                f"received {given!r}."
            ) from error

    return keras.tree.map_structure(get, loss)


def _name(loss):
    if isinstance(loss, str):
        return loss
    return getattr(loss, "name", None) or getattr(loss, "__name__", None) or type(loss).__name__


def _one_each(losses, outputs):
    """Whether losses may hold one row for each example."""
    first = tf.nest.flatten(outputs)[0]
    rows, examples = losses.shape[0], first.shape[0]
    return rows is None or examples is None or rows == examples
