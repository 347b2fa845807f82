"""Intrinsic dimension: its program, its claims, training inside a cut, the networks of Li et al."""

import contextlib
import dataclasses
import io
import json
import pathlib

import numpy as np
import pytest

import wedges
from reproductions import intrinsic_dimension
from reproductions.bench import runs
from reproductions.common import data, models, training

RECIPE = training.Recipe("adam", 0.1, epochs=2)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One run of the smoke preset: (exit status, its folder, the out_dir, standard output)."""
    out = tmp_path_factory.mktemp("runs")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = runs.run(intrinsic_dimension, ["--preset=smoke", f"--out_dir={out}"])
    text = printed.getvalue()
    return status, pathlib.Path(text.splitlines()[-1]), out, text


def test_a_run_leaves_its_four_files_and_its_claims(smoke):
    status, folder, _, printed = smoke
    assert status == 0 and "claims hold" in printed
    assert sorted(p.name for p in folder.iterdir()) == [
        "check.json", "config.json", "figure.png", "results.npz",
    ]  # fmt: skip
    assert folder.name.startswith("smoke-digits-")
    check = json.loads((folder / "check.json").read_text())
    assert check["figure"] == "intrinsic_dimension" and check["preset"] == "smoke"
    assert [c["id"] for c in check["claims"]] == ["intrinsic.rises", "intrinsic.d90"]
    keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
    assert all(set(c) == keys for c in check["claims"])


def test_the_arrays_are_of_all_weights_first_and_then_of_each_cut(smoke):
    found = np.load(smoke[1] / "results.npz", allow_pickle=False)
    np.testing.assert_array_equal(found["dims"], [20, 400])
    assert found["ambient"] == 14_378  # 160 + 4640 + 9248 + 330
    for name in intrinsic_dimension.MEASURED:
        assert found[name].shape == (1, 3) and np.isfinite(found[name]).all()
    assert found["test_accuracy"][0, 0] > 0.9  # all weights: digits are easy
    assert (found["test_accuracy"][0, 1:] < found["test_accuracy"][0, 0]).all()
    assert found["train_loss"][0, 0] < found["train_loss"][0, 2] < found["train_loss"][0, 1]


def test_a_second_run_and_one_with_another_cut_train_only_what_is_new(smoke, monkeypatch, capsys):
    out = smoke[2]
    before = set((out / "checkpoints").iterdir())
    assert len(before) == 3
    assert runs.run(intrinsic_dimension, ["--preset=smoke", f"--out_dir={out}"]) == 0
    assert "finished before" in capsys.readouterr().err
    assert runs.run(intrinsic_dimension, ["--preset=smoke", "--dims=7", f"--out_dir={out}"]) == 0
    assert len(set((out / "checkpoints").iterdir()) - before) == 1
    monkeypatch.setattr(intrinsic_dimension, "measure", lambda *_: pytest.fail("measured again"))
    (smoke[1] / "figure.png").unlink()
    flags = ["--preset=smoke", f"--out_dir={out}", "--plot_only"]
    assert runs.run(intrinsic_dimension, flags) == 0
    assert (smoke[1] / "figure.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dims=0"], "--dims=0: must be at least 1"),
        (["--dims=5,1e3"], "--dims=5,1e3: must be a whole number or several with commas"),
        (["--dims=10000000"], "--dims=10000000: at most as many as the network has weights, 14378"),
        (["--dims=14379"], "--dims=14379: at most"),
        (["--model=lenet"], "--model=lenet: needs images that 2 convolutions of 5x5 fit into"),
        (["--model=vgg"], "--model=vgg: choose from simple_cnn, fc, lenet, resnet"),
        (["--method=foo"], "--method=foo: choose from auto, dense, transform"),
        (["--epochs=0"], "--epochs=0: must be at least 1"),
        (["--lr=0"], "--lr=0: must be above 0, e.g. 0.001"),
        (["--batch_size=0"], "--batch_size=0: must be at least 1"),
        (["--width=0"], "--width=0: must be above 0"),
        (["--activation=gelu"], "--activation=gelu: choose from tanh, relu"),
        (["--dataset=imagenet"], "--dataset=imagenet: unknown data set"),
    ],
)
def test_bad_input_is_one_line_status_two_and_nothing_written(flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(intrinsic_dimension, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
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
    paper = intrinsic_dimension.PRESETS["paper"]
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
    config = intrinsic_dimension.Config(**{**intrinsic_dimension.PRESETS[preset], **changes})
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


def test_dims_in_any_order_are_judged_alike():
    order = np.array([3, 0, 5, 1, 4, 2])
    arrays = made(LI)
    shuffled = made([LI[0], *np.array(LI[1:])[order]], dims=arrays["dims"][order])
    assert verdicts(shuffled) == verdicts(arrays)


def test_dimension_at_is_log_linear_between_the_measured():
    at = intrinsic_dimension.dimension_at
    assert at([10, 1000], [0.2, 0.6], 0.4) == pytest.approx(100)  # half way in log d
    assert at([1000, 10], [0.6, 0.2], 0.4) == pytest.approx(100)  # in any order
    assert at([10, 80], [0.1, 0.4], 0.2) == pytest.approx(20)  # a third of three octaves
    assert at([10, 20, 40], [0.5, 0.3, 0.9], 0.4) == 10  # the first point is above already
    assert at([10, 20, 40], [0.1, 0.5, 0.4], 0.5) == pytest.approx(20)  # the first time
    assert np.isnan(at([10, 20], [0.1, 0.3], 0.31))
    assert np.isnan(at([10, 20], [0.1, 0.3], np.nan))


def test_d90_of_each_seed_and_of_their_mean():
    each, mean = intrinsic_dimension._d90(made([[1, 0.8, 1.0], [0.8, 0.72, 0.8]], dims=(10, 1000)))
    assert each == pytest.approx([100, 10])
    # Means 0.9, 0.76, 0.9; the target 0.81 is 5/14 of the way up.
    assert mean == pytest.approx(10 * 100 ** (5 / 14))


# ---- training inside a cut --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def landscape():
    digits = data.load("digits")
    model = models.build(models.Model("fc", width=0.05), digits.shape, 10, seed=0)
    return wedges.NetworkLandscape(
        model, digits.x_train[:320], digits.y_train[:320], models.LOSS, seed=0, batch_size=32
    )


@pytest.fixture(scope="module")
def start(landscape):
    return landscape.space.read().numpy()


def train(landscape, start, folder, subspace, recipe=RECIPE):
    run = runs.Run(data_dir=None, checkpoints=pathlib.Path(folder))
    arguments = {"key": {"test": 1}, "run": run, "label": "test"}
    return training.train(landscape, start, recipe, subspace=subspace, **arguments)


@pytest.mark.parametrize("method", ["dense", "transform"])
def test_a_training_inside_a_cut_descends_and_ends_on_the_cut(landscape, start, tmp_path, method):
    cut = wedges.random_cut(start, 40, seed=3, method=method)
    found = train(landscape, start, tmp_path, cut)
    moved = np.linalg.norm(found.theta - start)
    assert moved > 0.1 and cut.distance(found.theta).numpy() < 1e-5 * moved
    np.testing.assert_array_equal(found.snapshots[-1], found.theta)
    assert found.losses[-5:].mean() < found.losses[:5].mean() - 0.1  # nats
    other = wedges.random_cut(start, 40, seed=4, method=method)
    assert other.distance(found.theta).numpy() > 0.5 * moved  # it can tell


def test_its_steps_are_gradient_steps_projected_on_the_cut(landscape, start, tmp_path):
    """By hand: theta - rate P^T P g, with the landscape's own minibatches."""
    import tensorflow as tf

    cut = wedges.random_cut(start, 10, seed=1, method="dense")
    found = train(landscape, start, tmp_path, cut, training.Recipe("sgd", 0.1, epochs=1))
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


def test_another_cut_is_another_checkpoint_and_the_same_is_loaded(
    landscape, start, tmp_path, monkeypatch
):
    once = dataclasses.replace(RECIPE, epochs=1)
    cuts = [
        wedges.random_cut(start, 7, seed=0, method="dense"),
        wedges.random_cut(start, 7, seed=1, method="dense"),
        wedges.random_cut(start, 7, seed=0, method="transform"),
        wedges.random_cut(start, 7, seed=1, method="transform"),
        wedges.random_cut(start, 8, seed=0, method="transform"),
        None,
    ]
    ends = []
    for count, cut in enumerate(cuts, start=1):
        ends.append(train(landscape, start, tmp_path, cut, once).theta)
        assert len(list(tmp_path.iterdir())) == count
    assert len({end.tobytes() for end in ends}) == len(cuts)
    monkeypatch.setattr(wedges, "Descent", lambda *_: pytest.fail("trained twice"), raising=False)
    for cut, end in zip(cuts, ends, strict=True):
        np.testing.assert_array_equal(train(landscape, start, tmp_path, cut, once).theta, end)


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["dense", "transform"])
def test_a_training_that_stopped_anywhere_ends_bit_for_bit_the_same(
    landscape, start, tmp_path, monkeypatch, method
):
    cut = wedges.random_cut(start, 20, seed=3, method=method)
    whole = train(landscape, start, tmp_path / "whole", cut)
    monkeypatch.setattr(training, "_STEPS_A_CALL", 7)
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_SAVES", 0.0)
    save, stopped = training.store.save, []

    def stop_at(step, path, arrays, key):
        save(path, arrays, key)
        if len(arrays["losses"]) >= step:
            stopped.append(len(arrays["losses"]))
            raise Killed

    for step in (7, 14):
        with monkeypatch.context() as patch:
            patch.setattr(training.store, "save", lambda *given, step=step: stop_at(step, *given))
            with pytest.raises(Killed):
                train(landscape, start, tmp_path / "parts", cut)
    assert stopped == [7, 14] and len(whole.losses) == 20
    parts = train(landscape, start, tmp_path / "parts", cut)
    np.testing.assert_array_equal(parts.losses, whole.losses)
    np.testing.assert_array_equal(parts.theta, whole.theta)
    np.testing.assert_array_equal(parts.snapshots, whole.snapshots)
