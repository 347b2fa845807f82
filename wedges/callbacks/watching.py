"""The landscapes whose loss a callback watches while a model is fitted: given, or made of examples."""

from __future__ import annotations

from typing import Any

import keras

from wedges import _checks
from wedges.landscape import Landscape, WithExamples
from wedges.network.examples import examples_of
from wedges.network.landscape import NetworkLandscape
from wedges.network.problem import in_a_line


def check_held_out(held_out: Any) -> None:
    """None, a landscape, or a pair (x, y).

    Raises:
      ValueError: something else.
    """
    if isinstance(held_out, (tuple, list)):
        if len(held_out) != 2:
            raise ValueError(
                f"held_out must be a landscape or a pair (x, y); received {len(held_out)} of them. "
                "Weights of examples come with x, as a Dataset of (x, y, w), and y is None."
            )
    elif held_out is not None:
        _checks.a_landscape(held_out, "held_out")


def build(model: keras.Model, given: Landscape | None, data: tuple[Any, Any]) -> None:
    """Build a model that its first batch would build, by a call on the first example.

    Raises:
      ValueError: a landscape is given, instead of data; x that the model does not take.
    """
    if given is not None:
        raise ValueError(
            f"model {model.name!r} must be built for the landscape that is given; call "
            "model.build(input_shape), or the model once on an example."
        )
    x, *_ = examples_of(*data).first(1)
    with in_a_line("x", model):
        model(x)


def landscapes(
    model: keras.Model, given: Landscape | None, data: tuple[Any, Any], held_out: Any, dimension: int
) -> tuple[Landscape, Landscape | None]:
    """The landscape of a model that is watched, and the held-out one beside it, if any.

    Args:
      model: built and, where no landscape is given, compiled.
      given: a landscape; None makes one of the examples `data`, x and y.
      held_out: None, a landscape, or a pair (x, y).
      dimension: what theirs must be.

    Raises:
      ValueError: another dimension; x that the model does not take; a pair beside a landscape that has
        no examples.
    """
    landscape = given
    if landscape is None:
        with in_a_line("x", model):
            landscape = _probed(NetworkLandscape(model, *data, seed=0, batch_norm="reestimate"))
    if landscape.dimension != dimension:
        raise ValueError(
            f"landscape must have a dimension for each of the {dimension} trainable weights of model "
            f"{model.name!r}; received one of {landscape.dimension}."
        )
    if isinstance(held_out, (tuple, list)):
        if not isinstance(landscape, WithExamples):
            raise ValueError(
                f"held_out must be a landscape beside {type(landscape).__name__}, which has no examples "
                "to replace; received a pair."
            )
        with in_a_line("held_out's x", model):
            held_out = _probed(landscape.on(*held_out))
    return landscape, held_out


def _probed(landscape):
    """The same, after a call of its model on a few examples, which fails where they do not fit."""
    if isinstance(landscape, NetworkLandscape):
        _ = landscape.problem.probed
    return landscape
