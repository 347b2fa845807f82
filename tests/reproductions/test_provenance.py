"""What is said of the software and the machine: what can change the bits of a number, and when."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from reproductions.bench import provenance, store


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)


def test_jobs_are_in_the_key_by_the_threads_that_each_process_has():
    threads = {jobs: provenance.software(jobs=jobs)["threads"] for jobs in (1, 2, 3, 4, 9)}
    assert threads == {1: 4, 2: 2, 3: 1, 4: 1, 9: 1}
    keys = {jobs: store.digest(provenance.software(jobs=jobs)) for jobs in threads}
    assert len({keys[1], keys[2], keys[3]}) == 3 and keys[3] == keys[4] == keys[9]


def test_what_a_user_sets_is_in_the_key(monkeypatch):
    before = store.digest(provenance.software())
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "3")
            assert store.digest(provenance.software()) != before
    assert store.digest(provenance.software(strategy="mirrored")) != before


def test_a_clusters_own_machines_find_one_anothers_results():
    far = {"backend": "dask", "address": "tcp://10.0.0.1:8786"}
    assert provenance.software(**far)["threads"] == "of each machine"
    assert provenance.software(strategy="multi_worker")["threads"] == "of each machine"


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="Linux alone says it")
def test_the_memory_of_a_worker_that_still_lives_counts():
    """As loky's do when a run ends. 400 MiB are more than this process ever starts with."""
    before = provenance.memory()["memory_mib"]
    hold = "x = bytearray(400 * 2**20); x[::4096] = b'1' * len(x[::4096]); print('held'); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline().strip() == b"held"
        assert max(before, 400) <= provenance.memory()["memory_mib"] < max(before, 450) + 10
        child.stdin.close()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_a_commit_is_that_of_our_own_checkout_and_says_whether_files_have_changed(tmp_path):
    inside = tmp_path / "installed below it"
    inside.mkdir()
    assert provenance.commit(tmp_path) is None
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git = lambda *words: subprocess.run(
        ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True
    )
    git("init")
    assert provenance.commit(tmp_path) is None  # nothing is committed yet
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "one")
    found = provenance.commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{10}", found) and provenance.commit(inside) is None
    (tmp_path / "new.py").write_text("1")
    assert provenance.commit(tmp_path) == found
    (tmp_path / "a.py").write_text("2")
    assert provenance.commit(tmp_path) == f"{found}+"


def test_a_record_says_when_and_from_which_commit(monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789")
    made = provenance.record("fig", ["--preset=smoke"], {}, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"]) and re.match(r"\d\d:\d\d ", made["time"])
    assert made["commit"] == "0123456789"
    assert made["command"] == "python -m reproductions.fig --preset=smoke"
