"""What is installed with what: pyproject.toml against all that is imported; what a wheel holds."""

import ast
import functools
import json
import pathlib
import re
import subprocess
import sys
from importlib import metadata

import pytest

import wedges
from reproductions.bench import command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
EXTRAS = PROJECT["optional-dependencies"]

UNDECLARED = {"importlib-resources"}  # tensorflow-datasets imports it, and nothing of ours does
GUARDED = {"plotly", "dask", "ray"}  # asked for inside a function, which says in words what to install
BROUGHT = {"docutils": "sphinx", "ipython": "myst-nb", "distributed": "dask", "tomli": "pytest"}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def required(*extras, base=True):
    """Names of the distributions that the library, or these extras, or both ask for."""
    found, left = set(), [*PROJECT["dependencies"]] * base + [r for e in extras for r in EXTRAS[e]]
    while left:
        name, others = re.match(r"([\w.-]+)(?:\[(.*?)\])?", left.pop()).groups()
        if name == PROJECT["name"]:
            left += [r for extra in others.split(",") for r in EXTRAS[extra.strip()]]
        else:
            found.add(plain(name))
    return found


@functools.cache
def _owners():
    return metadata.packages_distributions()


def distribution(module, wanted=()):
    """Which of the wanted distributions a module belongs to, else the first that installed it."""
    owners = [plain(owner) for owner in _owners().get(module, [module])]
    owner = next((o for o in owners if o in wanted), owners[0])
    return BROUGHT.get(owner, owner)


def modules(tree):
    """Top-level names of all that is imported, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            yield node.args[0].value.split(".")[0]


def imported(*folders, wanted):
    """Names of the distributions that the files below these folders import, without our own."""
    own = {"wedges", "reproductions", "tests", "docs"} | set(sys.stdlib_module_names)
    files = [p for folder in folders for p in _files(folder)]
    script = lambda path: not path.with_name("__init__.py").exists()
    beside = lambda path, name: script(path) and path.with_name(f"{name}.py").exists()  # its neighbour
    names = {m for p in files for m in modules(_tree(p)) if not beside(p, m)}
    return {distribution(name, wanted) for name in names - own}


@functools.cache
def _tree(path):
    return ast.parse(path.read_text())


def _files(folder):
    return [p for p in (ROOT / folder).rglob("*.py") if "benchmarks" not in p.parts]


# ---- what is imported is asked for, and nothing else --------------------------------------------------


def test_the_library_asks_for_what_it_imports():
    found = imported("wedges", wanted=required("html"))
    assert found - GUARDED == required()
    assert found & GUARDED == required("html", base=False)


def test_the_figures_extra_is_what_they_import_besides():
    found = imported("reproductions", wanted=required("reproductions")) - GUARDED
    extra = required("reproductions", base=False)
    assert found - required() == extra - UNDECLARED and not extra & required()


def test_what_a_figure_looks_for_before_it_starts_is_the_extra_but_for_one_data_set():
    extra = required("reproductions", base=False)
    assert {distribution(name, extra) for name in command.NEEDS} == extra - {"mnist1d"}


def test_tests_and_site_ask_for_what_they_import():
    assert imported("tests", wanted=required("test")) <= required("test")
    assert imported("docs", wanted=required("docs")) <= required("docs")
    for path in (ROOT / "docs").glob("tutorials/*.ipynb"):
        cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["source"][:1] != ["%%"])
        text = "\n".join(line for line in text.splitlines() if line[:1] not in "%!")
        written = set(re.findall(r"(\w+)\.py\b", path.read_text()))  # by the tutorial itself
        names = set(modules(ast.parse(text))) - set(sys.stdlib_module_names) - written
        assert {distribution(n) for n in names} <= required("docs") | {"wedges", "reproductions"}, path


@pytest.mark.parametrize("folder", ["wedges", "reproductions"])
def test_what_an_extra_brings_is_imported_where_its_lack_is_caught(folder):
    for path in _files(folder):
        tree = _tree(path)
        caught = {
            n for t in ast.walk(tree) if isinstance(t, ast.Try) for s in t.body for n in modules(s)
        }
        asked = {n for n in modules(tree) if n in GUARDED}
        assert asked <= caught, path


# ---- without the extra --------------------------------------------------------------------------------


WITHOUT = """
import importlib.util, runpy, sys
find, hidden = importlib.util.find_spec, ("sklearn", "filelock")
importlib.util.find_spec = lambda name, *more: None if name in hidden else find(name, *more)
sys.modules |= dict.fromkeys(hidden)
"""


def without(code, tmp_path):
    """Run code where two packages of the extra are not to be found."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    env = {"PATH": "", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, env=env, cwd=tmp_path)


@pytest.mark.parametrize("given", [".fig6_swa --help", ".run_all", ".report", ""])
def test_a_program_without_the_extra_says_so_in_one_line(given, tmp_path):
    name, *flags = given.split() or [""]
    run = without(["-m", f"reproductions{name}", *flags], tmp_path)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr == (
        f"reproductions: {name[1:] or 'a figure'} needs the extra `reproductions`: pip install -e "
        "'.[reproductions]' (missing: filelock, sklearn)\n"
    )


def test_whoever_imports_the_figures_without_the_extra_gets_the_same_words(tmp_path):
    run = without(["-c", "import wedges; print(1); import reproductions"], tmp_path)
    assert run.stdout == "1\n" and run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError: a figure needs the extra `reproductions`: pip install -e ")


def test_a_program_that_there_is_none_of_is_told_which_was_meant(tmp_path):
    run = without(["-m", "reproductions.fig6"], tmp_path)  # also without the extra
    assert run.returncode == 2 and run.stderr == (
        "reproductions: there is no program 'fig6'. Did you mean fig6_swa? python -m reproductions "
        "lists all.\n"
    )


def test_a_file_of_a_figure_that_is_run_by_its_path_is_a_program_too(monkeypatch):
    for given, program in {
        str(ROOT / "reproductions" / "toy_cut.py"): "toy_cut",
        str(ROOT / "docs" / "conf.py"): None,
        "pytest": None,
        "": None,
    }.items():
        monkeypatch.setattr(sys, "argv", [given])
        assert command._started() == program
    monkeypatch.setattr(sys, "argv", [])
    assert command._started() is None


@pytest.mark.parametrize(
    ("words", "program"),
    [
        ("python -m reproductions.toy_cut --preset=smoke", "toy_cut"),
        ("python -X utf8 -m reproductions.fig7", "fig7"),
        ("python -m reproductions toy_cut", ""),
        ("python -m wedges.card", None),
        ("python -mreproductions.toy_cut", None),
    ],
)
def test_the_program_is_read_off_what_the_interpreter_was_given(words, program, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.setattr(sys, "orig_argv", words.split())
    assert command._started() == program


# ---- metadata, and what a wheel holds -----------------------------------------------------------------


def test_the_version_is_written_once():
    assert PROJECT["dynamic"] == ["version"]
    assert SETUPTOOLS["dynamic"]["version"] == {"attr": "wedges.__version__"}
    # Read off the source, so that building imports nothing.
    tree = ast.parse((ROOT / "wedges/__init__.py").read_text())
    (value,) = [
        n.value
        for n in tree.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__version__"
    ]
    assert ast.literal_eval(value) == wedges.__version__
    assert f"version: {wedges.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_wheel_holds_every_package_and_every_file_that_is_read():
    """All that stands beside the code of a package, but for notes to developers."""
    for package, patterns in SETUPTOOLS["package-data"].items():
        base = ROOT / package
        inside = {p for pattern in patterns for p in base.glob(pattern) if p.is_file()}
        beside = {p for p in base.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
        assert {p.name for p in beside - inside} <= {"NOTES.md"} and inside <= beside
        with_code = {p.parent for p in base.rglob("*.py")}
        assert all((folder / "__init__.py").exists() for folder in with_code)
    assert SETUPTOOLS["packages"]["find"]["include"] == [
        pattern for package in SETUPTOOLS["package-data"] for pattern in (package, f"{package}.*")
    ]


def test_the_file_of_the_license_and_the_readme_are_there():
    assert PROJECT["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
    assert (ROOT / PROJECT["readme"]).exists() and "License ::" not in str(PROJECT["classifiers"])


def test_a_folder_called_wedges_does_not_hide_the_library(tmp_path):
    """As the parent of a checkout has one: an editable installation must be a path, not a hook."""
    (tmp_path / "wedges").mkdir()
    code = "import wedges; print(wedges.__version__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == wedges.__version__, found.stderr
