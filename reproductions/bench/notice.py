"""What a full run will do, said before it begins: how long it takes, on which data, what is quicker."""

import re

from reproductions.bench import options

_COMMAND = re.compile(r"^ +(python -m reproductions\.\w+(?: --\S+)*)  +(\S.*)$", re.MULTILINE)


def examples(document):
    """{command: what is said of it} of the commands that a program's docstring shows."""
    return dict(_COMMAND.findall(document))


def of_full_run(figure, name, config, preset, data_dir):
    """Lines that say it; none for a preset that takes a minute or two.

    What the program's own docstring says of its commands is all that is known of their time.
    """
    if preset != "paper":
        return []
    told = examples(figure.__doc__)
    usual = lambda command: "--preset" not in command or command.endswith("--preset=paper")
    plain = [c for c in told if usual(c) and not re.search(r"--(?!jobs|preset)", c)]
    takes = "".join(f" (as it stands: {told[c]})" for c in plain[:1])
    lines = [f"{name}: this is the full run, --preset=paper{takes}"]
    lines += [f"{name}: data: {words}" for words in _needs(config, data_dir)]
    quick = [c for c in told if c.endswith("--preset=quick")]
    lines += [f"{name}: quicker: {c} ({told[c]})" for c in quick[:1]]
    return lines


def _needs(config, data_dir):
    """What each of a Config's data sets asks for, once."""
    if not getattr(config, "datasets", ()):
        return []
    lines = options.declared(type(config))
    told = [line["needs"](getattr(config, o), data_dir) for o, line in lines.items() if line["needs"]]
    return dict.fromkeys(told)
