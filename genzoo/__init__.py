"""genzoo: generative models for Keras 3 behind one fit / sample / log_prob interface."""

import importlib
import sys

if sys.orig_argv[1:3] == ["-m", "genzoo"]:
    # a command, which begins without TensorFlow's messages: Python imports the package first
    from zoo_scripts.common import import_tensorflow

    import_tensorflow()

from genzoo._version import __version__
from genzoo.classic import BayesianGaussianMixture, GaussianMixture, HiddenMarkovModel
from genzoo.core import errors
from genzoo.core.errors import GenzooError, NoDensityError, NotFittedError
from genzoo.core.law import Law
from genzoo.core.likelihood import Likelihood
from genzoo.core.model import GenerativeModel
from genzoo.core.registry import build, models, register
from genzoo.core.traits import Traits
from genzoo.flows import (
    IAF,
    MAF,
    NICE,
    Flow,
    Glow,
    NeuralSplineFlow,
    PlanarFlow,
    RadialFlow,
    RealNVP,
)
from genzoo.gans import (
    ACGAN,
    DCGAN,
    DRAGAN,
    GAN,
    WGANGP,
    ConditionalGAN,
    CycleGAN,
    Pix2Pix,
)
from genzoo.pretrained import load_pretrained, pretrained_models
from genzoo.vaes import IWAE, VAE, VAECNN, FlowVAE, TwoStageVAE

_ROOMS = ("applications", "data", "metrics", "plotting", "reports", "steps", "training")

__all__ = [
    "ACGAN",
    "DCGAN",
    "DRAGAN",
    "GAN",
    "IAF",
    "IWAE",
    "MAF",
    "NICE",
    "VAE",
    "VAECNN",
    "WGANGP",
    "BayesianGaussianMixture",
    "ConditionalGAN",
    "CycleGAN",
    "Flow",
    "FlowVAE",
    "GaussianMixture",
    "GenerativeModel",
    "GenzooError",
    "Glow",
    "HiddenMarkovModel",
    "Law",
    "Likelihood",
    "NeuralSplineFlow",
    "NoDensityError",
    "NotFittedError",
    "Pix2Pix",
    "PlanarFlow",
    "RadialFlow",
    "RealNVP",
    "Traits",
    "TwoStageVAE",
    "__version__",
    "build",
    "errors",
    "load_pretrained",
    "models",
    "pretrained_models",
    "register",
    *_ROOMS,
]


def __getattr__(name: str):
    # rooms that models do not need are imported when first used
    if name in _ROOMS:
        return importlib.import_module(f"genzoo.{name}")
    raise AttributeError(f"module 'genzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
