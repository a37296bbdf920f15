"""Flow steps: Keras layers that own weights and yield fresh TFP bijectors."""

from genzoo.steps.base import FlowStep
from genzoo.steps.coupling import AffineCoupling
from genzoo.steps.elementwise import Logit, PixelScale, Standardize
from genzoo.steps.image import Flatten
from genzoo.steps.mixing import Permutation

__all__ = [
    "AffineCoupling",
    "Flatten",
    "FlowStep",
    "Logit",
    "Permutation",
    "PixelScale",
    "Standardize",
]
