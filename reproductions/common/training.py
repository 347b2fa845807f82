"""Train, or load what was trained before; killed at any moment, continue.

The key of a checkpoint holds everything the result depends on. Determinism is on, minibatches and
dropout are functions of (seed, step), and a checkpoint holds the whole state of the descent, so a
run that was killed and continued ends bit for bit where an uninterrupted one does.
"""

import contextlib
import dataclasses
import os
import time

import joblib
import keras
import numpy as np
import tensorflow as tf

import wedges
from reproductions.bench import devices, store
from reproductions.bench.errors import UsageError, say
from reproductions.bench.progress import bar

# The code whose change may change what training ends with; read once, as it was imported.
_CODE = store.source_mark(
    "wedges/affine.py",
    "wedges/distribute.py",
    "wedges/landscape.py",
    "wedges/network.py",
    "wedges/optimize.py",
    "wedges/stateless.py",
    "wedges/weights.py",
    "reproductions/common/models.py",
    "reproductions/common/training.py",
)

OPTIMIZERS = ("sgd", "momentum", "adam")
_STEPS_A_CALL = 50  # the progress bar's grain
# Often in a test of kills; a save takes milliseconds for the networks here.
_SECONDS_BETWEEN_SAVES = float(os.environ.get("WEDGES_SECONDS_BETWEEN_SAVES", 5))


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
    """

    optimizer: str
    learning_rate: float
    epochs: int
    cycle_epochs: int | None = None

    def __post_init__(self):
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"--optimizer={self.optimizer}: unknown; choose one of {', '.join(OPTIMIZERS)}."
            )

    def build(self, steps_per_epoch):
        """The Keras optimizer."""
        rate = self.learning_rate
        if self.cycle_epochs:
            rate = keras.optimizers.schedules.CosineDecayRestarts(
                rate, self.cycle_epochs * steps_per_epoch, t_mul=1.0, m_mul=1.0
            )
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate)
        return keras.optimizers.SGD(rate, momentum=0.9 if self.optimizer == "momentum" else 0.0)


@dataclasses.dataclass(frozen=True)
class Trained:
    """theta [D] at the end, snapshots [cycles, D] (one, the end, without cycles), losses [steps]."""

    theta: np.ndarray
    snapshots: np.ndarray
    losses: np.ndarray


@dataclasses.dataclass(frozen=True)
class Until:
    """Stop training once `landscape(theta) <= loss`, looked at every `every` steps: trainings that
    differ in how fast they are then end equally far."""

    landscape: object
    loss: float
    every: int

    def __call__(self, theta, steps):
        return steps % self.every == 0 and float(self.landscape(theta)) <= self.loss


def train(landscape, start, recipe, *, key, run, label, subspace=None, until=None, marks=None):
    """Descend from `start` [D] by `recipe`, inside `subspace` if given, or load the result.

    Args:
      landscape: a `wedges.NetworkLandscape`; its batch size and seed are part of the training.
      key: what the landscape depends on (data, model, loss, ...); the rest is added here.
      run: the `runs.Run`: where checkpoints are kept.
      label: what the progress bar says.
      until: an `Until` that may end it before the recipe's last epoch.
      marks: rising steps after which a snapshot is taken, instead of the recipe's.
    """
    tf.config.experimental.enable_op_determinism()
    landscape = devices.distributed(landscape)
    steps_per_epoch = landscape.steps_per_epoch
    steps = recipe.epochs * steps_per_epoch
    if marks is None:
        marks = _marks(recipe, steps_per_epoch)
    else:
        key = {**key, "marks": marks}
    key = {
        **key,
        "code": _CODE,
        "recipe": dataclasses.asdict(recipe),
        "start": store.fingerprint(start),
        "batch_size": landscape.batch_size,
        "seed": landscape.seed,
        "regularize": landscape.regularize,
        "software": software(),
        **devices.marks(landscape),
    }
    if subspace is not None:
        key["subspace"] = {**subspace.config, "arrays": store.fingerprint(*subspace.arrays.values())}
    if until is not None:
        key["until"] = [until.loss, until.every, until.landscape.size]
    path = run.checkpoints / f"{store.digest(key)}.npz"
    saved = _load(path, key)
    if saved is not None and (len(saved["losses"]) == steps or "reached" in saved):
        return _trained(saved, subspace)

    optimizer = recipe.build(steps_per_epoch)
    # The loop of several devices is not compiled; their parts are, by a strategy that must.
    jit_compile = devices.compiled(run) and not devices.marks(landscape)
    with devices.looping(landscape), bar(total=steps, desc=label, unit="step") as progress:
        descent = wedges.Descent(landscape, start, optimizer, subspace=subspace, jit_compile=jit_compile)
        saved = _finish(descent, steps, path, key, progress, saved, marks, until)
    return _trained(saved, subspace)


@contextlib.contextmanager
def following(run, label, steps, *, key):
    """A `follow` for the library's functions that descend many times: one bar of `steps` steps in all,
    and every descent continues from where it was killed, or is loaded.

    key: what the descents depend on; what each starts from, and where it moves, is added here.
    """
    tf.config.experimental.enable_op_determinism()
    with bar(total=steps, desc=label, unit="step") as progress:

        def follow(descent, count, name):
            own = {**key, "code": _CODE, "software": software(), "name": name, "steps": count}
            own |= devices.marks(descent.landscape)
            own["start"] = store.fingerprint(*descent.state.values())
            if descent.subspace is not None:
                own["subspace"] = store.fingerprint(*descent.subspace.arrays.values())
            path = run.checkpoints / f"{store.digest(own)}.npz"
            saved = _load(path, own)
            if saved is None or len(saved["losses"]) < count:
                progress.set_description_str(f"{label}, {name}", refresh=False)
                saved = _finish(descent, count, path, own, progress, saved)
            else:
                progress.update(count)
            descent.state = _state(saved)

        yield follow


def _load(path, key):
    """What an earlier process has saved of this training, or None; the same on all workers."""
    saved = store.load(path, key)
    devices.agree(key, saved)
    return saved


def _finish(descent, steps, path, key, progress, saved, marks=(), until=None):
    """Take all the steps, from where an earlier process stopped: the state at the end, with "losses"
    [steps] and "snapshots" of theta at the marks; and "reached", if `until` ended it."""
    losses, snapshots = np.zeros(0, np.float32), np.zeros((0, descent.theta.shape[-1]), np.float32)
    if saved is not None:
        losses, snapshots = saved["losses"], saved["snapshots"]
        descent.state = _state(saved)
        progress.update(len(losses))
    last_save, reached = time.monotonic(), {}
    while len(losses) < steps and not reached:
        upto = next((m for m in marks if m > len(losses)), steps)
        if until is not None:
            upto = min(upto, until.every * (len(losses) // until.every + 1))
        count = min(_STEPS_A_CALL, upto - len(losses))
        with devices.heard():
            losses = np.concatenate([losses, descent.run(count).losses])
        if len(losses) in marks:
            snapshots = np.concatenate([snapshots, descent.theta[None]])
        if until is not None and devices.chiefs(until(descent.theta, len(losses))):
            reached = {"reached": np.array(True)}
        last = len(losses) == steps or reached
        if last or time.monotonic() - last_save > _SECONDS_BETWEEN_SAVES:
            saved = {**descent.state, "losses": losses, "snapshots": snapshots, **reached}
            store.save(path, saved, key)
            last_save = time.monotonic()
        progress.update(count)
        progress.set_postfix_str(f"loss {losses[-count:].mean():.3f}", refresh=False)
    if not np.isfinite(losses).all():
        name = progress.desc or "a descent"
        say(f"{name}: diverged, loss is not finite from step {np.argmin(np.isfinite(losses))} on.")
    return {**descent.state, "losses": losses, "snapshots": snapshots}


def _state(saved):
    return {name: a for name, a in saved.items() if name not in ("losses", "snapshots")}


def software():
    """What can change the bits of a result besides our own code."""
    found = sorted({d.device_type for d in tf.config.list_logical_devices()})
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    # A sum over a batch is taken in as many parts as there are threads.
    threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or joblib.cpu_count())
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if devices.several_machines():
        threads = None  # each its own: they must find one checkpoint
    return {**versions, "devices": found, "threads": threads, "onednn": onednn}


def _marks(recipe, steps_per_epoch):
    """The steps after which a snapshot is taken: the ends of cycles, and the end."""
    cycle = (recipe.cycle_epochs or recipe.epochs) * steps_per_epoch
    return list(range(cycle, recipe.epochs * steps_per_epoch + 1, cycle))


def _trained(saved, subspace):
    theta = saved["theta"] if subspace is None else subspace.embed(saved["theta"]).numpy()
    return Trained(theta, saved["snapshots"], saved["losses"])
