"""Independent pieces of a figure, several at a time: in local processes, or on a cluster.

joblib does the work; Dask and Ray are its backends, installed as extras.
"""

import contextlib
import os
import socket
import warnings

import joblib

from reproductions.bench import devices
from reproductions.bench.errors import UsageError

BACKENDS = ("local", "dask", "ray")


def over(run, function, items):
    """[function(item) for item in items] where `run.strategy` says, `run.jobs` at a time on
    `run.backend`."""
    if run.backend == "local" and run.jobs == 1:
        return [placed(run, function, item) for item in items]
    with backend(run):
        return joblib.Parallel()(joblib.delayed(_in_worker)(run, function, item) for item in items)


def _in_worker(run, function, item):
    devices.start(run)  # in silence, before anything imports TensorFlow
    return placed(run, function, item)


def placed(run, function, item):
    """function(item) on the device that `run.strategy` names."""
    with devices.placed(run):
        return function(item)


@contextlib.contextmanager
def backend(run):
    """joblib's Parallel inside works where `run.backend` says: with one local job, in this process.

    A cluster that is started here has `run.jobs` workers, or as many as there are cores.
    """
    # loky replaces a worker that has grown large; nothing is lost, and a user need not hear of it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
    local = run.backend == "local"
    workers = run.jobs if local or run.jobs > 1 else joblib.cpu_count()
    with contextlib.ExitStack() as stack:
        if workers > 1 and not run.address:
            stack.enter_context(_shared_cores(workers))
        if run.backend == "dask":
            stack.enter_context(_dask_client(run.address, workers))
        elif run.backend == "ray":
            stack.enter_context(_ray(run.address, workers))
        how = {
            "local": {"backend": "loky", "n_jobs": workers},
            # Dask starts killed workers again.
            "dask": {"backend": "dask", "n_jobs": -1, "wait_for_workers_timeout": 30},
            "ray": {"backend": "ray", "n_jobs": -1},
        }
        stack.enter_context(joblib.parallel_config(**how[run.backend]))
        yield


@contextlib.contextmanager
def _shared_cores(workers):
    """Processes that are started inside share the cores: TensorFlow reads this as it is imported."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(dict.fromkeys(names, str(max(1, joblib.cpu_count() // workers))))
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _dask_client(address, workers):
    try:
        from dask.distributed import Client
    except ImportError:
        raise UsageError("--backend=dask: needs Dask; pip install 'wedges[dask]'.") from None
    _use_dask()
    if not address:
        return Client(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
    try:
        if not _answers(address):  # Dask itself would go on asking
            raise ConnectionError
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--address={address}: no Dask scheduler answers there ({type(error).__name__}); "
            "e.g. --address=tcp://10.0.0.1:8786."
        ) from None


def _use_dask():
    """joblib's Dask backend, mended: a task whose workers all died ends in an error, of which joblib 1.6
    is not told, and waits for ever; and with one worker left the work stays on the cluster, where joblib
    would do it in this process."""
    from joblib._dask import DaskDistributedBackend

    class Dask(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func, callback=None):
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out):
            return super().retrieve_result_callback(out.result() if hasattr(out, "result") else out)

    joblib.register_parallel_backend("dask", Dask)


@contextlib.contextmanager
def _ray(address, workers):
    """A Ray that this process is connected to, and its own again afterwards."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise UsageError("--backend=ray: needs Ray; pip install 'wedges[ray]'.") from None
    if address and not _answers(address):  # ray.init itself would retry for many minutes
        raise UsageError(
            f"--address={address}: no Ray cluster answers there; e.g. --address=10.0.0.1:6379."
        )
    register_ray()
    if ray.is_initialized():
        yield
        return
    try:
        # "local": or it would join whatever cluster it finds on this machine.
        where = {"address": address} if address else {"address": "local", "num_cpus": workers}
        ray.init(**where, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"--address={address}: no Ray cluster answers there ({type(error).__name__}); "
            "e.g. --address=10.0.0.1:6379, with RAY_AUTH_MODE=token if its workers want a token."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address):
    """Whether something listens at host:port (ray:// before it or not)."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True
