"""Many points on two processes against one: `wedges.probe.plane(..., jobs=2)` on a model of one thread.

    python tests/benchmarks/bench_jobs.py [--rounds=5] [--images=1000] [--side=16] [--quick]

SimpleCNN (D = 19,466) on random images of 32x32x3, a plane of side x side points. TensorFlow is told to
use one thread, here and so in the workers. One process and two take turns; the ratio is the median over
rounds. The workers' start (TensorFlow's import, the landscape, its graphs) is in the first call alone,
and told apart. On a busy machine look at the processor time: the busiest process of two, over one alone,
is what the ratio is where each has a core of its own.
"""

import argparse
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")

import harness
import joblib
import numpy as np
from joblib.externals import loky

GOAL = 0.65


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=16)
    given = harness.options(parser, rounds=1, images=50, side=2)

    import wedges
    from reproductions.common import models

    rng = np.random.default_rng(0)
    x = rng.normal(size=(given.images, 32, 32, 3)).astype(np.float32)
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    landscape = wedges.NetworkLandscape(
        model, x, rng.integers(0, 10, given.images), models.loss(), seed=0
    )
    cut = wedges.random_cut(landscape.space.read(), 2, seed=0)
    side = np.linspace(-10, 10, given.side)

    def measure(jobs):
        before = processors()
        began = time.perf_counter()
        losses = wedges.probe.plane(landscape, cut, side, side, jobs=jobs)
        wall = time.perf_counter() - began
        return wall, max(now - before.get(pid, 0) for pid, now in processors().items()), losses

    first = {jobs: measure(jobs)[0] for jobs in (1, 2)}
    rounds = []
    for _ in range(given.rounds):
        one, two = measure(1), measure(2)
        assert np.array_equal(one[2], two[2]), np.abs(one[2] - two[2]).max()
        rounds.append((one[:2], two[:2]))
    cores, load = joblib.cpu_count(), os.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f}; {given.side**2} points, {given.images} images")
    rounds = np.array(rounds)  # [rounds, one or two, wall or processor]
    for i, jobs in enumerate((1, 2)):
        wall, processor = np.median(rounds[:, i], axis=0)
        print(
            f"jobs={jobs}: {wall:6.2f} s, the busiest process {processor:.2f}; first {first[jobs]:.2f} s"
        )
    for kind, name in enumerate(("wall time", "processor time")):
        ratios = rounds[:, 1, kind] / rounds[:, 0, kind]
        spread = f"({ratios.min():.2f}..{ratios.max():.2f})"
        print(f"two / one, {name}: {statistics.median(ratios):.2f} {spread}, goal {GOAL}")
    loky.get_reusable_executor().shutdown(wait=True)


def processors():
    """Processor seconds so far of this process and of its children, {pid: seconds}."""
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    pids = [os.getpid(), *(int(pid) for task in tasks for pid in task.read_text().split())]
    seconds = {}
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


if __name__ == "__main__":
    main()
