"""What finding a figure's mark costs, and its --help: processor seconds against their bounds.

python tests/benchmarks/bench_marks.py [--quick]
"""

import argparse
import pathlib
import resource
import statistics
import subprocess
import sys

import harness

ROOT = pathlib.Path(__file__).parents[2]
MARK = """
import sys, time
from reproductions.bench import catalogue, marks

figure = catalogue.module(sys.argv[1])
started = time.process_time()
marks.of(figure.measure, figure.Config)
print(time.process_time() - started)
"""


def mark(figure):
    """Processor seconds for the mark of a figure's measurement, the first of its process."""
    command = [sys.executable, "-c", MARK, figure]
    return float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def help_of(figure):
    """Processor seconds of a figure's --help, the process as a whole."""
    used = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before = used()
    command = [sys.executable, "-m", f"reproductions.{figure}", "--help"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return used() - before


def main(options):
    sys.path.insert(0, str(ROOT))
    from reproductions.bench import catalogue

    print("figure                    mark (bound 0.2 s)    --help (bound 0.5 s)")
    for name in catalogue.FIGURES[: options.figures]:
        marks, helps = (
            statistics.median(f(name) for _ in range(options.rounds)) for f in (mark, help_of)
        )
        print(f"{name:24}  {marks:18.3f}    {helps:20.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--figures", type=int, help="the first so many; else all")
    main(harness.options(parser, rounds=1, figures=3))
