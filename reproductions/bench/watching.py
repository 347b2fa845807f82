"""How far a figure is, or a series of them: one line that moves, however silent the work is.

It says for how long a figure has run and what may be left, by how long the reference machine took. Of
a series, where each figure is a process, it stands for the figure's own bars, which are many and nested:
it also says what may be left of all, at this machine's pace so far, and which bar moves now.
"""

import contextlib
import os
import re
import shutil
import sys
import threading
import time

from tqdm import tqdm

from reproductions.bench import claims, wording
from reproductions.bench.errors import say

START = 5.0  # seconds until a program has begun, and all that one takes whose results are there
WATCHED = "WEDGES_WATCHED"  # in the environment of a figure for which another program shows the line
_CELLS = 12  # of the bar
_MOVES, _PRINTED = 1.0, 30.0  # seconds between two states of the line: on a terminal, and elsewhere
_CREDIT = 60.0  # seconds at the reference's pace that are believed before anything was measured
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def usual(figure, preset):
    """Seconds in which the reference machine measured a figure; None where that is not known."""
    made = claims.Reference(figure).read().get(preset, {}).get("provenance")
    seconds = made.get("seconds") if isinstance(made, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


class Outlook:
    """What is left of a series, in seconds.

    expected: {figure: usual seconds, or None where they are not known}, in order; 0 of one whose results
    are there, which takes `START` only.

    >>> outlook = Outlook({"a": 95.0, "b": 195.0})
    >>> outlook.left("a", 40.0), outlook.all_left("a", 40.0)
    (60.0, 260.0)
    >>> outlook.done("a", 200.0)  # twice as long, of which a minute is not believed
    >>> round(outlook.left("b", 0.0))
    325
    """

    def __init__(self, expected):
        known = [seconds for seconds in expected.values() if seconds]
        middle = sum(known) / len(known) if known else None
        self._usual = {
            name: None
            if seconds is None and middle is None
            else START + (middle if seconds is None else seconds)
            for name, seconds in expected.items()
        }
        self._sure = {name for name, seconds in expected.items() if seconds is not None}
        self._open = list(expected)
        self._took = self._should = _CREDIT

    def done(self, figure, seconds):
        """A figure has ended after so long."""
        self._open.remove(figure)
        if figure in self._sure and self._usual[figure] > START:
            self._took += seconds
            self._should += self._usual[figure]

    def left(self, figure, elapsed):
        """Of the figure that runs; None where nobody knows, or where it takes longer than it should."""
        if figure not in self._sure:
            return None
        left = self._of(figure) - elapsed
        return left if left > 0 else None

    def all_left(self, figure, elapsed):
        """Of it and of all after it; None where nobody knows, and where it is the only one."""
        if len(self._usual) == 1 or any(self._usual[name] is None for name in self._open):
            return None
        others = sum(self._of(name) for name in self._open if name != figure)
        return max(0.0, self._of(figure) - elapsed) + others

    def _of(self, figure):
        pace = self._took / self._should if self._usual[figure] > START else 1.0
        return self._usual[figure] * pace


class Stream:
    """Text from a figure's standard error, told apart: `bar` is the last state of a bar, and `line` is
    called with each whole line in words.

    A bar begins with a carriage return, or is moved about by escape sequences.
    """

    def __init__(self, line):
        self.bar, self._line = "", line
        self._rest, self._is_bar = "", False

    def feed(self, text):
        *whole, self._rest = re.split(r"([\r\n])", self._rest + text)
        for piece, end in zip(whole[::2], whole[1::2], strict=True):
            self._take(piece, end)
        if self._is_bar and self._rest.strip():
            self._show(self._rest)

    def _take(self, piece, end):
        if self._is_bar or "\x1b" in piece or end == "\r":
            self._show(piece)
        elif piece.strip():
            self._line(piece)
        self._is_bar = end == "\r"

    def _show(self, piece):
        if words := " ".join(_ESCAPES.sub("", piece).split()):
            self.bar = words


class Line:
    """One line on standard error that moves every second while a figure runs; where that is no terminal,
    it is printed every half minute.

    Args:
      head: what the line begins with, such as which figure it is of how many.
      figure: its name in the outlook.
      outlook: `Outlook`.
    """

    def __init__(self, head, figure, outlook):
        self._head, self._figure, self._outlook = head, figure, outlook
        self._started = time.monotonic()
        self._stream = Stream(self._pass_on)
        self._end = threading.Event()
        self._moves = sys.stderr.isatty()
        self._bar = None

    def feed(self, text):
        """What the figure has written on its standard error."""
        self._stream.feed(text)

    @contextlib.contextmanager
    def shown(self):
        """Show the line while the block runs; what it took is then known to the outlook."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()
            self._outlook.done(self._figure, self.elapsed)

    @property
    def elapsed(self):
        return time.monotonic() - self._started

    def words(self):
        """The line as it is now."""
        elapsed = self.elapsed
        left, rest = (
            self._outlook.left(self._figure, elapsed),
            self._outlook.all_left(self._figure, elapsed),
        )
        parts = [f"{self._head}  {_clock(elapsed)}"]
        if left is not None:
            done = elapsed / (elapsed + left)
            bar = "#" * int(done * _CELLS)
            parts[0] += f" [{bar:-<{_CELLS}}] {100 * done:.0f}%, about {_clock(left)} left"
        if rest is not None:
            parts.append(f"all: about {wording.duration(rest)} left")
        return "; ".join([*parts, *filter(None, [self._stream.bar])])

    def _pass_on(self, line):
        with tqdm.external_write_mode(file=sys.stderr):
            say(line)

    def _run(self):
        while not self._end.wait(_MOVES if self._moves else _PRINTED):
            if not self._moves:
                say(f"    {self.words()}")
                continue
            if self._bar is None:
                self._bar = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True)
            columns = shutil.get_terminal_size((100, 24)).columns
            self._bar.set_description_str(self.words()[: columns - 1])
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def alone(figure, seconds):
    """Show the line of one figure while the block measures it, on a terminal. `seconds`: what is usual,
    or None."""
    if os.environ.get(WATCHED) or not sys.stderr.isatty():
        yield
        return
    with Line(figure, figure, Outlook({figure: seconds})).shown():
        yield


def _clock(seconds):
    """1:05, or 1:02:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
