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

from wedges.landscape import PRODUCTS_AT_ONCE
from wedges.network import passes
from wedges.network.batches import fold, share
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
        x, y = batch
        with tf.GradientTape(persistent=True) as model:
            model.watch(theta)
            state = problem.state(problem.moments(theta) if problem.reestimates else [])
            outputs = problem.outputs(theta, state, x)
            # Keras remembers the logits of probabilities, and its losses would go around these.
            outputs = tf.identity(outputs)
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(outputs)
            with tf.GradientTape() as inner:
                inner.watch(outputs)
                losses = problem.losses(y, outputs)
                loss = share(y, problem.size) * tf.reduce_mean(losses)
            slope = inner.gradient(loss, outputs)  # [B, ...]
        none = tf.zeros_like(outputs)
        with tf.GradientTape(persistent=True) as linear:
            linear.watch(none)
            back = model.gradient(outputs, theta, none)  # J^T u, linear in u, so its slope is J

        def one(row):
            moved = linear.gradient(back, none, row)  # J v [B, ...]
            bent = outer.gradient(slope, outputs, moved, unconnected_gradients="zero")  # B J v
            return model.gradient(outputs, theta, bent)

        return tf.stack([one(row) for row in tf.unstack(v)])

    with exact_second_derivatives(pooling=not problem.reestimates):
        if problem.reestimates:
            return products((problem.x, problem.y))
        return problem.total(products, tf.zeros_like(v))


def output_gradients(problem: Problem, theta: tf.Tensor, state: list[tf.Tensor], x: Any) -> tf.Tensor:
    """d outputs_ik / d theta of the examples x [n, ...], one after another: [n, outputs, D]."""

    def of_one(x):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(theta)
            one = tf.nest.map_structure(lambda t: t[None], x)
            rows = tf.unstack(tf.reshape(problem.outputs(theta, state, one), [-1]))
        return tf.stack([tape.gradient(z, theta) for z in rows])  # [outputs, D]

    return tf.map_fn(of_one, x, fn_output_signature=problem.dtype)


def output_pullback(
    problem: Problem, theta: tf.Tensor, state: list[tf.Tensor], u: tf.Tensor
) -> tf.Tensor:
    """sum_i sum_k u_ik d outputs_ik / d theta over all the data: u [N, outputs] -> [D]."""

    def part(batch):
        x, u = batch
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs = problem.outputs(theta, state, x)
        return tape.gradient(outputs, theta, u)

    add = lambda batch, total: total + part(batch)
    return fold(add, tf.zeros_like(theta), (problem.x, u), problem.evaluation_batch_size)
