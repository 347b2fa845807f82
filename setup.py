"""Installation: all of it stands in pyproject.toml. Why each dependency is here: BUILD_NOTES.md."""

from setuptools import setup

setup()
