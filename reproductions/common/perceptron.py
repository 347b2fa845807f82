"""Fully connected networks of any depth and width, with batch norm or without."""

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """What network: hidden layers of rectifiers, all of one width, and a linear layer of outputs.

    Attributes:
      width: units of a hidden layer.
      depth: hidden layers.
      batch_norm: normalise before each rectifier.
    """

    width: int = 128
    depth: int = 2
    batch_norm: bool = False


def build(network, shape, outputs, *, seed):
    """A built `keras.Model`: examples [B, *shape] -> [B, outputs]. Weights are Glorot-uniform, biases 0;
    the seed decides them all."""
    import keras
    from keras import layers

    seeds = itertools.count(seed * 10_000)  # no two layers share an initial draw
    drawn = lambda: keras.initializers.GlorotUniform(seed=next(seeds))
    example = keras.Input(shape)
    x = layers.Flatten()(example)
    for _ in range(network.depth):
        x = layers.Dense(network.width, kernel_initializer=drawn())(x)
        if network.batch_norm:
            x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    return keras.Model(example, layers.Dense(outputs, kernel_initializer=drawn())(x), name="perceptron")
