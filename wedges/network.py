"""The loss of a Keras model on a data set, as a landscape."""

import collections
import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

from wedges.landscape import Landscape
from wedges.stateless import StatelessModel, fold, leading_size, share
from wedges.weights import WeightSpace

__all__ = ["Evaluation", "NetworkLandscape", "WeightSpace"]

Evaluation = collections.namedtuple("Evaluation", ["loss", "accuracy", "outputs"])
Evaluation.__doc__ = """What a model does at one theta: loss [], accuracy [] (None where the targets
are not classes), outputs [N, ...] as the model returns them (logits or probabilities)."""


class NetworkLandscape(Landscape):
    """L(theta) = (1/N) sum_i loss(y_i, model(x_i; theta)) [+ the model's regularisers].

    The value is that of inference: no dropout, and batch norm as `batch_norm` says. `sample` is
    what training sees: a minibatch, fresh dropout, batch-norm statistics of the minibatch.
    State that is not trained (batch-norm statistics, frozen weights) is copied when the landscape
    is made; the model is never changed, not even by an evaluation that raises.

    Args:
      model: a built `keras.Model` with one output.
      x, y: examples and targets, arrays with one leading axis of N examples. x may be a dict or
        tuple of arrays for a model with several inputs.
      loss: a Keras loss (name, object or function). By default the one `model` was compiled with.
        Its reduction is ignored: a landscape is always the mean over examples.
      regularize: add the model's regularisation losses.
      batch_norm: "frozen" keeps the statistics the model had when this object was made;
        "reestimate" makes them functions of theta: mean and variance over `statistics_x` (all of
        it, pooled) of a training-mode pass at that theta. Statistics belong to a theta, so use
        "reestimate" anywhere but at the trained weights themselves.
      statistics_x: inputs for "reestimate"; by default x. Use training inputs, also when x is a
        test set.
      batch_size: examples in the minibatch of `sample`; all N where there are fewer.
      evaluation_batch_size: examples in memory at once in a pass over the data. Results do not
        depend on it beyond float rounding; re-estimated statistics of stacked batch-norm layers do,
        slightly, since a training-mode pass normalises within it.
      seed: of the minibatches and of dropout. Mandatory.

    Raises:
      ValueError: x and y of different sizes, no examples, no loss, a model that is not built.
    """

    many = False

    def __init__(
        self,
        model,
        x,
        y,
        loss=None,
        *,
        seed,
        regularize=False,
        batch_norm="frozen",
        statistics_x=None,
        batch_size=128,
        evaluation_batch_size=500,
    ):
        if batch_norm not in ("frozen", "reestimate"):
            raise ValueError(f"batch_norm must be 'frozen' or 'reestimate'; received {batch_norm!r}.")
        for name, size in [
            ("batch_size", batch_size),
            ("evaluation_batch_size", evaluation_batch_size),
        ]:
            if size < 1:
                raise ValueError(f"{name} must be at least 1; received {size}.")
        loss = getattr(model, "loss", None) if loss is None else loss
        if loss is None or isinstance(loss, (dict, list, tuple)):
            raise ValueError(
                "loss must be one Keras loss: pass loss=..., or compile the model with it; "
                f"received {loss!r}."
            )
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**31:
            raise ValueError(f"seed must be a whole number from 0 to 2^31 - 1; received {seed!r}.")
        self.network = model if isinstance(model, StatelessModel) else StatelessModel(model)
        self.space = self.network.space
        self.dimension, self.dtype = self.space.dimension, self.space.dtype
        self.loss = keras.losses.get(loss)
        self.seed, self.regularize, self.batch_norm = seed, regularize, batch_norm
        self.x, self.y = tensors("x", x), tensors("y", y)
        self.size = leading_size("x", self.x)
        if self.y.shape.rank == 0 or self.y.shape[0] != self.size:
            raise ValueError(
                f"x and y must have as many examples; received {self.size} and {tuple(self.y.shape)}."
            )
        self.statistics_x = self.x if statistics_x is None else tensors("statistics_x", statistics_x)
        self.evaluation_batch_size = evaluation_batch_size
        self._wanted_batch_size = batch_size
        self.batch_size = min(batch_size, self.size)
        self.steps_per_epoch = self.size // self.batch_size
        self._moving = batch_norm == "reestimate" and self.network.has_batch_norm

    def on(self, x, y, **overrides):
        """The same model, state, loss and policy on other examples: `test = train.on(x_test, y_test)`.

        Re-estimated batch-norm statistics still come from this landscape's inputs. Settings given by
        name replace this landscape's.
        """
        settings = {
            "loss": self.loss,
            "seed": self.seed,
            "regularize": self.regularize,
            "batch_norm": self.batch_norm,
            "statistics_x": self.statistics_x,
            "batch_size": self._wanted_batch_size,
            "evaluation_batch_size": self.evaluation_batch_size,
        }
        return NetworkLandscape(self.network, x, y, **{**settings, **overrides})

    # ---- the landscape: theta -> loss -----------------------------------------------------------

    def __call__(self, theta):
        theta = self.point(theta)
        if theta.shape.rank == 1:
            return self._loss(theta)
        losses = self._loss(tf.reshape(theta, [-1, self.dimension]))  # [R]
        return tf.reshape(losses, tf.shape(theta)[:-1])

    def sample(self, theta, step):
        """The training loss of minibatch number `step`, a function of (theta, step, seed) alone.

        Every epoch of N // batch_size steps visits each example at most once, in an order of its
        own; the at most batch_size - 1 examples left over differ from epoch to epoch.
        """
        return self.sample_of(theta, step, self.minibatch(step))

    def minibatch(self, step, part=(0, 1)):
        """Inputs and targets of minibatch number `step`, B examples each; or part (i, n) of it, rows
        i B/n to (i + 1) B/n. ValueError if n does not divide B = batch_size."""
        i, n = part
        if self.batch_size % n:
            raise ValueError(
                f"batch_size must be a multiple of the {n} devices that share a minibatch; received "
                f"{self.batch_size}."
            )
        size = self.batch_size // n
        rows = self._minibatch(tf.cast(step, tf.int32))[i * size : (i + 1) * size]  # [B / n]
        return tf.nest.map_structure(lambda a: tf.gather(a, rows), (self.x, self.y))

    def sample_of(self, theta, step, examples, part=(0, 1)):
        """What `examples`, the part (i, n) of minibatch number `step`, add to its training loss, [].

        The n parts add up to `sample(theta, step)`, but for what couples or tells apart examples: batch
        norm normalises within a part, and each part draws a dropout of its own.
        """
        theta = self.point(theta)
        if theta.shape.rank != 1:
            raise ValueError(
                f"a network is trained from one start at a time, theta [D]; received shape "
                f"{tuple(theta.shape)}."
            )
        x, y = examples
        state = self.network.reseeded(self.seed, tf.cast(step, tf.int32), part)
        outputs, _, penalties = self.network(theta, state, x, training=True)
        loss = tf.reduce_mean(self._losses(y, outputs)) + self._penalty(penalties)
        return loss if part[1] == 1 else loss / part[1]

    def value_and_gradient(self, theta):
        """L(theta) and its exact gradient over all the data, in the memory of one microbatch."""
        theta = self.point(theta)
        if theta.shape.rank == 1:
            return self._value_and_gradient(theta)
        flat = tf.reshape(theta, [-1, self.dimension])  # [R, D]
        losses, gradients = tf.map_fn(
            self._value_and_gradient, flat, fn_output_signature=(self.dtype, self.dtype)
        )
        return tf.reshape(losses, tf.shape(theta)[:-1]), tf.reshape(gradients, tf.shape(theta))

    def hessian_product(self, theta, v):
        """H(theta) v over all the data, in the memory of one microbatch; of all examples at once where
        batch-norm statistics are re-estimated, since they couple the examples."""
        theta, v = self._pair(theta, v)
        if theta.shape.rank == 1:
            return self._hessian_product(theta, v)
        flat = [tf.reshape(a, [-1, self.dimension]) for a in (theta, v)]  # [R, D] each
        products = tf.map_fn(lambda a: self._hessian_product(*a), flat, fn_output_signature=self.dtype)
        return tf.reshape(products, tf.shape(theta))

    def jet(self, theta, direction):
        theta, direction = self.point(theta), self.point(direction)
        loss, gradient = self.value_and_gradient(theta)
        product = self.hessian_product(theta, direction)
        return loss, *(tf.reduce_sum(direction * a, axis=-1) for a in (gradient, product))

    # ---- what else a model does at theta --------------------------------------------------------

    def evaluate(self, theta):
        """Loss, accuracy and outputs at theta [D] in one pass over the data: an `Evaluation`."""
        loss, outputs = self._evaluate(self.point(theta))
        return Evaluation(loss, self.accuracy(outputs), outputs)

    def probabilities(self, outputs):
        """The model's outputs [N, C] as class probabilities [N, C]; [N, 1] stay those of class 1."""
        return probabilities(self.loss, tf.cast(outputs, self.dtype))

    def labels(self, outputs):
        """The predicted class of each example. outputs [N, ..., C] -> [N, ...] int64."""
        if outputs.shape[-1] == 1:
            return tf.cast(self.probabilities(outputs)[..., 0] > 0.5, tf.int64)
        return tf.argmax(outputs, axis=-1)

    def accuracy(self, outputs):
        """Share of examples whose predicted class is the target, []; None for other targets."""
        classes = self._classes(outputs)
        if classes is None:
            return None
        return tf.reduce_mean(tf.cast(self.labels(outputs) == classes, self.dtype))

    def write(self, theta):
        """Make the model itself stand at theta [D]: the only method that changes it. Under
        "reestimate" its batch-norm statistics follow."""
        theta = self.point(theta)
        state = self._state_at(theta)
        self.space.write(theta)
        if self._moving:
            self.network.write_batch_norm(state)

    # ---- passes over all the data ---------------------------------------------------------------

    @tf.function(autograph=False)
    def _mean_loss(self, theta):
        state = self._state_at(theta)
        add = lambda batch, total: total + self._part(theta, state, batch)[0]
        return fold(add, tf.zeros([], self.dtype), (self.x, self.y), self.evaluation_batch_size)

    @tf.function(autograph=False, reduce_retracing=True)
    def _mean_losses(self, thetas):
        # Two at a time: a small network's operations leave cores idle one after another (15% on two).
        return tf.map_fn(self._mean_loss, thetas, parallel_iterations=2)

    @tf.function(autograph=False)
    def _evaluate(self, theta):
        state = self._state_at(theta)
        whole, rest = divmod(self.size, self.evaluation_batch_size)
        outputs, last = tf.TensorArray(self.dtype, size=whole), []

        def add(batch, carry):
            total, i, outputs = carry
            loss, out = self._part(theta, state, batch)
            out = tf.cast(out, self.dtype)
            if share(batch, self.evaluation_batch_size) < 1:  # the rest, its shape another one
                last.append(out)
                return total + loss, i, outputs
            return total + loss, i + 1, outputs.write(i, out)

        carry = (tf.zeros([], self.dtype), tf.constant(0), outputs)
        loss, _, outputs = fold(add, carry, (self.x, self.y), self.evaluation_batch_size)
        stacked = outputs.stack()  # [whole, B, ...]
        if whole:
            last.insert(0, tf.reshape(stacked, [-1, *stacked.shape[2:]]))
        return loss, tf.concat(last, axis=0)

    @tf.function(autograph=False)
    def _value_and_gradient(self, theta):
        # With re-estimated statistics L(theta) = l(theta, m(theta)), m their moments, so
        # dL/dtheta = dl/dtheta + (dm/dtheta)^T dl/dm: one pass for each term.
        moments = self._moments(theta) if self._moving else []

        def add(batch, carry):
            value, gradients = carry
            with tf.GradientTape() as tape:
                tape.watch([theta, *moments])
                state = self.network.state_of(moments) if self._moving else self.network.state
                loss, _ = self._part(theta, state, batch)
            new = tape.gradient(loss, [theta, *moments], unconnected_gradients="zero")
            return value + loss, [g + n for g, n in zip(gradients, new, strict=True)]

        carry = (tf.zeros([], self.dtype), [tf.zeros_like(t) for t in [theta, *moments]])
        loss, (gradient, *upstream) = fold(add, carry, (self.x, self.y), self.evaluation_batch_size)
        if upstream:
            gradient += self.network.moments_pullback(
                theta, self.statistics_x, self.evaluation_batch_size, upstream
            )
        return loss, gradient

    @tf.function(autograph=False)
    def _hessian_product(self, theta, v):
        data, zero = (self.x, self.y), tf.zeros([], self.dtype)

        def product(loss):
            with tf.GradientTape() as outer:
                outer.watch(theta)
                with tf.GradientTape() as inner:
                    inner.watch(theta)
                    value = loss()
                slope = tf.tensordot(inner.gradient(value, theta), v, 1)  # []
            return outer.gradient(slope, theta, unconnected_gradients="zero")

        def whole():
            moments = self.network.moments(theta, self.statistics_x, self.evaluation_batch_size)
            state = self.network.state_of(moments)
            add = lambda batch, total: total + self._part(theta, state, batch)[0]
            return fold(add, zero, data, self.evaluation_batch_size)

        if self._moving:
            with _twice_differentiable_moments():
                return product(whole)
        part = lambda batch: product(lambda: self._part(theta, self.network.state, batch)[0])
        add = lambda batch, total: total + part(batch)
        return fold(add, tf.zeros_like(theta), data, self.evaluation_batch_size)

    def _loss(self, theta):
        """theta [D] or [R, D] -> [] or [R]."""

        @tf.custom_gradient  # else a tape over the loss would hold every microbatch's activations
        def loss(theta):
            mean = self._mean_loss if theta.shape.rank == 1 else self._mean_losses
            return mean(theta), lambda up: up[..., None] * self.value_and_gradient(theta)[1]

        return loss(theta)

    def _part(self, theta, state, batch):
        """A microbatch's part of the mean loss over all N examples, and its outputs."""
        x, y = batch
        outputs, _, penalties = self.network(theta, state, x, training=False)
        loss = tf.reduce_mean(self._losses(y, outputs)) + self._penalty(penalties)
        return share(y, self.size) * loss, outputs

    @tf.function(autograph=False)
    def _moments(self, theta):
        return self.network.moments(theta, self.statistics_x, self.evaluation_batch_size)

    def _state_at(self, theta):
        return self.network.state_of(self._moments(theta)) if self._moving else self.network.state

    # ---- examples, losses, targets --------------------------------------------------------------

    def _minibatch(self, step):
        """The rows of minibatch number `step`, [B] int32."""
        epoch, position = step // self.steps_per_epoch, step % self.steps_per_epoch
        corner = [epoch % self._orders.shape[0], position * self.batch_size]
        return tf.slice(self._orders, corner, [1, self.batch_size])[0]

    @functools.cached_property
    def _orders(self):
        """Random orders of the examples, one for each epoch, [64, N] (fewer for N above 2^18, to
        stay below 64 MB). Epochs beyond them start again from the first."""
        epochs = max(1, min(64, 2**24 // self.size))
        orders = [np.random.default_rng([self.seed, e]).permutation(self.size) for e in range(epochs)]
        with tf.init_scope():  # a tensor of its own, also when first asked for inside a graph
            return tf.constant(np.array(orders, np.int32))

    def _penalty(self, penalties):
        if not (self.regularize and penalties):
            return tf.zeros([], self.dtype)
        return tf.add_n([tf.cast(p, self.dtype) for p in penalties])

    def _losses(self, y, outputs):
        """The loss of each example. y [B, ...], outputs [B, ...] -> [B]."""
        outputs = tf.cast(outputs, self.dtype)  # float16 activations, float32 loss
        y = tf.cast(y, self.dtype)  # as Keras does before any loss
        batch = y.shape[0]
        if isinstance(self.loss, keras.losses.Loss):
            losses = self.loss.call(y, outputs)  # before its reduction, which may be a sum or nothing
        else:
            if outputs.shape[-1] == 1 and y.shape.rank == outputs.shape.rank - 1:
                y = y[..., None]  # else [B] against [B, 1] would broadcast to [B, B]
            losses = self.loss(y, outputs)
        losses = tf.cast(losses, self.dtype)
        if losses.shape.rank == 0:  # a user's function that has averaged already
            return tf.fill([batch], losses)
        return tf.reduce_mean(tf.reshape(losses, [batch, -1]), axis=1)

    def _classes(self, outputs):
        """The targets as classes, shaped as `labels(outputs)`; None where they are not classes."""
        y, columns = self.y, outputs.shape[-1]
        entropy = "crossentropy" in _name(self.loss)
        if columns > 1 and y.shape == outputs.shape:
            one_hot = entropy and "binary" not in _name(self.loss)
            return tf.argmax(y, axis=-1) if one_hot else None
        whole_numbers = y.dtype.is_integer or y.dtype.is_bool
        if not (entropy or (whole_numbers and columns > 1)):
            return None
        shape = outputs.shape[:-1]
        return tf.cast(tf.reshape(y, shape), tf.int64) if tf.size(y) == shape.num_elements() else None


@contextlib.contextmanager
def _twice_differentiable_moments():
    """TensorFlow's moments, which Keras's batch norm calls, hold the mean in the variance constant: its
    first derivative is then right, its second is not. These are the same numbers, with both right."""

    def moments(x, axes, shift=None, keepdims=False, name=None):
        mean = tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=keepdims)
        return (mean if keepdims else tf.squeeze(mean, axes)), variance

    original = tf.nn.moments
    tf.nn.moments = moments
    try:
        yield
    finally:
        tf.nn.moments = original


def probabilities(loss, outputs):
    """Outputs [..., C] of a model trained on a Keras `loss` as class probabilities [..., C]."""
    if not (hasattr(loss, "get_config") and loss.get_config().get("from_logits")):
        return outputs
    return tf.sigmoid(outputs) if "binary" in _name(loss) else tf.nn.softmax(outputs)


def _name(loss):
    return getattr(loss, "name", getattr(loss, "__name__", "")).replace("_", "").lower()


def tensors(name, arrays):
    """Arrays in memory, or a dict or tuple of them, as tensors; ValueError for anything else."""
    try:
        return tf.nest.map_structure(tf.convert_to_tensor, arrays)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be arrays in memory (or a dict or tuple of them); received "
            f"{type(arrays).__name__}. Stack a data set's examples into arrays first."
        ) from error
