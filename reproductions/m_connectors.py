"""m-connectors: low-loss surfaces that join not two but m + 1 independently trained optima.

Three answers to "is there low loss between m + 1 optima", m = 1 .. 10, each beside the flat hull:

  points     the paper's: positions of the hull (its centre and random ones), each minimised in the plane
             normal to the hull
  stitched   a continuous connector: the middles of all edges, each minimised by itself in the same way,
             and the simplices between them
  joint      the same continuous connector, its points trained jointly on the mean loss of the surface,
             with as many gradient steps

A continuous connector is judged at held-out positions, drawn uniformly from the whole simplex, and along
the segments that join its points. A triangle of three optima is drawn in full.

    python -m reproductions.m_connectors --preset=quick        digits, a minute
    python -m reproductions.m_connectors                       CIFAR-10, 11 optima, an hour with training
    python -m reproductions.m_connectors --m=1,2,3 --subsets=3 --steps=780
Source: Fort & Jastrzebski 2019, arXiv:1906.04724, section 4; surfaces, Benton et al. 2021.
"""

import dataclasses
import functools
import sys

import numpy as np

from reproductions.bench import devices, runs, store
from reproductions.bench.claims import Claim
from reproductions.common import optima

PAPER = "Fort & Jastrzebski 2019, section 4"
OURS = "beyond the paper; wedges.connect.joint"
positive = optima.positive
LOW = 0.25  # of what the flat hull rises: what counts as low, as for the tunnel
SURFACES = ("flat", "stitched", "joint")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(optima.Config):
    """Settings of the figure."""

    m: tuple[int, ...] = runs.option(
        "m of the chosen points, m + 1 optima each; e.g. 1,2,5,10",
        lambda v: 1 <= v <= 50,
        "from 1 to 50",
    )
    subsets: int = runs.option(
        "sets of m + 1 optima, drawn from all, for each m; e.g. 2", positive, "at least 1"
    )
    points: int = runs.option(
        "chosen points of each set: the centre, then random ones; e.g. 2", positive, "at least 1"
    )
    continuous: tuple[int, ...] = runs.option(
        "m of the continuous connectors, of the first m + 1 optima; e.g. 1,2,5,10",
        lambda v: 1 <= v <= 20,
        "from 1 to 20",
    )
    steps: int = runs.option(
        "gradient steps for each point, by itself or on average; e.g. 390", positive, "at least 1"
    )
    budget: int = runs.option(
        "most gradient steps for one continuous connector; e.g. 15000", positive, "at least 1"
    )
    held_out: int = runs.option(
        "held-out positions, and segments, of each continuous connector; e.g. 20", positive, "at least 1"
    )
    triangle: int = runs.option(
        "positions on an edge of the triangle's picture; e.g. 13", lambda v: v > 2, "at least 3"
    )


_PAPER = {
    **optima.BETWEEN,
    "dataset": "cifar10",
    "seed": 0,
    "m": tuple(range(1, 11)),
    "subsets": 2,
    "points": 2,
    "continuous": (1, 2, 3, 5, 10),
    "steps": 780,
    "budget": 15_000,
    "held_out": 20,
    "triangle": 13,
}
_QUICK = {
    **_PAPER,
    "dataset": "digits",
    "epochs": 40,
    "batch_size": 32,
    "m": (1, 2, 4),
    "continuous": (1, 2, 4),
    "steps": 100,
    "triangle": 9,
}
_SMOKE = {
    **_QUICK,
    "epochs": 5,
    "m": (1, 2),
    "continuous": (1, 2),
    "steps": 20,
    "subsets": 1,
    "held_out": 3,
    "examples": 300,
    "triangle": 3,
}
PRESETS = {"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER}


def measure(config, run):
    """Readings "<what> <reading>" [m's, ...] of points, corners, held-out positions and segments."""
    from reproductions.bench import parallel
    from reproductions.common import data

    dataset = data.load(config.dataset, run.data_dir)
    count = max(*config.m, *config.continuous, 2) + 1
    seeds = range(config.seed, config.seed + count)
    train = functools.partial(optima.trained, config, run, dataset)
    thetas = np.stack(parallel.over(run, train, seeds))  # [K, D]
    look = functools.partial(_part, config, run, dataset, thetas)
    chosen = parallel.over(run, look, [(_chosen, m) for m in config.m])
    whole = parallel.over(run, look, [(_continuous, m) for m in config.continuous])
    arrays = {}
    for rows in (chosen, whole):
        arrays |= {name: np.stack([r[name] for r in rows]) for name in rows[0]}
    for part in parallel.over(run, look, [(_optima, None), (_triangle, 2)]):
        arrays |= part
    return arrays


def _part(config, run, dataset, thetas, item):
    """function(config, run, network, thetas, m) of one item (function, m), in whatever process."""
    function, m = item
    return function(config, run, optima.network(config, dataset), thetas, m)


def _optima(config, run, network, thetas, m):
    del config, m
    return _read(run, network, thetas, "optima", "optima")


def _read(run, network, thetas, what, name):
    """{"<name> <reading>" [K]} of thetas [K, D], kept."""
    found = optima.read(run, network, thetas, what)
    return {f"{name} {reading}": v for reading, v in found.items() if reading != "labels"}


def _follow(config, run, network, thetas, label, steps, **key):
    """A `follow` for `steps` gradient steps among the optima `thetas`."""
    from reproductions.common import training

    key = {**network.key, "ends": store.fingerprint(thetas), "rate": config.rate, **key}
    return training.following(run, label, steps, key=key)


def _chosen(config, run, network, thetas, m):
    """The paper's points of one m: readings [subsets, points], on the flat hull and minimised."""
    from wedges import connect, simplex

    rng = np.random.default_rng([config.seed, m])
    rows = []
    for subset in range(config.subsets):
        mine = thetas[rng.choice(len(thetas), m + 1, replace=False)] if subset else thetas[: m + 1]
        random = simplex.dirichlet(m, config.points - 1, seed=[config.seed, m, subset])
        w = np.concatenate([simplex.centroid(m), random])
        basis, label = simplex.Scattered(w), f"m = {m}, set {subset + 1}"
        with _follow(config, run, network, mine, label, len(w) * config.steps) as follow:
            found = connect.connector(
                network.descend,
                mine,
                basis,
                optima.adam(config, config.steps),
                config.steps,
                jit_compile=devices.compiled(run),
                follow=follow,
            )
        inner = found.vertices[m + 1 :]
        rows.append(
            _read(run, network, inner, label, "points")
            | _read(run, network, found.flat(w), f"{label}, flat", "points flat")
            | {"points deviation": np.linalg.norm(found.deviations, axis=1)}
        )
    return {name: np.stack([r[name] for r in rows]) for name in rows[0]}


def _surfaces(config, run, network, thetas):
    """{name: Connector} over the edgewise subdivision with two pieces an edge."""
    from wedges import connect, simplex

    m = len(thetas) - 1
    basis = simplex.Grid(m, 2)
    points = len(basis.points) - m - 1
    steps = max(1, min(config.steps, config.budget // points))  # for each point
    follow = lambda name: _follow(
        config, run, network, thetas, f"m = {m}, {name}", points * steps, way=name
    )
    with follow("stitched") as each:
        adam = optima.adam(config, steps)
        how = {"follow": each, "jit_compile": devices.compiled(run)}
        stitched = connect.connector(network.descend, thetas, basis, adam, steps, **how)
    with follow("joint") as each:
        joint = connect.joint(
            network.descend,
            thetas,
            basis,
            optima.adam(config, points * steps),
            points * steps,
            seed=config.seed,
            positions=simplex.faces,
            jit_compile=devices.compiled(run),
            follow=each,
        )
    return {"flat": connect.Connector(thetas, basis), "stitched": stitched, "joint": joint}


def _continuous(config, run, network, thetas, m):
    """Continuous connectors of one m: readings [held_out] of three surfaces, at positions drawn from the
    whole simplex and at the middles of segments of the subdivision."""
    from wedges import simplex

    held = simplex.dirichlet(m, config.held_out, seed=[config.seed, m, 1000])
    basis = simplex.Grid(m, 2)
    pairs = basis.neighbours()
    picked = np.random.default_rng([config.seed, m]).choice(len(pairs), config.held_out)
    middles = basis.points[pairs[picked]].mean(axis=1)
    found = {}
    for name, surface in _surfaces(config, run, network, thetas[: m + 1]).items():
        label = f"m = {m}, {name}"
        found |= _read(run, network, surface(held), f"{label}, held out", f"held {name}")
        found |= _read(run, network, surface(middles), f"{label}, segments", f"segments {name}")
    return found


def _triangle(config, run, network, thetas, m):
    """Training loss all over the triangle of three optima, [positions], and the positions."""
    from wedges import simplex

    w = simplex.grid(m, config.triangle - 1)
    found = {"triangle w": w}
    for name, surface in _surfaces(config, run, network, thetas[: m + 1]).items():
        found |= _read(run, network, surface(w), f"triangle, {name}", f"triangle {name}")
    return found


def _heights(arrays):
    """{name: height}: how far the training loss is above the optima's mean, as a share of the flat
    hull's mean rise at the same positions. points [m's, subsets, points], others [m's, held_out]."""
    base = arrays["optima train loss"].mean()
    flat = lambda name, axis: (arrays[f"{name} train loss"] - base).mean(axis=axis, keepdims=True)
    found = {"points": (arrays["points train loss"] - base) / flat("points flat", (1, 2))}
    for where in ("held", "segments"):
        for name in SURFACES:
            rise = arrays[f"{where} {name} train loss"] - base
            found[f"{where} {name}"] = rise / flat(f"{where} flat", 1)
    return found


def verified(heights, m):
    """The largest m up to which every continuous connector is low at all its positions; 0 if none is."""
    upto = 0
    for row, value in sorted(zip(heights.max(axis=1), m, strict=True), key=lambda p: p[1]):
        if not row <= LOW:
            break
        upto = value
    return upto


def claims(arrays, config):
    """Every claim about m-connectors."""
    h = _heights(arrays)
    accuracy = arrays["optima test accuracy"].mean()
    joint, stitched = h["held joint"].mean(), h["held stitched"].mean()
    top, share = max(config.continuous), "above the optima / the flat hull's rise"
    worst = lambda name: h[name].max()
    drop = accuracy - arrays["points test accuracy"].min()
    at = config.continuous.index(top)
    rows = [
        ("points", f"highest chosen point, all m, {share}", PAPER, worst("points"), "<=", LOW),
        ("accuracy", "test accuracy: optima less the worst chosen point", PAPER, drop, "<=", 0.1),
        (
            "heldout",
            f"joint: highest held-out point, all m, {share}",
            PAPER,
            worst("held joint"),
            "<=",
            LOW,
        ),
        (
            "segments",
            f"joint: highest middle of a segment, all m, {share}",
            PAPER,
            worst("segments joint"),
            "<=",
            LOW,
        ),
        (
            "top",
            f"joint, m = {top}: mean held-out point {share}",
            PAPER,
            h["held joint"][at].mean(),
            "<=",
            LOW,
        ),
        (
            "stitched",
            f"points found one by one: highest held-out point, all m, {share}",
            PAPER,
            worst("held stitched"),
            "<=",
            LOW,
        ),
        ("joint", "held-out mean, joint less one by one, same cost", OURS, joint - stitched, "<", 0),
    ]
    return [Claim(f"m-connector.{id}", *rest) for id, *rest in rows]


def summary(arrays, config):
    """Mean heights and accuracies of each m: what the reference guards."""
    found = {"optima: train loss": arrays["optima train loss"]}
    found["optima: test accuracy"] = arrays["optima test accuracy"]
    h = _heights(arrays)
    for i, m in enumerate(config.m):
        found[f"m {m}, points: height"] = h["points"][i].ravel()
        found[f"m {m}, points: test accuracy"] = arrays["points test accuracy"][i].ravel()
        found[f"m {m}, points flat: train loss"] = arrays["points flat train loss"][i].ravel()
    for i, m in enumerate(config.continuous):
        for name in SURFACES[1:]:
            for where in ("held", "segments"):
                found[f"m {m}, {where} {name}: height"] = h[f"{where} {name}"][i]
            found[f"m {m}, held {name}: test accuracy"] = arrays[f"held {name} test accuracy"][i]
    for name in SURFACES[1:]:
        found[f"verified up to m, {name}"] = [verified(h[f"held {name}"], config.continuous)]
    return found


def plot(arrays, config):
    """Above: loss and accuracy by m, heights at held-out positions; below: the triangle, three times."""
    from wedges import plots

    h = _heights(arrays)
    count = len(arrays["optima train loss"])
    figure, axes = plots.grid(
        2,
        3,
        title=f"m-connectors of {count} optima: {config.model} on {config.dataset}\n"
        f"{config.points} chosen points of {config.subsets} sets for each m; {config.held_out} held-out "
        f"positions; {config.steps} gradient steps a point; points: each one, line: mean",
        panel=(4.6, 3.5),
    )
    loss, accuracy, height = axes[0]
    base = arrays["optima train loss"].mean()
    m, whole = np.array(config.m), np.array(config.continuous)
    kinds = (
        ("points flat", m, plots.GREY, "flat hull, chosen points", "s"),
        ("points", m, plots.ORANGE, "minimised there (the paper)", "o"),
        ("held joint", whole, plots.BLUE, "joint connector, held out", "^"),
        ("held stitched", whole, plots.GREEN, "one by one, held out", "v"),
    )
    for name, x, color, label, marker in kinds:
        style = {"color": color, "label": label, "marker": marker}
        for ax, reading, scale in ((loss, "train loss", 1), (accuracy, "test accuracy", 100)):
            plots.scatter(ax, x, scale * arrays[f"{name} {reading}"].reshape(len(x), -1), **style)
    loss.axhline(base, color="black", linewidth=0.8, linestyle=":", label="optima, mean")
    accuracy.axhline(
        100 * arrays["optima test accuracy"].mean(), color="black", linewidth=0.8, linestyle=":"
    )
    kinds = (
        ("held joint", plots.BLUE, "joint, held out", "^"),
        ("segments joint", plots.BLUE, "joint, segments", "."),
        ("held stitched", plots.GREEN, "one by one, held out", "v"),
        ("segments stitched", plots.GREEN, "one by one, segments", "."),
    )
    for name, color, label, marker in kinds:
        dashed = "--" if "segments" in name else "-"
        style = {"color": color, "label": label, "marker": marker, "style": dashed}
        plots.scatter(height, whole, h[name], **style)
    height.axhline(LOW, color="black", linewidth=0.8, linestyle=":", label="what counts as low")
    height.axhline(1, color=plots.GREY, linewidth=0.8)
    for ax, title, y in (
        (loss, "training loss", "training loss (nats)"),
        (accuracy, "test accuracy", "test accuracy (%)"),
        (height, "continuous connectors", "rise above the optima / flat hull's"),
    ):
        plots.label_axes(ax, title=title, x="m (m + 1 optima)", y=y)
    for ax in axes[0]:
        ax.set_xticks(sorted({*config.m, *config.continuous}))
    loss.legend(fontsize=7)
    height.legend(fontsize=7)
    high = arrays["triangle flat train loss"].max()
    for ax, name in zip(axes[1], SURFACES, strict=True):
        values = arrays[f"triangle {name} train loss"]
        plots.triangle(ax, arrays["triangle w"], values, low=base, high=high, label="training loss")
        words = {
            "flat": "flat hull",
            "stitched": "2-connector, one by one",
            "joint": "2-connector, joint",
        }
        plots.label_axes(
            ax, title=f"{words[name]}: mean {values.mean():.2f}, highest {values.max():.2f}"
        )
        ax.grid(False)
    plots.verdict(figure, claims(arrays, config))
    return figure


if __name__ == "__main__":
    runs.main(sys.modules[__name__])
