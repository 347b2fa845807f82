"""How far a series of figures is: what is left, and what of a figure's bars and lines is shown."""

import doctest
import io
import re
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproductions.bench import claims, watching
from reproductions.bench.watching import START, Line, Outlook, Stream


def test_the_examples_of_the_docstrings():
    found = doctest.testmod(watching)
    assert found.attempted >= 4 and not found.failed


# ---- what is left -----------------------------------------------------------------------------------


def test_what_is_left_goes_down_with_time_and_ends_at_nothing():
    outlook = Outlook({"a": 95.0, "b": 45.0})
    assert [outlook.left("a", t) for t in (0, 60, 99)] == [100, 40, 1]
    assert outlook.left("a", 101) is None  # longer than it should; of all, no less than the others
    assert outlook.all_left("a", 101) == 50


def test_a_figure_that_is_there_is_quick_and_says_nothing_of_the_pace():
    outlook = Outlook({"a": 0.0, "b": 95.0})
    assert outlook.left("a", 1) == START - 1 and outlook.all_left("a", 1) == START - 1 + 100
    outlook.done("a", 60)
    assert outlook.left("b", 0) == 100


def test_nobody_knows_of_a_figure_that_was_never_timed():
    outlook = Outlook({"a": None, "b": 95.0})
    assert outlook.left("a", 1) is None
    assert outlook.all_left("a", 1) == 99 + 100  # as long as the others are
    assert Outlook({"a": None}).all_left("a", 1) is None


@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.1, 10)), min_size=2, max_size=8))
@settings(deadline=None)
def test_what_is_left_of_all_is_within_the_slowest_and_the_quickest_pace(figures):
    """Paces so far bound the estimate of the last figure; the credit counts as pace 1."""
    outlook = Outlook({i: usual for i, (usual, _) in enumerate(figures)})
    last = len(figures) - 1
    for i, (usual, pace) in enumerate(figures[:-1]):
        outlook.done(i, (usual + START) * pace)
    paces = [1.0, *(pace for _, pace in figures[:-1])]
    left, usual = outlook.all_left(last, 0.0), figures[-1][0] + START
    assert min(paces) * usual * (1 - 1e-9) <= left <= max(paces) * usual * (1 + 1e-9)


def test_the_usual_time_is_the_references(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "Reference", lambda name: REAL(name, tmp_path))
    assert watching.usual("fig", "smoke") is None
    for made, seconds in (({"seconds": 12.5}, 12.5), ({}, None), ({"seconds": "long"}, None)):
        claims.Reference("fig").write("smoke", {"config": {}}, {"x": [1.0]}, made)
        assert watching.usual("fig", "smoke") == seconds and watching.usual("fig", "quick") is None


REAL = claims.Reference


# ---- what a figure says -----------------------------------------------------------------------------

BARS = (
    "\rseed 0:   0%|          | 0/9 [00:00<?, ?it/s]\rseed 0:  33%|###       | 3/9 [00:01<00:02]"
    "\n\rinner:  50%|#####     | 1/2 [00:01]\x1b[A\rseed 0: 100%|##########| 9/9 [00:03<00:00]\n"
)


@given(st.integers(1, 40))
@settings(deadline=None)
def test_bars_are_told_from_lines_however_the_text_is_cut(size):
    lines = []
    stream = Stream(lines.append)
    text = "measuring again: a folder\n" + BARS + "\nfinished before: another\n"
    for i in range(0, len(text), size):
        stream.feed(text[i : i + size])
    assert lines == ["measuring again: a folder", "finished before: another"]
    assert stream.bar == "seed 0: 100%|##########| 9/9 [00:03<00:00]"


def test_a_bar_is_shown_before_its_line_ends_and_spaces_do_not_wipe_it():
    stream = Stream(pytest.fail)
    stream.feed("\rcuts:  10%|#")
    assert stream.bar == "cuts: 10%|#"
    stream.feed("\r                \r")
    assert stream.bar == "cuts: 10%|#"


# ---- the line ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_says_which_figure_how_long_what_is_left_and_what_moves(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    line = Line("2 of 3  b", "b", Outlook({"b": 95.0, "c": 595.0}))
    clock[0] += 75
    line.feed("\rcuts:  50%|#####     | 1/2")
    assert line.words() == (
        "2 of 3  b  1:15 [#########---] 75%, about 0:25 left; all: about 10.4 min left; "
        "cuts: 50%|##### | 1/2"
    )
    clock[0] += 3600
    assert line.words().startswith("2 of 3  b  1:01:15; all: about 10.0 min left; cuts")


def test_on_a_terminal_it_moves_and_goes_and_lines_pass(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(watching, "_MOVES", 0.01)
    outlook = Outlook({"b": 95.0, "c": 95.0})
    with Line("1 of 2  b", "b", outlook).shown() as line:
        end = time.monotonic() + 60
        while "about" not in screen.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        line.feed("finished before: a folder\n")
    shown = screen.getvalue()
    assert re.search(r"\r1 of 2  b  0:0\d \[------------\] +\d%, about 1:\d\d left", shown)
    assert "finished before: a folder\n" in shown and shown.endswith("\r")
    assert outlook.all_left("c", 0) <= 100  # it is no longer one that is to come


def test_a_figure_alone_has_the_line_unless_nobody_or_another_program_watches(monkeypatch):
    monkeypatch.setattr(watching, "_MOVES", 0.001)
    shown = {}
    for case in ("terminal", "watched", "file"):
        screen = io.StringIO() if case == "file" else Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv(watching.WATCHED, "1" if case == "watched" else "")
        with watching.alone("b", 95.0):
            end = time.monotonic() + 60
            while case == "terminal" and not screen.getvalue() and time.monotonic() < end:
                time.sleep(0.001)
        shown[case] = screen.getvalue()
    assert re.search(r"\rb  0:0\d \[-+\] \d%, about 1:\d\d left", shown["terminal"])
    assert "all:" not in shown["terminal"] and shown["watched"] == shown["file"] == ""


def test_elsewhere_it_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(watching, "_PRINTED", 0.01)
    with Line("1 of 1  b", "b", Outlook({"b": None})).shown() as line:
        line.feed("\rcuts:  50%|#####     | 1/2")
        end, said = time.monotonic() + 60, ""
        while not said and time.monotonic() < end:
            said = capsys.readouterr().err
    assert re.match(r"    1 of 1  b  0:0\d; cuts: 50%\|##### \| 1/2\n", said)
