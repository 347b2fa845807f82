"""Pictures and every claim of a figure, in the text beside its reference numbers: reference/<figure>.md.

`runs` writes them when a paper preset is recorded, so that text and numbers cannot differ. The pictures
follow the headline. A row of the table has what the source says, what we test, the bound, the number
that was recorded before, the number of now, and the verdict. A second table has what the reference
guards and has moved since then.
"""

import math
import re

from reproductions.bench import drawings, store, verdicts

HEAD, MORE = "## Every claim", "## Further pictures"
WHENCE = "## Where the numbers come from"
MOVED = 2.0  # standard errors of a difference, from which on a number has moved
# Why a number may have moved.
_CHANCE = "By chance one in twenty does, of few seeds one in nine"
_SEEDS = "Both are of the same seeds, so that code, software or machine made the difference"
_OTHERS = "Settings have changed, so that what has one name, and its spread, may be of other things"
# What differs by less is rounding: of a number, and whatever it is.
_ROUNDING, _SMALLEST = 1e-4, 1e-6


def save(path, entry):
    """Put the pictures beside a reference's page, a file, and the section of an entry into it, whole or
    not at all.

    Where there is no page yet, none is made: somebody has to say first what was found.
    """
    if path.exists():
        text = written(pictured(path), entry)
        store.write_bytes(path, lambda file: file.write(text.encode()))


def pictured(path):
    """The text of a reference's page, a file, with the pictures beside it: the figure's own under the
    headline, others in a section of their own; and no pictures else in these places."""
    headline, *rest = path.read_text(encoding="utf-8").split("\n")
    own, *others = [_shown(picture, path.stem, headline) for picture in drawings.kept(path)] or [""]
    while rest and (not rest[0] or rest[0].startswith("![")):
        rest.pop(0)
    text = "\n".join([headline, "", *([own, ""] if own else []), *rest])
    more = "\n\n".join([MORE, *others]) + "\n" if others else ""
    return _with(text, MORE, more, (HEAD, WHENCE))


def _shown(picture, figure, headline):
    """A picture as Markdown; what it shows is told to those who cannot see it."""
    words = re.sub(r"[\[\]]", "", headline.removeprefix("# "))
    which = picture.stem.removeprefix(figure).replace("_", " ").strip()
    return f"![{words}{f' ({which})' if which else ''}]({picture.name})"


def written(text, entry):
    """The text of a reference's page with the section `HEAD` of this entry."""
    return _with(text, HEAD, section(entry), (WHENCE,))


def around(text, head=HEAD):
    """What stands before a section of a page, and what after it; without one all of it, and ""."""
    before, _, rest = text.partition(f"\n{head}\n")
    return before, rest[at:] if (at := rest.find("\n## ")) >= 0 else ""


def own_words(text):
    """A page's own words: without the pictures and the table that are put into it."""
    for head in (MORE, HEAD):
        text = "".join(around(text, head))
    return "\n".join(line for line in text.split("\n") if not line.startswith("!["))


def _with(text, head, section, others):
    """A page with a section in the place of the one it has under this head, or before the first of
    others there is, or at the end; an empty section is none."""
    before, after = around(text, head)
    if before == text:
        at = next((at for other in others if (at := text.find(f"\n{other}\n")) >= 0), None)
        before, after = (text.rstrip("\n") + "\n", "") if at is None else (text[:at], text[at:])
    return f"{before}\n{section}{after}" if section else before + after


def section(entry):
    """The section of a reference's entry, as Markdown."""
    now, earlier = entry["provenance"], entry.get("before")
    lines = [HEAD, "", f"Recorded {_when(now)}."]
    if earlier:
        lines[-1] += f" Before that {_when(earlier['provenance'])}."
        lines += _otherwise(entry["settings"], earlier["settings"])
    lines += ["", *_claims(entry["claims"], earlier)]
    if earlier:
        why = _SEEDS if _same_seeds(now, earlier["provenance"]) else _CHANCE
        why = why if entry["settings"] == earlier["settings"] else _OTHERS
        lines += ["", *_moved(entry["numbers"], earlier["numbers"], why)]
    return "\n".join(lines) + "\n"


def _otherwise(now, before):
    """Which settings are others than before, as a line, if any is."""
    words = [
        f"{name} {before.get(name, 'unknown')} is now {now.get(name, 'gone')}"
        for name in sorted({*now, *before})
        if now.get(name) != before.get(name)
    ]
    return [f"Settings that changed in between: {'; '.join(words)}."] if words else []


def _when(made):
    """Of what run: its day, command, code and what it took."""
    words = f"on {made.get('date', 'a day unknown')} by `{made.get('command', '')}`"
    code = (made.get("software") or {}).get("code")
    words += f", code {code[:8]}" if code else ""
    words += f", {made['seconds']:,.0f} s" if "seconds" in made else ""
    words += f" in {parts} parts" if (parts := made.get("parts", 1)) > 1 else ""
    words += f", {memory:,.0f} MiB at its peak" if (memory := made.get("memory_mib")) else ""
    return words


def _claims(rows, earlier):
    """A row for every claim; what one source says of several is written once."""
    lines = [
        "| what the source says | what we test | wanted | before | now | |",
        "|---|---|---|---|---|---|",
    ]
    last = None
    for claim in rows:
        says = f"{verdicts.said(claim)} ({claim['source']})"
        verdict = verdicts.HOLDS if claim["passed"] else "**fails**"
        cells = [
            "" if says == last else says,
            f"{claim['statement']} `{claim['id']}`",
            f"{claim['relation']} {claim['expected']:.4g}",
            _earlier(claim["id"], earlier),
            verdicts.number(claim["measured"]),
            verdict,
        ]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        last = says
    return lines


def _earlier(id, earlier):
    """What was recorded of a claim before: its number, else its verdict, else that it is new."""
    if earlier is None:
        return ""
    if id in earlier.get("measured", {}):
        return verdicts.number(earlier["measured"][id])
    held = earlier.get("verdicts", {}).get(id)
    return "new" if held is None else "held" if held else "failed"


def _cell(text):
    """Text that a table's cell can hold."""
    return text.replace("|", "\\|").replace("\n", " ")


def moved(now, before):
    """[(name, mean before, mean now, standard errors)] of the numbers that both entries have and that
    differ by more than `MOVED` standard errors of their difference; these are infinite where a number
    has no spread."""
    found = []
    for name in now.keys() & before.keys():
        a, b = before[name], now[name]
        apart = abs(b["mean"] - a["mean"])
        error = math.sqrt(sum((e["spread"] or 0.0) ** 2 / e["n"] for e in (a, b)))
        if apart > max(MOVED * error, _ROUNDING * abs(a["mean"]), _SMALLEST) or math.isnan(apart):
            found.append((name, a["mean"], b["mean"], apart / error if error else math.inf))
    return sorted(found)


def _same_seeds(now, before):
    """Whether two runs are of the same seeds, as far as they say: what an entry from before seeds were
    kept does not name among its flags was what the preset has."""
    one, other = _repeats(now), _repeats(before)
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _repeats(made):
    """What a run says of its seeds, {"seed": the first, "seeds": how many}."""
    flags = re.findall(r"--(seeds?)=(\d+)", made.get("command", ""))
    return made.get("repeats", {name: int(value) for name, value in flags})


def _moved(now, before, why):
    """Which of the guarded numbers have moved since the entry before, in words and as a table. `why`:
    what may have moved one."""
    both, found = len(now.keys() & before.keys()), moved(now, before)
    words = f"Of {both} numbers that both runs have, {len(found)} moved by more than {MOVED:g}"
    lines = [f"{words} standard errors of the difference. {why}{':' if found else '.'}"]
    if found:
        lines += ["", "| number | before | now | standard errors |", "|---|---|---|---|"]
        for name, a, b, errors in found:
            far = "no spread" if math.isinf(errors) else f"{errors:.1f}"
            lines.append(f"| {_cell(name)} | {verdicts.number(a)} | {verdicts.number(b)} | {far} |")
    return lines
