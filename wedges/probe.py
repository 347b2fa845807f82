"""How the loss looks from a point, and how far away it crosses a threshold.

    line, barrier                        between two points
    filter_plane                         on a grid of two filter-normalised directions, Li et al.'s
    plane                                on a grid of any 2-D `AffineSubspace`: `random_cut`,
                                         `through` three optima, `principal` of a trajectory
    isotropic, filter_normalized         random directions [S, D]
    sphere                               random points [S, D] at one distance
    radial_profile                       losses along many directions at the same distances
    tunnel_width                         where each direction first crosses a threshold

All take any landscape. Losses are returned as they are: NaN stays NaN, infinity stays infinity.
How many directions are *short* is a question of its own, see `wedges.short`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wedges import _checks, _jobs
from wedges._progress import bar
from wedges._repr import short, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from wedges.affine import AffineSubspace
    from wedges.landscape import Landscape

# Points evaluated in one call: at most so many numbers, and so few points that a bar moves.
_NUMBERS, _POINTS = 2**22, 64
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Line(NamedTuple):
    """Losses along a line or a path; `barrier` takes it as it is."""

    t: np.ndarray  # [T], from 0 to 1
    losses: np.ndarray  # [T]

    def __repr__(self) -> str:
        return short(self)


class FilterPlane(NamedTuple):
    """Losses on a grid of two directions, L(theta + x d_1 + y d_2)."""

    x: np.ndarray  # [X], in lengths of d_1
    y: np.ndarray  # [Y], in lengths of d_2
    losses: np.ndarray  # [Y, X]: row i is y_i, column j is x_j
    directions: np.ndarray  # d_1 and d_2, [2, D]

    def __repr__(self) -> str:
        return short(self)


class Profile(NamedTuple):
    """The loss along S directions at A distances from a point."""

    distances: np.ndarray  # [A]
    losses: np.ndarray  # [A, S]
    mean: np.ndarray  # [A], over directions
    spread: np.ndarray  # [A], standard deviation over directions; NaN with one

    def __repr__(self) -> str:
        return short(self)


class Width(NamedTuple):
    """How far a threshold is from a point theta, along S directions and in their mean.

    Where it was not crossed within the limit the distance is the limit, a lower bound; and so is then
    the mean.
    """

    mean: float  # of the distances
    error: float  # the standard error of the mean; NaN with one direction
    angle: float  # mean of arctan(distance / |theta|), in degrees; 90 at theta = 0
    angle_error: float
    distances: np.ndarray  # [S], Euclidean
    censored: np.ndarray  # [S], true where the threshold was not crossed
    threshold: float  # in units of the loss

    def __repr__(self) -> str:
        return short(self)


def line(
    landscape: Landscape,
    a: ArrayLike,
    b: ArrayLike,
    points: int = 11,
    *,
    jobs: int | None = None,
) -> Line:
    """Losses on the segment from a to b: L((1 - t) a + t b) at `points` even t, both ends included.

    a, b [D] -> a `Line`: t [points], losses [points]; `jobs` as for `plane`.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> t, losses = wedges.probe.line(bowl, [-1.0, 0.0], [1.0, 0.0], points=3)
    >>> losses.tolist()
    [0.5, 0.0, 0.5]
    """
    points = _checks.whole("points", points, 2)
    a, b = (
        np.asarray(_checks.one_point(landscape, end, infinite=True, name=name))
        for name, end in (("a", a), ("b", b))
    )
    t = np.linspace(0.0, 1.0, points)
    weights = t.astype(a.dtype)
    point = lambda i: (1 - weights[i]) * a + weights[i] * b
    return Line(t, _losses(landscape, point, points, "line", jobs))


def barrier(losses: ArrayLike | Line, t: ArrayLike | None = None) -> np.ndarray:
    """How far the loss on a segment rises above the straight line between its ends' losses.

    B = max_t [L(t) - ((1 - t) L(0) + t L(1))] >= 0, in the units of the loss (Frankle et al. 2020,
    arXiv:1912.05671, Draxler et al. 2018). Zero where the segment never rises above the chord; NaN if
    any loss is NaN.

    >>> float(wedges.barrier([0.0, 3.0, 2.0]))  # the chord has 1 in the middle
    2.0
    >>> float(wedges.barrier(wedges.probe.line(wedges.Quadratic([-1.0]), [-1.0], [1.0])))
    0.5

    Args:
      losses: [..., T], T at least 2; or a `Line`, with its own t.
      t: where on the segment they are [T], rising from 0 to 1; even by default.

    Returns:
      B [...].

    Raises:
      ValueError: fewer than two losses, a t that does not rise from 0 to 1; losses and t that could as
        well be each other: a `Line` cannot be taken apart in the wrong order.
    """
    known = isinstance(losses, Line)
    if isinstance(losses, Line):
        t, losses = losses.t if t is None else t, losses.losses
    losses = _checks.on_a_line(losses)
    count = losses.shape[-1]
    if t is None:
        t = np.linspace(0.0, 1.0, count)
    elif not _checks.rises(t, count):
        words = "; is it the losses? barrier takes (losses, t)" if _checks.rises(losses, count) else ""
        raise ValueError(f"t must be {count} numbers that rise from 0 to 1{words}; received {shown(t)}.")
    elif not known and _checks.rises(losses, count) and not np.allclose(losses, t):
        raise ValueError(
            "losses that rise from 0 to 1 as t does must come as a line, or without t where t is even; "
            f"received {shown(losses)} and {shown(t)}, and either may be t."
        )
    t = np.asarray(t)
    chord = (1 - t) * losses[..., :1] + t * losses[..., -1:]
    return np.max(losses - chord, axis=-1)


def plane(
    landscape: Landscape,
    subspace: AffineSubspace,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    jobs: int | None = None,
) -> np.ndarray:
    """Losses on a grid of a plane: L(origin + x_j e_1 + y_i e_2), e the plane's orthonormal axes.

    subspace a 2-D `AffineSubspace`, x [X], y [Y] in Euclidean length -> losses [Y, X]: row i is y_i,
    column j is x_j, as matplotlib's contourf wants them. `subspace.coordinates(points)` says where
    points stand on the picture.

    >>> bowl = wedges.Quadratic([1.0, 2.0, 3.0])
    >>> a, b, c = np.zeros(3, "float32"), [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    >>> cut = wedges.through([a, b, c])  # a at (0, 0), b at (|b - a|, 0)
    >>> wedges.probe.plane(bowl, cut, [0.0, 1.0, 2.0], [0.0, 2.0]).tolist()
    [[0.0, 0.5, 2.0], [4.0, 4.5, 6.0]]

    Args:
      landscape: any.
      subspace: of two dimensions, in the landscape's space.
      x, y: [X] and [Y]; y as x, if it is left out. How far a picture should reach no plane knows:
        `wedges.plots.window(subspace, points)` gives both for points that are to be seen.
      jobs: processes that share the points, -1 for one on each core; None follows
        `joblib.parallel_config` (local processes, a Dask or a Ray cluster), and is one without it. The
        landscape is pickled once, and its numbers are those of one process (bit for bit where
        TensorFlow rounds alike with fewer threads). Each process has as many threads as TensorFlow
        was told to use here, else its share of the cores. Several pay where one process does not fill
        the cores and the points take longer than TensorFlow's start, some seconds.

    Raises:
      ValueError: a subspace that is not a plane, a landscape that cannot go to other processes.
    """
    from wedges.landscape import restrict

    _checks.a_landscape(landscape)
    _checks.a_subspace(subspace)
    one = np.zeros(2, landscape.dtype.as_numpy_dtype)
    flat = (subspace.dimension, subspace.parameters) == (2, 2)
    if not flat or subspace.embed(one).shape != (subspace.ambient,):
        raise ValueError(
            "subspace must be one plane, of two coordinates, e.g. random_cut(theta, 2, seed=0); "
            f"received {subspace!r}."
        )
    if x is None:
        raise ValueError(
            "x must be where along the plane's first axis to look, e.g. np.linspace(-1, 1, 21), or "
            "x, y = wedges.plots.window(subspace, points) for points that are to be seen; received None."
        )
    x, y = _distances("x", x), _distances("y", x if y is None else y)
    inside = restrict(landscape, subspace)
    position = lambda k: np.array([x[k % len(x)], y[k // len(x)]])
    return _losses(inside, position, len(x) * len(y), "plane", jobs).reshape(len(y), len(x))


def isotropic(
    dimension: int, samples: int, *, seed: int | Sequence[int], dtype: DTypeLike = "float32"
) -> np.ndarray:
    """Uniformly random unit vectors [samples, D]: independent normal numbers over their length."""
    samples, dimension = _checks.whole("samples", samples), _checks.whole("dimension", dimension)
    v = np.random.default_rng(_checks.seed(seed)).standard_normal((samples, dimension))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v.astype(dtype)


def sphere(
    landscape: Landscape,
    theta: ArrayLike,
    radius: float,
    samples: int,
    *,
    seed: int | Sequence[int] | np.random.Generator,
) -> np.ndarray:
    """Points [samples, D] at one distance from theta [D], in uniformly random directions.

    They are of the landscape's dtype. A generator given as the seed is drawn from.

    >>> bowl = wedges.Quadratic(np.ones(50))
    >>> points = wedges.probe.sphere(bowl, np.zeros(50), 2.0, 3, seed=0)
    >>> bowl(points).numpy().round(5).tolist()
    [2.0, 2.0, 2.0]
    """
    theta = np.asarray(_checks.one_point(landscape, theta))
    _checks.positive("radius", radius)
    samples = _checks.whole("samples", samples)
    rng = np.random.default_rng(seed if isinstance(seed, np.random.Generator) else _checks.seed(seed))
    v = rng.standard_normal((samples, landscape.dimension))
    v *= radius / np.linalg.norm(v, axis=1, keepdims=True)
    return theta + v.astype(theta.dtype)


def filter_normalized(
    theta: ArrayLike, filters: ArrayLike, samples: int, *, seed: int | Sequence[int]
) -> np.ndarray:
    """Random directions in which each filter is as long as theta's own: d_f <- d_f |theta_f| / |d_f|.

    theta [D]; filters [D] whole numbers, the filter that each component belongs to, -1 for components
    that stay as they are (`WeightSpace.filters`) -> [samples, D]. A ReLU network that computes the same
    when one layer is scaled up and the next one down is then seen alike at every such scale.

    Source: Li et al. 2018 (arXiv:1712.09913), section 4, who also leave biases and batch norm alone.
    """
    theta, filters = _checks.array("theta", theta), _checks.array("filters", filters)
    if theta.dtype.kind not in "iu" and theta.dtype.name not in _FLOATS:
        raise ValueError(f"theta must be real numbers [D]; received {_checks.called(theta)}.")
    if theta.dtype.kind in "iu" or theta.dtype.itemsize < 4:
        theta = theta.astype(np.float32)
    if theta.ndim != 1 or filters.shape != theta.shape or filters.dtype.kind not in "iu":
        raise ValueError(
            "filters must hold one whole number for each component of theta [D]; received filters "
            f"{filters.dtype} {filters.shape} and theta {theta.shape}."
        )
    samples, rng = _checks.whole("samples", samples), np.random.default_rng(_checks.seed(seed))
    moved = filters >= 0
    group = filters[moved]
    length = lambda v: np.sqrt(np.bincount(group, np.square(v, dtype=np.float64)))  # [filters]
    # In units near the largest: the square of a theta that is tiny or huge is no float.
    unit = np.ldexp(1.0, np.frexp(np.abs(theta[moved], dtype=np.float64).max(initial=0))[1] - 1)
    wanted = length(theta[moved].astype(np.float64) / unit)
    directions = np.zeros((samples, len(theta)), theta.dtype)
    for row in directions:
        v = rng.standard_normal(len(group))
        own = length(v)
        row[moved] = unit * v * (wanted / np.where(own > 0, own, 1))[group]
    return directions


def filter_plane(
    landscape: Landscape,
    theta: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    seed: int | Sequence[int],
    filters: ArrayLike | None = None,
    jobs: int | None = None,
) -> FilterPlane:
    """Losses L(theta + x_j d_1 + y_i d_2), d_1 and d_2 random and filter-normalised: a `FilterPlane`.

    The surface of Li et al. 2018. The directions are those of `filter_normalized(theta, filters, 2,
    seed=seed)`, as they are: x = 1 moves every filter by its own length, so that pictures of networks
    of other scales compare. In many dimensions they are nearly normal to each other, and not made so.
    `plane` draws orthonormal axes, in Euclidean lengths.

    >>> bowl = wedges.Quadratic([1.0, 4.0])
    >>> found = wedges.filter_plane(bowl, [3.0, 1.0], [0.0, 1.0], [0.0], seed=0, filters=[0, 1])
    >>> np.abs(found.directions[0]).tolist()  # each number a filter, which is turned or not
    [3.0, 1.0]
    >>> float(found.losses[0, 0])
    6.5

    Args:
      landscape: a network's, or one made of it in the same space (`Squared`, `Distributed`); any other
        with `filters`.
      theta: [D], finite.
      x, y: [X] and [Y]; by default 21 even steps from -1 to 1, and y as x.
      seed: of the directions.
      filters: the filter that each component of theta belongs to [D], -1 for none; those of
        `landscape.core.space` by default.
      jobs: as for `plane`.

    Raises:
      ValueError: a landscape without filters, a theta or grid of another shape.

    Source: Li et al. 2018 (arXiv:1712.09913), section 4.
    """
    theta = np.asarray(_checks.one_point(landscape, theta))
    x = np.linspace(-1.0, 1.0, 21) if x is None else _distances("x", x)
    y = x if y is None else _distances("y", y)
    if filters is None:
        filters = filters_of(landscape)
        if filters is None:
            raise ValueError(
                "landscape must be a network's whole space, whose filters are known, or filters must be "
                f"given; received {landscape!r}."
            )
    d = filter_normalized(theta, filters, 2, seed=seed).astype(theta.dtype)
    kind = theta.dtype.type
    point = lambda k: theta + kind(x[k % len(x)]) * d[0] + kind(y[k // len(x)]) * d[1]
    losses = _losses(landscape, point, len(x) * len(y), "filter plane", jobs)
    return FilterPlane(x, y, losses.reshape(len(y), len(x)), d)


def filters_of(landscape: Landscape) -> np.ndarray | None:
    """The filter of each component of theta [D], -1 for none, as a network's whole space knows it.

    None for any other landscape.
    """
    _checks.a_landscape(landscape)
    space = getattr(landscape.core, "space", None)
    if space is None or space.dimension != landscape.dimension:
        return None
    return space.filters


def radial_profile(
    landscape: Landscape,
    theta: ArrayLike,
    directions: ArrayLike,
    distances: ArrayLike,
    *,
    jobs: int | None = None,
) -> Profile:
    """Losses L(theta + a v) along directions v at each distance a: a `Profile`.

    theta [D]; directions [S, D], of any length: v is what the distances multiply, so give unit vectors
    (`isotropic`) for Euclidean distances; distances [A], negative ones too; `jobs` as for
    `plane`.

    >>> profile = wedges.radial_profile(wedges.Quadratic([1.0, 4.0]), np.zeros(2), np.eye(2), [1.0, 2.0])
    >>> profile.losses.tolist()  # [distances, directions]
    [[0.5, 2.0], [2.0, 8.0]]
    """
    theta, v = _from(landscape, theta, directions)
    a = _distances("distances", distances)
    point = lambda k: theta + v.dtype.type(a[k // len(v)]) * v[k % len(v)]
    losses = _losses(landscape, point, len(a) * len(v), "directions", jobs).reshape(len(a), len(v))
    wide = losses.astype(np.float64)  # the square of a float32 may be none
    with np.errstate(invalid="ignore"):  # of infinite losses the mean is infinite, the spread NaN
        spread = wide.std(axis=1, ddof=1) if len(v) > 1 else np.full(len(a), np.nan)
    return Profile(a, losses, wide.mean(axis=1), spread)


def tunnel_width(
    landscape: Landscape,
    theta: ArrayLike,
    directions: ArrayLike,
    threshold: float | Sequence[float],
    *,
    first: float | None = None,
    limit: float | None = None,
    growth: float = 1.25,
    refinements: int = 3,
    jobs: int | None = None,
) -> Width | list[Width]:
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
      landscape: any.
      theta: [D], finite, its loss at most the threshold.
      directions: [S, D], of any length but 0.
      threshold: in units of the loss, e.g. twice the loss at theta; or several [T]: a list of `Width`.
      first: the shortest distance looked at; a fiftieth of |theta| by default.
      limit: the longest; four times |theta| by default, an angle of 76 degrees.
      growth: above 1; 1.25 looks at 25 distances over the default range at most.
      refinements: how often an interval is halved; 0 interpolates between the distances looked at.
      jobs: as for `plane`; processes share the directions.

    Raises:
      ValueError: a threshold below the loss at theta, no limit given at theta = 0, a bad range.

    >>> bowl = wedges.Quadratic([2.0, 2.0, 2.0])
    >>> v = wedges.isotropic(3, 5, seed=0)
    >>> width = wedges.tunnel_width(bowl, np.zeros(3), v, 4.0, limit=10.0)  # sqrt(2 * 4 / 2) = 2
    >>> print(f"{width.mean:.2f} of {len(width.distances)} directions, {width.censored.sum()} censored")
    2.00 of 5 directions, 0 censored
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
    thresholds = np.atleast_1d(_checks.floats("threshold", threshold))
    base = float(landscape(theta))
    if thresholds.ndim > 1 or not thresholds.size or not (base <= thresholds).all():
        raise ValueError(
            f"threshold must be at least the loss at theta, {base:g}; received {threshold!r}."
        )
    refinements = _checks.whole("refinements", refinements, 0)

    point = lambda k, a: theta + v.dtype.type(a[k]) * v[k]
    with _Points(landscape, point, jobs) as points:
        # A distance for each direction [S] -> losses [S].
        losses_at = lambda a: points.losses(len(a), "width", a).astype(np.float64)
        a, losses, highest = [0.0], [np.full(len(v), base)], thresholds.max()
        crossed = np.zeros(len(v), bool)
        while a[-1] < limit and not crossed.all():
            a.append(min(limit, a[-1] * growth or first))
            losses.append(losses_at(np.full(len(v), a[-1])))
            crossed |= ~(losses[-1] <= highest)
        a, losses = np.array(a), np.array(losses)  # [A], [A, S]
        found = [_crossings(a, losses, t, losses_at, refinements) for t in thresholds]
    widths = [_width(crossing, t, norm) for crossing, t in zip(found, thresholds, strict=True)]
    return widths if np.ndim(threshold) else widths[0]


def _crossings(a, losses, threshold, losses_at, refinements):
    """Distance of the first crossing [S], whether there was none [S]; from losses [A, S] at a [A]."""
    above = ~(losses <= threshold)  # NaN is not low
    censored = ~above.any(axis=0)
    j = np.where(censored, len(a) - 1, above.argmax(axis=0))  # [S]
    every = np.arange(losses.shape[1])
    low, high = a[np.maximum(j - 1, 0)], a[j]
    under, over = losses[np.maximum(j - 1, 0), every], losses[j, every]
    for _ in range(refinements):
        middle = np.where(low > 0, np.sqrt(low * high), high / 2)
        here = losses_at(middle)
        up = ~(here <= threshold)
        low, under = np.where(up, low, middle), np.where(up, under, here)
        high, over = np.where(up, middle, high), np.where(up, here, over)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (threshold - under) / (over - under)  # 0 below an infinite loss, NaN below NaN
    return np.where(censored, a[-1], low + share * (high - low)), censored


def _width(crossing, threshold, norm):
    distances, censored = crossing
    angles = np.degrees(np.arctan2(distances, norm))
    error, angle_error = map(_checks.standard_error, (distances, angles))
    means = distances.mean(), error, angles.mean(), angle_error
    return Width(*means, distances, censored, float(threshold))


def _losses(
    landscape: Landscape,
    point: Callable[[int], np.ndarray],
    count: int,
    name: str,
    jobs: int | None,
) -> np.ndarray:
    """The losses [count] at point(0), ..., point(count - 1)."""
    with _Points(landscape, point, jobs) as points:
        return points.losses(count, name)


class _Points(_jobs.Workers):
    """The losses at point(k, *more), k = 0, 1, ..., blocks of them at a time."""

    def __init__(self, landscape: Landscape, point: Callable, jobs: int | None) -> None:
        super().__init__(_block, (landscape, point), jobs)
        held = max(landscape.dimension, landscape.core.dimension)  # numbers a point
        self._most = max(1, min(_POINTS, _NUMBERS // held))

    def losses(self, count: int, name: str, *more: np.ndarray) -> np.ndarray:
        """[count], with a progress bar called `name`."""
        rows = -(-count // -(-count // self.rows(count, self._most)))
        # Blocks of one size, the last one filled up: a compiled landscape then knows one shape.
        starts = range(0, count, rows)
        blocks = ((np.minimum(np.arange(s, s + rows), count - 1), more) for s in starts)
        losses = []
        with bar(total=count, desc=name, unit="point") as progress:
            for start, found in zip(starts, self.over(blocks), strict=True):
                losses.append(found)
                progress.update(min(rows, count - start))
        return np.concatenate(losses)[:count]


def _block(work, block):
    (landscape, point), (which, more) = work, block
    numbers = np.stack([point(k, *more) for k in which]).astype(landscape.dtype.as_numpy_dtype)
    return np.asarray(landscape(numbers))


def _from(landscape, theta, directions):
    """theta [D] and directions [S, D] as arrays of the landscape's dtype."""
    theta = np.asarray(_checks.one_point(landscape, theta))
    v = np.asarray(_checks.numbers("directions", directions, landscape.dtype))
    if v.ndim != 2 or not len(v) or v.shape[1] != len(theta):
        raise ValueError(f"directions must have shape [S, {len(theta)}]; received {v.shape}.")
    return theta, v


def _distances(name, values):
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be finite numbers [A]; received {values!r}.") from None
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite numbers [A]; received {values.tolist()}.")
    return values
