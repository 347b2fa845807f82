"""MNIST-1D: signals of 40 numbers, one of ten shapes each, under noise, shifts and shears.

The package `mnist1d` makes them on this machine, without a network. Source: Greydanus and Kobak 2020,
"Scaling down Deep Learning with MNIST-1D", arXiv:2011.14439.
"""

import contextlib
import random
import types
from importlib import metadata

import numpy as np

from reproductions.bench.errors import UsageError

# The published data set's: https://github.com/greydanus/mnist1d. They are given to the package, so
# that no other defaults of a later one can change the data under the same name.
SETTINGS = {
    "num_samples": 5000,
    "train_split": 0.8,
    "template_len": 12,
    "padding": [36, 60],
    "scale_coeff": 0.4,
    "max_translation": 48,
    "corr_noise_scale": 0.25,
    "iid_noise_scale": 2e-2,
    "shear_scale": 0.75,
    "shuffle_seq": False,
    "final_seq_length": 40,
    "seed": 42,
}


def version():
    """The version of the package that makes them. Raises UsageError where there is none."""
    try:
        return metadata.version("mnist1d")
    except metadata.PackageNotFoundError:
        raise _missing("is not installed") from None


def generate():
    """x_train [4000, 40, 1], y_train [4000], x_test [1000, 40, 1], y_test [1000], always the same.

    x is rounded to float32: in float64 the last digits are those of a machine and of a version of NumPy.
    The random state of the process is afterwards what it was. Raises UsageError where the package
    cannot be imported.
    """
    try:
        from mnist1d.data import make_dataset
    except ImportError as error:  # the package, or one of those that it needs
        raise _missing(f"cannot be imported ({error})") from None
    with _random_state_kept():
        made = make_dataset(types.SimpleNamespace(**SETTINGS))
    x_train, x_test = (made[name].astype(np.float32)[..., None] for name in ("x", "x_test"))
    return {"x_train": x_train, "y_train": made["y"], "x_test": x_test, "y_test": made["y_test"]}


@contextlib.contextmanager
def _random_state_kept():
    """The package seeds the generators of the whole process, NumPy's and Python's."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002, it uses this one
    try:
        yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


def _missing(what):
    return UsageError(
        f"--dataset=mnist1d: the package mnist1d {what}; install it (pip install mnist1d), or use "
        "--dataset=digits."
    )
