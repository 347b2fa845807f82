"""Solid things in three dimensions, as triangles: lit and drawn, or on a page to be turned by hand.

All that a picture shows is drawn by its distance from the eye, triangle by triangle. So a tube that goes
behind a sheet is hidden by it, as a thing would be.
"""

import dataclasses
import html

import numpy as np

from reproductions.bench.errors import UsageError

_SIDES = 14  # of a tube
_LIGHT = np.array([0.35, 0.1, 0.93])  # from above
_DARKEST = 0.7  # what is turned away from the light


@dataclasses.dataclass(frozen=True)
class Solid:
    """Triangles of one colour.

    Attributes:
      name: what it is, in a page's legend.
      color: of the triangles in full light.
      vertices, faces: [V, 3] and [F, 3], three of the vertices each.
      light: how much of it reaches each triangle, from 0 to 1: [F], or one number.
    """

    name: str
    color: str
    vertices: np.ndarray
    faces: np.ndarray
    light: np.ndarray | float = 1.0

    @property
    def corners(self):
        """Of each triangle, [F, 3, 3]."""
        return self.vertices[self.faces]

    def part(self, name, color, chosen):
        """The triangles that are `chosen` [F], of another colour."""
        used, faces = np.unique(self.faces[chosen], return_inverse=True)
        return Solid(name, color, self.vertices[used], faces.reshape(-1, 3), self.light[chosen])


def tube(name, color, points, radius):
    """A tube around the way through points [T, 3], with balls where it turns and at its ends."""
    points = np.asarray(points, float)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    points = points[np.append(True, steps > 0)]
    turn = 2 * np.pi * np.arange(_SIDES) / _SIDES
    parts = []
    for a, b in zip(points[:-1], points[1:], strict=True):
        along = (b - a) / np.linalg.norm(b - a)
        side = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
        side /= np.linalg.norm(side)
        ring = radius * (np.outer(np.cos(turn), side) + np.outer(np.sin(turn), np.cross(along, side)))
        parts.append((np.concatenate([a + ring, b + ring]), _strip(_SIDES, 2)))
    ways = np.diff(points, axis=0)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    turns = 1 + np.flatnonzero(np.sum(ways[1:] * ways[:-1], axis=1) < 0.999)
    parts += [_sphere(points[i], radius) for i in turns]
    return Solid(name, color, *_joined(parts))


def ball(name, color, center, radius):
    """A ball."""
    return Solid(name, color, *_sphere(np.asarray(center, float), radius))


def _sphere(center, radius, rings=9):
    high, turn = np.linspace(0, np.pi, rings + 1), 2 * np.pi * np.arange(_SIDES) / _SIDES
    out, up = np.sin(high)[:, None], np.cos(high)[:, None]
    at = np.stack([out * np.cos(turn), out * np.sin(turn), up + 0 * turn], axis=-1)
    return center + radius * at.reshape(-1, 3), _strip(_SIDES, rings + 1)


def _strip(around, rings):
    """Triangles between rings of as many points, one ring after the other."""
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    faces = np.stack([[a, b, b + around], [a, b + around, a + around]]).reshape(2, 3, -1)
    return np.concatenate(list(np.moveaxis(faces, 1, 2)))


def _joined(parts):
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [own + start for (_, own), start in zip(parts, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


# ---- on paper ---------------------------------------------------------------------------------------


def draw(ax, solids, extent, *, elevation, turn):
    """Solids in the cube [-extent, extent]^3 into axes in three dimensions, seen from so many degrees
    above and around."""
    from matplotlib.colors import to_rgb
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    light = _LIGHT / np.linalg.norm(_LIGHT)
    corners, colors = [], []
    for solid in solids:
        own = solid.corners
        normals = np.cross(own[:, 1] - own[:, 0], own[:, 2] - own[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        lit = (_DARKEST + (1 - _DARKEST) * np.abs(normals @ light)) * solid.light
        corners.append(own)
        colors.append(np.outer(np.broadcast_to(lit, len(own)), to_rgb(solid.color)))
    colors = np.concatenate(colors)
    # Edges of the same colour close the seams between triangles; as pixels, also in a PDF: there are
    # some ten thousands.
    how = {"facecolors": colors, "edgecolors": colors, "linewidths": 0.25, "rasterized": True}
    sheet = Poly3DCollection(np.concatenate(corners), **how)
    ax.add_collection3d(sheet)
    sheet.set_clip_on(False)
    sheet.set_in_layout(False)
    ax.set(**{f"{name}lim": (-extent, extent) for name in "xyz"})
    ax.set_box_aspect((1, 1, 1), zoom=1.28)
    ax.view_init(elevation, turn)
    ax.set_axis_off()


def flat(ax, at):
    """Where a point [3] stands on the picture, [2]."""
    from mpl_toolkits.mplot3d import proj3d

    return np.array(proj3d.proj_transform(*at, ax.get_proj())[:2], float)


def name(ax, at, words, *, color="black", shift=(0, 0), size=9, **how):
    """Words beside a point [3] of the picture, in a white halo; shift: in points."""
    from matplotlib.patheffects import withStroke

    x, y = flat(ax, at)
    how = {"fontsize": size, "fontweight": "bold", "ha": "center", "va": "center", **how}
    halo = [withStroke(linewidth=2.5, foreground="white")]
    place = {"xytext": shift, "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(words, (x, y), color=color, path_effects=halo, zorder=20, **place, **how)


def best_view(hidden, points, *, elevations=(18, 24, 30, 36), step=10):
    """Elevation and turn from which most of these points [P, 3] are seen, and they are far apart there.

    hidden: of points [P, 3] and a direction to the eye [3], which the solids hide.
    """
    views = [(up, turn) for up in elevations for turn in range(-180, 180, step)]

    def good(view):
        up, turn = np.radians(view)
        eye = np.array([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up)])
        flat = points - np.outer(points @ eye, eye)
        # Half of the area that the points take up on the picture, as a share of the most it could be.
        wide = np.sqrt(np.linalg.eigvalsh(np.cov(flat.T))[1:].prod())
        most = np.sqrt(np.linalg.eigvalsh(np.cov(points.T))[1:].prod())
        return (1 - np.mean(hidden(points, eye))) + 0.5 * wide / max(most, 1e-12)

    return max(views, key=good)


# ---- to be turned by hand ---------------------------------------------------------------------------


def page(solids, title, names, *, elevation, turn):
    """Solids as a page of HTML that needs nothing else; needs the extra `html` (plotly).

    title: its first line is large; names: {words: the point [3] that they stand at}; elevation, turn:
    from where it is seen first, as in `draw`.
    """
    try:
        import plotly.graph_objects as go
    except ImportError:
        say = "a figure to turn by hand needs plotly; pip install 'wedges[html]'."
        raise UsageError(say) from None
    light = {"ambient": 0.6, "diffuse": 0.6, "specular": 0.1, "roughness": 0.8}
    parts = []
    for solid in solids:
        at = dict(zip("xyz", solid.vertices.astype(np.float32).T, strict=True))
        of = dict(zip("ijk", solid.faces.astype(np.int32).T, strict=True))
        how = {"color": solid.color, "name": solid.name, "showlegend": True, "hoverinfo": "name"}
        parts.append(go.Mesh3d(**at, **of, **how, lighting=light, flatshading=False))
    x, y, z = np.array(list(names.values()), float).T
    words = {"mode": "text", "text": [f"<b>{name}</b>" for name in names], "hoverinfo": "skip"}
    parts.append(go.Scatter3d(x=x, y=y, z=z, textfont={"size": 18}, showlegend=False, **words))
    made = go.Figure(parts)
    axes = {
        f"{name}axis": {"title": {"text": f"P<sub>{i}</sub>"}, "showbackground": False, "nticks": 5}
        for i, name in enumerate("xyz", 1)
    }
    first, *below = html.escape(f"{title} (drag to turn)").split("\n")
    up, around = np.radians([elevation, turn])
    eye = 1.75 * np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    made.update_layout(
        title={"text": "".join([first, *(f"<br><sup>{line}</sup>" for line in below)]), "x": 0.02},
        margin={"l": 0, "r": 0, "t": 70, "b": 0},
        legend={"x": 0.01, "y": 0.95, "itemsizing": "constant"},
        scene={"aspectmode": "cube", "camera": {"eye": dict(zip("xyz", eye, strict=True))}, **axes},
    )
    shown = {"displaylogo": False, "responsive": True}
    text = made.to_html(include_plotlyjs=True, default_height="100vh", config=shown)
    return text.replace("<body>", '<body style="margin: 0; overflow: hidden">', 1)
