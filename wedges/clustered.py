"""The simple model of local geometry: clustered logit gradients, plus noise, and their growth.

    d z_k(i) / d theta = length (centre_k + mixing centre_{k,class(i)} + noise e_{ik}),    i < N, k < C
    z_k(i) = spread (xi_{ik} + bias beta_k + margin [k = class(i)]),    p = softmax(z)

centres orthonormal, e of independent Gaussian components (length about 1), xi and beta standard normal.
Then gradient and Hessian follow as for any model with a cross-entropy, H = G + R:

    g = (1/N) sum_ik (p_k - y_k)(i) dz_k(i),      G = (1/N) sum_i dz(i)^T (diag p - p p^T)(i) dz(i)
    R = (1/N) sum_ik (p_k - y_k)(i) Q_ik,         Q_ik independent symmetric Gaussian matrices, of
                                                  spectral radius 2 bend length

Training is a growing `spread` and `margin` (probabilities freeze) and a growing `length`; a radius is a
power of each. Closed forms: without noise G has rank C - 1, not C, since (diag p - p p^T) 1 = 0; the
C-th outlier appears where an example's logit gradients depend on its class (`mixing`: rank C (C - 1)).
At equal probabilities outliers leave the bulk where `ClusteredLogits.spike` says.

Source: Fort & Ganguli 2019 (arXiv:1910.05929), the abstract; Benaych-Georges & Nadakuditi 2012
(arXiv:1103.2221) for the outliers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wedges._checks import not_negative, whole
from wedges._checks import seed as checked_seed
from wedges._repr import short


class Point(NamedTuple):
    """The model at one spread, length and margin."""

    probabilities: np.ndarray  # p [N, C]
    gradient: np.ndarray  # g [D]
    factor: np.ndarray  # X [N C, D] with G = X^T X
    residual: np.ndarray  # R [D, D]

    def __repr__(self) -> str:
        return short(self)


class Spike(NamedTuple):
    """The spectrum of G at equal probabilities and many dimensions, as random-matrix theory has it."""

    outlier: float  # where its C - 1 outliers are; the edge, where there are none
    edge: float  # the bulk's upper edge
    overlap: float  # the share of an outlier's vector in the span of the centres
    threshold: float  # the noise above which no outlier is left

    def __repr__(self) -> str:
        return short(self)


class ClusteredLogits:
    """The model. All that is random is drawn once, from `seed`.

    >>> model = wedges.clustered.ClusteredLogits(30, 20, 3, seed=0, noise=0.0)
    >>> factor = model.at(spread=0.0, length=1.0).factor  # X, G = X^T X
    >>> int(np.linalg.matrix_rank(factor))  # C - 1
    2

    Args:
      dimension, examples, classes: D, N, C; D at least C (C + 1) with mixing, C without.
      noise: length of the noise in a logit gradient, in units of its centre's.
      mixing: length of the part that depends on the example's class, in the same units.
      bias: deviation over classes of what all examples' logits share, in units of `spread`.
      seed: of all that is random.
      bend: of R, see above.

    Attributes:
      labels: the class of each example [N], as many of each as can be.
      centres: orthonormal [C, D].
      directions: the logit gradients at length 1, [N, C, D].
      offsets: the logits at spread 1 and margin 0, [N, C].

    Raises:
      ValueError: a size below 2, a length below 0, more centres than dimensions.
    """

    def __init__(
        self,
        dimension: int,
        examples: int,
        classes: int,
        *,
        seed: int,
        noise: float,
        mixing: float = 0.0,
        bias: float = 0.0,
        bend: float = 0.0,
    ) -> None:
        sizes = {"dimension": dimension, "examples": examples, "classes": classes}
        dimension, examples, classes = (whole(name, size, low=2) for name, size in sizes.items())
        for name, value in (("noise", noise), ("mixing", mixing), ("bias", bias), ("bend", bend)):
            not_negative(name, value)
        centres = classes * (1 + classes * (mixing > 0))
        if centres > dimension:
            raise ValueError(
                f"dimension must be at least {centres}, one for each centre; received {dimension}."
            )
        rng = np.random.default_rng(checked_seed(seed))
        self.dimension, self.examples, self.classes = dimension, examples, classes
        self.noise, self.mixing, self.bend = noise, mixing, bend
        self.labels = np.arange(examples) % classes  # [N], balanced
        axes = np.linalg.qr(rng.standard_normal((dimension, centres)))[0].T  # [centres, D]
        self.centres = axes[:classes]
        self.directions = self.centres[None] + noise * rng.standard_normal(
            (examples, classes, dimension)
        ) / np.sqrt(dimension)  # [N, C, D]
        if mixing:
            own = axes[classes:].reshape(classes, classes, dimension)
            self.directions += mixing * own[self.labels]
        self.offsets = rng.standard_normal((examples, classes)) + bias * rng.standard_normal(classes)
        shape = rng.standard_normal((dimension, dimension))
        self._wigner = (shape + shape.T) / np.sqrt(2 * dimension)  # [D, D], spectral radius 2

    def at(self, *, spread: float, length: float, margin: float = 0.0) -> Point:
        """The `Point` where logits have this spread and margin, logit gradients this length.

        Raises:
          ValueError: one of them not finite, or below 0.
        """
        for name, value in (("spread", spread), ("length", length), ("margin", margin)):
            not_negative(name, value)
        y = np.eye(self.classes)[self.labels]  # [N, C]
        z = spread * (self.offsets + margin * y)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error, n = p - y, self.examples
        gradient = length * np.einsum("nk,nkd->d", error, self.directions) / n
        # diag p - p p^T = S S^T with S = diag(sqrt p) - p sqrt(p)^T
        root = np.sqrt(p)
        weighted = root[:, :, None] * (
            self.directions - np.einsum("nk,nkd->nd", p, self.directions)[:, None]
        )
        factor = length / np.sqrt(n) * weighted.reshape(-1, self.dimension)
        # A sum of independent Gaussian matrices is one, its variance the sum of theirs.
        residual = self.bend * length * np.sqrt(np.sum(error**2)) / n * self._wigner
        return Point(p, gradient, factor, residual)

    def spike(self, length: float = 1.0) -> Spike:
        """Where random-matrix theory puts the outliers of G at equal probabilities (spread 0).

        There G = (length noise)^2 / (C N) X^T X, X [N (C - 1), D] of independent entries of variance 1/D
        plus C - 1 singular values t = sqrt(N) / noise. With c = N (C - 1) / D, an outlier of X^T X
        stands at (1 + t^2)(c + t^2) / t^2 if t > c^(1/4), with the share 1 - (c + t^2) / (t^2 (t^2 + 1))
        of its vector in the centres' span; the bulk ends at (1 + sqrt c)^2.

        Args:
          length: of the logit gradients.

        Raises:
          ValueError: a model with mixing, for which it does not hold.

        Source: Benaych-Georges & Nadakuditi 2012 (J. Multivariate Anal. 111), section 3.1.
        """
        if self.mixing:
            raise ValueError(f"mixing must be 0 for this prediction; received {self.mixing!r}.")
        rows = self.examples * (self.classes - 1)
        c = rows / self.dimension
        threshold = np.sqrt(self.examples) / c**0.25
        if not self.noise:
            return Spike(length**2 / self.classes, 0.0, 1.0, threshold)
        t2, unit = (
            self.examples / self.noise**2,
            (length * self.noise) ** 2 / (self.classes * self.examples),
        )
        edge = unit * (1 + np.sqrt(c)) ** 2
        if self.noise >= threshold:
            return Spike(edge, edge, 0.0, threshold)
        outlier = unit * (1 + t2) * (c + t2) / t2
        return Spike(outlier, edge, 1 - (c + t2) / (t2 * (t2 + 1)), threshold)
