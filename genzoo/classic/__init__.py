"""Classic models, fitted by expectation-maximisation as Keras `fit`."""

from genzoo.classic.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
