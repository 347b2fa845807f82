"""What a card says between checkpoints: pictures, a trained curve, verdict, weights of examples."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import SPARSE
from wedges.cards import curve, drawing, losses, phase, reading, words
from wedges.cards.budget import Cut
from wedges.cards.subject import Subject


def subject_of(models, data, **settings):
    """A subject as the card makes it, its passes timed."""
    found = reading.data_of(data, "data", examples=None, seed=0)
    names = [f"model {k}" for k in range(len(models))]
    chosen = losses.loss_of(models[0], found, None)
    made = Subject(names, models, found, settings.get("held_out"), chosen, seed=0)
    made.measure()
    return made


@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_checkpoints_is_drawn(count):
    """One panel each, also where a grid of two columns has one left over."""
    x = np.linspace(-1, 1, 7)
    bowl = (x[:, None] ** 2 + x**2).tolist()
    results = {}
    for k in range(count):
        name = f"model {k}"
        results[f"look-{k + 1}"] = {
            **{"checkpoint": name, "x": x.tolist(), "y": x.tolist(), "losses": bowl, "centre": 0.0}
        }
        results[f"curvature-{k + 1}"] = {
            **{"checkpoint": name, "top": [2.0, 1.0], "lowest": -0.5},
            "density": {"values": [[-0.5, 2.0]], "shares": [[0.5, 0.5]]},
        }
    found = drawing.drawn(results)
    assert set(found) == {"surface", "density"}
    assert all(png.startswith(b"\x89PNG") for _, png in found.values())


# ---- a trained curve --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far_apart():
    """Two networks of 654 weights that a curve of one bend joins, but only after thousands of steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 20)).astype("float32")
    signal = np.tanh(x @ rng.normal(size=(20, 6)))
    y = (signal + 0.3 * rng.normal(size=(400, 6))).argmax(axis=1)
    models = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        some = [keras.Input((20,)), layers.Dense(24, "relu"), layers.Dense(6)]
        models.append(keras.Sequential(some))
        models[-1].compile(keras.optimizers.Adam(0.01), SPARSE)
        models[-1].fit(x, y, epochs=30, batch_size=64, verbose=0)
    return subject_of(models, (x, y))


def results_of(found):
    alike, curved = {"cka": [[1.0, 0.5], [0.5, 1.0]]}, {"trace": 3.0, "top": [2.0]}
    return {"curve": found, "alike": alike, "curvature-1": curved}


def test_a_curve_is_trained_until_it_is_low(far_apart):
    found = curve.curve(far_apart, 600.0)
    assert found["joined"] and found["converged"] and found["steps"] > 2000
    early = [stage["barrier"] for stage in found["stages"] if stage["steps"] <= 1000]
    assert min(early) > 2  # after as many steps it looks like a barrier
    t, accuracy = np.array(found["t"]), np.array(found["accuracy"])
    chord = (1 - t) * accuracy[0] + t * accuracy[-1]
    height = max(100 * (chord - accuracy))
    assert height == pytest.approx(found["barrier"], abs=1e-9) and height <= 0.5
    assert "a low path joins them" in words.curve_line(found)
    assert phase.phase(far_apart, results_of(found))["phase"] == "II"


def test_a_curve_that_the_budget_ended_is_no_barrier(far_apart, monkeypatch):
    """A few seconds' training: not a word of a barrier, and no phase."""
    monkeypatch.setattr(curve, "_MOST", 1000)
    found = curve.curve(far_apart, 600.0)
    assert found["steps"] == 1000 and not found["joined"] and not found["converged"]
    said = words.curve_line(found)
    assert said.startswith("no low path was found in 1,000 steps (") and "--minutes may find one" in said
    assert "barrier" not in said and "valley" not in said
    with pytest.raises(Cut, match="^whether a low path joins them is not known"):
        phase.phase(far_apart, results_of(found))


def test_a_curve_without_time_is_cut(far_apart):
    with pytest.raises(Cut, match="^50 steps of a curve's training would take"):
        curve.curve(far_apart, 1e-3)


@pytest.mark.parametrize(
    ("mc", "converged", "name"), [(-9.0, True, "I"), (-9.0, False, None), (0.0, True, "II")]
)
def test_a_phase_needs_a_curve_that_converged(mc, converged, name):
    found = {"unit": "error", "mc": mc, "mc_from_mean": mc, "peak": 40.0, "converged": converged}
    found |= {"steps": 20, "accuracy": [0.7, 0.5, 0.7], "loss": [1.0, 2.0, 1.0]}
    if name is None:
        with pytest.raises(Cut):
            phase.phase(None, results_of(found))
    else:
        assert phase.phase(None, results_of(found))["phase"] == name


# ---- heights of a path ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        ([0.6688, 0.72, 0.90, 0.7464], "is never below the lower of its ends"),
        ([0.66, 0.80, 0.90, 0.74], "is never below its ends"),
        ([0.6688, 0.70, 0.72, 0.7464], "stays between its ends"),
        ([0.90, 0.2864, 0.5, 0.91], "falls to 28.64%"),
        ([0.9, None, 0.9], "is not known everywhere"),
    ],
)
def test_what_a_path_does_is_about_its_inner_points(accuracy, said):
    assert words.falls(accuracy) == said


def test_a_path_between_unequal_ends_has_no_barrier():
    """Of two checkpoints of one run the later is better, and the line goes down all the way."""
    line = {
        "between": ["a", "b"],
        "accuracy": [0.6, 0.7, 0.8],
        "loss": [1.0, 0.8, 0.6],
        "t": [0, 0.5, 1],
    }
    lines = {"lines": [{**line, "barrier": 0.0, "error_barrier": 0.0}]}
    trained = {"accuracy": [0.6, 0.9, 0.8], "unit": "error", "barrier": 0.0}
    title = drawing._finding(lines, trained)
    assert title == (
        "On the straight line the accuracy stays between its ends, on a trained curve it is never below "
        "its ends"
    )
    for unit in ("error", "loss"):
        assert words.rises(0.0, unit) == "never rises above the chord between its ends"
    assert words.rises(None, "loss") == "is not finite everywhere"
