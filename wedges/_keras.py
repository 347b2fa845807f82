"""What the library uses of Keras that Keras does not document: all of it, in one place.

`TRIED` names the versions of Keras with which every name below was found and did what is asked of it
here. A new version of Keras is a reason to run the tests, and to add it.

    Layer._flatten_layers              layers inside of layers, in order
    Layer._get_own_losses              what one layer itself has added, without those inside of it
    Variable._direct_assign            an assignment past any scope
    Optimizer._learning_rate           the schedule of a rate, not its value now
    Optimizer._iterations              how many gradients it was given, those it only accumulates too
    Optimizer._trainable_variables     what it was built to train
    LossScaleOptimizer.inner_optimizer the one that it hands them to
    StatelessScope.state_mapping       what a scope holds: {id of a variable: value}
    StatelessScope.original_scope      the scope around it, while it is entered
    "seed_generator_state"             what a seed generator calls its counter
    Model._compile_loss                what compile() was given as loss, loss_weights, in one object
    Model._compute_loss                compute_loss() of a user, whether or not it takes `training`
    CompileLoss, get_loss              which loss is for which output, and its weight
    apply_mask, squeeze_or_expand_..   how a mask and weights of examples join, and align with losses
    Model.compiled, optimizer, _compile_metrics, _loss_tracker   what compile() leaves on a model
    get_keras_mask, "_keras_mask"      which positions of a tensor count
    LossFunctionWrapper.fn, ._fn_kwargs   the function that a loss is made of, and its settings
    "attention_output"                 what an attention layer calls the layer that joins its heads
    Model._initial_epoch               where a restored `fit` begins; read after on_train_begin
    BackupAndRestore._save_model       what it calls whenever it saves
    BackupAndRestore._current_epoch    how many epochs it then says are done
    BackupAndRestore._weights_path     its two files, written in this order
    BackupAndRestore._training_metadata_path
    CallbackList.callbacks             looked at anew whenever something is called on all of them
    Functional._run_through_graph      a model's layers in their order, each called by a function
    Sequential._functional             what a sequential model is once its input is known
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as _loss
from keras.src.losses.losses import LossFunctionWrapper
from keras.src.trainers import compile_utils as _compile

TRIED = ("3.6.0", "3.15.1")

SEED_STATE = "seed_generator_state"


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The model and all layers in it at any depth, each before those that it holds."""
    return model._flatten_layers()


def through_graph(model: keras.Model, x: Any, operation: Callable[[Any], Callable[..., Any]]) -> Any:
    """What a model of layers makes of x, each layer or operation called as operation(layer)(...).

    None for a model that is no graph of layers. x and what is made of it are anything but structures.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    run = getattr(graph, "_run_through_graph", None)
    return None if run is None else run(x, operation_fn=operation)


def attention_outputs(attention: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers of an attention layer that bring its heads together: one, once it is built."""
    return [layer for layer in attention._flatten_layers() if layer.name == "attention_output"]


def own_losses(layer: keras.layers.Layer) -> list[tf.Tensor]:
    """The penalties that the layer itself has added in its last call, not those of layers in it."""
    return layer._get_own_losses()


def learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """An optimizer's learning rate as it was given, a schedule for one with a schedule."""
    return getattr(optimizer, "_learning_rate", None)


def batches_given(model: keras.Model) -> int | None:
    """How many batches' gradients its optimizer was given, accumulated ones too; None: unknown."""
    iterations = getattr(optimizer_of(model), "_iterations", None)
    return None if iterations is None else int(iterations)


def trained_by_optimizer(model: keras.Model) -> list[keras.Variable]:
    """The variables that its optimizer was built to train, whatever has been frozen since."""
    return list(getattr(optimizer_of(model), "_trainable_variables", []))


def optimizer_of(model: keras.Model) -> Any:
    """What a model was compiled with, without what scales losses around it; None without."""
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def callback_list(callback: keras.callbacks.Callback) -> keras.callbacks.CallbackList | None:
    """The list that is calling one of its callbacks right now, None where something else calls it.

    Keras gives a callback no way to the others. Its list is found as the one that calls.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.CallbackList) and callback in owner.callbacks:
            return owner
        frame = frame.f_back
    return None


def accompany_backup(
    backup: keras.callbacks.BackupAndRestore,
    loading: Callable[[], AbstractContextManager],
    saving: Callable[[], AbstractContextManager],
) -> None:
    """Until `leave_backup`, have a backup load within `loading()` and save within `saving()`."""
    kind = type(backup)

    def on_train_begin(logs=None):
        with loading():
            kind.on_train_begin(backup, logs)

    def save():
        with saving():
            kind._save_model(backup)

    backup.on_train_begin, backup._save_model = on_train_begin, save


def leave_backup(backup: keras.callbacks.BackupAndRestore) -> None:
    """Undo `accompany_backup`."""
    for name in ("on_train_begin", "_save_model"):
        vars(backup).pop(name, None)


def backup_epoch(backup: keras.callbacks.BackupAndRestore) -> int:
    """How many epochs are done, by what a `BackupAndRestore` is about to write."""
    return backup._current_epoch


def backup_files(backup: keras.callbacks.BackupAndRestore) -> tuple[str, str]:
    """The paths of a `BackupAndRestore`'s weights, and of the number of epochs beside them."""
    return backup._weights_path, backup._training_metadata_path


def initial_epoch(model: keras.Model) -> int:
    """The epoch with which a restored `fit` begins."""
    return model._initial_epoch or 0


def set_initial_epoch(model: keras.Model, epoch: int) -> None:
    """Have `fit` begin with an epoch; to be set before the first one begins."""
    model._initial_epoch = epoch


@contextlib.contextmanager
def replaced(layer: keras.layers.Layer, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """While it lasts, an attribute of one object alone is another; Keras' tracking sees nothing."""
    own = vars(layer)
    before = {name: own[name]} if name in own else {}
    own[name] = function
    try:
        yield
    finally:
        del own[name]
        own.update(before)


class ReadAs(keras.StatelessScope):
    """Within it, `variables` read as `values`; every other variable is read and written as outside.

    A plain StatelessScope would hide the scope around it, and lose what is written to variables that
    the model does not own, such as Keras's global seed.

    Args:
      variables: Keras variables.
      values: a tensor for each of them, of its dtype.

    Raises:
      ValueError: within it, an assignment to one of `variables`.
    """

    def __init__(self, variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]) -> None:
        super().__init__(collect_losses=True, initialize_variables=False)
        # Not by its argument, which casts to float16 within a mixed-precision call.
        self.state_mapping = {id(v): value for v, value in zip(variables, values, strict=True)}

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        value = self.state_mapping.get(id(variable))
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update
        if id(variable) in self.state_mapping:
            raise ValueError(
                f"a Hyperplane's model must not assign to its own trainable weights in a call; received "
                f"an assignment to {variable.path!r}."
            )
        if self.original_scope is not None:
            self.original_scope.add_update(update)
        else:
            variable._direct_assign(value)


# ---- what a compiled model minimises ----------------------------------------------------------------


def compiled_loss(model: keras.Model) -> tuple[Any, Any]:
    """What compile() was given as loss and as loss_weights; (None, None) where it was not called."""
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        return None, None
    return compiled._user_loss, compiled._user_loss_weights


def overrides(model: keras.Model, name: str) -> bool:
    """Whether a user's class of models has its own method of this name."""
    own = inspect.getattr_static(type(model), name, None)
    known = [inspect.getattr_static(kind, name, None) for kind in (keras.Model, keras.Sequential)]
    return own is not None and not any(own is each for each in known)


def own_steps(model: keras.Model) -> list[str]:
    """Which of its steps a user's class does by itself, past compile() and compute_loss()."""
    return [name for name in ("train_step", "test_step") if overrides(model, name)]


@contextlib.contextmanager
def compiled_as(model: keras.Model, other: keras.Model) -> Iterator[None]:
    """While it lasts, `model` is compiled as `other` is."""
    before = model._compile_loss
    model._compile_loss = other._compile_loss
    try:
        yield
    finally:
        model._compile_loss = before


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """While it lasts, Keras saves the model without its optimizer, losses and metrics."""
    hidden = {"compiled": False, "optimizer": None, "_compile_metrics": None, "_loss_tracker": None}
    before = {name: vars(model)[name] for name in hidden if name in vars(model)}
    vars(model).update({name: hidden[name] for name in before})
    try:
        yield
    finally:
        vars(model).update(before)


def own_loss(model: keras.Model, x: Any, y: Any, outputs: Any, weight: Any, training: bool) -> tf.Tensor:
    """The model's own `compute_loss`."""
    return model._compute_loss(x, y, outputs, weight, training)


def resolved_loss(loss: Any, y: Any, outputs: Any) -> keras.losses.Loss:
    """A loss as an object: of a name, a function, or "crossentropy", which asks for shapes."""
    return _compile.get_loss(loss, y, outputs)


def loss_function(loss: Any) -> tuple[Any, dict[str, Any]]:
    """The function that a Keras loss is made of, and its settings; (None, {}) where it is of none."""
    if isinstance(loss, LossFunctionWrapper):
        return loss.fn, dict(loss._fn_kwargs)
    return None, {}


class LossOfOutputs(_compile.CompileLoss):
    """Keras' sum of the losses of a model's outputs, without the metrics that it keeps beside it.

    Args:
      loss, loss_weights: as compile() takes them.
      output_names: the model's.
      dtype: of the sum.
    """

    def __init__(self, loss: Any, loss_weights: Any, output_names: Any, dtype: str) -> None:
        super().__init__(loss, loss_weights, output_names=output_names)
        self._dtype = dtype
        self._outputs = 1
        self._tracker = _NoTracker()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        self._outputs = len(tf.nest.flatten(y_pred)) * max(1, len(tf.nest.flatten(self._user_loss)))
        return super().__call__(y_true, y_pred, sample_weight)

    @property
    def metrics(self) -> list[None]:
        return [None] * self._outputs


class _NoTracker:
    def add_to_store(self, store: str, value: Any) -> None:
        """Keep nothing."""


def mask_of(tensor: Any) -> tf.Tensor | None:
    """Which positions of a tensor count; None where all do."""
    return getattr(tensor, "_keras_mask", None)


def masked(tensor: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """The same tensor, with a mask."""
    if mask is not None and mask_of(tensor) is not mask:
        tensor = tf.identity(tensor)
        tensor._keras_mask = mask
    return tensor


def aligned_weights(
    losses: tf.Tensor, weight: tf.Tensor | None, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Losses, and what each of them is multiplied by: weights of examples times the mask."""
    weight = _loss.apply_mask(weight, mask, dtype=losses.dtype, reduction="sum")
    if weight is None:
        return losses, None
    return _loss.squeeze_or_expand_to_same_rank(losses, tf.cast(weight, losses.dtype))
