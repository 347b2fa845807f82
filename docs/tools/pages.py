"""The pages that are made of what there is: gallery, API reference, the project's own files.

They are written into docs/gallery, docs/api and docs/project, which git ignores, and rewritten only
where they change, so that a second build reads only those.
"""

import os
import pathlib
import re
import shutil

from docs.tools import api, prose
from reproductions.bench import catalogue, drawings

ROOT = pathlib.Path(__file__).parents[2]
REFERENCE = ROOT / "reproductions" / "reference"
MADE = ("gallery", "api", "project")

# The project's own files, as pages of the site.
FILES = {
    "project/changelog": "CHANGELOG.md",
    "project/contributing": "CONTRIBUTING.md",
    "project/notes": "BUILD_NOTES.md",
    "project/methods": "wedges/NOTES.md",
    "project/speed": "tests/benchmarks/README.md",
    "gallery/overview": "reproductions/reference/README.md",
    "gallery/released": "reproductions/reference/released/README.md",
}


def write(docs):
    """Write all of them below the folder `docs`."""
    made = {**project(), **gallery(), **reference()}
    for folder in MADE:
        for old in (docs / folder).glob("*"):
            if old.relative_to(docs).as_posix() not in made:
                old.unlink() if old.is_file() else shutil.rmtree(old)
    for name, text in made.items():
        path = docs / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def names():
    """The names of all of them below the folder `docs`; nothing is imported for it."""
    found = [*FILES, "gallery/index", *(f"gallery/{name}" for name in catalogue.FIGURES)]
    modules = [f"api/{module}.rst" for module in ("index", *api.modules())]
    return {*(f"{name}.md" for name in found), *modules}


# ---- the project's own files ------------------------------------------------------------------------


def project():
    """{page: its text} of the project's own files."""
    return {f"{page}.md": _moved(ROOT / file, page) for page, file in FILES.items()}


def _pages():
    """{a file of the project: its page}."""
    found = {ROOT / file: page for page, file in FILES.items()}
    return found | {REFERENCE / f"{name}.md": f"gallery/{name}" for name in catalogue.FIGURES}


def _moved(path, page):
    """The text of a Markdown file of the project as a page, with its relative links."""
    return _with_one_title(relinked(path.read_text(encoding="utf-8"), path, page))


def relinked(text, path, page):
    """Markdown of the file `path` with its relative links as the page of this name needs them.

    What is a page of the site is linked as one, and a folder is none.
    """
    here = (ROOT / "docs" / page).parent

    def link(match):
        text, target = match.groups()
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:|#", target) or not file:
            return match.group()
        there = (path.parent / file).resolve()
        if there in _pages():
            to = ROOT / "docs" / f"{_pages()[there]}.md"
        elif there.is_dir():  # a folder is no page
            return text
        else:
            to = there
        return f"[{text}]({os.path.relpath(to, here)}{'#' + anchor if anchor else ''})"

    return re.sub(r"(?<!`)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


def _with_one_title(text):
    """Further headings of the first level are sections: a page has one title."""
    done, fenced, title = [], False, False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        heading = line.startswith("# ") and not fenced
        done.append(f"#{line}" if heading and title else line)
        title |= heading
    return "\n".join(done)


# ---- the gallery ------------------------------------------------------------------------------------


def gallery():
    """{page: its text} of every figure, and of their pictures side by side."""
    chapters = {k: [n for n in names if n in catalogue.FIGURES] for k, names in catalogue.STORY.items()}
    told = {name for names in chapters.values() for name in names}
    chapters["others"] = [name for name in catalogue.FIGURES if name not in told]
    chapters = {chapter: names for chapter, names in chapters.items() if names}
    made = {f"gallery/{name}.md": _finding(name) for name in catalogue.FIGURES}
    lines = [
        "# Gallery",
        "",
        "Every figure of the reproduction suite, from the run that its reference numbers are of. A "
        "picture leads to what was found: which claims hold, which do not, where the numbers come from. "
        "[All runs in one table](overview.md).",
        "",
    ]
    for chapter, names in chapters.items():
        lines += [f"## {chapter[0].upper()}{chapter[1:]}", "", "::::{container} gallery", ""]
        for name in names:
            lines += [":::{container} card", *_card(name), ":::", ""]
        lines += ["::::", ""]
    # Beside the page they go by their short names.
    named = [f"{name} <{name}>" for name in catalogue.FIGURES]
    lines += ["```{toctree}", ":hidden:", "", *named]
    lines += ["all runs <overview>", "released <released>", "```", ""]
    return {**made, "gallery/index.md": "\n".join(lines)}


def headline(name):
    """What a figure found, the first line of its page; its title where nobody has written one."""
    path = REFERENCE / f"{name}.md"
    if not path.exists():
        return catalogue.title(name)
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def command(name):
    """What runs a figure."""
    return f"python -m reproductions.{name}"


def _card(name):
    picture = lambda path: os.path.relpath(path, ROOT / "docs" / "gallery")
    found = drawings.kept(REFERENCE / f"{name}.md")[:1]
    shown = [f"[![{catalogue.title(name)}]({picture(path)})]({name}.md)\n" for path in found]
    return [
        *shown,
        f"[{headline(name)}]({name}.md)",
        "",
        f"`{command(name)}`",
        "",
    ]


def _finding(name):
    """A figure's page: its headline, its command, and its pictures and what was found."""
    path = REFERENCE / f"{name}.md"
    found = _moved(path, f"gallery/{name}").splitlines() if path.exists() else [f"# {headline(name)}"]
    way = [
        "```bash",
        f"{command(name)} --preset=quick   # a few minutes at most, on two cores",
        f"{command(name)}                  # the paper preset",
        "```",
        "",
    ]
    return "\n".join([found[0], "", *way, *found[1:], ""])


# ---- the API reference ------------------------------------------------------------------------------


def reference():
    """{page: its text} of every public module, and of the questions that they answer."""
    if wrong := api.unanswered():
        raise ValueError(
            "QUESTIONS of docs/tools/api.py must name every public module once, and no other; received "
            f"{', '.join(wrong)}."
        )
    made = {f"api/{module}.rst": _module(module) for module in api.modules()}
    lines = [
        "API reference",
        "=============",
        "",
        "Every public name, by the question that it answers. What stands at the top level is reached as",
        "``wedges.name``, all else as ``wedges.module.name``, without an import of its own.",
        "",
    ]
    for question, modules in api.QUESTIONS.items():
        lines += [question, "-" * len(question), ""]
        for module in modules:
            named = ", ".join(f":py:obj:`{n} <{full}>`" for n, full in api.public(module).items())
            said = prose.escaped(api.summary(module), lambda word: f"``{word}``")
            lines += [f":doc:`wedges.{module} <{module}>`", f"  {said}", "", f"  {named}", ""]
    lines += [".. toctree::", "   :hidden:", ""]
    lines += [f"   {module}" for modules in api.QUESTIONS.values() for module in modules]
    return {**made, "api/index.rst": "\n".join([*lines, ""])}


def _module(module):
    """A module's page: what it says of itself, then each of its names."""
    title = f"wedges.{module}"
    lines = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    for full in api.public(module).values():
        kind = api.kind(full)
        hidden = ["   :no-value:"] if kind == "data" and api.computed(full) else []
        lines += [f".. auto{kind}:: {full}", *hidden, ""]
    return "\n".join(lines)
