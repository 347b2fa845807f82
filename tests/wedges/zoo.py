"""Models that researchers bring, each with data and the way Keras is told to train it.

`CASES[name]()` is a `Case`: a compiled model and what `model.evaluate` takes. Everything is float64
where Keras is set to it, so that numbers can be compared to rounding.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras import losses

N = 23  # no batch divides it


@dataclasses.dataclass
class Case:
    """A compiled model on data; `w` is sample_weight."""

    model: keras.Model
    x: Any
    y: Any = None
    w: Any = None
    settings: dict = dataclasses.field(default_factory=dict)  # more that NetworkLandscape takes
    curved: bool = True  # whether it has second derivatives


CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal((N, *shape))


def classes(*shape, of=3, seed=1):
    return np.random.default_rng(seed).integers(0, of, (N, *shape))


def weights(*shape, seed=2):
    return np.random.default_rng(seed).random((N, *shape))


def tokens(seed=3, length=6):
    """Of 1 to 6, ended by zeros at a length of its own: [N, length]."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 7, (N, length))
    for row, n in zip(x, rng.integers(1, length + 1, N), strict=True):
        row[n:] = 0
    return x


def dense(k, *, inputs=4, end=None):
    return keras.Sequential([keras.Input((inputs,)), L.Dense(3, "tanh"), L.Dense(k, end)])


def compiled(model, loss, **how):
    model.compile("sgd", loss, **how)
    return model


SPARSE = lambda **how: losses.SparseCategoricalCrossentropy(from_logits=True, **how)
ONE_HOT = np.eye(3)

# ---- losses and their settings ----------------------------------------------------------------------

for name, loss, end, y in (
    ("mse", lambda: "mse", None, normal(2)),
    ("huber", lambda: losses.Huber(0.7), None, normal(2)),
    ("log_cosh", lambda: "log_cosh", None, normal(2)),
    ("mean_squared_logarithmic", lambda: "msle", "sigmoid", weights(2)),
    ("cosine", lambda: losses.CosineSimilarity(), None, normal(2)),
    ("poisson", lambda: "poisson", "softplus", classes(2)),
    ("kl", lambda: "kl_divergence", "softmax", weights(2)),
    ("binary", lambda: "binary_crossentropy", "sigmoid", classes(2, of=2)),
    ("binary_logits", lambda: losses.BinaryCrossentropy(from_logits=True), None, classes(2, of=2)),
    ("binary_focal", lambda: losses.BinaryFocalCrossentropy(gamma=1.5), "sigmoid", classes(2, of=2)),
    ("squared_hinge", lambda: "squared_hinge", None, 2 * classes(2, of=2) - 1),
    (
        "smoothed",
        lambda: losses.CategoricalCrossentropy(True, label_smoothing=0.1),
        None,
        np.eye(2)[classes(of=2)],
    ),
    (
        "focal",
        lambda: losses.CategoricalFocalCrossentropy(from_logits=True),
        None,
        np.eye(2)[classes(of=2)],
    ),
    ("sparse_probabilities", lambda: "sparse_categorical_crossentropy", "softmax", classes(of=2)),
    ("crossentropy_by_shape", lambda: "crossentropy", "softmax", classes(of=2)),
    ("targets_as_a_column", lambda: SPARSE(), None, classes(1, of=2)),
    ("targets_as_a_list", lambda: SPARSE(), None, classes(of=2).tolist()),
    ("targets_of_float", lambda: SPARSE(), None, classes(of=2).astype("float64")),
):

    def _loss(loss=loss, end=end, y=y):
        return Case(compiled(dense(2, end=end), loss()), normal(4), y)

    CASES[f"loss_{name}"] = _loss

for reduction in ("sum", "mean", "mean_with_sample_weight", None):
    for weighted in (False, True):

        def _reduced(reduction=reduction, weighted=weighted):
            model = compiled(dense(3), SPARSE(reduction=reduction))
            return Case(model, normal(4), classes(), weights() if weighted else None)

        CASES[f"reduction_{reduction}{'_weighted' * weighted}"] = _reduced


@case
def a_function_that_averages():
    return Case(compiled(dense(2), lambda y, z: tf.reduce_mean(tf.square(y - z))), normal(4), normal(2))


@case
def a_function_of_each_example():
    return Case(compiled(dense(2), lambda y, z: tf.reduce_sum((y - z) ** 4, -1)), normal(4), normal(2))


@case
def a_loss_class_named_as_another():
    class Mine(losses.Loss):
        def call(self, y, z):
            return tf.reduce_mean((y - z) ** 2, -1)

    return Case(compiled(dense(2), Mine(name="sparse_categorical_crossentropy")), normal(4), normal(2))


@case
def one_column():
    return Case(compiled(dense(1), "mse"), normal(4), normal()[:, None][:, 0])


@case
def a_loss_in_a_list():
    return Case(compiled(dense(3), [SPARSE()]), normal(4), classes())


@case
def a_loss_weight():
    return Case(compiled(dense(3), SPARSE(), loss_weights=2.5), normal(4), classes())


# ---- weights of examples ----------------------------------------------------------------------------


@case
def sample_weights():
    return Case(compiled(dense(3), SPARSE()), normal(4), classes(), weights())


@case
def sample_weights_as_a_column():
    return Case(compiled(dense(2), "mse"), normal(4), normal(2), weights(1))


@case
def weights_of_positions():
    model = keras.Sequential([keras.Input((5, 2)), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(5, 2), classes(5), weights(5))


@case
def some_weights_are_zero():
    return Case(compiled(dense(3), SPARSE()), normal(4), classes(), (weights() > 0.5) * 1.0)


@case
def class_weights():
    y, of = classes(), {0: 0.5, 2: 3.0}
    w = np.array([of.get(k, 1.0) for k in y])
    return Case(
        compiled(dense(3), SPARSE()), normal(4), y, w, {"class_weight": of, "sample_weight": None}
    )


@case
def class_weights_of_one_hot():
    y, of = classes(), {1: 0.25}
    w = np.array([of.get(k, 1.0) for k in y])
    loss = losses.CategoricalCrossentropy(from_logits=True)
    settings = {"class_weight": of, "sample_weight": None}
    return Case(compiled(dense(3), loss), normal(4), ONE_HOT[y], w, settings)


# ---- masks ------------------------------------------------------------------------------------------


def token_model(*end, k=3):
    return keras.Sequential([keras.Input((6,)), L.Embedding(7, 2, mask_zero=True), *end, L.Dense(k)])


@case
def masked_tokens():
    return Case(compiled(token_model(), SPARSE()), tokens(), classes(6))


@case
def masked_recurrent():
    model = token_model(L.SimpleRNN(2, return_sequences=True))
    return Case(compiled(model, SPARSE()), tokens(), classes(6))


@case
def masked_into_a_vector():
    return Case(compiled(token_model(L.GRU(2)), SPARSE()), tokens(), classes())


@case
def masked_and_weighted():
    return Case(compiled(token_model(), SPARSE()), tokens(), classes(6), weights(6))


@case
def masked_and_weighted_by_example():
    return Case(compiled(token_model(), SPARSE()), tokens(), classes(6), weights(1))


@case
def masked_sum():
    return Case(compiled(token_model(), SPARSE(reduction="sum")), tokens(), classes(6))


@case
def masked_weighted_mean():
    loss = SPARSE(reduction="mean_with_sample_weight")
    return Case(compiled(token_model(), loss), tokens(), classes(6), weights(6))


@case
def masked_values():
    x = np.where(tokens()[..., None] > 0, normal(6, 2), -1.0)
    model = keras.Sequential([keras.Input((6, 2)), L.Masking(-1.0), L.Dense(2, "tanh"), L.Dense(2)])
    return Case(compiled(model, "mse"), x, normal(6, 2))


@case
def a_mask_that_a_layer_computes():
    class Positive(L.Layer):
        def call(self, x):
            return x

        def compute_mask(self, x, mask=None):
            return x[..., 0] > 0

    model = keras.Sequential([keras.Input((6, 2)), Positive(), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(6, 2), classes(6))


@case
def everything_is_masked():
    return Case(compiled(token_model(), SPARSE()), 0 * tokens(), classes(6))


@case
def a_masked_attention():
    i = keras.Input((6,))
    h = L.Embedding(7, 4, mask_zero=True)(i)
    h = L.MultiHeadAttention(2, 2)(h, h)
    return Case(compiled(keras.Model(i, L.Dense(3)(h)), SPARSE()), tokens(), classes(6))


@case
def a_masked_subclass():
    class Tagger(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed, self.end = L.Embedding(7, 2, mask_zero=True), L.Dense(3)

        def call(self, x):
            return self.end(self.embed(x))

    model = Tagger()
    model(tokens()[:2])
    return Case(compiled(model, SPARSE()), tokens(), classes(6))


def pixels(**how):
    model = keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 3, padding="same"), L.Conv2D(3, 1)])
    return compiled(model, SPARSE(**how))


@case
def a_void_label():
    y = classes(4, 4)
    y[:, :, 3:] = 255
    y[0] = 255
    return Case(pixels(ignore_class=255), normal(4, 4, 1), y)


@case
def a_void_label_and_weights():
    y = classes(4, 4)
    y[normal(4, 4) > 0.5] = -1
    return Case(pixels(ignore_class=-1), normal(4, 4, 1), y, weights(4, 4))


@case
def a_void_label_in_masked_tokens():
    y = classes(6)
    y[normal(6) > 0.5] = -1
    return Case(compiled(token_model(), SPARSE(ignore_class=-1)), tokens(), y)


# ---- several outputs and inputs ---------------------------------------------------------------------


def two(names=("c", "d")):
    i = keras.Input((4,))
    h = L.Dense(3, "tanh")(i)
    return i, L.Dense(3, name=names[0])(h), L.Dense(2, name=names[1])(h)


@case
def outputs_in_a_list():
    i, c, d = two()
    model = compiled(keras.Model(i, [c, d]), [SPARSE(), "mse"])
    return Case(model, normal(4), [classes(), normal(2)])


@case
def outputs_in_a_list_weighted():
    i, c, d = two()
    model = compiled(keras.Model(i, [c, d]), [SPARSE(), "mse"], loss_weights=[0.5, 3.0])
    return Case(model, normal(4), [classes(), normal(2)], [weights(), weights(seed=5)])


@case
def outputs_in_a_dict():
    i, c, d = two()
    how = {"loss": {"c": SPARSE(), "d": "mse"}, "loss_weights": {"c": 1.0, "d": 0.5}}
    model = compiled(keras.Model(i, {"c": c, "d": d}), **how)
    return Case(model, normal(4), {"c": classes(), "d": normal(2)})


@case
def outputs_whose_names_sort_otherwise():
    i, c, d = two(("z", "a"))
    model = compiled(keras.Model(i, {"z": c, "a": d}), {"z": SPARSE(), "a": "mse"})
    return Case(model, normal(4), {"a": normal(2), "z": classes()})


@case
def a_loss_by_names_of_outputs():
    i, c, d = two()
    model = compiled(keras.Model(i, [c, d]), {"c": SPARSE(), "d": "mse"})
    return Case(model, normal(4), [classes(), normal(2)])


@case
def one_output_in_a_dict():
    i, c, _ = two()
    model = compiled(keras.Model(i, {"c": c}), {"c": SPARSE()})
    return Case(model, normal(4), {"c": classes()})


@case
def one_loss_for_all_outputs():
    i = keras.Input((4,))
    model = compiled(keras.Model(i, [L.Dense(2)(i), L.Dense(1)(i)]), "mse")
    return Case(model, normal(4), [normal(2), normal(1)])


@case
def an_output_without_a_loss():
    i, c, d = two()
    model = compiled(keras.Model(i, [c, d]), [SPARSE(), None])
    return Case(model, normal(4), [classes(), normal(2)])


@case
def outputs_masked_differently():
    i = keras.Input((6,))
    h = L.Embedding(7, 2, mask_zero=True)(i)
    end = L.Dense(2)(L.GlobalAveragePooling1D()(h))
    model = compiled(keras.Model(i, [L.Dense(3)(h), end]), [SPARSE(), "mse"], loss_weights=[2.0, 1.0])
    return Case(model, tokens(), [classes(6), normal(2)])


@case
def inputs_in_a_dict():
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, L.Dense(3)(L.Concatenate()([a, b])))
    return Case(compiled(model, SPARSE()), {"a": normal(4), "b": normal(2)}, classes())


@case
def inputs_in_a_list():
    a, b = keras.Input((4,)), keras.Input((2,))
    model = keras.Model([a, b], L.Dense(3)(L.Concatenate()([a, b])))
    return Case(compiled(model, SPARSE()), [normal(4), normal(2)], classes())


# ---- what layers and models add ---------------------------------------------------------------------


class Adds(L.Layer):
    supports_masking = True

    def call(self, x):
        self.add_loss(0.3 * tf.reduce_mean(x**2))
        return x


@case
def a_loss_that_a_layer_adds():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), Adds(), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def a_loss_that_a_layer_adds_beside_masks():
    return Case(compiled(token_model(Adds()), SPARSE()), tokens(), classes(6))


@case
def nothing_but_a_loss_that_a_layer_adds():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), Adds()])
    return Case(compiled(model, None), normal(4))


@case
def regularisers():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(3, "tanh", kernel_regularizer="l2"),
            L.Dense(3, bias_regularizer="l2"),
        ]
    )
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def a_regulariser_of_activity():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activity_regularizer="l2"), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def an_overridden_compute_loss():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.end = L.Dense(2)

        def call(self, x):
            return self.end(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean((y - y_pred) ** 4) + 0.1 * tf.reduce_mean(
                tf.cast(x, y_pred.dtype) * y_pred[:, :1]
            )

    model = Mine()
    model(normal(4)[:2])
    return Case(compiled(model, "mse"), normal(4), normal(2))


# ---- layers with a state, and other makes of models -------------------------------------------------


@case
def batch_norm():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(3), L.BatchNormalization(), L.ReLU(), L.Dense(3)]
    )
    for i, v in enumerate(model.non_trainable_variables):
        v.assign(0.5 + np.abs(np.random.default_rng(i).standard_normal(v.shape)))
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def dropout():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dropout(0.5), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def a_frozen_layer():
    model = dense(3)
    model.layers[0].trainable = False
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def a_shared_layer():
    i, shared = keras.Input((4,)), L.Dense(4, "tanh")
    return Case(compiled(keras.Model(i, L.Dense(3)(shared(shared(i)))), SPARSE()), normal(4), classes())


@case
def images_pooled():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(2, 3, activation="tanh"),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dense(3),
        ]
    )
    return Case(compiled(model, SPARSE()), normal(6, 6, 1), classes())


@case
def layers_normalised():
    model = keras.Sequential([keras.Input((4,)), L.Dense(4), L.LayerNormalization(), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(4), classes())


@case
def a_recurrent_cell():
    model = keras.Sequential([keras.Input((5, 2)), L.LSTM(2), L.Dense(3)])
    return Case(compiled(model, SPARSE()), normal(5, 2), classes())


@case
def an_autoencoder():
    x = normal(4)
    return Case(compiled(dense(4), "mse"), x, x)
