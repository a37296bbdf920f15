"""Flow steps: Keras layers that own weights and yield fresh TFP bijectors."""

from genzoo.steps.autoregressive import MaskedAutoregressive
from genzoo.steps.base import FlowStep
from genzoo.steps.chain import Chain, FactorOut, Inverse
from genzoo.steps.coupling import Coupling, ImageCoupling
from genzoo.steps.elementwise import (
    ActNorm,
    Center,
    DiagonalScale,
    Logit,
    PixelScale,
    Standardize,
)
from genzoo.steps.image import Flatten, Squeeze
from genzoo.steps.mixing import LULinear, Permutation
from genzoo.steps.planar import Planar, Radial
from genzoo.steps.stock import BijectorStep

__all__ = [
    "ActNorm",
    "BijectorStep",
    "Center",
    "Chain",
    "Coupling",
    "DiagonalScale",
    "FactorOut",
    "Flatten",
    "FlowStep",
    "ImageCoupling",
    "Inverse",
    "LULinear",
    "Logit",
    "MaskedAutoregressive",
    "Permutation",
    "PixelScale",
    "Planar",
    "Radial",
    "Squeeze",
    "Standardize",
]
