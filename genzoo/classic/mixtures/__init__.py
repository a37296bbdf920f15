"""Mixtures of normals, by EM and by variational inference."""

from genzoo.classic.mixtures.bayesian_gaussian_mixture import BayesianGaussianMixture
from genzoo.classic.mixtures.gaussian_mixture import GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture"]
