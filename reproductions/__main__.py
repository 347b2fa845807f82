"""The programs there are: without a name they are listed, with one it is run.

    python -m reproductions
    python -m reproductions fig6_swa --preset=quick

Of `python -m reproductions.fig7`, a program that there is none of, Python itself says that there is no
such module.
"""

import difflib
import runpy
import sys

from reproductions.bench import catalogue, options, runs
from reproductions.bench.errors import UsageError


def main(argv):
    """List the programs, or run the one that is named first. Returns the exit status."""
    if not argv or argv[0].startswith("-"):
        print(catalogue.listing())
        return 0
    names = (*catalogue.FIGURES, *catalogue.PROGRAMS)
    name = options.spelled(names, argv[0].removeprefix("reproductions.").removesuffix(".py"))
    if name not in names:
        near = [n for n in names if n.startswith(name)] or difflib.get_close_matches(name, names, n=3)
        asked = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"there is no program {name!r}.{asked} python -m reproductions lists all.")
    sys.argv[1:] = argv[1:]
    runpy.run_module(f"reproductions.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    runs.program("reproductions", main, sys.argv[1:])
