"""The figure of the tangent kernel: networks and descents against NumPy, claims on numbers by hand."""

import dataclasses

import numpy as np
import pytest

import wedges
from reproductions import tangent_kernel as figure
from reproductions.bench import options, workplace
from reproductions.common import wide

QUICK = figure.Config(**{**options.preset(figure.Config, "quick"), "seeds": 2})
POINTS = wide.Points(7, 3, 0)


def forward(net, theta):
    """Outputs [n] by NumPy."""
    x, _ = net.points.load()
    parts, at = [], 0
    for fan_in, fan_out in zip(net.widths[:-1], net.widths[1:], strict=True):
        parts.append(theta[at : at + fan_in * fan_out].reshape(fan_in, fan_out))
        at += fan_in * fan_out
    for i, W in enumerate(parts):
        scale = len(W) ** -0.5 if net.form == "ntk" and i else 1.0
        x = scale * x @ W if i == len(parts) - 1 else np.tanh(scale * x @ W)
    return np.tanh(3 * x[:, 0]) if net.head == "tanh" else x[:, 0]


# ---- networks and descents --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net",
    [
        wide.Net(2, 6, POINTS, 0),
        wide.Net(3, 5, POINTS, 1),
        wide.Net(2, 6, POINTS, 0, head="tanh"),
        wide.Net(2, 6, POINTS, 0, head="bottleneck"),
        wide.Net(2, 6, POINTS, 0, form="glorot"),
    ],
    ids=lambda net: f"{net.layers} {net.head} {net.form}",
)
def test_a_network_is_what_its_recipe_says(net):
    theta = net.start()
    landscape = wide.landscape(net)
    assert landscape.dimension == len(theta) and landscape.dtype.name == "float64"
    x, y = POINTS.load()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
    assert set(np.unique(y)) == {-1, 1}
    np.testing.assert_allclose(landscape.evaluate(theta).outputs[:, 0], forward(net, theta), atol=1e-12)
    loss = np.sum((forward(net, theta) - y[:, 0]) ** 2) / 2
    assert float(landscape(theta)) == pytest.approx(loss, rel=1e-12)


def test_initial_weights_have_the_size_of_their_form():
    size = {}
    for form in wide.FORMS:
        theta = wide.Net(2, 400, wide.Points(4, 100, 0), 0, form=form).start()
        size[form] = theta[:40_000].std()
    expected = {"ntk": 1, "glorot": np.sqrt(2 / 500), "lecun": 0.1}
    assert size == pytest.approx(expected, rel=0.02)


def test_a_descent_is_that_of_numpy_and_ends_at_its_floor():
    net = wide.Net(2, 30, POINTS, 0)
    how = wide.Descent(0.8, 600, 1e-3)
    losses, thetas, steps, eta = wide.descend(net, how, "")
    theta, (x, y) = net.start(), POINTS.load()
    W, v = theta[:90].reshape(3, 30), theta[90:]
    z = x @ W
    slope = (1 - np.tanh(z) ** 2) * v
    kernel = (np.tanh(z) @ np.tanh(z).T + (x @ x.T) * (slope @ slope.T)) / 30
    assert eta == pytest.approx(0.8 / np.linalg.eigvalsh(kernel)[-1], rel=1e-9)
    for t, loss in enumerate(losses):
        z = x @ W
        r = np.tanh(z) @ v / np.sqrt(30) - y[:, 0]
        assert loss == pytest.approx(r @ r / 2, rel=1e-7)
        if t == steps[-1]:
            break
        back = r[:, None] * (1 - np.tanh(z) ** 2) * v
        v = v - eta * np.tanh(z).T @ r / np.sqrt(30)
        W = W - eta * x.T @ back / np.sqrt(30)
    assert 50 < t == len(losses) - 1 == steps[-1] < 600
    assert losses[-1] <= 1e-3 * losses[0] < losses[-2]
    np.testing.assert_allclose(thetas[-1], [*W.ravel(), *v], rtol=1e-6)
    np.testing.assert_array_equal(steps[:-1], 50 * np.arange(len(steps) - 1))


def test_a_descent_without_end_takes_all_its_steps():
    losses, thetas, steps, _ = wide.descend(wide.Net(2, 2, POINTS, 0), wide.Descent(0.5, 120, 1e-12), "")
    assert len(losses) == 121 and steps.tolist() == [0, 50, 100, 120] and len(thetas) == 4


def test_what_is_measured_of_a_descent():
    net = wide.Net(2, 40, POINTS, 3)
    found = figure.fitted(net, wide.Descent(1.0, 200, 1e-3))
    assert found["losses"].shape == (201,) and found["ratio"].shape == (5,)
    assert figure.outside(found) == 0 < found["steps"]
    first = wedges.pl_ratio(wide.landscape(net), net.start())
    for name in ("smallest", "largest", "ratio"):
        assert found[name][0] == pytest.approx(getattr(first, name), rel=1e-9)
    assert found["eta"] * found["largest"][0] == pytest.approx(1)
    assert found["distance"][0] == 0 < found["change"]


def test_a_minimum_of_many_weights_has_no_convex_neighbourhood():
    found = figure.curved(wide.Net(2, 40, POINTS, 0), 2)
    assert found["loss"] <= 1e-8 and (found["bounds"] < 0).all()


# ---- claims, on numbers made by hand ----------------------------------------------------------------


def arrays(config):
    """Numbers with which every claim holds."""
    t, made = np.arange(21), {}
    for g in ("two", "three", "own", "control"):
        widths = np.array({"control": [2]}.get(g) or getattr(config, g), float)
        full = lambda value, *more, like=widths: np.full((2, len(like), *more), value)
        own = {"smallest": full(1.0, 3), "largest": full(5.0, 3), "ratio": full(2.0, 3)}
        own |= {"distance": full(1.0, 3), "eta": full(0.1), "steps": full(20)}
        own["losses"] = full(1.0, 21) * 0.9 ** (2 * t)
        half = {"losses": full(1.0, 21) * 0.95 ** (2 * t), "steps": full(20), "eta": full(0.05)}
        own |= {f"half {name}": v for name, v in (half | {"smallest": full(1.0, 3)}).items()}
        own |= {"change": full(1.0) * widths**-0.5, "bend": full(1.0) * widths**-0.5}
        made |= {f"{g} {name}": v for name, v in own.items()}
    flat = np.ones((2, len(config.two)))
    made |= {"tanh bend": flat, "bottleneck bend": flat.copy()}
    made["minimum bounds"] = -np.ones((2, 1, 20))
    made["control smallest"][:] = 0
    made["control ratio"][:] = [1.0, 0.1, 1e-4]
    return made | {"toy ratio": np.ones((2, 3, 20))}


def failures(made, config=QUICK):
    found = figure.claims(made, config)
    return {c.id.removeprefix("plstar.") for c in found if not c.passed}


def test_all_claims_hold_on_numbers_made_for_it():
    assert failures(arrays(QUICK)) == set() and len(figure.claims(arrays(QUICK), QUICK)) == 17


M = np.array(QUICK.two, float)


@pytest.mark.parametrize(
    ("name", "where", "value", "claim"),
    [
        ("two ratio", (1, 2, 1), 0.999, "sandwich"),
        ("own ratio", (0, 0, 0), 5.1, "sandwich"),
        ("control ratio", (0, 0, 1), 5.1, "sandwich"),
        ("three half losses", (0, 1, 7), 0.95**7 * 1.001, "bound"),
        ("two distance", (1, 2, 1), 6.4, "radius"),
        ("two bend", ..., M**-0.35, "bend.two"),
        ("two bend", ..., M**-0.65, "bend.two"),
        ("three bend", ..., M[:2] ** -0.65, "bend.three"),
        ("two change", ..., M**-0.9, "kernel.two"),
        ("three change", ..., M[:2] ** -0.3, "kernel.three"),
        ("two distance", (..., -1), M**0.13, "distance.two"),
        ("three distance", (..., -1), M[:2] ** -0.13, "distance.three"),
        ("two losses", ..., 0.9 ** (2.5 * np.arange(21)), "rate.two"),
        ("three losses", ..., 0.9 ** (1.5 * np.arange(21)), "rate.three"),
        ("tanh bend", ..., M**-0.2, "bend.tanh"),
        ("bottleneck bend", ..., M**-0.2, "bend.bottleneck"),
        ("minimum bounds", (0, 0, slice(3)), 0.01, "convexity"),
        ("control smallest", (0, 0, 0), 1e-6, "control.singular"),
        ("control ratio", (1, 0, 2), 2e-3, "control.ratio"),
        ("toy ratio", (0, 1, 3), 1.01, "toy"),
    ],
)
def test_each_claim_fails_alone(name, where, value, claim):
    made = arrays(QUICK)
    made[name][where] = value
    assert failures(made) == {claim}


def test_narrow_networks_are_not_bounded_and_what_is_after_the_end_does_not_count():
    made = arrays(QUICK)
    made["two half losses"][:, 0] = 2  # width 64
    made["two half steps"][:, 2] = 10
    made["two half losses"][:, 2, 11:] = 1
    assert failures(made) == set()
    narrow = dataclasses.replace(QUICK, two=(32, 64, 128), three=(32, 64))
    assert "plstar.bound" not in {c.id for c in figure.claims(arrays(narrow), narrow)}


@pytest.fixture
def place(tmp_path):
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")):
        yield


def test_the_kernels_of_two_optima_and_what_bounds_a_cross_entropy(place):
    config = figure.Config(**options.preset(figure.Config, "smoke"))
    problem = dataclasses.replace(config.problem(initial=0, seed=0), examples=60)
    thetas = np.stack([figure.networks.start(problem) * s for s in (1.0, 0.5)])
    found = figure.on_path(problem, 8, thetas)
    assert np.all(found["low"] * (1 - 1e-5) <= found["ratio"])
    assert np.all(found["ratio"] <= found["high"] * (1 + 1e-5))
    line = figure.on_line(problem, 8, thetas)
    assert line["cosines"].shape == (2, 5)
    np.testing.assert_allclose([line["cosines"][0, 0], line["cosines"][1, -1]], 1)
    assert np.all(line["cosines"] < 1 + 1e-12) and line["cosines"][0, -1] == line["cosines"][1, 0]


def test_the_toy_landscape_squared_has_a_ratio_of_one():
    for toy in figure._toys(0):
        np.testing.assert_allclose(figure.on_toy(toy)["ratio"], 1, rtol=1e-3)
