"""Compression where answers are known: C by itself, a quadratic under L1, the toy of wedges under C."""

import numpy as np

import wedges

ENDED = 1.05  # C of a flow that has come down to one component, or nearly


def algebra(seed, sizes=(2, 3, 5, 10, 40, 120)):
    """How far C is off what is known of it, largest of several sizes k, [] each.

    At ternary points of magnitude a: "value", C off sqrt(k), relative; "gradient", its largest part, in
    units of 1 / a; "saddle", the Hessian's eigenvalues off -1 / (a^2 sqrt(k)) and 0, in these units;
    "kink", the slope off the support off 1 / (a sqrt(k)), relative. At a Gaussian one: "radial",
    <w, dC/dw>; "growth", the square of the length after a plain step off |w|^2 + |step|^2, relative.
    """
    rng = np.random.default_rng([seed, 0])
    found = {name: [] for name in ("value", "gradient", "saddle", "kink", "radial", "growth")}
    for k in sizes:
        a = rng.uniform(0.1, 10)
        w = a * rng.choice([-1.0, 1.0], k)
        C = wedges.compressibility.NormRatio(k)
        value, gradient = (v.numpy() for v in C.value_and_gradient(w))
        found["value"].append(abs(value / np.sqrt(k) - 1))
        found["gradient"].append(a * np.abs(gradient).max())
        unit = 1 / (a**2 * np.sqrt(k))
        values = np.linalg.eigvalsh(wedges.curvature.dense(wedges.hessian(C, w)))
        known = np.append(np.full(k - 1, -unit), 0.0)
        found["saddle"].append(np.abs(values - known).max() / unit)
        beside = wedges.compressibility.NormRatio(k + 1)
        rise = lambda far, w=w, of=beside, at=value: (float(of(np.append(w, far))) - at) / far
        slope = 2 * rise(5e-5 * a) - rise(1e-4 * a)  # without the term of the second order
        found["kink"].append(abs(slope * a * np.sqrt(k) - 1))
        w = rng.normal(size=k)
        step = -0.3 * C.value_and_gradient(w)[1].numpy()
        found["radial"].append(abs(w @ step) / 0.3)
        longer = (w + step) @ (w + step)
        found["growth"].append(abs(longer / (w @ w + step @ step) - 1))
    return {name: np.max(each) for name, each in found.items()}


def flow(seed, starts=100, dimension=200, step=0.02, steps=1500, looks=60):
    """C along its own descent on the unit sphere from Gaussian starts: "flow" [looks, starts], at "flow
    times" [looks]; "flow largest" [starts], whether the component that is left was the largest.

    A step is that of `wedges.regularizers.proximal_step` in each row, then scaled to length 1.
    """
    w = np.random.default_rng([seed, 1]).normal(size=(starts, dimension))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    first = np.abs(w).argmax(axis=1)
    at = np.unique(np.round(np.geomspace(1, steps, looks)).astype(int))
    rows = [_ratios(w)]
    for i in range(1, steps + 1):
        s = np.abs(w).sum(axis=1, keepdims=True)
        z = w * (1 + step * s)  # r = 1
        w = np.sign(z) * np.maximum(np.abs(z) - step, 0)
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        if i in at:
            rows.append(_ratios(w))
    largest = np.abs(w).argmax(axis=1) == first
    return {"flow": np.array(rows), "flow times": step * np.array([0, *at]), "flow largest": largest}


def _ratios(w):
    return np.abs(w).sum(axis=1) / np.linalg.norm(w, axis=1)


def lasso(seed, dimension=50, strength=0.3):
    """A quadratic with the curvatures h around c under L1, descended by the optimizer of the networks.

    "lasso": how far, largest, it ends off sign(c) max(|c| - strength / h, 0); "lasso zeros", the share
    of zeros there, and "lasso known zeros"; "lasso line", the loss on the line from c to there off
    t^2 sum h d^2 / 2.
    """
    import keras

    from reproductions.common.proximal_sgd import ProximalSGD

    rng = np.random.default_rng([seed, 2])
    h, c = rng.uniform(0.5, 2, dimension), rng.normal(size=dimension)
    bowl = wedges.Quadratic(h, c, dtype="float64")
    optimizer = ProximalSGD(0.02, 0.9, keras.regularizers.L1(strength), [(0, dimension)])
    theta = wedges.minimize(bowl, rng.normal(size=dimension), optimizer, 2000).theta
    known = np.sign(c) * np.maximum(np.abs(c) - strength / h, 0)
    t = np.linspace(0, 1, 21)
    losses = wedges.probe.line(bowl, c, known, 21).losses
    formula = t**2 * np.sum(h * (known - c) ** 2) / 2
    return {
        "lasso": np.abs(theta - known).max(),
        "lasso line": np.abs(losses - formula).max(),
        "lasso zeros": np.mean(theta == 0),
        "lasso known zeros": np.mean(known == 0),
    }


def wandering(seed, dimension=30, n=20):
    """The toy of axis-aligned wedges, L^2 / 2, descended from a Gaussian point to a wedge, and then on
    under C.

    "wedges dense" and "wedges sparse": C at either end; "wedges loss", the largest L^2 / 2 on the line
    between them; "wedges trace", that of the Hessian at the dense end over s = D - n, as it should be.
    """
    from reproductions.common.proximal_sgd import ProximalSGD

    toy = wedges.Squared(wedges.AxisWedges(dimension, n, "float64"))
    start = np.random.default_rng([seed, 3]).normal(size=dimension)
    dense = wedges.minimize(toy, start, ProximalSGD(0.2), 100).theta
    under = ProximalSGD(0.1, 0.0, wedges.Compressibility(1.0), [(0, dimension)])
    sparse = wedges.minimize(toy, dense, under, 5000).theta
    hessian = wedges.curvature.dense(wedges.hessian(toy, dense))
    return {
        "wedges dense": wedges.compressibility.ratio(dense),
        "wedges sparse": wedges.compressibility.ratio(sparse),
        "wedges loss": wedges.probe.line(toy, dense, sparse, 51).losses.max(),
        "wedges trace": np.trace(hessian) / (dimension - n),
    }


def everything(seed):
    """All of the above."""
    return {**algebra(seed), **flow(seed), **lasso(seed), **wandering(seed)}
