"""What the models are, and how well they fit: layers, loss, accuracy."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.cards import judging
from wedges.cards.budget import FEWEST, Cost
from wedges.cards.subject import Subject
from wedges.cards.words import number

_CLASSES = 20  # as many are listed


def about(subject: Subject) -> dict[str, Any]:
    """Layers, weights, examples and loss: nothing is computed."""
    model, data = subject.models[0], subject.data
    layers = [
        {"layer": path, "kind": _kind(model, path), "weights": len(where)}
        for path, where in subject.space.layers.items()
    ]
    optimizer = getattr(model, "optimizer", None)
    return {
        "checkpoints": subject.names,
        "model": model.name,
        "kind": type(model).__name__,
        "dimension": subject.dimension,
        "not_trained": int(sum(np.prod(v.shape) for v in model.non_trainable_variables)),
        "dtype": subject.space.dtype.name,
        "policy": model.dtype_policy.name,
        "batch_norm": subject.has_batch_norm,
        "optimizer": None if optimizer is None else optimizer_of(optimizer),
        "inputs": _shapes(model, "input"),
        "outputs": _shapes(model, "output"),
        "layers": layers,
        "norms": np.linalg.norm(subject.thetas.astype(np.float64), axis=1),
        "loss": subject.loss_name,
        "loss_origin": subject.chosen.origin,
        "data": _examples(data),
        "held_out": None if subject.held_out is None else _examples(subject.held_out),
    }


def optimizer_of(optimizer: keras.optimizers.Optimizer) -> str:
    """An optimizer in words.

    >>> wedges.cards.fit.optimizer_of(keras.optimizers.Adam(0.01))
    'Adam, rate 0.01'
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    rate = inner.get_config().get("learning_rate")
    if isinstance(rate, dict):  # a schedule
        return f"{type(inner).__name__}, rate by {rate['class_name']}"
    known = isinstance(rate, (int, float, np.number))
    return f"{type(inner).__name__}, rate {number(float(rate))}" if known else type(inner).__name__


def _kind(model, path):
    for layer in _keras.flat_layers(model):
        if layer.name == path.rpartition("/")[2]:
            return type(layer).__name__
    return ""


def _shapes(model, which):
    found = getattr(model, f"{which}_shape", None)
    return None if found is None else str(found).replace("None", "N")


def _examples(data):
    x, y = (tf.nest.flatten(part) for part in (data.x, data.y))
    whole = len(y) == 1 and (y[0].dtype.kind in "iub" or bool(np.all(y[0] == np.round(y[0]))))
    classes = np.unique(y[0], return_counts=True) if whole else None
    known = classes is not None and len(classes[0]) <= _CLASSES and y[0].size == len(y[0])
    return {
        "name": data.name,
        "examples": data.size,
        "of": data.total,
        "x": [f"{leaf.dtype} {list(leaf.shape)}" for leaf in x],
        "range": [float(min(leaf.min() for leaf in x)), float(max(leaf.max() for leaf in x))],
        "y": [f"{leaf.dtype} {list(leaf.shape)}" for leaf in y],
        "classes": {str(int(c)): int(n) for c, n in zip(*classes, strict=True)} if known else None,
    }


# ---- loss and accuracy ------------------------------------------------------------------------------


def cost(subject: Subject, n: int) -> Cost:
    """Of a look at all checkpoints on all examples, and on what is held out."""
    held_out = 0 if subject.held_out is None else subject.held_out.size
    tracing, few = _tracing(subject), min(FEWEST, subject.data.size)
    each = subject.count * subject.rates.forward
    return Cost(few * each + tracing, (subject.data.size + held_out) * each + tracing)


def _tracing(subject):
    """Seconds that the graphs take: one for each state of what is not trained, and for each data set."""
    networks = subject.count if subject.own_state else 1
    return networks * (1 if subject.held_out is None else 2) * subject.rates.tracing / 2


def fit(subject: Subject, seconds: float) -> dict[str, Any]:
    """Loss and accuracy of each checkpoint, as `model.evaluate` gives them.

    But for the penalties of regularisers, which `evaluate` adds to the loss: they are told beside it.
    """
    each = subject.count * subject.rates.forward
    room = (seconds - _tracing(subject)) / (1 if subject.held_out is None else 2)
    fits = lambda size: int(np.clip(room / max(each, 1e-12), min(FEWEST, size), size))
    n = fits(subject.data.size)
    found: dict[str, Any] = {
        "examples": n,
        "weighted": _weighted(subject),
        "penalty": subject.penalties,
        "loss_has_penalty": False if subject.penalties else None,
    }
    found |= _readings(subject, lambda k: subject.own(k, n), "the examples given")
    if subject.held_out is not None:
        some = fits(subject.held_out.size)
        on = functools.cache(lambda k: subject.on_held_out(subject.own(k, n), some))
        own = lambda k: on(k if subject.own_state else 0)
        found["held_out"] = {"examples": some, **_readings(subject, own, "held out")}
    return found


def _weighted(subject):
    """Which examples have weights of their own, in words; "" where none have."""
    known = {"the examples": subject.data, "those held out": subject.held_out}
    with_weights = [name for name, data in known.items() if data is not None and data.weight is not None]
    return " and ".join(with_weights)


def _readings(subject, landscape, where):
    found, each = [], []
    for k, theta in enumerate(subject.thetas):
        found.append(landscape(k).evaluate(theta))
        subject.ran(landscape(k), "evaluation")
        if subject.has_batch_norm:
            each.append(judging.numbers(landscape(k), found[-1]))
    subject.saved[where] = each  # to be compared with the same examples' where statistics are found anew
    return {
        "loss": [float(each.loss) for each in found],
        "accuracy": [judging.one(each.accuracy) for each in found],
    }
