"""The picture of the README: the curve of low loss between two networks on MNIST-1D, two minutes.

python docs/pictures/two_networks.py           writes two_networks.png beside it, prints the barriers
"""

import pathlib

import numpy as np

import wedges

import keras  # isort: skip
import mnist1d.data  # isort: skip

FOUND = pathlib.Path(__file__).with_suffix(".png")


def network(seed):
    """Three convolutions of tanh, D = 6,346, compiled."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((40, 1))]
    for channels in (16, 32, 32):
        layers += [keras.layers.Conv1D(channels, 3, padding="same", activation="tanh")]
        layers += [keras.layers.MaxPooling1D(2)]
    model = keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


def examples(which=""):
    """x [N, 40, 1] and y [N] of MNIST-1D that are trained on; of its test set if `which` is "_test"."""
    data = mnist1d.data.make_dataset(mnist1d.data.get_dataset_args())
    return data[f"x{which}"][..., None].astype("float32"), data[f"y{which}"]


def trained(seed, x, y):
    """The network of a seed after its training."""
    model = network(seed)
    model.fit(x, y, batch_size=64, epochs=40, verbose=0)
    return model


def main():
    x, y = examples()
    model_a, model_b = (trained(seed, x, y) for seed in range(2))

    train = wedges.NetworkLandscape(model_a, x, y, seed=0)
    a, b = train.space.read(), train.space.read(model_b)
    adam = keras.optimizers.Adam(3e-3)
    basis = wedges.simplex.Bernstein(1, 2)
    curve = wedges.joint_connector(train, [a, b], basis, adam, steps=800, seed=0, normal=False)

    plane = wedges.through(curve.path)
    side, up = wedges.plots.window(plane, curve.path, steps=61, margin=0.25)
    losses = wedges.probe.plane(train, plane, side, up)
    t = np.linspace(0, 1, 41)
    line = wedges.probe.line(train, a, b).losses
    bent = wedges.connect.readings(train, curve(np.stack([1 - t, t], 1))).loss
    print(f"barrier on the line: {wedges.barrier(line):.3g}, on the curve: {wedges.barrier(bent):.2g}")
    highest = np.max(line), np.max(bent)
    title = "Between two trained networks the straight line leaves the valley,\n"
    title += f"and a trained curve stays in it (highest loss {highest[0]:.1f} against {highest[1]:.1f})"
    paths = {"straight line": [a, b], "trained Bezier curve": curve}
    figure = wedges.plots.path_on_plane(plane, side, up, losses, paths, title=title)
    figure.savefig(FOUND, dpi=130)


if __name__ == "__main__":
    main()
