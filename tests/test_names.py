"""The names of the library: what the stub promises is what there is, and all that there is."""

import ast
import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import wedges

STUB = pathlib.Path(wedges.__file__).with_suffix(".pyi")
LINES = ast.parse(STUB.read_text()).body
HOMES = {name.asname: line.module for line in LINES for name in line.names}


def test_the_stub_holds_nothing_but_names_and_their_homes():
    """Whoever reads it by `ast` (lazy_loader does) understands all of it."""
    assert all(isinstance(line, ast.ImportFrom) and line.level == 1 for line in LINES)
    assert all(name.asname == name.name for line in LINES for name in line.names)
    assert len(HOMES) == sum(len(line.names) for line in LINES) > 60


@pytest.mark.parametrize(("name", "home"), HOMES.items(), ids=HOMES)
def test_a_name_of_the_stub_is_what_its_home_holds(name, home):
    if home is None:
        assert getattr(wedges, name) is importlib.import_module(f"wedges.{name}")
    else:
        assert getattr(wedges, name) is getattr(importlib.import_module(f"wedges.{home}"), name)
    assert getattr(wedges, name).__doc__


def test_every_public_module_is_there():
    found = {module.name for module in pkgutil.iter_modules(wedges.__path__)}
    assert {name for name, home in HOMES.items() if home is None} == {
        name for name in found if not name.startswith("_")
    }


def test_dir_and_all_are_the_stub_and_the_version():
    assert dir(wedges) == sorted(wedges.__all__) == sorted([*HOMES, "__version__"])


def test_words_of_general_use_are_names_of_their_modules_only():
    """`wedges.plane` could be anything; `wedges.probe.plane` is not."""
    for module, names in {"probe": ("plane", "sphere"), "short": ("recovered",)}.items():
        for name in names:
            assert name not in HOMES and callable(getattr(getattr(wedges, module), name))


def test_a_name_that_is_not_there_is_named():
    for name in ("swa", "_HOME", "affine2"):
        with pytest.raises(AttributeError, match=f"^module 'wedges' has no attribute '{name}'$"):
            getattr(wedges, name)


def test_a_module_is_reached_without_an_import_of_its_own():
    code = "import sys, wedges; assert 'wedges.select' not in sys.modules; wedges.select.smallest"
    subprocess.run([sys.executable, "-c", code], cwd=STUB.parent.parent, check=True)


def test_type_checkers_are_told_that_there_are_types():
    assert (STUB.parent / "py.typed").exists()


# ---- types ------------------------------------------------------------------------------------------

PUBLIC = sorted(p for p in STUB.parent.rglob("*.py") if not p.name.startswith("_"))


def untyped(code):
    """Every public function and method in a module's code that does not tell a type."""
    body = ast.parse(code).body
    classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    functions = [(node, True) for node in body if isinstance(node, ast.FunctionDef)]
    for node in (node for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef)):
        static = "staticmethod" in map(ast.unparse, node.decorator_list)
        functions.append((node, static))
    for node, free in functions:
        if node.name.startswith("_") and node.name not in ("__init__", "__call__"):
            continue
        all_of = node.args
        given = [*all_of.posonlyargs, *all_of.args][0 if free else 1 :] + all_of.kwonlyargs
        given += [a for a in (all_of.vararg, all_of.kwarg) if a]
        if node.returns is None or any(a.annotation is None for a in given):
            yield node.name


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: str(p.relative_to(STUB.parent)))
def test_every_public_function_tells_its_types(path):
    assert not list(untyped(path.read_text()))


def test_a_function_without_types_is_seen():
    code = """
def full(a: int, *more: int, b: str = "") -> None: ...
def no_return(a: int): ...
def no_argument(a, b: int) -> None: ...
def no_keyword(*, a=1) -> None: ...
def _private(a): ...
class Public:
    def __init__(self, a): ...
    def full(self, a: int) -> int: ...
    def method(self, **more) -> None: ...
    def _private(self, a): ...
class _Private:
    def method(self, a): ...
"""
    assert list(untyped(code)) == ["no_return", "no_argument", "no_keyword", "__init__", "method"]
