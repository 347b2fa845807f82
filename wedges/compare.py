"""How alike are the functions that several thetas compute?"""

import numpy as np


def label_agreement(labels):
    """Share of examples on which two models predict the same class.

    A_ij = (1/N) sum_n [labels_in = labels_jn]. labels [K, N] -> [K, K], ones on the diagonal.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"labels must have shape [K, N], N >= 1; received {labels.shape}.")
    return (labels[:, None, :] == labels[None, :, :]).mean(axis=-1)
