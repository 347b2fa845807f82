"""wedges: the large-scale shape of neural-network loss landscapes, for any Keras 3 model.

A landscape is a function from a point theta in R^D to a loss. A Keras network on a data set, a
quadratic and a toy formula are interchangeable; every tool here takes a landscape.

Names load on first use, so that `import wedges` costs nothing and the runtime defaults below are
in place before TensorFlow starts. Import wedges before TensorFlow for them to take effect.
"""

import importlib
import os

__version__ = "0.1.0"

# oneDNN's convolutions more than double the speed of small networks on a CPU, and TensorFlow
# leaves them off on some processors. It reads this variable once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise ImportError(
        "wedges needs Keras on TensorFlow; received the backend "
        f"KERAS_BACKEND={os.environ['KERAS_BACKEND']}. Set KERAS_BACKEND=tensorflow, or unset it."
    )

_HOME = {
    "Landscape": "landscape",
    "Quadratic": "landscape",
    "Restricted": "landscape",
    "Squared": "landscape",
    "restrict": "landscape",
    "AffineSubspace": "affine",
    "random_cut": "affine",
    "normal_plane": "affine",
    "through": "affine",
    "principal": "affine",
    "AxisWedges": "toy",
    "RotatedWedges": "toy",
    "RandomWedges": "toy",
    "Hyperplane": "layers",
    "WeightSpace": "network",
    "NetworkLandscape": "network",
    "Distributed": "distribute",
    "Descent": "optimize",
    "ConjugateGradients": "optimize",
    "minimize": "optimize",
    "RunningAverage": "average",
    "ensemble_probabilities": "average",
    "SWA": "callbacks",
    "SnapshotEnsemble": "callbacks",
    "IndependentEnsemble": "callbacks",
    "Connector": "connect",
    "tunnel": "connect",
    "connector": "connect",
    "joint": "connect",
    "readings": "connect",
    "along": "connect",
    "line": "probe",
    "barrier": "probe",
    "plane": "probe",
    "isotropic": "probe",
    "filter_normalized": "probe",
    "radial_profile": "probe",
    "tunnel_width": "probe",
    "smallest_cut": "short",
    "recovered": "short",
    "eigenvalue_count": "short",
    "gradient_rank": "short",
    "hessian": "curvature",
    "gauss_newton": "curvature",
    "residual": "curvature",
    "block": "curvature",
    "dense": "curvature",
    "eigenpairs": "curvature",
    "trace": "curvature",
    "spectral_density": "curvature",
    "cosine_matrix": "compare",
    "label_agreement": "compare",
    "disagreement": "compare",
    "linear_cka": "compare",
}
_MODULES = sorted({*_HOME.values(), "plots", "simplex"})

__all__ = ["__version__", *_HOME]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"wedges.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"wedges.{name}")
    raise AttributeError(f"module 'wedges' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_MODULES])
