"""Everything at once: the taxonomy card of some networks of one setting."""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wedges import _checks, diagnosis
from wedges._repr import short
from wedges.connect import readings
from wedges.curvature import Trace, eigenpairs, hessian, trace
from wedges.landscape import Landscape, WithExamples
from wedges.optimize import progress
from wedges.phases.connectivity import ModeConnectivity, errors_of, mode_connectivity
from wedges.phases.likeness import Similarity, distances, given, mixable, points_of, similarity
from wedges.phases.rule import DEFAULT, Phase, Thresholds, phase

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

    from wedges.connect import Follow

_WIDE = 100  # characters in a line of a card


class Curvature(NamedTuple):
    """The Hessian at K points, on some of the examples."""

    top: np.ndarray  # the largest eigenvalue [K]; NaN where the loss is not finite
    trace: np.ndarray  # [K]
    trace_error: np.ndarray  # the standard error of each estimate [K]
    log_top: float  # ln of the mean over models; NaN where that is not above 0
    log_trace: float
    examples: int | None  # n; None where the landscape has none

    def __repr__(self) -> str:
        return short(self)


class Card(NamedTuple):
    """What is known of K networks of one setting. `str(card)` is a text of about ten lines."""

    loss: np.ndarray  # of training [K]
    error: np.ndarray | None  # of training, in percent [K]; None where there are no accuracies
    held_out_loss: np.ndarray | None  # [K]
    held_out_error: np.ndarray | None  # in percent [K]
    pairs: tuple[tuple[int, int], ...]  # of which models curves were made
    connections: tuple[ModeConnectivity, ...]  # one for each pair
    mc: float  # the mean over pairs
    curvature: Curvature | None  # None where it was left out
    similarity: Similarity | None  # None without examples
    distance: np.ndarray  # |theta_i - theta_j| [K, K]
    phase: Phase | None  # None where mc is one of the loss
    diagnosis: Any  # what `diagnose` said; None where it could not be asked
    dimension: int  # D
    examples: int | None  # of training

    def __repr__(self) -> str:
        return short(self)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def measure(
    landscape: Landscape,
    thetas: TensorLike,
    *,
    held_out: Landscape | None = None,
    seed: int = 0,
    pairs: str = "first",
    unit: str | None = None,
    curvature_examples: int = 500,
    tolerance: float = 0.01,
    products: int = 30,
    alpha: float | None = 16.0,
    thresholds: Thresholds = DEFAULT,
    diagnose: Callable[..., Any] | None = None,
    follow: Follow = progress,
    **settings: Any,
) -> Card:
    """Losses, connectivity, curvature, similarity and phase of some networks: a `Card`, in one call.

        card = wedges.phases.measure(train, [theta_1, theta_2, theta_3], held_out=test)
        print(card)

    Args:
      landscape: of the training data, e.g. a `NetworkLandscape` with `batch_norm="reestimate"`.
      thetas: [K, D], K at least 2: one setting, trained from different seeds.
      held_out: the same model on other data, `landscape.on(x_test, y_test)`.
      seed: of the curve's positions, the mixed inputs, the examples and the trace.
      pairs: between which models curves are trained: "first", models 0 and 1, as in the paper; "ring",
        each and the next; "all".
      unit: of mc, "error" or "loss"; by default the error where there are accuracies.
      curvature_examples: on so many of the training examples, the same for all models, the Hessian is
        taken; 0 leaves it out.
      tolerance: relative residual of its largest eigenvalue.
      products: Hessian-vector products for its trace.
      alpha: of the mixed inputs, as for `similarity`; inputs that are no real numbers, such as tokens,
        are taken as they are, and the card says so.
      thresholds: of the phases.
      diagnose: diagnose(train_error=, peak=, mc=, log_trace=, log_top=, cka=, train_loss=) says what
        to change, `peak` being minus the largest error on the curve; `wedges.diagnosis.diagnose` by
        default.
      follow: as for `mode_connectivity`; the names are "curve 1 of 3" and so on.
      settings: of `mode_connectivity`, such as steps.

    Raises:
      ValueError: fewer than two thetas, equal ones, others than points of this landscape; a held-out
        landscape of another space; as for `mode_connectivity`.
    """
    points = points_of(landscape, thetas)
    _checked(thresholds, diagnose, settings)
    if alpha is not None and not mixable(landscape):
        alpha = None
    which = pairs_of(pairs, len(points))
    curvature_examples = _checks.whole("curvature_examples", curvature_examples, 0)
    for i, j in which:
        if np.array_equal(points[i], points[j]):
            raise ValueError(f"thetas must differ; received numbers {i} and {j} (from 0) alike.")
    if held_out is not None:
        _checks.a_landscape(held_out, "held_out")
        if held_out.dimension != landscape.dimension:
            raise ValueError(
                f"held_out must be of the landscape's space, D = {landscape.dimension}; received one of "
                f"D = {held_out.dimension}."
            )
    train = readings(landscape, points)
    error = errors_of(train, "either", landscape)
    test = None if held_out is None else readings(held_out, points)
    unit = ("loss" if error is None else "error") if unit is None else unit
    connections = []
    for number, (i, j) in enumerate(which, 1):
        named = lambda descent, steps, _, n=number: follow(descent, steps, f"curve {n} of {len(which)}")
        how = {**settings, "seed": seed, "unit": unit, "follow": named}
        connections.append(mode_connectivity(landscape, points[i], points[j], **how))
    mc = float(np.mean([each.mc for each in connections]))
    curved = None
    if curvature_examples:
        part, n = _part(landscape, curvature_examples, seed)
        curved = _curvature(part, points, np.isfinite(train.loss), n, tolerance, products, seed)
    alike = None
    if isinstance(landscape, WithExamples):
        alike = similarity(landscape, points, seed=seed, alpha=alpha)
    found = None
    if unit == "error" and error is not None:
        cka = np.nan if alike is None else alike.mean
        log_trace = np.nan if curved is None else curved.log_trace
        found = phase(float(error.mean()), mc, cka, log_trace, thresholds=thresholds)
    card = Card(
        loss=train.loss,
        error=error,
        held_out_loss=None if test is None else test.loss,
        held_out_error=None if test is None or held_out is None else errors_of(test, "either", held_out),
        pairs=which,
        connections=tuple(connections),
        mc=mc,
        curvature=curved,
        similarity=alike,
        distance=distances(points),
        phase=found,
        diagnosis=None,
        dimension=landscape.dimension,
        examples=getattr(landscape, "size", None),
    )
    return card._replace(diagnosis=_diagnosed(card, diagnose))


def _checked(thresholds, diagnose, settings):
    """ValueError for what would fail only after all the work."""
    if not isinstance(thresholds, Thresholds):
        received = _checks.called(thresholds)
        raise ValueError(f"thresholds must be wedges.phases.Thresholds(...); received {received}.")
    if diagnose is not None and not callable(diagnose):
        raise ValueError(f"diagnose must be a function or None; received {_checks.called(diagnose)}.")
    known = set(inspect.signature(mode_connectivity).parameters) - _OURS
    if unknown := sorted(settings.keys() - known):
        raise ValueError(
            f"settings must be of mode_connectivity: {', '.join(sorted(known))}; received "
            f"{', '.join(unknown)}."
        )


_OURS = {"landscape", "a", "b", "seed", "unit", "follow"}


def pairs_of(pairs: str, count: int) -> tuple[tuple[int, int], ...]:
    """Which of so many models are compared: the "first" two, each with the next in a "ring", or "all".

    >>> wedges.phases.pairs_of("ring", 3)
    ((0, 1), (1, 2), (2, 0))

    Raises:
      ValueError: another word.
    """
    _checks.choice("pairs", pairs, ("first", "ring", "all"))
    count = _checks.whole("count", count, 2)
    if pairs == "first" or count == 2:
        return ((0, 1),)
    if pairs == "ring":
        return tuple((i, (i + 1) % count) for i in range(count))
    return tuple(itertools.combinations(range(count), 2))


def _part(landscape, examples, seed):
    """The landscape on some of its examples, and how many; itself where it has none."""
    if not isinstance(landscape, WithExamples):
        return landscape, None
    n = min(examples, getattr(landscape, "size", examples))
    x, y, w = landscape.drawn(n, seed=seed)
    weights = {} if given(w) is None else {"sample_weight": w}
    return landscape.on(x, given(y), **weights), n


def _curvature(landscape, points, finite, examples, tolerance, products, seed):
    tops, traces = [], []
    for theta, known in zip(points, finite, strict=True):
        if not known:
            tops.append(np.nan)
            traces.append(Trace(np.nan, np.nan, 0))
            continue
        operator = hessian(landscape, theta)
        traces.append(trace(operator, products, seed=seed))
        tops.append(eigenpairs(operator, 1, seed=seed, tolerance=tolerance).values[0])
    top, total = np.array(tops), np.array([each.mean for each in traces])
    log = lambda values: float(np.log(m)) if (m := values.mean()) > 0 else np.nan
    errors = np.array([each.error for each in traces])
    return Curvature(top, total, errors, log(top), log(total), examples)


def _diagnosed(card, diagnose):
    """What to change, where measures are those of a classifier that has a phase; else None."""
    if diagnose is None:
        diagnose = diagnosis.diagnose
    if card.phase is None or not card.phase.name:
        return None
    peak = np.mean([each.peak for each in card.connections])
    return diagnose(
        train_error=card.phase.error,
        peak=-float(peak),
        mc=card.mc,
        log_trace=card.phase.log_trace,
        log_top=np.nan if card.curvature is None else card.curvature.log_top,
        cka=card.phase.cka,
        train_loss=loss if 0 <= (loss := float(np.mean(card.loss))) < np.inf else np.nan,
    )


# ---- the text -------------------------------------------------------------------------------------


def _lines(card):
    count, found = len(card.loss), card.phase
    on = "" if card.examples is None else f" on {card.examples:,} examples"
    named = "no phase" if found is None or not found.name else f"phase {found.name}"
    yield f"{count} models, D = {card.dimension:,},{on}: {named}".replace(",:", ":")
    if found is not None:
        yield from textwrap.wrap(found.meaning, _WIDE, initial_indent="  ", subsequent_indent="  ")
    level = found.thresholds if found is not None else None
    fit = _fit(card.loss, card.error) + _converged(card, level)
    if card.held_out_loss is not None:
        fit += f"; held out: {_fit(card.held_out_loss, card.held_out_error)}"
    yield _row("training", fit)
    yield _row("connected", _connected(card, level))
    if card.curvature is not None:
        yield _row("Hessian", _sharp(card, level))
    if card.similarity is not None:
        yield _row("similarity", _alike(card.similarity, level))
    away = card.distance[np.triu_indices(count, 1)]
    span = f"{away.min():.3g} to {away.max():.3g}"
    yield _row("distance", f"{away.mean():.3g} between two models ({span})")
    if found is not None and found.boundary:
        yield _row("nearest", found.nearest)
    if card.diagnosis is not None:
        change = getattr(card.diagnosis, "change", card.diagnosis)
        sure = getattr(card.diagnosis, "confidence", None)
        own = isinstance(card.diagnosis, diagnosis.Diagnosis)
        of = " among the ResNets it learned from" if own else ""
        yield _row("to change", f"{change}" + ("" if sure is None else f" (confidence {sure:.2f}{of})"))


def _row(name, text):
    return f"  {name:<11} {text}"


def _fit(loss, error):
    said = f"loss {np.mean(loss):.3g}"
    said = said if error is None else f"{said}, error {np.mean(error):.3g}%"
    dead = [str(i) for i, each in enumerate(loss) if np.isnan(each)]
    return said + (f" (no loss: model {', '.join(dead)})" if dead else "")


def _converged(card, level):
    if level is None:
        return ""
    late = [str(i) for i, e in enumerate(card.error) if e > level.error + 1e-4]
    said = f" (converged up to {level.error:g}%"
    return said + (f"; not: {', '.join(late)})" if late else ": all)")


def _connected(card, level):
    first, fine = card.connections[0], [each.fine for each in card.connections]
    said = f"mc {card.mc:.3g} points" if first.unit == "error" else f"mc {card.mc:.3g} of the loss"
    said += f", mean of {len(card.pairs)} pairs" if len(card.pairs) > 1 else ""
    if level is not None:
        said += f" (poor below {level.poor:g}, ends not converged above {level.unconverged:g})"
    highest, lowest = max(f.barrier for f in fine), max(f.dip for f in fine)
    return f"{said}; at {len(first.positions)} t: barrier {highest:.3g}, dip {lowest:.3g}"


def _sharp(card, level):
    found = card.curvature
    said = f"top {np.mean(found.top):.3g}, trace {np.mean(found.trace):.3g}"
    said += f" +- {np.sqrt(np.sum(found.trace_error**2)) / len(found.trace):.2g}"
    said += f" (ln {found.log_trace:.2f}"
    said += ")" if level is None else f"; sharp above {level.log_trace:g})"
    if card.phase is not None and card.phase.trace_agrees is not None:
        said += ", as the phase says" if card.phase.trace_agrees else ", not as the phase says"
    return said + ("" if found.examples is None else f", {found.examples} examples")


def _alike(found, level):
    error = f" +- {found.error:.1g}" if np.isfinite(found.error) else ""
    error += "" if found.mixed else " on inputs as they are"
    said = f"CKA {found.mean:.3g}{error}, unbiased {found.mean_unbiased:.3g}"
    said += "" if level is None else f" (IV-B from {level.cka:.3g})"
    if found.agreement is not None:
        share = found.agreement[np.triu_indices(len(found.agreement), 1)].mean()
        said += f", same label {100 * share:.0f}%"
    return said + "".join(f"; model {i}: {why}" for i, why in found.failed.items())
