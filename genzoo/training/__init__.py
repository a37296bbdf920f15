"""Strategies and callbacks for training."""

from genzoo.training.strategy import strategy

__all__ = ["strategy"]
