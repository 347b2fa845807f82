"""How it looks: the loss on a plane of two filter-normalised directions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from wedges import probe
from wedges.cards.budget import Cost, too_long
from wedges.cards.subject import Subject

_SIDES = (25, 21, 17, 15, 13, 11, 9, 7)  # points of a side


def cost(subject: Subject, n: int) -> Cost:
    """On n examples; a graph may have to be traced."""
    tracing = subject.rates.tracing / 2
    of = lambda side: (side**2 + 2) * n * subject.rates.forward + tracing
    return Cost(of(_SIDES[-1]), of(_SIDES[0]))


def surface(subject: Subject, k: int, seconds: float) -> dict[str, Any]:
    """The surface of Li et al. around checkpoint k: x = 1 moves each filter by its own length.

    Raises:
      Cut: a grid of 7 x 7 does not fit.

    Source: Li et al. 2018 (arXiv:1712.09913).
    """
    begin, few = time.monotonic(), _SIDES[-1]
    needed = cost(subject, subject.working).least
    if needed > 2 * max(seconds, 0.0):
        raise too_long(f"a grid of {few} x {few}", needed, seconds)
    landscape = subject.at(k)
    each = subject.look(seconds, k)
    seconds -= time.monotonic() - begin + subject.tracing(landscape, "losses")
    side = next((s for s in _SIDES if s * s * each <= seconds), None)
    if side is None:
        raise too_long(f"a grid of {few} x {few}", few**2 * each, seconds)
    subject.ran(landscape, "losses")
    x = np.linspace(-1, 1, side)
    found = probe.filter_plane(subject.at(k), subject.thetas[k], x, x, seed=subject.seed)
    return {
        "checkpoint": subject.names[k],
        "examples": subject.around.size,
        "x": found.x,
        "y": found.y,
        "losses": found.losses,
        "centre": float(found.losses[side // 2, side // 2]),
    }
