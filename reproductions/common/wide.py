"""Wide networks under gradient descent of all examples at once, which tangent kernels are about.

In the NTK form each layer is its kernel, of weights N(0, 1), and a factor beside it, so that neither the
kernel nor a good step depends on the width; in Keras' own form the weights themselves are small.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import progress
from reproductions.bench.options import one_of

FORMS = one_of("ntk", "glorot", "lecun")
HEADS = one_of("linear", "tanh", "bottleneck")
BOTTLENECK = 8  # units of the layer in the middle
EVERY = 50  # steps from one look at the kernel to the next


@dataclasses.dataclass(frozen=True)
class Points:
    """Points on the unit sphere, with targets that are 1 or -1 at random."""

    count: int
    inputs: int
    seed: int

    def load(self):
        """x [n, d] and y [n, 1], float64."""
        rng = np.random.default_rng([self.seed, 0])
        x = rng.standard_normal((self.count, self.inputs))
        return x / np.linalg.norm(x, axis=1, keepdims=True), rng.choice([-1.0, 1.0], (self.count, 1))


@dataclasses.dataclass(frozen=True)
class Net:
    """A network of tanh layers without biases and with one output, and its initial weights.

    Attributes:
      layers: of weights: 2 or 3.
      width: m, of every hidden layer.
      form: "ntk": x W / sqrt(fan-in) with W of N(0, 1) (inputs are of length 1 and have no factor);
        "glorot": Keras' default; "lecun": N(0, 1 / fan-in), without factors both.
      head: "linear" output; "tanh": tanh(3 f) of it; "bottleneck": one more layer of 8 units behind the
        first hidden one.
      points: that it is fitted to.
      seed: of the initial weights.
    """

    layers: int
    width: int
    points: Points
    seed: int
    form: str = "ntk"
    head: str = "linear"

    @property
    def widths(self):
        """Units of each layer, the input's and the output's among them."""
        hidden = [self.width] * (self.layers - 1)
        if self.head == "bottleneck":
            hidden = [self.width, BOTTLENECK, self.width]
        return [self.points.inputs, *hidden, 1]

    def start(self):
        """The initial weights [D]."""
        rng = np.random.default_rng([self.seed, 1])
        parts = []
        for fan_in, fan_out in zip(self.widths[:-1], self.widths[1:], strict=True):
            if self.form == "glorot":
                limit = np.sqrt(6 / (fan_in + fan_out))
                parts.append(rng.uniform(-limit, limit, fan_in * fan_out))
            else:
                size = 1.0 if self.form == "ntk" else fan_in**-0.5
                parts.append(size * rng.standard_normal(fan_in * fan_out))
        return np.concatenate(parts)


@functools.lru_cache(maxsize=4)  # one graph for all that looks at one network in turn
def landscape(net):
    """L = |outputs - targets|^2 / 2 on all points, in float64."""
    import keras

    how, (_, *hidden, last) = {"dtype": "float64", "use_bias": False}, net.widths
    # NumPy's number: Keras would make a float32 of Python's.
    times = lambda factor: keras.layers.Rescaling(np.float64(factor), dtype="float64")
    parts = [keras.Input((net.points.inputs,), dtype="float64")]
    for width in hidden:
        parts.append(keras.layers.Dense(width, "tanh", **how))
        if net.form == "ntk":
            parts.append(times(width**-0.5))
    parts.append(keras.layers.Dense(last, **how))
    if net.head == "tanh":
        parts += [times(3.0), keras.layers.Activation("tanh", dtype="float64")]
    return wedges.NetworkLandscape(keras.Sequential(parts), *net.points.load(), half_square(), seed=0)


def half_square():
    """|y - z|^2 / 2, summed over examples, as a Keras loss."""
    import keras

    class HalfSquare(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.sum(keras.ops.square(y_true - y_pred), axis=-1) / 2

    return HalfSquare(reduction="sum")


@dataclasses.dataclass(frozen=True)
class Descent:
    """Gradient descent of a constant step.

    Attributes:
      rate: the step times the largest eigenvalue of the kernel at the start.
      steps: at most.
      floor: it ends where the loss is this share of that at the start.
    """

    rate: float
    steps: int
    floor: float


def descend(net, how, label):
    """Losses of steps 0, 1, ..., [T + 1]; the points at every 50th of them and at the last, [looks, D],
    and their steps [looks]; the step eta. It ends, too, where the loss is 1,000 times the first."""
    import tensorflow as tf

    where, theta = landscape(net), tf.constant(net.start())
    eta = how.rate / np.linalg.eigvalsh(wedges.tangent_kernel(where, theta))[-1]

    first = float(where(theta))
    floor, far = tf.constant(how.floor * first, tf.float64), 1000 * first  # beyond it diverges

    @tf.function(autograph=False)
    def some(theta, floor, most):
        def step(i, theta, losses, _):
            loss, gradient = where.value_and_gradient(theta)
            moved = tf.where((loss > floor) & (loss < far), theta - eta * gradient, theta)
            return i + 1, moved, losses.write(i, loss), loss

        losses = tf.TensorArray(tf.float64, EVERY, element_shape=[])
        start = (0, theta, losses, tf.constant(first, tf.float64))
        going = lambda i, theta, losses, loss: (i < most) & (loss > floor) & (loss < far)
        i, theta, losses, _ = tf.while_loop(going, step, start)
        return theta, losses.stack()[:i]

    losses, thetas, steps = [], [theta.numpy()], [0]
    with progress.bar(label, total=how.steps, unit="step") as bar:
        while steps[-1] < how.steps:
            theta, new = some(theta, floor, tf.constant(min(EVERY, how.steps - steps[-1])))
            losses += new.numpy().tolist()
            done = not floor < losses[-1] < far
            steps.append(len(losses) - int(done))  # the last loss is of the point itself, not of a step
            thetas.append(theta.numpy())
            bar.update(steps[-1] - steps[-2])
            if done:
                break
    if len(losses) == steps[-1]:
        losses.append(float(where(theta)))
    return np.array(losses), np.array(thetas), np.array(steps), eta
