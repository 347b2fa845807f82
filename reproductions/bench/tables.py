"""A run's numbers for other programs: every series as CSV, and the claims as a table for LaTeX.

The folder series/ of a run has a file for all arrays that run over the same axes. Each is tidy: a column
for each axis, then one for each array, and a row for each place.

    seed,lr,cycle,snapshot_accuracy,swa_accuracy
    0,0.03,1,0.68,0.69

A figure that says what its arrays run over has named columns:

    axes(config) -> {array, or a pattern of names: {axis: its values, or how many there are}}

It may name the first axes only. The others are axis_0, axis_1, ..., and are counted from 0.
"""

import csv
import fnmatch
import io
import re
import shutil

import numpy as np

from reproductions.bench import store
from reproductions.bench.errors import say

# An array of more numbers is a grid for a computer, not a table for a person: results.npz has it.
MOST = 200_000


def save_series(directory, arrays, axes):
    """Write series/<axes>.csv for all arrays, and remove what was there and is none of them.

    axes: what `axes(config)` of the figure says, {} without. Returns the names of arrays that are left
    out, of more than `MOST` numbers.
    """
    folder, large = directory / "series", sorted(n for n, a in arrays.items() if a.size > MOST)
    tables = grouped({n: a for n, a in arrays.items() if n not in large}, axes)
    for name, table in tables.items():
        text = _csv(*table)
        store.write_bytes(folder / f"{name}.csv", lambda file, text=text: file.write(text.encode()))
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in {f"{name}.csv" for name in tables}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if large:
        say(f"not in series/, of more than {MOST:,} numbers (results.npz has them): {', '.join(large)}")
    return large


def grouped(arrays, axes):
    """{file: (axes {axis: its values}, arrays of that shape)}: those that run over the same axes."""
    found = {}
    for name, array in arrays.items():
        along = _along(name, np.asarray(array), axes)
        if name in along and len(along) == 1 and np.array_equal(along[name], array):
            continue  # it is the axis itself
        key = tuple((axis, tuple(np.asarray(values).tolist())) for axis, values in along.items())
        found.setdefault(key, (along, {}))[1][name] = np.asarray(array)
    named, tables = {}, {}
    for key, table in found.items():
        shape = "x".join(str(len(values)) for _, values in key)
        plain = all(axis.startswith("axis_") for axis, _ in key)
        file = "_by_".join(axis for axis, _ in key) if key and not plain else f"of_{shape}"
        named.setdefault(_slug(file) if key else "numbers", []).append((shape, table))
    for file, several in named.items():
        shapes = [shape for shape, _ in several]
        for i, (shape, table) in enumerate(several):
            same = shapes[:i].count(shape)  # of other places
            more = (f"_{shape}" if len(several) > 1 else "") + (f"_{same}" if same else "")
            tables[file + more] = table
    return tables


def _along(name, array, axes):
    """{axis: its values} of an array."""
    for pattern, along in axes.items():
        if fnmatch.fnmatchcase(name, pattern):
            found = {a: np.arange(v) if isinstance(v, int) else np.asarray(v) for a, v in along.items()}
            shape = tuple(map(len, found.values()))
            if shape != array.shape[: len(shape)]:
                raise ValueError(f"axes: {name!r} is said to be {shape}, and is {array.shape}.")
            break
    else:
        found = {}
    rest = enumerate(array.shape[len(found) :], len(found))
    return found | {f"axis_{i}": np.arange(n) for i, n in rest}


def _csv(along, arrays):
    """A tidy table as text: numbers in as many digits as tell them apart."""
    file = io.StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    write([*along, *arrays])
    places = [_digits(values) for values in along.values()]
    columns = [_digits(array.ravel()) for array in arrays.values()]
    for i, at in enumerate(np.ndindex(*map(len, places))):
        write([*(place[k] for place, k in zip(places, at, strict=True)), *(c[i] for c in columns)])
    return file.getvalue()


def _digits(values):
    """Numbers as text, in the digits of their own kind: 0.1, not 0.10000000149."""
    values = np.asarray(values)
    if values.dtype.kind == "b":
        values = values.astype(int)
    return values.astype(str).tolist()


def _slug(text):
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


# ---- claims, for LaTeX ------------------------------------------------------------------------------

_RELATIONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge"}
# What means something else to LaTeX, or stands elsewhere in its default fonts.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "’": "'",
}
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta"}
_GREEK |= {"λ": "lambda", "μ": "mu", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "Δ": "Delta"}
_SPECIAL |= {letter: f"$\\{name}$" for letter, name in _GREEK.items()}


def latex_text(text):
    """Words as LaTeX prints them as they are.

    >>> latex_text("50% of |a_1|")
    '50\\\\% of \\\\textbar{}a\\\\_1\\\\textbar{}'
    """
    return "".join(_SPECIAL.get(c, c) for c in " ".join(text.split()))


def latex(claims, about):
    """The claims, as check.json has them, as a table for LaTeX with the package booktabs; `about` is a
    comment on top."""
    rows = [
        f"{latex_text(c['statement'])} & {_number(c['measured'])} & "
        f"${_RELATIONS[c['relation']]} {_bare(c['expected'])}$ & {c['verdict']} \\\\"
        for c in claims
    ]
    lines = [
        f"% {' '.join(about.split())}",
        r"% \usepackage{booktabs}",
        r"\begin{tabular}{@{}p{0.56\linewidth}rlp{0.13\linewidth}@{}}",
        r"\toprule",
        r"Claim & Measured & Threshold & Verdict \\",
        r"\midrule",
        *(rows or [r"No claim is made about this run. & & & \\"]),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _number(value):
    return "none" if value is None else f"${_bare(value)}$"


def _bare(value):
    """A number in four digits: 0.0123, or 1.2 times 10 to the 7."""
    text = f"{float(value):.4g}"
    digits, _, power = text.partition("e")
    return f"{digits} \\times 10^{{{int(power)}}}" if power else digits
