"""How sharp the loss is where a training stands, among Keras' own logs: `Sharpness`."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np

from wedges import _checks, _keras
from wedges.callbacks.averaging import due
from wedges.callbacks.places import FIRST, Placed
from wedges.callbacks.standing import trained_values
from wedges.curvature import eigenpairs, hessian, hutch_plus_plus, hutchinson
from wedges.landscape import Landscape
from wedges.network.landscape import NetworkLandscape
from wedges.probe import isotropic, tunnel_width


class Sharpness(Placed):
    """Largest Hessian eigenvalues, trace and tunnel width at epoch ends, in the logs of `fit`.

        H = d^2 L / d theta^2 at the trained weights,    L the loss over all of x, y

        hessian_eigenvalue     the largest eigenvalue of H; of several, hessian_eigenvalue_1, _2, ...
        hessian_trace          tr H, by Hutch++ (by Hutchinson below 6 products)
        hessian_trace_error    the standard error of that
        tunnel_width           mean distance to a threshold, as `wedges.tunnel_width` finds it

    `History`, `CSVLogger`, `TensorBoard` and others have them wherever they stand in the list, and
    `EarlyStopping(mode="min")` or `ReduceLROnPlateau` may monitor them. They are there from the first
    epoch on: NaN after an epoch that was not measured, at weights that are not finite, and where an
    eigenvalue is not found. The random vectors are the same at every epoch, so that what changes is the
    landscape. Nothing that training depends on is touched: the steps are those that it takes without.

    One measurement costs some 20 to 60 products with H for the eigenvalues, `trace` products, and about
    20 times `width` losses; a product costs two to three gradients over all of x. Give it a part of the
    data.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.array([[2.0, 0.0], [0.0, 1.0]], "float32"), np.ones(2, "float32")
    >>> sharpness = wedges.Sharpness(x=x, y=y, width=0, seed=0)  # H = x^T x: eigenvalues 4 and 1
    >>> history = model.fit(x, y, verbose=0, callbacks=[sharpness]).history
    >>> round(history["hessian_eigenvalue"][0], 3), round(history["hessian_trace"][0], 3)
    (4.0, 5.0)

    Args:
      landscape: where to measure; its theta must be all trainable weights of the model. A
        `NetworkLandscape` with frozen batch norm keeps the statistics of when it was made.
      x, y: instead of a landscape, examples: it is then a `NetworkLandscape` of the model with the loss
        that it is compiled with, batch norm's statistics re-estimated at each theta.
      every: epochs from one measurement to the next.
      eigenvalues: how many of the largest ones; 0 for none.
      trace: products for the trace; 0 for none.
      width: random directions for the tunnel width; 0 for none.
      threshold: of the tunnel width, in units of the loss; twice the loss at theta by default. NaN
        where the loss is above it.
      tolerance: relative residual of the eigenvalues.
      name: what comes before each key, e.g. "test_".
      seed: of the random vectors and of the landscape that is made of x and y.

    Raises:
      ValueError: neither a landscape nor x and y, nothing to measure, a landscape of another dimension,
        a loss without second derivatives.
    """

    place = FIRST

    def __init__(
        self,
        landscape: Landscape | None = None,
        *,
        x: Any = None,
        y: Any = None,
        every: int = 1,
        eigenvalues: int = 1,
        trace: int = 30,
        width: int = 10,
        threshold: float | None = None,
        tolerance: float = 1e-3,
        name: str = "",
        seed: int,
    ) -> None:
        super().__init__()
        if landscape is not None and not isinstance(landscape, Landscape):
            raise ValueError(f"landscape must be a Landscape; received {type(landscape).__name__}.")
        if (landscape is None) == (x is None):
            raise ValueError("landscape must be given, or x and y instead; received both or neither.")
        self.landscape, self._data = landscape, (x, y)
        self.every = _checks.whole("every", every)
        self.eigenvalues = _checks.whole("eigenvalues", eigenvalues, 0)
        self.trace, self.width = _checks.whole("trace", trace, 0), _checks.whole("width", width, 0)
        if not (self.eigenvalues or self.trace or self.width):
            raise ValueError("eigenvalues, trace or width must be above 0; received 0 for all three.")
        if threshold is not None:
            _checks.positive("threshold", threshold)
        _checks.share("tolerance", tolerance)
        self.threshold, self.tolerance, self.name = threshold, tolerance, name
        self.seed = _checks.whole("seed", seed, 0, 2**31 - 1)
        self._made = landscape is None

    @property
    def keys(self) -> list[str]:
        """The keys in the logs."""
        n = self.eigenvalues
        values = (
            [f"hessian_eigenvalue_{i + 1}" for i in range(n)] if n > 1 else ["hessian_eigenvalue"] * n
        )
        traces = ["hessian_trace", "hessian_trace_error"] if self.trace else []
        return [self.name + key for key in [*values, *traces, *["tunnel_width"] * (self.width > 0)]]

    def set_model(self, model: keras.Model) -> None:
        if self._made and self.model is not model:
            self.landscape = None
        super().set_model(model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        measured = self.measure() if due(epoch, self.every) else dict.fromkeys(self.keys, math.nan)
        if logs is not None:
            logs.update(measured)

    def measure(self) -> dict[str, float]:
        """What is measured at the trained weights of the model, by the keys of the logs."""
        landscape, theta = self._landscape(), self._theta()
        if not np.isfinite(theta).all():
            return dict.fromkeys(self.keys, math.nan)
        H = hessian(landscape, theta)
        values = [*self._eigenvalues(H), *self._trace(H), *self._width(landscape, theta)]
        return dict(zip(self.keys, map(float, values), strict=True))

    def _landscape(self):
        if self.landscape is None:
            x, y = self._data
            norms = any(
                isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
                for layer in _keras.flat_layers(self.model)
            )
            policy = "reestimate" if norms else "frozen"
            self.landscape = NetworkLandscape(self.model, x, y, seed=self.seed, batch_norm=policy)
        return self.landscape

    def _theta(self):
        values = trained_values(self.model, self.model.trainable_variables)
        theta = np.concatenate([v.ravel() for v in values])
        if len(theta) != self.landscape.dimension:
            raise ValueError(
                f"landscape must have a dimension for each of the {len(theta)} trainable weights of "
                f"model {self.model.name!r}; received one of {self.landscape.dimension}."
            )
        return theta

    def _eigenvalues(self, H):
        if not self.eigenvalues:
            return []
        try:
            return eigenpairs(H, self.eigenvalues, seed=self.seed, tolerance=self.tolerance).values
        except RuntimeError as error:
            warnings.warn(f"Sharpness found no eigenvalue: {error}", stacklevel=2)
            return [math.nan] * self.eigenvalues

    def _trace(self, H):
        if not self.trace:
            return []
        estimate = hutch_plus_plus if self.trace >= 6 and H.shape[0] > 1 else hutchinson
        return estimate(H, self.trace, seed=self.seed)[:2]

    def _width(self, landscape, theta):
        if not self.width:
            return []
        base = float(landscape(theta))
        threshold = 2 * base if self.threshold is None else self.threshold
        if not base <= threshold < math.inf or not np.any(theta):
            return [math.nan]
        directions = isotropic(len(theta), self.width, seed=self.seed)
        return [tunnel_width(landscape, theta, directions, threshold).mean]
