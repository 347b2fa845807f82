"""All recorded runs of the paper presets on one page, reference/README.md.

`runs` writes it when a paper preset is recorded: which claims hold, which fail, what a run took, and by
what code it was made.
"""

import pathlib

from reproductions.bench import catalogue, claims, store, wording

PAGE = "README.md"
_HEAD = """# What the runs of the paper presets found

{held} of {made} claims hold. Each figure's page says what was found, and why the claims that fail do.
Pages recorded since {since} have a table of every claim: what the source says, our test, its bound, the
number of now and the one before. This page is made of the reference files beside it whenever a paper
preset is recorded.

| figure | claims that hold | recorded | code | took | largest process |
|---|---|---|---|---|---|"""
_FOOT = """
The recorded runs add up to {time}, each on one or two cores; of the {count} that say so, the largest
process had {memory}. What a run found trained already, by another figure or, in older runs, by an
earlier part of its own, is not in its time. "code" stands for all of our code that measures a figure's
numbers."""
_SINCE = "2026-11-27"  # from when on the pages have tables


def save(folder=claims.REFERENCE):
    """Write the page of the reference files in a folder."""
    text = written(folder)
    store.write_bytes(pathlib.Path(folder) / PAGE, lambda file: file.write(text.encode()))


def written(folder=claims.REFERENCE):
    """The page of the reference files in a folder, as Markdown."""
    entries = {n: claims.Reference(n, folder).read().get("paper") for n in catalogue.FIGURES}
    runs = {name: entry for name, entry in entries.items() if entry}
    verdicts = {name: entry.get("verdicts", {}) for name, entry in runs.items()}
    made = {name: entry.get("provenance", {}) for name, entry in runs.items()}
    head = _HEAD.format(
        held=sum(sum(v.values()) for v in verdicts.values()),
        made=sum(map(len, verdicts.values())),
        since=_SINCE,
    )
    memories = [m["memory_mib"] for m in made.values() if m.get("memory_mib")]
    lines = [head, *(_row(name, runs.get(name)) for name in catalogue.FIGURES)]
    lines += [
        _FOOT.format(
            time=wording.duration(sum(m.get("seconds", 0) for m in made.values())),
            memory=_memory(max(memories, default=0)),
            count=len(memories),
        )
    ]
    failing = {n: [id for id, held in v.items() if not held] for n, v in verdicts.items()}
    if any(failing.values()):
        lines += ["", "## Claims that fail", ""]
        lines += [
            f"- [{name}]({name}.md): {', '.join(f'`{id}`' for id in ids)}"
            for name, ids in failing.items()
            if ids
        ]
    return "\n".join(lines) + "\n"


def _row(name, entry):
    """A figure's row; of one that was not run, its name."""
    link = f"[`{name}`]({name}.md)"
    if entry is None:
        return f"| {link} | not run yet | | | | |"
    verdicts, made = entry.get("verdicts", {}), entry.get("provenance", {})
    cells = [
        link,
        f"{sum(verdicts.values())} of {len(verdicts)}",
        made.get("date", ""),
        ((made.get("software") or {}).get("code") or "")[:8],
        wording.duration(made["seconds"]) if "seconds" in made else "",
        _memory(made.get("memory_mib")),
    ]
    return f"| {' | '.join(cells)} |"


def _memory(mib):
    return f"{mib / 1024:.1f} GB" if mib else ""
