"""A card, asked for in one call: checked, found again if it is finished, else made."""

from __future__ import annotations

import html
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from wedges.cards import given


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
        text = html.escape(_within(self.page.read_text(), self.page.parent.resolve()), quote=True)
        return f'<iframe srcdoc="{text}" style="width: 100%; height: 44rem; border: 0"></iframe>'


def _within(text: str, folder: str | os.PathLike[str]) -> str:
    """A page as it stands in another one, which is in another place.

    What lies beside it is named by its path, since no link of a notebook's page leads there; links
    within the page stay within it, and papers open in a window of their own.

    >>> wedges.cards.entry._within('<a href="card.json">numbers</a>', "/cards/a-b")
    'numbers (<code>/cards/a-b/card.json</code>)'
    """
    text = text.replace("<head>", '<head>\n<base href="about:srcdoc">', 1)
    text = text.replace('<a href="https:', '<a target="_blank" rel="noopener" href="https:')

    def beside(link):
        name, shown = link.groups()
        path = f"<code>{html.escape(os.path.join(folder, name))}</code>"
        return path if shown == name else f"{shown} ({path})"

    return re.sub(r'<a href="([^"#:]+)">([^<]*)</a>', beside, text)


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
) -> Card:
    """What one or several models' loss landscapes say about them: a `Card`, within a budget of time.

        card = wedges.card(["a.keras", "b.keras"], (x, y), minutes=2)
        card                                     # in a notebook: the page
        card.results["mean"]["verdict"]          # may these be averaged?

    One folder below `out_dir` holds the page, `card.html`, which is written anew after each section,
    the same numbers in `card.json`, and the sections. Its name ends with a key of weights, examples,
    settings, the loss, and code of your own: called again for the same, a card that was killed goes on,
    and a finished one is read.

    One pass over a few examples is timed first. On how many examples sections work, and how many steps,
    points and directions they take, follows from that; what does not fit is left out and named.

    Args:
      checkpoints: one or several of one architecture, each a .keras file, a .h5 file of a whole model, a
        file of weights (.weights.h5; .npz with theta [D], as `wedges.archive` writes it) beside `model`,
        or a `keras.Model`; as a dict with names of your own, {"early": a, "late": b}.
      data: a .npz file with arrays x and y (or x_train and y_train, or images and labels; of several
        inputs y beside x0, x1, ..., or beside all of them by the model's names), and sample_weight, if
        examples have weights; "module:function", which returns (x, y), (x, y, sample_weight) or a
        `tf.data.Dataset` of either; these themselves. Best the examples that were trained on.
      model: "module:function", or a function, that builds the model; for files of weights, and for
        models with classes of your own.
      loss: a Keras loss, or "module:function"; by default that of the compiled model, else what outputs
        and y suggest. Of a cross-entropy by name it is seen whether outputs are logits.
      held_out: as `data`, examples that were not trained on; by default x_test and y_test (and
        sample_weight_test) of a .npz file.
      minutes: the budget.
      out_dir: where the card's folder is made.
      examples: at most so many of the data, and of what is held out: random subsets. By default all, but
        of a `tf.data.Dataset` the first 50,000.
      seed: of that subset, and of all directions.
      say: is called with each line of progress; by default they go to the standard error.

    Raises:
      ValueError: in one line, what cannot be read, does not fit, or is of another architecture. Nothing
        is written then.
      OSError: no folder can be made at `out_dir`.
    """
    asked = given.checked(
        checkpoints,
        data,
        model=model,
        loss=loss,
        held_out=held_out,
        minutes=minutes,
        out_dir=out_dir,
        examples=examples,
        seed=seed,
    )
    done = given.finished(asked)
    if done is not None:
        return Card(done[1]["sections"], done[0], done[0].with_name("card.json"))
    return made(given.read(asked), say=say)


def made(
    asked: given.Given, *, say: Callable[[str], None] | None = None, started: float | None = None
) -> Card:
    """The card that was asked for, from arguments that were checked and read.

    Args:
      asked: what `given.read` returned.
      say: is called with each line of progress; by default they go to the standard error.
      started: when the budget's time began, by `time.monotonic`; now, by default.

    Raises:
      ValueError: in one line, what does not fit, or is of another architecture; nothing is written then.
    """
    from wedges.cards import make  # TensorFlow is started here

    page, results = make.made(asked, say=say, started=started)
    return Card(results, page, page.with_name("card.json"))
