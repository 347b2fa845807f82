"""Whole runs of Figure 6's program from nothing: wall time and peak memory against their bounds.

python tests/benchmarks/bench_figure.py            quick and the re-plot (a minute or two)
python tests/benchmarks/bench_figure.py --paper    also --lr=0.1 --seeds=1, CIFAR-10 (ten minutes)
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]


def run(label, seconds, *flags):
    """One row of the table. Memory is the largest resident size of the one process, in GB."""
    command = [sys.executable, "-m", "reproductions.fig6_swa", *flags]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, peak = time.monotonic() - started, usage.ru_maxrss / 2**20
    print(f"{label:28} {wall:7.1f} s (bound {seconds})   {peak:5.2f} GB (bound 3)   exit {status >> 8}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        out = f"--out_dir={folder}"
        run("--preset=quick", 60, "--preset=quick", out)
        run("--preset=quick --plot_only", 5, "--preset=quick", out, "--plot_only")
        if "--paper" in sys.argv:
            run("--lr=0.1 --seeds=1", 600, "--lr=0.1", "--seeds=1", out)
            run("--lr=0.1 --plot_only", 5, "--lr=0.1", "--seeds=1", out, "--plot_only")
