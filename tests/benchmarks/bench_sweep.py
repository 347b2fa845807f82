"""What a sweep costs beside the work: time and memory of many tiny settings, and two workers on digits.

python tests/benchmarks/bench_sweep.py             1,000 tiny settings (a minute)
python tests/benchmarks/bench_sweep.py --digits    also 24 networks on digits, by one worker and by two
python tests/benchmarks/bench_sweep.py --quick     few of both
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import harness

ROOT = pathlib.Path(__file__).parents[2]
TINY = """
import resource, sys, time
from reproductions.bench import sweep
from tests.reproductions import measures

settings = measures.grid(int(sys.argv[2]))
started = time.monotonic()
found = measures.over(sys.argv[1], settings).require()
stored = time.monotonic()
folder = found.tasks["x=0"].directory.parent
assert set(sweep.status(folder).values()) == {"done"} and len(sweep.status(folder)) == len(settings)
told = time.monotonic()
measures.over(sys.argv[1], settings)
again = time.monotonic()
print(stored - started, (told - stored) / 2, again - told,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
LR = "0.0005,0.001,0.002,0.003,0.005,0.007,0.01,0.015"


def tiny(n):
    """Milliseconds a setting to store it, to tell its status, to find it done again; MB at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", TINY, folder, str(n)]
        run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    *seconds, memory = map(float, run.stdout.split())
    return [1000 * s / n for s in seconds], memory


def digits(options, jobs):
    """Wall seconds of the program, of its measuring with TensorFlow's start, from the first setting's
    start to the last one's end, and the sum of those inside settings."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "reproductions.fig5_widths", "--preset=quick"]
        command += ["--hyperparameter=lr", "--target=0.01", f"--lr={options.lr}", f"--jobs={jobs}"]
        command += [f"--{name}={vars(options)[name]}" for name in ("seeds", "epochs", "directions")]
        started = time.monotonic()
        subprocess.run(
            [*command, f"--out_dir={folder}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        program = time.monotonic() - started
        figure = pathlib.Path(folder) / "fig5_widths"
        files = list(figure.glob("settings/*/config.json"))  # written when a setting ends
        seconds = [json.loads(p.read_text())["seconds"] for p in files]
        ends = [p.stat().st_mtime for p in files]
        span = max(ends) - min(e - s for e, s in zip(ends, seconds, strict=True))
        (about,) = (json.loads(p.read_text()) for p in figure.glob("quick-*/config.json"))
    assert len(files) == options.seeds * len(options.lr.split(","))
    return program, about["provenance"]["seconds"], span, sum(seconds)


def main(options):
    print("tiny settings    ms a setting: store, status, found done (bound 50)    peak MB")
    for n in options.tiny:
        times, memory = tiny(n)
        print(f"{n:13}    {', '.join(f'{ms:.1f}' for ms in times):>42}    {memory:7.1f}")
    walls = {}
    if options.digits:
        for jobs in options.jobs:
            walls[jobs] = program, wall, span, inside = digits(options, jobs)
            print(f"digits, --jobs={jobs}: program {program:.1f} s, measuring {wall:.1f} s", end=", ")
            print(f"first to last setting {span:.1f} s, in settings {inside:.1f} s")
            if jobs == 1:
                print(f"overhead {span / inside - 1:.1%} (bound 5%)", end=", ")
                print(f"with TensorFlow's start {wall / inside - 1:.1%}")
    if {1, 2} <= {*walls}:
        ratios = ", ".join(f"{b / a:.2f}" for a, b in zip(walls[1][:2], walls[2][:2], strict=True))
        print(f"two workers take of the time of one: program, measuring {ratios} (goal 0.6)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", nargs="+", type=int, default=[100, 1000], help="how many settings")
    parser.add_argument("--digits", action="store_true", help="also networks on digits")
    parser.add_argument("--lr", default=LR, help="learning rates of those")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--jobs", nargs="+", type=int, default=[1, 2], help="workers on digits")
    few = {"jobs": [1], "lr": "0.01", "seeds": 1, "epochs": 1, "directions": 2}
    main(harness.options(parser, tiny=[5], digits=True, **few))
