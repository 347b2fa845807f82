"""The toy landscapes minimised as the paper says, by gradient descent, in place of conjugate gradients.

    theta_{t+1} = theta_t - a_t dL/dtheta,    a_t = a_0 (1 - t / T)

on the distance L itself. Its gradient has length 1 off the wedges, so a_t is the length of a step, and
a_0 T / 2 is how far a descent can go; a rate that did not fall would end in jumps across the wedge.
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 3.
"""

import dataclasses

import numpy as np

import wedges
from reproductions.common import toys

_REACH = 4  # how far a descent can go, in units of the largest loss where it starts


@dataclasses.dataclass(frozen=True)
class Descended(toys.Toy):
    """A `Toy` whose optima and tunnels are found by gradient descent.

    Attributes:
      descent: T, the steps of each descent.
    """

    descent: int = 2000

    def falling(self, starts):
        """Gradient descent from `starts` [R, D]: a Keras optimizer whose rate falls to 0."""
        import keras

        rate = 2 * _REACH * float(self.landscape(starts).numpy().max()) / self.descent
        schedules = keras.optimizers.schedules
        return keras.optimizers.SGD(schedules.PolynomialDecay(rate, self.descent, 0.0))

    def optima(self, starts):
        """Where each start [R, D] ends when it is minimised: [R, D]."""
        return wedges.minimize(self.landscape, starts, self.falling(starts), self.descent).theta

    def tunnel(self, ends, segments, steps=None, tolerance=None):
        """As `Toy.tunnel`; how long a descent is, is said by `descent` alone."""
        t = np.linspace(0, 1, segments + 1)[:, None]
        line = ((1 - t) * ends[0] + t * ends[1]).astype(np.float32)
        how = self.falling(line), self.descent
        return wedges.tunnel(self.landscape, *ends, segments, *how)
