"""Penalties that compress: the ratio of L1 and L2 norms for Keras, and a step that makes exact zeros.

    layer = keras.layers.Dense(100, kernel_regularizer=wedges.Compressibility(1e-3))    # in the loss
    model.fit(x, y, callbacks=[wedges.Proximal(wedges.Compressibility(1e-3))])          # exact zeros

    Compressibility   strength C(w),  C(w) = |w|_1 / |w|_2
    HoyerSquare       strength C(w)^2 / D
    together          one penalty of several weights as one vector
    forces            the two forces of a penalty: one that shrinks all alike, one that scales
    proximal_step     a step of both, after which small components are 0; `proximal_steps` of several

What C is and what it says of a vector is in `wedges.compressibility`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from wedges import _checks

if TYPE_CHECKING:
    from tensorflow.types.experimental import TensorLike


class _OfNorms(keras.regularizers.Regularizer):
    """A penalty that is a function of C(w) and D, so that the scale of w does not matter.

    Args:
      strength: at least 0.
    """

    def __init__(self, strength: float = 1e-3) -> None:
        _checks.not_negative("strength", strength)
        self.strength = float(strength)

    def __call__(self, x: Any) -> tf.Tensor:
        """The penalty of all components of x, []; 0 where all of them are, with gradient 0."""
        x = _floating(x)
        return tf.cast(self._value(_norms(x)[0], _size(x)), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """All settings, as Keras wants them to make a copy."""
        return {"strength": self.strength}

    def __repr__(self) -> str:
        rest = [f"{name}={value}" for name, value in self.get_config().items() if value is True]
        return f"{type(self).__name__}({', '.join([f'{self.strength:g}', *rest])})"

    def _value(self, c, size):
        """The penalty, of C and D."""
        raise NotImplementedError

    def _slope(self, c, size):
        """Its derivative by C."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="wedges")
class Compressibility(_OfNorms):
    """strength |w|_1 / |w|_2 of each weight that it is given for: few and equal magnitudes are cheap.

        dC / dw = sign(w) / r - s w / r^3,    s = |w|_1,  r = |w|_2

    The first part shrinks all components alike, as L1 does, the second scales them up again, so that
    those above r^2 / s grow, and C does not depend on the scale of w. So <w, dC/dw> = 0, and a plain
    step of descent makes w longer, by |w_new|^2 = |w|^2 + rate^2 |gradient|^2; the force falls as 1 / r.

    In the loss, as a `kernel_regularizer`, it makes small weights but no zeros, since descent steps over
    the kink at 0: `Proximal` makes zeros. It is not for weights that begin at 0, such as biases: there C
    is not defined, and the penalty and its gradient are 0. It is saved with a model. Where a program
    only loads one, have it name `wedges.Compressibility` before: `import wedges` alone loads nothing.

    >>> penalty = wedges.Compressibility(0.1)
    >>> round(float(penalty(tf.constant([[3.0, 4.0], [0.0, 0.0]]))), 3)
    0.14

    Args:
      strength: at least 0.
      normalize: divide C by the sqrt(D) of its D components, the largest value that it can have.

    Raises:
      ValueError: a strength that is negative or not finite.

    Source: Aytekin, Cricri & Aksu 2019, arXiv:1904.12638; Yang, Wen & Li 2020, arXiv:1908.09979.
    """

    def __init__(self, strength: float = 1e-3, *, normalize: bool = False) -> None:
        super().__init__(strength)
        self.normalize = bool(normalize)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalize": self.normalize}

    def _value(self, c, size):
        return self._slope(c, size) * c

    def _slope(self, c, size):
        return tf.cast(self.strength, c.dtype) / (tf.sqrt(size) if self.normalize else 1)


@keras.saving.register_keras_serializable(package="wedges")
class HoyerSquare(_OfNorms):
    """strength (|w|_1 / |w|_2)^2 / D of each weight that it is given for, D its number of components.

    Between strength / D and strength; strength k / D of a ternary w with k components other than 0. It
    is saved and loaded as `Compressibility` is.

    >>> penalty = wedges.HoyerSquare(0.1)
    >>> round(float(penalty(tf.constant([[3.0, -3.0], [0.0, 0.0]]))), 3)
    0.05

    Args:
      strength: at least 0.

    Raises:
      ValueError: a strength that is negative or not finite.

    Source: Yang, Wen & Li 2020, arXiv:1908.09979, who do not divide by D.
    """

    def _value(self, c, size):
        return tf.cast(self.strength, c.dtype) * c**2 / size

    def _slope(self, c, size):
        return 2 * tf.cast(self.strength, c.dtype) * c / size


def _floating(w, name="w"):
    """Weights as a tensor of floating numbers."""
    try:
        found = tf.convert_to_tensor(w)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be floating numbers; received {_checks.called(w)}.") from None
    if not found.dtype.is_floating:
        raise ValueError(f"{name} must be floating numbers; received {found.dtype.name}.")
    return found


def _wide(x):
    """A tensor in single precision at least: half has no room for a sum, or for D."""
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _size(x):
    """D, the number of components of a tensor."""
    return tf.cast(tf.size(x), _wide(x).dtype)


def _norms(x):
    """C and the L2 norm of all components of a tensor: [], []; 0 and 0 of zeros."""
    x = _wide(x)
    # C is the same in any unit; in this one no square is 0 or infinite.
    unit = tf.stop_gradient(tf.reduce_max(tf.abs(x)))
    known = unit > 0
    u = x / tf.where(known, unit, tf.ones_like(unit))
    sums, squares = tf.reduce_sum(tf.abs(u)), tf.reduce_sum(u * u)
    squares = tf.where(known, squares, tf.ones_like(squares))
    return sums / tf.sqrt(squares), unit * tf.sqrt(squares)


# ---- several weights as one vector ------------------------------------------------------------------


def together(variables: Sequence[keras.Variable], penalty: Any) -> None:
    """Give a penalty for several weights as one vector, C = sum_l |w_l|_1 / sqrt(sum_l |w_l|_2^2).

    The sum over weights of their own C is another function: only as one vector do all of them have one
    critical magnitude, and a layer whose weights lie below it is cut down to nothing. The penalty
    becomes the regulariser of the first variable, in place of what it had. It is not saved with the
    model; call this again after loading.

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    >>> kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    >>> wedges.regularizers.together(kernels, wedges.Compressibility(1.0))
    >>> len(model.losses)
    1

    Args:
      variables: two or more Keras variables, of one model.
      penalty: a Keras regulariser.

    Raises:
      ValueError: fewer than two variables, or something else than them.
    """
    variables = _checks.several("variables", variables)
    if len(variables) < 2 or not all(isinstance(v, keras.Variable) for v in variables):
        raise ValueError(
            "variables must be two or more Keras variables, e.g. model.trainable_variables; received "
            f"{_checks.called(variables[0]) if len(variables) == 1 else f'{len(variables)} values'}."
        )
    if not callable(penalty):
        raise ValueError(f"penalty must be a Keras regularizer; received {_checks.called(penalty)}.")
    variables[0].regularizer = _Together(penalty, variables[1:])


class _Together(keras.regularizers.Regularizer):
    def __init__(self, penalty, others):
        self.penalty, self.others = penalty, others

    def __call__(self, x):
        return self.penalty(_one_vector([tf.convert_to_tensor(v) for v in (x, *self.others)]))


# ---- the proximal step ------------------------------------------------------------------------------


class Forces(NamedTuple):
    """The gradient of a penalty is shrink sign(w) - grow w."""

    shrink: Any  # []
    grow: Any  # []


def forces(penalty: Any, w: TensorLike) -> Forces:
    """The two parts of the gradient of a penalty at w: shrink sign(w) - grow w.

        Compressibility   shrink = strength / r,              grow = strength s / r^3
        HoyerSquare       shrink = 2 strength s / (D r^2),    grow = 2 strength s^2 / (D r^4)
        Keras' L1 and L2  shrink = l1,                        grow = -2 l2

    Both are 0 where w = 0 under the first two, which are not defined there.

    >>> found = wedges.regularizers.forces(wedges.Compressibility(1.0), tf.constant([3.0, 4.0]))
    >>> round(float(found.shrink), 3), round(float(found.grow), 3)  # r = 5, s = 7
    (0.2, 0.056)

    Args:
      penalty: `Compressibility`, `HoyerSquare`, or Keras' L1, L2 or L1L2.
      w: floating numbers of any shape, together one vector.

    Raises:
      ValueError: another penalty, or numbers that are not floating.
    """
    w = _wide(_floating(w))
    check_penalty(penalty)
    if not isinstance(penalty, _OfNorms):
        l1, l2 = (tf.cast(getattr(penalty, name, 0.0), w.dtype) for name in ("l1", "l2"))
        return Forces(l1, -2 * l2)
    c, r = _norms(w)
    known = r > 0
    safe = tf.where(known, r, tf.ones_like(r))
    shrink = tf.where(known, penalty._slope(c, _size(w)) / safe, tf.zeros_like(r))
    return Forces(shrink, shrink * c / safe)


def proximal_step(w: TensorLike, penalty: Any, step: TensorLike) -> tf.Tensor:
    """w after a step of descent on a penalty that goes to 0 and not beyond it.

        z = w + step grow w,    w_new = sign(z) max(|z| - step shrink, 0)

    with the `forces` at w. The growing part is a plain step of descent, the shrinking one the proximal
    step of an L1 norm, whose components are 0 exactly once they are small. Under `Compressibility` and
    `HoyerSquare` the largest component never shrinks, so that w never becomes 0 as a whole.

    >>> w = tf.constant([3.0, -0.25, 0.01])
    >>> wedges.regularizers.proximal_step(w, keras.regularizers.L1(1.0), 0.125).numpy()
    array([ 2.875, -0.125,  0.   ], dtype=float32)

    Args:
      w: floating numbers of any shape, together one vector.
      penalty: as for `forces`.
      step: the length of the step, the learning rate, at least 0.

    Raises:
      ValueError: as `forces`; a number below 0 as the step.

    Source: Parikh & Boyd 2014, Proximal algorithms (section 4.2: forward and backward steps).
    """
    if not tf.is_tensor(step):
        _checks.not_negative("step", step)
    given = _floating(w)
    w = _wide(given)
    shrink, grow = forces(penalty, w)
    step = tf.cast(step, w.dtype)
    z = w + step * grow * w
    moved = tf.sign(z) * tf.maximum(tf.abs(z) - step * shrink, tf.zeros_like(z))
    return tf.cast(moved, given.dtype)


def proximal_steps(
    weights: Sequence[TensorLike], penalty: Any, step: TensorLike, *, group: bool = False
) -> list[tf.Tensor]:
    """The `proximal_step` of several weights: of each by itself, or of all as one vector (`group`)."""
    weights = [_floating(w, "weights") for w in _checks.several("weights", weights)]
    if not group:
        return [proximal_step(w, penalty, step) for w in weights]
    moved = proximal_step(_one_vector(weights), penalty, step)
    parts = tf.split(moved, [w.shape.num_elements() for w in weights])
    back = lambda part, w: tf.cast(tf.reshape(part, w.shape), w.dtype)
    return [back(part, w) for part, w in zip(parts, weights, strict=True)]


def _one_vector(weights):
    """Tensors as one vector, of the widest of their dtypes."""
    widest = max((_wide(w).dtype for w in weights), key=lambda kind: kind.size)
    return tf.concat([tf.reshape(tf.cast(w, widest), [-1]) for w in weights], axis=0)


def check_penalty(penalty: Any) -> None:
    """Whether there is a proximal step for a penalty.

    Raises:
      ValueError: there is none.
    """
    known = (_OfNorms, keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
    if not isinstance(penalty, known):
        raise ValueError(
            "penalty must be wedges.Compressibility, wedges.HoyerSquare, or Keras' L1, L2 or L1L2; "
            f"received {_checks.called(penalty)}."
        )


def undefined_at_zero(penalty: Any) -> bool:
    """Whether a penalty is a function of C, which is not defined where all components are 0."""
    return isinstance(penalty, _OfNorms)
