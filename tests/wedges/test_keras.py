"""The names of Keras that it does not document are there, and do what the library asks of them."""

import contextlib
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tests.conftest import dropout, nested, plain
from wedges import _keras


def test_every_private_name_exists():
    model, scope = plain(), keras.StatelessScope()
    backup = keras.callbacks.BackupAndRestore("nowhere")
    for owner, name in [
        (model, "_flatten_layers"),
        (model, "_get_own_losses"),
        (model.variables[0], "_direct_assign"),
        (keras.optimizers.Adam(), "_learning_rate"),
        (scope, "state_mapping"),
        (model, "_initial_epoch"),
        (keras.callbacks.CallbackList(), "callbacks"),
        *((backup, f"_{name}") for name in ("save_model", "current_epoch", "weights_path")),
        (backup, "_training_metadata_path"),
        (model, "_functional"),
        (model._functional, "_run_through_graph"),
    ]:
        assert hasattr(owner, name), f"Keras {keras.__version__} has no {name}"
    with scope:
        assert hasattr(scope, "original_scope")
    assert [v.name for v in dropout().non_trainable_variables] == [_keras.SEED_STATE]


def test_layers_at_any_depth_come_after_what_holds_them():
    model = nested()
    inner = model.layers[0]
    found = _keras.flat_layers(model)
    assert found.index(model) < found.index(inner) < found.index(inner.layers[1])


def test_a_schedule_is_read_as_it_was_given():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert _keras.learning_rate(keras.optimizers.SGD(schedule)) is schedule
    assert float(_keras.learning_rate(keras.optimizers.SGD(0.25))) == 0.25


def test_within_a_reading_only_the_given_variables_read_otherwise():
    a, b = (keras.Variable(np.float32(v), name=n) for v, n in ((1.0, "a"), (2.0, "b")))
    with _keras.ReadAs([a], [tf.constant(5.0)]):
        assert (float(a.value), float(b.value)) == (5.0, 2.0)
        b.assign(3.0)
    assert (float(a.value), float(b.value)) == (1.0, 3.0)


class Asks(keras.callbacks.Callback):
    """Which list calls it, asked at two moments."""

    def set_model(self, model):
        super().set_model(model)
        self.found = [_keras.callback_list(self)]

    def on_train_begin(self, logs=None):
        self.found.append(_keras.callback_list(self))


def test_a_callback_finds_the_list_that_calls_it():
    asks, other = Asks(), keras.callbacks.Callback()
    owner = keras.callbacks.CallbackList([other, asks], model=plain())
    owner.on_train_begin()
    assert asks.found == [owner, owner] and owner.callbacks == [other, asks]
    asks.on_train_begin()
    assert asks.found[-1] is None


def test_a_list_goes_on_with_its_callbacks_when_they_are_arranged_anew():
    """While it calls one of them, the others are called once each; from then on in the new order."""
    called = []

    class Counts(keras.callbacks.Callback):
        def __init__(self, name, arrange=False):
            super().__init__()
            self.name, self.arrange = name, arrange

        def on_train_begin(self, logs=None):
            called.append(self.name)
            if self.arrange:
                owner = _keras.callback_list(self)
                owner.callbacks = owner.callbacks[::-1]

    owner = keras.callbacks.CallbackList([Counts("a"), Counts("b", True), Counts("c")], model=plain())
    owner.on_train_begin()
    assert called == ["a", "b", "c"]
    owner.on_train_begin()
    assert called[3:] == ["c", "b", "a"]


def test_a_backup_saves_and_loads_within_what_accompanies_it(tmp_path):
    said = []

    @contextlib.contextmanager
    def within(word):
        said.append(f"{word} begins")
        yield
        said.append(f"{word} ends")

    model, backup = plain(), keras.callbacks.BackupAndRestore(tmp_path)
    model.compile("sgd", "mse")
    backup.set_model(model)
    for _ in range(2):  # the second takes the place of the first
        _keras.accompany_backup(backup, lambda: within("loading"), lambda: within("saving"))
    backup.on_train_begin()
    backup.on_epoch_end(4)
    assert said == ["loading begins", "loading ends", "saving begins", "saving ends"]
    assert _keras.backup_epoch(backup) == 5
    assert all(pathlib.Path(path).exists() for path in _keras.backup_files(backup))
    _keras.leave_backup(backup)
    backup.on_train_begin()
    assert _keras.initial_epoch(model) == 5 and len(said) == 4
    _keras.set_initial_epoch(model, 6)
    assert _keras.initial_epoch(model) == 6 and _keras.initial_epoch(plain()) == 0
