"""What the tests of sweeps measure: in a module, since workers look functions up by their name.

python -m tests.reproductions.measures <folder> <jobs> <settings as JSON>      one sweep, as a process
"""

import json
import os
import pathlib
import signal
import sys
import time

import numpy as np

from reproductions.bench import parallel, sweep, workplace

SOFTWARE = {"code": "test"}


def place_in(folder, **how):
    """A workplace that keeps everything in a folder."""
    folder = pathlib.Path(folder)
    how = {"software": SOFTWARE, **how}
    return workplace.Workplace(folder / "out" / "checkpoints", data_dir=str(folder), **how)


def grid(n, **more):
    """n settings by name."""
    return {f"x={x}": {"x": x, **more} for x in range(n)}


def over(folder, settings, measure=None, **how):
    place = place_in(folder, **how)
    with workplace.at(place), parallel.shared_cores(place):
        return sweep.over(measure or globals()["measure"], settings, figure="squares")


def notes(folder, what="step"):
    """[setting, what, more...] of what was measured so far, in the order of time."""
    path = pathlib.Path(folder) / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [words for line in lines if (words := line.split())[1] == what]


def leave(setting):
    """Ends the process."""
    sys.exit("enough")


def measure(setting):
    """x squared, in steps that are noted and kept, by a setting that may fail or kill its worker.

    Setting: x; steps, pause: seconds each; fails: until there is a file "mended"; kills; size: of the
    array; meets: waits until so many processes have begun with something.
    """
    x, folder = setting["x"], pathlib.Path(workplace.current().data_dir)
    _note(folder, x, "begin", os.getpid())
    if setting.get("fails") and not (folder / "mended").exists():
        raise ValueError(f"x={x} is a bad one\nwith more to say")
    if setting.get("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    while len({words[2] for words in notes(folder, "begin")}) < setting.get("meets", 1):
        time.sleep(0.01)
    kept = folder / f"kept-{x}"
    first = int(kept.read_text()) if kept.exists() else 0
    for step in range(first, setting.get("steps", 1)):
        time.sleep(setting.get("pause", 0))
        _note(folder, x, "step", step)
        _write(kept, str(step + 1))
    _note(folder, x, "end")
    threads = [int(os.environ.get(f"TF_NUM_{name}_THREADS", 0)) for name in ("INTRAOP", "INTEROP")]
    size = setting.get("size", 1)
    return {
        "square": np.full(size, x**2),
        "process": np.array(os.getpid()),
        "threads": np.array(threads),
    }


def _note(folder, *words):
    with open(folder / "notes", "a") as file:  # one write of a line: whole among many processes'
        file.write(" ".join(map(str, words)) + "\n")


def _write(path, text):
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    from tests.reproductions import measures  # under a name that workers find

    found = measures.over(sys.argv[1], json.loads(sys.argv[3]), jobs=int(sys.argv[2]))
    print(json.dumps({name: int(found.arrays(name)["square"][0]) for name in found.require().tasks}))
