"""Derivatives of a network's loss and outputs beyond the gradient, over all its data.

    hessian_products           H v: reverse over reverse
    gauss_newton_products      G v: J v, then the loss's own second derivatives, then J^T
    output_gradients           J, for a few examples
    output_pullback            J^T u

Each is a function of a `Problem` and of tensors, to be traced in a `tf.function`; each holds
the activations of one microbatch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from wedges import _keras
from wedges.landscape import PRODUCTS_AT_ONCE
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

    With re-estimated statistics L(theta) = l(theta, m(theta)), m their moments. With m' = (dm/dtheta) v
    and mu = dl/dm,

        H v = [l'' (v, m')]_theta + (dm/dtheta)^T [l'' (v, m')]_m + (d^2 (mu . m) / dtheta^2) v

    l'' the second derivatives by (theta, m): three passes, for (m, m'), for l'' and mu, for the rest.
    """

    def part(batch):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(at)
            with tf.GradientTape() as inner:
                inner.watch(at)
                loss, _ = problem.part(theta, problem.state(at[1:]), batch)
            slopes = inner.gradient(loss, at, unconnected_gradients="zero")  # once for all v
        along = lambda row: outer.gradient(slopes, at, row, unconnected_gradients="zero")
        rows = [along(row) for row in directions]
        return tf.stack([tf.concat(r, axis=0) for r in ([*rows, slopes] if at[1:] else rows)])

    with exact_second_derivatives(problem.network.model):
        at, directions = _moving(problem, theta, v)
        found = problem.total(part, _rows(at, v.shape[0] + (len(at) > 1)))
        return _through_moments(problem, at, found, v)


def gauss_newton_products(problem: Problem, theta: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """G(theta) v for several v. theta [D], v [K, D] -> [K, D].

    With re-estimated statistics of moments m the outputs are z(theta, m(theta)), and J = dz/dtheta +
    (dz/dm) (dm/dtheta): three passes, as for the Hessian.
    """

    def part(batch):
        with tf.GradientTape(persistent=True) as model:
            model.watch(at)
            outputs = _bare(problem.outputs(theta, problem.state(at[1:]), batch[0]))
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
            # J^T u, linear in u, so its slope is J
            back = model.gradient(flat, at, none, unconnected_gradients="zero")

        def one(row):
            moved = linear.gradient(back, none, row, unconnected_gradients="zero")  # J v [B, ...]
            bent = outer.gradient(slope, flat, moved, unconnected_gradients="zero")  # B J v
            return tf.concat(model.gradient(flat, at, bent, unconnected_gradients="zero"), axis=0)

        return tf.stack([one(row) for row in directions])

    with exact_second_derivatives(problem.network.model):
        at, directions = _moving(problem, theta, v)
        found = problem.total(part, _rows(at, v.shape[0]))
        return _through_moments(problem, at, found)


def _moving(problem, theta, v):
    """[theta] or [theta, *moments]; and along each v how they move, K lists of as many tensors."""
    if not problem.reestimates:
        return [theta], [[row] for row in tf.unstack(v)]
    moments, moved = problem.network.batch_norm.pushforward(
        theta, problem.statistics, problem.evaluation_batch_size, v
    )
    directions = zip(tf.unstack(v), *(tf.unstack(m) for m in moved), strict=True)
    return [theta, *moments], [list(d) for d in directions]


def _rows(at, n):
    return tf.zeros([n, sum(t.shape[0] for t in at)], at[0].dtype)


def _through_moments(problem, at, found, v=None):
    """What was found by `at`, (theta, moments), [K, D + M], as derivatives by theta alone, [K, D].

    With v [K, D] the moments' own curvature is added; then `found` has the gradient as its last row.
    """
    theta, *moments = at
    dimension = theta.shape[0]
    if found.shape[1] == dimension:  # no moments
        return found
    own, upstream = found[:, :dimension], found[:, dimension:]
    bend = None
    if v is not None:
        own, upstream, bend = own[:-1], upstream[:-1], (upstream[-1], v)
    return own + problem.network.batch_norm.pullbacks(
        theta, problem.statistics, problem.evaluation_batch_size, moments, upstream, bend
    )


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
    problem: Problem, theta: tf.Tensor, state: list[tf.Tensor], u: list[tf.Tensor]
) -> tf.Tensor:
    """sum_i sum_k u_ik d outputs_ik / d theta over all the data: u [N, ...] of each output -> [D]."""

    def add(batch, carry):
        total, start = carry
        size = batch_size(batch[0])
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs = tf.nest.flatten(problem.outputs(theta, state, batch[0]))
        rows = lambda a, z: tf.reshape(
            tf.slice(a, [start] + [0] * (a.shape.rank - 1), [size, *a.shape[1:]]), tf.shape(z)
        )
        upstream = [rows(a, z) for a, z in zip(u, outputs, strict=True)]
        return total + tape.gradient(outputs, theta, upstream), start + size

    carry = (tf.zeros_like(theta), tf.constant(0))
    return problem.examples.fold(add, carry, problem.microbatch)[0]


def _bare(outputs: Any) -> Any:
    """The same outputs, without the logits that Keras remembers, around which its losses would go."""
    new = lambda z: _keras.masked(tf.identity(z), _keras.mask_of(z))
    return tf.nest.map_structure(new, outputs)
