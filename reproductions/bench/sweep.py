"""Many settings of one measurement, each in a run directory of its own, several at a time.

    found = sweep.over(measure, {"lr=0.001, seed 0": setting, ...}, figure="fig5_widths")
    found.arrays("lr=0.001, seed 0")

`measure` receives its setting and nothing else; the setting, all code that `measure` reaches, and the
software and threads are the key of its results, as for any `cached` function.

What is on disk is the truth: a setting is done once its results are there, so finished ones are never
repeated, and a sweep that was killed, at any moment, goes on where it was. A setting is measured under
a lock that ends with its process; a second sweep on the same folder takes other settings meanwhile. If
a worker is killed, joblib starts all local ones anew (a cluster only that one), and what was being
measured goes on from its last checkpoint. A setting that fails leaves its error in error.json, and the
others go on.

joblib starts the processes, here or on a Dask or Ray cluster, whose workers must share the folder.
"""

import collections
import contextlib
import dataclasses
import gc
import os
import pathlib
import re
import socket
import sys
import threading
import time
import traceback
import uuid

import filelock
import joblib

from reproductions.bench import cache, devices, parallel, progress, store, workplace
from reproductions.bench.errors import UsageError, say
from wedges import archive

# Why a setting is not done, beside errors of its own.
_BUSY = "another sweep measures it"
_LOST = "its worker was lost"
_LEFT = "no worker took it"
_LOSSES = 3  # workers lost with a setting, the last time with it alone, that make it a failed one
_process = threading.Lock()  # one setting at a time in a process, whatever threads a cluster has


@dataclasses.dataclass(frozen=True)
class Task:
    """One setting and where it is kept: what a worker gets.

    Attributes:
      name: for people; setting: for `measure`; directory, key: of its results.
    """

    name: str
    setting: object
    directory: pathlib.Path
    key: dict

    @property
    def results(self):
        return self.directory / "results.npz"

    @property
    def error(self):
        return self.directory / "error.json"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What became of the settings: tasks {name: Task}, failed {name: its error in one line}."""

    tasks: dict
    failed: dict

    def arrays(self, name):
        """The arrays measured for a setting, read when asked for; KeyError if there are none."""
        task = self.tasks[name]
        found = store.load(task.results, task.key)
        if found is None:
            raise KeyError(f"no results of {name!r}: {self.failed.get(name, 'not measured yet')}")
        return found

    def require(self):
        """Itself, if every setting is done; UsageError that counts and names what failed."""
        if self.failed:
            raise UsageError(
                f"{len(self.failed)} of {len(self.tasks)} settings failed ({', '.join(self.failed)}); "
                "the others are kept, and the same command tries these again."
            )
        return self


def over(measure, settings, *, figure):
    """`measure(setting)` for every one of {name: setting} that is not done yet: a `Sweep`.

    Args:
      measure: returns arrays; a function of a module, since workers look it up by its name.
      settings: frozen dataclasses, or plain values; names are for people.
      figure: whose settings these are.

    What fails is said at the end, one line each; `Sweep.require` makes an error of it.
    """
    place = workplace.current()
    if place.strategy == "multi_worker":
        raise UsageError(
            "--strategy=multi_worker: not with a sweep, whose settings run side by side; for several "
            "machines use --backend=dask or --backend=ray."
        )
    place = _anywhere(place)
    sweep = Sweep({n: _task(place, measure, figure, n, s) for n, s in settings.items()}, {})
    left = [t for t in sweep.tasks.values() if not _done(t)]
    if not left:
        return sweep
    for task in left:  # what failed before is tried again
        with contextlib.suppress(OSError):
            task.error.unlink()
    start = {"initial": len(settings) - len(left), "desc": figure, "unit": "setting"}
    with parallel.backend(place), progress.bar(total=len(settings), **start) as bar:
        losses, idle, wait = collections.Counter(), 0, False
        while left:
            # Those with which workers were lost come last, and after two losses each is alone: one that
            # kills its worker every time takes no other with it.
            tasks = [t for t in left if losses[t.name] < _LOSSES - 1] or left[:1]
            tasks.sort(key=lambda t: losses[t.name])
            undone, lost = _round(measure, place, tasks, wait, bar)
            losses.update(n for n, why in undone.items() if why == _LOST)
            idle = idle + 1 if lost and _LOST not in undone.values() else 0
            for name, why in undone.items():
                alone = len(tasks) == 1 and losses[name] >= _LOSSES
                if why not in (_BUSY, _LOST, _LEFT):
                    sweep.failed[name] = why
                elif why == _LOST and alone or idle >= _LOSSES:
                    sweep.failed[name] = f"{why}, {_LOSSES} times: {_line(lost)}"
            done = {t.name for t in tasks} - undone.keys()
            left = [t for t in left if t.name not in done | sweep.failed.keys()]
            bar.n = len(settings) - len(left)
            bar.refresh()
            busy = sum(why == _BUSY for why in undone.values())
            wait = busy > 0
            if lost and left:
                say(f"{figure}: a worker was lost ({type(lost).__name__}); {len(left)} settings go on")
            if wait:
                say(f"{figure}: waiting for {busy} settings that another sweep measures")
    for name, why in sweep.failed.items():
        say(f"{figure}: {name} failed: {why}")
        if why.startswith((_LOST, _LEFT)):  # nobody was there to write it
            with contextlib.suppress(UsageError):
                store.write_json(sweep.tasks[name].error, {"error": why})
    return sweep


def status(folder):
    """{its directory's name: "done", "failed: ...", "running" or "stopped"} of a figure's settings, in
    <out_dir>/<figure>/settings."""
    found = {}
    for directory in sorted(d for d in pathlib.Path(folder).iterdir() if d.is_dir()):
        task = Task(directory.name, None, directory, {})
        if task.results.exists():
            found[task.name] = "done"
        elif error := _error(task):
            found[task.name] = f"failed: {error}"
        else:
            found[task.name] = "running" if _held(directory) else "stopped"
    return found


# ---- in a worker ------------------------------------------------------------------------------------


def _measure(measure, place, task, wait, mark, parent):
    """Measure one setting, unless it is done: None, or why not."""
    if os.getpid() != parent:
        progress.hide()  # bars of many processes would overwrite one another
        if place.backend == "local":
            _end_with(parent)
    with _process:
        try:
            with store.tidy(task.directory):
                task.directory.mkdir(parents=True, exist_ok=True)
                with _lock(task.directory).acquire(timeout=-1 if wait else 0), _no_lock_alone(task):
                    return None if _done(task) else _try(measure, place, task, mark)
        except filelock.Timeout:
            return _BUSY
        except UsageError as error:
            return _line(error)
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            return f"cannot write {task.directory}: {reason}; point --out_dir at a folder with room."


def _lock(directory):
    return filelock.FileLock(directory / ".lock")


@contextlib.contextmanager
def _no_lock_alone(task):
    """Where the block raises before it wrote anything, the lock's file goes, and so may the folder."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if [path.name for path in task.directory.iterdir()] == [".lock"]:
                (task.directory / ".lock").unlink()
        raise


def _try(measure, place, task, mark):
    about = {**task.key, "name": task.name, "host": socket.gethostname(), "process": os.getpid()}
    store.write_json(task.directory / "config.json", about | {"round": mark})
    started = time.time()
    try:
        with workplace.at(place), devices.placed(place):
            arrays = measure(task.setting)
        # A worker may have started, and read the code, after the sweep had; or it was changed meanwhile.
        cache.require_code(task.key, measure, (task.setting,))
        store.save(task.results, arrays, task.key)
    except (Exception, SystemExit) as error:
        with contextlib.suppress(UsageError):  # also where the disk is full
            told = {"error": _line(error), "traceback": traceback.format_exc()}
            store.write_json(task.error, told)
        return _line(error)
    finally:
        if "keras" in sys.modules:  # else every network's graphs would stay
            sys.modules["keras"].utils.clear_session()  # collects garbage
            if not gc.get_freeze_count():  # or it would look at all of TensorFlow each time
                gc.freeze()
    with contextlib.suppress(UsageError):  # the results are there
        seconds = round(time.time() - started, 3)
        store.write_json(task.directory / "config.json", about | {"seconds": seconds})
    return None


def _end_with(parent):
    """End this worker soon after the process that started it, however that ends."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if not any(t.name == "watch" for t in threading.enumerate()):
        threading.Thread(target=watch, name="watch", daemon=True).start()


# ---- in the process that sweeps ---------------------------------------------------------------------


def _round(measure, place, tasks, wait, bar):
    """Measure these: {name: why} of those that are not done, and the error that lost a worker, if one
    did. What `_measure` returned is then not known, and is read from disk."""
    mark = uuid.uuid4().hex
    call = joblib.delayed(_measure)
    calls = (call(measure, place, t, wait, mark, os.getpid()) for t in tasks)
    try:
        outcomes, lost = _Watched(bar)(calls), None
    except Exception as error:  # `_measure` raises nothing of its own: this is about the workers
        outcomes, lost = [_error(t) or (_LOST if _begun(t, mark) else _LEFT) for t in tasks], error
    missing = "its results are not in {}; --out_dir must be a folder that all workers share"
    return {
        task.name: why or missing.format(task.directory)
        for task, why in zip(tasks, outcomes, strict=True)
        if not _done(task)
    }, lost


class _Watched(joblib.Parallel):
    """joblib's Parallel, one setting to a worker at a time, that moves a bar."""

    def __init__(self, bar):
        super().__init__(batch_size=1)
        self._bar, self._first = bar, bar.n

    def print_progress(self):
        self._bar.update(self._first + self.n_completed_tasks - self._bar.n)


def _anywhere(place):
    """The workplace with folders that mean the same wherever a worker was started."""
    absolute = lambda path: os.path.abspath(os.path.expanduser(path))
    remote = place.data_dir is None or "://" in place.data_dir
    return dataclasses.replace(
        place,
        checkpoints=pathlib.Path(absolute(place.checkpoints)),
        data_dir=place.data_dir if remote else absolute(place.data_dir),
    )


def _task(place, measure, figure, name, setting):
    key = {"figure": figure, **cache.key_of(measure, (setting,), place.software)}
    (key["setting"],) = key.pop("arguments")
    readable = re.sub(r"[^\w.=+-]+", "_", name)[:80]
    folder = place.checkpoints.parent / figure / "settings" / f"{readable}-{store.digest(key)[:8]}"
    return Task(name, setting, folder, key)


def _done(task):
    return task.results.exists() and store.load(task.results, task.key) is not None


def _error(task):
    """The error that a setting left, in one line; None if it left none."""
    try:
        return archive.read_json(task.error, {"error": str})["error"]
    except (OSError, archive.Damaged):
        return None


def _begun(task, mark):
    """Whether a worker began to measure the setting in the round of this mark."""
    try:
        return archive.read_json(task.directory / "config.json", {"round": str})["round"] == mark
    except (OSError, archive.Damaged):
        return False


def _held(directory):
    try:
        with _lock(directory).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # not to be written to, so nothing is measured there
        return False


def _line(error):
    first = (str(error).splitlines() or [""])[0]
    return first if isinstance(error, UsageError) else f"{type(error).__name__}: {first}"
