"""Several machines of one training: who they are, how they meet, that they agree.

All run the same command with one list of addresses in TF_CONFIG. The first, the chief, alone keeps and
prints results; the others take the same steps.
"""

import contextlib
import json
import os
import socket
import time

from reproductions.bench import quiet, store
from reproductions.bench.errors import UsageError, say

_EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)
_SECONDS_TO_WAIT = float(os.environ.get("WEDGES_SECONDS_TO_WAIT", 300))  # for workers to come up

# The strategy that joins this process to the others. TensorFlow opens it once in a process's life.
_joined = {"strategy": None}


def count(strategy):
    """How many workers a strategy has, by TF_CONFIG; one for any other than multi_worker."""
    return len(_cluster()[0]) if strategy == "multi_worker" else 1


def is_chief(strategy):
    """Whether this process writes: all do, but for the workers after the first of several."""
    return strategy != "multi_worker" or _cluster()[1] == 0


def agree(key, saved):
    """UsageError unless all workers are about to do the same from the same place.

    key: of what comes now. saved: the arrays that it goes on from, with "losses"; or None.
    """
    if not several():
        return
    short = lambda digits: int(digits[:7], 16)
    steps = 0 if saved is None else len(saved.get("losses", "1"))
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
    return bool(_of_all([value])[0, 0]) if several() else value


def _of_all(numbers):
    """The whole numbers [K] that each replica's worker gives, [replicas, K], the chief's first."""
    import tensorflow as tf

    strategy, row = _joined["strategy"], tf.constant([numbers], tf.int32)
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
        if not several():
            raise
        raise UsageError(
            f"--strategy=multi_worker: another worker has stopped ({type(error).__name__}); start all "
            "of them again with the same command, which continues."
        ) from None


def join():
    """Meet the others: the strategy that trains with them."""
    addresses, index = _cluster()
    _meet(addresses, index)
    # Or its C++ side would tell of every connection and heartbeat.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    _joined["strategy"] = strategy if strategy.num_replicas_in_sync > 1 else None
    return strategy


def several():
    """Whether this process is one of several workers."""
    return _joined["strategy"] is not None


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
