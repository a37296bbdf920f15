"""Strategies and callbacks for training."""

from genzoo.training.callbacks import KLWarmup, StopOnSignal
from genzoo.training.strategy import strategy
from genzoo.training.watching import CollapseMonitor, SampleGrid

__all__ = ["CollapseMonitor", "KLWarmup", "SampleGrid", "StopOnSignal", "strategy"]
