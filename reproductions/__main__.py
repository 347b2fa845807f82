"""The programs there are: without a name they are listed, with one it is run.

python -m reproductions
python -m reproductions fig6_swa --preset=quick
"""

import runpy
import sys

from reproductions.bench import catalogue, options, runs


def main(argv):
    """List the programs, or run the one that is named first. Returns the exit status."""
    if not argv or argv[0].startswith("-"):
        print(catalogue.listing())
        return 0
    names = (*catalogue.FIGURES, *catalogue.PROGRAMS)
    name = options.spelled(names, argv[0].removeprefix("reproductions.").removesuffix(".py"))
    catalogue.require(name)
    sys.argv[1:] = argv[1:]
    runpy.run_module(f"reproductions.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    runs.program("reproductions", main, sys.argv[1:])
