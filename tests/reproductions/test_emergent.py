"""Figures of local geometry: readings against dense truth, claims on made numbers, the model's own."""

import itertools
import types

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import eigsh

import wedges
from reproductions import emergent_curvature, emergent_goldilocks, emergent_gradient, emergent_outliers
from reproductions.bench import runs
from reproductions.bench.errors import UsageError
from reproductions.common import local
from tests.conftest import SPARSE, plain

FIGURES = [emergent_gradient, emergent_outliers, emergent_curvature, emergent_goldilocks]


def preset(figure=emergent_gradient, **changes):
    """One network on digits, with changes."""
    one = {"networks": ("fc",), "dataset": ("digits",), "seeds": 2}
    return figure.Config(**{**figure.PRESETS["paper"], **one, **changes})


# ---- settings ---------------------------------------------------------------------------------------


def test_one_data_set_serves_all_networks_and_several_one_each():
    networks = ("simple_cnn", "fc", "lenet")
    found = local.rows(preset(networks=networks))
    assert found == [(name, "digits") for name in networks]
    found = local.rows(preset(networks=networks[:2], dataset=("cifar10", "digits")))
    assert found == [("simple_cnn", "cifar10"), ("fc", "digits")]


@pytest.mark.parametrize(("networks", "sets"), [(1, 2), (3, 2), (2, 3)])
def test_another_number_of_data_sets_is_refused_by_name(networks, sets):
    names = ("fc", "lenet", "simple_cnn")[:networks]
    with pytest.raises(UsageError, match="--dataset=digits,digits.*: name one, or one for each .*fc"):
        preset(networks=names, dataset=("digits",) * sets)


def test_a_network_twice_is_refused():
    with pytest.raises(UsageError, match="--networks=fc,fc: name each network once"):
        preset(networks=("fc", "fc"))


def test_radii_and_dims_are_taken_in_their_order():
    config = emergent_goldilocks.Config(
        **{**emergent_goldilocks.SMOKE, "radii": (2.0, 0.5, 1.0, 1.0), "dims": (20, 5)}
    )
    assert (config.radii, config.dims) == ((0.5, 1.0, 2.0), (5, 20))


def test_planes_larger_than_the_network_are_refused(tmp_path):
    text = refused(emergent_goldilocks, tmp_path, "--dims=5,100000")
    assert "--dims=100000: at most as many as fc has weights, 55210" in text


def test_results_of_rows_and_seeds_are_stacked_where_they_belong():
    config = preset(networks=("fc", "lenet"), seed=3, seeds=2)
    assert local.items(config) == [(0, 3), (0, 4), (1, 3), (1, 4)]
    arrays = local.by_row(config, [{"a": np.array([10 * i, s])} for i, s in local.items(config)])
    assert {k: v.tolist() for k, v in arrays.items()} == {
        "0 a": [[0, 3], [0, 4]],
        "1 a": [[10, 3], [10, 4]],
    }


@settings(deadline=None)
@given(
    st.integers(10, 3000),
    st.integers(10, 2000),
    st.integers(1, 500),
    st.integers(1, 90),
    st.integers(4, 30),
)
def test_looks_rise_from_the_first_to_the_last_step_of_training(asked, there, batch, epochs, looks):
    config = preset(train_examples=asked, batch_size=batch, epochs=epochs, looks=looks)
    found = local.steps(config, types.SimpleNamespace(x_train=np.zeros(there)))
    used = min(asked, there)
    last = epochs * max(1, used // batch)  # what is left over at an epoch's end is not used
    assert found[0] == 0 and found[-1] == last and np.all(np.diff(found) > 0) and len(found) <= looks
    assert len(found) == looks or last < 50 * looks


def test_looks_are_even_in_the_logarithm():
    config = preset(train_examples=1000, batch_size=1, epochs=30, looks=4)
    found = local.steps(config, types.SimpleNamespace(x_train=np.zeros(1000)))
    np.testing.assert_allclose(1 + found / 30, 1001 ** (np.arange(4) / 3), rtol=2e-3)


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
    z = landscape.evaluate(theta).outputs.numpy()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return landscape, theta, y, hessian, rows, p


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
    found = emergent_outliers.outliers(landscape, theta, labels)
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


def test_curvature_of_a_network_is_that_of_its_dense_hessian(tiny):
    landscape, theta, labels, hessian, rows, p = tiny
    found = local.curvature(landscape, theta, labels)
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
    np.testing.assert_allclose(emergent_outliers._cosines(rows), slow_cosines(rows), atol=1e-14)
    np.testing.assert_allclose(emergent_outliers._cosines(rows * 9), slow_cosines(rows), atol=1e-14)


def test_separation_is_the_diagonals_mean_less_that_of_the_rest():
    cosines = np.array([[0.9, 0.1, 0.2], [0.3, 0.6, 0.0], [-0.3, 0.3, 0.3]])
    # (0.9 + 0.6 + 0.3) / 3 - (0.1 + 0.2 + 0.3 + 0 - 0.3 + 0.3) / 6
    both = emergent_outliers._separation(np.stack([cosines, np.ones((3, 3))]))
    np.testing.assert_allclose(both, [0.5, 0], atol=1e-15)


def test_a_zone_is_the_largest_mean_over_the_better_end():
    ratio = np.array([[0.0, 4.0, 1.0, 3.0], [2.0, 2.0, 1.0, 1.0]])  # mean 1, 3, 1, 2
    assert emergent_goldilocks._zone(ratio) == 1
    assert emergent_goldilocks._zone(np.array([[1.0, 2.0, 3.0]])) == 0
    assert emergent_goldilocks._zone(np.array([[3.0, -2.0, 3.0]])) == 0


def test_convexity_of_a_matrix_is_its_share_above_zero_and_trace_over_norm():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    found = emergent_goldilocks._of((turn * [3.0, 2.0, 1.0, -2.0]) @ turn.T)
    assert found["positive"] == 0.75 and found["ratio"] == pytest.approx(4 / np.sqrt(18))
    assert emergent_goldilocks._of(np.eye(9))["ratio"] == pytest.approx(3)


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


def outliers_made(same=0.6, sure=10.0, residual=0.2, rank=9.0, off=0.0, late=0.0):
    """Cosines of the same logit, outliers, |H - G| / |H|, rank; outliers off theory's place by a share,
    and so many left where it has none."""
    noises = np.array(emergent_outliers._NOISES)
    overlap = np.clip(1 - noises / 16, 0, 1)
    predicted = np.maximum(1, 3 - noises / 6)  # at the edge of 1 from 12
    cosines = same * np.eye(10)
    looks = np.ones(3)
    return {
        "0 cosines": about(looks[:, None, None] * cosines),
        "0 sure": about(sure * looks),
        "0 residual": about(residual * looks),
        "0 hessian": about(np.ones((3, 20))),
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
    assert good.keys() == three | {"model." + k for k in ("rank", "position", "half", "threshold")}
    failed = lambda **made: {k for k, v in claims(**made).items() if not v}
    assert failed(same=0.05) == {"fc.clusters", "model.clusters"}
    assert failed(sure=8.0) == failed(sure=12.0) == {"fc.count", "model.count"}
    assert failed(residual=0.6) == {"fc.residual", "model.residual"}
    assert failed(rank=10.0) == failed(rank=8.0) == {"model.rank"}
    assert failed(off=0.1) == {"model.position", "model.half"}
    assert failed(late=9.0) == {"model.threshold"}


def test_outliers_that_are_no_numbers_fail():
    arrays = outliers_made()
    theory = {k: v for k, v in arrays.items() if k.startswith("noise predicted")}
    assert not any(passed(emergent_outliers, broken(arrays) | theory).values())


def goldilocks_made(bump, rest=0.3):
    """Ratio, share of positive eigenvalues and accuracy at three radii: `bump` in the middle."""
    line = np.array([0.0, bump, rest * bump])
    return {
        "0 ratio": about(line * 7),
        "0 positive": about(0.5 + line / 4),
        "0 accuracy": about(0.1 + np.stack([line / 50, line / 2])),
        "model ratio": about(line * 7),
        "model positive": about(0.5 + line / 4),
    }


def test_a_bump_over_radii_passes_and_a_flat_line_fails():
    config = {"radii": (0.1, 1.0, 10.0), "dims": (10, 100), "plane": 50}
    claims = lambda arrays: passed(emergent_goldilocks, arrays, **config)
    good = claims(goldilocks_made(0.9))
    assert all(good.values()) and good.keys() == {
        *(f"fc.{k}" for k in ("convexity", "positive", "success", "agree")),
        *(f"model.{k}" for k in ("convexity", "positive")),
    }
    with pytest.warns(match="constant"):
        assert not any(claims(goldilocks_made(0.0)).values())
    rising = claims(goldilocks_made(0.9, rest=1.1))
    assert [k for k, v in rising.items() if v] == ["fc.agree"]
    assert not any(claims(broken(goldilocks_made(0.9))).values())


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
    assert emergent_outliers._separation(emergent_outliers._cosines(simple.directions[:20])) > 0.1


@pytest.fixture
def smaller(monkeypatch):
    """The model's parameters, with fewer dimensions and examples."""
    monkeypatch.setattr(local, "MODEL", {**local.MODEL, "dimension": 150, "examples": 60})
    return local.model(0)


def test_outliers_of_the_model_are_those_of_its_dense_matrices(smaller):
    found, point = emergent_outliers._model(0), local.trained(smaller, 0.5)
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
        found = emergent_outliers._noise(0, noise)
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
        largest, trace, measured, left = emergent_curvature._model(point)
        matrix = bent(length * smaller.directions, point.probabilities) + point.residual
        np.testing.assert_allclose(largest, np.linalg.eigvalsh(matrix)[-1])
        np.testing.assert_allclose(trace, np.trace(matrix))
        np.testing.assert_allclose(left, np.mean(1 - np.sum(point.probabilities**2, axis=1)))
        np.testing.assert_allclose(measured, length * np.sqrt(2), rtol=0.05)  # centre and noise, 1 each


def test_the_model_is_most_convex_at_some_radius_between_the_ends():
    config = preset(emergent_goldilocks)
    found = np.array([emergent_goldilocks._model(config, local.model(0), r) for r in config.radii])
    assert emergent_goldilocks._zone(found[None, :, 1]) > 0.1 * np.sqrt(config.plane)
    assert emergent_goldilocks._zone(found[None, :, 0]) > 0.05


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


# ---- flags ------------------------------------------------------------------------------------------


def refused(figure, tmp_path, *given):
    with pytest.raises(UsageError) as error:
        runs.run(figure, ["--preset=smoke", f"--out_dir={tmp_path}", *given])
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    return str(error.value)


@pytest.mark.parametrize("figure", FIGURES)
def test_data_sets_that_do_not_fit_are_refused_before_any_work(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "network", None)  # it would be called
    monkeypatch.setattr(local, "model", None)
    text = refused(figure, tmp_path, "--dataset=digits,digits", "--networks=fc,lenet,simple_cnn")
    assert text.startswith("--dataset=digits,digits: name one, or one for each of ")
    assert "--dataset=" in refused(figure, tmp_path, "--dataset=cifar10,digits", "--networks=fc")
    text = refused(figure, tmp_path, "--dataset=digits,letters", "--networks=fc,lenet")
    assert text.startswith("--dataset=letters: unknown data set; choose one of digits, ")


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
]


@pytest.mark.parametrize(
    ("figure", "flag"),
    [(f, flag) for f in FIGURES for flag in SHARED] + [(emergent_goldilocks, f) for f in PLANES],
)
def test_a_bad_value_is_refused_with_its_flag(figure, flag, tmp_path):
    assert refused(figure, tmp_path, flag).startswith(f"{flag}: ")
