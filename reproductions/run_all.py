"""Every figure, one after the other, and then one page that shows them all.

Each figure is a process of its own: one that fails or is killed does not stop the others. Kill it at
any moment; the same command continues. A figure that is finished only draws again. While one runs, a
line says for how long, what may be left of it and of all, and what it does. The last line that is
printed is the path of the page: see `python -m reproductions.report --help`.

    python -m reproductions.run_all --preset=quick                 a quarter of an hour on two cores
    python -m reproductions.run_all                                the full runs, a day
    python -m reproductions.run_all --write_reference              the same, and record what they found
    python -m reproductions.run_all --only=fig1_wedges,toy_cut --check

Exit status: 0 when every figure ran, 1 when one failed or, with --check, when a claim fails.
"""

import codecs
import contextlib
import ctypes
import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import sys
import termios
import threading
import tty

from reproductions import report
from reproductions.bench import (
    ahead,
    catalogue,
    flags,
    options,
    runs,
    verdicts,
    watching,
    wording,
)
from reproductions.bench.errors import UsageError, say
from wedges import archive

_PASSED_ON = ("preset", "out_dir", "data_dir", "note", "strategy", "tpu", "jobs", "backend", "address")
_PASSED_ON += ("format", "dpi", "style", "write_reference")


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
        "write_reference": "record what each figure finds as the reference of its preset",
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
    runs.can_write(values.out_dir)
    passed_on = [f"--{n}={values[n].value}" for n in _PASSED_ON if values[n].value not in (None, False)]

    failed, checks, colour = {}, [], verdicts.coloured(sys.stdout)
    expected = {figure: _expected(figure, values) for figure in chosen}
    for figure, seconds, status, printed, errors in _in_turn(expected, passed_on):
        took, check = wording.duration(seconds), _check(printed) if status == 0 else None
        if check is None:
            failed[figure] = _reason(figure, status, errors)
            _print(f"    failed after {took}")
        else:
            checks.append(check)
            _print(*_told(check, took, colour), f"    {printed[-1]}")
        # The page grows with every figure: whoever stops here has one already.
        found = report.find(values.out_dir, values.preset)
        page = report.write(found, failed=failed)

    report.tell(found)
    ran = f"{len(checks)} of {len(chosen)} figures ran"
    _print(*verdicts.wrapped(f"{ran}; {verdicts.counted([c for k in checks for c in k['claims']])}"))
    if compared := [k["reference"] for k in checks if k["reference"]]:
        both = {name: sum(c[name] for c in compared) for name in ("numbers", "agree")}
        _print(*verdicts.wrapped(verdicts.agreement(both, values.preset)))
    for figure, why in failed.items():
        say(f"failed: {figure}: {why}")
    print(page)
    unconvinced = values.check and not all(k["passed"] for k in checks)
    return 1 if failed or unconvinced else 0


def _in_turn(expected, flags):
    """Measure each figure of {figure: seconds that it may take}, and say which: (figure, seconds, exit
    status, its lines on standard output, on standard error)."""
    chosen, outlook, following = list(expected), watching.Outlook(expected), _Ahead(flags)
    try:
        for i, figure in enumerate(chosen, 1):
            head = f"{i} of {len(chosen)}"
            _print(*verdicts.wrapped(f"{head}  {figure}  {catalogue.title(figure)}"))
            with watching.Line(f"{head}  {figure}", figure, outlook).shown() as line:
                begun = following.taken(figure)
                # What is finished needs none of the imports.
                following.start(next((f for f in chosen[i:] if expected[f] != 0.0), None))
                found = _measure(figure, flags, line.feed, begun)
            yield figure, line.elapsed, *found
    finally:
        following.end()


def _print(*lines):
    print(*lines, sep="\n", flush=True)


def _expected(figure, values):
    """Seconds that a figure may take: none if its results are there."""
    module = catalogue.module(figure)
    config, _ = options.make(module.Config, values.preset, {})
    there = (runs.folder_of(module, values, config) / "results.npz").exists()
    return 0.0 if there else watching.usual(figure, values.preset)


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


# ---- one figure, in a process of its own ------------------------------------------------------------


def _measure(figure, flags, show=None, begun=None):
    """Run a figure's program: exit status, its lines on standard output and on standard error. `show` is
    called with what comes on the latter, as it comes; `begun`: its process, if it was started ahead."""
    process, reading = begun or _started(figure, flags)
    printed, errors = [], []
    readers = [
        threading.Thread(target=_read, args=(process.stdout.fileno(), printed)),
        threading.Thread(target=_read, args=(reading, errors, show)),
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
        os.close(reading)
        process.stdout.close()
    return process.returncode, _lines(printed), _lines(errors)


def _started(figure, flags, go=None):
    """A figure's process, and where its standard error can be read. `go`: the end of a pipe that it
    waits at."""
    reading, writing = _terminal()
    waits = {} if go is None else {ahead.GO: str(go)}
    process = subprocess.Popen(
        [sys.executable, "-m", f"reproductions.{figure}", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writing,
        env={**os.environ, watching.WATCHED: "1", **waits},
        pass_fds=() if go is None else (go,),
        start_new_session=True,  # with its workers it is a group, which can be ended as one
        preexec_fn=_die_with_parent,
    )
    os.close(writing)
    return process, reading


class _Ahead:
    """The process of the figure that comes next, which starts while another one runs."""

    def __init__(self, flags):
        self._flags, self._figure = flags, None

    def start(self, figure):
        """Start this figure's process up to where it waits; None: there is no further one."""
        if figure is None or figure == self._figure:
            return
        waits_at, self._go = os.pipe()
        self._begun = _started(figure, self._flags, waits_at)
        os.close(waits_at)
        self._figure = figure

    def taken(self, figure):
        """The process of this figure, told to go on, with where to read it; None where it is not the one
        that was started."""
        if figure != self._figure:
            return None
        self._figure = None
        with contextlib.suppress(BrokenPipeError):  # it has failed already, and will say so
            os.write(self._go, b"1")
        os.close(self._go)
        return self._begun

    def end(self):
        """End the process that waits, if there is one."""
        if self._figure is None:
            return
        process, reading = self._begun
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for descriptor in (self._go, reading):
            os.close(descriptor)
        process.stdout.close()
        self._figure = None


def _terminal():
    """Two ends of what a figure takes for a terminal, so that its bars move; of a pipe where there is no
    terminal to be had."""
    try:
        reading, writing = os.openpty()
        tty.setraw(writing)  # what is written comes out as it is
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("4H", 24, 60, 0, 0))
    except OSError:
        return os.pipe()
    return reading, writing


def _read(descriptor, parts, show=None):
    """Collect what comes out of a pipe, or a terminal, as it comes, and show it."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    with contextlib.suppress(OSError):  # how a terminal ends on Linux
        while data := os.read(descriptor, 2**16):
            parts.append(decode(data))
            if show:
                show(parts[-1])


def _lines(parts):
    return "".join(parts).splitlines()


def _die_with_parent():
    """In the figure's process: be killed when this program is, however it ends. Linux only."""
    if _PRCTL:
        _PRCTL(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


_PRCTL = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


# ---- what it said -----------------------------------------------------------------------------------


_CLAIM = {
    "id": str,
    "statement": str,
    "measured": (float, None),
    "relation": str,
    "expected": float,
    "passed": bool,
    "verdict": str,
    "at_paper": str,
}
_CHECK = {
    "passed": bool,
    "judged": bool,
    "preset": str,
    "reference": ({"numbers": int, "agree": int, "differs": [str]}, None),
    "claims": [_CLAIM],
}


def _check(printed):
    """The check.json of the run whose folder is the last line; None without."""
    try:
        return archive.read_json(pathlib.Path(printed[-1]) / "check.json", _CHECK)
    except (IndexError, OSError, archive.Damaged):
        return None


def _told(check, took, colour):
    """Lines about a figure that has run: how many claims hold, which fail where that says something of
    the paper, and whether the numbers are the reference's."""
    lines = verdicts.wrapped(f"{verdicts.counted(check['claims'])}; {took}", "    ")
    for claim in check["claims"]:
        if check["judged"] and not claim["passed"]:
            number = "no number" if claim["measured"] is None else f"{claim['measured']:.4g}"
            bound = f"{claim['relation']} {claim['expected']:.4g}"
            text = f"FAILS  {claim['id']}: {claim['statement']}: {number}, wanted {bound}"
            fails = verdicts.wrapped(text, "    ")
            lines += [verdicts.paint(line, claim["verdict"], colour) for line in fails]
    compared = check["reference"]
    for words in compared["differs"] if compared else ():
        lines += verdicts.wrapped(f"differs  {words}", "    ")
    return lines + verdicts.wrapped(verdicts.agreement(compared, check["preset"]), "    ")


def _reason(figure, status, errors):
    """Why it failed, in one line: the last it said, without a progress bar before it."""
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (out of memory, or killed by someone)" if name == "SIGKILL" else ""
        return f"ended by {name}{hint}"
    own = f"{figure}: "
    words = [line.strip() for line in errors if line.strip()]
    last = next((line for line in reversed(words) if own in line), words[-1] if words else "")
    said = last.rpartition(own)[2]
    return said or f"exit status {status}"


if __name__ == "__main__":
    main()
