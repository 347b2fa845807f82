"""Star centres against the closed form on a quadratic, and where the wedges of all optima cross."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from tests.wedges.bowls import (
    CENTER,
    CG,
    D,
    Interrupted,
    OneByOne,
    bits,
    bowl,
    keeping,
    network,
    normal,
    optima_of,
    recorded,
)
from tests.wedges.on_wedges import ends_of
from wedges import connect, simplex, star, star_center

# ---- legs -------------------------------------------------------------------------------------------


def on_legs(w):
    """(which optimum, u) of positions w = (1 - u) e_i + u / (m + 1)."""
    tip = w.argmax(axis=-1)
    others = np.ones(w.shape, bool)
    np.put_along_axis(others, tip[..., None], False, axis=-1)
    rest = w[others].reshape(*w.shape[:-1], -1)
    np.testing.assert_allclose(rest, np.broadcast_to(rest[..., :1], rest.shape), atol=1e-12)
    return tip, rest[..., 0] * w.shape[-1]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 9), st.floats(1e-3, 1.0), st.integers(0, 2**32))
def test_positions_of_legs_are_on_legs_and_within_reach(m, points, reach, seed):
    even = star.legs(m, points)
    assert even.shape == (m + 1, points, m + 1)
    tip, u = on_legs(even)
    np.testing.assert_array_equal(tip, np.arange(m + 1)[:, None].repeat(points, axis=1))
    expected = np.arange(1, points + 1) / (points + 1)
    np.testing.assert_allclose(u, np.broadcast_to(expected, u.shape), atol=1e-12)
    drawn = star.random_legs(m, 40, seed=seed, reach=reach)
    np.testing.assert_array_equal(simplex.positions(drawn, m), drawn)
    tip, u = on_legs(drawn)
    assert np.all((u > 0) & (u <= reach + 1e-12))


def test_random_positions_are_uniform_on_all_legs_alike():
    w = star.random_legs(3, 40_000, seed=1, reach=0.5)
    tip, u = on_legs(w)
    assert np.abs(np.bincount(tip) / 10_000 - 1).max() < 0.04
    quarters = np.histogram(u, bins=4, range=(0, 0.5))[0]
    assert np.abs(quarters / 10_000 - 1).max() < 0.04
    bits(star.random_legs(3, 9, seed=5), star.random_legs(3, 9, seed=5))
    assert not np.array_equal(star.random_legs(3, 9, seed=5), star.random_legs(3, 9, seed=6))


@pytest.mark.parametrize("m", [1, 2, 5])
def test_the_cone_blends_as_the_triangulation_with_one_point_in_the_middle(m):
    w = [star.random_legs(m, 10, seed=0), simplex.dirichlet(m, 10, seed=1), np.eye(m + 1)]
    w = np.concatenate(w)
    triangulated = simplex.Scattered(simplex.centroid(m))
    np.testing.assert_allclose(star._Cone(m).weights(w), triangulated.weights(w), atol=1e-9)


# ---- on a quadratic ---------------------------------------------------------------------------------


def closed_form(optima, tip, u):
    """The c where the mean of u A ((1 - u) theta_i + u c - center) over positions is 0."""
    u = u[:, None]
    return np.sum(u * CENTER - u * (1 - u) * optima[tip], axis=0) / np.sum(u**2)


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("reach", [(1.0,), (0.3,), (0.05, 1.0)])
def test_the_center_on_a_quadratic_is_the_closed_form(m, reach):
    optima, calls = normal([m, 1], m + 1, D), []
    found = star_center(bowl(), optima, CG, 60, seed=5, reach=reach, samples=40, follow=recorded(calls))
    tip, u = on_legs(star.random_legs(m, 40, seed=5, reach=reach[-1]))
    np.testing.assert_allclose(found.vertices[-1], closed_form(optima, tip, u), atol=1e-6)
    bits(found.vertices[:-1], optima)
    names = {0.05: "star, 0.05 of each leg", 0.3: "star, 0.3 of each leg", 1.0: "star"}
    assert [call[:2] for call in calls] == [(names[r], 60) for r in reach]
    np.testing.assert_allclose(calls[0][2], optima.mean(axis=0), atol=1e-12)


def test_of_many_positions_it_is_half_as_far_beyond_the_minimum_as_the_optima_are():
    """E u = 1/2, E u^2 = 1/3, E u (1 - u) = 1/6: c = 3/2 center - 1/2 mean of the optima."""
    optima = normal(4, 3, D)
    expected = 1.5 * CENTER - 0.5 * optima.mean(axis=0)
    found = star_center(bowl(), optima, CG, 40, seed=0, samples=40_000).vertices[-1]
    np.testing.assert_allclose(found, expected, atol=0.05)
    # Evenly spaced, as `corner` looks, it is nearly the same.
    np.testing.assert_allclose(
        connect.corner(bowl(), optima, CG, 40, points=400, reach=(1.0,)).theta, expected, atol=0.02
    )


def test_it_starts_where_it_is_told_to_and_stays_there_without_steps():
    optima, calls = normal(0, 3, D), []
    how = {"seed": 0, "start": CENTER, "follow": recorded(calls)}
    found = star_center(bowl(), optima, CG, 0, **how)
    bits(found.vertices[-1], CENTER)
    bits(calls[0][2], CENTER)


def test_it_is_a_connector_that_can_be_kept(tmp_path):
    optima = normal(0, 3, D)
    found = star_center(bowl(), optima, CG, 9, seed=0)
    found.save(tmp_path / "star.npz")
    again = wedges.Connector.load(tmp_path / "star.npz")
    bits(again.vertices, found.vertices)
    # Its legs are straight.
    w = star.legs(2, 3)
    u = np.array([0.25, 0.5, 0.75])[:, None]
    np.testing.assert_allclose(again(w), (1 - u) * optima[:, None] + u * found.vertices[-1], atol=1e-12)


# ---- among wedges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(
    "landscape",
    [
        wedges.RandomWedges(60, 52, 6, seed=0, dtype="float64"),
        wedges.AxisWedges(60, 52, "float64"),
    ],
    ids=["random", "axis-aligned"],
)
def test_the_center_is_where_the_wedges_of_all_optima_cross(landscape, count):
    optima, normals = ends_of(landscape, 3, count, gap=0.25)
    cg = {"seed": 0, "reach": (0.01, 1.0), "samples": 16 * count, "tolerance": 1e-8}
    found = star_center(wedges.Squared(landscape), optima, CG, 400, **cg)
    center = found.vertices[-1]
    assert np.abs(normals @ center).max() < 1e-4
    rank = np.linalg.matrix_rank(normals.reshape(-1, 60))
    assert rank > 0.8 * 8 * count and len(landscape.short_directions(center, 1e-3)) == rank
    # Not the origin, on which all wedges meet: half of the way and more is kept of what may be kept.
    assert np.linalg.norm(center) > 1
    legs = found(star.legs(count - 1, 9)).reshape(-1, 60)
    # Of all axis-aligned wedges one is near the middle by chance, too.
    hull = landscape(optima.mean(axis=0))
    assert hull > 0.05 and landscape(legs).numpy().max() < 1e-3 * hull
    if count == 2:  # as for the path with one corner, which may lie elsewhere on both wedges
        corner = connect.corner(wedges.Squared(landscape), optima, CG, 400, tolerance=1e-8).theta
        assert len(landscape.short_directions(corner, 1e-3)) == rank


# ---- on networks ------------------------------------------------------------------------------------


def test_a_step_sees_one_position_of_one_leg():
    optima, seen = normal(0, 3, D), []

    class Looked(OneByOne):
        def sample(self, theta, step):
            seen.append(theta.shape)
            return super().sample(theta, step)

    landscape = Looked(np.eye(D), CENTER, "float64")
    rate, steps = 0.5, 7
    found = star_center(landscape, optima, keras.optimizers.SGD(rate), steps, seed=2)
    assert seen and set(map(tuple, seen)) == {(D,)}
    c = optima.mean(axis=0)
    tip, u = on_legs(star.random_legs(2, 64, seed=2))
    for i, share in zip(tip[:steps], u[:steps], strict=True):
        c = c - rate * share * ((1 - share) * optima[i] + share * c - CENTER)
    np.testing.assert_allclose(found.vertices[-1], c, atol=1e-6)


def test_the_legs_of_a_network_fall_and_an_interrupted_descent_goes_on_bit_for_bit(images):
    landscape = network(images)
    optima = optima_of(landscape, 3)
    run = lambda **how: star_center(
        landscape, optima, keras.optimizers.Adam(0.02), 20, seed=0, reach=(0.2, 1.0), **how
    )
    whole = run()
    w = star.legs(2, 2).reshape(-1, 3)
    flat = wedges.Connector(optima, whole.basis).evaluate(landscape, w).loss
    assert whole.evaluate(landscape, w).loss.mean() < 0.8 * flat.mean()
    states = {}
    for budget in (3, 4):
        with pytest.raises(Interrupted):
            run(follow=keeping(states, budget))
    bits(run(follow=keeping(states, 99)).vertices, whole.vertices)
    assert len(states) == 2


# ---- what is refused --------------------------------------------------------------------------------

ENDS = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, reach=()), "reach must be stages.*received .."),
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, reach=0.5), "reach must be stages.*received 0.5"),
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, reach=[0]), "reach must be above 0.*received 0"),
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, reach=[1, 2]), "at most 1; received 2"),
        (lambda q: star_center(q, ENDS, CG, 3, seed=-1), "seed must .*received -1"),
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, start=ENDS), "theta must be one point"),
        (lambda q: star_center(q, ENDS, CG, 3, seed=0, start=[np.nan, 0, 0]), "theta must be finite"),
        (lambda q: star_center(q, ENDS[:1], CG, 3, seed=0), "one less than the optima.*received 0"),
        (lambda q: star_center(q, [[1, 2], [2, 1]], CG, 3, seed=0), "optima must all be points of this"),
        (lambda q: star_center(q, [ENDS[0]] * 2, CG, 3, seed=0), "optima"),
        (lambda q: star_center(q, ENDS, "downhill", 3, seed=0), "optimizer must .*downhill"),
        (lambda q: star_center("bowl", ENDS, CG, 3, seed=0), "landscape must be a wedges.Landscape"),
        (lambda q: star.legs(0, 3), "one less than the optima.*received 0"),
        (lambda q: star.legs(2, 0), "points must .*at least 1; received 0"),
        (lambda q: star.random_legs(2, 3, seed=0, reach=np.nan), "reach must be above 0.*received nan"),
    ],
)  # fmt: skip
def test_bad_input_is_named_in_one_line(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build(wedges.Quadratic([1.0, 2.0, 3.0]))
    assert "\n" not in str(error.value)
