"""Landscapes whose roughness is known: bowls, a rugged bowl, the toy; energies of known functions."""

import numpy as np

import wedges
from reproductions.common import toys


def known(seed):
    """Single numbers.

    bowl: the largest index at the centre of bowls of condition numbers up to 1e6; grid: the mean
    variation there on the published grid of l = 0.1 and m = 10; predicted: the largest distance between
    the index of fine slices and that of slopes and curvatures, on bowls off their centre; energy: how
    far the energy of random functions is from the least one plus half the squared gradient of their
    error, relative; rugged index, rugged excess: of a bowl with waves; toy index, toy excess, toy mean:
    at a zero of the toy; toy height: the index at a height above its wedge.
    """
    return {**_bowls(seed), "energy": _energies(seed), **_rugged(), **_toy(seed)}


def _bowls(seed):
    rng = np.random.default_rng(seed)
    centred, predicted = [], []
    for power in (0, 3, 6):
        curvatures = np.logspace(-power / 2, power / 2, 20)
        bowl = wedges.Quadratic(curvatures, dtype="float64")
        centre = np.zeros(20)
        centred.append(wedges.roughness_index(bowl, centre, 50, 0.1, 20, seed=seed).index)
        off = rng.standard_normal(20) * 0.3 / np.sqrt(np.arange(1, 21))
        found = wedges.roughness_index(bowl, off, 20, 0.5, 400, seed=seed)
        predicted.append(abs(found.index - found.predicted))
    wrong = wedges.roughness_index(bowl, centre, 10, 0.1, 10, seed=seed, published=["grid"])
    return {"bowl": max(centred), "predicted": max(predicted), "grid": wrong.mean}


def _energies(seed):
    """Of u = B(x) (c . x + b) on the square and in the ball, with random numbers c and b."""
    import tensorflow as tf

    rng, worst = np.random.default_rng(seed), 0.0
    for problem in (wedges.collocation.on_cube(2), wedges.collocation.on_ball(3)):
        x, weights = problem.domain.quadrature(16)
        at = tf.constant(x)
        solution = wedges.collocation.differentiate(problem.solution, at, laplacian=False)
        for _ in range(5):
            c = rng.standard_normal(x.shape[1] + 1)
            plane = lambda x, c=c: tf.linalg.matvec(x, c[:-1]) + c[-1]
            inner = wedges.collocation.differentiate(plane, at, laplacian=False)
            u = problem.domain.factor(at).times(inner)
            energy = weights @ wedges.collocation.Ritz(problem.source)(at, u).numpy()
            off = (u.gradient - solution.gradient).numpy()
            half = weights @ (off**2).sum(axis=1) / 2
            worst = max(worst, abs(energy - problem.energy - half) / half)
    return worst


def _rugged():
    rugged = wedges.rugged.Rugged(0.02, 0.4, 1.6, [0.1, 0.1], [9.0, 13.0])
    found = wedges.roughness_index(rugged, [0.0], 10, 4.0, 400, seed=0)
    return {"rugged index": found.index, "rugged excess": found.excess}


def _toy(seed):
    """Wedges of all axes, D = 200, s = 20; slices as long as the height is."""
    toy = toys.Toy("axis", 200, 180, None, seed)
    wedge, above = toy.near(toys.gaussian(seed, 1, 200), 0.1)
    how = {"seed": seed, "predict": False}
    zero = wedges.roughness_index(toy.landscape, wedge, 50, 0.5, 20, **how)
    height = wedges.roughness_index(toy.landscape, above, 50, 0.5, 20, **how)
    own = {name: getattr(zero, name) for name in ("index", "mean", "excess")}
    return {f"toy {name}": value for name, value in own.items()} | {"toy height": height.index}
