"""Training that treats layers unlike: other rates and momenta, and a minibatch of its own for each.

Imported inside functions, as it imports Keras.
"""

import keras
import numpy as np
import tensorflow as tf

from wedges.landscape import Around


class LayerwiseSGD(keras.optimizers.SGD):
    """SGD of one flat variable whose parts have rates and momenta of their own.

        v_i <- m_i v_i - rate r_i g_i,    theta_i <- theta_i + v_i

    With one part, of factor 1, it is Keras' SGD of that momentum.

    Args:
      learning_rate: of a part of factor 1.
      parts: ((components, factor r, momentum m), ...), one after another along the variable.
    """

    def __init__(self, learning_rate=0.01, parts=(), **settings):
        settings["momentum"] = 0.9  # any but 0, so that the velocity is kept
        super().__init__(learning_rate, **settings)
        self.parts = tuple(parts)

    def build(self, variables):
        super().build(variables)
        sizes, factors, momenta = zip(*self.parts, strict=True)
        dtype = variables[0].dtype
        self._factor = tf.constant(np.repeat(factors, sizes), dtype)
        self._momentum = tf.constant(np.repeat(momenta, sizes), dtype)

    def update_step(self, gradient, variable, learning_rate):
        """One step of the variable."""
        velocity = self.momentums[self._get_variable_index(variable)]
        rate = keras.ops.cast(learning_rate, variable.dtype)
        moved = self._momentum * velocity - rate * self._factor * gradient
        self.assign(velocity, moved)
        self.assign_add(variable, moved)

    def get_config(self):
        """All settings, as Keras wants them to make a copy."""
        return {**super().get_config(), "parts": self.parts}


class Minibatches(Around):
    """A network's landscape whose `sample` sees minibatches in orders that `draw` makes anew.

    With `groups` each group of weights sees a minibatch of its own, in an order of its own: the
    gradient is stitched together of one a group, each at the whole theta. No two groups then share the
    noise of a minibatch.

    The orders are in a variable, so that one compiled descent serves all seeds.

    Args:
      landscape: a `wedges.NetworkLandscape` of examples in memory.
      batch_size: examples in each minibatch, at most all.
      steps: how many minibatches an order must be long enough for.
      groups: the number of the group of each component [D]; None is one minibatch for all.
    """

    def __init__(self, landscape, batch_size, steps, groups=None):
        super().__init__(landscape)
        self.size, self.batch_size = landscape.size, min(batch_size, landscape.size)
        self._epoch = self.size // self.batch_size  # steps in it
        kinds = 1 if groups is None else int(np.max(groups)) + 1
        self._own = None
        if kinds > 1:
            self._own = tf.constant(np.arange(kinds)[:, None] == groups, self.dtype)  # [groups, D]
        shape = kinds, -(-steps // self._epoch), self.size
        self._orders = tf.Variable(np.zeros(shape, np.int32), trainable=False)
        self.draw(0)

    def draw(self, seed):
        """New orders, which depend on the seed alone; the first group's are those of no groups."""
        kinds, epochs, size = self._orders.shape
        one = lambda group, epoch: np.random.default_rng([seed, group, epoch]).permutation(size)
        self._orders.assign([[one(group, epoch) for epoch in range(epochs)] for group in range(kinds)])

    def sample(self, theta, step):
        step = tf.cast(step, tf.int32)
        begin = [0, step // self._epoch, step % self._epoch * self.batch_size]
        rows = tf.slice(self._orders, begin, [-1, 1, self.batch_size])[:, 0]  # [groups, B]

        def of(rows, theta):
            examples = self.landscape.examples.minibatch(rows)
            return self.landscape.sample_of(theta, step, examples)

        if self._own is None:
            return of(rows[0], theta)

        def with_gradient(rows, theta):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                loss = of(rows, theta)
            return loss, tape.gradient(loss, theta)

        @tf.custom_gradient
        def stitched(theta):
            losses, gradients = tf.map_fn(
                lambda rows: with_gradient(rows, theta),
                rows,
                fn_output_signature=(self.dtype, self.dtype),
                parallel_iterations=1,
            )
            gradient = tf.reduce_sum(self._own * gradients, axis=0)
            return tf.reduce_mean(losses), lambda upstream: upstream * gradient

        return stitched(theta)
