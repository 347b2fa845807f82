"""What may import what; what may read flags; the public names; the cost of importing.

Every module is guarded, a new one too: exceptions are named here with their reason.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

import wedges
from reproductions.bench import catalogue

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "wedges").rglob("*.py"))
# Rooms that know Keras' models; the kernel is made of what each kind of layer adds to it.
NETWORK = {
    "alignment",
    "network",
    "hyperplane",
    "callbacks",
    "cards",
    "average",
    "collocation",
    "kernel",
    "regularizers",
    "proximal",
    "coding",
    "_keras",
}
PLOTS = sorted((ROOT / "wedges" / "plots").glob("*.py"))
BENCH = sorted((ROOT / "reproductions" / "bench").glob("*.py"))
COMMON = sorted((ROOT / "reproductions" / "common").glob("*.py"))
PROGRAMS = sorted((ROOT / "reproductions").glob("*.py"))
FIGURES = [ROOT / "reproductions" / f"{name}.py" for name in catalogue.FIGURES]
ALL = [*LIBRARY, *BENCH, *COMMON, *PROGRAMS]
name_of = lambda path: str(path.relative_to(ROOT))


def imports(path):
    """Full names of all that a file imports, at its top or inside a function."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text())
    typing = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    only_types = {id(inner) for node in typing for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in only_types:  # never imported when it runs
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*around, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def roots(path):
    return {name.split(".")[0] for name in imports(path)}


def below(path, *packages):
    """What of these packages a file imports."""
    return {n for n in imports(path) for p in packages if n == p or n.startswith(f"{p}.")}


# ---- the catalogue ----------------------------------------------------------------------------------


def test_every_program_is_a_figure_but_two_and_the_story_names_them_all():
    files = {p.stem for p in PROGRAMS if not p.stem.startswith("_")} - set(catalogue.PROGRAMS)
    assert set(catalogue.FIGURES) == files and len(catalogue.FIGURES) == len(files) >= 16
    told = [name for chapter in catalogue.STORY.values() for name in chapter]
    assert sorted(told) == sorted(files), "a new figure wants its place in catalogue.STORY"


def test_a_figure_that_the_story_forgot_comes_last(monkeypatch):
    short = {"theory": ("toy_cut", "gone")}
    monkeypatch.setattr(catalogue, "STORY", short)
    assert catalogue._found()[0] == "toy_cut" and set(catalogue._found()) == set(catalogue.FIGURES)


@pytest.mark.parametrize("path", FIGURES, ids=name_of)
def test_a_figure_ends_in_main_and_tells_its_story_in_order(path):
    text = path.read_text()
    assert text.rstrip().endswith('if __name__ == "__main__":\n    runs.main(__name__)')
    tree = ast.parse(text)
    lines = {n.name: n.lineno for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    wanted = ["measure", "judged", "claims", "summary", "plot"]
    assert [n for n in sorted(wanted, key=lines.get)] == wanted
    assert lines["measure"] <= 75


def test_the_list_of_programs_is_shown():
    command = [sys.executable, "-m", "reproductions"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in (*catalogue.FIGURES, *catalogue.PROGRAMS):
        assert any(line.split()[:1] == [name] and len(line.split()) > 2 for line in shown.splitlines())


# ---- arrows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_stands_alone(path):
    forbidden = {"reproductions", "absl", "tests"}
    assert not roots(path) & (forbidden | ({"matplotlib"} if path not in PLOTS else set()))


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_what_works_on_landscapes_knows_no_networks(path):
    if NETWORK & set(path.relative_to(ROOT / "wedges").with_suffix("").parts):
        return
    names = {"NetworkLandscape", "WeightSpace", "Hyperplane"}
    # Keras' optimizers have a private name, too.
    own = ("wedges._keras",) if path.name != "optimize.py" else ()
    assert not below(path, "wedges.network", "wedges.hyperplane", "keras.layers", *own)
    assert not below(path, *(f"wedges.{name}" for name in names))
    tree = ast.walk(ast.parse(path.read_text()))
    used = {ast.unparse(n) for n in tree if isinstance(n, ast.Attribute)}
    assert not used & {"keras.models", "keras.Model", "keras.Sequential", "keras.layers"}


def test_the_hyperplane_needs_no_landscape_of_a_network():
    found = below(ROOT / "wedges" / "hyperplane.py", "wedges")
    networks = {n for n in found if "network" in n or "NetworkLandscape" in n}
    assert networks <= {"wedges.network.weights", "wedges.network.weights.WeightSpace"}
    assert "wedges.affine" in found  # it does see what there is


@pytest.mark.parametrize("path", BENCH, ids=name_of)
def test_the_bench_knows_no_network_no_data_set_and_no_figure(path):
    own = ("reproductions", "reproductions.bench")
    assert {n for n in below(path, "reproductions") if not n.startswith(own[1])} <= {own[0]}
    # Of the library: how files are kept, how figures look; and what devices do to a landscape.
    others = below(path, "wedges") - below(path, "wedges.archive") - {"wedges"}
    assert not others or path.name == "devices.py"


@pytest.mark.parametrize("path", COMMON, ids=name_of)
def test_shared_science_knows_no_figure(path):
    assert not below(path, *(f"reproductions.{name}" for name in catalogue.FIGURES))


@pytest.mark.parametrize("path", FIGURES, ids=name_of)
def test_a_figure_imports_no_other(path):
    others = set(catalogue.FIGURES) - {path.stem}
    assert not below(path, *(f"reproductions.{name}" for name in (*others, *catalogue.PROGRAMS)))


def test_imports_of_ours_go_round_in_no_circle():
    """Also those inside functions, which Python would forgive."""
    name = lambda p: ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    modules = {name(p): p for p in ALL}
    # A room may go out by its own package's door.
    other = lambda n, m: n in modules and not f"{m}.".startswith(f"{n}.")
    arrows = {m: {n for n in imports(p) if other(n, m)} for m, p in modules.items() if "." in m}
    arrows = {m: to & arrows.keys() for m, to in arrows.items()}
    while leaves := {m for m, to in arrows.items() if not to & arrows.keys()}:
        arrows = {m: to for m, to in arrows.items() if m not in leaves}
    assert not arrows


# ---- what only some may do --------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*BENCH, *COMMON, *PROGRAMS], ids=name_of)
def test_only_the_flags_module_reads_the_command_line(path):
    if path.name in ("flags.py", "command.py", "__main__.py"):
        return
    assert not roots(path) & {"absl", "argparse"} and "sys.argv" not in path.read_text()


@pytest.mark.parametrize("path", [*BENCH, *FIGURES], ids=name_of)
def test_only_pictures_import_matplotlib(path):
    assert "matplotlib" not in roots(path)


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_only_what_is_turned_by_hand_needs_extras_and_only_inside_functions(path):
    turned = {"solids.py": {"plotly"}, "solid.py": {"plotly"}}
    extras = {"fig1_wedges.py": {"skimage"}, **turned}.get(path.name, set())
    assert roots(path) & {"plotly", "skimage"} == extras
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {a.name.split(".")[0] for n in top if isinstance(n, ast.Import) for a in n.names}
    assert not names & extras and ("numpy" in names or not extras)


def test_plots_never_sees_a_model():
    """And starts no TensorFlow: of the library it needs arithmetic alone, and that inside functions."""
    assert len(PLOTS) > 5
    for path in PLOTS:
        assert not roots(path) & {"keras", "tensorflow"}
        own = {n for n in below(path, "wedges") if not n.startswith("wedges.plots")} - {"wedges"}
        arithmetic = {"wedges.affine", "wedges.curvature"}
        assert {n for n in own if not n.startswith("wedges._checks")} <= arithmetic | {
            "wedges.affine.principal",
            "wedges.curvature.smoothed",
        }


# ---- names, and the cost of importing ---------------------------------------------------------------


def test_every_public_name_exists_and_has_a_docstring():
    for name in wedges.__all__:
        if name != "__version__":
            assert getattr(wedges, name).__doc__, name
    with pytest.raises(AttributeError, match="no .*attribute 'swa'|No .*attribute.* swa"):
        wedges.swa  # noqa: B018
    assert "SWA" in dir(wedges)


def test_importing_starts_nothing():
    """No TensorFlow, no flags: importing wedges or a figure is quick and has no effect."""
    modules = ", ".join(f"reproductions.{name}" for name in (*catalogue.FIGURES, *catalogue.PROGRAMS))
    code = f"""
import sys, wedges
import {modules}
from absl import flags
heavy = {{"tensorflow", "keras", "matplotlib", "plotly", "skimage", "sklearn"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "preset" not in flags.FLAGS
import os
assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_another_keras_backend_is_refused_in_words():
    code = "import os; os.environ['KERAS_BACKEND'] = 'numpy'; import wedges"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "wedges needs Keras on TensorFlow; received the backend KERAS_BACKEND=numpy" in run.stderr
