"""Strategies and callbacks for training."""

from genzoo.training.callbacks import KLWarmup, StopOnSignal
from genzoo.training.strategy import strategy

__all__ = ["KLWarmup", "StopOnSignal", "strategy"]
