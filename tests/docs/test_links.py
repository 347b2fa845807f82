"""Every relative link of the project's Markdown leads to a file and a heading; what does not is seen."""

import pathlib

import pytest

from docs.tools import links, pages

ROOT = pages.ROOT
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "tutorials").glob("*.md"),
    *(ROOT / "docs" / "tutorials").glob("*.ipynb"),
    *(ROOT / "reproductions" / "reference").rglob("*.md"),
    ROOT / "tests" / "benchmarks" / "README.md",
    ROOT / "wedges" / "NOTES.md",
]


@pytest.mark.parametrize("path", sorted(TEXTS), ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    made = {ROOT / "docs" / name for name in pages.names()}
    assert links.broken(path, made) == []


def test_there_are_links_to_look_at():
    found = [link for path in TEXTS for link in links.targets(links.markdown(path))]
    assert len(found) > 60 and any(".ipynb" in link for link in found)


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "other.md").write_text("# A *heading*, of `code`\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#a-heading-of-code) [c](other.md#twice-1) [d](https://x.org/gone)\n"
        "[e](gone.md) ![f](gone.png) [g](other.md#gone) [h](#here)\n`[i](code.md)`\n"
        '```\n[j](code.md)\n```\n<img src="gone.svg">\n\n# Here\n'
    )
    assert links.broken(page) == [
        ("gone.md", "there is no such file"),
        ("gone.png", "there is no such file"),
        ("other.md#gone", "there is no such heading"),
        ("gone.svg", "there is no such file"),
    ]
    assert links.broken(page, {tmp_path / "gone.md"})[0][0] == "gone.png"


PAGE = """<html><head><link rel="stylesheet" href="{style}"><script src="{script}"></script></head>
<body id="top"><a href="{link}">there</a><img src="picture.png"></body></html>"""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"link": "https://example.org/page"}, []),  # a link to follow is not loaded
        ({"link": "gone.html"}, ["page.html: gone.html: there is no such file."]),
        (
            {"link": "page.html#gone"},
            ["page.html: page.html#gone: there is no such place on that page."],
        ),
        (
            {"script": "https://cdn.example.org/mathjax.js"},
            ["page.html loads https://cdn.example.org/mathjax.js from the network."],
        ),
        (
            {"style": "//fonts.example.org/a"},
            ["page.html loads //fonts.example.org/a from the network."],
        ),
    ],
)
def test_a_built_page_with_a_wrong_link_is_seen(tmp_path, changed, said):
    usual = {"style": "style.css?v=1", "script": "script.js", "link": "#top"}
    (tmp_path / "page.html").write_text(PAGE.format(**{**usual, **changed}))
    for name in ("style.css", "script.js", "picture.png"):
        (tmp_path / name).write_text("")
    assert links.wrong(tmp_path) == said


def test_a_style_that_loads_a_font_is_seen(tmp_path):
    (tmp_path / "a.css").write_text(
        "@import url('https://fonts.example.org/b.css'); b {src: url(c.woff2)}"
    )
    (tmp_path / "c.woff2").write_text("")
    assert links.wrong(tmp_path) == ["a.css loads https://fonts.example.org/b.css from the network."]


def test_links_are_looked_for_in_every_folder_with_pages():
    folders = {p.parent.relative_to(ROOT) for p in TEXTS}
    assert {pathlib.Path("docs"), pathlib.Path("docs/tutorials"), pathlib.Path()} <= folders
