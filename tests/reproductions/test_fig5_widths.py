"""Figure 5's readings and claims, on numbers made by hand."""

import dataclasses

import numpy as np
import pytest

import wedges
from reproductions import fig5_widths as fig5
from reproductions.bench import options, workplace
from reproductions.common import data, models, networks, training, widths


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(widths, "DRAWS", 1999)


@pytest.fixture(autouse=True)
def place(tmp_path):
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")) as place:
        yield place


def preset(**changes):
    """The paper's settings, on a data set that is there."""
    return fig5.Config(**{**options.preset(fig5.Config, "paper"), "dataset": "digits", **changes})


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


def again(means, **how):
    """Arrays of dropout looked at again: with six seeds, and at rest."""
    arrays = made(fig5.MORE, means, seeds=6, **how) | made(fig5.REST, means, seeds=6, **how)
    return arrays | {f"{fig5.REST} moves": np.full((len(means), 6), 0.01)}


def claims(arrays, config):
    return {c.id: c.passed for c in fig5.claims(arrays, config)}


def test_settings_share_what_is_at_its_base():
    config = preset(lr=(5e-4, 1e-3), l2=(0.0, 1e-3), hyperparameter=("lr", "l2"), seeds=2, seed=5)
    found = fig5.settings(config)
    assert set(found) == {
        f"{what}, seed {seed}" for what in ("base", "lr=0.0005", "l2=0.001") for seed in (5, 6)
    }
    s = found["l2=0.001, seed 6"]
    network = models.Model(l2=1e-3)
    assert s.problem == networks.Problem(data.source("digits"), network, 128, initial=6, seed=6)
    assert s.recipe == training.Recipe("adam", 1e-3, config.epochs)
    assert (s.target, s.examples, s.directions) == (config.target, config.examples, config.directions)
    assert (s.multiple, s.fixed) == (config.multiple, config.fixed)
    assert fig5.words(config, "lr", 1e-3, 5) == fig5.words(config, "l2", 0.0, 5) == "base, seed 5"


def test_a_settings_name_says_what_is_special_and_is_its_own():
    config = preset()
    found = fig5.settings(config)
    assert config.seed == 3
    assert {"base, seed 3", "batch_size=32, seed 5", "l2=0.0003, seed 4"} <= set(found)
    assert len(set(found.values())) == len(found)
    special = {
        "lr": lambda s: s.recipe.learning_rate,
        "l2": lambda s: s.problem.model.l2,
        "dropout": lambda s: s.problem.model.dropout,
        "batch_size": lambda s: s.problem.batch_size,
        "width": lambda s: s.problem.model.width,
    }
    for name in fig5.varied(config):
        for value in fig5.values(config, name):
            setting = found[fig5.words(config, name, value, 4)]
            assert setting.problem.seed == setting.problem.initial == 4
            for other, of in special.items():
                assert of(setting) == (value if other == name else fig5.base(config)[other])


def test_names_tell_values_apart_that_look_alike_in_six_digits():
    config = preset(lr=(1e-3, 1.0000001e-3), hyperparameter=("lr",), seeds=1)
    assert len(fig5.settings(config)) == 2


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
def test_a_trend_is_told_from_chance_by_orders_within_a_seed(measure):
    """Four values in the right order for three seeds: chance does it in one case of 24^3."""
    config = preset(lr=(1e-3, 2e-3, 3e-3, 4e-3))
    up = fig5.rank(made("lr", [1, 2, 3, 4]), config, "lr", measure)
    down = fig5.rank(made("lr", [4, 3, 2, 1]), config, "lr", measure)
    assert up.rho == pytest.approx(1) and up.rises < 1e-3 and up.falls == 1
    assert down.rho == pytest.approx(-1) and down.falls < 1e-3 and down.rises == 1
    assert 0 < up.chance == down.chance < 1
    # Seeds that differ by more than the values do not hide an order that each of them has.
    assert fig5.rank(made("lr", [1, 2, 3, 4], spread=0.9), config, "lr", "distance").rises < 1e-3


def test_how_often_chance_gives_a_correlation_is_that_of_all_orders(monkeypatch):
    """Three values, two seeds, 36 pairs of orders: by hand."""
    monkeypatch.setattr(widths, "DRAWS", 9999)
    config = preset(lr=(1e-3, 2e-3, 3e-3), seeds=2)
    arrays = made("lr", [1, 2, 3], seeds=2)
    best = fig5.rank(arrays, config, "lr", "distance")
    assert best.rises == pytest.approx(1 / 36, abs=0.005)
    # One seed in order (rho 1), the other with two neighbours exchanged (rho 0.5). As good or better are
    # both in order, and one in order beside the other in one of two orders: 1 + 2 * 2 of 36.
    for threshold in ("multiple", "fixed"):
        arrays[f"lr {threshold} distances"][[0, 1], 1] = arrays[f"lr {threshold} distances"][[1, 0], 1]
    second = fig5.rank(arrays, config, "lr", "distance")
    assert second.rho == pytest.approx(0.75) and second.rises == pytest.approx(5 / 36, abs=0.01)


def test_without_a_trend_it_is_found_as_seldom_as_it_says():
    """Independent widths, 300 times: at most the stated share, within three standard errors."""
    config, rng, found = preset(lr=(1e-3, 2e-3, 3e-3, 4e-3, 5e-3)), np.random.default_rng(0), 0
    arrays = made("lr", [1, 2, 3, 4, 5])
    for _ in range(300):
        arrays["lr multiple distances"] = rng.uniform(1, 2, (5, 3, 1))
        found += fig5.rank(arrays, config, "lr", "distance").rises <= widths.LEVEL
    assert found / 300 < widths.LEVEL + 3 * np.sqrt(widths.LEVEL / 300)


def test_a_rank_is_over_the_range_alone_and_nan_below_three_values():
    config = preset(lr=(1e-3, 2e-3, 3e-3, 4e-3))
    arrays = made("lr", [1, 2, 3, 0.1], reached=[True, True, True, False])
    assert fig5.rank(arrays, config, "lr", "distance").rho == pytest.approx(1)
    assert fig5.rank(made("lr", [1, 2, 3, 0.1]), config, "lr", "distance").rho < 0
    few = made("lr", [1, 2, 3, 4], reached=[True, True, False, False])
    assert np.isnan(fig5.rank(few, config, "lr", "distance")).all()
    level = fig5.rank(made("lr", [2, 2, 2, 2]), config, "lr", "distance")
    assert (level.rho, level.rises, level.falls) == (0, 1, 1)


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
    good |= again([1, 2, 3])
    found = claims(good, config)
    assert len(found) == 4 * 3 + 2 * 2 + 2 * 3 and all(found.values())
    assert not any(".width." in id for id in found)  # the paper says nothing of it
    bad = made("lr", [3, 2, 1]) | made("batch_size", [1, 2, 3]) | made("width", [1, 2])
    bad |= made("l2", [3, 2, 1, 9], reached=last) | made("dropout", [3, 2, 1, 9], reached=last)
    bad |= again([3, 2, 1])
    for name in ("lr", "l2", "dropout", "batch_size", fig5.MORE):
        bad[f"{name} train loss"] *= 1.2
    bad[f"{fig5.REST} moves"][1, 4] = 0.03
    assert claims(bad, config).keys() == found.keys() and not any(claims(bad, config).values())


def test_claims_about_too_few_values_fail():
    config = preset(lr=(1e-3, 2e-3), hyperparameter=("lr",))
    found = claims(made("lr", [1, 2]), config)
    assert found == {"fig5.lr.convergence": True, "fig5.lr.distance": False, "fig5.lr.angle": False}
    nothing = claims(made("lr", [1, 2], reached=[False, False]), config)
    assert not any(nothing.values())


def test_the_summary_has_every_value_and_the_plot_every_column():
    config = preset(lr=(1e-3, 2e-3, 3e-3), width=(1.0, 2.0), hyperparameter=("lr", "width"), seeds=1)
    arrays = made("lr", [1, 2, 3], reached=[True, True, False]) | made("width", [1, 2])
    numbers = fig5.summary(arrays, config)
    assert len(numbers) == 5 * (2 + 2 * 2)
    np.testing.assert_allclose(numbers["lr 0.002: distance, fixed"], [1.99, 2, 2.01])
    figure = fig5.plot(arrays, config)
    titles = [ax.get_title().split(":")[0] for ax in figure.axes]
    assert titles[:2] == ["Learning rate", "Network width"] and len(titles) == 3
    assert " 1 seed, " in figure.get_suptitle()
    assert set(fig5.more_pictures(arrays, config)) == {"distances", "losses"}


def test_the_title_says_what_each_hyperparameter_does():
    three = (1e-3, 2e-3, 3e-3)
    config = preset(lr=three, l2=three, dropout=(0.1, 0.2, 0.3), batch_size=(32, 64, 128), width=(1, 2))
    arrays = made("lr", [1, 2, 3]) | made("l2", [1, 2, 3]) | made("batch_size", [3, 2, 1])
    arrays |= made("dropout", [1, 1, 1]) | made("width", [1, 2])
    says = (
        "Tunnels are wider with learning rate and L2, narrower with batch size; dropout: no clear trend"
    )
    assert fig5.finding(arrays, config, "angle") == says
    assert fig5.plot(arrays, config).get_suptitle().startswith(says)
    *panels, ranks = fig5.plot(arrays, config).axes
    titles = ["wider\n(the paper: wider)", "wider\n(the paper: wider)"]
    titles += ["unclear\n(the paper: wider)", "narrower\n(the paper: narrower)", "not judged"]
    assert [ax.get_title().split(": ", 1)[1] for ax in panels] == titles
    few = preset(lr=(1e-3, 2e-3), hyperparameter=("lr",))
    assert fig5.finding(made("lr", [1, 2]), few, "angle").startswith("How wide a tunnel is")


def test_a_width_is_drawn_only_where_it_says_something():
    """Beyond the range the optimum's own loss differs; a loss above the threshold has a width of 0."""
    arrays = made("l2", [1, 2, 3, 4], reached=[True, True, False, False], fixed=[5, 6, 7, 1])
    arrays["l2 fixed distances"][3] = 0
    assert fig5.shown(arrays, "l2", "multiple").tolist() == [True, True, False, False]
    assert fig5.shown(arrays, "l2", "fixed").tolist() == [True, True, True, False]
    config = preset(l2=(0.0, 1e-3, 1e-2, 1e-1), hyperparameter=("l2",))
    panel = fig5.more_pictures(arrays, config)["distances"].axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0", "0.001", "0.01"]
    drawn = {bar.get_label(): bar.lines[0].get_ydata() for bar in panel.containers}
    assert set(drawn) == {"to 2 x its own loss", "to 1.5 nats"}
    np.testing.assert_allclose(drawn["to 2 x its own loss"], [1, 2])
    np.testing.assert_allclose(drawn["to 1.5 nats"], [5, 6, 7])
    nothing = made("l2", [1, 2, 3, 4], reached=[False] * 4, fixed=[-1] * 4)
    assert fig5.plot(nothing, config).axes and fig5.more_pictures(nothing, config)["losses"].axes


# ---- dropout again ----------------------------------------------------------------------------------


def dropout_config(**changes):
    rates = {"dropout": (0.0, 0.1, 0.2, 0.3, 0.5), "hyperparameter": ("dropout",)}
    return preset(**{**rates, **changes})


def dropout_arrays():
    """Wider with mild dropout in all looks, narrower where it is too strong."""
    reached = [True, True, True, True, False]
    return made("dropout", [1, 2, 3, 4, 0.1], reached=reached) | again([1, 2, 3, 4])


def test_mild_dropout_has_twice_the_seeds_and_the_others_keep_theirs():
    config = dropout_config(seed=4)
    assert fig5.mild(config) == [0.0, 0.1, 0.2, 0.3] and list(fig5.more_repeats(config)) == [
        *range(4, 10)
    ]
    first, more = fig5.settings(config), fig5.dropout_again(config)
    assert len(first) == 5 * 3 and len(more) == 4 * 6
    assert {n for n in first if n not in more} == {f"dropout=0.5, seed {seed}" for seed in (4, 5, 6)}
    # What both name is one training, which is not made again.
    assert all(first[name] == more[name] for name in first.keys() & more.keys())
    assert {s.problem.seed for s in more.values()} == set(range(4, 10))


@pytest.mark.parametrize("changes", [{"dropout": (0.5, 0.7)}, {"hyperparameter": ("lr",)}])
def test_where_no_dropout_is_mild_nothing_is_looked_at_again(changes):
    config = dropout_config(**changes)
    assert not fig5.looks_again(config) and fig5.dropout_again(config) == {}
    arrays = made("dropout", [1, 2]) | made("lr", [1, 2, 3, 4, 5])
    assert not any(".more." in id or ".rest." in id for id in claims(arrays, config))
    assert "dropout" not in fig5.more_pictures(arrays, config)


@pytest.mark.parametrize(
    ("name", "change", "failing"),
    [
        (f"{fig5.MORE} train loss", 1.2, {"more.convergence"}),
        (f"{fig5.REST} train loss", 1.2, set()),  # each has a loss of its own there
        (f"{fig5.REST} moves", 2.1, {"rest.still"}),
        (f"{fig5.REST} moves", np.nan, {"rest.still"}),
        (f"{fig5.MORE} multiple distances", np.array([[[4.0]], [[1]], [[1 / 3]], [[1 / 4]]]),
         {"more.distance", "more.angle"}),
        (f"{fig5.REST} multiple distances", np.array([[[4.0]], [[1]], [[1 / 3]], [[1 / 4]]]),
         {"rest.distance", "rest.angle"}),
        (f"{fig5.REST} multiple distances", np.nan, {"rest.distance", "rest.angle"}),
        (f"{fig5.REST} norm", np.array([[1.0], [3], [9], [27]]), {"rest.angle"}),
        ("dropout multiple distances", np.nan, {"distance", "angle"}),
    ],
)  # fmt: skip
def test_each_look_at_dropout_fails_alone(name, change, failing):
    config, arrays = dropout_config(), dropout_arrays()
    failed = lambda: {id for id, passed in claims(arrays, config).items() if not passed}
    assert failed() == set()
    arrays[name] = arrays[name] * change
    assert failed() == {f"fig5.dropout.{what}" for what in failing}


def test_only_rates_at_which_every_seed_came_to_the_common_loss_count_at_rest():
    config, arrays = dropout_config(), dropout_arrays()
    for name in (fig5.MORE, fig5.REST):
        arrays[f"{name} multiple distances"][3] = 0.1
    assert not claims(arrays, config)["fig5.dropout.rest.distance"]
    for name in (fig5.MORE, fig5.REST):
        arrays[f"{name} reached"][3, 5] = False
    found = claims(arrays, config)
    assert found["fig5.dropout.rest.distance"] and found["fig5.dropout.more.distance"]


def test_the_picture_of_dropout_says_what_each_look_finds():
    config, arrays = dropout_config(), dropout_arrays()
    title = lambda: fig5.more_pictures(arrays, config)["dropout"].get_suptitle().split("\n")[0]
    assert title() == "With dropout tunnels are: wider at equal loss and at rest"
    arrays |= made(fig5.REST, [4, 3, 2, 1], seeds=6)
    assert title() == "With dropout tunnels are: wider at equal loss; narrower at rest"
    arrays |= made(fig5.MORE, [1, 1, 1, 1], seeds=6)
    assert title() == "With dropout tunnels are: no clear trend at equal loss; narrower at rest"
    # As far in weight space, of weights that are shorter: wider as an angle alone.
    shorter = np.array([4.0, 3.0, 2.0, 1.0])[:, None]
    norm, arrays[f"{fig5.MORE} norm"] = (
        arrays[f"{fig5.MORE} norm"],
        arrays[f"{fig5.MORE} norm"] * shorter,
    )
    assert title() == "With dropout tunnels are: wider by angle at equal loss; narrower at rest"
    arrays[f"{fig5.MORE} norm"] = norm
    figure = fig5.more_pictures(arrays, config)["dropout"]
    assert len(figure.axes) == 4 and " 6 seeds, " in figure.get_suptitle()
    arrays[f"{fig5.REST} multiple distances"] *= np.nan
    assert title().startswith("Dropout with twice the seeds")
    for name in ("dropout", fig5.MORE):
        arrays[f"{name} multiple distances"] *= np.nan
    ranks = fig5.more_pictures(arrays, config)["dropout"].axes[-1]  # nothing to draw, and still named
    assert [text.get_text() for text in ranks.get_legend().get_texts()] == ["distance", "angle"]


def test_the_reference_guards_all_looks_at_dropout_by_seed():
    numbers = fig5.summary(dropout_arrays(), dropout_config())
    assert len(numbers) == (5 + 2 * 4) * (2 + 2 * 2)
    assert len(numbers["rest dropout 0.2: distance, multiple"]) == 6
    assert len(numbers["dropout 0.2: distance, multiple"]) == 3


# ---- one setting ------------------------------------------------------------------------------------


@pytest.fixture
def setting():
    network = models.Model("fc", width=0.05, l2=1e-3)
    problem = networks.Problem(data.source("digits"), network, 32, initial=3, seed=3)
    recipe = training.Recipe("adam", 1e-2, epochs=2)
    return widths.Setting(problem, recipe, 1.0, examples=200, directions=3, multiple=2.0, fixed=1.5)


def test_one_setting_is_trained_to_the_target_and_its_widths_are_where_the_loss_crosses(setting):
    found = widths.measure_one(setting)
    every = 44 // 5  # steps between two looks at the loss: five an epoch of 1437 // 32
    trained = training.train(
        setting.problem, setting.recipe, label="", until=training.Until(200, 1.0, every)
    )
    theta, seen = trained.theta, networks.seen(setting.problem, 200)
    assert found["loss"] == pytest.approx(float(seen(theta))) and found["loss"] <= 1 and found["reached"]
    steps = len(trained.losses)
    assert found["epochs"] == steps / 44 and steps < 88 and steps % every == 0
    assert found["norm"] == pytest.approx(np.linalg.norm(theta)) and found["dimension"] == len(theta)
    for landscape, name in (
        (networks.seen(setting.problem), "train"),
        (networks.unseen(setting.problem), "test"),
    ):
        at = landscape.evaluate(theta)
        assert found[f"{name} loss"] == pytest.approx(float(at.loss))
        assert found[f"{name} accuracy"] == pytest.approx(float(at.accuracy))
    v = wedges.isotropic(len(theta), 3, seed=3)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    for name, threshold in (("multiple", 2 * found["loss"]), ("fixed", 1.5)):
        assert not found[f"{name} censored"].any()
        crossing = theta + found[f"{name} distances"][:, None] * v
        np.testing.assert_allclose(seen(crossing.astype(np.float32)), threshold, rtol=1e-2)


def test_the_fixed_threshold_has_width_zero_where_the_optimum_is_above_it(setting):
    low = widths.measure_one(dataclasses.replace(setting, fixed=0.5))
    assert low["loss"] > 0.5
    assert low["fixed distances"].tolist() == [0, 0, 0] and (low["multiple distances"] > 0).all()
    high = widths.measure_one(setting)
    assert (high["fixed distances"] > 0).all()
    np.testing.assert_array_equal(high["multiple distances"], low["multiple distances"])


def test_what_misses_the_target_in_its_epochs_is_said_to(setting):
    found = widths.measure_one(dataclasses.replace(setting, target=1e-3))
    assert not found["reached"] and found["epochs"] == 2


def test_a_network_comes_to_rest_from_where_it_ended_while_the_rate_falls_to_0(setting):
    """Against Keras' own cosine decay; the width is where the loss there has doubled."""
    until = training.Until(200, 1.0, 44 // 5)
    start = training.train(setting.problem, setting.recipe, label="", until=until).theta
    landscape, seen = networks.landscape(setting.problem), networks.seen(setting.problem, 200)
    by_hand = wedges.minimize(landscape, start, training.cosine_adam(1e-2, 3 * 44), 3 * 44)
    found = widths.measure_at_rest(widths.Rest(setting, 3))
    assert found["loss"] == pytest.approx(float(seen(by_hand.theta)), rel=1e-3)
    assert found["loss"] < float(seen(start)) and found["reached"]
    assert found["norm"] == pytest.approx(np.linalg.norm(by_hand.theta), rel=1e-4)
    before, last = by_hand.losses[44:].reshape(2, 44).mean(axis=1)
    assert found["moves"] == pytest.approx(1 - last / before, rel=0.02)
    v = wedges.isotropic(len(start), 3, seed=3)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    crossing = by_hand.theta + found["multiple distances"][:, None] * v
    np.testing.assert_allclose(seen(crossing.astype(np.float32)), 2 * found["loss"], rtol=2e-2)
    strict = dataclasses.replace(setting, target=1e-3)
    assert not widths.measure_at_rest(widths.Rest(strict, 3))["reached"]
