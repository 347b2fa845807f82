"""Claims: words and bounds about numbers."""

import doctest
import math

import pytest

from reproductions.bench import claims
from reproductions.bench.claims import Verdict
from reproductions.common import pictures


def test_the_examples_of_the_docstrings():
    found = doctest.testmod(claims)
    assert found.attempted >= 7 and not found.failed


def test_a_claim_is_its_number_against_its_bound():
    claim = Verdict("fig", "they", {"a": 1.0, "b": 2.0, "none": math.nan})
    claim("b", "b is large", ">", 2.0, source="we")
    claim("a", "a is small", "<=", 1.0)
    claim("none", "not measured", "<", 9.0)
    b, a, none = claim.claims
    assert (b.id, b.source, b.measured, b.passed) == ("fig.b", "we", 2.0, False)
    assert (a.id, a.source, a.measured, a.passed) == ("fig.a", "they", 1.0, True)
    assert not none.passed and none.as_dict()["measured"] is None


def test_no_claim_is_made_where_the_settings_have_no_number_for_it():
    claim = Verdict("fig", "they", {"a": None, "b": 0.0})
    claim("a", "a", "<", 1.0)
    claim("b", "b", "<", 1.0)
    assert [c.id for c in claim.claims] == ["fig.b"]


def test_a_claim_of_no_number_and_a_number_of_no_claim_are_errors():
    claim = Verdict("fig", "they", {"a": 1.0, "forgotten": None})
    with pytest.raises(KeyError, match="typo"):
        claim("typo", "a", "<", 1.0)
    claim("a", "a", "<", 2.0)
    with pytest.raises(ValueError, match="nothing is claimed of the numbers forgotten"):
        claim.claims  # noqa: B018


def test_claims_about_a_subject_have_its_name_in_id_and_words():
    claim = Verdict("fig", "they", {"axis.high": 2.0, "high.axis": 3.0})
    claim.about("axis.*", "all planes")("high", "how high", ">", 1.0)
    claim.about("*.axis", "all lines")("high", "how long", ">", 9.0, source="we")
    first, second = claim.claims
    assert (first.id, first.statement, first.source) == ("fig.axis.high", "all planes: how high", "they")
    assert (second.id, second.statement, second.source) == ("fig.high.axis", "all lines: how long", "we")
    assert first.passed and not second.passed


# ---- words of pictures ------------------------------------------------------------------------------


def test_a_title_may_say_what_all_claims_of_a_kind_hold():
    claim = Verdict("fig", "they", {"a.x": 1.0, "a.y": 0.0, "b": 1.0})
    for name in ("a.x", "a.y", "b"):
        claim(name, "is above 0", ">", 0.0)
    found = claim.claims
    assert pictures.holds(found, "*.b") and pictures.holds(found, "*.x", "*.b")
    assert not pictures.holds(found, "*.a.*") and not pictures.holds(found, "*.y", "*.b")
    assert not pictures.holds(found, "*.c") and not pictures.holds([], "*")


def test_words_of_titles():
    lists = [pictures.listed(["a", "b", "c"][:n]) for n in (1, 2, 3)]
    assert lists == ["a", "a and b", "a, b and c"]
