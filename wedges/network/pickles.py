"""A network's landscape as a pickle, for other processes, machines and days.

The model goes as the `.keras` file that Keras writes of it; with it the user's own classes and functions
that it is made of, so that a worker need not have imported where they are registered, and the state
that the landscape has captured, which the model may have left since. What is read back is put to one
proof: the loss of a few examples is what it was.
"""

from __future__ import annotations

import copyreg
import inspect
import io
import json
import pathlib
import tempfile
import textwrap
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cloudpickle
import keras
import numpy as np
import tensorflow as tf

from wedges import _jobs, _keras
from wedges.network.stateless import StatelessModel
from wedges.network.weights import WeightSpace

if TYPE_CHECKING:
    from wedges.network.landscape import NetworkLandscape

_OF_EVERY_LAYER = ("name", "trainable", "dtype")
_NEAR = 1e-2  # relative: any rounding is nearer, another function of theta is not


class _Pickler(cloudpickle.Pickler):
    """Functions and classes of the user's by value where they are in no module, as losses are."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, keras.losses.Loss):  # Keras' own pickle wants its class to be registered
            return copyreg.__newobj__, (type(obj),), vars(obj)  # type: ignore[attr-defined]
        return super().reducer_override(obj)


def reduced(landscape: NetworkLandscape) -> tuple:
    """What `pickle` makes a `NetworkLandscape` of: a function and its arguments.

    Raises:
      ValueError: a model that Keras cannot save, examples that cannot leave the process.
    """
    network, problem, objective = landscape.network, landscape.problem, landscape.objective
    place = {id(v): i for i, v in enumerate(network.model.variables)}
    same = problem.statistics is landscape.examples
    parts = {
        "kind": type(landscape),
        "model": _saved(network.model),
        "name": network.model.name,
        "flags": [layer.trainable for layer in _keras.flat_layers(network.model)],
        "trained": [place[id(v)] for v in network.space.variables],
        "state": {place[id(v)]: s for v, s in zip(network.variables, network.state, strict=True)},
        "loss": (objective.loss, objective.loss_weights),
        "given": landscape._given,
        "examples": landscape.examples,
        "statistics": None if same else problem.statistics,
        "settings": {
            "seed": landscape.seed,
            "regularize": landscape.regularize,
            "batch_norm": landscape.batch_norm,
            "evaluation_batch_size": landscape.evaluation_batch_size,
        },
        "facts": problem.facts,
        "config": (keras.config.floatx(), keras.config.epsilon()),
        "proof": _proof(landscape),
    }
    token = vars(landscape).setdefault("_token", uuid.uuid4().hex)
    return _rebuilt, (token, *_jobs.packed(parts, _Pickler))


def _rebuilt(token: str, data: bytes, buffers: list[np.ndarray]) -> NetworkLandscape:
    """The landscape that `reduced` was given."""
    return _jobs.once(token, lambda: _built(**_jobs.unpacked(data, buffers)))


def _built(
    kind: type[NetworkLandscape],
    model: tuple[np.ndarray, dict[str, Any]],
    name: str,
    flags: list[bool],
    trained: list[int],
    state: dict[int, tf.Tensor],
    loss: tuple[Any, Any],
    given: dict[str, Any],
    examples: Any,
    statistics: Any,
    settings: dict[str, Any],
    facts: dict[str, Any],
    config: tuple[str, float],
    proof: float,
) -> NetworkLandscape:
    _set_keras(*config)
    with warnings.catch_warnings(), tf.init_scope():
        warnings.simplefilter("ignore")  # all has been said where the landscape was made
        loaded = _loaded(*model, name)
        _set_trainable(loaded, flags)
        variables = loaded.variables
        if len(variables) < len(trained) + len(state):
            raise _differs(loaded, f"has {len(variables)} variables for {len(trained) + len(state)}")
        space = WeightSpace(loaded, [variables[i] for i in trained])
        network = StatelessModel(loaded, space, [state[i] for i in sorted(state)])
        if given["loss"] is None:
            keras.Model.compile(loaded, "sgd", loss=loss[0], loss_weights=loss[1])
            loss = (None, None)
        how = {"statistics_x": statistics, "batch_size": given["batch_size"], **settings}
        try:
            landscape = kind(network, examples, loss=loss[0], loss_weights=loss[1], **how)
            landscape._given = given
            landscape.problem.facts = facts
            found = _proof(landscape)
        except Exception as error:  # of a call that misses what was not saved
            if isinstance(error, ValueError) and "\n" not in str(error):
                raise
            raise _unsaved(name, "used", error) from error
    if not np.isclose(found, proof, rtol=_NEAR, atol=1e-6, equal_nan=True):
        raise _differs(loaded, f"has the loss {found:g} on a few examples for {proof:g}")
    return landscape


def _set_keras(floatx, epsilon):
    """Keras' settings that a loss depends on: a worker takes them over, any other process has them."""
    if _jobs.in_worker():
        keras.config.set_floatx(floatx)
        keras.config.set_epsilon(epsilon)
    here = keras.config.floatx(), keras.config.epsilon()
    if here != (floatx, epsilon):
        raise ValueError(
            f"keras.config must have floatx {floatx!r} and epsilon {epsilon!r}, as where the landscape "
            f"was pickled; received {here[0]!r} and {here[1]!r}."
        )


def _proof(landscape):
    """The loss of a few examples at the model's present weights."""
    problem, network = landscape.problem, landscape.network
    theta, batch = network.space.read(), problem.probed[0]
    return float(problem.mean_loss(theta, network.state, batch, training=False))


def _differs(model, what):
    return ValueError(
        f"model {model.name!r} must be the same when Keras loads what it has saved; received one that "
        f"{what}. Give its class a get_config() that holds all that its calls depend on."
    )


# ---- the model --------------------------------------------------------------------------------------


def _saved(model):
    """The bytes of a `.keras` file, and the user's classes and functions by their names in it."""
    with tempfile.TemporaryDirectory() as folder, _keras.uncompiled(model):
        path = pathlib.Path(folder, "model.keras")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Keras' own making
                model.save(path)
        except Exception as error:  # whatever a user's layer raises
            raise _unsaved(model.name, "saved", error) from error
        data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(_names(json.loads(archive.read("config.json"))))
    return np.frombuffer(data, np.uint8), _own(model, names)


def _loaded(data, own, name):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        path.write_bytes(memoryview(data))
        try:  # a pickle is trusted, as all code in it
            known = {
                name: _Lenient(code) if _Lenient.helps(code) else code for name, code in own.items()
            }
            model = keras.saving.load_model(path, known, compile=False, safe_mode=False)
        except Exception as error:  # whatever a user's layer raises
            raise _unsaved(name, "loaded", error) from error
    model.name = name
    return model


class _Lenient:
    """A class of layers whose constructor does not take the `name` or `dtype` that Keras gives it."""

    def __init__(self, layers: type[keras.layers.Layer]) -> None:
        self._layers = layers

    @staticmethod
    def helps(code: Any) -> bool:
        """Whether it is such a class, as far as it can be seen."""
        if not (inspect.isclass(code) and issubclass(code, keras.layers.Layer)):
            return False
        taken = inspect.signature(code.__init__).parameters
        return not any(p.kind is p.VAR_KEYWORD for p in taken.values())

    def from_config(self, config: dict[str, Any]) -> keras.layers.Layer:
        """The layer, without what its constructor does not take."""
        taken = inspect.signature(self._layers.__init__).parameters
        given = {k: v for k, v in config.items() if k in taken or k not in _OF_EVERY_LAYER}
        return self._layers.from_config(given)


def _unsaved(name, what, error):
    text = " ".join(str(error).replace("\x1b[1m", "").replace("\x1b[0m", "").split())
    deep = text.rpartition("Error encountered during deserialization: ")[2]
    why = textwrap.shorten(deep.rstrip(".,"), 200, placeholder=" ...")
    return ValueError(
        f"model {name!r} must be one that Keras can save and load, to be pickled or to go to other "
        f"processes; it could not be {what}: {why}. Give each class of your own a get_config() (see "
        "keras.saving.register_keras_serializable), and use a layer of your own for a Lambda."
    )


def _set_trainable(model, flags):
    layers = _keras.flat_layers(model)
    if len(layers) != len(flags):
        raise _differs(model, f"has {len(layers)} layers for {len(flags)}")
    for layer, flag in zip(layers, flags, strict=True):
        if layer.trainable != flag:
            layer.trainable = flag


def _names(config: Any) -> Iterator[str]:
    """All strings in a nested config: names of classes and functions are among them."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        for value in config.values():
            yield from _names(value)
    elif isinstance(config, list):
        for value in config:
            yield from _names(value)


def _own(model, names):
    """{name: class or function} of those of the names that are neither Keras' nor unknown."""
    found = {n: r for n in names if (r := keras.saving.get_registered_object(n)) is not None}
    for layer in _keras.flat_layers(model):
        for each in (layer, *vars(layer).values()):
            code = each if inspect.isroutine(each) or inspect.isclass(each) else type(each)
            name = getattr(code, "__name__", "")
            if name in names and not _of_keras(code):
                found.setdefault(name, code)
    return found


def _of_keras(code):
    return (getattr(code, "__module__", None) or "builtins").split(".")[0] in ("keras", "builtins")
