"""`python -m wedges`: what the library does in a shell, `card` for now."""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import pathlib
import re
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any, NoReturn

_STARTED = time.monotonic()

_COMMANDS = {"card": "a page about models of your own: flatness, surface, averaging, connectivity"}
_GENERAL = f"""usage: python -m wedges COMMAND ...

The large-scale shape of neural-network loss landscapes, for any Keras 3 model.

commands:
{chr(10).join(f"  {name:<8} {what}" for name, what in _COMMANDS.items())}

python -m wedges COMMAND --help tells its flags. python -m reproductions lists the figures.
"""
_ABOUT = (
    "One offline page, and a file of numbers, about models of your own: what they are, loss and "
    "accuracy, flatness, surface; of several also the line between them, whether they may be averaged, "
    "a trained curve, likeness and phase."
)
_EXAMPLES = """examples:
  python -m wedges card a.keras --data=mine.npz
  python -m wedges card a.keras b.keras --data=mine.npz --held_out=test.npz --minutes=3
  python -m wedges card a.weights.h5 b.weights.h5 --model=my_code:build --data=my_code:examples

In Python the same is wedges.card(["a.keras", "b.keras"], "mine.npz").
The page grows while it is made; a card that was killed goes on when the same command is given
again. The last line printed is the page. Exit status 2: something was given that will not do.
"""


class _Parser(argparse.ArgumentParser):
    """One line for what will not do, with a suggestion."""

    def error(self, message: str) -> NoReturn:
        found = re.fullmatch(r"unrecognized arguments: (\S+).*", message)
        if found:
            given = found.group(1).partition("=")[0]
            known = [s for action in self._actions for s in action.option_strings]
            near = difflib.get_close_matches(
                given.replace("-", "_").replace("__", "--", 1), known, 1, 0.6
            )
            also = f" Did you mean {near[0]}?" if near else ""
            message = f"unknown flag {given}.{also}"
        wrong = re.fullmatch(r"argument (\S+): invalid (int|float) value: (.*)", message)
        if wrong:
            kind = "a whole number" if wrong.group(2) == "int" else "a number"
            message = f"{wrong.group(1)} must be {kind}; received {wrong.group(3)}."
        self.exit(2, f"wedges card: {message[0].lower() + message[1:]} (--help tells the flags)\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m wedges card",
        usage="python -m wedges card CHECKPOINT [CHECKPOINT ...] --data=FILE [--minutes=5] ...",
        description=textwrap.fill(_ABOUT, 98),
        epilog=_EXAMPLES,
        formatter_class=functools.partial(
            argparse.RawDescriptionHelpFormatter, width=100, max_help_position=28
        ),
        allow_abbrev=False,
        add_help=False,
    )
    models = parser.add_argument_group("models")
    models.add_argument(
        "checkpoints",
        metavar="CHECKPOINT",
        nargs="*",
        help=".keras or .h5 files of one architecture; with --model also .weights.h5, or .npz "
        "with theta",
    )
    models.add_argument(
        "--model",
        metavar="MODULE:FUNCTION",
        help="builds the model: for files of weights, and for classes of your own",
    )
    examples = parser.add_argument_group("examples")
    examples.add_argument(
        "--data",
        metavar="FILE",
        help=".npz with x and y (or x_train and y_train, or images and labels; of several inputs y "
        "beside x0, x1, ... or beside the model's names of them), or MODULE:FUNCTION that returns (x, "
        "y), as fit takes them, or a tf.data.Dataset; best what was trained on",
    )
    examples.add_argument(
        "--held_out",
        metavar="FILE",
        help="the same, not trained on; by default x_test and y_test of --data, where it has them",
    )
    examples.add_argument(
        "--examples",
        metavar="N",
        type=int,
        help="at most so many, a random subset (default: all; of a tf.data.Dataset the first 50,000)",
    )
    examples.add_argument(
        "--loss",
        metavar="NAME",
        help="a Keras loss, or MODULE:FUNCTION (default: the compiled one, else what outputs and y "
        "suggest)",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--minutes", metavar="M", type=float, default=5.0, help="a budget of time (default: 5)"
    )
    run.add_argument(
        "--out_dir", metavar="DIR", default="cards", help="where the card's folder goes (default: cards)"
    )
    run.add_argument(
        "--seed", metavar="S", type=int, default=0, help="of subset and directions (default: 0)"
    )
    run.add_argument("--help", action="help", help="show this")
    return parser


def card(argv: Sequence[str]) -> int:
    """`python -m wedges card`: returns the exit status."""
    parser = _parser()
    values = parser.parse_intermixed_args(argv)
    if not values.checkpoints:
        parser.error("give a checkpoint: a .keras or .h5 file.")
    if values.data is None:
        parser.error("--data must be a .npz file with x and y, or module:function; received none.")
    from wedges import _quiet
    from wedges.cards import entry, given

    sys.path[:0] = [] if "" in sys.path or "." in sys.path else [""]  # modules of this folder
    settings: dict[str, Any] = vars(values)
    try:
        asked = given.checked(settings.pop("checkpoints"), settings.pop("data"), **settings)
        done = given.finished(asked)
        if done is not None:
            print("this card was finished before", file=sys.stderr)
            print(done[0])
            return 0
        asked = given.read(asked)
        print("starting TensorFlow ...", file=sys.stderr, flush=True)
        _quiet.start_tensorflow()
        made = entry.made(asked, started=_STARTED)
    except ValueError as error:
        return _refused(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        also = "; --out_dir takes another folder" if _is_of(error, values.out_dir) else ""
        return _refused(f"{where}{error.strerror or error}{also}")
    except KeyboardInterrupt:
        print("\nwedges card: stopped; the same command goes on.", file=sys.stderr)
        return 130
    print(made.page)
    return 0


def _is_of(error: OSError, folder: str) -> bool:
    """Whether an error is about a folder, or one that it is in, or a file in it.

    One that names no file is, too: files that are read are refused by their own names.
    """
    if not error.filename:
        return True
    path, there = (pathlib.Path(os.fsdecode(name)).absolute() for name in (error.filename, folder))
    return path == there or path in there.parents or there in path.parents


def _refused(message: str) -> int:
    """One line on the standard error, arguments called as flags are, and status 2."""
    line = " ".join(message.split())
    names = "data|held_out|loss|model|minutes|examples|seed|out_dir"
    line = re.sub(rf"^({names}) (must|could)", r"--\1 \2", line)
    line = re.sub(r"\b(model=module:function)", r"--\1", line)
    print(f"wedges card: {line}", file=sys.stderr)
    return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(_GENERAL, end="")
        return 0
    if argv[0] == "card":
        return card(argv[1:])
    near = difflib.get_close_matches(argv[0], _COMMANDS, 1)
    also = f" Did you mean {near[0]}?" if near else " python -m wedges --help lists them."
    print(f"wedges: unknown command {argv[0]!r}.{also}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
