"""The paper's networks, for any image size of the data sets here. All return logits.

`Model` is the recipe; `build` makes the Keras model. One seed decides every initial weight.
"""

import dataclasses
import itertools

from reproductions.bench.errors import UsageError
from reproductions.bench.options import one_of

# Keras is imported inside, so that a figure's --help need not wait for it.
NAMES = one_of("simple_cnn", "fc", "lenet", "resnet")
ACTIVATIONS = one_of("tanh", "relu")
_DEPTH = {"simple_cnn": 3, "fc": 2, "lenet": 2, "resnet": 1}


@dataclasses.dataclass(frozen=True)
class Model:
    """What network.

    Attributes:
      name: simple_cnn (the paper's: 19,466 weights on CIFAR-10), fc, lenet (Li et al. 2018: 62,006 on
        CIFAR-10, 44,426 on MNIST), or resnet (batch norm).
      width: multiplies the channels (16, 32, 32), (200, 200), (6, 16) with (120, 84), (16, 32, 64).
      depth: convolutions, hidden layers, convolutions, residual blocks a stage; None is 3, 2, 2, 1.
      activation: tanh or relu; the paper's is tanh.
      dropout: share of activations dropped after each activation.
      l2: c in the penalty c * sum(w^2) of every kernel (not of biases).
    """

    name: str = "simple_cnn"
    width: float = 1.0
    depth: int | None = None
    activation: str = "tanh"
    dropout: float = 0.0
    l2: float = 0.0


def loss():
    """The loss that all of them are trained on."""
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build(model, shape, classes, *, seed):
    """A built `keras.Model`: images [B, *shape] -> logits [B, classes]."""
    import keras

    seeds = itertools.count(seed * 10_000)  # no two layers share an initial draw
    body = {"simple_cnn": _simple_cnn, "fc": _fc, "lenet": _lenet, "resnet": _resnet}[model.name]
    image = keras.Input(shape)
    features = body(model, image, seeds)
    logits = keras.layers.Dense(classes, **_weights(model, seeds))(features)
    return keras.Model(image, logits, name=model.name)


def _simple_cnn(model, x, seeds):
    from keras import layers

    for i in range(model.depth or _DEPTH["simple_cnn"]):
        channels = _scaled(16 if i == 0 else 32, model.width)
        x = layers.Conv2D(channels, 3, padding="same", **_weights(model, seeds))(x)
        # max(tanh(z)) = tanh(max(z)) for any increasing function, so pooling first gives the same
        # network with a quarter of the activations to compute.
        if min(x.shape[1:3]) >= 2:
            x = layers.MaxPooling2D()(x)
        x = _activate(model, x, seeds)
    return layers.Flatten()(x)


def _fc(model, x, seeds):
    from keras import layers

    x = layers.Flatten()(x)
    for _ in range(model.depth or _DEPTH["fc"]):
        x = layers.Dense(_scaled(200, model.width), **_weights(model, seeds))(x)
        x = _activate(model, x, seeds)
    return x


def _lenet(model, x, seeds):
    """5x5 convolutions, each with 2x2 pooling, then Dense 120 and 84."""
    from keras import layers

    for i in range(model.depth or _DEPTH["lenet"]):
        if min(x.shape[1:3]) < 5:
            raise UsageError(
                f"--model=lenet: needs images that {model.depth or _DEPTH['lenet']} convolutions of 5x5 "
                "fit into, e.g. --dataset=cifar10; use --model=simple_cnn or fc here."
            )
        channels = _scaled(6 if i == 0 else 16, model.width)
        x = layers.Conv2D(channels, 5, **_weights(model, seeds))(x)
        x = _activate(model, layers.MaxPooling2D()(x), seeds)  # max and an increasing f commute
    x = layers.Flatten()(x)
    for units in (120, 84):
        x = layers.Dense(_scaled(units, model.width), **_weights(model, seeds))(x)
        x = _activate(model, x, seeds)
    return x


def _resnet(model, x, seeds):
    """conv, three stages of blocks x + norm(conv(act(norm(conv(x))))), global average."""
    from keras import layers

    def conv(x, channels, size=3, stride=1):
        return layers.Conv2D(
            channels, size, stride, padding="same", use_bias=False, **_weights(model, seeds)
        )(x)

    x = layers.BatchNormalization()(conv(x, _scaled(16, model.width)))
    x = _activate(model, x, seeds)
    for stage, width in enumerate((16, 32, 64)):
        for block in range(model.depth or _DEPTH["resnet"]):
            channels = _scaled(width, model.width)
            stride = 2 if stage and not block else 1
            y = layers.BatchNormalization()(conv(x, channels, stride=stride))
            y = layers.BatchNormalization()(conv(_activate(model, y, seeds), channels))
            if x.shape[-1] != channels or stride != 1:
                x = conv(x, channels, size=1, stride=stride)
            x = _activate(model, layers.Add()([x, y]), seeds)
    return layers.GlobalAveragePooling2D()(x)


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


def _scaled(channels, width):
    return max(1, round(channels * width))
