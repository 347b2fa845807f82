"""A rugged bowl in one dimension, with a load and a temperature: which of the five phases does it have?

L = c theta^2/2 + A (1 - cos K theta) + fine waves; the load A makes wells. Langevin chains at a
temperature T start independently and stop after equal steps. Measured of pairs, as of networks: the
loss, |L''| at the stop, mode connectivity (mc) on the segment, how far apart the two are. Beside it what
is exact: effective landscapes, averaged over noise of variance s^2 = T / c (that of chains in the bowl
alone), their convexity, the Gibbs density. Three models: this one; with a floor, below which the loss is
flat; with a floor over close wells and weak fine waves.

This is our reading: of the paper's own model in one dimension (its first version) only is known that it
has a load-like and a temperature-like parameter.

    python -m reproductions.taxonomy_rugged --preset=quick     a minute
    python -m reproductions.taxonomy_rugged                    four minutes on two cores
    python -m reproductions.taxonomy_rugged --bowl=0.5 --pairs=200
Source: Yang et al. 2021, arXiv:2107.11228; Martin & Mahoney 2017, arXiv:1710.09553.
"""

import dataclasses
import functools

import numpy as np

import wedges
from reproductions.bench import cache, options, parallel, progress, runs
from reproductions.bench.claims import Verdict
from reproductions.bench.options import Floats, at_least, between, but, option
from reproductions.common import pictures
from reproductions.common.arrays import named, stacked, under

HEAT = (0.001, 0.002, 0.004, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.35, 0.6)
LOADS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
SMALL, LARGE, WARM = 0.2, 0.8, 0.05  # loads and the temperature that claims are about


@options.settings
class Config(options.Config):
    seed: int = but(paper=10, quick=0)  # 0 was the pilot's
    bowl: float = option("c, the curvature of the whole", paper=0.3)
    fine_waves: Floats = option("numbers k of the fine waves", paper=(9.0, 13.0, 19.0, 23.0))
    loads: Floats = option(
        "loads A", between(0.0, 10.0), paper=LOADS, quick=(0.0, 0.1, 0.2, 0.4, 0.8), smoke=(0.1, 0.8)
    )
    temperatures: Floats = option(
        "temperatures T",
        paper=HEAT,
        quick=(0.001, 0.002, 0.01, 0.05, 0.2, 0.6),
        smoke=(0.001, 0.05, 0.6),
    )
    pairs: int = option("pairs of chains a cell", paper=60, quick=30, smoke=15)
    step: float = option("step of the dynamics, a learning rate", paper=0.005)
    steps: int = option("steps of a chain", paper=10_000, smoke=1000)
    seeds: int = option("independent fine waves, starts and noises", paper=4, quick=2)
    samples: int = option(
        "chains against the Gibbs density", at_least(100), paper=20_000, quick=4000, smoke=500
    )
    low: Floats = option(
        "the loss is low up to this: without a floor, with one", repeats=True, paper=(0.2, 0.05)
    )
    poor: float = option("poorly connected: mc below minus this", paper=0.1)
    near: float = option("IV-B: ends at most this far apart", paper=1.33)

    def __post_init__(self):
        for name in ("loads", "temperatures"):  # rising, each once: claims look at the ends
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


# ---- measuring --------------------------------------------------------------------------------------


def measure(config):
    """Per model "<model> loss", "curvature", "mc", "mc fine", "distance" [seeds, A, T], pairs' means;
    "exact effective", "exact load", "exact fine", "exact gibbs" [seeds], the largest deviation each."""
    settings = Chains(config.loads, config.temperatures, config.pairs, config.step, config.steps)
    common = config.bowl, config.fine_waves
    models = [Model(*common, *shape, seed=seed) for shape in MODELS.values() for seed in config.repeats]
    watched = progress.bar("grids", iterable=models, unit="grid")
    found = parallel.over(functools.partial(cache.cached, stops, settings), watched)
    arrays = {}
    for i, name in enumerate(MODELS):
        arrays |= named(name, stacked(found[i * config.seeds : (i + 1) * config.seeds]))
    exact = [
        cache.cached(deviations, config.loads, config.temperatures, config.samples, model)
        for model in models[: config.seeds]  # the plain ones
    ]
    return arrays | named("exact", stacked(exact))


# {model: (K, height of each fine wave, floor, starts from -this to this)}.
MODELS = {
    "plain": (1.6, 0.03, 0.0, 4.0),
    "floor": (1.6, 0.03, 0.6, 4.0),
    "close": (4.0, 0.01, 0.6, 2.5),
}
PHASES = ("I", "II", "III", "IV-A", "IV-B")
LABELS = {"plain": "rugged bowl", "floor": "with a floor", "close": "floor over close, smooth wells"}


@dataclasses.dataclass(frozen=True)
class Model:
    """A landscape but for its load; the seed is of its fine waves' phases."""

    bowl: float
    fine_waves: tuple[float, ...]
    wave: float
    fine: float
    floor: float
    start: float
    seed: int

    def landscape(self, loads, dtype="float64"):
        """Without the floor, a `Rugged` at the loads [...]."""
        phases = np.random.default_rng([self.seed, 0]).uniform(0, 2 * np.pi, len(self.fine_waves))
        fine = [self.fine] * len(self.fine_waves)
        how = (self.wave, fine, self.fine_waves, phases)
        return wedges.rugged.Rugged(self.bowl, loads, *how, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class Chains:
    """The cells of a grid, and the chains in each."""

    loads: tuple[float, ...]
    temperatures: tuple[float, ...]
    pairs: int
    step: float
    steps: int


def stops(settings, model):
    """Where chains stop: loss, |L''|, mc on five points and on a finer set, distance; each [A, T]."""
    landscape = model.landscape(np.array(settings.loads)[:, None], "float32")
    if model.floor:
        landscape = wedges.rugged.Floored(landscape, model.floor)
    rng = np.random.default_rng([model.seed, 1])
    start = rng.uniform(-model.start, model.start, (2 * settings.pairs, 1))
    how = {"step": settings.step, "steps": settings.steps, "seed": model.seed, "adjusted": False}
    chains = wedges.rugged.langevin(landscape, start, settings.temperatures, **how)
    theta = chains.theta  # [2 pairs, A, T, 1]
    loss, _, curvature = (v.numpy() for v in landscape.jet(theta, np.ones_like(theta)))
    a, b = theta[::2], theta[1::2]
    means = {
        "loss": loss,
        "curvature": np.abs(curvature),
        "mc": connectivity(landscape, a, b, 5),
        "mc fine": connectivity(landscape, a, b, 65),
        "distance": np.abs(a - b)[..., 0],
    }
    return {name: values.mean(axis=0, dtype=np.float64) for name, values in means.items()}


def connectivity(landscape, a, b, points):
    """mc of pairs of ends a, b [..., D] in units of loss, at so many even points of their segment: half
    the sum of the ends' losses minus the loss where it deviates most. [...]

    The ends deviate as much as one another, to either side: where none does more, it is a's that counts.
    """
    t = np.linspace(0, 1, points).reshape(-1, *[1] * a.ndim)
    losses = landscape(((1 - t) * a + t * b).astype(a.dtype)).numpy()  # [points, ...]
    deviations = ((losses[0] + losses[-1]) / 2 - losses)[:-1]
    most = np.abs(deviations).argmax(axis=0)
    return np.take_along_axis(deviations, most[None], axis=0)[0]


# ---- what is known exactly --------------------------------------------------------------------------


def deviations(loads, temperatures, samples, model):
    """Largest deviations from what is known, [] each: of the effective loss; of the load and of the
    noise at which curvature becomes positive everywhere; of chains from the Gibbs density."""
    return {
        "effective": _effective(loads, temperatures, model),
        "load": _critical_load(temperatures, model),
        "fine": _critical_noise(model),
        "gibbs": _equilibrium(loads, temperatures[-1], samples, model),
    }


def _effective(loads, temperatures, model):
    """The effective loss against the mean over noise by the trapezoidal rule."""
    landscape, theta = model.landscape(np.array(loads)), np.linspace(-4, 4, 41)[:, None, None]
    xi = np.linspace(-9, 9, 1801)
    weight = np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi) * (xi[1] - xi[0])
    worst = 0.0
    for s in np.sqrt(np.array(temperatures) / model.bowl):
        formula = landscape.effective(s)(theta)  # [41, A]
        mean = np.tensordot(weight, landscape(theta + s * xi[:, None, None, None]), 1)
        worst = max(worst, np.abs(formula - mean).max())
    return np.array(worst)


def _critical_load(temperatures, model):
    """A* by its formula against the load at which bowl and large waves have no L'' below 0 on a grid."""
    bare, worst = dataclasses.replace(model, fine=0.0), 0.0
    grid = np.linspace(0, 2 * np.pi / model.wave, 2001)[:, None]
    for s2 in np.array(temperatures) / model.bowl:
        effective = lambda load, s2=s2: bare.landscape(load).effective(np.sqrt(s2))
        lowest = lambda load, of=effective: of(load).second(grid).numpy().min()
        formula = model.bowl / model.wave**2 * np.exp(model.wave**2 * s2 / 2)
        worst = max(worst, abs(_crossing(lowest, 0, 4 * formula) / formula - 1))
    return np.array(worst)


def _critical_noise(model):
    """The same of the noise's variance that smooths a fine wave away, each by itself."""
    worst = 0.0
    for k in model.fine_waves:
        if model.fine * k**2 <= model.bowl:
            continue  # convex without noise
        single = wedges.rugged.Rugged(model.bowl, 0.0, model.wave, [model.fine], [k])
        grid = np.linspace(0, 2 * np.pi / k, 2001)[:, None]
        lowest = lambda s2, of=single, at=grid: -of.effective(np.sqrt(s2)).second(at).numpy().min()
        formula = 2 / k**2 * np.log(model.fine * k**2 / model.bowl)
        worst = max(worst, abs(_crossing(lowest, 0, 4 * formula) / formula - 1))
    return np.array(worst)


def _crossing(falling, low, high):
    """Where a falling function crosses 0, by halving."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return low


def _equilibrium(loads, temperature, samples, model):
    """Total variation between chains and the Gibbs density at the highest temperature, over its bound.

    Of n independent samples in bins of probabilities p, its mean is at most the sum of
    sqrt(p (1 - p) / n) / 2, and it exceeds its mean by sqrt(ln(1 / q) / 2 n) with a probability below q
    (McDiarmid's inequality); q is one in a million here.
    """
    landscape = model.landscape(np.array([loads[0], loads[-1]]))
    rng = np.random.default_rng([model.seed, 2])
    start = rng.uniform(-model.start, model.start, (samples, 1))
    how = {"step": 0.03, "steps": 2000, "seed": model.seed}
    theta = wedges.rugged.langevin(landscape, start, temperature, **how).theta[..., 0]
    far = 5 * np.sqrt(temperature / model.bowl)
    grid = np.linspace(-far, far, 6001)
    mass = wedges.rugged.gibbs(landscape, temperature, grid)[:-1] * (grid[1] - grid[0])  # [6000, 2]
    p = mass.reshape(30, 200, 2).sum(axis=1)
    # What lies beyond the grid would be in no bin: all of it counts as deviation.
    found = np.stack([np.histogram(t, grid[::200])[0] for t in theta.T], axis=1) / samples
    variation = np.abs(found - p).sum(axis=0) / 2 + (1 - found.sum(axis=0)) / 2
    bound = np.sqrt(p * (1 - p) / samples).sum(axis=0) / 2 + np.sqrt(np.log(1e6) / (2 * samples))
    return (variation / bound).max()


# ---- what the numbers say ---------------------------------------------------------------------------


def phases(arrays, config, model):
    """The number in `PHASES` of each cell [A, T], from means over seeds."""
    own = {name: values.mean(axis=0) for name, values in under(model, arrays).items()}
    low = own["loss"] <= (config.low[bool(MODELS[model][2])])
    poor, near = own["mc"] < -config.poor, own["distance"] <= config.near
    return np.where(low, np.where(poor, 2, np.where(near, 4, 3)), np.where(poor, 0, 1))


def cells(config):
    """Which loads are small and which large [A], and the place of the warm temperature."""
    loads, heat = np.array(config.loads), np.array(config.temperatures)
    small, large = loads <= max(SMALL, loads[0]), loads >= min(LARGE, loads[-1])
    return small, large, int(np.abs(np.log(heat / WARM)).argmin())


def places(config):
    """The places of the loads nearest to 0.1 and to the large one."""
    return [int(np.abs(np.array(config.loads) - load).argmin()) for load in (0.1, LARGE)]


def judged(arrays, config):
    """{claim: number}, of means over seeds; where a claim is about several loads, of the worst."""
    small, large, warm = cells(config)
    at = {m: {n: v.mean(axis=0) for n, v in under(m, arrays).items()} for m in MODELS}
    plain, ends = at["plain"], [0, -1]
    ratio = lambda name: (
        np.abs(plain[name][small, warm]) / np.abs(plain[name][small][:, ends]).min(axis=1)
    )
    phase = {m: phases(arrays, config, m) for m in MODELS}
    cold, cool = (np.array(config.temperatures) <= t for t in (0.002, WARM))
    apart = at["close"]["distance"][small]
    return {
        **{n: under("exact", arrays)[n].max() for n in ("effective", "load", "fine", "gibbs")},
        "near": ratio("distance").max(),
        "connected": ratio("mc").max(),
        "barrier": plain["mc"][large, warm].max(),
        "hot": plain["mc"][large, -1].min(),
        "cold": (plain["loss"][small, 0] / plain["loss"][small, warm]).min(),
        "curvature": (plain["curvature"][small, 0] / plain["curvature"][small, warm]).max(),
        "iii": (phase["plain"] == 2).mean(),
        "floor.alone": at["floor"]["loss"][small, 0].min(),
        "floor.iv_a": (phase["close"][np.ix_(small, cold)] == 3).mean(),
        "floor.apart": (apart[:, 0] / apart[:, 1:].min(axis=1)).min(),
        "floor.iii": (phase["close"][np.ix_(large, cool)] == 2).mean(),
    }


def claims(arrays, config):
    """Every claim of taxonomy.rugged."""
    claim = Verdict("taxonomy.rugged", "our reading; closed form", judged(arrays, config))
    check = "quick check of the model, before this program"
    claim("effective", "effective loss, off its formula", "<=", 1e-10)
    claim("load", "|load at which L'' >= 0 over A*(T) - 1|, no fine waves", "<=", 1e-3)
    claim("fine", "|variance of noise at which a fine wave is gone over its formula - 1|", "<=", 1e-3)
    claim("gibbs", "chains off the Gibbs density, over the bound (total variation)", "<=", 1.0)
    cold, T, hot = (f"T {config.temperatures[i]:g}" for i in (0, cells(config)[2], -1))
    ends, small, large = f"smaller of {cold} and {hot}", f"A <= {SMALL:g}", f"A >= {LARGE:g}"
    claim("near", f"{small}: distance at {T} over the {ends}", "<=", 0.5, source=check)
    claim("connected", f"{small}: |mc| at {T} over the {ends}", "<=", 0.5, source=check)
    claim("barrier", f"{large}: highest mc at {T}", "<=", -config.poor, source=check)
    claim("hot", f"{large}: lowest mc at {hot}", ">", 0.0, source=check)
    other = "where the model differs from Yang et al. 2021"
    claim(
        "cold", f"{small}: loss at {cold} over that at {T}; not low as in IV-A", ">=", 3.0, source=other
    )
    claim("curvature", f"{small}: |L''| at {cold} over that at {T}; no jump", "<=", 3.0, source=other)
    claim("iii", "share of cells in phase III: a side well is never low", "<=", 0.0, source=other)
    pilot = "a pilot from another seed"
    words = f"with a floor alone: lowest loss at {small}, {cold}; not low"
    claim("floor.alone", words, ">", config.low[1], source=pilot)
    close = claim.about("floor.*", "floor over close, smooth wells")
    close("iv_a", f"share of IV-A at {small}, T <= 0.002", ">=", 0.9, source=pilot)
    close(
        "apart", f"{small}: distance at {cold} over the smallest at another T", ">=", 1.1, source=pilot
    )
    close("iii", f"share of III at {large}, T <= {WARM:g}", ">=", 0.9, source=pilot)
    return claim.claims


def summary(arrays, config):
    """Each measure at few cells [seeds], cells a phase, and what is exact: what the reference guards."""
    (small, large), warm = places(config), cells(config)[2]
    found = {f"exact {name}": values for name, values in under("exact", arrays).items()}
    for m in MODELS:
        for name, values in under(m, arrays).items():
            for i in (small, large):
                for j in (0, warm, len(config.temperatures) - 1):
                    cell = f"A {config.loads[i]:g}, T {config.temperatures[j]:g}"
                    found[f"{m}: {name}, {cell}"] = values[:, i, j]
        counts = np.bincount(phases(arrays, config, m).ravel(), minlength=len(PHASES))
        found |= {f"{m}: cells of {p}": [n] for p, n in zip(PHASES, counts, strict=True)}
    return found


# ---- the picture ------------------------------------------------------------------------------------


def plot(arrays, config):
    """Effective landscapes, two phase diagrams; below, against T: loss and |L''|, mc, distance."""
    title = (
        "A rugged bowl (our reading, not the paper's own model): noise wipes out the fine waves first,"
    )
    title += f" then the wells\n{_finding(arrays, config)}. In (c) and (d) the effective landscape has "
    title += "no wells left of the line and no fine waves above the dashes; IV-B: chains end at most "
    title += f"{config.near:g} apart; a barrier (I, III): mc < -{config.poor:g}"
    figure, axes = pictures.panels(6, title=title, panel=(4.3, 3.0))
    first, mc, plain, close, loss, distance = axes
    _draw_effective(first, config)
    for ax, letter, model in ((plain, "(c)", "plain"), (close, "(d)", "close")):
        _draw_phases(ax, arrays, config, model, letter)
    _draw_curves((loss, mc, distance), arrays, config)
    return figure


def _finding(arrays, config):
    """Which phases were found, in words."""
    own, more = (
        [PHASES[n] for n in np.unique(phases(arrays, config, model))] for model in ("plain", "close")
    )
    words = f"Alone it has the phases {', '.join(own)}"
    if added := [phase for phase in more if phase not in own]:
        words += f"; a floor over close, smooth wells adds {' and '.join(added)}"
    return words


def _draw_effective(ax, config):
    """The landscape at a load, and as noise of three temperatures leaves it."""
    plots, load, theta = wedges.plots, 0.6, np.linspace(-5, 5, 2001)
    landscape = Model(config.bowl, config.fine_waves, *MODELS["plain"], seed=config.seed).landscape(load)
    colors = (plots.GREY, plots.BLUE, plots.GREEN, plots.ORANGE)
    for i, (heat, color) in enumerate(zip((0.0, 0.005, WARM, 0.6), colors, strict=True)):
        effective = landscape.effective(np.sqrt(heat / config.bowl))
        losses = effective(theta[:, None]).numpy() + 1.5 * i
        known = effective.convexity()
        left = "wells" if known.large - known.lower <= config.bowl else "wells, fine waves"
        left = "convex" if effective.second(theta[:, None]).numpy().min() > 0 else left
        ax.plot(theta, losses, color=color, linewidth=1.2)
        name = f"T = {heat:g}" if heat else "no noise"
        ax.lines[-1].set_label(f"{name}: {left}")
    title = f"(a) Load {load:g}: the effective landscape, each raised by 1.5"
    y = "mean loss over noise of variance T / c"
    plots.label_axes(ax, title=title, x=r"$\theta$", y=y)
    plots.name_lines(ax)


def _draw_phases(ax, arrays, config, model, letter):
    """The phase of each cell, and where wells and fine waves leave the effective landscape."""
    heat, (wave, fine, floor, _) = np.array(config.temperatures), MODELS[model]
    found = phases(arrays, config, model)
    pictures.phases(ax, found.T, PHASES, rows=config.temperatures, columns=config.loads)
    bare = wedges.rugged.Rugged(config.bowl, 0.0, wave, [], [], noise=np.sqrt(heat / config.bowl))
    critical = bare.critical_load()  # A*(T)
    inside = critical <= config.loads[-1]
    columns = np.interp(critical[inside], config.loads, range(len(config.loads)))
    ax.plot(columns, np.arange(len(heat))[inside], "k-", linewidth=2)
    height = [fine] * len(config.fine_waves)
    smooth = config.bowl * wedges.rugged.critical_variance(config.bowl, height, config.fine_waves)
    row = np.interp(np.log(smooth), np.log(heat), range(len(heat)))
    ax.axhline(row, color="black", linestyle="--", linewidth=2)
    title = f"{letter} {pictures.sentence(LABELS[model])}: low loss is <= {config.low[bool(floor)]:g}"
    how = {"x": "load A", "y": "temperature T", "grid": False}
    wedges.plots.label_axes(ax, title=title, **how)


def _draw_curves(axes, arrays, config):
    """Against T, models and loads by colour: loss and |L''|, mc, distance; mean and deviation."""
    plots, small, large = wedges.plots, *places(config)
    lines = (
        ("plain", small, plots.BLUE, "o"),
        ("plain", large, plots.ORANGE, "s"),
        ("close", small, plots.GREEN, "D"),
        ("close", large, plots.GREY, "^"),
    )
    for ax, names in zip(axes, (("loss", "curvature"), ("mc",), ("distance",)), strict=True):
        for model, i, color, marker in lines:
            for name, style in zip(names, ("-", "--"), strict=False):
                values = arrays[f"{model} {name}"][:, i]
                if len(names) > 1:  # logarithmic: means alone, what is less at the lower end
                    values = np.maximum(values.mean(axis=0, keepdims=True), 1e-3)
                label = f"{LABELS[model]}, A {config.loads[i]:g}" if style == "-" else None
                how = {"color": color, "label": label, "marker": marker, "style": style}
                plots.curve(ax, config.temperatures, values, **how)
    first, second, third = axes
    title = "(e) Loss (solid) and |L''| (dashed), from 0.001"
    plots.label_axes(first, title=title, x="temperature T", y="loss, |L''|", log="xy")
    pictures.level(second, 0)
    title = "(b) Connectivity, below 0 where a barrier is"
    plots.label_axes(second, title=title, x="temperature T", y="mc, in units of loss", log="x", legend=8)
    title = f"(f) {_nearest(arrays, config)}"
    y = r"distance $|\theta - \theta'|$"
    plots.label_axes(third, title=title, x="temperature T", y=y, log="x")


def _nearest(arrays, config):
    """At which temperature chains of the rugged bowl end nearest to one another, at both loads."""
    means = arrays["plain distance"].mean(axis=0)  # [loads, T]
    heats = [config.temperatures[int(means[i].argmin())] for i in places(config)]
    at = pictures.listed([f"{heat:g}" for heat in dict.fromkeys(heats)])
    return f"In the rugged bowl chains end nearest to one another at T = {at}"


if __name__ == "__main__":
    runs.main(__name__)
