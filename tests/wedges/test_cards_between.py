"""What a card says between checkpoints: pictures, a trained curve, verdict, weights of examples."""

import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE
from tests.wedges.subjects import subject_of
from wedges import phases
from wedges.cards import (
    between,
    contents,
    curve,
    drawing,
    fit,
    flat,
    judging,
    kept,
    look,
    make,
    phase,
    reading,
    words,
)
from wedges.cards.budget import Cut, Rates
from wedges.cards.models import models_of
from wedges.network.landscape import NetworkLandscape


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


def test_a_picture_of_one_line_or_several_says_which():
    line = {"between": ["a", "b"], "t": [0, 0.5, 1], "loss": [1.0, 2.0, 1.0], "barrier": 1.0}
    line |= {"accuracy": [0.9, 0.5, 0.8], "error_barrier": 35.0}
    lines = {"lines": [line], "batch_norm": True}
    (shown,) = drawing.drawn({"lines": lines}).values()
    assert shown[1].startswith(b"\x89PNG")
    assert drawing._finding(lines, None) == "On the straight line the accuracy falls to 50.00%"
    lines["lines"].append({**line, "between": ["a", "c"]})
    assert drawing._finding(lines, None).startswith(
        "On the straight line from a to b the accuracy falls"
    )


def test_surfaces_share_one_scale_and_are_cut_off_where_it_ends(monkeypatch):
    """Of ten losses each the two highest are above 4/5 of both; the frame says where 1 is."""
    seen = []
    monkeypatch.setattr(drawing, "_png", seen.append)
    x = np.linspace(-1, 1, 3).tolist()
    rows = lambda *values: np.reshape(values, (3, 3)).tolist()
    losses = [rows(1, 2, 3, 4, 5, 6, 7, 8, 9), rows(11, 12, 13, 14, 15, 16, 17, 18, 100)]
    some = {
        f"look-{k}": {"checkpoint": f"model {k}", "x": x, "y": x, "losses": each, "centre": each[1][1]}
        for k, each in enumerate(losses, 1)
    }
    drawing.drawn(some)
    # Of 18 losses, 13.6 of the 17 steps up from the lowest.
    assert drawing.cut_at(losses) == pytest.approx(15 + 0.6)
    (figure,) = seen
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_ylim() for bar in bars] == 2 * [(1.0, pytest.approx(15.6))]
    assert not any(bar._colorbar.extend in ("max", "both") for bar in bars)
    for ax in figure.axes:
        if ax not in bars:
            assert [t.get_text().strip() for t in ax.texts] == ["\N{MINUS SIGN}1", "0", "1"]


def test_dropout_is_no_other_card():
    """Its state of random numbers is another one in each process, and changes no result."""
    drop = layers.Dropout(0.5, name="drop")
    model = keras.Sequential([keras.Input((2,)), drop, layers.Dense(1)])
    assert any("seed" in v.path for v in model.variables)
    key = kept.key_of([model], (np.ones(2),), {})
    model(np.ones((3, 2), "float32"), training=True)  # draws, and so moves the state
    assert kept.key_of([model], (np.ones(2),), {}) == key
    model.layers[-1].bias.assign([1.0])
    assert kept.key_of([model], (np.ones(2),), {}) != key


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


class Clock:
    """A time of its own: each look at it takes a while, as long as it likes."""

    def __init__(self, seed, fastest, slowest):
        self.now, self.rng, self.range = 0.0, np.random.default_rng(seed), (fastest, slowest)

    def monotonic(self):
        self.now += self.rng.uniform(*self.range)
        return self.now


def test_equal_numbers_of_steps_are_equal_curves_bit_for_bit(far_apart, monkeypatch):
    """However fast they were taken, and whether the clock ended them or their number."""
    found = []
    # Three looks at the clock beside each ten steps: in 30 s of the last one's time they are not many.
    for seed, slowest, most, seconds in ((1, 1e-6, 630, 600), (2, 0.4, 630, 600), (3, 0.4, 9999, 30)):
        monkeypatch.setattr(curve, "time", Clock(seed, slowest / 9, slowest))
        monkeypatch.setattr(curve, "_MOST", most)
        found.append(curve.curve(far_apart, seconds))
    first, second, short = found
    assert first["steps"] == second["steps"] == 630 > short["steps"] > 50
    monkeypatch.setattr(curve, "_MOST", short["steps"])
    monkeypatch.setattr(curve, "time", Clock(4, 1e-7, 1e-6))
    for one, other in ((first, second), (short, curve.curve(far_apart, 600.0))):
        for name in one.keys() - {"seconds_of_training"}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_rates_fall_in_stages_that_double():
    """From 0.003 to a hundredth of it by half a cosine, and up again."""
    rate = curve._Falling()
    for begin, end in ((0, 125), (125, 250), (250, 500), (256_000, 512_000)):
        middle = (begin + end) / 2
        assert float(rate(begin)) == pytest.approx(3e-3, rel=1e-4)
        assert float(rate(middle)) == pytest.approx(3e-3 * 0.505, rel=1e-3)
        assert float(rate(end - 1)) < 3e-3 * 0.011


def test_a_curve_without_time_is_cut(far_apart):
    with pytest.raises(Cut, match="^50 steps of a curve's training would take"):
        curve.curve(far_apart, 1e-3)


@pytest.mark.parametrize(
    ("mc", "converged", "name"), [(-9.0, True, "I"), (-9.0, False, None), (0.0, True, "II")]
)
def test_a_phase_needs_a_curve_that_converged(mc, converged, name):
    found = {"unit": "error", "mc": mc, "mc_from_mean": mc, "peak": 40.0, "converged": converged}
    found |= {"steps": 20, "accuracy": [0.7, 0.5, 0.7], "loss": [1.0, 2.0, 1.0], "joined": mc == 0.0}
    if name is None:
        with pytest.raises(Cut):
            phase.phase(None, results_of(found))
    else:
        assert phase.phase(None, results_of(found))["phase"] == name


FITTED = "Their training error, {}%, is {} the 0.1% that count as fitted. "


@pytest.mark.parametrize(
    ("error", "mc", "cka", "joined", "straight", "said"),
    [  # two networks of 98 to 99% training accuracy whose straight line falls to 41%
        (1.54, 0.271, 0.8, True, [0.982, 0.4117, 0.987], FITTED.format(1.54, "above") + "A low curve "
         "joins them, though on the straight line the accuracy falls to 41.17%."),
        (1.54, 0.0, 0.8, True, [0.98, 0.979, 0.98], FITTED.format(1.54, "above") + "A low curve joins "
         "them, and so does the straight line."),
        (30, -9.0, 0.8, False, [0.7, 0.2, 0.7], FITTED.format(30, "above") + "No low path was found: "
         "where it is worst at five points the trained curve rises 9 points of error above the chord "
         "between its ends, more than the 1 that counts as a barrier."),
        (0.05, -0.8, 0.4, False, None, FITTED.format(0.05, "within") + "No low path was found: where it "
         "is worst at five points the trained curve rises 0.8 points of error above the chord between "
         "its ends, no more than the 1 that counts as a barrier. They compute unlike functions: a CKA "
         "of 0.4, where 0.563 parts unlike from like."),
    ],
)  # fmt: skip
def test_a_phase_says_what_was_measured(error, mc, cka, joined, straight, said):
    """Of no basin and no floor, which nobody saw; and of the straight line what the page says of it."""
    lines = []
    if straight is not None:
        a, middle, b = straight
        lines = [{"accuracy": straight, "error_barrier": 100 * max(0, (a + b) / 2 - middle)}]
    found = phases.phase(error, mc, cka)
    assert phase.meaning(found, {"joined": joined}, lines) == said
    assert not re.search(
        "wide|basin|valley|floor", found.meaning + phase.meaning(found, {"joined": True}, [])
    )


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


@pytest.mark.parametrize(
    ("mc", "unit", "said"),
    [
        (-2.5, "error", "is farthest from that chord where it is 2.5 points of error above it"),
        (0.0129, "loss", "is farthest from that chord where it is 0.0129 below it"),
        (0.0, "error", "is on that chord"),
    ],
)
def test_a_mode_connectivity_is_told_with_its_side(mc, unit, said):
    assert words.farthest({"mc": mc, "unit": unit}) == said


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


# ---- may they be averaged ---------------------------------------------------------------------------


def gains(average, best, half=0.001):
    low, high = average - half, average + half
    gain = {"mean": average, "low": low, "high": high, "best": 1, "over_best": best}
    return {**gain, "best_low": best - half, "best_high": best + half}


def judgement(gain, accuracy, **more):
    found = {"gain": gain, "loss_gain": None, "loss": [0.5, 0.5], "where": "held out", "examples": 100}
    found |= {"mean_accuracy": accuracy, "mean_loss": 0.5, "batch_norm": False, "same": False, **more}
    return {**found, "verdict": judging.verdict(found)}


def test_a_mean_below_the_best_is_no_yes():
    """It is above the models' average by as much as the best is above it."""
    found = judgement(gains(0.0192, -0.0196), 0.7268)
    assert found["verdict"]["answer"] == "below" and words.verdict_class(found) == "unclear"
    assert words.verdict_line(found, ["big_a", "big_a2"]) == (
        "Better not: the mean's accuracy is 1.96 points below that of big_a2, the best of them (95%: "
        "-2.06 to -1.86; 100 examples held out), though 1.92 points above their average; big_a2 alone "
        "is better."
    )
    assert judgement(gains(0.03, -0.002), 0.8)["verdict"]["answer"] == "yes"
    assert judgement(gains(0.03, -0.0095), 0.8)["verdict"]["answer"] == "unclear"


def test_the_headline_says_that_order_helps():
    found, ordered = judgement(gains(-0.3, -0.31), 0.6), judgement(gains(0.01, 0.002), 0.9525)
    aligned = {"between": ["a", "b"], "judged": ordered}
    said = words.verdict_line(found, ["a", "{b}"], aligned)
    start = (
        "No as they are; with their units in order: yes, 95.25% (0.20 points above the best). As they "
    )
    assert said.startswith(
        f"{start}are the mean's accuracy is 31.00 points below that of {{b}}, the best of them "
    )
    assert words.verdict_class(found, aligned) == "unclear"
    several = words.verdict_line(found, ["a", "b", "c"], aligned)
    assert several.startswith("No as they are; with the units of a and b in order: yes, 95.25%")
    unclear = {"between": ["a", "b"], "judged": judgement(gains(0.0, -0.01, 0.005), 0.94)}
    said = words.verdict_line(found, ["a", "b"], unclear)
    assert "in order: not clear, 94.00% (1.00 points below the best)." in said
    assert words.verdict_class(found, unclear) == "no"
    worse = {"between": ["a", "b"], "judged": judgement(gains(-0.3, -0.31), 0.6)}
    assert words.verdict_line(found, ["a", "b"], worse).startswith("No: ")


def test_equal_weights_are_said_to_be_equal():
    found = judgement(gains(0.0, 0.0), 0.9, same=True)
    assert words.verdict_line(found, ["a", "b"]) == "Nothing to average: a and b have the same weights."
    apart = judgement(gains(-0.3, -0.31), 0.6)
    renamed = words.verdict_line(apart, ["a", "b"], {"between": ["a", "b"], "judged": found})
    assert renamed == "No as they are; with their units in order they have the same weights."
    model = classifier(1)
    found = between.mean(subject_of([model, classifier(2), model], weighted()[:2]), 100.0)
    assert found["equal"] == [["model 0", "model 2"]] and not found["same"]
    found = between.mean(subject_of([model, model], weighted()[:2]), 100.0)
    assert found["verdict"]["answer"] == "same" and found["mean_loss"] == pytest.approx(found["loss"][0])


def classifier(seed, inputs=5, **settings):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((inputs,)), layers.Dense(6, "tanh"), layers.Dense(3)])
    model.compile("adam", SPARSE, **settings)
    return model


def weighted(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype("float32")
    return x, (x[:, :3] + 0.5 * rng.normal(size=(n, 3))).argmax(axis=1), rng.random(n).astype("float32")


def test_weights_of_examples_count_as_keras_counts_them(tmp_path):
    """In a data set, a triple, a dict and a file; in losses, accuracies, verdict and ensemble."""
    x, y, w = weighted()
    models = [classifier(seed, weighted_metrics=["accuracy"]) for seed in (1, 2)]
    for model in models:
        model.fit(x, y, sample_weight=w, epochs=20, verbose=0)
    np.savez(tmp_path / "w.npz", x=x, y=y, sample_weight=w)
    dataset = tf.data.Dataset.from_tensor_slices((x, y, w)).batch(64)
    kinds = [(x, y, w), dataset, {"x": x, "y": y, "sample_weight": w}, str(tmp_path / "w.npz")]
    expected = np.array([m.evaluate(x, y, sample_weight=w, verbose=0) for m in models])
    for data in kinds:
        subject = subject_of(models, data)
        found = fit.fit(subject, 100.0)
        np.testing.assert_allclose(found["loss"], expected[:, 0], rtol=1e-5)
        np.testing.assert_allclose(found["accuracy"], expected[:, 1], rtol=1e-5)
        assert found["weighted"] == "the examples"
    middle = classifier(0, weighted_metrics=["accuracy"])
    middle.set_weights([(a + b) / 2 for a, b in zip(*(m.get_weights() for m in models), strict=True)])
    loss, accuracy = middle.evaluate(x, y, sample_weight=w, verbose=0)
    found = between.mean(subject, 100.0)
    np.testing.assert_allclose([found["mean_loss"], found["mean_accuracy"]], [loss, accuracy], rtol=1e-5)
    gain = found["gain"]
    assert gain["mean"] == pytest.approx(accuracy - expected[:, 1].mean(), abs=1e-6)
    assert gain["over_best"] == pytest.approx(accuracy - expected[:, 1].max(), abs=1e-6)
    assert gain["best_low"] <= gain["over_best"] <= gain["best_high"]
    assert found["loss_gain"]["mean"] == pytest.approx(expected[:, 0].mean() - loss, abs=1e-5)
    together = sum(np.asarray(keras.ops.softmax(m(x))) for m in models).argmax(axis=1)
    assert found["ensemble_accuracy"] == pytest.approx(np.average(together == y, weights=w), abs=1e-6)


def test_an_ensemble_has_no_other_kind_of_accuracy():
    """Where half the classes are ignored the models' accuracy is of the rest, and so is none of its."""
    x, y, _ = weighted()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    models = [classifier(seed) for seed in (1, 2)]
    for model in models:
        model.compile("adam", loss)
    y = np.where(np.arange(200) % 2, y, -1)
    found = between.mean(subject_of(models, (x, y)), 100.0)
    right = [np.asarray(model(x)).argmax(axis=1)[1::2] == y[1::2] for model in models]
    assert found["accuracy"] == pytest.approx([np.mean(r) for r in right])
    assert found["gain"] is None and found["ensemble_accuracy"] is None


def test_shares_between_two_classes_are_judged_by_the_loss():
    """One sigmoid column whose targets are 0.1 and 0.9: there is no accuracy, of models or ensemble."""
    x, y, _ = weighted()
    models = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        models.append(keras.Sequential([keras.Input((5,)), layers.Dense(1, "sigmoid")]))
        models[-1].compile("adam", "binary_crossentropy")
    found = between.mean(subject_of(models, (x, (0.1 + 0.8 * (y == 0)).astype("float32"))), 100.0)
    assert found["accuracy"] == [None, None] and found["ensemble_accuracy"] is None
    assert found["verdict"]["unit"] == "loss" and found["loss_gain"] is not None


@pytest.mark.parametrize("bad", [np.ones(3), -np.ones(200), np.zeros(200)])
def test_weights_that_will_not_do(bad):
    x, y, _ = weighted()
    with pytest.raises(
        ValueError, match="^sample_weight must be as many as y, at least 0 and not all 0"
    ):
        reading.data_of((x, y, bad), "data", examples=None, seed=0)


@pytest.mark.parametrize(
    "loss", ["mse", keras.losses.MeanSquaredError(), keras.losses.mean_absolute_error]
)
@pytest.mark.parametrize("column", [False, True])
def test_a_regression_has_a_verdict(loss, column):
    """However its loss was given, and whether targets are (N,) or (N, 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)).astype("float32")
    y = (x @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.normal(size=80)).astype("float32")
    models = []
    for weights in ([1.0, -2.0, 0.0], [1.0, -2.0, 1.0]):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
        model.compile("adam", loss)
        model.set_weights([np.array(weights, "float32")[:, None]])
        models.append(model)
    found = between.mean(subject_of(models, (x, y[:, None] if column else y)), 100.0)
    of = (lambda d: np.abs(d)) if loss is keras.losses.mean_absolute_error else (lambda d: d**2)
    each = [of(x @ np.array(v) - y) for v in ([1, -2, 0], [1, -2, 1], [1, -2, 0.5])]
    assert found["loss_gain"]["mean"] == pytest.approx(
        np.mean((each[0] + each[1]) / 2 - each[2]), rel=1e-4
    )
    best = min(each[0].mean(), each[1].mean())
    assert found["loss_gain"]["over_best"] == pytest.approx(best - each[2].mean(), rel=1e-4)
    assert found["verdict"] == {**found["verdict"], "answer": "yes", "unit": "loss"}
    assert words.verdict_line(found, ["a", "b"]).startswith("Yes: the mean's loss is ")


def test_two_accuracies_of_one_model_are_told_apart():
    """Of batch norm: as saved, and with statistics found anew. Like is compared with like."""
    keras.utils.set_random_seed(0)
    x, y, _ = weighted()
    models = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        some = [keras.Input((5,)), layers.BatchNormalization(), layers.Dense(3)]
        model = keras.Sequential(some)
        model.compile("adam", SPARSE, metrics=["accuracy"])
        model.fit(3 + x, y, epochs=3, verbose=0)  # the mean of 3 is hardly in the moving statistics yet
        models.append(model)
    subject = subject_of(models, (3 + x, y))
    saved, found = fit.fit(subject, 100.0), between.mean(subject, 100.0)
    for k, model in enumerate(models):
        assert saved["accuracy"][k] == pytest.approx(model.evaluate(3 + x, y, verbose=0)[1], rel=1e-5)
        scale, shift, _, _, kernel, bias = model.get_weights()
        z = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3) * scale + shift
        anew = np.mean((z @ kernel + bias).argmax(axis=1) == y)
        assert found["accuracy"][k] == pytest.approx(anew, abs=0.006)
    assert found["batch_norm"] and "statistics found anew for all" in words.verdict_line(
        found, ["a", "b"]
    )
    lines = words.statistics_lines(found, ["a", "b"])
    assert lines and all("as saved" in line and "found anew" in line for line in lines)


def verdict_of(lost, n, gained=0, w=None):
    """The verdict on a mean that has so many labels of n wrong that both models have right."""
    right, middle = np.ones(n), np.ones(n)
    middle[:lost], right[n - gained :] = 0, 0
    gain = judging._gain([(right, w), (right, w), (middle, w)], "accuracy", 0)
    return judging.verdict({"gain": gain, "loss_gain": None, "loss": [1.0]})["answer"], gain


@pytest.mark.parametrize(
    ("lost", "n", "answer"),
    [(0, 12, "unclear"), (0, 2000, "yes"), (1, 400, "unclear"), (1, 800, "yes"), (40, 400, "no")],
)
def test_few_examples_without_a_change_are_no_yes(lost, n, answer):
    """Clopper and Pearson: the share of which so few show up in one sample of forty."""
    said, gain = verdict_of(lost, n)
    assert said == answer
    if lost < 2:
        p = -gain["best_low"]
        shown = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(lost + 1))
        assert shown == pytest.approx(0.025, rel=1e-6)
        assert gain["low"] == gain["best_low"] <= gain["mean"]
    assert verdict_of(lost, n, w=np.full(n, 30.0))[1]["low"] == pytest.approx(gain["low"])


def test_examples_of_little_weight_count_as_fewer():
    """A hundred that count, among 2,000: as wide as of about a hundred."""
    w = np.where(np.arange(2000) % 20 == 0, 1.0, 1e-6)
    answer, gain = verdict_of(0, 2000, w=w)
    assert answer == "unclear" and gain["low"] == pytest.approx(0.025 ** (1 / 100) - 1, rel=1e-2)


def test_images_of_many_labels_are_no_examples_of_one():
    """Their small differences are what they are; without any, an image may still differ in all."""
    rng = np.random.default_rng(0)
    d = rng.normal(0, 1e-4, (1, 60))
    (low,), (high,) = judging.interval(d, None, 0, counted=True)
    assert -1e-3 < low < d.mean() < high < 1e-3
    assert judging.interval(0 * d, None, 0, counted=True)[0][0] == pytest.approx(0.025 ** (1 / 60) - 1)


def test_the_resamples_of_many_examples_keep_to_their_memory(monkeypatch):
    """In pieces, with the same result; of very many the normal interval, without any."""
    rng = np.random.default_rng(0)
    d = rng.choice([-1.0, 0.0, 0.0, 1.0], (2, 300))
    whole = judging.interval(d, None, 0, counted=False)
    shapes, real = [], judging._weighted_means
    watched = lambda d, w, rows: shapes.append(rows.shape) or real(d, w, rows)
    monkeypatch.setattr(judging, "_NUMBERS", 2000)
    monkeypatch.setattr(judging, "_weighted_means", watched)
    np.testing.assert_array_equal(judging.interval(d, None, 0, counted=False), whole)
    assert max(map(np.prod, shapes)) <= 2000 and sum(count for count, _ in shapes) == 2000
    shapes.clear()
    d = rng.choice([-1.0, 0.0, 0.0, 1.0], (2, 100_000))
    w = rng.random(100_000)
    low, high = judging.interval(d, w, 0, counted=True)
    mean = (d * w).sum(axis=1) / w.sum()
    half = 1.96 * np.sqrt(((w * (d - mean[:, None])) ** 2).sum(axis=1)) / w.sum()
    np.testing.assert_allclose([low, high], [mean - half, mean + half], rtol=1e-4)
    assert not shapes and judging.seconds(100_000) == 0 < judging.seconds(10_000)
    assert "1.96 standard errors" in judging.interval_in_words(100_000, counted=False)
    assert "2,000 bootstrap samples" in judging.interval_in_words(300, counted=True)


# ---- no better than one answer for all --------------------------------------------------------------


def test_a_mean_of_models_that_know_nothing_is_no_yes():
    """Two untrained ones of ten classes; their mean may well be better than both."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 5)).astype("float32"), rng.integers(0, 10, 600)
    models = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        models.append(keras.Sequential([keras.Input((5,)), layers.Dense(10)]))
        models[-1].compile("adam", SPARSE)
    found = between.mean(subject_of(models, (x, y)), 100.0)
    most, best = np.bincount(y).max() / 600, max(found["accuracy"])
    right = [np.asarray(m(x)).argmax(axis=1) == y for m in models]
    each = found["constant"]
    assert each["of_constant"] == pytest.approx(most) and each["of_best"] == pytest.approx(
        best, rel=1e-6
    )
    d = right[each["best"]].astype(float) - (y == np.bincount(y).argmax())
    assert each["difference"] == pytest.approx(d.mean())
    assert each["error"] == pytest.approx(d.std(ddof=1) / np.sqrt(600))
    assert not each["better"] and found["verdict"]["constant"]
    said = words.verdict_line(found, ["a", "b"])
    assert (
        said.startswith("Not worth averaging yet: the best of the models, ")
        and "none is clearly" in said
    )
    assert f"the most frequent class as the answer for all {100 * most:.2f}%" in said
    assert words.verdict_class(found) == "unclear"


def two_regressions(slope):
    """Linear models of one slope and nearly none beside it, 80 examples of y = x_0 + 3 + noise, and what
    drew them: (generator, x, y, models)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2)).astype("float32")
    y = (x[:, 0] + 3 + 0.1 * rng.normal(size=80)).astype("float32")
    models = []
    for off in (0.0, 0.01):
        model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
        model.compile("adam", "mse")
        model.set_weights([np.array([[slope], [off]], "float32"), np.array([3.0], "float32")])
        models.append(model)
    return rng, x, y, models


@pytest.mark.parametrize(("slope", "better"), [(1.0, True), (0.0, False)])
def test_a_regression_is_held_against_the_mean_target(slope, better):
    _, x, y, models = two_regressions(slope)
    found = between.mean(subject_of(models, (x, y)), 100.0)
    assert found["constant"]["of_constant"] == pytest.approx(np.var(y.astype(float)), rel=1e-5)
    assert found["constant"]["better"] is better and found["verdict"]["constant"] is not better
    start = (
        "Yes: " if better else "Not worth averaging yet: the best of the models, [ab], has a loss of "
    )
    assert re.match(start, words.verdict_line(found, ["a", "b"]))


@pytest.mark.parametrize("slope", [1.0, 0.0])
@pytest.mark.parametrize("weight", [30.0, 0.1, None])
def test_weights_change_both_sides_of_a_comparison_with_the_mean_target(slope, weight):
    """Equal ones nothing but the unit; others as NumPy weighs losses and targets."""
    rng, x, y, models = two_regressions(slope)
    w = rng.uniform(5, 20, 80) if weight is None else np.full(80, weight)
    found = between.mean(subject_of(models, (x, y, w.astype("float32"))), 100.0)
    of_best = w * (x @ np.array([slope, 0.01 * found["constant"]["best"]]) + 3 - y) ** 2
    of_constant = w * (y - np.average(y, weights=w)) ** 2
    assert found["constant"]["of_best"] == pytest.approx(of_best.mean(), rel=1e-4)
    assert found["constant"]["of_constant"] == pytest.approx(of_constant.mean(), rel=1e-4)
    assert found["constant"]["difference"] == pytest.approx((of_constant - of_best).mean(), rel=1e-4)
    assert found["constant"]["better"] is (slope == 1.0) is not found["verdict"]["constant"]
    if weight is not None:
        usual = between.mean(subject_of(models, (x, y)), 100.0)
        for one, other in ((found, usual), (found["constant"], usual["constant"])):
            for name in one.keys() & {"mean_loss", "of_best", "of_constant", "difference", "error"}:
                assert one[name] == pytest.approx(weight * other[name], rel=1e-4)
        assert found["verdict"]["answer"] == usual["verdict"]["answer"]


@pytest.mark.parametrize("kind", ["one-hot", "column", "binary"])
def test_the_most_frequent_class_of_targets_of_every_kind(kind):
    """Weighted as the accuracy is: of class 1 there are few examples, and they count most."""
    y, w = np.array([0] * 40 + [1] * 20), np.array([1.0] * 40 + [3.0] * 20, "float32")
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1 if kind == "binary" else 2)])
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    one_hot = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"one-hot": one_hot, "column": SPARSE, "binary": binary}[kind])
    y = np.eye(2)[y] if kind == "one-hot" else y[:, None]
    found = between.mean(subject_of([model, keras.models.clone_model(model)][:1] * 2, (x, y, w)), 100.0)
    assert found["constant"]["of_constant"] == pytest.approx(0.6)


# ---- numbers of each checkpoint ---------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_widths_of_a_regression_do_not_depend_on_the_units_of_its_targets(unit):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)).astype("float32")
    exact = x @ np.array([1.0, -2.0, 0.5])
    for noise in (0.1, 0.0):
        y = (unit * (exact + noise * rng.normal(size=80))).astype("float32")
        model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
        model.compile("adam", "mse")
        model.set_weights([unit * np.array([[1.0], [-2.0], [0.5]], "float32")])
        found = flat.rise(subject_of([model], (x, y)), 0, 1000.0)
        if noise:
            (width,) = found["widths"]
            assert width["threshold"] == "twice the loss" and width["level"] == 2 * found["loss"]
            assert 0.05 < width["mean"] / unit < 0.2 and "left_out" not in found
        else:
            assert found["widths"] == [] and "not above 0" in found["left_out"]


def test_widths_of_a_loss_that_is_not_finite_are_left_out():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False)])
    model.compile("adam", "mse")
    model.set_weights([np.full((2, 1), 3e38, "float32")])
    x = np.ones((80, 2), "float32")
    found = flat.rise(subject_of([model], (x, x[:, 0])), 0, 1000.0)
    assert found["widths"] == [] and found["left_out"] == "the loss is not finite"


# ---- models of several outputs ----------------------------------------------------------------------


def test_a_card_of_models_of_several_outputs(tmp_path):
    """They have no one accuracy: what is said is about the loss, and nothing stops the card."""
    x, y, _ = weighted()
    models = {}
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((5,))
        outputs = {"a": layers.Dense(3, name="a")(inputs), "b": layers.Dense(1, name="b")(inputs)}
        models[f"model {seed}"] = keras.Model(inputs, outputs)
        models[f"model {seed}"].compile("adam", {"a": SPARSE, "b": "mse"})
    asked = {"minutes": 1, "out_dir": tmp_path, "say": lambda line: None, "examples": 100}
    found = wedges.card(models, (x, {"a": y, "b": x.sum(axis=1)}), **asked)
    assert found.results["fit"]["accuracy"] == [None, None]
    assert {"mean", "lines", "rise-1", "look-2"} <= {
        n for n, r in found.results.items() if "cut" not in r
    }
    assert found.results["mean"]["mean_accuracy"] is None
    assert json.loads(found.json.read_text())["finished"]
    several = ({"a": 0.5, "b": None}, {}, [0.5], (0.5, 0.5), None)
    assert not any(judging.one(each) is not None for each in several) and judging.one(0.5) == 0.5


# ---- checkpoints that differ in what is not trained --------------------------------------------------


def frozen_dense(rng):
    layer = layers.Dense(5, trainable=False, name="held")
    layer.build((None, 5))
    layer.set_weights([rng.normal(size=(5, 5)), rng.normal(size=5)])
    return layer


def adapted(rng):
    layer = layers.Normalization(name="held")
    layer.adapt(rng.normal(size=(50, 5)).astype("float32") + 2 * rng.normal(size=5))
    return layer


def frozen_batch_norm(rng):
    layer = layers.BatchNormalization(trainable=False, name="held")
    layer.build((None, 5))
    layer.set_weights([np.ones(5), np.zeros(5), 3 * rng.normal(size=5), np.full(5, 2.0)])
    return layer


@pytest.fixture(scope="module", params=[frozen_dense, adapted, frozen_batch_norm])
def unlike(request):
    """Two trained models whose first layer, which is not trained, is another one."""
    x, y, _ = weighted()
    rng, models = np.random.default_rng(0), []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        models.append(keras.Sequential([keras.Input((5,)), request.param(rng), layers.Dense(3)]))
        models[-1].compile(keras.optimizers.Adam(0.05), SPARSE, metrics=["accuracy"])
        models[-1].fit(x, y, epochs=20, verbose=0)
    return models


def test_nothing_is_said_between_checkpoints_of_different_untrained_weights(unlike):
    """Each is right by itself; a network between them would have the frozen weights of one."""
    x, y, _ = weighted()
    with pytest.warns(UserWarning, match="differs from .* in weights that are not trained"):
        subject = subject_of(unlike, (x, y))
    sections = {s.name: s.run for s in contents.sections(subject, {})}
    for name in ("mean", "lines", "alike", "curve", "aligned", "phase"):
        with pytest.raises(
            Cut, match=r"^the checkpoints differ in weights that are not trained \(.*held/"
        ):
            sections[name](1000.0)
    found = sections["fit"](1000.0)
    for k, model in enumerate(unlike):
        loss, accuracy = model.evaluate(x, y, verbose=0)
        assert found["loss"][k] == pytest.approx(loss, rel=1e-5)
        assert found["accuracy"][k] == pytest.approx(accuracy, rel=1e-5)
        risen, seen = (sections[f"{name}-{k + 1}"](1000.0) for name in ("rise", "look"))
        assert risen["loss"] == pytest.approx(loss, rel=1e-4) == seen["centre"]


def test_the_page_says_why_there_is_no_verdict(unlike, tmp_path):
    asked = {"minutes": 1e-3, "out_dir": tmp_path, "say": lambda line: None}
    found = wedges.card({"a": unlike[0], "b": unlike[1]}, weighted()[:2], **asked)
    text, why = found.page.read_text(), "the checkpoints differ in weights that are not trained ("
    assert f"May these be averaged?<br><b>Not judged: {why}" in text and "theta" not in text
    assert found.results["mean"]["cut"].startswith(why)


def test_checkpoints_of_several_losses_are_shown_by_the_first_ones():
    """Those of their own frozen weights, too; and a warning, which the page shows, says so."""
    x, y, _ = weighted()
    rng, models = np.random.default_rng(0), []
    for loss in (SPARSE, lambda y_true, y_pred: 2 * SPARSE.call(y_true, y_pred)):
        models.append(keras.Sequential([keras.Input((5,)), frozen_dense(rng), layers.Dense(3)]))
        models[-1].compile("adam", loss)
    with pytest.warns(UserWarning) as warned:
        found = fit.fit(subject_of(models, (x, y)), 100.0)
    said = [str(w.message) for w in warned if make._concerns(w)]
    assert said == [
        "The checkpoints are compiled with several losses: all numbers are of the loss of model 0."
    ]
    for k, model in enumerate(models):
        assert found["loss"][k] == pytest.approx(float(SPARSE(y, model(x))), rel=1e-5)


def scaled(mean):
    return layers.Normalization(mean=np.full(5, float(mean)), variance=np.ones(5))


def sampled(factor):
    noise = lambda x: factor * x + tf.random.normal(tf.shape(x))
    return layers.Lambda(noise, output_shape=(5,))


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        (layers.Activation("relu"), layers.Activation("tanh"), True),
        (scaled(0), scaled(3), True),
        (scaled(1), scaled(1), False),
        (layers.Dropout(0.1), layers.Dropout(0.9), False),
        (layers.Activation("linear"), layers.Dropout(0.5), False),
        (sampled(1.0), sampled(1.0), False),  # of random outputs nothing is known
    ],
)
def test_models_that_compute_something_else_with_the_same_weights_are_refused(one, other, refused):
    """The shapes of their weights are alike, and one of them would be shown as the other."""
    models = []
    for layer in (one, other):
        models.append(keras.Sequential([keras.Input((5,)), layer, layers.Dense(3)]))
        models[-1].compile("adam", SPARSE)
    if not refused:
        assert subject_of(models, weighted()[:2]).count == 2
        return
    with pytest.raises(
        ValueError, match="^model 0 and model 1 must be of one architecture; .* activatio"
    ):
        subject_of(models, weighted()[:2])


def test_an_untrained_layer_more_is_another_architecture():
    some = lambda *more: keras.Sequential([keras.Input((5,)), layers.Dense(3), *more])
    other = some(layers.Dense(3, trainable=False, name="more"))
    with pytest.raises(ValueError, match="must be of one architecture; .*more/kernel"):
        models_of([some(), other], None, weighted()[0])


# ---- what a look costs ------------------------------------------------------------------------------


SECTIONS = {
    "lines": between.lines,
    "mean": between.mean,
    "likeness": between.alike,
    "units in order": between.aligned,
    "curve": curve.curve,
    "curvature": lambda subject, seconds: flat.sharp(subject, 0, seconds),
    "widths": lambda subject, seconds: flat.rise(subject, 0, seconds),
    "surface": lambda subject, seconds: look.surface(subject, 0, seconds),
}


def forbid(monkeypatch):
    def ran(*given):
        raise AssertionError("a pass ran, which may take a minute to be traced")

    for name in ("__call__", "evaluate", "value_and_gradient", "hessian_product"):
        monkeypatch.setattr(NetworkLandscape, name, ran)


def normed(seed):
    keras.utils.set_random_seed(seed)
    some = [keras.Input((5,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(3)]
    model = keras.Sequential(some)
    model.compile("adam", SPARSE)
    return model


@pytest.mark.parametrize(
    ("build", "rates"),
    [
        (classifier, Rates(0.1, 0.3, 1.0)),  # seconds: passes over 200 examples take 20
        (normed, Rates(1e-4, 3e-4, 40.0)),  # passes are quick, and their graphs are not
    ],
)
def test_what_does_not_fit_is_known_before_anything_is_traced(build, rates, monkeypatch):
    subject = subject_of([build(1), build(2)], weighted()[:2])
    subject.rates = rates
    assert subject.working == 200
    forbid(monkeypatch)
    for name, section in SECTIONS.items():
        with pytest.raises(Cut, match="would take"):
            section(subject, 16.0)
            raise AssertionError(name)


def test_a_look_costs_a_small_share_of_what_is_left(monkeypatch):
    """A pass, or two and a tracing; where that is more than a tenth, what was expected is taken."""
    subject = subject_of([classifier(1), classifier(2)], weighted()[:2])
    subject.rates = Rates(0.1, 0.3, 40.0)
    assert 0 < subject.look(1000.0) < 20.0  # 60 s were expected, and it is measured
    assert subject.tracing(subject.around, "losses") == 0.0
    forbid(monkeypatch)
    fresh = subject.at(0).on(*subject.data.first(50))
    assert subject.tracing(fresh, "losses") == 20.0
    assert subject.look(199.0) == pytest.approx(20.0)


def test_a_trace_depends_on_the_number_of_its_own_products_alone(monkeypatch):
    subject = subject_of([classifier(1)], weighted()[:2])
    found = []
    for starts in (1, 2):
        monkeypatch.setattr(flat, "_STARTS", starts)
        found.append(flat.sharp(subject, 0, 1000.0))
    assert found[0]["products"] < found[1]["products"]
    assert found[0]["trace"] == found[1]["trace"] and found[0]["layers"] == found[1]["layers"]
