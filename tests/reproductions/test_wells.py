"""Where the loss around an optimum has doubled, against its closed form on a bowl."""

import numpy as np
import pytest

import wedges
from reproductions.common import wells

D, DIRECTIONS = 40, 12


def found(start, distances):
    """What is found around a point of this loss on the bowl |theta|^2 / 2, looked at as far as 10."""
    bowl, point = wedges.Quadratic(np.ones(D)), np.zeros(D)
    point[0] = np.sqrt(2 * start)
    view = wells.View(DIRECTIONS, distances, 5, 3)
    a = np.linspace(0, 10, distances + 1)[1:]
    return point, wells._well(bowl, point, 1, a, float(bowl(point)), view)


@pytest.mark.parametrize("start", [1e-6, 0.01, 1.0, 20.0])
@pytest.mark.parametrize("distances", [4, 20])
def test_there_the_mean_loss_is_twice_that_of_the_point(start, distances):
    """L(p + a v) = start + a p.v + a^2 / 2 of unit v, whose mean is 2 start at one positive a."""
    point, well = found(start, distances)
    along = (wedges.isotropic(D, DIRECTIONS, seed=[3, 1]) @ point).mean()
    truth = -along + np.sqrt(along**2 + 2 * start)
    assert well["doubled"] == pytest.approx(truth, rel=0.005)
    assert well["there"].mean() == pytest.approx(2 * start, rel=0.01)
    assert well["ring"].shape == well["there"].shape == (DIRECTIONS,)


def test_where_it_does_not_double_there_is_no_such_place():
    _, well = found(60.0, 20)
    assert np.isnan(well["doubled"]) and np.isnan(well["there"]).all() and np.isnan(well["ring"]).all()


def test_a_loss_of_nothing_has_doubled_at_once():
    bowl, ahead = wedges.Quadratic(np.ones(D)), np.linspace(0, 10, 5)[1:]
    view = wells.View(DIRECTIONS, 4, 5, 3)
    well = wells._well(bowl, np.zeros(D), 1, ahead, 0.0, view)
    assert 0 <= well["doubled"] < 1e-9


@pytest.mark.parametrize(
    ("losses", "passed"), [([1.0, 1.5, 1.9], None), ([1, np.nan, 3], None), ([np.nan, 1, 3], 3.0)]
)
def test_doubling_is_known_where_the_loss_before_is_a_number(losses, passed):
    """Of the loss 1 + (a / 3)^10, twice that of 0 at a distance of 3."""
    known = wells.doubling(lambda a: 1 + (a / 3) ** 10, np.array([1.0, 2, 4]), losses, 1.0)
    assert known == pytest.approx(passed, rel=0.005) if passed else np.isnan(known)
