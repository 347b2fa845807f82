"""A rugged bowl: one dimension, a load that makes wells and a temperature that smooths them away.

    L(theta) = c theta^2 / 2 + A (1 - cos K theta) + sum_j a_j (1 - cos(k_j theta + phi_j)),    k_j >> K

c bends the whole, the load A makes large wells, the waves k_j are fine ruggedness. No term is below 0.
Averaged over Gaussian noise of deviation s, each wave is damped by itself, the finest first:

    E L(theta + s xi) = c (theta^2 + s^2) / 2 + sum_i h_i (1 - d_i cos(k_i theta + phi_i)),
    d_i = exp(-k_i^2 s^2 / 2)

where h_i, k_i are A, K and all a_j, k_j. So noise makes another `Rugged`, the effective landscape.
At a temperature T, `langevin` samples exp(-L / T), and `gibbs` is that density by quadrature.

Source: Yang et al. 2021 (arXiv:2107.11228) for load and temperature, Martin & Mahoney 2017
(arXiv:1710.09553) for rugged convexity. The first version of Yang et al. has a model in one dimension
that was not at hand. This is the minimal model with such parameters: our reading, not theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.integrate
import scipy.optimize
import tensorflow as tf

from wedges import _checks
from wedges._repr import short
from wedges.landscape import Around, Landscape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from tensorflow.types.experimental import TensorLike

BLOCK = 500  # steps whose noise is drawn at once


class Convexity(NamedTuple):
    """What the heights and numbers of the waves alone say of L''; arrays of the landscape's shape.

    With w_i = h_i k_i^2 exp(-k_i^2 s^2 / 2), the most that wave i bends downwards.
    """

    lower: np.ndarray  # c - sum_i w_i <= L'' everywhere: above 0, the landscape is convex
    # c - max_i w_i / 2 >= inf L'': below 0, it is not convex, whatever the phases
    upper: np.ndarray
    large: np.ndarray  # c - w_0, the lowest L'' of the bowl and the load's wave alone
    rugged: np.ndarray  # convex at large scale and not at fine: c > w_0, c < the sum of the other w_i

    def __repr__(self) -> str:
        return short(self)


class Rugged(Landscape):
    """The landscape of the module's text, D = 1; or many at once, which differ in load and noise.

    >>> rugged = wedges.rugged.Rugged(0.3, 0.1, 1.6, [0.03], [9.0])
    >>> float(rugged([0.0]))
    0.0
    >>> bool(rugged.convexity().rugged), float(rugged.effective(0.5).convexity().lower) > 0
    (True, True)

    Loads and noises are numbers, or arrays that broadcast to some shape [...]: theta [..., 1] then has
    the landscape at each place of the last axes of its own, and a single theta [1] has all losses [...].

    Args:
      bowl: c, the curvature of the whole, above 0.
      load: A, the height of the large waves, [...].
      wave: K, their number (radians for a unit of theta).
      fine: heights a_j [J] of the fine waves.
      fine_waves: their numbers k_j [J]. No two of all waves may have the same number.
      phases: phi_j [J]; 0 by default.
      noise: s [...], the deviation of the noise that the loss is averaged over.
      dtype: of theta and of the loss.

    Attributes:
      bowl, load, wave, fine, fine_waves, phases, noise: as given, arrays in float64.

    Raises:
      ValueError: a bowl, wave or number not above 0; a load, height or noise below 0; lists of unequal
        lengths; equal wave numbers.
    """

    dimension = 1

    def __init__(
        self,
        bowl: float,
        load: ArrayLike,
        wave: float,
        fine: ArrayLike = (),
        fine_waves: ArrayLike = (),
        phases: ArrayLike | None = None,
        *,
        noise: ArrayLike = 0.0,
        dtype: DTypeLike = "float64",
    ) -> None:
        self.dtype = tf.as_dtype(dtype)
        _checks.positive("bowl", bowl)
        _checks.positive("wave", wave)
        self.bowl, self.wave = float(bowl), float(wave)
        self.load, self.noise = _not_negative("load", load), _not_negative("noise", noise)
        self.fine, self.fine_waves = _not_negative("fine", fine), _not_negative("fine_waves", fine_waves)
        self.phases = np.zeros_like(self.fine) if phases is None else np.asarray(phases, np.float64)
        _checks.finite("phases", self.phases)
        for name, values in (("fine_waves", self.fine_waves), ("phases", self.phases)):
            if self.fine.ndim != 1 or values.shape != self.fine.shape:
                raise ValueError(
                    f"{name} must be a list as long as fine, {self.fine.shape}; received {values.shape}."
                )
        numbers = np.array([wave, *self.fine_waves])
        if not numbers.all() or len(set(numbers)) < len(numbers):
            raise ValueError(
                f"fine_waves must be numbers above 0, no two equal and none wave = {self.wave:g}; "
                f"received {self.fine_waves.tolist()}."
            )
        self.shape = np.broadcast_shapes(self.load.shape, self.noise.shape)
        self._numbers = numbers  # [W], W = 1 + J
        angles = np.array([0, *self.phases])
        heights = np.concatenate(
            [self.load[..., None], np.broadcast_to(self.fine, (*self.load.shape, self.fine.size))], -1
        )
        damped = heights * np.exp(-0.5 * (numbers * self.noise[..., None]) ** 2)  # [..., W]
        self._damped = damped
        # The mean of the loss over theta, but for the bowl's part.
        level = self.bowl * self.noise**2 / 2 + heights.sum(axis=-1)
        self._level, self._k, self._phi, self._h = (
            tf.constant(v, self.dtype) for v in (level, numbers, angles, damped)
        )

    def effective(self, noise: ArrayLike) -> Rugged:
        """The landscape averaged over (more) noise of deviation s: E L(theta + s xi), in closed form.

        noise [...] -> a `Rugged` whose noise is sqrt(noise^2 + s^2).

        Raises:
          ValueError: a noise below 0.
        """
        both = np.hypot(self.noise, _not_negative("noise", noise))
        waves = (self.wave, self.fine, self.fine_waves, self.phases)
        return Rugged(self.bowl, self.load, *waves, noise=both, dtype=self.dtype)

    def convexity(self) -> Convexity:
        """Bounds on the lowest second derivative, and whether the landscape is a rugged convex one.

        L'' = c + sum_i w_i cos(...), so c - sum w_i bounds it from below. It is attained where all
        cosines are -1 at one theta: with aligned phases, and nearly for numbers of no common measure.
        The mean of L'' (1 - cos(k_i theta + phi_i)) over theta is c - w_i / 2, which no convex L has
        below 0: a necessary condition that knows no phases.
        """
        bends = self._damped * self._numbers**2  # [..., W]
        large = self.bowl - bends[..., 0]
        fine = bends[..., 1:].sum(axis=-1)
        rugged = (large > 0) & (fine > self.bowl)
        return Convexity(large - fine, self.bowl - bends.max(axis=-1) / 2, large, rugged)

    def critical_load(self) -> np.ndarray:
        """A*(s) = (c / K^2) exp(K^2 s^2 / 2), [...]: below it bowl and large waves are convex."""
        return self.bowl / self.wave**2 * np.exp(0.5 * (self.wave * self.noise) ** 2)

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        theta = self.point(theta)
        waves = tf.reduce_sum(self._h * tf.cos(self._angles(theta)), axis=-1)
        return 0.5 * self.bowl * theta[..., 0] ** 2 + self._level - waves

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        theta = self.point(theta)
        angles = self._angles(theta)  # [..., W]
        waves = tf.reduce_sum(self._h * tf.cos(angles), axis=-1)
        loss = 0.5 * self.bowl * theta[..., 0] ** 2 + self._level - waves
        return loss, self._slope(theta, angles)

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        theta, direction = self.point(theta), self.point(direction)[..., 0]
        loss, slope = self.value_and_gradient(theta)
        return loss, slope[..., 0] * direction, self.second(theta) * direction**2

    def second(self, theta: TensorLike) -> tf.Tensor:
        """L'' at theta. [..., 1] -> [...]."""
        bends = self._h * self._k**2 * tf.cos(self._angles(self.point(theta)))
        return self.bowl + tf.reduce_sum(bends, axis=-1)

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        theta, v = self.point_and_directions(theta, v)
        return self.second(theta)[..., None] * v

    def _angles(self, theta):
        return theta * self._k + self._phi

    def _slope(self, theta, angles):
        waves = tf.reduce_sum(self._h * self._k * tf.sin(angles), axis=-1, keepdims=True)
        return self.bowl * theta + waves


class Floored(Around):
    """max(L - floor, 0): below a height the loss is flat, as where more weights than needed fit all.

    The derivatives are L's above the floor, and 0 on it.

    >>> flat = wedges.rugged.Floored(wedges.Quadratic([2.0]), 1.0)
    >>> flat([[0.5], [2.0]]).numpy()
    array([0., 3.], dtype=float32)

    Args:
      landscape: any.
      floor: the height, at least 0.

    Raises:
      ValueError: no landscape, or a floor below 0.
    """

    def __init__(self, landscape: Landscape, floor: float) -> None:
        _checks.a_landscape(landscape)
        _checks.not_negative("floor", floor)
        super().__init__(landscape)
        self.floor = float(floor)

    def __call__(self, theta: TensorLike) -> tf.Tensor:
        return tf.nn.relu(self.landscape(theta) - self.floor)

    def sample(self, theta: TensorLike, step: int | tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(self.landscape.sample(theta, step) - self.floor)

    def value_and_gradient(self, theta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        loss, gradient = self.landscape.value_and_gradient(theta)
        above = loss > self.floor
        return tf.nn.relu(loss - self.floor), tf.where(above[..., None], gradient, 0)

    def jet(self, theta: TensorLike, direction: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        loss, slope, curvature = self.landscape.jet(theta, direction)
        above = loss > self.floor
        return tf.nn.relu(loss - self.floor), tf.where(above, slope, 0), tf.where(above, curvature, 0)

    def hessian_product(self, theta: TensorLike, v: TensorLike) -> tf.Tensor:
        above = self.landscape(theta) > self.floor
        return tf.where(above[..., None], self.landscape.hessian_product(theta, v), 0)


def critical_variance(bowl: float, heights: ArrayLike, waves: ArrayLike) -> float:
    """The variance s^2 of the noise that just makes a bowl with waves convex; 0 where it is already.

    It solves c = sum_j a_j k_j^2 exp(-k_j^2 s^2 / 2). For one wave that is (2 / k^2) ln(a k^2 / c).

    >>> s2 = wedges.rugged.critical_variance(0.3, [0.03], [9.0])
    >>> np.isclose(s2, 2 / 81 * np.log(0.03 * 81 / 0.3))
    np.True_

    Args:
      bowl: c, above 0.
      heights, waves: a_j and k_j, lists of equal length.

    Raises:
      ValueError: a bowl not above 0, a height or number below 0, lists of unequal lengths.
    """
    _checks.positive("bowl", bowl)
    a, k = _not_negative("heights", heights), _not_negative("waves", waves)
    if a.ndim != 1 or a.shape != k.shape:
        raise ValueError(f"waves must be a list as long as heights, {a.shape}; received {k.shape}.")
    short_of = lambda s2: np.sum(a * k**2 * np.exp(-(k**2) * s2 / 2)) - bowl
    if short_of(0.0) <= 0:
        return 0.0
    # Where the flattest wave alone, with the bends of all, would be gone.
    present = k[a * k > 0]
    high = 2 / present.min() ** 2 * np.log(np.sum(a * k**2) / bowl)
    return float(scipy.optimize.brentq(short_of, 0.0, high * (1 + 1e-9), xtol=1e-15, rtol=1e-14))


# ---- sampling at a temperature ----------------------------------------------------------------------


class Chains(NamedTuple):
    """Where Langevin chains stop."""

    theta: np.ndarray  # [chains, ..., D]
    accepted: np.ndarray  # share of the steps that were taken [chains, ...]; 1 where none is refused

    def __repr__(self) -> str:
        return short(self)


def langevin(
    landscape: Landscape,
    start: ArrayLike,
    temperature: ArrayLike,
    *,
    step: float,
    steps: int,
    seed: int,
    adjusted: bool = True,
) -> Chains:
    """Langevin dynamics at a temperature T, many chains on many landscapes in one tensor.

        theta' = theta - step dL/dtheta + sqrt(2 step T) xi

    Adjusted, a step is taken with the probability of Metropolis and Hastings, and the chains sample
    exp(-L / T), whatever the step. Without it each step is taken, and the density is off by an order of
    step times curvature. Chain i is driven by a generator of its own, made of (seed, i): by the same
    noise at every place [...] of a landscape, so that places differ by what they are and by no luck; and
    by the same whichever other chains there are.

    >>> bowl = wedges.Quadratic([1.0], dtype="float64")
    >>> chains = wedges.rugged.langevin(bowl, np.zeros((2000, 1)), 0.5, step=0.5, steps=50, seed=0)
    >>> abs(chains.theta.var() / 0.5 - 1) < 0.1
    np.True_

    Args:
      landscape: one that takes many points at once, [..., D].
      start: where chains begin, [chains, D]; or [chains, ..., D], each place with starts of its own.
      temperature: T, above 0; a number, or an array that broadcasts with the places.
      step: the learning rate; stable below 2 over the largest curvature.
      steps: how many.
      seed: of all noise.
      adjusted: refuse steps as Metropolis and Hastings do (MALA).

    Raises:
      ValueError: a temperature or a step not above 0, a start of another shape, a network.

    Source: Roberts & Tweedie 1996 (Bernoulli 2), for both.
    """
    _checks.a_landscape(landscape)
    if not landscape.takes_batches:
        raise ValueError(
            f"landscape must take many points at once; received {type(landscape).__name__}."
        )
    _checks.positive("step", step)
    steps, seed = _checks.whole("steps", steps), _checks.whole("seed", seed, 0)
    heat = _heat(temperature)
    theta = landscape.point(start, "start")
    if theta.shape.rank < 2:
        raise ValueError(
            f"start must have shape [chains, ..., {landscape.dimension}]; received {tuple(theta.shape)}."
        )
    chains, d, dtype = theta.shape[0], landscape.dimension, landscape.dtype
    places = np.broadcast_shapes(_places(landscape), heat.shape, theta.shape[1:-1])
    middle = [1] * (len(places) - theta.shape.rank + 2)
    theta = tf.reshape(theta, [chains, *middle, *theta.shape[1:]])
    theta = tf.broadcast_to(theta, [chains, *places, d])
    walk = _walk(landscape, tf.constant(heat, dtype), step, adjusted)
    loss, gradient = landscape.value_and_gradient(theta)
    state = (theta, loss, gradient, tf.zeros_like(loss))
    own = [np.random.default_rng([seed, i]) for i in range(chains)]
    ones = [1] * len(places)
    for first in range(0, steps, BLOCK):
        n = min(BLOCK, steps - first)
        # A Gaussian and a uniform number for each step, in turns, whatever the number of steps.
        drawn = [(rng.standard_normal((n, d)), rng.random(n)) for rng in own]
        xi = np.stack([x for x, _ in drawn], axis=1).reshape(n, chains, *ones, d)
        u = np.stack([u for _, u in drawn], axis=1).reshape(n, chains, *ones)
        state = walk(*state, tf.constant(xi, dtype), tf.constant(np.log1p(-u), dtype))
    return Chains(state[0].numpy(), state[3].numpy() / steps)


def _walk(landscape, heat, step, adjusted):
    """A block of steps as one graph: (theta, loss, gradient, taken), noise -> the same."""
    scale = tf.sqrt(2 * step * heat)[..., None]

    @tf.function(autograph=False)
    def walk(theta, loss, gradient, taken, xi, log_u):
        def body(t, theta, loss, gradient, taken):
            new = theta - step * gradient + scale * xi[t]
            new_loss, new_gradient = landscape.value_and_gradient(new)
            if not adjusted:
                return t + 1, new, new_loss, new_gradient, taken + 1
            back = theta - new + step * new_gradient
            forth = new - theta + step * gradient
            lean = tf.reduce_sum(forth**2 - back**2, axis=-1) / (4 * step)
            take = log_u[t] * heat < loss - new_loss + lean
            pick = lambda a, b: tf.where(take, a, b)
            each = lambda a, b: tf.where(take[..., None], a, b)
            return (
                t + 1,
                each(new, theta),
                pick(new_loss, loss),
                each(new_gradient, gradient),
                taken + tf.cast(take, taken.dtype),
            )

        state = (tf.constant(0), theta, loss, gradient, taken)
        return tf.while_loop(lambda t, *_: t < tf.shape(xi)[0], body, state)[1:]

    return walk


def gibbs(landscape: Landscape, temperature: ArrayLike, theta: ArrayLike) -> np.ndarray:
    """The density exp(-L / T) / Z of a landscape of one dimension, Z by the trapezoidal rule.

    >>> theta = np.linspace(-8, 8, 401)
    >>> density = wedges.rugged.gibbs(wedges.Quadratic([1.0], dtype="float64"), 2.0, theta)
    >>> np.allclose(density, np.exp(-(theta**2) / 4) / np.sqrt(4 * np.pi))
    True

    Args:
      landscape: of D = 1, that takes many points at once.
      temperature: T, above 0; a number, or [...] as the loss goes on after the points.
      theta: points [P] that rise evenly, over all that has weight, fine enough for wells of width
        sqrt(T / L'').

    Returns:
      The density at each point, [P, ...].

    Raises:
      ValueError: a landscape of more dimensions, a temperature not above 0, points that are not even.
    """
    _checks.a_landscape(landscape)
    if landscape.dimension != 1:
        raise ValueError(f"landscape must have D = 1; received D = {landscape.dimension}.")
    heat, theta = _heat(temperature), _checks.floats("theta", theta)
    gaps = np.diff(theta)
    if theta.ndim != 1 or len(theta) < 2 or not np.allclose(gaps, gaps[0]) or gaps[0] <= 0:
        raise ValueError(f"theta must be points [P] that rise evenly; received shape {theta.shape}.")
    rank = len(np.broadcast_shapes(_places(landscape), heat.shape))
    loss = landscape(theta.reshape(-1, *[1] * rank, 1)).numpy().astype(np.float64)  # [P, ...]
    weight = np.exp(-(loss - loss.min(axis=0)) / heat)
    return weight / scipy.integrate.trapezoid(weight, dx=gaps[0], axis=0)


def _places(landscape):
    """The shape of the landscapes that one holds, what the loss of a single point has: (), mostly."""
    return tuple(landscape(tf.zeros([landscape.dimension], landscape.dtype)).shape)


def _heat(temperature):
    """Temperatures, all above 0, in float64."""
    heat = _not_negative("temperature", temperature)
    if not heat.all():
        raise ValueError("temperature must be above 0; received 0.")
    return heat


def _not_negative(name, values):
    """Finite numbers, none below 0, in float64."""
    values = np.asarray(_checks.numbers(name, values, tf.float64))
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if wrong.size:
        raise ValueError(f"{name} must be finite and at least 0; received {wrong.flat[0]:g}.")
    return values
