"""Low-loss paths: on quadratics in closed form, on the toy landscapes between their wedges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from tests.conftest import SPARSE, batch_norm, plain, shared
from wedges import connect, simplex
from wedges.connect import Connector, connector, joint
from wedges.simplex import Bernstein, Grid, Scattered

CG = wedges.ConjugateGradients()
RNG = np.random.default_rng(0)
D = 5
MATRIX = (lambda m: m @ m.T)(RNG.standard_normal((D, D)))
CENTER = RNG.standard_normal(D)


def loss(points):
    offset = np.asarray(points) - CENTER
    return 0.5 * np.einsum("...i,ij,...j->...", offset, MATRIX, offset)


def bowl():
    return wedges.Quadratic(MATRIX, CENTER, "float64")


# ---- along ------------------------------------------------------------------------------------------


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


# ---- tunnel -----------------------------------------------------------------------------------------


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


# ---- Connector --------------------------------------------------------------------------------------


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def bits(a, b):
    """Equal in dtype, shape and every bit."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


def test_a_connector_blends_its_points_as_by_hand():
    optima, inner = normal(0, 3, D), normal(1, 3, D)
    surface = Connector(optima, Grid(2, 2), inner)
    a, b, c, ab, ac, bc = surface.vertices
    bits(surface.vertices, np.concatenate([optima, inner]))
    bits(surface(np.eye(3)), optima)
    np.testing.assert_allclose(surface([0.6, 0.3, 0.1]), 0.2 * a + 0.6 * ab + 0.2 * ac)
    found = surface([[[1 / 3] * 3, [0.0, 0.25, 0.75]]])
    assert found.shape == (1, 2, D)
    np.testing.assert_allclose(found, [[(ab + ac + bc) / 3, (bc + c) / 2]])
    np.testing.assert_allclose(surface.flat([0.6, 0.3, 0.1]), 0.6 * a + 0.3 * b + 0.1 * c)
    middles = [(a + b) / 2, (a + c) / 2, (b + c) / 2]
    np.testing.assert_allclose(surface.deviations, inner - middles, atol=1e-15)
    assert repr(surface) == "Connector(3 optima, Grid, 3 points between)"


@pytest.mark.parametrize(
    "basis", [Grid(2, 3), Bernstein(2, 2), Scattered([[0.2, 0.2, 0.6], [0.5, 0.5, 0.0]])]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_points_of_its_own_a_connector_is_flat(basis, dtype):
    optima, w = normal(0, 3, D).astype(dtype), simplex.dirichlet(2, 20, seed=0)
    surface = Connector(optima, basis)
    assert surface.vertices.dtype == surface(w).dtype == surface.flat(w).dtype == dtype
    near = {"atol": {"float32": 1e-6, "float64": 1e-12}[dtype]}
    np.testing.assert_allclose(surface(w), w @ optima, **near)
    np.testing.assert_allclose(surface.flat(w), w @ optima, **near)
    np.testing.assert_allclose(surface.deviations, 0, **near)
    bits(surface(np.eye(3)), optima)


def test_whole_numbers_become_float32():
    surface = Connector([[0, 0, 1], [3, 1, 1]], Grid(1, 2))
    assert surface.vertices.dtype == np.float32
    np.testing.assert_array_equal(surface.path, [[0, 0, 1], [1.5, 0.5, 1], [3, 1, 1]])


@pytest.mark.parametrize("basis", [Grid(1, 3), Bernstein(1, 3), Scattered([[1 / 3, 2 / 3], [0.9, 0.1]])])
def test_a_path_is_its_points_from_the_first_optimum_to_the_second(basis):
    optima, inner = normal(0, 2, D), normal(1, 2, D)
    path = Connector(optima, basis, inner).path
    order = inner[::-1] if isinstance(basis, Scattered) else inner
    np.testing.assert_array_equal(path, [optima[0], *order, optima[1]])
    with pytest.raises(ValueError, match="only a connector of 2 optima is a path; this one has 3"):
        Connector(normal(0, 3, D), Grid(2, 2)).path  # noqa: B018


def test_the_readings_of_a_quadratic_are_its_losses():
    surface, w = Connector(normal(0, 3, D), Grid(2, 2), normal(1, 3, D)), simplex.grid(2, 4)
    found = surface.evaluate(bowl(), w)
    assert found.accuracy is None
    np.testing.assert_allclose(found.loss, loss(surface(w)))
    np.testing.assert_allclose(surface.evaluate(bowl(), w[4]).loss, [loss(surface(w[4]))])


def network(images, build=plain, **settings):
    return wedges.NetworkLandscape(
        build(), *images, SPARSE, seed=0, batch_size=16, evaluation_batch_size=53, **settings
    )


def optima_of(landscape, count, spread=0.3):
    start = landscape.space.read().numpy()
    return start + spread * normal(7, count, landscape.dimension).astype(np.float32)


def test_the_readings_of_a_network_are_its_losses_and_accuracies(images):
    landscape = network(images)
    surface = Connector(optima_of(landscape, 2), Grid(1, 2))
    w = simplex.grid(1, 4)
    found = surface.evaluate(landscape, w)
    for i, theta in enumerate(surface(w)):
        expected = landscape.evaluate(theta)
        assert (found.loss[i], found.accuracy[i]) == (expected.loss, expected.accuracy)
    assert len(set(found.loss)) == 5
    x, _ = images
    regression = wedges.NetworkLandscape(plain(), x, np.ones((53, 3), np.float32), "mse", seed=0)
    assert surface.evaluate(regression, w[:1]).accuracy is None


# ---- to a file and back -----------------------------------------------------------------------------

BASES = {
    "Grid": Grid(2, 2),
    "Bernstein": Bernstein(2, 3),
    "Scattered": Scattered(simplex.dirichlet(2, 3, seed=0)),
}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_connector_is_saved_bit_for_bit(kind, dtype, tmp_path):
    basis = BASES[kind]
    inner = normal(1, len(basis.points) - 3, D).astype(dtype)
    surface, w = Connector(normal(0, 3, D).astype(dtype), basis, inner), simplex.dirichlet(2, 4, seed=1)
    surface.save(tmp_path / "surface.npz")
    again = Connector.load(tmp_path / "surface.npz")
    assert type(again.basis).__name__ == kind and again.m == 2
    for name in ("optima", "vertices", "deviations"):
        bits(getattr(again, name), getattr(surface, name))
    bits(again.basis.points, basis.points)
    bits(again(w), surface(w))
    assert [p.name for p in tmp_path.iterdir()] == ["surface.npz"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path, old, new = tmp_path / "surface.npz", *(Connector(normal(s, 2, D), Grid(1, 2)) for s in (0, 1))
    old.save(path)

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(OSError, match="no space left"):
            new.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["surface.npz"]
    bits(Connector.load(path).vertices, old.vertices)
    new.save(path)  # over the old one
    bits(Connector.load(path).vertices, new.vertices)


def test_a_damaged_file_is_refused_or_the_same(tmp_path):
    path, broken = tmp_path / "surface.npz", tmp_path / "broken.npz"
    surface = Connector(normal(0, 2, 3), Scattered([[0.3, 0.7]]))
    surface.save(path)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 97)]
    for at in [*range(0, len(whole) - 100, 3), *range(len(whole) - 100, len(whole))]:
        # Among the flips of the zip's own fields: another version, "encrypted", a place before the file.
        damaged.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    refused = 0
    for data in damaged:
        broken.write_bytes(data)
        try:
            again = Connector.load(broken)
        except ValueError as error:
            assert str(error).startswith(f"{broken} is not a connector's file, or damaged: ")
            refused += 1
        else:
            bits(again.vertices, surface.vertices)
            bits(again.basis.points, surface.basis.points)
    assert refused > 0.5 * len(damaged)


def text(path):
    path.write_text("a table")


def array(path):
    with open(path, "wb") as file:
        np.save(file, np.eye(3))


def pickled(path):
    np.savez(path, optima=np.array([{}], object))


def other_arrays(path):
    np.savez(path, theta=np.eye(3))


def other_basis(path):
    np.savez(path, optima=np.eye(3)[:2], inner=np.zeros((0, 3)), basis='{"kind": "Spline", "m": 1}')


def too_few_points(path):
    config = '{"kind": "Grid", "m": 1, "pieces": 3}'
    np.savez(path, optima=np.eye(3)[:2], inner=np.zeros((1, 3)), basis=config)


@pytest.mark.parametrize(
    "write", [lambda p: p.touch(), text, array, pickled, other_arrays, other_basis, too_few_points]
)
def test_a_file_of_something_else_is_refused(write, tmp_path):
    write(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"x.npz is not a connector's file, or damaged: "):
        Connector.load(tmp_path / "x.npz")


def test_a_file_that_is_not_there_is_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        Connector.load(tmp_path / "x.npz")


# ---- connector --------------------------------------------------------------------------------------


def closed_form(matrix, center, optima, w):
    """The minima of a quadratic in the planes through w optima normal to the hull, [F, D]."""
    origin = w @ optima
    basis = np.linalg.svd(optima[1:] - optima[0])[2][len(optima) - 1 :]  # [D - m, D]
    z = np.linalg.solve(basis @ matrix @ basis.T, basis @ matrix @ (center - origin).T)
    return origin + z.T @ basis


class OneByOne(wedges.Quadratic):
    """A quadratic that is descended from one point at a time, as a network is."""

    many = False

    def sample(self, theta, step):
        assert len(theta.shape) == 1
        return self(theta)


def recorded(calls):
    """A `follow` that keeps (name, steps, where the descent began) of each call."""

    def follow(descent, steps, name):
        calls.append((name, steps, descent.theta.numpy()))
        return descent.run(steps)

    return follow


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


@pytest.mark.parametrize("way", ["connector", "joint"])
def test_compiled_with_xla_the_points_are_the_same(way):
    optima, compiled = normal(0, 2, D), []
    make = {"connector": connector, "joint": lambda *a, **k: joint(*a, seed=0, **k)}[way]

    def follow(descent, steps, name):
        compiled.append(descent._static)
        descent.run(steps)

    run = lambda jit: make(
        OneByOne(MATRIX, CENTER, "float64"), optima, Grid(1, 3), keras.optimizers.Adam(0.1), 15,
        jit_compile=jit, follow=follow,
    )  # fmt: skip
    np.testing.assert_allclose(run(True).vertices, run(False).vertices, rtol=1e-6)
    assert compiled == ([True, True, False, False] if way == "connector" else [True, False])


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


class Interrupted(Exception):
    pass


def keeping(states, budget):
    """A `follow` that takes 4 steps at a time, keeps each state, and has `budget` of them to take."""

    def follow(descent, steps, name):
        nonlocal budget
        if name in states:
            descent.state = states[name]
        while descent.step < steps:
            if budget == 0:
                raise Interrupted
            budget -= 1
            descent.run(min(4, steps - descent.step))
            states[name] = descent.state

    return follow


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


@pytest.mark.parametrize("way", ["connector", "joint"])
def test_an_interrupted_descent_of_all_points_continues_bit_for_bit(way):
    optima, states, momentum = normal(0, 3, D), {}, keras.optimizers.SGD(0.02, momentum=0.9)
    make = {"connector": connector, "joint": lambda *a, **k: joint(*a, seed=0, **k)}[way]
    run = lambda **follow: make(bowl(), optima, Grid(2, 2), momentum, 22, **follow)
    with pytest.raises(Interrupted):
        run(follow=keeping(states, 3))
    assert len(states) == 1
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


# ---- joint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (3,)])
def test_the_expected_loss_is_the_mean_over_its_positions(batch):
    fixed, free = normal(0, *batch, 3, D), normal(1, *batch, 2, D)
    p, weights = normal(2, *batch, 2, D), normal(3, 7, 5)
    expected = connect.Expected(bowl(), fixed, weights)
    assert (expected.dimension, expected.dtype.name, expected.many) == (2 * D, "float64", True)
    points = weights @ np.concatenate([fixed, free], axis=-2)  # [..., 7, D]
    value = loss(points).mean(axis=-1)
    gradient = np.einsum("tf,...ti->...fi", weights[:, 3:], (points - CENTER) @ MATRIX) / 7
    moved = weights[:, 3:] @ p
    curved = np.einsum("...ti,ij,...tj->...", moved, MATRIX, moved) / 7
    theta, p = free.reshape(*batch, -1), p.reshape(*batch, -1)
    gradient = gradient.reshape(*batch, -1)
    np.testing.assert_allclose(expected(theta), value)
    for a, b in zip(expected.value_and_gradient(theta), (value, gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    for a, b in zip(expected.jet(theta, p), (value, np.sum(gradient * p, -1), curved), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    for step in (0, 5, 6, 7, 20):
        np.testing.assert_allclose(expected.sample(theta, step), loss(points)[..., step % 7])


def test_a_step_of_a_network_sees_one_position_and_its_own_minibatch(images):
    landscape = network(images)
    optima, basis = optima_of(landscape, 2), Grid(1, 3)
    inner = optima_of(landscape, 4)[2:]
    w = simplex.dirichlet(1, 5, seed=0)
    expected = connect.Expected(landscape, optima, basis.weights(w))
    surface = Connector(optima, basis, inner)
    assert expected.many is False
    for step in (0, 4, 5, 13):
        found = expected.sample(inner.reshape(-1), step)
        np.testing.assert_allclose(found, landscape.sample(surface(w[step % 5]), step), rtol=1e-5)


def dense_joint(optima, basis, w, kept_normal):
    """The free points [F, D] of the smallest mean loss over positions w, from the normal equations."""
    m, weights = len(optima) - 1, basis.weights(w)
    fixed, free = weights[:, : m + 1], weights[:, m + 1 :]
    if not kept_normal:  # any matrix has one and the same answer
        return np.linalg.lstsq(free, CENTER - fixed @ optima, rcond=None)[0]
    flat = basis.points[m + 1 :] @ optima
    across = np.linalg.svd(optima[1:] - optima[0])[2][m:]  # [D - m, D]
    offset = fixed @ optima + free @ flat - CENTER  # [T, D]
    left = np.kron(free.T @ free, across @ MATRIX @ across.T)
    z = np.linalg.solve(left, -(free.T @ offset @ MATRIX @ across.T).ravel())
    return flat + z.reshape(len(flat), -1) @ across


@pytest.mark.parametrize("kept_normal", [True, False])
@pytest.mark.parametrize("basis", [Grid(1, 3), Bernstein(1, 2), Grid(2, 2)])
def test_all_points_jointly_are_the_closed_form(basis, kept_normal):
    m = basis.m
    optima, calls = normal([m, 1], m + 1, D), []
    surface = joint(
        bowl(), optima, basis, CG, 100, seed=5, normal=kept_normal, samples=40, follow=recorded(calls)
    )
    expected = dense_joint(optima, basis, simplex.dirichlet(m, 40, seed=5), kept_normal)
    np.testing.assert_allclose(surface.vertices[m + 1 :], expected, atol=1e-6)
    bits(surface.vertices[: m + 1], optima)
    across = surface.deviations @ (optima[1:] - optima[0]).T
    assert np.abs(across).max() < 1e-12 if kept_normal else np.abs(across).max() > 0.1
    assert [c[:2] for c in calls] == [(f"{len(expected)} points jointly", 100)]


@pytest.mark.parametrize("steps", [10, 80])
def test_by_default_there_is_a_position_for_each_step_and_at_least_64(steps):
    optima, basis = normal([1, 1], 2, D), Bernstein(1, 2)
    surface = joint(bowl(), optima, basis, CG, steps, seed=3)
    expected = dense_joint(optima, basis, simplex.dirichlet(1, max(64, steps), seed=3), True)
    np.testing.assert_allclose(surface.vertices[2:], expected, atol=1e-7)


def test_joint_goes_on_from_another_connector():
    optima, basis, calls = normal(0, 2, D), Grid(1, 3), []
    run = lambda steps, **more: joint(bowl(), optima, basis, CG, steps, seed=0, samples=30, **more)
    first = run(2)
    second = run(1, start=first, follow=recorded(calls))
    np.testing.assert_allclose(calls[0][2], first.vertices[2:].ravel(), atol=1e-13)
    bits(second.basis.points, basis.points)
    expected = dense_joint(optima, basis, simplex.dirichlet(1, 30, seed=0), True)
    far = lambda surface: np.linalg.norm(surface.vertices[2:] - expected)
    assert far(run(60, start=first)) < 1e-6 < far(first)
    # One that left the normal planes comes back to them.
    free = run(20, normal=False)
    back = run(0, start=free)
    assert np.abs(free.deviations @ (optima[1] - optima[0])).max() > 0.1
    assert np.abs(back.deviations @ (optima[1] - optima[0])).max() < 1e-12


def test_joint_lowers_the_mean_loss_of_a_network(images):
    landscape = network(images)
    optima, w = optima_of(landscape, 2), simplex.dirichlet(1, 8, seed=100)
    before = Connector(optima, Bernstein(1, 2)).evaluate(landscape, w).loss.mean()
    adam = keras.optimizers.Adam(0.02)
    surface = joint(landscape, optima, Bernstein(1, 2), adam, 30, seed=0)
    assert surface.evaluate(landscape, w).loss.mean() < 0.7 * before
    unit = (optima[1] - optima[0]) / np.linalg.norm(optima[1] - optima[0])
    assert np.abs(surface.deviations @ unit).max() < 2e-6


# ---- stars ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_star_is_the_mean_loss_of_its_rays(batch):
    ends, center, p = (
        RNG.standard_normal((*batch, 4, D)),
        RNG.standard_normal((*batch, D)),
        RNG.standard_normal((*batch, D)),
    )
    star = connect.Expected(bowl(), ends, connect._rays(4, 3, 0.6))
    u = np.array([0.2, 0.4, 0.6])[:, None]
    points = (1 - u) * ends[..., None, :] + u * center[..., None, None, :]  # [..., E, T, D]
    value = loss(points).mean(axis=(-1, -2))
    gradient = (u * ((points - CENTER) @ MATRIX)).mean(axis=(-2, -3))
    curved = np.mean(u**2) * np.einsum("...i,ij,...j->...", p, MATRIX, p)
    np.testing.assert_allclose(star(center), value)
    for a, b in zip(star.value_and_gradient(center), (value, gradient), strict=True):
        np.testing.assert_allclose(a, b)
    for a, b in zip(star.jet(center, p), (value, np.sum(gradient * p, -1), curved), strict=True):
        np.testing.assert_allclose(a, b)
    np.testing.assert_allclose(star.curvature(center, p), curved)


def test_the_center_of_a_star_on_a_quadratic_is_the_closed_form():
    ends, u = RNG.standard_normal((2, 3, D)), np.arange(1, 6) / 5
    # The mean over u and ends of u A ((1 - u) e + u x - c) is 0.
    share = np.mean(u * (1 - u)) / np.mean(u**2)
    expected = CENTER * np.mean(u) / np.mean(u**2) - share * ends.mean(axis=1)
    found = connect.connect(bowl(), ends, CG, 30, points=5)
    np.testing.assert_allclose(found.theta, expected, atol=1e-9)
    assert found.losses.shape == (30, 2)


# ---- connect ----------------------------------------------------------------------------------------


def ends_of(landscape, seed, count=2, gap=0.0):
    """Points [count, D] on different wedges, the normals of each one's wedge [count, s, D].

    Their other components are at least `gap`.
    """
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, landscape.dimension))
    points += gap * np.sign(points)
    if isinstance(landscape, wedges.RandomWedges):
        normals = landscape.normals.numpy()[:count]
    else:
        places = [rng.permutation(landscape.dimension)[: landscape.s] for _ in range(count)]
        normals = np.eye(landscape.dimension)[np.array(places)]
    return np.stack([p - n.T @ (n @ p) for p, n in zip(points, normals, strict=True)]), normals


TOYS = {
    "two random wedges": lambda: wedges.RandomWedges(60, 50, 2, seed=0, dtype="float64"),
    "all axis-aligned": lambda: wedges.AxisWedges(60, 50, "float64"),
}


def check_path(landscape, ends, corner):
    """The whole path is low, by way of a corner that is not the origin, on all wedges."""
    assert np.all(landscape(ends) < 1e-12)
    for a in ends[1:]:
        line = connect.along(landscape, [ends[0], a], 200)[1]
        barrier = wedges.barrier(line)
        assert barrier > 0.1
        path = connect.along(landscape, tf.stack([ends[0], corner, a]), 200)[1]
        assert path.max() <= 0.05 * barrier
    assert np.linalg.norm(corner) > 1


def corner_of(landscape, ends):
    return connect.connect(wedges.Squared(landscape), ends, CG, 300, tolerance=1e-7).theta.numpy()


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_corner_joins_two_wedges_by_a_path_that_is_low_all_along(name, seed):
    landscape = TOYS[name]()
    ends, _ = ends_of(landscape, seed)
    corner = corner_of(landscape, ends)
    check_path(landscape, ends, corner)
    # It lies on wedges of both kinds: s = 10, and 20 where they share no direction.
    assert 17 <= len(landscape.short_directions(corner, 1e-3)) <= 20


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_corner_is_where_the_wedges_of_the_two_ends_cross(name, seed):
    # An axis-aligned end with a component near 0 is as good as on other wedges, too.
    landscape = TOYS[name]()
    ends, normals = ends_of(landscape, seed, gap=0.25 * (name == "all axis-aligned"))
    corner = corner_of(landscape, ends)
    assert np.abs(normals @ corner).max() < 1e-4
    rank = np.linalg.matrix_rank(normals.reshape(-1, 60))
    assert len(landscape.short_directions(corner, 1e-3)) == rank >= 18


def test_a_star_joins_more_ends():
    landscape = wedges.RandomWedges(60, 50, 3, seed=0, dtype="float64")
    ends, normals = ends_of(landscape, 0, count=3)
    corner = corner_of(landscape, ends)
    check_path(landscape, ends, corner)
    assert np.abs(normals @ corner).max() < 1e-4


def test_many_pairs_at_once_are_as_each_alone():
    landscape = TOYS["two random wedges"]()
    pairs = np.stack([ends_of(landscape, seed)[0] for seed in range(3)])  # [R, E, D]
    together = connect.connect(wedges.Squared(landscape), pairs, CG, 100).theta
    assert together.shape == (3, 60)
    for i, ends in enumerate(pairs):
        check_path(landscape, ends, together[i].numpy())
        alone = connect.connect(wedges.Squared(landscape), ends, CG, 100).theta
        np.testing.assert_allclose(together[i], alone, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: connect.along(q, [1.0, 2.0]), r"vertices must .*received \(2,\)"),
        (lambda q: connect.along(q, [[1.0, 2.0]]), r"vertices must .*received \(1, 2\)"),
        (lambda q: connect.along(q, np.ones((2, 2)), points=0), "points must .* 1 .*received 0"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 3], 1, CG, 3), "segments must .* 2.*received 1"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 2], 3, CG, 3), "general position.*number 1"),
        (lambda q: connect.tunnel(q, [1, 2], [1, 2, 3], 3, CG, 3), r"received shape \(3,\)"),
        (lambda q: connect.tunnel(q, [1, 2], [1, np.nan], 3, CG, 3), "must be finite; received NaN"),
        (lambda q: connect.Expected(q, [1, 2], [[1.0]]), r"fixed must have .*received \(2,\)"),
        (lambda q: connect.connect(q, [[1, 2]], CG, 3, points=0), "points must .* 1 .*received 0"),
        (lambda q: connect.connect(q, [[1, 2]], CG, 3, reach=[0]), "reach must be above 0 .*received 0"),
        (lambda q: connect.connect(q, [[1, 2]], CG, 3, reach=[1.1]), "at most 1; received 1.1"),
        (lambda q: connect.connect(q, [[1, 2]], CG, 3, reach=[np.nan]), "reach must .*received nan"),
        (lambda q: connect.connect(q, [1, 2], CG, 3), r"ends must have .*received \(2,\)"),
        (lambda q: connect.connect(q, [[1, 2], [2, 1]], CG, 3, reach=()), "reach .*received none"),
        (lambda q: connect.connect(q, [[1, 2], [np.nan, 1]], CG, 3), "must be finite; received NaN"),
        (lambda q: connect.connect(q, [[1, 2], [2, 1]], "adam", 3), "optimizer must .*received str"),
    ],
)  # fmt: skip
def test_bad_input_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build(wedges.Quadratic([1.0, 2.0]))


A, B, C = normal(0, 3, D)
FLAT = Connector([A, B], Grid(1, 3))
GRID = Grid(1, 2)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: connector(q, [A], GRID, CG, 3), r"at least two points.*received shape \(1, 5\)"),
        (lambda q: connector(q, [], GRID, CG, 3), r"at least two points.*received shape \(0,\)"),
        (lambda q: connector(q, A, GRID, CG, 3), r"optima must all be points .*\(5,\); received \(\)"),
        (lambda q: connector(q, [A, A], GRID, CG, 3), "general position; received 2 of which number 1 "),
        (lambda q: connector(q, [A, B, A], Grid(2, 2), CG, 3), "received 3 of which number 2 .*another"),
        (lambda q: connector(q, [A, B, 2 * B - A], Grid(2, 2), CG, 3), "received 3 of which number 2 "),
        (lambda q: connector(q, np.eye(6)[:, :5], Grid(5, 1), CG, 3), "at most D = 5 .*received 6"),
        (lambda q: connector(q, [A, B[:3]], GRID, CG, 3), r"shape \(5,\); received \(3,\), \(5,\)"),
        (lambda q: connector(q, [A, np.nan * B], GRID, CG, 3), "optima must be finite; received NaN"),
        (lambda q: connector(q, [A, np.inf * B], GRID, CG, 3), "optima must be finite; .*infinity"),
        (lambda q: connector(q, [A, B], Grid(2, 2), CG, 3), "basis .* 2 optima, m = 1; received m = 2"),
        (lambda q: connector(q, [A, B], GRID, CG, 3, start="hull"), "start must be .*received 'hull'"),
        (lambda q: connector(q, [A, B], GRID, "adam", 3), "optimizer must .*received str"),
        (lambda q: connect.tunnel(q, A, B, 0, CG, 3), "segments must be at least 2.*received 0"),
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
