"""Over the whole catalogue: no cached number is used where it must not be.

The truth comes from outside of the code that makes keys and marks: which functions really ran is what
the interpreter says, and what a cached function could see is pickled whole.
"""

import ast
import contextlib
import dataclasses
import itertools
import pathlib
import pickle
import random

import pytest

import wedges
import wedges._progress  # what runs on import is not measuring
from reproductions.bench import cache, catalogue, marks, options, parallel, workplace
from reproductions.bench.errors import UsageError
from reproductions.common import data
from tests.reproductions.conftest import recorded

ROOT = pathlib.Path(wedges.__file__).parents[1]
MUTATIONS = 40


# ---- marks ------------------------------------------------------------------------------------------


QUICK = ("toy_probe",)  # the others are traced by the slow tests
TRACED = [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in catalogue.FIGURES]


@pytest.mark.parametrize("name", TRACED)
def test_every_function_that_ran_in_a_measurement_is_in_its_mark(name, traced):
    run = traced(name)
    called = defined(run.called)
    missed = called - marks.reached(run.module.measure, run.module.Config)
    assert not missed
    assert len(called) > 5  # it did look
    # What another figure of the chapter has trained did not run again, and is in the mark all the same.
    assert {entry.function for entry in run.entries} <= marks.reached(run.module.measure)
    for entry in run.entries:
        function = getattr(catalogue.importlib.import_module(entry.function[0]), entry.function[1])
        key = pickle.loads(entry.inputs)[0]
        missed = defined(entry.called) - marks.reached(function, *cache.classes(key))
        assert not missed, entry.function


def defined(called):
    """Of what ran, all but lambdas at the top of a module and the doors through which names load."""
    return {(m, n) for m, n in called if not n.startswith("<") and n != "__getattr__"}


def mutated(monkeypatch, module, name):
    """As if the function or class `name` of a module began with one more statement."""
    path, read = marks._file(module), marks._source
    tree = ast.parse(path.read_text())
    node = next(n for n in tree.body if getattr(n, "name", None) == name)
    more = ast.parse("mutated = 12345").body
    inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)]
    random.Random(f"{module} {name}").choice(inner or [node]).body += more
    text = ast.unparse(tree).encode()
    monkeypatch.setattr(marks, "_source", lambda p: text if p == path else read(p))
    marks.forget(module)


@pytest.fixture
def read_anew():
    yield
    marks.forget()


@pytest.mark.parametrize("figures", [QUICK, pytest.param(catalogue.FIGURES, marks=pytest.mark.slow)])
def test_a_mark_changes_with_any_function_that_a_measurement_calls(
    figures, traced, monkeypatch, read_anew
):
    pool = sorted({(f, *c) for f in figures for c in defined(traced(f).called)})
    chosen = random.Random(13).sample(pool, MUTATIONS)
    assert len({f for f, *_ in chosen}) > len(figures) // 2 and len({m for _, m, _ in chosen}) > 8
    for figure, module, name in chosen:
        run = catalogue.module(figure)
        before = marks.of(run.measure, run.Config)
        with monkeypatch.context() as patch:
            mutated(patch, module, name)
            assert marks.of(run.measure, run.Config) != before, (figure, module, name)
        marks.forget(module)


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_a_mark_stays_when_claims_pictures_and_words_change(name, monkeypatch, read_anew):
    run = catalogue.module(name)
    before = marks.of(run.measure, run.Config)
    for function in ("judged", "claims", "summary", "plot"):
        with monkeypatch.context() as patch:
            mutated(patch, run.__name__, function)
            assert marks.of(run.measure, run.Config) == before, function
        marks.forget(run.__name__)
    path, read = marks._file(run.__name__), marks._source
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):  # every docstring, help text, range and preset
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and marks._is_text(body[0]):
            body[0].value.value = "other words"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("option", "but"):
            node.keywords = []
            node.args = [ast.Constant("other help")]
    text = ast.unparse(tree).encode()
    with monkeypatch.context() as patch:
        patch.setattr(marks, "_source", lambda p: text if p == path else read(p))
        marks.forget(run.__name__)
        assert marks.of(run.measure, run.Config) == before
    marks.forget(run.__name__)
    drawing = (("wedges.plots.panels", "grid"), ("reproductions.common.pictures", "counted"))
    for module, function in drawing:
        with monkeypatch.context() as patch:
            mutated(patch, module, function)
            assert marks.of(run.measure, run.Config) == before, (module, function)
        marks.forget(module)


# ---- keys -------------------------------------------------------------------------------------------


def another(option, value):
    """Values that an option may have instead of `value`, the likeliest to pass first."""
    if isinstance(value, tuple):
        for i, v in itertools.product(range(len(value)), range(6)):
            for new in itertools.islice(another(option, value[i]), v, v + 1):
                if new not in value:
                    yield (*value[:i], new, *value[i + 1 :])
        yield value[:-1]
    elif isinstance(value, str):
        if isinstance(option.allowed, options.one_of):
            yield from (v for v in option.allowed if v != value)
        else:  # DxN
            yield from ("60x50", "40x30")
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, float):
        yield from (1.1 * value, 0.9 * value, value + 0.125)
    else:
        near = (1, 2) if value is None else (value + 1, value + 2, value - 1, 2 * value, value // 2)
        yield from (*near, 1, 2, 3)


def changed(config, option):
    """The config with other values of one option, one after the other, that may be measured."""
    values = {o.name: getattr(config, o.name) for o in options.options(type(config))}
    for value in another(option, values[option.name]):
        if value == ():
            continue
        for v in value if isinstance(value, tuple) else (value,):
            if option.allowed is not None and v not in option.allowed:
                break
        else:
            try:
                new = type(config)(**{**values, option.name: value})
                new.check()
            except UsageError:
                continue
            if value and getattr(new, option.name) != values[option.name]:
                yield new


@pytest.fixture
def without_work(name, smoke, monkeypatch, tmp_path):
    """Data sets of any name at once, one thing after the other, whatever fails on the way."""
    if name not in UNCACHED:
        smoke(name)  # which others share, on the data that it is about
    digits = data.load("digits")
    monkeypatch.setattr(data, "check", lambda name, data_dir=None: None)
    monkeypatch.setattr(data, "source", lambda name: data.Source(name, f"content of {name}"))
    monkeypatch.setattr(data.Source, "load", lambda self: digits)

    def over(function, items):
        found, failed = [], None
        for item in items:
            try:
                found.append(function(item))
            except Exception as error:  # shapes of other settings than were asked for
                failed = error
        if failed:
            raise failed
        return found

    monkeypatch.setattr(parallel, "over", over)
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")):
        yield


def asked_for(run, config):
    """The entries that a config's measurement asks for, its numeric work stubbed: a cached function
    returns what its like returned in the smoke run."""
    known, seen = {}, {}
    for entry in run.entries:
        known.setdefault(entry.function, []).append(entry.arrays)

    def compute(function, key):
        place = (function.__module__, function.__qualname__)
        i = seen[place] = seen.get(place, -1) + 1
        return known[place][min(i, len(known[place]) - 1)]

    read = set()
    # It may fail on the stubs' shapes: what was asked for until then is what it is about.
    with contextlib.suppress(Exception, SystemExit), recorded(compute) as entries:
        run.module.measure(spy(config, read))
    return entries, read


def spy(config, read):
    """The config, noting in `read` which of its attributes are looked at."""

    class Spy(type(config)):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    return Spy(**{o.name: getattr(config, o.name) for o in options.options(type(config))})


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_two_configs_share_no_number_that_depends_on_what_differs(name, smoke, without_work):
    """Equal keys mean equal inputs, down to the last bit of all that the function could see."""
    if name in UNCACHED:
        return
    run = smoke(name)
    config = dataclasses.replace(run.config, **WHOLE.get(name, {}))
    entries, read = asked_for(run, config)
    first = {e.key: e for e in entries}
    assert first
    moved = set()
    for option in options.options(type(config)):
        others = list(changed(config, option))
        assert others, f"no other value of {option.name} found"
        for other in others:  # until one makes a difference
            found = {e.key: e for e in asked_for(run, other)[0]}
            for key in found.keys() & first.keys():
                one, two = first[key], found[key]
                assert (one.function, one.inputs) == (two.function, two.inputs), option.name
            if found.keys() != first.keys():
                moved.add(option.name)
                break
    # What moves no entry is not looked at while measuring: it decides only what is drawn or claimed.
    names = {o.name for o in options.options(type(run.config))}
    assert not (names & read) - moved


UNCACHED = {"fig1_wedges", "taxonomy_diagnosis"}  # seconds of work, kept as a whole, by all settings
WHOLE = {  # or the others' values are not looked at
    "fig5_widths": {"hyperparameter": ("all",)},
    "taxonomy_phases": {"more_examples": 150},
}
