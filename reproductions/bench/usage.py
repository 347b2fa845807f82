"""What --help prints: the program's own words and examples, then its flags in groups, all of it as wide
as the terminal.
"""

import itertools
import re
import shutil
import textwrap
import typing

# Flags that programs share, in the order in which they are shown; a figure's own come last, in the order
# of its Config.
GROUPS = {
    "run": (
        "preset",
        "only",
        "seed",
        "seeds",
        "out_dir",
        "output",
        "plot_only",
        "check",
        "note",
        "write_reference",
        "format",
        "style",
        "dpi",
        "jobs",
        "backend",
        "address",
        "strategy",
        "tpu",
        "help",
    ),
    "data": ("dataset", "data_dir", "train_examples", "examples"),
    "model": ("model", "networks", "width", "depth", "activation", "dropout", "l2", "batch_size"),
}
_OWN = "this figure"
_NARROWEST = 40  # columns


class Flag(typing.NamedTuple):
    """One flag: its name, its other names, what stands behind its `=`, what it is, and its values."""

    name: str
    also: tuple
    takes: str
    words: str
    values: str = ""


def page(document, flags, width=None):
    """All of it as text. `flags`: `Flag`s; `width`: columns, by default the terminal's."""
    width = max(_NARROWEST, shutil.get_terminal_size().columns if width is None else width)
    parts = [_document(document, width)]
    for group, members in _grouped(flags):
        parts.append("\n".join([f"{group}:", *(_flag(f, width) for f in members)]))
    return "\n\n".join(parts)


def _grouped(flags):
    """(group, its flags) of those groups that have any."""
    by_name = {f.name: f for f in flags}
    known = {group: [by_name[n] for n in names if n in by_name] for group, names in GROUPS.items()}
    told = {f.name for members in known.values() for f in members}
    known[_OWN] = [f for f in flags if f.name not in told]
    return [(group, members) for group, members in known.items() if members]


def _flag(flag, width):
    head = f"  --{flag.name}{flag.takes}"
    if flag.also:
        head += f"  (or {', '.join(f'--{name}' for name in flag.also)})"
    return "\n".join([head, *_filled(f"{flag.words} {flag.values}", width)])


def _filled(text, width, indent=6):
    margin = " " * indent
    how = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=margin, **how)


def _document(document, width):
    """The words, filled; what is indented, such as commands, stays a line each."""
    lines = []
    for indented, block in itertools.groupby(document.strip().splitlines(), key=_kind):
        if indented is None:
            lines.append("")
        elif indented:
            for line in block:
                lines += _command(line, width)
        else:
            lines += _filled(" ".join(block), width, indent=0)
    return "\n".join(lines)


def _kind(line):
    return line.startswith(" ") if line.strip() else None


def _command(line, width):
    """A command, and what is said of it behind a gap: in the next lines where both are too long."""
    if len(line) <= width:
        return [line]
    command, _, words = re.sub(r"(\S)  +", "\\1\0", line, count=1).partition("\0")
    return [command, *_filled(words, width, indent=8)]
