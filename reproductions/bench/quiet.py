"""TensorFlow without its start-up notices.

Its C++ side prints half a dozen lines while it loads, before TF_CPP_MIN_LOG_LEVEL is heeded, and they
would bury what a figure has to say.
"""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def stderr():
    """Hold back what is written to file descriptor 2, and show it only if the block raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def start_tensorflow():
    """Import TensorFlow and Keras and look for devices, in silence."""
    with stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        # A figure makes many landscapes, each traced once, and TensorFlow warns of "retracing".
        tf.get_logger().setLevel("ERROR")
        tf.config.list_logical_devices()
        tf.constant(0)  # the first op opens the devices
