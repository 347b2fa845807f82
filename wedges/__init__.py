"""The large-scale shape of neural-network loss landscapes, for any Keras 3 model.

A landscape is a function from a point theta in R^D to a loss. A Keras network on a data set, a
quadratic and a toy formula are interchangeable; every tool here takes a landscape.

Names load on first use, so that `import wedges` costs nothing and the runtime defaults below are
in place before TensorFlow starts. Import wedges before TensorFlow for them to take effect. What
there is stands in `__init__.pyi`, where editors and type checkers look, too.

Unless you set them, `TF_ENABLE_ONEDNN_OPTS=1` is for speed on a CPU, and `TF_CPP_MIN_LOG_LEVEL=2` for
less of TensorFlow's log; TensorFlow 2.21 writes its first few lines before it looks.

>>> bowl = wedges.Quadratic([1.0, 4.0])
>>> float(bowl([1.0, 1.0]))
2.5
"""

import os

import lazy_loader

__version__ = "0.1.0"

# oneDNN's convolutions more than double the speed of small networks on a CPU, and TensorFlow
# leaves them off on some processors. It reads this variable once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Nor does its C++ side tell of the processor and of devices that are not there; errors still show. No
# number depends on this, so it is no statement that marks of code see.
_LOG_LEVEL = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise ImportError(
        "wedges needs Keras on TensorFlow; received the backend "
        f"KERAS_BACKEND={os.environ['KERAS_BACKEND']}. Set KERAS_BACKEND=tensorflow, or unset it."
    )

_load, _, _names = lazy_loader.attach_stub(__name__, __file__)

__all__ = ["__version__", *_names]


def __getattr__(name):
    if name not in _names:
        raise AttributeError(f"module 'wedges' has no attribute {name!r}")
    return _load(name)


def __dir__():
    return sorted(__all__)
