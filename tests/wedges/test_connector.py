"""A surface among optima: how it blends its points, and its file."""

import numpy as np
import pytest

import wedges
from tests.conftest import plain
from tests.wedges.bowls import D, bits, bowl, loss, network, normal, optima_of
from wedges import archive, simplex
from wedges.connect import Connector, refined
from wedges.simplex import Bernstein, Grid, Scattered


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


# ---- with other control points ----------------------------------------------------------------------


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize(("m", "pieces"), [(1, 2), (1, 3), (2, 2), (3, 2)])
def test_on_a_grid_of_a_multiple_of_its_pieces_it_is_the_same_surface(m, pieces, times):
    coarse = Grid(m, pieces)
    surface = Connector(normal(0, m + 1, D), coarse, normal(1, len(coarse.points) - m - 1, D))
    fine = Grid(m, pieces * times)
    found, w = refined(surface, fine), simplex.dirichlet(m, 50, seed=2)
    assert found.basis is fine
    bits(found.optima, surface.optima)
    np.testing.assert_allclose(found(w), surface(w), atol=1e-12)
    # By hand: a middle of two neighbours is their mean.
    if (m, pieces, times) == (1, 2, 2):
        a, b, middle = surface.vertices
        np.testing.assert_allclose(found.path, [a, (a + middle) / 2, middle, (middle + b) / 2, b])


def test_on_a_grid_that_cannot_blend_as_it_does_it_agrees_at_the_points_alone():
    curve = Connector(normal(0, 2, D), Bernstein(1, 2), normal(1, 1, D))
    a, b, c = curve.vertices
    polygon = refined(curve, Grid(1, 4))
    t = np.arange(5)[:, None] / 4
    bezier = (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b
    np.testing.assert_allclose(polygon.path, bezier, atol=1e-14)
    between = polygon([0.375, 0.625])
    np.testing.assert_allclose(between, (bezier[2] + bezier[3]) / 2, atol=1e-14)
    assert np.abs(between - curve([0.375, 0.625])).max() > 1e-3


# ---- to a file and back ---------------------------------------------------------------------------


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

    def full(file, array, **_):
        file.write(b"half of it")
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np.lib.format, "write_array", full)
        with pytest.raises(OSError, match="no space left"):
            new.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["surface.npz"]
    bits(Connector.load(path).vertices, old.vertices)
    new.save(path)  # over the old one
    bits(Connector.load(path).vertices, new.vertices)


def test_a_damaged_file_is_refused(tmp_path):
    path, broken = tmp_path / "surface.npz", tmp_path / "broken.npz"
    surface = Connector(normal(0, 2, 3), Scattered([[0.3, 0.7]]))
    surface.save(path)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 97)]
    for at in [*range(0, len(whole) - 100, 3), *range(len(whole) - 100, len(whole))]:
        # Among the flips of the zip's own fields: another version, "encrypted", a place before the file.
        damaged.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for data in damaged:
        broken.write_bytes(data)
        with pytest.raises(ValueError, match="is not a connector's file, or damaged: ") as error:
            Connector.load(broken)
        assert str(error.value).startswith(str(broken)) and len(str(error.value).splitlines()) == 1


def text(path):
    path.write_text("a table")


def array(path):
    with open(path, "wb") as file:
        np.save(file, np.eye(3))


def pickled(path):
    np.savez(path, optima=np.array([{}], object))


@pytest.mark.parametrize("write", [lambda p: p.touch(), text, array, pickled])
def test_a_file_of_something_else_is_refused(write, tmp_path):
    write(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"x.npz is not a connector's file, or damaged: "):
        Connector.load(tmp_path / "x.npz")


GRID = '{"kind": "Grid", "m": 1, "pieces": %s}'
HULL = {"optima": np.eye(3)[:2], "inner": np.zeros((1, 3)), "basis": np.array(GRID % 2)}


def test_a_whole_file_of_these_is_a_connector(tmp_path):
    archive.write(tmp_path / "x.npz", HULL, text=["basis"])
    assert len(Connector.load(tmp_path / "x.npz").vertices) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"basis": GRID % 3}, "with 3 control points; the one described is among 2, with 4"),
        ({"basis": GRID % 10**9}, "the one described is among 2, with 1000000001"),
        ({"basis": '{"kind": "Grid", "m": 1000000000, "pieces": 1000000000}'}, "more than 10.12"),
        ({"basis": '{"kind": "Bernstein", "m": 1, "degree": 999999}'}, "among 2, with 1000000"),
        ({"basis": GRID % ("9" * 400)}, "has a number of 400 digits"),
        ({"basis": GRID % '"2"'}, "pieces must be a whole number"),
        ({"basis": '{"kind": "Spline", "m": 1}'}, "no basis of Grid, Scattered, Bernstein"),
        ({"basis": "[" * 10**5}, "is not JSON"),
        ({"basis": "[]"}, "holds a list, not an object"),
        ({"basis": '{"kind": "Scattered"}'}, "no basis"),
        ({"basis": '{"kind": "Scattered"}', "basis/points": np.array([[2.0, -1.0]])}, "barycentric"),
        ({"basis/points": np.eye(2)}, "no basis"),
        ({"more": np.eye(2)}, "no basis"),
        ({"optima": np.eye(3)[:2].astype(int)}, "must be rows of floats of one dtype"),
        ({"optima": np.eye(3)[:2] * 1j, "inner": np.zeros((1, 3)) * 1j}, "must be rows of floats"),
        ({"inner": np.zeros((1, 3), np.float32)}, "must be rows of floats of one dtype"),
        ({"inner": np.zeros(3)}, "must be rows of floats"),
        ({"inner": np.zeros((1, 4))}, r"inner must have shape \(1, 3\)"),
        ({"inner": None}, "must be rows of floats"),
        ({"optima": np.full((2, 3), np.nan)}, "optima must be finite"),
        ({"optima": np.ones((2, 3))}, "general position"),
        ({"optima": np.zeros((0, 3))}, "basis must be one among 0 optima"),
        ({"optima": np.zeros((2, 0)), "inner": np.zeros((1, 0))}, "at most D = 0 points"),
    ],
)
def test_a_whole_file_of_what_is_no_connector_is_refused_at_once(change, words, tmp_path):
    held = {name: a for name, a in (HULL | change).items() if a is not None}
    archive.write(tmp_path / "x.npz", held, text=["basis"])
    with pytest.raises(
        ValueError, match=rf"x.npz is not a connector's file, or damaged: .*{words}"
    ) as e:
        Connector.load(tmp_path / "x.npz")
    assert len(str(e.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        Connector.load(tmp_path / "x.npz")
