"""The examples in the library's docstrings are true."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import wedges

MODULES = ["wedges", *(m.name for m in pkgutil.walk_packages(wedges.__path__, "wedges."))]
FINDER = doctest.DocTestFinder(exclude_empty=True)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    """Each docstring by itself, in the names that a reader has after his first imports."""
    module = importlib.import_module(name)
    names = {"wedges": wedges, "np": np, "keras": keras, "tf": tf}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said = []
    for test in FINDER.find(module, name, globs=names):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_an_example_that_is_not_true_is_found():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "false", None, None)
    runner = doctest.DocTestRunner()
    runner.run(test, out=lambda text: None)
    assert runner.failures == 1


def test_there_are_examples_to_run():
    found = [
        t for name in MODULES for t in FINDER.find(importlib.import_module(name), name) if t.examples
    ]
    assert len(found) >= 20
