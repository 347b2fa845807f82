"""--strategy: several devices and several workers train as one device does; what cannot be is said."""

import contextlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import wedges
from reproductions import fig6_swa
from reproductions.bench import devices, runs, workers, workplace
from reproductions.bench.errors import UsageError
from tests.conftest import SPARSE, plain

ROOT = pathlib.Path(__file__).parents[2]
# As short as figure 6 can be: 44 steps by Adam, then 2 cycles of 44 by SGD.
FLAGS = ["--preset=smoke", "--seeds=1", "--pretrain_epochs=1", "--cycles=2", "--lr=0.03"]


@pytest.fixture(autouse=True)
def nothing_opened(monkeypatch):
    monkeypatch.setattr(devices, "_opened", {"as": None, "strategy": None})
    monkeypatch.setattr(workers, "_joined", {"strategy": None})


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [s.getsockname()[1] for s in sockets]


def tf_config(ports, index, **task):
    task = {"type": "worker", "index": index, **task}
    return json.dumps({"cluster": {"worker": [f"127.0.0.1:{p}" for p in ports]}, "task": task})


def begin(out, *flags, **environment):
    """Figure 6 in a process of its own."""
    command = [sys.executable, "-m", "reproductions.fig6_swa", *FLAGS, f"--out_dir={out}", *flags]
    pipe = subprocess.PIPE
    environment = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process):
    """Standard output and error of a process that must end well."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()  # TensorFlow's workers do not heed SIGTERM
    assert process.returncode == 0, err[-2000:]
    return out, err


def two_workers(out):
    ports = free_ports(2)
    both = [begin(out, "--strategy=multi_worker", TF_CONFIG=tf_config(ports, i)) for i in range(2)]
    return [ended(p) for p in both]


def trainings(out):
    """{optimizer: what was saved of its training}, and the keys."""
    found, keys = {}, {}
    for path in (out / "checkpoints").glob("*.npz"):
        saved = dict(np.load(path, allow_pickle=False))
        key = json.loads(str(saved["__key__"]))
        for argument in key["arguments"]:
            if isinstance(argument, dict) and "Recipe" in argument:
                optimizer = argument["Recipe"]["optimizer"]
                found[optimizer], keys[optimizer] = saved, key["software"]
    return found, keys


# ---- as one device ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    with contextlib.redirect_stdout(io.StringIO()):
        assert runs.run(fig6_swa, [*FLAGS, f"--out_dir={out}"]) == 0
    return out


def same_as_one(out, one, strategy):
    (found, keys), (wanted, plain_keys) = trainings(out), trainings(one)
    assert set(found) == set(wanted) == {"adam", "momentum"}
    for optimizer, saved in found.items():
        assert len(saved["losses"]) == {"adam": 44, "momentum": 88}[optimizer]
        np.testing.assert_allclose(saved["losses"], wanted[optimizer]["losses"], rtol=1e-4)
        np.testing.assert_allclose(saved["theta"], wanted[optimizer]["theta"], atol=1e-4)
        assert (keys[optimizer]["strategy"], keys[optimizer]["replicas"]) == (strategy, 2)
        assert not {"strategy", "replicas"} & set(plain_keys[optimizer])
    results = [dict(np.load(next(o.glob("fig6_swa/*/results.npz")))) for o in (out, one)]
    for name in set(results[0]) - {"__key__"}:
        np.testing.assert_allclose(results[0][name], results[1][name], atol=5e-3, err_msg=name)


@pytest.mark.slow
def test_mirrored_devices_train_as_one(one, tmp_path):
    ended(begin(tmp_path, "--strategy=mirrored", WEDGES_LOGICAL_CPUS="2"))
    same_as_one(tmp_path, one, "mirrored")


@pytest.mark.slow
def test_two_workers_train_as_one_and_the_first_alone_writes(one, tmp_path):
    (chief, _), (other, said) = two_workers(tmp_path)
    same_as_one(tmp_path, one, "multi_worker")
    folder = next(tmp_path.glob("fig6_swa/*"))
    assert chief.splitlines()[-1] == str(folder) and "claims hold" in chief
    assert other == "" and f"done; the first worker writes {folder}" in said
    assert sorted(p.name for p in folder.iterdir()) == [
        "check.json", "claims.tex", "config.json", "figure.png", "results.npz", "series",
    ]  # fmt: skip
    again = two_workers(tmp_path)
    assert all("finished before" in err for _, err in again)
    assert again[0][0] == chief and again[1][0] == ""


# ---- what cannot be ---------------------------------------------------------------------------------


def refused(flags, out, capsys):
    """The one line that a figure's program ends with."""
    with pytest.raises(SystemExit) as end:
        runs.main(fig6_swa.__name__, [*FLAGS, f"--out_dir={out}", *flags])
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == ""
    assert not list(out.glob("fig6_swa/*"))
    (line,) = printed.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "TF_CONFIG is not set"),
        ("{", "TF_CONFIG is not JSON"),
        ("[]", "must have cluster.worker, task.type and task.index"),
        ('{"cluster": {"ps": []}, "task": {"index": 0}}', "must have cluster.worker"),
        ('{"cluster": {"worker": ["here"]}, "task": {"index": 0}}', "must have cluster.worker"),
        (tf_config([70000], 0), "must name one of its workers"),
        (tf_config([1, 2], 2), "must name one of its workers as the task; received"),
        (tf_config([1, 2], "0"), "must name one of its workers as the task"),
        (tf_config([1, 2], 0, type="chief"), "must name one of its workers as the task"),
    ],
)
def test_a_wrong_tf_config_is_shown_a_right_one(given, words, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_CONFIG", given)
    line = refused(["--strategy=multi_worker"], tmp_path, capsys)
    assert words in line and """e.g. TF_CONFIG='{"cluster": {"worker": [""" in line


def test_a_worker_that_does_not_come_is_not_waited_for_for_ever(tmp_path, capsys, monkeypatch):
    ports = free_ports(2)
    monkeypatch.setattr(workers, "_SECONDS_TO_WAIT", 0.3)
    monkeypatch.setenv("TF_CONFIG", tf_config(ports, 0))
    line = refused(["--strategy=multi_worker"], tmp_path, capsys)
    assert f"no worker at 127.0.0.1:{ports[1]} after" in line
    with socket.create_server(("", ports[0])):
        line = refused(["--strategy=multi_worker"], tmp_path, capsys)
    assert f"this worker cannot listen at 127.0.0.1:{ports[0]} (" in line


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker", "tpu"])
def test_processes_side_by_side_share_no_devices(strategy, tmp_path, capsys):
    line = refused([f"--strategy={strategy}", "--jobs=2"], tmp_path, capsys)
    assert "--jobs=2: only with --strategy=default" in line


def test_a_cluster_of_workers_is_no_backend(tmp_path, capsys):
    line = refused(["--strategy=multi_worker", "--backend=dask"], tmp_path, capsys)
    assert "--backend=dask: not with --strategy=multi_worker" in line


def opened(monkeypatch, strategy, replicas):
    fake = types.SimpleNamespace(num_replicas_in_sync=replicas)
    monkeypatch.setattr(devices, "_opened", {"as": (strategy, None), "strategy": fake})
    monkeypatch.setattr(workers, "_joined", {"strategy": fake if strategy == "multi_worker" else None})


def test_a_batch_that_devices_cannot_share_is_refused(images, monkeypatch):
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, batch_size=16)
    assert devices.distributed(landscape) is landscape
    opened(monkeypatch, "mirrored", 3)
    with pytest.raises(UsageError, match="--batch_size=16: .*among 3 devices; choose a multiple of 3"):
        devices.distributed(landscape)


def test_one_mirrored_device_trains_alone_and_says_so(tmp_path, capsys):
    devices.start(workplace.Workplace(tmp_path, strategy="mirrored"))
    line = capsys.readouterr().err
    assert "--strategy=mirrored: there is one device here, /device:CPU:0, which trains alone" in line
    devices.start(workplace.Workplace(tmp_path, strategy="mirrored"))
    assert capsys.readouterr().err == "" and devices.distributed("itself") == "itself"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 44, 5], [2, 44, 5]], "the workers are not doing the same"),
        ([[1, 44, 5], [1, 0, 0]], r"different steps \(44, 0\); it must be one folder"),
        ([[1, 44, 5], [1, 44, 6]], "one folder that all of them share"),
    ],
)
def test_workers_that_would_part_are_stopped(rows, words, monkeypatch):
    opened(monkeypatch, "multi_worker", 2)
    monkeypatch.setattr(workers, "_of_all", lambda _: np.array(rows))
    with pytest.raises(UsageError, match=words):
        workers.agree({}, None)
    monkeypatch.setattr(workers, "_of_all", lambda row: np.array([row, row]))
    workers.agree({}, {"losses": np.zeros(3)})


def test_the_first_worker_decides_for_all(monkeypatch):
    assert workers.chiefs(True) and not workers.chiefs(False)
    opened(monkeypatch, "multi_worker", 2)
    monkeypatch.setattr(workers, "_of_all", lambda row: np.array([[0], row]))
    assert not workers.chiefs(True)


def test_a_worker_that_has_gone_is_named_by_those_left(monkeypatch):
    gone = tf.errors.UnavailableError(None, None, "socket closed\nmore")
    with pytest.raises(tf.errors.UnavailableError), workers.heard():
        raise gone
    opened(monkeypatch, "multi_worker", 2)
    with (
        pytest.raises(UsageError, match="another worker has stopped .*which continues"),
        workers.heard(),
    ):
        raise gone


# ---- TPU: its set-up alone, there is none here ------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 8])
def test_a_tpu_is_set_up_once_and_its_cores_share_a_batch(cores, images, tmp_path, monkeypatch):
    called = []
    note = lambda name: lambda *args, **named: called.append((name, *args, *named.values())) or name
    strategy = types.SimpleNamespace(num_replicas_in_sync=cores)
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", note("resolver"))
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", note("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", note("initialize"))
    monkeypatch.setattr(
        tf.distribute, "TPUStrategy", lambda r: called.append(("strategy", r)) or strategy
    )
    monkeypatch.setattr(tf, "device", lambda name: contextlib.nullcontext(called.append(name)))
    landscape = wedges.NetworkLandscape(plain(), *images, SPARSE, seed=0, batch_size=16)
    called.clear()
    place = workplace.Workplace(tmp_path, strategy="tpu", tpu="mine")
    noted = devices.start(place).software
    with devices.placed(place):
        trained = devices.distributed(landscape)
        assert devices.shared(landscape) is landscape  # descents that XLA compiles whole, on one core
        with devices.looping(trained):
            pass
    assert called[:4] == [
        ("resolver", "mine"),
        ("connect", "resolver"),
        ("initialize", "resolver"),
        ("strategy", "resolver"),
    ]
    assert devices.compiled()
    if cores == 1:
        assert noted == {} and trained is landscape and called[4:] == ["/TPU:0"]
        return
    assert called[4:] == ["/TPU:0", "/CPU:0"]  # the loop is the host's
    assert isinstance(trained, wedges.Distributed) and trained.replicas == 8
    inside = wedges.restrict(trained, wedges.random_cut(np.zeros(411, np.float32), 3, seed=0))
    assert devices.shares(inside) and not devices.shares(landscape) and noted == {"replicas": 8}
    assert devices.distributed(trained) is trained
