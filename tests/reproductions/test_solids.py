"""Solid things in three dimensions, and Figure 1, which is drawn of them."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

import wedges
from reproductions import fig1_wedges
from reproductions.bench import options
from reproductions.common import pictures, solids


def preset(**changes):
    return fig1_wedges.Config(**{**options.preset(fig1_wedges.Config, "smoke"), **changes})


def flat_sheet(x):
    """A square across the first axis at x, in small triangles."""
    side = np.linspace(-1, 1, 11)
    y, z = np.meshgrid(side, side, indexing="ij")
    vertices = np.stack([np.full_like(y, x), y, z], axis=-1).reshape(-1, 3)
    i = np.arange(100) // 10 * 11 + np.arange(100) % 10
    faces = np.concatenate([np.stack([i, i + 1, i + 12], 1), np.stack([i, i + 12, i + 11], 1)])
    return solids.Solid("sheet", "#0000ff", vertices, faces)


def test_a_tubes_surface_is_its_radius_from_the_way():
    way = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 0, 3.0], [2, 0, 3.0]])  # one point twice
    vertices = solids.tube("tube", "red", way, 0.25).vertices
    t = np.clip(vertices[:, 0], 0, 2), np.clip(vertices[:, 2], 0, 3)
    zero = np.zeros(len(vertices))
    first = np.linalg.norm(vertices - np.stack([t[0], zero, zero], axis=1), axis=1)
    second = np.linalg.norm(vertices - np.stack([zero + 2, zero, t[1]], axis=1), axis=1)
    nearest = np.minimum(first, second)
    clear = (vertices[:, 0] < 1.7) | (vertices[:, 2] > 0.3)  # of where one piece is inside the other
    np.testing.assert_allclose(nearest[clear], 0.25)
    assert nearest.max() == pytest.approx(0.25)
    # Around the corner the tube is round: it goes beyond both straight pieces.
    assert vertices[:, 0].max() > 2.24 and vertices[:, 2].min() == pytest.approx(-0.25)


def test_a_ball_is_closed_and_has_a_balls_volume():
    ball = solids.ball("ball", "red", (1, 2, 3), 0.5)
    np.testing.assert_allclose(np.linalg.norm(ball.vertices - (1, 2, 3), axis=1), 0.5)
    a, b, c = np.moveaxis(ball.corners - (1, 2, 3), 1, 0)
    volume = abs(np.sum(a * np.cross(b, c)) / 6)
    assert 0.9 * 4 / 3 * np.pi / 8 < volume < 4 / 3 * np.pi / 8  # from inside


def test_a_part_has_the_chosen_triangles_and_no_other_vertices():
    sheet = flat_sheet(0.0)
    lit = solids.Solid("sheet", "", sheet.vertices, sheet.faces, np.linspace(0, 1, 200))
    chosen = np.arange(200) % 7 == 0
    part = lit.part("some", "#00ff00", chosen)
    np.testing.assert_array_equal(part.corners, lit.corners[chosen])
    np.testing.assert_array_equal(part.light, lit.light[chosen])
    assert len(part.vertices) == len(np.unique(lit.faces[chosen]))


@pytest.mark.parametrize(("turn", "seen"), [(0, False), (180, True)])
def test_a_sheet_hides_what_is_behind_it(turn, seen):
    figure, axes = pictures.mosaic(("a",), title="", size=(2, 2), solid="a")
    things = [solids.ball("ball", "#ff0000", (-0.5, 0, 0), 0.2), flat_sheet(0.5)]
    solids.draw(axes["a"], things, 1, elevation=10, turn=turn)  # the eye is at x > 0, or at x < 0
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    file.seek(0)
    red, _, blue = np.moveaxis(imread(file)[..., :3], -1, 0)
    assert np.any((red > 0.5) & (blue < 0.2)) == seen and np.any((blue > 0.5) & (red < 0.2))


def test_the_best_view_is_one_from_which_nothing_is_hidden():
    points = np.random.default_rng(0).normal(size=(20, 3))
    behind = lambda points, eye: np.full(len(points), eye[1] > -0.8)
    elevation, turn = solids.best_view(behind, points)
    up, turn = np.radians([elevation, turn])
    assert np.cos(up) * np.sin(turn) <= -0.8


# ---- Figure 1 ---------------------------------------------------------------------------------------


def low_set(landscape, steps=41):
    axis = np.linspace(-1.5, 1.5, steps, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return {"axis": axis, "grid": landscape(points.reshape(-1, 3)).numpy().reshape(3 * (steps,))}


@pytest.mark.parametrize("n", [1, 2])
def test_figure_1_finds_the_wedges_in_the_set_that_is_drawn(n):
    landscape = wedges.RandomWedges(3, n, 3, seed=4)
    config = preset(variant="finite", k=3, n=n)
    found = fig1_wedges.wedges_of(low_set(landscape), config)
    normals = landscape.normals.numpy()  # [K, s, 3]
    true = normals[:, 0] if n == 2 else np.cross(normals[:, 0], normals[:, 1])
    alike = np.abs(found @ true.T)  # each of the found is another one of the true
    assert sorted(alike.argmax(axis=1)) == [0, 1, 2]
    np.testing.assert_allclose(alike.max(axis=1), 1, atol=2e-3)
    # So the distance to the nearest is the loss itself.
    points = np.random.default_rng(1).uniform(-1, 1, (50, 3)).astype("float32")
    nearest = fig1_wedges.distances(points, found, n).min(axis=1)
    np.testing.assert_allclose(nearest, landscape(points), atol=0.06)


def test_figure_1_sees_what_is_hidden_by_the_set():
    axis = np.linspace(-1.5, 1.5, 31)
    _, _, z = np.meshgrid(axis, axis, axis, indexing="ij")
    plane = {"axis": axis, "grid": np.abs(z)}  # the set is flat, at z = 0
    points = np.array([[0, 0, -1.0], [0, 0, 1.0], [0, 0, 0.0]])
    hidden = fig1_wedges._hidden(plane, 0.1, points, np.array([0, 0, 1.0]))
    assert hidden.tolist() == [True, False, False]  # a point of the set does not hide itself
    assert not fig1_wedges._hidden(plane, 0.1, points[:2], np.array([1.0, 0, 0])).any()


def test_figure_1s_title_says_what_its_claims_say():
    arrays = {"line loss": np.array([0, 0.6, 0]), "path loss": np.array([0, 0.01, 0])}
    title = fig1_wedges._finding(arrays, preset())
    assert title == "The straight line between two optima leaves the wedges; a path along them stays low"
    for name, losses in (("line loss", [0, 0.05, 0]), ("path loss", [0, 0.3, 0])):
        other = fig1_wedges._finding(arrays | {name: np.array(losses)}, preset())
        assert other == "Wedges in three dimensions, and two ways between two optima"
