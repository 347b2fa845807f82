"""Points on the wedges of toy landscapes."""

import numpy as np

import wedges


def ends_of(landscape, seed, count=2, gap=0.0):
    """Points [count, D] on different wedges, the normals of each one's wedge [count, s, D].

    Their other components are at least `gap`.
    """
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, landscape.dimension))
    points += gap * np.sign(points)
    if isinstance(landscape, wedges.RandomWedges):
        normals = landscape.normals.numpy()[:count]
    else:
        places = [rng.permutation(landscape.dimension)[: landscape.s] for _ in range(count)]
        normals = np.eye(landscape.dimension)[np.array(places)]
    return np.stack([p - n.T @ (n @ p) for p, n in zip(points, normals, strict=True)]), normals
