"""Figure 1: wedges in three dimensions, drawn from the toy landscape itself.

The low-loss set {L <= level} of 2-wedges in R^3, found on a grid by marching cubes, a colour for each
wedge; two optima, where random starts were minimised to; the straight line between them, which leaves
the set; and the path with one corner that `wedges.connect.corner` finds along the wedges. Beside it the
loss on both paths, and across a wedge and along it. figure.html, with the extra `html`, is the set to
turn by hand.

    python -m reproductions.fig1_wedges                            every axis-aligned plane, seconds
    python -m reproductions.fig1_wedges --variant=finite --k=3     three planes in random orientation
    python -m reproductions.fig1_wedges --n=1                      lines instead of planes
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 1.
"""

import functools
import itertools

import numpy as np

import wedges
from reproductions.bench import options, parallel, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.errors import UsageError
from reproductions.bench.options import at_least, between, inside, one_of, option
from reproductions.common import pictures, solids, toys

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
    """The set with both paths; the loss along them; the loss across a wedge and along it."""
    title = f"{_finding(arrays, config)}\n{_words(config)}"
    how = {"size": (8.6, 4.9), "widths": (1.75, 1), "solid": "a"}
    figure, axes = pictures.mosaic(("ab", "ac"), title=title, **how)
    _draw_set(axes["a"], arrays, config)
    _draw_ways(axes["b"], arrays)
    _draw_across(axes["c"], arrays, config)
    return figure


def html(arrays, config):
    """The set and the paths as a page that can be turned with the mouse."""
    elevation, turn = _view(arrays, config)
    title = f"{_finding(arrays, config)}\n{_words(config)}"
    how = {"elevation": elevation, "turn": turn}
    return solids.page(_solids(arrays, config), title, _names(arrays), **how)


def _finding(arrays, config):
    """A sentence that is true of these numbers."""
    if all(claim.passed for claim in claims(arrays, config)):
        return "The straight line between two optima leaves the wedges; a path along them stays low"
    return "Wedges in three dimensions, and two ways between two optima"


def looks():
    """{way: (colour, name)}."""
    line, path = (wedges.plots.ORANGE, "straight line"), (wedges.plots.BLUE, "along the wedges")
    return {"line": line, "path": path}


def _words(config):
    shape = "planes" if config.n == 2 else "lines"
    kind = {
        "axis": f"the three axis-aligned {shape}",
        "finite": f"{config.k} {shape} in random orientation",
    }
    kind |= {"rotated": f"three orthogonal {shape}, rotated"}
    return (
        f"Toy landscape: the loss is the distance to the nearest of {kind[config.variant]}, the wedges; "
        f"drawn is where it is at most {config.level:g}"
    )


def _solids(arrays, config):
    """The low-loss set, a solid of each wedge; the two ways and the optima."""
    radius = 0.03 + config.level  # more than half the set's thickness, or one would not see them in it
    ways = {"line": arrays["ends"], "path": np.insert(arrays["ends"], 1, arrays["corner"], axis=0)}
    fine = lambda points: np.concatenate(
        [np.linspace(a, b, 40) for a, b in zip(points[:-1], points[1:], strict=True)]
    )
    found = _sheets(arrays, config)
    for name, (color, words) in looks().items():
        found.append(solids.tube(words, color, fine(ways[name]), radius))
    for letter, end in zip("AB", arrays["ends"], strict=True):
        found.append(solids.ball(f"optimum {letter}", "#222222", end, 1.5 * radius + 0.02))
    return found


def _sheets(arrays, config):
    """A solid of each wedge: what of the set is nearest to it, darker where another one is near."""
    axis = arrays["axis"]
    step = axis[1] - axis[0]
    # With a wall of high loss around, so that the set is closed where the picture ends.
    around = np.concatenate([[axis[0] - step], axis, [axis[-1] + step]])
    walled = {"axis": around, "grid": np.pad(arrays["grid"], 1, constant_values=1e6)}
    vertices, faces = surface(walled, config.level)
    far = distances(vertices[faces].mean(axis=1), wedges_of(arrays, config), config.n)  # [F, K]
    nearest, second = np.argmin(far, axis=1), np.partition(far, 1, axis=1)[:, 1]
    hues = itertools.cycle(("#F4D19B", "#A5D6C1", "#CDBBE6", "#F0B7A4", "#B5D5F0"))
    whole = solids.Solid("low-loss set", "", vertices, faces, 0.72 + 0.28 * np.minimum(1, second / 0.35))
    hues = itertools.cycle(("#F4D19B", "#A5D6C1", "#CDBBE6", "#F0B7A4", "#B5D5F0"))
    pairs = zip(range(far.shape[1]), hues, strict=False)
    return [whole.part(f"wedge {k + 1}", hue, nearest == k) for k, hue in pairs]


def wedges_of(arrays, config):
    """A unit vector of each wedge, [K, 3]: a plane's normal or a line's direction, found in the set.

    Each is what most triangles agree on, up to sign, of those that are not another one's already.
    """
    vertices, faces = surface(arrays, config.level)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean(axis=1)
    units = normals if config.n == 2 else middle
    weight = np.linalg.norm(normals, axis=1)  # twice the area
    length = np.linalg.norm(units, axis=1)
    # Beside where wedges meet the set is round, or several lines' at once.
    clear = (length > 0) & (np.linalg.norm(middle, axis=1) > 0.5 * EXTENT)
    units, weight, found = units[clear] / length[clear, None], weight[clear], []
    random = np.random.default_rng(0)
    for _ in range(config.k if config.variant == "finite" else 3):
        if weight.sum() == 0:  # fewer are seen than there are
            break
        tried = units[random.choice(len(units), size=300, p=weight / weight.sum())]
        near = np.abs(tried @ units.T) > 0.99
        best = np.argmax(near @ weight)
        own = units[near[best]]
        own = own * np.sign(own @ tried[best])[:, None]
        mean = weight[near[best]] @ own
        found.append(mean / np.linalg.norm(mean))
        weight = np.where(np.abs(units @ found[-1]) > 0.97, 0, weight)
    return np.array(found)


def distances(points, units, n):
    """How far points [P, 3] are from each of the wedges that `wedges_of` found: [P, K]."""
    along = np.abs(points @ units.T)
    if n == 2:
        return along
    return np.sqrt(np.maximum(np.sum(points**2, axis=1)[:, None] - along**2, 0))


# ---- its panels -------------------------------------------------------------------------------------


def _draw_set(ax, arrays, config):
    ends, corner = arrays["ends"], arrays["corner"]
    elevation, turn = _view(arrays, config)
    solids.draw(ax, _solids(arrays, config), EXTENT, elevation=elevation, turn=turn)
    for letter, at in _names(arrays).items():
        solids.name(ax, at, letter, size=12)
    # Each way's name on the side of it where the other way is not.
    middle = {"line": ends.mean(axis=0), "path": corner}
    apart = solids.flat(ax, middle["line"]) - solids.flat(ax, corner)
    for name, (color, words) in looks().items():
        side, up = np.where(apart >= 0, 1, -1) * (1 if name == "line" else -1)
        how = {"shift": (9 * side, 7 * up), "ha": "left" if side > 0 else "right"}
        solids.name(ax, middle[name], words, color=color, **how)
    wedges.plots.label_axes(ax, title="(a) The low-loss set, and two ways from A to B", grid=False)


def _names(arrays):
    """{optimum: where its letter stands}, away from both ways."""
    ends = arrays["ends"]
    away = ends - (ends.mean(axis=0) + arrays["corner"]) / 2
    return dict(zip("AB", ends + 0.3 * away / np.linalg.norm(away, axis=1, keepdims=True), strict=True))


def _view(arrays, config):
    """From where most of both ways is seen."""
    shown = np.concatenate([arrays["line points"], arrays["path points"]])[::4]
    return solids.best_view(functools.partial(_hidden, arrays, config.level), shown)


def _hidden(arrays, level, points, eye):
    """Which of points [P, 3] the low-loss set hides from an eye far away in this direction."""
    axis, low = arrays["axis"], arrays["grid"] <= level
    steps = np.arange(3 * level + 0.08, 2 * EXTENT, axis[1] - axis[0])
    along = points[:, None] + steps[:, None] * eye  # [P, S, 3]
    at = np.rint((along - axis[0]) / (axis[1] - axis[0])).astype(int)
    inside = ((at >= 0) & (at < len(axis))).all(axis=-1)
    return (low[tuple(np.moveaxis(np.clip(at, 0, len(axis) - 1), -1, 0))] & inside).any(axis=1)


def _draw_ways(ax, arrays):
    for name, (color, words) in looks().items():
        losses = arrays[f"{name} loss"]
        style = {"line": "-", "path": "--"}[name]
        ax.plot(arrays[f"{name} t"], losses, style, color=color, linewidth=2, label=words)
        at = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 8.5}
        words += f": up to {losses.max():.2f}"
        ax.annotate(words, (0.5, losses.max()), color=color, **at)
    ax.margins(y=0.18)
    how = {"x": "from A (0) to B (1)", "y": "loss"}
    wedges.plots.label_axes(ax, title="(b) The loss on both ways", **how)


def _draw_across(ax, arrays, config):
    """From optimum A, straight away from its wedge and within it."""
    units, a = wedges_of(arrays, config), arrays["ends"][0]
    far = distances(a[None], units, config.n)[0]
    own = units[np.argmin(far)]
    other = np.cross(own, np.eye(3)[np.argmin(np.abs(own))])
    short, long = (own, other) if config.n == 2 else (other, own)
    room = np.clip(np.partition(far, 1)[1] / 2, 0.1, 0.5)  # no other wedge is as near
    t = np.linspace(-room, room, 81)
    ways = (
        ("across it", "short", 3 - config.n, short, wedges.plots.ORANGE, "-"),
        ("along it", "long", config.n, long, wedges.plots.BLUE, "--"),
    )
    said = {"xycoords": "axes fraction", "ha": "center", "fontsize": 8.5}
    for over, name, number, way, color, style in ways:
        points = a + t[:, None] * way / np.linalg.norm(way)
        loss = distances(points, units, config.n).min(axis=1)
        ax.plot(t, loss, style, color=color, linewidth=2)
        words = f"{over}: {pictures.counted(number, f'{name} direction')}"
        place = {"short": {"xy": (0.5, 0.97), "va": "top"}, "long": {"xy": (0.5, 0.02), "va": "bottom"}}
        ax.annotate(words, **place[name], **said, color=color)
    ax.margins(y=0.22)
    how = {"x": "distance from A", "y": "loss"}
    wedges.plots.label_axes(ax, title="(c) The loss around A's wedge", **how)


if __name__ == "__main__":
    runs.main(__name__)
