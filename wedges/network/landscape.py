"""A Keras network on a data set, as a landscape."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from wedges._checks import called, choice, numbers, whole
from wedges._checks import seed as checked_seed
from wedges._progress import waiting
from wedges.landscape import PRODUCTS_AT_ONCE, Evaluation, WithExamples, WithOutputs
from wedges.network import derivatives
from wedges.network.examples import ENDED_EARLY, Arrays, examples_of
from wedges.network.graphs import Graphs
from wedges.network.losses import why_not_curved
from wedges.network.objective import Objective, class_weights
from wedges.network.pickles import reduced
from wedges.network.problem import Problem
from wedges.network.readout import Readout
from wedges.network.stateless import StatelessModel
from wedges.network.supported import check_supported
from wedges.network.symmetry import check_symmetric

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

_ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception)\b: ")  # as Python ends a traceback
_MATRICES = {"hessian": "the Hessian", "gauss_newton": "the Gauss-Newton matrix"}


class NetworkLandscape(WithExamples, WithOutputs):
    """L(theta): what `model.evaluate` says of all N examples at once, the model's weights being theta.

    For a plain loss the mean over examples, L(theta) = (1/N) sum_i loss(y_i, model(x_i; theta)). In
    general it is Keras' own number: the losses of all outputs times their `loss_weights`, with masks,
    weights of examples and each loss's reduction, and what layers add by `add_loss`. A masked mean is
    one over all positions of all examples that count, whatever `evaluation_batch_size`.

    The value is that of inference: no dropout, and batch norm as `batch_norm` says. `sample` is
    what training sees: a minibatch, fresh dropout, batch-norm statistics of the minibatch.
    State that is not trained (batch-norm statistics, frozen weights) is copied when the landscape
    is made; the model is never changed, not even by an evaluation that raises.

    It pickles: the model as Keras saves it, with the classes and functions of yours that it needs;
    arrays on disk by reference, to be read there; other sources as they pickle themselves.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> x, y = np.eye(2, dtype="float32"), np.array([1.0, 3.0], "float32")
    >>> landscape = wedges.NetworkLandscape(model, x, y, "mean_squared_error", seed=0)
    >>> float(landscape([1.0, 3.0, 0.0]))  # kernel [2, 1] and bias [1]
    0.0
    >>> float(landscape([1.0, 1.0, 0.0]))
    2.0

    Args:
      model: a built `keras.Model`, of any inputs and outputs.
      x, y: examples and targets, in any form that Keras takes: arrays, tensors, lists of numbers,
        pandas' frames, dicts or tuples of them for several inputs or outputs, `numpy.memmap` and other
        arrays on disk. Or x alone, without y: a `tf.data.Dataset` of batches, a
        `keras.utils.PyDataset`, or any source with `len(x)` and `x[i]`, that yields (x, y) or
        (x, y, sample_weight). Of what is not in memory only a few batches are read at a time.
      loss: a Keras loss (name, object or function), or a list or dict of them for the outputs. By
        default what `model` was compiled with, its `loss_weights` and an overridden `compute_loss`
        included.
      sample_weight: of the examples [N], or of their positions, or a structure of them for the outputs.
      class_weight: {class: weight}, as `fit` takes it; instead of sample_weight.
      loss_weights: of the outputs, as compile() takes them.
      regularize: add the losses of the weights' regularisers, as `evaluate` does. What layers add by
        `add_loss`, or for their activity, is always part of L.
      batch_norm: "frozen" keeps the statistics the model had when this object was made, as `evaluate`
        does; "reestimate" makes them functions of theta: mean and variance over `statistics_x` (all of
        it, pooled) of a training-mode pass at that theta, which costs one more pass over the data.
        Statistics belong to a theta, so use "reestimate" anywhere but at the trained weights
        themselves, and wherever two models are compared.
      statistics_x: inputs for "reestimate"; by default x. Use training inputs, also when x is a
        test set.
      batch_size: examples in the minibatch of `sample`; all N where there are fewer. Not used where x
        yields batches, which are the minibatches.
      evaluation_batch_size: examples in memory at once in a pass over the data. Results do not
        depend on it beyond float rounding; re-estimated statistics of stacked batch-norm layers do,
        slightly, since a training-mode pass normalises within it. A loss that couples the examples of a
        batch (Dice, Tversky, contrastive losses) is noticed, and computed over all N at once.
      seed: of the minibatches and of dropout. Mandatory.

    Attributes:
      network: the `StatelessModel`; space: its `WeightSpace`.
      examples: the `Examples`; objective: the `Objective`.
      x, y, sample_weight: as tensors, where they are arrays in memory; else None. With class_weight the
        weight of each example is that of its class.
      loss, seed, regularize, batch_norm: as given.
      size, batch_size, steps_per_epoch: N, B, and how many minibatches there are in an epoch.
      problem: the `Problem` that passes over the data work on; graphs: its `Graphs`.
      readout: what its outputs mean, a `Readout`.

    Raises:
      ValueError: arrays of different sizes, no examples, no loss, a model that is not built; a stateful
        or quantized model, one of float16 or bfloat16 weights, one for batches of one size; NaN or
        infinity in x or y, but for targets that the loss leaves out. (Of what is not in memory the first
        few examples are looked at.)
    """

    takes_batches = False

    def __init__(
        self,
        model: keras.Model | StatelessModel,
        x: Any,
        y: Any = None,
        loss: Any = None,
        *,
        seed: int,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        loss_weights: Any = None,
        regularize: bool = False,
        batch_norm: str = "frozen",
        statistics_x: Any = None,
        batch_size: int = 128,
        evaluation_batch_size: int = 500,
    ) -> None:
        choice("batch_norm", batch_norm, ("frozen", "reestimate"))
        batch_size = whole("batch_size", batch_size)
        evaluation_batch_size = whole("evaluation_batch_size", evaluation_batch_size)
        seed = whole("seed", seed, 0, 2**31 - 1)
        self.network = model if isinstance(model, StatelessModel) else StatelessModel(model)
        check_supported(self.network.model)
        reestimates = batch_norm == "reestimate"
        self.space = self.network.space.under(reestimates=reestimates)
        self.dimension, self.dtype = self.space.dimension, self.space.dtype
        self.examples = _weighted(examples_of(x, y, sample_weight), class_weight, self.dtype)
        self.objective = Objective(self.network.model, loss, loss_weights, self.dtype)
        self.problem = Problem(
            self.network,
            self.examples,
            self.objective,
            regularize=regularize,
            reestimate=reestimates,
            statistics=self.examples
            if statistics_x is None
            else examples_of(statistics_x, names=("statistics_x", "y", "sample_weight")),
            evaluation_batch_size=evaluation_batch_size,
        )
        self.readout = Readout(self.objective, *self.problem.probed[1:], self.dtype)
        self.graphs = Graphs(self.problem, self.readout)
        self.problem.check_finite(
            ("x", "y", "sample_weight" if class_weight is None else "class_weight")
        )
        self.readout.check(self.problem, self.examples)
        self.readout.leave_out_shares(self.problem, self.examples)
        self.x, self.y, self.sample_weight = _in_memory(self.examples)
        self.loss = self.objective.loss
        self.size, self.evaluation_batch_size = self.examples.size, evaluation_batch_size
        self.seed, self.regularize, self.batch_norm = seed, regularize, batch_norm
        self._given = {
            "loss": loss,
            "loss_weights": loss_weights,
            "batch_size": batch_size,
        }
        self.batch_size = min(batch_size, self.size)
        self._minibatches = self.examples.steps(self.batch_size, seed)
        self.steps_per_epoch = self._minibatches.steps_per_epoch

    def __reduce__(self) -> tuple:
        return reduced(self)

    def __repr__(self) -> str:
        model = self.network.model
        policy = [f"{self.dtype.name} weights", f"policy {model.dtype_policy.name}"]
        policy += [f"batch norm {self.batch_norm}"] if self.network.has_batch_norm else []
        policy += ["regularizers added"] if self.regularize else []
        return (
            f"NetworkLandscape(model {model.name!r}, D = {self.dimension:,}, N = {self.size:,}, "
            f"loss {self.objective}, {', '.join(policy)})"
        )

    def on(self, x: Any, y: Any = None, **overrides: Any) -> NetworkLandscape:
        """The same model, state, loss and policy on other examples: `test = train.on(x_test, y_test)`.

        Re-estimated batch-norm statistics still come from this landscape's inputs. Settings given by
        name replace this landscape's; weights of examples belong to these, and are not taken over. A
        loss that the model was compiled with stays what it was when this landscape was made; only an
        overridden `compute_loss` asks the model itself, whenever it is called.
        """
        kept = {} if "loss" in overrides else self._compiled_loss()
        settings = {
            **self._given,
            **kept,
            "seed": self.seed,
            "regularize": self.regularize,
            "batch_norm": self.batch_norm,
            "statistics_x": self.problem.statistics,
            "evaluation_batch_size": self.evaluation_batch_size,
        }
        found = NetworkLandscape(self.network, x, y, **{**settings, **overrides})
        found._given.update({name: overrides.get(name, self._given[name]) for name in kept})
        return found

    def _compiled_loss(self):
        """The loss that the model was compiled with, as settings; none where another was given."""
        if self._given["loss"] is not None or self.objective.loss is None or self.objective.own:
            return {}
        return {"loss": self.objective.loss, "loss_weights": self.objective.loss_weights}

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
            with self._waiting("the loss"):
                value = mean(theta)
            return value, lambda up: up[..., None] * self.value_and_gradient(theta)[1]

        return loss(theta)

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        """The training loss of minibatch number `step`, a function of (theta, step, seed) alone.

        Every epoch of N // batch_size steps visits each example at most once, in an order of its
        own; the at most batch_size - 1 examples left over differ from epoch to epoch. A
        `tf.data.Dataset` alone gives its batches in its own order, whatever the number; it warns.
        """
        return self.sample_of(theta, step, self.minibatch(step))

    def minibatch(
        self, step: int | tf.Tensor, part: tuple[int | tf.Tensor, int] = (0, 1)
    ) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights of minibatch number `step`, B examples each; () for what is not.

        Or those of part (i, n) of it, rows i B/n to (i + 1) B/n.

        Raises:
          ValueError: n does not divide B = batch_size, examples come in batches of their own, or the
            loss of a minibatch does not follow from those of its parts: it divides by what a mask or
            weights of examples leave, or couples examples.
        """
        i, n = part
        if not tf.is_tensor(step):
            step = whole("step", step, 0, 2**31 - 1)
        rows = self._minibatches.rows(tf.cast(step, tf.int32))  # [B]
        if n == 1:
            return self.examples.minibatch(rows)
        if self.examples.own_batches:
            raise ValueError(
                "examples must be arrays, or a source with len(x) and x[i], where devices share a "
                f"minibatch; received {type(self.examples.source).__name__}."
            )
        if self.batch_size % n:
            raise ValueError(
                f"batch_size must be a multiple of the {n} devices that share a minibatch; received "
                f"{self.batch_size}."
            )
        self.problem.check_in_parts()
        size = self.batch_size // n
        return self.examples.minibatch(tf.slice(rows, [i * size], [size]))

    def drawn(self, n: int, *, seed: int) -> tuple[Any, Any, Any]:
        """Inputs, targets and weights of n examples, the same in each landscape on these data.

        They depend on the seed and N alone, not on minibatches. Of a source that has batches of its own
        they are the first n.

        Raises:
          ValueError: more than there are.
        """
        n = whole("n", n, 1, self.size, limit="N")
        if self.examples.own_batches:
            return self.examples.first(n)
        rows = np.random.default_rng(checked_seed(seed)).choice(self.size, n, replace=False)
        return self.examples.minibatch(tf.constant(rows, tf.int32))

    def sample_of(
        self,
        theta: TensorLike,
        step: int | tf.Tensor,
        examples: tuple[Any, Any, Any],
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
        loss = self.problem.mean_loss(theta, state, examples, training=True, parts=part[1])
        return loss if part[1] == 1 else loss / part[1]

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        """L(theta) and its exact gradient over all the data, in the memory of one microbatch."""
        theta = self.point(theta)
        if theta.shape.rank == 1:
            with self._waiting("the gradient"):
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
        n = whole("examples", n, 1, self.size, limit="N")
        x = self.examples.first(n)[0]
        return self.graphs.output_gradients(theta, self.graphs.state_at(theta), x)

    def output_pullback(self, theta: TensorLike, u: Any) -> tf.Tensor:
        """sum_i sum_k u_ik d outputs_ik / d theta over all the data, in the memory of one microbatch.

        u [N, outputs] -> [D]. With u = 1 / N in column k it is the mean gradient of logit k. For a model
        of several outputs u is a list or dict as they are, of one array each, and the sum is over all.
        Statistics of batch norm are held at their values at theta.

        Raises:
          ValueError: more than one theta, or u that is not shaped as the outputs.
        """
        theta = self._one(theta)
        return self.graphs.output_pullback(theta, self.graphs.state_at(theta), self._as_outputs(u))

    # ---- what else a model does at theta --------------------------------------------------------

    def evaluate(self, theta: TensorLike) -> Evaluation:
        """Loss, accuracy and outputs at theta [D] in one pass over the data: an `Evaluation`.

        NumPy's arrays and numbers, but tensors within a `tf.function`.
        Accuracy counts what the loss counts: positions that a mask, `ignore_class` or a weight of 0
        leaves out do not enter, others by their weights, as Keras' `weighted_metrics` do.
        """
        theta = self._one(theta)
        with self._waiting("outputs and loss"):
            loss, counts, outputs = self.graphs.evaluation(theta)
        found = Evaluation(loss, self.readout.accuracy(counts), outputs)
        return Evaluation(*map(_plain, found)) if tf.executing_eagerly() else found

    def probabilities(self, outputs: Any) -> Any:
        """The model's outputs [N, C] as class probabilities [N, C]; [N, 1] stay those of class 1."""
        return self.readout.probabilities(outputs)

    def labels(self, outputs: Any) -> Any:
        """The predicted class of each example. outputs [N, ..., C] -> [N, ...] int64."""
        return self.readout.labels(outputs)

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
        first = eager and kind not in self._symmetric
        with self._waiting(f"{'first ' * first}products with {_MATRICES[kind]}"):
            found = derivatives.at_each(products, theta, v)
            if first:
                one, row, product = (tf.reshape(a, [-1, self.dimension])[0] for a in (theta, v, found))
                k = min(v.shape[:-1].num_elements(), PRODUCTS_AT_ONCE) if theta.shape.rank == 1 else 1
                check_symmetric(_MATRICES[kind], products, one, (row, product), k, self.seed)
                self._symmetric.add(kind)
        return found

    def _waiting(self, what):
        """A line that says what is computed, or compiled the first time, where it takes its time."""
        if not tf.executing_eagerly():
            return contextlib.nullcontext()
        line = f"{what} of model {self.network.model.name!r}, {self.size:,} examples"
        return waiting(line) if isinstance(self.examples, Arrays) else self._reading(line)

    @contextlib.contextmanager
    def _reading(self, line):
        """The same where data are read meanwhile: what goes wrong there is said in one line."""
        try:
            with waiting(line):
                yield
        except tf.errors.OutOfRangeError as error:
            raise ValueError(ENDED_EARLY) from error
        except (tf.errors.UnknownError, tf.errors.InvalidArgumentError) as error:
            if ENDED_EARLY in str(error.message):
                raise ValueError(ENDED_EARLY) from error
            said = [s for s in str(error.message).splitlines() if _ERROR.match(s.strip())]
            if not said:
                raise
            raise ValueError(f"x could not be read: {said[-1].strip()}") from error

    @functools.cached_property
    def _symmetric(self):
        """The kinds of products that were found to be those of a symmetric matrix."""
        return set()

    @functools.cached_property
    def _flaw(self):
        """Why the loss has no second derivatives, in one sentence; None where it has them."""
        batch, outputs, _ = self.problem.probed
        return why_not_curved(self.problem, batch, outputs, seed=self.seed)

    def _as_outputs(self, u):
        """The arrays of u, one for each output in flat order, each shaped as it or [N, columns]."""
        outputs = self.problem.probed[1]
        given = _leaves_as(u, outputs)
        if given is None:
            raise self._misshapen(called(u))
        parts = [numbers("u", a, self.dtype) for a in given]
        for a, z in zip(parts, tf.nest.flatten(outputs), strict=True):
            shape, wanted = tuple(a.shape), (self.size, *z.shape[1:])
            long = lambda s: [s[0], *(n for n in s[1:] if n != 1)]
            flat = len(shape) == 2 and np.prod(shape) == np.prod(wanted)
            if not shape or shape[0] != self.size or not (flat or long(shape) == long(wanted)):
                raise self._misshapen(f"shape {shape}, not {wanted}")
        return parts

    def _misshapen(self, received):
        return ValueError(
            f"u must be shaped as the model's outputs, a row for each of {self.size} examples; received "
            f"{received}."
        )

    def _one(self, theta):
        theta = self.point(theta)
        if theta.shape.rank != 1:
            raise ValueError(f"theta must be one point [D]; received shape {tuple(theta.shape)}.")
        return theta


def _leaves_as(given, structure):
    """What stands in `given` where tensors stand in a structure, flat; None where it is another one."""
    if isinstance(structure, dict):
        same = isinstance(given, dict) and given.keys() == structure.keys()
        pairs = [(given[k], structure[k]) for k in sorted(structure)] if same else []
    elif isinstance(structure, (list, tuple)):
        same = isinstance(given, (list, tuple)) and len(given) == len(structure)
        pairs = list(zip(given, structure, strict=True)) if same else []
    else:
        return [given]
    found = [_leaves_as(*pair) for pair in pairs]
    return list(itertools.chain(*found)) if same and all(f is not None for f in found) else None


def _weighted(examples, class_weight, dtype):
    """The examples, weighted by their classes where the user wants it."""
    if class_weight is None:
        return examples
    if tf.nest.flatten(examples.first(1)[2]):
        raise ValueError("class_weight must be None beside sample_weight; received both.")
    return examples.with_weights(functools.partial(_by_class, weights=class_weight, dtype=dtype))


def _by_class(batch, weights, dtype):
    return class_weights(batch[1], weights, dtype)


def _plain(tensors):
    """NumPy's arrays and numbers in place of tensors."""
    return tf.nest.map_structure(lambda t: None if t is None else t.numpy(), tensors)


def _in_memory(examples):
    """x, y and weights as tensors, where they are arrays; None else, and for what is not there."""
    batch = getattr(examples, "batch", (None,) * 3)
    return [None if isinstance(part, tuple) and not part else part for part in batch]
