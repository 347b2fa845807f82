"""Loss change allocation: which parameters make the loss fall, step by step of a training.

    L(theta_T) - L(theta_0) = sum_t sum_i A_ti + error
    A_ti = (theta_{t+1,i} - theta_{t,i}) * mean of dL/dtheta_i over the segment of step t

A parameter helps where A < 0 and hurts where A > 0. The sum is the integral of the gradient along the
path of straight segments, so that nothing is left over but the error of the quadrature, which is known.

    Allocation     follows a path, point by point, and holds O(D) numbers
    FullBatch      a landscape whose every step sees all examples: following its descent is free
    Table          which groups of parameters helped, and which hurt
    NotFinite      the loss is NaN or infinite somewhere on the path

Modules: `stream` is the allocation, `quadrature` the mean over a segment, `full_batch` training whose
gradients are those that are wanted, `tables` groups of parameters and what is printed of them.

Source: Lan, Liu, Zhou & Yosinski 2019, arXiv:1909.01440.
"""

from wedges.allocation.full_batch import FullBatch as FullBatch
from wedges.allocation.quadrature import RULES as RULES
from wedges.allocation.quadrature import NotFinite as NotFinite
from wedges.allocation.stream import Allocation as Allocation
from wedges.allocation.tables import Table as Table
