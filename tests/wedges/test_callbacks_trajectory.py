"""`Trajectory`: what it keeps, in memory and in a file that grows."""

import keras
import numpy as np
import pytest

import wedges
from tests.conftest import SPARSE, batch_norm, plain
from tests.wedges.fits import AT_ONCE, Points, compiled, fit_at_once

D = 384 + 6 + 18 + 3  # of `plain`


def fit(images, *callbacks, build=plain, **settings):
    """Seven steps an epoch."""
    model = compiled(build)
    settings = {"batch_size": 8, "epochs": 3, "verbose": 0, **settings}
    model.fit(*images, callbacks=list(callbacks), **settings)
    return model


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("every", "unit", "expected"),
    [
        (1, "epoch", [0, 7, 14, 21]),
        (2, "epoch", [0, 14]),
        (5, "step", [0, 5, 10, 15, 20]),
        ([3, 4, 21, 90], "step", [3, 4, 21]),
        ({1}, "epoch", [7]),
        (np.array([0, 2]), "step", [0, 2]),
        (lambda n: n > 18, "step", [19, 20, 21]),
    ],
)
def test_it_keeps_theta_at_the_chosen_moments(images, tmp_path, every, unit, expected, in_file):
    path = tmp_path / "new" / "way.npy" if in_file else None
    trajectory, steps = wedges.Trajectory(every, unit, path), Points()
    fit(images, trajectory, steps)
    assert trajectory.steps.tolist() == expected
    ended = lambda s: s // 7 if unit == "epoch" else max(0, s - 1) // 7
    assert trajectory.epochs.tolist() == [ended(s) for s in expected]
    assert trajectory.thetas.dtype == np.float32
    np.testing.assert_array_equal(trajectory.thetas, [steps.thetas[s] for s in expected])


def test_moments_are_counted_over_all_fits(images):
    trajectory, model = wedges.Trajectory(5, "step"), compiled(plain)
    for _ in range(2):
        model.fit(*images, batch_size=8, epochs=1, verbose=0, callbacks=[trajectory])
    assert trajectory.steps.tolist() == [0, 5, 10]
    assert trajectory.epochs.tolist() == [0, 0, 1]


def test_several_steps_at_once_keep_their_end(images):
    trajectory, model = wedges.Trajectory(5, "step"), plain()
    model.compile("sgd", SPARSE, steps_per_execution=3)
    model.fit(*images, batch_size=8, epochs=2, verbose=0, callbacks=[trajectory])
    assert trajectory.steps.tolist() == [0, 6, 10]  # they end at 3, 6, 7, 10, 13, 14


@pytest.mark.parametrize(("settings", "expected"), AT_ONCE)
def test_steps_are_those_that_the_optimizer_took(images, settings, expected):
    trajectory, model = wedges.Trajectory(1, "step"), plain()
    model.compile("sgd", SPARSE, steps_per_execution=3)
    fit_at_once(model, images, trajectory, **settings)
    assert trajectory.steps.tolist() == [0, *expected]


def test_it_feeds_principal(images):
    trajectory = wedges.Trajectory(3, "step")
    model = fit(images, trajectory)
    plane, explained = wedges.principal(trajectory.thetas)
    end = wedges.WeightSpace(model).read()
    assert float(plane.distance(end)) < 1e-4 and 0.5 < explained.sum() <= 1
    assert np.linalg.norm(plane.coordinates(trajectory.thetas)[-1]) < 1e-4  # step 21 is the last one


def test_beside_an_average_it_keeps_the_way_of_the_training(images):
    trajectory, steps = wedges.Trajectory(), Points()
    fit(images, wedges.SWA(x=images[0]), trajectory, steps, build=batch_norm, validation_data=images)
    np.testing.assert_array_equal(trajectory.thetas, steps.thetas[::7])


def test_a_model_without_weights_at_the_start(images):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("sgd", SPARSE)
    trajectory = wedges.Trajectory()
    model.fit(*images, epochs=2, verbose=0, callbacks=[trajectory])
    assert trajectory.epochs.tolist() == [1, 2]


def test_another_dtype(images, tmp_path):
    for path in (None, tmp_path / "half.npy"):
        trajectory, steps = wedges.Trajectory(path=path, dtype="float16"), Points()
        fit(images, trajectory, steps)
        assert trajectory.thetas.dtype == np.float16
        np.testing.assert_array_equal(trajectory.thetas, np.float16(steps.thetas[::7]))


# ---- in memory --------------------------------------------------------------------------------------


def test_more_than_the_limit_is_refused_before_training(images):
    size = 4 * D * 4
    fit(images, wedges.Trajectory(limit=size))
    with pytest.raises(ValueError, match=f"limit must be at least {size} bytes for 4 points of {D} w"):
        fit(images, wedges.Trajectory(limit=size - 1))
    fit(images, wedges.Trajectory(limit=size - 1, dtype="float16"))
    fit(images, wedges.Trajectory(limit=size - 1), initial_epoch=1)


def test_what_cannot_be_foreseen_is_left_out_with_a_warning(images):
    def batches():
        for _ in range(5):
            yield images

    trajectory, model = wedges.Trajectory(1, "step", limit=3 * D * 4), compiled(plain)
    with pytest.warns(UserWarning, match="keeps no more than 3 points"):
        model.fit(batches(), verbose=0, callbacks=[trajectory])
    assert trajectory.steps.tolist() == [0, 1, 2]


# ---- in a file --------------------------------------------------------------------------------------


def test_the_file_is_read_by_numpy_and_takes_no_memory(images, tmp_path):
    path = tmp_path / "way.npy"
    trajectory, steps = wedges.Trajectory(path=path), Points()
    fit(images, trajectory, steps)
    rows = np.load(path, mmap_mode="r")
    assert rows["step"].tolist() == [0, 7, 14, 21] and rows["epoch"].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(rows["theta"], steps.thetas[::7])
    assert isinstance(trajectory.thetas, np.memmap) and trajectory.thetas.shape == (4, D)
    assert wedges.Trajectory(path=path).thetas.shape == (4, D)


def test_a_row_that_was_begun_does_not_count(images, tmp_path):
    path = tmp_path / "way.npy"
    model = fit(images, wedges.Trajectory(path=path))
    with open(path, "ab") as file:
        file.write(b"half a row")
    trajectory, steps = wedges.Trajectory(path=path), Points()
    assert trajectory.steps.tolist() == [0, 7, 14, 21]
    model.fit(*images, batch_size=8, epochs=1, verbose=0, callbacks=[trajectory, steps])
    assert trajectory.steps.tolist() == [0, 7, 14, 21, 28]
    np.testing.assert_array_equal(trajectory.thetas[3:], steps.thetas[::7])


def test_it_goes_on_behind_the_point_at_which_the_model_stands(images, tmp_path):
    path = tmp_path / "way.npy"
    for _ in range(2):  # the second time from the same start
        keras.utils.set_random_seed(3)
        model = fit(images, wedges.Trajectory(path=path))
        assert wedges.Trajectory(path=path).steps.tolist() == [0, 7, 14, 21]
    middle = wedges.Trajectory(path=path)
    wedges.WeightSpace(model).write(middle.thetas[1])
    model.fit(*images, batch_size=8, epochs=1, verbose=0, callbacks=[middle])
    assert middle.steps.tolist() == [0, 7, 14]
    with pytest.warns(
        UserWarning, match="stands at none of the 3 points .* behind the last of them, step 14"
    ):
        elsewhere = wedges.Trajectory(path=path)
        fit(images, elsewhere, epochs=1)
    assert elsewhere.steps.tolist() == [0, 7, 14, 21]


def test_bad_files_and_settings_are_refused_in_words(images, tmp_path):
    path = tmp_path / "way.npy"
    fit(images, wedges.Trajectory(path=path))
    with pytest.raises(ValueError, match=f"like those kept before, {D} numbers of dtype float32"):
        fit(images, wedges.Trajectory(path=path), build=batch_norm)
    with pytest.raises(ValueError, match="received 411 of float16"):
        fit(images, wedges.Trajectory(path=path, dtype="float16"))
    np.save(tmp_path / "other.npy", np.zeros(3))
    (tmp_path / "no.npy").write_text("theta")
    for name in ("other.npy", "no.npy"):
        with pytest.raises(ValueError, match="path must be a file of a Trajectory; received"):
            wedges.Trajectory(path=tmp_path / name)
    with pytest.raises(ValueError, match="unit must be 'epoch' or 'step'; received 'batch'"):
        wedges.Trajectory(unit="batch")
    with pytest.raises(ValueError, match="every must be a whole number, at least 1; received 0"):
        wedges.Trajectory(0)
    with pytest.raises(ValueError, match="every must be a whole number, at least 0; received 1.5"):
        wedges.Trajectory([1, 1.5])
