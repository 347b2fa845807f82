"""One minimiser for every landscape.

theta_{t+1} = theta_t - step of any Keras optimizer, on dL(theta_t, t)/dtheta, in one `tf.function`.
"""

import collections

import keras
import numpy as np
import tensorflow as tf

Minimum = collections.namedtuple("Minimum", ["theta", "losses"])
Minimum.__doc__ = """theta [D] where a descent ended; losses [steps], each taken before its step."""


class Descent:
    """A minimisation that can pause, be saved, and continue bit for bit.

    `run(a)` then `run(b)` is `run(a + b)`: each step depends on nothing but theta, the optimizer's
    variables and the step's number. So does a descent whose `state` was saved and put into a new
    object.

    Theta is one flat variable. Any Keras optimizer that acts on each component alone (SGD, Adam,
    AdamW, RMSprop, ...) then acts as it would on the model's own variables; one that looks at a
    variable's norm or shape (Lamb, Adafactor, Muon, `clipnorm`) sees all of theta as one, and weight
    decay acts on all of theta: names excluded from it are not known here.

    Args:
      landscape: a `Landscape`; each step sees `landscape.sample(theta, step)`.
      start: theta_0 [D], or [R, D] for R descents at once where the landscape takes such a batch.
      optimizer: a Keras optimizer, used as a recipe: this object works on a copy of its own.
      jit_compile: compile with XLA. It pays on TPU and some GPUs, and slows CPUs down.
    """

    def __init__(self, landscape, start, optimizer, *, jit_compile=False):
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                f"optimizer must be a Keras optimizer, e.g. keras.optimizers.Adam(1e-3); "
                f"received {type(optimizer).__name__}."
            )
        start = landscape.point(start)
        if not np.all(np.isfinite(start)):
            raise ValueError("start must be finite; received NaN or infinity in it.")
        self.landscape = landscape
        self.variable = keras.Variable(start, dtype=landscape.dtype.name, name="theta")
        self.optimizer = _copy(optimizer)
        self.optimizer.build([self.variable])
        self._static = jit_compile
        self._run = tf.function(self._steps, jit_compile=jit_compile or None)

    @property
    def theta(self):
        """Where the descent stands, [D] or [R, D]."""
        return tf.identity(self.variable.value)

    @property
    def step(self):
        """How many steps have been taken."""
        return int(self.optimizer.iterations)

    def run(self, steps):
        """Take `steps` more steps. Returns their losses, each before its step, [steps(, R)]."""
        # XLA wants to know the length of the trajectory when it compiles.
        return self._run(tf.constant(self.step), steps if self._static else tf.constant(steps))

    def _steps(self, first, steps):
        shape = self.variable.shape[:-1]  # [] or [R]
        losses = tf.TensorArray(self.landscape.dtype, size=steps, element_shape=shape)
        for i in tf.range(steps):
            theta = tf.convert_to_tensor(self.variable.value)
            with tf.GradientTape() as tape:
                tape.watch(theta)
                loss = self.landscape.sample(theta, first + i)
                scaled = self.optimizer.scale_loss(loss)  # by 1, but for mixed-precision optimizers
            self.optimizer.apply([tape.gradient(scaled, theta)], [self.variable])
            losses = losses.write(i, loss)
        return losses.stack()

    @property
    def state(self):
        """Everything the next step depends on: {name: array}. Assign it to continue from there."""
        arrays = {f"optimizer/{i}": np.array(v) for i, v in enumerate(self.optimizer.variables)}
        return {"theta": np.array(self.variable), **arrays}

    @state.setter
    def state(self, arrays):
        mine = self.state
        shapes = lambda s: {name: a.shape for name, a in s.items()}
        if shapes(arrays) != shapes(mine):
            raise ValueError(
                f"state must hold arrays of the shapes {shapes(mine)}; received {shapes(arrays)}."
            )
        self.variable.assign(arrays["theta"])
        for i, v in enumerate(self.optimizer.variables):
            v.assign(arrays[f"optimizer/{i}"])


def _copy(optimizer):
    """A new optimizer of the same settings, its learning-rate schedule the very same object."""
    config = optimizer.get_config()
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = rate  # need not be registered with Keras to be rebuilt
    return optimizer.__class__.from_config(config)


def minimize(landscape, start, optimizer, steps, *, jit_compile=False):
    """Minimise a landscape from `start` by `steps` steps of a Keras optimizer: a `Minimum`.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> theta, losses = wedges.minimize(bowl, [1.0, 1.0], keras.optimizers.SGD(0.1), steps=100)
    """
    descent = Descent(landscape, start, optimizer, jit_compile=jit_compile)
    losses = descent.run(steps)
    return Minimum(descent.theta, losses)
