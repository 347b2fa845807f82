"""Where training runs: TensorFlow's own choice (a GPU where there is one), or a TPU core."""

import contextlib

from reproductions import quiet
from reproductions.errors import UsageError

STRATEGIES = ("default", "tpu")


@contextlib.contextmanager
def placed(run):
    """Ops made inside go to the device that `--strategy` names."""
    if run.strategy == "default":
        yield
        return
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
    with tf.device("/TPU:0"):
        yield


def compiled(run):
    """Whether the training loop must be compiled by XLA: a TPU runs nothing else."""
    return run.strategy == "tpu"
