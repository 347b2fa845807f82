"""What the library uses of Keras that Keras does not document: all of it, in one place.

`TRIED` names the versions of Keras with which every name below was found and did what is asked of it
here. A new version of Keras is a reason to run the tests, and to add it.

    Layer._flatten_layers              layers inside of layers, in order
    Layer._get_own_losses              what one layer itself has added, without those inside of it
    Variable._direct_assign            an assignment past any scope
    Optimizer._learning_rate           the schedule of a rate, not its value now
    StatelessScope.state_mapping       what a scope holds: {id of a variable: value}
    StatelessScope.original_scope      the scope around it, while it is entered
    "seed_generator_state"             what a seed generator calls its counter
    "attention_output"                 what an attention layer calls the layer that joins its heads
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

TRIED = ("3.6.0", "3.15.1")

SEED_STATE = "seed_generator_state"


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The model and all layers in it at any depth, each before those that it holds."""
    return model._flatten_layers()


def attention_outputs(attention: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers of an attention layer that bring its heads together: one, once it is built."""
    return [layer for layer in attention._flatten_layers() if layer.name == "attention_output"]


def own_losses(layer: keras.layers.Layer) -> list[tf.Tensor]:
    """The penalties that the layer itself has added in its last call, not those of layers in it."""
    return layer._get_own_losses()


def learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """An optimizer's learning rate as it was given, a schedule for one with a schedule."""
    return getattr(optimizer, "_learning_rate", None)


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
