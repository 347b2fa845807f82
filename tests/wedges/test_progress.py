"""What is shown while a call takes its time, and that nothing is where nobody watches."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import pytest

from wedges import _progress

SCRIPT = """
import time
from wedges import _progress
_progress._DELAY = 0.2
with _progress.waiting("a short call"):
    pass
with _progress.waiting("the gradient of a model"):
    time.sleep(1.5)
with _progress.waiting("another call"):
    time.sleep(1.5)
"""


def test_a_call_that_takes_its_time_says_what_it_does_on_a_terminal():
    main, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("TQDM")}
    run = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=end, close_fds=True, env=quiet)
    os.close(end)
    shown = b""
    while True:
        try:
            more = os.read(main, 4096)
        except OSError:  # nobody writes any more
            break
        if not more:
            break
        shown += more
    assert run.wait() == 0
    text = shown.decode()
    assert "the gradient of a model: 00:0" in text and "another call: 00:0" in text
    assert "a short call" not in text


def test_nothing_is_shown_or_started_where_nobody_watches(capfd, monkeypatch):
    monkeypatch.setattr(_progress, "_DELAY", 0.0)
    with _progress.waiting("a call"):
        time.sleep(0.6)
    assert capfd.readouterr() == ("", "") and _progress._WATCH._thread is None


def test_an_error_goes_through():
    with pytest.raises(KeyError, match="x"), _progress.waiting("a call"):
        raise KeyError("x")
