"""What is true of every figure: its settings, a run as a user starts it, bad input."""

import ast
import dataclasses
import functools
import inspect
import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from reproductions.bench import catalogue, options, runs
from reproductions.bench.claims import Reference

# What the ids of a figure's claims begin with.
IDS = {
    "fig1_wedges": ("fig1.",),
    "toy_cut": ("toy.cut.",),
    "toy_probe": ("toy.probe.",),
    "toy_tunnel": ("toy.tunnel.", "toy.connect."),
    "toy_intersection": ("toy.intersection.",),
    "fig2_radial": ("fig2.",),
    "fig3_tunnel": ("fig3.",),
    "fig4_short_directions": ("fig4.",),
    "m_connectors": ("m-connector.",),
    "star_centres": ("star.",),
    "fig5_widths": ("fig5.",),
    "fig6_swa": ("fig6.",),
    "generality": ("generality.",),
    "intrinsic_dimension": ("intrinsic.",),
    "emergent_outliers": ("emergent.outliers.",),
    "emergent_gradient": ("emergent.gradient.",),
    "emergent_curvature": ("emergent.curvature.",),
    "emergent_goldilocks": ("emergent.goldilocks.",),
    "taxonomy_phases": ("taxonomy.R",),
    "taxonomy_rugged": ("taxonomy.rugged.",),
    "taxonomy_diagnosis": ("taxonomy.diagnosis.",),
    "monotonic_interpolation": ("mli.",),
    "loss_allocation": ("lca.",),
    "tangent_kernel": ("plstar.",),
    "roughness": ("roughness.",),
    "compressibility": ("compress.",),
}
FILES = {"check.json", "claims.tex", "config.json", "figure.png", "results.npz", "series"}


@pytest.fixture(params=catalogue.FIGURES)
def name(request):
    return request.param


@pytest.fixture
def figure(name):
    return catalogue.module(name)


@pytest.fixture
def run(name, smoke):
    """The figure's smoke run, which all tests of this session share."""
    return smoke(name)


def test_every_figure_of_the_catalogue_is_told_apart_by_its_claims():
    assert set(IDS) == set(catalogue.FIGURES)
    prefixes = [p for own in IDS.values() for p in own]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]


# ---- its source -------------------------------------------------------------------------------------


def test_a_figure_has_the_functions_of_the_contract(figure):
    arguments = lambda function: list(inspect.signature(function).parameters)
    assert arguments(figure.measure) == ["config"]
    for function in (figure.judged, figure.claims, figure.summary, figure.plot):
        assert arguments(function) == ["arrays", "config"]
    assert issubclass(figure.Config, options.Config) and figure.Config.__dataclass_params__.frozen


@pytest.mark.parametrize("preset", options.PRESETS)
def test_the_values_of_a_preset_are_allowed_and_make_no_other_experiment(figure, preset):
    shown = {o.name: options.show(options.in_preset(o, preset)) for o in options.options(figure.Config)}
    given = {option: text for option, text in shown.items() if text != "None"}
    config, overrides = options.make(figure.Config, preset, given)
    assert overrides == []
    assert config == figure.Config(**options.preset(figure.Config, preset))


def test_help_names_every_setting_with_its_presets(figure, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(figure.__name__, ["--help"])
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert end.value.code == 0 and words.startswith(" ".join(figure.__doc__.split()))
    for option in options.options(figure.Config):
        assert f"\n  --{options.flag(figure.Config, option.name)}" in text
        for preset in options.PRESETS:
            value = re.escape(options.show(options.in_preset(option, preset)))
            assert re.search(rf"\[({value}\]|[^]]*\b{preset}( and \w+)*: {value}[];])", words)


def test_measure_is_found_within_the_first_screen_and_a_half(figure):
    assert inspect.getsourcelines(figure.measure)[1] <= 75


def test_claims_only_say_what_judged_has_measured(name, figure, run):
    numbers = figure.judged(run.arrays, run.config)
    found = {c.id: c.measured for c in figure.claims(run.arrays, run.config)}
    of = lambda id: numbers[max((k for k in numbers if id.endswith(f".{k}")), key=len)]
    assert len(found) == sum(v is not None for v in numbers.values())
    assert all(np.array_equal(measured, of(id), equal_nan=True) for id, measured in found.items())


def test_no_number_is_kept_by_a_whole_config(figure):
    """Or it would be measured again where a setting changes that it does not depend on; and nobody could
    see on which it does."""
    for node in ast.walk(ast.parse(pathlib.Path(figure.__file__).read_text())):
        if isinstance(node, ast.Call) and "cache.cached" in map(ast.unparse, [node.func, *node.args]):
            assert "config" not in map(ast.unparse, node.args), ast.unparse(node)


# ---- a run ------------------------------------------------------------------------------------------


def test_a_run_leaves_its_files_and_names_its_folder_last(name, figure, run):
    assert run.directory.parent == run.out_dir / name and run.directory.name.startswith("smoke-")
    more = {"figure.html"} if hasattr(figure, "html") else set()
    if hasattr(figure, "more_pictures"):
        more |= {f"{name}.png" for name in figure.more_pictures(run.arrays, run.config)}
    assert {p.name for p in run.directory.iterdir()} == FILES | more
    assert "claims hold" in run.printed
    assert (run.directory / "figure.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((run.directory / "config.json").read_text())
    settings = json.loads(json.dumps(dataclasses.asdict(run.config)))
    assert (found["figure"], found["preset"], found["config"]) == (name, "smoke", settings)
    assert found["provenance"]["command"] == f"python -m reproductions.{name} --preset=smoke"
    assert found["provenance"]["seconds"] > 0
    assert found["provenance"]["memory_mib"] > 100  # TensorFlow alone has more


def test_check_json_is_as_the_contract_says(name, run):
    check = json.loads((run.directory / "check.json").read_text())
    assert set(check) == {"figure", "preset", "passed", "judged", "reference", "claims"}
    assert check["figure"] == name and check["preset"] == "smoke"
    keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
    keys |= {"says", "threshold", "verdict", "at_paper"}
    for claim in check["claims"]:
        assert set(claim) == keys and claim["id"].startswith(IDS[name])
        assert claim["statement"] and claim["source"] and claim["relation"] in ("<", "<=", ">", ">=")
    found = [c["id"] for c in check["claims"]]
    assert len(found) == len(set(found)) > 1
    assert all(any(i.startswith(p) for i in found) for p in IDS[name])
    assert check["passed"] == all(c["passed"] for c in check["claims"])
    assert all((c["verdict"] == "holds") == c["passed"] for c in check["claims"])
    assert check["judged"] or not any(c["verdict"] == "fails" for c in check["claims"])
    assert (
        check["reference"]["agree"] == check["reference"]["numbers"]
        and not check["reference"]["differs"]
    )


def test_results_hold_finite_numbers_only(run):
    for name, array in run.arrays.items():
        assert array.size and np.isfinite(array).all(), name


def test_smoke_agrees_with_its_reference(name, figure, run):
    """The regression test: every number that the committed reference guards."""
    numbers = figure.summary(run.arrays, run.config)
    key = {"figure": name, "config": dataclasses.asdict(run.config)}
    assert Reference(name).deviations("smoke", key, numbers) == []
    agree = f"{len(numbers)} of {len(numbers)} numbers as on the reference machine"
    assert f"checked the code: {agree}" in run.printed


def test_a_number_that_is_off_is_told_from_its_reference(name, figure, run, tmp_path):
    numbers = figure.summary(run.arrays, run.config)
    assert numbers and all(len(v) and np.isfinite(v).all() for v in numbers.values())
    key = {"config": dataclasses.asdict(run.config)}
    reference = Reference(name, tmp_path)
    reference.write("smoke", key, numbers, {})
    first = sorted(numbers)[0]
    wrong = {**numbers, first: 2 * np.asarray(numbers[first], float) + 100}
    assert [o[0] for o in reference.deviations("smoke", key, wrong)] == [first]


def test_a_second_run_measures_nothing_again_and_plot_only_draws(
    figure, run, tmp_path, monkeypatch, capsys
):
    shutil.copytree(run.out_dir, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / run.directory.relative_to(run.out_dir)
    picture, check = directory / "figure.png", directory / "check.json"
    # By its own name still: which code measures is part of what makes two runs the same.
    again = functools.wraps(figure.measure)(lambda config: pytest.fail("measured again"))
    monkeypatch.setattr(figure, "measure", again)
    monkeypatch.delattr(figure, "html", raising=False)
    for flags, words in (([], "finished before"), (["--plot_only"], "")):
        picture.unlink()
        check.unlink()
        assert runs.run(figure, ["--preset=smoke", f"--out_dir={tmp_path}", *flags]) == 0
        assert picture.exists() and check.exists()
        printed = capsys.readouterr()
        assert words in printed.err and ("finished before" in printed.err) == bool(words)
        assert printed.out.splitlines()[-1] == str(directory)


# ---- bad input --------------------------------------------------------------------------------------

BAD = [
    ("roughness", ["--problems=cube"], "--problems=cube: choose from line, ball, cube10"),
    ("roughness", ["--directions=1"], "--directions=1: must be at least 2"),
    ("roughness", ["--slice_steps=1"], "--slice_steps=1: must be at least 2"),
    ("roughness", ["--distances=0"], "--distances=0: must be above 0"),
    ("compressibility", ["--c=0.1,-1"], "--c=0.1,-1: must be above 0"),
    ("compressibility", ["--bits=8,1"], "--bits=8,1: must be from 2 to 16"),
    (
        "compressibility",
        ["--validation=2000"],
        "--validation=2000: digits has 1137 training examples besides the 300 of --examples",
    ),
    ("compressibility", ["--products=5"], "--products=5: must be at least 6"),
    (
        "loss_allocation",
        ["--batch_size=200"],
        "--batch_size=200: ten times it must be below --examples=2000",
    ),
    ("loss_allocation", ["--together=90"], "--together=90: must divide --resnet_examples=200"),
    ("loss_allocation", ["--momentum=1"], "--momentum=1: must be between 0 and 1"),
    ("loss_allocation", ["--seeds=1"], "--seeds=1: must be at least 2"),
    ("loss_allocation", ["--steps=3"], "--steps=3: must be at least 4"),
    ("loss_allocation", ["--model=fc"], "Unknown command line flag 'model'"),
    ("tangent_kernel", ["--two=64"], "--two=64: must be at least two different widths"),
    ("tangent_kernel", ["--own=64,64"], "--own=64,64: name each value once"),
    ("tangent_kernel", ["--floor=1"], "--floor=1: must be between 0 and 1"),
    ("tangent_kernel", ["--points=2"], "--points=2: must be at least 8"),
    ("taxonomy_diagnosis", ["--trees=1"], "--trees=1: must be even, at least 2"),
    ("taxonomy_diagnosis", ["--draws=-1"], "--draws=-1: must be at least 0"),
    ("toy_cut", ["--sizes=10"], "--sizes=10: must be DxN with 0 < N < D"),
    ("toy_cut", ["--sizes=10x20"], "--sizes=10x20: must be DxN with 0 < N < D <= 20000, e.g. 1000x900"),
    ("toy_cut", ["--sizes=20x20"], "--sizes=20x20: must be DxN"),
    ("toy_cut", ["--sizes=20x0"], "--sizes=20x0: must be DxN"),
    ("toy_cut", ["--sizes=40000x3"], "--sizes=40000x3: must be DxN"),
    ("toy_cut", ["--sizes=30x20,"], "--sizes=: must be DxN"),
    ("toy_cut", ["--sizes=9x8x7"], "--sizes=9x8x7: must be DxN"),
    ("toy_cut", ["--fractions=0"], "--fractions=0: must be above 0"),
    ("toy_cut", ["--fractions=0.5,nan"], "--fractions=0.5,nan: must be above 0"),
    ("toy_cut", ["--fractions=half"], "--fractions=half: must be a number or several with commas"),
    ("toy_cut", ["--seeds=0"], "--seeds=0: must be at least 4"),
    ("toy_cut", ["--steps=0"], "--steps=0: must be at least 1"),
    ("toy_cut", ["--k=-1"], "--k=-1: must be at least 1"),
    ("toy_cut", ["--seed=1.5"], "--seed=1.5: must be a whole number"),
    ("toy_cut", ["--dataset=cifar10"], "Unknown command line flag 'dataset'"),
    ("toy_cut", ["--plot_only"], "--plot_only: no results"),
    ("toy_tunnel", ["--n=2000"], "--n=2000: must be below --dimension=60."),
    ("toy_tunnel", ["--dimension=48"], "--n=48: must be below --dimension=48"),
    ("toy_tunnel", ["--dimension=6000"], "--dimension=6000: must be from 4 to 5000"),
    ("toy_tunnel", ["--segments=2"], "--segments=2: must be at least 6"),
    ("toy_tunnel", ["--map_long=1.5"], "--map_long=1.5: must be between 0 and 1"),
    ("toy_tunnel", ["--map_k=1"], "--map_k=1: must be 0 or at least 2"),
    ("toy_tunnel", ["--map_dimensions=3"], "--map_dimensions=3: must be from 4 to 5000"),
    ("toy_tunnel", ["--k=1"], "--k=1: must be at least 2"),
    ("fig2_radial", ["--directions=1"], "--directions=1: must be at least 2"),
    ("fig2_radial", ["--distances=3"], "--distances=3: must be at least 4"),
    ("fig2_radial", ["--steps=4"], "--steps=4: must be at least 5"),
    ("fig2_radial", ["--toy=10x10"], "--toy=10x10: must be DxN with 0 < N < D <= 20000, e.g. 1000x900."),
    ("fig2_radial", ["--toy_k=2"], "--toy_k=2: must be at least 3"),
    ("fig2_radial", ["--height=-1"], "--height=-1: must be above 0"),
    ("fig3_tunnel", ["--segments=5"], "--segments=5: must be from 6 to 1000"),
    ("fig3_tunnel", ["--pairs=0"], "--pairs=0: must be at least 1"),
    ("fig3_tunnel", ["--steps=-1"], "--steps=-1: must be at least 1"),
    ("fig3_tunnel", ["--start=warm"], "--start=warm: choose from flat, neighbour"),
    ("fig3_tunnel", ["--toy_n=100"], "--toy_n=100: must be below --toy_dimension=100"),
    ("fig3_tunnel", ["--rate=0"], "--rate=0: must be above 0"),
    ("fig3_tunnel", ["--dataset=imagenet"], "--dataset=imagenet"),
    ("fig3_tunnel", ["--model=lenet"], "--model=lenet: needs inputs"),
    ("m_connectors", ["--m=0"], "--m=0: must be from 1 to 50"),
    ("m_connectors", ["--m=1,two"], "--m=1,two: must be a whole number or several with commas"),
    ("m_connectors", ["--continuous=21"], "--continuous=21: must be from 1 to 20"),
    ("m_connectors", ["--triangle=2"], "--triangle=2: must be at least 3"),
    ("m_connectors", ["--held_out=0"], "--held_out=0: must be at least 1"),
    ("m_connectors", ["--width=-1"], "--width=-1: must be above 0"),
    ("fig4_short_directions", ["--m=1"], "--m=1: must be from 2 to 20"),
    ("fig4_short_directions", ["--cuts=300,100"], "--cuts=300,100: must rise, e.g. 100,300,1000"),
    ("fig4_short_directions", ["--cuts=3,99999"], "--cuts=99999: the network has"),
    ("fig4_short_directions", ["--toy_short=40"], "--toy_dimension=100: must be above (m + 1) s = 120"),
    ("fig4_short_directions", ["--segments=3"], "--segments=3: must be even, at least 2"),
    ("fig4_short_directions", ["--floors=0"], "--floors=0: must be above 0"),
    ("fig4_short_directions", ["--left=1"], "--left=1: must be between 0 and 1"),
    ("fig4_short_directions", ["--displacement=inf"], "--displacement=inf: must be above 0"),
    ("star_centres", ["--counted=1,4"], "--counted=1,4: must be at most --m=3"),
    ("star_centres", ["--longer_m=3"], "--longer_m=3: must be below --m=3, so that an optimum is left"),
    ("star_centres", ["--longer_m=4"], "--longer_m=4: must be among --m=1,2,3"),
    ("star_centres", ["--radii=2"], "--radii=2.0: must not hold --radius=2, which is looked at anyway"),
    ("star_centres", ["--reach=0"], "--reach=0: must be above 0 and at most 1"),
    ("star_centres", ["--samples=9"], "--samples=9: must be at least 16"),
    ("star_centres", ["--toy_short=20"], "--toy_dimension=60: must be above (m + 1) s = 80"),
    ("toy_probe", ["--short=0"], "--short=0: must be at least 1"),
    ("toy_probe", ["--short=5000"], "--short=5000: must be below --dimension=100"),
    ("toy_probe", ["--short=5,100"], "--short=100: must be below --dimension=100"),
    ("toy_probe", ["--radii=-1"], "--radii=-1: must be above 0"),
    ("toy_probe", ["--height=inf"], "--height=inf: must be above 0"),
    ("toy_probe", ["--directions=9"], "--directions=9: must be at least 10"),
    ("toy_intersection", ["--k=1"], "--k=1: must be at least the number of optima, 2"),
    ("toy_intersection", ["--short=60"], "--short=60: must be below --dimension=60"),
    ("toy_intersection", ["--optima=1"], "--optima=1: must be at least 2"),
    (
        "toy_intersection",
        ["--optima=2,x"],
        "--optima=2,x: must be a whole number or several with commas",
    ),
    ("toy_intersection", ["--cuts=0"], "--cuts=0: must be at least 1"),
    ("fig1_wedges", ["--variant=foo"], "--variant=foo: choose from axis, rotated, finite"),
    ("fig1_wedges", ["--variant=fixed"], "--variant=fixed: choose from"),
    ("fig1_wedges", ["--n=3"], "--n=3: choose from 1, 2"),
    ("fig1_wedges", ["--grid=2"], "--grid=2: must be from 8 to 201"),
    ("fig1_wedges", ["--level=1"], "--level=1: must be between 0 and 1"),
    # No point of so coarse a grid is within the level of a plane: there is no surface.
    (
        "fig1_wedges",
        ["--level=0.001", "--grid=8"],
        "--level=0.001: the loss on the grid runs from 0.214",
    ),
]


@pytest.mark.parametrize(("name", "flags", "words"), BAD)
def test_bad_input_is_one_line_status_two_and_nothing_written(name, flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(
            catalogue.module(name).__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags]
        )
    assert end.value.code == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "it/s]" not in line]
    assert printed.out == "" and len(lines) == 1
    assert lines[0].startswith(f"{name}: ") and words in lines[0]
    assert not list((tmp_path / "runs").glob("*/*"))
