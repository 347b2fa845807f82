"""All figures in one command: killed, continued, repeated, with one that fails."""

import contextlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from reproductions import run_all
from reproductions.bench import catalogue

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("toy_cut", "toy_probe")
PROGRAM = f"""
import sys
from reproductions.bench import catalogue
from reproductions import run_all
catalogue.FIGURES = {SMALL}
run_all.main(sys.argv[1:])
"""


@pytest.fixture(autouse=True, scope="module")
def _few_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "FIGURES", SMALL)
        yield


def start(out, *flags):
    """The program in a process of its own, as from a terminal."""
    command = [sys.executable, "-c", PROGRAM, "--preset=smoke", f"--out_dir={out}", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job has Ctrl-C ignored, and hands that on.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=ROOT, preexec_fn=heed, **pipes)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def children(pid):
    """Processes whose parent is `pid`."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


def alive(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def finish(out, *flags):
    """The program to its end, here: exit status and printed lines."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = run_all.run(["--preset=smoke", f"--out_dir={out}", *flags])
    return status, printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def continued(tmp_path_factory):
    """Killed with kill -9 while the first figure measures, then run again: what the first left, its
    figure's process, the out_dir, the second's status and lines."""
    out = tmp_path_factory.mktemp("runs")
    killed = start(out)
    until(lambda: list(out.glob("toy_cut/smoke-*/config.json")))
    figures = children(killed.pid) if os.path.isdir("/proc") else []
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = sorted(p.name for p in out.glob("toy_cut/smoke-*/*"))
    return left, figures, out, *finish(out)


def results(out):
    return {p: p.stat().st_mtime_ns for p in out.glob("*/*/results.npz")}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent on Linux")
def test_a_killed_one_takes_its_figure_with_it(continued):
    left, figures, *_ = continued
    assert left == ["config.json"] and len(figures) == 2  # that of the next figure waits
    until(lambda: not any(map(alive, figures)), seconds=30)


def test_the_same_command_continues_and_shows_everything(continued):
    *_, out, status, lines = continued
    assert status == 0
    text = " ".join(" ".join(lines).split())  # as it was before it was wrapped
    held = total = same = 0
    for i, figure in enumerate(SMALL, 1):
        assert f"{i} of 2 {figure} {catalogue.title(figure)}" in text
        folder = next((out / figure).glob("smoke-*"))
        check = json.loads((folder / "check.json").read_text())
        passed, claims = sum(c["passed"] for c in check["claims"]), len(check["claims"])
        small = f"; {claims - passed} too small to judge (at the paper preset {claims - passed} hold)"
        numbers = check["reference"]["numbers"]
        agree = f"checked the code: {numbers} of {numbers} numbers as on the reference machine"
        words = re.escape(f"{passed} of {claims} claims hold{small if passed < claims else ''}; ")
        took = r"[0-9.]+ (s|min)"
        assert re.search(rf"{words}{took} {agree} \(preset smoke\) {re.escape(str(folder))}", text)
        held, total, same = held + passed, total + claims, same + numbers
    assert "FAILS" not in text and held < total  # the preset is too small to say so
    assert (
        f"2 of 2 figures ran; {held} of {total} claims hold; {total - held} too small to judge" in text
    )
    assert f"{same} of {same} numbers as on the reference machine (preset smoke) {out}" in text
    assert lines[-1] == f"{out}/report-smoke.html" and max(map(len, lines[:-1])) <= 100 + len(str(out))
    page = (out / "report-smoke.html").read_text()
    assert page.count("<section") == 2 and "not run" not in page


def test_again_measures_nothing_and_check_says_that_a_claim_fails(continued, capsys):
    *_, out, _, before = continued
    made = results(out)
    status, lines = finish(out, "--check")
    assert status == 1 and results(out) == made and len(made) == 2
    assert capsys.readouterr().err.count("finished before: ") == 2
    assert lines[-1] == before[-1] and lines[-2] == before[-2]


def test_one_that_fails_does_not_stop_the_next(continued, tmp_path, capsys):
    """toy_cut's folder is a file here; toy_probe's run is there already."""
    out = tmp_path / "runs"
    out.mkdir()
    (out / "toy_cut").write_text("in the way")
    (out / "toy_probe").symlink_to(continued[2] / "toy_probe")
    status, lines = finish(out)
    assert status == 1
    told = next(i for i, line in enumerate(lines) if line.startswith("    failed after "))
    assert lines[told + 1].startswith("2 of 2  toy_probe")
    assert any(line.startswith("1 of 2 figures ran; ") for line in lines)
    assert lines[-1] == f"{out}/report-smoke.html"
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.startswith("failed: toy_cut: ") and str(out / "toy_cut") in reason
    page = pathlib.Path(lines[-1]).read_text()
    assert "failed to run" in page and page.count("<section") == 1


def test_an_interrupt_ends_the_figure_too_with_one_line_and_status_130(tmp_path):
    program = start(tmp_path, "--only=toy_cut")
    assert program.stdout.readline().startswith("1 of 1  toy_cut")
    until(lambda: children(program.pid))
    figures = children(program.pid)
    program.send_signal(signal.SIGINT)
    _, error = program.communicate(timeout=120)
    assert program.returncode == 130
    words = "run_all: interrupted; the same command continues from here."
    assert error.splitlines()[-1] == words
    until(lambda: not any(map(alive, figures)))  # one that had just begun ends with its parent


def test_the_next_figure_has_started_and_waits_until_it_is_told(tmp_path):
    """It has written nothing then, and ends when nobody is left to tell it."""
    following = run_all._Ahead(["--preset=smoke", f"--out_dir={tmp_path}"])
    following.start("toy_probe")
    first, _ = following._begun
    following.end()
    assert first.returncode == -signal.SIGKILL and not list(tmp_path.iterdir())
    following.start("toy_probe")
    assert following.taken("toy_cut") is None  # another one than was started
    process, reading = following._begun
    os.close(following._go)  # whoever started it has gone
    assert process.wait(timeout=120) == 130 and not list(tmp_path.iterdir())
    os.close(reading)
    process.stdout.close()


@pytest.mark.parametrize("begun", [0, 1])
def test_an_interrupt_while_a_figure_is_started_ends_it(begun, monkeypatch):
    """It comes when so many of the two threads that read what the figure prints have begun."""
    threads, real, started = [], run_all.threading.Thread.start, []

    def start(thread):
        threads.append(thread)
        if len(threads) > begun:
            raise KeyboardInterrupt
        real(thread)

    popen = run_all.subprocess.Popen
    monkeypatch.setattr(run_all.threading.Thread, "start", start)
    monkeypatch.setattr(
        run_all.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0]
    )
    with pytest.raises(KeyboardInterrupt):
        run_all._measure("toy_cut", ["--preset=smoke"])
    assert started[0].returncode is not None and not any(t.is_alive() for t in threads)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (
            "--only=toy_cut,fig9",
            "--only=toy_cut,fig9: no figure 'fig9'; choose from toy_cut, toy_probe.",
        ),
        ("--only=", "no figure ''; choose from"),
        ("--out_dir=/dev/null/x", "--out_dir=/dev/null/x: cannot write there (Not a directory)"),
        ("--preset=large", "--preset=large"),
        ("--jobs=0", "--jobs=0"),
        ("--tpu=local", "--tpu=local: only with --strategy=tpu"),
        ("--strategy=multi_worker", "--strategy=multi_worker: start the figures one by one"),
        ("--seeds=3", "Unknown command line flag 'seeds'"),
        ("toy_cut", "received 'toy_cut'"),
    ],
)
def test_bad_flags_are_one_line_status_two_and_nothing_runs(tmp_path, flag, words, capsys, monkeypatch):
    monkeypatch.setattr(run_all, "_measure", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as end:
        run_all.main([f"--out_dir={tmp_path / 'runs'}", flag])
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("run_all: ") and words in printed.err
    assert not (tmp_path / "runs").exists()


def test_the_flags_are_passed_on_and_the_order_is_the_storys(tmp_path, monkeypatch, capsys):
    seen = []
    given = lambda figure, flags, show, begun: seen.append((figure, flags)) or (-9, [], [])
    monkeypatch.setattr(run_all, "_measure", given)
    monkeypatch.setattr(run_all._Ahead, "start", lambda self, figure: None)
    flags = ["--data_dir=/d", "--jobs=2", "--note=a 'b'", "--only=toy_probe,toy_cut"]
    status, lines = finish(tmp_path, *flags)
    assert status == 1 and [figure for figure, _ in seen] == list(SMALL)
    wanted = {"--preset=smoke", f"--out_dir={tmp_path}", "--data_dir=/d", "--jobs=2", "--note=a 'b'"}
    usual = {"--backend=local", "--strategy=default", "--format=png", "--style=screen"}
    assert wanted | usual == set(seen[0][1])
    finish(tmp_path, *flags, "--write_reference")
    assert wanted | usual | {"--write_reference=True"} == set(seen[-1][1])
    assert "failed: toy_cut: ended by SIGKILL (out of memory, or killed by someone)" in (
        capsys.readouterr().err
    )
    assert pathlib.Path(lines[-1]).read_text().count("! </span>") == 0  # there is a page all the same


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [
        (2, ["cuts:   0%|  | 0/9 [00:00<?]toy_cut: --k=0: at least 1.", ""], "--k=0: at least 1."),
        (1, ["Traceback", "ValueError: no"], "ValueError: no"),
        (1, [], "exit status 1"),
        (0, [], "exit status 0"),  # no verdict to be read
        (-15, ["anything"], "ended by SIGTERM"),
    ],
)
def test_why_a_figure_failed_in_one_line(status, errors, words):
    assert run_all._reason("toy_cut", status, errors) == words


def test_what_fails_is_told_in_a_preset_that_can_judge_and_breaks_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    claim = {"id": "fig.a", "statement": "how far it is " * 6, "measured": 2.0, "relation": "<"}
    claim |= {"expected": 1.0, "passed": False, "verdict": "fails", "at_paper": "holds"}
    none = {**claim, "id": "fig.b", "measured": None, "verdict": "not measurable"}
    compared = {"numbers": 3, "agree": 2, "differs": ["x: 1.0, reference 2.0 +- 0.1"]}
    check = {"judged": True, "preset": "paper", "reference": compared, "claims": [claim, none]}
    lines = run_all._told(check, "3 s", colour=False)
    assert all(line.startswith("    ") and len(line) <= 70 for line in lines)
    text = " ".join(" ".join(lines).split())
    words = " ".join(["how far it is"] * 6)
    assert f"FAILS fig.a: {words} : 2, wanted < 1" in text
    assert f"FAILS fig.b: {words} : no number, wanted < 1" in text
    assert "differs x: 1.0, reference 2.0 +- 0.1" in text and "2 of 3 numbers" in text
    small = {**check, "judged": False, "claims": [{**claim, "verdict": "too small to judge"}]}
    assert "FAILS" not in " ".join(run_all._told(small, "3 s", colour=False))


def test_what_is_there_is_expected_to_take_no_time(continued, tmp_path):
    from reproductions.bench import flags

    values = lambda out: flags.parse(
        "x", "x", ["--preset=smoke", f"--out_dir={out}"], run_all._PASSED_ON, {}
    )
    assert run_all._expected("toy_cut", values(continued[2])) == 0
    assert run_all._expected("toy_cut", values(tmp_path)) > 1


def test_help_names_units_and_examples(capsys):
    with pytest.raises(SystemExit) as end:
        run_all.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and "--only=fig1_wedges,toy_cut" in text and "Exit status" in text
    assert "smoke (seconds)" in text
