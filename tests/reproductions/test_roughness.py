"""The roughness figure: the authors' networks by hand, each claim on numbers made by hand."""

import dataclasses

import numpy as np
import pytest

import wedges
from reproductions import roughness as figure
from reproductions.bench import options
from reproductions.common import equations, known_roughness

PAPER, QUICK, SMOKE = (
    figure.Config(**options.preset(figure.Config, name)) for name in ("paper", "quick", "smoke")
)
ALL = dataclasses.replace(PAPER, problems=tuple(equations.EQUATIONS))


# ---- networks and losses ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "d"), [("line", 1), ("ball", 3), ("cube10", 10)])
def test_the_network_is_residual_blocks_between_linear_layers(name, d):
    task, own = equations.Task(name, "ritz", None, 3), equations.EQUATIONS[name]
    model = equations.network(task)
    weights = [w.astype(np.float64) for w in model.get_weights()]
    assert len(weights) == 2 * (2 + 2 * own.blocks)
    assert {w.shape for w in weights[2:-2:2]} == {(own.width, own.width)}
    assert not any(w.any() for w in weights[1::2]) and str(model.dtype_policy.name) == "float32"
    rng = np.random.default_rng(0)
    weights = [w + 0.3 * rng.standard_normal(w.shape) for w in weights]
    model.set_weights(weights)
    x = rng.standard_normal((5, d))
    silu = lambda z: z / (1 + np.exp(-z))
    y = x @ weights[0] + weights[1]
    for i in range(own.blocks):
        a, b, c, e = weights[2 + 4 * i : 6 + 4 * i]
        y = y + silu(silu(y @ a + b) @ c + e)
    found = model(x).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, y @ weights[-2] + weights[-1], rtol=1e-12)


def test_xavier_weights_have_their_deviation_and_a_seed():
    tasks = [equations.Task("ball", "ritz", None, seed) for seed in range(12)]
    inner = np.array([equations.network(t).get_weights()[2] for t in tasks])  # 8 x 8
    assert abs(inner.std() - np.sqrt(2 / 16)) < 0.03
    assert len({w.tobytes() for w in inner}) == 12
    np.testing.assert_array_equal(equations.network(tasks[3]).get_weights()[2], inner[3])


def test_with_new_points_or_without_the_loss_is_the_same_and_seeds_share_it():
    fresh, other = (equations.Task("ball", "galerkin", 20, seed) for seed in (0, 1))
    assert fresh.measured == other.measured == equations.Task("ball", "galerkin", None, 0)
    loss, sampled = equations.landscape(fresh.measured), equations.landscape(fresh)
    theta = equations.landscape(other).space.read().numpy()
    np.testing.assert_allclose(loss(theta), sampled(theta), rtol=1e-12)
    assert sampled.sample(theta, 0) != sampled.sample(theta, 1) and sampled.derivatives == "forward"
    assert equations.landscape(fresh.measured) is loss
    assert not np.array_equal(theta, sampled.space.read())


def test_what_is_known_is_so():
    known = known_roughness.known(4)
    assert known["bowl"] <= 1e-9 and known["rugged index"] <= 1e-9 < 1 < known["rugged excess"]
    assert abs(known["grid"] - 1.5404) <= 1e-4 and known["predicted"] <= 1e-3 and known["energy"] <= 1e-6


# ---- claims -----------------------------------------------------------------------------------------


def arrays(config, **changes):
    """Numbers for which every claim holds. changes: {name: function of that array}."""
    looks, seeds = config.looks + 1, config.seeds
    rise = np.interp(np.linspace(0, 1, looks), [0, 0.2, 1], [0.01, 0.2, 0.05])
    found = {}
    for key in figure.keys(config):
        label, rough = " ".join(key), key[1] == "ritz" and key[2] == "fresh"
        count = len(figure.far(config, key[0]))
        own = {name: np.full((seeds, count), 0.1) for name in equations.NUMBERS}
        own["index"] *= 2 if rough else 1
        own["variations"] = np.full((seeds, count, config.directions), 1.7)
        for name in equations.NUMBERS:
            own[f"published {name}"] = own[f"start {name}"] = np.full(seeds, 0.1)
            own[f"along {name}"] = np.tile(rise, (seeds, 1))
        own["along error"] = np.full((seeds, looks), 1e-2 if key[1] == "ritz" else 1e-3)
        own["along loss"] = own["along gradient"] = np.ones((seeds, looks))
        found |= {f"{label} {name}": a.copy() for name, a in own.items()}
    for place in ("start", "optimum"):
        found |= {f"cnn {place} {name}": np.full(config.optima, 0.2) for name in equations.NUMBERS}
    known = {
        "bowl": 0.0,
        "grid": 1.5404,
        "predicted": 0.0,
        "energy": 0.0,
        "rugged index": 0.0,
        "rugged excess": 5.0,
        "toy index": 0.0,
        "toy mean": 2.0,
        "toy excess": 0.0,
        "toy height": 0.2,
    }
    found |= {f"known {name}": np.array(v) for name, v in known.items()}
    for name, value in changes.items():
        found[name] = np.asarray(value(found[name]), float)
    return found


def failures(made, config):
    return {c.id.removeprefix("roughness.") for c in figure.claims(made, config) if not c.passed}


@pytest.mark.parametrize("config", [PAPER, QUICK, ALL], ids=["paper", "quick", "all"])
def test_all_claims_hold_of_these_numbers_and_they_can_be_drawn(config):
    made = arrays(config)
    assert failures(made, config) == set()
    assert len(figure.claims(made, config)) == 15
    assert all(np.isfinite(v).all() and len(v) for v in figure.summary(made, config).values())
    drawn = figure.plot(made, config)
    assert len(drawn.axes) == 6
    words = drawn.get_suptitle()
    assert "hardly how rough they are" in words and "0.0% of all slices up to l = 0.1" in words


def one(value, place=Ellipsis):
    """An array changed at a place."""

    def change(a):
        a = a.copy()
        a[place] = value
        return a

    return change


@pytest.mark.parametrize(
    ("name", "change", "claims"),
    [
        # Of six pairs one may miss 1.5, two may not.
        ("line ritz fresh index", one(0.149, (0, 0)), set()),
        ("line ritz fresh index", one(0.149, (slice(2), 0)), {"B-1"}),
        ("ball ritz fresh along error", one(2.9e-3, (0, -1)), set()),
        ("ball ritz fresh along error", one(2.9e-3, (slice(2), -1)), {"B-2"}),
        ("line galerkin fresh along index", one(0.07, (slice(None), 0)), {"B-3.rise"}),
        ("line galerkin fresh along index", one(0.07, (slice(None), -1)), {"B-3.fall"}),
        ("line galerkin fresh along predicted", lambda a: 0.2 - a, {"B-4"}),
        ("line galerkin fixed variations", one(2.02, (slice(None), 0, slice(80))), {"B-5.share"}),
        ("line galerkin fixed variations", one(2.009, (slice(None), 0)), set()),
        # Longer slices than 0.1 are not asked.
        ("line galerkin fixed variations", one(5.0, (slice(None), slice(1, None))), set()),
        ("ball ritz fresh index", one(0.37, (0, 0)), {"B-5.index"}),
        ("line ritz fixed index", one(0.16, (slice(2), 0)), set()),
        ("line ritz fixed index", one(0.16, (slice(None), 0)), {"B-6"}),
        ("known bowl", lambda a: 1e-6, {"known.bowl"}),
        ("known grid", lambda a: 2.0, {"known.grid"}),
        ("known predicted", lambda a: 0.01, {"known.predicted"}),
        ("known energy", lambda a: 1e-3, {"known.energy"}),
        ("known rugged index", lambda a: 0.1, {"known.rugged"}),
        ("known rugged excess", lambda a: 0.5, {"known.waves"}),
        ("known toy mean", lambda a: 1.9, {"known.toy"}),
    ],
)
def test_each_claim_fails_alone(name, change, claims):
    assert failures(arrays(PAPER, **{name: change}), PAPER) == claims


def test_the_title_does_not_say_that_slices_are_smooth_where_they_are_not():
    made = arrays(
        PAPER, **{"line galerkin fixed variations": one(3.0), "ball ritz fresh variations": one(3.0)}
    )
    assert "hardly" not in figure.plot(made, PAPER).get_suptitle()


def test_without_the_line_its_claims_are_not_made():
    config = dataclasses.replace(PAPER, problems=("ball",))
    found = {c.id for c in figure.claims(arrays(config), config)}
    assert not {i for i in found if ".B-3." in i} and len(found) == 13


def test_the_end_is_looked_at_from_the_authors_distance_on():
    assert figure.far(PAPER, "line") == (0.02, 0.2, 0.3, 0.4, 0.5)
    assert figure.far(QUICK, "ball") == (0.1, 0.5)
    assert figure.looks(5000, 10)[:3] == (0, 500, 1000) and figure.looks(40, 2)[-1] == 40


def test_the_authors_numbers_are_those_that_they_print():
    assert [len(v) for v in figure.AUTHORS_ALONG.values()] == [PAPER.looks + 1] * 2
    assert max(max(e.index) for e in equations.EQUATIONS.values()) < wedges.roughness.UNIMODAL
    both = {r: i for i, r in enumerate(equations.RESIDUALS)}
    assert both == {"galerkin": 0, "ritz": 1}
    assert all(e.index[0] < e.index[1] for e in equations.EQUATIONS.values())
