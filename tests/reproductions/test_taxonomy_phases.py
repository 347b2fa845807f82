"""The figure of taxonomy grids: which cells there are, what is measured of one, what is made of it."""

import dataclasses

import numpy as np
import pytest

import wedges
from reproductions import taxonomy_phases
from reproductions.bench import options, runs, workplace
from reproductions.bench.errors import UsageError
from reproductions.common import cells, networks, taxonomy, taxonomy_claims, training
from reproductions.common.arrays import log_of_mean, mean_of_known, under


def configured(preset="paper", **given):
    return options.make(taxonomy_phases.Config, preset, given)[0]


@pytest.fixture(autouse=True)
def place(tmp_path):
    """Where data sets are looked for."""
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")):
        yield


@pytest.fixture
def run(smoke):
    return smoke("taxonomy_phases")


# ---- which cells there are --------------------------------------------------------------------------


def of(config, grid, load, temperature):
    """(examples, noise, width, batch, rate, decay) of a cell."""
    cell = config.cell(grid, load, temperature)
    p, r = cell.problem, cell.recipe
    return p.examples, p.noise, p.model.width, p.batch_size, r.learning_rate, r.weight_decay


def test_the_paper_s_grids_are_those_of_the_plan():
    config = configured(dataset="digits")
    found = [(g.noise, g.examples, g.loads) for g in config.grids]
    four, two = (0.25, 0.5, 1.0, 2.0), (0.25, 0.5)
    assert found == [(0.0, 5000, four), (0.0, 10_000, two), (0.1, 5000, four), (0.1, 10_000, two)]
    assert sum(len(config.cells(grid)) for grid in config.grids) == 2 * (4 * 5 + 2 * 5)
    assert of(config, config.grids[3], 0.5, 8) == (10_000, 0.1, 0.5, 8, 0.01, 5e-4)
    cell = config.cells(config.grids[0])[4]  # along temperature first
    assert (cell.problem.model.width, cell.problem.batch_size) == (0.25, 128)


@pytest.mark.parametrize(
    ("flags", "loads", "temperatures", "first"),
    [
        (
            {"axis": "lr"},
            (0.25, 0.5, 1.0, 2.0),
            (0.04, 0.02, 0.01, 0.005, 0.0025),
            (5000, 0.25, 32, 0.04),
        ),
        ({"axis": "lr", "lr": "0.1,0.3"}, (0.25, 0.5, 1.0, 2.0), (0.3, 0.1), (5000, 0.25, 32, 0.3)),
        ({"axis": "data"}, (1250, 2500, 5000, 10_000), (8, 16, 32, 64, 128), (1250, 1.0, 8, 0.01)),
        ({"axis": "data", "examples": "100,200"}, (100, 200), (8, 16, 32, 64, 128), (100, 1.0, 8, 0.01)),
    ],
    ids=str,
)
def test_other_axes_have_values_of_their_own(flags, loads, temperatures, first):
    config = configured(dataset="digits", **flags)
    grid = config.grids[0]
    assert grid.loads == loads and config.temperatures == pytest.approx(temperatures)
    examples, _, width, batch, rate, _ = of(config, grid, loads[0], temperatures[0])
    assert (examples, width, batch, rate) == first


def test_weight_decay_is_a_temperature_as_well():
    config = configured(dataset="digits", axis="weight_decay")
    assert config.temperatures == pytest.approx((2e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4))
    assert of(config, config.grids[0], 1.0, 2e-3)[2:] == (1.0, 32, 0.01, 2e-3)


def test_cold_networks_get_the_epochs_that_their_steps_need():
    config, grid = configured(dataset="digits"), configured(dataset="digits").grids[0]
    epochs = {t: config.cell(grid, 1.0, t).recipe.epochs for t in (8, 32, 64, 128)}
    assert epochs == {8: 60, 32: 60, 64: 116, 128: 231}  # 9,000 steps of 78 and 39 an epoch


def test_with_decay_the_rate_drops_and_every_epoch_is_run(monkeypatch):
    config = configured("smoke", dataset="digits", decay="True")
    cell, asked = config.cells(config.grids[0])[0], []
    assert (
        cell.recipe.drop == 0.75
        and configured(dataset="digits").cells(config.grids[0])[0].recipe.drop is None
    )

    def train(problem, recipe, *, until, **_):
        asked.append(until)
        return training.Trained(np.zeros(3), np.ones((1, 3)), np.ones(4 * 12))

    monkeypatch.setattr(training, "train", train)
    theta, how = cells.train((cell, 0))
    assert asked[0].least > cell.recipe.epochs and theta.tolist() == [1, 1, 1] and not how["settled"]


def test_members_of_a_cell_differ_in_their_seeds_alone():
    cell = configured("smoke", dataset="digits", seed="3", seeds="4").cells(
        configured("smoke", dataset="digits").grids[0]
    )[0]
    one, *others = cell.members
    assert [(m.initial, m.seed) for m in cell.members] == [(3, 3), (4, 4), (5, 5), (6, 6)]
    assert all(dataclasses.replace(m, initial=3, seed=3) == one for m in others)
    assert cell.pairs == [(0, 1), (1, 2), (2, 3), (3, 0)]
    assert cells.ring(2) == [(0, 1)] and cells.ring(3) == [(0, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize("dead", [1, 2])
def test_a_network_that_diverged_is_nan_and_leaves_the_others_as_they_are(dead, monkeypatch, capsys):
    config = configured("smoke", dataset="digits", seeds="3")
    cell, looks = config.cells(config.grids[0])[0], cells.Looks(20, 20, cells.Curve(1, 0.01, 0))
    start = networks.start(cell.members[0])
    thetas = [start, start + 0.1, start - 0.1]
    for i in range(dead):
        thetas[i] = np.full_like(start, np.nan)
    monkeypatch.setattr(cells, "train", lambda member: (thetas[member[1]], {"steps": 5}))
    found = cells.look(looks, cell)
    assert "diverged at once, seeds 0" in capsys.readouterr().err
    assert {n: a.shape[0] for n, a in found.items()} == dict.fromkeys(found, 3)
    assert np.isnan(found["train_loss"]).tolist() == [True, dead > 1, False]
    assert np.isnan(found["mc"]).tolist() == [True, dead > 1, True]  # (0, 1), (1, 2), (2, 0)
    assert np.isnan(found["curve_error"]).all(axis=1).tolist() == [True, dead > 1, True]
    assert np.isnan(found["cka"]).tolist() == [True, dead > 1, True]
    known = found["test_acc"][dead:]
    assert mean_of_known(found["test_acc"]) == pytest.approx(known.mean())


# ---- what is made of the arrays ---------------------------------------------------------------------


def by_hand(config, grid):
    """Arrays of a grid whose every mean is known."""
    shape = len(grid.loads), len(config.temperatures), config.seeds
    base = np.arange(np.prod(shape), dtype=float).reshape(shape)
    names = ("test_acc", "train_acc", "train_loss", "cka", "l2", "top", "trace")
    own = {name: base + 10 * i + 1 for i, name in enumerate(names)}
    return {**own, "mc": base[..., : len(cells.ring(config.seeds))]}


def test_cells_are_means_and_logarithms_of_means():
    config = configured("smoke", dataset="digits", seeds="3")
    own = by_hand(config, config.grids[0])
    found = taxonomy_phases.as_grid(own, config, config.grids[0])
    assert found.width.tolist() == np.repeat(config.width, len(config.temperatures)).tolist()
    assert found.bs.tolist() == list(config.temperatures) * len(config.width)
    np.testing.assert_allclose(found.test_acc, own["test_acc"].mean(axis=-1).ravel())
    np.testing.assert_allclose(np.exp(found.log_trace), own["trace"].mean(axis=-1).ravel())
    np.testing.assert_allclose(found.acc_error, 1 / np.sqrt(3))  # of n, n + 1, n + 2
    # Pairs (0, 1), (1, 2), (2, 0) of values x, x + 1, x + 2: without a model one pair is left.
    np.testing.assert_allclose(found.mc_error, np.sqrt(2 / 3 * (1 + 0 + 1)))


def test_a_trace_below_zero_has_no_logarithm():
    assert np.isnan(log_of_mean(np.array([[-1.0, -2.0]]))).all()


def test_a_high_rate_is_hot():
    config = configured("smoke", dataset="digits", axis="lr", lr="0.1,0.4")
    found = taxonomy_phases.as_grid(by_hand(config, config.grids[0]), config, config.grids[0])
    assert found.bs[:2].tolist() == [2.5, 10.0]  # 1 / rate, from hot to cold


def test_a_table_has_temperatures_down_and_widths_across():
    grid = taxonomy.released("noise", 1)
    widths, cold, (values,) = taxonomy_phases.tables(grid, grid.test_acc)
    i, j = list(cold).index(128), list(widths).index(8)
    assert values.shape == (13, 13) and values[i, j] == pytest.approx(46.0, abs=0.05)


def test_what_is_claimed_is_what_the_judge_of_grids_says(run):
    numbers = taxonomy_phases.measured(run.arrays, run.config)
    claimed, _ = taxonomy_claims.claimed(numbers, taxonomy_claims.STATEMENTS)
    found = taxonomy_phases.judged(run.arrays, run.config)
    assert found.keys() == claimed.keys()
    said = {id: value for id, value in found.items() if value is not None}
    assert all(claimed[id] == value for id, value in said.items())
    assert {"R1.clean.training", "R1.noise.mc"} <= said.keys()
    assert not said.keys() & {"R1.clean.cka", "R2.clean", "R4.noise", "R6.clean.share", "R10.hurts"}


def test_a_number_that_the_whole_grid_lacks_fails_and_of_a_smaller_grid_is_not_claimed(run, monkeypatch):
    monkeypatch.setattr(taxonomy_phases, "measured", lambda *_: {"R2.clean": 0.9, "R7.clean": np.nan})
    assert taxonomy_phases.judged(run.arrays, run.config) == {"R2.clean": None, "R7.clean": None}
    rank, cold = taxonomy_phases.claims(run.arrays, configured(dataset="digits"))
    assert (rank.id, rank.passed) == ("taxonomy.R2.clean", True)
    assert (cold.id, cold.passed) == ("taxonomy.R7.clean", False)


def test_the_clean_grid_is_the_one_without_noise_wherever_it_is_named(monkeypatch):
    seen = []
    monkeypatch.setattr(taxonomy_claims, "judge_grids", lambda *grids: seen.append(grids) or {})
    monkeypatch.setattr(
        taxonomy_phases, "own", lambda _, config: {g.name: g.noise for g in config.grids}
    )
    for noise in ("0,0.1", "0.1,0"):
        taxonomy_phases.measured({}, configured("smoke", dataset="digits", noise=noise))
    assert seen == [(0.0, 0.1)] * 2


def test_with_another_temperature_claims_do_not_speak_of_batches():
    rates, batches = (
        configured("smoke", dataset="digits", axis="lr"),
        configured("smoke", dataset="digits"),
    )
    said = "rank correlation of batch size and ln trace, at the coldest batch"
    assert taxonomy_phases.worded(said, batches) == said
    expected = "rank correlation of 1 / learning rate and ln trace, at the coldest temperature"
    assert taxonomy_phases.worded(said, rates) == expected


def test_the_costly_width_is_not_audited_wherever_it_is_named():
    config = configured(dataset="digits", width="2,0.25,1,0.5")
    assert config.audited == [(w, t) for w in (0.25, 0.5, 1.0) for t in (32, 128)]


def test_other_levels_of_noise_or_the_axis_of_data_claim_nothing(run):
    for flags in ({"noise": "0.1"}, {"noise": "0.1,0.2"}, {"noise": "0,0.1,0.2"}, {"axis": "data"}):
        assert taxonomy_phases.measured(run.arrays, configured("smoke", dataset="digits", **flags)) == {}


# ---- a run ------------------------------------------------------------------------------------------


def test_everything_of_a_pair_and_a_seed_is_in_the_results(run):
    grid, config = run.config.grids[0], run.config
    own = under(grid.name, run.arrays)
    shape = len(grid.loads), len(config.temperatures)
    for name in ("test_acc", "train_acc", "train_loss", "top", "trace", "steps", "settled", "norm"):
        assert own[name].shape == (*shape, config.seeds)
    pairs = len(cells.ring(config.seeds))
    for name in ("mc", "mc_fine", "peak", "barrier", "dip", "cka", "cka_unbiased", "agreement", "l2"):
        assert own[name].shape == (*shape, pairs)
    assert own["curve_error"].shape == (*shape, pairs, 21)
    assert run.arrays["audit mc"].shape == (1, 3)


def test_mc_is_made_of_the_errors_along_the_curve(run):
    own = under(run.config.grids[0].name, run.arrays)
    five = own["curve_error"][..., ::5]
    off = (five[..., :1] + five[..., -1:]) / 2 - five
    largest = np.take_along_axis(off, np.abs(off).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(own["mc"], largest, atol=1e-5)
    np.testing.assert_allclose(own["peak"], -five[..., 1:4].max(axis=-1), atol=1e-5)
    ends = 100 - own["train_acc"][..., :2].mean(axis=-1)  # of two seeds there is one pair
    np.testing.assert_allclose(five[..., [0, -1]].mean(axis=(-1, -2)), ends, atol=1e-4)


def test_a_grid_whose_networks_all_diverged_is_drawn_and_has_no_best_phase(run):
    own = run.config.grids[0].name
    lost = {n: np.full_like(a, np.nan, float) for n, a in run.arrays.items() if n.startswith(own)}
    figure = taxonomy_phases.plot(run.arrays | lost, run.config)
    assert "The best networks are in no phase above" in figure.get_suptitle()
    pictures = taxonomy_phases.more_pictures(run.arrays | lost, run.config)
    assert "comparisons" in pictures
    assert taxonomy_phases.claims(run.arrays | lost, run.config)


def test_the_released_grids_are_judged_without_data_or_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wedges, "Descent", lambda *_: pytest.fail("trained"), raising=False)
    command = [
        "--source=released",
        f"--out_dir={tmp_path / 'runs'}",
        f"--data_dir={tmp_path / 'none'}",
        "--check",
    ]
    assert runs.run(taxonomy_phases, command) == 0
    assert "13 of 13 claims hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--noise=1.5", "--noise=1.5: must be from 0 to 1."),
        ("--axis=depth", "--axis=depth: choose from width, data, lr, weight_decay."),
        ("--source=mine", "--source=mine: choose from trained, released."),
        ("--seeds=1", "--seeds=1: must be at least 2."),
        ("--model=gone.away:network", "--model=gone.away:network: no module gone.away can be imported"),
        ("--examples=5000", "--examples=5000, --more_examples=0: the grid takes up to 5000, and digits"),
        (
            "--axis=data --examples=1200",
            "--examples=1200, --more_examples=0: the grid takes up to 2400,",
        ),
        ("--noise=0.1,0.1", "--noise=0.1,0.1: name each value once."),
        ("--width=0.5,1,0.5", "--width=0.5,1,0.5: name each value once."),
        ("--lr=0.1,0.2", "--lr=0.1,0.2: several only with --axis=lr."),
        ("--examples=100,150", "--examples=100,150: several only with --axis=data."),
        ("--axis=weight_decay --weight_decay=0", "--weight_decay=0.0: must be above 0 as an axis."),
        ("--batch_size=16,300", "--batch_size=16,300: must be at most the 200 examples of"),
    ],
)
def test_a_flag_that_will_not_do_is_one_line(flag, says, tmp_path):
    command = ["--preset=smoke", "--dataset=digits", f"--out_dir={tmp_path / 'runs'}", *flag.split()]
    with pytest.raises(UsageError) as error:
        runs.run(taxonomy_phases, command)
    assert str(error.value).startswith(says) and "\n" not in str(error.value)
    assert not list(workplace.pathlib.Path(tmp_path).rglob("*.npz"))
