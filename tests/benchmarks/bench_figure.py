"""Whole runs of Figure 6's program from nothing: wall time and peak memory against their bounds.

python tests/benchmarks/bench_figure.py            quick and the re-plot (a minute or two)
python tests/benchmarks/bench_figure.py --paper    also --lr=0.1 --seeds=1, CIFAR-10 (ten minutes)
python tests/benchmarks/bench_figure.py --quick    smoke in place of quick, to see that it works
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import harness

ROOT = pathlib.Path(__file__).parents[2]


def run(label, seconds, *flags):
    """One row of the table. Memory is the largest resident size of the one process, in GB."""
    command = [sys.executable, "-m", "reproductions.fig6_swa", *flags]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, peak = time.monotonic() - started, usage.ru_maxrss / 2**20
    print(f"{label:28} {wall:7.1f} s (bound {seconds})   {peak:5.2f} GB (bound 3)")
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{label} has ended with status {code}")


def main(options):
    with tempfile.TemporaryDirectory() as folder:
        out = f"--out_dir={folder}"
        run(" ".join(options.flags), 60, *options.flags, out)
        run(" ".join([*options.flags, "--plot_only"]), 5, *options.flags, out, "--plot_only")
        if options.paper:
            run("--lr=0.1 --seeds=1", 600, "--lr=0.1", "--seeds=1", out)
            run("--lr=0.1 --plot_only", 5, "--lr=0.1", "--seeds=1", out, "--plot_only")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paper", action="store_true", help="also one panel of the paper preset")
    parser.set_defaults(flags=["--preset=quick"])
    smallest = ["--preset=smoke", "--seeds=1", "--lr=0.1", "--pretrain_epochs=1"]
    main(harness.options(parser, flags=smallest))
