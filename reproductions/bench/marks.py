"""The code that a number depends on, as one mark: found by reading the source, not kept by hand.

    of(function)      16 hexadecimal digits, other ones as soon as anything that `function` reaches
    changes

What a function reaches is found as a reader would find it. Every name in its body that is not local is
looked up in its module: a function, class or constant there is reached in turn, and so is what an import
of ours (`wedges`, `reproductions`, or the function's own package) brings. A class is reached whole. So
is a module that is handed on as a value, and so are the statements at the top of every module that is
reached, since they run when it is imported.

A mark leaves out what changes no number: docstrings, comments, formatting, type hints, and the
declaration of a setting by `option`, whose value stands in the key itself. It holds no path and no name
of a module, so that a file may be moved or renamed. Nothing is imported to find it.
"""

import ast
import functools
import hashlib
import importlib.util
import pathlib
import sys

_OURS = {"wedges", "reproductions"}  # and the package of any function that is marked
_OPTIONS = ("option", "but")  # what declares a setting of a figure: see `options`


def of(*functions):
    """The mark of what these functions or classes, each of a module, reach together.

    Raises ValueError for what has no source of its own: a lambda, a function made in another one.
    """
    return _mark(tuple(map(_place, functions)))


def reached(*functions):
    """{(module, name)} of all definitions of ours that these functions reach; for tests."""
    return set(_closure(tuple(map(_place, functions))))


def forget(*modules):
    """Read the source of these modules, or of all, anew from now on; for tests, which change it."""
    for memory in (_mark, _closure, _file):
        memory.cache_clear()
    for name in modules or list(_modules):
        _modules.pop(name, None)


def _place(function):
    """(module, name) of a function or class."""
    name = getattr(function, "__qualname__", "")
    if not name.isidentifier() or not hasattr(function, "__module__"):
        raise ValueError(
            f"{function!r} must be a function or class that stands in a module by itself, so that its "
            "source says all that it depends on; received a lambda, a method or one made in a function."
        )
    _OURS.add(function.__module__.split(".")[0])
    return function.__module__, name


@functools.cache
def _mark(roots):
    found = _closure(roots)
    # Each definition with what its references lead to: two of one name cannot be exchanged unseen.
    lines = {f"{d.digest} {' '.join(found[t].digest for t in d.targets)}" for d in found.values()}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


@functools.cache
def _closure(roots):
    """{(module, name): _Definition} of everything that is reached from these."""
    found, left, seen = {}, list(roots), set()
    while left:
        place = left.pop()
        if place in found:
            continue
        module, _ = place
        top = _module(module)
        definition = top.definition(place[1])
        found[place] = definition
        left += definition.targets
        if module not in seen:
            seen.add(module)
            left.append((module, _TOP))
            left += [(p, _TOP) for p in _packages(module)]
    return found


def _packages(module):
    """The packages around a module, which are imported before it."""
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts)) if _file(".".join(parts[:i]))]


_TOP = "<top>"  # the statements of a module that define nothing
_ALL = "<all>"  # a module that is used as a value


class _Definition:
    """One definition: the digest of its own source, and the places that it refers to, in order."""

    def __init__(self, nodes, module):
        writer = _Writer(module)
        for node in nodes:
            writer.write(node)
        text, self.targets = writer.finish()
        self.digest = hashlib.sha256(text.encode()).hexdigest()


class _Module:
    """A module's source by name: what it defines, what it imports, what else stands at its top."""

    def __init__(self, name):
        self.name = name
        path = _file(name)
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.nodes, self.imports, self.top = {}, {}, []
        self._read(ast.parse(_source(path)).body)
        stub = path.with_suffix(".pyi")
        if stub.exists():  # of a package whose names load on first use
            for node in ast.parse(_source(stub)).body:
                if isinstance(node, ast.ImportFrom):
                    self._imported(node)
        self._known = {}

    def _read(self, body):
        for i, node in enumerate(body):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                self.nodes.setdefault(node.name, []).append(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._imported(node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                self._assigned(node)
            elif not (_is_main(node) or (i == 0 and _is_text(node))):
                self.top.append(node)
                for inner in ast.walk(node):
                    if isinstance(inner, (ast.Import, ast.ImportFrom)):
                        self._imported(inner)

    def _assigned(self, node):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        plain = all(isinstance(t, (ast.Name, ast.Tuple, ast.List)) for t in targets)
        if not plain and not all(getattr(t, "attr", "") == "__doc__" for t in targets):
            self.top.append(node)
        elif plain:
            for name in names:
                self.nodes.setdefault(name, []).append(node)

    def _imported(self, node):
        self.imports |= _imports(node, self.package)

    def definition(self, name):
        """The `_Definition` of a name, of `_TOP` or of `_ALL`."""
        if name not in self._known:
            if name == _ALL:
                nodes = [n for own in self.nodes.values() for n in own]
            else:
                nodes = self.top if name == _TOP else self.nodes[name]
            self._known[name] = _Definition(nodes, self)
        return self._known[name]

    def find(self, chain):
        """Where a dotted name in this module leads: (module, name) and how many of its parts that took;
        None for what is not ours."""
        head = chain[0]
        if head in self.nodes:
            return (self.name, head), 1
        if head in self.imports:
            return _follow(self.imports[head], chain, 1)
        return None


def _follow(dotted, chain, used):
    """As `_Module.find`, from the full name of what was imported and the parts that come after it."""
    while True:
        if dotted is None:
            return None
        if _file(dotted):  # a module of ours: what comes next stands in it, or is a module below it
            if used == len(chain):
                return (dotted, _ALL), used
            below = f"{dotted}.{chain[used]}"
            if _file(below):
                dotted, used = below, used + 1
                continue
            found = _module(dotted).find([chain[used]])
            if found is None:  # a name that it makes as it runs: all of it may matter
                return (dotted, _ALL), used
            place, _ = found
            if place[1] == _ALL:  # a name that stands there for another module
                dotted, used = place[0], used + 1
                continue
            return place, used + 1
        home, _, name = dotted.rpartition(".")
        if not home or not _file(home):
            return None
        found = _module(home).find([name])
        return (found[0], used) if found else ((home, _ALL), used)


def _imports(node, package):
    """{name: full name of what it stands for} of an import of ours."""
    found = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ours(alias.name):
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or whole] = whole
        return found
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        around = ".".join(parts[: len(parts) - node.level + 1])
        base = f"{around}.{base}" if base else around
    if _is_ours(base):
        found = {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
    return found


def _is_ours(name):
    return _file(name.split(".")[0]) is not None


def _source(path):
    return path.read_bytes()


_modules = {}  # those that were read


def _module(name):
    if name not in _modules:
        _modules[name] = _Module(name)
    return _modules[name]


@functools.cache
def _file(name):
    """The source file of a module of ours, or None; found without importing anything."""
    head, *rest = name.split(".")
    if head not in _OURS:
        return None
    known = sys.modules.get(head)
    if known is not None and hasattr(known, "__path__"):
        roots = list(known.__path__)
    elif known is not None and getattr(known, "__file__", None):
        return pathlib.Path(known.__file__) if not rest else None
    else:
        spec = importlib.util.find_spec(head)
        roots = list(spec.submodule_search_locations or ()) if spec else []
    for root in roots:
        path = pathlib.Path(root, *rest)
        if (path / "__init__.py").exists():
            return path / "__init__.py"
        if rest and path.with_suffix(".py").exists():
            return path.with_suffix(".py")
    return None


def _is_main(node):
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test)


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class _Reference:
    """A dotted name as it stands in the source, to be looked up when the scope is known."""

    __slots__ = ("chain",)

    def __init__(self, chain):
        self.chain = chain


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SKIPPED = frozenset({"annotation", "returns", "ctx", "type_comment", "type_params", "kind"})


class _Writer:
    """Writes nodes as text that leaves out what changes no number, and collects their references."""

    def __init__(self, module):
        self.module = module
        self.parts = []  # strings and _References
        self.scopes = [_Scope()]

    def finish(self):
        """The text, and the places that it refers to in order."""
        text, targets = [], []
        aliases = self.scopes[0].imports
        for part in self.parts:
            if isinstance(part, str):
                text.append(part)
                continue
            found = self._look_up(part, aliases)
            if found is None:
                text.append(".".join(part.chain))
            else:
                place, used = found
                targets.append(place)
                # By its own name, not by the module's, which may be renamed.
                name = "" if place[1] == _ALL else place[1]
                text.append(".".join(["@" + name, *part.chain[used:]]))
        return " ".join(text), targets

    def _look_up(self, reference, aliases):
        chain = reference.chain
        if isinstance(reference, _Resolved):
            return _follow(reference.dotted, chain, 1)
        if chain[0] in aliases:
            return _follow(aliases[chain[0]], chain, 1)
        return self.module.find(chain)

    def write(self, node):
        kind = type(node)
        if kind is ast.Attribute or kind is ast.Name:
            self._dotted(node)
        elif kind is ast.Constant:
            self.parts.append(repr(node.value))
        elif kind in (ast.Import, ast.ImportFrom):
            self._import(node)
        elif kind in _FUNCTIONS:
            self._function(node)
        elif kind is ast.ClassDef:
            self.parts.append(f"class {node.name}")
            self._all([*node.decorator_list, *node.bases, *node.keywords])
            self._all([n for n in _without_docstring(node.body) if not _declares(n)])
        elif kind is ast.arg:
            self.parts.append(node.arg)
            self.scopes[-1].own.add(node.arg)
        else:
            self._other(node, kind)

    def _other(self, node, kind):
        self.parts.append(kind.__name__)
        for field in node._fields:
            if field in _SKIPPED:
                continue
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                self.write(value)
            elif isinstance(value, list):
                self.parts.append("[")
                for v in value:
                    if isinstance(v, ast.AST):
                        self.write(v)
                    else:
                        self.parts.append(repr(v))
                self.parts.append("]")
            elif value is not None:
                self.parts.append(repr(value))
                if kind is ast.ExceptHandler:
                    self.scopes[-1].own.add(value)

    def _all(self, nodes):
        self.parts.append("[")
        for node in nodes:
            self.write(node)
        self.parts.append("]")

    def _dotted(self, node):
        chain = []
        while type(node) is ast.Attribute:
            chain.append(node.attr)
            node = node.value
        if type(node) is not ast.Name:
            self.write(node)
            self.parts.append("." + ".".join(reversed(chain)))
            return
        chain.append(node.id)
        if type(node.ctx) is not ast.Load and len(chain) == 1:
            self.parts.append(node.id)
            self.scopes[-1].own.add(node.id)
            return
        chain.reverse()
        self.scopes[-1].loads.append(len(self.parts))
        self.parts.append(_Reference(chain))

    def _import(self, node):
        ours = _imports(node, self.module.package)
        self.scopes[-1].imports |= ours
        others = [a for a in node.names if (a.asname or a.name.split(".")[0]) not in ours]
        if others:
            origin = getattr(node, "module", None) or ""
            self.parts.append(f"import {origin} {[(a.name, a.asname) for a in others]}")

    def _function(self, node):
        if not isinstance(node, ast.Lambda):
            self.parts.append(f"def {node.name}")
            self.scopes[-1].own.add(node.name)
            self._all(node.decorator_list)
        scope = _Scope()
        self.scopes.append(scope)
        self.write(node.args)
        body = [node.body] if isinstance(node, ast.Lambda) else _without_docstring(node.body)
        self._all(body)
        self.scopes.pop()
        outer = self.scopes[-1]
        for i in scope.loads:
            head = self.parts[i].chain[0]
            if head in scope.imports:
                self.parts[i] = _Resolved(self.parts[i].chain, scope.imports[head])
            elif head in scope.own:
                self.parts[i] = ".".join(self.parts[i].chain)
            else:
                outer.loads.append(i)


class _Resolved(_Reference):
    """A name that an import inside the function brought."""

    __slots__ = ("dotted",)

    def __init__(self, chain, dotted):
        super().__init__(chain)
        self.dotted = dotted


class _Scope:
    """Names of one function: its own, those it imports, where it reads a name."""

    __slots__ = ("imports", "loads", "own")

    def __init__(self):
        self.own, self.imports, self.loads = set(), {}, []


def _without_docstring(body):
    return body[1:] if body and _is_text(body[0]) and isinstance(body[0].value.value, str) else body


def _declares(node):
    """Whether a line of a class declares a setting: its words, limits and presets are no number's."""
    call = getattr(node, "value", None)
    if not isinstance(node, ast.AnnAssign) or not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in _OPTIONS
