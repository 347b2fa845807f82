"""What does not belong into an argument is refused in one line that names it, by every public function.

Each function and class that a public module of the library has is called with every argument that it
needs in turn of a wrong kind: a model in place of a landscape, a landscape in place of a vector, a list
of models, a text, None, lists of unequal lengths, a dict. A new function is covered by being there;
where an argument has a new name, `good` says what would do.
"""

import ast
import functools
import importlib
import inspect
import pathlib
import re

import keras
import matplotlib.figure
import numpy as np
import pytest
import tensorflow as tf

import wedges
from wedges import clustered, coding, collocation, short, simplex

STUB = ast.parse(pathlib.Path(wedges.__file__).with_suffix(".pyi").read_text()).body
MODULES = [name.asname for line in STUB if line.module is None for name in line.names]

MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="mine")
ONE = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="one")
BOWL = wedges.Quadratic(np.arange(1.0, 10))
MODEL.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
WRONG = {
    "model": MODEL,
    "models": [MODEL, MODEL],
    "landscape": BOWL,
    "text": "text",
    "None": None,
    "ragged": [[1.0], [1.0, 2.0]],
    "dict": {"a": 1},
}
ANY = frozenset(WRONG)
# What is not wrong there, by the argument's name or by function(argument).
FITS = {
    "landscape": {"landscape"},
    "model": {"model"},
    "path": {"text"},
    "folder": {"text"},
    "content": {"text"},
    "config": {"dict"},
    "arrays": {"dict"},
    "measures": {"dict"},
    "rows": {"text", "models", "ragged", "dict"},  # of a picture: whatever has words
    "columns": {"text", "models", "ragged", "dict"},
    "coding.encode(model)": {"model", "ragged"},  # or its weights, each of a shape of its own
    "coding.compressed_size(model)": {"model", "ragged"},
    "regularizers.proximal_steps(weights)": {"ragged"},
    "cards.card(checkpoints)": {"model", "models", "text"},
    "plots.matrix(low)": {"None"},
    "plots.matrix(high)": {"None"},
    "plots.errorbars(error)": {"None"},
    # Functions of the user's, as which a model and a landscape can be called.
    **dict.fromkeys(("source", "residual", "function"), {"model", "landscape"}),
    "regularizers.together(penalty)": {"model", "landscape"},
    # Words, which matplotlib and Python show as they are.
    **dict.fromkeys(("label", "color", "optimize.progress(name)", "archive.parse_json(path)"), ANY),
    "title": {"text"},
    # It asks what a thing is.
    "regularizers.undefined_at_zero(penalty)": ANY,
}
# What is called otherwise where it will not do.
CALLED = {
    "affine.Span(rows)": "directions",
    "affine.Complement(normals)": "directions",
    "coding.encode(model)": "(model|weights)",
    "coding.compressed_size(model)": "(model|weights)",
    "cards.card(data)": "(data|x)",
}
# What functions return or raise, made by them alone.
RESULTS = {"cards.Card", "collocation.Poisson", "archive.Damaged"}


def public():
    """{"module.name": function or class} of all that public modules have and that takes arguments."""
    found = {}
    for module in MODULES:
        home = f"wedges.{module}"
        for name, value in vars(importlib.import_module(home)).items():
            place = getattr(value, "__module__", None) or ""
            ours = place == home or place.startswith(f"{home}.")
            if name.startswith("_") or not callable(value) or not ours:
                continue
            result = inspect.isclass(value) and issubclass(value, (tuple, BaseException))
            if not result and not inspect.isabstract(value) and f"{module}.{name}" not in RESULTS:
                found[f"{module}.{name}"] = value
    return found


# What is not needed by its signature, but by what it does.
MORE = {
    "callbacks.LossAllocation": ["landscape"],
    "callbacks.Sharpness": ["landscape"],
    "network.NetworkLandscape": ["y"],
}
PUBLIC = public()


def needed(name):
    """The arguments that a function does not do without."""
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = [p.name for p in parameters if p.default is p.empty and p.kind not in several]
    return MORE.get(name, []) + own


CASES = [(name, argument) for name in PUBLIC for argument in needed(name)]


@functools.cache
def good():
    """What would do for an argument of a name: of a function, of a module's functions, of all."""
    x, y = np.random.default_rng(0).normal(size=(8, 2)).astype("f"), np.arange(8) % 3
    net = wedges.NetworkLandscape(MODEL, x, y, seed=0)
    theta, ends, eye = np.ones(9, "f"), np.eye(2, 9, dtype="f"), np.eye(3, 9, dtype="f")
    hessian = wedges.hessian(BOWL, theta)
    spectrum = wedges.spectral_density(hessian, samples=1, order=2, seed=0)
    cg, three, square = wedges.ConjugateGradients(), np.array([0.0, 1.0, 2.0]), np.eye(4)
    outputs = np.random.default_rng(0).normal(size=(3, 4, 2))
    ax = matplotlib.figure.Figure().add_subplot()
    field = lambda x: tf.reduce_sum(x * x, axis=-1)
    everywhere = {
        **{"a": ends[0], "b": ends[1], "end": ends[0], "start": theta, "theta": theta, "origin": theta},
        **{"optima": ends, "ends": ends, "thetas": ends, "vertices": ends, "fixed": ends},
        **{"directions": ends, "normals": ends, "rows": ends, "vectors": ends, "points": eye},
        **{"landscape": BOWL, "model": MODEL, "operator": hessian, "which": [0], "matrix": square},
        **{"gram": np.eye(5)},
        **{"snapshots": np.eye(4, 9), "trajectory": np.eye(4, 9), "filters": np.arange(9)},
        **{"basis": simplex.Grid(1, 2), "optimizer": cg, "plane": wedges.random_cut(theta, 2, seed=0)},
        **{"connector": wedges.Connector(ends, simplex.Grid(1, 2)), "paths": {"line": ends}},
        **{"descent": wedges.Descent(BOWL, theta, cg), "subspace": wedges.random_cut(theta, 2, seed=0)},
        **{
            "pairs": wedges.eigenpairs(hessian, 2, seed=0),
            "density": spectrum,
            "spectrum": spectrum,
            "tridiagonal": wedges.curvature.lanczos(hessian, np.ones(hessian.shape[0]), 2),
        },
        **{
            "cuts": short.Cuts(np.ones((2, 2)), np.array([1, 2]), np.ones(2)),
            "strategy": tf.distribute.get_strategy(),
        },
        **dict.fromkeys(("dimension", "copies", "segments", "pieces", "degree", "m", "k", "s"), 2),
        **dict.fromkeys(("seed", "intercept", "mc"), 0),
        **dict.fromkeys(("steps", "samples", "order", "count", "every", "examples", "columns"), 3),
        **dict.fromkeys(("radius", "step", "slope", "weight", "temperature", "bowl", "load"), 1.0),
        **dict.fromkeys(("floor", "noise", "width", "error", "distance", "displacement", "low"), 0.1),
        **dict.fromkeys(("share", "threshold", "level", "cka", "lines", "train_error"), 0.5),
        **{"ambient": 9, "products": 6, "n": 3, "classes": 3, "high": 3.0, "wave": 1.0, "peak": -1.0},
        **{"x": three, "y": three, "at": three, "values": three, "losses": three, "mean": three},
        **{"w": three, "variations": three, "slopes": three, "curvatures": three, "codes": [0, 1]},
        **{"t": three / 2, "distances": [1.0], "dimensions": [1], "heights": [1.0], "waves": [1.0]},
        **{"weights": np.full((1, 3), 1 / 3), "probabilities": np.full((2, 3, 3), 1 / 3)},
        **{"labels": np.zeros((2, 4), int), "targets": np.zeros(4, int), "outputs": outputs},
        **{"path": "kept.npz", "folder": "none", "content": "{}", "arrays": {"a": three}},
        **{"stream": coding.encode(MODEL), "title": "", "label": "", "color": "k", "name": "name"},
        **{"penalty": wedges.HoyerSquare(0.1), "variables": MODEL.trainable_variables, "ax": ax},
        **{"domain": collocation.Cube(2), "source": field, "function": field, "names": [["I"]]},
        **{"trees": [0.5], "measures": {"mc": [0.0]}, "checkpoints": MODEL, "data": (x, y)},
        **{"yes": {"temperature": 0.5, "width": 0.5, "data": 0.5}, "residual": lambda x, f: f.value},
    }
    grid = {"values": np.ones((3, 3)), "losses": np.ones((3, 3))}
    return everywhere, {
        "alignment": {"landscape": net},
        "allocation": {"landscape": net},
        "callbacks": {"landscape": net},
        "distribute": {"landscape": net},
        "kernel": {"landscape": net, "theta": np.ones(9)},
        "phases": {"landscape": net},
        "plots": grid,
        "curvature.gauss_newton": {"landscape": net},
        "curvature.residual": {"landscape": net},
        "probe.filter_plane": {"landscape": net},
        "landscape.RestrictedOutputs": {"landscape": net},
        "clustered.ClusteredLogits": {"dimension": 6},
        "collocation.Collocation": {"model": ONE, "points": x},
        "collocation.Penalty": {"x": x},
        "collocation.differentiate": {"x": x},
        "compare.linear_cka": {"x": x, "y": x},
        "dimensionality.gram": {"samples": eye},
        "interpolation.rise_bound": {"targets": np.zeros((4, 2))},
        "network.NetworkLandscape": {"x": x, "y": y},
        "phases.pairs_of": {"pairs": "first"},
        "plots.grid": {"rows": 1, "columns": 1},
        "plots.page": {"rows": 1, "columns": 1},
        "plots.phases": {"values": np.ones((1, 1)), "rows": [1], "columns": [1]},
        "plots.curve": {"values": np.ones((2, 3))},
        "plots.scatter": {"values": np.ones((3, 2))},
        "regularizers.proximal_steps": {"weights": [x]},
        **dict.fromkeys(("regularizers.forces", "regularizers.proximal_step"), {"w": x}),
        "affine.Repeated": {"directions": wedges.affine.Span(ends)},
        "rugged.gibbs": {"landscape": wedges.Quadratic([1.0]), "theta": three},
        "rugged.langevin": {"start": np.ones((2, 9))},
        "star.legs": {"points": 2},
        "simplex.Scattered": {"points": [[0.25, 0.75]]},
        "simplex.positions": {"w": [0.5, 0.25, 0.25]},
        "simplex.restore": {"config": {"kind": "Grid", "m": 2, "pieces": 2}, "arrays": {}, "points": 6},
        "toy.RandomWedges": {"dimension": 9},
        "toy.AxisWedges": {"dimension": 9},
        "toy.RotatedWedges": {"dimension": 9},
    }


def arguments(name):
    """What would do for each argument that a function needs."""
    everywhere, own = good()
    module = name.partition(".")[0]
    mine = {**everywhere, **own.get(module, {}), **own.get(name, {})}
    missing = [argument for argument in needed(name) if argument not in mine]
    assert not missing, f"`good` of this file must say what would do for {missing} of wedges.{name}"
    return {argument: mine[argument] for argument in needed(name)}


def call(name, given):
    found = PUBLIC[name](**given)
    if hasattr(found, "__enter__"):
        with found:
            pass


def refusals(name, argument):
    """{kind: what is wrong with how it is refused} of the wrong kinds that are not refused well."""
    case = f"{name}({argument})"
    fits = FITS.get(case, FITS.get(argument, ()))
    called = CALLED.get(case, argument)
    given, found = arguments(name), {}
    for kind in sorted(ANY - set(fits)):
        try:
            call(name, {**given, argument: WRONG[kind]})
        except (ValueError, TypeError) as error:
            line = str(error)
            subject = line.partition(" must ")[0]
            named = " must " in line and re.search(rf"\b{called}\b", subject)
            if "\n" in line or not named or len(line) > 400:
                found[kind] = f"{type(error).__name__}: {line}"
        except Exception as error:  # what is looked for
            found[kind] = f"{type(error).__name__}: {error}"
        else:
            found[kind] = "accepted"
    return found


@pytest.mark.parametrize(("name", "argument"), CASES, ids=[f"{n}({a})" for n, a in CASES])
def test_what_does_not_belong_there_is_refused_in_a_line_that_names_it(
    name, argument, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert not refusals(name, argument)


def test_there_are_as_many_functions_as_there_are():
    """Of which the test above is nothing without: names of each kind."""
    assert len(PUBLIC) > 130 and len(CASES) > 300
    some = {"affine.through", "probe.plane", "network.NetworkLandscape", "plots.path_on_plane"}
    assert some <= set(PUBLIC) and clustered.ClusteredLogits in PUBLIC.values()
    assert set(FITS) - {argument for _, argument in CASES} <= {f"{n}({a})" for n, a in CASES}
    assert set(CALLED) <= {f"{n}({a})" for n, a in CASES}


def test_a_function_that_does_not_look_is_found(monkeypatch):
    def careless(theta):
        return theta.shape

    def many_lines(theta):
        raise ValueError("theta must be\nin one line")

    def other(theta):
        raise ValueError("origin must be finite.")

    for function in (careless, many_lines, other):
        monkeypatch.setitem(PUBLIC, "probe.new", function)
        assert set(refusals("probe.new", "theta")) == ANY
