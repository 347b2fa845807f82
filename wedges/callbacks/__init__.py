"""Keras callbacks, for anyone who trains with plain `model.fit`.

    swa = wedges.SWA(start_epoch=10)
    model.fit(x, y, epochs=20, validation_data=(xv, yv), callbacks=[swa])   # validates the average
    model.evaluate(xv, yv, callbacks=[swa])                                 # evaluates the average

    snapshots = wedges.SnapshotEnsemble(every=5)
    model.fit(x, y, epochs=30, callbacks=[snapshots])
    snapshots.predict(xv)                                                   # mean of 6 predictions

    trajectory = wedges.Trajectory()                                        # theta at each epoch's end
    sharpness = wedges.Sharpness(x=x, y=y, seed=0)                          # curvature, in Keras' logs
    model.fit(x, y, epochs=30, callbacks=[trajectory, sharpness])
    plane, explained = wedges.principal(trajectory.thetas)

    allocation = wedges.LossAllocation(x=x[:5000], y=y[:5000])
    model.fit(x, y, epochs=2, callbacks=[allocation])
    print(allocation.table())                                               # which layers helped

They stand beside Keras' own callbacks, in any order. While the other callbacks' `on_epoch_end` runs,
what has been validated stands in the model: beside an `SWA` the average, so that `ModelCheckpoint`
and `EarlyStopping` keep what their number belongs to. Beside a `BackupAndRestore`, averages and
members are resumed with the training.

Modules: `averaging` and `ensembles` decide when, the mathematics is `wedges.average`; `trajectory`,
`sharpness` and `allocation` watch, `watching` makes the landscapes, `units` says what a neuron is and
`counting` how many batches there were; `places` is the order among callbacks, `standing` which weights
stand in the model, `resuming` what goes beside Keras' backup.
"""

from wedges.callbacks.allocation import LossAllocation as LossAllocation
from wedges.callbacks.averaging import SWA as SWA
from wedges.callbacks.ensembles import IndependentEnsemble as IndependentEnsemble
from wedges.callbacks.ensembles import SnapshotEnsemble as SnapshotEnsemble
from wedges.callbacks.sharpness import Sharpness as Sharpness
from wedges.callbacks.trajectory import Trajectory as Trajectory

__all__ = [
    "SWA",
    "IndependentEnsemble",
    "LossAllocation",
    "Sharpness",
    "SnapshotEnsemble",
    "Trajectory",
]
