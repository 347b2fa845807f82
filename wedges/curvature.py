"""Curvature of any landscape at a point: products, eigenpairs, trace, spectral density.

    hessian, gauss_newton, residual      symmetric matrices [D, D] that are never held: A @ v, A @ V
    block, dense                         a principal block of one; all its numbers
    eigenpairs, certain                  the ends of a spectrum; how many eigenvalues are sure to exceed
    trace                                Hutch++ or Hutchinson, with a standard error
    lanczos, spectral_density            the tridiagonal matrix of a start; all of a spectrum, smoothed

>>> A = wedges.hessian(landscape, theta)
>>> top = wedges.eigenpairs(A, 10, seed=0)          # values, vectors, residuals |A v - value v|
>>> wedges.trace(A, 60, seed=0).mean, wedges.dense(wedges.hessian(restrict(landscape, cut), z))

A matrix is a `scipy.sparse.linalg.LinearOperator`, so that sums, differences and SciPy's solvers work on
it. Vectors are NumPy arrays of the landscape's dtype on the host; a product holds a few of length D
besides what the landscape needs (for a network one microbatch).
"""

import collections

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from wedges.affine import generator
from wedges.landscape import Restricted
from wedges.probe import _one_point, _standard_error, _whole
from wedges.progress import bar

Eigenpairs = collections.namedtuple("Eigenpairs", ["values", "vectors", "residuals", "products"])
Eigenpairs.__doc__ = """values [k], from the wanted end inwards; unit vectors [k, D]; residuals
|A v - value v| [k]; how many products with A it took."""

Trace = collections.namedtuple("Trace", ["mean", "error", "products"])
Trace.__doc__ = (
    """An estimate of a trace, its standard error (NaN with one sample), the products taken."""
)

Tridiagonal = collections.namedtuple("Tridiagonal", ["diagonal", "beside", "basis"])
Tridiagonal.__doc__ = """diagonal [m] and beside [m] (the last one leads out of the basis), float64;
the orthonormal rows [m, D] in which A is nearly tridiagonal, or None."""

Density = collections.namedtuple("Density", ["values", "shares", "products"])
Density.__doc__ = """values [S, m] and the share of all eigenvalues at each [S, m], rows sum to 1:
Gaussian quadratures of the spectrum, one a start (padded with shares of 0); the products taken."""


class _Products(scipy.sparse.linalg.LinearOperator):
    """v -> A v, from a function of one vector or of rows, [..., D] -> [..., D]."""

    def __init__(self, product, dimension, dtype):
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


def hessian(landscape, theta):
    """H = d^2 L / d theta^2 at theta [D], finite: a symmetric operator [D, D].

    For a network the mean over all its examples, by microbatches, in one graph that is traced once.
    A loss without second derivatives is refused (ValueError), as is a theta with NaN or infinity.
    """
    return _operator(landscape, theta, landscape.hessian_product)


def gauss_newton(landscape, theta):
    """G, the part of the Hessian through the slopes of the model's outputs: positive semi-definite for
    a loss that is convex in them. See `NetworkLandscape.gauss_newton_product`.

    With C classes, p the model's probabilities: G = (1/N) sum_i J_i^T (diag p_i - p_i p_i^T) J_i.
    """
    inner = landscape
    while isinstance(inner, Restricted):
        inner = inner.landscape
    if not hasattr(inner, "gauss_newton_product"):
        raise ValueError(
            "landscape must be a loss of a model's outputs, such as a NetworkLandscape, to have a "
            f"Gauss-Newton matrix; received {type(inner).__name__}."
        )
    return _operator(landscape, theta, landscape.gauss_newton_product)


def residual(landscape, theta):
    """H - G: (1/N) sum_i sum_k (p_ik - y_ik) d^2 z_ik / d theta^2 for cross-entropy of logits z, and the
    curvature of regularisers. Small where the model fits: measure it."""
    return hessian(landscape, theta) - gauss_newton(landscape, theta)


def _operator(landscape, theta, product):
    theta = _one_point(landscape, theta)
    dtype = landscape.dtype.as_numpy_dtype
    return _Products(lambda rows: product(theta, rows), landscape.dimension, dtype)


def block(operator, which):
    """The principal block of A in some coordinates: A[which][:, which], as an operator.

    which: a slice, or indices, e.g. `landscape.space.layers["conv2d"]`. A product costs one of A.
    """
    try:
        where = np.arange(operator.shape[0])[which]
    except IndexError:
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


def dense(operator):
    """All of A, [D, D]: D products and D^2 numbers, for small D or a landscape on a subspace."""
    with _bar(operator.shape[0]) as progress:
        matrix = _times(operator, np.eye(operator.shape[0], dtype=operator.dtype), progress)
    return (matrix + matrix.T) / 2


def eigenpairs(operator, k, *, seed, end="largest", tolerance=1e-3, block=None, basis=None, limit=2000):
    """The k largest or smallest (most negative) eigenvalues of A with their vectors: `Eigenpairs`.

    Block Lanczos, reorthogonalised, restarted with its best vectors, until by its own reckoning |A v -
    value v| <= tolerance |value|; products with the vectors found then give the residuals that are
    returned. It finds as many copies of a repeated eigenvalue as a block has vectors; more may be
    missed.

    Args:
      k: from 1 to D.
      seed: of the starting vectors.
      end: "largest" or "smallest", in sign and size.
      tolerance: relative residual. Ten roundings of the largest |value| are allowed for where that is
        more: an eigenvalue of 0 has no relative residual.
      block: vectors a step, which share a network's pass; 2 by default (1 for k = 1).
      basis: vectors of length D held, besides a few blocks and the k returned; at least k + 2 block, by
        default block + max(4 k, 40), so that restarts are rare.
      limit: products at most.

    Raises:
      ValueError: k > D, a tolerance that is not between 0 and 1, a basis too small.
      RuntimeError: the limit is reached first.

    Source: Golub & Underwood 1977, the block method; Wu & Simon 2000 (SIAM J. Matrix Anal. Appl. 22),
    the restarts."""
    dimension = operator.shape[0]
    if not (isinstance(k, (int, np.integer)) and 1 <= k <= dimension):
        raise ValueError(f"k must be a whole number from 1 to D = {dimension}; received {k!r}.")
    if end not in ("largest", "smallest"):
        raise ValueError(f"end must be 'largest' or 'smallest'; received {end!r}.")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be between 0 and 1, e.g. 1e-3; received {tolerance!r}.")
    block = _whole("block", min(2, k) if block is None else block)
    basis = _whole("basis", max(4 * k, 40) + block if basis is None else basis)
    if basis < min(k + 2 * block, dimension):
        raise ValueError(
            f"basis must hold at least k + 2 block = {k + 2 * block} vectors; received {basis}."
        )
    rng = np.random.default_rng(seed)
    size = min(basis, dimension)
    start = rng.standard_normal((min(block, size), dimension)).astype(operator.dtype)
    with bar(desc="eigenpairs", unit="product") as progress:
        sign = 1 if end == "largest" else -1
        found = _block_lanczos(operator, start, k, sign, tolerance, size, limit, rng, progress)
        values, vectors, products = found
        off = (
            _times(operator, vectors, progress, block) - values[:, None].astype(vectors.dtype) * vectors
        )
    block = min(block, k)
    products += -(-k // block) * block
    return Eigenpairs(values, vectors, np.linalg.norm(off, axis=1), products)


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
        scale = np.linalg.norm(after, axis=1).max()
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


def _orthonormal(block, rows, rng, scale=0.0):
    """Orthonormal rows Q [b, D], normal to `rows`, and R [b, b] with block = (along rows) + R^T Q.

    Where the block has no direction of its own left, by rounding of numbers as large as `scale`, a
    random one stands in, with zeros in R."""
    total, dtype = np.eye(len(block)), block.dtype
    for _ in range(2):  # twice is enough
        block = block - (block @ rows.T) @ rows
        q, r = np.linalg.qr(block.T.astype(np.float64))  # [D, b], [b, b]
        total, block = r @ total, q.T.astype(dtype)
        lost = np.abs(np.diag(r)) <= 100 * np.finfo(dtype).eps * scale
        block[lost], total[lost] = rng.standard_normal((lost.sum(), block.shape[1])), 0
        scale = 0.0
    return block, total


def certain(pairs, floor):
    """How many eigenvalues of A are above `floor` for certain, as these pairs prove.

    By Kahan's theorem there are k eigenvalues of A, each within |A V - V diag(values)|_2 of one of the
    values of k orthonormal vectors V; the 2-norm is at most the root of the sum of squared residuals. So
    values above floor + that length count, whatever Lanczos may have missed.

    Source: Kahan 1967 (Inclusion theorems for clusters of eigenvalues); Parlett 1980, theorem 11.5.1.
    """
    return int(np.sum(pairs.values - np.sqrt(np.sum(pairs.residuals**2)) > floor))


def trace(operator, products, *, seed, method="hutch++"):
    """The trace of A from `products` products: a `Trace`.

        hutch++      tr(Q^T A Q) + mean of g^T P A P g,   Q = orth(A S), P = I - Q Q^T
        hutchinson   mean of g^T A g

    S and g have random signs; hutch++ spends a third each on S, Q and g. It takes the large eigenvalues
    out of the mean, which scatters with their squares; it holds about products / 3 vectors. The standard
    error is that of the mean over g, all that is random once Q is chosen.

    Source: Hutchinson 1989; Meyer, Musco, Musco & Woodruff 2021 (arXiv:2010.09649).
    """
    if method not in ("hutch++", "hutchinson"):
        raise ValueError(f"method must be 'hutch++' or 'hutchinson'; received {method!r}.")
    _whole("products", products)
    dimension, rng = operator.shape[0], np.random.default_rng(seed)
    signs = lambda n: rng.choice(np.array([-1, 1], operator.dtype), (n, dimension))
    third = min(products // 3, dimension)
    if method == "hutch++" and third < 2:
        raise ValueError(f"products must be at least 6 for hutch++; received {products}.")
    with _bar(products) as progress:
        if method == "hutchinson":
            sketch, exact, count = np.zeros((0, dimension), operator.dtype), 0.0, products
        else:
            sketch = _times(operator, signs(third), progress)  # [third, D]
            sketch = scipy.linalg.qr(sketch.T, mode="economic", overwrite_a=True)[0].T  # orthonormal
            exact = _forms(operator, sketch, progress).sum()
            count = products - 2 * third
        samples = np.empty(count)
        for i in range(0, count, _BLOCK):
            g = signs(min(_BLOCK, count - i))
            g -= (g @ sketch.T) @ sketch
            samples[i : i + len(g)] = _forms(operator, g, progress)
    return Trace(exact + samples.mean(), _standard_error(samples), 2 * len(sketch) + count)


def lanczos(operator, start, order, *, keep=False, done=lambda: None):
    """`order` steps of Lanczos from `start` [D], reorthogonalised: a `Tridiagonal`, shorter where the
    space that A spans from the start is exhausted.

    A Q^T = Q^T T + beside[-1] q e_m^T, rows of Q orthonormal: each step is orthogonalised twice against
    all rows before it, or rounding would bring found eigenvalues back as copies (Parlett & Scott 1979;
    "twice is enough", Giraud et al. 2005). At most order + 4 vectors of length D are held.

    keep: return the rows, too. done: called after each product.
    """
    _whole("order", order)
    dimension = operator.shape[0]
    start = np.asarray(start, operator.dtype)
    length = np.linalg.norm(start)
    if start.shape != (dimension,) or not 0 < length < np.inf:
        raise ValueError(
            f"start must be a finite vector [{dimension}] of a length above 0; received shape "
            f"{start.shape}."
        )
    basis = np.empty((min(order, dimension), dimension), operator.dtype)
    basis[0] = start / length
    del start
    diagonal, beside = [], []
    for j in range(len(basis)):
        w = np.array(operator.matvec(basis[j]))
        done()
        before = basis[: j + 1]
        diagonal.append(float(before[-1] @ w))
        for _ in range(2):
            w -= (before @ w) @ before
        beside.append(float(np.linalg.norm(w)))
        if beside[-1] <= 1e-6 * max(np.abs(diagonal).max(), max(beside)):
            break
        if j + 1 < len(basis):
            basis[j + 1] = w / w.dtype.type(beside[-1])
    rows = basis[: len(diagonal)] if keep else None
    return Tridiagonal(np.array(diagonal), np.array(beside), rows)


def spectral_density(operator, *, samples, order, seed):
    """Quadratures of A's spectrum from `samples` random starts, `order` steps each: a `Density`.

        share of eigenvalues in S = E_v sum_j tau_j^2 [lambda_j in S]

    lambda_j and tau_j the eigenvalues and first components of the unit eigenvectors of the tridiagonal
    matrix that Lanczos makes from a random unit vector v (stochastic Lanczos quadrature). Exact for
    moments up to 2 order - 1, but for the scatter of v. Holds order + 4 vectors.

    Source: Golub & Welsch 1969; Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Ubaru, Chen & Saad
    2017."""
    _whole("samples", samples)
    _whole("order", order)
    rng, order, taken = generator(seed), min(order, operator.shape[0]), 0
    values, shares = np.zeros((samples, order)), np.zeros((samples, order))
    with _bar(samples * order) as progress:
        for row, weights in zip(values, shares, strict=True):
            start = rng.standard_normal(operator.shape[0]).astype(operator.dtype)
            found = lanczos(operator, start, order, done=progress.update)
            m = len(found.diagonal)
            taken += m
            row[:m], vectors = scipy.linalg.eigh_tridiagonal(found.diagonal, found.beside[: m - 1])
            weights[:m] = vectors[0] ** 2
    return Density(values, shares, taken)


def smoothed(density, at, width):
    """The density [A] of eigenvalues at `at` [A], each of a `Density` a Gaussian of deviation `width` (a
    number, or one for each of `at`): mean over starts, its integral 1; per unit of curvature."""
    at, width = np.asarray(at, np.float64), np.broadcast_to(width, np.shape(at))
    if not np.all(width > 0):
        raise ValueError(f"width must be above 0, in units of curvature; received {width.min()}.")
    off = (at[:, None, None] - density.values) / width[:, None, None]  # [A, S, m]
    bells = np.exp(-(off**2) / 2) / (np.sqrt(2 * np.pi) * width[:, None, None])
    return np.sum(bells * density.shares, axis=(1, 2)) / len(density.values)


# Products asked for at once: as many as a network shares one pass among. Columns turned at once.
_BLOCK, _COLUMNS = 10, 2**14


def _bar(products):
    return bar(total=products, desc="Hessian-vector products", unit="product")


def _times(operator, rows, progress, block=_BLOCK):
    """A times each of rows [n, D], in its place; some at once, always as many, so that a compiled
    landscape knows one shape."""
    block = min(block, len(rows))
    found = np.empty_like(rows)
    for i in range(0, len(rows), block):
        some = np.zeros((block, rows.shape[1]), rows.dtype)
        count = len(rows[i : i + block])
        some[:count] = rows[i : i + block]
        found[i : i + block] = (operator @ some.T).T[:count]
        progress.update(count)
    return found


def _forms(operator, rows, progress):
    """g^T A g of each row g, [n, D] -> [n] float64."""
    return np.einsum("nd,nd->n", rows, _times(operator, rows, progress), dtype=np.float64)
