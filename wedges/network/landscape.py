"""A Keras network on a data set, as a landscape."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from wedges._checks import choice, whole
from wedges.landscape import PRODUCTS_AT_ONCE, Evaluation, WithExamples, WithOutputs
from wedges.network import derivatives
from wedges.network.batches import Minibatches
from wedges.network.graphs import Graphs
from wedges.network.losses import why_not_curved
from wedges.network.problem import Problem
from wedges.network.readout import Loss, Readout
from wedges.network.stateless import StatelessModel
from wedges.network.supported import check_supported
from wedges.network.symmetry import check_symmetric

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

_MATRICES = {"hessian": "the Hessian", "gauss_newton": "the Gauss-Newton matrix"}


class NetworkLandscape(WithExamples, WithOutputs):
    """L(theta) = (1/N) sum_i loss(y_i, model(x_i; theta)) [+ the model's regularisers].

    The value is that of inference: no dropout, and batch norm as `batch_norm` says. `sample` is
    what training sees: a minibatch, fresh dropout, batch-norm statistics of the minibatch.
    State that is not trained (batch-norm statistics, frozen weights) is copied when the landscape
    is made; the model is never changed, not even by an evaluation that raises.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> x, y = np.eye(2, dtype="float32"), np.array([1.0, 3.0], "float32")
    >>> landscape = wedges.NetworkLandscape(model, x, y, "mean_squared_error", seed=0)
    >>> float(landscape([1.0, 3.0, 0.0]))  # kernel [2, 1] and bias [1]
    0.0
    >>> float(landscape([1.0, 1.0, 0.0]))
    2.0

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

    Attributes:
      network: the `StatelessModel`; space: its `WeightSpace`.
      x, y, loss, seed, regularize, batch_norm: as given, arrays as tensors.
      size, batch_size, steps_per_epoch: N, B, N // B.
      problem: the `Problem` that passes over the data work on; graphs: its `Graphs`.
      readout: what its outputs and targets mean, a `Readout`.

    Raises:
      ValueError: x and y of different sizes, no examples, no loss, a model that is not built; a
        stateful or quantized model, one of float16 or bfloat16 weights, one for batches of one size.
    """

    takes_batches = False

    def __init__(
        self,
        model: keras.Model | StatelessModel,
        x: Any,
        y: TensorLike,
        loss: str | Loss | None = None,
        *,
        seed: int,
        regularize: bool = False,
        batch_norm: str = "frozen",
        statistics_x: Any = None,
        batch_size: int = 128,
        evaluation_batch_size: int = 500,
    ) -> None:
        choice("batch_norm", batch_norm, ("frozen", "reestimate"))
        whole("batch_size", batch_size)
        whole("evaluation_batch_size", evaluation_batch_size)
        whole("seed", seed, 0, 2**31 - 1)
        self.network = model if isinstance(model, StatelessModel) else StatelessModel(model)
        check_supported(self.network.model)
        self.problem = Problem(
            self.network,
            x,
            y,
            loss,
            regularize=regularize,
            reestimate=batch_norm == "reestimate",
            statistics_x=statistics_x,
            evaluation_batch_size=evaluation_batch_size,
        )
        self.graphs = Graphs(self.problem)
        self.space = self.network.space
        self.dimension, self.dtype = self.space.dimension, self.space.dtype
        self.x, self.y, self.loss = self.problem.x, self.problem.y, self.problem.loss
        self.size, self.evaluation_batch_size = self.problem.size, evaluation_batch_size
        self.seed, self.regularize, self.batch_norm = seed, regularize, batch_norm
        self.readout = Readout(self.loss, self.y, self.dtype)
        self._wanted_batch_size = batch_size
        self.batch_size = min(batch_size, self.size)
        self._minibatches = Minibatches(self.size, self.batch_size, seed)
        self.steps_per_epoch = self._minibatches.steps_per_epoch

    def on(self, x: Any, y: TensorLike, **overrides: Any) -> NetworkLandscape:
        """The same model, state, loss and policy on other examples: `test = train.on(x_test, y_test)`.

        Re-estimated batch-norm statistics still come from this landscape's inputs. Settings given by
        name replace this landscape's.
        """
        settings = {
            "loss": self.loss,
            "seed": self.seed,
            "regularize": self.regularize,
            "batch_norm": self.batch_norm,
            "statistics_x": self.problem.statistics_x,
            "batch_size": self._wanted_batch_size,
            "evaluation_batch_size": self.evaluation_batch_size,
        }
        return NetworkLandscape(self.network, x, y, **{**settings, **overrides})

    # ---- the landscape: theta -> loss -----------------------------------------------------------

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        theta = self.point(theta)
        if theta.shape.rank == 1:
            return self._loss(theta)
        losses = self._loss(tf.reshape(theta, [-1, self.dimension]))  # [R]
        return tf.reshape(losses, tf.shape(theta)[:-1])

    def _loss(self, theta):
        """theta [D] or [R, D] -> [] or [R]."""

        @tf.custom_gradient  # else a tape over the loss would hold every microbatch's activations
        def loss(theta):
            mean = self.graphs.loss if theta.shape.rank == 1 else self.graphs.losses
            return mean(theta), lambda up: up[..., None] * self.value_and_gradient(theta)[1]

        return loss(theta)

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        """The training loss of minibatch number `step`, a function of (theta, step, seed) alone.

        Every epoch of N // batch_size steps visits each example at most once, in an order of its
        own; the at most batch_size - 1 examples left over differ from epoch to epoch.
        """
        return self.sample_of(theta, step, self.minibatch(step))

    def minibatch(
        self, step: int | tf.Tensor, part: tuple[int | tf.Tensor, int] = (0, 1)
    ) -> tuple[Any, tf.Tensor]:
        """Inputs and targets of minibatch number `step`, B examples each.

        Or those of part (i, n) of it, rows i B/n to (i + 1) B/n.

        Raises:
          ValueError: n does not divide B = batch_size.
        """
        i, n = part
        if self.batch_size % n:
            raise ValueError(
                f"batch_size must be a multiple of the {n} devices that share a minibatch; received "
                f"{self.batch_size}."
            )
        size = self.batch_size // n
        rows = self._minibatches.rows(tf.cast(step, tf.int32))[i * size : (i + 1) * size]  # [B / n]
        return tf.nest.map_structure(lambda a: tf.gather(a, rows), (self.x, self.y))

    def sample_of(
        self,
        theta: TensorLike,
        step: int | tf.Tensor,
        examples: tuple[Any, tf.Tensor],
        part: tuple[int | tf.Tensor, int] = (0, 1),
    ) -> tf.Tensor:
        """What `examples`, the part (i, n) of minibatch number `step`, add to its training loss, [].

        The n parts add up to `sample(theta, step)`, but for what couples or tells apart examples: batch
        norm normalises within a part, and each part draws a dropout of its own.

        Raises:
          ValueError: more than one theta.
        """
        theta = self.point(theta)
        if theta.shape.rank != 1:
            raise ValueError(
                f"a network is trained from one start at a time, theta [D]; received shape "
                f"{tuple(theta.shape)}."
            )
        state = self.network.reseeded(self.seed, tf.cast(step, tf.int32), part)
        loss, _ = self.problem.mean_loss(theta, state, examples, training=True)
        return loss if part[1] == 1 else loss / part[1]

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        """L(theta) and its exact gradient over all the data, in the memory of one microbatch."""
        theta = self.point(theta)
        if theta.shape.rank == 1:
            return self.graphs.loss_and_gradient(theta)
        flat = tf.reshape(theta, [-1, self.dimension])  # [R, D]
        losses, gradients = tf.map_fn(
            self.graphs.loss_and_gradient, flat, fn_output_signature=(self.dtype, self.dtype)
        )
        return tf.reshape(losses, tf.shape(theta)[:-1]), tf.reshape(gradients, tf.shape(theta))

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        theta, direction = self.point(theta), self.point(direction)
        loss, gradient = self.value_and_gradient(theta)
        product = self.hessian_product(theta, direction)
        return loss, *(tf.reduce_sum(direction * a, axis=-1) for a in (gradient, product))

    # ---- its second derivatives, and the first ones of its outputs ------------------------------

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        """H(theta) v over all the data, in the memory of one microbatch.

        Where batch-norm statistics are re-estimated it goes through them, in three passes.

        theta, v [..., D] -> [..., D]; or several v [K, D] at one theta [D] -> [K, D], which share the
        pass that gives the gradient, ten at a time.

        Raises:
          ValueError: a loss or an operation without second derivatives; at the first product, a matrix
            that is not symmetric; v of another shape.
        """
        return self._products("hessian", theta, v)

    def gauss_newton_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        """G(theta) v, G the part of the Hessian that is there were the model linear in theta.

            G = (1/N) sum_i J_i^T B_i J_i,    J_i = d outputs_i / d theta

        B_i the second derivatives of an example's loss by its outputs; for cross-entropy of logits
        diag p - p p^T. What is left, H - G = (1/N) sum_i sum_k (d loss_i / d output_ik) d^2 output_ik /
        d theta^2, has the curvature of the model's regularisers, too.
        Shapes, memory and errors as for `hessian_product`.

        Source: Schraudolph 2002 (Neural Computation 14); Papyan 2019 (arXiv:1901.08244).
        """
        return self._products("gauss_newton", theta, v)

    def output_gradients(self, theta: TensorLike, examples: int | None = None) -> tf.Tensor:
        """d outputs_ik / d theta for the first `examples` (all by default): [n, outputs, D].

        n C D numbers, all in memory at once: 80 MB for 100 examples of ten classes at D = 20,000.
        Statistics of batch norm are held at their values at theta. The outputs are those of the model:
        logits, or probabilities if it ends with a softmax.

        Raises:
          ValueError: more than one theta, or examples that are not there.
        """
        theta, n = self._one(theta), self.size if examples is None else examples
        if not 1 <= n <= self.size:
            raise ValueError(f"examples must be from 1 to {self.size}, all there are; received {n!r}.")
        x = tf.nest.map_structure(lambda t: t[:n], self.x)
        return self.graphs.output_gradients(theta, self.graphs.state_at(theta), x)

    def output_pullback(self, theta: TensorLike, u: TensorLike) -> tf.Tensor:
        """sum_i sum_k u_ik d outputs_ik / d theta over all the data, in the memory of one microbatch.

        u [N, outputs] -> [D]. With u = 1 / N in column k it is the mean gradient of logit k.
        Statistics of batch norm are held at their values at theta.

        Raises:
          ValueError: more than one theta, or u without a row for each example.
        """
        theta, u = self._one(theta), tf.convert_to_tensor(u, self.dtype)
        if u.shape.rank == 0 or u.shape[0] != self.size:
            raise ValueError(
                f"u must be shaped as the model's outputs, a row for each of {self.size} examples; "
                f"received shape {tuple(u.shape)}."
            )
        return self.graphs.output_pullback(theta, self.graphs.state_at(theta), u)

    # ---- what else a model does at theta --------------------------------------------------------

    def evaluate(self, theta: TensorLike) -> Evaluation:
        """Loss, accuracy and outputs at theta [D] in one pass over the data: an `Evaluation`."""
        loss, outputs = self.graphs.loss_and_outputs(self.point(theta))
        return Evaluation(loss, self.accuracy(outputs), outputs)

    def probabilities(self, outputs: tf.Tensor) -> tf.Tensor:
        """The model's outputs [N, C] as class probabilities [N, C]; [N, 1] stay those of class 1."""
        return self.readout.probabilities(outputs)

    def labels(self, outputs: tf.Tensor) -> tf.Tensor:
        """The predicted class of each example. outputs [N, ..., C] -> [N, ...] int64."""
        return self.readout.labels(outputs)

    def accuracy(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """Share of examples whose predicted class is the target, []; None for other targets."""
        return self.readout.accuracy(outputs)

    def write(self, theta: TensorLike) -> None:
        """Make the model itself stand at theta [D]: the only method that changes it.

        Under "reestimate" its batch-norm statistics follow.
        """
        theta = self.point(theta)
        state = self.graphs.state_at(theta)
        self.space.write(theta)
        if self.problem.reestimates:
            self.network.batch_norm.write(state)

    # ---- what a call may ask for ----------------------------------------------------------------

    def _products(self, kind, theta, v):
        theta, v = self.point_and_directions(theta, v)
        products = getattr(self.graphs, f"{kind}_products")
        eager = tf.executing_eagerly()  # inside a user's graph no number can be looked at
        if eager and self._flaw:
            raise ValueError(self._flaw)
        found = derivatives.at_each(products, theta, v)
        if eager and kind not in self._symmetric:
            one, row, product = (tf.reshape(a, [-1, self.dimension])[0] for a in (theta, v, found))
            k = min(v.shape[:-1].num_elements(), PRODUCTS_AT_ONCE) if theta.shape.rank == 1 else 1
            check_symmetric(_MATRICES[kind], products, one, (row, product), k, self.seed)
            self._symmetric.add(kind)
        return found

    @functools.cached_property
    def _symmetric(self):
        """The kinds of products that were found to be those of a symmetric matrix."""
        return set()

    @functools.cached_property
    def _flaw(self):
        """Why the loss has no second derivatives, in one sentence; None where it has them."""
        x, y = tf.nest.map_structure(lambda t: t[:8], (self.x, self.y))
        shape = self.problem.outputs(self.space.read(), self.network.state, x).shape
        return why_not_curved(self.loss, y, shape, self.dtype, seed=self.seed)

    def _one(self, theta):
        theta = self.point(theta)
        if theta.shape.rank != 1:
            raise ValueError(f"theta must be one point [D]; received shape {tuple(theta.shape)}.")
        return theta
