"""Independent pieces of a figure, several at a time: in local processes, or on a cluster.

joblib does the work; Dask and Ray are its backends, installed as extras.
"""

import contextlib
import os
import socket

import joblib

from reproductions import devices
from reproductions.errors import UsageError

BACKENDS = ("local", "dask", "ray")


def over(run, function, items):
    """[function(item) for item in items] where `run.strategy` says, `run.jobs` at a time on
    `run.backend`."""
    if run.backend == "local" and run.jobs == 1:
        return [_placed(run, function, item) for item in items]
    with _backend(run):
        return joblib.Parallel()(joblib.delayed(_placed)(run, function, item) for item in items)


def _placed(run, function, item):
    with devices.placed(run):
        return function(item)


@contextlib.contextmanager
def _backend(run):
    if run.backend == "local":
        # TensorFlow reads this when a worker imports it: the workers share the cores.
        threads = str(max(1, joblib.cpu_count() // run.jobs))
        os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = threads
        with joblib.parallel_config("loky", n_jobs=run.jobs):
            yield
    elif run.backend == "dask":
        with _dask_client(run.address), joblib.parallel_config("dask", n_jobs=-1):
            yield
    else:
        _start_ray(run.address)
        with joblib.parallel_config("ray", n_jobs=-1):
            yield


def _dask_client(address):
    try:
        from dask.distributed import Client
    except ImportError:
        raise UsageError("--backend=dask: needs Dask; pip install 'wedges[dask]'.") from None
    try:
        return Client(address, timeout=10) if address else Client()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--address={address}: no Dask scheduler answers there ({type(error).__name__}); "
            "e.g. --address=tcp://10.0.0.1:8786."
        ) from None


def _start_ray(address):
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise UsageError("--backend=ray: needs Ray; pip install 'wedges[ray]'.") from None
    if address and not _answers(address):  # ray.init itself would retry for many minutes
        raise UsageError(
            f"--address={address}: no Ray cluster answers there; e.g. --address=10.0.0.1:6379."
        )
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"--address={address}: no Ray cluster answers there ({type(error).__name__}); "
            "e.g. --address=10.0.0.1:6379."
        ) from None
    register_ray()


def _answers(address):
    """Whether something listens at host:port (ray:// before it or not)."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True
