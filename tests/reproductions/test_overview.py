"""The page of all recorded runs: what it says, and that it is that of the files beside it."""

import pytest

from reproductions.bench import catalogue, claims, overview
from reproductions.bench.claims import Claim, Reference

MADE = {"date": "2026-01-02", "software": {"code": "0123456789"}, "seconds": 90.0, "memory_mib": 2048}


def record(folder, name, values, **made):
    some = [Claim(f"{name}.{i}", "a", "they", x, "<", 1.0) for i, x in enumerate(values)]
    Reference(name, folder).write("paper", {"config": {}}, {"x": [1.0]}, {**MADE, **made}, some)


def test_a_row_has_what_holds_what_it_took_and_by_what_code(tmp_path):
    record(tmp_path, "toy_cut", [0.5, 2.0, 0.5], seconds=30.0)
    record(tmp_path, "fig6_swa", [0.5], memory_mib=1024)
    text = overview.written(tmp_path)
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == len(catalogue.FIGURES)
    assert "| [`toy_cut`](toy_cut.md) | 2 of 3 | 2026-01-02 | 01234567 | 30 s | 2.0 GB |" in rows
    assert "| [`fig6_swa`](fig6_swa.md) | 1 of 1 | 2026-01-02 | 01234567 | 90 s | 1.0 GB |" in rows
    assert "| [`toy_probe`](toy_probe.md) | not run yet | | | | |" in rows
    assert "\n3 of 4 claims hold. " in text and "add up to 2.0 min" in text and "had 2.0 GB" in text
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- [toy_cut](toy_cut.md): `toy_cut.1`"
    ]


def test_what_older_references_lack_is_left_out(tmp_path):
    Reference("toy_cut", tmp_path).write("paper", {"config": {}}, {"x": [1.0]}, {}, ())
    assert "| [`toy_cut`](toy_cut.md) | 0 of 0 |  |  |  |  |" in overview.written(tmp_path)
    assert "Claims that fail" not in overview.written(tmp_path)


def test_a_smaller_preset_is_no_such_run(tmp_path):
    Reference("toy_cut", tmp_path).write("smoke", {"config": {}}, {"x": [1.0]}, MADE, ())
    assert "| [`toy_cut`](toy_cut.md) | not run yet | | | | |" in overview.written(tmp_path)


def test_the_page_is_that_of_the_references():
    page = (claims.REFERENCE / overview.PAGE).read_text(encoding="utf-8")
    assert page == overview.written(), "from reproductions.bench import overview; overview.save()"


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_it_links_a_page_that_there_is(name):
    assert (claims.REFERENCE / f"{name}.md").exists()
