"""What a run may say of its claims, by the size of its preset: for check.json, terminal and page.

The claims are about the papers' networks. A preset below paper is there to try the program: what holds
in it is told as holding, and what does not is no failure of the paper. It is "too small to judge", and
beside it stands what the recorded run of the paper preset found. A figure whose claims a smaller preset
can carry says so by its JUDGED_FROM = "quick" or "smoke".

A number that a run could not measure, NaN, is no verdict either: it is "not measurable".
"""

import collections
import itertools
import math
import os
import shutil
import sys
import textwrap

from reproductions.bench import claims, options

HOLDS, FAILS = "holds", "fails"
SMALL, UNMEASURED = "too small to judge", "not measurable"
NOT_RUN, NOT_CLAIMED = "not run yet", "not claimed"
OWN_READING = "In no source's words; see the test."
_STARTS = {HOLDS: "holds", FAILS: "FAILS", SMALL: "too small", UNMEASURED: "no number"}
_COLOURS = {HOLDS: "32", FAILS: "1;31", SMALL: "90", UNMEASURED: "33"}
_WIDEST, _NARROWEST, _PLAIN = 120, 60, 100  # columns of a terminal that are used; where there is none


def judges(figure, preset):
    """Whether a preset is large enough for the claims of a figure's module."""
    order = options.PRESETS.index
    return order(preset) >= order(getattr(figure, "JUDGED_FROM", "paper"))


def judged(made, figure, preset, recorded):
    """Claims as check.json has them, each with two more entries.

    verdict: holds, fails, too small to judge, or not measurable; `passed` stays what it was.
    at_paper: what the recorded run of the paper preset says: holds, fails, not run yet, not claimed.

    Args:
      made: claims as dicts, of this run or from a check.json, which may be an older one.
      figure: the module.
      preset: the run's.
      recorded: {id: whether it held} of the paper preset, or None: see `claims.Reference.verdicts`.
    """
    large = judges(figure, preset)
    return [
        {
            **claim,
            "says": claim.get("says"),
            "threshold": claim.get("threshold", claims.OURS),
            "verdict": _verdict(claim, large),
            "at_paper": _recorded(claim["id"], recorded),
        }
        for claim in made
    ]


def _verdict(claim, large):
    if claim["passed"]:
        return HOLDS
    if _unmeasured(claim["measured"]):
        return UNMEASURED
    return FAILS if large else SMALL


def _recorded(id, recorded):
    if recorded is None:
        return NOT_RUN
    return NOT_CLAIMED if id not in recorded else HOLDS if recorded[id] else FAILS


# ---- in words ---------------------------------------------------------------------------------------


def words(claim, large):
    """The verdict of one claim in words, with that of the paper preset beside what is none: "too small
    to judge; at the paper preset: holds"."""
    if claim["verdict"] in (HOLDS, FAILS) or large:
        return claim["verdict"]
    here = SMALL if claim["verdict"] == SMALL else f"{UNMEASURED} in this preset"
    return f"{here}; at the paper preset: {claim['at_paper']}"


def _unmeasured(value):
    return value is None or math.isnan(value)


def number(value):
    """A number as claims show it, in four digits; "no number" for None, and for NaN."""
    return "no number" if _unmeasured(value) else f"{value:.4g}"


def said(claim):
    """What its source says, or that nobody wrote that down."""
    return claim["says"] or OWN_READING


def counted(judged):
    """How many claims hold, in words, and what is to be said of the others."""
    if not judged:
        return "no claim is made"
    count = collections.Counter(claim["verdict"] for claim in judged)
    held = f"{count[HOLDS]} of {len(judged)} claim{'s' * (len(judged) != 1)} hold"
    open_ = [claim for claim in judged if claim["verdict"] in (SMALL, UNMEASURED)]
    parts = [f"{count[kind]} {kind}" for kind in (SMALL, UNMEASURED) if count[kind]]
    if not count[SMALL]:  # a preset that judges, or in which all that can be measured holds
        return "; ".join([held, *parts])
    paper = collections.Counter(claim["at_paper"] for claim in open_)
    verb = lambda kind, n: kind if kind not in (HOLDS, FAILS) or n == 1 else kind.removesuffix("s")
    order = (HOLDS, FAILS, NOT_RUN, NOT_CLAIMED)
    there = ", ".join(f"{paper[k]} {verb(k, paper[k])}" for k in order if paper[k])
    return f"{held}; {', '.join(parts)} (at the paper preset {there})"


def agreement(compared, preset):
    """How far the numbers are those of the reference, in words: the check of the code itself."""
    if compared is None:
        return f"no reference numbers for these settings (preset {preset})"
    return (
        f"checked the code: {compared['agree']} of {compared['numbers']} numbers as on the reference "
        f"machine (preset {preset})"
    )


# ---- on a terminal ----------------------------------------------------------------------------------


def width():
    """Columns to use: the terminal's, or a page's where there is none."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_PLAIN, 24)).columns))


def coloured(stream):
    """Whether colours are welcome there: a terminal, unless NO_COLOR says otherwise."""
    usable = os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return usable and stream.isatty()


def paint(text, verdict, colour):
    """The text in the colour of a verdict, if there is colour."""
    return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m" if colour and text.strip() else text


def wrapped(text, indent="", columns=None):
    """Text in lines that break between words, each after `indent`."""
    columns = (columns or width()) - len(indent)
    return [indent + line for line in textwrap.wrap(text, columns, break_on_hyphens=False)]


def table(judged, large, columns=None, colour=None):
    """The claims as lines: the verdict, what the source says, what we test and measured."""
    if not judged:
        return "No claim is made about this run: its settings have none of what the claims are about."
    columns = columns or width()
    colour = coloured(sys.stdout) if colour is None else colour
    first = max(map(len, _STARTS.values())) + 2
    left = (columns - first) * 2 // 5
    right = columns - first - left - 2
    heads = "What the source says", "What we test, by bounds of ours if not said"
    lines, before = _side_by_side("", *heads, first, left, right), None
    for claim in judged:
        about, verdict = f"{said(claim)} ({claim['source']})", claim["verdict"]
        tests = [claim["statement"], *_numbers(claim, large)]
        says = about if about != before else ""
        for line in _side_by_side(_STARTS[verdict], says, tests, first, left, right):
            end = len(line) if verdict == SMALL else first  # what is no verdict is grey as a whole
            lines.append(paint(line[:end], verdict, colour) + line[end:])
        before = about
    return "\n".join([*lines, *wrapped(counted(judged), columns=columns)])


def _side_by_side(start, says, tests, first, left, right):
    """Lines of three columns, so wide; the last one of several texts, each on a line of its own."""
    tests = [tests] if isinstance(tests, str) else tests
    cells = wrapped(says, columns=left), [line for t in tests for line in wrapped(t, columns=right)]
    rows = itertools.zip_longest([start], *cells, fillvalue="")
    return [f"{a:{first}}{b:{left}}  {c}".rstrip() for a, b, c in rows]


def _numbers(claim, large):
    """Of one claim: the number against its bound, its id, and the verdict where that is not said yet."""
    whose = "" if claim["threshold"] == claims.OURS else f" ({claim['threshold']})"
    bound = f"{claim['relation']} {claim['expected']:.4g}{whose}"
    told = words(claim, large)
    line = f"{number(claim['measured'])}, wanted {bound}   [{claim['id']}]"
    return [line] if told in (HOLDS, FAILS) else [line, told]
