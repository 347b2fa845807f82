"""The paper's networks, for images and signals of any size of the data sets here. All return logits.

On signals [B, L, C] convolutions and pooling have one axis where they have two on images [B, H, W, C].

`Model` is the recipe; `build` makes the Keras model. One seed decides every initial weight. A network of
one's own is named by where it is imported from, package.module:function.
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import pathlib
import re

from reproductions.bench.errors import UsageError
from reproductions.bench.options import one_of


# Keras is imported inside, so that a figure's --help need not wait for it.
class _names_or_path(one_of):
    """Networks by name, or anybody's by path."""

    def __contains__(self, name):
        return super().__contains__(name) or re.fullmatch(r"[\w.]+:\w+", name) is not None

    def __str__(self):
        return f"{super().__str__()}, or your own by package.module:function"


NAMES = one_of("simple_cnn", "fc", "lenet", "resnet")
ANY = _names_or_path(*NAMES)
ACTIVATIONS = one_of("tanh", "relu")
_DEPTH = {"simple_cnn": 3, "fc": 2, "lenet": 2, "resnet": 1}


@dataclasses.dataclass(frozen=True)
class Model:
    """What network.

    Attributes:
      name: simple_cnn (the paper's: 19,466 weights on CIFAR-10; 6,346 on MNIST-1D), fc, lenet (Li et al.
        2018: 62,006 on CIFAR-10, 44,426 on MNIST), or resnet (batch norm); or package.module:function,
        called as function(shape=(H, W, channels), classes=10, width=1.0, seed=0), which returns a Keras
        model of logits, the same for the same seed.
      width: multiplies the channels (16, 32, 32), (200, 200), (6, 16) with (120, 84), (16, 32, 64).
      depth: convolutions, hidden layers, convolutions, residual blocks a stage; None is 3, 2, 2, 1.
      activation: tanh or relu; the paper's is tanh.
      dropout: share of activations dropped after each activation.
      l2: c in the penalty c * sum(w^2) of every kernel (not of biases).
      code: of one's own network the `mark` of its module, so that no number of earlier code is used.
    """

    name: str = "simple_cnn"
    width: float = 1.0
    depth: int | None = None
    activation: str = "tanh"
    dropout: float = 0.0
    l2: float = 0.0
    code: str = ""


def mark(name):
    """What stands for the source of the module of a network by path; "" for those here.

    Raises UsageError where there is no such module or function.
    """
    if name in NAMES:
        return ""
    module, function = name.split(":")
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.has_location:
        raise UsageError(
            f"--model={name}: no module {module} can be imported; is its folder on PYTHONPATH?"
        )
    source = pathlib.Path(found.origin).read_bytes()
    made = getattr(_imported(name, module), function, None)
    if not callable(made):
        raise UsageError(f"--model={name}: the module {module} has no function {function}.")
    try:
        inspect.signature(made).bind(shape=(), classes=0, width=0.0, seed=0)
    except TypeError as error:
        raise UsageError(
            f"--model={name}: is called as {function}(shape=, classes=, width=, seed=); it has {error}."
        ) from None
    return hashlib.sha256(source).hexdigest()[:16]


def _imported(name, module):
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever a module of somebody else raises
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"--model={name}: importing {module} raised {type(error).__name__}: {reason}"
        ) from None


def _own(model, shape, classes, seed):
    """The Keras model of a path, checked as far as it can be."""
    import keras

    module, function = model.name.split(":")
    make = getattr(_imported(model.name, module), function)
    made = make(shape=shape, classes=classes, width=model.width, seed=seed)
    if not isinstance(made, keras.Model) or made.output_shape != (None, classes):
        got = getattr(made, "output_shape", type(made).__name__)
        raise UsageError(
            f"--model={model.name}: must return a Keras model of {classes} logits; got {got}."
        )
    return made


def loss():
    """The loss that all of them are trained on."""
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build(model, shape, classes, *, seed):
    """A built `keras.Model`: examples [B, *shape] -> logits [B, classes]."""
    import keras

    if ":" in model.name:
        return _own(model, shape, classes, seed)
    seeds = itertools.count(seed * 10_000)  # no two layers share an initial draw
    body = {"simple_cnn": _simple_cnn, "fc": _fc, "lenet": _lenet, "resnet": _resnet}[model.name]
    example = keras.Input(shape)
    features = body(model, example, seeds)
    logits = keras.layers.Dense(classes, **_weights(model, seeds))(features)
    return keras.Model(example, logits, name=model.name)


def _simple_cnn(model, x, seeds):
    from keras import layers

    for i in range(model.depth or _DEPTH["simple_cnn"]):
        channels = scaled(16 if i == 0 else 32, model.width)
        x = _of_axes("Conv", x)(channels, 3, padding="same", **_weights(model, seeds))(x)
        # max(tanh(z)) = tanh(max(z)) for any increasing function, so pooling first gives the same
        # network with a quarter of the activations to compute (of signals, half).
        if min(x.shape[1:-1]) >= 2:
            x = _of_axes("MaxPooling", x)()(x)
        x = _activate(model, x, seeds)
    return layers.Flatten()(x)


def _fc(model, x, seeds):
    from keras import layers

    x = layers.Flatten()(x)
    for _ in range(model.depth or _DEPTH["fc"]):
        x = layers.Dense(scaled(200, model.width), **_weights(model, seeds))(x)
        x = _activate(model, x, seeds)
    return x


def _lenet(model, x, seeds):
    """5x5 convolutions (5 on signals), each with pooling by 2, then Dense 120 and 84."""
    from keras import layers

    depth = model.depth or _DEPTH["lenet"]
    for i in range(depth):
        if min(x.shape[1:-1]) < 5:
            size = "x".join("5" * len(x.shape[1:-1]))
            raise UsageError(
                f"--model=lenet: needs inputs that {depth} convolutions of {size} fit into, "
                "e.g. --dataset=cifar10; use --model=simple_cnn or fc here."
            )
        channels = scaled(6 if i == 0 else 16, model.width)
        x = _of_axes("Conv", x)(channels, 5, **_weights(model, seeds))(x)
        x = _activate(model, _of_axes("MaxPooling", x)()(x), seeds)  # max and an increasing f commute
    x = layers.Flatten()(x)
    for units in (120, 84):
        x = layers.Dense(scaled(units, model.width), **_weights(model, seeds))(x)
        x = _activate(model, x, seeds)
    return x


def _resnet(model, x, seeds):
    """conv, three stages of blocks x + norm(conv(act(norm(conv(x))))), global average."""
    from keras import layers

    def conv(x, channels, size=3, stride=1):
        return _of_axes("Conv", x)(
            channels, size, stride, padding="same", use_bias=False, **_weights(model, seeds)
        )(x)

    x = layers.BatchNormalization()(conv(x, scaled(16, model.width)))
    x = _activate(model, x, seeds)
    for stage, width in enumerate((16, 32, 64)):
        for block in range(model.depth or _DEPTH["resnet"]):
            channels = scaled(width, model.width)
            stride = 2 if stage and not block else 1
            y = layers.BatchNormalization()(conv(x, channels, stride=stride))
            y = layers.BatchNormalization()(conv(_activate(model, y, seeds), channels))
            if x.shape[-1] != channels or stride != 1:
                x = conv(x, channels, size=1, stride=stride)
            x = _activate(model, layers.Add()([x, y]), seeds)
    return _of_axes("GlobalAveragePooling", x)()(x)


def _of_axes(name, x):
    """The Keras layer of this name for x [B, L, C] or [B, H, W, C]: Conv1D or Conv2D, for instance."""
    from keras import layers

    return getattr(layers, f"{name}{len(x.shape) - 2}D")


def _activate(model, x, seeds):
    from keras import layers

    x = layers.Activation(model.activation)(x)
    return layers.Dropout(model.dropout, seed=next(seeds))(x) if model.dropout else x


def _weights(model, seeds):
    import keras

    return {
        "kernel_initializer": keras.initializers.GlorotUniform(seed=next(seeds)),
        "kernel_regularizer": keras.regularizers.L2(model.l2) if model.l2 else None,
    }


def scaled(channels, width):
    """So many channels times the width, one at least."""
    return max(1, round(channels * width))
