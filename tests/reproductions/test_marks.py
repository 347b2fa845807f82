"""The mark of a function's code: what changes it, and what does not."""

import importlib
import sys
import textwrap

import pytest

from reproductions.bench import marks

# A small package: a figure, its science, a library whose names load on first use.
FILES = {
    "__init__.py": "",
    "figure.py": '''
        """A figure."""

        import numpy as np

        import {package}
        from {package} import science
        from {package}.bench.options import option, settings
        from {package}.science import scaled as stretched

        TITLE = "a title"
        FACTOR, UNUSED = 2, 3

        @settings
        class Config:
            """Its settings."""

            size: int = option("how many", paper=3)

            def doubled(self):
                return 2 * self.size

        def measure(config):
            """Measures."""
            # A reason.
            claims = [_one(config, i) for i in range(config.doubled())]
            return {{"x": np.array(claims), "y": {package}.lib.far(FACTOR)}}

        def _one(config, i):
            from {package}.lib import near

            return near(stretched(i)) + science.OFFSET

        def claims(arrays, config):
            """Claims."""
            return TITLE, UNUSED, arrays
        ''',
    "science.py": '''
        """Science."""

        OFFSET = 1

        def scaled(x, by=2):
            return by * _plain(x)

        def _plain(x):
            return x

        def other(x):
            return -x
        ''',
    "bench/__init__.py": "",
    "bench/options.py": """
        def settings(cls):
            return cls

        def option(help, **presets):
            return help
        """,
    "lib/__init__.py": """
        import os

        os.environ.setdefault("{package}", "1")

        def __getattr__(name):
            raise AttributeError(name)
        """,
    "lib/__init__.pyi": """
        from . import deep as deep
        from .deep import far as far
        from .deep import near as near
        """,
    "lib/deep.py": """
        class Base:
            def step(self):
                return 1

        class Walker(Base):
            def go(self):
                return self.step() + helper()

        def helper():
            return 0

        def far(x):
            return Walker().go() * x

        def near(x: int) -> int:
            return x

        def aside(x):
            return x
        """,
}


class Project:
    """The package in a folder; `edit` changes a file, `mark` is that of its measurement."""

    def __init__(self, folder, package):
        self.folder, self.package = folder / package, package
        for name, text in FILES.items():
            self.write(name, textwrap.dedent(text).format(package=package))

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name, before, after):
        text = (self.folder / name).read_text()
        assert text.count(before) >= 1, before
        self.write(name, text.replace(before, after))

    def figure(self):
        """The figure's module as it stands now."""
        for name in [n for n in sys.modules if n.split(".")[0] == self.package]:
            del sys.modules[name]
        importlib.invalidate_caches()
        marks.forget()
        return importlib.import_module(f"{self.package}.figure")

    def mark(self):
        figure = self.figure()
        return marks.of(figure.measure, figure.Config)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(marks, "_OURS", {*marks._OURS, "pkg", "moved"})
    yield Project(tmp_path, "pkg")
    for name in [n for n in sys.modules if n.split(".")[0] in ("pkg", "moved")]:
        del sys.modules[name]
    marks.forget()


CHANGES = {
    "a line of the measurement": ("figure.py", "2 * self.size", "3 * self.size"),
    "a constant that it reads": ("figure.py", "FACTOR, UNUSED = 2, 3", "FACTOR, UNUSED = 4, 3"),
    "its helper": ("figure.py", "near(stretched(i))", "near(stretched(i) + 1)"),
    "an imported function": ("science.py", "return by * _plain(x)", "return by + _plain(x)"),
    "its default": ("science.py", "by=2", "by=5"),
    "what that calls": ("science.py", "return x\n\ndef other", "return 2 * x\n\ndef other"),
    "a constant of another module": ("science.py", "OFFSET = 1", "OFFSET = 2"),
    "a function that loads on first use": ("lib/deep.py", "Walker().go() * x", "Walker().go() + x"),
    "a method of a class that it makes": ("lib/deep.py", "self.step() + helper()", "self.step()"),
    "a base class": ("lib/deep.py", "return 1", "return 7"),
    "what a method calls": ("lib/deep.py", "return 0", "return 8"),
    "a function imported inside": ("lib/deep.py", "-> int:\n    return x", "-> int:\n    return x + 1"),
    "a statement that runs at import": ("lib/__init__.py", '"1")', '"0")'),
    "a decorator": ("bench/options.py", "return cls", "return cls or None"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_mark_changes_with(name, project):
    before = project.mark()
    project.edit(*CHANGES[name])
    assert project.mark() != before
    project.edit(*(CHANGES[name][i] for i in (0, 2, 1)))
    assert project.mark() == before


NO_CHANGES = {
    "a claim's words": ("figure.py", "return TITLE, UNUSED", 'return "new", TITLE, UNUSED'),
    "a title": ("figure.py", '"a title"', '"another"'),
    "a docstring": ("figure.py", '"""Measures."""', '"""Measures well."""'),
    "a docstring that was not there": ("science.py", "return -x", '"""New."""\n    return -x'),
    "the docstring of a module": ("science.py", '"""Science."""', '"""More science."""'),
    "a comment": ("figure.py", "# A reason.", "# Another."),
    "formatting": ("science.py", "return by * _plain(x)", "return (\n        by *  _plain(x)\n    )"),
    "a type hint": ("lib/deep.py", "(x: int) -> int", "(x: float) -> float"),
    "a help text, a preset": ("figure.py", 'option("how many", paper=3)', 'option("number", paper=4)'),
    "a function that it never calls": ("science.py", "return -x", "return -2 * x"),
    "an unused function of the library": ("lib/deep.py", "aside(x):", "aside(x, y=1):"),
}


@pytest.mark.parametrize("name", NO_CHANGES)
def test_a_mark_stays_with_another(name, project):
    before = project.mark()
    project.edit(*NO_CHANGES[name])
    assert project.mark() == before


def test_a_local_name_is_not_the_modules_own(project):
    """`measure` has a local variable called as the function `claims` beside it."""
    figure = project.figure()
    assert ("pkg.figure", "claims") not in marks.reached(figure.measure)
    assert ("pkg.figure", "_one") in marks.reached(figure.measure)


def test_files_may_be_moved_and_renamed(project):
    before = project.mark()
    # science.py becomes theory.py, lib/ becomes tools/, their importers follow.
    for old, new in (("science.py", "theory.py"), ("lib/deep.py", "lib/sea.py"), ("lib", "tools")):
        (project.folder / old).rename(project.folder / new)
    project.edit("figure.py", "import science", "import theory")
    project.edit("figure.py", "pkg.science", "pkg.theory")
    project.edit("figure.py", "science.OFFSET", "theory.OFFSET")
    project.edit("figure.py", "pkg.lib", "pkg.tools")
    project.edit("tools/__init__.pyi", "deep", "sea")
    assert project.mark() == before


def test_a_package_may_be_renamed(project, tmp_path):
    figure = project.figure()
    before = marks.of(figure.measure)
    moved = Project(tmp_path, "moved")
    moved.edit("lib/__init__.py", '"moved"', '"pkg"')  # what it writes into the environment
    assert marks.of(moved.figure().measure) == before


def test_two_functions_of_one_name_cannot_be_exchanged_unseen(project):
    project.write("a.py", "def f():\n    return 1\n")
    project.write("b.py", "def f():\n    return 2\n")
    both = (
        "from pkg import a, b\ndef measure(config):\n    return {0}.f() - {1}.f()\nclass Config: pass\n"
    )
    project.write("figure.py", both.format("a", "b"))
    before = project.mark()
    project.write("figure.py", both.format("b", "a"))
    assert project.mark() != before


_COMP = "s = sum(N for N in x)\n    return s + N"
_GLOBAL = "global N\n    N += 1\n    return N"
_CLASS = "class C:\n        N = 0\n    return N"
_TRY = (
    "try:\n        from pkg.{} import f\n"
    "    except ImportError:\n        from pkg.b import f\n    return f(x)"
)
_N = ("N = 1", "N = 2")
PAIRS = {  # two bodies; two first lines of the module; the argument
    "which end of a slice": ("return x[1:]", "return x[:1]"),
    "a step of a slice": ("return x[::2]", "return x[:2]"),
    "what is unpacked": ("return {**x}", "return {None: x}"),
    "a name from outside": (
        *("return r(x)", "return r(x)"),
        *("from math import floor as r", "from math import ceil as r"),
    ),
    "a module from outside": (
        *("return m.sqrt(x)", "return m.sqrt(x)"),
        *("import math as m", "import cmath as m"),
    ),
    "a default's own name": ("return x", "return x", *_N, "x=N"),
    "a name that a comprehension also uses": (_COMP, _COMP, *_N),
    "a global that it changes": (_GLOBAL, _GLOBAL, *_N),
    "a name that a class inside also has": (_CLASS, _CLASS, *_N),
    "the other of two imports": (_TRY.format("a"), _TRY.format("c")),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_functions_that_differ_only_in(name, project):
    one, two, *more = PAIRS[name]
    before, after, default = (more + ["", "", "x=None"][len(more) :])[:3]
    for letter, value in zip("abc", (1, 2, 3), strict=True):
        project.write(f"{letter}.py", f"def f(x):\n    return {value}\n")
    found = []
    for top, body in ((before, one), (after, two)):
        code = f"{top}\ndef measure({default}):\n    {body}\nclass Config: 0\n"
        project.write("figure.py", code)
        found.append(project.mark())
        assert found[-1] == project.mark()
    assert found[0] != found[1]


def test_functions_that_call_each_other_are_told_apart(project):
    """They reach the same definitions; which of them is asked makes the difference."""
    project.write(
        "figure.py",
        "def even(n):\n    return n == 0 or odd(n - 1)\n\n"
        "def odd(n):\n    return n != 0 and even(n - 1)\n",
    )
    figure = project.figure()
    assert marks.of(figure.even) != marks.of(figure.odd)
    assert marks.reached(figure.even) == marks.reached(figure.odd)


def test_code_that_was_changed_since_it_was_read_does_not_stand(project):
    figure = project.figure()
    mark = marks.of(figure.measure, figure.Config)
    assert marks.stands(mark, figure.measure, figure.Config)
    project.edit("science.py", "return by * _plain(x)", "return by + _plain(x) + 0")
    assert not marks.stands(mark, figure.measure, figure.Config)
    project.edit("science.py", "return by + _plain(x) + 0", "return by * _plain(x)")
    project.edit("science.py", '"""Science."""', '"""A longer docstring."""')
    assert marks.stands(mark, figure.measure, figure.Config)


def test_names_brought_by_a_star_are_refused(project):
    project.edit(
        "figure.py", "from pkg import science", "from pkg import science\nfrom pkg.lib.deep import *"
    )
    figure = project.figure()
    with pytest.raises(ValueError, match="import names of pkg.lib.deep one by one"):
        marks.of(figure.measure)


def test_a_module_that_is_handed_on_is_reached_whole(project):
    project.edit("figure.py", "science.OFFSET", "getattr(science, 'OFFSET')")
    before = project.mark()
    project.edit("science.py", "return -x", "return -2 * x")
    assert project.mark() != before


def test_what_has_no_source_of_its_own_is_refused():
    def inner():
        return {}

    for function in (lambda: {}, inner, marks._Module.definition):
        with pytest.raises(ValueError, match="must be a function or class that stands in a"):
            marks.of(function)


def test_a_mark_is_found_without_importing_anything(project):
    (project.folder / "bench/options.py").write_text(
        (project.folder / "bench/options.py").read_text() + "\n\ndef late():\n    import pkg.lib.deep\n"
    )
    figure = project.figure()
    sys.modules.pop("pkg.lib.deep", None)
    marks.of(figure.measure)
    assert "pkg.lib.deep" not in sys.modules
