"""Examples wherever they are: each source gives the numbers of arrays, and reads what it must."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import wedges
from tests.conftest import SPARSE
from wedges.network.examples import Arrays, Batches, Items, Stream, examples_of

N = 53
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 4)).astype(np.float32), RNG.integers(0, 3, N)
W = RNG.random(N).astype(np.float32)


class InBatches(keras.utils.PyDataset):
    def __init__(self, *arrays, size=10, **how):
        super().__init__(**how)
        self.arrays, self.size = arrays, size

    def __len__(self):
        return -(-N // self.size)

    def __getitem__(self, i):
        return tuple(a[i * self.size : (i + 1) * self.size] for a in self.arrays)


class Source:
    """Single examples, as a list or torch's data sets give them; counts how often it is read."""

    def __init__(self, *arrays):
        self.arrays, self.read = arrays, []

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, i):
        self.read.append(i)
        return tuple(a[i] for a in self.arrays)


class Features:
    """Dicts of features, and which of them are inputs and targets, as tensorflow-datasets gives them."""

    class dataset_info:
        supervised_keys = ("image", "label")

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {"label": Y[i], "image": X[i], "id": f"number {i}"}

    def __getitems__(self, rows):
        return [self[i] for i in rows]


def model(**how):
    made = keras.Sequential([keras.Input((4,)), layers.Dense(5, "tanh"), *how.values(), layers.Dense(3)])
    made.compile("sgd", SPARSE)
    return made


def on_disk(array, folder, name):
    path = folder / name
    held = np.memmap(path, array.dtype, "w+", shape=array.shape)
    held[:] = array
    held.flush()
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def sources(folder, weights):
    """{name: arguments of a landscape}."""
    arrays = (X, Y, W) if weights else (X, Y)
    maps = [on_disk(a, folder, f"{i}") for i, a in enumerate(arrays)]
    more = {"sample_weight": maps[2]} if weights else {}
    found = {
        "memory map": {"x": maps[0], "y": maps[1], **more},
        "map and array": {"x": maps[0], "y": Y, **({"sample_weight": W} if weights else {})},
        "tf.data": {"x": tf.data.Dataset.from_tensor_slices(arrays).batch(10)},
        "PyDataset": {"x": InBatches(*arrays)},
        "items": {"x": Source(*arrays)},
    }
    return found if weights else found | {"features": {"x": Features()}}


@pytest.mark.parametrize("weights", [False, True])
def test_every_source_gives_the_numbers_of_arrays(weights, tmp_path):
    network = model(norm=layers.BatchNormalization())
    given = {"sample_weight": W} if weights else {}
    how = {"seed": 0, "evaluation_batch_size": 10, "batch_norm": "reestimate"}
    known = wedges.NetworkLandscape(network, X, Y, **given, **how)
    theta = known.space.read() + 0.1
    v = np.random.default_rng(1).normal(size=known.dimension).astype(np.float32)
    for name, data in sources(tmp_path, weights).items():
        found = known.on(**data) if weights else wedges.NetworkLandscape(network, **data, **how)
        assert found.size == N, name
        if weights:  # re-estimated over the arrays, then
            assert found.problem.statistics is known.problem.statistics
        close = lambda a, b, name=name: np.testing.assert_allclose(
            a, b, rtol=2e-5, atol=1e-6, err_msg=name
        )
        close(found(theta), known(theta))
        close(found.value_and_gradient(theta)[1], known.value_and_gradient(theta)[1])
        close(found.evaluate(theta).outputs, known.evaluate(theta).outputs)
        close(found.evaluate(theta).accuracy, known.evaluate(theta).accuracy)
        if not weights and name in ("map and array", "tf.data"):  # with random access, and without
            close(found.hessian_product(theta, v), known.hessian_product(theta, v))


@pytest.mark.parametrize("name", ["memory map", "map and array", "items", "features"])
def test_minibatches_of_a_source_with_random_access_are_those_of_arrays(name, tmp_path):
    network = model(drop=layers.Dropout(0.5))
    known = wedges.NetworkLandscape(network, X, Y, seed=3, batch_size=8)
    found = wedges.NetworkLandscape(network, **sources(tmp_path, False)[name], seed=3, batch_size=8)
    theta = known.space.read()
    for step in (0, 5, 6, 20):
        np.testing.assert_allclose(found.sample(theta, step), known.sample(theta, step), rtol=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loss = found.sample(theta, tf.constant(3))
    assert np.isfinite(tape.gradient(loss, theta)).all()
    ends = [wedges.minimize(each, theta, "sgd", 9).theta for each in (known, found)]
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-7)


def test_examples_drawn_depend_on_the_seed_and_not_on_minibatches(tmp_path):
    rows = {tuple(x): i for i, x in enumerate(X)}
    known = wedges.NetworkLandscape(model(), X, Y, sample_weight=W, seed=3, batch_size=8)
    numbers = lambda landscape, seed: [rows[tuple(x)] for x in landscape.drawn(20, seed=seed)[0].numpy()]
    drawn = numbers(known, 0)
    assert len(set(drawn)) == 20 and drawn != list(range(20)) and numbers(known, 1) != drawn
    for part, array in zip(known.drawn(20, seed=0), (X, Y, W), strict=True):
        np.testing.assert_array_equal(part, array[drawn])
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert numbers(wedges.Distributed(known, strategy), 0) == drawn
    for name, data in sources(tmp_path, False).items():
        other = wedges.NetworkLandscape(known.network, **data, seed=9, batch_size=4)
        ordered = name in ("tf.data", "PyDataset")  # their batches are their own
        assert numbers(other, 0) == (list(range(20)) if ordered else drawn), name
    with pytest.raises(
        ValueError, match=f"n must be a whole number from 1 to N = {N}; received {N + 1}"
    ):
        known.drawn(N + 1, seed=0)


def test_batches_of_a_pydataset_are_its_minibatches_in_an_order_of_the_seed():
    landscape = wedges.NetworkLandscape(model(), InBatches(X, Y), seed=1)
    theta = landscape.space.read()
    assert landscape.steps_per_epoch == 6
    epoch = [float(landscape.sample(theta, step)) for step in range(6)]
    each = [
        wedges.NetworkLandscape(landscape.network, *InBatches(X, Y)[i], seed=0)(theta) for i in range(6)
    ]
    np.testing.assert_allclose(np.sort(epoch), np.sort(each), rtol=1e-5)
    assert float(landscape.sample(theta, 2)) == epoch[2]  # a function of the step


def test_a_stream_says_that_its_minibatches_are_no_function_of_the_step():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(10)
    landscape = wedges.NetworkLandscape(model(), data, seed=1)
    theta = landscape.space.read()
    with pytest.warns(UserWarning, match="come in its own order"):
        first = float(landscape.sample(theta, 0))
    assert float(landscape.sample(theta, 0)) != first
    end = wedges.minimize(landscape, theta, "sgd", 30)
    assert landscape(end.theta) < landscape(theta)


def test_only_what_is_asked_for_is_read():
    source = Source(X, Y)
    landscape = wedges.NetworkLandscape(model(), source, seed=0, batch_size=8, evaluation_batch_size=10)
    assert len(set(source.read)) <= 16  # what it looks at when it is made
    source.read.clear()
    landscape.sample(landscape.space.read(), 0)
    assert len(source.read) == 8
    landscape(landscape.space.read())  # looks at some from all over the data, once
    source.read.clear()
    landscape(landscape.space.read())
    assert sorted(source.read) == list(range(N))


def test_a_memory_map_is_never_copied_whole(tmp_path):
    held = on_disk(np.zeros((5000, 4), np.float32), tmp_path, "x")
    rows = []

    class Watched(np.memmap):
        def __getitem__(self, at):
            found = super().__getitem__(at)
            rows.append(len(found) if np.ndim(found) == 2 else 1)
            return found

    y = np.zeros(5000, int)
    landscape = wedges.NetworkLandscape(
        model(), held.view(Watched), y, seed=0, evaluation_batch_size=100
    )
    landscape(landscape.space.read())
    landscape.sample(landscape.space.read(), 0)
    assert max(rows) <= 128


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X.tolist(), Y.tolist()),
        (tf.constant(X), tf.constant(Y)),
        (X.astype(np.float64), Y.astype(np.uint8)),
        (X, Y[:, None]),
        (tuple(X.tolist()), tuple(Y.tolist())),
    ],
)
def test_arrays_of_every_kind(x, y):
    network = model()
    known = wedges.NetworkLandscape(network, X, Y, seed=0)
    found = wedges.NetworkLandscape(network, x, y, seed=0)
    np.testing.assert_allclose(found(found.space.read()), known(known.space.read()), rtol=1e-6)
    assert float(found.evaluate(found.space.read()).accuracy) == float(
        known.evaluate(known.space.read()).accuracy
    )


def test_frames_and_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    network = model()
    known = wedges.NetworkLandscape(network, X, Y, seed=0, sample_weight=W)
    frame, column = pandas.DataFrame(X), pandas.Series(Y)
    found = wedges.NetworkLandscape(network, frame, column, seed=0, sample_weight=pandas.Series(W))
    np.testing.assert_allclose(found(found.space.read()), known(known.space.read()), rtol=1e-6)
    with pytest.raises(ValueError, match="y must be arrays of numbers, .* received Series"):
        wedges.NetworkLandscape(network, frame, pandas.Series([[1]] * N), seed=0)


def test_kinds():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(10)
    kinds = {
        Arrays: (X, Y),
        Stream: (data,),
        Batches: (InBatches(X, Y),),
        Items: (Source(X, Y),),
    }
    for kind, given in kinds.items():
        made = examples_of(*given)
        assert type(made) is kind and made.size == N and examples_of(made) is made
        assert made.own_batches == (kind in (Stream, Batches)) and made.at_random == (kind is not Stream)
        x, y, w = made.first(5)
        assert w == () and np.array_equal(x, X[:5]) and np.array_equal(y, Y[:5])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(10).repeat(), "must be a data set that ends"),
        (tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(10), "at least one example"),
        (Source(X[:0], Y[:0]), "at least one example; received an empty source"),
        (Source(X), "y must be the targets of the examples"),
        ([{"image": 1}], "x must hold the same number of examples"),
    ],
)
def test_bad_sources_are_named(x, words):
    with pytest.raises(ValueError, match=words):
        wedges.NetworkLandscape(model(), x, seed=0)


def test_items_of_other_shapes_or_kinds_are_named():
    class Odd(Source):
        def __getitem__(self, i):
            return (X[i] if i < 20 else X[i][:2]), Y[i]

    landscape = wedges.NetworkLandscape(model(), Odd(X, Y), seed=0)
    with pytest.raises(
        Exception,
        match=r"x must hold examples of one shape; received \[\(4,\), \(\)\] and, as number 20",
    ):
        landscape(landscape.space.read())

    class Unknown(Features):
        dataset_info = None

    with pytest.raises(
        ValueError, match=r"items are \(x, y\) .* received a dict of \['id', 'image', 'label'\]"
    ):
        wedges.NetworkLandscape(model(), Unknown(), seed=0)


# ---- losses that couple the examples of a batch -----------------------------------------------------


def coupled(kind):
    if kind == "dice":
        return keras.losses.Dice()
    if kind == "tversky":
        return keras.losses.Tversky()

    def contrastive(y, z):  # [B], each example against all others
        likeness = tf.matmul(z, z, transpose_b=True)
        return tf.reduce_logsumexp(likeness, axis=-1) - tf.linalg.diag_part(likeness)

    return contrastive if kind == "contrastive" else lambda y, z: tf.math.reduce_std(y - z)


@pytest.mark.parametrize("kind", ["dice", "tversky", "contrastive", "scalar"])
def test_a_loss_that_couples_examples_is_noticed_and_computed_over_all_of_them(kind):
    network = keras.Sequential([keras.Input((4,)), layers.Dense(2, "sigmoid")])
    network.compile("sgd", coupled(kind))
    y = np.random.default_rng(1).random((N, 2)).astype(np.float32)
    at_once = wedges.NetworkLandscape(network, X, y, seed=0)
    theta = at_once.space.read()
    np.testing.assert_allclose(
        at_once(theta), network.evaluate(X, y, batch_size=N, verbose=0), rtol=1e-5
    )
    for size in (10, 1):
        with pytest.warns(UserWarning, match=f"couples the examples of a batch .* all {N} are computed"):
            parts = at_once.on(X, y, evaluation_batch_size=size)
            np.testing.assert_allclose(parts(theta), at_once(theta), rtol=1e-6)
        np.testing.assert_allclose(
            parts.value_and_gradient(theta)[1],
            at_once.value_and_gradient(theta)[1],
            rtol=1e-5,
            atol=1e-7,
        )
    batches = tf.data.Dataset.from_tensor_slices((X, y)).batch(7)
    with pytest.warns(UserWarning, match="couples the examples"):
        stream = at_once.on(batches, evaluation_batch_size=10)
        np.testing.assert_allclose(stream(theta), at_once(theta), rtol=1e-6)


def test_a_layer_that_couples_examples_is_noticed():
    class Centred(layers.Layer):
        def call(self, x):
            return x - tf.reduce_mean(x, axis=0)

    network = model(centred=Centred())
    landscape = wedges.NetworkLandscape(network, X, Y, seed=0, evaluation_batch_size=10)
    with pytest.warns(UserWarning, match="couples the examples"):
        found = landscape(landscape.space.read())
    np.testing.assert_allclose(found, network.evaluate(X, Y, batch_size=N, verbose=0), rtol=1e-5)
    at_once = wedges.NetworkLandscape(network, X, Y, seed=0)
    u = np.random.default_rng(2).normal(size=(N, 3)).astype(np.float32)
    pulled = [each.output_pullback(each.space.read(), u) for each in (landscape, at_once)]
    np.testing.assert_allclose(*pulled, rtol=1e-4, atol=1e-5)


def balanced(y, z):
    """A cross-entropy whose weights come from the batch's share of ones."""
    y = tf.reshape(y, [-1, 1])
    share = tf.reduce_mean(y)
    return tf.where(y[:, 0] > 0.5, 1 - share, share) * keras.losses.binary_crossentropy(y, z)


@pytest.mark.parametrize("source", ["arrays", "items", "PyDataset", "tf.data"])
@pytest.mark.parametrize("loss", [keras.losses.Dice(), balanced])
def test_a_coupling_that_the_first_examples_do_not_show_is_noticed(loss, source):
    y = (np.arange(N) > 40).astype(np.float32)[:, None]  # sorted: the first are all alike
    network = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    network.compile("sgd", loss)
    given = {
        "arrays": (X, y),
        "items": (Source(X, y),),
        "PyDataset": (InBatches(X, y),),
        "tf.data": (tf.data.Dataset.from_tensor_slices((X, y)).batch(10),),
    }
    landscape = wedges.NetworkLandscape(network, *given[source], seed=0, evaluation_batch_size=10)
    with pytest.warns(UserWarning, match="couples the examples"):
        found = landscape(landscape.space.read())
    np.testing.assert_allclose(found, network.evaluate(X, y, batch_size=N, verbose=0), rtol=1e-5)


def test_a_coupling_that_begins_away_from_the_start_is_noticed():
    class Mean(layers.Layer):
        def build(self, shape):
            self.g = self.add_weight(shape=(), initializer="zeros", name="g")

        def call(self, x):
            return x + self.g * tf.reduce_mean(x, axis=0)

    network = model(mean=Mean())
    landscape = wedges.NetworkLandscape(network, X, Y, seed=0, evaluation_batch_size=10)
    theta = landscape.space.read() + 1.0
    with pytest.warns(UserWarning, match="couples the examples"):
        found = landscape(theta)
    landscape.write(theta)
    np.testing.assert_allclose(found, network.evaluate(X, Y, batch_size=N, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("size", [10, N])
def test_a_mask_that_depends_on_weights_is_counted_where_it_is(size):
    class Above(layers.Layer):
        def build(self, shape):
            self.g = self.add_weight(shape=(), initializer="zeros", name="g")

        def call(self, x):
            return x * (1 + self.g)

        def compute_mask(self, x, mask=None):
            return keras.ops.any(x > self.g, axis=-1)

    network = keras.Sequential([keras.Input((6, 3)), Above(), layers.Dense(2)])
    network.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((N, 6, 3)).astype(np.float32)
    landscape = wedges.NetworkLandscape(network, x, x[..., :2], seed=0, evaluation_batch_size=size)
    theta = landscape.space.read() + 0.5
    found = float(landscape(theta))
    landscape.write(theta)
    known = network.evaluate(x, x[..., :2], batch_size=N, verbose=0)
    np.testing.assert_allclose(found, known, rtol=1e-5)


# ---- sources that are not as they seem --------------------------------------------------------------


def test_statistics_over_small_batches_of_a_stream_are_those_of_arrays():
    stack = {"a": layers.BatchNormalization(), "b": layers.Dense(4), "c": layers.BatchNormalization()}
    network = model(**stack)
    how = {"seed": 0, "batch_norm": "reestimate", "evaluation_batch_size": 25}
    known = wedges.NetworkLandscape(network, X, Y, **how)
    theta = known.space.read() + 0.1
    for size in (1, 7):
        stream = tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)
        found = wedges.NetworkLandscape(network, stream, **how)
        np.testing.assert_allclose(found(theta), known(theta), rtol=2e-5)
        found = wedges.NetworkLandscape(network, InBatches(X, Y, size=size), **how)
        np.testing.assert_allclose(found(theta), known(theta), rtol=2e-5)


def test_items_whose_first_one_is_of_another_type_are_not_cut_to_it():
    class Mixed(Source):
        def __getitem__(self, i):
            return X[i], 0 if i == 0 else 0.9

    network = keras.Sequential([keras.Input((4,)), layers.Dense(1, kernel_initializer="zeros")])
    network.compile("sgd", "mse")
    found = wedges.NetworkLandscape(network, Mixed(X, Y), seed=0)
    np.testing.assert_allclose(found(found.space.read()), 0.81 * (N - 1) / N, rtol=1e-5)

    class Late(Source):
        def __getitem__(self, i):
            return X[i], 0.5 if i == 33 else 0

    found = wedges.NetworkLandscape(network, Late(X, Y), seed=0)
    with pytest.raises(ValueError, match=r"x could not be read: .*examples of one type"):
        found(found.space.read())


def test_a_stream_that_changes_says_so():
    base = tf.data.Dataset.from_tensor_slices((X, Y))
    with pytest.warns(UserWarning, match="another order, each time it is read"):
        wedges.NetworkLandscape(model(), base.shuffle(N).batch(10), seed=0)
    generator = tf.random.Generator.from_seed(0)
    some = base.filter(lambda x, y: generator.uniform([]) < 0.5).batch(5)
    with pytest.warns(UserWarning, match="another order"):
        landscape = wedges.NetworkLandscape(model(), some, seed=0)
    with pytest.raises(ValueError, match="the same number of examples each time it is read"):
        for _ in range(50):
            landscape(landscape.space.read())


def test_what_goes_wrong_while_data_are_read_is_one_line():
    class Breaks(Source):
        def __getitem__(self, i):
            if i == 30:
                raise OSError("the disk broke")
            return X[i], Y[i]

    landscape = wedges.NetworkLandscape(model(), Breaks(X, Y), seed=0)
    with pytest.raises(ValueError, match="x could not be read: OSError: the disk broke$"):
        landscape(landscape.space.read())

    class Empty(InBatches):
        def __getitem__(self, i):
            return tuple(a[:0] for a in super().__getitem__(i)) if i == 2 else super().__getitem__(i)

    with pytest.raises(ValueError, match="in every batch; received an empty one, number 2"):
        wedges.NetworkLandscape(model(), Empty(X, Y), seed=0)


def test_a_model_that_is_random_in_inference_is_named():
    class Noise(layers.Layer):
        def call(self, x):
            return x + tf.random.normal(tf.shape(x))

    landscape = wedges.NetworkLandscape(model(noise=Noise()), X, Y, seed=0, evaluation_batch_size=10)
    with pytest.warns(UserWarning, match="random in inference, .* no function of theta"):
        landscape(landscape.space.read())


@pytest.mark.parametrize("step", [2.5, -1, 2**32, True])
def test_steps_are_whole_numbers(step):
    landscape = wedges.NetworkLandscape(model(), X, Y, seed=0)
    with pytest.raises(ValueError, match="step must be a whole number from 0 to"):
        landscape.sample(landscape.space.read(), step)


def test_weights_of_classes_are_of_these_examples_and_lists_of_one_are_one():
    network = model()
    weighted = wedges.NetworkLandscape(network, X, Y, seed=0, class_weight={0: 5.0})
    plain = wedges.NetworkLandscape(network, X, Y, seed=0)
    theta = plain.space.read()
    assert float(weighted(theta)) != float(plain(theta)) == float(weighted.on(X, Y)(theta))
    for w in ([1, 2, 3], "balanced", {"a": 1.0}):
        with pytest.raises(ValueError, match="class_weight must be a dict"):
            wedges.NetworkLandscape(network, X, Y, seed=0, class_weight=w)
    known = network.evaluate(X, Y, sample_weight=W, batch_size=N, verbose=0)
    for y, w in (([Y], [W]), ((Y,), (W,)), (Y, [W]), ([Y], W)):
        found = wedges.NetworkLandscape(network, X, y, seed=0, sample_weight=w)
        np.testing.assert_allclose(found(theta), known, rtol=1e-5)


def test_arrays_that_are_weighted_by_classes_are_in_memory_as_others_are():
    weighted = wedges.NetworkLandscape(model(), X, Y, seed=0, class_weight={0: 5.0, 2: 0.5})
    np.testing.assert_array_equal(weighted.x, X)
    np.testing.assert_array_equal(weighted.y, Y)
    np.testing.assert_array_equal(weighted.sample_weight, np.array([5.0, 1.0, 0.5])[Y])
    late = np.where(np.arange(N) == 40, 7, Y)
    with pytest.raises(ValueError, match="y must hold classes from 0 to 2, .*received 7"):
        wedges.NetworkLandscape(model(), X, late, seed=0, class_weight={0: 5.0})
    with pytest.raises(ValueError, match="class_weight must be finite; received NaN or infinity"):
        wedges.NetworkLandscape(model(), X, Y, seed=0, class_weight={1: np.nan})


# ---- what is no data ------------------------------------------------------------------------------

BAD = np.where(np.arange(X.size).reshape(X.shape) % 40 == 33, np.nan, X)  # in rows 8, 18, 28, 38, 48
NO_FIT = "x must fit the inputs of model 'mine'; received what does not: "
IN_FIVE = "must be finite; received NaN or infinity in 5 of 53 examples, number 8 .from 0. the first.$"


def landscape_of(*data, loss=SPARSE, width=3, **settings):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(width)], name="mine")
    return wedges.NetworkLandscape(model, *data, loss=loss, seed=0, **settings)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (("x.npy", Y), "x must be arrays or a data set; received .*'x.npy': load it first"),
        ((X, "y.npy"), "y must be arrays or a data set; received .*'y.npy': load it first"),
        ((X,), "y must be the targets of the examples, beside x or in the data set .x, y."),
        ((tf.data.Dataset.from_tensor_slices(X).batch(9),), "y must be the targets of the examples"),
        ((X, np.array(["a", "b", "c"])[Y]), "y must be numbers; received texts: .*return_inverse"),
        ((BAD, Y), "x " + IN_FIVE),
        ((np.where(np.isnan(BAD), -np.inf, BAD), Y), "x " + IN_FIVE),
        ((Source(BAD[8:], Y[8:]),), "x must be finite; received NaN or infinity in 1 of 8"),
        ((X[:, :3], Y), NO_FIT + "Input 0 .* 4, but"),
        (({"one": X, "two": X}, Y), NO_FIT + "The structure .*Expected: .*Received: "),
        ((X.astype(str), Y), NO_FIT + "Cast string"),
        ((tf.data.Dataset.from_tensor_slices({"x": X}).batch(9),), NO_FIT + "The structure "),
    ],
)  # fmt: skip
def test_what_are_no_data_is_one_line(data, words):
    with pytest.raises(ValueError, match=f"^{words}") as caught:
        landscape_of(*data)
    assert "\n" not in str(caught.value)


def test_weights_of_examples_are_finite():
    with pytest.raises(ValueError, match="^sample_weight " + IN_FIVE):
        landscape_of(X, Y, sample_weight=BAD[:, 1])


def test_numbers_whose_sum_is_no_float_are_finite():
    assert landscape_of(np.full((N, 4), 3e38, np.float32), Y).size == N


def test_targets_may_be_nan_where_the_loss_leaves_them_out():
    """The mean over all of the squares of known targets, at weights of 0 the targets' own."""

    def masked(y, z):
        known = tf.math.is_finite(y)
        off = tf.where(known, tf.where(known, y, 0.0) - z, 0.0)
        return tf.reduce_mean(off**2, axis=-1)

    found = landscape_of(X, BAD.astype(np.float32), loss=masked, width=4)(np.zeros(20))
    np.testing.assert_allclose(found, np.nansum(BAD**2) / BAD.size, rtol=1e-5)
    with pytest.raises(ValueError, match="^y " + IN_FIVE):
        landscape_of(X, BAD.astype(np.float32), loss="mean_squared_error", width=4)


def test_any_of_several_inputs_may_be_the_one_that_is_not_finite():
    inputs = {name: keras.Input((4,), name=name) for name in ("one", "two")}
    both = keras.Model(inputs, layers.Dense(3)(layers.add(list(inputs.values()))))
    with pytest.raises(ValueError, match="^x " + IN_FIVE):
        wedges.NetworkLandscape(both, {"one": X, "two": BAD}, Y, SPARSE, seed=0)
