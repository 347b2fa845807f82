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
from tests.wedges.fits import Points
from tests.wedges.interrupted import Killed
from tests.wedges.small_networks import truth
from wedges.callbacks.allocation import neurons

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


def test_a_model_that_its_first_batch_builds_is_allocated_from_there(images):
    class Late(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.end = layers.Flatten(), layers.Dense(3)

        def call(self, x):
            return self.end(self.flat(x))

    model = compiled(Late)
    found = wedges.LossAllocation(x=images[0], y=images[1])
    fit(model, images, found, epochs=1)
    assert found.batches.tolist() in ([1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7])
    assert found.allocation.relative_error() < 0.1


def test_a_landscape_may_be_given_with_groups_of_ones_own(images):
    model = compiled(plain)
    landscape = wedges.NetworkLandscape(model, *images, seed=0, regularize=True)
    found = wedges.LossAllocation(landscape, groups={"bias": slice(384, 390)}, rule="left")
    fit(model, images, found, epochs=1)
    assert found.allocation.landscape is landscape and found.allocation.names == ("bias",)
    assert found.allocation.layers.sum() == pytest.approx(found.allocation.total[384:390].sum())


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
