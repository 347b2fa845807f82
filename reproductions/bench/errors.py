"""What a user can mend: shown as one line, exit status 2."""

import sys


class UsageError(Exception):
    """One line that names the flag, what was received and what would do."""


def say(message):
    """A line for the person at the terminal, beside the results on standard output."""
    print(message, file=sys.stderr, flush=True)
