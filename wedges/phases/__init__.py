"""Local against global structure: how several trained networks of one setting lie to one another.

    card = wedges.phases.measure(train, [theta_1, theta_2, theta_3], held_out=test)
    print(card)                                       # about ten lines: all of what follows

    mode_connectivity, audit, deviation               does a low path join two networks
    similarity, jackknife                             do they compute like functions
    diagnose                                          what to change, from these measures alone
    phase, classify, cka_level, Thresholds            I, II, III, IV-A or IV-B, of one setting or a grid

Source: Yang et al. 2021, Taxonomizing local versus global structure in neural network loss landscapes
(arXiv:2107.11228).
"""

from wedges.diagnosis import Diagnosis as Diagnosis
from wedges.diagnosis import diagnose as diagnose
from wedges.phases.card import Card as Card
from wedges.phases.card import Curvature as Curvature
from wedges.phases.card import measure as measure
from wedges.phases.card import pairs_of as pairs_of
from wedges.phases.connectivity import FIVE as FIVE
from wedges.phases.connectivity import Audit as Audit
from wedges.phases.connectivity import CurveTraining as CurveTraining
from wedges.phases.connectivity import Deviation as Deviation
from wedges.phases.connectivity import ModeConnectivity as ModeConnectivity
from wedges.phases.connectivity import audit as audit
from wedges.phases.connectivity import deviation as deviation
from wedges.phases.connectivity import mode_connectivity as mode_connectivity
from wedges.phases.likeness import Similarity as Similarity
from wedges.phases.likeness import jackknife as jackknife
from wedges.phases.likeness import similarity as similarity
from wedges.phases.rule import MEANINGS as MEANINGS
from wedges.phases.rule import NAMES as NAMES
from wedges.phases.rule import Phase as Phase
from wedges.phases.rule import Thresholds as Thresholds
from wedges.phases.rule import cka_level as cka_level
from wedges.phases.rule import classify as classify
from wedges.phases.rule import phase as phase
