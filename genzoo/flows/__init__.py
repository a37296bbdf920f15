"""Normalizing flows: a base distribution and a list of steps."""

from genzoo.flows.flow import Flow
from genzoo.flows.realnvp import RealNVP

__all__ = ["Flow", "RealNVP"]
