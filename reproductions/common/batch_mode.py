"""Batch norm by the batch at hand, always, and the loss of a network that has it.

Then nothing but the weights changes in training, and a loss on fixed batches is a function of the
weights alone, in the value as in the gradient: what an integral of the gradient along a path needs, and
what batch norm of momentum 0 on large batches was in the paper.

Imported inside functions, as it imports Keras.
Source: Lan et al. 2019, arXiv:1909.01440, and their code.
"""

import keras
import tensorflow as tf

from wedges.landscape import Around, Landscape


class BatchStatistics(keras.layers.Layer):
    """gamma (x - mean) / sqrt(variance + 1e-3) + beta, mean and variance of a channel over this batch.

    In training as out of it; no moving average is kept. x [B, L, C] or [B, H, W, C], the same back.
    TensorFlow's own kernel does it in one pass each way.
    """

    def build(self, shape):
        weight = lambda name, value: self.add_weight((shape[-1],), initializer=value, name=name)
        self.gamma, self.beta = weight("gamma", "ones"), weight("beta", "zeros")

    def call(self, x):
        flat = x[:, :, None] if len(x.shape) == 3 else x
        none = tf.zeros([0])  # no average is kept
        scale, offset = (tf.convert_to_tensor(v) for v in (self.gamma, self.beta))
        how = {"mean": none, "variance": none, "epsilon": 1e-3, "is_training": True}
        y = tf.raw_ops.FusedBatchNormV3(x=flat, scale=scale, offset=offset, **how).y
        return y[:, :, 0] if len(x.shape) == 3 else y


class BatchMode(Around):
    """The mean over fixed batches of what training sees of each, always the same examples together.

    Args:
      landscape: a `wedges.NetworkLandscape` without dropout, of examples in memory.
      batch_size: examples in a batch; a divisor of N.

    Raises:
      ValueError: another number.
    """

    def __init__(self, landscape, batch_size):
        super().__init__(landscape)
        if batch_size < 1 or landscape.size % batch_size:
            raise ValueError(
                f"batch_size must be a divisor of the number of examples {landscape.size}; received "
                f"{batch_size}."
            )
        self._rows = tf.reshape(tf.range(landscape.size), [-1, batch_size])
        self._value = tf.function(self._mean, autograph=False)
        self._both = tf.function(self._mean_and_gradient, autograph=False)

    def __call__(self, theta):
        return self._value(self.point(theta))

    def value_and_gradient(self, theta):
        return self._both(self.point(theta))

    jet = Landscape.jet
    hessian_product = Landscape.hessian_product

    def _of(self, theta, rows):
        return self.landscape.sample_of(theta, 0, self.landscape.examples.minibatch(rows))

    def _mean(self, theta):
        how = {"fn_output_signature": self.dtype, "parallel_iterations": 1}
        return tf.reduce_mean(tf.map_fn(lambda rows: self._of(theta, rows), self._rows, **how))

    def _mean_and_gradient(self, theta):
        count = self._rows.shape[0]

        def add(i, loss, gradient):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                part = self._of(theta, self._rows[i]) / count
            return i + 1, loss + part, gradient + tape.gradient(part, theta)

        start = tf.constant(0), tf.zeros([], self.dtype), tf.zeros_like(theta)
        return tf.while_loop(lambda i, *_: i < count, add, start, parallel_iterations=1)[1:]
