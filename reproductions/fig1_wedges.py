"""Figure 1: wedges in three dimensions, drawn from the toy landscape itself.

The low-loss set {L <= level} of 2-wedges in R^3, found on a grid by marching cubes; two optima, where
random starts were minimised to; the straight line between them, which leaves the set; and the path
with one corner that `wedges.connect.connect` finds along the wedges. Beside it the loss on both paths.
figure.html, with the extra `html`, is the same and can be turned by hand.

    python -m reproductions.fig1_wedges                            every axis-aligned plane
    python -m reproductions.fig1_wedges --variant=finite --k=3     three planes in random orientation
    python -m reproductions.fig1_wedges --n=1                      lines instead of planes
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 1.
"""

import dataclasses
import sys

import numpy as np

from reproductions.bench import runs
from reproductions.bench.claims import Claim
from reproductions.common import toys

PAPER = "Fort & Jastrzebski 2019, Fig. 1"
EXTENT = 1.5  # the picture shows [-1.5, 1.5]^3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(runs.Config):
    """Settings of the figure."""

    variant: str = runs.option("which wedges", choices=toys.VARIANTS)
    n: int = runs.option(
        "dimensions of a wedge: 2 (planes) or 1 (lines)", lambda v: v in (1, 2), "1 or 2"
    )
    k: int = runs.option("K, wedges of the finite variant; e.g. 3", lambda v: v > 1, "at least 2")
    level: float = runs.option(
        "the surface drawn is where the loss, a distance, has this value; e.g. 0.04",
        lambda v: 0 < v < 1,
        "between 0 and 1",
    )
    grid: int = runs.option(
        "grid points along each axis, for the surface; e.g. 81", lambda v: 8 <= v <= 201, "from 8 to 201"
    )


_PAPER = {"seed": 0, "variant": "axis", "n": 2, "k": 3, "level": 0.04, "grid": 81}
PRESETS = {
    "smoke": {**_PAPER, "grid": 31, "level": 0.1},
    "quick": {**_PAPER, "grid": 61, "level": 0.05},
    "paper": _PAPER,
}


def measure(config, run):
    """Loss on the grid [g, g, g]; ends [2, 3], corner [3]; each path's points [T, 3] and loss [T]."""
    from reproductions.bench import parallel
    from reproductions.bench.errors import UsageError

    arrays = parallel.over(run, _picture, [config])[0]
    low, high = arrays["grid"].min(), arrays["grid"].max()
    if not low < config.level < high:
        raise UsageError(
            f"--level={config.level:g}: the loss on the grid runs from {low:.3g} to {high:.3g}; choose "
            "a level between, or a finer --grid."
        )
    return arrays


def _picture(config):
    import wedges
    from wedges import connect

    landscape = toys.build(config.variant, 3, config.n, k=config.k, seed=config.seed)
    axis = np.linspace(-EXTENT, EXTENT, config.grid, dtype=np.float32)  # [g]
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)  # [g, g, g, 3]
    ends = _far_apart(toys.optima(landscape, toys.gaussian(config.seed, 40, 3)).numpy(), landscape)
    squared, cg = wedges.Squared(landscape), wedges.ConjugateGradients()
    corner = connect.connect(squared, ends, cg, 200, tolerance=1e-7).theta.numpy()
    arrays = {"axis": axis, "grid": landscape(points.reshape(-1, 3)).numpy().reshape(points.shape[:-1])}
    for name, vertices in (("line", ends), ("path", np.stack([ends[0], corner, ends[1]]))):
        t, losses = connect.along(landscape, vertices, 100)
        lengths = np.linalg.norm(np.diff(vertices, axis=0), axis=1)
        at = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()  # [V]
        where = np.stack([np.interp(t, at, coordinate) for coordinate in vertices.T], axis=-1)
        arrays |= {f"{name} t": t, f"{name} points": where, f"{name} loss": losses}
    return arrays | {"ends": ends, "corner": corner}


def _far_apart(optima, landscape):
    """The two optima inside the picture with the highest line between them. [R, 3] -> [2, 3]"""
    inside = optima[(np.abs(optima) < 0.9 * EXTENT).all(axis=1) & (np.linalg.norm(optima, axis=1) > 0.6)]
    t = np.linspace(0, 1, 21, dtype=np.float32)[:, None]
    height = lambda a, b: landscape((1 - t) * a + t * b).numpy().max()
    pairs = [(i, j) for i in range(len(inside)) for j in range(i)]
    i, j = max(pairs, key=lambda p: height(inside[p[0]], inside[p[1]]))
    return inside[[i, j]]


def _surface(arrays, config):
    """Vertices [V, 3] and triangles [F, 3] of the surface where the loss is `level`."""
    from skimage.measure import marching_cubes

    axis = arrays["axis"]
    vertices, faces, *_ = marching_cubes(arrays["grid"], config.level)
    return axis[0] + vertices * (axis[1] - axis[0]), faces


def claims(arrays, config):
    """The optima are on the wedges, the line is not, the path along the wedges is."""
    from wedges.probe import barrier

    rise = barrier(arrays["line loss"])
    ends = max(arrays["line loss"][0], arrays["line loss"][-1])
    path = arrays["path loss"].max()
    return [
        Claim("fig1.line", "rise of the loss on the straight line", PAPER, rise, ">", 0.1),
        Claim("fig1.optima", "loss of the optima / that rise", PAPER, ends / rise, "<=", 1e-3),
        Claim(
            "fig1.path",
            "highest loss on the path along the wedges / that rise",
            PAPER,
            path / rise,
            "<=",
            0.05,
        ),
    ]


def summary(arrays, config):
    """Barrier, corner and the share of the cube that is low: what the reference guards."""
    from wedges.probe import barrier

    low = (arrays["grid"] <= config.level).mean()
    return {"barrier": [barrier(arrays["line loss"])], "low share of the cube": [low]}


def _name(config):
    shape = "planes" if config.n == 2 else "lines"
    name = toys.LABELS[config.variant].replace("K", f"{config.k}", 1)
    return f"{name.replace('wedges', shape)}" + (f" ({shape})" if "wedges" not in name else "")


def plot(arrays, config):
    """The set and the paths from two sides, and the loss along the paths."""
    from wedges import plots

    title = f"Figure 1: the low-loss set of the toy landscape in three dimensions, {_name(config)}"
    figure, views, ax = plots.space(2, title=title)
    vertices, faces = _surface(arrays, config)
    for view, (height, turn) in zip(views, ((22, 35), (22, 125)), strict=True):
        plots.surface(view, vertices, faces, extent=EXTENT)
        view.plot(
            *arrays["line points"].T, color=plots.ORANGE, linewidth=2.5, zorder=10, label="straight line"
        )
        view.plot(
            *arrays["path points"].T,
            color=plots.BLUE,
            linewidth=2.5,
            zorder=10,
            label="along the wedges",
        )
        view.plot(*arrays["ends"].T, "o", color="black", markersize=7, zorder=11, label="two optima")
        view.view_init(height, turn)
    views[0].legend(fontsize=8, loc="upper left")
    ax.plot(arrays["line t"], arrays["line loss"], color=plots.ORANGE, label="straight line")
    ax.plot(arrays["path t"], arrays["path loss"], color=plots.BLUE, label="along the wedges")
    plots.label_axes(
        ax,
        title="loss on the way",
        x="from one optimum (0) to the other (1)",
        y="loss: distance to the nearest wedge",
    )
    ax.axhline(config.level, color="grey", linewidth=0.8, linestyle=":", label="surface drawn")
    ax.legend(fontsize=8)
    plots.verdict(figure, claims(arrays, config))
    return figure


def html(arrays, config):
    """The same as a page that can be turned with the mouse; needs the extra `html` (plotly)."""
    from reproductions.bench.errors import UsageError

    try:
        import plotly.graph_objects as go
    except ImportError:
        raise UsageError("a figure to turn by hand needs plotly; pip install 'wedges[html]'.") from None
    vertices, faces = _surface(arrays, config)
    x, y, z = vertices.T
    i, j, k = faces.T
    line = lambda name, color: go.Scatter3d(
        **dict(zip("xyz", arrays[f"{name} points"].T, strict=True)),
        mode="lines",
        line={"color": color, "width": 8},
        name={"line": "straight line", "path": "along the wedges"}[name],
        text=[f"loss {loss:.3f}" for loss in arrays[f"{name} loss"]],
    )
    page = go.Figure(
        [
            go.Mesh3d(
                x=x,
                y=y,
                z=z,
                i=i,
                j=j,
                k=k,
                color="lightsteelblue",
                opacity=0.5,
                name="low-loss set",
                showlegend=True,
            ),
            line("line", "#D55E00"),
            line("path", "#0072B2"),
            go.Scatter3d(
                **dict(zip("xyz", arrays["ends"].T, strict=True)),
                mode="markers",
                marker={"color": "black", "size": 6},
                name="two optima",
            ),
        ]
    )
    page.update_layout(
        title=f"Low-loss set of the toy landscape in three dimensions, {_name(config)} (drag to turn)",
        scene={"aspectmode": "cube"},
    )
    return page.to_html(include_plotlyjs=True)


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
