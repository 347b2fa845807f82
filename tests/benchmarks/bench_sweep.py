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
SWEEP = [
    *("--preset=quick", "--hyperparameter=lr", "--seeds=3", "--target=0.01", "--epochs=80"),
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
    """Wall seconds of the program, of its measuring with TensorFlow's start, from the first setting's
    start to the last one's end, and the sum of those inside settings."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "reproductions.fig5_widths", *SWEEP, f"--jobs={jobs}"]
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
    assert len(files) == 24
    return program, about["provenance"]["seconds"], span, sum(seconds)


if __name__ == "__main__":
    print("tiny settings    ms a setting: store, status, found done (bound 50)    peak MB")
    for n in (100, 1000):
        times, memory = tiny(n)
        print(f"{n:13}    {', '.join(f'{ms:.1f}' for ms in times):>42}    {memory:7.1f}")
    if "--digits" in sys.argv:
        walls = {}
        for jobs in (1, 2):
            walls[jobs] = program, wall, span, inside = digits(jobs)
            print(f"digits, --jobs={jobs}: program {program:.1f} s, measuring {wall:.1f} s", end=", ")
            print(f"first to last setting {span:.1f} s, in settings {inside:.1f} s")
            if jobs == 1:
                print(f"overhead {span / inside - 1:.1%} (bound 5%)", end=", ")
                print(f"with TensorFlow's start {wall / inside - 1:.1%}")
        ratios = ", ".join(f"{b / a:.2f}" for a, b in zip(walls[1][:2], walls[2][:2], strict=True))
        print(f"two workers take of the time of one: program, measuring {ratios} (goal 0.6)")
