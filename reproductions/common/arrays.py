"""Arrays of many repetitions, put together."""

import numpy as np


def stacked(rows):
    """A list of {name: array} as {name: the arrays stacked along a new first axis}."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def named(prefix, arrays):
    """{name: array} as {"<prefix> name": array}."""
    return {f"{prefix} {name}": array for name, array in arrays.items()}


def under(prefix, arrays):
    """Of {"<prefix> name": array, ...} those with this prefix, as {name: array}."""
    start = f"{prefix} "
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def mean_and_error(values):
    """Of values [..., n], n independent ones: their mean [...], and its standard error [...]; None of
    one."""
    n = values.shape[-1]
    error = values.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else None
    return values.mean(axis=-1), error


def mean_of_known(values):
    """The mean over the last axis of what is not NaN, as of a network that diverged at once."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def log_of_mean(values):
    """ln of that mean; NaN where it is not above 0."""
    mean = mean_of_known(values)
    return np.log(np.where(mean > 0, mean, np.nan))


def rank(x, y, least=3):
    """Spearman's rank correlation, ties sharing their mean rank; NaN of fewer than `least` pairs, or
    where one of them is the same everywhere or NaN anywhere."""
    if len(x) < least or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return np.nan
    from scipy import stats  # which takes half a second, and --help needs none of it

    return float(stats.spearmanr(x, y).statistic)
