"""The toy figures, figures 1 to 5, m-connectors and local properties as a user runs them; the toys'
claims and helpers on numbers made by hand."""

import contextlib
import dataclasses
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from reproductions import (
    emergent_curvature,
    emergent_goldilocks,
    emergent_gradient,
    emergent_outliers,
    fig1_wedges,
    fig2_radial,
    fig3_tunnel,
    fig4_short_directions,
    fig5_widths,
    m_connectors,
    toy_cut,
    toy_intersection,
    toy_probe,
    toy_tunnel,
)
from reproductions.bench import runs
from reproductions.bench.claims import Reference
from reproductions.bench.errors import UsageError
from reproductions.common import toys
from wedges import compare

ROOT = pathlib.Path(__file__).parents[2]
IDS = {
    toy_cut: ("toy.cut.",),
    toy_tunnel: ("toy.tunnel.", "toy.connect."),
    toy_probe: ("toy.probe.",),
    toy_intersection: ("toy.intersection.",),
    fig1_wedges: ("fig1.",),
    fig2_radial: ("fig2.",),
    fig3_tunnel: ("fig3.",),
    m_connectors: ("m-connector.",),
    fig4_short_directions: ("fig4.",),
    fig5_widths: ("fig5.",),
    emergent_outliers: ("emergent.outliers.",),
    emergent_gradient: ("emergent.gradient.",),
    emergent_curvature: ("emergent.curvature.",),
    emergent_goldilocks: ("emergent.goldilocks.",),
}
FILES = ["check.json", "config.json", "figure.png", "results.npz"]
name_of = lambda value: runs.name_of(value) if hasattr(value, "__file__") else None


@pytest.fixture(scope="module", params=IDS, ids=runs.name_of)
def smoke(request, tmp_path_factory):
    """One run of a figure's smoke preset: (figure, exit status, its folder, the out_dir, output)."""
    figure, out = request.param, tmp_path_factory.mktemp("runs")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = runs.run(figure, command(figure, out))
    text = printed.getvalue()
    return figure, status, pathlib.Path(text.splitlines()[-1]), out, text


def command(figure, out, *more):
    return ["--preset=smoke", f"--out_dir={out}", *more]


def preset(figure, **changes):
    return figure.Config(**{**figure.PRESETS["smoke"], **changes})


def measured(figure):
    """The Config of the shared run."""
    return preset(figure)


def arrays_of(folder):
    return dict(np.load(folder / "results.npz", allow_pickle=False))


def test_a_run_leaves_its_files_and_names_its_folder_last(smoke):
    figure, status, folder, out, printed = smoke
    assert status == 0
    assert folder.parent == out / runs.name_of(figure) and folder.name.startswith("smoke-")
    page = ["figure.html"] if figure is fig1_wedges else []
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES + page)
    assert "claims hold" in printed
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "config.json").read_text())
    settings = dataclasses.asdict(measured(figure))
    assert config["config"] == json.loads(json.dumps(settings)) and config["preset"] == "smoke"
    assert config["figure"] == runs.name_of(figure)
    given = "--preset=smoke"
    assert config["provenance"]["command"] == f"python -m reproductions.{runs.name_of(figure)} {given}"
    assert config["provenance"]["seconds"] > 0


def test_check_json_is_as_the_contract_says(smoke):
    figure, _, folder, *_ = smoke
    check = json.loads((folder / "check.json").read_text())
    assert set(check) == {"figure", "preset", "passed", "claims"}
    assert check["figure"] == runs.name_of(figure) and check["preset"] == "smoke"
    keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
    for claim in check["claims"]:
        assert set(claim) == keys and claim["id"].startswith(IDS[figure])
        assert claim["statement"] and claim["source"] and claim["relation"] in ("<", "<=", ">", ">=")
    found = [c["id"] for c in check["claims"]]
    assert len(found) == len(set(found)) > 2
    assert all(any(i.startswith(p) for i in found) for p in IDS[figure])
    assert check["passed"] == all(c["passed"] for c in check["claims"])


def test_results_hold_finite_numbers_only(smoke):
    for name, array in arrays_of(smoke[2]).items():
        if name != "__key__":
            assert array.size and np.isfinite(array).all(), name


def test_smoke_agrees_with_its_reference(smoke):
    """The regression test: every number that the committed reference guards."""
    figure, _, folder, _, printed = smoke
    config = preset(figure)
    numbers = figure.summary(arrays_of(folder), config)
    key = {"figure": runs.name_of(figure), "config": dataclasses.asdict(config)}
    assert Reference(runs.name_of(figure)).deviations("smoke", key, numbers) == []
    assert f"reference: {len(numbers)} of {len(numbers)} numbers agree" in printed


def test_what_a_reference_guards_is_finite_and_agrees_with_itself(smoke, tmp_path):
    figure, _, folder, *_ = smoke
    config = measured(figure)
    numbers = figure.summary(arrays_of(folder), config)
    assert numbers and all(len(v) and np.isfinite(v).all() for v in numbers.values())
    key = {"config": dataclasses.asdict(config)}
    reference = Reference(runs.name_of(figure), tmp_path)
    reference.write("smoke", key, numbers, {})
    assert reference.deviations("smoke", key, numbers) == []
    name = sorted(numbers)[0]
    wrong = {**numbers, name: 2 * np.asarray(numbers[name], float) + 100}
    assert [o[0] for o in reference.deviations("smoke", key, wrong)] == [name]


def test_a_second_run_measures_nothing_again_and_plot_only_draws(smoke, monkeypatch, capsys):
    figure, _, folder, out, _ = smoke
    monkeypatch.setattr(figure, "measure", lambda *_: pytest.fail("measured again"))
    monkeypatch.delattr(figure, "html", raising=False)
    for flags, words in (([], "finished before"), (["--plot_only"], "")):
        (folder / "figure.png").unlink()
        (folder / "check.json").unlink()
        assert runs.run(figure, command(figure, out, *flags)) == 0
        assert (folder / "figure.png").exists() and (folder / "check.json").exists()
        printed = capsys.readouterr()
        assert words in printed.err and ("finished before" in printed.err) == bool(words)
        assert printed.out.splitlines()[-1] == str(folder)


@pytest.mark.parametrize("smoke", [fig1_wedges], indirect=True, ids=name_of)
def test_figure_1_can_be_turned_where_plotly_is_and_says_how_where_not(smoke, monkeypatch, capsys):
    figure, _, folder, out, printed = smoke
    page = folder / "figure.html"
    assert "and figure.html" in printed
    text = page.read_text()
    assert "plotly" in text and "along the wedges" in text
    page.unlink()
    (folder / "figure.png").unlink()
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert runs.run(figure, command(figure, out, "--plot_only")) == 0
    without = capsys.readouterr()
    assert without.err.count("\n") == 1 and "pip install 'wedges[html]'" in without.err
    assert "figure.html" not in without.out
    assert (folder / "figure.png").exists() and not page.exists()


@pytest.mark.slow
@pytest.mark.parametrize("smoke", [toy_probe], indirect=True, ids=name_of)
def test_two_jobs_find_what_one_does(smoke, tmp_path):
    """As from a terminal, where the figure is __main__; the workers sum with fewer threads."""
    program = [sys.executable, "-m", "reproductions.toy_probe", "--preset=smoke", "--jobs=2"]
    run = subprocess.run(
        [*program, f"--out_dir={tmp_path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    one, two = arrays_of(smoke[2]), arrays_of(pathlib.Path(run.stdout.splitlines()[-1]))
    assert set(one) == set(two)
    for name in set(one) - {"__key__"}:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)


# ---- bad input --------------------------------------------------------------------------------------

BAD = [
    (toy_cut, ["--sizes=10"], "--sizes=10: must be DxN with 0 < N < D"),
    (toy_cut, ["--sizes=10x20"], "--sizes=10x20: must be DxN with 0 < N < D <= 20000, e.g. 1000x900"),
    (toy_cut, ["--sizes=20x20"], "--sizes=20x20: must be DxN"),
    (toy_cut, ["--sizes=20x0"], "--sizes=20x0: must be DxN"),
    (toy_cut, ["--sizes=40000x3"], "--sizes=40000x3: must be DxN"),
    (toy_cut, ["--sizes=30x20,"], "--sizes=: must be DxN"),
    (toy_cut, ["--sizes=9x8x7"], "--sizes=9x8x7: must be DxN"),
    (toy_cut, ["--fractions=0"], "--fractions=0: must be above 0"),
    (toy_cut, ["--fractions=0.5,nan"], "--fractions=0.5,nan: must be above 0"),
    (toy_cut, ["--fractions=half"], "--fractions=half: must be a number or several with commas"),
    (toy_cut, ["--seeds=0"], "--seeds=0: must be at least 4"),
    (toy_cut, ["--steps=0"], "--steps=0: must be at least 1"),
    (toy_cut, ["--k=-1"], "--k=-1: must be at least 1"),
    (toy_cut, ["--seed=1.5"], "--seed=1.5: must be a whole number"),
    (toy_cut, ["--dataset=cifar10"], "Unknown command line flag 'dataset'"),
    (toy_cut, ["--plot_only"], "--plot_only: no results"),
    (toy_tunnel, ["--n=2000"], "--n=2000: must be below --dimension=60, e.g. 900 of 1000"),
    (toy_tunnel, ["--dimension=48"], "--n=48: must be below --dimension=48"),
    (toy_tunnel, ["--dimension=6000"], "--dimension=6000: must be 4..5000"),
    (toy_tunnel, ["--segments=2"], "--segments=2: must be at least 6"),
    (toy_tunnel, ["--map_long=1.5"], "--map_long=1.5: must be between 0 and 1"),
    (toy_tunnel, ["--map_k=1"], "--map_k=1: must be 0 or at least 2"),
    (toy_tunnel, ["--map_dimensions=3"], "--map_dimensions=3: must be 4..5000"),
    (toy_tunnel, ["--k=1"], "--k=1: must be at least 2"),
    (fig2_radial, ["--directions=1"], "--directions=1: must be at least 2"),
    (fig2_radial, ["--distances=3"], "--distances=3: must be at least 4"),
    (fig2_radial, ["--steps=4"], "--steps=4: must be at least 5"),
    (fig2_radial, ["--toy=10x10"], "--toy=10x10: must be DxN with 0 < N < D <= 20000, e.g. 1000x900."),
    (fig2_radial, ["--toy_k=2"], "--toy_k=2: must be at least 3"),
    (fig2_radial, ["--height=-1"], "--height=-1: must be above 0"),
    (fig3_tunnel, ["--segments=5"], "--segments=5: must be from 6 to 1000"),
    (fig3_tunnel, ["--pairs=0"], "--pairs=0: must be at least 1"),
    (fig3_tunnel, ["--steps=-1"], "--steps=-1: must be at least 1"),
    (fig3_tunnel, ["--start=warm"], "--start=warm: choose from flat, neighbour"),
    (fig3_tunnel, ["--toy_n=100"], "--toy_n=100: must be below --toy_dimension=100"),
    (fig3_tunnel, ["--rate=0"], "--rate=0: must be above 0"),
    (fig3_tunnel, ["--dataset=imagenet"], "--dataset=imagenet"),
    (fig3_tunnel, ["--model=lenet"], "--model=lenet: needs images"),
    (m_connectors, ["--m=0"], "--m=0: must be from 1 to 50"),
    (m_connectors, ["--m=1,two"], "--m=1,two: must be a whole number or several with commas"),
    (m_connectors, ["--continuous=21"], "--continuous=21: must be from 1 to 20"),
    (m_connectors, ["--triangle=2"], "--triangle=2: must be at least 3"),
    (m_connectors, ["--held_out=0"], "--held_out=0: must be at least 1"),
    (m_connectors, ["--width=-1"], "--width=-1: must be above 0"),
    (fig4_short_directions, ["--m=1"], "--m=1: must be from 2 to 20"),
    (fig4_short_directions, ["--cuts=300,100"], "--cuts=300,100: must rise, e.g. 100,300,1000"),
    (fig4_short_directions, ["--cuts=3,99999"], "--cuts=99999: the network has"),
    (fig4_short_directions, ["--toy_short=40"], "--toy_dimension=100: must be above (m + 1) s = 120"),
    (fig4_short_directions, ["--segments=3"], "--segments=3: must be even, at least 2"),
    (fig4_short_directions, ["--floors=0"], "--floors=0: must be above 0"),
    (fig4_short_directions, ["--left=1"], "--left=1: must be between 0 and 1"),
    (fig4_short_directions, ["--displacement=inf"], "--displacement=inf: must be above 0"),
    (toy_probe, ["--short=0"], "--short=0: must be at least 1"),
    (toy_probe, ["--short=5000"], "--short=5000: must be below --dimension=100"),
    (toy_probe, ["--short=5,100"], "--short=100: must be below --dimension=100"),
    (toy_probe, ["--radii=-1"], "--radii=-1: must be above 0"),
    (toy_probe, ["--height=inf"], "--height=inf: must be above 0"),
    (toy_probe, ["--directions=9"], "--directions=9: must be at least 10"),
    (toy_intersection, ["--k=1"], "--k=1: must be at least the number of optima, 2"),
    (toy_intersection, ["--short=60"], "--short=60: must be below --dimension=60"),
    (toy_intersection, ["--optima=1"], "--optima=1: must be at least 2"),
    (toy_intersection, ["--optima=2,x"], "--optima=2,x: must be a whole number or several with commas"),
    (toy_intersection, ["--cuts=0"], "--cuts=0: must be at least 1"),
    (fig1_wedges, ["--variant=foo"], "--variant=foo: choose from axis, rotated, finite"),
    (fig1_wedges, ["--variant=fixed"], "--variant=fixed: choose from"),
    (fig1_wedges, ["--n=3"], "--n=3: must be 1 or 2"),
    (fig1_wedges, ["--grid=2"], "--grid=2: must be from 8 to 201"),
    (fig1_wedges, ["--level=1"], "--level=1: must be between 0 and 1"),
    # No point of so coarse a grid is within the level of a plane: there is no surface.
    (fig1_wedges, ["--level=0.001", "--grid=8"], "--level=0.001: the loss on the grid runs from 0.214"),
]


@pytest.mark.parametrize(("figure", "flags", "words"), BAD, ids=name_of)
def test_bad_input_is_one_line_status_two_and_nothing_written(figure, flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(figure, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
    assert end.value.code == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "it/s]" not in line]
    assert printed.out == "" and len(lines) == 1
    assert lines[0].startswith(f"{runs.name_of(figure)}: ") and words in lines[0]
    assert not list((tmp_path / "runs").glob("*/*"))


def test_the_same_landscape_given_twice_is_measured_once(monkeypatch):
    from reproductions.bench import parallel

    seen = []
    count = lambda run, function, items: [seen.append(i) or np.ones(8) for i in items]
    monkeypatch.setattr(parallel, "over", count)
    config = preset(toy_cut, sizes=("30x20", "30x20"))
    found = toy_cut.measure(config, None)
    assert len(seen) == len(set(seen)) == 4 * 5
    assert found["30x20 axis"].shape == (5, 8)


def test_results_are_measured_again_when_any_code_that_makes_numbers_changes(monkeypatch):
    """Every module of ours that a figure imports is in the mark of the code, or makes no numbers."""
    import ast
    import importlib.util

    from reproductions.bench import store

    patterns = []
    monkeypatch.setattr(store, "source_mark", lambda *given: patterns.extend(given) or "mark")
    specification = importlib.util.spec_from_file_location(
        "fresh_runs", ROOT / "reproductions/bench/runs.py"
    )
    fresh = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "fresh_runs", fresh)  # where dataclasses look
    specification.loader.exec_module(fresh)
    marked = {p.stem for pattern in patterns for p in (ROOT).glob(pattern)}
    silent = {"runs", "claims", "errors", "parallel", "progress", "quiet", "sweep"}
    for path in [pathlib.Path(figure.__file__) for figure in IDS]:
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        used = {a.name for n in nodes if n.module == "reproductions" for a in n.names}
        used |= {n.module.split(".")[1] for n in nodes if n.module.startswith("reproductions.")}
        assert used - silent <= marked, path.name


# ---- the landscapes ---------------------------------------------------------------------------------


def test_sizes_reads_dimension_and_n():
    assert toys.sizes("1000x900") == (1000, 900)
    with pytest.raises(UsageError, match="--sizes=900x1000: must be DxN"):
        toys.sizes("900x1000")


def test_landscapes_by_name():
    import wedges

    kinds = {v: toys.build(v, 6, 4, k=5, seed=0) for v in (*toys.VARIANTS, "fixed")}
    assert type(kinds["axis"]) is wedges.AxisWedges and type(kinds["rotated"]) is wedges.RotatedWedges
    assert kinds["finite"].k == 5 and kinds["fixed"].k == 1
    assert all(v.dimension == 6 and v.n == 4 for v in kinds.values())
    assert set(kinds) == set(toys.LABELS)


def test_gaussian_numbers_depend_on_seed_and_shape_alone():
    np.testing.assert_array_equal(toys.gaussian(3, 4, 5), toys.gaussian(3, 4, 5))
    assert toys.gaussian(3, 4, 5).dtype == np.float32 and toys.gaussian(3, 4, 5).shape == (4, 5)
    assert not np.array_equal(toys.gaussian(3, 20), toys.gaussian(4, 20))
    many = toys.gaussian(0, 100_000)
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02


def test_optima_of_axis_wedges_are_the_starts_without_their_small_components():
    start = np.array([[3.0, -0.1, 2.0, 0.2, -4.0], [0.3, 5.0, -0.5, 6.0, 7.0]], np.float32)
    found = toys.optima(toys.build("axis", 5, 3, k=1, seed=0), start).numpy()
    np.testing.assert_allclose(found, [[3, 0, 2, 0, -4], [0, 5, 0, 6, 7]], atol=1e-4)


# ---- claims, on numbers made by hand ----------------------------------------------------------------


def failures(figure, arrays, config):
    """The ids that fail; all of them must be of the figure."""
    found = figure.claims(arrays, config)
    assert found and all(c.id.startswith(IDS[figure]) for c in found)
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
    assert toy_cut._off_the_curve(arrays, "20x10") == pytest.approx([0.15 / (np.sqrt(0.05 / 3) / 2)])


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
    changes = {"dimension": 10, "n": 5, "segments": 40, "pairs": 1, **changes}
    return preset(toy_tunnel, **changes)


def blocks(size, split, across=0.0, within=1.0):
    """Cosines [size, size] of vertices that point one way before `split`, another from it on."""
    side = np.arange(size) < split
    return np.where(np.eye(size) > 0, 1.0, np.where(side[:, None] == side, within, across))


def tunnel_arrays():
    """The line rises to 1; s = 5 of D = 10: 7.5 short directions at axis-aligned crossings, else 10."""
    arrays = {"map within": np.ones((1, 1, 3)), "map across": np.zeros((1, 1, 3))}
    for v in toys.VARIANTS:
        each = {
            "start": 2.0,
            "line": [0, 0.5, 1, 0.5, 0],
            "tunnel": [0, 0.1, 0],
            "vertices": [0, 1e-5, 0],
            "cosines": blocks(39, 19),
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


def test_short_directions_shared_by_two_wedges():
    config = tunnel_config(dimension=100, n=80)
    assert toy_tunnel.shared(config, "finite") == 40
    assert toy_tunnel.shared(config, "axis") == pytest.approx(36)  # 20 + 20 - 20 * 20 / 100
    assert toy_tunnel.shared(config, "rotated") == pytest.approx(36)
    assert toy_tunnel.shared(tunnel_config(dimension=10, n=3), "finite") == 10


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
    found = toy_probe._last(np.array([[1, 2, 3], [1, 2, nan], [nan, nan, nan], [1, nan, 3]]))
    np.testing.assert_array_equal(found, [3, 2, nan, 3])


def intersection_config(**changes):
    changes = {"dimension": 100, "short": (1,), "optima": (20,), "k": 40, "seeds": 1, **changes}
    return preset(toy_intersection, **changes)


def intersection_arrays(config):
    """Counts just as the formula says; random cuts succeed from d = s on."""
    arrays = {}
    for v in toys.VARIANTS:
        counts = toy_intersection._expected(
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
    expected = toy_intersection._expected
    assert expected(100, 20, 2, "axis") == pytest.approx(36)
    assert expected(100, 20, 3, "rotated") == pytest.approx(48.8)  # 100 (1 - 0.8^3)
    assert expected(100, 20, 3, "finite") == 60 and expected(100, 20, 8, "finite") == 100
    np.testing.assert_allclose(
        expected(100, np.array([[10], [20]]), np.array([1, 2]), "axis"), [[10, 19], [20, 36]]
    )


def test_half_of_the_cuts_at_d():
    never = [0, 0, 0, 0, 0, 0, 0.4]
    found = toy_intersection._half(np.array([[0, 0.4, 0.5, 1, 1, 1, 1], [1] * 7, never]))
    np.testing.assert_array_equal(found, [1.0, 0.8, np.nan])
    assert len(toy_intersection.CUTS) == 7


def test_no_cut_at_the_crossing_has_more_dimensions_than_there_are(monkeypatch):
    import types

    import wedges

    seen = []

    def stay(_, starts, *rest, subspace, **settings):
        seen.append(subspace.dimension)
        return types.SimpleNamespace(theta=starts)

    landscape = toys.build("axis", 10, 1, k=1, seed=0)
    monkeypatch.setattr(toy_intersection, "_optima", lambda *_: (landscape, None))
    monkeypatch.setattr(toy_intersection, "_center", lambda *_: (np.ones(10, np.float32), 1.0))
    monkeypatch.setattr(wedges, "minimize", stay, raising=False)
    config = intersection_config(dimension=10, cuts=2)
    found = toy_intersection._recovered(config, "axis", 0, 9)
    assert seen == [7, 8, 9, 10, 10, 10, 10]  # of 0.8 s, 0.9 s, ...
    np.testing.assert_array_equal(found, np.zeros(7))  # nobody moved


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


def test_half_success_is_found_between_the_measured():
    d = np.array([5, 10, 20, 40])
    assert toy_cut._crossing(d, np.array([0, 0, 1, 1])) == 15
    assert toy_cut._crossing(d, np.array([0, 0.4, 0.8, 1])) == 12.5
    assert toy_cut._crossing(d, np.array([0, 0, 0.5, 1])) == 20
    assert toy_cut._crossing(d, np.array([0.5, 0, 0, 1])) == 5  # the first time
    assert np.isnan(toy_cut._crossing(d, np.array([0, 0, 0, 0.49])))


def test_offsets_are_dealt_in_turn():
    config = dataclasses.replace(cut_config(), seed=1, seeds=4)  # seeds 1 .. 4: uniform first
    normal, uniform = toy_cut._by_offset(config, np.array([[1, 2, 3, 4]]))
    np.testing.assert_array_equal(normal, [[2, 4]])
    np.testing.assert_array_equal(uniform, [[1, 3]])


def test_figure_1_takes_the_two_optima_with_the_highest_line_between():
    landscape = toys.build("axis", 3, 1, k=1, seed=0)  # lines: the axes
    optima = np.array([[1, 0, 0], [1.3, 0, 0], [0, 0.9, 0], [0.1, 0, 0], [0, 0, 9]], np.float32)
    ends = fig1_wedges._far_apart(optima, landscape)  # 0.1 is too near the middle, 9 outside
    assert sorted(map(tuple, ends.tolist())) == [
        (0.0, pytest.approx(0.9), 0.0),
        (pytest.approx(1.3), 0.0, 0.0),
    ]


def test_figure_1s_surface_is_where_the_loss_is_the_level():
    axis = np.linspace(-1.5, 1.5, 31, dtype=np.float32)
    x, *_ = np.meshgrid(axis, axis, axis, indexing="ij")
    vertices, faces = fig1_wedges._surface(
        {"axis": axis, "grid": np.abs(x)}, preset(fig1_wedges, level=0.25)
    )
    np.testing.assert_allclose(np.abs(vertices[:, 0]), 0.25, atol=1e-5)
    assert faces.max() < len(vertices) and vertices[:, 1].max() == pytest.approx(1.5)
