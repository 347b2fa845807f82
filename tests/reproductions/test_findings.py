"""The table of every claim in a reference's page: what it says, where it stands, that it is of now."""

import json
import math

import pytest

from reproductions.bench import catalogue, claims, findings
from reproductions.bench.claims import Claim, Reference

KEY = {"config": {"seed": 0, "size": 100}}
PAGE = "# A figure\n\nWords.\n\n## Where the numbers come from\n\nA run.\n"


def provenance(code, day="2026-01-02"):
    return {"command": "python -m it", "date": day, "software": {"code": code}, "seconds": 1234.4}


def claim(id, measured, says="They are one."):
    return Claim(f"fig.{id}", f"what | is {id}", "they, Fig. 1", measured, "<", 1.0, says=says)


@pytest.fixture
def reference(tmp_path):
    return Reference("fig", tmp_path)


def record(reference, code, values, made, preset="paper", key=KEY):
    reference.write(preset, key, values, provenance(code), made)
    findings.save(reference.path.with_suffix(".md"), reference.read()[preset])
    return reference.read()[preset]


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_a_row_has_the_words_the_bound_both_numbers_and_the_verdict(reference):
    record(reference, "a" * 16, {"x": [1.0, 3.0]}, [claim("one", 0.25), claim("two", 2.0)])
    entry = record(
        reference,
        "b" * 16,
        {"x": [1.5, 3.5]},
        [claim("one", 0.125), claim("two", math.nan), claim("three", 7.0, says=None)],
    )
    assert rows(findings.section(entry)) == [
        "| what the source says | what we test | wanted | before | now | |",
        "|---|---|---|---|---|---|",
        "| They are one. (they, Fig. 1) | what \\| is one `fig.one` | < 1 | 0.25 | 0.125 | holds |",
        "|  | what \\| is two `fig.two` | < 1 | 2 | no number | **fails** |",
        "| In no source's words; see the test. (they, Fig. 1) | what \\| is three `fig.three` | < 1 "
        "| new | 7 | **fails** |",
    ]
    said = findings.section(entry).splitlines()[2]
    assert said.startswith("Recorded on 2026-01-02 by `python -m it`, code bbbbbbbb, 1,234 s. Before")


def test_of_a_reference_from_before_there_were_claims_the_verdicts_are_known(reference):
    entry = record(reference, "a" * 16, {"x": [1.0]}, [claim("one", 0.25), claim("two", 2.0)])
    content = reference.read()
    del content["paper"]["claims"]
    reference.path.write_text(json.dumps(content))
    entry = record(reference, "a" * 16, {"x": [1.0]}, [claim("one", 0.5), claim("two", 0.5)])
    assert [row.split(" | ")[3:5] for row in rows(findings.section(entry))[2:4]] == [
        ["held", "0.5"],
        ["failed", "0.5"],
    ]


def test_the_same_code_keeps_what_was_recorded_before_other_code(reference):
    record(reference, "a" * 16, {"x": [1.0]}, [claim("one", 0.25)])
    record(reference, "b" * 16, {"x": [2.0]}, [claim("one", 0.5)])
    entry = record(reference, "b" * 16, {"x": [3.0]}, [claim("one", 0.75)])
    assert entry["before"]["measured"] == {"fig.one": 0.25}
    assert record(reference, "c" * 16, {"x": [3.0]}, [])["before"]["measured"] == {"fig.one": 0.75}


def test_a_claim_that_is_judged_otherwise_keeps_the_number_from_before(reference):
    """The same arrays, judged by mended code: they are measured by one code, and claimed by two."""
    one = provenance("a" * 16)
    reference.write("paper", KEY, {"x": [1.0]}, one | {"judged_by": "1"}, [claim("one", 0.25)])
    reference.write("paper", KEY, {"x": [1.0]}, one | {"judged_by": "2"}, [claim("one", 0.5)])
    assert reference.read()["paper"]["before"]["measured"] == {"fig.one": 0.25}
    reference.write("paper", KEY, {"x": [1.0]}, one | {"judged_by": "2"}, [claim("one", 0.5)])
    assert reference.read()["paper"]["before"]["measured"] == {"fig.one": 0.25}


def test_another_number_of_the_same_run_leaves_what_was_recorded_before_it(reference):
    """Judged by other code, which reads one number more and all others as before."""
    reference.write("paper", KEY, {"x": [9.0]}, provenance("a" * 16), [claim("one", 0.25)])
    two = provenance("b" * 16)
    made = [claim("one", 0.5), claim("none", math.nan)]
    reference.write("paper", KEY, {"x": [1.0]}, two | {"judged_by": "1"}, made)
    more = {"x": [1.0], "y": [2.0]}
    reference.write("paper", KEY, more, two | {"judged_by": "2"}, [*made, claim("new", 0.1)])
    assert reference.read()["paper"]["before"]["numbers"]["x"]["mean"] == 9.0
    assert reference.read()["paper"]["before"]["measured"] == {"fig.one": 0.25}
    other = {"x": [1.5], "y": [2.0]}
    reference.write("paper", KEY, other, two | {"judged_by": "3"}, made)
    assert reference.read()["paper"]["before"]["numbers"]["x"]["mean"] == 1.0


def test_seeds_are_those_of_the_settings_whatever_the_command_says(reference):
    """A preset's own first seed needs no flag; entries from before seeds were kept have flags alone."""
    for seed, command in ((3, "it --seed=3"), (3, "it"), (4, "it")):
        made = provenance(command + str(seed)) | {"command": f"python -m {command}"}
        key = {"config": {"seed": seed, "seeds": 3, "size": 100}}
        reference.write("paper", key, {"x": [1.0, 1.2]}, made, [claim("one", 0.25)])
        entry = reference.read()["paper"]
        assert entry["provenance"]["repeats"] == {"seed": seed, "seeds": 3}
        if "before" in entry:
            said = findings.section(entry)
            assert ("same seeds" in said) == (seed == 3) and ("By chance" in said) == (seed == 4)
            older = {k: v for k, v in entry["before"]["provenance"].items() if k != "repeats"}
            entry["before"]["provenance"] = older | {"command": "python -m it --seed=3"}
            assert ("same seeds" in findings.section(entry)) == (seed == 3)


def test_only_the_paper_preset_has_a_table(reference):
    reference.write("smoke", KEY, {"x": [1.0]}, provenance("a"), [claim("one", 0.25)])
    reference.write("smoke", KEY, {"x": [1.0]}, provenance("b"), [claim("one", 0.25)])
    assert not {"claims", "before"} & reference.read()["smoke"].keys()


def test_settings_that_changed_are_named(reference):
    record(reference, "a", {"x": [1.0]}, [claim("one", 0.25)])
    entry = record(reference, "b", {"x": [1.0]}, [claim("one", 0.25)], key={"config": {"size": 200}})
    assert "\nSettings that changed in between: size 100 is now 200.\n" in findings.section(entry)
    assert "difference. Settings have changed, so that" in findings.section(entry)
    assert "same seeds" not in findings.section(entry)
    entry = record(reference, "c", {"x": [1.0]}, [claim("one", 0.25)], key={"config": {"size": 200}})
    assert "Settings" not in findings.section(entry)


def number(mean, spread=None, n=1):
    return {"mean": mean, "spread": spread, "n": n}


@pytest.mark.parametrize(
    "before, now, errors",
    [
        (number(1.0, 0.3, 9), number(1.3, 0.4, 16), 0.3 / math.hypot(0.1, 0.1)),  # 2.1
        (number(1.0, 0.3, 9), number(1.28, 0.4, 16), None),  # 1.98
        (number(1.0), number(1.001), math.inf),
        (number(1.0), number(1.0 + 1e-5), None),  # rounding
        (number(2e-7), number(7e-7), None),
        (number(1.0, 0.3, 9), number(math.nan, 0.4, 16), math.nan),
    ],
)
def test_what_has_moved_by_more_than_two_standard_errors_of_the_difference(before, now, errors):
    found = findings.moved({"x": now, "new": number(1.0)}, {"x": before, "old": number(1.0)})
    assert [name for name, *_ in found] == (["x"] if errors is not None else [])
    if found:
        assert found[0][3] == pytest.approx(errors, nan_ok=True)


def test_moved_numbers_have_a_table(reference):
    record(reference, "a", {"x": [1.0, 1.2], "y": [1.0]}, [claim("one", 0.25)])
    entry = record(reference, "b", {"x": [2.0, 2.2], "y": [1.0]}, [claim("one", 0.25)])
    assert (
        "Of 2 numbers that both runs have, 1 moved by more than 2 standard errors"
        in findings.section(entry)
    )
    assert rows(findings.section(entry))[-1] == "| x | 1.1 | 2.1 | 7.1 |"  # 1 / (0.1 sqrt(2))


@pytest.mark.parametrize("page", [PAGE, "# A figure\n\nWords.\n"])
def test_the_page_keeps_its_own_words_and_is_replaced_in_place(reference, page):
    path = reference.path.with_suffix(".md")
    path.write_text(page)
    record(reference, "a", {"x": [1.0]}, [claim("one", 0.25)])
    first = path.read_text()
    assert first.replace(f"\n{findings.section(reference.read()['paper'])}", "") == page
    record(reference, "b", {"x": [1.0]}, [claim("one", 0.5)])
    second = path.read_text()
    assert second.count(findings.HEAD) == 1 and "0.5 | holds" in second
    assert second.replace(f"\n{findings.section(reference.read()['paper'])}", "") == page


def test_no_page_is_made_where_there_is_none(reference, tmp_path):
    record(reference, "a", {"x": [1.0]}, [claim("one", 0.25)])
    assert [path.name for path in tmp_path.iterdir()] == ["fig.json"]


def test_the_own_picture_is_under_the_headline_and_others_have_a_section(reference, tmp_path):
    path = reference.path.with_suffix(".md")
    path.write_text(
        "# It [holds]\n\n![of before](old.png)\n\nWords.\n\n## Where the numbers come from\n\nA run.\n"
    )
    assert (
        findings.pictured(path) == "# It [holds]\n\nWords.\n\n## Where the numbers come from\n\nA run.\n"
    )
    own, more = "![It holds](fig.png)", "![It holds (by depth)](fig_by_depth.png)"
    for name in ("fig.png", "fig_by_depth.png", "figure.png"):
        (tmp_path / name).touch()
    record(reference, "a", {"x": [1.0]}, [claim("one", 0.25)])
    made = path.read_text()
    assert made.startswith(
        f"# It [holds]\n\n{own}\n\nWords.\n\n## Further pictures\n\n{more}\n\n{findings.HEAD}\n"
    )
    assert made.endswith("|\n\n## Where the numbers come from\n\nA run.\n")
    record(reference, "a", {"x": [1.0]}, [claim("one", 0.25)])
    assert path.read_text().count("![") == 2
    words = "# It [holds]\n\n\nWords.\n\n## Where the numbers come from\n\nA run.\n"
    assert findings.own_words(path.read_text()) == words
    for name in ("fig.png", "fig_by_depth.png"):
        (tmp_path / name).unlink()
    assert "![" not in findings.pictured(path) and findings.MORE not in findings.pictured(path)


def test_a_page_of_nothing_but_its_headline_is_pictured(reference, tmp_path):
    path = reference.path.with_suffix(".md")
    (tmp_path / "fig.png").touch()
    path.write_text("# It holds\n")
    assert findings.pictured(path) == "# It holds\n\n![It holds](fig.png)\n"


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_the_page_of_a_figure_shows_the_pictures_beside_it(name):
    path = claims.REFERENCE / f"{name}.md"
    assert findings.pictured(path) == path.read_text(encoding="utf-8")


RECORDED = [n for n in catalogue.FIGURES if "claims" in Reference(n).read().get("paper", {})]


@pytest.mark.parametrize("name", RECORDED)
def test_the_page_of_a_figure_has_the_table_of_its_reference(name):
    page = (claims.REFERENCE / f"{name}.md").read_text(encoding="utf-8")
    assert findings.written(page, Reference(name).read()["paper"]) == page
