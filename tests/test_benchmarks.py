"""Benchmarks work: what they name exists, and each runs at its smallest size. No test looks at a time.

The run is slow, since most of them import TensorFlow several times; names are looked at by default, so
that one which has moved is found early.
"""

import ast
import os
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent / "benchmarks"
SCRIPTS = sorted(HERE.glob("bench_*.py"))
OURS = ("wedges", "reproductions")


def names(source):
    """The dotted names of ours in a program, whole: what it imports, and what it takes from there."""
    tree, known, found = ast.parse(source), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                known[name.asname or name.name.split(".")[0]] = name.name if name.asname else None
                found.add(name.name)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                known[name.asname or name.name] = f"{node.module}.{name.name}"
                found.add(f"{node.module}.{name.name}")
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id in known:
            found.add(".".join([known[node.id] or node.id, *parts]))
    return {name for name in found if name.split(".")[0] in OURS}


def there(name):
    """Whether a dotted name leads somewhere, as far as modules, classes and functions go."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("path", [*SCRIPTS, HERE / "harness.py"], ids=lambda path: path.stem)
def test_what_a_benchmark_names_exists(path):
    missing = sorted(name for name in names(path.read_text()) if not there(name))
    assert not missing, f"{path.name} names what is not there: {', '.join(missing)}"


def test_a_name_that_has_moved_is_found():
    source = "import wedges\nfrom reproductions.common import data\nwedges.curvature.hutch()"
    assert {"wedges", "reproductions.common.data", "wedges.curvature.hutch"} <= names(source)
    assert not there("wedges.curvature.hutch") and there("wedges.curvature.hutch_plus_plus")


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_runs(path, tmp_path):
    """With its checks of numbers, far from the checkout and from any data set that must be prepared."""
    paths = [str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    where = {"PYTHONPATH": os.pathsep.join(paths), "TFDS_DATA_DIR": str(tmp_path / "none")}
    run = subprocess.run(
        [sys.executable, str(path), "--quick"],
        cwd=tmp_path,
        env=os.environ | where,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, f"{path.name} --quick has failed:\n{run.stderr[-3000:]}"
    assert re.search(r"\d\.\d", run.stdout), f"{path.name} --quick prints no number:\n{run.stdout}"
