"""A Keras model as a pure function: (theta, state, x) -> outputs.

`theta` is what is trained; `state` is every other variable (batch-norm statistics, dropout's random
seeds, frozen weights), copied once. The model itself is never changed: each call goes through
`keras.Model.stateless_call`.
"""

import collections
import inspect

import keras
import numpy as np
import tensorflow as tf

from wedges.weights import WeightSpace

# Where a batch-norm layer's statistics stand in the state, and the layer.
_BatchNorm = collections.namedtuple("_BatchNorm", ["mean", "variance", "layer"])


class StatelessModel:
    """Outputs of a built Keras model at any flat theta, without touching the model.

    Args:
      model: a built `keras.Model` with one output.

    Attributes:
      space: the model's `WeightSpace`.
      state: the copied variables that are not in theta, a list of tensors.
      has_batch_norm: whether batch-norm statistics are in the state and move in training.
    """

    def __init__(self, model):
        self.space = WeightSpace(model)
        self.model = model
        self._takes_training = "training" in inspect.signature(model.call).parameters  # as Keras asks
        trained = {id(v) for v in self.space.variables}
        self._variables = [v for v in model.variables if id(v) not in trained]
        self.state = [tf.identity(tf.convert_to_tensor(v.value)) for v in self._variables]
        place = {id(v): i for i, v in enumerate(self._variables)}
        # A frozen batch-norm layer keeps its statistics in training too, so it is left out.
        self._batch_norms = [
            _BatchNorm(place[id(b.moving_mean)], place[id(b.moving_variance)], b)
            for b in model._flatten_layers()
            if isinstance(b, keras.layers.BatchNormalization)
            and b.trainable
            and id(b.moving_mean) in place
        ]
        self._initial = self.space.read()
        self._divisors = None
        self._random = [
            i
            for i, v in enumerate(self._variables)
            if v.name == "seed_generator_state" and tuple(v.shape) == (2,)
        ]

    @property
    def has_batch_norm(self):
        return bool(self._batch_norms)

    def __call__(self, theta, state, x, *, training):
        """One call. Returns outputs [B, ...], the state after it, the list of regularisation losses."""
        values = dict(zip(map(id, self.space.variables), self.space.unflatten(theta), strict=True))
        values.update(zip(map(id, self._variables), state, strict=True))
        # In the model's order of the day: it changes when a layer is frozen or thawed.
        trainable, fixed = self.model.trainable_variables, self.model.non_trainable_variables
        for v in trainable:
            if id(v) not in values:
                raise ValueError(
                    f"model {self.model.name!r} has gained the weight {v.path!r} since it was "
                    "captured; make the landscape again."
                )
        for v in fixed:  # what compile() or fit() has added since: counters, which change no output
            if id(v) not in values:
                with tf.init_scope():
                    values[id(v)] = tf.convert_to_tensor(v.value)
        outputs, fixed_values, penalties = self.model.stateless_call(
            [values[id(v)] for v in trainable],
            [values[id(v)] for v in fixed],
            x,
            return_losses=True,
            **({"training": training} if self._takes_training else {}),
        )
        if not tf.is_tensor(outputs):
            raise ValueError(
                f"a landscape needs a model with one output; {self.model.name!r} returned "
                f"{tf.nest.map_structure(lambda o: tuple(o.shape), outputs)}."
            )
        values.update(zip(map(id, fixed), fixed_values, strict=True))
        return outputs, [values[id(v)] for v in self._variables], penalties

    def reseeded(self, seed, step, part=(0, 1)):
        """The state with every random seed in it made new, a function of (seed, step) alone; and of
        i for part (i, n) of a minibatch, or the parts would all see one mask.

        Keras gives each dropout layer a counter; in a stateless call it stands still, and every
        step would see one mask.
        """
        state = list(self.state)
        for i in self._random:
            fresh = tf.random.experimental.stateless_fold_in(tf.constant([seed, i]), step)  # [2]
            if part[1] > 1:
                fresh = tf.random.experimental.stateless_fold_in(fresh, part[0])
            state[i] = tf.cast(fresh, state[i].dtype)
        return state

    # ---- batch norm: statistics as a function of theta ------------------------------------------

    def moments(self, theta, x, batch_size):
        """Mean and second moment of each batch-norm input over all of x, in training-mode passes.

        Second moments are pooled because their mean over batches is that of all examples, which is
        not so for variances. Returns a list [mean, second moment, mean, ...] of [channels] tensors.
        """

        def add(x, sums):
            weight = share(x, total)
            return [s + weight * m for s, m in zip(sums, self._batch_moments(theta, x), strict=True)]

        self._find_divisors(x)
        if not self._batch_norms:
            return []
        total = leading_size("x", x)
        zeros = [tf.zeros_like(self.state[i]) for b in self._batch_norms for i in (b.mean, b.variance)]
        return fold(add, zeros, x, batch_size)

    def moments_pullback(self, theta, x, batch_size, upstream):
        """(d moments / d theta)^T upstream, [D], in the memory of one batch."""

        def add(x, gradient):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                moments = self._batch_moments(theta, x)
            return gradient + share(x, total) * tape.gradient(
                moments, theta, upstream, unconnected_gradients="zero"
            )

        total = leading_size("x", x)
        return fold(add, tf.zeros_like(theta), x, batch_size)

    def state_of(self, moments):
        """The state with batch-norm statistics from `moments`."""
        state = list(self.state)
        for b, mean, second in zip(self._batch_norms, moments[::2], moments[1::2], strict=True):
            state[b.mean] = mean
            state[b.variance] = tf.nn.relu(second - mean**2)  # rounding may take it below zero
        return state

    def write_batch_norm(self, state):
        """Assign a state's batch-norm statistics to the model."""
        for b in self._batch_norms:
            b.layer.moving_mean.assign(state[b.mean])
            b.layer.moving_variance.assign(state[b.variance])

    def _batch_moments(self, theta, x):
        # A training-mode call moves a statistic m to w m + (1 - w) batch. From m = 0 the batch's own
        # statistic is the result over 1 - w.
        state = self._with_statistics(self.reseeded(0, 0), 0.0)
        _, state, _ = self(theta, state, x, training=True)
        moments = []
        for b, divisor in zip(self._batch_norms, self._divisors, strict=True):
            mean = state[b.mean] / divisor
            moments += [mean, state[b.variance] / divisor + mean**2]
        return moments

    def _find_divisors(self, x):
        """1 - w of each batch-norm layer, w = momentum^k for a layer that is called k times.

        k is found by two calls on two examples, once. A layer that never moves its statistics (called
        in inference mode, or not at all) is left out: it keeps them.
        """
        if self._divisors is not None:
            return
        with tf.init_scope():
            two = tf.nest.map_structure(lambda t: t[:2], x)
            from_zero, from_one = (
                self(self._initial, self._with_statistics(self.reseeded(0, 0), m), two, training=True)[1]
                for m in (0.0, 1.0)
            )
            left = [np.array(from_one[b.mean] - from_zero[b.mean]) for b in self._batch_norms]
        moving, divisors = [], []
        for b, w in zip(self._batch_norms, left, strict=True):
            w, momentum = float(np.mean(w)), b.layer.momentum
            if abs(w - 1) < 1e-9 or momentum >= 1:
                continue
            calls = round(np.log(w) / np.log(momentum)) if 0 < w < 1 and momentum > 0 else 1
            moving.append(b)
            divisors.append(1 - momentum ** max(calls, 1))
        self._batch_norms, self._divisors = moving, divisors

    def _with_statistics(self, state, value):
        for b in self._batch_norms:
            for i in (b.mean, b.variance):
                state[i] = tf.fill(state[i].shape, tf.cast(value, state[i].dtype))
        return state


def fold(function, carry, data, batch_size):
    """carry = function(batch, carry) over the batches of `data`, the last one maybe smaller.

    Batches have static shapes (XLA needs them), and one is in memory at a time.
    """
    whole, rest = divmod(leading_size("data", data), batch_size)

    def rows(start, n):  # tf.slice, unlike t[start:start + n], keeps n in the static shape
        cut = lambda t: tf.slice(t, [start] + [0] * (t.shape.rank - 1), [n, *t.shape[1:]])
        # Nobody asks for a derivative by the data, whose second one XLA does not have.
        return tf.nest.map_structure(lambda t: tf.stop_gradient(cut(t)), data)

    if whole:
        _, carry = tf.while_loop(
            lambda i, _: i < whole,
            lambda i, c: (i + 1, function(rows(i * batch_size, batch_size), c)),
            (tf.constant(0), carry),
            parallel_iterations=1,
            maximum_iterations=whole,  # XLA must know how much a derivative of the loop has to keep
        )
    if rest:
        carry = function(rows(whole * batch_size, rest), carry)
    return carry


def share(batch, total):
    """The batch's part of `total` examples."""
    return tf.nest.flatten(batch)[0].shape[0] / total


def leading_size(name, arrays):
    """The number of examples that every array in `arrays` must share."""
    sizes = {a.shape[0] if a.shape.rank else 0 for a in tf.nest.flatten(arrays)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"{name} must hold the same number of examples in every array, and at least one; "
            f"received {sorted(sizes)}."
        )
    return sizes.pop()
