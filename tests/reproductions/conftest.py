"""What many tests look at is run once: every figure's smoke preset, for all processes of a test run."""

import contextlib
import inspect
import io
import pathlib
import pickle
import sys
import typing

import filelock
import pytest

from reproductions.bench import cache, catalogue, options, runs, store, sweep

ROOT = str(pathlib.Path(__file__).parents[2])


# The smoke runs that take longest in one of two processes.
SLOW = (
    "emergent_outliers",
    "fig4_short_directions",
    "fig5_widths",
    "generality",
    "star_centres",
    "toy_intersection",
)


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items):
    """What asks for the smoke run of a slow figure is slow."""
    for item in items:
        if "smoke" in item.fixturenames and any(f"[{name}" in item.name for name in SLOW):
            item.add_marker(pytest.mark.slow)


class Smoke(typing.NamedTuple):
    """A figure's smoke run, as a user would have it, and what a test may want to know of it."""

    module: object
    out_dir: pathlib.Path
    directory: pathlib.Path
    config: object
    arrays: dict
    printed: str
    said: str
    entries: list  # `Entry`s, in the order in which they were asked for
    called: set  # {(module, name)} of our functions that ran while it measured


class Entry(typing.NamedTuple):
    """One cached number: its function, key, inputs, what came out, and which of our functions ran."""

    function: tuple  # (module, name)
    key: str
    inputs: bytes
    arrays: dict
    called: set


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """smoke("fig6_swa"): the `Smoke` of a figure; several processes of a test run share one. A slow one
    is run once for this and for `traced`."""
    plain = _shared(tmp_path_factory, "smoke", trace=False)
    traced = _shared(tmp_path_factory, "traced", trace=True)
    return lambda name: (traced if name in SLOW else plain)(name)


@pytest.fixture(scope="session")
def traced(tmp_path_factory):
    """As `smoke`, and which of our functions ran is known; takes twice the time."""
    return _shared(tmp_path_factory, "traced", trace=True)


def _shared(tmp_path_factory, name, trace):
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "popen-" in base.name else base) / name
    folder.mkdir(exist_ok=True)
    known = {}

    def of(name):
        # The figures of one chapter share what they train.
        out_dir = folder / ("local" if name.startswith("emergent_") else name)
        if name not in known:
            with filelock.FileLock(folder / f"{out_dir.name}.lock"):
                told = folder / f"{name}.pickle"
                if not told.exists():
                    told.write_bytes(pickle.dumps(_run(name, out_dir, trace)))
            printed, said, entries, called = pickle.loads(told.read_bytes())
            module = catalogue.module(name)
            directory = pathlib.Path(printed.splitlines()[-1])
            config = module.Config(**options.preset(module.Config, "smoke"))
            _, arrays = store.read(directory / "results.npz")
            found = (module, out_dir, directory, config, arrays, printed, said, entries, called)
            known[name] = Smoke(*found)
        return known[name]

    return of


def _run(name, out_dir, trace):
    """Run the smoke preset into a folder of its own: what it printed and said, entries, functions."""
    module, printed, said = catalogue.module(name), io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
        recorded(trace=trace) as entries,
        watched(module.measure.__code__, trace) as called,
    ):
        assert runs.run(module, ["--preset=smoke", f"--out_dir={out_dir}"]) == 0
    return printed.getvalue(), said.getvalue(), entries, called


@contextlib.contextmanager
def recorded(compute=None, trace=False):
    """Every cached number that is asked for, an `Entry` each. compute(function, key): in place of the
    function, if given, and nothing is kept on disk. trace: note which of our functions run for it."""
    entries, cached, over = [], cache.cached, sweep.over

    def note(function, key, arrays, called):
        whole = store.digest(cache.key_of(function, key, {}))
        place = (function.__module__, function.__qualname__)
        # All that the function could see: arguments, and whatever else hangs on it.
        seen = (key, function.__defaults__, function.__kwdefaults__, function.__closure__)
        entries.append(Entry(place, whole, pickle.dumps(seen), arrays, called))

    def noted(function, *key):
        if compute is not None:
            arrays = compute(function, key)
            note(function, key, arrays, set())
            return arrays
        with watched(function.__code__, trace) as called:
            arrays = cached(function, *key)
        note(function, key, arrays, called)
        return arrays

    def swept(measure, settings, *, figure):
        found = over(measure, settings, figure=figure) if compute is None else Stubbed()
        for name, setting in settings.items():
            arrays = found.arrays(name) if compute is None else compute(measure, (setting,))
            note(measure, (setting,), arrays, set())
            if compute is not None:
                found.found[name] = arrays
        return found

    cache.cached, sweep.over = noted, swept
    try:
        yield entries
    finally:
        cache.cached, sweep.over = cached, over


class Stubbed:
    """A sweep whose settings were not measured."""

    def __init__(self):
        self.found = {}

    def require(self):
        return self

    def arrays(self, name):
        return self.found[name]


_watching = []  # [code, names, how many calls of it are open]
_seen = {}  # code -> (module, name) of one of ours, or None


@contextlib.contextmanager
def watched(code, trace=True):
    """{(module, top-level name)} of our functions that are called while this code runs."""
    watch = [code, set(), 0]
    if not trace:
        yield watch[1]
        return
    _watching.append(watch)
    if len(_watching) == 1:
        sys.settrace(_on_call)
    try:
        yield watch[1]
    finally:
        _watching.remove(watch)
        if not _watching:
            sys.settrace(None)


def _on_call(frame, event, _):
    code = frame.f_code
    place = _seen.get(code, code)
    if place is code:  # not seen before
        module = frame.f_globals.get("__name__", "").split(".")
        # Bodies of modules and classes run when they are imported, and are no functions.
        function = code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(ROOT)
        ours = function and module[0] in ("wedges", "reproductions")
        place = (".".join(module), code.co_qualname.split(".")[0]) if ours else None
        _seen[code] = place
    if place is None:
        return None
    own = None
    for watch in _watching:
        if watch[0] is code:
            watch[2] += 1
            own = watch
        if watch[2]:
            watch[1].add(place)
    if own is None:
        return None
    frame.f_trace_lines = False
    return _on_return(own)


def _on_return(watch):
    def look(frame, event, _):
        if event == "return":
            watch[2] -= 1
            if not watch[2] and watch is _watching[0]:  # what comes after the measurement is not watched
                sys.settrace(None)
        return look

    return look
