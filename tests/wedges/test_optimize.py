import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges
from wedges import optimize


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
    with pytest.raises(ValueError, match="optimizer must be a Keras optimizer.*path 'downhill'"):
        wedges.Descent(bowl, [1.0, 1.0], "downhill")
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


class Numbered(wedges.Landscape):
    """Its loss at theta = 0 is the number of the step, and its gradient is `slope` everywhere."""

    dimension, dtype = 1, tf.float32

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, theta):
        return self.slope * self.point(theta)[..., 0]

    def sample(self, theta, step):
        return self(theta) + tf.cast(step, tf.float32)


COUNTED = {
    "accumulates four gradients": (keras.optimizers.SGD(0.0, gradient_accumulation_steps=4), 1.0),
    "scales its loss": (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)), 1.0),
    # 1e38 times 2^15 is no float32, so that Keras halves the scale and skips the step, 15 times.
    "overflows": (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)), 1e38),
}


@pytest.mark.parametrize("name", COUNTED)
def test_steps_are_counted_whatever_the_optimizer_makes_of_their_gradients(name):
    rule, slope = COUNTED[name]
    descent = wedges.Descent(Numbered(slope), [0.0], rule)
    losses = [descent.run(steps).losses for steps in (6, 1, 5)]
    np.testing.assert_array_equal(np.concatenate(losses), np.arange(12))
    second = wedges.Descent(Numbered(slope), [0.0], rule)
    second.state = descent.state
    assert second.step == descent.step == 12
    np.testing.assert_array_equal(second.run(3).losses, [12, 13, 14])
    descent.restart([0.0])
    # 120 steps are three looks at the bar.
    np.testing.assert_array_equal(optimize.progress(descent, 120, "a name").losses, np.arange(120))


def test_accumulated_gradients_move_theta_by_their_mean():
    rule = keras.optimizers.SGD(0.5, gradient_accumulation_steps=4)
    descent = wedges.Descent(wedges.Quadratic([1.0]), [1.0], rule)
    descent.run(3)
    np.testing.assert_array_equal(descent.theta, [1.0])
    descent.run(6)
    np.testing.assert_array_equal(descent.theta, [0.25])  # halved by the fourth step and the eighth


# ---- conjugate gradients, subspaces, tolerance ----------------------------------------------------


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def bowl(eigenvalues, seed=0):
    """A, c and the quadratic 1/2 (x - c)^T A (x - c) of these curvatures in random directions."""
    d = len(eigenvalues)
    turn = np.linalg.qr(normal([seed, 0], d, d))[0]
    matrix, center = turn @ np.diag(eigenvalues) @ turn.T, normal([seed, 1], d)
    matrix = (matrix + matrix.T) / 2
    return matrix, center, wedges.Quadratic(matrix, center, "float64")


CG = wedges.ConjugateGradients()


def test_conjugate_gradients_end_in_as_many_steps_as_there_are_curvatures():
    _, center, steep = bowl(np.geomspace(1, 1e4, 20))
    # By exact arithmetic in 20; rounding costs as many again, as it does the textbook's linear method.
    theta, losses, _ = wedges.minimize(steep, normal(1, 20), CG, 40)
    assert losses[0] > 1e2 and losses[5] > 1e-2  # in a few steps it is not done
    np.testing.assert_allclose(theta, center, atol=1e-6)
    _, center, three = bowl([1.0] * 5 + [100.0] * 6 + [1e4] * 4)
    np.testing.assert_allclose(wedges.minimize(three, normal(1, 15), CG, 3).theta, center, atol=1e-9)
    assert wedges.minimize(three, normal(1, 15), CG, 3).losses[2] > 1e-3


@pytest.mark.parametrize("kind", ["span", "complement", "transform"])
def test_in_a_subspace_the_minimum_is_the_constrained_one(kind):
    matrix, center, landscape = bowl(np.geomspace(1, 100, 12))
    origin, start = normal(2, 2, 12)
    if kind == "complement":
        normals = normal(3, 5, 12)
        subspace, basis = wedges.normal_plane(origin, normals), np.linalg.svd(normals)[2][5:]
    else:
        method = {"span": "dense", "transform": "transform"}[kind]
        subspace = wedges.random_cut(origin, 7, seed=0, method=method)
        basis = subspace.directions.lift(np.eye(7)).numpy()  # [7, D]
    z = np.linalg.solve(basis @ matrix @ basis.T, basis @ matrix @ (center - origin))
    found = wedges.minimize(landscape, start, CG, 40, subspace=subspace)
    np.testing.assert_allclose(found.theta, origin + z @ basis, atol=1e-8)
    # It began at the point nearest to the start.
    first = origin + (start - origin) @ basis.T @ basis
    expected = 0.5 * (first - center) @ matrix @ (first - center)
    np.testing.assert_allclose(found.losses[0], expected)


def test_no_step_raises_a_squared_toy_landscape_inside_a_cut():
    for landscape in (
        wedges.AxisWedges(60, 40, "float64"),
        wedges.RandomWedges(60, 40, 5, seed=0, dtype="float64"),
    ):
        starts = normal(4, 8, 60)
        for d, reached in ((12, False), (24, True)):  # s = 20
            cuts = wedges.random_cut(starts, d, seed=range(8))
            losses = wedges.minimize(wedges.Squared(landscape), starts, CG, 60, subspace=cuts).losses
            np.testing.assert_allclose(losses[0], landscape(starts) ** 2 / 2, rtol=1e-12)
            assert np.all(np.diff(losses, axis=0) <= 1e-14 * losses[0])
            assert np.all((losses[-1] < 1e-10 * losses[0]) == reached)


def test_conjugate_gradients_from_many_starts_are_as_from_each_alone():
    landscape = wedges.Squared(wedges.AxisWedges(30, 20, "float64"))
    starts = normal(5, 3, 30)
    cuts = wedges.random_cut(starts, 8, seed=[0, 1, 2])
    together = wedges.minimize(landscape, starts, CG, 12, subspace=cuts)
    for i, start in enumerate(starts):
        cut = wedges.random_cut(start, 8, seed=i)
        alone = wedges.minimize(landscape, start, CG, 12, subspace=cut)
        np.testing.assert_allclose(together.theta[i], alone.theta, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(together.losses[:, i], alone.losses, rtol=1e-7)
        np.testing.assert_allclose(together.distances[:, i], alone.distances, rtol=1e-7, atol=1e-12)


def test_without_curvature_conjugate_gradients_step_a_length_downhill():
    saddle = wedges.Quadratic([-1.0, -4.0], dtype="float64")
    theta, *_ = wedges.minimize(saddle, [3.0, 1.0], wedges.ConjugateGradients(0.5), 1)
    np.testing.assert_allclose(theta, [3.0 + 0.3, 1.0 + 0.4])  # gradient (-3, -4)


OPTIMIZERS = {
    "cg": CG,
    "sgd": keras.optimizers.SGD(0.05),
    "momentum": keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": keras.optimizers.Adam(0.1),
}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_stops_where_every_start_is_flat_and_stays_there(name, jit_compile):
    # With momentum it rushes through the first flat place that it meets.
    curvatures, tolerance = np.array([1.0, 3.0]), 0.2
    landscape = wedges.Quadratic(curvatures, dtype="float64")
    starts = np.array([[2.0, -1.0], [0.01, 0.01], [5.0, 5.0]])
    descent = wedges.Descent(
        landscape, starts, OPTIMIZERS[name], tolerance=tolerance, jit_compile=jit_compile
    )
    losses, distances = descent.run(300)
    assert 1 < len(losses) == len(distances) == descent.step < 300
    lengths = np.linalg.norm(descent.theta * curvatures, axis=-1)
    assert np.all(lengths <= tolerance), lengths
    # The last of the losses is that of where it stopped.
    np.testing.assert_allclose(losses[-1], landscape(descent.theta), rtol=1e-12)
    before = descent.theta.numpy()
    assert len(descent.run(5).losses) == 1
    np.testing.assert_array_equal(descent.theta, before)
    one_fewer = wedges.minimize(landscape, starts, OPTIMIZERS[name], len(losses) - 2)
    assert np.any(np.linalg.norm(one_fewer.theta * curvatures, axis=-1) > tolerance)


@pytest.mark.parametrize(
    "rule",
    [
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        keras.optimizers.SGD(0.1, loss_scale_factor=2.0**15),
        keras.optimizers.SGD(0.1, loss_scale_factor=2.0**-15),
    ],
)
def test_a_tolerance_is_of_the_gradient_whatever_an_optimizer_scales_the_loss_by(rule):
    losses = wedges.minimize(wedges.Quadratic([1.0]), [1.0], rule, 300, tolerance=0.01).losses
    assert len(losses) == 45  # 0.9^t <= 0.01 from t = 44 on, and a step tells
    np.testing.assert_allclose(losses, 0.9 ** (2 * np.arange(45)) / 2, rtol=1e-4)


def test_a_tolerance_inside_a_subspace_is_of_the_gradient_there():
    _, _, landscape = bowl(np.geomspace(1, 10, 8))
    plane = wedges.normal_plane(normal(0, 8), normal(1, 2, 8))
    found = wedges.minimize(landscape, normal(2, 8), CG, 50, subspace=plane, tolerance=1e-6)
    assert len(found.losses) < 15
    gradient = landscape.value_and_gradient(found.theta)[1]
    assert np.linalg.norm(gradient) > 1e-2  # which pulls out of the plane
    assert np.linalg.norm(plane.directions.lift(gradient)) <= 1e-6


def test_losses_and_distances_are_those_before_each_step():
    rate, eigenvalues, start = 0.1, np.array([0.5, 1.0, 4.0]), np.array([1.0, -2.0, 3.0])
    _, losses, distances = wedges.minimize(
        wedges.Quadratic(eigenvalues, dtype="float64"), start, keras.optimizers.SGD(rate), 5
    )
    path = start * (1 - rate * eigenvalues) ** np.arange(5)[:, None]
    np.testing.assert_allclose(losses, 0.5 * path**2 @ eigenvalues, rtol=1e-6)
    np.testing.assert_allclose(distances, np.linalg.norm(path - start, axis=-1), rtol=1e-6, atol=1e-12)


def test_distances_inside_a_plane_are_those_of_its_points():
    _, _, landscape = bowl([1.0, 2.0, 3.0, 4.0])
    plane, adam = wedges.normal_plane(normal(0, 4), normal(1, 4)), keras.optimizers.Adam(0.1)
    distances = wedges.minimize(landscape, normal(2, 4), adam, 6, subspace=plane).distances
    descent = wedges.Descent(landscape, normal(2, 4), adam, subspace=plane)
    places = [descent.theta.numpy()]
    for _ in range(5):
        descent.run(1)
        places.append(descent.theta.numpy())
    expected = np.linalg.norm(np.array(places) - places[0], axis=-1)
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    free = np.linalg.norm(descent.variable.numpy() - plane.coordinates(normal(2, 4)))
    assert free > 1.001 * expected[-1]  # the free vector goes further


@pytest.mark.parametrize("rule", [keras.optimizers.Adam, keras.optimizers.AdamW])
def test_adam_stays_on_its_plane_and_would_not_if_given_a_projected_gradient(rule):
    curvatures, rng = np.geomspace(0.1, 10, 50), np.random.default_rng(0)
    landscape = wedges.Quadratic(curvatures, rng.standard_normal(50))
    start, normals = rng.standard_normal(50).astype(np.float32), rng.standard_normal((3, 50))
    plane = wedges.normal_plane(start, normals)
    found = wedges.minimize(landscape, start, rule(0.05), 100, subspace=plane)
    units = np.linalg.qr(normals.T)[0].T
    off = lambda theta: np.linalg.norm(units @ (np.array(theta, np.float64) - start))
    assert found.distances[-1] > 1 and off(found.theta) < 1e-5

    class Projected(wedges.Landscape):
        """Its gradient is the landscape's, projected onto the plane."""

        dimension, dtype = landscape.dimension, landscape.dtype

        def __call__(self, theta):
            return landscape(plane.project(theta))

    assert off(wedges.minimize(Projected(), start, rule(0.05), 100).theta) > 0.1


@pytest.mark.parametrize("optimizer", [CG, keras.optimizers.Adam(0.05)])
@pytest.mark.parametrize("inside", [False, True])
def test_a_saved_state_continues_bit_for_bit_in_a_cut_too(optimizer, inside, tmp_path):
    landscape = wedges.Squared(wedges.AxisWedges(30, 20))
    starts = normal(6, 3, 30).astype(np.float32)
    cuts = wedges.random_cut(starts, 8, seed=[0, 1, 2]) if inside else None
    straight = wedges.Descent(landscape, starts, optimizer, subspace=cuts)
    losses, distances = straight.run(12)
    first = wedges.Descent(landscape, starts, optimizer, subspace=cuts)
    before = first.run(5)
    np.savez(tmp_path / "state.npz", **first.state)
    second = wedges.Descent(landscape, starts, optimizer, subspace=cuts)
    second.state = dict(np.load(tmp_path / "state.npz"))
    after = second.run(7)
    assert second.step == 12
    np.testing.assert_array_equal(np.concatenate([before.losses, after.losses]), losses)
    np.testing.assert_array_equal(np.concatenate([before.distances, after.distances]), distances)
    np.testing.assert_array_equal(second.theta, straight.theta)


# ---- beginning anew, a progress bar ---------------------------------------------------------------

THROUGH = {
    "free": lambda origin: None,
    "plane": lambda origin: wedges.normal_plane(origin, normal(0, 3, 12)),
    "cut": lambda origin: wedges.random_cut(origin, 7, seed=0, method="transform"),
}


def same_steps(a, b, steps):
    """Both take `steps` steps, bit for bit the same, and stand at the same place."""
    for x, y in zip(a.run(steps), b.run(steps), strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(a.theta, b.theta)
    assert a.step == b.step


@pytest.mark.parametrize("name", ["cg", "momentum", "adam"])
@pytest.mark.parametrize("kind", THROUGH)
def test_a_restarted_descent_is_a_fresh_one_bit_for_bit(kind, name):
    landscape = wedges.Quadratic(np.geomspace(0.1, 5, 12), dtype="float64")
    start, again, origin, moved = normal(1, 4, 12)
    subspace = THROUGH[kind](origin)
    descent = wedges.Descent(landscape, start, OPTIMIZERS[name], subspace=subspace)
    descent.run(7)
    descent.restart(again, *([] if kind == "free" else [moved]))
    fresh = wedges.Descent(landscape, again, OPTIMIZERS[name], subspace=THROUGH[kind](moved))
    np.testing.assert_array_equal(descent.theta, fresh.theta)
    assert descent.step == 0 and descent.state.keys() == fresh.state.keys()
    same_steps(descent, fresh, 4)
    same_steps(descent, fresh, 5)
    descent.restart(start)  # in the subspace that it was moved to
    there = start if subspace is None else THROUGH[kind](moved).project(start)
    np.testing.assert_array_equal(descent.theta, there)
    assert len(descent.run(3).losses) == descent.step == 3
    assert descent._run.experimental_get_tracing_count() == 1
    if subspace is not None:  # the caller's is where it was
        np.testing.assert_array_equal(subspace.origin, origin)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_many_starts_in_many_planes_begin_anew_together(jit_compile):
    landscape, rule = wedges.Quadratic(np.geomspace(0.1, 5, 12)), OPTIMIZERS["momentum"]
    starts, again, origins, moved = normal(2, 4, 3, 12).astype(np.float32)
    make = lambda start, origin: wedges.Descent(
        landscape, start, rule, subspace=THROUGH["plane"](origin), jit_compile=jit_compile
    )
    descent = make(starts, origins)
    descent.run(5)
    descent.restart(again, moved)
    same_steps(descent, make(again, moved), 5)
    assert descent._run.experimental_get_tracing_count() == 1


def test_a_restart_begins_schedules_and_loss_scales_anew():
    rate = keras.optimizers.schedules.ExponentialDecay(0.2, 2, 0.5)
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(rate), initial_scale=4.0, dynamic_growth_steps=2
    )
    landscape = wedges.Quadratic([1.0, 3.0])
    descent = wedges.Descent(landscape, [1.0, 1.0], scaled)
    descent.run(5)
    descent.restart([2.0, -1.0])
    same_steps(descent, wedges.Descent(landscape, [2.0, -1.0], scaled), 5)


@pytest.mark.parametrize(("steps", "starts"), [(0, ()), (0, (2,)), (1, ()), (50, ()), (130, (2,))])
def test_with_a_progress_bar_the_steps_are_the_same_bit_for_bit(steps, starts, capsys):
    make = lambda: wedges.Descent(
        wedges.Quadratic([1.0, 3.0]), normal(3, *starts, 2), OPTIMIZERS["adam"]
    )
    shown, silent = make(), make()
    found = optimize.progress(shown, steps, "a name")
    expected = silent.run(steps)
    assert len(found.losses) == len(found.distances) == steps
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(shown.theta, silent.theta)
    assert shown.step == steps and capsys.readouterr() == ("", "")  # nobody watches


@pytest.mark.parametrize("before", [0, 3])
def test_with_a_progress_bar_it_stops_at_the_tolerance_too(before):
    make = lambda: wedges.Descent(
        wedges.Quadratic([1.0]), [1.0], keras.optimizers.SGD(0.1), tolerance=1e-3
    )
    shown, silent = make(), make()
    shown.run(before), silent.run(before)
    found, expected = optimize.progress(shown, 300, "a name"), silent.run(300)
    # 0.9^t <= 0.001 from t = 66 on, and a step tells.
    assert len(expected.losses) == 67 - before
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(shown.theta, silent.theta)
    assert shown.step == silent.step == 67


def test_a_restart_that_cannot_be_is_named():
    free = wedges.Descent(wedges.Quadratic([1.0, 1.0]), [1.0, 1.0], CG)
    with pytest.raises(ValueError, match="origin moves a subspace, and this descent has none"):
        free.restart([1.0, 1.0], [0.0, 0.0])
    plane = wedges.normal_plane(np.zeros(2, np.float32), [1.0, 1.0])
    inside = wedges.Descent(wedges.Quadratic([1.0, 1.0]), [1.0, 1.0], CG, subspace=plane)
    for descent in (free, inside):
        descent.run(1)
        before = descent.theta.numpy()
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match="start must be finite; received NaN or infinity"):
                descent.restart([1.0, bad])
        np.testing.assert_array_equal(descent.theta, before)
        assert descent.step == 1


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: wedges.Descent(q, [1.0, 1.0], CG, tolerance=-1.0), "tolerance must .*received -1.0"),
        (lambda q: wedges.Descent(q, [1.0, 1.0], CG, tolerance=np.nan), "tolerance must .*received nan"),
        (lambda q: wedges.ConjugateGradients(0.0), "step must be a finite number above 0; received 0.0"),
        (lambda q: wedges.ConjugateGradients(-1e-3), "step must be .* above 0; received -0.001"),
        (lambda q: wedges.ConjugateGradients(np.inf), "step must be .* above 0; received inf"),
        (
            lambda q: wedges.Descent(q, [1.0, 1.0], wedges.ConjugateGradients),
            "optimizer .*received the class ConjugateGradients",
        ),
        (lambda q: wedges.Descent(q, [1.0], CG), r"start must have .*received shape \(1,\)"),
    ],
)
def test_what_cannot_be_minimised_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build(wedges.Quadratic([1.0, 1.0]))


# ---- names of optimizers, numbers of any type and size --------------------------------------------


@pytest.mark.parametrize("name", ["adam", "SGD", "rmsprop"])
def test_an_optimizer_by_its_name_is_keras_own(name):
    bowl = wedges.Quadratic([1.0, 4.0])
    found = wedges.minimize(bowl, [1.0, 1.0], name, 5)
    expected = wedges.minimize(bowl, [1.0, 1.0], keras.optimizers.get(name), 5)
    np.testing.assert_array_equal(found.theta, expected.theta)
    np.testing.assert_array_equal(found.losses, expected.losses)


@pytest.mark.parametrize("optimizer", [None, 1.0, keras.losses.MeanSquaredError(), "mean_squared_error"])
def test_what_is_no_optimizer_is_named(optimizer):
    with pytest.raises(ValueError, match="^optimizer must be a Keras optimizer, e.g. .*") as caught:
        wedges.minimize(wedges.Quadratic([1.0]), [1.0], optimizer, 5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_are_whole_numbers_of_any_library(jit_compile):
    bowl, sgd = wedges.Quadratic([1.0, 1.0]), keras.optimizers.SGD(0.1)
    descent = wedges.Descent(bowl, [1.0, 1.0], sgd, jit_compile=jit_compile)
    for kind in (int, np.int64, np.uint8, np.array, tf.constant):
        assert descent.run(kind(3)).losses.shape == (3,)
        assert len(optimize.progress(descent, kind(3), "a name").losses) == 3
    assert len(wedges.minimize(bowl, [1.0, 1.0], sgd, np.int64(3)).losses) == 3


@pytest.mark.parametrize("steps", [-1, 2.5, 3.0, True, None, "3", np.float32(3), [3]])
def test_steps_that_are_no_whole_number_are_named(steps):
    bowl, sgd = wedges.Quadratic([1.0, 1.0]), keras.optimizers.SGD(0.1)
    descent = wedges.Descent(bowl, [1.0, 1.0], sgd)
    for use in (
        lambda: wedges.minimize(bowl, [1.0, 1.0], sgd, steps),
        lambda: descent.run(steps),
        lambda: optimize.progress(descent, steps, "a name"),
    ):
        with pytest.raises(ValueError, match="^steps must be a whole number, at least 0; received"):
            use()
    assert descent.step == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_conjugate_gradients_know_no_unit_of_the_loss(scale):
    """The squares of such gradients are no float32; the same steps, but for rounding."""
    values, starts = np.array([1.0, 4.0, 9.0]), [[3.0, -1.0, 2.0], [0.1, 0.0, 5.0]]
    plain = wedges.minimize(wedges.Quadratic(values), starts, CG, 3)
    found = wedges.minimize(wedges.Quadratic(values * scale), starts, CG, 3)
    assert np.abs(plain.theta).max() < 1e-5
    np.testing.assert_allclose(found.theta, plain.theta, atol=1e-5)
    np.testing.assert_allclose(found.losses / scale, plain.losses, rtol=1e-4, atol=1e-12)


def test_a_tiny_gradient_is_no_gradient_of_zero():
    bowl = wedges.Quadratic(np.full(3, 1e-30))
    sgd = keras.optimizers.SGD(1e29)
    assert len(wedges.minimize(bowl, np.ones(3), sgd, 5, tolerance=0.0).losses) == 5
    assert len(wedges.minimize(bowl, np.ones(3), sgd, 5, tolerance=1.5e-30).losses) == 3  # sqrt(3) 0.9^k
    assert len(wedges.minimize(bowl, np.ones(3), sgd, 5, tolerance=1e-3).losses) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_starts_of_any_type_are_alike(dtype):
    bowl, values = wedges.Quadratic([1.0, 4.0], dtype=dtype), [3.0, 2.0]
    descent = wedges.Descent(bowl, np.zeros(2), CG)
    for given in (values, tuple(values), *(np.array(values, k) for k in ("f2", "f4", "f8", "i4"))):
        for start in (given, tf.constant(given), tf.Variable(given)):
            descent.restart(start)
            np.testing.assert_array_equal(descent.theta, np.array(values, dtype))
            made = wedges.Descent(bowl, start, CG)
            np.testing.assert_array_equal(made.theta, descent.theta)
            assert made.theta.dtype == dtype


def test_what_is_no_landscape_or_no_start_is_named():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="mine")
    bowl = wedges.Quadratic([1.0, 4.0])
    for use, words in (
        (lambda: wedges.minimize(model, [1.0, 1.0], CG, 3), "landscape must be .*NetworkLandscape"),
        (lambda: wedges.minimize([1.0, 1.0], bowl, CG, 3), "landscape must be a .*; received list"),
        (lambda: wedges.minimize(bowl, model, CG, 3), "start must be real numbers; .*the model 'mine'"),
        (lambda: wedges.minimize(bowl, "best.keras", CG, 3), "start must be real .* path 'best.keras'"),
        (lambda: wedges.minimize(bowl, bowl, CG, 3), "start must be .* a landscape, Quadratic"),
        (lambda: wedges.minimize(bowl, [1j, 1], CG, 3), "start must be real numbers; received"),
        (lambda: wedges.minimize(bowl, [1.0, 1.0], CG, 3, subspace=np.eye(2)), "subspace must be a"),
        (lambda: wedges.minimize(bowl, [1.0, 1.0], CG, 3, tolerance="low"), "tolerance must be a"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_descent_and_what_it_finds_show_in_a_line():
    bowl = wedges.Quadratic(np.ones(1000))
    descent = wedges.Descent(bowl, np.ones(1000), keras.optimizers.SGD(0.5))
    descent.run(2)
    assert repr(descent) == "Descent(Quadratic(D = 1,000, float32), SGD, 2 steps taken)"
    found = wedges.minimize(bowl, np.ones(1000), CG, 1)
    assert repr(found) == "Minimum(theta=[1000] from 0 to 0, losses=[500], distances=[0])"
    assert repr(CG) == "ConjugateGradients(step=0.001)"


# ---- the same loop again ----------------------------------------------------------------------------


def traces(landscape):
    return [d._run.experimental_get_tracing_count() for d in landscape.__dict__["_descents"].values()]


ADAM = lambda: keras.optimizers.Adam(0.1)


@pytest.mark.parametrize("optimizer", [ADAM, lambda: "sgd", wedges.ConjugateGradients])
def test_a_second_minimize_of_the_same_kind_compiles_nothing_and_begins_anew(optimizer):
    bowl = wedges.Quadratic([1.0, 4.0, 9.0])
    for start in ([1.0, 2.0, 3.0], [-1.0, 0.5, 2.0], [0.1, 0.2, 0.3]):
        again = wedges.minimize(bowl, start, optimizer(), 5)
        once = wedges.minimize(wedges.Quadratic([1.0, 4.0, 9.0]), start, optimizer(), 5)
        for a, b in zip(again, once, strict=True):
            np.testing.assert_array_equal(a, b)
    assert traces(bowl) == [1]


def test_what_differs_compiles_a_loop_of_its_own_and_few_are_kept():
    bowl = wedges.Quadratic([1.0, 4.0])
    ends = {}
    for rate in (0.1, 0.2, 0.1 + 1e-12):
        for tolerance in (None, 0.5):
            adam = keras.optimizers.Adam(rate)
            ends[rate, tolerance] = wedges.minimize(bowl, [1.0, 1.0], adam, 30, tolerance=tolerance)
            assert len(bowl.__dict__["_descents"]) <= 2
    assert len(ends[0.1, 0.5].losses) < 30 == len(ends[0.1, None].losses)
    assert not np.array_equal(ends[0.1, None].losses, ends[0.2, None].losses)

    class Mine(keras.optimizers.SGD):  # nobody knows what else it depends on
        pass

    wedges.minimize(bowl, [1.0, 1.0], Mine(0.1), 3)
    assert not any("Mine" in key for key in bowl.__dict__["_descents"])
    assert "_descents" not in pickle.loads(pickle.dumps(bowl)).__dict__


# ---- what diverges --------------------------------------------------------------------------------

WORDS = (
    "the descent of Quadratic by SGD diverged{}: the loss is not finite from step 1 on. "
    "A lower learning rate may help."
)


def warned(use):
    """What a call warns of, and from which file."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        use()
    return [str(each.message) for each in found], {each.filename for each in found}


def test_a_descent_that_diverges_says_so_once_where_it_was_called():
    """theta_1 = (1 - 1e30) theta_0, whose square is no float32."""
    bowl, sgd = wedges.Quadratic([1.0]), keras.optimizers.SGD(1e30)
    minimize = lambda start: warned(lambda: wedges.minimize(bowl, start, sgd, 3))
    assert minimize([1.0]) == ([WORDS.format("")], {__file__})
    assert minimize([1.0]) == ([WORDS.format("")], {__file__})  # the loop is kept, its warning is not
    assert minimize([0.0]) == ([], set())
    many = [WORDS.format(" from 2 of 3 starts")]
    assert minimize([[1.0], [0.0], [2.0]]) == (many, {__file__})
    descent = wedges.Descent(bowl, [1.0], sgd)
    assert warned(lambda: descent.run(1)) == ([], set())  # the loss before the step
    assert warned(lambda: descent.run(1)) == ([WORDS.format("")], {__file__})
    assert warned(lambda: descent.run(2)) == ([], set())
    descent.restart([1.0])
    assert warned(lambda: optimize.progress(descent, 60, "x")) == ([WORDS.format("")], {__file__})


def test_a_loss_that_is_infinite_at_the_start_is_told_of_without_a_rate_where_there_is_none():
    bowl = wedges.Quadratic([1.0])
    said, _ = warned(lambda: wedges.minimize(bowl, [3e38], CG, 1))
    assert said == ["the descent of Quadratic by ConjugateGradients diverged: the loss is not finite "
                    "from step 0 on."]  # fmt: skip
