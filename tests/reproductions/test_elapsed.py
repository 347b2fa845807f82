"""What a run took, over all of its parts."""

import json
import time

import pytest

from reproductions.bench import elapsed, provenance
from reproductions.bench.errors import UsageError

KEY = {"figure": "fig", "config": {"seed": 0}}


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(provenance, "memory", lambda: {"memory_mib": 7})
    monkeypatch.setattr(elapsed, "EVERY", 0.001)
    return now


def killed(path, clock, seconds, key=KEY, cause=KeyboardInterrupt):
    """A part of a run that takes so long, is written down, and does not end."""
    with pytest.raises(cause), elapsed.counted(path, key) as took:
        clock[0] += seconds
        end = time.time() + 60
        while time.time() < end:
            try:
                if json.loads(path.read_text())["seconds"] == took()["seconds"]:
                    break
            except OSError:
                time.sleep(0.001)
        raise cause


def test_parts_of_one_run_add_up_and_the_file_goes_at_its_end(tmp_path, clock):
    path = tmp_path / "elapsed.json"
    killed(path, clock, 30.0)
    clock[0] += 1000.0  # nothing runs
    killed(path, clock, 12.5)
    with elapsed.counted(path, KEY) as took:
        clock[0] += 2.0
    assert took() == {"seconds": 44.5, "parts": 3, "memory_mib": 7}
    assert not path.exists()
    with elapsed.counted(path, KEY) as took:
        pass
    assert took()["seconds"] == 0.0 and took()["parts"] == 1


@pytest.mark.parametrize("spoiled", ["", "[]", '{"key": "x"}', '{"key": 1, "seconds": "long"}'])
def test_another_run_and_a_file_that_cannot_be_read_begin_at_nothing(tmp_path, clock, spoiled):
    path = tmp_path / "elapsed.json"
    killed(path, clock, 30.0)
    with elapsed.counted(path, {**KEY, "config": {"seed": 1}}) as took:
        clock[0] += 1.0
    assert took()["seconds"] == 1.0
    path.write_text(spoiled)
    with elapsed.counted(path, KEY) as took:
        clock[0] += 1.0
    assert took()["seconds"] == 1.0


def test_what_is_refused_leaves_no_file_and_a_later_part_keeps_that_of_the_earlier(tmp_path, clock):
    path = tmp_path / "elapsed.json"
    killed(path, clock, 30.0, cause=UsageError)
    assert not path.exists()
    killed(path, clock, 30.0)
    killed(path, clock, 5.0, cause=UsageError)
    with elapsed.counted(path, KEY) as took:
        pass
    assert took()["seconds"] == 35.0


def test_a_process_that_writes_nothing_counts_itself(tmp_path, clock):
    with elapsed.counted(tmp_path / "elapsed.json", KEY, keeps=False) as took:
        clock[0] += 3.0
    assert took()["seconds"] == 3.0 and not any(tmp_path.iterdir())


def test_what_cannot_be_written_down_does_not_end_a_run(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with elapsed.counted(tmp_path / "file" / "elapsed.json", KEY) as took:
        clock[0] += 1.0
        time.sleep(0.01)
    assert took()["seconds"] == 1.0
