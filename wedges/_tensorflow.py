"""What the library uses of TensorFlow that TensorFlow does not document: all of it, in one place.

`TRIED` names the versions of TensorFlow with which it was found and did what is asked of it here.

    ops.gradient_registry.lookup              from the type of an operation to its derivative
    Function._omit_frequent_tracing_warning   of a tf.function: say nothing of how often it is traced
    is_op_determinism_enabled, disable_...    whether operations are deterministic; and back again
    distribute_lib._push_per_thread_mode, ..  which strategy code believes itself to run under
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import distribute_lib
from tensorflow.python.framework import config, ops

TRIED = ("2.21.0",)

Derivative = Callable[..., Any]  # of an operation and of upstream gradients: gradients by its inputs


@contextlib.contextmanager
def derivatives_from(
    find: Callable[[str, Derivative | None, bool], Derivative | None],
) -> Iterator[None]:
    """Within it, TensorFlow's reverse mode takes the derivatives of operations from `find`.

    Args:
      find: of the type of an operation ("Softsign"), TensorFlow's derivative of it and whether it has an
        entry for it. The derivative is None without an entry, and where TensorFlow takes the operation
        for a constant; None returned means a constant, too, and a LookupError no entry.
    """
    registry, kind_of = ops.gradient_registry, type(ops.gradient_registry)
    outer = kind_of.lookup

    def lookup(self, kind):
        if self is not registry:
            return outer(self, kind)
        try:
            known = outer(self, kind)
        except LookupError:
            return find(kind, None, False)
        return find(kind, known, True)

    kind_of.lookup = lookup  # of the class: the registry itself has no room for it
    try:
        yield
    finally:
        kind_of.lookup = outer


def compiled(function: Callable[..., Any], **settings: Any) -> Any:
    """`tf.function`, without autograph, and without its warnings of many traces.

    TensorFlow counts the traces of one piece of code over all objects that have it, and warns at the
    fifth. Here each object traces it once, for each shape, which is meant.
    """
    made = tf.function(function, autograph=False, **settings)
    made._omit_frequent_tracing_warning = True
    return made


class graph:
    """A method that is `compiled`, for each object on its own."""

    def __init__(self, method: Callable[..., Any], **settings: Any) -> None:
        self._method, self._settings = method, settings
        self.__doc__ = method.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        made = compiled(self._method.__get__(instance, owner), **self._settings)
        instance.__dict__[self._name] = made  # found there from now on
        return made


@contextlib.contextmanager
def as_one_replica() -> Iterator[None]:
    """Within it, code that a `tf.distribute` strategy runs believes that no strategy does.

    Keras divides a mean by the number of replicas where there are several.
    """
    distribute_lib._push_per_thread_mode(distribute_lib._get_default_replica_mode())
    try:
        yield
    finally:
        distribute_lib._pop_per_thread_mode()


def deterministic() -> bool:
    """Whether operations give the same bits each time, at the price of slower ones."""
    return config.is_op_determinism_enabled()


def set_deterministic(on: bool) -> None:
    """Make operations so, or not."""
    if on:
        tf.config.experimental.enable_op_determinism()
    else:
        config.disable_op_determinism()
