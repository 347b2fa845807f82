"""Which findings are general: verdicts on numbers made by hand, and single settings."""

import keras
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from reproductions import (
    fig2_radial,
    fig3_tunnel,
    fig5_widths,
    fig6_swa,
    generality,
    m_connectors,
)
from reproductions.bench import marks, options, runs, sweep, workplace
from reproductions.common import core_claims, data, models, networks, pictures, widths

FIGURES = {
    "fig2": fig2_radial,
    "fig3": fig3_tunnel,
    "m-connector": m_connectors,
    "fig5": fig5_widths,
    "fig6": fig6_swa,
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(widths, "DRAWS", 100)
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")) as place:
        yield place


def preset(name="paper", **changes):
    """A preset's settings, on data that are there."""
    own = {**options.preset(generality.Config, name), "dataset": ("digits", "mnist1d")}
    return generality.Config(**{**own, **changes})


# ---- one setting's numbers, by hand -----------------------------------------------------------------


def found(**changes):
    """Arrays of one setting in which every claim holds, with {name: (place, value)} of what differs."""
    arrays = _well() | _tunnel() | _surface() | _rates() | _cycles()
    for name, (at, value) in changes.items():
        arrays[name] = np.array(arrays[name], float)
        arrays[name][at] = value
    return arrays


def _well():
    """Three optima 8 apart whose loss 1 rises by r^2 / 4; the cut through them sees the others."""
    a, side = np.linspace(0.5, 4, 8), np.linspace(-8, 8, 17)
    corners, wave = np.array([[0.0, 0], [8, 0], [4, 7]]), 1 + 0.05 * np.cos(np.arange(20))
    x, y = np.meshgrid(side, side)
    bowls = [1 + ((x - cx) ** 2 + (y - cy) ** 2) / 4 for cx, cy in corners]
    return {
        "well losses": np.tile(1 + (a[:, None] ** 2 / 4) * wave, (3, 1, 1)),
        "well start": np.ones(3),
        "well side": side,
        "well doubled": np.full(3, 2.0),
        "well there": np.tile(1 + wave, (3, 1)),
        "well ring": np.tile(1 + wave, (3, 1)),
        "well corners": corners,
        "well random cut": bowls[0],
        "well optima cut": np.min(bowls, axis=0),
    }


def _tunnel():
    """Six segments: the line rises from 1 to 2, the tunnel to 1.2; two halves, cosines 0.8 and 0.1."""
    halves = np.kron(np.eye(2), np.ones((3, 3)))
    line = np.array([1, 1, 1, 1.2, 1.5, 1.8, 2, 1.8, 1.5, 1.2, 1, 1, 1])
    labels = np.insert(np.insert(0.6 + 0.3 * halves, 3, 0.6, axis=0), 3, 0.6, axis=1)
    return {
        "tunnel line train loss": line,
        "tunnel tunnel train loss": np.where(line > 1, 1.2, 1.0),
        "tunnel tunnel test accuracy": np.full(13, 0.7),
        "tunnel cosines": (0.1 + 0.7 * halves)[:5, :5],
        "tunnel labels": labels,
        "tunnel ends disagree": np.array(0.5),
    }


def _surface():
    """The flat hull rises by 1 above optima of loss 1, points and the joint surface by 0.2."""
    readings = {
        "optima": (np.full(4, 1.0), np.full(4, 0.8)),
        "points": (np.full(2, 1.2), np.full(2, 0.75)),
        "points flat": (np.full(2, 2.0), np.full(2, 0.3)),
        "held flat": (np.full(3, 2.0), np.full(3, 0.3)),
        "held joint": (np.full(3, 1.2), np.full(3, 0.75)),
    }
    arrays = {}
    for name, (loss, accuracy) in readings.items():
        arrays |= {f"surface {name} train loss": loss, f"surface {name} test accuracy": accuracy}
    return arrays


def _rates():
    """Widths 1, 2, 3 and 4 of three seeds at the four rates, at training losses near the target, 0.5."""
    apart = np.array([[-0.01], [0], [0.01]])  # the seeds
    return {
        "lr multiple distances": np.arange(1.0, 5)[:, None, None] + apart + np.zeros((4, 3, 4)),
        "lr norm": np.ones((4, 3)),
        "lr train loss": np.full((4, 3), 0.48),
        "lr reached": np.ones((4, 3)) > 0,
        "lr target": np.array(0.5),
    }


def _cycles():
    """Low: SWA at 0.81 above snapshot 0.8, ensemble 0.815, level segments; high: 0.7, 0.8 and 0.83, a
    barrier of 0.5 over a loss of 1."""
    after = {"snapshot": (0.8, 0.8), "swa": (0.81, 0.7), "ensemble": (0.815, 0.83)}
    arrays = {}
    for name, accuracy in after.items():
        arrays[f"cycles {name}_accuracy"] = np.transpose([np.zeros(2), accuracy])  # [rates, cycles]
        arrays |= {f"cycles {name}_{split}_loss": np.ones((2, 2)) for split in ("train", "test")}
    line = np.array([[1.0, 1, 1], [1, 1.5, 1]])[:, None]  # [rates, pairs, points]
    agreement = np.array([[[1, a], [a, 1]] for a in (0.95, 0.6)])
    return arrays | {
        "cycles line_loss": line,
        "cycles agreement": agreement,
        "cycles distance": np.ones((2, 1)),
    }


NUMBERS = {  # of the arrays above, by hand
    "fig2.rises": 0.25 / 4 * (1 + 0.05 * np.cos(np.arange(20)).mean()),  # from 0 to 0.5
    "fig2.variation": 0.05
    * np.cos(np.arange(20)).std(ddof=1)
    / (2 + 0.05 * np.cos(np.arange(20)).mean()),
    "fig2.hidden": 1 + 17 / 4,  # at (1, 4), the nearest point of the grid beyond 4
    "fig2.shown": 1.0,
    "fig3.barrier": 1.0,
    "fig3.tunnel": 0.2,
    "fig3.within": 0.8,
    "fig3.across": 0.7,
    "fig3.labels": 0.3,
    "m-connector.points": 0.2,
    "m-connector.accuracy": 0.05,
    "m-connector.heldout": 0.2,
    "fig5.lr.convergence": 0.04,
    "fig6.low.swa_vs_snapshot": 0.01,
    "fig6.low.swa_vs_ensemble": 0.005,
    "fig6.low.no_barrier": 0.0,
    "fig6.high.swa_vs_snapshot": -0.1,
    "fig6.high.ensemble_vs_snapshot": 0.03,
    "fig6.high.barrier": 0.5,
    "fig6.high.less_alike": -0.35,
}


def test_the_numbers_of_a_setting_are_those_that_hand_computation_finds():
    judged = core_claims.judged(found())
    assert judged.keys() == core_claims.BOUNDS.keys() == generality.WORDS.keys()
    for id, number in NUMBERS.items():
        assert judged[id] == pytest.approx(number, abs=1e-12), id
    assert judged["fig2.ring"] == judged["fig2.variation"]
    assert max(judged["fig5.lr.angle"], judged["fig5.lr.distance"]) <= widths.LEVEL
    assert all(core_claims.holds(id, number) for id, number in judged.items())


FAILING = [
    # (the array, where, what stands there instead, the claims that then fail)
    ("well losses", (1, 3), 1.5, {"fig2.rises"}),
    ("well losses", (2, 0), np.nan, {"fig2.rises"}),
    ("well there", (2, 0), 6.0, {"fig2.variation"}),
    ("well there", 0, np.nan, {"fig2.variation"}),
    ("well ring", (0, 5), 6.0, {"fig2.ring"}),
    ("well random cut", (16, 16), 1.9, {"fig2.hidden"}),
    ("well optima cut", slice(None), 1.6, {"fig2.shown"}),
    ("tunnel line train loss", slice(1, 12), 1.05, {"fig3.barrier", "fig3.tunnel"}),
    ("tunnel tunnel train loss", 5, 1.26, {"fig3.tunnel"}),  # a middle, not a vertex
    ("tunnel tunnel train loss", 5, np.nan, {"fig3.tunnel"}),
    ("tunnel cosines", slice(None), 0.45, {"fig3.within", "fig3.across"}),
    ("tunnel cosines", slice(None), 0.6, {"fig3.across"}),
    ("tunnel cosines", (0, 1), np.nan, {"fig3.within", "fig3.across"}),
    ("tunnel labels", slice(None), 0.75, {"fig3.labels"}),
    ("surface points train loss", 1, 1.3, {"m-connector.points"}),
    ("surface points test accuracy", 1, 0.69, {"m-connector.accuracy"}),
    ("surface held joint train loss", 2, 1.3, {"m-connector.heldout"}),
    ("lr train loss", (2, 1), 0.44, {"fig5.lr.convergence"}),
    (
        "lr multiple distances",
        slice(None),
        [[[4.0]], [[3.0]], [[2.0]], [[1.0]]],
        {"fig5.lr.distance", "fig5.lr.angle"},
    ),
    ("lr norm", slice(None), [[1.0], [3.0], [9.0], [27.0]], {"fig5.lr.angle"}),
    ("lr reached", (0, 1), 0, set()),  # three rates are left, which can still be told from chance
    ("lr reached", (slice(2), 1), 0, {"fig5.lr.distance", "fig5.lr.angle"}),
    ("cycles swa_accuracy", (0, 1), 0.7999, {"fig6.low.swa_vs_snapshot", "fig6.low.swa_vs_ensemble"}),
    ("cycles ensemble_accuracy", (0, 1), 0.83, {"fig6.low.swa_vs_ensemble"}),
    ("cycles line_loss", (0, 0, 1), 1.02, {"fig6.low.no_barrier"}),
    ("cycles swa_accuracy", (1, 1), 0.8, {"fig6.high.swa_vs_snapshot"}),
    ("cycles ensemble_accuracy", (1, 1), 0.8, {"fig6.high.ensemble_vs_snapshot"}),
    ("cycles line_loss", (1, 0, 1), 1.005, {"fig6.high.barrier"}),
    ("cycles line_loss", (1, 0, 1), np.nan, {"fig6.high.barrier"}),
    ("cycles agreement", 1, 0.95, {"fig6.high.less_alike"}),
]


def settings_of(*rows):
    """Arrays [settings, ...] of those of single settings."""
    return {name: np.stack([np.asarray(row[name], float) for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(("name", "at", "value", "failing"), FAILING)
def test_a_claim_fails_in_the_setting_in_which_the_figures_would_and_counts_there(
    name, at, value, failing
):
    """One of five settings fails, which is no more than a fifth; then two, and it is not general."""
    config = preset(dataset=("digits",), network=("cnn_half", "fc2", "fc3"), activation=("tanh", "relu"))
    bad = found(**{name: (at, value)})
    one = settings_of(bad, *[found()] * 5)
    shares = generality.judged(one, config)
    assert {id for id, share in shares.items() if share != 1} == failing
    assert all(shares[id] == pytest.approx(5 / 6) for id in failing)
    assert all(claim.passed for claim in generality.claims(one, config))
    two = generality.claims(settings_of(bad, bad, *[found()] * 4), config)
    assert {c.id.removeprefix("generality.") for c in two if not c.passed} == failing
    every = set().union(*(ids for *_, ids in FAILING))
    assert every == core_claims.BOUNDS.keys()


def test_what_could_not_be_measured_counts_as_not_holding_and_is_shown_as_such():
    config = preset(dataset=("digits",), network=("cnn_half",))
    bad = found(**{"lr reached": (slice(2), 0)})  # two rates have not come so far
    arrays = settings_of(found(), bad)
    numbers, ids = generality.numbers(arrays, config), list(core_claims.BOUNDS)
    unknown = {ids[j] for _, j in np.argwhere(np.isnan(numbers))}
    assert unknown == {"fig5.lr.distance", "fig5.lr.angle"}
    assert generality.judged(arrays, config)["fig5.lr.angle"] == 0.5
    summary = generality.summary(arrays, config)
    each = [summary[f"fig5.lr.angle: {', '.join(s)}"] for s in generality.combinations(config)]
    assert each == [[1.0], [0.0]] and len(summary["fig5.lr.angle"]) == 1
    last = arrays["cycles snapshot_accuracy"][:, :, -1]  # [settings, rates]
    np.testing.assert_array_equal(summary["cycles, low rate: accuracy"], last[:, 0])
    np.testing.assert_array_equal(summary["cycles, high rate: accuracy"], last[:, 1])
    assert all(np.isfinite(values).all() for values in summary.values())
    (ax,) = generality.plot(arrays, config).axes
    assert sum(text.get_text() == "-" for text in ax.texts) == len(unknown)


@pytest.mark.parametrize(("rate", "unknown"), [(0, {"low", "high"}), (1, {"high"})])
def test_a_rate_at_which_training_diverged_holds_nothing(rate, unknown):
    """Its labels are all one class, so that snapshot, average and ensemble would agree."""
    arrays = found(**{"cycles snapshot_train_loss": ((rate, 1), np.nan)})
    judged = core_claims.judged(arrays)
    missing = {id.split(".")[1] for id, n in judged.items() if np.isnan(n)}
    assert missing == unknown and not any(core_claims.holds(id, np.nan) for id in judged)
    kept = {id for id in judged if not np.isnan(judged[id])}
    assert kept == {id for id in judged if not any(id.startswith(f"fig6.{r}.") for r in unknown)}


def test_a_network_that_diverged_has_no_width():
    setting = preset("smoke").setting("digits", models.Model("fc", width=0.1))
    how = widths.Setting(setting.problem, setting.recipe, 1.0, 100, 3, 2.0, fixed=0.0)
    lost = core_claims._width(how, 100, np.full(networks.dimension(setting.problem), np.nan))
    assert np.isnan(lost["multiple distances"]).all() and not lost["reached"]
    here = core_claims._width(how, 100, networks.start(setting.problem))
    assert here.keys() == lost.keys()
    assert all(np.shape(here[name]) == np.shape(lost[name]) for name in here)


# ---- one idea, one place ----------------------------------------------------------------------------


class Numbers(dict):
    """A number for every claim."""

    def __missing__(self, id):
        return 0.0


def test_the_bounds_are_those_of_the_figures_own_claims(monkeypatch):
    theirs = {}
    for figure in FIGURES.values():
        config = figure.Config(**options.preset(figure.Config, "paper"))
        monkeypatch.setattr(figure, "judged", lambda *_: Numbers())
        if figure is fig5_widths:  # whose words name a correlation
            for place in (figure, figure.tunnel_widths):
                monkeypatch.setattr(place, "rank", lambda *_: widths.Rank(0.0, 0.0, 0.0, 0.0))
        theirs |= {c.id: (c.relation, c.expected) for c in figure.claims({}, config)}
    own = lambda id: id.replace("fig2.", "fig2.net.")
    assert {id: theirs[own(id)] for id in core_claims.BOUNDS} == core_claims.BOUNDS


@pytest.mark.parametrize(
    ("module", "function", "figure"),
    [
        ("wells", "_look", fig2_radial),
        ("tunnels", "between", fig3_tunnel),
        ("widths", "probe", fig5_widths),
        ("averaging", "_follow", fig6_swa),
        ("averaging", "_between", fig6_swa),
        ("surfaces", "chosen", m_connectors),
        ("surfaces", "continuous", m_connectors),
    ],
)
def test_a_setting_is_measured_by_the_functions_of_the_figures(module, function, figure):
    place = f"reproductions.common.{module}", function
    assert place in marks.reached(core_claims.measure, core_claims.Setting)
    assert place in marks.reached(figure.measure, figure.Config)


# ---- settings ---------------------------------------------------------------------------------------


def test_a_settings_job_depends_on_its_own_network_and_data_alone(place):
    whole, alone = preset(), preset(dataset=("mnist1d",), network=("fc3",), activation=("relu",))
    name = "mnist1d, fc3, relu"
    all_, (one,) = generality.settings(whole), generality.settings(alone).values()
    assert len(all_) == 2 * 7 * 2 and all_[name] == one and len(set(all_.values())) == len(all_)
    task = lambda settings: sweep._task(place, core_claims.measure, "generality", name, settings[name])
    assert task(all_).directory == task(generality.settings(alone)).directory
    # What is for images changes nothing of signals, and the other way round.
    moved = generality.settings(preset(lr=(0.5, 2e-3), epochs=(6, 60), high=(0.3, 0.2)))
    changed = {name for name, setting in moved.items() if setting != all_[name]}
    assert changed == {name for name in all_ if name.startswith("digits")}


def test_the_paper_has_36_settings_with_the_rates_of_figure_6():
    config = generality.Config(**options.preset(generality.Config, "paper"))
    assert len(generality.combinations(config)) == 42 and generality.others(config).sum() == 36
    six = {name: options.preset(fig6_swa.Config, name) for name in ("paper", "quick")}
    for i, own in enumerate(six.values()):  # images, and the signals of MNIST-1D
        assert (config.low[i], config.high[i]) == (own["low"], own["high"])
        assert (config.cycle_batch_size[i], config.lr[i]) == (own["batch_size"], own["pretrain_lr"])
    one = preset().setting("digits", models.Model("fc"))
    assert (one.low.learning_rate, one.recipe.epochs, one.batch) == (0.03, 15, 128)
    signals = preset().setting("mnist1d", models.Model("fc"))
    assert (signals.high.learning_rate, signals.high.cycle_epochs, signals.batch) == (0.2, 6, 64)
    assert (signals.low.epochs, signals.problem.examples) == (5 * 6, 10_000)
    assert one.numbered(2).initial == one.numbered(2).seed == 2


def test_networks_are_what_they_are_called():
    own = {name: model for name, (_, model) in generality.NETWORKS.items()}
    built = {name: models.build(m, (32, 32, 3), 10, seed=0) for name, m in own.items()}
    kinds = lambda name, kind: sum(isinstance(layer, kind) for layer in built[name].layers)
    assert [kinds(name, keras.layers.Conv2D) for name in ("cnn_half", "cnn_double", "cnn_deep")] == [
        3,
        3,
        4,
    ]
    assert [kinds(name, keras.layers.Dense) - 1 for name in ("fc2", "fc3")] == [2, 3]  # hidden ones
    assert (
        kinds("resnet", keras.layers.BatchNormalization) > 0 and kinds("resnet", keras.layers.Add) == 3
    )
    assert built["cnn_double"].count_params() > 4 * built["cnn_half"].count_params()


def test_widths_are_compared_at_the_loss_that_the_optimas_rate_has_after_some_of_its_epochs():
    """By Keras itself; every network of that rate comes so far."""
    sizes = {"examples": 320, "shown": 200, "probed": 60, "width_directions": 2}
    config = preset("smoke", epochs=(2, 2), width_epochs=(1, 1), lr=(1e-2, 1e-2), **sizes)
    setting = config.setting("digits", models.Model("fc", width=0.1))
    _, early, _ = core_claims._optima(setting)
    arrays = core_claims._widths(setting, early)
    digits, losses = data.load("digits"), []
    model = models.build(setting.problem.model, digits.shape, 10, seed=0)
    weights = sum(w.shape.num_elements() for w in model.trainable_variables)
    assert early.shape == (4, weights)
    for theta in early[:2]:
        parts = np.split(theta, np.cumsum([w.shape.num_elements() for w in model.trainable_variables]))
        for w, part in zip(model.trainable_variables, parts, strict=False):
            w.assign(part.reshape(w.shape))
        losses.append(float(models.loss()(digits.y_train[:200], model(digits.x_train[:200]))))
    assert arrays["lr target"] == pytest.approx(max(losses), rel=1e-5)
    assert arrays["lr reached"].shape == (4, 2) and arrays["lr reached"][1].all()
    assert arrays["lr multiple distances"].shape == (4, 2, 2)
    assert (arrays["lr multiple distances"] > 0).all()


def test_cycles_start_where_more_training_of_the_first_optimum_ends():
    """Each mark is where a training of so many epochs ends, and what comes later does not move it."""
    sizes = {"examples": 320, "shown": 200}
    of = lambda *epochs, more=0: core_claims._optima(
        preset("smoke", epochs=epochs, width_epochs=(1, 1), start_epochs=(more, 0), **sizes).setting(
            "digits", models.Model("fc", width=0.1)
        )
    )
    ends, early, start = of(2, 2, more=1)
    longer = of(3, 3)
    np.testing.assert_array_equal(ends, of(2, 2)[0])
    np.testing.assert_array_equal(start, longer[0][0])
    np.testing.assert_array_equal(early, longer[1])
    np.testing.assert_array_equal(of(2, 2)[2], ends[0])  # none without more
    assert np.linalg.norm(start - ends[0]) > 0 and np.linalg.norm(ends - early) > 0


# ---- in words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--network=vgg", "--network=vgg: choose from cnn, cnn_half,"),
        ("--dataset=imagenet", "--dataset=imagenet: choose from digits,"),
        ("--activation=tanh,tanh", "--activation=tanh,tanh: name each value once."),
        ("--width_epochs=11,5", "--width_epochs=11,5: must be at most --epochs=10,10, each of them."),
        ("--epochs=4,9", "--width_epochs=5,5: must be at most --epochs=4,9, each of them."),
        ("--epochs=1,4", "--epochs=1,4: must be at least 2."),
        ("--lr=0.1", "--lr=0.1: must be a pair, for images and for signals."),
        ("--low=0.1,0.3", "--low=0.1,0.3: must be below --high=0.1,0.2, each of them."),
        ("--examples=20", "--examples=20: must be at least the largest batch, 32."),
        ("--seeds=5", "--seeds=5: must be from 1 to 4."),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(flag, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(generality.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", flag])
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == "" and len(printed.err.splitlines()) == 1
    assert printed.err.startswith(f"generality: {words}") and not list((tmp_path / "runs").glob("*/*"))


def test_the_figures_own_network_is_a_control_and_in_no_share():
    alone, beside = (preset(dataset=("digits",), network=names) for names in (("cnn",), ("cnn", "fc2")))
    assert generality.others(alone).all() and list(generality.others(beside)) == [False] * 2 + [True] * 2
    bad = found(**{"tunnel labels": (slice(None), 0.75)})
    arrays = settings_of(bad, bad, found(), found())
    assert generality.judged(arrays, beside)["fig3.labels"] == 1.0
    assert generality.judged(settings_of(bad, bad), alone)["fig3.labels"] == 0.0
    holds = generality.held(generality.numbers(arrays, beside))
    assert set(generality.kinds(holds, beside)) == {"general"}
    assert generality.groups(holds, beside).keys() == {"all", "other networks", "tanh", "ReLU"}
    assert generality.conditions(beside).startswith("1 network x tanh and ReLU x ")
    assert generality.conditions(beside).endswith(
        "; SimpleCNN, the figures' own, is a control in no share"
    )
    assert "control" not in generality.conditions(alone)
    assert generality.finding(holds, beside).endswith(" 2 settings")


def test_the_title_counts_what_is_general_and_what_is_simplecnns():
    config = preset(dataset=("mnist1d",), network=("cnn_half", "fc2"), activation=("tanh", "relu"))
    every = np.ones((4, 23), bool)
    assert generality.finding(every, config) == "23 of 23 findings hold in at least 80% of 4 settings"
    last, first = every.copy(), every.copy()
    last[3, 8] = first[0, 8] = False  # of the fully connected network, of SimpleCNN
    words = "22 of 23 findings hold in at least 80% of 4 settings"
    assert generality.finding(last, config) == f"{words}; 1 more in so many of SimpleCNN's"
    assert generality.finding(first, config) == words
    assert (
        generality.kinds(last, config)[8] == "SimpleCNN's"
        and generality.kinds(first, config)[8] == "neither"
    )
    assert generality.conditions(config) == "2 networks x tanh and ReLU x MNIST-1D"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1234, ".12"), (-0.056, "-.056"), (0.00449, ".004"), (-0.0001, "0"), (1.04, "1"), (12.3, "12"),
        (99.6, "100"), (-345.6, "-346"), (np.nan, "-"), (999.0, "999"), (3727.0, "4e3"), (12345, "1e4"),
    ],
)  # fmt: skip
def test_a_number_is_short_enough_for_its_cell(number, text):
    assert generality.short(number) == text and len(text) <= 5


def test_the_table_has_a_row_for_each_setting_and_a_column_for_each_claim():
    config = preset(dataset=("digits",), network=("cnn_half", "fc2"), activation=("tanh",))
    bad = found(**{"tunnel labels": (slice(None), 0.75)})
    (ax,) = generality.plot(settings_of(found(), bad), config).axes
    heads = [tick.get_text() for tick in ax.get_xticklabels()]
    assert heads == [words for words, _ in generality.WORDS.values()]
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert rows[1:3] == ["SimpleCNN, half as wide, tanh: 80%", "fully connected, 2 layers, tanh: 80%"]
    assert rows[4:] == ["all", "SimpleCNN", "other networks", "tanh"]
    cells = [(p.get_xy(), p.get_facecolor()) for p in ax.patches if hasattr(p, "get_width")]
    assert len(cells) == 23 * (2 + 4)
    fails = [xy for xy, color in cells if color == to_rgba(pictures.FAILS)]
    j = heads.index("halves predict alike (%)")
    assert fails == [(j, 2), (j, 4), (j, 6), (j, 7)]  # its own cell; all, other networks, tanh
