"""SGD with weight decay as these papers have it: part of the gradient, so that momentum carries it."""

import keras


class CoupledSGD(keras.optimizers.SGD):
    """v <- m v - rate (g + c theta), theta <- theta + v: a descent of L(theta) + c |theta|^2 / 2.

    Keras' own `weight_decay` shrinks theta outside of the momentum, by rate c theta a step; under
    momentum m that is 1 / (1 - m) times weaker in the long run.

    Args:
      learning_rate: constant, or a schedule.
      momentum: m.
      penalty: c, at least 0.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, penalty=0.0, **settings):
        super().__init__(learning_rate, momentum, **settings)
        self.penalty = penalty

    def update_step(self, gradient, variable, learning_rate):
        """One step of one variable."""
        super().update_step(
            gradient + self.penalty * keras.ops.convert_to_tensor(variable), variable, learning_rate
        )

    def get_config(self):
        """All settings, as Keras wants them to make a copy."""
        return {**super().get_config(), "penalty": self.penalty}
