"""Independent pieces of a figure, several at a time: in local processes, or on a cluster.

joblib does the work; Dask and Ray are its backends, installed as extras.
"""

import contextlib
import os
import signal
import socket
import warnings
from multiprocessing import resource_tracker

import joblib
import threadpoolctl

from reproductions.bench import devices, provenance, workplace
from reproductions.bench.errors import UsageError
from wedges import archive

BACKENDS = ("local", "dask", "ray")


def over(function, items):
    """[function(item) for item in items] on the devices of this process's workplace; as many at a time
    as it has processes for. `function` is of a module, or a `functools.partial` of one."""
    place = workplace.current()
    if place.backend == "local" and place.jobs == 1:
        with devices.placed(place):
            return [function(item) for item in items]
    with backend(place):
        return joblib.Parallel()(joblib.delayed(in_worker)(place, function, item) for item in items)


def in_worker(place, function, item):
    """function(item) in a process of its own, whose workplace is `place`."""
    devices.start(place)  # in silence, before anything imports TensorFlow
    with workplace.at(place), devices.placed(place):
        return function(item)


@contextlib.contextmanager
def backend(place):
    """joblib's Parallel inside works where `place.backend` says: with one local job, in this process.

    A cluster that is started here has `place.jobs` workers, or as many as there are cores.
    """
    # loky replaces a worker that has grown large; nothing is lost, and a user need not hear of it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
    workers = provenance.workers(place.jobs, place.backend)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment_kept())
        if place.backend == "dask":
            stack.enter_context(_dask_client(place.address, workers))
        elif place.backend == "ray":
            stack.enter_context(_ray(place.address, workers))
        how = {
            "local": {"backend": "loky", "n_jobs": workers},
            # Dask starts killed workers again.
            "dask": {"backend": "dask", "n_jobs": -1, "wait_for_workers_timeout": 30},
            "ray": {"backend": "ray", "n_jobs": -1},
        }
        stack.enter_context(joblib.parallel_config(**how[place.backend]))
        yield


@contextlib.contextmanager
def _environment_kept():
    """Dask leaves OMP_NUM_THREADS=1, and more of its workers' settings, in our own environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def shared_cores(place):
    """Every process of a run has the same share of the cores: those that are started inside, and this
    one, so that a number does not depend on which of them computes it.

    TensorFlow reads its threads as it is imported; BLAS takes them at any time.
    """
    if place.address:
        yield
        return
    share = provenance.threads(place.jobs, place.backend)
    if provenance.workers(place.jobs, place.backend) == 1:
        with threadpoolctl.threadpool_limits(share):
            yield
        return
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(dict.fromkeys(names, str(share)))
    try:
        with threadpoolctl.threadpool_limits(share):
            yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def interruptible(folder):
    """Ctrl-C inside ends the work in silence, whatever this process's workers are doing: they do not
    hear it, joblib ends them, and what they were writing below `folder` goes.

    Without this a worker that is starting up shows where it was, joblib's own watcher warns of what was
    left, and a worker that was ended in the middle of a file leaves a part of it.
    """
    if os.name != "posix":
        yield
        return
    from joblib.externals.loky.backend import popen_loky_posix

    launch = popen_loky_posix.Popen._launch
    quiet = "ignore:resource_tracker:UserWarning"
    before = os.environ.get("PYTHONWARNINGS")
    # The watcher is a process of its own, started before the first worker.
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    popen_loky_posix.Popen._launch = lambda self, process: _deaf(launch, self, process)
    try:
        yield
    except KeyboardInterrupt:
        archive.clear(folder)  # joblib has ended the workers by now
        raise
    finally:
        popen_loky_posix.Popen._launch = launch
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _deaf(launch, *process):
    """Launch a process to which Ctrl-C on the terminal is not handed on: what is blocked here stays so
    there."""
    resource_tracker.ensure_running()  # or it would be started inside, and unblock what it had blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        launch(*process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
