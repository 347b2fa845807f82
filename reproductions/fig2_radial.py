"""Figure 2: from an optimum the landscape looks like a circular well, along random directions.

The training loss on a random 2-D cut through a trained optimum, and along many random directions from
it: it rises with distance, nearly the same way in every direction. The cut through three independently
trained optima, on the same scale, shows what random cuts hide: other optima, as low, not far away. So
does the plane through the origin and two optima, where wedges are rays. toy.png is the same of the toy
landscape, where the reason is known: a random direction has a share s / D of its length across the
wedge, whichever direction it is. How long a well is along the ray from the origin is measured twice: by
the distance at which the loss has doubled, and by the curvature there.

    python -m reproductions.fig2_radial --preset=quick       digits, a minute or two
    python -m reproductions.fig2_radial                      CIFAR-10, half an hour with training
    python -m reproductions.fig2_radial --directions=500 --steps=41
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, Fig. 2.
"""

import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import at_least, but, option
from reproductions.common import optima, pictures, toys, wells
from reproductions.common.arrays import named, under
from reproductions.common.wells import BOUNDS, CORNERS
from reproductions.common.wells import numbers as _numbers
from reproductions.common.wells import variation as _variation

WELL = "Along random directions an optimum looks like a circular well."
OURS = {
    "source": "this project: the contrast of the two cuts",
    "says": "Not in the paper: what random cuts hide, a cut through the optima shows.",
}
RADIAL = {
    "source": "this project: how radial the paper's radial tunnels are",
    "says": "Not in the paper: away from the origin a well is long, in distance and in curvature.",
}


@options.settings
class Config(optima.TrainedConfig):
    epochs: int = but(smoke=6)
    examples: int = but(paper=2000, quick=1000, smoke=200)
    directions: int = option(
        "random directions from each optimum", at_least(2), paper=200, quick=50, smoke=10
    )
    distances: int = option("distances along each, to the next optimum", at_least(4), paper=20, smoke=8)
    steps: int = option("points along each side of a cut", at_least(5), paper=25, quick=21, smoke=9)
    products: int = option(
        "Hessian-vector products in the trace at each optimum of the network", at_least(6), paper=60
    )
    toy: str = option("toy as DxN, D dimensions with n-wedges", check=toys.sizes, paper="1000x900")
    toy_k: int = option("K, the toy's wedges", at_least(3), paper=10)
    height: float = option("toy: distance of a point to its wedge, the loss there", paper=1.0)


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Arrays "net <number>" and "toy <number>", of `wells`, of `_from_origin` and of `_curved`."""
    view = wells.View(config.directions, config.distances, config.steps, config.seed)
    toy = toys.Toy("finite", *toys.sizes(config.toy, "toy"), config.toy_k, config.seed)
    thetas = optima.trained(config, CORNERS)  # [3, D]
    net = wells.around(config.network(), thetas, view)
    above = wells.above_wedges(toy, config.height, view)
    net |= cache.cached(_from_optima, config.network(), thetas, net["distances"], config.steps)
    net |= cache.cached(_curved_optima, config.network(), thetas, config.products)
    above |= cache.cached(_from_wedges, toy, config.height, above["distances"], config.steps)
    above |= cache.cached(_curved_wedges, toy, config.height)
    return named("net", net) | named("toy", above)


def _from_optima(network, thetas, distances, steps):
    return _from_origin(network.seen, thetas, distances, steps)


def _from_wedges(toy, height, distances, steps):
    """The same on the toy, from the points above its wedges."""
    return _from_origin(toy.landscape, _above(toy, height), distances, steps)


def _above(toy, height):
    """The points [3, D] above the wedges that `wells.above_wedges` looks from."""
    starts = [toys.gaussian(toy.seed + i, 1, toy.dimension) for i in range(CORNERS)]
    return np.stack([toy.near(start, height)[1] for start in starts])


def _from_origin(landscape, points, a, steps):
    """What the origin has to do with the wells at points [3, D].

    Returns losses [3, A] at distances `a` from each point: "outwards" and "inwards", straight away from
    the origin and towards it, and "around", on the circle about the origin that leads to the next point;
    "outwards reach" [3], how far the first goes until it is twice the loss at the point, to the last of
    `a` where it never is; "norms" [3]. And of the plane through the origin and the first two points
    "origin cut" [X, X], the loss at "origin x" and "origin y" [X], and "origin points" [2, 2], where
    these points stand.
    """
    norms, rays, rings, reach = np.linalg.norm(points, axis=1), [], [], []
    for point, norm, other in zip(points, norms, np.roll(points, -1, axis=0), strict=True):
        out = point / norm
        side = other - (other @ out) * out
        turn = (a / norm)[:, None].astype(points.dtype)
        ring = norm * (np.cos(turn) * out + np.sin(turn) * side / np.linalg.norm(side))  # [A, D]
        at = functools.partial(wedges.radial_profile, landscape, point)
        rays.append(at(np.stack([out, -out]), a).losses.T)
        ray = lambda distance, at=at, out=out: at(out[None], [distance]).losses[0, 0]
        reach.append(_reach(ray, a, rays[-1][0], landscape(point)))
        rings.append(wedges.radial_profile(landscape, point, ring - point, [1.0]).losses[0])
    outwards, inwards = np.moveaxis(rays, 1, 0)
    # The first two points lie side by side above the origin.
    first, second = points[:2]
    plane = wedges.AffineSubspace(np.zeros_like(first), np.stack([second - first, first + second]))
    count = max(7, 2 * steps // 3)  # fewer than of other cuts: this one is smooth
    x, y = norms[:2].mean() * np.stack([np.linspace(-1.3, 1.3, count), np.linspace(-0.6, 2, count)])
    return {
        "outwards": outwards,
        "outwards reach": np.array(reach),
        "inwards": inwards,
        "around": np.array(rings),
        "norms": norms,
        "origin x": x,
        "origin y": y,
        "origin cut": wedges.probe.plane(landscape, plane, x, y),
        "origin points": plane.coordinates(points[:2]).numpy(),
    }


def _reach(loss, a, losses, start):
    """Where a loss has doubled, as `wells.doubling` has it; the last of `a` where it never does."""
    return a[-1] if np.all(losses < 2 * start) else wells.doubling(loss, a, losses, start)


def _curved_optima(network, thetas, products):
    return _curved(network.seen, thetas, products)


def _curved_wedges(toy, height):
    """The same on the toy, whose trace is exact: from as many products as dimensions."""
    return _curved(toy.landscape, _above(toy, height), toy.dimension)


def _curved(landscape, points, products):
    """The curvature of the loss at points [3, D] along the ray from the origin, and across it.

        along = v^T H v,    across = (tr H - along) / (D - 1),    v = theta / |theta|

    Returns [3] each: "curvature along"; "curvature across", the mean over directions normal to the ray;
    "curvature error", its standard error, from that of the trace.
    """
    rows = []
    for i, point in enumerate(points):
        hessian, ray = wedges.hessian(landscape, point), point / np.linalg.norm(point)
        along = np.dot(ray, (hessian @ ray).astype(np.float64))
        trace, others = wedges.trace(hessian, products, seed=i), len(point) - 1
        rows.append((along, (trace.mean - along) / others, trace.error / others))
    names = ("curvature along", "curvature across", "curvature error")
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


# ---- what the numbers say ---------------------------------------------------------------------------


def judged(arrays, config):
    """{claim: number}, over the three optima."""
    found = {}
    for name in ("net", "toy"):
        mine = under(name, arrays)
        found |= {f"{name}.{claim}": number for claim, number in wells.judged(mine).items()}
        found[f"{name}.ray.length"] = longer_outwards(mine).min()
        found[f"{name}.ray.curvature"] = np.abs(relative_curvature(mine)).max()
    return found


def claims(arrays, config):
    """Circular wells along random directions; other optima on the cut through them; long from the
    origin."""
    claim = Verdict("fig2", "Fort & Jastrzebski 2019, Fig. 2", judged(arrays, config))
    rise = "mean loss over directions, smallest step from one distance to the next, over the loss"
    over = "coefficient of variation of the loss over directions, where the loss has doubled,"
    ring = "the same around a ring on a random 2-D cut, where the loss has doubled,"
    long = "distance at which the loss has doubled straight away from the origin (all that is measured "
    long += "where it never has), over that along random directions, smallest of three optima"
    flat = "size of the curvature along the ray from the origin, over the mean curvature across it,"
    far = "lowest loss beyond half of the way to the next optimum, over that at the optimum"
    for name, place in (("net", "network"), ("toy", "toy")):
        own = claim.about(f"{name}.*", place, says=WELL)
        own("rises", f"{rise} at the optimum", *BOUNDS["rises"], threshold=THEIRS)
        own("variation", f"{over} largest of three optima", *BOUNDS["variation"])
        own("ring", f"{ring} largest of three optima", *BOUNDS["ring"])
        claim(f"{name}.hidden", f"{place}, random cut: {far}", *BOUNDS["hidden"], **OURS)
        claim(f"{name}.shown", f"{place}, cut through optima: {far}", *BOUNDS["shown"], **OURS)
        claim(f"{name}.ray.length", f"{place}: {long}", ">=", 2.0, **RADIAL)
        # A quadratic that is twice as long has a quarter of the curvature.
        claim(f"{name}.ray.curvature", f"{place}: {flat} largest of three optima", "<=", 0.25, **RADIAL)
    return claim.claims


def summary(arrays, config):
    """What claims are about, by optimum: what the reference guards."""
    found = {}
    for name in ("net", "toy"):
        mine = under(name, arrays)
        found |= {f"{name}: {k}": np.atleast_1d(v) for k, v in _numbers(mine).items()}
        found[f"{name}: loss at the optimum"] = mine["start"]
        found[f"{name}: ray, relative length"] = longer_outwards(mine)
        found[f"{name}: ray, relative curvature"] = relative_curvature(mine)
        found[f"{name}: ray, relative error of the curvature across"] = _relative_error(mine)
    return found


def longer_outwards(mine):
    """How many times as far from each optimum as along random directions the loss has doubled, straight
    away from the origin: [3]. All that is measured counts where it never has; NaN where a loss on the
    way is none."""
    return mine["outwards reach"] / mine["doubled"]


def relative_curvature(mine):
    """The curvature along the ray over the mean across it, [3]; NaN where that is not above 0."""
    along, across = mine["curvature along"], mine["curvature across"]
    return along / np.where(across > 0, across, np.nan)


def _relative_error(mine):
    """The standard error of the mean curvature across the ray, over that mean: [3], or NaN."""
    across = mine["curvature across"]
    return mine["curvature error"] / np.where(across > 0, across, np.nan)


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """The network: both cuts; the plane through the origin and two optima; the loss along directions."""
    where = f"{pictures.named(config.model)} on {pictures.named(config.dataset)}"
    title = f"{_finding(arrays, 'net')}\n{where}, {config.directions} random directions from each of "
    title += f"{CORNERS} optima A, B, C; losses on {config.examples:,} training examples"
    mine = under("net", arrays)
    # What random directions see half of the way to the next optimum, or more.
    half = mine["losses"].mean(axis=-1)[0, len(mine["distances"]) // 2]
    return _picture(mine, title, max(half, 6 * mine["start"][0]), "training loss (nats)")


def more_pictures(arrays, config):
    """{name: picture}: the same of the toy landscape."""
    dimension, n = toys.sizes(config.toy, "toy")
    title = f"Toy landscape: {_finding(arrays, 'toy')}\n{config.toy_k} wedges of n = {n} in random "
    title += f"orientation, D = {dimension}; from points at a distance of {config.height:g} from a wedge"
    mine = under("toy", arrays)
    return {"toy": _picture(mine, title, np.max(mine["optima cut"]), "distance to the nearest wedge")}


def _finding(arrays, name):
    """A sentence that is true of these numbers."""
    mine = under(name, arrays)
    n = _numbers(mine)
    if not n["random cut"] >= 2:
        return "random directions do not hide what is low beside an optimum"
    if not n["optima cut"] <= 1.5:
        return "random directions see one round well; the cut through the optima has others, less low"
    found = "random directions see one round well and hide the others"
    longer = np.min(longer_outwards(mine)) if "outwards reach" in mine else np.nan
    if longer >= 2:
        found += f"; away from the origin a well is {int(longer)} times as long, or more"
    return found


def _picture(mine, title, top, loss):
    """All of one landscape; results of before may lack the plane through the origin."""
    origin = "origin cut" in mine
    layout = ("ab", "cd") if origin else ("ab", "dd")
    how = {"size": (8.6, 7.0), "heights": (0.8, 1), "solid": "ab"}
    figure, axes = pictures.mosaic(layout, title=title[0].upper() + title[1:], **how)
    low = min(mine["random cut"].min(), mine["optima cut"].min(), 0.99 * top)
    for letter, words, cut, points in (
        ("a", "A random cut through A", "random cut", {"A": (0, 0)}),
        (
            "b",
            "The cut through A, B and C",
            "optima cut",
            dict(zip("ABC", mine["corners"], strict=True)),
        ),
    ):
        how = {"points": points, "title": f"({letter}) {words}", "low": low, "high": top, "label": loss}
        wedges.plots.surface(mine["side"], mine["side"], mine[cut], **how, ax=axes[letter])
        axes[letter].set_box_aspect((1, 1, 0.55), zoom=1.2)
    if origin:
        _draw_origin(axes["c"], mine, top, loss)
    _draw_profiles(axes["d"], mine, loss)
    return figure


def _draw_origin(ax, mine, top, loss):
    """With rays from the origin through both optima, and circles of constant norm."""
    at = lambda points: np.column_stack([points, np.zeros(len(points))])
    a, b = mine["origin points"]
    rays = {"rays through A and B": at(np.array([3 * a, 0 * a, 3 * b]))}
    points = {"0": np.zeros(3), "A": at(a[None])[0], "B": at(b[None])[0]}
    x, y = mine["origin x"], mine["origin y"]
    log = mine["origin cut"].min() > 0
    how = {"log": log, "high": top, "levels": 8, "label": loss, "ax": ax}
    wedges.plots.path_on_plane(pictures.Projected(), x, y, mine["origin cut"], rays, points, **how)
    turn = np.linspace(0, 2 * np.pi, 200)
    for share in (0.5, 1, 1.5):
        ring = share * mine["norms"][:2].mean() * np.stack([np.cos(turn), np.sin(turn)])
        ax.plot(*ring, color="black", linewidth=0.8, linestyle=":", zorder=3)
    title = "(c) The plane through the origin, A and B;\ndotted: equal norm"
    ax.set_title(title, pad=18, fontsize=9.5)


def _draw_profiles(ax, mine, loss):
    """From A: along random directions, and along those that the origin tells apart."""
    start, a = mine["start"][0], mine["distances"]
    x, from_a = [0, *a], lambda losses: np.insert(losses, 0, start, axis=0)
    ax.plot(x, from_a(mine["losses"][0]), color=wedges.plots.GREY, alpha=0.15, linewidth=0.6)
    how = {"color": wedges.plots.GREY, "label": "random directions", "marker": "s"}
    wedges.plots.curve(ax, x, from_a(mine["losses"][0]).T, **how)
    for name, words, look in (
        ("around", "towards B at equal norm", {"color": wedges.plots.GREEN, "marker": "D"}),
        ("inwards", "towards the origin", {"color": wedges.plots.BLUE, "marker": "^"}),
        ("outwards", _outwards(mine), {"color": wedges.plots.ORANGE, "marker": "o"}),
    ):
        if name in mine:
            ax.plot(x, from_a(mine[name][0]), label=words, markersize=4, linewidth=1.6, **look)
    words = "(d) The loss at a distance from A"
    if np.isfinite(doubled := mine["doubled"][0]):
        spread = 100 * _variation(mine["there"])[0]
        words += f": random ones differ by {spread:.0f}% where it has doubled, at {doubled:.2g}"
    wedges.plots.label_axes(ax, title=words, x="distance in weight space (L2)", y=loss, legend=8)


def _outwards(mine):
    """What the way straight away from the origin is called, and its curvature at A where it is known."""
    words = "away from the origin"
    if "curvature along" in mine and np.isfinite(ratio := relative_curvature(mine)[0]):
        words += f" (at A curved {np.round(ratio, 2) + 0.0:.2f} times as much as the mean across)"
    return words


if __name__ == "__main__":
    runs.main(__name__)
