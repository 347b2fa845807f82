"""What a card is about: several checkpoints of one architecture, and examples, as landscapes."""

from __future__ import annotations

import functools
import math
import re
import warnings
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.cards import definition
from wedges.cards.budget import Rates, timed
from wedges.cards.losses import Chosen
from wedges.cards.reading import Data, leaves, mapped
from wedges.network.landscape import NetworkLandscape
from wedges.network.stateless import StatelessModel
from wedges.network.weights import WeightSpace

# Numbers that the layers of a microbatch put out, 128 MB of float32; a product with the Hessian holds
# several times as many.
_NUMBERS, _MOST = 2**25, 500
_LOOK = 0.1  # of the seconds that a section has: what it may take to find out how many passes fit
# Tracing a pass that finds batch norm's statistics, in tracings of a gradient that does not.
_STATISTICS = 1.25
# Examples on which two models are compared, and how far apart rounding may take their outputs.
_COMPARED, _ROUNDING = 8, 0.02


class Subject:
    """K checkpoints on N examples.

    Args:
      names, models: of the checkpoints [K].
      data, held_out: the examples, and others that were not trained on, or None.
      chosen: the loss. The penalties of regularisers are no part of it; see `penalties`.
      seed: of all that is random.

    Attributes:
      thetas: the weights of each, [K, D].
      working: on how many examples sections work; to be set before `around` is asked for.
      microbatch, batch_size: examples in memory at once, and in a step of training.
      rates: how long passes take, once `measure` was called.
      saved: {where: of each model with batch norm as it was saved `judging.numbers`}, where looked at.

    Raises:
      ValueError: checkpoints of several architectures, by the shapes of their weights or by what they
        compute with these; examples that do not fit.
    """

    def __init__(
        self,
        names: list[str],
        models: list[keras.Model],
        data: Data,
        held_out: Data | None,
        chosen: Chosen,
        *,
        seed: int,
    ) -> None:
        self.names, self.models, self.data, self.held_out = names, models, data, held_out
        self.chosen, self.seed = chosen, seed
        self.space = WeightSpace(models[0])
        self.thetas = np.stack([_point(self.space, *each) for each in zip(names, models, strict=True)])
        self.working = data.size
        self.rates = Rates(0.0, 0.0, 0.0)
        self._traced: weakref.WeakKeyDictionary[NetworkLandscape, set[str]]
        self._traced = weakref.WeakKeyDictionary()
        self.saved: dict[str, list[dict[str, Any]]] = {}
        self.microbatch = microbatch(models[0])
        self.batch_size = min(128, self.microbatch, data.size)
        both = [("y", data), *([] if held_out is None else [("y of held_out", held_out)])]
        for name, some in both:  # before TensorFlow is asked, whose words are about its kernels
            _check_targets(name, some, models[0], chosen.loss)
        x, y = data.first(min(data.size, max(8, self.microbatch)))
        self._probe = self._landscape(0, x, y, "frozen", data)  # raises where anything does not fit
        for name, some in both:  # all targets: the probe has only some
            self._check_labels(name, some)
        for k in range(1, 1 if self.not_shared else self.count):  # else each is seen by itself alone
            self._check_function(k)

    @property
    def count(self) -> int:
        """K."""
        return len(self.names)

    @property
    def dimension(self) -> int:
        """D."""
        return self.space.dimension

    @property
    def has_batch_norm(self) -> bool:
        """Whether statistics of batch norm belong to each theta."""
        return self._probe.network.has_batch_norm

    @property
    def loss_name(self) -> str:
        """What the loss is called."""
        return self.chosen.name or str(self._probe.objective)

    @functools.cached_property
    def penalties(self) -> list[float] | None:
        """What regularisers add at each checkpoint's weights, which no section's loss has in it.

        None without any, and where a model's own `compute_loss` decides what belongs to the loss.
        """
        of = lambda m: [v.regularizer(v) for v in m.trainable_weights if v.regularizer is not None]
        found = [of(model) for model in self.models]
        if self._probe.objective.own or not any(found):
            return None
        return [float(sum(map(float, each))) for each in found]

    @functools.cached_property
    def not_shared(self) -> list[str]:
        """What is not trained and differs between checkpoints, statistics that are found anew aside."""
        if not self.own_state:
            return []
        places = {id(v): i for i, v in enumerate(self.models[0].non_trainable_variables)}
        anew = {
            places.get(id(moved))
            for layer in _keras.flat_layers(self.models[0])
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            for moved in (layer.moving_mean, layer.moving_variance)
        }
        rows = zip(*(m.non_trainable_variables for m in self.models), strict=False)
        differ = lambda first, *others: any(not np.array_equal(first, other) for other in others)
        return [
            row[0].path
            for i, row in enumerate(rows)
            if i not in anew and row[0].name != _keras.SEED_STATE and differ(*map(np.asarray, row))
        ]

    @functools.cached_property
    def own_state(self) -> bool:
        """Whether the checkpoints differ in more than their trained weights."""
        state = lambda m: [
            np.asarray(v.value) for v in m.non_trainable_variables if v.name != _keras.SEED_STATE
        ]
        first, *others = map(state, self.models)
        return any(not all(map(np.array_equal, first, other)) for other in others)

    def measure(self) -> None:
        """Find out how long a pass and a tracing take, on a few examples."""
        theta, n = self.thetas[0], self._probe.size
        _, first = timed(lambda: self._probe.value_and_gradient(theta))
        _, gradient = timed(lambda: self._probe.value_and_gradient(theta))
        self._probe.evaluate(theta)
        self.ran(self._probe, "evaluation")
        _, forward = timed(lambda: self._probe.evaluate(theta))
        self.rates = Rates(forward / n, gradient / n, max(0.0, first - gradient))

    @property
    def moved(self) -> float:
        """Seconds that an example takes in a pass away from the checkpoints' own weights."""
        return self.rates.forward * (2.5 if self.has_batch_norm else 1.0)

    def ran(self, landscape: NetworkLandscape, kind: str) -> None:
        """Note that a kind of pass ran, so that its graph is traced: "losses" or "evaluation"."""
        self._traced.setdefault(landscape, set()).update((kind, "statistics"))

    def fresh(self, *, anew: bool) -> float:
        """Seconds that a graph takes to be traced, which finds batch norm's statistics anew or not."""
        return self.rates.tracing * (0.5 + _STATISTICS * anew)

    def tracing(self, landscape: NetworkLandscape, kind: str) -> float:
        """Seconds that the graph of such a pass still takes to be traced, without tracing it."""
        traced = self._traced.get(landscape, set())
        if kind in traced:
            return 0.0
        anew = landscape.batch_norm == "reestimate" and self.has_batch_norm
        return self.fresh(anew=anew and "statistics" not in traced)

    def look(self, seconds: float, k: int | None = None, kind: str = "losses") -> float:
        """Seconds that one point takes on the working examples, near checkpoint k or anywhere.

        As the machine is now; as it was when passes were timed, where to find out would take more than a
        tenth of the seconds that there are.
        """
        landscape, point = self.around if k is None else self.at(k), self.thetas[k or 0]
        expected = landscape.size * (self.moved if k is None else self.rates.forward)
        tracing = self.tracing(landscape, kind)
        if (2 if tracing else 1) * expected + tracing > _LOOK * seconds:
            return expected
        run = (
            (lambda: landscape.evaluate(point))
            if kind == "evaluation"
            else lambda: landscape(point[None])
        )
        if tracing:
            run()
            self.ran(landscape, kind)
        return timed(run)[1]

    # ---- landscapes ---------------------------------------------------------------------------------

    def own(self, k: int, n: int) -> NetworkLandscape:
        """The landscape of checkpoint k with its own batch-norm statistics, on the first n examples."""
        return self._own(k if self.own_state else 0, min(n, self.data.size))

    @functools.lru_cache(maxsize=4)  # noqa: B019  (a subject lives as long as a card)
    def _own(self, k, n):
        if n == self._probe.size and k == 0:
            return self._probe
        return self._landscape(k, *self.data.first(n), "frozen", self.data)

    @functools.cached_property
    def around(self) -> NetworkLandscape:
        """The landscape at any theta, on the working examples; batch norm is re-estimated.

        What is not trained is that of the first checkpoint; see `not_shared`.
        """
        if not self.has_batch_norm and not self.own_state:
            return self.own(0, self.working)
        return self._landscape(0, *self.data.first(self.working), "reestimate", self.data)

    @functools.lru_cache(maxsize=4)  # noqa: B019  (a subject lives as long as a card)
    def at(self, k: int) -> NetworkLandscape:
        """The landscape near checkpoint k, on the working examples: what is not trained is its own.

        Batch norm's statistics are found anew at the checkpoint, and stay so. Where checkpoints share
        what is not trained, `around` has the same loss and accuracy there, so that curvature is of the
        network whose error and CKA a phase is told from; with statistics as saved it may be of another
        one, which nobody uses.
        They are held because derivatives through them cost too much of large models (of MobileNetV2 on
        64 images 61 s of tracing on one core and 6.6 GB, against 16 s and 2.9 GB), and because a Hessian
        is mostly understood as that of inference.
        """
        others = k if self.not_shared else 0
        x, y = self.data.first(self.working)
        if not self.has_batch_norm:
            return self.own(others, self.working)
        near = self.around
        if others:
            near = self._landscape(k, x, y, "reestimate", self.data)
        state = near.graphs.state_at(near.point(self.thetas[k]))
        held = StatelessModel(self.models[others], state=state)
        return self._landscape(held, x, y, "frozen", self.data)

    @functools.cached_property
    def judged(self) -> tuple[NetworkLandscape, str]:
        """The landscape that models are compared on, and what its examples are called."""
        if self.held_out is None:
            return self.around, "the examples given"
        return self.on_held_out(self.around, self.held_out.size), "held out"

    def on_held_out(self, landscape: NetworkLandscape, n: int) -> NetworkLandscape:
        """A landscape on the first n examples that are held out, with their weights."""
        assert self.held_out is not None
        return landscape.on(*self.held_out.first(n), sample_weight=self.held_out.weights(n))

    @functools.cached_property
    def _loss(self):
        """One loss for all checkpoints, and its weights of the outputs; None for a `compute_loss`."""
        if self.chosen.loss is not None or _keras.overrides(self.models[0], "compute_loss"):
            return self.chosen.loss, None
        first, *others = (definition.loss_of(model, None) for model in self.models)
        if any(other != first for other in others):
            warnings.warn(
                "The checkpoints are compiled with several losses: all numbers are of the loss of "
                f"{self.names[0]}.",
                stacklevel=2,
            )
        return _keras.compiled_loss(self.models[0])

    def _landscape(self, of, x, y, batch_norm, data):
        loss, loss_weights = self._loss
        return NetworkLandscape(
            self.models[of] if isinstance(of, int) else of,
            x,
            y,
            loss,
            loss_weights=loss_weights,
            sample_weight=data.weights(len(next(leaves(x)))),
            seed=self.seed,
            batch_norm=batch_norm,
            batch_size=self.batch_size,
            evaluation_batch_size=self.microbatch,
        )

    def _check_function(self, k):
        """Raise ValueError where the first checkpoint, with the weights of checkpoint k, is another."""
        first, other = self._probe.network, StatelessModel(self.models[k])
        is_random = lambda variable: variable.name == _keras.SEED_STATE
        pairs = zip(other.variables, other.state, strict=True)
        theirs = (value for variable, value in pairs if not is_random(variable))
        pairs = zip(first.variables, first.state, strict=True)
        state = [value if is_random(variable) else next(theirs) for variable, value in pairs]
        x = mapped(tf.convert_to_tensor, self.data.first(_COMPARED)[0])
        of = lambda network, state: (
            network(tf.constant(self.thetas[k]), state, x, training=False).outputs
        )
        own = of(other, other.state)
        if _alike(own, of(first, state)) or not _alike(own, of(other, other.reseeded(self.seed, 0))):
            return  # the same; or random, so that nothing can be told
        raise ValueError(
            f"{self.names[0]} and {self.names[k]} must be of one architecture; received models that "
            "compute different outputs with the same weights, as by other activations or constants."
        )

    def _check_labels(self, name, data):
        """Raise ValueError where any target is none that its loss takes; the probe has only some."""
        from wedges.network.examples import examples_of

        try:
            self._probe.readout.check(self._probe.problem, examples_of(data.x, data.y))
        except ValueError as error:
            raise ValueError(re.sub("^y ", f"{name} ", str(error))) from None


def _alike(outputs, others):
    """Whether outputs are the same but for rounding, half precision's included."""
    pairs = zip(*(keras.tree.flatten(each) for each in (outputs, others)), strict=True)
    arrays = (tuple(np.asarray(z, np.float64) for z in pair) for pair in pairs)
    return not any(np.linalg.norm(a - b) > _ROUNDING * np.linalg.norm(a) for a, b in arrays)


def _check_targets(name, data, model, loss):
    """Raise ValueError where a cross-entropy would take targets for classes that are none."""
    from wedges.network.readout import meaning_of

    given = _keras.compiled_loss(model)[0] if loss is None else loss
    losses, targets = keras.tree.flatten(given), list(leaves(data.y))
    if len(losses) != len(targets):
        return
    shape = getattr(model, "output_shape", None)
    top = f"to {shape[-1] - 1}" if isinstance(shape, tuple) and len(losses) == 1 else "on"
    for each, y in zip(losses, targets, strict=True):
        each = keras.losses.get(each) if isinstance(each, str) else each
        kind = meaning_of(each).kind
        if isinstance(shape, tuple) and len(losses) == 1:
            _check_columns(name, y, shape, kind)
        if kind == "sparse":
            ignored = _keras.loss_function(each)[1].get("ignore_class")
            wrong, wanted = (y < 0) | (y != np.round(y)), f"whole numbers, the classes from 0 {top}"
            wrong &= True if ignored is None else y != ignored
        elif kind in ("binary", "one-hot"):
            wrong, wanted = (y < 0) | (y > 1), "numbers from 0 to 1, for a cross-entropy of shares"
        else:
            continue
        if wrong.any():
            raise ValueError(f"{name} must hold {wanted}; received {y[wrong][0]:g}.")


def _check_columns(name, y, shape, kind):
    """Raise ValueError for one-hot rows where a loss takes classes, and the other way round."""
    if kind == "sparse" and y.ndim == len(shape) and y.shape[-1] == shape[-1] > 1:
        raise ValueError(
            f"{name} must hold one whole number an example for sparse_categorical_crossentropy; "
            f"received rows of {shape[-1]} columns, which categorical_crossentropy takes as loss."
        )
    if kind == "one-hot" and y.size == len(y) and len(shape) == 2 and shape[-1] > 1:
        raise ValueError(
            f"{name} must hold {shape[-1]} columns for categorical_crossentropy; received one number an "
            "example, which sparse_categorical_crossentropy takes as loss."
        )


def microbatch(model: keras.Model) -> int:
    """Examples in memory at once, from what the layers of a model put out for one."""
    numbers = 0
    for layer in _keras.flat_layers(model):
        try:
            shapes = [tuple(t.shape[1:]) for t in keras.tree.flatten(layer.output)]
        except (AttributeError, ValueError):  # one that was called elsewhere, or not yet
            continue
        if all(None not in shape for shape in shapes):
            numbers += sum(math.prod(shape) for shape in shapes)
    return int(min(max(_NUMBERS // max(numbers, 1), 8), _MOST))


def _point(space: WeightSpace, name: str, model: keras.Model) -> Any:
    """The weights of a model as a point of another one's space."""
    try:
        theta = np.asarray(space.read() if model is space.model else space.read(model))
    except ValueError as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"{name} must be of the first checkpoint's architecture; received: {said}"
        ) from None
    if not np.isfinite(theta).all():
        raise ValueError(f"{name} must have finite weights; received NaN or infinity in some.")
    return theta
