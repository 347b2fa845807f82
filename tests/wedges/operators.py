"""Matrices whose answers are known, as the Hessians of quadratics."""

import numpy as np

import wedges


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def turned(eigenvalues, seed=0):
    """A dense matrix of these eigenvalues, its eigenvectors random."""
    u = np.linalg.qr(normal(seed, len(eigenvalues), len(eigenvalues)))[0]
    matrix = (u * eigenvalues) @ u.T
    return (matrix + matrix.T) / 2


class Plain(wedges.Quadratic):
    """A quadratic whose products are NumPy's, and whose vectors are kept."""

    def __init__(self, matrix, dtype="float64"):
        super().__init__(matrix, dtype=dtype)
        self.seen, self.dense = [], self.matrix.numpy()

    @property
    def asked(self):
        return sum(len(np.atleast_2d(v)) for v in self.seen)

    def hessian_product(self, theta, v):
        self.seen.append(np.array(v))
        return v * self.dense if self.dense.ndim == 1 else v @ self.dense


def operator(matrix, dtype="float64"):
    """The Hessian of a quadratic, and the quadratic."""
    landscape = Plain(matrix, dtype)
    return wedges.hessian(landscape, np.zeros(landscape.dimension)), landscape
