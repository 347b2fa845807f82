"""Units in another order: against permutations done by hand, layer by layer, and against all of them."""

import functools
import itertools
import pickle

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as L
from sklearn.datasets import load_digits

import wedges
from tests.conftest import SPARSE
from wedges.alignment.units import Units

N = 11
few = settings(deadline=None, max_examples=6)
seeds = st.integers(0, 2**31 - 1)

# ---- networks, and their units permuted by hand -----------------------------------------------------
#
# Each is a function of an input, and one that permutes the network's weights {"layer/name": array} in
# place by p(layer, units), the order of a layer's units.


class Weights(dict):
    """Arrays by layer and name."""

    def take(self, order, *names, axis=-1):
        """Put one axis of weights in an order."""
        for name in names:
            self[name] = np.take(self[name], order, axis)


def dense(x):
    x = L.Dense(6, "tanh", name="one")(x)
    x = L.Dropout(0.5)(x)
    x = L.Dense(5, "relu", name="two")(x)
    return L.Dense(3, name="end")(x)


def dense_by_hand(w, p):
    for n, layer, after in (6, "one", "two"), (5, "two", "end"):
        w.take(p(layer, n), f"{layer}/kernel", f"{layer}/bias")
        w.take(p(layer, n), f"{after}/kernel", axis=0)


def convolutions(x):
    x = L.Conv2D(4, 3, name="one", use_bias=False)(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.ReLU()(x)
    x = L.DepthwiseConv2D(2, name="deep")(x)
    x = L.MaxPooling2D(2)(x)
    x = L.Conv2D(3, 1, activation="gelu", name="two")(x)
    x = L.Flatten()(x)
    return L.Dense(3, name="end")(x)


def convolutions_by_hand(w, p):
    one, two = p("one", 4), p("two", 3)
    w.take(one, "one/kernel", "norm/gamma", "norm/beta", "deep/bias")
    w.take(one, "deep/kernel", "two/kernel", axis=2)
    w.take(two, "two/kernel", "two/bias")
    blocks = w["end/kernel"].reshape(-1, 3, 3)  # [pixels, channels, classes]
    w["end/kernel"] = blocks[:, two].reshape(-1, 3)


def residual(x):
    x = L.Dense(5, "tanh", name="stem")(x)
    inner = L.Dense(4, "relu", name="one")(x)
    x = L.Add()([x, L.Dense(5, name="two")(inner)])
    x = x + L.Dense(5, "tanh", name="square")(x)  # reads and makes the stream
    x = L.LayerNormalization(name="norm")(x)
    return L.Dense(3, name="end")(x)


def residual_by_hand(w, p):
    stream, inner = p("stem", 5), p("one", 4)
    w.take(stream, "stem/kernel", "stem/bias", "two/kernel", "two/bias", "square/kernel", "square/bias")
    w.take(stream, "norm/gamma", "norm/beta")
    w.take(stream, "one/kernel", "square/kernel", "end/kernel", axis=0)
    w.take(inner, "one/kernel", "one/bias")
    w.take(inner, "two/kernel", axis=0)


def concatenated(x):
    left, right = L.Dense(4, "tanh", name="left")(x), L.Dense(3, "relu", name="right")(x)
    both = L.Concatenate()([left, x, right])
    x = L.Dense(5, "softplus", name="both")(both)
    return L.Dense(3, name="end")(L.Concatenate()([x, both]))


def concatenated_by_hand(w, p):
    left, right, both = p("left", 4), p("right", 3), p("both", 5)
    joined = np.concatenate([left, np.arange(4, 10), 10 + right])
    w.take(left, "left/kernel", "left/bias")
    w.take(right, "right/kernel", "right/bias")
    w.take(joined, "both/kernel", axis=0)
    w.take(both, "both/kernel", "both/bias")
    w.take(np.concatenate([both, 5 + joined]), "end/kernel", axis=0)


def excited(x):
    x = L.SeparableConv2D(4, 3, name="one")(x)
    x = L.PReLU(shared_axes=[1, 2], name="slopes")(x)
    gate = L.GlobalAveragePooling2D(keepdims=False)(x)
    gate = L.Dense(2, "relu", name="squeeze")(gate)
    gate = L.Reshape((1, 1, 4))(L.Dense(4, "sigmoid", name="gate")(gate))
    x = L.Multiply()([x, gate])
    x = L.ZeroPadding2D()(L.UpSampling2D()(x))
    x = L.Conv2D(4, 3, strides=2, groups=2, name="grouped")(x)  # two filters of two channels each
    return L.Dense(3, name="end")(L.GlobalMaxPooling2D()(x))


def excited_by_hand(w, p):
    # Channels stay within their group.
    one = np.concatenate([p("one/0", 2), 2 + p("one/1", 2)])
    grouped = np.concatenate([p("grouped/0", 2), 2 + p("grouped/1", 2)])
    p.orders |= {"one": one, "gate": one, "grouped": grouped}
    w.take(one, "one/pointwise_kernel", "one/bias", "slopes/alpha", "gate/kernel", "gate/bias")
    w.take(one, "squeeze/kernel", axis=0)
    w.take(p("squeeze", 2), "squeeze/kernel", "squeeze/bias")
    w.take(p("squeeze", 2), "gate/kernel", axis=0)
    kernel = w["grouped/kernel"].copy()  # [3, 3, channels of a group, filters]
    kernel[..., :2] = kernel[..., p("one/0", 2), :2]
    kernel[..., 2:] = kernel[..., p("one/1", 2), 2:]
    w["grouped/kernel"] = kernel
    w.take(grouped, "grouped/kernel", "grouped/bias")
    w.take(grouped, "end/kernel", axis=0)


def generated(x):
    x = L.Dense(3 * 3 * 4, "relu", name="seed")(x)
    x = L.Reshape((3, 3, 4))(x)
    x = L.Conv2DTranspose(3, 2, name="up")(x)
    x = L.GroupNormalization(1, name="norm")(x)
    x = keras.ops.tanh(x) * 2.0
    return L.Dense(3, name="end")(keras.ops.reshape(x, (-1, 4 * 4 * 3)))


def generated_by_hand(w, p):
    seed, up = p("channels", 4), p("up", 3)
    p.orders["seed"] = (4 * np.arange(9)[:, None] + seed).ravel()  # the same channels at each pixel
    w.take(p.orders["seed"], "seed/kernel", "seed/bias")
    w.take(seed, "up/kernel")
    w.take(up, "up/kernel", axis=2)
    w.take(up, "up/bias", "norm/gamma", "norm/beta")
    w["end/kernel"] = w["end/kernel"].reshape(16, 3, 3)[:, up].reshape(48, 3)


def shared(x):
    again, start = L.Dense(5, "tanh", name="again"), L.Dense(5, "elu", name="start")
    x = start(x)
    for _ in range(2):
        x = again(x)
    inner = keras.Sequential(
        [keras.Input((5,)), L.Dense(4, "relu", name="inner"), L.UnitNormalization()]
    )
    return L.Dense(3, name="end")(inner(x))


def shared_by_hand(w, p):
    stream, inner = p("start", 5), p("inner", 4)
    p.orders["again"] = stream
    w.take(stream, "start/kernel", "start/bias", "again/kernel", "again/bias")
    w.take(stream, "again/kernel", "inner/kernel", axis=0)
    w.take(inner, "inner/kernel", "inner/bias")
    w.take(inner, "end/kernel", axis=0)


def sequences(x):
    x = L.Embedding(7, 4, name="table")(x)
    x = L.Conv1D(4, 2, activation="relu", name="one")(x)
    x = L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e", name="heads")(x)
    x = L.EinsumDense("...de,def->...f", 4, activation="tanh", name="join")(x)
    return L.Dense(3, name="end")(L.GlobalAveragePooling1D()(x))


def sequences_by_hand(w, p):
    table, one, heads, join = p("table", 4), p("one", 4), p("heads", 2), p("join", 4)
    dimensions = np.random.default_rng(int(one[0])).permutation(3)
    w.take(table, "table/embeddings")
    w.take(table, "one/kernel", axis=1)
    w.take(one, "one/kernel", "one/bias")
    w.take(one, "heads/kernel", axis=0)
    w.take(heads, "heads/kernel", axis=1)
    w.take(dimensions, "heads/kernel", "heads/bias", axis=-1)
    w.take(heads, "join/kernel", axis=0)
    w.take(dimensions, "join/kernel", axis=1)
    w.take(join, "join/kernel")
    w.take(join, "end/kernel", axis=0)


def turned(x):
    x = L.Reshape((3, 2))(x)
    x = L.Permute((2, 1))(L.Dense(4, "tanh", name="one")(x))  # channels first
    x = L.Dense(5, "relu", name="two")(L.Flatten(data_format="channels_first")(x))
    x = L.RepeatVector(2)(keras.ops.sqrt(x))  # which is NaN of what no relu returns
    return L.Dense(3, name="end")(L.Flatten()(x))


def turned_by_hand(w, p):
    one, two = p("one", 4), p("two", 5)
    w.take(one, "one/kernel", "one/bias")
    w["two/kernel"] = w["two/kernel"].reshape(3, 4, 5)[:, one].reshape(12, 5)
    w.take(two, "two/kernel", "two/bias")
    w["end/kernel"] = w["end/kernel"].reshape(2, 5, 3)[:, two].reshape(10, 3)


NETWORKS = {
    "dense": ((6,), dense, dense_by_hand),
    "convolutions": ((7, 7, 2), convolutions, convolutions_by_hand),
    "residual": ((6,), residual, residual_by_hand),
    "concatenated": ((6,), concatenated, concatenated_by_hand),
    "excited": ((5, 5, 2), excited, excited_by_hand),
    "generated": ((6,), generated, generated_by_hand),
    "shared": ((6,), shared, shared_by_hand),
    "sequences": ((6,), sequences, sequences_by_hand),
    "turned": ((6,), turned, turned_by_hand),
}


@functools.cache
def made(name):
    """The landscape of a network in float64."""
    shape, network, _ = NETWORKS[name]
    return landscape_of(network, shape, integers=name == "sequences")


def landscape_of(network, shape, *, integers=False, **how):
    """Of any network in float64, on random inputs."""
    keras.config.set_dtype_policy("float64")
    try:
        inputs = keras.Input(shape, dtype="int32" if integers else None)
        model = keras.Model(inputs, network(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 7, (N, *shape)) if integers else rng.normal(size=(N, *shape))
    how = {"batch_norm": "reestimate", **how}
    return wedges.NetworkLandscape(model, x, rng.integers(0, 3, N), SPARSE, seed=0, **how)


class Orders:
    """Random orders of units by layer, each drawn once."""

    def __init__(self, seed):
        self.rng, self.orders = np.random.default_rng(seed), {}

    def __call__(self, layer, units):
        return self.orders.setdefault(layer, self.rng.permutation(units))


def point(landscape, seed):
    return np.random.default_rng(seed).normal(size=landscape.dimension)


def by_hand(name, landscape, theta, orders):
    """theta with the units of a network in other orders."""
    space = landscape.space
    names = ["/".join(v.path.split("/")[-2:]) for v in space.variables]
    weights = Weights(zip(names, map(np.array, space.unflatten(theta)), strict=True))
    NETWORKS[name][2](weights, orders)
    assert [weights[n].shape for n in names] == space.shapes
    return np.concatenate([weights[n].ravel() for n in names])


def outputs(landscape, theta):
    return landscape.evaluate(theta).outputs


def squared(a, b):
    return float(np.sum((a - b) ** 2))


# ---- a permuted copy is brought back, exactly -------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@few
@given(seed=seeds)
def test_a_permuted_copy_is_brought_back_and_computes_the_same(name, seed):
    landscape, orders = made(name), Orders(seed)
    theta = point(landscape, seed)
    copy = by_hand(name, landscape, theta, orders)
    before, after = outputs(landscape, theta), outputs(landscape, copy)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-11 * np.abs(before).max())
    if np.array_equal(theta, copy):
        return
    found = wedges.align(landscape, theta, copy, seed=seed, points=None)
    assert found.squared_distance.after == 0 and found.squared_distance.before > 0
    np.testing.assert_array_equal(found.theta, theta)
    assert found.difference <= 1e-11 * np.abs(before).max()
    assert found.barrier is found.lines is None
    for layer, order in orders.orders.items():
        if layer in found.permutations:  # in the copy unit i is unit order[i] of theta
            np.testing.assert_array_equal(order[found.permutations[layer]], np.arange(len(order)))


def test_permutations_are_given_for_every_layer_that_makes_units():
    theta, other = (point(made("residual"), seed) for seed in (0, 1))
    found = wedges.align(made("residual"), theta, other, seed=0, points=None).permutations
    assert set(found) == {"stem", "one", "two", "square"}  # neither a norm, nor the outputs
    np.testing.assert_array_equal(found["stem"], found["two"])
    np.testing.assert_array_equal(found["stem"], found["square"])


@pytest.mark.parametrize("name", NETWORKS)
@few
@given(seed=seeds)
def test_the_distance_never_rises_and_outputs_are_equal_to_rounding(name, seed):
    landscape = made(name)
    a, b = point(landscape, seed), point(landscape, seed + 1)
    found = wedges.align(landscape, a, b, seed=seed, points=None)
    assert (np.diff(found.distances) <= 0).all()
    before, after = found.squared_distance
    np.testing.assert_allclose([before, after], [squared(a, b), squared(a, found.theta)], rtol=1e-12)
    np.testing.assert_allclose(found.distances[-1], after, rtol=1e-12)
    assert after <= before
    np.testing.assert_array_equal(np.sort(found.theta), np.sort(b))
    of_b = outputs(landscape, b)
    assert found.difference == np.abs(outputs(landscape, found.theta) - of_b).max()
    assert found.difference <= 1e-11 * np.abs(of_b).max()


# ---- the nearest of all permutations ----------------------------------------------------------------


@functools.cache
def one_hidden_layer():
    return landscape_of(lambda x: L.Dense(3)(L.Dense(5, "tanh")(x)), (2,))


def every_order(landscape, b, *counts):
    """b in every order of the units of its hidden layers, dense ones."""
    for orders in itertools.product(*(itertools.permutations(range(n)) for n in counts)):
        arrays = list(map(np.array, landscape.space.unflatten(b)))
        for i, order in enumerate(map(list, orders)):
            arrays[2 * i], arrays[2 * i + 1] = arrays[2 * i][:, order], arrays[2 * i + 1][order]
            arrays[2 * i + 2] = arrays[2 * i + 2][order]
        yield orders, np.concatenate([a.ravel() for a in arrays])


@few
@given(seed=seeds)
def test_of_one_hidden_layer_it_is_the_nearest_of_all_permutations(seed):
    landscape = one_hidden_layer()
    a, b = point(landscape, seed), point(landscape, seed + 1)
    nearest = min(squared(a, each) for _, each in every_order(landscape, b, 5))
    found = wedges.align(landscape, a, b, seed=seed, starts=1, points=None)
    np.testing.assert_allclose(found.squared_distance.after, nearest, rtol=1e-12)


@few
@given(seed=seeds)
def test_of_two_hidden_layers_no_other_permutation_of_one_alone_is_nearer(seed):
    landscape = two_hidden_layers()
    a, b = point(landscape, seed), point(landscape, seed + 1)
    found = wedges.align(landscape, a, b, seed=seed, points=None)
    all_of_them = {orders: squared(a, each) for orders, each in every_order(landscape, b, 4, 3)}
    best = tuple(tuple(found.permutations[layer].tolist()) for layer in ("one", "two"))
    np.testing.assert_allclose(all_of_them[best], found.squared_distance.after, rtol=1e-12)
    beside = [d for orders, d in all_of_them.items() if orders[0] == best[0] or orders[1] == best[1]]
    assert found.squared_distance.after <= min(beside) * (1 + 1e-12)
    # With many starts it is the nearest of all.
    many = wedges.align(landscape, a, b, seed=seed, starts=20, points=None).squared_distance.after
    np.testing.assert_allclose(many, min(all_of_them.values()), rtol=1e-12)


@functools.cache
def two_hidden_layers():
    network = lambda x: L.Dense(3)(L.Dense(3, "tanh", name="two")(L.Dense(4, "tanh", name="one")(x)))
    return landscape_of(network, (2,))


def test_a_seed_decides_and_more_starts_are_never_farther():
    landscape = made("residual")
    a, b = point(landscape, 3), point(landscape, 4)
    run = lambda **how: wedges.align(landscape, a, b, points=None, **how)
    one, again, more = run(seed=5), run(seed=5), run(seed=5, starts=8)
    np.testing.assert_array_equal(one.theta, again.theta)
    assert more.squared_distance.after <= one.squared_distance.after


# ---- what lies between ------------------------------------------------------------------------------


def test_the_barrier_between_two_trained_networks_falls():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    thetas = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((64,)), L.Dense(48, "relu"), L.Dense(10)])
        model.compile(keras.optimizers.Adam(5e-3), SPARSE)
        model.fit(x, y, epochs=8, batch_size=100, verbose=0)
        landscape = wedges.NetworkLandscape(model, x, y, SPARSE, seed=0)
        thetas.append(landscape.space.read())
    found = wedges.align(landscape, *thetas, seed=0, points=7)
    assert float(landscape(thetas[0])) < 0.3
    assert found.barrier.after < 0.7 * found.barrier.before
    assert found.squared_distance.after < 0.8 * found.squared_distance.before
    for (t, losses), end, height in zip(
        found.lines, (thetas[1], found.theta), found.barrier, strict=True
    ):
        np.testing.assert_allclose(losses[[0, -1]], [landscape(thetas[0]), landscape(end)], rtol=1e-6)
        chord = losses[0] + t * (losses[-1] - losses[0])
        np.testing.assert_allclose(height, np.max(losses - chord), rtol=1e-6)
    assert len(t) == 7
    assert found.difference <= 1e-5 * np.abs(outputs(landscape, thetas[1])).max()


# ---- batch norm, and whole models -------------------------------------------------------------------


def test_statistics_of_batch_norm_go_with_their_units():
    landscape = made("convolutions")
    model = landscape.network.model
    a, b = point(landscape, 0), point(landscape, 1)
    found = wedges.align(landscape, a, b, seed=0, points=None)
    assert any((order != np.arange(len(order))).any() for order in found.permutations.values())
    landscape.write(b)
    x = np.asarray(landscape.x)
    before, mean = model.predict(x, verbose=0), np.array(model.get_layer("norm").moving_mean)
    found.reordering.apply(model)
    np.testing.assert_array_equal(landscape.space.read(), found.theta)
    np.testing.assert_array_equal(
        model.get_layer("norm").moving_mean, mean[found.permutations["one"]]
    )  # moved, not found anew
    np.testing.assert_allclose(model.predict(x, verbose=0), before, rtol=1e-10, atol=1e-12)


def test_a_whole_model_of_other_weights_is_refused():
    landscape = one_hidden_layer()
    found = wedges.align(landscape, point(landscape, 0), point(landscape, 1), seed=0, points=None)
    other = keras.Sequential([keras.Input((2,)), L.Dense(4, name="other")], name="other")
    with pytest.raises(ValueError, match="^model must have the weights of '.*'; received the model"):
        found.reordering.apply(other)


def test_it_pickles_and_shows_in_a_line():
    landscape = one_hidden_layer()
    a, b = point(landscape, 0), point(landscape, 1)
    found = wedges.align(landscape, a, b, seed=0, points=3)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.theta, found.theta)
    assert repr(again) == repr(found) and "\n" not in repr(found) and len(repr(found)) < 700
    landscape.write(b)
    again.reordering.apply(landscape.network.model)
    np.testing.assert_array_equal(landscape.space.read(), found.theta)


# ---- inputs, outputs and numbers of other kinds -----------------------------------------------------


def test_several_inputs_and_outputs_stay_in_their_order():
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    x = L.Concatenate()([L.Dense(4, "tanh", name="one")(left), L.Dense(3, name="two")(right)])
    outputs = {"kind": L.Dense(3, name="kind")(x), "size": L.Dense(1, name="size")(x)}
    model = keras.Model({"left": left, "right": right}, outputs)
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(N, n)).astype(np.float32) for name, n in (("left", 3), ("right", 2))}
    y = {"kind": rng.integers(0, 3, N), "size": rng.normal(size=N)}
    losses = {"kind": SPARSE, "size": "mean_squared_error"}
    landscape = wedges.NetworkLandscape(model, x, y, losses, seed=0)
    found = wedges.align(landscape, point(landscape, 0), point(landscape, 1), seed=0, points=2)
    assert set(found.permutations) == {"one", "two"} and 0 <= found.difference < 1e-4
    assert found.barrier == (0, 0)  # of two points


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_layers_that_compute_in_half_precision(policy):
    how = {"dtype": keras.mixed_precision.DTypePolicy(policy)}
    stack = [L.Conv2D(4, 3, name="one", **how), L.ReLU(**how), L.Flatten(**how)]
    model = keras.Sequential([keras.Input((5, 5, 1)), *stack, L.Dense(3, **how)], name="half")
    x = np.random.default_rng(0).normal(size=(N, 5, 5, 1)).astype(np.float32)
    landscape = wedges.NetworkLandscape(model, x, np.arange(N) % 3, SPARSE, seed=0)
    a, b = point(landscape, 0), point(landscape, 1)
    found = wedges.align(landscape, a, b, seed=0, points=None)
    assert set(found.permutations) == {"half/one"}
    assert found.difference <= 0.03 * np.abs(outputs(landscape, b)).max()
    again = wedges.align(landscape, b, found.theta, seed=0, points=None)
    assert again.squared_distance.after == 0


# ---- units that stay --------------------------------------------------------------------------------


def frozen(x):
    still = L.Dense(4, "tanh", name="still", trainable=False)
    return L.Dense(3)(L.Dense(5, "tanh", name="free")(still(x)))


def sliced(x):
    x = L.Dense(4, name="still")(x)
    return L.Dense(3)(L.Dense(5, "relu", name="free")(x[:, 1:3]))


def mixing(x):
    x = L.Dense(4, activation=lambda z: z * keras.ops.sigmoid(z[..., :1]), name="still")(x)
    return L.Dense(3)(L.Dense(5, keras.activations.softmax, name="free")(x))


def inference(x):
    x = L.BatchNormalization(name="norm")(L.Dense(4, name="still")(x), training=False)
    return L.Dense(3)(L.Dense(5, "relu", name="free")(x))


def nested_inference(x):
    stack = [L.Dense(4, name="still"), L.BatchNormalization(name="norm")]
    x = keras.Sequential([keras.Input((6,)), *stack], name="inner")(x, training=False)
    return L.Dense(3)(L.Dense(5, "relu", name="free")(x))


def scaled(x):
    x = L.Dense(4, name="still")(x) * np.array([1.0, 2.0, 3.0, 4.0])
    return L.Dense(3)(L.Dense(5, "relu", name="free")(x))


def summed_with_inputs(x):
    x = L.Add()([x, L.Dense(6, "tanh", name="still")(x)])
    return L.Dense(3)(L.Dense(5, "relu", name="free")(x))


STAYING = [frozen, sliced, mixing, inference, nested_inference, scaled, summed_with_inputs]


@pytest.mark.parametrize("network", STAYING)
def test_units_that_cannot_move_stay(network):
    landscape = landscape_of(network, (6,))
    a, b = point(landscape, 0), point(landscape, 1)
    found = wedges.align(landscape, a, b, seed=0, points=None)
    assert set(found.permutations) == {"free"}
    assert found.difference <= 1e-12 and found.squared_distance.after < found.squared_distance.before


@pytest.mark.parametrize("filters", [1, 2])
def test_depthwise_filters_of_an_input_channel_move_among_themselves(filters):
    network = lambda x: L.Dense(3)(
        L.GlobalAveragePooling2D()(L.DepthwiseConv2D(3, depth_multiplier=filters, name="deep")(x))
    )
    landscape = landscape_of(network, (4, 4, 2))
    found = wedges.align(landscape, point(landscape, 0), point(landscape, 2), seed=0, points=None)
    if filters == 1:
        assert not found.permutations and found.squared_distance.after == found.squared_distance.before
    else:
        order = found.permutations["deep"]
        assert set(order[:2]) == {0, 1} and set(order[2:]) == {2, 3}


def test_channels_that_are_normalised_in_groups_stay_in_theirs():
    network = lambda x: L.Dense(3)(
        L.Activation("tanh")(L.GroupNormalization(2)(L.Dense(6, name="one")(x)))
    )
    landscape = landscape_of(network, (6,))
    for seed in range(4):  # by chance an order of all six may be one of either three
        a, b = point(landscape, seed), point(landscape, seed + 1)
        order = wedges.align(landscape, a, b, seed=0, points=None).permutations["one"]
        assert (order != np.arange(6)).any() and set(order[:3]) == {0, 1, 2}


def test_depthwise_filters_of_a_hidden_channel_stay_together():
    def network(x):
        x = L.Conv2D(4, 1, activation="relu", name="one")(x)
        x = L.DepthwiseConv2D(2, depth_multiplier=2, activation="tanh", name="deep")(x)
        return L.Dense(3)(L.GlobalAveragePooling2D()(x))

    landscape = landscape_of(network, (4, 4, 2))
    found = wedges.align(landscape, point(landscape, 0), point(landscape, 2), seed=0, points=None)
    one, deep = found.permutations["one"], found.permutations["deep"]
    assert (one != np.arange(4)).any()
    np.testing.assert_array_equal(deep.reshape(4, 2), np.stack([2 * one, 2 * one + 1], axis=1))


# ---- what is refused --------------------------------------------------------------------------------


class Twice(L.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)[..., ::-1]


REFUSED = {
    "received layer 'attention' (MultiHeadAttention)": lambda x: L.Dense(3)(
        L.Flatten()(L.MultiHeadAttention(2, 3, name="attention")(x, x))
    ),
    "received layer 'memory' (LSTM)": lambda x: L.Dense(3)(L.LSTM(4, name="memory")(x)),
    "received layer 'twice' (Twice)": lambda x: L.Dense(3)(L.Flatten()(Twice(4, name="twice")(x))),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_layer_that_is_not_understood_is_named(words):
    landscape = landscape_of(REFUSED[words], (4, 2))
    with pytest.raises(ValueError) as caught:
        wedges.align(landscape, point(landscape, 0), point(landscape, 1), seed=0)
    expected = f"model must be made of layers whose units may be permuted; {words}."
    assert str(caught.value) == expected


class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.one, self.end = L.Dense(4), L.Dense(3)

    def call(self, x):
        return self.end(self.one(x))


def test_a_model_that_is_no_graph_is_refused():
    model = Own()
    x = np.ones((5, 2), "float32")
    model(x)
    landscape = wedges.NetworkLandscape(model, x, np.zeros(5, int), SPARSE, seed=0)
    with pytest.raises(ValueError, match=r"^model must be a graph of layers.*received 'own' \(Own\)\.$"):
        wedges.align(landscape, point(landscape, 0), point(landscape, 1), seed=0)


def test_a_model_that_does_more_than_its_graph_is_found_by_its_outputs():
    class More(keras.Model):
        def call(self, x, training=None, mask=None):
            weight = self.get_layer("one").bias
            return super().call(x, training=training) + weight[0]

    x = keras.Input((2,))
    model = More(x, L.Dense(3)(L.Dense(4, "tanh", name="one")(x)), name="more")
    data = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    landscape = wedges.NetworkLandscape(model, data, np.zeros(5, int), SPARSE, seed=0)
    a = point(landscape, 0)
    kernel, bias, end = a[:8].reshape(2, 4), a[8:12], a[12:24].reshape(4, 3)
    turned = kernel[:, ::-1].ravel(), bias[::-1], end[::-1].ravel()
    b = np.concatenate([*turned, a[24:]])  # a copy, if the first bias were as any other
    with pytest.raises(ValueError, match="^model 'more' must compute the same with its units in"):
        wedges.align(landscape, a, b, seed=0)


def test_other_arguments_are_refused():
    landscape = one_hidden_layer()
    a, b = point(landscape, 0), point(landscape, 1)
    for how, words in (
        ({"seed": -1}, "seed must be a whole number, at least 0; received -1."),
        ({"starts": 0}, "starts must be a whole number, at least 1; received 0."),
        ({"sweeps": 0.5}, "sweeps must be a whole number, at least 1; received 0.5."),
        ({"points": 1}, "points must be a whole number, at least 2; received 1."),
    ):
        with pytest.raises(ValueError) as caught:
            wedges.align(landscape, a, b, **{"seed": 0, **how})
        assert str(caught.value) == words
    with pytest.raises(ValueError, match=r"^b must be a point \[33\] of this landscape"):
        wedges.align(landscape, a, b[1:], seed=0)
    with pytest.raises(ValueError, match="^landscape must be a NetworkLandscape.*received Quadratic"):
        wedges.align(wedges.Quadratic([1.0, 2.0]), [0.0, 1.0], [1.0, 0.0], seed=0)
    own = landscape_of(NETWORKS["convolutions"][1], (7, 7, 2), batch_norm="frozen")
    with pytest.raises(ValueError, match='^landscape must be made with batch_norm="reestimate" for'):
        wedges.align(own, point(own, 0), point(own, 1), seed=0)


# ---- which units may change places ------------------------------------------------------------------


def sizes(units, *axes):
    groups = units.groups()
    return groups.sizes, [groups.group[axis].tolist() for axis in axes]


def test_units_of_sums_of_blocks_are_those_that_share_all_blocks():
    units = Units()
    a, b, c, d = (units.new(n) for n in (3, 5, 4, 4))
    one, other = units.axis(np.concatenate([a, b])), units.axis(np.concatenate([c, d]))
    units.same(one, other)
    # a is 0 to 2, of b and c there is one each at 3, b and d are 4 to 7.
    assert sizes(units, one, other) == ([3, 4], 2 * [[0, 0, 0, -1, 1, 1, 1, 1]])


def test_units_that_an_axis_has_unequally_often_stay_apart():
    units = Units()
    a = units.new(4)
    units.axis(np.concatenate([a, a[:2]]))
    assert sizes(units, a) == ([2, 2], [[0, 0, 1, 1]])


def test_a_fixed_unit_fixes_those_that_are_the_same():
    units = Units()
    a, b = units.new(3), units.new(3)
    units.same(a, b)
    units.fix(b[1:2])
    assert sizes(units, a, b) == ([2], [[0, -1, 0], [0, -1, 0]])
    units.same(a, None)
    assert sizes(units, a, b) == ([], [[-1] * 3, [-1] * 3])


@few
@given(seed=seeds, axis=st.integers(0, 2), data=st.data())
def test_a_reshape_and_a_permutation_may_change_places(seed, axis, data):
    rng = np.random.default_rng(seed)
    shape = (2, 3, 4)
    new = data.draw(
        st.sampled_from([(24,), (6, 4), (2, 12), (1, 2, 3, 4), (2, 3, 2, 2), (4, 6), (3, 8)])
    )
    units = Units()
    labels = [units.new(n) if i == axis else None for i, n in enumerate(shape)]
    after = units.reshaped(labels, shape, new)
    groups = units.groups()
    orders = [rng.permutation(n) for n in groups.sizes]
    x = rng.normal(size=shape)

    def moved(array, labels):
        for i, one in enumerate(labels):
            where = np.arange(array.shape[i])
            for group, at in groups.places(one):
                where[at] = at[orders[group]]
            array = np.take(array, where, i)
        return array

    np.testing.assert_array_equal(moved(x, labels).reshape(new), moved(x.reshape(new), after))
