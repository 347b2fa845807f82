"""Derivatives of a network's loss and outputs beyond the gradient, over all its data.

    hessian_products           H v: reverse over reverse
    gauss_newton_products      G v: J v, then the loss's own second derivatives, then J^T
    output_gradients           J, for a few examples
    output_pullback            J^T u

Each is a function of a `Problem` and of tensors, to be traced in a `tf.function`; each holds
the activations of one microbatch, but for H and G where batch-norm statistics are re-estimated: they
couple the examples, so that all are there at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from wedges import _keras
from wedges.landscape import PRODUCTS_AT_ONCE
from wedges.network import passes
from wedges.network.batches import batch_size
from wedges.network.problem import Problem
from wedges.network.second_order import exact_second_derivatives

Products = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # theta [D], v [K, D] -> [K, D]


def at_each(products: Products, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """products(theta [D], v [K, D]) for one theta or several, some v at a time.

    theta, v [..., D] -> [..., D]; or several v [K, D] at one theta [D] -> [K, D].
    """
    dimension = theta.shape[-1]
    if theta.shape.rank > 1:
        flat = [tf.reshape(a, [-1, dimension]) for a in (theta, v)]  # [R, D] each
        one = lambda a: products(a[0], a[1][None])[0]
        found = tf.map_fn(one, flat, fn_output_signature=theta.dtype)
        return tf.reshape(found, tf.shape(theta))
    rows = tf.reshape(v, [-1, dimension])  # [K, D]
    parts = range(0, rows.shape[0], PRODUCTS_AT_ONCE)
    found = tf.concat([products(theta, rows[i : i + PRODUCTS_AT_ONCE]) for i in parts], axis=0)
    return tf.reshape(found, tf.shape(v))


def hessian_products(problem: Problem, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """H(theta) v for several v, which share the pass that gives the gradient.

    theta [D], v [K, D] -> [K, D]. Reverse over reverse: measured faster than forward over reverse in
    TensorFlow, whose forward mode fuses less.
    """

    def products(loss):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(theta)
            with tf.GradientTape() as inner:
                inner.watch(theta)
                value = loss()
            gradient = inner.gradient(value, theta)  # [D], once for all v
        along = lambda row: outer.gradient(
            gradient, theta, output_gradients=row, unconnected_gradients="zero"
        )
        return tf.stack([along(row) for row in tf.unstack(v)])

    with exact_second_derivatives(pooling=not problem.reestimates):
        if problem.reestimates:
            # Statistics are traced here, not in a graph of their own: both derivatives go through them.
            moved = lambda: problem.state(problem.moments(theta))
            return products(lambda: passes.loss(problem, theta, moved()))
        state = problem.network.state
        part = lambda batch: products(lambda: problem.part(theta, state, batch)[0])
        return problem.total(part, tf.zeros_like(v))


def gauss_newton_products(problem: Problem, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """G(theta) v for several v. theta [D], v [K, D] -> [K, D]."""

    def products(batch):
        with tf.GradientTape(persistent=True) as model:
            model.watch(theta)
            state = problem.state(problem.moments(theta) if problem.reestimates else [])
            outputs = bare(problem.outputs(theta, state, batch[0]))
        flat = tf.nest.flatten(outputs)
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(flat)
            with tf.GradientTape() as inner:
                inner.watch(flat)
                loss = problem.part_of_outputs(batch, outputs)
            slope = inner.gradient(loss, flat, unconnected_gradients="zero")  # [B, ...] each
        none = [tf.zeros_like(z) for z in flat]
        with tf.GradientTape(persistent=True) as linear:
            linear.watch(none)
            back = model.gradient(flat, theta, none)  # J^T u, linear in u, so its slope is J

        def one(row):
            moved = linear.gradient(back, none, row)  # J v [B, ...]
            bent = outer.gradient(slope, flat, moved, unconnected_gradients="zero")  # B J v
            return model.gradient(flat, theta, bent)

        return tf.stack([one(row) for row in tf.unstack(v)])

    with exact_second_derivatives(pooling=not problem.reestimates):
        if problem.reestimates:
            return problem.examples.fold(lambda b, c: c + products(b), tf.zeros_like(v), problem.size)
        return problem.total(products, tf.zeros_like(v))


def output_gradients(problem: Problem, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> tf.Tensor:
    """d outputs_ik / d theta of the examples x [n, ...], one after another: [n, outputs, D]."""

    def of_one(x):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(theta)
            one = tf.nest.map_structure(lambda t: t[None], x)
            found = tf.nest.flatten(problem.outputs(theta, state, one))
            rows = tf.unstack(tf.concat([tf.reshape(z, [-1]) for z in found], axis=0))
        return tf.stack([tape.gradient(z, theta) for z in rows])  # [outputs, D]

    return tf.map_fn(of_one, x, fn_output_signature=problem.dtype)


def output_pullback(
    problem: Problem, theta: tf.Tensor, state: list[tf.Tensor], u: tf.Tensor
) -> tf.Tensor:
    """sum_i sum_k u_ik d outputs_ik / d theta over all the data: u [N, outputs] -> [D]."""

    def add(batch, carry):
        total, start = carry
        size = batch_size(batch[0])
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs = tf.nest.flatten(problem.outputs(theta, state, batch[0]))
        rows = lambda a, z: tf.reshape(
            tf.slice(a, [start] + [0] * (a.shape.rank - 1), [size, *a.shape[1:]]), tf.shape(z)
        )
        upstream = [rows(a, z) for a, z in zip(tf.nest.flatten(u), outputs, strict=True)]
        return total + tape.gradient(outputs, theta, upstream), start + size

    carry = (tf.zeros_like(theta), tf.constant(0))
    return problem.examples.fold(add, carry, problem.evaluation_batch_size)[0]


def bare(outputs: Any) -> Any:
    """The same outputs, without the logits that Keras remembers, around which its losses would go."""
    new = lambda z: _keras.masked(tf.identity(z), _keras.mask_of(z))
    return tf.nest.map_structure(new, outputs)
