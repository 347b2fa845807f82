"""The loss of a Keras model on a data set, as a landscape.

landscape       `NetworkLandscape`: values, gradients, minibatches, an evaluation
derivatives     Hessian and Gauss-Newton products; gradients of the outputs
losses          the loss of each example, and whether it is curved
readout         what outputs and targets mean: classes, probabilities, accuracy
stateless       a model as a pure function of theta
batch_norm      its batch-norm statistics as a function of theta
weights         `WeightSpace`: its trainable weights as one vector theta
filters         which of them make a filter, in every layer of Keras
batches         arrays some examples at a time
pickles         the landscape as a pickle; files: arrays on disk, by reference
second_order    operations whose second derivatives TensorFlow has wrong or slow
"""

from wedges.network.landscape import NetworkLandscape
from wedges.network.weights import WeightSpace

__all__ = ["NetworkLandscape", "WeightSpace"]
