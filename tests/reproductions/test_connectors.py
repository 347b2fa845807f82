"""Figures 2, 3 and 4 and the m-connectors: their claims on numbers made by hand, what they refuse, what
they keep and never take for another number."""

import dataclasses
import fnmatch
import itertools

import numpy as np
import pytest
from matplotlib.text import Text

import wedges
from reproductions import fig2_radial, fig3_tunnel, fig4_short_directions, m_connectors
from reproductions.bench import cache, options, parallel, runs, store
from reproductions.bench.tables import grouped
from reproductions.common import data, models, networks, optima, pictures, surfaces, toys, training
from tests.reproductions.places import at


def failing(figure, arrays, config):
    return {c.id for c in figure.claims(arrays, config) if not c.passed}


def config_of(figure, preset="paper", **changes):
    return figure.Config(**{**options.preset(figure.Config, preset), **changes})


@pytest.fixture(autouse=True)
def place(tmp_path):
    """Where a test works that names no folder."""
    with at(tmp_path / "checkpoints") as place:
        yield place


# ---- what they refuse -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "flag", "words"),
    [
        (fig2_radial, "--directions=1", "must be at least 2"),
        (fig2_radial, "--distances=3", "must be at least 4"),
        (fig2_radial, "--steps=4", "must be at least 5"),
        (fig2_radial, "--products=5", "must be at least 6"),
        (fig2_radial, "--toy=10x10", "must be DxN with 0 < N < D <= 20000, e.g. 1000x900."),
        (fig2_radial, "--toy_k=2", "must be at least 3"),
        (fig2_radial, "--height=-1", "must be above 0"),
        (fig3_tunnel, "--segments=5", "must be from 6 to 1000"),
        (fig3_tunnel, "--pairs=0", "must be at least 1"),
        (fig3_tunnel, "--start=warm", "choose from flat, neighbour"),
        (fig3_tunnel, "--toy_n=100", "must be below --toy_dimension=100"),
        (fig3_tunnel, "--rate=0", "must be above 0"),
        (fig3_tunnel, "--model=lenet", "needs inputs"),
        (m_connectors, "--m=0", "must be from 1 to 50"),
        (m_connectors, "--m=1,two", "must be a whole number or several with commas"),
        (m_connectors, "--continuous=21", "must be from 1 to 20"),
        (m_connectors, "--triangle=2", "must be at least 3"),
        (m_connectors, "--held_out=0", "must be at least 1"),
        (m_connectors, "--width=-1", "must be above 0 and at most 1000"),
        (fig4_short_directions, "--m=1", "must be from 2 to 20"),
        (fig4_short_directions, "--cuts=300,100", "must rise, e.g. 100,300,1000"),
        (fig4_short_directions, "--cuts=99999", "the network has 14378 weights"),
        (fig4_short_directions, "--segments=3", "must be even, at least 2"),
        (fig4_short_directions, "--floors=0", "must be above 0"),
        (fig4_short_directions, "--left=1", "must be between 0 and 1"),
        (fig4_short_directions, "--displacement=inf", "must be above 0"),
        (fig4_short_directions, "--cut_samples=1", "must be at least 2"),
        (fig4_short_directions, "--toy_dimension=24", "must be above (m + 1) s = 24"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(figure, flag, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(figure.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", flag])
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "it/s]" not in line]
    assert end.value.code == 2 and printed.out == "" and len(lines) == 1
    assert lines[0].startswith(f"{runs.name_of(figure)}: {flag}: {words}")
    assert not list((tmp_path / "runs").glob("*/*"))


# ---- words of pictures ------------------------------------------------------------------------------


def test_pictures_have_peoples_names_for_all_networks_and_data_sets():
    for name in (*models.NAMES, *data.NAMES):
        assert name == "digits" or pictures.named(name) != name
    assert pictures.named("simple_cnn") == "SimpleCNN" and pictures.named("cifar10") == "CIFAR-10"
    assert pictures.named("mine.networks:tiny_net") == "tiny_net"


def test_both_halves_of_a_matrix_are_outlined_with_their_means():
    _, ((ax,),) = wedges.plots.grid(1, 1, title="")
    pictures.halves(ax, np.eye(5), 0.84, -0.001)
    assert [text.get_text() for text in ax.texts] == ["within\n0.84", "within\n0.84", "across\n0.00"]
    boxes = [(p.get_xy(), p.get_width(), p.get_height()) for p in ax.patches]
    assert boxes == [((-0.5, -0.5), 2, 2), ((2.5, 2.5), 2, 2)]  # the middle row is in neither


# ---- fig2 -------------------------------------------------------------------------------------------


def fig2_arrays():
    """Three optima 8 apart at a loss of 1, which rises by r^2 / 4 and a little by direction; the cut
    through them sees the others, the random one does not. Away from the origin it does not rise."""
    a, side = np.linspace(0.5, 4, 8), np.linspace(-8, 8, 17)
    corners = np.array([[0.0, 0], [8, 0], [4, 7]])
    wave = 1 + 0.05 * np.cos(np.arange(20))  # over directions
    losses = 1 + (a[:, None] ** 2 / 4) * wave  # [A, directions]
    x, y = np.meshgrid(side, side)
    wells = [1 + ((x - cx) ** 2 + (y - cy) ** 2) / 4 for cx, cy in corners]
    arrays = {"distances": a, "losses": np.tile(losses, (3, 1, 1)), "start": np.ones(3), "side": side}
    arrays |= {"doubled": np.full(3, 2.0), "there": np.tile(1 + wave, (3, 1))}
    arrays |= {"ring": np.tile(1 + wave, (3, 1)), "corners": corners}
    arrays |= {"random cut": wells[0], "optima cut": np.min(wells, axis=0)}
    arrays |= {"outwards": np.ones((3, 8)), "outwards reach": np.full(3, 4.0)}
    arrays |= {"curvature along": np.array([0.1, 0.0, -0.1])}
    arrays |= {"curvature across": np.full(3, 0.5), "curvature error": np.array([0.01, 0.0, 0.02])}
    return {f"{name} {key}": a.copy() for name in ("net", "toy") for key, a in arrays.items()}


def fig2_before_rays():
    """The same, of a run that did not look away from the origin."""
    return {k: v for k, v in fig2_arrays().items() if "outwards" not in k and "curv" not in k}


def test_fig2_the_papers_picture_holds_every_claim():
    arrays, config = fig2_arrays(), config_of(fig2_radial)
    assert failing(fig2_radial, arrays, config) == set()
    numbers = fig2_radial.summary(arrays, config)
    assert numbers["toy: optima cut"] == [1] and numbers["toy: doubled"].tolist() == [2, 2, 2]
    # The nearest point of the grid beyond 4, half of the way to the next optimum, is (1, 4).
    np.testing.assert_allclose(numbers["net: random cut"], 1 + 17 / 4)
    np.testing.assert_allclose(numbers["net: ray, relative length"], 2)  # 4, all that is measured
    np.testing.assert_allclose(numbers["net: ray, relative curvature"], [0.2, 0, -0.2])
    np.testing.assert_allclose(
        numbers["net: ray, relative error of the curvature across"], [0.02, 0, 0.04]
    )


@pytest.mark.parametrize("name", ["net", "toy"])
@pytest.mark.parametrize(
    ("what", "place", "value", "claim"),
    [
        ("losses", (1, 3), 1.5, "rises"),  # of one optimum, one step down
        ("losses", (2, 0), np.nan, "rises"),
        ("there", (2, 0), 6.0, "variation"),
        ("there", 0, np.nan, "variation"),
        ("ring", (0, 5), 6.0, "ring"),
        ("random cut", (16, 16), 1.9, "hidden"),
        ("optima cut", slice(None), 1.6, "shown"),
        ("outwards reach", 1, 3.9, "ray.length"),
        ("outwards reach", 2, np.nan, "ray.length"),
        ("doubled", 0, np.nan, "ray.length"),
        ("curvature along", 0, 0.13, "ray.curvature"),
        ("curvature along", 2, -0.13, "ray.curvature"),  # the top of a ridge is not flat
        ("curvature across", 1, 0.0, "ray.curvature"),
        ("curvature across", 1, -9.0, "ray.curvature"),
        ("curvature across", 1, np.nan, "ray.curvature"),
    ],
)
def test_fig2_each_claim_fails_alone(name, what, place, value, claim):
    arrays = fig2_arrays()
    arrays[f"{name} {what}"][place] = value
    assert failing(fig2_radial, arrays, config_of(fig2_radial)) == {f"fig2.{name}.{claim}"}


def test_fig2_from_the_origin_a_bowl_is_the_same_all_around():
    bowl = wedges.Quadratic([1.0, 1.0, 1.0, 1.0])  # r^2 / 2
    points = np.array([[3, 0, 0, 0], [0, 4, 0, 0], [0, 0, 3, 4]], np.float32)
    a = np.array([0.5, 1.0, 3.0])
    found = fig2_radial._from_origin(bowl, points, a, 7)
    norms = np.array([3, 4, 5])[:, None]
    np.testing.assert_allclose(found["norms"], norms[:, 0])
    np.testing.assert_allclose(found["outwards"], (norms + a) ** 2 / 2, rtol=1e-6)
    # (|p| + a)^2 / 2 is |p|^2 at a = (sqrt(2) - 1) |p|; it is known to half a per cent.
    np.testing.assert_allclose(found["outwards reach"], (2**0.5 - 1) * norms[:, 0], rtol=0.005)
    np.testing.assert_allclose(found["inwards"], (norms - a) ** 2 / 2, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found["around"], np.repeat(norms**2 / 2, 3, axis=1), rtol=1e-6)
    x, y = found["origin x"], found["origin y"]
    np.testing.assert_allclose(found["origin cut"], (x**2 + y[:, None] ** 2) / 2, rtol=1e-5)
    # 3 and 4 away from the origin and 5 from one another, side by side.
    (ax, ay), (bx, by) = found["origin points"]
    np.testing.assert_allclose([ax**2 + ay**2, bx**2 + by**2, bx - ax], [9, 16, 5], rtol=1e-5)
    np.testing.assert_allclose(by, ay, atol=1e-5)


def test_fig2_around_leads_to_the_next_optimum():
    points = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2]], np.float32)
    well = wedges.Quadratic([1.0, 1.0, 1.0], center=points[1])
    quarter = np.array([np.pi])  # of a circle of radius 2
    assert fig2_radial._from_origin(well, points, quarter, 5)["around"][0] == pytest.approx(0, abs=1e-6)


def test_fig2_outwards_all_that_is_measured_counts_where_the_loss_never_doubles():
    a, known = np.array([1.0, 2, 4]), []
    for losses in ([1.0, 2, 3], [1, 1, 1.5], [0.5, 1, np.nan], [np.nan, 1, 1], [1, np.nan, 3]):
        known.append(fig2_radial._reach(lambda a: 1 + a / 2, a, np.array(losses), 1.0))
    # Of a loss that is no number nothing is known from there on; 1 + a / 2 is 2 at 2.
    np.testing.assert_allclose(known, [2, 4, np.nan, np.nan, np.nan], rtol=0.005)
    mine = {"outwards reach": np.array([4.0, 2, np.nan]), "doubled": np.array([1.0, 2, 1])}
    np.testing.assert_allclose(fig2_radial.longer_outwards(mine), [4, 1, np.nan])


def test_fig2_curvature_along_and_across_the_ray_of_a_quadratic():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 6))
    bowl, points = wedges.Quadratic(a + a.T, dtype="float64"), rng.standard_normal((3, 6))
    found = fig2_radial._curved(bowl, points, 6)
    for i, point in enumerate(points):
        _, _, (ray, *across) = np.linalg.svd(point[None])  # orthonormal, the first along the point
        form = lambda v: v @ (a + a.T) @ v
        np.testing.assert_allclose(found["curvature along"][i], form(ray))
        np.testing.assert_allclose(found["curvature across"][i], np.mean([form(v) for v in across]))
    assert found["curvature error"].tolist() == [0, 0, 0]


def test_fig2_curvature_across_is_estimated_within_its_error():
    bowl = wedges.Quadratic(np.eye(300) + 0.1, dtype="float64")  # 1, and 30 more along (1, ..., 1)
    points = np.eye(300)[:3]  # 1.1 each along their rays
    found = fig2_radial._curved(bowl, points, 60)
    off = np.abs(found["curvature across"] - (330 - 1.1) / 299)
    np.testing.assert_allclose(found["curvature along"], 1.1)
    assert np.all(off <= 4 * found["curvature error"] + 1e-12)
    few = fig2_radial._curved(bowl, points, 5)  # too few to take the large eigenvalue out
    assert np.all(few["curvature error"] > 0)
    off = np.abs(few["curvature across"] - (330 - 1.1) / 299)
    assert np.all(off <= 4 * few["curvature error"])


def test_fig2_above_a_wedge_the_loss_is_straight_along_the_ray():
    # At distance h of the nearest wedge, whose normals are N, L = |N P|: H = N^T (I - u u^T) N / h.
    toy = wedges.RandomWedges(40, 30, 3, seed=0, dtype="float64")
    points = np.random.default_rng(1).standard_normal((3, 40))
    h = np.linalg.norm(toy.normals.numpy() @ points.T, axis=1).min(axis=0)
    found = fig2_radial._curved(toy, points, 40)
    np.testing.assert_allclose(found["curvature along"], 0, atol=1e-14)
    np.testing.assert_allclose(found["curvature across"], (10 - 1) / (h * (40 - 1)))
    np.testing.assert_allclose(fig2_radial.relative_curvature(found), 0, atol=1e-13)


def test_fig2_the_toys_points_stand_at_the_height_above_their_wedges():
    toy = toys.Toy("finite", 40, 30, 3, 0)
    found = fig2_radial._curved_wedges(toy, 0.5)
    np.testing.assert_allclose(found["curvature along"], 0, atol=1e-6)
    np.testing.assert_allclose(found["curvature across"], 9 / (0.5 * 39), rtol=1e-4)
    assert found["curvature error"].tolist() == [0, 0, 0]


def test_fig2_a_curvature_relative_to_none_is_not_measurable():
    mine = {"curvature along": np.array([1.0, 1, 1, -1]), "curvature error": np.ones(4)}
    mine["curvature across"] = np.array([4.0, 0, -2, np.nan])
    np.testing.assert_allclose(fig2_radial.relative_curvature(mine), [0.25, *[np.nan] * 3])
    np.testing.assert_allclose(fig2_radial._relative_error(mine), [0.25, *[np.nan] * 3])


def fig2_with_rays():
    """The same arrays, and what else is seen of the origin."""
    arrays = fig2_arrays()
    for name in ("net", "toy"):
        arrays |= {f"{name} {way}": np.ones((3, 8)) for way in ("inwards", "around")}
        side = np.linspace(-8, 8, 17)
        arrays |= {f"{name} origin {axis}": side for axis in "xy"}
        arrays[f"{name} origin cut"] = 1 + np.abs(side + side[:, None])
        arrays[f"{name} origin points"] = np.array([[-3.0, 3], [3, 3]])
        arrays[f"{name} norms"] = np.full(3, 18**0.5)
    return arrays


def test_fig2_says_what_was_found():
    arrays, found = fig2_with_rays(), lambda arrays: fig2_radial._finding(arrays, "net")
    one = "random directions see one round well and hide the others"
    assert found(arrays) == f"{one}; away from the origin a well is 2 times as long, or more"
    assert found(fig2_before_rays()) == one  # of a run before there were rays
    arrays["net outwards reach"][:] = 0.4
    assert found(arrays) == one
    arrays["net optima cut"] = arrays["net random cut"]
    assert found(arrays).endswith("the cut through the optima has others, less low")
    arrays["net random cut"] = np.ones((17, 17))
    assert found(arrays) == "random directions do not hide what is low beside an optimum"


def test_fig2_draws_older_results_too():
    config = config_of(fig2_radial)
    titles = lambda figure: [ax.get_title()[:3] for ax in figure.axes if ax.get_title()]
    older = fig2_radial.plot(fig2_before_rays(), config)
    assert titles(older) == ["(a)", "(b)", "(d)"]
    assert older.get_suptitle().startswith("Random directions see one round well and hide")
    (toy,) = fig2_radial.more_pictures(fig2_with_rays(), config).values()
    assert titles(toy) == ["(a)", "(b)", "(c)", "(d)"]
    assert toy.get_suptitle().startswith("Toy landscape: random directions see one round well")
    legend = toy.findobj(lambda a: isinstance(a, Text) and a.get_text().startswith("away from the"))
    assert [text.get_text().replace("\n", " ") for text in legend] == [
        "away from the origin (at A curved 0.20 times as much as the mean across)"
    ]


@pytest.mark.parametrize(
    ("along", "across", "words"),
    [
        (-1e-9, 0.1, "away from the origin (at A curved 0.00 times as much as the mean across)"),
        (-0.1, 0.1, "away from the origin (at A curved -1.00 times as much as the mean across)"),
        (0.1, 0.0, "away from the origin"),
    ],
)
def test_fig2_says_how_curved_it_is_away_from_the_origin(along, across, words):
    mine = {"curvature along": np.full(3, along), "curvature across": np.full(3, across)}
    assert fig2_radial._outwards(mine) == words


# ---- fig3 -------------------------------------------------------------------------------------------


def blocks(size, split, across=0.0):
    """A matrix of likenesses with two blocks that meet before row `split`."""
    side = np.arange(size) >= split
    return np.where(side[:, None] == side, 1.0, across)


def fig3_arrays():
    """Three pairs: a line of barrier 2 above ends of 0.5, a tunnel 0.3 above them, the others 0.2."""
    t = np.linspace(0, 1, 21)
    three = lambda row: np.tile(row, (3, 1))
    line, hill = 0.5 + 2 * np.sin(np.pi * t) ** 2, np.sin(np.pi * t) ** 2
    losses = {"line": line, "tunnel": 0.5 + 0.3 * hill, "joint": 0.5 + 0.2 * hill}
    losses["bezier"] = losses["joint"]
    arrays = {}
    for name, values in losses.items():
        for reading in optima.READINGS:
            arrays[f"{name} {reading}"] = three(values)
    return arrays | {
        "cosines": np.tile(blocks(9, 5), (3, 1, 1)),
        "labels": np.tile(blocks(11, 5, 0.8), (3, 1, 1)),
        "ends disagree": np.ones(3),
        "toy line": three(np.sin(np.pi * t)),
        "toy tunnel": three(np.where(np.arange(21) == 9, 0.5, 0)),
        "toy cosines": np.tile(blocks(9, 4), (3, 1, 1)),
    }


def test_fig3_the_papers_picture_holds_every_claim():
    arrays, config = fig3_arrays(), config_of(fig3_tunnel)
    assert failing(fig3_tunnel, arrays, config) == set()
    numbers = fig3_tunnel.summary(arrays, config)
    np.testing.assert_allclose(numbers["barrier"], 2)
    np.testing.assert_allclose(numbers["tunnel highest"], 0.15)
    np.testing.assert_allclose(numbers["joint highest"], 0.1)
    np.testing.assert_allclose(numbers["turn"], 0.55)  # deviations of vertices 5 and 6 of 10
    np.testing.assert_allclose(numbers["labels turn"], 0.45)
    np.testing.assert_allclose(numbers["toy highest"], 0.5)
    np.testing.assert_array_equal(numbers["toy vertices"], 0)


@pytest.mark.parametrize(
    ("name", "change", "claims"),
    [
        ("line train loss", lambda a: 0.5 + (a - 0.5) * 0.02, {"barrier", "tunnel"}),
        ("tunnel train loss", lambda a: a + 0.3 * (np.arange(21) == 9), {"tunnel"}),  # a middle
        ("tunnel train loss", lambda a: a + 0.3 * (np.arange(21) == 10), {"tunnel"}),  # a vertex
        ("tunnel train loss", lambda a: a + np.eye(3, 21) * 9, {"tunnel"}),  # one pair of three
        ("joint train loss", lambda a: a + 0.2 * (np.arange(21) == 7), {"joint"}),
        ("cosines", lambda a: a * 0.4 + 0.6 * np.eye(9), {"within"}),
        ("cosines", lambda a: np.maximum(a, 0.8), {"across"}),
        ("labels", lambda a: np.ones_like(a), {"labels", "blocks"}),
        ("labels", lambda a: np.tile(blocks(11, 8, 0.8), (3, 1, 1)), {"blocks"}),
        ("toy tunnel", lambda a: a + 0.01, {"toy.vertices"}),
        ("toy cosines", lambda a: np.maximum(a, 0.8), {"toy.across"}),
        ("toy cosines", lambda a: a * np.nan, {"toy.across", "toy.within"}),
        ("cosines", lambda a: a * np.nan, {"within", "across", "blocks"}),
        ("tunnel train loss", lambda a: a * np.nan, {"tunnel", "joint"}),
    ],
)
def test_fig3_each_claim_fails_alone(name, change, claims):
    arrays, config = fig3_arrays(), config_of(fig3_tunnel)
    arrays[name] = change(arrays[name])
    assert failing(fig3_tunnel, arrays, config) == {f"fig3.{c}" for c in claims}


@dataclasses.dataclass(frozen=True)
class Bowl:
    """In place of a network: a loss of r^2 / 2."""

    examples: int

    @property
    def seen(self):
        assert self.examples == 2000  # fewer than of other losses
        return wedges.Quadratic(np.ones(4))


def test_fig3_the_plane_has_the_loss_of_its_own_points_and_says_how_far_off_a_path_is():
    corners = np.array([[1, 0, 0, 0], [5, 0, 0, 0], [3, 2, 0, 0]], np.float32)  # A, B, bend
    off = np.array([[1, 0, 0, 0], [3, 1, 2, 0], [5, 0, 0, 0]], np.float32)
    found = fig3_tunnel._on_plane(Bowl(10_000), corners, {"tunnel": off}, 9)
    np.testing.assert_allclose(found["corners"], [[0, 0, 0], [4, 0, 0], [2, 2, 0]], atol=1e-6)
    np.testing.assert_allclose(found["tunnel"], [[0, 0, 0], [2, 1, 2], [4, 0, 0]], atol=1e-6)
    x, y = found["x"], found["y"]
    np.testing.assert_allclose(found["loss"], ((1 + x) ** 2 + y[:, None] ** 2) / 2, rtol=1e-5)
    # A square that holds both optima and the curve, whose highest point is 1 above the line.
    assert len(x) == len(y) == 9 and np.ptp(x) == pytest.approx(np.ptp(y))
    assert x[0] < 0 < 4 < x[-1] and y[0] < 0 < 1 < y[-1]


def test_fig3_titles_say_what_was_found_and_older_results_are_drawn():
    arrays, config = fig3_arrays(), config_of(fig3_tunnel)
    t = np.linspace(0, 1, 21)
    arrays["line test accuracy"] = np.tile(0.7 - 0.4 * np.sin(np.pi * t), (3, 1))
    arrays["tunnel test accuracy"] = np.full((3, 21), 0.66)
    title = lambda arrays: fig3_tunnel.plot(arrays, config).get_suptitle().split("\n")[0]
    low = "Between two optima accuracy falls to 30% on the straight line; "
    assert title(arrays) == f"{low}in a tunnel it stays at 66% or more"
    higher = arrays | {"tunnel train loss": arrays["tunnel train loss"] + 0.3 * (np.arange(21) == 10)}
    assert title(higher).startswith("The tunnel between two optima is not low: it rises to 30% of the")
    flat = arrays | {"line train loss": 0.5 + (arrays["line train loss"] - 0.5) * 0.02}
    assert title(flat) == "The straight line between two optima has hardly a barrier"
    (toy,) = fig3_tunnel.more_pictures(arrays, config).values()
    texts = toy.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().strip())
    assert min(text.get_fontsize() for text in texts) >= 8
    assert toy.get_suptitle().startswith("Toy landscape: the tunnel's vertices lie on two wedges")


# ---- m-connectors -----------------------------------------------------------------------------------


def m_arrays(config):
    """Optima at 0.5, the flat hull 2 above, all connectors 0.3 above; one by one a little higher."""
    sets, arrays = config.sets, {}
    rises = {"points": 0.3, "points flat": 2.0}
    for where in ("held", "segments"):
        rises |= {f"{where} flat": 2.0, f"{where} stitched": 0.4, f"{where} joint": 0.3}
    for m, (name, rise) in itertools.product((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), rises.items()):
        if m in (config.m if name.startswith("points") else config.continuous):
            of = {"points": config.points, "held": config.held_out, "segments": 2 if m == 1 else 9}
            shape = sets, of[name.split()[0]]
            arrays[f"m {m} {name} train loss"] = np.full(shape, 0.5 + rise)
            arrays[f"m {m} {name} test accuracy"] = np.full(shape, 0.65)
    arrays["optima train loss"] = np.full((sets, 11), 0.5)
    arrays["optima test accuracy"] = np.full((sets, 11), 0.7)
    return arrays


def test_m_connectors_low_surfaces_hold_every_claim():
    config = config_of(m_connectors)
    arrays = m_arrays(config)
    assert failing(m_connectors, arrays, config) == set()
    arrays["m 3 held stitched train loss"][1, 4] = 1.3
    numbers = m_connectors.summary(arrays, config)
    np.testing.assert_allclose(numbers["m 10, points: height"], [0.15, 0.15, 0.15])
    np.testing.assert_allclose(numbers["m 3, held stitched: height"], [0.2, 0.21, 0.2])
    np.testing.assert_allclose(numbers["m 3, held stitched: highest"], [0.2, 0.4, 0.2])
    assert numbers["verified up to m, joint"] == [10, 10, 10]
    assert numbers["verified up to m, stitched"] == [10, 2, 10]


def test_m_connectors_judge_each_set_above_its_own_optima():
    config = config_of(m_connectors)
    arrays = m_arrays(config)
    for array in arrays.values():
        array[2] += 0.1  # a set whose losses, and accuracies, are all higher
    assert failing(m_connectors, arrays, config) == set()
    assert m_connectors.judged(arrays, config)["heldout"] == pytest.approx(0.15)
    assert m_connectors.judged(arrays, config)["accuracy"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "place", "value", "claims"),
    [
        ("m 4 points train loss", (2, 1), 1.2, {"points"}),
        ("m 4 points test accuracy", (1, 1), 0.5, {"accuracy"}),
        ("m 3 held joint train loss", (2, 7), 1.2, {"heldout"}),
        ("m 10 held joint train loss", (), 1.2, {"heldout", "top"}),
        ("m * held joint train loss", (), 0.95, {"joint"}),
        ("m 1 segments joint train loss", (0, 1), 1.2, {"segments"}),
        ("m 2 held stitched train loss", (1, 3), 1.2, {"stitched"}),
        ("m 10 held joint train loss", (0, 0), np.nan, {"heldout", "top", "joint"}),
        ("m 1 points train loss", (0, 0), np.nan, {"points"}),
    ],
)
def test_m_connectors_each_claim_fails_alone(name, place, value, claims):
    config = config_of(m_connectors)
    arrays = m_arrays(config)
    for each in fnmatch.filter(arrays, name):
        arrays[each][place] = value
    assert failing(m_connectors, arrays, config) == {f"m-connector.{c}" for c in claims}


def with_triangle(arrays):
    """The same with what only the picture needs."""
    w = wedges.simplex.grid(2, 4)
    more = {"triangle w": w}
    for name in m_connectors.SURFACES:
        more[f"triangle {name} train loss"] = 0.5 + w.prod(axis=1)
    for name in fnmatch.filter(arrays, "m * points flat test accuracy"):
        arrays[name][:] = 0.2
    return arrays | more


def test_m_connectors_title_says_only_what_holds():
    config = config_of(m_connectors)
    arrays = with_triangle(m_arrays(config))
    arrays["m 10 held flat test accuracy"][:] = 0.1
    finding = lambda: m_connectors.plot(arrays, config).get_suptitle().split("\n")[0]
    keeps = "a surface trained jointly keeps 65% accuracy, the flat hull 10%"
    assert finding() == f"Points between up to 11 optima can be made low; {keeps}"
    arrays["m 4 points train loss"][1, 0] = 1.2
    keeps = "A surface trained jointly between 11 optima keeps 65% accuracy, the flat hull 10%"
    assert finding() == keeps
    for name in fnmatch.filter(arrays, "m * held joint train loss"):
        arrays[name][:] = 0.95  # one by one is lower
    assert finding() == "How low the loss can be made between 11 optima"


def test_m_connectors_are_drawn_where_some_loss_is_not_known():
    config = config_of(m_connectors)
    arrays = with_triangle(m_arrays(config))
    arrays["triangle joint train loss"][4] = np.nan
    arrays["triangle flat train loss"][:] = np.nan
    for name in fnmatch.filter(arrays, "m * held joint test accuracy"):
        arrays[name][:] = np.nan
    picture = m_connectors.plot(arrays, config)
    flat, _, joint = picture.axes[:3]
    assert not flat.collections and joint.collections
    assert "surface,\ntrained jointly" not in [text.get_text() for text in picture.axes[4].texts]


@pytest.mark.parametrize(
    ("sets", "words", "bars"), [(3, "thick bars its standard deviation", 2), (1, "", 1)]
)
def test_m_connectors_show_the_spread_over_sets_where_there_are_several(sets, words, bars):
    config = config_of(m_connectors, sets=sets)
    arrays = with_triangle(m_arrays(config))
    arrays["m 5 points test accuracy"][0] = 0.55  # 0.65 in the others: a deviation of 0.1 / sqrt(3)
    picture = m_connectors.plot(arrays, config)
    assert words in picture.get_suptitle() and ("thick" in picture.get_suptitle()) == (sets > 1)
    chosen = [c for c in picture.axes[4].containers if c.get_label().startswith("chosen")]
    bars_of = [c for c in picture.axes[4].collections if hasattr(c, "get_segments")]
    assert len(chosen) == 1 and len(bars_of) == bars * len(m_connectors.looks())
    if sets > 1:
        low, high = bars_of[1].get_segments()[4][:, 1]  # of chosen points at m = 5
        assert high - low == pytest.approx(2 * 10 / np.sqrt(3))


def test_verified_up_to_the_first_m_that_is_not_low_everywhere():
    highest = {1: 0.1, 2: 0.1, 5: 0.1, 10: 0.1}
    assert m_connectors.verified(highest) == 10
    assert m_connectors.verified(highest | {5: 0.26}) == 2
    assert m_connectors.verified({5: 0.1, 10: 0.1, 1: 0.26, 2: 0.1}) == 0  # in whatever order
    assert m_connectors.verified(dict.fromkeys(highest, np.nan)) == 0


def test_each_point_of_a_surface_is_blended_into_as_many_positions_whatever_m():
    """Counted in the positions that training draws."""
    assert surfaces.steps_by_position(1, 400) == 400  # all of the only point
    assert surfaces.steps_by_position(2, 1000) == 1847  # 3 points, of which 13 / 8 blend a position
    for m in (1, 2, 3, 5, 10):
        steps = surfaces.steps_by_position(m, 1000)
        weights = wedges.simplex.Grid(m, 2).weights(wedges.simplex.faces(m, steps, seed=[m]))
        blended = (weights[:, m + 1 :] > 0).sum(axis=0)
        assert len(blended) == surfaces.free_points(m)
        assert blended.mean() == pytest.approx(1000, rel=0.03)


def test_the_positions_of_a_segment_are_those_that_blend_both_of_its_points():
    """On one edge those of its half; of a triangle those inside, in one of two pieces, or on an edge."""
    halves = np.array([[0.75, 0.25], [0.25, 0.75]])
    w = wedges.simplex.faces(1, 300, seed=4)
    drawn = surfaces.drawn(1, surfaces.Surfaces(300, 0.1, 4), halves)
    assert drawn.tolist() == [(w[:, 0] > 0.5).sum(), (w[:, 0] < 0.5).sum()]
    between, along = [0.5, 0.25, 0.25], [0.75, 0.25, 0]
    w = wedges.simplex.faces(2, 300, seed=4)
    drawn = surfaces.drawn(2, surfaces.Surfaces(300, 0.1, 4), np.array([between, along]))
    inside, most = (w > 0).all(axis=1), w.max(axis=1)
    corner = w[:, 0] > 0.5
    assert drawn.tolist() == [
        (inside & (corner | (most < 0.5))).sum(),  # joins the middles of the two edges from optimum 1
        (corner & (w[:, 1] > 0)).sum(),  # joins optimum 1 and the middle of its edge to optimum 2
    ]


def test_no_middle_of_a_segment_is_measured_twice():
    for m, count in ((1, 2), (2, 9), (3, 20)):  # there are 2, 9 and 25
        found = surfaces.middles(m, 20, seed=[3, m])
        assert found.shape == (count, m + 1) and len(np.unique(found, axis=0)) == count
    halves = np.sort(surfaces.middles(1, 20, seed=[0, 1])[:, 0])
    np.testing.assert_array_equal(halves, [0.25, 0.75])
    others = surfaces.middles(3, 20, seed=[4, 3])
    assert not np.array_equal(others, surfaces.middles(3, 20, seed=[3, 3]))


TINY_M = {"epochs": 1, "width": 0.25, "batch_size": 64, "examples": 50, "steps": 2, "positions": 2}
TINY_M |= {"m": (1, 2), "continuous": (1,), "held_out": 3}


def test_a_set_is_what_a_run_of_its_own_finds_with_optima_that_no_other_has():
    config = config_of(m_connectors, "smoke", sets=2, seed=5, **TINY_M)
    assert [m_connectors.of_set(config, i).seed for i in range(2)] == [5, 8]  # of 3 optima each
    arrays = m_connectors.measure(config)
    alone = m_connectors.measure(config_of(m_connectors, "smoke", sets=1, seed=8, **TINY_M))
    for name in (n for n in alone if not n.startswith("triangle")):
        np.testing.assert_array_equal(arrays[name][1], alone[name][0], err_msg=name)
    assert arrays["m 1 segments joint train loss"].shape == (2, 2)
    assert len(np.unique(arrays["optima train loss"])) == 6
    # At m = 2, all of a set, the centre is there once, and each set has a random point of its own.
    assert len(np.unique(arrays["m 2 points flat train loss"])) == 4
    tables = grouped(arrays, m_connectors.axes(config))
    names = {"set_by_optimum", "set_by_point", "set_by_position", "set_by_segment"}
    assert names <= tables.keys() and list(tables["set_by_segment"][0]["set"]) == [1, 2]


def test_surfaces_one_by_one_take_no_more_steps_than_jointly(small, monkeypatch):
    made = {}
    monkeypatch.setattr(optima, "surface", lambda *a: made.setdefault(a[-1], a[-2]))
    surfaces.Surfaces(100, 0.003, 7).among(small, ends_of(small, 4))
    assert (made["stitched"].steps, made["joint"].steps) == (16, 100)  # each of 6 points; in all
    assert made["joint"].seed == 7 and made["joint"].positions == "faces"


# ---- fig4 -------------------------------------------------------------------------------------------


def fig4_arrays(config):
    """Counts that grow with m, and a toy whose crossings have (m + 1) s short directions."""
    m, s = np.array([1, *config.m]), config.toy_short
    # optimum, optimum, tunnel at 1/4, 1/2, 3/4, middles
    growth = np.array([0, 0, 0.5, 1, 0.5, *config.m])
    counts = 100 * (1 + growth)
    dims = np.array(config.cuts)
    # left falls from 1 to 0.1 at d = counts
    left = np.clip(1 - 0.9 * np.log(dims) / np.log(counts)[:, None], 0, 1)
    arrays = {
        "train loss": np.full(len(counts), 0.6),
        "left": np.repeat(left[:, None], config.cut_samples, axis=1),
        "rises": np.ones((len(counts), config.cut_samples)),
        "eigenvalues": np.tile(counts[:, None, None], (1, len(config.floors), config.vectors)),
    }
    for name in fig4_short_directions.TOY:
        arrays[f"toy {name}"] = np.stack([np.full(len(m), s), (m + 1) * s], axis=1).astype(float)
        arrays[f"toy optimum {name}"] = np.array(s)
    return arrays


def test_fig4_growing_counts_hold_every_claim():
    config = config_of(fig4_short_directions)
    arrays = fig4_arrays(config)
    assert failing(fig4_short_directions, arrays, config) == set()
    numbers = fig4_short_directions.summary(arrays, config)
    np.testing.assert_allclose(numbers["tunnel, 0.5: cuts"], 200, rtol=1e-6)
    np.testing.assert_allclose(numbers["middle, m = 10: eigenvalues above 1"], 1100)
    assert numbers["toy crossing, m 10: geometry"] == [11 * config.toy_short]


def test_fig4_each_claim_fails_alone():
    config = config_of(fig4_short_directions)
    place = {name: i for i, name in enumerate(fig4_short_directions.names(config))}
    middle = place["tunnel, 0.5"]

    arrays = fig4_arrays(config)
    arrays["eigenvalues"][middle, 0] = 90
    assert failing(fig4_short_directions, arrays, config) == {"fig4.middle.eigenvalues.1"}
    arrays = fig4_arrays(config)
    arrays["eigenvalues"][[place["middle, m = 2"], place["middle, m = 10"]], 1] = 2000, 150
    assert failing(fig4_short_directions, arrays, config) == {"fig4.rank.eigenvalues.10"}
    arrays = fig4_arrays(config)
    arrays["left"][middle] = 1.0  # no cut recovers it
    assert failing(fig4_short_directions, arrays, config) == {"fig4.middle.cuts", "fig4.rank.cuts"}
    for name in ("geometry", "gradients"):
        arrays = fig4_arrays(config)
        arrays[f"toy {name}"][2, 1] *= 0.9
        assert failing(fig4_short_directions, arrays, config) == {f"fig4.toy.{name}"}


def test_fig4_titles_say_what_was_found():
    config = config_of(fig4_short_directions)
    title = lambda arrays: fig4_short_directions.plot(arrays, config).get_suptitle().split("\n")[0]
    arrays = fig4_arrays(config)
    assert title(arrays) == "The more optima are joined, the more directions are short in the middle"
    arrays["eigenvalues"][:, 0] = 50
    start = "Short directions on the network: "
    assert title(arrays) == f"{start}only some estimators find growth with m"
    arrays["eigenvalues"][:, 1], arrays["left"][:] = 50, 1.0
    assert title(arrays) == f"{start}no estimator finds growth with m"
    for name in ("cuts", "eigenvalues"):  # as a loss that is the distance to the nearest wedge
        arrays[f"toy {name}"][:] = config.toy_short
    where = "on the toy, where they add up, a loss shows only the nearest wedge's"
    assert title(arrays) == f"{start}no estimator finds growth with m; {where}"
    assert fig4_short_directions.more_pictures(arrays, config).keys() == {"behind"}


def test_fig4_probes_the_optima_the_tunnel_and_the_middles():
    config = config_of(fig4_short_directions, m=(2, 5), segments=4)
    tunnel = ["tunnel, 0.25", "tunnel, 0.5", "tunnel, 0.75"]
    middles = ["middle, m = 2", "middle, m = 5"]
    assert fig4_short_directions.names(config) == ["optimum 1", "optimum 2", *tunnel, *middles]
    by_m = fig4_short_directions.by_m(np.arange(7.0), config)
    assert by_m == {0: 0.5, 1: 3, 2: 5, 5: 6}


def test_fig4_rank_of_counts_by_m():
    assert fig4_short_directions.rank({0: 5, 1: 6, 2: 9, 10: 70}) == pytest.approx(1)
    assert fig4_short_directions.rank({0: 5, 1: 6, 10: 9, 2: 70}) == pytest.approx(0.8)
    assert np.isnan(fig4_short_directions.rank({0: 5, 1: np.nan, 2: 9}))
    assert np.isnan(fig4_short_directions.rank({0: 5, 1: 5, 2: 5}))


# ---- a number is never taken for another ------------------------------------------------------------

TINY = {"epochs": 1, "width": 0.25, "batch_size": 64, "examples": 50, "hessian_examples": 20}
TINY |= {"steps": 2, "cuts": (5, 20), "cut_steps": 2, "lanczos": 3, "toy_dimension": 40, "toy_short": 3}


def fig4_measured(folder, **changes):
    config = config_of(fig4_short_directions, "smoke", **{**TINY, **changes})
    with at(folder):
        return fig4_short_directions.measure(config)


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A folder that holds a run of Figure 4."""
    folder = tmp_path_factory.mktemp("used")
    fig4_measured(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"left": 0.4}, {"cut_samples": 3}, {"cuts": (5, 10, 20)}], ids=str)
def test_fig4_in_a_used_folder_finds_what_it_finds_in_an_empty_one(changes, used, tmp_path):
    again, alone = fig4_measured(used, **changes), fig4_measured(tmp_path, **changes)
    assert again.keys() == alone.keys()
    for name, array in alone.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_fig4_all_that_decides_the_toys_counts_is_in_their_key(monkeypatch):
    keys = []
    note = lambda function, *key: keys.append(store.digest(cache.key_of(function, key, {}))) or {}
    monkeypatch.setattr(cache, "cached", note)
    monkeypatch.setattr(fig4_short_directions, "_places", lambda *_: {})
    monkeypatch.setattr(parallel, "over", lambda *_: [{}])
    measured = lambda **c: fig4_short_directions.measure(config_of(fig4_short_directions, "smoke", **c))
    for name, value in (
        *(("left", 0.1), ("left", 0.4), ("cut_samples", 3), ("seed", 1)),
        *(("m", (2, 3)), ("toy_dimension", 101), ("toy_short", 7)),
    ):
        measured(**{name: value})
    assert len(keys) == len(set(keys)) == 7
    measured(displacement=1.0, floors=(3.0,), cuts=(5,))  # of the network
    assert keys[-1] == keys[0]


@pytest.fixture
def network():
    """Digits and the paper's network."""
    return network_of(models.Model())


def network_of(model, seed=0):
    problem = networks.Problem(data.source("digits"), model, 64, initial=0, seed=seed)
    return optima.Network(problem, examples=300)


def test_fig4_two_cuts_of_one_dimension_share_no_checkpoint(network, tmp_path, monkeypatch):
    """Large cuts are transforms, which hold no arrays: only their seed tells two of them apart. The
    seeds go by the place in the list, so a cut of the same dimension is another one in another list."""
    theta = networks.start(network.problem)
    directions = wedges.random_cut(theta, 700, seed=0).directions
    assert type(directions).__name__ == "Transform" and not directions.arrays
    cuts = fig4_short_directions.Cuts((700,), 5.0, samples=2, steps=2, rate=0.01, seed=0)
    longer = dataclasses.replace(cuts, dimensions=(30, 700))
    measured = lambda cuts: cache.cached(fig4_short_directions._cuts, network, theta, cuts)
    with at(tmp_path / "alone"):
        alone = measured(longer)
    with at(tmp_path / "used"), monkeypatch.context() as killing:
        killing.setattr(store, "save", killed_after(store.save, 1))
        with pytest.raises(KeyboardInterrupt):
            measured(cuts)
    assert len(list((tmp_path / "used").iterdir())) == 1  # the checkpoint of its first descent
    with at(tmp_path / "used"):
        found = measured(longer)
    np.testing.assert_array_equal(found["left"], alone["left"])


def killed_after(save, *saves):
    """`store.save` that interrupts the process after these of its calls, counted from 1."""
    made = []

    def saved(*arguments):
        save(*arguments)
        made.append(arguments[0])
        if len(made) in saves:
            raise KeyboardInterrupt

    return saved


# ---- optima, shared; descents that were killed ------------------------------------------------------


@pytest.fixture
def small():
    """Digits and a small network."""
    return network_of(models.Model(width=0.25))


def test_an_optimum_is_trained_once_for_all_figures(monkeypatch):
    how = {"epochs": 1, "width": 0.25, "batch_size": 64}
    thetas = optima.trained(config_of(fig3_tunnel, "smoke", seed=2, **how), 2)  # of seeds 2 and 3
    monkeypatch.setattr(wedges.Descent, "run", lambda *_: pytest.fail("trained again"))
    other = config_of(fig4_short_directions, "smoke", seed=3, rate=0.5, examples=10, **how)
    np.testing.assert_array_equal(optima.trained(other, 1), thetas[1:])


def test_readings_are_those_of_the_landscapes(small):
    theta = networks.start(small.problem)
    thetas = np.stack([theta, 2 * theta])
    found, labels = optima.read(small, thetas, "test"), optima.predicted(small, thetas)
    assert set(found) == {f"test {reading}" for reading in optima.READINGS}
    assert small.seen.size == 300
    test = small.unseen.evaluate(2 * theta)
    assert found["test test accuracy"][1] == test.accuracy and found["test test loss"][1] == test.loss
    assert found["test train loss"][0] == small.seen.evaluate(theta).loss
    np.testing.assert_array_equal(labels[1], small.unseen.labels(test.outputs))


def ends_of(network, count=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, networks.dimension(network.problem))).astype(np.float32) * 0.1


def connect_two(network, folder, steps=60):
    how = optima.OneByOne(0.003, steps)
    with at(folder):
        return optima.surface(network, ends_of(network), wedges.simplex.Grid(1, 4), how, "test").path


def test_surfaces_are_those_of_the_library(small):
    """Whatever basis, whatever way: as the library makes it with the same settings."""
    ends, steps = ends_of(small, 3), 5
    adam = lambda: training.cosine_adam(0.003, steps)
    basis = wedges.simplex.Scattered([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    one = optima.surface(small, ends, basis, optima.OneByOne(0.003, steps, "neighbour"), "test")
    same = wedges.connector(small.descend, ends, basis, adam(), steps, start="neighbour")
    np.testing.assert_array_equal(one.vertices, same.vertices)
    basis, settings = wedges.simplex.Bernstein(2, 2), {"seed": 7, "normal": False, "samples": 9}
    begin = wedges.Connector(ends, basis).vertices[3:] + 0.01
    how = optima.Jointly(0.003, steps, **settings, positions="faces", begin=begin)
    together = optima.surface(small, ends, basis, how, "test")
    settings |= {"positions": wedges.simplex.faces, "start": wedges.Connector(ends, basis, begin)}
    same = wedges.joint_connector(small.descend, ends, basis, adam(), steps, **settings)
    np.testing.assert_array_equal(together.vertices, same.vertices)


def test_a_tunnel_killed_anywhere_ends_bit_for_bit_the_same(small, tmp_path, monkeypatch):
    whole = connect_two(small, tmp_path / "whole")
    monkeypatch.setattr(cache, "SECONDS_BETWEEN_SAVES", 0)
    with monkeypatch.context() as killing:
        killing.setattr(store, "save", killed_after(store.save, 1, 4))  # in the first point, the second
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                connect_two(small, tmp_path / "killed")
    np.testing.assert_array_equal(connect_two(small, tmp_path / "killed"), whole)
    assert len(list((tmp_path / "killed").iterdir())) == 1  # of three points no part is left
    # And once more without a step.
    monkeypatch.setattr(wedges.Descent, "run", lambda *_: pytest.fail("descended again"))
    np.testing.assert_array_equal(connect_two(small, tmp_path / "killed"), whole)


def test_another_key_descends_again(small, tmp_path):
    found = connect_two(small, tmp_path)
    others = network_of(small.problem.model, seed=1)  # other minibatches
    assert not np.array_equal(connect_two(others, tmp_path), found)
    connect_two(small, tmp_path, steps=30)
    assert len(list(tmp_path.iterdir())) == 3
