"""Strategies and callbacks for training."""

from genzoo.training.callbacks import StopOnSignal
from genzoo.training.strategy import strategy

__all__ = ["StopOnSignal", "strategy"]
