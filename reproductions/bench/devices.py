"""Where training runs: TensorFlow's own choice of a device, or several that share each minibatch.

default       a GPU where there is one, else the CPU
mirrored      all GPUs of this machine
multi_worker  several machines: the same command on each, with the list of all in TF_CONFIG
tpu           all cores of a TPU

Every process holds theta and the optimizer; what its devices add up is a loss and a gradient
(`wedges.Distributed`). Of several workers the first, the chief, alone writes and prints results.
"""

import contextlib
import json
import os
import socket
import time

from reproductions.bench import quiet, store
from reproductions.bench.errors import UsageError, say

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")

_EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)
# For a test where there are no GPUs: this many parts of the CPU stand in for them.
_LOGICAL_CPUS = int(os.environ.get("WEDGES_LOGICAL_CPUS", 0))
_SECONDS_TO_WAIT = float(os.environ.get("WEDGES_SECONDS_TO_WAIT", 300))  # for workers to come up

# What this process has opened. TensorFlow opens devices once in a process's life.
_opened = {"as": None, "strategy": None}


def check(strategy, jobs, backend):
    """UsageError if these flags do not go together."""
    if jobs > 1 and strategy != "default":
        raise UsageError(
            f"--jobs={jobs}: only with --strategy=default; the devices of --strategy={strategy} belong "
            "to one process."
        )
    if strategy == "multi_worker" and backend != "local":
        raise UsageError(
            f"--backend={backend}: not with --strategy=multi_worker, whose workers are its own."
        )


def start(run):
    """Open the devices that `--strategy` names, once; before any TensorFlow operation."""
    if _opened["as"] != (run.strategy, run.tpu):
        opened = {"default": _default, "mirrored": _mirrored, "multi_worker": _workers, "tpu": _tpu}
        strategy = opened[run.strategy](run)
        alone = strategy is None or strategy.num_replicas_in_sync == 1
        _opened.update({"as": (run.strategy, run.tpu), "strategy": None if alone else strategy})


@contextlib.contextmanager
def placed(run):
    """Ops made inside go to the device that `--strategy` names."""
    if run.strategy == "default":
        yield
        return
    start(run)
    if run.strategy != "tpu":
        yield
        return
    import tensorflow as tf

    with tf.device("/TPU:0"):
        yield


def compiled(run):
    """Whether a loop that one device runs must be compiled by XLA: a TPU's core runs nothing else."""
    return run.strategy == "tpu"


def distributed(landscape):
    """The landscape as this process's strategy trains it: itself where one device trains alone."""
    import wedges

    strategy = _opened["strategy"]
    if strategy is None or isinstance(landscape, wedges.Distributed):
        return landscape
    n = strategy.num_replicas_in_sync
    if landscape.batch_size % n:
        raise UsageError(
            f"--batch_size={landscape.batch_size}: --strategy={_kind()} shares a batch among {n} "
            f"devices; choose a multiple of {n}."
        )
    return wedges.Distributed(landscape, strategy)


def shared(landscape):
    """The same for the library's own descents, whose whole loop is compiled for a TPU, and so for one
    core of it."""
    return landscape if _kind() == "tpu" else distributed(landscape)


@contextlib.contextmanager
def looping(landscape):
    """Where a descent on the landscape loops: for a TPU's cores on their host, which feeds them."""
    if _kind() != "tpu" or not marks(landscape):
        yield
        return
    import tensorflow as tf

    with tf.device("/CPU:0"):
        yield


def marks(landscape):
    """What a checkpoint's key says of the devices: their sums differ in rounding, with their number.
    Nothing where one device trains alone."""
    import wedges

    while landscape is not None and not isinstance(landscape, wedges.Distributed):
        landscape = getattr(landscape, "landscape", None)  # what it is made of: a subspace, a path
    if landscape is None:
        return {}
    return {"strategy": _kind(), "replicas": landscape.replicas}


def several_machines():
    """Whether this process is one of several workers."""
    return _kind() == "multi_worker" and _opened["strategy"] is not None


def _kind():
    return (_opened["as"] or ("default",))[0]


def _default(run):
    quiet.start_tensorflow()


def _mirrored(run):
    with quiet.stderr():
        import tensorflow as tf

        if _LOGICAL_CPUS and not tf.config.list_physical_devices("GPU"):
            cpu = tf.config.list_physical_devices("CPU")[0]
            parts = [tf.config.LogicalDeviceConfiguration()] * _LOGICAL_CPUS
            tf.config.set_logical_device_configuration(cpu, parts)
    quiet.start_tensorflow()
    names = [d.name for kind in ("GPU", "CPU") for d in tf.config.list_logical_devices(kind)]
    names = [name for name in names if "GPU" in name] or names
    if len(names) == 1:
        say(f"--strategy=mirrored: there is one device here, {names[0]}, which trains alone.")
        return None
    return tf.distribute.MirroredStrategy(names)


def _tpu(run):
    with quiet.stderr():
        import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=run.tpu or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--strategy=tpu --tpu={run.tpu or 'local'}: no TPU answers ({reason[:120]}); name one with "
            "--tpu, or use --strategy=default."
        ) from None
    return tf.distribute.TPUStrategy(resolver)


# ---- several workers --------------------------------------------------------------------------------


def is_chief(strategy):
    """Whether this process writes: all do, but for the workers after the first of several."""
    return strategy != "multi_worker" or _cluster()[1] == 0


def agree(key, saved):
    """UsageError unless all workers are about to do the same from the same place.

    key: of what comes now. saved: the arrays that it goes on from, with "losses"; or None.
    """
    if not several_machines():
        return
    short = lambda digits: int(digits[:7], 16)
    steps = 0 if saved is None else len(saved["losses"])
    place = "0" if saved is None else store.fingerprint(*saved.values())
    rows = _of_all([short(store.digest(key)), steps, short(place)])  # [replicas, 3]
    if (rows[:, 0] != rows[0, 0]).any():
        raise UsageError(
            "--strategy=multi_worker: the workers are not doing the same; start all with the same "
            "command and software, and one --out_dir that they share."
        )
    if (rows != rows[0]).any():
        raise UsageError(
            "--out_dir: the workers found this training at different steps "
            f"({', '.join(map(str, rows[:, 1]))}); it must be one folder that all of them share."
        )


def chiefs(value):
    """The chief's own `value`, a truth: where rounding may decide, one worker decides for all."""
    return bool(_of_all([value])[0, 0]) if several_machines() else value


def _of_all(numbers):
    """The whole numbers [K] that each replica's worker gives, [replicas, K], the chief's first."""
    import tensorflow as tf

    strategy, row = _opened["strategy"], tf.constant([numbers], tf.int32)
    gather = lambda: tf.distribute.get_replica_context().all_gather(row, axis=0)
    with heard():
        every = tf.function(lambda: strategy.run(gather), autograph=False)()
    return strategy.experimental_local_results(every)[0].numpy()


@contextlib.contextmanager
def heard():
    """While the workers talk to each other: UsageError where one of them has gone."""
    import tensorflow as tf

    e = tf.errors
    try:
        yield
    except (e.UnavailableError, e.AbortedError, e.CancelledError, e.DeadlineExceededError) as error:
        if not several_machines():
            raise
        raise UsageError(
            f"--strategy=multi_worker: another worker has stopped ({type(error).__name__}); start all "
            "of them again with the same command, which continues."
        ) from None


def _workers(run):
    addresses, index = _cluster()
    _meet(addresses, index)
    # Or its C++ side would tell of every connection and heartbeat.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return strategy


def _cluster():
    """The workers' addresses in TF_CONFIG, and the place of this process among them."""
    given = os.environ.get("TF_CONFIG")
    wrong = lambda what: UsageError(f"--strategy=multi_worker: TF_CONFIG {what}; e.g. {_EXAMPLE}")
    if not given:
        raise wrong("is not set: it lists all workers, and says which of them this one is")
    try:
        config = json.loads(given)
        addresses, task = config["cluster"]["worker"], config["task"]
        index = task["index"]
        ports = [int(a.rpartition(":")[2]) for a in addresses]
    except json.JSONDecodeError as error:
        raise wrong(f"is not JSON ({error})") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise wrong(f"must have cluster.worker, task.type and task.index; received {given}") from None
    whole = type(index) is int and 0 <= index < len(ports)
    if not whole or task.get("type") != "worker" or not all(0 < p < 2**16 for p in ports):
        raise wrong(f"must name one of its workers as the task; received {given}")
    return addresses, index


def _meet(addresses, index):
    """Wait until all workers listen: TensorFlow would wait for ever, deaf to Ctrl-C.

    Until TensorFlow serves this worker's port, we listen there ourselves: the others need only see that
    somebody does.
    """
    try:
        here = socket.create_server(("", _split(addresses[index])[1]))
    except OSError as error:
        raise UsageError(
            f"--strategy=multi_worker: this worker cannot listen at {addresses[index]} "
            f"({error.strerror}); name a free port in every worker's TF_CONFIG."
        ) from None
    missing = [a for i, a in enumerate(addresses) if i != index]
    began = time.monotonic()
    told = False
    with here:
        while missing := [a for a in missing if not _listens(a)]:
            waited = time.monotonic() - began
            if waited > _SECONDS_TO_WAIT:
                raise UsageError(
                    f"--strategy=multi_worker: no worker at {', '.join(missing)} after {waited:.0f} s; "
                    "start the same command on each machine of TF_CONFIG."
                )
            if waited > 2 and not told:
                say(f"waiting for the workers at {', '.join(missing)}")
                told = True
            time.sleep(0.2)


def _listens(address):
    try:
        socket.create_connection(_split(address), timeout=2).close()
    except OSError:
        return False
    return True


def _split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)
