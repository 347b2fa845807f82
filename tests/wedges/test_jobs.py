"""Points that several processes share: the numbers of one, wherever joblib starts the others."""

import os
import warnings

import joblib
import keras
import numpy as np
import pytest
import tensorflow as tf
from joblib.externals import loky
from keras import layers as L

import wedges
from tests.conftest import SPARSE
from wedges import _jobs


class Twice(L.Layer):
    """Of a class that no worker has imported."""

    def __init__(self):
        super().__init__()
        self.inner = L.Dense(4, activation="tanh")

    def call(self, x):
        return 2 * self.inner(x)


@pytest.fixture(scope="module", autouse=True)
def workers():
    yield
    loky.get_reusable_executor().shutdown(wait=True)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(61, 6)).astype("float32"))
    x, y = np.load(path, mmap_mode="r"), np.arange(61) % 3
    keras.utils.set_random_seed(0)
    stack = [L.Dense(5), L.BatchNormalization(), L.ReLU(), Twice(), L.Dense(3)]
    model = keras.Sequential([keras.Input((6,)), *stack])
    how = {"seed": 0, "batch_norm": "reestimate", "evaluation_batch_size": 20}
    return wedges.NetworkLandscape(model, x, y, lambda y, z: SPARSE(y, z), **how)


def measure(name, landscape, **how):
    """One of the functions that take `jobs`, on few points: its numbers."""
    theta = landscape.space.read().numpy() if hasattr(landscape, "space") else np.ones(5, "float32")
    v = wedges.isotropic(len(theta), 7, seed=0)
    side = np.linspace(-1, 1, 5)
    calls = {
        "line": lambda: wedges.probe.line(landscape, theta, theta + v[0], 9, **how).losses,
        "plane": lambda: wedges.probe.plane(
            landscape, wedges.through([theta, *v[:2]]), side, side, **how
        ),
        "filter_plane": lambda: (
            wedges.filter_plane(
                landscape, theta, side, side, seed=0, filters=np.arange(len(theta)), **how
            ).losses
        ),
        "radial_profile": lambda: (
            wedges.radial_profile(landscape, theta, v, [1.0, 2.0, 3.0], **how).losses
        ),
        "tunnel_width": lambda: np.concatenate(
            [
                [w.mean, *w.distances, *w.censored]
                for w in wedges.tunnel_width(
                    landscape, theta, v, [2 * float(landscape(theta)), 4.0], limit=9.0, **how
                )
            ]
        ),
        "readings": lambda: np.stack(
            [a for a in wedges.connect.readings(landscape, theta + v, **how) if a is not None]
        ),
    }
    return calls[name]()


NAMES = ["line", "plane", "filter_plane", "radial_profile", "tunnel_width", "readings"]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_give_the_numbers_of_one(name, network):
    one = measure(name, network)
    np.testing.assert_array_equal(measure(name, network, jobs=2), one)
    assert np.isfinite(one).all() and len(np.unique(one)) > 3


@pytest.mark.parametrize("name", NAMES)
def test_of_a_formula_too(name):
    bowl = wedges.Quadratic(np.diag(np.arange(1.0, 6)) / 9)
    np.testing.assert_allclose(measure(name, bowl, jobs=2), measure(name, bowl), rtol=1e-6)


class Asked(wedges.Landscape):
    """L = 0, and who was asked for it: the process, in the loss's place."""

    dimension, dtype = 2, tf.float64

    def __call__(self, theta):
        return tf.fill(tf.shape(self.point(theta))[:-1], tf.constant(os.getpid(), tf.float64))


def asked(**how):
    return set(wedges.probe.line(Asked(), [0.0, 0.0], [1.0, 1.0], 16, **how).losses.astype(int))


def test_they_are_where_joblib_says():
    here = {os.getpid()}
    assert asked() == asked(jobs=1) == here
    assert not asked(jobs=2) & here
    with joblib.parallel_config(n_jobs=2):
        assert not asked() & here and asked(jobs=1) == here
    with joblib.parallel_config("threading", n_jobs=2):
        assert asked() == here
    with joblib.parallel_config("sequential"):
        assert asked() == asked(jobs=2) == here
    assert asked() == here


def test_with_one_process_nothing_is_pickled(network, monkeypatch):
    monkeypatch.setattr(_jobs, "packed", lambda *a: pytest.fail("pickled"))
    measure("line", network)
    measure("line", network, jobs=1)


def test_a_landscape_goes_to_a_worker_once(network):
    """Its graphs are traced once, though several functions ask for it."""

    def seen(work, chunk):
        return os.getpid(), id(work), work(chunk).numpy()

    theta = network.space.read().numpy()
    found = []
    for _ in range(2):
        with _jobs.Workers(seen, network, 2) as workers:
            found += list(workers.over([theta] * 6))
    places = {pid: {place for p, place, _ in found if p == pid} for pid, _, _ in found}
    assert os.getpid() not in places and all(len(p) == 1 for p in places.values())
    assert len({float(loss) for *_, loss in found}) == 1


def threads(work, chunk):
    return [os.environ.get(f"TF_NUM_{kind}_THREADS") for kind in ("INTRAOP", "INTEROP")]


def test_a_worker_has_the_threads_that_were_asked_for_here_or_its_share():
    asked, _ = _jobs._threads()
    with _jobs.Workers(threads, None, 2) as workers:
        for found in workers.over(range(4)):
            for name, number in zip(("INTRAOP", "INTEROP"), found, strict=True):
                share = str(max(1, joblib.cpu_count() // 2))
                assert number == asked.get(f"TF_NUM_{name}_THREADS", share)


def test_a_worker_shows_no_bar_of_its_own():
    """They have our terminal."""

    def silent(work, chunk):
        from wedges import _progress

        return _progress._SILENT.get(), _progress.bar(total=3).disable

    with _jobs.Workers(silent, None, 2) as workers:
        assert list(workers.over(range(2))) == [(True, True)] * 2


def test_they_come_in_order():
    def double(work, chunk):
        return work * chunk

    with _jobs.Workers(double, 2, 2) as workers:
        assert list(workers.over(range(9))) == list(range(0, 18, 2))
        assert list(workers.over([])) == []
    with _jobs.Workers(double, 2, 1) as workers:
        assert list(workers.over(range(3))) == [0, 2, 4] and workers.rows(100, 64) == 64


@pytest.mark.parametrize("count,jobs,rows", [(100, 2, 13), (3, 2, 1), (10_000, 2, 64), (8, 1, 64)])
def test_points_in_a_chunk(count, jobs, rows):
    assert _jobs.Workers(print, None, jobs).rows(count, 64) == rows


# ---- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [0, 1.5, "2", True, [2]])
def test_a_wrong_number_of_processes(jobs):
    bowl = wedges.Quadratic([1.0, 2.0])
    match = r"jobs must be a number of processes, at least 1, or -1 for one on each core; received "
    for call in (
        lambda: wedges.probe.line(bowl, [0.0, 0.0], [1.0, 1.0], jobs=jobs),
        lambda: wedges.connect.readings(bowl, [[0.0, 0.0]], jobs=jobs),
        lambda: wedges.tunnel_width(bowl, [0.0, 0.0], np.eye(2), 1.0, limit=3.0, jobs=jobs),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_any_whole_number_of_processes_will_do():
    bowl = wedges.Quadratic([1.0, 2.0])
    for jobs in (np.int64(1), tf.constant(1), None):
        assert len(wedges.probe.line(bowl, [0.0, 0.0], [1.0, 1.0], jobs=jobs).t) == 11


def test_what_cannot_leave_the_process():
    data = tf.data.Dataset.from_tensor_slices((np.ones((4, 6), "float32"), np.zeros(4, "int64")))
    model = keras.Sequential([keras.Input((6,)), L.Dense(3)])
    landscape = wedges.NetworkLandscape(model, data.batch(2), loss=SPARSE, seed=0)
    theta = landscape.space.read()
    with pytest.raises(ValueError, match="examples must be arrays, or a source"):
        wedges.probe.line(landscape, theta, 2 * theta, jobs=2)
    shared = wedges.Distributed(
        landscape.on(np.ones((4, 6), "float32"), np.zeros(4)), tf.distribute.MirroredStrategy(["CPU:0"])
    )
    with pytest.raises(ValueError, match="a Distributed landscape must stay in its process"):
        wedges.probe.line(shared, theta, 2 * theta, jobs=2)


def test_what_a_worker_refuses_is_raised_here():
    class Other(keras.Model):
        def __init__(self):
            super().__init__()
            self.end, self.factor = L.Dense(3), 1.0

        def call(self, x):
            return self.factor * self.end(x)

    model, x = Other(), np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    model(x)
    model.factor = 5.0
    landscape = wedges.NetworkLandscape(model, x, np.arange(4) % 3, SPARSE, seed=0)
    theta = landscape.space.read()
    with pytest.raises(ValueError, match="must be the same when Keras loads what it has saved"):
        wedges.probe.line(landscape, theta, 2 * theta, jobs=2)


def test_forks_are_refused(monkeypatch):
    monkeypatch.setenv("JOBLIB_START_METHOD", "fork")
    with (
        joblib.parallel_config("multiprocessing", n_jobs=2),
        pytest.raises(ValueError, match="in a fork"),
    ):
        asked()


# ---- a cluster --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_a_dask_cluster(network):
    distributed = pytest.importorskip("distributed")
    one = {name: measure(name, network) for name in ("plane", "tunnel_width", "readings")}
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    before = dict(os.environ)  # Dask leaves its workers' settings in ours
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.Client(**how), joblib.parallel_config("dask"):
            for name, numbers in one.items():
                np.testing.assert_array_equal(measure(name, network), numbers)
            assert not asked() & {os.getpid()}
    os.environ.clear()
    os.environ.update(before)
