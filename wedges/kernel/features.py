"""What is needed of a block of examples for their tangent kernel; and the kernel of two blocks.

One forward pass, one backward pass to the layers' signals for each output: each layer with a formula
gives an `Outer` or derivatives by its weights. The weights of other layers are differentiated example
by example. So any model has features, and the kernel is the same whichever way it takes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges._tensorflow import graph
from wedges.kernel import formulas, taps
from wedges.kernel.formulas import Outer
from wedges.network.second_order import exact_second_derivatives

if TYPE_CHECKING:
    from wedges.network import NetworkLandscape

_UNROLLED = 20  # outputs whose backward passes are written out in the graph; more go in a loop
_PROBED = 3  # examples on which formulas are tried
_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_HALF = 2.0**-12  # below it a rounding is that of single or double precision


class Features(NamedTuple):
    """Of n examples and O outputs."""

    outers: list[Outer]
    rows: list[tf.Tensor]  # derivatives [n, O, weights] of other weights

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        parts = [t for o in self.outers for t in (o.a, o.d)] + self.rows
        return sum(t.dtype.size * int(np.prod(t.shape)) for t in parts)

    def cut(self, n: int) -> Features:
        """Those of the first n examples."""
        outers = [Outer(o.a[:n], o.d[:n], o.width) for o in self.outers]
        return Features(outers, [r[:n] for r in self.rows])


class Tangents:
    """The derivatives of a network's outputs by its weights, in the forms that a kernel needs.

    Args:
      landscape: whose network and examples.

    Attributes:
      outputs: O, how many numbers the network gives for an example.

    Raises:
      ValueError: a model of several outputs, or whose outputs of an example depend on others.
    """

    def __init__(self, landscape: NetworkLandscape) -> None:
        self.problem, self.space = landscape.problem, landscape.space
        self.landscape = landscape
        model, known = landscape.network.model, {id(v): i for i, v in enumerate(self.space.variables)}
        _, outputs, _ = self.problem.probed
        if len(tf.nest.flatten(outputs)) > 1:
            raise ValueError(
                f"model {model.name!r} must have one output for a tangent kernel; received "
                f"{len(tf.nest.flatten(outputs))}. Make a model of one of them."
            )
        self.outputs = int(np.prod(tf.nest.flatten(outputs)[0].shape[1:]))
        self._layers, self._of = [], {}  # and which of theta's variables a layer's formula is about
        for layer in _keras.flat_layers(model):
            own = [known.get(id(v)) for v in taps.weights(layer)] if taps.tappable(layer) else []
            if own and None not in own:
                self._layers.append(layer)
                self._of[id(layer)] = own
        self._by_rows: set[int] = set()
        self._bytes = 1
        self._try_formulas()
        found = {i for layer in self._layers for i in self._of[id(layer)]}
        self._others = [i for i in range(len(self.space.variables)) if i not in found]
        sizes = [self.space.sizes[i] for i in self._others]
        self._bytes += self.outputs * sum(sizes) * self.problem.dtype.size

    # ---- features of a block ------------------------------------------------------------------------

    @graph
    def features(
        self, theta: tf.Tensor, state: list[tf.Tensor], x: Any
    ) -> tuple[list[tuple[tf.Tensor, tf.Tensor]], list[tf.Tensor]]:
        """(a, d) of the outers and the rows of inputs x [n, ...] at theta [D]."""
        outers, rows = [], []
        for layer, calls, slopes in self._signals(theta, state, x):
            found = formulas.factors(layer, calls, slopes)
            if isinstance(found, Outer) and id(layer) not in self._by_rows:
                outers.append(found)
            else:
                rows.append(found.rows() if isinstance(found, Outer) else found)
        if self._others:
            rows.append(self._one_by_one(theta, state, x))
        return [(o.a, o.d) for o in outers], rows

    def of(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> Features:
        """The `Features` of inputs x [n, ...] at theta [D]."""
        outers, rows = self.features(theta, state, x)
        return Features([Outer(a, d, a.shape[-1]) for a, d in outers], rows)

    @graph
    def of_outputs(self, theta: tf.Tensor, state: list[tf.Tensor]) -> tf.Tensor:
        """What the outputs of all examples give of the loss, and |its gradient by them|^2, [2]."""

        def part(batch):
            outputs = self.problem.network(theta, state, batch[0], training=False).outputs
            (z,) = tf.nest.flatten(outputs)
            with tf.GradientTape() as tape:
                tape.watch(z)
                value = self.problem.part_of_outputs(batch, outputs)
            slope = tf.cast(tape.gradient(value, z, unconnected_gradients="zero"), theta.dtype)
            return tf.stack([value, tf.reduce_sum(slope * slope)])

        return self.problem.total(part, tf.zeros([2], theta.dtype))

    @functools.cached_property
    def rounding(self) -> float:
        """The relative rounding of the outputs, that of the coarsest dtype a layer computes in."""
        layers = _keras.flat_layers(self.problem.network.model)
        kinds = {self.problem.dtype.name, *(layer.compute_dtype for layer in layers)}
        return max(eps for kind, eps in _EPS.items() if kind in kinds)

    @property
    def bytes(self) -> int:
        """About how much memory the features of one example take, while they are computed."""
        return self._bytes

    def _signals(self, theta, state, x):
        """(layer, its calls, slopes of the outputs by the signal of each) of layers with a formula."""
        with tf.GradientTape(persistent=True) as tape, taps.tapped(self._layers, tape) as calls:
            outputs = self.flat(theta, state, x)
        signals = [call.z for layer in self._layers for call in calls[id(layer)]]
        slopes = iter(self._slopes(tape, outputs, signals))
        for layer in self._layers:
            own = calls[id(layer)]
            if own:
                yield layer, own, [next(slopes) for _ in own]

    def flat(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> tf.Tensor:
        """The outputs [n, O] of inputs x [n, ...] at theta [D]."""
        (z,) = tf.nest.flatten(self.problem.outputs(theta, state, x))
        return tf.reshape(z, [z.shape[0], self.outputs])

    def _slopes(self, tape, outputs, signals):
        """The derivatives of each output by each of the signals, [n, O, ...]."""
        if not signals:
            return []
        dtype = self.problem.dtype

        def one(k):
            up = tf.one_hot(tf.fill([outputs.shape[0]], k), self.outputs, dtype=outputs.dtype)
            found = tape.gradient(outputs, signals, up, unconnected_gradients="zero")
            return [tf.cast(tf.convert_to_tensor(d), dtype) for d in found]

        if self.outputs <= _UNROLLED:
            found = zip(*[one(k) for k in range(self.outputs)], strict=True)
            return [tf.stack(d, axis=1) for d in found]
        kinds = [dtype] * len(signals)
        found = tf.map_fn(one, tf.range(self.outputs), fn_output_signature=kinds, parallel_iterations=1)
        shaped = [
            tf.ensure_shape(d, [self.outputs, *z.shape]) for d, z in zip(found, signals, strict=True)
        ]
        return [tf.transpose(d, [1, 0, *range(2, d.shape.rank)]) for d in shaped]

    def _one_by_one(self, theta, state, x):
        """Derivatives by the weights without a formula, an example at a time, [n, O, weights]."""

        def of_one(x):
            values = self.space.unflatten(theta)
            sources = [values[i] for i in self._others]
            one = tf.nest.map_structure(lambda t: t[None], x)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(sources)
                columns = tf.unstack(self.flat(self.space.flatten(values), state, one)[0])
            rows = [tape.gradient(c, sources, unconnected_gradients="zero") for c in columns]
            return tf.stack([tf.concat([tf.reshape(g, [-1]) for g in row], axis=0) for row in rows])

        size = sum(self.space.sizes[i] for i in self._others)
        found = tf.map_fn(of_one, x, fn_output_signature=self.problem.dtype, parallel_iterations=2)
        return tf.ensure_shape(found, [tf.nest.flatten(x)[0].shape[0], self.outputs, size])

    # ---- which formulas hold ------------------------------------------------------------------------

    def _try_formulas(self):
        """Keep the layers whose formula gives of a few examples, at a random theta, what it should.

        That is the Gram matrix of their plain derivatives. A layer may be called with something else
        than examples along its first axis, or have a weight in common with another one.
        """
        x = self.problem.examples.first(_PROBED)[0]
        x = tf.nest.map_structure(lambda t: tf.gather(t, np.arange(_PROBED) % t.shape[0]), x)
        theta, state = self.space.elsewhere(), self.problem.network.state
        tolerance = 3 * np.sqrt(self.rounding) if self.rounding < _HALF else 0.05
        users = [i for own in self._of.values() for i in own]
        columns, kept = sorted({0, self.outputs - 1}), []
        self._check_alone(theta, state, x, tolerance)
        plain = self._plainly(theta, state, x, columns)
        for layer, calls, slopes in self._signals(theta, state, x):
            which, factor = self._of[id(layer)], _factor(layer, calls, slopes)
            if factor is None or any(users.count(i) > 1 for i in which):
                continue
            fast = np.reshape(_rows(factor, columns)[:: _PROBED - 1], [2 * len(columns), -1])
            slow = np.stack([np.concatenate([np.ravel(row[i]) for i in which]) for row in plain])
            pair = [a.astype(np.float64) @ a.T.astype(np.float64) for a in (fast, slow)]
            if np.abs(pair[0] - pair[1]).max() <= tolerance * np.abs(pair[1]).max():
                kept.append(layer)
                self._count(layer, factor)
        self._layers = kept

    def _check_alone(self, theta, state, x, tolerance):
        """Raise ValueError where an example has other outputs by itself than among others."""
        one = lambda i: tf.nest.map_structure(lambda t: t[i : i + 1], x)
        alone = np.concatenate([self.flat(theta, state, one(i)) for i in range(_PROBED)])
        off = np.abs(alone - self.flat(theta, state, x).numpy())
        if off.max() > tolerance * max(np.abs(alone).max(), 1):
            raise ValueError(
                f"model {self.problem.network.model.name!r} must give an example the same outputs alone "
                "as among others to have a tangent kernel; received outputs that are "
                f"{off.max():.1g} off."
            )

    def _count(self, layer, factor):
        """Choose how a layer adds to the kernel, and count the memory that one example takes for it."""
        if isinstance(factor, Outer):
            numbers = np.prod(factor.a.shape[1:]) + np.prod(factor.d.shape[1:])
            if not factor.cheaper():
                self._by_rows.add(id(layer))
                numbers += self.outputs * factor.d.shape[3] * factor.width * factor.d.shape[4]
        else:
            numbers = np.prod(factor.shape[1:])
        self._bytes += int(numbers) * self.problem.dtype.size

    def _plainly(self, theta, state, x, columns):
        """Derivatives of some outputs of two examples, each by itself, by every variable."""
        found = []
        for i in (0, _PROBED - 1):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(theta)
                one = tf.nest.map_structure(lambda t, i=i: t[i : i + 1], x)
                outputs = self.flat(theta, state, one)[0]
                chosen = [outputs[k] for k in columns]
            slopes = [tape.gradient(value, theta, unconnected_gradients="zero") for value in chosen]
            found += [self.space.unflatten(slope) for slope in slopes]
        return found

    # ---- products with J and J^T ----------------------------------------------------------------------

    @graph
    def pullback(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any, u: tf.Tensor) -> tf.Tensor:
        """J^T u. u [n, O] -> [D]."""
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs = self.flat(theta, state, x)
        return tape.gradient(outputs, theta, u, unconnected_gradients="zero")

    @graph
    def pushforward(self, theta: tf.Tensor, state: list[tf.Tensor], x: Any, v: tf.Tensor) -> tf.Tensor:
        """J v. v [D] -> [n, O]. J^T u is linear in u, so its slope is J."""
        with exact_second_derivatives(self.problem.network.model):
            u = tf.zeros([tf.nest.flatten(x)[0].shape[0], self.outputs], theta.dtype)
            with tf.GradientTape() as outer:
                outer.watch(u)
                back = self.pullback.python_function(theta, state, x, u)
            return outer.gradient(back, u, v, unconnected_gradients="zero")


def _rows(factor, columns):
    """Derivatives of some of the outputs by a layer's weights, [n, columns, weights]."""
    if isinstance(factor, Outer):
        return factor._replace(d=tf.gather(factor.d, columns, axis=1)).rows().numpy()
    return tf.gather(factor, columns, axis=1).numpy()


def _factor(layer, calls, slopes):
    """What a formula gives; None where there is none for the way in which the layer is called."""
    try:
        found = formulas.factors(layer, calls, slopes)
    except (ValueError, tf.errors.InvalidArgumentError):
        return None
    first = found.d if isinstance(found, Outer) else found
    return None if found is None or first.shape[0] != _PROBED else found
