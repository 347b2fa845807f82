"""The loss of a Keras model on a data set, as a landscape.

landscape       `NetworkLandscape`: values, gradients, minibatches, an evaluation
weights         `WeightSpace`: its trainable weights as one vector theta
filters         which of them make a filter, in every layer of Keras
stateless       the model as a pure function of theta
batch_norm      its batch-norm statistics as a function of theta
examples        inputs, targets and weights, in memory, in files or in a pipeline
batches         their sizes, and minibatches in a random order
objective       what is minimised: Keras' own loss, in a form that adds up over batches
coupling        whether a loss is none of single examples
readout         what outputs and targets mean: classes, probabilities, accuracy
problem         all of these together: the loss of a model over examples
passes          its value, gradient and evaluation, over all the data
derivatives     Hessian and Gauss-Newton products; gradients of the outputs
second_order    operations whose second derivatives TensorFlow lacks, has wrong or slow
losses          whether a loss has second derivatives
symmetry        whether products are those of a symmetric matrix
graphs          passes and derivatives, compiled
supported       which models have a landscape at all
pickles         the landscape as a pickle, for other processes
files           arrays on disk, by reference
"""

from wedges.network.landscape import NetworkLandscape
from wedges.network.weights import WeightSpace

__all__ = ["NetworkLandscape", "WeightSpace"]
