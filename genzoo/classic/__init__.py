"""Classic models, fitted by expectation-maximisation as Keras `fit`."""

from genzoo.classic.bayesian_mixture import BayesianGaussianMixture
from genzoo.classic.gaussian_mixture import GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture"]
