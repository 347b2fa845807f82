"""Our callbacks beside Keras' own, in any order of the list."""

import csv
import itertools
import warnings

import keras
import numpy as np
import pytest
from keras import callbacks, layers

import wedges
from tests.conftest import SPARSE, batch_norm, plain
from tests.wedges.fits import Record, compiled, mean, same

pytestmark = pytest.mark.slow  # many fits, each in every order

EXACT = {"rtol": 0, "atol": 0}
BOTH = pytest.mark.parametrize("swa_first", [True, False], ids=["SWA first", "SWA last"])


def in_order(swa, others, swa_first):
    return [swa, *others] if swa_first else [*others, swa]


def halves(images):
    x, y = images
    return (x[:30], y[:30]), (x[30:], y[30:])


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


# ---- what stands in the model ---------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("build", [plain, batch_norm])
def test_a_checkpoint_holds_what_was_validated(images, tmp_path, swa_first, build, no_warning):
    train, test = halves(images)
    model, record = compiled(build), Record()
    best = callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", monitor="val_loss", save_best_only=True, save_weights_only=True
    )
    each = callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    swa = wedges.SWA(start_epoch=1, x=train[0])
    order = in_order(swa, [best, each, record], swa_first)
    found = model.fit(*train, epochs=5, validation_data=test, callbacks=order, verbose=0).history
    for stood, validated in zip(record.found, record.validated, strict=True):
        same(stood, validated, **EXACT)
    if build is plain:
        for e in range(1, 5):
            same(record.found[e], mean(record.trained[1 : e + 1]))
    assert not np.array_equal(record.found[2][0], record.trained[2][0])
    loss = lambda m: m.evaluate(*test, verbose=0, return_dict=True)["loss"]
    for e in range(5):
        kept = keras.saving.load_model(tmp_path / f"{e + 1}.keras")
        assert loss(kept) == pytest.approx(found["val_loss"][e], rel=1e-5)
    model.load_weights(tmp_path / "best.weights.h5")
    assert loss(model) == pytest.approx(min(found["val_loss"]), rel=1e-5)


@BOTH
def test_without_a_validation_the_trained_weights_stand(images, tmp_path, swa_first):
    train, test = halves(images)
    model, record = compiled(plain), Record()
    swa = wedges.SWA()
    model.fit(
        *train, epochs=4, validation_data=test, validation_freq=2,
        callbacks=in_order(swa, [record], swa_first), verbose=0,
    )  # fmt: skip
    for e in (0, 2):
        same(record.found[e], record.trained[e], **EXACT)
    for e in (1, 3):
        same(record.found[e], mean(record.trained[: e + 1]))


@BOTH
def test_a_checkpoint_in_the_middle_of_an_epoch_holds_the_trained_weights(images, tmp_path, swa_first):
    class Batches(keras.callbacks.Callback):
        trained = []

        def on_train_batch_end(self, batch, logs=None):
            self.trained.append(self.model.get_weights())

    train, test = halves(images)
    model, batches = compiled(plain), Batches()
    save = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.weights.h5", save_freq=2, save_weights_only=True
    )
    order = in_order(wedges.SWA(), [save, batches], swa_first)
    model.fit(*train, batch_size=10, epochs=3, validation_data=test, callbacks=order, verbose=0)
    for epoch, batch in ((1, 2), (2, 1), (2, 3), (3, 2)):
        model.load_weights(tmp_path / f"{epoch}-{batch}.weights.h5")
        same(model.get_weights(), batches.trained[3 * (epoch - 1) + batch - 1], **EXACT)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_training_is_the_same_beside_them_all(images, tmp_path, order, no_warning):
    train, test = halves(images)
    losses = []
    for extra in ([], [wedges.SWA(), wedges.SnapshotEnsemble(2), wedges.Trajectory(unit="step")]):
        keras.utils.set_random_seed(1)
        model = compiled(plain)
        model.optimizer.learning_rate = 0.1
        record = Record()
        ours = [extra[i] for i in order] if extra else []
        theirs = [
            callbacks.CSVLogger(tmp_path / f"{len(extra)}.csv"),
            callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate),
            callbacks.TerminateOnNaN(),
        ]
        history = model.fit(
            *train, batch_size=8, epochs=4, validation_data=test, verbose=0,
            callbacks=[*ours[:1], *theirs, *ours[1:], record],
        )  # fmt: skip
        losses.append((record.trained, history.history["loss"], history.history["learning_rate"]))
    for a, b in zip(losses[0][0], losses[1][0], strict=True):
        same(a, b, **EXACT)
    assert losses[0][1:] == losses[1][1:]
    with open(tmp_path / "3.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_loss"]) for r in rows] == pytest.approx(history.history["val_loss"])


@BOTH
def test_a_plateau_of_the_average_lowers_the_rate(images, swa_first):
    train, test = halves(images)
    model, record = compiled(plain), Record()
    plateau = callbacks.ReduceLROnPlateau(monitor="val_loss", min_delta=1e9, patience=1, factor=0.5)
    order = in_order(wedges.SWA(), [plateau, record], swa_first)
    found = model.fit(*train, epochs=4, validation_data=test, callbacks=order, verbose=0).history
    assert found["learning_rate"] == [0.5, 0.5, 0.25, 0.125]
    same(record.found[3], mean(record.trained))


# ---- the end of fit -------------------------------------------------------------------------------


@BOTH
def test_early_stopping_leaves_the_best_average(images, swa_first, no_warning):
    """The loss of the average falls, then rises: a rate that is raised spoils what comes later."""
    train, test = halves(images)
    model, record = compiled(plain), Record()
    stop = callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    spoil = callbacks.LearningRateScheduler(lambda epoch: 0.02 if epoch < 3 else 40.0)
    swa = wedges.SWA()
    order = in_order(swa, [stop, spoil, record], swa_first)
    found = model.fit(*train, epochs=20, validation_data=test, callbacks=order, verbose=0).history
    best = int(np.argmin(found["val_loss"]))
    assert 0 < best < len(found["val_loss"]) - 1
    same(model.get_weights(), mean(record.trained[: best + 1]))
    assert model.evaluate(*test, verbose=0, return_dict=True)["loss"] == pytest.approx(
        found["val_loss"][best], rel=1e-5
    )
    assert swa.average.count == len(record.trained)
    swa.apply()
    same(model.get_weights(), mean(record.trained))
    swa.restore()
    # apply() found the best weights, and restore() brings them back
    same(model.get_weights(), mean(record.trained[: best + 1]))


@BOTH
def test_early_stopping_on_the_training_does_not_discard_the_average(images, swa_first):
    model, record = compiled(plain), Record()
    stop = callbacks.EarlyStopping(monitor="loss", patience=1, restore_best_weights=True)
    spoil = callbacks.LearningRateScheduler(lambda epoch: 0.02 if epoch < 2 else 40.0)
    swa = wedges.SWA()
    with pytest.warns(
        UserWarning, match="restored the weights of epoch .* by 'loss', which says nothing"
    ):
        model.fit(
            *images, epochs=20, callbacks=in_order(swa, [stop, spoil, record], swa_first), verbose=0
        )
    same(model.get_weights(), mean(record.trained))
    swa.restore()
    same(model.get_weights(), record.trained[-1], **EXACT)


@BOTH
def test_best_weights_from_before_the_average_stay_and_are_told(images, swa_first):
    train, test = halves(images)
    model, record = compiled(plain), Record()
    stop = callbacks.EarlyStopping(monitor="val_loss", patience=9, restore_best_weights=True)
    spoil = callbacks.LearningRateScheduler(lambda epoch: 0.02 if epoch < 2 else 40.0)
    swa = wedges.SWA(start_epoch=3)
    with pytest.warns(UserWarning, match="EarlyStopping put weights .* that are no average of SWA"):
        model.fit(
            *train, epochs=5, validation_data=test, verbose=0,
            callbacks=in_order(swa, [stop, spoil, record], swa_first),
        )  # fmt: skip
    same(model.get_weights(), record.trained[int(np.argmin(record.values))], **EXACT)
    swa.apply()
    same(model.get_weights(), mean(record.trained[3:]))


@BOTH
def test_stopping_early_without_restoring_leaves_the_average(images, swa_first, no_warning):
    train, test = halves(images)
    model, record = compiled(plain), Record()
    stop = callbacks.EarlyStopping(monitor="val_loss", min_delta=1e9, patience=2)
    order = in_order(wedges.SWA(), [stop, record], swa_first)
    model.fit(*train, epochs=20, validation_data=test, callbacks=order, verbose=0)
    assert len(record.trained) == 3
    same(model.get_weights(), mean(record.trained))


def test_the_trained_weights_of_an_optimizer_that_averages_are_its_average(images, no_warning):
    train, test = halves(images)
    ends = []
    for swa in (None, wedges.SWA(), wedges.SWA(apply_at_end=False)):
        keras.utils.set_random_seed(1)
        model = plain()
        model.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), SPARSE)
        beside = [swa] if swa else []
        model.fit(*train, epochs=3, validation_data=test, callbacks=beside, verbose=0)
        if swa and swa.apply_at_end:
            assert not np.array_equal(model.get_weights()[0], ends[0][0])
            swa.restore()
        ends.append(model.get_weights())
    same(ends[1], ends[0], **EXACT)
    same(ends[2], ends[0], **EXACT)


def test_two_that_put_averages_into_the_model_are_refused(images):
    model = compiled(plain)
    model.compile(keras.optimizers.SGD(0.5, use_ema=True), SPARSE)
    for order in itertools.permutations([wedges.SWA(), callbacks.SwapEMAWeights()]):
        with pytest.raises(ValueError, match="SWA and SwapEMAWeights must not be in one list"):
            model.fit(*images, callbacks=list(order), verbose=0)


def test_of_two_averages_the_first_is_validated_and_the_other_only_averages(images, no_warning):
    train, test = halves(images)
    model, record = compiled(plain), Record()
    late, all_of = wedges.SWA(start_epoch=2), wedges.SWA()
    order = [late, record, all_of]
    model.fit(*train, epochs=4, validation_data=test, callbacks=order, verbose=0)
    same(record.found[3], mean(record.trained[2:]))
    same(record.found[1], record.trained[1], **EXACT)
    same([all_of.average.mean[:384]], [mean(record.trained)[0].ravel()])
    same(model.get_weights(), mean(record.trained[2:]))


def test_independent_members_are_what_stands_when_all_others_are_done(images):
    for apply in (True, False):
        model, record, ensemble = compiled(plain), Record(), wedges.IndependentEnsemble()
        swa = wedges.SWA(apply_at_end=apply)
        model.fit(*images, epochs=3, callbacks=[ensemble, record, swa], verbose=0)
        same(ensemble.members[0], mean(record.trained) if apply else record.trained[-1])


def test_snapshots_beside_an_average_are_the_trained_weights(images, no_warning):
    model, record, ensemble = compiled(plain), Record(), wedges.SnapshotEnsemble(2)
    order = [wedges.SWA(), record, ensemble]
    model.fit(*images, epochs=4, validation_data=images, callbacks=order, verbose=0)
    for member, e in zip(ensemble.members, (1, 3), strict=True):
        same(member, record.trained[e], **EXACT)


# ---- what does not enter --------------------------------------------------------------------------


def test_an_average_that_never_began_is_told(images):
    model = compiled(plain)
    with pytest.warns(
        UserWarning, match=r"SWA\(start_epoch=10, every=1\) began no average: .* epoch 4,"
    ):
        model.fit(*images, epochs=5, callbacks=[wedges.SWA(start_epoch=10)], verbose=0)
    with pytest.warns(UserWarning, match=r"SWA\(start_epoch=0, every=6\) began no average: .* epoch 1,"):
        model.fit(*images, epochs=2, callbacks=[wedges.SWA(every=6)], verbose=0)
    with pytest.warns(UserWarning, match=r"SnapshotEnsemble\(every=6\) took no snapshot: .* epoch 1,"):
        model.fit(*images, epochs=2, callbacks=[wedges.SnapshotEnsemble(6)], verbose=0)


@pytest.mark.parametrize("validate", [True, False])
def test_weights_that_are_not_finite_do_not_enter(images, validate):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 4:  # the end of epoch 1
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

    model, record, swa = compiled(plain), Record(), wedges.SWA(apply_at_end=False)
    order = [Spoil(), callbacks.TerminateOnNaN(), record, swa]
    data = {"validation_data": images} if validate else {}
    with pytest.warns(UserWarning, match="end of epoch 1 .* are not finite"):
        model.fit(*images, epochs=2, callbacks=order, verbose=0, **data)
    assert swa.average.count == 1
    same([swa.average.mean[:384]], [record.trained[0][0].ravel()])


@pytest.mark.parametrize("validate", [True, False])
def test_an_epoch_cut_short_does_not_enter(images, validate, no_warning):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.optimizer.iterations == 10  # epochs of 7 steps

    data = {"validation_data": images} if validate else {}
    for swa_first in (True, False):
        model, swa = compiled(plain), wedges.SWA()
        order = in_order(swa, [Stop()], swa_first)
        model.fit(*images, batch_size=8, epochs=5, callbacks=order, verbose=0, **data)
        assert swa.average.count == 1


@pytest.mark.parametrize("per_execution", [1, 3, 10])
def test_a_whole_epoch_enters_however_many_steps_run_at_once(images, per_execution):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch >= 6  # the last one of seven

    model, swa = plain(), wedges.SWA()
    model.compile("sgd", SPARSE, steps_per_execution=per_execution)
    model.fit(*images, batch_size=8, epochs=5, callbacks=[Stop(), swa], verbose=0)
    assert swa.average.count == 1


def test_an_error_between_validation_and_the_next_epoch_loses_nothing(images):
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("a disk that is full")

    model, record = compiled(plain), Record()
    swa = wedges.SWA(apply_at_end=False)
    with pytest.raises(RuntimeError, match="disk"):
        model.fit(*images, epochs=5, validation_data=images, callbacks=[record, Fail(), swa], verbose=0)
    same(model.get_weights(), mean(record.trained))
    swa.restore()
    same(model.get_weights(), record.trained[-1], **EXACT)


def test_a_change_of_the_average_in_the_model_is_lost_and_told(images):
    class Clip(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([w.clip(-0.01, 0.01) for w in self.model.get_weights()])

    model = compiled(plain)
    with pytest.warns(UserWarning, match="a callback changed the weights of model"):
        model.fit(*images, epochs=2, validation_data=images, callbacks=[Clip(), wedges.SWA()], verbose=0)


# ---- models of other kinds ------------------------------------------------------------------------


class NeverCalled(keras.Model):
    """An autoencoder whose `train_step` calls its layers, never itself."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = layers.Dense(3, activation="tanh"), layers.Dense(6)

    def train_step(self, data):
        import tensorflow as tf

        x = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.decode(self.encode(x)) - x) ** 2)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


def test_a_model_that_is_never_called_itself(no_warning):
    x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    model, record = NeverCalled(), Record()
    model.compile("adam")
    record.on_epoch_end = lambda epoch, logs=None: record.trained.append(model.get_weights())
    swa, ensemble, trajectory = (
        wedges.SWA(start_epoch=1),
        wedges.SnapshotEnsemble(2),
        wedges.Trajectory(),
    )
    model.fit(x, epochs=4, verbose=0, callbacks=[swa, ensemble, trajectory, record])
    assert not model.built
    same(model.get_weights(), mean(record.trained[1:]))
    flat = lambda weights: np.concatenate([w.ravel() for w in weights])
    np.testing.assert_array_equal(trajectory.thetas, [flat(w) for w in record.trained])
    for member, e in zip(ensemble.members, (1, 3), strict=True):
        same(member, record.trained[e], **EXACT)
    swa.restore()
    same(model.get_weights(), record.trained[-1], **EXACT)


def two_outputs(as_dict=False):
    x = keras.Input((6,))
    hidden = layers.BatchNormalization(momentum=0.5)(layers.Dense(4)(x))
    ends = {"kind": layers.Dense(3, name="kind")(hidden), "size": layers.Dense(1, name="size")(hidden)}
    model = keras.Model(x, ends if as_dict else list(ends.values()))
    losses = {"kind": SPARSE, "size": "mse"}
    model.compile("adam", losses if as_dict else list(losses.values()))
    return model


@pytest.mark.parametrize("as_dict", [False, True])
def test_statistics_of_a_model_with_several_outputs(as_dict):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype("float32"), rng.integers(0, 3, 60)
    model, swa = two_outputs(as_dict), wedges.SWA(x=x, batch_size=60)
    targets = {"kind": y, "size": x[:, :1]} if as_dict else [y, x[:, :1]]
    model.fit(x, targets, epochs=3, verbose=0, callbacks=[swa])
    hidden = model.layers[1](x).numpy()
    norm = next(m for m in model.layers if isinstance(m, layers.BatchNormalization))
    np.testing.assert_allclose(norm.moving_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, hidden.var(0), rtol=1e-4)


@pytest.mark.parametrize("as_dict", [False, True])
def test_an_ensemble_averages_each_output(as_dict):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype("float32"), rng.integers(0, 3, 60)
    model, record, ensemble = two_outputs(as_dict), Record(), wedges.SnapshotEnsemble(1)
    targets = {"kind": y, "size": x[:, :1]} if as_dict else [y, x[:, :1]]
    model.fit(x, targets, epochs=3, verbose=0, callbacks=[record, ensemble])
    found = ensemble.predict(x, verbose=0)
    assert list(found) == ["kind", "size"] if as_dict else isinstance(found, list)
    kind, size = found.values() if as_dict else found
    members = []
    for weights in record.trained:
        model.set_weights(weights)
        outputs = model.predict(x, verbose=0)
        members.append(list(outputs.values()) if as_dict else outputs)
    kinds, sizes = zip(*members, strict=True)
    exp = np.exp(kinds)
    np.testing.assert_allclose(kind, (exp / exp.sum(-1, keepdims=True)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(size, np.mean(sizes, axis=0), rtol=1e-5, atol=1e-6)


def test_a_loss_in_a_list_is_that_loss(images):
    model = plain()
    model.compile("sgd", [SPARSE])
    ensemble = wedges.SnapshotEnsemble(1)
    model.fit(*images, epochs=2, verbose=0, callbacks=[ensemble])
    np.testing.assert_allclose(ensemble.predict(images[0], verbose=0).sum(-1), 1, rtol=1e-5)
