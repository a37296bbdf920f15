"""Strategies and callbacks for training."""

from genzoo.training.callbacks import KLWarmup, StopOnSignal
from genzoo.training.checkpoint import Checkpoint
from genzoo.training.divergence import DivergenceGuard
from genzoo.training.strategy import strategy
from genzoo.training.watching import CollapseMonitor, SampleGrid

__all__ = [
    "Checkpoint",
    "CollapseMonitor",
    "DivergenceGuard",
    "KLWarmup",
    "SampleGrid",
    "StopOnSignal",
    "strategy",
]
