"""Verdicts: what a run of a preset may say of a claim, and what the recorded run of paper said."""

import importlib
import json
import math
import re
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproductions.bench import catalogue, claims, findings, options, store, verdicts
from reproductions.bench.claims import Claim, Reference

FIGURE = types.SimpleNamespace()  # says nothing of its presets
EARLY = types.SimpleNamespace(JUDGED_FROM="quick")


def made(measured, id="fig.a", **more):
    """A claim that a number is below 1, as check.json has it."""
    return Claim(id, "a number", "they", measured, "<", 1.0, **more).as_dict()


def one(measured, preset, figure=FIGURE, recorded=None):
    (claim,) = verdicts.judged([made(measured)], figure, preset, recorded)
    return claim


# ---- what a preset may say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "preset", "large"),
    [
        (FIGURE, "smoke", False), (FIGURE, "quick", False), (FIGURE, "paper", True),
        (EARLY, "smoke", False), (EARLY, "quick", True), (EARLY, "paper", True),
    ],
)  # fmt: skip
def test_a_preset_is_large_enough_from_the_figures_own_on(figure, preset, large):
    assert verdicts.judges(figure, preset) == large


@pytest.mark.parametrize(
    ("measured", "preset", "verdict"),
    [
        (0.5, "smoke", "holds"), (2.0, "smoke", "too small to judge"),
        (0.5, "paper", "holds"), (2.0, "paper", "fails"),
        (math.nan, "smoke", "not measurable"), (math.nan, "paper", "not measurable"),
    ],
)  # fmt: skip
def test_what_holds_holds_in_every_preset_and_only_a_large_one_says_that_it_fails(
    measured, preset, verdict
):
    claim = one(measured, preset)
    assert claim["verdict"] == verdict and claim["passed"] == (verdict == "holds")


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        (None, "not run yet"),
        ({}, "not claimed"),
        ({"fig.a": True}, "holds"),
        ({"fig.a": False}, "fails"),
    ],
)
def test_the_paper_presets_verdict_stands_beside_what_is_none(recorded, said):
    claim = one(2.0, "quick", recorded=recorded)
    assert claim["at_paper"] == said
    assert verdicts.words(claim, False) == f"too small to judge; at the paper preset: {said}"
    nothing = one(math.nan, "quick", recorded=recorded)
    told = f"not measurable in this preset; at the paper preset: {said}"
    assert verdicts.words(nothing, False) == told
    assert verdicts.words(one(0.5, "quick", recorded=recorded), False) == "holds"
    assert verdicts.words(one(2.0, "paper", recorded=recorded), True) == "fails"


def test_a_claim_of_an_older_run_is_judged_as_well():
    """Without what its source says, and whose the bound is."""
    old = {k: v for k, v in made(2.0).items() if k not in ("says", "threshold")}
    (claim,) = verdicts.judged([old], FIGURE, "smoke", None)
    assert claim["says"] is None and claim["threshold"] == "ours"
    assert verdicts.said(claim) == verdicts.OWN_READING
    assert verdicts.said({**claim, "says": "Wells are round."}) == "Wells are round."


# ---- in words ---------------------------------------------------------------------------------------


def test_claims_are_counted_in_words():
    recorded = {"a": True, "b": False}
    some = [made(0.5, "x"), made(2.0, "a"), made(3.0, "b"), made(math.nan, "c")]
    count = lambda preset: verdicts.counted(verdicts.judged(some, FIGURE, preset, recorded))
    small = "1 of 4 claims hold; 2 too small to judge, 1 not measurable"
    assert count("smoke") == f"{small} (at the paper preset 1 holds, 1 fails, 1 not claimed)"
    assert count("paper") == "1 of 4 claims hold; 1 not measurable"
    assert verdicts.counted(verdicts.judged(some[:1], FIGURE, "smoke", None)) == "1 of 1 claim hold"
    two = verdicts.judged([made(2.0, "a"), made(2.0, "a")], FIGURE, "smoke", recorded)
    assert (
        verdicts.counted(two) == "0 of 2 claims hold; 2 too small to judge (at the paper preset 2 hold)"
    )
    assert verdicts.counted([]) == "no claim is made"


kinds = st.sampled_from([0.5, 2.0, math.nan])


@settings(deadline=None)
@given(
    st.lists(kinds, min_size=1, max_size=9),
    st.sampled_from(options.PRESETS),
    st.integers(60, 120),
    st.text("abcdefg ,;-", min_size=1, max_size=200).filter(str.strip),
)
def test_a_table_has_every_claim_once_and_is_no_wider_than_the_terminal(numbers, preset, columns, says):
    some = [made(x, f"fig.{i}", says=says) for i, x in enumerate(numbers)]
    judged = verdicts.judged(some, FIGURE, preset, None)
    large = verdicts.judges(FIGURE, preset)
    lines = verdicts.table(judged, large, columns, colour=False).splitlines()
    assert all(len(line) <= columns for line in lines)
    text = "\n".join(lines)
    assert all(text.count(f"[fig.{i}]") == 1 for i in range(len(numbers)))
    starts = [line.split("  ")[0] for line in lines]
    count = {kind: sum(c["verdict"] == kind for c in judged) for kind in ("holds", "fails")}
    assert starts.count("holds") == count["holds"] and starts.count("FAILS") == count["fails"]
    assert ("FAILS" in text) == (large and 2.0 in numbers) and "nan" not in text


def test_a_source_is_told_once_for_claims_that_share_it():
    some = [made(0.5, "fig.a", says="One."), made(0.5, "fig.b", says="One."), made(0.5, "fig.c")]
    judged = verdicts.judged(some, FIGURE, "paper", None)
    text = verdicts.table(judged, True, 120, colour=False)
    assert text.count("One. (they)") == 1 and text.count(verdicts.OWN_READING) == 1
    header = text.splitlines()[0]
    assert header.index("What the source says") < header.index("What we test")


def test_whose_a_bound_is_is_said_where_it_is_not_ours():
    judged = verdicts.judged([made(0.5, threshold=claims.THEIRS), made(0.5)], FIGURE, "paper", None)
    text = " ".join(verdicts.table(judged, True, 120, colour=False).split())
    assert text.count("0.5, wanted < 1 (the source's)") == 1 and text.count("0.5, wanted < 1 [") == 1


def test_colours_are_for_a_terminal_and_change_no_word(monkeypatch):
    some = [made(0.5), made(2.0), made(math.nan)]
    for preset, codes in (("smoke", ("32", "90", "33")), ("paper", ("32", "1;31", "33"))):
        judged = verdicts.judged(some, FIGURE, preset, None)
        plain, painted = (verdicts.table(judged, preset == "paper", 100, c) for c in (False, True))
        assert "\x1b" not in plain and re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain
        assert all(f"\x1b[{code}m" in painted for code in codes)
    terminal = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert verdicts.coloured(terminal) and not verdicts.coloured(types.SimpleNamespace(isatty=bool))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not verdicts.coloured(terminal)


def test_the_width_is_the_terminals_within_reason(monkeypatch):
    for columns, used in ((20, 60), (90, 90), (300, 120)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert verdicts.width() == used


def test_lines_break_between_words():
    text = "a well-known number on the straight line between two optima"
    lines = verdicts.wrapped(text, "    ", 24)
    assert all(line.startswith("    ") and len(line) <= 24 for line in lines)
    assert "".join(lines).split() == text.split()


def test_agreement_is_told_as_a_check_of_the_code():
    compared = {"numbers": 30, "agree": 29, "differs": ["x"]}
    assert verdicts.agreement(compared, "smoke") == (
        "checked the code: 29 of 30 numbers as on the reference machine (preset smoke)"
    )
    assert "no reference numbers" in verdicts.agreement(None, "quick")


# ---- what is recorded -------------------------------------------------------------------------------


@options.settings
class Config(options.Config):
    size: int = options.option("how many", paper=100, smoke=1)


def test_verdicts_are_recorded_with_the_numbers_and_found_for_the_settings_of_now(tmp_path):
    reference = Reference("fig", tmp_path)
    assert reference.verdicts(Config) is None
    some = [Claim("fig.a", "a", "they", 0.0, "<", 1.0), Claim("fig.b", "b", "they", math.nan, "<", 1.0)]
    reference.write("smoke", {"config": {"seed": 0, "size": 1}}, {"x": [1.0]}, {}, some)
    assert reference.verdicts(Config) is None  # those of another preset say nothing
    reference.write("paper", {"config": {"seed": 7, "size": 100}}, {"x": [1.0]}, {}, some)
    assert reference.verdicts(Config) == {"fig.a": True, "fig.b": False}
    reference.write("paper", {"config": {"seed": 0, "size": 99}}, {"x": [1.0]}, {}, some)
    assert reference.verdicts(Config) is None  # a preset that has changed since


def test_an_entry_without_verdicts_has_none(tmp_path):
    reference = Reference("fig", tmp_path)
    reference.write("paper", {"config": {"size": 100}}, {"x": [1.0]}, {})
    entry = reference.read()["paper"]
    del entry["verdicts"]
    store.write_json(reference.path, {"paper": entry})
    assert reference.verdicts(Config) is None


def test_numbers_are_compared_in_words(tmp_path):
    reference = Reference("fig", tmp_path)
    key = {"config": {"size": 1}}
    assert reference.compare("smoke", key, {"x": [1.0]}) is None
    reference.write("smoke", key, {"x": [1.0], "y": [2.0]}, {})
    assert reference.compare("smoke", key, {"x": [1.0], "y": [2.0]}) == {
        "numbers": 2, "agree": 2, "differs": [],
    }  # fmt: skip
    off = reference.compare("smoke", key, {"x": [1.0], "y": [3.0]})
    assert (off["numbers"], off["agree"]) == (2, 1)
    assert off["differs"] == ["y: 3.0000, reference 2.0000 +- 0.0050"]


RECORDED = [name for name in catalogue.FIGURES if "paper" in Reference(name).read()]


class Numbers(dict):
    """A number for every claim."""

    def __missing__(self, id):
        return 0.0


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_verdicts_are_those_of_the_figures_page(name):
    """As many hold as it says, and a claim that it names as failing is one that fails."""
    figure = catalogue.module(name)
    recorded = Reference(name).verdicts(figure.Config)
    assert recorded, "its paper preset has changed, or was recorded without verdicts"
    page = (claims.REFERENCE / f"{name}.md").read_text()
    said = {tuple(map(int, found)) for found in re.findall(r"(\d+) of (\d+)\s+claims\s+hold", page)}
    said |= {(int(n),) * 2 for n in re.findall(r"All (\d+) claims hold", page)}
    if said:
        assert (sum(recorded.values()), len(recorded)) in said
    else:
        assert re.search(r"all\s+claims\s+hold", page, re.IGNORECASE) and all(recorded.values())
    failing = re.search(r"## (?:What does not hold|What was measured)(.*?)(?=\n## |\Z)", page, re.DOTALL)
    for id in re.findall(r"`([a-z][\w.-]*)`", failing.group(1)) if failing else ():
        assert not recorded.get(id, False), id


@pytest.mark.parametrize("name", RECORDED)
def test_what_fails_is_spoken_of_in_the_text_of_the_page(name):
    """A table says that it fails; why, and what was tried, stands outside of the table."""
    page = (claims.REFERENCE / f"{name}.md").read_text()
    before, after = findings.around(page)
    for id, held in Reference(name).read()["paper"]["verdicts"].items():
        assert held or f"`{id}`" in before + after, id


# Figures whose claims need nothing of the arrays but the numbers.
PLAIN = [n for n in RECORDED if n not in ("fig4_short_directions", "fig5_widths", "emergent_outliers")]


@pytest.mark.parametrize("name", [n for n in PLAIN if n != "taxonomy_phases"])
def test_the_recorded_verdicts_are_of_the_claims_that_the_figure_makes(name, monkeypatch):
    figure = catalogue.module(name)
    config = figure.Config(**options.preset(figure.Config, "paper"))
    monkeypatch.setattr(figure, "judged", lambda *_: Numbers())
    made = {c.id for c in figure.claims({}, config)}
    assert made == set(Reference(name).verdicts(figure.Config))


MAIN = [
    n for n in catalogue.FIGURES if n.startswith(("fig", "toy", "emergent", "m_", "intrinsic"))
]  # fmt: skip


@pytest.mark.parametrize("name", [n for n in MAIN if n in PLAIN])
def test_what_the_source_says_is_kept_apart_from_what_we_test(name, monkeypatch):
    figure = catalogue.module(name)
    config = figure.Config(**options.preset(figure.Config, "paper"))
    monkeypatch.setattr(figure, "judged", lambda *_: Numbers())
    for claim in figure.claims({}, config):
        # The model's own behaviour without growth is in no abstract.
        assert claim.says or claim.id == "emergent.curvature.model.frozen", claim.id
        assert claim.says is None or (claim.says.endswith(".") and claim.says not in claim.statement)


def test_a_figure_names_a_preset_that_there_is():
    for name in catalogue.FIGURES:
        figure = importlib.import_module(f"reproductions.{name}")
        assert getattr(figure, "JUDGED_FROM", "paper") in options.PRESETS


def test_check_json_and_the_page_read_one_another(tmp_path):
    """What judged writes is JSON, NaN included as null."""
    judged = verdicts.judged([made(math.nan)], FIGURE, "smoke", None)
    assert json.loads(json.dumps(judged, allow_nan=False))[0]["verdict"] == "not measurable"
