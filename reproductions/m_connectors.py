"""m-connectors: low-loss surfaces that join not two but m + 1 independently trained optima.

Three answers to "is there low loss between m + 1 optima", m = 1 .. 10, each beside the flat hull:

  points     the paper's: positions of the hull, each minimised in the plane normal to the hull
  stitched   a continuous connector: the middles of all edges, each minimised by itself in the same way,
             and the simplices between them
  joint      the same, its points trained jointly on the mean loss of the surface, in as many steps

A continuous connector is judged at held-out positions, drawn uniformly from the whole simplex, and along
the segments that join its points. A triangle of three optima is drawn in full.

    python -m reproductions.m_connectors --preset=quick        digits, a minute
    python -m reproductions.m_connectors                       CIFAR-10, 11 optima, an hour with training
    python -m reproductions.m_connectors --m=1,2,3 --subsets=3 --steps=780
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import functools

import wedges
from reproductions.bench import options, parallel, progress, runs
from reproductions.bench.claims import THEIRS, Verdict
from reproductions.bench.options import Ints, at_least, between, option
from reproductions.common import optima, pictures, surfaces
from reproductions.common.arrays import named, stacked
from reproductions.common.surfaces import BOUNDS, LOW, SURFACES
from reproductions.common.surfaces import heights as _heights

OURS = {
    "source": "beyond the paper; wedges.joint_connector",
    "says": "Not in the paper: points that are trained together make a lower surface.",
    "threshold": THEIRS,
}


@options.settings
class Config(optima.Config):
    m: Ints = option(
        "m of chosen points", between(1, 50), paper=tuple(range(1, 11)), quick=(1, 2, 4), smoke=(1, 2)
    )
    subsets: int = option("sets of m + 1 optima, drawn from all", paper=2, smoke=1)
    points: int = option("points of each set: the centre, then random ones", paper=2)
    continuous: Ints = option(
        "m of whole surfaces", between(1, 20), paper=(1, 2, 3, 5, 10), quick=(1, 2, 4), smoke=(1, 2)
    )
    steps: int = option(
        "gradient steps for each point, by itself or on average", paper=780, quick=100, smoke=20
    )
    budget: int = option("most gradient steps for one whole surface", paper=15_000)
    held_out: int = option("held-out positions, and segments, of each", paper=20, smoke=3)
    triangle: int = option(
        "positions on an edge of the triangle's picture", at_least(3), paper=13, quick=9, smoke=3
    )


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Readings "<what> <reading>" [m's, ...] of points, corners, held-out positions and segments."""
    network, seed = config.network(), config.seed
    thetas = optima.trained(config, max(*config.m, *config.continuous, 2) + 1)  # [K, D]
    points = surfaces.Points(config.subsets, config.points, config.steps, config.rate, seed)
    whole = surfaces.Surfaces(config.steps, config.budget, config.rate, seed)
    chosen = functools.partial(surfaces.chosen, network, thetas, points)
    continuous = functools.partial(surfaces.continuous, network, thetas, whole, config.held_out)
    return {
        **stacked(parallel.over(chosen, config.m)),
        **stacked(parallel.over(continuous, config.continuous)),
        **optima.read(network, thetas, "optima"),
        **_triangle(network, thetas[:3], whole, config.triangle),
    }


def _triangle(network, ends, whole, edge):
    """Readings [positions] all over the triangle of three optima, and the positions."""
    w = wedges.simplex.grid(2, edge - 1)
    found = {"w": w}
    with progress.labelled("triangle"):
        for name, surface in whole.among(network, ends).items():
            found |= optima.read(network, surface(w), name)
    return named("triangle", found)


# ---- what the numbers say ---------------------------------------------------------------------------


def verified(heights, m):
    """The largest m up to which every continuous connector is low at all its positions; 0 if none is."""
    upto = 0
    for row, value in sorted(zip(heights.max(axis=1), m, strict=True), key=lambda p: p[1]):
        if not row <= LOW:
            break
        upto = value
    return upto


def judged(arrays, config):
    """{claim: the number it is about}."""
    h, top = _heights(arrays), config.continuous.index(max(config.continuous))
    return {
        **surfaces.judged(arrays, h),
        "segments": h["segments joint"].max(),
        "top": h["held joint"][top].mean(),
        "stitched": h["held stitched"].max(),
        "joint": h["held joint"].mean() - h["held stitched"].mean(),
    }


def claims(arrays, config):
    """Every claim about m-connectors."""
    claim = Verdict("m-connector", "Fort & Jastrzebski 2019, section 4", judged(arrays, config))
    top, above = max(config.continuous), "above the optima / the flat hull's rise"
    stitched = f"points found one by one: highest held-out point, all m, {above}"
    low = "Points of the hull of m + 1 optima, minimised in the plane normal to it, are low."
    claim("points", f"highest chosen point, all m, {above}", *BOUNDS["points"], says=low)
    worst = "test accuracy: optima less the worst chosen point"
    claim("accuracy", worst, *BOUNDS["accuracy"], says=low)
    surface = {"says": "A low-loss surface joins the optima; low between its points, we read."}
    held = f"joint: highest held-out point, all m, {above}"
    claim("heldout", held, *BOUNDS["heldout"], **surface)
    claim("segments", f"joint: highest middle of a segment, all m, {above}", "<=", LOW, **surface)
    claim("top", f"joint, m = {top}: mean held-out point {above}", "<=", LOW, **surface)
    claim("stitched", stitched, "<=", LOW, **surface)
    claim("joint", "held-out mean, joint less one by one, same cost", "<", 0, **OURS)
    return claim.claims


def summary(arrays, config):
    """Mean heights and accuracies of each m: what the reference guards."""
    found = {f"optima: {name}": arrays[f"optima {name}"] for name in ("train loss", "test accuracy")}
    h = _heights(arrays)
    for i, m in enumerate(config.m):
        found[f"m {m}, points: height"] = h["points"][i].ravel()
        for name in ("points: test accuracy", "points flat: train loss"):
            found[f"m {m}, {name}"] = arrays[name.replace(":", "")][i].ravel()
    for name in SURFACES[1:]:
        for i, m in enumerate(config.continuous):
            for where in ("held", "segments"):
                found[f"m {m}, {where} {name}: height"] = h[f"{where} {name}"][i]
            found[f"m {m}, held {name}: test accuracy"] = arrays[f"held {name} test accuracy"][i]
        found[f"verified up to m, {name}"] = [verified(h[f"held {name}"], config.continuous)]
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Above: loss and accuracy by m, heights at held-out positions; below: the triangle, three times."""
    plots, h, base = wedges.plots, _heights(arrays), arrays["optima train loss"].mean()
    title = (
        f"m-connectors of {len(arrays['optima train loss'])} optima: {config.model} on "
        f"{config.dataset}\n{config.points} chosen points of {config.subsets} sets for each m; "
        f"{config.held_out} held-out positions; {config.steps} gradient steps a point; points: each "
        "one, line: mean"
    )
    figure, ((loss, accuracy, height), triangles) = plots.grid(2, 3, title=title, panel=(4.6, 3.5))
    for name, x, color, label, marker in (
        ("points flat", config.m, plots.GREY, "flat hull, chosen points", "s"),
        ("points", config.m, plots.ORANGE, "minimised there (the paper)", "o"),
        ("held joint", config.continuous, plots.BLUE, "joint connector, held out", "^"),
        ("held stitched", config.continuous, plots.GREEN, "one by one, held out", "v"),
    ):
        style = {"color": color, "label": label, "marker": marker}
        for ax, reading, scale in ((loss, "train loss", 1), (accuracy, "test accuracy", 100)):
            plots.scatter(ax, x, scale * arrays[f"{name} {reading}"].reshape(len(x), -1), **style)
    pictures.level(loss, base, "optima, mean")
    pictures.level(accuracy, 100 * arrays["optima test accuracy"].mean())
    for name, color, label, marker, line in (
        ("held joint", plots.BLUE, "joint, held out", "^", "-"),
        ("segments joint", plots.BLUE, "joint, segments", ".", "--"),
        ("held stitched", plots.GREEN, "one by one, held out", "v", "-"),
        ("segments stitched", plots.GREEN, "one by one, segments", ".", "--"),
    ):
        style = {"color": color, "label": label, "marker": marker, "style": line}
        plots.scatter(height, config.continuous, h[name], **style)
    pictures.level(height, LOW, "what counts as low")
    height.axhline(1, color=plots.GREY, linewidth=0.8)
    for ax, title, y, legend in (
        (loss, "training loss", "training loss (nats)", 7),
        (accuracy, "test accuracy", "test accuracy (%)", None),
        (height, "continuous connectors", "rise above the optima / flat hull's", 7),
    ):
        ticks = sorted({*config.m, *config.continuous})
        plots.label_axes(ax, title=title, x="m (m + 1 optima)", y=y, ticks=ticks, legend=legend)
    scale = {"low": base, "high": arrays["triangle flat train loss"].max(), "label": "training loss"}
    words = ("flat hull", "2-connector, one by one", "2-connector, joint")
    for ax, name, title in zip(triangles, SURFACES, words, strict=True):
        values = arrays[f"triangle {name} train loss"]
        pictures.triangle(ax, arrays["triangle w"], values, **scale)
        title += f": mean {values.mean():.2f}, highest {values.max():.2f}"
        plots.label_axes(ax, title=title, grid=False)
    return figure


if __name__ == "__main__":
    runs.main(__name__)
