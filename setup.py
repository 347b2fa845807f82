"""Installation of wedges and its reproductions. Why each dependency is here: BUILD_NOTES.md."""

import pathlib
import re

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "wedges/__init__.py").read_text()).group(1)

clusters = {"dask": ["dask[distributed]>=2024.1"], "ray": ["ray>=2.9"]}
tools = ["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6", "ruff>=0.6", "mypy>=1.10"]
test = [*tools, "pandas>=2", "plotly>=5.20", *clusters["dask"], *clusters["ray"]]
setup(
    name="wedges",
    version=version,
    description="The large-scale shape of neural-network loss landscapes, for any Keras 3 model",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["wedges", "wedges.*", "reproductions", "reproductions.*"]),
    package_data={
        "wedges": ["*.pyi", "py.typed", "*.json", "cards/*.jinja"],
        "reproductions": ["reference/*", "reference/released/*", "bench/*.jinja"],
    },
    install_requires=[
        "tensorflow>=2.18",
        "keras>=3.6,<4",  # private names of it are used: wedges/_keras.py
        "tensorflow-datasets>=4.9.7",
        "importlib_resources",  # tensorflow-datasets imports it and does not declare it
        "lazy-loader>=0.4",
        "numpy>=1.26",
        "scipy>=1.12",
        "absl-py>=2.1",
        "matplotlib>=3.8",
        "scikit-image>=0.22",
        "scikit-learn>=1.4",
        "mnist1d>=0.0.2",
        "jinja2>=3.1",
        "pillow>=10",
        "markupsafe>=2",
        "markdown-it-py>=3",
        "joblib>=1.3",
        "cloudpickle>=3",
        "threadpoolctl>=3.1",
        "filelock>=3.12",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": test,
        "html": ["plotly>=5.20"],
        "docs": [
            "sphinx>=8",
            "furo>=2024.8",
            "myst-nb>=1.2",
            "sphinx-copybutton>=0.5",
            "latex2mathml>=3.77",
            "ziamath>=0.12",  # a font for mathematics
        ],
        **clusters,
        "bench": [
            "torch>=2.4",
            "loss-landscapes>=3.0.6",
            "pyhessian>=0.1",
            "hessian-eigenthings>=1.0.0a5",
            "neural-tangents>=0.6.5",
        ],
        "gpu": ["tensorflow[and-cuda]>=2.18"],
    },
)
