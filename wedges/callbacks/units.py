"""Neurons and channels as parts of theta: every weight is of one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from wedges.network import filters
from wedges.network.weights import WeightSpace

T = TypeVar("T")


def neurons(space: WeightSpace) -> dict[str, np.ndarray]:
    """Where the weights of each neuron or channel stand in theta: {"layer/unit": indices}.

    A unit is what one output of a kernel is made with, as `WeightSpace.filters` counts them, and what
    belongs to it of the layer's other weights: its bias, or gamma and beta of a channel. Those are
    counted along their last axis, or as the kernel is where they are of its outputs' shape (a bias of
    attention's heads). Every weight is of one unit, a scalar of one alone, so that the units' sums are
    the whole.

    In a layer whose weights count different things (the two halves of a separable convolution, a kernel
    that reads heads and its bias) each has its own units, "layer/weight/unit".

    >>> layers = [keras.Input((3,)), keras.layers.Dense(2, name="fc")]
    >>> space = wedges.WeightSpace(keras.Sequential(layers, name="net"))
    >>> {name: where.tolist() for name, where in wedges.callbacks.units.neurons(space).items()}
    {'net/fc/0': [0, 2, 4, 6], 'net/fc/1': [1, 3, 5, 7]}
    """
    found = []
    for name, (where, unit) in units(space).items():
        order = np.argsort(unit, kind="stable")
        parts = np.split(where[order], np.cumsum(np.bincount(unit))[:-1])
        found += [(f"{name}/{i}", part) for i, part in enumerate(parts)]
    return named(found)


def units(space: WeightSpace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The units of each layer, or of each kind in it: {layer: (indices in theta, the unit of each)}."""
    owners, heads = filters.owners(space.model), filters.outputs_of_heads(space.model)
    starts = np.cumsum([0, *space.sizes])[:-1]
    found = []
    for layer, inside in of_layers(space).items():
        numbers = {i: space.filters[starts[i] : starts[i] + space.sizes[i]] for i in inside}
        kinds = {i: _kind(space.variables[i], owners, heads) for i in inside}
        outputs = {np.ptp(numbers[i]) + 1 for i in inside if numbers[i][0] >= 0 and not kinds[i]}
        groups: dict[tuple[str, int], list[int]] = {}
        for i in inside:
            size, last = space.sizes[i], (1, *space.shapes[i])[-1]
            if numbers[i][0] >= 0:
                numbers[i] = numbers[i] - numbers[i].min()
            else:
                numbers[i] = np.arange(size) % (size if size in outputs else last)
            groups.setdefault((kinds[i], int(numbers[i].max()) + 1), []).append(i)
        for own in groups.values():
            name = layer if len(groups) == 1 else f"{layer}/{space.variables[own[0]].name}"
            indices = [np.arange(starts[i], starts[i] + space.sizes[i]) for i in own]
            pair = np.concatenate(indices), np.concatenate([numbers[i] for i in own])
            found.append((name, pair))
    return named(found)


def of_layers(space: WeightSpace) -> dict[str, list[int]]:
    """The numbers of the weights of each of `WeightSpace.layers`, empty ones left out."""
    ends = np.cumsum([0, *space.sizes])
    starting = {int(ends[i]): i for i, size in enumerate(space.sizes) if size}
    found: dict[str, list[int]] = {}
    for layer, where in space.layers.items():
        found[layer], at = [], 0
        while at < len(where):
            found[layer].append(starting[int(where[at])])
            at += space.sizes[found[layer][-1]]
    return found


def named(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """A dict of pairs that loses none: what comes again under a name is numbered on, "d", "d_1".

    >>> wedges.callbacks.units.named([("d", 4), ("d", 3), ("d_1", 2)])
    {'d': 4, 'd_2': 3, 'd_1': 2}
    """
    pairs = list(pairs)
    known = {name for name, _ in pairs}
    found: dict[str, T] = {}
    for name, value in pairs:
        fresh = (f"{name}_{i}" for i in itertools.count(1))
        found[name if name not in found else next(n for n in fresh if n not in known | found.keys())] = (
            value
        )
    return found


def _kind(variable, owners, heads):
    """What a weight counts if it is not the outputs of its layer, as another with as many may do."""
    name = variable.name
    if name == "depthwise_kernel":  # half of a separable convolution
        return name
    if name.startswith("lora_"):
        return "rank"
    return "heads" if name == "kernel" and id(owners.get(id(variable))) in heads else ""
