"""Figure 5's readings and claims, on numbers made by hand."""

import dataclasses

import numpy as np
import pytest

import wedges
from reproductions import fig5_widths as fig5


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """A bootstrap of 100 draws, not 2,000."""
    rng = np.random.default_rng(0)

    class Fewer:
        def integers(self, high, size):
            return rng.integers(high, size=(min(size[0], 100), *size[1:]))

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Fewer())


def preset(**changes):
    return fig5.Config(**{**fig5.PRESETS["paper"], **changes})


def made(name, means, spread=0.01, reached=None, seeds=3, directions=4, norm=1.0, fixed=None):
    """Arrays of one hyperparameter: widths around `means` [values], the seeds a little apart."""
    means = np.array(means, float)
    apart = spread * np.linspace(-1, 1, seeds)[:, None] + np.zeros((seeds, directions))
    around = lambda m: np.array(m, float)[:, None, None] + apart
    every = np.ones((len(means), seeds))
    reached = every > 0 if reached is None else np.array(reached)[:, None] & (every > 0)
    return {
        f"{name} {k}": v
        for k, v in {
            "multiple distances": around(means),
            "fixed distances": around(means if fixed is None else fixed),
            "multiple censored": 0 * around(means) > 0,
            "fixed censored": 0 * around(means) > 0,
            "reached": reached,
            "norm": norm * every,
            "train loss": 0.95 * every,
            "test loss": 1.1 * every,
        }.items()
    }


def claims(arrays, config):
    return {c.id: c.passed for c in fig5.claims(arrays, config)}


def test_settings_share_what_is_at_its_base():
    config = preset(lr=(5e-4, 1e-3), l2=(0.0, 1e-3), hyperparameter=("lr", "l2"), seeds=2, seed=5)
    found = fig5.settings(config)
    assert len(found) == 2 * 2 * 2 and len(set(found.values())) == 6
    assert found["lr", 1e-3, 5] == found["l2", 0.0, 5] != found["lr", 1e-3, 6]
    s = found["l2", 1e-3, 6]
    assert (s.lr, s.l2, s.dropout, s.batch_size, s.width, s.seed) == (1e-3, 1e-3, 0.0, 128, 1.0, 6)
    assert s.target == config.target and s.examples == config.examples and s.dataset == "cifar10"


def test_a_settings_name_says_what_is_special_and_is_its_own():
    config = preset()
    found = fig5.settings(config)
    name = lambda *which: fig5._name(found[which], config)
    assert name("lr", 1e-3, 0) == name("dropout", 0.0, 0) == "base, seed 0"
    assert name("batch_size", 32, 2) == "batch_size=32, seed 2"
    assert name("l2", 3e-4, 1) == "l2=0.0003, seed 1"
    names = {setting: fig5._name(setting, config) for setting in found.values()}
    assert len(set(names.values())) == len(names)


def test_what_is_varied_and_its_values_ascend_without_repeats():
    assert fig5.varied(preset()) == tuple(fig5.EXPECTED)
    assert fig5.varied(preset(hyperparameter=("l2", "lr", "l2"))) == ("l2", "lr")
    assert fig5.values(preset(lr=(3e-3, 1e-3, 3e-3)), "lr") == [1e-3, 3e-3]


def test_a_width_is_a_mean_over_directions_as_a_distance_or_in_degrees():
    arrays = made("lr", [1.0, 3.0], spread=0.0, norm=np.sqrt(3))
    arrays["lr multiple distances"][1, 0] = [1, 2, 3, 6]
    w = fig5.widths(arrays, "lr", "distance", "multiple")
    np.testing.assert_allclose(w, [[1, 1, 1], [3, 3, 3]])
    angles = fig5.widths(arrays, "lr", "angle", "fixed")
    np.testing.assert_allclose(angles, [[30, 30, 30], [60, 60, 60]])


def test_a_value_is_in_range_where_every_seed_reached_the_target():
    arrays = made("lr", [1, 2, 3], reached=[True, True, True])
    arrays["lr reached"][1, 2] = False
    assert fig5.in_range(arrays, "lr").tolist() == [True, False, True]


@pytest.mark.parametrize("measure", fig5.MEASURES)
def test_the_rank_correlation_has_the_trends_sign_and_its_interval(measure):
    config = preset(lr=(1e-3, 2e-3, 3e-3, 4e-3))
    up = fig5.rank(made("lr", [1, 2, 3, 4]), config, "lr", measure)
    down = fig5.rank(made("lr", [4, 3, 2, 1]), config, "lr", measure)
    assert up[0] > 0.9 and 0.8 < up[1] <= up[2] <= 1
    assert down[0] < -0.9 and -1 <= down[1] <= down[2] < -0.8
    noisy = fig5.rank(made("lr", [1.0, 1.3, 0.9, 1.2], spread=0.4), config, "lr", measure)
    assert noisy[1] < 0 < noisy[2] and noisy[1] <= noisy[0] <= noisy[2]


def test_a_rank_is_over_the_range_alone_and_nan_below_three_values():
    config = preset(lr=(1e-3, 2e-3, 3e-3, 4e-3))
    arrays = made("lr", [1, 2, 3, 0.1], reached=[True, True, True, False])
    assert fig5.rank(arrays, config, "lr", "distance")[1] > 0
    assert fig5.rank(made("lr", [1, 2, 3, 0.1]), config, "lr", "distance")[1] < 0
    few = made("lr", [1, 2, 3, 4], reached=[True, True, False, False])
    assert np.isnan(fig5.rank(few, config, "lr", "distance")).all()


def test_a_reversal_is_counted_in_standard_errors_and_needs_a_value_out_of_range():
    arrays = made("l2", [1, 2, 0.5], spread=0.1, reached=[True, True, False])
    one = 0.1 / np.sqrt(3)  # the standard error of seeds at -0.1, 0 and 0.1
    assert fig5.reversal(arrays, "l2", "distance") == pytest.approx(-1.5 / (np.sqrt(2) * one))
    arrays = made("l2", [1, 2, 3], spread=0.1, reached=[True, True, False])
    assert fig5.reversal(arrays, "l2", "distance") > 2
    assert np.isnan(fig5.reversal(made("l2", [1, 2, 0.5]), "l2", "distance"))  # all in range
    nothing = made("l2", [1, 2, 0.5], reached=[False, False, False])
    assert np.isnan(fig5.reversal(nothing, "l2", "distance"))
    alone = made("l2", [1, 2, 0.5], reached=[True, True, False], seeds=1)
    assert np.isnan(fig5.reversal(alone, "l2", "distance"))


def test_the_papers_picture_passes_and_its_opposite_fails():
    config = preset(
        lr=(1e-3, 2e-3, 3e-3),
        l2=(0.0, 1e-3, 1e-2, 1e-1),
        dropout=(0.0, 0.1, 0.3, 0.7),
        batch_size=(32, 64, 128),
        width=(1.0, 2.0),
    )
    last = [True, True, True, False]
    good = made("lr", [1, 2, 3]) | made("batch_size", [3, 2, 1]) | made("width", [1, 2])
    good |= made("l2", [1, 2, 3, 0.1], reached=last) | made("dropout", [1, 2, 3, 0.1], reached=last)
    found = claims(good, config)
    assert len(found) == 4 * 3 + 2 * 2 and all(found.values())
    assert not any(".width." in id for id in found)  # the paper says nothing of it
    bad = made("lr", [3, 2, 1]) | made("batch_size", [1, 2, 3]) | made("width", [1, 2])
    bad |= made("l2", [3, 2, 1, 9], reached=last) | made("dropout", [3, 2, 1, 9], reached=last)
    for name in ("lr", "l2", "dropout", "batch_size"):
        bad[f"{name} train loss"] *= 1.2
    assert claims(bad, config).keys() == found.keys() and not any(claims(bad, config).values())


def test_claims_about_too_few_values_fail():
    config = preset(lr=(1e-3, 2e-3), hyperparameter=("lr",))
    found = claims(made("lr", [1, 2]), config)
    assert found == {"fig5.lr.convergence": True, "fig5.lr.distance": False, "fig5.lr.angle": False}
    nothing = claims(made("lr", [1, 2], reached=[False, False]), config)
    assert not any(nothing.values())


def test_the_summary_has_every_value_and_the_plot_every_column():
    config = preset(lr=(1e-3, 2e-3, 3e-3), width=(1.0, 2.0), hyperparameter=("lr", "width"))
    arrays = made("lr", [1, 2, 3], reached=[True, True, False]) | made("width", [1, 2])
    numbers = fig5.summary(arrays, config)
    assert len(numbers) == 5 * (2 + 2 * 2)
    np.testing.assert_allclose(numbers["lr 0.002: distance, fixed"], [1.99, 2, 2.01])
    figure = fig5.plot(arrays, config)
    assert len([ax for ax in figure.axes if ax.get_title().startswith("rank")]) == 4


def probed(monkeypatch, loss, multiple=2.0, fixed=2.0):
    """What `_probe` finds at an optimum of this loss, where every direction crosses at 1 + threshold."""
    Width = dataclasses.make_dataclass("Width", ["distances", "censored"])
    Width._replace = lambda self, **changes: dataclasses.replace(self, **changes)
    asked = []

    def tunnel_width(seen, theta, v, thresholds):
        asked.extend(thresholds)
        return [Width(np.full(len(v), 1.0 + t), np.zeros(len(v), bool)) for t in thresholds]

    class At:
        loss, accuracy = 0.3, 0.9

        def evaluate(self, theta):
            return self

    monkeypatch.setattr(wedges, "tunnel_width", tunnel_width)
    monkeypatch.setattr(wedges, "isotropic", lambda dim, n, seed: np.zeros((n, dim)))
    setting = dataclasses.replace(
        next(iter(fig5.settings(preset()).values())), multiple=multiple, fixed=fixed, directions=3
    )
    return fig5._probe(setting, lambda theta: loss, (At(), At()), np.array([3.0, 4.0])), asked


def test_the_fixed_threshold_has_width_zero_where_the_optimum_is_above_it(monkeypatch):
    found, asked = probed(monkeypatch, loss=2.5)
    assert asked == [5.0, 2.5]
    assert found["fixed distances"].tolist() == [0, 0, 0]
    assert found["multiple distances"].tolist() == [6, 6, 6]
    found, asked = probed(monkeypatch, loss=0.5)
    assert asked == [1.0, 2.0]
    assert found["fixed distances"].tolist() == [3, 3, 3] and found["norm"] == 5
