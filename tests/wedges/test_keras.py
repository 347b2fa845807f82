"""The names of Keras that it does not document are there, and do what the library asks of them."""

import keras
import numpy as np
import tensorflow as tf

from tests.conftest import dropout, nested, plain
from wedges import _keras


def test_every_private_name_exists():
    model, scope = plain(), keras.StatelessScope()
    for owner, name in [
        (model, "_flatten_layers"),
        (model, "_get_own_losses"),
        (model.variables[0], "_direct_assign"),
        (keras.optimizers.Adam(), "_learning_rate"),
        (scope, "state_mapping"),
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
