"""What others measured and released, as arrays: reference/released/README.md says what, and whose."""

import csv
import functools
import gzip
import pathlib

import numpy as np

GRIDS = ("clean", "noise", "decay")
_FILE = pathlib.Path(__file__).parent.parent / "reference" / "released" / "taxonomy.csv.gz"
_WORDS = ("bs_failure", "width_vs_batch", "data_vs_batch")


def taxonomy(grid):
    """{column: [rows]} of one of `GRIDS`; NaN, or "", where the release has nothing."""
    return {name: column.copy() for name, column in _read()[grid].items()}


@functools.lru_cache(maxsize=1)
def _read():
    rows = rows_of(_FILE)
    of = {grid: [row for row in rows if row["grid"] == grid] for grid in GRIDS}
    names = [name for name in rows[0] if name != "grid"]
    return {grid: {name: column(name, of[grid]) for name in names} for grid in GRIDS}


def rows_of(path):
    """The rows of a compressed table, {column: text} each."""
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def column(name, rows):
    """A column of such rows: numbers, NaN where there is none; the labels as text."""
    values = [row[name] for row in rows]
    return np.array(values if name in _WORDS else [float(v) if v else np.nan for v in values])
