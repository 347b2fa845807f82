"""Train any built Keras model on an affine subspace of its weight space, with plain compile and fit.

>>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(10), keras.layers.Dense(1)])
>>> theta = wedges.WeightSpace(model).read()  # 221 numbers
>>> inside = wedges.Hyperplane(model, wedges.random_cut(theta, 30, seed=0))
>>> inside.compile("adam", "mse")
>>> history = inside.fit(np.ones((8, 20)), np.ones(8), verbose=0)
>>> [tuple(v.shape) for v in inside.trainable_variables]  # 30 numbers were trained
[(30,)]
>>> trained = inside.plain_model()  # the model itself, at the point found
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from wedges import _keras
from wedges.affine import AffineSubspace
from wedges.network.weights import WeightSpace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@keras.saving.register_keras_serializable(package="wedges")
class Hyperplane(keras.Model):
    """A model whose trainable weights are theta = subspace.embed(z); z alone is trained.

    Each call runs the wrapped model with theta in place of its trainable weights: layers, dropout,
    batch norm and mixed precision work as they do in it, and its penalties (regularisers, `add_loss`)
    are those at theta. Weight decay acts on z, so it pulls towards the subspace's origin.

    The wrapped model is not copied. Its trainable weights keep their values until `plain_model`
    writes theta into them; its other state (batch-norm statistics, dropout's seeds) moves in training.
    Freeze layers before wrapping; nest no Hyperplane in a larger model, which would train the wrapped
    weights as well. Where a program only loads a saved one, have it name `wedges.Hyperplane` before:
    `import wedges` alone loads nothing, and Keras knows a class once it is loaded.

    Args:
      model: any built `keras.Model`; layers frozen now stay as they are.
      subspace: an `AffineSubspace` with origin [D], D and dtype those of the model's trainable weights.
      start: theta [D] to start from, projected onto the subspace. By default its origin, z = 0.

    Attributes:
      model, subspace: as given.
      space: the wrapped model's `WeightSpace`; the length of theta is `space.dimension`.
      z: the trained variable [subspace.parameters].

    Raises:
      ValueError: a model that is not built, or has constraints on its weights; a subspace of another
        length or dtype than the weights, or of several origins at once.
    """

    def __init__(
        self,
        model: keras.Model,
        subspace: AffineSubspace,
        *,
        start: ArrayLike | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        space = WeightSpace(model)
        _check(model, space, subspace)
        z = np.zeros(subspace.parameters) if start is None else np.array(subspace.coordinates(start))
        # The model's policy, since compile() scales the loss under mixed_float16; but inputs are cast
        # by the model itself and z never is.
        super().__init__(name=name, dtype=model.dtype_policy, autocast=False)
        self.model, self.space, self.subspace = model, space, subspace
        self.z = self.add_weight(
            shape=z.shape,
            initializer=lambda shape, dtype: tf.constant(z, dtype),
            dtype=space.dtype.name,
            autocast=False,
            name="z",
        )
        self.built = True
        self._called: Any = None  # the scope of the last call
        if steps := _keras.own_steps(model):
            warnings.warn(
                f"model {model.name!r} ({type(model).__name__}) overrides {' and '.join(steps)}, which "
                "a Hyperplane cannot follow: it trains on the loss of compile(). Override "
                "compute_loss() instead.",
                stacklevel=2,
            )
        if not trainable:
            self.trainable = False

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        with _keras.ReadAs(self.space.variables, self.space.unflatten(self.theta)) as self._called:
            outputs = self.model(inputs, training=training)
            penalties = self.model.losses
        for penalty in penalties:
            self.add_loss(penalty)
        return outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Keras' loss; the wrapped model's own `compute_loss`, where it has one."""
        if not _keras.overrides(self.model, "compute_loss"):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        with self._called, _keras.compiled_as(self.model, self):  # the weights and losses of the call
            return _keras.own_loss(self.model, x, y, y_pred, sample_weight, training)

    @property
    def output_names(self) -> list[str] | None:
        """The wrapped model's, by which losses in a dict find their outputs."""
        return getattr(self.model, "output_names", None)

    @property
    def theta(self) -> tf.Tensor:
        """The weights where the model stands: subspace.embed(z), [D]."""
        return self.subspace.embed(self.z.value)

    def plain_model(self) -> keras.Model:
        """The wrapped model itself, with theta written into its weights."""
        self.space.write(self.theta)
        return self.model

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.export` of the plain model: the artifact holds theta and no subspace.

        The wrapped model's weights are as before when it ends.
        """
        before = self.space.read()
        try:
            self.plain_model().export(filepath, *args, **kwargs)
        finally:
            self.space.write(before)

    # ---- what Keras sees: z is trained, nothing else ---------------------------------------------

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return [self.z] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        return [v for v in self.variables if v is not self.z or not self.trainable]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        return [v for v in self.weights if v is not self.z or not self.trainable]

    @property
    def losses(self) -> list[tf.Tensor]:
        return _keras.own_losses(self)  # call() has taken over those of the wrapped layers

    # ---- to a file and back ---------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        arrays = {k: [a.shape, a.dtype.name] for k, a in self.subspace.arrays.items()}
        return {
            "name": self.name,
            "trainable": self.trainable,
            "model": keras.saving.serialize_keras_object(self.model),
            "subspace": self.subspace.config,
            "arrays": arrays,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Hyperplane:
        config = dict(config)
        # The numbers themselves are with the weights: load_own_variables puts them in.
        arrays = {name: np.zeros(*of) for name, of in config.pop("arrays").items()}
        subspace = AffineSubspace.restore(config.pop("subspace"), arrays)
        model = keras.saving.deserialize_keras_object(config.pop("model"), custom_objects=custom_objects)
        return cls(model, subspace, **config)

    def save_own_variables(self, store: Any) -> None:
        about = json.dumps(_about(self.space, self.subspace))
        store["about"] = np.frombuffer(about.encode(), np.uint8)
        store["z"] = self.z
        for name, array in self.subspace.arrays.items():
            store[f"subspace_{name}"] = array

    def load_own_variables(self, store: Any) -> None:
        expected = _words(_about(self.space, self.subspace))
        if "about" not in store.keys():  # noqa: SIM118  (a store is no dict)
            self._refuse(
                f"the file must hold a Hyperplane of {expected}; received the weights of "
                "another kind of model. Load a plain model's weights before wrapping it."
            )
        about = json.loads(bytes(np.array(store["about"])))
        if _words(about) != expected:
            self._refuse(
                f"the file must hold a Hyperplane of {expected}; received one of {_words(about)}."
            )
        mine = self.subspace.arrays
        arrays = {name: np.array(store[f"subspace_{name}"]) for name in mine}
        same = all(np.array_equal(arrays[name], mine[name]) for name in mine)
        if not same or about["subspace"] != self.subspace.config:
            self.subspace = AffineSubspace.restore(about["subspace"], arrays)
            # What is traced already holds the former subspace's numbers.
            self.train_function = self.test_function = self.predict_function = None
        self.z.assign(store["z"])

    def _refuse(self, message):
        # Kept, since Keras may go on after it, warn of every layer, and raise an error of its own.
        self._refusal = message
        raise ValueError(message)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """`keras.Model.load_weights`, all or nothing: after an error everything is as it was.

        The subspace becomes the file's. Raises ValueError for a file of a plain model, or of a
        Hyperplane of other weights, another dimension or another kind of directions.
        """
        if skip_mismatch:
            raise ValueError(
                "skip_mismatch must be False: a Hyperplane's weights belong together; received True."
            )
        held = [*self.variables, *getattr(self.optimizer, "variables", [])]
        before, subspace = [np.array(v.value) for v in held], self.subspace
        self._refusal = None
        try:
            with warnings.catch_warnings(record=True) as heard:
                super().load_weights(filepath, **kwargs)
        except Exception:
            self.subspace = subspace
            for variable, value in zip(held, before, strict=True):
                variable.assign(value)
            if self._refusal:
                raise ValueError(self._refusal) from None
            raise
        for w in heard:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def _check(model, space, subspace):
    if not isinstance(subspace, AffineSubspace):
        raise ValueError(f"subspace must be an AffineSubspace; received {type(subspace).__name__}.")
    if subspace.ambient != space.dimension:
        raise ValueError(
            f"subspace must lie in the space of the {space.dimension} trainable weights of model "
            f"{model.name!r}; received one with D = {subspace.ambient}."
        )
    if subspace.dtype != space.dtype:
        raise ValueError(
            f"subspace must have the dtype of the trainable weights of model {model.name!r}, "
            f"{space.dtype.name}; received {subspace.dtype.name}."
        )
    shape = subspace.embed(tf.zeros([subspace.parameters], subspace.dtype)).shape
    if shape.rank != 1:
        raise ValueError(
            f"subspace must be one, with origin [{space.dimension}]; received {shape[0]} at once, with "
            f"origin {tuple(subspace.origin.shape)}."
        )
    bound = [v.path for v in space.variables if v.constraint is not None]
    if bound:
        raise ValueError(
            f"model {model.name!r} must have no constraints on its weights, which would lead off the "
            f"subspace; received constraints on {bound}."
        )


def _about(space, subspace):
    """What a file's subspace and weights must agree in, and what restores them; JSON values."""
    trained = {id(v) for v in space.variables}
    return {
        "subspace": subspace.config,
        "dimension": subspace.dimension,
        "dtype": space.dtype.name,
        "shapes": space.shapes,
        "fixed": [tuple(v.shape) for v in space.model.weights if id(v) not in trained],
    }


def _words(about):
    shapes, fixed = ([tuple(s) for s in about[key]] for key in ("shapes", "fixed"))
    beside = f" beside fixed weights of shapes {fixed}" if fixed else ""
    return (
        f"a {about['subspace']['kind']} of dimension {about['dimension']} for "
        f"{about['dtype']} weights of shapes {shapes}{beside}"
    )
