"""Which public names there are, and which question each module answers.

Read from the sources by `ast`: nothing is imported, so that a test of it takes no time.
"""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
LIBRARY = ROOT / "wedges"

# A module that is in none of these is refused: it would be documented nowhere.
QUESTIONS = {
    "What is a landscape, and how is it restricted, minimised and kept?": (
        "landscape",
        "network",
        "affine",
        "optimize",
        "hyperplane",
        "distribute",
        "archive",
    ),
    "What is there to say of my models, on one page?": ("cards",),
    "How does the loss look from here?": ("probe", "interpolation", "roughness", "plots"),
    "How are optima joined?": ("connect", "star", "simplex", "alignment", "average"),
    "How sharp is it, and how many directions are short?": (
        "curvature",
        "bulk",
        "short",
        "dimensionality",
        "kernel",
    ),
    "What happened while I trained?": ("callbacks", "allocation"),
    "How alike are my networks, and which phase are they in?": ("compare", "phases", "diagnosis"),
    "Can the weights be made few?": ("regularizers", "proximal", "compressibility", "coding"),
    "Where are the answers known?": ("toy", "select", "clustered", "rugged", "collocation"),
}


def modules():
    """The public modules and packages of the library, in order."""
    files = {path.stem for path in LIBRARY.glob("*.py")}
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    return sorted(name for name in files | packages if not name.startswith("_"))


def unanswered():
    """What is wrong with `QUESTIONS`: [module that is in none of them, or that there is not]."""
    named = [name for of_one in QUESTIONS.values() for name in of_one]
    twice = {name for name in named if named.count(name) > 1}
    return sorted(set(named) ^ set(modules()) | twice)


@functools.cache
def top_level():
    """{name: the module it lives in} of `wedges.<name>`, as the stub has it."""
    lines = ast.parse((LIBRARY / "__init__.pyi").read_text()).body
    return {name.asname: line.module for line in lines for name in line.names if line.module}


@functools.cache
def names(module):
    """Public names of a module in the order of its source; of a package those that it exports."""
    return tuple(name for name in _sources(module) if not name.startswith("_"))


@functools.cache
def _sources(module):
    """{name: the statement that defines it} of a module or package, e.g. "phases.card"."""
    place = LIBRARY.joinpath(*module.split("."))
    path = place.with_suffix(".py")
    if path.exists():
        text = path.read_text()
        kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
        body = [node for node in ast.parse(text).body if isinstance(node, kinds)]
        for node in body:
            node.comment = _comment(text.splitlines(), node)
        return {name: node for node in body for name in _defined(node)}
    exported = ast.parse((place / "__init__.py").read_text()).body
    return {
        alias.asname or alias.name: _sources(line.module.removeprefix("wedges.")).get(alias.name)
        for line in exported
        if isinstance(line, ast.ImportFrom) and line.module.startswith("wedges.")
        for alias in line.names
    }


def summary(module):
    """The first line of a module's docstring."""
    place = LIBRARY / module
    path = place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__init__.py"
    return ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]


def _defined(node):
    """The names that a statement defines: a function's, a class's, those of values."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    left = node.targets if isinstance(node, ast.Assign) else [node.target]
    inner = [name for target in left for name in getattr(target, "elts", [target])]
    return [name.id for name in inner if isinstance(name, ast.Name)]


def _comment(lines, node):
    """What the lines above a statement say of it, or the end of its own line."""
    start = node.lineno - 1
    first = start
    while first and lines[first - 1].startswith("#"):
        first -= 1
    above = " ".join(line.lstrip("# ") for line in lines[first:start])
    return above or lines[node.end_lineno - 1].partition("  # ")[2]


def home(full):
    """The module that documents a public name, or a method of one."""
    first = full.split(".")[1] if "." in full else ""
    return top_level().get(first, first)


def _statement(full):
    *where, name = full.split(".")[1:]
    return _sources(where[0] if where else top_level()[name])[name]


def kind(full):
    """What a public name is: "class", "exception", "function" or "data"."""
    node = _statement(full)
    if isinstance(node, ast.FunctionDef):
        return "function"
    if isinstance(node, ast.ClassDef):
        bases = {ast.unparse(base) for base in node.bases}
        return "exception" if any(base.endswith(("Error", "Exception")) for base in bases) else "class"
    return "data"


def computed(full):
    """Whether a value is made by a call, so that it says little where it is printed."""
    return isinstance(_statement(full).value, ast.Call)


def comment(full):
    """The comment above a value, or beside it; "" where there is none."""
    return _statement(full).comment


def public(module):
    """{name: the shortest way to it}, e.g. {"tunnel": "wedges.tunnel"}."""
    short = {name for name, home in top_level().items() if home == module}
    return {
        name: f"wedges.{name}" if name in short else f"wedges.{module}.{name}"
        for name in (*names(module), *sorted(short - set(names(module))))
    }


def everything():
    """Every public name of the library, modules among them: {full name}."""
    found = {f"wedges.{module}" for module in modules()}
    return found.union(*(public(module).values() for module in modules()))
