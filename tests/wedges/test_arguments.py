"""What every public function asks of its arguments alike: counts, seeds, thetas, landscapes, models."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from wedges import clustered, connect, curvature, interpolation, probe, short, simplex

BOWL = wedges.Quadratic(np.arange(1.0, 6))
MATRIX = wedges.hessian(wedges.Quadratic(np.arange(1.0, 31)), np.zeros(30))
THETA, ENDS = np.ones(5, np.float32), np.eye(2, 5, dtype=np.float32)
CG = wedges.ConjugateGradients()
GRID = simplex.Grid(1, 2)
SURFACE = {"landscape": BOWL, "optima": ENDS, "basis": GRID, "optimizer": CG}
CUT = {"dimensions": [1], "displacement": 1.0, "optimizer": CG}

# {what: (a function, its arguments, which of them are counts with the smallest that will do)}
COUNTED = {
    "line": (probe.line, {"landscape": BOWL, "a": THETA, "b": ENDS[0], "points": 3}, {"points": 2}),
    "interpolation": (
        interpolation.interpolation, {"landscape": BOWL, "start": THETA, "end": ENDS[0], "points": 3},
        {"points": 2},
    ),
    "isotropic": (
        wedges.isotropic, {"dimension": 5, "samples": 2, "seed": 0},
        {"dimension": 1, "samples": 1, "seed": 0},
    ),
    "sphere": (
        probe.sphere, {"landscape": BOWL, "theta": THETA, "radius": 1.0, "samples": 2, "seed": 0},
        {"samples": 1, "seed": 0},
    ),
    "filter_normalized": (
        wedges.filter_normalized, {"theta": THETA, "filters": np.arange(5), "samples": 2, "seed": 0},
        {"samples": 1, "seed": 0},
    ),
    "filter_plane": (
        wedges.filter_plane,
        {"landscape": BOWL, "theta": THETA, "x": [0.0], "y": [1.0], "seed": 0, "filters": np.arange(5)},
        {"seed": 0},
    ),
    "tunnel_width": (
        wedges.tunnel_width,
        {"landscape": BOWL, "theta": THETA, "directions": ENDS, "threshold": 9.0, "refinements": 2},
        {"refinements": 0},
    ),
    "random_cut": (
        wedges.random_cut, {"origin": THETA, "dimension": 2, "seed": 0}, {"dimension": 1, "seed": 0},
    ),
    "principal": (wedges.principal, {"trajectory": np.eye(4, 5), "dimension": 2}, {"dimension": 1}),
    "minimize": (
        wedges.minimize, {"landscape": BOWL, "start": THETA, "optimizer": CG, "steps": 2}, {"steps": 0},
    ),
    "connector": (wedges.connector, {**SURFACE, "steps": 2}, {"steps": 0}),
    "tunnel": (
        wedges.tunnel,
        {"landscape": BOWL, "a": ENDS[0], "b": ENDS[1], "segments": 2, "optimizer": CG, "steps": 2},
        {"segments": 2, "steps": 0},
    ),
    "joint_connector": (
        wedges.joint_connector, {**SURFACE, "steps": 2, "seed": 0, "samples": 3},
        {"steps": 0, "seed": 0, "samples": 1},
    ),
    "corner": (
        connect.corner, {"landscape": BOWL, "ends": ENDS, "optimizer": CG, "steps": 2, "points": 2},
        {"steps": 0, "points": 1},
    ),
    "along": (connect.along, {"landscape": BOWL, "vertices": ENDS, "points": 2}, {"points": 1}),
    "eigenpairs": (
        wedges.eigenpairs,
        {"operator": MATRIX, "k": 2, "seed": 0, "block_size": 2, "basis": 20, "limit": 300},
        {"k": 1, "seed": 0, "block_size": 1, "basis": 1, "limit": 1},
    ),
    "trace": (wedges.trace, {"operator": MATRIX, "products": 6, "seed": 0}, {"products": 1, "seed": 0}),
    "hutchinson": (
        curvature.hutchinson, {"operator": MATRIX, "products": 3, "seed": 0}, {"products": 1, "seed": 0},
    ),
    "hutch_plus_plus": (
        curvature.hutch_plus_plus, {"operator": MATRIX, "products": 7, "seed": 0},
        {"products": 6, "seed": 0},
    ),
    "lanczos": (
        curvature.lanczos, {"operator": MATRIX, "start": np.ones(30), "order": 3}, {"order": 1},
    ),
    "spectral_density": (
        wedges.spectral_density, {"operator": MATRIX, "samples": 1, "order": 3, "seed": 0},
        {"samples": 1, "order": 1, "seed": 0},
    ),
    "gradient_rank": (
        wedges.gradient_rank,
        {"landscape": BOWL, "theta": THETA, "radius": 1.0, "samples": 3, "seed": 0},
        {"samples": 1, "seed": 0},
    ),
    "eigenvalue_count": (
        wedges.eigenvalue_count,
        {"landscape": BOWL, "theta": THETA, "floor": 1.0, "samples": 2, "steps": 2, "seed": 0},
        {"samples": 1, "steps": 1, "seed": 0},
    ),
    "smallest_cut": (
        wedges.smallest_cut,
        {"landscape": BOWL, "theta": THETA, **CUT, "samples": 1, "steps": 2, "seed": 0},
        {"samples": 1, "steps": 0, "seed": 0},
    ),
    "centroid": (simplex.centroid, {"m": 2}, {"m": 1}),
    "grid": (simplex.grid, {"m": 2, "pieces": 3}, {"m": 1, "pieces": 1}),
    "dirichlet": (simplex.dirichlet, {"m": 2, "count": 3, "seed": 0}, {"m": 1, "count": 1, "seed": 0}),
    "faces": (simplex.faces, {"m": 2, "count": 3, "seed": 0}, {"m": 1, "count": 1, "seed": 0}),
    "Grid": (lambda **a: simplex.Grid(**a).points, {"m": 2, "pieces": 3}, {"m": 1, "pieces": 1}),
    "Bernstein": (
        lambda **a: simplex.Bernstein(**a).weights([0.5, 0.25, 0.25]), {"m": 2, "degree": 3},
        {"m": 1, "degree": 1},
    ),
    "ClusteredLogits": (
        lambda **a: clustered.ClusteredLogits(**a, noise=0.1).directions,
        {"dimension": 6, "examples": 4, "classes": 3, "seed": 0},
        {"dimension": 2, "examples": 2, "classes": 2, "seed": 0},
    ),
    "AxisWedges": (
        lambda **a: wedges.AxisWedges(**a)(np.ones(6)), {"dimension": 6, "n": 4},
        {"dimension": 1, "n": 0},
    ),
    "RandomWedges": (
        lambda **a: wedges.RandomWedges(**a)(np.ones(6)), {"dimension": 6, "n": 4, "k": 2, "seed": 0},
        {"dimension": 1, "n": 0, "k": 1, "seed": 0},
    ),
    "smallest": (
        lambda **a: wedges.select.smallest(**a)[0], {"x": np.arange(5.0, dtype="f"), "s": 2}, {"s": 1},
    ),
}  # fmt: skip


def numbers(found):
    """All the numbers of a result, one after another."""
    if isinstance(found, (wedges.AffineSubspace, wedges.Connector)):
        found = found.embed(np.ones(2)) if hasattr(found, "embed") else found.vertices
    if isinstance(found, tuple):
        return np.concatenate([numbers(part) for part in found if part is not None])
    if isinstance(found, wedges.AffineSubspace):
        return numbers(found.origin)
    return np.ravel(np.asarray(found, np.float64))


@pytest.mark.parametrize("what", COUNTED)
def test_a_count_is_a_whole_number_of_any_library(what):
    function, given, counts = COUNTED[what]
    expected = numbers(function(**given))
    for kind in (np.int64, np.array, tf.constant):
        found = function(**{**given, **{name: kind(given[name]) for name in counts}})
        np.testing.assert_array_equal(numbers(found), expected)


@pytest.mark.parametrize(
    ("what", "name"), [(w, n) for w, (*_, counts) in COUNTED.items() for n in counts]
)
def test_what_is_no_count_is_refused_in_a_line(what, name):
    function, given, counts = COUNTED[what]
    for value in (counts[name] - 1, 2.5, 3.0, np.float32(3), True, "3", None):
        if value is None and name in ("samples", "block_size", "basis"):  # by default
            continue
        with pytest.raises(ValueError, match="must be a whole number") as caught:
            function(**{**given, name: value})
        line = str(caught.value)
        assert "\n" not in line and "received" in line, line


def test_a_seed_may_be_several_numbers():
    for seed in ([1, 2], (1, 2), np.array([1, 2]), range(1, 3)):
        found = wedges.isotropic(5, 2, seed=seed)
        np.testing.assert_array_equal(found, wedges.isotropic(5, 2, seed=[1, 2]))
    for seed in ([1, -2], [1.0], ["1"], "12", b"12", np.random.default_rng(0)):
        with pytest.raises(ValueError, match="^seed must be a whole number, at least 0; received"):
            wedges.isotropic(5, 2, seed=seed)


# ---- thetas ---------------------------------------------------------------------------------------

AT = {
    "landscape": lambda q, t: q(t),
    "value_and_gradient": lambda q, t: q.value_and_gradient(t),
    "jet": lambda q, t: q.jet(t, t),
    "hessian_product": lambda q, t: q.hessian_product(t, t),
    "line": lambda q, t: probe.line(q, t, 2 * np.asarray(t), 3),
    "interpolation": lambda q, t: interpolation.interpolation(q, t, 2 * np.asarray(t), 3),
    "sphere": lambda q, t: probe.sphere(q, t, 1.0, 2, seed=0),
    "radial_profile": lambda q, t: wedges.radial_profile(q, t, [t, t], [1.0]),
    "tunnel_width": lambda q, t: wedges.tunnel_width(q, t, [t], 99.0),
    "hessian": lambda q, t: wedges.hessian(q, t) @ np.ones(3),
    "filter_plane": lambda q, t: wedges.filter_plane(q, t, [0.0], [1.0], seed=0, filters=[0, 1, 1]),
    "restricted": lambda q, t: wedges.restrict(
        q, wedges.random_cut(np.ones(3, q.dtype.name), 3, seed=0)
    )(t),
    "squared": lambda q, t: wedges.Squared(q)(t),
    "readings": lambda q, t: connect.readings(q, [t, t]),
    "along": lambda q, t: connect.along(q, [t, 2 * np.asarray(t)], 2),
    "gradient_rank": lambda q, t: wedges.gradient_rank(q, t, 1.0, 3, seed=0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("what", AT)
def test_a_theta_of_any_type_is_the_same_point(what, dtype):
    bowl = wedges.Quadratic([1.0, 2.0, 4.0], dtype=dtype)
    expected = numbers(AT[what](bowl, np.array([1, 2, 3], dtype)))
    for theta in (
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        *(np.array([1, 2, 3], k) for k in ("f2", "f4", "f8", "i8")),
    ):
        for given in (theta, tf.constant(theta), tf.cast(theta, tf.bfloat16), tf.Variable(theta)):
            np.testing.assert_allclose(numbers(AT[what](bowl, given)), expected, rtol=1e-6)


MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="mine")  # three weights
NO_THETA = {
    "the model 'mine' .its weights as a point are landscape.space.read.model..": MODEL,
    "the text or path 'best.keras'": "best.keras",
    "the text or path '/tmp/a.npy'": pathlib.Path("/tmp/a.npy"),
    "a landscape, Quadratic": BOWL,
    "None": None,
    r"\[1j, 0, 0\]": [1j, 0, 0],
    r"\[True, False, True\]": [True, False, True],
    r"\[\[1.0\], \[1.0, 2.0\]\]": [[1.0], [1.0, 2.0]],
    "{}": {},
}


@pytest.mark.parametrize("received", NO_THETA)
@pytest.mark.parametrize(
    "what", [w for w in AT if w not in ("line", "interpolation", "along", "readings")]
)
def test_what_is_no_theta_is_named(what, received):
    bowl = wedges.Quadratic([1.0, 2.0, 4.0])
    with pytest.raises(
        ValueError, match=f"^(theta|z) must be real numbers; received {received}.$"
    ) as caught:
        AT[what](bowl, NO_THETA[received])
    assert "\n" not in str(caught.value)


def test_a_theta_in_a_graph_may_be_of_another_type_too():
    bowl = wedges.Quadratic([1.0, 2.0])
    value = tf.function(lambda t: bowl([t, 2 * t]))(tf.constant(1.0, tf.float64))
    assert float(value) == 4.5
    theta = tf.Variable([1.0, 2.0], dtype=tf.float64)
    with tf.GradientTape() as tape:
        loss = bowl(theta)
    np.testing.assert_array_equal(tape.gradient(loss, theta), [1.0, 4.0])


# ---- landscapes and models ------------------------------------------------------------------------

ON = {
    "line": lambda q: probe.line(q, THETA, THETA),
    "interpolation": lambda q: interpolation.interpolation(q, THETA, ENDS[0]),
    "plane": lambda q: probe.plane(q, wedges.random_cut(THETA, 2, seed=0), [0.0], [0.0]),
    "filter_plane": lambda q: wedges.filter_plane(q, THETA, [0.0], [0.0], seed=0),
    "sphere": lambda q: probe.sphere(q, THETA, 1.0, 1, seed=0),
    "radial_profile": lambda q: wedges.radial_profile(q, THETA, ENDS, [1.0]),
    "tunnel_width": lambda q: wedges.tunnel_width(q, THETA, ENDS, 1.0),
    "hessian": lambda q: wedges.hessian(q, THETA),
    "gauss_newton": lambda q: wedges.gauss_newton(q, THETA),
    "minimize": lambda q: wedges.minimize(q, THETA, CG, 1),
    "connector": lambda q: wedges.connector(q, ENDS, GRID, CG, 1),
    "joint_connector": lambda q: wedges.joint_connector(q, ENDS, GRID, CG, 1, seed=0),
    "tunnel": lambda q: wedges.tunnel(q, *ENDS, 2, CG, 1),
    "corner": lambda q: connect.corner(q, ENDS, CG, 1),
    "along": lambda q: connect.along(q, ENDS),
    "readings": lambda q: connect.readings(q, ENDS),
    "restrict": lambda q: wedges.restrict(q, wedges.random_cut(THETA, 2, seed=0)),
    "Squared": lambda q: wedges.Squared(q),
    "gradient_rank": lambda q: wedges.gradient_rank(q, THETA, 1.0, 2, seed=0),
    "eigenvalue_count": lambda q: wedges.eigenvalue_count(q, THETA, 1.0, samples=1, steps=1, seed=0),
    "smallest_cut": lambda q: wedges.smallest_cut(q, THETA, **CUT, samples=1, steps=1, seed=0),
}


@pytest.mark.parametrize("what", ON)
def test_what_is_no_landscape_is_named(what):
    for value, words in (
        (MODEL, r"Sequential\. A model is made one by wedges.Netw"),
        (THETA, "ndarray.$"),
    ):
        with pytest.raises(
            ValueError, match="^landscape must be a wedges.Landscape; received " + words
        ) as e:
            ON[what](value)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("best.keras", "a path: load it with keras.saving.load_model"),
        (pathlib.Path("best.keras"), "a path: load it with keras.saving.load_model"),
        (THETA, "ndarray"),
        (BOWL, "a landscape, Quadratic"),
        (
            wedges.NetworkLandscape(MODEL, np.ones((2, 2)), np.ones(2), "mean_squared_error", seed=0),
            "a landscape, NetworkLandscape: its model is landscape.space.model",
        ),
        (wedges.WeightSpace(MODEL), "a WeightSpace: its model is space.model"),
        (keras.layers.Dense(2), "a layer, Dense: put it into a model, e.g. keras.Sequential..layer.."),
        (None, "NoneType"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_named(value, words):
    for use in (wedges.WeightSpace, lambda m: wedges.Hyperplane(m, wedges.random_cut(THETA, 2, seed=0))):
        with pytest.raises(
            ValueError, match=f"^model must be a keras.Model; received {words}.$"
        ) as caught:
            use(value)
        assert "\n" not in str(caught.value)


def test_what_is_no_theta_is_not_written():
    space = wedges.WeightSpace(MODEL)
    space.write(tf.constant([1.0, 2.0, 3.0], tf.float64))
    space.write([1, 2, 3])
    np.testing.assert_array_equal(space.read(), [1, 2, 3])
    for value, words in ((MODEL, "the model 'mine'"), ("a.npy", "path 'a.npy'"), (None, "None")):
        with pytest.raises(ValueError, match=f"theta must be real numbers; received .*{words}"):
            space.write(value)


# ---- scales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_probes_of_a_landscape_of_any_size(scale):
    """In float32, where the squares of such losses are 0 or infinite."""
    values = np.array([1.0, 4.0, 9.0])
    plain, bowl = wedges.Quadratic(values), wedges.Quadratic(values * scale)
    theta, v = np.array([0.1, -0.2, 0.3], np.float32), wedges.isotropic(3, 4, seed=0)
    for of in (
        lambda q, c: wedges.radial_profile(q, theta, v, [0.5, 2.0])[1:],
        lambda q, c: wedges.barrier(-probe.line(q, -theta, 2 * theta).losses),
        lambda q, c: probe.plane(q, wedges.random_cut(theta, 2, seed=0), [0.0, 1.0], [2.0]),
        lambda q, c: wedges.filter_plane(q, theta, [1.0], [2.0], seed=0, filters=[0, 1, 1]).losses,
        lambda q, c: wedges.tunnel_width(q, theta, v, 3.0 * c).distances * c,
        lambda q, c: wedges.gradient_rank(q, theta, 1.0, 9, seed=0) * c,
        lambda q, c: wedges.eigenvalue_count(q, theta, 2 * c, samples=3, steps=3, seed=0).samples * c,
    ):
        expected = numbers(of(plain, 1.0))
        np.testing.assert_allclose(numbers(of(bowl, scale)) / scale, expected, rtol=1e-4)
        assert np.abs(expected).max() > 0


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e15])
def test_probes_at_a_theta_of_any_size(size):
    """Lengths are in units of theta: the same picture, and the same width as an angle."""
    values = np.array([1.0, 4.0, 9.0])
    theta, v = np.array([0.1, -0.2, 0.3]), wedges.isotropic(3, 4, seed=0)

    class Scaled(wedges.Quadratic):
        def __call__(self, theta):
            return super().__call__(self.point(theta) / np.float32(size))

    plain, bowl = wedges.Quadratic(values), Scaled(values)
    for of in (
        lambda q, c: wedges.tunnel_width(q, theta * c, v, 3.0).angle,
        lambda q, c: wedges.tunnel_width(q, theta * c, v, 3.0).distances / c,
        lambda q, c: wedges.filter_plane(q, theta * c, [1.0], [2.0], seed=0, filters=[0, 1, 1]).losses,
        lambda q, c: probe.plane(q, wedges.through(c * np.eye(3, dtype="f")), [c], [2 * c]),
    ):
        np.testing.assert_allclose(numbers(of(bowl, size)), numbers(of(plain, 1.0)), rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1.0, 1e30])
def test_a_matrix_that_is_not_symmetric_is_refused_at_any_size(scale):
    wedges.Quadratic(scale * np.array([[1.0, 2.0], [2.0, 5.0]]))
    with pytest.raises(ValueError, match="matrix must be symmetric"):
        wedges.Quadratic(scale * np.array([[1.0, 2.0], [2.1, 5.0]]))


# ---- in a line ------------------------------------------------------------------------------------


def test_everything_shows_in_a_line():
    bowl = wedges.Quadratic(np.ones(1000))
    cut = wedges.random_cut(np.zeros(1000, np.float32), 2, seed=0)
    plane = "AffineSubspace(2 of 1000 dimensions, Span)"
    shown = {
        bowl: "Quadratic(D = 1,000, float32)",
        wedges.Squared(bowl): "Squared(Quadratic(D = 1,000, float32))",
        wedges.restrict(bowl, cut): f"Restricted(Quadratic(D = 1,000, float32), {plane})",
        wedges.AxisWedges(1000, 900): "AxisWedges(D = 1,000, n = 900, float32)",
        wedges.RandomWedges(9, 7, 3, seed=0): "RandomWedges(D = 9, n = 7, 3 of them, float32)",
        wedges.WeightSpace(MODEL): "WeightSpace(model 'mine', D = 3 in 2 weights of float32)",
    }
    for value, line in shown.items():
        assert repr(value) == line


def test_results_show_what_they_hold_in_a_line():
    line = probe.line(BOWL, -THETA, THETA, 3)
    assert repr(line) == "Line(t=[0, 0.5, 1], losses=[7.5, 0, 7.5])"
    v = wedges.isotropic(5, 9, seed=0)
    results = [
        wedges.radial_profile(BOWL, THETA, v, [1.0]),
        wedges.tunnel_width(BOWL, THETA, v, 1e9),
        wedges.filter_plane(BOWL, THETA, np.arange(9.0), [0.0], seed=0, filters=np.arange(5)),
        wedges.eigenpairs(MATRIX, 9, seed=0),
        wedges.spectral_density(MATRIX, samples=1, order=9, seed=0),
        wedges.eigenvalue_count(BOWL, THETA, 1.0, samples=1, steps=1, seed=0),
        connect.readings(BOWL, np.eye(5)),
        wedges.minimize(BOWL, THETA, CG, 2),
        short.smallest_cut(BOWL, THETA, **CUT, samples=1, steps=1, seed=0),
        connect.Readings(np.array([np.nan, 1.0, 2, 3, 4, 5, 6]), np.full(7, np.nan)),
    ]
    for result in results:
        assert repr(result).startswith(type(result).__name__ + "(") and "\n" not in repr(result)
        assert len(repr(result)) < 400 and "array(" not in repr(result)
    assert "9 true" in repr(results[1]) and "error=nan" in repr(results[5])
    assert repr(results[-1]) == "Readings(loss=[7] from 1 to 6, 1 NaN, accuracy=[7] of NaN)"
    shown = []
    tf.function(lambda x: shown.append(repr(line._replace(losses=x))) or x)(tf.ones(9))
    assert shown == ["Line(t=[0, 0.5, 1], losses=[9])"]
