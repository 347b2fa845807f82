"""`Proximal`: where weights come to rest, against closed forms; which steps it sees; bad input."""

import keras
import numpy as np
import pytest
from keras import layers

import wedges
from wedges.compressibility import ratio
from wedges.regularizers import proximal_step

L1 = keras.regularizers.L1


def linear(start, optimizer, **settings):
    """A model whose loss is (1 / n) sum_i (w_i - y_i)^2 for the examples below: one kernel [n, 1]."""
    start = np.asarray(start, np.float32)
    model = keras.Sequential([keras.Input((len(start),)), layers.Dense(1, use_bias=False)])
    model.layers[0].set_weights([start[:, None]])
    model.compile(optimizer, "mse", **settings)
    return model


def fit(model, y, *callbacks, steps=1, epochs=1):
    """So many steps an epoch, each on all of the examples."""
    n = len(y)
    x, y = np.tile(np.eye(n, dtype="float32"), (steps, 1)), np.tile(np.float32(y), steps)[:, None]
    settings = {"batch_size": n, "epochs": epochs, "verbose": 0, "shuffle": False}
    return model.fit(x, y, callbacks=list(callbacks), **settings)


def kernel(model):
    return model.get_weights()[0].ravel()


Y = np.array([2.0, -1.0, 0.3, 0.05])


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.2),
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.optimizers.SGD(0.05, momentum=0.5, nesterov=True),
    ],
    ids=["plain", "momentum", "Nesterov"],
)
def test_under_l1_weights_rest_where_the_lasso_has_its_solution(optimizer):
    optimizer = type(optimizer).from_config(optimizer.get_config())
    model, sparse = linear(np.ones(4), optimizer), wedges.Proximal(L1(0.1))
    history = fit(model, Y, sparse, steps=200, epochs=2).history
    # (1 / 4) (w - y)^2 + 0.1 |w| is least at sign(y) max(|y| - 0.2, 0).
    np.testing.assert_allclose(kernel(model), [1.8, -0.8, 0.1, 0.0], atol=1e-4)
    assert kernel(model)[3] == 0 and history["zeros"][-1] == sparse.zeros == 0.25
    assert len(history["zeros"]) == 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_under_c_the_gradients_of_loss_and_penalty_cancel_at_rest(momentum):
    model = linear(np.ones(4), keras.optimizers.SGD(0.02 * (1 - momentum), momentum))
    fit(model, Y, wedges.Proximal(wedges.Compressibility(0.2)), steps=1500)
    w = kernel(model).astype(float)
    s, r, on = np.abs(w).sum(), np.linalg.norm(w), kernel(model) != 0
    of_loss, of_c = (w - Y) / 2, np.sign(w) / r - s * w / r**3
    np.testing.assert_allclose(of_loss[on], -0.2 * of_c[on], atol=3e-4)
    assert 0 < on.sum() < 4 and (np.abs(of_loss[~on]) <= 0.2 / r + 3e-4).all()
    assert wedges.compressibility.certificate(w) <= on.sum()


def test_it_is_the_proximal_step_behind_the_optimizer_s():
    start, penalty = np.array([1.0, -0.5, 0.02, 0.4], np.float32), wedges.Compressibility(0.3)
    model = linear(start, keras.optimizers.SGD(0.1, momentum=0.5))
    fit(model, Y, wedges.Proximal(penalty))
    plain = start - 0.1 * (start - Y.astype(np.float32)) / 2
    np.testing.assert_allclose(kernel(model), proximal_step(plain, penalty, 0.2), rtol=1e-5)


@pytest.mark.parametrize("group", [False, True])
def test_weights_of_one_axis_are_left_and_several_can_be_one_vector(group):
    penalty, rng = wedges.Compressibility(0.5), np.random.default_rng(0)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.layers[0].bias.assign(rng.normal(size=4))
    before = [np.array(v) for v in model.trainable_variables]
    # Without inputs and errors nothing but the penalty moves the kernels.
    x, y = np.zeros((4, 5)), np.tile(before[1] @ before[2], (4, 1))
    model.fit(x, y, verbose=0, callbacks=[wedges.Proximal(penalty, group=group)])
    found = [np.array(v) for v in model.trainable_variables]
    np.testing.assert_allclose(found[1], before[1], atol=1e-6)
    kernels = [before[0].ravel(), before[2].ravel()]
    known = [proximal_step(w, penalty, 0.1) for w in kernels]
    if group:
        whole = np.concatenate(kernels)
        known = np.split(np.asarray(proximal_step(whole, penalty, 0.1)), [20])
        assert ratio(np.concatenate(known)) < ratio(whole)
    for w, k in zip((found[0], found[2]), known, strict=True):
        np.testing.assert_allclose(w.ravel(), k, atol=1e-6)
    assert np.abs(found[0] - before[0]).max() > 1e-3


@pytest.mark.parametrize("at_once", [1, 3])
def test_steps_that_run_at_once_are_made_up_for(at_once):
    y = np.zeros(6)
    model = linear(np.ones(6), keras.optimizers.SGD(1e-9), steps_per_execution=at_once)
    model.optimizer.learning_rate = 0.01
    sparse = wedges.Proximal(L1(1.0), [model.layers[0].kernel])
    # The inputs are 0, so nothing but the penalty moves the weights.
    model.fit(np.zeros((6, 6)), y[:, None], batch_size=1, epochs=2, verbose=0, callbacks=[sparse])
    np.testing.assert_allclose(kernel(model), 1 - 12 * 0.01, rtol=1e-5)


def test_gathered_gradients_are_one_step():
    model = linear(np.ones(6), keras.optimizers.SGD(0.01, gradient_accumulation_steps=3))
    model.fit(
        np.zeros((6, 6)), np.zeros((6, 1)), batch_size=1, verbose=0, callbacks=[wedges.Proximal(L1(1.0))]
    )
    np.testing.assert_allclose(kernel(model), 1 - 2 * 0.01, rtol=1e-5)


def test_it_follows_a_schedule():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.01])  # steps 0, 1, 2 | 3, 4
    model = linear(np.ones(5), keras.optimizers.SGD(rates))
    model.fit(
        np.zeros((5, 5)), np.zeros((5, 1)), batch_size=1, verbose=0, callbacks=[wedges.Proximal(L1(1.0))]
    )
    np.testing.assert_allclose(kernel(model), 1 - 3 * 0.1 - 2 * 0.01, rtol=1e-5)


def test_steps_at_once_have_each_its_own_rate_of_a_schedule():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.01])  # step 0 | 1, 2, 3
    model = linear(np.ones(5), keras.optimizers.SGD(rates), steps_per_execution=4)
    x, y = np.zeros((4, 5)), np.zeros((4, 1))
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[wedges.Proximal(L1(1.0))])
    np.testing.assert_allclose(kernel(model), 1 - 0.1 - 3 * 0.01, rtol=1e-5)


def test_gathered_gradients_have_the_rate_of_a_schedule_with_which_they_are_taken():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01])  # batches 0, 1 | 2, 3
    model = linear(np.ones(5), keras.optimizers.SGD(rates, gradient_accumulation_steps=2))
    x, y = np.zeros((4, 5)), np.zeros((4, 1))
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[wedges.Proximal(L1(1.0))])
    np.testing.assert_allclose(kernel(model), 1 - 0.1 - 0.01, rtol=1e-5)


def test_a_rate_that_a_callback_sets_as_a_batch_begins_is_that_of_its_step():
    class Warmup(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.01 * (batch + 1)

        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.9

    for callbacks in ([Warmup(), wedges.Proximal(L1(1.0))], [wedges.Proximal(L1(1.0)), Warmup()]):
        model = linear(np.ones(5), keras.optimizers.SGD(0.5))
        x, y = np.zeros((3, 5)), np.zeros((3, 1))
        model.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
        np.testing.assert_allclose(kernel(model), 1 - 0.01 - 0.02 - 0.03, rtol=1e-5)


def test_a_model_that_its_first_batch_builds_is_seen_from_then_on():
    ones = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model, sparse = keras.Sequential([ones]), wedges.Proximal(L1(1.0))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x, y = np.zeros((4, 3)), np.zeros((4, 1))
    history = model.fit(x, y, batch_size=1, verbose=0, callbacks=[sparse]).history
    np.testing.assert_allclose(kernel(model), 1 - 4 * 0.01, rtol=1e-5)
    assert history["zeros"] == [0] and sparse.zeros == 0
    dead = keras.Sequential([layers.Dense(1, kernel_initializer="zeros")])
    dead.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match="^variables must have a component other than 0, or HoyerSquare"
    ):
        dead.fit(x, y, verbose=0, callbacks=[wedges.Proximal(wedges.HoyerSquare(0.1))])


def test_a_constraint_holds_afterwards():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_constraint="unit_norm")])
    model.compile("sgd", "mse")
    x, y = np.zeros((4, 4)), np.zeros((4, 3))
    model.fit(x, y, verbose=0, callbacks=[wedges.Proximal(L1(10.0))])
    kernels = model.layers[0].get_weights()[0]
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=0), 1, rtol=1e-5)
    assert 0 < (kernels == 0).sum() < 12


def test_other_optimizers_take_it_with_their_rate():
    model = linear(np.ones(4), keras.optimizers.Adam(0.01))
    model.fit(np.zeros((4, 4)), np.zeros((4, 1)), verbose=0, callbacks=[wedges.Proximal(L1(1.0))])
    np.testing.assert_allclose(kernel(model), 1 - 0.01, rtol=1e-5)


def test_a_weight_that_has_become_zero_is_told_of_once():
    model = linear(np.full(3, 0.01), keras.optimizers.SGD(0.1))
    sparse = wedges.Proximal(L1(10.0))
    assert np.isnan(sparse.zeros)
    with pytest.warns(UserWarning, match="^all of '.*kernel' is 0 now: nothing passes") as told:
        fit(model, np.zeros(3), sparse, epochs=3)
    assert sum("is 0 now" in str(w.message) for w in told) == 1 and sparse.zeros == 1


def test_history_has_the_zeros_wherever_the_callback_stands():
    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert logs["zeros"] == 0.25

    model = linear([1.0, 1.0, 1.0, 1e-3], keras.optimizers.SGD(0.01))
    fit(model, [1.0, 1.0, 1.0, 0.0], Last(), wedges.Proximal(L1(0.5)), epochs=2)


# ---- bad input --------------------------------------------------------------------------------------


def test_bad_input_is_one_line():
    with pytest.raises(ValueError, match="^penalty must be wedges.Compressibility, .*; received 0.1"):
        wedges.Proximal(0.1)
    zero = linear(np.zeros(3), "sgd")
    words = r"^variables must have a component other than 0, or Compressibility\(0.001\) is not defined"
    with pytest.raises(ValueError, match=words):
        fit(zero, np.ones(3), wedges.Proximal(wedges.Compressibility(1e-3)))
    fit(zero, np.ones(3), wedges.Proximal(L1(1e-3)))  # which is
    model = linear(np.ones(3), "sgd")
    whole = keras.Variable(np.ones((2, 2)), dtype="int32")
    for other, words in ((whole, "int32"), (np.ones(3), "ndarray|float64")):
        with pytest.raises(ValueError, match=f"^variables must be floating Keras variables; .*{words}"):
            fit(model, np.ones(3), wedges.Proximal(L1(0.1), [other]))
    flat = keras.Sequential([keras.Input((2,)), layers.BatchNormalization()])
    flat.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must have a trained weight of two or more axes"):
        flat.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0, callbacks=[wedges.Proximal(L1(0.1))])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"use_ema": True}, "without use_ema, whose averages have no exact zeros; received SGD"),
        ({"momentum": 1.0}, "a momentum below 1; received 1"),
    ],
)
def test_an_optimizer_that_leaves_no_zeros_or_has_no_end_is_refused(how, words):
    model = linear(np.ones(3), keras.optimizers.SGD(0.1, **how))
    with pytest.raises(ValueError, match=f"^a proximal step needs (an optimizer )?{words}"):
        fit(model, np.zeros(3), wedges.Proximal(L1(1.0)))


def test_an_optimizer_without_a_rate_is_named():
    model, sparse = linear(np.ones(3), "sgd"), wedges.Proximal(L1(0.1))
    for optimizer, name in ((None, "NoneType"), (object(), "object")):
        model.optimizer = optimizer
        sparse.set_model(model)
        words = f"^a proximal step needs the learning rate of the model's optimizer; received {name}, "
        with pytest.raises(ValueError, match=words):
            sparse.on_train_begin()
