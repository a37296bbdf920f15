"""Classic models, fitted by expectation-maximisation as Keras `fit`.

Rooms stand on those before them: `gaussians`, `em`, then `mixtures` and `hmm`.
"""

from genzoo.classic.hmm import HiddenMarkovModel
from genzoo.classic.mixtures import BayesianGaussianMixture, GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture", "HiddenMarkovModel"]
