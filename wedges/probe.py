"""How the loss looks from a point: along lines, on planes, along random directions, and how far away
it crosses a threshold.

    line, barrier                        between two points
    plane                                on a grid of any 2-D `AffineSubspace`: `random_cut`,
                                         `through` three optima, `principal` of a trajectory
    isotropic, filter_normalized         random directions [S, D]
    radial_profile                       losses along many directions at the same distances
    tunnel_width                         where each direction first crosses a threshold

All take any landscape. Losses are returned as they are: NaN stays NaN, infinity stays infinity.
How many directions are *short* is a question of its own, see `wedges.short`.
"""

import collections

import numpy as np

from wedges.progress import bar

# Points evaluated in one call: at most so many numbers, and so few points that a bar moves.
_NUMBERS, _POINTS = 2**22, 64

Profile = collections.namedtuple("Profile", ["distances", "losses", "mean", "spread"])
Profile.__doc__ = """distances [A]; losses [A, S] along S directions; their mean [A] and standard
deviation over directions [A] (NaN with one direction)."""

Width = collections.namedtuple(
    "Width", ["mean", "error", "angle", "angle_error", "distances", "censored", "threshold"]
)
Width.__doc__ = """How far a threshold is: mean over directions and standard error of the mean (NaN with
one direction), as Euclidean distance and as angle arctan(distance / |theta|) in degrees (90 at theta =
0); distances [S]; censored [S], true where the threshold was not crossed within the limit. Such a
distance is the limit, a lower bound, and so is then the mean. The threshold, in units of the loss."""


def line(landscape, a, b, points=11):
    """Losses on the segment from a to b: L((1 - t) a + t b) at `points` even t, both ends included.

    a, b [D] -> t [points], losses [points].
    """
    if points < 2:
        raise ValueError(f"points must be at least 2, the ends; received {points}.")
    a, b = np.asarray(landscape.point(a)), np.asarray(landscape.point(b))
    t = np.linspace(0.0, 1.0, points)
    weights = t.astype(a.dtype)
    return t, _losses(landscape, lambda i: (1 - weights[i]) * a + weights[i] * b, points, "line")


def barrier(losses, t=None):
    """How far the loss on a segment rises above the straight line between its ends' losses.

    B = max_t [L(t) - ((1 - t) L(0) + t L(1))] >= 0, losses [..., T] at even t -> [...], in the
    units of the loss (Frankle et al. 2020, arXiv:1912.05671, Draxler et al. 2018). Zero where the
    segment never rises above the chord; NaN if any loss is NaN.
    """
    losses = np.asarray(losses)
    t = np.linspace(0.0, 1.0, losses.shape[-1]) if t is None else np.asarray(t)
    chord = (1 - t) * losses[..., :1] + t * losses[..., -1:]
    return np.max(losses - chord, axis=-1)


def plane(landscape, subspace, x, y):
    """Losses on a grid of a plane: L(origin + x_j e_1 + y_i e_2), e the plane's orthonormal axes.

    subspace a 2-D `AffineSubspace`, x [X], y [Y] in Euclidean length -> losses [Y, X]: row i is y_i,
    column j is x_j, as matplotlib's contourf wants them. `subspace.coordinates(points)` says where
    points stand on the picture.

    >>> cut = wedges.through([a, b, c])  # a at (0, 0), b at (|b - a|, 0)
    >>> losses = wedges.plane(landscape, cut, np.linspace(-5, 20, 25), np.linspace(-5, 20, 25))
    """
    from wedges.landscape import restrict

    one = np.zeros(2, landscape.dtype.as_numpy_dtype)
    flat = (subspace.dimension, subspace.parameters) == (2, 2)
    if not flat or subspace.embed(one).shape != (subspace.ambient,):
        raise ValueError(
            "subspace must be one plane, of two coordinates, e.g. random_cut(theta, 2, seed=0); "
            f"received {subspace!r}."
        )
    x, y = _distances("x", x), _distances("y", y)
    inside = restrict(landscape, subspace)
    position = lambda k: np.array([x[k % len(x)], y[k // len(x)]])
    return _losses(inside, position, len(x) * len(y), "plane").reshape(len(y), len(x))


def isotropic(dimension, samples, *, seed, dtype="float32"):
    """Uniformly random unit vectors [samples, D]: independent normal numbers over their length."""
    v = np.random.default_rng(seed).standard_normal((_whole("samples", samples), dimension))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v.astype(dtype)


def filter_normalized(theta, filters, samples, *, seed):
    """Random directions in which each filter is as long as theta's own: d_f <- d_f |theta_f| / |d_f|.

    theta [D]; filters [D] whole numbers, the filter that each component belongs to, -1 for components
    that stay as they are (`WeightSpace.filters`) -> [samples, D]. A ReLU network that computes the same
    when one layer is scaled up and the next one down is then seen alike at every such scale.

    Source: Li et al. 2018 (arXiv:1712.09913), section 4, who also leave biases and batch norm alone.
    """
    theta, filters = np.asarray(theta), np.asarray(filters)
    theta = theta.astype(np.result_type(theta, np.float32))
    if theta.ndim != 1 or filters.shape != theta.shape or filters.dtype.kind not in "iu":
        raise ValueError(
            "filters must hold one whole number for each component of theta [D]; received filters "
            f"{filters.dtype} {filters.shape} and theta {theta.shape}."
        )
    moved = filters >= 0
    group = filters[moved]
    length = lambda v: np.sqrt(np.bincount(group, np.square(v, dtype=np.float64)))  # [filters]
    own, rng = length(theta[moved]), np.random.default_rng(seed)
    directions = np.zeros((_whole("samples", samples), len(theta)), theta.dtype)
    for row in directions:
        v = rng.standard_normal(len(group))
        row[moved] = v * (own / np.maximum(length(v), 1e-300))[group]
    return directions


def radial_profile(landscape, theta, directions, distances):
    """Losses L(theta + a v) along directions v at each distance a: a `Profile`.

    theta [D]; directions [S, D], of any length: v is what the distances multiply, so give unit vectors
    (`isotropic`) for Euclidean distances; distances [A], negative ones too.
    """
    theta, v = _from(landscape, theta, directions)
    a = _distances("distances", distances)
    at = lambda k: theta + v.dtype.type(a[k // len(v)]) * v[k % len(v)]
    losses = _losses(landscape, at, len(a) * len(v), "directions").reshape(len(a), len(v))
    with np.errstate(invalid="ignore"):  # of infinite losses the mean is infinite, the spread NaN
        spread = losses.std(axis=1, ddof=1) if len(v) > 1 else np.full(len(a), np.nan)
    return Profile(a, losses, losses.mean(axis=1), spread)


def tunnel_width(
    landscape, theta, directions, threshold, *, first=None, limit=None, growth=1.25, refinements=3
):
    """How far from theta the loss first crosses a threshold, along each direction: a `Width`.

        a(v) = min {a > 0: L(theta + a v / |v|) > threshold}

    The loss is looked at at distances first, first growth, first growth^2, ... up to the limit, along
    all directions at once; the first interval at whose end it is above the threshold is halved
    `refinements` times (by ratio), and the crossing interpolated in what is left. A rise that begins and
    ends between two of those distances is not seen. On a quadratic of one curvature h, with L = 0 at
    theta, a = sqrt(2 threshold / h).

    A direction that never crosses counts with the limit, and is marked as censored; one along which the
    loss is NaN before it is seen to cross has the distance NaN, and so has the mean.

    Args:
      theta: [D], finite, its loss at most the threshold.
      directions: [S, D], of any length but 0.
      threshold: in units of the loss, e.g. twice the loss at theta; or several [T]: a list of `Width`.
      first: the shortest distance looked at; a fiftieth of |theta| by default.
      limit: the longest; four times |theta| by default, an angle of 76 degrees.
      growth: above 1; 1.25 looks at 25 distances over the default range at most.

    Raises:
      ValueError: a threshold below the loss at theta, no limit given at theta = 0, a bad range.
    """
    theta, v = _from(landscape, theta, directions)
    lengths = np.linalg.norm(v.astype(np.float64), axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("directions must be finite and of a length above 0; received one that is not.")
    v = (v / lengths[:, None]).astype(v.dtype)
    norm = float(np.linalg.norm(theta.astype(np.float64)))
    limit = 4 * norm if limit is None else limit
    first = (min(norm / 50, limit) or limit / 200) if first is None else first
    if not (0 < first <= limit < np.inf and 1 < growth < np.inf):
        raise ValueError(
            "distances must satisfy 0 < first <= limit < infinity and growth > 1 (at theta = 0 a limit "
            f"must be given); received first={first!r}, limit={limit!r}, growth={growth!r}."
        )
    thresholds = np.atleast_1d(np.asarray(threshold, np.float64))
    base = float(landscape(theta))
    if thresholds.ndim > 1 or not thresholds.size or not (base <= thresholds).all():
        raise ValueError(
            f"threshold must be at least the loss at theta, {base:g}; received {threshold!r}."
        )

    if refinements:
        _whole("refinements", refinements)

    def at(a):  # a distance for each direction [S] -> losses [S]
        points = lambda k: theta + v.dtype.type(a[k]) * v[k]
        return _losses(landscape, points, len(a), "width").astype(np.float64)

    a, losses, highest = [0.0], [np.full(len(v), base)], thresholds.max()
    crossed = np.zeros(len(v), bool)
    while a[-1] < limit and not crossed.all():
        a.append(min(limit, a[-1] * growth or first))
        losses.append(at(np.full(len(v), a[-1])))
        crossed |= ~(losses[-1] <= highest)
    a, losses = np.array(a), np.array(losses)  # [A], [A, S]
    found = [_crossings(a, losses, t, at, refinements) for t in thresholds]
    widths = [_width(*crossing, t, norm) for crossing, t in zip(found, thresholds, strict=True)]
    return widths if np.ndim(threshold) else widths[0]


def _crossings(a, losses, threshold, at, refinements):
    """Distance of the first crossing [S], whether there was none [S]; from losses [A, S] at a [A]."""
    above = ~(losses <= threshold)  # NaN is not low
    censored = ~above.any(axis=0)
    j = np.where(censored, len(a) - 1, above.argmax(axis=0))  # [S]
    every = np.arange(losses.shape[1])
    low, high = a[np.maximum(j - 1, 0)], a[j]
    under, over = losses[np.maximum(j - 1, 0), every], losses[j, every]
    for _ in range(refinements):
        middle = np.where(low > 0, np.sqrt(low * high), high / 2)
        here = at(middle)
        up = ~(here <= threshold)
        low, under = np.where(up, low, middle), np.where(up, under, here)
        high, over = np.where(up, middle, high), np.where(up, here, over)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (threshold - under) / (over - under)  # 0 below an infinite loss, NaN below NaN
    return np.where(censored, a[-1], low + share * (high - low)), censored


def _width(distances, censored, threshold, norm):
    angles = np.degrees(np.arctan2(distances, norm))
    means = (m for x in (distances, angles) for m in (x.mean(), _standard_error(x)))
    return Width(*means, distances, censored, float(threshold))


def _standard_error(samples):
    """Of the mean of samples [S]; NaN with one."""
    return np.std(samples, ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else np.nan


def _losses(landscape, point, count, name):
    """The losses [count] at point(0), ..., point(count - 1), blocks of them at a time."""
    from wedges.landscape import Restricted

    whole = landscape.landscape if isinstance(landscape, Restricted) else landscape
    blocks = -(-count // max(1, min(_POINTS, _NUMBERS // whole.dimension)))
    rows = -(-count // blocks)
    losses = []
    with bar(total=count, desc=name, unit="point") as progress:
        for start in range(0, count, rows):
            # Blocks of one size, the last one filled up: a compiled landscape then knows one shape.
            which = np.minimum(np.arange(start, start + rows), count - 1)
            numbers = np.stack([point(k) for k in which]).astype(landscape.dtype.as_numpy_dtype)
            losses.append(np.asarray(landscape(numbers)))
            progress.update(min(rows, count - start))
    return np.concatenate(losses)[:count]


def _from(landscape, theta, directions):
    """theta [D] and directions [S, D] as arrays of the landscape's dtype."""
    theta, v = np.asarray(landscape.point(theta)), np.asarray(directions)
    if theta.ndim != 1 or not np.isfinite(theta).all():
        raise ValueError(
            f"theta must be one finite point [{landscape.dimension}]; received shape {theta.shape}"
            f"{'' if np.isfinite(theta).all() else ' with NaN or infinity in it'}."
        )
    if v.ndim != 2 or not len(v) or v.shape[1] != len(theta):
        raise ValueError(f"directions must have shape [S, {len(theta)}]; received {v.shape}.")
    return theta, v.astype(theta.dtype)


def _one_point(landscape, theta):
    theta = landscape.point(theta)
    if theta.shape.rank != 1:
        raise ValueError(
            f"theta must be one point [{landscape.dimension}]; received shape {tuple(theta.shape)}."
        )
    if not np.all(np.isfinite(theta)):
        raise ValueError("theta must be finite; received NaN or infinity in it.")
    return theta


def _distances(name, values):
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite numbers [A]; received {values.tolist()}.")
    return values


def _whole(name, value):
    if not (isinstance(value, (int, np.integer)) and value >= 1):
        raise ValueError(f"{name} must be a whole number, at least 1; received {value!r}.")
    return value
