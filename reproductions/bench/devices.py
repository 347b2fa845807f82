"""Where training runs: TensorFlow's own choice of a device, or several that share each minibatch.

default       a GPU where there is one, else the CPU
mirrored      all GPUs of this machine
multi_worker  several machines: the same command on each, with the list of all in TF_CONFIG
tpu           all cores of a TPU

Every process holds theta and the optimizer; what its devices add up is a loss and a gradient
(`wedges.Distributed`). Several machines, and how they agree, are in `workers`.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import socket

from reproductions.bench import quiet, workers
from reproductions.bench.errors import UsageError, say

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu")

# For a test where there are no GPUs: this many parts of the CPU stand in for them.
_LOGICAL_CPUS = int(os.environ.get("WEDGES_LOGICAL_CPUS", 0))

# What this process has opened. TensorFlow opens devices once in a process's life.
_opened = {"as": None, "strategy": None}


def check(strategy, jobs, backend, tpu=None):
    """UsageError if these flags do not go together, or name a TPU of this machine, which has none."""
    if jobs > 1 and strategy != "default":
        raise UsageError(
            f"--jobs={jobs}: only with --strategy=default; the devices of --strategy={strategy} belong "
            "to one process."
        )
    if strategy == "multi_worker" and backend != "local":
        raise UsageError(
            f"--backend={backend}: not with --strategy=multi_worker, whose workers are its own."
        )
    if strategy == "tpu" and tpu in (None, "local") and not _has_tpu():
        given = f" --tpu={tpu}" if tpu else ""
        raise UsageError(
            f"--strategy=tpu{given}: this machine has no TPU; name one with --tpu, or use "
            "--strategy=default."
        )
    if strategy == "tpu":
        _reached(tpu)


def _has_tpu():
    """Whether this machine shows a TPU: asked of its files, since TensorFlow takes long to say no, and
    says it in many lines."""
    return any(pathlib.Path("/dev").glob("accel*")) or pathlib.Path("/dev/vfio").is_dir()


def _reached(tpu):
    """UsageError where nobody listens at a TPU's address: TensorFlow would wait for minutes."""
    address = re.fullmatch(r"grpc://\[?([^/]+?)\]?:(\d+)/?", tpu or "")
    if not address:
        return  # the local one, or a name that the cloud knows
    try:
        socket.create_connection((address.group(1), int(address.group(2))), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"--strategy=tpu --tpu={tpu}: no TPU answers ({reason}); name one that does, or use "
            "--strategy=default."
        ) from None


def start(place):
    """Open the devices that `--strategy` names, once; before any TensorFlow operation. Returns the
    workplace with what its key says of them: sums differ in rounding with how many add them up."""
    if _opened["as"] != (place.strategy, place.tpu):
        opened = {"default": _default, "mirrored": _mirrored, "multi_worker": _workers, "tpu": _tpu}
        strategy = opened[place.strategy](place)
        alone = strategy is None or strategy.num_replicas_in_sync == 1
        _opened.update({"as": (place.strategy, place.tpu), "strategy": None if alone else strategy})
        _deterministic()
    if _opened["strategy"] is None:
        return place
    replicas = {"replicas": _opened["strategy"].num_replicas_in_sync}
    return dataclasses.replace(place, software=place.software | replicas)


@contextlib.contextmanager
def placed(place):
    """Ops made inside go to the device that `--strategy` names."""
    if place.strategy == "default":
        yield
        return
    start(place)
    if place.strategy != "tpu":
        yield
        return
    import tensorflow as tf

    with tf.device("/TPU:0"):
        yield


def compiled(landscape=None):
    """Whether a loop of descent must be compiled by XLA: a TPU's core runs nothing else.

    A loop on a landscape that several devices share is not; their parts are, by a strategy that must.
    """
    return _kind() == "tpu" and not (landscape is not None and shares(landscape))


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
    if _kind() != "tpu" or not shares(landscape):
        yield
        return
    import tensorflow as tf

    with tf.device("/CPU:0"):
        yield


def shares(landscape):
    """Whether several devices share the landscape's minibatches."""
    import wedges

    return wedges.distribute.distributed_in(landscape) is not None


def _deterministic():
    """For the whole process, so that a number does not depend on what was computed before it."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _kind():
    return (_opened["as"] or ("default",))[0]


def _default(place):
    quiet.start_tensorflow()


def _mirrored(place):
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


def _tpu(place):
    with quiet.stderr():
        import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=place.tpu or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--strategy=tpu --tpu={place.tpu or 'local'}: no TPU answers ({reason[:120]}); name one "
            "with --tpu, or use --strategy=default."
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def _workers(place):
    return workers.join()
