"""The loss of a Keras model on a data set, as a landscape."""

import collections
import functools

import keras
import numpy as np
import tensorflow as tf

from wedges.landscape import Landscape
from wedges.second_order import right
from wedges.stateless import StatelessModel, fold, leading_size, share
from wedges.weights import WeightSpace

__all__ = ["Evaluation", "NetworkLandscape", "WeightSpace"]

# Hessian-vector products that share one pass: more would only make the graph longer.
_TOGETHER = 10

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
        batch-norm statistics are re-estimated, since they couple the examples.

        theta, v [..., D] -> [..., D]; or several v [K, D] at one theta [D] -> [K, D], which share the
        pass that gives the gradient, ten at a time.

        Raises ValueError for a loss without second derivatives.
        """
        return self._at_each(self._hessian_products, theta, v)

    def gauss_newton_product(self, theta, v):
        """G(theta) v, G the part of the Hessian that is there were the model linear in theta.

            G = (1/N) sum_i J_i^T B_i J_i,    J_i = d outputs_i / d theta

        B_i the second derivatives of an example's loss by its outputs; for cross-entropy of logits
        diag p - p p^T. What is left, H - G = (1/N) sum_i sum_k (d loss_i / d output_ik) d^2 output_ik /
        d theta^2, has the curvature of the model's regularisers, too.
        Shapes, memory and errors as for `hessian_product`.

        Source: Schraudolph 2002 (Neural Computation 14); Papyan 2019 (arXiv:1901.08244).
        """
        return self._at_each(self._gauss_newton_products, theta, v)

    def _at_each(self, products, theta, v):
        """products(theta [D], v [K, D]) for one theta or several, some v at a time."""
        theta, v = self._pair(theta, v)
        if tf.executing_eagerly():  # inside a user's graph no number can be looked at
            self._twice_differentiable  # noqa: B018
        if theta.shape.rank > 1:
            flat = [tf.reshape(a, [-1, self.dimension]) for a in (theta, v)]  # [R, D] each
            one = lambda a: products(a[0], a[1][None])[0]
            found = tf.map_fn(one, flat, fn_output_signature=self.dtype)
            return tf.reshape(found, tf.shape(theta))
        rows = tf.reshape(v, [-1, self.dimension])  # [K, D]
        parts = range(0, rows.shape[0], _TOGETHER)
        found = tf.concat([products(theta, rows[i : i + _TOGETHER]) for i in parts], axis=0)
        return tf.reshape(found, tf.shape(v))

    @functools.cached_property
    def _twice_differentiable(self):
        """Raises ValueError where the loss has no second derivative by the outputs, or always 0."""
        x, y = tf.nest.map_structure(lambda t: t[:8], (self.x, self.y))
        shape = self.network(self.space.read(), self.network.state, x, training=False)[0].shape
        noise = tf.random.stateless_normal(shape, [0, self.seed], dtype=self.dtype)
        places = [tf.sigmoid(noise)]  # good as logits, probabilities or values
        if tf.size(y) == shape.num_elements():  # near the targets
            places.append(tf.reshape(tf.cast(y, self.dtype), shape) + noise / 2)
        try:
            if any(np.any(self._second_derivative(y, z)) for z in places):
                return
            what = "is 0 wherever it exists"
        except LookupError:
            what = "is not known to TensorFlow"
        name = getattr(self.loss, "name", None) or getattr(self.loss, "__name__", self.loss)
        raise ValueError(
            "loss must be twice differentiable by the model's outputs to have curvature; received "
            f"{name}, whose second derivative {what}. Use a smooth "
            "loss, e.g. mean_squared_error, huber or a cross-entropy."
        )

    def _second_derivative(self, y, z):
        """Of each example's loss at outputs z [B, ...], along z: [B, ...]."""
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                losses = self._losses(y, z)
            slope = inner.gradient(losses, z, unconnected_gradients="zero")
        return outer.gradient(slope, z, z, unconnected_gradients="zero")

    def output_gradients(self, theta, examples=None):
        """d outputs_ik / d theta for the first `examples` (all by default): [n, outputs, D].

        n C D numbers, all in memory at once: 80 MB for 100 examples of ten classes at D = 20,000.
        Statistics of batch norm are held at their values at theta. The outputs are those of the model:
        logits, or probabilities if it ends with a softmax.
        """
        theta, n = self.point(theta), self.size if examples is None else examples
        _one(theta)
        if not 1 <= n <= self.size:
            raise ValueError(f"examples must be from 1 to {self.size}, all there are; received {n!r}.")
        x = tf.nest.map_structure(lambda t: t[:n], self.x)
        return self._output_gradients(theta, self._state_at(theta), x)

    def output_pullback(self, theta, u):
        """sum_i sum_k u_ik d outputs_ik / d theta over all the data: u [N, outputs] -> [D], in the
        memory of one microbatch. With u = 1 / N in column k it is the mean gradient of logit k.
        Statistics of batch norm are held at their values at theta."""
        theta, u = self.point(theta), tf.convert_to_tensor(u, self.dtype)
        _one(theta)
        if u.shape.rank == 0 or u.shape[0] != self.size:
            raise ValueError(
                f"u must be shaped as the model's outputs, a row for each of {self.size} examples; "
                f"received shape {tuple(u.shape)}."
            )
        return self._output_pullback(theta, self._state_at(theta), u)

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
    def _hessian_products(self, theta, v):
        """theta [D], v [K, D] -> [K, D]. Reverse over reverse: measured faster than forward over reverse
        in TensorFlow, whose forward mode fuses less."""

        def products(loss):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(theta)
                with tf.GradientTape() as inner:
                    inner.watch(theta)
                    value = loss()
                gradient = inner.gradient(value, theta)  # [D], once for all v
            along = lambda row: outer.gradient(
                gradient, theta, output_gradients=row, unconnected_gradients="zero"
            )
            return tf.stack([along(row) for row in tf.unstack(v)])

        def whole():
            state = self._moving_state(theta)
            add = lambda batch, total: total + self._part(theta, state, batch)[0]
            zero = tf.zeros([], self.dtype)
            return fold(add, zero, (self.x, self.y), self.evaluation_batch_size)

        with right(fast=not self._moving):
            if self._moving:
                return products(whole)
            part = lambda batch: products(lambda: self._part(theta, self.network.state, batch)[0])
            return self._sum_of_parts(part, v)

    @tf.function(autograph=False)
    def _gauss_newton_products(self, theta, v):
        """theta [D], v [K, D] -> [K, D]."""

        def products(batch):
            x, y = batch
            with tf.GradientTape(persistent=True) as model:
                model.watch(theta)
                state = self._moving_state(theta) if self._moving else self.network.state
                outputs = tf.cast(self.network(theta, state, x, training=False)[0], self.dtype)
                # Keras remembers the logits of probabilities, and its losses would go around these.
                outputs = tf.identity(outputs)
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(outputs)
                with tf.GradientTape() as inner:
                    inner.watch(outputs)
                    loss = share(y, self.size) * tf.reduce_mean(self._losses(y, outputs))
                slope = inner.gradient(loss, outputs)  # [B, ...]
            none = tf.zeros_like(outputs)
            with tf.GradientTape(persistent=True) as linear:
                linear.watch(none)
                back = model.gradient(outputs, theta, none)  # J^T u, linear in u, so its slope is J

            def one(row):
                moved = linear.gradient(back, none, row)  # J v [B, ...]
                bent = outer.gradient(slope, outputs, moved, unconnected_gradients="zero")  # B J v
                return model.gradient(outputs, theta, bent)

            return tf.stack([one(row) for row in tf.unstack(v)])

        with right(fast=not self._moving):
            if self._moving:
                return products((self.x, self.y))
            return self._sum_of_parts(products, v)

    def _sum_of_parts(self, part, like):
        """part(batch) added up over the microbatches; all of the shape of `like`."""
        add = lambda batch, total: total + part(batch)
        return fold(add, tf.zeros_like(like), (self.x, self.y), self.evaluation_batch_size)

    def _moving_state(self, theta):
        """As `_state_at`, but traced here, where both derivatives go through it."""
        moments = self.network.moments(theta, self.statistics_x, self.evaluation_batch_size)
        return self.network.state_of(moments)

    @tf.function(autograph=False)
    def _output_pullback(self, theta, state, u):
        def part(batch):
            x, u = batch
            with tf.GradientTape() as tape:
                tape.watch(theta)
                outputs = tf.cast(self.network(theta, state, x, training=False)[0], self.dtype)
            return tape.gradient(outputs, theta, u)

        add = lambda batch, total: total + part(batch)
        return fold(add, tf.zeros_like(theta), (self.x, u), self.evaluation_batch_size)

    @tf.function(autograph=False)
    def _output_gradients(self, theta, state, x):
        def of_one(x):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(theta)
                one = tf.nest.map_structure(lambda t: t[None], x)
                outputs = tf.cast(self.network(theta, state, one, training=False)[0], self.dtype)
                rows = tf.unstack(tf.reshape(outputs, [-1]))
            return tf.stack([tape.gradient(z, theta) for z in rows])  # [outputs, D]

        return tf.map_fn(of_one, x, fn_output_signature=self.dtype)

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


def _one(theta):
    if theta.shape.rank != 1:
        raise ValueError(f"theta must be one point [D]; received shape {tuple(theta.shape)}.")


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
