"""Intrinsic dimension: its program, its claims, training inside a cut, the networks of Li et al."""

import json
import shutil

import numpy as np
import pytest

import wedges
from reproductions import intrinsic_dimension
from reproductions.bench import devices, options, runs, workplace
from reproductions.common import data, models, networks, training

RECIPE = training.Recipe("adam", 0.1, epochs=2)


@pytest.fixture(scope="module")
def run(smoke):
    return smoke("intrinsic_dimension")


def test_a_run_leaves_its_files_and_its_claims(run):
    assert "claims hold" in run.printed
    assert sorted(p.name for p in run.directory.iterdir()) == [
        "check.json", "claims.tex", "config.json", "figure.png", "results.npz", "series",
    ]  # fmt: skip
    assert run.directory.name.startswith("smoke-digits-")
    check = json.loads((run.directory / "check.json").read_text())
    assert check["figure"] == "intrinsic_dimension" and check["preset"] == "smoke"
    assert [c["id"] for c in check["claims"]] == ["intrinsic.rises", "intrinsic.d90"]
    keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
    keys |= {"says", "threshold", "verdict", "at_paper"}
    assert all(set(c) == keys for c in check["claims"])


def test_the_arrays_are_of_all_weights_first_and_then_of_each_cut(run):
    found = run.arrays
    np.testing.assert_array_equal(found["dims"], [20, 400])
    assert found["ambient"] == 14_378  # 160 + 4640 + 9248 + 330
    for name in ("test_accuracy", "train_accuracy", "test_loss", "train_loss"):
        assert found[name].shape == (1, 3) and np.isfinite(found[name]).all()
    assert found["test_accuracy"][0, 0] > 0.9  # all weights: digits are easy
    assert (found["test_accuracy"][0, 1:] < found["test_accuracy"][0, 0]).all()
    assert found["train_loss"][0, 0] < found["train_loss"][0, 2] < found["train_loss"][0, 1]


def test_a_second_run_and_one_with_another_cut_train_only_what_is_new(
    run, tmp_path, monkeypatch, capsys
):
    out = shutil.copytree(run.out_dir, tmp_path / "runs")
    before = set((out / "checkpoints").iterdir())
    assert len(before) == 2 * 3  # each is trained, and evaluated
    command = ["--preset=smoke", f"--out_dir={out}"]
    assert runs.run(intrinsic_dimension, command) == 0
    assert "finished before" in capsys.readouterr().err
    assert runs.run(intrinsic_dimension, [*command, "--dims=7"]) == 0
    assert len(set((out / "checkpoints").iterdir()) - before) == 2
    monkeypatch.setattr(intrinsic_dimension, "measure", lambda *_: pytest.fail("measured again"))
    folder = out / run.directory.relative_to(run.out_dir)
    (folder / "figure.png").unlink()
    assert runs.run(intrinsic_dimension, [*command, "--plot_only"]) == 0
    assert (folder / "figure.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dims=0"], "--dims=0: must be at least 1"),
        (["--dims=5,1e3"], "--dims=5,1e3: must be a whole number or several with commas"),
        (["--dims=10000000"], "--dims=10000000: at most as many as the network has weights, 14378"),
        (["--dims=14379"], "--dims=14379: at most"),
        (["--model=lenet"], "--model=lenet: needs inputs that 2 convolutions of 5x5 fit into"),
        (["--model=vgg"], "--model=vgg: choose from simple_cnn, fc, lenet, resnet"),
        (["--method=foo"], "--method=foo: choose from auto, dense, transform"),
        (["--epochs=0"], "--epochs=0: must be at least 1"),
        (["--lr=0"], "--lr=0: must be above 0"),
        (["--batch_size=0"], "--batch_size=0: must be at least 1"),
        (["--width=0"], "--width=0: must be above 0"),
        (["--activation=gelu"], "--activation=gelu: choose from tanh, relu"),
        (["--dataset=imagenet"], "--dataset=imagenet: choose from digits, mnist1d, cifar10"),
    ],
)
def test_bad_input_is_one_line_status_two_and_nothing_written(flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(
            intrinsic_dimension.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags]
        )
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("intrinsic_dimension: ") and words in printed.err
    assert not list((tmp_path / "runs").glob("*/*"))


# ---- what is published, and the claims on numbers made by hand --------------------------------------


def test_what_li_et_al_published():
    known = intrinsic_dimension.PUBLISHED["cifar10", "lenet"]
    assert dict(zip(known["dims"], known["accuracy"], strict=True)) == {
        250: 0.318, 500: 0.390, 1000: 0.462, 2000: 0.514, 5000: 0.566,
    }  # fmt: skip
    assert known["baseline"] == 0.584 and known["d90"] == 2900
    assert intrinsic_dimension.PUBLISHED["mnist", "fc"]["d90"] == 750
    paper = options.preset(intrinsic_dimension.Config, "paper")
    assert (paper["dataset"], paper["model"]) == ("cifar10", "lenet")
    assert set(known["dims"]) <= set(paper["dims"]) and paper["batch_size"] == 128


@pytest.mark.parametrize(
    ("name", "shape", "weights"),
    [("lenet", (32, 32, 3), 62_006), ("lenet", (28, 28, 1), 44_426), ("fc", (28, 28, 1), 199_210)],
)
def test_li_et_als_networks_have_as_many_weights(name, shape, weights):
    assert models.build(models.Model(name), shape, 10, seed=0).count_params() == weights


def made(accuracy, dims=(250, 500, 1000, 2000, 2900, 5000), ambient=62_006):
    """Arrays of one seed, or of several rows: all weights first."""
    return {
        "test_accuracy": np.atleast_2d(np.array(accuracy, float)),
        "dims": np.array(dims),
        "ambient": np.array(ambient),
    }


LI = [0.584, 0.318, 0.390, 0.462, 0.514, 0.5256, 0.566]  # 90% of 0.584 is 0.5256


def verdicts(arrays, preset="paper", **changes):
    settings = {**options.preset(intrinsic_dimension.Config, preset), **changes}
    config = intrinsic_dimension.Config(**settings)
    return {
        c.id.removeprefix("intrinsic."): c.passed for c in intrinsic_dimension.claims(arrays, config)
    }


def test_li_et_als_own_numbers_hold_every_claim():
    found = verdicts(made(LI))
    assert set(found) == {
        "rises", "d90", "li.250", "li.500", "li.1000", "li.2000", "li.5000", "li.all", "li.d90",
    }  # fmt: skip
    assert all(found.values())


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({1: 0.28}, {"li.250"}),
        ({4: 0.48}, {"li.2000"}),
        ({6: 0.60}, {"li.5000"}),
        ({1: np.nan}, {"rises", "li.250"}),
        # 90% of 0.62 is 0.558: first reached between 2900 and 5000, within half an octave.
        ({0: 0.62, 5: 0.555}, {"li.all"}),
        # 0.5256 reached between 1000 and 2000: nearer 1.2 x 1000 than 2900 / sqrt(2).
        ({3: 0.490, 4: 0.543}, {"li.d90"}),
        ({0: np.nan}, {"d90", "li.all", "li.d90"}),
    ],
)
def test_each_claim_fails_alone(change, failing):
    accuracy = [change.get(i, a) for i, a in enumerate(LI)]
    assert {name for name, passed in verdicts(made(accuracy)).items() if not passed} == failing


def test_d90_is_a_share_of_all_weights():
    numbers = made([1.0, 0.5, 0.95], dims=(10, 200), ambient=2000)
    assert verdicts(numbers, "quick") == {"rises": True, "d90": True}  # 0.9 before d = 200
    assert verdicts(made([1.0, 0.5, 0.95], (10, 400), 2000), "quick")["d90"] is False
    assert verdicts(made([1.0, 0.5, 0.8], (10, 200), 2000), "quick")["d90"] is False  # never
    assert verdicts(made([1.0, 0.9, 0.6], (10, 200), 2000), "quick")["rises"] is False


def test_only_claims_about_the_run_at_hand_are_made():
    assert set(verdicts(made(LI), width=0.5)) == {"rises", "d90"}
    assert set(verdicts(made(LI), model="simple_cnn")) == {"rises", "d90"}
    one = made([0.584, 0.390], dims=(500,))
    assert set(verdicts(one)) == {"d90", "li.500", "li.all", "li.d90"}


def drawn(test_loss, train_loss, accuracy=LI, preset="paper", **changes):
    """The picture of these numbers, all weights first."""
    settings = {**options.preset(intrinsic_dimension.Config, preset), **changes}
    losses = {"test_loss": np.atleast_2d(test_loss), "train_loss": np.atleast_2d(train_loss)}
    arrays = made(accuracy) | losses | {"train_accuracy": np.atleast_2d(accuracy)}
    return intrinsic_dimension.plot(arrays, intrinsic_dimension.Config(**settings))


def test_the_title_says_d90_and_whether_all_weights_overfit():
    falling = [1.0, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3]  # all weights, then d = 250 .. 5000
    figure = drawn(falling, falling)
    assert figure.get_suptitle().startswith("2,900 of 62,006 dimensions reach 90% of the accuracy")
    assert figure.axes[1].get_title() == "Loss against d"
    over = drawn([1.55, *falling[1:]], falling).axes[1].get_title().replace("\n", " ")
    assert over == "All weights overfit: cuts of 2,000 dimensions or more have less test loss"
    # Less training loss, too, has a cut that is trained further; and a last cut that is worse ends it.
    assert drawn([1.55, *falling[1:]], [1.4, *falling[1:]]).axes[1].get_title() == "Loss against d"
    assert drawn([1.55, *falling[1:6], 1.6], falling).axes[1].get_title() == "Loss against d"
    never = drawn(falling, falling, accuracy=[0.9, *LI[1:]])
    assert never.get_suptitle().startswith("Training inside a random cut")
    assert drawn(falling, falling, accuracy=[np.nan, *LI[1:]]).axes


def test_li_et_als_numbers_stand_beside_ours_where_they_are_known():
    theirs = lambda figure: [
        line for line in figure.axes[0].lines if "Li et al." in str(line.get_label())
    ]
    (known,) = theirs(drawn(LI, LI))
    assert known.get_xdata().tolist() == [250, 500, 1000, 2000, 5000, 62_006]
    np.testing.assert_allclose(known.get_ydata(), [31.8, 39.0, 46.2, 51.4, 56.6, 58.4])
    (wider,) = theirs(drawn(LI, LI, width=0.5))
    assert len(wider.get_xdata()) == 5  # all weights of another width are not theirs
    assert not theirs(drawn(LI, LI, model="simple_cnn"))


def test_dims_in_any_order_are_judged_alike():
    order = np.array([3, 0, 5, 1, 4, 2])
    arrays = made(LI)
    shuffled = made([LI[0], *np.array(LI[1:])[order]], dims=arrays["dims"][order])
    assert verdicts(shuffled) == verdicts(arrays)


def test_d90_is_log_linear_between_the_measured_which_may_come_in_any_order_and_twice():
    at = lambda dims, accuracy: intrinsic_dimension.d90(made([[1.0, *accuracy]], dims=dims))[1]
    assert at((10, 1000), (0.8, 1.0)) == pytest.approx(100)  # half way in log d
    assert at((1000, 10), (1.0, 0.8)) == pytest.approx(100)
    assert at((1000, 10, 10), (1.0, 0.8, 0.8)) == pytest.approx(100)
    assert at((10, 20, 40), (0.95, 0.3, 0.99)) == 10  # the first is enough already
    assert np.isnan(at((10, 20), (0.1, 0.89)))


def test_d90_of_each_seed_and_of_their_mean():
    each, mean = intrinsic_dimension.d90(made([[1, 0.8, 1.0], [0.8, 0.72, 0.8]], dims=(10, 1000)))
    assert each == pytest.approx([100, 10])
    # Means 0.9, 0.76, 0.9; the target 0.81 is 5/14 of the way up.
    assert mean == pytest.approx(10 * 100 ** (5 / 14))


def three_seeds():
    """Accuracies a little apart: all weights the same, d_int90 of 10, 10 * 100 ** 0.5 and 1000."""
    accuracy = [[1.0, 0.9, 0.95], [1.0, 0.8, 1.0], [1.0, 0.6, 0.9]]
    arrays = made(accuracy, dims=(10, 1000), ambient=10_000)
    return arrays | {"train_accuracy": arrays["test_accuracy"]}


def test_the_reference_guards_the_spread_of_d90_over_seeds():
    config = intrinsic_dimension.Config(**options.preset(intrinsic_dimension.Config, "paper"))
    assert config.seeds == 3
    found = intrinsic_dimension.summary(three_seeds(), config)
    np.testing.assert_allclose(found["d_int90 / D"], [1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(found["d 10: test_accuracy"], [0.9, 0.8, 0.6])
    never = three_seeds()
    never["test_accuracy"][1, 1:] = 0.5
    assert "d_int90 / D" not in intrinsic_dimension.summary(never, config)


def test_claims_compare_the_mean_over_seeds_and_say_so():
    spread = np.array([[0.05], [-0.05], [0.0]])
    assert all(verdicts(made(np.array(LI) + spread)).values())
    assert not verdicts(made(np.array(LI) + spread + 0.04))["li.250"]
    for seeds, words in ((3, "(mean over seeds)"), (1, "(of one seed)")):
        settings = {**options.preset(intrinsic_dimension.Config, "paper"), "seeds": seeds}
        config = intrinsic_dimension.Config(**settings)
        assert all(words in c.statement for c in intrinsic_dimension.claims(made(LI), config))


def test_the_picture_has_bars_of_one_standard_error():
    arrays = three_seeds()
    arrays |= {f"{split}_loss": 1 - arrays[f"{split}_accuracy"] for split in ("test", "train")}
    settings = {**options.preset(intrinsic_dimension.Config, "paper"), "dataset": "digits"}
    config = intrinsic_dimension.Config(**settings)
    figure = intrinsic_dimension.plot(arrays, config)
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()  # d = 10, d = 1000, all weights
    error = np.std([90, 80, 60], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(bars[0][:, 1], [230 / 3 - error, 230 / 3 + error])
    assert "bars: standard errors" in figure.get_suptitle()
    each = np.array([10, 100, 1000])
    said = [t.get_text() for t in figure.axes[0].texts]
    assert any(t.endswith(f"± {np.std(each, ddof=1) / np.sqrt(3):,.0f}") for t in said)


# ---- training inside a cut --------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def place(tmp_path):
    place = workplace.Workplace(tmp_path / "checkpoints")
    with workplace.at(devices.start(place)):
        yield place


@pytest.fixture
def problem():
    network = models.Model("fc", width=0.05)
    return networks.Problem(data.source("digits"), network, 32, initial=0, seed=0, examples=320)


@pytest.mark.parametrize("method", ["dense", "transform"])
def test_a_training_inside_a_cut_descends_and_ends_on_the_cut(problem, method):
    start = networks.start(problem)
    found = training.train(problem, RECIPE, label="", cut=training.Cut(40, 3, method))
    cut = wedges.random_cut(start, 40, seed=3, method=method)
    moved = np.linalg.norm(found.theta - start)
    assert moved > 0.1 and cut.distance(found.theta).numpy() < 1e-5 * moved
    np.testing.assert_array_equal(found.snapshots, found.theta[None])
    assert found.losses[-5:].mean() < found.losses[:5].mean() - 0.1  # nats
    other = wedges.random_cut(start, 40, seed=4, method=method)
    assert other.distance(found.theta).numpy() > 0.5 * moved  # it can tell


def test_its_steps_are_gradient_steps_projected_on_the_cut(problem):
    """By hand: theta - rate P^T P g, with the landscape's own minibatches."""
    import tensorflow as tf

    start, landscape = networks.start(problem), networks.landscape(problem)
    recipe = training.Recipe("sgd", 0.1, epochs=1)
    found = training.train(problem, recipe, label="", cut=training.Cut(10, 1, "dense"))
    cut = wedges.random_cut(start, 10, seed=1, method="dense")
    rows, theta = np.array(cut.directions.rows), tf.constant(start)
    assert rows.shape == (10, landscape.dimension)
    for step in range(10):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = landscape.sample(theta, tf.constant(step))
        gradient = tape.gradient(loss, theta).numpy()
        np.testing.assert_allclose(found.losses[step], loss, rtol=1e-4)
        theta = theta - tf.constant(0.1 * (rows @ gradient) @ rows)
    np.testing.assert_allclose(found.theta, theta, atol=1e-5)
    assert np.abs(found.theta - start).max() > 1e-3
