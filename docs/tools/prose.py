"""The house's docstrings as reStructuredText.

They are plain text: an indented block is meant as it stands, `name` is a name, |x| an absolute value and
a * b a product. reStructuredText would read marks into all of these. napoleon does the sections.
"""

import ast
import functools
import inspect
import re
import textwrap
import tokenize

from docs.tools import api

_SECTIONS = {"Args:", "Attributes:", "Returns:", "Raises:", "Yields:", "Keyword Args:", "Example:"}
# Code, and not an equation or a table, is what calls something of something.
_CALL = re.compile(r"\w\.\w+\(")
# A name and, in a column of its own, what it is.
_TABLE = re.compile(r"[a-z_][\w.`, ]*? {3,}\S")
_NAME = re.compile(r"(?:wedges\.)?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\(\))?")


def setup(app):
    """Before napoleon (500) reads a docstring, make it one that it reads as it is meant."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-docstring", _value, priority=600)
    app.connect("autodoc-skip-member", _skip)


def _process(app, what, name, obj, options, lines):
    text = list(lines)
    if what == "class" and (fields := fields_of(obj)):
        if not any(line.strip() for line in text):
            text = ["A tuple."]
        text += ["", "Attributes:", *(f"  {field}: {said}" for field, said in fields.items())]
    lines[:] = rst(text, lambda word: reference(word, name))


def _value(app, what, name, obj, options, lines):
    """A value is told by its comment, of which napoleon would take a part for its type."""
    if what == "data":
        lines[:] = [escaped(api.comment(name), lambda word: reference(word, name)), ""]


def _skip(app, what, name, obj, skip, options):
    # A field of a tuple stands among its attributes, with what its comment says. What another project
    # puts into a class is told there.
    field = type(obj).__name__ == "_tuplegetter"
    foreign = not (getattr(obj, "__module__", None) or "wedges").startswith("wedges")
    return True if field or foreign else None


# ---- text -------------------------------------------------------------------------------------------


def rst(lines, refer=lambda word: f"``{word}``"):
    r"""A docstring's lines as reStructuredText; `refer(name)` writes the names in backticks.

    >>> rst(["A mean of |x| * y, see `line`:", "", "    a * b", "", "Then on."])[:6]
    ['A mean of \\|x\\| \\* y, see ``line``:', '', '.. code-block:: text', '', '      a * b', '']
    """
    done, section, before = [], False, None
    for kind, block in _blocks(lines):
        if kind == "text" and not block[0].startswith(" "):
            section = block[0].strip() in _SECTIONS
        if kind == "literal" and section:  # goes on with what an argument is
            kind = "text"
        if kind == "literal":
            kind = "python" if any(_CALL.search(line) for line in block) else "text"
            start = [f".. code-block:: {kind}", ""]
            done += [] if before == kind else start
            done += [f"  {line}".replace("`", "") for line in block]
        else:
            done += block if kind == "doctest" else [escaped(line, refer) for line in block]
            kind = None
        done.append("")
        before = kind
    return done


def _blocks(lines):
    """Lines that belong together: [("text", "doctest" or "literal", [line])]."""
    found, kind, item = [], None, False
    for line in lines:
        if not line.strip():
            kind = None
            continue
        if line.lstrip().startswith(">>>"):
            now = "doctest"
        elif kind == "doctest":
            now = kind
        elif not line.startswith(" "):
            now = "literal" if _TABLE.match(line) else "text"
            item = bool(re.match(r"[-*] |\d+\. ", line)) or line.strip() in _SECTIONS
        else:  # of an item or of a section that has begun just above
            now = "text" if kind == "text" and item else "literal"
        if now == kind:
            found[-1][1].append(line)
        else:
            found.append((now, [line]))
        kind = now
    return found


def escaped(line, refer):
    """A line whose backticks are names or code, and whose other marks mean themselves."""
    parts = re.split(r"(`+)(.+?)\1", line)
    done = []
    for k in range(0, len(parts), 3):
        done.append(_plain(parts[k]))
        if k + 2 < len(parts):
            code = parts[k + 2]
            known = _NAME.fullmatch(code)
            written = refer(code) if known and parts[k + 1] == "`" else f"``{code}``"
            # A role ends at a space or a mark; a letter right behind it is set apart by an empty escape.
            if k + 3 < len(parts) and re.match(r"\w", parts[k + 3]):
                written += r"\ "
            done.append(written)
    return "".join(done)


def _plain(text):
    stressed = re.split(r"(?<![\w*])(\*[A-Za-z][\w -]*\*)(?![\w*])", text)
    mark = lambda piece: re.sub(r"(\w)_(?!\w)", r"\1\\_", re.sub(r"([*|\\])", r"\\\1", piece))
    bare = [piece if k % 2 else mark(piece) for k, piece in enumerate(stressed)]
    indent = re.match(r" *", text).group()
    joined = "".join(bare)
    # An item of a list keeps its star or dash.
    return (
        indent + joined.strip(" ") + " " * (len(text) - len(text.rstrip(" "))) if text.strip() else text
    )


# ---- names ------------------------------------------------------------------------------------------


def reference(word, where):
    """A public name as a link, anything else as code; `where` is the object whose docstring it is in."""
    called = word.removesuffix("()")
    targets = _targets()
    found = targets.get(called.removeprefix("wedges."), ())
    if called.startswith("wedges."):
        found = [full for full in found if full == called]
    if len(found) > 1:  # the one of the same module
        found = [full for full in found if api.home(full) == api.home(where)]
    if len(found) == 1 and found[0] != where:
        return f":py:obj:`{word} <{found[0]}>`"
    return f"``{word}``"


@functools.cache
def _targets():
    """{a name, or Class.method: [full names]} of what is documented."""
    found = {}
    for full in api.everything():
        parts = full.split(".")[1:]
        for k in range(len(parts)):
            found.setdefault(".".join(parts[k:]), []).append(full)
    return found


# ---- tuples -----------------------------------------------------------------------------------------


def fields_of(obj):
    """{field: its comment} of a NamedTuple, as its class has them beside the fields; {} of others."""
    if not (inspect.isclass(obj) and issubclass(obj, tuple) and hasattr(obj, "_fields")):
        return {}
    if "Attributes:" in (obj.__doc__ or ""):
        return {}
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except OSError:
        return {}
    lines = iter(source.splitlines(keepends=True))
    tokens = tokenize.generate_tokens(lambda: next(lines, ""))
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    body = ast.parse(source).body[0].body
    fields = [node for node in body if isinstance(node, ast.AnnAssign)]
    return {node.target.id: comments.get(node.end_lineno, "") for node in fields}
