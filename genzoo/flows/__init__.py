"""Normalizing flows: a base distribution and a list of steps."""

from genzoo.flows.flow import Flow
from genzoo.flows.glow import Glow
from genzoo.flows.maf import IAF, MAF
from genzoo.flows.nice import NICE
from genzoo.flows.planar_flow import PlanarFlow, RadialFlow
from genzoo.flows.realnvp import RealNVP
from genzoo.flows.spline import NeuralSplineFlow

__all__ = [
    "IAF",
    "MAF",
    "NICE",
    "Flow",
    "Glow",
    "NeuralSplineFlow",
    "PlanarFlow",
    "RadialFlow",
    "RealNVP",
]
