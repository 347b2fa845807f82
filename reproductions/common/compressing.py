"""Networks that are trained under a penalty on their kernels, and what is left of them.

`weighed`, `local`, `rescaled`, `balance` and `line` take long, and are for `cached`: their keys hold
nothing of a figure.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.common import networks, training

# Of the penalties, and what they are called.
KINDS = {
    "none": "no penalty",
    "l2": "L2",
    "l1": "L1",
    "c": "C, each kernel",
    "hoyer": "C^2 / D",
    "one": "C, all as one",
}
BINS = np.linspace(0, 4, 41)  # of |w| in units of r^2 / s


def penalty_of(kind, strength):
    """A penalty of `KINDS`, a Keras regularizer; None for none."""
    import keras

    return {
        "none": lambda strength: None,
        "l2": keras.regularizers.L2,
        "l1": keras.regularizers.L1,
        "c": wedges.Compressibility,
        "hoyer": wedges.HoyerSquare,
        "one": wedges.Compressibility,
    }[kind](strength)


@dataclasses.dataclass(frozen=True)
class Recipe(training.Recipe):
    """How to train under a penalty: as `training.Recipe` says, by SGD with momentum 0.9, and a proximal
    step of the penalty on the kernels after each of its steps.

    Attributes:
      kind: of the penalty, one of `KINDS`.
      strength: of the penalty.
      spans: where the kernels lie in theta.
    """

    kind: str = "none"
    strength: float = 0.0
    spans: tuple[tuple[int, int], ...] = ()

    def build(self, steps_per_epoch):
        """The Keras optimizer."""
        from reproductions.common.proximal_sgd import ProximalSGD

        penalty = penalty_of(self.kind, self.strength)
        return ProximalSGD(self.learning_rate, 0.9, penalty, self.spans, self.kind == "one")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A penalty and its strength."""

    kind: str
    strength: float = 0.0

    @property
    def label(self):
        """What it is called."""
        return KINDS[self.kind] + (f", {self.strength:g}" if self.strength else "")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and how long it is trained.

    Attributes:
      problem: of the first seed.
      rate, epochs: of SGD with momentum 0.9.
      validation: so many training examples, those after the ones that it is trained on, decide which
        strength is compared.
    """

    problem: networks.Problem
    rate: float
    epochs: int
    validation: int

    def of_seed(self, seed):
        """The problem of a seed: of initial weights and minibatches."""
        return dataclasses.replace(self.problem, initial=seed, seed=seed)

    @property
    def measured(self):
        """The problem that all seeds are measured on, so that graphs are traced once."""
        return self.of_seed(0)

    def theta(self, setting, seed):
        """The weights [D] at the end of a training under a penalty."""
        problem = self.of_seed(seed)
        how = {"kind": setting.kind, "strength": setting.strength, "spans": spans(problem)}
        recipe = Recipe("momentum", self.rate, self.epochs, **how)
        return training.train(problem, recipe, label="training").theta


def spans(problem):
    """Where the kernels of a network lie in theta, ((start, end), ...): weights of two or more axes."""
    space = networks.landscape(problem).space
    ends = np.cumsum(space.sizes)
    found = zip(ends, space.sizes, space.shapes, strict=True)
    return tuple((int(end - size), int(end)) for end, size, shape in found if len(shape) > 1)


@functools.lru_cache(maxsize=4)
def _validation(problem, count):
    """The loss of examples behind those that it is trained on."""
    dataset, first = problem.source.load(), problem.examples
    x, y = (a[first : first + count] for a in (dataset.x_train, dataset.y_train))
    return networks.seen(problem).on(x, y)


def weighed(problem, theta, validation, bits):
    """What is left of a network, and how few bytes it takes:

    of its kernels [K]: "layer zeros", the share that is 0 exactly; "ratio", C, "norm", |w|_2, 0 of a
    kernel without weights. Of all of them together, []: "zeros"; "ternarity", the share of the others
    within half of their kernel's r^2 / s; "entropy", bits a number of the codes other than 0 at 8 bits,
    and "entropy of all"; "magnitudes" [40], shares of the others by |w| s / r^2, see `BINS`.
    Of the network quantised to these numbers of bits: "sizes" [bits, coders] of `coding.CODERS`, bytes;
    "accuracy" and "validation" [bits + 1], the last not quantised. "loss" [] of training.
    """
    space = networks.landscape(problem).space
    arrays = [np.asarray(w) for w in space.unflatten(theta)]
    kernels = [w for w in arrays if w.ndim > 1]
    sizes, thetas = [], []
    for n in bits:
        streams = [wedges.coding.encode(arrays, n, coder) for coder in wedges.coding.CODERS]
        sizes.append([len(stream) for stream in streams])
        thetas.append(np.concatenate([w.ravel() for w in wedges.coding.decode(streams[-1])]))
    thetas.append(theta)
    accuracies = {
        "accuracy": networks.unseen(problem),
        "validation": _validation(problem, validation),
    }
    found = {
        name: np.array([float(on.evaluate(t).accuracy) for t in thetas])
        for name, on in accuracies.items()
    }
    loss = float(networks.seen(problem)(theta))
    return {**found, "sizes": np.array(sizes), "loss": np.array(loss), **of_kernels(kernels)}


def of_kernels(kernels):
    """What `weighed` says of kernels alone."""
    alive = [w for w in kernels if w.any()]
    units = [np.abs(w[w != 0]) / wedges.compressibility.critical_magnitude(w) for w in alive]
    units = np.concatenate([np.zeros(0), *units])
    codes = np.concatenate([wedges.coding.quantize(w, 8).codes.ravel() for w in kernels])
    others = codes[codes != 0]
    count = max(1, len(units))
    zeros = np.array([np.mean(w == 0) for w in kernels])
    of_alive = lambda function: np.array([function(w) if w.any() else 0.0 for w in kernels])
    return {
        "layer zeros": zeros,
        "ratio": of_alive(wedges.compressibility.ratio),
        "norm": of_alive(lambda w: np.linalg.norm(w.astype(np.float64))),
        "zeros": np.array(sum((w == 0).sum() for w in kernels) / sum(w.size for w in kernels)),
        "ternarity": np.array(np.sum((units >= 0.5) & (units <= 1.5)) / count),
        "entropy": np.array(wedges.coding.entropy(others) if len(others) else 0.0),
        "entropy of all": np.array(wedges.coding.entropy(codes)),
        "magnitudes": np.histogram(np.minimum(units, BINS[-1]), BINS)[0] / count,
    }


def local(problem, theta, spans, examples, products):
    """The training loss around a theta, on so many examples, [] each.

    "top", the largest eigenvalue of its Hessian, "trace" and its standard error "trace error"; "alive
    top", "alive trace" and "alive trace error", of the Hessian of the weights that are not 0 alone;
    "gradient", the length of its gradient over all examples.
    """
    landscape = networks.seen(problem, examples)
    hessian = wedges.hessian(landscape, theta)
    alive = np.ones(len(theta), bool)
    for start, end in spans:
        alive[start:end] = theta[start:end] != 0
    within = wedges.curvature.block(hessian, np.flatnonzero(alive))
    found = {}
    for name, operator in (("", hessian), ("alive ", within)):
        top = wedges.eigenpairs(operator, 1, seed=0, tolerance=0.02).values[0]
        mean, error, _ = wedges.trace(operator, products, seed=0)
        found |= {f"{name}top": top, f"{name}trace": mean, f"{name}trace error": error}
    gradient = networks.seen(problem).value_and_gradient(theta)[1]
    return {**found, "gradient": np.linalg.norm(np.asarray(gradient, np.float64))}


def rescaled(problem, theta, other, examples):
    """The same function in other units: of a stack of ReLU layers W_l the first ones are brought to the
    length that they have in another theta, and the last one takes what is left,

        W_l <- a_l W_l, b_l <- a_1 .. a_l b_l, W_last <- W_last / (a_1 .. a_(last - 1)),

    so that C of each kernel and all outputs are as before, and curvatures are compared at one scale.
    "top", the largest eigenvalue of its Hessian; "off", how far that moves the loss, relative, []."""
    space = networks.landscape(problem).space
    arrays, others = ([np.asarray(w, np.float64) for w in space.unflatten(t)] for t in (theta, other))
    wanted = [np.linalg.norm(w) for w in others if w.ndim > 1]
    places, product = [i for i, w in enumerate(arrays) if w.ndim > 1], 1.0
    for place, length in zip(places[:-1], wanted[:-1], strict=True):
        own = np.linalg.norm(arrays[place])
        factor = length / own if own > 0 else 1.0
        product *= factor
        arrays[place] *= factor
        arrays[place + 1] *= product  # its biases
    arrays[places[-1]] /= product
    moved = np.concatenate([w.ravel() for w in arrays]).astype(theta.dtype)
    landscape = networks.seen(problem, examples)
    top = wedges.eigenpairs(wedges.hessian(landscape, moved), 1, seed=0, tolerance=0.02).values[0]
    before = float(landscape(theta))
    return {"top": top, "off": np.array(abs(float(landscape(moved)) - before) / before)}


def balance(problem, theta, setting, spans):
    """Of the weights that are not 0 the gradient of the training loss g and that of the penalty p, which
    add to 0 where training has come to rest: "cosine" of g and -p; "rest", |g + p| / |g|; "pull", the
    length of p, []. Without a penalty there is no pull: 0, 1 and 0."""
    gradient = np.asarray(networks.seen(problem).value_and_gradient(theta)[1], np.float64)
    kernels = [theta[start:end].astype(np.float64) for start, end in spans]
    penalty = penalty_of(setting.kind, setting.strength)
    if penalty is None:
        return {"cosine": np.array(0.0), "rest": np.array(1.0), "pull": np.array(0.0)}
    whole = [np.concatenate(kernels)] if setting.kind == "one" else kernels
    found = [wedges.regularizers.forces(penalty, w) for w in whole]
    pull = [float(f.shrink) * np.sign(w) - float(f.grow) * w for f, w in zip(found, whole, strict=True)]
    w, p = np.concatenate(kernels), np.concatenate(pull)
    g = np.concatenate([gradient[start:end] for start, end in spans])
    g, p = g[w != 0], p[w != 0]
    length = np.linalg.norm
    return {
        "cosine": np.array(-g @ p / (length(g) * length(p))),
        "rest": np.array(length(g + p) / length(g)),
        "pull": np.array(length(p)),
    }


def line(problem, first, last, points):
    """The training loss on the straight line between two thetas: "losses" [points]; "barrier", how far
    it rises above the chord, and "draw_up", how far it ever rises, []."""
    found = wedges.interpolation.interpolation(networks.seen(problem), first, last, points)
    barrier = wedges.barrier(found.losses)
    return {"losses": found.losses, "barrier": barrier, "draw_up": np.array(found.draw_up)}
