"""Many points on two processes against one: `wedges.probe.plane(..., jobs=2)` on a model of one thread.

    python tests/benchmarks/bench_jobs.py [--rounds=5] [--images=1000] [--side=16]

SimpleCNN (D = 19,466) on random images of 32x32x3, a plane of side x side points. TensorFlow is told to
use one thread, here and so in the workers. One process and two take turns; the ratio is the median over
rounds. The workers' start (TensorFlow's import, the landscape, its graphs) is in the first call alone,
and told apart. Processor seconds are of this process and of the workers, which have ended by then.
"""

import argparse
import os
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")

import joblib
import numpy as np
from joblib.externals import loky

GOAL = 0.65


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=16)
    given = parser.parse_args()

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
        began = time.perf_counter()
        losses = wedges.probe.plane(landscape, cut, side, side, jobs=jobs)
        return time.perf_counter() - began, losses

    first = {jobs: measure(jobs)[0] for jobs in (1, 2)}
    ratios, seconds = [], {1: [], 2: []}
    for _ in range(given.rounds):
        (one, a), (two, b) = measure(1), measure(2)
        assert np.array_equal(a, b), np.abs(a - b).max()
        seconds[1].append(one)
        seconds[2].append(two)
        ratios.append(two / one)
    load = os.getloadavg()[0]
    loky.get_reusable_executor().shutdown(wait=True)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{joblib.cpu_count()} cores, load {load:.1f}; {given.side**2} points, {given.images} images")
    for jobs, values in seconds.items():
        spread = f"({min(values):.2f}..{max(values):.2f})"
        print(
            f"jobs={jobs}: {statistics.median(values):6.2f} s {spread}, first call {first[jobs]:.2f} s"
        )
    here, there = (u.ru_utime + u.ru_stime for u in used)
    print(f"processor seconds: {here:.1f} here, {there:.1f} in the workers")
    print(
        f"two / one: {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}), goal {GOAL}"
    )


if __name__ == "__main__":
    main()
