"""Two optima of one network, the units of the second in the order of the first's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from wedges import _checks, _keras
from wedges._progress import waiting
from wedges._repr import short, shown
from wedges.alignment.graph import SIXTEEN_BITS, Piece, Walk
from wedges.alignment.matching import Block, Matching, Orders, index, permuted
from wedges.network import NetworkLandscape
from wedges.probe import barrier, line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from wedges.landscape import Landscape

# Of outputs, relative to the largest: any rounding is nearer, another function is not.
_NEAR, _NEAR_IN_SIXTEEN_BITS = 1e-2, 1e-1


class Change(NamedTuple):
    """Something of a and b before and after b's units were permuted."""

    before: Any
    after: Any

    def __repr__(self) -> str:
        return short(self)


class Reordering:
    """Permutations of a network's units, to be done to any model of its architecture.

    Args:
      name: of the network's model.
      shapes: of all its weights, those that are not trained as well.
      pieces: which of them have units, and where.
      orders: of each group of units: unit i is what was unit order[i].
    """

    def __init__(
        self, name: str, shapes: list[tuple[int, ...]], pieces: list[Piece], orders: Orders
    ) -> None:
        self._name, self._shapes, self._pieces, self._orders = name, shapes, pieces, orders

    def __repr__(self) -> str:
        moved = sum(int(np.sum(order != np.arange(len(order)))) for order in self._orders)
        count = sum(map(len, self._orders))
        return f"Reordering({moved:,} of {count:,} units moved, {len(self._orders)} groups)"

    def reorder(self, weights: dict[int, np.ndarray]) -> None:
        """Reorder weights in place, {number among the model's weights: contiguous array}."""
        for piece in self._pieces:
            if piece.weight in weights:
                here = piece.of(weights[piece.weight])
                here[...] = permuted(here, piece.axes, self._orders)

    def apply(self, model: keras.Model) -> None:
        """Reorder the units of a model, with its batch-norm statistics: it computes what it did before.

        Raises:
          ValueError: a model of other weights.
        """
        if not isinstance(model, keras.Model) or [tuple(v.shape) for v in model.weights] != self._shapes:
            raise ValueError(
                f"model must have the weights of {self._name!r}; received {_checks.called(model)}."
            )
        arrays = {i: np.array(v) for i, v in enumerate(model.weights)}
        self.reorder(arrays)
        for i in {piece.weight for piece in self._pieces}:
            model.weights[i].assign(arrays[i])


class Alignment(NamedTuple):
    """b with its units in the order of a's, see `align`."""

    theta: np.ndarray  # b, its units permuted, [D]
    permutations: dict[str, np.ndarray]  # by layer: its unit i was unit permutation[i] of b
    squared_distance: Change  # |a - b|^2
    barrier: Change | None  # of the straight line from a; None where it was not asked for
    lines: Change | None  # the losses that it was read from, a `probe.Line` each
    difference: float  # the largest between outputs of b and of theta
    distances: np.ndarray  # |a - theta|^2 at the start of the best descent and after each sweep
    reordering: Reordering  # `reordering.apply(model)` does the same to a whole model

    def __repr__(self) -> str:
        layers = f"permutations of {len(self.permutations)} layers"
        fields = zip(self._fields, self, strict=True)
        known = [layers if n == "permutations" else f"{n}={shown(value)}" for n, value in fields]
        return f"Alignment({', '.join(known)})"


def align(
    landscape: Landscape,
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    starts: int = 2,
    sweeps: int = 100,
    points: int | None = 11,
) -> Alignment:
    """Permute the units of b to bring it as near to a as can be, without a change of its function.

        min over P of |a - P b|^2,    P b computes what b computes

    P puts the units of each hidden layer in another order, in all weights that make them and in all that
    read them. Layers are matched one after another by a linear assignment, the others held, until none
    moves any more. That is a local minimum, and the minimum for a network of one hidden layer. The
    distance falls with each sweep and ends no larger than it was without a permutation.

    A low barrier afterwards says that a and b lie in one valley but for the names of their units. A high
    one says less: a better permutation may exist.

    Layers joined by a sum have one permutation in common. Channels that are flattened become blocks of
    rows. Depthwise filters, normalisations and slopes go with their channels. Inputs and outputs stay
    where they are, and so do units of weights that are not trained, units that an operation without
    weights mixes (a slice of them, a function of your own), and the several filters that a depthwise
    convolution has for one channel of a hidden layer.

    Args:
      landscape: a `NetworkLandscape` of a functional or sequential model; models may be nested. Batch
        norm that trains must be re-estimated (`batch_norm="reestimate"`): its statistics then go with
        their units, since theta does not hold them.
      a, b: [D], finite.
      seed: of the order in which layers are visited, and of the random starts.
      starts: how many descents, of which the nearest is returned. The first begins with the layers
        matched one after another from the inputs on, the second with b as it is, all others with random
        permutations.
      sweeps: visits of all layers in one descent, at most.
      points: on the straight lines from a to b and from a to theta, whose barriers are measured. With
        None they are not, which saves as many passes over the data as both lines have points.

    Returns:
      An `Alignment`. Layers whose units all stay are not in its permutations.

    Raises:
      ValueError: in one line: a layer with weights whose units are not known, by its name; batch norm
        whose statistics are those of one model; another landscape; a network whose outputs are not the
        same afterwards.

    Source: Ainsworth, Hayase & Srinivasa 2022 (arXiv:2209.04836), section 3.2, who start with b as it
    is. The start from the inputs finds a permuted copy of a network exactly.
    """
    a, b = _checks.two_points(landscape, a=a, b=b)
    seed = _checks.seed(seed)
    starts, sweeps = _checks.whole("starts", starts), _checks.whole("sweeps", sweeps)
    points = None if points is None else _checks.whole("points", points, 2)
    own = _network(landscape)
    model, space = own.network.model, own.space
    walk = _walk(own)
    number = {id(v): i for i, v in enumerate(model.weights)}
    ends = np.cumsum([0, *space.sizes])
    where = {number[id(v)]: slice(*ends[i : i + 2]) for i, v in enumerate(space.variables)}
    blocks = [
        Block(piece.of(a[where[piece.weight]]), piece.of(b[where[piece.weight]]), piece.axes)
        for piece in walk.pieces
        if piece.weight in where
    ]
    match = Matching(blocks, walk.groups.sizes).best(seed=seed, starts=starts, sweeps=sweeps)
    shapes = [tuple(v.shape) for v in model.weights]
    reordering = Reordering(model.name, shapes, walk.pieces, match.orders)
    theta = b.copy()
    reordering.reorder({i: theta[at] for i, at in where.items()})
    difference = _difference(own, b, theta)
    lines = None if points is None else Change(*(line(landscape, a, c, points) for c in (b, theta)))
    squared = Change(*(_squared(a - c) for c in (b, theta)))
    rest = squared.after - match.distances[-1]  # of weights without units
    return Alignment(
        theta,
        _by_layer(walk, match.orders, where, space),
        squared,
        lines and Change(*(float(barrier(each)) for each in lines)),
        lines,
        difference,
        match.distances + rest,
        reordering,
    )


def _network(landscape):
    """The landscape, if its units can be permuted at all."""
    if not isinstance(landscape, NetworkLandscape):
        raise ValueError(
            "landscape must be a NetworkLandscape, whose model has units, to be aligned; received "
            f"{type(landscape).__name__}."
        )
    if landscape.network.has_batch_norm and not landscape.problem.reestimates:
        raise ValueError(
            'landscape must be made with batch_norm="reestimate" for units to be permuted with their '
            'statistics; received "frozen", which has them of one model in one order.'
        )
    return landscape


def _walk(landscape):
    """The `Walk` of a landscape's model, made once."""
    known = vars(landscape)
    if "_walk" not in known:
        with waiting(f"the units of model {landscape.network.model.name!r}"):
            known["_walk"] = Walk(landscape)
    return known["_walk"]


def _by_layer(walk, orders, where, space):
    """{layer: its permutation}, by the names of `space.layers`."""
    owner = {int(at[0]): name for name, at in space.layers.items()}
    found = {}
    for i, (places, count) in walk.made.items():
        if i in where:
            start = where[i].start
            name = owner.get(start) or next(n for n, at in space.layers.items() if start in at)
            found[name] = index(places, orders, count)
    return found


def _difference(landscape, b, theta):
    """The largest difference of the outputs at b and at theta, which compute the same.

    Raises:
      ValueError: they do not.
    """
    before, after = (keras.tree.flatten(landscape.evaluate(at).outputs) for at in (b, theta))
    pairs = list(zip(before, after, strict=True))
    found = max(float(np.max(np.abs(z - y), initial=0)) for y, z in pairs)
    largest = max(float(np.max(np.abs(y), initial=0)) for y, _ in pairs)
    model = landscape.network.model
    half = any(layer.compute_dtype in SIXTEEN_BITS for layer in _keras.flat_layers(model))
    if not found <= (_NEAR_IN_SIXTEEN_BITS if half else _NEAR) * largest:
        raise ValueError(
            f"model {model.name!r} must compute the same with its units in another order, as its layers "
            f"say; received outputs that differ by {found:.2g}, the largest being {largest:.2g}."
        )
    return found


def _squared(difference):
    difference = difference.astype(np.float64)
    return float(difference @ difference)
