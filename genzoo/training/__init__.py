"""The recipe of training, strategies and callbacks."""

from genzoo.training.callbacks import KLWarmup, StopOnSignal
from genzoo.training.checkpoint import Checkpoint
from genzoo.training.divergence import DivergenceGuard
from genzoo.training.recipe import TrainingResult, train
from genzoo.training.strategy import strategy
from genzoo.training.watching import CollapseMonitor, SampleGrid

__all__ = [
    "Checkpoint",
    "CollapseMonitor",
    "DivergenceGuard",
    "KLWarmup",
    "SampleGrid",
    "StopOnSignal",
    "TrainingResult",
    "strategy",
    "train",
]
