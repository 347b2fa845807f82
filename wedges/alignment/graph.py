"""A model's graph, walked from its inputs to its outputs: which axis of which weight has which units.

An example goes along, so that shapes are known and every layer is called on what it gets in truth.
Layers with weights have rules (`layers`). A layer or operation without weights is tried on random
numbers. Where they keep their order, it reshapes. Where it gives the same in another order if its inputs
come in another order, it hands on units. Where it does neither, it mixes them, and they stay where they
are.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.alignment.layers import Made, Use, rule, weights
from wedges.alignment.units import Groups, Labels, Places, Units

if TYPE_CHECKING:
    from wedges.network import NetworkLandscape

_NUMBERS = 4096  # at least, on which a layer without weights is tried: few may all be cut off by a relu
SIXTEEN_BITS = ("float16", "bfloat16")


class Piece(NamedTuple):
    """A weight, or a part of it, and the groups of units that stand on its axes."""

    weight: int  # number among the model's weights
    view: tuple[int, ...]  # the shape whose axes these are
    part: tuple[int, int] | None  # of the last axis: from where to before where
    axes: tuple[tuple[Places, ...], ...]

    def of(self, array: np.ndarray) -> np.ndarray:
        """The piece of a weight's array, in the memory of the array."""
        array = array.reshape(self.view)
        return array if self.part is None else array[..., slice(*self.part)]


class Signal:
    """A tensor of the graph with its units: labels of each axis but the first."""

    def __init__(self, value: Any, labels: Sequence[Labels]) -> None:
        self.value, self.labels = value, tuple(labels)
        self.shape = tuple(value.shape[1:]) if hasattr(value, "shape") else ()

    @property
    def known(self) -> bool:
        """Whether it has units."""
        return any(labels is not None for labels in self.labels)


class Walk:
    """Which units a network has, and where they stand.

    Args:
      landscape: whose network. Statistics of batch norm go with its units where they are re-estimated.

    Attributes:
      pieces: all weights that have units which may change places, from the inputs on.
      groups: the `Groups`.
      made: {number of a layer's first weight: where groups stand among the units it makes, their count}.

    Raises:
      ValueError: a model that is no graph of layers, or has a layer with weights that has no rule.
    """

    def __init__(self, landscape: NetworkLandscape) -> None:
        network = landscape.network
        self._units = Units()
        self._made = Made(self._units)
        self._weights = {id(v): i for i, v in enumerate(network.model.weights)}
        self._trained = {id(v) for v in network.space.variables}
        self._reestimates, self._inference = landscape.problem.reestimates, False
        self._uses: dict[tuple[int, int], tuple[keras.Variable, Use]] = {}
        self._outputs: dict[int, np.ndarray] = {}
        self._rng = np.random.default_rng(0)
        x = landscape.examples.first(1)[0]
        with network.at(network.space.read(), network.state):
            outputs = self._model(network.model, _inputs(network.model, x))
        for signal in keras.tree.flatten(outputs):
            self._fix(signal)
        self.groups: Groups = self._units.groups()
        found = [self._piece(v, use) for v, use in self._uses.values()]
        self.pieces = [piece for piece in found if any(piece.axes)]
        made = {i: (self.groups.places(one), len(one)) for i, one in self._outputs.items()}
        self.made = {i: (places, count) for i, (places, count) in made.items() if places}

    def _piece(self, variable, use):
        view = tuple(variable.shape) if use.view is None else use.view
        axes = tuple(map(self.groups.places, use.labels))
        return Piece(self._weights[id(variable)], view, use.part, axes)

    # ---- the walk ---------------------------------------------------------------------------------

    def _model(self, model, inputs):
        found = _keras.through_graph(model, inputs, lambda op: functools.partial(self._call, op))
        if found is None:
            raise ValueError(
                "model must be a graph of layers, keras.Sequential or functional, for its units to be "
                f"known; received {model.name!r} ({type(model).__name__})."
            )
        return found

    def _call(self, op, *args, **kwargs):
        """What a layer or operation makes of signals, with the units of what it makes."""
        if isinstance(op, keras.Model):
            before, self._inference = self._inference, self._inference or kwargs.get("training") is False
            found = self._model(op, *args[:1] or [kwargs["inputs"]])
            self._inference = before
            return found
        leaves = keras.tree.flatten((args, kwargs))
        signals = [leaf for leaf in leaves if isinstance(leaf, Signal)]

        def function(*values):
            given = iter(values)
            plain = [next(given) if isinstance(leaf, Signal) else leaf for leaf in leaves]
            args_, kwargs_ = keras.tree.pack_sequence_as((args, kwargs), plain)
            return op(*args_, **kwargs_)

        out = function(*(s.value for s in signals))
        flat = [Signal(t, [None] * (len(getattr(t, "shape", ())) - 1)) for t in keras.tree.flatten(out)]
        if isinstance(op, keras.Layer) and weights(op):
            self._weighted(op, signals[0], flat, kwargs)
        elif any(s.known for s in signals):
            self._weightless(op, function, signals, flat)
        return keras.tree.pack_sequence_as(out, flat)

    def _fix(self, *signals):
        for signal in signals:
            for labels in signal.labels:
                self._units.fix(labels)

    # ---- layers with weights ------------------------------------------------------------------------

    def _weighted(self, layer, x, outputs, how):
        known = rule(layer)
        labels, uses = ((), {}) if known is None else known(layer, x.labels, self._made)
        own = weights(layer)
        if known is None or own.keys() - uses.keys():
            raise ValueError(
                "model must be made of layers whose units may be permuted; received layer "
                f"{layer.name!r} ({type(layer).__name__})."
            )
        for name, variable in own.items():
            for i, use in enumerate(uses[name]):
                self._stand(layer, name, variable, i, use, how)
        (y,) = outputs
        activation = getattr(layer, "activation", None)
        if activation is not None and activation is not keras.activations.linear:
            before = Signal(y.value, labels)
            self._weightless(layer, activation, [before], [y])
        else:
            y.labels = labels
        made = [one for one in labels if one is not None and not any(one is given for given in x.labels)]
        if made:
            self._outputs.setdefault(self._weights[id(next(iter(own.values())))], made[0])

    def _stand(self, layer, name, variable, i, use, how):
        """Have units stand on the axes of a weight; those of one that theta does not hold stay."""
        follows = (
            name in ("moving_mean", "moving_variance")
            and self._reestimates
            and layer.trainable
            and layer.momentum < 1
            and not self._inference
            and how.get("training") is not False
        )
        _, before = self._uses.setdefault((id(variable), i), (variable, use))
        for one, other in zip(before.labels, use.labels, strict=True):
            self._units.same(one, other)
            if id(variable) not in self._trained and not follows:
                self._units.fix(one)

    # ---- layers and operations without --------------------------------------------------------------

    def _weightless(self, op, function, signals, outputs):
        """The units of what is computed without weights."""
        if type(op).__name__ == "Concatenate" and len(outputs) == 1:
            outputs[0].labels = self._joined(op.axis, signals)
            return
        if len(signals) == len(outputs) == 1 and (new := self._reshaped(function, *signals, *outputs)):
            outputs[0].labels = new
            return
        found = [[None] * len(y.labels) for y in outputs]
        ranks = {i - len(s.labels) for s in signals for i, one in enumerate(s.labels) if one is not None}
        for axis in ranks:
            there = [s for s in signals if len(s.labels) >= -axis and s.shape[axis] != 1]
            units = self._one(axis, there)
            places = None if units is None else self._carried(function, signals, axis, there, outputs)
            if places is None:
                for s in there:
                    self._units.fix(s.labels[axis])
                continue
            for labels, place in zip(found, places, strict=True):
                if place is not None:
                    labels[place] = units
        for y, labels in zip(outputs, found, strict=True):
            y.labels = tuple(labels)

    def _joined(self, axis, signals):
        """Labels of signals put one after another along an axis, that of examples counted."""
        first = signals[0]
        axis = axis % (len(first.labels) + 1) - 1
        found = list(first.labels)
        for i, s in itertools.product(range(len(found)), signals[1:]):
            if i != axis:
                self._units.same(found[i], s.labels[i])
        if axis >= 0 and any(s.labels[axis] is not None for s in signals):
            parts = []
            for s in signals:
                parts.append(
                    self._units.new(s.shape[axis]) if s.labels[axis] is None else s.labels[axis]
                )
                if s.labels[axis] is None:
                    self._units.fix(parts[-1])
            found[axis] = self._units.axis(np.concatenate(parts))
        return tuple(found)

    def _reshaped(self, function, x, y):
        """Labels of an output whose numbers are the input's in their order; None for another."""
        if math.prod(x.shape) != math.prod(y.shape):
            return None
        (given,) = self._random([x])
        (made,) = self._tried(function, [given])
        for last in (False, True) if len(x.shape) > 1 else (False,):  # as flattening does channels_first
            rows = np.moveaxis(given, 1, -1) if last else given
            if np.array_equal(rows.astype(made.dtype).ravel(), made.ravel()):
                order = [*range(1, len(x.shape)), 0] if last else range(len(x.shape))
                labels, shape = [x.labels[i] for i in order], [x.shape[i] for i in order]
                same = tuple(shape) == y.shape
                return tuple(labels) if same else self._units.reshaped(labels, shape, y.shape)
        return None

    def _one(self, axis, signals):
        """The units of signals on one axis, made the same ones; None where their numbers differ."""
        if len({s.shape[axis] for s in signals}) != 1:
            return None
        units = next((s.labels[axis] for s in signals if s.labels[axis] is not None), None)
        for s in signals:
            self._units.same(units, s.labels[axis])
        return units

    def _carried(self, function, signals, axis, there, outputs):
        """On which axis of each output units come out that go in on one; None where they are mixed.

        No axis of an output that does not depend on their order, such as a sum over all of them.
        """
        order = self._rng.permutation(there[0].shape[axis])
        if (order == np.arange(len(order))).all():
            order = np.roll(order, 1)
        given = self._random(signals)
        moved = [
            np.take(v, order, axis) if any(s is t for t in there) else v
            for s, v in zip(signals, given, strict=True)
        ]
        places = []
        for y, new, old in zip(
            outputs, self._tried(function, moved), self._tried(function, given), strict=True
        ):
            rank = len(y.shape)
            axes = sorted(range(rank), key=lambda i, rank=rank: (i - rank != axis, -i))
            able = [i for i in axes if y.shape[i] == len(order)]
            place = next((i for i in able if _near(new, np.take(old, order, i + 1))), None)
            if place is None and not _near(new, old):
                return None
            places.append(place)
        return places

    def _random(self, signals):
        """Numbers in place of signals; whole ones, which may be places in a table, as they are."""
        most = max(math.prod(s.shape) for s in signals)
        rows = max(1, min(64, _NUMBERS // max(1, most)))
        found = []
        for s in signals:
            value = np.asarray(s.value)
            if value.dtype.kind in "iub":
                found.append(np.repeat(value[:1], rows, axis=0))
            else:
                found.append(self._rng.standard_normal((rows, *s.shape)).astype(value.dtype))
        return found

    def _tried(self, function, values):
        made = keras.tree.flatten(function(*map(tf.convert_to_tensor, values)))
        return [np.asarray(t) for t in made]


def _inputs(model, x):
    """Signals of examples, in the structure, ranks and dtypes in which a functional model takes them."""
    wanted = getattr(model, "inputs", None) or []
    if isinstance(x, dict):
        x = [x[t.name] for t in wanted] if all(t.name in x for t in wanted) else x
    leaves = keras.tree.flatten(x)
    if len(leaves) == len(wanted):
        ranks = [(t, like, [-1, *like.shape[1:]]) for t, like in zip(leaves, wanted, strict=True)]
        alike = lambda t, like, shape: t if len(t.shape) == len(like.shape) else tf.reshape(t, shape)
        leaves = [tf.cast(alike(*each), each[1].dtype) for each in ranks]
    return [Signal(t, [None] * (len(t.shape) - 1)) for t in leaves]


def _near(one, other):
    """Equal up to rounding, in units of the largest; NaN is equal to NaN, as of a logarithm."""
    if one.shape != other.shape or one.dtype.kind in "iub":
        return np.array_equal(one, other)
    rounding = 1e-2 if one.dtype.name in SIXTEEN_BITS else 1e-4
    one, other = (a.astype(np.float64) for a in (one, other))
    far = rounding * np.max(np.abs(other), initial=0, where=np.isfinite(other))
    return np.allclose(one, other, rtol=0, atol=far, equal_nan=True)
