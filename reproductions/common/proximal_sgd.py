"""SGD on theta as one vector, each step followed by the proximal step of a penalty on the kernels."""

import keras
import tensorflow as tf

from wedges.regularizers import proximal_steps


class ProximalSGD(keras.optimizers.SGD):
    """v <- m v - rate g, theta <- theta + v; then w <- proximal_step(w, penalty, rate / (1 - m)) for
    each kernel w in theta, as `wedges.Proximal` does behind a model's own optimizer.

    Args:
      learning_rate: constant, or a schedule.
      momentum: m.
      penalty: a regulariser that `wedges.regularizers.forces` knows; None does nothing.
      spans: where the kernels lie in theta, ((start, end), ...), rising and apart.
      one: all kernels are one vector, instead of each by itself.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, penalty=None, spans=(), one=False, **settings):
        super().__init__(learning_rate, momentum, **settings)
        self.penalty, self.spans, self.one = penalty, tuple(map(tuple, spans)), one

    def update_step(self, gradient, variable, learning_rate):
        """One step of one variable, theta."""
        super().update_step(gradient, variable, learning_rate)
        if self.penalty is None or not self.spans:
            return
        theta = tf.convert_to_tensor(variable)
        h = tf.cast(learning_rate, theta.dtype) / (1 - self.momentum)
        kernels = [theta[start:end] for start, end in self.spans]
        kernels = proximal_steps(kernels, self.penalty, h, group=self.one)
        parts, at = [], 0
        for (start, end), w in zip(self.spans, kernels, strict=True):
            parts += [theta[at:start], w]
            at = end
        self.assign(variable, tf.concat([*parts, theta[at:]], axis=0))

    def get_config(self):
        """All settings, as Keras wants them to make a copy."""
        more = {"penalty": self.penalty, "spans": self.spans, "one": self.one}
        return {**super().get_config(), **more}
