"""Figures 3 and 4 and the m-connectors: their claims on numbers made by hand, their checkpoints."""

import pathlib
import types

import numpy as np
import pytest

import wedges
from reproductions import fig3_tunnel, fig4_short_directions, m_connectors
from reproductions.bench import runs, store
from reproductions.common import data, optima, training


def failing(figure, arrays, config):
    return {c.id for c in figure.claims(arrays, config) if not c.passed}


def config_of(figure, **changes):
    return figure.Config(**{**figure.PRESETS["paper"], **changes})


# ---- fig3 -------------------------------------------------------------------------------------------


def blocks(size, split, across=0.0):
    """A matrix of likenesses with two blocks that meet before row `split`."""
    side = np.arange(size) >= split
    return np.where(side[:, None] == side, 1.0, across)


def fig3_arrays():
    """Three pairs: a line of barrier 2 above ends of 0.5, a tunnel 0.3 above them, the others 0.2."""
    t = np.linspace(0, 1, 21)
    three = lambda row: np.tile(row, (3, 1))
    line, hill = 0.5 + 2 * np.sin(np.pi * t) ** 2, np.sin(np.pi * t) ** 2
    losses = {"line": line, "tunnel": 0.5 + 0.3 * hill, "joint": 0.5 + 0.2 * hill}
    losses["bezier"] = losses["joint"]
    arrays = {}
    for name, values in losses.items():
        for reading in optima.READINGS:
            arrays[f"{name} {reading}"] = three(values)
    return arrays | {
        "cosines": np.tile(blocks(9, 5), (3, 1, 1)),
        "labels": np.tile(blocks(11, 5, 0.8), (3, 1, 1)),
        "ends disagree": np.ones(3),
        "toy line": three(np.sin(np.pi * t)),
        "toy tunnel": three(np.where(np.arange(21) == 9, 0.5, 0)),
        "toy cosines": np.tile(blocks(9, 4), (3, 1, 1)),
    }


def test_fig3_the_papers_picture_holds_every_claim():
    arrays, config = fig3_arrays(), config_of(fig3_tunnel)
    assert failing(fig3_tunnel, arrays, config) == set()
    numbers = fig3_tunnel.summary(arrays, config)
    np.testing.assert_allclose(numbers["barrier"], 2)
    np.testing.assert_allclose(numbers["tunnel highest"], 0.15)
    np.testing.assert_allclose(numbers["joint highest"], 0.1)
    np.testing.assert_allclose(numbers["turn"], 0.55)  # deviations of vertices 5 and 6 of 10
    np.testing.assert_allclose(numbers["labels turn"], 0.45)
    np.testing.assert_allclose(numbers["toy highest"], 0.5)
    np.testing.assert_array_equal(numbers["toy vertices"], 0)


@pytest.mark.parametrize(
    ("name", "change", "claims"),
    [
        ("line train loss", lambda a: 0.5 + (a - 0.5) * 0.02, {"barrier", "tunnel"}),
        ("tunnel train loss", lambda a: a + 0.3 * (np.arange(21) == 9), {"tunnel"}),  # a middle
        ("tunnel train loss", lambda a: a + 0.3 * (np.arange(21) == 10), {"tunnel"}),  # a vertex
        ("tunnel train loss", lambda a: a + np.eye(3, 21) * 9, {"tunnel"}),  # one pair of three
        ("joint train loss", lambda a: a + 0.2 * (np.arange(21) == 7), {"joint"}),
        ("cosines", lambda a: a * 0.4 + 0.6 * np.eye(9), {"within"}),
        ("cosines", lambda a: np.maximum(a, 0.8), {"across"}),
        ("labels", lambda a: np.ones_like(a), {"labels", "blocks"}),
        ("labels", lambda a: np.tile(blocks(11, 8, 0.8), (3, 1, 1)), {"blocks"}),
        ("toy tunnel", lambda a: a + 0.01, {"toy.vertices"}),
        ("toy cosines", lambda a: np.maximum(a, 0.8), {"toy.across"}),
        ("toy cosines", lambda a: a * np.nan, {"toy.across", "toy.within"}),
        ("cosines", lambda a: a * np.nan, {"within", "across", "blocks"}),
        ("tunnel train loss", lambda a: a * np.nan, {"tunnel", "joint"}),
    ],
)
def test_fig3_each_claim_fails_alone(name, change, claims):
    arrays, config = fig3_arrays(), config_of(fig3_tunnel)
    arrays[name] = change(arrays[name])
    assert failing(fig3_tunnel, arrays, config) == {f"fig3.{c}" for c in claims}


# ---- m-connectors -----------------------------------------------------------------------------------


def m_arrays(config):
    """Optima at 0.5, the flat hull 2 above, all connectors 0.3 above; one by one a little higher."""
    shapes = {
        "points": (len(config.m), config.subsets, config.points),
        "held": (len(config.continuous), config.held_out),
    }
    shapes["points flat"] = shapes["points"]
    heights = {"points": 0.3, "points flat": 2.0}
    for where in ("held", "segments"):
        for name, height in (("flat", 2.0), ("stitched", 0.4), ("joint", 0.3)):
            shapes[f"{where} {name}"] = shapes["held"]
            heights[f"{where} {name}"] = height
    arrays = {"optima train loss": np.full(11, 0.5), "optima test accuracy": np.full(11, 0.7)}
    for name, height in heights.items():
        arrays[f"{name} train loss"] = np.full(shapes[name], 0.5 + height)
        arrays[f"{name} test accuracy"] = np.full(shapes[name], 0.65)
    return arrays


def test_m_connectors_low_surfaces_hold_every_claim():
    config = config_of(m_connectors)
    arrays = m_arrays(config)
    assert failing(m_connectors, arrays, config) == set()
    numbers = m_connectors.summary(arrays, config)
    np.testing.assert_allclose(numbers["m 10, points: height"], 0.15)
    np.testing.assert_allclose(numbers["m 3, held stitched: height"], 0.2)
    assert numbers["verified up to m, joint"] == [10]


@pytest.mark.parametrize(
    ("name", "place", "value", "claims"),
    [
        ("points train loss", (3, 1, 0), 1.2, {"points"}),
        ("points test accuracy", (3, 1, 0), 0.5, {"accuracy"}),
        ("held joint train loss", (2, 7), 1.2, {"heldout"}),
        ("held joint train loss", 4, 1.2, {"heldout", "top"}),
        ("held joint train loss", slice(None), 0.95, {"joint"}),
        ("segments joint train loss", (0, 0), 1.2, {"segments"}),
        ("held stitched train loss", (1, 3), 1.2, {"stitched"}),
        ("held joint train loss", (4, 0), np.nan, {"heldout", "top", "joint"}),
        ("points train loss", (0, 0, 0), np.nan, {"points"}),
    ],
)
def test_m_connectors_each_claim_fails_alone(name, place, value, claims):
    config = config_of(m_connectors)
    arrays = m_arrays(config)
    arrays[name][place] = value
    assert failing(m_connectors, arrays, config) == {f"m-connector.{c}" for c in claims}


def test_verified_up_to_the_first_m_that_is_not_low_everywhere():
    heights = np.full((4, 5), 0.1)
    assert m_connectors.verified(heights, (1, 2, 5, 10)) == 10
    heights[2, 3] = 0.26
    assert m_connectors.verified(heights, (1, 2, 5, 10)) == 2
    assert m_connectors.verified(heights, (5, 10, 1, 2)) == 0  # rows go with their m
    heights[:] = np.nan
    assert m_connectors.verified(heights, (1, 2, 5, 10)) == 0


# ---- fig4 -------------------------------------------------------------------------------------------


def fig4_arrays(config):
    """Counts that grow with m, and a toy whose crossings have (m + 1) s short directions."""
    m, s = np.array([1, *config.m]), config.toy_short
    # optimum, optimum, tunnel at 1/4, 1/2, 3/4, middles
    growth = np.array([0, 0, 0.5, 1, 0.5, *config.m])
    counts = 100 * (1 + growth)
    dims = np.array(config.cuts)
    # left falls from 1 to 0.1 at d = counts
    left = np.clip(1 - 0.9 * np.log(dims) / np.log(counts)[:, None], 0, 1)
    arrays = {
        "train loss": np.full(len(counts), 0.6),
        "left": np.repeat(left[:, None], config.cut_samples, axis=1),
        "rises": np.ones((len(counts), config.cut_samples)),
        "eigenvalues": np.tile(counts[:, None, None], (1, len(config.floors), config.vectors)),
    }
    for name in fig4_short_directions.TOY:
        arrays[f"toy {name}"] = np.stack([np.full(len(m), s), (m + 1) * s], axis=1).astype(float)
        arrays[f"toy optimum {name}"] = np.array(s)
    return arrays


def test_fig4_growing_counts_hold_every_claim():
    config = config_of(fig4_short_directions)
    arrays = fig4_arrays(config)
    assert failing(fig4_short_directions, arrays, config) == set()
    numbers = fig4_short_directions.summary(arrays, config)
    np.testing.assert_allclose(numbers["tunnel, 0.5: cuts"], 200, rtol=1e-6)
    np.testing.assert_allclose(numbers["middle, m = 10: eigenvalues above 1"], 1100)
    assert numbers["toy crossing, m 10: geometry"] == [11 * config.toy_short]


def test_fig4_each_claim_fails_alone():
    config = config_of(fig4_short_directions)
    place = {name: i for i, name in enumerate(fig4_short_directions.names(config))}
    middle = place["tunnel, 0.5"]

    arrays = fig4_arrays(config)
    arrays["eigenvalues"][middle, 0] = 90
    assert failing(fig4_short_directions, arrays, config) == {"fig4.middle.eigenvalues.1"}
    arrays = fig4_arrays(config)
    arrays["eigenvalues"][[place["middle, m = 2"], place["middle, m = 10"]], 1] = 2000, 150
    assert failing(fig4_short_directions, arrays, config) == {"fig4.rank.eigenvalues.10"}
    arrays = fig4_arrays(config)
    arrays["left"][middle] = 1.0  # no cut recovers it
    assert failing(fig4_short_directions, arrays, config) == {"fig4.middle.cuts", "fig4.rank.cuts"}
    for name in ("geometry", "gradients"):
        arrays = fig4_arrays(config)
        arrays[f"toy {name}"][2, 1] *= 0.9
        assert failing(fig4_short_directions, arrays, config) == {f"fig4.toy.{name}"}


def test_fig4_probes_the_optima_the_tunnel_and_the_middles():
    config = config_of(fig4_short_directions, m=(2, 5), segments=4)
    tunnel = ["tunnel, 0.25", "tunnel, 0.5", "tunnel, 0.75"]
    middles = ["middle, m = 2", "middle, m = 5"]
    assert fig4_short_directions.names(config) == ["optimum 1", "optimum 2", *tunnel, *middles]
    m, counts = fig4_short_directions._by_m(np.arange(7.0), config)
    np.testing.assert_array_equal(m, [0, 1, 2, 5])
    np.testing.assert_array_equal(counts, [0.5, 3, 5, 6])


# ---- optima, shared; descents that were killed ------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Digits, a small network, and its config."""
    settings = {**optima.BETWEEN, "dataset": "digits", "seed": 0, "epochs": 1, "width": 0.25}
    return types.SimpleNamespace(**{**settings, "batch_size": 64}), data.load("digits")


def run_in(folder):
    return runs.Run(None, pathlib.Path(folder))


def test_an_optimum_is_trained_once_for_all_figures(small, tmp_path, monkeypatch):
    config, dataset = small
    theta = optima.trained(config, run_in(tmp_path), dataset, 3)
    monkeypatch.setattr(wedges.Descent, "run", lambda *_: pytest.fail("trained again"))
    config = types.SimpleNamespace(**{**vars(config), "rate": 0.5, "examples": 10, "seed": 9})
    np.testing.assert_array_equal(optima.trained(config, run_in(tmp_path), dataset, 3), theta)


def test_readings_are_those_of_the_landscapes(small):
    config, dataset = small
    network = optima.network(config, dataset)
    theta = network.descend.space.read().numpy()
    found = optima.readings(network, np.stack([theta, 2 * theta]), "test")
    assert network.seen.size == min(config.examples, len(dataset.x_train))
    test = network.unseen.evaluate(2 * theta)
    assert found["test accuracy"][1] == test.accuracy and found["test loss"][1] == test.loss
    assert found["train loss"][0] == network.seen.evaluate(theta).loss
    labels = network.unseen.labels(test.outputs)
    np.testing.assert_array_equal(found["labels"][1], labels)


def connect_two(config, dataset, folder, label="test"):
    network = optima.network(config, dataset)
    rng, d = np.random.default_rng(0), network.descend.dimension
    ends = rng.standard_normal((2, d)).astype(np.float32) * 0.1
    with training.following(run_in(folder), label, 3 * 60, key=network.key) as follow:
        return wedges.tunnel(
            network.descend, *ends, 4, optima.adam(config, 60), 60, follow=follow
        ).vertices


def test_a_tunnel_killed_anywhere_ends_bit_for_bit_the_same(small, tmp_path, monkeypatch):
    config, dataset = small
    whole = connect_two(config, dataset, tmp_path / "whole")
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_SAVES", 0)
    save, saves = store.save, []

    def killed(*arguments):
        save(*arguments)
        saves.append(arguments[0])
        if len(saves) in (1, 4):  # within the first point, and within the second
            raise KeyboardInterrupt

    monkeypatch.setattr(store, "save", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            connect_two(config, dataset, tmp_path / "killed")
    np.testing.assert_array_equal(connect_two(config, dataset, tmp_path / "killed"), whole)
    # And once more without a step.
    monkeypatch.setattr(wedges.Descent, "run", lambda *_: pytest.fail("descended again"))
    np.testing.assert_array_equal(connect_two(config, dataset, tmp_path / "killed"), whole)


def test_another_key_descends_again(small, tmp_path):
    config, dataset = small
    connect_two(config, dataset, tmp_path)
    before = len(list(tmp_path.iterdir()))
    other = types.SimpleNamespace(**{**vars(config), "seed": 1})  # other minibatches
    connect_two(other, dataset, tmp_path)
    assert before == 3 and len(list(tmp_path.iterdir())) == 6
