"""Low-loss paths and surfaces: on quadratics in closed form, on the toys between their wedges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.conftest import SPARSE, batch_norm, shared
from tests.wedges.bowls import (
    CENTER,
    CG,
    MATRIX,
    D,
    Interrupted,
    OneByOne,
    bits,
    bowl,
    keeping,
    loss,
    network,
    normal,
    optima_of,
    recorded,
)
from wedges import connect, simplex
from wedges.connect import Connector, connector, joint_connector
from wedges.simplex import Bernstein, Grid, Scattered

RNG = np.random.default_rng(3)


# ---- along ----------------------------------------------------------------------------------------


def test_along_a_path_t_is_the_share_of_its_length():
    valley = wedges.Quadratic([1.0, 10.0], dtype="float64")
    t, losses = connect.along(valley, [[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]], points=2)
    np.testing.assert_allclose(t, [0, 1.5 / 4, 3 / 4, 3.5 / 4, 1])
    np.testing.assert_allclose(losses, [0, 1.125, 4.5, 4.5 + 1.25, 4.5 + 5])


def test_along_many_vertices_is_the_closed_form():
    vertices = RNG.standard_normal((4, D))
    t, losses = connect.along(bowl(), vertices, points=7)
    lengths = np.linalg.norm(np.diff(vertices, axis=0), axis=-1)
    marks = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    assert t.shape == losses.shape == (22,)
    np.testing.assert_allclose(t[::7], marks, atol=1e-14)
    points = np.stack([np.interp(t, marks, vertices[:, i]) for i in range(D)], axis=-1)
    np.testing.assert_allclose(losses, loss(points), rtol=1e-10)


def test_a_path_of_no_length_is_its_point():
    t, losses = connect.along(bowl(), [CENTER, CENTER], points=2)
    np.testing.assert_array_equal([t, losses], np.zeros((2, 3)))


# ---- tunnel ---------------------------------------------------------------------------------------


def test_a_tunnels_vertices_are_the_minima_of_their_hyperplanes():
    a, b = RNG.standard_normal((2, D))
    tunnel = connect.tunnel(bowl(), a, b, 4, CG, 40)
    line = a + np.arange(5)[:, None] / 4 * (b - a)
    basis = np.linalg.svd((b - a)[None])[2][1:]  # normal to the line [D - 1, D]
    z = np.linalg.solve(basis @ MATRIX @ basis.T, basis @ MATRIX @ (CENTER - line).T)  # [D - 1, 5]
    expected = line + z.T @ basis
    expected[[0, -1]] = a, b
    np.testing.assert_allclose(tunnel.path, expected, atol=1e-9)
    np.testing.assert_allclose(tunnel.deviations, (expected - line)[1:-1], atol=1e-9)
    np.testing.assert_allclose(tunnel.deviations @ (b - a), 0, atol=1e-12)


def test_a_float32_tunnel_stays_in_its_hyperplanes():
    squared = wedges.Squared(wedges.RandomWedges(60, 50, 4, seed=0))
    a, b = RNG.standard_normal((2, 60)).astype(np.float32)
    tunnel = connect.tunnel(squared, a, b, 6, CG, 60, tolerance=1e-5)
    assert tunnel.path.shape == (7, 60) and tunnel.deviations.shape == (5, 60)
    across = (tunnel.path[1:-1] - a) @ (b - a) / np.sum((b - a) ** 2)
    np.testing.assert_allclose(across, np.arange(1, 6) / 6, atol=1e-6)
    losses = squared(tunnel.path).numpy()
    assert np.all(losses[1:-1] < 1e-9) and min(losses[0], losses[-1]) > 0.1
    np.testing.assert_array_equal(tunnel.path[0], a)
    np.testing.assert_array_equal(tunnel.path[-1], b)


# ---- connector ------------------------------------------------------------------------------------


def closed_form(matrix, center, optima, w):
    """The minima of a quadratic in the planes through w optima normal to the hull, [F, D]."""
    origin = w @ optima
    basis = np.linalg.svd(optima[1:] - optima[0])[2][len(optima) - 1 :]  # [D - m, D]
    z = np.linalg.solve(basis @ matrix @ basis.T, basis @ matrix @ (center - origin).T)
    return origin + z.T @ basis


WAYS = {
    "at once": (wedges.Quadratic, "flat"),
    "one by one": (OneByOne, "flat"),
    "from a neighbour": (wedges.Quadratic, "neighbour"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_points_are_the_minima_of_their_planes_normal_to_the_hull(m, way):
    make, start = WAYS[way]
    optima, calls = normal([m, 0], m + 1, D), []
    basis = Scattered([*simplex.centroid(m), *simplex.dirichlet(m, 2, seed=m)]) if m > 1 else Grid(1, 4)
    landscape = make(MATRIX, CENTER, "float64")
    surface = connector(landscape, optima, basis, CG, 20, start=start, follow=recorded(calls))
    expected = closed_form(MATRIX, CENTER, optima, basis.points[m + 1 :])
    assert isinstance(surface, Connector) and surface.basis is basis
    bits(surface(np.eye(m + 1)), optima)
    np.testing.assert_allclose(surface.vertices[m + 1 :], expected, atol=1e-9)
    np.testing.assert_allclose(surface(basis.points[m + 1 :]), expected, atol=1e-9)
    edges = optima[1:] - optima[0]
    np.testing.assert_allclose(surface.deviations @ edges.T, 0, atol=1e-13)
    assert np.linalg.norm(surface.deviations, axis=1).min() > 1e-2
    names = ["3 points"] if way == "at once" else [f"point {i} of 3" for i in (1, 2, 3)]
    assert [c[:2] for c in calls] == [(name, 20) for name in names]
    # Where each began: on the hull, or displaced like the nearest one found before.
    flat = basis.points[m + 1 :] @ optima
    begun = np.concatenate([np.atleast_2d(c[2]) for c in calls])
    if start == "neighbour":
        w = basis.points[m + 1 :]
        for i in (1, 2):
            near = min(range(i), key=lambda j, i=i: np.linalg.norm(w[j] - w[i]))
            flat[i] += expected[near] - w[near] @ optima
    np.testing.assert_allclose(begun, flat, atol=1e-9)


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD(0.5), keras.optimizers.Adam(0.1)])
@pytest.mark.parametrize("make", [wedges.Quadratic, OneByOne])
def test_a_keras_optimizer_finds_the_same_points(optimizer, make):
    turn = np.linalg.qr(normal(3, D, D))[0]
    matrix = turn @ np.diag(np.geomspace(0.5, 2, D)) @ turn.T
    matrix = (matrix + matrix.T) / 2
    optima, basis = normal(4, 3, D), Grid(2, 2)
    surface = connector(make(matrix, CENTER, "float64"), optima, basis, optimizer, 150)
    expected = closed_form(matrix, CENTER, optima, basis.points[3:])
    near = 1e-9 if isinstance(optimizer, keras.optimizers.SGD) else 1e-2
    np.testing.assert_allclose(surface.vertices[3:], expected, atol=near)
    np.testing.assert_allclose(surface.deviations @ (optima[1:] - optima[0]).T, 0, atol=1e-13)


@pytest.mark.parametrize("way", WAYS)
def test_a_tolerance_ends_each_point_when_it_is_flat(way):
    make, start = WAYS[way]
    settings, counts = {"tolerance": 1e-8, "start": start}, []
    follow = lambda descent, steps, name: counts.append(len(descent.run(steps).losses))
    landscape = make(MATRIX, CENTER, "float64")
    surface = connector(landscape, normal(0, 2, D), Grid(1, 4), CG, 50, follow=follow, **settings)
    assert len(counts) == (1 if way == "at once" else 3) and max(counts) < 15
    expected = closed_form(MATRIX, CENTER, surface.optima, surface.basis.points[2:])
    np.testing.assert_allclose(surface.vertices[2:], expected, atol=1e-6)


def test_optima_alone_are_a_flat_connector():
    def follow(descent, steps, name):
        raise AssertionError("nothing to descend")

    optima = normal(0, 3, D)
    for given in (list(optima), [tf.constant(optima[0]), *optima[1:]], tf.constant(optima)):
        bits(connector(bowl(), given, Grid(2, 1), CG, 5, follow=follow).vertices, optima)


def test_each_point_of_a_network_is_as_found_alone_and_normal_to_the_hull(images):
    landscape, adam = network(images), keras.optimizers.Adam(0.01)
    optima, basis = optima_of(landscape, 3), Grid(2, 2)
    surface = connector(landscape, optima, basis, adam, 6)
    edges = (optima[1:] - optima[0]).astype(np.float64)
    units = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    assert np.abs(surface.deviations @ units.T).max() < 2e-6
    assert np.linalg.norm(surface.deviations, axis=1).min() > 0.1
    for i in (0, 2):
        origin = basis.points[3 + i].astype(np.float32) @ optima
        plane = wedges.normal_plane(origin, optima[1:] - optima[0])
        alone = wedges.minimize(landscape, origin, adam, 6, subspace=plane)
        bits(surface.vertices[3 + i], alone.theta)


@pytest.mark.parametrize("start", ["flat", "neighbour"])
def test_points_between_three_wedges_are_low(start):
    squared = wedges.Squared(wedges.RandomWedges(60, 50, 4, seed=0))
    optima = normal(0, 3, 60).astype(np.float32)
    surface = connector(squared, optima, Grid(2, 2), CG, 60, tolerance=1e-5, start=start)
    w = surface.basis.points[3:]
    assert squared(surface.flat(w)).numpy().min() > 0.1
    assert surface.evaluate(squared, w).loss.max() < 1e-9
    np.testing.assert_allclose(surface.deviations @ (optima[1:] - optima[0]).T, 0, atol=2e-5)


@pytest.mark.parametrize("budget", [2, 5])
@pytest.mark.parametrize("start", ["flat", "neighbour"])
def test_an_interrupted_network_connector_continues_bit_for_bit(start, budget, images):
    landscape, adam = network(images), keras.optimizers.Adam(0.01)
    optima, states = optima_of(landscape, 2), {}
    run = lambda **follow: connector(landscape, optima, Grid(1, 3), adam, 10, start=start, **follow)
    with pytest.raises(Interrupted):
        run(follow=keeping(states, budget))
    assert len(states) == (1 if budget == 2 else 2)
    bits(run(follow=keeping(states, -1)).vertices, run().vertices)


def test_batch_norm_statistics_half_way_are_those_of_the_point_there(images):
    model = batch_norm()
    landscape = wedges.NetworkLandscape(model, *images, SPARSE, seed=0, batch_norm="reestimate")
    optima = optima_of(landscape, 2, spread=0.5)
    tunnel = connect.tunnel(landscape, *optima, 2, keras.optimizers.Adam(0.01), 3)
    half = [[0.5, 0.5]]
    found = tunnel.evaluate(landscape, half)
    stale = tunnel.evaluate(landscape.on(*images, batch_norm="frozen"), half)
    assert abs(found.loss[0] - stale.loss[0]) > 0.1
    landscape.write(tunnel.vertices[2])
    model.compile("sgd", SPARSE, metrics=["accuracy"])
    expected = model.evaluate(*images, batch_size=53, verbose=0)
    np.testing.assert_allclose([found.loss[0], found.accuracy[0]], expected, rtol=1e-4)


# ---- point by point or jointly --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["connector", "joint"])
def test_compiled_with_xla_the_points_are_the_same(way):
    optima, compiled = normal(0, 2, D), []
    make = {"connector": connector, "joint": lambda *a, **k: joint_connector(*a, seed=0, **k)}[way]

    def follow(descent, steps, name):
        compiled.append(descent.jit_compile)
        descent.run(steps)

    run = lambda jit: make(
        OneByOne(MATRIX, CENTER, "float64"), optima, Grid(1, 3), keras.optimizers.Adam(0.1), 15,
        jit_compile=jit, follow=follow,
    )  # fmt: skip
    np.testing.assert_allclose(run(True).vertices, run(False).vertices, rtol=1e-6)
    assert compiled == ([True, True, False, False] if way == "connector" else [True, False])


@pytest.mark.parametrize("way", ["connector", "joint"])
def test_an_interrupted_descent_of_all_points_continues_bit_for_bit(way):
    optima, states, momentum = normal(0, 3, D), {}, keras.optimizers.SGD(0.02, momentum=0.9)
    make = {"connector": connector, "joint": lambda *a, **k: joint_connector(*a, seed=0, **k)}[way]
    run = lambda **follow: make(bowl(), optima, Grid(2, 2), momentum, 22, **follow)
    with pytest.raises(Interrupted):
        run(follow=keeping(states, 3))
    assert len(states) == 1
    bits(run(follow=keeping(states, -1)).vertices, run().vertices)


# ---- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: connect.along(q, [1.0, 2.0]), r"vertices must .*received \(2,\)"),
        (lambda q: connect.along(q, [[1.0, 2.0]]), r"vertices must .*received \(1, 2\)"),
        (lambda q: connect.along(q, np.ones((2, 2)), points=0), "points must .* 1; received 0"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 3], 1, CG, 3), "segments must .* 2.*received 1"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 2], 3, CG, 3), "general position.*optimum 1"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 2, 3], 3, CG, 3), r"received shape \(3,\)"),
        (lambda q: connect.tunnel(q, [1, 2], [1, np.nan], 3, CG, 3), "must be finite; received NaN"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build(wedges.Quadratic([1.0, 2.0]))


A, B, C = normal(0, 3, D)
FLAT = Connector([A, B], Grid(1, 3))
GRID = Grid(1, 2)
joint = joint_connector


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: connector(q, [A], GRID, CG, 3), r"at least two points.*received shape \(1, 5\)"),
        (lambda q: connector(q, [], GRID, CG, 3), r"at least two points.*received shape \(0,\)"),
        (lambda q: connector(q, A, GRID, CG, 3), r"optima must all be points .*\(5,\); received \(\)"),
        (lambda q: connector(q, [A, A], GRID, CG, 3), "general position; received 2 of which optimum 1"),
        (lambda q: connector(q, [A, B, A], Grid(2, 2), CG, 3), "3 of which optimum 2 .*repeats"),
        (lambda q: connector(q, [A, B, 2 * B - A], Grid(2, 2), CG, 3), "received 3 of which optimum 2 "),
        (lambda q: connector(q, np.eye(6)[:, :5], Grid(5, 1), CG, 3), "at most D = 5 .*received 6"),
        (lambda q: connector(q, [A, B[:3]], GRID, CG, 3), r"shape \(5,\); received \(3,\), \(5,\)"),
        (lambda q: connector(q, [A, np.nan * B], GRID, CG, 3), "optima must be finite; received NaN"),
        (lambda q: connector(q, [A, np.inf * B], GRID, CG, 3), "optima must be finite; .*infinity"),
        (lambda q: connector(q, [A, B], Grid(2, 2), CG, 3), "basis .* 2 optima, m = 1; received m = 2"),
        (lambda q: connector(q, [A, B], GRID, CG, 3, start="hull"), "start must be .*received 'hull'"),
        (lambda q: connector(q, [A, B], GRID, "downhill", 3), "optimizer must .*path 'downhill'"),
        (lambda q: connect.tunnel(q, A, B, 0, CG, 3), "segments must be .* at least 2; received 0"),
        (lambda q: connect.tunnel(q, A, B, 2.5, CG, 3), "whole number.*received 2.5"),
        (lambda q: connect.tunnel(q, A, B, 2, CG, 3, start="b"), "start must be .*received 'b'"),
        (lambda q: Connector([A, B, C], GRID), "basis .* 3 optima, m = 2; received m = 1"),
        (lambda q: Connector([A, B[:3]], GRID), r"optima must be .*one space; received \(3,\), \(5,\)"),
        (lambda q: Connector([A, B], GRID, [A, B]), r"inner must .* \(1, 5\).*received \(2, 5\)"),
        (lambda q: FLAT([0.5, 0.6]), r"w must be barycentric .*received \[0.5 0.6\]"),
        (lambda q: FLAT.flat([1.0, 0, 0]), r"w must have shape \[..., 2\].*received \(3,\)"),
        (lambda q: FLAT.evaluate(q, [[2.0, -1.0]]), "w must be barycentric .*rows from -1 to 2"),
        (lambda q: joint(q, [A], GRID, CG, 3, seed=0), r"at least two points.*received shape \(1, 5\)"),
        (lambda q: joint(q, [A, B], Grid(1, 1), CG, 3, seed=0), "a point besides .*received none"),
        (lambda q: joint(q, [A, B], Grid(2, 2), CG, 3, seed=0), "m = 1; received m = 2"),
        (lambda q: joint(q, [A, B], GRID, CG, 3, seed=0, samples=0), "samples .* 1; received 0"),
        (
            lambda q: joint(q, [A, C], Grid(1, 3), CG, 3, seed=0, start=FLAT),
            "start must be a Connector of the same optima; received one of others",
        ),
        (
            lambda q: joint(q, [A, B], GRID, CG, 3, seed=0, start=FLAT),
            r"start .* the same basis; received Connector\(2 optima, Grid, 2 points",
        ),
        (
            lambda q: joint(q, [A, B], Bernstein(1, 3), CG, 3, seed=0, start=FLAT),
            "start must be a Connector of the same basis; received",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_connected_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build(bowl())


def test_optima_of_two_models_are_refused(images):
    landscape, other = network(images), wedges.WeightSpace(shared())
    optima = [landscape.space.read(), other.read()]
    words = r"shape \(411,\); received \(205,\), \(411,\). Optima of different models"
    for make in (connector, lambda *args: joint(*args, seed=0)):
        with pytest.raises(ValueError, match=words):
            make(landscape, optima, GRID, CG, 3)
