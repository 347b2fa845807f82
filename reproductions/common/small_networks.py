"""The two networks of the allocation figure: a fully connected one, and a small residual one.

Each is called as function(shape=, classes=, width=, seed=) and returns logits; every kernel is
he-normal, as in the paper's code. A layer and the batch norm behind it have one name, the norm's with
`NORM` at its end, so that both count as one layer. Both can be named by path, as
reproductions.common.small_networks:resnet8.

Source: Lan et al. 2019, arXiv:1909.01440, for the fully connected net 784-100-50-10 and for residual
nets whose batch norm uses the statistics of the batch at hand.
"""

import itertools

from reproductions.common import models

NORM = "_norm"


def fc(shape, classes, width, seed):
    """inputs - 100 - 50 - classes, relu."""
    import keras
    from keras import layers

    start = _starts(seed)
    example = x = keras.Input(shape)
    x = layers.Flatten()(x)
    for name, units in (("first", 100), ("second", 50)):
        units = models.scaled(units, width)
        x = layers.Dense(units, "relu", name=name, kernel_initializer=next(start))(x)
    return keras.Model(example, layers.Dense(classes, name="last", kernel_initializer=next(start))(x))


def resnet8(shape, classes, width, seed):
    """A convolution, three blocks of two, a dense layer: ResNet-8 of (16, 32, 64) channels times width.

    x + norm(conv(relu(norm(conv(x))))) in each block; the second and the third halve the sides, and a
    convolution of size 1 leads x past them. Batch norm has the statistics of the batch at hand, always.
    On signals everything has one axis.
    """
    import keras
    from keras import layers

    from reproductions.common.batch_mode import BatchStatistics

    start = _starts(seed)
    axes = len(shape) - 1
    relu = layers.Activation("relu")

    def conv(x, name, channels, size=3, stride=1):
        make = getattr(layers, f"Conv{axes}D")
        how = {"padding": "same", "use_bias": False, "name": name, "kernel_initializer": next(start)}
        x = make(channels, size, stride, **how)(x)
        return BatchStatistics(name=name + NORM)(x)

    example = keras.Input(shape)
    x = relu(conv(example, "first", models.scaled(16, width)))
    for number, channels in enumerate((16, 32, 64), 1):
        channels, stride = models.scaled(channels, width), 1 if number == 1 else 2
        y = relu(conv(x, f"block{number}a", channels, stride=stride))
        y = conv(y, f"block{number}b", channels)
        if stride > 1:
            x = conv(x, f"block{number}past", channels, size=1, stride=stride)
        x = relu(layers.Add()([x, y]))
    x = getattr(layers, f"GlobalAveragePooling{axes}D")()(x)
    return keras.Model(example, layers.Dense(classes, name="last", kernel_initializer=next(start))(x))


def _starts(seed):
    """Initialisers, no two alike."""
    import keras

    return (keras.initializers.HeNormal(seed=seed * 10_000 + i) for i in itertools.count())
