"""Train-or-load, and the promise that a kill changes nothing."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import wedges
from reproductions.bench import runs
from reproductions.bench.errors import UsageError
from reproductions.common import data, models, training

RECIPE = training.Recipe("momentum", 0.05, epochs=4, cycle_epochs=2)


@pytest.fixture(scope="module")
def landscape():
    digits = data.load("digits")
    model = models.build(models.Model(width=0.25, dropout=0.1), digits.shape, 10, seed=0)
    return wedges.NetworkLandscape(
        model, digits.x_train[:320], digits.y_train[:320], models.LOSS, seed=0, batch_size=32
    )


def train(landscape, folder, recipe=RECIPE, key=None):
    run = runs.Run(data_dir=None, checkpoints=pathlib.Path(folder))
    start = landscape.space.read().numpy()
    return training.train(landscape, start, recipe, key=key or {"test": 1}, run=run, label="test")


def files(folder):
    return sorted(p.name for p in pathlib.Path(folder).iterdir())


def test_training_descends_and_takes_a_snapshot_a_cycle(landscape, tmp_path):
    found = train(landscape, tmp_path)
    assert found.losses.shape == (40,) and found.snapshots.shape == (2, landscape.dimension)
    np.testing.assert_array_equal(found.snapshots[-1], found.theta)
    assert found.losses[-10:].mean() < found.losses[:10].mean() - 0.1  # nats


def test_snapshots_are_the_weights_at_the_end_of_each_cycle(landscape, tmp_path):
    """By hand: plain momentum steps at the published cosine rates."""
    import tensorflow as tf

    found = train(landscape, tmp_path)
    theta = landscape.space.read()
    velocity, ends = tf.zeros_like(theta), []
    for step in range(40):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = landscape.sample(theta, tf.constant(step))
        rate = 0.05 / 2 * (np.cos(np.pi * (step % 20) / 20) + 1)
        velocity = 0.9 * velocity - rate * tape.gradient(loss, theta)
        theta = theta + velocity
        if step % 20 == 19:
            ends.append(theta)
    np.testing.assert_allclose(found.snapshots, ends, atol=2e-4)


def test_what_was_trained_is_loaded(landscape, tmp_path, monkeypatch):
    first = train(landscape, tmp_path)
    monkeypatch.setattr(wedges, "Descent", lambda *_: pytest.fail("trained twice"), raising=False)
    second = train(landscape, tmp_path)
    np.testing.assert_array_equal(first.theta, second.theta)
    np.testing.assert_array_equal(first.snapshots, second.snapshots)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": dataclasses.replace(RECIPE, learning_rate=0.06)},
        {"recipe": dataclasses.replace(RECIPE, optimizer="sgd")},
        {"key": {"test": 2}},
    ],
)
def test_anything_it_depends_on_makes_another_checkpoint(landscape, tmp_path, change):
    train(landscape, tmp_path, dataclasses.replace(RECIPE, epochs=2))
    before = files(tmp_path)
    train(landscape, tmp_path, **{"recipe": dataclasses.replace(RECIPE, epochs=2), **change})
    assert len(files(tmp_path)) == len(before) + 1


def test_a_training_that_stopped_anywhere_ends_bit_for_bit_the_same(landscape, tmp_path, monkeypatch):
    whole = train(landscape, tmp_path / "whole")
    monkeypatch.setattr(training, "_STEPS_A_CALL", 7)
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_SAVES", 0.0)

    class Killed(Exception):
        pass

    def until(step):
        save = training.store.save

        def stop(path, arrays, key):
            save(path, arrays, key)
            if len(arrays["losses"]) >= step:
                raise Killed

        return stop

    for step in (7, 20, 27):
        with monkeypatch.context() as patch:
            patch.setattr(training.store, "save", until(step))
            with pytest.raises(Killed):
                train(landscape, tmp_path / "parts")
    parts = train(landscape, tmp_path / "parts")
    np.testing.assert_array_equal(parts.losses, whole.losses)
    np.testing.assert_array_equal(parts.snapshots, whole.snapshots)


def test_a_truncated_checkpoint_is_made_again(landscape, tmp_path, capfd):
    first = train(landscape, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    second = train(landscape, tmp_path)
    assert "is damaged" in capfd.readouterr().err
    np.testing.assert_array_equal(first.theta, second.theta)


def test_a_checkpoint_of_another_model_is_not_used(landscape, tmp_path, capfd):
    train(landscape, tmp_path, key={"model": "other"})
    (foreign,) = tmp_path.iterdir()
    ours = train(landscape, tmp_path / "ours")
    (path,) = (tmp_path / "ours").iterdir()
    path.write_bytes(foreign.read_bytes())
    np.testing.assert_array_equal(train(landscape, tmp_path / "ours").theta, ours.theta)
    assert "made for other settings" in capfd.readouterr().err


def test_divergence_is_said(landscape, tmp_path, capfd):
    found = train(landscape, tmp_path, training.Recipe("sgd", 3e38, epochs=1))
    assert not np.isfinite(found.losses).all()
    assert "diverged, loss is not finite from step" in capfd.readouterr().err


def test_an_unknown_optimizer_is_named():
    with pytest.raises(UsageError, match="--optimizer=lion: unknown; choose one of sgd, momentum, adam"):
        training.Recipe("lion", 0.1, 1)


# ---- kill -9 of the real program --------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "reproductions.fig6_swa", "--preset=smoke", "--pretrain_epochs=8"]


def test_killed_with_sigkill_again_and_again_the_results_are_the_same(tmp_path):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    whole = subprocess.run([*COMMAND, f"--out_dir={tmp_path / 'whole'}"], check=True, **quiet)
    target = tmp_path / "killed"
    env = {**os.environ, "WEDGES_SECONDS_BETWEEN_SAVES": "0"}
    checkpoints = target / "checkpoints"
    for count in (1, 2, 4):  # die after that many files have been written
        process = subprocess.Popen([*COMMAND, f"--out_dir={target}"], env=env, **quiet)
        seen = set()
        while process.poll() is None and len(seen) < count:
            for p in checkpoints.glob("*.npz"):
                seen.add((p.name, p.stat().st_mtime_ns))
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    resumed = subprocess.run([*COMMAND, f"--out_dir={target}"], check=True, **quiet)
    a, b = (np.load(pathlib.Path(r.stdout.splitlines()[-1]) / "results.npz") for r in (whole, resumed))
    assert set(a.files) == set(b.files)
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
