"""What the benchmarks share: the flag --quick, packages to compare with, the memory of a process."""

import contextlib
import importlib.util
import io
import pathlib
import resource
import sys


def options(parser, **smallest):
    """The command line's options, where --quick puts the smallest sizes in their places.

    A child process that is given `sys.argv[1:]` has the same.
    """
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round at the smallest sizes, to see that it works; its numbers say nothing",
    )
    found = parser.parse_args()
    if found.quick:
        vars(found).update(smallest)
    return found


def installed(*packages, needed=False):
    """Whether all these packages are. What is missing is told in a line; the program ends with it where
    they are needed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        line = f"not installed: {', '.join(missing)} (pip install -e '.[bench]' brings it)"
        if needed:
            sys.exit(line)
        print(f"left out, since {line}", flush=True)
    return not missing


def printed(function, *given):
    """What a function prints: a quick run's way with what is otherwise a process of its own, since
    importing TensorFlow takes longer than all the rest."""
    with contextlib.redirect_stdout(io.StringIO()) as found:
        function(*given)
    return found.getvalue()


def peak():
    """The most memory that this process has had, in bytes.

    On Linux not `getrusage`, whose largest size is at least that of the parent where the child begins.
    """
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS in bytes
    lines = status.read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def simple_cnn(theta):
    """SimpleCNN at theta [D], in Keras and float64, to check numbers against without PyTorch."""
    import keras
    import numpy as np

    from reproductions.common import models

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    model = models.build(models.Model(), (32, 32, 3), 10, seed=0)
    keras.config.set_dtype_policy(before)
    shapes = [w.shape for w in model.get_weights()]
    parts = np.split(theta, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
    return model
