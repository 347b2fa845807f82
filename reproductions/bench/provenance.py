"""Where numbers come from: the software that made them, the machine, the command, the commit."""

import datetime
import os
import pathlib
import platform
import re
import shlex
import subprocess
from importlib import metadata

import joblib

from wedges import archive

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
# What TensorFlow, BLAS and OpenMP read: which devices, how many parts a sum is taken in, which kernels.
_SETTINGS = (
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
)


def software(jobs=1, backend="local", address=None, strategy="default"):
    """What can change the bits of a result besides our own code: versions, threads, devices.

    A sum over a batch is taken in as many parts as there are threads, and processes that run side by
    side share the cores: so `jobs` is here by its threads. A cluster's workers, and the machines of a
    `multi_worker` training, have each their own; they must find one another's results, so theirs are
    not told apart.
    """
    found = {"python": platform.python_version(), **{p: metadata.version(p) for p in _PACKAGES}}
    found["threads"] = threads(jobs, backend, address)
    if strategy == "multi_worker" or address:
        found["threads"] = "of each machine"
    found |= {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    if graphics := _graphics():
        found["gpus"] = graphics
    if strategy != "default":
        found["strategy"] = strategy
    return found


def threads(jobs=1, backend="local", address=None):
    """How many threads each process of a run has: its share of the cores."""
    if workers(jobs, backend) == 1 or address:
        return int(os.environ.get("TF_NUM_INTRAOP_THREADS") or joblib.cpu_count())
    return max(1, joblib.cpu_count() // workers(jobs, backend))


def workers(jobs, backend):
    """How many processes a run has on this machine."""
    return jobs if backend == "local" or jobs > 1 else joblib.cpu_count()


def _graphics():
    """The models of the NVIDIA GPUs here, without starting TensorFlow."""
    found = []
    for about in sorted(pathlib.Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = about.read_text(errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return found


def record(name, arguments, made_by, note):
    """How a run's numbers are made: what config.json says beside the settings."""
    now = datetime.datetime.now().astimezone()
    return {
        "command": f"python -m reproductions.{name} {shlex.join(arguments)}".strip(),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M %Z"),
        "commit": commit(),
        "machine": _machine(),
        "software": made_by,
        "note": note,
    }


def memory():
    """{"memory_mib": the largest memory that a process of this run has had, the workers among them}; {}
    where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    most = max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    unit = 2**20 if platform.system() == "Darwin" else 2**10  # bytes there, KiB elsewhere
    return {"memory_mib": round(max(most, *_of_living_children()) / unit)}


def _of_living_children():
    """The largest memory of each process that this one has started and that still lives, in KiB, where
    Linux says it: of children the system itself counts those that have ended."""
    lists = pathlib.Path("/proc/self/task").glob("*/children")
    children = " ".join(map(_text, lists)).split()
    said = "\n".join(_text(pathlib.Path("/proc", child, "status")) for child in children)
    return [0, *map(int, re.findall(r"^VmHWM:\s+(\d+) kB", said, re.MULTILINE))]


def _text(path):
    """What a file says; "" where it has gone meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def commit(folder=pathlib.Path(__file__).parents[2]):
    """The commit of git that a checkout is at, in short, with "+" where files have changed since; None
    where `folder` is no checkout, as of an installed package, or git is not there."""
    # A package may be installed below somebody else's checkout.
    if not (folder / ".git").exists():
        return None
    how = {"cwd": folder, "capture_output": True, "text": True, "timeout": 10, "check": True}
    try:
        found = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], **how).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **how).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return found + "+" * bool(changed.strip())


def read(directory):
    """What config.json says of how the results there were made; {} if it cannot be read."""
    try:
        return archive.read_json(directory / "config.json", {"provenance": dict})["provenance"]
    except (OSError, archive.Damaged):
        return {}


def _machine():
    model = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        pass
    return f"{model}, {len(_cores())} cores, {platform.system()}"


def _cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
