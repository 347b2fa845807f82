"""`LossAllocation`: the loss change of a plain `fit`, whatever trains."""

import pathlib
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import wedges
from tests.conftest import SPARSE, batch_norm, frozen, plain
from tests.wedges import interrupted_allocation as interrupted
from tests.wedges.bowls import bits
from tests.wedges.fits import AT_ONCE, Points, fit_at_once
from tests.wedges.interrupted import Killed
from tests.wedges.small_networks import truth
from wedges.callbacks.units import neurons

SGD = keras.optimizers.SGD


def compiled(build, optimizer="sgd", **settings):
    model = build()
    model.compile(optimizer, SPARSE, jit_compile=False, **settings)
    return model


def fit(model, images, *watching, **settings):
    """Seven batches an epoch."""
    settings = {"batch_size": 8, "epochs": 2, "verbose": 0, **settings}
    return model.fit(*images, callbacks=list(watching), **settings)


def small(**settings):
    """A model that trains in no time; x [20, 4], y [20] of 3 classes."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 3, 20)
    build = lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3, name="fc")])
    return compiled(build, **settings), data


# ---- what is allocated ------------------------------------------------------------------------------


def test_a_fit_is_allocated_as_by_hand(images):
    """By the trapezoid, gradients over all examples from an ordinary call of the model."""
    model, points = compiled(plain, keras.optimizers.Adam(0.01)), Points()
    found = wedges.LossAllocation(x=images[0], y=images[1], rule="trapezoid")
    fit(model, images, found, points)
    ends, space = [], wedges.WeightSpace(model)
    for theta in points.thetas:
        space.write(theta)
        ends.append(truth(model, *images))
    losses, gradients = (np.array(part, np.float64) for part in zip(*ends, strict=True))
    steps = np.diff(np.array(points.thetas, np.float64), axis=0)
    expected = steps * (gradients[1:] + gradients[:-1]) / 2  # [14, D]
    allocation, scale = found.allocation, np.abs(expected).max()
    assert allocation.steps == 14 and allocation.gradients == 15
    np.testing.assert_allclose(allocation.losses, losses, rtol=1e-5)
    np.testing.assert_allclose(allocation.total, expected.sum(axis=0), rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(allocation.magnitude, np.abs(expected).sum(axis=0), atol=1e-4 * scale)
    first = 64 * 6 + 6
    by_layer = np.stack([expected[:, :first].sum(axis=1), expected[:, first:].sum(axis=1)], axis=1)
    np.testing.assert_allclose(allocation.layers, by_layer, rtol=0, atol=1e-5)
    assert [n.count("/") for n in allocation.names] == [0, 0]  # without the name of the model
    assert found.batches.tolist() == list(range(1, 15)) and found.epochs.tolist() == [0] * 7 + [1] * 7
    shares = (expected < 0).sum(axis=1) / (expected != 0).sum(axis=1)
    np.testing.assert_allclose(allocation.helped, shares, atol=0.01)
    shown = str(found.table()).split("\n")
    assert len(shown) == 5 and all(line.split()[-1] in ("helped", "hurt") for line in shown[1:3])
    assert repr(found).startswith(f"LossAllocation(Allocation(D = {first + 21}, 14 steps, loss 1.")


def test_the_loss_is_one_thing_whatever_training_sees(images):
    """No dropout, no regularisers, and batch norm's statistics are those of each theta."""

    def build():
        penalty = keras.regularizers.L2(0.1)
        stack = [layers.Flatten(), layers.Dense(5, kernel_regularizer=penalty), layers.Dropout(0.5)]
        stack += [layers.BatchNormalization(), layers.Activation("tanh"), layers.Dense(3)]
        return keras.Sequential([keras.Input((8, 8, 1)), *stack])

    model, x, y = compiled(build, SGD(0.1, momentum=0.9)), *images
    found = wedges.LossAllocation(x=x[:40], y=y[:40], held_out=(x[40:], y[40:]), tolerance=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, images, found)
    allocation, theta = found.allocation, wedges.WeightSpace(model).read()
    same = wedges.NetworkLandscape(model, x[:40], y[:40], seed=0, batch_norm="reestimate")
    assert allocation.losses[-1] == pytest.approx(float(same(theta)), rel=1e-5)
    held_out = same.on(x[40:], y[40:])
    assert allocation.held_out.losses[-1] == pytest.approx(float(held_out(theta)), rel=1e-5)
    for each in (allocation, allocation.held_out):
        assert np.abs(each.errors).max() < 1e-4 and each.steps == 14
    changes = np.diff(allocation.losses)
    np.testing.assert_allclose(allocation.changes, changes, atol=1e-4)
    assert found.table().held_out.sum() == pytest.approx(
        np.diff(allocation.held_out.losses).sum(), abs=1e-3
    )


def test_weights_and_neurons_are_sums_of_one_allocation(images):
    def build():
        stack = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm")]
        stack += [layers.SeparableConv2D(5, 3, name="separable"), layers.Flatten()]
        return keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Dense(3, name="end")])

    model = compiled(build)
    found = wedges.LossAllocation(x=images[0], y=images[1], groups="neurons", rule="trapezoid")
    fit(model, images, found, epochs=1)
    weights = {name.split("/", 1)[1]: values for name, values in found.weights().items()}
    units, allocation = found.neurons(), found.allocation
    np.testing.assert_allclose(sum(w.sum() for w in weights.values()), allocation.changes.sum())
    conv = weights["conv/kernel"].sum(axis=(0, 1, 2)) + weights["conv/bias"]
    np.testing.assert_allclose(units["conv"], conv)
    np.testing.assert_allclose(units["norm"], weights["norm/gamma"] + weights["norm/beta"])
    np.testing.assert_allclose(units["end"], weights["end/kernel"].sum(axis=0) + weights["end/bias"])
    depthwise = weights["separable/depthwise_kernel"].sum(axis=(0, 1)).ravel()
    np.testing.assert_allclose(units["separable/depthwise_kernel"], depthwise)
    pointwise = weights["separable/pointwise_kernel"].sum(axis=(0, 1, 2)) + weights["separable/bias"]
    np.testing.assert_allclose(units["separable/pointwise_kernel"], pointwise)
    assert len(units) == 5 and len(allocation.names) == 4 + 4 + 4 + 5 + 3
    at = allocation.names.index("conv/2")
    np.testing.assert_allclose(allocation.layers[:, at].sum(), conv[2])
    everywhere = np.sort(np.concatenate(list(neurons(wedges.WeightSpace(model)).values())))
    assert np.array_equal(everywhere, np.arange(len(allocation.total)))


def test_weights_of_one_path_are_told_apart(images):
    class Twice(layers.Layer):
        def build(self, shape):
            self.a, self.b = (self.add_weight(shape=(shape[-1], 3), name="w") for _ in range(2))
            self.c = self.add_weight(shape=(shape[-1],), name="w")

        def call(self, x):
            return (x * self.c) @ self.a + keras.ops.tanh(x) @ self.b

    class Model(keras.Model):
        def __init__(self):
            super().__init__(name="m")
            self.stack = [layers.Flatten(), layers.Dense(4, name="d"), layers.Dense(5, name="d")]
            self.stack += [Twice(name="two")]

        def call(self, x):
            for layer in self.stack:
                x = layer(x)
            return x

    model = compiled(Model)
    found = wedges.LossAllocation(x=images[0], y=images[1], rule="left")
    fit(model, images, found, epochs=1)
    weights, total = found.weights(), found.allocation.total
    assert {name: values.shape for name, values in weights.items()} == {
        **{"m/d/kernel": (64, 4), "m/d/bias": (4,), "m/d_1/kernel": (4, 5), "m/d_1/bias": (5,)},
        **{"m/two/w": (5, 3), "m/two/w_1": (5, 3), "m/two/w_2": (5,)},
    }
    assert np.array_equal(np.concatenate([w.ravel() for w in weights.values()]), total)
    units = found.neurons()
    assert {name: len(values) for name, values in units.items()} == {
        **{"d": 4, "d_1": 5, "two/w": 3, "two/w_1": 5}
    }
    np.testing.assert_allclose(units["two/w"], (weights["m/two/w"] + weights["m/two/w_1"]).sum(axis=0))


class Scaled(layers.Layer):
    """One number for all outputs."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), name="scale", initializer="ones")
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")

    def call(self, x):
        return self.scale * (x @ self.w)


def low_rank():
    layer = layers.Dense(4, name="d")
    layer.build((None, 6))
    layer.enable_lora(4)
    return layer


def attending():
    x = keras.Input((5, 4))
    return keras.Model(x, layers.MultiHeadAttention(2, 3, output_shape=6, name="a")(x, x), name="m")


def stacked(shape, layer):
    return keras.Sequential([keras.Input(shape), layer], name="m")


@pytest.mark.parametrize(
    ("build", "counts", "same"),
    [
        # {layer: units}, and of each its first unit by hand: (variable, index) of each of its weights
        (
            lambda: stacked((7, 2), layers.GRU(3, name="g")),
            {"g/gru_cell": 9},
            {
                "g/gru_cell": [
                    ("/kernel", np.s_[:, 0]),
                    ("recurrent", np.s_[:, 0]),
                    ("bias", np.s_[:, 0]),
                ]
            },
        ),
        (
            attending,
            {"query": 6, "key": 6, "value": 6, "attention_output/kernel": 6, "attention_output/bias": 6},
            {
                "query": [("query/kernel", np.s_[:, 0, 0]), ("query/bias", np.s_[0, 0])],
                "attention_output/kernel": [("output/kernel", np.s_[0, 0, :])],
                "attention_output/bias": [("output/bias", np.s_[0])],
            },
        ),
        (
            lambda: stacked((2, 3, 4), layers.PReLU(name="p")),
            {"p": 4},
            {"p": [("alpha", np.s_[:, :, 0])]},
        ),
        (
            lambda: stacked((2, 3, 4), layers.LayerNormalization(axis=[1, 2, 3], name="n")),
            {"n": 4},
            {"n": [("gamma", np.s_[:, :, 0]), ("beta", np.s_[:, :, 0])]},
        ),
        (
            lambda: stacked((5, 5, 4), layers.SeparableConv2D(4, 3, name="s")),
            {"s/depthwise_kernel": 4, "s/pointwise_kernel": 4},
            {"s/pointwise_kernel": [("pointwise", np.s_[..., 0]), ("bias", np.s_[0])]},
        ),
        (
            lambda: stacked((6,), low_rank()),
            {"d/bias": 4, "d/lora_kernel_a": 4},
            {"d/lora_kernel_a": [("kernel_a", np.s_[:, 0]), ("kernel_b", np.s_[0])]},
        ),
        (
            lambda: stacked((6,), Scaled(name="c")),
            {"c/scale": 1, "c/w": 4},
            {"c/scale": [("scale", ())], "c/w": [("w", np.s_[:, 0])]},
        ),
    ],
    ids=["gru", "attention", "slopes", "norm", "separable", "low rank", "scalar"],
)
def test_every_weight_is_of_one_unit(build, counts, same):
    space = wedges.WeightSpace(build())
    found = neurons(space)
    everywhere = np.sort(np.concatenate(list(found.values())))
    assert np.array_equal(everywhere, np.arange(space.dimension))
    there = {}
    for name, where in found.items():
        there.setdefault(name.rpartition("/")[0], []).append(where)
    short = {name.removeprefix("m/").removeprefix("a/"): parts for name, parts in there.items()}
    assert {name: len(parts) for name, parts in short.items()} == counts
    starts = np.cumsum([0, *space.sizes])
    pairs = zip(starts[:-1], space.sizes, space.shapes, strict=True)
    numbers = [start + np.arange(size).reshape(shape) for start, size, shape in pairs]
    for name, weights in same.items():
        expected = []
        for word, index in weights:
            (at,) = (i for i, v in enumerate(space.variables) if word in v.path)
            expected.append(np.ravel(numbers[at][index]))
        assert np.array_equal(np.sort(short[name][0]), np.sort(np.concatenate(expected)))


# ---- whatever trains --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "batches"),
    [
        ("adam", lambda: keras.optimizers.Adam(0.01), [1, 2, 3, 4, 5, 6]),
        ("accumulated", lambda: SGD(0.1, gradient_accumulation_steps=2), [2, 4, 6]),
        ("averaged", lambda: SGD(0.1, use_ema=True, ema_overwrite_frequency=2), [1, 2, 3, 4, 5, 6]),
    ],
)
def test_steps_are_what_moves_the_weights(name, make, batches):
    model, data = small(optimizer=make())
    found, points = wedges.LossAllocation(x=data[0], y=data[1]), Points()
    fit(model, data, found, points)
    assert found.batches.tolist() == batches
    moved = [points.thetas[0], *(points.thetas[b] for b in batches)]
    landscape = wedges.NetworkLandscape(model, *data, seed=0)
    expected = [float(landscape(theta)) for theta in moved]
    np.testing.assert_allclose(found.allocation.losses, expected, rtol=1e-6)
    assert np.all(found.allocation.jumps == 0)


def test_an_average_that_keras_leaves_in_the_model_is_no_step():
    model, data = small(optimizer=SGD(0.5, use_ema=True, ema_momentum=0.5))
    found, points = wedges.LossAllocation(x=data[0], y=data[1]), Points()
    for _ in range(2):
        fit(model, data, found, points, epochs=1)
    landscape, allocation = wedges.NetworkLandscape(model, *data, seed=0), found.allocation
    losses = [float(landscape(theta)) for theta in points.thetas]  # start, 3 batches, start, 3 batches
    np.testing.assert_allclose(allocation.losses, losses[:4] + losses[5:], rtol=1e-6)
    expected = [0, 0, 0, losses[4] - losses[3], 0, 0]
    np.testing.assert_allclose(allocation.jumps, expected, atol=1e-6)
    assert abs(expected[3]) > 1e-3
    parts = allocation.changes + allocation.errors + allocation.jumps
    np.testing.assert_allclose(parts, np.diff(allocation.losses), atol=1e-12)


@pytest.mark.parametrize("who", ["the optimizer's average", "the best weights", "SWA"])
def test_what_is_left_in_the_model_at_the_end_is_told(who):
    average = who == "the optimizer's average"
    optimizer = SGD(0.5, use_ema=True, ema_momentum=0.5) if average else SGD(30.0)
    model, data = small(optimizer=optimizer)
    found, points = wedges.LossAllocation(x=data[0], y=data[1]), Points()
    beside = []
    if who == "the best weights":
        beside = [keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)]
    if who == "SWA":
        beside = [wedges.SWA()]
    fit(model, data, found, points, *beside, epochs=4)
    landscape, allocation = wedges.NetworkLandscape(model, *data, seed=0), found.allocation
    last, left = float(landscape(points.thetas[-1])), float(landscape(wedges.WeightSpace(model).read()))
    assert abs(left - last) > 1e-3 and allocation.losses[-1] == pytest.approx(last, rel=1e-6)
    assert allocation.jumped == pytest.approx(left - last, rel=1e-4)
    assert np.all(allocation.jumps == 0)
    table = found.table()
    assert table.losses[1] == pytest.approx(left, rel=1e-6) and table.jumped == allocation.jumped
    assert f"outside of steps it changed by {table.jumped:.4g}" in str(table)
    parts = allocation.changes.sum() + allocation.errors.sum() + allocation.jumped
    assert parts == pytest.approx(table.losses[1] - table.losses[0])


@pytest.mark.parametrize("how", ["every", "at once"])
def test_several_batches_are_a_straight_line(images, how):
    model = compiled(plain, **({"steps_per_execution": 3} if how == "at once" else {}))
    every = 3 if how == "every" else 1
    found, points = wedges.LossAllocation(x=images[0], y=images[1], every=every), Points()
    if how == "at once":
        with pytest.warns(UserWarning, match=r"takes 3 batches at once \(steps_per_execution\): Loss"):
            fit(model, images, found, points)
        thetas = points.thetas
    else:
        fit(model, images, found, points)
        thetas = [points.thetas[i] for i in (0, 3, 6, 7, 10, 13, 14)]
    assert found.batches.tolist() == [3, 6, 7, 10, 13, 14]
    assert found.epochs.tolist() == [0, 0, 0, 1, 1, 1]
    alone = wedges.Allocation(found.allocation.landscape)
    for theta in thetas:
        alone.step(theta)
    np.testing.assert_allclose(found.allocation.total, alone.total, rtol=1e-6, atol=1e-9)


def test_an_average_that_is_validated_is_not_seen(images):
    x, y = images
    bare, beside = (wedges.LossAllocation(x=x, y=y, rule="trapezoid") for _ in range(2))
    for found, others in ((bare, []), (beside, [wedges.SWA(x=x), keras.callbacks.SwapEMAWeights()][:1])):
        keras.utils.set_random_seed(0)
        fit(compiled(batch_norm), images, *others, found, validation_data=(x[:20], y[:20]))
    assert np.all(beside.allocation.jumps == 0)
    bits(beside.allocation.total, bare.allocation.total)


def test_weights_set_by_hand_are_no_step():
    model, data = small()
    found = wedges.LossAllocation(x=data[0], y=data[1])
    fit(model, data, found, epochs=1)
    before = found.allocation.losses[-1]
    model.set_weights([0 * w for w in model.get_weights()])
    fit(model, data, found, epochs=1)
    assert found.allocation.jumps[3] == pytest.approx(np.log(3) - before, abs=1e-6)
    assert "outside of steps it changed by" in str(found.table())


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C after the batch of that index."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            raise KeyboardInterrupt


def test_a_line_that_an_interrupt_left_open_is_no_step():
    """What was set by hand since then must not be credited to the weights."""
    model, data = small(optimizer=SGD(0.01))
    found = wedges.LossAllocation(x=data[0], y=data[1], every=2)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, found, Interrupt(2))  # one of two batches of the second line
    before = found.allocation.losses[-1]
    model.set_weights([3 * w for w in model.get_weights()])
    landscape = wedges.NetworkLandscape(model, *data, seed=0)
    by_hand = float(landscape(wedges.WeightSpace(model).read()))
    fit(model, data, found, epochs=2)
    allocation = found.allocation
    np.testing.assert_allclose(allocation.jumps, [0, by_hand - before, 0, 0, 0], atol=1e-6)
    assert abs(by_hand - before) > 0.1 > 10 * np.abs(allocation.changes).max() / 2
    assert found.batches.tolist() == [2, 5, 6, 8, 9]
    assert found.epochs.tolist() == [0, 1, 1, 2, 2]  # the interrupted epoch was one


def test_what_a_callback_sets_before_a_batch_is_no_step():
    class Shrink(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                self.model.set_weights([0 * w for w in self.model.get_weights()])

    model, data = small()
    found = wedges.LossAllocation(x=data[0], y=data[1])
    fit(model, data, found, Shrink(), epochs=1)
    allocation = found.allocation
    expected = [0, np.log(3) - allocation.losses[1], 0]
    np.testing.assert_allclose(allocation.jumps, expected, atol=1e-6)


@pytest.mark.parametrize(("settings", "expected"), AT_ONCE)
def test_batches_are_those_that_the_optimizer_saw(images, settings, expected):
    model = compiled(plain, steps_per_execution=3)
    found = wedges.LossAllocation(x=images[0], y=images[1], rule="left")
    fit_at_once(model, images, found, **settings)
    assert found.batches.tolist() == expected and found.epochs.tolist() == [0] * 3 + [1] * 3
    assert int(model.optimizer.iterations) == expected[-1]


def test_it_may_be_called_by_hand():
    """Around `train_on_batch`, without epochs."""
    model, data = small()
    found = wedges.LossAllocation(x=data[0], y=data[1])
    found.set_model(model)
    points = [wedges.WeightSpace(model).read()]
    for batch in range(3):
        found.on_train_batch_begin(batch)
        model.train_on_batch(*data)
        found.on_train_batch_end(batch)
        points.append(wedges.WeightSpace(model).read())
    found.on_train_end()
    landscape = wedges.NetworkLandscape(model, *data, seed=0)
    expected = [float(landscape(theta)) for theta in points]
    np.testing.assert_allclose(found.allocation.losses, expected, rtol=1e-6)
    assert found.batches.tolist() == [1, 2, 3] and found.epochs.tolist() == [0, 0, 0]


def test_listed_twice_it_is_called_once():
    model, data = small()
    found = wedges.LossAllocation(x=data[0], y=data[1], rule="left")
    fit(model, data, found, Points(), found)
    assert found.batches.tolist() == [1, 2, 3, 4, 5, 6] and found.epochs.tolist() == [0] * 3 + [1] * 3


def test_a_layer_that_is_frozen_and_trained_all_the_same_is_told(images):
    """Keras goes on with what it has compiled, while theta is what can be trained now."""
    model = compiled(plain)
    fit(model, images, epochs=1)
    model.layers[1].trainable = False
    kernel = model.layers[1].kernel.path
    with pytest.warns(UserWarning, match=f"still trains .*{kernel}.*, frozen since it was comp") as told:
        fit(model, images, wedges.LossAllocation(x=images[0], y=images[1], rule="left"), epochs=1)
    assert len([w for w in told if "still trains" in str(w.message)]) == 1
    assert "\n" not in str(told[0].message)
    model.compile(SGD(0.1), SPARSE, jit_compile=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, images, wedges.LossAllocation(x=images[0], y=images[1], rule="left"), epochs=1)


def test_frozen_layers_are_not_in_theta_and_thawed_ones_are_refused(images):
    model = compiled(frozen)
    found = wedges.LossAllocation(x=images[0], y=images[1], rule="trapezoid")
    fit(model, images, found, epochs=1)
    assert found.allocation.landscape.dimension == 64 * 6 + 6 and len(found.allocation.names) == 1
    assert found.allocation.relative_error() < 0.1
    model.layers[-1].trainable = True
    model.compile("sgd", SPARSE, jit_compile=False)
    with pytest.raises(
        ValueError, match="must train no other weights than at the first step of its Los"
    ):
        fit(model, images, found, epochs=1)


class Late(keras.Model):
    """Built by its first batch."""

    def __init__(self):
        super().__init__()
        self.flat, self.end = layers.Flatten(), layers.Dense(3)

    def call(self, x):
        return self.end(self.flat(x))


@pytest.mark.parametrize("build", [Late, lambda: keras.Sequential([layers.Flatten(), layers.Dense(3)])])
def test_a_model_that_its_first_batch_builds_is_allocated_from_its_start(images, build):
    found = [wedges.LossAllocation(x=images[0], y=images[1]) for _ in range(2)]
    for allocation, built_before in zip(found, (True, False), strict=True):
        keras.utils.set_random_seed(0)
        model = compiled(build)
        if built_before:
            model(images[0][:1])
        fit(model, images, allocation, epochs=1, shuffle=False)
    assert found[1].batches.tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(found[1].allocation.losses, found[0].allocation.losses, rtol=1e-6)


def test_a_landscape_may_be_given_with_groups_of_ones_own(images):
    model = compiled(plain)
    landscape = wedges.NetworkLandscape(model, *images, seed=0, regularize=True)
    found = wedges.LossAllocation(landscape, groups={"bias": slice(384, 390)}, rule="left")
    fit(model, images, found, epochs=1)
    assert found.allocation.landscape is landscape and found.allocation.names == ("bias",)
    assert found.allocation.layers.sum() == pytest.approx(found.allocation.total[384:390].sum())
    assert str(found.table()).split("\n")[2].startswith("in no group")


# ---- what goes wrong --------------------------------------------------------------------------------


def test_a_loss_that_is_nan_ends_the_allocation_and_not_the_training():
    model, data = small(optimizer=SGD(1e38))
    found = wedges.LossAllocation(x=data[0], y=data[1])
    with pytest.warns(
        UserWarning, match="LossAllocation stops at batch [1-3]: .* in step [1-3]"
    ) as told:
        history = fit(model, data, found, epochs=4).history
    assert len([w for w in told if "LossAllocation" in str(w.message)]) == 1
    assert len(history["loss"]) == 4 and found.allocation.steps < 3
    assert np.isfinite(found.allocation.total).all()


def test_after_a_loss_that_is_nan_the_next_fit_is_allocated():
    model, data = small()
    found = wedges.LossAllocation(x=data[0], y=data[1])
    fit(model, data, found, epochs=1)
    model.set_weights([np.nan * w for w in model.get_weights()])
    for batch in (3, 6):  # each time it is said
        with pytest.warns(UserWarning, match=f"LossAllocation stops at batch {batch}: theta must"):
            fit(model, data, found, epochs=1)
    before = found.allocation.losses[-1]
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    fit(model, data, found, epochs=1)
    assert found.batches.tolist() == [1, 2, 3, 10, 11, 12]
    assert found.epochs.tolist() == [0, 0, 0, 3, 3, 3]
    expected = [0, 0, 0, np.log(3) - before, 0, 0]
    np.testing.assert_allclose(found.allocation.jumps, expected, atol=1e-6)


def test_an_optimizer_that_does_not_move_is_named():
    model, data = small(optimizer=SGD(0.0))
    found = wedges.LossAllocation(x=data[0], y=data[1])
    with pytest.warns(UserWarning, match="must move its weights .*; none moved in 6 batches"):
        fit(model, data, found)
    with pytest.raises(ValueError, match="nothing has been allocated yet"):
        found.table()


def test_bad_input_is_named_in_a_line():
    model, data = small()
    landscape = wedges.NetworkLandscape(model, *data, seed=0)
    bowl = wedges.Quadratic([1.0] * 7)
    same = wedges.Quadratic([1.0] * 15)
    still = small()[0]
    still.trainable = False
    still.compile("sgd", SPARSE, jit_compile=False)
    made = wedges.LossAllocation
    x, y = data
    for make, words in (
        (lambda: made(), "landscape must be given, or x and y instead; received both or neither"),
        (lambda: made(landscape, x=x), "received both or neither"),
        (lambda: made(model), "landscape must be a wedges.Landscape; received Sequential"),
        (lambda: made(landscape, groups="filters"), "groups must be 'layers' or 'neurons'"),
        (lambda: made(landscape, every=0), "every must be a whole number, at least 1"),
        (lambda: made(landscape, rule="rk4"), "rule must be"),
        (
            lambda: made(x=x, y=y, held_out=(x, y, y)),
            r"held_out must be a landscape or a pair \(x, y\); received 3 of them. Weights of examples",
        ),
        (lambda: made(x=x, y=y, held_out=x), "held_out must be a wedges.Landscape; received ndarray"),
        (lambda: made(landscape, tolerance=-1), "tolerance must be"),
        (lambda: made(landscape).table(), "must see a step of fit first; it has seen none"),
        (lambda: made(landscape).weights(), "must see a step of fit first"),
        (
            lambda: fit(model, data, made(bowl)),
            "a dimension for each of the 15 trainable weights of model",
        ),
        (
            lambda: fit(model, data, made(same, held_out=bowl)),
            "held_out must be of the landscape's space",
        ),
        (
            lambda: fit(model, data, made(same, held_out=data)),
            "held_out must be a landscape beside Quadr",
        ),
        (
            lambda: fit(model, data, made(landscape, groups=[0])),
            r"groups must be .*whole numbers \[15\]",
        ),
        (lambda: fit(still, data, made(x=x, y=y)), "model .* has no trainable weights"),
        (
            lambda: fit(model, data, made(x=x[:, :3], y=y)),
            "x must fit the inputs of model .*; received what does not: Input 0 .* to have value 4, but",
        ),
        (
            lambda: fit(model, data, made(x=x, y=y, held_out=(x[:, :3], y))),
            "held_out's x must fit the inputs of model .* to have value 4, but received",
        ),
        (
            lambda: fit(compiled(lambda: keras.Sequential([layers.Dense(3)])), data, made(landscape)),
            "model .* must be built for the landscape that is given; call model.build",
        ),
    ):
        with pytest.raises(ValueError, match=words) as error:
            make()
        assert "\n" not in str(error.value)


# ---- killed, it goes on -----------------------------------------------------------------------------

PLACES = {
    "a batch": 17,
    "before a file of ours": 3,
    "after a file of ours": 3,
    "after Keras' weights": 3,
}


def die():
    raise Killed


def assert_equal(found, whole):
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        bits(found[name], array)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What comes of the training that nobody interrupts."""
    return interrupted.fit(tmp_path_factory.mktemp("whole"))


def test_the_training_gathers_what_it_should(whole):
    assert whole["batches"].tolist() == [b for e in range(0, 30, 5) for b in (e + 2, e + 4, e + 5)]
    assert whole["rows"].shape == (18, 8 + 3) and np.all(
        whole["times_helped"] + whole["times_hurt"] <= 18
    )
    assert np.abs(whole["rows"][:, 2]).max() < 2e-3  # errors


@pytest.mark.parametrize("place", PLACES)
def test_wherever_it_dies_it_goes_on_bit_for_bit(tmp_path, whole, place):
    with pytest.raises(Killed):
        interrupted.fit(tmp_path, die, place, PLACES[place])
    assert_equal(interrupted.fit(tmp_path), whole)


def test_backups_in_the_middle_of_epochs_leave_no_gap(tmp_path):
    """Keras repeats the epoch from the weights of its middle, and so from the end of the path."""
    with pytest.raises(Killed):
        interrupted.fit(tmp_path, die, "a batch", 18, save_freq=3)
    found = interrupted.fit(tmp_path, save_freq=3)
    rows = found["rows"]
    assert np.all(rows[:, 7] == 0) and len(rows) > 18  # no move outside of steps
    losses = np.array([found["numbers"][1], *rows[:, 0]])
    np.testing.assert_allclose(rows[:, 1] + rows[:, 2], np.diff(losses), atol=1e-12)


def process(kind, folder, *args):
    """In a process of its own: what other tests switched on in this one changes bits."""
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.wedges.interrupted_allocation", kind, str(folder), *args]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def result(folder):
    with np.load(folder / "result.npz") as found:
        return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "place", "number"),
    [("descent", "a chunk", 1), ("fit", "a batch", 17), ("fit", "after Keras' weights", 3)],
)
def test_a_killed_process(tmp_path, kind, place, number):
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    killed = process(kind, tmp_path / "killed", place, str(number))
    assert killed.returncode == -9, killed.stderr
    for folder in ("whole", "killed"):
        ended = process(kind, tmp_path / folder)
        assert ended.returncode == 0, ended.stderr
    assert_equal(result(tmp_path / "killed"), result(tmp_path / "whole"))
