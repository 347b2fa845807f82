"""Figures of local geometry: readings against dense truth, claims on made numbers, the model's own."""

import itertools
import pathlib
import types

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import eigsh

import wedges
from reproductions import emergent_curvature, emergent_goldilocks, emergent_gradient, emergent_outliers
from reproductions.bench import cache, marks, options, runs, workplace
from reproductions.bench.errors import UsageError
from reproductions.common import data, local, networks
from reproductions.common.arrays import named, under
from tests.conftest import SPARSE, plain

FIGURES = [emergent_gradient, emergent_outliers, emergent_curvature, emergent_goldilocks]
TIMES, NOISES = len(local.TIMES), len(emergent_outliers.NOISES)


def preset(figure=emergent_gradient, **changes):
    """One network on digits, with changes."""
    one = {"networks": ("fc",), "dataset": ("digits",), "seeds": 2}
    return figure.Config(**{**options.preset(figure.Config, "paper"), **one, **changes})


@pytest.fixture
def place(tmp_path):
    with workplace.at(workplace.Workplace(tmp_path / "checkpoints")) as place:
        yield place


# ---- settings ---------------------------------------------------------------------------------------


def test_one_data_set_serves_all_networks_and_several_one_each():
    networks = ("simple_cnn", "fc", "lenet")
    assert preset(networks=networks).rows == [(name, "digits") for name in networks]
    each = preset(networks=networks[:2], dataset=("cifar10", "digits"))
    assert each.rows == [("simple_cnn", "cifar10"), ("fc", "digits")]


def test_a_figure_is_about_its_networks_and_the_model_each_with_its_own_arrays():
    first, second, model = preset(networks=("fc", "lenet")).subjects
    assert [s.label for s in (first, second, model)] == ["fc on digits", "lenet on digits", "model"]
    assert [s.id for s in (first, second, model)] == ["fc", "lenet", "model"]
    assert [s.is_model for s in (first, second, model)] == [False, False, True]
    arrays = {"0 a": 1, "0 a b": 2, "1 a": 3, "10 a": 4, "model a": 5, "models a": 6}
    assert first.own(arrays) == {"a": 1, "a b": 2} and second.own(arrays) == {"a": 3}
    assert model.own(arrays) == {"a": 5}
    assert under("0", named("0", {"x": 1, "y z": 2})) == {"x": 1, "y z": 2}


@pytest.mark.parametrize(("networks", "sets"), [(1, 2), (3, 2), (2, 3)])
def test_another_number_of_data_sets_is_refused_by_name(networks, sets):
    names = ("fc", "lenet", "simple_cnn")[:networks]
    with pytest.raises(UsageError, match="--dataset=digits,digits.*: name one, or one for each .*fc"):
        preset(networks=names, dataset=("digits",) * sets).check()


def test_a_network_twice_is_refused():
    with pytest.raises(UsageError, match="--networks=fc,fc: name each network once"):
        preset(networks=("fc", "fc")).check()


def test_radii_and_dims_are_taken_in_their_order():
    config = preset(emergent_goldilocks, radii=(2.0, 0.5, 1.0, 1.0), dims=(20, 5))
    assert (config.radii, config.dims) == ((0.5, 1.0, 2.0), (5, 20))


def test_finer_radii_hold_the_usual_ones_and_those_between_them_once_each():
    config = preset(emergent_goldilocks, radii=(2.0, 0.5, 1.0), between=(0.7, 0.1, 3.0, 1.0, 2.0))
    assert config.finer == (0.5, 0.7, 1.0, 2.0) and config.radii == (0.5, 1.0, 2.0)
    assert set(emergent_goldilocks.RADII) < set(preset(emergent_goldilocks).finer)


def test_planes_larger_than_the_network_are_refused(tmp_path):
    text = refused(emergent_goldilocks, tmp_path, "--dims=5,100000")
    assert "--dims=100000: at most as many as fc has weights, 55210" in text


def test_results_of_rows_and_seeds_are_stacked_where_they_belong(place):
    config = preset(networks=("fc", "lenet"), seed=3, seeds=2)
    arrays = local.by_row(config, lambda item: {"a": np.array([10 * item[0], item[1]])})
    assert {k: v.tolist() for k, v in arrays.items()} == {
        "0 a": [[0, 3], [0, 4]],
        "1 a": [[10, 3], [10, 4]],
    }


@settings(deadline=None)
@given(st.integers(1, 200_000), st.integers(4, 30))
def test_looks_rise_from_the_first_to_the_last_step_of_training(last, count):
    found = local.looks(last, count)
    assert found[0] == 0 and found[-1] == last and np.all(np.diff(found) > 0) and len(found) <= count
    assert len(found) == count or last < 50 * count


def test_looks_are_even_in_the_logarithm():
    found = np.array(local.looks(30_000, 4))
    np.testing.assert_allclose(1 + found / 30, 1001 ** (np.arange(4) / 3), rtol=2e-3)


# ---- networks along their training ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "examples", "batch", "used", "steps"),
    [(1000, 100, 32, 1000, 31), (5000, 40, 128, 1437, 11), (30, 40, 64, 30, 1)],
)
def test_a_network_is_trained_on_the_first_examples_and_looked_at_on_the_first_of_these(
    asked, examples, batch, used, steps, place
):
    config = preset(train_examples=asked, examples=examples, batch_size=batch)
    network, dataset = config.network(0, 0), data.load("digits")
    train = networks.landscape(network.problem)
    assert train.size == used and train.steps_per_epoch == steps  # what an epoch leaves over is not used
    seen = min(used, examples)
    np.testing.assert_array_equal(network.seen.x, dataset.x_train[:seen])
    np.testing.assert_array_equal(network.seen.y, dataset.y_train[:seen])
    np.testing.assert_array_equal(network.labels, dataset.y_train[:seen])
    assert network.seen is config.network(0, 0).seen is not config.network(0, 1).seen


looked_at = []


def weights(network, theta):
    """A measurement for `local.along`."""
    looked_at.append(theta)
    return {"theta": theta, "examples": network.examples}


def test_a_training_is_looked_at_from_its_start_to_its_end_and_each_look_is_kept(place):
    config = preset(train_examples=96, examples=10, batch_size=32, epochs=20, looks=5)
    looked_at.clear()
    found = local.along(config, weights, (0, 7))
    assert found["steps"].tolist() == list(local.looks(60, 5)) and len(looked_at) == 5
    network = config.network(0, 7)
    np.testing.assert_array_equal(found["theta"][0], networks.start(network.problem))
    losses = [float(network.seen(theta)) for theta in found["theta"]]
    assert losses[-1] < 0.5 * losses[0] and len({t.tobytes() for t in found["theta"]}) == 5
    assert found["examples"].tolist() == [10] * 5
    some = local.along(config, weights, (0, 7), which=[0, 2, -1])
    for name, array in some.items():
        np.testing.assert_array_equal(array, found[name][[0, 2, 4]])
    assert len(looked_at) == 5  # taken as they were kept
    local.along(preset(**{**vars(config), "examples": 11}), weights, (0, 7), which=[0])
    assert len(looked_at) == 6


# ---- readings ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(images):
    """A float64 network, a point, labels, and dense H [D, D], J [N, C, D], p [N, C] there."""
    x, y = images
    keras.config.set_dtype_policy("float64")
    try:
        model = plain()
    finally:
        keras.config.set_dtype_policy("float32")
    landscape = wedges.NetworkLandscape(
        model, x.astype(np.float64), y, SPARSE, seed=0, evaluation_batch_size=10
    )
    d = landscape.dimension
    theta = 0.3 * np.random.default_rng(1).standard_normal(d)
    h, eye = 1e-5, np.eye(d)
    up, down = (landscape.value_and_gradient(theta + e * eye)[1].numpy() for e in (h, -h))
    hessian = (up - down + (up - down).T) / (4 * h)
    rows = landscape.output_gradients(theta).numpy()
    z = landscape.evaluate(theta).outputs
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return landscape, theta, y, hessian, rows, p


def seen(landscape, labels=None):
    """What stands for a `local.Network` that is looked at on this landscape."""
    return types.SimpleNamespace(seen=landscape, labels=labels)


def bent(rows, p):
    """(1/N) sum_i J_i^T (diag p_i - p_i p_i^T) J_i, example by example."""
    return sum(j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(rows, p, strict=True)) / len(p)


def centred(rows, labels):
    """J_i less the mean of J over i's class."""
    return np.stack([j - rows[labels == a].mean(axis=0) for j, a in zip(rows, labels, strict=True)])


@pytest.mark.parametrize("merged", [False, True])
def test_what_clusters_leave_is_the_dense_matrix(tiny, merged):
    landscape, theta, labels, hessian, rows, p = tiny
    labels = np.minimum(labels, 1) if merged else labels  # fewer groups than logits
    truth = hessian - bent(rows, p) + bent(centred(rows, labels), p)
    operator = emergent_outliers.within(landscape, theta, labels)
    np.testing.assert_allclose(operator @ np.eye(len(theta)), truth, atol=1e-7)
    assert np.linalg.norm(truth - hessian, 2) > 0.1 * np.linalg.norm(hessian, 2)


def test_outliers_of_a_network_are_those_of_its_dense_matrices(tiny):
    landscape, theta, labels, hessian, rows, p = tiny
    found = emergent_outliers.outliers(seen(landscape, labels), theta)
    falling = lambda matrix: np.linalg.eigvalsh(matrix)[::-1]
    inner = bent(rows, p)
    np.testing.assert_allclose(found["hessian"], falling(hessian)[:6], rtol=1e-3)
    np.testing.assert_allclose(found["gauss_newton"], falling(inner)[:6], rtol=1e-3)
    edge = falling(hessian - inner + bent(centred(rows, labels), p))[0]
    np.testing.assert_allclose(found["edge"], edge, rtol=1e-3)
    count = np.sum(falling(hessian) > edge)
    assert count - 1 <= found["sure"] <= count and count > 0
    np.testing.assert_allclose(found["residual"], np.linalg.norm(hessian - inner, 2), rtol=1e-2)
    np.testing.assert_allclose(found["cosines"], slow_cosines(rows[:20]), atol=1e-10)
    loss = -np.mean(np.log(p[np.arange(len(p)), labels]))
    np.testing.assert_allclose(found["loss"], loss)


def test_what_is_above_a_bulk_is_counted_by_what_proves_it():
    """A semicircle on [-1, 1] by its Gaussian quadrature, and eigenvalues above where outliers begin."""
    angle = np.pi * np.arange(1, 61) / 61
    one = {
        "values": np.cos(angle)[None, None, None],
        "shares": 2 / 61 * np.sin(angle)[None, None, None] ** 2,
    }
    top = {"hessian": np.array([[[9.0, 2.0, 1.2, 1.04]]]), "residuals": np.zeros((1, 1, 4))}
    found = emergent_outliers.beyond(one, top)
    np.testing.assert_allclose([found["edge"], found["clear"]], [[[1.0]], [[1.05]]], rtol=1e-6)
    assert found["above"].tolist() == [[3]]
    top["residuals"][..., 2] = (
        0.16  # the third may be below; what is not proved takes nothing from others
    )
    assert emergent_outliers.beyond(one, top)["above"].tolist() == [[2]]
    top["residuals"][..., 0] = 1.0
    assert emergent_outliers.beyond(one, top)["above"].tolist() == [[1]]
    assert np.isnan(emergent_outliers.certain(np.ones(2), np.zeros(2), np.nan))


def test_curvature_of_a_network_is_that_of_its_dense_hessian(tiny):
    landscape, theta, labels, hessian, rows, p = tiny
    found = local.curvature(seen(landscape, labels), theta)
    values, vectors = np.linalg.eigh(hessian)
    error = p - np.eye(3)[labels]
    gradient = np.einsum("ik,ikd->d", error, rows) / len(p)
    shares = np.cumsum((vectors.T[::-1][:3] @ gradient) ** 2) / (gradient @ gradient)
    np.testing.assert_allclose(found["eigenvalues"], values[::-1][:3], rtol=1e-3)
    np.testing.assert_allclose(found["captured"], shares, atol=0.01)
    assert np.all(np.diff(found["captured"]) >= 0) and found["captured"][0] >= 0
    assert found["captured"][-1] <= 1 + 1e-12 and found["dimension"] == len(theta)
    assert abs(found["trace"] - np.trace(hessian)) < 3 * found["trace_error"] < np.trace(hessian)
    inner = np.linalg.eigvalsh(bent(rows, p))[-1]
    np.testing.assert_allclose(found["gauss_newton"], inner, rtol=1e-3)
    np.testing.assert_allclose(found["length"], np.linalg.norm(rows[:10], axis=2).mean())
    np.testing.assert_allclose(found["left"], np.mean(1 - np.sum(p**2, axis=1)))
    np.testing.assert_allclose(found["accuracy"], np.mean(p.argmax(axis=1) == labels))
    np.testing.assert_allclose(found["loss"], -np.mean(np.log(p[np.arange(len(p)), labels])))


def slow_cosines(rows):
    n, classes, _ = rows.shape
    found = np.zeros((classes, classes))
    for i, j in itertools.permutations(range(n), 2):
        for k, m in itertools.product(range(classes), repeat=2):
            a, b = rows[i, k], rows[j, m]
            found[k, m] += a @ b / np.sqrt((a @ a) * (b @ b)) / (n * (n - 1))
    return found


def test_cosines_are_a_mean_over_pairs_of_different_examples():
    rows = np.random.default_rng(0).standard_normal((5, 3, 7)) + np.eye(3, 7)
    np.testing.assert_allclose(emergent_outliers.cosines(rows), slow_cosines(rows), atol=1e-14)
    np.testing.assert_allclose(emergent_outliers.cosines(rows * 9), slow_cosines(rows), atol=1e-14)


def test_separation_is_the_diagonals_mean_less_that_of_the_rest():
    cosines = np.array([[0.9, 0.1, 0.2], [0.3, 0.6, 0.0], [-0.3, 0.3, 0.3]])
    # (0.9 + 0.6 + 0.3) / 3 - (0.1 + 0.2 + 0.3 + 0 - 0.3 + 0.3) / 6
    both = emergent_outliers.separation(np.stack([cosines, np.ones((3, 3))]))
    np.testing.assert_allclose(both, [0.5, 0], atol=1e-15)


def test_a_zone_is_the_largest_mean_over_the_better_end():
    ratio = np.array([[0.0, 4.0, 1.0, 3.0], [2.0, 2.0, 1.0, 1.0]])  # mean 1, 3, 1, 2
    assert emergent_goldilocks.zone(ratio) == 1
    assert emergent_goldilocks.zone(np.array([[1.0, 2.0, 3.0]])) == 0
    assert emergent_goldilocks.zone(np.array([[3.0, -2.0, 3.0]])) == 0


def test_convexity_of_a_matrix_is_its_share_above_zero_and_trace_over_norm():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    found = emergent_goldilocks.convexity((turn * [3.0, 2.0, 1.0, -2.0]) @ turn.T)
    assert found["positive"] == 0.75 and found["ratio"] == pytest.approx(4 / np.sqrt(18))
    assert emergent_goldilocks.convexity(np.eye(9))["ratio"] == pytest.approx(3)


def test_convexity_on_a_plane_is_that_of_the_dense_hessian_there(tiny):
    landscape, theta, _, hessian, *_ = tiny
    found = emergent_goldilocks.convexity_on_a_plane(seen(landscape), theta, 7, seed=3)
    rows = wedges.random_cut(theta, 7, seed=3).embed(np.eye(7)).numpy() - theta
    values = np.linalg.eigvalsh(rows @ hessian @ rows.T)
    assert found["positive"] == np.mean(values > 0) and 0 < found["positive"] < 1
    np.testing.assert_allclose(found["ratio"], values.sum() / np.linalg.norm(values), rtol=1e-5)


def test_initial_weights_of_a_seed_have_the_convexity_of_the_dense_hessian_at_each_radius(
    tiny, place, monkeypatch
):
    landscape, theta, _, hessian, *_ = tiny
    asked = []
    start = lambda problem: asked.append(problem.initial) or theta / 2
    monkeypatch.setattr(networks, "start", start)
    network = types.SimpleNamespace(seen=landscape, problem=preset().network(0, 7).problem)
    found = emergent_goldilocks.convexity_of_initial_weights(network, 5, (2.0, 0.1), 6)
    assert asked == [5] and {k: v.shape for k, v in found.items()} == {"positive": (2,), "ratio": (2,)}
    rows = wedges.random_cut(theta, 6, seed=5).embed(np.eye(6)).numpy() - theta
    values = np.linalg.eigvalsh(rows @ hessian @ rows.T)  # at r = 2 it is the point of `hessian`
    assert found["positive"][0] == np.mean(values > 0)
    np.testing.assert_allclose(found["ratio"][0], values.sum() / np.linalg.norm(values), rtol=1e-5)
    assert abs(found["ratio"][1] - found["ratio"][0]) > 0.01


def test_the_convexity_where_training_ends_is_that_of_the_start_made_as_long(monkeypatch):
    start, end, asked = np.array([3.0, 4.0, 0.0]), np.array([0.0, 6.0, 8.0]), []

    def measured(network, theta, d, seed):
        asked.append(theta)
        return {"ratio": np.float64(1.5)}

    monkeypatch.setattr(cache, "cached", lambda function, *key: measured(*key))
    config = preset(emergent_goldilocks)
    found = emergent_goldilocks._where_it_ends(config, None, start, end, 0)
    assert found == {"fine end": 2, "fine end ratio": 1.5}
    np.testing.assert_array_equal(asked, [[6.0, 8.0, 0.0]])  # the start's direction, not the end's
    lost = emergent_goldilocks._where_it_ends(config, None, start, np.full(3, np.nan), 0)
    assert np.isnan(list(lost.values())).all() and len(asked) == 1


@pytest.mark.parametrize("d", [10, 50])
def test_on_a_smaller_plane_the_same_trace_and_norm_move_the_share_further(d):
    """The reason for small planes, and its size. On a random plane of d << D dimensions P H P^T is
    nearly (Tr H / D) I + (|H|_F / D) W, W a Wigner matrix, whose eigenvalues fill a semicircle of radius
    2 sqrt(d). So the share above 0 is 1/2 + (x sqrt(1 - x^2) + arcsin x) / pi at x = Tr H / (2 |H|_F
    sqrt(d)), while Tr / |.|_F is nearly Tr H / |H|_F whatever d is."""
    rng, size, rho = np.random.default_rng(0), 1000, 2.0
    values = rng.choice([-1.0, 1.0], size) * rng.uniform(0.5, 1.5, size)
    values -= values.mean()
    values *= np.sqrt(size - rho**2) / np.linalg.norm(values)
    values += rho / np.sqrt(size)  # Tr / |.|_F of these is rho
    assert values.sum() / np.linalg.norm(values) == pytest.approx(rho)
    turn = np.linalg.qr(rng.standard_normal((size, size))).Q
    matrix = (turn * values) @ turn.T
    blocks = [matrix[i : i + d, i : i + d] for i in range(0, size, d)]
    found = [emergent_goldilocks.convexity(block) for block in blocks]
    x = rho / (2 * np.sqrt(d))
    share = 0.5 + (x * np.sqrt(1 - x**2) + np.arcsin(x)) / np.pi
    assert share == pytest.approx({10: 0.698, 50: 0.590}[d], abs=1e-3)
    assert np.mean([one["positive"] for one in found]) == pytest.approx(share, abs=0.012)
    on_a_plane = rho / np.sqrt(1 + (1 + rho**2) / d)  # |.|_F holds the diagonal as well
    assert np.mean([one["ratio"] for one in found]) == pytest.approx(on_a_plane, abs=0.1)


# ---- claims on numbers made by hand -----------------------------------------------------------------


def passed(figure, arrays, **changes):
    found = figure.claims(arrays, preset(figure, **changes))
    start = "emergent." + figure.__name__.split("emergent_")[1] + "."
    assert found and all(c.id.startswith(start) for c in found)
    assert len({c.id for c in found}) == len(found)
    return {c.id.removeprefix(start): c.passed for c in found}


def about(values, seeds=2):
    """[seeds, ...]: seeds a little apart around these values."""
    return np.stack([np.asarray(values, float) * (1 + 0.01 * s) for s in range(seeds)])


def broken(arrays):
    """The arrays, each measured number NaN in one seed."""
    return {k: np.concatenate([v[:-1], np.full_like(v[-1:], np.nan, float)]) for k, v in arrays.items()}


def test_a_gradient_in_the_top_eigenvectors_passes_and_one_by_chance_fails():
    def made(last):
        shares = np.linspace(0, last, 11)[None, 1:] * np.ones((6, 1))  # [looks, C]
        return {
            "0 captured": about(shares),
            "0 dimension": np.full((2, 6), 5000),
            "model captured": about(shares),
        }

    ids = {f"{name}.{what}" for name in ("fc", "model") for what in ("most", "chance")}
    good = passed(emergent_gradient, made(0.8))
    assert good.keys() == ids and all(good.values())
    assert not any(passed(emergent_gradient, made(10 / 5000)).values())
    fifth = passed(emergent_gradient, made(0.2))
    assert [k for k, v in fifth.items() if v] == ["fc.chance", "model.chance"]
    assert not any(passed(emergent_gradient, broken(made(0.8))).values())


def test_a_gradient_is_not_judged_where_training_has_not_begun():
    arrays = {
        "0 captured": about(np.full((6, 10), 0.8)),
        "0 dimension": np.full((2, 6), 5000),
        "model captured": about(np.full((6, 10), 0.8)),
    }
    for name in ("0 captured", "model captured"):
        arrays[name][:, 0] = 0
    assert all(passed(emergent_gradient, arrays).values())


def test_a_rise_and_fall_passes_and_constant_curvature_fails():
    def made(top, frozen):
        top = np.array(top, float)
        eigenvalues = top[:, None] * np.geomspace(1, 0.1, 10)
        return {
            "0 eigenvalues": about(eigenvalues),
            "0 trace": about(5 * top),
            "model top": about(top),
            "model trace": about(5 * top),
            "frozen top": about(frozen),
        }

    good = passed(emergent_curvature, made([1, 3, 2, 1.5], [3, 2, 1, 0.5]))
    assert all(good.values()) and good.keys() == {
        f"{name}.{curve}.{way}"
        for name in ("fc", "model")
        for curve in ("top", "trace")
        for way in ("rises", "falls")
    } | {"model.frozen"}
    assert not any(passed(emergent_curvature, made([1, 1, 1, 1], [1, 1.2, 1, 1])).values())
    rises = passed(emergent_curvature, made([1, 2, 3, 4], [3, 2, 1, 0.5]))
    assert {k.rsplit(".")[-1] for k, v in rises.items() if v} == {"rises", "frozen"}
    falls = passed(emergent_curvature, made([4, 3, 2, 1], [3, 2, 1, 0.5]))
    assert {k.rsplit(".")[-1] for k, v in falls.items() if v} == {"falls", "frozen"}
    bad = broken(made([1, 3, 2, 1.5], [3, 2, 1, 0.5]))
    assert not any(passed(emergent_curvature, bad).values())


def outliers_made(same=0.6, sure=10.0, residual=0.2, rank=9.0, off=0.0, late=0.0, bulk=10.0, many=10.0):
    """Cosines of the same logit, outliers, |H - G| / |H|, rank; outliers off theory's place by a share,
    and so many left where it has none; outliers above the bulk's edge, and with many examples."""
    noises = np.array(emergent_outliers.NOISES)
    overlap = np.clip(1 - noises / 16, 0, 1)
    predicted = np.maximum(1, 3 - noises / 6)  # at the edge of 1 from 12
    cosines = same * np.eye(10)
    looks = np.ones(3)
    return {
        "0 cosines": about(looks[:, None, None] * cosines),
        "0 sure": about(sure * looks),
        "0 residual": about(residual * looks),
        "0 hessian": about(np.ones((3, 20))),
        "density 0 above": about(bulk * looks),
        "many 0 above": np.full((1, 1), many),
        "many 0 examples": np.full((1, 1), 1437),
        "model cosines": about(cosines),
        "model sure": about(sure),
        "model residual": about(residual),
        "model hessian": about(np.ones(20)),
        "model rank": np.full(2, rank),
        "noise outlier": np.stack([predicted * (1 + off)] * 2),
        "noise overlap": np.stack([np.clip(overlap - off, 0, 1)] * 2),
        "noise count": np.stack([np.where(noises < 12, 9, late)] * 2),
        "noise predicted": np.stack([predicted] * 2),
        "noise predicted edge": np.ones((2, len(noises))),
        "noise predicted overlap": np.stack([overlap] * 2),
    }


def test_clusters_outliers_and_theory_pass_and_each_fails_by_itself():
    claims = lambda **made: passed(emergent_outliers, outliers_made(**made))
    good = claims()
    three = {f"{name}.{what}" for name in ("fc", "model") for what in ("clusters", "count", "residual")}
    assert all(good.values())
    assert good.keys() == three | {"fc.bulk", "fc.many"} | {
        "model." + k for k in ("rank", "position", "half", "threshold")
    }
    failed = lambda **made: {k for k, v in claims(**made).items() if not v}
    assert failed(same=0.05) == {"fc.clusters", "model.clusters"}
    assert failed(sure=8.0) == failed(sure=12.0) == {"fc.count", "model.count"}
    assert failed(bulk=8.0) == failed(bulk=12.0) == failed(bulk=np.nan) == {"fc.bulk"}
    assert failed(many=8.0) == failed(many=12.0) == failed(many=np.nan) == {"fc.many"}
    assert failed(residual=0.6) == {"fc.residual", "model.residual"}
    assert failed(rank=10.0) == failed(rank=8.0) == {"model.rank"}
    assert failed(off=0.1) == {"model.position", "model.half"}
    assert failed(late=9.0) == {"model.threshold"}


def test_outliers_that_are_no_numbers_fail():
    arrays = outliers_made()
    theory = {k: v for k, v in arrays.items() if k.startswith("noise predicted")}
    assert not any(passed(emergent_outliers, broken(arrays) | theory).values())


def goldilocks_made(bump, rest=0.3):
    """Ratio, share of positive eigenvalues and accuracy at three radii and one between them: `bump` in
    the middle. Trainings end where accuracy is in step with convexity."""
    line = np.array([0.0, bump, rest * bump])
    fine = np.array([0.0, bump / 2, bump, rest * bump])
    share = about(0.5 + line / 4)
    return {
        "0 ratio": about(line * 7),
        "0 positive": share,
        "0 small positive": np.stack([share - 0.01, share + 0.01], axis=1),
        "0 accuracy": about(0.1 + np.stack([line / 50, line / 2])),
        "0 fine ratio": about(fine * 7),
        "0 fine accuracy": about(0.1 + fine / 2),
        "0 fine end": about([0.2, 0.6, 1.0, 10.0]),
        "0 fine end ratio": about(fine * 7),
        "model ratio": about(line * 7),
        "model positive": share,
        "model small positive": share[:, None],
    }


GOLDILOCKS = {"radii": (0.1, 1.0, 10.0), "between": (0.3,), "dims": (10, 100), "plane": 50}


def test_a_bump_over_radii_passes_and_a_flat_line_fails():
    claims = lambda arrays: passed(emergent_goldilocks, arrays, **GOLDILOCKS)
    good = claims(goldilocks_made(0.9))
    zones = {
        f"{name}.{k}" for name in ("fc", "model") for k in ("convexity", "positive", "positive_small")
    }
    assert all(good.values())
    assert good.keys() == zones | {f"fc.{k}" for k in ("success", "agree", "agree_end")}
    with pytest.warns(match="constant"):
        assert not any(claims(goldilocks_made(0.0)).values())
    rising = claims(goldilocks_made(0.9, rest=1.1))
    assert [k for k, v in rising.items() if v] == ["fc.agree", "fc.agree_end"]
    assert not any(claims(broken(goldilocks_made(0.9))).values())


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("0 fine end ratio", "fc.agree_end"),
        ("0 fine accuracy", "fc.agree_end"),
        ("0 ratio", "fc.agree"),
        ("0 small positive", "fc.positive_small"),
        ("0 positive", "fc.positive"),
        ("model small positive", "model.positive_small"),
    ],
)
def test_each_attempt_is_judged_by_its_own_numbers(name, claim):
    arrays = goldilocks_made(0.9)
    arrays[name] = 1 - arrays[name]  # a bowl where there was a bump
    failed = {k for k, v in passed(emergent_goldilocks, arrays, **GOLDILOCKS).items() if not v}
    assert claim in failed and failed <= {claim, "fc.convexity"}
    assert ("fc.convexity" in failed) == (name == "0 ratio")


def test_the_reference_guards_what_the_claims_are_about():
    made = goldilocks_made(0.9)
    made["0 ratio"][1] = made["0 ratio"][1, ::-1]  # of the second seed 2.1, 7, 0 against a rise and fall
    guarded = emergent_goldilocks.summary(made, preset(emergent_goldilocks, **GOLDILOCKS))
    label = "fc on digits"
    for r, j in ((0.1, 0), (1, 1), (10, 2)):
        np.testing.assert_array_equal(guarded[f"{label}, r {r:g}: ratio"], made["0 ratio"][:, j])
        share = guarded[f"model, r {r:g}: positive, small planes"]
        np.testing.assert_allclose(share, made["model positive"][:, j])
    assert f"{label}, r 0.3: positive" not in guarded
    np.testing.assert_array_equal(guarded[f"{label}, r 0.3: accuracy"], made["0 fine accuracy"][:, 1])
    np.testing.assert_array_equal(guarded[f"{label}, r 0.3: radius at the end"], [0.6, 0.606])
    agrees = f"{label}: accuracy and "
    np.testing.assert_allclose(guarded[agrees + "the start's convexity"], [1, 0.5])
    np.testing.assert_allclose(guarded[agrees + "the start's convexity, finer radii"], [1, 1])
    np.testing.assert_allclose(guarded[agrees + "convexity at the end's radius"], [1, 1])
    assert all(values.shape == (2,) for values in guarded.values())


# ---- titles are chosen by the numbers ---------------------------------------------------------------


def title(figure, arrays, **changes):
    """The finding in the title, and the axes of its picture."""
    drawn = figure.plot(arrays, preset(figure, **changes))
    axes = [ax for ax in drawn.axes if ax.get_title()]
    return drawn.get_suptitle().split("\n")[0], axes


def test_the_title_says_how_much_of_the_gradient_is_where():
    made = {
        "0 captured": np.tile(np.linspace(0.12, 0.6, 10), (2, 4, 1)),
        "0 dimension": np.full((2, 4), 5000),
        "0 steps": np.tile([0, 30, 90, 200], (2, 1)),
        "model captured": np.full((2, TIMES, 10), 0.4),
    }
    said, axes = title(emergent_gradient, made)
    finding = "Along the Hessian's top 10 of 5,000 directions lies 60% of the squared gradient"
    assert said == finding and len(axes) == 3
    assert axes[0].get_title().replace("\n", " ") == "(a) Fully connected network on 8x8 digits"
    assert "top 10 by chance: 0.002" in [text.get_text() for text in axes[0].texts]
    assert {"12%", "48%", "40%"} <= {text.get_text() for text in axes[-1].texts}


@pytest.mark.parametrize(
    ("top", "words"),
    [
        (
            [1, 3, 2, 1.5],
            "Curvature rises, 3.0 times, while logit gradients grow, then falls, ",
        ),
        (
            [4, 3, 2, 1],
            "From start to peak the largest eigenvalue rises 1.0 times, ",
        ),
    ],
)
def test_the_title_says_whether_curvature_rises(top, words):
    course = np.ones((2, TIMES))
    made = dict.fromkeys(
        ("model length", "model left", "model top", "model trace", "frozen top"), course
    )
    tops = np.tile(np.array(top, float), (2, 1))
    made |= dict.fromkeys(("0 trace", "0 gauss_newton", "0 length", "0 left", "0 loss"), tops)
    made |= {"0 eigenvalues": tops[..., None], "0 steps": np.tile([0, 30, 90, 200], (2, 1))}
    said, axes = title(emergent_curvature, made)
    assert said.startswith(words) and len(axes) == 2
    (ring,) = [line for line in axes[0].lines if line.get_fillstyle() == "none"]
    assert ring.get_ydata() == [max(top)]  # the peak is marked


def test_the_title_says_where_the_landscape_is_convex_and_where_planes_train():
    config, made = GOLDILOCKS, goldilocks_made(0.9)
    start = "Initial weights of r times the usual size: the landscape is most convex at r = 1, "
    assert title(emergent_goldilocks, made, **config)[0] == f"{start}and there random planes train best"
    made["0 fine accuracy"][..., 1] = 0.9
    said, axes = title(emergent_goldilocks, made, **config)
    assert said == f"{start}random planes train best at r = 0.3" and len(axes) == 5
    lines = [len(ax.lines[0].get_xdata()) for ax in axes]  # of the network
    assert lines == [4, 3, 3, 4, 3] and len(axes[-1].lines[1].get_xdata()) == 4
    assert [len(ax.lines) for ax in axes[:4]] == [2, 2, 2, 1]  # the model is not trained


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "Logit gradients cluster, and above what they leave stand 10 outliers, one for each of 10"),
        (
            {"sure": 3.0},
            "Logit gradients cluster; above what they leave 3 eigenvalues of H stand, not one",
        ),
        ({"same": 0.05}, "Logit gradients do not cluster, and above what they leave stand 10 outliers"),
    ],
)
def test_the_title_says_how_many_outliers_there_are(made, words):
    arrays = {k: v if k.startswith("noise") else v[:1] for k, v in outliers_made(**made).items()}
    falling = np.linspace(3, 1, 20)
    arrays |= {"0 hessian": np.tile(falling, (1, 3, 1)), "0 gauss_newton": np.tile(falling, (1, 3, 1))}
    arrays |= {"0 edge": np.full((1, 3), 2.0), "0 steps": np.array([[0, 30, 100]])}
    arrays |= {"model hessian": falling[None], "model gauss_newton": falling[None]}
    arrays |= {"model edge": np.array([2.0]), "noise threshold": np.full((2, NOISES), 13.0)}
    values = np.tile(np.linspace(-1, 3, 20), (1, 3, 2, 1))
    arrays |= {"density 0 values": values, "density 0 shares": np.full(values.shape, 0.05)}
    arrays |= {"density 0 edge": np.full((1, 3), 2.5)}
    arrays |= {"many 0 steps": np.array([[30]])}
    said, axes = title(emergent_outliers, arrays, seeds=1)
    assert said.startswith(words) and len(axes) == 5
    spectrum, count = axes[:2]
    assert spectrum.get_xlabel() == "eigenvalue"
    names = {text.get_text() for text in spectrum.get_legend().get_texts()}
    number = f"{int(made.get('sure', 10))} of H above"
    assert names == {number, "what clusters leave", "the bulk's edge"}
    (line,) = [line for line in spectrum.lines if line.get_label() == "the bulk's edge"]
    assert list(line.get_xdata()) == [2.5, 2.5]
    (star,) = [line for line in count.lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert star.get_ydata() == [10] and "the same, 1,437 examples" in str(
        [text.get_text() for text in count.get_legend().get_texts()]
    )


def test_the_title_says_how_many_stand_above_the_bulk():
    arrays = outliers_made(bulk=4.0, many=7.0)
    said = emergent_outliers._of_bulk(arrays, preset(emergent_outliers))
    assert said == "Above the bulk's edge: 4; with 1,437 examples: 7"


# ---- the simple model: one set of parameters has all four properties --------------------------------


@pytest.fixture(scope="module")
def simple():
    return local.model(0)


def top(point, k=1):
    """The k largest eigenvalues of G + R, falling, and their vectors as rows."""
    matrix = point.factor.T @ point.factor + point.residual
    values, vectors = eigsh(matrix, k, which="LA", v0=np.ones(len(matrix)), ncv=6 * k + 20, tol=1e-7)
    order = np.argsort(values)[::-1]
    return values[order], vectors.T[order]


def test_the_models_curvature_rises_then_falls_and_holds_its_gradient(simple):
    largest, captured = [], []
    for t in np.linspace(0, 1, 5):
        point = local.trained(simple, t)
        values, vectors = top(point, 10)
        largest.append(values[0])
        captured.append(np.sum((vectors @ point.gradient) ** 2) / np.sum(point.gradient**2))
    peak = np.argmax(largest)
    assert 0 < peak < 4 and np.all(np.diff(largest)[:peak] > 0) and np.all(np.diff(largest)[peak:] < 0)
    assert largest[peak] > 1.2 * largest[0] and largest[peak] > 1.5 * largest[-1]
    captured = np.array(captured)[1:]
    assert captured.mean() > 0.5 and captured.min() > 10 * 10 / 1000


def test_without_growth_of_logit_gradients_the_models_curvature_only_falls(simple):
    largest = [top(local.trained(simple, t, growth=False))[0][0] for t in np.linspace(0, 1, 5)]
    assert max(largest) <= 1.05 * largest[0] and largest[-1] < 0.2 * largest[0]
    assert np.all(np.diff(largest)[1:] < 0)


def test_a_spectrum_falls_and_its_vectors_are_rows(simple):
    point = local.trained(simple, 0.5)
    values, vectors = local.spectrum(point)
    expected, rows = top(point, 3)
    np.testing.assert_allclose(values[:3], expected, rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(vectors[:3] * rows, axis=1)), 1, rtol=1e-6)
    assert np.all(np.diff(values) <= 0)


def test_the_model_has_clusters_and_an_outlier_for_each_class(simple):
    quiet = local.model(0)
    quiet.directions = quiet.directions - quiet.centres  # the same noise alone
    edge = top(local.trained(quiet, 0.5))[0][0]
    point = local.trained(simple, 0.5)
    values = top(point, 13)[0]
    assert 9 <= np.sum(values > edge) <= 11
    assert np.linalg.norm(eigsh(point.residual, 2, return_eigenvectors=False), np.inf) < values[0] / 2
    assert emergent_outliers.separation(emergent_outliers.cosines(simple.directions[:20])) > 0.1


@pytest.fixture
def smaller(monkeypatch):
    """The model's parameters, with fewer dimensions and examples."""
    monkeypatch.setattr(local, "MODEL", {**local.MODEL, "dimension": 150, "examples": 60})
    return local.model(0)


def test_outliers_of_the_model_are_those_of_its_dense_matrices(smaller):
    found, point = emergent_outliers.outliers_of_model(0), local.trained(smaller, 0.5)
    inner = bent(40 * 0.5 * smaller.directions, point.probabilities)  # length 10 to 40: 20 half-way
    falling = lambda matrix: np.linalg.eigvalsh(matrix)[::-1]
    values = falling(inner + point.residual)
    np.testing.assert_allclose(found["hessian"], values[:20])
    np.testing.assert_allclose(found["gauss_newton"], falling(inner)[:20])
    noise = 20 * (smaller.directions - smaller.centres)
    edge = falling(bent(noise, point.probabilities) + point.residual)[0]
    np.testing.assert_allclose(found["edge"], edge)
    assert found["sure"] == np.sum(values > edge) and found["rank"] == 9
    np.testing.assert_allclose(found["residual"], np.linalg.norm(point.residual, 2))
    np.testing.assert_allclose(found["cosines"], slow_cosines(smaller.directions[:20]), atol=1e-12)


def test_noise_moves_the_models_outliers_as_its_dense_matrix_says(smaller):
    for noise in (1.0, 30.0):
        found = emergent_outliers.outliers_in_noise(0, noise)
        centres = smaller.centres
        rows = 10 * (centres + noise * (smaller.directions - centres))  # drawn with noise 1
        values, vectors = np.linalg.eigh(bent(rows, np.full((60, 10), 0.1)))
        np.testing.assert_allclose(found["outlier"], values[-9:].mean())
        apart = centres - centres.mean(axis=0)
        onto = apart.T @ np.linalg.pinv(apart.T)
        share = np.sum((onto @ vectors[:, -9:]) ** 2) / 9
        np.testing.assert_allclose(found["overlap"], share)
        edge = np.linalg.eigvalsh(bent(rows - 10 * centres, np.full((60, 10), 0.1)))[-1]
        np.testing.assert_allclose(found["edge"], edge)
        assert found["count"] == np.sum(values > 1.02 * edge) == (9 if noise == 1 else 0)
        c = 60 * 9 / 150
        assert found["threshold"] == pytest.approx(np.sqrt(60) / c**0.25)
        assert found["predicted edge"] == pytest.approx((10 * noise * (1 + np.sqrt(c))) ** 2 / 600)


def test_causes_of_the_models_curvature_are_its_growing_length_and_freezing_probabilities(smaller):
    for growth, length in ((True, 40.0), (False, 10.0)):
        point = local.trained(smaller, 1.0, growth)
        found = emergent_curvature.curvature_at(point)
        matrix = bent(length * smaller.directions, point.probabilities) + point.residual
        np.testing.assert_allclose(found["top"], np.linalg.eigvalsh(matrix)[-1])
        np.testing.assert_allclose(found["trace"], np.trace(matrix))
        left = np.mean(1 - np.sum(point.probabilities**2, axis=1))
        np.testing.assert_allclose(found["left"], left)
        # centre and noise, 1 each
        np.testing.assert_allclose(found["length"], length * np.sqrt(2), rtol=0.05)
        course = emergent_curvature.curvature_of_model(0, growth)
        assert {k: v[-1] for k, v in course.items()} == found


def test_the_models_gradient_is_split_over_the_eigenvectors_of_its_dense_matrix(smaller):
    point = local.trained(smaller, 0.5)
    matrix = bent(20 * smaller.directions, point.probabilities) + point.residual
    vectors = np.linalg.eigh(matrix)[1].T[::-1]
    unit = point.gradient / np.linalg.norm(point.gradient)
    shares = np.cumsum((vectors[:10] @ unit) ** 2)
    np.testing.assert_allclose(emergent_gradient.captured(point), shares)
    course = emergent_gradient.captured_of_model(0)["captured"]
    assert course.shape == (len(local.TIMES), 10)
    np.testing.assert_allclose(course[5], shares)


def test_the_model_is_most_convex_at_some_radius_between_the_ends():
    config = preset(emergent_goldilocks)
    found = emergent_goldilocks.convexity_of_model(0, config.radii, config.plane)
    assert emergent_goldilocks.zone(found["ratio"][None]) > 0.1 * np.sqrt(config.plane)
    assert emergent_goldilocks.zone(found["positive"][None]) > 0.05


def test_at_a_radius_the_models_parts_have_the_powers_of_a_homogeneous_network(simple):
    one, two = local.at_radius(simple, 1.0), local.at_radius(simple, 2.0)
    shift = lambda point: np.log(point.probabilities[:, 1:] / point.probabilities[:, :1])
    np.testing.assert_allclose(shift(two), 2**4 * shift(one), atol=1e-9)
    y = np.eye(10)[simple.labels]
    rows = lambda point: np.einsum("nk,nkd->d", point.probabilities - y, simple.directions)
    ratio = lambda point: point.gradient / rows(point)
    np.testing.assert_allclose(ratio(two), 2**3 * ratio(one))
    size = lambda point: np.linalg.norm(point.residual) / np.linalg.norm(point.probabilities - y)
    assert size(two) == pytest.approx(2**2 * size(one))


# ---- what a kept number depends on ------------------------------------------------------------------


@pytest.fixture
def edited(monkeypatch):
    """edited(module, before, after): the source of a module reads so from now on."""

    def edit(module, before, after):
        path, read = pathlib.Path(module.__file__), pathlib.Path.read_bytes
        assert read(path).count(before.encode()) == 1, before
        text = read(path).replace(before.encode(), after.encode())
        monkeypatch.setattr(pathlib.Path, "read_bytes", lambda p: text if p == path else read(p))
        marks.forget()

    yield edit
    monkeypatch.undo()
    marks.forget()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"loss": landscape(theta),', '"loss": landscape(theta), "twice": 2 * landscape(theta),'),
        ("2 * classes)\n    rest", "3 * classes)\n    rest"),
        ("sums.append(bends[own].sum(axis=0) / n)", "sums.append(bends[own].mean(axis=0))"),
        ("(own[:, None] * weights)", "(weights * own[:, None])"),
        ("np.linalg.norm(flat, axis=1, keepdims=True)", "np.abs(flat).sum(axis=1, keepdims=True)"),
        ("_CLUSTERED = 20 ", "_CLUSTERED = 21 "),
    ],
)
def test_outliers_are_measured_again_when_what_measures_them_changes(before, after, edited):
    known = marks.of(emergent_outliers.outliers)
    edited(emergent_outliers, before, after)
    assert marks.of(emergent_outliers.outliers) != known


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("spectral norm of H - G over the largest", "size of H - G over the largest"),
        ('{above}, minus {count}, mean over seeds|", "<=", 1.0,', '{above}|", "<=", 2.0,'),
        ('largest eigenvalues; "sure" []', 'eigenvalues; "sure" []'),
        ("# [N, C, C]", "# all"),
        ('"what clusters leave"', '"the edge"'),
        ("_CLEAR = 1.02", "_CLEAR = 1.03"),  # of the model alone
        ("_MIDDLE = 1 ", "_MIDDLE = 2 "),
    ],
)
def test_outliers_are_not_measured_again_when_words_claims_or_the_picture_change(before, after, edited):
    known = marks.of(emergent_outliers.outliers)
    edited(emergent_outliers, before, after)
    assert marks.of(emergent_outliers.outliers) == known


@pytest.mark.parametrize("measure", [emergent_outliers.outliers, local.curvature])
@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        (local, "evaluation_batch_size=100", "evaluation_batch_size=50"),
        (networks, "regularize=True,\n", "regularize=False,\n"),
    ],
)
def test_a_look_at_a_network_is_taken_again_when_its_landscape_changes(
    measure, module, before, after, edited, place
):
    key = preset().network(0, 0), np.zeros(3)
    known = cache.key_of(measure, key, {})
    assert cache.key_of(measure, key, {}) == known
    edited(module, before, after)
    assert cache.key_of(measure, key, {})["code"] != known["code"]


# ---- a whole measurement ----------------------------------------------------------------------------

# Of one network and the model, with one seed: 4 looks, 10 classes, 3 radii, 2 sizes of planes.
CURVATURE = {
    **dict.fromkeys(("eigenvalues", "captured"), (4, 10)),
    **dict.fromkeys(("steps", "loss", "accuracy", "trace", "trace_error", "gauss_newton"), (4,)),
    **dict.fromkeys(("length", "left", "spread", "dimension"), (4,)),
}
SPECTRUM = {"hessian": (20,), "gauss_newton": (20,), "edge": (), "sure": (), "residual": ()}
SPECTRUM["cosines"] = (10, 10)
EDGE = dict.fromkeys(("edge", "clear", "above", "steps"), ())
DENSITY = {"values": (2, 80), "shares": (2, 80)} | EDGE
MANY = DENSITY | {"hessian": (20,), "residuals": (20,), "examples": ()}
THEORY = ("predicted", "predicted edge", "predicted overlap", "threshold")
COURSE = dict.fromkeys(("top", "trace", "length", "left"), (TIMES,))
SHAPES = {
    emergent_gradient: {"0": CURVATURE, "model": {"captured": (TIMES, 10)}},
    emergent_curvature: {"0": CURVATURE, "model": COURSE, "frozen": COURSE},
    emergent_outliers: {
        "0": {name: (3, *shape) for name, shape in SPECTRUM.items()}
        | {"loss": (3,), "steps": (3,), "residuals": (3, 20)},
        "density 0": {name: (3, *shape) for name, shape in DENSITY.items()},
        "many 0": {name: (1, *shape) for name, shape in MANY.items()},
        "model": SPECTRUM | {"rank": ()},
        "noise": dict.fromkeys(("outlier", "overlap", "count", "edge", *THEORY), (NOISES,)),
    },
    emergent_goldilocks: {
        "0": {
            **{"positive": (3,), "ratio": (3,), "accuracy": (2, 3), "length": ()},
            **dict.fromkeys(("fine ratio", "fine accuracy", "fine end", "fine end ratio"), (4,)),
            **dict.fromkeys(("small positive", "small ratio"), (3, 3)),
        },
        "model": {
            **{"positive": (3,), "ratio": (3,)},
            **dict.fromkeys(("small positive", "small ratio"), (3, 3)),
        },
    },
}


@pytest.mark.parametrize("figure", FIGURES, ids=runs.name_of)
def test_a_measurement_has_what_it_says(figure, smoke):
    found = {name: array.shape for name, array in smoke(runs.name_of(figure)).arrays.items()}
    told = {f"{who} {what}": s for who, own in SHAPES[figure].items() for what, s in own.items()}
    assert found == {name: (1, *shape) for name, shape in told.items()}


@pytest.mark.slow
def test_the_figures_of_gradient_and_curvature_look_at_the_same_training(smoke):
    one, two = (smoke(f"emergent_{name}").arrays for name in ("gradient", "curvature"))
    for name in CURVATURE:
        np.testing.assert_array_equal(one[f"0 {name}"], two[f"0 {name}"])
    assert one["0 steps"].tolist() == [list(local.looks(10 * (1000 // 32), 4))]
    outliers = smoke("emergent_outliers").arrays
    np.testing.assert_array_equal(outliers["0 steps"][0], one["0 steps"][0, [0, 2, 3]])
    np.testing.assert_allclose(outliers["0 loss"][0], one["0 loss"][0, [0, 2, 3]], rtol=1e-6)


# ---- flags ------------------------------------------------------------------------------------------


def refused(figure, tmp_path, *given):
    with pytest.raises(UsageError) as error:
        runs.run(figure, ["--preset=smoke", f"--out_dir={tmp_path}", *given])
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    return str(error.value)


@pytest.mark.parametrize("figure", FIGURES)
def test_data_sets_that_do_not_fit_are_refused_before_any_work(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(figure, "measure", None)  # it would be called
    text = refused(figure, tmp_path, "--dataset=digits,digits", "--networks=fc,lenet,simple_cnn")
    assert text.startswith("--dataset=digits,digits: name one, or one for each of ")
    assert "--dataset=" in refused(figure, tmp_path, "--dataset=cifar10,digits", "--networks=fc")
    text = refused(figure, tmp_path, "--dataset=digits,letters", "--networks=fc,lenet")
    assert text.startswith("--dataset=digits,letters: choose from digits, ")


SHARED = [
    "--networks=fc,vgg",
    "--activation=gelu",
    "--seeds=0",
    "--train_examples=9",
    "--examples=9",
    "--epochs=0",
    "--learning_rate=0",
    "--learning_rate=nan",
    "--batch_size=0",
    "--looks=3",
    "--looks=x",
]
PLANES = [
    "--radii=0.5,0",
    "--radii=inf",
    "--plane=1",
    "--dims=10,0",
    "--plane_epochs=0",
    "--plane_rate=0",
    "--between=0.3,0",
    "--small_plane=1",
    "--small_planes=0",
]


@pytest.mark.parametrize(
    ("figure", "flag"),
    [(f, flag) for f in FIGURES for flag in SHARED] + [(emergent_goldilocks, f) for f in PLANES],
)
def test_a_bad_value_is_refused_with_its_flag(figure, flag, tmp_path):
    assert refused(figure, tmp_path, flag).startswith(f"{flag}: ")
