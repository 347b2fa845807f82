"""Which sections a card has, in the order of work: what costs little and says much comes first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from wedges.cards import between, curve, fit, flat, look, phase
from wedges.cards.budget import Cost, Cut
from wedges.cards.subject import Subject

CLOSE = 4  # checkpoints that are looked at one by one


class Section(NamedTuple):
    """A part of a card.

    Attributes:
      name: of its file, and in `Card.results`.
      title: as people read it.
      cost: what it takes on n examples.
      run: what it finds, within so many seconds; raises `Cut`.
    """

    name: str
    title: str
    cost: Callable[[int], Cost]
    run: Callable[[float], dict[str, Any]]


def sections(subject: Subject, results: dict[str, Any]) -> list[Section]:
    """The sections of a card about a subject.

    Between checkpoints that differ in what is not trained nothing is measured: means, lines and curves
    would be of a network that has the frozen weights of one of them, and of none of the others.

    Args:
      subject: one checkpoint or several.
      results: where those that are done will be found, by those that need them.
    """
    free = lambda subject, n: Cost(0.0, 0.0)
    first = [
        ("about", "what it is", free, lambda subject, seconds: fit.about(subject)),
        ("fit", "loss and accuracy", fit.cost, fit.fit),
    ]
    together = [
        ("mean", "their mean", between.mean_cost, between.mean),
        ("lines", "straight lines", between.line_cost, between.lines),
        ("alike", "likeness", between.alike_cost, between.alike),
    ]
    alone = [
        ("curvature", "curvature", flat.curvature_cost, flat.sharp),
        ("rise", "widths and sharpness", flat.rise_cost, flat.rise),
        ("look", "the surface", look.cost, look.surface),
    ]
    paths = [("curve", "a trained curve", curve.cost, curve.curve)]
    if between.can_align():
        paths.append(("aligned", "units in order", between.aligned_cost, between.aligned))
    paths.append(("phase", "phase", free, lambda subject, seconds: phase.phase(subject, results)))

    if subject.not_shared:
        reason = _not_between(subject)
        together, paths = (
            [(n, title, free, reason) for n, title, *_ in rows] for rows in (together, paths)
        )

    of = functools.partial
    whole = lambda rows: [
        Section(n, title, of(cost, subject), of(run, subject)) for n, title, cost, run in rows
    ]
    each = [
        Section(f"{n}-{k + 1}", f"{title} of {name}", of(cost, subject), of(run, subject, k))
        for n, title, cost, run in alone
        for k, name in enumerate(subject.names[:CLOSE])
    ]
    if subject.count == 1:
        return [*whole(first), *each]
    return [*whole(first), *whole(together), *each, *whole(paths)]


def _not_between(subject):
    """Runs nothing between checkpoints that are not one network with several weights, and says why."""
    first, *others = subject.not_shared
    more = f" and {len(others)} more" if others else ""
    why = (
        f"the checkpoints differ in weights that are not trained ({first}{more}), so that what lies "
        "between them is the network of none of them"
    )

    def cut(subject, seconds):
        raise Cut(why)

    return cut
