"""python -m reproductions: which programs there are."""

import sys

from reproductions.bench import catalogue

if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
    sys.exit(
        f"reproductions: to run a program, python -m reproductions.{sys.argv[1]}; without one: a list."
    )
try:
    print(catalogue.listing(), flush=True)
except BrokenPipeError:  # whoever read it has gone, as `head` does
    sys.stderr.close()
    sys.exit(141)
