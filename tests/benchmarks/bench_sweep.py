"""What a sweep costs beside the work: time and memory of many tiny settings, and two workers on digits.

python tests/benchmarks/bench_sweep.py             1,000 tiny settings (a minute)
python tests/benchmarks/bench_sweep.py --digits    also 24 networks on digits, by one worker and by two
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
TINY = """
import resource, sys, time
from reproductions import sweep
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
SWEEP = [
    *("--preset=quick", "--hyperparameter=lr", "--seeds=3", "--target=0.05", "--epochs=40"),
    "--lr=0.0005,0.001,0.002,0.003,0.005,0.007,0.01,0.015",
]


def tiny(n):
    """Milliseconds a setting to store it, to tell its status, to find it done again; MB at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", TINY, folder, str(n)]
        run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    *seconds, memory = map(float, run.stdout.split())
    return [1000 * s / n for s in seconds], memory


def digits(jobs):
    """Wall seconds of the program, from its first setting to its last, and those inside settings."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "reproductions.fig5_widths", *SWEEP, f"--jobs={jobs}"]
        started = time.monotonic()
        subprocess.run(
            [*command, f"--out_dir={folder}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        program = time.monotonic() - started
        figure = pathlib.Path(folder) / "fig5_widths"
        settings = [json.loads(p.read_text()) for p in figure.glob("settings/*/config.json")]
        (about,) = (json.loads(p.read_text()) for p in figure.glob("quick-*/config.json"))
    assert len(settings) == 24
    return program, about["provenance"]["seconds"], sum(s["seconds"] for s in settings)


if __name__ == "__main__":
    print("tiny settings    ms a setting: store, status, found done (bound 50)    peak MB")
    for n in (100, 1000):
        times, memory = tiny(n)
        print(f"{n:13}    {', '.join(f'{ms:.1f}' for ms in times):>42}    {memory:7.1f}")
    if "--digits" in sys.argv:
        walls = {}
        for jobs in (1, 2):
            program, wall, inside = digits(jobs)
            walls[jobs] = wall
            print(f"digits, --jobs={jobs}: program {program:.1f} s, sweep {wall:.1f} s", end=", ")
            print(f"in settings {inside:.1f} s")
            if jobs == 1:
                print(f"overhead {wall / inside - 1:.1%} (bound 5%)")
        print(f"two workers take {walls[2] / walls[1]:.2f} of the time of one (goal 0.6)")
