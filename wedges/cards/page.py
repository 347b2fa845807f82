"""A card as one page of HTML, complete in itself: no scripts, no requests."""

from __future__ import annotations

import base64
import functools
import pathlib
import struct
from typing import Any

import jinja2

from wedges import archive
from wedges.cards import drawing, words

_TEMPLATE = "card.html.jinja"


def write(path: pathlib.Path, card: dict[str, Any], pictures: dict[str, tuple[str, bytes]]) -> None:
    """Write the page: whole, or not at all.

    Args:
      path: of the page.
      card: what `card.json` holds.
      pictures: {place: (what it shows, PNG)}.
    """
    text = rendered(card, pictures)
    with archive.replacing(path) as file:
        file.write(text.encode())


def rendered(card: dict[str, Any], pictures: dict[str, tuple[str, bytes]]) -> str:
    """The page's text."""
    sections = card["sections"]
    some = lambda kind: [(n, r) for n, r in sections.items() if n.startswith(f"{kind}-")]
    done = lambda kind: [r for _, r in some(kind) if "cut" not in r]
    cuts = [(card["titles"].get(n, n), r["cut"]) for n, r in sections.items() if "cut" in r]
    unjudged = sections.get("mean", {}).get("cut")
    there = {n: r for n, r in sections.items() if "cut" not in r}
    images = {
        place: {
            "src": "data:image/png;base64," + base64.b64encode(png).decode(),
            "alt": alt,
            "width": struct.unpack(">I", png[16:20])[0] // 2,
            "height": struct.unpack(">I", png[20:24])[0] // 2,
        }
        for place, (alt, png) in pictures.items()
    }
    return _template().render(
        card=card, found=there, done=done, cuts=cuts, images=images, unjudged=unjudged
    )


@functools.cache
def _template():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=words.number,
        percent=words.percent,
        points=words.points,
        duration=words.duration,
        spread=words.spread,
        model_name=words.model_name,
        directions=words.directions,
        products=words.products,
        sides=words.sides,
        thresholds=words.thresholds,
        verdict_line=words.verdict_line,
        statistics_lines=words.statistics_lines,
        verdict_class=words.verdict_class,
        curve_line=words.curve_line,
        cut_at=drawing.cut_at,
        highest=lambda looks: max(
            (v for r in looks for row in r["losses"] for v in row if v is not None), default=None
        ),
        farthest=words.farthest,
        zip=lambda a, b: list(zip(a, b, strict=True)),
        first_of=lambda rows, name: [row[name][0] for row in rows],
    )
    return environment.get_template(_TEMPLATE)
