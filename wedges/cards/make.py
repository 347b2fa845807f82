"""All of a card: sections one after another, each kept and shown as it is done."""

from __future__ import annotations

import contextlib
import datetime
import html
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import wedges
from wedges import _checks, archive
from wedges.cards import contents, drawing, page, words
from wedges.cards.budget import Budget, Cut, examples_for
from wedges.cards.kept import Kept, key_of, plain, write_json
from wedges.cards.losses import loss_of
from wedges.cards.reading import data_of, held_out_in, models_of
from wedges.cards.subject import Subject

# What a section may end with, of a loss without curvature, say, or of too little memory: others go on.
_FAILURES = (ValueError, RuntimeError, tf.errors.OpError)


class Card:
    """A finished card; in a notebook it shows its page.

    Attributes:
      results: {section: what it found}, as `card.json` has it; {"cut": why} for one that was left out.
      page, json: the files.
    """

    def __init__(self, results: dict[str, Any], page: pathlib.Path, json: pathlib.Path) -> None:
        self.results, self.page, self.json = results, page, json

    def __repr__(self) -> str:
        done = [name for name, found in self.results.items() if "cut" not in found]
        return f"Card({len(done)} of {len(self.results)} sections, {str(self.page)!r})"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, whose style is not the notebook's."""
        text = html.escape(self.page.read_text(), quote=True)
        return f'<iframe srcdoc="{text}" style="width: 100%; height: 44rem; border: 0"></iframe>'


def card(
    checkpoints: Any,
    data: Any,
    *,
    model: Any = None,
    loss: Any = None,
    held_out: Any = None,
    minutes: float = 5.0,
    out_dir: str | os.PathLike[str] = "cards",
    examples: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
    started: float | None = None,
) -> Card:
    """What one or several models' loss landscapes say about them: a `Card`, within a budget of time.

        card = wedges.card(["a.keras", "b.keras"], (x, y), minutes=2)
        card                                     # in a notebook: the page
        card.results["mean"]["verdict"]          # may these be averaged?

    One folder below `out_dir` holds the page, `card.html`, which is written anew after each section,
    the same numbers in `card.json`, and the sections. Its name ends with a key of weights, examples and
    settings: called again for the same, a card that was killed goes on, and a finished one is read.

    One pass over a few examples is timed first. On how many examples sections work, and how many steps,
    points and directions they take, follows from that; what does not fit is left out and named.

    Args:
      checkpoints: one or several of one architecture, each a .keras file, a .h5 file of a whole model, a
        file of weights (.weights.h5; .npz with theta [D], as `wedges.archive` writes it) beside `model`,
        or a `keras.Model`.
      data: a .npz file with arrays x and y (or x_train and y_train, or images and labels), and
        sample_weight, if examples have weights; "module:function", which returns (x, y), (x, y,
        sample_weight) or a `tf.data.Dataset` of either; these themselves. Best the examples that were
        trained on.
      model: "module:function", or a function, that builds the model; for files of weights, and for
        models with classes of your own.
      loss: a Keras loss, or "module:function"; by default that of the compiled model, else what outputs
        and y suggest. Of a cross-entropy by name it is seen whether outputs are logits.
      held_out: as `data`, examples that were not trained on; by default x_test and y_test (and
        sample_weight_test) of a .npz file.
      minutes: the budget.
      out_dir: where the card's folder is made.
      examples: at most so many of the data, and of what is held out: random subsets.
      seed: of that subset, and of all directions.
      say: is called with each line of progress; by default they go to the standard error.
      started: when the budget's time began, by `time.monotonic`; now, by default.

    Raises:
      ValueError: in one line, what cannot be read, does not fit, or is of another architecture. Nothing
        is written then.
    """
    started = time.monotonic() if started is None else started
    _checks.positive("minutes", minutes)
    examples = None if examples is None else _checks.whole("examples", examples, 2)
    seed = _checks.whole("seed", seed, 0, 2**31 - 1)
    say = _say if say is None else say
    with _heard() as notes:
        subject, settings, key = _read(
            checkpoints, data, model, loss, held_out, examples=examples, seed=seed, minutes=minutes
        )
        name = "-".join(subject.names[:2]).replace(os.sep, "-")[:60]
        folder = pathlib.Path(out_dir) / f"{name}-{key[:8]}"
        return _Making(
            subject, settings, key, folder, Budget(60 * minutes, started=started), say, notes
        ).go()


def _read(checkpoints, data, model, loss, held_out, *, examples, seed, minutes):
    """The subject, its settings and its key."""
    found = data_of(data, "data", examples=examples, seed=seed)
    models = models_of(checkpoints, model, found.x)
    if held_out is None:
        held_out = held_out_in(data)
    test = None if held_out is None else data_of(held_out, "held_out", examples=examples, seed=seed)
    if test is not None and not isinstance(held_out, (str, os.PathLike)):
        test = test._replace(
            name=f"{found.name} (x_test, y_test)" if isinstance(data, str) else test.name
        )
    names, networks = [n for n, _ in models], [m for _, m in models]
    chosen = loss_of(networks[0], found, loss)
    subject = Subject(names, networks, found, test, chosen, seed=seed)
    settings = {
        "checkpoints": _told(checkpoints),
        "data": found.name,
        "held_out": None if test is None else test.name,
        "model": model
        if model is None or isinstance(model, str)
        else getattr(model, "__name__", "function"),
        "loss": loss if loss is None or isinstance(loss, str) else chosen.name,
        "minutes": float(minutes),
        "examples": examples,
        "seed": seed,
    }
    given = (each for each in (found, test) if each is not None)
    arrays = [(each.x, each.y, () if each.weight is None else each.weight) for each in given]
    keyed = {n: v for n, v in settings.items() if n not in ("checkpoints", "data", "held_out", "model")}
    keyed |= {
        "names": names,
        "wedges": wedges.__version__,
        "contents": contents.VERSION,
        "loss": chosen.name,
        "origin": chosen.origin,
    }
    return subject, settings, key_of(networks, arrays, keyed)


def _told(checkpoints):
    one = isinstance(checkpoints, (str, os.PathLike, keras.Model))
    several: Sequence[Any] = [checkpoints] if one else list(checkpoints)
    return ", ".join(c.name if isinstance(c, keras.Model) else str(c) for c in several)


class _Making:
    """A card in the making."""

    def __init__(self, subject, settings, key, folder, budget, say, notes):
        self.subject, self.settings, self.key, self.folder = subject, settings, key, folder
        self.budget, self.say, self.notes = budget, say, notes
        self.kept, self.results = Kept(folder), {}
        self.drawn = drawing.Pictures()
        self.to_turn = {}

    @property
    def page(self):
        return self.folder / "card.html"

    def go(self) -> Card:
        """Every section that is not there yet; returns the card."""
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
        return Card(self.results, self.page, self.folder / "card.json")

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
                found = {"cut": " ".join(str(cut).split()).rstrip(".")}
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
    mine = "batch-norm statistics" in said or "optimizer" in said
    return issubclass(warning.category, UserWarning) and not mine


@contextlib.contextmanager
def _heard() -> Iterator[list[warnings.WarningMessage]]:
    """Warnings while it lasts, which a card shows among its notes."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default")
        yield notes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
