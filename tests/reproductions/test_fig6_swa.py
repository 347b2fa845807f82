"""Figure 6's program as a user runs it: files, verdicts, bad input; and its reference numbers."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from reproductions import fig6_swa
from reproductions.bench import runs, store
from reproductions.bench.claims import Claim, Reference
from reproductions.bench.errors import UsageError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One run of the smoke preset: (exit status, its folder, the out_dir, standard output)."""
    import contextlib
    import io

    out = tmp_path_factory.mktemp("runs")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = runs.run(fig6_swa, ["--preset=smoke", f"--out_dir={out}"])
    text = printed.getvalue()
    return status, pathlib.Path(text.splitlines()[-1]), out, text


def arrays(folder):
    return dict(np.load(folder / "results.npz", allow_pickle=False))


def test_a_run_leaves_its_four_files_and_names_its_folder_last(smoke):
    status, folder, _, printed = smoke
    assert status == 0
    assert sorted(p.name for p in folder.iterdir()) == [
        "check.json", "config.json", "figure.png", "results.npz",
    ]  # fmt: skip
    assert "claims hold" in printed
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["lr"] == [0.03, 0.1] and config["preset"] == "smoke"
    assert config["provenance"]["command"].startswith("python -m reproductions.fig6_swa --preset=smoke")
    assert config["provenance"]["software"]["tensorflow"]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_check_json_is_as_the_contract_says(smoke):
    check = json.loads((smoke[1] / "check.json").read_text())
    assert set(check) == {"figure", "preset", "passed", "claims"}
    assert check["figure"] == "fig6_swa" and check["preset"] == "smoke"
    assert check["claims"]
    for claim in check["claims"]:
        keys = {"id", "statement", "source", "measured", "expected", "relation", "passed"}
        assert set(claim) == keys and claim["id"].startswith("fig6.")
    assert check["passed"] == all(c["passed"] for c in check["claims"])


def test_the_numbers_agree_with_the_model_trained_and_averaged_by_hand(smoke):
    """Recompute the last cycle from the snapshots alone, with the Keras model itself."""
    import keras

    import wedges
    from reproductions.common import data, models

    _, folder, out, _ = smoke
    found = arrays(folder)
    digits = data.load("digits")
    for path in (out / "checkpoints").glob("*.npz"):
        saved = dict(np.load(path, allow_pickle=False))
        key = json.loads(str(saved["__key__"]))
        if key.get("recipe", {}).get("learning_rate") == 0.1 and key["seed"] == 0:
            break
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
    middle = models.LOSS(digits.y_train[:500], model(digits.x_train[:500]))
    assert found["line_loss"][0, 1, 1, 2] == pytest.approx(float(middle), rel=1e-4)


def test_smoke_agrees_with_its_reference(smoke):
    """The regression test: tolerances are four standard deviations over the reference's seeds."""
    _, folder, _, _ = smoke
    config = fig6_swa.Config(**fig6_swa.PRESETS["smoke"])
    numbers = fig6_swa.summary(arrays(folder), config)
    assert Reference("fig6_swa").deviations("smoke", key(config), numbers) == []


def test_seeds_in_processes_of_their_own_agree_with_the_reference_too(tmp_path):
    """Not bit for bit: each process has fewer threads, and so sums in another order."""
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", "--jobs=2"]
    run = subprocess.run(
        [*command, f"--out_dir={tmp_path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "reference: 18 of 18 numbers agree" in run.stdout


def test_the_terminal_shows_progress_and_verdicts_and_nothing_of_tensorflows(tmp_path):
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", "--seeds=1"]
    run = subprocess.run(
        [*command, f"--out_dir={tmp_path}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
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
def test_wrong_numbers_fail_the_regression_test(smoke, name):
    _, folder, _, _ = smoke
    config = fig6_swa.Config(**fig6_swa.PRESETS["smoke"])
    numbers = fig6_swa.summary(arrays(folder), config)
    for wrong in (0.5 * numbers[name] - 0.1, np.nan * numbers[name]):
        off = Reference("fig6_swa").deviations("smoke", key(config), {**numbers, name: wrong})
        assert [o[0] for o in off] == [name]
    missing = {k: v for k, v in numbers.items() if k != name}
    assert [o[0] for o in Reference("fig6_swa").deviations("smoke", key(config), missing)] == [name]


def key(config):
    import dataclasses

    return {"config": dataclasses.asdict(config)}


@pytest.mark.parametrize("preset", ["smoke", "quick", "paper"])
def test_the_reference_belongs_to_the_preset_as_it_is(preset):
    reference = json.loads((ROOT / "reproductions/reference/fig6_swa.json").read_text())[preset]
    config = fig6_swa.Config(**fig6_swa.PRESETS[preset])
    settings = json.loads(store.canonical(key(config)))["config"]
    assert reference["settings"] == {k: v for k, v in settings.items() if k not in ("seed", "seeds")}
    for number in reference["numbers"].values():
        assert number["n"] >= 3
        assert number["mean"] == pytest.approx(np.mean(number["values"]))
        assert number["spread"] == pytest.approx(np.std(number["values"], ddof=1))


def test_a_second_run_measures_nothing_again_and_plot_only_draws(smoke, monkeypatch, capsys):
    _, folder, out, _ = smoke
    (folder / "figure.png").unlink()
    (folder / "check.json").unlink()
    monkeypatch.setattr(fig6_swa, "measure", lambda *_: pytest.fail("measured again"))
    for flags in ([], ["--plot_only"]):
        assert runs.run(fig6_swa, ["--preset=smoke", f"--out_dir={out}", *flags]) == 0
        assert (folder / "figure.png").exists() and (folder / "check.json").exists()
        assert capsys.readouterr().out.splitlines()[-1] == str(folder)


def test_plot_only_takes_less_than_five_seconds(smoke):
    started = time.monotonic()
    command = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", f"--out_dir={smoke[2]}"]
    subprocess.run([*command, "--plot_only"], cwd=ROOT, check=True, capture_output=True)
    assert time.monotonic() - started < 5


def test_a_truncated_result_is_measured_again(smoke, capfd):
    _, folder, out, _ = smoke
    before = arrays(folder)
    whole = (folder / "results.npz").read_bytes()
    (folder / "results.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="--plot_only: no results"):
        runs.run(fig6_swa, ["--preset=smoke", f"--out_dir={out}", "--plot_only"])
    assert runs.run(fig6_swa, ["--preset=smoke", f"--out_dir={out}"]) == 0
    assert "is damaged" in capfd.readouterr().err
    for name, array in arrays(folder).items():
        np.testing.assert_array_equal(array, before[name])


def test_results_of_other_code_are_measured_again_even_after_a_crash(
    smoke, monkeypatch, tmp_path, capfd
):
    import shutil

    out = tmp_path / "runs"
    shutil.copytree(smoke[2], out)
    command = ["--preset=smoke", f"--out_dir={out}"]
    monkeypatch.setattr(runs, "_CODE", "another")
    with monkeypatch.context() as patch:
        patch.setattr(fig6_swa, "measure", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs.run(fig6_swa, command)
    measured = []
    real = fig6_swa.measure
    monkeypatch.setattr(fig6_swa, "measure", lambda *a: measured.append(1) or real(*a))
    assert runs.run(fig6_swa, command) == 0
    assert measured and "measuring again" in capfd.readouterr().err


@pytest.mark.parametrize("content", [None, "{"])
def test_plot_only_does_without_a_readable_config(smoke, content, capsys):
    config = smoke[1] / "config.json"
    before = config.read_text()
    try:
        config.unlink() if content is None else config.write_text(content)
        assert runs.run(fig6_swa, ["--preset=smoke", f"--out_dir={smoke[2]}", "--plot_only"]) == 0
    finally:
        config.write_text(before)


def test_a_reference_is_written_for_a_preset_as_it_is(smoke, monkeypatch, tmp_path):
    from reproductions.bench import claims

    monkeypatch.setattr(claims, "REFERENCE", tmp_path)
    monkeypatch.setattr(runs.claims_module, "Reference", lambda name: Reference(name, tmp_path))
    command = ["--preset=smoke", f"--out_dir={smoke[2]}", "--write_reference"]
    assert runs.run(fig6_swa, command) == 0
    written = json.loads((tmp_path / "fig6_swa.json").read_text())["smoke"]
    assert written["provenance"]["machine"] and written["provenance"]["software"]["keras"]
    (tmp_path / "fig6_swa.json").write_text("not JSON")
    with pytest.raises(UsageError, match="is not JSON any more"):
        runs.run(fig6_swa, command)


def test_check_gives_the_verdict_as_exit_status(smoke, monkeypatch, capsys):
    fail = Claim("fig6.none", "never", "nobody", 1.0, "<", 0.0)
    hold = Claim("fig6.some", "always", "everybody", 1.0, ">", 0.0)
    command = ["--preset=smoke", f"--out_dir={smoke[2]}", "--plot_only", "--check"]
    for claims, status in (([hold], 0), ([hold, fail], 1), ([], 1)):
        monkeypatch.setattr(fig6_swa, "claims", lambda *_, c=claims: c)
        assert runs.run(fig6_swa, command) == status
        printed = capsys.readouterr().out
        assert ("FAILS" in printed) == (fail in claims)


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
        (["--seed=-1"], "--seed=-1: must be a whole number from 0"),
        (["--dataset=imagenet"], "--dataset=imagenet: unknown data set"),
        (["--optimizer=lion"], "--optimizer=lion: choose from sgd, momentum, adam"),
        (["--preset=huge"], "huge"),
        (["--width=1e308"], "--width=1e308: must be above 0 and at most 1000"),
        (["--tpu=here"], "--tpu=here: only with --strategy=tpu"),
        (["--address=10.0.0.1:1"], "--address=10.0.0.1:1: only with --backend=dask or"),
        (
            ["--backend=ray", "--address=127.0.0.1:1"],
            "--backend=ray: needs Ray|--address=127.0.0.1:1: no Ray",
        ),
        (["--write_reference", "--plot_only"], "--write_reference: not with --plot_only"),
        (["--jobs=0"], "--jobs=0"),
        (["--strategy=cluster"], "--strategy=cluster"),
        (["--strategy=tpu"], "--strategy=tpu --tpu=local: no TPU answers"),
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
        runs.main(fig6_swa, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}", *flags])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("fig6_swa: ")
    assert any(w in printed.err for w in words.split("|"))
    assert not list((tmp_path / "runs").glob("fig6_swa/*"))


def test_an_out_dir_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa, ["--preset=smoke", f"--out_dir={tmp_path / 'file'}"])
    assert end.value.code == 2
    assert "--out_dir" in capsys.readouterr().err


def test_help_shows_every_flag_with_its_presets(capsys):
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa, ["--help"])
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
    per_cycle = {name: np.ones((1, rates, cycles)) for name in fig6_swa.PER_CYCLE}
    for name, values in (("swa", swa), ("snapshot", snapshot), ("ensemble", ensemble)):
        per_cycle[f"{name}_accuracy"][0, :, -1] = values
    return per_cycle | {
        "line_loss": line,
        "agreement": grid,
        "distance": np.ones((1, rates, cycles - 1)),
    }


def verdicts(lr, **numbers):
    config = fig6_swa.Config(**{**fig6_swa.PRESETS["paper"], "lr": lr})
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


def test_a_claim_on_nan_fails():
    for relation in ("<", "<=", ">", ">="):
        claim = Claim("fig6.x", "", "", float("nan"), relation, 0.0)
        assert not claim.passed and claim.as_dict()["measured"] is None


@pytest.mark.cifar10
@pytest.mark.slow
def test_cifar10_from_the_command_line(tmp_path):
    """A short run on real CIFAR-10: the network learns, every claim of its rates is measured."""
    flags = ["--lr=0.1", "--pretrain_epochs=2", "--cycles=2", "--cycle_epochs=1", "--line_examples=1000"]
    command = [sys.executable, "-m", "reproductions.fig6_swa", f"--out_dir={tmp_path}", *flags]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    folder = pathlib.Path(run.stdout.splitlines()[-1])
    found = arrays(folder)
    assert found["start_accuracy"][0, 0] > 0.45
    ids = [c["id"] for c in json.loads((folder / "check.json").read_text())["claims"]]
    assert ids == ["fig6.high.swa_vs_snapshot", "fig6.high.ensemble_vs_snapshot", "fig6.high.barrier"]
