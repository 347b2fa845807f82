"""Figures of Fort & Jastrzebski 2019 and its neighbours, one program each.

python -m reproductions.fig6_swa --preset=quick
"""

import os

# TensorFlow's start-up notices would bury what a figure has to say; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import wedges  # noqa: F401  (its runtime defaults, before TensorFlow is imported)
from reproductions.bench import command

# No number depends on this, so it is no statement that marks of code see.
_READY = command.ready()
