"""Curvature of any landscape at a point: products, eigenpairs, trace, spectral density.

    hessian, gauss_newton, residual      symmetric matrices [D, D] that are never held: A @ v, A @ V
    block, dense                         a principal block of one; all its numbers
    eigenpairs, certain                  the ends of a spectrum; how many eigenvalues are sure to exceed
    trace, hutchinson, hutch_plus_plus   the trace of one, with a standard error
    lanczos, ritz                        the tridiagonal matrix of a start; what it says of the spectrum
    spectral_density, smoothed           all of a spectrum, from random starts

>>> bowl = wedges.Quadratic(np.arange(1.0, 101))
>>> A = wedges.curvature.hessian(bowl, np.zeros(100))
>>> wedges.curvature.eigenpairs(A, 3, seed=0).values.round(2)  # with vectors and residuals
array([100.,  99.,  98.])
>>> round(wedges.trace(A, 100, seed=0).mean)  # exact from as many products as dimensions
5050

A matrix is a `scipy.sparse.linalg.LinearOperator`, so that sums, differences and SciPy's solvers work on
it; an array or a sparse matrix of SciPy's does as well. Vectors are NumPy arrays of the landscape's
dtype on the host; a product holds a few of length D besides what the landscape needs (for a network
one microbatch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse.linalg import LinearOperator

from wedges._checks import (
    a_landscape,
    array,
    called,
    choice,
    floats,
    is_number,
    made,
    one_point,
    share,
    standard_error,
    whole,
)
from wedges._checks import seed as checked_seed
from wedges._progress import bar
from wedges._repr import short
from wedges.affine import generator
from wedges.landscape import PRODUCTS_AT_ONCE, Landscape, WithOutputs

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike

# Columns of a basis that are turned at once, in place.
_COLUMNS = 2**14
# Up to so many dimensions a trace is exact whatever is asked for: two calls give all of the matrix, and
# few vectors of random signs would often be the same, and their standard error 0.
_SMALL = 2 * PRODUCTS_AT_ONCE


class Eigenpairs(NamedTuple):
    """Eigenvalues from one end of a spectrum, with their vectors."""

    values: np.ndarray  # [k], from the wanted end inwards, float64
    vectors: np.ndarray  # unit vectors [k, D]
    residuals: np.ndarray  # |A v - value v| [k]
    products: int  # with A, that it took

    def __repr__(self) -> str:
        return short(self)


class Trace(NamedTuple):
    """A trace, or an estimate of one."""

    mean: float
    error: float  # the standard error of the mean; 0 where it is exact, NaN with one sample
    products: int  # with A, that it took

    def __repr__(self) -> str:
        return short(self)


class Tridiagonal(NamedTuple):
    """What m steps of Lanczos make of A."""

    diagonal: np.ndarray  # [m] float64
    beside: np.ndarray  # [m] float64; the last one leads out of the basis
    basis: np.ndarray | None  # the orthonormal rows [m, D] in which A is nearly tridiagonal, if kept

    def __repr__(self) -> str:
        return short(self)


class Ritz(NamedTuple):
    """What a tridiagonal matrix of m steps says of A's spectrum."""

    values: np.ndarray  # [m], the smallest first
    shares: np.ndarray  # of the start's squared length [m]; they sum to 1
    residuals: np.ndarray  # |A y - value y| [m], y the unit vector that belongs to a value

    def __repr__(self) -> str:
        return short(self)


class Density(NamedTuple):
    """Gaussian quadratures of a spectrum, one from each of S starts."""

    values: np.ndarray  # [S, m]
    shares: np.ndarray  # of all eigenvalues at each value, [S, m]; rows sum to 1, padded with 0
    products: int  # with A, that it took

    def __repr__(self) -> str:
        return short(self)


class _Products(LinearOperator):
    """v -> A v, from a function of one vector or of rows, [..., D] -> [..., D]."""

    def __init__(self, product: Callable[[np.ndarray], Any], dimension: int, dtype: DTypeLike) -> None:
        super().__init__(dtype, (dimension, dimension))
        self._product = product

    def _matvec(self, v):
        return self._finite(v.ravel())

    def _matmat(self, columns):
        return self._finite(columns.T).T

    def _finite(self, rows):
        found = np.asarray(self._product(np.ascontiguousarray(rows, self.dtype)))
        if not np.isfinite(found).all():
            raise ValueError("theta must have a finite Hessian; received NaN or infinity in H v.")
        return found

    def _adjoint(self):
        return self


def _matrix(operator: Any, *, symmetric: bool = False) -> LinearOperator:
    """A square matrix of real numbers as an operator: it is one, an array or a sparse matrix.

    Entries are looked at where there are some; an operator has products only.
    """
    found: Any = operator
    held = not isinstance(operator, LinearOperator)
    if held and not scipy.sparse.issparse(operator):
        try:
            found = np.asarray(operator)
        except (TypeError, ValueError):  # rows of unequal lengths
            found = np.asarray(None)
    shape, kind = tuple(found.shape), np.dtype(found.dtype).kind
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0] or kind not in "fiu":
        received = f"shape {shape} of {found.dtype}" if shape else called(operator)
        raise ValueError(
            "operator must be a matrix [D, D], e.g. wedges.hessian(landscape, theta); received "
            f"{received}."
        )
    if kind != "f":  # or vectors would be rounded to whole numbers, too
        found = found.astype(np.float64) if held else 1.0 * found  # SciPy's multiple is of float64
    if held:
        _check_entries(found, symmetric)
    return scipy.sparse.linalg.aslinearoperator(found)


def _check_entries(matrix, symmetric):
    """Those of an array or a sparse matrix: finite, and A^T = A but for single precision's rounding."""
    size = abs(matrix).max()
    if not np.isfinite(size):
        raise ValueError("operator must have finite entries; received NaN or infinity.")
    off = abs(matrix - matrix.T).max() if symmetric else 0
    if off > 1e-3 * size:
        raise ValueError(
            f"operator must be symmetric; received A and A^T that differ by {off:.3g}, entries up to "
            f"{size:.3g}; (A + A^T) / 2 is its symmetric part."
        )


def hessian(landscape: Landscape, theta: TensorLike) -> LinearOperator:
    """H = d^2 L / d theta^2 at theta [D], finite: a symmetric operator [D, D].

    For a network the mean over all its examples, by microbatches, in one graph that is traced once.

    >>> H = wedges.curvature.hessian(wedges.Quadratic([1.0, 4.0]), [0.0, 0.0])
    >>> H @ np.ones(2, "float32")
    array([1., 4.], dtype=float32)

    Raises:
      ValueError: a theta with NaN or infinity; at a product, a loss without second derivatives.
    """
    a_landscape(landscape)
    return _operator(landscape, theta, landscape.hessian_product)


def gauss_newton(landscape: Landscape, theta: TensorLike) -> LinearOperator:
    """G, the part of the Hessian through the slopes of the model's outputs.

    It is positive semi-definite for a loss that is convex in them. See
    `NetworkLandscape.gauss_newton_product`.

    With C classes, p the model's probabilities: G = (1/N) sum_i J_i^T (diag p_i - p_i p_i^T) J_i.

    Args:
      landscape: one `WithOutputs`, or a restriction of one.
      theta: [D], finite.

    Returns:
      A symmetric operator [D, D].

    Raises:
      ValueError: another landscape, a theta with NaN or infinity.
    """
    a_landscape(landscape)
    if not isinstance(landscape, WithOutputs):
        raise ValueError(
            "landscape must be a loss of a model's outputs, such as a NetworkLandscape, to have a "
            f"Gauss-Newton matrix; received {type(landscape).__name__}."
        )
    return _operator(landscape, theta, landscape.gauss_newton_product)


def residual(landscape: Landscape, theta: TensorLike) -> LinearOperator:
    """H - G, what the Gauss-Newton matrix leaves of the Hessian.

    For cross-entropy of logits z it is (1/N) sum_i sum_k (p_ik - y_ik) d^2 z_ik / d theta^2 and the
    curvature of regularisers. Small where the model fits: measure it.
    """
    return hessian(landscape, theta) - gauss_newton(landscape, theta)


def _operator(landscape, theta, product):
    theta = one_point(landscape, theta)
    dtype = landscape.dtype.as_numpy_dtype
    return _Products(lambda rows: product(theta, rows), landscape.dimension, dtype)


def block(
    operator: LinearOperator | ArrayLike, which: slice | Sequence[int] | np.ndarray
) -> LinearOperator:
    """The principal block of A in some coordinates: A[which][:, which], as an operator.

    >>> H = wedges.curvature.hessian(wedges.Quadratic([1.0, 4.0, 9.0]), np.zeros(3))
    >>> wedges.curvature.dense(wedges.curvature.block(H, [0, 2]))
    array([[1., 0.],
           [0., 9.]], dtype=float32)

    Args:
      operator: A [D, D].
      which: a slice, or indices, e.g. `landscape.space.layers["conv2d"]`.

    Returns:
      An operator; a product with it costs one with A.

    Raises:
      ValueError: coordinates that are not there, or twice, or none.
    """
    operator = _matrix(operator)
    try:
        where = np.arange(operator.shape[0])[which]
    except (IndexError, TypeError, ValueError):
        where = np.zeros(0, int)
    if where.ndim != 1 or not 0 < len(where) == len(set(where.tolist())):
        raise ValueError(
            f"which must name some of the {operator.shape[0]} coordinates, each once; received "
            f"{which!r}."
        )

    def product(rows):
        whole = np.zeros((*rows.shape[:-1], operator.shape[0]), operator.dtype)
        whole[..., where] = rows
        return (operator @ whole.T).T[..., where]

    return _Products(product, len(where), operator.dtype)


def dense(operator: LinearOperator | ArrayLike) -> np.ndarray:
    """All of A, [D, D]: D products and D^2 numbers, for small D or a landscape on a subspace."""
    operator = _matrix(operator, symmetric=True)
    with _bar(operator.shape[0]) as progress:
        matrix = _times(operator, np.eye(operator.shape[0], dtype=operator.dtype), progress)
    return (matrix + matrix.T) / 2


def eigenpairs(
    operator: LinearOperator | ArrayLike,
    k: int,
    *,
    seed: int,
    end: str = "largest",
    tolerance: float = 1e-3,
    block_size: int | None = None,
    basis: int | None = None,
    limit: int = 2000,
) -> Eigenpairs:
    """The k largest or smallest (most negative) eigenvalues of A with their vectors: `Eigenpairs`.

    Block Lanczos, reorthogonalised, restarted with its best vectors, until by its own reckoning |A v -
    value v| <= tolerance |value|; products with the vectors found then give the residuals that are
    returned. It finds as many copies of a repeated eigenvalue as a block has vectors; more may be
    missed.

    >>> H = wedges.curvature.hessian(wedges.Quadratic(np.arange(-3.0, 7.0)), np.zeros(10))
    >>> wedges.curvature.eigenpairs(H, 2, seed=0, end="smallest").values.round(3)
    array([-3., -2.])

    Args:
      operator: A [D, D], symmetric.
      k: from 1 to D.
      seed: of the starting vectors.
      end: "largest" or "smallest", in sign and size.
      tolerance: relative residual. Ten roundings of the largest |value| are allowed for where that is
        more: an eigenvalue of 0 has no relative residual.
      block_size: vectors a step, which share a network's pass; 2 by default (1 for k = 1).
      basis: vectors of length D held, besides a few blocks and the k returned; at least k + 2
        block_size, by default block_size + max(4 k, 40), so that restarts are rare.
      limit: products at most.

    Raises:
      ValueError: k > D, a tolerance that is not between 0 and 1, a basis too small.
      RuntimeError: the limit is reached first.

    Source: Golub & Underwood 1977, the block method; Wu & Simon 2000 (SIAM J. Matrix Anal. Appl. 22),
    the restarts.
    """
    operator = _matrix(operator, symmetric=True)
    dimension = operator.shape[0]
    k = whole("k", k, 1, dimension, limit="D")
    limit = whole("limit", limit)
    choice("end", end, ("largest", "smallest"))
    share("tolerance", tolerance)
    wide = whole("block_size", min(2, k) if block_size is None else block_size)
    basis = whole("basis", max(4 * k, 40) + wide if basis is None else basis)
    if basis < min(k + 2 * wide, dimension):
        raise ValueError(
            f"basis must hold at least k + 2 block_size = {k + 2 * wide} vectors; received {basis}."
        )
    rng = np.random.default_rng(checked_seed(seed))
    size = min(basis, dimension)
    start = rng.standard_normal((min(wide, size), dimension)).astype(operator.dtype)
    with bar(desc="eigenpairs", unit="product") as progress:
        sign = 1 if end == "largest" else -1
        found = _block_lanczos(operator, start, k, sign, tolerance, size, limit, rng, progress)
        values, vectors, products = found
        off = _times(operator, vectors, progress, wide) - values[:, None].astype(vectors.dtype) * vectors
    wide = min(wide, k)
    products += -(-k // wide) * wide
    return Eigenpairs(values, vectors, _lengths(off), products)


def _block_lanczos(operator, start, k, sign, tolerance, size, limit, rng, progress):
    """k values [k] from the end that `sign` says, vectors [k, D], products taken; start [block, D]."""
    dimension, epsilon = operator.shape[0], 10 * np.finfo(operator.dtype).eps
    rows = np.empty((size, dimension), operator.dtype)  # orthonormal Q, grown block by block
    inside = np.zeros((size, size))  # Q A Q^T
    new, _ = _orthonormal(start, rows[:0], rng)
    held = products = 0
    while True:
        if products + len(new) > limit:
            raise RuntimeError(
                f"eigenpairs: {k} of relative residual {tolerance:g} were not found in {limit} "
                "products; raise limit, basis or tolerance."
            )
        last, held = slice(held, held + len(new)), held + len(new)
        rows[last] = new
        after = (operator @ new.T).T  # [block, D]
        products += len(new)
        progress.update(len(new))
        inside[:held, last] = rows[:held] @ after.T
        inside[last, :held] = inside[:held, last].T
        scale = _lengths(after).max()
        after, rest = _orthonormal(after, rows[:held], rng, scale)
        values, within = np.linalg.eigh(sign * inside[:held, :held])
        values, within = sign * values[::-1], within[:, ::-1]  # from the wanted end inwards
        # Only the last block leads out of Q, so A v - value v = (rest v_last) after: all of the error.
        errors = np.linalg.norm(rest @ within[last], axis=0)
        allowed = np.maximum(tolerance * np.abs(values), epsilon * np.abs(values).max())
        if held == dimension or (held >= k and np.all(errors[:k] <= allowed[:k])):
            return values[:k], within[:, :k].T.astype(rows.dtype) @ rows[:held], products
        if size < dimension and held + len(after) > size:  # keep the wanted, and half of the others
            keep = k + (size - k - len(after)) // 2
            turn = within[:, :keep].T.astype(rows.dtype)
            for i in range(0, dimension, _COLUMNS):  # in place
                rows[:keep, i : i + _COLUMNS] = turn @ rows[:held, i : i + _COLUMNS]
            inside[:] = np.diag(np.pad(values[:keep], (0, size - keep)))
            held = keep
        new = after[: size - held]


def _orthonormal(new, rows, rng, scale=0.0):
    """Orthonormal rows Q [b, D], normal to `rows`, and R [b, b] with new = (along rows) + R^T Q.

    Where a new row has no direction of its own left, by rounding of numbers as large as `scale`, a
    random one stands in, with zeros in R.
    """
    total, dtype = np.eye(len(new)), new.dtype
    for _ in range(2):  # twice is enough
        new = new - (new @ rows.T) @ rows
        q, r = np.linalg.qr(new.T.astype(np.float64))  # [D, b], [b, b]
        total, new = r @ total, q.T.astype(dtype)
        lost = np.abs(np.diag(r)) <= 100 * np.finfo(dtype).eps * scale
        new[lost], total[lost] = rng.standard_normal((lost.sum(), new.shape[1])), 0
        scale = 0.0
    return new, total


def _lengths(rows):
    """The length of each row, [n, D] -> [n] float64: the square of a float32 may be no float32."""
    return np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))


def certain(pairs: Eigenpairs, floor: float) -> int:
    """How many eigenvalues of A are above `floor` for certain, as these pairs prove.

    By Kahan's theorem there are k eigenvalues of A, each within |A V - V diag(values)|_2 of one of the
    values of k orthonormal vectors V; the 2-norm is at most the root of the sum of squared residuals. So
    values above floor + that length count, whatever Lanczos may have missed.

    Source: Kahan 1967 (Inclusion theorems for clusters of eigenvalues); Parlett 1980, theorem 11.5.1.
    """
    made("pairs", pairs, "residuals", "what wedges.eigenpairs returns")
    if not is_number(floor):
        raise ValueError(f"floor must be a number; received {called(floor)}.")
    return int(np.sum(pairs.values - np.sqrt(np.sum(pairs.residuals**2)) > floor))


def trace(operator: LinearOperator | ArrayLike, products: int, *, seed: int) -> Trace:
    """tr A from at most `products` products where that is enough, else an estimate: a `Trace`.

    Exact, from D products, where D is no more than `products` or 20; else by `hutch_plus_plus`; by
    `hutchinson` from fewer than 6 products.

    >>> H = wedges.hessian(wedges.Quadratic([1.0, 2.0, 3.0]), np.zeros(3))
    >>> wedges.trace(H, 6, seed=0)
    Trace(mean=6, error=0, products=3)

    Args:
      operator: A [D, D].
      products: at least 1.
      seed: of the estimate's random signs.
    """
    estimate = hutch_plus_plus if whole("products", products) >= 6 else hutchinson
    return estimate(operator, products, seed=seed)


def _exact(operator, products):
    """The trace from the diagonal, where so many products are enough for that; else None."""
    dimension = operator.shape[0]
    if dimension > max(products, _SMALL):
        return None
    total = 0.0
    with _bar(dimension) as progress:
        for i in range(0, dimension, PRODUCTS_AT_ONCE):
            rows = np.eye(min(PRODUCTS_AT_ONCE, dimension - i), dimension, i, operator.dtype)
            total += _forms(operator, rows, progress).sum()
    return Trace(np.float64(total), np.float64(0), dimension)


def hutchinson(operator: LinearOperator | ArrayLike, products: int, *, seed: int) -> Trace:
    """tr A from `products` products, as the mean of g^T A g over vectors g of random signs.

    E g g^T = I, so that E g^T A g = tr A. The variance of one g^T A g is 2 sum_{i != j} A_ij^2: a
    diagonal matrix has none, one of few large eigenvalues has much, see `hutch_plus_plus`. Where D is no
    more than `products` or 20 it is exact, from D products.

    >>> A = wedges.curvature.hessian(wedges.Quadratic(np.eye(300) + 0.1), np.zeros(300))
    >>> mean, error, _ = wedges.curvature.hutchinson(A, 100, seed=0)
    >>> bool(abs(mean - 330) < 3 * error)
    True

    Args:
      operator: A [D, D].
      products: how many g, at least 1.
      seed: of the signs.

    Returns:
      A `Trace`; its error is the standard error over g.

    Source: Hutchinson 1989 (Communications in Statistics 18); Girard 1989.
    """
    operator, products = _matrix(operator), whole("products", products)
    rng = np.random.default_rng(checked_seed(seed))
    exact = _exact(operator, products)
    if exact is not None:
        return exact
    with _bar(products) as progress:
        forms = _random_forms(operator, products, rng, progress)
    return Trace(forms.mean(), standard_error(forms), products)


def hutch_plus_plus(operator: LinearOperator | ArrayLike, products: int, *, seed: int) -> Trace:
    """tr A from `products` products, its large eigenvalues exactly and the rest by `hutchinson`.

        tr A = tr(Q^T A Q) + tr(P A P),    Q = orth(A S),    P = I - Q Q^T

    S and g have random signs; a third of the products each goes to S, to Q and to g. The mean over g
    scatters with the squares of eigenvalues, so that those in the span of Q are better taken out of it.
    About products / 3 vectors are held. Where D is no more than `products` or 20 it is exact, from D
    products.

    >>> A = wedges.curvature.hessian(wedges.Quadratic([9.0, 5.0] + [0.0] * 98), np.zeros(100))
    >>> round(float(wedges.curvature.hutch_plus_plus(A, 9, seed=0).mean), 3)  # exact: rank 2 < 9 / 3
    14.0

    Args:
      operator: A [D, D].
      products: at least 6.
      seed: of the signs.

    Returns:
      A `Trace`; its error is the standard error over g, all that is random once Q is chosen.

    Raises:
      ValueError: fewer than 6 products.

    Source: Meyer, Musco, Musco & Woodruff 2021 (arXiv:2010.09649), algorithm 1.
    """
    operator, products = _matrix(operator), whole("products", products, 6)
    rng, third = np.random.default_rng(checked_seed(seed)), products // 3
    exact = _exact(operator, products)
    if exact is not None:
        return exact
    with _bar(products) as progress:
        # 1. Where A is large: the span of what it makes of random vectors.
        sketch = _times(operator, _signs(operator, third, rng), progress)  # [third, D]
        span = scipy.linalg.qr(sketch.T, mode="economic", overwrite_a=True)[0].T  # orthonormal rows
        # 2. The trace within that span, exactly.
        within = _forms(operator, span, progress).sum()
        # 3. The trace of the rest, by Hutchinson's estimate.
        count = products - 2 * third
        forms = _random_forms(operator, count, rng, progress, off=span)
    return Trace(within + forms.mean(), standard_error(forms), products)


def _random_forms(operator, count, rng, progress, off=None):
    """g^T A g for `count` g of random signs, less their part in the span of orthonormal rows `off`."""
    forms = np.empty(count)
    for i in range(0, count, PRODUCTS_AT_ONCE):
        g = _signs(operator, min(PRODUCTS_AT_ONCE, count - i), rng)
        if off is not None:
            g -= (g @ off.T) @ off
        forms[i : i + len(g)] = _forms(operator, g, progress)
    return forms


def _signs(operator, count, rng):
    """Vectors of random signs, [count, D]."""
    return rng.choice(np.array([-1, 1], operator.dtype), (count, operator.shape[0]))


def lanczos(
    operator: LinearOperator | ArrayLike,
    start: ArrayLike,
    order: int,
    *,
    keep: bool = False,
    done: Callable[[], Any] = lambda: None,
) -> Tridiagonal:
    """`order` steps of Lanczos from `start` [D], reorthogonalised.

    A Q^T = Q^T T + beside[-1] q e_m^T, rows of Q orthonormal: each step is orthogonalised twice against
    all rows before it, or rounding would bring found eigenvalues back as copies (Parlett & Scott 1979;
    "twice is enough", Giraud et al. 2005). At most order + 4 vectors of length D are held.

    Args:
      operator: A [D, D], symmetric.
      start: [D], finite and not 0.
      order: steps, one product each.
      keep: return the rows, too.
      done: called after each product.

    Returns:
      A `Tridiagonal`, shorter than `order` where the space that A spans from the start is exhausted.

    Raises:
      ValueError: another start.
    """
    operator = _matrix(operator, symmetric=True)
    order = whole("order", order)
    dimension = operator.shape[0]
    start = np.asarray(array("start", start), operator.dtype)
    length = _lengths(start.reshape(1, -1))[0]
    if start.shape != (dimension,) or not 0 < length < np.inf:
        raise ValueError(
            f"start must be a finite vector [{dimension}] of a length above 0; received shape "
            f"{start.shape}."
        )
    basis = np.empty((min(order, dimension), dimension), operator.dtype)
    basis[0] = start / start.dtype.type(length)
    del start
    diagonal, beside = [], []
    for j in range(len(basis)):
        w = np.array(operator.matvec(basis[j]))
        done()
        before = basis[: j + 1]
        diagonal.append(float(before[-1] @ w))
        for _ in range(2):
            w -= (before @ w) @ before
        beside.append(float(_lengths(w[None])[0]))
        if beside[-1] <= 1e-6 * max(np.abs(diagonal).max(), max(beside)):
            break
        if j + 1 < len(basis):
            basis[j + 1] = w / w.dtype.type(beside[-1])
    rows = basis[: len(diagonal)] if keep else None
    return Tridiagonal(np.array(diagonal), np.array(beside), rows)


def ritz(tridiagonal: Tridiagonal) -> Ritz:
    """The Ritz values that steps of Lanczos found, their shares and their residuals.

        T s_j = lambda_j s_j,    y_j = Q^T s_j
        shares_j = s_j[0]^2,     residuals_j = |A y_j - lambda_j y_j| = beta |s_j[-1]|

    s_j the unit eigenvectors of the tridiagonal matrix T, Q and beta = beside[-1] as in `lanczos`: only
    the last step leads out of the basis. Values and shares are the nodes and weights of the Gaussian
    quadrature of the start's spectral measure.

    >>> A = np.diag([1.0, 2.0, 4.0])
    >>> found = wedges.curvature.ritz(wedges.curvature.lanczos(A, np.ones(3), 3))
    >>> found.values.round(6), found.shares.round(6)
    (array([1., 2., 4.]), array([0.333333, 0.333333, 0.333333]))

    Source: Golub & Welsch 1969; Parlett 1980, section 13.2.
    """
    made("tridiagonal", tridiagonal, "beside", "what wedges.curvature.lanczos returns")
    values, vectors = scipy.linalg.eigh_tridiagonal(tridiagonal.diagonal, tridiagonal.beside[:-1])
    return Ritz(values, vectors[0] ** 2, np.abs(tridiagonal.beside[-1] * vectors[-1]))


def spectral_density(
    operator: LinearOperator | ArrayLike, *, samples: int, order: int, seed: int
) -> Density:
    """Quadratures of A's spectrum from `samples` random starts, `order` steps each.

        share of eigenvalues in S = E_v sum_j tau_j^2 [lambda_j in S]

    lambda_j and tau_j the eigenvalues and first components of the unit eigenvectors of the tridiagonal
    matrix that Lanczos makes from a random unit vector v (stochastic Lanczos quadrature). Exact for
    moments up to 2 order - 1, but for the scatter of v. Holds order + 4 vectors.

    Args:
      operator: A [D, D], symmetric.
      samples: S, random starts.
      order: products each.
      seed: of the starts.

    Returns:
      A `Density`.

    Source: Golub & Welsch 1969; Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Ubaru, Chen & Saad
    2017.
    """
    operator = _matrix(operator, symmetric=True)
    samples, order = whole("samples", samples), whole("order", order)
    rng, order, taken = generator(seed), min(order, operator.shape[0]), 0
    values, shares = np.zeros((samples, order)), np.zeros((samples, order))
    with _bar(samples * order) as progress:
        for row, weights in zip(values, shares, strict=True):
            start = rng.standard_normal(operator.shape[0]).astype(operator.dtype)
            found = ritz(lanczos(operator, start, order, done=progress.update))
            m = len(found.values)
            taken += m
            row[:m], weights[:m] = found.values, found.shares
    return Density(values, shares, taken)


def smoothed(density: Density, at: ArrayLike, width: float | ArrayLike) -> np.ndarray:
    """The density of eigenvalues, each of a `Density` a Gaussian: mean over starts, its integral 1.

    Args:
      density: quadratures of the spectrum.
      at: where, in units of curvature [A].
      width: the Gaussians' deviation in these units, above 0; or one for each of `at` [A].

    Returns:
      [A], per unit of curvature.

    Raises:
      ValueError: a width that is not above 0.
    """
    made("density", density, "shares", "what wedges.spectral_density returns")
    at, width = floats("at", at), np.broadcast_to(floats("width", width), np.shape(at))
    if not np.all(width > 0):
        raise ValueError(f"width must be above 0, in units of curvature; received {width.min()}.")
    off = (at[:, None, None] - density.values) / width[:, None, None]  # [A, S, m]
    bells = np.exp(-(off**2) / 2) / (np.sqrt(2 * np.pi) * width[:, None, None])
    return np.sum(bells * density.shares, axis=(1, 2)) / len(density.values)


def _bar(products):
    return bar(total=products, desc="Hessian-vector products", unit="product")


def _times(operator, rows, progress, at_once=PRODUCTS_AT_ONCE):
    """A times each of rows [n, D], in its place.

    Some at once, always as many, so that a compiled landscape knows one shape.
    """
    at_once = min(at_once, len(rows))
    found = np.empty_like(rows)
    for i in range(0, len(rows), at_once):
        some = np.zeros((at_once, rows.shape[1]), rows.dtype)
        count = len(rows[i : i + at_once])
        some[:count] = rows[i : i + at_once]
        found[i : i + at_once] = (operator @ some.T).T[:count]
        progress.update(count)
    return found


def _forms(operator, rows, progress):
    """g^T A g of each row g, [n, D] -> [n] float64."""
    return np.einsum("nd,nd->n", rows, _times(operator, rows, progress), dtype=np.float64)
