"""Train-or-load, and the promise that a kill changes nothing."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

import wedges
from reproductions.bench import cache, progress, store
from reproductions.common import data, models, networks, training
from tests.reproductions.places import at

RECIPE = training.Recipe("momentum", 0.05, epochs=4, cycle_epochs=2)
SHORT = training.Recipe("adam", 0.1, epochs=1)


@pytest.fixture(autouse=True)
def folder(tmp_path):
    """Where this test keeps what it trains."""
    with at(tmp_path / "checkpoints") as place:
        yield place.checkpoints


@pytest.fixture
def problem():
    network = models.Model(width=0.25, dropout=0.1)
    return networks.Problem(data.source("digits"), network, 32, initial=0, seed=0, examples=320)


def train(problem, recipe=RECIPE, **how):
    return training.train(problem, recipe, label="test", **how)


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_training_descends_and_takes_a_snapshot_a_cycle(problem):
    found = train(problem)
    assert found.losses.shape == (40,) and found.snapshots.shape == (2, networks.dimension(problem))
    np.testing.assert_array_equal(found.snapshots[-1], found.theta)
    assert found.losses[-10:].mean() < found.losses[:10].mean() - 0.1  # nats


def test_snapshots_are_the_weights_at_the_end_of_each_cycle(problem):
    """By hand: plain momentum steps at the published cosine rates."""
    import tensorflow as tf

    found, landscape = train(problem), networks.landscape(problem)
    theta = tf.constant(networks.start(problem))
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


def test_what_was_trained_is_loaded(problem, monkeypatch):
    first = train(problem)
    monkeypatch.setattr(wedges, "Descent", lambda *_: pytest.fail("trained twice"), raising=False)
    same(train(problem), first)


def test_weight_decay_is_part_of_the_gradient_that_momentum_carries():
    """By hand, on a quadratic: v <- m v - rate (g + c theta)."""
    curvature, recipe = np.array([1.0, 3.0]), training.Recipe("momentum", 0.1, 1, weight_decay=0.5)
    descent = wedges.Descent(wedges.Quadratic(curvature), [1.0, -2.0], recipe.build(1))
    losses = descent.run(7).losses
    theta, velocity, expected = np.array([1.0, -2.0]), np.zeros(2), []
    for _ in range(7):
        expected.append(0.5 * np.sum(curvature * theta**2))
        velocity = 0.9 * velocity - 0.1 * (curvature * theta + 0.5 * theta)
        theta = theta + velocity
    np.testing.assert_allclose(descent.theta, theta, rtol=1e-5)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)  # without the decay's own part


def test_a_dropped_rate_is_a_tenth_after_its_share_of_the_steps():
    """On L(theta) = theta, whose every step is the rate."""

    class Slope(wedges.Landscape):
        def __init__(self):
            import tensorflow as tf

            self.dimension, self.dtype = 1, tf.float32

        def __call__(self, theta):
            return self.point(theta)[..., 0]

    recipe = training.Recipe("sgd", 1.0, 4, drop=0.75)
    descent = wedges.Descent(Slope(), [0.0], recipe.build(2))
    losses = np.append(descent.run(8).losses, descent.theta)
    np.testing.assert_allclose(-np.diff(losses), [1, 1, 1, 1, 1, 1, 0.1, 0.1], rtol=1e-5)


def looked(means, rule, every=2):
    """After how many epochs of these mean losses a rule stops, and which epoch's weights it has."""
    watch, snapshots = training._Settling(rule, every), np.zeros((0, 1), np.float32)
    for i in range(1, len(means) + 1):
        import tensorflow as tf

        losses = np.repeat(np.float32(means[:i]), every)
        assert watch.look(tf.constant([-1.0]), losses[:-1], snapshots) == (False, snapshots)
        done, snapshots = watch.look(tf.constant([float(i)]), losses, snapshots)
        if done:
            break
    return i, done, snapshots.ravel().tolist()


@pytest.mark.parametrize(
    ("means", "least", "steps", "expected"),
    [
        ([3, 2, 1, 1, 1, 1, 1], 1, 1, (5, True, [5])),  # two changes in a row are below
        ([3, 2, 1, 1, 1, 1, 1], 6, 1, (6, True, [6])),
        ([3, 2, 1, 1, 1, 1, 1], 1, 14, (7, True, [7])),
        ([3, 1, 2, 3, 2, 1.5], 1, 1, (6, False, [2])),  # the best one, where it never settles
        ([3, 1, np.nan, np.nan, np.nan], 1, 1, (5, False, [2])),
        ([np.nan, np.nan], 1, 1, (2, False, [])),
    ],
)
def test_a_training_has_settled_once_epochs_differ_no_more(means, least, steps, expected):
    rule = training.Settled(change=0.01, epochs=2, least=least, steps=steps)
    assert looked(means, rule) == expected


def test_a_training_until_it_settles_keeps_one_snapshot(problem):
    rule = training.Settled(change=9.0, epochs=1, least=3, steps=1)
    found = train(problem, RECIPE, until=rule)
    assert len(found.losses) == 30 and len(found.snapshots) == 1
    np.testing.assert_array_equal(found.snapshots[0], found.theta)


def test_noisy_labels_are_the_same_for_every_seed_and_a_tenth_of_them_stays(problem):
    noisy = dataclasses.replace(problem, noise=0.5, examples=None)
    clean, (_, y) = problem.source.load().y_train, networks.training_set(noisy)
    np.testing.assert_array_equal(networks.training_set(dataclasses.replace(noisy, seed=7))[1], y)
    wrong = np.mean(y.numpy() != clean)
    assert abs(wrong - 0.5 * 0.9) < 4 * np.sqrt(0.45 * 0.55 / len(clean))
    np.testing.assert_array_equal(networks.test_set(problem.source)[1], problem.source.load().y_test)
    np.testing.assert_array_equal(networks.training_set(problem)[1], clean[:320])


CUTS = [
    training.Cut(7, seed=0, method="dense"),
    training.Cut(7, seed=1, method="dense"),
    training.Cut(7, seed=0, method="transform"),
    training.Cut(7, seed=1, method="transform"),
    training.Cut(8, seed=0, method="transform"),
]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": dataclasses.replace(SHORT, learning_rate=0.06)},
        {"recipe": dataclasses.replace(SHORT, optimizer="sgd")},
        {"recipe": dataclasses.replace(SHORT, epochs=2)},
        {"start": np.float32(1e-3)},
        {"until": training.Until(examples=100, loss=9.0, every=5)},
        {"marks": (3, 10)},
        {"problem": {"seed": 1}},
        {"problem": {"initial": 1}},
        {"problem": {"batch_size": 16}},
        {"problem": {"examples": 300}},
        {"problem": {"noise": 0.3}},
        {"recipe": dataclasses.replace(SHORT, optimizer="momentum", weight_decay=0.1)},
        {"recipe": dataclasses.replace(SHORT, epochs=2, drop=0.5)},
        {"problem": {"model": models.Model(width=0.25, dropout=0.2)}},
    ],
    ids=str,
)
def test_anything_it_depends_on_makes_another_checkpoint(problem, folder, change):
    first = train(problem, SHORT)
    assert len(list(folder.iterdir())) == 1
    how = {"problem": problem, "recipe": SHORT, **change}
    if "start" in how:
        how["start"] = networks.start(problem) + how["start"]
    if isinstance(how["problem"], dict):
        how["problem"] = dataclasses.replace(problem, **how["problem"])
    other = train(**how)
    assert len(list(folder.iterdir())) == 2
    assert any(a.tobytes() != b.tobytes() for a, b in zip(other, first, strict=True))


def test_trainings_in_two_cuts_are_told_apart_by_dimension_seed_and_method(problem, folder, monkeypatch):
    ends = []
    for count, cut in enumerate([*CUTS, None], start=1):
        ends.append(train(problem, SHORT, cut=cut).theta)
        assert len(list(folder.iterdir())) == count
    assert len({end.tobytes() for end in ends}) == len(ends)
    monkeypatch.setattr(wedges, "Descent", lambda *_: pytest.fail("trained twice"), raising=False)
    for cut, end in zip([*CUTS, None], ends, strict=True):
        np.testing.assert_array_equal(train(problem, SHORT, cut=cut).theta, end)


# ---- stopped on the way -----------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.fixture
def stop(monkeypatch):
    """stop(n): the process dies once a part of n steps or more is saved; stop(None): never again."""
    save = store.save

    def until(steps):
        def saved(path, arrays, key):
            save(path, arrays, key)
            if steps is not None and "part" in key and len(arrays["losses"]) >= steps:
                raise Killed

        monkeypatch.setattr(store, "save", saved)

    return until


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(training, "_STEPS_A_CALL", 7)
    monkeypatch.setattr(cache, "SECONDS_BETWEEN_SAVES", 0.0)


@pytest.mark.parametrize("cut", [None, CUTS[0], CUTS[2]], ids=["all weights", "dense", "transform"])
def test_a_training_that_stopped_anywhere_ends_bit_for_bit_the_same(
    problem, folder, tmp_path, stop, often, monkeypatch, cut
):
    with at(tmp_path / "whole"), monkeypatch.context() as patch:
        patch.setattr(training, "_STEPS_A_CALL", 50)
        whole = train(problem, cut=cut)
    for steps in (7, 20, 27):
        stop(steps)
        with pytest.raises(Killed):
            train(problem, cut=cut)
    stop(None)
    taken, run = [], wedges.Descent.run
    monkeypatch.setattr(wedges.Descent, "run", lambda self, n: taken.append(n) or run(self, n))
    same(train(problem, cut=cut), whole)
    assert sum(taken) == 40 - 27  # it did go on from there
    assert len(list(folder.iterdir())) == 1  # what it had on the way is gone


def test_a_training_until_a_loss_that_stopped_anywhere_ends_where_it_would(
    problem, tmp_path, stop, often
):
    recipe, until = training.Recipe("adam", 0.01, 4), training.Until(examples=100, loss=2.0, every=3)
    with at(tmp_path / "whole"):
        whole = train(problem, recipe, until=until)
    assert 3 < len(whole.losses) < 40 and len(whole.losses) % 3 == 0  # it was reached on the way
    assert networks.seen(problem, 100)(whole.theta) <= 2.0
    for steps in (3, len(whole.losses)):
        stop(steps)
        with pytest.raises(Killed):
            train(problem, recipe, until=until)
    stop(None)
    same(train(problem, recipe, until=until), whole)


def followed(problem, seeds):
    """Two descents in a row, as the library's functions do many: in a random cut of each seed."""
    landscape, start, thetas = networks.landscape(problem), networks.start(problem), []
    with training.following(10 * len(seeds)) as follow:
        for seed in seeds:
            cut = wedges.random_cut(start, 7, seed=seed, method="transform")
            adam = training.cosine_adam(0.1, 10)
            descent = wedges.Descent(landscape, start, adam, subspace=cut)
            follow(descent, 10, f"cut {seed}")
            thetas.append(descent.theta.numpy())
    return {"thetas": np.stack(thetas)}


def test_descents_that_are_followed_go_on_and_two_cuts_are_told_apart(problem, tmp_path, stop, often):
    with at(tmp_path / "whole"):
        whole = cache.cached(followed, problem, (3, 4))["thetas"]
        other = cache.cached(followed, problem, (3, 5))["thetas"]
    np.testing.assert_array_equal(other[0], whole[0])
    assert np.abs(other[1] - whole[1]).max() > 1e-3
    stop(10)  # in the first of the two
    with pytest.raises(Killed):
        cache.cached(followed, problem, (3, 4))
    with pytest.raises(Killed):
        cache.cached(followed, problem, (5, 4))  # another first one, which starts from where that did
    stop(None)
    np.testing.assert_array_equal(cache.cached(followed, problem, (3, 4))["thetas"], whole)
    reverse = cache.cached(followed, problem, (5, 4))["thetas"]
    np.testing.assert_array_equal(reverse, np.stack([other[1], whole[1]]))


def test_a_truncated_checkpoint_is_made_again(problem, folder, capfd):
    first = train(problem)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    same(train(problem), first)
    assert "is damaged" in capfd.readouterr().err


def test_a_checkpoint_of_another_model_is_not_used(problem, folder, tmp_path, capfd):
    ours = train(problem)
    (path,) = folder.iterdir()
    with at(tmp_path / "other"):
        train(dataclasses.replace(problem, model=models.Model(width=0.25)))
    (foreign,) = (tmp_path / "other").iterdir()
    path.write_bytes(foreign.read_bytes())
    same(train(problem), ours)
    assert "made for other settings" in capfd.readouterr().err


def test_divergence_is_said(problem, capfd):
    found = train(problem, training.Recipe("sgd", 3e38, epochs=1))
    assert not np.isfinite(found.losses).all()
    assert "test: diverged, loss is not finite from step" in capfd.readouterr().err


def test_divergence_is_said_where_bars_are_hidden_too(problem, monkeypatch, capfd):
    """As in a sweep of several processes."""
    monkeypatch.setattr(progress, "_hidden", False)  # and so again afterwards
    monkeypatch.setattr(progress, "tqdm", type("tqdm", (progress.tqdm,), {}))
    progress.hide()
    found = train(problem, training.Recipe("sgd", 3e38, epochs=1))
    assert not np.isfinite(found.losses).all()
    assert "diverged, loss is not finite from step" in capfd.readouterr().err


def test_every_optimizer_is_built_and_an_unknown_one_is_no_other():
    momentum = {name: training.Recipe(name, 0.1, 1).build(10) for name in training.OPTIMIZERS}
    assert momentum["sgd"].momentum == 0 and momentum["momentum"].momentum == 0.9
    assert type(momentum["adam"]).__name__ == "Adam"
    with pytest.raises(KeyError, match="lion"):
        training.Recipe("lion", 0.1, 1).build(10)


# ---- kill -9 of the real program --------------------------------------------------------------------

FLAGS = ["--preset=smoke", "--pretrain_epochs=8", "--seeds=1"]

# The program, in a process that kills itself in the middle of its n-th file or right after it.
DYING = """
import os, signal, sys
from reproductions import fig6_swa
from reproductions.bench import runs, store

left, when = int(sys.argv[1]), sys.argv[2]
replace = os.replace

def replaced(*paths):
    global left
    left -= str(paths[1]).endswith(".npz")
    if not left and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replaced
runs.main(fig6_swa.__name__, sys.argv[3:])
"""


@pytest.mark.slow
def test_killed_with_sigkill_again_and_again_the_results_are_the_same(tmp_path):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    program = [sys.executable, "-m", "reproductions.fig6_swa", *FLAGS]
    whole = subprocess.run([*program, f"--out_dir={tmp_path / 'whole'}"], check=True, **how)
    target = tmp_path / "killed"
    env = {**os.environ, "WEDGES_SECONDS_BETWEEN_SAVES": "0"}
    known = set()
    for count, when in (("1", "after"), ("9", "after"), ("3", "before")):
        command = [sys.executable, "-c", DYING, count, when, *FLAGS, f"--out_dir={target}"]
        assert subprocess.run(command, env=env, **how).returncode == -signal.SIGKILL
        left = {(p.name, p.stat().st_mtime_ns) for p in (target / "checkpoints").iterdir()}
        assert left != known  # it came further
        assert any(name.endswith(".tmp") for name, _ in left) == (when == "before")
        known = left
    assert not list(target.glob("fig6_swa/*/results.npz"))
    resumed = subprocess.run([*program, f"--out_dir={target}"], check=True, **how)
    a, b = (
        store.read(pathlib.Path(r.stdout.splitlines()[-1]) / "results.npz")[1] for r in (whole, resumed)
    )
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
