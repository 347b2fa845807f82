"""Arrays of many repetitions, put together."""

import numpy as np

from reproductions.common.arrays import mean_and_error


def test_a_mean_has_a_standard_error_unless_it_is_of_one_value():
    values = np.array([[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 2.0, 2.0]])
    mean, error = mean_and_error(values)
    np.testing.assert_allclose(mean, [4.0, 2.0])
    np.testing.assert_allclose(error, [np.sqrt((9 + 1 + 1 + 9) / 3 / 4), 0.0])
    mean, error = mean_and_error(values[:, :1])
    np.testing.assert_allclose(mean, [1.0, 2.0])
    assert error is None
