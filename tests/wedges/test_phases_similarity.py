"""CKA on mixed inputs against mixtures made by hand, the definition and its invariances."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wedges
from tests import conftest
from tests.conftest import SPARSE
from wedges import phases
from wedges.phases import jackknife, similarity

few = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def plain(images):
    x, y = images
    keras.utils.set_random_seed(0)
    return wedges.NetworkLandscape(conftest.plain(), x, y, SPARSE, seed=0, batch_size=16)


def some(landscape, k, scale=0.5):
    rng = np.random.default_rng(3)
    away = rng.normal(size=(k, landscape.dimension)).astype(np.float32)
    return landscape.space.read().numpy() + scale * away


def kernel_cka(x, y):
    """By Gram matrices and the centring matrix."""
    n = len(x)
    k, l_, h = x @ x.T, y @ y.T, np.eye(n) - 1 / n
    hsic = lambda a, b: np.trace(a @ h @ b @ h)
    return hsic(k, l_) / np.sqrt(hsic(k, k) * hsic(l_, l_))


# ---- on a network ---------------------------------------------------------------------------------


def test_outputs_are_softmax_probabilities_on_mixed_training_inputs(plain, images, monkeypatch):
    """The inputs are caught, and shown to be mixtures of two of their own batch by one weight."""
    x, _ = images
    caught, on = [], wedges.NetworkLandscape.on
    monkeypatch.setattr(
        wedges.NetworkLandscape, "on", lambda self, x, y: caught.append(x) or on(self, x, y)
    )
    thetas = some(plain, 3)
    found = similarity(plain, thetas, seed=5, examples=40, batch=16)
    (mixed,) = caught
    drawn = plain.drawn(40, seed=5)[0].numpy()
    assert mixed.shape == (40, 8, 8, 1) and found.examples == 40
    for i in range(0, 40, 16):
        part, given_ = mixed[i : i + 16].reshape(-1, 64), drawn[i : i + 16].reshape(-1, 64)
        weights = np.linalg.lstsq(given_.T.astype(float), part.T.astype(float), rcond=None)[0].T
        weights[np.abs(weights) < 1e-4] = 0
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-4)
        lam = np.unique(np.round(np.diag(weights)[np.diag(weights) < 0.999], 3))
        assert len(lam) == 1 and 0.2 < lam[0] < 0.8  # one lambda a batch, Beta(16, 16)
        others = np.where(weights - np.diag(np.diag(weights)) > 0)[1]
        assert len(set(others.tolist())) == len(others) > 5  # partners are a permutation
    outputs = []
    for theta in thetas:
        kernel, bias, kernel2, bias2 = (
            theta[s].reshape(v.shape)
            for s, v in zip(_slices(plain), plain.network.model.trainable_variables, strict=True)
        )
        z = np.tanh(mixed.reshape(40, -1) @ kernel + bias) @ kernel2 + bias2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        outputs.append(e / e.sum(axis=1, keepdims=True))
    for i in range(3):
        for j in range(3):
            assert found.cka[i, j] == pytest.approx(kernel_cka(outputs[i], outputs[j]), abs=1e-5)
            same = np.mean(outputs[i].argmax(1) == outputs[j].argmax(1))
            assert found.agreement[i, j] == pytest.approx(same)
            expected = np.linalg.norm(thetas[i].astype(float) - thetas[j])
            assert found.distance[i, j] == pytest.approx(expected)
    assert found.mean == pytest.approx((found.cka[0, 1] + found.cka[0, 2] + found.cka[1, 2]) / 3)
    assert found.failed == {} and np.all(np.diag(found.cka) == pytest.approx(1))


def _slices(landscape):
    ends = np.cumsum([0, *(np.prod(v.shape) for v in landscape.network.model.trainable_variables)])
    return [slice(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]


def test_inputs_depend_on_the_seed_alone(plain, images):
    """Not on the minibatches of a landscape, whose size is what a grid of temperatures varies."""
    x, y = images
    thetas = some(plain, 2)
    found = similarity(plain, thetas, seed=0, examples=30)
    other = wedges.NetworkLandscape(plain.network, x, y, SPARSE, seed=9, batch_size=4)
    np.testing.assert_array_equal(similarity(other, thetas, seed=0, examples=30).cka, found.cka)
    assert similarity(plain, thetas, seed=1, examples=30).mean != found.mean


def test_more_models_change_no_pair(plain):
    thetas = some(plain, 4)
    all_of, first = (similarity(plain, t, seed=0, examples=30) for t in (thetas, thetas[:2]))
    np.testing.assert_array_equal(all_of.cka[:2, :2], first.cka)
    assert np.isnan(first.error) and np.isfinite(all_of.error)


def test_the_same_function_has_a_cka_of_one_and_the_same_labels(plain):
    theta = some(plain, 1)[0]
    found = similarity(plain, [theta, theta], seed=0)
    assert found.mean == pytest.approx(1) and found.mean_unbiased == pytest.approx(1)
    assert found.agreement[0, 1] == 1 and found.distance[0, 1] == 0 and found.examples == 53


def test_constant_outputs_are_named(plain):
    thetas = some(plain, 4)
    thetas[1] = 0
    thetas[2] = 3e38  # finite, but its outputs are not
    found = similarity(plain, thetas, seed=0, examples=30)
    assert found.failed == {1: "constant outputs", 2: "outputs that are not finite"}
    known = np.ix_([0, 3], [0, 3])
    assert np.isfinite(found.cka[known]).all() and np.isnan(found.cka[[1, 2]]).all()
    assert found.mean == found.cka[0, 3] and np.isnan(found.error)
    dead = similarity(plain, 0 * thetas[:2], seed=0, examples=30)
    assert np.isnan(dead.mean) and set(dead.failed) == {0, 1}


def test_unmixed_inputs_and_regression(images):
    x, _ = images
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    target = x.reshape(53, -1)[:, :2]
    landscape = wedges.NetworkLandscape(model, x, target, "mean_squared_error", seed=0)
    thetas = some(landscape, 2)
    found = similarity(landscape, thetas, seed=0, alpha=None)
    z = [x.reshape(53, -1) @ t[:128].reshape(64, 2) + t[128:] for t in thetas]
    assert found.cka[0, 1] == pytest.approx(kernel_cka(*z), abs=1e-5) and found.agreement is None


def test_tokens_are_not_mixed():
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), keras.layers.Embedding(9, 3), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(3))
    x, y = np.arange(36).reshape(9, 4) % 9, np.arange(9) % 3
    landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0)
    thetas = some(landscape, 2)
    with pytest.raises(ValueError, match="x must be real numbers to be mixed; received int.*alpha=None"):
        similarity(landscape, thetas, seed=0)
    assert np.isfinite(similarity(landscape, thetas, seed=0, alpha=None).mean)


def test_images_of_bytes_are_mixed_as_bytes():
    x = np.random.default_rng(0).integers(0, 256, (20, 3), np.uint8)
    mixed = phases.similarity.__globals__["_mixed"](x, 16.0, 8, 0)
    assert mixed.dtype == np.uint8 and not np.array_equal(mixed, x)


# ---- invariances ----------------------------------------------------------------------------------


@few
@given(st.integers(0, 2**32), st.booleans())
def test_cka_is_the_same_under_rotation_scale_and_order(seed, unbiased):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 5))
    y[:, :2] += x[:, :2]
    of = lambda a, b: wedges.linear_cka(a, b, unbiased=unbiased)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(20)
    expected = of(x, y)
    assert of(2.5 * x @ turn + 7, y) == pytest.approx(expected, abs=1e-9)
    assert of(x[order], y[order]) == pytest.approx(expected, abs=1e-9)
    assert of(y, x) == pytest.approx(expected, abs=1e-9)
    assert of(x, -3 * x) == pytest.approx(1)


# ---- the jackknife --------------------------------------------------------------------------------


def test_the_jackknife_by_hand():
    matrix = np.array([[1, 0.2, 0.4], [0.2, 1, 0.6], [0.4, 0.6, 1]])
    # Without one model one pair is left: 0.6, 0.4, 0.2, of mean 0.4.
    mean, error = jackknife(matrix)
    assert mean == pytest.approx(0.4) and error == pytest.approx(np.sqrt(2 / 3 * 0.08))


def test_the_jackknife_of_sums_is_the_error_of_a_sample():
    """Where a pair is the mean of two numbers of its models, the mean of pairs is that of the sample."""
    v = np.random.default_rng(0).normal(size=7)
    mean, error = jackknife((v[:, None] + v) / 2)
    assert mean == pytest.approx(v.mean()) and error == pytest.approx(v.std(ddof=1) / np.sqrt(7))


def test_fewer_models_have_no_error():
    assert jackknife(np.array([[1, 0.5], [0.5, 1]])) == (0.5, pytest.approx(np.nan, nan_ok=True))
    nan = np.full((3, 3), np.nan)
    assert np.isnan(jackknife(nan)).all()


# ---- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thetas", "how", "said"),
    [
        (lambda t: t[:1], {}, r"thetas must be at least two points \[K, D\]; received one, or none."),
        (lambda t: t[0], {}, "thetas must be at least two points"),
        (lambda t: 7, {}, "thetas must be at least two points"),
        (lambda t: [t[0], "b.keras"], {}, "thetas must be real numbers; received the text or path"),
        (lambda t: [], {}, "thetas must be at least two points"),
        (lambda t: [t[0], t[1][:-1]], {}, "thetas must all be points .* no common space."),
        (lambda t: [t[0], t[1] * np.nan], {}, r"thetas must be finite; .* in number 1 \(from 0\)."),
        (lambda t: t, {"alpha": 0}, "alpha must be a finite number above 0"),
        (lambda t: t, {"examples": 3}, "examples must be a whole number, at least 4; received 3."),
        (lambda t: t, {"batch": 0}, "batch must be a whole number, at least 1"),
        (lambda t: t, {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_input_is_one_line(plain, thetas, how, said):
    with pytest.raises(ValueError, match=said) as raised:
        similarity(plain, thetas(some(plain, 2)), **{"seed": 0, **how})
    assert len(str(raised.value).splitlines()) == 1


def test_a_landscape_without_examples_has_no_outputs():
    with pytest.raises(ValueError, match="landscape must have examples, as a NetworkLandscape has"):
        similarity(wedges.Quadratic([1.0, 1.0]), np.eye(2), seed=0)
