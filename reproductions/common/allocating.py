"""Loss change allocation of small networks while they are trained: what one run is, and what it leaves.

A `Task` is a network, the examples it is trained on, and the loss that is allocated: that of the very
same examples. A `Recipe` is how it is trained. Of the paper's controls it has a minibatch of its own for
each layer, and another rate and momentum for the last layer; frozen is a rate of 0.

Source: Lan et al. 2019, arXiv:1909.01440.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, progress
from reproductions.common import data, small_networks
from reproductions.common.arrays import named, under

NETWORKS = {"fc": small_networks.fc, "resnet": small_networks.resnet8}
_STEPS_A_LOOK = 20  # the progress bar's grain; where training is free it costs a gradient


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained, on what.

    Attributes:
      source: the data set.
      network: fc or resnet, see `small_networks`.
      width: multiplies its widths.
      examples: trained and measured on the first so many of the training set.
      together: examples in one pass of the measured loss, which batch norm normalises together; it
        divides `examples`, so that they are always the same.
      side: images are averaged down to so many pixels a side; None leaves them.
    """

    source: data.Source
    network: str
    width: float
    examples: int
    together: int
    side: int | None = None

    def examples_of_it(self):
        """x [N, ...] and y [N]: signals standardised, the pixels of images from 0, black, to 1."""
        dataset = self.source.load()
        x, y = (a[: self.examples] for a in (dataset.x_train, dataset.y_train))
        if x.ndim == 4:
            x = (x - x.min()) / (x.max() - x.min())
            x = x if self.side is None else averaged_down(x, self.side)
        return x.astype(np.float32), y


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How it is trained.

    Attributes:
      optimizer: sgd, with the momentum that is given, or adam.
      rate: constant.
      batch_size: examples a step; all of them where there are fewer.
      steps: in all.
      momentum: of SGD.
      own_minibatches: whether each layer sees a minibatch of its own.
      last_rate, last_momentum: of the last layer, the rate as a factor; None is as the rest.
      rule: how allocations are integrated; "" is none, and then the last loss is all that is measured.
      beside: a second rule on the same path, to be compared with it; "" is none.
    """

    optimizer: str
    rate: float
    batch_size: int
    steps: int
    momentum: float = 0.0
    own_minibatches: bool = False
    last_rate: float = 1.0
    last_momentum: float | None = None
    rule: str = "adaptive"
    beside: str = ""

    def build(self, last, rest):
        """The Keras optimizer for weights of which the `last` so many are the last layer's."""
        import keras

        if self.optimizer == "adam":
            return keras.optimizers.Adam(self.rate)
        from reproductions.common import layerwise

        own = self.momentum if self.last_momentum is None else self.last_momentum
        parts = (rest, 1.0, self.momentum), (last, self.last_rate, own)
        return layerwise.LayerwiseSGD(self.rate, parts)


def averaged_down(x, side):
    """Images [N, H, W, C] averaged over even parts of their area: [N, side, side, C].

    A pixel that lies in two parts counts in each by its share.
    """

    def parts(size):  # [side, size], rows that add up to 1
        edges = np.arange(side + 1) * size / side
        inside = lambda at: np.clip(at[:, None] - np.arange(size), 0, 1)  # of each pixel, left of it
        return np.diff(inside(edges), axis=0) * side / size

    return np.einsum("ih,jw,nhwc->nijc", parts(x.shape[1]), parts(x.shape[2]), x, optimize=True)


# ---- layers and units -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Units:
    """What the weights of a network belong to.

    Attributes:
      layers: their names, in theta's order; a batch norm counts to the layer before it.
      of_weights: the number of each weight's unit [D]: what one output channel is made with.
      of_units: the number of each unit's layer [units].
    """

    layers: tuple[str, ...]
    of_weights: np.ndarray
    of_units: np.ndarray

    @property
    def weights_of_layers(self):
        """The number of each weight's layer [D]."""
        return self.of_units[self.of_weights]

    def by_layer(self, values):
        """Values of units [..., units] summed over the units of each layer [..., layers]."""
        return values @ (self.of_units[:, None] == np.arange(len(self.layers)))


def units(space):
    """The `Units` of a `wedges.WeightSpace` whose weights have their output channel as the last axis."""
    names = [v.path.split("/")[-2].removesuffix(small_networks.NORM) for v in space.variables]
    layers = tuple(dict.fromkeys(names))
    sizes = [next(s[-1] for n, s in zip(names, space.shapes, strict=True) if n == la) for la in layers]
    first = dict(zip(layers, np.cumsum([0, *sizes]), strict=False))
    of_weights = [
        np.broadcast_to(first[name] + np.arange(shape[-1]), shape).ravel()
        for name, shape in zip(names, space.shapes, strict=True)
    ]
    return Units(layers, np.concatenate(of_weights), np.repeat(np.arange(len(layers)), sizes))


# ---- landscapes, each made once in a process ----------------------------------------------------------


def _built(task, seed):
    x, y = task.examples_of_it()
    classes = task.source.load().classes
    return NETWORKS[task.network](shape=x.shape[1:], classes=classes, width=task.width, seed=seed)


@functools.lru_cache(maxsize=2)
def network(task):
    """The network on its examples. No seed is in it: where a run starts, and its minibatches, are
    given."""
    from reproductions.common import models

    x, y = task.examples_of_it()
    how = {"seed": 0, "evaluation_batch_size": task.together}
    return wedges.NetworkLandscape(_built(task, 0), x, y, models.loss(), **how)


@functools.lru_cache(maxsize=2)
def measured(task):
    """The loss that is allocated: that of all examples, a function of the weights alone."""
    from reproductions.common import batch_mode

    landscape = network(task)
    return landscape if task.network == "fc" else batch_mode.BatchMode(landscape, task.together)


@functools.lru_cache(maxsize=2)
def _descent(task, recipe):
    """The descent of all seeds, and `draw(seed)` for its minibatches."""
    from reproductions.common import layerwise

    landscape = network(task)
    layer = units(landscape.space).weights_of_layers
    last = int(np.sum(layer == layer.max()))
    if recipe.batch_size >= task.examples:  # whose gradients the allocation has for nothing
        drawn, draw = wedges.allocation.FullBatch(measured(task)), lambda seed: None
    else:
        groups = layer if recipe.own_minibatches else None
        drawn = layerwise.Minibatches(landscape, recipe.batch_size, recipe.steps, groups)
        draw = drawn.draw
    optimizer = recipe.build(last, landscape.dimension - last)
    start = np.zeros(landscape.dimension, np.float32)
    return wedges.Descent(drawn, start, optimizer), draw


# ---- one run ----------------------------------------------------------------------------------------


def allocated(task, recipe, seed):
    """Train once, and allocate the change of the measured loss: arrays of T steps and D weights.

    "layers" [T, layers] and "units" [T, units], sums of A; "losses" [T + 1]; "errors" [T], what of each
    step's change is not allocated, and "beside errors" [T] of the second rule; "helped" and "helped of
    all" [T], the share of the weights with A < 0, of those with A other than 0 and of all; "absolute"
    [T], the sum of |A|; "oscillation" []; "total" [D]; "kernel", that of the first layer's kernel in its
    own shape; "gradients" [], how many full ones it took; "weights" [layers] and "of units" [units], how
    many weights a layer has and to which a unit belongs.
    Without a rule only "losses" [2], the first and the last. Raises `wedges.allocation.NotFinite` where
    training diverges.
    """
    descent, draw = _descent(task, recipe)
    draw(seed)
    descent.restart(wedges.WeightSpace(_built(task, seed)).read())
    landscape = measured(task)
    space = network(task).space
    owner = units(space)
    runs = {
        name: wedges.Allocation(landscape, groups=owner.of_weights, rule=rule)
        for name, rule in (("", recipe.rule), ("beside ", recipe.beside))
        if rule
    }
    ends = [] if runs else [landscape(descent.theta)]
    _follow(descent, runs, recipe)
    if not runs:
        return {"losses": np.array([*ends, landscape(descent.theta)], np.float64)}
    found = {f"{name}errors": run.errors for name, run in runs.items()}
    main = runs[""]
    return found | {
        "layers": owner.by_layer(main.layers),
        "units": main.layers,
        "losses": main.losses,
        "helped": main.helped,
        "helped of all": main.helped_of_all,
        "absolute": main.absolute,
        "oscillation": np.array(main.oscillation),
        "total": main.total,
        "kernel": main.total[: space.sizes[0]].reshape(space.shapes[0]),
        "weights": np.bincount(owner.weights_of_layers),
        "of units": owner.of_units,
        "gradients": np.array(main.gradients),
    }


def _follow(descent, runs, recipe):
    """All steps of the descent, from where an earlier process stopped, each allocated by all `runs`."""
    kept = cache.part()
    saved = kept.load()
    if saved is not None:
        descent.state = under("descent", saved)
        for name, run in runs.items():
            run.state = under(f"{name}allocation", saved)
    with progress.bar(total=recipe.steps, initial=descent.step, unit="step") as bar:
        while (left := recipe.steps - descent.step) > 0:
            count = min(left, _STEPS_A_LOOK)
            _take(descent, runs, count)
            bar.update(count)
            if kept.due:
                states = {f"{name}allocation": run.state for name, run in runs.items()}
                states["descent"] = descent.state
                arrays = {}
                for name, state in states.items():
                    arrays |= named(name, state)
                kept.save(arrays)


def _take(descent, runs, count):
    if not runs:
        descent.run(count)
    elif len(runs) == 1:
        runs[""].follow(descent, count)
    else:
        for run in runs.values():
            if run.theta is None:
                run.step(descent.theta)
        for _ in range(count):
            descent.run(1)
            for run in runs.values():
                run.step(descent.theta)
