"""A model, examples and an objective: what every pass over the data of a network is made of."""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import compiled
from wedges.network.batches import share
from wedges.network.coupling import couples, diverse
from wedges.network.examples import Examples, leading_size, not_finite
from wedges.network.objective import Objective, Term
from wedges.network.stateless import StatelessModel

_INPUTS = re.compile("Layer |Input ")  # how Keras begins a line about inputs
_LONGEST = 300  # characters of what Keras has against examples
_PROBE = 8  # examples that are looked at to see whether each has a loss of its own
# What Keras raises where targets, losses and outputs do not go together.
_MISFITS = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
)


class Problem:
    """The loss of a model over N examples, in microbatches.

    Args:
      network: the model.
      examples: its inputs, targets and weights.
      objective: what of its outputs is minimised.
      regularize: add the losses of the weights' regularisers. What layers add is always part of it.
      reestimate: batch-norm statistics are functions of theta, where the model has any.
      statistics: the examples that they are gathered over.
      evaluation_batch_size: examples in a microbatch.

    Attributes:
      size: N.
      dimension, dtype: of theta.
      reestimates: whether there are batch-norm statistics that are functions of theta.

    Raises:
      ValueError: no loss.
    """

    def __init__(
        self,
        network: StatelessModel,
        examples: Examples,
        objective: Objective,
        *,
        regularize: bool,
        reestimate: bool,
        statistics: Examples,
        evaluation_batch_size: int,
    ) -> None:
        self.network, self.examples, self.objective = network, examples, objective
        self.dimension, self.dtype = network.space.dimension, network.space.dtype
        self.regularize, self.size = regularize, examples.size
        self.statistics = statistics
        self.evaluation_batch_size = evaluation_batch_size
        self.reestimates = reestimate and network.has_batch_norm
        if objective.loss is None and not objective.own and not self._few[2]:
            raise ValueError(
                "loss must be a Keras loss, or a list or dict of them: pass loss=..., or compile the "
                "model with it; received None."
            )

    # ---- a batch --------------------------------------------------------------------------------

    def outputs(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> Any:
        """The model's outputs in inference, each [B, ...] of theta's dtype."""
        return self._cast(self.network(theta, state, x, training=False).outputs)

    def mean_loss(
        self, theta: tf.Tensor, state: list[tf.Tensor], batch: Any, *, training: bool, parts: int = 1
    ) -> tf.Tensor:
        """Keras' loss of a batch (x, y, w), [], regularisers included where they are wanted.

        For one of several `parts` of a batch the number whose mean over the parts is that of the batch.
        """
        with self.network.at(theta, state) as scope:
            call = self.network.call(batch[0], scope, training=training)
            loss = self.objective.value(batch, call.outputs, training=training, parts=parts)
        return self._with_added(loss, call)

    def part(self, theta: tf.Tensor, state: list[tf.Tensor], batch: Any) -> tuple[tf.Tensor, Any]:
        """A microbatch's part of the loss over all N examples, [], and its outputs."""
        with self.network.at(theta, state) as scope:
            call = self.network.call(batch[0], scope, training=False)
            if self._shares or self._at_once:
                loss = self.objective.value(batch, call.outputs, training=False)
                return self._share(batch) * self._with_added(loss, call), self._cast(call.outputs)
            loss = tf.cast(self.part_of_outputs(batch, call.outputs), self.dtype)
        added = self._with_added(tf.zeros([], self.dtype), call)
        return loss + self._share(batch) * added, self._cast(call.outputs)

    def part_of_outputs(self, batch: Any, outputs: Any) -> tf.Tensor:
        """What a microbatch's outputs add to the loss over all N examples, [], nothing but them."""
        if self.objective.own or self._at_once:
            value = self.objective.value(batch, outputs, training=False)
            return self._share(batch) * tf.cast(value, self.dtype)
        loss = self.objective.part(batch, outputs, self._totals, self.size)
        return tf.cast(loss, self.dtype)

    def terms(self, batch: Any, outputs: Any) -> list[Term]:
        """The losses of the outputs of a batch, one by one; see `Objective.terms`."""
        return self.objective.terms(batch, outputs)

    @property
    def adds(self) -> bool:
        """Whether the model's layers add losses of their own, regularisers aside."""
        return bool(self._few[2])

    # ---- all examples ---------------------------------------------------------------------------

    @property
    def microbatch(self) -> int:
        """Examples in a pass at a time: all of them where they have no losses of their own."""
        return self.evaluation_batch_size if self._independent else self.size

    def total(self, part: Callable[[Any], tf.Tensor], zero: tf.Tensor) -> tf.Tensor:
        """part(microbatch) added up over all the data, to `zero`."""
        add = lambda batch, total: total + part(batch)
        return self.examples.fold(add, zero, self.microbatch)

    def moments(self, theta: tf.Tensor) -> list[tf.Tensor]:
        """The moments of the batch-norm layers at theta; see `BatchNorm.moments`."""
        return self.network.batch_norm.moments(theta, self.statistics, self.evaluation_batch_size)

    def state(self, moments: list[tf.Tensor]) -> list[tf.Tensor]:
        """The model's state, its batch-norm statistics from `moments` where they are re-estimated."""
        return self.network.batch_norm.state_of(moments) if self.reestimates else self.network.state

    # ---- parts of a batch -----------------------------------------------------------------------

    def check_in_parts(self) -> None:
        """Raise ValueError where the loss of a batch does not follow from those of parts of it."""
        masked = not self.objective.own and any(tf.is_tensor(t.divisor) for t in self.probed[2])
        if masked or self._couples:
            why = "divides by what a mask or weights of examples leave" if masked else "couples examples"
            raise ValueError(
                "loss must be a plain mean or a sum over examples where devices share a minibatch; "
                f"received {self.objective} of model {self.network.model.name!r}, which {why}."
            )

    # ---- what a few examples tell ---------------------------------------------------------------

    @functools.cached_property
    def probed(self) -> tuple[Any, Any, list[Term]]:
        """A few examples, the model's outputs for them, and the terms of their loss."""
        with tf.init_scope():
            batch, outputs, _ = self._few
            try:
                if self.objective.own:  # it may make variables in its first call, as no graph may
                    self._sums(batch, outputs, [], self._start)
                return batch, outputs, self.objective.terms(batch, outputs)
            except _MISFITS as error:
                if why := _no_targets(batch[1]):
                    raise ValueError(why) from error
                raise ValueError(
                    f"y and loss must fit the outputs of model {self.network.model.name!r}, "
                    f"{_shapes(outputs)}; received y {_shapes(batch[1])} and loss {self.objective}: "
                    f"{_first_line(error)}"
                ) from error

    def check_finite(self, names: tuple[str, ...] = ("x", "y", "sample_weight")) -> None:
        """Whether inputs, targets and weights are finite, of all that are in memory, else of a few.

        Targets may hold NaN where the loss leaves it out, as one with a mask of its own does.

        Raises:
          ValueError: they are not.
        """
        with tf.init_scope():
            parts = self.examples.at_hand
            for i, name in enumerate(names):
                bad = not_finite(parts[i])
                if len(bad) and not (name == "y" and self._finite_at(parts, bad[:_PROBE])):
                    raise ValueError(
                        f"{name} must be finite; received NaN or infinity in {len(bad):,} of "
                        f"{leading_size(parts):,} examples, number {bad[0]} (from 0) the first."
                    )

    def _finite_at(self, parts, rows):
        """Whether the loss of these examples, which hold NaN, is finite."""
        batch = tf.nest.map_structure(lambda t: tf.gather(t, rows), parts)
        outputs, added = self._called(batch, self._start)
        return np.isfinite(np.array(self._sums(batch, outputs, added, self._start), np.float64)).all()

    @property
    def facts(self) -> dict[str, Any]:
        """What it finds out of its examples once: set the same for it not to look again."""
        return {name: getattr(self, name) for name in ("_totals", "_independent")}

    @facts.setter
    def facts(self, facts: dict[str, Any]) -> None:
        vars(self).update(facts)

    @functools.cached_property
    def _few(self):
        """The first few examples, the model's outputs for them, and what its layers add."""
        with tf.init_scope():
            batch = self.examples.first(_PROBE)
            with in_a_line("x", self.network.model):
                return batch, *self._called(batch, self._start)

    @functools.cached_property
    def _start(self):
        with tf.init_scope():
            return self.network.space.read()

    @functools.cached_property
    def _shares(self):
        """Whether a batch's loss is a plain mean, and counts by its number of examples."""
        return self.objective.own or all(term.divisor is None for term in self.probed[2])

    @functools.cached_property
    def _totals(self):
        """What the sum of each term over all examples is divided by; see `Term.divisor`.

        Masks come from inputs and targets, so that it is the same at every theta.
        """
        _, _, terms = self.probed
        wanted = [i for i, term in enumerate(terms) if tf.is_tensor(term.divisor)]
        totals = [term.divisor for term in terms]
        if wanted:
            with tf.init_scope():
                for i, total in zip(wanted, self._count(wanted), strict=True):
                    totals[i] = total
        return totals

    def _count(self, wanted):
        @compiled
        def count():
            def add(batch, sums):
                call = self.network(self._start, self.network.state, batch[0], training=False)
                terms = self.objective.terms(batch, call.outputs)
                return [s + terms[i].divisor for i, s in zip(wanted, sums, strict=True)]

            zeros = [tf.zeros([], self.objective.dtype) for _ in wanted]
            return self.examples.fold(add, zeros, self.microbatch)

        return count()

    @property
    def _at_once(self):
        """Whether all examples are one microbatch, whose own number is then that of all."""
        return self.size <= self.microbatch

    @functools.cached_property
    def _independent(self):
        """Whether the loss of all examples follows from those of batches; says so where it does not."""
        # A few are computed at once anyway.
        if self.size < 2 or self.size <= self.evaluation_batch_size or not self._couples:
            return True
        model, n = self.network.model.name, self.size
        warnings.warn(
            f"the loss of model {model!r} couples the examples of a batch ({self.objective}), so that "
            f"all {n} are computed at once, whatever evaluation_batch_size is, in the memory it takes.",
            stacklevel=2,
        )
        return False

    @functools.cached_property
    def _couples(self):
        """Whether the loss of several examples does not follow from those of parts of them.

        Looked at on a few examples: all of them at once, and in two parts.
        """
        with tf.init_scope():
            batch, theta = self.examples.spread(_PROBE), self._start
            outputs = self._called(batch, theta)[0]
            half = any(z.dtype.size < 4 for z in tf.nest.flatten(outputs))
            tolerance = 2e-2 if half else 1e-4
            noise = tf.random.stateless_normal(theta.shape, [0, 1], dtype=theta.dtype)
            moved = theta + 0.5 * noise * (tf.abs(theta) + 1)
            sums = lambda at: lambda rows: self._sums(rows, *self._called(rows, at), at)
            pairs = [np.array(sums(at)(batch), np.float64) for at in (theta, theta, moved)]
            if not np.allclose(pairs[0], pairs[1], rtol=1e-3, equal_nan=True):
                warnings.warn(
                    f"model {self.network.model.name!r} is random in inference, so that its loss is no "
                    "function of theta: two calls give two numbers.",
                    stacklevel=2,
                )
                return False
            of_losses = lambda both: [] if self.objective.own else self._sums(*both, [], theta)
            mixed = batch[0], diverse(batch[1], floats_only=True), batch[2]
            apart = [
                couples(sums(theta), batch, tolerance),
                couples(sums(moved), batch, tolerance),
                couples(of_losses, (batch, diverse(outputs)), tolerance),
                couples(of_losses, (mixed, diverse(outputs)), tolerance),
                # A mask that depends on weights: what is divided by is another number at each theta.
                not np.allclose(pairs[0][:, 1], pairs[2][:, 1], rtol=1e-6),
            ]
        return any(apart)

    def _called(self, batch, theta):
        """The model's outputs for a batch, and what its layers add."""
        x = tf.nest.map_structure(tf.identity, batch[0])  # a layer may leave a mask on what it is given
        call = self.network(theta, self.network.state, x, training=False)
        return call.outputs, call.added

    def _sums(self, batch, outputs, added, theta):
        """What adds up over batches, if anything does: (value times divisor, divisor) of each term."""
        n = float(tf.nest.flatten(batch)[0].shape[0])
        if self.objective.own:
            with self.network.at(theta, self.network.state):
                value = self.objective.value(batch, outputs, training=False)
            return [(n * value, n)]
        found = [(n * tf.reduce_sum(a), n) for a in added]
        for term in self.objective.terms(batch, outputs):
            divisor = n if term.divisor is None else term.divisor
            found.append(
                (term.value, n) if isinstance(divisor, int) else (term.value * divisor, divisor)
            )
        return found

    # ---- small pieces ---------------------------------------------------------------------------

    def _with_added(self, loss, call):
        loss = tf.cast(loss, self.dtype)
        if self.objective.own:  # which has added what it wants
            return loss
        added = [*call.added, *(call.penalties if self.regularize else [])]
        return tf.add_n([loss, *(tf.cast(tf.reduce_sum(a), self.dtype) for a in added)])

    def _share(self, batch):
        return share(batch[0], self.size, self.dtype)

    def _cast(self, outputs):
        """Outputs in theta's dtype, with their masks."""
        cast = lambda z: (
            z if z.dtype == self.dtype else _keras.masked(tf.cast(z, self.dtype), _keras.mask_of(z))
        )
        return tf.nest.map_structure(cast, outputs)


def _shapes(tensors):
    return str(tf.nest.map_structure(lambda t: [None, *t.shape[1:]], tensors)).replace("None", "N")


@contextlib.contextmanager
def in_a_line(name: str, model: keras.Model) -> Iterator[None]:
    """Tell in one line what Keras has against examples, which are called `name`, in many."""
    try:
        yield
    except (ValueError, TypeError, tf.errors.OpError) as error:
        lines = re.sub(r"\x1b\[\d+m", "", str(error)).strip().splitlines() or [type(error).__name__]
        known = f"x must fit the inputs of model {model.name!r}"
        if lines[0].startswith(known):  # by a call within
            if name == "x":
                raise
            raise ValueError(name + lines[0].removeprefix("x")) from error
        if len(lines) < 2 and not _INPUTS.match(lines[0]):
            raise
        # Between the layer's name and its arguments stands what is wrong.
        told = " ".join(lines[1:] if lines[0].startswith("Exception enc") else lines[:1])
        told = told.partition(" Arguments received")[0].rpartition("}} ")[2].partition(" [Op:")[0]
        raise ValueError(
            f"{name} must fit the inputs of model {model.name!r}; received what does not: "
            f"{' '.join(told.split())[:_LONGEST]}"
        ) from error


def _no_targets(y):
    """What to say of targets that no loss takes: none, or texts; None for others."""
    leaves = tf.nest.flatten(y)
    if not leaves:
        return (
            "y must be the targets of the examples, beside x or in the data set (x, y); received None."
        )
    if any(leaf.dtype == tf.string for leaf in leaves):
        return (
            "y must be numbers; received texts: give each class a number, e.g. "
            "numpy.unique(y, return_inverse=True)[1]."
        )
    return None


def _first_line(error):
    """What an error says, in one line: the last argument's first one, without quotes around it."""
    text = str(error.args[-1] if isinstance(error, KeyError) and error.args else error).strip()
    text = text.rpartition("}} ")[2]  # where TensorFlow was, which nobody asked
    return (text.splitlines() or [type(error).__name__])[0]
