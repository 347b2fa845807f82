"""Many settings, each in its own directory: kept whole and measured once, whatever is killed or full."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import filelock
import joblib
import pytest
from joblib.externals import loky

from reproductions import fig5_widths
from reproductions.bench import parallel, runs, store, sweep, workplace
from reproductions.bench.errors import UsageError
from tests.reproductions import measures
from tests.reproductions.measures import grid, notes, over, place_in

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _no_worker_stays():
    """joblib keeps them for its next call."""
    yield
    loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


def settings_of(folder):
    return pathlib.Path(folder) / "out" / "squares" / "settings"


def directory(folder, x):
    return next(settings_of(folder).glob(f"x={x}-*"))


def squares(found):
    return {name: int(found.arrays(name)["square"][0]) for name in found.tasks}


def expected(settings):
    return {name: s["x"] ** 2 for name, s in settings.items()}


def count(folder, what):
    """{x: how often it was noted}."""
    seen = [int(words[0]) for words in notes(folder, what)]
    return {x: seen.count(x) for x in seen}


def processes(folder):
    """Those that measured something."""
    return {int(words[2]) for words in notes(folder, "begin")}


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def meanwhile(condition, action, seconds=60):
    """When the condition holds, the action; while the block runs."""
    failed = []

    def watch():
        try:
            until(condition, seconds)
            action()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert not failed


def kill_worker_of(folder, x):
    """Kill -9 of the process that measures x: returns nothing, loses its current step."""
    pid = next(int(words[2]) for words in notes(folder, "begin") if words[0] == str(x))
    os.kill(pid, signal.SIGKILL)


def started(folder, settings, jobs=1):
    """A sweep as a process of its own."""
    command = [sys.executable, "-m", "tests.reproductions.measures", str(folder), str(jobs)]
    return subprocess.Popen(
        [*command, json.dumps(settings)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    """What a sweep's process printed: {name: square}."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def steps_were_made_once(folder, settings, repeated=0):
    """Every step of every setting, in order; up to `repeated` of them, cut off by a kill, twice."""
    steps = [(int(words[0]), int(words[2])) for words in notes(folder)]
    wanted = {(s["x"], i) for s in settings.values() for i in range(s.get("steps", 1))}
    assert set(steps) == wanted and len(steps) - len(wanted) <= repeated
    for x in {x for x, _ in steps}:
        own = [i for y, i in steps if x == y]
        assert own == sorted(own)


# ---- on this machine --------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_setting_is_measured_once_into_a_directory_of_its_own(tmp_path, jobs, capfd):
    settings = grid(5)
    found = over(tmp_path, settings, jobs=jobs)
    assert squares(found) == expected(settings) and found.failed == {} and found.require() is found
    assert len(list(settings_of(tmp_path).iterdir())) == 5
    for x in range(5):
        files = {p.name for p in directory(tmp_path, x).iterdir()}
        assert files == {".lock", "config.json", "results.npz"}
        about = json.loads((directory(tmp_path, x) / "config.json").read_text())
        assert (
            about["setting"] == {"dict": [["x", x]]}
            and about["name"] == f"x={x}"
            and about["seconds"] >= 0
        )
        assert about["figure"] == "squares" and about["software"] == measures.SOFTWARE
    here = {int(found.arrays(name)["process"]) == os.getpid() for name in settings}
    assert here == {jobs == 1}
    if jobs > 1:
        threads = max(1, joblib.cpu_count() // jobs)
        assert all(list(found.arrays(name)["threads"]) == [threads] * 2 for name in settings)
    assert "5/5" in capfd.readouterr().err
    again = over(tmp_path, settings, jobs=jobs)
    assert squares(again) == expected(settings)
    assert count(tmp_path, "begin") == dict.fromkeys(range(5), 1)
    assert capfd.readouterr().err == ""


def test_results_of_other_settings_or_software_are_not_taken(tmp_path):
    over(tmp_path, grid(2))
    assert count(tmp_path, "begin") == {0: 1, 1: 1}
    over(tmp_path, {"x=0": {"x": 0, "size": 2}, "x=1": {"x": 1}})
    assert count(tmp_path, "begin") == {0: 2, 1: 1}
    found = over(tmp_path, grid(2), software={"code": "other"})
    assert count(tmp_path, "begin") == {0: 3, 1: 2} and squares(found) == {"x=0": 0, "x=1": 1}


def test_damaged_results_are_said_to_be_so_and_measured_again(tmp_path, capfd):
    over(tmp_path, grid(2))
    results = directory(tmp_path, 1) / "results.npz"
    results.write_bytes(results.read_bytes()[:-30])
    (tmp_path / "kept-1").unlink()
    found = over(tmp_path, grid(2))
    assert squares(found) == expected(grid(2)) and count(tmp_path, "step") == {0: 1, 1: 2}
    assert f"not used: {results} is damaged" in capfd.readouterr().err


def test_arrays_of_what_was_never_measured_are_a_key_error(tmp_path):
    settings = {"x=0": {"x": 0, "fails": True}}
    found = over(tmp_path, settings)
    with pytest.raises(KeyError, match="x=0 is a bad one"):
        found.arrays("x=0")


def test_all_processes_of_a_run_have_one_share_of_the_cores(tmp_path, monkeypatch):
    intra, inter = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
    monkeypatch.setenv(intra, "5")
    monkeypatch.delenv(inter, raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 7)
    for jobs, threads in ((2, "3"), (3, "2"), (20, "1")):
        with parallel.shared_cores(place_in(tmp_path, jobs=jobs)):
            assert os.environ[intra] == os.environ[inter] == threads
        assert os.environ[intra] == "5" and inter not in os.environ
    with parallel.shared_cores(place_in(tmp_path)):
        assert os.environ[intra] == "5" and inter not in os.environ


def test_relative_folders_mean_the_same_to_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = workplace.Workplace(pathlib.Path("out/checkpoints"), data_dir=".")
    with workplace.at(here):
        found = sweep.over(measures.measure, grid(1), figure="squares")
    assert found.tasks["x=0"].directory.is_absolute() and found.arrays("x=0")["square"][0] == 0
    kept = sweep._anywhere(
        workplace.Workplace(pathlib.Path("~/out/checkpoints"), data_dir="gs://bucket/data")
    )
    assert kept.data_dir == "gs://bucket/data"
    assert kept.checkpoints == pathlib.Path.home() / "out" / "checkpoints"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_setting_stops_no_other_and_is_tried_again(tmp_path, jobs, capfd):
    settings = grid(4)
    settings["x=1"]["fails"] = True
    found = over(tmp_path, settings, jobs=jobs)
    assert list(found.failed.items()) == [("x=1", "ValueError: x=1 is a bad one")]
    assert count(tmp_path, "end") == {0: 1, 2: 1, 3: 1}
    lines = capfd.readouterr().err.replace("\r", "\n").splitlines()
    assert lines[-1] == "squares: x=1 failed: ValueError: x=1 is a bad one"
    told = json.loads((directory(tmp_path, 1) / "error.json").read_text())
    assert "measures.py" in told["traceback"] and "with more to say" in told["traceback"]
    with pytest.raises(UsageError, match=r"1 of 4 settings failed \(x=1\); .*same command tries these"):
        found.require()
    (tmp_path / "mended").touch()
    found = over(tmp_path, settings, jobs=jobs)
    assert found.failed == {} and squares(found) == expected(settings)
    assert count(tmp_path, "begin") == {0: 1, 1: 2, 2: 1, 3: 1}
    assert not (directory(tmp_path, 1) / "error.json").exists()


def test_a_measure_that_wants_to_end_the_process_only_fails(tmp_path):
    found = over(tmp_path, grid(2), measures.leave)
    assert found.failed == dict.fromkeys(grid(2), "SystemExit: enough")


def test_a_killed_worker_loses_its_own_step_and_nothing_finished(tmp_path, capfd):
    settings = {**grid(4, steps=8, pause=0.03), "x=0": {"x": 0}}
    kill = lambda: kill_worker_of(tmp_path, 2)
    with meanwhile(lambda: count(tmp_path, "step").get(2, 0) > 3, kill):
        found = over(tmp_path, settings, jobs=2)
    assert found.failed == {} and squares(found) == expected(settings)
    steps_were_made_once(tmp_path, settings, repeated=2)  # both workers start anew
    assert count(tmp_path, "begin")[0] == 1 and count(tmp_path, "begin")[2] == 2
    assert "a worker was lost (TerminatedWorkerError)" in capfd.readouterr().err


def test_a_setting_that_kills_every_worker_fails_alone(tmp_path, capfd):
    settings = grid(4, steps=5, pause=0.05)
    settings["x=0"] = {"x": 0, "kills": True}
    found = over(tmp_path, settings, jobs=2)
    assert list(found.failed) == ["x=0"] and count(tmp_path, "begin")[0] == 3
    assert found.failed["x=0"].startswith("its worker was lost, 3 times: TerminatedWorkerError: ")
    done = {n: t for n, t in found.tasks.items() if n != "x=0"}
    assert squares(sweep.Sweep(done, {})) == {"x=1": 1, "x=2": 4, "x=3": 9}
    steps_were_made_once(tmp_path, {n: s for n, s in settings.items() if n != "x=0"}, repeated=2)
    assert sweep.status(settings_of(tmp_path))[directory(tmp_path, 0).name].startswith(
        "failed: its work"
    )
    assert capfd.readouterr().err.count("x=0 failed: its worker was lost") == 1


def test_workers_that_never_begin_end_the_sweep(tmp_path, monkeypatch):
    """As when a cluster has none, or they cannot import what they should call."""
    rounds = []

    def nobody(bar):
        rounds.append(1)
        raise TimeoutError("no worker after 10 seconds\nand more")

    monkeypatch.setattr(sweep, "_Watched", nobody)
    found = over(tmp_path, grid(20), jobs=2)
    assert len(rounds) == 3
    assert found.failed == dict.fromkeys(
        grid(20), "no worker took it, 3 times: TimeoutError: no worker after 10 seconds"
    )


def test_killing_the_sweep_ends_its_workers_and_the_same_command_goes_on(tmp_path):
    settings = grid(6, steps=10, pause=0.03)
    process = started(tmp_path, settings, jobs=2)
    until(lambda: len(count(tmp_path, "end")) >= 2 and len(count(tmp_path, "begin")) >= 4)
    process.kill()
    process.communicate()
    assert len(processes(tmp_path)) == 2
    until(lambda: not any(map(alive, processes(tmp_path))), seconds=3)
    results = list(settings_of(tmp_path).glob("*/results.npz"))
    marks = {path: path.stat().st_mtime_ns for path in results}
    before = len(notes(tmp_path))
    assert 2 <= len(marks) < 6
    status = sweep.status(settings_of(tmp_path))
    assert set(status.values()) == {"done", "stopped"}
    assert finished(started(tmp_path, settings, jobs=2)) == expected(settings)
    assert before < len(notes(tmp_path))
    assert all(path.stat().st_mtime_ns == mark for path, mark in marks.items())
    steps_were_made_once(tmp_path, settings, repeated=2)


def test_two_sweeps_on_one_folder_share_the_work(tmp_path):
    settings = grid(8, steps=4, pause=0.03, meets=2)
    both = [started(tmp_path, settings) for _ in range(2)]
    assert [finished(process) for process in both] == [expected(settings)] * 2
    assert count(tmp_path, "begin") == dict.fromkeys(range(8), 1)
    steps_were_made_once(tmp_path, settings)
    assert len(processes(tmp_path)) == 2  # both took part


def test_where_one_of_two_sweeps_is_killed_the_other_does_all(tmp_path):
    settings = grid(6, steps=10, pause=0.03, meets=2)
    both = [started(tmp_path, settings) for _ in range(2)]
    until(lambda: len(processes(tmp_path)) == 2)
    assert "running" in sweep.status(settings_of(tmp_path)).values()
    killed, other = sorted(both, key=lambda p: p.pid != int(notes(tmp_path, "begin")[-1][2]))
    killed.kill()
    killed.communicate()
    assert finished(other) == expected(settings)
    steps_were_made_once(tmp_path, settings, repeated=1)
    assert sum(count(tmp_path, "begin").values()) in (6, 7)  # 6 if it was killed between two settings


def test_status_tells_what_became_of_every_setting(tmp_path):
    settings = grid(3)
    settings["x=1"]["fails"] = True
    over(tmp_path, settings)
    stopped = directory(tmp_path, 2)
    (stopped / "results.npz").unlink()
    (settings_of(tmp_path) / "a file").touch()
    names = [directory(tmp_path, x).name for x in range(3)]
    words = ["done", "failed: ValueError: x=1 is a bad one"]
    assert sweep.status(settings_of(tmp_path)) == dict(zip(names, [*words, "stopped"], strict=True))
    with filelock.FileLock(stopped / ".lock"):
        assert sweep.status(settings_of(tmp_path)) == dict(zip(names, [*words, "running"], strict=True))


# ---- disks ------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here; needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def over_on(disk, folder, settings, jobs=1):
    place = workplace.Workplace(disk / "out" / "checkpoints", str(folder), measures.SOFTWARE, jobs=jobs)
    with workplace.at(place):
        return sweep.over(measures.measure, settings, figure="squares")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_one_line_a_setting_and_what_is_finished_stays(small_disk, tmp_path, jobs, capfd):
    settings = grid(6, size=8_000)  # 64 kB each
    found = over_on(small_disk, tmp_path, settings, jobs)
    assert 1 <= len(found.failed) < 6
    lines = [line for line in capfd.readouterr().err.splitlines() if " failed: " in line]
    assert len(lines) == len(found.failed)
    for line in lines:
        assert "cannot write" in line and "No space left on device; point --out_dir" in line
    done = {n: t for n, t in found.tasks.items() if n not in found.failed}
    assert squares(sweep.Sweep(done, {})) == {n: settings[n]["x"] ** 2 for n in done}
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    found = over_on(small_disk, tmp_path, settings, jobs)
    assert found.failed == {} and squares(found) == expected(settings)
    assert all(count(tmp_path, "begin")[settings[name]["x"]] == 1 for name in done)


def test_a_full_disk_that_is_only_pretended_loses_nothing_finished(tmp_path, monkeypatch, capfd):
    settings = grid(4)
    fsync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) > 6:  # two settings write three files each
            raise OSError(28, "No space left on device")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", full)
    found = over(tmp_path, settings)
    assert list(found.failed) == ["x=2", "x=3"] and "No space left on device" in found.failed["x=2"]
    monkeypatch.undo()
    assert squares(over(tmp_path, settings)) == expected(settings)
    assert count(tmp_path, "begin") == {0: 1, 1: 1, 2: 1, 3: 1}  # full before x=2 could begin


def test_results_that_are_there_are_done_even_if_nothing_more_can_be_written(tmp_path, monkeypatch):
    write = store.write_json

    def full(path, value):
        if "seconds" in value:
            raise UsageError(f"cannot write {path}: No space left on device")
        write(path, value)

    monkeypatch.setattr(store, "write_json", full)
    found = over(tmp_path, grid(1))
    assert found.failed == {} and squares(found) == {"x=0": 0}


def test_a_folder_that_cannot_be_is_one_line(tmp_path, capfd):
    (tmp_path / "file").touch()
    found = over_on(tmp_path / "file", tmp_path, grid(2))
    assert list(found.failed) == ["x=0", "x=1"] and notes(tmp_path, "begin") == []
    lines = capfd.readouterr().err.splitlines()[-2:]
    for x, line in enumerate(lines):
        assert line.startswith(f"squares: x={x} failed: cannot write {tmp_path / 'file'}")
        assert line.endswith("Not a directory; point --out_dir at a folder with room.")


def test_a_disk_that_is_only_read_gives_what_it_has_and_one_line_a_setting(small_disk, tmp_path, capfd):
    settings = grid(3)
    settings["x=1"]["fails"] = True
    over_on(small_disk, tmp_path, {name: settings[name] for name in ("x=0", "x=1")})
    (tmp_path / "mended").touch()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = over_on(small_disk, tmp_path, settings)
    assert list(found.failed) == ["x=1", "x=2"] and found.arrays("x=0")["square"][0] == 0
    assert all("Read-only file system; point --out_dir" in line for line in found.failed.values())
    states = sweep.status(small_disk / "out" / "squares" / "settings").values()
    assert sorted(states) == ["done", "failed: ValueError: x=1 is a bad one"]
    assert count(tmp_path, "begin") == {0: 1, 1: 1}


# ---- many -------------------------------------------------------------------------------------------


MANY = """
import sys, tracemalloc
from reproductions.bench import store, sweep
from tests.reproductions import measures

loads, load = [], store.load
store.load = lambda *given: loads.append(given[0]) or load(*given)
settings = measures.grid(int(sys.argv[2]), size=int(sys.argv[3]))
tracemalloc.start()
found = measures.over(sys.argv[1], settings)
print(tracemalloc.get_traced_memory()[1], len(loads), len(found.failed))
"""


def test_memory_and_work_grow_no_faster_than_the_settings(tmp_path):
    """Nothing of 100 results of 1 MB is kept; each is read once or twice."""

    def swept(n, size):
        command = [sys.executable, "-c", MANY, str(tmp_path / f"{n} {size}"), str(n), str(size)]
        (tmp_path / f"{n} {size}").mkdir()
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return map(int, run.stdout.split())

    few, loads, failed = swept(10, 125_000)
    many, more_loads, more_failed = swept(60, 125_000)
    assert failed == more_failed == 0
    assert many < few + 5e6
    assert more_loads <= 6 * loads <= 6 * 2 * 10


# ---- on clusters ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask():
    """The address of a real Dask cluster of two processes."""
    distributed = pytest.importorskip("distributed", reason="needs Dask; pip install 'wedges[dask]'")
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**how) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_measures_each_setting_once_though_a_worker_is_killed(dask, tmp_path):
    import distributed

    settings = grid(5, steps=6, pause=0.05)
    clients = lambda: [c for c in distributed.Client._instances if c.status == "running"]
    before = len(clients())
    kill = lambda: kill_worker_of(tmp_path, 0)
    with meanwhile(lambda: count(tmp_path, "step").get(0, 0) > 2, kill):
        found = over(tmp_path, settings, backend="dask", address=dask)
    assert found.failed == {} and squares(found) == expected(settings)
    steps_were_made_once(tmp_path, settings, repeated=1)
    assert len(processes(tmp_path)) > 1 and os.getpid() not in processes(tmp_path)
    assert len(clients()) == before
    begun = len(notes(tmp_path, "begin"))
    assert squares(over(tmp_path, settings, backend="dask", address=dask)) == expected(settings)
    assert len(notes(tmp_path, "begin")) == begun


def test_what_fails_on_a_dask_cluster_is_one_line_and_stops_no_other(dask, tmp_path, capfd):
    settings = grid(4)
    settings["x=2"]["fails"] = True
    found = over(tmp_path, settings, backend="dask", address=dask)
    assert found.failed == {"x=2": "ValueError: x=2 is a bad one"}
    assert "squares: x=2 failed: ValueError: x=2 is a bad one" in capfd.readouterr().err
    (tmp_path / "mended").touch()
    assert squares(over(tmp_path, settings, backend="dask", address=dask)) == expected(settings)


def test_a_dask_that_is_started_here_leaves_the_environment_as_it_was(tmp_path):
    """OMP_NUM_THREADS, which it sets for its workers, is in the key of this process's own numbers."""
    pytest.importorskip("distributed")
    before = dict(os.environ)
    with parallel.backend(place_in(tmp_path, backend="dask", jobs=1)):
        os.environ["OMP_NUM_THREADS"] = "1"  # also where an earlier one has done so
    assert dict(os.environ) == before


def test_dask_gives_up_a_setting_that_kills_its_workers_and_joblib_hears_of_it(tmp_path, monkeypatch):
    """joblib alone would wait for ever. To be quick, Dask gives up after one worker, not four, and the
    sweep after two losses. Without an address, the cluster is started here and ends."""
    monkeypatch.setattr(sweep, "_LOSSES", 2)
    dask = pytest.importorskip("dask", reason="needs Dask; pip install 'wedges[dask]'")
    pytest.importorskip("distributed", reason="needs Dask; pip install 'wedges[dask]'")
    settings = grid(3, steps=2, pause=0.02)
    settings["x=1"] = {"x": 1, "kills": True}
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        found = over(tmp_path, settings, backend="dask", jobs=2)
    assert list(found.failed) == ["x=1"]
    assert found.failed["x=1"].startswith("its worker was lost, 2 times: KilledWorker: ")
    assert count(tmp_path, "end") == {0: 1, 2: 1}
    assert os.getpid() not in processes(tmp_path)
    until(lambda: not any(map(alive, processes(tmp_path))), seconds=5)


@pytest.fixture(scope="module")
def ray():
    """The address of a real Ray cluster with two cores, which `ray start` keeps."""
    pytest.importorskip("ray", reason="needs Ray; pip install 'wedges[ray]'")
    import socket
    import tempfile

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        program = str(pathlib.Path(sys.executable).parent / "ray")
        flags = ["--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        with open(f"{folder}/log", "w+") as log:
            process = subprocess.Popen(
                [program, "start", *flags, "--disable-usage-stats", f"--temp-dir={folder}"],
                stdout=log,
                stderr=log,
                env=environment,
            )
            try:
                read = lambda: pathlib.Path(log.name).read_text()
                until(lambda: "runtime started" in read() or process.poll() is not None, seconds=90)
                if process.poll() is not None:
                    pytest.skip(f"`ray start` does not work here: {read().splitlines()[-1:]}")
                yield f"127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(30)


@pytest.mark.slow
def test_a_ray_cluster_is_reached_by_its_address(ray, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = over(tmp_path, grid(4), backend="ray", address=ray)
    assert found.failed == {} and squares(found) == expected(grid(4))
    assert os.getpid() not in processes(tmp_path)


@pytest.mark.slow
def test_a_ray_that_is_started_here_goes_on_after_a_kill_and_ends_with_the_sweep(tmp_path):
    ray = pytest.importorskip("ray", reason="needs Ray; pip install 'wedges[ray]'")
    settings = grid(5, steps=6, pause=0.05)
    settings["x=3"]["fails"] = True
    kill = lambda: kill_worker_of(tmp_path, 0)
    with meanwhile(lambda: count(tmp_path, "step").get(0, 0) > 2, kill, seconds=120):
        found = over(tmp_path, settings, backend="ray", jobs=2)
    assert found.failed == {"x=3": "ValueError: x=3 is a bad one"}
    done = {n: t for n, t in found.tasks.items() if n != "x=3"}
    assert squares(sweep.Sweep(done, {})) == {"x=0": 0, "x=1": 1, "x=2": 4, "x=4": 16}
    steps_were_made_once(tmp_path, {n: settings[n] for n in done}, repeated=2)
    assert not ray.is_initialized() and os.getpid() not in processes(tmp_path)
    until(lambda: not any(map(alive, processes(tmp_path))), seconds=10)


# ---- bad input --------------------------------------------------------------------------------------

BAD = [
    (["--lr=-1"], "--lr=-1: must be above 0"),
    (["--lr=abc"], "--lr=abc: must be a number or several with commas"),
    (["--dropout=1"], "--dropout=1: must be from 0 to below 1"),
    (["--l2=-1e-3"], "--l2=-1e-3: must be at least 0"),
    (["--directions=1"], "--directions=1: must be at least 2"),
    (["--multiple=1"], "--multiple=1: must be above 1"),
    (["--hyperparameter=foo"], "--hyperparameter=foo: choose from all, lr, l2, dropout"),
    (["--backend=foo"], "--backend=foo"),
    (["--backend=dask", "--address=tcp://127.0.0.1:9"], "--address=tcp://127.0.0.1:9: no Dask|needs D"),
    (["--backend=dask", "--address=nowhere"], "--address=nowhere: no Dask scheduler answers|needs Dask"),
    (
        ["--backend=ray", "--address=127.0.0.1:9"],
        "--address=127.0.0.1:9: no Ray cluster answers|needs R",
    ),
    (["--jobs=0"], "--jobs=0"),
    (["--jobs=two"], "--jobs=two: must be a whole number"),
    (["--strategy=mirrored", "--jobs=2"], "--jobs=2: only with --strategy=default"),
]


@pytest.mark.parametrize(("flags", "words"), BAD)
def test_bad_input_is_one_line_status_two_and_nothing_written(flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(fig5_widths.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("fig5_widths: ") and any(w in printed.err for w in words.split("|"))
    assert not list((tmp_path / "runs").glob("*/*"))


def test_an_out_dir_below_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        runs.main(fig5_widths.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'file' / 'runs'}"])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "--out_dir" in printed.err


def test_a_sweep_is_not_shared_among_the_workers_of_one_training(tmp_path):
    with pytest.raises(UsageError, match="--strategy=multi_worker: not with a sweep"):
        over(tmp_path, grid(1), strategy="multi_worker")
