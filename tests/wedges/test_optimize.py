import keras
import numpy as np
import pytest

import wedges


def test_gradient_descent_contracts_each_eigendirection_by_one_minus_rate_times_eigenvalue():
    rate, steps, eigenvalues = 0.1, 25, np.array([0.5, 1.0, 4.0])
    start = np.array([1.0, -2.0, 3.0])
    theta, losses, _ = wedges.minimize(
        wedges.Quadratic(eigenvalues, dtype="float64"), start, keras.optimizers.SGD(rate), steps
    )
    path = start * (1 - rate * eigenvalues) ** np.arange(steps + 1)[:, None]  # [steps + 1, 3]
    np.testing.assert_allclose(theta, path[-1], rtol=1e-6)
    np.testing.assert_allclose(losses, 0.5 * (path[:-1] ** 2) @ eigenvalues, rtol=1e-6)


def test_momentum_follows_the_heavy_ball_recurrence():
    rate, beta, theta, velocity = 0.05, 0.9, 3.0, 0.0
    for _ in range(30):
        velocity = beta * velocity - rate * 2.0 * theta
        theta += velocity
    found, *_ = wedges.minimize(
        wedges.Quadratic([2.0]), [3.0], keras.optimizers.SGD(rate, momentum=beta), 30
    )
    np.testing.assert_allclose(found, [theta], rtol=1e-4)


def test_many_starts_at_once_are_as_each_alone():
    bowl, starts = (
        wedges.Quadratic([1.0, 9.0]),
        np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 1.0]], np.float32),
    )
    together = wedges.minimize(bowl, starts, keras.optimizers.Adam(0.1), 40)
    for i, start in enumerate(starts):
        alone = wedges.minimize(bowl, start, keras.optimizers.Adam(0.1), 40)
        np.testing.assert_allclose(together.theta[i], alone.theta, rtol=1e-6)
        np.testing.assert_allclose(together.losses[:, i], alone.losses, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_schedule_is_read_at_each_step(jit_compile):
    cycles = keras.optimizers.schedules.CosineDecayRestarts(0.5, 4, t_mul=1.0, m_mul=1.0)
    theta, *_ = wedges.minimize(
        wedges.Quadratic([1.0]), [1.0], keras.optimizers.SGD(cycles), 8, jit_compile=jit_compile
    )
    rates = 0.25 * (np.cos(np.pi * (np.arange(8) % 4) / 4) + 1)  # Huang et al. 2017
    np.testing.assert_allclose(theta, [np.prod(1 - rates)], rtol=1e-5)


def test_a_saved_descent_continues_bit_for_bit(images, tmp_path):
    from tests.conftest import SPARSE, dropout

    landscape = wedges.NetworkLandscape(dropout(), *images, SPARSE, seed=3, batch_size=8)
    start, adam = landscape.space.read(), keras.optimizers.Adam(0.01)
    straight = wedges.Descent(landscape, start, adam)
    losses = straight.run(20).losses
    first = wedges.Descent(landscape, start, adam)
    before = first.run(7).losses
    np.savez(tmp_path / "state.npz", **first.state)
    second = wedges.Descent(landscape, np.zeros(landscape.dimension), adam)
    second.state = dict(np.load(tmp_path / "state.npz", allow_pickle=False))
    after = second.run(13).losses
    assert second.step == 20
    np.testing.assert_array_equal(np.concatenate([before, after]), losses)
    np.testing.assert_array_equal(second.theta, straight.theta)


def test_descent_leaves_the_callers_optimizer_alone():
    adam = keras.optimizers.Adam(0.1)
    wedges.minimize(wedges.Quadratic([1.0]), [1.0], adam, 5)
    assert int(adam.iterations) == 0 and not adam.built


def test_descent_names_bad_input():
    bowl = wedges.Quadratic([1.0, 1.0])
    with pytest.raises(ValueError, match="optimizer must be a Keras optimizer.*received str"):
        wedges.Descent(bowl, [1.0, 1.0], "adam")
    with pytest.raises(ValueError, match="start must be finite"):
        wedges.Descent(bowl, [1.0, np.nan], keras.optimizers.Adam())
    descent = wedges.Descent(bowl, [1.0, 1.0], keras.optimizers.Adam())
    with pytest.raises(ValueError, match="state must hold"):
        descent.state = {"theta": np.zeros(2)}


def test_a_diverging_descent_says_so_in_its_losses():
    _, losses, _ = wedges.minimize(wedges.Quadratic([1.0]), [1.0], keras.optimizers.SGD(1e6), 20)
    assert not np.isfinite(losses[-1]) and np.isfinite(losses[0])


def test_a_users_own_schedule_and_a_loss_scaling_optimizer():
    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 / 2.0 ** keras.ops.cast(step, "float32")

        def get_config(self):
            return {}

    bowl = wedges.Quadratic([1.0])
    theta, *_ = wedges.minimize(bowl, [1.0], keras.optimizers.SGD(Halving()), 3)
    np.testing.assert_allclose(theta, [0.5 * 0.75 * 0.875], rtol=1e-6)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    theta, losses, _ = wedges.minimize(bowl, [1.0], scaled, 5)
    np.testing.assert_allclose(theta, [0.9**5], rtol=1e-5)
    np.testing.assert_allclose(losses[0], 0.5)
