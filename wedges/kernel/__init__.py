"""The tangent kernel of a network, K = J J^T, J the derivatives of its outputs by theta; what it says.

    tangent_kernel        all of K, or its trace over outputs, between two sets of examples; J never held
    kernel_operator       K v for many examples, a SciPy operator
    pl_ratio              |grad L|^2 / (2 (L - L*)), between the ends of K's spectrum for a square loss
    output_hessian        the Hessian of one output of one example, an operator
    output_hessian_norm   its spectral norm, which says how far from linear a network is

>>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])  # linear: K = X X^T + 1
>>> x, y = np.eye(3, dtype="float32"), np.ones(3, "float32")
>>> landscape = wedges.NetworkLandscape(model, x, y, "mean_squared_error", seed=0)
>>> wedges.tangent_kernel(landscape, np.zeros(4))
array([[2., 1., 1.],
       [1., 2., 1.],
       [1., 1., 2.]])
>>> round(wedges.pl_ratio(landscape, np.zeros(4)).ratio, 4)  # (2 / 3) r K r / |r|^2, r = -y
2.6667

In here: `taps` hooks into the layers of a model, `formulas` knows what each kind of layer adds to K,
`features` computes what is needed of a block of examples, `gram` multiplies two blocks, `matrix`,
`condition` and `bend` are what a user calls.
"""

from wedges.kernel.bend import output_hessian, output_hessian_norm
from wedges.kernel.condition import PLRatio, pl_ratio
from wedges.kernel.matrix import kernel_operator, tangent_kernel

__all__ = [
    "PLRatio",
    "kernel_operator",
    "output_hessian",
    "output_hessian_norm",
    "pl_ratio",
    "tangent_kernel",
]
