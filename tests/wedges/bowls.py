"""A quadratic of random curvature, and what the tests of paths and surfaces share."""

import numpy as np

import wedges
from tests.conftest import SPARSE, plain

CG = wedges.ConjugateGradients()
D = 5
MATRIX = (lambda m: m @ m.T)(np.random.default_rng(0).standard_normal((D, D)))
CENTER = np.random.default_rng(1).standard_normal(D)


def loss(points):
    offset = np.asarray(points) - CENTER
    return 0.5 * np.einsum("...i,ij,...j->...", offset, MATRIX, offset)


def bowl():
    return wedges.Quadratic(MATRIX, CENTER, "float64")


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def bits(a, b):
    """Equal in dtype, shape and every bit."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


def network(images, build=plain, **settings):
    return wedges.NetworkLandscape(
        build(), *images, SPARSE, seed=0, batch_size=16, evaluation_batch_size=53, **settings
    )


def optima_of(landscape, count, spread=0.3):
    start = landscape.space.read().numpy()
    return start + spread * normal(7, count, landscape.dimension).astype(np.float32)


def recorded(calls):
    """A `follow` that keeps (name, steps, where the descent began) of each call."""

    def follow(descent, steps, name):
        calls.append((name, steps, descent.theta.numpy()))
        return descent.run(steps)

    return follow


class OneByOne(wedges.Quadratic):
    """A quadratic that is descended from one point at a time, as a network is."""

    takes_batches = False

    def sample(self, theta, step):
        assert len(theta.shape) == 1
        return self(theta)


class Interrupted(Exception):
    pass


def keeping(states, budget):
    """A `follow` that takes 4 steps at a time, keeps each state, and has `budget` of them to take."""

    def follow(descent, steps, name):
        nonlocal budget
        if name in states:
            descent.state = states[name]
        while descent.step < steps:
            if budget == 0:
                raise Interrupted
            budget -= 1
            descent.run(min(4, steps - descent.step))
            states[name] = descent.state

    return follow
