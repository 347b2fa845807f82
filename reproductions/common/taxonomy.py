"""A grid of networks over a load-like axis (width) and a temperature-like one (batch size, small = hot).

What Yang et al. 2021 (arXiv:2107.11228) and their followers read from such a grid, one function each:
phases, rank correlations, comparisons at equal sharpness, contrasts, dips, transitions. Every function
works on any grid with these columns. A cell that lacks what a function needs (NaN) is left out of it,
and what no cell can answer is NaN.
"""

from typing import NamedTuple

import numpy as np

import wedges
from reproductions.common import arrays
from reproductions.common import released as _released
from wedges import _checks

SOURCE = "Yang et al. 2021, arXiv:2107.11228"
PHASES = ("I", "II", "III", "IV-A", "IV-B")


class Grid(NamedTuple):
    """One slice, at one amount of data and one level of label noise: arrays [cells].

    A cell is a mean over networks that differ in their seeds. NaN is what was not measured.

    Attributes:
      width, bs: the two axes, load and temperature; a small batch is hot.
      test_acc, train_acc: percent.
      train_loss: nats.
      mc: mode connectivity, percentage points of training error; below 0 where there is a barrier.
      cka: similarity of outputs, 0 to 1.
      log_trace, log_top: natural logarithms of the Hessian's trace and largest eigenvalue.
      l2: distance between two networks of the cell.
      mc_error, acc_error: standard errors of mc and of test_acc; None where they are not known.
    """

    width: np.ndarray
    bs: np.ndarray
    test_acc: np.ndarray
    train_acc: np.ndarray
    train_loss: np.ndarray
    mc: np.ndarray
    cka: np.ndarray
    log_trace: np.ndarray
    log_top: np.ndarray
    l2: np.ndarray
    mc_error: np.ndarray | None = None
    acc_error: np.ndarray | None = None

    @property
    def cells(self):
        """How many cells there are (`len` of a named tuple is the number of its columns)."""
        return len(self.width)

    def only(self, which):
        """The grid of some cells: a mask [cells], or indices in the order that is wanted."""
        return Grid(*(None if column is None else column[which] for column in self))


def released(grid, data=10):
    """The `Grid` of one slice that others released (`released.GRIDS`), at `data` tenths of the images.

    Rows without a test accuracy are dropped. ValueError: there is no such slice.
    """
    _checks.choice("grid", grid, _released.GRIDS)
    table = _released.taxonomy(grid)
    amounts = sorted({int(amount) for amount in table["data"]})
    _checks.whole("data", data, amounts[0], amounts[-1])
    rows = (table["data"] == data) & np.isfinite(table["test_acc"])
    return Grid(*(table[name][rows] if name in table else None for name in Grid._fields))


# ---- phases -----------------------------------------------------------------------------------------


CONVERGED, CONNECTED = (
    99.9,
    1.0,
)  # as in `wedges.phases.Thresholds`: % of training accuracy, points of mc


def phases(grid):
    """The phase of each cell by `wedges.phases.classify`, "" where there is none: an array [cells].

    IV-B begins at the median CKA of the grid's own cells in phase IV.
    """
    error, rule = 100 - grid.train_acc, wedges.phases
    level = rule.cka_level(error, grid.mc, grid.cka)
    found = rule.classify(error, grid.mc, grid.cka, thresholds=rule.Thresholds(cka=level))
    return np.where(found == "IV", "", found)  # without a CKA


def converged(grid):
    """Which cells fit their training set: a mask [cells], False where that is not known."""
    return grid.train_acc >= CONVERGED


def accuracy_by_phase(grid):
    """{phase: (mean test accuracy, number of cells)}; (NaN, 0) of a phase that no cell is in."""
    phase = phases(grid)
    return {name: (_mean(grid.test_acc[phase == name]), int((phase == name).sum())) for name in PHASES}


def best(grid):
    """The index of the cell with the highest test accuracy; None where no accuracy is known."""
    return int(np.nanargmax(grid.test_acc)) if np.isfinite(grid.test_acc).any() else None


# ---- rank correlations ------------------------------------------------------------------------------

MEASURES = {
    "width": lambda grid: grid.width,
    "bs": lambda grid: grid.bs,
    "log_top": lambda grid: grid.log_top,
    "log_trace": lambda grid: grid.log_trace,
    "cka": lambda grid: grid.cka,
    "|mc|": lambda grid: np.abs(grid.mc),
    "mc": lambda grid: grid.mc,
    "train_loss": lambda grid: grid.train_loss,
    "l2": lambda grid: grid.l2,
}


def rank(x, y, least=3):
    """Spearman's rank correlation of the cells where both are known, ties sharing their mean rank.

    NaN of fewer than `least` cells, or where one of them is the same everywhere.
    """
    both = np.isfinite(x) & np.isfinite(y)
    return arrays.rank(x[both], y[both], least)


def ranks(grid, least=3):
    """{measure: its rank correlation with test accuracy}, of `MEASURES`."""
    return {name: rank(of(grid), grid.test_acc, least) for name, of in MEASURES.items()}


def regions(grid):
    """{name: mask [cells]}: where rank correlations are taken. Width confounds the one over all."""
    done, phase = converged(grid), phases(grid)
    named = {
        "all": np.full(grid.cells, True),
        "converged": done,
        "not converged": np.isfinite(grid.train_acc) & ~done,
        "mc < -1": grid.mc < -CONNECTED,
        "mc > 1": grid.mc > CONNECTED,
    }
    return {**named, **{f"phase {name}": phase == name for name in PHASES}}


def ranks_within_widths(grid, least=3):
    """{measure: the mean over widths of its rank correlation with test accuracy at that width}."""
    rows = [ranks(column, least) for _, column in along_temperature(grid)]
    return {name: _mean([row[name] for row in rows]) for name in MEASURES}


# ---- lines of the grid ------------------------------------------------------------------------------


def along_temperature(grid):
    """[(width, the grid at this width, from hot to cold)], from narrow to wide."""
    return _lines(grid, grid.width, grid.bs)


def along_width(grid):
    """[(bs, the grid at this batch size, from narrow to wide)], from hot to cold."""
    return _lines(grid, grid.bs, grid.width)


def _lines(grid, fixed, along):
    order = np.argsort(along, kind="stable")
    return [(float(value), grid.only(order[fixed[order] == value])) for value in np.unique(fixed)]


def _steps(grid, column):
    """How many steps of the grid's temperature axis each cell of a column is from the hottest."""
    return np.searchsorted(np.unique(grid.bs), column.bs)


# ---- sharpness against connectivity -----------------------------------------------------------------


class Pairs(NamedTuple):
    """Pairs of cells that are alike but in one thing, arrays [pairs].

    Attributes:
      first, second: indices of their cells.
      gain: test accuracy of the second minus that of the first, percentage points.
    """

    first: np.ndarray
    second: np.ndarray
    gain: np.ndarray

    @property
    def mean(self):
        return _mean(self.gain)

    @property
    def share(self):
        """The part of the pairs in which the second cell is better; NaN without pairs."""
        return _mean(self.gain > 0)


def matched_sharpness(grid, within=0.15, poor=-3.0, well=-0.5):
    """`Pairs` of converged cells of equal sharpness: first one with a barrier, second one without.

    Args:
      within: ln trace of a pair differs by less.
      poor, well: the first cell has mc < poor, the second mc > well.
    """
    done = converged(grid) & np.isfinite(grid.log_trace) & np.isfinite(grid.test_acc)
    first, second = np.flatnonzero(done & (grid.mc < poor)), np.flatnonzero(done & (grid.mc > well))
    alike = np.abs(grid.log_trace[first][:, None] - grid.log_trace[second]) < within
    i, j = np.nonzero(alike)
    first, second = first[i], second[j]
    return Pairs(first, second, grid.test_acc[second] - grid.test_acc[first])


class Contrast(NamedTuple):
    """What training to zero loss is worth at each width, arrays [widths that have cells of both kinds].

    Attributes:
      width: its widths.
      gain: best test accuracy of the converged cells minus that of the others, percentage points.
      mc: mode connectivity of the best converged cell.
    """

    width: np.ndarray
    gain: np.ndarray
    mc: np.ndarray


def contrast(grid):
    """The `Contrast` of the best converged and the best unconverged cell over temperature."""
    rows = []
    for width, column in along_temperature(grid.only(np.isfinite(grid.train_acc))):
        done = converged(column)
        yes, no = column.only(done), column.only(~done)
        if (i := best(yes)) is not None and (j := best(no)) is not None:
            rows.append((width, yes.test_acc[i] - no.test_acc[j], yes.mc[i]))
    return Contrast(*np.array(rows, dtype=float).reshape(-1, 3).T)


# ---- double descent ---------------------------------------------------------------------------------


class Dip(NamedTuple):
    """The deepest valley on a line.

    Attributes:
      depth: of the valley's lowest point below the lower of the peaks on its two sides; 0 without one.
      at: where its lowest point is, an index; None without one.
      error: standard error of the depth; NaN where that of the values is not known.
    """

    depth: float
    at: int | None
    error: float = np.nan


def dip(values, errors=None):
    """The `Dip` of values [n] on a line, errors [n] their standard errors.

    >>> dip(np.array([1.0, 5.0, 2.0, 4.0, 6.0])).depth
    3.0
    """
    deepest = Dip(0.0, None)
    for at in range(1, len(values) - 1):
        left = int(np.argmax(values[:at]))
        right = at + 1 + int(np.argmax(values[at + 1 :]))
        side = min(left, right, key=lambda i: values[i])
        if (depth := float(values[side] - values[at])) > deepest.depth:
            error = np.nan if errors is None else float(np.hypot(errors[side], errors[at]))
            deepest = Dip(depth, at, error)
    return deepest


def dips(grid, axis="temperature"):
    """{width: (its `Dip` of test accuracy along temperature, the batch size where it is)}.

    With axis="width" {bs: (its dip along width, the width where it is)}. None where no dip is.
    """
    _checks.choice("axis", axis, ("temperature", "width"))
    grid = grid.only(np.isfinite(grid.test_acc))
    lines = along_temperature(grid) if axis == "temperature" else along_width(grid)
    found = {}
    for value, line in lines:
        valley = dip(line.test_acc, line.acc_error)
        places = line.bs if axis == "temperature" else line.width
        found[value] = (valley, None if valley.at is None else float(places[valley.at]))
    return found


# ---- connectivity along width -----------------------------------------------------------------------


def connects_at(grid):
    """{bs: the width from which on no cell has a barrier (mc < -1)}; NaN where the widest has one."""
    found = {}
    for bs, row in along_width(grid.only(np.isfinite(grid.mc))):
        barriers = np.flatnonzero(row.mc < -CONNECTED)
        first = barriers[-1] + 1 if len(barriers) else 0
        found[bs] = float(row.width[first]) if first < len(row.width) else np.nan
    return found


class Connection(NamedTuple):
    """Mode connectivity of the converged cells at one batch size, arrays [widths], narrow to wide."""

    bs: float
    width: np.ndarray
    mc: np.ndarray

    @property
    def fall(self):
        """How far mc falls below that of any narrower cell, percentage points; 0 where it only rises."""
        return float((np.maximum.accumulate(self.mc) - self.mc).max()) if len(self.mc) else np.nan


def connection(grid):
    """The `Connection` at the coldest temperature at which at least two widths have converged."""
    grid = grid.only(converged(grid) & np.isfinite(grid.mc))
    rows = [(bs, row) for bs, row in along_width(grid) if row.cells > 1]
    bs, row = rows[-1] if rows else (np.nan, grid.only(np.full(grid.cells, False)))
    return Connection(bs, row.width, row.mc)


# ---- noise, data, temperature -----------------------------------------------------------------------


class Noise(NamedTuple):
    """Differences, noisy minus clean, of the cells that have converged in both: arrays [cells].

    `clean_mc` is the mode connectivity without noise.
    """

    cka: np.ndarray
    log_trace: np.ndarray
    mc: np.ndarray
    test_acc: np.ndarray
    clean_mc: np.ndarray


def noise_effect(clean, noisy):
    """The `Noise` of two grids: cells of equal width and batch size."""
    places = list(zip(clean.width, clean.bs, strict=True))
    others = list(zip(noisy.width, noisy.bs, strict=True))
    common = [(places.index(place), j) for j, place in enumerate(others) if place in places]
    i, j = np.array(common, dtype=int).reshape(-1, 2).T
    clean, noisy = clean.only(i), noisy.only(j)
    done = converged(clean) & converged(noisy)
    clean, noisy = clean.only(done), noisy.only(done)
    changes = [getattr(noisy, name) - getattr(clean, name) for name in Noise._fields[:-1]]
    return Noise(*changes, clean.mc)


def cell(grid, width, bs):
    """{column: number} of one cell; NaN of all where the grid has none there."""
    row = grid.only((grid.width == width) & (grid.bs == bs))
    known = {name: column for name, column in row._asdict().items() if column is not None}
    return {name: float(column[0]) if row.cells else np.nan for name, column in known.items()}


def sharpness_with_cold(grid, side=True, least=3):
    """{width: rank correlation of batch size and ln trace} on one side of convergence.

    Args:
      side: True for the converged cells, False for the others.
      least: a width with fewer such cells is left out: two points always rank perfectly.
    """
    grid = grid.only(
        np.isfinite(grid.train_acc) & np.isfinite(grid.log_trace) & (converged(grid) == side)
    )
    return {
        width: rank(column.bs, column.log_trace, least)
        for width, column in along_temperature(grid)
        if column.cells >= least
    }


def jumps(grid):
    """{width: factor by which the largest eigenvalue falls where the loss goes to zero}.

    That is from an unconverged cell to a converged one that is one step colder, the hottest such pair of
    a width; widths without one are left out.
    """
    found = {}
    for width, column in along_temperature(grid):
        known = column.only(np.isfinite(column.train_acc) & np.isfinite(column.log_top))
        done, steps = converged(known), _steps(grid, known)
        crossing = np.flatnonzero(~done[:-1] & done[1:] & (np.diff(steps) == 1))
        if len(crossing):
            i = crossing[0]
            found[width] = float(np.exp(known.log_top[i] - known.log_top[i + 1]))
    return found


def batches_apart(grid):
    """{width: how many steps of batch size lie between the best CKA and the best test accuracy}."""
    found = {}
    for width, column in along_temperature(
        grid.only(np.isfinite(grid.cka) & np.isfinite(grid.test_acc))
    ):
        steps = _steps(grid, column)
        found[width] = int(abs(steps[np.argmax(column.cka)] - steps[np.argmax(column.test_acc)]))
    return found


class Ends(NamedTuple):
    """Cells whose curve lies below its ends (mc > 1), and how many of them have converged."""

    cells: int
    converged: int


def unconverged_ends(grid, error=1.0):
    """The `Ends` of a grid, without cells whose mc has a standard error of `error` or more."""
    below = grid.mc > CONNECTED
    if grid.mc_error is not None:
        below = below & ~(grid.mc_error >= error)
    below = below & np.isfinite(grid.train_acc)
    return Ends(int(below.sum()), int((below & converged(grid)).sum()))


def _mean(values):
    """The mean of what is known; NaN of nothing, without a warning."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan
