"""Classic models, fitted by expectation-maximisation as Keras `fit`."""

from genzoo.classic.bayesian_mixture import BayesianGaussianMixture
from genzoo.classic.gaussian_mixture import GaussianMixture
from genzoo.classic.hidden_markov_model import HiddenMarkovModel

__all__ = ["BayesianGaussianMixture", "GaussianMixture", "HiddenMarkovModel"]
