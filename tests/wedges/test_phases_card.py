"""The card of three networks: each number against the call it stands for, and its text."""

import warnings

import keras
import numpy as np
import pytest

import wedges
from tests import conftest
from wedges import phases
from wedges.phases import measure

STEPS = 10


@pytest.fixture(scope="module")
def case(images):
    """(training landscape, held-out one, thetas) of small networks that fit a little."""
    x, y = images
    keras.utils.set_random_seed(0)
    model = conftest.plain()
    how = {"seed": 0, "batch_size": 16}
    train = wedges.NetworkLandscape(model, x[:40], y[:40], conftest.SPARSE, **how)
    start = train.space.read().numpy()
    rng = np.random.default_rng(0)
    starts = start + 0.1 * rng.normal(size=(3, len(start))).astype(np.float32)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    return (
        train,
        train.on(x[40:], y[40:]),
        np.array([wedges.minimize(train, s, sgd, 40).theta for s in starts]),
    )


@pytest.fixture(scope="module")
def card(case):
    train, test, thetas = case
    return measure(train, thetas, held_out=test, steps=STEPS, curvature_examples=20, products=9)


def test_numbers_are_those_of_the_single_calls(card, case):
    train, test, thetas = case
    for i, theta in enumerate(thetas):
        here, there = train.evaluate(theta), test.evaluate(theta)
        assert card.loss[i] == pytest.approx(here.loss, rel=1e-6)
        assert card.error[i] == pytest.approx(100 * (1 - here.accuracy), abs=1e-4)
        assert card.held_out_loss[i] == pytest.approx(there.loss, rel=1e-6)
        assert card.held_out_error[i] == pytest.approx(100 * (1 - there.accuracy), abs=1e-4)
    assert card.pairs == ((0, 1),) and (card.dimension, card.examples) == (train.dimension, 40)
    alone = phases.mode_connectivity(train, thetas[0], thetas[1], steps=STEPS)
    np.testing.assert_array_equal(card.connections[0].values, alone.values)
    assert card.mc == alone.mc
    alike = phases.similarity(train, thetas, seed=0)
    np.testing.assert_array_equal(card.similarity.cka, alike.cka)
    np.testing.assert_allclose(card.distance, alike.distance, rtol=1e-12)
    expected = phases.phase(card.error.mean(), card.mc, alike.mean, card.curvature.log_trace)
    assert card.phase == expected


def test_the_hessian_is_that_of_the_same_drawn_examples_for_all(card, case):
    train, _, thetas = case
    x, y, _ = train.drawn(20, seed=0)
    part = train.on(x, y)
    for i, theta in ((2, thetas[2]),):  # the last: a sample that moved on would show
        dense = np.array(
            [wedges.hessian(part, theta) @ row for row in np.eye(train.dimension, dtype="float32")]
        )
        assert card.curvature.top[i] == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=0.02)
        off = abs(card.curvature.trace[i] - np.trace(dense))
        assert off < 5 * card.curvature.trace_error[i] + 1e-3 * np.trace(dense)
    assert card.curvature.examples == 20
    assert card.curvature.log_trace == pytest.approx(np.log(card.curvature.trace.mean()))
    assert card.curvature.log_top == pytest.approx(np.log(card.curvature.top.mean()))


def test_the_text_has_at_most_ten_lines_and_every_threshold(card):
    told = card._replace(diagnosis="a larger width")
    lines = str(told).splitlines()
    assert 8 <= len(lines) <= 10 and max(map(len, lines)) <= 130
    text = str(told)
    assert lines[0] == f"3 models, D = {card.dimension:,}, on 40 examples: phase {card.phase.name}"
    wanted = ("0.1%", "below -1", "above 1", "sharp above 5.3", "from 0.563", "at 21 t", "held out")
    assert all(each in text for each in wanted)
    assert f"mc {card.mc:.3g} points" in text and "to change   a larger width" in text
    assert repr(card).startswith("Card(loss=[") and "\n" not in repr(card)


def test_models_that_have_not_converged_are_named(card):
    assert "converged up to 0.1%; not: " in str(card) or card.error.max() <= 0.1
    late = card._replace(error=np.array([0.0, 5.0, 9.0]))
    assert "(converged up to 0.1%; not: 1, 2)" in str(late)
    assert "(converged up to 0.1%: all)" in str(card._replace(error=np.zeros(3)))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("first", ((0, 1),)),
        ("ring", ((0, 1), (1, 2), (2, 0))),
        ("all", ((0, 1), (0, 2), (1, 2))),
    ],
)
def test_pairs_and_the_names_of_their_curves(case, pairs, expected):
    train, _, thetas = case
    names = []

    def follow(descent, steps, name):
        names.append(name)
        descent.run(steps)

    how = {"steps": 1, "curvature_examples": 0, "points": 2, "follow": follow}
    found = measure(train, thetas, pairs=pairs, **how)
    assert found.pairs == expected and found.curvature is None
    assert names == [f"curve {i + 1} of {len(expected)}" for i in range(len(expected))]
    assert found.mc == pytest.approx(np.mean([each.mc for each in found.connections]))
    assert np.isnan(found.phase.log_trace) and "Hessian" not in str(found)
    if len(expected) == 3:
        assert "mean of 3 pairs" in str(found)


def test_a_diagnosis_is_asked_with_these_measures(case):
    train, _, thetas = case
    asked = {}
    how = {"curve": "line", "curvature_examples": 0}
    found = measure(train, thetas, diagnose=lambda **given: asked.update(given) or "wider", **how)
    assert found.diagnosis == "wider"
    peak = found.connections[0].peak
    expected = {"train_error": found.error.mean(), "peak": -peak, "mc": found.mc}
    expected |= {"cka": found.similarity.mean, "train_loss": found.loss.mean()}
    assert {name: asked[name] for name in expected} == pytest.approx(expected)
    assert np.isnan(asked["log_trace"]) and np.isnan(asked["log_top"])


def test_a_dead_model_and_a_diverged_one_are_named(case):
    train, _, thetas = case
    # Outputs that depend on nothing; and numbers beyond float32.
    bad = np.array([thetas[0], 0 * thetas[1], np.full_like(thetas[2], 3e38)])
    found = measure(train, bad, curve="line", curvature_examples=20, products=3)
    text = str(found)
    assert "model 1: constant outputs" in text and "model 2: outputs that are not finite" in text
    assert np.isnan(found.curvature.top[2]) and np.isfinite(found.curvature.top[:2]).all()
    assert np.isnan(found.curvature.log_trace) and found.phase.trace_agrees is None
    # The first class of NaN is no prediction, so that there is no error, no phase and no advice.
    assert np.isnan(found.error).tolist() == [False, False, True] and "(no loss: model 2)" in text
    assert (found.phase.name, found.diagnosis) == ("", None) and "no phase" in text
    gone = phases.mode_connectivity(train, bad[0], bad[2], curve="line")
    assert np.isnan([gone.mc, gone.barrier, gone.fine.mc]).all()


def test_tokens_are_compared_as_they_are():
    words = np.random.default_rng(0).integers(0, 7, (24, 5))
    layers = [keras.Input((5,)), keras.layers.Embedding(7, 3), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(4)])
    landscape = wedges.NetworkLandscape(model, words, words[:, 0] % 4, conftest.SPARSE, seed=0)
    thetas = np.random.default_rng(1).normal(size=(2, landscape.dimension)).astype(np.float32)
    found = measure(landscape, thetas, curve="line", curvature_examples=0)
    assert not found.similarity.mixed and "on inputs as they are" in str(found)
    plain = phases.similarity(landscape, thetas, seed=0, alpha=None)
    np.testing.assert_array_equal(found.similarity.cka, plain.cka)


def test_batch_norm_of_one_model_is_warned_of():
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    make = lambda how: wedges.NetworkLandscape(
        model, x, np.arange(16) % 2, conftest.SPARSE, seed=0, batch_norm=how
    )
    thetas = np.random.default_rng(1).normal(size=(2, make("frozen").dimension)).astype(np.float32)
    with pytest.warns(UserWarning, match='statistics of one model.*batch_norm="reestimate"'):
        phases.mode_connectivity(make("frozen"), *thetas, curve="line", points=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        phases.mode_connectivity(make("reestimate"), *thetas, curve="line", points=3)


def test_regression_has_losses_and_no_phase(images):
    x, _ = images
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    landscape = wedges.NetworkLandscape(model, x, x[:, 0, 0, 0], "mean_squared_error", seed=0)
    thetas = np.random.default_rng(0).normal(size=(2, landscape.dimension)).astype(np.float32)
    found = measure(landscape, thetas, steps=5, curvature_examples=10, products=3)
    assert (found.error, found.phase, found.diagnosis) == (None, None, None)
    assert found.connections[0].unit == "loss" and found.similarity.agreement is None
    assert str(found).startswith("2 models, D = 65, on 53 examples: no phase\n")
    with pytest.raises(ValueError, match='unit must be "loss" on a landscape without one accuracy'):
        measure(landscape, thetas, unit="error")


def test_a_landscape_without_examples_is_measured_where_that_has_a_meaning():
    bowl = wedges.Quadratic([1.0, 2.0, 3.0])
    found = measure(bowl, np.eye(3)[:2], curve="line")
    assert found.similarity is None and found.phase is None and found.examples is None
    assert found.mc == pytest.approx(0.75 - 11 / 32)  # at t = 1/4: (9/16) 1/2 + 1/16
    assert found.curvature.top == pytest.approx([3, 3], rel=0.01)
    assert found.curvature.trace == pytest.approx([6, 6]) and found.distance[0, 1] == np.sqrt(2)
    assert str(found).splitlines()[0] == "2 models, D = 3: no phase"


@pytest.mark.parametrize(
    ("thetas", "how", "said"),
    [
        (lambda t: t[:1], {}, r"thetas must be at least two points \[K, D\]; received one, or none."),
        (lambda t: [], {}, "thetas must be at least two points"),
        (lambda t: [t[0], t[0]], {}, r"thetas must differ; received numbers 0 and 1 \(from 0\) alike."),
        (lambda t: [t[0], t[1][:2]], {}, "thetas must all be points .* no common space."),
        (lambda t: [t[0], t[1] * np.nan], {}, "thetas must be finite"),
        (lambda t: t, {"pairs": "some"}, "pairs must be 'first', 'ring' or 'all'"),
        (
            lambda t: t,
            {"held_out": wedges.Quadratic([1.0])},
            "held_out must be of the landscape's space",
        ),
        (lambda t: t, {"held_out": 3}, "held_out must be a wedges.Landscape; received int."),
        (lambda t: t, {"curvature_examples": -1}, "curvature_examples must be a whole number"),
        (lambda t: t, {"diagnose": 3}, "diagnose must be a function or None; received 3."),
        (
            lambda t: t,
            {"thresholds": 0.1},
            r"thresholds must be wedges.phases.Thresholds\(...\); received",
        ),
        (
            lambda t: t,
            {"steps_": 3},
            "settings must be of mode_connectivity: bend, .*; received steps_.",
        ),
    ],
)
def test_bad_input_is_one_line(case, thetas, how, said):
    train, _, known = case
    with pytest.raises(ValueError, match=said) as raised:
        measure(train, thetas(known), **how)
    assert len(str(raised.value).splitlines()) == 1
