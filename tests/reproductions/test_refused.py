"""A run that is refused leaves its folder as it was: no empty folders, no half files, nothing lost."""

import dataclasses
import json
import os
import types

import filelock
import numpy as np
import pytest

from reproductions import report, run_all
from reproductions.bench import cache, claims, devices, marks, options, runs, store, sweep, workplace
from reproductions.bench.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(options.Config):
    n: int = options.option("a number", options.at_least(1), paper=3)


def figure(measure):
    """A figure that needs nothing to be drawn."""
    picture = types.SimpleNamespace(
        savefig=lambda file, format: file.write(b"a picture"),
    )
    return types.SimpleNamespace(
        __doc__="A figure.",
        __file__="toy_none.py",
        Config=Config,
        measure=measure,
        plot=lambda arrays, config: picture,
        claims=lambda arrays, config: [],
        summary=lambda arrays, config: {"x": [1.0]},
    )


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """The mark of all code, to be changed: what measures here are functions of these tests."""
    now = {"mark": "newer"}
    monkeypatch.setattr(marks, "of", lambda *functions: now["mark"])
    return now


def ones(n):
    return {"x": np.ones(n)}


def well(config):
    return cache.cached(ones, 3)


def refuse(config):
    raise UsageError("--n=3: no")


def crash(config):
    raise ZeroDivisionError


def half(config):
    """Refused in the middle of a file."""

    def write(file):
        file.write(b"half")
        raise UsageError("--n=3: no")

    store.write_bytes(workplace.current().checkpoints / "deep" / "x.npz", write)


def swept(config):
    """A sweep that is refused before its settings can begin."""
    sweep.over(ones, {"a": 1, "b": 2}, figure="toy_none").require()


def content(folder):
    """{path: its bytes, or None for a folder} of all that is in a folder, and the folder itself."""
    if not folder.exists():
        return None
    paths = [folder, *folder.rglob("*")]
    return {p: p.read_bytes() if p.is_file() else None for p in paths}


@pytest.fixture(params=["none", "empty", "another", "finished", "interrupted"])
def out(request, tmp_path, code):
    """An out_dir in which there is nothing; another figure's run; this one's, by older code; or one of
    this figure that somebody stopped."""
    out = tmp_path / "deep" / "runs"
    if request.param == "empty":
        out.mkdir(parents=True)
    elif request.param == "another":
        (out / "toy_other" / "smoke-1").mkdir(parents=True)
        (out / "toy_other" / "smoke-1" / "config.json").write_text("{}")
    elif request.param == "finished":
        code["mark"] = "older"
        assert runs.run(figure(well), ["--preset=smoke", f"--out_dir={out}"]) == 0
    elif request.param == "interrupted":

        def stop(config):
            well(config)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            runs.run(figure(stop), ["--preset=smoke", f"--out_dir={out}"])
        assert list(out.glob("toy_none/smoke-*/config.json"))
    code["mark"] = "newer"
    return out


def test_a_run_that_is_killed_leaves_no_results_of_older_code(tmp_path, code):
    """Nor does what was put aside for it ever come back."""
    command = ["--preset=smoke", f"--out_dir={tmp_path}"]
    assert runs.run(figure(well), command) == 0
    (folder,) = tmp_path.glob("toy_none/smoke-*")
    files = {p.name for p in folder.iterdir()}
    code["mark"] = "newest"

    def stop(config):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.run(figure(stop), command)
    assert {p.name for p in folder.iterdir()} == files - {"results.npz"}
    (folder / ".results.npz.before").write_text("older")  # as after kill -9
    refused(tmp_path, refuse, ignore=".results.npz.before")
    assert {p.name for p in folder.iterdir()} == files - {"results.npz"}
    assert runs.run(figure(well), command) == 0 and {p.name for p in folder.iterdir()} == files


def refused(out, measure, error=UsageError, flags=(), ignore=None):
    before = content(out)
    if ignore:
        before = {p: data for p, data in before.items() if p.name != ignore}
    with pytest.raises(error):
        runs.run(figure(measure), ["--preset=smoke", f"--out_dir={out}", *flags])
    assert content(out) == before
    assert out.parent.exists() == (before is not None)  # nor do folders above it stay


@pytest.mark.parametrize("measure", [refuse, crash, half])
def test_a_measurement_that_fails_leaves_the_folder_as_it_was(measure, out):
    refused(out, measure, ZeroDivisionError if measure is crash else UsageError)


def test_devices_that_are_not_there(out, monkeypatch):
    def none(place):
        raise UsageError("--strategy=tpu: no TPU")

    monkeypatch.setattr(devices, "_has_tpu", lambda: True)
    monkeypatch.setattr(devices, "start", none)
    refused(out, well, flags=["--strategy=tpu"])


@pytest.mark.parametrize(
    "flags", [["--n=three"], ["--jobs=0"], ["more"], ["--n=4", "--write_reference"]]
)
def test_bad_flags(flags, out):
    refused(out, well, flags=flags)


def test_flags_that_a_reference_cannot_have_are_refused_before_the_measurement(tmp_path):
    measured = []
    with pytest.raises(UsageError, match="--write_reference: a preset's own settings only, not --n"):
        flags = ["--n=4", "--write_reference", "--preset=smoke", f"--out_dir={tmp_path}"]
        runs.run(figure(lambda config: measured.append(1)), flags)
    assert not measured


@pytest.mark.parametrize("measure", [well, swept])
def test_a_full_disk(measure, out, monkeypatch, capfd):
    def full(fd):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(out, measure)


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_disk_that_fills_while_settings_are_swept_keeps_no_empty_folders(
    writes, tmp_path, monkeypatch
):
    """The first write is that of the run's config.json; the next ones are a setting's."""
    fsync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) > writes:
            raise OSError(28, "No space left on device")
        fsync(fd)

    out = tmp_path / "runs"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="2 of 2 settings failed" if writes < 3 else "1 of 2 settings"):
        runs.run(figure(swept), ["--preset=smoke", f"--out_dir={out}"])
    left = [p for p in out.rglob("*") if p.is_dir() and not list(p.iterdir())]
    alone = [p for p in out.rglob(".lock") if len(list(p.parent.iterdir())) == 1]
    assert not left and not alone and not list(out.rglob("*.tmp"))
    assert out.exists() == (writes > 1)


def test_a_setting_that_another_sweep_holds_keeps_its_lock(tmp_path):
    place = workplace.Workplace(tmp_path / "runs" / "checkpoints")
    task = sweep._task(place, ones, "toy_none", "a", 1)
    task.directory.mkdir(parents=True)
    with filelock.FileLock(task.directory / ".lock"):
        assert sweep._measure(ones, place, task, False, "mark", os.getpid()) == sweep._BUSY
        assert (task.directory / ".lock").exists()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("not JSON", "is not JSON"),
        ("[]", "holds a list, not an object"),
        ('{"smoke": []}', "has a list at smoke, not an object"),
        ('{"smoke": {}}', "lacks smoke.settings"),
        ('{"smoke": {"settings": {}, "numbers": []}}', "has a list at smoke.numbers, not an object"),
        ('{"smoke": {"settings": {}, "numbers": {"x": 3}}}', "has 3 at smoke.numbers.x, not an object"),
        ({"mean": "high"}, "has 'high' at smoke.numbers.x.mean, not a number"),
        ({"n": 0}, "has 0 at smoke.numbers.x.n, not a whole number from 1 to 999999999"),
        ({"n": 1.5}, "has 1.5 at smoke.numbers.x.n, not a whole number"),
        ({"spread": "0"}, "has '0' at smoke.numbers.x.spread, not a number or null"),
        ({"values": 3}, "has 3 at smoke.numbers.x.values, not a list"),
        ({"values": ["a"]}, "has 'a' at smoke.numbers.x.values[0], not a number"),
        ({"mean": 10**400}, "has a number of 401 digits"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--write_reference"]])
def test_a_damaged_reference_is_refused_before_the_measurement(
    entry, words, flags, tmp_path, monkeypatch
):
    if isinstance(entry, dict):
        number = {"mean": 1.0, "spread": None, "n": 1, "values": [1.0], **entry}
        entry = json.dumps({"smoke": {"settings": {"n": 3}, "numbers": {"x": number}}})
    path = tmp_path / "toy_none.json"
    path.write_text(entry)
    reference = claims.Reference
    monkeypatch.setattr(claims, "Reference", lambda name: reference(name, tmp_path))
    measured = lambda config: pytest.fail("measured")
    with pytest.raises(UsageError) as error:
        runs.run(figure(measured), ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
    assert str(error.value).startswith(f"{path} {words}")
    assert str(error.value).endswith("; restore it from version control.")
    assert [p.name for p in tmp_path.iterdir()] == ["toy_none.json"] and path.read_text() == entry


def test_a_reference_that_is_a_folder_is_one_line(tmp_path):
    (tmp_path / "toy_none.json").mkdir()
    with pytest.raises(UsageError, match=r"toy_none.json cannot be read \(Is a directory\)"):
        claims.Reference("toy_none", tmp_path).read()


@pytest.mark.parametrize("content", ["[]", "{", '{"provenance": 3}', '{"provenance": {"software": 3}}'])
def test_a_config_of_the_wrong_shape_is_measured_again(content, tmp_path):
    command = ["--preset=smoke", f"--out_dir={tmp_path}"]
    assert runs.run(figure(well), command) == 0
    (config,) = tmp_path.glob("toy_none/smoke-*/config.json")
    config.write_text(content)
    measured = []
    assert runs.run(figure(lambda c: measured.append(1) or well(c)), command) == 0
    assert measured and "seconds" in json.loads(config.read_text())["provenance"]


@pytest.mark.parametrize("told", ["[]", '{"error": ["a"]}', '{"error": 3}', "{", "[" * 10**5])
def test_an_error_or_a_config_of_the_wrong_shape_is_as_none(told, tmp_path):
    place = workplace.Workplace(tmp_path / "checkpoints")
    task = sweep._task(place, ones, "toy_none", "a", 1)
    task.directory.mkdir(parents=True)
    task.error.write_text(told)
    (task.directory / "config.json").write_text(told)
    assert sweep._error(task) is None and not sweep._begun(task, "mark")
    assert sweep.status(task.directory.parent) == {task.directory.name: "stopped"}


@pytest.mark.parametrize("told", ["[]", '{"claims": 3}', '{"claims": [{"passed": 1}]}', "{"])
def test_run_all_takes_no_verdict_of_the_wrong_shape(told, tmp_path):
    (tmp_path / "check.json").write_text(told)
    assert run_all._check([str(tmp_path)]) is None
    whole = {"passed": True, "judged": True, "preset": "paper", "reference": None, "claims": []}
    (tmp_path / "check.json").write_text(json.dumps(whole))
    assert run_all._check([str(tmp_path)]) == whole


def test_a_page_that_cannot_be_written_leaves_no_folder(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        report.write(report.find(tmp_path / "none", "smoke"), tmp_path / "new" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_run_all_leaves_no_folder_where_it_cannot_write(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(UsageError, match="No space left on device"):
        run_all.run(["--preset=smoke", f"--out_dir={tmp_path / 'new' / 'runs'}"])
    assert list(tmp_path.iterdir()) == []
