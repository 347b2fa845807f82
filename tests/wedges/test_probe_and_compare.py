import numpy as np
import pytest
import tensorflow as tf

import wedges


def test_line_and_barrier_between_the_minima_of_a_double_well():
    class DoubleWell(wedges.Landscape):
        """(x^2 - 1)^2 + y^2: minima at x = +-1, between them a barrier of 1."""

        dimension, dtype = 2, tf.float32

        def __call__(self, theta):
            theta = self.point(theta)
            return (theta[..., 0] ** 2 - 1) ** 2 + theta[..., 1] ** 2

    t, losses = wedges.line(DoubleWell(), [-1.0, 0.0], [1.0, 0.0], points=9)
    np.testing.assert_allclose(losses, ((2 * t - 1) ** 2 - 1) ** 2, atol=1e-6)
    assert wedges.barrier(losses) == pytest.approx(1.0)


def test_barrier_is_above_the_chord_never_negative_and_keeps_nan():
    np.testing.assert_allclose(wedges.barrier([0.0, 3.0, 2.0]), 2.0)  # chord 1 in the middle
    assert wedges.barrier([1.0, 0.0, 1.0]) == 0.0
    assert np.isnan(wedges.barrier([0.0, np.nan, 0.0]))
    np.testing.assert_allclose(wedges.barrier([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]), [1.0, 0.0])


def test_line_needs_its_ends():
    with pytest.raises(ValueError, match="points must be at least 2"):
        wedges.line(wedges.Quadratic([1.0]), [0.0], [1.0], points=1)


def test_label_agreement_by_hand():
    found = wedges.label_agreement([[0, 1, 2, 2], [0, 1, 1, 2], [1, 0, 0, 0]])
    np.testing.assert_allclose(found, [[1, 0.75, 0], [0.75, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"received \(2,\)"):
        wedges.label_agreement([1, 2])
