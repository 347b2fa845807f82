"""The sections of a card, one after another, each kept and shown as it is done."""

from __future__ import annotations

import contextlib
import datetime
import functools
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import wedges
from wedges import archive
from wedges.cards import contents, definition, drawing, page, words
from wedges.cards.budget import Budget, Cut, examples_for
from wedges.cards.given import VERSION, Given, folder_name
from wedges.cards.kept import Kept, key_of, plain, write_json
from wedges.cards.losses import loss_of
from wedges.cards.models import input_shapes, models_of
from wedges.cards.reading import Data, data_of
from wedges.cards.subject import Subject

# What a section may end with, of a loss without curvature, say, or of too little memory: others go on.
_FAILURES = (ValueError, RuntimeError, MemoryError, tf.errors.OpError)


def made(
    given: Given, *, say: Callable[[str], None] | None = None, started: float | None = None
) -> tuple[pathlib.Path, dict[str, Any]]:
    """A card: the page, and what `card.json` holds of its sections.

    Args:
      given: what was asked for, read.
      say: is called with each line of progress; by default they go to the standard error.
      started: when the budget's time began, by `time.monotonic`; now, by default.

    Raises:
      ValueError: in one line, what does not fit, or is of another architecture; nothing is written then.
    """
    budget = Budget(60 * given.minutes, started=started)
    with _heard() as notes:
        subject, settings, key = _read(given)
        folder = given.out_dir / f"{folder_name(subject.names)}-{key[:8]}"
        one = _Making(given, subject, settings, key, folder, budget, say or _say, notes)
        one.go()
        return one.page, one.results


def _read(given):
    """The subject of a card, its settings as people read them, and its key."""
    inputs = functools.cache(lambda: input_shapes(given.checkpoints, given.model))
    drawn = {"examples": given.examples, "seed": given.seed, "inputs": inputs}
    of = lambda value, name: value if isinstance(value, Data) else data_of(value, name, **drawn)
    found = of(given.data, "data")
    test = None if given.held_out is None else of(given.held_out, "held_out")
    models = models_of(given.checkpoints, given.model, found.x, given.names)
    names, networks = [n for n, _ in models], [m for _, m in models]
    chosen = loss_of(networks[0], found, given.loss)
    subject = Subject(names, networks, found, test, chosen, seed=given.seed)
    model, loss = given.model, given.loss
    settings = {
        "checkpoints": ", ".join(
            c.name if isinstance(c, keras.Model) else str(c) for c in given.checkpoints
        ),
        "data": found.name,
        "held_out": None if test is None else test.name,
        "model": model
        if model is None or isinstance(model, str)
        else getattr(model, "__name__", "function"),
        "loss": loss if loss is None or isinstance(loss, str) else chosen.name,
        "minutes": given.minutes,
        "examples": given.examples,
        "seed": given.seed,
    }
    both = (each for each in (found, test) if each is not None)
    arrays = [(each.x, each.y, () if each.weight is None else each.weight) for each in both]
    keyed = {n: v for n, v in settings.items() if n not in ("checkpoints", "data", "held_out", "model")}
    keyed |= {
        "names": names,
        "wedges": wedges.__version__,
        "contents": VERSION,
        "loss": [chosen.name, chosen.origin, definition.loss_of(networks[0], chosen.loss)],
    }
    return subject, settings, key_of(networks, arrays, keyed)


class _Making:
    """A card in the making."""

    def __init__(self, given, subject, settings, key, folder, budget, say, notes):
        self.given = given
        self.subject, self.settings, self.key, self.folder = subject, settings, key, folder
        self.budget, self.say, self.notes = budget, say, notes
        self.kept, self.results = Kept(folder), {}
        self.mark = given.mark or self._mark_before()
        self.drawn = drawing.Pictures()
        self.to_turn = {}

    def _mark_before(self):
        """That of the same card from files, where it was made before."""
        with contextlib.suppress(OSError, archive.Damaged):
            return archive.read_json(self.folder / "card.json", dict).get("mark")
        return None

    @property
    def page(self):
        return self.folder / "card.html"

    def go(self) -> None:
        """Every section that is not there yet."""
        sections = contents.sections(self.subject, self.results)
        self.titles = {s.name: s.title for s in sections}
        before = {s.name: found for s in sections if (found := self.kept.get(s.name)) is not None}
        self.results.update(before)
        self.budget.spent = sum(found.get("seconds", 0.0) for found in before.values())
        self.say(f"{self.page}")
        if before:
            self.say(f"{len(before)} of {len(sections)} sections were done before")
        left = [s for s in sections if s.name not in before]
        if any(s.name in ("about", "fit") for s in left):
            self._take(left, ("about",))
        if left:
            self._size(left)
        for name in [s.name for s in left]:
            self._take(left, (name,))
        self._write(finished=True)

    def _take(self, left, names):
        """Do these sections, if they are left to do."""
        for section in [s for s in left if s.name in names]:
            left.remove(section)
            self._write(going=section.title)
            begin = time.monotonic()
            now = words.duration(self.budget.elapsed)
            self.say(f"{now:>5}  {section.title} ...{self._time_left(section, left)}")
            others = [s.cost(self.subject.working) for s in left]
            seconds = self.budget.share(section.cost(self.subject.working), others)
            try:
                found = section.run(seconds)
            except (Cut, *_FAILURES) as cut:
                found = {"cut": " ".join(str(cut).split()).rstrip(".") or type(cut).__name__}
            found["seconds"] = time.monotonic() - begin
            self.results[section.name] = self.kept.put(section.name, found)
            self.say(f"      {words.line(section.name, self.results[section.name])}")
            self._write(going=left[0].title if left else "")

    def _time_left(self, section, left):
        """What the rest takes, in words; nothing before passes were timed."""
        if not self.subject.rates.gradient:
            return ""
        cost = sum(s.cost(self.subject.working).full for s in (section, *left))
        if any(s.name == "curve" for s in (section, *left)):  # it takes what is left, if that helps
            cost = self.budget.left
        return f"  (at most {words.duration(min(cost, self.budget.left))} left)"

    def _size(self, left):
        """Time a pass, and decide on how many examples sections work; as before, where that is known."""
        path = self.folder / "sections" / "working.json"
        self.subject.measure()
        with contextlib.suppress(OSError, archive.Damaged):
            self.subject.working = int(archive.read_json(path, {"working": int})["working"])
            return
        costs = lambda n: [s.cost(n) for s in left]
        self.subject.working = examples_for(costs, self.subject.data.size, self.budget.left)
        if self.subject.working < self.subject.data.size:
            self.say(f"      sections work on {self.subject.working:,} of the examples")
        write_json(path, {"working": self.subject.working})

    def _write(self, *, finished=False, going=""):
        """The page and the numbers, as far as they are known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._surfaces()
        order = [name for name in self.titles if name in self.results]
        card = plain(
            {
                "wedges": wedges.__version__,
                "key": self.key,
                "mark": self.mark,
                "command": self.given.command,
                "date": datetime.date.today().isoformat(),
                "checkpoints": self.subject.names,
                "settings": self.settings,
                "software": {
                    "keras": keras.__version__,
                    "tensorflow": tf.__version__,
                    "numpy": np.__version__,
                },
                "finished": finished,
                "going": going,
                "seconds": self.budget.elapsed + self.budget.spent,
                "notes": self._notes(),
                "titles": self.titles,
                "to_turn": self.to_turn,
                "sections": {name: self.results[name] for name in order},
            }
        )
        write_json(self.folder / "card.json", card)
        page.write(self.page, card, self.drawn.of(self.results))

    def _notes(self):
        """What was warned of, each once, and which checkpoints were not looked at closely."""
        found = list(dict.fromkeys(" ".join(str(w.message).split()) for w in self.notes if _concerns(w)))
        if self.subject.count > contents.CLOSE:
            found.append(
                f"Curvature, widths and surfaces are those of the first {contents.CLOSE} of "
                f"{self.subject.count} checkpoints."
            )
        return found

    def _surfaces(self):
        """Pages to turn surfaces by hand, for those that have none yet."""
        for name, result in self.results.items():
            if not name.startswith("look-") or "cut" in result or result["checkpoint"] in self.to_turn:
                continue
            file = f"surface{name.removeprefix('look')}.html"
            if not (self.folder / file).exists() and (text := drawing.to_turn(result)) is not None:
                with archive.replacing(self.folder / file) as opened:
                    opened.write(text.encode())
            if (self.folder / file).exists():
                self.to_turn[result["checkpoint"]] = file


def _concerns(warning):
    """Whether a warning is for who reads a card: not of what the card sees to, nor of optimizers."""
    said = str(warning.message)
    mine = any(s in said for s in ("batch-norm statistics", "optimizer", "weights that are not trained"))
    return issubclass(warning.category, UserWarning) and not mine


@contextlib.contextmanager
def _heard() -> Iterator[list[warnings.WarningMessage]]:
    """Warnings while it lasts, which a card shows among its notes."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default")
        yield notes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
