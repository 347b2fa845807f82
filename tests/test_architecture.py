"""What may import what; the public names; the cost of importing."""

import ast
import pathlib
import subprocess
import sys

import pytest

import wedges

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "wedges").glob("*.py"))
FIGURES = sorted((ROOT / "reproductions").glob("fig*.py"))


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


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.name)
def test_the_library_stands_alone(path):
    forbidden = {"reproductions", "absl"} | ({"matplotlib"} if path.name != "plots.py" else set())
    assert not roots(path) & forbidden


@pytest.mark.parametrize("name", ["landscape", "optimize", "probe", "compare", "average"])
def test_what_works_on_landscapes_knows_no_networks(name):
    found = set(imports(ROOT / "wedges" / f"{name}.py"))
    networks = {"wedges.network", "wedges.stateless", "wedges.weights", "keras.models"}
    assert not found & networks


@pytest.mark.parametrize("path", sorted((ROOT / "reproductions").glob("*.py")), ids=lambda p: p.name)
def test_only_runs_reads_flags_and_only_plots_imports_matplotlib(path):
    assert "matplotlib" not in roots(path)
    assert path.name == "runs.py" or "absl" not in roots(path)


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
    code = (
        "import sys, wedges, reproductions.fig6_swa; from absl import flags; "
        "assert 'tensorflow' not in sys.modules; "
        "assert 'preset' not in flags.FLAGS; "
        "import os; assert os.environ['TF_ENABLE_ONEDNN_OPTS'] == '1'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_another_keras_backend_is_refused_in_words():
    code = "import os; os.environ['KERAS_BACKEND'] = 'numpy'; import wedges"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "wedges needs Keras on TensorFlow; received the backend KERAS_BACKEND=numpy" in run.stderr
