"""What the documentation is made of: public names, the gallery, docstrings, tutorials, the citation."""

import functools
import json
import pathlib
import re

import pytest

import wedges
from docs.tools import api, links, pages, prose
from reproductions.bench import catalogue, drawings

ROOT = pathlib.Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


# ---- the API reference ------------------------------------------------------------------------------


def test_every_public_module_answers_one_question():
    assert api.unanswered() == []


@pytest.mark.parametrize(
    ("module", "wrong"),
    [("zebra", ["zebra"]), ("toy", ["toy"]), ("", [])],
    ids=["new", "twice", "as it is"],
)
def test_a_module_without_a_question_is_refused(monkeypatch, module, wrong):
    asked = {**api.QUESTIONS, "What else?": (module,) if module else ()}
    monkeypatch.setattr(api, "QUESTIONS", asked)
    assert api.unanswered() == wrong
    if wrong:
        with pytest.raises(
            ValueError, match=rf"must name every public module once.*received {module}\.$"
        ):
            pages.reference()


def test_every_name_of_the_stub_is_documented_and_is_what_it_says():
    found = api.everything()
    assert {f"wedges.{name}" for name in wedges.__all__ if name != "__version__"} <= found
    for full in found:
        assert functools.reduce(getattr, full.split(".")[1:], wedges) is not None


def test_a_module_shows_what_it_defines_and_a_package_what_it_exports():
    assert api.public("select") == {"smallest": "wedges.select.smallest"}
    assert api.public("toy") == {
        "Wedges": "wedges.toy.Wedges",
        **{n: f"wedges.{n}" for n in ("AxisWedges", "RotatedWedges", "RandomWedges")},
    }
    assert api.public("network") == {
        "NetworkLandscape": "wedges.NetworkLandscape",
        "WeightSpace": "wedges.WeightSpace",
    }


def test_the_reference_has_a_page_of_every_module_and_links_to_every_name():
    made = pages.reference()
    assert made.keys() == {"api/index.rst", *(f"api/{module}.rst" for module in api.modules())}
    for full in api.everything() - {f"wedges.{module}" for module in api.modules()}:
        assert f"<{full}>`" in made["api/index.rst"]
        assert sum(f":: {full}\n" in text for text in made.values()) == 1
    assert ".. autoclass:: wedges.NetworkLandscape\n" in made["api/network.rst"]
    assert ".. autofunction:: wedges.probe.plane\n" in made["api/probe.rst"]
    assert ".. autoexception:: wedges.archive.Damaged\n" in made["api/archive.rst"]


def test_a_public_name_on_no_page_is_seen():
    class Domain:
        def get_objects(self):
            return [(name, name, "function", "page", "", 1) for name in api.everything()][1:]

    class Environment:
        def get_domain(self, name):
            return Domain()

    (missing,) = links.undocumented(Environment())
    assert missing in api.everything()


def test_a_value_is_told_by_the_comment_above_it_or_beside_it():
    assert api.comment("wedges.diagnosis.MEASURES").startswith("What a tree may ask")
    assert api.comment("wedges.diagnosis.FILE") == "" and api.computed("wedges.diagnosis.FILE")


# ---- docstrings -------------------------------------------------------------------------------------

DOCSTRING = """L(theta + t p) and |x|, see `line`: a * b * c, *short* or not.

one, two      a * b of `line`
              and more
    a(v) = min {a > 0: L(theta + a v / |v|) > T}
        second line

    found = wedges.line(a, b)

Then d_ and `x [X]`, a `Width`s.

- an item of a * list
  that goes on

>>> wedges.line(a, b)  # |x| * y
0.5

Args:
  x, y: a | b.
    More of it:

      and more.

Source: *Somebody* 2018.
"""

WRITTEN = r"""L(theta + t p) and \|x\|, see <line>: a \* b \* c, *short* or not.

.. code-block:: text

  one, two      a * b of line
                and more
      a(v) = min {a > 0: L(theta + a v / |v|) > T}
          second line

.. code-block:: python

      found = wedges.line(a, b)

Then d\_ and ``x [X]``, a <Width>\ s.

- an item of a \* list
  that goes on

>>> wedges.line(a, b)  # |x| * y
0.5

Args:
  x, y: a \| b.
    More of it:

      and more.

Source: *Somebody* 2018.
"""


def test_a_docstring_is_written_as_it_is_meant():
    """Marks of reStructuredText mean themselves, but for a stressed word; indented lines stay."""
    found = "\n".join(prose.rst(DOCSTRING.splitlines(), lambda word: f"<{word}>"))
    assert re.sub(r"\n\n+", "\n\n", found).strip() == WRITTEN.strip()


def test_names_in_backticks_are_links_where_they_are_known():
    refer = lambda word, where="wedges.barrier": prose.reference(word, where)
    assert refer("tunnel_width") == ":py:obj:`tunnel_width <wedges.tunnel_width>`"
    assert refer("plane") == ":py:obj:`plane <wedges.probe.plane>`"
    assert refer("wedges.short") == ":py:obj:`wedges.short <wedges.short>`"
    assert refer("theta") == "``theta``" and refer("barrier") == "``barrier``"
    # Two are called so: the one of the object's own module is meant, and elsewhere none is known.
    own = ":py:obj:`Trajectory <wedges.optimize.Trajectory>`"
    assert refer("Trajectory", "wedges.Descent.run") == own
    assert refer("Trajectory") == "``Trajectory``"


def test_the_fields_of_a_tuple_are_told_by_their_comments():
    assert prose.fields_of(wedges.probe.Line) == {"t": "[T], from 0 to 1", "losses": "[T]"}
    assert prose.fields_of(wedges.Quadratic) == prose.fields_of(tuple) == {}


# ---- the gallery ------------------------------------------------------------------------------------


def test_every_figure_has_its_page_with_picture_command_and_findings():
    made = pages.gallery()
    assert made.keys() == {"gallery/index.md", *(f"gallery/{name}.md" for name in catalogue.FIGURES)}
    for name in catalogue.FIGURES:
        text, index = made[f"gallery/{name}.md"], made["gallery/index.md"]
        assert text.startswith(f"# {pages.headline(name)}\n")
        assert f"python -m reproductions.{name} " in text and f"]({name}.md)" in index
        for picture in drawings.kept(pages.REFERENCE / f"{name}.md"):
            assert f"](../../reproductions/reference/{picture.name})" in text


def test_a_picture_is_shown_with_its_own_figure():
    named = [
        path for name in catalogue.FIGURES for path in drawings.kept(pages.REFERENCE / f"{name}.md")
    ]
    assert sorted(named) == sorted(pages.REFERENCE.glob("*.png"))
    assert len(drawings.kept(pages.REFERENCE / "intrinsic_dimension.md")) == 2


def test_links_of_a_file_that_becomes_a_page_lead_to_pages_and_files(tmp_path):
    source = ROOT / "reproductions" / "reference" / "taxonomy_phases.md"
    assert "[released/README.md](released/README.md)" in source.read_text()
    assert "[released/README.md](released.md)" in pages.gallery()["gallery/taxonomy_phases.md"]


def test_a_page_written_by_hand_links_to_files_that_are_pages():
    text = (
        "[a](../BUILD_NOTES.md#limits) [b](../reproductions/reference) [c](glossary.md) [d](../LICENSE)"
    )
    found = pages.relinked(text, ROOT / "docs" / "guide.md", "guide")
    assert found == "[a](project/notes.md#limits) b [c](glossary.md) [d](../LICENSE)"


def test_a_page_has_one_title_and_comments_in_code_are_none():
    made = pages.project()
    for page, text in {**made, **pages.gallery()}.items():
        text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, page
    assert "\n## Measurements of our own beside them\n" in made["gallery/released.md"]
    assert "\n# 1. " not in made["project/notes.md"] and "```python\n" in made["project/notes.md"]


def test_pages_are_written_only_where_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "reference", lambda: {"api/index.rst": "API\n===\n"})
    pages.write(tmp_path)
    (tmp_path / "gallery" / "gone.md").write_text("of a figure that there is not any more")
    page, changed = tmp_path / "gallery" / "toy_cut.md", tmp_path / "api" / "index.rst"
    before = page.stat().st_mtime_ns
    changed.write_text("other")
    pages.write(tmp_path)
    assert page.stat().st_mtime_ns == before and changed.read_text() == "API\n===\n"
    assert not (tmp_path / "gallery" / "gone.md").exists()


# ---- tutorials, and the citation --------------------------------------------------------------------


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_is_kept_without_outputs_in_short_cells(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "".join(cells[0]["source"]).startswith("# ") and len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in code:
        text = "".join(cell["source"])
        compile(re.sub(r"^%%.*\n", "", text), path.name, "exec")
        # A whole figure is shown in one piece.
        assert len(text.splitlines()) <= 30 or text.startswith("%%writefile")


def test_there_are_five_tutorials_and_the_index_names_them():
    index = (ROOT / "docs" / "tutorials" / "index.md").read_text()
    assert len(TUTORIALS) == 5 and all(f"]({path.name})" in index for path in TUTORIALS)


def test_the_citation_is_of_this_version():
    stated = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE).group(1)
    assert stated == wedges.__version__
    assert f"version = {{{stated}}}" in (ROOT / "docs" / "citing.md").read_text()
