"""The code that a number depends on, as one mark: found by reading the source, not kept by hand.

    of(function)      16 hexadecimal digits, other ones as soon as anything that it reaches changes

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
    # Numbered as they are met on the way from the roots, each with the numbers that its references lead
    # to: two definitions cannot be exchanged unseen, and no path or name of a module comes in.
    numbers, left = {}, list(reversed(roots))
    while left:
        place = left.pop()
        if place not in numbers:
            numbers[place] = len(numbers)
            left += reversed(found[place].targets)
    lines = [f"{found[p].digest} {[numbers[t] for t in found[p].targets]}" for p in numbers]
    # What no reference leads to: statements that run as a module is imported, and what they need.
    tops = [d for place, d in found.items() if place not in numbers]
    lines += sorted(f"{d.digest} {[found[t].digest for t in d.targets]}" for d in tops)
    lines.append(str([numbers[root] for root in roots]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


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
        self.nodes, self.imports, self.outside, self.top = {}, {}, {}, []
        self.stamp = _stamp(path)
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
                    elif isinstance(inner, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
                        self.nodes.setdefault(inner.name, []).append(inner)

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
        for name, dotted in _imports(node, self.package).items():
            self.imports.setdefault(name, []).append(dotted)
        self.outside |= _outside(node, self.imports)

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
        """Where a dotted name here may lead: [((module, name), how many of its parts that took)];
        empty for what is not ours. Several where it is defined, or imported, more than once."""
        head, found = chain[0], []
        if head in self.nodes:
            found.append(((self.name, head), 1))
        found += (_follow(dotted, chain, 1) for dotted in self.imports.get(head, ()))
        return [f for f in found if f is not None]


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
            if not found:  # a name that it makes as it runs: all of it may matter
                return (dotted, _ALL), used
            place, _ = found[-1]
            if place[1] == _ALL:  # a name that stands there for another module
                dotted, used = place[0], used + 1
                continue
            return place, used + 1
        home, _, name = dotted.rpartition(".")
        if not home or not _file(home):
            return None
        found = _module(home).find([name])
        return (found[-1][0], used) if found else ((home, _ALL), used)


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
        if any(alias.name == "*" for alias in node.names):
            raise ValueError(f"import names of {base} one by one: of * nobody can tell what it brings.")
        found = {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
    return found


def _outside(node, ours):
    """{name: full name of what it stands for} of an import that is not ours."""
    if isinstance(node, ast.Import):
        first = lambda alias: alias.name.split(".")[0]
        found = {a.asname or first(a): a.name if a.asname else first(a) for a in node.names}
    else:
        base = "." * node.level + (node.module or "")
        found = {a.asname or a.name: f"{base}.{a.name}" for a in node.names}
    return {name: dotted for name, dotted in found.items() if name not in ours}


def _is_ours(name):
    return _file(name.split(".")[0]) is not None


def _source(path):
    return path.read_bytes()


def _stamp(path):
    about = path.stat()
    return path, about.st_mtime_ns, about.st_size


def stands(mark, *functions):
    """Whether `mark` is still that of these functions: nobody has changed the code since it was read."""
    if any(_stamp(m.stamp[0]) != m.stamp for m in list(_modules.values())):
        forget()
    return of(*functions) == mark


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


_ABSENT = "~"
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
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
        for part in self.parts:
            if isinstance(part, str):
                text.append(part)
                continue
            found = self._look_up(part)
            if not found:
                head = self.module.outside.get(part.chain[0], part.chain[0])
                text.append(".".join([head, *part.chain[1:]]))
            for place, used in found:
                targets.append(place)
                # By its own name, not by the module's, which may be renamed.
                name = "" if place[1] == _ALL else place[1]
                text.append(".".join(["@" + name, *part.chain[used:]]))
        return " ".join(text), targets

    def _look_up(self, reference):
        if isinstance(reference, _Resolved):
            found = [_follow(dotted, reference.chain, 1) for dotted in reference.dotted]
            return [f for f in found if f is not None]
        return self.module.find(reference.chain)

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
            self.scopes[-1].own.add(node.name)
            self._inside([n for n in _without_docstring(node.body) if not _declares(n)], of_class=True)
        elif kind is ast.arg:
            self.parts.append(node.arg)
            self.scopes[-1].own.add(node.arg)
        elif kind in _COMPREHENSIONS:
            self._comprehension(node)
        elif kind in (ast.Global, ast.Nonlocal):
            self.scopes[-1].others.update(node.names)
            self.parts.append(f"{kind.__name__} {node.names}")
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
                        self.parts.append(_ABSENT if v is None else repr(v))
                self.parts.append("]")
            elif value is None:  # x[1:] is not x[:1]
                self.parts.append(_ABSENT)
            else:
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
        stored = type(node.ctx) is not ast.Load and len(chain) == 1
        if stored and node.id not in self.scopes[-1].others:
            self.parts.append(node.id)
            self.scopes[-1].own.add(node.id)
            return
        chain.reverse()
        self.scopes[-1].loads.append(len(self.parts))
        self.parts.append(_Reference(chain))

    def _import(self, node):
        ours = _imports(node, self.module.package)
        for name, dotted in ours.items():
            self.scopes[-1].imports.setdefault(name, []).append(dotted)
        others = [a for a in node.names if (a.asname or a.name.split(".")[0]) not in ours]
        if others:
            origin = getattr(node, "module", None) or ""
            self.parts.append(f"import {origin} {[(a.name, a.asname) for a in others]}")

    def _function(self, node):
        if not isinstance(node, ast.Lambda):
            self.parts.append(f"def {node.name}")
            self.scopes[-1].own.add(node.name)
            self._all(node.decorator_list)
        # Defaults are made where the function is, not inside it.
        self._all([*node.args.defaults, *filter(None, node.args.kw_defaults)])
        self.parts.append(str([d is not None for d in node.args.kw_defaults]))
        every = [node.args.posonlyargs, node.args.args, [node.args.vararg], node.args.kwonlyargs]
        body = [node.body] if isinstance(node, ast.Lambda) else _without_docstring(node.body)
        self._inside(body, arguments=[*every, [node.args.kwarg]])

    def _comprehension(self, node):
        self.parts.append(type(node).__name__)
        first, *more = node.generators
        self.write(first.iter)  # is looked at outside
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        rest = [first.target, *first.ifs]
        for g in more:
            rest += [g.target, g.iter, *g.ifs]
        self.parts.append(str([(len(g.ifs), g.is_async) for g in node.generators]))
        self._inside([*rest, *results])

    def _inside(self, nodes, arguments=(), of_class=False):
        """Write nodes in a scope of their own."""
        scope = _Scope(of_class)
        self.scopes.append(scope)
        for kind in arguments:
            self._all([a for a in kind if a is not None])
        self._all(nodes)
        self.scopes.pop()
        outer = self.scopes[-1]
        passed = list(scope.beyond)  # a class's names are not seen from inside its methods
        for i in scope.loads:
            head = self.parts[i].chain[0]
            if head in scope.imports:
                self.parts[i] = _Resolved(self.parts[i].chain, scope.imports[head])
            elif head in scope.own and head not in scope.others:
                self.parts[i] = ".".join(self.parts[i].chain)
            else:
                passed.append(i)
        (outer.beyond if outer.of_class else outer.loads).extend(passed)


class _Resolved(_Reference):
    """A name that an import inside the function brought."""

    __slots__ = ("dotted",)

    def __init__(self, chain, dotted):
        super().__init__(chain)
        self.dotted = dotted


class _Scope:
    """Names of one function, comprehension or class: its own, those it imports, those that it declares
    to be another scope's, where it reads a name, and where a scope inside of a class does."""

    __slots__ = ("beyond", "imports", "loads", "of_class", "others", "own")

    def __init__(self, of_class=False):
        self.own, self.imports, self.others = set(), {}, set()
        self.loads, self.beyond, self.of_class = [], [], of_class


def _without_docstring(body):
    return body[1:] if body and _is_text(body[0]) and isinstance(body[0].value.value, str) else body


def _declares(node):
    """Whether a line of a class declares a setting: its words, limits and presets are no number's."""
    call = getattr(node, "value", None)
    if not isinstance(node, ast.AnnAssign) or not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in _OPTIONS
