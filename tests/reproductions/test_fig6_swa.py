"""Figure 6's program as a user runs it: files, verdicts, bad input; and its reference numbers."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from reproductions import fig6_swa
from reproductions.bench import options, runs, store
from reproductions.bench.claims import Claim, Reference
from reproductions.bench.errors import UsageError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(smoke):
    return smoke("fig6_swa")


@pytest.fixture
def copy(run, tmp_path):
    """A run of one's own, to change: its folder, and the command that made it."""
    out = shutil.copytree(run.out_dir, tmp_path / "runs")
    return out / run.directory.relative_to(run.out_dir), ["--preset=smoke", f"--out_dir={out}"]


def preset(name, **changes):
    return fig6_swa.Config(**{**options.preset(fig6_swa.Config, name), **changes})


def test_a_run_leaves_its_files_and_names_its_folder_last(run):
    assert sorted(p.name for p in run.directory.iterdir()) == [
        "check.json", "claims.tex", "config.json", "figure.png", "results.npz", "series",
    ]  # fmt: skip
    assert "claims hold" in run.printed and run.printed.splitlines()[-1] == str(run.directory)
    config = json.loads((run.directory / "config.json").read_text())
    assert config["config"]["lr"] == [0.03, 0.1] and config["preset"] == "smoke"
    assert config["provenance"]["command"].startswith("python -m reproductions.fig6_swa --preset=smoke")
    assert config["provenance"]["software"]["tensorflow"]
    assert (run.directory / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_check_json_is_as_the_contract_says(run):
    check = json.loads((run.directory / "check.json").read_text())
    assert set(check) == {"figure", "preset", "passed", "judged", "reference", "claims"}
    assert check["figure"] == "fig6_swa" and check["preset"] == "smoke"
    assert check["claims"]
    for claim in check["claims"]:
        keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
        keys |= {"says", "threshold", "verdict", "at_paper"}
        assert set(claim) == keys and claim["id"].startswith("fig6.")
    assert check["passed"] == all(c["passed"] for c in check["claims"])


def trained(out_dir, seed, learning_rate):
    """What the training of this seed and rate left in the checkpoints."""
    for path in (out_dir / "checkpoints").glob("*.npz"):
        key, arrays = store.read(path)
        problem, recipe = (key["arguments"][i] for i in (0, 1))
        what = problem["Problem"]["seed"], recipe.get("Recipe", {}).get("learning_rate")
        if what == (seed, learning_rate):
            return arrays
    raise AssertionError("not trained")


def test_the_numbers_agree_with_the_model_trained_and_averaged_by_hand(run):
    """Recompute the last cycle from the snapshots alone, with the Keras model itself."""
    import keras

    import wedges
    from reproductions.common import data, models

    found, digits = run.arrays, data.load("digits")
    saved = trained(run.out_dir, 0, 0.1)
    snapshots = saved["snapshots"]  # [3, D]
    model = models.build(models.Model(), digits.shape, 10, seed=7)
    space = wedges.WeightSpace(model)

    def probabilities(theta):
        space.write(theta)
        return keras.ops.convert_to_numpy(keras.ops.softmax(model(digits.x_test)))

    accuracy = lambda p: (p.argmax(-1) == digits.y_test).mean()
    members = np.array([probabilities(s) for s in snapshots])
    at = lambda name: found[name][0, 1, -1]
    assert at("snapshot_accuracy") == pytest.approx(accuracy(members[-1]))
    assert at("ensemble_accuracy") == pytest.approx(accuracy(members.mean(0)))
    averaged = probabilities(snapshots.mean(0))
    assert at("swa_accuracy") == pytest.approx(accuracy(averaged))
    truth = np.arange(360), digits.y_test
    assert at("snapshot_test_loss") == pytest.approx(-np.log(members[-1][truth]).mean(), rel=1e-4)
    assert at("ensemble_test_loss") == pytest.approx(-np.log(members.mean(0)[truth]).mean(), rel=1e-4)
    assert at("swa_test_loss") == pytest.approx(-np.log(averaged[truth]).mean(), rel=1e-4)
    labels = members.argmax(-1)
    assert found["agreement"][0, 1, 1, 2] == pytest.approx((labels[1] == labels[2]).mean())
    assert found["distance"][0, 1, 1] == pytest.approx(
        np.linalg.norm(snapshots[2] - snapshots[1]), rel=1e-5
    )
    space.write(0.5 * (snapshots[1] + snapshots[2]))
    middle = models.loss()(digits.y_train[:500], model(digits.x_train[:500]))
    assert found["line_loss"][0, 1, 1, 2] == pytest.approx(float(middle), rel=1e-4)


def deviations(config, numbers):
    return Reference("fig6_swa").deviations("smoke", {"config": dataclasses.asdict(config)}, numbers)


def test_smoke_agrees_with_its_reference(run):
    """The regression test: tolerances are four standard deviations over the reference's seeds."""
    assert run.config == preset("smoke")
    assert deviations(run.config, fig6_swa.summary(run.arrays, run.config)) == []


@pytest.mark.slow
def test_seeds_in_processes_of_their_own_agree_with_the_reference_too(tmp_path):
    """Not bit for bit: each process has fewer threads, and so sums in another order."""
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", "--jobs=2"]
    run = subprocess.run(
        [*command, f"--out_dir={tmp_path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "checked the code: 18 of 18 numbers as on the reference machine" in run.stdout


def test_the_terminal_shows_progress_and_verdicts_and_nothing_of_tensorflows(tmp_path):
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", "--seeds=1"]
    short = ["--pretrain_epochs=1", "--lr=0.1", f"--out_dir={tmp_path}"]
    run = subprocess.run([*command, *short], cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [line for line in run.stderr.replace("\r", "\n").splitlines() if line.strip()]
    assert lines and all(line.startswith("seed 0, ") for line in lines)


def test_what_was_held_back_is_shown_when_starting_fails(capfd):
    import os

    from reproductions.bench import quiet

    with pytest.raises(ImportError), quiet.stderr():
        os.write(2, b"a notice that explains it")
        raise ImportError
    assert "a notice that explains it" in capfd.readouterr().err
    with quiet.stderr():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "name", ["lr 0.1: swa_accuracy", "lr 0.03: snapshot_train_loss", "lr 0.1: agreement"]
)
def test_wrong_numbers_fail_the_regression_test(run, name):
    numbers = fig6_swa.summary(run.arrays, run.config)
    for wrong in (0.5 * numbers[name] - 0.1, np.nan * numbers[name]):
        assert [o[0] for o in deviations(run.config, {**numbers, name: wrong})] == [name]
    missing = {k: v for k, v in numbers.items() if k != name}
    assert [o[0] for o in deviations(run.config, missing)] == [name]


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_the_reference_belongs_to_the_preset_as_it_is(name):
    reference = json.loads((ROOT / "reproductions/reference/fig6_swa.json").read_text())[name]
    settings = json.loads(store.canonical(dataclasses.asdict(preset(name))))
    assert reference["settings"] == {k: v for k, v in settings.items() if k not in ("seed", "seeds")}
    for number in reference["numbers"].values():
        assert number["n"] >= 3
        assert number["mean"] == pytest.approx(np.mean(number["values"]))
        assert number["spread"] == pytest.approx(np.std(number["values"], ddof=1))


def test_a_second_run_measures_nothing_again_and_plot_only_draws(copy, monkeypatch, capsys):
    folder, command = copy
    (folder / "figure.png").unlink()
    (folder / "check.json").unlink()
    monkeypatch.setattr(runs.devices, "start", lambda *_: pytest.fail("measured again"))
    for flags in ([], ["--plot_only"]):
        assert runs.run(fig6_swa, [*command, *flags]) == 0
        assert (folder / "figure.png").exists() and (folder / "check.json").exists()
        assert capsys.readouterr().out.splitlines()[-1] == str(folder)


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # importing them is an error
from reproductions import fig6_swa
from reproductions.bench import runs
runs.main(fig6_swa.__name__, sys.argv[1:])
"""


def test_plot_only_does_not_wait_for_tensorflow(copy):
    folder, command = copy
    (folder / "figure.png").unlink()
    program = [sys.executable, "-c", WITHOUT_TENSORFLOW, *command]
    subprocess.run([*program, "--plot_only"], cwd=ROOT, check=True, capture_output=True)
    assert (folder / "figure.png").exists()
    measured = subprocess.run([*program, "--lr=0.07"], cwd=ROOT, capture_output=True, text=True)
    assert measured.returncode == 1 and "tensorflow" in measured.stderr  # it can tell


def test_a_truncated_result_is_measured_again(run, copy, capfd):
    folder, command = copy
    whole = (folder / "results.npz").read_bytes()
    (folder / "results.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="--plot_only: no results"):
        runs.run(fig6_swa, [*command, "--plot_only"])
    assert runs.run(fig6_swa, command) == 0
    assert "is damaged" in capfd.readouterr().err
    for name, array in store.read(folder / "results.npz")[1].items():
        np.testing.assert_array_equal(array, run.arrays[name])


def test_results_of_other_code_are_measured_again_even_after_a_crash(run, copy, monkeypatch, capfd):
    folder, command = copy
    key, arrays = store.read(folder / "results.npz")
    wrong = {name: 0 * array for name, array in arrays.items()}
    store.save(folder / "results.npz", wrong, {**key, "software": key["software"] | {"code": "other"}})
    with monkeypatch.context() as patch:
        patch.setattr(fig6_swa.parallel, "over", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs.run(fig6_swa, command)
    assert "measuring again" in capfd.readouterr().err
    assert runs.run(fig6_swa, command) == 0
    found, again = store.read(folder / "results.npz")
    assert found == key
    for name, array in again.items():
        np.testing.assert_array_equal(array, run.arrays[name])


@pytest.mark.parametrize("content", [None, "{"])
def test_plot_only_does_without_a_readable_config(copy, content):
    folder, command = copy
    config = folder / "config.json"
    config.unlink() if content is None else config.write_text(content)
    assert runs.run(fig6_swa, [*command, "--plot_only"]) == 0


def test_a_reference_is_written_for_a_preset_as_it_is(run, copy, monkeypatch, tmp_path):
    monkeypatch.setattr(runs.claims_module, "Reference", lambda name: Reference(name, tmp_path))
    command = [*copy[1], "--write_reference"]
    assert runs.run(fig6_swa, command) == 0
    written = json.loads((tmp_path / "fig6_swa.json").read_text())["smoke"]
    assert written["provenance"]["machine"] and written["provenance"]["software"]["keras"]
    numbers = fig6_swa.summary(run.arrays, run.config)
    assert {name: n["values"] for name, n in written["numbers"].items()} == {
        name: values.tolist() for name, values in numbers.items()
    }
    made = fig6_swa.claims(run.arrays, run.config)
    assert written["verdicts"] == {c.id: c.passed for c in made}
    (tmp_path / "fig6_swa.json").write_text("not JSON")
    with pytest.raises(UsageError, match="fig6_swa.json is not JSON; restore it from version control"):
        runs.run(fig6_swa, command)


def test_check_gives_the_verdict_as_exit_status(copy, monkeypatch, capsys):
    fail = Claim("fig6.none", "never", "nobody", 1.0, "<", 0.0)
    hold = Claim("fig6.some", "always", "everybody", 1.0, ">", 0.0)
    command = [*copy[1], "--plot_only", "--check"]
    for claims, status in (([hold], 0), ([hold, fail], 1), ([], 1)):
        monkeypatch.setattr(fig6_swa, "claims", lambda *_, c=claims: c)
        assert runs.run(fig6_swa, command) == status
        printed = capsys.readouterr().out
        # A small preset's claim fails for the exit status, and is no failure of the paper.
        assert ("too small to judge" in printed) == (fail in claims) and "FAILS" not in printed
    monkeypatch.setattr(fig6_swa, "JUDGED_FROM", "smoke", raising=False)
    monkeypatch.setattr(fig6_swa, "claims", lambda *_: [fail])
    assert runs.run(fig6_swa, command) == 1 and "FAILS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lr=fast"], "--lr=fast: must be a number or several with commas"),
        (["--lr=-0.1"], "--lr=-0.1: must be above 0"),
        (["--lr=0.1,nan"], "--lr=0.1,nan: must be above 0"),
        (["--lr="], "--lr=: must be a number"),
        (["--width=-1"], "--width=-1: must be above 0"),
        (["--cycles=1"], "--cycles=1: must be at least 2"),
        (["--cycle_epochs=1.5"], "--cycle_epochs=1.5: must be a whole number"),
        (["--dropout=1"], "--dropout=1: must be from 0 to below 1"),
        (["--seed=-1"], "--seed=-1: must be from 0 to 1048575"),
        (["--dataset=imagenet"], "--dataset=imagenet: choose from digits, mnist1d, cifar10"),
        (["--optimizer=lion"], "--optimizer=lion: choose from sgd, momentum, adam"),
        (["--preset=huge"], "huge"),
        (["--width=1e308"], "--width=1e308: must be above 0 and at most 1000"),
        (["--tpu=here"], "--tpu=here: only with --strategy=tpu"),
        (["--address=10.0.0.1:1"], "--address=10.0.0.1:1: only with --backend=dask or"),
        (
            ["--backend=ray", "--address=127.0.0.1:1"],
            "--backend=ray: needs Ray|--address=127.0.0.1:1: no Ray",
        ),
        (["--depth=0"], "--depth=0: must be at least 1"),
        (["--model=vgg"], "--model=vgg: choose from simple_cnn, fc, lenet, resnet"),
        (["--activation=gelu"], "--activation=gelu: choose from tanh, relu"),
        (["--l2=-0.1"], "--l2=-0.1: must be at least 0"),
        (["--write_reference", "--plot_only"], "--write_reference: not with --plot_only"),
        (["--write_reference", "--lr=0.2"], "--write_reference: a preset's own settings only, not --lr"),
        (["--jobs=0"], "--jobs=0"),
        (["--strategy=cluster"], "--strategy=cluster"),
        (["--strategy=tpu"], "--strategy=tpu: this machine has no TPU"),
        (
            ["--backend=dask", "--address=tcp://127.0.0.1:1"],
            "--backend=dask: needs Dask|--address=tcp://127",
        ),
        (["--learning_rate=0.1"], "learning_rate"),
        (["quick"], "received 'quick'"),
        (["--plot_only"], "--plot_only: no results"),
    ],
)
def test_bad_input_is_one_line_status_two_and_nothing_written(flags, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("fig6_swa: ")
    assert any(w in printed.err for w in words.split("|"))
    assert not (tmp_path / "runs").exists()


def test_an_out_dir_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, ["--preset=smoke", f"--out_dir={tmp_path / 'file'}"])
    assert end.value.code == 2
    assert "--out_dir" in capsys.readouterr().err


def test_help_shows_every_flag_with_its_presets(capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, ["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    for flag in (
        "preset",
        "dataset",
        "data_dir",
        "out_dir",
        "seed",
        "plot_only",
        "check",
        "lr",
        "cycles",
    ):
        assert f"--{flag}" in printed
    assert "paper: 0.03,0.05,0.1" in printed and "python -m reproductions.fig6_swa --lr=0.1" in printed


# ---- claims, on numbers made by hand ----------------------------------------------------------------


def made(config, swa, snapshot, ensemble, barrier, agreement):
    """Arrays [1, rates, ...] in which each rate has the given last accuracies and barrier."""
    rates, cycles, points = len(config.lr), config.cycles, config.line_points
    line = np.ones((1, rates, cycles - 1, points))
    line[..., points // 2] += np.reshape(barrier, (1, rates, 1))
    grid = np.ones((1, rates, cycles, cycles)) * np.reshape(agreement, (1, rates, 1, 1))
    what = ("accuracy", "test_loss", "train_loss")
    per_cycle = {f"{p}_{w}": np.ones((1, rates, cycles)) for p in fig6_swa.PREDICTORS for w in what}
    for name, values in (("swa", swa), ("snapshot", snapshot), ("ensemble", ensemble)):
        per_cycle[f"{name}_accuracy"][0, :, -1] = values
    return per_cycle | {
        "line_loss": line,
        "agreement": grid,
        "distance": np.ones((1, rates, cycles - 1)),
    }


def verdicts(lr, **numbers):
    config = preset("paper", lr=lr)
    return {c.id: c.passed for c in fig6_swa.claims(made(config, **numbers), config)}


def test_the_papers_picture_passes_and_its_opposite_fails():
    good = {"swa": [0.7, 0.5], "snapshot": [0.69, 0.55], "ensemble": [0.705, 0.6], "barrier": [0.0, 0.2]}
    found = verdicts((0.03, 0.1), **good, agreement=[0.9, 0.6])
    assert len(found) == 7 and all(found.values())
    bad = {"swa": [0.68, 0.6], "snapshot": [0.69, 0.55], "ensemble": [0.705, 0.5], "barrier": [0.1, 0.0]}
    found = verdicts((0.03, 0.1), **bad, agreement=[0.6, 0.9])
    assert len(found) == 7 and not any(found.values())


def test_only_claims_about_the_rates_at_hand_are_made():
    one = {"swa": [0.5], "snapshot": [0.55], "ensemble": [0.6], "barrier": [0.2], "agreement": [0.6]}
    assert {i.split(".")[1] for i in verdicts((0.1,), **one)} == {"high"}
    assert {i.split(".")[1] for i in verdicts((0.02,), **one)} == {"low"}
    assert verdicts((0.05,), **one) == {}


@pytest.mark.parametrize("order", [(0.01, 0.03, 0.05, 0.1, 0.3), (0.3, 0.05, 0.03, 0.1, 0.01)])
def test_claims_are_of_the_lowest_low_and_the_highest_high_rate_in_any_order(order):
    low, high = fig6_swa.extremes(preset("paper", lr=order))
    assert (order[low], order[high]) == (0.01, 0.3)
    assert fig6_swa.extremes(preset("paper", lr=(0.05,))) == (None, None)


def test_a_claim_on_nan_fails():
    for relation in ("<", "<=", ">", ">="):
        claim = Claim("fig6.x", "", "", float("nan"), relation, 0.0)
        assert not claim.passed and claim.as_dict()["measured"] is None


@pytest.mark.cifar10
@pytest.mark.slow
def test_cifar10_from_the_command_line(tmp_path):
    """A short run on real CIFAR-10: the network learns, every claim of its rates is measured."""
    flags = ["--lr=0.1", "--seeds=1", "--pretrain_epochs=2", "--cycles=2", "--cycle_epochs=1"]
    flags += ["--line_examples=1000"]
    command = [sys.executable, "-m", "reproductions.fig6_swa", f"--out_dir={tmp_path}", *flags]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    folder = pathlib.Path(run.stdout.splitlines()[-1])
    _, found = store.read(folder / "results.npz")
    assert found["start_accuracy"][0, 0] > 0.45
    ids = [c["id"] for c in json.loads((folder / "check.json").read_text())["claims"]]
    assert ids == ["fig6.high.swa_vs_snapshot", "fig6.high.ensemble_vs_snapshot", "fig6.high.barrier"]
