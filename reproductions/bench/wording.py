"""What the page says in words: numbers, durations, a figure's own story, what was found, links."""

import itertools
import math
import os
import pathlib
import re
import textwrap
import urllib.parse

import markdown_it
import markupsafe

from reproductions.bench import catalogue, claims
from reproductions.bench.findings import own_words

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5}(?:v\d+)?)")
_LINK = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'


def duration(seconds):
    """Seconds in words: 18 s, 2.5 min, 1.2 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value):
    """A number in a few digits: 0.1235, 12,346, 1e-09."""
    value = float(value)
    if math.isnan(value):
        return "no number"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def show(value):
    """A setting's value."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def story(figure):
    """A figure's docstring without its title and its commands: [("text" or "source", text)] and
    ("list", [(first word, the rest)]) for indented lines."""
    lines = catalogue.module(figure).__doc__.strip().splitlines()[1:]
    told = []
    for kind, block in itertools.groupby(lines, _kind):
        block = list(block)
        if kind == "list" and "python -m" not in block[0]:
            told.append((kind, items(block)))
        elif kind in ("text", "source"):
            told.append((kind, " ".join(block)))
    return told


def findings(figure):
    """What was found in the reference run, as HTML; None where nobody has written it down.

    Without its pictures and the table of every claim: a report has those of its own run.
    """
    path = claims.REFERENCE / f"{figure}.md"
    if not path.exists():
        return None
    # No HTML of its own passes through; headings stand below the figure's.
    markdown = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(own_words(path.read_text(encoding="utf-8")))
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html = markdown.renderer.render(tokens, markdown.options, {})
    # A table wider than a phone scrolls by itself.
    html = html.replace("<table>", '<div class="wide" tabindex="0"><table>')
    return markupsafe.Markup(_ARXIV.sub(_LINK, html.replace("</table>", "</table></div>")))


def prose(text):
    """Text with its `code`, *stress* and papers' numbers as HTML."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(linked(text)))
    return markupsafe.Markup(re.sub(r"\*(\w+)\*", r"<em>\1</em>", text))


def linked(text):
    """Text as HTML in which arXiv:1906.04724 leads to the paper."""
    return markupsafe.Markup(_ARXIV.sub(_LINK, str(markupsafe.escape(text))))


def papers(text):
    """The numbers of the papers on arXiv that a text names, each once."""
    return list(dict.fromkeys(_ARXIV.findall(text)))


def items(lines):
    """Indented lines as [(first word, the rest)]; a line that is indented further goes on."""
    found = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" "):
            found[-1] += line
        else:
            found.append(line)
    return [(item.split()[0], " ".join(item.split()[1:])) for item in found]


def href(path, page):
    """What leads from a page's file to another file: a path from its folder, quoted."""
    to = os.path.relpath(pathlib.Path(path).absolute(), pathlib.Path(page).absolute().parent)
    return urllib.parse.quote(pathlib.Path(to).as_posix())


def _kind(line):
    if not line.strip():
        return "empty"
    return "list" if line.startswith(" ") else "source" if line.startswith("Source:") else "text"
