"""Figure 1: wedges in three dimensions, drawn from the toy landscape itself.

The low-loss set {L <= level} of 2-wedges in R^3, found on a grid by marching cubes; two optima, where
random starts were minimised to; the straight line between them, which leaves the set; and the path
with one corner that `wedges.connect.corner` finds along the wedges. Beside it the loss on both paths.
figure.html, with the extra `html`, is the same and can be turned by hand.

    python -m reproductions.fig1_wedges                            every axis-aligned plane, seconds
    python -m reproductions.fig1_wedges --variant=finite --k=3     three planes in random orientation
    python -m reproductions.fig1_wedges --n=1                      lines instead of planes
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 1.
"""

import numpy as np

import wedges
from reproductions.bench import options, parallel, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import at_least, between, inside, one_of, option
from reproductions.common import pictures, toys

EXTENT = 1.5  # the picture shows [-1.5, 1.5]^3


@options.settings
class Config(options.Config):
    variant: str = option("which wedges", toys.VARIANTS, paper="axis")
    n: int = option("dimensions of a wedge: 2 (planes) or 1 (lines)", one_of(1, 2), paper=2)
    k: int = option("K, wedges of the finite variant", at_least(2), paper=3)
    level: float = option("loss on the surface drawn", inside(0, 1), paper=0.04, quick=0.05, smoke=0.1)
    grid: int = option("grid points along each axis", between(8, 201), paper=81, quick=61, smoke=31)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Loss on the grid [g, g, g]; ends [2, 3], corner [3]; each path's points [T, 3] and loss [T]."""
    arrays = parallel.over(_look, [config])[0]
    low, high = arrays["grid"].min(), arrays["grid"].max()
    if not low < config.level < high:
        raise UsageError(
            f"--level={config.level:g}: the loss on the grid runs from {low:.3g} to {high:.3g}; choose "
            "a level between, or a finer --grid."
        )
    return arrays


def _look(config):
    toy = toys.Toy(config.variant, 3, config.n, config.k, config.seed)
    axis = np.linspace(-EXTENT, EXTENT, config.grid, dtype=np.float32)  # [g]
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)  # [g, g, g, 3]
    losses = toy.landscape(points.reshape(-1, 3)).numpy().reshape(points.shape[:-1])
    ends = far_apart(toy.landscape, toy.optima(toys.gaussian(config.seed, 40, 3)))
    corner = toy.crossing(ends, 200)
    return {
        "axis": axis,
        "grid": losses,
        **_walk(toy.landscape, "line", ends),
        **_walk(toy.landscape, "path", np.stack([ends[0], corner, ends[1]])),
        "ends": ends,
        "corner": corner,
    }


def far_apart(landscape, optima):
    """The two of the optima [R, 3] inside the picture with the highest line between them: [2, 3]."""
    inside = optima[(np.abs(optima) < 0.9 * EXTENT).all(axis=1) & (np.linalg.norm(optima, axis=1) > 0.6)]
    t = np.linspace(0, 1, 21, dtype=np.float32)[:, None]
    height = lambda a, b: landscape((1 - t) * a + t * b).numpy().max()
    pairs = [(i, j) for i in range(len(inside)) for j in range(i)]
    i, j = max(pairs, key=lambda p: height(inside[p[0]], inside[p[1]]))
    return inside[[i, j]]


def _walk(landscape, name, vertices):
    """Along the straight pieces between vertices [V, 3]: how far t [T], points [T, 3] and loss [T]."""
    t, losses = wedges.connect.along(landscape, vertices, 100)
    lengths = np.linalg.norm(np.diff(vertices, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()  # [V]
    points = np.stack([np.interp(t, at, coordinate) for coordinate in vertices.T], axis=-1)
    return {f"{name} t": t, f"{name} points": points, f"{name} loss": losses}


def surface(arrays, level):
    """Vertices [V, 3] and triangles [F, 3] of the surface where the loss on the grid is `level`."""
    from skimage.measure import marching_cubes

    axis = arrays["axis"]
    vertices, faces, *_ = marching_cubes(arrays["grid"], level)
    return axis[0] + vertices * (axis[1] - axis[0]), faces


# ---- what the numbers say ---------------------------------------------------------------------------


def judged(arrays, config):
    """{claim: number}."""
    line, highest = arrays["line loss"], arrays["path loss"].max()
    rise = wedges.barrier(line)
    return {"line": rise, "optima": max(line[0], line[-1]) / rise, "path": highest / rise}


JUDGED_FROM = "smoke"  # geometry in three dimensions, of which every preset has enough


def claims(arrays, config):
    """The optima are on the wedges, the line is not, the path along the wedges is."""
    claim = Verdict("fig1", "Fort & Jastrzebski 2019, Fig. 1", judged(arrays, config))
    line = "The straight line between two optima leaves the low-loss wedges."
    claim("line", "rise of the loss on the straight line", ">", 0.1, says=line)
    on = "Optima lie on the wedges."
    claim("optima", "loss of the optima / that rise", "<=", 1e-3, says=on)
    along = "A path along the wedges joins them at low loss."
    words = "highest loss on the path along the wedges / that rise"
    claim("path", words, "<=", 0.05, says=along)
    return claim.claims


def summary(arrays, config):
    """Barrier, corner and the share of the cube that is low: what the reference guards."""
    low = (arrays["grid"] <= config.level).mean()
    return {"barrier": [wedges.barrier(arrays["line loss"])], "low share of the cube": [low]}


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The set and the paths from two sides, and the loss along the paths."""
    figure, views, ax = pictures.space(2, title=f"Figure 1: the {_words(config)}")
    scene = _scene(arrays, config)
    for view, turn in zip(views, (35, 125), strict=True):
        scene.draw(view, 22, turn)
    views[0].legend(fontsize=8, loc="upper left")
    for name, (label, (color, *_)) in zip(("line", "path"), scene.lines.items(), strict=True):
        ax.plot(arrays[f"{name} t"], arrays[f"{name} loss"], color=color, label=label)
    ax.axhline(config.level, color="grey", linewidth=0.8, linestyle=":", label="surface drawn")
    x, y = "from one optimum (0) to the other (1)", "loss: distance to the nearest wedge"
    wedges.plots.label_axes(ax, title="loss on the way", x=x, y=y, legend=8)
    return figure


def html(arrays, config):
    """The same as a page that can be turned with the mouse."""
    return _scene(arrays, config).page(f"The {_words(config)}", "low-loss set")


def _scene(arrays, config):
    of = lambda name: (arrays[f"{name} points"], arrays[f"{name} loss"])
    lines = {
        "straight line": (wedges.plots.ORANGE, *of("line")),
        "along the wedges": (wedges.plots.BLUE, *of("path")),
    }
    return pictures.Scene(EXTENT, *surface(arrays, config.level), lines, {"two optima": arrays["ends"]})


def _words(config):
    shape = "planes" if config.n == 2 else "lines"
    name = toys.LABELS[config.variant].replace("K", f"{config.k}", 1)
    kind = name.replace("wedges", shape) + (f" ({shape})" if "wedges" not in name else "")
    return f"low-loss set of the toy landscape in three dimensions, {kind}"


if __name__ == "__main__":
    runs.main(__name__)
