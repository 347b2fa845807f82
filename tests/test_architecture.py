"""What may import what; the public names; the cost of importing."""

import ast
import pathlib
import subprocess
import sys

import pytest

import wedges

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "wedges").glob("*.py"))
PROGRAMS = sorted((ROOT / "reproductions").glob("*.py"))
NAMED = ("intrinsic_dimension", "m_connectors")
_FIRST = ("fig", "toy_", "emergent_")
FIGURES = [p for p in PROGRAMS if p.stem.startswith(_FIRST) or p.stem in NAMED]


def imports(path):
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path):
    return {name.split(".")[0] for name in imports(path)}


def test_the_figures_are_those_that_end_in_main():
    assert [p for p in PROGRAMS if "runs.main(sys.modules[__name__])" in p.read_text()] == FIGURES
    assert len(FIGURES) >= 7


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.name)
def test_the_library_stands_alone(path):
    forbidden = {"reproductions", "absl"} | ({"matplotlib"} if path.name != "plots.py" else set())
    assert not roots(path) & forbidden


GENERAL = (
    "affine", "average", "compare", "connect", "curvature", "distribute", "emergent", "landscape",
    "optimize", "probe", "select", "short", "simplex", "toy",
)  # fmt: skip


@pytest.mark.parametrize("name", GENERAL)
def test_what_works_on_landscapes_knows_no_networks(name):
    path = ROOT / "wedges" / f"{name}.py"
    found = set(imports(path))
    homes = {"wedges.network", "wedges.stateless", "wedges.weights", "wedges.layers"}
    names = {"wedges.NetworkLandscape", "wedges.WeightSpace", "wedges.Hyperplane"}
    assert not found & (homes | names | {"keras.models", "keras.layers"})
    used = {
        ast.unparse(n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)
    }
    assert not used & {"keras.models", "keras.Model", "keras.Sequential", "keras.layers"}


def test_layers_need_no_landscape_of_a_network():
    found = set(imports(ROOT / "wedges" / "layers.py"))
    assert not found & {"wedges.network", "wedges.stateless", "wedges.NetworkLandscape"}
    assert "wedges.affine" in found  # it does see what there is


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.name)
def test_only_runs_reads_flags_and_only_plots_imports_matplotlib(path):
    assert "matplotlib" not in roots(path)
    assert path.name == "runs.py" or not roots(path) & {"absl", "argparse"}
    assert path.name == "runs.py" or "sys.argv" not in path.read_text()


@pytest.mark.parametrize("path", [*PROGRAMS, *LIBRARY], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_only_figure_1_draws_surfaces_and_pages_and_only_inside_functions(path):
    extras = {"plotly", "skimage"}
    if path.name != "fig1_wedges.py":
        assert not roots(path) & extras
        return
    assert extras <= roots(path)
    top = ast.Module(
        [n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.FunctionDef)], []
    )
    names = {w.split(".")[0] for n in ast.walk(top) for w in _names(n)}
    assert "numpy" in names and not names & extras


def _names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("path", FIGURES, ids=lambda p: p.name)
def test_a_figure_imports_no_other(path):
    others = {p.stem for p in FIGURES} - {path.stem}
    assert not {name.split(".")[-1] for name in imports(path)} & others


def test_plots_never_sees_a_model():
    assert not roots(ROOT / "wedges" / "plots.py") & {"keras", "tensorflow", "wedges"}


def test_every_public_name_exists_and_has_a_docstring():
    for name in wedges.__all__:
        if name != "__version__":
            assert getattr(wedges, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'swa'"):
        wedges.swa  # noqa: B018
    assert "SWA" in dir(wedges)


def test_importing_starts_nothing():
    """No TensorFlow, no flags: importing wedges or a figure is quick and has no effect."""
    modules = ", ".join(f"reproductions.{path.stem}" for path in FIGURES)
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
