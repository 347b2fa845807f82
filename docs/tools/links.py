"""Whether every link leads somewhere, in the sources and in the built pages.

And whether a page loads anything from the network.
"""

import html.parser
import json
import pathlib
import re
import urllib.parse

from docs.tools import api

ROOT = pathlib.Path(__file__).parents[2]
# What a page loads when it is opened: attributes by element.
_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
_LINKS = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
_FENCES = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]*`", re.DOTALL)


# ---- Markdown ---------------------------------------------------------------------------------------


def broken(path, made=()):
    """Relative links that lead to no file, or to no heading of one: [(link, why)].

    path: of a Markdown file or of a notebook; made: files that there will be.
    """
    found = []
    for target in targets(markdown(path)):
        if re.match(r"[a-zA-Z][\w+.-]*:|//", target):
            continue
        file, _, anchor = urllib.parse.unquote(target).partition("#")
        there = (path.parent / file).resolve() if file else path
        if there in made:
            continue
        if not there.exists():
            found.append((target, "there is no such file"))
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text("utf-8")):
            found.append((target, "there is no such heading"))
    return found


def markdown(path):
    """The Markdown of a file; of a notebook that of its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def targets(text):
    """Where the links and pictures of a Markdown text lead, code left out."""
    return [a or b for a, b in _LINKS.findall(_FENCES.sub("", text))]


def anchors(text):
    """The anchors of a Markdown text's headings, as GitHub makes them, and those of its own `id`s."""
    found = set(re.findall(r'(?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", _fenced(text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = sum(1 for a in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", a))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def _fenced(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


# ---- built pages ------------------------------------------------------------------------------------


class _Page(html.parser.HTMLParser):
    """A page's anchors, its links, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.ids |= {of[name] for name in ("id", "name") if of.get(name)}
        if tag == "a" and of.get("href"):
            self.links.append(of["href"])
        if (source := of.get(_LOADED.get(tag))) and of.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(source)


def wrong(folder):
    """What is wrong with the pages below a folder: [one line each]."""
    folder = pathlib.Path(folder).resolve()
    pages = {p: _Page(p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for target in page.loads:
            if _outside(target):
                found.append(f"{name} loads {target} from the network.")
        for target in (*page.links, *page.loads):
            why = None if _outside(target) else _leads(path, target, pages)
            if why:
                found.append(f"{name}: {target}: {why}.")
    for path in sorted(folder.rglob("*.css")):
        for target in re.findall(
            r"(?:@import|url\()\s*(?:url\()?[\"']?([^\"')\s;]+)", path.read_text("utf-8")
        ):
            if re.match(r"https?:|//", target):
                found.append(f"{path.relative_to(folder)} loads {target} from the network.")
    return found


def _outside(target):
    return bool(re.match(r"(https?|mailto|javascript):|//", target))


def _leads(path, target, pages):
    """Why a link of the page at `path` leads nowhere; None where it leads somewhere."""
    if target.startswith("data:"):
        return None
    file, _, anchor = target.partition("#")
    file = urllib.parse.unquote(file.partition("?")[0])
    there = (path.parent / file).resolve() if file else path
    there = there / "index.html" if there.is_dir() else there
    if not there.exists():
        return "there is no such file"
    if anchor and there in pages and urllib.parse.unquote(anchor) not in pages[there].ids:
        return "there is no such place on that page"
    return None


def undocumented(environment):
    """Public names of the library that no page documents."""
    documented = {entry[0] for entry in environment.get_domain("py").get_objects()}
    return sorted(api.everything() - documented)


def check_build(app, exception):
    """Sphinx's last step: what is wrong is a warning each, which `-W` makes an error."""
    from sphinx.util import logging

    if exception is not None or app.builder.format != "html":
        return
    said = logging.getLogger(__name__)
    for line in wrong(app.outdir):
        said.warning("%s", line)
    for name in undocumented(app.env):
        said.warning("%s is public, and on no page.", name)
