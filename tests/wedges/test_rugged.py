"""The rugged bowl against quadrature, grids and closed forms; Langevin chains against densities."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

import wedges
from wedges.rugged import Floored, Rugged, critical_variance, gibbs, langevin

FINE, NUMBERS, PHASES = [0.03, 0.02, 0.05], [9.0, 13.0, 23.5], [0.3, 2.0, -1.0]
C, A, K = 0.3, 0.4, 1.6
THETA = np.linspace(-4, 4, 41)


def rugged(load=A, **more):
    return Rugged(C, load, K, FINE, NUMBERS, PHASES, **more)


def by_hand(theta, load=A):
    """L, L' and L'' as the module's text has them, term by term."""
    loss = C * theta**2 / 2 + load * (1 - np.cos(K * theta))
    slope = C * theta + load * K * np.sin(K * theta)
    second = C + load * K**2 * np.cos(K * theta)
    for a, k, phi in zip(FINE, NUMBERS, PHASES, strict=True):
        loss = loss + a * (1 - np.cos(k * theta + phi))
        slope = slope + a * k * np.sin(k * theta + phi)
        second = second + a * k**2 * np.cos(k * theta + phi)
    return loss, slope, second


# ---- the landscape ----------------------------------------------------------------------------------


def test_loss_gradient_and_curvature_are_those_of_the_formula():
    landscape, points = rugged(), THETA[:, None]
    loss, slope, second = by_hand(THETA)
    np.testing.assert_allclose(landscape(points), loss, rtol=1e-13)
    value, gradient = landscape.value_and_gradient(points)
    np.testing.assert_allclose(value, loss, rtol=1e-13)
    np.testing.assert_allclose(gradient[:, 0], slope, atol=1e-13)
    for found, wanted in zip(landscape.jet(points, [-2.0]), (loss, -2 * slope, 4 * second), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(landscape.hessian_product(points, 3 * points)[:, 0], 3 * THETA * second)
    several = landscape.hessian_product([0.7], [[1.0], [2.0]])
    np.testing.assert_allclose(several[:, 0], by_hand(0.7)[2] * np.array([1, 2]))


def test_closed_derivatives_are_those_of_automatic_differentiation():
    """Of `Landscape` itself, which knows `__call__` alone."""
    for landscape in (rugged().effective(0.1), Floored(rugged(), 0.6)):
        points, base = THETA[:, None] + 0.01, wedges.Landscape
        _, gradient = base.value_and_gradient(landscape, points)
        np.testing.assert_allclose(landscape.value_and_gradient(points)[1], gradient, atol=1e-12)
        for found, wanted in zip(
            landscape.jet(points, [1.5]), base.jet(landscape, points, 1.5 + 0 * points), strict=True
        ):
            np.testing.assert_allclose(found, wanted, atol=1e-11)
        product = base.hessian_product(landscape, points, points)
        np.testing.assert_allclose(landscape.hessian_product(points, points), product, atol=1e-11)


def test_no_loss_is_below_0_and_the_bowl_is_below_all():
    loss = rugged()(np.linspace(-9, 9, 20_001)[:, None]).numpy()
    assert loss.min() >= 0 and (loss >= C * np.linspace(-9, 9, 20_001) ** 2 / 2).all()


def test_many_landscapes_are_one_by_one_what_they_are_together():
    loads, noises = np.array([0.0, 0.1, 1.0])[:, None], np.array([0.0, 0.2])
    together = rugged(loads, noise=noises)
    assert together.shape == (3, 2) and together([0.5]).shape == (3, 2)
    points = np.random.default_rng(0).normal(size=(7, 3, 2, 1))
    losses, gradients = together.value_and_gradient(points)
    seconds, facts, critical = together.second(points), together.convexity(), together.critical_load()
    for i, j in np.ndindex(3, 2):
        one = rugged(loads[i, 0], noise=noises[j])
        value, gradient = one.value_and_gradient(points[:, i, j])
        np.testing.assert_allclose(losses[:, i, j], value, rtol=1e-13)
        np.testing.assert_allclose(gradients[:, i, j], gradient, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(seconds[:, i, j], one.second(points[:, i, j]), rtol=1e-12)
        for many, single in zip(facts, one.convexity(), strict=True):
            np.testing.assert_allclose(np.broadcast_to(many, (3, 2))[i, j], single)
        assert np.broadcast_to(critical, (3, 2))[i, j] == pytest.approx(float(one.critical_load()))


def test_float32_is_the_same_landscape_less_exactly():
    points = THETA[:, None]
    assert rugged(dtype="float32").dtype == tf.float32
    np.testing.assert_allclose(rugged(dtype="float32")(points), rugged()(points), atol=2e-6)


# ---- the effective landscape ------------------------------------------------------------------------

heights = st.lists(st.floats(0, 1), min_size=0, max_size=3)
numbers = st.sampled_from([(5.0, 7.0, 11.0), (2.5, 2.75, 17.0), (3.0, 30.0, 12.0)])


@settings(deadline=None, max_examples=60)
@given(
    heights, numbers, st.floats(0.05, 2), st.floats(0, 2), st.floats(0, 1.5), st.floats(-4, 4),
    st.floats(-7, 7),
)  # fmt: skip
def test_the_effective_loss_is_the_mean_over_noise(fine, waves, bowl, load, noise, theta, phi):
    """The trapezoidal rule converges exponentially on what is smooth and dies out."""
    landscape = Rugged(bowl, load, 1.6, fine, waves[: len(fine)], [phi] * len(fine))
    xi = np.linspace(-10, 10, 2001)
    weight = np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi) * (xi[1] - xi[0])
    losses = landscape((theta + noise * xi)[:, None]).numpy()
    effective = float(landscape.effective(noise)([theta]))
    assert effective == pytest.approx(weight @ losses, abs=1e-10)


def test_noise_upon_noise_is_noise_of_the_sum_of_variances():
    twice, once = rugged().effective(0.3).effective(0.4), rugged().effective(0.5)
    np.testing.assert_allclose(twice(THETA[:, None]), once(THETA[:, None]), rtol=1e-13)
    np.testing.assert_allclose(twice.noise, 0.5)


def test_no_noise_leaves_the_landscape_and_much_leaves_the_bowl():
    points = THETA[:, None]
    np.testing.assert_allclose(rugged().effective(0)(points), rugged()(points), rtol=1e-13)
    flat = rugged().effective(8.0)(points) - (C * THETA**2 / 2 + C * 64 / 2)
    np.testing.assert_allclose(flat, A + sum(FINE), rtol=1e-12)


# ---- convexity --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(heights, numbers, st.floats(0.05, 2), st.floats(0, 0.5), st.floats(0, 0.6), st.floats(-7, 7))
def test_bounds_on_the_lowest_curvature_hold_on_a_grid(fine, waves, bowl, load, noise, phi):
    landscape = Rugged(bowl, load, 1.6, fine, waves[: len(fine)], [phi, -phi, 2 * phi][: len(fine)])
    landscape = landscape.effective(noise)
    facts = landscape.convexity()
    # 1.6 and all numbers above are whole multiples of 1/20: all of them come back after 40 pi.
    grid = np.linspace(0, 40 * np.pi, 20_001)[:, None]
    second = landscape.second(grid).numpy()
    scale = 1 + np.abs(second).max()
    assert second.min() >= facts.lower - 1e-9 * scale
    # Between points of the grid L'' may go lower by this much at most: its second derivative's bound.
    bends = landscape._damped * landscape._numbers**2
    slack = np.sum(bends * landscape._numbers**2) * (grid[1, 0] / 2) ** 2 / 2
    assert second.min() <= facts.upper + slack + 1e-9 * scale


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.9])
def test_with_aligned_waves_convexity_ends_exactly_at_the_lower_bound(noise):
    """Odd multiples of K without phases: at pi / K all cosines are -1."""
    landscape = Rugged(0.7, 0.1, 1.5, [0.02, 0.01], [4.5, 7.5], noise=noise)
    second = landscape.second(np.linspace(0, 4 * np.pi / 1.5, 4001)[:, None]).numpy()
    assert second.min() == pytest.approx(float(landscape.convexity().lower), abs=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.5])
def test_wells_begin_at_the_critical_load(noise):
    grid = np.linspace(0, 2 * np.pi / K, 2001)[:, None]
    critical = float(Rugged(C, 0, K, noise=noise).critical_load())
    assert critical == pytest.approx(C / K**2 * np.exp(K**2 * noise**2 / 2))
    below, above = (Rugged(C, share * critical, K, noise=noise) for share in (1 - 1e-6, 1 + 1e-6))
    assert below.second(grid).numpy().min() > 0 > above.second(grid).numpy().min()
    assert float(below.convexity().lower) > 0 > float(above.convexity().lower)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=3), numbers, st.floats(0.05, 2))
def test_at_the_critical_variance_bowl_and_waves_balance(fine, waves, bowl):
    k = np.array(waves[: len(fine)])
    left = lambda s2: np.sum(fine * k**2 * np.exp(-(k**2) * s2 / 2))
    s2 = critical_variance(bowl, fine, k)
    if left(0) <= bowl:
        assert s2 == 0
    else:
        assert left(s2) == pytest.approx(bowl, rel=1e-9)
    if len(fine) == 1 and fine[0] * k[0] ** 2 > bowl:
        assert s2 == pytest.approx(2 / k[0] ** 2 * np.log(fine[0] * k[0] ** 2 / bowl), rel=1e-9)


def test_rugged_convexity_is_convex_at_large_scale_and_not_at_fine():
    loads = np.array([0.0, 0.05, 0.117, 0.118, 1.0])  # c / K^2 = 0.1172
    assert rugged(loads).convexity().rugged.tolist() == [True, True, True, False, False]
    smooth = rugged(loads).effective(np.sqrt(critical_variance(C, FINE, NUMBERS)) * 1.001)
    assert not smooth.convexity().rugged.any()
    assert np.broadcast_to(smooth.convexity().lower, 5)[0] > 0


# ---- the floor --------------------------------------------------------------------------------------


def test_below_the_floor_all_is_flat_and_above_it_nothing_changes():
    floored, points = Floored(rugged(), 0.9), THETA[:, None]
    loss, slope, second = by_hand(THETA)
    above = loss > 0.9
    assert 0 < above.sum() < len(above)
    found = floored.jet(points, [1.0])
    for values, wanted in zip(found, (loss - 0.9, slope, second), strict=True):
        np.testing.assert_allclose(values, np.where(above, wanted, 0), atol=1e-12)
    np.testing.assert_array_equal(floored.sample(points, 3), floored(points))
    assert floored.core is floored.landscape


# ---- chains -----------------------------------------------------------------------------------------


def variation(samples, mass):
    """Total variation between samples and the masses [B] of bins, and what it stays below.

    Of n samples: E TV <= sum sqrt(p (1 - p) / n) / 2, and TV > E TV + sqrt(ln(1 / q) / 2 n) with a
    probability below q (McDiarmid), here 1e-6.
    """
    n = samples.sum()
    bound = np.sqrt(mass * (1 - mass) / n).sum() / 2 + np.sqrt(np.log(1e6) / (2 * n))
    return np.abs(samples / n - mass).sum() / 2, bound


@pytest.mark.parametrize("load", [0.0, 0.8])
def test_adjusted_chains_sample_the_gibbs_density(load):
    temperature, n = 0.5, 4000
    landscape, grid = rugged(load), np.linspace(-7, 7, 7001)
    start = np.random.default_rng(5).uniform(-4, 4, (n, 1))
    chains = langevin(landscape, start, temperature, step=0.05, steps=400, seed=1)
    loss = by_hand(grid, load)[0]
    weight = np.exp(-loss / temperature)
    mass = weight[:-1].reshape(28, 250).sum(axis=1)
    mass /= mass.sum()
    counts, _ = np.histogram(chains.theta[:, 0], grid[::250])
    assert counts.sum() == n
    found, bound = variation(counts, mass)
    assert found < bound < 0.08
    # The test can fail: another temperature, or a density without the load, is told.
    other = np.exp(-loss / (1.8 * temperature))[:-1].reshape(28, 250).sum(axis=1)
    assert variation(counts, other / other.sum())[0] > bound
    assert 0.4 < chains.accepted.mean() < 0.99


def test_unadjusted_chains_have_the_variance_of_their_step():
    """On a quadratic of curvature 1 theta' = (1 - h) theta + noise has variance T / (1 - h / 2)."""
    n, h, heat = 4000, 0.6, 0.5  # T / (1 - h / 2) is 1.43 T
    bowl = wedges.Quadratic([1.0], dtype="float64")
    for adjusted, wanted in ((False, heat / (1 - h / 2)), (True, heat)):
        how = {"step": h, "steps": 40, "seed": 0, "adjusted": adjusted}
        chains = langevin(bowl, np.zeros((n, 1)), heat, **how)
        # The estimate's deviation is sqrt(2 / n) of it: five of them.
        assert abs(chains.theta.var() / wanted - 1) < 5 * np.sqrt(2 / n)
        assert adjusted or (chains.accepted == 1).all()


def test_chains_of_several_dimensions_have_the_inverse_hessian_as_covariance():
    matrix, n = np.array([[2.0, 0.6], [0.6, 1.0]]), 4000
    bowl = wedges.Quadratic(matrix, dtype="float64")
    chains = langevin(bowl, np.zeros((n, 2)), 0.3, step=0.4, steps=40, seed=2)
    covariance = 0.3 * np.linalg.inv(matrix)
    spread = np.sqrt((covariance**2 + np.outer(*[np.diag(covariance)] * 2)) / n)
    assert (np.abs(np.cov(chains.theta.T) - covariance) < 5 * spread).all()


def test_many_chains_in_many_cells_are_what_each_is_alone():
    loads, heat = np.array([0.0, 0.8])[:, None], np.array([0.01, 0.2, 0.6])
    start = np.random.default_rng(0).uniform(-4, 4, (5, 1))
    how = {"step": 0.01, "steps": 530, "seed": 7}  # more than one block
    together = langevin(rugged(loads), start, heat, **how)
    assert together.theta.shape == (5, 2, 3, 1) and together.accepted.shape == (5, 2, 3)
    for i, j in ((0, 2), (1, 0)):
        alone = langevin(rugged(loads[i, 0]), start[:2], heat[j], **how)
        np.testing.assert_allclose(together.theta[:2, i, j], alone.theta, atol=1e-9)
        np.testing.assert_allclose(together.accepted[:2, i, j], alone.accepted, atol=1e-12)


def test_each_cell_may_have_starts_of_its_own_and_steps_need_not_be_refused():
    loads, start = np.array([0.0, 0.8]), np.random.default_rng(0).uniform(-4, 4, (3, 1))
    how = {"step": 0.01, "steps": 40, "seed": 7, "adjusted": False}
    together = langevin(rugged(loads), start, 0.3, **how)
    own = np.stack([start, start + 1], axis=1)
    shifted = langevin(rugged(loads), own, 0.3, **how)
    np.testing.assert_allclose(shifted.theta[:, 0], together.theta[:, 0], rtol=1e-12)
    alone = langevin(rugged(0.8), start + 1, 0.3, **how)
    np.testing.assert_allclose(shifted.theta[:, 1], alone.theta, atol=1e-9)


def test_a_chain_is_a_slow_loop_over_its_steps():
    """Of the formula: a Gaussian and a uniform number a step, from the generator of (seed, chain)."""
    step, heat, steps = 0.05, 0.3, 40
    found = langevin(rugged(), [[1.0], [-2.0]], heat, step=step, steps=steps, seed=3)
    for i, theta in enumerate((1.0, -2.0)):
        rng, taken = np.random.default_rng([3, i]), 0
        gaussian, uniform = rng.standard_normal((steps, 1))[:, 0], rng.random(steps)
        density = lambda to, at: np.exp(-((to - at + step * by_hand(at)[1]) ** 2) / (4 * step * heat))
        for xi, u in zip(gaussian, uniform, strict=True):
            new = theta - step * by_hand(theta)[1] + np.sqrt(2 * step * heat) * xi
            ratio = np.exp((by_hand(theta)[0] - by_hand(new)[0]) / heat)
            ratio *= density(theta, new) / density(new, theta)
            if 1 - u < ratio:
                theta, taken = new, taken + 1
        assert found.theta[i, 0] == pytest.approx(theta, abs=1e-9)
        assert found.accepted[i] == pytest.approx(taken / steps)
    assert (found.accepted < 1).all()


def test_the_same_seed_is_the_same_chain_and_another_is_another():
    how = {"step": 0.05, "steps": 20}
    first, again, other = (langevin(rugged(), [[1.0]], 0.3, seed=s, **how).theta for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first != other


# ---- the density ------------------------------------------------------------------------------------


def test_the_gibbs_density_of_a_bowl_is_gaussian_at_every_temperature():
    theta, heat = np.linspace(-9, 9, 901), np.array([0.1, 1.0])
    density = gibbs(Rugged(2.0, 0.0, 1.0), heat, theta)
    wanted = np.exp(-(theta[:, None] ** 2) / heat) / np.sqrt(np.pi * heat)  # variance T / 2
    np.testing.assert_allclose(density, wanted, atol=1e-12)


def test_the_gibbs_density_asks_nothing_of_numpy_that_its_first_version_lacks(monkeypatch):
    monkeypatch.delattr(np, "trapezoid", raising=False)  # new in NumPy 2.0
    theta = np.linspace(-9, 9, 901)
    expected = np.exp(-(theta**2)) / np.sqrt(np.pi)
    np.testing.assert_allclose(gibbs(Rugged(2.0, 0.0, 1.0), 1.0, theta), expected, atol=1e-12)


def test_the_gibbs_density_of_many_landscapes_is_that_of_each():
    theta, loads = np.linspace(-6, 6, 601), np.array([0.1, 0.9])
    together = gibbs(rugged(loads), 0.4, theta)
    assert together.shape == (601, 2)
    for i, load in enumerate(loads):
        weight = np.exp(-by_hand(theta, load)[0] / 0.4)
        np.testing.assert_allclose(together[:, i], weight / trapezoid(weight, theta), rtol=1e-12)


# ---- input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Rugged(0, 1, 1), "bowl must be a finite number above 0; received 0."),
        (lambda: Rugged(1, -1, 1), "load must be finite and at least 0; received -1."),
        (lambda: Rugged(1, [1, np.nan], 1), "load must be finite and at least 0; received nan."),
        (lambda: Rugged(1, 1, -2), "wave must be a finite number above 0; received -2."),
        (lambda: Rugged(1, 1, 1, [0.1]), r"fine_waves must be a list as long as fine, \(1,\)"),
        (lambda: Rugged(1, 1, 1, [0.1], [2], [1, 2]), "phases must be a list as long as fine"),
        (lambda: Rugged(1, 1, 1, [0.1, 0.1], [2, 2]), "fine_waves must be numbers .* no two equal"),
        (lambda: Rugged(1, 1, 2, [0.1], [2]), r"none wave = 2; received \[2.0\]."),
        (lambda: Rugged(1, 1, 1, [0.1], [0]), "fine_waves must be numbers above 0"),
        (lambda: Rugged(1, 1, 1, noise=-0.1), "noise must be finite and at least 0; received -0.1."),
        (lambda: rugged().effective(-1), "noise must be finite and at least 0"),
        (lambda: rugged()([[1.0, 2.0]]), r"theta must have shape \[..., 1\]"),
        (lambda: Floored(rugged(), -1), "floor must be a finite number, at least 0; received -1."),
        (lambda: Floored(3, 1), "landscape must be a wedges.Landscape; received int."),
        (lambda: critical_variance(0, [1], [1]), "bowl must be a finite number above 0"),
        (lambda: critical_variance(1, [1], [1, 2]), "waves must be a list as long as heights"),
        (lambda: gibbs(rugged(), 0, THETA), "temperature must be above 0; received 0."),
        (lambda: gibbs(wedges.Quadratic([1.0, 1.0]), 1, THETA), "landscape must have D = 1; .*D = 2."),
        (lambda: gibbs(rugged(), 1, [0, 1, 3]), "theta must be points .* that rise evenly"),
        (lambda: gibbs(rugged(), 1, [1, 0]), "theta must be points .* that rise evenly"),
    ],
)  # fmt: skip
def test_bad_input_is_a_line_that_names_it(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, "temperature must be above 0; received 0."),
        ({"temperature": [0.1, -1.0]}, "temperature must be finite and at least 0; received -1."),
        ({"step": 0}, "step must be a finite number above 0; received 0."),
        ({"steps": 0}, "steps must be a whole number, at least 1; received 0."),
        ({"seed": -1}, "seed must be a whole number, at least 0; received -1."),
        ({"start": [1.0]}, r"start must have shape \[chains, ..., 1\]; received \(1,\)."),
    ],
)
def test_bad_settings_of_chains_are_named(changes, words):
    made = {"start": [[1.0]], "temperature": 1.0, "step": 0.1, "steps": 3, "seed": 0} | changes
    with pytest.raises(ValueError, match=words):
        langevin(rugged(), made.pop("start"), made.pop("temperature"), **made)


def test_a_landscape_that_takes_one_point_has_no_chains():
    bowl = wedges.Quadratic([1.0])
    bowl.takes_batches = False
    with pytest.raises(ValueError, match="landscape must take many points at once; received Quadratic."):
        langevin(bowl, [[1.0]], 1.0, step=0.1, steps=1, seed=0)
