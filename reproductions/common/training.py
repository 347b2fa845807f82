"""Train, or load what was trained before; killed at any moment, continue.

Determinism is on, minibatches and dropout are functions of (seed, step), and what is kept on the way is
the whole state of the descent, so a training that was killed and continued ends bit for bit where an
uninterrupted one does.
"""

import contextlib
import dataclasses
import typing
import warnings

import numpy as np

import wedges
from reproductions.bench import cache, devices, progress, store, workers
from reproductions.bench.errors import say
from reproductions.bench.options import one_of
from reproductions.common import networks

OPTIMIZERS = one_of("sgd", "momentum", "adam")
_STEPS_A_CALL = 50  # the progress bar's grain


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
      optimizer: sgd, momentum (SGD, 0.9, not Nesterov) or adam (Keras defaults).
      learning_rate: constant; or the maximum of each cycle.
      epochs: in all. An epoch is N // batch_size steps.
      cycle_epochs: None keeps the rate constant. Otherwise cosine cycles of this many epochs,
        alpha(t) = alpha_0 / 2 (cos(pi (t mod T) / T) + 1), T steps a cycle (Huang et al. 2017),
        and one snapshot of the weights at the end of each.
      weight_decay: c in c |theta|^2 / 2, whose gradient every step of SGD adds to the loss's; the losses
        that are reported are without it.
      drop: share of the epochs after which the rate falls to a tenth; None keeps it.
    """

    optimizer: str
    learning_rate: float
    epochs: int
    cycle_epochs: int | None = None
    weight_decay: float = 0.0
    drop: float | None = None

    def build(self, steps_per_epoch):
        """The Keras optimizer."""
        import keras

        rate = self.learning_rate
        if self.cycle_epochs:
            rate = keras.optimizers.schedules.CosineDecayRestarts(
                rate, self.cycle_epochs * steps_per_epoch, t_mul=1.0, m_mul=1.0
            )
        if self.drop:
            last = round(self.drop * self.epochs * steps_per_epoch) - 1
            rate = keras.optimizers.schedules.PiecewiseConstantDecay([last], [rate, rate / 10])
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate)
        how = {"momentum": {"sgd": 0.0, "momentum": 0.9}[self.optimizer]}
        if self.weight_decay:
            from reproductions.common import decay

            return decay.CoupledSGD(rate, penalty=self.weight_decay, **how)
        return keras.optimizers.SGD(rate, **how)


def cosine_adam(rate, steps):
    """Adam whose rate falls from `rate` to 0 by a cosine in `steps` steps."""
    import keras

    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


@dataclasses.dataclass(frozen=True)
class Cut:
    """A random cut through where training starts, for training inside it: see `wedges.random_cut`."""

    dimension: int
    seed: int
    method: str = "auto"


@dataclasses.dataclass(frozen=True)
class Until:
    """Stop training once the loss that `networks.seen` reports of the first `examples` is at most
    `loss`, looked at every `every` steps: trainings that differ in how fast they are then end equally
    far."""

    examples: int
    loss: float
    every: int


@dataclasses.dataclass(frozen=True)
class Settled:
    """Stop training once the mean loss of an epoch's minibatches has changed by less than `change` for
    `epochs` epochs in a row, `least` epochs and `steps` steps at least; the one snapshot is of the
    weights then, or, where that never came, of the epoch whose mean was lowest.

    Source: Yang et al. 2021 (arXiv:2107.11228), and their code.
    """

    change: float = 1e-4
    epochs: int = 5
    least: int = 30
    steps: int = 1500


class Trained(typing.NamedTuple):
    """What a training ended with."""

    theta: np.ndarray  # [D] at the end
    snapshots: np.ndarray  # [cycles, D]: one, the end, without cycles; the best, with `Settled`
    losses: np.ndarray  # [steps], of minibatches


def train(problem, recipe, *, label, start=None, cut=None, until=None, marks=None):
    """Descend by `recipe` on a `networks.Problem`, or load what an earlier run has trained: `Trained`.

    Args:
      label: what the progress bar says.
      start: where from [D]; the network's initial weights by default.
      cut: a `Cut` to stay inside.
      until: an `Until` or a `Settled` that may end it before the recipe's last epoch.
      marks: rising steps after which a snapshot is taken, instead of the ends of cycles.
    """
    with progress.labelled(label):
        return Trained(**cache.cached(_trained, problem, recipe, start, cut, until, marks))


def _trained(problem, recipe, start, cut, until, marks):
    landscape = devices.distributed(networks.landscape(problem))
    start = networks.start(problem) if start is None else start
    inside = cut and wedges.random_cut(start, cut.dimension, seed=cut.seed, method=cut.method)
    steps = recipe.epochs * landscape.steps_per_epoch
    if marks is None and not isinstance(until, Settled):
        marks = _ends_of_cycles(recipe, landscape.steps_per_epoch)
    watch = until and _watch(until, problem, landscape.steps_per_epoch)
    optimizer = recipe.build(landscape.steps_per_epoch)
    compiled = devices.compiled(landscape)
    with devices.looping(landscape), progress.bar(total=steps, unit="step") as bar:
        descent = wedges.Descent(landscape, start, optimizer, subspace=inside, jit_compile=compiled)
        found = _take(descent, steps, bar, marks or (), watch)
    theta = found["theta"] if inside is None else inside.embed(found["theta"]).numpy()
    return {"theta": theta, "snapshots": found["snapshots"], "losses": found["losses"]}


@contextlib.contextmanager
def following(steps):
    """A `follow` for the library's functions that descend many times: one bar of `steps` steps in all,
    and every descent goes on from where it was killed. For use in a function that `cached` runs."""
    with progress.bar(total=steps, unit="step") as bar:

        def follow(descent, count, name):
            bar.set_description_str(progress.label(name), refresh=False)
            saved = _take(descent, count, bar)
            descent.state = _state(saved)

        yield follow


def _watch(until, problem, steps_per_epoch):
    if isinstance(until, Settled):
        return _Settling(until, steps_per_epoch)
    return _Reaching(networks.seen(problem, until.examples), until.loss, until.every)


class _Reaching(typing.NamedTuple):
    """Whether a landscape's loss is low enough, to be looked at every `every` steps."""

    landscape: "wedges.Landscape"
    loss: float
    every: int

    def look(self, theta, losses, snapshots):
        """(whether to stop, snapshots) after the steps of these losses."""
        low = len(losses) % self.every == 0 and float(self.landscape(theta)) <= self.loss
        return low, snapshots


class _Settling(typing.NamedTuple):
    """Whether the losses of epochs have settled, looked at after each."""

    rule: Settled
    every: int

    def look(self, theta, losses, snapshots):
        if len(losses) % self.every:
            return False, snapshots
        means = losses.reshape(-1, self.every).mean(axis=1, dtype=np.float64)
        flat = np.abs(np.diff(means)) < self.rule.change
        long = len(means) >= self.rule.least and len(losses) >= self.rule.steps
        done = long and len(flat) >= self.rule.epochs and flat[-self.rule.epochs :].all()
        best = done or means[-1] <= means.min()  # not if it is NaN
        return bool(done), theta.numpy()[None] if best else snapshots


@contextlib.contextmanager
def _told_by_name():
    """Without the library's warning of what diverges, where it is told by the name of its bar."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the descent of")
        yield


@_told_by_name()
def _take(descent, steps, bar, marks=(), watch=None):
    """Take all the steps, from where an earlier process stopped: the state at the end, with "losses"
    [steps] and "snapshots" of theta at the marks, or of the `watch`, which may end it earlier."""
    kept = cache.part(store.fingerprint(*descent.state.values()), steps)
    saved = kept.load()
    losses, snapshots = np.zeros(0, np.float32), np.zeros((0, descent.theta.shape[-1]), np.float32)
    done = False
    if saved is not None:
        losses, snapshots = saved["losses"], saved["snapshots"]
        descent.state = _state(saved)
        bar.update(len(losses))
        done = len(losses) == steps or bool(saved["reached"])
    while not done:
        upto = next((m for m in marks if m > len(losses)), steps)
        if watch is not None:
            upto = min(upto, watch.every * (len(losses) // watch.every + 1))
        count = min(_STEPS_A_CALL, upto - len(losses))
        with workers.heard():
            losses = np.concatenate([losses, descent.run(count).losses])
        if len(losses) in marks:
            snapshots = np.concatenate([snapshots, descent.theta[None]])
        low = False
        if watch is not None:
            low, snapshots = watch.look(descent.theta, losses, snapshots)
            low = workers.chiefs(low)
        done = low or len(losses) == steps
        if done or kept.due:
            so_far = {"losses": losses, "snapshots": snapshots, "reached": np.array(low)}
            kept.save({**descent.state, **so_far})
        bar.update(count)
        bar.set_postfix_str(f"loss {losses[-count:].mean():.3f}", refresh=False)
    if not np.isfinite(losses).all():
        name = bar.desc.removesuffix(": ") or "a descent"
        say(f"{name}: diverged, loss is not finite from step {np.argmin(np.isfinite(losses))} on.")
    return {**descent.state, "losses": losses, "snapshots": snapshots}


def _state(saved):
    return {name: a for name, a in saved.items() if name not in ("losses", "snapshots", "reached")}


def _ends_of_cycles(recipe, steps_per_epoch):
    """The steps after which a snapshot is taken: the ends of cycles, and the end."""
    cycle = (recipe.cycle_epochs or recipe.epochs) * steps_per_epoch
    return list(range(cycle, recipe.epochs * steps_per_epoch + 1, cycle))
