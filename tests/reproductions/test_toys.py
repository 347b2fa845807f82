"""The toy figures: landscapes by name, what is measured on them against closed forms, each claim on
numbers made by hand."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

import wedges
from reproductions import fig1_wedges, toy_cut, toy_intersection, toy_probe, toy_tunnel
from reproductions.bench import cache, marks, options, parallel, runs
from reproductions.bench.errors import UsageError
from reproductions.common import descending, known_halves, toys
from wedges import compare

ROOT = pathlib.Path(__file__).parents[2]


def preset(figure, **changes):
    """The Config of a figure's smoke preset, with changes."""
    return figure.Config(**{**options.preset(figure.Config, "smoke"), **changes})


# ---- runs -------------------------------------------------------------------------------------------


def test_figure_1_can_be_turned_where_plotly_is_and_says_how_where_not(
    smoke, tmp_path, monkeypatch, capsys
):
    run = smoke("fig1_wedges")
    assert ", figure.html" in run.printed
    page = (run.directory / "figure.html").read_text()
    assert "plotly" in page and "along the wedges" in page
    shutil.copytree(run.out_dir, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / run.directory.relative_to(run.out_dir)
    (directory / "figure.png").unlink()
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert runs.run(fig1_wedges, ["--preset=smoke", f"--out_dir={tmp_path}", "--plot_only"]) == 0
    without = capsys.readouterr()
    assert without.err.count("\n") == 1 and "pip install 'wedges[html]'" in without.err
    assert "figure.html" not in without.out
    assert (directory / "figure.png").exists() and not (directory / "figure.html").exists()


@pytest.mark.slow
def test_two_jobs_find_what_one_does(smoke, tmp_path):
    """As from a terminal, where the figure is __main__; the workers sum with fewer threads."""
    program = [sys.executable, "-m", "reproductions.toy_probe", "--preset=smoke", "--jobs=2"]
    run = subprocess.run(
        [*program, f"--out_dir={tmp_path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    one, two = smoke("toy_probe").arrays, dict(np.load(f"{run.stdout.splitlines()[-1]}/results.npz"))
    assert set(one) == set(two) - {"__key__"}
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


# ---- the landscapes ---------------------------------------------------------------------------------


def test_sizes_reads_dimension_and_n():
    assert toys.sizes("1000x900") == (1000, 900)
    with pytest.raises(UsageError, match="--sizes=900x1000: must be DxN"):
        toys.sizes("900x1000")


def test_landscapes_by_name():
    kinds = {v: toys.Toy(v, 6, 4, 5, 0).landscape for v in (*toys.VARIANTS, "fixed")}
    assert type(kinds["axis"]) is wedges.AxisWedges and type(kinds["rotated"]) is wedges.RotatedWedges
    assert kinds["finite"].k == 5 and kinds["fixed"].k == 1
    assert all(v.dimension == 6 and v.n == 4 for v in kinds.values())
    assert set(kinds) == set(toys.LABELS)


def test_only_the_finite_variant_depends_on_k():
    for variant in ("axis", "rotated", "fixed"):
        assert toys.Toy(variant, 6, 4, 5, 0) == toys.Toy(variant, 6, 4, 50, 0)
    assert toys.Toy("finite", 6, 4, 5, 0) != toys.Toy("finite", 6, 4, 50, 0)


def test_what_a_toy_can_do_is_in_the_mark_of_a_number_measured_on_it(monkeypatch):
    """`toy.two_optima()` is code that the measuring function does not name."""
    marked = []
    monkeypatch.setattr(marks, "of", lambda *given: marked.extend(given) or "mark")
    cuts = toy_cut.Cuts(toys.Toy("axis", 6, 4, None, 0), 2, 8, 10)
    key = cache.key_of(toy_cut.minimised, ({"nested": [cuts]},), {})
    assert set(marked) == {toy_cut.minimised, toy_cut.Cuts, toys.Toy}
    assert key["code"] == "mark"


def test_rows_of_a_variant_are_stacked_in_their_order():
    places = [toys.Toy(v, 6, 4, 5, seed) for seed in (0, 1) for v in ("axis", "finite")]
    found = toys.by_variant(places, [{"a": np.array(i), "b": np.ones(3)} for i in range(4)])
    assert set(found) == {"axis a", "axis b", "finite a", "finite b"}
    assert found["axis a"].tolist() == [0, 2] and found["finite a"].tolist() == [1, 3]
    assert found["axis b"].shape == (2, 3)


def test_gaussian_numbers_depend_on_seed_and_shape_alone():
    np.testing.assert_array_equal(toys.gaussian(3, 4, 5), toys.gaussian(3, 4, 5))
    assert toys.gaussian(3, 4, 5).dtype == np.float32 and toys.gaussian(3, 4, 5).shape == (4, 5)
    assert not np.array_equal(toys.gaussian(3, 20), toys.gaussian(4, 20))
    many = toys.gaussian(0, 100_000)
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02


def test_optima_of_axis_wedges_are_the_starts_without_their_small_components():
    start = np.array([[3.0, -0.1, 2.0, 0.2, -4.0], [0.3, 5.0, -0.5, 6.0, 7.0]], np.float32)
    found = toys.Toy("axis", 5, 3, None, 0).optima(start)
    np.testing.assert_allclose(found, [[3, 0, 2, 0, -4], [0, 5, 0, 6, 7]], atol=1e-4)


# ---- what is measured, against closed forms ---------------------------------------------------------


def test_the_same_landscape_given_twice_is_measured_once(monkeypatch):
    seen = []
    count = lambda function, items: [seen.append(i) or {"ratio": np.ones(8)} for i in items]
    monkeypatch.setattr(parallel, "over", count)
    found = toy_cut.measure(preset(toy_cut, sizes=("30x20", "30x20")))
    assert len(seen) == len(set(seen)) == 4 * 5
    assert found["30x20 axis"].shape == (5, 8)


def test_a_cut_meets_a_fixed_wedge_from_s_dimensions_on():
    """Below, P0's distance from the wedge has a share 1 - d / s outside of the cut."""
    toy = toys.Toy("fixed", 40, 20, None, 3)
    ratio = lambda d: toy_cut.minimised(toy_cut.Cuts(toy, d, 60, 400))["ratio"]
    assert ratio(22).max() < toy_cut.SUCCESS
    below = ratio(5) ** 2
    assert below.mean() == pytest.approx(0.75, abs=4 * below.std() / np.sqrt(60))


def test_a_round_well_around_a_point_near_a_fixed_wedge():
    toy, walk = toys.Toy("fixed", 60, 30, None, 0), toy_probe.Walk(0.5, 400, (0.1, 2.0))
    found = toy_probe.walked(walk, toy)
    assert found["start"] == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_array_equal(found["same"], 1)  # there is no other wedge
    assert found["losses"].shape == (2, 2, 400)
    expected = 0.5**2 + np.array(walk.radii) ** 2 * 30 / 60
    np.testing.assert_allclose((found["losses"] ** 2).mean(axis=(1, 2)), expected, rtol=0.03)


@pytest.mark.parametrize("variant", ["axis", "finite"])
def test_where_two_wedges_meet_both_ones_directions_are_short(variant):
    toy = toys.Toy(variant, 30, 25, 8, 0)
    found = toy_intersection.counted(toy_intersection.Meeting(toy, 2))
    ends = toy_intersection.on_different_wedges(toy, 2)
    zero = [set(np.flatnonzero(np.abs(end) < toys.NEAR)) for end in ends]
    both = len(zero[0] | zero[1]) if variant == "axis" else 10
    assert found["optima"] == found["common"] == found["gradients"] == both
    assert found["loss"] < 0.05


def test_too_few_wedges_are_refused_with_what_would_do(monkeypatch):
    with pytest.raises(UsageError, match="--k=2: 18 random starts fell to 2 wedges, not 3; take more"):
        toy_intersection.on_different_wedges(toys.Toy("finite", 20, 17, 2, 0), 3)
    always = np.array([[0, 1, 1, 1]], np.float32)
    monkeypatch.setattr(toys.Toy, "optima", lambda _, starts: np.repeat(always, len(starts), axis=0))
    with pytest.raises(UsageError, match="--optima=2: 12 random starts fell to 1 wedges, not 2"):
        toy_intersection.on_different_wedges(toys.Toy("axis", 4, 3, None, 0), 2)


def test_the_path_through_the_crossing_is_low_where_the_line_is_not():
    found = toy_tunnel.paths(6, toys.Toy("axis", 30, 24, None, 0))
    barrier = wedges.barrier(found["line"])
    assert barrier > 0.1 * found["start"] and found["bend"].max() < 0.05 * barrier
    assert found["vertices"].shape == (7,) and found["cosines"].shape == (5, 5)
    assert found["end short"] == found["end rank"] == 6
    assert 6 < found["corner short"] == found["corner rank"] <= 12


# ---- claims, on numbers made by hand ----------------------------------------------------------------


def failures(figure, arrays, config):
    """The ids of the claims that fail."""
    found = figure.claims(arrays, config)
    assert found
    return {c.id for c in found if not c.passed}


def cut_config(**changes):
    return preset(toy_cut, sizes=("20x10",), fractions=(0.5, 1.5), seeds=8, **changes)


def cut_arrays(size="20x10"):
    """d = 5, 9, 10, 11, 12, 15 of s = 10; offsets alternate over the 8 seeds."""
    d = np.array([5, 9, 10, 11, 12, 15])
    ratio = np.where(d < 10, np.sqrt(1 - np.minimum(d, 10) / 10), 1e-5)[:, None] * np.ones(8)
    many = np.where(d < 10, 0.1, 1e-5)[:, None] * np.ones(8)
    wiggle = np.sqrt(1 + 0.02 * np.tile([1, -1], 4))  # mean square as it was
    fixed = np.where(d[:, None] < 10, ratio * wiggle, ratio)
    variants = {f"{size} {v}": many.copy() for v in toys.VARIANTS}
    return {f"{size} d": d, f"{size} fixed": fixed, **variants}


@pytest.mark.parametrize("variant", toy_cut.ALL)
@pytest.mark.parametrize(
    ("row", "seeds", "value", "claim"),
    [
        (4, 0, 0.5, "success"),  # d = s + 2, one of eight misses
        (4, 0, np.nan, "success"),
        (5, 3, np.nan, "success"),
        (1, 0, 1e-5, "failure"),  # d = 0.9 s, one of eight succeeds
    ],
)
def test_toy_cut_success_and_failure_of_each_variant(variant, row, seeds, value, claim):
    arrays = cut_arrays()
    assert failures(toy_cut, arrays, cut_config()) == set()
    arrays[f"20x10 {variant}"][row, seeds] = value
    found = failures(toy_cut, arrays, cut_config()) - {"toy.cut.residual"}  # of the fixed one
    assert found == {f"toy.cut.{claim}.{variant}"}


@pytest.mark.parametrize("change", [0.97, np.nan])
def test_toy_cut_the_fixed_wedges_curve(change):
    """An error of 0.02 sqrt(8/7) / sqrt(8) of the mean square: 6% off is nearly eight of them."""
    arrays = cut_arrays()
    arrays["20x10 fixed"][0] *= change
    assert failures(toy_cut, arrays, cut_config()) == {"toy.cut.residual"}


def test_toy_cut_the_fixed_wedges_curve_in_standard_errors():
    squares = np.array([0.5, 0.6, 0.7, 0.8])
    arrays = {"20x10 d": np.array([5, 10]), "20x10 fixed": np.sqrt([squares, squares])}
    # Mean 0.65 against 1 - 5/10; deviation sqrt(0.05 / 3), over sqrt(4). d = 10 does not count.
    assert toy_cut.off_the_curve(arrays, "20x10") == pytest.approx([0.15 / (np.sqrt(0.05 / 3) / 2)])


def test_toy_cut_variants_and_offsets_cross_at_the_same_d():
    later = cut_arrays()
    later["20x10 axis"][2] = 0.5  # d = s fails: half success between 10 and 11, not 9 and 10
    assert failures(toy_cut, later, cut_config()) == {"toy.cut.variants"}
    split = cut_arrays()
    for v in toys.VARIANTS:
        split[f"20x10 {v}"][2, ::2] = 0.5  # only the one kind of offset
    assert failures(toy_cut, split, cut_config()) == {"toy.cut.offsets"}


@pytest.mark.parametrize("first", [True, False])
def test_toy_cut_a_size_that_never_half_succeeds_fails_wherever_it_stands(first):
    """Python's max() would keep NaN only where it comes first."""
    bad = cut_arrays("40x30")
    for v in toys.VARIANTS:
        bad[f"40x30 {v}"][:] = 0.5
    sizes = ("40x30", "20x10") if first else ("20x10", "40x30")
    config = dataclasses.replace(cut_config(), sizes=sizes)
    found = failures(toy_cut, {**cut_arrays(), **bad}, config)
    assert {"toy.cut.variants", "toy.cut.offsets", "toy.cut.success.axis"} <= found


def test_toy_cut_makes_only_claims_about_the_dimensions_at_hand():
    config = dataclasses.replace(cut_config(), sizes=("20x10",))
    only = lambda rows: {k: v[rows] for k, v in cut_arrays().items()}
    names = lambda arrays: {c.id.split(".")[2] for c in toy_cut.claims(arrays, config)}
    assert names(only(slice(0, 4))) == {"failure", "residual", "variants", "offsets"}  # no d >= s + 2
    assert names(only(slice(2, 6))) == {"success", "variants", "offsets"}  # no d <= 0.9 s


def tunnel_config(**changes):
    changes = {"dimension": 10, "n": 5, "segments": 40, "pairs": 1, "map_k": (3, 10, 0), **changes}
    return preset(toy_tunnel, **changes)


def blocks(size, split, across=0.0, within=1.0):
    """Cosines [size, size] of vertices that point one way before `split`, another from it on."""
    side = np.arange(size) < split
    return np.where(np.eye(size) > 0, 1.0, np.where(side[:, None] == side, within, across))


def tunnel_arrays():
    """The line rises to 1; s = 5 of D = 10: 7.5 short directions at axis-aligned crossings, else 10."""
    arrays = {"map within": np.ones((1, 1, 3)), "map across": np.zeros((1, 1, 3))}
    arrays |= {"all within": np.ones((1, 1)), "all across": np.zeros((1, 1))}
    for v in toys.VARIANTS:
        each = {
            "start": 2.0,
            "t": [0, 0.25, 0.5, 0.75, 1],
            "line": [0, 0.5, 1, 0.5, 0],
            "tunnel": [0, 0.1, 0],
            "vertices": [0, 1e-5, 0],
            "cosines": blocks(39, 19),
            "bent": [0, 0.5, 1],
            "bend": [0, 0.01, 0],
            "end short": 5,
            "corner short": 10 if v == "finite" else 7.5,
            "end rank": 5,
            "corner rank": 10,
        }
        arrays |= {f"{v} {name}": np.array([value], float) for name, value in each.items()}
    return arrays


@pytest.mark.parametrize("variant", toys.VARIANTS)
@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [
        ("start", 20.0, "tunnel.barrier"),
        ("vertices", [0, 0.01, 0], "tunnel.vertices"),
        ("vertices", [0, np.nan, 0], "tunnel.vertices"),
        ("cosines", blocks(39, 19, within=0.7), "tunnel.within"),
        ("cosines", blocks(39, 19, across=0.3), "tunnel.across"),
        ("cosines", blocks(39, 15, across=-0.02), "tunnel.switch"),
        ("bend", [0, 0.2, 0], "connect.path"),
        ("bend", [np.nan, 0, 0], "connect.path"),
        ("corner short", 5, "connect.short"),
        ("corner short", 9, "connect.short"),
        ("corner short", np.nan, "connect.short"),
    ],
)
def test_toy_tunnel_each_claim_fails_alone(variant, name, value, claim):
    arrays = tunnel_arrays()
    assert failures(toy_tunnel, arrays, tunnel_config()) == set()
    if (variant, name, value) == ("finite", "corner short", 9):
        value = 8.9
    arrays[f"{variant} {name}"] = np.array([value], float)
    assert failures(toy_tunnel, arrays, tunnel_config()) == {f"toy.{claim}.{variant}"}


def test_toy_tunnel_a_line_without_a_rise_fails_all_that_is_measured_by_it():
    arrays = tunnel_arrays()
    arrays["axis line"] = np.zeros((1, 5))
    with np.errstate(all="ignore"):
        found = failures(toy_tunnel, arrays, tunnel_config())
    assert found == {f"toy.{n}.axis" for n in ("tunnel.barrier", "tunnel.vertices", "connect.path")}


def test_toy_tunnel_nan_cosines_fail_every_claim_about_them():
    config = tunnel_config(segments=6)
    arrays = tunnel_arrays()
    arrays |= {f"{v} cosines": blocks(5, 2)[None] for v in toys.VARIANTS}
    assert failures(toy_tunnel, arrays, config) == set()
    arrays["finite cosines"] = np.full((1, 5, 5), np.nan)
    names = ("within", "across", "switch")
    assert failures(toy_tunnel, arrays, config) == {f"toy.tunnel.{n}.finite" for n in names}


def test_halves_are_the_means_of_the_blocks():
    cosines = np.array(
        [
            [1.0, 0.8, 9, 0.1, 0.2],
            [0.8, 1.0, 9, 0.3, 0.4],
            [9, 9, 9, 9, 9],  # the middle vertex belongs to neither
            [0.1, 0.3, 9, 1.0, 0.6],
            [0.2, 0.4, 9, 0.6, 1.0],
        ]
    )
    within, across = compare.halves(cosines)
    assert within == pytest.approx(0.7) and across == pytest.approx(0.25)
    within, across = compare.halves(np.stack([cosines, blocks(5, 2)]))
    assert within == pytest.approx([0.7, 1]) and across == pytest.approx([0.25, 0])
    assert compare.halves(blocks(6, 3, across=0.5)) == (1.0, 0.5)


@pytest.mark.parametrize(("size", "split"), [(9, 2), (9, 4), (9, 7), (19, 12)])
def test_switch_is_where_the_blocks_meet(size, split):
    """Between vertex `split`, at split / (size + 1) of the line, and the next."""
    assert compare.switch(blocks(size, split)) == split


def test_no_switch_in_the_middle_is_seen_where_there_are_no_halves():
    assert abs(compare.switch(np.eye(19)) - 9.5) > 2
    assert np.isnan(compare.switch(np.full((5, 5), np.nan)))


RADII = (1.0, 2.0, 2.001)


def probe_config():
    return preset(toy_probe, dimension=1000, short=(100,), directions=200, radii=RADII)


def probe_arrays():
    """L^2 = L0^2 + a^2 s/D (1 + c) both ways, c = +- sqrt(2/s) made to have just that deviation."""
    c = np.tile([1.0, -1.0], 100) * np.sqrt(2 / 100) * np.sqrt(199 / 200)
    squares = 0.05**2 + np.array(RADII)[:, None] ** 2 * 0.1 * (1 + c)  # [radii, directions]
    losses = np.sqrt(np.stack([squares, squares], axis=1))[None]  # [1, radii, 2, directions]
    arrays = {}
    for v in toys.VARIANTS:
        arrays |= {f"{v} losses": losses.copy(), f"{v} start": np.array([0.05])}
        arrays[f"{v} same"] = np.ones((1, len(RADII)))
    return arrays


def squared(change):
    """A change of the squares at one radius, made to the losses."""

    def apply(losses, radius):
        losses[0, radius] = np.sqrt(change(losses[0, radius] ** 2))

    return apply


@pytest.mark.parametrize("variant", toys.VARIANTS)
@pytest.mark.parametrize(
    ("radius", "change", "claims"),
    [
        (0, lambda q: 1.1 * q, {"formula"}),  # its standard error is 1%
        (2, lambda q: q.mean() + 1.4 * (q - q.mean()), {"scatter"}),
        (2, lambda q: q - 0.01 * 0.4, {"rises"}),  # one standard error down, more than the rise
        (2, lambda q: q * np.array([[1.6], [0.4]]), {"round"}),  # a slope: no matter to the mean
        (1, lambda q: np.nan * q, {"formula", "rises"}),
        (2, lambda q: np.nan * q, {"formula", "rises"}),
    ],
)
def test_toy_probe_each_claim_fails_alone(variant, radius, change, claims):
    arrays = probe_arrays()
    assert failures(toy_probe, arrays, probe_config()) == set()
    squared(change)(arrays[f"{variant} losses"], radius)
    found = failures(toy_probe, arrays, probe_config())
    assert found == {f"toy.probe.{c}.{variant}" for c in claims}


def test_toy_probe_what_another_wedge_is_nearer_to_does_not_count():
    arrays = probe_arrays()
    squared(lambda q: 0.1 * q)(arrays["axis losses"], 2)
    assert failures(toy_probe, arrays, probe_config()) >= {"toy.probe.formula.axis"}
    arrays["axis same"][0, 2] = 0.995
    assert failures(toy_probe, arrays, probe_config()) == set()
    arrays["axis same"][:] = 0.995  # nothing is left to measure
    names = ("formula", "scatter", "rises", "round")
    assert failures(toy_probe, arrays, probe_config()) == {f"toy.probe.{n}.axis" for n in names}


def test_toy_probe_one_step_makes_no_claim_about_a_rise():
    config = dataclasses.replace(probe_config(), radii=RADII[:1])
    one = {k: v if k.endswith("start") else v[:, :1] for k, v in probe_arrays().items()}
    assert {c.id.split(".")[2] for c in toy_probe.claims(one, config)} == {"formula", "scatter", "round"}


def test_the_last_value_that_is_one():
    nan = np.nan
    found = toy_probe.last(np.array([[1, 2, 3], [1, 2, nan], [nan, nan, nan], [1, nan, 3]]))
    np.testing.assert_array_equal(found, [3, 2, nan, 3])


def intersection_config(**changes):
    changes = {"dimension": 100, "short": (1,), "optima": (20,), "k": 40, "seeds": 1, **changes}
    return preset(toy_intersection, **changes)


def intersection_arrays(config):
    """Counts just as the formula says; random cuts succeed from d = s on."""
    arrays = {}
    for v in toys.VARIANTS:
        counts = toys.together(
            config.dimension, np.array(config.short)[:, None], config.optima, v
        ) * np.ones((config.seeds, 1, 1))
        arrays |= {f"{v} {way}": counts.copy() for way in ("optima", "common", "gradients")}
        arrays[f"{v} loss"] = np.full(counts.shape, 0.01)
        success = np.array([0, 0, 1, 1, 1, 1, 1.0])
        arrays[f"{v} cut"] = np.tile(success, (config.seeds, len(config.short), 1))
    return arrays


@pytest.mark.parametrize("variant", toys.VARIANTS)
@pytest.mark.parametrize("way", ["optima", "common", "gradients"])
@pytest.mark.parametrize("factor", [1.11, 0.89, np.nan])
def test_toy_intersection_each_count_fails_alone(variant, way, factor):
    """Where wedges share nothing yet (m + 1) s is the formula too, and fails with it on NaN only."""
    config = intersection_config()
    arrays = intersection_arrays(config)
    assert failures(toy_intersection, arrays, config) == set()
    arrays[f"{variant} {way}"] *= factor
    found = failures(toy_intersection, arrays, config)
    also = {f"toy.intersection.small.{variant}"} if way == "optima" else set()
    assert found - also == {f"toy.intersection.{way}.{variant}"}
    assert np.isfinite(factor) or found >= also


@pytest.mark.parametrize("variant", ["axis", "rotated"])
def test_toy_intersection_the_sum_fails_alone(variant):
    """20 wedges share: 18.2 directions by the formula. 17.3 is 5% from that and 13% from 20."""
    config = intersection_config()
    arrays = intersection_arrays(config)
    assert arrays[f"{variant} optima"].item() == pytest.approx(18.209, abs=1e-3)
    arrays[f"{variant} optima"][:] = 17.33
    assert failures(toy_intersection, arrays, config) == {f"toy.intersection.small.{variant}"}


@pytest.mark.parametrize("variant", toys.VARIANTS)
@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [
        ("loss", 0.2, "paths"),
        ("loss", np.nan, "paths"),
        ("cut", [0, 0, 0, 0, 0, 1, 1], "cut"),
        ("cut", [0, 0, 0, 0, 0, 0, 0.4], "cut"),  # half is never reached
        ("cut", np.nan, "cut"),
    ],
)
def test_toy_intersection_paths_and_cuts_fail_alone(variant, name, value, claim):
    config = intersection_config()
    arrays = intersection_arrays(config)
    arrays[f"{variant} {name}"][:] = value
    assert failures(toy_intersection, arrays, config) == {f"toy.intersection.{claim}.{variant}"}


def test_expected_short_directions_of_many_wedges():
    expected = toys.together
    assert expected(100, 20, 2, "axis") == pytest.approx(36)  # 20 + 20 - 20 * 20 / 100
    assert expected(100, 20, 2, "rotated") == pytest.approx(36)
    assert expected(100, 20, 2, "finite") == 40 and expected(10, 7, 2, "finite") == 10
    assert expected(100, 20, 3, "rotated") == pytest.approx(48.8)  # 100 (1 - 0.8^3)
    assert expected(100, 20, 3, "finite") == 60 and expected(100, 20, 8, "finite") == 100
    np.testing.assert_allclose(
        expected(100, np.array([[10], [20]]), np.array([1, 2]), "axis"), [[10, 19], [20, 36]]
    )


def test_half_of_the_cuts_at_d():
    never = [0, 0, 0, 0, 0, 0, 0.4]
    found = toy_intersection.half(np.array([[0, 0.4, 0.5, 1, 1, 1, 1], [1] * 7, never]))
    np.testing.assert_array_equal(found, [1.0, 0.8, np.nan])
    assert len(toy_intersection.CUTS) == 7


def test_no_cut_at_the_crossing_has_more_dimensions_than_there_are(monkeypatch):
    seen = []

    def stay(_, starts, *rest, subspace, **settings):
        seen.append(subspace.dimension)
        return types.SimpleNamespace(theta=starts)

    monkeypatch.setattr(toy_intersection, "on_different_wedges", lambda *_: None)
    monkeypatch.setattr(toys.Toy, "crossing", lambda *_: np.ones(10, np.float32))
    monkeypatch.setattr(wedges, "minimize", stay, raising=False)
    found = toy_intersection.recovered(2, toys.Toy("axis", 10, 1, None, 0))
    assert seen == [7, 8, 9, 10, 10, 10, 10]  # of 0.8 s, 0.9 s, ...
    np.testing.assert_array_equal(found["cut"], np.zeros(7))  # nobody moved


def fig1_arrays():
    return {"line loss": np.array([0, 0.3, 0.6, 0.3, 0]), "path loss": np.array([0, 0.01, 0.0])}


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"line loss": [0, 0.04, 0.08, 0.04, 0], "path loss": [0, 0, 0]}, {"line"}),
        ({"line loss": [0.01, 0.3, 0.6, 0.3, 0]}, {"optima"}),
        ({"line loss": [0, 0.3, 0.6, 0.3, 0.01]}, {"optima"}),
        ({"path loss": [0, 0.1, 0]}, {"path"}),
        ({"path loss": [0, np.nan, 0]}, {"path"}),
        ({"line loss": [0, np.nan, 0.6, 0.3, 0]}, {"line", "optima", "path"}),
    ],
)
def test_fig1_each_claim_fails_alone(changes, claims):
    config = preset(fig1_wedges)
    assert failures(fig1_wedges, fig1_arrays(), config) == set()
    arrays = {**fig1_arrays(), **{k: np.array(v, float) for k, v in changes.items()}}
    assert failures(fig1_wedges, arrays, config) == {f"fig1.{c}" for c in claims}


# ---- what halves must be ----------------------------------------------------------------------------


def deviations(normals, a, b, t):
    """The shortest way from a (1 - t) + b t, in the hyperplane normal to b - a, to where the normals
    [s, D] of a wedge see nothing: [D]."""
    along = (b - a) / np.linalg.norm(b - a)
    inside = normals - np.outer(normals @ along, along)
    return -inside.T @ np.linalg.solve(inside @ inside.T, normals @ ((1 - t) * a + t * b))


def test_the_halves_of_few_random_wedges_are_as_far_apart_as_the_formula_says():
    rng = np.random.default_rng(0)
    for share in (0.3, 0.5, 0.8):
        found = []
        for _ in range(5):
            frames = [np.linalg.qr(rng.standard_normal((120, 120)))[0] for _ in "ab"]
            n = round(share * 120)
            a, b = (f[:, :n] @ rng.standard_normal(n) for f in frames)
            a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
            one, same, other = (
                deviations(frames[i][:, n:].T, a, b, t) for i, t in ((0, 0.2), (0, 0.4), (1, 0.7))
            )
            assert compare.cosine_matrix([one, same])[0, 1] == pytest.approx(1)
            found.append(compare.cosine_matrix([one, other])[0, 1])
        assert np.mean(found) == pytest.approx(known_halves.few_wedges(share), abs=0.07)
    np.testing.assert_allclose(known_halves.few_wedges([1.0, 0.5, 0.0]), [0, 1 / 3, 1])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_the_halves_of_all_axis_aligned_wedges_are_those_of_a_large_sample(share):
    """The quadrature against 60,000 components drawn at random, each vertex on the wedge nearest to its
    point of the line."""
    count, n = 60_000, round(share * 60_000)
    largest = lambda x: np.where(np.abs(x) >= np.sort(np.abs(x))[-n], x, 0)
    a, b = map(largest, np.random.default_rng(1).standard_normal((2, count)))
    moved = []
    for t in np.arange(1, 8) / 8:
        p = (1 - t) * a + t * b
        away = p - largest(p)
        moved.append(away - (away @ (b - a)) / ((b - a) @ (b - a)) * (b - a))
    within, across = compare.halves(compare.cosine_matrix(moved))
    assert known_halves.all_wedges(share, 8) == pytest.approx((within, across), abs=0.04)


def test_all_axis_aligned_wedges_have_the_two_halves_nowhere():
    """Where the cosine within a half is large enough, so is that across, and the other way round."""
    found = np.array([known_halves.all_wedges(share, 20) for share in np.linspace(0.02, 0.98, 13)])
    within, across = found.T
    assert (np.diff(within) < 0).all() and (np.diff(across) < 0.005).all()  # as n / D rises
    assert within[0] > 0.9 and across[-1] < 0.01
    assert not ((within >= toy_tunnel.WITHIN) & (across <= 2 * toy_tunnel.ACROSS)).any()


# ---- gradient descent in place of conjugate gradients -----------------------------------------------


@pytest.mark.parametrize("variant", ["axis", "finite"])
def test_gradient_descent_finds_optima_and_tunnels_of_its_own(variant):
    toy = descending.Descended(variant, 40, 32, 3, 0, descent=400)
    start, ends = toy.two_optima()
    assert toy.landscape(ends).numpy().max() < 1e-4 * start
    tunnel = toy.tunnel(ends, 6)
    barrier = wedges.barrier(wedges.connect.along(toy.landscape, ends, 60)[1])
    assert toy.landscape(tunnel.path).numpy().max() < 1e-2 * barrier
    # Vertices stay in the hyperplanes normal to the line.
    line = ends[1] - ends[0]
    np.testing.assert_allclose(tunnel.deviations @ line / np.linalg.norm(line) ** 2, 0, atol=1e-5)


def test_gradient_descent_from_a_start_goes_straight_down_to_the_nearest_wedge():
    """As conjugate gradients on half the square do, so what is found near an optimum is the same."""
    own = toys.Toy("axis", 60, 48, None, 0), descending.Descended("axis", 60, 48, None, 0)
    starts = toys.gaussian(0, 4, 60)
    one, other = (toy.optima(starts) for toy in own)
    np.testing.assert_allclose(other, one, atol=1e-4)
    np.testing.assert_array_equal(np.abs(one) > 1e-3, np.abs(other) > 1e-3)


@pytest.mark.parametrize(("d", "succeed"), [(7, 0), (12, 6)])
def test_gradient_descent_in_a_random_cut_succeeds_from_as_many_dimensions_on(d, succeed):
    """s = 8: not below 0.9 s, and always some way above s, where fewer steps do than at s + 2."""
    import keras

    toy = toys.Toy("finite", 40, 32, 5, 0)
    starts = toys.gaussian(3, 6, 40)
    planes = wedges.random_cut(starts, d, seed=range(6))
    steepest = (np.sqrt(d) + np.sqrt(toy.s)) ** 2 / 40  # the largest curvature in a cut, about
    descent = keras.optimizers.SGD(1 / steepest)
    found = wedges.minimize(toy.squared, starts, descent, 1500, subspace=planes)
    ratio = toy.landscape(found.theta).numpy() / toy.landscape(starts).numpy()
    assert (ratio < toy_cut.SUCCESS).sum() == succeed


# ---- helpers, by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "fractions", "expected"),
    [
        ((30, 20), (0.5, 1.5), [5, 9, 10, 11, 12, 15]),
        ((10, 9), (0.3, 2.0), [1, 2, 3]),  # 0.3 s rounds to 0: no cut; s - 1 = 0 neither
        ((4, 1), (0.7, 5.0), [2, 3, 4]),  # none above D
    ],
)
def test_dimensions_of_the_cuts(size, fractions, expected):
    assert toy_cut.dims(dataclasses.replace(cut_config(), fractions=fractions), *size) == expected


@pytest.mark.parametrize(
    ("success", "d"),
    [
        ([0, 0, 1, 1], 15),
        ([0, 1 / 4, 3 / 4, 1], 15),
        ([0, 1 / 4, 1, 1], 40 / 3),
        ([0, 0, 1 / 2, 1], 20),
        ([1 / 2, 0, 0, 1], 5),  # the first time
        ([0, 0, 0, 1 / 4], np.nan),
    ],
)
def test_half_success_is_found_between_the_measured(success, d):
    ratio = np.where(np.arange(4) < 4 * np.array(success)[:, None], 0.0, 1.0)  # [dims, cuts of a kind]
    arrays = {"20x10 d": np.array([5, 10, 20, 40])}
    arrays |= {f"20x10 {v}": np.repeat(ratio, 2, axis=1) for v in toy_cut.ALL}  # kinds in turn
    half = toy_cut.numbers(arrays, cut_config())["20x10", "axis"]["half"]
    np.testing.assert_allclose(half, [d, d])


def test_offsets_are_dealt_in_turn():
    config = dataclasses.replace(cut_config(), seed=1, seeds=4)  # seeds 1 .. 4: uniform first
    normal, uniform = toy_cut.by_offset(config, np.array([[1, 2, 3, 4]]))
    np.testing.assert_array_equal(normal, [[2, 4]])
    np.testing.assert_array_equal(uniform, [[1, 3]])


def test_figure_1_takes_the_two_optima_with_the_highest_line_between():
    landscape = wedges.AxisWedges(3, 1)  # lines: the axes
    optima = np.array([[1, 0, 0], [1.3, 0, 0], [0, 0.9, 0], [0.1, 0, 0], [0, 0, 9]], np.float32)
    ends = fig1_wedges.far_apart(landscape, optima)  # 0.1 is too near the middle, 9 outside
    assert sorted(map(tuple, ends.tolist())) == [
        (0.0, pytest.approx(0.9), 0.0),
        (pytest.approx(1.3), 0.0, 0.0),
    ]


def test_figure_1s_surface_is_where_the_loss_is_the_level():
    axis = np.linspace(-1.5, 1.5, 31, dtype=np.float32)
    x, *_ = np.meshgrid(axis, axis, axis, indexing="ij")
    vertices, faces = fig1_wedges.surface({"axis": axis, "grid": np.abs(x)}, 0.25)
    np.testing.assert_allclose(np.abs(vertices[:, 0]), 0.25, atol=1e-5)
    assert faces.max() < len(vertices) and vertices[:, 1].max() == pytest.approx(1.5)


# ---- pictures, whose titles are chosen by the numbers -----------------------------------------------


def finding(figure, arrays, config):
    """The first line of a picture's title."""
    return figure.plot(arrays, config).get_suptitle().split("\n")[0]


def test_toy_cuts_title_says_only_what_holds():
    arrays, config = cut_arrays(), cut_config()
    says = "A random cut meets the low-loss set once it has s = D - n dimensions"
    assert finding(toy_cut, arrays, config) == says
    both = dataclasses.replace(config, sizes=("20x10", "40x30"))
    assert finding(toy_cut, arrays | cut_arrays("40x30"), both) == f"{says}, whatever D and n"
    arrays["20x10 axis"][4, 0] = 0.5
    assert "meets" not in finding(toy_cut, arrays, config).replace("to meet", "")


def test_toy_probes_title_and_arrow_say_whether_another_wedge_is_nearer():
    arrays, config = probe_arrays(), probe_config()
    says = "Near a wedge the loss rises alike in every random direction"
    assert finding(toy_probe, arrays, config) == says
    arrays["axis same"][0, 2] = 0.995
    assert finding(toy_probe, arrays, config) == f"{says}, until another wedge is nearer"
    rise = toy_probe.plot(arrays, config).axes[0]
    (arrow,) = [a for a in rise.texts if "another wedge" in a.get_text()]
    expected = np.sqrt((arrays["axis losses"][0, 2] ** 2).mean())
    np.testing.assert_allclose(arrow.xy, [RADII[2], expected])
    arrays = probe_arrays()
    squared(lambda q: 1.1 * q)(arrays["finite losses"], 0)
    assert "alike" not in finding(toy_probe, arrays, config)


def test_toy_tunnels_title_says_where_the_halves_are():
    arrays, config = tunnel_arrays(), tunnel_config()
    low = "Low-loss paths join optima of every toy landscape"
    assert finding(toy_tunnel, arrays, config) == f"{low}; tunnels have two aligned halves"
    arrays["axis cosines"] = blocks(39, 19, within=0.1)[None]
    assert finding(toy_tunnel, arrays, config) == f"{low}; only few wedges make two aligned halves"
    assert "have" not in finding_of_rotated(arrays, config)
    arrays["rotated cosines"] = arrays["axis cosines"]
    assert "have" in finding_of_rotated(arrays, config)
    arrays["finite cosines"] = arrays["axis cosines"]
    assert finding(toy_tunnel, arrays, config) == low
    arrays["rotated bend"] += 0.2
    assert "join" not in finding(toy_tunnel, arrays, config)


def finding_of_rotated(arrays, config):
    return toy_tunnel.more_pictures(arrays, config)["rotated"].get_suptitle().split("\n")[0]


def test_toy_tunnels_map_counts_the_landscapes_of_two_halves():
    arrays, config = tunnel_arrays(), tunnel_config()
    arrays["map within"][0, 0, 1] = 0.79
    arrays["map across"][0, 0, 2] = -0.001
    picture = toy_tunnel.more_pictures(arrays, config)["map"]
    assert picture.get_suptitle().startswith("Two aligned halves are found in 2 of 3 toy landscapes")
    assert [ax.texts[0].get_text() for ax in picture.axes] == ["1.00\n0.00", "0.79\n0.00", "1.00\n0.00"]
    boxes = [sum(p.get_fill() is False for p in ax.patches) for ax in picture.axes]
    assert boxes == [1, 0, 1]


def test_toy_tunnels_longer_map_counts_the_landscapes_of_all_wedges():
    arrays, config = tunnel_arrays(), tunnel_config(map_all=(0.1, 0.5), map_dimensions=(40, 80))
    arrays |= {f"map {name}": np.ones((2, 1, 3)) for name in ("within", "across")}
    arrays["all within"] = np.array([[0.9, 0.6], [0.8, 0.79]])
    arrays["all across"] = np.array([[0.6, 0.1], [0.2, 0.1]])
    drawn = lambda: toy_tunnel.more_pictures(arrays, config)["all"]
    title = lambda figure: figure.get_suptitle().split("\n")[0]
    assert title(drawn()) == "All axis-aligned wedges: two aligned halves in 1 of 4 landscapes"
    arrays["all across"][1, 0] = 0.21
    figure = drawn()
    says = "in 0 of 4 landscapes; where halves are aligned within, they are alike"
    assert title(figure).endswith(says)
    left, right = figure.axes
    shown = [line for line in left.lines if line.get_marker() == "s" and len(line.get_xdata())]
    np.testing.assert_allclose([line.get_ydata() for line in shown], [[0.8, 0.79], [0.21, 0.1]])
    assert right.get_title() == "K = 3 and 10 random wedges"
    guarded = toy_tunnel.summary(arrays, config)
    assert guarded["all wedges, D 80, n/D 0.1: across"] == [0.21]


def test_toy_intersections_title_says_only_what_holds():
    config = intersection_config()
    arrays = intersection_arrays(config)
    says = "Where m + 1 wedges meet, their short directions add up"
    assert finding(toy_intersection, arrays, config) == f"{says}; a random cut sees only one wedge's"
    arrays["axis cut"][..., :6] = 0
    assert finding(toy_intersection, arrays, config) == says
    arrays["finite common"] *= 0.5
    assert "add up" not in finding(toy_intersection, arrays, config)


@pytest.mark.parametrize("figure", [toy_cut, toy_probe, toy_tunnel, toy_intersection])
def test_pictures_of_toys_are_drawn_where_numbers_are_not_known(figure):
    own = intersection_config()
    arrays, config = {
        toy_cut: (cut_arrays(), cut_config()),
        toy_probe: (probe_arrays(), probe_config()),
        toy_tunnel: (tunnel_arrays(), tunnel_config()),
        toy_intersection: (intersection_arrays(own), own),
    }[figure]
    known = {name for name in arrays if name.endswith((" d", " start"))}
    lost = {name: values * np.nan for name, values in arrays.items() if name not in known}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
        assert figure.plot(arrays | lost, config).axes
