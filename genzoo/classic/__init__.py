"""Classic models, fitted by expectation-maximisation as Keras `fit`.

`mixtures` and `hmm` stand on `gaussians` and `em`.
"""

from genzoo.classic.hmm import HiddenMarkovModel
from genzoo.classic.mixtures import BayesianGaussianMixture, GaussianMixture

__all__ = ["BayesianGaussianMixture", "GaussianMixture", "HiddenMarkovModel"]
