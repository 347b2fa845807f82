"""Surfaces, paths on planes, trajectories and spectra: drawn where the numbers say."""

import io
import sys

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

import wedges
from wedges import plots
from wedges.plots import inputs, planes, solid, spectra

SIDE = np.linspace(-2, 2, 9)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Pictures of fewer points, which are drawn in less time."""
    monkeypatch.setattr(solid, "_FINE", 33)
    monkeypatch.setattr(planes, "_FINE", 41)


class Flat:
    """The plane of the first two coordinates of R^3, through (0, 0, height)."""

    def __init__(self, height=0.0):
        self.height = height

    def coordinates(self, theta):
        return np.asarray(theta)[..., :2]

    def distance(self, theta):
        return np.abs(np.asarray(theta)[..., 2] - self.height)


def bowl(x=SIDE, y=SIDE):
    return 0.1 + np.add.outer(2 * np.asarray(y) ** 2, np.asarray(x) ** 2)


def is_a_picture(figure):
    """Drawn whole, and shown in a notebook; no letter is below 8 points."""
    image = Image.open(io.BytesIO(figure._repr_png_()))
    np.testing.assert_allclose(image.size, figure.get_size_inches() * figure.dpi, atol=1)
    texts = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip())
    assert min(text.get_fontsize() for text in texts) >= 8
    return True


# ---- surfaces ---------------------------------------------------------------------------------------


def heights(figure):
    """All heights of the sheet, [faces, corners], masked where a face has fewer."""
    (sheet,) = [c for c in figure.axes[0].collections if hasattr(c, "_faces")]
    faces = np.ma.array(sheet._faces, copy=True)
    faces[np.broadcast_to(np.asarray(sheet._invalid_vertices), faces.shape[:2])] = np.ma.masked
    return faces[..., 2]


def pinned(figure):
    """{name: (x, y, z)} of the points that are marked on the surface."""
    ax = figure.axes[0]
    dots = [
        line.get_data_3d() for line in ax.lines if line.get_markersize() > 5 and line.get_marker() == "o"
    ]
    names = [text.get_text() for text in ax.texts]
    return {n: tuple(float(v[0]) for v in d) for n, d in zip(names, dots, strict=True)}


def test_a_surface_has_the_heights_of_its_values_and_points_stand_on_it():
    tilted = 3 + np.add.outer(2 * SIDE, SIDE)  # rows along y; what is drawn between is exact on a plane
    points = {"A": (0.3, -0.7), "B": np.array([-2, 2])}
    figure = plots.surface(SIDE, SIDE, tilted, points=points, title="Tilted\nin one way")
    assert heights(figure).min() == pytest.approx(-3) and heights(figure).max() == pytest.approx(9)
    found = pinned(figure)
    assert found["A"] == pytest.approx((0.3, -0.7, 3 + 2 * -0.7 + 0.3))
    assert found["B"] == pytest.approx((-2, 2, 5))
    assert is_a_picture(figure) and not figure.axes[0].axison  # no box


def test_a_surface_rises_above_none_of_its_values():
    rough = 10.0 ** np.random.default_rng(0).normal(size=(9, 9))
    found = heights(plots.surface(SIDE, SIDE, rough))
    assert found.min() >= rough.min() and found.max() <= rough.max()
    assert found.max() == pytest.approx(rough.max(), rel=0.05)


def test_a_surface_is_cut_off_where_it_is_told_to_be(monkeypatch):
    monkeypatch.setattr(solid, "_FINE", 121)
    whole, cut = (heights(plots.surface(SIDE, SIDE, bowl(), high=h)) for h in (None, 3.0))
    assert whole.max() == pytest.approx(12.1) and cut.max() == 3.0
    # The rest of the bowl is as large as before: an ellipse of half the square.
    assert len(cut) / len(whole) == pytest.approx(np.pi * 2.9 / np.sqrt(2) / 16, abs=0.06)


@pytest.mark.parametrize("high", [-1.0, 0.0])
def test_surfaces_and_planes_of_energies_below_zero_are_cut_off_too(high):
    energy = bowl() - 5.1  # from -5 to 7
    cut = heights(plots.surface(SIDE, SIDE, energy, high=high))
    assert cut.min() == pytest.approx(-5) and cut.max() == pytest.approx(high, abs=1e-12)
    paths = {"a path": [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]}
    figure = plots.path_on_plane(Flat(), SIDE, SIDE, energy, paths, log=False, high=high)
    scales = [c.norm for c in figure.axes[0].collections if getattr(c, "filled", False)]
    assert [(n.vmin, n.vmax) for n in scales] == [(pytest.approx(-5), high)]


def test_a_surface_that_is_cut_off_does_not_depend_on_what_memory_holds(monkeypatch):
    empty = np.empty
    filled = lambda shape, *args, **kwargs: np.full_like(empty(shape, *args, **kwargs), -1.79e308)
    monkeypatch.setattr(np, "empty", filled)  # matplotlib takes limits from corners that are not there
    assert heights(plots.surface(SIDE, SIDE, bowl(), high=3.0)).min() == pytest.approx(0.1)


def test_heights_may_be_logarithms_and_values_may_be_missing():
    losses = bowl()
    losses[0, 0], losses[4, 4] = np.nan, np.inf
    figure = plots.surface(SIDE, SIDE, losses, log=True, points={"A": (1, 1)})
    assert heights(figure).min() == pytest.approx(np.log10(0.35))
    assert pinned(figure)["A"][2] == pytest.approx(np.log10(3.1))
    assert figure.axes[1].get_yscale() == "log" and is_a_picture(figure)
    holes = plots.surface(SIDE, SIDE, bowl(), log=True)
    assert len(heights(figure)) < len(heights(holes))


def test_surfaces_may_share_their_lowest_height():
    figures = [plots.surface(SIDE, SIDE, bowl() + rise, high=9.0, low=0.05) for rise in (0, 3)]
    low, high = (figure.axes[0].get_zlim() for figure in figures)
    assert low == high
    assert heights(figures[1]).min() == pytest.approx(3.1)
    with pytest.raises(ValueError, match=r"^low must be at most the lowest of values, 0\.1; received 2"):
        plots.surface(SIDE, SIDE, bowl(), low=2)
    with pytest.raises(ValueError, match=r"and above 0 where log is True; received 0\.$"):
        plots.surface(SIDE, SIDE, bowl(), log=True, low=0)


def test_a_matrix_of_numbers_of_one_sign_has_the_map_it_is_given():
    for given, found in (({}, "RdBu_r"), ({"colors": "viridis"}, "viridis")):
        _, ((ax,),) = plots.grid(1, 1, title="")
        plots.matrix(ax, np.eye(3), low=0, high=1, label="share", **given)
        assert ax.images[0].get_cmap().name == found


def test_a_flat_surface_is_drawn():
    assert is_a_picture(plots.surface(SIDE, SIDE, np.full((9, 9), 2.0), log=True))


def test_surfaces_stand_side_by_side_in_a_grid():
    figure, axes = plots.grid(1, 2, title="Two", projection="3d")
    for ax in axes.flat:
        assert plots.surface(SIDE, SIDE, bowl(), ax=ax, title="one", turn=20) is figure
    assert axes[0, 1].azim == 20 and axes[0, 0].get_title() == "one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"values": bowl()[:3]},
            r"values must have shape \[9, 9\], rows along y; received shape \(3, 9\)",
        ),
        ({"x": SIDE[::-1]}, "x must be at least 2 numbers that rise; received shape"),
        ({"y": [1.0]}, r"y must be at least 2 numbers that rise; received \[1.0\]"),
        ({"values": np.full((9, 9), np.nan)}, "values must be finite somewhere; received none that is"),
        ({"values": bowl() - 1, "log": True}, "values must be above 0 where log is True; received -0.9"),
        ({"high": 0.05}, "high must be above the lowest of values, 0.1; received 0.05"),
        ({"high": -1}, "high must be above the lowest of values, 0.1; received -1"),
        ({"high": np.nan}, "high must be a finite number; received nan"),
        ({"points": {"A": (3, 0)}}, r"points\['A'\] must be on the surface; received \(3, 0\)"),
        ({"points": {"A": (3, 0, 1)}}, r"points\['A'\] must be a pair \(x, y\); received shape \(3,\)"),
    ],
)
def test_a_surface_of_other_arrays_is_refused_in_words(change, message):
    given = {"x": SIDE, "y": SIDE, "values": bowl(), **change}
    values = [given.pop(name) for name in ("x", "y", "values")]
    with pytest.raises(ValueError, match=message):
        plots.surface(*values, **given)


def test_flat_axes_are_refused():
    _, ((ax,),) = plots.grid(1, 1, title="flat")
    with pytest.raises(ValueError, match="ax must be in three dimensions: grid"):
        plots.surface(SIDE, SIDE, bowl(), ax=ax)


def test_a_surface_to_turn_by_hand_is_a_page_of_its_own(monkeypatch):
    page = plots.surface_html(
        SIDE, SIDE, bowl(), points={"optimum A": (0, 0)}, title="A bowl", log=True, label="test loss"
    )
    assert "<html>" in page and '"surface"' in page and "A bowl" in page and "optimum A" in page
    assert "test loss %{customdata" in page and 'src="http' not in page
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(
        ImportError, match=r"^a surface to turn by hand needs plotly; pip install 'wed\S+$"
    ):
        plots.surface_html(SIDE, SIDE, bowl())


def test_what_is_drawn_between_grid_points_goes_through_them():
    x, y, found = inputs.fine(SIDE, SIDE[:5], bowl(y=SIDE[:5]), 41)
    assert found.shape == (41, 41) and (x[0], x[-1], y[0], y[-1]) == (-2, 2, -2, 0)
    np.testing.assert_allclose(found[::10, ::5], bowl(y=SIDE[:5]), rtol=1e-12)


# ---- paths on a plane -------------------------------------------------------------------------------

LINE = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def path_lines(figure):
    """{name in the legend: points on the picture [T, 2]}."""
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    return {line.get_label(): np.asarray(line.get_xydata(), float) for line in lines}


def test_paths_are_projected_and_how_far_off_they_are_is_said():
    hill = np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.5], [1.0, 0.0, -0.25]])
    figure = plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), {"line": LINE, "tunnel": hill})
    found = path_lines(figure)
    assert list(found) == ["line", "tunnel (up to 0.5 off the plane)"]
    np.testing.assert_array_equal(found["line"], LINE[:, :2])
    np.testing.assert_array_equal(found["tunnel (up to 0.5 off the plane)"], hill[:, :2])
    styles = [line.get_linestyle() for line in figure.axes[0].lines[:2]]
    assert styles[0] == "-" and styles[1] != "-"
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == list(found) and is_a_picture(figure)


def test_one_path_needs_no_name():
    for bare in (list(LINE), tuple(map(tuple, LINE)), LINE):
        found = path_lines(plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), bare))
        assert list(found) == ["path"]
        np.testing.assert_array_equal(found["path"], LINE[:, :2])


def test_the_ends_are_marked_or_what_is_given():
    texts = lambda figure: {t.get_text(): t.xy for t in figure.axes[0].texts if hasattr(t, "xy")}
    marked = texts(plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), {"line": LINE}))
    assert {name: tuple(at) for name, at in marked.items()} == {"A": (-1, 0), "B": (1, 0)}
    bend = {"bend": [0.0, 1.0, 7.0]}
    marked = texts(plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), {"line": LINE}, bend))
    assert {name: tuple(at) for name, at in marked.items()} == {"bend": (0, 1)}


def test_contours_are_even_in_the_logarithm_and_carry_their_numbers():
    ax = plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), {"line": LINE}, levels=8).axes[0]
    (lines,) = [c for c in ax.collections if getattr(c, "filled", None) is False]
    ratios = np.diff(np.log(lines.levels))
    np.testing.assert_allclose(ratios, np.log(12.1 / 0.1) / 9, rtol=0.15)  # of numbers of two digits
    numbers = [float(t.get_text()) for t in ax.texts if not hasattr(t, "xy")]
    assert set(numbers) <= set(lines.levels) and len(numbers) >= 6
    ax = plots.path_on_plane(Flat(), SIDE, SIDE, bowl(), {"line": LINE}, levels=5, log=False).axes[0]
    (lines,) = [c for c in ax.collections if getattr(c, "filled", None) is False]
    np.testing.assert_allclose(np.diff(lines.levels), 2, atol=0.11)


def test_what_the_library_returns_goes_in_as_it_is():
    landscape = wedges.Quadratic([1.0, 4.0, 9.0])
    ends = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], "float32")
    bend = np.array([[0.0, 2.0, 0.0]], "float32")
    curve = wedges.Connector(ends, wedges.simplex.Bernstein(1, 2), bend)
    plane = wedges.through([ends[0], ends[1], bend[0]])
    x, y = plots.window(plane, curve.path, steps=21)
    losses = wedges.probe.plane(landscape, plane, x, y)
    found = path_lines(plots.path_on_plane(plane, x, y, losses, {"curve": curve, "line": curve.path}))
    # De Casteljau: half-way the Bezier curve is half as far from the line as its control point.
    np.testing.assert_allclose(found["curve"][50], [1, 1], atol=1e-5)
    np.testing.assert_allclose(found["curve"][[0, -1]], [[0, 0], [2, 0]], atol=1e-5)
    assert x[0] < 0 < 2 < x[-1] and y[0] < 0 < 2 < y[-1]


def test_a_window_has_square_cells_and_a_margin():
    points = np.array([[0.0, 0.0, 5.0], [4.0, 1.0, 3.0], [2.0, 0.5, 0.0]])
    x, y = plots.window(Flat(), points, steps=21, margin=0.25)
    assert (x[0], x[-1], len(x)) == (-1, 5, 21) and (y[0], y[-1]) == (-1, 2)
    assert np.diff(x)[0] == pytest.approx(np.diff(y)[0], rel=0.05)
    with pytest.raises(ValueError, match="points must differ on the plane"):
        plots.window(Flat(), points[[0, 0]])
    with pytest.raises(ValueError, match="margin must be above 0 where the points lie on a line"):
        plots.window(Flat(), LINE, margin=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": {}}, "paths must be at least one, by its name"),
        ({"paths": {"a": LINE[:1]}}, r"paths\['a'\] must be points \[T, D\], T at least 2; received"),
        ({"losses": bowl()[1:]}, r"losses must have shape \[9, 9\], rows along y"),
        ({"losses": bowl() - 0.1}, "losses must be above 0 where log is True; received 0"),
        ({"paths": [LINE[0]]}, r"paths\['path'\] must be points \[T, D\], T at least 2"),
        ({"paths": "line"}, "paths must be {name: points .T, D.}; received the text or path 'line'"),
        ({"paths": [plots.window] * 2}, "paths must be {name: path} where they are several connectors"),
        ({"paths": plots.window}, "paths must be points .T, D., or a wedges.Connector; received"),
        ({"points": [LINE[0]]}, "points must be {name: point .D.}; received"),
        ({"points": {"A": LINE}}, r"points\['A'\] must be one point .D.; received shape \(2, 3\)"),
        ({"plane": LINE}, "plane must be a wedges.AffineSubspace; received ndarray"),
    ],
)
def test_other_paths_and_planes_are_refused_in_words(change, message):
    given = {"plane": Flat(), "x": SIDE, "y": SIDE, "losses": bowl(), "paths": {"line": LINE}, **change}
    with pytest.raises(ValueError, match=message):
        plots.path_on_plane(**given)


# ---- trajectories -----------------------------------------------------------------------------------


@pytest.fixture
def snapshots():
    """20 of a walk in R^6 whose steps shrink."""
    steps = np.random.default_rng(0).normal(size=(20, 6)) * np.geomspace(1, 0.05, 20)[:, None]
    return np.cumsum(steps * [5, 2, 1, 0.5, 0.2, 0.1], axis=0).astype(np.float32)


def test_a_trajectory_lies_on_its_principal_axes_and_says_their_shares(snapshots):
    figure = plots.trajectory(snapshots, title="A walk")
    ax, bar = figure.axes
    _, lengths, axes = np.linalg.svd(snapshots[:-1] - snapshots[-1], full_matrices=False)
    shares = 100 * lengths**2 / np.sum(lengths**2)
    for label, share in zip((ax.get_xlabel(), ax.get_ylabel()), shares, strict=False):
        assert f"({share:.3g}% of the variation)" in label
    (dots,) = [c for c in ax.collections if not isinstance(c, LineCollection)]
    expected = (snapshots - snapshots[-1]) @ axes[:2].T
    np.testing.assert_allclose(np.abs(dots.get_offsets()), np.abs(expected), atol=1e-4)
    assert bar.get_ylabel() == "step" and is_a_picture(figure)


def test_time_is_the_colour(snapshots):
    ax = plots.trajectory(snapshots, steps=np.arange(20) ** 2, label="epoch").axes[0]
    (line,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    times = np.arange(20) ** 2
    np.testing.assert_allclose(line.get_array(), (times[1:] + times[:-1]) / 2)
    ax.figure.draw_without_rendering()
    assert len({to_hex(c) for c in line.get_colors()}) > 10


def test_a_trajectory_is_drawn_over_the_loss_of_its_plane(snapshots):
    found = wedges.principal(snapshots)
    x, y = plots.window(found.subspace, snapshots, steps=15)
    losses = wedges.probe.plane(wedges.Quadratic(np.ones(6)), found.subspace, x, y)
    ax = plots.trajectory(snapshots, principal=found, plane=(x, y, losses)).axes[0]
    assert ax.get_xlim() == (x[0], x[-1]) and ax.get_ylim() == (y[0], y[-1])
    with pytest.raises(ValueError, match=r"losses must have shape \[\d+, \d+\], rows along y"):
        plots.trajectory(snapshots, principal=found, plane=(x, y, losses[1:]))


def test_a_trajectory_needs_three_snapshots_in_order(snapshots):
    with pytest.raises(ValueError, match=r"snapshots must be points \[T, D\], T at least 3"):
        plots.trajectory(snapshots[:2])
    with pytest.raises(ValueError, match="steps must be 20 numbers that rise"):
        plots.trajectory(snapshots, steps=np.zeros(20))


# ---- spectra ----------------------------------------------------------------------------------------


def density_of(values, samples=4, order=40):
    operator = wedges.hessian(wedges.Quadratic(np.asarray(values, float)), np.zeros(len(values)))
    return wedges.spectral_density(operator, samples=samples, order=order, seed=0)


def marks(figure):
    """The eigenvalues that are marked, from the largest down."""
    found = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "v"]
    return sorted((float(x) for x in np.ravel(found)), reverse=True)


def test_eigenvalues_apart_from_the_bulk_are_found_on_both_sides():
    found, lone = density_of([*np.linspace(-1, 1, 300), 9.0, 6.0, 5.9, -4.0]), [9, 6, 5.9, -4]
    np.testing.assert_allclose(marks(plots.density(found)), lone, atol=0.02)
    np.testing.assert_allclose(spectra.apart(found.values, found.shares, 0.05), lone, atol=0.02)


@pytest.mark.parametrize("values", [np.linspace(-1, 1, 300), np.ones(50), [*np.zeros(99), *np.ones(99)]])
def test_a_spectrum_in_one_or_two_parts_has_none_beyond_its_bulk(values):
    found = marks(plots.density(density_of(values)))
    assert len(found) <= 1  # of two equal parts either may be the bulk


def test_the_density_is_that_of_the_library_on_a_logarithmic_axis():
    found = density_of([*np.linspace(0, 1, 100), 7.0])
    figure = plots.density(found, width=0.05, title="A spectrum")
    ax = figure.axes[0]
    x, height = ax.lines[0].get_data()
    smooth = wedges.curvature.smoothed(found, x, 0.05)
    shown = height > height.min()
    np.testing.assert_allclose(height[shown], smooth[shown])
    assert ax.get_yscale() == "log" and is_a_picture(figure)
    lone = np.argmin(np.abs(x - 7))
    # One of 101: a Gaussian's height over that many.
    assert height[lone] == pytest.approx(1 / (101 * 0.05 * np.sqrt(2 * np.pi)), rel=0.8)


def test_known_eigenvalues_are_marked_as_they_are():
    found = density_of([*np.linspace(0, 1, 100), 7.0])
    figure = plots.density(found, outliers=[0.5, 8.0])
    assert marks(figure) == [8.0, 0.5] and figure.axes[0].get_xlim()[1] > 8
    operator = wedges.hessian(wedges.Quadratic([*np.linspace(0, 1, 100), 7.0]), np.zeros(101))
    pairs = wedges.eigenpairs(operator, 1, seed=0)
    assert marks(plots.density(found, outliers=pairs)) == pytest.approx([7.0])
    with pytest.raises(ValueError, match="outliers must be finite"):
        plots.density(found, outliers=[np.nan])
    with pytest.raises(ValueError, match="width must be a finite number above 0; received 0"):
        plots.density(found, width=0)
    with pytest.raises(ValueError, match="spectrum must be a Density, of wedges.spectral_density; rec"):
        plots.density(np.ones(3))
