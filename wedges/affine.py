"""Affine subspaces of R^D: where a landscape is restricted to.

A = {origin + lift(z)}: `lift` is linear, z are free coordinates. Kinds of directions:

    Span        lift(z) = z B               rows of B orthonormal [d, D]; z [d]
    Complement  lift(z) = z - z N^T N       rows of N orthonormal [m, D]; z [D], d = D - m
    Transform   lift(z) = signs' DCT(signs tile(z) / sqrt(copies))    O(D + d), no matrix; z [d]
    Repeated    lift(z)_i = lift'(z_i)      one of these for each of several points

In all of them `lower` is the transpose of `lift` and lift(lower(v)) the orthogonal projection of v, so
a point of A is never off it by more than rounding. `random_cut`, `normal_plane` and `through` make
the subspaces of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from wedges import _checks
from wedges._progress import bar
from wedges._repr import short

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

# random_cut holds a dense basis up to this many numbers, 32 MB in float32; of few directions, which are
# several times faster than a transform whatever D is, up to 1 GiB in float32.
DENSE_NUMBERS = 2**23
_FEW_DIRECTIONS, _FEW_NUMBERS = 64, 2**28
_BLOCK = 2**20  # numbers of a large basis that are made at once
_SALT = 0x5EED_C07


class Principal(NamedTuple):
    """The plane in which a trajectory lies best, through its last point."""

    subspace: AffineSubspace  # of d dimensions
    explained: np.ndarray  # [d], the share of the squared distances along each of its axes

    def __repr__(self) -> str:
        return short(self)


class AffineSubspace:
    """A = {origin + lift(z)}, a d-dimensional affine subspace of R^D; or R of them at once.

    Args:
      origin: a point of the subspace [D], finite; [R, D] for R subspaces, parallel unless the
        directions are [R, ...] as well.
      directions: a `Span`, `Complement`, `Transform` or `Repeated`; or an array [d, D] of independent
        vectors that span it.

    Attributes:
      dimension: d.
      parameters: the length of z: d, but D for a `Complement`, whose lift projects z.
      ambient: D.
      dtype: of every point in and out, the origin's.

    Raises:
      ValueError: an origin that is not finite, or of another length than the directions.
    """

    def __init__(self, origin: ArrayLike, directions: Directions | ArrayLike) -> None:
        origin = _floating("origin", origin)
        if not isinstance(directions, Directions):
            directions = Span(directions, dtype=origin.dtype)
        if origin.shape.rank == 0 or origin.shape[-1] != directions.ambient:
            raise ValueError(
                f"origin must have shape [..., {directions.ambient}] (D of the directions); "
                f"received shape {tuple(origin.shape)}."
            )
        if directions.dtype != origin.dtype:
            raise ValueError(
                f"origin and directions must share a dtype; received {origin.dtype.name} and "
                f"{directions.dtype.name}."
            )
        self.origin, self.directions = origin, directions
        self.dtype = origin.dtype
        self.ambient = directions.ambient
        self.dimension, self.parameters = directions.dimension, directions.parameters

    def embed(self, z: ArrayLike) -> tf.Tensor:
        """The point of A with coordinates z: origin + lift(z). z [..., p] -> [..., D]."""
        return self.origin + self.directions.lift(self._checked("z", z, self.parameters))

    def coordinates(self, theta: ArrayLike) -> tf.Tensor:
        """z of the point of A nearest to theta: lower(theta - origin). [..., D] -> [..., p]."""
        return self.directions.lower(self._checked("theta", theta, self.ambient) - self.origin)

    def project(self, theta: ArrayLike) -> tf.Tensor:
        """The point of A nearest to theta. [..., D] -> [..., D]."""
        return self.embed(self.coordinates(theta))

    def distance(self, theta: ArrayLike) -> tf.Tensor:
        """Euclidean distance from theta to A. [..., D] -> [...]."""
        offset = self._checked("theta", theta, self.ambient) - self.origin
        return tf.norm(offset - self.directions.lift(self.directions.lower(offset)), axis=-1)

    def length(self, z: ArrayLike) -> tf.Tensor:
        """|lift(z)|, how far coordinates z lead from the origin. [..., p] -> [...]."""
        return self.directions.length(self._checked("z", z, self.parameters))

    def _checked(self, name: str, value: ArrayLike, size: int) -> tf.Tensor:
        value = _checks.numbers(name, value, self.dtype)
        if value.shape.rank == 0 or value.shape[-1] != size:
            raise ValueError(
                f"{name} must have shape [..., {size}] in this subspace (D {self.ambient}, "
                f"dimension {self.dimension}); received shape {tuple(value.shape)}."
            )
        return value

    def __repr__(self) -> str:
        kind = type(self.directions).__name__
        count = int(np.prod(self.origin.shape[:-1]))
        several = "" if self.origin.shape.rank == 1 else f"{count} of "
        return f"AffineSubspace({several}{self.dimension} of {self.ambient} dimensions, {kind})"

    # ---- to a file and back ---------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """What, with `arrays`, makes this subspace again: a dict of JSON values."""
        return {"kind": type(self.directions).__name__, **self.directions.config}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The numbers it holds that do not follow from `config`: {name: array}."""
        arrays = {"origin": self.origin, **self.directions.arrays}
        return {name: np.array(a) for name, a in arrays.items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> AffineSubspace:
        """The subspace of a `config` and its `arrays`, bit for bit."""
        config, arrays = dict(config), dict(arrays)
        origin = arrays.pop("origin")
        return cls(origin, _restored(config, arrays, origin.dtype))


# ---- the subspaces of the paper ---------------------------------------------------------------------


def random_cut(
    origin: ArrayLike, dimension: int, *, seed: int | Sequence[int], method: str = "auto"
) -> AffineSubspace:
    """A random d-dimensional cut through `origin`, uniform over orientations.

    Args:
      origin: P0 [D]; [R, D] with a sequence of R seeds for R cuts at once (dense only).
      dimension: d, from 1 to D.
      seed: of the orientation; the same number gives the same cut in any process.
      method: "dense" holds an orthonormalised Gaussian basis (d D numbers); "transform" a seeded
        `Transform` (D numbers, O(D log D) time); "auto" takes the dense one up to 2^23 numbers, and
        up to 2^28 (1 GiB in float32) where d is at most 64, for which it is the faster one.

    >>> cut = wedges.random_cut(np.ones(1000), 10, seed=0)
    >>> theta = cut.embed(np.zeros(10))  # the origin itself; any other z is a point of the cut
    >>> float(cut.distance(theta))
    0.0

    Source: Fort & Jastrzebski 2019, section 3, P = theta M + P0; Li et al. 2018 (arXiv:1804.08838).
    """
    _checks.choice("method", method, ("auto", "dense", "transform"))
    origin = _floating("origin", origin)
    if origin.shape.rank == 0:
        raise ValueError("origin must have shape [D] or [R, D]; received shape ().")
    ambient = origin.shape[-1]
    dimension = _checks.whole("dimension", dimension, 1, ambient, limit="D")
    seeds = np.ravel(_checks.seed(seed))
    if np.ndim(seed) and (not len(seeds) or origin.shape[:-1] not in ((), seeds.shape)):
        raise ValueError(
            f"seed must be one number, or one for each origin; received {len(seeds)} seeds for an "
            f"origin of shape {tuple(origin.shape)}."
        )
    if method == "transform" and np.ndim(seed):
        raise ValueError("method='transform' makes one cut; received a sequence of seeds.")
    size = dimension * ambient
    small = size <= DENSE_NUMBERS or (dimension <= _FEW_DIRECTIONS and size <= _FEW_NUMBERS)
    dense = np.ndim(seed) or method == "dense" or (method == "auto" and small)
    if not dense:
        return AffineSubspace(origin, Transform(ambient, dimension, seed=seeds[0], dtype=origin.dtype))
    bases = [_random_basis(s, ambient, dimension, origin.dtype.as_numpy_dtype) for s in seeds]
    rows = np.stack(bases) if np.ndim(seed) else bases[0]
    return AffineSubspace(origin, Span(rows, dtype=origin.dtype, orthonormal=True))


def _random_basis(seed, ambient, dimension, dtype):
    """Orthonormal rows [d, D] that span a uniformly random subspace.

    They are made of a Gaussian, which has no preferred direction.
    """
    rng = generator(seed)
    if dimension > _FEW_DIRECTIONS or dimension * ambient <= DENSE_NUMBERS:
        return np.linalg.qr(rng.standard_normal((ambient, dimension))).Q.T
    # By the Cholesky factor of its Gram matrix, in place: of few long vectors, which are nearly normal
    # to each other as they are drawn, it loses nothing.
    rows, gram = np.empty((dimension, ambient), dtype), np.zeros((dimension, dimension))
    length = max(1, _BLOCK // dimension)
    parts = [slice(i, min(i + length, ambient)) for i in range(0, ambient, length)]
    with bar(total=2 * len(parts), desc="random cut", unit="part") as progress:
        for part in parts:
            drawn = rng.standard_normal((part.stop - part.start, dimension))
            gram += drawn.T @ drawn
            rows[:, part] = drawn.T
            progress.update()
        inverse = np.linalg.inv(np.linalg.cholesky(gram))
        for part in parts:
            rows[:, part] = inverse @ rows[:, part]
            progress.update()
    return rows


def normal_plane(origin: ArrayLike, directions: ArrayLike) -> AffineSubspace:
    """The (D - m)-dimensional plane through `origin` normal to m directions, O(m D) memory.

    Args:
      origin: [D], or [R, D] for R parallel planes.
      directions: the normals [m, D] or [D] (one), linearly independent, of any length.

    >>> plane = wedges.normal_plane([5.0, 0.0, 0.0], [2.0, 0.0, 0.0])
    >>> plane.project([7.0, 8.0, 9.0]).numpy().tolist()
    [5.0, 8.0, 9.0]
    """
    origin = _floating("origin", origin)
    return AffineSubspace(origin, Complement(directions, dtype=origin.dtype))


def through(points: ArrayLike) -> AffineSubspace:
    """The m-dimensional plane through m + 1 points [m + 1, D] in general position.

    Its origin is the first of them; with three, the second stands at (|b - a|, 0).

    >>> plane = wedges.through([[0.0, 0.0, 1.0], [3.0, 0.0, 1.0], [3.0, 4.0, 1.0]])
    >>> plane.coordinates([3.0, 4.0, 1.0]).numpy().round(6).tolist()
    [3.0, 4.0]
    """
    points = _floating("points", points)
    if points.shape.rank != 2 or points.shape[0] < 2:
        raise ValueError(f"points must have shape [m + 1, D]; received {tuple(points.shape)}.")
    points = np.array(points)
    edges = points[1:].astype(np.float64) - points[0]
    return AffineSubspace(points[0], Span(edges, dtype=points.dtype))


def principal(trajectory: ArrayLike, dimension: int = 2) -> Principal:
    """The plane through the last point of a trajectory in which the rest lies best: a `Principal`.

    trajectory [T, D], e.g. snapshots of a training. The axes are the first right singular vectors of
    theta_t - theta_T, t < T; `explained` [dimension] is each one's share of the squared distances.

    >>> snapshots = np.array([[4.0, 1.0, 9.0], [1.0, 1.0, 9.0], [0.0, 0.0, 9.0]])
    >>> plane, explained = wedges.principal(snapshots)
    >>> plane
    AffineSubspace(2 of 3 dimensions, Span)
    >>> track = plane.coordinates(snapshots)  # [T, 2]
    >>> track[-1].numpy().tolist()  # it ends at the origin
    [0.0, 0.0]

    Source: Li et al. 2018 (arXiv:1712.09913), section 7.2.
    """
    points = np.array(_floating("trajectory", trajectory))
    ambient = points.shape[-1] if points.ndim else 0
    dimension = _checks.whole("dimension", dimension, 1, ambient, limit="D")
    if points.ndim != 2 or len(points) <= dimension:
        raise ValueError(
            f"trajectory must have shape [T, D] with T > {dimension}; received {points.shape}."
        )
    steps = points[:-1].astype(np.float64) - points[-1]
    _, lengths, axes = np.linalg.svd(steps, full_matrices=False)
    rank = int(np.sum(lengths > 1e-6 * lengths[0]))
    if rank < dimension:
        raise ValueError(
            f"trajectory must hold {dimension} independent steps; received points that span {rank}."
        )
    plane = AffineSubspace(
        points[-1], Span(lengths[:dimension, None] * axes[:dimension], dtype=points.dtype)
    )
    return Principal(plane, lengths[:dimension] ** 2 / np.sum(lengths**2))


# ---- kinds of directions ---------------------------------------------------------------------------


class Directions:
    """The linear part of a subspace: d orthonormal directions of R^D, as a function z -> lift(z).

    Subclasses define `lift`, `lower` and `restore`.

    Attributes:
      dimension, ambient: d and D.
      parameters: the length of z.
      dtype: of z and of lift(z).
      config, arrays: what `restore` makes the same directions of: JSON values, and numbers.
    """

    dimension: int
    ambient: int
    parameters: int
    dtype: tf.DType
    config: dict[str, Any]
    arrays: dict[str, tf.Tensor]

    def lift(self, z: tf.Tensor) -> tf.Tensor:
        """z [..., parameters] -> [..., D], linear."""
        raise NotImplementedError

    def lower(self, v: tf.Tensor) -> tf.Tensor:
        """The transpose of `lift`, v [..., D] -> [..., parameters]."""
        raise NotImplementedError

    def length(self, z: tf.Tensor) -> tf.Tensor:
        """|lift(z)|. z [..., parameters] -> [...]."""
        return tf.norm(self.lift(z), axis=-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dimension} of {self.ambient} dimensions)"

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: DTypeLike
    ) -> Directions:
        """The directions of a `config` and its `arrays`, bit for bit."""
        raise NotImplementedError


class Span(Directions):
    """lift(z) = z B, B [d, D] with orthonormal rows; [R, d, D] for R spans at once.

    Args:
      rows: independent vectors that span the directions; orthonormalised unless said to be.
    """

    def __init__(
        self, rows: ArrayLike, *, dtype: DTypeLike = "float32", orthonormal: bool = False
    ) -> None:
        rows = rows if orthonormal else _orthonormal("directions", rows)
        self.rows = tf.constant(np.asarray(rows), tf.as_dtype(dtype))
        self.dtype = self.rows.dtype
        *_, self.dimension, self.ambient = self.rows.shape
        self.parameters = self.dimension
        self.config, self.arrays = {}, {"rows": self.rows}

    def lift(self, z: tf.Tensor) -> tf.Tensor:
        return _times(z, self.rows)  # [..., d] -> [..., D]

    def lower(self, v: tf.Tensor) -> tf.Tensor:
        return _times(v, self.rows, transposed=True)  # [..., D] -> [..., d]

    def length(self, z: tf.Tensor) -> tf.Tensor:
        return tf.norm(z, axis=-1)  # the rows are orthonormal

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: DTypeLike
    ) -> Span:
        return cls(arrays["rows"], dtype=dtype, orthonormal=True)


class Complement(Directions):
    """lift(z) = z - z N^T N: what is normal to the rows of N [m, D], orthonormal. z [D].

    The coordinates are a free vector of the whole space and lift projects it: no basis of the
    D - m dimensions is ever held.
    """

    def __init__(
        self, normals: ArrayLike, *, dtype: DTypeLike = "float32", orthonormal: bool = False
    ) -> None:
        normals = normals if orthonormal else _orthonormal("directions", normals)
        self.normals = tf.constant(np.asarray(normals), tf.as_dtype(dtype))
        if self.normals.shape.rank != 2:
            raise ValueError(f"directions must have shape [m, D]; received {self.normals.shape}.")
        self.dtype = self.normals.dtype
        m, self.ambient = self.normals.shape
        if m >= self.ambient:
            raise ValueError(
                f"directions must be fewer than D = {self.ambient}, or no plane is left; received {m}."
            )
        self.dimension, self.parameters = self.ambient - m, self.ambient
        self.config, self.arrays = {}, {"normals": self.normals}

    def lift(self, z: tf.Tensor) -> tf.Tensor:
        along = _times(z, self.normals, transposed=True)  # [..., m]
        return z - _times(along, self.normals)  # [..., D]

    def lower(self, v: tf.Tensor) -> tf.Tensor:
        return self.lift(v)  # a projection is its own transpose

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: DTypeLike
    ) -> Complement:
        return cls(arrays["normals"], dtype=dtype, orthonormal=True)


class Transform(Directions):
    """lift(z) = signs' * DCT(signs * tile(z) / sqrt(copies)): orthonormal directions from 2 D signs.

    z [d] is laid out again and again to length D (entry h stands copies_h times, D/d rounded up or
    down), each place gets a random sign, an orthonormal discrete cosine transform mixes all
    places, and each gets a random sign again, without which a smooth vector would always lie at the
    same angle to the cut. Each step keeps lengths, so the d directions are orthonormal exactly, not
    just on average, and entry i of lift(z) is a signed sum over all D places: near Gaussian, variance
    |z|^2 / D. O(D log D) time and O(D + d) numbers.

    Source: the randomised trigonometric transforms of Ailon & Chazelle 2009 (SIAM J. Comput. 39) and
    Avron, Maymounkov & Toledo 2010; the same role as Fastfood in Li et al. 2018 (arXiv:1804.08838),
    whose directions are orthonormal only on average.
    """

    def __init__(self, ambient: int, dimension: int, *, seed: int, dtype: DTypeLike = "float32") -> None:
        ambient = _checks.whole("ambient", ambient)
        dimension = _checks.whole("dimension", dimension, 1, ambient, limit="D")
        self.dtype = tf.as_dtype(dtype)
        # TensorFlow has the cosine transform in single and double precision alone.
        self._computed = tf.float32 if self.dtype.size < 4 else self.dtype
        self.ambient, self.dimension, self.parameters = ambient, dimension, dimension
        random = generator(seed).bytes(-(-2 * ambient // 8))
        self.config = {"ambient": ambient, "dimension": dimension, "seed": int(seed)}
        self.arrays = {}
        bits = np.unpackbits(np.frombuffer(random, np.uint8), count=2 * ambient)
        self.signs = tf.constant(2 * bits.astype(np.int8).reshape(2, ambient) - 1)  # [2, D] int8
        rest = ambient % self.dimension
        self._layers = -(-ambient // self.dimension)  # how often z is laid out, the last time in part
        copies = ambient // self.dimension + (np.arange(self.dimension) < rest)
        self.scale = tf.constant(copies**-0.5, self._computed)  # [d]

    def lift(self, z: tf.Tensor) -> tf.Tensor:
        return _linear(self._lift, self._lower, z)

    def lower(self, v: tf.Tensor) -> tf.Tensor:
        return _linear(self._lower, self._lift, v)

    def _lift(self, z):
        scaled = tf.cast(z, self._computed) * self.scale
        tiled = tf.repeat(scaled[..., None, :], self._layers, axis=-2)  # [..., layers, d]
        flat = tf.reshape(tiled, [*z.shape[:-1], self._layers * self.dimension])
        before, after = tf.unstack(tf.cast(self.signs, self._computed))  # [D] each
        mixed = tf.signal.dct(flat[..., : self.ambient] * before, norm="ortho")
        return tf.cast(after * mixed, self.dtype)  # [..., D]

    def _lower(self, v):
        before, after = tf.unstack(tf.cast(self.signs, self._computed))  # [D] each
        mixed = tf.signal.idct(tf.cast(v, self._computed) * after, norm="ortho") * before  # [..., D]
        gap = self._layers * self.dimension - self.ambient
        padded = tf.pad(mixed, [[0, 0]] * (v.shape.rank - 1) + [[0, gap]])
        layers = tf.reshape(padded, [*v.shape[:-1], self._layers, self.dimension])
        return tf.cast(tf.reduce_sum(layers, axis=-2) * self.scale, self.dtype)  # [..., d]

    def length(self, z: tf.Tensor) -> tf.Tensor:
        return tf.norm(z, axis=-1)

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: DTypeLike
    ) -> Transform:
        return cls(**config, dtype=dtype)


class Repeated(Directions):
    """The same directions for each of `copies` points in a row: lift(z)_i = directions.lift(z_i).

    What restricts several points at once, theta = (theta_1, ..., theta_copies) as one vector.
    """

    def __init__(self, directions: Directions, copies: int) -> None:
        _checks.made("directions", directions, "lift", "wedges.affine.Directions, e.g. a Span")
        copies = _checks.whole("copies", copies)
        self.directions, self.copies, self.dtype = directions, copies, directions.dtype
        self.ambient, self.dimension, self.parameters = (
            copies * n for n in (directions.ambient, directions.dimension, directions.parameters)
        )
        kind = type(directions).__name__
        self.config = {"copies": copies, "of": {"kind": kind, **directions.config}}
        self.arrays = directions.arrays

    def lift(self, z: tf.Tensor) -> tf.Tensor:
        return self._each(self.directions.lift, z)  # [..., copies p] -> [..., copies D]

    def lower(self, v: tf.Tensor) -> tf.Tensor:
        return self._each(self.directions.lower, v)  # [..., copies D] -> [..., copies p]

    def _each(self, function, v):
        rows = tf.reshape(v, [*v.shape[:-1], self.copies, v.shape[-1] // self.copies])
        return tf.reshape(function(rows), [*v.shape[:-1], -1])

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], dtype: DTypeLike
    ) -> Repeated:
        return cls(_restored(config["of"], arrays, dtype), config["copies"])


_KINDS: dict[str, type[Directions]] = {k.__name__: k for k in (Span, Complement, Transform, Repeated)}


def _restored(config, arrays, dtype):
    """The directions of a `config` that holds its "kind"."""
    config = dict(config)
    return _KINDS[config.pop("kind")].restore(config, arrays, dtype)


def _linear(forward: Callable, transpose: Callable, z: tf.Tensor) -> tf.Tensor:
    """forward(z), differentiated by its transpose: a tape then keeps none of the steps within."""

    @tf.custom_gradient
    def call(z):
        return forward(z), lambda up: _linear(transpose, forward, up)

    return call(z)


def _times(z, rows, transposed=False):
    """z rows, or z rows^T. z [..., a], rows [a, b] -> [..., b]; with rows [R, a, b], z [R, a]."""
    if rows.shape.rank > 2:  # twice as fast as matvec with its first argument transposed
        return tf.matmul(z[..., None, :], rows, transpose_b=transposed)[..., 0, :]
    flat = tf.reshape(z, [-1, z.shape[-1]])  # [batch, a]
    out = tf.matmul(flat, rows, transpose_b=transposed)
    return tf.reshape(out, [*z.shape[:-1], out.shape[-1]])


def _orthonormal(name, vectors):
    """Orthonormal rows with the span of `vectors` [..., m, D], or [D]; ValueError if dependent."""
    vectors = np.atleast_2d(_checks.numbers(name, vectors, tf.float64))
    _checks.finite(name, vectors)
    m, ambient = vectors.shape[-2:]
    if m > ambient:
        raise ValueError(f"{name} must be at most D = {ambient} vectors; received {m}.")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    q, r = np.linalg.qr(np.swapaxes(unit, -1, -2))
    left = np.abs(np.diagonal(r, axis1=-2, axis2=-1))  # of each vector, what the ones before leave
    if m == 0 or left.min() < 1e-6:
        row = int(np.argmin(left) % m) if m else None
        raise ValueError(
            f"{name} must be linearly independent vectors; received {m} of which number {row} is "
            f"zero or in the span of those before it (what is left of it: {left.min():.1g})."
            if m
            else f"{name} must hold at least one vector; received none."
        )
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)  # along its vector, not against
    return signs[..., None] * np.swapaxes(q, -1, -2)


def _floating(name, values):
    """Finite real numbers as a tensor of their own floating dtype, float32 for whole numbers."""
    try:
        found = tf.convert_to_tensor(values)
    except (TypeError, ValueError):
        found = None
    if found is None or not (found.dtype.is_floating or found.dtype.is_integer):
        raise ValueError(f"{name} must be real numbers; received {_checks.called(values)}.")
    if found.dtype.is_integer:
        found = tf.cast(found, tf.float32)
    _checks.finite(name, found)
    return found


def generator(seed: int | np.integer) -> np.random.Generator:
    """Numpy's generator for a geometry's seed, apart from `default_rng(seed)`.

    A start and a plane that a user draws from one seed must not share their numbers.
    """
    return np.random.default_rng([_checks.whole("seed", seed, 0), _SALT])
