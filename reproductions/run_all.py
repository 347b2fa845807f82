"""Every figure, one after the other, and then one page that shows them all.

Each figure is a process of its own: one that fails or is killed does not stop the others. Kill it at
any moment; the same command continues. A figure that is finished only draws again. The last line is the
path of the page: see `python -m reproductions.report --help`.

    python -m reproductions.run_all --preset=quick                 a quarter of an hour on two cores
    python -m reproductions.run_all                                the full runs, an afternoon
    python -m reproductions.run_all --only=fig1_wedges,toy_cut --check

Exit status: 0 when every figure ran, 1 when one failed or, with --check, when a claim fails.
"""

import codecs
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from reproductions import report
from reproductions.bench import catalogue, flags, runs, store
from reproductions.bench.errors import UsageError, say
from wedges import archive

_PASSED_ON = ("preset", "out_dir", "data_dir", "note", "strategy", "tpu", "jobs", "backend", "address")
_PASSED_ON += ("format", "dpi", "style")


def main(argv=None):
    """Run the figures; ends the process with its exit status."""
    runs.program("run_all", run, argv)


def run(argv):
    """Run the figures, write the page, print its path. Returns the exit status."""
    own = {
        "only": "figures to run, with commas, e.g. --only=fig1_wedges,toy_cut; by default all: "
        + ", ".join(catalogue.FIGURES),
        "preset": "size of every run: smoke (seconds), quick (about a minute each on two cores), paper "
        "(the full ones, minutes to an hour each)",
        "out_dir": "folder for run directories, checkpoints and the page, report-<preset>.html",
        "check": "exit with status 1 if a claim of any figure fails, or if one makes none",
        "strategy": "where to train: default is a GPU where TensorFlow sees one, else the CPU; mirrored "
        "shares each batch among this machine's GPUs, tpu among a TPU's cores; multi_worker only with "
        "one figure at a time",
    }
    values = flags.parse("run_all", f"{__doc__.strip()}\n\nFlags:", argv, _PASSED_ON, own)
    if values.strategy == "multi_worker":  # after a failure the machines would be at different figures
        raise UsageError(
            "--strategy=multi_worker: start the figures one by one, on every machine the same, e.g. "
            "python -m reproductions.fig6_swa --strategy=multi_worker."
        )
    chosen = _chosen(values.only)
    _can_write(values.out_dir)
    passed_on = [f"--{n}={values[n].value}" for n in _PASSED_ON if values[n].value is not None]

    failed, held = {}, []
    for i, figure in enumerate(chosen, 1):
        print(f"{i} of {len(chosen)}  {figure}  {catalogue.title(figure)}", flush=True)
        started = time.monotonic()
        status, printed, errors = _measure(figure, passed_on)
        took = report.duration(time.monotonic() - started)
        verdict = _verdict(printed) if status == 0 else None
        if verdict is None:
            failed[figure] = _reason(figure, status, errors)
            print(f"    failed after {took}", flush=True)
        else:
            held.append([c["passed"] for c in verdict])
            words = report.verdict(sum(held[-1]), len(held[-1]))
            print(f"    {words}, {took}  {printed[-1]}", *_remarks(printed), sep="\n    ", flush=True)
        # The page grows with every figure: whoever stops here has one already.
        found = report.find(values.out_dir, values.preset)
        page = report.write(found, failed=failed)

    report.tell(found)
    claims = report.verdict(sum(map(sum, held)), sum(map(len, held)))
    print(f"{len(held)} of {len(chosen)} figures ran; {claims}", flush=True)
    for figure, why in failed.items():
        say(f"failed: {figure}: {why}")
    print(page)
    unconvinced = values.check and not all(h and all(h) for h in held)
    return 1 if failed or unconvinced else 0


def _chosen(only):
    """The figures that --only names, in the story's order."""
    if only is None:
        return catalogue.FIGURES
    wanted = only.split(",")
    for name in wanted:
        if name not in catalogue.FIGURES:
            raise UsageError(
                f"--only={only}: no figure {name!r}; choose from {', '.join(catalogue.FIGURES)}."
            )
    return [f for f in catalogue.FIGURES if f in wanted]


def _can_write(out_dir):
    """Raise UsageError now rather than once a figure."""
    folder = pathlib.Path(out_dir).expanduser()
    try:
        with store.tidy(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as error:
        raise UsageError(
            f"--out_dir={out_dir}: cannot write there ({error.strerror}); name a folder with room."
        ) from None


# ---- one figure, in a process of its own ------------------------------------------------------------


def _measure(figure, flags):
    """Run a figure's program: exit status, its lines on standard output and on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"reproductions.{figure}", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # with its workers it is a group, which can be ended as one
        preexec_fn=_die_with_parent,
    )
    printed, errors = [], []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, printed)),
        threading.Thread(target=_read, args=(process.stderr, errors, sys.stderr)),
    ]
    try:  # from here on an interrupt ends the figure, too
        for reader in readers:
            reader.start()
        process.wait()
    except KeyboardInterrupt:  # it has not had the terminal's: it is in a session of its own
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also workers that outlive it
        process.wait()
        for reader in readers:
            if reader.ident is not None:  # an interrupt can come before it starts
                reader.join()
    return process.returncode, _lines(printed), _lines(errors)


def _read(pipe, parts, show=None):
    """Collect what comes out of a pipe as it comes, and show it."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while data := pipe.read1():
        parts.append(decode(data))
        if show:
            show.write(parts[-1])
            show.flush()
    pipe.close()


def _lines(parts):
    return "".join(parts).splitlines()


def _die_with_parent():
    """In the figure's process: be killed when this program is, however it ends. Linux only."""
    if _PRCTL:
        _PRCTL(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


_PRCTL = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


# ---- what it said -----------------------------------------------------------------------------------


def _verdict(printed):
    """The claims in the check.json of the run whose folder is the last line; None without."""
    try:
        check = pathlib.Path(printed[-1]) / "check.json"
        return archive.read_json(check, {"claims": [{"passed": bool}]})["claims"]
    except (IndexError, OSError, archive.Damaged):
        return None


def _remarks(printed):
    """The lines that say what is not as it should be."""
    return [line for line in printed if line.startswith(("FAILS", "differs"))]


def _reason(figure, status, errors):
    """Why it failed, in one line: the last it said, without a progress bar before it."""
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (out of memory, or killed by someone)" if name == "SIGKILL" else ""
        return f"ended by {name}{hint}"
    last = next((line.strip() for line in reversed(errors) if line.strip()), "")
    said = last.rpartition(f"{figure}: ")[2]
    return said or f"exit status {status}"


if __name__ == "__main__":
    main()
