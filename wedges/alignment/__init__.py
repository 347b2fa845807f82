"""Units of one network put in the order of another's: what is left between them then is no mere naming.

    align       weight matching: the permutation of b's units that brings b nearest to a
    Alignment   what it found: theta, the permutations, distance and barrier before and after, a proof

The units of a hidden layer may change places without a change of what the network computes, as long as
all weights that make them and all that read them change places as well. A network of one hidden layer of
h units has h! places of one function, so two optima may lie far apart and yet be nearly the same.

>>> hidden = keras.layers.Dense(2, "tanh", use_bias=False)
>>> model = keras.Sequential([keras.Input((1,)), hidden, keras.layers.Dense(1, use_bias=False)])
>>> x = np.linspace(-1, 1, 5, dtype="float32")[:, None]
>>> landscape = wedges.NetworkLandscape(model, x, x, "mean_squared_error", seed=0)
>>> found = wedges.align(landscape, [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0], seed=0)
>>> found.theta.tolist(), found.squared_distance
([1.0, 2.0, 3.0, 4.0], Change(before=4, after=0))

In here: `units` knows what follows from two positions being one unit, `layers` what each kind of layer
does to units, `graph` walks a model's layers, `matching` searches for the permutations, and `between`
is what a user calls.

Source: Ainsworth, Hayase & Srinivasa 2022 (arXiv:2209.04836); Entezari et al. 2021 (arXiv:2110.06296).
"""

from wedges.alignment.between import Alignment as Alignment
from wedges.alignment.between import Change as Change
from wedges.alignment.between import align as align

__all__ = ["Alignment", "Change", "align"]
